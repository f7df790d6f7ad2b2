"""Papers the claims about induction heads come from; of the first, abstracts and accounts by others were at hand."""

from ..claim import Paper

INDUCTION = Paper(
    key="wang2024induction",
    title="How Transformers Get Rich: Approximation and Dynamics Analysis",
    authors="Mingze Wang and Ruoxi Yu and Weinan E and Lei Wu",
    year=2024,
    arxiv="2410.11474",
)

IN_CONTEXT = Paper(
    key="olsson2022context",
    title="In-context Learning and Induction Heads",
    authors="Catherine Olsson and Nelson Elhage and Neel Nanda and others",
    year=2022,
    arxiv="2209.11895",
)

ONE_LAYER = Paper(
    key="sanford2024onelayer",
    title="One-layer transformers fail to solve the induction heads task",
    authors="Clayton Sanford and Daniel Hsu and Matus Telgarsky",
    year=2024,
    arxiv="2408.14332",
)

CAUSAL_STRUCTURE = Paper(
    key="nichani2024causal",
    title="How Transformers Learn Causal Structure with Gradient Descent",
    authors="Eshaan Nichani and Alex Damian and Jason D. Lee",
    year=2024,
    arxiv="2402.14735",
)

MARKOV = Paper(
    key="edelman2024evolution",
    title="The Evolution of Statistical Induction Heads: In-Context Learning Markov Chains",
    authors="Benjamin L. Edelman and Ezra Edelman and Surbhi Goel and Eran Malach and Nikolaos Tsilivis",
    year=2024,
    arxiv="2402.11004",
)
