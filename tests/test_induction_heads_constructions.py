"""Induction heads: the targets, the attention model and its constructed weights against loops, fractions and mpmath."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.sims import engine
from theorycheck.sims.induction_heads.random_features import RandomFeatures
from theorycheck.theory.induction_heads import (
    constructions,
    generic,
    lag_selection,
    random_features,
    ridge_network,
    targets,
)
from theorycheck.theory.induction_heads.attention import (
    AttentionLayer,
    FeedForward,
    TwoLayerAttention,
    position_bias,
    softmax,
)

NODES = st.lists(st.integers(1, 950), min_size=1, max_size=7, unique=True).map(
    lambda found: tuple(Fraction(number, 1000) for number in found))


def by_loops(x, n, logit):
    """The target as it is printed, positions counted from 1."""
    length = len(x)
    query = np.concatenate([x[s - 1] for s in range(length - n + 2, length + 1)])
    places = range(n, length)
    scores = [logit(query, np.concatenate([x[j - 1] for j in range(s - n + 1, s)])) for s in places]
    weights = [mpmath.exp(score) for score in scores]
    return np.array([float(sum(w * x[s - 1, c] for w, s in zip(weights, places)) / sum(weights))
                     for c in range(x.shape[1])])


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 5), d=st.integers(1, 3), more=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_targets_are_the_printed_sums(n, d, more, seed):
    rng = np.random.default_rng(seed)
    x, matrix = rng.uniform(-1, 1, (2, 3, n + more, d)), rng.normal(size=((n - 1) * d,) * 2)
    found = targets.ngram_induction(x, matrix, n)
    generic = targets.generic_induction(x, lambda q, k: -np.abs(q - k).sum(axis=-1), n)
    assert found.shape == generic.shape == (2, 3, d)
    np.testing.assert_allclose(found[1, 2], by_loops(x[1, 2], n, lambda q, k: q @ matrix @ k), atol=1e-13)
    np.testing.assert_allclose(generic[1, 2], by_loops(x[1, 2], n, lambda q, k: -np.abs(q - k).sum()), atol=1e-13)
    if n == 2:
        np.testing.assert_array_equal(found, targets.bigram_induction(x, matrix))


def test_softmax_neither_overflows_nor_divides_by_nothing():
    np.testing.assert_array_equal(softmax([1e300, 1e300, -1e300]), [0.5, 0.5, 0.0])
    np.testing.assert_array_equal(softmax([[-np.inf, -np.inf], [-np.inf, 3.0]]), [[0.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(position_bias(3, 2.0)[2], [-2.0, 0.0, -np.inf])


def attention_by_loops(layer, h, first_key=1):
    length, out = len(h), []
    for s in range(1, length + 1):
        total = np.zeros(layer.output.shape[1])
        for head in range(layer.heads):
            places = range(first_key, s)
            logits = [(layer.query[head] @ h[s - 1]) @ (layer.key[head] @ h[j - 1])
                      - layer.slopes[head] * (s - j - 1) for j in places]
            weights = np.exp(logits)
            for j, weight in zip(places, weights):
                total += layer.output[head] @ layer.value[head] @ h[j - 1] * weight / weights.sum()
        out.append(total)
    return np.array(out)


@pytest.mark.parametrize("network", [False, True])
def test_the_model_is_two_sums_over_positions(network):
    rng = np.random.default_rng(3)
    d, width, heads, first_key = 2, 5, 3, 3

    def layer(returned):
        return AttentionLayer(rng.uniform(0, 2, heads), *0.3 * rng.normal(size=(2, heads, 4, width)),
                              rng.normal(size=(heads, 3, width)), rng.normal(size=(heads, returned, 3)))
    forward = FeedForward(rng.normal(size=(7, width)), rng.normal(size=7), rng.normal(size=(width, 7)))
    model = TwoLayerAttention(rng.normal(size=(width, d)), layer(width), layer(2), forward if network else None,
                              first_key)
    tokens = rng.normal(size=(4, 9, d))
    trace = model.trace(tokens)
    embedded = tokens[1] @ model.embedding.T
    hidden = embedded + attention_by_loops(model.first, embedded)
    if network:
        hidden = hidden + np.maximum(hidden @ forward.inward.T + forward.bias, 0) @ forward.outward.T
    np.testing.assert_allclose(trace.hidden[1], hidden, atol=1e-12)
    np.testing.assert_allclose(trace.output[1], attention_by_loops(model.second, hidden, first_key)[-1], atol=1e-10)
    np.testing.assert_array_equal(model(tokens), trace.output)
    assert trace.first_weights.shape == (4, heads, 9, 9) and trace.second_weights.shape == (4, heads, 9)
    np.testing.assert_allclose(model.second.weights(trace.hidden, first_key)[..., -1, :], trace.second_weights)
    np.testing.assert_allclose(trace.second_weights.sum(axis=-1), 1.0)
    assert not trace.second_weights[..., :first_key - 1].any() and not trace.first_weights[..., 0, :].any()


@settings(deadline=None, max_examples=40)
@given(nodes=NODES, data=st.data())
def test_vandermonde_weights_solve_their_system_exactly(nodes, data):
    lag = data.draw(st.integers(1, len(nodes)))
    alpha = lag_selection.lag_weights(nodes, lag)
    assert all(isinstance(weight, Fraction) for weight in alpha)
    moments = [sum(a * u**m for a, u in zip(alpha, nodes)) for m in range(len(nodes))]
    assert moments == [m == lag - 1 for m in range(len(nodes))]
    values, position = lag_selection.value_weights(nodes, lag), lag + data.draw(st.integers(1, 9))
    assert (lag_selection.lag_error(nodes, values, lag, position) == lag_selection.vandermonde_error(nodes, lag)
            == abs(sum(values) - 1))


def test_lag_error_in_floats_and_mpmath():
    nodes = lag_selection.spaced_nodes(5, Fraction(1, 2))
    exact = float(lag_selection.vandermonde_error(nodes, 3))
    floats = tuple(map(float, nodes))
    values = lag_selection.value_weights(floats, 3)
    slack = 40 * lag_selection.rounding(values)
    assert lag_selection.lag_error(floats, values, 3, 30) == pytest.approx(exact, abs=slack)
    assert lag_selection.lag_error(floats, values, 3) == pytest.approx(exact, abs=slack)
    with mpmath.workdps(50):
        u = tuple(mpmath.mpf(node.numerator) / node.denominator for node in nodes)
        system = mpmath.matrix(5, 5)
        for m in range(5):
            for h in range(5):
                system[m, h] = u[h] ** m
        solved = mpmath.lu_solve(system, mpmath.matrix([0, 0, 1, 0, 0]))
        for weight, expected in zip(lag_selection.lag_weights(u, 3), solved):
            assert mpmath.almosteq(weight, expected, 1e-40)


@pytest.mark.parametrize("largest", [0.1, 0.25, 0.5, 0.9])
def test_decay_rate_is_the_integral(largest):
    integral = mpmath.quad(lambda t: -mpmath.log(1 - t), [0, largest])
    assert lag_selection.decay_rate(largest) == pytest.approx(float(1 - mpmath.log(largest) - integral / largest))


@settings(deadline=None, max_examples=30)
@given(nodes=NODES, values=st.lists(st.floats(-3, 3), min_size=7, max_size=7), visible=st.integers(1, 12))
def test_a_position_sees_the_folded_infinite_kernel(nodes, values, visible):
    values = [Fraction(value) for value in values[:len(nodes)]]
    here = lag_selection.kernel(nodes, values, visible + 1)
    far = np.array(lag_selection.kernel(nodes, values, lags=600), dtype=float)
    tail = sum(abs(float(value)) for value in values) * float(max(nodes)) ** 600 / (1 - float(max(nodes)))
    np.testing.assert_allclose(np.array(here, dtype=float), lag_selection.folded(far, visible), atol=1e-11 + tail)


@settings(deadline=None, max_examples=40)
@given(nodes=NODES, more=st.integers(1, 4))
def test_certificate_is_one(nodes, more):
    lag = len(nodes) + more
    found = lag_selection.certificate(nodes, lag)
    assert found[lag - 1] == 1 and max(map(abs, found)) == 1
    assert all(sum(weight * node**m for m, weight in enumerate(found)) == 0 for node in nodes)


def test_linear_programs_against_the_closed_forms():
    nodes = (0.2, 0.55, 0.9)
    assert lag_selection.least_error(nodes, 4, 9) == pytest.approx(1.0, abs=1e-9)
    assert lag_selection.least_error(nodes, 4, 4, "largest") == pytest.approx(1 / (1.2 * 1.55 * 1.9))
    # reachable lags: never above what the Vandermonde weights do, and 0 on as many lags as heads
    assert lag_selection.least_error(nodes, 2, 3) == pytest.approx(0.0, abs=1e-9)
    assert lag_selection.least_error(nodes, 2, 40) <= lag_selection.vandermonde_error(nodes, 2)


@pytest.mark.parametrize("length", [8, 64])
def test_bigram_model(length):
    rng = np.random.default_rng(length)
    matrix, tokens = rng.normal(size=(3, 3)), 2.0 * rng.uniform(-1, 1, (5, length, 3))
    target = targets.bigram_induction(tokens, matrix)
    errors = [np.abs(constructions.bigram_model(matrix, slope)(tokens) - target).max() for slope in (4.0, 6.0, 40.0)]
    assert all(error <= constructions.bigram_bound(matrix, slope, radius=2.0)
               for error, slope in zip(errors, (4.0, 6.0)))
    assert errors[0] / errors[1] == pytest.approx(math.exp(2.0), rel=0.1) and errors[2] < 1e-13
    hidden = constructions.bigram_model(matrix, 40.0).trace(tokens).hidden
    np.testing.assert_allclose(hidden[:, 1:, 3:], tokens[:, :-1], atol=1e-13)


@pytest.mark.parametrize("n, d", [(2, 1), (3, 2), (4, 1), (5, 2)])
def test_ngram_model(n, d):
    rng = np.random.default_rng(n)
    matrix, tokens = rng.normal(size=((n - 1) * d,) * 2), rng.uniform(-1, 1, (6, 20, d))
    nodes = lag_selection.spaced_nodes(n + 5, Fraction(1, 5))
    model = constructions.ngram_model(matrix, n, nodes)
    error = np.abs(model(tokens) - targets.ngram_induction(tokens, matrix, n)).max()
    assert 0 < error <= constructions.ngram_bound(matrix, n, nodes) and error < 1e-3
    assert model.first.heads == n + 5 and model.embedding.shape == (n * d, d) and model.shortest == n + 1
    hidden = model.trace(tokens).hidden
    for lag in range(1, n):
        gap = np.abs(hidden[:, lag:, lag * d:(lag + 1) * d] - tokens[:, :-lag])
        assert gap[:, 1:].max() <= float(lag_selection.vandermonde_error(nodes, lag)) * (1 + 1e-6) + 1e-9
    shortest = tokens[:, :n + 1]
    np.testing.assert_allclose(model(shortest), targets.ngram_induction(shortest, matrix, n), atol=1e-12)


@pytest.mark.parametrize("n, heads, largest", [(2, 40, 0.25), (2, 30, 0.25), (3, 20, 0.25), (4, 16, 0.25)])
def test_bound_holds_where_rounding_rules_and_does_not_depend_on_the_type_of_the_nodes(n, heads, largest):
    rng = np.random.default_rng(heads)
    matrix, tokens = 0.1 * rng.normal(size=(n - 1, n - 1)), rng.uniform(-1, 1, (20, 40, 1))
    nodes = lag_selection.spaced_nodes(heads, Fraction(largest))
    bound = constructions.ngram_bound(matrix, n, nodes)
    error = np.abs(constructions.ngram_model(matrix, n, nodes)(tokens)
                   - targets.ngram_induction(tokens, matrix, n)).max()
    assert 0 < error <= bound
    assert constructions.ngram_bound(matrix, n, tuple(map(float, nodes))) == pytest.approx(bound, rel=1e-2)
    exact = max(float(lag_selection.vandermonde_error(nodes, lag)) for lag in range(1, n))
    assert bound > 2 * np.abs(matrix).sum() * exact          # rounding is what there is to it


@pytest.mark.parametrize("n, heads", [(3, 40), (4, 40), (2, 60)])
def test_more_heads_than_float64_bears_are_refused_with_the_number_that_it_does(n, heads):
    matrix, nodes = np.eye(n - 1), lag_selection.spaced_nodes(heads, 0.25)
    most = lag_selection.workable_heads(0.25, n - 1, heads)
    assert n - 1 < most < heads
    for build in (constructions.ngram_model, constructions.ngram_bound):
        with pytest.raises(ValueError, match=rf"nodes are {heads}; float64 .* it bears at most {most} heads"):
            build(matrix, n, nodes)
        build(matrix, n, lag_selection.spaced_nodes(most, 0.25))


@pytest.mark.parametrize("slope, w", [(1.0, 0.5), (5.0, 0.01)])
def test_hardest_sequence_has_a_closed_form(slope, w):
    tokens = constructions.hardest_sequence(1501)
    model = constructions.bigram_model([[w]], slope)
    assert model(tokens)[0] == pytest.approx(-math.tanh(w * math.tanh(slope / 2)), abs=1e-3)
    assert targets.bigram_induction(tokens, [[w]])[0] == pytest.approx(-math.tanh(w), abs=1e-3)


def exponential(query, key):
    return np.exp(-np.abs(query - key).sum(axis=-1))


def test_closed_decomposition_is_that_of_the_kernel():
    known = generic.exponential_decomposition(9)
    for i, (sigma, x) in enumerate(zip(known.values, np.linspace(-0.9, 1.0, 9))):
        def transformed(y, i=i, x=x):
            return math.exp(-abs(x - y)) * known.left(np.array([float(y)]))[i]
        integral = mpmath.quad(transformed, [-1, -0.5, x, 1] if x > -0.5 else [-1, x, 0, 1])
        assert float(integral) == pytest.approx(sigma * known.left(np.array([x]))[i], abs=1e-8)
    points, weights = np.polynomial.legendre.leggauss(60)
    features = known.left(points[:, None])
    np.testing.assert_allclose((features.T * weights) @ features, np.eye(9), atol=1e-12)


def test_discrete_decomposition_in_one_and_two_dimensions():
    found = generic.decompose(exponential, 1, 6, 300)
    known = generic.exponential_decomposition(6)
    np.testing.assert_allclose(found.values, known.values, rtol=1e-3)
    x = np.linspace(-1, 1, 9)[:, None]
    np.testing.assert_allclose(np.abs(found.right(x)), np.abs(known.left(x)), atol=0.01)
    rng = np.random.default_rng(0)
    query, key = rng.uniform(-1, 1, (2, 40, 2))

    def smooth(q, k):
        return np.sin(q[..., 0] + 2 * k[..., 1]) * k[..., 0] + q[..., 1]
    whole = generic.decompose(smooth, 2, 3, 12)            # rank 3: the expansion is the function itself
    np.testing.assert_allclose(whole(query, key), smooth(query, key), atol=1e-10)
    assert np.abs(whole.truncated(2)(query, key) - smooth(query, key)).max() > 1e-3


def test_kinked_similarity_in_two_dimensions_is_a_product():
    known, found = generic.exponential_decomposition(6, 2), generic.decompose(exponential, 2, 6, 40)
    np.testing.assert_allclose(known.values, found.values, atol=2 * np.pi**2 / 6 / 40**2)
    one = generic.exponential_decomposition(6).values
    np.testing.assert_allclose(known.values, np.sort(np.outer(one, one).ravel())[::-1][:6])
    nodes, weights = generic.tensor_rule(2, 20)
    features = known.left(nodes)
    np.testing.assert_allclose((features.T * weights) @ features, np.eye(6), atol=1e-12)
    q, k = nodes[::7], nodes[::-7][:len(nodes[::7])]
    np.testing.assert_allclose(known.truncated(1)(q, k), found.truncated(1)(q, k), atol=0.01)


def test_generic_model_is_its_splines_and_its_shift():
    rng = np.random.default_rng(1)
    tokens, segments = rng.uniform(-1, 1, (7, 15, 1)), 24
    decomposition = generic.exponential_decomposition(6)
    model = generic.generic_model(decomposition, segments, (1e-9,))
    made = targets.generic_induction(
        tokens, lambda q, k: generic.spline_logits(decomposition, segments, q[..., 0], k[..., 0]), 2)
    np.testing.assert_allclose(model(tokens), made, atol=1e-7)
    assert model.feed_forward.neurons == 2 * (segments + 1) and model.embedding.shape == (14, 1)
    knots = np.linspace(-1, 1, segments + 1)
    np.testing.assert_allclose(generic.spline_logits(decomposition, segments, knots, knots[::-1]),
                               decomposition(knots[:, None], knots[::-1, None]), atol=1e-12)


@pytest.mark.parametrize("x", [-0.4, 0.5, 1.0])
def test_hinge_variance_is_that_of_one_hinge(x):
    decomposition, i = generic.exponential_decomposition(5), 4
    grid = np.linspace(-1, 1, 40_001)
    one = 2.0 * random_features.curvature(decomposition, grid)[:, i] * np.maximum(x - grid, 0.0)
    mean = np.trapezoid(one, grid) / 2.0
    start, function = (decomposition.left(np.array([point]))[i] for point in (-1.0, x))
    assert start * (2.0 + x) + mean == pytest.approx(function, abs=1e-6)
    expected = np.trapezoid((one - mean) ** 2, grid) / 2.0
    assert random_features.hinge_variance(decomposition, [x])[0, i] == pytest.approx(expected, rel=1e-6)


def test_random_features_do_not_depend_on_chunks_and_refuse_what_is_out_of_range():
    experiment = RandomFeatures(3, 8, [0.2, 1.0], [0.1, 1.0])
    whole, cut = (engine.estimate(experiment, replicas=12, seed=5, chunk=chunk) for chunk in (12, 5))
    assert whole == cut and (whole.mean > 0).all()
    for arguments, message in (((0, 8, [0.0], [0.0]), "rank is 0"), ((2, 8, [1.5], [0.0]), "query is"),
                               ((2, 8, [0.0], [0.0, 1.0]), "must be as many"), ((2, 1.5, [0.0], [0.0]), "hinges is")):
        with pytest.raises(ValueError, match=message):
            RandomFeatures(*arguments)


EYE = np.eye(2)
ONE = AttentionLayer([1.0], np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), EYE[None], EYE[None])


@pytest.mark.parametrize("call, message", [
    (lambda: targets.ngram_induction(np.zeros((3, 2)), np.eye(4), 3), "tokens are 3 in a sequence; there must be"),
    (lambda: targets.ngram_induction(np.zeros((9, 2)), EYE, 3), r"similarity has shape \(2, 2\); it must be \(4, 4\)"),
    (lambda: targets.ngram_induction(np.zeros((9, 2)), EYE, 1), "n is 1; it must be an integer >= 2"),
    (lambda: targets.bigram_induction(np.zeros(9), EYE), "tokens have shape"),
    (lambda: targets.bigram_induction([[np.nan, 0]] * 5, EYE), "tokens hold NaN"),
    (lambda: targets.generic_induction(np.zeros((9, 2)), lambda q, k: np.nan * k.sum(-1), 2), "similarities hold NaN"),
    (lambda: constructions.bigram_model(EYE, 0.0), "slope is 0.0; it must be above 0"),
    (lambda: constructions.bigram_model(np.zeros((2, 3)), 1.0), "it must be square"),
    (lambda: constructions.ngram_model(np.eye(4), 3, (0.5,)), "nodes are 1; n = 3 takes at least 2 heads"),
    (lambda: constructions.ngram_model(np.eye(3), 3, (0.5, 0.2)), "must be a multiple of n - 1 = 2"),
    (lambda: constructions.ngram_model(np.eye(4), 3, (0.5, 0.5)), "must be distinct"),
    (lambda: constructions.ngram_model(np.eye(4), 3, (0.5, 1.0)), "all must be above 0 and below 1"),
    (lambda: lag_selection.spaced_nodes(0, 0.5), "heads is 0; it must be an integer >= 1"),
    (lambda: lag_selection.spaced_nodes(3, 1.0), "largest is 1.0; it must be above 0 and below 1"),
    (lambda: lag_selection.lag_weights((0.5, 0.2), 3), "lag is 3; 2 heads reach lags up to 2"),
    (lambda: lag_selection.lag_error((0.5,), (1.0,), 2, 2), "position is 2; it must be above the lag, 2"),
    (lambda: lag_selection.lag_error((0.5,), (1.0, 2.0), 1), "there must be one for each of the 1 nodes"),
    (lambda: lag_selection.certificate((0.5, 0.2), 2), "with 2 or more of them the lag is within reach"),
    (lambda: lag_selection.least_error((0.5,), 3, 2), "it must be at least the lag, 3"),
    (lambda: AttentionLayer([], np.zeros((0, 1, 2)), np.zeros((0, 1, 2)), np.zeros((0, 1, 2)), np.zeros((0, 2, 1))),
     "0 heads"),
    (lambda: AttentionLayer([1.0], np.zeros((1, 2, 2)), np.zeros((1, 3, 2)), EYE[None], EYE[None]), "key has shape"),
    (lambda: AttentionLayer([np.inf], *[EYE[None]] * 4), "slopes hold NaN or infinity"),
    (lambda: TwoLayerAttention(np.zeros((3, 2)), ONE, ONE), "first layer reads 2 numbers; it must be 3"),
    (lambda: TwoLayerAttention(EYE, ONE, ONE, first_key=1), "first_key is 1; it must be an integer >= 2"),
    (lambda: TwoLayerAttention(EYE, ONE, ONE)(np.zeros((5, 3))), "tokens have dimension 3; it must be 2"),
    (lambda: generic.decompose(exponential, 3, 4, 40), "order is 40 in dimension 3; order.size must be at most 4096"),
    (lambda: generic.decompose(exponential, 1, 9, 4), "rank is 9; 4 nodes resolve no more than 4"),
    (lambda: generic.decompose(lambda q, k: (q * k).sum(-1), 1, 2, 9), "rank is 2; rounding leaves 1 singular values"),
    (lambda: generic.decompose(lambda q, k: np.inf, 1, 2, 9), "similarities hold NaN or infinity"),
    (lambda: generic.exponential_decomposition(4).truncated(5), "rank is 5; 4 terms are known"),
    (lambda: generic.generic_model(generic.decompose(exponential, 2, 2, 6), 4, (0.1,)), "a spline takes size 1"),
    (lambda: generic.generic_model(generic.exponential_decomposition(2), 0, (0.1,)), "segments is 0"),
    (lambda: FeedForward(np.zeros((3, 2)), np.zeros(2), np.zeros((2, 3))), "bias has shape"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("n, d", [(2, 1), (2, 2), (3, 1), (2, 3), (4, 1)])
def test_patch_model_writes_the_fitted_features_of_its_patches(n, d):
    size, rng = (n - 1) * d, np.random.default_rng(n + d)

    def similar(query, key):
        return np.exp(-((query - 0.5 * key) ** 2).sum(axis=-1))
    tokens, whole = rng.uniform(-1, 1, (5, 12, d)), generic.decompose(similar, size, 4, 20 if size < 3 else 8)
    nodes = lag_selection.spaced_nodes(n - 1, 1e-9 if n < 4 else 1e-4)
    model = ridge_network.patch_model(whole, n, 50, nodes)

    def fitted(side, points):
        inward, bias, outward = ridge_network.fit(side, size, 50)
        return np.maximum(points @ inward.T + bias, 0) @ outward

    def logits(query, key):
        return (fitted(whole.left, query) * whole.values * fitted(whole.right, key)).sum(axis=-1)
    wanted = targets.generic_induction(tokens, logits, n)
    np.testing.assert_allclose(model(tokens), wanted, atol=1e-6 if n < 4 else 1e-3)
    assert model.feed_forward.neurons == 2 * (50 + size + 1) and model.embedding.shape == (n * d + 8, d)
    gap = np.abs(model(tokens) - targets.generic_induction(tokens, similar, n)).max()
    assert gap < 0.1
    line = ridge_network.fit(lambda x: 1.0 + x, size, 5)   # what is linear is a hinge already
    points = rng.uniform(-1, 1, (9, size))
    np.testing.assert_allclose(np.maximum(points @ line[0].T + line[1], 0) @ line[2], 1.0 + points, atol=1e-9)


@pytest.mark.parametrize("size, neurons, most", [(3, 64, 0.4), (3, 100, 0.25)])
def test_fit_stays_close_between_its_nodes_in_many_dimensions(size, neurons, most):
    def functions(x):
        return np.stack([np.sin(x.sum(axis=-1)), np.exp(-0.25 * (x**2).sum(axis=-1)), x[..., 0] * x[..., 1]], axis=-1)
    inward, bias, outward = ridge_network.fit(functions, size, neurons)
    points = np.random.default_rng(size).uniform(-1, 1, (4000, size))
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * size)).reshape(size, -1).T
    for where in (points, corners):
        assert np.abs(np.maximum(where @ inward.T + bias, 0) @ outward - functions(where)).max() < most
    with pytest.raises(ValueError, match=r"between its nodes the fit is off by .*: more nodes or fewer neurons"):
        ridge_network.fit(functions, 3, 5, 3)


KNOWN = generic.exponential_decomposition(3)
ALTERNATING = np.array([[1.0, 1.0], [-1.0, -1.0]] * 3)


@pytest.mark.parametrize("call, message", [
    (lambda: constructions.bigram_model(EYE, 2.0)(1e200 * ALTERNATING), r"reach 1e\+200; they must be at most 1e\+20"),
    (lambda: targets.bigram_induction(1e200 * ALTERNATING, EYE), "tokens reach 1e"),
    (lambda: constructions.bigram_model(1e300 * EYE, 2.0), "similarities reach 1e.300; they must be at most 1e"),
    (lambda: targets.generic_induction(ALTERNATING, lambda q, k: np.zeros(7), 2), r"it must broadcast to \(4,\)"),
    (lambda: targets.similarity_matrix(EYE, "x"), "size is 'x'; it must be an integer >= 1"),
    (lambda: softmax([np.nan, 1.0]), "logits are .* none NaN"),
    (lambda: softmax([np.inf, 1.0]), "they must be an array of numbers below infinity"),
    (lambda: softmax(3.0), "they must be an array"),
    (lambda: position_bias(0, 1.0), "length is 0; it must be an integer >= 1"),
    (lambda: position_bias(3, np.nan), "slopes hold NaN"),
    (lambda: ONE.weights(np.zeros((4, 3))), r"hidden numbers have shape \(4, 3\); it must be \(..., L, 2\)"),
    (lambda: ONE.weights([[np.nan, 0.0]] * 4), "they must be finite"),
    (lambda: ONE.weights(np.zeros((4, 2)), 9), "first_key is 9; it must be at most 4"),
    (lambda: ONE.last_weights(np.zeros((4, 2)), 0), "first_key is 0; it must be an integer >= 1"),
    (lambda: ONE.read(np.zeros((1, 2, 3)), np.zeros((4, 2))), r"it must be \(..., 1, Q, 4\)"),
    (lambda: FeedForward(np.zeros((3, 2)), np.zeros(3), np.zeros((2, 3)))(np.zeros(3)), r"it must be \(..., 2\)"),
    (lambda: constructions.lag_layer([1.0], [[1.0]], 2, 3), "width is 3; it must be an integer >= 4"),
    (lambda: constructions.lag_layer([1.0], [1.0], 2, 4), r"value weights have shape \(1,\); it must be \(lags, H\)"),
    (lambda: constructions.previous_tokens(0, 1), "size is 0"),
    (lambda: constructions.patch_readers(3, 1, 2), "width is 2; it must be an integer >= 3"),
    (lambda: constructions.bigram_model([[1, 2], [3]], 1.0), "similarities are .* they must be numbers"),
    (lambda: constructions.ngram_model(EYE, 2, 0.5), "nodes are 0.5; they must be a sequence"),
    (lambda: lag_selection.kernel((0.5,), (np.nan,), 4), "they must be finite numbers"),
    (lambda: lag_selection.rounding("x"), "they must be finite numbers"),
    (lambda: lag_selection.folded(EYE, 3), r"weights have shape \(2, 2\); it must be \(n,\)"),
    (lambda: lag_selection.workable_heads(0.5, 0, 4), "lags is 0; it must be an integer >= 1"),
    (lambda: generic.decompose(lambda q, k: np.zeros(7), 1, 1, 9), r"shape \(7,\); it must broadcast to \(9, 9\)"),
    (lambda: generic.decompose(lambda q, k: q - k, 2, 1, 5), r"shape \(25, 25, 2\); it must broadcast to \(25, 25\)"),
    (lambda: generic.decompose(3, 1, 1, 9), "similarity is 3; it must be a function of two patches"),
    (lambda: generic.decompose(exponential, 2, 2, 5).left(np.zeros((3, 4))), r"shape \(3, 4\); it must be \(..., 2\)"),
    (lambda: KNOWN.left([5.0]), r"their numbers must be in \[-1, 1\]"),
    (lambda: KNOWN.left([np.nan]), r"their numbers must be in \[-1, 1\]"),
    (lambda: generic.spline(3, 4), "functions are 3; they must be a function of points"),
    (lambda: generic.spline_logits(KNOWN, 4, 3.0, 0.0), r"must be in \[-1, 1\]"),
    (lambda: generic.spline_logits(KNOWN, 4, np.zeros(3), np.zeros(4)), r"shapes \(3,\) and \(4,\); they must broad"),
    (lambda: generic.generic_model(KNOWN, 4, (0.1,))(2.0 * np.ones((4, 1))), "built for moduli of at most 1"),
    (lambda: ridge_network.patch_model(KNOWN, 2, 4, (0.1,))(3.0 * np.ones((4, 1))), "tokens reach 3; this model is"),
    (lambda: TwoLayerAttention(EYE, None, None), "first is None; it must be of type AttentionLayer"),
    (lambda: TwoLayerAttention(EYE, ONE, ONE, 3), "feed_forward is 3; it must be of type FeedForward"),
    (lambda: TwoLayerAttention(EYE, ONE, ONE, largest=0.0), "largest is 0.0; it must be above 0"),
    (lambda: constructions.bigram_bound(EYE, 1.0, radius=1e200), r"radius is 1e\+200; it must be above 0 and at most"),
    (lambda: constructions.ngram_model(EYE, 2, (Fraction(1, 10**400),)), "they must be at least 1e-300"),
    (lambda: lag_selection.folded([np.nan], 3), "they must be finite"),
    (lambda: lag_selection.least_error((0.5,), 2, 10**7), "lags is 10000000; it must be at most 1000"),
    (lambda: random_features.hinge_variance(KNOWN, 0.3), r"points has shape \(\); it must be \(p,\)"),
    (lambda: random_features.curvature(KNOWN, 2.0), r"must be in \[-1, 1\]"),
    (lambda: random_features.mean_square_error(KNOWN, 0, [0.0], [0.0]), "hinges is 0; it must be at least 1"),
    (lambda: random_features.mean_square_error(KNOWN, 3, [0.0], [0.0, 1.0]), "they must be as many"),
])
def test_no_input_becomes_nan_or_a_traceback(call, message):
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("call, message", [
    (lambda: ridge_network.hinges(0, 3), "size is 0; it must be an integer >= 1"),
    (lambda: ridge_network.fit(lambda x: x[:2], 1, 9), r"functions return shape \(2, 1\); it must be \(44, K\)"),
    (lambda: ridge_network.fit(lambda x: x * np.nan, 1, 9), "and finite"),
    (lambda: ridge_network.fit(lambda x: x, 6, 9, 40), "order.size must be at most 4096: fewer neurons"),
    (lambda: ridge_network.patch_model(3, 2, 9, (0.5,)), "decomposition is 3; it must be a Decomposition"),
    (lambda: ridge_network.patch_model(KNOWN, 2, 9, lag_selection.spaced_nodes(60, 0.25)), "at most 46 heads"),
    (lambda: generic.generic_model(KNOWN, 9, lag_selection.spaced_nodes(60, 0.25)), "at most 46 heads for n = 2"),
    (lambda: ridge_network.fit(lambda x: x, 1, 9, 4), "order.size must be at least 11"),
    (lambda: ridge_network.patch_model(generic.exponential_decomposition(2), 3, 4, (0.1, 0.2)), "multiple of n - 1"),
    (lambda: ridge_network.patch_model(generic.decompose(exponential, 2, 2, 6), 3, 4, (0.1,)), "at least 2 heads"),
])
def test_networks_that_cannot_be_built_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
