"""Claims: two batch sizes and one switch, under the law and in exact SGD (arXiv 2602.14208, Thm 3.2; reconstructed)."""

from functools import cache

import numpy as np

from ...theory.fsl.compression import compress
from ...theory.fsl.problem import PowerLawRegression
from ...theory.schedules import exponents
from ...theory.schedules.power_law import PowerLaw
from ...theory.schedules.stages import Stage, best_switch
from ...theory.schedules.two_stage import interior, limit_length, two_stage
from .. import judges
from ..claim import claim
from .paper import BATCH_SIZE

HARD = ((0.3, 3.0), (0.3, 4.0), (0.2, 2.0))
EASY = ((1.0, 2.0), (0.8, 1.5))
FIRST, SECOND = 1.0, 8.0
BUDGETS = 10.0 ** np.arange(8.0, 25.0)
RATE, SIZES, VARIANCE = 0.2, (1.0, 16.0), 0.3
"""Of the runs of exact SGD."""


@cache
def _switches(s, beta):
    return [two_stage(s, beta, data, FIRST, SECOND) for data in BUDGETS]


@claim("late_switch", topic="schedules", paper=BATCH_SIZE, where="Thm 3.2 (hard)", stance="reconstructed",
       statement="s < 1-1/beta: the larger batch gets D^(beta (1+s)/(2 beta-1)) samples, a share "
                 "~ D^(-(1-1/beta-s)/(2-1/beta)) -> 0; E* less the floor of r2 ~ D^-s")
def late_switch(effort):
    """r = 1 then 8, D from 1e8 to 1e24.

    The second stage against ``[sigma^2 T^{s+1}/(s r2)]^{1/(1+q)}``, which takes ``T = D/r1``, too long by
    ``R (r2/r1 - 1)``: the tolerance is twice what this does to it.
    """
    return _late(exponents.switch_power)


@late_switch.control("a share that suffices for the rate, D^(-(1-1/beta-s)/(1-1/beta)), for the optimal one")
def _(effort):
    return _late(lambda s, beta: 1.0 + exponents.optimum_powers(s, beta).sufficient_fraction)


@late_switch.control("the floor of the second batch not subtracted from the loss")
def _(effort):
    return _late(exponents.switch_power, subtract=False)


@late_switch.control("easy tasks")
def _(effort):
    return _late(lambda s, beta: beta * (1.0 + s) / (2.0 * beta - 1.0), tasks=EASY)


def _late(power, subtract=True, tasks=HARD):
    parts = {}
    for s, beta in tasks:
        found, at, law = _switches(s, beta), f"s={s:g}, beta={beta:g}", PowerLaw(s, beta)
        data = np.array([best.second * best.remaining for best in found])
        loss = [best.above_floor if subtract else best.loss for best in found]
        parts[f"data, {at}"] = judges.exponent(BUDGETS, data, power(s, beta), 0.003, limit="large")
        parts[f"E, {at}"] = judges.exponent(BUDGETS, loss, -s, 0.01, limit="large")
        last = found[-1]
        slack = (1.0 + s) / (1.0 + law.forgetting) * last.remaining * (SECOND / FIRST - 1.0) / last.horizon
        parts[f"R, {at}"] = judges.equal(last.remaining, limit_length(law, BUDGETS[-1], FIRST, SECOND),
                                         rtol=2.0 * slack)
    return judges.every(**parts)


@claim("no_switch", topic="schedules", paper=BATCH_SIZE, where="Thm 3.2 (easy)", stance="reconstructed",
       statement="s > 1-1/beta, D -> inf: the larger of two fixed batches from the start, P* = 0")
def no_switch(effort):
    """Share of the data after the switch, exactly 1 for each D from 1e8 to 1e24."""
    return _all_second(EASY)


@no_switch.control("hard tasks")
def _(effort):
    return _all_second(HARD)


def _all_second(tasks):
    return judges.every(**{f"s={s:g}, beta={beta:g}": judges.equal([best.share for best in _switches(s, beta)], 1.0,
                                                                   rtol=1e-12, at={"D": BUDGETS}) for s, beta in tasks})


