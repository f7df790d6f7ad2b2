r"""Depth against width on an interval: the zigzag of E^L pieces.

The zigzag of n pieces on [0, 1] is linear between its extremes 0, 1, 0, 1, .. at ``j/n``.  Folding one layer of E
affine experts L times, all layers alike,

    gate  2 E i z - i (i - 1),     expert i  E z - (i - 1) for odd i,  i - E z for even i,

gives the zigzag of E^L pieces with E different experts.

Lower bound: on an interval that contains three consecutive extremes every affine function misses the zigzag by at
least 1/2, so p affine pieces (jumps allowed) that come closer than 1/2 contain at most two extremes each, and

    p >= ceil((n + 1)/2).

It is attained: pieces of slope +n/3 with value 1/2 halfway between extremes 2k and 2k + 1 miss by 1/3.  A depth-1 MoE
with scalar input, affine gate and E' experts of one hidden layer of width m has at most E' (m + 1) pieces, so it needs
``E' (m + 1) >= ceil((E^L + 1)/2)``.
"""

import numpy as np

from ..arguments import number, numbers, positive, shown
from .model import DenseNetwork, MoE, MoELayer, linear_gate
from .partition import DEEPEST, LARGEST


def zigzag(experts, depth, fold=True) -> MoE:
    """E^L pieces from L equal layers of E affine experts.

    Parameters
    ----------
    experts : int, >= 1
        E.
    depth : int, >= 1
        L.
    fold : bool
        False lets every expert increase, which makes a sawtooth that jumps.
    """
    experts, depth = positive(experts, "experts", LARGEST), positive(depth, "depth", DEEPEST)
    index = np.arange(1.0, experts + 1)
    down = fold & (index % 2 == 0)
    layer = MoELayer(linear_gate(2 * experts * index[:, None], -index * (index - 1)),
                     [DenseNetwork(([[-experts if falls else experts]],), ([i if falls else 1 - i],))
                      for i, falls in zip(index, down, strict=True)])
    return MoE((layer,) * depth)


def zigzag_values(x, pieces) -> np.ndarray:
    """The zigzag of n pieces at x in [0, 1], from the distance to the nearest even extreme."""
    scaled = numbers(x, "x") * positive(pieces, "pieces", 2**53)
    return np.abs(scaled - 2 * np.round(scaled / 2))


def fewest_pieces(pieces) -> int:
    """``ceil((n + 1)/2)``: the fewest affine pieces that come closer than 1/2 to the zigzag of n pieces."""
    return -(-(positive(pieces, "pieces") + 1) // 2)


def shallow_zigzag(pieces, experts=None) -> MoELayer:
    """One layer of affine experts, each on two neighbouring extremes: 1/3 from the zigzag of n pieces.

    Parameters
    ----------
    pieces : int, >= 1
        n.
    experts : int, optional
        Leaves out the last ones; ``fewest_pieces(n)`` by default.
    """
    pieces = positive(pieces, "pieces", LARGEST)
    experts = fewest_pieces(pieces) if experts is None else positive(experts, "experts", LARGEST)
    index = np.arange(float(experts))
    middle = (2 * index + 0.5) / pieces
    edges = np.cumsum((2 * index - 0.5) / pieces * (index > 0))
    slope = pieces / 3
    return MoELayer(linear_gate(index[:, None], -edges),
                    [DenseNetwork(([[slope]],), ([0.5 - slope * centre],)) for centre in middle])


def greedy_pieces(x, y, tolerance) -> int:
    """The fewest affine pieces that pass all samples within a tolerance: each piece as long as it can be.

    The error of a piece grows with it, so its end is found by doubling steps and then halving them.

    Parameters
    ----------
    x, y : array_like, shape (N,)
        x increasing.
    tolerance : float, > 0

    Raises
    ------
    ValueError
        If shapes differ, a number is not finite, x does not increase or the tolerance is not positive.
    """
    x, y = _samples(x, y)
    if not number(tolerance, "tolerance") > 0:
        raise ValueError(f"tolerance is {shown(tolerance)}; it must be positive")

    def fits(start, end):
        return end <= len(x) and _least_error(x[start:end], y[start:end]) <= tolerance
    count, start = 0, 0
    while start < len(x):
        step, end = 1, start + 1
        while fits(start, end + step):
            end, step = end + step, 2 * step
        while step:
            if fits(start, end + step):
                end += step
            step //= 2
        count, start = count + 1, end
    return count


def affine_error(x, y) -> float:
    """The least largest deviation of samples from an affine function.

    ``max_k (y_k - s x_k) - min_k (y_k - s x_k)`` is convex in the slope s and kinked at slopes of edges of the samples'
    convex hull, so its minimum is at one of them; half of it is the error.

    Parameters
    ----------
    x, y : array_like, shape (N,)
        x increasing.

    Raises
    ------
    ValueError
        If shapes differ, a number is not finite or x does not increase.
    """
    return _least_error(*_samples(x, y))


def _samples(x, y):
    x, y = numbers(x, "x"), numbers(y, "y")
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(f"x and y have shapes {x.shape} and {y.shape}; they must be of one length, at least 1")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x[1:] > x[:-1]).all()):
        raise ValueError(f"x and y are {shown(x)} and {shown(y)}; they must be finite, x increasing")
    return x, y


def _least_error(x, y):
    if len(x) < 3:
        return 0.0
    above, below = _hull(x, y, 1.0), _hull(x, y, -1.0)
    falling, rising = (np.diff(y[side]) / np.diff(x[side]) for side in (above, below))
    slopes = np.concatenate([falling, rising])
    high, low = above[np.searchsorted(-falling, -slopes)], below[np.searchsorted(rising, slopes)]
    return float((y[high] - y[low] - slopes * (x[high] - x[low])).min()) / 2


def _hull(x, y, side):
    """Indices of the vertices of the upper (side 1) or lower (side -1) hull, by increasing x."""
    kept = []
    for place, (one, other) in enumerate(zip(x.tolist(), (side * y).tolist(), strict=True)):
        while len(kept) > 1:
            (_, left, down), (_, right, up) = kept[-2:]
            if (up - down) * (one - left) > (other - down) * (right - left):
                break
            kept.pop()
        kept.append((place, one, other))
    return np.array([place for place, _, _ in kept])
