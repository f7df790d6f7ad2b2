"""Label noise, flows: gradient flow and slow flow against integrators of the weights, closed forms and each other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.checks.label_noise import gradient_flow as flow_claims
from theorycheck.checks.label_noise import interpolators
from theorycheck.theory import label_noise
from theorycheck.theory.label_noise import diagnostics, fluctuations, gradient_flow, identities, slow_flow

MODEL = label_noise.TwoLayerLinear(5, 200, 2e-3, 1.0, 1.5)


def network(width, dimension, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(width, dimension)) / math.sqrt(dimension), rng.normal(size=width) / math.sqrt(width)


@settings(max_examples=20, deadline=None)
@given(width=st.integers(1, 5), dimension=st.integers(1, 4), seed=st.integers(0, 99), time=st.floats(0.0, 3.0))
def test_gradient_flow_conserves_the_imbalance(width, dimension, seed, time):
    first, second = network(width, dimension, seed)
    target = np.random.default_rng(seed + 1).normal(size=dimension)
    found = gradient_flow.path(label_noise.gram(first, second), [time], target)
    moved = found.neurons(first, second)[0]
    after = identities.imbalance(moved[:, :-1], moved[:, -1])
    assert after == pytest.approx(identities.imbalance(first, second), abs=1e-8)
    assert found.alpha[0] == pytest.approx(moved[:, -1] @ moved[:, -1], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(plus=st.floats(0, 10), minus=st.floats(0, 10), target=st.floats(-3, 3), time=st.floats(0, 4))
def test_growth_solves_its_riccati_equation(plus, minus, target, time):
    z = gradient_flow.growth(np.array([0.0, time]), plus, minus, target)
    exact = integrate.solve_ivp(lambda _, z: 2 * target * z - 0.5 * (plus * z * z - minus), (0.0, time), [1.0],
                                rtol=1e-11, atol=1e-13)
    assert z[0] == pytest.approx(1.0, rel=1e-14) and z[1] == pytest.approx(exact.y[0, -1], rel=1e-8, abs=1e-11)


def test_growth_far_away_keeps_its_digits():
    assert gradient_flow.growth([500.0], 1e-9, 0.0, 2.0)[0] == pytest.approx(4 * 2.0 / 1e-9, rel=1e-12)
    assert gradient_flow.growth([500.0], 2.0, 1e-9, -2.0)[0] == pytest.approx(1e-9 / 8.0, rel=1e-6)


def test_lazy_limit_and_wide_networks():
    target = np.array([0.01, 0.02, 0.0])
    first, second = network(4000, 3)
    state, times = label_noise.gram(first, second), np.array([0.0, 1e-4, 1e-3])
    exact = gradient_flow.path(state, times, target).output
    assert gradient_flow.lazy(state, times, target) == pytest.approx(exact, abs=1e-4)
    end, phi = gradient_flow.limit(state, target)
    assert end[:-1, -1] == pytest.approx(target, abs=1e-9)
    assert diagnostics.kernel_change(end, state) < 1e-3
    metric = np.diag([1.0, 1.0, 1.0, -1.0])
    assert phi.T @ metric @ phi == pytest.approx(metric, abs=1e-8)


def test_limit_of_a_very_wide_network_and_of_no_network():
    wide = np.diag(np.append(np.full(5, 1e6), 1.0))
    assert gradient_flow.limit(wide, np.eye(5)[0])[0][0, -1] == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ValueError, match="does not reach an interpolator"):
        gradient_flow.limit(np.zeros((3, 3)), np.ones(2))


@pytest.mark.parametrize("corrected", ["none", "gaussian", "data"])
def test_slow_flow_keeps_the_target_and_changes_the_imbalance_as_averaged(corrected):
    first, second = network(12, 5, 3)
    inputs = np.random.default_rng(4).normal(size=(30, 5))
    covariance = inputs.T @ inputs / 30
    start, phi = gradient_flow.limit(label_noise.gram(first, second), MODEL.target, covariance)
    moved = label_noise.neurons(phi, first, second)
    dt = 10.0
    path = slow_flow.path(MODEL, [0.0, dt], start, inputs, corrected, relax=False)
    assert path.output[-1] == pytest.approx(MODEL.target, abs=1e-8)
    excite = slow_flow.excitations(MODEL, covariance, inputs if corrected == "data" else None, corrected)
    c = excite(label_noise.kernel(start))
    w, a = moved
    slope = np.trace(c) * np.outer(a, a) - w @ c @ w.T
    after = path.neurons(*moved)[-1]
    change = identities.imbalance(after[:, :-1], after[:, -1]) - identities.imbalance(w, a)
    assert change / dt == pytest.approx(slope, rel=1e-3, abs=1e-3 * np.abs(slope).max())
    assert path.states[-1] == pytest.approx(after.T @ after, abs=1e-8)


def test_corrections_vanish_with_the_step_at_first_order():
    gaps = []
    for step in (4e-4, 2e-4, 1e-4):
        model = label_noise.TwoLayerLinear(5, 200, step, 1.0 / step * 1e-3, 1.5)
        bare, corrected = (slow_flow.path(model, [1.0 / model.drift], corrected=kind).first_norm[-1]
                           for kind in ("none", "gaussian"))
        gaps.append(math.log(bare / corrected))
    assert np.array(gaps[:-1]) / gaps[1:] == pytest.approx(2.0, abs=0.15)


def test_data_correction_tends_to_the_gaussian_one():
    inputs = np.random.default_rng(8).normal(size=(5_000, 5))
    times = [0.0, 1.0 / MODEL.drift]
    data = slow_flow.path(MODEL, times, inputs=inputs, corrected="data").first_norm
    gaussian = slow_flow.path(MODEL, times, inputs=inputs).first_norm
    bare = slow_flow.path(MODEL, times, inputs=inputs, corrected="none").first_norm
    assert abs(data[-1] - gaussian[-1]) < 0.15 * abs(data[-1] - bare[-1])


def test_sharpness_aware_slow_flow_is_that_of_label_noise():
    radius, step = 0.05, 1e-4
    quiet = label_noise.TwoLayerLinear(5, 50, step, 0.0, 1.0)
    aware = slow_flow.path(quiet, [0.0, 4e6], radius=radius, corrected="none")
    noisy = label_noise.TwoLayerLinear(5, 50, step, math.sqrt(2 * radius**2 / step), 1.0)
    other = slow_flow.path(noisy, [0.0, 4e6], corrected="none")
    assert aware.states == pytest.approx(other.states, rel=1e-9, abs=1e-12)
    kernel = 11.0 * np.eye(5)
    excite = slow_flow.excitations(quiet, np.eye(5), radius=radius)(kernel)
    assert excite == pytest.approx(2 * step * radius**2 * (1 + step * 11.0 * 7) * np.eye(5))


def test_directions_without_inputs_never_move():
    inputs = np.random.default_rng(2).normal(size=(3, 5))
    path = slow_flow.path(MODEL, [0.0, 1e5, 1e7], inputs=inputs, corrected="data")
    unseen = np.eye(5) - np.linalg.pinv(inputs) @ inputs
    parts = [np.trace(unseen @ state[:-1, :-1]) for state in path.states]
    assert parts == pytest.approx([80.0] * 3, rel=1e-9)
    assert path.output @ inputs.T == pytest.approx(np.tile(inputs @ MODEL.target, (3, 1)), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(start=st.floats(1e-3, 50), excess=st.floats(0, 5), time=st.floats(0, 5))
def test_one_dimensional_slow_flow(start, excess, time):
    alpha = (1.0 + excess) / start
    flow = slow_flow.isotropic([time], 1, 1.0, start, 0.0, alpha)
    total = 4.0 + ((start + alpha) ** 2 - 4.0) * math.exp(-2 * time)
    assert (flow.along + flow.alpha)[0] ** 2 == pytest.approx(total, rel=1e-10)
    assert (flow.along - flow.alpha)[0] == pytest.approx((start - alpha) * math.exp(-time), rel=1e-9, abs=1e-9)


def test_isotropic_flow_on_the_tight_manifold_solves_its_implicit_form():
    d, norm, times = 7, 2.0, np.array([0.0, 0.3, 1.0, 4.0])
    flow = slow_flow.isotropic(times, d, norm, 60.0, 3.0, norm**2 / 60.0)

    def form(log_gap):
        y = d + math.exp(log_gap)
        return (d + 1) * log_gap - math.log(y)

    begin = form(math.log((60.0 / norm) ** 2 - d))
    for time, along in zip(times, flow.along):
        gap = optimize.brentq(lambda x, goal: form(x) - goal, -60, 20, args=(begin - 2 * d * time,), xtol=1e-13)
        assert along == pytest.approx(norm * math.sqrt(d + math.exp(gap)), rel=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "data"])
def test_bias_is_what_the_slow_flow_needs(kind):
    """The mean boost -h Sigma dbar is the mu of the slow flow, at its own excitation."""
    inputs = np.random.default_rng(3).normal(size=(40, 5))
    covariance = inputs.T @ inputs / 40
    state, _ = gradient_flow.limit(slow_flow.expected_start(MODEL), MODEL.target, covariance)
    h, data = MODEL.effective_step, inputs if kind == "data" else None
    kernel = label_noise.kernel(state)
    shift = fluctuations.bias(kernel, MODEL.target, h, MODEL.noise, None if kind == "data" else covariance, data)
    boost = slow_flow.drift(state, slow_flow.excitations(MODEL, covariance, data, kind)(kernel))[:-1, -1]
    assert -h * covariance @ shift == pytest.approx(boost, rel=1e-8, abs=1e-15)
    bare = slow_flow.drift(state, MODEL.drift * covariance)[:-1, -1]
    assert np.linalg.norm(boost - bare) > 0.05 * np.linalg.norm(bare)


def test_excitation_of_sharpness_aware_minimisation_on_a_training_set_by_brute_force():
    """``C = 2 h rho^2 (Sigma + h E[x'Mx x x'])``, input by input, and the drift of its slow flow."""
    inputs = np.random.default_rng(6).normal(size=(12, 5))
    covariance = inputs.T @ inputs / 12
    state, _ = gradient_flow.limit(slow_flow.expected_start(MODEL), MODEL.target, covariance)
    m, h = label_noise.kernel(state), MODEL.effective_step
    expected = 2 * h * 0.03**2 * sum((1 + h * x @ m @ x) * np.outer(x, x) for x in inputs) / 12
    excite = slow_flow.excitations(MODEL, covariance, inputs, "data", 0.03)
    assert excite(m) == pytest.approx(expected, rel=1e-10)
    path = slow_flow.path(MODEL, [0.0, 10.0], state, inputs, "data", radius=0.03, relax=False)
    change = path.alpha[1] - path.alpha[0]
    a = slow_flow.drift(state, expected)
    assert change / 10.0 == pytest.approx(2.0 * (a @ state)[-1, -1], rel=1e-3)


def test_second_layer_variance_by_drawn_fluctuations():
    first, second = network(6, 3, 2)
    kernel = first.T @ first + second @ second * np.eye(3)
    covariance = fluctuations.fluctuations(kernel, 1e-2, 0.7).covariance
    errors = np.random.default_rng(1).multivariate_normal(np.zeros(3), covariance, size=200_000)
    boosts = first @ np.linalg.solve(kernel, errors.T)
    expected = fluctuations.second_layer_variance(first, kernel, covariance)
    assert boosts.var(axis=1) == pytest.approx(expected, rel=0.02)


def test_clocks():
    clocks = slow_flow.clocks(MODEL)
    assert clocks.second_layer == pytest.approx(1 / (5 * MODEL.drift))
    assert clocks.norm < clocks.alignment and clocks.alignment - clocks.norm == pytest.approx(math.log(4) / MODEL.drift)
    silent = label_noise.TwoLayerLinear(5, 200, 2e-3, 0.0, 1.5)
    assert slow_flow.clocks(silent).alignment == math.inf


@pytest.mark.parametrize(("call", "message"), [
    (lambda: gradient_flow.path(np.eye(3), [1.0], np.ones(3)), "must have shapes (4, 4) and (3, 3)"),
    (lambda: gradient_flow.path(np.eye(4), [1.0, 0.5], np.ones(3)), ">= 0 and increase"),
    (lambda: gradient_flow.path(np.eye(4) * np.nan, [1.0], np.ones(3)), "not finite"),
    (lambda: gradient_flow.one_dimension([1.0], [1.0, 2.0], [1.0], 1.0), "must have the shape (m,)"),
    (lambda: slow_flow.path(MODEL, [1.0], corrected="both"), "corrected is 'both'; it must be one of none, gaussian"),
    (lambda: slow_flow.path(MODEL, [1.0], corrected="data"), "corrected is 'data' without inputs"),
    (lambda: slow_flow.path(MODEL, [1.0], inputs=np.ones((3, 2))), "must be (n, 5)"),
    (lambda: slow_flow.path(MODEL, [1.0], radius=-1.0), "radius is -1.0"),
    (lambda: slow_flow.path(label_noise.TwoLayerLinear(5, 200, 0.1, 1.0, 1.0), [1.0]), "mean-square stability"),
    (lambda: slow_flow.path(label_noise.TwoLayerLinear(2, 10, 1e-3, 1.0, 1.0), [1.0], np.eye(3), relax=False),
     "without relax it must be 0"),
    (lambda: slow_flow.path(label_noise.TwoLayerLinear(5, 50, 1.0, 0.0, 1.0), [1.0], radius=0.05),
     "mean-square stability at this kernel needs it in"),
    (lambda: slow_flow.path(label_noise.TwoLayerLinear(5, 50, 1e-3, 0.0, 1.0), [1.0], radius=5.0),
     "SAM contracts to the origin on the way unless it is at most"),
    (lambda: gradient_flow.growth([1.0], -1.0, 2.0, 1.0), "P is -1.0"),
    (lambda: slow_flow.drift(np.eye(3), np.eye(5)), "must have shapes (d + 1, d + 1) and (d, d)"),
    (lambda: slow_flow.clocks("x"), "must be a TwoLayerLinear"),
    (lambda: fluctuations.bias(np.eye(2), np.ones(2), 0.1, 1.0, np.diag([1.0, 0.0])),
     "covariance has the eigenvalue 0"),
    (lambda: fluctuations.fluctuations(np.eye(2), 0.1, 1.0, np.diag([1.0, -1.0])), "negative eigenvalue"),
    (lambda: fluctuations.fluctuations([[1.0, 0.9], [0.0, 1.0]], 0.1, 1.0), "not symmetric"),
    (lambda: slow_flow.path("model", [1.0]), "must be a TwoLayerLinear"),
    (lambda: slow_flow.isotropic([1.0], 3, 2.0, 1.0, 1.0, 1.0), "must be >= target_norm^2 = 4"),
    (lambda: slow_flow.isotropic([1.0], 0, 2.0, 1.0, 1.0, 1.0), "dimension is 0"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("claim", [flow_claims.gradient_flow_map, flow_claims.one_dimension,
                                   interpolators.alignment_clock], ids=lambda claim: claim.name)
def test_claims_hold_and_their_controls_are_rejected(claim):
    outcome = judge(claim, Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome
