"""Claims about learning rates of a fixed shape under the functional law: what the tail of a shape costs.

The law is that of :mod:`theorycheck.theory.schedules.shapes`, a formula, so sizes may be as large as a limit
needs: N to 1e36.  The margin 0.005 on an exponent is below what a logarithm would add there,
``s alpha/(1 + s alpha)/log N``.
"""

import math

import numpy as np

from ...theory.schedules import shapes
from .. import judges
from ..claim import claim
from .paper import LEARNING_RATE

SIZES = 10.0 ** np.arange(20, 37, 2)
MARGIN = 0.005
EASY = (
    (1.0, 4.0, shapes.constant()), (1.0, 4.0, shapes.linear()), (1.0, 4.0, shapes.cosine()),
    (1.0, 4.0, shapes.power(7)), (1.0, 4.0, shapes.wsd(0.2, "1-sqrt")), (1.0, 3.0, shapes.constant()),
    (1.0, 3.0, shapes.linear()), (1.0, 3.0, shapes.power(5)), (1.0, 2.0, shapes.constant()),
    (1.0, 2.0, shapes.cosine()), (1.0, 2.0, shapes.power(3)),
    (0.3, 4.0, shapes.constant()), (1.5, 3.0, shapes.wsd(0.2, "exponential")),
)
"""(source, capacity, shape) with s >= 1 - 1/alpha and gamma + 1 != beta; in the last but one s < 1 - 1/beta."""
HARD = ((0.3, 4.0, shapes.linear()), (0.3, 4.0, shapes.cosine()), (0.3, 4.0, shapes.power(7)), (0.3, 3.0, shapes.wsd()))
BOUNDARY = ((2.0, shapes.linear()), (2.0, shapes.wsd(0.2)), (2.0, shapes.wsd(0.3, "1-sqrt")), (3.0, shapes.cosine()),
            (4.0, shapes.power(3)))
"""(capacity, shape) with gamma + 1 = beta."""


def _named(source, capacity, shape):
    return f"{shape.name} s={source:g} beta={capacity:g}"


def _alpha(beta, gamma):
    return shapes.effective_capacity(beta, gamma)


@claim("capacity_saturation", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="tail y^gamma, s >= 1-1/alpha, best peak: E ~ N^(-s alpha/(1+s alpha)), alpha = min{beta, gamma+1}")
def capacity_saturation(effort):
    """Thirteen combinations of shape and task, with ``eta_p ~ N^(-(1+s alpha-alpha)/(1+s alpha))`` beside the risk."""
    return _easy(_alpha)


@capacity_saturation.control("alpha = beta, as if every shape had the whole capacity")
def _(effort):
    return _easy(lambda beta, gamma: beta)


@capacity_saturation.control("alpha = gamma + 1, as if steeper tails went on to gain")
def _(effort):
    return _easy(lambda beta, gamma: 1.0 + gamma)


@capacity_saturation.control("a logarithm in every risk, (N/log N)^(-s alpha/(1+s alpha))")
def _(effort):
    return _easy(_alpha, log_power=1.0)


@claim("hard_shapes", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="tail y^gamma, s < 1-1/alpha: the best peak is the cap and E ~ N^-s")
def hard_shapes(effort):
    """Tasks with s at least 0.15 below the boundary: nearer to it the cap binds at astronomic N only."""
    return _hard(lambda s, alpha: s)


@hard_shapes.control("the exponent of easy tasks, s alpha/(1+s alpha)")
def _(effort):
    return _hard(lambda s, alpha: s * alpha / (1.0 + s * alpha))


@hard_shapes.control("the peak of easy tasks: N^(-s/(1+s)) under the cap")
def _(effort):
    parts = {}
    for s, beta, shape in HARD:
        peaks = SIZES ** (-s / (1.0 + s))
        parts[_named(s, beta, shape)] = judges.exponent(SIZES, [_risk(s, beta, shape, n, p) for n, p in
                                                                zip(SIZES, peaks, strict=True)], -s, MARGIN,
                                                        limit="large")
    return judges.every(**parts)


@claim("regime_of_a_shape", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="the best peak (no cap) grows with N for s < 1 - 1/alpha and shrinks for s > 1 - 1/alpha")
def regime_of_a_shape(effort):
    """Sign of ``d log eta_p/d log N`` between N = 1e24 and 1e28, over the source, every 0.04."""
    return _regimes(lambda beta, gamma: 1.0 - 1.0 / _alpha(beta, gamma))


