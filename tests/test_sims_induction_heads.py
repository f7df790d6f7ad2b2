"""SGD on induction heads against plain NumPy and finite differences; contexts, chains, training; what is refused."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from theorycheck.checks import experiment as sweeps
from theorycheck.checks.induction_heads import timing
from theorycheck.checks.induction_heads.markov_chains import longest_rest
from theorycheck.sims import engine, streams
from theorycheck.sims import induction_heads as sims
from theorycheck.sims.induction_heads import backpropagation, descent, kernels, layer
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.induction_heads import finite_context, induction_block
from theorycheck.theory.induction_heads import markov_chains as chains
from theorycheck.theory.induction_heads.attention import AttentionLayer, TwoLayerAttention, softmax
from theorycheck.theory.induction_heads.population_loss import PARAMETERS, Task, context_moment


def batch(name, seed, replica, step, size, length):
    """The tokens of a batch (B, L) as the documentation promises them."""
    padded = 4 * -(-length // 4)
    drawn = streams.normals(streams.key(seed, name), replica, step, size * padded, purpose=0)
    return drawn.reshape(size, padded)[:, :length].astype(np.float64)


def target(task, x):
    """``f*`` of a batch, shape (B, 2)."""
    weights = softmax(task.similarity * x[:, -1:] * x[:, :-2])
    return np.stack([task.four_gram * x[:, -3], task.induction * np.sum(weights * x[:, 1:-1], axis=1)], axis=1)


def scalar_losses(task, x, state, power=2):
    """Both half mean squares of the six-scalar student, by matrices of attention."""
    p1, w1, p, a, b, w = state
    length = x.shape[1]
    lag = np.subtract.outer(np.arange(length), np.arange(length))
    slopes = np.where(lag == 1, 0.0, -np.inf) if p1 == math.inf else -p1 * (lag - 1.0)
    first = softmax(np.where(lag >= 1, slopes, -np.inf))
    y = w1 * x @ first.T
    near = softmax(-p * np.arange(length - 2.0))[::-1]
    keys, values = y[:, 1:-1], x[:, 1:-1]
    student = [a * keys @ near, b * np.sum(softmax(w**power * x[:, -1:] * keys) * values, axis=1)]
    return 0.5 * np.mean((np.stack(student, axis=1) - target(task, x)) ** 2, axis=0)


def layer_losses(task, x, state):
    """The same of a whole layer with parameters (2, 13)."""
    h = np.stack([x[:, 1:], x[:, :-1]], axis=2)
    last, keys = h[:, -1], h[:, :-1]
    lag = np.arange(keys.shape[1])[::-1]
    out = -target(task, x)
    for p, *rest in state.reshape(2, 13):
        q, k, v = np.reshape(rest, (3, 2, 2))
        weights = softmax(np.einsum("br,bsr->bs", last @ q.T, keys @ k.T) - p * lag)
        out = out + np.einsum("bs,bsi->bi", weights, keys) @ v.T
    return 0.5 * np.mean(out**2, axis=0)


def descend(loss, state, trained, rate, batches, step=1e-5):
    """Gradient descent on a loss by central differences: the states before each batch, and after the last."""
    states = [np.array(state, dtype=float)]
    for x in batches:
        slope = np.zeros(len(state))
        for i in trained:
            up, down = states[-1].copy(), states[-1].copy()
            up[i] += step
            down[i] -= step
            slope[i] = (np.sum(loss(x, up)) - np.sum(loss(x, down))) / (2 * step)
        states.append(states[-1] - rate * slope)
    return np.array(states)


def observed(states):
    """Six scalars as they are recorded: ``e^{-p1}`` first."""
    return np.column_stack([np.exp(-states[:, 0]), states[:, 1:]])


# -- kernels -----------------------------------------------------------------------------------------------------


def test_exponential_is_accurate():
    x = np.linspace(-87, 87, 400_001).astype(np.float32)
    out = np.empty_like(x)
    kernels.exponentials(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=8e-8)
    assert out[x == 0].tolist() == [1.0]


def test_tokens_are_those_of_the_stream():
    x = np.empty(kernels.LANES * 12, dtype=np.float32)
    kernels.tokens(np.uint64(streams.key(4, "induction_heads.sgd")), np.uint64(3), np.uint64(7), 16, x)
    expected = batch("induction_heads.sgd", 4, 3, 7, 40, 11)[16:32]
    np.testing.assert_array_equal(x.reshape(12, -1)[:11].T, expected)


@pytest.mark.parametrize("length", [4, 9, 12])
@pytest.mark.parametrize("start, trained, logit", [
    ((math.inf, 1.0, 0.4, 0.3, 0.2, 0.5), descent.SECOND_LAYER, "quadratic"),
    ((0.7, 0.8, 0.4, 0.3, 0.2, 0.5), PARAMETERS, "quadratic"),
    ((0.7, -0.8, -0.1, 0.3, 0.2, 0.5), PARAMETERS, "linear")])
def test_descent_against_differences_of_the_loss(length, start, trained, logit):
    task, size, steps = Task(2.0, 0.4, length), 37, 4
    made = sims.Descent(task, steps, start, trained, 0.3, size, np.arange(steps + 1), logit)
    found = made.sample(5, 2, 1)[0]
    batches = [batch("induction_heads.sgd", 5, 2, k, size, length) for k in range(steps + 1)]

    def loss(x, state):
        return scalar_losses(task, x, state, descent.LOGITS[logit])

    states = descend(loss, start, [PARAMETERS.index(name) for name in trained], 0.3, batches[:-1])
    np.testing.assert_allclose(found[:, :6], observed(states), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(found[:, 6:], [loss(x, state) for x, state in zip(batches, states)], rtol=1e-4)
    frozen = [PARAMETERS.index(name) for name in PARAMETERS if name not in trained]
    assert (found[:, frozen] == found[0, frozen]).all()


@pytest.mark.parametrize("heads, start", [("free", None), ("divided", None), ("scalars", sims.scalar_start(0.3))])
def test_layer_against_differences_of_the_loss(heads, start):
    task, size, steps, length = Task(0.5, 0.4, 10), 21, 3, 10
    made = sims.LayerDescent(task, steps, 0.4, start, heads, 0.3, size, np.arange(steps + 1))
    found, begin = made.sample(5, 1, 1)[0], made.drawn(streams.key(5, "induction_heads.layer"), 1)
    batches = [batch("induction_heads.layer", 5, 1, k, size, length) for k in range(steps + 1)]
    states = descend(lambda x, state: layer_losses(task, x, state), begin, np.flatnonzero(made.rates), 0.3,
                     batches[:-1])
    parts = states.reshape(-1, 2, 13)
    products = np.einsum("thri,thrj->thij", parts[:, :, 1:5].reshape(-1, 2, 2, 2),
                         parts[:, :, 5:9].reshape(-1, 2, 2, 2)).reshape(-1, 2, 4)
    expected = np.concatenate([parts[:, :, :1], products, parts[:, :, 9:]], axis=2).reshape(-1, 18)
    np.testing.assert_allclose(found[:, :18], expected, rtol=3e-5, atol=3e-6)
    losses = [layer_losses(task, x, state) for x, state in zip(batches, states)]
    np.testing.assert_allclose(found[:, 18:], losses, rtol=1e-4)


def test_the_scalars_of_a_layer_are_the_six_scalars():
    """Given w^2 = q k with q = k the first step of b, p and a is the same, that of the scale half as large."""
    task, x = Task(1.0, 0.3, 9), batch("induction_heads.sgd", 1, 0, 0, 50, 9)
    state = np.array([math.inf, 1.0, 0.5, 0.4, 0.3, 0.6])
    whole = np.zeros(26)
    whole[list(layer.SCALARS)] = [0.5, 0.4, 0.6, 0.6, 0.3]
    np.testing.assert_allclose(layer_losses(task, x, whole), scalar_losses(task, x, state), rtol=1e-12)


# -- reproducibility ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [
    sims.Descent(Task(1.0, 0.3, 9), 6, (0.5,) * 6, PARAMETERS, 0.3, 20, [0, 3, 6]),
    sims.LayerDescent(Task(1.0, 0.3, 9), 5, batch_size=20, times=[5]),
    sims.Emergence(sims.Descent(Task(1.0, 0.3, 9), 40, sims.second_stage(0.35), rate=1.0, batch_size=20)),
    sims.Moments(Task(1.0, 0.3, 9, 2), 0.2, 20),
    sims.Heights(3, 5, 20),
    sims.ChainTraining(2, 4, 3, batch_size=5, times=[0, 3], tests=10)], ids=lambda made: made.name)
def test_replicas_do_not_depend_on_company(made):
    whole = made.sample(7, 0, 5)
    assert whole.shape == (5, *made.shape) and np.isfinite(whole).all()
    np.testing.assert_array_equal(np.concatenate([made.sample(7, 0, 2), made.sample(7, 2, 3)]), whole)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).sample(7, 3, 1), whole[3:4])
    assert not np.array_equal(whole[0], whole[1])
    assert engine.estimate(made, replicas=5, seed=7, chunk=2) == engine.estimate(made, replicas=5, seed=7, chunk=5)
    assert {"observable"} <= set(made.coordinates()) or made.name.startswith("induction_heads.heights")


def test_workers_change_no_bit():
    made = sims.Descent(Task(1.0, 0.3, 9), 4, sims.second_stage(0.3), batch_size=30)
    assert engine.estimate(made, replicas=6, seed=1, jobs=2) == engine.estimate(made, replicas=6, seed=1)


# -- emergence ---------------------------------------------------------------------------------------------------


def test_emergence_is_where_the_path_crosses():
    made = sims.Descent(Task(1.0, 0.3, 12), 400, sims.second_stage(0.3), rate=0.5, batch_size=50,
                        times=np.arange(401))
    path = made.sample(3, 0, 1)[0]
    scale = path[:, 1] * path[:, 5] ** 2
    after = int(np.argmax(scale >= 0.8 * 0.3))
    expected = 0.5 * (after - (scale[after] - 0.24) / (scale[after] - scale[after - 1]))
    assert sims.Emergence(made, 0.8).sample(3, 0, 1)[0, 0] == pytest.approx(expected, rel=1e-12)
    never = sims.Descent(Task(1.0, 0.3, 12), 50, (math.inf, 1.0, 0.3, 0.3, 0.3, 0.0), batch_size=50)
    assert sims.Emergence(never).sample(3, 0, 1)[0, 0] == 25.0
    late = sims.Descent(Task(1.0, 0.3, 12), 50, (math.inf, 1.0, 0.3, 0.3, 0.3, 0.5), batch_size=50)
    assert sims.Emergence(late).sample(3, 0, 1)[0, 0] == 0.0


def test_a_run_that_leaves_the_numbers_is_named():
    wild = sims.Descent(Task(1.0, 0.3, 8), 200, (0.1,) * 6, PARAMETERS, 50.0, 20)
    with pytest.raises(engine.Diverged) as caught:
        wild.sample(0, 0, 2)
    assert caught.value.replica == 0 and caught.value.step >= 1
    with pytest.raises(engine.Diverged):
        sims.LayerDescent(Task(1.0, 0.3, 8), 200, 0.5, rate=50.0, batch_size=20).sample(0, 0, 1)
    for rate in (50.0, 1e300):   # a weight that overflows; a state that is taken to be impossible
        with pytest.raises(engine.Diverged) as caught:
            sims.ChainTraining(3, 10, lr.constant(20, rate)).sample(0, 1, 1)
        assert caught.value.replica == 1 and caught.value.step >= 1


def test_what_never_happens_is_not_early():
    times = np.array([1.0, 2.0, 4.0])
    assert timing.first(times, [False, True, True]) == 2.0 and timing.first(times, [False] * 3) == math.inf
    assert timing.in_order([1.0, 3.0], 2.0, 10.0, "two events").accepted
    for whens in ([1.0, 1.5], [1.0, math.inf], [math.inf, 3.0], [math.inf, math.inf]):
        assert timing.in_order(whens, 2.0, 10.0, "two events").accepted is False


def test_a_run_that_is_cut_off_does_not_count():
    task = Task(1.0, 0.3, 12)
    late, cut = (timing.emerged(sims.Descent(task, steps, sims.second_stage(0.3), ("b", "w"), batch_size=50),
                                replicas=4, seed=0) for steps in (600, 20))
    assert late.latest < 0.9 and cut.latest == 1.0 and cut.mean == 10.0
    assert timing.in_time([late]).accepted and timing.in_time([late, cut]).accepted is False


def test_extrapolation_to_an_endless_context():
    keys = np.array([8.0, 16.0, 32.0])
    found = timing.extrapolated(keys, 2.0 - 3.0 / keys, [0.1, 0.1, 0.2], 7)
    design = np.stack([np.ones(3), 1 / keys], axis=1) / np.array([0.1, 0.1, 0.2])[:, None]
    assert found.mean == pytest.approx(2.0) and found.replicas == 7
    assert found.stderr == pytest.approx(math.sqrt(np.linalg.pinv(design)[0] @ np.linalg.pinv(design)[0]))


def test_the_longest_rest():
    step = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    assert longest_rest(step, [True, True, False, True, True, True]) == (8.0, 32.0)
    assert longest_rest(step, [False] * 6) == (1.0, 1.0)


# -- finite contexts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d, value", [(1, "next"), (3, "next"), (2, "key")])
def test_moments_against_numpy(d, value):
    length, size, x, y = 7, 21, 0.4, 0.25
    made = sims.Moments(Task(1.0, y, length, d), x, size, value)
    padded, key = 4 * -(-length * d // 4), streams.key(9, "induction_heads.moments")
    groups = [streams.normals(key, 4, group, 16 * padded).reshape(16, padded) for group in range(2)]
    tokens = np.concatenate(groups)[:size, :length * d].reshape(size, length, d).astype(np.float64)
    logits = np.einsum("bd,bsd->bs", tokens[:, -1], tokens[:, :-2])
    values = tokens[:, 1:-1] if value == "next" else tokens[:, :-2]
    f, g, plain = (np.einsum("bs,bsd->bd", softmax(scale * logits), values) for scale in (x, y, 0.0))
    products = [np.mean(np.sum(one * other - plain**2, axis=1)) for one, other in ((f, f), (f, g), (g, g))]
    np.testing.assert_allclose(made.sample(9, 4, 1)[0], d + (length - 2) * np.array(products), rtol=1e-5)


@given(x=st.floats(0.0, 0.3), y=st.floats(0.01, 0.3), d=st.integers(1, 4))
def test_correction_is_the_mean_over_queries(x, y, d):
    """Closed form against quadrature over the query's length of what is found for a given query."""
    def given_query(r):
        own, other, mixed = x * x * r, y * y * r, x * y * r
        bracket = (math.exp(own) + math.exp(other) + math.exp(mixed) - 1 - math.exp(own + mixed)
                   - math.exp(other + mixed))
        different, neighbours = 2 * (own + other + mixed), own + other + 2 * mixed
        inside = math.exp(mixed) * (d * bracket - own - other) + different - neighbours
        return inside * r ** (d / 2 - 1) * math.exp(-r / 2) / (2 ** (d / 2) * math.gamma(d / 2))

    expected = integrate.quad(lambda root: 2 * root * given_query(root * root), 0, 40, epsabs=1e-11, limit=300)[0]
    assert float(finite_context.moment_correction(x, y, d)) == pytest.approx(expected, abs=1e-8, rel=1e-7)
    assert finite_context.moment_correction(x, y, d) == pytest.approx(finite_context.moment_correction(y, x, d))


