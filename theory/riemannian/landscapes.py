r"""Landscapes: loss functions with exact gradients, Hessians, and what else is known of them in closed form.

    Quadratic            f(w) = w^T R diag(c) R^T w / 2
    RippledQuadratic     f(w) = sum_i c_i w_i^2 / 2 + A (1 - cos(k . w))
    StraightValley       f(x, y) = -s x + sum_i c_i y_i^2 / 2
    CurvedValley         f(x, y) = -s x + sum_i c_i (y_i - A_i sin(k_i x))^2 / 2
    MatrixQuadratic      f(W) = sum_ij C_ij W_ij^2 / 2
    LogisticRegression   f(w) = mean_i log(1 + exp(-b_i x_i . w)) + r |w|^2 / 2,   b_i = +-1

Every landscape is batched: a point is an array (..., d), for matrices (..., m, n), and

- ``value(w)`` has the leading shape, ``gradient(w)`` that of w, ``hessian(w)`` is (..., d, d) (vectors only),
  ``hessian_times(w, v)`` the Hessian at w applied to v, of the shape of w;
- ``smoothness`` and ``convexity`` are the largest and the smallest eigenvalue that the Hessian has anywhere, or bounds
  on them where stated (infinite where there is none); ``minimum`` is a minimiser, None where there is none;
- valleys have ``river(x)``, points on the floor, and ``flat(w)``, the projector on the tangent of the floor (see
  :mod:`~theorycheck.theory.riemannian.valleys`).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit

from ..arguments import numbers, shown
from .ranges import finite, keep, not_negative, points, row
from .valleys import CurvedValley, StraightValley

__all__ = ["CurvedValley", "LogisticRegression", "MatrixQuadratic", "Quadratic", "RippledQuadratic", "StraightValley"]

ORTHOGONAL = 1e-10
NEWTON_STEPS = 100


@dataclass(frozen=True, eq=False)
class Quadratic:
    """``f(w) = w^T R diag(c) R^T w / 2``.

    Parameters
    ----------
    curvatures : array_like, shape (d,)
        Eigenvalues c of the Hessian, finite; negative ones make a saddle.
    rotation : array_like, shape (d, d), optional
        Orthogonal R, whose columns are the eigenvectors; the axes by default.

    Raises
    ------
    ValueError
        For curvatures that are no such numbers, or a rotation that is not orthogonal to 1e-10.
    """

    curvatures: np.ndarray
    rotation: np.ndarray | None = None

    def __post_init__(self):
        keep(self, "curvatures", row(self.curvatures, "curvatures"))
        if self.rotation is not None:
            d = self.dimension
            rotation = numbers(self.rotation, "rotation")
            if rotation.shape != (d, d):
                raise ValueError(f"rotation has shape {rotation.shape}; it must be ({d}, {d}), one axis per curvature")
            error = float(np.abs(rotation.T @ rotation - np.eye(d)).max())
            if not error <= ORTHOGONAL:
                raise ValueError(f"rotation is off orthogonality by {error:.3g}; it must be at most {ORTHOGONAL:g}")
            keep(self, "rotation", rotation)

    @property
    def dimension(self):
        """d."""
        return self.curvatures.size

    @cached_property
    def matrix(self):
        """The Hessian, shape (d, d)."""
        r = np.eye(self.dimension) if self.rotation is None else self.rotation
        return (r * self.curvatures) @ r.T

    @property
    def smoothness(self):
        """Largest curvature."""
        return float(self.curvatures.max())

    @property
    def convexity(self):
        """Smallest curvature."""
        return float(self.curvatures.min())

    @property
    def minimum(self):
        """The origin, or None at a saddle."""
        return np.zeros(self.dimension) if self.convexity >= 0 else None

    def value(self, w):
        """f, shape (...)."""
        w = points(w, self.dimension)
        return 0.5 * np.sum(w * self.hessian_times(w, w), axis=-1)

    def gradient(self, w):
        """Shape (..., d)."""
        w = points(w, self.dimension)
        return self.hessian_times(w, w)

    def hessian(self, w):
        """Shape (..., d, d), the same everywhere."""
        w = points(w, self.dimension)
        return np.broadcast_to(self.matrix, (*w.shape, self.dimension)).copy()

    def hessian_times(self, w, v):
        """Shape (..., d)."""
        v = points(v, self.dimension)
        return self.curvatures * v if self.rotation is None else (v @ self.rotation * self.curvatures) @ self.rotation.T

    def gradient_flow(self, w, time):
        """``exp(-t H) w``, the solution of ``w' = -grad f`` at one time >= 0 or at times that broadcast over (...)."""
        w, decay = points(w, self.dimension), np.exp(-np.multiply.outer(numbers(time, "times"), self.curvatures))
        return decay * w if self.rotation is None else (w @ self.rotation * decay) @ self.rotation.T


