r"""Weights of two attention layers that compute in-context 2-grams and n-grams.

The first layer has no dot product: by position alone, its heads write the previous tokens beside each token.  The
second has no preference for positions: its one head compares the patch that ends the sequence with the patch before
each position, by the similarity W, and reads the token there.

*2-grams, one head.*  With slope p, ``y_s = sum_j a_j x_{s-j}`` and ``1 - a_1 <= e^{-p}``; so ``|y_s - x_{s-1}| <= 2 r
e^{-p}`` for tokens within r, and, since softmax changes by at most ``||z - z'||_inf`` in the sum of moduli,

    |IH_2 - model|_inf  <=  2 r^3 ||W||_{1,1} e^{-p},        ||W||_{1,1} = sum_{ij} |W_ij|,

for every L (derived).  The 2 is sharp: see :func:`hardest_sequence`.

*n-grams, H >= n - 1 heads.*  Head h has slope ``-log u_h``; with the value weights of :mod:`.lag_selection`, block i of
``h_s`` becomes ``x_{s-i}`` up to ``r E_i`` for i = 1..n-1.  All lags share the heads, D = n d, and (derived)

    |IH_n - model|_inf  <=  r^3 ||W||_{1,1} (eps_q (1 + eps_k) + eps_k),
    eps_q = max_{i<n-1} E_i,   eps_k = max_{i<n} E_i

(eps_q = 0 for n = 2: the query of a 2-gram is the token itself).  The paper (arXiv 2410.11474; reconstructed) has a
rate H^-q for every q; here it is exponential in H on fixed nodes, and any accuracy is reached with n - 1 heads and
large slopes.
"""

import math

import numpy as np

from ..arguments import number, numbers, shown
from .attention import LARGEST, AttentionLayer, TwoLayerAttention, limited, whole
from .lag_selection import checked_nodes, exact_nodes, rounding, value_weights, vandermonde_error, workable_heads
from .targets import similarity_matrix


def bigram_model(similarity, slope) -> TwoLayerAttention:
    """Two layers of one head each, D = 2 d, that compute ``IH_2`` up to ``e^{-p}``.

    Parameters
    ----------
    similarity : array_like, shape (d, d)
        W.
    slope : float
        p > 0 of the first layer.

    Returns
    -------
    TwoLayerAttention
        Block 0 of the residual stream is ``x_s``, block 1 about ``x_{s-1}``.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    slope = _slope(slope)
    matrix = _square(similarity)
    return _matching_model(matrix, 2, np.array([slope]), np.ones((1, 1)))


def ngram_model(similarity, n, nodes) -> TwoLayerAttention:
    """H heads, then one, D = n d, that compute ``IH_n``.

    Parameters
    ----------
    similarity : array_like, shape ((n-1) d, (n-1) d)
        W, as in :func:`.targets.ngram_induction`.
    n : int
        At least 2.
    nodes : sequence, length H >= n - 1
        ``u_h = e^{-p_h}``, distinct, in (0, 1); as fractions.Fraction, the value weights are computed exactly and then
        rounded.

    Returns
    -------
    TwoLayerAttention
        Block i of the residual stream is about ``x_{s-i}``, i = 0..n-1.

    Raises
    ------
    ValueError
        Out of these ranges; with fewer heads than n - 1 the lag n - 1 is out of reach, and with many the value weights
        are so large that float64 fetches nothing (:func:`.lag_selection.rounding` reaches 1).
    """
    matrix, n, nodes = _ngram(similarity, n, nodes)
    return _matching_model(matrix, n, np.array([-math.log(node) for node in nodes]), lag_values(nodes, n))


def bigram_bound(similarity, slope, radius=1.0) -> float:
    """``2 r^3 ||W||_{1,1} e^{-p}``, above the error of :func:`bigram_model` for tokens of moduli at most r.

    Parameters
    ----------
    similarity : array_like, shape (d, d)
    slope : float
        p > 0.
    radius : float
        r > 0, at most 1e20.
    """
    return 2.0 * _radius(radius) ** 3 * float(np.abs(_square(similarity)).sum()) * math.exp(-_slope(slope))


def ngram_bound(similarity, n, nodes, radius=1.0) -> float:
    """``r^3 ||W||_{1,1} (eps_q (1 + eps_k) + eps_k)``, above the error of :func:`ngram_model`; parameters as there.

    ``radius`` bounds the moduli of the tokens.  The lag errors are exact, each with
    :func:`.lag_selection.rounding` of its value weights added: what float64 makes of the layer is within the bound.

    Raises
    ------
    ValueError
        As :func:`ngram_model`.
    """
    matrix, n, nodes = _ngram(similarity, n, nodes)
    exact = exact_nodes(nodes)
    errors = [float(vandermonde_error(exact, lag)) + rounding(values)
              for lag, values in enumerate(lag_values(nodes, n), 1)]
    key, query = max(errors), max(errors[:-1], default=0.0)
    return _radius(radius) ** 3 * float(np.abs(matrix).sum()) * (query * (1.0 + key) + key)


def hardest_sequence(length) -> np.ndarray:
    """Tokens +1, -1, +1, ... in one dimension, on which :func:`bigram_bound` is sharp.

    The first layer gives ``y_s = x_{s-1} tanh(p/2)`` for s -> infinity: every logit is off by ``-2 x_L W x_{s-1}/(e^p +
    1)``, in step with the values, so that with W = w the target ``-tanh(w)`` (for x_L = 1 and as many keys of either
    sign) becomes ``-tanh(w tanh(p/2))``, and the error over the bound tends to 1 for w -> 0, p -> infinity.

    Parameters
    ----------
    length : int
        L >= 3.

    Returns
    -------
    ndarray, shape (L, 1)
    """
    return (1.0 - 2.0 * (np.arange(whole(length, "length", 3)) % 2))[:, None]


def lag_values(nodes, n) -> np.ndarray:
    """Value weights of the lags 1..n-1 in float64.

    Parameters
    ----------
    nodes : sequence, length H >= n - 1
        ``e^{-p_h}``, distinct, in (0, 1).
    n : int
        At least 2.

    Returns
    -------
    ndarray, shape (n-1, H)

    Raises
    ------
    ValueError
        Out of these ranges, or if :func:`.lag_selection.rounding` of a lag reaches 1: float64 fetches nothing then.
    """
    n, nodes = whole(n, "n", 2), checked_nodes(nodes)
    if len(nodes) < n - 1:
        raise ValueError(f"nodes are {len(nodes)}; n = {n} takes at least {n - 1} heads")
    found = numbers([value_weights(nodes, lag) for lag in range(1, n)], "value weights")
    for lag, values in enumerate(found, 1):
        if not rounding(values) < 1:
            most = workable_heads(max(nodes), n - 1, len(nodes))
            raise ValueError(f"nodes are {len(nodes)}; float64 loses lag {lag} in rounding, on equally spaced nodes up "
                             f"to {float(max(nodes)):.4g} it bears at most {most} heads for n = {n}")
    return found


def previous_tokens(size, dimension) -> np.ndarray:
    """``W_E``, shape (size d, d), for size, d >= 1: a token goes to block 0 of the residual stream."""
    size, dimension = whole(size, "size", 1), whole(dimension, "dimension", 1)
    return np.eye(size * dimension, dimension)


def lag_layer(slopes, values, dimension, width) -> AttentionLayer:
    """The first layer: head h brings ``sum_j a_j x_{s-j}``, and block i receives ``sum_h values[i-1, h]`` of it.

    Parameters
    ----------
    slopes : array_like, shape (H,)
    values : array_like, shape (lags, H)
    dimension : int
        d >= 1; block i is the coordinates i d, ..., (i+1) d - 1.
    width : int
        D >= (lags + 1) d.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    values, dimension = limited(values, "value weights"), whole(dimension, "dimension", 1)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"value weights have shape {values.shape}; it must be (lags, H)")
    lags, heads = values.shape
    width = whole(width, "width", (lags + 1) * dimension)
    identity = np.eye(dimension)
    output = np.zeros((heads, width, dimension))
    for lag in range(1, lags + 1):
        output[:, lag * dimension:(lag + 1) * dimension] = values[lag - 1, :, None, None] * identity
    nothing = np.zeros((heads, dimension, width))
    return AttentionLayer(slopes, nothing, nothing, np.tile(np.eye(dimension, width), (heads, 1, 1)), output)


