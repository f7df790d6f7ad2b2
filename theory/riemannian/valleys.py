r"""River valleys: a slope along the river, hills across it.

    StraightValley       f(x, y) = -s x + sum_i c_i y_i^2 / 2
    CurvedValley         f(x, y) = -s x + sum_i c_i (y_i - A_i sin(k_i x))^2 / 2

The picture is that of Wen et al. (arXiv 2410.05192).  The river runs along the first coordinate x with slope s.  On
the floor y_i = A_i sin(k_i x) of the curved one the gradient is (-s, 0), the Hessian
``sum_i c_i n_i n_i^T`` with normals ``n_i = (-A_i k_i cos(k_i x), e_i)``, and so its kernel is exactly the tangent
``(1, A_i k_i cos(k_i x))`` of the floor; gradient flow stays within O(s/c) of the floor and follows it at
``dx/dt = s / (1 + sum_i (A_i k_i cos(k_i x))^2)`` (derived).
"""

from dataclasses import dataclass

import numpy as np

from ..arguments import numbers
from .ranges import finite, keep, points, positive, row


@dataclass(frozen=True, eq=False)
class StraightValley:
    """``f(x, y) = -s x + sum_i c_i y_i^2 / 2``: a river that runs straight, unbounded below.

    Parameters
    ----------
    slope : float
        s > 0, loss per unit of river.
    curvatures : array_like, shape (n,), or float
        c > 0 of the n sharp directions; the dimension is 1 + n.

    Raises
    ------
    ValueError
        For parameters that are not positive and finite.
    """

    slope: float
    curvatures: np.ndarray

    def __post_init__(self):
        keep(self, "slope", positive(finite(self.slope, "slope"), "slope"))
        keep(self, "curvatures", positive(row(self.curvatures, "curvatures"), "curvatures"))

    @property
    def dimension(self):
        """1 + n."""
        return 1 + self.curvatures.size

    @property
    def smoothness(self):
        """Largest curvature."""
        return float(self.curvatures.max())

    @property
    def convexity(self):
        """0, along the river."""
        return 0.0

    @property
    def minimum(self):
        """None: the river falls for ever."""
        return None

    def value(self, w):
        """f, shape (...)."""
        w = points(w, self.dimension)
        return -self.slope * w[..., 0] + 0.5 * w[..., 1:] ** 2 @ self.curvatures

    def gradient(self, w):
        """Shape (..., 1 + n)."""
        w = points(w, self.dimension)
        return np.concatenate([np.full_like(w[..., :1], -self.slope), self.curvatures * w[..., 1:]], axis=-1)

    def hessian(self, w):
        """Shape (..., 1 + n, 1 + n), the same everywhere."""
        w = points(w, self.dimension)
        matrix = np.diag(np.concatenate([[0.0], self.curvatures]))
        return np.broadcast_to(matrix, (*w.shape, self.dimension)).copy()

    def hessian_times(self, w, v):
        """Shape (..., 1 + n)."""
        v = points(v, self.dimension)
        return np.concatenate([np.zeros_like(v[..., :1]), self.curvatures * v[..., 1:]], axis=-1)

    def river(self, x):
        """Points (x, 0), shape (..., 1 + n)."""
        x = numbers(x, "positions")[..., None]
        return np.concatenate([x, np.zeros((*x.shape[:-1], self.curvatures.size))], axis=-1)

    def river_speed(self, x):
        """``dx/dt = s`` of gradient flow, exact."""
        return np.full(np.shape(x), self.slope)

    def flat(self, w):
        """Projector on the river's direction, shape (..., 1 + n, 1 + n)."""
        w = points(w, self.dimension)
        projector = np.zeros((*w.shape, self.dimension))
        projector[..., 0, 0] = 1.0
        return projector

    def gradient_flow(self, w, time):
        """``(x + s t, exp(-c t) y)``, at one time >= 0 or at times that broadcast over (...)."""
        w, time = points(w, self.dimension), numbers(time, "times")
        x = (w[..., 0] + self.slope * time)[..., None]
        return np.concatenate([x, w[..., 1:] * np.exp(-np.multiply.outer(time, self.curvatures))], axis=-1)


