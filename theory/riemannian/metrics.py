r"""Metrics F(w) on parameter space with exact derivatives, and their Levi-Civita connection.

    ConstantMetric    F
    lite_metric       F (I - Q + Q/chi): LITE's larger learning rate on flat directions is a smaller metric there
    RotatingMetric    F = b I + c u u^T,   u = (cos k.w, sin k.w),   two-dimensional
    GradientMetric    F = diag(sqrt(g_i(w)^2 + n_i^2) + epsilon): Adam's, slaved to the gradient of a landscape
    MirrorMetric      F = I + A cosh(k.w) k k^T, the Hessian of |w|^2/2 + A cosh(k.w); mirror map w + A sinh(k.w) k
    ShearMetric       F = J^T J of z = (w_1, w_2 + A sin(k w_1)): the Euclidean plane in other coordinates
    HalfPlaneMetric   F = I / y^2 on y > 0: hyperbolic geometry

Each has ``dimension``, ``matrix(w)`` of shape (..., d, d), symmetric and positive definite, and ``derivative(w)`` of
shape (..., d, d, d) whose entry [..., k, i, j] is ``d F_ij / d w_k``.  The connection is

    Gamma_{l,ij} = (d_i F_jl + d_j F_il - d_l F_ij)/2,     Gamma^k_ij = (F^{-1})_kl Gamma_{l,ij} .

The formulas of the derivatives are by hand; the tests hold them against symbolic ones.
"""

from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers
from .ranges import finite, integer, keep, not_negative, offering, points, positive, require, row

SYMMETRIC = 1e-10


def lowered_christoffel(metric, w):
    """``Gamma_{l,ij}``, shape (..., l, i, j)."""
    d = metric.derivative(w)
    return 0.5 * (np.einsum("...ijl->...lij", d) + np.einsum("...jil->...lij", d) - d)


def christoffel(metric, w):
    """``Gamma^k_ij``, shape (..., k, i, j)."""
    return np.einsum("...kl,...lij->...kij", np.linalg.inv(metric.matrix(w)), lowered_christoffel(metric, w))


@dataclass(frozen=True, eq=False)
class ConstantMetric:
    """The same F everywhere.

    Parameters
    ----------
    entries : array_like, shape (d, d), or (d,) for its diagonal
        Symmetric to 1e-10, positive definite.

    Raises
    ------
    ValueError
        For a matrix that is singular, indefinite or not symmetric.
    """

    entries: np.ndarray

    def __post_init__(self):
        keep(self, "entries", positive_definite(self.entries, "metric"))

    @property
    def dimension(self):
        """d."""
        return len(self.entries)

    def matrix(self, w):
        """F, shape (..., d, d)."""
        w = points(w, self.dimension)
        return np.broadcast_to(self.entries, (*w.shape, self.dimension))

    def derivative(self, w):
        """Zero, shape (..., d, d, d)."""
        w = points(w, self.dimension)
        return np.zeros((*w.shape, self.dimension, self.dimension))


def euclidean(dimension):
    """The identity as a metric, in so many dimensions >= 1."""
    return ConstantMetric(np.ones(integer(dimension, "dimension", 1)))


def orthogonal_projector(projector):
    """Q, shape (d, d), symmetric and idempotent to 1e-10.

    Raises
    ------
    ValueError
        For anything else.
    """
    q = numbers(projector, "projector")
    if q.ndim != 2 or q.shape[0] != q.shape[1] or not q.size or not (
            max(np.abs(q - q.T).max(), np.abs(q @ q - q).max()) <= SYMMETRIC):
        raise ValueError(f"the projector of shape {q.shape} must be a square matrix, symmetric and idempotent to "
                         f"{SYMMETRIC:g}")
    return q


def lite_metric(metric, projector, chi):
    """``F (I - Q + Q/chi)``, the metric of LITE around an optimizer of constant metric F.

    Parameters
    ----------
    metric : ConstantMetric
        F.
    projector : array_like, shape (d, d)
        Q, an orthogonal projector that commutes with F (both to 1e-10), so that the product is a metric.
    chi : float
        At least 1: the ratio of the learning rates.

    Raises
    ------
    ValueError
        For a metric that is not constant, chi < 1, what is no projector, or one that does not commute.
    """
    if not isinstance(metric, ConstantMetric):
        raise ValueError(f"the metric is a {type(metric).__name__}; it must be a ConstantMetric")
    chi, q = number(chi, "chi"), orthogonal_projector(projector)
    if not 1.0 <= chi < np.inf:
        raise ValueError(f"chi is {chi}; it must be >= 1 and finite")
    if q.shape != metric.entries.shape:
        raise ValueError(f"the projector has shape {q.shape}; it must be {metric.entries.shape}, that of the metric")
    error = float(np.abs(q @ metric.entries - metric.entries @ q).max())
    if not error <= SYMMETRIC * np.abs(metric.entries).max():
        raise ValueError(f"projector and metric fail to commute by {error:.3g}; it must be at most "
                         f"{SYMMETRIC * np.abs(metric.entries).max():.3g}, or their product is no metric")
    product = metric.entries @ (np.eye(len(q)) - (1.0 - 1.0 / chi) * q)
    return ConstantMetric(0.5 * (product + product.T))