@dataclass(frozen=True, eq=False)
class RippledQuadratic:
    """``f(w) = sum_i c_i w_i^2 / 2 + A (1 - cos(k . w))``: smooth, with waves across the direction k.

    Parameters
    ----------
    curvatures : array_like, shape (d,)
        c >= 0.
    amplitude : float
        A >= 0; f is not convex if ``A k^T diag(1/c) k > 1`` (derived).
    wave : array_like, shape (d,)
        k, finite.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    curvatures: np.ndarray
    amplitude: float
    wave: np.ndarray

    def __post_init__(self):
        keep(self, "curvatures", not_negative(row(self.curvatures, "curvatures"), "curvatures"))
        keep(self, "amplitude", not_negative(finite(self.amplitude, "amplitude"), "amplitude"))
        keep(self, "wave", row(self.wave, "wave", self.dimension))

    @property
    def dimension(self):
        """d."""
        return self.curvatures.size

    @property
    def smoothness(self):
        """Largest eigenvalue of ``diag(c) + A k k^T``, attained on the crests of f where ``cos = 1``."""
        return float(np.linalg.eigvalsh(np.diag(self.curvatures) + self.amplitude * np.outer(self.wave, self.wave))[-1])

    @property
    def convexity(self):
        """Smallest eigenvalue of ``diag(c) - A k k^T``, attained where ``cos = -1``."""
        return float(np.linalg.eigvalsh(np.diag(self.curvatures) - self.amplitude * np.outer(self.wave, self.wave))[0])

    @property
    def minimum(self):
        """The origin, where f = 0."""
        return np.zeros(self.dimension)

    def value(self, w):
        """f, shape (...)."""
        w = points(w, self.dimension)
        return 0.5 * w**2 @ self.curvatures + 2.0 * self.amplitude * np.sin(0.5 * (w @ self.wave)) ** 2

    def gradient(self, w):
        """Shape (..., d)."""
        w = points(w, self.dimension)
        return self.curvatures * w + (self.amplitude * np.sin(w @ self.wave))[..., None] * self.wave

    def hessian(self, w):
        """Shape (..., d, d)."""
        w = points(w, self.dimension)
        ripple = self.amplitude * np.cos(w @ self.wave)
        return np.diag(self.curvatures) + ripple[..., None, None] * np.outer(self.wave, self.wave)

    def hessian_times(self, w, v):
        """Shape (..., d)."""
        w, v = points(w, self.dimension), points(v, self.dimension)
        return self.curvatures * v + (self.amplitude * np.cos(w @ self.wave) * (v @ self.wave))[..., None] * self.wave


@dataclass(frozen=True, eq=False)
class MatrixQuadratic:
    """``f(W) = sum_ij C_ij W_ij^2 / 2`` on matrices (m, n).

    Parameters
    ----------
    curvatures : array_like, shape (n,), (m, 1) or (m, n)
        C, broadcast against W: (n,) is one curvature per column, (m, 1) one per row.

    Raises
    ------
    ValueError
        For curvatures of another shape, or not finite.
    """

    curvatures: np.ndarray

    def __post_init__(self):
        curvatures = numbers(self.curvatures, "curvatures")
        if curvatures.ndim not in (1, 2) or not curvatures.size or not np.isfinite(curvatures).all():
            raise ValueError(f"curvatures are {shown(self.curvatures)}; they must be finite, (n,), (m, 1) or (m, n)")
        keep(self, "curvatures", curvatures)

    @property
    def smoothness(self):
        """Largest curvature."""
        return float(self.curvatures.max())

    @property
    def convexity(self):
        """Smallest curvature."""
        return float(self.curvatures.min())

    @property
    def minimum(self):
        """Zero of the shape of the curvatures (one row where they are (n,)), or None at a saddle."""
        return np.zeros_like(np.atleast_2d(self.curvatures)) if self.convexity >= 0 else None

    def value(self, w):
        """f, shape (...)."""
        w = self._matrices(w)
        return 0.5 * np.sum(self.curvatures * w**2, axis=(-2, -1))

    def gradient(self, w):
        """Shape (..., m, n)."""
        return self.curvatures * self._matrices(w)

    def hessian_times(self, w, v):
        """Shape (..., m, n)."""
        return self.curvatures * self._matrices(v)

    def gradient_flow(self, w, time):
        """``exp(-t C) o W``, at one time >= 0 or at times that broadcast over (...)."""
        time = numbers(time, "times")[..., None, None]
        return np.exp(-time * self.curvatures) * self._matrices(w)

    def _matrices(self, w):
        w = numbers(w, "parameters")
        wanted = np.atleast_2d(self.curvatures).shape
        if w.ndim < 2 or any(size not in (1, have) for size, have in zip(wanted, w.shape[-2:], strict=True)):
            raise ValueError(f"the parameters have shape {w.shape}; they must be matrices that fit curvatures {wanted}")
        if not np.isfinite(w).all():
            raise ValueError(f"the parameters contain {float(w[~np.isfinite(w)][0])}; all must be finite")
        return w


@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """``f(w) = mean_i log(1 + exp(-b_i x_i . w)) + r |w|^2 / 2``.

    Parameters
    ----------
    features : array_like, shape (n, d)
        x, finite.
    labels : array_like, shape (n,)
        b, each -1 or 1.
    ridge : float
        r >= 0; without it there may be no minimum.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    features: np.ndarray
    labels: np.ndarray
    ridge: float

    def __post_init__(self):
        features = numbers(self.features, "features")
        if features.ndim != 2 or not features.size or not np.isfinite(features).all():
            raise ValueError(f"features have shape {features.shape}; they must be finite numbers, samples x dimensions")
        keep(self, "features", features)
        labels = row(self.labels, "labels", len(features))
        if not (np.abs(labels) == 1).all():
            raise ValueError(f"labels are {shown(self.labels)}; each must be -1 or 1")
        keep(self, "labels", labels)
        keep(self, "ridge", not_negative(finite(self.ridge, "ridge"), "ridge"))

    @property
    def dimension(self):
        """d."""
        return self.features.shape[1]

    @cached_property
    def smoothness(self):
        """Upper bound ``r + |X|^2/(4 n)``, which the Hessian has at w = 0."""
        return self.ridge + 0.25 * float(np.linalg.norm(self.features, 2)) ** 2 / len(self.features)

    @property
    def convexity(self):
        """Lower bound r, approached far from the origin."""
        return self.ridge

    @cached_property
    def minimum(self):
        """By Newton's method with halved steps, to rounding.

        Raises
        ------
        ValueError
            For ridge = 0: nothing guarantees a minimum.
        """
        if not self.ridge > 0:
            raise ValueError("ridge is 0; it must be > 0 for the minimum to exist whatever the labels")
        w = np.zeros(self.dimension)
        for _ in range(NEWTON_STEPS):
            gradient = self.gradient(w)
            step, size = np.linalg.solve(self.hessian(w), gradient), 1.0
            while np.linalg.norm(self.gradient(w - size * step)) > (1 - 0.1 * size) * np.linalg.norm(gradient):
                size *= 0.5
                if size < 1e-6:   # rounding: no step makes the gradient smaller
                    return w
            w = w - size * step
        return w

    def value(self, w):
        """f, shape (...)."""
        w = points(w, self.dimension)
        margins = self.labels * (w @ self.features.T)
        return np.logaddexp(0.0, -margins).mean(axis=-1) + 0.5 * self.ridge * np.sum(w**2, axis=-1)

    def gradient(self, w):
        """Shape (..., d)."""
        w = points(w, self.dimension)
        pull = -self.labels * expit(-self.labels * (w @ self.features.T)) / len(self.features)
        return pull @ self.features + self.ridge * w

    def hessian(self, w):
        """Shape (..., d, d)."""
        weights = self._weights(points(w, self.dimension))
        return (np.einsum("...n,ni,nj->...ij", weights, self.features, self.features, optimize=True)
                + self.ridge * np.eye(self.dimension))

    def hessian_times(self, w, v):
        """Shape (..., d)."""
        w, v = points(w, self.dimension), points(v, self.dimension)
        return (self._weights(w) * (v @ self.features.T)) @ self.features + self.ridge * v

    def _weights(self, w):
        chance = expit(w @ self.features.T)
        return chance * (1.0 - chance) / len(self.features)
