"""Claims: in-context n-grams under any similarity of patches of several numbers, n and d beyond (2, 1)."""

from functools import cache

import numpy as np

from ...sims import streams
from ...theory.induction_heads import generic, lag_selection, ridge_network, targets
from .. import judges
from ..claim import claim
from .paper import INDUCTION

CASES = ((2, 1), (2, 2), (3, 1))
"""(n, d)."""
RANKS = (1, 3, 6)


@claim("generic_patches", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="reconstructed",
       statement="singular functions in ridge hinges, (n,d) = (2,1), (2,2), (3,1): |GIH_n - TF| <= max_s |logit error|")
def generic_patches(effort):
    """Two smooth similarities and exp(-sum |q_j - k_j|), sequences of 24 tokens; K = 1, 3, 6 with 24 K hinges."""
    return _outputs(effort, targets.generic_induction)


@generic_patches.control("a target that compares with patches one place later")
def _(effort):
    def later(tokens, similarity, n):
        stacked = targets.patches(tokens, n)
        logits = np.exp(similarity(stacked[:, -1:], stacked[:, 1:-1]))
        return ((logits / logits.sum(axis=1, keepdims=True))[..., None] * tokens[:, n - 1:-1]).sum(axis=1)
    return _outputs(effort, later)


@claim("generic_patches_logit", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="derived",
       statement="features off by d, e: T <= |g - logit|_2 <= T + |s d|_2 + |s e|_2 + sum_i s_i |d_i||e_i|, T tail_K")
def generic_patches_logit(effort):
    """``tail_K^2 = sum_{i>K} sigma_i^2``, norms of L^2; below by Schmidt's theorem, above by orthogonality.

    m = 1, 2 and two smooth similarities, K = 1, 3, 6, with 8 K and 32 K hinges; on nodes that did not serve the fit.
    """
    return _logits(effort, lambda tail, network: (tail, tail + network))


@generic_patches_logit.control("no part of the network")
def _(effort):
    return _logits(effort, lambda tail, network: (tail, tail))


@generic_patches_logit.control("no tail: as if g had K singular values")
def _(effort):
    return _logits(effort, lambda tail, network: (0.0, network))


@generic_patches_logit.control("a least error of tail and network together")
def _(effort):
    return _logits(effort, lambda tail, network: (tail + network, 2.0 * (tail + network)))


@claim("generic_tail", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n", stance="derived",
       statement="patches of m = (n-1)d numbers, m = 1, 2: int int (g - g_K)^2 = sum_{i>K} sigma_i^2")
def generic_tail(effort):
    """Two smooth similarities, the integral on Gauss nodes of another order than the decomposition's, to 1e-8.

    And one with a kink, exp(-sum |q_j - k_j|), in closed form: its integrals split at q_j = k_j, where both parts are
    smooth, and the tail is what the K largest leave of ``int int g^2 = (3/2 + e^-4/2)^m``.
    """
    return _tail(effort, lambda first, trace, square: square)


@generic_tail.control("sum_{i>K} sigma_i, the tail of a trace")
def _(effort):
    return _tail(effort, lambda first, trace, square: trace)


@generic_tail.control("the first singular value beyond K alone")
def _(effort):
    return _tail(effort, lambda first, trace, square: first**2)


def _gaussian(query, key):
    return np.exp(-((query - key) ** 2).sum(axis=-1))


def _exponential(query, key):
    return np.exp(-np.abs(query - key).sum(axis=-1))


def _asymmetric(query, key):
    return np.sin((query - 2.0 * key).sum(axis=-1)) + np.exp(-((query - 0.5 * key) ** 2).sum(axis=-1))


SIMILARITIES = {"gaussian": _gaussian, "asymmetric": _asymmetric}


def _outputs(effort, target):
    parts = {}
    for n, d in CASES:
        replicas = np.arange(effort.choose(12, 600))
        draws = streams.uniforms(streams.key(0, "induction_heads.patches"), replicas, n, 24 * d, dtype=np.float64)
        tokens = 2.0 * draws.reshape(-1, 24, d) - 1.0
        stacked = targets.patches(tokens, n)
        for name, similarity in (*SIMILARITIES.items(), ("exponential", _exponential)):
            wanted, exact = target(tokens, similarity, n), similarity(stacked[:, -1:], stacked[:, :-2])
            for rank in RANKS:
                trace = _model(name, n, d, rank).trace(tokens)
                query, key = np.split(trace.hidden[..., n * d:], 2, axis=-1)
                logit = np.abs((query[:, -1:] * key[:, n - 1:-1]).sum(axis=-1) - exact).max(axis=-1)
                parts[f"n={n} d={d} {name} K={rank}"] = judges.inequality(
                    np.abs(trace.output - wanted).max(axis=-1), logit)
    return judges.every(**parts)


