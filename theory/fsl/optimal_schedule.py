r"""The best learning-rate schedule for a data budget, in closed form.

The functional law at its first Picard iterate, with noise of constant size sigma (Li et al., arXiv 2509.19189, Sec. 5:
``sigma >~ 1``), gives the excess risk after intrinsic time T for the noise scale ``gamma = eta/B`` as

    E[T, gamma] = delta_M + e_M(T)/2 + (sigma^2/2) int_0^T K_M(x) gamma(x) dx,

where ``x = T - z`` is the intrinsic time that *remains*.  The data used is ``D = sum_k B_k = int_0^T dx / gamma(x)``,
and the rate is capped, ``gamma <= gamma_max`` (the paper's ``gamma <~ 1``; stability).  For fixed T this is convex in
``1/gamma``, and the Lagrange condition ``K_M = mu/gamma^2`` gives (derived)

    gamma*(x) = min{ gamma_max, c K_M(x)^{-1/2} },

with ``c`` fixed by the budget ("waterfilling").  With ``J(x) = int_0^x K_M^{1/2}`` and the cap reached at ``x_c``,

    D = J(T)/c                                          never capped (x_c = T),
    D gamma_max = T - x_c + J(x_c) K_M(x_c)^{-1/2}      capped for x > x_c .

The one-dimensional problem over T that remains is solved numerically.  For ``K_M ~ x^{-(2 - 1/beta)}`` it follows
that (M large) ``gamma* ~ x^{1 - 1/(2 beta)}``, that is ``(remaining data)^{2 beta - 1}``, and, without logarithms,

    easy, s > 1 - 1/beta:  T ~ D^{beta/(1 + s beta)},  E* ~ D^{-s beta/(1 + s beta)},  never capped;
    hard, s < 1 - 1/beta:  T ~ D,  E* ~ D^{-s},  x_c/T ~ D^{-(1 - 1/beta - s)/(2 - 1/beta)} -> 0 (stable, then decay).

A direct minimisation over the noise scale in each of many cells, :func:`schedule_by_descent`, is the independent check.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar

from .. import learning_rates
from .compression import compress
from .problem import PowerLawRegression

PANEL_RATIO = 2.0**0.25
GAUSS_NODES, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(8)
LONGEST = 300.0
"""Intrinsic time in units of the slowest mode's ``1/lambda_M``, beyond which nothing is left to learn."""


@dataclass(frozen=True, eq=False)
class OptimalSchedule:
    """The optimal noise scale as a function of the intrinsic time or of the data that remains.

    Attributes
    ----------
    data, peak : float
        Budget D and cap ``gamma_max``.
    horizon : float
        Optimal intrinsic time T.
    crossover : float
        ``x_c``: the cap binds while more intrinsic time than this remains; equal to ``horizon`` if it never does.
    scale : float
        ``c`` of ``gamma = c K_M^{-1/2}``.
    risk, signal, noise : float
        Excess risk at the end; its parts ``e_M(T)/2`` and ``(sigma^2/2) int K_M gamma``.
    remaining_time, remaining_data, noise_scale : ndarray, shape (n,)
        ``gamma`` against the intrinsic time and the data that remain, increasing from 0 to T and D.
    """

    data: float
    peak: float
    horizon: float
    crossover: float
    scale: float
    risk: float
    signal: float
    noise: float
    remaining_time: np.ndarray
    remaining_data: np.ndarray
    noise_scale: np.ndarray

    @property
    def decay_fraction(self) -> float:
        """Share of the data spent after the cap is left."""
        spent = np.interp(self.crossover, self.remaining_time, self.remaining_data)
        return float(spent / self.data)

    def schedule(self, steps, batch_size=1):
        """Return it as a learning-rate schedule: step k uses ``eta = B gamma`` at its middle.

        Parameters
        ----------
        steps : int
            K.
        batch_size : int
            B, with ``K B`` equal to the data budget.

        Raises
        ------
        ValueError
            If ``K B`` is not the budget.
        """
        if not math.isclose(steps * batch_size, self.data, rel_tol=1e-12):
            raise ValueError(f"steps x batch_size is {steps * batch_size:g}; it must be the data budget {self.data:g}")
        middle = (steps - np.arange(steps) - 0.5) * batch_size
        gamma = np.interp(middle, self.remaining_data, self.noise_scale)
        return learning_rates.Schedule(batch_size * gamma, "optimal")


