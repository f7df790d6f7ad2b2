"""Nets of points on a manifold, by farthest-point sampling, and which of them a point is nearest to."""

import math

import numpy as np
from scipy.spatial import cKDTree

from ..arguments import number, numbers, shown


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
    if not isinstance(first, int | np.integer) or not 0 <= first < len(points):
        raise ValueError(f"first is {shown(first)}; it must be an integer in [0, {len(points)})")
    chosen = np.empty(count, dtype=np.intp)
    squared = np.full(len(points), math.inf)
    following = int(first)
    for place in range(count):
        chosen[place] = following
        offset = points - points[following]
        np.minimum(squared, np.einsum("nd,nd->n", offset, offset), out=squared)
        following = int(np.argmax(squared))
    return chosen


def net_for_radius(points, radius, first=0) -> np.ndarray:
    """Indices of the shortest prefix of farthest-point sampling whose balls of a radius cover the points.

    Parameters
    ----------
    points : array_like, shape (N, D)
    radius : float, > 0
        Every point is less than this from the net.
    first : int, in [0, N)
    """
    points = _cloud(points)
    if not number(radius, "radius") > 0:
        raise ValueError(f"radius is {shown(radius)}; it must be positive")
    chosen, squared, following = [], np.full(len(points), math.inf), int(first)
    while squared[following] >= radius**2:
        chosen.append(following)
        offset = points - points[following]
        np.minimum(squared, np.einsum("nd,nd->n", offset, offset), out=squared)
        following = int(np.argmax(squared))
    return np.array(chosen, dtype=np.intp)


def nearest(points, centres) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest centre and its index, for points of shape (N, D): two arrays of shape (N,)."""
    return cKDTree(_cloud(centres)).query(_cloud(points))


def covering_radius(points, centres) -> float:
    """The greatest distance of a point from the nearest centre: r_max on these points."""
    return float(nearest(points, centres)[0].max())


def _cloud(points):
    array = numbers(points, "points")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"points have shape {array.shape}; it must be (N, D)")
    return array
