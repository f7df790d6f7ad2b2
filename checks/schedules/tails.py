"""Claims about the tail of a schedule: what each exponent costs, which is best, and how not to measure it."""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from ...theory.fsl.optimal_schedule import optimal_schedule
from ...theory.fsl.problem import PowerLawRegression
from ...theory.schedules import shapes
from ...theory.schedules.variational import optimum
from .. import judges
from ..claim import claim
from .paper import LEARNING_RATE

CAPACITIES = (1.5, 2.0, 2.5, 4.0)
FAR = 1e30
STEEP = ((1.5, shapes.linear()), (1.5, shapes.power(2.0)), (1.5, shapes.power(6.0)), (1.5, shapes.wsd(0.5)),
         (2.0, shapes.cosine()), (2.0, shapes.power(2.5)), (2.0, shapes.power(3.0)), (2.0, shapes.power(5.0)),
         (3.0, shapes.power(4.0)), (3.0, shapes.power(5.0)))
"""(capacity, shape) with gamma > beta - 1."""


@claim("price_of_a_tail", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="derived",
       statement="tail y^gamma, gamma > beta-1: n N/T^(1/beta) -> beta (gamma+1)^2/(gamma+1-beta)")
def price_of_a_tail(effort):
    """Regular kernel at ``eta_p N = 1e38``; the singular one, whose value this is, has no part in the measurement.

    The kernels differ below u ~ 1, where a share ``T^-(1/beta - 1/(gamma+1))`` of the noise is: 1e-3 at most here.
    """
    return _prices(lambda beta, gamma: beta * (gamma + 1.0)**2 / (gamma + 1.0 - beta))


@price_of_a_tail.control("the price of the best tail, 4 beta^2, for all")
def _(effort):
    return _prices(lambda beta, gamma: 4.0 * beta**2)


@price_of_a_tail.control("the square of gamma in place of gamma + 1")
def _(effort):
    return _prices(lambda beta, gamma: beta * gamma**2 / (gamma + 1.0 - beta))


@claim("best_tail", topic="schedules", paper=LEARNING_RATE, where="Thm 4.1", stance="reconstructed",
       statement="of all tails y^gamma that of gamma = 2 beta - 1 remembers least noise, n = 4 beta^2 T^(1/beta)/N")
def best_tail(effort):
    """Minimum over gamma of the singular kernel's quadrature, the place to the root of rounding and the value.

    And the best tuned loss over gamma with the regular kernel at N = 1e30: near a minimum a correction of relative
    size d moves the place by about d, and d is ``T^(-1/(2 beta))``, 1e-3 at most.
    """
    return _best_tails(lambda beta: shapes.power(2.0 * beta - 1.0))


@best_tail.control("the cosine at beta = 1.5, whose exponent is the best one, 2: price 1.024")
def _(effort):
    return _best_tails(lambda beta: shapes.cosine(), capacities=(1.5,))


@best_tail.control("the cosine at beta = 2 and 2.5: prices 1.22 and 2.05")
def _(effort):
    return _best_tails(lambda beta: shapes.cosine(), capacities=(2.0, 2.5))


@best_tail.control("the cosine's exponent alone, y^2")
def _(effort):
    return _best_tails(lambda beta: shapes.power(2.0), capacities=(2.0, 2.5))


@best_tail.control("the smallest exponent of full rate, gamma = beta - 1, and a half")
def _(effort):
    return _best_tails(lambda beta: shapes.power(beta - 0.5))


@claim("no_shape_is_cheaper", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="derived",
       statement="every shape has n N/T^(1/beta) >= 4 beta^2, with equality for (1-z/N)^(2 beta-1) only")
def no_shape_is_cheaper(effort):
    """Tried at each of four capacities: thirty powers, cosine, linear, WSD, and 24 mixtures of two powers.

    That of ``y^(2 beta - 1)`` is 1 to 1e-10, and every other price exceeds 1 by 1e-9, ten times what the quadrature may
    be off: the closest, ``y^(2 beta - 1) + y^(2 beta - 1/2)/20`` at beta = 4, by 4e-6.
    """
    return _bound(1.0)


