r"""The polar factor by odd polynomials, without an SVD: the Polar Express stages that Muon-LITE uses.

For ``X = U diag(s) V^T`` the polar factor is ``msign(X) = U V^T``.  An odd polynomial of a matrix acts on the singular
values alone, ``X (a I + b X^T X + c (X^T X)^2) = U diag(a s + b s^3 + c s^5) V^T``, so that stages

    s <- a_i s + b_i s^3 + c_i s^5,    s_0 = s/(1.01 |X|_F),     i = 1..stages

drive every singular value to 1.  Each stage is the best quintic on the interval that the one before leaves, starting
from ``[10^-3, 1]`` (Amsel, Persson, Musco and Gower, arXiv 2505.16932, whose eight coefficients these are), divided by
powers of 1.01 for safety, as the authors of LITE (arXiv 2602.22681) run it in ``muonlite.py``: six stages of the eight.
"""

import numpy as np
from numba import njit

from ..arguments import shown

SAFETY = 1.01
"""Factor by which the norm is overestimated, once for the input and once for each stage but the last."""
_BEST = ((8.28721201814563, -23.595886519098837, 17.300387312530933),
         (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
         (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
         (3.3184196573706015, -2.488488024314874, 0.51004894012372),
         (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
         (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
         (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
         (1.875, -1.25, 0.375))
COEFFICIENTS = tuple((a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in _BEST[:-1]) + _BEST[-1:]
"""``(a_i, b_i, c_i)`` of the eight stages."""
STAGES = 6
"""Stages of Muon-LITE as it is published."""
TINY = 1e-8
"""Added to the norm, so that the zero matrix stays one."""


def polar_express(matrices, stages=STAGES):
    """The polar factors of matrices, approximately.

    Parameters
    ----------
    matrices : array_like, shape (..., m, n)
        Finite.
    stages : int
        1..8.

    Returns
    -------
    ndarray, shape (..., m, n)
        Singular values mapped as :func:`singular_value_map` says.

    Raises
    ------
    ValueError
        For anything else.
    """
    x = np.asarray(matrices, dtype=np.float64)
    if x.ndim < 2:
        raise ValueError(f"matrices have shape {x.shape}; they must have at least two axes")
    coefficients = np.array(COEFFICIENTS[:_stages(stages)])
    wide = x.shape[-1] > x.shape[-2]
    tall = np.ascontiguousarray(np.swapaxes(x, -1, -2) if wide else x)
    out = np.empty_like(tall)
    _run(tall.reshape(-1, *tall.shape[-2:]), coefficients, out.reshape(-1, *tall.shape[-2:]))
    return np.swapaxes(out, -1, -2) if wide else out


def singular_value_map(values, stages=STAGES):
    """What the stages make of singular values, given in units of the Frobenius norm.

    Parameters
    ----------
    values : array_like
        ``s/|X|_F`` in [0, 1].
    stages : int
        1..8.

    Raises
    ------
    ValueError
        For anything else.
    """
    s = np.asarray(values, dtype=np.float64)
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError(f"singular values are {shown(values)}; in units of the Frobenius norm they must be in [0, 1]")
    s = s / SAFETY
    for a, b, c in COEFFICIENTS[:_stages(stages)]:
        s = s * (a + s * s * (b + s * s * c))
    return s


def _stages(stages):
    if isinstance(stages, bool) or not isinstance(stages, int | np.integer) or not 1 <= stages <= len(COEFFICIENTS):
        raise ValueError(f"stages is {shown(stages)}; it must be an integer in 1..{len(COEFFICIENTS)}")
    return int(stages)


# Four rows at a time: the target is loaded and stored once for four products.


@njit(cache=True, fastmath={"contract"})
def _multiply(x, b, out):
    """``out = x b``."""
    n, columns = b.shape
    even = n - n % 4
    for k in range(x.shape[0]):
        row, target = x[k], out[k]
        target[:] = 0.0
        for i in range(0, even, 4):
            f0, f1, f2, f3 = row[i], row[i + 1], row[i + 2], row[i + 3]
            b0, b1, b2, b3 = b[i], b[i + 1], b[i + 2], b[i + 3]
            for j in range(columns):
                target[j] += (f0 * b0[j] + f1 * b1[j]) + (f2 * b2[j] + f3 * b3[j])
        for i in range(even, n):
            f0, b0 = row[i], b[i]
            for j in range(columns):
                target[j] += f0 * b0[j]


@njit(cache=True, fastmath={"contract"})
def _gram(x, out):
    """``out = x^T x``."""
    m, n = x.shape
    even = m - m % 4
    out[:] = 0.0
    for k in range(0, even, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for i in range(n):
            f0, f1, f2, f3, target = x0[i], x1[i], x2[i], x3[i], out[i]
            for j in range(n):
                target[j] += (f0 * x0[j] + f1 * x1[j]) + (f2 * x2[j] + f3 * x3[j])
    for k in range(even, m):
        x0 = x[k]
        for i in range(n):
            f0, target = x0[i], out[i]
            for j in range(n):
                target[j] += f0 * x0[j]


@njit(cache=True)
def _run(matrices, coefficients, out):
    """The stages on matrices (N, m, n), m >= n."""
    m, n = matrices.shape[1], matrices.shape[2]
    x, y, gram, inner = np.empty((m, n)), np.empty((m, n)), np.empty((n, n)), np.empty((n, n))
    for r in range(matrices.shape[0]):
        scale = 1.0 / (np.sqrt(np.sum(matrices[r] ** 2)) * SAFETY + TINY)
        x[:] = matrices[r] * scale
        for stage in range(coefficients.shape[0]):
            a, b, c = coefficients[stage]
            _gram(x, gram)
            _multiply(gram, gram, inner)
            for i in range(n):
                for j in range(n):
                    inner[i, j] = b * gram[i, j] + c * inner[i, j]
                inner[i, i] += a
            _multiply(x, inner, y)
            x, y = y, x
        out[r] = x
