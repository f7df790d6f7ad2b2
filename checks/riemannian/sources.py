"""Papers on the ingredients: high-resolution equations, Hessian damping, Adam's differential equation.

Their equations are re-derived here.  The texts were not at hand, and constants of their theorems are as we remember
them: claims that use one are *reconstructed*.
"""

from ..claim import Paper

SHI = Paper(
    key="shi2018understanding",
    title="Understanding the Acceleration Phenomenon via High-Resolution Differential Equations",
    authors="Bin Shi and Simon S. Du and Michael I. Jordan and Weijie J. Su",
    year=2018,
    arxiv="1810.08907",
)

ATTOUCH = Paper(
    key="attouch2016fast",
    title="Fast convex optimization via inertial dynamics with Hessian driven damping",
    authors="Hedy Attouch and Juan Peypouquet and Patrick Redont",
    year=2016,
    arxiv="1601.07113",
)

HESSIAN_DAMPING = Paper(
    key="attouch2019first",
    title="First-order optimization algorithms via inertial systems with Hessian driven damping",
    authors="Hedy Attouch and Zaki Chbani and Jalal Fadili and Hassan Riahi",
    year=2019,
    arxiv="1907.10536",
)

BARAKAT = Paper(
    key="barakat2018convergence",
    title="Convergence and Dynamical Behavior of the ADAM Algorithm for Non-Convex Stochastic Optimization",
    authors="Anas Barakat and Pascal Bianchi",
    year=2018,
    arxiv="1810.02263",
)
