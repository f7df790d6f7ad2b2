r"""Compact manifolds with known reach and exact charts.

A manifold M of dimension d in R^D is given by one map from parameters in a box, its inverse, and the orthonormal
tangent basis at a point.  Its *reach* tau is the largest radius within which every point has a unique nearest point
on M (Federer 1959, Thm 4.18):

    tau = inf over x != y in M of |y - x|^2 / (2 dist(y - x, T_x M)).

Everything here is deterministic: who wants random points passes uniform numbers to :meth:`place`, which maps the unit
cube to M so that volume is preserved up to a constant.

All methods take arrays of two axes, a row for each point, and raise ValueError, in one line that names the row, for
anything but finite real numbers of the right shape.  Parameters may leave their ranges, where angles go round and a
manifold with a boundary is continued beyond it; the numbers given to ``place`` must be in [0, 1].
"""

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import betaincinv

from ..arguments import number, numbers, shown

ON = 1e-9
"""How far from the manifold, relative to its size, rounding may put a point."""
FAR = 1e150
"""Largest coordinate: squares of larger ones overflow."""


class Manifold:
    """What the manifolds of this module share; each defines ``embed``, ``parameters``, ``tangent`` and ``place``.

    Attributes
    ----------
    dimension : int
        d.
    ambient : int
        D.
    reach : float
        tau, in units of length.
    size : float
        A length that bounds ``|x|`` on M.
    """

    def retract(self, points) -> np.ndarray:
        """Points near M moved onto it, smoothly; points of M stay."""
        return self.embed(self.parameters(points))

    def require(self, points) -> np.ndarray:
        """Points of shape (N, D) as an array.

        Raises
        ------
        ValueError
            For another shape, infinity or NaN, or if a point is off the manifold; it names the distance.
        """
        points = _rows(points, self.ambient)
        miss = np.linalg.norm(points - self.embed(self.parameters(points)), axis=1)
        if not (miss <= ON * self.size).all():
            worst = int(np.argmax(miss))
            raise ValueError(f"point {worst} is {miss[worst]:.3g} off the manifold; it must be within "
                             f"{ON * self.size:.1g}, which rounding explains")
        return points


@dataclass(frozen=True)
class Sphere(Manifold):
    """The sphere S^d of radius r in R^(d+1); d = 1 is the circle ``r (cos t, sin t)``.

    Its angles are (azimuth, polar angles p_2 .. p_d): the point of S^k is ``(sin p_k q, cos p_k)`` with q that of
    S^(k-1), so d = 2 has (longitude, angle from the last axis).

    Parameters
    ----------
    dimension : int, in [1, 64]
    radius : float, > 0
    """

    dimension: int = 2
    radius: float = 1.0

    def __post_init__(self):
        _integer(self.dimension, "dimension", 1, 64)
        _length(self.radius, "radius")

    ambient = property(lambda self: self.dimension + 1)
    reach = property(lambda self: self.radius)
    size = property(lambda self: self.radius)

    def embed(self, parameters) -> np.ndarray:
        """Points of the angles: the first in [0, 2 pi), the others in [0, pi]."""
        angle = _rows(parameters, self.dimension, "parameters")
        points = np.stack([np.cos(angle[:, 0]), np.sin(angle[:, 0])], axis=1)
        for polar in angle.T[1:]:
            points = np.column_stack([np.sin(polar)[:, None] * points, np.cos(polar)])
        return self.radius * points

    def parameters(self, points) -> np.ndarray:
        """Angles of the nearest points on M, shape (N, d)."""
        points = _rows(points, self.ambient)
        azimuth = np.arctan2(points[:, 1], points[:, 0]) % (2 * math.pi)
        rings = np.sqrt(np.cumsum(np.square(points), axis=1))
        return np.column_stack([azimuth, np.arctan2(rings[:, 1:-1], points[:, 2:])])

    def tangent(self, points) -> np.ndarray:
        """Orthonormal bases of the tangent spaces, shape (N, D, d)."""
        points = _rows(points, self.ambient)
        angle = self.parameters(points)
        place = np.stack([np.cos(angle[:, 0]), np.sin(angle[:, 0])], axis=1)
        bases = np.zeros((len(angle), self.ambient, self.dimension))
        bases[:, :2, 0] = np.stack([-place[:, 1], place[:, 0]], axis=1)
        for axis, polar in enumerate(angle.T[1:], start=1):
            sine, cosine = np.sin(polar)[:, None], np.cos(polar)[:, None]
            bases[:, :axis + 2, axis] = np.hstack([cosine * place, -sine])
            place = np.hstack([sine * place, cosine])
        return bases

    def place(self, uniforms) -> np.ndarray:
        """Points for numbers in [0, 1]^d, uniform on M for uniform numbers: ``sin^2(p_k / 2)`` is Beta(k/2, k/2)."""
        uniforms = _uniforms(uniforms, self.dimension)
        polar = [np.arccos(1 - 2 * (number if order == 2 else betaincinv(order / 2, order / 2, number)))
                 for order, number in enumerate(uniforms.T[1:], start=2)]
        return self.embed(np.column_stack([2 * math.pi * uniforms[:, 0], *polar]))