@regime_of_a_shape.control("the boundary of the task itself, s = 1 - 1/beta")
def _(effort):
    return _regimes(lambda beta, gamma: 1.0 - 1.0 / beta)


@claim("boundary_logarithm", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="derived",
       statement="gamma + 1 = beta: d(n N/(eta_p N)^(1/beta))/d log(eta_p N) -> beta (kappa/beta)^(1/beta)")
def boundary_logarithm(effort):
    """Increments from ``eta_p N = 1e18`` to 1e36.

    Neglected: K differs from its power law by ``u^-1``, f from its tail by ``y^k``, ``u ~ eta_p N y^beta``.  Each alone
    adds a constant; together they leave ``(eta_p N)^-min{1, k/beta}``, at 1e18 1e-9 for 1-sqrt (k = 1, beta = 2),
    1e-12 for cosine (k = 2, beta = 3) and rounding for pure powers.  Hence 1e-8.
    """
    return _logarithms(BOUNDARY, lambda beta, shape: shapes.noise_coefficient(shape, beta))


@boundary_logarithm.control("the coefficient kappa of the tail left out")
def _(effort):
    return _logarithms(BOUNDARY, lambda beta, shape: beta * (1.0 / beta)**(1.0 / beta))


@boundary_logarithm.control("eta_p N from 1e6 on, where 1-sqrt still lacks (eta_p N)^(-1/2)")
def _(effort):
    return _logarithms(BOUNDARY, lambda beta, shape: shapes.noise_coefficient(shape, beta), first=6)


@boundary_logarithm.control("cosine at beta = 2.8: no logarithm, increments fall like (eta_p N)^(1/3 - 1/beta)")
def _(effort):
    return _logarithms(((2.8, shapes.cosine()),), lambda beta, shape: beta * (0.25 * math.pi**2 / beta)**(1.0 / beta))


@claim("boundary_rate", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="gamma + 1 = beta, best peak, easy: E ~ (N/log N)^(-s beta/(1+s beta))")
def boundary_rate(effort):
    """Local slopes; a constant beside the logarithm changes them by ``1/log^2``, below 0.001 from N = 1e20 on."""
    return _boundary_rates(1.0)


@boundary_rate.control("without the logarithm")
def _(effort):
    return _boundary_rates(0.0)


@boundary_rate.control("with its square")
def _(effort):
    return _boundary_rates(2.0)


@claim("order_of_shapes", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="reconstructed",
       statement="N large, best peaks: E(power 2 beta-1) < E(cosine) < E(linear) < E(constant) for beta = 2, 3, 4")
def order_of_shapes(effort):
    """At N = 1e14 and 1e24, s = 1."""
    return _order((1e14, 1e24))


@order_of_shapes.control("the same order at N = 1000")
def _(effort):
    return _order((1e3,))


@order_of_shapes.control("the steeper the better, beyond 2 beta - 1 too: powers 8, 5 and 3 at beta = 2")
def _(effort):
    return _order((1e14, 1e24), capacities=(2.0,), ladder=(shapes.power(8), shapes.power(5), shapes.power(3)))


@claim("slow_hard_limit", topic="schedules", paper=LEARNING_RATE, where="Sec. 5", stance="derived",
       statement="s < 1-1/alpha, peak at its cap: noise/signal ~ N^-(1-1/alpha-s): E looks steeper than N^-s for long")
def slow_hard_limit(effort):
    """Four tasks well below the boundary, and cosine at s = 0.6, beta = 4, where the exponent is 1/15.

    That one shows local slopes below -0.61 from N = 1e6 to 1e14.
    """
    return _slow(_alpha)


@slow_hard_limit.control("beta in place of alpha")
def _(effort):
    return _slow(lambda beta, gamma: beta)


@slow_hard_limit.control("the limit -s reached, to 0.005, by N = 1e14")
def _(effort):
    sizes = 10.0 ** np.arange(6, 15, 2)
    return judges.local_slopes(sizes, [shapes.tuned(shapes.cosine(), 0.6, 4.0, n, cap=0.5).risk for n in sizes],
                               sizes**-0.6, MARGIN)


def _risk(s, beta, shape, steps, peak):
    return (1.0 + peak * steps * shape.total) ** -s + shapes.noise(shape, beta, steps, peak)


