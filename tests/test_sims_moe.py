"""Training of mixtures of experts: gradients, Adam, the gates, the plane of the circle, and the explicit networks."""

import math
from fractions import Fraction

import numpy as np
import pytest

from theorycheck.checks import experiment as sweeps
from theorycheck.checks.claim import Effort
from theorycheck.checks.moe import medians
from theorycheck.checks.moe import training as claims
from theorycheck.sims import engine, streams
from theorycheck.sims.moe import kernels
from theorycheck.sims.moe.training import GATES, TASKS, Training, errors, simulate
from theorycheck.theory.moe import explicit
from theorycheck.theory.moe.model import DenseNetwork, MoE, MoELayer, linear_gate
from theorycheck.theory.moe.smoothness import piecewise_quartic


def batch(task, inputs, outputs, count, seed=0):
    x, wanted = np.empty((inputs, count), np.float32), np.empty((outputs, count), np.float32)
    kernels.draw(np.uint64(seed), np.uint64(0), np.uint64(3), np.uint64(0), TASKS[task], x, wanted)
    return x, wanted


def moved(training, seed=0):
    start = training.start(seed, 0)
    return start + np.float32(0.3) * np.random.default_rng(seed).standard_normal(start.size).astype(np.float32)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("depth, state", [(1, 4), (2, 4), (2, 3)])
def test_gradient_against_finite_differences(gate, depth, state):
    """Single precision, against differences in double precision of the network of the theory."""
    training = Training("vector", 3, 5, 1, depth=depth, gate=gate, gate_bias=True, state=state)
    theta, gradient = moved(training), np.empty_like(training.start(0, 0))
    x, wanted = batch("vector", 2, 2, 40)

    def loss(at):
        return np.mean((training.network(at)(x.T).T - wanted) ** 2)

    kernels.loss_and_gradient(theta, training.layers, GATES[gate], x, wanted, gradient)
    steps = 1e-6 * np.eye(theta.size)
    differences = np.array([(loss(theta + step) - loss(theta - step)) / 2e-6 for step in steps])
    np.testing.assert_allclose(gradient, differences, atol=1e-6 * np.abs(gradient).max())
    assert np.abs(gradient).max() > 0.05
    last = training.layers[-1]
    final = gradient[kernels.offsets(training.layers)[-2]:][:last[1] * (last[0] + 1)]
    assert (not final.any()) if gate == "hard" else np.abs(final).min() > 0   # no gradient reaches a hard gate


