"""The optimal schedule of a data budget: its shape, and its lead over parametric ones."""

import numpy as np

from ...checks.fsl.optimal_schedule import CAP
from ...theory import learning_rates
from ...theory.fsl.optimal_schedule import exponents, optimal_schedule
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.recursion import exact_risk
from .. import style
from ..figure import Drawing, figure

PROBLEMS = (("easy: s = 1.5, beta = 2", 1.5, 2.0), ("hard: s = 0.5, beta = 4", 0.5, 4.0))
RIVALS = {
    "constant": learning_rates.constant,
    "exponential": learning_rates.exponential,
    "cosine": learning_rates.cosine,
    "WSD": learning_rates.wsd,
}


@figure("optimal_schedule", topic="fsl", title="The optimal schedule against parametric ones",
        caption="Left: the optimal learning rate, min{cap, c K(remaining time)^(-1/2)}, over the course of training "
                "for three budgets: power decay for an easy task, stable then an ever shorter decay for a hard one. "
                "Right: exact expected risk of SGD (no sampling), each parametric schedule at its own best peak rate, "
                "over that of the optimal one, whose predicted rate has no logarithm.",
        claims=("fsl.optimal_noise_scale", "fsl.optimal_schedule_wins", "fsl.optimal_rate_easy",
                "fsl.optimal_rate_hard"))
def optimal(effort):
    """One row per problem."""
    fig, axes = style.new(2, 2, width=9.6, height=6.4)
    budgets = np.unique(np.round(np.geomspace(1e3, effort.choose(3e4, 1e6), effort.choose(4, 7)))).astype(int)
    peaks = CAP * np.geomspace(effort.choose(1e-3, 1e-4), 1.0, effort.choose(19, 41))
    table = {name: [] for name in ("problem", "curve", "x", "y")}

    def record(problem, curve, x, y):
        for name, values in zip(table, (np.full(x.size, problem), np.full(x.size, curve), x, y), strict=True):
            table[name].append(values)

    for (title, s, beta), (left, right) in zip(PROBLEMS, axes, strict=True):
        problem = PowerLawRegression(s, beta)
        for index, data in enumerate((1e4, 1e8, 1e12)):
            best = optimal_schedule(problem, data, CAP)
            progress = np.linspace(0.0, 1.0, 401)[:-1]
            rate = np.interp((1.0 - progress) * data, best.remaining_data, best.noise_scale) / best.noise_scale[-1]
            left.plot(progress, rate, **style.theory(index), label=f"D = {data:.0e}".replace("e+", "e"))
            record(title, f"rate over its first, D={data:g}", progress, rate)
        left.set(xlabel="fraction of the data used", ylabel="rate / first rate", title=title)
        left.legend(loc="lower left")
        mine = np.array([_final(problem, optimal_schedule(problem, k, CAP).schedule(k)) for k in budgets])
        for index, (name, make) in enumerate(RIVALS.items()):
            best = np.array([min(_final(problem, make(k, peak)) for peak in peaks) for k in budgets])
            style.loglog(right).plot(budgets, best / mine, label=name, color=style.COLORS[index + 1],
                                     linestyle=style.DASHES[index + 1], marker=style.MARKERS[index + 1])
            record(title, f"{name} over optimal", budgets.astype(float), best / mine)
        right.axhline(1.0, color=style.COLORS[0], linewidth=1.2)
        right.set(xlabel="data budget D = steps", ylabel="final risk / optimal",
                  title=rf"optimal: $E \sim D^{{{exponents(problem)['risk']:.2f}}}$")
        right.set_yticks([1, 2, 4], ["1", "2", "4"])
        right.minorticks_off()
        right.legend(loc="upper left")
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


def _final(problem, schedule):
    return exact_risk(problem, schedule, times=[schedule.steps]).final
