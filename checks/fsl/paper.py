"""The papers the FSL claims come from."""

from ..claim import Paper

FSL = Paper(
    key="li2025fsl",
    title="Functional Scaling Laws in Kernel Regression: Loss Dynamics and Learning Rate Schedules",
    authors="Binghui Li and Fengling Chen and Zixun Huang and Lean Wang and Lei Wu",
    year=2025,
    arxiv="2509.19189",
    venue="Advances in Neural Information Processing Systems",
)

MULTI_POWER_LAW = Paper(
    key="luo2025multipower",
    title="A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules",
    authors="Kairong Luo and Haodong Wen and Shengding Hu and Zhenbo Sun and Zhiyuan Liu and Maosong Sun "
            "and Kaifeng Lyu and Wenguang Chen",
    year=2025,
    arxiv="2503.12811",
    venue="International Conference on Learning Representations",
)
