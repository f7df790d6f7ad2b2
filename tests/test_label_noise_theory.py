"""Label noise, single steps and moments: identities, fluctuations, oscillation and escape against brute force."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.checks.label_noise import alignment, interpolators, laziness
from theorycheck.checks.label_noise import identities as identity_claims
from theorycheck.checks.label_noise import symbolic as symbolic_claims
from theorycheck.theory import label_noise
from theorycheck.theory.label_noise import diagnostics, escape, fluctuations, identities, oscillation, symbolic

RNG = np.random.default_rng(5)
MODEL = label_noise.TwoLayerLinear(20, 1000, 1e-3, 4.0, 1.0, samples=200)


def network(width, dimension, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(width, dimension)) / math.sqrt(dimension), rng.normal(size=width) / math.sqrt(width)


def test_descent_path_is_gradient_descent_on_every_weight():
    first, second = network(30, 4)
    covariance, target = np.diag([1.0, 0.5, 2.0, 1.5]), np.array([1.0, -0.5, 0.2, 0.0])
    states, maps = label_noise.descent_path(label_noise.gram(first, second), covariance, target, 1e-2, [0, 7, 300])
    w, a = first, second
    for _ in range(300):
        e = covariance @ (target - w.T @ a)
        w, a = w + 1e-2 * np.outer(a, e), a + 1e-2 * w @ e
    assert states[-1] == pytest.approx(label_noise.gram(w, a), abs=1e-12)
    moved = label_noise.neurons(maps[-1], first, second)
    assert moved[0] == pytest.approx(w, abs=1e-13) and moved[1] == pytest.approx(a, abs=1e-13)
    assert np.array_equal(maps[0], np.eye(5))


@pytest.mark.parametrize(("call", "message"), [
    (lambda k: label_noise.descent_path(k, np.eye(2), np.ones(2), 0.1, [-5, 10]), "record contains -5"),
    (lambda k: label_noise.descent_path(k, np.eye(2), np.ones(2), 0.1, [1.7]), "record contains 1.7"),
    (lambda k: label_noise.descent_path(k, np.eye(2), np.ones(2), math.nan, [1]), "step is nan"),
    (lambda k: label_noise.descent_path(k, np.eye(2), np.ones(2), -1.0, [1]), "step is -1"),
    (lambda k: label_noise.label_noise_path(k, np.ones((3, 2)), np.ones(3), 0.1, [99]), "integers in 0..3"),
    (lambda k: label_noise.label_noise_path(k, np.ones((3, 2)), np.ones(3), "a"), "step is 'a'"),
    (lambda k: label_noise.neurons(k, np.ones((4, 5)), np.ones(4)), "must have shapes (d + 1, d + 1)"),
])
def test_paths_refuse_bad_input(call, message):
    with pytest.raises(ValueError) as refusal:
        call(np.eye(3))
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@settings(max_examples=25, deadline=None)
@given(power=st.integers(-6, 6), seed=st.integers(0, 1000), noise=st.floats(0, 5), target=st.floats(0, 5))
def test_scale_symmetry_is_exact(power, seed, noise, target):
    model = label_noise.TwoLayerLinear(3, 5, 1e-2, noise, target)
    other = label_noise.rescaled(model, 4.0**power)
    rng = np.random.default_rng(seed)
    inputs, signs, start = rng.normal(size=(40, 3)), rng.choice([-1.0, 1.0], 40), label_noise.gram(*network(5, 3, seed))
    ends = [label_noise.label_noise_path(scale * start, inputs, inputs @ each.target + each.noise * signs,
                                         each.effective_step)[0][-1]
            for each, scale in ((model, 1.0), (other, 4.0**power))]
    assert np.array_equal(ends[1] / 4.0**power, ends[0])


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 6), dimension=st.integers(1, 5), step=st.floats(1e-4, 1.0), residual=st.floats(-3, 3))
def test_imbalance_changes_as_stated(width, dimension, step, residual):
    first, second = network(width, dimension, width)
    x = RNG.normal(size=dimension)
    after = identities.imbalance(first - step * residual * np.outer(second, x), second - step * residual * first @ x)
    change = identities.sgd_imbalance(first, second, x, residual, step)
    assert after - identities.imbalance(first, second) == pytest.approx(change, abs=1e-12)
    assert np.diag(change) == pytest.approx(step**2 * identities.norm_change(first, second, x, residual), abs=1e-12)


def test_jacobian_by_finite_differences():
    first, second = network(4, 3)
    flat = np.append(first.ravel(), second)

    def theta(flat):
        return flat[:12].reshape(4, 3).T @ flat[12:]

    found = np.array([(theta(flat + 1e-6 * e) - theta(flat - 1e-6 * e)) / 2e-6 for e in np.eye(16)]).T
    assert identities.jacobian(first, second) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("data", [True, False])
def test_fluctuations_solve_the_stationary_equation(data):
    """The full d^2 x d^2 linear system, with fourth moments summed or by Isserlis."""
    d, h, sigma = 4, 0.008, 1.5
    first, second = network(40, d)
    m = first.T @ first + 0.3 * np.eye(d)
    inputs = np.random.default_rng(6).normal(size=(9, d)) * [1.0, 2.0, 0.5, 1.0]
    covariance = inputs.T @ inputs / 9
    found = fluctuations.fluctuations(m, h, sigma, None if data else covariance, inputs if data else None)

    def fourth(s):
        if data:
            return sum(np.outer(x, x) * (x @ s @ x) for x in inputs) / 9
        return np.trace(covariance @ s) * covariance + 2 * covariance @ s @ covariance

    columns = []
    for e in np.eye(d * d):
        s = e.reshape(d, d)
        s = 0.5 * (s + s.T)
        columns.append((m @ covariance @ s + s @ covariance @ m - h * m @ fourth(s) @ m).ravel())
    exact = np.linalg.lstsq(np.array(columns).T, (h * sigma**2 * m @ covariance @ m).ravel(), rcond=None)[0]
    exact = 0.5 * (exact.reshape(d, d) + exact.reshape(d, d).T)
    assert found.covariance == pytest.approx(exact, rel=1e-9, abs=1e-12)
    assert found.excitation == pytest.approx(sigma**2 * covariance + fourth(exact), rel=1e-9)
    assert found.residual == pytest.approx(sigma**2 + np.sum(covariance * exact), rel=1e-10)


def test_fluctuations_isotropic_closed_form_and_edge():
    d, kappa = 20, 51.0
    for h in (1e-4, 1e-3, 1.7e-3):
        found = fluctuations.fluctuations(kappa * np.eye(d), h, 2.0)
        assert found.misadjustment == pytest.approx(h * kappa * d / (2 - h * kappa * (d + 2)), rel=1e-12)
    edge = 2 / (kappa * (d + 2))   # of the trace's mode, the first to leave
    with pytest.raises(ValueError, match="mean-square stability"):
        fluctuations.fluctuations(kappa * np.eye(d), 1.001 * edge, 2.0)
    inputs = RNG.normal(size=(30, 5))
    edge = label_noise.critical_step(2.0 * np.eye(5), inputs)
    assert fluctuations.fluctuations(2.0 * np.eye(5), 0.999 * edge, 1.0, inputs=inputs).misadjustment > 10
    with pytest.raises(ValueError, match="mean-square stability"):
        fluctuations.fluctuations(2.0 * np.eye(5), 1.001 * edge, 1.0, inputs=inputs)


def test_second_layer_variance_and_bias():
    first, _ = network(50, 3)
    m = first.T @ first + 0.2 * np.eye(3)
    s = fluctuations.fluctuations(m, 1e-6, 1.0).covariance
    expected = 0.5e-6 * np.einsum("ij,jk,ik->i", first, np.linalg.inv(m), first)
    assert fluctuations.second_layer_variance(first, m, s) == pytest.approx(expected, rel=1e-4)
    state = fluctuations.last_state(label_noise.TwoLayerLinear(9, 5, 1e-2, 0.5, 4.0))
    target = np.eye(9)[0] * 4.0
    shift = fluctuations.bias(label_noise.flattest_kernel(target), target, 1e-12, 0.5e5)
    assert state.output == pytest.approx(4.0 + shift[0], rel=1e-10)
    assert state.error == pytest.approx(0.5 * 2.5e-3 * np.trace(label_noise.flattest_kernel(target)), rel=1e-12)
    assert (state.least_ratio, state.first_norm, state.alpha) == pytest.approx((13.5, 12.0, 4 / 3))


def test_oscillation_against_all_sign_patterns():
    """Every start parity and sign of two neurons over three steps, summed exactly; W by its Gaussian second moments."""
    h, q, target, scale = 0.3, 0.3**0.25, 0.7, 1.3
    model = label_noise.TwoLayerLinear(1, 2, h, 0.0, target, first_scale=scale)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    total = np.zeros(4)
    for parity in itertools.product((0, 1), repeat=2):
        for signs in itertools.product((-1, 1), repeat=6):
            for (i, p), (j, r) in itertools.product(enumerate(weights), repeat=2):
                w = scale * np.array([nodes[i], nodes[j]])
                chance = p * r / 4 / 64
                total[0] += chance * np.mean(w**2)
                for t in range(3):
                    a = q * np.array([signs[2 * t + k] * ((t + parity[k]) % 2 == 0) for k in (0, 1)])
                    w = w + h * a * (target - a @ w)
                    total[t + 1] += chance * np.mean(w**2)
    assert oscillation.mean_square_norm(model, [0, 1, 2, 3]) == pytest.approx(total, rel=1e-12)


def test_oscillation_settles_where_lemma_4_says():
    model = label_noise.TwoLayerLinear(20, 32, 1e-3, 0.0, 32**-0.25)
    time = oscillation.settling_time(model)
    values = oscillation.mean_square_norm(model, [time - 1, time, 10**9])
    assert values[0] > math.sqrt(1e-3) >= values[1]
    assert values[2] == pytest.approx(oscillation.limit(model), rel=1e-3)   # the limit takes classes of m/2
    assert time == pytest.approx(oscillation.settling_time_asymptotic(1e-3), rel=math.sqrt(1e-3)) and time < 1e6
    assert oscillation.settling_time(model, level=1e-9) == math.inf


def test_growth_probability_against_mpmath():
    model = label_noise.TwoLayerLinear(6, 50, 1e-3, 1.0, 1.0, first_scale=0.8, second_scale=1.2)
    spread = [0.8 / math.sqrt(6), 1.2 / math.sqrt(50)]
    exact = mpmath.quad(lambda z: mpmath.npdf(z, 0, spread[0]) * mpmath.erfc(abs(z) / spread[1] / mpmath.sqrt(2)),
                        [-mpmath.inf, 0, mpmath.inf])
    assert escape.growth_probability(model) == pytest.approx(float(exact), rel=1e-10)
    w, a = np.array([0.3, -0.4, 0.1]), 0.2
    x = RNG.normal(size=(200_000, 3))
    share = np.mean((x @ w) ** 2 < a**2 * np.sum(x**2, axis=1))
    assert float(escape.growth_probability_of(w, a)) == pytest.approx(share, abs=6 * math.sqrt(0.25 / 200_000))
    assert escape.growth_bound(MODEL) == pytest.approx(2 * math.sqrt(20 / math.pi) * 1000**-0.125)


def test_escape_time_is_when_a_shrinking_neuron_has_moved():
    quiet = label_noise.TwoLayerLinear(20, 1000, 1e-9, 1.0, 1.0)
    time = escape.escape_time(quiet, 0.5)
    assert 0.5 * (1 - math.exp(-0.5 * quiet.drift * time)) == pytest.approx(quiet.lazy_radius, rel=1e-5)
    assert escape.escape_time(MODEL) < escape.theorem_2_time(MODEL)
    assert escape.escape_time(label_noise.TwoLayerLinear(20, 1000, 1e-3, 0.0, 1.0)) == math.inf
    demands = escape.condition_1(MODEL, RNG.normal(size=(200, 20)))
    assert demands.log_step < -1500 and not (demands.step_small or demands.samples_many or demands.target_small)


def test_diagnostics():
    start, _ = network(16, 3)
    target = np.array([0.0, 2.0, 0.0])
    moved = start.copy()
    moved[0] += [0.0, 0.24, 0.0]
    moved[1] += [0.26, 0.0, 0.0]
    assert diagnostics.lazy(moved, start).tolist() == [True, False, *[True] * 14]
    assert diagnostics.cosines(3 * np.outer([1, -2, 0], target), target) == pytest.approx([1, 1, 0])
    assert diagnostics.alignments(start, target) == pytest.approx(np.abs(start[:, 1]))
    aligned = label_noise.gram(np.outer([1.0, -2.0], target), [1.0, 1.0])
    assert diagnostics.aligned_share(aligned, target) == pytest.approx(1.0)
    assert diagnostics.aligned_share(np.eye(4), target) == pytest.approx(1 / 3)
    assert diagnostics.kernel_change(2.0 * aligned, aligned) == pytest.approx(1.0)


def test_algebra_agrees_with_numbers():
    first, second, x = np.array([[0.3, -0.2], [0.5, 0.1]]), np.array([0.7, -0.4]), np.array([1.0, 2.0])
    values = dict(zip([*symbolic.SEEN, *symbolic.SECOND], [*first @ x, *second]))
    values |= {symbolic.STEP: 0.1, symbolic.RESIDUAL: 0.9, symbolic.SQUARE: x @ x}
    values |= {symbolic.PRODUCT: first[0] @ first[1]}
    found = symbolic.imbalance_steps()["sgd"][0].subs(values)
    assert float(found) == pytest.approx(identities.sgd_imbalance(first, second, x, 0.9, 0.1)[0, 1], rel=1e-13)
    derived, printed = symbolic.second_layer_square(power=0)
    assert sp.simplify(derived - printed) != 0


def test_flattest_kernel_and_least_trace():
    covariance, target = linalg.toeplitz([1.0, 0.4, 0.1]), np.array([1.0, -0.5, 0.3])
    m = label_noise.flattest_kernel(target, covariance)
    assert np.sum(m * covariance) == pytest.approx(identities.least_trace_hessian(target, covariance), rel=1e-13)
    assert not label_noise.flattest_kernel(target, np.zeros((3, 3))).any()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: label_noise.rescaled(MODEL, 0.0), "factor is 0.0; it must be in (0, inf)"),
    (lambda: label_noise.descent_path(np.eye(3), np.eye(3), np.ones(3), 0.1, [1]), "must have shapes"),
    (lambda: identities.imbalance(np.ones((2, 3)), np.ones(3)), "must have shapes (m, d) and (m,)"),
    (lambda: fluctuations.fluctuations(np.eye(2), -1.0, 1.0), "step is -1.0"),
    (lambda: fluctuations.fluctuations(np.eye(2), 0.1, math.nan), "noise is nan"),
    (lambda: fluctuations.fluctuations(np.eye(2), 0.1, 1.0, inputs=np.ones((4, 3))), "must be (n, 2)"),
    (lambda: fluctuations.fluctuations(-np.eye(2), 0.1, 1.0), "eigenvalue -1; all must be >= 0"),
    (lambda: escape.growth_bound("x"), "must be a TwoLayerLinear"),
    (lambda: escape.escape_time("x"), "must be a TwoLayerLinear"),
    (lambda: escape.theorem_2_time("x"), "must be a TwoLayerLinear"),
    (lambda: diagnostics.cosines(np.ones((3, 2)), np.ones(5)), "must have shapes (..., m, d) and (d,)"),
    (lambda: identities.norm_change(np.ones((3, 2)), np.ones(3), np.ones(5), 1.0), "input has shape (5,)"),
    (lambda: fluctuations.last_state(3), "must be a TwoLayerLinear"),
    (lambda: oscillation.mean_square_norm(MODEL, [1.5]), "whole number"),
    (lambda: oscillation.mean_square_norm(MODEL, [1], active=1001), "active is 1001"),
    (lambda: oscillation.mean_square_norm(MODEL, [1], amplitude=0), "amplitude is 0"),
    (lambda: oscillation.settling_time(MODEL, level=0), "level is 0"),
    (lambda: oscillation.settling_time_asymptotic(2.0), "outside (0, 1)"),
    (lambda: escape.escape_time(MODEL, -1.0), "smallest_norm is -1.0"),
    (lambda: escape.condition_1(MODEL, np.ones((3, 2))), "must be (n, 20)"),
    (lambda: diagnostics.displacements(np.ones((3, 2)), np.ones((2, 2))), "must have shapes"),
    (lambda: diagnostics.alignments(np.ones((3, 2)), [0.0, 0.0]), "must be > 0"),
    (lambda: symbolic.oscillation_step(5, 1), "active is 5"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("claim", [
    identity_claims.norm_change, identity_claims.imbalance_step, identity_claims.scale_symmetry,
    symbolic_claims.norm_identity, symbolic_claims.imbalance_algebra, interpolators.sharpness,
    interpolators.projected_drift, laziness.growth_exponent, laziness.lemma_3, alignment.convergence,
], ids=lambda claim: claim.name)
def test_claims_hold_and_their_controls_are_rejected(claim):
    outcome = judge(claim, Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome
