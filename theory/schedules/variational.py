r"""The one variational problem behind optimal learning-rate and batch-size schedules.

With the law of :mod:`.power_law`, ``r(u)`` the ratio of batch size to learning rate while the intrinsic time u remains,

    minimise  e(T) + sigma^2 int_0^T K(u)/r(u) du     over  T and r >= r_min  with  int_0^T r du = D .

Learning rates at a fixed batch size B (N = D/B steps, ``r_min = B/eta_max``), batch sizes at a fixed rate (``r_min =
B_min/eta``) and both together are this problem: only the path r matters to the loss, and among all ``(eta, B)`` of
one path the largest rates take the fewest steps.  The solution (derived; it is convex in r):

    T given      r*(u) = max{ r_min, c (1+u)^-p } ;                    the square-root rule, c from the budget
                 floor inactive:  c = D/S(T),   noise = sigma^2 A_K S(T)^2/D  (Cauchy-Schwarz)
                 floor active beyond u1:  c = r_min (1+u1)^p,   T = D/r_min - g(u1),   g(x) = (1+x)^p S(x) - x
                                  noise = sigma^2 {int_{u1}^T K du / r_min + A_K S(u1)/c}
    T free       s A_e (1+T)^{-s-1} = 2 sigma^2 A_K (1+T)^-p / c                          floor inactive
                 s A_e (1+T)^{-s-1} = sigma^2 A_K [(1+T)^{-2p} + (1+u1)^{-2p}]/r_min      floor active

The last two are ``dE/dT = 0`` by the envelope theorem (the floor costs ``mu r_min`` per unit of time, the price of
data being ``mu = sigma^2 A_K/c^2``).  The first has one root; the second is searched in ``u1``, in which the near-peak
of the hard regime (T a hair below ``D/r_min``) is wide.  In the *data* that is left the optimum has a closed form,
``y(u) = c S(u)``, hence at a fixed batch size B the learning rate is a power of a straight line,

    eta*(z) = (2 beta A/N) [1 + A (1 - z/N)]^{2 beta - 1} ,       A = (1+T)^{1/(2 beta)} - 1          (floor inactive)

which is the advertised ``(1 - z/N)^{2 beta - 1}`` only for ``A -> infinity``; A grows slowly, like ``T^{1/(2 beta)}``.
For the powers of D that follow see :mod:`.exponents`.

Theorems of this form are Thm 3.1 of Wang, Li et al. (arXiv 2602.14208) and Thm 4.1 of Li et al. (arXiv 2602.06797);
reconstructed, since those texts were not at hand.  With the exact spectrum in place of the power laws the problem is
solved in :mod:`theorycheck.theory.fsl.optimal_schedule` and, mini-batch noise included, in :mod:`.spectral_optimum`.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq

from .. import learning_rates
from .minibatch import best_feedback_horizon, water_filling
from .power_law import PowerLaw, above, not_negative, whole_steps

SCAN = 400
"""Crossovers that are tried before the best one is refined."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best path of the ratio r = B/eta, and what it reaches.

    Attributes
    ----------
    law : PowerLaw
    data, floor : float
        Budget D (samples) and smallest ratio ``r_min`` >= 0.
    horizon : float
        Intrinsic time T.
    crossover : float
        ``u1``: the floor binds while more intrinsic time than this remains; equal to ``horizon`` if it never does.
        With mini-batch noise the ratio may leave the floor once more, at the start; this is the last crossing.
    scale : float
        ``c`` of ``r* = c (1+u)^-p``; with mini-batch noise, of ``r* = c {(1+u)^{-2p} [1 + e(T-u)/sigma^2]}^{1/2}``.
    loss, signal, noise : float
        ``loss = signal + noise``, ``signal = e(T)``.
    minibatch_noise : bool
        Whether ``e(t)`` is counted as noise beside ``sigma^2``.
    """

    law: PowerLaw
    data: float
    floor: float
    horizon: float
    crossover: float
    scale: float
    loss: float
    signal: float
    noise: float
    minibatch_noise: bool = False

    @property
    def rising_data(self) -> float:
        """Data used after the floor is left for good, ``y(u1)``."""
        return float(self.remaining_data(self.crossover))

    @property
    def decay_fraction(self) -> float:
        """Share of the data used after the floor is left; 1 if it never binds."""
        return self.rising_data / self.data

    def ratio(self, remaining):
        """``r*(u)`` for intrinsic times ``0 <= u <= T`` that remain; any shape."""
        remaining = np.asarray(remaining, float)
        free = self.scale * np.exp(-self.law.root_exponent * np.log1p(remaining))
        if self.minibatch_noise:
            free = free * np.sqrt(1.0 + self.law.signal(np.maximum(self.horizon - remaining, 0.0)) / self.law.noise**2)
        return np.maximum(self.floor, free)

    def remaining_data(self, remaining):
        """``y(u) = int_0^u r*``: data still to be used when the intrinsic time u remains; from 0 to D."""
        remaining = np.asarray(remaining, float)
        if self.minibatch_noise:
            return self._table(False)(remaining)
        free = np.minimum(remaining, self.crossover)
        return self.scale * self.law.root_sum(free) + self.floor * (remaining - free)

    def remaining_time(self, remaining_data):
        """``u(y)``, the inverse of :meth:`remaining_data`, for ``0 <= y <= D``."""
        left = np.asarray(remaining_data, float)
        if self.minibatch_noise:
            return self._table(True)(left)
        twice = 2.0 * self.law.capacity
        rising = self.scale * self.law.root_sum(self.crossover)
        free = np.expm1(twice * np.log1p(np.minimum(left, rising) / (twice * self.scale)))
        return np.minimum(free, self.crossover) + (np.maximum(left - rising, 0.0) / self.floor if self.floor else 0.0)

    def learning_rates(self, steps, batch_size=None):
        """The optimum as a learning-rate schedule at a fixed batch size.

        Parameters
        ----------
        steps : int
            N.
        batch_size : float, optional
            B; ``N B`` must be the budget, and is by default.

        Returns
        -------
        Schedule
            Step k is worth the intrinsic time of its share of the data, so the rates add up to T, and none exceeds
            ``B/floor``.

        Raises
        ------
        ValueError
            If ``N B`` is not the budget.
        """
        steps = learning_rates._steps(steps)
        batch = self.data / steps if batch_size is None else above(batch_size, "batch_size", 0.0)
        if not math.isclose(steps * batch, self.data, rel_tol=1e-9):
            raise ValueError(f"steps x batch_size is {steps * batch:g}; it must be the data budget {self.data:g}")
        edges = self.remaining_time(np.linspace(self.data, 0.0, steps + 1))
        rates = -np.diff(edges)
        if self.floor and self.minibatch_noise:   # interpolation may overshoot at the floor's edge
            rates = batch / self.floor - _lifted(batch / self.floor - rates, 0.0)
        elif self.floor:
            rates = np.minimum(rates, batch / self.floor)
        return learning_rates.Schedule(rates, "optimal")

    def batch_sizes(self, rate):
        """The optimum as batch sizes, real numbers, at a constant learning rate.

        Parameters
        ----------
        rate : float
            Largest learning rate, > 0.  The run takes ``K = ceil(T/rate)`` steps at the rate ``T/K``.

        Returns
        -------
        ndarray, shape (K,)
            Adds up to D; none is below ``floor T/K``.
        """
        steps = learning_rates._steps(whole_steps(self.horizon / above(rate, "rate", 0.0)))
        sizes = -np.diff(self.remaining_data(np.linspace(self.horizon, 0.0, steps + 1)))
        return _lifted(sizes, self.floor * self.horizon / steps)

    def _table(self, inverse):
        """Cubic Hermite interpolation between the panels' edges, where ``y`` and ``y' = r`` are known."""
        table = water_filling(self.law, self.horizon, self.data, self.floor)
        ratio = self.ratio(table.remaining)
        if inverse:
            return CubicHermiteSpline(table.data, table.remaining, 1.0 / ratio)
        return CubicHermiteSpline(table.remaining, table.data, ratio)


def _lifted(values, low):
    """Values raised to a bound, their sum kept at the cost of those above it."""
    above_low = np.maximum(values - low, 0.0)
    total = above_low.sum()
    return low + above_low * (max(np.sum(values - low), 0.0) / total if total > 0.0 else 1.0)


def optimum(source, capacity, data, noise=1.0, floor=0.0, horizon=None, signal_scale=1.0, kernel_scale=1.0,
            minibatch_noise=False):
    """Solve the problem of this module.

    Parameters
    ----------
    source, capacity, noise, signal_scale, kernel_scale : float
        The law, see :class:`.power_law.PowerLaw`: ``s > 0``, ``beta > 1``, ``sigma > 0``, ``A_e > 0``, ``A_K > 0``.
    data : float
        D > 0, samples.
    floor : float
        ``r_min`` >= 0: smallest batch size over largest learning rate.
    horizon : float, optional
        Intrinsic time T > 0; found if it is not given.
    minibatch_noise : bool
        Count ``e(t)`` beside ``sigma^2`` as noise: ``r* ~ {K(u) [e(T-u) + sigma^2]}^{1/2}``, with smaller rates
        early that nobody put in.  Then integrals are numerical, to about 1e-8 (1e-5 of the noise where the floor's
        edge falls inside a panel).

    Returns
    -------
    Optimum

    Raises
    ------
    ValueError
        For arguments out of range, with the range; ``horizon floor > data`` is infeasible.
    """
    law = PowerLaw(source, capacity, noise, signal_scale, kernel_scale)
    data, floor = above(data, "data", 0.0), not_negative(floor, "floor")
    if horizon is not None:
        horizon = above(horizon, "horizon", 0.0)
        if horizon * floor > data * (1.0 + 1e-15):
            raise ValueError(f"horizon is {horizon:g}; with floor {floor:g} it uses more than the data, so it must be "
                             f"<= data/floor = {data / floor:.6g}")
    if minibatch_noise:
        return _with_feedback(law, data, floor, horizon)
    crossover = None
    if horizon is None:
        horizon, crossover = _best_horizon(law, data, floor)
    return at_horizon(law, data, floor, horizon, crossover)


def at_horizon(law, data, floor, horizon, crossover=None):
    """The best path for a given horizon, as :class:`Optimum`.

    Parameters
    ----------
    law : PowerLaw
    data, floor, horizon : float
        With ``horizon floor <= data``.
    crossover : float, optional
        ``u1``, where it is known.
    """
    p = law.root_exponent
    scale = data / float(law.root_sum(horizon))
    if crossover is None:
        free = not floor or scale * math.exp(-p * math.log1p(horizon)) >= floor
        crossover = horizon if free else _crossover(law, horizon, data / floor)
    if crossover < horizon:
        scale = floor * math.exp(p * math.log1p(crossover))
        noise = law.noise**2 * (float(law.kernel_mass(crossover, horizon)) / floor
                                + law.kernel_scale * float(law.root_sum(crossover)) / scale)
    else:
        noise = law.strength * float(law.root_sum(horizon)) / scale
    signal = float(law.signal(horizon))
    return Optimum(law, data, floor, horizon, crossover, scale, signal + noise, signal, noise)


def floor_cost(law, crossover):
    """``g(x) = (1+x)^p S(x) - x``: intrinsic time that leaving the floor at x costs, in units of ``1``; increasing.

    For small x, where the difference would cancel, by its series ``p x^2/2 - p (1 - p) x^3/6 ...``.
    """
    x, p = np.asarray(crossover, float), law.root_exponent
    exact = np.exp(p * np.log1p(x)) * law.root_sum(x) - x
    series = p * x**2 / 2 * (1.0 - (2.0 - p) * x / 3.0 + (p * p - 5.0 * p + 6.0) * x**2 / 12.0)
    return np.where(x < 2e-4, series, exact)


def _crossover(law, horizon, longest):
    """``u1`` in [0, T] with ``g(u1) = D/r_min - T``."""
    excess = longest - horizon
    if excess <= 0.0:
        return 0.0
    low, high = -690.0, math.log(horizon)
    if float(floor_cost(law, horizon)) <= excess:
        return horizon
    if float(floor_cost(law, math.exp(low))) >= excess:
        return 0.0
    return math.exp(brentq(lambda y: float(floor_cost(law, math.exp(y))) - excess, low, high, xtol=1e-15, rtol=1e-15))


def _best_horizon(law, data, floor):
    """Horizon and crossover: the stationary point without the floor if the floor allows it, else one along it."""
    free = _free_horizon(law, data)
    if not floor or data / float(law.root_sum(free)) * math.exp(-law.root_exponent * math.log1p(free)) >= floor:
        return free, free
    longest = data / floor
    # On the branch with an active floor, u1 runs from 0 (T = D/r_min) to where it is the whole horizon.
    last = math.log(longest)
    if float(floor_cost(law, longest)) > 0.0:
        last = brentq(lambda y: float(floor_cost(law, math.exp(y))) + math.exp(y) - longest, last - 60.0, last,
                      xtol=1e-15, rtol=1e-15)
    start = min(-12.0, last - 30.0)
    crossovers = np.append(0.0, np.exp(np.linspace(start, last, SCAN)))
    horizons = np.maximum(longest - floor_cost(law, crossovers), crossovers)
    noise = (law.kernel_mass(crossovers, horizons) + law.kernel_scale * law.root_sum(crossovers)
             * np.exp(-law.root_exponent * np.log1p(crossovers))) / floor
    best = int(np.argmin(law.signal(horizons) + law.noise**2 * noise))
    if best == 0:
        return longest, 0.0

    def slope(y):
        """``dE/dT`` with its sign, relative to the signal's part."""
        u = math.exp(y)
        horizon = max(longest - float(floor_cost(law, u)), u)
        gain = law.source * float(law.signal(horizon)) / (1.0 + horizon)
        return float(law.kernel(horizon) + law.kernel(u)) * law.noise**2 / (floor * gain) - 1.0

    low, high = (math.log(crossovers[max(1, min(place, SCAN))]) for place in (best - 1, best + 1))
    if slope(low) * slope(high) < 0.0:
        crossover = math.exp(brentq(slope, low, high, xtol=1e-15, rtol=1e-15))
    else:   # the best is at an end of the branch
        crossover = float(crossovers[best])
    return max(longest - float(floor_cost(law, crossover)), crossover), crossover


def _free_horizon(law, data):
    """Root of ``S(T) (1+T)^{s+1-p} = s A_e D/(2 sigma^2 A_K)``, in ``y = log(1+T)``."""
    target = math.log(law.source * law.signal_scale * data / (2.0 * law.strength))
    twice = 2.0 * law.capacity
    power = law.source + 1.0 - law.root_exponent

    def excess(log_y):
        y = math.exp(log_y)
        return math.log(twice) + _log_expm1(y / twice) + power * y - target

    # log(2 beta (e^{y/(2 beta)} - 1)) >= log y, and grows at least like power y
    high = math.log(max(abs(target), 1.0) / min(power, 1.0) + 10.0)
    low = min(target, 0.0) - 50.0
    return math.expm1(math.exp(brentq(excess, low, high, xtol=1e-15, rtol=1e-15)))


def _log_expm1(x):
    return x + math.log(-math.expm1(-x))


def _with_feedback(law, data, floor, horizon):
    if horizon is None:
        horizon = best_feedback_horizon(law, data, floor)
    table = water_filling(law, horizon, data, floor)
    signal = float(law.signal(horizon))
    return Optimum(law, data, floor, horizon, table.crossover, table.scale, signal + table.noise, signal, table.noise,
                   minibatch_noise=True)
