"""SAM, batches, gradient descent and the oscillating layer against plain NumPy, step by step, stable or refused."""

import math
import pickle

import numpy as np
import pytest

from theorycheck.checks import experiment as sweeps
from theorycheck.sims import engine, streams
from theorycheck.sims import label_noise as sgd
from theorycheck.theory import label_noise as theory
from theorycheck.theory.label_noise.batch_stability import critical_batch_step
from theorycheck.theory.label_noise.collapse import collapse_radius

CLEAN = theory.TwoLayerLinear(dimension=3, width=7, step=0.02, noise=0.0, target_norm=0.8, samples=6)
NOISY = theory.TwoLayerLinear(dimension=3, width=7, step=0.02, noise=0.5, target_norm=0.8, samples=6)
FRESH = theory.TwoLayerLinear(dimension=5, width=6, step=0.02, noise=0.5, target_norm=0.8, loss_factor=1.0)
TIMES = [0, 1, 4, 9, 30]


def parts(model, seed, replica):
    """Training set (None where inputs are fresh), W and a of a replica, as the documentation promises them."""
    key, d = streams.key(seed, "label_noise.sgd"), model.dimension
    z = streams.normals(key, replica, np.arange(model.width), d + 1, purpose=2).astype(np.float64)
    data = None
    if model.samples < math.inf:
        data = streams.normals(key, replica, np.arange(model.samples), d, purpose=1).astype(np.float64)
    return key, data, z[:, :d] * (model.first_scale / math.sqrt(d)), z[:, d] * (model.second_scale
                                                                               / math.sqrt(model.width))


