"""Experiments on optimizers: the theory's objects on the same noise, any number of workers, exact moments, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.checks import experiment
from theorycheck.sims import engine, streams
from theorycheck.sims.riemannian import Descent, MatrixDescent, kernels, simulate, simulate_matrices, stability
from theorycheck.sims.riemannian.vectors import EXPERIMENT
from theorycheck.theory.riemannian import (
    lite_schedules,
    matrix_optimizers,
    modes,
    optimizers,
    polar_express,
    river,
    second_moment,
)
from theorycheck.theory.riemannian import threshold_projector as threshold
from theorycheck.theory.riemannian.landscapes import LogisticRegression, MatrixQuadratic, Quadratic
from theorycheck.theory.riemannian.lite import Lite
from theorycheck.theory.riemannian.muon_lite import AdamGain, MuonLite
from theorycheck.theory.riemannian.valleys import CurvedValley, StraightValley

VECTORS = [optimizers.gradient_descent(0.05), optimizers.heavy_ball(0.02, 0.9, 0.5), optimizers.nesterov(0.01, 0.9),
           optimizers.nesterov(0.02, 0.9, averaged=True), optimizers.rmsprop(0.01), optimizers.adam(0.01),
           optimizers.adamw(0.01), optimizers.nadam(0.01), optimizers.sign_descent(0.01, 0.9),
           optimizers.lion(0.01, decay=0.1), optimizers.sophia(0.01)]
LANDSCAPES = [Quadratic([0.1, 5.0, 3.0]), StraightValley(0.1, [5.0, 3.0]),
              CurvedValley(0.1, [5.0, 3.0], [0.3, 0.2], [2.0, 1.0])]
START = np.array([1.0, 2.0, -1.0])


def followed(landscape, optimizer, seed, replicas, steps, noise, relative):
    """Paths (R, K + 1, 3) of the theory's optimizer on the noise of the experiment."""
    key, who = streams.key(seed, EXPERIMENT), np.arange(replicas)
    w, state, path = np.tile(START, (replicas, 1)), None, []
    curved = isinstance(landscape, CurvedValley)
    for k in range(steps + 1):
        path.append(w)
        xi, zeta = (streams.normals(key, who, k, 3, purpose=purpose).astype(float) for purpose in
                    (kernels.ADDITIVE, kernels.CURVATURE))
        if isinstance(landscape, Quadratic):
            sampled = landscape.curvatures * (1.0 + relative * zeta)
            g = sampled * w
        else:
            own = landscape.curvature if curved else landscape.curvatures
            sampled = np.concatenate([np.zeros((replicas, 1)), own * (1.0 + relative * zeta[:, 1:])], axis=1)
            values = [type(landscape)(landscape.slope, row[1:], *((landscape.amplitude, landscape.frequency) if curved
                                                                  else ())) for row in sampled]
            g = np.stack([each.gradient(point) for each, point in zip(values, w, strict=True)])
        g = g + noise * xi
        state = optimizer.start(w, g, sampled) if state is None else state
        state = optimizer.step(state, g, sampled)
        w = state.parameters
    return np.stack(path, axis=1)


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("optimizer", VECTORS, ids=lambda each: each.name)
def test_the_kernel_is_the_theorys_optimizer_on_the_same_noise(landscape, optimizer):
    made = Descent(landscape, optimizer, 40, START, noise=0.3, curvature_noise=0.2, batch_size=4, modes=True,
                   unstable=True)
    expected = followed(landscape, optimizer, 3, 5, 40, 0.15, 0.1)
    assert np.allclose(made.paths(3, 5), expected, rtol=1e-12, atol=1e-12)
    heights = made.sample(3, 0, 5)
    assert np.allclose(heights[..., 0], landscape.value(expected), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("base", [VECTORS[2], VECTORS[6], VECTORS[8], VECTORS[10]], ids=lambda each: each.name)
def test_lite_in_the_kernel_is_the_theorys(landscape, base):
    projector = np.diag([1.0, 0.0, 0.0]) if isinstance(landscape, Quadratic) else landscape.flat
    optimizer = Lite(base, projector, 2.0, 1.0, 0.2)
    made = Descent(landscape, optimizer, 25, START, noise=0.3, modes=True, unstable=True)
    assert np.allclose(made.paths(3, 3), followed(landscape, optimizer, 3, 3, 25, 0.3, 0.0), rtol=1e-9, atol=1e-9)


def test_results_do_not_depend_on_workers_chunks_or_neighbours():
    made = Descent(LANDSCAPES[2], VECTORS[5], 30, START, noise=0.3, curvature_noise=0.5, modes=True)
    whole = made.sample(7, 0, 40)
    assert np.array_equal(whole[17:23], made.sample(7, 17, 6))
    one = engine.estimate(made, replicas=40, seed=7, chunk=40)
    assert one == engine.estimate(made, replicas=40, seed=7, chunk=16, jobs=2)


@pytest.mark.parametrize("rates", [[0.1], [0.1, 0.2]])
@pytest.mark.parametrize("optimizer", [MuonLite(gain=2.0, flat_damping=1.0, rank=2), MuonLite(gain=2.0, stages=None),
                                       matrix_optimizers.shampoo(1.0, epsilon=1e-6), matrix_optimizers.soap(1.0)])
def test_a_replica_of_matrices_does_not_depend_on_its_neighbours(optimizer, rates):
    made = MatrixDescent(MatrixQuadratic(np.geomspace(50.0, 1e-3, 16)), optimizer, rates, 10, np.full((24, 16), 2.0),
                         0.1, 0.1, 2, times=[0, 5, 10])
    whole = made.sample(0, 0, 66)
    for first, count in ((0, 1), (3, 2), (62, 4), (65, 1)):
        assert np.array_equal(whole[first:first + count], made.sample(0, first, count))


def test_averages_are_means_of_snapshots():
    every = Descent(LANDSCAPES[1], VECTORS[2], 30, START, noise=1.0, times=np.arange(31)).sample(0, 0, 3)
    means = Descent(LANDSCAPES[1], VECTORS[2], 30, START, noise=1.0, times=[9, 30], averaged=True).sample(0, 0, 3)
    assert np.allclose(means[:, 0], every[:, :10].mean(axis=1)) and np.allclose(means[:, 1], every[:, 10:].mean(axis=1))


def test_times_beyond_the_last_are_not_run_and_schedules_scale_the_rate():
    schedule = lite_schedules.cosine_rates(20)
    made = Descent(LANDSCAPES[0], VECTORS[1], 20, START, schedule=schedule, modes=True)
    buffer, w, path = 0.0, START, [START]
    for factor in schedule:
        g = LANDSCAPES[0].gradient(w)
        buffer = 0.9 * buffer + g
        w = w - 0.02 * factor * (buffer + 0.5 * g)
        path.append(w)
    assert np.allclose(made.paths(0)[0], path)
    assert made.coordinates()["time"][-1] == pytest.approx(0.02 * schedule.sum())


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 0.95), st.floats(-0.2, 3.0), st.floats(0.05, 0.9), st.floats(0.0, 2.0), st.integers(1, 64))
def test_second_moments_agree_with_the_recursion_of_covariances(momentum, damping, share, relative, batch):
    """Against the covariance of (w, m) propagated as a matrix, the noise entering by E[Z S Z^T]."""
    rate = share * modes.largest_step(momentum, damping) / 2.0
    found = second_moment.second_moments(np.full(12, rate), 2.0, momentum, damping, 0.7, relative, batch, 1.5)
    mean = np.array([[1.0 - rate * (1 + damping) * 2.0, -rate * momentum], [2.0, momentum]])
    noise = np.array([-rate * (1 + damping), 1.0])
    state, expected = np.array([[2.25, 0.0], [0.0, 0.0]]), [2.25]
    for _ in range(12):
        spread = (0.49 + (2.0 * relative) ** 2 * state[0, 0]) / batch
        state = mean @ state @ mean.T + spread * np.outer(noise, noise)
        expected.append(state[0, 0])
    assert np.allclose(found, expected, rtol=1e-9)


