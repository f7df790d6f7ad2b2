"""Claims: fast catch-up after a switch to a larger batch, under the law and in exact SGD (arXiv 2602.14208).

The paper's theorem was not at hand; what is known of it in words (after the switch the loss comes fast to that of the
run with the large batch throughout, *at equal steps*, the faster the harder the task) is reconstructed here.  Both
meanings of "caught up", relative to the signal and relative to the large batch's floor, are judged.
"""

from functools import cache

import numpy as np

from ...theory.fsl.compression import compress
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.recursion import stability
from ...theory.schedules import exponents
from ...theory.schedules.catch_up import catch_up_power, catch_up_time, limit_time
from ...theory.schedules.power_law import PowerLaw, sharp
from ...theory.schedules.stages import Stage
from .. import judges
from ..claim import claim
from .paper import BATCH_SIZE

RATE, SMALL, LARGE = 0.2, 1.0, 16.0
TASKS = ((0.3, 3.0), (1.0, 2.0))
SWITCHES = 10.0 ** np.arange(3.0, 27.0)


@claim("catch_up_gap", topic="schedules", paper=BATCH_SIZE, where="catch-up theorem", stance="reconstructed",
       statement="exact SGD at equal steps: gap ~ C [d^-q - (d+t_s)^-q], q = 1-1/beta, C = sigma^2 A_K (1/r1-1/r2)/2q, "
                 "hence ~ d^-q before d ~ t_s and ~ d^-(1+q) after")
def catch_up_gap(effort):
    """Batch 1 for 2e4 steps of rate 0.2, then 16, against 16 throughout, sigma = 1, up to 1e8 steps later.

    C is that of label noise alone with the spectrum's tail.  Mini-batch noise, which puts back a share ``rho_i`` of the
    risk in stage i, multiplies it (derived: slow modes see noise of size ``(sigma^2 + e)/(1-rho_i)``, and after the
    switch every one of them feeds ``1/(1-rho_2)``) by

        [r1^-1/(1-rho_1) - r2^-1/(1-rho_2)] / [(r1^-1 - r2^-1)(1-rho_2)]  (1 + e/sigma^2) ,

    e being that at the switch for d << t_s, its mean over the first stage for d >> t_s.  With this factor the gap is
    judged to 3%, about (t_s eta)^-1/2 for what the first stage had not yet built up; slopes to 0.03.
    """
    return _gaps(_equal_steps)


@catch_up_gap.control("at equal data in place of equal steps")
def _(effort):
    return _gaps(_equal_data)


@catch_up_gap.control("label noise alone, no feedback of mini-batch noise")
def _(effort):
    return _gaps(_equal_steps, feedback=False)


@catch_up_gap.control("kernel exponent of the capacity 1.3 beta")
def _(effort):
    return _gaps(_equal_steps, factor=1.3)


def _gaps(curve, factor=1.0, feedback=True):
    parts, steps = {}, 20_000.0
    for s, beta in TASKS:
        law, switched = sharp(s, beta), RATE * steps
        early = float(law.signal(switched))
        times = np.linspace(0.0, switched, 100_001)
        q = 1.0 - 1.0 / (factor * beta)
        mean = float(np.trapezoid(law.signal(times), times)) / switched
        ranges = (("short", np.geomspace(50.0, 300.0, 8), early), ("long", np.geomspace(1e6, 1e8, 24), mean))
        for name, delays, signal in ranges:
            gap = curve(s, beta, steps, delays)
            x = RATE * delays
            noise = (1.0 + signal) * _feedback(s, beta) if feedback else RATE * (1.0 / SMALL - 1.0 / LARGE)
            predicted = 0.5 * law.strength * noise / q * (x**-q - (x + switched) ** -q)
            at = f"{name}, s={s:g}, beta={beta:g}"
            parts[f"size, {at}"] = judges.bounded(np.maximum(gap / predicted, 1e-9), between=(0.97, 1.03))
            if name == "long":
                parts[f"slope, {at}"] = judges.exponent(delays, np.maximum(gap, 1e-300), -1.0 - q, 0.03, limit="large")
    return judges.every(**parts)


