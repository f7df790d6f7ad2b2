"""Power-law spectra and their sums, with exact tails.

    lambda_j = j^{-p},  j = 1, 2, ...           sum_{j >= J} j^{-p} = zeta(p, J)   (Hurwitz zeta, p > 1)

All scaling-law models of the toolkit have power-law spectra; the tail beyond the features a model uses is
summed exactly, never truncated.
"""

import numpy as np
from scipy.special import zeta


def power_law(exponent, count):
    """Return ``j**-exponent`` for j = 1..count.

    Parameters
    ----------
    exponent : float
        Any finite number.
    count : int
        Number of terms, >= 1.

    Returns
    -------
    ndarray, shape (count,)

    Raises
    ------
    ValueError
        If the exponent is not finite or the count is not a positive integer.
    """
    if not np.isfinite(exponent):
        raise ValueError(f"exponent is {exponent}; it must be finite")
    if count != int(count) or count < 1:
        raise ValueError(f"count is {count}; it must be an integer >= 1")
    return np.arange(1, int(count) + 1, dtype=np.float64) ** -float(exponent)


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
    start = np.asarray(start, dtype=np.float64)
    if not exponent > 1:
        raise ValueError(f"exponent is {exponent}; the tail sum needs an exponent > 1")
    if not np.all(start > 0):
        raise ValueError(f"start is {start.min()}; it must be > 0")
    finite = np.isfinite(start)
    sums = np.where(finite, zeta(exponent, np.where(finite, start, 1.0)), 0.0)
    return sums.item() if sums.ndim == 0 else sums


def partial_sum(exponent, count):
    """Return ``sum_{j <= count} j**-exponent`` (``count`` may be ``inf``), exponent > 1."""
    return tail_sum(exponent, 1.0) - tail_sum(exponent, np.asarray(count, dtype=np.float64) + 1.0)
