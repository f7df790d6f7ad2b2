r"""Schedules that do not know when training ends: powers of the time that has passed.

The functional law in normal form, ``E = (1 + T)^{-s} + sigma^2 int_0^T K(T - t) gamma(t) dt`` with
``K(u) = (1 + u)^{-q}``, ``q = 2 - 1/beta`` in regression, at the end T of the intrinsic time; ``gamma = eta/B``.

*Decaying rate.*  ``eta(z) = c (1 + z)^{-chi}`` in steps z (Bordelon & Mori, arXiv 2602.04774, compare their optimum
with such powers).  The kernel forgets all but the last steps, so the last rate sets the noise: with ``chi < 1``

    T ~ c N^{1 - chi}/(1 - chi),    noise ~ c N^{-chi} int K,    best c ~ N^{chi - s/(1 + s)},    E ~ N^{-s/(1 + s)},

the same for every chi, the constant rate included (derived).  The best amplitude grows for ``chi > s/(1 + s)`` until
stability stops it; from there on E follows ``c = cap``: the slower of ``N^{-s (1 - chi)}`` and ``N^{-chi}``.

*Growing ratio.*  ``r(t) = B/eta = (1 + t)^theta`` costs the data ``D = ((1 + T)^{1 + theta} - 1)/(1 + theta)``, and

    int_0^T K(T - t)/r(t) dt ~ T^{-g},    g = min{theta, q} for q > 1 (recent noise, or the first samples remembered),
                                          g = theta + q - 1 for q < 1 and 1 - q < theta < 1, and q for theta > 1

(Wang, Liu & Chen, arXiv 2609.40148).  Then ``E ~ D^{-min{s, g}/(1 + theta)}``, at best ``D^{-s/(1 + s)}`` for
``theta = s <= q`` (derived): no better than a constant.  What buys ``D^{-s beta/(1 + s beta)}`` is to know the horizon.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from .. import learning_rates
from ..arguments import number
from .shapes import log_gauss

FIRST, WIDTH = 1e-12, 0.5
"""Where the logarithmic quadrature starts, in units of one step, and the width of its panels."""


def schedule(steps, amplitude, power):
    """Return ``eta_k = c (1 + k)^{-chi}`` as a learning-rate schedule.

    Parameters
    ----------
    steps : int
    amplitude, power : float
        c > 0 and 0 <= chi < 1.
    """
    steps = learning_rates.constant(steps, 1.0).steps
    rates = _above(amplitude, "amplitude") * (1.0 + np.arange(steps)) ** -_power(power)
    return learning_rates.Schedule(rates, f"step^-{power:g}" if power else "constant")


def horizon(steps, amplitude, power):
    """Intrinsic time ``T = c ((1 + N)^{1 - chi} - 1)/(1 - chi)``."""
    rest = 1.0 - _power(power)
    return _above(amplitude, "amplitude") * math.expm1(rest * math.log1p(_above(steps, "steps"))) / rest


def noise(steps, amplitude, power, capacity):
    """``int_0^N K(T - t(z)) eta(z)^2 dz`` by quadrature towards both ends, relative error below 1e-9.

    Parameters
    ----------
    steps : float
        N > 0, not necessarily whole.
    amplitude, power, capacity : float
        c > 0, 0 <= chi < 1 and beta > 1.
    """
    c, chi, n = _above(amplitude, "amplitude"), _power(power), _above(steps, "steps")
    memory, rest = 2.0 - 1.0 / _above(capacity, "capacity", 1.0), 1.0 - _power(power)
    gone, weight = _towards_zero(0.5 * n, min(1.0, 1.0 / c))   # steps before the middle, then steps that remain
    since = c * (np.expm1(rest * math.log1p(n)) - np.expm1(rest * np.log1p(gone))) / rest
    early = weight @ ((1.0 + since) ** -memory * (c * (1.0 + gone) ** -chi) ** 2)
    ahead = c * (1.0 + n)**rest * -np.expm1(rest * np.log1p(-gone / (1.0 + n))) / rest
    late = weight @ ((1.0 + ahead) ** -memory * (c * (1.0 + n - gone) ** -chi) ** 2)
    return float(early + late)


@dataclass(frozen=True)
class Amplitude:
    """The best amplitude of a power of the step.

    Attributes
    ----------
    amplitude, risk : float
        c and E.
    capped : bool
        Whether the cap binds.
    """

    amplitude: float
    risk: float
    capped: bool


def tuned(source, capacity, steps, power, sigma=1.0, cap=1.0):
    """Minimise the law over ``0 < c <= cap``.

    Parameters
    ----------
    source, capacity : float
        s > 0, beta > 1.
    steps : float
        N > 0.
    power : float
        0 <= chi < 1.
    sigma, cap : float
        Label noise and largest rate, > 0; the first rate is the largest.

    Returns
    -------
    Amplitude
    """
    s, sigma, cap = _above(source, "source"), _above(sigma, "sigma"), _above(cap, "cap")

    def risk(c):
        return (1.0 + horizon(steps, c, power)) ** -s + sigma**2 * noise(steps, c, power, capacity)

    grid = np.geomspace(min(1e-3 * cap, 1e-3 / horizon(steps, 1.0, power)), cap, 61)
    values = [risk(c) for c in grid]
    best = int(np.argmin(values))
    bracket = np.log(grid[[max(best - 1, 0), min(best + 1, 60)]])
    found = minimize_scalar(lambda x: risk(math.exp(x)), bounds=bracket, method="bounded", options={"xatol": 1e-8})
    if best == 60 and values[-1] <= found.fun:
        return Amplitude(cap, values[-1], True)
    return Amplitude(math.exp(found.x), float(found.fun), False)


def ramp_noise(horizon, power, memory):
    """``int_0^T (1 + T - t)^{-q} (1 + t)^{-theta} dt`` by quadrature, relative error below 1e-9.

    Parameters
    ----------
    horizon : float
        T > 0, intrinsic time.
    power, memory : float
        theta >= 0 and q > 0.
    """
    time, theta, q = _above(horizon, "horizon"), number(power, "power"), _above(memory, "memory")
    if not 0 <= theta < math.inf:
        raise ValueError(f"power is {theta}; it must be finite and >= 0")
    near, weight = _towards_zero(0.5 * time, 1.0)
    far = 1.0 + (time - near)
    return float(weight @ (far**-q * (1.0 + near) ** -theta + (1.0 + near) ** -q * far**-theta))


def ramp_data(horizon, power):
    """``D = ((1 + T)^{1 + theta} - 1)/(1 + theta)``."""
    more = 1.0 + number(power, "power")
    return math.expm1(more * math.log1p(_above(horizon, "horizon"))) / more


def ramp_exponent(power, memory):
    """``g`` of ``ramp_noise ~ T^{-g}``, without the logarithm for ``theta = 1 > q``.

    Raises
    ------
    ValueError
        For ``q = 1``, and for ``q < 1`` with ``theta <= 1 - q``, where the noise does not decay.
    """
    theta, q = number(power, "power"), _above(memory, "memory")
    if q > 1:
        return min(theta, q)
    if q == 1 or theta <= 1 - q:
        raise ValueError(f"memory is {q} and power {theta}; memory must be > 1, or < 1 with power > {1 - q:g}")
    return min(theta + q - 1.0, q)


def _towards_zero(length, unit):
    """Nodes and weights on [0, length] that are dense, in logarithm, towards 0 below the scale `unit`."""
    first = min(FIRST * unit, 1e-12 * length)
    nodes, weight = log_gauss(first, length, WIDTH)
    return np.append(0.0, nodes), np.append(first, weight)


def _power(value):
    value = number(value, "power")
    if not 0 <= value < 1:
        raise ValueError(f"power is {value}; it must be in [0, 1)")
    return value


def _above(value, label, low=0.0):
    value = number(value, label)
    if not low < value < math.inf:
        raise ValueError(f"{label} is {value}; it must be finite and > {low:g}")
    return value
