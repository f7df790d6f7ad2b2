"""Table 1 for a fixed amount of data: every schedule, easy and hard tasks, powers and logarithms told apart.

The optimum over the peak rate (and where it matters the decay fraction) is found numerically from the closed forms
of Thms 5.2 to 5.4 with exact mode sums.  In the hard regime the best peak rate is the largest allowed one: "gamma ~
1" is a statement about the cap ``rho = 0.3``, and the claim checks that the optimum sits there.
"""

import dataclasses

import numpy as np

from ...theory.fsl import PowerLawRegression, allocation, schedule_laws
from ...theory.fsl.allocation import Rate
from .. import judges
from ..claim import claim
from . import budgets
from .budgets import EASY, HARD, cell, follows, optimum, table
from .paper import FSL

ALL = EASY + HARD


def _data(effort, tasks, schedule, form="corrected", **changes):
    def laws(task):
        printed = table(task, schedule, "data", form)
        return allocation.Allocation(**(vars(printed) | {name: change(*task) for name, change in changes.items()}))
    return cell(effort, tasks, schedule, "data", laws)


@claim("data_constant", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="constant rate, data D: E_opt ~ D^(-s/(s+1)), gamma_opt ~ D^(-s/(s+1)), easy and hard")
def data_constant(effort):
    return _data(effort, ALL, "constant")


@data_constant.control("E ~ D^(-s beta/(1 + s beta)), the rate of decaying schedules")
def _(effort):
    return _data(effort, ALL, "constant", risk=lambda s, b: Rate(-s * b / (1 + s * b)))


@claim("data_exponential_easy", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="exponential decay, s >= 1-1/beta: E_opt ~ (D/log D)^(-s beta/(1+s beta)), "
                 "gamma_opt ~ (D/log D)^(-(1+s beta-beta)/(1+s beta))")
def data_exponential_easy(effort):
    return _data(effort, EASY, "exponential")


@data_exponential_easy.control("hard-regime rate E ~ (D/log D)^(-s)")
def _(effort):
    return _data(effort, EASY, "exponential", risk=lambda s, b: Rate(-s, s))


@data_exponential_easy.control("no logarithm, E ~ D^(-s beta/(1 + s beta))")
def _(effort):
    return _data(effort, EASY, "exponential", risk=lambda s, b: Rate(-s * b / (1 + s * b)))


@claim("data_exponential_hard", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="exponential decay, s < 1-1/beta: E_opt ~ (D/log D)^(-s), gamma_opt ~ 1")
def data_exponential_hard(effort):
    return judges.every(_data(effort, HARD, "exponential"), _at_cap(effort, "exponential"))


@data_exponential_hard.control("easy-regime rate E ~ (D/log D)^(-s beta/(1 + s beta))")
def _(effort):
    return _data(effort, HARD, "exponential", risk=lambda s, b: Rate(-s * b / (1 + s * b), s * b / (1 + s * b)))


def _at_cap(effort, schedule, tasks=HARD):
    """Whether every optimal peak rate sits at the cap."""
    at_cap = [optimum(task, schedule, "data", budgets.ranges(effort)[0]).capped for task in tasks]
    return judges.equal(np.array(at_cap, dtype=float), 1.0, over="peak rate at the cap")


@claim("data_wsd_easy", topic="fsl", paper=FSL, where="Table 1", stance="amended",
       statement="WSD, s >= 1-1/beta, r fixed: E_opt ~ D^(-s beta/(1+s beta)) (log D)^((s beta-s)/(1+s beta)), "
                 "gamma_opt ~ D^(-(1+s beta-beta)/(1+s beta)) (log D)^(-(beta-1)/(1+s beta))")
def data_wsd_easy(effort):
    return _data(effort, EASY, "wsd")


@data_wsd_easy.printed("gamma_opt ~ D^(-(1+s beta-beta)/(1+s beta)) (log D)^(+(beta-1)/(1+s beta))")
def _(effort):
    return _data(effort, EASY, "wsd", form="printed")


@data_wsd_easy.control("logarithm of the exponential schedule, (log D)^(s beta/(1 + s beta))")
def _(effort):
    return _data(effort, EASY, "wsd", risk=lambda s, b: Rate(-s * b / (1 + s * b), s * b / (1 + s * b)))


@claim("data_wsd_hard", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="WSD, s < 1-1/beta: E_opt ~ D^(-s) without a logarithm, gamma_opt ~ 1")
def data_wsd_hard(effort):
    return judges.every(_data(effort, HARD, "wsd"), _at_cap(effort, "wsd"))


@data_wsd_hard.control("with the logarithm of the exponential schedule, (D/log D)^(-s)")
def _(effort):
    return _data(effort, HARD, "wsd", risk=lambda s, b: Rate(-s, s))


@data_wsd_hard.control("easy tasks obey it too")
def _(effort):
    return _at_cap(effort, "wsd", EASY[:3])


def _at_fraction(effort, stretch):
    """``E D^s`` at the largest rate with decay fraction ``D^(stretch power) log D``, over 1e8 to 1e20."""
    budget = np.logspace(8, 20, effort.choose(9, 25))
    parts = {}
    for task in HARD:
        problem, rate = PowerLawRegression(*task), table(task, "wsd", "data").least_cooldown
        share = np.minimum(Rate(stretch * rate.power, rate.log)(budget), 1.0)
        risk = schedule_laws.wsd(problem, budget, schedule_laws.stability_cap(problem), cooldown=share).total
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = judges.bounded(risk * budget ** task[0], spread=1.1)
    return judges.every(**parts)