@no_shape_is_cheaper.control("equality for a second shape, y^(2 beta - 1) within rounding of its exponent")
def _(effort):
    return _bound(1.0, also=lambda beta: [shapes.power(2.0 * beta - 1.0 + 1e-6)])


@no_shape_is_cheaper.control("a bound that is 0.1% larger")
def _(effort):
    return _bound(1.001)


@claim("every_steep_tail_has_the_rate", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="gamma > beta-1, best peak, easy: E/E_opt -> (C/4 beta^2)^(s beta/(1+s beta)), so the rate is optimal")
def every_steep_tail_has_the_rate(effort):
    """Ten shapes against the minimum over all schedules (its own closed form) at N = 1e30, s = 1.

    Neglected: ``T^-(1/beta - 1/(gamma+1))``, 1e-3 and less but for linear at beta = 1.5, hence 5e-3.
    """
    return _steep(lambda c, rate: c**rate)


@every_steep_tail_has_the_rate.control("the price itself, as if the peak were not tuned again")
def _(effort):
    return _steep(lambda c, rate: c)


@every_steep_tail_has_the_rate.control("all equal to the optimum")
def _(effort):
    return _steep(lambda c, rate: 1.0)


@claim("gentle_tail_loses_the_rate", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="gamma < beta-1: E/E_opt grows like N^(s beta/(1+s beta) - s alpha/(1+s alpha)), alpha = gamma+1")
def gentle_tail_loses_the_rate(effort):
    """Linear at beta = 4 and 3, constant at 2, power 1.5 at 4."""
    return _gentle(lambda rate, own: rate - own)


@gentle_tail_loses_the_rate.control("a bounded ratio")
def _(effort):
    return _gentle(lambda rate, own: 0.0)


@claim("twin_tails", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="derived",
       statement="1/(gamma+1) + 1/(gamma'+1) = 1/beta: equally good, one gentler, one steeper than the best")
def twin_tails(effort):
    """Tuned losses at N = 1e30, regular kernel; (2, 5) at beta = 2, (1, 5) and (1.5, 2.75) at 1.5, (4, 6.5) at 3."""
    return _twins(lambda gamma, beta: shapes.twin(gamma, beta))


@twin_tails.control("the mirror image about the best, gamma' = 2 (2 beta - 1) - gamma")
def _(effort):
    return _twins(lambda gamma, beta: 2.0 * (2.0 * beta - 1.0) - gamma)


@claim("clock_of_the_decay", topic="schedules", paper=LEARNING_RATE, where="Thm 4.1", stance="derived",
       statement="budgets 1e4..1e6: optimal rates are u^(1-1/(2 beta)) in the intrinsic time u that remains")
def clock_of_the_decay(effort):
    """The optimum under the exact kernel of the spectrum, easy tasks; slopes by least squares over ``10 < u < T``.

    A sum over modes differs from its power law by less than any power of u; 0.01 is set for what is left at u = 10.
    In the remaining steps the same rates show slopes far below ``2 beta - 1``, which needs ``u^(1/(2 beta))`` large.
    """
    return _clocks("time")


@clock_of_the_decay.control("(remaining steps)^(2 beta - 1), fitted on the same stretch")
def _(effort):
    return _clocks("steps")


@claim("slow_rates", topic="schedules", paper=LEARNING_RATE, where="Thm 4.1", stance="derived",
       statement="easy: the local slope of the optimal loss approaches its limit like N^(-1/(2(1+s beta))) only")
def slow_rates(effort):
    """The distance of the local slope from ``-s beta/(1+s beta)`` for the minimum over all schedules, N = 1e12 to 1e29.

    At s = 1, beta = 2 it still is 0.01 or more up to N = 1e8.
    """
    return _drifts(lambda s, beta: -0.5 / (1.0 + s * beta))


@slow_rates.control("corrections in powers of N^(-1/2)")
def _(effort):
    return _drifts(lambda s, beta: -0.5)


@claim("cells_need_the_regular_kernel", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="derived",
       statement="a schedule in steps: with the regular kernel n approaches the integral; the singular one is infinite")
