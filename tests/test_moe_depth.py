"""Depth, pieces, folds, rings and identities of mixtures of experts, against other ways to compute them."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from theorycheck.theory.moe import circles, explicit, identities, partition, pieces, smoothness, zigzag
from theorycheck.theory.moe.exact import Rational, rank
from theorycheck.theory.moe.experts import KuhnExpert
from theorycheck.theory.moe.model import DenseNetwork, MoE, MoELayer, linear_gate

SEEDS = st.integers(0, 2**32 - 1)


def dense(rng, *sizes):
    pairs = list(itertools.pairwise(sizes))
    return DenseNetwork([rng.standard_normal((rows, columns)) for columns, rows in pairs],
                        [rng.standard_normal(rows) for _, rows in pairs])


def mixture(rng, inputs, outputs, experts=3, hidden=(4,), **options):
    return MoELayer(dense(rng, inputs, experts), [dense(rng, inputs, *hidden, outputs) for _ in range(experts)],
                    **options)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_exact_evaluation_is_the_float_one_and_its_map_the_derivative(seed):
    rng = np.random.default_rng(seed)
    network = MoE((mixture(rng, 2, 3), mixture(rng, 3, 2, hidden=(3, 5))))
    points = rng.standard_normal((5, 2))
    values, routes = network.routed(points)
    exact = Rational(network)
    for point, value, route in zip(points, values, routes, strict=True):
        piece = exact.piece([Fraction(float(x)) for x in point])
        assert piece.route == tuple(route)
        np.testing.assert_allclose([float(y) for y in piece.value], value, rtol=1e-9, atol=1e-9)
        again = [sum(a * Fraction(float(x)) for a, x in zip(row, point, strict=True)) + b
                 for row, b in zip(piece.matrix, piece.offset, strict=True)]
        assert tuple(again) == piece.value
        step = 1e-7 * rng.standard_normal(2)
        moved, other = network.routed((point + step)[None])
        if (other[0] == route).all():
            slope = np.array([[float(a) for a in row] for row in piece.matrix]) @ step
            np.testing.assert_allclose(moved[0] - value, slope, atol=1e-4 * np.abs(step).max())


def test_exact_evaluation_refuses_what_is_not_rational():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="top = 2"):
        Rational(mixture(rng, 2, 2, top=2))
    with pytest.raises(ValueError, match="must be an MoE"):
        Rational(3)
    with pytest.raises(ValueError, match="must have 2"):
        Rational(mixture(rng, 2, 2)).piece([1])
    for point in ([math.nan, 1], [math.inf, 1], [1j, 0], None):
        with pytest.raises(ValueError, match="must be finite rational numbers"):
            Rational(mixture(rng, 2, 2)).piece(point)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_rank(seed, rows, columns, inner):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-3, 4, (rows, inner)) @ rng.integers(-3, 4, (inner, columns))
    assert rank([[Fraction(int(entry)) for entry in row] for row in matrix]) == np.linalg.matrix_rank(matrix)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([(), (4,), (3, 5)]), st.booleans())
def test_product_of_layers_is_blockwise(seed, hidden, positive):
    rng = np.random.default_rng(seed)
    layers = [mixture(rng, 2, 1, hidden=hidden), mixture(rng, 1, 3, hidden=hidden), mixture(rng, 3, 2, hidden=hidden)]
    points = rng.standard_normal((50, 6))
    points = np.abs(points) if positive else points
    deep_network = partition.on_product(layers, [not positive] * 6)
    parts = np.split(points, [2, 3], axis=1)
    wanted = [layer.routed(part) for layer, part in zip(layers, parts, strict=True)]
    values, routes = deep_network.routed(points)
    np.testing.assert_allclose(values, np.hstack([value for value, _ in wanted]), atol=1e-11)
    assert (routes == np.stack([route for _, route in wanted], axis=1)).all()
    if hidden:
        carried = np.array([(2 - positive) * 4, 2 + (2 - positive) * 3, 2 * 4])
        assert [layer.experts[0].width for layer in deep_network.layers] == (max(hidden) + carried).tolist()


def test_products_refuse_what_they_cannot_hand_on():
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="shared"):
        partition.on_product([mixture(rng, 1, 1, shared=(dense(rng, 1, 1),))])
    with pytest.raises(ValueError, match="3 signs"):
        partition.on_product([mixture(rng, 1, 1)], [True] * 3)
    with pytest.raises(ValueError, match="does not fit"):
        partition.acting_on(dense(rng, 2, 1), 2, 3, [True] * 3)


@given(st.integers(1, 9), st.lists(st.integers(0, 900), min_size=1, max_size=20))
def test_interval_gate_rounds_up(experts, hundredths):
    x = np.minimum(np.array(hundredths) / 100, experts)
    assert (np.argmax(partition.interval_gate(experts)(x[:, None]), axis=1) == partition.interval(x, experts)).all()


def test_path_codes_do_not_collide():
    rng = np.random.default_rng(2)
    network = MoE((mixture(rng, 2, 2, 5), mixture(rng, 2, 2, 2), mixture(rng, 2, 2, 7)))
    points = 5 * rng.standard_normal((20000, 2))
    assert pieces.count_paths(network, points) == len({tuple(route) for route in network.routed(points)[1]})
    assert pieces.count_paths(network, points[:0]) == 0
    cells = np.array(list(itertools.product(np.arange(4) + 0.5, repeat=3)))
    assert (np.unique(pieces.grid_cells(3, 4), axis=0) == cells).all()


def test_paths_too_many_to_tell_apart_are_refused():
    rng = np.random.default_rng(3)
    with pytest.raises(ValueError, match="fewer than 2"):
        pieces.count_paths(MoE((mixture(rng, 1, 1, 2),) * 63), [[0.0]])
    with pytest.raises(ValueError, match="at most 2"):
        pieces.grid_cells(27, 2)


def test_pieces_of_the_additive_network_along_a_line():
    """A sum of 3 and of 3 kinked coordinates has 1 + 2 + 2 pieces on a diagonal that meets the kinks one by one."""
    network = pieces.additive_network([[1, 2, 3], [4, 5, 6]])
    t = np.linspace(0, 2.6, 2601)
    line = network(np.stack([t + 0.3, 3 - t - 0.1], axis=1))[:, 0]
    bends = np.abs(np.diff(line, 2)) > 1e-9
    assert (np.diff(np.flatnonzero(bends), prepend=-9) > 1).sum() == 4


@pytest.mark.parametrize(("experts", "depth"), [(2, 5), (3, 3), (5, 2)])
def test_zigzag_is_the_triangle_wave(experts, depth):
    x, count = np.linspace(0, 1, 1201), experts**depth
    wanted = np.arccos(np.cos(math.pi * count * x)) / math.pi
    np.testing.assert_allclose(zigzag.zigzag(experts, depth)(x[:, None])[:, 0], wanted, atol=1e-6)
    np.testing.assert_allclose(zigzag.zigzag_values(x, count), wanted, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(3, 12))
def test_best_affine_fit_against_linear_programming(seed, count):
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(0, 1, count)), rng.standard_normal(count)
    rows = np.vstack([np.stack([x, np.ones(count), -np.ones(count)], axis=1),
                      np.stack([-x, -np.ones(count), -np.ones(count)], axis=1)])
    found = linprog([0, 0, 1], rows, np.concatenate([y, -y]), bounds=[(None, None)] * 3)
    assert zigzag.affine_error(x, y) == pytest.approx(found.fun, abs=1e-7)
    first, second = np.triu_indices(count, 1)
    residual = y - ((y[second] - y[first]) / (x[second] - x[first]))[:, None] * x
    assert zigzag.affine_error(x, y) == pytest.approx(np.ptp(residual, axis=1).min() / 2, rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_greedy_pieces_against_all_ways_to_cut(count):
    x = np.linspace(0, 1, 2 * count + 1)
    y = zigzag.zigzag_values(x, count)
    best = {0: 0}
    for end in range(1, len(x) + 1):
        best[end] = min(best[start] + 1 for start in range(end)
                        if zigzag.affine_error(x[start:end], y[start:end]) <= 0.499)
    assert zigzag.greedy_pieces(x, y, 0.499) == best[len(x)]
    assert zigzag.greedy_pieces(x, -y, 0.499) == zigzag.greedy_pieces(-x[::-1], y[::-1], 0.499) == best[len(x)]
    # Extremes and middles between them are not all of [0, 1], but three extremes in a row already cost 1/2.
    assert best[len(x)] == zigzag.fewest_pieces(count)


def test_greedy_pieces_of_long_ones():
    """Five parabolas y = (x - c)^2, each of length 2 a: off its chord's parallel by a^2/2, less than the tolerance."""
    x = np.linspace(0, 5, 20001)[:-1]
    y = (x % 1 - 0.5) ** 2 + 10 * (np.floor(x) % 2)
    assert zigzag.affine_error(x[:4000], y[:4000]) == pytest.approx(0.125, rel=1e-3)
    assert zigzag.greedy_pieces(x, y, 0.126) == 5 and zigzag.greedy_pieces(x, y, 0.126 / 4) == 10


