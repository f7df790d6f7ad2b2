r"""Exact expected risk of one-pass stochastic gradient descent on linear regression.

Model.  Features ``x`` with independent coordinates of variance ``lambda_j`` and kurtosis ``kappa`` (in the eigenbasis
of their covariance), labels with noise of variance ``sigma_M^2 = sigma^2 + 2 delta_M`` (label noise plus what the
model cannot represent), loss ``(f - y)^2/2``, update ``v <- v - (eta/B) sum_{i<=B} (x_i.u - noise_i) x_i`` with
``u = v - v*`` and fresh data in every step.  Since

    E[x_j^2 (x.u)^2] - (lambda_j u_j)^2 = lambda_j sum_i lambda_i u_i^2 + (kappa - 2) lambda_j^2 u_j^2

and since products ``u_i u_j``, i != j, never feed back into squares, ``m_j = E[u_j^2]`` obeys a closed recursion,

    m_j <- [ 1 - 2 eta lambda_j + c eta^2 lambda_j^2 ] m_j + (eta^2/B) lambda_j S,      c = 1 + (kappa - 2)/B,
    S = sum_j lambda_j m_j + sigma_M^2 ,         excess risk = delta_M + (1/2) sum_j lambda_j m_j ,

exact for any learning-rate and batch-size schedule (derived; the model is Sec. 2 of Li et al., arXiv 2509.19189).
For constant ``eta`` and ``B`` the map is a diagonal plus a rank-one matrix, which gives the closed form, the
mean-square stability boundary and the stationary risk,

    stable  <=>  c eta lambda_1 < 2  and  r < 1,        r = (eta/B) sum_j lambda_j / (2 - c eta lambda_j),
    E_inf = delta_M + (sigma_M^2/2) r/(1 - r) .

For random-M models with Gaussian features the same recursion holds conditional on the projection, with the eigenvalues
and the target of the projected problem.

Accuracy.  A step rounds every mode once or twice, so K steps cost at most about ``3 K`` units of rounding
(1e-16), all relative to a sum of positive terms; compression adds what it states.  Both are in ``error_bound``.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize is loaded when it is first used
from numba import njit

from .. import batch_sizes, learning_rates
from ..arguments import numbers, shown
from .compression import compress_with_error
from .problem import PowerLawRegression, Spectrum

ROUNDING = 3.0 * np.finfo(np.float64).eps
"""Relative rounding error allowed for per step."""

OVERFLOW = 1e250
"""Excess risk at which a run is given up as divergent."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """An expected risk along a training run.

    Attributes
    ----------
    steps : ndarray of int64, shape (n,)
        Number of completed steps, 0 to K, increasing.
    intrinsic_time : ndarray, shape (n,)
        Accumulated learning rate after these steps.
    excess_risk : ndarray, shape (n,)
        Expected excess risk, including the approximation error.
    error_bound : float
        Largest relative error of ``excess_risk`` as an evaluation of its own formula (quadrature, compression,
        rounding); how far a formula is from the truth is another matter.
    """

    steps: np.ndarray
    intrinsic_time: np.ndarray
    excess_risk: np.ndarray
    error_bound: float = 0.0

    @property
    def final(self) -> float:
        """Excess risk at the last recorded step."""
        return float(self.excess_risk[-1])


@dataclass(frozen=True)
class Stability:
    """Mean-square stability of SGD at a constant rate.

    Attributes
    ----------
    stable : bool
        Whether expected squares stay bounded.
    noise_ratio : float
        ``r``: excess risk put back by gradient noise per unit of risk; ``inf`` beyond ``rate_bound``.
    rate_bound : float
        ``2/(c lambda_1)``, beyond which the first mode alone diverges.
    """

    stable: bool
    noise_ratio: float
    rate_bound: float


def recorded_steps(steps, times=None, count=400):
    """Return the steps at which a trajectory is recorded.

    Parameters
    ----------
    steps : int
        Length K of the run.
    times : array_like of int, optional
        Steps wanted, strictly increasing in 0..K.  Default: about `count` steps, half of them spaced evenly and half
        geometrically, with 0 and K among them.
    count : int

    Returns
    -------
    ndarray of int64
    """
    if times is None:
        half = max(2, count // 2)
        wanted = np.concatenate([[0], np.linspace(0, steps, half), np.geomspace(1, steps, half)])
        return np.unique(np.round(wanted).astype(np.int64))
    wanted = np.atleast_1d(numbers(times, "times"))
    whole = wanted.ndim == 1 and wanted.size > 0 and np.all(np.isfinite(wanted)) and np.all(wanted == np.floor(wanted))
    if not whole or np.any(np.diff(wanted) <= 0) or wanted[0] < 0 or wanted[-1] > steps:
        listed = " ".join(np.array2string(np.asarray(times), threshold=6).split())
        raise ValueError(f"times are {listed}; "
                         f"they must be whole and increase strictly within [0, {steps}]")
    return wanted.astype(np.int64)


def exact_risk(problem, schedule, batch_size=1, times=None, compressed=True):
    """Expected excess risk of SGD, exactly, for any learning-rate and batch-size schedule.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        Infinite width is possible when `compressed`.
    schedule : Schedule
        K steps.
    batch_size : int, array_like of shape (K,), or BatchSchedule
    times : array_like of int, optional
        Steps to record (see :func:`recorded_steps`).
    compressed : bool or float
        For a :class:`PowerLawRegression`: group the modes (True, or the tolerance of :func:`.compression.compress`) or
        follow every single one (False).  A :class:`Spectrum` is used as it is.

    Returns
    -------
    Trajectory
        ``error_bound`` holds for the spectrum that was given; compression errors grow by at most ``1/(1 - r)``
        through the noise feedback (r: the noise ratio of the schedule's extremes) or, if r >= 1, by the number of
        steps.

    Raises
    ------
    ValueError
        If the risk overflows (with the step and the stability bound), or for arguments out of range.

    Notes
    -----
    Time O(K n) for n nodes, memory O(n) beyond the schedule and what is recorded.
    """
    if not isinstance(schedule, learning_rates.Schedule):
        raise ValueError(f"schedule is {shown(schedule)}; it must be a Schedule (learning_rates.from_array makes one)")
    spectrum, error = resolve(problem, schedule.intrinsic_time[-1], compressed)
    steps = recorded_steps(schedule.steps, times)
    sizes = _sizes(batch_size, schedule.steps)
    values, weights, state, push = _initial_state(spectrum)
    risks = np.empty(steps.size)
    label_variance, correction = spectrum.label_variance, spectrum.kurtosis - 2.0
    done = 0
    for i, step in enumerate(steps):
        total = advance(state, values, push, schedule.rates, sizes, done, step, label_variance, correction)
        done = step
        risks[i] = spectrum.approximation_error + 0.5 * total
        if not risks[i] < OVERFLOW:
            raise ValueError(_divergence(spectrum, schedule, sizes, step))
    if error > 0.0:
        ratio = _largest_noise_ratio(spectrum, schedule, sizes)
        error *= 1.0 / (1.0 - ratio) if ratio < 1.0 - 1.0 / (schedule.steps + 1.0) else schedule.steps + 1.0
    return Trajectory(steps, schedule.intrinsic_time[steps], risks, error + ROUNDING * (done + 1.0))


def resolve(problem, horizon, compressed=True):
    """Return the spectrum of a problem and the relative error of its kernel and signal.

    A :class:`Spectrum` passes through; a :class:`PowerLawRegression` is compressed up to intrinsic time
    `horizon` (True, or a tolerance) or written out mode by mode (False).
    """
    if isinstance(problem, Spectrum):
        return problem, 0.0
    if not isinstance(problem, PowerLawRegression):
        raise ValueError(f"problem is a {type(problem).__name__}; it must be a PowerLawRegression or a Spectrum")
    if compressed is False:
        return problem.spectrum(), 0.0
    settings = {} if compressed is True else {"tolerance": compressed}
    made = compress_with_error(problem, horizon, **settings)
    return made.spectrum, made.error


@njit(cache=True)
def advance(state, values, push, rates, sizes, first, last, label_variance, correction):
    """Run steps ``first <= k < last`` on ``state_i = w_i lambda_i m_i`` in place and return ``sum_i state_i``.

    Parameters
    ----------
    state, values, push : ndarray, shape (n,)
        State, eigenvalues ``lambda_i``, and ``w_i lambda_i^2``.
    rates : ndarray, shape (K,)
    sizes : ndarray, shape (K,) or (1,)
        Batch sizes; one entry means a constant batch size.
    first, last : int
    label_variance : float
        ``sigma_M^2``.
    correction : float
        ``kappa - 2``.

    Notes
    -----
    The sum runs in eight fixed lanes: fast, and its bits do not depend on the compiler.
    """
    n = state.size
    blocks = n - n % 8
    total = _lane_sum(state, blocks)
    for k in range(first, last):
        rate = rates[k]
        size = sizes[k] if sizes.size > 1 else sizes[0]
        curvature = 1.0 + correction / size
        noise = rate * rate / size * (total + label_variance)
        for i in range(n):
            x = rate * values[i]
            state[i] = state[i] - state[i] * (x * (2.0 - curvature * x)) + noise * push[i]
        total = _lane_sum(state, blocks)
        if not total < 1e300:
            return np.inf
    return total


@njit(cache=True)
def _lane_sum(state, blocks):
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for i in range(0, blocks, 8):
        s0 += state[i]
        s1 += state[i + 1]
        s2 += state[i + 2]
        s3 += state[i + 3]
        s4 += state[i + 4]
        s5 += state[i + 5]
        s6 += state[i + 6]
        s7 += state[i + 7]
    total = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for i in range(blocks, state.size):
        total += state[i]
    return total


def eigen_risk(spectrum, rate, batch_size=1, times=(0,)):
    """Expected excess risk after any number of steps at a constant rate, from one eigendecomposition.

    Parameters
    ----------
    spectrum : Spectrum
        n modes or nodes; the cost is O(n^3).
    rate : float
        > 0; unstable rates are allowed as long as the risk does not overflow.
    batch_size : int
    times : array_like of int
        Numbers of steps >= 0, in any order.

    Returns
    -------
    ndarray, shape of `times`

    Notes
    -----
    With ``A = 1 - G`` symmetric, ``G = diag(x (2 - c x)) - (eta^2/B) v v^T``, ``v_i = sqrt(w_i) lambda_i``, the
    risk is ``delta + v^T [A^k y_0 + (eta^2/B) sigma_M^2 (sum_{i<k} A^i) v]/2`` and the geometric sum per eigenvalue
    is evaluated by expm1 and log1p, so that neither slow modes nor the stability boundary lose digits.  Eigenvalues
    carry an absolute error of some 1e-16, which k steps amplify to 1e-16 k relative; eigenvectors one of 1e-16 relative
    to ``|v| |y_0|``, which matters if the risk is much smaller.
    """
    rate, size = _rate(rate), _batch(batch_size)
    times = np.asarray(times, dtype=np.float64)
    if np.any(~(times >= 0)) or np.any(times != np.floor(times)):
        raise ValueError(f"times are {np.array2string(times, threshold=6)}; they must be whole and >= 0")
    generator, direction, start = _symmetric_map(spectrum, rate, size)
    slow, vectors = np.linalg.eigh(generator)
    along = direction @ vectors
    memory, added = _powers(slow, times.reshape(-1, 1))
    gain = rate**2 / size * spectrum.label_variance
    risk = spectrum.approximation_error + 0.5 * (memory @ (along * (start @ vectors)) + gain * (added @ along**2))
    if not np.all(np.isfinite(risk)):
        raise ValueError(f"learning rate is {rate}; the risk overflows beyond {critical_rate(spectrum, size):.6g}")
    return risk.reshape(times.shape)


def spectral_radius(spectrum, rate, batch_size=1):
    """Largest eigenvalue of the second-moment map at a constant rate; squares stay bounded if it is below 1."""
    generator, _, _ = _symmetric_map(spectrum, _rate(rate), _batch(batch_size))
    # the map has non-negative entries, so its spectral radius is its largest eigenvalue (Perron)
    return 1.0 - float(np.linalg.eigvalsh(generator)[0])


def stability(spectrum, rate, batch_size=1):
    """Mean-square stability of SGD at a constant rate (see :class:`Stability`)."""
    rate, size = _rate(rate), _batch(batch_size)
    curvature = _curvature(spectrum, size)
    top = float(spectrum.eigenvalues.max())
    bound = 2.0 / (curvature * top) if curvature > 0 else math.inf
    ratio = _noise_ratio(spectrum, rate, size) if rate < bound else math.inf
    return Stability(ratio < 1.0, ratio, bound)


def critical_rate(spectrum, batch_size=1):
    """Learning rate at which the noise ratio reaches one; SGD is mean-square stable below it."""
    size = _batch(batch_size)
    curvature, trace = _curvature(spectrum, size), spectrum.trace
    if curvature == 0.0:
        return 2.0 * size / trace
    top = float(spectrum.eigenvalues.max())
    # (eta/B) lambda_1/(2 - c eta lambda_1) <= r <= (eta/B) tr/(2 - c eta lambda_1) brackets the root
    low = 2.0 * size / (trace + curvature * size * top)
    high = 2.0 * size / (top + curvature * size * top)
    if high <= low * (1.0 + 1e-15):
        return low
    return scipy.optimize.brentq(lambda rate: _noise_ratio(spectrum, rate, size) - 1.0, low * (1.0 - 1e-12),
                                 high * (1.0 + 1e-12), xtol=1e-300, rtol=8.9e-16)


def stationary_risk(spectrum, rate, batch_size=1):
    """Excess risk that SGD settles at under a constant rate, ``delta_M + (sigma_M^2/2) r/(1 - r)``.

    Raises
    ------
    ValueError
        If the rate is not mean-square stable.
    """
    state = stability(spectrum, rate, batch_size)
    if not state.stable:
        limit = critical_rate(spectrum, batch_size)
        raise ValueError(f"learning rate is {rate}; a stationary risk needs 0 < rate < {limit:.6g}")
    return spectrum.approximation_error + 0.5 * spectrum.label_variance * state.noise_ratio / (1.0 - state.noise_ratio)


def _initial_state(spectrum):
    values = np.ascontiguousarray(spectrum.eigenvalues)
    weights = spectrum.multiplicity
    return values, weights, weights * values * spectrum.target_squared, weights * values**2


def _sizes(batch_size, steps):
    """Batch sizes, shape (1,) when constant (so that memory does not grow with the run), else (steps,)."""
    if np.ndim(batch_size) == 0 and not isinstance(batch_size, batch_sizes.BatchSchedule):
        return batch_sizes.as_sizes(batch_size, 1)
    return batch_sizes.as_sizes(batch_size, steps)


def _rate(rate):
    if not (np.ndim(rate) == 0 and np.isfinite(rate) and rate > 0):
        raise ValueError(f"learning rate is {rate}; it must be a finite number > 0")
    return float(rate)


def _batch(batch_size):
    if np.ndim(batch_size) != 0:
        raise ValueError("batch_size must be one number for a constant-rate formula")
    return float(batch_sizes.as_sizes(batch_size, 1)[0])


def _curvature(spectrum, size):
    return 1.0 + (spectrum.kurtosis - 2.0) / size


def _noise_ratio(spectrum, rate, size):
    values = spectrum.eigenvalues
    return float(spectrum.sum(rate / size * values / (2.0 - _curvature(spectrum, size) * rate * values)))


def _symmetric_map(spectrum, rate, size):
    """Return ``G = 1 - A``, the direction v and the start y_0 in the symmetrising variables ``sqrt(w) m``."""
    root = np.sqrt(spectrum.multiplicity)
    x = rate * spectrum.eigenvalues
    direction = root * spectrum.eigenvalues
    generator = np.diag(x * (2.0 - _curvature(spectrum, size) * x)) - rate**2 / size * np.outer(direction, direction)
    return generator, direction, root * spectrum.target_squared


def _powers(slow, k):
    """``(1 - slow)^k`` and ``sum_{i<k} (1 - slow)^i``, shapes (len(k), n)."""
    gentle = slow < 0.5
    logarithm = np.where(gentle, np.log1p(-np.where(gentle, slow, 0.0)), 0.0)
    with np.errstate(over="ignore"):
        memory = np.where(gentle, np.exp(k * logarithm), np.power(np.where(gentle, 0.5, 1.0 - slow), k))
        lost = np.where(gentle, -np.expm1(k * logarithm), 1.0 - memory)
    safe = np.where(slow == 0.0, 1.0, slow)
    return memory, np.where(slow == 0.0, k, lost / safe)


def _largest_noise_ratio(spectrum, schedule, sizes):
    """Upper bound of the noise feedback over the run: largest ``eta/B`` with the largest ``c eta``."""
    strength, curved = _extremes(schedule.rates, sizes, spectrum.kurtosis - 2.0)
    bend = curved * spectrum.eigenvalues
    return float(spectrum.sum(strength * spectrum.eigenvalues / (2.0 - bend))) if bend.max() < 2.0 else math.inf


@njit(cache=True)
def _extremes(rates, sizes, correction):
    """Largest ``eta/B`` and largest ``(1 + correction/B) eta`` over the steps, without temporary arrays."""
    strength, curved = 0.0, 0.0
    for k in range(rates.size):
        size = sizes[k] if sizes.size > 1 else sizes[0]
        strength = max(strength, rates[k] / size)
        curved = max(curved, rates[k] * (1.0 + correction / size))
    return strength, curved


def _divergence(spectrum, schedule, sizes, step):
    worst = int(np.argmax(schedule.rates))
    size = sizes[worst] if sizes.size > 1 else sizes[0]
    return (f"peak learning rate is {schedule.peak:g} at batch size {size:g}; the expected risk overflows before step "
            f"{step}; mean-square stability needs a rate < {critical_rate(spectrum, size):.6g}")
