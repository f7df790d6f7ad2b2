"""Covariance of the gradient noise against exact expectations by quadrature and by enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theorycheck.theory.fsl.gradient_noise import noise_bounds, noise_covariance
from theorycheck.theory.fsl.problem import KURTOSIS, PowerLawRegression, Spectrum

# Nodes and weights of a rule that is exact for polynomials of degree five in one standardised feature.
RULES = {
    "gaussian": ((-math.sqrt(3), 0.0, math.sqrt(3)), (1 / 6, 2 / 3, 1 / 6)),
    "rademacher": ((-1.0, 1.0), (0.5, 0.5)),
    "uniform": ((-math.sqrt(1.8), 0.0, math.sqrt(1.8)), (5 / 18, 8 / 18, 5 / 18)),
    "laplace": ((-math.sqrt(6), 0.0, math.sqrt(6)), (1 / 12, 10 / 12, 1 / 12)),
}

ERRORS = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3).filter(lambda u: max(map(abs, u)) > 1e-3)


@pytest.mark.parametrize("features", sorted(RULES))
@given(error=ERRORS, noise=st.floats(0.0, 2.0))
def test_covariance_is_the_exact_expectation(features, error, noise):
    modes = PowerLawRegression(0.7, 1.5, 3, noise, features).spectrum()
    nodes, weights = RULES[features]
    second, mean = np.zeros((3, 3)), np.zeros(3)
    for place in itertools.product(range(len(nodes)), repeat=3):
        x = np.sqrt(modes.eigenvalues) * np.array([nodes[i] for i in place])
        weight = math.prod(weights[i] for i in place)
        residual = x @ np.array(error)
        second += weight * (residual**2 + modes.label_variance) * np.outer(x, x)
        mean += weight * residual * x
    exact = second - np.outer(mean, mean)
    np.testing.assert_allclose(noise_covariance(modes, error), exact, rtol=1e-9, atol=1e-12)


@given(error=ERRORS, noise=st.floats(0.0, 2.0), source=st.floats(0.2, 2.0))
def test_gaussian_bounds_are_one_and_two_wherever_the_error_points(error, noise, source):
    low, high = noise_bounds(PowerLawRegression(source, 2.0, 3, noise).spectrum(), error)
    slack = 1e-9 * (1 + noise**2 / np.max(np.square(error)))
    assert low == pytest.approx(1.0, abs=1e3 * slack) and high == pytest.approx(2.0, abs=1e3 * slack)


def test_rademacher_noise_vanishes_along_one_mode():
    modes = Spectrum([1.0, 0.5, 0.25], np.ones(3), kurtosis=KURTOSIS["rademacher"])
    assert noise_bounds(modes, [1.0, 0.0, 0.0])[0] == pytest.approx(0.0, abs=1e-12)
    assert noise_bounds(modes, [1.0, 1.0, 1.0])[0] > 0.1


def test_bad_errors_are_refused():
    modes = PowerLawRegression(0.7, 2.0, 3).spectrum()
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        noise_covariance(modes, [1.0, 2.0])
    with pytest.raises(ValueError, match="error is 0"):
        noise_bounds(modes, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="multiplicity one"):
        noise_covariance(Spectrum([1.0], [1.0], multiplicity=[2.0]), [1.0])
