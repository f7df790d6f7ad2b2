"""Claims about schedules that do not know the horizon: powers of time do no better than a constant rate."""

import math
from functools import cache

import numpy as np
from scipy.optimize import minimize_scalar

from ...theory import fsl
from ...theory.schedules import anytime
from .. import judges
from ..claim import claim
from .paper import JOINT, RANDOM_FEATURES

POWERS = (0.0, 0.25, 0.5)
SIZES = 10.0 ** np.arange(10, 25, 2)
TASKS = ((1.0, 2.0), (0.7, 3.0))


@claim("power_law_rates", topic="schedules", paper=RANDOM_FEATURES, where="abstract", stance="reconstructed",
       statement="eta_t = c t^-chi, chi < 1, best c: c ~ N^(chi - s/(1+s)) and E ~ N^(-s/(1+s)) whatever chi")
def power_law_rates(effort):
    """The law, N = 1e10 to 1e24, chi = 0, 1/4, 1/2 below or near ``s/(1+s)``; a logarithm would show as 0.01."""
    return _laws(lambda s, beta: s / (1.0 + s), POWERS)


@power_law_rates.control("the exponent of the best schedule, s beta/(1+s beta)")
def _(effort):
    return _laws(lambda s, beta: s * beta / (1.0 + s * beta), POWERS)


@power_law_rates.control("chi = 0.75, whose amplitude is stopped by the cap")
def _(effort):
    return _laws(lambda s, beta: s / (1.0 + s), (0.75,))


@claim("capped_power_law_rates", topic="schedules", paper=RANDOM_FEATURES, where="abstract", stance="derived",
       statement="s/(1+s) < chi < 1: the best c is the cap and E ~ N^-min{s (1-chi), chi}")
def capped_power_law_rates(effort):
    """chi = 0.6 and 0.75 for s = 1, chi = 0.6 for s = 0.7: the signal is what is left."""
    return _capped(lambda s, chi: min(s * (1.0 - chi), chi))


@capped_power_law_rates.control("s/(1+s) as for smaller chi")
def _(effort):
    return _capped(lambda s, chi: s / (1.0 + s))


@capped_power_law_rates.control("the last rate as the whole loss, N^-chi")
def _(effort):
    return _capped(lambda s, chi: chi)


@claim("power_law_rates_in_sgd", topic="schedules", paper=RANDOM_FEATURES, where="abstract", stance="reconstructed",
       statement="exact recursion, eta_t = c t^-chi with best c: slopes of E and c as in the law")
def power_law_rates_in_sgd(effort):
    """s = 1, beta = 2, chi = 0, 1/4, 1/2, local slopes, N = 2^14 to 2^18 (full: 2^20).

    Corrections are of relative order ``T^(-(1-1/beta))``, ``N^(-1/4)``; 0.03 is set for their change in a factor 4.
    """
    return _exact(effort, POWERS, 1.0)


@power_law_rates_in_sgd.control("chi = 0.75: stability stops the amplitude")
def _(effort):
    return _exact(effort, (0.75,), 1.0)


@power_law_rates_in_sgd.control("the exponent of the best schedule, s beta/(1+s beta)")
def _(effort):
    return _exact(effort, POWERS, 2.0)


@claim("gap_of_a_ramp", topic="schedules", paper=JOINT, where="theorem on schedules", stance="stated",
       statement="r ~ t^theta, K ~ t^-q: noise ~ T^-min{theta, q} (q > 1), T^-(theta+q-1) or T^-q (q < 1)")
def gap_of_a_ramp(effort):
    """Seven pairs (theta, q) off the logarithm at theta = 1 > q, T from 1e6 to 1e16."""
    return _gaps(anytime.ramp_exponent)


@gap_of_a_ramp.control("recent noise only, T^-theta")
def _(effort):
    return _gaps(lambda theta, q: theta)


@gap_of_a_ramp.control("the kernel's own exponent, T^-q")
def _(effort):
    return _gaps(lambda theta, q: q)


@claim("ramps_do_not_beat_a_constant", topic="schedules", paper=JOINT, where="theorem on schedules", stance="derived",
       statement="batch/rate = t^theta without a horizon: E ~ D^(-min{s, theta, q}/(1+theta)), at best D^(-s/(1+s))")
def ramps_do_not_beat_a_constant(effort):
    """Exponents for five theta around s, beta = 2; s = 0.5 and 1, D up to 1e24."""
    return _ramps(lambda s, theta, q: min(s, theta, q) / (1.0 + theta))


