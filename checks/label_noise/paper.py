"""The paper the label-noise claims come from: its text was at hand, its appendix and notebooks were not."""

from ..claim import Paper

LABEL_NOISE = Paper(
    key="zhang2026label",
    title="On the Learning Dynamics of Two-layer Linear Networks with Label Noise SGD",
    authors="T. Zhang and Z. Zhou and M. Wang and A. Han and W. Huang and T. Suzuki and J. Yan",
    year=2026,
    arxiv="2603.10397",
    venue="AAAI Conference on Artificial Intelligence",
)
