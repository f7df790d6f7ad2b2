r"""The best schedule by the functional scaling law with its exact spectral functions and its mini-batch noise.

In intrinsic time t, with the ratio ``r = B/eta`` of batch size to learning rate (data are used at rate r), the law is

    2 E = e(T) + int_0^T K(T-t) [e(t) + sigma_M^2] / r(t) dt,          int_0^T r dt = D,      r >= r_min ,
    e(t) = sum w lambda theta*^2 exp(-2 lambda t),       K(u) = sum w lambda^2 exp(-2 lambda u) ,

so for a given horizon T (Cauchy-Schwarz; water-filling where the floor binds)

    r*(t) = max{ r_min, c f(t) },       f(t) = {K(T-t) [e(t) + sigma_M^2]}^(1/2) ,
    2 E   = e(T) + (int f)^2 / D        where the floor is inactive,

and T minimises the rest.  The learning rate ``B/r*`` rises at first, while ``e`` is of the size of ``sigma_M^2`` (a
warm-up nobody put in), and falls at the end with ``K^(-1/2)``.  :mod:`theorycheck.theory.fsl.optimal_schedule` is the
same problem with label noise alone (``e + sigma_M^2 -> sigma^2`` under the integral).  The law is in continuous time
and counts mini-batch noise by its value without noise; the exact recursion differs by a relative part that vanishes
with D.

Derived from Thm 4.4 of Li et al. (arXiv 2509.19189); the square root is also in Wang, Liu & Chen (arXiv 2609.40148,
Sec. 5.3).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.interpolate
import scipy.optimize
from numba import njit

from .. import learning_rates
from ..arguments import number
from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression
from .adjoint import check_problem, real_sizes

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
PANELS = 48
"""Gauss panels from each end of the horizon to its middle."""

POINTS_PER_DECADE = 40
LONGEST = 1e18


@dataclass(frozen=True, eq=False)
class SpectralOptimum:
    """The law's best schedule.

    Attributes
    ----------
    data, floor : float
        D, and the smallest ratio ``r = B/eta`` allowed.
    horizon : float
        Intrinsic time T.
    crossover : float
        Intrinsic time from the end, up to T, before which the floor holds.
    scale : float
        ``c`` of the square-root rule.
    loss, signal, noise : float
        Excess risk ``E = delta_M + signal + noise``, each with its factor 1/2.
    times, ratios, spent : ndarray, shape (n,)
        Intrinsic time from 0 to T, ``r*`` there, and data used so far.
    """

    data: float
    floor: float
    horizon: float
    crossover: float
    scale: float
    loss: float
    signal: float
    noise: float
    times: np.ndarray
    ratios: np.ndarray
    spent: np.ndarray

    def schedule(self, steps, batch_size=1):
        """Learning rates of K steps: the intrinsic time each step's share of the data is worth.

        ``batch_size`` is a number or one per step; if the sizes do not add up to ``data`` they are taken in
        proportion.
        """
        steps = learning_rates._steps(steps)
        sizes = real_sizes(batch_size, steps)
        share = np.concatenate([[0.0], np.cumsum(sizes)])
        edges = np.interp(share * (self.spent[-1] / share[-1]), self.spent, self.times)
        return learning_rates.Schedule(np.maximum(np.diff(edges), 0.0), "optimal by the law")

    def batches(self, rate, steps=None):
        """Batch sizes (real numbers, adding up to ``data``) of about ``T/rate`` steps at a constant rate."""
        rate = number(rate, "rate")
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate is {rate}; it must be finite and > 0")
        steps = max(1, round(self.horizon / rate)) if steps is None else learning_rates._steps(steps)
        return np.diff(np.interp(np.linspace(0.0, self.horizon, steps + 1), self.times, self.spent))


def spectral_optimum(problem, data, floor=0.0, horizon=None, minibatch_noise=True):
    """Minimise the law over the ratio ``r(t) = B/eta`` and, unless it is given, the horizon.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        With noise > 0 in the labels or beyond the width.
    data : float
        D > 0, in samples.
    floor : float
        ``r_min`` >= 0: smallest batch size over largest learning rate.
    horizon : float, optional
        T > 0 with ``T floor <= D``.  Without a floor at most ``100 D``, given or sought: the free optimum of hard
        tasks lies beyond what any number of samples pays for.
    minibatch_noise : bool
        False leaves only the label noise under the integral.

    Returns
    -------
    SpectralOptimum
        Integrals to about 1e-8 relative.

    Raises
    ------
    ValueError
        For arguments out of range, with the bound.
    """
    check_problem(problem)
    data, floor = number(data, "data"), number(floor, "floor")
    if not 0 < data <= LONGEST:
        raise ValueError(f"data is {data}; it must be in (0, {LONGEST:g}]")
    if not (math.isfinite(floor) and floor >= 0):
        raise ValueError(f"floor is {floor}; it must be finite and >= 0")
    if not problem.noise > 0 and not problem.approximation_error > 0:
        raise ValueError("noise is 0; the law needs label noise > 0")
    longest = data / floor if floor > 0 else 100.0 * data
    if horizon is not None:
        horizon = number(horizon, "horizon")
        if not 0 < horizon <= longest:
            bound = f"data/floor = {longest:.6g}" if floor > 0 else f"100 data = {longest:.6g}"
            raise ValueError(f"horizon is {horizon}; it must be in (0, {bound}]")
    spectrum = compress(problem, max(longest, 1.0)) if isinstance(problem, PowerLawRegression) else problem
    law = _Law(spectrum, max(longest, 1.0), minibatch_noise)

    return law.assemble(_best_horizon(law, data, floor, longest) if horizon is None else horizon, data, floor)


def _best_horizon(law, data, floor, longest):
    """The best T: a grid in log T, then Brent's method in ``log T`` relative to the best grid point.

    In hard tasks the best T is close to ``data/floor``, and it is their difference that matters; a search in ``log T``
    itself would stop at 1e-8 of ``log T``.
    """
    grid = np.linspace(math.log(min(1e-3, 1e-3 * longest)), math.log(longest), 121)
    best = int(np.argmin([law.loss(math.exp(x), data, floor, 0)[0] for x in grid]))
    centre = grid[best]
    for _ in range(2):   # the second time around the point found
        low, high = grid[max(best - 1, 0)] - centre, grid[min(best + 1, grid.size - 1)] - centre
        found = scipy.optimize.minimize_scalar(lambda x, at=centre: law.loss(math.exp(at + x), data, floor)[0],
                                               bounds=(low, high), method="bounded", options={"xatol": 1e-12})
        centre += found.x
    return min(math.exp(centre), longest)


def spectral_law(spectrum, longest):
    """The law's kernel, signal and ``f`` (methods ``kernel``, ``signal``, ``root``) for times up to `longest`."""
    return _Law(spectrum, longest, True)


