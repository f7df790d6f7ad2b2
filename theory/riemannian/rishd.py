r"""Inertial flows with Hessian damping on a Riemannian manifold, and the limit that Algorithm 1 of LITE has.

The general equation (Zhu et al., arXiv 2602.22681, as accounts of the paper give it) on parameters with metric F(w) is

    nabla_{w'} w' + alpha w' + beta Hess f [w'] + gamma grad f = 0 ,       grad f = F^{-1} g ,

g the vector of partial derivatives and H the matrix of second ones.  In coordinates

    w'' + N(w, w') + alpha w' + beta F^{-1} (H w' - C) + gamma F^{-1} g = 0                    (InertialFlow)

with one of three connections:

    "levi-civita"   N = Gamma(w', w'),     C_i = Gamma_{l,ij} w'^j (grad f)^l      Riemannian, free of coordinates
    "dual"          N = F^{-1} F' w',      C = 0                                   F' = dF/dt along the path
    "none"          N = 0,                 C = 0

Algorithm 1 without a projector, ``m_k = (1-alpha) m_{k-1} + g_k`` and ``w_{k+1} = w_k - eta F^{-1} (m_k + beta g_k)``
at ``F = F(w_k)``, in the scaling ``eta = h^2``, ``alpha = a h``, ``beta = B/h``, ``t = k h``, ``p = h m``, tends to
(derived)

    F(w) w' = -(p + B g),    p' = -a p + g,    p(0) = 0                                                (MomentumFlow)

that is ``d/dt (F w') + a F w' + B H w' + (1 + a B) g = 0``: the "dual" connection with ``gamma = 1 + a B``, not the
Levi-Civita one.  If F is the Hessian of a convex function psi this is an equation for the mirror coordinates
``z = grad psi(w)``, ``z'' + a z' + B H w' + (1 + a B) g = 0``.  The three agree if F is constant and, to first order,
at a minimum.  The iteration is ``y_{k+1} = y_k + h v(y_k) + h^2 c(y_k)`` in ``y = (w, p)``, so that it follows
``v + h (c - v' v / 2)`` to second order (backward error analysis; derived): with ``u = -F^{-1}(p + B g)`` and
``q = -a p + g``

    w' = u + (h/2) F^{-1} (q + B H u + F'[u] u),    p' = q + (h/2) (H u + a q),    p(0) = h g(w_0) .   (modified)

With LITE, F is divided by chi on flat directions and B is a matrix (``metrics.lite_metric``, :func:`lite_damping`).
For fixed alpha and beta and ``eta -> 0``, ``t = k eta``, Algorithm 1 tends to ``F w' = -((1 + alpha beta)/alpha) g``.
"""

from dataclasses import dataclass

import numpy as np

from ..arguments import numbers, shown
from . import stable_steps
from .integration import ATOL, RTOL, integrate
from .metrics import orthogonal_projector
from .ranges import finite, integer, keep, not_negative, offering, points, positive, require

CONNECTIONS = ("levi-civita", "dual", "none")