def test_the_stationary_variance_solves_the_linear_system():
    matrix, forcing = second_moment.second_moment_map(0.05, 2.0, 0.9, 0.5, 0.3, 1.2, 4)
    fixed = np.linalg.solve(np.eye(3) - matrix, forcing)
    assert second_moment.stationary_variance(0.1, 0.9, 0.5, 2.0, 0.3, 1.2, 4) == pytest.approx(fixed[0], rel=1e-12)
    with pytest.raises(ValueError, match="batch_size is 0.001; it must be > "):
        second_moment.stationary_variance(0.1, 0.9, 0.5, 2.0, 0.3, 1.2, 0.001)


def test_noise_floor_by_experiment_and_not_that_of_small_steps():
    found = simulate(Quadratic([1.0]), optimizers.nesterov(0.1, 0.95), 4000, 0.0, noise=1.0, replicas=64, seed=0,
                     times=[500, 4000], averaged=True, modes=True)
    score = (found.mean[1, -1] - modes.noise_floor(0.1, 0.95, 1 / 0.95)) / found.stderr[1, -1]
    assert abs(score) < 5 and found.mean[1, -1] * 2 < modes.small_step_floor(0.1, 0.95, 1 / 0.95)


def test_river_progress_is_the_mean_path():
    landscape = StraightValley(0.1, [5.0, 3.0])
    made = Descent(landscape, Lite(optimizers.nesterov(0.02, 0.9), landscape.flat, 3.0, 2.0), 50, 0.0)
    path = made.sample(0, 0, 1)[0, :, 2]
    assert np.allclose(path, river.river_progress(made.times, 0.02, 0.1, 0.9, 1 / 0.9 + 2.0, 3.0), rtol=1e-12)


