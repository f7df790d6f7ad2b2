r"""The functional scaling law in continuous time, for piecewise constant noise levels.

The right-hand side of Thms 4.2 to 4.5 of Li et al. (arXiv 2509.19189), without its approximation error,

    F_M(t; gamma) = e_M(t) + int_0^t K_M(t - z) [e_M(z) + sigma^2] gamma(z) dz ,

where ``e_M`` and ``K_M`` are sums of exponentials over the modes, or ``(1+t)^-s`` and ``(1+t)^-(2-1/beta)`` written as
such sums.  With ``gamma`` constant on pieces, every integral is

    int_0^D exp(-a (D - y) - b y) dy = (exp(-b D) - exp(-a D))/(a - b),

with two rates of decay a and b, so each mode's share of the integral is propagated from one time to the next exactly,
without quadrature (derived).  Relative accuracy about 1e-12 for a given spectrum; compression adds its own error.
n times cost O(n Q^2) for Q nodes.

:mod:`.functional_law` evaluates the law on the steps of a training run; this module reaches any time.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from .compression import compress
from .functional_law import exponential_sum
from .problem import PowerLawRegression


@dataclass(frozen=True, eq=False)
class ContinuousLaw:
    """Terms of the law at given intrinsic times.

    Attributes
    ----------
    times : ndarray, shape (n,)
    signal : ndarray, shape (n,)
        ``e(t)``.
    signal_noise : ndarray, shape (n,)
        ``int K(t - z) e(z) gamma(z) dz``.
    unit_noise : ndarray, shape (n,)
        ``int K(t - z) gamma(z) dz``: the noise term for ``sigma = 1``.
    """

    times: np.ndarray
    signal: np.ndarray
    signal_noise: np.ndarray
    unit_noise: np.ndarray

    def total(self, noise):
        """``F(t)`` for label noise ``sigma = noise`` >= 0."""
        return self.signal + self.signal_noise + noise**2 * self.unit_noise


def continuous_law(problem, gamma, times, limit="width", kernel="modes"):
    """Evaluate ``F_M``, ``F_inf`` or their power-law form at intrinsic times.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    gamma : NoiseProfile
        Piecewise constant noise level ``eta/B``; it must reach the last time.
    times : array_like, shape (n,)
        Intrinsic times >= 0, strictly increasing.
    limit : {"width", "infinite"}
        ``F_M`` of the problem's own width, or ``F_inf`` of all features (power-law problem only).
    kernel : {"modes", "power"}
        Sums over modes, or the power laws of Thm 4.2, which stand for all features (power-law problem only).

    Returns
    -------
    ContinuousLaw

    Raises
    ------
    ValueError
        For arguments outside their range.
    """
    times = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if times.ndim != 1 or not np.all(np.isfinite(times)) or times[0] < 0 or not np.all(np.diff(times) > 0):
        raise ValueError(f"times start at {times.flat[0]}; they must be finite, >= 0 and increase strictly")
    if gamma.edges[-1] < times[-1]:
        raise ValueError(f"noise profile ends at t = {gamma.edges[-1]:g}; it must reach the last time {times[-1]:g}")
    if limit not in ("width", "infinite"):
        raise ValueError(f"limit is {limit!r}; it must be 'width' or 'infinite'")
    if kernel not in ("modes", "power"):
        raise ValueError(f"kernel is {kernel!r}; it must be 'modes' or 'power'")
    horizon = max(float(times[-1]), 1.0)
    signal, memory, rest = _powers(problem, horizon) if kernel == "power" else _modes(problem, horizon, limit)
    grid = np.union1d(gamma.edges[gamma.edges < times[-1]], times)
    found = _propagate(*signal, *memory, rest, np.diff(grid), gamma(grid[:-1]))
    return ContinuousLaw(times, *found[:, np.searchsorted(grid, times)])


def _powers(problem, horizon):
    """Rates and weights of the power-law signal and kernel."""
    if not isinstance(problem, PowerLawRegression):
        raise ValueError("kernel is 'power'; a Spectrum has its own modes only, it must be 'modes'")
    return (exponential_sum(problem.source, horizon)[:2], exponential_sum(problem.kernel_exponent, horizon)[:2], 0.0)


def _modes(problem, horizon, limit):
    """Rates and weights of signal and kernel, and the part of the signal in modes that never move."""
    rest, spectrum = 0.0, problem
    if isinstance(problem, PowerLawRegression):
        whole = replace(problem, width=math.inf) if limit == "infinite" else problem
        spectrum = compress(whole, horizon)
        rest = max(0.0, 2.0 * (spectrum.approximation_error - whole.approximation_error))
    elif limit == "infinite":
        raise ValueError("limit is 'infinite'; a Spectrum has its own modes only, it must be 'width'")
    rates, weight = 2.0 * spectrum.eigenvalues, spectrum.multiplicity * spectrum.eigenvalues
    return (rates, weight * spectrum.target_squared), (rates, weight * spectrum.eigenvalues), rest


@njit(cache=True)
def _propagate(signal_rates, signal, rates, kernel, rest, lengths, levels):
    """Signal, its noise and the unit noise at the start and after each stretch, shape (3, n + 1)."""
    out = np.empty((3, lengths.size + 1))
    mass = signal.copy()
    learned = np.zeros(rates.size)
    unit = np.zeros(rates.size)
    out[0, 0] = mass.sum() + rest
    out[1:, 0] = 0.0
    for n in range(lengths.size):
        length = lengths[n]
        forgotten = np.exp(-signal_rates * length)
        decay = np.exp(-rates * length)
        noise = 0.0
        own = 0.0
        for j in range(rates.size):
            filled = -math.expm1(-rates[j] * length) / rates[j]
            learned[j] *= decay[j]
            unit[j] = unit[j] * decay[j] + levels[n] * filled
            if levels[n] > 0.0:
                overlap = _overlap(rates[j], decay[j], signal_rates, forgotten, mass, length)
                learned[j] += levels[n] * (rest * filled + overlap)
            noise += kernel[j] * learned[j]
            own += kernel[j] * unit[j]
        mass *= forgotten
        out[0, n + 1] = mass.sum() + rest
        out[1, n + 1] = noise
        out[2, n + 1] = own
    return out


@njit(cache=True)
def _overlap(rate, decay, signal_rates, forgotten, mass, length):
    """``sum_i mass_i int_0^D exp(-rate (D - y) - rate_i y) dy``."""
    total = 0.0
    for i in range(signal_rates.size):
        gap = abs(rate - signal_rates[i])
        y = gap * length
        if y > 0.1:
            total += mass[i] * abs(forgotten[i] - decay) / gap
        else:
            # (1 - exp(-y))/y by its series, where the difference of the two decays would cancel.
            series = 1.0 - y / 2.0 * (1.0 - y / 3.0 * (1.0 - y / 4.0 * (1.0 - y / 5.0 * (1.0 - y / 6.0 * (
                1.0 - y / 7.0 * (1.0 - y / 8.0))))))
            total += mass[i] * length * max(forgotten[i], decay) * series
    return total
