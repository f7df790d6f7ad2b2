r"""Metrics of matrix optimizers: all act as ``X -> U (D o (U^T X V)) V^T`` with orthogonal U, V and positive entries D.

    Shampoo               U, V eigenvectors of L, R;  D_ij = ((l_i + eps)(r_j + eps))^{1/4}
    Shampoo, one side     U = 1;                      D_ij = (r_j + eps)^{1/2}
    SOAP                  U, V as for Shampoo;        D = sqrt V + eps, the second moment in this basis
    Muon                  U, V singular vectors of M = m + beta g, with singular values s:
        "right"           D_ij = s_j                  X -> X (M^T M)^{1/2}
        "left"            D_ij = s_i                  X -> (M M^T)^{1/2} X
        "symmetric"       D_ij = (s_i + s_j)/2        the mean of the two
        "kronecker"       D_ij = sqrt(s_i s_j)        X -> (M M^T)^{1/4} X (M^T M)^{1/4}

with L and R the averages of ``G G^T`` and ``G^T G``.  The four metrics of Muon agree on M alone, where each gives
``F^{-1} M = msign(M)``; on any other matrix, the raw gradient say, they differ (derived).  For an m x n matrix the
vectors beyond the rank have s = 0: the right form needs m >= n, the left m <= n, the Kronecker form m = n, and only the
symmetric one is a metric for every shape.

The interface of the rules is that of :mod:`.metric_rules`.  Gradients have shape (..., m, n).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..arguments import shown
from .metric_rules import Identity, inside, regular, weight
from .polar import newton_schulz, polar_factor
from .polar_express import polar_express

FORMS = ("right", "left", "symmetric", "kronecker")


@dataclass(frozen=True, eq=False)
class RotatedMetric:
    """``X -> U (D o (U^T X V)) V^T``.

    Attributes
    ----------
    left, right : ndarray, shapes (..., m, m) and (..., n, n)
        U and V, orthogonal.
    entries : ndarray, shape (..., m, n)
        D.
    """

    left: np.ndarray
    right: np.ndarray
    entries: np.ndarray

    def apply(self, x):
        """F X."""
        return self._back(self.entries * self._into(x))

    def solve(self, x):
        """``F^{-1} X``; ValueError if F is singular."""
        return self._back(self._into(x) / regular(self.entries, (-2, -1)))

    def as_matrix(self):
        """F on matrices written row by row, shape (..., m n, m n)."""
        m, n = self.entries.shape[-2:]
        basis = np.einsum("...ai,...bj->...abij", self.left, self.right)
        basis = basis.reshape(*basis.shape[:-4], m * n, m * n)
        flat = self.entries.reshape(*self.entries.shape[:-2], 1, m * n)
        return (basis * flat) @ np.swapaxes(basis, -1, -2)

    def _into(self, x):
        return np.swapaxes(self.left, -1, -2) @ x @ self.right

    def _back(self, x):
        return self.left @ x @ np.swapaxes(self.right, -1, -2)


@dataclass(frozen=True)
class TwoSided:
    """Shampoo: ``F X = (L + eps)^{1/4} X (R + eps)^{1/4}``, or ``X (R + eps)^{1/2}`` with one side.

    Parameters
    ----------
    memory : float
        ``1 - b2`` of the averages L and R, in (0, 1].
    epsilon : float
        >= 0.
    one_sided : bool
    """

    memory: float
    epsilon: float = 1e-12
    one_sided: bool = False
    correction = scale_free = slaved = False

    def __post_init__(self):
        inside(self.memory, "memory 1 - b2", 0.0, 1.0, right=True)
        inside(self.epsilon, "epsilon", 0.0, math.inf, left=True)

    def rest(self, gradient, curvature=None):
        """``L = G G^T``, ``R = G^T G``."""
        return outer_products(gradient)

    begin = rest

    def update(self, averages, gradient, curvature, count):
        """L and R with the gradient in them."""
        share = weight(self, count)
        return tuple(old + share * drift for old, drift in zip(averages, self.drift(averages, gradient)))

    def drift(self, averages, gradient, curvature=None):
        """``G G^T - L`` and ``G^T G - R``."""
        return tuple(new - old for new, old in zip(outer_products(gradient), averages))

    def solve(self, averages, force):
        """``(L + eps)^{-1/4} M (R + eps)^{-1/4}``, the powers taken separately."""
        if self.one_sided:
            return force @ self._power(averages[1], -0.5)
        return self._power(averages[0], -0.25) @ force @ self._power(averages[1], -0.25)

    def metric(self, averages, force):
        """F."""
        (l, u), (r, v) = (np.linalg.eigh(each) for each in averages)
        l, r = l + self.epsilon, r + self.epsilon
        if self.one_sided:
            return RotatedMetric(np.zeros_like(u) + np.eye(u.shape[-1]), v,
                                 np.ones_like(l)[..., :, None] * np.sqrt(r)[..., None, :])
        return RotatedMetric(u, v, (l[..., :, None] * r[..., None, :]) ** 0.25)

    def refined(self, factor):
        """``1 - b2`` divided by a factor."""
        return replace(self, memory=self.memory / factor)

    def _power(self, matrix, exponent):
        values, vectors = np.linalg.eigh(matrix)
        raised = regular(values + self.epsilon, epsilon=self.epsilon)
        return (vectors * raised[..., None, :] ** exponent) @ np.swapaxes(vectors, -1, -2)


@dataclass(frozen=True)
class InEigenbasis:
    """SOAP: Adam's metric ``sqrt V + eps`` in the eigenbasis of Shampoo's L and R (eigenvalues ascending).

    V averages the squared entries of the gradient in the basis of the day; it is not rotated along with the basis.

    Parameters
    ----------
    memory : float
        ``1 - b2`` of L, R and V, in (0, 1].
    epsilon : float
        >= 0.
    """

    memory: float
    epsilon: float = 1e-8
    correction = scale_free = slaved = False

    def __post_init__(self):
        inside(self.memory, "memory 1 - b2", 0.0, 1.0, right=True)
        inside(self.epsilon, "epsilon", 0.0, math.inf, left=True)

    def rest(self, gradient, curvature=None):
        """``G G^T``, ``G^T G`` and the squares in their basis."""
        left, right = outer_products(gradient)
        return left, right, in_basis(left, right, gradient)[2] ** 2

    def begin(self, gradient, curvature=None):
        """L and R at rest, V the same everywhere, the mean square of the gradient: at rest it is 0 off the diagonal."""
        left, right, squares = self.rest(gradient)
        return left, right, np.zeros_like(squares) + squares.mean(axis=(-2, -1), keepdims=True)

    def update(self, averages, gradient, curvature, count):
        """L and R with the gradient in them, then V with its square in their new basis."""
        share = weight(self, count)
        left, right = (old + share * (new - old) for old, new in zip(averages[:2], outer_products(gradient)))
        return left, right, averages[2] + share * (in_basis(left, right, gradient)[2] ** 2 - averages[2])

    def drift(self, averages, gradient, curvature=None):
        """``G G^T - L``, ``G^T G - R`` and ``(U^T G V)^2 - V``."""
        left, right = outer_products(gradient)
        return (left - averages[0], right - averages[1],
                in_basis(averages[0], averages[1], gradient)[2] ** 2 - averages[2])

    def solve(self, averages, force):
        """``U [(U^T M V)/(sqrt V + eps)] V^T``."""
        u, v, inner = in_basis(averages[0], averages[1], force)
        scale = np.sqrt(averages[2]) + self.epsilon
        return u @ (inner / (scale if self.epsilon else regular(scale, (-2, -1), 0.0))) @ np.swapaxes(v, -1, -2)

    def metric(self, averages, force):
        """F."""
        return RotatedMetric(np.linalg.eigh(averages[0])[1], np.linalg.eigh(averages[1])[1],
                             np.sqrt(averages[2]) + self.epsilon)

    def refined(self, factor):
        """``1 - b2`` divided by a factor."""
        return replace(self, memory=self.memory / factor)


@dataclass(frozen=True)
class PolarFactor(Identity):
    """Muon: steps by ``msign(M)``; the metric is one of four that agree on M.

    Parameters
    ----------
    form : {"symmetric", "right", "left", "kronecker"}
        Which metric :meth:`metric` gives; the step does not depend on it.
    stages : int or None
        None: the exact polar factor, by SVD; else so many stages of an iteration.
    coefficients : tuple or None
        ``(a, b, c)`` of :func:`.polar.newton_schulz`; None: the stages of :mod:`.polar_express` (at most 8).
    """

    form: str = "symmetric"
    stages: int | None = None
    coefficients: tuple | None = None
    scale_free = True

    def __post_init__(self):
        if not isinstance(self.form, str) or self.form not in FORMS:
            raise ValueError(f"form is {shown(self.form)}; it must be one of {', '.join(FORMS)}")
        if self.stages is not None:   # refuses what is out of range
            self.solve((), np.eye(2))

    def solve(self, averages, force):
        """``msign(M)``."""
        if self.stages is None:
            return polar_factor(force)
        if self.coefficients is None:
            return polar_express(force, self.stages)
        return newton_schulz(force, self.stages, self.coefficients)

    def metric(self, averages, force):
        """F in the form asked for; its ``solve`` refuses shapes and ranks at which this form is singular."""
        u, s, vt = np.linalg.svd(force, full_matrices=True)
        m, n = force.shape[-2:]
        rows, columns = (np.zeros((*s.shape[:-1], size)) for size in (m, n))
        rows[..., :s.shape[-1]], columns[..., :s.shape[-1]] = s, s
        rows, columns = rows[..., :, None] + np.zeros(n), columns[..., None, :] + np.zeros((m, 1))
        entries = {"right": columns, "left": rows, "symmetric": (rows + columns) / 2,
                   "kronecker": np.sqrt(rows * columns)}[self.form]
        return RotatedMetric(u, np.swapaxes(vt, -1, -2), entries)


def outer_products(gradient):
    """``G G^T`` and ``G^T G``."""
    transposed = np.swapaxes(gradient, -1, -2)
    return gradient @ transposed, transposed @ gradient


def in_basis(left, right, matrix):
    """Eigenvectors U of L and V of R, and ``U^T X V``."""
    u, v = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
    return u, v, np.swapaxes(u, -1, -2) @ matrix @ v
