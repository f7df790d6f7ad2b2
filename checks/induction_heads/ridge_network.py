"""Claims: in-context n-grams under any similarity of patches of several numbers, n and d beyond (2, 1)."""

from dataclasses import replace
from functools import cache

import numpy as np

from ...sims import streams
from ...theory.induction_heads import generic, lag_selection, ridge_network, targets
from ...theory.induction_heads.attention import AttentionLayer, FeedForward
from .. import judges
from ..claim import claim
from .paper import INDUCTION

CASES = ((2, 1), (2, 2), (3, 1), (4, 1))
"""(n, d)."""
RANKS = (1, 3, 6)


@claim("generic_patches", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="reconstructed",
       statement="tokens uniform in [-1,1]^d, m = (n-1)d <= 3: rms GIH_n - TF <= (tail_K + 2 |g|_2 M^(-1/2))/2^(m+2)")
def generic_patches(effort):
    """The right is a quarter of the bound of `generic_patches_logit` as rms error of a logit at random patches.

    An output is off, to first order in the errors of the logits, by their covariance with the ``x_s`` under the
    attention: by the rms error times the deviation of ``x_s``, which is below 1, if all were of one sign.  Of 20 or
    more keys most cancels; the quarter is set.  Largest over the d numbers of a token.

    Smooth similarities and exp(-sum |q_j - k_j|), sequences of 24 tokens; (K, M) = (1, 24), (3, 72), (6, 144).  From
    the first to the last the error of smooth ones in m <= 2 falls by a factor 4 at least (set).
    """
    return _outputs(effort)


@generic_patches.control("outer weights 0: no feature is written")
def _(effort):
    def silent(model):
        network = model.feed_forward
        return replace(model, feed_forward=FeedForward(network.inward, network.bias, 0.0 * network.outward))
    return _outputs(effort, silent)


@generic_patches.control("queries and keys read from each other's places")
def _(effort):
    def swapped(model):
        return replace(model, second=AttentionLayer(model.second.slopes, model.second.key, model.second.query,
                                                    model.second.value, model.second.output))
    return _outputs(effort, swapped)


@generic_patches.control("a first layer that writes nothing")
def _(effort):
    def blank(model):
        first = model.first
        return replace(model, first=AttentionLayer(first.slopes, first.query, first.key, first.value,
                                                   0.0 * first.output))
    return _outputs(effort, blank)


@generic_patches.control("patches read from the newest token to the oldest")
def _(effort):
    return _outputs(effort, order=-1)


@claim("generic_patches_logit", topic="induction_heads", paper=INDUCTION, where="Approximation, GIH_n",
       stance="derived",
       statement="m <= 3, M hinges: tail_K <= |g - logit|_2 <= tail_K + 2 |g|_2 M^(-1/2), squares fall like 1/M")
def generic_patches_logit(effort):
    """``tail_K^2 = sum_{i>K} sigma_i^2``, norms of L^2; the least error by Schmidt's theorem.

    What the network adds should not miss the rate of random hinges: ``|g - logit|^2 - tail_K^2`` at least halves when
    M doubles.  The constant 2 is set; 1 is too small for m = 3 (K = 3, M = 48: by a sixth).  K = 2, 5, with 16 K and
    32 K hinges; on nodes that did not serve the fit.
    """
    return _logits(effort)


@generic_patches_logit.control("no part of the network")
def _(effort):
    return _logits(effort, 0.0)


@generic_patches_logit.control("no tail: as if g had K singular values")
def _(effort):
    return _logits(effort, tails=0.0)


@generic_patches_logit.control("a rate M^(-2) in every dimension, that of splines in one")
def _(effort):
    return _logits(effort, rate=2.0)


@generic_patches_logit.control("outer weights 0")
def _(effort):
    return _logits(effort, change=lambda outer: 0.0 * outer)


@generic_patches_logit.control("outer weights at random, of the size of the fitted")
def _(effort):
    def drawn(outer):
        key = streams.key(0, "induction_heads.outer_weights")
        return np.abs(outer).mean() * streams.normals(key, 0, 0, outer.size).astype(float).reshape(outer.shape)
    return _logits(effort, change=drawn)


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
    """Neither in query and key nor in the numbers of a patch: the newest count most."""
    size = query.shape[-1]
    count = np.arange(1, size + 1) / size
    return np.sin((query - 2.0 * key) @ count) + np.exp(-((query - 0.5 * key) ** 2 @ count))


SIMILARITIES = {"gaussian": _gaussian, "asymmetric": _asymmetric}