@claim("switch_boundary", topic="schedules", paper=BATCH_SIZE, where="Thm 3.2", stance="derived",
       statement="s = 1-1/beta: a fixed share stays with r1 iff sigma^2 (1/r1+1/r2) < s; constants decide")
def switch_boundary(effort):
    """Whether the best switch leaves anything to r1, sigma^2 within 2% of the threshold; the share does not move."""
    return _boundary(lambda s, first, second: s / (1.0 / first + 1.0 / second))


@switch_boundary.control("threshold sigma^2 = s r1, the larger batch left out")
def _(effort):
    return _boundary(lambda s, first, second: s * first)


def _boundary(threshold):
    parts = {}
    for beta, first, second in ((2.0, 1.0, 8.0), (3.0, 1.0, 2.0), (1.5, 2.0, 32.0)):
        s, at = 1.0 - 1.0 / beta, f"beta={beta:g}, r={first:g} to {second:g}"
        expected = threshold(s, first, second)
        variances = expected * np.linspace(0.98, 1.02, 10)
        found = [two_stage(s, beta, 1e15, first, second, noise=v**0.5) for v in variances]
        inside = [1.0 if best.share < 1.0 else -1.0 for best in found]
        parts[f"threshold, {at}"] = judges.sign_change(variances, inside, expected, over="+1: some data stay with r1")
        agree = [interior(best.law, first, second) == (best.share < 1.0) for best in found]
        parts[f"condition, {at}"] = judges.equal(np.array(agree, float), 1.0)
        low = [two_stage(s, beta, data, first, second, noise=(0.8 * expected) ** 0.5).share for data in (1e12, 1e18)]
        parts[f"share, {at}"] = judges.equal(low[1], low[0], rtol=1e-4, over="D = 1e12 and 1e18")
        parts[f"share < 1, {at}"] = judges.inequality(low, 0.999)
    return judges.every(**parts)


@claim("switch_in_sgd", topic="schedules", paper=BATCH_SIZE, where="Thm 3.2", stance="reconstructed",
       statement="exact SGD, batch 1 then 16 at one rate: the best switch leaves to the larger batch a share "
                 "~ D^(-(1-1/beta-s)/(2-1/beta)) of hard tasks, everything of easy ones")
def switch_in_sgd(effort):
    """eta = 0.2, sigma^2 = 0.3, D = 2^14 to 2^34 (infinite width), the switch by a one-dimensional search.

    The exponent is approached like ``R*/T``, the share itself, so the margin is 0.02 on exponents of 0.2.
    """
    return _sgd_shares(effort, HARD[:2], EASY[:1])


@switch_in_sgd.control("regimes exchanged")
def _(effort):
    return _sgd_shares(effort, EASY[:1], HARD[:1])


@switch_in_sgd.control("batch 1 then 16 of a task with half the source")
def _(effort):
    return _sgd_shares(effort, HARD[:1], EASY[:1], factor=0.5)


def _sgd_shares(effort, hard, easy, factor=1.0):
    budgets = 2.0 ** np.arange(14.0, 35.0, effort.choose(2.0, 1.0))
    parts = {}
    for s, beta in hard:
        shares = [_best_share(factor * s, beta, data) for data in budgets]
        parts[f"s={s:g}, beta={beta:g}"] = judges.exponent(budgets, shares, exponents.switch_power(s, beta) - 1.0, 0.02,
                                                           limit="large")
    for s, beta in easy:
        parts[f"easy: s={s:g}, beta={beta:g}"] = judges.inequality(0.99, _best_share(s, beta, 2.0**22))
    return judges.every(**parts)


@cache
def _best_share(s, beta, data):
    """Share of the data that the best switch leaves to the larger batch, exact SGD."""
    return best_switch(*sgd_stages(s, beta, data), data)


def sgd_stages(s, beta, data):
    """The two stages of exact SGD with :data:`RATE`, :data:`SIZES` and :data:`VARIANCE` for a budget (figures, too)."""
    problem = PowerLawRegression(s, beta, noise=VARIANCE**0.5)
    spectrum = compress(problem, RATE * data / SIZES[0], nodes=12, tolerance=1e-9)
    return tuple(Stage(spectrum, RATE, size) for size in SIZES)
