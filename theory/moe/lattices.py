r"""Lattices on manifolds whose largest hole is known, so that what holds at their points holds everywhere.

In the parameters of :mod:`~theorycheck.theory.moe.manifolds` the metric is diagonal, ``|dx|^2 = sum_i h_i^2 du_i^2``.
A point whose parameters are within ``s_i / 2`` of those of a lattice point is therefore no farther from it than

    (sum_i (L_i s_i / 2)^2)^(1/2),      L_i >= h_i on the way,

the length of the path that is straight in the parameters.  The largest of these is the *hole*: every point of M is
within it of a point of the lattice.  Steps are so chosen that ``L_i s_i`` is about the same everywhere: on a sphere
and a ring torus a ring of latitude has as many points as it is long.

If ``dist(y, C) <= r`` for every lattice point y then ``dist(x, C) <= r + hole`` for every x in M.
"""

import math
from functools import singledispatch

import numpy as np

from ..arguments import shown
from .manifolds import Cube, Embedded, HomogeneousCurve, Manifold, Product, RingTorus, Sphere, SwissRoll

MOST = 2_000_000
"""Points that a lattice may be asked to have."""
DIMENSION = 6
"""Largest dimension of a manifold with a lattice: beyond, points are too many or holes too large."""
GOLDEN = (math.sqrt(5) - 1) / 2
ROUNDING = 1 + 1e-9
"""What a hole is widened by, for coordinates are rounded."""


def lattice(manifold, count) -> tuple[np.ndarray, float]:
    """Points on a manifold and the largest distance that any point of it can have from them.

    Parameters
    ----------
    manifold : Manifold
        Of dimension at most 6.
    count : int, in [1, 2 000 000]
        About how many points; steps are rounded in each dimension, so for d > 3 it may be some times as many.

    Returns
    -------
    points : ndarray, shape (N, D)
    hole : float
        At least ``sup over x in M of min_i |x - points_i|``, by proof.

    Raises
    ------
    ValueError
        For anything but a manifold, or a dimension or count out of range.
    """
    if not isinstance(manifold, Manifold):
        raise ValueError(f"manifold is {shown(manifold)}; it must be a Manifold")
    if manifold.dimension > DIMENSION:
        raise ValueError(f"manifold has dimension {manifold.dimension}; a lattice has one of at most {DIMENSION}")
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= MOST:
        raise ValueError(f"count is {shown(count)}; it must be an integer in [1, {MOST}]")
    parameters, hole = _lattice(manifold, (volume(manifold) / count) ** (1 / manifold.dimension))
    return manifold.embed(parameters), hole * ROUNDING


@singledispatch
def volume(manifold) -> float:
    """Length, area or volume of a manifold: its measure of dimension d."""
    raise ValueError(f"manifold is {shown(manifold)}; it must be one of theory.moe.manifolds")


@singledispatch
def _lattice(manifold, step):
    """Parameters, shape (N, d), of points about `step` apart, and their hole."""
    raise ValueError(f"manifold is {shown(manifold)}; it must be one of theory.moe.manifolds")


@volume.register
def _(manifold: Sphere) -> float:
    half = (manifold.dimension + 1) / 2
    return 2 * math.pi**half / math.gamma(half) * manifold.radius**manifold.dimension


@_lattice.register
def _(manifold: Sphere, step):
    angles, hole = _rings(manifold.dimension, step / manifold.radius)
    return angles, manifold.radius * hole


def _rings(dimension, step):
    """Angles on the unit sphere and their hole along it: spheres of one dimension less, one in every band of latitude.

    In a band the metric is at most ``d polar^2 + w^2 dp^2``, w the largest radius of latitude there.
    """
    if dimension == 1:
        angles, half = _middles(2 * math.pi, step)
        return angles[:, None], half
    parts, hole = [], 0.0
    polar, half = _middles(math.pi, step)
    for band, angle in enumerate(polar):
        widest = math.cos(max(0.0, abs(angle - math.pi / 2) - half))
        ring, inside = _rings(dimension - 1, step / widest)
        ring = np.column_stack([ring, np.full(len(ring), angle)])
        ring[:, 0] += 2 * math.pi * GOLDEN * band               # turned, so that no two bands are alike
        parts.append(ring)
        hole = max(hole, math.hypot(half, widest * inside))
    return np.concatenate(parts), hole


@volume.register
def _(manifold: HomogeneousCurve) -> float:
    return 2 * math.pi * manifold.speed


@_lattice.register
def _(manifold: HomogeneousCurve, step):
    angles, half = _middles(2 * math.pi, step / manifold.speed)
    return angles[:, None], half * manifold.speed


@volume.register
def _(manifold: RingTorus) -> float:
    return 4 * math.pi**2 * manifold.major * manifold.minor


@_lattice.register
def _(manifold: RingTorus, step):
    parts, hole = [], 0.0
    tube, half = _middles(2 * math.pi, step / manifold.minor)
    for band, angle in enumerate(tube):
        outermost = max(0.0, math.pi - abs(angle - math.pi))    # how far the band's middle is from the outer circle
        widest = manifold.major + manifold.minor * math.cos(max(0.0, outermost - half))
        around, inside = _middles(2 * math.pi, step / widest)
        parts.append(np.column_stack([around + 2 * math.pi * GOLDEN * band, np.full(len(around), angle)]))
        hole = max(hole, math.hypot(manifold.minor * half, widest * inside))
    return np.concatenate(parts), hole


@volume.register
def _(manifold: SwissRoll) -> float:
    return manifold.length * manifold.height


@_lattice.register
def _(manifold: SwissRoll, step):
    along, half = _middles(manifold.length, step)
    across, side = _middles(manifold.height, step)
    uniforms = _pairs([(along / manifold.length)[:, None], (across / manifold.height)[:, None]])
    return manifold.parameters(manifold.place(uniforms)), math.hypot(half, side)


@volume.register
def _(manifold: Cube) -> float:
    return 1.0


@_lattice.register
def _(manifold: Cube, step):
    side, half = _middles(1.0, step)
    return _pairs([side[:, None]] * manifold.dimension), half * math.sqrt(manifold.dimension)


@volume.register
def _(manifold: Product) -> float:
    return math.prod(volume(factor) for factor in manifold.factors)


@_lattice.register
def _(manifold: Product, step):
    parts, holes = zip(*(_lattice(factor, step) for factor in manifold.factors), strict=True)
    return _pairs(parts), math.hypot(*holes)


@volume.register
def _(manifold: Embedded) -> float:
    return volume(manifold.manifold)


@_lattice.register
def _(manifold: Embedded, step):
    return _lattice(manifold.manifold, step)


def _middles(length, step):
    """The middles of equal steps of about that size, and half the size they got."""
    count = max(1, round(length / step))
    return (np.arange(count) + 0.5) * (length / count), length / (2 * count)


def _pairs(parts):
    """All combinations of the rows of the parts, side by side."""
    places = np.meshgrid(*(np.arange(len(part)) for part in parts), indexing="ij")
    return np.hstack([part[place.ravel()] for part, place in zip(parts, places, strict=True)])
