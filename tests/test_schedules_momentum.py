"""Heavy-ball moments, their adjoint, stability, and the search for schedules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.sims.schedules import heavy_ball
from theorycheck.theory import fsl, learning_rates
from theorycheck.theory.schedules import momentum as theory
from theorycheck.theory.schedules.optimal_control import optimal_rates

MODEL = fsl.Spectrum([1.0, 0.4, 0.1], [1.0, 2.0, 3.0], noise=0.5, multiplicity=[1.0, 2.0, 5.0])


def moment_map(model, eta, beta, size):
    """The linear map of (A, B, V) of all nodes, column by column, without label noise."""
    n, columns = model.eigenvalues.size, []
    lam, weights = model.eigenvalues, model.multiplicity
    for k in range(3 * n):
        a, b, v = np.eye(3 * n)[k].reshape(3, n)
        push = (1 + (model.kurtosis - 2) / size) * lam**2 * a + lam * np.sum(weights * lam * a) / size
        v = beta**2 * v + 2 * beta * lam * b + push
        c = beta * b + lam * a
        columns.append(np.concatenate([a - 2 * eta * c + eta**2 * v, c - eta * v, v]))
    return np.array(columns).T


def test_without_momentum_it_is_the_plain_recursion():
    rates = learning_rates.cosine(40, 0.3)
    plain = fsl.exact_risk(MODEL, rates, 3, times=np.arange(41)).excess_risk
    np.testing.assert_allclose(theory.heavy_ball_risk(MODEL, rates, 0.0, 3), plain, rtol=1e-13)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 0.95), st.floats(0.3, 1.7), st.sampled_from([1.0, 2.0, 8.0]),
       st.sampled_from([1.0, 1.8, 3.0, 6.0]))
def test_stability_is_that_of_the_moment_map(beta, factor, size, kurtosis):
    """r < 1 exactly where the spectral radius of the whole map is below 1."""
    model = fsl.Spectrum(MODEL.eigenvalues, MODEL.target_squared, 0.0, 0.5, MODEL.multiplicity, kurtosis)
    if abs(factor - 1.0) < 1e-3:
        factor = 1.01
    rate = factor * theory.critical_rate(model, beta, size)
    radius = np.abs(np.linalg.eigvals(moment_map(model, rate, beta, size))).max()
    assert (radius < 1.0) == (factor < 1.0)
    assert (theory.noise_ratio(model, rate, beta, size) < 1.0) == (factor < 1.0)


def test_critical_rate_without_momentum():
    assert theory.critical_rate(MODEL, 0.0, 4) == pytest.approx(fsl.critical_rate(MODEL, 4), rel=1e-10)


def test_gradient_by_fourth_order_differences():
    rng = np.random.default_rng(0)
    rates, momenta = rng.uniform(0.02, 0.1, 9), rng.uniform(0.0, 0.9, 9)
    found = theory.heavy_ball_gradient(MODEL, rates, momenta, 2)
    for which, exact in ((0, found.by_rate), (1, found.by_momentum)):
        for k in range(9):
            if which and k == 0:
                continue   # nothing to remember in the first step
            steps = []
            for h in (1e-4, -1e-4, 2e-4, -2e-4):   # fourth order
                both = [rates.copy(), momenta.copy()]
                both[which][k] += h
                steps.append(theory.heavy_ball_risk(MODEL, *both, 2)[-1])
            difference = (8 * (steps[0] - steps[1]) - (steps[2] - steps[3])) / 12e-4
            assert exact[k] == pytest.approx(difference, rel=1e-7, abs=1e-9)
    assert found.by_momentum[0] == 0.0


def test_zero_momentum_descent_reaches_optimal_control():
    model = fsl.compress(fsl.PowerLawRegression(1.0, 2.0, noise=0.5), 100.0, tolerance=1e-5)
    plain = optimal_rates(model, 24)
    found = theory.optimal_momentum(model, 24, forced_zero=True, iterations=500)
    assert found.loss == pytest.approx(plain.loss, rel=1e-6) and not found.momenta.any()


def test_momentum_is_never_worse_and_its_loss_is_that_of_its_schedules():
    model = fsl.compress(fsl.PowerLawRegression(1 / 6, 3.0, noise=0.3), 1000.0, tolerance=1e-5)
    found = theory.optimal_momentum(model, 32, iterations=60)
    assert 0.0 < found.gain < 0.2
    assert theory.heavy_ball_risk(model, found.rates, found.momenta)[-1] == pytest.approx(found.loss, rel=1e-10)
    longer = theory.optimal_momentum(model, 64, iterations=40, start=found)
    assert longer.loss < found.loss and longer.momenta.size == 64


def test_one_mode_by_enumeration():
    """Signs for features (kurtosis 1) and noise: every path of three steps."""
    value, target, noise, rates, momenta = 0.7, 1.3, 0.4, (0.5, 0.3, 0.2), (0.0, 0.6, 0.4)
    model = fsl.Spectrum([value], [target**2], noise=noise, kurtosis=1.0)
    risks = []
    for signs in np.ndindex(*(2,) * 6):
        x = (2.0 * np.array(signs[:3]) - 1.0) * np.sqrt(value)
        e = (2.0 * np.array(signs[3:]) - 1.0) * noise
        u, v = -target, 0.0
        for t in range(3):
            v = momenta[t] * v + (x[t] * u - e[t]) * x[t]
            u -= rates[t] * v
        risks.append(0.5 * value * u**2)
    assert theory.heavy_ball_risk(model, rates, momenta)[-1] == pytest.approx(np.mean(risks), rel=1e-12)


def test_replicas_do_not_depend_on_chunks():
    model = fsl.Spectrum([1.0, 0.3], [1.0, 2.0], noise=0.2)
    experiment = heavy_ball.HeavyBall(model, np.full(5, 0.1), np.full(5, 0.5), 2)
    whole = experiment.sample(1, 0, 12)
    assert np.array_equal(whole, np.concatenate([experiment.sample(1, 0, 5), experiment.sample(1, 5, 7)]))
    np.testing.assert_allclose(whole[:, 0], 0.5 * (1.0 + 0.6), rtol=1e-6)


@pytest.mark.parametrize("call, message", [
    (lambda: theory.heavy_ball_risk(MODEL, [0.1], 1.0), r"momentum 0 is 1.0; it must be in \[0, 1\)"),
    (lambda: theory.heavy_ball_risk(MODEL, [0.1, 0.1], [0.1]), r"momentum has shape \(1,\)"),
    (lambda: theory.heavy_ball_risk(MODEL, np.full(5000, 2.0), 0.5), "mean-square stability needs a rate < 0"),
    (lambda: theory.critical_rate(MODEL, 0.5, -1), "batch_size is -1.0; it must be finite and > 0"),
    (lambda: theory.critical_rate(fsl.PowerLawRegression(1.0, 2.0)), "spectrum is a PowerLawRegression; it must be a"),
    (lambda: theory.noise_ratio(3, 0.1), "spectrum is a int; it must be a Spectrum"),
    (lambda: theory.optimal_momentum(MODEL, 4, iterations=0), "iterations is 0; it must be an integer >= 1"),
    (lambda: heavy_ball.HeavyBall(MODEL, [0.1], [0.5]), "it must be a Spectrum of single modes"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
