r"""Lyapunov functions of the flows: energies, and exactly how fast they are dissipated, on every smooth f.

Momentum flow ``F w' = -(p + B g)``, ``p' = -a p + g`` (derived; no convexity, any metric F(w)):

    V = f + p^T F^{-1} p/2,    V' = - g^T F^{-1} B g - a p^T F^{-1} p - p^T F^{-1} F' F^{-1} p/2

where the last term is absent if F is constant.  For LITE the damping of the flat directions dissipates
``chi B_2 |Q g|^2`` in the norm of the base's ``F^{-1}``.  If F is constant and ``g^T F^{-1} B g >= 2 b (f - f*)``, then
``V - f*`` decays at least like ``exp(-min(2 b, 2 a) t)``; on an isotropic quadratic with ``B lambda/F = a`` exactly so.

Levi-Civita flow (derived; any metric, alpha, beta, gamma):

    E = (gamma + alpha beta) f + |w' + beta grad f|_F^2/2,    E' = - alpha |w'|_F^2 - beta gamma |grad f|_F^2 .

Adam's flow ``w' = -m/F``, ``F = sqrt(v) + epsilon``, ``m' = a (g - m)``, ``v' = b (g^2 - v)`` (derived; the condition
that results is that of Barakat and Bianchi, arXiv 1810.02263, as we remember it):

    V = f + sum m^2/(2 a F),    V' = -sum (m^2/F) (1 + F'/(2 a F)),    F'/F >= -b/2

so that V never increases if ``b <= 4 a``.  The condition is sharp: where a parameter passes its minimum (g = 0, m != 0,
epsilon = 0) ``V'`` is ``b/2 - 2 a`` times the kinetic energy, the largest that it can be.  With bias correction
m and v stand for ``m/(1 - e^{-at})``, ``v/(1 - e^{-bt})``, which solve the same equations with rates
``a_t = a/(1 - e^{-at})`` and ``b_t``; the energy with ``a_t`` in place of a grows at most by
``b_t/2 - 2 a_t + a_t e^{-at}`` times the kinetic energy, which is negative at all times, again if ``b <= 4 a`` and only
then.  Without epsilon and from ``v = g^2`` the paths on a diagonal quadratic do not depend on its curvatures.

Vanishing friction, ``x'' + (alpha/t) x' + beta H x' + g = 0``, f convex, ``alpha >= 3``, ``t > beta`` (derived):

    U = t^2 (f - f*) + t/(2 (t - beta)) |(alpha - 1)(x - x*) + t (x' + beta g)|^2   does not increase,

hence ``f - f* <= U(t_0)/t^2``, and ``beta int t^2 |g|^2 dt <= U(t_0)`` (cf. Attouch, Peypouquet and Redont, arXiv
1601.07113).
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import numbers
from .integration import ATOL, RTOL, integrate
from .metrics import ConstantMetric
from .ranges import finite, keep, not_negative, offering, positive, require


def momentum_energy(flow, w, p):
    """``V = f + p^T F^{-1} p/2`` of a :class:`~theorycheck.theory.riemannian.rishd.MomentumFlow`, shape (...)."""
    return flow.landscape.value(w) + 0.5 * _form(np.linalg.inv(flow.metric.matrix(w)), p, p)


def momentum_dissipation(flow, w, p):
    """The three terms of ``-V'``, shape (..., 3): Hessian damping, friction, and the change of the metric."""
    gradient, inverse = flow.landscape.gradient(w), np.linalg.inv(flow.metric.matrix(w))
    velocity, _ = flow.field(w, p)
    change = np.einsum("...kij,...k->...ij", flow.metric.derivative(w), velocity)
    covered = np.einsum("...ij,...j->...i", inverse, p)
    return np.stack([_form(inverse, gradient, flow.damped(gradient)), flow.friction * _form(inverse, p, p),
                     0.5 * _form(change, covered, covered)], axis=-1)


