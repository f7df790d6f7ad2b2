r"""High-resolution differential equations of momentum methods, which tell Nesterov's method from the heavy ball.

On f with strong convexity mu, with step size s and ``theta = (1 - sqrt(mu s))/(1 + sqrt(mu s))`` the two methods are

    NAG-SC:  y_{k+1} = x_k - s g(x_k),   x_{k+1} = y_{k+1} + theta (y_{k+1} - y_k)
    HB:      x_{k+1} = x_k + theta (x_k - x_{k-1}) - s g(x_k)

both with first step ``x_1 = x_0 - 2 s g(x_0)/(1 + sqrt(mu s))``.  As ``s -> 0`` at ``t = k sqrt(s)`` both tend to
``X'' + 2 sqrt(mu) X' + g = 0``, X'(0) = 0.  Keeping terms of order sqrt(s) (Shi, Du, Jordan and Su, arXiv 1810.08907)

    NAG-SC:  X'' + 2 sqrt(mu) X' + sqrt(s) H X' + (1 + sqrt(mu s)) g = 0
    HB:      X'' + 2 sqrt(mu) X'                + (1 + sqrt(mu s)) g = 0

with ``X'(0) = (x_1 - x_0)/sqrt(s)``.  That quotient is the velocity half a step later; the equations follow the
iterates to second order in sqrt(s) only if they start with (derived)

    X'(0) = (x_1 - x_0)/sqrt(s) + (sqrt(s)/2) g(x_0) .

For convex f (NAG-C, ``theta_k = k/(k+3)``) the equations have vanishing friction, at ``t_k = (k + 3/2) sqrt(s)``,

    X'' + (3/t) X' + sqrt(s) H X' + (1 + 3 sqrt(s)/(2 t)) g = 0,    X(3 sqrt(s)/2) = x_0,  X' = -sqrt(s) g(x_0) .

On a mode of curvature lambda, the recursion with ``alpha = a h``, ``beta = B/h``, ``eta = h^2`` has exactly the
solutions of ``X'' + A X' + P X = 0`` at ``t = k h``, where A and P are minus the sum and the product of the logarithms
of its roots over h and h^2; for small h (derived)

    A = a + B lambda + (h/2) (a^2 + B^2 lambda^2) + O(h^2),   P = (1 + a B) lambda (1 + (h/2) (a + B lambda)) + O(h^2) .
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import numbers, shown
from . import stable_steps
from .integration import ATOL, EVALUATIONS, RTOL, integrate
from .metrics import euclidean
from .ranges import finite, integer, keep, not_negative, points, positive, require
from .rishd import InertialFlow

METHODS = ("nesterov", "heavy ball")


def momentum(convexity, step_size):
    """``theta = (1 - sqrt(mu s))/(1 + sqrt(mu s))``; mu >= 0, s > 0, and ``mu s < 1``."""
    root = _root(convexity, step_size)
    return (1.0 - root) / (1.0 + root)


def iterates(method, landscape, w, convexity, step_size, count):
    """NAG-SC or the heavy ball.

    Parameters
    ----------
    method : {"nesterov", "heavy ball"}
    landscape : landscape
    w : array_like, shape (..., d)
        x_0.
    convexity, step_size : float
        mu and s; see :func:`momentum`.
    count : int
        Number of steps, >= 0.

    Returns
    -------
    ndarray, shape (count + 1, ..., d)

    Raises
    ------
    ValueError
        For an unknown method or parameters out of range, a step size beyond the stability limit, which is named (see
        :mod:`.stable_steps`), and where the iteration overflows.
    """
    nesterov, count = _known(method) == "nesterov", integer(count, "count", 0)
    theta, mu, s = momentum(convexity, step_size), _convexity(convexity), finite(step_size, "step_size")
    stable_steps.gradient_step(landscape, s, lambda s: (3.0 - math.sqrt(mu * s)) if nesterov else
                               (1.0 + math.sqrt(mu * s)))
    x = points(w, landscape.dimension)
    y, before, found = x, x, [x]
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(count):
            gradient = landscape.gradient(x)
            if nesterov:
                y, before = x - s * gradient, y
                x = y + theta * (y - before)
            else:
                push = (1.0 + theta) * s if k == 0 else s
                x, before = x + theta * (x - before) - push * gradient, x
            stable_steps.divergence(x, k + 1, "step_size", s)
            found.append(x)
    return np.array(found)


def convex_iterates(landscape, w, step_size, count):
    """NAG-C: ``theta_k = k/(k + 3)``; arguments and result as for :func:`iterates`."""
    s, count = positive(finite(step_size, "step_size"), "step_size"), integer(count, "count", 0)
    stable_steps.gradient_step(landscape, s, lambda s: 3.0)
    x = points(w, landscape.dimension)
    y, found = x, [x]
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(count):
            y, before = x - s * landscape.gradient(x), y
            x = y + k / (k + 3) * (y - before)
            stable_steps.divergence(x, k + 1, "step_size", s)
            found.append(x)
    return np.array(found)


def high_resolution_flow(method, landscape, convexity, step_size):
    """The high-resolution equation, an :class:`~.rishd.InertialFlow`; parameters as above."""
    root = _root(convexity, step_size)
    damping = math.sqrt(step_size) if _known(method) == "nesterov" else 0.0
    return InertialFlow(landscape, euclidean(landscape.dimension), 2.0 * math.sqrt(convexity), damping, 1.0 + root)


def low_resolution_flow(landscape, convexity):
    """``X'' + 2 sqrt(mu) X' + g = 0``, the same for both methods."""
    return InertialFlow(landscape, euclidean(landscape.dimension), 2.0 * math.sqrt(_convexity(convexity)))


