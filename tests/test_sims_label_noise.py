"""Label-noise SGD: the two methods against each other and against plain NumPy, bit by bit, stable or refused."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.sims import engine, streams
from theorycheck.sims import label_noise as sgd
from theorycheck.theory import label_noise as theory

SMALL = theory.TwoLayerLinear(dimension=3, width=7, step=0.02, noise=0.5, target_norm=0.8, samples=6)
TIMES = [0, 1, 4, 9, 30]


def drawn(model, steps, seed, replica):
    """Training set, start, order and signs of one replica, as the documentation promises them."""
    key, d = streams.key(seed, "label_noise.sgd"), model.dimension
    neurons = streams.normals(key, replica, np.arange(model.width), d + 1, purpose=2).astype(np.float64)
    first = neurons[:, :d] * (model.first_scale / math.sqrt(d))
    second = neurons[:, d] * (model.second_scale / math.sqrt(model.width))
    words = streams.words(key, replica, np.arange(steps), 2)
    signs = np.where(words[:, 1] >= 2**31, -1.0, 1.0)
    if model.samples == math.inf:
        data = streams.normals(key, replica, np.arange(steps), d, purpose=1).astype(np.float64)
        return None, data, first, second, signs
    data = streams.normals(key, replica, np.arange(model.samples), d, purpose=1).astype(np.float64)
    order = (words[:, 0].astype(np.uint64) * np.uint64(model.samples)) >> np.uint64(32)
    return data, data[order.astype(int)], first, second, signs


def observed(model, data, first, second, start):
    """All observables of a network, written the plain way."""
    sigma = np.eye(model.dimension) if data is None else data.T @ data / len(data)
    delta = first.T @ second - model.target
    norms, moved = np.linalg.norm(first, axis=1), np.linalg.norm(first - start[0], axis=1)
    sharpness = np.sum(second**2) * np.trace(sigma) + np.trace(first @ sigma @ first.T)
    kernels = [w.T @ w + np.sum(a**2) * np.eye(model.dimension) for w, a in (start, (first, second))]
    return [model.loss_factor * delta @ sigma @ delta, delta @ delta, second @ second, np.sum(first**2),
            first[:, 0] @ second, np.sum(first[:, 0] ** 2), 2 * model.loss_factor * sharpness, norms.mean(),
            np.mean(np.abs(first[:, 0]) / norms), np.mean(np.abs(first[:, 0])), moved.min(), moved.max(),
            np.linalg.norm(kernels[1] - kernels[0]) / np.linalg.norm(kernels[0])]


def reference(model, levels, times, seed, replica):
    """SGD on W and a in plain NumPy, (T, 13)."""
    data, seen, first, second, signs = drawn(model, len(levels), seed, replica)
    start, rows = (first.copy(), second.copy()), []
    for k in range(len(levels) + 1):
        if k in times:
            rows.append(observed(model, data, first, second, start))
        if k < len(levels):
            x = seen[k]
            hidden = first @ x
            gap = second @ hidden - model.target @ x - model.noise * levels[k] * signs[k]
            gradient = 2 * model.loss_factor * gap
            first, second = (first - model.step * gradient * np.outer(second, x),
                             second - model.step * gradient * hidden)
    return np.array(rows)


# -- one replica is what the model says --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reduced", "direct"])
@pytest.mark.parametrize("model", [
    SMALL,
    theory.TwoLayerLinear(1, 1, 0.05, 0.3, 1.5),
    theory.TwoLayerLinear(4, 2, 0.01, 2.0, 0.0, samples=1, first_scale=0.2, second_scale=1.7),
    theory.TwoLayerLinear(5, 40, 0.01, 0.7, 1.0, loss_factor=1.0, second_scale=0.0),
    theory.TwoLayerLinear(9, 3, 0.02, 0.0, 3.0, samples=4),
], ids=["small", "scalar", "one sample", "no half", "clean, few samples"])
def test_paths_equal_a_plain_implementation(model, method):
    levels = sgd.periodic(30, 4, 3, first=1.5)
    experiment = sgd.Descent(model, 30, TIMES, levels, method=method, neurons=True)
    got = experiment.sample(3, 5, 2)
    expected = np.array([reference(model, levels, TIMES, 3, replica) for replica in (5, 6)])
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-14)


def test_given_inputs_and_start_are_used():
    data, _, first, second, _ = drawn(SMALL, 1, 8, 2)
    free = sgd.Descent(SMALL, 30, TIMES, neurons=True).sample(8, 2, 1)
    for method in ("reduced", "direct"):
        bound = sgd.Descent(SMALL, 30, TIMES, inputs=data, start=(first, second), method=method, neurons=True)
        np.testing.assert_allclose(bound.sample(8, 2, 1), free, rtol=1e-11, atol=1e-14)


def test_both_methods_agree_at_the_papers_size():
    model = theory.TwoLayerLinear(20, 1000, 1e-3, 4.0, 1.0, samples=200)
    one, two = (sgd.Descent(model, 400, [0, 100, 400], method=method, neurons=True).sample(0, 0, 2)
                for method in ("reduced", "direct"))
    # relative to the size of a neuron for the displacements, which start from 0
    np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-13)


def test_a_recursion_without_its_second_order_term_is_told_apart():
    _, seen, first, second, signs = drawn(SMALL, 30, 3, 5)
    state = theory.gram(first, second)
    for x, sign in zip(seen, signs, strict=True):
        b = -SMALL.effective_step * (state[:-1, -1] @ x - SMALL.target @ x - SMALL.noise * sign)
        state = state + b * (theory.generator(x) @ state + state @ theory.generator(x))
    got = sgd.Descent(SMALL, 30, [30]).sample(3, 5, 1)[0, 0]
    assert abs(np.trace(state[:-1, :-1]) / got[3] - 1) > 1e-4


def test_reference_recursion_of_the_theory_gives_the_same_state():
    data, seen, first, second, signs = drawn(SMALL, 30, 3, 5)
    labels = seen @ SMALL.target + SMALL.noise * signs
    states, maps = theory.label_noise_path(theory.gram(first, second), seen, labels, SMALL.effective_step, TIMES)
    got = sgd.Descent(SMALL, 30, TIMES).sample(3, 5, 1)[0]
    np.testing.assert_allclose(got[:, 2], states[:, -1, -1], rtol=1e-12)
    np.testing.assert_allclose(got[:, 3], np.trace(states[:, :-1, :-1], axis1=1, axis2=2), rtol=1e-12)
    sigma = data.T @ data / len(data)
    np.testing.assert_allclose(got[:, 6], [theory.trace_hessian(state, sigma) for state in states], rtol=1e-12)
    neurons = np.column_stack([first, second])
    np.testing.assert_allclose(maps[-1] @ (neurons.T @ neurons) @ maps[-1].T, states[-1], rtol=1e-12)


# -- identities of the model -------------------------------------------------------------------------------------


def test_scale_symmetry_is_exact():
    """(eta, sigma, theta*, K) -> (eta/4, 4 sigma, 4 theta*, 4 K) scales the state by 4, to the bit."""
    big = theory.TwoLayerLinear(3, 7, 0.005, 2.0, 3.2, samples=6, first_scale=2.0, second_scale=2.0)
    one, four = (sgd.Descent(model, 200).sample(1, 0, 3) for model in (SMALL, big))
    for entry, power in ((0, 16), (1, 16), (2, 4), (3, 4), (4, 4), (5, 4), (6, 4)):
        assert (power * one[..., entry]).tobytes() == np.ascontiguousarray(four[..., entry]).tobytes()
    noisier = theory.TwoLayerLinear(3, 7, 0.02, 2.0, 3.2, samples=6, first_scale=2.0, second_scale=2.0)
    assert not np.allclose(4 * one[:, -1, 2], sgd.Descent(noisier, 200).sample(1, 0, 3)[:, -1, 2], rtol=1e-2)


def test_only_the_effective_step_matters():
    twice = theory.TwoLayerLinear(3, 7, 0.01, 0.5, 0.8, samples=6, loss_factor=1.0)
    one, two = (sgd.Descent(model, 100).sample(1, 0, 3) for model in (SMALL, twice))
    assert one[..., 1:6].tobytes() == two[..., 1:6].tobytes()
    np.testing.assert_allclose(2 * one[..., [0, 6]], two[..., [0, 6]], rtol=1e-14)


@pytest.mark.parametrize("step", [0.01, 0.02])
def test_the_balance_of_the_layers_moves_by_the_exact_amount(step):
    """(||W||^2 - alpha)' - (||W||^2 - alpha) = b^2 (||x||^2 alpha - x'G x)."""
    model = theory.TwoLayerLinear(4, 9, step, 0.5, 1.0)
    _, seen, first, second, signs = drawn(model, 50, 2, 0)
    labels = seen @ model.target + model.noise * signs
    states, _ = theory.label_noise_path(theory.gram(first, second), seen, labels, step, range(51))
    gaps = step * (np.einsum("kd,kd->k", states[:-1, :-1, -1], seen) - labels)
    moved = gaps**2 * (np.sum(seen**2, 1) * states[:-1, -1, -1] - np.einsum("ki,kij,kj->k", seen, states[:-1, :-1, :-1],
                                                                             seen))
    got = sgd.Descent(model, 50, range(51)).sample(2, 0, 1)[0]
    np.testing.assert_allclose(np.diff(got[:, 3] - got[:, 2]), moved, atol=1e-13)


def test_norms_fall_only_while_the_noise_is_on():
    model = theory.TwoLayerLinear(5, 50, 4e-3, 1.0, 1.0)
    measured = sgd.simulate(model, 20_000, replicas=16, seed=0, times=[2_000, 10_000, 20_000],
                            noise=sgd.periodic(20_000, 10_000, 10_000))
    fall = -np.diff(np.log(measured.mean[:, 3]))
    drift = model.drift * 8_000
    assert 0.8 * drift < fall[0] < 2.0 * drift       # rate v, raised by the noise of sampling
    assert abs(fall[1]) < 0.02 * fall[0]
    np.testing.assert_allclose(measured.coordinates["slow_time"], model.drift * np.array([2e3, 1e4, 1e4]))


def test_gradient_noise_at_rest_is_that_of_least_mean_squares():
    """E ||delta||^2 for a kernel that hardly moves: tr of the stationary covariance, q_j (sigma^2 + tr S)/..."""
    model = theory.TwoLayerLinear(5, 20_000, 5e-5, 0.05, 1.0)
    scale = model.effective_step * model.kernel_scale
    quotient = 5 * scale / (2 - 2 * scale)           # tr S = sigma^2 Q/(1 - Q), Q = sum_j h D_j/(2 - 2 h D_j)
    expected = model.noise**2 * quotient / (1 - quotient)
    measured = sgd.simulate(model, 400, replicas=16, seed=0, times=range(200, 401, 10))
    per_replica = np.mean(sgd.Descent(model, 400, range(200, 401, 10)).sample(0, 0, 16)[:, :, 1], axis=1)
    error = per_replica.std(ddof=1) / 4
    assert abs(measured.mean[:, 1].mean() - expected) < 5 * error < 0.5 * expected


# -- the same bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reduced", "direct"])
@pytest.mark.parametrize("samples", [6, math.inf])
def test_a_replica_does_not_depend_on_its_lane_or_chunk(method, samples):
    model = theory.TwoLayerLinear(5, 7, 0.02, 0.5, 0.8, samples=samples)
    experiment = sgd.Descent(model, 40, method=method, neurons=True)
    whole = experiment.sample(9, 0, 40)
    for first, count in ((0, 1), (1, 1), (13, 20), (31, 2), (39, 1)):
        assert experiment.sample(9, first, count).tobytes() == whole[first:first + count].tobytes()


@pytest.mark.parametrize("method", ["reduced", "direct"])
def test_recording_and_watching_neurons_do_not_disturb_the_path(method):
    every = sgd.Descent(SMALL, 40, range(41), method=method, neurons=True).sample(1, 0, 3)
    few = sgd.Descent(SMALL, 40, [5, 23], method=method).sample(1, 0, 3)
    assert few.tobytes() == np.ascontiguousarray(every[:, [5, 23], :7]).tobytes()


def test_same_estimate_for_any_chunk_and_jobs(tmp_path):
    runs = [sgd.simulate(SMALL, 30, replicas=50, seed=8, **options)
            for options in ({}, {"chunk": 1}, {"chunk": 37}, {"jobs": 2}, {"store": tmp_path}, {"store": tmp_path})]
    assert all(run == runs[0] for run in runs)
    assert runs[0].mean.shape == (31, 7) and list(runs[0].coordinates["observable"])[:2] == ["loss", "error"]


def test_parameters_identify_the_experiment():
    one = sgd.Descent(SMALL, 30)
    again = pickle.loads(pickle.dumps(one))
    assert again.sample(0, 0, 3).tobytes() == one.sample(0, 0, 3).tobytes()
    others = [sgd.Descent(SMALL, 30, method="direct"), sgd.Descent(SMALL, 30, noise=np.zeros(30)),
              sgd.Descent(SMALL, 30, neurons=True), sgd.Descent(SMALL, 30, inputs=np.ones((6, 3)))]
    texts = {repr(sorted(each.parameters().items())) for each in [one, *others]}
    assert len(texts) == 5 and one.parameters().keys() == others[0].parameters().keys()
    assert sgd.Descent(SMALL, 30, catapult=True).name != one.name


# -- stability ---------------------------------------------------------------------------------------------------


def second_moment_radius(kernel, step, inputs=None):
    """Spectral radius of delta delta' -> E[(I - h M x x') delta delta' (I - h x x' M)], entry by entry."""
    d = len(kernel)
    unit = np.eye(d)
    if inputs is None:
        fourth = sum(np.einsum(pattern, unit, unit) for pattern in ("ij,kl->ijkl", "ik,jl->ijkl", "il,jk->ijkl"))
        second = unit
    else:
        fourth = np.einsum("ni,nj,nk,nl->ijkl", inputs, inputs, inputs, inputs) / len(inputs)
        second = inputs.T @ inputs / len(inputs)
    fourth = fourth.transpose(0, 3, 1, 2).reshape(d * d, d * d)   # (x x' S x x')_il = x_i x_l x_j x_k S_jk
    drift = np.kron(kernel @ second, unit) + np.kron(unit, kernel @ second)
    return np.abs(np.linalg.eigvals(np.eye(d * d) - step * drift + step**2 * np.kron(kernel, kernel) @ fourth)).max()


def random_kernel(rng, d):
    first = rng.normal(size=(d, d))
    return first.T @ first + 0.3 * np.eye(d)


@pytest.mark.parametrize("law", ["gaussian", "data"])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_critical_step_is_where_the_radius_crosses_one(law, d):
    rng = np.random.default_rng(d)
    kernel = random_kernel(rng, d)
    inputs = None if law == "gaussian" else rng.normal(size=(9, d))
    bound = theory.critical_step(kernel, inputs)
    assert second_moment_radius(kernel, 0.999 * bound, inputs) < 1 < second_moment_radius(kernel, 1.001 * bound, inputs)
    assert abs(second_moment_radius(kernel, bound, inputs) - 1) < 1e-10


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_critical_step_scales_with_the_kernel_and_knows_its_special_cases(d, seed):
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng, d)
    inputs = rng.normal(size=(rng.integers(1, 12), d))
    for data in (None, inputs):
        assert theory.critical_step(4 * kernel, data) == pytest.approx(theory.critical_step(kernel, data) / 4)
    assert theory.critical_step(np.eye(d)) == pytest.approx(2 / (d + 2))
    sharpest = inputs[:1]
    assert theory.critical_step(kernel, sharpest) == pytest.approx(2 / (sharpest @ kernel @ sharpest.T).item())


def test_large_problems_use_an_iteration_that_agrees(monkeypatch):
    rng = np.random.default_rng(5)
    kernel = random_kernel(rng, 7)
    for count in (3, 40):
        inputs = rng.normal(size=(count, 7))
        plain = theory.critical_step(kernel, inputs)
        with monkeypatch.context() as patch:
            patch.setattr(theory.network, "MAX_ENTRIES", 0)
            assert theory.critical_step(kernel, inputs) == pytest.approx(plain, rel=1e-8)


def test_the_flattest_interpolator_has_the_smallest_trace():
    rng = np.random.default_rng(2)
    sigma, target = random_kernel(rng, 4), rng.normal(size=4)
    alpha = math.sqrt(target @ sigma @ target / np.trace(sigma))
    first, second = np.outer([0.6, 0.8], target) / math.sqrt(alpha), math.sqrt(alpha) * np.array([0.6, 0.8])
    np.testing.assert_allclose(first.T @ second, target)
    kernel = theory.flattest_kernel(target, sigma)
    np.testing.assert_allclose(kernel, theory.kernel(theory.gram(first, second)))
    least = theory.trace_hessian(theory.gram(first, second), sigma)
    assert least == pytest.approx(2 * math.sqrt(np.trace(sigma) * (target @ sigma @ target)))
    for _ in range(20):
        second = rng.normal(size=6)
        first = rng.normal(size=(6, 4))
        first += np.outer(second, target - first.T @ second) / (second @ second)
        assert theory.trace_hessian(theory.gram(first, second), sigma) > least


def test_unstable_steps_are_refused_with_the_bound_unless_named_a_catapult():
    unstable = theory.TwoLayerLinear(20, 1000, 2e-3, 4.0, 1.0, samples=200)
    bound = 2 / (unstable.kernel_scale * 22)
    with pytest.raises(ValueError, match=rf"step is 0.002; .* at the start needs it in \(0, {bound:.6g}\)"):
        sgd.Descent(unstable, 10)
    assert sgd.Descent(unstable, 10, catapult=True).name == "label_noise.catapult/1"
    no_half = theory.TwoLayerLinear(20, 1000, 1e-3, 4.0, 1.0, samples=200, loss_factor=1.0)
    with pytest.raises(ValueError, match="at the start"):
        sgd.Descent(no_half, 10)
    with pytest.raises(ValueError, match="at the flattest interpolator"):
        sgd.Descent(theory.TwoLayerLinear(2, 1, 0.1, 0.0, 100.0), 10)
    data = np.full((6, 3), 10.0)
    with pytest.raises(ValueError, match="at the start"):
        sgd.Descent(SMALL, 10, inputs=data)
    with pytest.raises(ValueError, match="at the start"):
        sgd.Descent(SMALL, 10, start=(np.full((7, 3), 5.0), np.zeros(7)))


@pytest.mark.parametrize("method", ["reduced", "direct"])
def test_divergence_names_the_replica_and_the_step(method):
    model = theory.TwoLayerLinear(4, 10, 2.0, 1.0, 1.0)
    experiment = sgd.Descent(model, 200, [200], method=method, catapult=True)
    with pytest.raises(engine.Diverged) as caught:
        experiment.sample(0, 3, 20)
    assert caught.value.replica == 3 and 1 < caught.value.step < 200
    before = sgd.Descent(model, 200, [caught.value.step - 1], method=method, catapult=True).sample(0, 3, 1)
    assert np.isfinite(before).all()


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change, message", [
    ({"dimension": 0}, "dimension is 0"), ({"dimension": 2.5}, "dimension is 2.5"), ({"width": -1}, "width is -1"),
    ({"samples": 0}, "samples is 0.* or inf"), ({"samples": 1.5}, "samples is 1.5"), ({"step": 0.0}, "step is 0"),
    ({"step": math.inf}, "step is inf"), ({"noise": -1.0}, "noise is -1"),
    ({"target_norm": math.nan}, "target_norm is nan"),
    ({"loss_factor": 0}, "loss_factor is 0"), ({"first_scale": -0.1}, "first_scale is -0.1"),
    ({"step": 1e-320, "loss_factor": 1e-10}, "2 loss_factor step is 0"), ({"noise": "4"}, "noise is '4'"),
])
def test_bad_models_are_refused(change, message):
    good = {"dimension": 3, "width": 7, "step": 0.02, "noise": 0.5, "target_norm": 0.8}
    with pytest.raises(ValueError, match=message):
        theory.TwoLayerLinear(**{**good, **change})


@pytest.mark.filterwarnings("error")
def test_the_largest_parameters_do_not_overflow():
    large = theory.TwoLayerLinear(3, 10**7, 1e100, 1e100, 1e100, first_scale=1e100, second_scale=1e100)
    with pytest.raises(ValueError, match="at the start needs it in"):
        sgd.Descent(large, 10)
    with pytest.raises(ValueError, match="at the flattest interpolator needs it in"):
        sgd.Descent(theory.TwoLayerLinear(3, 7, 0.01, 1e100, 1e100), 10)


@pytest.mark.parametrize("options, message", [
    ({"steps": 0}, "steps is 0"), ({"times": [3, 2]}, "times are"), ({"times": [11]}, "times are"),
    ({"times": []}, "times are"), ({"noise": np.ones(9)}, r"noise has shape \(9,\); it must be \(10,\)"),
    ({"noise": -np.ones(10)}, "noise of step 0 is -1"), ({"noise": np.full(10, np.nan)}, "noise levels hold nan"),
    ({"inputs": np.ones((5, 3))}, r"inputs have shape \(5, 3\); they must be \(6, 3\)"),
    ({"inputs": "x"}, "inputs are 'x'"), ({"start": np.ones((7, 3))}, "start is a ndarray"),
    ({"start": (np.ones((7, 3)), np.ones(6))}, "start has shapes"), ({"method": "fast"}, "method is 'fast'"),
    ({"model": 3}, "model is 3"), ({"catapult": "no"}, "catapult is 'no'; it must be True or False"),
    ({"start": (np.full((7, 3), 1e200), np.ones(7))}, "entries of W hold 1e"),
    ({"model": theory.TwoLayerLinear(3, 10**7, 1e-9, 0.0, 1.0), "method": "direct"}, "width 10000000"),
    ({"model": theory.TwoLayerLinear(300, 3, 1e-9, 0.0, 1.0, samples=10**6)}, "samples 1000000"),
])
def test_bad_runs_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sgd.Descent(**{"model": SMALL, "steps": 10, **options})


def test_bad_arguments_of_the_theory_are_refused():
    with pytest.raises(ValueError, match="kernel has shape"):
        theory.critical_step(np.ones(3))
    with pytest.raises(ValueError, match="eigenvalue -1"):
        theory.critical_step(-np.eye(2))
    with pytest.raises(ValueError, match="not finite"):
        theory.critical_step(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match=r"inputs have shape \(3, 1\)"):
        theory.critical_step(np.eye(2), np.ones((3, 1)))
    with pytest.raises(ValueError, match="must have shapes"):
        theory.gram(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ValueError, match="must have shapes"):
        theory.label_noise_path(np.eye(3), np.ones((4, 3)), np.ones(4), 0.1)
    with pytest.raises(ValueError, match="first is -1"):
        sgd.periodic(10, 1, 1, first=-1)
    with pytest.raises(ValueError, match="on is 0"):
        sgd.periodic(10, 0, 1)
    assert theory.critical_step(np.zeros((2, 2))) == math.inf


# -- the other algorithms of the recursion -----------------------------------------------------------------------


def test_descent_and_sharpness_aware_transitions_move_every_neuron_alike():
    rng = np.random.default_rng(1)
    first, second, x = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=3)
    target, sigma, step, radius = rng.normal(size=3), random_kernel(rng, 3), 0.03, 0.2
    state, neurons = theory.gram(first, second), np.column_stack([first, second])
    gap = sigma @ (first.T @ second - target)
    moved = neurons @ theory.descent_transition(state, sigma, target, step).T
    np.testing.assert_allclose(moved, np.column_stack([first - step * np.outer(second, gap),
                                                       second - step * first @ gap]), rtol=1e-12)

    def gradient(first, second):
        residual = second @ first @ x - target @ x
        return residual * np.outer(second, x), residual * first @ x

    up, across = gradient(first, second)
    norm = math.sqrt(np.sum(up**2) + np.sum(across**2))
    up, across = gradient(first + radius * up / norm, second + radius * across / norm)
    moved = neurons @ theory.sharpness_aware_transition(state, x, target @ x, step, radius).T
    np.testing.assert_allclose(moved, np.column_stack([first - step * up, second - step * across]), rtol=1e-12)
    calm = theory.sharpness_aware_transition(state, x, state[:-1, -1] @ x, step, radius)
    np.testing.assert_array_equal(calm, np.eye(4))