def test_decaying_rates_reach_the_bound_and_their_closed_form():
    rates = river.decaying_rates(50, 0.04, 5.0, 0.7)
    reached = river.variances(rates, 0.04, 5.0, 0.7)
    assert np.allclose(reached, river.decayed_variance(np.arange(51), 0.04, 5.0, 0.7), rtol=1e-12)
    assert np.allclose(rates, 1 / (5.0 * (np.arange(50) + 1 + 0.49 / (25 * 0.04))))
    moved = rates.copy()
    moved[20] *= 1.01
    assert river.variances(moved, 0.04, 5.0, 0.7)[-1] > reached[-1]


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_polar_express_maps_singular_values(shape):
    x = np.random.default_rng(0).normal(size=(3, *shape))
    s = np.linalg.svd(x, compute_uv=False)
    scaled = s / (np.linalg.norm(x, axis=(1, 2))[:, None] + polar_express.TINY / polar_express.SAFETY)
    for stages in (1, 6, 8):
        found = polar_express.polar_express(x, stages)
        mapped = np.sort(np.abs(polar_express.singular_value_map(scaled, stages)))[:, ::-1]
        assert np.allclose(np.linalg.svd(found, compute_uv=False), mapped, atol=1e-11)
    assert np.allclose(found, threshold.polar(x, None), atol=1e-8)


def test_the_flat_projector_counts_a_null_space_as_flat_but_no_update_goes_there():
    x = np.random.default_rng(1).normal(size=(3, 8))
    s = np.linalg.svd(x, compute_uv=False)
    sharp = threshold.sharp_part(x, 0.5 * (s[0] + s[1]), None)
    q = threshold.flat_projector(sharp)
    assert np.trace(q) == pytest.approx(7) and np.allclose(q @ q, q)
    assert np.linalg.matrix_rank(threshold.polar(x, None) @ q, tol=1e-9) == 2
    assert threshold.target_rank(24, 16, 0.1) == 2 and threshold.target_rank(3, 8, 1.0) == 2


