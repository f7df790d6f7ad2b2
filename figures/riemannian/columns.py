"""Rows of several kinds as the columns of one table."""

import numpy as np


def columns(names, rows) -> dict:
    """Columns by name from a list of rows; ``np.ma.masked`` stands for a value that does not exist.

    Parameters
    ----------
    names : sequence of str
    rows : list of tuple
        Each as long as `names`.

    Returns
    -------
    dict
        Name to array.
    """
    return {name: np.ma.array([0.0 if value is np.ma.masked else value for value in column],
                              mask=[value is np.ma.masked for value in column])
            for name, column in zip(names, zip(*rows, strict=True), strict=True)}