@cache
def _model(name, n, d, rank):
    whole = _decomposition(name, (n - 1) * d)
    return ridge_network.patch_model(whole.truncated(rank), n, 24 * rank, lag_selection.spaced_nodes(n - 1, 1e-6))


@cache
def _decomposition(name, size):
    if name == "exponential":
        return generic.exponential_decomposition(RANKS[-1], size)
    return generic.decompose(SIMILARITIES[name], size, RANKS[-1], 160 if size == 1 else 20)


def _cases(effort):
    """Size, name, similarity, decomposition to K = 6 and all resolved singular values, nodes and weights."""
    for size, order, resolved, other in ((1, 60, 10, 201), (2, 20, 40, effort.choose(23, 41))):
        for name, similarity in SIMILARITIES.items():
            whole = generic.decompose(similarity, size, resolved, order)
            yield size, name, similarity, whole, *generic.tensor_rule(size, other)


def _tail(effort, tail):
    parts = {}
    for size, name, similarity, whole, nodes, weight in _cases(effort):
        matrix = similarity(nodes[:, None], nodes[None])
        for rank in RANKS:
            cut, rest = whole.truncated(rank), whole.values[rank:]
            gap = matrix - (cut.left(nodes) * cut.values) @ cut.right(nodes).T
            parts[f"m={size} {name} K={rank}"] = judges.equal(
                weight @ gap**2 @ weight, tail(rest[0], rest.sum(), (rest**2).sum()), rtol=1e-8)
    for size, order in ((1, 32), (2, effort.choose(12, 16))):      # frequencies to 8 and, of products, to 3
        query, key, weight = _split_rule(size, order)
        for rank in RANKS:
            *seen, first = generic.exponential_decomposition(rank + 1, size).values
            gap = _exponential(query, key) - generic.exponential_decomposition(rank, size)(query, key)
            square = (1.5 + 0.5 * np.exp(-4.0)) ** size - np.square(seen).sum()
            parts[f"m={size} exponential K={rank}"] = judges.equal(
                weight @ gap**2, tail(first, 2.0**size - np.sum(seen), square), rtol=1e-8)
    return judges.every(**parts)


def _split_rule(size, order):
    """Pairs of patches (p, m), (p, m) and weights (p,): Gauss nodes for q_j, and for k_j below and above each."""
    points, weights = np.polynomial.legendre.leggauss(order)
    q = np.broadcast_to(points[:, None, None], (order, 2, order))
    below, above = 0.5 * (q + 1.0), 0.5 * (1.0 - q)
    width = np.stack([below[:, 0], above[:, 0]], axis=1)
    k = np.stack([-1.0 + below[:, 0] * (points + 1.0), 1.0 - above[:, 0] * (points + 1.0)], axis=1)
    one = (weights[:, None, None] * width * weights).ravel()
    places = np.indices((one.size,) * size).reshape(size, -1).T
    return q.ravel()[places], k.ravel()[places], one[places].prod(axis=1)


def _logits(effort, limits):
    """Errors in L^2 between two limits, both of which hold for the discrete sums themselves (to 1e-8, the tail's)."""
    parts = {}
    for label, error, tail, network in _logit_errors(effort):
        low, high = limits(tail, network)
        parts[label] = judges.every(least=judges.inequality(low, error, rtol=1e-8),
                                    most=judges.inequality(error, high, rtol=1e-8))
    return judges.every(**parts)


@cache
def _logit_errors(effort):
    """Label, error, tail and the network's part of every case."""
    found = []
    for size, name, similarity, whole, nodes, weight in _cases(effort):
        matrix = similarity(nodes[:, None], nodes[None])
        for rank in RANKS:
            cut, tail = whole.truncated(rank), np.sqrt((whole.values[rank:] ** 2).sum())
            for times in (8, 32):
                sides, gaps = [], []
                for side in (cut.left, cut.right):
                    inward, bias, outward = ridge_network.fit(side, size, times * rank)
                    sides.append(np.maximum(nodes @ inward.T + bias, 0.0) @ outward)
                    gaps.append(np.sqrt(weight @ (sides[-1] - side(nodes)) ** 2))
                error = np.sqrt(weight @ (matrix - (sides[0] * cut.values) @ sides[1].T) ** 2 @ weight)
                network = (np.sqrt((cut.values**2 * gaps[0] ** 2).sum()) + np.sqrt((cut.values**2 * gaps[1] ** 2).sum())
                           + (cut.values * gaps[0] * gaps[1]).sum())
                found.append((f"m={size} {name} K={rank} M={times * rank}", error, tail, network))
    return found
