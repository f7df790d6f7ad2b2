r"""The differential equations that optimizers follow as their step tends to 0, one for each scaling.

For ``w_{k+1} = w_k - eta [F_k^{-1}(m_k + beta g_k) + lambda w_k]`` and t = k h (:mod:`.optimizers` has the scalings):

    friction     w' = -F^{-1} (p + B g) - h lambda w ,   p' = -a p + g     p = h m, a = alpha/h, B = h beta
    adaptive     w' = -F^{-1} (m + beta g) - lambda w ,  m' = a (g - m)    a = alpha/h
    overdamped   w' = -F^{-1} (1/alpha + beta) g - lambda w      (an average: 1 + beta), F of the resting averages

with ``v' = b (target - v)``, ``b = (1-b2)/h``, for the averages that F is made of.  Nesterov's own damping is of
order h in these units and has no place in the limit.  With bias correction the averages are over the time there was,

    m' = a (g - m)/(1 - e^{-a t}),     v' = b (g^2 - v)/(1 - e^{-b t}),     m(0) = g(0), v(0) = g(0)^2,

regular at t = 0 as a limit only; it is integrated from :data:`ORIGIN` on.  Where F is not smooth (a sign at 0, a polar
factor at loss of rank) these are the equations up to the first such time, beyond which the limit is a differential
inclusion.  Global error: O(h) for each (derived; measured in the claims on orders).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .integration import ATOL, RTOL, integrate

ORIGIN = 1e-9
"""Where a bias-corrected flow starts: its buffers there differ from those at 0 by about as much."""
EVALUATIONS = 300_000
"""Of the right-hand side, after which an integration is given up: one that slides along a kink would never end."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The flow of an optimizer (made by its method ``flow``).

    Attributes
    ----------
    optimizer : Optimizer or Lite
    gradient : callable
        Of w.
    scaling : {"friction", "adaptive", "overdamped"}
    curvature : callable or None
        What the metric rule needs, of w.
    """

    optimizer: object
    gradient: object
    scaling: str
    curvature: object = None

    @property
    def time_step(self) -> float:
        """h: the time that one step of the optimizer takes."""
        return time_step(self.optimizer, self.scaling)

    @cached_property
    def limit(self):
        """The optimizer with damping and decay as they are in the limit, in units of the flow."""
        h = self.time_step if self.scaling == "friction" else 1.0
        return self.optimizer.limit(h, self.scaling)

    def start(self, parameters):
        """Initial (w, m, averages...) as the optimizer's own start has them."""
        w = np.array(parameters, dtype=float)
        g = self.gradient(w)
        averages = self.optimizer.rule.begin(g, self._curvature(w))
        if self.scaling == "overdamped":
            return (w,)
        m = g if self._momentum.correction or self._momentum.alpha == 1.0 else np.zeros_like(w)
        return (w, m, *(() if self.optimizer.rule.slaved else averages))

    def derivative(self, time, variables):
        """Right-hand side: the derivatives of (w, m, averages...)."""
        w, g = variables[0], self.gradient(variables[0])
        rule, momentum, h = self.optimizer.rule, self._momentum, self.time_step
        curvature = self._curvature(w)
        if self.scaling == "overdamped":
            m = g if momentum.averaged or momentum.alpha == 1.0 else g / momentum.alpha
            return (-self.limit.velocity(rule.rest(g, curvature), m, g, w),)
        m, averages = variables[1], variables[2:]
        if momentum.alpha == 1.0:
            m = g
        if rule.slaved:
            averages = rule.rest(g, curvature)
        velocity = -self.limit.velocity(averages, m, g, w)
        rate = momentum.alpha / h
        if momentum.alpha == 1.0:
            push = np.zeros_like(w)
        elif self.scaling == "friction":
            push = g - rate * m
        else:
            push = rate * (g - m) * _filled(rate * time, momentum.correction)
        if rule.slaved:
            return velocity, push
        b = rule.memory / h
        b *= _filled(b * time, rule.correction)
        return (velocity, push, *(b * drift for drift in rule.drift(averages, g, curvature)))

    def solve(self, parameters, times, rtol=RTOL, atol=ATOL):
        """The parameters at given times, shape (len(times), ...).

        Parameters
        ----------
        parameters : array_like
            At time 0.
        times : array_like
            Increasing, >= 0.
        rtol, atol : float
            Of :func:`.integration.integrate`.

        Raises
        ------
        ValueError
            If the times are not such.
        ArithmeticError
            If the integration breaks down.
        """
        times = np.atleast_1d(np.asarray(times, dtype=float))
        if times.ndim != 1 or not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) > 0).all()):
            raise ValueError("times do not increase from a start >= 0; they must")
        start = self.start(parameters)
        shapes = [np.shape(part) for part in start]
        ends = np.cumsum([math.prod(shape) for shape in shapes])

        def unpacked(y):
            return tuple(part.reshape(shape) for part, shape in zip(np.split(y, ends[:-1]), shapes))

        def right(time, y):
            return np.concatenate([np.ravel(part) for part in self.derivative(time, unpacked(y))])

        origin = ORIGIN if self._corrected else 0.0
        grid = np.maximum(times, origin)
        marks = np.unique(np.append(grid, origin))
        try:
            path = integrate(right, np.concatenate([np.ravel(part) for part in start]), marks, rtol, atol, EVALUATIONS,
                             f"the flow of {self.optimizer.name}")
        except ValueError as error:
            raise ArithmeticError(str(error)) from None
        return path[np.searchsorted(marks, grid), :ends[0]].reshape(len(times), *shapes[0])

    @property
    def _momentum(self):
        return self.optimizer.momentum

    @property
    def _corrected(self):
        return self.scaling != "overdamped" and (self._momentum.correction or self.optimizer.rule.correction)

    def _curvature(self, w):
        return None if self.curvature is None else self.curvature(w)


