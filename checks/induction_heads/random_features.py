"""Claims: a network with random hinges approximates the logit at the rate M^-1/2, with the best K at M^-2/9."""

from functools import cache

import numpy as np

from ...sims import engine
from ...sims.induction_heads.random_features import RandomFeatures
from ...theory.induction_heads import generic
from ...theory.induction_heads import random_features as theory
from .. import judges
from ..claim import claim
from .paper import INDUCTION

PAIRS = (np.array([1.0, 0.3, -0.6, 0.0]), np.array([1.0, 0.5, 0.7, -1.0]))
RANK = 4


@claim("random_features_error", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="derived",
       statement="own random hinges: E err^2 = b^2 + sum sigma^2 (phi^2 V(k)/w + phi^2 V(q)/w + V V/w^2)")
def random_features_error(effort):
    """K = 4 features of exp(-|q - k|), w = 64 and 512 hinges each, four pairs (q, k)."""
    return _simulated(effort, lambda decomposition, hinges: theory.mean_square_error(decomposition, hinges, *PAIRS))


@random_features_error.control("an error that falls like 1/w in place of w^-1/2")
def _(effort):
    def faster(decomposition, hinges):
        bias = theory.mean_square_error(decomposition, np.inf, *PAIRS)
        return bias + (theory.mean_square_error(decomposition, hinges, *PAIRS) - bias) * 64.0 / hinges
    return _simulated(effort, faster)


@random_features_error.control("without the truncation b")
def _(effort):
    return _simulated(effort, lambda decomposition, hinges:
                      theory.mean_square_error(decomposition, hinges, *PAIRS)
                      - theory.mean_square_error(decomposition, np.inf, *PAIRS))


@claim("random_features_rate", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="derived",
       statement="exp(-|q-k|), M random neurons, best K: root mean square error ~ M^-2/9, better than the bound M^-1/5")
def random_features_rate(effort):
    """At q = k = 1, where the truncation is largest; M = 10^9 to 10^15, K up to 1500 (closed form).

    To leading order in 1/K the mean square is ``(8/pi^2)^2/K^2 + (128/3) K^2/M + (64 pi^4/45) K^7/M^2``: ``sigma_i ~
    2/omega^2``, ``V_i ~ (8/3) omega^4``, omega ~ i pi/2, w = M/(2 K).  Its minimum over K is ``~ M^-4/9``.  Sums over
    i differ from the integrals they were taken for by parts 1/K, O(1/K) and 5/(2K): the last is what is allowed.
    """
    return _rate(lambda neurons, ranks: _law(neurons, ranks, 1.0))


@random_features_rate.control("M^-1/5, the rate of the bound")
def _(effort):
    return _rate(lambda neurons, ranks: _law(neurons, ranks, 1.0) * (neurons / 1e9) ** (4 / 9 - 2 / 5))


@random_features_rate.control("M^-1/4, without the product of both errors, V V/w^2")
def _(effort):
    return _rate(lambda neurons, ranks: _law(neurons, ranks, 0.0))


@random_features_rate.control("without the single errors, which are a part M^-1/9 of it")
def _(effort):
    return _rate(lambda neurons, ranks: _law(neurons, ranks, 1.0) - 128 / 3 * ranks**2 / neurons)


def _simulated(effort, expected):
    parts, decomposition = {}, generic.exponential_decomposition(RANK)
    for hinges in (64, 512):
        parts[f"w={hinges}"] = judges.monte_carlo(_errors(effort, hinges), expected(decomposition, hinges),
                                                  resolution=0.3, at={"q": PAIRS[0], "k": PAIRS[1]})
    return judges.every(**parts)


@cache
def _errors(effort, hinges):
    return engine.estimate(RandomFeatures(RANK, hinges, *PAIRS), replicas=effort.choose(7000, 70_000), seed=0,
                           **effort.engine)


def _law(neurons, ranks, product):
    return (64 / np.pi**4 / ranks**2 + 128 / 3 * ranks**2 / neurons
            + product * 64 * np.pi**4 / 45 * ranks**7 / neurons**2)


def _rate(law):
    """Least mean squares over K, of the closed form and of the law on the same grid of K."""
    neurons, ranks, square = _best_ranks()
    best = ranks[square.argmin(axis=1)]
    ratio = square.min(axis=1) / law(neurons[:, None], ranks.astype(float)).min(axis=1)
    return judges.inequality(np.abs(ratio - 1.0), 2.5 / best, at={"M": neurons, "K": best},
                             over="relative deviation of the mean square from its law")


@cache
def _best_ranks():
    """Mean square errors, one row for each M and one column for each K."""
    neurons, ranks = 10.0 ** np.arange(9.0, 15.1, 0.5), np.unique(np.round(2 ** np.arange(4.0, 10.6, 0.05)).astype(int))
    widest = generic.exponential_decomposition(int(ranks[-1]))
    feature = widest.left(np.ones(1)) ** 2
    variance = theory.hinge_variance(widest, [1.0])[0]
    unseen = 1.0 - np.cumsum(widest.values * feature)
    once, twice = np.cumsum(2 * widest.values**2 * feature * variance), np.cumsum(widest.values**2 * variance**2)
    hinges = neurons[:, None] / (2 * ranks)
    return neurons, ranks, unseen[ranks - 1] ** 2 + once[ranks - 1] / hinges + twice[ranks - 1] / hinges**2
