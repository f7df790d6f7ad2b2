"""Loss trajectories: theory against simulated SGD (Fig. 1a of Li et al., arXiv 2509.19189)."""

import numpy as np
from scipy.optimize import nnls

from ...checks.fsl.trajectories import SCHEDULES, SIMULATED, basis
from ...sims.fsl import simulate
from ...theory.fsl.functional_law import law_terms
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.recursion import exact_risk
from .. import style
from ..figure import Drawing, figure

WIDTH, STEPS, PEAK, SEED = 1000, 10_000, 0.1, 20_250_919


@figure("trajectories", topic="fsl", title="Loss trajectories: theory against SGD",
        caption="Markers and bands: mean excess risk of SGD (200 runs, 1000 at full effort), +- 2 standard errors "
                "(s = 0.5, beta = 4, batch 1; width, sigma = 1 and peak rate 0.1 are our choice, the paper prints "
                "none). Solid: exact recursion. Dashed: the functional scaling law, its three coefficients fitted to "
                "the measured 8-1-1 runs only.",
        claims=("fsl.trajectory_ratio", "fsl.trajectory_transfer", "fsl.trajectory_measured"))
def trajectories(effort):
    """One panel per schedule, with the learning rate below it."""
    count, steps = effort.choose(200, 1000), STEPS
    problem = PowerLawRegression(0.5, 4.0, WIDTH, 1.0)
    shown = np.unique(np.concatenate([[0], np.geomspace(5, steps, 24), np.linspace(0, steps, 41)[1:]]).astype(int))
    schedules = {name: SCHEDULES[name](steps, PEAK) for name in SIMULATED}
    runs = {name: simulate(problem, schedules[name], replicas=count, seed=SEED + place, times=shown, **effort.engine)
            for place, name in enumerate(SIMULATED)}
    late = shown >= 50
    reference = basis(law_terms(problem, schedules["8-1-1"], times=shown))
    coefficients, _ = nnls(reference[late], runs["8-1-1"].mean[late])
    fig, axes = style.new(2, 4, width=12.5, height=4.4, sharex=True, sharey="row", height_ratios=[4, 1])
    table = {name: [] for name in ("schedule", "step", "learning_rate", "measured", "standard_error", "exact", "law")}
    for place, name in enumerate(SIMULATED):
        exact = exact_risk(problem, schedules[name], times=shown).excess_risk
        law = basis(law_terms(problem, schedules[name], times=shown)) @ coefficients
        rates = np.append(schedules[name].rates, schedules[name].rates[-1])
        _panel(axes[:, place], shown, runs[name], exact, law, late)
        axes[0, place].set_title(name)
        axes[1, place].plot(np.arange(steps + 1), rates, color=style.GREY, linewidth=1.2)
        axes[1, place].set_xlabel("step")
        for column, values in zip(table, (np.full(shown.size, name), shown, rates[shown], runs[name].mean,
                                          runs[name].stderr, exact, law), strict=True):
            table[column].append(values)
    axes[0, 0].set_ylabel("excess risk")
    axes[1, 0].set_ylabel("rate")
    axes[0, 0].legend(loc="upper right")
    fig.suptitle(f"SGD on power-law regression, M = {WIDTH}, K = {STEPS}: {count} runs, exact theory and functional "
                 f"law (coefficients {coefficients[0]:.2f}, {coefficients[1]:.2f}, {coefficients[2]:.3f} from 8-1-1)",
                 fontsize=10.5)
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


def _panel(axes, shown, runs, exact, law, late):
    axes[0].set_yscale("log")
    style.band(axes[0], shown, runs.mean, runs.stderr, 1)
    axes[0].plot(shown, runs.mean, **style.measurement(1, markersize=3.2), label=f"SGD, mean of {runs.replicas} runs")
    axes[0].plot(shown, exact, **style.theory(0), label="exact recursion")
    axes[0].plot(shown[late], law[late], **style.theory(2, linestyle=(0, (5, 1.6)), linewidth=2.0),
                 label="functional law, fitted to 8-1-1")