@dataclass(frozen=True, eq=False)
class CurvedValley:
    """``f(x, y) = -s x + sum_i c_i (y_i - A_i sin(k_i x))^2 / 2``: a river that winds, unbounded below.

    Parameters
    ----------
    slope : float
        s > 0.
    curvature : array_like, shape (n,), or float
        c > 0 of the hills; the sharp curvature on the floor is ``c (1 + (A k cos(k x))^2)`` for n = 1.
    amplitude : array_like, shape (n,), or float
        A, finite.
    frequency : array_like, shape (n,), or float
        k, finite.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    slope: float
    curvature: np.ndarray
    amplitude: np.ndarray = 0.3
    frequency: np.ndarray = 2.0

    def __post_init__(self):
        keep(self, "slope", positive(finite(self.slope, "slope"), "slope"))
        keep(self, "curvature", positive(row(self.curvature, "curvature"), "curvature"))
        for label in ("amplitude", "frequency"):
            each = row(getattr(self, label), label)
            keep(self, label, row(np.repeat(each, self.curvature.size) if each.size == 1 else each, label,
                                  self.curvature.size))

    @property
    def dimension(self):
        """1 + n."""
        return 1 + self.curvature.size

    @property
    def smoothness(self):
        """Infinite: far up the hills the bends of the river are as sharp as one likes."""
        return np.inf

    @property
    def convexity(self):
        """Minus infinity, for the same reason."""
        return -np.inf

    @property
    def minimum(self):
        """None: the river falls for ever."""
        return None

    def value(self, w):
        """f, shape (...)."""
        w = points(w, self.dimension)
        return -self.slope * w[..., 0] + 0.5 * self._height(w) ** 2 @ self.curvature

    def gradient(self, w):
        """Shape (..., 1 + n)."""
        w = points(w, self.dimension)
        pull = self.curvature * self._height(w)
        along = -self.slope - np.sum(pull * self._bend(w[..., 0]), axis=-1)
        return np.concatenate([along[..., None], pull], axis=-1)

    def hessian(self, w):
        """Shape (..., 1 + n, 1 + n)."""
        w = points(w, self.dimension)
        bend, phase = self._bend(w[..., 0]), w[..., :1] * self.frequency
        curl = -self.amplitude * self.frequency**2 * np.sin(phase)
        matrix = np.zeros((*w.shape, self.dimension))
        matrix[..., 0, 0] = np.sum(self.curvature * (bend**2 - self._height(w) * curl), axis=-1)
        matrix[..., 0, 1:] = matrix[..., 1:, 0] = -self.curvature * bend
        place = np.arange(1, self.dimension)
        matrix[..., place, place] = self.curvature
        return matrix

    def hessian_times(self, w, v):
        """Shape (..., 1 + n)."""
        return np.einsum("...ij,...j->...i", self.hessian(w), points(v, self.dimension))

    def river(self, x):
        """Points ``(x, A sin(k x))`` on the floor, shape (..., 1 + n)."""
        x = numbers(x, "positions")[..., None]
        return np.concatenate([x, self.amplitude * np.sin(self.frequency * x)], axis=-1)

    def river_speed(self, x):
        """``dx/dt = s/(1 + sum_i (A_i k_i cos(k_i x))^2)`` of gradient flow near the floor, to a factor 1 + O(s/c)."""
        return self.slope / (1.0 + np.sum(self._bend(numbers(x, "positions")) ** 2, axis=-1))

    def flat(self, w):
        """Projector on the floor's tangent at the same x, shape (..., 1 + n, 1 + n)."""
        w = points(w, self.dimension)
        tangent = np.concatenate([np.ones_like(w[..., :1]), self._bend(w[..., 0])], axis=-1)
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
        return tangent[..., :, None] * tangent[..., None, :]

    def _height(self, w):
        return w[..., 1:] - self.amplitude * np.sin(self.frequency * w[..., :1])

    def _bend(self, x):
        return self.amplitude * self.frequency * np.cos(self.frequency * x[..., None])
