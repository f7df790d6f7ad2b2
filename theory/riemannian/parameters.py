"""Parameters of landscapes and metrics, checked: what is out of range is refused in one line."""

import numpy as np

from ..arguments import number, numbers, shown


def keep(landscape, label, value):
    """Set a field of a frozen dataclass."""
    object.__setattr__(landscape, label, value)


def finite(value, label):
    """One finite float, or ValueError."""
    value = number(value, label)
    if not np.isfinite(value):
        raise ValueError(f"{label} is {value}; it must be finite")
    return value


def row(values, label, size=None):
    """A row of finite numbers, of a given length if any, or ValueError."""
    found = np.atleast_1d(numbers(values, label))
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise ValueError(f"{label} are {shown(values)}; they must be finite numbers in one row")
    if size is not None and found.size != size:
        raise ValueError(f"{label} has {found.size} entries; it must have {size}")
    return found


def positive(values, label):
    """The value or values, if all are > 0, or ValueError."""
    if not np.all(np.asarray(values) > 0):
        raise ValueError(f"{label} is {shown(np.min(values).item())} at its smallest; it must be > 0")
    return values


def not_negative(values, label):
    """The value or values, if all are >= 0, or ValueError."""
    if not np.all(np.asarray(values) >= 0):
        raise ValueError(f"{label} is {shown(np.min(values).item())} at its smallest; it must be >= 0")
    return values


def points(w, dimension):
    """Points as float64, shape (..., dimension), or ValueError."""
    w = np.asarray(w, float)
    if not w.ndim or w.shape[-1] != dimension:
        raise ValueError(f"the parameters have shape {w.shape}; the last axis must have length {dimension}")
    return w
