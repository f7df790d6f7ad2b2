"""Optimal control of exact SGD: adjoint, rates, batches, the law's optimum and tuned ridge regression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

from theorycheck.checks import claim as claims
from theorycheck.checks.schedules import optimal_control as control_claims
from theorycheck.theory import batch_sizes, fsl
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.schedules.adjoint import gradient
from theorycheck.theory.schedules.batch_control import optimal_batches, whole_sizes
from theorycheck.theory.schedules.optimal_control import optimal_rates
from theorycheck.theory.schedules.ridge import ridge_loss, ridge_optimum
from theorycheck.theory.schedules.spectral_optimum import spectral_optimum

EASY = fsl.PowerLawRegression(1.0, 2.0)
HARD = fsl.PowerLawRegression(1.0 / 6.0, 3.0)
MODES = fsl.Spectrum(np.arange(1.0, 13.0) ** -1.5, np.arange(1.0, 13.0) ** -0.2, 0.03, 0.8,
                     multiplicity=np.linspace(1.0, 3.0, 12))


def naive_risk(spectrum, rates, sizes):
    """The recursion in plain NumPy, batch sizes real."""
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    state = spectrum.target_squared.copy()
    for rate, size in zip(rates, sizes):
        x = rate * values
        total = np.sum(weights * values * state) + spectrum.label_variance
        state = state * (1 - 2 * x + (1 + (spectrum.kurtosis - 2) / size) * x**2) + rate**2 / size * values * total
    return spectrum.approximation_error + 0.5 * np.sum(weights * values * state)


@pytest.mark.parametrize("kurtosis", [1.0, 3.0, 6.0])
def test_gradient_is_that_of_finite_differences(kurtosis):
    spectrum = fsl.Spectrum(MODES.eigenvalues, MODES.target_squared, 0.03, 0.8, MODES.multiplicity, kurtosis)
    rng = np.random.default_rng(3)
    rates, sizes = rng.uniform(0.02, 0.3, 29), rng.uniform(0.7, 6.0, 29)
    found = gradient(spectrum, rates, sizes)
    assert found.loss == pytest.approx(naive_risk(spectrum, rates, sizes), rel=1e-13)
    for k in range(29):
        step = 1e-3 * np.eye(29)[k]      # central differences are exact for a quadratic
        by_rate = (naive_risk(spectrum, rates + step, sizes) - naive_risk(spectrum, rates - step, sizes)) / 2e-3
        assert found.by_rate[k] == pytest.approx(by_rate, rel=1e-8, abs=1e-12)
        up, down = (naive_risk(spectrum, rates, 1.0 / (1.0 / sizes + sign * step)) for sign in (1, -1))
        assert found.by_batch[k] == pytest.approx(-(up - down) / 2e-3 / sizes[k]**2, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("segment", [1, 7, 64, 200])
def test_kept_adjoints_do_not_change_a_bit(segment):
    rates = np.linspace(0.3, 0.01, 200)
    whole, part = gradient(MODES, rates, 2.0, segment=200), gradient(MODES, rates, 2.0, segment=segment)
    assert np.array_equal(whole.by_rate, part.by_rate) and np.array_equal(whole.by_batch, part.by_batch)
    solved = [optimal_rates(MODES, 200, segment=steps).rates for steps in (segment, 200)]
    assert np.array_equal(*solved)


@pytest.mark.parametrize("problem, cap", [(EASY, None), (HARD, 0.3), (HARD, None)])
@pytest.mark.parametrize("size", [1, 3])
def test_loss_is_that_of_the_exact_recursion(problem, cap, size):
    found = optimal_rates(problem, 700, size, cap)
    exact = fsl.exact_risk(found.spectrum, found.schedule(), size, times=[700]).final
    assert found.loss == pytest.approx(exact, rel=1e-12) and found.data == 700 * size
    assert found.converged or (problem is HARD and cap is None)   # giant steps take long to settle
    assert fsl.exact_risk(problem, found.schedule(), size, times=[700]).final == pytest.approx(found.loss, rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 2.0), st.floats(1.2, 4.0), st.floats(0.1, 2.0), st.integers(1, 60), st.integers(1, 9),
       st.sampled_from([None, 0.05, 0.4]))
def test_sweeps_never_raise_the_risk_and_keep_the_cap(source, capacity, noise, steps, size, cap):
    problem = fsl.PowerLawRegression(source, capacity, 40, noise)
    found = optimal_rates(problem, steps, size, cap, sweeps=30, tolerance=1e-12)
    assert (np.diff(found.losses_by_sweep) <= 1e-14 * found.losses_by_sweep[:-1]).all()
    assert (found.rates >= 0).all() and (found.rates <= (np.inf if cap is None else cap)).all()


@pytest.mark.parametrize("problem, cap, size", [(EASY, None, 1), (EASY, 0.15, 1), (HARD, 0.3, 1), (MODES, None, 2)])
def test_no_general_optimiser_does_better(problem, cap, size):
    steps = 40
    found = optimal_rates(problem, steps, size, cap, tolerance=1e-14, sweeps=2000)

    def objective(rates):
        made = gradient(found.spectrum, np.maximum(rates, 1e-12), size)
        return made.loss, made.by_rate

    for start in (0.02, 0.2):
        peer = minimize(objective, np.full(steps, min(start, cap or 1.0)), jac=True, method="L-BFGS-B",
                        bounds=[(1e-12, cap)] * steps, options={"maxiter": 3000, "ftol": 1e-15, "gtol": 1e-12})
        assert found.loss <= peer.fun * (1.0 + 1e-8)
    inside = (found.rates < (cap or np.inf)) & (found.rates > 0)
    slope = gradient(found.spectrum, found.rates, size).by_rate
    assert np.abs(slope[inside] * found.rates[inside]).max() < 1e-6 * found.loss
    assert (slope[~inside] <= 0).all()   # at the cap a larger rate would help


@pytest.mark.parametrize("problem, cap", [(EASY, 0.3), (HARD, 0.3)])
def test_no_parametric_schedule_does_better(problem, cap):
    steps = 500
    found = optimal_rates(problem, steps, 1, cap)
    for peak in np.geomspace(0.005, cap, 9):
        others = [lr.constant(steps, peak), lr.cosine(steps, peak), lr.linear(steps, peak), lr.power(steps, peak, 3.0),
                  *(lr.wsd(steps, peak, part) for part in (0.1, 0.3, 0.6))]
        for other in others:
            assert found.loss < fsl.exact_risk(found.spectrum, other, times=[steps]).final


def test_starts_coarse_or_not_end_at_the_same_place():
    plain, coarse = optimal_rates(EASY, 3000, coarse=False), optimal_rates(EASY, 3000)
    assert coarse.loss == pytest.approx(plain.loss, rel=1e-9) and coarse.sweeps < plain.sweeps
    assert coarse.rates == pytest.approx(plain.rates, rel=2e-3)
    warm = optimal_rates(EASY, 3000, start=plain.schedule())
    assert warm.sweeps <= 2 and warm.loss <= plain.loss


def test_an_absurd_start_is_survived():
    assert optimal_rates(EASY, 50, start=np.full(50, 1e6)).loss == pytest.approx(optimal_rates(EASY, 50).loss, rel=1e-8)


@pytest.mark.parametrize("smallest, largest", [(0.5, None), (2.0, None), (2.0, 9.0)])
def test_best_batches_beat_a_general_optimiser(smallest, largest):
    steps, data, rate = 12, 60.0, 0.4
    found = optimal_batches(MODES, data, rate, smallest, largest, steps=steps, tolerance=1e-15)

    def objective(sizes):
        made = gradient(MODES, np.full(steps, rate), sizes)
        return made.loss, made.by_batch

    peer = minimize(objective, np.full(steps, data / steps), jac=True, method="SLSQP",
                    bounds=[(smallest, largest)] * steps, constraints=LinearConstraint(np.ones(steps), data, data),
                    options={"maxiter": 500, "ftol": 1e-14})
    assert found.loss <= peer.fun * (1.0 + 1e-9)
    assert found.batches == pytest.approx(peer.x, rel=2e-3)


def test_best_number_of_steps_is_that_of_a_full_search():
    found = optimal_batches(MODES, 50.0, 0.3)
    tried = {steps: optimal_batches(MODES, 50.0, 0.3, steps=steps).loss for steps in range(1, 51)}
    assert found.steps == min(tried, key=tried.get) and found.loss == pytest.approx(min(tried.values()), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 1.5), st.floats(1.3, 3.0), st.integers(20, 400), st.floats(0.05, 0.4), st.integers(1, 3),
       st.sampled_from([None, 12]))
def test_budget_and_limits_are_kept(source, capacity, data, rate, smallest, largest):
    problem = fsl.PowerLawRegression(source, capacity, 30)
    found = optimal_batches(problem, data, rate, smallest, largest)
    top = np.inf if largest is None else largest
    assert found.batches.sum() == pytest.approx(data, rel=1e-12)
    assert (found.batches >= smallest * (1 - 1e-12)).all() and (found.batches <= top * (1 + 1e-12)).all()
    assert (np.diff(found.losses_by_pass) <= 0).all()
    whole = found.whole()
    assert whole.samples == data and whole.sizes.min() >= smallest and whole.sizes.max() <= top
    assert np.abs(np.cumsum(whole.sizes) - np.cumsum(found.batches)).max() <= 0.5 + 1e-6
    for steps in (found.steps - 1, found.steps + 1):
        if smallest * steps <= data <= top * steps and steps >= 1:
            assert found.loss <= optimal_batches(problem, data, rate, smallest, largest, steps=steps).loss * (1 + 1e-10)


def test_whole_batches_use_a_budget_that_is_not_whole_without_exceeding_it():
    assert whole_sizes([2.4, 2.4, 2.4]).sum() == 7
    with pytest.raises(ValueError, match="smallest batch size is 0.5; .* whole and >= 1"):
        whole_sizes([1.0, 2.0], 0.5)


def test_rates_and_batches_are_dual():
    rates = optimal_rates(EASY, 1024)
    batches = optimal_batches(EASY, 1024, 0.01, 1e-3)
    assert batches.loss == pytest.approx(rates.loss, rel=1e-3)
    assert batches.horizon == pytest.approx(rates.horizon, rel=0.01)
    assert fsl.exact_risk(EASY, rates.schedule(), batch_sizes.constant(1024, 1), times=[1024]).final == pytest.approx(
        rates.loss, rel=1e-8)


def test_law_against_a_general_optimiser():
    """The floor active, mini-batch noise kept: cells of constant ratio, the horizon given."""
    data, floor, horizon = 300.0, 2.0, 60.0
    law = spectral_optimum(MODES, data, floor, horizon)
    values, weights = MODES.eigenvalues, MODES.multiplicity
    edges = horizon - np.concatenate([[0.0], np.geomspace(0.02, horizon, 60)])[::-1]
    middle, cell = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    added = np.exp(-2.0 * np.outer(middle, values)) @ (weights * values * MODES.target_squared) + MODES.label_variance
    kernel = np.exp(-2.0 * np.outer(horizon - middle, values)) @ (weights * values**2)
    cost = 0.5 * cell * kernel * added
    peer = minimize(lambda r: (np.sum(cost / r), -cost / r**2), np.full(60, data / horizon), jac=True, method="SLSQP",
                    bounds=[(floor, None)] * 60, constraints=LinearConstraint(cell, data, data),
                    options={"maxiter": 2000, "ftol": 1e-14})
    assert peer.success and law.noise == pytest.approx(peer.fun, rel=5e-3)
    assert 0.0 < law.crossover < horizon and law.ratios.min() == floor
    assert law.loss == pytest.approx(MODES.approximation_error + law.signal + law.noise, rel=1e-12)


def test_law_without_floor_is_the_square_of_an_integral():
    law = spectral_optimum(EASY, 1e4, horizon=100.0, minibatch_noise=False)
    model = fsl.compress(EASY, 1e3)
    u = np.expm1(np.linspace(0.0, np.log(101.0), 20001))
    root = np.sqrt(np.exp(-2.0 * np.outer(u, model.eigenvalues)) @ (model.multiplicity * model.eigenvalues**2))
    assert law.noise == pytest.approx(0.5 * np.trapezoid(root, u) ** 2 / 1e4, rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 1.5), st.floats(1.3, 4.0), st.floats(2.0, 8.0), st.sampled_from([0.0, 1.0, 5.0]))
def test_law_keeps_budget_and_floor_and_gains_from_data(source, capacity, log_data, floor):
    problem, data = fsl.PowerLawRegression(source, capacity), 10.0**log_data
    law, more = (spectral_optimum(problem, amount, floor) for amount in (data, 1.1 * data))
    assert law.spent[-1] == pytest.approx(data) and (law.ratios >= floor).all()
    assert law.horizon * floor <= data * (1 + 1e-9) and more.loss < law.loss
    schedule = law.schedule(100, data / 100)
    assert schedule.intrinsic_time[-1] == pytest.approx(law.horizon)
    assert law.batches(law.horizon / 50).sum() == pytest.approx(data)
    for other in (0.7, 1.4):
        if other * law.horizon * floor <= data:
            assert law.loss <= spectral_optimum(problem, data, floor, other * law.horizon).loss * (1 + 1e-9)


def test_tuned_ridge_regression_is_what_sampling_gives():
    rng = np.random.default_rng(11)
    count, samples, draws = 120, 60, 300
    values, target = np.arange(1, count + 1.0) ** -2, np.arange(1, count + 1.0) ** -1.0
    model = fsl.Spectrum(values, target, noise=0.7)
    best = ridge_optimum(model, samples)
    losses = []
    for _ in range(draws):
        x = rng.normal(size=(samples, count)) * np.sqrt(values)
        theta = np.sqrt(target) * rng.choice([-1.0, 1.0], count)
        y = x @ theta + 0.7 * rng.normal(size=samples)
        weights = x.T @ np.linalg.solve(x @ x.T + best.ridge * np.eye(samples), y)
        losses.append(0.5 * np.sum(values * (weights - theta) ** 2))
    error = np.std(losses) / draws**0.5
    assert np.mean(losses) == pytest.approx(best.loss, abs=4 * error + 0.02 * best.loss)   # equivalent to O(1/N)
    assert best.loss <= min(ridge_loss(model, samples, factor * best.effective_ridge) for factor in (0.9, 1.1))


@pytest.mark.parametrize("source, capacity", [(1.0, 2.0), (0.25, 2.0), (1.0 / 6.0, 3.0)])
def test_ridge_regression_has_the_minimax_power(source, capacity):
    low, high = (ridge_optimum(fsl.PowerLawRegression(source, capacity), 10.0**k).loss for k in (11, 13))
    power = source * capacity / (1.0 + source * capacity)
    assert np.log(low / high) / np.log(100.0) == pytest.approx(power, abs=1e-3)


@pytest.mark.parametrize("call, message", [
    (lambda: optimal_rates(EASY, 10, cap=0.0), "cap is 0.0; it must be > 0"),
    (lambda: optimal_rates(EASY, 0), "steps is 0; it must be an integer in"),
    (lambda: optimal_rates(EASY, 10, batch_size=0), "batch_size is 0; it must be finite and > 0"),
    (lambda: optimal_rates(EASY, 10, batch_size=[1.0, 2.0]), r"has shape \(2,\); it must be one number or .*\(10,\)"),
    (lambda: optimal_rates(EASY, 10, tolerance=2.0), r"tolerance is 2.0; it must be in \[1e-15, 1\)"),
    (lambda: optimal_rates(EASY, 10, sweeps=0), "sweeps is 0; it must be an integer >= 1"),
    (lambda: optimal_rates(EASY, 10, start=np.ones(9)), "start has 9 steps; it must have 10"),
    (lambda: optimal_rates(EASY, 10, segment=11), r"segment is 11; it must be an integer in \[1, 10\]"),
    (lambda: optimal_rates("easy", 10), "problem is a str; it must be a PowerLawRegression or a Spectrum"),
    (lambda: gradient(MODES, np.full(400, 5.0)), "peak learning rate is 5; .* needs a rate < 0.5124"),
    (lambda: optimal_batches(EASY, 3, 0.1, smallest=4), "data is 3.0; it must be finite and >= smallest = 4"),
    (lambda: optimal_batches(EASY, 100, 0.1, 4, 2), "largest is 2.0; it must be >= smallest = 4"),
    (lambda: optimal_batches(EASY, 100, 0.1, steps=101), r"with 100 samples in batches from 1 .* in \[1, 100\]"),
    (lambda: optimal_batches(EASY, 100, 0.1, 1, 8, steps=9), r"it must be in \[13, 100\]"),
    (lambda: optimal_batches(EASY, 11, 0.1, 4, 5), "no whole number of batches from 4 to 5 adds up to it"),
    (lambda: optimal_batches(EASY, 100, 0.7), "mean-square stable below 0.610"),
    (lambda: optimal_batches(EASY, 100, -1), "rate is -1.0; it must be finite and > 0"),
    (lambda: spectral_optimum(EASY, 100, 2.0, 51.0), r"horizon is 51.0; it must be in \(0, data/floor = 50\]"),
    (lambda: spectral_optimum(EASY, -1.0), "data is -1.0; it must be in"),
    (lambda: spectral_optimum(EASY, 10.0, -1.0), "floor is -1.0; it must be finite and >= 0"),
    (lambda: spectral_optimum(fsl.PowerLawRegression(1, 2, noise=0), 10.0), "noise is 0; the law needs label"),
    (lambda: ridge_optimum(EASY, 0), "samples is 0.0; it must be finite and >= 1"),
    (lambda: ridge_optimum(fsl.PowerLawRegression(1, 2, 10), 5), "width is 10; it must be inf here"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["optimal_control_equations", "square_root_invariant", "plateau_constant_in_horizon"])
def test_claims_hold_and_their_controls_fail(name):
    outcome = claims.judge(getattr(control_claims, name), claims.Effort())
    assert outcome.verdict == claims.Verdict.HOLDS, outcome.evidence.note