@dataclass(frozen=True, eq=False)
class RotatingMetric:
    """``F = b I + c u u^T`` with ``u = (cos k.w, sin k.w)``, on the plane.

    Parameters
    ----------
    base : float
        b > 0, one eigenvalue.
    gain : float
        c > -b; the other eigenvalue is b + c.
    wave : array_like, shape (2,)
        k.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    base: float = 0.5
    gain: float = 1.5
    wave: np.ndarray = (1.0, 0.7)

    def __post_init__(self):
        keep(self, "base", positive(finite(self.base, "base"), "base"))
        keep(self, "gain", finite(self.gain, "gain"))
        if not self.gain > -self.base:
            raise ValueError(f"gain is {self.gain:g}; it must be > {-self.base:g} = -base for a metric")
        keep(self, "wave", row(self.wave, "wave", 2))

    @property
    def dimension(self):
        """2."""
        return 2

    def matrix(self, w):
        """F, shape (..., 2, 2)."""
        u, _ = self._directions(points(w, 2))
        return self.base * np.eye(2) + self.gain * u[..., :, None] * u[..., None, :]

    def derivative(self, w):
        """Shape (..., 2, 2, 2)."""
        u, turned = self._directions(points(w, 2))
        turn = turned[..., :, None] * u[..., None, :]
        return self.gain * self.wave[:, None, None] * (turn + np.swapaxes(turn, -1, -2))[..., None, :, :]

    def _directions(self, w):
        angle = w @ self.wave
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)


@dataclass(frozen=True, eq=False)
class GradientMetric:
    """``F = diag(sqrt(g_i(w)^2 + n_i^2) + epsilon)``: second moments in equilibrium with the gradient and its noise.

    Parameters
    ----------
    landscape : landscape
        Of vectors, with gradient and Hessian.
    noise : array_like, shape (d,), or float
        n > 0, standard deviation of the gradient; without noise F is singular and has a kink where ``g_i = 0``.
    epsilon : float
        >= 0.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    landscape: object
    noise: np.ndarray
    epsilon: float = 0.0

    def __post_init__(self):
        offering(self.landscape, "landscape", "dimension", "gradient", "hessian_times")
        keep(self, "noise", positive(row(self.noise, "noise"), "noise"))
        keep(self, "epsilon", not_negative(finite(self.epsilon, "epsilon"), "epsilon"))
        if self.noise.size not in (1, self.dimension):
            raise ValueError(f"noise has {self.noise.size} entries; it must have 1 or {self.dimension}")

    @property
    def dimension(self):
        """That of the landscape."""
        return self.landscape.dimension

    def matrix(self, w):
        """F, shape (..., d, d)."""
        root = np.hypot(self.landscape.gradient(w), self.noise) + self.epsilon
        return root[..., None] * np.eye(self.dimension)

    def derivative(self, w):
        """``d_k F_ii = g_i H_ik / sqrt(g_i^2 + n_i^2)``, shape (..., d, d, d)."""
        gradient = self.landscape.gradient(w)
        slope = (gradient / np.hypot(gradient, self.noise))[..., :, None] * self.landscape.hessian(w)
        return np.einsum("...ik,ij->...kij", slope, np.eye(self.dimension))