def circle(radius=1.0) -> Sphere:
    """The circle of a radius in R^2."""
    return Sphere(1, radius)


@dataclass(frozen=True)
class HomogeneousCurve(Manifold):
    """The closed curve ``x_j = a_j (cos(j t), sin(j t))``, j = 1..k, in R^(2k), ``a_j ~ 1/j``, on the unit sphere.

    All its points look alike (rotations of R^(2k) move it along itself), it lies in no smaller subspace, and its
    curvature grows with k.

    Parameters
    ----------
    harmonics : int, in [1, 512]
        k; 1 is the unit circle.
    """

    harmonics: int

    dimension = 1
    size = 1.0

    def __post_init__(self):
        _integer(self.harmonics, "harmonics", 1, 512)

    ambient = property(lambda self: 2 * self.harmonics)
    reach = property(lambda self: _curve_reach(self.harmonics))

    @property
    def amplitudes(self) -> np.ndarray:
        """``a_j``, shape (k,), of norm 1."""
        weights = 1 / np.arange(1.0, self.harmonics + 1)
        return weights / np.linalg.norm(weights)

    @property
    def speed(self) -> float:
        """Length of ``dx/dt``, the same everywhere."""
        return float(np.linalg.norm(self.amplitudes * np.arange(1, self.harmonics + 1)))

    def embed(self, parameters) -> np.ndarray:
        """Points of the parameters t in [0, 2 pi), shape (N, 1)."""
        angle = _rows(parameters, 1, "parameters") * np.arange(1, self.harmonics + 1)
        pairs = self.amplitudes[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=2)
        return pairs.reshape(len(angle), -1)

    def parameters(self, points) -> np.ndarray:
        """t of points on M, shape (N, 1): the angle of the first pair."""
        points = _rows(points, self.ambient)
        return np.arctan2(points[:, 1], points[:, 0])[:, None] % (2 * math.pi)

    def tangent(self, points) -> np.ndarray:
        """Unit tangents, shape (N, D, 1)."""
        points = _rows(points, self.ambient)
        order = np.arange(1, self.harmonics + 1)
        angle = self.parameters(points) * order
        pairs = (order * self.amplitudes)[:, None] * np.stack([-np.sin(angle), np.cos(angle)], axis=2)
        return pairs.reshape(len(angle), -1, 1) / self.speed

    def place(self, uniforms) -> np.ndarray:
        """Points for numbers in [0, 1], uniform in length for uniform numbers."""
        return self.embed(2 * math.pi * _uniforms(uniforms, 1))