def published_by_hand(weights, gradients, rates, gains, dampings, sharp_damping, decay, rank):
    """The published update, a matrix at a time, from its formulas and SVDs: weights and ratio after every step."""
    def msign(x):
        u, s, v = np.linalg.svd(x, full_matrices=False)
        s = s / (1.01 * np.linalg.norm(x) + 1e-8)
        for a, b, c in polar_express.COEFFICIENTS[:6]:
            s = a * s + b * s**3 + c * s**5
        return (u * s) @ v

    buffer, w, found = np.zeros_like(weights), weights, []
    m, n = w.shape
    ratio = 1 / np.sqrt(min(m, n))
    for g, rate, gain, damping in zip(gradients, rates, gains, dampings, strict=True):
        buffer = 0.95 * buffer + 0.05 * g
        force = buffer + g * 0.05 / 0.95
        update = msign(force)
        sharp = (update + msign(force / (np.linalg.norm(force) * ratio + 1e-9) - update)) / 2
        flat = np.eye(n) - sharp.T @ sharp
        ratio = min(1.0, ratio * (1.05 if np.linalg.norm(sharp) > np.sqrt(rank) else 0.95))
        update = update + sharp_damping * msign(g) + (damping - sharp_damping) * msign(g) @ flat
        update = update + (gain - 1) * update @ flat
        w = w - rate * decay * (w + (gain - 1) * w @ flat) - 0.2 * np.sqrt(max(m, n)) * rate * update
        found.append((w, ratio))
    return found


@pytest.mark.parametrize("warmup", [0, 30])
@pytest.mark.parametrize("shape, rank", [((12, 8), 1), ((8, 12), 1), ((20, 20), 3)])
def test_muon_lite_is_the_published_update_in_warm_up_too(shape, rank, warmup):
    """The schedules of the published recipe; r moves from the first step, when chi is 1 and beta_2 beta_1 still."""
    rng, steps = np.random.default_rng(2), 90
    gradients = rng.normal(size=(steps, *shape)) * np.geomspace(5, 0.1, shape[1])
    weights = rng.normal(size=shape)
    path = (0.05 * lite_schedules.cosine_rates(steps, warmup), lite_schedules.flat_gain(steps, 2.0, warmup),
            lite_schedules.flat_damping(steps, -0.25, 1.0, warmup))
    optimizer = MuonLite(sharp_damping=-0.25, decay=0.1, share=0.1)
    state = optimizer.start(np.stack([weights, -weights]))
    expected = published_by_hand(weights, gradients, *path, -0.25, 0.1, rank)
    for g, *numbers, (w, ratio) in zip(gradients, *path, expected, strict=True):
        state = optimizer.step(state, np.stack([g, -g]), *numbers)
        assert np.allclose(state.ratio, ratio, rtol=1e-12)
        assert np.allclose(state.weights, [w, -w], atol=1e-8)


def test_muon_lite_of_share_0_is_muon_whatever_the_gain():
    rng = np.random.default_rng(4)
    lite, muon = MuonLite(gain=3.0, flat_damping=1.0, sharp_damping=-0.25, share=0.0), MuonLite()
    states = [each.start(np.ones((5, 4))) for each in (lite, muon)]
    for g in rng.normal(size=(5, 5, 4)):
        states = [each.step(state, g, 0.1) for each, state in zip((lite, muon), states, strict=True)]
    assert np.array_equal(states[0].weights, states[1].weights) and not states[0].sharp.any()


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 0.97), st.floats(-0.6, 4.0), st.floats(0.1, 10.0), st.floats(0.0, 40.0))
def test_the_stability_limit_with_weight_decay_is_where_an_eigenvalue_leaves(momentum, damping, curvature, decay):
    def radius(e):
        return np.abs(np.linalg.eigvals([[1 - e * decay - e * curvature * (1 + damping), -e * momentum],
                                         [curvature, momentum]])).max()

    limit = float(stability.largest_rate(curvature, momentum, damping, decay))
    if limit == 0.0:
        assert radius(1e-7) > 1 - 1e-12
    else:
        assert radius(1.01 * limit) > 1 and max(radius(0.1 * limit), radius(0.99 * limit)) < 1 + 1e-12
    if decay == 0.0 and limit > 0.0:
        assert limit * curvature == pytest.approx(modes.largest_step(momentum, damping))


