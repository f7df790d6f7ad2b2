"""The best width and number of steps at fixed compute, each with its own optimal schedule, in exact SGD.

The paper's text was not at hand: reconstructed.  Compute is ``C = M N`` for M features and N steps at batch size 1; the
features left out add ``delta_M`` to the loss and ``2 delta_M`` to the variance of the labels.
"""

import math
from functools import cache

import numpy as np

from ...theory import fsl
from ...theory.schedules.optimal_control import optimal_rates
from .. import judges
from ..claim import claim
from .exact_optima import CAP
from .paper import RANDOM_FEATURES

EASY, HARD = (1.0, 2.0), (1.0 / 6.0, 3.0)


@claim("compute_optimal_control", topic="schedules", paper=RANDOM_FEATURES, where="compute-optimal scaling",
       stance="reconstructed",
       statement="L* ~ C^(-(a-1)/(1+max(a,b))), width ~ C^(1/(1+max(a,b))): C = width x steps")
def compute_optimal_control(effort):
    """Envelope of optimally controlled runs: widths in ratios of 2^(1/2), vertex of a parabola.

    Local slopes of log loss and log width against log C over the last factor of four: within 6 per cent of the powers
    (set: the rates of constant schedules are 11 per cent or more away), those of the loss approaching them from budget
    to budget.
    """
    return _envelope(effort, lambda s, beta: 1.0 + max(1.0 + s * beta, beta))


@compute_optimal_control.control("phases exchanged")
def _(effort):
    return _envelope(effort, lambda s, beta: 1.0 + min(1.0 + s * beta, beta))


@compute_optimal_control.control("the best constant rates, C^(-(a-1)/(a+b))")
def _(effort):
    return _envelope(effort, lambda s, beta: 1.0 + s * beta + beta)


def _envelope(effort, divisor):
    """``divisor``: the width's exponent is its inverse, the loss' is ``-s beta`` times that."""
    parts = {}
    for s, beta in (EASY, HARD):
        budgets = 2.0 ** np.arange(12, effort.choose(23, 27), 2)
        best = np.array([_best(s, beta, compute) for compute in budgets])
        width = 1.0 / divisor(s, beta)
        label = f"s={s:.3g} beta={beta:g}"
        for name, column, power in (("width", best[:, 0], width), ("loss", best[:, 1], -s * beta * width)):
            parts[f"{name} {label}"] = judges.local_slopes(budgets[-2:], column[-2:], budgets[-2:]**power,
                                                           0.06 * abs(power))
        away = np.abs(np.diff(np.log(best[:, 1])) / np.diff(np.log(budgets)) + s * beta * width)
        parts[f"approach {label}"] = judges.inequality(away[1:], away[:-1], at={"C": budgets[2:]})
    return judges.every(**parts)


@cache
def _best(s, beta, compute):
    """Width and loss at the vertex, both in logarithms interpolated."""
    exponent = 1.0 / (2.0 + s * beta if s > 1.0 - 1.0 / beta else 1.0 + beta)
    centre = 0.5 * round(2.0 * math.log2(compute**exponent))
    tried = {}

    def loss(power):
        if power not in tried:
            width = max(1, round(2.0**power))
            tried[power] = math.log2(width), math.log(_loss(s, beta, width, max(1, round(compute / width))))
        return tried[power][1]

    while not (loss(centre) <= loss(centre - 0.5) and loss(centre) <= loss(centre + 0.5)):
        centre += 0.5 if loss(centre + 0.5) < loss(centre - 0.5) else -0.5
    (x0, y0), (x1, y1), (x2, y2) = (tried[centre + shift] for shift in (-0.5, 0.0, 0.5))
    bend = ((y2 - y1) / (x2 - x1) - (y1 - y0) / (x1 - x0)) / (x2 - x0)
    slope = (y1 - y0) / (x1 - x0) + bend * (x1 - x0)
    return 2.0 ** (x1 - 0.5 * slope / bend), math.exp(y1 - 0.25 * slope**2 / bend)


def _loss(s, beta, width, steps):
    model = fsl.compress(fsl.PowerLawRegression(s, beta, width), max(1.0, CAP * steps), tolerance=1e-6)
    return optimal_rates(model, steps, cap=CAP, tolerance=1e-8).loss
