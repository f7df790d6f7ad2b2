"""The functional law against direct sums, closed forms and the exact recursion."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import batch_sizes, fsl, learning_rates
from theorycheck.theory.fsl import mode_sums
from theorycheck.theory.fsl.functional_law import KERNELS, exponential_sum

PROBLEM = fsl.PowerLawRegression(0.5, 2.0, width=60, noise=0.7)
SCHEDULES = [learning_rates.cosine(700, 0.3), learning_rates.wsd(700, 0.3), learning_rates.constant(700, 0.1),
             learning_rates.cyclic(700, 0.2, cycles=3),
             learning_rates.multi_step(700, 0.3), learning_rates.from_array(np.r_[np.full(300, 0.2), np.zeros(400)])]


def direct(schedule, sizes, signal, kernel, step, noise):
    """The discrete convolution as a plain sum, split into signal and label noise."""
    clock = schedule.intrinsic_time
    weight = schedule.rates[:step] ** 2 / sizes[:step] * kernel(clock[step] - clock[1:step + 1])
    return float(weight @ signal(clock[:step])), float(noise**2 * weight.sum())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("kernel", KERNELS)
def test_terms_are_the_direct_sums(schedule, kernel):
    sizes = batch_sizes.linear(700, 1, 9)
    times = np.array([0, 1, 2, 350, 700])
    terms = fsl.law_terms(PROBLEM, schedule, sizes, times, kernel=kernel)
    modes = PROBLEM.spectrum()
    signal = {"modes": lambda t: fsl.signal(modes, t), "power": lambda t: fsl.power_signal(PROBLEM, t)}[kernel]
    forgetting = {"modes": lambda t: fsl.kernel(modes, t), "power": lambda t: fsl.power_kernel(PROBLEM, t)}[kernel]
    for place, step in enumerate(times):
        expected = direct(schedule, sizes.sizes, signal, forgetting, step, PROBLEM.noise)
        assert terms.signal_noise[place] == pytest.approx(expected[0], rel=1e-9)
        assert terms.label_noise[place] == pytest.approx(expected[1], rel=1e-9)
        assert terms.signal[place] == pytest.approx(signal(schedule.intrinsic_time[step]), rel=1e-9)
    assert terms.error_bound < 1e-9


def test_infinite_limit_is_the_limit_of_large_widths():
    schedule = learning_rates.wsd(400, 0.3)
    limit = fsl.law_terms(PROBLEM, schedule, kernel="modes", limit="infinite")
    wide = fsl.law_terms(fsl.PowerLawRegression(0.5, 2.0, width=3_000_000, noise=0.7), schedule)
    tail = mode_sums.signal(0.5, 2.0, math.inf, 0.0) - mode_sums.signal(0.5, 2.0, 3_000_000, 0.0)
    assert limit.noise == pytest.approx(wide.noise, rel=1e-6, abs=1e-300)
    assert limit.signal == pytest.approx(wide.signal + tail, rel=1e-7)
    assert limit.approximation == PROBLEM.width ** -PROBLEM.difficulty


def test_constant_rate_is_a_geometric_sum_at_a_million_steps():
    problem = fsl.PowerLawRegression(0.4, 1.7, width=500)
    rate, steps, size = 0.2, 1_000_000, 3
    terms = fsl.law_terms(problem, learning_rates.constant(steps, rate), size, [10, 10_000, steps])
    x = 2.0 * rate * problem.eigenvalues
    for place, step in enumerate(terms.steps):
        modes = problem.eigenvalues**2 * np.expm1(-x * step) / np.expm1(-x)
        assert terms.label_noise[place] == pytest.approx(rate**2 / size * modes.sum(), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 4.0), st.floats(0.0, 1e12), st.floats(0.0, 1.0))
def test_power_law_as_exponentials(exponent, horizon, fraction):
    rates, weights, error = exponential_sum(exponent, horizon)
    t = math.expm1(fraction * math.log1p(horizon))
    value = math.fsum(weights * np.exp(-rates * t))
    assert error <= 1e-10
    assert abs(value * (1.0 + t) ** exponent - 1.0) <= error + 1e-13


def test_power_law_exponentials_against_mpmath():
    rates, weights, error = exponential_sum(1.5, 1e6)
    for t in (0.0, 1.0, 1e3, 1e6):
        value = mpmath.fsum(w * mpmath.exp(-mpmath.mpf(r) * t) for r, w in zip(rates, weights))
        assert abs(float(value * mpmath.mpf(1 + t) ** 1.5 - 1)) <= error


def test_amplitudes_and_first_iterate():
    schedule = learning_rates.wsd(3000, 0.2)
    terms = fsl.law_terms(PROBLEM, schedule, 2)
    printed = fsl.functional_law(PROBLEM, schedule, 2)
    assert printed.excess_risk == pytest.approx(60.0**-1.0 + terms.signal + terms.noise, rel=1e-14)
    first = fsl.functional_law(PROBLEM, schedule, 2, amplitude="picard")
    assert first.excess_risk == pytest.approx(fsl.picard(PROBLEM, schedule, 2, 1).excess_risk, rel=1e-12)
    delta = PROBLEM.approximation_error
    scale = 1.0 + 2.0 * delta / PROBLEM.noise**2
    expected = delta + 0.5 * (terms.signal + terms.signal_noise + scale * terms.label_noise)
    assert first.excess_risk == pytest.approx(expected, rel=1e-12)


def test_a_spectrum_gives_what_its_problem_gives():
    schedule = learning_rates.cosine(500, 0.2)
    one, other = (fsl.picard(p, schedule, 1, 3).excess_risk for p in (PROBLEM, PROBLEM.spectrum()))
    assert one == pytest.approx(other, rel=1e-9)
    assert (fsl.law_terms(PROBLEM.spectrum(), schedule).approximation
            == pytest.approx(2.0 * PROBLEM.approximation_error, rel=1e-14))


def test_iterates_converge_like_powers_of_rho_to_the_solution():
    schedule = learning_rates.constant(20_000, 0.3)
    rho = 0.3 * PROBLEM.trace / 2.0
    solution = fsl.picard(PROBLEM, schedule, 1, math.inf).excess_risk
    errors = [np.max(np.abs(fsl.picard(PROBLEM, schedule, 1, n).excess_risk / solution - 1.0)) for n in range(1, 6)]
    ratios = np.array(errors[1:]) / np.array(errors[:-1])
    assert np.all((ratios > 0.7 * rho) & (ratios < 1.3 * rho))
    assert fsl.picard(PROBLEM, schedule, 1, 40).excess_risk == pytest.approx(solution, rel=1e-12)


@pytest.mark.parametrize(("size", "order"), [(1, 2), (8, 1)])
def test_solution_approaches_exact_sgd(size, order):
    """exp(-2x) agrees with the exact factor 1 - 2x + (1 + 1/B) x^2 to second order for B = 1, else to first."""
    errors = []
    for rate in (0.02, 0.01, 0.005):
        steps = round(40 / rate)
        times = steps * np.arange(1, 41) // 40
        schedule = learning_rates.constant(steps, rate)
        exact = fsl.exact_risk(PROBLEM, schedule, size, times=times).excess_risk
        law = fsl.picard(PROBLEM, schedule, size, math.inf, times).excess_risk
        errors.append(np.max(np.abs(law / exact - 1.0)))
    assert 0.85 * 2**order < errors[0] / errors[1] < 1.15 * 2**order
    assert 0.85 * 2**order < errors[1] / errors[2] < 1.15 * 2**order


def test_wrong_timing_of_the_noise_is_visible():
    """Control: the same law with the step's own decay included is off by more than the quadrature."""
    schedule = learning_rates.constant(300, 0.3)
    clock, modes = schedule.intrinsic_time, PROBLEM.spectrum()
    late = 0.09 * fsl.kernel(modes, clock[300] - clock[:300]).sum() * PROBLEM.noise**2
    assert abs(fsl.law_terms(PROBLEM, schedule, times=[300]).label_noise[0] / late - 1.0) > 0.1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.just(0.0) | st.floats(1e-6, 0.5), min_size=1, max_size=60).filter(any), st.integers(1, 50))
