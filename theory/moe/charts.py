r"""Atlases of linear charts, and when such a chart is injective.

The chart of centre c is ``phi_c(x) = T_c^T (x - c)`` with an orthonormal basis T_c of the tangent space there.  On a
manifold of reach tau (Federer 1959; Boissonnat, Lieutier and Wintraecken 2019)

    sin angle(y - x, T_x) <= |y - x| / (2 tau),        sin(angle(T_x, T_c) / 2) <= |x - c| / (2 tau),

so for x and y in B(c, s tau) the angle of y - x with T_c is at most ``arcsin s + 2 arcsin(s/2)``, and

    |phi_c(x) - phi_c(y)| >= cos(arcsin s + 2 arcsin(s/2)) |x - y|,

which is positive for ``s < sqrt 3 - 1``.  This is sufficient and not sharp: on a circle ``s < sqrt 2`` would do.
The cells of an atlas are those of the gate of :func:`~theorycheck.theory.moe.gates.power_gate`.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from ..arguments import shown
from .gates import power_gate
from .manifolds import Cube, Embedded, Manifold, flat_torus
from .model import DenseNetwork
from .nets import covering_radius, farthest_points, net_for_radius

INJECTIVE = math.sqrt(3) - 1
"""Balls of a radius less than this times the reach have injective linear charts."""
FEWEST = 50
"""Sample points that a cell needs at least, to know the box it fills."""


def least_stretch(ratio) -> float:
    """``cos(arcsin s + 2 arcsin(s/2))``, the least of ``|phi(x) - phi(y)| / |x - y|`` that the reach guarantees.

    Parameters
    ----------
    ratio : float, in [0, 1]
        s, radius over reach.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio is {shown(ratio)}; it must be in [0, 1]")
    return math.cos(math.asin(ratio) + 2 * math.asin(ratio / 2))


@dataclass(frozen=True, eq=False)
class Atlas:
    """Linear charts around centres on a manifold, each on its cell, with a box that contains the chart's image.

    Parameters
    ----------
    manifold : Manifold
    centres : array_like, shape (E, D)
        On the manifold.
    low, high : array_like, shape (E, d)
        Corners of the boxes in chart coordinates.
    bases : array_like, shape (E, D, d), optional
        The tangent bases, if not given.

    Raises
    ------
    ValueError
        For a centre off the manifold or shapes that do not fit.
    """

    manifold: Manifold
    centres: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bases: np.ndarray = None
    gate: DenseNetwork = field(init=False, repr=False)

    def __post_init__(self):
        centres = self.manifold.require(self.centres)
        wanted = (len(centres), self.manifold.dimension)
        for name in ("low", "high"):
            array = np.asarray(getattr(self, name), dtype=float)
            if array.shape != wanted:
                raise ValueError(f"{name} has shape {array.shape}; it must be {wanted}")
            object.__setattr__(self, name, array)
        object.__setattr__(self, "centres", centres)
        if self.bases is None:
            object.__setattr__(self, "bases", np.array(self.manifold.tangent(centres)))
        object.__setattr__(self, "gate", power_gate(centres))

    def route(self, points) -> np.ndarray:
        """The cell of every point, by the gate: shape (N,)."""
        return np.argmax(self.gate(points), axis=1)

    def coordinates(self, points, charts) -> np.ndarray:
        """``phi_i(x)`` of points (N, D) in charts i of shape (N,): shape (N, d)."""
        return np.einsum("nj,njd->nd", points - self.centres[charts], self.bases[charts])

    def points(self, chart, coordinates) -> np.ndarray:
        """Where on the manifold one chart has these coordinates: shape (N, D), by Newton along tangents.

        Raises
        ------
        ValueError
            If there is no such point near the centre: the coordinates are beyond the chart.
        """
        centre, basis = self.centres[chart], self.bases[chart]
        coordinates = np.asarray(coordinates, dtype=float)
        found = np.broadcast_to(centre, (len(coordinates), len(centre))).copy()
        for part in (0.4, 0.8, *np.ones(25)):
            miss = part * coordinates - (found - centre) @ basis
            if part == 1.0 and np.abs(miss).max() <= 1e-13 * max(1.0, self.manifold.size):
                return found
            tangent = self.manifold.tangent(found)
            step = np.linalg.solve(basis.T @ tangent, miss[..., None])
            step = np.clip(step, -self.manifold.size, self.manifold.size)
            found = self.manifold.retract(found + (tangent @ step)[..., 0])
        miss = np.abs(coordinates - (found - centre) @ basis).max(axis=1)
        if not miss.max() <= 1e-10 * max(1.0, self.manifold.size):
            worst = int(np.argmax(miss))
            raise ValueError(f"coordinates {shown(coordinates[worst].tolist())} are beyond chart {chart}, by "
                             f"{miss[worst]:.3g}; more charts have smaller ones")
        return found

    def stretch(self, points) -> np.ndarray:
        """For every cell the least ``|phi(x) - phi(y)| / |x - y|`` over neighbours in the chart among these points.

        Where two sheets of the manifold share a cell it is near 0 although the chart's Jacobian is not.
        Shape (E,); infinity for a cell with fewer than two points.
        """
        charts = self.route(points)
        least = np.full(len(self.centres), math.inf)
        for chart in range(len(self.centres)):
            mine = points[charts == chart]
            if len(mine) > 1:
                image = (mine - self.centres[chart]) @ self.bases[chart]
                near, other = cKDTree(image).query(image, k=min(5, len(mine)))
                apart = np.linalg.norm(mine[:, None] - mine[other[:, 1:]], axis=2)
                least[chart] = (near[:, 1:] / np.maximum(apart, 1e-300)).min()
        return least