@dataclass(frozen=True)
class RingTorus(Manifold):
    """The torus of tube radius r about a circle of radius R in R^3.

    Parameters
    ----------
    major, minor : float, major > minor > 0
        R, r.
    """

    major: float = 2.0
    minor: float = 1.0

    dimension = 2
    ambient = 3

    def __post_init__(self):
        _length(self.minor, "minor")
        if not _length(self.major, "major") > self.minor:
            raise ValueError(f"major is {self.major:g}; it must be greater than the minor radius, {self.minor:g}")

    reach = property(lambda self: min(self.minor, self.major - self.minor))
    size = property(lambda self: self.major + self.minor)

    def embed(self, parameters) -> np.ndarray:
        """Points of (angle around the axis, angle around the tube)."""
        around, tube = _rows(parameters, 2, "parameters").T
        ring = self.major + self.minor * np.cos(tube)
        return np.stack([ring * np.cos(around), ring * np.sin(around), self.minor * np.sin(tube)], axis=1)

    def parameters(self, points) -> np.ndarray:
        """Angles of the nearest points on M, shape (N, 2)."""
        points = _rows(points, self.ambient)
        around = np.arctan2(points[:, 1], points[:, 0])
        tube = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]) - self.major)
        return np.stack([around, tube], axis=1) % (2 * math.pi)

    def tangent(self, points) -> np.ndarray:
        """Orthonormal bases of the tangent spaces, shape (N, 3, 2)."""
        points = _rows(points, self.ambient)
        around, tube = self.parameters(points).T
        zero = np.zeros_like(around)
        first = np.stack([-np.sin(around), np.cos(around), zero], axis=1)
        second = np.stack([-np.sin(tube) * np.cos(around), -np.sin(tube) * np.sin(around), np.cos(tube)], axis=1)
        return np.stack([first, second], axis=2)

    def place(self, uniforms) -> np.ndarray:
        """Points for numbers in [0, 1]^2, uniform in area for uniform numbers (Kepler's equation, by Newton)."""
        uniforms = _uniforms(uniforms, 2)
        mean, ratio = 2 * math.pi * uniforms[:, 1], self.minor / self.major
        tube = mean.copy()
        for _ in range(60):
            tube -= (tube + ratio * np.sin(tube) - mean) / (1 + ratio * np.cos(tube))
        return self.embed(np.stack([2 * math.pi * uniforms[:, 0], tube], axis=1))


@dataclass(frozen=True)
class SwissRoll(Manifold):
    """The rolled sheet ``(t cos t, h, t sin t)``, t in [1.5 pi, 4.5 pi], h in [0, height]; it has a boundary.

    Parameters
    ----------
    height : float, > 0
    """

    height: float = 10.0

    dimension = 2
    ambient = 3
    first = 1.5 * math.pi
    last = 4.5 * math.pi

    def __post_init__(self):
        _length(self.height, "height")

    reach = property(lambda self: _roll_reach())
    size = property(lambda self: math.hypot(self.last, self.height))
    length = property(lambda self: float(_arc(self.last) - _arc(self.first)), doc="Of the rolled side.")

    def embed(self, parameters) -> np.ndarray:
        """Points of (t, h)."""
        turn, height = _rows(parameters, 2, "parameters").T
        return np.stack([turn * np.cos(turn), height, turn * np.sin(turn)], axis=1)

    def parameters(self, points) -> np.ndarray:
        """(t, h) of points on M: t is the distance from the axis; cut to their ranges."""
        points = _rows(points, self.ambient)
        turn = np.clip(np.hypot(points[:, 0], points[:, 2]), self.first, self.last)
        return np.stack([turn, np.clip(points[:, 1], 0, self.height)], axis=1)

    def retract(self, points) -> np.ndarray:
        """Points moved onto the sheet continued beyond its boundary."""
        points = _rows(points, self.ambient)
        return self.embed(np.stack([np.hypot(points[:, 0], points[:, 2]), points[:, 1]], axis=1))

    def tangent(self, points) -> np.ndarray:
        """Orthonormal bases of the tangent spaces, of the sheet continued beyond its boundary; shape (N, 3, 2)."""
        points = _rows(points, self.ambient)
        turn = np.hypot(points[:, 0], points[:, 2])
        zero, one = np.zeros_like(turn), np.ones_like(turn)
        along = np.stack([np.cos(turn) - turn * np.sin(turn), zero, np.sin(turn) + turn * np.cos(turn)], axis=1)
        return np.stack([along / np.hypot(1, turn)[:, None], np.stack([zero, one, zero], axis=1)], axis=2)

    def place(self, uniforms) -> np.ndarray:
        """Points for numbers in [0, 1]^2, uniform in area for uniform numbers (arc length inverted by Newton)."""
        uniforms = _uniforms(uniforms, 2)
        begin, end = _arc(self.first), _arc(self.last)
        wanted = begin + (end - begin) * uniforms[:, 0]
        turn = np.sqrt(2 * wanted)
        for _ in range(30):
            turn -= (_arc(turn) - wanted) / np.hypot(1, turn)
        return self.embed(np.stack([turn, self.height * uniforms[:, 1]], axis=1))


