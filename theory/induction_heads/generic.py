r"""In-context n-grams under any similarity: singular functions, a feed-forward network, and a dot product.

GIH_n compares patches by a function g(q, k) on ``[-1, 1]^m x [-1, 1]^m``, m = (n-1) d.  Its proper orthogonal
decomposition

    g(q, k) = sum_i sigma_i phi_i(q) psi_i(k),      phi_i, psi_i orthonormal in L^2([-1, 1]^m),

makes the logit a dot product of K features (arXiv 2410.11474; reconstructed).  The first layer lays the patches out
beside each token, a ReLU network writes ``sigma_i^{1/2} phi_i`` and ``sigma_i^{1/2} psi_i`` into 2 K further
coordinates, D = n d + 2 K, and the second layer multiplies them.  The output is off by at most r times the largest
error of a logit, since softmax is 1-Lipschitz from the largest modulus to the sum of moduli.

For scalar patches (m = 1) the network is a spline: hinges at equally spaced knots, shared by all features.  With w
segments a feature is off by at most ``|phi_i''|_inf/(2 w^2)``.  If ``sigma_i ~ i^{-1-alpha}`` and ``phi_i'' ~ i^gamma``
the logit is off by about (derived)

    K^{-alpha} + w^{-2} sum_{i<=K} i^{gamma-1-alpha} .

For ``g = exp(-|q - k|)`` (alpha = 1, gamma = 2) everything is known: ``sigma_i = 2/(1 + omega_i^2)`` with
``omega tan omega = 1`` (even i - 1) or ``-omega cot omega = 1`` (odd i - 1), and cosines and sines of ``omega_i x``.
The truncation is off by ``8/(pi^2 K)``; the spline, whose errors of one sign add up only where q is near k, by about
``K w^{-2}``.  So M = 2(w + 1) shared neurons reach M^{-1}, and M^{-1/2} if each feature has neurons of its own.  The
weights are built for this case, n = 2 and d = 1, whatever g; :func:`decompose` serves every m, and of
``exp(-sum_j |q_j - k_j|)``, a product, everything is known as well.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ..arguments import numbers, shown
from .attention import AttentionLayer, FeedForward, TwoLayerAttention, whole
from .constructions import lag_layer, lag_values, patch_readers
from .targets import evaluated

LARGEST_GRID = 4096
"""Most quadrature nodes of a decomposition."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Leading singular values and functions of a similarity.

    Attributes
    ----------
    values : ndarray, shape (K,)
        ``sigma_i`` >= 0, decreasing.
    left, right : callable
        From patches in ``[-1, 1]^m``, shape (..., m), to ``phi_i`` and ``psi_i`` there, shape (..., K).
    size : int
        m.
    """

    values: np.ndarray
    left: Callable
    right: Callable
    size: int

    @property
    def rank(self) -> int:
        """K."""
        return self.values.size

    def __call__(self, query, key) -> np.ndarray:
        """``sum_{i<=K} sigma_i phi_i(q) psi_i(k)``, shape (...), for patches (..., m) whose first axes broadcast."""
        return (self.left(query) * self.values * self.right(key)).sum(axis=-1)

    def truncated(self, rank):
        """The first `rank` terms of it, a Decomposition; rank 1..K, or a ValueError."""
        if whole(rank, "rank", 1) > self.rank:
            raise ValueError(f"rank is {rank}; {self.rank} terms are known")
        return Decomposition(self.values[:rank], lambda x: self.left(x)[..., :rank],
                             lambda x: self.right(x)[..., :rank], self.size)


def decompose(similarity, size, rank, order) -> Decomposition:
    """Singular functions of any similarity, by Gauss quadrature and Nystroem's interpolation.

    Parameters
    ----------
    similarity : callable
        g, as in :func:`.targets.induction_weights`: patches whose first axes broadcast, to logits.
    size : int
        m >= 1, the dimension of a patch.
    rank : int
        K, 1..order^m.
    order : int
        Gauss-Legendre nodes in each dimension, at least 2, order^m <= 4096.  A kink on the diagonal costs order^-2.

    Returns
    -------
    Decomposition

    Raises
    ------
    ValueError
        Out of these ranges, or if g is not finite or of another shape, or the K-th singular value vanishes in rounding.
    """
    size, rank, order = whole(size, "size", 1), whole(rank, "rank", 1), whole(order, "order", 2)
    count = order**size
    if count > LARGEST_GRID:
        raise ValueError(f"order is {order} in dimension {size}; order^size must be at most {LARGEST_GRID}")
    if rank > count:
        raise ValueError(f"rank is {rank}; {count} nodes resolve no more than {count}")
    nodes, weights = tensor_rule(size, order)
    root = np.sqrt(weights)
    matrix = evaluated(similarity, nodes[:, None], nodes[None], (count, count))
    u, sigma, v = np.linalg.svd(root[:, None] * matrix * root)
    if not sigma[rank - 1] > 1e-13 * sigma[0]:
        resolved = int((sigma > 1e-13 * sigma[0]).sum())
        raise ValueError(f"rank is {rank}; rounding leaves {resolved} singular values of this similarity")
    left, right = root[:, None] * v[:rank].T / sigma[:rank], root[:, None] * u[:, :rank] / sigma[:rank]

    def queries(x):
        x = checked_patches(x, size)[..., None, :]
        return evaluated(similarity, x, nodes, (*x.shape[:-2], count)) @ left

    def keys(y):
        y = checked_patches(y, size)[..., None, :]
        return evaluated(similarity, nodes, y, (*y.shape[:-2], count)) @ right
    return Decomposition(sigma[:rank], queries, keys, size)


def tensor_rule(size, order) -> tuple:
    """Gauss-Legendre nodes of ``[-1, 1]^m``, shape (order^m, m), and weights, (order^m,); size m and order >= 1."""
    points, weights = np.polynomial.legendre.leggauss(whole(order, "order", 1))
    nodes = np.stack(np.meshgrid(*[points] * whole(size, "size", 1), indexing="ij"), axis=-1).reshape(-1, size)
    return nodes, np.prod(np.meshgrid(*[weights] * size, indexing="ij"), axis=0).ravel()


def checked_patches(points, size) -> np.ndarray:
    """Patches (..., m) as float64; a ValueError unless m is `size` and all are in [-1, 1], up to rounding."""
    points = numbers(points, "patches")
    if not points.ndim or points.shape[-1] != size:
        raise ValueError(f"patches have shape {points.shape}; it must be (..., {size})")
    if not (np.abs(points) <= 1.0 + 1e-9).all():
        raise ValueError(f"patches are {shown(points)}; their numbers must be in [-1, 1]")
    return points


def exponential_decomposition(rank, size=1) -> Decomposition:
    """The first K terms of ``exp(-sum_j |q_j - k_j|)`` on ``[-1, 1]^m`` in closed form (see the module).

    For m > 1 the singular values and functions are products of those for m = 1: the K largest products.

    Parameters
    ----------
    rank : int
        K >= 1.
    size : int
        m >= 1.

    Returns
    -------
    Decomposition
    """
    rank, size = whole(rank, "rank", 1), whole(size, "size", 1)
    single, features = exponential_features(rank)
    values, places = single, np.arange(rank)[:, None]
    for _ in range(size - 1):
        products = np.outer(values, single).ravel()
        largest = np.argsort(-products, kind="stable")[:rank]     # none is beyond the first K of either factor
        values = products[largest]
        places = np.column_stack([places[largest // rank], largest % rank])

    def made(x):
        x = checked_patches(x, size)
        return np.prod([features(x[..., j, None])[..., places[:, j]] for j in range(size)], axis=0)
    return Decomposition(values, made, made, size)


def exponential_features(rank) -> tuple:
    """Singular values of ``exp(-|q - k|)``, shape (K,), and its singular functions.

    Parameters
    ----------
    rank : int
        K >= 1.

    Returns
    -------
    values : ndarray, shape (K,)
    features : callable
        From points (..., 1) to all functions there, (..., K); from points (..., K) to each function at its own point.
    """
    rank = whole(rank, "rank", 1)
    omega = np.array([_frequency(i) for i in range(rank)])
    sign = 1.0 - 2.0 * (np.arange(rank) % 2)
    scale = 1.0 / np.sqrt(1.0 + sign * np.sin(2.0 * omega) / (2.0 * omega))
    shift = np.where(sign > 0, 0.0, np.pi / 2)
    return 2.0 / (1.0 + omega**2), lambda x: scale * np.cos(np.asarray(x) * omega - shift)


def _frequency(i):
    """Root of ``cos w - w sin w`` (even i) or ``sin w + w cos w`` (odd i) in ``(i pi/2, (i + 1) pi/2)``."""
    def even(w):
        return math.cos(w) - w * math.sin(w)

    def odd(w):
        return math.sin(w) + w * math.cos(w)
    return brentq(odd if i % 2 else even, i * math.pi / 2 + 1e-12, (i + 1) * math.pi / 2, xtol=1e-14, rtol=1e-14)


def spline(functions, segments) -> tuple:
    """Piecewise linear interpolants as hinges: ``f(x) ~ f(-1) + sum_j b_j ReLU(x - t_j)``.

    Parameters
    ----------
    functions : callable
        From points of shape (p, 1) to values (p, K).
    segments : int
        w >= 1, equal parts of [-1, 1].

    Returns
    -------
    knots : ndarray, shape (w,)
        ``t_j``, from -1 on.
    start : ndarray, shape (K,)
        ``f(-1)``.
    bends : ndarray, shape (w, K)
        ``b_j``, the change of slope at each knot.

    Raises
    ------
    ValueError
        Out of these ranges, or if the values are not finite or of another shape.
    """
    segments = whole(segments, "segments", 1)
    points = np.linspace(-1.0, 1.0, segments + 1)
    values = function_values(functions, points[:, None])
    slopes = np.diff(values, axis=0) * segments / 2.0
    return points[:-1], values[0], np.diff(slopes, axis=0, prepend=0.0)


def function_values(functions, points) -> np.ndarray:
    """Values (p, K) of functions at points (p, m); a ValueError if there are others, or one is not finite."""
    if not callable(functions):
        raise ValueError(f"functions are {shown(functions)}; they must be a function of points")
    values = numbers(functions(points), "values")
    if values.ndim != 2 or len(values) != len(points) or not values.size or not np.isfinite(values).all():
        raise ValueError(f"functions return shape {values.shape}; it must be ({len(points)}, K), and finite")
    return values


def known(decomposition, size=None) -> Decomposition:
    """A decomposition, or a ValueError; of patches of this size where one is given."""
    if not isinstance(decomposition, Decomposition):
        raise ValueError(f"decomposition is {shown(decomposition)}; it must be a Decomposition")
    if size is not None and decomposition.size != size:
        raise ValueError(f"decomposition has patches of size {shown(decomposition.size)}; a spline takes size {size}")
    return decomposition


def spline_logits(decomposition, segments, query, key) -> np.ndarray:
    """Logits of the network of :func:`generic_model`.

    Parameters
    ----------
    decomposition : Decomposition
        Of size 1.
    segments : int
        w >= 1.
    query, key : array_like, shapes (...)
        Scalars in [-1, 1] that broadcast.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    read, query, key = [], numbers(query, "patches"), numbers(key, "patches")
    if any(have != want and 1 not in (have, want) for have, want in zip(query.shape[::-1], key.shape[::-1])):
        raise ValueError(f"patches have shapes {query.shape} and {key.shape}; they must broadcast")
    for side, points in ((known(decomposition, 1).left, query), (decomposition.right, key)):
        knots, start, bends = spline(side, segments)
        read.append(start + np.maximum(checked_patches(points[..., None], 1) - knots, 0.0) @ bends)
    return (read[0] * decomposition.values * read[1]).sum(axis=-1)


