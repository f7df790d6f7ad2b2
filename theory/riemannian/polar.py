r"""The polar factor of a matrix: exactly, and by the classical Newton-Schulz iterations.

For ``M = U diag(s) V^T`` with positive singular values only,

    msign(M) = U V^T ,    M = msign(M) (M^T M)^{1/2} = (M M^T)^{1/2} msign(M) ,

the matrix analogue of ``sign``; zero singular values stay zero, as ``sign 0 = 0``.  An odd polynomial of a matrix acts
on the singular values alone, so that stages

    X <- X (a I + b X^T X + c (X^T X)^2)    map    s <- a s + b s^3 + c s^5 .

- :data:`CUBIC` ``(3/2, -1/2, 0)`` and :data:`QUINTIC` ``(15/8, -10/8, 3/8)``: 1 is a fixed point at which one and two
  derivatives vanish; every s in (0, sqrt 3) and (0, sqrt(7/3)) tends to 1, with error ``-(3/2) e^2`` and ``(5/2) e^3``.
- :data:`MUON` ``(3.4445, -4.7750, 2.0315)``, from the first code of Muon (Jordan et al. 2024): steeper at 0, where
  singular values grow 3.4445-fold a stage; in exchange 1 is no fixed point and s ends in a band about it, not at it.

The stages that Muon-LITE runs are those of :mod:`~theorycheck.theory.riemannian.polar_express`.
"""

import numpy as np

from ..arguments import numbers, shown

CUBIC = ((1.5, -0.5, 0.0),)
QUINTIC = ((1.875, -1.25, 0.375),)
MUON = ((3.4445, -4.7750, 2.0315),)
RANK = 1e-13
"""Singular values below this share of the largest count as zero: they are rounding."""


def polar_factor(matrices):
    """``msign(M)`` by SVD.

    Parameters
    ----------
    matrices : array_like, shape (..., m, n)
        Finite.

    Returns
    -------
    ndarray, shape (..., m, n)
        With as many singular values 1 as M has nonzero ones, the others 0.

    Raises
    ------
    ValueError
        For anything else.
    """
    u, s, v = np.linalg.svd(_matrices(matrices), full_matrices=False)
    kept = (s > RANK * s[..., :1]).astype(float)
    return (u * kept[..., None, :]) @ v


def newton_schulz(matrices, stages, coefficients=QUINTIC):
    """``msign(M)`` in so many stages, starting from ``M/|M|_F``.

    Parameters
    ----------
    matrices : array_like, shape (..., m, n)
        Finite; the zero matrix stays zero.
    stages : int
        >= 0.
    coefficients : sequence of (float, float, float)
        ``(a, b, c)`` of the stages; the last is repeated where there are fewer than `stages`.

    Returns
    -------
    ndarray, shape (..., m, n)

    Raises
    ------
    ValueError
        For anything else.
    """
    x = _matrices(matrices)
    wide = x.shape[-1] > x.shape[-2]
    x = np.swapaxes(x, -1, -2) if wide else x
    norm = np.linalg.norm(x, axis=(-2, -1), keepdims=True)
    x = x / np.where(norm > 0, norm, 1.0)
    identity = np.eye(x.shape[-1])
    for a, b, c in _stages(stages, coefficients):
        gram = np.swapaxes(x, -1, -2) @ x
        x = x @ (a * identity + gram @ (b * identity + c * gram))
    return np.swapaxes(x, -1, -2) if wide else x


def singular_value_map(values, stages, coefficients=QUINTIC):
    """What :func:`newton_schulz` makes of singular values, given in units of the Frobenius norm.

    Parameters
    ----------
    values : array_like
        ``s/|M|_F``, in [0, 1].
    stages, coefficients
        As there.

    Raises
    ------
    ValueError
        For anything else.
    """
    s = numbers(values, "singular values")
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError(f"singular values are {shown(values)}; in units of the Frobenius norm they must be in [0, 1]")
    for a, b, c in _stages(stages, coefficients):
        s = s * (a + s * s * (b + s * s * c))
    return s


def _stages(stages, coefficients):
    if isinstance(stages, bool) or not isinstance(stages, int | np.integer) or stages < 0:
        raise ValueError(f"stages is {shown(stages)}; it must be an integer >= 0")
    table = numbers(coefficients, "coefficients")
    if table.ndim != 2 or table.shape[1] != 3 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"coefficients are {shown(coefficients)}; they must be triples (a, b, c) of finite numbers")
    return [table[min(stage, len(table) - 1)] for stage in range(stages)]


def _matrices(matrices):
    found = numbers(matrices, "matrices")
    if found.ndim < 2 or not found.size or not np.isfinite(found).all():
        raise ValueError(f"matrices have shape {found.shape}; they must be finite, of shape (..., m, n)")
    return found
