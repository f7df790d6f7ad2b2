"""The papers the claims about induction heads come from: of the first, abstracts and accounts by others were at hand."""

from ..claim import Paper

INDUCTION = Paper(
    key="wang2024induction",
    title="How Transformers Get Rich: Approximation and Dynamics Analysis",
    authors="Mingze Wang and Ruoxi Yu and Weinan E and Lei Wu",
    year=2024,
    arxiv="2410.11474",
)
