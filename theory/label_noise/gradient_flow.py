r"""Gradient flow of a two-layer linear network: closed in the state K, a Lorentz transformation, exact in one
dimension.

Without noise and for small steps, ``k`` steps of size h are the time ``t = h k`` of the flow (arXiv 2603.10397, Sec.
4; solutions derived)

    W' = a e',   a' = W e,   e = Sigma (theta* - theta),        Z_i(t) = Phi(t) Z_i(0),   Phi' = B_e Phi,

in the notation of :mod:`.network`.  ``B_e J + J B_e = 0`` for ``J = diag(1, ..., 1, -1)``, so that ``Phi' J Phi = J``:
Phi is a Lorentz transformation, which is to say that the imbalance ``D = W W' - a a'`` (m, m) never changes.  (The
d x d matrix W'W does.)  ``theta' = M e`` with ``M = G + alpha I``; as long as the kernel M stands still,
``theta - theta* = exp(-M Sigma t)(theta(0) - theta*)``, the lazy approximation.

One dimension, any width and any imbalance (derived).  ``p_i = w_i + a_i`` grows by ``sqrt(z)`` and ``q_i = w_i - a_i``
shrinks by it, with

    z' = 2 theta* z - (P z^2 - Q)/2,  z(0) = 1,    P = sum p_i(0)^2,  Q = sum q_i(0)^2,

a Riccati equation, and ``theta = (P z - Q/z)/4``.  For balanced neurons (Q = 0) it is the logistic curve
``theta = theta*/(1 + (theta*/theta(0) - 1) e^{-2 theta* t})`` of Saxe, McClelland and Ganguli (ICLR 2014).  The same
holds in any dimension while all ``w_i`` are parallel to theta*.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import integrate, linalg

from ..arguments import number, numbers
from .reduction import generator

TOLERANCE = 1e-11
"""Relative tolerance of the integrator."""
PATIENCE = 24
"""Doublings of the time after which a limit is given up."""


@dataclass(frozen=True, eq=False)
class Path:
    """A path of the state and of the map that carries every neuron along it.

    Attributes
    ----------
    times : ndarray, shape (T,)
        Of the flow (gradient flow), or numbers of steps (slow flow).
    states : ndarray, shape (T, d + 1, d + 1)
        K.
    maps : ndarray, shape (T, d + 1, d + 1)
        Phi, ``Z_i(t) = Phi Z_i(0)``.
    """

    times: np.ndarray
    states: np.ndarray
    maps: np.ndarray

    @property
    def output(self) -> np.ndarray:
        """``theta``, shape (T, d)."""
        return self.states[:, :-1, -1]

    @property
    def alpha(self) -> np.ndarray:
        """``||a||^2``, shape (T,)."""
        return self.states[:, -1, -1]

    @property
    def first_norm(self) -> np.ndarray:
        """``||W||^2``, shape (T,)."""
        return np.trace(self.states[:, :-1, :-1], axis1=1, axis2=2)

    def neurons(self, first, second):
        """Neurons that started as ``first`` (m, d) and ``second`` (m,): ``(w_i, a_i)``, shape (T, m, d + 1)."""
        start = np.column_stack([numbers(first, "entries of W"), numbers(second, "entries of a")])
        return start @ np.swapaxes(self.maps, 1, 2)


def path(state, times, target, covariance=None):
    """Integrate the flow of the state.

    Parameters
    ----------
    state : array_like, shape (d + 1, d + 1)
        ``K(0)``, of :func:`~theorycheck.theory.label_noise.reduction.gram`.
    times : array_like, shape (T,)
        Increasing, >= 0.
    target : array_like, shape (d,)
        ``theta*``.
    covariance : array_like, shape (d, d), optional
        ``Sigma``; default I.

    Returns
    -------
    Path
        To a relative accuracy of about 1e-10.

    Raises
    ------
    ValueError
        For shapes that do not fit or times that decrease.
    """
    state, target, covariance = checked(state, target, covariance)
    times = increasing(times, "times")
    size = len(state)

    def slope(_, flat):
        phi = flat.reshape(size, size)
        theta = phi[:-1] @ (state @ phi[-1])
        return (generator(covariance @ (target - theta)) @ phi).ravel()

    maps = integrated(slope, np.eye(size), times, TOLERANCE)
    return Path(times, maps @ state @ np.swapaxes(maps, 1, 2), maps)


def limit(state, target, covariance=None, tolerance=1e-12):
    """Where the flow ends: an interpolator, ``Sigma (theta* - theta) = 0``.

    Parameters
    ----------
    state, target, covariance
        As in :func:`path`.
    tolerance : float
        ``||e||`` falls to this times its scale ``||Sigma|| ||theta*||`` (or the start's, if larger), or to rounding.

    Returns
    -------
    state, map : ndarray, shape (d + 1, d + 1)
        K and Phi at the end.

    Raises
    ------
    ValueError
        If the flow stands still elsewhere (at the origin, say) or does not arrive.
    """
    state, target, covariance = checked(state, target, covariance)
    scale = np.linalg.norm(covariance) * max(np.linalg.norm(target), np.linalg.norm(state[:-1, -1]))
    phi, now = np.eye(len(state)), state
    if scale == 0.0:
        return now, phi
    goal = tolerance * scale + 1e-14 * np.linalg.norm(covariance) * np.trace(state)
    span = 4.0 / max(np.trace(now) * np.linalg.norm(covariance, 2), 1e-300)
    for _ in range(PATIENCE if np.trace(state) > 0 else 0):
        if np.linalg.norm(covariance @ (target - now[:-1, -1])) <= goal:
            return now, phi
        piece = path(now, [span], target, covariance)
        phi = piece.maps[-1] @ phi
        now = phi @ state @ phi.T
        span *= 2.0
    raise ValueError("the gradient flow does not reach an interpolator from this state; start with a kernel above 0")


def lazy(state, times, target, covariance=None):
    """``theta`` while the kernel stands still: ``theta* + exp(-M(0) Sigma t)(theta(0) - theta*)``, shape (T, d)."""
    state, target, covariance = checked(state, target, covariance)
    m = state[:-1, :-1] + state[-1, -1] * np.eye(target.size)
    gap = state[:-1, -1] - target
    return np.array([target + linalg.expm(-t * m @ covariance) @ gap for t in increasing(times, "times")])


def one_dimension(times, first, second, target):
    """Neurons of a network with one input, exactly.

    Parameters
    ----------
    times : array_like, shape (T,)
        >= 0.
    first, second : array_like, shape (m,)
        ``w_i`` and ``a_i`` at the start.
    target : float
        ``theta*``, of either sign.

    Returns
    -------
    first, second : ndarray, shape (T, m)

    Raises
    ------
    ValueError
        For shapes that do not fit.
    """
    first, second = numbers(first, "entries of W"), numbers(second, "entries of a")
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise ValueError(f"first layer {first.shape} and second layer {second.shape} must have the shape (m,)")
    times, target = increasing(times, "times"), number(target, "target")
    p, q = first + second, first - second
    root = np.sqrt(growth(times, p @ p, q @ q, target))[:, None]
    return 0.5 * (p * root + q / root), 0.5 * (p * root - q / root)


def growth(times, plus, minus, target):
    """``z(t)`` of the Riccati equation ``z' = 2 theta* z - (P z^2 - Q)/2``, ``z(0) = 1``; P and Q >= 0.

    With ``D = sqrt(4 theta*^2 + P Q)`` and ``T = tanh(D t/2)/D`` the solution is
    ``z = (1 + T (2 theta* + Q)) / (1 + T (P - 2 theta*))``, free of cancellation at D = 0.
    """
    times = numbers(times, "times")
    for name, value in (("P", plus), ("Q", minus)):
        if not 0 <= number(value, name) < math.inf:
            raise ValueError(f"{name} is {value}; it must be in [0, inf)")
    if not math.isfinite(number(target, "target")):
        raise ValueError(f"target is {target}; it must be finite")
    spread = math.hypot(2.0 * target, math.sqrt(plus * minus))
    spread = spread if spread > 1e-100 else 0.0   # over any time in floating point the same, without underflow
    reach = np.tanh(0.5 * spread * times) / spread if spread > 0 else 0.5 * times
    # 1 - 2 |theta*| T may fall to e^{-D t}, which a difference of two numbers near 1 would lose.
    small = np.ones_like(times)
    if spread > 0:
        fading = 2.0 / (1.0 + np.exp(np.minimum(spread * times, 700.0)))
        small = plus * minus / (spread * (spread + 2.0 * abs(target))) + 2.0 * abs(target) / spread * fading
    above = small if target < 0 else 1.0 + 2.0 * target * reach
    below = small if target > 0 else 1.0 - 2.0 * target * reach
    return (above + reach * minus) / (below + reach * plus)


def checked(state, target, covariance):
    """Arrays of the right shapes, ``Sigma`` I by default; ValueError otherwise."""
    state, target = numbers(state, "entries of the state"), numbers(target, "entries of the target")
    if target.ndim != 1 or not target.size:
        raise ValueError(f"target has shape {target.shape}; it must be (d,)")
    d = target.size
    covariance = np.eye(d) if covariance is None else numbers(covariance, "entries of the covariance")
    if state.shape != (d + 1, d + 1) or covariance.shape != (d, d):
        raise ValueError(f"state {state.shape} and covariance {covariance.shape} must have shapes "
                         f"({d + 1}, {d + 1}) and ({d}, {d})")
    if not all(np.isfinite(array).all() for array in (state, target, covariance)):
        raise ValueError("state, target or covariance has an entry that is not finite; all must be")
    return state, target, covariance


def increasing(times, name):
    """A vector of times that do not decrease, from 0 on; ValueError otherwise."""
    times = np.atleast_1d(numbers(times, name))
    if times.ndim != 1 or not times.size or not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) < 0).any():
        raise ValueError(f"{name} are {np.array2string(times, threshold=6, max_line_width=200)}; they must be finite, "
                         ">= 0 and increase")
    return times


def integrated(slope, start, times, tolerance):
    """Solve ``y' = slope(t, y)`` for an array y from time 0; y at the times, shape (T, ...)."""
    if times[-1] == 0.0:
        return np.broadcast_to(start, (times.size, *start.shape)).copy()
    scale = float(np.abs(start).max())

    def checked_slope(t, y):
        found = slope(t, y)
        if not np.isfinite(found).all():   # the integrator would shorten its step for ever
            raise ValueError(f"the flow leaves the finite numbers at t = {t:g}")
        return found

    wanted, back = np.unique(times, return_inverse=True)
    tolerance = max(tolerance / np.sqrt(start.size), 3e-14)   # the integrator's norm is a mean over the entries
    done = integrate.solve_ivp(checked_slope, (0.0, times[-1]), start.ravel(), method="DOP853", t_eval=wanted,
                               rtol=tolerance, atol=1e-3 * tolerance * scale)
    if not done.success:
        raise ValueError(f"the integration stopped at t = {done.t[-1] if done.t.size else 0.0:g}: {done.message}")
    return done.y.T.reshape(-1, *start.shape)[back]
