"""Ranges of parameters, numbers or arrays: what is outside is refused in one line, with its name and the bound."""

import numpy as np

from ..arguments import number, numbers, shown


def require(condition, values, name, allowed):
    """Refuse the first of the values that does not meet the condition.

    Parameters
    ----------
    condition : array_like of bool
    values : array_like
        Broadcast to the condition.
    name, allowed : str
        For the message "NAME is VALUE; ALLOWED".

    Raises
    ------
    ValueError
    """
    if not np.all(condition):
        value = np.broadcast_to(values, np.shape(condition))[~np.asarray(condition)].flat[0]
        raise ValueError(f"{name} is {shown(number(value, name))}; {allowed}")


def keep(landscape, label, value):
    """Set a field of a frozen dataclass."""
    object.__setattr__(landscape, label, value)


def offering(value, label, *names):
    """An object that has these attributes, such as a landscape's, or ValueError."""
    lacking = [name for name in names if not hasattr(value, name)]
    if lacking:
        raise ValueError(f"{label} is {shown(value)}; it must have {', '.join(lacking)}")
    return value


def finite(value, label):
    """One finite float, or ValueError."""
    value = number(value, label)
    if not np.isfinite(value):
        raise ValueError(f"{label} is {value}; it must be finite")
    return value


def integer(value, label, least):
    """An integer that is at least so large, or ValueError."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{label} is {shown(value)}; it must be an integer >= {least}")
    return int(value)


def row(values, label, size=None):
    """A row of finite numbers, of a given length if any, or ValueError."""
    found = np.atleast_1d(numbers(values, label))
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise ValueError(f"{label}: {shown(values)}; there must be finite numbers in one row")
    if size is not None and found.size != size:
        raise ValueError(f"{label}: there must be {size} numbers, not {found.size}")
    return found


def positive(values, label):
    """The value or values, if all are > 0, or ValueError."""
    return _beyond(values, label, np.greater, "> 0")


def not_negative(values, label):
    """The value or values, if all are >= 0, or ValueError."""
    return _beyond(values, label, np.greater_equal, ">= 0")


def _beyond(values, label, compare, bound):
    inside = compare(values, 0)
    if not np.all(inside):
        value = shown(float(np.asarray(values, float)[~np.asarray(inside)].min()))
        raise ValueError(f"{label} is {value}; it must be {bound}" if not np.ndim(values)
                         else f"{label}: the smallest is {value}; all must be {bound}")
    return values


def points(w, dimension, label="parameters"):
    """Finite points as float64, shape (..., dimension), or ValueError."""
    w = numbers(w, label)
    if not w.ndim or w.shape[-1] != dimension:
        raise ValueError(f"the {label} have shape {w.shape}; the last axis must have length {dimension}")
    if not np.isfinite(w).all():
        raise ValueError(f"the {label} contain {float(w[~np.isfinite(w)][0])}; all must be finite")
    return w