def test_correction_vanishes_without_attention():
    """The plain mean of N tokens has ``N E |f|^2 = d`` exactly; so has its product with any other, to this order."""
    assert finite_context.moment_correction(0.0, 0.0, 3) == 0.0
    assert finite_context.self_average_moment(0.0, 0.3, 50, 2) == pytest.approx(2.0)


def test_flow_with_correction_moves_by_its_gradient():
    """The time with a correction against a plain integration of the loss by differences."""
    task, keys, scale = Task(1.5, 0.25), 20.0, 0.3

    def loss(b, w):
        def q(x, y):
            return float(context_moment(x * y) + finite_context.moment_correction(x, y) / keys)
        x, y, c = w * w, task.similarity, task.induction
        return 0.5 * (b * b * q(x, x) - 2 * b * c * q(x, y) + c * c * q(y, y))

    def slope(_, state):
        h = 1e-5
        return [-(loss(state[0] + h, state[1]) - loss(state[0] - h, state[1])) / (2 * h),
                -(loss(state[0], state[1] + h) - loss(state[0], state[1] - h)) / (2 * h)]

    def passed(_, state):
        return state[1] ** 2 - 0.6 * task.similarity

    passed.terminal = True
    done = integrate.solve_ivp(slope, (0, 500), [scale, scale], events=passed, rtol=1e-9, atol=1e-11)
    found = finite_context.similarity_time(task, scale, 0.6, 1 / keys)
    assert found == pytest.approx(done.t_events[0][0], rel=1e-6)
    flow = induction_block.induction_flow(task, scale, [finite_context.similarity_time(task, scale, 0.6)])
    assert flow.similarity[0] == pytest.approx(0.6 * task.similarity, rel=1e-7)