class _Law:
    """Kernel and signal of a spectrum as splines in ``log(1 + t)``, and the law's best ratio for a horizon."""

    def __init__(self, spectrum, longest, minibatch_noise):
        self.spectrum, self.variance, self.minibatch = spectrum, spectrum.label_variance, minibatch_noise
        values, weights = spectrum.eigenvalues, spectrum.multiplicity
        t = np.expm1(np.linspace(0.0, math.log1p(longest), 2 + math.ceil(
            POINTS_PER_DECADE * math.log10(1.0 + longest) + 40)))
        decay = np.exp(-2.0 * np.outer(t, values))
        self.knots = np.log1p(t)
        self.log_kernel, self.log_signal = (
            scipy.interpolate.CubicSpline(self.knots, np.log(np.maximum(decay @ each, 1e-280))).c
            for each in (weights * values**2, weights * values * spectrum.target_squared))

    def kernel(self, u):
        return np.exp(_spline(self.knots, self.log_kernel, np.log1p(u)))

    def signal(self, t):
        return np.exp(_spline(self.knots, self.log_signal, np.log1p(t)))

    def root(self, passed, remaining):
        """``f`` as a function of the time passed and the time that remains."""
        added = self.signal(passed) if self.minibatch else 0.0
        return np.sqrt(self.kernel(remaining) * (added + self.variance))

    def nodes(self, horizon, cuts=((), ())):
        """Gauss nodes over (0, T), finer towards both ends: time passed, time remaining, weights.

        ``cuts``: times passed and times remaining, both below T/2, at which panels must end.
        """
        edges, parts = _edges(0.5 * horizon), []
        for inner in cuts:
            ends = np.unique(np.concatenate([edges, inner])) if len(inner) else edges
            middle, width = 0.5 * (ends[1:] + ends[:-1]), 0.5 * np.diff(ends)
            parts.append(((middle[:, None] + width[:, None] * NODES).ravel(), (width[:, None] * WEIGHTS).ravel()))
        (early, first), (late, last) = parts
        passed = np.concatenate([early, horizon - late[::-1]])
        remaining = np.concatenate([horizon - early, late[::-1]])
        return passed, remaining, np.concatenate([first, last[::-1]])

    def edges_of_floor(self, horizon, passed, remaining, level):
        """Where ``f`` crosses ``level``: times passed and times remaining, each below T/2."""
        above = self.root(passed, remaining) > level
        cuts = [], []
        for k in np.flatnonzero(above[1:] != above[:-1]):
            late = remaining[k] < passed[k]
            clock = remaining if late else passed

            def excess(x, late=late):
                return math.log(self.root(horizon - x, x) if late else self.root(x, horizon - x)) - math.log(level)

            low, high = sorted((clock[k], clock[k + 1] if late == (remaining[k + 1] < passed[k + 1]) else
                                horizon - (passed if late else remaining)[k + 1]))
            if excess(low) * excess(high) < 0.0:
                cut = scipy.optimize.brentq(excess, low, high, rtol=1e-14)
                if 0.0 < cut < 0.5 * horizon:
                    cuts[int(late)].append(cut)
        return cuts

    def loss(self, horizon, data, floor, rounds=4):
        """``2 (E - delta)`` at the best ratio, the noise in it, and the scale c; ``rounds`` of refinement."""
        passed, remaining, weights = self.nodes(horizon)
        root = self.root(passed, remaining)
        scale = data / (weights @ root)
        if scale * root.min() < floor:
            if rounds == 0:
                scale = _waterfill(root, weights, data, floor)
            for _ in range(rounds):   # panels end where the floor does, so that the rule is as good there as elsewhere
                before, scale = scale, _waterfill(root, weights, data, floor)
                if scale == 0.0 or abs(scale - before) < 1e-13 * scale:
                    break
                cuts = self.edges_of_floor(horizon, passed, remaining, floor / scale)
                passed, remaining, weights = self.nodes(horizon, cuts)
                root = self.root(passed, remaining)
        noise = weights @ (root**2 / np.maximum(floor, scale * root))
        return float(self.signal(horizon)) + noise, noise, scale

    def assemble(self, horizon, data, floor):
        total, noise, scale = self.loss(horizon, data, floor)
        half = np.concatenate([[0.0], np.geomspace(min(1e-4, 1e-4 * horizon), 0.5 * horizon, 1500)])
        passed = np.concatenate([half, horizon - half[-2::-1]])
        remaining = np.concatenate([horizon - half, half[-2::-1]])
        crossover = 0.0 if scale == 0.0 else horizon
        if 0.0 < scale * self.root(passed, remaining).min() < floor:
            early, late = self.edges_of_floor(horizon, passed, remaining, floor / scale)
            crossover = min(late) if late else horizon - max(early, default=0.0)
            place = np.searchsorted(passed, horizon - crossover)
            passed = np.insert(passed, place, horizon - crossover)
            remaining = np.insert(remaining, place, crossover)
        ratios = np.maximum(floor, scale * self.root(passed, remaining))
        spent = np.concatenate([[0.0], np.cumsum(0.5 * (ratios[1:] + ratios[:-1]) * np.diff(passed))])
        spent *= data / spent[-1]
        loss = self.spectrum.approximation_error + 0.5 * total
        return SpectralOptimum(data, floor, horizon, crossover, float(scale), loss, 0.5 * (total - noise), 0.5 * noise,
                               passed, ratios, spent)