def net_atlas(manifold, count, cloud, checked=True) -> Atlas:
    """An atlas around a net of farthest points of a sample.

    Parameters
    ----------
    manifold : Manifold
    count : int, >= 1
        E.
    cloud : array_like, shape (N, D)
        Points on the manifold, many to a cell.
    checked : bool
        Refuse cells that the reach does not guarantee to have injective charts.

    Raises
    ------
    ValueError
        If a point is off the manifold, the cells are too large for the reach (it names the least count that does), or
        a cell has too few points.
    """
    cloud = manifold.require(cloud)
    chosen = farthest_points(cloud, count)
    centres = cloud[chosen]
    radius, allowed = covering_radius(cloud, centres), INJECTIVE * manifold.reach
    if checked and not radius < allowed:
        needed = len(net_for_radius(cloud, allowed))
        raise ValueError(f"{count} charts have cells of radius {radius:.3g}, but the reach {manifold.reach:.3g} lets "
                         f"linear charts be injective below {allowed:.3g} only; the least count here is {needed}")
    bases = np.array(manifold.tangent(centres))
    charts = np.argmax(power_gate(centres)(cloud), axis=1)
    image = np.einsum("nj,njd->nd", cloud - centres[charts], bases[charts])
    low, high = np.full((count, manifold.dimension), math.inf), np.full((count, manifold.dimension), -math.inf)
    np.minimum.at(low, charts, image)
    np.maximum.at(high, charts, image)
    filled = np.bincount(charts, minlength=count)
    if filled.min() < FEWEST:
        raise ValueError(f"a cell has {filled.min()} of the {len(cloud)} points; it needs {FEWEST}, so take about "
                         f"{math.ceil(len(cloud) * FEWEST / max(filled.min(), 1))}")
    # the largest hole in n random points of a cell is of order (log n / n)^(1/d) of its size
    wider = ((np.log(filled) / filled) ** (1 / manifold.dimension))[:, None] * (high - low)
    return Atlas(manifold, centres, low - wider, high + wider, bases)


def curve_atlas(manifold, count) -> Atlas:
    """An atlas of equal arcs of a circle or homogeneous curve, embedded or not.

    Raises
    ------
    ValueError
        If a chart would turn back within its arc; it names the least count that does.
    """
    _count(count, 1, "an integer >= 1")
    if manifold.dimension != 1:
        raise ValueError(f"manifold has dimension {manifold.dimension}; it must be a curve")
    angles = 2 * math.pi * np.arange(count) / count
    half = math.pi / count
    fine = math.pi / 20_000
    first = manifold.tangent(manifold.embed([[0.0]]))[0, :, 0]
    along = np.arange(1, 20_001) * fine
    blocks = np.concatenate([manifold.tangent(manifold.embed(part[:, None]))[:, :, 0] @ first
                             for part in np.array_split(along, max(1, manifold.ambient // 16))])
    turned = along[np.argmax(blocks <= 0)] if (blocks <= 0).any() else math.inf
    if not half < turned - 2 * fine:
        raise ValueError(f"{count} arcs have linear charts that turn back {turned:.3g} from their centres, within half "
                         f"an arc, {half:.3g}; the least count is {math.floor(math.pi / (turned - 2 * fine)) + 1}")
    centres = manifold.embed(angles[:, None])
    bases = np.array(manifold.tangent(centres))
    ends = [np.einsum("nj,njd->nd", manifold.embed(angles[:, None] + side) - centres, bases) for side in (-half, half)]
    return Atlas(manifold, centres, *ends, bases)


def torus_atlas(dimension, count, frame=None) -> Atlas:
    """An atlas of the flat torus T^d in R^(2d): products of arcs, `count` >= 3 of them on each circle."""
    _count(count, 3, "an integer >= 3, for a linear chart of an arc")
    manifold = flat_torus(dimension)
    manifold = manifold if frame is None else Embedded(manifold, frame)
    centres = manifold.embed(2 * math.pi / count * _grid(dimension, count))
    high = np.full((len(centres), dimension), math.sin(math.pi / count))
    return Atlas(manifold, centres, -high, high)


def cube_atlas(dimension, count, frame=None) -> Atlas:
    """An atlas of the cube [0, 1]^d: subcubes, `count` >= 1 of them along each side."""
    _count(count, 1, "an integer >= 1")
    manifold = Cube(dimension) if frame is None else Embedded(Cube(dimension), frame)
    centres = manifold.embed((_grid(dimension, count) + 0.5) / count)
    high = np.full((len(centres), dimension), 0.5 / count)
    return Atlas(manifold, centres, -high, high)


def _count(value, least, wanted):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"count is {shown(value)}; it must be {wanted}")


def _grid(dimension, count):
    return np.stack(np.meshgrid(*(np.arange(count),) * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