def test_delay_is_the_slope_of_the_time():
    task = Task(1.0, 0.3)
    base, delay = finite_context.similarity_time(task, 0.05), finite_context.emergence_delay(task, 0.05)
    assert finite_context.similarity_time(task, 0.05, inverse_keys=1e-3) / base == pytest.approx(1 + 1e-3 * delay,
                                                                                                abs=5e-6)
    early, late = (finite_context.similarity_time(task, scale, separate=True) for scale in (1e-3, 1e-4))
    assert late - early == pytest.approx(math.log(100) / (2 * task.induction**2 * 0.3), rel=1e-3)


def test_plateau_delay_is_that_of_the_flow():
    for y in (0.1, 0.3):
        near, far = (finite_context.similarity_time(Task(1.0, y), scale, inverse_keys=1e-3) for scale in (1e-6, 1e-8))
        expected = math.log(1e4) / y * (1.0 + 1e-3 * float(finite_context.plateau_delay(y)))
        assert far - near == pytest.approx(expected, rel=1e-5)


def test_exponent_of_the_deviation():
    assert finite_context.deviation_exponent([0.1, 1 / math.sqrt(6), 0.5]) == pytest.approx([-1, -1, -0.5])


# -- chains ------------------------------------------------------------------------------------------------------


def test_rules_count():
    rng = np.random.default_rng(0)
    seen = rng.integers(3, size=(4, 9))
    for row, unigram, bigram in zip(seen, chains.unigram_rule(seen, 3, 0.5), chains.bigram_rule(seen, 3, 0.5)):
        followers = [b for a, b in zip(row, row[1:]) if a == row[-1]]
        for state in range(3):
            assert unigram[state] == pytest.approx((list(row).count(state) + 0.5) / (9 + 1.5))
            assert bigram[state] == pytest.approx((followers.count(state) + 0.5) / (len(followers) + 1.5))


