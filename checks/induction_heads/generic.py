"""Claims: an n-gram under any similarity, by singular functions and a feed-forward network.

The similarity with a known decomposition is ``g(q, k) = exp(-|q - k|)`` on [-1, 1]^2: its singular values fall like
i^-2 (alpha = 1), the second derivatives of its singular functions grow like i^2 (gamma = 2).  With
``sigma_i = 2/(1 + omega_i^2)``, ``phi_i(+-1)^2 = omega_i^2/(2 + omega_i^2)``, ``phi_i^2 <= (1 + omega_i^2)/(2 +
omega_i^2)`` and ``i pi/2 <= omega_i <= i pi/2 + 2/(i pi)``, i = 0, 1, ..., errors are enclosed at every K and w, and no
tolerance is left to choose:

*Truncation.*  ``sup |g - g_K|`` is at most ``sum_{i>=K} 2/(2 + omega_i^2) <= (8/pi^2) sum_{i>=K} i^-2`` and, at
q = k = 1, at least that less ``(160/pi^4) sum_{i>=K} i^-4``.

*Splines.*  The logit of the network is the bilinear interpolant of ``g_K``, off by at most ``w^-2 max |d^2 g_K/dq^2|
<= w^-2 sum_{i<K} 2 omega_i^2/(2 + omega_i^2)``.  In the middle of a segment a feature is too small by the factor
``cos(omega_i/w)``; at q = k = 1 - 1/w that makes ``w^-2 sum_{i<K} 2 omega_i^4/((1 + omega_i^2)(2 + omega_i^2))`` times
``1 - 4 omega_{K-1}^2/(3 w^2)`` at least.  The two sums differ by less than 1.
"""

from functools import cache

import numpy as np
from scipy.special import polygamma, zeta

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
    """K = 1 to 512 between the limits of the module.  The discrete decomposition has the values of the closed form.

    At a node where g has a kink of slope 2, quadrature with nodes ``pi (1-x^2)^(1/2)/order`` apart is off by a sixth of
    the square of that; so ``sigma_i`` is by ``pi^2/(6 order^2) int (1-x^2) phi_i^2``, and that integral is below 1.
    """
    order = effort.choose(200, 800)
    numeric, exact = generic.decompose(_exponential, 1, 10, order), generic.exponential_decomposition(10)
    values = judges.equal(numeric.values, exact.values, atol=np.pi**2 / (6.0 * order**2))
    ranks = np.unique(np.round(2 ** np.arange(0.0, 9.25, 0.5)).astype(int))
    return judges.every(values=values, **_enclosed(ranks, _truncations(generic.exponential_decomposition(512),
                                                                       _exponential, ranks)))


@generic_truncation.control("a smooth similarity, exp(-(q - k)^2), whose singular values fall faster than any power")
def _(effort):
    ranks = np.arange(2, 11)
    errors = _truncations(generic.decompose(_gaussian, 1, 10, 60), _gaussian, ranks)
    return judges.every(**_enclosed(ranks, errors))


@generic_truncation.control("sigma_i in place of their sum beyond K: K^-2")
def _(effort):
    ranks = 2 ** np.arange(1, 10)
    return judges.every(**_enclosed(ranks, generic.exponential_decomposition(513).values[ranks]))


@generic_truncation.control("half the constant: an error that is spread evenly, not gathered at the ends")
def _(effort):
    ranks = 2 ** np.arange(1, 10)
    return judges.every(**_enclosed(ranks, 4.0 / (np.pi**2 * ranks)))


@claim("generic_network", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n", stance="derived",
       statement="exp(-|q-k|), w segments: network error between sum 2 o^4/((1+o^2)(2+o^2)) (1 - 4 o_K^2/(3w^2)) / w^2 "
                 "and sum 2 o^2/(2+o^2) / w^2, o = omega_i, i <= K: ~ 2 K/w^2")
def generic_network(effort):
    """K = 3..48 (full: 96), w = 5, 12 and 40 K, between the limits of the module."""
    return _network(effort, lambda square: (2.0 * square**2 / ((1.0 + square) * (2.0 + square)),
                                            2.0 * square / (2.0 + square)))


@generic_network.control("the error of one feature, as if they did not add up")
def _(effort):
    return _network(effort, lambda square: (2.0 * (square == square.max()), 2.0 * (square == square.max())))


@generic_network.control("second derivatives without their singular values: sum_i |phi_i'' phi_i|/w^2 ~ K^3/w^2")
def _(effort):
    return _network(effort, lambda square: (square, square))


