"""Power-law spectra and their sums, with exact tails.

    lambda_j = j^{-p},  j = 1, 2, ...           sum_{j >= J} j^{-p} = zeta(p, J)   (Hurwitz zeta, p > 1)

All scaling-law models of the toolkit have power-law spectra; the tail beyond the features a model uses is
summed exactly, never truncated.
"""

import numpy as np
from scipy.special import zeta

from .arguments import number, numbers

MAX_TERMS = 200_000_000
"""Longest spectrum that is written out (1.6 GB)."""


def power_law(exponent, count):
    """Return ``j**-exponent`` for j = 1..count.

    Parameters
    ----------
    exponent : float
        Any finite number.
    count : int
        Number of terms, 1 to :data:`MAX_TERMS`.

    Returns
    -------
    ndarray, shape (count,)

    Raises
    ------
    ValueError
        If the exponent is not finite or the count is not such an integer.
    """
    exponent, count = number(exponent, "exponent"), number(count, "count")
    if not np.isfinite(exponent):
        raise ValueError(f"exponent is {exponent}; it must be finite")
    if not (1 <= count <= MAX_TERMS and count.is_integer()):
        raise ValueError(f"count is {count:.12g}; it must be an integer in [1, {MAX_TERMS}]")
    return np.arange(1, int(count) + 1, dtype=np.float64) ** -exponent


def tail_sum(exponent, start):
    """Return ``sum_{j >= start} j**-exponent``, the Hurwitz zeta function, to float64 accuracy.

    Parameters
    ----------
    exponent : float
        Greater than 1 (the sum diverges otherwise).
    start : float or array_like
        First index, > 0; ``inf`` gives 0.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ValueError
        If ``exponent <= 1`` or a start is not positive.
    """
    exponent, start = number(exponent, "exponent"), numbers(start, "starts")
    if not exponent > 1:
        raise ValueError(f"exponent is {exponent}; the tail sum needs an exponent > 1")
    if not np.all(start > 0):
        raise ValueError(f"start is {start.min()}; it must be > 0")
    finite = np.isfinite(start)
    sums = np.where(finite, zeta(exponent, np.where(finite, start, 1.0)), 0.0)
    return sums.item() if sums.ndim == 0 else sums


def partial_sum(exponent, count):
    """Return ``sum_{j <= count} j**-exponent`` (``count`` may be ``inf``), exponent > 1."""
    return tail_sum(exponent, 1.0) - tail_sum(exponent, numbers(count, "counts") + 1.0)