@pytest.mark.parametrize("count", [1, 15, 16, 128, 131])
def test_sums_are_taken_in_the_order_that_is_written_down(count):
    """16 partial sums, halved, and what is left over one by one: what NumPy rounds in this order, on any CPU."""
    rows, matrix = (np.random.default_rng(count).standard_normal((3, count)).astype(np.float32) for _ in range(2))
    matrix[1] *= np.float32(1e4)

    def ordered(terms):
        whole = count - count % kernels.LANES
        sums = np.zeros(kernels.LANES, np.float32)
        for part in terms[:whole].reshape(-1, kernels.LANES):
            sums = sums + part
        while len(sums) > 1:
            sums = sums[:len(sums) // 2] + sums[len(sums) // 2:]
        return np.array([sums[0], *terms[whole:]], np.float32).cumsum(dtype=np.float32)[-1]

    found = kernels._sums(rows, 2, matrix, 0, 1)
    wanted = [ordered(rows[2] * matrix[0]), ordered(rows[2] * matrix[1]), ordered(rows[2])]
    np.testing.assert_array_equal(np.array(found, np.float32), np.array(wanted, np.float32))


def test_no_kernel_lets_the_compiler_reorder_sums():
    compiled = [each for each in vars(kernels).values() if hasattr(each, "targetoptions")]
    assert len(compiled) > 10 and not any(each.targetoptions.get("fastmath") for each in compiled)


@pytest.mark.parametrize("gate", GATES)
def test_loss_is_that_of_the_network_of_the_theory(gate):
    training = Training("vector", 4, 6, 1, depth=2, gate=gate, gate_bias=True, state=3)
    theta, (x, wanted) = moved(training, 1), batch("vector", 2, 2, 200)
    loss = kernels.loss_and_gradient(theta, training.layers, GATES[gate], x, wanted, np.empty(0, np.float32))
    network = training.network(theta)
    assert math.isclose(loss, np.mean((network(x.T).T - wanted) ** 2), rel_tol=1e-6)
    assert network.parameters == theta.size
    assert math.isclose(kernels.error(theta, training.layers, GATES[gate], x, wanted, 64), loss, rel_tol=1e-6)


def test_logits_far_apart_and_equal():
    """Shares of experts that are out of the game vanish; of equal logits the first wins, with its share of all."""
    training = Training("sum", 3, 2, 1, gate="switch", gate_bias=True)
    theta, (x, wanted) = training.start(0, 0), batch("sum", 2, 1, 8)
    for bias, best in (([0, 500, -500], 1), ([0, 0, 0], 0), ([-1, 0, 0], 1)):
        theta[:9] = [0] * 6 + bias
        gradient = np.empty_like(theta)
        loss = kernels.loss_and_gradient(theta, training.layers, GATES["switch"], x, wanted, gradient)
        assert math.isclose(loss, np.mean((training.network(theta)(x.T).T - wanted) ** 2), rel_tol=1e-6)
        assert [bool(part.any()) for part in gradient[9:].reshape(3, -1)] == [k == best for k in range(3)]


def test_adam_step_by_step():
    training = Training("circle", 1, 3, 7, rate=0.02, batch_size=5)
    _, trained = training.run(9, 4)
    theta, key = training.start(9, 4), np.uint64(streams.key(9, "moe.training"))
    m, v, frozen = np.zeros(theta.size), np.zeros(theta.size), training.layers[0, 1] * training.layers[0, 0]
    for step in range(1, 8):
        x, wanted = np.empty((2, 5), np.float32), np.empty((1, 5), np.float32)
        kernels.draw(key, np.uint64(4), np.uint64(step - 1), np.uint64(kernels.BATCH), TASKS["circle"], x, wanted)
        g = np.empty_like(theta)
        kernels.loss_and_gradient(theta, training.layers, GATES["softmax"], x, wanted, g)
        g[frozen] = 0.0
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g.astype(float)**2
        theta = (theta - 0.02 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)).astype(np.float32)
    np.testing.assert_allclose(trained, theta, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gate", GATES)
def test_the_plane_of_the_circle_is_enough(gate):
    settings = {"experts": 4, "width": 6, "steps": 60, "gate": gate, "times": [0, 20, 60]}
    plane, _ = Training("circle", dimension=16, **settings).run(1, 2)
    space, theta = Training("circle", dimension=16, direct=True, **settings).run(1, 2)
    assert plane.tobytes() == space.tobytes()
    assert plane.tobytes() != Training("circle", dimension=17, **settings).run(1, 2)[0].tobytes()
    start = Training("circle", dimension=16, direct=True, **settings).start(1, 2)
    unmoved = theta[:4 * 16].reshape(4, 16) == start[:4 * 16].reshape(4, 16)
    assert unmoved[:, 2:].all() and (gate == "hard") == unmoved[:, :2].all()


def test_points_and_targets():
    x, wanted = batch("circle", 2, 1, 4000)
    np.testing.assert_allclose((x**2).sum(axis=0), 1, atol=5e-7)
    np.testing.assert_allclose(wanted[0], np.sin(5 * x[0].astype(float)) + np.cos(3 * x[1]), atol=2e-7)
    assert np.abs(x @ x.T / 4000 - np.eye(2) / 2).max() < 5 * 0.5 / math.sqrt(4000)
    x, wanted = batch("vector", 2, 2, 4000)
    np.testing.assert_allclose(wanted, piecewise_quartic(x.astype(float)), atol=1e-7)
    assert x.min() > 0 and x.max() < 3 and np.abs(x.mean(axis=1) - 1.5).max() < 5 * math.sqrt(0.75 / 4000)
    for task, combine in (("sum", np.sum), ("product", np.prod)):
        x, wanted = batch(task, 2, 1, 50)
        np.testing.assert_allclose(wanted[0], combine(piecewise_quartic(x.astype(float)), axis=0), atol=1e-7)
    x, wanted = batch("cylinder", 5, 1, 4000)
    np.testing.assert_allclose(wanted[0], np.sin(5 * x[0].astype(float)) + np.cos(3 * x[1]), atol=2e-7)
    covariance = x @ x.T / 4000 - np.diag([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3])
    assert np.abs(covariance).max() < 5 / math.sqrt(4000) * 0.5


def test_test_error_is_an_integral():
    """The grid against one that is nine times as fine, on a trained network."""
    training = Training("vector", 3, 16, 800, depth=2)
    (error,), theta = training.run(0, 0)
    side = (np.arange(288) + 0.5) / 96
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    finer = np.mean((training.network(theta)(points) - piecewise_quartic(points)) ** 2)
    assert math.isclose(error, finer, rel_tol=5e-3) and error < 2.9e-3   # less than the target's variance


def test_replicas_do_not_depend_on_how_they_are_run():
    experiments = [Training("circle", 2, 4, 50, dimension=8), Training("vector", 2, 4, 30, times=[10, 30])]
    alone, together = errors(experiments, 3, 5), errors(experiments, 3, 5, jobs=2)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(alone, together, strict=True))
    assert alone[1].shape == (3, 2) and len(np.unique(alone[0])) == 3
    assert errors(experiments, 1, 5, first=2)[1].tobytes() == alone[1][2:].tobytes()
    first = simulate("circle", 2, 4, 50, dimension=8, replicas=3, seed=5, chunk=1)
    assert first == simulate("circle", 2, 4, 50, dimension=8, replicas=3, seed=5, chunk=3)
    assert first.minimum[0] == alone[0].min() and math.isclose(first.mean[0], alone[0].mean(), rel_tol=1e-12)