def generic_model(decomposition, segments, nodes) -> TwoLayerAttention:
    """Two layers and a network of 2 (w + 1) neurons for GIH_2 of scalar tokens in [-1, 1], D = 2 + 2 K.

    It refuses tokens beyond.

    Parameters
    ----------
    decomposition : Decomposition
        Of size 1.
    segments : int
        w >= 1.
    nodes : sequence, length H >= 1
        ``e^{-p_h}`` of the first layer, as for :func:`.constructions.ngram_model`.

    Raises
    ------
    ValueError
        Out of these ranges, or if rounding of the value weights reaches 1 (see :func:`.constructions.lag_values`).
    """
    rank = known(decomposition, 1).rank
    width, values, nodes = 2 + 2 * rank, lag_values(nodes, 2), tuple(nodes)
    first = lag_layer([-math.log(node) for node in nodes], values, 1, width)
    inward, bias, outward = [], [], []
    readers = patch_readers(2, 1, width)
    for place, (side, reader) in enumerate(zip((decomposition.left, decomposition.right), readers)):
        knots, start, bends = spline(side, segments)
        root = np.sqrt(decomposition.values)
        written = np.zeros((segments + 1, width))
        written[:, 2 + place * rank:2 + (place + 1) * rank] = root * np.vstack([start, bends])
        inward += [np.zeros((1, width)), np.repeat(reader, segments, axis=0)]
        bias += [[1.0], -knots]
        outward.append(written)
    network = FeedForward(np.concatenate(inward), np.concatenate(bias), np.concatenate(outward).T)
    features = np.eye(width)[2:].reshape(2, 1, rank, width)
    second = AttentionLayer(np.zeros(1), features[0], features[1], np.eye(1, width)[None], np.eye(1)[None])
    return TwoLayerAttention(np.eye(width, 1), first, second, network, largest=1.0)
