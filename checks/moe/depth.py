"""Claims about depth: folding makes a zigzag that one layer matches only with half as many experts as it has pieces."""

from fractions import Fraction

import numpy as np

from ...theory.moe import exact, zigzag
from .. import judges
from ..claim import claim
from .paper import MOE

SIZES = ((9, 2), (6, 3), (4, 5))
"""(L, E) of the exact counts."""
TEETH = ((6, 2), (8, 2), (3, 3), (5, 3), (2, 5), (3, 5))
"""(L, E) of the comparison with one layer."""
NEAREST = 0.499
"""Below the 1/2 that three extremes on one affine piece cost, above the 1/3 of the best with two on each."""


@claim("zigzag_pieces", topic="moe", paper=MOE, where="Sec. 5.2", stance="derived",
       statement="one layer of E affine experts, repeated L times: the continuous zigzag of E^L pieces, slopes +-E^L")
def zigzag_pieces(effort):
    """In rationals: the value at every extreme and in every piece, the affine map on it, its limits at both ends."""
    return _folded(0)


@zigzag_pieces.control("L - 1 layers")
def _(effort):
    return _folded(-1)


@zigzag_pieces.control("no fold: every expert increases")
def _(effort):
    return _folded(0, fold=False)


@claim("depth_separation", topic="moe", paper=MOE, where="Sec. 5.2", stance="derived",
       statement="one layer of affine experts comes closer than 1/2 to the zigzag of n pieces iff E' >= ceil((n+1)/2)")
def depth_separation(effort):
    """Greedy cuts, each fitted in the sup norm, find the fewest pieces; one layer with as many experts errs by 1/3."""
    return _separated(effort, 0)


@depth_separation.control("one expert fewer")
def _(effort):
    return _separated(effort, -1)


@depth_separation.control("the zigzag of L - 1 layers in place of L, which folds E times less")
def _(effort):
    return _separated(effort, 0, missing=1)


def _folded(change, fold=True):
    routes, maps, wrong, slopes, jumps = [], [], [], [], []
    for depth, experts in SIZES:
        count = experts**depth
        network = exact.Rational(zigzag.zigzag(experts, depth + change, fold))
        found = [network.piece([Fraction(3 * place + 1, 3 * count)]) for place in range(count)]
        routes.append(len({piece.route for piece in found}))
        maps.append(len({piece.affine for piece in found}))
        slopes.append([float(abs(piece.matrix[0][0])) / count for piece in found])
        part = [Fraction(1, 3) if place % 2 == 0 else Fraction(2, 3) for place in range(count)]
        wrong.append(sum(piece.value[0] != value for piece, value in zip(found, part, strict=True)))
        jumps.append(sum(_at(piece, place, count) != place % 2 or _at(piece, place + 1, count) != (place + 1) % 2
                         for place, piece in enumerate(found)))
    every = [experts**depth for depth, experts in SIZES]
    at = {"L": [depth for depth, _ in SIZES], "E": [experts for _, experts in SIZES]}
    return judges.every(routes=judges.equal(routes, every, at=at), maps=judges.equal(maps, every, at=at),
                        values=judges.equal(wrong, 0, at=at), joints=judges.equal(jumps, 0, at=at),
                        slopes=judges.equal(np.concatenate(slopes), 1.0, over="slope over E^L"))


def _at(piece, extreme, count):
    """The piece's affine map at an extreme of the zigzag."""
    return piece.matrix[0][0] * Fraction(extreme, count) + piece.offset[0]


def _separated(effort, change, missing=0):
    sizes = TEETH + effort.choose((), ((11, 2), (7, 3), (5, 5)))
    fewest, needed, errors = [], [], []
    for depth, experts in sizes:
        count = experts**depth
        x = np.linspace(0, 1, 8 * count + 1)
        y = zigzag.zigzag(experts, depth - missing)(x[:, None])[:, 0]
        needed.append(zigzag.fewest_pieces(count) + change)
        fewest.append(zigzag.greedy_pieces(x, y, NEAREST))
        errors.append(np.abs(zigzag.shallow_zigzag(count, needed[-1])(x[:, None])[:, 0] - y).max())
    at = {"L": [depth for depth, _ in sizes], "E": [experts for _, experts in sizes]}
    return judges.every(fewest=judges.equal(fewest, needed, at=at),
                        attained=judges.equal(errors, 1 / 3, rtol=1e-9, at=at))