@lru_cache(maxsize=1)   # the refinement asks for the same ones again
def _edges(half):
    """Ends of the panels over (0, T/2), before the floor's are added."""
    return np.concatenate([[0.0], half * np.geomspace(min(1.0, 0.02 / half), 1.0, PANELS)])


def _spline(knots, coefficients, x):
    """What SciPy's cubic spline gives at x, an array or a number, without the overhead of its call."""
    x = np.asarray(x)
    return _evaluated(knots, coefficients, x.reshape(-1)).reshape(x.shape)


@njit(cache=True)
def _evaluated(knots, coefficients, x):
    """Values at x (n,), mostly in order: the piece of a point is looked for next to that of the last."""
    out, place = np.empty(x.size), 0
    for i in range(x.size):
        while place < knots.size - 2 and x[i] >= knots[place + 1]:
            place += 1
        while place > 0 and x[i] < knots[place]:
            place -= 1
        step = x[i] - knots[place]
        square = step * step
        out[i] = ((coefficients[3, place] + coefficients[2, place] * step) + coefficients[1, place] * square
                  + coefficients[0, place] * (square * step))
    return out


def _waterfill(root, weights, data, floor):
    """``c`` with ``int max(floor, c f) = D``; 0 if the floor takes it all."""
    if floor * weights.sum() >= data:
        return 0.0
    scale = data / (weights @ root)
    while True:   # free where c f > floor; both shrink from step to step until they agree
        free = scale * root > floor
        mass = weights[free] @ root[free]
        found = (data - floor * weights[~free].sum()) / mass if mass > 0.0 else 0.0
        if not 0.0 < found < scale * (1.0 - 1e-15):
            return max(min(found, scale), 0.0)
        scale = found