def test_matrix_runs_are_the_theorys_and_muon_lite_without_lite_is_muon():
    landscape, scale = MatrixQuadratic([2.0, 1.0, 0.1]), np.ones((4, 3))
    common = {"steps": 6, "scale": scale, "noise": 0.1, "times": np.arange(7)}
    lite = MatrixDescent(landscape, MuonLite(stages=None, scale=1.0), [0.1, 0.3], **common).sample(0, 0, 3)
    muon = MatrixDescent(landscape, matrix_optimizers.muon(1.0), [0.1, 0.3], **common).sample(0, 0, 3)
    assert np.allclose(lite[..., :3], muon[..., :3], rtol=1e-9)
    for optimizer in (matrix_optimizers.shampoo(1.0, epsilon=1e-6), matrix_optimizers.soap(1.0),
                      Lite(matrix_optimizers.muon(1.0), np.diag([0.0, 1.0, 1.0]), 2.0)):
        found = MatrixDescent(landscape, optimizer, [0.03], **common).sample(0, 0, 2)
        assert np.isfinite(found).all() and (found[:, 0, -1, 0] < found[:, 0, 0, 0]).all()
    means = simulate_matrices(landscape, matrix_optimizers.muon(1.0), [0.1, 0.3], replicas=3, seed=0, **common)
    assert np.allclose(means.mean, muon.mean(axis=0))


def test_losses_of_matrices_split_into_sharp_and_flat():
    made = MatrixDescent(MatrixQuadratic([2.0, 1.0, 0.001]), MuonLite(gain=2.0), [0.1], 3, np.ones((4, 3)))
    found = made.sample(0, 0, 2)[..., 0, :]
    assert np.allclose(found[..., 0], found[..., 1] + found[..., 2]) and (found[..., 2] < 0.05).all()
    assert (found[..., 3] > 0).all()


def test_adam_gain_is_adamw_without_gain_and_scales_flat_coordinates():
    rng = np.random.default_rng(3)
    gradients, w = rng.normal(size=(30, 20)) * np.geomspace(0.01, 10, 20), rng.normal(size=20)
    plain, base = AdamGain(0.9, 0.95, decay=0.1), optimizers.adamw(0.01, 0.9, 0.95, 1e-12, 0.1)
    lifted = AdamGain(0.9, 0.95, gain=3.0, share=0.0, decay=0.1, epsilon=1e-12)
    states = [plain.start(w), base.start(w, gradients[0]), lifted.start(w), plain.start(w)]
    for g in gradients:
        states = [plain.step(states[0], g, 0.01), base.step(states[1], g), lifted.step(states[2], g, 0.01),
                  plain.step(states[3], g, 0.03)]
    assert np.allclose(states[0].weights, states[1].parameters, atol=1e-6)
    assert np.allclose(states[2].weights, states[3].weights, atol=1e-6)
    mask = plain.mask(states[0].second, np.array(1.0), np.array(0.5))
    mean = states[0].second.mean()
    assert (mask[states[0].second >= mean] == 1).all() and (mask[states[0].second < 0.5 * mean] == 0).all()


def test_bounds_of_adam_gain_settle_at_the_shares():
    optimizer, second = AdamGain(share=0.2), np.geomspace(0.01, 10, 200)
    upper, lower, shares = np.array(1.0), np.array(0.5), []
    for _ in range(400):
        upper, lower = optimizer.bounds(second, upper, lower)
        shares.append([np.mean(second >= each * second.mean()) for each in (upper, lower)])
    assert np.allclose(np.mean(shares[100:], axis=0), [0.2, 0.3], atol=0.02)


def test_schedules_of_gain_and_damping():
    gain = lite_schedules.flat_gain(1000, 2.0, 100)
    damping = lite_schedules.flat_damping(1000, -0.25, 1.0, 100)
    assert (gain[:101] == 1).all() and (gain >= 1).all() and gain.max() < 2 and gain[-1] == pytest.approx(1, abs=1e-4)
    assert (damping[:101] == -0.25).all() and (damping[550:] == 1).all() and damping[325] == pytest.approx(0.375)
    own = gain[700:] * lite_schedules.cosine_rates(1000, 100)[700:]
    p = (np.arange(700, 1000) - 100) / 900
    assert np.allclose(own, 0.1 + 1.9 * 0.5 * (1 + np.cos(np.pi * p)))
    assert (lite_schedules.flat_gain(1000, 2.0, 100, "constant") == 2).all()
    assert lite_schedules.flat_gain(1000, 2.0, 100, "cosine")[0] == 2 and lite_schedules.stable_ramp(1000, 100) == 0.2


