"""Table 1 for a fixed amount of compute ``C = M D``: rates, peak rate, width and data, and what follows from them."""

import numpy as np

from ...theory.fsl import allocation
from ...theory.fsl.allocation import Rate
from .. import judges
from ..claim import claim
from . import budgets
from .budgets import EASY, HARD, cell, follows, optimum, table
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
                 "D ~ C^((s+1) beta/n)")
def compute_constant(effort):
    return _compute(effort, ALL, "constant")


@compute_constant.control("model and data grow equally, M ~ D ~ C^(1/2)")
def _(effort):
    return _compute(effort, ALL, "constant", width=lambda s, b: Rate(0.5), data=lambda s, b: Rate(0.5))


@claim("compute_exponential_easy", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="exponential decay, s >= 1-1/beta: with x = C/log C, n = 2+s beta: E ~ x^(-s beta/n), M ~ x^(1/n), "
                 "gamma ~ x^(-(1+s beta-beta)/n), D ~ C^((1+s beta)/n) (log C)^(1/n)")
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
                 "M ~ (C/log C)^(1/(1+beta)), D ~ C^(beta/(1+beta)) (log C)^(1/(1+beta))")
def compute_exponential_hard(effort):
    return judges.every(_compute(effort, HARD, "exponential"), _capped(effort, "exponential"))


@compute_exponential_hard.control("easy-regime rate E ~ (C/log C)^(-s beta/(2 + s beta))")
def _(effort):
    return _compute(effort, HARD, "exponential", names=("risk",),
                    risk=lambda s, b: Rate(-s * b / (2 + s * b), s * b / (2 + s * b)))


@claim("compute_wsd_easy", topic="fsl", paper=FSL, where="Table 1", stance="amended",
       statement="WSD, s >= 1-1/beta, n = 2+s beta: E ~ C^(-s beta/n) (log C)^((s beta-s)/n), "
                 "M ~ C^(1/n) (log C)^(-(1-1/beta)/n), D = C/M, "
                 "gamma ~ C^(-(1+s beta-beta)/n) (log C)^(-(beta-1/beta)/n)")
def compute_wsd_easy(effort):
    return _compute(effort, EASY, "wsd")


@compute_wsd_easy.printed("gamma, M and D as for the exponential schedule, M ~ (C/log C)^(1/(2 + s beta))")
def _(effort):
    return _compute(effort, EASY, "wsd", form="printed")


@compute_wsd_easy.control("risk of the exponential schedule, (C/log C)^(-s beta/(2 + s beta))")
def _(effort):
    return _compute(effort, EASY, "wsd", names=("risk",),
                    risk=lambda s, b: Rate(-s * b / (2 + s * b), s * b / (2 + s * b)))


@claim("compute_wsd_hard", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="WSD, s < 1-1/beta: E ~ C^(-s beta/(1+beta)), gamma ~ 1, M ~ C^(1/(1+beta)), "
                 "D ~ C^(beta/(1+beta)), no logarithms")
def compute_wsd_hard(effort):
    return judges.every(_compute(effort, HARD, "wsd"), _capped(effort, "wsd"))


@compute_wsd_hard.control("with the logarithms of the exponential schedule")
def _(effort):
    def laws(task):
        return table(task, "exponential", "compute")
    return cell(effort, HARD, "wsd", "compute", laws, names=("risk", "width", "data"), margins=MARGINS)


def _growth(effort, leader, follower):
    """Local slope of one optimal size against compute is smaller than that of the other, in every cell."""
    lower, higher, places = [], [], []
    budget = budgets.ranges(effort)[0]
    for schedule in ("constant", "exponential", "wsd"):
        for task in ALL:
            best = optimum(task, schedule, "compute", budget)
            step = np.diff(np.log(budget))
            lower.append(np.diff(np.log(getattr(best, follower))) / step)
            higher.append(np.diff(np.log(getattr(best, leader))) / step)
            places.append(f"{schedule} s={task[0]:g} beta={task[1]:g}")
    return judges.inequality(np.array(lower), np.array(higher), at={"cell": np.array(places)[:, None]})


@claim("data_outgrows_model", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="compute-optimal data grows faster than the model, for every schedule and difficulty")
def data_outgrows_model(effort):
    return _growth(effort, "data", "width")


@data_outgrows_model.control("the model grows faster than the data")
def _(effort):
    return _growth(effort, "width", "data")


def _tokens_per_feature(effort, rate):
    parts = {}
    for task in EASY:
        def ratio(budget, task=task):
            best = optimum(task, "exponential", "compute", budget)
            return best.data / best.width
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = follows(effort, ratio, rate(task[0] * task[1]))
    return judges.every(**parts)


@claim("data_per_parameter", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="exponential decay, s >= 1-1/beta: D_opt/M_opt ~ C^(alpha/(2+alpha)) up to (log C)^(2/(2+alpha)), "
                 "alpha = s beta")
def data_per_parameter(effort):
    return _tokens_per_feature(effort, lambda alpha: Rate(alpha / (2 + alpha), 2 / (2 + alpha)))


@data_per_parameter.control("a fixed number of samples per parameter")
def _(effort):
    return _tokens_per_feature(effort, lambda alpha: Rate(0.0))


def _capacity_slopes(effort, task):
    """Local slopes of the optimal risk at budgets near 1e16 as beta grows; ``task(beta)`` gives (source, capacity)."""
    capacities = np.array((1.25, 1.5, 2.0, 3.0, 4.0, 6.0))
    budget = np.array((1e15, 1e17))
    lower, higher, places = [], [], []
    for kind in ("data", "compute"):
        for schedule in ("constant", "exponential", "wsd"):
            risks = np.array([optimum(task(b), schedule, kind, budget).risk for b in capacities])
            slope = np.log(risks[:, 1] / risks[:, 0]) / np.log(budget[1] / budget[0])
            lower.append(slope[:-1])
            higher.append(slope[1:])
            places.append(f"{kind} {schedule}")
    return judges.inequality(np.array(lower), np.array(higher), rtol=0.01,
                             at={"cell": np.array(places)[:, None], "beta": capacities[1:]})


@claim("capacity_helps", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="at fixed difficulty alpha = s beta, a smaller beta (higher capacity) never worsens the rate")
def capacity_helps(effort):
    return _capacity_slopes(effort, lambda beta: (1.5 / beta, beta))


@capacity_helps.control("the same at fixed s, where a larger beta makes the task itself easier")
def _(effort):
    return _capacity_slopes(effort, lambda beta: (1.0, beta))
