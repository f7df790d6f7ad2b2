"""Arguments of the judges: what they must be, and the one line that says so when they are not."""

import numpy as np


def pair(measured, expected, name: str):
    """Two float arrays of one shape, the second of them finite.

    Raises
    ------
    ValueError
        If they do not broadcast, are empty, or `expected` (called `name`) is not finite.
    """
    measured, expected = np.asarray(measured, float), np.asarray(expected, float)
    try:
        measured, expected = np.broadcast_arrays(measured, expected)
    except ValueError:
        raise ValueError(f"shapes {measured.shape} and {expected.shape} do not fit; they must broadcast") from None
    if not measured.size:
        raise ValueError("there is nothing to compare: the arrays are empty; at least one value is needed")
    if not np.isfinite(expected).all():
        raise ValueError(f"{name} is not finite everywhere; it must be")
    return measured, expected


def sorted_curve(x, y, least: int, stderr=None, positive: bool = True):
    """``x, y, stderr`` as float arrays sorted by x; y may hold anything, stderr may be None.

    Raises
    ------
    ValueError
        If the shapes are not (n,) with n >= `least`, x is not finite, distinct and (`positive`) positive, or
        stderr is negative or NaN.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < least:
        raise ValueError(f"x and y have shapes {x.shape} and {y.shape}; they must be (n,) with n >= {least}")
    if not np.isfinite(x).all() or (positive and not (x > 0).all()) or len(np.unique(x)) < len(x):
        raise ValueError(f"x must be finite{', positive' if positive else ''} and distinct")
    order = np.argsort(x)
    return x[order], y[order], None if stderr is None else standard_errors(stderr, y.shape)[order]


def standard_errors(stderr, shape: tuple) -> np.ndarray:
    """Standard errors broadcast to `shape`.

    Raises
    ------
    ValueError
        If they do not fit, or are negative or NaN.
    """
    try:
        errors = np.broadcast_to(np.asarray(stderr, float), shape)
    except ValueError:
        raise ValueError(f"stderr has shape {np.shape(stderr)}; it must fit {shape}") from None
    if np.isnan(errors).any() or (errors < 0).any():
        raise ValueError("stderr is negative or NaN somewhere; it must be >= 0")
    return errors


def finite(value, name: str):
    """`value` if it is a finite number, else ValueError."""
    return at_least(value, name, -np.inf)


def at_least(value, name: str, low: float):
    """`value` if it is a finite number that is not below `low`, else ValueError."""
    if not (np.ndim(value) == 0 and np.isfinite(value) and low <= value):
        raise ValueError(f"{name} is {value!r}; it must be a finite number" + f" >= {low:g}" * bool(low > -np.inf))
    return value


def above_zero(value, name: str):
    """`value` if it is a finite positive number, else ValueError."""
    if not (np.ndim(value) == 0 and 0 < value < np.inf):
        raise ValueError(f"{name} is {value!r}; it must be a finite number > 0")
    return value


def level(alpha: float) -> float:
    """`alpha` if it is a probability strictly between 0 and 1, else ValueError."""
    if not (np.ndim(alpha) == 0 and 0 < alpha < 1):
        raise ValueError(f"alpha is {alpha!r}; it must be between 0 and 1, ends excluded")
    return alpha
