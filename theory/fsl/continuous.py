r"""Continuous-time SGD: mode equations of the SDE, and the Volterra equation of isotropic gradient noise.

In intrinsic time the SDE of Li et al. (arXiv 2509.19189, eq. 7) is ``dv = -grad R dt + sqrt(gamma(t) Sigma(v)) dB``
with noise level ``gamma = eta/B``.  For independent features of kurtosis kappa (Gaussian: 3) the diagonal of Sigma in
the eigenbasis is ``lambda_j S + (kappa - 2) lambda_j^2 u_j^2``, so second moments ``m_j = E[u_j^2]`` obey (derived)

    m_j' = -2 lambda_j m_j + gamma(t) [ lambda_j S(t) + (kappa - 2) lambda_j^2 m_j ],
    S = sum_j lambda_j m_j + sigma_M^2,            excess risk E = delta_M + (1/2) sum_j lambda_j m_j .

Without the ``(kappa - 2)`` term (*isotropic* noise, ``Sigma = S H``) this is exactly the convolution equation

    E(t) = delta_M + e_M(t)/2 + int_0^t K_M(t - z) gamma(z) [E(z) + sigma^2/2] dz .

Two solvers that share nothing but the sums over modes:

- :func:`sde_risk`, an exponential integrator: ``gamma S`` is linear between grid points, each mode is integrated
  exactly against it, and the new S enters linearly, so every step is one scalar division.  Grids are geometric from
  every jump of gamma, are halved until Romberg extrapolation in h^2 agrees with itself, and reach T = 1e9 in
  milliseconds;
- :func:`volterra_risk`, product integration of the convolution equation on a uniform grid (kernel exactly, ``gamma S``
  linearly; Linz, Analytical and Numerical Methods for Volterra Equations, 1985, Ch. 8): O(N^2), error O(h^2).

For constant gamma, :func:`eigen_sde_risk` is the closed form.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..arguments import numbers
from ..batch_sizes import as_sizes
from .recursion import resolve

MAX_STAGES = 200_000
"""Most jumps of a noise profile; longer schedules are what the discrete recursion is for."""

PANELS_PER_FOLD = 3
"""Coarsest grid intervals per e-fold of time since the last jump."""

LEVELS = 8
"""Most halvings of the grid."""

RAMP_SERIES = tuple(1.0 / math.factorial(k) for k in range(13, 1, -1))
"""Taylor coefficients of ``(e^z - 1 - z)/z^2``, highest power first; truncation below 1e-17 for |z| < 1/4."""


@dataclass(frozen=True, eq=False)
class NoiseProfile:
    """A piecewise constant noise level ``gamma(t)`` in intrinsic time.

    Parameters
    ----------
    edges : array_like, shape (m + 1,)
        Strictly increasing, starting at 0; the last one may be ``inf``.
    levels : array_like, shape (m,)
        ``gamma = eta/B`` on ``edges[i] <= t < edges[i+1]``, finite and >= 0.
    """

    edges: np.ndarray
    levels: np.ndarray

    def __post_init__(self):
        edges, levels = numbers(self.edges, "edges"), numbers(self.levels, "levels")
        if levels.ndim != 1 or levels.size == 0 or edges.shape != (levels.size + 1,):
            raise ValueError(f"edges {edges.shape} and levels {levels.shape} must be (m + 1,) and (m,), m >= 1")
        if edges[0] != 0 or not np.all(np.diff(edges) > 0):
            raise ValueError("edges must start at 0 and increase strictly")
        if not np.all(np.isfinite(levels) & (levels >= 0)):
            raise ValueError(f"noise levels reach from {levels.min()} to {levels.max()}; they must be finite and >= 0")
        for name, array in (("edges", edges), ("levels", levels)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __call__(self, times):
        """``gamma`` at intrinsic times inside the profile; at a jump, the value after it."""
        place = np.searchsorted(self.edges, times, side="right") - 1
        return self.levels[np.clip(place, 0, self.levels.size - 1)]


@dataclass(frozen=True, eq=False)
class Curve:
    """An excess risk in intrinsic time.

    Attributes
    ----------
    intrinsic_time, excess_risk : ndarray, shape (n,)
    error_bound : float
        Estimate of the largest relative error of ``excess_risk`` as a solution of its equation.
    """

    intrinsic_time: np.ndarray
    excess_risk: np.ndarray
    error_bound: float

    @property
    def final(self) -> float:
        """Excess risk at the last time."""
        return float(self.excess_risk[-1])


def from_schedule(schedule, batch_size=1):
    """Noise profile of a schedule: ``gamma = eta_k/B_k`` for the intrinsic time ``eta_k`` of step k.

    Steps of rate 0 take no intrinsic time and drop out; equal neighbours are merged.
    """
    sizes = as_sizes(batch_size, schedule.steps)
    lasting = np.diff(schedule.intrinsic_time) > 0
    levels = (schedule.rates / sizes)[lasting]
    starts = schedule.intrinsic_time[:-1][lasting]
    new = np.concatenate([[True], levels[1:] != levels[:-1]])
    return NoiseProfile(np.append(starts[new], schedule.intrinsic_time[-1]), levels[new])


def sde_risk(problem, gamma, times, isotropic=False, breakpoints=(), tolerance=1e-7):
    """Expected excess risk of the SDE at intrinsic times, by an exponential integrator.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        A problem is compressed up to the last time; infinite width is possible.
    gamma : float, NoiseProfile or callable
        Noise level ``eta/B``.  A callable is evaluated on arrays of intrinsic times and must be smooth between
        `breakpoints`.
    times : array_like, shape (n,)
        Strictly increasing, >= 0.
    isotropic : bool
        Drop ``(kappa - 2) lambda_j^2 m_j``: the Volterra equation.
    breakpoints : sequence of float
        Where a callable jumps or bends.
    tolerance : float
        Relative error wanted, in [1e-12, 0.1].

    Returns
    -------
    Curve
        ``error_bound`` is the last change of the Romberg table (plus compression), reached or not.

    Raises
    ------
    ValueError
        If the risk overflows, or for arguments out of range.
    """
    times = _checked_times(times)
    if not 1e-12 <= tolerance <= 0.1:
        raise ValueError(f"tolerance is {tolerance}; it must be in [1e-12, 0.1]")
    horizon = float(times[-1])
    spectrum, compression_error = resolve(problem, max(horizon, 1e-6))
    if horizon == 0.0:
        start = spectrum.approximation_error + 0.5 * spectrum.sum(spectrum.eigenvalues * spectrum.target_squared)
        return Curve(times, np.array([start]), compression_error)
    stages = _stages(gamma, horizon, breakpoints)
    partition = [_partition(a, b, times, 0.25 / float(spectrum.eigenvalues.max())) for a, b, _ in stages]
    previous, change = [], math.inf
    for level in range(LEVELS + 1):
        row = [_integrate(spectrum, stages, partition, times, level, isotropic)]
        if not np.all(np.isfinite(row[0])):
            previous = []
            continue
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (4.0**order - 1.0))
        if len(previous) >= 2:
            change = float(np.max(np.abs(row[-1] / previous[-1] - 1.0)))
            if change <= tolerance:
                break
        previous = row
    if not math.isfinite(change):
        raise ValueError(f"noise level reaches {_largest(stages):.6g}; the risk overflows before t = {horizon:g}, the "
                         "noise ratio sum gamma lambda/2 must stay below about 1")
    amplification = 1.0 / max(1.0 - _noise_ratio(spectrum, _largest(stages), isotropic), 0.01)
    return Curve(times, row[-1], change + compression_error * amplification)


def eigen_sde_risk(spectrum, gamma, times, isotropic=False):
    """Closed form of the SDE's excess risk for a constant noise level, from one eigendecomposition.

    Parameters
    ----------
    spectrum : Spectrum
        n modes or nodes; O(n^3).
    gamma : float
        Constant noise level >= 0.
    times : array_like
        Intrinsic times >= 0.
    isotropic : bool

    Returns
    -------
    ndarray, shape of `times`
    """
    times = np.asarray(times, dtype=np.float64)
    if not (np.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"noise level is {gamma}; it must be finite and >= 0")
    if np.any(~(times >= 0)):
        raise ValueError(f"times reach down to {times.min()}; they must be >= 0")
    root, values = np.sqrt(spectrum.multiplicity), spectrum.eigenvalues
    direction = root * values
    own = 0.0 if isotropic else spectrum.kurtosis - 2.0
    generator = np.diag(2.0 * values - gamma * own * values**2) - gamma * np.outer(direction, direction)
    slow, vectors = np.linalg.eigh(generator)
    along, start = direction @ vectors, (root * spectrum.target_squared) @ vectors
    exponent = -np.multiply.outer(times, slow)
    with np.errstate(over="ignore"):
        safe = np.where(slow == 0.0, 1.0, slow)
        added = np.where(slow == 0.0, times[..., None], -np.expm1(exponent) / safe)
        signal = np.exp(exponent) @ (along * start)
    risk = spectrum.approximation_error + 0.5 * (signal + gamma * spectrum.label_variance * (added @ along**2))
    if not np.all(np.isfinite(risk)):
        raise ValueError(f"noise level is {gamma}; the risk overflows, sum gamma lambda/2 must stay below about 1")
    return risk


def volterra_risk(problem, gamma, horizon, points=2000, breakpoints=()):
    """Excess risk under isotropic noise by product integration of the Volterra equation on a uniform grid.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    gamma : float, NoiseProfile or callable
        Jumps should fall on grid points, else the order drops to one.
    horizon : float
        Last intrinsic time T > 0.
    points : int
        Number of intervals N in [2, 50000]; time O(N^2).
    breakpoints : sequence of float

    Returns
    -------
    Curve
        At ``t_n = n T/N``; ``error_bound`` is the relative difference from the solution with N/2 intervals, divided
        by 3 (second order).
    """
    if points != int(points) or not 2 <= points <= 50_000:
        raise ValueError(f"points is {points}; it must be an integer in [2, 50000]")
    spectrum, error = resolve(problem, _positive_horizon(horizon))
    fine = _product_integration(spectrum, gamma, horizon, int(points), breakpoints)
    half = int(points) // 2
    coarse = _product_integration(spectrum, gamma, horizon * (2 * half / points), half, breakpoints)
    error += float(np.max(np.abs(coarse / fine[: 2 * half + 1 : 2] - 1.0))) / 3.0
    return Curve(np.linspace(0.0, horizon, int(points) + 1), fine, error)


def neumann_iterates(problem, gamma, horizon, points=2000, count=4, breakpoints=()):
    """Picard iterates of the Volterra equation on the grid of :func:`volterra_risk`.

    Iterate 0 is ``delta_M + e_M/2``; iterate n contains the noise of noise up to order n.  In terms of the risk
    ``E + sigma^2/2`` they are the partial sums of the Neumann series, whose remainder after iterate n is ``rho^{n+1}``
    times the risk when the risk has become stationary, ``rho = gamma tr(H_M)/2`` (derived).

    Returns
    -------
    times : ndarray, shape (points + 1,)
    iterates : ndarray, shape (count + 1, points + 1)
    """
    if count != int(count) or count < 0:
        raise ValueError(f"count is {count}; it must be an integer >= 0")
    spectrum, _ = resolve(problem, _positive_horizon(horizon))
    times = np.linspace(0.0, horizon, int(points) + 1)
    left, right = _step_levels(gamma, times, breakpoints)
    before, after, free = _product_weights(spectrum, times)
    iterates = [free]
    for _ in range(int(count)):
        risk = iterates[-1] + 0.5 * spectrum.noise**2
        memory = np.convolve(before, left * risk[:-1])[:points] + np.convolve(after, right * risk[1:])[:points]
        iterates.append(free + np.concatenate([[0.0], memory]))
    return times, np.array(iterates)


def _checked_times(times):
    times = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if times.ndim != 1 or not np.all(np.isfinite(times)) or times[0] < 0 or np.any(np.diff(times) <= 0):
        raise ValueError(f"times are {np.array2string(times, threshold=6)}; they must be finite, >= 0 and increase "
                         "strictly")
    return times


def _positive_horizon(horizon):
    if not (np.isfinite(horizon) and horizon > 0):
        raise ValueError(f"horizon is {horizon}; it must be finite and > 0")
    return float(horizon)


def _stages(gamma, horizon, breakpoints):
    """List of (start, end, callable) with a smooth noise level on each."""
    if isinstance(gamma, NoiseProfile):
        if gamma.edges[-1] < horizon * (1.0 - 1e-12):
            raise ValueError(f"noise profile ends at t = {gamma.edges[-1]:g}; it must reach the last time {horizon:g}")
        count = int(np.searchsorted(gamma.edges, horizon))
        if count > MAX_STAGES:
            raise ValueError(f"noise profile has {count} stages; at most {MAX_STAGES} are integrated")
        ends = np.minimum(gamma.edges[1:count + 1], horizon)
        ends[-1] = horizon
        return [(a, b, level) for a, b, level in zip(gamma.edges[:count], ends, gamma.levels)]
    if not callable(gamma):
        return _stages(NoiseProfile([0.0, math.inf], [gamma]), horizon, ())
    inner = sorted(b for b in set(map(float, breakpoints)) if 0.0 < b < horizon)
    edges = [0.0, *inner, horizon]
    return [(a, b, gamma) for a, b in zip(edges[:-1], edges[1:])]


def _levels(stage, times):
    """Noise level of a stage at its grid points, one-sided at both ends."""
    a, b, level = stage
    if not callable(level):
        return np.full(times.size, level)
    inside = np.clip(times, a, np.nextafter(b, a))
    values = np.broadcast_to(np.asarray(level(inside), dtype=np.float64), times.shape)
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(f"noise level reaches from {values.min()} to {values.max()}; it must be finite and >= 0")
    return values


def _largest(stages):
    return max(float(np.max(_levels(stage, np.linspace(stage[0], stage[1], 33)))) for stage in stages)


def _noise_ratio(spectrum, gamma, isotropic):
    """``sum_j gamma lambda_j/(2 - q gamma lambda_j)``: how much of its own noise the risk feeds back."""
    bend = 0.0 if isotropic else max(spectrum.kurtosis - 2.0, 0.0) * gamma * spectrum.eigenvalues
    return float(spectrum.sum(gamma * spectrum.eigenvalues / (2.0 - bend))) if np.max(bend) < 2.0 else math.inf


def _partition(a, b, times, scale):
    """Coarsest grid of a stage in the coordinate ``log(1 + (t - a)/scale)``, output times included."""
    length = math.log1p((b - a) / scale)
    wanted = np.log1p((times[(times > a) & (times < b)] - a) / scale)
    grid = np.concatenate([np.linspace(0.0, length, max(2, math.ceil(PANELS_PER_FOLD * length)) + 1), wanted])
    return np.unique(grid), scale


def _integrate(spectrum, stages, partition, times, level, isotropic):
    """Excess risk at `times` on the partition halved `level` times; inf where a step has no solution."""
    fractions = np.arange(2**level) / 2**level
    steps, left, right = [], [], []
    grid = [0.0]
    for stage, (coarse, scale) in zip(stages, partition):
        a, b, _ = stage
        coordinate = (coarse[:-1, None] + np.diff(coarse)[:, None] * fractions).ravel()
        edges = np.append(a + scale * np.expm1(coordinate), b)
        edges[0] = a
        levels = _levels(stage, edges)
        steps.append(np.diff(edges))
        left.append(levels[:-1])
        right.append(levels[1:])
        grid.append(edges[1:])
    grid = np.concatenate([np.atleast_1d(part) for part in grid])
    # nodes that stand for output times carry their rounding of log1p and expm1: take the nearest grid point
    place = np.searchsorted(grid, times)
    place = np.where((place > 0) & ((place == grid.size) | (np.abs(grid[np.minimum(place, grid.size - 1)] - times)
                                                              > np.abs(grid[place - 1] - times))), place - 1, place)
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    totals = _march(weights * values * spectrum.target_squared, values, weights * values**2,
                    *(np.concatenate(part) for part in (steps, left, right)), spectrum.label_variance,
                    0.0 if isotropic else spectrum.kurtosis - 2.0)
    return spectrum.approximation_error + 0.5 * totals[place]


@njit(cache=True)
def _march(state, values, push, steps, left, right, label_variance, correction):
    """Exponential integrator for ``q_i = w_i lambda_i m_i``; returns ``sum q`` at all grid points."""
    n = state.size
    totals = np.empty(steps.size + 1)
    total = 0.0
    for i in range(n):
        total += state[i]
    totals[0] = total
    new = np.empty(n)
    for k in range(steps.size):
        h = steps[k]
        force = left[k] * (totals[k] + label_variance)
        own = correction * 0.5 * (left[k] + right[k])
        known, implicit = 0.0, 0.0
        for i in range(n):
            z = (own * values[i] - 2.0) * values[i] * h
            decay, whole, ramp = _phi(z)
            kept = decay * state[i] + h * push[i] * (whole - ramp) * force
            gain = h * push[i] * ramp
            state[i] = kept
            new[i] = gain
            known += kept
            implicit += gain
        slope = 1.0 - right[k] * implicit
        if not slope > 0.0:
            totals[k + 1:] = np.inf
            return totals
        total = (known + right[k] * implicit * label_variance) / slope
        force = right[k] * (total + label_variance)
        for i in range(n):
            state[i] += new[i] * force
        totals[k + 1] = total
        if not total < 1e300:
            totals[k + 1:] = np.inf
            return totals
    return totals


@njit(cache=True)
def _phi(z):
    """``e^z``, ``(e^z - 1)/z`` and ``(e^z - 1 - z)/z^2`` to about 1e-15, by series where they cancel."""
    if abs(z) < 0.25:
        ramp = 0.0
        for coefficient in RAMP_SERIES:
            ramp = ramp * z + coefficient
        whole = 1.0 + z * ramp
        return 1.0 + z * whole, whole, ramp
    decay = math.exp(z)
    whole = (decay - 1.0) / z
    return decay, whole, (whole - 1.0) / z


def _step_levels(gamma, times, breakpoints):
    """Noise level after the left end and before the right end of each grid interval."""
    stages = _stages(gamma, float(times[-1]), breakpoints)
    left, right = np.empty(times.size - 1), np.empty(times.size - 1)
    slack = 1e-9 * times[1]
    for a, b, level in stages:
        first, last = np.searchsorted(times, [a - slack, b - slack])
        stage = (a, b, level)
        left[first:last] = _levels(stage, np.maximum(times[first:last], a))
        right[first:last] = _levels(stage, np.minimum(times[first + 1:last + 1], b))
    return left, right


def _product_weights(spectrum, times):
    """Weights of the left and right ends of past intervals, and the noise-free risk.

    Interval m steps back carries ``int K (1 - x) `` and ``int K x`` with x the fraction of the interval.
    """
    values, weights, h = spectrum.eigenvalues, spectrum.multiplicity, times[1]
    z = 2.0 * values * h
    decay = np.exp(-np.multiply.outer(times, 2.0 * values))
    # int_0^h e^{-2 lambda (h - s)} s/h ds and its complement, per mode
    rising = np.where(z < 1e-3, 0.5 - z / 6.0 + z**2 / 24.0 - z**3 / 120.0, (z + np.expm1(-z)) / np.maximum(z, 1e-3)**2)
    whole = -np.expm1(-z) / z
    after = decay[:-1] @ (weights * values**2 * h * rising)
    before = decay[:-1] @ (weights * values**2 * h * (whole - rising))
    free = spectrum.approximation_error + 0.5 * decay @ (weights * values * spectrum.target_squared)
    return before, after, free


def _product_integration(spectrum, gamma, horizon, points, breakpoints):
    times = np.linspace(0.0, horizon, points + 1)
    left, right = _step_levels(gamma, times, breakpoints)
    before, after, free = _product_weights(spectrum, times)
    return _substitute(before, after, left, right, free, 0.5 * spectrum.noise**2)


@njit(cache=True)
def _substitute(before, after, left, right, free, base):
    """Forward substitution of ``E_n = free_n + sum_m before[n-1-m] left_m (E_m + base) + after[...] right_m (...)``."""
    points = left.size
    risk = np.empty(points + 1)
    risk[0] = free[0]
    pushed = np.empty(points)
    pulled = np.empty(points)
    for n in range(1, points + 1):
        pushed[n - 1] = left[n - 1] * (risk[n - 1] + base)
        known = free[n]
        for m in range(n):
            known += before[n - 1 - m] * pushed[m]
        for m in range(n - 1):
            known += after[n - 1 - m] * pulled[m]
        own = after[0] * right[n - 1]
        risk[n] = (known + own * base) / (1.0 - own)
        pulled[n - 1] = right[n - 1] * (risk[n] + base)
    return risk