def test_heights_after_one_state_and_after_two():
    uniform, unigram, bigram, entropy = chains.exact_heights(4, 1)
    assert (uniform, bigram) == pytest.approx((math.log(4), math.log(4)))
    assert unigram == pytest.approx(-(math.log(2 / 5) + 3 * math.log(1 / 5)) / 4)
    assert entropy == pytest.approx(1 / 2 + 1 / 3 + 1 / 4)   # digamma(k+1) - digamma(2)

    def cost(first, second):   # two states: stay with probability `first` in state 0, `second` in state 1
        total = 0.0
        for chance, row, stayed in ((first, first, True), (second, second, True),
                                    (1 - first, second, False), (1 - second, first, False)):
            rule = [2 / 3, 1 / 3] if stayed else [1 / 2, 1 / 2]   # of staying once more
            total += 0.5 * chance * -(row * math.log(rule[0]) + (1 - row) * math.log(rule[1]))
        return total

    expected = integrate.dblquad(cost, 0, 1, 0, 1)[0]
    assert chains.exact_heights(2, 2)[2] == pytest.approx(expected, rel=1e-9)


def test_signal_of_frequencies():
    """Of three tokens the one in the middle is seen; sampled chains; the force on output and value near 0."""
    def kept(first, second):   # two states: the chance that the state after x_3 is x_2, from either first state
        p, q = first, second   # of staying in state 0, 1
        return 0.5 * sum(chance * same for chance, same in (
            (p * p, p), (p * (1 - p), 1 - q), ((1 - p) * q, q), ((1 - p) * (1 - q), 1 - p),
            (q * q, q), (q * (1 - q), 1 - p), ((1 - q) * p, p), ((1 - q) * (1 - p), 1 - q)))

    assert chains.frequency_signal(2, 3) == pytest.approx(integrate.dblquad(kept, 0, 1, 0, 1)[0] - 0.5, rel=1e-9)
    _, paths = sims.chains(streams.key(5, "test"), 0, 0, 20_000, 3, 9)
    share = np.mean(paths[:, 1:8] == paths[:, 9:], axis=1)   # x_2..x_8 of nine
    signal = chains.frequency_signal(3, 9)
    assert abs(0.5 * (share.mean() - 1 / 3) - signal) < 5 * 0.5 * share.std() / math.sqrt(20_000) < 0.2 * signal
    unit, none, small = np.eye(6)[None], np.zeros((1, 6, 6)), np.zeros((1, 3, 6))
    still = TwoLayerAttention(np.eye(6)[:, :3], AttentionLayer([0.0], none, none, unit, none),
                              AttentionLayer([0.0], none, none, unit, small))
    force = -backpropagation.loss_and_gradient(still, np.eye(3)[paths[:, :-1]], paths[:, -1])[2]["output"][0]
    np.testing.assert_allclose(force[:, :3], signal * (np.eye(3) - 1 / 3), atol=0.25 * signal)