def test_sweeps_of_both_experiments():
    vectors = experiment.find("riemannian.vectors").prepare(
        landscape={"kind": "curved_valley", "slope": 0.1, "curvature": 50.0}, steps=20, start=0.0, chi=2.0, noise=1.0,
        optimizer={"kind": "nesterov", "rate": 0.002, "momentum": 0.95}, times=3,
        schedule={"kind": "cosine", "steps": 20, "peak": 1.0})
    table = experiment.table_of(vectors, engine.estimate(vectors.experiment, replicas=4, seed=0))
    assert table["observable"][:3] == ["loss", "sharp", "river"] and len(table["mean"]) == 9
    matrices = experiment.find("riemannian.matrices").prepare(
        curvatures=[50.0, 30.0, 0.001], optimizer={"kind": "muon_lite", "gain": 2.0, "rank": 1}, rates=[0.1, 0.2],
        steps=5, rows=4)
    table = experiment.table_of(matrices, engine.estimate(matrices.experiment, replicas=3, seed=0))
    assert table["rate"] == 4 * [0.1] + 4 * [0.2]
    good = {"landscape": {"kind": "quadratic", "curvatures": [1.0, 2.0]}, "optimizer": {"kind": "adam", "rate": 0.1},
            "steps": 5, "start": 1.0}
    for bad, message in (({"landscape": 3}, "landscape is 3"), ({"optimizer": {"kind": "adam"}}, "lacks 'rate'"),
                         ({"flat": [7], "chi": 2.0}, "coordinates in 0..1"),
                         ({"chi": 4.0}, "it must list the flat coordinates"), ({"flat": [0]}, "where chi is 1"),
                         ({"flat": [0], "chi": 2.0, "landscape": {"kind": "straight_valley", "slope": 0.1,
                                                                  "curvatures": [5.0]}}, "in a valley"),
                         ({"landscape": {"kind": "hill"}}, "landscape kind is 'hill'")):
        with pytest.raises(ValueError, match=message):
            experiment.find("riemannian.vectors").prepare(**{**good, **bad})


def matrices(optimizer, rate, steps=2000, **more):
    """Runs in a matrix valley."""
    return MatrixDescent(MatrixQuadratic([50.0, 30.0, 1.0]), optimizer, [rate], steps, np.ones((4, 3)), **more)