def patch_readers(n, dimension, width) -> tuple:
    """Matrices that read the query and the key patch from ``h_s``, each of shape ((n-1) d, D), oldest token first.

    The query patch is blocks n-2, ..., 0; the key patch is blocks n-1, ..., 1.

    Parameters
    ----------
    n : int
        At least 2.
    dimension : int
        d >= 1.
    width : int
        D >= n d.
    """
    n, dimension = whole(n, "n", 2), whole(dimension, "dimension", 1)
    width = whole(width, "width", n * dimension)
    blocks = np.eye(n * dimension, width).reshape(n, dimension, width)
    size = ((n - 1) * dimension, width)
    return blocks[:n - 1][::-1].reshape(size), blocks[1:][::-1].reshape(size)


def _ngram(similarity, n, nodes):
    n, nodes = whole(n, "n", 2), checked_nodes(nodes)
    matrix = _square(similarity)
    if len(matrix) % (n - 1):
        raise ValueError(f"similarity has size {len(matrix)}; it must be a multiple of n - 1 = {n - 1}")
    if len(nodes) < n - 1:
        raise ValueError(f"nodes are {len(nodes)}; n = {n} takes at least {n - 1} heads")
    return matrix, n, nodes


def _matching_model(matrix, n, slopes, values):
    dimension = len(matrix) // (n - 1)
    width = n * dimension
    query, key = patch_readers(n, dimension, width)
    second = AttentionLayer(np.zeros(1), (matrix.T @ query)[None], key[None], np.eye(dimension, width)[None],
                            np.eye(dimension)[None])
    return TwoLayerAttention(previous_tokens(n, dimension), lag_layer(slopes, values, dimension, width), second,
                             first_key=n)


def _square(similarity):
    similarity = numbers(similarity, "similarities")
    size = similarity.shape
    if len(size) != 2 or size[0] != size[1] or size[0] == 0:
        raise ValueError(f"similarity has shape {size}; it must be square")
    return similarity_matrix(similarity, size[0])


def _slope(slope):
    if not 0 < number(slope, "slope") < math.inf:
        raise ValueError(f"slope is {shown(slope)}; it must be above 0 and finite")
    return float(slope)


def _radius(radius):
    if not 0 < number(radius, "radius") <= LARGEST:
        raise ValueError(f"radius is {shown(radius)}; it must be above 0 and at most {LARGEST:g}, as for tokens")
    return float(radius)
