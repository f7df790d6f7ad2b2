"""Claims about the start of training: how often a neuron's norm may grow while the network is lazy (Lemma 3).

Lemma 3 speaks of every step before Theorem 2's T_1 at which the neuron is lazy.  At the first step it is exact, by
Monte Carlo: whole networks at their start with one fresh input each, of which the fraction of neurons counts as one
replica.  Its two inequalities are judged along the lazy phase, too: label-noise SGD at ``h = STRIDE/m``, at TIMES times
up to the escape time, one fresh input each, over the neurons that are lazy then; a run counts as one replica.  The
paper's condition ``eta <= C^-96`` is out of reach of any computer, and plays no part at the first step.
"""

import math
from functools import cache

import numpy as np
from scipy import integrate, stats

from ...sims import streams
from ...theory import label_noise
from ...theory.label_noise import diagnostics, escape, identities
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

DIMENSION, NOISE = 20, 4.0
NETWORKS = 300
STRIDE, TIMES, RUNS = 0.5, 40, 12
"""``h m``: it keeps ``h kappa (d + 2)`` at 0.55 of the 2 that stability allows, so that T_1 is of order ``m^{3/2}``."""


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
       statement="while w_i is lazy P(DW_i > 0) <= rho m^(-1/8), rho = 2 sqrt(d/pi), and P(DW_i <= -(sigma/4)^2) >= "
                 "1/4")
def lemma_3(effort):
    """The first bound exceeds 1 up to m = rho^8 (4 10^5 for d = 20), and what it bounds falls like m^(-1/2): along the
    lazy phase only the second says anything at widths that can be run.

    That ``DW_i <= O(1)`` names no constant and is not judged; the largest one seen is in the note.
    """
    return _bounds(effort)


@lemma_3.control("the same with m^(-1)")
def _(effort):
    return _bounds(effort, power=1.0)


@lemma_3.control("DW_i <= -(2 sigma)^2 with probability 1/4")
def _(effort):
    return _bounds(effort, level=2.0 * NOISE)


@cache
def _along(width, level):
    """Along the lazy phase, of lazy neurons: fractions with ``DW_i > 0`` and ``DW_i <= -level^2``, and the largest."""
    model = label_noise.TwoLayerLinear(DIMENSION, width, STRIDE / width, NOISE, width**-0.25)
    times = np.linspace(0, escape.escape_time(model), TIMES).astype(int)
    key, seen, largest = streams.key(52, "label_noise.laziness"), [], -math.inf
    for replica in range(RUNS):
        draws = streams.normals(key, 2 * replica, np.arange(width), DIMENSION + 1).astype(np.float64)
        first, second = draws[:, :-1] / math.sqrt(DIMENSION), draws[:, -1] / math.sqrt(width)
        draws = streams.normals(key, 2 * replica + 1, np.arange(times[-1] + TIMES), DIMENSION + 1).astype(np.float64)
        inputs, noise = draws[:, :-1], NOISE * np.sign(draws[:, -1])
        fresh, labels = slice(times[-1], None), inputs @ model.target + noise
        _, maps = label_noise.label_noise_path(label_noise.gram(first, second), inputs[:times[-1]], labels[:times[-1]],
                                               model.effective_step, times)
        counts = np.zeros(3)
        for phi, x, label in zip(maps, inputs[fresh], labels[fresh]):
            moved, layer = label_noise.neurons(phi, first, second)
            lazy = diagnostics.lazy(moved, first)
            change = identities.norm_change(moved, layer, x, layer @ (moved @ x) - label)[lazy]
            counts += np.array([np.sum(change > 0), np.sum(change <= -(level**2)), change.size])
            largest = max(largest, change.max(initial=-math.inf))
        seen.append(counts[:2] / counts[2])
    seen = np.array(seen)
    return seen.mean(axis=0), seen.std(axis=0, ddof=1) / math.sqrt(RUNS), largest


def _bounds(effort, power=0.125, level=NOISE / 4.0):
    models = [_model(width, dimension) for dimension in (1, 5, 20, 100) for width in (10, 10**3, 10**5, 10**7)]
    exact = [escape.growth_probability(model) for model in models]
    bound = [2.0 * math.sqrt(model.dimension / math.pi) * model.width**-power for model in models]
    falls, run = _sample(_widths(effort), 1, level), np.array(effort.choose((100, 400), (100, 400, 1600)))
    mean, stderr, largest = (np.array(each) for each in zip(*(_along(int(width), level) for width in run)))
    seen = "; ".join(f"m={width}: P(DW > 0) = {up:.3f}, P(fall) = {down:.3f}, largest DW = {most:.3g}"
                     for width, (up, down), most in zip(run, mean, largest))
    return judges.every(
        grows=judges.inequality(exact, bound, at={"m": [model.width for model in models]}),
        falls=judges.inequality(0.25 - falls.mean, 0.0, stderr=falls.stderr, at={"m": np.array(_widths(effort))}),
        lazy_grows=judges.inequality(mean[:, 0], 2.0 * math.sqrt(DIMENSION / math.pi) * run**-power,
                                     stderr=stderr[:, 0], at={"m": run}),
        lazy_falls=judges.inequality(0.25 - mean[:, 1], 0.0, stderr=stderr[:, 1], at={"m": run}, over=seen))


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
