"""Claims: an n-gram under any similarity, by singular functions and a feed-forward network.

The similarity with a known decomposition is ``g(q, k) = exp(-|q - k|)`` on [-1, 1]^2: its singular values fall like
i^-2 (alpha = 1), the second derivatives of its singular functions grow like i^2 (gamma = 2).
"""

from functools import cache

import numpy as np

from ...sims import streams
from ...theory.induction_heads import generic, targets
from ...theory.induction_heads.attention import softmax
from .. import judges
from ..claim import claim
from .paper import INDUCTION

GRID = np.linspace(-1.0, 1.0, 1001)


def _exponential(query, key):
    return np.exp(-np.abs(query - key).sum(axis=-1))


def _gaussian(query, key):
    return np.exp(-((query - key) ** 2).sum(axis=-1))


@claim("generic_truncation", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="reconstructed",
       statement="sigma_i ~ i^-(1+alpha): K features leave sup |g - g_K| ~ K^-alpha; 8/(pi^2 K) for exp(-|q-k|)")
def generic_truncation(effort):
    """K = 8 to 512.  The discrete decomposition has the singular values of the closed form, up to order^-2."""
    order = effort.choose(200, 800)
    numeric, exact = generic.decompose(_exponential, 1, 10, order), generic.exponential_decomposition(10)
    values = judges.equal(numeric.values, exact.values, rtol=250.0 / order**2)
    ranks = np.round(2 ** np.arange(3.0, 9.25, 0.5)).astype(int)
    errors = _truncations(generic.exponential_decomposition(512), _exponential, ranks)
    limit = judges.equal(ranks[-1] * errors[-1], 8.0 / np.pi**2, rtol=2.0 / ranks[-1], over="K sup |g - g_K|, K = 512")
    return judges.every(values=values, rate=judges.exponent(ranks, errors, -1.0, 0.02, limit="large"), constant=limit)


@generic_truncation.control("a smooth similarity, exp(-(q - k)^2), whose singular values fall faster than any power")
def _(effort):
    ranks = np.arange(2, 11)
    errors = _truncations(generic.decompose(_gaussian, 1, 10, 60), _gaussian, ranks)
    return judges.exponent(ranks, errors, -1.0, 0.02, limit="large")


@generic_truncation.control("sigma_i in place of their sum beyond K: K^-2")
def _(effort):
    ranks = 2 ** np.arange(1, 10)
    return judges.exponent(ranks, generic.exponential_decomposition(513).values[ranks], -1.0, 0.02, limit="large")


@claim("generic_network", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n", stance="derived",
       statement="w segments: network error -> max_x sum_{i<=K} (2 - sigma_i) phi_i(x)^2/w^2 ~ 2 K/w^2 for exp(-|q-k|)")
def generic_network(effort):
    """K = 4..64 (full: 128), w = 16, 32 and 64 K.  Neglected: the square of the phase of a segment, pi K/w, and 1/w."""
    return _network(effort, lambda d: ((2.0 - d.values) * d.left(GRID[:, None]) ** 2).sum(axis=-1).max())


@generic_network.control("the error of one feature, as if they did not add up")
def _(effort):
    return _network(effort, lambda d: 2.0)


@generic_network.control("second derivatives without their singular values: sum_i |phi_i'' phi_i|/w^2 ~ K^3/w^2")
def _(effort):
    return _network(effort, lambda d: ((2.0 / d.values - 1.0) * d.left(GRID[:, None]) ** 2).sum(axis=-1).max())


@claim("generic_rate", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n", stance="derived",
       statement="spline network, K ~ w: error ~ 1/M with M neurons shared by all features, ~ M^(-1/2) with their own")
def generic_rate(effort):
    """K = w/2, w = 8 to 256 (full: 512): M = 2(w + 1) shared, or K times as many."""
    return _rates(effort, -1.0, -0.5)


@generic_rate.control("1/2 for shared, 1/4 for own neurons: half the rate")
def _(effort):
    return _rates(effort, -0.5, -0.25)


@generic_rate.control("own neurons at the rate of shared ones")
def _(effort):
    return _rates(effort, -1.0, -1.0)


@claim("generic_output", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n", stance="reconstructed",
       statement="|GIH_2 - TF| <= max_s |logit error| for every sequence, and both fall as K, w and p grow")
def generic_output(effort):
    """Scalar tokens, L = 32; K = 2, 8, 32 with w = 4 K and p = log(1000 K), for two similarities."""
    return _outputs(effort, targets.generic_induction)


