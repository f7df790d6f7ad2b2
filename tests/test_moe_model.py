"""The mixture-of-experts model against a loop over points, and experts against interpolation by other means."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory.moe.experts import KuhnExpert, free_numbers, spline_expert
from theorycheck.theory.moe.identities import added, chained, unrolled
from theorycheck.theory.moe.model import DenseNetwork, MoE, MoELayer, linear_gate


def dense(rng, *sizes):
    pairs = list(zip(sizes, sizes[1:], strict=False))
    return DenseNetwork([rng.standard_normal((rows, columns)) for columns, rows in pairs],
                        [rng.standard_normal(rows) for _, rows in pairs])


def by_hand(network, point):
    value = point
    for depth, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        value = weight @ (np.maximum(value, 0) if depth else value) + (0 if bias is None else bias)
    return value


@pytest.mark.parametrize("outputs", [1, 3, 31, 32, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_neurons_that_all_read_one_direction_against_a_loop(outputs, bias):
    rng = np.random.default_rng(outputs)
    tied = DenseNetwork((np.tile(rng.standard_normal(50), (9, 1)), rng.standard_normal((outputs, 9))),
                        (rng.standard_normal(9), rng.standard_normal(outputs)) if bias else None)
    points = rng.standard_normal((70, 50))
    np.testing.assert_allclose(tied(points), [by_hand(tied, point) for point in points], rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.sampled_from(["selected", "all"]),
       st.integers(0, 2), st.sampled_from([(3, 2), (3, 5, 2), (3, 4, 4, 2), (3, 40, 2)]))
def test_layer_against_a_loop(seed, count, top, normalised, shared, sizes):
    rng, top = np.random.default_rng(seed), min(top, count)
    layer = MoELayer(dense(rng, 3, 5, count), [dense(rng, *sizes) for _ in range(count)], top, normalised,
                     [dense(rng, *sizes) for _ in range(shared)])
    points = rng.standard_normal((70, 3))
    second = MoELayer(linear_gate(np.eye(2)), [dense(rng, 2, 3), dense(rng, 2, 4, 3)])
    values, routes = MoE((layer, second)).routed(points)
    for point, value, route in zip(points, layer(points), routes, strict=True):
        logits = by_hand(layer.gate, point)
        chosen = sorted(range(count), key=lambda k: -logits[k])[:top]
        over = chosen if normalised == "selected" else range(count)
        total = sum(math.exp(logits[k]) for k in over)
        wanted = sum(math.exp(logits[k]) / total * by_hand(layer.experts[k], point) for k in chosen)
        wanted = wanted + sum((by_hand(each, point) for each in layer.shared), np.zeros(2))
        np.testing.assert_allclose(value, wanted, atol=1e-10, rtol=1e-10)
        assert route[0] == chosen[0] and route[1] == np.argmax(value)
    np.testing.assert_allclose(values, second(layer(points)))


def test_only_selected_experts_are_evaluated():
    visited = []

    class Counting:
        inputs, outputs, parameters = 1, 1, 1

        def __init__(self, name):
            self.name = name

        def __call__(self, points):
            visited.append((self.name, len(points)))
            return np.zeros((len(points), 1))

    layer = MoELayer(linear_gate([[1.0], [-1.0], [0.0]], [0.0, 0.0, -9.0]), [Counting(name) for name in "abc"])
    layer(np.array([[2.0], [-1.0], [3.0]]))
    assert visited == [("a", 2), ("b", 1)]


def test_batches_do_not_change_a_value(monkeypatch):
    rng = np.random.default_rng(3)
    layer = MoELayer(dense(rng, 3, 7), [dense(rng, 3, 9, 2) for _ in range(7)], top=2)
    points = rng.standard_normal((500, 3))
    whole = layer(points)
    monkeypatch.setattr("theorycheck.theory.moe.model.LOGITS", 7 * 13)
    np.testing.assert_allclose(layer(points), whole, rtol=1e-13)


def test_ties_go_to_the_first():
    layer = MoELayer(linear_gate(np.zeros((3, 2))), [DenseNetwork([np.zeros((1, 2))], [[k]]) for k in range(3)])
    np.testing.assert_array_equal(layer(np.ones((2, 2))), 0)


def test_parameters_are_counted():
    rng = np.random.default_rng(0)
    layer = MoELayer(linear_gate(np.ones((4, 3))), [dense(rng, 3, width, 1) for width in (5, 6, 7, 8)], top=2,
                     shared=[dense(rng, 3, 2, 1)])
    of = lambda width: width * 5 + 1                                   # noqa: E731
    assert layer.parameters == 12 + sum(map(of, (5, 6, 7, 8, 2)))
    assert layer.active == 12 + of(8) + of(7) + of(2)
    assert MoE((layer,)).active == layer.active and MoE((layer,)).parameters == layer.parameters


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_spline_interpolates(seed, segments):
    rng = np.random.default_rng(seed)
    direction, centre = rng.standard_normal(4), rng.standard_normal(4)
    nodes, values = np.cumsum(rng.random(segments + 1) + 0.1), rng.standard_normal(segments + 1)
    points = rng.standard_normal((50, 4))
    chart = (points - centre) @ direction
    wanted = np.interp(chart, nodes, values)
    last = (values[-1] - values[-2]) / (nodes[-1] - nodes[-2])
    wanted += np.maximum(chart - nodes[-1], 0) * last
    expert = spline_expert(direction, centre, nodes, values)
    assert expert.width == segments and expert.parameters == segments * (4 + 2) + 1
    assert free_numbers(expert) == 4 + 2 * segments + 1
    np.testing.assert_allclose(expert(points)[:, 0], wanted, atol=1e-9 * (1 + np.abs(wanted).max()))


@pytest.mark.parametrize("dimension, segments, layers", [(1, 5, 2), (2, 4, 2), (3, 2, 3), (4, 2, 4), (5, 1, 4)])
def test_kuhn_expert_is_its_network(dimension, segments, layers):
    rng = np.random.default_rng(dimension)
    basis = np.linalg.qr(rng.standard_normal((dimension + 2, dimension)))[0]
    sides = (segments + 1,) + (2,) * (dimension - 1) if dimension > 3 else (segments + 1,) * dimension
    expert = KuhnExpert(basis, rng.standard_normal(dimension + 2), -np.ones(dimension), np.full(dimension, 1.5),
                        rng.standard_normal((*sides, 2)))
    network = expert.network()
    assert len(network.weights) - 1 == layers
    assert expert.parameters == network.parameters
    assert free_numbers(expert) == expert.basis.size + expert.centre.size + 2 * dimension + expert.values.size
    points = expert.centre + rng.uniform(-2.5, 3, (2000, dimension)) @ basis.T
    np.testing.assert_allclose(expert(points), network(points), atol=1e-12)


def test_free_numbers_of_other_networks_are_their_entries():
    network = dense(np.random.default_rng(0), 3, 5, 2)
    assert free_numbers(network) == network.parameters == 5 * 4 + 2 * 6
    assert free_numbers(DenseNetwork(network.weights)) == 5 * 3 + 2 * 5


def test_free_numbers_count_equal_rows_once_and_wiring_not_at_all():
    """Sums share nothing but rows, compositions one direction of the inner function, features hand x on for free."""
    rng = np.random.default_rng(1)
    splines = [spline_expert(rng.standard_normal(4), rng.standard_normal(4), np.cumsum(rng.random(7)),
                             rng.standard_normal(7)) for _ in range(3)]
    assert free_numbers(added(splines)) == 3 * (4 + 6 + 6) + 1
    outer = spline_expert([0.7], [0.2], np.cumsum(rng.random(9)), rng.standard_normal(9))
    assert free_numbers(chained(splines[0], outer)) == 4 + 6 + 6 + 8 + 8 + 1
    gate = DenseNetwork((rng.standard_normal((5, 4)), np.eye(5)), (rng.standard_normal(5), None))
    two = unrolled(MoELayer(gate, splines[:1] * 5))
    assert free_numbers(two.layers[0].experts[0]) == 5 * 4 + 5 + 1          # x and tau: 5 neurons, and the constant 1
    assert [free_numbers(layer.gate) for layer in two.layers] == [0, 0]
    assert free_numbers(two.layers[1].experts[0]) == free_numbers(splines[0]) == 4 + 6 + 6 + 1


def test_kuhn_expert_interpolates_on_its_triangles():
    """Within the grid: on each triangle that the diagonal (1, 1) cuts, the plane through its corners."""
    rng = np.random.default_rng(8)
    values = rng.standard_normal((4, 6))
    expert = KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [3, 5], values)
    points = rng.uniform(0, 1, (4000, 2)) * [3, 5]
    for cell in np.ndindex(3, 5):
        corner = np.array(cell)
        inside = points[(np.floor(points) == corner).all(axis=1)] - corner
        for triangle, keep in (((0, 0), (1, 0), (1, 1)), inside[:, 0] > inside[:, 1]), \
                              (((0, 0), (0, 1), (1, 1)), inside[:, 0] < inside[:, 1]):
            plane = np.linalg.solve(np.column_stack([triangle, np.ones(3)]),
                                    [values[tuple(corner + node)] for node in triangle])
            wanted = inside[keep] @ plane[:2] + plane[2]
            np.testing.assert_allclose(expert(inside[keep] + corner)[:, 0], wanted, atol=1e-12)


@pytest.mark.parametrize("call, words", [
    (lambda: DenseNetwork(()), "at least one matrix"),
    (lambda: DenseNetwork([np.ones((2, 3)), np.ones((1, 4))]), r"2 have shape \(1, 4\); they must have 2 columns"),
    (lambda: DenseNetwork([np.ones((2, 3))], [np.ones(3)]), r"biases of layer 1 have shape \(3,\); it must be \(2,\)"),
    (lambda: DenseNetwork([np.ones((2, 3))], []), "there are 0 biases; there must be 1"),
    (lambda: DenseNetwork([[[math.nan]]]), "they must be finite"),
    (lambda: DenseNetwork([np.ones((2, 3))])(np.ones((4, 2))), r"points have shape \(4, 2\); it must be \(N, 3\)"),
    (lambda: MoELayer(linear_gate(np.eye(2)), [linear_gate(np.eye(2))] * 3), "2 outputs for 3 experts"),
    (lambda: MoELayer(linear_gate(np.eye(2)), [linear_gate(np.eye(2))] * 2, top=3),
     r"top is 3; it must be an integer in \[1, 2\]"),
    (lambda: MoELayer(linear_gate(np.eye(2)), [linear_gate(np.eye(2)), linear_gate(np.eye(3))]), "maps R.3 to R.3"),
    (lambda: MoELayer(linear_gate(np.eye(2)), [1, 2]), "each must be a DenseNetwork"),
    (lambda: MoELayer(linear_gate(np.eye(2)), [linear_gate(np.eye(2))] * 2, normalised="none"), "one of selected, all"),
    (lambda: MoE(()), "at least one"),
    (lambda: MoE([MoELayer(linear_gate(np.eye(2)[:1]), [linear_gate(np.ones((3, 2)))])] * 2), "layer 2 takes 2 inputs"),
    (lambda: spline_expert([1.0], [0.0], [0, 0], [1, 2]), "nodes must increase"),
    (lambda: spline_expert([1.0], [0.0], [0, 1], [1, 2, 3]), "at least two nodes and as many values"),
    (lambda: KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [1, 0], np.ones((2, 2))), "low less than high"),
    (lambda: KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [1, 1], np.ones((2, 1))), "sides of at least 2 nodes"),
    (lambda: KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [1, 1], np.ones((2, 2)))(np.ones((3, 5))),
     r"points have shape \(3, 5\); it must be \(N, 2\)"),
    (lambda: KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [1, 1], [[1, 2], [3, math.nan]]), "values are .* finite"),
])
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