@claim("least_decay_fraction", topic="fsl", paper=FSL, where="Table 1", stance="stated",
       statement="WSD, s < 1-1/beta: r >~ D^(-(beta-1-s beta)/(beta-1)) log D is enough for E ~ D^(-s)")
def least_decay_fraction(effort):
    return _at_fraction(effort, 1.0)


@least_decay_fraction.control("a decay fraction with 1.6 times the exponent is enough")
def _(effort):
    return _at_fraction(effort, 1.6)


@least_decay_fraction.control("decay over the whole run (exponential schedule) has no logarithm either")
def _(effort):
    budget = np.logspace(8, 20, 9)
    parts = {}
    for task in HARD:
        problem = PowerLawRegression(*task)
        risk = schedule_laws.exponential(problem, budget, schedule_laws.stability_cap(problem)).total
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = judges.bounded(risk * budget ** task[0], spread=1.1)
    return judges.every(**parts)


DISTINCT = np.logspace(20, 40, 9)
"""Budgets where the risk still depends on the decay fraction well above rounding."""


def _fraction(effort, law):
    parts = {}
    for task in HARD:
        def share(budget, task=task):
            return optimum(task, "wsd", "data", budget, None).cooldown
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = follows(effort, share, law(task), huge=DISTINCT)
    return judges.every(**parts)


@claim("best_decay_fraction", topic="fsl", paper=FSL, where="Table 1", stance="derived",
       statement="WSD, s < 1-1/beta: the best decay fraction is r* ~ D^(-(1-1/beta-s)/(2-1/beta)) "
                 "(log D)^((1-1/beta)/(2-1/beta)), above the least one that is printed")
def best_decay_fraction(effort):
    return _fraction(effort, lambda task: table(task, "wsd", "data").cooldown)


@best_decay_fraction.control("the least fraction that keeps the rate, read as the best one")
def _(effort):
    return _fraction(effort, lambda task: table(task, "wsd", "data", "printed").cooldown)


def _width(effort, shrink):
    """Risk at width ``(4 x least)^shrink`` over risk at infinite width, all schedules, D = 1e6 to 1e24."""
    budget = np.logspace(6, 24, effort.choose(7, 19))
    parts, ratios = {}, {}
    for schedule in schedule_laws.SCHEDULES:
        for task in ALL:
            problem, best = PowerLawRegression(*task), optimum(task, schedule, "data", budget)
            width = np.floor((4.0 * table(task, schedule, "data").width(budget)) ** shrink + 1.0)
            extra = {"cooldown": budgets.COOLDOWN} if schedule == "wsd" else {}
            risk = schedule_laws.SCHEDULES[schedule](problem, budget, best.peak, width=width, **extra).total
            label = f"{schedule} s={task[0]:g}, beta={task[1]:g}"
            ratios[label] = risk / best.risk
            parts[label] = judges.bounded(ratios[label], (0.5, 2.0), drift=1.25)
    low, high = (pick(ratios, key=lambda label: pick(ratios[label])) for pick in (min, max))
    return dataclasses.replace(
        judges.every(**parts), measured=f"{ratios[low].min():.4g} ({low}) .. {ratios[high].max():.4g} ({high})",
        expected="in [0.5, 2], drift <= 1.25", tolerance="-",
        note=f"{sum(part.accepted is True for part in parts.values())} of {len(parts)} accepted")


@claim("sufficient_width", topic="fsl", paper=FSL, where="Table 1", stance="derived",
       statement="data D: widths of order (E_opt)^(-1/(s beta)) reach the risk of an infinite model up to a constant; "
                 "M >~ D^(1/((1+s) beta)) for the constant rate")
def sufficient_width(effort):
    return _width(effort, 1.0)


@sufficient_width.control("0.8 times the exponent is enough")
def _(effort):
    return _width(effort, 0.8)


def _ordering(effort, better, worse):
    """The ratio of optimal risks falls with D from 1e8 on and ends below one; crossovers are reported."""
    budget = np.logspace(2, 120, effort.choose(60, 237))
    late = budget >= 1e8
    parts, crossovers, last = {}, [], []
    for task in ALL:
        ratio = optimum(task, better, "data", budget).risk / optimum(task, worse, "data", budget).risk
        above = np.flatnonzero(ratio > 1.0)
        place = f"< {budget[0]:.0e}" if above.size == 0 else f"~ {budget[above[-1]]:.0e}"
        crossovers.append(f"{place} (s={task[0]:g}, beta={task[1]:g})")
        last.append(ratio[-1])
        falling = judges.inequality(ratio[late][1:], ratio[late][:-1], at={"D": budget[late][1:]})
        parts[f"s={task[0]:g}, beta={task[1]:g}"] = judges.every(falling, judges.inequality(ratio[-1:], 1.0))
    return dataclasses.replace(judges.every(**parts), measured=f"{max(last):.3g} at D=1e120", expected="< 1, falling",
                               tolerance="-", note="crossover at D " + ", ".join(crossovers))


@claim("schedule_ordering", topic="fsl", paper=FSL, where="Sec. 5", stance="stated",
       statement="data D beyond a crossover: E_opt(WSD) <= E_opt(exponential) <= E_opt(constant), ever more so "
                 "(WSD with r = 0.2)")
def schedule_ordering(effort):
    return judges.every(**{"exponential/constant": _ordering(effort, "exponential", "constant"),
                           "WSD/exponential": _ordering(effort, "wsd", "exponential")})


@schedule_ordering.control("exponential decay beats WSD")
def _(effort):
    return _ordering(effort, "exponential", "wsd")