@generic_output.control("a target that compares x_L with x_s in place of x_{s-1}")
def _(effort):
    def unshifted(tokens, similarity, n):
        weights = softmax(similarity(tokens[..., -1:, :], tokens[..., 1:-1, :]))
        return (weights[..., None, :] @ tokens[..., 1:-1, :])[..., 0, :]
    return _outputs(effort, unshifted)


def _truncations(decomposition, similarity, ranks):
    """Largest error on a grid of pairs, whose diagonal has it, for each rank."""
    points = GRID[:, None]
    left, right = decomposition.left(points) * decomposition.values, decomposition.right(points)
    exact = similarity(points[:, None], points[None])
    return np.array([np.abs(exact - left[:, :rank] @ right[:, :rank].T).max() for rank in ranks])


@cache
def _spline_error(rank, segments):
    """Largest error of the logit, and of the network's part alone, where they are largest.

    Keys at the ends, the middle and the quarters of all segments; queries in the middle of those within 4/K of one end,
    where the profile of the error has its maximum, and at 64 other places.
    """
    decomposition = generic.exponential_decomposition(rank)
    fine = np.linspace(-1.0, 1.0, 4 * segments + 1)
    edge = fine[2:2 + 8 * max(1, segments // rank):4]
    few = np.unique(np.concatenate([fine[:: max(1, segments // 64) * 4 + 1], edge, fine[-4:]]))
    (made, features), (some, fewer) = (_features(decomposition, segments, points) for points in (fine, few))
    logits = (some * decomposition.values) @ made.T
    return (np.abs(logits - np.exp(-np.abs(few[:, None] - fine))).max(),
            np.abs(logits - (fewer * decomposition.values) @ features.T).max())


def _features(decomposition, segments, points):
    knots, start, bends = generic.spline(decomposition.left, segments)
    return start + np.maximum(points[:, None] - knots, 0.0) @ bends, decomposition.left(points[:, None])


def _network(effort, constant):
    ranks, times = 2 ** np.arange(2, effort.choose(7, 8)), np.array([16, 32, 64])
    errors = [[_spline_error(int(rank), int(each * rank))[1] * (each * rank) ** 2 for each in times] for rank in ranks]
    expected = np.array([constant(generic.exponential_decomposition(int(rank))) for rank in ranks])[:, None]
    neglected = np.pi**2 / times**2 + 2.0 / (times * ranks[:, None])
    return judges.inequality(np.abs(errors / expected - 1.0), neglected, at={"K": ranks[:, None], "w/K": times},
                             over="relative deviation of w^2 times the error")


def _rates(effort, shared, own):
    segments = 2 * np.round(2 ** np.arange(2.0, effort.choose(7.25, 8.25), 0.25)).astype(int)
    errors = np.array([_spline_error(int(width // 2), int(width))[0] for width in segments])
    return judges.every(shared=judges.exponent(2 * (segments + 1), errors, shared, 0.03, limit="large"),
                        own=judges.exponent(segments * (segments + 1), errors, own, 0.03, limit="large"))


def _outputs(effort, target):
    tokens = 2.0 * streams.uniforms(streams.key(0, "induction_heads.scalars"), np.arange(effort.choose(100, 1000)), 0,
                                    32, dtype=np.float64)[..., None] - 1.0
    parts = {}
    for name, similarity, whole in (
            ("exponential", _exponential, generic.exponential_decomposition(32)),
            ("asymmetric", _asymmetric, generic.decompose(_asymmetric, 1, 32, 400))):
        wanted, exact = target(tokens, similarity, 2), similarity(tokens[:, -1:], tokens[:, :-2])
        errors = []
        for rank in (2, 8, 32):
            model = generic.generic_model(whole.truncated(rank), 4 * rank, (1e-3 / rank,))
            trace = model.trace(tokens)
            features = trace.hidden[:, -1:, 2:2 + rank], trace.hidden[:, 1:-1, 2 + rank:]
            logit = np.abs((features[0] * features[1]).sum(axis=-1) - exact).max(axis=-1)
            output = np.abs(trace.output - wanted).max(axis=-1)
            errors.append((logit.max(), output.max()))
            parts[f"{name} K={rank}"] = judges.inequality(output, logit)
        errors = np.array(errors)
        parts[f"{name} falls"] = judges.inequality(errors[1:], errors[:-1] / 2.5)
    return judges.every(**parts)


def _asymmetric(query, key):
    return np.sin(3.0 * (query - 2.0 * key)).sum(axis=-1) + np.exp(-np.abs(query - 0.5 * key).sum(axis=-1))