@pytest.mark.parametrize(("x", "y"), [
    ([0, 1, 2], [0, 1]), ([0, 0, 1], [0, 1, 2]), ([0, 1, math.nan], [0, 1, 2]), ([], [])])
def test_samples_that_are_none_are_refused(x, y):
    for call in (zigzag.affine_error, lambda x, y: zigzag.greedy_pieces(x, y, 0.1)):
        with pytest.raises(ValueError, match="x and y"):
            call(x, y)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 0.95), st.integers(1, 6))
def test_no_affine_gate_beats_the_bound_on_rings(seed, ratio, experts):
    rng = np.random.default_rng(seed)
    gate = linear_gate(rng.standard_normal((experts, 2)), 0.5 * rng.standard_normal(experts))
    share = circles.shared_share(gate, ratio, 1.0, 2048)
    assert share >= circles.share_bound(ratio, 1.0, experts) - 2 * experts / 2048


@given(st.floats(0.01, 0.99))
def test_ring_gates_are_pure_and_their_number_the_least(ratio):
    least = circles.fewest_experts(ratio, 1.0)
    sides = next(n for n in range(3, 99) if math.cos(math.pi / n) > ratio)
    if min(abs(math.cos(math.pi / n) - ratio) for n in (sides - 1, sides)) > 1e-9:
        assert least == 1 + sides
        assert circles.share_bound(ratio, 1.0, least) == 0 < circles.share_bound(ratio, 1.0, least - 1)
        assert circles.shared_share(circles.ring_gate(ratio, 1.0), ratio, 1.0, 512) == 0
        assert circles.shared_share(circles.ring_router(ratio, 1.0), ratio, 1.0, 512) == 0


