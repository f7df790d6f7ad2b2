r"""Schedules that do not know when training ends: powers of the time that has passed.

The functional law in normal form, ``E = (1 + T)^{-s} + sigma^2 int_0^T K(T - t) gamma(t) dt`` with
``K(u) = (1 + u)^{-q}``, ``q = 2 - 1/beta`` in regression, at the end T of the intrinsic time; ``gamma = eta/B``.

*Decaying rate.*  ``eta(z) = c (1 + z)^{-chi}`` in steps z (Bordelon & Mori, arXiv 2602.04774, compare their optimum
with such powers), 0 <= chi < 1, so ``T ~ c N^{1 - chi}/(1 - chi)``.  Two parts of the noise can lead (derived):

    the last steps,   c N^{-chi} int K,
    the first steps,  K(T) int eta^2 dz ~ c^{1/beta} N^{-(1 - chi)(2 - 1/beta)}/(2 chi - 1)    for chi > 1/2

(for chi < 1/2 the integral grows, and its share of the last steps' noise still is ``T^{-(1 - 1/beta)}`` only).  Both
grow with c, hence the best amplitude is the smaller of the two that balance ``T^{-s}``, and the cap if that is smaller
yet:

    T ~ N^m,   E ~ N^{-s m},   c ~ N^{m - (1 - chi)},
    m = min{1/(1 + s),  2 (1 - chi)/(s + 1/beta),  and with a cap  1 - chi} .

So ``E ~ N^{-s/(1 + s)}``, as for a constant rate, up to ``chi = (s + 2 - 1/beta)/(2 (1 + s))``, which is above 1/2, and
with a cap also up to ``s/(1 + s)`` only; for ``s < 2 - 1/beta`` the cap is met first, for ``s > 2 - 1/beta`` never.
Larger chi are worse.

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
MOST = 1e40
"""Largest number of steps, amplitude x steps, and intrinsic time."""
LARGEST_LOG = 700.0
"""Logarithm of the largest amount of data of a ramp."""


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
    """Intrinsic time ``T = c ((1 + N)^{1 - chi} - 1)/(1 - chi)``; N and ``c N`` at most 1e40."""
    rest = 1.0 - _power(power)
    c, n = _run(amplitude, "amplitude", steps)
    return c * math.expm1(rest * math.log1p(n)) / rest


def noise(steps, amplitude, power, capacity):
    """``int_0^N K(T - t(z)) eta(z)^2 dz`` by quadrature towards both ends, relative error below 1e-9.

    Parameters
    ----------
    steps : float
        0 < N <= 1e40, not necessarily whole.
    amplitude, power, capacity : float
        c > 0 with ``c N`` at most 1e40, 0 <= chi < 1 and beta > 1.
    """
    chi, (c, n) = _power(power), _run(amplitude, "amplitude", steps)
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
        0 < N <= 1e40.
    power : float
        0 <= chi < 1.
    sigma, cap : float
        Label noise and largest rate, > 0, ``cap N`` at most 1e40; the first rate is the largest.

    Returns
    -------
    Amplitude
    """
    s, sigma, (cap, steps) = _above(source, "source"), _above(sigma, "sigma"), _run(cap, "cap", steps)

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


def tuned_powers(source, capacity, power, capped=False):
    """Powers of N that the tuned loss and its amplitude follow, logarithms apart; ``(loss, amplitude)``.

    Parameters
    ----------
    source, capacity, power : float
        s > 0, beta > 1 and 0 <= chi < 1.
    capped : bool
        Whether the amplitude has a cap that does not depend on N.
    """
    s, beta, rest = _above(source, "source"), _above(capacity, "capacity", 1.0), 1.0 - _power(power)
    reach = min(1.0 / (1.0 + s), 2.0 * rest / (s + 1.0 / beta), rest if capped else math.inf)
    return -s * reach, reach - rest


def largest_power(source, capacity, capped=False):
    """Largest chi that still has ``E ~ N^{-s/(1+s)}``: ``(s + 2 - 1/beta)/(2 (1 + s))``, capped ``s/(1+s)`` at most."""
    s, beta = _above(source, "source"), _above(capacity, "capacity", 1.0)
    free = 0.5 * (s + 2.0 - 1.0 / beta) / (1.0 + s)
    return min(free, s / (1.0 + s)) if capped else free


def ramp_noise(horizon, power, memory):
    """``int_0^T (1 + T - t)^{-q} (1 + t)^{-theta} dt`` by quadrature, relative error below 1e-9.

    Parameters
    ----------
    horizon : float
        0 < T <= 1e40, intrinsic time.
    power, memory : float
        theta >= 0 and q > 0.
    """
    time, theta, q = _time(horizon), _ramp(power), _above(memory, "memory")
    near, weight = _towards_zero(0.5 * time, 1.0)
    far = 1.0 + (time - near)
    return float(weight @ (far**-q * (1.0 + near) ** -theta + (1.0 + near) ** -q * far**-theta))


def ramp_data(horizon, power):
    """``D = ((1 + T)^{1 + theta} - 1)/(1 + theta)``, 0 < T <= 1e40 and theta >= 0; at most about 1e304.

    Raises
    ------
    ValueError
        For arguments out of range, and where D would be larger.
    """
    theta, grown = _ramp(power), math.log1p(_time(horizon))
    if (1.0 + theta) * grown > LARGEST_LOG:
        raise ValueError(f"power is {theta:g}; it must be at most {LARGEST_LOG / grown - 1.0:.4g} "
                         f"at horizon {horizon:g}, the data exceed the range of float64 otherwise")
    return math.expm1((1.0 + theta) * grown) / (1.0 + theta)


def ramp_exponent(power, memory):
    """``g`` of ``ramp_noise ~ T^{-g}``, without the logarithm for ``theta = 1 > q``.

    Raises
    ------
    ValueError
        For a negative theta, for ``q = 1``, and for ``q < 1`` with ``theta <= 1 - q``, where the noise does not decay.
    """
    theta, q = _ramp(power), _above(memory, "memory")
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


def _ramp(value):
    value = number(value, "power")
    if not 0 <= value < math.inf:
        raise ValueError(f"power is {value}; it must be finite and >= 0")
    return value


def _time(value):
    value = _above(value, "horizon")
    if value > MOST:
        raise ValueError(f"horizon is {value:g}; it must be at most {MOST:g}")
    return value


def _run(rate, label, steps):
    """A rate and a number of steps whose product is in range."""
    rate, steps = _above(rate, label), _above(steps, "steps")
    if steps > MOST:
        raise ValueError(f"steps is {steps:g}; it must be at most {MOST:g}")
    if rate > MOST / steps * (1.0 + 1e-12):
        raise ValueError(f"{label} is {rate:g}; {label} x steps must be at most {MOST:g}, "
                         f"so at most {MOST / steps:g} here")
    return rate, steps


def _above(value, label, low=0.0):
    value = number(value, label)
    if not low < value < math.inf:
        raise ValueError(f"{label} is {value}; it must be finite and > {low:g}")
    return value