def _outputs(effort, change=lambda model: model, order=1):
    parts = {}
    for n, d in CASES:
        size = (n - 1) * d
        replicas = np.arange(effort.choose(24, 600))
        draws = streams.uniforms(streams.key(3, "induction_heads.patches"), replicas, n, 24 * d, dtype=np.float64)
        tokens = 2.0 * draws.reshape(-1, 24, d) - 1.0
        for name, similarity in (*SIMILARITIES.items(), ("exponential", _exponential)):
            wanted = targets.generic_induction(
                tokens, lambda q, k, g=similarity: g(q[..., ::order], k[..., ::order]), n)
            errors, most = [], []
            square, values = _spectrum(name, size)
            for rank in RANKS:
                gap = change(_model(name, n, d, rank))(tokens) - wanted
                errors.append(np.sqrt((gap**2).mean(axis=0).max()))
                tail = np.sqrt(max(square - (values[:rank] ** 2).sum(), 0.0))
                most.append((tail + 2.0 * np.sqrt(square / (24 * rank))) / 2.0 ** (size + 2))
            parts[f"n={n} d={d} {name}"] = judges.inequality(errors, most, at={"K": np.array(RANKS)})
            if size <= 2 and name in SIMILARITIES:
                parts[f"n={n} d={d} {name} falls"] = judges.inequality(4.0 * errors[-1], errors[0])
    return judges.every(**parts)


@cache
def _model(name, n, d, rank):
    whole = _decomposition(name, (n - 1) * d)
    nodes = lag_selection.spaced_nodes(n - 1, 10.0 ** (n - 8))       # the more lags, the sooner rounding rules
    return ridge_network.patch_model(whole.truncated(rank), n, 24 * rank, nodes)


@cache
def _decomposition(name, size):
    if name == "exponential":
        return generic.exponential_decomposition(RANKS[-1], size)
    order, resolved = ((60, 10), (20, 40), (8, 120))[size - 1]
    return generic.decompose(SIMILARITIES[name], size, resolved, order)


def _spectrum(name, size):
    """``|g|_2^2`` and the leading singular values."""
    values = _decomposition(name, size).values
    return (1.5 + 0.5 * np.exp(-4.0)) ** size if name == "exponential" else (values**2).sum(), values


def _cases(effort, sizes):
    """Size, name, similarity, decomposition to all resolved singular values, nodes and weights of another order."""
    for size in sizes:
        other = (201, effort.choose(23, 41), effort.choose(9, 13))[size - 1]
        for name, similarity in SIMILARITIES.items():
            yield size, name, similarity, _decomposition(name, size), *generic.tensor_rule(size, other)


def _tail(effort, tail):
    parts = {}
    for size, name, similarity, whole, nodes, weight in _cases(effort, (1, 2)):
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


def _logits(effort, constant=2.0, rate=0.5, tails=1.0, change=lambda outer: outer):
    """Errors in L^2 between two limits; the least holds for the discrete sums themselves (to 1e-8, the tail's)."""
    parts = {}
    for size, name, rank, values, weight, matrix, layers in _fits(effort):
        tail, norm, excess = np.sqrt((values[rank:] ** 2).sum()), np.sqrt((values**2).sum()), []
        for hidden, outer in layers:
            left, right = (hidden @ change(outward) for outward in outer)
            error = np.sqrt(weight @ (matrix - (left * values[:rank]) @ right.T) ** 2 @ weight)
            neurons = hidden.shape[1] - size - 1
            most = tails * tail + constant * norm * neurons**-rate
            excess.append(error**2 - tail**2)
            parts[f"m={size} {name} K={rank} M={neurons}"] = judges.every(
                least=judges.inequality(tail, error, rtol=1e-8), most=judges.inequality(error, most, rtol=1e-8))
        parts[f"m={size} {name} K={rank} falls"] = judges.inequality(2.0 ** (2.0 * rate) * excess[1], excess[0])
    return judges.every(**parts)


@cache
def _fits(effort):
    """Size, name, K, all singular values; weights and similarities at the nodes; hidden layers and outer weights."""
    found = []
    for size, name, similarity, whole, nodes, weight in _cases(effort, (1, 2, 3)):
        matrix = similarity(nodes[:, None], nodes[None])
        for rank in (2, 5):
            cut, layers = whole.truncated(rank), []
            for neurons in (16 * rank, 32 * rank):
                (inward, bias, left), (*_, right) = (ridge_network.fit(side, size, neurons)
                                                     for side in (cut.left, cut.right))
                layers.append((np.maximum(nodes @ inward.T + bias, 0.0), (left, right)))
            found.append((size, name, rank, whole.values, weight, matrix, layers))
    return found
