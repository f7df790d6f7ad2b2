"""Numbers as people pass them: what is one becomes float64, what is not is refused in one line that names it."""

import numpy as np


def shown(value) -> str:
    """A value as a message may show it: one line, at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def number(value, name: str) -> float:
    """One real number, infinities and NaN included.

    Parameters
    ----------
    value : number
        Whatever ``float`` takes, but for text and booleans.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        For anything else.
    """
    try:
        if isinstance(value, bool | np.bool_ | str | bytes) or np.ndim(value) or np.iscomplexobj(value):
            raise TypeError
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {shown(value)}; that is beyond the range of float64") from None
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {shown(value)}; it must be a number") from None


def numbers(values, name: str) -> np.ndarray:
    """A new float64 array of real numbers, infinities and NaN included.

    Parameters
    ----------
    values : array_like
        Of any shape, but not ragged; neither text nor complex.
    name : str
        What the message calls them, in the plural.

    Raises
    ------
    ValueError
        For anything else.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":
            raise TypeError
        return np.array(array, dtype=np.float64)
    except OverflowError:
        raise ValueError(f"{name} are {shown(values)}; some are beyond the range of float64") from None
    except (TypeError, ValueError):
        raise ValueError(f"{name} are {shown(values)}; they must be numbers") from None


def positive(value, name: str, most: int | None = None) -> int:
    """An integer >= 1, and at most `most` if that is given.

    Raises
    ------
    ValueError
        For anything else; booleans and floats are none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer >= 1")
    if most is not None and value > most:
        raise ValueError(f"{name} is {shown(value)}; it must be at most {most}")
    return int(value)