@generic_network.control("phases at random: features add up as on average, half as much")
def _(effort):
    return _network(effort, lambda square: (0.5 * square / (1.0 + square), square / (1.0 + square)))


@claim("generic_rate", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n", stance="derived",
       statement="spline network, K ~ w: error ~ 1/M with M neurons shared by all features, ~ M^(-1/2) with their own")
def generic_rate(effort):
    """K = w/2, w/3, w/5, K = 4 to 100 (full: 200): M = 2(w + 1) shared, or K times as many.

    The error is between the truncation and the sum of both limits of the module, all of them ~ 1/w; the error times M
    or M^(1/2) may change by as much as they are apart.
    """
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
    """Scalar tokens, L = 32; K = 2, 8, 32 with w = 4 K and p = log(1000 K), for two similarities.

    For ``exp(-|q - k|)`` the error of the logit is below truncation + spline + ``2 e^{-p} sum_i sigma_i omega_i``, the
    last for what the first layer fetches.
    """
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


def _squares(rank):
    """``omega_i^2``, i < K."""
    return 2.0 / generic.exponential_decomposition(rank).values - 1.0


def _enclosed(ranks, errors):
    """Truncation errors between the limits of the module."""
    most = 8.0 / np.pi**2 * polygamma(1, ranks)
    return {"least": judges.inequality(most - 160.0 / np.pi**4 * zeta(4, ranks), errors, at={"K": ranks}),
            "most": judges.inequality(errors, most, at={"K": ranks})}


def _network(effort, limits):
    """``w^2`` times the network's error between sums over the features of two limits of ``omega^2``."""
    ranks, times = 3 * 2 ** np.arange(effort.choose(5, 6)), np.array([5, 12, 40])
    errors, least, most = (np.empty((ranks.size, times.size)) for _ in range(3))
    for row, rank in enumerate(ranks.tolist()):
        square = _squares(rank)
        low, high = (limit.sum() for limit in limits(square))
        for column, segments in enumerate((rank * times).tolist()):
            errors[row, column] = _spline_error(rank, segments)[1] * segments**2
            least[row, column], most[row, column] = low * (1.0 - 4.0 * square[-1] / (3.0 * segments**2)), high
    at = {"K": ranks[:, None], "w/K": times}
    return judges.every(least=judges.inequality(least, errors, at=at), most=judges.inequality(errors, most, at=at))


def _rates(effort, shared, own):
    parts, ranks = {}, np.unique(np.round(2 ** np.arange(2.0, effort.choose(6.7, 7.7), 0.25)).astype(int))
    for ratio in (2, 3, 5):
        segments = ratio * ranks
        errors = np.array([_spline_error(int(rank), int(width))[0] for rank, width in zip(ranks, segments)])
        least = 8.0 / np.pi**2 * polygamma(1, ranks) - 160.0 / np.pi**4 * zeta(4, ranks)
        most = 8.0 / np.pi**2 * polygamma(1, ranks) + 2.0 * ranks / segments**2
        apart = (most * (segments + 1)).max() / (least * segments).min()
        for name, copies, exponent in (("shared", 1, shared), ("own", ranks, own)):
            neurons = 2 * copies * (segments + 1)
            parts[f"w={ratio}K {name}"] = judges.bounded(errors * neurons**-exponent, change=apart, sizes=neurons)
        parts[f"w={ratio}K least"] = judges.inequality(least, errors, at={"K": ranks})
        parts[f"w={ratio}K most"] = judges.inequality(errors, most, at={"K": ranks})
    return judges.every(**parts)


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
        parts[f"{name} falls"] = judges.inequality(errors[1:], errors[:-1])
        if name == "exponential":
            parts["exponential logit"] = judges.inequality(errors[:, 0], [_logit_bound(rank) for rank in (2, 8, 32)])
    return judges.every(**parts)


def _logit_bound(rank):
    """Truncation, spline of 4 K segments and first layer of slope log(1000 K)."""
    square = _squares(rank)
    spline = (2.0 * square / (2.0 + square)).sum() / (4 * rank) ** 2
    fetched = 2e-3 / rank * (2.0 * np.sqrt(square) / (1.0 + square)).sum()
    return 8.0 / np.pi**2 * polygamma(1, rank) + spline + fetched


def _asymmetric(query, key):
    return np.sin(3.0 * (query - 2.0 * key)).sum(axis=-1) + np.exp(-np.abs(query - 0.5 * key).sum(axis=-1))
