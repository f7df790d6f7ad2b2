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
weights are built for this case, n = 2 and d = 1, whatever g; :func:`decompose` serves every m.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ..arguments import numbers, shown
from .attention import AttentionLayer, FeedForward, TwoLayerAttention, whole
from .constructions import lag_layer, patch_readers
from .lag_selection import value_weights

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
        From patches (..., m) to ``phi_i`` and ``psi_i`` there, shape (..., K).
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
        """``sum_{i<=K} sigma_i phi_i(q) psi_i(k)``, for patches that broadcast but for their last axis."""
        return (self.left(query) * self.values * self.right(key)).sum(axis=-1)

    def truncated(self, rank):
        """The first `rank` terms of it, 1..K."""
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
        Gauss-Legendre nodes in each dimension, order^m <= 4096.  A kink of g on the diagonal costs order^-2.

    Raises
    ------
    ValueError
        Out of these ranges, or if g is not finite or the K-th singular value vanishes in rounding.
    """
    size, rank, order = whole(size, "size", 1), whole(rank, "rank", 1), whole(order, "order", 2)
    count = order**size
    if count > LARGEST_GRID:
        raise ValueError(f"order is {order} in dimension {size}; order^size must be at most {LARGEST_GRID}")
    if rank > count:
        raise ValueError(f"rank is {rank}; {count} nodes resolve no more than {count}")
    points, weights = np.polynomial.legendre.leggauss(order)
    nodes = np.stack(np.meshgrid(*[points] * size, indexing="ij"), axis=-1).reshape(count, size)
    root = np.sqrt(np.prod(np.meshgrid(*[weights] * size, indexing="ij"), axis=0).ravel())
    matrix = np.broadcast_to(numbers(similarity(nodes[:, None], nodes[None]), "similarities"), (count, count))
    if not np.isfinite(matrix).all():
        raise ValueError("similarities hold NaN or infinity; they must be finite")
    u, sigma, v = np.linalg.svd(root[:, None] * matrix * root)
    if not sigma[rank - 1] > 1e-13 * sigma[0]:
        resolved = int((sigma > 1e-13 * sigma[0]).sum())
        raise ValueError(f"rank is {rank}; rounding leaves {resolved} singular values of this similarity")
    left, right = root[:, None] * v[:rank].T / sigma[:rank], root[:, None] * u[:, :rank] / sigma[:rank]
    return Decomposition(sigma[:rank], lambda x: similarity(np.asarray(x)[..., None, :], nodes) @ left,
                         lambda y: similarity(nodes, np.asarray(y)[..., None, :]) @ right, size)


def exponential_decomposition(rank) -> Decomposition:
    """The first K terms of ``exp(-|q - k|)`` on [-1, 1] in closed form (see the module).

    Parameters
    ----------
    rank : int
        K >= 1.
    """
    rank = whole(rank, "rank", 1)
    omega = np.array([_frequency(i) for i in range(rank)])
    even = np.arange(rank) % 2 == 0
    scale = 1.0 / np.sqrt(1.0 + np.where(even, 1.0, -1.0) * np.sin(2.0 * omega) / (2.0 * omega))

    def features(x):
        phase = numbers(x, "patches") * omega
        return scale * np.where(even, np.cos(phase), np.sin(phase))
    return Decomposition(2.0 / (1.0 + omega**2), features, features, 1)


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
    """
    segments = whole(segments, "segments", 1)
    points = np.linspace(-1.0, 1.0, segments + 1)
    values = functions(points[:, None])
    slopes = np.diff(values, axis=0) * segments / 2.0
    return points[:-1], values[0], np.diff(slopes, axis=0, prepend=0.0)


def spline_logits(decomposition, segments, query, key) -> np.ndarray:
    """Logits of the network at scalars q and k that broadcast; other parameters as for :func:`generic_model`."""
    read = []
    for side, points in ((decomposition.left, query), (decomposition.right, key)):
        knots, start, bends = spline(side, segments)
        read.append(start + np.maximum(np.asarray(points)[..., None] - knots, 0.0) @ bends)
    return (read[0] * decomposition.values * read[1]).sum(axis=-1)


def generic_model(decomposition, segments, nodes) -> TwoLayerAttention:
    """Two layers and a network of 2 (w + 1) neurons for GIH_2 of scalar tokens in [-1, 1], D = 2 + 2 K.

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
        Out of these ranges.
    """
    if decomposition.size != 1:
        raise ValueError(f"decomposition has patches of size {shown(decomposition.size)}; a spline takes size 1")
    rank, nodes = decomposition.rank, tuple(nodes)
    width = 2 + 2 * rank
    values = np.array([value_weights(nodes, 1)], dtype=np.float64)
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
    return TwoLayerAttention(np.eye(width, 1), first, second, network)