@pytest.mark.parametrize("sides", [3, 4, 6, 17, 1000])
def test_rings_whose_ratio_decides_by_ties_alone_take_one_more(sides):
    tie = math.cos(math.pi / sides)
    assert circles.fewest_experts(tie, 1.0) == circles.fewest_experts(3 * tie, 3.0) == sides + 2
    assert circles.fewest_experts(tie * (1 - 1e-12), 1.0) == sides + 1


def test_rings_that_nearly_touch():
    """pi/arccos(1 - s) = pi/sqrt(2 s) (1 - s/12 + ..)."""
    for apart in (1e-6, 1e-9, 1e-13):
        inner = 1 - apart
        assert circles.fewest_experts(inner, 1.0) == pytest.approx(math.pi / math.sqrt(2 * (1 - inner)) + 1.5, abs=1.5)
    with pytest.raises(ValueError, match="needs 7023725 experts; it may have at most 1048576"):
        circles.ring_gate(1 - 1e-13, 1.0)


def test_rings_refuse_radii_out_of_order():
    with pytest.raises(ValueError, match="0 < inner < outer"):
        circles.fewest_experts(1.0, 0.5)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([1, 2]))
def test_unrolled_layers_have_gates_without_bias_and_the_same_values(seed, layers):
    rng = np.random.default_rng(seed)
    gate = dense(rng, 3, 6, 4) if layers == 2 else dense(rng, 3, 4)
    layer = MoELayer(gate, [dense(rng, 3, 5, 2) for _ in range(4)])
    points = rng.standard_normal((200, 3))
    twice = identities.unrolled(layer)
    values, routes = twice.routed(points)
    assert all(each.gate.biases == (None,) and len(each.gate.weights) == 1 for each in twice.layers)
    np.testing.assert_allclose(values, layer(points), atol=1e-12)
    assert (routes[:, 1] == layer.routed(points)[1]).all()


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 3), st.sampled_from([(), (4,), (4, 3)]))
def test_merged_encoded_and_repeated_layers(seed, top, hidden):
    rng = np.random.default_rng(seed)
    layer = mixture(rng, 3, 2, 4, hidden, top=top, shared=(dense(rng, 3, *hidden, 2), dense(rng, 3, *hidden, 2)))
    points = rng.standard_normal((100, 3))
    plain = identities.merged(layer)
    np.testing.assert_allclose(plain(points), layer(points), atol=1e-11)
    assert not plain.shared and plain.experts[0].width == 3 * layer.experts[0].width
    encoder, wide = dense(rng, 7, 3), rng.standard_normal((100, 7))
    np.testing.assert_allclose(identities.encoded(layer, encoder)(wide), layer(encoder(wide)), atol=1e-10)
    single = MoELayer(layer.gate, layer.experts)
    np.testing.assert_allclose(identities.repeated(single, 3)(points), single(points), atol=1e-12)


