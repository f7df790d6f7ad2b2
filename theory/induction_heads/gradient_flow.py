"""Gradient flows: the parameters at given times, and the time at which a loss has fallen to a level.

LSODA, which changes between a non-stiff and a stiff method: what is learned fast relaxes at rate one while what is
learned slowly creeps at 1/N, or like ``t^{-1/2}``.  Time is that of gradient flow on *half* the mean squared error.
"""

import math
import warnings

import numpy as np
from scipy import integrate

from ..arguments import number, numbers, shown

TOLERANCE = 1e-11
"""Relative, of an integrator's step."""
SMALLEST = 1e-3
"""The absolute tolerance, in units of the relative one times the smallest positive start."""
SMALLEST_START, LARGEST_START, LARGEST_TIME = 1e-140, 1e6, 1e10
"""Of starting values other than 0, and of times: beyond, LSODA gives up or does not come back."""


def integrated(slope, start, times):
    """States of ``x' = slope(x)`` at the given times.

    Parameters
    ----------
    slope : callable
        From a state to its time derivative, both of shape (n,).
    start : array_like, shape (n,)
    times : array_like, shape (T,)
        Not negative, increasing.

    Returns
    -------
    ndarray, shape (T, n)

    Raises
    ------
    ValueError
        For times above 1e10, a start (other than 0) beyond 1e-140 to 1e6, or either out of range otherwise.
    RuntimeError
        If the integrator gives up.
    """
    times, start = _checked_times(times), checked_start(start)
    if times[-1] == 0:
        return start[None, :].copy()
    return _solved(slope, start, times[-1], t_eval=times).y.T


def crossing_time(slope, start, loss, level, horizon):
    """Time at which the loss along ``x' = slope(x)`` has fallen to a level; inf if it has not by `horizon`.

    Parameters
    ----------
    slope : callable
    start : array_like, shape (n,)
    loss : callable
        From a state to a number that falls along the flow.
    level, horizon : float
        Finite; level > 0, horizon >= 0.

    Raises
    ------
    ValueError
        For arguments out of range; starting values as for :func:`integrated`.
    RuntimeError
        If the integrator gives up.
    """
    start, level, horizon = checked_start(start), number(level, "level"), number(horizon, "horizon")
    if not (0 < level < math.inf and 0 <= horizon < math.inf):
        raise ValueError(f"level and horizon are {level:g} and {horizon:g}; they must be finite, > 0 and >= 0")
    if loss(start) <= level:
        return 0.0

    def fallen(_, state):
        return loss(state) / level - 1.0

    fallen.terminal = True
    found = _solved(slope, start, horizon, events=fallen).t_events[0]
    return float(found[0]) if found.size else math.inf


def _absolute(start):
    positive = np.abs(start[start != 0])
    return TOLERANCE * SMALLEST * min(1.0, positive.min(initial=1.0))


def _checked_times(times):
    times = np.atleast_1d(numbers(times, "times"))
    if times.ndim != 1 or not times.size or not (np.isfinite(times).all() and times[0] >= 0
                                                 and (np.diff(times) > 0).all()):
        raise ValueError("times must be finite, not negative and increasing, one-dimensional and at least one")
    if times[-1] > LARGEST_TIME:
        raise ValueError(f"times reach {times[-1]:g}; they must be at most {LARGEST_TIME:g}")
    return times


def checked_start(start):
    """Starting values that the integrator can take, float64 (n,).

    Raises
    ------
    ValueError
        If they are not finite, or one that is not 0 is beyond 1e-140 to 1e6 in size.
    """
    start = numbers(start, "starting values")
    if start.ndim != 1 or not np.isfinite(start).all():
        raise ValueError(f"starting values have shape {start.shape}; they must be finite and one-dimensional")
    size = np.abs(start)
    beyond = start[(size > LARGEST_START) | ((size < SMALLEST_START) & (size > 0))]
    if beyond.size:
        raise ValueError(f"a starting value is {beyond[0]:g}; its size must be 0, or in [{SMALLEST_START:g}, "
                         f"{LARGEST_START:g}]")
    return start


def _solved(slope, start, end, **options):
    """The solution from 0 to `end`; whatever stops the integrator is said in one line."""
    try:
        with np.errstate(over="ignore", under="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)   # LSODA's, which the error below repeats
            done = integrate.solve_ivp(lambda _, x: slope(x), (0.0, end), start, method="LSODA", rtol=TOLERANCE,
                                       atol=_absolute(start), **options)
    except (ValueError, IndexError, FloatingPointError) as error:
        raise RuntimeError(f"the flow could not be integrated to t = {end:g}: {shown(str(error))}") from None
    if done.status < 0 or not np.isfinite(done.y).all():
        raise RuntimeError(f"the flow could not be integrated beyond t = {done.t[-1]:g}: {done.message}")
    return done