def test_a_run_does_not_depend_on_what_is_observed():
    often, _ = Training("circle", 2, 4, 40, times=[0, 7, 40]).run(2, 0)
    once, _ = Training("circle", 2, 4, 40).run(2, 0)
    assert often[-1] == once[0] and often[1] != once[0]


def test_training_set():
    """A single sample is learned by heart; the batches of a large set are other ones than fresh ones."""
    heart = Training("sum", 1, 8, 600, samples=1, rate=1e-2, batch_size=2)
    _, theta = heart.run(0, 0)
    x, wanted = np.empty((2, 1), np.float32), np.empty((1, 1), np.float32)
    kernels.draw(np.uint64(streams.key(0, "moe.training")), np.uint64(0), np.uint64(0),
                 np.uint64(kernels.TRAINING_SET), TASKS["sum"], x, wanted)
    assert abs(heart.network(theta)(x.T)[0, 0] - wanted[0, 0]) < 1e-3
    fixed, fresh = (Training("sum", 1, 8, 30, samples=many).run(0, 0)[0] for many in (1000, None))
    assert fixed != fresh


def test_a_sweep_can_run_it():
    prepared = sweeps.find("moe.training").prepare("vector", 2, 3, 20, depth=2, times=[5, 20])
    table = sweeps.table_of(prepared, engine.estimate(prepared.experiment, replicas=2, seed=0))
    assert table["step"] == [5, 20] and prepared.seconds > 0
    assert table["mean"][1] == errors([Training("vector", 2, 3, 20, depth=2)], 2, 0)[0].mean()


def test_divergence_is_named():
    with pytest.raises(engine.Diverged, match="replica 3"):
        Training("circle", 2, 4, 20, rate=1e200).run(0, 3)


@pytest.mark.parametrize("change, message", [
    ({"task": "torus"}, "task is 'torus'; it must be one of circle"), ({"gate": "dense"}, "gate is 'dense'"),
    ({"experts": 0}, r"experts is 0; it must be an integer in \[1, 16384\]"), ({"width": 2.5}, "width is 2.5"),
    ({"dimension": 1}, "dimension is 1"), ({"task": "sum", "dimension": 3}, "dimension is 3; it must be 2"),
    ({"rate": 0}, "rate is 0; it must be positive"), ({"rate": math.inf}, "rate is inf"),
    ({"samples": 0}, "samples is 0"), ({"times": [5, 3]}, "times are"), ({"times": [11]}, "within 0..10"),
    ({"direct": 1}, "direct is 1; it must be True or False"), ({"depth": 9}, "depth is 9"),
    ({"steps": 0}, "steps is 0"),
    ({"experts": 16384, "width": 16384}, "with 128 points at a time it must be at most 4194304"),
    ({"experts": 64, "width": 1024, "batch_size": 8193}, "width is 65536; with 8193 points at a time it must be"),
    ({"task": "cylinder", "dimension": 16384, "batch_size": 2**20}, "coordinates carried is 16384; .* at most 512$"),
    ({"task": "cylinder", "dimension": 16384, "samples": 2**20}, "with 1048576 points it must be at most 512$"),
    ({"task": "cylinder", "dimension": 16384, "experts": 16384, "width": 256}, "weights is .* at most 134217728$"),
    ({"experts": 16384, "width": 1, "state": 16384, "depth": 2}, "outputs of a layer is 536870912; with 128 points"),
    ({"times": True}, "times are True"),
])
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Training(**{"task": "circle", "experts": 2, "width": 3, "steps": 10} | change)


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match=r"weights have shape \(3,\); it must be \(32,\)"):
        Training("circle", 2, 3, 10).network(np.zeros(3))
    with pytest.raises(ValueError, match="replicas is 0"):
        errors([], 0, 1)
    with pytest.raises(ValueError, match="first is -1; it must be an integer >= 0"):
        errors([], 1, 1, first=-1)
    for call, message in ((lambda made: made.run(0, -1), "replica is -1"),
                          (lambda made: made.run(0, "a"), "replica is 'a'; it must be an integer in"),
                          (lambda made: made.sample(0, 0, 0), "count is 0; it must be an integer >= 1"),
                          (lambda made: errors([3], 1, 0), r"experiments are \[3\]; they must be a list of Training"),
                          (lambda made: errors(made, 1, 0), "they must be a list of Training")):
        with pytest.raises(ValueError, match=message):
            call(Training("circle", 2, 3, 10))


