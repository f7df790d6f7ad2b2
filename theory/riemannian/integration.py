"""Ordinary differential equations on arrays, by the Dormand-Prince method of order 8 at a stated tolerance."""

import numpy as np
from scipy.integrate import solve_ivp

from ..arguments import numbers, shown

RTOL = 1e-11
ATOL = 1e-13


def integrate(field, start, times, rtol=RTOL, atol=ATOL):
    """Solve ``y' = field(t, y)`` from ``y(times[0]) = start``.

    Parameters
    ----------
    field : callable
        Of a float and an array of the shape of `start`; returns one of that shape.
    start : array_like
        Any shape.
    times : array_like, shape (n,), n >= 1
        Strictly increasing and finite.
    rtol, atol : float
        Local error per step of scipy's DOP853, relative and absolute.

    Returns
    -------
    ndarray, shape (n, *start.shape)

    Raises
    ------
    ValueError
        For times that do not increase, or where the solution leaves the finite numbers.
    """
    times, start = numbers(times, "times"), np.asarray(start, float)
    if times.ndim != 1 or not times.size or not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError(f"times are {shown(times.tolist())}; they must be finite and strictly increasing")
    if times.size == 1:
        return start[None].copy()
    found = solve_ivp(lambda t, y: np.ravel(field(t, y.reshape(start.shape))), (times[0], times[-1]), start.ravel(),
                      method="DOP853", t_eval=times, rtol=rtol, atol=atol)
    if not found.success or found.y.shape[1] != times.size or not np.isfinite(found.y).all():
        reached = found.t[-1] if len(found.t) else times[0]
        raise ValueError(f"the solution cannot be followed beyond t = {reached:.6g}; the last time must be smaller")
    return found.y.T.reshape(times.size, *start.shape)