def test_noise_is_inverse_in_the_batch_and_bounded_by_its_step_sum(rates, size):
    schedule = learning_rates.from_array(rates)
    one, many = (fsl.law_terms(PROBLEM, schedule, b, [schedule.steps]) for b in (1, size))
    assert many.noise[0] == pytest.approx(one.noise[0] / size, rel=1e-12)
    assert many.signal[0] == one.signal[0]
    most = np.sum(schedule.rates**2) * fsl.kernel(PROBLEM.spectrum(), 0.0) * PROBLEM.noise**2
    assert 0.0 < one.label_noise[0] <= most * (1.0 + 1e-9)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: fsl.functional_law(PROBLEM, SCHEDULES[0], kernel="exp"), "kernel is 'exp'; it must be one of modes"),
    (lambda: fsl.functional_law(PROBLEM, SCHEDULES[0], amplitude="half"), "amplitude is 'half'"),
    (lambda: fsl.functional_law(PROBLEM, SCHEDULES[0], limit="no"), "limit is 'no'"),
    (lambda: fsl.functional_law(PROBLEM, SCHEDULES[0], times=[701]), "within"),
    (lambda: fsl.functional_law(PROBLEM, SCHEDULES[0], [1, 2]), "batch-size schedule has 2 steps"),
    (lambda: fsl.functional_law(PROBLEM.spectrum(), SCHEDULES[0], kernel="power"), "PowerLawRegression"),
    (lambda: fsl.functional_law(PROBLEM.spectrum(), SCHEDULES[0], limit="infinite"), "must be 'width'"),
    (lambda: fsl.picard(PROBLEM, SCHEDULES[0], iterations=-1), "iterations is -1"),
    (lambda: fsl.picard(PROBLEM, SCHEDULES[0], iterations=1.5), "iterations is 1.5"),
    (lambda: exponential_sum(0.0, 1.0), "exponent is 0.0"),
    (lambda: exponential_sum(1.0, -1.0), "horizon is -1.0"),
    (lambda: exponential_sum(1.0, 1.0, 1.0), "tolerance is 1.0"),
    (lambda: fsl.kernel(PROBLEM.spectrum(), [-1.0]), "time is -1.0; it must be >= 0"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
