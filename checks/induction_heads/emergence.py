"""Claims about the emergence of the induction head: when, how abruptly, and what its logarithm hangs on.

The paper's statement is known here as ``T = Theta((1 + alpha)^2 L log(1/sigma)/w*^2)``; constants, the second order
and the linear logit are derived.  Measured is the two-parameter flow without any slaving, by extrapolation to 1e-11 a
step.
"""

import math
from functools import cache

import numpy as np

from ...theory.induction_heads import induction_block
from ...theory.induction_heads.emergence import emergence_times
from ...theory.induction_heads.joint_flow import joint_times
from ...theory.induction_heads.population_loss import Task
from .. import judges
from ..claim import claim
from .paper import INDUCTION

SCALE = 1e-8
"""Small against the amplitude c of the weakest target."""


@claim("emergence_time", topic="induction_heads", paper=INDUCTION, where="phases II and III", stance="derived",
       statement="T_r/N = (1-sigma/c)/d + [log(y/sigma^2) + K_r(y)]/(4 c^2 d^2 y) + D_r(y) + O(c^2), K, D quadratures")
def emergence_time(effort):
    """What is left over, as a power of c: 2.  alpha from 3 to 15, y = 0.3 and 0.5, r = 0.9 and 0.5, d = 1 and 2."""
    return _remainders(effort, lambda task, ratio: induction_block.emergence_time(task, SCALE, ratio), 2.0)


@emergence_time.control("without D_r, the lag of b")
def _(effort):
    return _remainders(effort, lambda task, ratio: induction_block.emergence_time(task, SCALE, ratio, lag=False), 2.0)


@emergence_time.control("without the delay until b has come to c")
def _(effort):
    return _remainders(effort, lambda task, ratio: induction_block.emergence_time(task, SCALE, ratio)
                       - 1.0 / task.dimension, 2.0)


@emergence_time.control("K_r and D_r of another level, 0.9 r in place of r")
def _(effort):
    return _remainders(effort, lambda task, ratio: induction_block.emergence_time(task, SCALE, 0.9 * ratio), 2.0)


def _remainders(effort, formula, expected):
    """Margin 0.1 on the exponent: the next term is of relative order c^2, with logarithms where r is small."""
    weights = np.geomspace(3.0, 15.0, effort.choose(16, 32))
    parts = {}
    for d in (1, 2):
        for y in (0.3, 0.5):
            for ratio in (0.9, 0.5):
                exact = emergence_times(weights, y, SCALE, ratio, d)
                left = np.abs(exact - [formula(Task(weight, y, dimension=d), ratio) for weight in weights])
                parts[f"y={y:g} r={ratio:g} d={d}"] = judges.exponent(1.0 / (1.0 + weights), left, expected, 0.1,
                                                                      limit="small")
    return judges.every(**parts)


@claim("emergence_scaling", topic="induction_heads", paper=INDUCTION, where="phases II and III", stance="reconstructed",
       statement="T = Theta((1+alpha)^2 L log(1/sigma)/w*^2); as sigma -> 0 the ratio is 1/2 whatever alpha, w*, L, r")
def emergence_scaling(effort):
    """The slope of T/N in log(1/sigma) between sigma = 1e-20 and 1e-40, over ``(1 + alpha)^2/(2 y)``.

    Corrections to the slope are powers of sigma; tolerance 1e-9, the integrator's.
    """
    return _slope(lambda weight, y: (1.0 + weight) ** 2 / (2.0 * y))


@emergence_scaling.control("(1 + alpha) in place of its square")
def _(effort):
    return _slope(lambda weight, y: (1.0 + weight) / y)


@emergence_scaling.control("1/w* in place of 1/w*^2")
def _(effort):
    return _slope(lambda weight, y: (1.0 + weight) ** 2 / (2.0 * math.sqrt(y)))


@emergence_scaling.control("1/y, twice the constant: time of the flow on the whole mean squared error")
def _(effort):
    return _slope(lambda weight, y: (1.0 + weight) ** 2 / y)


def _slope(predicted):
    weight, y, ratio = np.meshgrid((0.3, 1.0, 3.0, 10.0), (0.1, 0.3, 0.5), (0.9, 0.5, 0.1), indexing="ij")
    times = np.stack([np.stack([emergence_times(weight[..., i], y[..., i], sigma, r)
                                for i, r in enumerate((0.9, 0.5, 0.1))], axis=-1) for sigma in (1e-20, 1e-40)])
    slopes = (times[1] - times[0]) / (20.0 * math.log(10.0))
    wanted = np.vectorize(predicted)(weight, y)
    return judges.equal(slopes, wanted, rtol=1e-9, at={"alpha": weight, "y": y, "r": ratio},
                        over="slope in log(1/sigma)")


@claim("emergence_linear_logit", topic="induction_heads", paper=INDUCTION, where="dynamics", stance="derived",
       statement="with a logit linear in its parameter T/N stays finite as sigma -> 0: the logarithm comes from w^2")
def emergence_linear_logit(effort):
    """From ``b = 0``, x = sigma^2: T converges; from sigma = 1e-6 on it moves by O(sigma^2/y), far below 1e-6."""
    return _bounded_time("linear")