def _feedback(s, beta):
    """``[r1^-1/(1-rho_1) - r2^-1/(1-rho_2)]/(1-rho_2)``."""
    spectrum = _stages(s, beta)[0].spectrum
    small, large = (1.0 - stability(spectrum, RATE, int(size)).noise_ratio for size in (SMALL, LARGE))
    return RATE * (1.0 / (SMALL * small) - 1.0 / (LARGE * large)) / large


@cache
def _stages(s, beta):
    spectrum = compress(PowerLawRegression(s, beta), 1e9, nodes=12, tolerance=1e-10)
    return Stage(spectrum, RATE, SMALL), Stage(spectrum, RATE, LARGE)


def _equal_steps(s, beta, switch, delays):
    """Risk of the switched run less that of the large batch after the same number of steps."""
    early, late = _stages(s, beta)
    before = late.take_over(early.after(early.start(), switch), early)
    always = late.after(late.start(), switch)
    return late.risk_difference(before - always, delays)


def _equal_data(s, beta, switch, delays):
    """The same when the large batch has used as much data."""
    early, late = _stages(s, beta)
    before = late.take_over(early.after(early.start(), switch), early)
    return late.risk(late.after(before, delays)) - late.risk(late.after(late.start(), delays + switch * SMALL / LARGE))


@claim("catch_up_relative_to_signal", topic="schedules", paper=BATCH_SIZE, where="catch-up theorem",
       stance="reconstructed",
       statement="gap <= eps e(t) after d ~ t_s^(s/q) = o(t_s) for s < q = 1-1/beta, ~ t_s at s = q, "
                 "~ t_s^(1/(1+q-s)) for q < s < 1+q, never beyond: the harder, the faster")
def catch_up_relative_to_signal(effort):
    """Under the law, r = 1 to 16, eps = 0.01, t_s = 1e3 to 1e26; constants against their limits where there are any.

    Limits are approached like ``(d/t_s)^q + 1/d`` (hard) or ``t_s/d`` (easy): tolerance three times that at the end.
    """
    return _signal_times(catch_up_power)


@catch_up_relative_to_signal.control("the time relative to the floor, a power 0 of t_s")
def _(effort):
    return _signal_times(lambda s, beta: 0.0)


@catch_up_relative_to_signal.control("linear in t_s for every task")
def _(effort):
    return _signal_times(lambda s, beta: 1.0)


def _signal_times(power):
    parts = {}
    for s, beta in ((0.1, 3.0), (0.3, 3.0), (0.2, 2.0), (0.5, 2.0), (1.0, 2.0), (0.8, 1.5)):
        law, at = PowerLaw(s, beta), f"s={s:g}, beta={beta:g}"
        times = np.array([catch_up_time(law, 1.0, 16.0, t, 0.01) for t in SWITCHES])
        parts[f"power, {at}"] = judges.exponent(SWITCHES, times, power(s, beta), 0.02, limit="large")
        if exponents.regime(s, beta) != "boundary":
            limit, q = limit_time(law, 1.0, 16.0, SWITCHES[-1], 0.01), law.forgetting
            slack = (limit / SWITCHES[-1]) ** q if s < q else SWITCHES[-1] / limit
            parts[f"constant, {at}"] = judges.equal(times[-1], limit, rtol=3.0 * slack + 3.0 / limit + 1e-12)
    never = [catch_up_time(PowerLaw(s, 2.0), 1.0, 16.0, 1e6, 0.01) for s in (1.5, 1.7, 3.0)]
    parts["never"] = judges.inequality(np.full(3, 1e300), np.minimum(never, 1.7e308))
    faster = [catch_up_time(PowerLaw(s, 2.0), 1.0, 16.0, 1e12, 0.01) for s in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0)]
    parts["harder is faster"] = judges.inequality(faster[:-1], faster[1:])
    return judges.every(**parts)


@claim("catch_up_relative_to_floor", topic="schedules", paper=BATCH_SIZE, where="catch-up theorem", stance="derived",
       statement="gap <= eps sigma^2/(q r2) after 1 + d -> ((r2/r1-1)/eps)^(1/q), whatever s and t_s -> inf")
