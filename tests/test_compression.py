"""Gauss rules of the counting measure, and spectra compressed with them, against exact sums."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import fsl, spectra


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 16))
def test_gauss_rule_is_exact_for_polynomials(first, count, nodes):
    """Degree 2k - 1 in the scaled variable, against exact rational sums where they are affordable."""
    points, weights = fsl.gauss_counting(first, first + count, nodes)
    assert points.size == min(nodes, count) and np.all(weights > 0)
    assert points[0] >= first + 1 - 1e-6 and points[-1] <= first + count + 1e-6
    assert weights.sum() == pytest.approx(count, rel=1e-12)
    if count <= 400:
        middle, half = Fraction(2 * first + count + 1, 2), Fraction(count, 2)
        scaled = (points - float(middle)) / float(half)
        for degree in range(2 * nodes):
            exact = sum(((j - middle) / half) ** degree for j in range(first + 1, first + count + 1))
            assert weights @ scaled**degree == pytest.approx(float(exact), abs=1e-9 * count)


def test_gauss_rule_far_out():
    """Counts beyond 2^53: the rule must not overflow or lose its weights."""
    points, weights = fsl.gauss_counting(1e20, 1e30, 16)
    assert np.all(np.isfinite(points)) and weights.sum() == pytest.approx(1e30 - 1e20, rel=1e-12)


@pytest.mark.parametrize("capacity, source, width", [(4.0, 0.5, 3000), (2.0, 0.3, 20_000), (1.2, 1.5, 5000),
                                                     (2.0, 3.0, 500), (10.0, 0.2, 400)])
def test_stated_error_covers_signal_and_kernel(capacity, source, width):
    problem = fsl.PowerLawRegression(source=source, capacity=capacity, width=width, noise=0.0)
    made = fsl.compress_with_error(problem)
    assert made.error < 1e-8 and made.spectrum.eigenvalues.size < min(width, 700)
    full, few = problem.spectrum(), made.spectrum
    times = np.concatenate([[0.0], np.geomspace(0.013, made.horizon, 211)])
    decay = np.exp(-2 * np.outer(times, full.eigenvalues))
    kernel = decay @ full.eigenvalues**2
    signal = decay @ (full.eigenvalues * full.target_squared) + 2 * problem.approximation_error
    slack = made.error + 1e-12
    assert np.max(np.abs(fsl.kernel(few, times) / kernel - 1)) <= slack
    shown = fsl.signal(few, times) + 2 * few.approximation_error
    assert np.max(np.abs(shown / signal - 1)) <= slack


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 4.0), st.floats(1.05, 10.0), st.integers(1, 10**7), st.floats(-3, 8))
def test_modes_are_counted_and_sums_conserved(source, capacity, width, exponent):
    """Weights count modes; the initial risk is exact whatever was grouped or frozen."""
    problem = fsl.PowerLawRegression(source=source, capacity=capacity, width=width)
    made = fsl.compress_with_error(problem, 10.0**exponent)
    spectrum = made.spectrum
    assert np.all(spectrum.multiplicity > 0)
    assert spectrum.multiplicity.sum() <= width * (1 + 1e-9)
    start = spectrum.approximation_error + 0.5 * spectrum.sum(spectrum.eigenvalues * spectrum.target_squared)
    assert start == pytest.approx(problem.initial_risk, rel=2 * made.error + 1e-12)
    assert made.error < 1e-8


def test_infinite_width_against_mpmath():
    problem = fsl.PowerLawRegression(source=0.4, capacity=2.0, noise=0.0)
    spectrum = fsl.compress(problem, 100.0)
    for time in (0.0, 1.0, 100.0):
        # modes 1..2000 one by one, then Euler-Maclaurin by mpmath
        kernel = mpmath.nsum(lambda j, t=time: mpmath.mpf(j) ** -4 * mpmath.exp(-2 * t * mpmath.mpf(j) ** -2),
                             [1, mpmath.inf], method="euler-maclaurin")
        assert fsl.kernel(spectrum, [time])[0] == pytest.approx(float(kernel), rel=1e-9)


def test_frozen_modes_keep_their_share():
    """Short horizons freeze slow modes; approximation error plus the rest is still the whole target."""
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=10**6)
    short, long = fsl.compress(problem, 0.1), fsl.compress(problem, 1e9)
    assert short.multiplicity.sum() < 1e5 < long.multiplicity.sum()
    assert short.approximation_error > problem.approximation_error
    tail = 0.5 * spectra.tail_sum(2.0, short.multiplicity.sum() + 1.0)
    assert short.approximation_error == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize("capacity, width, horizon", [(60.0, 10**7, 1e12), (1.001, math.inf, 1e100), (1.05, 1e15, 1e6),
                                                      (40.0, 10**8, 1e100), (3.0, math.inf, 1e-8)])
def test_extreme_problems(capacity, width, horizon):
    """Spectra that fall by hundreds of decades, and horizons that need more modes than there are floats."""
    problem = fsl.PowerLawRegression(source=0.5, capacity=capacity, width=width)
    made = fsl.compress_with_error(problem, horizon)
    start = made.spectrum.approximation_error + 0.5 * made.spectrum.sum(
        made.spectrum.eigenvalues * made.spectrum.target_squared)
    assert made.error < 1e-8 and made.spectrum.eigenvalues.size < 3000
    assert start == pytest.approx(problem.initial_risk, rel=1e-9)


def test_parameters_travel():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=100, noise=0.3, features="laplace")
    spectrum = fsl.compress(problem, 10.0)
    assert spectrum.noise == 0.3 and spectrum.kurtosis == 6.0


def test_few_modes_are_left_alone():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=16)
    made = fsl.compress_with_error(problem)
    assert made.error == 0.0 and np.array_equal(made.spectrum.eigenvalues, problem.eigenvalues)
    assert np.array_equal(made.spectrum.multiplicity, np.ones(16))


@pytest.mark.parametrize("arguments, message", [
    (dict(), "horizon is missing"), (dict(horizon=0.0), "horizon is 0.0"), (dict(horizon=math.nan), "horizon is nan"),
    (dict(horizon=1.0, nodes=3), r"nodes is 3; it must be an integer in \[4, 40\]"),
    (dict(horizon=1.0, tolerance=1e-15), "tolerance is 1e-15")])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fsl.compress(fsl.PowerLawRegression(source=0.5, capacity=2.0), **arguments)


@pytest.mark.parametrize("arguments", [(3, 3, 4), (5, 2, 4), (0.5, 3, 4), (0, math.inf, 4)])
def test_bad_ranges(arguments):
    with pytest.raises(ValueError, match="range is"):
        fsl.gauss_counting(*arguments)


def test_other_bad_input():
    with pytest.raises(ValueError, match="nodes is 0"):
        fsl.gauss_counting(0, 10, 0)
    with pytest.raises(ValueError, match="only a PowerLawRegression"):
        fsl.compress(fsl.Spectrum([1.0], [1.0]), 1.0)
