"""Nets of points on a manifold, by farthest-point sampling, and which of them a point is nearest to."""

import math

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from ..arguments import number, numbers, positive, shown


def farthest_points(points, count, first=0) -> np.ndarray:
    """Indices of a net: each next point is the one farthest from those before it (Gonzalez 1985).

    Its covering radius on the given points is at most twice the best one of that size.

    Parameters
    ----------
    points : array_like, shape (N, D)
    count : int, in [1, N]
        E, the size of the net.
    first : int, in [0, N)
        Where it starts.

    Returns
    -------
    ndarray of int, shape (count,)

    Raises
    ------
    ValueError
        If the size or the start is out of range.
    """
    points = _cloud(points)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= len(points):
        raise ValueError(f"count is {shown(count)}; it must be an integer in [1, {len(points)}], the number of points")
    return _farthest(points, int(count), 0.0, _start(first, points))


def net_for_radius(points, radius, first=0, most=None) -> np.ndarray:
    """Indices of the shortest prefix of farthest-point sampling whose balls of a radius cover the points.

    Parameters
    ----------
    points : array_like, shape (N, D)
    radius : float, > 0
        Every point is less than this from the net.
    first : int, in [0, N)
    most : int, >= 1, optional
        Give up when there are so many, whether they cover or not.
    """
    points = _cloud(points)
    if not number(radius, "radius") > 0:
        raise ValueError(f"radius is {shown(radius)}; it must be positive")
    most = len(points) if most is None else min(positive(most, "most"), len(points))
    return _farthest(points, most, float(radius) ** 2, _start(first, points))


def nearest(points, centres) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest centre and its index, for points of shape (N, D): two arrays of shape (N,)."""
    points, centres = _cloud(points), _cloud(centres, "centres")
    if points.shape[1] != centres.shape[1]:
        raise ValueError(f"points have {points.shape[1]} coordinates; they must have {centres.shape[1]}, as the "
                         "centres do")
    return cKDTree(centres).query(points)


@njit(cache=True)
def _farthest(points, most, within, first):
    """Indices in order, until there are so many or no squared distance from them is `within` or more."""
    count, ambient = points.shape
    squared = np.full(count, math.inf)
    chosen = np.empty(most, dtype=np.intp)
    following, size = first, 0
    while size < most and squared[following] >= within:
        chosen[size] = following
        size += 1
        centre, farthest, place = points[following], -1.0, 0
        for row in range(count):
            distance = 0.0
            for column in range(ambient):
                offset = points[row, column] - centre[column]
                distance += offset * offset
            squared[row] = min(squared[row], distance)
            if squared[row] > farthest:
                farthest, place = squared[row], row
        following = place
    return chosen[:size].copy()


def _start(first, points):
    if isinstance(first, bool) or not isinstance(first, int | np.integer) or not 0 <= first < len(points):
        raise ValueError(f"first is {shown(first)}; it must be an integer in [0, {len(points)})")
    return int(first)


def _cloud(points, name="points"):
    array = numbers(points, name)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} have shape {array.shape}; it must be (N, D)")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contain infinity or NaN; they must be finite")
    return np.ascontiguousarray(array)
