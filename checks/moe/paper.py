"""The paper the claims about mixtures of experts come from: its main text was at hand, its proofs were not."""

from ..claim import Paper

MOE = Paper(
    key="wang2025moe",
    title="On the Expressive Power of Mixture-of-Experts for Structured Complex Tasks",
    authors="Mingze Wang and Weinan E",
    year=2025,
    arxiv="2505.24205",
    venue="Advances in Neural Information Processing Systems",
)
