r"""A feed-forward network with random hinges in place of a spline: how far the logit is off on average.

A function on [-1, 1] is ``f(x) = f(-1) + f'(-1) (x + 1) + int f''(t) (x - t)_+ dt``; with w hinges at uniform random
``t_j`` the integral becomes ``(2/w) sum_j f''(t_j) (x - t_j)_+``, without bias and with variance ``V_f(x)/w``,

    V_f(x) = 2 int f''(t)^2 (x - t)_+^2 dt - ( int f''(t) (x - t)_+ dt )^2 .

With hinges of its own for each of the 2 K features of ``g = exp(-|q - k|)`` (M = 2 K w neurons) the logit is off by the
truncation b(q, k) and by independent errors of mean 0 (derived):

    E err^2 = b^2 + sum_i sigma_i^2 ( phi_i(q)^2 V_i(k)/w + phi_i(k)^2 V_i(q)/w + V_i(q) V_i(k)/w^2 ) .

Since ``V_i ~ sigma_i^-2 ~ i^4`` the first two terms sum to about K/w and the last to about ``K^5/w^2``: at fixed K the
rate is M^-1/2; the sum of ``K^-2``, ``K^2/M`` and ``K^7/M^2`` is least for ``K ~ M^{2/9}``, where the root mean square
error is ~ M^{-2/9}.  Adding moduli would give ``K^{3/2} M^{-1/2}`` and ``K^4/M``, and the bound M^{-1/5}.
"""

import numpy as np
from scipy.special import roots_legendre

from ..arguments import number, numbers, shown
from .attention import whole
from .generic import checked_patches, known


def hinge_variance(decomposition, points, order=None) -> np.ndarray:
    """``V_i(x)`` of the features of :func:`.generic.exponential_decomposition`.

    Parameters
    ----------
    decomposition : Decomposition
        Of exp(-|q - k|), whose features obey ``f'' = -omega^2 f`` and ``f'(-1) = f(-1)``.
    points : array_like, shape (p,)
        In [-1, 1].
    order : int, optional
        Gauss-Legendre nodes, at least 2; by default enough for the highest frequency.

    Returns
    -------
    ndarray, shape (p, K)

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    known(decomposition, 1)
    order = whole(order, "order", 2) if order is not None else 60 + 2 * decomposition.rank
    x = _listed(points, "points")[:, None]
    nodes, weights = roots_legendre(order)
    t = -1.0 + 0.5 * (x + 1.0) * (nodes + 1.0)
    squared = curvature(decomposition, t) ** 2 * ((x - t) ** 2)[..., None]
    second = 0.5 * (x + 1.0) * np.einsum("n,pnk->pk", weights, squared)
    start = decomposition.left(np.array([-1.0]))
    mean = decomposition.left(x) - start * (2.0 + x)
    return 2.0 * second - mean**2


def curvature(decomposition, points) -> np.ndarray:
    """``f_i''`` at points in [-1, 1], shape (...), of the features of :func:`hinge_variance`; shape (..., K)."""
    features = known(decomposition, 1).left(numbers(points, "points")[..., None])
    return features * (1.0 - 2.0 / decomposition.values)


def mean_square_error(decomposition, hinges, query, key) -> np.ndarray:
    """``E err^2`` of the logit at scalars q and k.

    Parameters
    ----------
    decomposition : Decomposition
        Of exp(-|q - k|).
    hinges : float
        w of each feature, >= 1; infinity leaves the truncation.
    query, key : array_like, shape (p,)
        In [-1, 1].

    Returns
    -------
    ndarray, shape (p,)

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    known(decomposition, 1)
    if not number(hinges, "hinges") >= 1:
        raise ValueError(f"hinges is {shown(hinges)}; it must be at least 1")
    q, k = _listed(query, "query"), _listed(key, "key")
    if q.shape != k.shape:
        raise ValueError(f"query and key have {q.size} and {k.size} entries; they must be as many")
    left, right = decomposition.left(q[:, None]), decomposition.left(k[:, None])
    left_variance, right_variance = (hinge_variance(decomposition, points) / hinges for points in (q, k))
    truncation = np.exp(-np.abs(q - k)) - decomposition(q[:, None], k[:, None])
    spread = left**2 * right_variance + right**2 * left_variance + left_variance * right_variance
    return truncation**2 + (decomposition.values**2 * spread).sum(axis=-1)


def _listed(points, name):
    points = numbers(points, name)
    if points.ndim != 1:
        raise ValueError(f"{name} has shape {points.shape}; it must be (p,)")
    return checked_patches(points[:, None], 1)[:, 0]
