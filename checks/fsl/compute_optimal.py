"""Table 1 for a fixed amount of compute ``C = M D``: rates, peak rate, width and data, and what follows from them."""

import numpy as np

from ...theory.fsl import PowerLawRegression, allocation, schedule_laws
from ...theory.fsl.allocation import Rate
from .. import judges
from ..claim import claim
from . import budgets
from .budgets import AS_EXTRACTED, CLOSED, EASY, HARD, cell, follows, optimum, table
from .paper import FSL

ALL = EASY + HARD
NAMES = ("risk", "peak", "width", "data")

MARGINS = {"width": (0.02, 0.03), "data": (0.02, 0.03)}
"""Half the smallest difference between the printed and the corrected logarithms, 1/(beta (2 + s beta)) >= 0.06."""


def _compute(effort, tasks, schedule, form="corrected", names=NAMES, **changes):
    def laws(task):
        printed = table(task, schedule, "compute", form)
        return allocation.Allocation(**(vars(printed) | {name: change(*task) for name, change in changes.items()}))
    return cell(effort, tasks, schedule, "compute", laws, names=names, margins=MARGINS)


def _capped(effort, schedule, tasks=HARD):
    at_cap = [optimum(task, schedule, "compute", budgets.ranges(effort)[0]).capped for task in tasks]
    return judges.equal(np.array(at_cap, dtype=float), 1.0, over="peak rate at the cap")


@claim("compute_constant", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="constant rate, compute C, n = 1+(s+1) beta: E ~ gamma ~ C^(-s beta/n), M ~ C^(1/n), "
                 f"D ~ C^((s+1) beta/n) ({CLOSED})")
def compute_constant(effort):
    return _compute(effort, ALL, "constant")


@compute_constant.control("model and data grow equally, M ~ D ~ C^(1/2)")
def _(effort):
    return _compute(effort, ALL, "constant", width=lambda s, b: Rate(0.5), data=lambda s, b: Rate(0.5))


@claim("compute_exponential_easy", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="exponential decay, s >= 1-1/beta: with x = C/log C, n = 2+s beta: E ~ x^(-s beta/n), M ~ x^(1/n), "
                 f"gamma ~ x^(-(1+s beta-beta)/n), D ~ C^((1+s beta)/n) (log C)^(1/n) ({CLOSED})")
def compute_exponential_easy(effort):
    return _compute(effort, EASY, "exponential")


@compute_exponential_easy.control("hard-regime rate E ~ (C/log C)^(-s beta/(1 + beta))")
def _(effort):
    return _compute(effort, EASY[:3], "exponential", names=("risk",),
                    risk=lambda s, b: Rate(-s * b / (1 + b), s * b / (1 + b)))


@compute_exponential_easy.control("no logarithms")
def _(effort):
    return _compute(effort, EASY, "exponential", names=("risk",), risk=lambda s, b: Rate(-s * b / (2 + s * b)))


@claim("compute_exponential_hard", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="exponential decay, s < 1-1/beta: E ~ (C/log C)^(-s beta/(1+beta)), gamma ~ 1, "
                 f"M ~ (C/log C)^(1/(1+beta)), D ~ C^(beta/(1+beta)) (log C)^(1/(1+beta)) ({CLOSED})")
def compute_exponential_hard(effort):
    return judges.every(_compute(effort, HARD, "exponential"), _capped(effort, "exponential"))


@compute_exponential_hard.control("easy-regime rate E ~ (C/log C)^(-s beta/(2 + s beta))")
def _(effort):
    return _compute(effort, HARD, "exponential", names=("risk",),
                    risk=lambda s, b: Rate(-s * b / (2 + s * b), s * b / (2 + s * b)))


@claim("compute_wsd_easy", topic="fsl", paper=FSL, where="Table 1", stance="amended",
       statement="WSD, s >= 1-1/beta, n = 2+s beta: E ~ C^(-s beta/n) (log C)^((s beta-s)/n), "
                 "M ~ C^(1/n) (log C)^(-(1-1/beta)/n), D = C/M, "
                 f"gamma ~ C^(-(1+s beta-beta)/n) (log C)^(-(beta-1/beta)/n) ({CLOSED})")
