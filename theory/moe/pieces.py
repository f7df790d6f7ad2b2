r"""Counting pieces and paths.

A depth-L MoE whose gates and experts are affine is affine along every routing path ``(k_1, .., k_L)``, and the points
of one path are an intersection of half-spaces: at most E^L pieces, each convex.  The bound is attained (see
:mod:`~theorycheck.theory.moe.partition`).  It is not special to mixtures: a sum of L piecewise-linear functions, each
of its own coordinate with E pieces, is ONE dense network of one hidden layer with L E neurons and has E^L pieces.
"""

import math

import numpy as np

from ..arguments import numbers, positive, shown
from .exact import Rational
from .model import DenseNetwork, MoE, finite_points
from .partition import DEEPEST, LARGEST

BLOCK = 2**13
"""Points routed at once when paths are counted: few enough to stay in the processor's cache."""


def count_paths(network, points) -> int:
    """How many different routes points of shape (N, D) take.

    Parameters
    ----------
    network : MoE
    points : array_like, shape (N, D)

    Raises
    ------
    ValueError
        If there could be 2^63 paths or more, which codes of int64 cannot tell apart.
    """
    if not isinstance(network, MoE):
        raise ValueError(f"network is {shown(network)}; it must be an MoE")
    sizes = [len(layer.experts) for layer in network.layers]
    if math.prod(sizes) >= 2**63:
        raise ValueError(f"there could be {math.prod(sizes):.3g} paths; there must be fewer than 2^63")
    radix = np.array([math.prod(sizes[:place]) for place in range(len(sizes))], dtype=np.int64)
    points = finite_points(points, network.layers[0].inputs)
    codes = [network.routed(points[start:start + BLOCK])[1] @ radix
             for start in range(0, max(1, len(points)), BLOCK)]
    ordered = np.sort(np.concatenate(codes))              # ten times as fast as np.unique, which hashes
    return int(np.count_nonzero(np.diff(ordered)) + (ordered.size > 0))


def exact_pieces(network, points) -> tuple[int, int]:
    """How many different routes, and how many different affine maps, rational points meet; without rounding.

    Parameters
    ----------
    network : MoE, MoELayer or DenseNetwork
    points : iterable of sequences of Fraction
    """
    exact, routes, maps = Rational(network), set(), set()
    try:
        points = iter(points)
    except TypeError:
        raise ValueError(f"points are {shown(points)}; they must be a sequence of points") from None
    for point in points:
        piece = exact.piece(point)
        routes.add(piece.route)
        maps.add(piece.affine)
    return len(routes), len(maps)


def grid_cells(depth, experts) -> np.ndarray:
    """The middle of every unit cube of [0, E]^L, shape (E^L, L).

    Raises
    ------
    ValueError
        For more than 2^26 cubes.
    """
    depth, experts = positive(depth, "depth", DEEPEST), positive(experts, "experts", LARGEST)
    if experts**depth > 2**26:
        raise ValueError(f"experts is {experts} and depth {depth}; experts**depth must be at most 2^26 = {2**26}")
    code = np.arange(experts**depth)
    return np.stack([code // experts**place % experts for place in range(depth)], axis=1) + 0.5


def additive_network(bends) -> DenseNetwork:
    """``sum_l phi_l(x_l)`` on [0, E]^L as a dense network of one hidden layer with L E neurons.

    Parameters
    ----------
    bends : array_like, shape (L, E)
        ``phi_l(x) = sum_i bends[l, i] relu(x - i)``, i = 0 .. E - 1: slope ``sum_{j <= i} bends[l, j]`` on [i, i + 1].
    """
    bends = numbers(bends, "bends")
    if bends.ndim != 2 or 0 in bends.shape:
        raise ValueError(f"bends are {shown(bends)}; they must be of shape (L, E)")
    depth, experts = bends.shape
    return DenseNetwork((np.repeat(np.eye(depth), experts, axis=0), bends.reshape(1, -1)),
                        (-np.tile(np.arange(float(experts)), depth), None))