def cells_need_the_regular_kernel(effort):
    """Power decay, beta = 2, T = 1000, cut into 2^9 to 2^14 cells of constant rate, the kernel integrated exactly.

    The error falls like the square of the cell width, from 1e-5 on.
    """
    return _cells(1.0)


@cells_need_the_regular_kernel.control("the singular kernel: the last cell alone is infinite, the integral is not")
def _(effort):
    return _cells(0.0)


def _prices(formula):
    measured, expected, at = [], [], {"beta": [], "gamma": []}
    for beta in CAPACITIES:
        for gamma in (1.5 * beta - 1.0, 2.0 * beta - 1.0, 3.0 * beta - 1.0, 5.0 * beta - 1.0):
            shape = shapes.power(gamma)
            measured.append(shapes.noise(shape, beta, 1.0, 1e38) * (1e38 * shape.total) ** (-1.0 / beta))
            expected.append(formula(beta, gamma))
            at["beta"].append(beta)
            at["gamma"].append(gamma)
    return judges.equal(measured, expected, rtol=2e-3, at=at)


def _best_tails(supposed, capacities=CAPACITIES):
    parts = {}
    for beta in capacities:
        span = (beta - 1.0 + 0.05, 4.0 * beta)
        ideal = minimize_scalar(lambda g, b=beta: shapes.price(shapes.power(g), b), bounds=span, method="bounded",
                                options={"xatol": 1e-9})
        lossy = minimize_scalar(lambda g, b=beta: shapes.tuned(shapes.power(g), 1.0, b, FAR).risk, bounds=span,
                                method="bounded", options={"xatol": 1e-5})
        shape = supposed(beta)
        parts[f"gamma beta={beta:g}"] = judges.equal(ideal.x, shape.tail_exponent, rtol=1e-6)
        parts[f"price beta={beta:g}"] = judges.equal(shapes.price(shape, beta), ideal.fun, rtol=1e-10)
        parts[f"price 1 beta={beta:g}"] = judges.equal(ideal.fun, 1.0, rtol=1e-10)
        parts[f"best loss beta={beta:g}"] = judges.equal(lossy.x, shape.tail_exponent, rtol=0.01)
    return judges.every(**parts)


def _bound(factor, also=lambda beta: []):
    parts = {}
    for beta in CAPACITIES:
        best = 2.0 * beta - 1.0
        others = [shapes.power(g) for g in np.linspace(beta - 0.9, 4.0 * beta, 30) if abs(g - best) > 0.02]
        others += [_mixture(g, g + more, share) for g in (beta - 0.5, best, best + 1.0) for more in (0.5, 1.0, 3.0, 6.0)
                   for share in (0.05, 2.0)]
        others += [shape for shape in (shapes.linear(), shapes.cosine(), shapes.wsd(), shapes.wsd(0.5, "1-sqrt"))
                   if shape.tail_exponent > beta - 1.0 and abs(shape.area(np.array([0.5]))[0] / shape.total
                                                               - 0.5 ** (2.0 * beta)) > 1e-9]
        others += also(beta)
        prices = [shapes.price(shape, beta) for shape in others]
        parts[f"others beta={beta:g}"] = judges.inequality(factor + 1e-9, prices,
                                                           at={"gamma": [s.tail_exponent for s in others]})
        parts[f"equality beta={beta:g}"] = judges.equal(shapes.price(shapes.power(best), beta), factor, rtol=1e-10)
    return judges.every(**parts)


def _mixture(first, second, share):
    """``(y^first + share y^second)/(1 + share)``, first < second."""
    def rate(y):
        return (y**first + share * y**second) / (1.0 + share)

    def area(y):
        return (y ** (first + 1.0) / (first + 1.0) + share * y ** (second + 1.0) / (second + 1.0)) / (1.0 + share)

    return shapes.Shape(f"y^{first:g} + {share:g} y^{second:g}", rate, area, first, 1.0 / (1.0 + share))


