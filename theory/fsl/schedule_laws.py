r"""Final risk of constant, exponentially decaying and warm-up-stable-decay (WSD) runs in closed form.

Setting of Sec. 5 of Li et al. (arXiv 2509.19189): label noise of order one, constant batch size B, K steps,
peak rate a, final rate b.  An exponential decay in steps is *linear in intrinsic time*,

    eta(tau) = a (b/a)^{tau/K},  T = (a-b) K/log(a/b):      gamma(z) = (a - z log(a/b)/K)/B,   0 <= z <= T,

so that ``int_0^T K_M(T - z) gamma(z) dz`` splits into ``b/B`` times ``int K_M`` and ``log(a/b)/(K B)`` times
``int x K_M(x) dx``.  With ``plateau``, ``learned`` and ``residue`` of :mod:`.mode_sums` this noise integral is

    constant (Thm 5.2)     (a/B) plateau(T),                                        T = a K
    exponential (Thm 5.3)  (b/B) plateau(T) + (log(a/b)/(K B)) learned(T)
    WSD (Thm 5.4)          (b/B) plateau(T_2) + (log(a/b)/(K_2 B)) learned(T_2)
                           + (a/B) [residue(T_2) - residue(T_1 + T_2)],             T_1 = a K_1,  K_1 + K_2 = K

exactly (derived).  The first Picard risk (``form="exact"``) is then

    E = delta_M + e_M(T)/2 + (sigma_M^2/2) * integral,           sigma_M^2 = sigma^2 + 2 delta_M,

which leaves out the noise of the not yet learned target: a relative error of order ``rho = a tr(H)/(2 B)`` as long as
the signal is below the label noise.  What the theorems print (``form="printed"``), each "~" an equality, is

    M^{-s beta} + T^{-s} + sigma^2 [ b/B + (log(a/b)/(K B)) min{M, T^{1/beta}} ]

with ``T_1 + T_2`` in the signal and ``K_2, T_2`` in the noise for WSD, and ``sigma^2 a/B`` for the constant rate.
(Their ``(a-b)/T`` equals ``log(a/b)/K``, which has no 0/0 at a = b.)  Do not use either form for sigma much below one.

Every argument may be an array; they broadcast.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import spectra
from . import mode_sums

FORMS = ("exact", "printed")


class Parts(NamedTuple):
    """The three parts of a final risk; arrays of one shape."""

    approximation: np.ndarray
    signal: np.ndarray
    noise: np.ndarray

    @property
    def total(self):
        """Excess risk."""
        return self.approximation + self.signal + self.noise


def intrinsic_length(steps, peak, final):
    """``T = (a - b) K/log(a/b)``, which is ``a K`` for b = a."""
    ratio = _log_ratio(peak, final)
    small = np.abs(ratio) < 1e-8
    return steps * final * np.where(small, 1.0 + ratio / 2.0, np.expm1(ratio) / np.where(small, 1.0, ratio))


def constant(problem, steps, peak, batch_size=1, width=None, form="exact"):
    """Final risk at constant rate (Thm 5.2).

    Parameters
    ----------
    problem : PowerLawRegression
    steps : float or array_like
        K >= 1 (any real number: the closed form is continuous in time).
    peak : float or array_like
        Rate > 0.
    batch_size : float or array_like
        B >= 1.
    width : float or array_like, optional
        Overrides ``problem.width``; whole numbers or inf.
    form : {"exact", "printed"}
        First Picard closed form, or the theorem's right-hand side.

    Returns
    -------
    Parts

    Raises
    ------
    ValueError
        For an argument outside its range.
    """
    steps, peak, batch, width = _checked(problem, form, steps, peak, batch_size, width)
    horizon = peak * steps
    if form == "printed":
        return _printed(problem, width, horizon, peak / batch)
    return _picard(problem, width, horizon, peak / batch * mode_sums.plateau(problem.capacity, width, horizon))


def exponential(problem, steps, peak, final=None, batch_size=1, width=None, form="exact"):
    """Final risk after exponential decay from ``peak`` to ``final`` (Thm 5.3); arguments as for :func:`constant`.

    ``final`` is in (0, peak], by default ``peak/steps``.
    """
    steps, peak, batch, width = _checked(problem, form, steps, peak, batch_size, width)
    final = _final(peak, steps, final)
    horizon, slope = intrinsic_length(steps, peak, final), _log_ratio(peak, final) / steps
    if form == "printed":
        return _printed(problem, width, horizon, _printed_decay(problem, width, final, slope, horizon) / batch)
    return _picard(problem, width, horizon, _decay(problem, width, final, slope, horizon) / batch)


def wsd(problem, steps, peak, final=None, cooldown=0.2, batch_size=1, width=None, form="exact"):
    """Final risk after a stable phase and exponential decay (Thm 5.4); arguments as for :func:`exponential`.

    ``cooldown`` in (0, 1] is the fraction r of the steps in the decay phase.  The theorem asks for ``T_2 >= 1``.
    """
    steps, peak, batch, width = _checked(problem, form, steps, peak, batch_size, width)
    final = _final(peak, steps, final)
    cooldown = np.asarray(cooldown, dtype=np.float64)
    _refuse(~((cooldown > 0) & (cooldown <= 1)), cooldown, "cooldown", "in (0, 1]")
    decay_steps = cooldown * steps
    stable, decaying = peak * (steps - decay_steps), intrinsic_length(decay_steps, peak, final)
    slope = _log_ratio(peak, final) / decay_steps
    horizon = stable + decaying
    if form == "printed":
        return _printed(problem, width, horizon, _printed_decay(problem, width, final, slope, decaying) / batch)
    left = (mode_sums.residue(problem.capacity, width, decaying) - mode_sums.residue(problem.capacity, width, horizon))
    return _picard(problem, width, horizon, (_decay(problem, width, final, slope, decaying) + peak * left) / batch)


def stability_cap(problem, batch_size=1, ratio=0.3):
    """Largest peak rate for which ``rho = a tr(H)/(2 B)`` is at most ``ratio`` with all features in use.

    The theorems hold for ``sup gamma <= C``; beyond a rho of about 0.3 their constants grow like 1/(1 - rho).
    """
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must be in (0, 1)")
    return 2.0 * ratio * batch_size / float(spectra.partial_sum(problem.capacity, math.inf))

SCHEDULES = {"constant": constant, "exponential": exponential, "wsd": wsd}
"""The three laws by name."""


def _decay(problem, width, final, slope, horizon):
    return (final * mode_sums.plateau(problem.capacity, width, horizon)
            + slope * mode_sums.learned(problem.capacity, width, horizon))


def _printed_decay(problem, width, final, slope, horizon):
    return final + slope * np.minimum(width, horizon ** (1.0 / problem.capacity))


def _picard(problem, width, horizon, noise):
    delta = 0.5 * np.asarray(spectra.tail_sum(1.0 + problem.difficulty, width + 1.0))
    signal = 0.5 * mode_sums.signal(problem.source, problem.capacity, width, horizon)
    return Parts(*np.broadcast_arrays(delta, signal, 0.5 * (problem.noise**2 + 2.0 * delta) * noise))


def _printed(problem, width, horizon, noise):
    return Parts(*np.broadcast_arrays(width**-problem.difficulty, horizon**-problem.source, problem.noise**2 * noise))


def _log_ratio(peak, final):
    """``log(a/b)`` without losing digits near a = b."""
    return np.log1p((peak - final) / final)


def _final(peak, steps, final):
    final = peak / steps if final is None else np.asarray(final, dtype=np.float64)
    _refuse(~((final > 0) & (final <= peak)), final, "final rate", "in (0, peak]")
    return final


def _checked(problem, form, steps, peak, batch_size, width):
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; it must be one of {', '.join(FORMS)}")
    steps, peak, batch = (np.asarray(value, dtype=np.float64) for value in (steps, peak, batch_size))
    width = np.asarray(problem.width if width is None else width, dtype=np.float64)
    _refuse(~(np.isfinite(steps) & (steps >= 1)), steps, "steps", "finite and >= 1")
    _refuse(~(np.isfinite(peak) & (peak > 0)), peak, "peak rate", "finite and > 0")
    _refuse(~(np.isfinite(batch) & (batch >= 1)), batch, "batch size", "finite and >= 1")
    _refuse(~(width >= 1) | (np.isfinite(width) & (width != np.floor(width))), width, "width", "an integer >= 1 or inf")
    return steps, peak, batch, width


def _refuse(bad, values, name, rule):
    bad = np.asarray(bad)
    if bad.any():
        raise ValueError(f"{name} is {np.broadcast_to(values, bad.shape)[bad].flat[0]:g}; it must be {rule}")
