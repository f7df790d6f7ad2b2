"""Ranges of arrays of parameters: the first value outside is refused in one line that names it and what is allowed."""

import numpy as np

from ..arguments import number, shown


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