# -- explicit networks -------------------------------------------------------------------------------------------


def exact_fit(pieces):
    """<r^2> of the best spline with equal pieces, in rational arithmetic: <q^2> less the projection's."""
    step = Fraction(3, pieces)
    edges = sorted({step * j for j in range(pieces + 1)} | {Fraction(i) for i in range(4)})

    def integral(coefficients, low, high):
        return sum(Fraction(c) * (high**(k + 1) - low**(k + 1)) / (k + 1) for k, c in enumerate(coefficients))

    def times(a, b):
        return [sum(a[i] * b[k - i] for i in range(len(a)) if 0 <= k - i < len(b)) for k in range(len(a) + len(b) - 1)]

    load, square = [Fraction(0)] * (pieces + 1), Fraction(0)
    for low, high in zip(edges, edges[1:], strict=False):
        i, j = int(low), int(low / step)
        bump = times([-i, Fraction(1)], [i + 1, Fraction(-1)])          # t (1 - t)
        quartic = [(i + 1) * c for c in times(bump, bump)]
        square += integral(times(quartic, quartic), low, high)
        rising = [Fraction(-j), 1 / step]
        load[j + 1] += integral(times(quartic, rising), low, high)
        load[j] += integral(times(quartic, [1 - rising[0], -rising[1]]), low, high)
    rows = [[Fraction(0)] * (pieces + 1) + [load[k]] for k in range(pieces + 1)]
    for j in range(pieces):
        for a, b, weight in ((j, j, 3), (j + 1, j + 1, 3), (j, j + 1, 6), (j + 1, j, 6)):
            rows[a][b] += step / weight
    for k in range(pieces + 1):
        for below in range(k + 1, pieces + 1):
            factor = rows[below][k] / rows[k][k]
            rows[below] = [x - factor * y for x, y in zip(rows[below], rows[k], strict=True)]
    solution = [Fraction(0)] * (pieces + 1)
    for k in reversed(range(pieces + 1)):
        solution[k] = (rows[k][-1] - sum(rows[k][c] * solution[c] for c in range(k + 1, pieces + 1))) / rows[k][k]
    return (square - sum(a * b for a, b in zip(load, solution, strict=True))) / 3


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 8, 12])
def test_fitted_spline_against_rational_arithmetic(pieces):
    exact = float(exact_fit(pieces))
    assert math.isclose(explicit.mean_square_error(2 * pieces), exact, rel_tol=1e-9)
    assert math.isclose(explicit.mean_square_error(2 * pieces, "sum"), 2 * exact, rel_tol=1e-9)


def test_fit_beats_every_other_spline():
    best = explicit.spline_values(7)
    mean, square = explicit.spline_errors(best)
    assert abs(mean) < 1e-16
    for draw in np.random.default_rng(0).standard_normal((50, 8)):
        assert explicit.spline_errors(best + 0.01 * draw)[1] > square
    assert explicit.spline_errors(explicit.spline_values(7, fitted=False))[1] > 1.2 * square