@dataclass(frozen=True, eq=False)
class MirrorMetric:
    """``F = I + A cosh(k.w) k k^T``, the Hessian of ``psi(w) = |w|^2/2 + A cosh(k.w)``.

    Parameters
    ----------
    amplitude : float
        A >= 0.
    wave : array_like, shape (d,)
        k.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    amplitude: float
    wave: np.ndarray

    def __post_init__(self):
        keep(self, "amplitude", not_negative(finite(self.amplitude, "amplitude"), "amplitude"))
        keep(self, "wave", row(self.wave, "wave"))

    @property
    def dimension(self):
        """d."""
        return self.wave.size

    def matrix(self, w):
        """F, shape (..., d, d)."""
        phase = points(w, self.dimension) @ self.wave
        stretch = self.amplitude * (self.wave @ self.wave)
        limit = np.arccosh(max(1.0 / (np.finfo(float).eps * stretch), 1.0)) if stretch else np.inf
        require(np.abs(phase) <= limit, phase, "k.w", f"|k.w| must be <= {limit:.6g}, or F is singular to rounding")
        size = self.amplitude * np.cosh(phase)
        return np.eye(self.dimension) + size[..., None, None] * np.outer(self.wave, self.wave)

    def derivative(self, w):
        """``A sinh(k.w) k_k k_i k_j``, shape (..., d, d, d)."""
        size = self.amplitude * np.sinh(points(w, self.dimension) @ self.wave)
        return size[..., None, None, None] * np.einsum("k,i,j->kij", self.wave, self.wave, self.wave)

    def mirror(self, w):
        """``z = grad psi = w + A sinh(k.w) k``, whose Jacobian is F."""
        w = points(w, self.dimension)
        return w + (self.amplitude * np.sinh(w @ self.wave))[..., None] * self.wave


@dataclass(frozen=True, eq=False)
class ShearMetric:
    """``F = J^T J``, J the Jacobian of ``z = (w_1, w_2 + A sin(k w_1))``: the Euclidean plane in curved coordinates.

    Parameters
    ----------
    amplitude, frequency : float
        A, k, finite.
    """

    amplitude: float
    frequency: float

    def __post_init__(self):
        for label in ("amplitude", "frequency"):
            keep(self, label, finite(getattr(self, label), label))

    @property
    def dimension(self):
        """2."""
        return 2

    def matrix(self, w):
        """F, shape (..., 2, 2)."""
        jacobian = self.jacobian(w)
        return np.swapaxes(jacobian, -1, -2) @ jacobian

    def derivative(self, w):
        """Shape (..., 2, 2, 2); nothing depends on the second coordinate."""
        w = points(w, 2)
        slope = self._slope(w)
        curl = -self.amplitude * self.frequency**2 * np.sin(self.frequency * w[..., 0])
        d = np.zeros((*w.shape, 2, 2))
        d[..., 0, 0, 0], d[..., 0, 0, 1], d[..., 0, 1, 0] = 2.0 * slope * curl, curl, curl
        return d

    def flat(self, w):
        """The Euclidean coordinates z."""
        w = points(w, 2)
        return np.stack([w[..., 0], w[..., 1] + self.amplitude * np.sin(self.frequency * w[..., 0])], axis=-1)

    def curved(self, z):
        """The coordinates w of a Euclidean point."""
        z = points(z, 2)
        return np.stack([z[..., 0], z[..., 1] - self.amplitude * np.sin(self.frequency * z[..., 0])], axis=-1)

    def jacobian(self, w):
        """``dz/dw``, shape (..., 2, 2)."""
        w = points(w, 2)
        j = np.zeros((*w.shape, 2))
        j[..., 0, 0] = j[..., 1, 1] = 1.0
        j[..., 1, 0] = self._slope(w)
        return j

    def _slope(self, w):
        return self.amplitude * self.frequency * np.cos(self.frequency * w[..., 0])


@dataclass(frozen=True)
class HalfPlaneMetric:
    """``F = I/y^2`` at (x, y), y > 0; its geodesics are the half circles about points of the axis y = 0."""

    @property
    def dimension(self):
        """2."""
        return 2

    def matrix(self, w):
        """F, shape (..., 2, 2)."""
        return np.eye(2) / positive(points(w, 2)[..., 1], "y")[..., None, None] ** 2

    def derivative(self, w):
        """Shape (..., 2, 2, 2)."""
        w = points(w, 2)
        d = np.zeros((*w.shape, 2, 2))
        d[..., 1, 0, 0] = d[..., 1, 1, 1] = -2.0 / positive(w[..., 1], "y") ** 3
        return d


def positive_definite(entries, label):
    """A symmetric positive definite matrix, from itself or its diagonal.

    Raises
    ------
    ValueError
        For anything else; with the smallest eigenvalue.
    """
    found = np.atleast_1d(numbers(entries, label))
    if found.ndim == 1:
        found = np.diag(found)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not found.size:
        raise ValueError(f"{label} has shape {found.shape}; it must be a square matrix or its diagonal")
    require(np.isfinite(found), found, f"an entry of the {label}", "it must be finite")
    if not np.abs(found - found.T).max() <= SYMMETRIC * np.abs(found).max():
        raise ValueError(f"{label} is off symmetry by {np.abs(found - found.T).max():.3g}; it must be symmetric")
    smallest = float(np.linalg.eigvalsh(found)[0])
    least = len(found) * np.finfo(float).eps * np.abs(found).max()
    if not smallest > least:
        raise ValueError(f"{label} has the eigenvalue {smallest:.3g}; all must be > {least:.3g}, or it is singular to "
                         "rounding")
    return found