def starting_velocity(landscape, w, convexity, step_size, corrected=True):
    """``(x_1 - x_0)/sqrt(s)``, with `corrected` carried back by half a step: ``+ (sqrt(s)/2) g(x_0)``."""
    gradient, h = landscape.gradient(w), math.sqrt(positive(finite(step_size, "step_size"), "step_size"))
    return -2.0 * h * gradient / (1.0 + _root(convexity, step_size)) + (0.5 * h * gradient if corrected else 0.0)


@dataclass(frozen=True, eq=False)
class VanishingFlow:
    """``X'' + (alpha/t) X' + beta H X' + (1 + c/t) g = 0`` for t > 0.

    ``c = 0``: Attouch, Peypouquet and Redont (arXiv 1601.07113).  ``alpha = 3``, ``beta = sqrt(s)`` and
    ``c = 3 sqrt(s)/2``: the high-resolution equation of NAG-C; ``beta = c = 0``: its low-resolution one.

    Parameters
    ----------
    landscape : landscape
    friction, damping, force : float
        alpha >= 0, beta >= 0, c >= 0.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    landscape: object
    friction: float = 3.0
    damping: float = 0.0
    force: float = 0.0

    def __post_init__(self):
        for label in ("friction", "damping", "force"):
            keep(self, label, not_negative(finite(getattr(self, label), label), label))

    def path(self, w, v, times, rtol=RTOL, atol=ATOL, evaluations=EVALUATIONS):
        """Positions and velocities, each (n, ..., d), from those at ``times[0] > 0``; see :func:`.integrate`."""
        positive(float(np.atleast_1d(numbers(times, "times")).flat[0]), "the first time")

        def field(t, y):
            x, v = y
            pull = self.damping * self.landscape.hessian_times(x, v) if self.damping else 0.0
            return np.stack([v, -self.friction / t * v - pull - (1.0 + self.force / t) * self.landscape.gradient(x)])

        start = np.stack(np.broadcast_arrays(numbers(w, "parameters"), numbers(v, "velocities")))
        solution = integrate(field, start, times, rtol, atol, evaluations)
        return solution[:, 0], solution[:, 1]


def convex_flow(landscape, step_size, high=True):
    """The equation of NAG-C, of high or low resolution."""
    h = math.sqrt(positive(finite(step_size, "step_size"), "step_size"))
    return VanishingFlow(landscape, 3.0, h, 1.5 * h) if high else VanishingFlow(landscape, 3.0)


def modal_coefficients(curvature, friction, damping, step):
    """``A`` and ``P`` of the equation that has exactly the solutions of the recursion on one mode.

    Parameters
    ----------
    curvature : array_like
        lambda.
    friction, damping, step : float or array_like
        a >= 0, B, h > 0; they broadcast.  Small enough that ``a h <= 1`` and the roots are not negative.

    Returns
    -------
    A, P : ndarray

    Raises
    ------
    ValueError
        For parameters outside these ranges, and where a root is real and not positive: then no equation without memory
        has these solutions.
    """
    curvature, a, b, h = np.broadcast_arrays(*_modal(curvature, friction, damping, step))
    require(h > 0, h, "step", "it must be > 0")
    require(a * h <= 1, h, "step", f"it must be at most {1.0 / max(float(a.max()), 1e-300):g} = 1/friction")
    roots = _shifted_roots(curvature, a, b, h)
    wrong = _not_positive(roots)
    if wrong.any():
        mode = [float(x[wrong].flat[0]) for x in (curvature, a, b, h)]
        limit = stable_steps.edge(lambda h: not _not_positive(_shifted_roots(*mode[:3], h)).any(), mode[3])
        raise ValueError(f"step is {mode[3]:g}; it must be < {limit:.6g}, above which a root is not positive")
    logs = np.log1p(roots) / h
    return -np.log((1.0 - a * h) * (1.0 - h * curvature * b)) / h, (logs[0] * logs[1]).real


def _shifted_roots(curvature, a, b, h):
    """The two y of ``z = 1 + y``, ``y^2 + total y + h^2 lambda (1 + a B) = 0``."""
    total = a * h + h * curvature * b + h * h * curvature   # alpha = a h, s beta = h B lambda
    product = h * h * curvature * (1.0 + a * b)
    split = np.sqrt(np.asarray(total**2 - 4.0 * product, complex))
    return -0.5 * np.stack([total + split, total - split])


def _not_positive(roots):
    return (np.isreal(roots) & (roots.real <= -1.0)).any(axis=0)


def modal_expansion(curvature, friction, damping, step, order=1):
    """``A`` and ``P`` to order h^0 or h^1; parameters as in :func:`modal_coefficients`."""
    if order not in (0, 1):
        raise ValueError(f"order is {shown(order)}; it must be 0 or 1")
    curvature, friction, damping, step = _modal(curvature, friction, damping, step)
    half, strength = 0.5 * order * step, damping * curvature
    return (friction + strength + half * (np.square(friction) + strength**2),
            (1.0 + friction * damping) * curvature * (1.0 + half * (friction + strength)))


def _modal(curvature, friction, damping, step):
    """The four as arrays: finite, friction and step >= 0."""
    found = [numbers(curvature, "curvatures"), numbers(friction, "frictions"), numbers(damping, "dampings"),
             numbers(step, "steps")]
    for values, label in zip(found, ("curvature", "friction", "damping", "step"), strict=True):
        require(np.isfinite(values), values, label, "it must be finite")
    not_negative(found[1], "friction")
    not_negative(found[3], "step")
    return found


def _known(method):
    if method not in METHODS:
        raise ValueError(f"method is {shown(method)}; it must be one of {', '.join(METHODS)}")
    return method


def _convexity(convexity):
    return not_negative(finite(convexity, "convexity"), "convexity")


def _root(convexity, step_size):
    product = _convexity(convexity) * positive(finite(step_size, "step_size"), "step_size")
    if not product < 1.0:
        raise ValueError(f"convexity x step_size is {product:g}; it must be < 1")
    return math.sqrt(product)