@dataclass(frozen=True)
class Cube(Manifold):
    """The full cube [0, 1]^D, of dimension D: the control without a low dimension.

    Parameters
    ----------
    dimension : int, in [1, 64]
    """

    dimension: int

    def __post_init__(self):
        _integer(self.dimension, "dimension", 1, 64)

    ambient = property(lambda self: self.dimension)
    reach = math.inf
    size = property(lambda self: math.sqrt(self.dimension))

    def embed(self, parameters) -> np.ndarray:
        """The parameters themselves."""
        return _rows(parameters, self.dimension, "parameters")

    def parameters(self, points) -> np.ndarray:
        """The points, cut to the cube."""
        return np.clip(_rows(points, self.ambient), 0, 1)

    def retract(self, points) -> np.ndarray:
        """The points: the whole space continues the cube."""
        return _rows(points, self.ambient)

    def tangent(self, points) -> np.ndarray:
        """The unit vectors, shape (N, D, D)."""
        points = _rows(points, self.ambient)
        return np.broadcast_to(np.eye(self.dimension), (len(points), self.dimension, self.dimension))

    def place(self, uniforms) -> np.ndarray:
        """The numbers in [0, 1]^D themselves."""
        return _uniforms(uniforms, self.dimension)


@dataclass(frozen=True)
class Product(Manifold):
    """The product of manifolds, in the sum of their spaces; its reach is the least of theirs.

    Parameters
    ----------
    factors : sequence of Manifold
        At least one.
    """

    factors: tuple

    def __post_init__(self):
        object.__setattr__(self, "factors", tuple(self.factors) if np.iterable(self.factors) else ())
        if not self.factors or not all(isinstance(factor, Manifold) for factor in self.factors):
            raise ValueError(f"factors are {shown(self.factors)}; they must be at least one manifold")

    dimension = property(lambda self: sum(factor.dimension for factor in self.factors))
    ambient = property(lambda self: sum(factor.ambient for factor in self.factors))
    reach = property(lambda self: min(factor.reach for factor in self.factors))
    size = property(lambda self: math.hypot(*(factor.size for factor in self.factors)))

    def split(self, points) -> list:
        """The coordinates of every factor, a list of arrays of shape (N, D_l)."""
        ends = np.cumsum([factor.ambient for factor in self.factors])
        return np.split(_rows(points, self.ambient), ends[:-1], axis=1)

    def embed(self, parameters) -> np.ndarray:
        """Points of the factors' parameters side by side."""
        parts = self._parts(_rows(parameters, self.dimension, "parameters"))
        return np.hstack([factor.embed(part) for factor, part in zip(self.factors, parts, strict=True)])

    def parameters(self, points) -> np.ndarray:
        """The factors' parameters side by side, shape (N, d)."""
        parts = self.split(points)
        return np.hstack([factor.parameters(part) for factor, part in zip(self.factors, parts, strict=True)])

    def retract(self, points) -> np.ndarray:
        """Factor by factor."""
        return np.hstack([factor.retract(part) for factor, part in zip(self.factors, self.split(points), strict=True)])

    def tangent(self, points) -> np.ndarray:
        """Block diagonal bases of the tangent spaces, shape (N, D, d)."""
        points = _rows(points, self.ambient)
        bases = np.zeros((len(points), self.ambient, self.dimension))
        row = column = 0
        for factor, part in zip(self.factors, self.split(points), strict=True):
            bases[:, row:row + factor.ambient, column:column + factor.dimension] = factor.tangent(part)
            row, column = row + factor.ambient, column + factor.dimension
        return bases

    def place(self, uniforms) -> np.ndarray:
        """Points for numbers in [0, 1]^d, uniform on M for uniform numbers."""
        parts = self._parts(_uniforms(uniforms, self.dimension))
        return np.hstack([factor.place(part) for factor, part in zip(self.factors, parts, strict=True)])

    def _parts(self, parameters):
        return np.split(parameters, np.cumsum([factor.dimension for factor in self.factors])[:-1], axis=1)


