"""The optimal schedule: one-mode closed form, budget, variations, the independent descent, rates, bad input."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theorycheck.theory import learning_rates
from theorycheck.theory.fsl.functional_law import kernel, law_terms, signal
from theorycheck.theory.fsl.optimal_schedule import (
    compute_optimal,
    decay_power,
    exponents,
    optimal_schedule,
    schedule_by_descent,
)
from theorycheck.theory.fsl.problem import PowerLawRegression, Spectrum

PROBLEMS = st.builds(PowerLawRegression, source=st.floats(0.2, 2.0), capacity=st.floats(1.3, 4.0),
                     width=st.integers(2, 60), noise=st.floats(0.3, 2.0))


def law_of(spectrum, remaining, gamma, horizon):
    """The objective by the trapezoidal rule."""
    noise = np.trapezoid(kernel(spectrum, remaining) * gamma, remaining)
    return spectrum.approximation_error + 0.5 * (signal(spectrum, horizon) + spectrum.noise**2 * noise)


def refined(best, points=20_001):
    """The schedule on a finer grid, by interpolation in the tabulated remaining time."""
    fine = np.union1d(np.linspace(0.0, best.horizon, points), best.remaining_time)
    return fine, np.interp(fine, best.remaining_time, best.noise_scale)


@given(eigenvalue=st.floats(0.05, 5.0), target=st.floats(0.01, 50.0), noise=st.floats(0.1, 3.0),
       data=st.floats(2.0, 1e6))
def test_one_mode_is_recursive_least_squares(eigenvalue, target, noise, data):
    # One mode, no cap: minimise A q^2 + sigma^2 (1 - q)^2 / D over q = exp(-lambda T), A = lambda theta^2; the optimal
    # rate is the 1/k of averaging, and the risk that of the best linear estimate from D samples.
    modes = Spectrum([eigenvalue], [target], 0.1, noise)
    best = optimal_schedule(modes, data, 1e9)
    energy, variance = eigenvalue * target, noise**2 / data
    assert best.risk == pytest.approx(0.1 + 0.5 * energy * variance / (energy + variance), rel=1e-8)
    learned = -math.expm1(-eigenvalue * best.horizon)
    assert learned == pytest.approx(energy / (energy + variance), rel=1e-3)
    expected = (learned / data) / eigenvalue * np.exp(eigenvalue * best.remaining_time)
    np.testing.assert_allclose(best.noise_scale, expected, rtol=1e-8)
    assert best.decay_fraction == pytest.approx(1.0)


@settings(deadline=None, max_examples=30)
@given(problem=PROBLEMS, data=st.floats(10.0, 1e5), peak=st.floats(0.02, 0.5))
def test_budget_cap_and_stationarity(problem, data, peak):
    best = optimal_schedule(problem, data, peak)
    assert best.remaining_data[-1] == pytest.approx(data, rel=1e-8)
    assert np.all(best.noise_scale <= peak * (1 + 1e-12)) and np.all(np.diff(best.noise_scale) >= -1e-12 * peak)
    assert np.all(np.diff(best.remaining_data) > 0) and 0 < best.decay_fraction <= 1 + 1e-9
    free = best.noise_scale < peak * (1 - 1e-9)
    multiplier = best.noise_scale[free] ** 2 * kernel(problem.spectrum(), best.remaining_time[free])
    np.testing.assert_allclose(multiplier, best.scale**2, rtol=1e-6)
    fine, gamma = refined(best)
    assert np.trapezoid(1.0 / gamma, fine) == pytest.approx(data, rel=5e-3)
    assert law_of(problem.spectrum(), fine, gamma, best.horizon) == pytest.approx(best.risk, rel=5e-3)
    assert best.risk == pytest.approx(problem.approximation_error + best.signal + best.noise)


@settings(deadline=None, max_examples=6)
@example(problem=PowerLawRegression(1.0, 2.0, 2, 0.5), data=69.0, peak=0.0625)
@given(problem=PROBLEMS, data=st.floats(20.0, 1e4), peak=st.floats(0.05, 0.4))
def test_descent_that_knows_no_lagrange_condition_finds_the_same(problem, data, peak):
    best = optimal_schedule(problem, data, peak)
    gaps = []
    for cells in (40, 80):
        risk, _, gamma = schedule_by_descent(problem, data, peak, cells)
        assert np.all(gamma <= peak * (1 + 1e-9))
        gaps.append(risk / best.risk - 1)
    # a schedule in cells cannot beat the optimum over all, and comes to it like the square of the cell width
    assert min(gaps) >= -1e-7 and gaps[1] <= max(gaps[0] / 2.5, 2e-5) and gaps[1] < 0.05


@settings(deadline=None, max_examples=30)
@given(problem=PROBLEMS, data=st.floats(20.0, 1e4), seed=st.integers(0, 2**32 - 1), size=st.floats(0.05, 0.9))
def test_no_variation_at_equal_data_improves(problem, data, seed, size):
    best = optimal_schedule(problem, data, 0.3)
    fine, gamma = refined(best)
    waves = np.random.default_rng(seed).standard_normal(5) @ np.cos(np.outer(np.arange(5), np.pi * fine / fine[-1]))
    varied = np.minimum(0.3, gamma * np.exp(size * waves / np.abs(waves).max()))
    # Same data by stretching the clock: remaining time and horizon shrink or grow by one factor.
    stretch = np.trapezoid(1.0 / gamma, fine) / np.trapezoid(1.0 / varied, fine)
    other = law_of(problem.spectrum(), stretch * fine, varied, stretch * best.horizon)
    assert other >= law_of(problem.spectrum(), fine, gamma, best.horizon) * (1 - 1e-4)


@pytest.mark.parametrize("source, capacity", [(1.5, 2.0), (0.5, 4.0), (0.3, 2.0)])
def test_parametric_schedules_of_equal_data_lose(source, capacity):
    problem, steps = PowerLawRegression(source, capacity), 2000

    def law(schedule):
        terms = law_terms(problem, schedule, times=[steps])
        return problem.approximation_error + 0.5 * float(terms.signal[0] + terms.label_noise[0])

    best = optimal_schedule(problem, steps, 0.3)
    mine = law(best.schedule(steps))
    assert mine == pytest.approx(best.risk, rel=0.02)
    for peak in np.geomspace(0.01, 0.3, 8):
        for make in (learning_rates.constant, learning_rates.cosine, learning_rates.exponential, learning_rates.wsd):
            assert law(make(steps, peak)) > mine


def test_as_a_learning_rate_schedule():
    best = optimal_schedule(PowerLawRegression(0.5, 4.0), 8000, 0.2)
    one, four = best.schedule(8000), best.schedule(2000, batch_size=4)
    assert one.peak == pytest.approx(0.2) and four.peak == pytest.approx(0.8)
    assert one.intrinsic_time[-1] == pytest.approx(best.horizon, rel=1e-3)
    assert four.intrinsic_time[-1] == pytest.approx(best.horizon, rel=1e-3)
    assert np.all(np.diff(one.rates) <= 1e-15) and one.name == "optimal"
    with pytest.raises(ValueError, match="must be the data budget 8000"):
        best.schedule(1000)


@pytest.mark.parametrize("source, capacity", [(1.5, 2.0), (1.0, 1.5), (0.5, 4.0), (0.3, 2.0)])
def test_rates_of_the_optimum(source, capacity):
    problem = PowerLawRegression(source, capacity)
    power = exponents(problem)
    low, high = (optimal_schedule(problem, data, 0.3) for data in (1e16, 1e18))
    decades = math.log(100.0)
    # Corrections to these slopes fall like a power of D below 1/10; at 1e17 they are a few thousandths.
    assert math.log(high.risk / low.risk) / decades == pytest.approx(power["risk"], abs=4e-3)
    assert math.log(high.horizon / low.horizon) / decades == pytest.approx(power["horizon"], abs=4e-3)
    assert math.log(high.noise_scale[-1] / low.noise_scale[-1]) / decades == pytest.approx(power["peak"], abs=4e-3)
    share = [best.crossover / best.horizon for best in (low, high)]
    assert math.log(share[1] / share[0]) / decades == pytest.approx(power["decay_fraction"], abs=4e-3)


def test_decay_power_is_the_slope_of_the_tabulated_schedule():
    problem = PowerLawRegression(1.5, 2.0)
    best = optimal_schedule(problem, 1e8, 0.3)
    inner = slice(-60, -20, 10)
    slope = np.gradient(np.log(best.noise_scale[1:]), np.log(best.remaining_data[1:]))
    np.testing.assert_allclose(decay_power(problem, best.remaining_time[1:][inner]), slope[inner], rtol=5e-3)
    single = Spectrum([0.5], [1.0], 0.0, 1.0)
    np.testing.assert_allclose(decay_power(single, [0.1, 3.0]), np.expm1([0.05, 1.5]), rtol=1e-9)


def test_compute_optimal_width_beats_its_neighbours():
    problem, compute = PowerLawRegression(1.5, 2.0), 1e7
    width, best = compute_optimal(problem, compute, 0.3)
    for other in (width // 2, round(0.8 * width), round(1.25 * width), 2 * width):
        model = PowerLawRegression(1.5, 2.0, other)
        assert optimal_schedule(model, compute / other, 0.3).risk > best.risk


@pytest.mark.parametrize("arguments, message", [
    ((0.5, 0.3), "data is 0.5"), ((math.nan, 0.3), "data is nan"), ((100.0, 0.0), "peak is 0.0"),
    ((100.0, math.inf), "peak is inf"),
])
def test_bad_budgets_are_refused(arguments, message):
    for function in (optimal_schedule, schedule_by_descent):
        with pytest.raises(ValueError, match=message):
            function(PowerLawRegression(0.5, 2.0, 10), *arguments)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="noise is 0"):
        optimal_schedule(PowerLawRegression(0.5, 2.0, 10, noise=0.0), 100, 0.3)
    with pytest.raises(ValueError, match="compute is 3"):
        compute_optimal(PowerLawRegression(0.5, 2.0), 3, 0.3)