@pytest.mark.parametrize("target", ["vector", "sum"])
@pytest.mark.parametrize("fitted", [True, False])
def test_network_has_the_error_that_is_stated(target, fitted):
    network = explicit.dense_network(10, target, fitted)
    place, weight = np.polynomial.legendre.leggauss(6)
    edges = np.arange(16) / 5
    points = (edges[:-1, None] + (1 + place) / 10).ravel()
    weights = np.tile(weight, 15) / 30
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), axis=-1).reshape(-1, 2)
    wanted = piecewise_quartic(grid) if target == "vector" else piecewise_quartic(grid).sum(axis=1, keepdims=True)
    square = ((network(grid) - wanted) ** 2).mean(axis=1) @ np.outer(weights, weights).ravel()
    assert math.isclose(square, explicit.mean_square_error(10, target, fitted), rel_tol=1e-9)
    assert network.width == 10 and isinstance(network, DenseNetwork)
    mixture = explicit.equal_experts(10, 6, target)
    assert isinstance(mixture, MoE) and len(mixture.layers[0].experts) == 6
    if fitted:
        np.testing.assert_array_equal(mixture(grid), network(grid))
        gate = linear_gate(np.random.default_rng(1).standard_normal((6, 2)))
        np.testing.assert_allclose(MoELayer(gate, mixture.layers[0].experts, 6)(grid), network(grid), atol=1e-14)


def test_interpolating_network_is_the_additive_spline():
    points, nodes = np.random.default_rng(2).uniform(0, 3, (100, 2)), np.linspace(0, 3, 10)
    wanted = np.interp(points, nodes, piecewise_quartic(nodes)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(explicit.dense_network(18, "sum", False)(points), wanted, atol=1e-13)


@pytest.mark.parametrize("fitted", [True, False])
def test_leading_order(fitted):
    gap = [explicit.mean_square_error(m, "sum", fitted) / explicit.leading_error(m, "sum", fitted) - 1
           for m in (96, 192, 384)]
    assert abs(gap[-1]) < 0.012 and abs(gap[1]) < 0.6 * abs(gap[0]) and abs(gap[2]) < 0.6 * abs(gap[1])


@pytest.mark.parametrize("call, message", [
    (lambda: explicit.mean_square_error(7), "width is 7; it must be even"),
    (lambda: explicit.dense_network(8, "product"), "target is 'product'"),
    (lambda: explicit.spline_values(0), "pieces is 0"), (lambda: explicit.equal_experts(8, 0), "experts is 0")])
def test_explicit_networks_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- medians over seeds ------------------------------------------------------------------------------------------


def test_intervals_hold_the_median_as_often_as_they_say():
    """Exponential errors: 4000 intervals at level 0.05 miss at most as often, less the steps of the binomial."""
    draws = np.random.default_rng(3).exponential(size=(4000, 20))
    missed = np.mean([not low[0] <= math.log(2) <= high[0] for low, high in (medians.intervals(row, 0.05)
                                                                              for row in draws)])
    exact = 2 * sum(math.comb(20, k) for k in range(6)) / 2**20     # x_(6) .. x_(15)
    assert exact <= 0.05 < exact + 2 * math.comb(20, 6) / 2**20
    assert abs(missed - exact) < 5 * math.sqrt(exact / 4000)


def test_intervals_are_order_statistics():
    low, high = medians.intervals(np.arange(20.0)[::-1], 0.05)
    assert (low[0], high[0]) == (5.0, 14.0)
    low, high = medians.intervals(np.tile(np.arange(11.0), (1, 1)), 1e-3)
    assert (low[0], high[0]) == (0.0, 10.0)
    with pytest.raises(ValueError, match="there are 10 replicas; an interval of level 0.001 needs at least 11"):
        medians.intervals(np.arange(10.0), 1e-3)
    with pytest.raises(ValueError, match="needs at least 13"):
        medians.intervals(np.ones((4, 11)), 1e-3)


def test_medians_decide_three_ways():
    values = np.linspace(1, 2, 30)
    assert medians.between(values, 0.5, 2.5).accepted is True
    assert medians.between(values, 1.5, 2.5).accepted is None
    assert medians.between(values, 2.5, 3.0).accepted is False
    assert medians.between(np.append(values, np.nan), 0.5, 2.5).accepted is False
    assert medians.between([values, 10 * values], [0.5, 5], [2.5, 25]).accepted is True
    assert medians.between([values, 10 * values], 0.5, 2.5).accepted is False
    assert medians.ratio(10 * values, values, 5, 20).accepted is True
    assert medians.ratio([10 * values, values], values, 5, 20).accepted is False
    assert medians.ratio(10 * values, values, 10, 20).accepted is None
    assert "b: 15" in medians.between([values, 10 * values], 0, 30, at=("a", "b")).note
    with pytest.raises(ValueError, match="the lower must not exceed the upper"):
        medians.between(values, 2, 1)


@pytest.mark.parametrize("name", ["plateau", "training_in_the_plane"])
def test_claims_that_are_exact(name):
    claim = getattr(claims, name)
    assert claim(Effort()).accepted
    assert all(control.run(Effort()).accepted is False for control in claim.controls)
