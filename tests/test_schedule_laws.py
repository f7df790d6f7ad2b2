"""Mode sums in closed form, the final-risk laws, and the claims about them."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.checks.fsl import schedule_laws as claims
from theorycheck.theory import fsl, learning_rates, spectra
from theorycheck.theory.fsl import mode_sums, schedule_laws

PROBLEM = fsl.PowerLawRegression(0.7, 1.8, width=80, noise=1.0)


def brute(source, capacity, width, time):
    """The four sums term by term."""
    j = np.arange(1.0, width + 1.0)
    x = 2.0 * time * j**-capacity
    count = np.where(x < 1e-3, x**2 / 2 - x**3 / 3 + x**4 / 8, -np.expm1(-x) - x * np.exp(-x))
    value = j**-capacity
    return [math.fsum(terms) for terms in (j ** -(1.0 + source * capacity) * np.exp(-x), 0.5 * value * np.exp(-x),
                                           -0.5 * value * np.expm1(-x), 0.25 * count)]


def closed(source, capacity, width, time):
    return [mode_sums.signal(source, capacity, width, time), mode_sums.residue(capacity, width, time),
            mode_sums.plateau(capacity, width, time), mode_sums.learned(capacity, width, time)]


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 4.0), st.floats(1.05, 6.0), st.integers(1, 30_000), st.floats(-6.0, 14.0))
def test_mode_sums_are_the_sums(source, capacity, width, decades):
    time = 10.0**decades
    for value, expected in zip(closed(source, capacity, width, time), brute(source, capacity, width, time)):
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-290)


def test_infinitely_many_modes_against_direct_sum_and_tail():
    capacity, time, width = 1.6, 300.0, 400_000
    direct = brute(0.4, capacity, width, time)
    tail = [spectra.tail_sum(n * capacity, width + 1.0) for n in (1, 2, 3)]
    signal = spectra.tail_sum(1.0 + 0.4 * capacity, width + 1.0) - 2 * time * spectra.tail_sum(
        1.0 + 1.4 * capacity, width + 1.0)
    beyond = [signal, 0.5 * tail[0] - time * tail[1] + time**2 * tail[2], time * tail[1] - time**2 * tail[2],
              0.5 * time**2 * tail[1]]
    for value, low, high in zip(closed(0.4, capacity, math.inf, time), direct, beyond):
        assert value == pytest.approx(low + high, rel=1e-9)


def test_mode_sums_against_mpmath():
    with mpmath.workdps(30):
        terms = [mpmath.mpf(j) ** -2 for j in range(1, 301)]
        time = mpmath.mpf(5000)
        count = mpmath.fsum(1 - (1 + 2 * time * v) * mpmath.exp(-2 * time * v) for v in terms) / 4
        plateau = mpmath.fsum(v * -mpmath.expm1(-2 * time * v) for v in terms) / 2
    assert mode_sums.learned(2.0, 300, 5000.0) == pytest.approx(float(count), rel=1e-10)
    assert mode_sums.plateau(2.0, 300, 5000.0) == pytest.approx(float(plateau), rel=1e-10)


def test_mode_sums_reach_their_limits_at_extreme_times():
    for capacity in (1.3, 2.0, 4.0):
        assert mode_sums.plateau(capacity, math.inf, 1e100) == pytest.approx(
            float(spectra.partial_sum(capacity, math.inf)) / 2, rel=1e-9)
        assert mode_sums.learned(capacity, 10**9, 1e60) == pytest.approx(10**9 / 4, rel=1e-9)
        exponent = 1.0 / capacity
        ratio = mode_sums.learned(capacity, math.inf, 1e80) / mode_sums.learned(capacity, math.inf, 1e60)
        assert ratio == pytest.approx(10.0 ** (20 * exponent), rel=1e-9)
    assert mode_sums.signal(0.5, 2.0, math.inf, 0.0) == pytest.approx(math.pi**2 / 6, rel=1e-12)


def noise_by_quadrature(problem, gamma, length):
    """``int_0^T K(T - z) gamma(z) dz`` by adaptive quadrature, logarithmic in the lag."""
    modes = problem.spectrum()

    def integrand(u):
        lag = math.exp(u)
        return lag * float(fsl.kernel(modes, lag)) * gamma(length - lag)
    pieces = np.linspace(-25.0, math.log(length), 30)
    return sum(quad(integrand, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in zip(pieces[:-1], pieces[1:]))


@pytest.mark.parametrize(("steps", "peak", "final"), [(1000, 0.2, 0.2), (1000, 0.2, 0.0002), (10**6, 0.05, 1e-6)])
def test_closed_forms_are_the_noise_integrals(steps, peak, final):
    length = schedule_laws.intrinsic_length(steps, peak, final)
    slope = math.log(peak / final) / steps
    parts = schedule_laws.exponential(PROBLEM, steps, peak, final, batch_size=2)
    noise = noise_by_quadrature(PROBLEM, lambda z: (peak - slope * z) / 2, length)
    scale = 0.5 * (1.0 + 2.0 * PROBLEM.approximation_error)
    assert parts.noise == pytest.approx(scale * noise, rel=1e-8)
    assert parts.signal == pytest.approx(0.5 * fsl.signal(PROBLEM.spectrum(), length), rel=1e-9)
    assert parts.approximation == pytest.approx(PROBLEM.approximation_error, rel=1e-12)


def test_wsd_is_the_integral_of_its_two_phases():
    steps, peak, final, share = 20_000, 0.1, 1e-4, 0.3
    decay = schedule_laws.intrinsic_length(share * steps, peak, final)
    stable = peak * (1 - share) * steps
    slope = math.log(peak / final) / (share * steps)
    noise = noise_by_quadrature(PROBLEM, lambda z: min(peak, peak - slope * (z - stable)), stable + decay)
    parts = schedule_laws.wsd(PROBLEM, steps, peak, final, share)
    assert parts.noise == pytest.approx(0.5 * (1.0 + 2.0 * PROBLEM.approximation_error) * noise, rel=1e-6)


@pytest.mark.parametrize("name", schedule_laws.SCHEDULES)
def test_closed_forms_are_the_small_rate_limit_of_the_discrete_law(name):
    errors = []
    for steps in (2000, 8000):
        peak = 100.0 / steps
        schedule = getattr(learning_rates, name)(steps, peak)
        law = fsl.functional_law(PROBLEM, schedule, amplitude="picard", times=[steps]).final
        errors.append(abs(float(schedule_laws.SCHEDULES[name](PROBLEM, steps, peak).total) / law - 1.0))
    assert errors[0] < 0.1 and errors[1] < 0.35 * errors[0]


def test_limits_between_the_schedules():
    flat = schedule_laws.constant(PROBLEM, 5000, 0.1)
    nearly = schedule_laws.exponential(PROBLEM, 5000, 0.1, 0.1 * (1 - 1e-12))
    whole = schedule_laws.wsd(PROBLEM, 5000, 0.1, 0.001, cooldown=1.0)
    for one, other in ((flat, nearly), (schedule_laws.exponential(PROBLEM, 5000, 0.1, 0.001), whole)):
        assert one.total == pytest.approx(float(other.total), rel=1e-10)
    assert schedule_laws.intrinsic_length(10, 0.3, 0.3) == pytest.approx(3.0, rel=1e-15)
    expected = mpmath.mpf("0.00001") / mpmath.log(mpmath.mpf("0.3") / mpmath.mpf("0.299999"))
    assert schedule_laws.intrinsic_length(10, 0.3, 0.299999) == pytest.approx(float(expected), rel=1e-9)


def test_printed_forms_are_what_the_theorems_print():
    s, b, width, noise = 0.7, 1.8, 80.0, 1.0
    steps, peak, final, batch, share = 30_000, 0.2, 0.001, 4, 0.25
    sigma = noise**2
    expected = width ** -(s * b) + (peak * steps) ** -s + sigma * peak / batch
    value = schedule_laws.constant(PROBLEM, steps, peak, batch, form="printed").total
    assert value == pytest.approx(expected, rel=1e-12)
    length = (peak - final) * steps / math.log(peak / final)
    expected = width ** -(s * b) + length**-s + sigma * (
        final / batch + (peak - final) * min(width, length ** (1 / b)) / (batch * length))
    value = schedule_laws.exponential(PROBLEM, steps, peak, final, batch, form="printed").total
    assert value == pytest.approx(expected, rel=1e-12)
    short = length * share
    expected = width ** -(s * b) + (peak * (1 - share) * steps + short) ** -s + sigma * (
        final / batch + (peak - final) * min(width, short ** (1 / b)) / (batch * short))
    value = schedule_laws.wsd(PROBLEM, steps, peak, final, share, batch, form="printed").total
    assert value == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.floats(2.0, 18.0), st.floats(-4.0, -0.6), st.floats(0.0, 1.0), st.floats(0.02, 0.98))
def test_decay_helps_the_noise_and_costs_signal(decades, log_peak, fall, share):
    steps, peak = 10.0**decades, 10.0**log_peak
    final = peak * steps**-fall
    flat = schedule_laws.constant(PROBLEM, steps, peak)
    partly = schedule_laws.wsd(PROBLEM, steps, peak, final, share)
    wholly = schedule_laws.exponential(PROBLEM, steps, peak, final)
    slack = 1.0 + 1e-9
    assert flat.signal <= partly.signal * slack + 1e-290 and partly.signal <= wholly.signal * slack + 1e-290
    assert wholly.noise <= flat.noise * slack and partly.noise <= flat.noise * slack


def test_everything_broadcasts():
    steps, peak = np.logspace(3, 6, 4)[:, None], np.array([0.01, 0.1])
    grid = schedule_laws.wsd(PROBLEM, steps, peak, width=np.array([5.0, np.inf]))
    assert all(part.shape == (4, 2) for part in grid)
    one = schedule_laws.wsd(PROBLEM, 1e5, 0.1, width=np.inf)
    assert grid.total[2, 1] == pytest.approx(float(one.total), rel=1e-14)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: schedule_laws.constant(PROBLEM, 0.5, 0.1), "steps is 0.5; it must be finite and >= 1"),
    (lambda: schedule_laws.constant(PROBLEM, 10, -0.1), "peak rate is -0.1"),
    (lambda: schedule_laws.constant(PROBLEM, 10, 0.1, batch_size=0), "batch size is 0"),
    (lambda: schedule_laws.constant(PROBLEM, 10, 0.1, width=2.5), "width is 2.5"),
    (lambda: schedule_laws.exponential(PROBLEM, 10, 0.1, 0.2), "final rate is 0.2; it must be in (0, peak]"),
    (lambda: schedule_laws.wsd(PROBLEM, 10, 0.1, cooldown=0.0), "cooldown is 0; it must be in (0, 1]"),
    (lambda: schedule_laws.wsd(PROBLEM, 10, 0.1, form="other"), "form is 'other'"),
    (lambda: schedule_laws.stability_cap(PROBLEM, ratio=1.5), "ratio is 1.5"),
    (lambda: mode_sums.signal(-1.0, 2.0, 10, 1.0), "source is -1.0"),
    (lambda: mode_sums.learned(1.0, 10, 1.0), "capacity is 1.0"),
    (lambda: mode_sums.residue(2.0, 0, 1.0), "width is 0.0"),
    (lambda: mode_sums.plateau(2.0, 10, -1.0), "time is -1.0"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["constant_rate_law", "exponential_decay_law", "wsd_law", "closed_form_error"])
def test_claims_hold_and_their_controls_are_rejected(name):
    outcome = judge(getattr(claims, name), Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome
