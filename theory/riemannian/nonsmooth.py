r"""Flows of signs and polar factors, beyond the kinks where the right-hand side jumps, in closed form.

Without momentum (derived).  ``W' = -msign(W)``, Muon on ``f = |W|_F^2/2``, keeps the singular vectors and takes every
singular value to 0 at unit speed,

    sigma_i(t) = max(sigma_i(0) - t, 0) ,

and on ``f = sum c_i w_i^2/2`` sign descent does so with ``|w_i|``: in finite time, whatever the curvature.  Steps of h
follow exactly up to the arrival; beyond it they alternate between r and h - r for the remainder ``r = |w_i(0)| mod h``,
so that the distance from the flow is ``max(r, h - r)``, between h/2 and h.

On ``f = w^T A w/2`` with A strictly diagonally dominant sign descent slides (Filippov's solution; derived): once a
``g_i`` reaches 0 it stays there, and w_i moves at the speed that keeps it there,

    v_N = -sign g_N ,    A_SS v_S = -A_SN v_N ,    |v_S| < 1 ,

so that w is piecewise linear, S only grows, and the minimum is reached after at most d pieces, in finite time.

With momentum (derived).  One coordinate of ``w' = -sign(m + beta g)``, ``m' = a (g - m)``, ``g = c w``.  Where the
sign is sigma, w is linear and

    m(tau) = c (w + sigma/a) - c sigma tau + (m_0 - c w - c sigma/a) e^{-a tau} ,

with w the value at tau = 0.  Where ``q = m + beta g`` reaches 0, its derivative is ``a (1+beta) c w - beta c sigma``:

- ``|w| > beta/(a (1+beta))``: the same sign on both sides, so q crosses and sigma becomes sign(w);
- else both sides point back to q = 0: the solution (Filippov's) slides on ``m = -beta g``, where

      w(tau) = w e^{-kappa tau} ,    kappa = a (1 + 1/beta) ,

  whatever the curvature.  Without damping, beta = 0, nothing slides and w oscillates about 0 with a decaying amplitude.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ..arguments import numbers
from .metric_rules import inside
from .ranges import positive, row


def shrunk(lengths, times):
    """``max(sigma(0) - t, 0)``: singular values of Muon's flow, absolute coordinates of sign descent's.

    Parameters
    ----------
    lengths : array_like, shape (d,)
        >= 0.
    times : array_like, shape (n,)
        >= 0.

    Returns
    -------
    ndarray, shape (n, d)
    """
    return np.maximum(numbers(lengths, "lengths") - numbers(times, "times")[:, None], 0.0)


def chatter(lengths, step):
    """How far steps of h are from the flow at worst: ``max(r, h - r)``, r = sigma(0) mod h; 0 if r = 0."""
    step = inside(step, "step", 0.0, math.inf)
    rest = np.mod(numbers(lengths, "lengths"), step)
    return np.where(rest > 0, np.maximum(rest, step - rest), 0.0)


def sign_slide(hessian, parameters, times):
    """Sign descent without momentum on a quadratic ``w^T A w/2``, through every kink.

    Parameters
    ----------
    hessian : array_like, shape (d, d)
        A, symmetric and strictly diagonally dominant with a positive diagonal.
    parameters : array_like, shape (d,)
        w(0).
    times : array_like, shape (n,)
        Increasing, >= 0.

    Returns
    -------
    ndarray, shape (n, d)

    Raises
    ------
    ValueError
        If A is not such: a coordinate might then leave its kink again.
    """
    a, times = numbers(hessian, "hessian"), numbers(times, "times")
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.array_equal(a, a.T):
        raise ValueError(f"hessian has shape {a.shape}; it must be a symmetric matrix")
    spare = 2.0 * np.diag(a) - np.abs(a).sum(axis=1)
    if not (spare > 0).all():
        raise ValueError(f"hessian has a row whose diagonal exceeds the rest by {spare.min():.3g}; it must be > 0")
    w, begun = row(parameters, "parameters", len(a)), 0.0
    out, g = np.zeros((len(times), len(a))), a @ w
    sliding = g == 0
    todo = np.ones(times.shape, bool)
    while todo.any() and not sliding.all():
        v = np.where(sliding, 0.0, -np.sign(g))
        v[sliding] = np.linalg.solve(a[np.ix_(sliding, sliding)], -(a @ v)[sliding])
        slope = a @ v
        left = np.where(~sliding & (np.sign(g) * slope < 0), -g / np.where(slope == 0, 1.0, slope), np.inf)
        first = int(np.argmin(left))
        piece = todo & (times <= begun + left[first])
        out[piece] = w + (times[piece, None] - begun) * v
        todo &= ~piece
        if not todo.any():
            break
        w, g, begun = w + left[first] * v, g + left[first] * slope, begun + left[first]
        sliding[first] = True
        g[sliding] = 0.0
    return out


@dataclass(frozen=True, eq=False)
class SignFlow:
    """Sign descent with averaged momentum on ``f = sum c_i w_i^2/2``, through every crossing and sliding.

    Parameters
    ----------
    curvatures : array_like, shape (d,)
        c > 0.
    friction : float
        a > 0.
    damping : float
        beta >= 0, in units of the average.

    Raises
    ------
    ValueError
        For values out of these ranges.
    """

    curvatures: np.ndarray
    friction: float
    damping: float = 0.0
    curvature = None

    def __post_init__(self):
        object.__setattr__(self, "curvatures", positive(row(self.curvatures, "curvatures"), "curvatures"))
        object.__setattr__(self, "friction", inside(self.friction, "friction", 0.0, math.inf))
        object.__setattr__(self, "damping", inside(self.damping, "damping", 0.0, math.inf, left=True))

    def gradient(self, w):
        """``c w``."""
        return self.curvatures * w

    @property
    def sliding_rate(self) -> float:
        """``kappa = a (1 + 1/beta)``; infinite without damping."""
        return self.friction * (1.0 + 1.0 / self.damping) if self.damping else math.inf

    @property
    def sliding_reach(self) -> float:
        """``beta/(a (1+beta))``: q = 0 is left again only at larger ``|w|``."""
        return self.damping / (self.friction * (1.0 + self.damping))

    def solve(self, parameters, times):
        """w at increasing times >= 0, from m = 0; shape (n, d)."""
        start, times = row(parameters, "parameters", self.curvatures.size), np.asarray(times, dtype=float)
        return np.stack([self._coordinate(c, w, times) for c, w in zip(self.curvatures, start)], axis=1)

    def _coordinate(self, c, w, times):
        out, m, begun, todo = np.zeros_like(times), 0.0, 0.0, np.ones(times.shape, bool)
        a, beta = self.friction, self.damping
        sign = np.sign(w)
        while sign and todo.any():
            slope = (m - c * w - c * sign / a)   # of the exponential
            leave = self._zero(c, w, m, sign, slope, times[-1] - begun)
            inside_piece = todo & (times <= begun + leave)
            out[inside_piece] = w - sign * (times[inside_piece] - begun)
            todo &= ~inside_piece
            if not todo.any():
                break
            w, begun = w - sign * leave, begun + leave
            m = -beta * c * w
            if abs(w) <= self.sliding_reach:
                out[todo] = w * np.exp(-self.sliding_rate * (times[todo] - begun))
                break
            sign = np.sign(w)
        return out

    def _zero(self, c, w, m, sign, slope, longest):
        """The time at which ``m + beta c w`` reaches 0, or infinity if it does not before the end."""
        a, beta = self.friction, self.damping

        def q(tau):
            return sign * (c * (w + sign / a) - c * sign * tau + slope * math.exp(-a * tau)
                           + beta * c * (w - sign * tau))

        # sign q = straight line downwards + exponential: at most one maximum, and one zero behind it
        top = 0.0
        if -sign * slope > 0:
            top = max(0.0, -math.log(c * (1.0 + beta) / (-sign * slope * a)) / a)
        if top >= longest or q(longest) > 0:
            return math.inf
        return brentq(q, top, longest, xtol=1e-15, rtol=1e-15) if q(top) > 0 else top
