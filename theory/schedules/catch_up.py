r"""Catch-up: how fast a run that switches to a large batch late comes to the run that had it always.

Two runs at the same learning rate, one with the ratio r2 throughout, the other with r1 < r2 until the intrinsic time
t_s.  Under the law of :mod:`.power_law`, a time d after the switch and *at equal steps* (equal intrinsic time), signals
agree and the losses differ by the first stage's surplus of noise that is not yet forgotten (derived):

    gap(d) = sigma^2 (1/r1 - 1/r2) int_d^{d+t_s} K = C [(1+d)^{-q} - (1+d+t_s)^{-q}] ,     C = sigma^2 A_K (1/r1-1/r2)/q
           ~ C d^{-q}  (d << t_s) ,       ~ C q t_s d^{-(1+q)}  (d >> t_s) .

Caught up to a tolerance eps, after a time d, can mean two things; they behave differently:

- *signal*: ``gap <= eps e(t_s + d)``.  With t_s -> infinity
      s < q :           d ~ (C/(eps A_e))^{1/q} t_s^{s/q} = o(t_s)           the smaller s (the harder), the faster
      s = q :           d ~ t_s
      q < s < 1 + q :   d ~ (C q t_s/(eps A_e))^{1/(1+q-s)}                  superlinear
      s >= 1 + q :      never, for t_s large;
- *floor*: ``gap <= eps sigma^2 A_K/(q r2)``, the loss that the large batch ends with.  For t_s -> infinity
      1 + d = ((r2/r1 - 1)/eps)^{1/q},   whatever s and t_s.

At *equal data* the switched run is ahead in intrinsic time by ``t_s (1 - r1/r2)``; then the difference has two signs in
it and is no gap of noise (:func:`equal_data_gap`).

That training catches up fast, the faster the harder the task, is the statement of Wang, Li et al. (arXiv 2602.14208);
its exact form was not at hand and is reconstructed.
"""

import math

import numpy as np
from scipy.optimize import brentq

from ..arguments import numbers, shown
from .exponents import regime
from .power_law import PowerLaw, above, not_negative

LONGEST = 1e300


def gap(law, first, second, switch_time, delay):
    """Loss of the switched run less that of the large-batch run at equal steps.

    Parameters
    ----------
    law : PowerLaw
    first, second : float
        r1 < r2.
    switch_time : float
        t_s > 0, intrinsic time.
    delay : array_like
        Intrinsic time since the switch, d >= 0.
    """
    _check(law, first, second, switch_time)
    delay = _delays(delay)
    q, age = law.forgetting, np.log1p(delay)
    left = np.exp(-q * age) * -np.expm1(-q * np.log1p(switch_time * np.exp(-age))) / q   # int K from d to d + t_s
    return law.strength * (1.0 / first - 1.0 / second) * left


def equal_data_gap(law, first, second, switch_time, delay):
    """Loss of the switched run at delay d less that of the large-batch run when that has used the same data.

    The latter is at the intrinsic time ``d + t_s r1/r2``.  Arguments as of :func:`gap`; may be negative.
    """
    _check(law, first, second, switch_time)
    delay = _delays(delay)
    ahead, behind = delay + switch_time, delay + switch_time * first / second
    noise = law.kernel_mass(delay, ahead) / first - law.kernel_mass(delay, behind) / second
    return law.signal(ahead) - law.signal(behind) + law.noise**2 * noise


def catch_up_time(law, first, second, switch_time, tolerance, relative_to="signal"):
    """Intrinsic time after the switch from which on the gap stays within a tolerance.

    Parameters
    ----------
    law, first, second, switch_time
        As of :func:`gap`.
    tolerance : float
        eps > 0.
    relative_to : {"signal", "floor"}
        ``e(t_s + d)``, or ``sigma^2 A_K/(q r2)``.

    Returns
    -------
    float
        0 if it is so from the switch on; inf if the gap is never below it for good.
    """
    _check(law, first, second, switch_time)
    tolerance = above(tolerance, "tolerance", 0.0)
    q, s = law.forgetting, law.source
    if relative_to not in ("signal", "floor"):
        raise ValueError(f"relative_to is {shown(relative_to)}; it must be 'signal' or 'floor'")
    constant = math.log(law.strength * (1.0 / first - 1.0 / second) / q)
    if relative_to == "floor":
        s, level = 0.0, math.log(tolerance * law.strength / (q * second))
    else:
        level = math.log(tolerance * law.signal_scale)

    def excess(log_delay):
        """``log gap - log level``, decreasing in d for s <= 1 + q (by the mean value theorem)."""
        start = math.log1p(math.exp(log_delay))
        span = math.log1p(switch_time * math.exp(-start))
        return constant - q * start + math.log(-math.expm1(-q * span)) - level + s * (start + span)

    if _forever(law) and relative_to == "signal" and (not math.isclose(s, 1.0 + q, rel_tol=1e-12)
                                                      or constant + math.log(q * switch_time) > level):
        return math.inf
    low, high = -700.0, math.log(LONGEST)
    if excess(low) <= 0.0:
        return 0.0
    if excess(high) > 0.0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


def catch_up_power(source, capacity):
    """Power of t_s in the catch-up time relative to the signal: ``s/q``, 1, or ``1/(1+q-s)``; inf for ``s >= 1+q``."""
    law = PowerLaw(source, capacity)
    q, s = law.forgetting, law.source
    if regime(s, law.capacity) != "easy":
        return s / q
    return math.inf if _forever(law) else 1.0 / (1.0 + q - s)


def limit_time(law, first, second, switch_time, tolerance, relative_to="signal"):
    """Leading term of :func:`catch_up_time` for ``t_s -> infinity``; inf where there is none, or none in float64.

    Not for ``s = q`` (to 1e-12), where the limit of ``d/t_s`` solves an equation of its own: ValueError.
    """
    _check(law, first, second, switch_time)
    tolerance = above(tolerance, "tolerance", 0.0)
    q, s = law.forgetting, law.source
    if relative_to == "floor":
        return max(_power((second / first - 1.0) / tolerance, 1.0 / q) - 1.0, 0.0)
    if relative_to != "signal":
        raise ValueError(f"relative_to is {shown(relative_to)}; it must be 'signal' or 'floor'")
    ratio = law.strength * (1.0 / first - 1.0 / second) / (q * tolerance * law.signal_scale)
    kind = regime(s, law.capacity)
    if kind == "boundary":
        raise ValueError(f"source is {s:g}; a limit of this form needs a source other than 1 - 1/beta = {q:g}")
    if kind == "hard":
        return _power(ratio * _power(switch_time, s), 1.0 / q)
    return math.inf if _forever(law) else _power(ratio * q * switch_time, 1.0 / (1.0 + q - s))


def _forever(law):
    """Whether ``s >= 1 + q``, to 1e-12: then the signal falls as fast as the gap."""
    edge = 1.0 + law.forgetting
    return law.source > edge or math.isclose(law.source, edge, rel_tol=1e-12)


def _power(base, exponent):
    """``base^exponent``, inf beyond float64."""
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _delays(delay):
    delay = numbers(delay, "delays")
    if not (np.isfinite(delay) & (delay >= 0)).all():
        raise ValueError(f"delays are {shown(delay)}; they must be finite and >= 0")
    return delay


def _check(law, first, second, switch_time):
    if not isinstance(law, PowerLaw):
        raise ValueError(f"law is {shown(law)}; it must be a PowerLaw")
    above(first, "first", 0.0)
    above(switch_time, "switch_time", 0.0)
    if not first < not_negative(second, "second"):
        raise ValueError(f"first is {first:g}; it must be in (0, {second:g}), below second")