def flat_torus(dimension) -> Product:
    """The torus T^d, the product of d unit circles, in R^(2d)."""
    return Product((circle(),) * _integer(dimension, "dimension", 1, 32))


@dataclass(frozen=True)
class Embedded(Manifold):
    """A manifold moved into R^D by orthonormal columns, which changes neither reach nor angles.

    Parameters
    ----------
    manifold : Manifold
    frame : array_like, shape (D, ambient dimension of the manifold)
        With orthonormal columns (to 1e-10); take the Q of a QR decomposition.
    """

    manifold: Manifold
    frame: np.ndarray = field(compare=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.manifold, Manifold):
            raise ValueError(f"manifold is {shown(self.manifold)}; it must be a Manifold")
        frame = numbers(self.frame, "frame")
        if frame.ndim != 2 or frame.shape[1] != self.manifold.ambient or len(frame) < frame.shape[1]:
            raise ValueError(f"frame has shape {frame.shape}; it must be (D, {self.manifold.ambient}) with "
                             f"D >= {self.manifold.ambient}")
        miss = np.abs(frame.T @ frame - np.eye(frame.shape[1])).max()
        if not miss <= 1e-10:
            raise ValueError(f"frame's columns are off orthonormality by {miss:.2g}; it must be at most 1e-10")
        frame.flags.writeable = False
        object.__setattr__(self, "frame", frame)

    dimension = property(lambda self: self.manifold.dimension)
    ambient = property(lambda self: len(self.frame))
    reach = property(lambda self: self.manifold.reach)
    size = property(lambda self: self.manifold.size)

    def embed(self, parameters) -> np.ndarray:
        """Points in R^D."""
        return self.manifold.embed(parameters) @ self.frame.T

    def parameters(self, points) -> np.ndarray:
        """Parameters of the nearest points on M."""
        return self.manifold.parameters(_rows(points, self.ambient) @ self.frame)

    def retract(self, points) -> np.ndarray:
        """Points moved into the manifold's space, and onto it there."""
        return self.manifold.retract(_rows(points, self.ambient) @ self.frame) @ self.frame.T

    def tangent(self, points) -> np.ndarray:
        """Orthonormal bases of the tangent spaces, shape (N, D, d)."""
        return self.frame @ self.manifold.tangent(_rows(points, self.ambient) @ self.frame)

    def place(self, uniforms) -> np.ndarray:
        """Points in R^D for numbers in [0, 1]^d."""
        return self.manifold.place(uniforms) @ self.frame.T


