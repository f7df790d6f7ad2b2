"""Exact risk of SGD: against brute-force averages over all data, full covariance matrices, and closed forms."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import batch_sizes, fsl, learning_rates
from theorycheck.theory.fsl import recursion

THREE_POINT = ((-np.sqrt(3.0), 1 / 6), (0.0, 2 / 3), (np.sqrt(3.0), 1 / 6))     # kurtosis 3, like a Gaussian
TWO_POINT = ((-1.0, 0.5), (1.0, 0.5))                                          # kurtosis 1


def brute_force(spectrum, rates, sizes, law):
    """Average excess risk over every data set that a discrete feature law can produce, step by step."""
    root, noise = np.sqrt(spectrum.eigenvalues), np.sqrt(spectrum.label_variance)
    samples = [(np.array([x for x, _ in point]), e, np.prod([p for _, p in point]) * 0.5)
               for point in itertools.product(law, repeat=root.size) for e in (-noise, noise)]
    states = [(1.0, -np.sqrt(spectrum.target_squared))]
    for rate, size in zip(rates, sizes):
        fresh = []
        for weight, u in states:
            for batch in itertools.product(samples, repeat=int(size)):
                gradient = np.mean([(x * root @ u - e) * x * root for x, e, _ in batch], axis=0)
                fresh.append((weight * np.prod([p for _, _, p in batch]), u - rate * gradient))
        states = fresh
    risk = sum(weight * 0.5 * spectrum.eigenvalues @ u**2 for weight, u in states)
    return spectrum.approximation_error + risk


@pytest.mark.parametrize("law, kurtosis, sizes", [(THREE_POINT, 3.0, [1, 1, 1]), (TWO_POINT, 1.0, [1, 1, 1]),
                                                  (TWO_POINT, 1.0, [2, 1]), (THREE_POINT, 3.0, [1, 2]),
                                                  (TWO_POINT, 1.0, [1, 3])])
def test_average_over_all_data_sets(law, kurtosis, sizes):
    spectrum = fsl.Spectrum([1.0, 0.4], [0.7, 1.3], approximation_error=0.05, noise=0.6, kurtosis=kurtosis)
    rates = [0.3, 0.7, 0.45][:len(sizes)]
    exact = fsl.exact_risk(spectrum, learning_rates.from_array(rates), sizes, times=[len(sizes)]).final
    assert exact == pytest.approx(brute_force(spectrum, rates, sizes, law), rel=1e-12)


def test_full_covariance_matrix():
    """Off-diagonal second moments exist but do not feed back: propagate the whole matrix for Gaussian features."""
    problem = fsl.PowerLawRegression(source=0.6, capacity=1.7, width=9, noise=0.3)
    schedule = learning_rates.cosine(60, 0.3)
    sizes = batch_sizes.linear(60, 1, 5)
    h, target = np.diag(problem.eigenvalues), np.sqrt(problem.target_squared)
    covariance = np.outer(target, target)
    variance = problem.noise**2 + 2 * problem.approximation_error
    identity = np.eye(9)
    expected = []
    for rate, size in zip(schedule.rates, sizes.sizes):
        drift = identity - rate * h
        fourth = 2 * h @ covariance @ h + np.trace(h @ covariance) * h
        noise = fourth - h @ covariance @ h + variance * h
        covariance = drift @ covariance @ drift + rate**2 / size * noise
        expected.append(problem.approximation_error + 0.5 * np.trace(h @ covariance))
    measured = fsl.exact_risk(problem, schedule, sizes, times=np.arange(1, 61), compressed=False)
    np.testing.assert_allclose(measured.excess_risk, expected, rtol=1e-13)


def spectra():
    """Random spectra with multiplicities and any kurtosis."""
    sizes = st.integers(1, 12)
    return sizes.flatmap(lambda n: st.builds(
        lambda values, target, weights, delta, noise, kurtosis: fsl.Spectrum(
            values, target, delta, noise, multiplicity=weights, kurtosis=kurtosis),
        st.lists(st.floats(1e-6, 2.0), min_size=n, max_size=n), st.lists(st.floats(0.0, 3.0), min_size=n, max_size=n),
        st.lists(st.floats(1.0, 50.0), min_size=n, max_size=n), st.floats(0.0, 1.0), st.floats(0.0, 2.0),
        st.floats(1.0, 9.0)))


@settings(max_examples=60, deadline=None)
@given(spectra(), st.integers(1, 64), st.floats(0.05, 0.95))
def test_closed_form_equals_recursion(spectrum, batch, fraction):
    rate = fraction * fsl.critical_rate(spectrum, batch)
    times = [0, 1, 2, 17, 300]
    stepped = fsl.exact_risk(spectrum, learning_rates.constant(300, rate), batch, times=times).excess_risk
    # an eigendecomposition is exact relative to the lengths of the vectors it rotates
    roots = np.sqrt(spectrum.multiplicity)
    scale = np.linalg.norm(roots * spectrum.eigenvalues) * np.linalg.norm(roots * spectrum.target_squared)
    np.testing.assert_allclose(fsl.eigen_risk(spectrum, rate, batch, times), stepped, rtol=1e-11, atol=1e-14 * scale)


@settings(max_examples=60, deadline=None)
@given(spectra(), st.integers(1, 64))
def test_stability_boundary(spectrum, batch):
    critical = fsl.critical_rate(spectrum, batch)
    below, above = (fsl.spectral_radius(spectrum, critical * factor, batch) for factor in (0.99, 1.01))
    assert below < 1 + 1e-13 and above > 1 - 1e-13
    state = fsl.stability(spectrum, 0.99 * critical, batch)
    assert state.stable and state.noise_ratio < 1 and 0.99 * critical < state.rate_bound
    assert not fsl.stability(spectrum, 1.01 * critical, batch).stable


@settings(max_examples=40, deadline=None)
@given(spectra(), st.integers(1, 16), st.floats(0.05, 0.9))
def test_stationary_risk_is_a_fixed_point(spectrum, batch, fraction):
    """Start SGD in its own stationary state: the risk does not move."""
    rate = fraction * fsl.critical_rate(spectrum, batch)
    limit = fsl.stationary_risk(spectrum, rate, batch)
    scale = 2 * (limit - spectrum.approximation_error) + spectrum.label_variance
    curvature = 1 + (spectrum.kurtosis - 2) / batch
    moments = rate / batch * scale / (2 - curvature * rate * spectrum.eigenvalues)
    start = fsl.Spectrum(spectrum.eigenvalues, moments, spectrum.approximation_error, spectrum.noise,
                         multiplicity=spectrum.multiplicity, kurtosis=spectrum.kurtosis)
    risk = fsl.exact_risk(start, learning_rates.constant(50, rate), batch).excess_risk
    np.testing.assert_allclose(risk, limit, rtol=1e-11, atol=1e-300)


def test_slow_approach_to_the_stationary_risk():
    spectrum = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=10).spectrum()
    late = fsl.eigen_risk(spectrum, 0.3, 2, [10**6])
    assert late[0] == pytest.approx(fsl.stationary_risk(spectrum, 0.3, 2), rel=1e-12)


def test_closed_form_on_the_stability_boundary():
    """At the critical rate the noise grows linearly; geometric sums must not lose digits there."""
    spectrum = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=6, noise=1.0).spectrum()
    rate = fsl.critical_rate(spectrum)
    times = [1000, 2000, 4000]
    stepped = fsl.exact_risk(spectrum, learning_rates.constant(4000, rate), times=times).excess_risk
    np.testing.assert_allclose(fsl.eigen_risk(spectrum, rate, 1, times), stepped, rtol=1e-10)


def test_multiplicity_means_repeated_modes():
    grouped = fsl.Spectrum([1.0, 0.3], [0.5, 2.0], noise=1.0, multiplicity=[1.0, 3.0])
    spelled = fsl.Spectrum([1.0, 0.3, 0.3, 0.3], [0.5, 2.0, 2.0, 2.0], noise=1.0)
    schedule = learning_rates.wsd(200, 0.4)
    np.testing.assert_allclose(fsl.exact_risk(grouped, schedule).excess_risk,
                               fsl.exact_risk(spelled, schedule).excess_risk, rtol=1e-13)


@pytest.mark.parametrize("capacity, source, peak", [(4.0, 0.5, 0.2), (2.0, 0.3, 0.2), (2.0, 1.5, 0.2), (1.3, 0.8, 0.05),
                                                    (8.0, 2.0, 0.3)])
@pytest.mark.parametrize("shape", [learning_rates.wsd, learning_rates.cosine, learning_rates.cyclic])
def test_compression_against_every_single_mode(capacity, source, peak, shape):
    problem = fsl.PowerLawRegression(source=source, capacity=capacity, width=20_000)
    schedule = shape(1500, peak)
    single, grouped = (fsl.exact_risk(problem, schedule, compressed=choice) for choice in (False, True))
    error = np.max(np.abs(grouped.excess_risk / single.excess_risk - 1))
    assert error <= grouped.error_bound <= 1e-8


def test_compression_beyond_the_time_of_the_last_mode():
    """Relative accuracy holds where every mode has long decayed: no label noise, all of 300 modes learned."""
    problem = fsl.PowerLawRegression(source=3.0, capacity=1.5, width=300, noise=0.0)
    schedule = learning_rates.linear(60_000, 0.4)
    single, grouped = (fsl.exact_risk(problem, schedule, compressed=choice) for choice in (False, True))
    assert np.max(np.abs(grouped.excess_risk / single.excess_risk - 1)) <= grouped.error_bound <= 1e-8


def test_coarse_compression_states_a_coarse_error():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20_000)
    schedule = learning_rates.wsd(1000, 0.2)
    coarse, fine = (fsl.exact_risk(problem, schedule, compressed=tolerance) for tolerance in (1e-3, 1e-12))
    error = np.max(np.abs(coarse.excess_risk / fine.excess_risk - 1))
    assert fine.error_bound < 1e-10 < error <= coarse.error_bound


def test_infinite_width_is_the_limit():
    schedule = learning_rates.cosine(500, 0.2)
    for capacity in (2.0, 4.0):
        endless = fsl.PowerLawRegression(source=0.5, capacity=capacity)
        wide = fsl.PowerLawRegression(source=0.5, capacity=capacity, width=200_000)
        a, b = fsl.exact_risk(endless, schedule), fsl.exact_risk(wide, schedule, compressed=False)
        # modes beyond 200,000 are frozen in b: they move by at most 2 lambda t of their share
        slack = a.error_bound + 2 * 200_000.0**-capacity * schedule.intrinsic_time[-1]
        assert np.max(np.abs(a.excess_risk / b.excess_risk - 1)) <= slack


def test_recording_does_not_change_the_run():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=100)
    schedule = learning_rates.wsd(400, 0.3)
    dense = fsl.exact_risk(problem, schedule, times=np.arange(401))
    sparse = fsl.exact_risk(problem, schedule, times=[7, 50, 400])
    assert np.array_equal(dense.excess_risk[[7, 50, 400]], sparse.excess_risk)
    assert np.array_equal(sparse.intrinsic_time, schedule.intrinsic_time[[7, 50, 400]])
    default = fsl.exact_risk(problem, schedule)
    assert default.steps[0] == 0 and default.steps[-1] == 400 and np.all(np.diff(default.steps) > 0)
    assert default.final == sparse.final


def test_batch_sizes_in_every_form():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=50)
    schedule = learning_rates.constant(100, 0.2)
    risks = [fsl.exact_risk(problem, schedule, batch).excess_risk
             for batch in (3, np.full(100, 3), batch_sizes.constant(100, 3))]
    assert np.array_equal(risks[0], risks[1]) and np.array_equal(risks[0], risks[2])


def test_steps_of_rate_zero_change_nothing():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=50)
    risk = fsl.exact_risk(problem, learning_rates.from_array([0.2, 0.2, 0.0, 0.0]), times=[2, 3, 4]).excess_risk
    assert risk[0] == risk[1] == risk[2]


def test_initial_risk_is_exact():
    problem = fsl.PowerLawRegression(source=0.5, capacity=1.2, width=3000)
    start = fsl.exact_risk(problem, learning_rates.constant(1, 0.01), times=[0]).final
    assert start == pytest.approx(problem.initial_risk, rel=1e-9)


def test_memory_does_not_grow_with_the_number_of_steps():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=1000)
    peaks = []
    for steps in (10**5, 10**6):
        schedule = learning_rates.wsd(steps, 0.2)
        fsl.exact_risk(problem, schedule, times=[0, steps])
        tracemalloc.start()
        fsl.exact_risk(problem, schedule, times=[0, steps])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # one array of a million floats would be 8 MB
    assert peaks[1] < peaks[0] + 500_000


def test_instability_is_allowed_and_overflow_is_explained():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20)
    critical = fsl.critical_rate(problem.spectrum())
    growing = fsl.exact_risk(problem, learning_rates.constant(200, 1.05 * critical))
    assert growing.excess_risk[-1] > growing.excess_risk[-2]
    with pytest.raises(ValueError, match=r"peak learning rate is 5 .*overflows before step.*rate < 0\.6"):
        fsl.exact_risk(problem, learning_rates.constant(2000, 5.0))
    with pytest.raises(ValueError, match="stationary risk needs 0 < rate < "):
        fsl.stationary_risk(problem.spectrum(), 1.01 * critical)
    with pytest.raises(ValueError, match="overflows beyond"):
        fsl.eigen_risk(problem.spectrum(), 5.0, 1, [2000])


@pytest.mark.parametrize("arguments, message", [
    (dict(times=[3, 2]), "increase strictly"), (dict(times=[0, 11]), r"within \[0, 10\]"), (dict(times=[0.5]), "whole"),
    (dict(times=[]), "whole"), (dict(batch_size=0), "batch size"), (dict(batch_size=[1, 2]), "2 steps"),
    (dict(batch_size=1.5), "whole number"), (dict(compressed=0.5), "tolerance is 0.5")])
def test_bad_arguments(arguments, message):
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20)
    with pytest.raises(ValueError, match=message):
        fsl.exact_risk(problem, learning_rates.constant(10, 0.1), **arguments)


def test_bad_problems_and_rates():
    spectrum = fsl.Spectrum([1.0], [1.0])
    with pytest.raises(ValueError, match="dict"):
        fsl.exact_risk({}, learning_rates.constant(10, 0.1))
    for rate in (0.0, -1.0, np.nan, np.inf):
        for function in (fsl.stability, fsl.stationary_risk, fsl.spectral_radius, fsl.eigen_risk):
            with pytest.raises(ValueError, match="learning rate"):
                function(spectrum, rate)
    with pytest.raises(ValueError, match="whole and >= 0"):
        fsl.eigen_risk(spectrum, 0.1, 1, [-1])
    with pytest.raises(ValueError, match="one number"):
        fsl.critical_rate(spectrum, [1, 2])


def test_no_width_written_out_for_ever():
    with pytest.raises(ValueError, match="width is inf"):
        fsl.exact_risk(fsl.PowerLawRegression(0.5, 2.0), learning_rates.constant(10, 0.1), compressed=False)


def test_lanes_sum_every_mode():
    """Sizes around multiples of the lane count, against numpy."""
    for n in (1, 7, 8, 9, 16, 31):
        spectrum = fsl.Spectrum(np.linspace(0.1, 1, n), np.arange(1.0, n + 1.0))
        start = fsl.exact_risk(spectrum, learning_rates.constant(1, 0.1), times=[0]).final
        assert start == pytest.approx(0.5 * np.sum(spectrum.eigenvalues * spectrum.target_squared), rel=1e-14)
        assert recursion.recorded_steps(n)[-1] == n