@dataclass(frozen=True, eq=False)
class InertialFlow:
    """The second-order equation, with any coefficients and one of three connections.

    Parameters
    ----------
    landscape : landscape
        With ``gradient`` and ``hessian_times``.
    metric : metric
    friction, damping, force : float
        alpha >= 0, beta and gamma, finite.
    connection : {"levi-civita", "dual", "none"}

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    landscape: object
    metric: object
    friction: float
    damping: float = 0.0
    force: float = 1.0
    connection: str = "levi-civita"

    def __post_init__(self):
        offering(self.landscape, "landscape", "gradient", "hessian_times")
        offering(self.metric, "metric", "dimension", "matrix", "derivative")
        keep(self, "friction", not_negative(finite(self.friction, "friction"), "friction"))
        for label in ("damping", "force"):
            keep(self, label, finite(getattr(self, label), label))
        if self.connection not in CONNECTIONS:
            raise ValueError(f"connection is {shown(self.connection)}; it must be one of {', '.join(CONNECTIONS)}")

    def acceleration(self, w, v):
        """``w''`` at position w and velocity v, shapes (..., d)."""
        gradient, push = self.landscape.gradient(w), self.landscape.hessian_times(w, v)
        matrix = self.metric.matrix(w)
        inertia = 0.0
        if self.connection != "none":
            slope = self.metric.derivative(w)
            along = np.einsum("...kij,...k->...ij", slope, v)
            inertia = _times(along, v)
        if self.connection == "levi-civita":
            inertia = inertia - 0.5 * np.einsum("...lij,...i,...j->...l", slope, v, v)
            if self.damping:
                n = _solve(matrix, gradient)
                across = np.einsum("...lij,...l->...ij", slope, n)
                push = push - 0.5 * (np.einsum("...lij,...i,...j->...l", slope, v, n) + _times(along, n)
                                     - _times(across, v))
        return -_solve(matrix, inertia + self.damping * push + self.force * gradient) - self.friction * v

    def path(self, w, v, times, rtol=RTOL, atol=ATOL):
        """Solve from position w and velocity v at ``times[0]``.

        Returns
        -------
        positions, velocities : ndarray, shape (n, *w.shape)

        Raises
        ------
        ValueError
            If the solution blows up.
        """
        start = _state(self.metric, w, v, "velocities")
        solution = integrate(lambda _, y: np.stack([y[1], self.acceleration(*y)]), start, times, rtol, atol)
        return solution[:, 0], solution[:, 1]


@dataclass(frozen=True, eq=False)
class MomentumFlow:
    """``F w' = -(p + B g)``, ``p' = -a p + g``: the limit of Algorithm 1, its correction of order h, and the iteration.

    Parameters
    ----------
    landscape : landscape
        With ``gradient`` and ``hessian_times``.
    metric : metric
    friction : float
        a >= 0.
    damping : float or array_like, shape (d, d)
        B; a matrix for LITE.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    landscape: object
    metric: object
    friction: float
    damping: float | np.ndarray = 0.0

    def __post_init__(self):
        offering(self.landscape, "landscape", "gradient", "hessian_times")
        offering(self.metric, "metric", "dimension", "matrix")
        keep(self, "friction", not_negative(finite(self.friction, "friction"), "friction"))
        damping = numbers(self.damping, "damping")
        d = self.metric.dimension
        if damping.shape not in ((), (d, d)) or not np.isfinite(damping).all():
            raise ValueError(f"damping is {shown(self.damping)}; it must be a finite number or a matrix ({d}, {d})")
        keep(self, "damping", damping)

    def damped(self, v):
        """``B v``, shape (..., d)."""
        return v @ self.damping.T if self.damping.ndim else self.damping * v

    def field(self, w, p):
        """``(w', p')`` at position w and momentum p, shapes (..., d)."""
        gradient = self.landscape.gradient(w)
        return -_solve(self.metric.matrix(w), p + self.damped(gradient)), gradient - self.friction * p

    def modified_field(self, w, p, h):
        """The field that the iteration with step h follows to second order."""
        gradient, matrix = self.landscape.gradient(w), self.metric.matrix(w)
        u, q = -_solve(matrix, p + self.damped(gradient)), gradient - self.friction * p
        push = self.landscape.hessian_times(w, u)
        turn = np.einsum("...kij,...k,...j->...i", self.metric.derivative(w), u, u)
        return (u + 0.5 * h * _solve(matrix, q + self.damped(push) + turn),
                q + 0.5 * h * (push + self.friction * q))

    def path(self, w, times, momentum=0.0, step=0.0, rtol=RTOL, atol=ATOL):
        """Solve from position w and the given momentum at ``times[0]``.

        Parameters
        ----------
        w : array_like, shape (..., d)
        times : array_like, shape (n,)
        momentum : array_like, shape (..., d) or 0
            p at the start; ``h g(w_0)`` goes with the modified field.
        step : float
            h >= 0 of the modified field; 0 for the limit.

        Returns
        -------
        positions, momenta : ndarray, shape (n, ..., d)
        """
        step = not_negative(finite(step, "step"), "step")
        p = numbers(momentum, "momenta")
        start = _state(self.metric, w, p if p.ndim else np.full(self.metric.dimension, p), "momenta")
        field = self.field if step == 0 else lambda w, p: self.modified_field(w, p, step)
        solution = integrate(lambda _, y: np.stack(field(*y)), start, times, rtol, atol)
        return solution[:, 0], solution[:, 1]

    def iterate(self, w, step, count):
        """Algorithm 1 with ``eta = h^2``, ``alpha = a h``, ``beta = B/h`` and an empty buffer before the first step.

        Parameters
        ----------
        w : array_like, shape (..., d)
        step : float
            h > 0 with ``0 < a h <= 1``; in a constant metric also stable, see :mod:`.stable_steps`.
        count : int
            Number of steps, >= 0.

        Returns
        -------
        positions, shape (count + 1, ..., d), and momenta ``p_k = h m_k``, shape (count, ..., d)

        Raises
        ------
        ValueError
            For a step outside its range or beyond the stability limit, which is named, friction 0, which leaves alpha
            outside (0, 1], and where the iteration overflows.
        """
        step, count = positive(finite(step, "step"), "step"), integer(count, "count", 0)
        require(self.friction > 0, self.friction, "friction", "it must be > 0, for alpha = friction x step")
        if step * self.friction > 1:
            raise ValueError(f"step is {step:g}; it must be at most {1 / self.friction:g} = 1/friction, for alpha <= 1")
        stable_steps.momentum_step(self, step)
        w = points(w, self.metric.dimension)
        p, positions, momenta = np.zeros_like(w), [w], []
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(count):
                gradient = self.landscape.gradient(w)
                p = (1.0 - self.friction * step) * p + step * gradient
                w = w - step * _solve(self.metric.matrix(w), p + self.damped(gradient))
                stable_steps.divergence(w, k + 1, "step", step)
                positions.append(w)
                momenta.append(p)
        return np.array(positions), np.array(momenta)


