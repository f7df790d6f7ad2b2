r"""What the metric F of a vector optimizer is made of, and F itself as an operator.

A rule keeps averages (v, h, ...) of what it is given along the way and makes a metric of them.  All rules have

    rest(gradient, curvature)                   the averages, had these always been the gradient and the curvature
    begin(gradient, curvature)                  the averages before the first step: rest, but for SOAP
    update(averages, gradient, curvature, k)    the averages with step k in them
    drift(averages, gradient, curvature)        target - averages: ``averages' = b drift`` in the flow, b = (1-b2)/h
    solve(averages, force)                      F^{-1} force, as the optimizer's code writes it
    metric(averages, force)                     F itself
    refined(factor)                             1 - b2 divided by a factor
    memory, correction, scale_free, slaved      1 - b2; bias-corrected; F^{-1} force has no scale; averages follow w

A metric acts on gradients like a matrix; it has ``apply`` (F x), ``solve`` (F^{-1} x) and ``as_matrix``, the latter on
vectors, or on matrices written row by row.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..arguments import number

SINGULAR = 1e-14
"""A metric whose smallest eigenvalue is below this share of its largest is refused as singular."""


@dataclass(frozen=True, eq=False)
class DiagonalMetric:
    """``F = diag(entries)``, entries of shape (..., d)."""

    entries: np.ndarray

    def apply(self, x):
        """F x."""
        return self.entries * x

    def solve(self, x):
        """``F^{-1} x``; ValueError if F is singular."""
        return x / regular(self.entries)

    def as_matrix(self):
        """F, shape (..., d, d)."""
        return self.entries[..., None] * np.eye(self.entries.shape[-1])


@dataclass(frozen=True, eq=False)
class DenseMetric:
    """F given as a matrix, shape (..., d, d), symmetric and positive definite."""

    matrix: np.ndarray

    def apply(self, x):
        """F x."""
        return np.squeeze(self.matrix @ np.asarray(x)[..., None], -1)

    def solve(self, x):
        """``F^{-1} x``; ValueError if F is singular or not positive definite."""
        regular(np.linalg.eigvalsh(self.matrix))
        return np.squeeze(np.linalg.solve(self.matrix, np.asarray(x)[..., None]), -1)

    def as_matrix(self):
        """F, shape (..., d, d)."""
        return self.matrix


@dataclass(frozen=True)
class Identity:
    """F = 1."""

    memory = 1.0
    correction = scale_free = slaved = False

    def rest(self, gradient, curvature=None):
        """Nothing is kept."""
        return ()

    begin = rest

    def update(self, averages, gradient, curvature, count):
        """Nothing is kept."""
        return ()

    def drift(self, averages, gradient, curvature=None):
        """Nothing is kept."""
        return ()

    def solve(self, averages, force):
        """The force."""
        return force

    def metric(self, averages, force):
        """The identity."""
        return DiagonalMetric(np.ones_like(force))

    def refined(self, factor):
        """Itself."""
        return self


@dataclass(frozen=True)
class SecondMoment:
    """``F = diag(sqrt v + eps)``, v the average of g^2 with ``memory = 1 - b2`` in (0, 1]; eps >= 0."""

    memory: float
    epsilon: float = 1e-8
    correction: bool = False
    scale_free = slaved = False

    def __post_init__(self):
        inside(self.memory, "memory 1 - b2", 0.0, 1.0, right=True)
        inside(self.epsilon, "epsilon", 0.0, math.inf, left=True)

    def rest(self, gradient, curvature=None):
        """``v = g^2``."""
        return (gradient**2,)

    begin = rest

    def update(self, averages, gradient, curvature, count):
        """v with the square of the gradient in it."""
        (drift,) = self.drift(averages, gradient)
        return (averages[0] + weight(self, count) * drift,)

    def drift(self, averages, gradient, curvature=None):
        """``g^2 - v``."""
        return (gradient**2 - averages[0],)

    def solve(self, averages, force):
        """``force/(sqrt v + eps)``."""
        scale = np.sqrt(averages[0]) + self.epsilon
        return force / (scale if self.epsilon else regular(scale))

    def metric(self, averages, force):
        """``diag(sqrt v + eps)``."""
        return DiagonalMetric(np.sqrt(averages[0]) + self.epsilon)

    def refined(self, factor):
        """``1 - b2`` divided by a factor."""
        return replace(self, memory=self.memory / factor)


@dataclass(frozen=True)
class SignOfForce(Identity):
    """``F = diag|m + beta g|``: steps by the sign of the force; singular where the force is 0."""

    scale_free = True

    def solve(self, averages, force):
        """``sign(force)``, 0 where the force is 0."""
        return np.sign(force)

    def metric(self, averages, force):
        """``diag|force|``."""
        return DiagonalMetric(np.abs(force))


@dataclass(frozen=True)
class TrustedCurvature:
    """``F = diag max(rho h, eps, |force|)``, h the average of the diagonal of H: Newton's step, clipped to [-1, 1]."""

    memory: float
    clip: float = 0.04
    epsilon: float = 1e-12
    correction = scale_free = slaved = False

    def __post_init__(self):
        inside(self.memory, "memory 1 - b2", 0.0, 1.0, right=True)
        inside(self.clip, "clip", 0.0, math.inf)
        inside(self.epsilon, "epsilon", 0.0, math.inf)

    def rest(self, gradient, curvature=None):
        """h is the diagonal given."""
        return (self._diagonal(gradient, curvature).copy(),)

    begin = rest

    def update(self, averages, gradient, curvature, count):
        """h with the new diagonal in it."""
        (drift,) = self.drift(averages, gradient, curvature)
        return (averages[0] + weight(self, count) * drift,)

    def drift(self, averages, gradient, curvature=None):
        """``diag H - h``."""
        return (self._diagonal(gradient, curvature) - averages[0],)

    def solve(self, averages, force):
        """``clip(force/max(rho h, eps), -1, 1)``."""
        return np.clip(force / np.maximum(self.clip * averages[0], self.epsilon), -1.0, 1.0)

    def metric(self, averages, force):
        """``diag max(rho h, eps, |force|)``."""
        return DiagonalMetric(np.maximum(np.maximum(self.clip * averages[0], self.epsilon), np.abs(force)))

    def refined(self, factor):
        """``1 - b2`` divided by a factor."""
        return replace(self, memory=self.memory / factor)

    def _diagonal(self, gradient, curvature):
        found = np.asarray(np.nan if curvature is None else curvature, dtype=float)
        if found.shape != np.shape(gradient):
            raise ValueError(f"curvature has shape {found.shape}; it must be the diagonal of the Hessian, shape "
                             f"{np.shape(gradient)}")
        return found


