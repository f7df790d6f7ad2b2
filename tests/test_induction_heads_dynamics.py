"""Learning an induction head: losses by brute force, Monte Carlo and mpmath, flows by finite differences and scipy."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from theorycheck.checks import load
from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.theory.induction_heads import four_gram, induction_block, joint_flow, population_loss
from theorycheck.theory.induction_heads.emergence import emergence_times
from theorycheck.theory.induction_heads.gradient_flow import crossing_time, integrated
from theorycheck.theory.induction_heads.phases import NAMES, Phases, first_crossing, phases
from theorycheck.theory.induction_heads.population_loss import Task

TASKS = st.builds(Task, weight=st.floats(0.1, 10.0), similarity=st.floats(0.05, 0.6), length=st.integers(4, 5000),
                  dimension=st.integers(1, 5))
POINTS = st.tuples(st.floats(0.05, 4.0), st.floats(0.2, 1.2), st.floats(0.05, 4.0), st.floats(-1.0, 2.0),
                   st.floats(-1.0, 2.0), st.floats(0.05, 0.75))


def differences(function, point, step=1e-6):
    """Gradient by central differences."""
    point = np.asarray(point, float)
    moves = np.eye(len(point)) * step
    return np.array([(function(point + move) - function(point - move)) / (2 * step) for move in moves])


def test_four_gram_loss_is_the_sum_over_lags():
    task, (p1, w1, p, a) = Task(2.0, 0.3, dimension=3), (0.4, 0.7, 0.3, 1.3)
    first, second = (np.exp(-slope * np.arange(400.0)) for slope in (p1, p))
    kernel = a * w1 * np.convolve(first / first.sum(), second / second.sum())   # entry k: weight of x_{L-2-k}
    kernel[0] -= task.four_gram
    found = population_loss.four_gram_loss(task, (p1, w1, p, a, 0.0, 0.0))
    assert found == pytest.approx(1.5 * kernel @ kernel, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(task=TASKS, point=POINTS)
def test_losses_are_the_printed_polynomials(task, point):
    p1, w1, p, a, b, w = point
    u, v, d, y, c = math.exp(-p1), math.exp(-p), task.dimension, task.similarity, task.induction
    overlap = (1 - u) * (1 - v)
    squared = overlap * (1 + u * v) / ((1 + u) * (1 + v) * (1 - u * v))
    local = d / 2 * (task.four_gram**2 - 2 * task.four_gram * a * w1 * overlap + (a * w1)**2 * squared)

    def moment(z):
        return d * (1 - 2 * z) ** (-d / 2)

    copying = 0.5 * (b * b * moment(w**4 * w1**2 * (1 - u) / (1 + u)) - 2 * b * c * moment(w * w * y * w1 * (1 - u))
                     + c * c * moment(y * y))
    assert population_loss.four_gram_loss(task, point) == pytest.approx(local, rel=1e-9, abs=1e-13)
    assert population_loss.scaled_induction_loss(task, point) == pytest.approx(copying, rel=1e-9, abs=1e-11)
    both = local + copying / task.keys
    assert population_loss.population_loss(task, point) == pytest.approx(both, rel=1e-9, abs=1e-11)


@settings(deadline=None, max_examples=60)
@given(task=TASKS, point=POINTS)
def test_gradient_by_differences(task, point):
    found = population_loss.gradient(task, point)
    wanted = differences(lambda x: float(population_loss.population_loss(task, x)), point)
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-7 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("dimension", [1, 3])
def test_moment_is_the_mean_over_the_last_token(dimension):
    z = 0.2
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    one = (weights * np.exp(z * nodes**2)).sum() / math.sqrt(2 * math.pi)
    assert population_loss.context_moment(z, dimension) == pytest.approx(dimension * one**dimension, rel=1e-10)
    for order in (1, 2):
        slope = differences(lambda x, order=order: population_loss.context_moment(x[0], dimension, order - 1),
                            [z])[0]
        assert population_loss.context_moment(z, dimension, order) == pytest.approx(slope, rel=1e-8)


def sampled_loss(task, point, contexts=40_000, shifted=True, seed=3):
    """``N L_IH`` by Monte Carlo over finite contexts; mean and standard error."""
    p1, w1, _, _, b, w = point
    rng, length, early = np.random.default_rng(seed), int(task.length), 30
    losses = []
    for _ in range(8):
        tokens = rng.standard_normal((contexts // 8, early + length))
        lagged = np.zeros_like(tokens)
        for place in range(1, tokens.shape[1]):   # the exponential average of all that came before
            lagged[:, place] = math.exp(-p1) * lagged[:, place - 1] + w1 * -math.expm1(-p1) * tokens[:, place - 1]
        last, values = tokens[:, -1:], tokens[:, early + 1:-1]

        def attended(logits, values=values):
            attention = np.exp(logits - logits.max(axis=1, keepdims=True))
            return (attention * values).sum(axis=1) / attention.sum(axis=1)

        keys = lagged[:, early + 1:-1] if shifted else values
        mine = b * attended(w * w * last * keys)
        target = task.induction * attended(task.similarity * last * tokens[:, early:-2])
        losses.append(0.5 * task.keys * (mine - target) ** 2)
    losses = np.concatenate(losses)
    return losses.mean(), losses.std() / math.sqrt(losses.size)


def test_induction_loss_by_monte_carlo():
    task, point = Task(1.0, 0.3, 130), (1.0, 0.8, 0.7, 0.9, 0.3, 0.6)
    mean, stderr = sampled_loss(task, point)
    # O(1/N): the error of the loss is below 2/N of it at this similarity
    exact = float(population_loss.scaled_induction_loss(task, point))
    assert abs(mean - exact) < 5 * stderr + 2 * exact / task.keys
    assert 5 * stderr < 0.05 * exact


def test_unshifted_loss_by_monte_carlo():
    """Its three moments apart, at a point where a wrong sign in one does not make up for one in another."""
    y, x, keys, rng = 0.3, 0.36, 62, np.random.default_rng(8)
    found = []
    for _ in range(20):
        tokens = rng.standard_normal((4000, keys + 2))
        last, before, own = np.abs(tokens[:, -1:]), tokens[:, :-2], tokens[:, 1:-1]

        def attended(logits, own=own):
            attention = np.exp(logits)
            return (attention * own).sum(axis=1) / attention.sum(axis=1)

        mean = x * last[:, 0]
        # of the queries q and -q: what is even in q goes out of f, what is left is of order 1/N
        for m, f, slope in ((attended(x * last * own), attended(y * last * before), mean),
                            (attended(-x * last * own), attended(-y * last * before), -mean)):
            found.append([keys * ((m - slope)**2 + 2 * slope * (m - slope - own.mean(axis=1))),
                          keys * (m - slope) * f, keys * slope * f])
    samples = np.array(found).reshape(20, 2, 3, 4000).mean(axis=1)
    mean, error = samples.mean(axis=(0, 2)), samples.std(axis=(0, 2)) / math.sqrt(80_000)
    moment = (1 - 2 * x * x) ** -0.5
    wanted = np.array([moment - x * x * moment**3, 1.0, -x * y])
    assert (np.abs(mean - wanted) < 5 * error + 2.0 / keys).all(), (mean, wanted, error)
    assert (5 * error + 2.0 / keys < [0.2, 0.1, 0.08]).all()   # a wrong sign: 0.4, 0, 0.2
    task, c = Task(1.0, y, keys + 2), 0.5
    for b in (0.4, -0.2):
        own, mixed = keys * x * x + mean[0], mean[1] + mean[2]
        sampled = 0.5 * (b * b * own - 2 * b * c * mixed + c * c * (1 - 2 * y * y) ** -0.5)
        assert population_loss.unshifted_induction_loss(task, b, math.sqrt(x)) == pytest.approx(sampled, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(b=st.floats(-1.0, 2.0), w=st.floats(0.05, 0.8), y=st.floats(0.05, 0.6), keys=st.integers(2, 1000))
def test_unshifted_gradient_by_differences(b, w, y, keys):
    task = Task(0.7, y, keys + 2)
    wanted = differences(lambda x: float(population_loss.unshifted_induction_loss(task, *x)), [b, w])
    np.testing.assert_allclose(population_loss.unshifted_gradient(task, b, w), wanted, rtol=1e-6,
                               atol=1e-7 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("keys", [2, 5, 66, 1000])
@pytest.mark.parametrize("slope", [0.0, 1e-9, 1e-5, 3e-3, 0.07, 0.5, 20.0])
def test_attention_sums_against_mpmath(keys, slope):
    with mpmath.workdps(40):
        v = mpmath.exp(-mpmath.mpf(slope))
        weights = [v**j for j in range(keys)]
        total = mpmath.fsum(weights)
        weights = [weight / total for weight in weights]
        mean = mpmath.fsum(j * weight for j, weight in enumerate(weights))
        falling = [weight * (mean - j) for j, weight in enumerate(weights)]
        wanted = [weights[0], mpmath.fsum(x * x for x in weights), falling[0],
                  2 * mpmath.fsum(x * y for x, y in zip(weights, falling))]
        for found, exact in zip(four_gram.attention_sums(slope, keys), wanted):
            assert abs(float(found - exact)) <= 1e-13 * abs(float(exact))


@settings(deadline=None, max_examples=40)
@given(task=TASKS, a=st.floats(0.01, 2.0), p=st.floats(0.01, 5.0), finite=st.booleans())
def test_four_gram_rates_are_the_downhill_gradient(task, a, p, finite):
    task = task if finite else Task(task.weight, task.similarity, math.inf, task.dimension)
    wanted = -differences(lambda x: float(four_gram.four_gram_loss(task, *x)), [a, p])
    found = four_gram.four_gram_rates(task, a, p)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    q = math.sqrt(p)
    by_q = -differences(lambda x: float(four_gram.four_gram_loss(task, a, x[0] ** 2)), [q])[0]
    assert four_gram.four_gram_rates(task, a, p, "quadratic")[1] == pytest.approx(2 * q * by_q, rel=1e-5, abs=1e-6)


def test_four_gram_flow_and_time_by_another_integrator():
    task = Task(1.0, length=66)
    done = integrate.solve_ivp(lambda _, x: four_gram.four_gram_rates(task, *x), (0.0, 60.0), [1e-3, 1e-3],
                               method="Radau", rtol=1e-10, atol=1e-13, dense_output=True)
    path = four_gram.four_gram_flow(task, 1e-3, [0.0, 5.0, 20.0, 60.0])
    np.testing.assert_allclose([path.value, path.slope], done.sol(path.times), rtol=1e-7)
    half = four_gram.learning_time(task, 1e-3)
    assert four_gram.four_gram_loss(task, *done.sol(half)) == pytest.approx(0.25 * task.four_gram**2, rel=1e-7)
    assert path.loss[-1] < path.loss[0]


@settings(deadline=None, max_examples=40)
@given(task=TASKS, b=st.floats(-1.0, 2.0), w=st.floats(0.05, 0.75))
def test_induction_rates_are_the_downhill_gradient(task, b, w):
    wanted = -differences(lambda x: float(induction_block.induction_loss(task, x[0], x[1] ** 2)), [b, w])
    np.testing.assert_allclose(induction_block.induction_rates(task, b, w), wanted, rtol=2e-6,
                               atol=2e-7 * max(1.0, np.abs(wanted).max()))
    linear = -differences(lambda x: float(induction_block.induction_loss(task, *x)), [b, w * w])
    np.testing.assert_allclose(induction_block.induction_rates(task, b, w * w, "linear"), linear, rtol=2e-6,
                               atol=2e-7 * max(1.0, np.abs(linear).max()))


@settings(deadline=None, max_examples=30)
@given(task=TASKS, part=st.floats(0.05, 0.95))
def test_slaved_value_and_separable_rate(task, part):
    x = part * task.similarity
    b = induction_block.slaved_value(task, x)
    value_rate, key_rate = induction_block.induction_rates(task, b, math.sqrt(x))
    assert abs(value_rate) < 1e-12 * task.dimension / (1 - 2 * task.similarity**2) ** (task.dimension / 2 + 1)
    assert 2 * math.sqrt(x) * key_rate == pytest.approx(induction_block.separable_rate(task, x), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(y=st.floats(0.02, 0.7), ratio=st.floats(0.001, 0.999), dimension=st.integers(1, 6))
def test_similarity_at_a_level_has_that_loss(y, ratio, dimension):
    task = Task(1.0, y, dimension=dimension)
    x = float(induction_block.similarity_at(y, ratio, dimension))
    loss = induction_block.induction_loss(task, induction_block.slaved_value(task, x), x)
    assert 0 < x < y and loss == pytest.approx(ratio * induction_block.plateau(task), rel=1e-7)


@pytest.mark.parametrize("y, ratio, dimension", [(0.1, 0.5, 1), (0.3, 0.9, 1), (0.5, 0.01, 1), (0.65, 0.1, 1),
                                                 (0.4, 0.5, 4)])
def test_emergence_constants_against_mpmath(y, ratio, dimension):
    end, d = mpmath.mpf(float(induction_block.similarity_at(y, ratio, dimension))), dimension

    def clock(x):
        return ((1 - 2 * x * y) ** (d + 1) * mpmath.sqrt(1 - 2 * x * x) ** (2 - d) - 1 + x / y) / (x * (1 - x / y))

    def lag(x):
        return ((y / (1 - 2 * x * y) - 2 * x / (1 - 2 * x * x)) ** 2 * (1 - 2 * x * y)
                * mpmath.sqrt(1 - 2 * x * x) ** (2 + d) / (y - x))

    with mpmath.workdps(30):
        constant = mpmath.log(end / y) + mpmath.quad(clock, mpmath.linspace(0, end, 9))
        delay = mpmath.quad(lag, mpmath.linspace(0, end, 9))
    found = induction_block.emergence_constants(y, ratio, dimension)
    np.testing.assert_allclose([float(part) for part in found], [float(constant), float(delay)], rtol=1e-9)


@pytest.mark.parametrize("weight, y, scale, ratio, dimension", [(1.0, 0.3, 1e-2, 0.5, 1), (5.0, 0.5, 1e-6, 0.1, 1),
                                                                (0.3, 0.2, 0.05, 0.9, 3), (1.0, 0.69, 1e-3, 0.01, 1)])
def test_emergence_times_by_another_integrator(weight, y, scale, ratio, dimension):
    task = Task(weight, y, dimension=dimension)

    def fallen(_, state):
        loss = float(induction_block.induction_loss(task, state[0], state[1] ** 2))
        return loss - ratio * induction_block.plateau(task)

    fallen.terminal = True
    done = integrate.solve_ivp(lambda _, x: induction_block.rates(task, *x), (0.0, 1e6), [scale, scale],
                               method="Radau", rtol=1e-10, atol=1e-16, events=fallen)
    assert emergence_times(weight, y, scale, ratio, dimension) == pytest.approx(done.t_events[0][0], rel=1e-6)


def test_emergence_from_a_value_far_above_the_target():
    """The weakest of targets: b falls back to c first, w hardly moves, then the formula's logarithm."""
    found = float(emergence_times(1e6, 0.3, 0.1))
    constant = float(induction_block.emergence_constants(0.3)[0])
    assert found == pytest.approx((math.log(0.3 / 0.01) + constant) * (1 + 1e6) ** 2 / 1.2, rel=0.02)