def lite_damping(projector, sharp, flat):
    """``B = B_1 (I - Q) + B_2 Q``.

    Parameters
    ----------
    projector : array_like, shape (d, d)
        Q on the flat directions.
    sharp, flat : float
        ``B_1``, ``B_2``, with ``B_2 >= B_1`` as Algorithm 1 has it.

    Raises
    ------
    ValueError
        For ``B_2 < B_1``, or what is no orthogonal projector.
    """
    q, sharp, flat = orthogonal_projector(projector), finite(sharp, "sharp"), finite(flat, "flat")
    if flat < sharp:
        raise ValueError(f"flat is {flat:g}; it must be >= {sharp:g}, the damping on sharp directions")
    return sharp * (np.eye(len(q)) - q) + flat * q


def overdamped_path(landscape, metric, friction, damping, w, times, force=None):
    """``F w' = -((1 + alpha beta)/alpha) g``: the limit of Algorithm 1 for fixed alpha, beta and small learning rates.

    Parameters
    ----------
    friction : float
        alpha in (0, 1] of Algorithm 1.
    damping : float
        beta.
    w : array_like, shape (..., d)
    times : array_like, shape (n,)
        ``t = k eta``.
    force : float, optional
        In place of ``(1 + alpha beta)/alpha``.

    Returns
    -------
    ndarray, shape (n, ..., d)

    Raises
    ------
    ValueError
        For alpha outside (0, 1].
    """
    friction = finite(friction, "friction")
    require(0 < friction <= 1, friction, "friction", "it must be in (0, 1]")
    w = points(w, metric.dimension)
    speed = (1.0 + friction * finite(damping, "damping")) / friction if force is None else finite(force, "force")
    return integrate(lambda _, w: -speed * _solve(metric.matrix(w), landscape.gradient(w)), w, times)


def first_order_path(flow, w, v, times):
    """The Euclidean flow without its Hessian: ``x' = p - beta g``, ``p' = -alpha p - (gamma - alpha beta) g``.

    Equivalent to :class:`InertialFlow` in a constant metric F, where g stands for ``F^{-1} g`` (Alvarez, Attouch, Bolte
    and Redont 2002, for F = I).

    Parameters
    ----------
    flow : InertialFlow
        Its connection plays no part.
    w, v : array_like, shape (..., d)
        Position and velocity at ``times[0]``.

    Returns
    -------
    ndarray, shape (n, ..., d)
    """
    w, v = _state(flow.metric, w, v, "velocities")

    def slope(x):
        return _solve(flow.metric.matrix(x), flow.landscape.gradient(x))

    def field(_, y):
        x, p = y
        pull = slope(x)
        return np.stack([p - flow.damping * pull,
                         -flow.friction * p - (flow.force - flow.friction * flow.damping) * pull])

    return integrate(field, np.stack([w, v + flow.damping * slope(w)]), times)[:, 0]


def _state(metric, w, other, label):
    """Positions and velocities or momenta, finite and of one shape."""
    return np.stack(np.broadcast_arrays(points(w, metric.dimension), points(other, metric.dimension, label)))


def _times(matrix, v):
    return np.einsum("...ij,...j->...i", matrix, v)


def _solve(matrix, v):
    return np.linalg.solve(matrix, v[..., None])[..., 0]
