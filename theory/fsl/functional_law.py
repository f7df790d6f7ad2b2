r"""The functional scaling law: risk as a functional of the learning-rate schedule.

With intrinsic time ``t``, ``gamma = eta/B`` and the two functions of the spectrum

    e_M(t) = sum_{j<=M} lambda_j theta*_j^2 exp(-2 lambda_j t)       signal
    K_M(t) = sum_{j<=M} lambda_j^2 exp(-2 lambda_j t)                forgetting kernel

the law of Li et al. (arXiv 2509.19189, Thms 4.2 to 4.5) states, up to constants,

    E(t) ~ M^{-s beta} + e(t) + int_0^t K(t - z) [e(z) + sigma^2] gamma(z) dz .

``e, K`` are either the mode sums (``e_M, K_M``, or ``e_inf, K_inf``) or the power laws ``(1+t)^-s`` and
``(1+t)^-(2-1/beta)``.  Training runs in steps; the integral over step n, whose ``gamma dz`` is ``eta_n^2/B_n``, is

    int_0^{t_q} K(t_q - z) q(z) gamma(z) dz  ->  sum_{n<q} (eta_n^2/B_n) K(t_q - t_{n+1}) q(t_n):

the noise of step n is set by the risk before it and forgotten only in the steps after it.  This is the second-moment
recursion of SGD with ``exp(-2 x)``, x = eta lambda, in place of ``1 - 2 x + (1 + 1/B) x^2`` (derived; Gaussian
features): equal to second order in x at batch size one, to first order otherwise.

Every kernel used here is a sum of Q exponentials, so N steps cost O(N Q).  Power laws become one by the trapezoidal
rule in u for ``(1+t)^-p = int exp(p u - e^u (1 + t)) du / Gamma(p)``, whose error :func:`exponential_sum` bounds.

The Volterra equation behind the law (derived; isotropic gradient noise) is

    E(t) = delta_M + e_M(t)/2 + int_0^t K_M(t - z) [E(z) + sigma^2/2] gamma(z) dz .

Its first Picard iterate from ``E = delta_M + e_M/2`` is the printed law with constants 1/2 instead of 1.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from scipy.special import gamma as gamma_function
from scipy.special import gammainc, gammaincc, loggamma

from ..batch_sizes import as_sizes
from .problem import PowerLawRegression, Spectrum
from .recursion import Trajectory, recorded_steps, resolve

LANES = 8
KERNELS = ("modes", "power")
LIMITS = ("width", "infinite")
AMPLITUDES = ("printed", "picard")
TOLERANCE = 1e-10
SPACING = 0.28
"""Step of the trapezoidal rule in u: its aliasing error is below 1e-13 for exponents up to 2."""


@dataclass(frozen=True)
class LawTerms:
    """The terms of the functional law at recorded steps, without any constant in front.

    Attributes
    ----------
    steps : ndarray of int, shape (n,)
    intrinsic_time : ndarray, shape (n,)
    approximation : float
        ``M^{-s beta}`` (power-law problem) or ``2 delta_M`` (spectrum).
    signal : ndarray, shape (n,)
        ``e(t)``.
    signal_noise : ndarray, shape (n,)
        ``int K(t - z) e(z) gamma(z) dz``: noise of the not yet learned target.
    label_noise : ndarray, shape (n,)
        ``sigma^2 int K(t - z) gamma(z) dz``.
    error_bound : float
        Bound on the relative error of ``signal`` and of the two noise terms by quadrature or compression.
    """

    steps: np.ndarray
    intrinsic_time: np.ndarray
    approximation: float
    signal: np.ndarray
    signal_noise: np.ndarray
    label_noise: np.ndarray
    error_bound: float

    @property
    def noise(self):
        """The whole convolution, ``signal_noise + label_noise``."""
        return self.signal_noise + self.label_noise


def signal(spectrum, times):
    """``e_M(t) = sum_j lambda_j theta*_j^2 exp(-2 lambda_j t)``, shape of ``times`` (intrinsic, >= 0)."""
    return _mode_sum(spectrum, spectrum.eigenvalues * spectrum.target_squared, times)


def kernel(spectrum, times):
    """``K_M(t) = sum_j lambda_j^2 exp(-2 lambda_j t)``, shape of ``times`` (intrinsic, >= 0)."""
    return _mode_sum(spectrum, spectrum.eigenvalues**2, times)


def power_signal(problem, times):
    """``(1 + t)^-s``."""
    return np.exp(-problem.source * np.log1p(_checked_times(times)))


def power_kernel(problem, times):
    """``(1 + t)^-(2 - 1/beta)``."""
    return np.exp(-problem.kernel_exponent * np.log1p(_checked_times(times)))


def exponential_sum(exponent, horizon, tolerance=TOLERANCE):
    """``(1+t)^-p`` on [0, horizon] as a sum of exponentials ``sum_i w_i exp(-r_i t)``.

    Parameters
    ----------
    exponent : float
        ``p`` in (0, 4].
    horizon : float
        Largest t, >= 0.
    tolerance : float
        Wanted relative error, in [1e-12, 0.1].

    Returns
    -------
    rates, weights : ndarray, shape (Q,)
    error : float
        Rigorous bound on the relative error: aliasing ``2 sum_m |Gamma(p + 2 pi i m/h)|/Gamma(p)`` (Poisson
        summation; h = :data:`SPACING`) plus both truncated tails of the integral.

    Raises
    ------
    ValueError
        For an argument outside its range.
    """
    if not 0 < exponent <= 4:
        raise ValueError(f"exponent is {exponent}; it must be in (0, 4]")
    if not (np.isfinite(horizon) and horizon >= 0):
        raise ValueError(f"horizon is {horizon}; it must be finite and >= 0")
    if not 1e-12 <= tolerance <= 0.1:
        raise ValueError(f"tolerance is {tolerance}; it must be in [1e-12, 0.1]")
    low = (math.log(tolerance / 4.0) + float(loggamma(exponent + 1.0))) / exponent - math.log1p(horizon)
    top = math.log(-math.log(tolerance) + 4.0 + 3.0 * exponent)
    nodes = low + SPACING * np.arange(math.ceil((top - low) / SPACING) + 1)
    rates = np.exp(nodes)
    weights = SPACING * np.exp(exponent * nodes - rates) / gamma_function(exponent)
    harmonics = np.arange(1, 4) * 2.0 * np.pi / SPACING
    aliasing = 2.0 * np.sum(np.exp(loggamma(exponent + 1j * harmonics).real)) / gamma_function(exponent)
    lower = gammainc(exponent, math.exp(nodes[0]) * (1.0 + horizon))
    upper = gammaincc(exponent, math.exp(nodes[-1]))
    return rates, weights, float(aliasing + lower + upper)


def law_terms(problem, schedule, batch_size=1, times=None, kernel="modes", limit="width"):
    """Terms of the functional law one by one, for linear fits and for looking at them; O(N Q).

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        A :class:`Spectrum` has mode sums only (``kernel="modes"``, ``limit="width"``).
    schedule : Schedule
        N steps.
    batch_size : int, sequence or BatchSchedule
    times : array_like of int, optional
        Recorded steps in 0..N, strictly increasing; default about 400 of them.
    kernel : {"modes", "power"}
        Sums over the modes of the model, or ``(1+t)^-p``.
    limit : {"width", "infinite"}
        Mode sums over the model's M features (``F_M``) or over all features (``F_inf``); power laws stand
        for infinitely many.

    Returns
    -------
    LawTerms

    Raises
    ------
    ValueError
        For unknown options, steps outside 0..N or a batch-size schedule of another length.

    Notes
    -----
    Source: arXiv 2509.19189, eq. of Thm 4.2 (power laws, ``limit="infinite"``), Thms 4.3 to 4.5.  Memory is that of a
    few copies of the schedule.
    """
    _check_choice(kernel, "kernel", KERNELS)
    _check_choice(limit, "limit", LIMITS)
    recorded = recorded_steps(schedule.steps, times)
    clock = schedule.intrinsic_time
    strength = schedule.rates**2 / as_sizes(batch_size, schedule.steps)
    if kernel == "power":
        _need_problem(problem, 'kernel="power"')
        rates, weights, error = exponential_sum(problem.kernel_exponent, float(clock[-1]))
        source = power_signal(problem, clock)
        shown = source[recorded]
    else:
        rates, signal_weights, weights, rest, error = _mode_nodes(problem, float(clock[-1]), limit)
        source = rest + _decaying_sum(rates, signal_weights, schedule.rates)
        shown = source[recorded]
    pair = np.stack([source[:-1], np.full(schedule.steps, float(problem.noise) ** 2)])
    convolved = _convolve(rates, weights, schedule.rates, strength, pair, False, recorded)
    return LawTerms(recorded, clock[recorded], _approximation(problem), shown, convolved[0], convolved[1], error)


def functional_law(problem, schedule, batch_size=1, times=None, kernel="modes", amplitude="printed", limit="width"):
    """The functional scaling law along a training run; O(N Q).

    Parameters
    ----------
    problem, schedule, batch_size, times, kernel, limit
        As for :func:`law_terms`.
    amplitude : {"printed", "picard"}
        ``"printed"``: ``M^{-s beta} + e + K * [e + sigma^2]``, every constant of the "~" equal to one.
        ``"picard"``: ``delta_M + e/2 + K * [e/2 + delta_M + sigma^2/2]``, the first Picard iterate of the Volterra
        equation, i.e. the same law with the constants it has for small learning rates.

    Returns
    -------
    Trajectory
        ``error_bound`` is the relative error of the quadrature, not of the law.

    Notes
    -----
    Source: arXiv 2509.19189, Thms 4.2 to 4.5; the constants of "picard" are derived.
    """
    _check_choice(amplitude, "amplitude", AMPLITUDES)
    terms = law_terms(problem, schedule, batch_size, times, kernel, limit)
    if amplitude == "printed":
        risk = terms.approximation + terms.signal + terms.noise
    else:
        delta = problem.approximation_error
        label = terms.label_noise
        if delta > 0:
            strength = schedule.rates**2 / as_sizes(batch_size, schedule.steps)
            label = label + 2.0 * delta * _unit_noise(problem, schedule, strength, terms.steps, kernel, limit)
        risk = delta + 0.5 * (terms.signal + terms.signal_noise + label)
    return Trajectory(terms.steps, terms.intrinsic_time, risk, terms.error_bound)


def picard(problem, schedule, batch_size=1, iterations=1, times=None):
    """Picard iterates of the isotropic Volterra equation of the risk, by O(N Q) sweeps.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    schedule : Schedule
    batch_size : int, sequence or BatchSchedule
    iterations : int or inf
        Number of sweeps >= 0 from ``E = delta_M + e_M/2``; ``inf`` solves the equation in one forward sweep.
    times : array_like of int, optional

    Returns
    -------
    Trajectory

    Notes
    -----
    The error of iterate n is about ``rho^(n+1)``, ``rho = max(gamma) tr(H)/2`` (derived).  ``iterations=1`` is
    ``functional_law(..., amplitude="picard")``.
    """
    if not (iterations == math.inf or (iterations >= 0 and iterations == int(iterations))):
        raise ValueError(f"iterations is {iterations}; it must be a whole number >= 0 or inf")
    recorded = recorded_steps(schedule.steps, times)
    everything = np.arange(schedule.steps + 1)
    rates, signal_weights, weights, rest, error = _mode_nodes(problem, float(schedule.intrinsic_time[-1]), "width")
    strength = schedule.rates**2 / as_sizes(batch_size, schedule.steps)
    delta = problem.approximation_error
    risk = delta + 0.5 * (rest + _decaying_sum(rates, signal_weights, schedule.rates))
    start = 2.0 * risk + problem.noise**2
    if iterations == math.inf:
        added = _convolve(rates, weights, schedule.rates, strength, start[None, :-1], True, recorded)[0]
        risk = risk[recorded] + 0.5 * added
    else:
        twice = start
        for _ in range(int(iterations)):
            added = _convolve(rates, weights, schedule.rates, strength, twice[None, :-1], False, everything)[0]
            twice = start + added
        risk = 0.5 * (twice[recorded] - problem.noise**2)
    return Trajectory(recorded, schedule.intrinsic_time[recorded], risk, error)


def _unit_noise(problem, schedule, strength, recorded, kernel, limit):
    """``int K(t - z) gamma(z) dz``: noise per unit of label variance."""
    horizon = float(schedule.intrinsic_time[-1])
    if kernel == "power":
        rates, weights, _ = exponential_sum(problem.kernel_exponent, horizon)
    else:
        rates, _, weights, _, _ = _mode_nodes(problem, horizon, limit)
    ones = np.ones((1, schedule.steps))
    return _convolve(rates, weights, schedule.rates, strength, ones, False, recorded)[0]


def _mode_nodes(problem, horizon, limit):
    """Decay rates, weights of signal and kernel, constant rest of the signal, relative error."""
    if isinstance(problem, Spectrum):
        if limit != "width":
            raise ValueError(f"limit is {limit!r}; a Spectrum has its own modes only, it must be 'width'")
        modes, rest, error = problem, 0.0, 0.0
    else:
        whole = replace(problem, width=math.inf) if limit == "infinite" else problem
        modes, error = resolve(whole, horizon)
        rest = max(0.0, 2.0 * (modes.approximation_error - whole.approximation_error))
    weighted = modes.multiplicity * modes.eigenvalues
    return 2.0 * modes.eigenvalues, weighted * modes.target_squared, weighted * modes.eigenvalues, rest, error


def _approximation(problem):
    if isinstance(problem, PowerLawRegression):
        return float(problem.width) ** -problem.difficulty
    return 2.0 * problem.approximation_error


def _mode_sum(spectrum, values, times):
    times = _checked_times(times)
    values = values * spectrum.multiplicity
    flat = np.array([np.dot(values, np.exp(-2.0 * spectrum.eigenvalues * t)) for t in np.ravel(times)])
    return flat.reshape(np.shape(times))


def _checked_times(times):
    times = np.asarray(times, dtype=np.float64)
    if times.size and not np.all(times >= 0):
        raise ValueError(f"time is {times.min()}; it must be >= 0")
    return times


def _check_choice(value, name, choices):
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def _need_problem(problem, what):
    if not isinstance(problem, PowerLawRegression):
        raise ValueError(f"{what} needs a PowerLawRegression, got a {type(problem).__name__}")


def _padded(*arrays):
    """Append zero nodes up to a multiple of the lane count."""
    extra = -arrays[0].size % LANES
    return [np.ascontiguousarray(np.pad(array, (0, extra))) for array in arrays]


def _decaying_sum(rates, weights, steps):
    """``sum_i w_i exp(-r_i t_n)`` at all N + 1 step boundaries."""
    rates, weights = _padded(rates, weights)
    return _decay_kernel(rates, weights, steps, _doublings(rates, steps))


def _convolve(rates, weights, steps, strength, sources, feedback, recorded):
    """``sum_{n<q} strength_n source_n sum_i w_i exp(-r_i (t_q - t_{n+1}))`` for each source (rows) and recorded q."""
    rates, weights = _padded(rates, weights)
    return _convolution_kernel(rates, weights, steps, strength, np.ascontiguousarray(sources), feedback, recorded,
                               _doublings(rates, steps))


def _doublings(rates, steps):
    """How often expm1 is doubled so that its polynomial sees arguments of at most 1/4."""
    largest = min(float(rates.max()) * float(steps.max()), CLIP)
    return max(0, math.ceil(math.log2(max(largest, 1e-300) / 0.25)))


CLIP = 64.0
"""Decay exponents per step beyond this one count as this one: exp(-64) = 1.6e-28 is forgotten either way."""


@njit(cache=True)
def _fill_expm1(rates, step, doublings, out):
    """``out_i = exp(-r_i step) - 1`` to a few ulp of itself: Taylor to degree 11, then expm1(2y) = d (2 + d)."""
    scale = step / 2.0**doublings
    limit = CLIP / 2.0**doublings
    for i in range(rates.size):
        y = -min(rates[i] * scale, limit)
        p = 1.0 / 39916800.0
        p = 1.0 / 3628800.0 + y * p
        p = 1.0 / 362880.0 + y * p
        p = 1.0 / 40320.0 + y * p
        p = 1.0 / 5040.0 + y * p
        p = 1.0 / 720.0 + y * p
        p = 1.0 / 120.0 + y * p
        p = 1.0 / 24.0 + y * p
        p = 1.0 / 6.0 + y * p
        p = 0.5 + y * p
        out[i] = y * (1.0 + y * p)
    for _ in range(doublings):
        for i in range(rates.size):
            out[i] = out[i] * (2.0 + out[i])


@njit(cache=True)
def _lane_sum(values, lanes):
    """Sum in eight interleaved lanes: vectorises without reassociating behind our back."""
    for k in range(LANES):
        lanes[k] = 0.0
    for start in range(0, values.size, LANES):
        for k in range(LANES):
            lanes[k] += values[start + k]
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))


@njit(cache=True)
def _decay_kernel(rates, weights, steps, doublings):
    state = weights.copy()
    decay = np.zeros(rates.size)
    lanes = np.zeros(LANES)
    sums = np.empty(steps.size + 1)
    sums[0] = _lane_sum(state, lanes)
    last = -1.0
    for n in range(steps.size):
        if steps[n] != last:
            last = steps[n]
            _fill_expm1(rates, last, doublings, decay)
        for i in range(rates.size):
            state[i] += state[i] * decay[i]
        sums[n + 1] = _lane_sum(state, lanes)
    return sums


@njit(cache=True)
def _convolution_kernel(rates, weights, steps, strength, sources, feedback, recorded, doublings):
    state = np.zeros((sources.shape[0], rates.size))
    decay = np.zeros(rates.size)
    lanes = np.zeros(LANES)
    out = np.zeros((sources.shape[0], recorded.size))
    last = -1.0
    place = 1 if recorded.size and recorded[0] == 0 else 0
    for n in range(steps.size):
        if steps[n] != last:
            last = steps[n]
            _fill_expm1(rates, last, doublings, decay)
        hit = place < recorded.size and recorded[place] == n + 1
        for k in range(sources.shape[0]):
            row = state[k]
            drive = sources[k, n]
            if feedback and n > 0:
                drive += _lane_sum(row, lanes)
            drive *= strength[n]
            for i in range(rates.size):
                row[i] += row[i] * decay[i] + weights[i] * drive
            if hit:
                out[k, place] = _lane_sum(row, lanes)
        if hit:
            place += 1
    return out