def _steep(ratio):
    measured, expected = [], []
    for beta, shape in STEEP:
        measured.append(shapes.tuned(shape, 1.0, beta, FAR).risk / optimum(1.0, beta, FAR).loss)
        expected.append(ratio(shapes.price(shape, beta), beta / (1.0 + beta)))
    return judges.equal(measured, expected, rtol=5e-3, at={"beta": [beta for beta, _ in STEEP],
                                                           "shape": [shape.tail_exponent for _, shape in STEEP]})


def _gentle(power):
    sizes, parts = 10.0 ** np.arange(15, 31), {}
    for beta, shape in ((4.0, shapes.linear()), (3.0, shapes.linear()), (2.0, shapes.constant()),
                        (4.0, shapes.power(1.5))):
        own = shape.tail_exponent + 1.0
        ratio = [shapes.tuned(shape, 1.0, beta, n).risk / optimum(1.0, beta, n).loss for n in sizes]
        parts[f"{shape.name} beta={beta:g}"] = judges.exponent(
            sizes, ratio, power(beta / (1.0 + beta), own / (1.0 + own)), 0.005, limit="large")
    return judges.every(**parts)


def _twins(other):
    measured = []
    cases = ((2.0, 2.0), (1.0, 1.5), (1.5, 1.5), (4.0, 3.0))
    for gamma, beta in cases:
        one, two = (shapes.tuned(shapes.power(g), 1.0, beta, FAR).risk for g in (gamma, other(gamma, beta)))
        measured.append(one / two)
    return judges.equal(measured, 1.0, rtol=2e-3, at={"gamma": [g for g, _ in cases], "beta": [b for _, b in cases]})


def _clocks(clock):
    parts = {}
    for s, beta in ((1.0, 2.0), (1.0, 1.5), (1.0, 3.0)):
        for budget in (1e4, 1e5, 1e6):
            best = optimal_schedule(PowerLawRegression(s, beta), budget, 10.0)
            part = best.remaining_time > 10.0
            x = best.remaining_time if clock == "time" else best.remaining_data
            slope = np.polyfit(np.log(x[part]), np.log(best.noise_scale[part]), 1)[0]
            limit = 1.0 - 0.5 / beta if clock == "time" else 2.0 * beta - 1.0
            parts[f"beta={beta:g} D={budget:g}"] = judges.equal(slope, limit, atol=0.01)
    return judges.every(**parts)


def _drifts(power):
    sizes, parts = 10.0 ** np.arange(13, 30, 2), {}
    for s, beta in ((1.0, 2.0), (0.8, 1.5), (1.0, 4.0)):
        slope = [math.log(optimum(s, beta, 2.0 * n).loss / optimum(s, beta, n).loss) / math.log(2.0) for n in sizes]
        distance = np.array(slope) + s * beta / (1.0 + s * beta)
        parts[f"s={s:g} beta={beta:g}"] = judges.exponent(sizes, np.abs(distance), power(s, beta), 0.01, limit="large")
    near = math.log(optimum(1.0, 2.0, 2e8).loss / optimum(1.0, 2.0, 1e8).loss) / math.log(2.0)
    return judges.every(near=judges.inequality(0.01, abs(near + 2.0 / 3.0)), **parts)


def _cells(offset):
    """Noise in cells against the integral; ``int K`` over a cell is a difference of ``-u^-(1-1/beta)/(1-1/beta)``."""
    beta, shape = 2.0, shapes.power(3.0)
    peak, steps = 0.1, 4e4
    exact = shapes.noise(shape, beta, steps, peak, "regular" if offset else "singular")
    counts, sums = 2 ** np.arange(9, 15), []
    for count in counts:
        u = peak * steps * shape.area(np.arange(count + 1) / count)
        rates = np.diff(u) / (steps / count)   # the average rate of the cell
        with np.errstate(divide="ignore"):
            mass = -np.diff((offset + u) ** (1.0 / beta - 1.0)) / (1.0 - 1.0 / beta)
        sums.append(float(mass @ rates))
    return judges.equal(sums, exact, rtol=1e-4, at={"cells": counts},
                        over=f"finest is off by {sums[-1] / exact - 1:.2g}")