def _easy(alpha_of, log_power=0.0):
    parts = {}
    for s, beta, shape in EASY:
        best = [shapes.tuned(shape, s, beta, n) for n in SIZES]
        alpha = alpha_of(beta, shape.tail_exponent)
        rate = s * alpha / (1.0 + s * alpha)
        risks = np.array([b.risk for b in best]) / np.log(SIZES) ** (log_power * rate)
        parts["risk " + _named(s, beta, shape)] = judges.exponent(SIZES, risks, -rate, MARGIN, limit="large")
        parts["peak " + _named(s, beta, shape)] = judges.exponent(
            SIZES, [b.peak for b in best], alpha / (1.0 + s * alpha) - 1.0, MARGIN, limit="large")
    return judges.every(**parts)


def _hard(rate):
    parts = {}
    for s, beta, shape in HARD:
        best = [shapes.tuned(shape, s, beta, n, cap=0.3) for n in SIZES]
        alpha = _alpha(beta, shape.tail_exponent)
        parts["risk " + _named(s, beta, shape)] = judges.exponent(SIZES, [b.risk for b in best], -rate(s, alpha),
                                                                  MARGIN, limit="large")
        parts["peak " + _named(s, beta, shape)] = judges.equal([b.peak for b in best], 0.3, rtol=1e-12)
    return judges.every(**parts)


def _regimes(boundary):
    sources, parts = np.arange(0.2, 0.95, 0.04), {}
    for beta, shape in ((4.0, shapes.linear()), (4.0, shapes.cosine()), (2.5, shapes.linear()), (2.0, shapes.power(3))):
        slopes = [math.log(shapes.tuned(shape, s, beta, 1e28, cap=1e9).peak
                           / shapes.tuned(shape, s, beta, 1e24, cap=1e9).peak) / math.log(1e4) for s in sources]
        parts[f"{shape.name} beta={beta:g}"] = judges.sign_change(sources, slopes, boundary(beta, shape.tail_exponent),
                                                                  width=0.05)
    return judges.every(**parts)


def _logarithms(cases, constant, first=18):
    times, measured, expected = 10.0 ** np.arange(first, first + 19, 6), [], []
    for beta, shape in cases:
        scaled = shapes.noise(shape, beta, 1.0, times) * times ** (-1.0 / beta)
        measured.append(np.diff(scaled) / np.diff(np.log(times)))
        expected.append(constant(beta, shape))
    return judges.equal(measured, np.array(expected)[:, None], rtol=1e-8,
                        at={"beta": np.array([[beta] for beta, _ in cases]), "eta N": np.sqrt(times[1:] * times[:-1])})


def _boundary_rates(log_power):
    parts = {}
    for beta, shape in BOUNDARY:
        risks = [shapes.tuned(shape, 1.0, beta, n).risk for n in SIZES]
        law = (SIZES / np.log(SIZES) ** log_power) ** (-beta / (1.0 + beta))
        parts[f"{shape.name} beta={beta:g}"] = judges.local_slopes(SIZES, risks, law, 0.004)
    return judges.every(**parts)


def _order(sizes, capacities=(2.0, 3.0, 4.0), ladder=None):
    parts = {}
    for beta in capacities:
        best = ladder or (shapes.power(2.0 * beta - 1.0), shapes.cosine(), shapes.linear(), shapes.constant())
        for steps in sizes:
            risks = [shapes.tuned(shape, 1.0, beta, steps).risk for shape in best]
            parts[f"beta={beta:g} N={steps:g}"] = judges.inequality(np.divide(risks[:-1], risks[1:]), 1.0,
                                                                    over=", ".join(shape.name for shape in best))
    return judges.every(**parts)


def _slow(alpha_of):
    parts = {}
    for s, beta, shape in (*HARD, (0.6, 4.0, shapes.cosine())):
        best = [shapes.tuned(shape, s, beta, n, cap=0.3) for n in SIZES]
        power = s - 1.0 + 1.0 / alpha_of(beta, shape.tail_exponent)
        parts[_named(s, beta, shape)] = judges.exponent(SIZES, [b.noise / b.signal for b in best], power, MARGIN,
                                                        limit="large")
    sizes = 10.0 ** np.arange(6, 15, 2)
    near = [shapes.tuned(shapes.cosine(), 0.6, 4.0, n, cap=0.5).risk for n in sizes]
    return judges.every(steep=judges.inequality(np.diff(np.log(near)) / np.diff(np.log(sizes)), -0.61), **parts)