Q, TURNS = Quadratic([1.0, 2.0]), CurvedValley(0.3, 10.0, 0.3, 2.0)
REFUSED = [
    (lambda: Descent(Q, optimizers.gradient_descent(1.0), 5, 1.0), "it must be > 0 and < 1, the stability limit"),
    (lambda: Descent(Q, optimizers.gradient_descent(0.5), 5, 1.0, curvature_noise=3.0), "second moment needs"),
    (lambda: Descent(Q, Lite(optimizers.nesterov(0.5), np.eye(2), 4.0), 5, 1.0), "stability limit"),
    (lambda: Descent(Q, optimizers.natural_gradient(0.1), 5, 1.0), "metric rule Curvature"),
    (lambda: Descent(Q, "adam", 5, 1.0), "optimizer is 'adam'"),
    (lambda: Descent(Quadratic([1.0, 2.0], np.array([[0.6, -0.8], [0.8, 0.6]])), VECTORS[0], 5, 1.0), "is rotated"),
    (lambda: Descent(LogisticRegression(np.eye(2), [1, -1], 0.1), VECTORS[0], 5, 1.0), "it must be a Quadratic"),
    (lambda: Descent(Q, VECTORS[0], 0, 1.0), "steps is 0; it must be an integer in 1.."),
    (lambda: Descent(Q, VECTORS[0], 5, 1.0, noise=-1.0), "noise levels are -1.0; they must be >= 0"),
    (lambda: Descent(Q, VECTORS[0], 5, [1.0, 2.0, 3.0]), "there must be one or 2"),
    (lambda: Descent(Q, VECTORS[0], 5, 1.0, times=[7]), "within 0..5"),
    (lambda: Descent(Q, VECTORS[0], 5, 1.0, schedule=np.ones(4)), "each of 5 steps"),
    (lambda: Descent(Q, Lite(VECTORS[0], np.full((2, 2), 0.5), 2.0), 5, 1.0), "not diagonal"),
    (lambda: Descent(LANDSCAPES[2], Lite(VECTORS[0], lambda w: np.eye(3), 2.0), 5, 1.0), "must be landscape.flat"),
    (lambda: Descent(Q, VECTORS[0], 5, 1.0).paths(0), "paths need modes=True"),
    (lambda: MuonLite(gain=0.5), "gain is 0.5; it must be finite and >= 1"),
    (lambda: MuonLite(momentum=1.0), "momentum is 1; it must be in"),
    (lambda: MuonLite(stages=9), "stages is 9; it must be an integer in 1..8"),
    (lambda: MuonLite(rank=3).start(np.ones((3, 5))), "rank is 3; of matrices"),
    (lambda: AdamGain(share=2.0), "share is 2; it must be in"),
    (lambda: threshold.target_rank(1, 5), "both sides must be at least 2"),
    (lambda: threshold.sharp_part(np.ones((3, 3)), 0.0), "threshold is 0.0; it must be > 0"),
    (lambda: polar_express.polar_express(np.ones((3, 3)), 0), "stages is 0"),
    (lambda: polar_express.singular_value_map(1.5), "must be in"),
    (lambda: lite_schedules.flat_gain(10, 2.0, 10), "warmup is 10; it must be less than"),
    (lambda: lite_schedules.flat_gain(10, 2.0, minimum=0.0), "minimum is 0; it must be > 0"),
    (lambda: lite_schedules.flat_gain(10, 2.0, kind="step"), "kind is 'step'"),
    (lambda: lite_schedules.flat_damping(10, 0.0, 1.0, ramp=0.0), "ramp is 0; it must be in"),
    (lambda: MatrixDescent(MatrixQuadratic([1.0, 2.0]), MuonLite(), [0.1], 5), "both sides must be at least 2"),
    (lambda: MatrixDescent(MatrixQuadratic([1.0, 2.0]), MuonLite(), [-0.1], 5, np.ones((2, 2))), "numbers > 0"),
    (lambda: MatrixDescent(MatrixQuadratic([1.0, 2.0]), matrix_optimizers.muon(0.1), [0.1], 5, np.ones((2, 2)),
                           gains=np.ones(5)), "must then be a MuonLite"),
    (lambda: MatrixDescent(MatrixQuadratic([1.0, 2.0]), MuonLite(), [0.1], 5, np.ones((2, 2)), gains=np.zeros(5)),
     "a gain is 0; it must be >= 1"),
    (lambda: matrices(optimizers.heavy_ball(1.0), 10.0), "< 0.076, the stability limit at curvature 50"),
    (lambda: matrices(optimizers.gradient_descent(1.0), 10.0), "it must be > 0 and < 0.04"),
    (lambda: matrices(Lite(optimizers.gradient_descent(1.0), np.diag([1.0, 0.0, 1.0]), 4.0), 0.02), "< 0.01"),
    (lambda: matrices(MuonLite(decay=30.0), 0.1), "it must be < 0.0666667, 2/(gain weight decay)"),
    (lambda: matrices(MuonLite(decay=10.0, gain=4.0), 0.1), "gain 4 and weight decay 10"),
    (lambda: matrices(matrix_optimizers.muon(1.0, decay=30.0), 0.1), "it must be < 0.0666667"),
    (lambda: matrices(optimizers.sophia(0.1), 0.1), "Sophia needs a curvature at every step"),
    (lambda: matrices(optimizers.natural_gradient(0.1), 0.1), "natural gradient needs a curvature"),
    (lambda: matrices(Lite(matrix_optimizers.muon(0.1), np.eye(5), 2.0), 0.1), "it must be (3, 3)"),
    (lambda: Descent(Q, optimizers.Optimizer("gd", 0.1, decay=30.0), 5, 1.0), "weight decay 30"),
    (lambda: Descent(Q, optimizers.adamw(0.1, decay=30.0), 5, 1.0), "it must be < 0.0666667"),
    (lambda: Descent(Q, optimizers.adam(0.1, epsilon=0.0), 5, 0.0), "epsilon is 0; it must be > 0 where coordinate 0"),
    (lambda: Descent(TURNS, Lite(optimizers.nesterov(0.005), TURNS.flat, 50.0, 40.0), 5, 0.0), "< 0.000652174, where"),
    (lambda: MuonLite(projector=5 * np.eye(4)), "deviates from its transpose or its square by 20"),
    (lambda: MuonLite(projector=np.full((4, 4), np.nan)), "it must be a finite square matrix"),
    (lambda: MuonLite().start(np.full((3, 3), np.nan)), "they must be finite"),
    (lambda: MuonLite().step(MuonLite().start(np.ones((3, 3))), np.eye(3), 0.1, gain=0.5), "gain is 0.5"),
    (lambda: MuonLite().step(MuonLite().start(np.ones((3, 3))), np.eye(3), -1.0), "rate is -1.0"),
    (lambda: MuonLite().step(MuonLite().start(np.ones((3, 3))), np.full((3, 3), np.nan), 1.0), "it must be finite"),
    (lambda: AdamGain().start([np.nan]), "they must be finite"),
    (lambda: AdamGain().step(AdamGain().start([1.0]), [1.0], 0.1, gain=0.5), "gain is 0.5; it must be finite and >= 1"),
]