def catch_up_relative_to_floor(effort):
    """t_s = 1e15 and several eps; the relative correction ``(d/t_s)^q/q``, doubled, is the tolerance."""
    return _floor_times(0.0)


@catch_up_relative_to_floor.control("r2/r1 in place of r2/r1 - 1")
def _(effort):
    return _floor_times(1.0)


def _floor_times(extra):
    measured, expected, slack = [], [], []
    for s, beta in ((0.1, 3.0), (0.5, 2.0), (1.0, 2.0), (3.0, 1.5)):
        law = PowerLaw(s, beta)
        for eps in (0.1, 0.01):
            limit = limit_time(law, 1.0, 16.0 + extra, 1e15, eps, "floor")
            measured.append(catch_up_time(law, 1.0, 16.0, 1e15, eps, "floor"))
            expected.append(limit)
            slack.append(2.0 * (limit / 1e15) ** law.forgetting / law.forgetting + 1e-12)
    error = np.abs(np.array(measured) / expected - 1.0)
    return judges.inequality(error, slack, over="relative error of the limit")


@claim("catch_up_in_sgd", topic="schedules", paper=BATCH_SIZE, where="catch-up theorem", stance="reconstructed",
       statement="exact SGD, hard tasks: steps until gap <= eps E_noise-free grow like t_s^(s/q); easy with s < 1+q: "
                 "superlinearly, like t_s^(1/(1+q-s))")
def catch_up_in_sgd(effort):
    """Batch 1 then 16, sigma = 1, rate 0.2, t_s up to 1e9 steps (1e5 of the easy task); eps such that d << t_s or
    d >> t_s as the regime has it.  The easy task is not caught up with within 3e5 steps, whatever t_s >= 1e3.
    """
    return _sgd_times(effort, catch_up_power)


@catch_up_in_sgd.control("exponents of tasks with half the source")
def _(effort):
    return _sgd_times(effort, lambda s, beta: catch_up_power(0.5 * s, beta))


def _sgd_times(effort, power):
    parts = {}
    for s, beta, eps, last in ((0.3, 3.0, 0.003, 1e9), (0.2, 2.0, 0.01, 1e9), (0.15, 4.0, 0.01, 1e9),
                              (0.45, 4.0, 0.01, 1e9), (1.0, 2.0, 0.01, 1e5)):
        switches = last * 10.0 ** np.linspace(-effort.choose(2.0, 3.0), 0.0, effort.choose(13, 19))
        times = [_sgd_time(s, beta, eps, t) for t in switches]
        parts[f"s={s:g}, beta={beta:g}"] = judges.exponent(switches, times, power(s, beta), 0.06, limit="large")
        if exponents.regime(s, beta) == "easy":
            late = np.array(times)[switches >= 999.0]
            parts[f"not within 3e5 steps, s={s:g}, beta={beta:g}"] = judges.inequality(3e5, late)
    return judges.every(**parts)


@cache
def _long_stages(s, beta, longest):
    spectrum = compress(PowerLawRegression(s, beta), longest, nodes=12, tolerance=1e-9)
    return Stage(spectrum, RATE, SMALL), Stage(spectrum, RATE, LARGE)


def _sgd_time(s, beta, eps, switch):
    """Steps after the switch until the gap is within eps of the noise-free risk, by bisection in their logarithm."""
    early, late = _long_stages(s, beta, 1e12)
    spectrum = early.spectrum
    apart = (late.take_over(early.after(early.start(), switch), early) - late.after(late.start(), switch))
    quiet = np.log1p(-np.minimum(RATE * spectrum.eigenvalues, 0.999))

    def behind(steps):
        gap = late.risk_difference(apart, steps)
        decay = np.exp(2.0 * (switch + steps) * quiet)
        return gap > eps * 0.5 * spectrum.sum(spectrum.eigenvalues * spectrum.target_squared * decay)

    low, high = 0.0, 30.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if behind(np.exp(middle)) else (low, middle)
    return float(np.exp(0.5 * (low + high)))
