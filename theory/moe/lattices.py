r"""Lattices on manifolds whose largest hole is known, so that what holds at their points holds everywhere.

In the parameters of :mod:`~theorycheck.theory.moe.manifolds` the metric is diagonal, ``|dx|^2 = sum_i h_i^2 du_i^2``.
A point whose parameters are within ``s_i / 2`` of those of a lattice point is therefore no farther from it than

    (sum_i (L_i s_i / 2)^2)^(1/2),      L_i >= h_i on the way,

the length of the path that is straight in the parameters.  The largest of these is the *hole*: every point of M is
within it of a point of the lattice.  Steps are so chosen that ``L_i s_i`` is about the same everywhere: on a sphere
and a ring torus a ring of latitude has as many points as it is long.  Sides of the manifold that are shorter than the
step get one point, and the step is that of the other sides.

If ``dist(y, C) <= r`` for every lattice point y then ``dist(x, C) <= r + hole`` for every x in M.
"""

import math
from functools import singledispatch

import numpy as np

from ..arguments import shown
from .manifolds import Cube, Embedded, HomogeneousCurve, Manifold, Product, RingTorus, Sphere, SwissRoll

MOST = 2_000_000
"""Points that a lattice may be asked to have."""
NUMBERS = 3 * 10**7
"""Coordinates that a lattice may be asked to have, all of its points together."""
DIMENSION = 6
"""Largest dimension of a manifold with a lattice: beyond, points are too many or holes too large."""
MANY = 4
"""How many times as many points as may be asked for a lattice may have, because numbers of steps are rounded."""
GOLDEN = (math.sqrt(5) - 1) / 2
ROUNDING = 1 + 1e-9
"""What a hole is widened by, for coordinates are rounded."""


def lattice(manifold, count) -> tuple[np.ndarray, float]:
    """Points on a manifold and the largest distance that any point of it can have from them.

    Parameters
    ----------
    manifold : Manifold
        Of dimension at most 6.
    count : int, in [1, most(manifold)]
        About how many points; numbers of steps are rounded in each dimension, so there may be up to about twice as
        many, for d > 3 some times as many, but never more than four times :func:`most`.

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
    bound = most(manifold)
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= bound:
        raise ValueError(f"count is {shown(count)}; it must be an integer in [1, {bound}]"
                         + (f" in {manifold.ambient} dimensions" if bound < MOST else ""))
    parameters, hole = _lattice(manifold, _step(_sides(manifold), count))
    _fitting(len(parameters), MANY * bound)
    return manifold.embed(parameters), hole * ROUNDING


def most(manifold) -> int:
    """The largest number of points that a lattice on this manifold may be asked to have.

    It is 2 000 000, or what makes 30 000 000 coordinates if that is less.

    Raises
    ------
    ValueError
        For anything but a manifold, or one whose dimension is more than 6.
    """
    if not isinstance(manifold, Manifold):
        raise ValueError(f"manifold is {shown(manifold)}; it must be a Manifold")
    if manifold.dimension > DIMENSION:
        raise ValueError(f"manifold has dimension {manifold.dimension}; a lattice has one of at most {DIMENSION}")
    return max(1, min(MOST, NUMBERS // manifold.ambient))


def _step(sides, count):
    """The step of about so many points: the product of ``volume / step^d`` over the sides at least a step long."""
    sides = sorted(sides, key=lambda side: side[1] / side[0])            # by the logarithm of their length
    while True:
        step = (sum(log for _, log in sides) - math.log(count)) / sum(dimension for dimension, _ in sides)
        if len(sides) == 1 or sides[0][1] / sides[0][0] >= step:
            return math.exp(step)
        sides = sides[1:]


def volume(manifold) -> float:
    """Length, area or volume of a manifold: its measure of dimension d."""
    return float(np.exp(sum(log for _, log in _sides(manifold))))


@singledispatch
def _sides(manifold):
    """Dimensions and logarithms of the volumes of what the lattice is a product of, a list of pairs."""
    raise ValueError(f"manifold is {shown(manifold)}; it must be one of theory.moe.manifolds")


@singledispatch
def _lattice(manifold, step):
    """Parameters, shape (N, d), of points about `step` apart, and their hole."""
    raise ValueError(f"manifold is {shown(manifold)}; it must be one of theory.moe.manifolds")


@_sides.register
def _(manifold: Sphere):
    half = (manifold.dimension + 1) / 2
    whole = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
    return [(manifold.dimension, whole + manifold.dimension * math.log(manifold.radius))]


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


@_sides.register
def _(manifold: HomogeneousCurve):
    return [(1, math.log(2 * math.pi * manifold.speed))]


@_lattice.register
def _(manifold: HomogeneousCurve, step):
    angles, half = _middles(2 * math.pi, step / manifold.speed)
    return angles[:, None], half * manifold.speed


@_sides.register
def _(manifold: RingTorus):
    return [(1, math.log(2 * math.pi * radius)) for radius in (manifold.major, manifold.minor)]


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


@_sides.register
def _(manifold: SwissRoll):
    return [(1, math.log(length)) for length in (manifold.length, manifold.height)]


@_lattice.register
def _(manifold: SwissRoll, step):
    along, half = _middles(manifold.length, step)
    across, side = _middles(manifold.height, step)
    uniforms = _pairs([(along / manifold.length)[:, None], (across / manifold.height)[:, None]])
    return manifold.parameters(manifold.place(uniforms)), math.hypot(half, side)


@_sides.register
def _(manifold: Cube):
    return [(1, 0.0)] * manifold.dimension


@_lattice.register
def _(manifold: Cube, step):
    side, half = _middles(1.0, step)
    return _pairs([side[:, None]] * manifold.dimension), half * math.sqrt(manifold.dimension)


@_sides.register
def _(manifold: Product):
    return [side for factor in manifold.factors for side in _sides(factor)]


@_lattice.register
def _(manifold: Product, step):
    parts, holes = zip(*(_lattice(factor, step) for factor in manifold.factors), strict=True)
    return _pairs(parts), math.hypot(*holes)


@_sides.register
def _(manifold: Embedded):
    return _sides(manifold.manifold)


@_lattice.register
def _(manifold: Embedded, step):
    return _lattice(manifold.manifold, step)


def _middles(length, step):
    """The middles of equal steps of about that size, and half the size they got."""
    count = max(1, round(length / step))
    return (np.arange(count) + 0.5) * (length / count), length / (2 * count)


def _fitting(points, bound):
    if points > bound:
        raise ValueError(f"a lattice of {points} points would do, with steps rounded; it must be of at most {bound}: "
                         "ask for fewer")


def _pairs(parts):
    """All combinations of the rows of the parts, side by side."""
    _fitting(math.prod(map(len, parts)), MANY * MOST)
    places = np.meshgrid(*(np.arange(len(part)) for part in parts), indexing="ij")
    return np.hstack([part[place.ravel()] for part, place in zip(parts, places, strict=True)])
