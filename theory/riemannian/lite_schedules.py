r"""Schedules of LITE: the learning rate, its gain ``chi(t)`` on flat directions, and their damping ``beta_2(t)``.

As the published code of LITE (arXiv 2602.22681, ``muonlite.py``) has them, in steps t = 0, 1, ... of a run of T with
warm-up W, ``p = (t - W)/(T - W)`` and ``c(p) = (1 + cos pi p)/2``:

    learning rate       eta(t)/eta = (t + 1)/W in warm-up, then rho + (1 - rho) c(p),  rho the smallest ratio
    flat learning rate  chi (t + 1)/W, then rho + (chi - rho) c(p): a cosine of its own to the same end
    their ratio         chi_c(t), chi in warm-up, falling to 1 at the end                                       "cosine"
    with a ramp         min(chi_c(t), 1 + (chi - 1) p/r) after warm-up, 1 before      "ramp": matrices under a cosine
    constant            chi                                                     "constant": warm-up-stable-decay
    damping             beta_1 up to W, then linear in t, beta_2 from step W + floor(r (T - W)) on

with r = 1/2 under a cosine and r = 2 W/T under warm-up-stable-decay.
"""

import numpy as np

from ..arguments import number, shown

RAMP = 0.5
"""Share r of the steps after warm-up in which gain and damping rise, under a cosine."""
KINDS = ("ramp", "cosine", "constant")
"""Kinds of gain."""


def stable_ramp(steps, warmup):
    """The share ``r = 2 W/T`` under warm-up-stable-decay; at most 1."""
    steps, warmup = _sizes(steps, warmup)
    return min(1.0, 2.0 * warmup / steps)


def cosine_rates(steps, warmup=0, minimum=0.1):
    """``eta(t)/eta`` at t = 0..T-1.

    Parameters
    ----------
    steps : int
        T >= 1.
    warmup : int
        0 <= W < T.
    minimum : float
        rho in [0, 1].

    Raises
    ------
    ValueError
        For anything else.
    """
    steps, warmup = _sizes(steps, warmup)
    return _cosine(np.arange(steps), steps, warmup, 1.0, _between(minimum, "minimum", 0.0, 1.0))


def flat_gain(steps, gain, warmup=0, kind="ramp", minimum=0.1, ramp=RAMP):
    """``chi(t)`` at t = 0..T-1.

    Parameters
    ----------
    steps, warmup, minimum
        As for :func:`cosine_rates`; ``minimum`` > 0 where the gain is a ratio of cosines.
    gain : float
        chi >= 1.
    kind : {"ramp", "cosine", "constant"}
        See the module.
    ramp : float
        r in (0, 1].

    Raises
    ------
    ValueError
        For anything else.
    """
    steps, warmup = _sizes(steps, warmup)
    gain = _between(gain, "gain", 1.0, np.inf)
    if kind not in KINDS:
        raise ValueError(f"kind is {shown(kind)}; it must be one of {', '.join(KINDS)}")
    if kind == "constant":
        return np.full(steps, gain)
    time, minimum = np.arange(steps), _between(minimum, "minimum", 0.0, 1.0)
    if minimum == 0.0:
        raise ValueError("minimum is 0; it must be > 0 where the gain is a ratio of two cosines that end there")
    ratio = _cosine(time, steps, warmup, gain, minimum) / _cosine(time, steps, warmup, 1.0, minimum)
    if kind == "cosine":
        return ratio
    rise = 1.0 + (gain - 1.0) * (time - warmup) / (steps - warmup) / _ramp(ramp)
    return np.where(time <= warmup, 1.0, np.minimum(ratio, rise))


def flat_damping(steps, sharp, flat, warmup=0, ramp=RAMP):
    """``beta_2(t)`` at t = 0..T-1: from beta_1 to beta_2.

    Parameters
    ----------
    steps, warmup, ramp
        As for :func:`flat_gain`.
    sharp, flat : float
        beta_1 and beta_2, finite.

    Raises
    ------
    ValueError
        For anything else.
    """
    steps, warmup = _sizes(steps, warmup)
    sharp, flat = (_between(value, name, -np.inf, np.inf) for value, name in ((sharp, "sharp"), (flat, "flat")))
    span = int(_ramp(ramp) * (steps - warmup))
    rise = (np.arange(steps) - warmup) / max(span, 1)
    return sharp + (flat - sharp) * np.clip(rise, 0.0, 1.0)


def _cosine(time, steps, warmup, peak, minimum):
    rise = peak * (time + 1.0) / max(warmup, 1)
    fall = minimum + (peak - minimum) * 0.5 * (1.0 + np.cos(np.pi * (time - warmup) / (steps - warmup)))
    return np.where(time < warmup, rise, fall)


def _sizes(steps, warmup):
    for value, name, least in ((steps, "steps", 1), (warmup, "warmup", 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} is {shown(value)}; it must be an integer >= {least}")
    if not warmup < steps:
        raise ValueError(f"warmup is {warmup}; it must be less than the {steps} steps of the run")
    return int(steps), int(warmup)


def _ramp(value):
    value = number(value, "ramp")
    if not 0 < value <= 1:
        raise ValueError(f"ramp is {value:g}; it must be in (0, 1]")
    return value


def _between(value, name, low, high):
    value = number(value, name)
    if not (low <= value <= high and np.isfinite(value)):
        raise ValueError(f"{name} is {value:g}; it must be finite and in [{low:g}, {high:g}]")
    return value