@pytest.mark.parametrize("call, message", REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError) as refused:
        call()
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_declared_unstable_diverges_and_says_where():
    made = Descent(Q, optimizers.gradient_descent(10.0), 100, 1.0, unstable=True)
    with pytest.raises(engine.Diverged, match="replica 0 diverged at step"):
        made.sample(0, 0, 2)


@pytest.mark.parametrize("optimizer, rate", [
    (optimizers.heavy_ball(1.0), 10.0), (optimizers.gradient_descent(1.0), 0.05), (MuonLite(decay=30.0), 0.1),
    (matrix_optimizers.muon(1.0, decay=30.0), 0.1)])
def test_matrix_runs_declared_unstable_say_which_replica_diverged_at_which_step(optimizer, rate):
    made = matrices(optimizer, rate, unstable=True)
    steps = {}
    for first in (0, 1):
        with pytest.raises(engine.Diverged, match=f"replica {first} diverged at step") as caught:
            made.sample(0, first, 3)
        steps[first] = caught.value.step
    with pytest.raises(engine.Diverged, match="replica 0 diverged"):
        engine.estimate(made, replicas=4, seed=0)
    assert np.isfinite(matrices(optimizer, rate, unstable=True, times=[steps[0] - 1]).sample(0, 0, 1)).all()


def test_a_run_thrown_off_a_curved_valley_diverges():
    made = Descent(TURNS, Lite(optimizers.nesterov(0.005), TURNS.flat, 50.0, 40.0), 2000, 0.0, unstable=True)
    with pytest.raises(engine.Diverged, match="replica 0 diverged at step"):
        made.sample(0, 0, 1)


def test_bounds_of_a_parameter_are_of_all_its_entries():
    """Rows are parameters of their own: a row of small entries has as many sharp ones as a row of large ones."""
    second = np.array([[1.0, 2.0, 3.0, 4.0], [100.0, 200.0, 300.0, 400.0]])
    rows = AdamGain(share=0.5).mask(second, np.ones(2), np.full(2, 0.5))
    whole = AdamGain(share=0.5).mask(second.ravel(), np.array(1.0), np.array(0.5))
    assert np.allclose(rows[0], rows[1]) and not whole[:4].any() and whole[5:].all()
