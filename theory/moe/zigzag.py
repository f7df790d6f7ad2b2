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

from ..arguments import number, numbers, positive
from .model import DenseNetwork, MoE, MoELayer, linear_gate


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
    experts, depth = positive(experts, "experts"), positive(depth, "depth")
    index = np.arange(1.0, experts + 1)
    down = fold & (index % 2 == 0)
    layer = MoELayer(linear_gate(2 * experts * index[:, None], -index * (index - 1)),
                     [DenseNetwork(([[-experts if falls else experts]],), ([i if falls else 1 - i],))
                      for i, falls in zip(index, down, strict=True)])
    return MoE((layer,) * depth)


def zigzag_values(x, pieces) -> np.ndarray:
    """The zigzag of n pieces at x in [0, 1], from the distance to the nearest even extreme."""
    scaled = numbers(x, "x") * pieces
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
    experts = fewest_pieces(pieces) if experts is None else positive(experts, "experts")
    index = np.arange(float(experts))
    middle = (2 * index + 0.5) / pieces
    edges = np.cumsum((2 * index - 0.5) / pieces * (index > 0))
    slope = pieces / 3
    return MoELayer(linear_gate(index[:, None], -edges),
                    [DenseNetwork(([[slope]],), ([0.5 - slope * centre],)) for centre in middle])


def greedy_pieces(x, y, tolerance) -> int:
    """The fewest affine pieces that pass all samples within a tolerance: each piece as long as it can be.

    Parameters
    ----------
    x, y : array_like, shape (N,)
        x increasing.
    tolerance : float, > 0
    """
    x, y = numbers(x, "x"), numbers(y, "y")
    if x.ndim != 1 or x.shape != y.shape or len(x) < 1 or not (np.diff(x) > 0).all():
        raise ValueError(f"x and y have shapes {x.shape} and {y.shape}; they must be of one length, x increasing")
    if not number(tolerance, "tolerance") > 0:
        raise ValueError(f"tolerance is {tolerance!r}; it must be positive")
    count, start = 0, 0
    while start < len(x):
        end = start + 1
        while end < len(x) and affine_error(x[start:end + 1], y[start:end + 1]) <= tolerance:
            end += 1
        count, start = count + 1, end
    return count


def affine_error(x, y) -> float:
    """The least largest deviation of samples from an affine function.

    ``max_k (y_k - s x_k) - min_k (y_k - s x_k)`` is convex in the slope s and kinked at the slopes between two samples,
    so its minimum is at one of them; half of it is the error.
    """
    if len(x) < 3:
        return 0.0
    first, second = np.triu_indices(len(x), 1)
    slopes = (y[second] - y[first]) / (x[second] - x[first])
    residual = y - slopes[:, None] * x
    return float((residual.max(axis=1) - residual.min(axis=1)).min()) / 2
