r"""Atlases of linear charts, and when such a chart is injective.

The chart of centre c is ``phi_c(x) = T_c^T (x - c)`` with an orthonormal basis T_c of the tangent space there.  On a
manifold of reach tau (Federer 1959; Boissonnat, Lieutier and Wintraecken 2019)

    sin angle(y - x, T_x) <= |y - x| / (2 tau),        sin(angle(T_x, T_c) / 2) <= |x - c| / (2 tau),

so for x and y in B(c, s tau) the angle of y - x with T_c is at most ``arcsin s + 2 arcsin(s/2)``, and

    |phi_c(x) - phi_c(y)| >= cos(arcsin s + 2 arcsin(s/2)) |x - y|,

which is positive for ``s < sqrt 3 - 1``.  This is sufficient and not sharp: on a circle ``s < sqrt 2`` would do.
The cells of an atlas are those of the gate of :func:`~theorycheck.theory.moe.gates.power_gate`, Voronoi's.

*What is proved of an atlas.*  Two things must hold on all of M, not at sampled points: r_max, the largest distance
from a centre within its cell, and a box that contains the image of the cell.

- :func:`net_atlas` reads both off a lattice with a known hole (:mod:`~theorycheck.theory.moe.lattices`): r_max is at
  most the largest distance of a lattice point from its nearest centre, plus the hole.  A point x of cell i has a
  lattice point y within the hole, so ``|y - c_i| <= min_j |y - c_j| + 2 hole`` and ``phi_i(x)`` is within the hole of
  ``phi_i(y)``: the image is in the box of all such ``phi_i(y)``, widened by the hole.
- :func:`curve_atlas` has closed forms.  On the curve of k harmonics ``|x(s) - x(0)|^2 = (4/Z) sum_j sin^2(js/2)/j^2``,
  Z the sum of 1/j^2, has the derivative ``(2/Z) sum_j sin(js)/j > 0`` on (0, pi) (Fejer, Jackson), so cells of equally
  spaced centres are equal arcs; the chart's is ``prop. to sum_j cos(js) = cos((k+1)s/2) sin(ks/2) / sin(s/2)``,
  positive up to ``s = pi/(k+1)`` and not further: the least number of arcs is k + 2.
- :func:`torus_atlas` and :func:`cube_atlas` are products of arcs and of intervals.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import cKDTree

from ..arguments import numbers, positive, shown
from .gates import power_gate
from .lattices import NUMBERS, lattice, most
from .manifolds import Cube, Embedded, HomogeneousCurve, Manifold, Sphere, flat_torus
from .model import DenseNetwork
from .nets import farthest_points, net_for_radius

INJECTIVE = math.sqrt(3) - 1
"""Balls of a radius less than this times the reach have injective linear charts."""
LATTICE = 100_000
"""Points of the lattice on which a net is chosen and checked, unless said otherwise."""
FEWEST = 50
"""Lattice points a cell must have on average: with fewer its box would be mostly margin."""
WORK = 2 * 10**9
"""Differences of coordinates that may be computed to find the least number of charts: seconds."""
LARGEST = 100_000
"""Charts of a product of arcs or intervals: their number grows as a power."""


def least_stretch(ratio, apart=None):
    """``cos(arcsin(a/2) + 2 arcsin(s/2))``, the least ``|phi(x) - phi(y)| / |x - y|`` that the reach guarantees.

    Parameters
    ----------
    ratio : array_like, in [0, 1]
        s, over the reach: a radius of a ball about the centre with x and y in it.
    apart : array_like, in [0, 2], optional
        a, over the reach: ``|x - y|``; 2 s, the most it can be, if not given.

    Returns
    -------
    float or ndarray
    """
    ratio = numbers(ratio, "ratio")
    apart = 2 * ratio if apart is None else numbers(apart, "apart")
    for name, array, greatest in (("ratio", ratio, 1), ("apart", apart, 2)):
        outside = array[~((array >= 0) & (array <= greatest))]
        if outside.size:
            raise ValueError(f"{name} is {outside.flat[0]:.6g}; it must be in [0, {greatest}]")
    if apart.ndim and ratio.ndim and apart.shape != ratio.shape:
        raise ValueError(f"apart has shape {apart.shape}; it must be that of ratio, {ratio.shape}")
    return np.cos(np.arcsin(apart / 2) + 2 * np.arcsin(ratio / 2))[()]


@dataclass(frozen=True, eq=False)
class Atlas:
    """Linear charts around centres on a manifold, each on its cell, with a box that contains the chart's image.

    Parameters
    ----------
    manifold : Manifold
    centres : array_like, shape (E, D)
        On the manifold.
    low, high : array_like, shape (E, d)
        Corners of the boxes in chart coordinates, ``low <= high``.
    bases : array_like, shape (E, D, d), optional
        Orthonormal (to 1e-10); the tangent bases, if not given.

    Attributes
    ----------
    radius : float
        r_max, a length within which all of every cell is proved to be of its centre: by :func:`net_atlas`,
        :func:`curve_atlas`, :func:`torus_atlas` and :func:`cube_atlas`; infinity if the atlas is none of theirs.

    Raises
    ------
    ValueError
        For a centre off the manifold, shapes that do not fit, empty boxes or bases that are not orthonormal.
    """

    manifold: Manifold
    centres: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bases: np.ndarray = None
    radius: float = field(init=False, default=math.inf)
    gate: DenseNetwork = field(init=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.manifold, Manifold):
            raise ValueError(f"manifold is {shown(self.manifold)}; it must be a Manifold")
        centres = self.manifold.require(self.centres)
        wanted = (len(centres), self.manifold.dimension)
        for name in ("low", "high"):
            array = numbers(getattr(self, name), name)
            if array.shape != wanted or not np.isfinite(array).all():
                raise ValueError(f"{name} has shape {array.shape}; it must be {wanted}, of finite numbers")
            object.__setattr__(self, name, array)
        if not (self.low <= self.high).all():
            chart, axis = np.argwhere(self.low > self.high)[0]
            raise ValueError(f"low[{chart}, {axis}] is {self.low[chart, axis]:.6g}; it must be at most high there, "
                             f"{self.high[chart, axis]:.6g}")
        bases = np.array(self.manifold.tangent(centres)) if self.bases is None else numbers(self.bases, "bases")
        wanted = (*centres.shape, self.manifold.dimension)
        if bases.shape != wanted:
            raise ValueError(f"bases have shape {bases.shape}; it must be {wanted}")
        miss = np.abs(np.einsum("njd,nje->nde", bases, bases) - np.eye(wanted[2])).max()
        if not miss <= 1e-10:
            raise ValueError(f"bases are off orthonormality by {miss:.2g}; it must be at most 1e-10")
        for name, value in (("centres", centres), ("bases", bases), ("gate", power_gate(centres))):
            object.__setattr__(self, name, value)

    def boxed(self, low, high) -> "Atlas":
        """The same cells and charts, and so the same radius, with other boxes, each of shape (E, d)."""
        return _proved(replace(self, low=low, high=high), self.radius)

    def route(self, points) -> np.ndarray:
        """The cell of every point, by the gate: shape (N,).

        Raises
        ------
        ValueError
            If a point is off the manifold; it names the distance.
        """
        return np.argmax(self.gate(self.manifold.require(points)), axis=1)

    def coordinates(self, points, charts) -> np.ndarray:
        """``phi_i(x)`` of points (N, D) in charts i of shape (N,): shape (N, d).

        Raises
        ------
        ValueError
            If a point is off the manifold (it names the distance) or a chart is none.
        """
        points, charts = self.manifold.require(points), np.asarray(charts)
        if charts.shape != points.shape[:1]:
            raise ValueError(f"charts have shape {charts.shape}; it must be {points.shape[:1]}, one for each point")
        if charts.size and (charts.dtype.kind not in "iu" or not 0 <= charts.min() <= charts.max() < len(self.low)):
            raise ValueError(f"charts are {shown(charts.tolist())}; they must be integers in [0, {len(self.low)})")
        return np.einsum("nj,njd->nd", points - self.centres[charts], self.bases[charts])

    def points(self, chart, coordinates) -> np.ndarray:
        """Where on the manifold one chart has these coordinates: shape (N, D), by Newton along tangents.

        Raises
        ------
        ValueError
            If there is no such point near the centre: the coordinates are beyond the chart.
        """
        if isinstance(chart, bool) or not isinstance(chart, int | np.integer) or not 0 <= chart < len(self.centres):
            raise ValueError(f"chart is {shown(chart)}; it must be an integer in [0, {len(self.centres)})")
        coordinates, (centre, basis) = numbers(coordinates, "coordinates"), (self.centres[chart], self.bases[chart])
        if coordinates.ndim != 2 or coordinates.shape[1] != basis.shape[1] or not np.isfinite(coordinates).all():
            raise ValueError(f"coordinates have shape {coordinates.shape}; it must be (N, {basis.shape[1]}), of finite "
                             "numbers")
        found = np.broadcast_to(centre, (len(coordinates), len(centre))).copy()
        if not coordinates.size:
            return found
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
        points, least = np.asarray(points, dtype=float), np.full(len(self.centres), math.inf)
        for chart in range(len(self.centres)):
            mine = points[charts == chart]
            if len(mine) > 1:
                image = (mine - self.centres[chart]) @ self.bases[chart]
                near, other = cKDTree(image).query(image, k=min(5, len(mine)))
                apart = np.linalg.norm(mine[:, None] - mine[other[:, 1:]], axis=2)
                least[chart] = (near[:, 1:] / np.maximum(apart, 1e-300)).min()
        return least


def net_atlas(manifold, count, points=LATTICE, checked=True) -> Atlas:
    """An atlas around a net of farthest points of a lattice, its radius and boxes proved.

    Parameters
    ----------
    manifold : Manifold
        Of dimension at most 6.
    count : int, >= 1
        E.
    points : int, in [50 E, 2 000 000]
        Size of the lattice, at most :func:`~theorycheck.theory.moe.lattices.most` on this manifold.  The boxes are up
        to about two holes wider than the images of the cells.
    checked : bool
        Refuse cells that the reach does not guarantee to have injective charts.

    Raises
    ------
    ValueError
        If the cells are too large for the reach (it names the least count that does), the lattice is too small for
        so many, or lattice or bases are more than memory should hold (it names how many do).
    """
    if isinstance(manifold, Embedded):          # all is decided in the manifold's own space, whatever the frame
        _holding(positive(count, "count"), manifold)
        within, frame = net_atlas(manifold.manifold, count, points, checked), manifold.frame
        moved = Atlas(manifold, within.centres @ frame.T, within.low, within.high, frame @ within.bases)
        return _proved(moved, within.radius)
    bound = most(manifold)
    _lattice_size(points, bound, manifold)
    if not FEWEST * positive(count, "count") <= points:
        raise ValueError(f"count is {shown(count)}; it must be at most {points // FEWEST} on a lattice of points = "
                         f"{points}" + (f", so take points = {FEWEST * count}" if FEWEST * count <= bound else ""))
    cloud, hole = lattice(manifold, points)
    centres = cloud[farthest_points(cloud, min(count, len(cloud)))]
    around = cKDTree(centres)
    radius, allowed = float(around.query(cloud)[0].max()) + hole, INJECTIVE * manifold.reach
    if checked and not radius < allowed:
        least, enough = least_charts(manifold, points)
        raise ValueError(f"{count} charts have cells of radius up to {radius:.3g}, but the reach {manifold.reach:.3g} "
                         f"lets linear charts be injective below {allowed:.3g} only; the least count is {least}"
                         + (f" on a lattice of points = {enough}" if enough != points else ""))
    bases = np.array(manifold.tangent(centres))
    return _proved(Atlas(manifold, centres, *_boxes(cloud, hole, centres, bases, around), bases), radius)


def least_charts(manifold, points=LATTICE) -> tuple[int, int]:
    """The least number of charts that :func:`net_atlas` accepts, and the size of the lattice on which it does.

    The lattice is the one asked for, unless it is too coarse for the reach or for that many cells.

    Raises
    ------
    ValueError
        If none of at most 2 000 000 points is fine enough, or so many charts are needed that they are not counted.
    """
    while isinstance(manifold, Embedded):
        manifold = manifold.manifold
    bound = most(manifold)
    _lattice_size(points, bound, manifold)
    allowed = INJECTIVE * manifold.reach
    if allowed == math.inf:
        return 1, points
    while True:
        cloud, hole = lattice(manifold, points)
        if hole < allowed / 2:
            few = max(points // FEWEST, 1), max(WORK // cloud.size, 1)
            count = len(net_for_radius(cloud, (allowed - hole) * (1 - 1e-12), most=min(few) + 1))
            if count <= min(few):
                return count, points
            if count > WORK // (2 * cloud.size) or points == bound:     # the next lattice could not count as many
                raise ValueError(f"manifold has reach {manifold.reach:.3g} and dimension {manifold.dimension}; it "
                                 f"needs more than {count - 1} charts within {allowed:.3g}")
        elif points == bound:
            raise ValueError(f"manifold has reach {manifold.reach:.3g} and dimension {manifold.dimension}; a lattice "
                             f"of {bound} points has holes of {hole:.3g} and is too coarse for charts within "
                             f"{allowed:.3g}")
        points = min(bound, 2 * points)


def _lattice_size(points, bound, manifold):
    if positive(points, "points") > bound:
        raise ValueError(f"points is {shown(points)}; it must be at most {bound} in {manifold.ambient} dimensions")


def _holding(count, manifold):
    """Refuse more charts than have bases of as many entries as a lattice may have coordinates."""
    most_charts = NUMBERS // (manifold.ambient * manifold.dimension)
    if count > most_charts:
        raise ValueError(f"count is {shown(count)}; it must be at most {most_charts} in {manifold.ambient} dimensions")


def _proved(atlas, radius):
    """The atlas with a radius that somebody has proved."""
    object.__setattr__(atlas, "radius", float(radius))
    return atlas


def _boxes(cloud, hole, centres, bases, around):
    """Boxes in the charts that contain the cells: of the lattice points nearly in the cell, widened by the hole."""
    low = np.full((len(centres), bases.shape[2]), math.inf)
    high, near = -low, min(len(centres), 8)
    for part in np.array_split(cloud, math.ceil(len(cloud) / 10_000)):
        while True:
            distance, chart = around.query(part, k=np.arange(1, near + 1))
            mine = distance <= distance[:, :1] + 2 * hole
            if near == len(centres) or not mine[:, -1].any():
                break
            near = min(len(centres), 2 * near)
        rows, columns = np.nonzero(mine)
        chart = chart[rows, columns]
        for few in np.array_split(np.arange(len(rows)), math.ceil(len(rows) * bases[0].size / 10**7)):
            image = np.einsum("nj,njd->nd", part[rows[few]] - centres[chart[few]], bases[chart[few]])
            np.minimum.at(low, chart[few], image)
            np.maximum.at(high, chart[few], image)
    return low - hole, high + hole


def curve_atlas(manifold, count) -> Atlas:
    """An atlas of equal arcs of a circle or homogeneous curve, embedded or not.

    Raises
    ------
    ValueError
        For another manifold, or if a chart would turn back within its arc; it names the least count that does not.
    """
    curve = manifold.manifold if isinstance(manifold, Embedded) else manifold
    if isinstance(curve, Sphere) and curve.dimension == 1:
        harmonics = 1
    elif isinstance(curve, HomogeneousCurve):
        harmonics = curve.harmonics
    else:
        raise ValueError(f"manifold is {shown(manifold)}; it must be a circle or a HomogeneousCurve, embedded or not")
    positive(count, "count")
    _holding(count, manifold)
    half, turned = math.pi / count, math.pi / (harmonics + 1)
    if not count > harmonics + 1:
        raise ValueError(f"{count} arcs have linear charts that turn back {turned:.3g} from their centres, within half "
                         f"an arc, {half:.3g}; the least count is {harmonics + 2}")
    angles = 2 * half * np.arange(count)
    centres = manifold.embed(angles[:, None])
    bases = np.array(manifold.tangent(centres))
    (low, high), ends = np.empty((2, count, 1)), (-half, half)
    for box, side in zip((low, high), ends, strict=True):
        end = curve.embed([[side]]) - curve.embed([[0.0]])
        box[:] = end @ curve.tangent(curve.embed([[0.0]]))[0]           # all arcs are alike
    return _proved(Atlas(manifold, centres, low, high, bases), np.linalg.norm(end))


def torus_atlas(dimension, count, frame=None) -> Atlas:
    """An atlas of the flat torus T^d in R^(2d): products of arcs, `count` >= 3 of them on each circle.

    At most 100 000 charts, so ``count <= 100 000^(1/d)``.
    """
    manifold = flat_torus(dimension)
    _product(count, 3, dimension)
    manifold = manifold if frame is None else Embedded(manifold, frame)
    _holding(count**dimension, manifold)
    centres = manifold.embed(2 * math.pi / count * _grid(dimension, count))
    high = np.full((len(centres), dimension), math.sin(math.pi / count))
    radius = 2 * math.sin(math.pi / (2 * count)) * math.sqrt(dimension)
    return _proved(Atlas(manifold, centres, -high, high), radius)


def cube_atlas(dimension, count, frame=None) -> Atlas:
    """An atlas of the cube [0, 1]^d: subcubes, `count` >= 1 of them along each side, at most 100 000 in all."""
    cube = Cube(dimension)
    _product(count, 1, dimension)
    manifold = cube if frame is None else Embedded(cube, frame)
    _holding(count**dimension, manifold)
    centres = manifold.embed((_grid(dimension, count) + 0.5) / count)
    high = np.full((len(centres), dimension), 0.5 / count)
    return _proved(Atlas(manifold, centres, -high, high), 0.5 / count * math.sqrt(dimension))


def _product(value, least, dimension):
    """A number of arcs or intervals whose product is not too large."""
    if positive(value, "count") < least:
        raise ValueError(f"count is {value}; it must be an integer >= {least}, for a linear chart of an arc")
    if int(value) ** dimension > LARGEST:
        most = math.floor(LARGEST ** (1 / dimension) * (1 + 1e-12))
        raise ValueError(f"count is {shown(value)}, which makes {int(value)}^{dimension} charts; they must be at most "
                         f"{LARGEST}, " + (f"so count at most {most}" if most >= least else
                                           f"so dimension at most {math.floor(math.log(LARGEST, max(least, 2)))}"))


def _grid(dimension, count):
    return np.stack(np.meshgrid(*(np.arange(count),) * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