def compute_wsd_easy(effort):
    return _compute(effort, EASY, "wsd")


@compute_wsd_easy.printed("gamma, M and D as for the exponential schedule, M ~ (C/log C)^(1/(2 + s beta)) "
                          f"({AS_EXTRACTED})")
def _(effort):
    return _compute(effort, EASY, "wsd", form="printed")


@compute_wsd_easy.control("risk of the exponential schedule, (C/log C)^(-s beta/(2 + s beta))")
def _(effort):
    return _compute(effort, EASY, "wsd", names=("risk",),
                    risk=lambda s, b: Rate(-s * b / (2 + s * b), s * b / (2 + s * b)))


@claim("compute_wsd_hard", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="WSD, s < 1-1/beta: E ~ C^(-s beta/(1+beta)), gamma ~ 1, M ~ C^(1/(1+beta)), "
                 f"D ~ C^(beta/(1+beta)), no logarithms; r = 0.2 ({CLOSED})")
def compute_wsd_hard(effort):
    return judges.every(_compute(effort, HARD, "wsd"), _capped(effort, "wsd"))


@compute_wsd_hard.control("with the logarithms of the exponential schedule")
def _(effort):
    def laws(task):
        return table(task, "exponential", "compute")
    return cell(effort, HARD, "wsd", "compute", laws, names=("risk", "width", "data"), margins=MARGINS)


def _at_fraction(effort, stretch):
    """``E C^(s beta/(1 + beta))`` at ``M = C^(1/(1+beta))``, the largest rate and ``r = D^(stretch power) log D``."""
    compute = np.logspace(10, 40, effort.choose(9, 25))
    parts = {}
    for task in HARD:
        problem, entry = PowerLawRegression(*task), table(task, "wsd", "compute")
        width = np.floor(entry.width(compute)) + 1.0
        data, least = compute / width, entry.least_cooldown
        share = np.minimum(Rate(stretch * least.power, least.log)(data), 1.0)
        risk = schedule_laws.wsd(problem, data, schedule_laws.stability_cap(problem), cooldown=share, width=width).total
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = judges.bounded(risk * compute**-entry.risk.power, spread=1.1)
    return judges.every(**parts)


@claim("least_decay_fraction_compute", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="WSD, s < 1-1/beta, compute C: r >~ D^(-(beta-1-s beta)/(beta-1)) log D is enough for "
                 "E ~ C^(-s beta/(1+beta)) (C = 1e10 to 1e40)")
def least_decay_fraction_compute(effort):
    return _at_fraction(effort, 1.0)


@least_decay_fraction_compute.control("a decay fraction with 1.2 times the exponent is enough")
def _(effort):
    return _at_fraction(effort, 1.2)


def _growth(effort, power):
    """Local slope against compute of the data is larger than ``power`` times that of the width, in every cell."""
    lower, higher, places = [], [], []
    budget = budgets.ranges(effort)[0]
    for schedule in ("constant", "exponential", "wsd"):
        for task in ALL:
            best = optimum(task, schedule, "compute", budget)
            step = np.diff(np.log(budget))
            lower.append(power * np.diff(np.log(best.width)) / step)
            higher.append(np.diff(np.log(best.data)) / step)
            places.append(f"{schedule} s={task[0]:g} beta={task[1]:g}")
    return judges.inequality(np.array(lower), np.array(higher), at={"cell": np.array(places)[:, None]})


@claim("data_outgrows_model", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="compute-optimal data grows faster than the model, for every schedule and difficulty")
def data_outgrows_model(effort):
    return _growth(effort, 1.0)


@data_outgrows_model.control("data grows faster than the model to the power 2.2 (hard tasks: D ~ M^beta, beta = 2)")
def _(effort):
    return _growth(effort, 2.2)


def _tokens_per_feature(effort, rate):
    parts = {}
    for task in EASY:
        def ratio(budget, task=task):
            best = optimum(task, "exponential", "compute", budget)
            return best.data / best.width
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = follows(effort, ratio, rate(task[0] * task[1]), 0.01)
    return judges.every(**parts)


