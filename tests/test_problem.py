"""The power-law problem, its spectra and exact tails."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import fsl, spectra


@pytest.mark.parametrize("exponent", [1.0001, 1.05, 1.5, 2.0, 5.0, 12.0])
@pytest.mark.parametrize("start", [1.0, 2.0, 17.0, 1e3, 1e6, 1e12])
def test_tail_sum_against_mpmath(exponent, start):
    exact = mpmath.zeta(mpmath.mpf(exponent), mpmath.mpf(start))
    assert spectra.tail_sum(exponent, start) == pytest.approx(float(exact), rel=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.floats(1.01, 8.0), st.integers(1, 400), st.integers(1, 400))
def test_tails_telescope(exponent, first, more):
    whole, rest = spectra.tail_sum(exponent, [first, first + more])
    middle = math.fsum(j**-exponent for j in range(first, first + more))
    assert whole == pytest.approx(middle + rest, rel=1e-12)


def test_sums_over_everything():
    assert spectra.partial_sum(2.0, math.inf) == pytest.approx(math.pi**2 / 6, rel=1e-15)
    assert spectra.partial_sum(2.0, 3) == pytest.approx(1 + 1 / 4 + 1 / 9, rel=1e-14)
    assert spectra.tail_sum(2.0, math.inf) == 0.0
    assert isinstance(spectra.tail_sum(2.0, 5), float)
    assert spectra.power_law(0.0, 3).tolist() == [1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 5.0), st.floats(1.05, 6.0), st.integers(1, 500), st.floats(0.0, 3.0))
def test_problem_adds_up(source, capacity, width, noise):
    """Learned and unlearned parts of the target make the initial risk; definitions agree with each other."""
    problem = fsl.PowerLawRegression(source=source, capacity=capacity, width=width, noise=noise)
    spectrum = problem.spectrum()
    j = np.arange(1.0, width + 1.0)
    np.testing.assert_allclose(spectrum.eigenvalues, j**-capacity, rtol=1e-14)
    np.testing.assert_allclose(spectrum.target_squared, spectrum.eigenvalues ** (source - 1.0) / j, rtol=1e-11)
    learned = 0.5 * np.sum(spectrum.eigenvalues * spectrum.target_squared)
    assert learned + problem.approximation_error == pytest.approx(problem.initial_risk, rel=1e-11)
    assert problem.trace == pytest.approx(spectrum.trace, rel=1e-10)
    assert spectrum.label_variance == pytest.approx(noise**2 + 2 * problem.approximation_error)
    assert problem.difficulty == source * capacity and problem.kernel_exponent == 2 - 1 / capacity
    assert problem.regime == ("easy" if source >= 1 - 1 / capacity else "hard")


def test_regime_boundary_is_easy():
    assert fsl.PowerLawRegression(source=0.5, capacity=2.0).regime == "easy"
    assert fsl.PowerLawRegression(source=0.4999, capacity=2.0).regime == "hard"


def test_infinite_width():
    problem = fsl.PowerLawRegression(source=0.5, capacity=4.0)
    assert problem.approximation_error == 0.0 and problem.trace == pytest.approx(math.pi**4 / 90)
    with pytest.raises(ValueError, match="width is inf; its modes are written out one by one only up to"):
        problem.spectrum()


def test_kurtosis_of_the_feature_laws():
    for name, value in (("gaussian", 3.0), ("rademacher", 1.0), ("uniform", 1.8), ("laplace", 6.0)):
        assert fsl.PowerLawRegression(0.5, 2.0, 3, features=name).spectrum().kurtosis == value


def test_weighted_sums():
    spectrum = fsl.Spectrum([1.0, 0.5], [1.0, 1.0], multiplicity=[1.0, 4.0])
    assert spectrum.trace == 3.0
    assert spectrum.sum([[1.0, 1.0], [0.0, 2.0]]).tolist() == [5.0, 8.0]


@pytest.mark.parametrize("arguments, message", [
    (dict(source=0.0), "source is 0.0; it must be finite and > 0"), (dict(source=math.nan), "source is nan"),
    (dict(capacity=1.0), "capacity is 1.0; it must be finite and > 1"), (dict(capacity=math.inf), "capacity is inf"),
    (dict(width=0), "width is 0; it must be an integer >= 1 or inf"), (dict(width=2.5), "width is 2.5"),
    (dict(width=math.nan), "width is nan"), (dict(noise=-1.0), "noise is -1.0"), (dict(noise=math.inf), "noise is inf"),
    (dict(features="cauchy"), "features is 'cauchy'; it must be one of gaussian, rademacher, uniform, laplace")])
def test_bad_problems(arguments, message):
    with pytest.raises(ValueError, match=message):
        fsl.PowerLawRegression(**{"source": 0.5, "capacity": 2.0, **arguments})


@pytest.mark.parametrize("arguments, message", [
    (dict(eigenvalues=[]), "must be vectors of one length"), (dict(target_squared=[1.0]), "must be vectors"),
    (dict(multiplicity=[1.0]), "must be vectors"), (dict(eigenvalues=[1.0, 0.0]), "eigenvalue 1 is 0.0"),
    (dict(eigenvalues=[math.nan, 1.0]), "eigenvalue 0 is nan"), (dict(target_squared=[1.0, -1.0]), "target_squared 1"),
    (dict(multiplicity=[1.0, 0.0]), "multiplicity 1 is 0.0"), (dict(kurtosis=0.5), "kurtosis is 0.5"),
    (dict(approximation_error=-1.0), "approximation_error is -1.0"), (dict(noise=math.nan), "noise is nan")])
def test_bad_spectra(arguments, message):
    with pytest.raises(ValueError, match=message):
        fsl.Spectrum(**{"eigenvalues": [1.0, 0.5], "target_squared": [1.0, 1.0], **arguments})


@pytest.mark.parametrize("call, message", [
    (lambda: spectra.tail_sum(1.0, 1.0), "exponent is 1.0; the tail sum needs an exponent > 1"),
    (lambda: spectra.tail_sum(math.nan, 1.0), "exponent is nan"),
    (lambda: spectra.tail_sum(2.0, 0.0), "start is 0.0; it must be > 0"),
    (lambda: spectra.tail_sum(2.0, [1.0, math.nan]), "start is nan"),
    (lambda: spectra.power_law(math.inf, 3), "exponent is inf"),
    (lambda: spectra.power_law(2.0, 0), "count is 0"),
    (lambda: spectra.power_law(2.0, 1.5), "count is 1.5")])
def test_bad_sums(call, message):
    with pytest.raises(ValueError, match=message):
        call()