@emergence_linear_logit.control("the logit w^2")
def _(effort):
    return _bounded_time("quadratic")


def _bounded_time(logit):
    times = []
    for y in (0.1, 0.3, 0.5):
        task = Task(1.0, y)
        times.append([induction_block.half_time(task, sigma, logit) for sigma in (1e-2, 1e-6, 1e-12)])
    times = np.array(times)
    return judges.equal(times[:, 1], times[:, 2], rtol=1e-6, at={"y": (0.1, 0.3, 0.5)},
                        over=f"T/N at sigma = 1e-6 against 1e-12; at 1e-2: {times[:, 0].round(2).tolist()}")


@claim("emergence_length", topic="induction_heads", paper=INDUCTION, where="phases II and III", stance="reconstructed",
       statement="the time of emergence grows linearly in L, in joint training of all six scalars as well")
def emergence_length(effort):
    """In the layer-wise flow t = N tau makes it exact; jointly, layer 1 and the 4-gram move on clocks without N.

    From all scalars 0.1.  The margin 0.02 covers the 4-gram's time, of relative order 1/N, and ``u ~ t^(-1/2)``, at
    both ends of the range of L.
    """
    return _length(1.0)


@emergence_length.control("quadratic in L")
def _(effort):
    return _length(2.0)


@emergence_length.control("L log L")
def _(effort):
    return _length(1.0, logarithm=True)


@cache
def _joint_emergence(sizes):
    return np.array([joint_times(Task(1.0, 0.3, int(n) + 2), 0.1)[1] for n in sizes])


def _length(power, logarithm=False):
    sizes = np.round(np.logspace(4, 6, 6))
    times = _joint_emergence(tuple(sizes)) / (np.log(sizes) if logarithm else 1.0)
    return judges.exponent(sizes, times, power, 0.02)


@claim("emergence_abruptness", topic="induction_heads", paper=INDUCTION, where="phase III", stance="derived",
       statement="(T_.1-T_.9)/T_.5 ~ [(K_.1-K_.9)/2 + 2 c^2 d^2 y (D_.1-D_.9)]/log(1/sigma): abrupt by a logarithm")
def emergence_abruptness(effort):
    """The ratio is computed from sigma = 1e-10 to 1e-150, alpha = 0.3 to 10.

    *Exponent* of log(1/sigma) in it: -1 in the limit, margin 0.02, set.  *Constant*: 1/ratio is a line in log(1/sigma)
    up to powers of sigma, and the inverse of its slope agrees with the bracket up to ``0.1 c^4`` of itself (0.1 is set;
    K and D are the first two orders in c^2).
    """
    return _abruptness(1.0, 1.0)


@emergence_abruptness.control("the linear logit: the fall stays the same part of the time")
def _(effort):
    scales = np.geomspace(1e-10, 1e-60, 5)
    times = np.array([[induction_block.half_time(Task(1.0, 0.3), sigma, "linear", ratio) for ratio in (0.1, 0.5, 0.9)]
                      for sigma in scales])
    return judges.exponent(np.log(1.0 / scales), (times[:, 0] - times[:, 2]) / times[:, 1], -1.0, 0.02, limit="large")


@emergence_abruptness.control("without D: the same order, another constant")
def _(effort):
    return _abruptness(1.0, 0.0)


@emergence_abruptness.control("log(1/sigma^2) in place of log(1/sigma): half the constant")
def _(effort):
    return _abruptness(0.5, 0.5)


@cache
def _ratios():
    """``(T_.1 - T_.9)/T_.5`` by alpha and y (rows) and sigma, and log(1/sigma)."""
    weight, y = (grid.ravel() for grid in np.meshgrid((0.3, 1.0, 3.0, 10.0), (0.1, 0.3, 0.5), indexing="ij"))
    scales = 10.0 ** -np.geomspace(10.0, 150.0, 12)
    late, half, early = (emergence_times(weight[:, None], y[:, None], scales, ratio) for ratio in (0.1, 0.5, 0.9))
    return weight, y, np.log(1.0 / scales), (late - early) / half


def _abruptness(by_constant, by_delay):
    weight, y, logarithm, ratio = _ratios()
    amplitude = 1.0 / (1.0 + weight)
    (late, late_delay), (early, early_delay) = (induction_block.emergence_constants(y, r) for r in (0.1, 0.9))
    wanted = 0.5 * by_constant * (late - early) + 2.0 * by_delay * amplitude**2 * y * (late_delay - early_delay)
    found = (logarithm[-1] - logarithm[0]) / (1.0 / ratio[:, -1] - 1.0 / ratio[:, 0])
    parts = {f"exponent, alpha={weight[row]:g} y={y[row]:g}": judges.exponent(logarithm, ratio[row], -1.0, 0.02,
                                                                              limit="large") for row in (0, 4, 11)}
    parts["constant"] = judges.equal((found / wanted - 1.0) / amplitude**4, 0.0, atol=0.1, at={"alpha": weight, "y": y},
                                     over="relative deviation over c^4")
    return judges.every(**parts)
