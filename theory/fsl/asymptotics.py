r"""Sharp constants behind the "~" of functional scaling laws, for exact power-law problems.

With ``lambda_j = j^{-beta}``, ``theta*_j^2 = j^{-1} lambda_j^{s-1}`` and infinite width (derived: the sums over modes
are Riemann sums of Gamma integrals),

    e(t) -> C_e t^{-s},              C_e = Gamma(s) 2^{-s} / beta,
    K(t) -> C_K t^{-(2-1/beta)},     C_K = Gamma(2-1/beta) 2^{-(2-1/beta)} / beta,         int_0^inf K = zeta(beta)/2 .

At a constant noise level ``gamma`` the risk solves a renewal equation with kernel ``gamma K``, of mass ``rho``; K is
subexponential, ``(K*K)(t)/K(t) -> 2 int K = zeta(beta)`` (Foss, Korshunov, Zachary, Heavy-Tailed and Subexponential
Distributions, 2013, Ch. 4), which gives (derived)

    sigma = 0, s < 2-1/beta:   E(t) -> (C_e/2)/(1-rho) t^{-s}                        the signal is the slowest
    sigma = 0, s > 2-1/beta:   E(t) -> gamma C_K I/(1-rho)^2 t^{-(2-1/beta)}         forgetting is the slowest
    sigma > 0:                 E(t) -> (sigma^2/2) rho/(1-rho)                       plateau
    gamma cut to 0, lag x:     E   -> gamma (sigma^2/2) C_K x^{-(1-1/beta)} / ((1-1/beta)(1-rho))

with ``rho = sum_j gamma lambda_j/(2 - q gamma lambda_j)`` and ``I = (1/2) sum_j lambda_j theta*_j^2 / (2 lambda_j - q
gamma lambda_j^2)``; q = kurtosis - 2 for the SDE, 0 for isotropic noise.  They are the sharp form of Thms 4.2 to 4.5 of
Li et al., arXiv 2509.19189.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gamma as gamma_function

from .. import spectra

HEAD = 64
"""Modes summed one by one before the series takes over."""

TERMS = 12
"""Terms of the series in ``q gamma lambda_j/2 <= 65^-beta``."""


@dataclass(frozen=True)
class PowerLaw:
    """A power law ``constant * t**-exponent`` (exponent 0 for a plateau)."""

    constant: float
    exponent: float

    def __call__(self, times):
        """Values at times > 0."""
        return self.constant * np.asarray(times, dtype=np.float64) ** -self.exponent


def signal_tail(problem):
    """Large-time law of ``e_inf(t) = sum_j lambda_j theta*_j^2 exp(-2 lambda_j t)``."""
    return PowerLaw(gamma_function(problem.source) * 2.0**-problem.source / problem.capacity, problem.source)


def kernel_tail(problem):
    """Large-time law of the forgetting kernel ``K_inf(t) = sum_j lambda_j^2 exp(-2 lambda_j t)``."""
    exponent = problem.kernel_exponent
    return PowerLaw(gamma_function(exponent) * 2.0**-exponent / problem.capacity, exponent)


def kernel_mass(problem):
    """``int_0^inf K_M dt = tr(H_M)/2``."""
    return 0.5 * problem.trace


def stand_in_coefficients(problem):
    """Factors that fit ``(1+t)^{-(2-1/beta)}`` to K_inf: by its tail, and by its mass.

    Returns
    -------
    tail, mass : float
        ``C_K`` and ``(1-1/beta) zeta(beta)/2``.  They differ, so no single constant turns the power law into the
        kernel: the bottom of a decay phase follows the tail, the plateau before it the mass.
    """
    zeta = spectra.tail_sum(problem.capacity, 1.0)
    return kernel_tail(problem).constant, (1.0 - 1.0 / problem.capacity) * zeta / 2.0


def noise_mass(problem, gamma, isotropic=False):
    """``rho = sum_j gamma lambda_j / (2 - q gamma lambda_j)`` over infinitely many modes.

    Parameters
    ----------
    problem : PowerLawRegression
        Its width plays no part.
    gamma : float
        Noise level with ``q gamma < 2``, >= 0.
    isotropic : bool
        q = 0 instead of kurtosis - 2.

    Returns
    -------
    float
        To rounding: 64 modes one by one, the others as a series of Hurwitz zeta values.
    """
    q = _own(problem, gamma, isotropic)
    values = spectra.power_law(problem.capacity, HEAD)
    tail = sum((0.5 * q * gamma) ** k * spectra.tail_sum(problem.capacity * (k + 1), HEAD + 1.0) for k in range(TERMS))
    return float(np.sum(gamma * values / (2.0 - q * gamma * values))) + 0.5 * gamma * tail


def signal_mass(problem, gamma, isotropic=False):
    """``I = (1/2) sum_j theta*_j^2 / (2 - q gamma lambda_j)``, the integral of the noise-free risk; needs s > 1."""
    if not problem.source > 1:
        raise ValueError(f"source is {problem.source}; the target has a finite norm only for a source > 1")
    q = _own(problem, gamma, isotropic)
    values = spectra.power_law(problem.capacity, HEAD)
    power = 1.0 + (problem.source - 1.0) * problem.capacity
    target = spectra.power_law(power, HEAD)
    tail = sum((0.5 * q * gamma) ** k * spectra.tail_sum(power + problem.capacity * k, HEAD + 1.0)
               for k in range(TERMS))
    return 0.5 * float(np.sum(target / (2.0 - q * gamma * values))) + 0.25 * tail


def risk_tail(problem, gamma, isotropic=False):
    """Large-time law of the excess risk at a constant noise level, infinite width and ``sigma = 0``.

    Raises
    ------
    ValueError
        If ``rho >= 1``, or at ``s = 2-1/beta`` where the law has a logarithm.
    """
    rho = _stable_mass(problem, gamma, isotropic)
    if problem.source < problem.kernel_exponent:
        return PowerLaw(0.5 * signal_tail(problem).constant / (1.0 - rho), problem.source)
    if problem.source == problem.kernel_exponent:
        raise ValueError(f"source is {problem.source}; at 2 - 1/beta the tail is not a pure power law")
    constant = gamma * kernel_tail(problem).constant * signal_mass(problem, gamma, isotropic) / (1.0 - rho) ** 2
    return PowerLaw(constant, problem.kernel_exponent)


def plateau(problem, gamma, isotropic=False):
    """Excess risk that label noise sustains at a constant noise level and infinite width."""
    rho = _stable_mass(problem, gamma, isotropic)
    return 0.5 * problem.noise**2 * rho / (1.0 - rho)


def drop_tail(problem, gamma, isotropic=False):
    """Large-lag law of what is left of the plateau when the noise level is cut to zero."""
    rho = _stable_mass(problem, gamma, isotropic)
    exponent = 1.0 - 1.0 / problem.capacity
    constant = gamma * 0.5 * problem.noise**2 * kernel_tail(problem).constant / (exponent * (1.0 - rho))
    return PowerLaw(constant, exponent)


def kernel_self_convolution(spectrum, times):
    """``(K*K)(t) = sum_{ij} lambda_i^2 lambda_j^2 int_0^t exp(-2 lambda_i z - 2 lambda_j (t-z)) dz``; O(n^2) a time.

    Parameters
    ----------
    spectrum : Spectrum
        n modes or nodes.
    times : array_like
        >= 0.
    """
    values = spectrum.eigenvalues
    strength = spectrum.multiplicity * values**2
    slower, faster = np.minimum.outer(values, values), np.maximum.outer(values, values)
    pairs = np.outer(strength, strength)

    def at(t):
        gap = 2.0 * (faster - slower) * t
        mean = np.where(gap > 0.0, -np.expm1(-gap) / np.where(gap > 0.0, gap, 1.0), 1.0)
        return t * float(np.sum(pairs * np.exp(-2.0 * slower * t) * mean))

    times = np.asarray(times, dtype=np.float64)
    if np.any(~(times >= 0)):
        raise ValueError(f"times reach down to {times.min()}; they must be >= 0")
    return np.array([at(t) for t in times.ravel()]).reshape(times.shape)


def _own(problem, gamma, isotropic):
    """Coefficient q of ``gamma lambda^2 m``, after checking gamma."""
    q = 0.0 if isotropic else problem.kurtosis - 2.0
    limit = 2.0 / q if q > 0 else math.inf
    if not (np.isfinite(gamma) and 0 <= gamma < limit):
        raise ValueError(f"noise level is {gamma}; it must be in [0, {limit:g})")
    return q


def _stable_mass(problem, gamma, isotropic):
    rho = noise_mass(problem, gamma, isotropic)
    if not rho < 1:
        raise ValueError(f"noise level is {gamma}; it puts back {rho:.4g} >= 1 of the risk, so the risk grows forever")
    return rho
