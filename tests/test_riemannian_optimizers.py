"""Optimizers, their metrics and flows: textbook forms, explicit matrices, closed forms, batches, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, logm, polar

from theorycheck import checks
from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.theory.riemannian import matrix_optimizers as matrices
from theorycheck.theory.riemannian import modes
from theorycheck.theory.riemannian import optimizers as vectors
from theorycheck.theory.riemannian.flows import Flow, global_errors, iterates
from theorycheck.theory.riemannian.landscapes import MatrixQuadratic, Quadratic
from theorycheck.theory.riemannian.lite import Lite, averaged_damping
from theorycheck.theory.riemannian.matrix_rules import FORMS, PolarFactor
from theorycheck.theory.riemannian.metric_rules import DenseMetric, DiagonalMetric
from theorycheck.theory.riemannian.modified_flows import modified
from theorycheck.theory.riemannian.nonsmooth import SignFlow, chatter, shrunk, sign_slide
from theorycheck.theory.riemannian.optimizers import Momentum, Optimizer
from theorycheck.theory.riemannian.polar import CUBIC, MUON, QUINTIC, newton_schulz, polar_factor, singular_value_map

CURVATURES = np.array([0.5, 1.0, 3.0])
START = np.array([1.0, -0.7, 0.4])
VECTORS = {
    "gradient descent": vectors.gradient_descent(0.1), "heavy ball": vectors.heavy_ball(0.1, 0.8, 0.5),
    "averaged": vectors.heavy_ball(0.1, 0.8, 0.5, averaged=True), "Nesterov": vectors.nesterov(0.1, 0.8),
    "RMSProp": vectors.rmsprop(0.05, 0.9), "Adam": vectors.adam(0.05, 0.8, 0.9), "AdamW": vectors.adamw(0.05),
    "NAdam": vectors.nadam(0.05, 0.8, 0.9), "sign": vectors.sign_descent(0.05, 0.5),
    "Lion": vectors.lion(0.05, 0.8, 0.9, 0.1), "Sophia": vectors.sophia(0.05, 0.8, 0.9, 0.5),
    "natural gradient": vectors.natural_gradient(0.1, 0.5)}
MATRICES = {
    "Shampoo": matrices.shampoo(0.05, 0.8, 0.9, 1e-4), "one side": matrices.shampoo(0.05, 0.8, 0.9, 1e-4, True),
    "SOAP": matrices.soap(0.05, 0.8, 0.9), "Muon": matrices.muon(0.05, 0.8), "Muon, 6": matrices.muon(0.05, stages=6),
    "Muon, 5 of its own": matrices.muon(0.05, stages=5, coefficients=MUON)}


def diagonal(w):
    return np.broadcast_to(CURVATURES, w.shape)


def fisher(w):
    return np.eye(w.shape[-1]) + w[..., :, None] * w[..., None, :]


def curvature(name):
    return {"Sophia": diagonal, "natural gradient": fisher}.get(name)


def wave(shape):
    """Numbers in (-1, 1) without a pattern."""
    return np.sin(1.7 * np.arange(1.0, math.prod(shape) + 1.0) ** 1.1).reshape(shape)


def panel(m, n):
    return MatrixQuadratic(1.2 + wave((m, n)))


@pytest.mark.parametrize("name", VECTORS)
def test_a_batch_of_vectors_is_as_many_runs(name):
    starts = np.stack([START, 2 * START[::-1], -START])
    gradient = Quadratic(CURVATURES).gradient
    together = iterates(VECTORS[name], gradient, starts, 7, curvature(name))
    for number, start in enumerate(starts):
        alone = iterates(VECTORS[name], gradient, start, 7, curvature(name))
        np.testing.assert_allclose(together[:, number], alone, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
@pytest.mark.parametrize("name", MATRICES)
def test_a_batch_of_matrices_is_as_many_runs(name, shape):
    starts = wave((2, *shape))
    gradient = panel(*shape).gradient
    together = iterates(MATRICES[name], gradient, starts, 5)
    for number, start in enumerate(starts):
        np.testing.assert_allclose(together[:, number], iterates(MATRICES[name], gradient, start, 5), rtol=1e-9,
                                   atol=1e-11)


@pytest.mark.parametrize("name", [*VECTORS, *MATRICES])
def test_metric_applies_solves_and_is_its_matrix(name):
    vector = name in VECTORS
    optimizer = {**VECTORS, **MATRICES}[name]
    w = START if vector else wave((4, 3))
    g = Quadratic(CURVATURES).gradient(w) if vector else panel(4, 3).gradient(w)
    extra = None if curvature(name) is None else curvature(name)(w)
    state = optimizer.accumulate(optimizer.start(w, g, extra), g, extra)
    metric, x = optimizer.metric(state, g), wave(w.shape) + 0.1
    matrix = metric.as_matrix()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix)[0] > 0
    np.testing.assert_allclose((matrix @ x.ravel()).reshape(x.shape), metric.apply(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(metric.solve(metric.apply(x)), x, rtol=1e-8)
    if not (name.startswith("Muon, ")):   # a polynomial is not quite the polar factor
        step = (w - optimizer.step(optimizer.start(w, g, extra), g, extra).parameters) / optimizer.rate
        np.testing.assert_allclose(metric.solve(optimizer.force(state, g)) + optimizer.decay * w, step, rtol=1e-9,
                                   atol=1e-12)


@given(beta=st.floats(0.0, 5.0), theta=st.floats(0.0, 0.98), share=st.floats(0.01, 0.99), averaged=st.booleans())
@settings(deadline=None, max_examples=60)
def test_quadratics_follow_the_closed_form_of_their_modes(beta, theta, share, averaged):
    # heavy ball with damping: w_k = c_1 z_1^k + c_2 z_2^k of the module on modes, an independent derivation
    scale = (1 - theta) if averaged else 1.0
    rate = share * modes.largest_step(theta, beta) / (CURVATURES[-1] * scale)
    method = vectors.heavy_ball(rate, theta, scale * beta, averaged)
    path = iterates(method, Quadratic(CURVATURES).gradient, START, 30)
    closed = np.stack([w * modes.trajectory(np.arange(31), scale * rate * c, theta, beta)
                       for c, w in zip(CURVATURES, START)], axis=1)
    np.testing.assert_allclose(path, closed, rtol=1e-7, atol=1e-9)
    assert method.largest_rate(np.diag(CURVATURES)) == pytest.approx(rate / share, rel=1e-9)


@given(first=st.floats(0.05, 0.95), second=st.floats(0.05, 0.999))
@settings(deadline=None, max_examples=40)
def test_adam_with_correction_is_the_textbook(first, second):
    w, m, v = START.copy(), 0.0, 0.0
    for k in range(1, 9):
        g = CURVATURES * w
        m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
        w = w - 0.05 * (m / (1 - first**k)) / (np.sqrt(v / (1 - second**k)) + 1e-8)
    found = iterates(vectors.adam(0.05, first, second), Quadratic(CURVATURES).gradient, START, 8)[-1]
    np.testing.assert_allclose(found, w, rtol=1e-10, atol=1e-12)


@given(first=st.floats(0.05, 1.0), second=st.floats(0.05, 0.999))
@settings(deadline=None, max_examples=40)
def test_lion_is_the_sign_of_its_interpolated_momentum(first, second):
    w, m = START.copy(), np.zeros(3)
    for _ in range(15):
        g = CURVATURES * w
        inner = first * m + (1 - first) * g
        if np.abs(inner).min() < 1e-9:
            return
        w, m = w - 0.07 * np.sign(inner), second * m + (1 - second) * g
    found = iterates(vectors.lion(0.07, first, second), Quadratic(CURVATURES).gradient, START, 15)[-1]
    np.testing.assert_allclose(found, w, rtol=1e-12, atol=1e-14)


def test_lite_with_nothing_flat_is_its_base_and_all_flat_is_a_rate():
    gradient = Quadratic(CURVATURES).gradient
    for name, base in VECTORS.items():
        path = iterates(base, gradient, START, 9, curvature(name))
        np.testing.assert_allclose(iterates(Lite(base, np.zeros((3, 3)), 5.0, 0.0), gradient, START, 9,
                                            curvature(name)), path, rtol=1e-12, atol=1e-15)
        faster = Optimizer(base.name, 3 * base.rate, base.momentum, base.rule, base.decay)
        np.testing.assert_allclose(iterates(Lite(base, np.eye(3), 3.0), gradient, START, 9, curvature(name)),
                                   iterates(faster, gradient, START, 9, curvature(name)), rtol=1e-11, atol=1e-13)
        damped = Optimizer(base.name, base.rate, Momentum(base.momentum.alpha, base.momentum.damping + 0.3,
                                                          base.momentum.nesterov, base.momentum.averaged,
                                                          base.momentum.correction), base.rule, base.decay)
        np.testing.assert_allclose(iterates(Lite(base, np.diag([1.0, 0, 0]), 1.0, 0.3, 0.3), gradient, START, 9,
                                            curvature(name)),
                                   iterates(damped, gradient, START, 9, curvature(name)), rtol=1e-11, atol=1e-13)


def test_lite_on_commuting_modes_is_each_mode_by_itself():
    theta, rate, chi, flat, sharp = 0.9, 0.02, 3.0, 2.0, 0.4
    method = Lite(vectors.heavy_ball(rate, theta), np.diag([1.0, 0.0, 0.0]), chi, flat, sharp)
    path = iterates(method, Quadratic(CURVATURES).gradient, START, 50)
    for i, (gain, beta) in enumerate(((chi, flat), (1.0, sharp), (1.0, sharp))):
        closed = START[i] * modes.trajectory(np.arange(51), rate * gain * CURVATURES[i], theta, beta)
        np.testing.assert_allclose(path[:, i], closed, rtol=1e-9, atol=1e-12)
    limits = [modes.largest_step(theta, beta) / (gain * c)
              for c, gain, beta in zip(CURVATURES, (chi, 1, 1), (flat, sharp, sharp))]
    assert method.largest_rate(np.diag(CURVATURES)) == pytest.approx(min(limits), rel=1e-9)
    at = Lite(vectors.heavy_ball(min(limits), theta), np.diag([1.0, 0.0, 0.0]), chi, flat, sharp)
    assert at.spectral_radius(np.diag(CURVATURES)) == pytest.approx(1.0, abs=1e-12)


def test_lite_with_a_projector_that_turns_along_the_path():
    def normal(w):
        direction = w / np.linalg.norm(w, axis=-1, keepdims=True)
        return np.eye(3) - direction[..., :, None] * direction[..., None, :]

    w = np.stack([START, START[::-1]])
    g = Quadratic(CURVATURES).gradient(w)
    method = Lite(vectors.gradient_descent(0.1), normal, 4.0)
    found = method.step(method.start(w, g), g).parameters
    for number in range(2):
        q = normal(w[number])
        np.testing.assert_allclose(found[number], w[number] - 0.1 * (g[number] - q @ g[number] + 4 * q @ g[number]),
                                   rtol=1e-14)


def test_projectors_of_matrices_act_from_the_right():
    w, q = wave((4, 3)), np.diag([1.0, 0.0, 0.0])
    g = panel(4, 3).gradient(w)
    base, method = matrices.muon(0.1, 0.0, nesterov=False), Lite(matrices.muon(0.1, 0.0, nesterov=False), q, 2.0)
    found = method.step(method.start(w, g), g).parameters
    np.testing.assert_allclose(found, w - 0.1 * polar(g)[0] @ (np.eye(3) + q), rtol=1e-10, atol=1e-13)
    assert not np.allclose(found, base.step(base.start(w, g), g).parameters)


def rotation(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_a_projector_that_does_not_commute_with_the_metric_can_leave_no_stable_rate():
    hessian, inverse = (rotation(turn) @ np.diag([1.0, 0.01]) @ rotation(turn).T for turn in (140, 40))
    metric = np.linalg.inv(inverse)
    metric, hessian = (metric + metric.T) / 2, (hessian + hessian.T) / 2
    base = vectors.gradient_descent(0.1)
    bad, mild = (Lite(base, np.diag([0.0, 1.0]), chi) for chi in (2.0, 1.2))
    assert bad.largest_rate(hessian, metric) == 0.0
    assert bad.spectral_radius(hessian, metric, 1e-4) > 1.0
    with pytest.raises(ValueError, match="no rate is stable on this Hessian"):
        bad.require_stable(hessian, metric)
    limit = mild.largest_rate(hessian, metric)
    assert mild.spectral_radius(hessian, metric, 0.999 * limit) < 1.0 < mild.spectral_radius(hessian, metric,
                                                                                             1.001 * limit)


def test_averaged_betas_are_the_same_method():
    gradient, q = Quadratic(CURVATURES).gradient, np.diag([1.0, 0.0, 0.0])
    plain = Lite(vectors.heavy_ball(0.02, 0.9), q, 2.0, 1.5, 0.5)
    averaged = Lite(vectors.heavy_ball(0.2, 0.9, averaged=True), q, 2.0, averaged_damping(1.5, 0.1),
                    averaged_damping(0.5, 0.1))
    np.testing.assert_allclose(iterates(plain, gradient, START, 40), iterates(averaged, gradient, START, 40),
                               rtol=1e-11, atol=1e-14)


def test_linear_flows_are_matrix_exponentials():
    a, b, time = 0.8, 0.4, 1.3
    h = 0.1
    method = vectors.heavy_ball(h**2, 1 - a * h, b / h)
    found = method.flow(Quadratic(CURVATURES).gradient, "friction").solve(START, [time])[0]
    for c, w, value in zip(CURVATURES, START, found):
        assert value == pytest.approx((expm(time * np.array([[-b * c, -1.0], [c, -a]])) @ [w, 0.0])[0], abs=1e-9)
    averaged = vectors.heavy_ball(h, 1 - a * h, b, averaged=True)
    found = averaged.flow(Quadratic(CURVATURES).gradient, "adaptive").solve(START, [time])[0]
    for c, w, value in zip(CURVATURES, START, found):
        assert value == pytest.approx((expm(time * np.array([[-b * c, -1.0], [a * c, -a]])) @ [w, 0.0])[0], abs=1e-9)
    slow = vectors.heavy_ball(h, 0.5, 0.3).flow(Quadratic(CURVATURES).gradient, "overdamped").solve(START, [time])[0]
    np.testing.assert_allclose(slow, START * np.exp(-2.3 * CURVATURES * time), rtol=1e-9)
    lite = Lite(method, np.diag([1.0, 0.0, 0.0]), 2.0, 0.5 / h, 0.1 / h)
    found = lite.flow(Quadratic(CURVATURES).gradient, "friction").solve(START, [time])[0]
    for i, (gain, more) in enumerate(((2.0, 0.5), (1.0, 0.1), (1.0, 0.1))):
        c = CURVATURES[i]
        system = np.array([[-gain * (b + more) * c, -gain], [c, -a]])
        assert found[i] == pytest.approx((expm(time * system) @ [START[i], 0.0])[0], abs=1e-9)


@pytest.mark.parametrize("scaling", ["adaptive", "friction", "overdamped"])
def test_refining_changes_the_step_and_not_the_flow(scaling):
    base = vectors.adamw(0.05, 0.9, 0.95) if scaling == "adaptive" else vectors.heavy_ball(0.01, 0.9, 2.0)
    method = Lite(base, np.diag([1.0, 0, 0]), 2.0, 0.7)
    gradient = Quadratic(CURVATURES).gradient
    finer = method.refined(8.0, scaling)
    flows = [each.flow(gradient, scaling) for each in (method, finer)]
    assert flows[0].time_step == pytest.approx(8 * flows[1].time_step)
    np.testing.assert_allclose(*(flow.solve(START, [0.3, 0.5]) for flow in flows), rtol=1e-10)


def test_errors_of_another_flow_do_not_vanish():
    gradient = Quadratic(CURVATURES).gradient
    method = vectors.adam(2.0**-4, 1 - 2.0**-4, 1 - 2.0**-3, correction=False)
    own, other = method.flow(gradient, "adaptive"), vectors.adam(2.0**-4, 1 - 2.0**-3, 1 - 2.0**-4,
                                                                 correction=False).flow(gradient, "adaptive")
    h, errors = global_errors(method, "adaptive", own, START, 0.25, 3)
    _, wrong = global_errors(method, "adaptive", other, START, 0.25, 3)
    np.testing.assert_allclose(h, 2.0 ** -np.arange(4.0, 8.0))
    assert errors[-1] < 0.2 * errors[0] and wrong[-1] > 10 * errors[-1]


@pytest.mark.parametrize("friction", [0.5, 2.0])
@pytest.mark.parametrize("damping", [0.0, 0.3, 1.5])
def test_sign_flow_is_where_its_small_steps_go(friction, damping):
    start, curvatures = np.linspace(0.2, 1.5, 12), np.geomspace(0.3, 4.0, 12)
    flow, time = SignFlow(curvatures, friction, damping), 3.0
    for h in (2e-3, 2.5e-4):
        method = Optimizer("sign", h, Momentum(friction * h, damping, averaged=True), vectors.SignOfForce())
        path = iterates(method, flow.gradient, start, round(time / h))
        distance = np.abs(path - flow.solve(start, h * np.arange(len(path))))
        assert distance.max() < 40 * h   # a crossing costs up to 2 h, and without damping there are many
    same = SignFlow(9 * curvatures, friction, damping).solve(start, [0.3, 0.9, 2.9])
    np.testing.assert_allclose(same, flow.solve(start, [0.3, 0.9, 2.9]), rtol=1e-8, atol=1e-10)


def test_what_shrinks_and_chatters():
    np.testing.assert_allclose(shrunk([0.5, 0.2], [0.0, 0.3]), [[0.5, 0.2], [0.2, 0.0]])
    np.testing.assert_allclose(chatter([0.53, 0.2, 0.57], 0.1), [0.07, 0.0, 0.07], atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 6), (2, 3, 4)])
def test_polar_factor_is_highams(shape):
    matrix = wave(shape)
    found = polar_factor(matrix)
    for each, one in zip(found.reshape(-1, *shape[-2:]), matrix.reshape(-1, *shape[-2:])):
        np.testing.assert_allclose(each, polar(one, side="right" if one.shape[0] >= one.shape[1] else "left")[0],
                                   atol=1e-13)
    np.testing.assert_allclose(newton_schulz(matrix, 40, CUBIC), found, atol=1e-12)
    np.testing.assert_allclose(newton_schulz(matrix, 25), found, atol=1e-12)


def test_polar_factor_keeps_the_rank():
    found = polar_factor(np.outer([1.0, 2.0, 2.0], [3.0, 4.0]))
    np.testing.assert_allclose(found, np.outer([1.0, 2.0, 2.0], [3.0, 4.0]) / 15, atol=1e-14)
    assert not polar_factor(np.zeros((2, 3))).any() and not newton_schulz(np.zeros((2, 3)), 5).any()


@pytest.mark.parametrize("coefficients", [CUBIC, QUINTIC, MUON, QUINTIC + MUON])
def test_the_map_of_singular_values_is_what_the_stages_do(coefficients):
    u, s, vt = np.linalg.svd(wave((4, 3)), full_matrices=False)
    for stages in (0, 1, 5):
        mapped = singular_value_map(s / np.linalg.norm(s), stages, coefficients)
        np.testing.assert_allclose(newton_schulz(wave((4, 3)), stages, coefficients), (u * mapped) @ vt, atol=1e-12)
    assert singular_value_map(1e-4, 3, MUON) == pytest.approx(1e-4 * 3.4445**3, rel=1e-4)


def test_forms_of_muon_and_the_shapes_at_which_they_are_singular():
    for shape, singular in (((3, 3), ()), ((4, 2), ("left", "kronecker")), ((2, 4), ("right", "kronecker"))):
        m = wave(shape)
        for form in FORMS:
            metric = PolarFactor(form).metric((), m)
            if form in singular:
                with pytest.raises(ValueError, match="metric is singular: its smallest eigenvalue is 0"):
                    metric.solve(m)
            else:
                np.testing.assert_allclose(metric.solve(m), polar_factor(m), atol=1e-11)


def momentum_of(alpha):
    return lambda: Momentum(alpha)


@pytest.mark.parametrize(("make", "message"), [
    (momentum_of(0.0), r"alpha is 0.0; it must be in \(0, 1\]"),
    (momentum_of(1.5), r"alpha is 1.5; it must be in \(0, 1\]"),
    (momentum_of("x"), "alpha is 'x'; it must be a number"),
    (lambda: Momentum(0.1, correction=True), "correction is True; it must be False"),
    (lambda: vectors.nesterov(0.1, 0.0), "alpha is 1.0; with Nesterov's damping 1/\\(1-alpha\\) it must be < 1"),
    (lambda: vectors.gradient_descent(0.0), r"rate is 0.0; it must be in \(0, inf\)"),
    (lambda: vectors.adam(0.1, 1.0), r"first is 1.0; it must be in \[0, 1\)"),
    (lambda: vectors.adam(0.1, 0.9, 1.0), r"second is 1.0; it must be in \[0, 1\)"),
    (lambda: vectors.adam(0.1, epsilon=-1.0), r"epsilon is -1.0; it must be in \[0, inf\)"),
    (lambda: vectors.adamw(0.1, decay=math.nan), r"decay is nan; it must be in \[0, inf\)"),
    (lambda: vectors.lion(0.1, 0.0), r"first is 0.0; it must be in \(0, 1\]"),
    (lambda: vectors.sophia(0.1, clip=0.0), r"clip is 0.0; it must be in \(0, inf\)"),
    (lambda: matrices.muon(0.1, form="up"), "form is 'up'; it must be one of right, left, symmetric, kronecker"),
    (lambda: matrices.muon(0.1, stages=9), "stages is 9; it must be an integer in 1..8"),
    (lambda: newton_schulz(np.eye(2), -1), "stages is -1; it must be an integer >= 0"),
    (lambda: polar_factor([1.0, 2.0]), r"matrices have shape \(2,\); they must be finite"),
    (lambda: singular_value_map(1.5, 2), r"singular values are 1.5; in units of the Frobenius norm"),
    (lambda: Lite(VECTORS["Adam"], np.eye(3), 0.9), r"chi is 0.9; it must be in \[1, inf\)"),
    (lambda: Lite(VECTORS["Adam"], np.eye(3), 2.0, 0.1, 0.2), r"beta_flat is 0.1; it must be in \[0.2, inf\)"),
    (lambda: Lite(VECTORS["Adam"], 0.5 * np.eye(3)), "projector deviates from its square by 0.25"),
    (lambda: Lite(VECTORS["Adam"], [[1.0, 1.0], [0.0, 0.0]]), "projector deviates from its transpose by 1"),
    (lambda: averaged_damping(1.0, 0.0), r"alpha is 0.0; it must be in \(0, 1\]"),
    (lambda: SignFlow([1.0], 0.0), r"friction is 0.0; it must be in \(0, inf\)"),
])
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as found:
        make()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: vectors.heavy_ball(0.5, 0.9).require_stable(np.diag([1.0, 10.0])),
     "rate is 0.5; it must be < 0.38, the stability limit on this Hessian"),
    (lambda: vectors.adam(40.0, 0.9).require_stable(np.eye(2)), "rate is 40; it must be < 38, the stability limit"),
    (lambda: vectors.gradient_descent(3.0).require_stable(np.eye(2), 0.5 * np.eye(2)), "it must be < 1, the stab"),
    (lambda: vectors.gradient_descent(1.0).require_stable(np.eye(2), np.diag([1.0, 0.0])),
     "metric has smallest eigenvalue 0; it must be > 0"),
    (lambda: vectors.gradient_descent(1.0).largest_rate(np.diag([1.0, -1.0])), "hessian has smallest eigenvalue -1"),
    (lambda: vectors.gradient_descent(1.0).largest_rate(np.ones(3)), r"hessian has shape \(3,\); it must be a fin"),
    (lambda: DiagonalMetric(np.array([1.0, 0.0])).solve(np.ones(2)), "metric is singular: its smallest eigenv"),
    (lambda: DenseMetric(np.diag([1.0, -1.0])).solve(np.ones(2)), "metric is singular: its smallest eigenvalue is -1"),
    (lambda: vectors.rmsprop(0.1, epsilon=0.0).step(vectors.rmsprop(0.1).start([1.0, 1.0], [1.0, 0.0]), np.zeros(2)),
     "metric is singular"),
    (lambda: vectors.sophia(0.1).start(START, START), r"curvature has shape \(\); it must be the diagonal"),
    (lambda: vectors.natural_gradient(0.1).start(START, START, np.ones(3)), r"curvature has shape \(3,\); it must"),
    (lambda: vectors.gradient_descent(0.1).start(START, START[:2]), "parameters and gradient have shapes"),
    (lambda: vectors.heavy_ball(0.1).refined(2, "adaptive"), "it must be friction or overdamped for heavy ball"),
    (lambda: vectors.adam(0.1).flow(diagonal, "friction"), "it must be adaptive or overdamped for Adam"),
    (lambda: vectors.adam(0.1).flow(diagonal, "slow"), "scaling is 'slow'; it must be one of friction, adaptive"),
    (lambda: vectors.adam(0.1).refined(0.0, "adaptive"), r"factor is 0.0; it must be in \(0, inf\)"),
    (lambda: vectors.adam(0.1, 0.5).refined(0.4, "adaptive"), r"alpha is 1.25; it must be in \(0, 1\]"),
    (lambda: vectors.adam(0.1).flow(diagonal, "adaptive").solve(START, [1.0, 0.5]), "times do not increase"),
    (lambda: Lite(VECTORS["Adam"], lambda w: np.eye(3)).largest_rate(np.eye(3)), "projector is a function; it must be"),
])
def test_what_cannot_be_run_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as found:
        call()
    assert "\n" not in str(found.value)


def test_divergence_says_where_and_a_kink_that_never_ends_is_given_up(monkeypatch):
    with pytest.raises(ArithmeticError, match="gradient descent diverges at step"), np.errstate(over="ignore"):
        iterates(vectors.gradient_descent(30.0), Quadratic(CURVATURES).gradient, START, 400)
    monkeypatch.setattr("theorycheck.theory.riemannian.flows.EVALUATIONS", 3000)
    flow = vectors.sign_descent(0.1).flow(Quadratic(CURVATURES).gradient, "adaptive")
    assert isinstance(flow, Flow)
    with pytest.raises(ArithmeticError, match="the flow of sign descent takes more than 3000 evaluations"):
        flow.solve(START, [2.0])


@pytest.mark.parametrize("name", ["metric_table", "lite_rewrite", "muon_metric_not_unique", "damping_unbounded",
                                  "finite_time_flows", "damped_sign_slides", "sign_descent_slides"])
def test_claims_hold(name):
    assert judge(checks.load("riemannian")[f"riemannian.{name}"], Effort()).verdict is Verdict.HOLDS


def test_the_table_of_orders_has_a_row_to_each_optimizer_and_each_can_fail(monkeypatch):
    from theorycheck.checks.riemannian import orders
    few = {name: orders.CASES[name] for name in ("gradient descent", "Adam", "Muon, damped")}
    monkeypatch.setattr(orders, "CASES", few)
    evidence = orders.orders_of_accuracy(Effort())
    assert evidence.accepted and [row[0] for row in evidence.table[1:]] == list(few)
    assert {row[-1] for row in evidence.table[1:]} <= {f"{1 + 0.001 * k:.3f}" for k in range(-9, 10)}
    for name, case in few.items():
        monkeypatch.setattr(orders, "CASES", {**few, name: replace(case, margin=1e-9)})
        assert orders.orders_of_accuracy(Effort()).accepted is not True


@given(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3))
@settings(deadline=None, max_examples=30)
def test_sign_descent_slides_downhill_to_the_minimum_in_finite_time(start):
    hessian = np.array([[2.0, 0.5, -0.4], [0.5, 1.5, 0.6], [-0.4, 0.6, 1.2]])
    times = np.linspace(0.0, 12.0, 121)
    path = sign_slide(hessian, start, times)
    gradients = path @ hessian
    np.testing.assert_allclose(path[0], start, atol=1e-12)
    np.testing.assert_allclose(path[-1], 0.0, atol=1e-12)
    assert (np.diff(np.einsum("ti,ti->t", path, gradients)) <= 1e-12).all()
    assert np.abs(np.diff(path, axis=0)).max() <= 0.1 + 1e-12   # no coordinate is faster than 1
    rests = np.abs(gradients) < 1e-10
    assert (rests[1:] | ~rests[:-1]).all()   # once at 0, a gradient stays there
    np.testing.assert_allclose(sign_slide(np.diag([1.0, 2.0, 3.0]), start, times), np.sign(start)
                               * shrunk(np.abs(start), times), atol=1e-12)


def test_a_hessian_that_is_not_diagonally_dominant_is_refused():
    with pytest.raises(ValueError, match="hessian has a row whose diagonal exceeds the rest by -1; it must be > 0"):
        sign_slide([[1.0, 2.0], [2.0, 9.0]], [1.0, 1.0], [1.0])
    with pytest.raises(ValueError, match=r"hessian has shape \(2, 2\); it must be a symmetric matrix"):
        sign_slide([[1.0, 0.2], [0.1, 9.0]], [1.0, 1.0], [1.0])


@pytest.mark.parametrize("kind", ["heavy ball", "Nesterov", "averaged", "averaged Nesterov"])
def test_modified_equation_is_the_logarithm_of_a_linear_step(kind):
    # the step is y -> M y with y = (w, h m or m), so the exact equation is y' = log(M) y / h, to all orders
    a, b, c, distance = 0.8, 0.4, 1.7, []
    landscape = Quadratic([c])
    for h in (2e-2, 1e-2):
        make = vectors.nesterov if "Nesterov" in kind else vectors.heavy_ball
        averaged = "averaged" in kind
        method = make(h if averaged else h**2, 1 - a * h, b if averaged else b / h, averaged)
        flow = modified(method.flow(landscape.gradient, "adaptive" if averaged else "friction"))
        scale, columns, model = 1.0 if averaged else h, [], []
        for y in np.eye(2):
            state = method.start([y[0]], [0.0])._replace(momentum=np.array([y[1]]) / scale)
            state = method.step(state, c * y[:1])
            columns.append([state.parameters[0], scale * state.momentum[0]])
            model.append(np.concatenate(flow.derivative(0.0, (y[:1], y[1:]))))
        distance.append(np.abs(logm(np.array(columns).T) / h - np.array(model).T).max())
    assert distance[1] < 5e-4 and distance[0] / distance[1] == pytest.approx(4.0, rel=0.1)   # what is left is O(h^2)


def test_what_has_no_modified_equation_is_refused():
    gradient = panel(3, 3).gradient
    with pytest.raises(ValueError, match="Adam has bias correction; it must be without"):
        modified(vectors.adam(0.1).flow(gradient, "adaptive"))
    with pytest.raises(ValueError, match="SOAP updates V in a new basis; it must update"):
        modified(matrices.soap(0.1).flow(gradient, "adaptive"))


@pytest.mark.parametrize("call, words", [
    (lambda: Lite(vectors.heavy_ball(0.1), np.diag([0.0, 1.0])).largest_rate(np.eye(2), np.diag([1.0, 0.0])),
     "metric has smallest eigenvalue 0; it must be > 0"),
    (lambda: Lite(vectors.heavy_ball(0.1), np.diag([0.0, 1.0])).largest_rate(np.diag([1.0, -1.0])),
     "hessian has smallest"),
    (lambda: Lite(3, np.eye(2)), "base is 3; it must be an Optimizer"),
    (lambda: Optimizer("x", 0.1, momentum=3), "momentum is 3; it must be a Momentum"),
    (lambda: Optimizer("x", 0.1, rule=3), "rule is 3; it must be a metric rule"),
    (lambda: Lite(vectors.heavy_ball(0.1), lambda w: 5 * np.eye(2)).flat(np.ones(2), np.ones(2)),
     "from its square by 20"),
    (lambda: Lite(vectors.heavy_ball(0.1), np.eye(3)).flat(np.ones(2), np.ones(2)), "must act on vectors of length 2"),
    (lambda: vectors.sign_descent(0.1).largest_rate(np.eye(2)), "steps of one size"),
    (lambda: vectors.natural_gradient(0.1).start(np.ones(2), np.ones(2), [[1.0, 0.5], [0.0, 1.0]]),
     "from its transpose by 0.5"),
])
def test_what_cannot_be_stepped_or_bounded_is_refused(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_metric_is_singular_by_itself_not_by_its_neighbours():
    metric = DiagonalMetric(np.array([[1.0, 2.0], [1e-15, 2e-15]]))
    np.testing.assert_allclose(metric.solve(np.ones((2, 2))), [[1.0, 0.5], [1e15, 5e14]])


def test_shampoo_names_the_epsilon_that_would_do():
    g = 100 * np.arange(1.0, 21.0).reshape(5, 4) ** 1.5
    method = matrices.shampoo(0.1)
    state = method.start(np.zeros((5, 4)), g)
    with pytest.raises(ValueError, match=r"epsilon is 1e-12, it must be > (\S+)$") as caught:
        method.step(state, g)
    least = float(str(caught.value).split()[-1])
    better = matrices.shampoo(0.1, epsilon=1.1 * least)
    assert np.isfinite(better.step(better.start(np.zeros((5, 4)), g), g).parameters).all()