def riemannian_energy(flow, w, v):
    """``E = (gamma + alpha beta) f + |w' + beta grad f|_F^2/2`` of a flow, shape (...)."""
    matrix = flow.metric.matrix(w)
    drift = v + flow.damping * np.linalg.solve(matrix, flow.landscape.gradient(w)[..., None])[..., 0]
    return (flow.force + flow.friction * flow.damping) * flow.landscape.value(w) + 0.5 * _form(matrix, drift, drift)


def riemannian_dissipation(flow, w, v):
    """The two terms of ``-E'`` on the Levi-Civita flow, shape (..., 2): friction and Hessian damping."""
    matrix, gradient = flow.metric.matrix(w), flow.landscape.gradient(w)
    return np.stack([flow.friction * _form(matrix, v, v),
                     flow.damping * flow.force * _form(np.linalg.inv(matrix), gradient, gradient)], axis=-1)


def balance(field, energy, dissipation, start, times, rtol=1e-12, atol=ATOL):
    """Energy along a solution and what its dissipation adds up to, integrated together with it.

    Parameters
    ----------
    field : callable
        ``field(*state)``, the derivatives of the arrays of the state.
    energy, dissipation : callable
        Of the state; a number, and an array of terms.
    start : tuple of array_like
        Arrays of one shape.
    times : array_like, shape (n,)

    Returns
    -------
    energies : ndarray, shape (n,)
    dissipated : ndarray, shape (n, terms)
        Zero at the first time; ``energies + dissipated.sum(axis=1)`` is constant if the dissipation is the true one.
    """
    state = np.stack(np.broadcast_arrays(*(numbers(part, "start values") for part in start)))
    terms = np.size(dissipation(*state))

    def joined(_, y):
        now = y[:state.size].reshape(state.shape)
        return np.concatenate([np.ravel(np.stack(field(*now))), np.ravel(dissipation(*now))])

    solution = integrate(joined, np.concatenate([state.ravel(), np.zeros(terms)]), times, rtol, atol)
    states = solution[:, :state.size].reshape(-1, *state.shape)
    return np.array([float(energy(*now)) for now in states]), solution[:, state.size:]


@dataclass(frozen=True, eq=False)
class AdamFlow:
    """Adam's flow with the coordinates as state: ``w' = -m/(sqrt(v) + eps)``, ``m' = a (g - m)``, ``v' = b (g^2 - v)``.

    Parameters
    ----------
    landscape : landscape
    first, second : float
        a > 0, b > 0.
    epsilon : float
        >= 0.
    corrected : bool
        With bias correction: m and v are the corrected moments, whose rates a_t and b_t fall from infinity to a and b.

    Raises
    ------
    ValueError
        For parameters outside these ranges.
    """

    landscape: object
    first: float
    second: float
    epsilon: float = 0.0
    corrected: bool = False

    def __post_init__(self):
        offering(self.landscape, "landscape", "gradient")
        for label in ("first", "second"):
            keep(self, label, positive(finite(getattr(self, label), label), label))
        keep(self, "epsilon", not_negative(finite(self.epsilon, "epsilon"), "epsilon"))

    def rates(self, time):
        """``(a_t, b_t)``, for time > 0, of any shape, with bias correction."""
        if not self.corrected:
            return self.first, self.second
        positive(time, "time")
        return self.first / -np.expm1(-self.first * time), self.second / -np.expm1(-self.second * time)

    def field(self, time, w, m, v):
        """``(w', m', v')``, each of the shape of w."""
        gradient, (a, b) = self.landscape.gradient(w), self.rates(time)
        return -m / self.metric(v), a * (gradient - m), b * (gradient**2 - v)

    def metric(self, v):
        """The diagonal of F, ``sqrt(v) + epsilon``."""
        return np.sqrt(np.maximum(v, 0.0)) + self.epsilon

    def kinetic(self, time, m, v):
        """``sum m^2/(2 a_t F)``, shape (...); the time broadcasts against it."""
        return np.sum(m**2 / self.metric(v), axis=-1) / (2.0 * self.rates(time)[0])

    def energy(self, time, w, m, v):
        """``V = f + sum m^2/(2 a_t F)``, shape (...)."""
        return self.landscape.value(w) + self.kinetic(time, m, v)

    def growth(self, time, w, m, v):
        """``V'``, shape (...), for v > 0."""
        a, b = self.rates(time)
        metric = self.metric(v)
        change = 0.5 * b * (self.landscape.gradient(w) ** 2 - v) / np.sqrt(v)
        lag = 0.5 * np.exp(-self.first * time) if self.corrected else 0.0
        return (lag - 1.0) * np.sum(m**2 / metric, axis=-1) - np.sum(m**2 * change / metric**2, axis=-1) / (2.0 * a)

    def path(self, w, times, m=None, v=None, rtol=RTOL, atol=1e-14):
        """Solve from w at ``times[0]``, with ``m = 0`` and ``v = g^2`` by default (corrected: ``m = g``).

        Returns
        -------
        ndarray, shape (n, 3, *w.shape)
            Of w, m and v.

        Raises
        ------
        ValueError
            For ``v < 0``, or ``v = 0`` without epsilon, where the metric is singular.
        """
        gradient = self.landscape.gradient(w)
        m = (gradient if self.corrected else 0.0 * gradient) if m is None else numbers(m, "first moments")
        v = gradient**2 if v is None else numbers(v, "second moments")
        if self.epsilon:
            not_negative(v, "v")
        else:
            require(v > 0, v, "v", "it must be > 0 where epsilon = 0, or the metric is singular; so must epsilon")
        start = np.stack(np.broadcast_arrays(numbers(w, "parameters"), m, v))
        return integrate(lambda t, y: np.stack(self.field(t, *y)), start, times, rtol, atol)


def adam_growth(first, second, time=math.inf, corrected=False):
    """The largest ``V'`` of Adam's flow over its kinetic energy: ``b/2 - 2a``, with bias correction a function of time.

    Parameters
    ----------
    first, second : array_like
        a, b > 0.
    time : array_like
        > 0.
    corrected : bool
        ``b_t/2 - 2 a_t + a_t e^{-at}``.

    Returns
    -------
    ndarray
        Positive exactly if V can increase.

    Raises
    ------
    ValueError
        For values that are not positive.
    """
    first, second = positive(numbers(first, "first"), "first"), positive(numbers(second, "second"), "second")
    time = positive(numbers(time, "time"), "time")
    if not corrected:
        return second / 2.0 - 2.0 * first
    a, b = first / -np.expm1(-first * time), second / -np.expm1(-second * time)
    return b / 2.0 - a * (2.0 - np.exp(-first * time))


def vanishing_energy(flow, time, x, v):
    """U of a :class:`~theorycheck.theory.riemannian.high_resolution.VanishingFlow` with ``c = 0``, shape (...).

    Raises
    ------
    ValueError
        For ``time <= beta``, a flow with ``c != 0``, or a landscape without a minimum.
    """
    time, best = numbers(time, "times"), flow.landscape.minimum
    if flow.force or best is None:
        raise ValueError("the flow must have force 0 and a landscape with a minimum")
    require(time > flow.damping, time, "time", f"it must be > {flow.damping:g}, the damping")
    reach = ((flow.friction - 1.0) * (x - best) + time[..., None] * (v + flow.damping * flow.landscape.gradient(x)))
    return (time**2 * (flow.landscape.value(x) - flow.landscape.value(best))
            + time / (2.0 * (time - flow.damping)) * np.sum(reach**2, axis=-1))


def decay_rate(flow, ratio):
    """``min(2 b, 2 a)``, at which ``V - f*`` of the momentum flow decays if ``g^T F^{-1} B g >= 2 b (f - f*)``.

    Parameters
    ----------
    flow : MomentumFlow
        In a constant metric.
    ratio : float
        b >= 0.

    Raises
    ------
    ValueError
        For b < 0, or another metric.
    """
    if not isinstance(flow.metric, ConstantMetric):
        raise ValueError(f"the metric is a {type(flow.metric).__name__}; it must be a ConstantMetric")
    return 2.0 * min(not_negative(finite(ratio, "ratio"), "ratio"), flow.friction)


def _form(matrix, u, v):
    return np.einsum("...i,...ij,...j->...", u, matrix, v)