def batch(model, key, replica, data, k, size):
    """Inputs (B, d) and signs (B,) of a batch."""
    words = streams.words(key, replica, k, 4 * size).reshape(size, 4)
    signs = np.where(words[:, 1] >= 2**31, -1.0, 1.0)
    if data is None:
        blocks = 4 * (-(-model.dimension // 4))
        drawn = streams.normals(key, replica, k, blocks * size, purpose=1).astype(np.float64)
        return drawn.reshape(size, blocks)[:, :model.dimension], signs
    return data[((words[:, 0].astype(np.uint64) * np.uint64(model.samples)) >> np.uint64(32)).astype(int)], signs


def observed(model, data, first, second, start):
    """All observables of a network, written the plain way."""
    sigma = np.eye(model.dimension) if data is None else data.T @ data / len(data)
    delta = first.T @ second - model.target
    norms, moved = np.linalg.norm(first, axis=1), np.linalg.norm(first - start[0], axis=1)
    kernels = [w.T @ w + np.sum(a**2) * np.eye(model.dimension) for w, a in (start, (first, second))]
    return [model.loss_factor * delta @ sigma @ delta, delta @ delta, second @ second, np.sum(first**2),
            first[:, 0] @ second, np.sum(first[:, 0] ** 2), 2 * model.loss_factor * np.sum(kernels[1] * sigma),
            norms.mean(), np.mean(np.abs(first[:, 0]) / norms), np.mean(np.abs(first[:, 0])), moved.min(), moved.max(),
            np.linalg.norm(kernels[1] - kernels[0]) / np.linalg.norm(kernels[0])]


def followed(model, data, first, second, move, steps=30):
    """Apply ``move(k, W, a)`` and observe at TIMES."""
    start, rows = (first.copy(), second.copy()), []
    for k in range(steps + 1):
        if k in TIMES:
            rows.append(observed(model, data, first, second, start))
        if k < steps:
            first, second = move(k, first, second)
    return np.array(rows)


def sharpness_aware_reference(model, radius, seed, replica):
    """SAM on W and a, the gradient taken at the shifted point."""
    key, data, first, second = parts(model, seed, replica)

    def gradient(w, a, x):
        gap = 2 * model.loss_factor * (a @ w @ x - model.target @ x)
        return gap * np.outer(a, x), gap * (w @ x)

    def move(k, w, a):
        x = batch(model, key, replica, data, k, 1)[0][0]
        up, across = gradient(w, a, x)
        norm = math.sqrt(np.sum(up**2) + np.sum(across**2))
        shift = radius / norm if norm > 0 else 0.0
        up, across = gradient(w + shift * up, a + shift * across, x)
        return w - model.step * up, a - model.step * across

    return followed(model, data, first, second, move)


def batch_reference(model, size, levels, seed, replica):
    """SGD on batches of W and a; the full batch where ``size`` is inf."""
    key, data, first, second = parts(model, seed, replica)

    def move(k, w, a):
        if size < math.inf:
            x, signs = batch(model, key, replica, data, k, size)
        elif data is None:
            slope = 2 * model.loss_factor * (w.T @ a - model.target)
            return w - model.step * np.outer(a, slope), a - model.step * w @ slope
        else:
            x, words = data, streams.words(key, replica, k, model.samples, purpose=3)
            signs = np.where(words >= 2**31, -1.0, 1.0)
        gaps = 2 * model.loss_factor * (x @ (w.T @ a - model.target) - model.noise * levels[k] * signs)
        slope = gaps @ x / len(x)
        return w - model.step * np.outer(a, slope), a - model.step * w @ slope

    return followed(model, data, first, second, move)


def chain_reference(model, amplitude, seed, replica, frozen):
    """The chain of Lemma 4, state by state."""
    key, data, first, _ = parts(model, seed, replica)
    sigma = np.eye(model.dimension) if data is None else data.T @ data / len(data)
    many = np.arange(model.width)

    def signs(k):
        words = streams.words(key, replica, k, -(-model.width // 32), purpose=5)
        return 1.0 - 2.0 * ((words[many // 32] >> (many % 32).astype(np.uint32)) & 1)

    at_rest = streams.rademachers(key, replica, 0, model.width, purpose=4) < 0
    second = np.where(at_rest, 0.0, amplitude * signs(0))

    def move(k, w, a):
        slope = 2 * model.loss_factor * sigma @ (w.T @ a - model.target)
        after = a if frozen else np.where(a == 0.0, amplitude * signs(k + 1), 0.0)
        return w - model.step * np.outer(a, slope), after

    return followed(model, data, first, second, move)


# -- one replica is what the model says --------------------------------------------------------------------------


@pytest.mark.parametrize("model, radius", [
    (CLEAN, 0.3), (CLEAN, 0.0), (theory.TwoLayerLinear(5, 6, 0.02, 0.0, 0.8, loss_factor=1.0), 0.2),
    (theory.TwoLayerLinear(1, 1, 0.05, 0.0, 1.5), 0.4),
], ids=["training set", "no radius", "fresh inputs, no half", "scalar"])
def test_sharpness_aware_paths_equal_a_plain_implementation(model, radius):
    got = sgd.SharpnessAware(model, 30, radius, TIMES, neurons=True).sample(3, 5, 2)
    expected = np.array([sharpness_aware_reference(model, radius, 3, replica) for replica in (5, 6)])
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("model, size", [(NOISY, 1), (NOISY, 4), (FRESH, 1), (FRESH, 3), (NOISY, math.inf),
                                         (CLEAN, math.inf),
                                         (theory.TwoLayerLinear(5, 6, 0.02, 0.0, 0.8), math.inf)])
def test_batch_paths_equal_a_plain_implementation(model, size):
    levels = sgd.periodic(30, 4, 3, first=1.5)
    got = sgd.BatchDescent(model, 30, size, TIMES, levels, neurons=True).sample(3, 5, 2)
    expected = np.array([batch_reference(model, size, levels, 3, replica) for replica in (5, 6)])
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("model", [CLEAN, theory.TwoLayerLinear(2, 300, 1e-3, 0.0, 0.8, loss_factor=1.0)])
def test_oscillating_paths_equal_a_plain_implementation(model, frozen):
    for amplitude in (None, 0.7):
        got = sgd.Oscillation(model, 30, amplitude, TIMES, neurons=True, frozen=frozen).sample(3, 5, 2)
        used = model.effective_step**0.25 if amplitude is None else amplitude
        expected = np.array([chain_reference(model, used, 3, replica, frozen) for replica in (5, 6)])
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13)


def test_given_inputs_and_start_are_used():
    _, data, first, second = parts(CLEAN, 8, 2)
    for make in (lambda **given: sgd.SharpnessAware(CLEAN, 30, 0.2, TIMES, neurons=True, **given),
                 lambda **given: sgd.BatchDescent(NOISY, 30, 2, TIMES, neurons=True, **given)):
        free, bound = make(), make(inputs=data, start=(first, second))
        assert free.sample(8, 2, 1).tobytes() == bound.sample(8, 2, 1).tobytes()
    free, bound = sgd.Oscillation(CLEAN, 30, times=TIMES), sgd.Oscillation(CLEAN, 30, times=TIMES, inputs=data)
    assert free.sample(8, 2, 1).tobytes() == bound.sample(8, 2, 1).tobytes()


def test_a_batch_of_one_and_no_radius_are_plain_sgd():
    plain = sgd.Descent(NOISY, 200, [0, 50, 200], neurons=True).sample(1, 0, 3)
    np.testing.assert_allclose(sgd.BatchDescent(NOISY, 200, 1, [0, 50, 200], neurons=True).sample(1, 0, 3), plain,
                               rtol=1e-9, atol=1e-12)
    clean = sgd.Descent(CLEAN, 200, [0, 50, 200], neurons=True).sample(1, 0, 3)
    np.testing.assert_allclose(sgd.SharpnessAware(CLEAN, 200, 0.0, [0, 50, 200], neurons=True).sample(1, 0, 3), clean,
                               rtol=1e-9, atol=1e-12)


def test_neurons_and_draws_of_a_path():
    experiment = sgd.Descent(NOISY, 30, TIMES, sgd.periodic(30, 4, 3))
    inputs, labels, (first, second) = sgd.draws(experiment, 3, replica=5)
    start = first.copy()
    seen = sgd.neurons(experiment, 3, replica=5)
    for k in range(31):
        if k in TIMES:
            np.testing.assert_allclose(seen[0][TIMES.index(k)], first, rtol=1e-9, atol=1e-13)
            np.testing.assert_allclose(seen[1][TIMES.index(k)], second, rtol=1e-9, atol=1e-13)
        if k < 30:
            hidden = first @ inputs[k]
            b = -NOISY.effective_step * (second @ hidden - labels[k])
            first, second = first + b * np.outer(second, inputs[k]), second + b * hidden
    given = sgd.Descent(NOISY, 30, TIMES, sgd.periodic(30, 4, 3), start=(start, np.zeros(7)))
    assert np.all(sgd.neurons(given, 3)[1][0] == 0.0) and np.all(sgd.neurons(given, 3)[0][0] == start)
    aware = sgd.SharpnessAware(CLEAN, 30, 0.2, TIMES, neurons=True)
    first, _ = sgd.neurons(aware, 1)
    np.testing.assert_allclose(np.linalg.norm(first, axis=2).mean(1), aware.sample(1, 0, 1)[0, :, 7], rtol=1e-12)
    with pytest.raises(ValueError, match="experiment is 3; it must be a Descent, BatchDescent or SharpnessAware"):
        sgd.neurons(3, 0)
    with pytest.raises(ValueError, match="it must be a Descent"):
        sgd.draws(aware, 0)
    with pytest.raises(ValueError, match="neurons take 15.6 GiB"):
        sgd.neurons(sgd.Descent(theory.TwoLayerLinear(20, 10**6, 1e-9, 0.0, 1.0), 99, range(100)), 0)


def test_kernel_change_of_both_methods_and_algorithms():
    for experiment in (sgd.Descent(NOISY, 30, TIMES, neurons=True),
                       sgd.Descent(NOISY, 30, TIMES, method="direct", neurons=True),
                       sgd.BatchDescent(NOISY, 30, 1, TIMES, neurons=True)):
        first, second = sgd.neurons(sgd.Descent(NOISY, 30, TIMES), 3)
        kernels = np.einsum("tmi,tmj->tij", first, first) + np.sum(second**2, 1)[:, None, None] * np.eye(3)
        change = np.linalg.norm(kernels - kernels[0], axis=(1, 2)) / np.linalg.norm(kernels[0])
        place = experiment.observables.index("kernel_change")
        np.testing.assert_allclose(experiment.sample(3, 0, 1)[0, :, place], change, rtol=1e-9, atol=1e-14)
        assert change[-1] > 0.01


# -- the same bits -----------------------------------------------------------------------------------------------

EXPERIMENTS = {
    "sam": lambda **more: sgd.SharpnessAware(CLEAN, 40, 0.2, **more),
    "batches": lambda **more: sgd.BatchDescent(FRESH, 40, 3, **more),
    "full batch": lambda **more: sgd.BatchDescent(NOISY, 40, math.inf, **more),
    "oscillation": lambda **more: sgd.Oscillation(CLEAN, 40, **more),
}


@pytest.mark.parametrize("make", EXPERIMENTS.values(), ids=EXPERIMENTS.keys())
def test_bits_do_not_depend_on_chunks_jobs_records_or_neurons(make):
    every = make(times=range(41), neurons=True)
    whole = every.sample(9, 0, 6)
    assert every.sample(9, 4, 1).tobytes() == whole[4:5].tobytes()
    assert make(times=[5, 23]).sample(9, 0, 6).tobytes() == np.ascontiguousarray(whole[:, [5, 23], :7]).tobytes()
    again = pickle.loads(pickle.dumps(every))
    assert again.sample(9, 0, 2).tobytes() == whole[:2].tobytes()
    assert every.shape == (41, 13) and list(every.coordinates()["observable"])[-1] == "kernel_change"


def test_same_estimate_for_any_chunk_and_jobs(tmp_path):
    for options in ({"chunk": 1}, {"jobs": 2}, {"store": tmp_path}, {"store": tmp_path}):
        assert (sgd.simulate_sharpness_aware(CLEAN, 20, 0.2, replicas=9, seed=8, **options)
                == sgd.simulate_sharpness_aware(CLEAN, 20, 0.2, replicas=9, seed=8))
        assert (sgd.simulate_oscillation(CLEAN, 20, replicas=9, seed=8, **options)
                == sgd.simulate_oscillation(CLEAN, 20, replicas=9, seed=8))
        assert (sgd.simulate_batches(NOISY, 20, 2, replicas=9, seed=8, **options)
                == sgd.simulate_batches(NOISY, 20, 2, replicas=9, seed=8))


def test_parameters_identify_the_experiment():
    made = [sgd.SharpnessAware(CLEAN, 30, 0.1), sgd.SharpnessAware(CLEAN, 30, 0.2),
            sgd.SharpnessAware(CLEAN, 30, 0.2, catapult=True), sgd.SharpnessAware(CLEAN, 30, 0.2, collapse=True),
            sgd.BatchDescent(CLEAN, 30, 1), sgd.BatchDescent(CLEAN, 30, 2), sgd.BatchDescent(NOISY, 30, 2),
            sgd.BatchDescent(NOISY, 30, math.inf), sgd.BatchDescent(NOISY, 30, 2, catapult=True),
            sgd.Oscillation(CLEAN, 30), sgd.Oscillation(CLEAN, 30, 0.3), sgd.Oscillation(CLEAN, 30, frozen=True),
            sgd.Descent(CLEAN, 30)]
    assert len({each.name + repr(sorted(each.parameters().items())) for each in made}) == len(made)


# -- what is known of the moments --------------------------------------------------------------------------------


def test_full_batch_noise_is_weaker_by_the_number_of_labels():
    """Rate of the fall of ||W||^2: sigma^2/n for fresh noise on all n labels, sigma^2/B on batches."""
    model = theory.TwoLayerLinear(4, 40, 2e-3, 3.0, 1.0, samples=25)
    falls = {}
    for size in (1, 5, math.inf):
        experiment = sgd.BatchDescent(model, 20_000, size, [2_000, 20_000])
        ends = experiment.sample(0, 0, 4)[:, :, 3]
        falls[size] = np.log(ends[:, 0] / ends[:, 1]).mean()
    assert 4.5 < falls[1] / falls[5] < 6.5       # sampling adds to the rate at batch size one
    assert 4.0 < falls[5] / falls[math.inf] < 6.0
    still = sgd.BatchDescent(model, 20_000, math.inf, [2_000, 20_000], np.zeros(20_000)).sample(0, 0, 1)[0]
    assert abs(np.log(still[0, 3] / still[1, 3])) < 1e-6 and still[1, 0] < 1e-20


def test_gradient_descent_keeps_the_balance_to_second_order():
    """||W||^2 - alpha moves by h^2 (||e||^2 alpha - e'G e) per step, 1/h steps: four times less for a quarter of h."""
    moved = []
    for step in (4e-3, 1e-3):
        model = theory.TwoLayerLinear(4, 10, step, 0.0, 1.0)
        seen = sgd.BatchDescent(model, int(8 / step), math.inf, [0, int(8 / step)]).sample(0, 0, 1)[0]
        moved.append(abs((seen[1, 3] - seen[1, 2]) - (seen[0, 3] - seen[0, 2])))
    assert moved[0] / moved[1] == pytest.approx(4, rel=0.05)


# -- stability ---------------------------------------------------------------------------------------------------


def second_moment_radius(kernel, step, size, inputs=None):
    """Spectral radius of the error's second moment under batches of ``size``, entry by entry."""
    d = len(kernel)
    unit = np.eye(d)
    if inputs is None:
        fourth = sum(np.einsum(pattern, unit, unit) for pattern in ("ij,kl->ijkl", "ik,jl->ijkl", "il,jk->ijkl"))
        second = unit
    else:
        fourth = np.einsum("ni,nj,nk,nl->ijkl", inputs, inputs, inputs, inputs) / len(inputs)
        second = inputs.T @ inputs / len(inputs)
    pairs = np.einsum("ij,kl->ijkl", second, second)             # (Sigma S Sigma)_il = Sigma_ij Sigma_kl S_jk
    mixed = (fourth + (size - 1) * pairs) / size
    mixed = mixed.transpose(0, 3, 1, 2).reshape(d * d, d * d)
    drift = np.kron(kernel @ second, unit) + np.kron(unit, kernel @ second)
    return np.abs(np.linalg.eigvals(np.eye(d * d) - step * drift + step**2 * np.kron(kernel, kernel) @ mixed)).max()


@pytest.mark.parametrize("law", ["gaussian", "data"])
@pytest.mark.parametrize("d, size", [(1, 3), (2, 2), (4, 7), (3, 200)])
def test_critical_step_of_batches_is_where_the_radius_crosses_one(law, d, size, monkeypatch):
    rng = np.random.default_rng(d)
    root = rng.normal(size=(d, d))
    kernel, inputs = root.T @ root + 0.3 * np.eye(d), None if law == "gaussian" else rng.normal(size=(9, d))
    bound = critical_batch_step(kernel, size, inputs)
    assert abs(second_moment_radius(kernel, bound, size, inputs) - 1) < 1e-10
    assert second_moment_radius(kernel, 0.999 * bound, size, inputs) < 1
    assert critical_batch_step(kernel, 1, inputs) == theory.critical_step(kernel, inputs)
    covariance = np.eye(d) if inputs is None else inputs.T @ inputs / 9
    assert critical_batch_step(kernel, math.inf, inputs) == pytest.approx(
        2 / np.linalg.eigvals(kernel @ covariance).real.max())
    if inputs is not None and d > 1:
        monkeypatch.setattr("theorycheck.theory.label_noise.batch_stability.LARGEST_SQUARE", 0)
        assert critical_batch_step(kernel, size, inputs) == pytest.approx(bound, rel=1e-8)


def test_larger_batches_stand_larger_steps_and_the_bound_is_in_the_message():
    model = theory.TwoLayerLinear(20, 1000, 2e-3, 4.0, 1.0, samples=200)
    with pytest.raises(ValueError, match="at the start needs it in"):
        sgd.BatchDescent(model, 10, 1)
    assert sgd.BatchDescent(model, 10, 2).batch_size == 2
    large = theory.TwoLayerLinear(20, 1000, 0.04, 0.0, 1.0)
    with pytest.raises(ValueError, match=rf"step is 0.04; .* in \(0, {2 / large.kernel_scale:.6g}\)"):
        sgd.BatchDescent(large, 10, math.inf)
    assert sgd.BatchDescent(large, 10, math.inf, catapult=True).name == "label_noise.batches_catapult/2"
    with pytest.raises(ValueError, match="at the start needs it in"):
        sgd.SharpnessAware(theory.TwoLayerLinear(20, 1000, 2e-3, 0.0, 1.0), 10, 0.1)
    with pytest.raises(ValueError, match=r"step is 0.3; mean-square stability at amplitude 0.740083 needs it"):
        sgd.Oscillation(theory.TwoLayerLinear(3, 20, 0.3, 0.0, 1.0), 10)
    with pytest.raises(engine.Diverged) as caught:
        sgd.BatchDescent(theory.TwoLayerLinear(4, 10, 2.0, 1.0, 1.0), 200, 3, catapult=True).sample(0, 3, 2)
    assert caught.value.replica == 3 and 1 < caught.value.step < 200
    with pytest.raises(engine.Diverged):
        sgd.SharpnessAware(theory.TwoLayerLinear(4, 10, 2.0, 0.0, 1.0), 200, 0.1, catapult=True).sample(0, 3, 1)


def test_a_radius_that_collapses_is_refused_with_the_bound_unless_named():
    model = theory.TwoLayerLinear(20, 100, 1e-3, 0.0, 1.0)
    bound = collapse_radius(20, 1.0)
    assert bound == pytest.approx(math.sqrt(math.pi / 2 * math.sqrt(20) / 21))
    with pytest.raises(ValueError, match=rf"radius is 0.6; short of collapse .* below {bound:.6g}, unless"):
        sgd.SharpnessAware(model, 10, 0.6)
    assert sgd.SharpnessAware(model, 10, 0.6, collapse=True).name == "label_noise.sharpness_aware_collapse/2"
    assert collapse_radius(20, 4.0) == pytest.approx(2 * bound) and collapse_radius(20, 0.0) == math.inf
    with pytest.raises(ValueError, match="dimension is 0"):
        collapse_radius(0, 1.0)
    with pytest.raises(ValueError, match="target_norm is -1"):
        collapse_radius(3, -1.0)


# -- sweeps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, parameters, made", [
    ("label_noise.sharpness_aware", {"radius": 0.2}, lambda m: sgd.simulate_sharpness_aware(
        m(0.0), 20, 0.2, replicas=5, seed=1, times=[20])),
    ("label_noise.batches", {"noise": 0.5, "batch_size": 3}, lambda m: sgd.simulate_batches(
        m(0.5), 20, 3, replicas=5, seed=1, times=[20])),
    ("label_noise.batches", {"noise": 0.5, "batch_size": math.inf}, lambda m: sgd.simulate_batches(
        m(0.5), 20, math.inf, replicas=5, seed=1, times=[20])),
    ("label_noise.oscillation", {}, lambda m: sgd.simulate_oscillation(m(0.0), 20, replicas=5, seed=1, times=[20])),
])
def test_a_sweep_can_run_them(name, parameters, made):
    prepared = sweeps.find(name).prepare(dimension=3, width=7, step=0.02, target_norm=0.8, steps=20, samples=6,
                                             **parameters)
    estimate = engine.estimate(prepared.experiment, replicas=5, seed=1)
    assert prepared.seconds > 0
    assert estimate == made(lambda noise: theory.TwoLayerLinear(3, 7, 0.02, noise, 0.8, samples=6))
    table = sweeps.table_of(prepared, estimate)
    assert table["observable"][:2] == ["loss", "error"] and table["step"][0] == 20


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, message", [
    (lambda: sgd.SharpnessAware(NOISY, 10, 0.1), "noise is 0.5; it must be 0"),
    (lambda: sgd.SharpnessAware(CLEAN, 10, -0.1), r"radius is -0.1; it must be in \[0"),
    (lambda: sgd.SharpnessAware(CLEAN, 10, math.nan), "radius is nan"),
    (lambda: sgd.SharpnessAware(CLEAN, 10, "x"), "radius is 'x'"),
    (lambda: sgd.SharpnessAware(3, 10, 0.1), "model is 3"),
    (lambda: sgd.SharpnessAware(CLEAN, 0, 0.1), "steps is 0"),
    (lambda: sgd.SharpnessAware(CLEAN, 10, 0.1, times=[11]), "times are"),
    (lambda: sgd.SharpnessAware(CLEAN, 10, 0.1, collapse=1), "collapse is 1; it must be True or False"),
    (lambda: sgd.SharpnessAware(CLEAN, 10, 0.1, inputs=np.ones((5, 3))), r"inputs have shape \(5, 3\)"),
    (lambda: sgd.BatchDescent(NOISY, 10, 0), "batch_size is 0; it must be an integer in 1"),
    (lambda: sgd.BatchDescent(NOISY, 10, 2.5), "batch_size is 2.5"),
    (lambda: sgd.BatchDescent(NOISY, 10, 10**7), "batch_size is 10000000"),
    (lambda: sgd.BatchDescent(NOISY, 10, math.nan), "batch_size is nan"),
    (lambda: sgd.BatchDescent(FRESH, 10, math.inf), "noise is 0.5; it must be 0 on a full batch of infinitely many"),
    (lambda: sgd.BatchDescent(NOISY, 10, 2, noise=-np.ones(10)), "noise of step 0 is -1"),
    (lambda: sgd.BatchDescent(NOISY, 10, 2, start=(np.ones((7, 3)), np.ones(6))), "start has shapes"),
    (lambda: sgd.BatchDescent(theory.TwoLayerLinear(300, 3, 1e-9, 0.0, 1.0, samples=10**6), 10, 2), "samples 1000000"),
    (lambda: sgd.Oscillation(NOISY, 10), "noise is 0.5; it must be 0"),
    (lambda: sgd.Oscillation(CLEAN, 10, 0.0), "amplitude is 0"),
    (lambda: sgd.Oscillation(CLEAN, 10, math.inf), "amplitude is inf"),
    (lambda: sgd.Oscillation(CLEAN, 10, frozen="yes"), "frozen is 'yes'"),
    (lambda: sgd.Oscillation(CLEAN, 10, times=[]), "times are"),
    (lambda: critical_batch_step(np.eye(2), 0.5), "batch_size is 0.5; it must be an integer >= 1 or inf"),
    (lambda: critical_batch_step(-np.eye(2), 2), "eigenvalue -1"),
])
def test_bad_runs_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
