"""Noise scales, steps against samples, batches that track the noise, and their estimators."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from theorycheck.sims.schedules import gradient_noise
from theorycheck.theory import fsl
from theorycheck.theory.schedules import critical_batch as theory
from theorycheck.theory.schedules import noise_tracking

QUADRATIC = theory.NoisyQuadratic([1.0, 0.5, 0.2], [0.3, 0.1, 0.4], [1.0, 2.0, 0.5])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 1e4))
def test_best_rate_is_the_top_of_the_parabola(batch):
    seen = QUADRATIC.statistics()
    best = seen.best_rate(batch)
    assert seen.decrease(best, batch) == pytest.approx(seen.best_decrease(batch), rel=1e-12)
    assert max(seen.decrease(best * f, batch) for f in (0.99, 1.01)) < seen.best_decrease(batch)
    assert seen.best_decrease(batch) == pytest.approx(seen.best_decrease() / (1 + seen.noise_scale / batch), rel=1e-12)


def test_one_step_by_brute_force():
    """Second moments after one step against the average over the signs of the noise."""
    batch, rate = 3.0, 0.4
    theta = np.sqrt(QUADRATIC.start)
    losses = []
    for signs in np.ndindex(2, 2, 2):
        noise = (2.0 * np.array(signs) - 1.0) * np.sqrt(QUADRATIC.covariance / batch)
        after = theta - rate * (QUADRATIC.hessian * theta + noise)
        losses.append(0.5 * QUADRATIC.hessian @ after**2)
    expected = QUADRATIC.initial_loss - QUADRATIC.statistics().decrease(rate, batch)
    assert np.mean(losses) == pytest.approx(expected, rel=1e-12)
    half = theory.cost(QUADRATIC, expected, batch, rate=rate)
    assert half.steps == pytest.approx(1.0, rel=1e-9) and half.samples == pytest.approx(batch, rel=1e-9)


def test_isotropic_integrals():
    fewest, samples, gain = theory.isotropic_costs(1.7, 2.0, 0.05)
    assert fewest == pytest.approx(integrate.quad(lambda x: 1 / x, 0.05, 2.0)[0])
    assert samples == pytest.approx(integrate.quad(lambda x: 1.7 / (2 * x) / x, 0.05, 2.0)[0])
    progress = np.linspace(0.0, fewest, 4001)
    assert theory.adaptive_gain(0.85 / (2.0 * np.exp(-progress)), progress) == pytest.approx(gain, rel=1e-6)


def test_constant_noise_scale_gains_nothing():
    assert theory.adaptive_gain([2.0, 2.0, 2.0], [0.0, 1.0, 5.0]) == pytest.approx(1.0, rel=1e-14)


def test_fixed_rate_stops_above_a_small_target():
    assert theory.cost(QUADRATIC, 1e-3, 0.5, rate=0.5).steps == math.inf
    assert math.isfinite(theory.cost(QUADRATIC, 1e-3, 0.5).steps)


@pytest.mark.parametrize("norm, trace", [(0.3, 7.0), (2.0, 0.0)])
def test_two_batches_invert_the_expectation(norm, trace):
    found = theory.two_batch_estimates(4, 64, norm + trace / 4, norm + trace / 64)
    np.testing.assert_allclose(found, (norm, trace), rtol=1e-12, atol=1e-12)


def test_covariance_of_regression_gradients_by_quadrature():
    """One feature, Gauss-Hermite over x: variance of (x u - e) x."""
    x, w = np.polynomial.hermite_e.hermegauss(20)
    w = w / w.sum()
    value, u, noise = 0.6, 0.9, 0.4
    seen = theory.regression_statistics(fsl.Spectrum([value], [1.0], noise=noise), [u**2])
    second = w @ ((value * x**2 * u) ** 2 + noise**2 * value * x**2)
    assert seen.trace == pytest.approx(second - (value * u) ** 2, rel=1e-12)
    assert seen.norm_squared == pytest.approx((value * u) ** 2, rel=1e-12)


def test_gradient_noise_does_not_depend_on_chunks():
    experiment = gradient_noise.TwoBatches([1.0, 0.3], [0.5, -1.0], 0.2, 2, 5)
    whole = experiment.sample(7, 3, 20)
    parts = [experiment.sample(7, 3, 1), experiment.sample(7, 4, 12), experiment.sample(7, 16, 7)]
    assert np.array_equal(whole, np.concatenate(parts)) and not np.array_equal(whole, experiment.sample(8, 3, 20))
    assert np.array_equal(whole[:, 2:].T, theory.two_batch_estimates(2, 5, whole[:, 0], whole[:, 1]))


SPECTRUM = fsl.compress(fsl.PowerLawRegression(1.0, 2.0), 300.0, tolerance=1e-6)


@pytest.mark.parametrize("rule", list(noise_tracking.RULES))
def test_tracked_batches_follow_their_rule(rule):
    """Replayed in NumPy: sizes from the statistics while they fit into the data, what is left spread in proportion."""
    run = noise_tracking.tracked(SPECTRUM, 300.0, 0.2, rule, 2.0)
    values = SPECTRUM.eigenvalues
    which, power = noise_tracking.RULES[rule]

    def after(moments, size):
        total = SPECTRUM.sum(values * moments) + SPECTRUM.label_variance
        return moments * (1 - 0.4 * values + (1 + 1 / size) * 0.04 * values**2) + 0.04 / size * values * total

    moments, ruled, left = SPECTRUM.target_squared.copy(), [], 300.0
    while True:
        seen = theory.regression_statistics(SPECTRUM, moments)
        size = max(1.0, 2.0 * (seen.noise_scale if which else seen.simple_scale) ** power)
        if size > left:
            break
        ruled.append(size)
        moments, left = after(moments, size), left - size
    assert run.batches == pytest.approx(np.array(ruled) * 300.0 / sum(ruled), rel=1e-10)
    assert run.batches.sum() == pytest.approx(300.0, rel=1e-12)
    moments = SPECTRUM.target_squared.copy()
    for size in run.batches:
        moments = after(moments, size)
    left_over = SPECTRUM.approximation_error + 0.5 * SPECTRUM.sum(values * moments)
    assert run.loss == pytest.approx(left_over, rel=1e-10)


@pytest.mark.parametrize("rule", ["simple", "noise", "sqrt_noise"])
def test_the_constant_of_a_full_noise_scale_is_found_where_its_valley_is_narrow(rule):
    """Hard task: the best c of a full rule lies within 4e-3 of c*; against a dense grid of its distance."""
    model = fsl.compress(fsl.PowerLawRegression(1 / 6, 3.0), 600.0, tolerance=1e-6)
    start = noise_tracking.threshold(model, 0.2, rule)
    distances = np.concatenate([-np.geomspace(1e-6, 0.9, 30), np.geomspace(1e-6, 1e3, 400)])
    grid = [noise_tracking.tracked(model, 3000.0, 0.2, rule, start * (1.0 + x)).loss for x in distances]
    best = noise_tracking.tuned(model, 3000.0, 0.2, rule)
    assert best.loss <= min(grid) * (1.0 + 1e-4)
    if rule != "sqrt_noise":
        assert best.loss < 0.93 * noise_tracking.tuned(model, 3000.0, 0.2, "constant").loss
        assert 0.0 < best.scale / start - 1.0 < 4e-3


@pytest.mark.parametrize("task", [(1.0, 2.0), (1 / 6, 3.0)])
@pytest.mark.parametrize("rule", ["simple", "noise", "sqrt_simple"])
def test_batches_grow_only_above_the_edge(task, rule):
    model = fsl.compress(fsl.PowerLawRegression(*task), 100.0, tolerance=1e-6)
    first = noise_tracking.edge(model, 500.0, 0.2, rule)
    assert (noise_tracking.tracked(model, 500.0, 0.2, rule, first * (1 - 1e-9)).batches == 1.0).all()
    assert noise_tracking.tracked(model, 500.0, 0.2, rule, first * (1 + 1e-9)).batches.max() > 1.0


def test_tuned_is_no_worse_than_what_was_tried():
    best = noise_tracking.tuned(SPECTRUM, 300.0, 0.2, "sqrt_noise")
    others = [noise_tracking.tracked(SPECTRUM, 300.0, 0.2, "sqrt_noise", c).loss for c in np.geomspace(0.05, 20, 15)]
    assert best.loss <= min(others) * (1 + 2e-3)


def test_threshold_is_the_scale_that_unit_batches_settle_at():
    model = fsl.Spectrum([1.0, 0.4, 0.1], [1.0, 1.0, 1.0], noise=1.0)
    moments = model.target_squared.copy()
    for _ in range(2000):
        total = model.sum(model.eigenvalues * moments) + 1.0
        x = 0.2 * model.eigenvalues
        moments = moments * (1 - 2 * x + 2 * x**2) + 0.04 * model.eigenvalues * total
    seen = theory.regression_statistics(model, moments)
    assert noise_tracking.threshold(model, 0.2, "noise") == pytest.approx(1 / seen.noise_scale, rel=1e-9)
    assert noise_tracking.threshold(model, 0.2, "sqrt_simple") == pytest.approx(seen.simple_scale**-0.5, rel=1e-9)


@pytest.mark.parametrize("call, message", [
    (lambda: theory.cost(QUADRATIC, 9.0, 1.0), r"target is 9.0; it must be in \(0, 1.05"),
    (lambda: theory.cost(QUADRATIC, 0.1, -1.0), "batch is -1.0; it must be > 0"),
    (lambda: theory.cost(QUADRATIC, 0.1, 1.0, share=2.0), r"share is 2.0; it must be in \(0, 1\]"),
    (lambda: theory.cost(3, 0.1, 1.0), "quadratic is a int; it must be a NoisyQuadratic"),
    (lambda: theory.cost(QUADRATIC, 0.1, math.inf, power=0.5), "batch is inf; it must be finite where batches follow"),
    (lambda: theory.cost(theory.NoisyQuadratic([1.0], [0.0], [1.0]), 0.1, 1.0, power=0.5), "covariance is 0"),
    (lambda: theory.hyperbola([1.0, 0.0], 1.0, 1.0), "smallest batch is 0.0; it must be > 0"),
    (lambda: theory.GradientStatistics(1.0, 0.0, 0.0, 0.0), "curvature is 0.0; it must be finite and > 0"),
    (lambda: theory.GradientStatistics(1.0, 1.0, 0.0, -1.0), "curved_trace is -1.0; it must be finite and >= 0"),
    (lambda: QUADRATIC.statistics().decrease("a"), "rate is 'a'; it must be a number"),
    (lambda: QUADRATIC.statistics([1.0, 2.0]), r"moments have shape \(2,\); it must be \(3,\)"),
    (lambda: theory.regression_statistics(SPECTRUM, [1.0, 2.0]), r"moments have shape \(2,\); it must be \(\d+,\)"),
    (lambda: theory.regression_statistics(3, [1.0]), "spectrum is a int; it must be a Spectrum"),
    (lambda: theory.two_batch_estimates(1, 2, ["a"], 1.0), "squared norms are .*; they must be numbers"),
    (lambda: noise_tracking.tuned(fsl.Spectrum([1.0], [0.0], noise=1.0), 9.0, 0.2, "noise"), "target_squared is 0"),
    (lambda: theory.two_batch_estimates(4, 4, 1.0, 1.0), "large is 4.0; it must be finite and > small = 4"),
    (lambda: theory.NoisyQuadratic([1.0, 0.0], [1.0, 1.0], [1.0, 1.0]), "smallest entry of hessian is 0.0"),
    (lambda: noise_tracking.tracked(SPECTRUM, 100.0, 0.2, "greedy", 1.0), "rule is 'greedy'; it must be one of"),
    (lambda: noise_tracking.tracked(SPECTRUM, 100.0, 1.9, "noise", 1.0), "rate is 1.9; batches of 1 are .* below 0.6"),
    (lambda: gradient_noise.TwoBatches([], [], 0.1, 4, 5), "eigenvalues and error are empty"),
    (lambda: gradient_noise.TwoBatches(np.ones(5000), np.ones(5000), 0.1, 1, 65536),
     "large is 65536; at 5000 eigenvalues it must be at most 3354"),
    (lambda: gradient_noise.TwoBatches([1.0], [1.0], 0.1, 4, 4), r"large is 4; it must be an integer in \[5"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