def optimal_schedule(problem, data, peak):
    """Minimise the law over all schedules of a given data budget (waterfilling, then the best horizon).

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        With label noise > 0; the law holds for ``sigma >~ 1``.
    data : float
        D, number of samples, >= 1.
    peak : float
        Cap ``gamma_max`` > 0 of the noise scale ``eta/B``; stability needs it below about ``1/tr H``.

    Returns
    -------
    OptimalSchedule

    Raises
    ------
    ValueError
        For arguments outside their range.
    """
    spectrum = _validated(problem, data, peak)
    table = _KernelTable(spectrum, data * peak)
    allowed = data * peak
    x, root_sum, kernel = table.edges[1:], table.root_sums[1:], table.kernel(table.edges[1:])
    stretched = root_sum / np.sqrt(kernel)
    free = stretched <= allowed
    last_free = x[free][-1] if free.any() else 0.0
    if free.all():
        boundary = last_free
    else:
        low = last_free if last_free > 0 else 1e-12 * x[0]
        boundary = brentq(lambda y: table.stretched(y) - allowed, low, x[~free][0], rtol=1e-14)

    def uncapped(horizon):
        """Objective when the cap never binds; ``horizon`` <= boundary."""
        noise = table.root_sum(horizon)**2 / data
        return 0.5 * (table.signal(horizon) + spectrum.noise**2 * noise)

    def capped_horizon(crossover):
        """Horizon that the data buys; never below the crossover, whatever the rounding of the difference."""
        return max(crossover, allowed + crossover - table.stretched(crossover))

    def capped(crossover):
        """Objective when the cap binds beyond ``crossover`` <= boundary."""
        horizon = capped_horizon(crossover)
        return 0.5 * (table.signal(horizon) + spectrum.noise**2 * table.capped_noise(crossover, horizon, peak))

    candidates = []
    for objective, binds in ((uncapped, False), (capped, True)):
        if binds and free.all():
            continue
        points = np.append(x[x < boundary], boundary)
        values = np.array([objective(point) for point in points])
        best = int(values.argmin())
        below = points[best - 1] if best else 1e-6 * points[0]
        bracket = np.log([below, points[min(best + 1, points.size - 1)]])
        found = minimize_scalar(lambda u, f=objective: f(math.exp(u)), bounds=bracket, method="bounded",
                                options={"xatol": 1e-10})
        point, value = min(((math.exp(found.x), found.fun), (points[best], values[best])), key=lambda pair: pair[1])
        candidates.append((value, binds, point))
    _, binds, point = min(candidates)
    crossover = point
    horizon = capped_horizon(point) if binds else point
    scale = peak * math.sqrt(table.kernel(point)) if binds else table.root_sum(point) / data
    return _assemble(spectrum, table, data, peak, horizon, crossover, scale)


def schedule_by_descent(problem, data, peak, cells=100):
    """Minimise the same law over a piecewise constant noise scale and the horizon, by a general-purpose optimiser.

    The oracle of :func:`optimal_schedule`: it does not use the Lagrange condition.  The intrinsic time is cut into
    ``cells`` cells at fixed fractions (equal in logarithm) of a free horizon; sequential quadratic programming with the
    analytic gradient moves the logarithms of the horizon and of the data spent per unit of time in each cell, with the
    cap as a bound and the budget as an equality.

    Returns
    -------
    risk : float
        Comes to the optimum from above, like ``cells^-2``.
    remaining_time, noise_scale : ndarray, shape (cells,)
        Geometric middle of each cell and the noise scale in it.
    """
    spectrum = _validated(problem, data, peak)
    limit = min(data * peak * (1.0 - 1e-9), LONGEST / spectrum.eigenvalues.min())
    fractions = np.concatenate([[0.0], np.geomspace(min(1e-3, 0.05 / limit), 1.0, cells)])
    cell, pace = np.diff(fractions), data / limit
    half = 0.5 * spectrum.noise**2

    def objective(x):
        horizon = limit * math.exp(x[0])
        edges, spent = horizon * fractions, pace * np.exp(x[1:])
        noise = half * np.diff(_kernel_mass(spectrum, edges)) / spent
        loss = 0.5 * _signal(spectrum, horizon) + noise.sum()
        kernel = _kernel(spectrum, edges)
        by_horizon = half * np.sum(np.diff(kernel * fractions) / spent) - _signal_rate(spectrum, horizon)
        return math.log(loss), np.concatenate([[horizon * by_horizon], -noise]) / loss

    def budget(x):
        return math.log(np.dot(cell, np.exp(x[1:]))) + x[0]

    def budget_slope(x):
        part = cell * np.exp(x[1:])
        return np.concatenate([[1.0], part / part.sum()])

    bounds = [(None, 0.0)] + [(-math.log(pace * peak), None)] * cells
    runs = [minimize(objective, np.concatenate([[share], np.full(cells, -share)]), jac=True, method="SLSQP",
                     bounds=bounds, constraints={"type": "eq", "fun": budget, "jac": budget_slope},
                     options={"maxiter": 2000, "ftol": 1e-13}) for share in (-4.0, -1.0, -0.02)]
    found = min((run for run in runs if abs(budget(run.x)) < 1e-8), key=lambda run: run.fun)
    edges = limit * math.exp(found.x[0]) * fractions
    middle = np.sqrt(np.maximum(edges[:-1], 1e-3 * edges[1]) * edges[1:])
    return math.exp(found.fun) + spectrum.approximation_error, middle, np.exp(-found.x[1:]) / pace


