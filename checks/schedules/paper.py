"""The papers the claims about schedules come from.

Of the first three only abstracts and accounts by others were at hand, so what is said of their theorems is
*reconstructed*; the functional scaling law itself is in :mod:`theorycheck.checks.fsl.paper`.
"""

from ..claim import Paper

BATCH_SIZE = Paper(
    key="wang2026batch",
    title="Fast Catch-Up, Late Switching: Optimal Batch Size Scheduling via Functional Scaling Laws",
    authors="Jinbo Wang and Binghui Li and Zhanpeng Zhou and Mingze Wang and Yuxuan Sun and Jiaqi Zhang "
            "and Xunliang Cai and Lei Wu",
    year=2026,
    arxiv="2602.14208",
    venue="International Conference on Learning Representations",
)

LEARNING_RATE = Paper(
    key="li2026rates",
    title="Optimal Learning-Rate Schedules under Functional Scaling Laws: Power Decay and Warmup-Stable-Decay",
    authors="Binghui Li and Zilin Wang and Fengling Chen and Shiyang Zhao and Ruiheng Zheng and Lei Wu",
    year=2026,
    arxiv="2602.06797",
    venue="Conference on Learning Theory",
)

RANDOM_FEATURES = Paper(
    key="bordelon2026optimal",
    title="Theory of Optimal Learning Rate Schedules and Scaling Laws for a Random Feature Model",
    authors="Blake Bordelon and Francesco Mori",
    year=2026,
    arxiv="2602.04774",
)

LARGE_BATCH = Paper(
    key="mccandlish2018empirical",
    title="An Empirical Model of Large-Batch Training",
    authors="Sam McCandlish and Jared Kaplan and Dario Amodei and OpenAI Dota Team",
    year=2018,
    arxiv="1812.06162",
)

JOINT = Paper(
    key="wang2026joint",
    title="From Spectra to Joint Schedules in LLM Pre-training: 3+3(+2) Scaling-Law Regimes",
    authors="Yichen Wang and Fanghui Liu and Yudong Chen",
    year=2026,
    arxiv="2609.40148",
)