def iterates(optimizer, gradient, parameters, steps, curvature=None):
    """The path of an optimizer with exact gradients, w_0 ... w_K, shape (steps + 1, ...).

    Parameters
    ----------
    optimizer : Optimizer or Lite
    gradient : callable
        Of w.
    parameters : array_like
        w_0.
    steps : int
        K >= 0.
    curvature : callable, optional
        What the metric rule needs, of w.

    Raises
    ------
    ArithmeticError
        If it diverges, with the step at which it does.
    """
    w = np.array(parameters, dtype=float)
    state = optimizer.start(w, gradient(w), None if curvature is None else curvature(w))
    path = np.empty((steps + 1, *w.shape))
    path[0] = w
    for k in range(steps):
        w = state.parameters
        state = optimizer.step(state, gradient(w), None if curvature is None else curvature(w))
        path[k + 1] = state.parameters
        if not np.isfinite(path[k + 1]).all():
            raise ArithmeticError(f"{optimizer.name} diverges at step {k + 1} with rate {optimizer.rate:g}")
    return path


def global_errors(optimizer, scaling, flow, parameters, time, halvings, own=None):
    """Largest distance from a flow over ``0 < t <= time``, for steps halved again and again in one scaling.

    Parameters
    ----------
    optimizer : Optimizer or Lite
        With the largest step h; time must be a whole number of these, to rounding.
    scaling : {"friction", "adaptive", "overdamped"}
        How its parameters go with h.
    flow : Flow or nonsmooth.SignFlow
        Its own or another.
    parameters : array_like
        w_0.
    time : float
        > 0.
    halvings : int
        >= 0.
    own : Flow, optional
        Whose gradient and curvature the iterates see, if not those of `flow`.

    Returns
    -------
    steps, errors : ndarray, shape (halvings + 1,)
        h and the distance in the maximum norm.
    """
    methods = [optimizer.refined(2.0**count, scaling) for count in range(halvings + 1)]
    steps = np.array([time_step(each, scaling) for each in methods])
    counts = np.round(time / steps).astype(int)
    reference = flow.solve(parameters, steps[-1] * np.arange(1, counts[-1] + 1))
    own = flow if own is None else own
    errors = [np.abs(iterates(each, own.gradient, parameters, count, own.curvature)[1:]
                     - reference[counts[-1] // count - 1::counts[-1] // count]).max()
              for each, count in zip(methods, counts)]
    return steps, np.array(errors)


def time_step(optimizer, scaling) -> float:
    """h: ``sqrt(eta)`` with "friction", else eta."""
    return math.sqrt(optimizer.rate) if scaling == "friction" else optimizer.rate


def _filled(elapsed, correction):
    """``1/(1 - e^{-elapsed})`` with bias correction, else 1."""
    return -1.0 / math.expm1(-elapsed) if correction else 1.0