def test_identities_refuse_what_has_no_counterpart():
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="add up to 1"):
        identities.merged(mixture(rng, 2, 2, normalised="all"))
    with pytest.raises(ValueError, match="top = 2"):
        identities.repeated(mixture(rng, 2, 2, top=2), 2)
    with pytest.raises(ValueError, match="1 or 2"):
        identities.unrolled(MoELayer(dense(rng, 2, 3, 3, 3), [dense(rng, 2, 2)] * 3))
    with pytest.raises(ValueError, match="which the layer takes"):
        identities.encoded(mixture(rng, 2, 2), dense(rng, 5, 3))
    kuhn = KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [1, 1], np.ones((2, 2)))
    for layer, message in ((MoELayer(dense(rng, 2, 2), [kuhn, kuhn]), "contain KuhnExpert"), (None, "layer is None")):
        for turn in (identities.unrolled, identities.merged, lambda one: identities.encoded(one, dense(rng, 5, 2))):
            with pytest.raises(ValueError, match=message):
                turn(layer)
    with pytest.raises(ValueError, match="layer is None"):
        identities.repeated(None, 2)
    points = rng.uniform(0, 1, (20, 2))
    np.testing.assert_allclose(identities.repeated(MoELayer(dense(rng, 2, 2), [kuhn, kuhn]), 3)(points), kuhn(points))


def test_one_sided_derivatives_against_differences():
    step = 1e-3
    for joint in (1, 2):
        for side, sign in ((0, -1), (1, 1)):
            f = [float(smoothness.piecewise_quartic(joint + sign * k * step)) for k in range(4)]
            first = sign * (-1.5 * f[0] + 2 * f[1] - 0.5 * f[2]) / step
            second = (2 * f[0] - 5 * f[1] + 4 * f[2] - f[3]) / step**2
            assert first == pytest.approx(float(smoothness.one_sided(joint, 1)[side]), abs=1e-3)
            assert second == pytest.approx(float(smoothness.one_sided(joint, 2)[side]), abs=1e-2)
    with pytest.raises(ValueError, match="must stay in"):
        smoothness.piecewise_quartic(3.1)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 9))
def test_warm_up_interpolates_every_coordinate_in_its_cell(seed, depth, experts, segments):
    rng = np.random.default_rng(seed)
    levels = rng.standard_normal((depth, experts))
    functions = [[lambda z, c=c: c + np.sin(3 * z) for c in row] for row in levels]
    points = rng.uniform(0, experts, (200, depth))
    cells = np.floor(points).astype(int)
    nodes = np.linspace(0, experts, experts * segments + 1)
    wanted = np.stack([np.interp(points[:, axis], nodes, np.sin(3 * nodes)) + levels[axis][cells[:, axis]]
                       for axis in range(depth)], axis=1)
    network = partition.warm_up(functions, segments)
    np.testing.assert_allclose(network(points), wanted, atol=1e-11)
    np.testing.assert_allclose(identities.unrolled_deep(network)(points), wanted, atol=1e-11)
    assert len(identities.unrolled_deep(network).layers) == 2 * depth


