"""The papers the claims about adaptive optimizers come from.

Of LITE the abstract, the published code with the image of its Algorithm 1, and accounts by others were at hand: what is
said of its theorems is *reconstructed*, and what follows from Algorithm 1 is *derived*.
"""

from ..claim import Paper

LITE = Paper(
    key="zhu2026lite",
    title="Accelerating LLM Pre-Training through Flat-Direction Dynamics Enhancement",
    authors="Shuchen Zhu and Rizhen Hu and Mingze Wang and Mou Sun and Xue Wang and Kun Yuan and Zaiwen Wen",
    year=2026,
    arxiv="2602.22681",
)