@claim("data_per_parameter", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="exponential decay, s >= 1-1/beta: D_opt/M_opt ~ C^(alpha/(2+alpha)) up to (log C)^(2/(2+alpha)), "
                 "alpha = s beta")
def data_per_parameter(effort):
    return _tokens_per_feature(effort, lambda alpha: Rate(alpha / (2 + alpha), 2 / (2 + alpha)))


@data_per_parameter.control("the exponent alpha/(1 + alpha)")
def _(effort):
    return _tokens_per_feature(effort, lambda alpha: Rate(alpha / (1 + alpha), 2 / (2 + alpha)))


@data_per_parameter.control("half the exponent of the logarithm, 1/(2 + alpha)")
def _(effort):
    return _tokens_per_feature(effort, lambda alpha: Rate(alpha / (2 + alpha), 1 / (2 + alpha)))


CAPACITIES = {0.75: (1.25, 1.5, 2.5, 4.0, 6.0), 1.5: (1.5, 2.0, 3.5, 5.0, 7.0), 3.0: (1.5, 2.5, 6.0, 8.0)}
"""Per difficulty alpha = s beta: easy beta, then hard ones (beta > 1 + alpha)."""


def _capacity_gains(effort, strict, equal):
    """What a smaller beta adds to the exponent of the optimal risk, against Table 1.

    Parameters
    ----------
    strict, equal : callable
        Of (schedule, whether both tasks are hard): whether the gain must be at least half the table's and 0.01, or the
        powers alike once the table's logarithm is taken out.
    """
    budget = np.array((1e16, 1e18))
    step = np.log(budget[1] / budget[0])
    gains, floors, apart, at, like = [], [], [], [], []
    for alpha in effort.choose((0.75, 1.5), tuple(CAPACITIES)):
        for schedule in ("constant", "exponential", "wsd"):
            for kind in ("data", "compute"):
                seen = []
                for beta in CAPACITIES[alpha]:
                    task = (alpha / beta, beta)
                    slope = np.diff(np.log(optimum(task, schedule, kind, budget).risk))[0] / step
                    rate = table(task, schedule, kind).risk
                    logarithm = rate.log * np.diff(np.log(np.log(budget)))[0] / step
                    seen.append((beta > 1.0 + alpha, slope, slope - logarithm, rate.power))
                for (hard, one, bare, power), (harder, other, rest, next_power), beta in zip(
                        seen, seen[1:], CAPACITIES[alpha][1:]):
                    if hard != harder:
                        continue
                    place = f"{kind} {schedule} alpha={alpha:g}, up to beta={beta:g}"
                    if strict(schedule, hard):
                        gains.append(other - one)
                        floors.append(max(0.5 * (next_power - power), 0.01))
                        at.append(place)
                    if equal(schedule, hard):
                        apart.append(rest - bare)
                        like.append(place)
    parts = {}
    if gains:
        parts["strictly"] = judges.inequality(floors, gains, at={"cell": at}, over="gain on the right")
    if apart:
        parts["alike"] = judges.equal(apart, 0.0, atol=0.01, at={"cell": like})
    return judges.every(**parts)


@claim("capacity_helps", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="at fixed difficulty alpha = s beta a smaller beta (higher capacity) strictly improves the exponent "
                 "for the constant rate and in the hard regime, and leaves the power alone under decay in the easy one")
def capacity_helps(effort):
    """Local slopes between 1e16 and 1e18; pairs of neighbouring beta on the same side of s = 1 - 1/beta."""
    return _capacity_gains(effort, lambda schedule, hard: hard or schedule == "constant",
                           lambda schedule, hard: not hard and schedule != "constant")


@capacity_helps.control("strictly under decay in the easy regime too")
def _(effort):
    return _capacity_gains(effort, lambda schedule, hard: not hard and schedule != "constant", lambda *_: False)


@capacity_helps.control("the exponent depends on alpha alone in the hard regime")
def _(effort):
    return _capacity_gains(effort, lambda *_: False, lambda schedule, hard: hard and schedule != "constant")
