"""Claims about the start of training: how often a neuron's norm may grow while the network is lazy (Lemma 3).

Lemma 3 speaks of every step before Theorem 2's T_1; here it is judged at the first step, where it is exact.  Monte
Carlo: whole networks at their start with one fresh input each, of which the fraction of neurons counts as one replica.
The paper's condition ``eta <= C^-96`` is out of reach of any computer, and plays no part at the first step.
"""

import math
from functools import cache

import numpy as np
from scipy import integrate, stats

from ...sims import streams
from ...theory import label_noise
from ...theory.label_noise import escape, identities
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

DIMENSION, NOISE = 20, 4.0
NETWORKS = 300


def _model(width, dimension=DIMENSION):
    return label_noise.TwoLayerLinear(dimension, width, 1e-3, NOISE, width**-0.25)


@cache
def _first_steps(width, level):
    """Fractions of neurons with ``DW_i > 0`` and with ``DW_i <= -level^2``: means over networks, and their errors."""
    model, key, seen = _model(width), streams.key(51, "label_noise.laziness"), []
    for replica in range(NETWORKS):
        draws = streams.normals(key, replica, np.arange(width + 1), DIMENSION + 1).astype(np.float64)
        first, second = draws[:width, :-1] / math.sqrt(DIMENSION), draws[:width, -1] / math.sqrt(width)
        x = draws[width, :-1]
        residual = second @ (first @ x) - model.target @ x - NOISE * np.sign(draws[width, -1])
        change = identities.norm_change(first, second, x, residual)
        seen.append([np.mean(change > 0), np.mean(change <= -(level**2))])
    seen = np.array(seen)
    skewness = stats.skew(seen, axis=0)
    return seen.mean(axis=0), seen.std(axis=0, ddof=1) / math.sqrt(NETWORKS), skewness


def _sample(widths, which, level=NOISE / 4.0):
    found = [_first_steps(width, level) for width in widths]
    return judges.Sample(*(np.array([each[k][which] for each in found]) for k in range(2)), NETWORKS,
                         np.array([each[2][which] for each in found]))


def _widths(effort):
    return effort.choose((100, 400, 1600), (100, 1000, 10_000, 100_000))


@claim("growth_at_start", topic="label_noise", paper=LABEL_NOISE, where="Lemma 3", stance="derived",
       statement="at the start P(DW_i > 0) = (2/pi) arctan(sqrt(d/m)), the mean of the incomplete beta function "
                 "I_(a^2/|w|^2)(1/2, (d-1)/2) over neurons")
def growth_at_start(effort):
    """Monte Carlo of networks, and by quadrature that of the beta function, ``m a^2/||w||^2`` of the law F(1, d)."""
    return _growth(effort, _angle)


@growth_at_start.control("arctan(d/m)")
def _(effort):
    return _growth(effort, lambda width: 2.0 / math.pi * math.atan(DIMENSION / width))


@growth_at_start.control("printed: the bound rho m^(-1/8) of Lemma 3, taken for the probability")
def _(effort):
    return _growth(effort, lambda width: escape.growth_bound(_model(width)))


def _angle(width):
    return 2.0 / math.pi * math.atan(math.sqrt(DIMENSION / width))


def _growth(effort, probability):
    widths = _widths(effort)
    expected = np.array([probability(width) for width in widths])
    return judges.every(networks=judges.monte_carlo(_sample(widths, 0), expected, at={"m": np.array(widths)}),
                        beta=judges.equal([_beta_mean(width) for width in widths], expected, rtol=1e-7))


@cache
def _beta_mean(width):
    """Mean over neurons of the incomplete beta function, with ``a^2/||w||^2 = t^2/m``, t of Student's law with d."""
    def integrand(t):
        vector = np.zeros(DIMENSION)
        vector[0] = 1.0
        return 2.0 * stats.t.pdf(t, DIMENSION) * float(escape.growth_probability_of(vector, t / math.sqrt(width)))

    edge = math.sqrt(width)   # beyond, the angle does not matter any more
    below = integrate.quad(integrand, 0.0, min(edge, 40.0), epsrel=1e-11, limit=200)[0]
    return below + 2.0 * stats.t.sf(edge, DIMENSION)


@claim("lemma_3", topic="label_noise", paper=LABEL_NOISE, where="Lemma 3", stance="stated",
       statement="at the first step P(DW_i > 0) <= rho m^(-1/8), rho = 2 sqrt(d/pi), and P(DW_i <= -(sigma/4)^2) >= "
                 "1/4")
def lemma_3(effort):
    """The first bound exceeds 1 up to m = rho^8 (4 10^5 for d = 20), and what it bounds falls like m^(-1/2)."""
    return _bounds(effort)


@lemma_3.control("the same with m^(-1)")
def _(effort):
    return _bounds(effort, power=1.0)


@lemma_3.control("DW_i <= -(2 sigma)^2 with probability 1/4")
def _(effort):
    return _bounds(effort, level=2.0 * NOISE)


def _bounds(effort, power=0.125, level=NOISE / 4.0):
    models = [_model(width, dimension) for dimension in (1, 5, 20, 100) for width in (10, 10**3, 10**5, 10**7)]
    exact = [escape.growth_probability(model) for model in models]
    bound = [2.0 * math.sqrt(model.dimension / math.pi) * model.width**-power for model in models]
    falls = _sample(_widths(effort), 1, level)
    return judges.every(
        grows=judges.inequality(exact, bound, at={"m": [model.width for model in models]}),
        falls=judges.inequality(0.25 - falls.mean, 0.0, stderr=falls.stderr, at={"m": np.array(_widths(effort))}))


@claim("growth_exponent", topic="label_noise", paper=LABEL_NOISE, where="Lemma 3", stance="derived",
       statement="P(DW_i > 0) falls like (2/pi) sqrt(d) m^(-1/2), not like the m^(-1/8) of the bound")
def growth_exponent(effort):
    return _exponent(-0.5)


@growth_exponent.control("printed: m^(-1/8), the exponent of Lemma 3's bound")
def _(effort):
    return _exponent(-0.125)


@growth_exponent.control("m^(-1)")
def _(effort):
    return _exponent(-1.0)


def _exponent(expected):
    widths = np.logspace(3, 7, 9).round()
    probabilities = [escape.growth_probability(_model(int(width))) for width in widths]
    return judges.exponent(widths, probabilities, expected, 0.01, limit="large")