def test_emergence_times_broadcast_and_start_below_the_level():
    grid = emergence_times(np.array([0.5, 2.0])[:, None], np.array([0.2, 0.3, 0.4]), 1e-3)
    assert grid.shape == (2, 3) and grid[1, 2] == emergence_times(2.0, 0.4, 1e-3)
    assert (np.diff(grid, axis=0) > 0).all() and (np.diff(grid, axis=1) < 0).all()
    assert emergence_times(1.0, 0.3, 0.5, 0.9) == 0.0   # b = c and w near its end: below 0.9 of the plateau at once


@settings(deadline=None, max_examples=30)
@given(task=TASKS)
def test_hessian_by_differences(task):
    best = [task.induction, math.sqrt(task.similarity)]

    def downhill(point):
        return -np.array(induction_block.induction_rates(task, *point))

    wanted = differences(downhill, best, 1e-5)
    np.testing.assert_allclose(induction_block.hessian(task), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    assert induction_block.final_rate(task) == pytest.approx(2 * np.linalg.eigvalsh(induction_block.hessian(task))[0],
                                                             rel=1e-7)


@pytest.mark.parametrize("dimension", [1, 2])
def test_blocks_are_the_joint_slopes_with_a_perfect_first_layer(dimension):
    task = Task(0.7, 0.3, 1002, dimension)
    found = -np.array(population_loss.slopes(task, 45.0, 1.0, 0.8, 0.6, 0.4, 0.5))
    endless = Task(0.7, 0.3, math.inf, dimension)
    np.testing.assert_allclose(found[[3, 2]], four_gram.four_gram_rates(endless, 0.6, 0.8), rtol=1e-12)
    np.testing.assert_allclose(task.keys * found[4:], induction_block.induction_rates(task, 0.4, 0.5), rtol=1e-12)


def test_joint_flow_goes_downhill_and_its_times_are_its_crossings():
    task = Task(1.0, 0.3, 302)
    times = np.geomspace(1.0, 1e5, 300)
    path = joint_flow.joint_flow(task, 0.1, times)
    assert (np.diff(path.four_gram + path.induction) < 1e-13).all()
    local, copying = joint_flow.joint_times(task, 0.1)
    assert first_crossing(times, path.four_gram, 0.25 * task.four_gram**2) == pytest.approx(local, rel=1e-2)
    assert first_crossing(times, path.induction * task.keys, 0.5 * induction_block.plateau(task)) == pytest.approx(
        copying, rel=1e-2)
    assert path.parameter("b")[-1] == path.parameters[-1, 4] == pytest.approx(task.induction, rel=1e-4)


def test_stage_two_is_its_two_blocks_and_has_four_phases():
    task = Task(1.0, 0.3, 1002)
    path = joint_flow.stage_two_flow(task, 0.01, np.geomspace(1.0, 1e6, 500))
    found = phases(task, path)
    assert found.separated and found.learned == pytest.approx(four_gram.learning_time(task, 0.01, 0.01), rel=1e-3)
    half = first_crossing(path.times, path.induction * task.keys, 0.5 * induction_block.plateau(task))
    assert half == pytest.approx(task.keys * float(emergence_times(1.0, 0.3, 0.01)), rel=1e-3)
    labels = found.labels(path.times)
    assert set(labels) == set(range(len(NAMES))) and (np.diff(labels) >= 0).all()
    assert sum(found.durations) == pytest.approx(found.emerged)


def test_phases_without_a_plateau():
    found = Phases(learned=10.0, levelled=2.0, left=5.0, emerged=8.0)
    assert not found.separated and found.durations == (10.0, 0.0, 3.0)
    assert found.labels([1.0, 6.0, 9.0]).tolist() == [0, 2, 3]
    assert Phases(1.0, math.inf, math.inf, math.inf).durations == (math.inf, math.inf, math.inf)
    assert first_crossing(np.array([0.0, 1.0, 2.0]), np.array([4.0, 1.0, 0.25]), 0.5) == pytest.approx(math.sqrt(2.0))
    assert first_crossing(np.array([1.0, 2.0]), np.array([4.0, 1.0]), 0.5) == math.inf


def test_integrator_against_an_exponential():
    states = integrated(lambda x: -x, [1.0, 1e-6], [0.0, 1.0, 3.0])
    np.testing.assert_allclose(states, np.exp([[0.0], [-1.0], [-3.0]]) * [1.0, 1e-6], rtol=1e-8)
    assert crossing_time(lambda x: -x, [1.0], lambda x: x[0], 0.1, 10.0) == pytest.approx(math.log(10.0), rel=1e-8)
    assert crossing_time(lambda x: -x, [1.0], lambda x: x[0], 0.1, 1.0) == math.inf


def test_flows_from_the_smallest_starts():
    path = induction_block.induction_flow(Task(), 1e-140, [5.0])   # w is still 0, b relaxes at rate 1
    assert path.value[0] == pytest.approx(0.5 * (1 - math.exp(-5)), rel=1e-8)
    escape = (four_gram.learning_time(Task(), 1e-139) - four_gram.learning_time(Task(), 1e-39)) / math.log(1e100)
    assert escape == pytest.approx(2.0, rel=1e-3)   # 1/gamma
    assert joint_flow.joint_times(Task(1.0, 0.3, 100), 1e-139) == (math.inf, math.inf)
    small = [1e-60, 1e-60, 2e-60, 1e-60, 1e-60, 1e-60]
    assert population_loss.four_gram_loss(Task(), small) == 0.125 and np.isfinite(
        population_loss.gradient(Task(), small)).all()


def test_half_time_of_both_logits():
    task = Task(1.0, 0.3)
    found = induction_block.half_time(task, 1e-4)   # b = 0 at the start, in place of sigma
    assert found == pytest.approx(float(emergence_times(1.0, 0.3, 1e-4)), rel=1e-4)
    path = induction_block.induction_flow(task, (0.0, 1e-3), np.linspace(0, 40, 4001), "linear")
    half = first_crossing(path.times, path.scaled_loss, 0.5 * induction_block.plateau(task))
    assert induction_block.half_time(task, 1e-3, "linear") == pytest.approx(half, rel=1e-3)


def test_what_stops_the_integrator_is_said_in_one_line():
    def wild(state):
        raise ValueError("two\nlines")

    with pytest.raises(RuntimeError, match="could not be integrated to t = 1: 'two") as caught:
        integrated(wild, [1.0], [1.0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["four_gram_sums", "emergence_scaling", "emergence_abruptness", "emergence_time",
                                  "emergence_linear_logit", "first_drop", "plateau_level", "convergence_rate",
                                  "single_fixed_point", "stage_one"])
def test_claims_hold_and_their_controls_do_not(name):
    outcome = judge(load("induction_heads")[f"induction_heads.{name}"], Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome


@pytest.mark.parametrize("call, message", [
    (lambda: Task(0.0), "weight is 0.0"), (lambda: Task(1.0, 0.71), "similarity is 0.71; it must be > 0 and < 1/sqrt"),
    (lambda: Task(1.0, 0.3, 3), "length is 3; it must be an integer >= 4"),
    (lambda: Task(1.0, 0.3, 9.5), "length is 9.5"),
    (lambda: Task(dimension=0), "dimension is 0"), (lambda: Task(dimension=math.inf), "dimension is inf"),
    (lambda: Task(dimension=math.nan), "dimension is nan"), (lambda: Task("one"), "weight is 'one'"),
    (lambda: population_loss.four_gram_loss(Task(), [1.0, 2.0]), "parameters have shape"),
    (lambda: population_loss.gradient(Task(), [0.0, 1, 1, 1, 1, 0.1]), "p1 is 0"),
    (lambda: population_loss.scaled_induction_loss(Task(), [9.0, 1, 1, 1, 1, 0.9]), "z reaches 0.65"),
    (lambda: four_gram.attention_sums(0.0, math.inf), "slope is 0.0"),
    (lambda: four_gram.four_gram_flow(Task(), 0.0, [1.0]), "scale is 0.0"),
    (lambda: four_gram.four_gram_flow(Task(), 0.1, [2.0, 1.0]), "times must be"),
    (lambda: four_gram.four_gram_flow(Task(), 0.1, [1.0], "cubic"), "encoding is 'cubic'"),
    (lambda: four_gram.learning_time(Task(), 0.1, 1.0), "fraction is 1.0"),
    (lambda: induction_block.induction_flow(Task(), (0.1, 0.9), [1.0]), "w\\^4 < 1/2"),
    (lambda: induction_block.emergence_time(Task(), 0.6), "scale is 0.6; it must be > 0 and < 0.5"),
    (lambda: induction_block.emergence_constants(0.8), "similarity is 0.8"),
    (lambda: emergence_times(1.0, 0.3, 0.6), "scale is 0.6"),
    (lambda: emergence_times(1.0, [0.3, 0.9], 0.1), "similarity is 0.9"),
    (lambda: joint_flow.joint_flow(Task(), 0.1, [1.0]), "length is inf"),
    (lambda: joint_flow.stage_one_flow(Task(), 0.0, 0.1, (0.1, 0.1), [1.0]), "value is 0.0"),
    (lambda: Task(1.0, 1 / math.sqrt(2)), "must be > 0 and < 1/sqrt"),
    (lambda: Task(1.0, math.nan), "similarity is nan"),
    (lambda: population_loss.context_moment(0.1, 1, 3), "order is 3; it must be 0, 1 or 2"),
    (lambda: population_loss.population_loss(3, [1.0] * 6), "task is 3; it must be a Task"),
    (lambda: population_loss.unshifted_gradient(Task(1.0, 0.3, 9), [0.1, 0.2], [0.1] * 3), "they must broadcast"),
    (lambda: induction_block.induction_flow(Task(), (1, 2, 3), [1.0]), "scale is \\(1, 2, 3\\); it must be one number"),
    (lambda: induction_block.induction_flow(Task(), math.nan, [1.0]), "scale is nan"),
    (lambda: induction_block.induction_flow(3, 0.1, [1.0]), "task is 3"),
    (lambda: induction_block.induction_rates(Task(), 0.1, 0.1, "cubic"), "one of quadratic, linear"),
    (lambda: induction_block.induction_rates(Task(), 0.1, 1.5), "z reaches 5.0625; it must be below 1/2"),
    (lambda: induction_block.induction_rates(Task(), 0.1, 0.8, "linear"), "z reaches 0.64"),
    (lambda: induction_block.induction_rates(Task(), math.nan, 0.1), "values of b hold NaN"),
    (lambda: induction_block.induction_loss(Task(), [1, 2], [0.1] * 3), "they must broadcast"),
    (lambda: four_gram.four_gram_rates(Task(), 0.1, 0.1, "cubic"), "encoding is 'cubic'"),
    (lambda: four_gram.four_gram_rates(Task(), 0.1, -0.1), "slope is"),
    (lambda: four_gram.four_gram_flow(Task(), (1, 2, 3), [1.0]), "one number, or a pair"),
    (lambda: four_gram.attention_sums(0.1, 0), "keys is 0.0; it must be an integer >= 1, or inf"),
    (lambda: emergence_times(1e12, 0.3, 0.1), "weight is 1000000000000.0; it must be > 0 and <= 1e\\+09"),
    (lambda: emergence_times(1.0, 1 / math.sqrt(2), 0.1), "similarity is"),
    (lambda: emergence_times(1.0, 0.3, 1e-310), "it must be >= 1e-300"),
    (lambda: emergence_times([1.0, 2.0], [0.3] * 3, 0.1), "\\(2,\\), \\(3,\\), \\(\\); they must broadcast"),
    (lambda: joint_flow.stage_one_flow(Task(), 0.1, 0.1, 0.1, [1.0]), "must be a pair, p1 and w1"),
    (lambda: joint_flow.joint_times(Task(1.0, 0.3, 99), 0.1, 2.0), "fraction is 2.0"),
    (lambda: joint_flow.stage_two_flow(Task(1.0, 0.3, 99), 0.1, [1.0]).parameter("q"), "parameter is 'q'"),
    (lambda: crossing_time(lambda x: -x, [1.0], lambda x: x[0], math.nan, 1.0), "level and horizon are nan"),
    (lambda: phases(Task(), joint_flow.stage_two_flow(Task(1.0, 0.3, 99), 0.1, [1.0])), "length is inf"),
    (lambda: phases(Task(1.0, 0.3, 99), 3), "path is 3; it must be a TrainingPath"),
    (lambda: first_crossing([1.0, 2.0], [1.0], 0.5), "equally long"),
    (lambda: first_crossing([1.0, 2.0], [math.nan, 0.1], 0.5), "must be >= 0, and numbers"),
    (lambda: first_crossing([1.0, 2.0], [1.0, -0.1], 0.5), "must be >= 0, and numbers"),
    (lambda: induction_block.induction_flow(Task(), 1e-155, [1.0, 5.0]), "starting value is 1e-155"),
    (lambda: joint_flow.stage_two_flow(Task(1.0, 0.3, 99), 1e-155, [1.0]), "starting value is 1e-155"),
    (lambda: four_gram.learning_time(Task(), 1e-300), "must be 0, or in \\[1e-140, 1e\\+06\\]"),
    (lambda: four_gram.learning_time(Task(), 1e-30, 0.5, "quadratic"), "must be >= 1e-20"),
    (lambda: induction_block.induction_flow(Task(), (1e308, 0.1), [1.0]), "starting value is 1e\\+308"),
    (lambda: four_gram.four_gram_flow(Task(), 0.1, [1e300]), "times reach 1e\\+300; they must be at most 1e\\+10"),
    (lambda: joint_flow.joint_times(Task(1.0, 0.3, 100), 1e-200), "starting value is 1e-200"),
    (lambda: induction_block.half_time(Task(), 0.6), "scale is 0.6; it must be > 0 and < 0.5477"),
    (lambda: induction_block.emergence_constants(0.3, 1e-300), "constants are finite for larger ratios"),
    (lambda: induction_block.emergence_constants(0.3, 0.5, 10**5), "smaller dimensions only"),
    (lambda: population_loss.population_loss(Task(), [1, 1e200, 1, 1, 1, 0.0]), "parameters reach 1e\\+200"),
    (lambda: population_loss.best_four_gram_value(None, 1, 1), "task is None"),
    (lambda: population_loss.best_four_gram_value(Task(), 1.0, 0.0), "p is 0"),
    (lambda: first_crossing([1.0, 2.0], [1.0, 0.2], 0.0), "level is 0"),
    (lambda: phases(Task(1.0, 0.3, 100), joint_flow.stage_two_flow(Task(1.0, 0.3, 100), 0.1, [1.0]), emerged=0.995),
     "emerged is 0.995"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