def compute_optimal(problem, compute, peak):
    """Best width for ``C = M D`` with the optimal schedule.

    Parameters
    ----------
    problem : PowerLawRegression
        Its own width plays no part.
    compute : float
        C >= 4.
    peak : float
        Cap of the noise scale.

    Returns
    -------
    width : int
        Within about 2 per cent (or 1) of the optimum, where the risk is flat: to 1e-3 of itself.
    best : OptimalSchedule
    """
    if not (np.isfinite(compute) and compute >= 4):
        raise ValueError(f"compute is {compute}; it must be finite and >= 4")
    tried = {}

    def risk(log_width):
        width = max(1, round(math.exp(log_width)))
        if width not in tried:
            model = PowerLawRegression(problem.source, problem.capacity, width, problem.noise)
            tried[width] = optimal_schedule(model, compute / width, peak)
        return tried[width].risk

    minimize_scalar(risk, bounds=(0.0, 0.6 * math.log(compute)), method="bounded", options={"xatol": 0.02})
    width = min(tried, key=lambda m: tried[m].risk)
    return width, tried[width]


def exponents(problem):
    """Powers of the data budget D (infinite width) that the optimum follows, without logarithms.

    Returns
    -------
    dict
        ``risk``: ``-s beta/(1+s beta)`` (easy) or ``-s`` (hard); ``horizon``: of T; ``peak``: of the largest noise
        scale; ``decay_fraction``: of ``x_c/T`` (0 in the easy regime, where all of it is decay).
    """
    s, beta = problem.source, problem.capacity
    if problem.regime == "easy":
        rate = 1.0 + s * beta
        return {"risk": -s * beta / rate, "horizon": beta / rate, "peak": beta / rate - 1.0, "decay_fraction": 0.0}
    return {"risk": -s, "horizon": 1.0, "peak": 0.0, "decay_fraction": -(1.0 - 1.0 / beta - s) / (2.0 - 1.0 / beta)}


def decay_power(problem, remaining_time):
    """Local power of ``gamma*`` in the remaining data, ``d log gamma / d log r = J(x) d(K_M^{-1/2})/dx``.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    remaining_time : array_like, shape (n,)
        Intrinsic time x > 0 that remains.

    Returns
    -------
    ndarray, shape (n,)
        Tends to ``2 beta - 1`` for infinite width, with a correction of order ``x^{-1/(2 beta)}``: slowly.
    """
    x = np.atleast_1d(np.asarray(remaining_time, dtype=np.float64))
    spectrum = _compressed(problem, 10.0 * x.max())
    table = _KernelTable(spectrum, x.max())
    values = spectrum.eigenvalues
    falling = 2.0 * spectrum.sum(values**3 * np.exp(-2.0 * np.outer(x, values)))
    sums = table.root_sums_at(x)
    return 0.5 * sums * falling * _kernel(spectrum, x) ** -1.5