@cache
def _curve_reach(harmonics):
    """Federer's formula from t = 0, on a grid finer than the shortest wave, each minimum refined."""
    curve = HomogeneousCurve(harmonics)
    if harmonics == 1:
        return 1.0
    order, weight = np.arange(1, harmonics + 1), curve.amplitudes**2

    def quotient(angle):
        squared = 4 * weight @ np.sin(np.multiply.outer(order, angle) / 2) ** 2
        along = (order * weight) @ np.sin(np.multiply.outer(order, angle)) / curve.speed
        return squared / (2 * np.sqrt(np.maximum(squared - along**2, 1e-300)))

    grid = np.linspace(0.05 / harmonics, math.pi, 200 * harmonics)
    values = quotient(grid)
    best = [curve.speed**2 / math.sqrt(weight @ order.astype(float) ** 4)]
    for low in np.flatnonzero((values[1:-1] <= values[:-2]) & (values[1:-1] <= values[2:])):
        found = minimize_scalar(lambda angle: float(quotient(angle)), bounds=(grid[low], grid[low + 2]),
                                method="bounded", options={"xatol": 1e-10})
        best.append(found.fun)
    return float(min(*best, values[-1]))


@cache
def _roll_reach():
    """Federer's formula for the spiral: curvature, and two points of which one is normal to the other's tangent."""
    turn = np.linspace(SwissRoll.first, SwissRoll.last, 3001)
    point = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1)
    tangent = np.stack([np.cos(turn) - turn * np.sin(turn), np.sin(turn) + turn * np.cos(turn)], axis=1)
    tangent /= np.hypot(1, turn)[:, None]
    least = []
    for place, along in zip(point, tangent, strict=True):
        offset = point - place
        squared = (offset**2).sum(axis=1)
        normal = np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0])
        quotient = np.where(squared > 1, squared / np.maximum(2 * normal, 1e-300), math.inf)
        least.append((quotient.min(), np.argmin(quotient)))
    start = min(range(len(least)), key=least.__getitem__)

    def between(turns):
        (first, height), (other, top) = ((turn * math.cos(turn), turn * math.sin(turn)) for turn in turns)
        x, y = other - first, top - height
        slope = math.cos(turns[0]) - height, math.sin(turns[0]) + first
        return (x * x + y * y) / (2 * abs(x * slope[1] - y * slope[0])) * math.hypot(*slope)

    found = minimize(between, (turn[start], turn[least[start][1]]), method="L-BFGS-B", tol=1e-15,
                     bounds=[(SwissRoll.first, SwissRoll.last)] * 2)
    return float(min((1 + SwissRoll.first**2) ** 1.5 / (2 + SwissRoll.first**2), least[start][0], found.fun))


def _arc(turn):
    """Length of the spiral of radius t from 0 to t."""
    return (turn * np.hypot(1, turn) + np.arcsinh(turn)) / 2


def _rows(values, columns, name="points"):
    """Rows of finite numbers, as a new array of shape (N, columns)."""
    array = numbers(values, name)
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{name} have shape {array.shape}; it must be (N, {columns})")
    within = np.abs(array) <= FAR
    if not within.all():
        row = int(np.argmin(within.all(axis=1)))
        raise ValueError(f"{name}[{row}] is {shown(array[row].tolist())}; it must be of numbers in [-{FAR:g}, {FAR:g}]")
    return array


def _uniforms(values, columns):
    array = _rows(values, columns, "uniforms")
    if not ((array >= 0) & (array <= 1)).all():
        row, column = np.argwhere(~((array >= 0) & (array <= 1)))[0]
        raise ValueError(f"uniforms[{row}, {column}] is {array[row, column]:.6g}; it must be in [0, 1]")
    return array


def _length(value, name):
    value = number(value, name)
    if not 1 / FAR <= value <= FAR:
        raise ValueError(f"{name} is {value:g}; it must be positive, in [{1 / FAR:g}, {FAR:g}]")
    return value


def _integer(value, name, least, most):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer in [{least}, {most}]")
    return value