@pytest.mark.parametrize(("make", "message"), [
    (lambda: DenseNetwork([[[1.0]]], 3), "biases are 3"),
    (lambda: MoELayer(linear_gate([[1.0]]), None), "experts are None"),
    (lambda: MoELayer(linear_gate([[1.0]]), [linear_gate([[1.0]])], shared=7), "shared are 7"),
    (lambda: MoE(None), "layers are None"),
    (lambda: MoE((3,)), "must be MoELayers"),
    (lambda: partition.warm_up([[1, 2]], 4), "must be a sequence of callables"),
    (lambda: partition.warm_up([[np.sin], []], 4), "functions of layer 2"),
    (lambda: partition.warm_up([[np.sin, lambda z: 1 / (z - 1.5)]], 4), "function 2 of layer 1 is inf at 1.5"),
    (lambda: partition.warm_up([[lambda z: 1.0]], 4), "returns shape \\(\\)"),
    (lambda: partition.interval([math.nan], 3), "must be finite"),
])
def test_networks_refuse_what_they_cannot_be_made_of(make, message):
    with pytest.raises(ValueError, match=message) as refused, np.errstate(divide="ignore"):
        make()
    assert "\n" not in str(refused.value)


JUNK = (None, "ab", math.nan, -1, 2.5, 10**40, 1j, [], [[1, 2], [3]], np.ones((2, 2)), object(), int, DenseNetwork)
CALLS = (partition.interval_gate, partition.interval, partition.warm_up, partition.on_product, partition.cell_points,
         pieces.count_paths, pieces.exact_pieces, pieces.grid_cells, zigzag.zigzag, zigzag.zigzag_values,
         zigzag.shallow_zigzag, zigzag.affine_error, circles.fewest_experts, circles.ring_router, DenseNetwork,
         MoELayer, identities.dense_layer, identities.encoded, identities.chained, identities.repeated,
         smoothness.one_sided, explicit.dense_network)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_what_is_none_of_it_is_answered_or_refused_in_one_line(call):
    layer = MoELayer(linear_gate(np.ones((2, 2))), [linear_gate(np.ones((2, 2)))] * 2)
    for one, other in itertools.product((*JUNK, 2, layer, layer.gate, MoE((layer,)), [layer]), repeat=2):
        try:
            call(one, other)
        except ValueError as refused:
            assert "\n" not in str(refused)


@pytest.mark.parametrize(("points", "message"), [
    ([[0.0, 1.0], [2.0, math.nan]], "point 1 has coordinate 1 = nan"),
    ([[-math.inf, math.inf]], "point 0 has coordinate 0 = -inf"),
    ([[1j, 2.0]], "points are"), ("abc", "points are 'abc'"), ([1.0, 2.0], "it must be \\(N, 2\\)"),
    ([[1.0], [2.0, 3.0]], "points are"), (None, "points are None|points have shape"),
])
def test_networks_refuse_points_that_are_none(points, message):
    rng = np.random.default_rng(8)
    for network in (dense(rng, 2, 3), dense(rng, 2, 4, 3), mixture(rng, 2, 1), MoE((mixture(rng, 2, 2),))):
        with pytest.raises(ValueError, match=message):
            network(points)
    assert np.isfinite(dense(rng, 2, 3)([[1e308, 0.0], [1e300, 1e300]])).any()


def test_warm_up_and_cells_refuse_sizes_that_are_none():
    with pytest.raises(ValueError, match="segments is 0"):
        partition.warm_up([[np.sin]], 0)
    with pytest.raises(ValueError, match="must be \\(L, E\\)"):
        partition.affine_partition([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="must be in \\(0, 1\\)"):
        partition.cell_points(2, 2, 3, 3)


def test_one_layer_of_affine_experts_on_a_fold():
    layer = zigzag.shallow_zigzag(27)
    x = np.linspace(0, 1, 27 * 16 + 1)
    assert len(layer.experts) == zigzag.fewest_pieces(27) == 14
    assert np.abs(layer(x[:, None])[:, 0] - zigzag.zigzag_values(x, 27)).max() == pytest.approx(1 / 3)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 4))
def test_flattened_partition_is_the_deep_one(seed, depth, experts):
    rng = np.random.default_rng(seed)
    slopes, offsets = rng.standard_normal((2, depth, experts))
    points = rng.uniform(0, experts, (100, depth))
    flat = partition.flattened(slopes, offsets)
    assert len(flat.experts) == experts**depth
    np.testing.assert_allclose(flat(points), partition.affine_partition(slopes, offsets)(points), atol=1e-12)
    with pytest.raises(ValueError, match="at most 2"):
        partition.flattened(np.ones((17, 2)), np.ones((17, 2)))
