r"""The functional scaling law in continuous time, for piecewise constant noise levels.

The right-hand side of Thms 4.2 to 4.5 of Li et al. (arXiv 2509.19189), without its approximation error,

    F_M(t; gamma) = e_M(t) + int_0^t K_M(t - z) [e_M(z) + sigma^2] gamma(z) dz ,

where ``e_M`` and ``K_M`` are sums of exponentials over the modes.  With ``gamma`` constant on pieces, every integral is

    int_0^D exp(-2 a (D - y) - 2 b y) dy = (exp(-2 b D) - exp(-2 a D))/(2 (a - b)),

with eigenvalues a and b, so each mode's share of the integral is propagated from one time to the next exactly,
without quadrature (derived).  Relative accuracy about 1e-12 for a given spectrum; compression adds its own error.
n times cost O(n Q^2) for Q nodes.

:mod:`.functional_law` evaluates the law on the steps of a training run; this module reaches any time.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from .compression import compress
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


def continuous_law(problem, gamma, times, limit="width"):
    """Evaluate ``F_M`` or ``F_inf`` at intrinsic times.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    gamma : NoiseProfile
        Piecewise constant noise level ``eta/B``; it must reach the last time.
    times : array_like, shape (n,)
        Intrinsic times >= 0, strictly increasing.
    limit : {"width", "infinite"}
        ``F_M`` of the problem's own width, or ``F_inf`` of all features (power-law problem only).

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
    spectrum, rest = _modes(problem, float(times[-1]), limit)
    grid = np.union1d(gamma.edges[gamma.edges < times[-1]], times)
    levels = gamma(grid[:-1])
    weight = spectrum.multiplicity * spectrum.eigenvalues
    found = _propagate(spectrum.eigenvalues, weight * spectrum.target_squared, weight * spectrum.eigenvalues, rest,
                       np.diff(grid), levels)
    return ContinuousLaw(times, *found[:, np.searchsorted(grid, times)])


def _modes(problem, horizon, limit):
    """Nodes, and the part of the signal in modes that never move within the horizon."""
    if not isinstance(problem, PowerLawRegression):
        if limit == "infinite":
            raise ValueError("limit is 'infinite'; a Spectrum has its own modes only, it must be 'width'")
        return problem, 0.0
    whole = replace(problem, width=math.inf) if limit == "infinite" else problem
    spectrum = compress(whole, max(horizon, 1.0))
    return spectrum, max(0.0, 2.0 * (spectrum.approximation_error - whole.approximation_error))


@njit(cache=True)
def _propagate(values, signal, kernel, rest, lengths, levels):
    """Signal, its noise and the unit noise at the start and after each stretch, shape (3, n + 1)."""
    modes = values.size
    out = np.empty((3, lengths.size + 1))
    mass = signal.copy()
    learned = np.zeros(modes)
    unit = np.zeros(modes)
    decay = np.empty(modes)
    out[0, 0] = mass.sum() + rest
    out[1:, 0] = 0.0
    for n in range(lengths.size):
        length = lengths[n]
        for j in range(modes):
            decay[j] = math.exp(-2.0 * values[j] * length)
        for j in range(modes):
            filled = -math.expm1(-2.0 * values[j] * length) / (2.0 * values[j])
            learned[j] *= decay[j]
            unit[j] = unit[j] * decay[j] + levels[n] * filled
            if levels[n] > 0.0:
                learned[j] += levels[n] * (rest * filled + _overlap(values, mass, decay, length, j))
        total = rest
        noise = 0.0
        own = 0.0
        for j in range(modes):
            mass[j] *= decay[j]
            total += mass[j]
            noise += kernel[j] * learned[j]
            own += kernel[j] * unit[j]
        out[0, n + 1] = total
        out[1, n + 1] = noise
        out[2, n + 1] = own
    return out


@njit(cache=True)
def _overlap(values, mass, decay, length, j):
    """``sum_i mass_i int_0^D exp(-2 lambda_j (D - y) - 2 lambda_i y) dy``."""
    total = 0.0
    for i in range(values.size):
        gap = abs(values[j] - values[i])
        y = gap * length
        if y > 0.05:
            total += mass[i] * abs(decay[i] - decay[j]) / (2.0 * gap)
        else:
            # (1 - exp(-2y))/(2y) by its series, where the difference of the two decays would cancel.
            series = 1.0 - y * (1.0 - y * (2.0 / 3.0 - y * (1.0 / 3.0 - y * (2.0 / 15.0 - y * (2.0 / 45.0
                                                                                            - y * 4.0 / 315.0)))))
            total += mass[i] * length * max(decay[i], decay[j]) * series
    return total