def test_chains_are_chains():
    transitions, paths = sims.chains(streams.key(1, "test"), 0, 0, 4000, 3, 20)
    assert transitions.shape == (4000, 3, 3) and paths.shape == (4000, 21)
    np.testing.assert_allclose(transitions.sum(axis=-1), 1.0, rtol=1e-12)
    assert abs(np.mean(paths[:, 0] == 1) - 1 / 3) < 5 * math.sqrt(2 / 9 / 4000)
    many = np.arange(4000)
    surprise = np.stack([(paths[:, t + 1, None] == np.arange(3)) - transitions[many, paths[:, t]] for t in range(20)])
    assert np.abs(surprise.mean(axis=(0, 1))).max() < 5 * math.sqrt(0.25 / 80_000)
    entry = transitions[:, 0, 0]   # Beta(1, 2): mean 1/3, variance 1/18, second moment 1/6
    assert abs(entry.mean() - 1 / 3) < 5 * math.sqrt(1 / 18 / 4000) and abs(np.mean(entry**2) - 1 / 6) < 0.02


# -- training ----------------------------------------------------------------------------------------------------


def model(matching, seed=0):
    """A small model with two heads in each layer and every weight different from zero."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return 0.7 * rng.standard_normal(shape)

    first = AttentionLayer([0.3, -0.1], matching * drawn(2, 2, 5), matching * drawn(2, 2, 5), drawn(2, 3, 5),
                           drawn(2, 5, 3))
    second = AttentionLayer([0.2, 0.4], drawn(2, 3, 5), drawn(2, 3, 5), drawn(2, 2, 5), drawn(2, 4, 2))
    return TwoLayerAttention(drawn(5, 4), first, second)


@pytest.mark.parametrize("matching", [0.0, 1.0])
def test_gradients_by_differences(matching):
    rng = np.random.default_rng(1)
    made, states = model(matching), rng.integers(4, size=(6, 8))
    tokens, following = np.eye(4)[states[:, :-1]], states[:, -1]
    loss, *found = backpropagation.loss_and_gradient(made, tokens, following)

    def changed(number, name, values):
        layers = [made.first, made.second]
        weights = {each: getattr(layers[number], each) for each in backpropagation.WEIGHTS}
        layers[number] = AttentionLayer(**{**weights, name: values})
        output = TwoLayerAttention(made.embedding, *layers)(tokens)
        return float(np.mean(-np.log(softmax(output)[np.arange(6), following])))

    assert loss == pytest.approx(changed(0, "slopes", made.first.slopes), rel=1e-12)
    for number, layer_of in enumerate((made.first, made.second)):
        for name in backpropagation.WEIGHTS:
            weights = getattr(layer_of, name)
            if matching == 0.0 and number == 0 and name in ("query", "key"):
                assert (found[0][name] == 0).all()   # each is multiplied by the other
                continue
            for place in np.ndindex(weights.shape):
                step = np.zeros_like(weights)
                step[place] = 1e-5
                slope = (changed(number, name, weights + step) - changed(number, name, weights - step)) / 2e-5
                assert found[number][name][place] == pytest.approx(slope, rel=1e-5, abs=1e-9), (number, name, place)


def test_training_takes_the_documented_step():
    made = sims.ChainTraining(3, 6, lr.constant(1, 0.5), 0.2, 7, times=[0, 1], tests=50)
    key = streams.key(2, "induction_heads.markov_chains")
    begin = sims.ChainTraining(3, 6, lr.constant(1, 0.5), 0.2, 7, times=[0], tests=50).trained(2, 1)[0]
    _, paths = sims.chains(key, 1, 0, 7, 3, 6)
    _, first, second = backpropagation.loss_and_gradient(begin, np.eye(3)[paths[:, :-1]], paths[:, -1])
    end, tests = made.trained(2, 1)
    np.testing.assert_allclose(end.first.slopes, -0.5 * first["slopes"], rtol=1e-12)
    np.testing.assert_allclose(end.first.output, begin.first.output - 0.5 * first["output"], rtol=1e-12)
    for name in ("query", "key", "output"):
        np.testing.assert_allclose(getattr(end.second, name), getattr(begin.second, name) - 0.5 * second[name])
    assert tests.shape == (2, 7) and tests[0, 4] == 0.0
    seen = streams.normals(key, 1, 0, 36, purpose=1).astype(float).reshape(6, 6) * 0.2
    np.testing.assert_array_equal(begin.first.output[0], seen)


def test_values_that_are_learned_take_their_step():
    rates = lr.constant(1, 0.5)
    begin, end = (sims.ChainTraining(3, 6, rates, 0.2, 7, times=[last], tests=50, values="learned").trained(2, 1)[0]
                  for last in (0, 1))
    seen = streams.normals(streams.key(2, "induction_heads.markov_chains"), 1, 0, 162, purpose=1).astype(float) * 0.2
    np.testing.assert_array_equal(begin.second.value[0], seen[126:].reshape(6, 6))
    _, paths = sims.chains(streams.key(2, "induction_heads.markov_chains"), 1, 0, 7, 3, 6)
    second = backpropagation.loss_and_gradient(begin, np.eye(3)[paths[:, :-1]], paths[:, -1])[2]
    for name in ("query", "key", "value", "output"):
        np.testing.assert_allclose(getattr(end.second, name), getattr(begin.second, name) - 0.5 * second[name])
    fixed = sims.ChainTraining(3, 6, rates, 0.2, 7, times=[0], tests=50).trained(2, 1)[0]
    np.testing.assert_array_equal(fixed.second.output, begin.second.output)   # a value more changes no other draw
    np.testing.assert_array_equal(fixed.second.value[0], np.eye(6))


def test_what_is_frozen_stays_and_what_is_tested_fits():
    none = sims.ChainTraining(3, 8, 20, first_layer="none", times=[20], tests=200)
    flat = sims.ChainTraining(3, 8, 20, first_layer="flat", times=[20], tests=200)
    assert not none.trained(1, 0)[0].first.output.any() and flat.trained(1, 0)[0].first.slopes[0] == 0.0
    learned = sims.ChainTraining(3, 8, 300, times=[0, 300], tests=2000).trained(1, 0)[1]
    loss, unigram, bigram, excess = learned[:, :4].T
    np.testing.assert_allclose(excess, (loss - bigram) / (unigram - bigram))
    assert abs(loss[0] - math.log(3)) < 0.05 and loss[1] < loss[0] - 0.02
    assert (np.abs([unigram - chains.exact_heights(3, 8)[1], bigram - chains.exact_heights(3, 8)[2]]) < 0.02).all()


# -- what is refused ---------------------------------------------------------------------------------------------

TASK = Task(1.0, 0.3, 12)


@pytest.mark.parametrize("make, words", [
    (lambda: sims.Descent(Task(1.0, 0.3), 5, sims.second_stage(0.1)), "length is inf"),
    (lambda: sims.Descent(Task(1.0, 0.3, 5000), 5, sims.second_stage(0.1)), "4..4096"),
    (lambda: sims.Descent(Task(1.0, 0.3, 12, 2), 5, sims.second_stage(0.1)), "dimension is 2"),
    (lambda: sims.Descent("task", 5, sims.second_stage(0.1)), "must be a Task"),
    (lambda: sims.Descent(TASK, 0, sims.second_stage(0.1)), "steps is 0"),
    (lambda: sims.Descent(TASK, 5, (1.0, 2.0)), "(6,)"),
    (lambda: sims.Descent(TASK, 5, (math.inf, 1, 1, 1, math.nan, 0)), "finite"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), PARAMETERS), "p1 starts at inf"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(1.4)), "1.75"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), ("q",)), "p1, w1, p, a, b, w"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), ()), "at least one"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), rate=0.0), "rate is 0"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), batch_size=0), "batch_size is 0"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), times=[3, 2]), "increase"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), logit="cubic"), "quadratic, linear"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), trained=3), "trained is 3"),
    (lambda: sims.Descent(TASK, 5, sims.second_stage(0.1), trained=None), "trained is None"),
    (lambda: sims.second_stage(math.nan), "scale is nan; it must be finite and >= 0"),
    (lambda: sims.second_stage("a"), "scale is 'a'"),
    (lambda: sims.scalar_start(math.inf), "scale is inf; it must be finite and >= 0"),
    (lambda: sims.Emergence("descent"), "Descent"),
    (lambda: sims.Emergence(sims.Descent(TASK, 5, sims.second_stage(0.1)), 1.0), "fraction is 1"),
    (lambda: sims.LayerDescent(TASK, 5, -1.0), "scale is -1"),
    (lambda: sims.LayerDescent(TASK, 5, start=np.zeros(26)), "(2, 13)"),
    (lambda: sims.LayerDescent(TASK, 5, heads="joined"), "scalars, divided, free"),
    (lambda: sims.LayerDescent(TASK, 5, start=np.full((2, 13), 1e9)), "sums at most 1.75"),
    (lambda: sims.Descent(TASK, 5, (1.0, 1.0, -1e9, 1.0, 1.0, 0.1)), "p must be >= -1.667"),
    (lambda: sims.chains(0, 0, 0, 2, 0, 5), "states is 0"),
    (lambda: sims.chains(0, 0, 0, -1, 3, 5), "count is -1"),
    (lambda: sims.Moments(TASK, 1.5), "[0, 1]"),
    (lambda: sims.Moments(Task(1.0, 0.3, 12, 17), 0.1), "1..16"),
    (lambda: sims.Moments(TASK, 0.1, value="query"), "next, key"),
    (lambda: sims.Heights(1, 5), "2..16"),
    (lambda: sims.Heights(3, 5, prior=0.0), "prior is 0"),
    (lambda: sims.ChainTraining(3, 2, 5), "3..1024"),
    (lambda: sims.ChainTraining(3, 5, 0), "schedule is 0"),
    (lambda: sims.ChainTraining(3, 5, 5, scale=0.0), "scale is 0.0"),
    (lambda: sims.ChainTraining(3, 5, 5, first_layer="two"), "learned, flat, none"),
    (lambda: sims.ChainTraining(3, 5, 5, values="two"), "fixed, learned"),
    (lambda: chains.frequency_signal(3, 2), "length is 2"),
    (lambda: chains.frequency_signal(3, 13), "at most 12"),
    (lambda: Task(1.0, 0.75, 12), "1/sqrt(2)"),
    (lambda: finite_context.moment_correction(0.45, 0.45), "1/2"),
    (lambda: finite_context.self_average_moment(0.1, 0.75, 10), "0.7071"),
    (lambda: finite_context.similarity_time(Task(1.0, 0.45), 0.1, inverse_keys=0.1), "0.4082"),
    (lambda: finite_context.similarity_time(Task(1.0, 0.3), 0.5), "0.3873"),
    (lambda: finite_context.similarity_time(Task(), math.inf), "scale is inf"),
    (lambda: finite_context.similarity_time(Task(), 0.1, inverse_keys=math.inf), "inverse_keys is inf"),
    (lambda: finite_context.similarity_time(Task(), 0.1, separate="yes"), "True or False"),
    (lambda: finite_context.self_average_moment(0.1, 0.1, 0), "keys is 0; it must be finite and >= 1"),
    (lambda: finite_context.moment_correction([0.1, 0.2], [0.1] * 3), "broadcast"),
    (lambda: finite_context.plateau_delay(0.45), "0.4082"),
    (lambda: chains.cross_entropy([0.5, 0.5], [1.0, 0.0]), "a prediction is 0"),
    (lambda: finite_context.deviation_exponent(0.8), "0.7071"),
    (lambda: chains.exact_heights(3, 13), "at most 12"),
    (lambda: chains.visits([0, 3], 3), "0..2"),
    (lambda: chains.bigram_rule([0, 1], 2, -1.0), "prior is -1"),
    (lambda: backpropagation.loss_and_gradient("model", [], []), "TwoLayerAttention"),
    (lambda: backpropagation.loss_and_gradient(model(0.0), np.zeros((2, 5, 4)), [0]), "(B,)"),
])
def test_bad_input_is_refused_in_one_line(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_sweep_can_run_them():
    for name, parameters in {
            "induction_heads.descent": {"weight": 1.0, "similarity": 0.3, "length": 8, "steps": 4, "start": 0.1,
                                        "batch_size": 10, "times": [2, 4]},
            "induction_heads.emergence": {"weight": 1.0, "similarity": 0.3, "length": 8, "steps": 4, "batch_size": 10,
                                          "start": [9.0, 1.0, 0.1, 0.1, 0.1, 0.1], "trained": ["b", "w"]},
            "induction_heads.moments": {"similarity": 0.3, "length": 8, "scale": 0.1, "batch_size": 10},
            "induction_heads.markov_chains": {"states": 2, "length": 5, "schedule": 3, "batch_size": 4,
                                              "tests": 10, "values": "learned"}}.items():
        prepared = sweeps.find(name).prepare(**parameters)
        estimate = engine.estimate(prepared.experiment, replicas=2, seed=0)
        table = sweeps.table_of(prepared, estimate)
        assert prepared.seconds > 0 and len(table["mean"]) == estimate.mean.size and "observable" in table
    with pytest.raises(ValueError, match="schedule is 'long'; it must be a table, or an integer"):
        sweeps.find("induction_heads.markov_chains").prepare(states=2, length=5, schedule="long")
