"""Random-M models: the reduction to modes, and the deterministic equivalent of the approximation error."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from theorycheck.theory import spectra
from theorycheck.theory.fsl import problem as problems
from theorycheck.theory.fsl import random_features

SIZES = st.tuples(st.integers(1, 8), st.integers(0, 20), st.integers(0, 2**32 - 1))
SOURCES = st.floats(0.1, 2.5)
CAPACITIES = st.floats(1.1, 4.0)


def drawn(rows, columns, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns)) / math.sqrt(rows)


@given(source=SOURCES, capacity=CAPACITIES, width=st.integers(1, 20))
def test_selecting_the_first_features_is_the_top_m_model(source, capacity, width):
    problem = problems.PowerLawRegression(source, capacity, noise=0.5)
    found = random_features.projected_spectrum(problem, np.eye(width, 3 * width))
    top = problems.PowerLawRegression(source, capacity, width, noise=0.5)
    np.testing.assert_allclose(found.eigenvalues, top.eigenvalues, rtol=1e-12)
    np.testing.assert_allclose(found.target_squared, top.target_squared, rtol=1e-11)
    assert found.approximation_error == pytest.approx(top.approximation_error, rel=1e-12)
    assert found.noise == 0.5


@pytest.mark.parametrize("source, capacity", [(0.5, 4.0), (1.5, 2.0), (0.3, 1.5)])
def test_modes_agree_with_fifty_digit_normal_equations(source, capacity):
    rows, columns = 6, 15
    weights = drawn(rows, columns, 3)
    found = random_features.projected_spectrum(problems.PowerLawRegression(source, capacity), weights)
    with mpmath.workdps(50):
        s, beta = mpmath.mpf(source), mpmath.mpf(capacity)
        values = [mpmath.mpf(j) ** -beta for j in range(1, columns + 1)]
        target = [mpmath.sqrt(mpmath.mpf(j) ** -(1 + (s - 1) * beta)) for j in range(1, columns + 1)]
        w = mpmath.matrix(weights.tolist())
        h = mpmath.diag(values)
        gram, cross = w * h * w.T, w * h * mpmath.matrix(target)
        best = mpmath.lu_solve(gram, cross)
        eigenvalues, vectors = mpmath.eigsy(gram)
        order = sorted(range(rows), key=lambda i: -eigenvalues[i])
        squares = [(vectors[:, i].T * best)[0] ** 2 for i in order]
        energy = sum(v * t**2 for v, t in zip(values, target, strict=True))
        tail = mpmath.zeta(1 + s * beta, columns + 1)
        error = (energy - (cross.T * best)[0] + tail) / 2
        expected = [float(eigenvalues[i]) for i in order], [float(x) for x in squares], float(error)
    condition = math.sqrt(expected[0][0] / expected[0][-1])
    np.testing.assert_allclose(found.eigenvalues, expected[0], rtol=1e-14 * condition)
    np.testing.assert_allclose(found.target_squared, expected[1], rtol=1e-12 * condition)
    assert found.approximation_error == pytest.approx(expected[2], rel=1e-13 * condition)


@settings(deadline=None)
@given(sizes=SIZES, source=SOURCES, capacity=CAPACITIES, scale=st.floats(0.01, 100.0))
def test_a_change_of_basis_changes_nothing_and_a_scale_only_the_eigenvalues(sizes, source, capacity, scale):
    rows, extra, seed = sizes
    weights = drawn(rows, rows + extra, seed)
    problem = problems.PowerLawRegression(source, capacity)
    if np.linalg.cond(weights) > 1e3:
        return
    rotation, _ = np.linalg.qr(drawn(rows, rows, seed + 1))
    plain, turned = (random_features.projected_spectrum(problem, w) for w in (weights, scale * rotation @ weights))
    slack = 1e-13 * np.linalg.cond(weights) * plain.eigenvalues[0] / plain.eigenvalues[-1]
    np.testing.assert_allclose(turned.eigenvalues, scale**2 * plain.eigenvalues, rtol=slack)
    np.testing.assert_allclose(turned.approximation_error, plain.approximation_error, rtol=slack)
    assert turned.sum(turned.eigenvalues * turned.target_squared) == pytest.approx(
        plain.sum(plain.eigenvalues * plain.target_squared), rel=slack)


@settings(deadline=None)
@given(sizes=SIZES, source=SOURCES, capacity=CAPACITIES)
def test_one_more_random_feature_never_hurts_and_the_energy_is_conserved(sizes, source, capacity):
    rows, extra, seed = sizes
    weights = drawn(rows + 1, rows + 1 + extra, seed)
    problem = problems.PowerLawRegression(source, capacity)
    fewer, more = (random_features.projected_spectrum(problem, w) for w in (weights[:-1], weights))
    assert more.approximation_error <= fewer.approximation_error * (1 + 1e-9)
    for found in (fewer, more):
        energy = found.approximation_error + 0.5 * np.sum(found.eigenvalues * found.target_squared)
        assert energy == pytest.approx(problem.initial_risk, rel=1e-10)
    assert np.all(more.eigenvalues[:-1] >= fewer.eigenvalues * (1 - 1e-9))


@pytest.mark.parametrize("time", [0.3, 10.0, 1000.0])
def test_gradient_flow_in_weight_space_is_the_sum_over_modes(time):
    weights = drawn(7, 40, 5)
    problem = problems.PowerLawRegression(0.7, 2.0)
    known = problems.PowerLawRegression(0.7, 2.0, 40)
    covariance, target = np.diag(known.eigenvalues), np.sqrt(known.target_squared)
    gram = weights @ covariance @ weights.T
    best = np.linalg.solve(gram, weights @ covariance @ target)
    error = weights.T @ (best - expm(-gram * time) @ best) - target
    exact = 0.5 * error @ covariance @ error + known.approximation_error
    found = random_features.projected_spectrum(problem, weights)
    modes = found.eigenvalues * found.target_squared * np.exp(-2.0 * found.eigenvalues * time)
    assert found.approximation_error + 0.5 * modes.sum() == pytest.approx(exact, rel=1e-11)


def test_the_features_of_a_spectrum_can_be_projected_too():
    known = problems.PowerLawRegression(0.7, 2.0, 30, noise=0.2)
    weights = drawn(5, 30, 1)
    a = random_features.projected_spectrum(known.spectrum(), weights)
    b = random_features.projected_spectrum(known, weights)
    np.testing.assert_array_equal(a.eigenvalues, b.eigenvalues)
    assert a.approximation_error == b.approximation_error and a.noise == 0.2


def test_problems_of_one_capacity_share_a_projection():
    weights = drawn(4, 20, 2)
    several = [problems.PowerLawRegression(source, 2.0, noise=noise) for source, noise in ((0.3, 0.0), (1.5, 0.4))]
    for found, problem in zip(random_features.projected_spectra(several, weights), several, strict=True):
        alone = random_features.projected_spectrum(problem, weights)
        np.testing.assert_array_equal(found.eigenvalues, alone.eigenvalues)
        np.testing.assert_array_equal(found.target_squared, alone.target_squared)
        assert (found.approximation_error, found.noise) == (alone.approximation_error, problem.noise)
    with pytest.raises(ValueError, match="problem 1 has other eigenvalues"):
        random_features.projected_spectra([several[0], problems.PowerLawRegression(0.3, 1.5)], weights)


@pytest.mark.parametrize("capacity", [1.2, 2.0, 4.0])
@pytest.mark.parametrize("width", [1.0, 7.0, 300.0])
def test_effective_ridge_solves_its_equation(capacity, width):
    ridge = random_features.effective_ridge(capacity, width)
    j = np.arange(1.0, 1e5)
    last = 1e5
    power = ridge * last**capacity
    beyond = last ** (1 - capacity) / (ridge * (capacity - 1)) * mpmath.hyp2f1(1, 1 - 1 / capacity, 2 - 1 / capacity,
                                                                              -1 / power)
    slope = -capacity * power / last / (1 + power) ** 2
    total = math.fsum(1 / (1 + ridge * j**capacity)) + beyond + 0.5 / (1 + power) - slope / 12
    assert float(total) == pytest.approx(width, rel=1e-11)


@pytest.mark.parametrize("capacity", [1.5, 2.0, 4.0])
def test_effective_ridge_has_its_limit(capacity):
    limit = ((math.pi / capacity) / math.sin(math.pi / capacity)) ** capacity
    error = [random_features.effective_ridge(capacity, width) * width**capacity / limit - 1 for width in (1e3, 1e4)]
    assert abs(error[1]) < 1e-3 and abs(error[1]) < 0.2 * abs(error[0])


@given(source=SOURCES, capacity=st.floats(1.2, 4.0), width=st.integers(1, 40), extra=st.integers(1, 400))
def test_equivalent_with_finitely_many_features_is_the_plain_sum(source, capacity, width, extra):
    count = width + extra
    problem = problems.PowerLawRegression(source, capacity)
    ridge = random_features.effective_ridge(capacity, width, count)
    values = spectra.power_law(capacity, count)
    assert np.sum(values / (values + ridge)) == pytest.approx(width, rel=1e-10)
    energy = spectra.power_law(1 + source * capacity, count)
    plain = 0.5 * np.sum(energy * ridge / (values + ridge)) + 0.5 * spectra.tail_sum(1 + source * capacity, count + 1)
    found = random_features.approximation_error_equivalent(problem, width, count)
    assert found == pytest.approx(plain, rel=1e-10)


def test_mean_over_draws_is_the_equivalent():
    problem = problems.PowerLawRegression(0.5, 2.0)
    rows, columns, draws = 60, 900, 24
    rng = np.random.default_rng(11)
    errors = [random_features.projected_spectrum(problem, rng.standard_normal((rows, columns))).approximation_error
              for _ in range(draws)]
    ratio = np.mean(errors) / random_features.approximation_error_equivalent(problem, rows, columns)
    # The equivalent is exact as M grows, with a relative correction of order 1/M; five standard errors on top.
    assert abs(ratio - 1) < 2 / rows + 5 * np.std(errors, ddof=1) / np.mean(errors) / math.sqrt(draws)


@pytest.mark.parametrize("weights, message", [
    (np.ones((3, 2)), r"shape \(3, 2\)"),
    (np.ones(4), r"shape \(4,\)"),
    (np.full((1, 3), np.nan), "not finite"),
    (np.ones((2, 5)), "linearly independent"),
])
def test_bad_projections_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        random_features.projected_spectrum(problems.PowerLawRegression(0.5, 2.0), weights)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="kurtosis is 1"):
        random_features.projected_spectrum(problems.PowerLawRegression(0.5, 2.0, features="rademacher"), drawn(2, 5))
    with pytest.raises(ValueError, match="4 nodes"):
        random_features.projected_spectrum(problems.PowerLawRegression(0.5, 2.0, 4).spectrum(), drawn(2, 5))
    with pytest.raises(ValueError, match="capacity is 1"):
        random_features.effective_ridge(1.0, 5)
    for width in (0, 7, 9, float("nan")):
        with pytest.raises(ValueError, match="width is"):
            random_features.effective_ridge(2.0, width, 7)
