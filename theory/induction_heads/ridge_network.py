r"""In-context n-grams under any similarity of patches of any size: singular functions written by ridge hinges.

A patch has m = (n-1) d numbers.  The singular functions of g on ``[-1, 1]^m x [-1, 1]^m`` (:func:`.generic.decompose`)
are approximated by one hidden layer that all of them share,

    f(x) ~ c_0 + sum_i b_i x_i + sum_{j<=M} c_j ReLU(a_j . x - t_j),

with unit directions ``a_j`` and thresholds ``t_j`` of a low-discrepancy sequence over the range of ``a_j . x``, and
outer weights by least squares at the Gauss nodes.  A linear function on the cube is a hinge that never closes.  The
model is that of :mod:`.generic`, D = n d + 2 K, with 2 (M + m + 1) neurons, and its output is off by at most the
largest error of a logit (tokens in [-1, 1]), for every n and d.

What is known of the logit (derived): the integral of ``(g - g_K)^2`` over both cubes is ``sum_{i>K} sigma_i^2``, and no
K features do better (Schmidt).  In M, random hinges drawn from the density that represents a function reach M^{-1/2}
in every dimension (Barron's argument); for these fitted hinges no rate in M is proved, but that one is checked.
"""

import math

import numpy as np
from scipy.special import ndtri

from .attention import AttentionLayer, FeedForward, TwoLayerAttention, whole
from .constructions import lag_layer, lag_values, patch_readers
from .generic import LARGEST_GRID, function_values, known, tensor_rule

ASTRAY = 1.25
"""Between its nodes a fit may be off by this factor more than at them."""


def hinges(size, neurons) -> tuple:
    """Directions, shape (m + 1 + M, m), and biases of the hidden layer: a constant, m lines and M ridge hinges.

    Parameters
    ----------
    size : int
        m >= 1.
    neurons : int
        M >= 1.

    Returns
    -------
    directions : ndarray, shape (m + 1 + M, m)
    biases : ndarray, shape (m + 1 + M,)

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    size, neurons = whole(size, "size", 1), whole(neurons, "neurons", 1)
    ratio = 2.0         # root of x^(m+2) = x + 1, whose powers spread m + 1 coordinates evenly
    for _ in range(80):
        ratio = (1.0 + ratio) ** (1.0 / (size + 2))
    draws = (0.5 + np.outer(np.arange(1, neurons + 1), ratio ** -np.arange(1.0, size + 2))) % 1.0
    directions = ndtri(draws[:, :size])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    thresholds = (2.0 * draws[:, size] - 1.0) * np.abs(directions).sum(axis=1)
    inward = np.concatenate([np.zeros((1, size)), np.eye(size), directions])
    return inward, np.concatenate([[1.0], np.full(size, 2.0), -thresholds])


def fit(functions, size, neurons, order=None) -> tuple:
    """Outer weights of K functions by least squares.

    Parameters
    ----------
    functions : callable
        From points (p, m) to values (p, K).
    size, neurons : int
        m and M, at least 1.
    order : int, optional
        Gauss nodes in each dimension; order^m at least m + 1 + M, the number of weights, at most 4096, and by default,
        within that, 4 times the weights for m <= 2, 16 times for m >= 3, where a hinge may cut off a corner with
        hardly a node in it.

    Returns
    -------
    inward, bias, outward : ndarray, shapes (m + 1 + M, m), (m + 1 + M,), (m + 1 + M, K)

    Raises
    ------
    ValueError
        Out of these ranges, if the values are not finite or of another shape, or if the fit goes astray between the
        nodes: if the root mean square of its error at the nodes of order + 1 is above 5/4 of that at its own.
    """
    inward, bias = hinges(size, neurons)
    order = _order(size, bias.size) if order is None else whole(order, "order", 2)
    if order**size < bias.size:
        raise ValueError(f"order is {order} in dimension {size}; order^size must be at least {bias.size}, the weights")
    if order**size > LARGEST_GRID:
        raise ValueError(f"order is {order} in dimension {size}; order^size must be at most {LARGEST_GRID}: "
                         "fewer neurons")
    nodes, weights = tensor_rule(size, order)
    root, hidden = np.sqrt(weights)[:, None], np.maximum(nodes @ inward.T + bias, 0.0)
    values = function_values(functions, nodes)
    outward = np.linalg.lstsq(root * hidden, root * values, rcond=1e-10)[0]
    here = np.linalg.norm(root * (hidden @ outward - values))
    nodes, weights = tensor_rule(size, order + 1)
    gap = np.maximum(nodes @ inward.T + bias, 0.0) @ outward - function_values(functions, nodes)
    between = np.linalg.norm(np.sqrt(weights)[:, None] * gap)
    if not between <= ASTRAY * here + 1e-8 * np.linalg.norm(root * values):
        raise ValueError(f"order is {order} in dimension {size}; between its nodes the fit is off by {between:.3g}, at "
                         f"them by {here:.3g}: more nodes or fewer neurons")
    return inward, bias, outward


def _order(size, weights):
    """Nodes in each dimension for so many weights, within the largest grid."""
    wanted = math.ceil(((4 if size <= 2 else 16) * weights) ** (1 / size))
    return max(2, min(wanted, math.floor(LARGEST_GRID ** (1 / size) + 1e-9)))


def patch_model(decomposition, n, neurons, nodes, order=None) -> TwoLayerAttention:
    """Two layers and a network that compute GIH_n of tokens in [-1, 1]^d, d = m/(n-1); they refuse others.

    Parameters
    ----------
    decomposition : Decomposition
        Of size m, a multiple of n - 1.
    n : int
        At least 2.
    neurons : int
        M >= 1 ridge hinges for the queries and as many for the keys.
    nodes : sequence, length H >= n - 1
        ``e^{-p_h}`` of the first layer, as for :func:`.constructions.ngram_model`.
    order : int, optional
        As for :func:`fit`.

    Raises
    ------
    ValueError
        Out of these ranges, or if rounding of the value weights reaches 1 (see :func:`.constructions.lag_values`).
    """
    n, size, rank = whole(n, "n", 2), known(decomposition).size, decomposition.rank
    if size % (n - 1):
        raise ValueError(f"decomposition has patches of size {size}; it must be a multiple of n - 1 = {n - 1}")
    dimension = size // (n - 1)
    tokens, width = n * dimension, n * dimension + 2 * rank
    values, nodes = lag_values(nodes, n), tuple(nodes)
    first = lag_layer([-math.log(node) for node in nodes], values, dimension, width)
    inward, bias, outward = [], [], []
    for place, (side, reader) in enumerate(zip((decomposition.left, decomposition.right),
                                               patch_readers(n, dimension, width))):
        directions, shifts, weights = fit(side, size, neurons, order)
        written = np.zeros((shifts.size, width))
        written[:, tokens + place * rank:tokens + (place + 1) * rank] = np.sqrt(decomposition.values) * weights
        inward.append(directions @ reader)
        bias.append(shifts)
        outward.append(written)
    network = FeedForward(np.concatenate(inward), np.concatenate(bias), np.concatenate(outward).T)
    features = np.eye(width)[tokens:].reshape(2, 1, rank, width)
    second = AttentionLayer(np.zeros(1), features[0], features[1], np.eye(dimension, width)[None],
                            np.eye(dimension)[None])
    return TwoLayerAttention(np.eye(width, dimension), first, second, network, first_key=n, largest=1.0)
