"""Ordinary differential equations on arrays, by the Dormand-Prince method of order 8 at a stated tolerance."""

import numpy as np
from scipy.integrate import solve_ivp

from ..arguments import numbers, shown
from .ranges import finite, require

RTOL = 1e-11
ATOL = 1e-13
FINEST = 1e-13
"""Smallest relative tolerance; below some hundred roundings the step size is left to chance."""
EVALUATIONS = 200_000
"""Of the right-hand side, after which an integration is given up: a stiff one might take for ever."""


def integrate(field, start, times, rtol=RTOL, atol=ATOL, evaluations=EVALUATIONS, name="the solution"):
    """Solve ``y' = field(t, y)`` from ``y(times[0]) = start``.

    Parameters
    ----------
    field : callable
        Of a float and an array of the shape of `start`; returns one of that shape.
    start : array_like
        Any shape, finite.
    times : array_like, shape (n,), n >= 1
        Strictly increasing and finite.
    rtol, atol : float
        Local error per step of scipy's DOP853, relative (1e-13 <= rtol < 1) and absolute (>= 0).
    evaluations : int
        Of the field, at most.
    name : str
        What messages call it.

    Returns
    -------
    ndarray, shape (n, *start.shape)

    Raises
    ------
    ValueError
        For arguments that are not such, a field that is not finite at the start, where the solution leaves the finite
        numbers, and where it takes too many evaluations; with the time that was reached.
    """
    times, start = numbers(times, "times"), numbers(start, "start values")
    if times.ndim != 1 or not times.size or not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError(f"times are {shown(times.tolist())}; they must be finite and strictly increasing")
    require(np.isfinite(start), start, "a start value", "it must be finite")
    rtol, atol = finite(rtol, "rtol"), finite(atol, "atol")
    require(FINEST <= rtol < 1.0, rtol, "rtol", f"it must be >= {FINEST:g} and < 1")
    require(atol >= 0.0, atol, "atol", "it must be >= 0")
    with np.errstate(all="ignore"):
        if not np.isfinite(field(times[0], start)).all():
            raise ValueError(f"the derivative of {name} is not finite at the start, t = {times[0]:g}; the equation "
                             "must be regular there")
    if times.size == 1:
        return start[None].copy()
    reached, left = [times[0]], iter(range(evaluations))

    def right(t, y):
        if next(left, None) is None:
            raise ValueError(f"{name} takes more than {evaluations} evaluations and has reached t = "
                             f"{reached[0]:.6g}; the last time must be smaller, or the equation less stiff")
        reached[0] = t
        # A step that overflows is tried again with a smaller one, which NaN makes the solver do.
        return np.ravel(field(t, y.reshape(start.shape))) if np.isfinite(y).all() else np.full(y.size, np.nan)

    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_ivp(right, (times[0], times[-1]), start.ravel(), method="DOP853", t_eval=times, rtol=rtol,
                          atol=atol)
    if not found.success or found.y.shape[1] != times.size or not np.isfinite(found.y).all():
        raise ValueError(f"{name} cannot be followed beyond t = {reached[0]:.6g}; the last time must be smaller")
    return found.y.T.reshape(times.size, *start.shape)