class _KernelTable:
    """``J(x) = int_0^x K_M^{1/2}`` by 8-point Gauss rules on geometric panels, relative accuracy 1e-10."""

    def __init__(self, spectrum, longest):
        self.spectrum = spectrum
        longest = min(longest, LONGEST / spectrum.eigenvalues.min())
        first = 1e-4 / spectrum.eigenvalues.max()
        panels = max(1, math.ceil(math.log(max(longest / first, 1.0)) / math.log(PANEL_RATIO)))
        self.edges = np.concatenate([[0.0], np.geomspace(min(first, longest), longest, panels + 1)])
        self.root_sums = np.concatenate([[0.0], np.cumsum(self._panel(self.edges[:-1], self.edges[1:]))])

    def kernel(self, x):
        return _kernel(self.spectrum, x)

    def signal(self, x):
        return _signal(self.spectrum, x)

    def root_sums_at(self, x):
        """``J`` at each of many points, shape (n,)."""
        place = np.minimum(np.searchsorted(self.edges, x, side="right") - 1, self.edges.size - 1)
        return self.root_sums[place] + self._panel(self.edges[place], x)

    def root_sum(self, x):
        """``J(x)``."""
        place = min(int(np.searchsorted(self.edges, x, side="right")) - 1, self.edges.size - 1)
        rest = self._panel(self.edges[place:place + 1], np.array([x]))[0] if x > self.edges[place] else 0.0
        return self.root_sums[place] + rest

    def stretched(self, x):
        """``J(x) K(x)^{-1/2}``: intrinsic time that the same data would buy at the rate in force at x."""
        return self.root_sum(x) / math.sqrt(self.kernel(x))

    def capped_noise(self, crossover, horizon, peak):
        """``int_0^T K gamma`` with the cap in force beyond the crossover."""
        flat = np.diff(_kernel_mass(self.spectrum, np.array([crossover, horizon])))[0]
        return peak * (flat + math.sqrt(self.kernel(crossover)) * self.root_sum(crossover))

    def _panel(self, low, high):
        half = 0.5 * (high - low)
        points = (0.5 * (high + low))[:, None] + half[:, None] * GAUSS_NODES
        return half * np.sum(GAUSS_WEIGHTS * np.sqrt(self.kernel(points)), axis=-1)


def _kernel(spectrum, x):
    """``K_M(x)``, any shape."""
    values = spectrum.eigenvalues
    return spectrum.sum(values**2 * np.exp(-2.0 * np.multiply.outer(np.asarray(x, dtype=np.float64), values)))


def _kernel_mass(spectrum, x):
    """``int_0^x K_M``."""
    values = spectrum.eigenvalues
    return -0.5 * spectrum.sum(values * np.expm1(-2.0 * np.multiply.outer(np.asarray(x, dtype=np.float64), values)))


def _signal(spectrum, time):
    """``e_M(t)``."""
    return float(spectrum.sum(spectrum.eigenvalues * spectrum.target_squared
                              * np.exp(-2.0 * spectrum.eigenvalues * time)))


def _signal_rate(spectrum, time):
    """``-e_M'(t)/2``."""
    return float(spectrum.sum(spectrum.eigenvalues**2 * spectrum.target_squared
                              * np.exp(-2.0 * spectrum.eigenvalues * time)))


def _assemble(spectrum, table, data, peak, horizon, crossover, scale):
    """Tabulate the optimum at the panel edges and at eight points within each panel."""
    points = np.concatenate([edge + (after - edge) * np.arange(8) / 8.0
                             for edge, after in zip(table.edges[:-1], table.edges[1:], strict=True)])
    x = np.unique(np.concatenate([points[points < horizon], [crossover, horizon]]))
    free = x <= crossover
    spent = np.empty_like(x)
    spent[free] = table.root_sums_at(x[free]) / scale
    start = table.root_sum(crossover) / scale
    spent[~free] = start + (x[~free] - crossover) / peak
    gamma = np.minimum(peak, scale / np.sqrt(table.kernel(x)))
    gamma[~free] = peak
    noise = table.capped_noise(crossover, horizon, scale / math.sqrt(table.kernel(crossover)))
    signal = 0.5 * table.signal(horizon)
    noise *= 0.5 * spectrum.noise**2
    return OptimalSchedule(float(data), float(peak), float(horizon), float(crossover), float(scale),
                           spectrum.approximation_error + signal + noise, signal, noise, x, spent, gamma)


def _validated(problem, data, peak):
    if not (np.isfinite(data) and data >= 1):
        raise ValueError(f"data is {data}; it must be finite and >= 1")
    if not (np.isfinite(peak) and peak > 0):
        raise ValueError(f"peak is {peak}; it must be finite and > 0")
    if not problem.noise > 0:
        raise ValueError("noise is 0; the schedule is optimal for label noise > 0, without noise the cap is best")
    return _compressed(problem, data * peak)


def _compressed(problem, horizon):
    return compress(problem, horizon) if isinstance(problem, PowerLawRegression) else problem