@ramps_do_not_beat_a_constant.control("the exponent of the best schedule at theta = s")
def _(effort):
    return _ramps(lambda s, theta, q: 2.0 * s / (1.0 + 2.0 * s) * min(1.0, theta / s))


@ramps_do_not_beat_a_constant.control("the signal alone, D^(-s/(1+theta))")
def _(effort):
    return _ramps(lambda s, theta, q: s / (1.0 + theta))


def _laws(rate, powers):
    parts = {}
    for s, beta in TASKS:
        for chi in powers:
            best = [anytime.tuned(s, beta, n, chi, cap=1e6 if chi < 0.6 else 1.0) for n in SIZES]
            label = f"chi={chi:g} s={s:g}"
            parts[f"loss {label}"] = judges.exponent(SIZES, [b.risk for b in best], -rate(s, beta), 0.005,
                                                     limit="large")
            parts[f"amplitude {label}"] = judges.exponent(SIZES, [b.amplitude for b in best], chi - rate(s, beta),
                                                          0.005, limit="large")
    return judges.every(**parts)


def _capped(rate):
    parts = {}
    for s, beta, chi in ((1.0, 2.0, 0.6), (1.0, 2.0, 0.75), (0.7, 3.0, 0.6)):
        best = [anytime.tuned(s, beta, n, chi, cap=0.5) for n in SIZES]
        parts[f"loss chi={chi:g} s={s:g}"] = judges.exponent(SIZES, [b.risk for b in best], -rate(s, chi), 0.01,
                                                             limit="large")
        parts[f"cap chi={chi:g} s={s:g}"] = judges.equal([b.amplitude for b in best], 0.5, rtol=1e-12)
    return judges.every(**parts)


@cache
def _tuned_exactly(steps, chi):
    """Best amplitude and loss of the exact recursion, s = 1, beta = 2."""
    problem = fsl.PowerLawRegression(1.0, 2.0)
    spectrum = fsl.compress(problem, float(steps), tolerance=1e-6)
    cap = 0.98 * fsl.critical_rate(spectrum)

    def loss(log_amplitude):
        schedule = anytime.schedule(steps, math.exp(log_amplitude), chi)
        return fsl.exact_risk(spectrum, schedule, times=[steps]).final

    middle = math.log(steps) * (chi - 0.5) + 0.3
    found = minimize_scalar(loss, bounds=(min(middle, math.log(cap)) - 2.5, min(middle + 2.5, math.log(cap))),
                            method="bounded", options={"xatol": 2e-3})
    return math.exp(found.x), found.fun


def _exact(effort, powers, sharpness):
    sizes, parts = 2 ** np.arange(14, effort.choose(19, 22), 2), {}
    rate = sharpness / (1.0 + sharpness)
    for chi in powers:
        best = np.array([_tuned_exactly(int(n), chi) for n in sizes])
        parts[f"loss chi={chi:g}"] = judges.local_slopes(sizes, best[:, 1], sizes**-rate, 0.03)
        parts[f"amplitude chi={chi:g}"] = judges.local_slopes(sizes, best[:, 0], sizes ** (chi - rate), 0.03)
    return judges.every(**parts)


def _gaps(exponent):
    times, parts = 10.0 ** np.arange(6, 17, 1), {}
    for theta, q in ((0.5, 1.5), (1.2, 1.5), (2.5, 1.5), (0.7, 1.8), (0.7, 0.6), (2.0, 0.6), (0.9, 0.5)):
        noise = [anytime.ramp_noise(time, theta, q) for time in times]
        parts[f"theta={theta:g} q={q:g}"] = judges.exponent(times, noise, -exponent(theta, q), 0.02, limit="large")
    return judges.every(**parts)


def _ramps(exponent):
    parts, q = {}, 1.5
    for s in (0.5, 1.0):
        for theta in (0.5 * s, 0.8 * s, s, 1.3 * s, 2.0 * s):
            times = np.geomspace(1e24 ** (0.5 / (1.0 + theta)), 1e24 ** (1.0 / (1.0 + theta)), 9)
            data = np.array([anytime.ramp_data(time, theta) for time in times])
            loss = (1.0 + times) ** -s + np.array([anytime.ramp_noise(time, theta, q) for time in times])
            parts[f"s={s:g} theta={theta:g}"] = judges.exponent(data, loss, -exponent(s, theta, q), 0.01, limit="large")
    return judges.every(**parts)