@dataclass(frozen=True)
class Curvature:
    """``F = F(w) + ridge``, a matrix given at each step: the Fisher matrix, or the Hessian."""

    ridge: float = 0.0
    memory = 1.0
    slaved = True
    correction = scale_free = False

    def __post_init__(self):
        inside(self.ridge, "ridge", 0.0, math.inf, left=True)

    def rest(self, gradient, curvature=None):
        """The matrix given."""
        d = np.shape(gradient)[-1]
        found = np.asarray(np.nan if curvature is None else curvature, dtype=float)
        if found.shape[-2:] != (d, d) or not np.isfinite(found).all():
            raise ValueError(f"curvature has shape {found.shape}; it must be a finite matrix of shape (..., {d}, {d})")
        apart = np.abs(found - np.swapaxes(found, -1, -2)).max()
        if apart > 1e-12 * np.abs(found).max():
            raise ValueError(f"curvature deviates from its transpose by {apart:.3g}; it must be symmetric")
        return (found + self.ridge * np.eye(d),)

    begin = rest

    def update(self, averages, gradient, curvature, count):
        """The matrix given."""
        return self.rest(gradient, curvature)

    def solve(self, averages, force):
        """``F^{-1} force``."""
        return DenseMetric(averages[0]).solve(force)

    def metric(self, averages, force):
        """F."""
        return DenseMetric(averages[0])

    def refined(self, factor):
        """Itself: there is no memory."""
        return self


def weight(rule, count):
    """Weight of the newest number in an average of `count`."""
    if not rule.correction or rule.memory == 1.0:
        return rule.memory
    return rule.memory / -math.expm1(count * math.log1p(-rule.memory))


def regular(eigenvalues, axes=-1, epsilon=None):
    """The eigenvalues of metrics, if of each all are positive and none is rounding, or ValueError.

    Parameters
    ----------
    eigenvalues : array_like, shape (..., d)
    axes : int or tuple of int
        Those of one metric.
    epsilon : float, optional
        What was added to them, to be named as the remedy.
    """
    low, high = np.min(eigenvalues, axis=axes), np.max(eigenvalues, axis=axes)
    wrong = ~(low > SINGULAR * high)
    if np.any(wrong):
        least, bound = (float(np.asarray(each)[wrong].flat[0]) for each in (low, SINGULAR * high))
        remedy = "" if epsilon is None else f"; epsilon is {epsilon:g}, it must be > {bound:.3g}"
        raise ValueError(f"metric is singular: its smallest eigenvalue is {least:.3g}; it must be > {bound:.3g} "
                         f"({SINGULAR:g} of the largest){remedy}")
    return eigenvalues


def inside(value, name, low, high, left=False, right=False):
    """A number in an interval, whose ends belong to it where `left` and `right` say so, or ValueError."""
    value = number(value, name)
    if not (low < value < high or (left and value == low) or (right and value == high)):
        interval = f"{'[' if left else '('}{low:g}, {high:g}{']' if right else ')'}"
        raise ValueError(f"{name} is {value!r}; it must be in {interval}")
    return value
