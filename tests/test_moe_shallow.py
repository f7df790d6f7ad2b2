"""Gates against the definition of their cells, charts against their inverses, constructions against their errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.checks.claim import Effort
from theorycheck.checks.moe import rates, table_one
from theorycheck.sims.moe.samples import PROTOCOL, Assembled, orthonormal_frame, points_on, sup_error
from theorycheck.theory.moe import charts, dense, gates, shallow
from theorycheck.theory.moe.experts import spline_expert
from theorycheck.theory.moe.manifolds import (
    Cube,
    Embedded,
    HomogeneousCurve,
    Product,
    RingTorus,
    Sphere,
    SwissRoll,
    circle,
)
from theorycheck.theory.moe.model import MoELayer


def profile(angle):
    return np.sin(5 * np.cos(angle)) + np.cos(3 * np.sin(angle))


def on_circle(points):
    return np.sin(5 * points[:, 0]) + np.cos(3 * points[:, 1])


def turned(atlas):
    """The same charts in another order."""
    return charts.Atlas(atlas.manifold, np.roll(atlas.centres, 1, axis=0), atlas.low, atlas.high,
                        np.roll(atlas.bases, 1, axis=0))


SIX = shallow.linear_chart_layer(charts.curve_atlas(circle(), 6), on_circle, 20)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 30))
def test_power_gate_sends_covered_points_into_their_ball(seed, dimension, count):
    rng = np.random.default_rng(seed)
    centres, radii = rng.standard_normal((count, dimension)), rng.random(count) * 2
    points = 1.5 * rng.standard_normal((300, dimension))
    powers = ((points[:, None] - centres) ** 2).sum(axis=2) - radii**2
    winner = np.argmax(gates.power_gate(centres, radii)(points), axis=1)
    best = powers.min(axis=1)
    np.testing.assert_allclose(powers[np.arange(300), winner], best, atol=1e-9)
    assert (powers[np.arange(300), winner][best < -1e-9] < 0).all()


def test_cone_gate_is_voronoi_on_equal_norms():
    centres = Sphere().place(np.random.default_rng(0).random((20, 2)))
    points = np.random.default_rng(1).standard_normal((500, 3))
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(gates.cone_gate(centres)(points).argmax(axis=1), nearest)
    assert gates.cone_gate(centres).biases == (None,)


@pytest.mark.parametrize("atlas", [
    charts.curve_atlas(circle(), 3), charts.curve_atlas(HomogeneousCurve(4), 10), charts.torus_atlas(2, 3),
    charts.cube_atlas(3, 2), charts.net_atlas(Sphere(), 30),
    charts.net_atlas(RingTorus(), 150),
    charts.net_atlas(Embedded(RingTorus(), orthonormal_frame(7, 3)), 150),
], ids=lambda atlas: type(atlas.manifold).__name__)
def test_charts_are_inverted(atlas):
    chart = len(atlas.centres) // 2
    uniform = np.random.default_rng(0).random((60, atlas.manifold.dimension))
    inside = atlas.low[chart] + uniform * (atlas.high - atlas.low)[chart]
    points = atlas.points(chart, inside)
    atlas.manifold.require(points)
    np.testing.assert_allclose(atlas.coordinates(points, np.full(60, chart)), inside, atol=1e-9)
    sample = points_on(atlas.manifold, 3000, seed=4)
    cells = atlas.route(sample)
    np.testing.assert_array_equal(cells, np.linalg.norm(sample[:, None] - atlas.centres, axis=2).argmin(axis=1))
    image = atlas.coordinates(sample, cells)
    assert (image >= atlas.low[cells] - 1e-12).all() and (image <= atlas.high[cells] + 1e-12).all()


def test_stretch_is_at_least_what_the_reach_says_and_sees_two_sheets():
    roll, sample = SwissRoll(), points_on(SwissRoll(), 30_000)
    atlas = charts.net_atlas(roll, 144)
    radius = max(np.linalg.norm(sample - atlas.centres[atlas.route(sample)], axis=1))
    assert atlas.stretch(sample).min() >= charts.least_stretch(radius / roll.reach) > 0
    assert charts.net_atlas(roll, 8, checked=False).stretch(sample).min() < 0.05
    assert charts.least_stretch(charts.INJECTIVE) == pytest.approx(0, abs=1e-15)


def test_experts_interpolate_at_the_nodes():
    atlas = charts.curve_atlas(Embedded(circle(), orthonormal_frame(9, 2)), 5)
    frame = atlas.manifold.frame
    layer = shallow.linear_chart_layer(atlas, lambda points: on_circle(points @ frame), 16)
    nodes = np.concatenate([atlas.points(k, np.linspace(atlas.low[k], atlas.high[k], 17)[1:-1]) for k in range(5)])
    np.testing.assert_allclose(layer(nodes)[:, 0], on_circle(nodes @ frame), atol=1e-12)
    assert [expert.width for expert in layer.experts] == [16] * 5
    assert layer.active == layer.gate.parameters + 16 * (9 + 2) + 1


def test_depth_two_equals_depth_one():
    atlas = charts.curve_atlas(circle(), 6)
    layer = shallow.linear_chart_layer(atlas, on_circle, 20)
    two = shallow.two_layer_form(layer, atlas, math.cos(1.5 * math.pi / 6))
    points = points_on(circle(), 4000)
    assert all(expert is two.layers[0].experts[0] for expert in two.layers[0].experts)
    np.testing.assert_allclose(two(points), layer(points), atol=1e-12)
    np.testing.assert_array_equal(two.routed(points)[1][:, 1], layer.routed(points)[1])


@pytest.mark.parametrize("atlas, exact", [
    (charts.curve_atlas(circle(), 5), math.cos(math.pi / 5)), (charts.torus_atlas(3, 4), 3 * math.cos(math.pi / 4)),
    (charts.net_atlas(Sphere(), 40), None), (charts.net_atlas(RingTorus(), 150), None),
    (charts.net_atlas(SwissRoll(), 300), None)], ids=["circle", "torus", "sphere", "ring", "roll"])
def test_features_cover_below_the_threshold(atlas, exact):
    """The winner is the nearest centre, with a positive feature, just below the threshold."""
    largest = shallow.covering_threshold(atlas)
    points = points_on(atlas.manifold, 20_000)
    features = gates.cap_features(atlas.centres, largest - 1e-9)(points)
    nearest = np.linalg.norm(points[:, None] - atlas.centres, axis=2).argmin(axis=1)
    assert features.max(axis=1).min() > 0
    np.testing.assert_array_equal(features.argmax(axis=1), nearest)
    if exact:
        assert largest == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("atlas, best", [(charts.net_atlas(RingTorus(), 150), 4.888),
                                         (charts.net_atlas(Embedded(RingTorus(), orthonormal_frame(6, 3)), 150), 4.888),
                                         (charts.net_atlas(SwissRoll(), 300), 160.55)], ids=["ring", "moved", "roll"])
def test_the_threshold_is_near_the_largest_where_norms_differ(atlas, best):
    """Of points: ``|x|^2 + max|c|^2 - |x - c|^2`` halved, c the nearest centre; the bound is 2 % below at most."""
    points = points_on(atlas.manifold, 50_000)
    near = np.linalg.norm(points - atlas.centres[atlas.route(points)], axis=1)
    found = ((points**2).sum(axis=1) - near**2).min() / 2 + (atlas.centres**2).sum(axis=1).max() / 2
    assert found == pytest.approx(best, rel=2e-3)
    assert 0.98 * found < shallow.covering_threshold(atlas) < found


@pytest.mark.parametrize("atlas, direction", [
    (charts.net_atlas(SwissRoll(), 150), [0, 1]), (charts.net_atlas(SwissRoll(), 150), [1, 0]),
    (charts.net_atlas(SwissRoll(1.0), 150), [1, 2]), (charts.net_atlas(Cube(2), 4, 400), [1, -1]),
    (charts.cube_atlas(1, 3), [1]), (charts.net_atlas(Product((circle(), Cube(1))), 40), [1, 1]),
    (charts.net_atlas(Embedded(SwissRoll(), orthonormal_frame(5, 3)), 150), [0, 1])])
def test_curved_charts_have_order_two_up_to_a_boundary(atlas, direction):
    """A third of the points is moved to the ends that a parameter reaches; lengths are not counted modulo 2 pi."""
    manifold, direction = atlas.manifold, np.array(direction)
    where = manifold.parameters(points_on(manifold, 15_000))
    ends = where.min(axis=0), where.max(axis=0)
    for part in range(2 * manifold.dimension):
        where[part::6 * manifold.dimension, part // 2] = ends[part % 2][part // 2]
    points = manifold.embed(where)

    def function(x):
        return np.cos(manifold.parameters(x) @ direction)

    errors = [np.abs(shallow.curved_chart_layer(atlas, function, m, direction=direction)[0](points)[:, 0]
                     - function(points)).max() for m in (32, 64, 128)]
    assert min(errors[0] / errors[1], errors[1] / errors[2]) > 3.4 and errors[2] < 0.002


@pytest.mark.parametrize("atlas", [charts.curve_atlas(circle(), 3), charts.curve_atlas(HomogeneousCurve(3), 9),
                                   charts.curve_atlas(Embedded(circle(), orthonormal_frame(5, 2)), 4)],
                         ids=["circle", "curve", "embedded"])
def test_curved_charts_of_curves(atlas):
    """Node by node: psi is the parameter, g the function in it; and the error is theirs together."""
    curve = atlas.manifold
    layer, parts = shallow.curved_chart_layer(atlas, lambda x: profile(curve.parameters(x)[:, 0]), 40, 30)
    assert [len(expert.weights) for expert in layer.experts] == [3] * len(parts)
    points = points_on(curve, 3000)
    for chart, (psi, g) in enumerate(parts):
        nodes = atlas.points(chart, np.linspace(atlas.low[chart], atlas.high[chart], 31))
        miss = psi(nodes)[:, 0] - curve.parameters(nodes)[:, 0]
        np.testing.assert_allclose(miss, 2 * math.pi * np.round(miss / 2 / math.pi), atol=1e-9)
        mine = points[atlas.route(points) == chart]
        np.testing.assert_allclose(layer.experts[chart](mine), g(psi(mine)), atol=1e-12)
    errors = [np.abs(shallow.curved_chart_layer(atlas, lambda x: profile(curve.parameters(x)[:, 0]), m)[0](points)[:, 0]
                     - profile(curve.parameters(points)[:, 0])).max() for m in (20, 80)]
    assert errors[1] < errors[0] / 14 < 0.01


@pytest.mark.parametrize("direction", [(1, 1, 1), (2, -1, 0), (0, 0, 1)])
def test_curved_charts_of_a_torus_are_exact_ridges(direction):
    """Two hidden layers; where psi is exact - at nodes of the chart - so is the ridge at its own nodes."""
    atlas = charts.torus_atlas(3, 4, orthonormal_frame(8, 6))
    torus, points = atlas.manifold, points_on(atlas.manifold, 2000)

    def function(x):
        angle = torus.parameters(x) @ np.array(direction)
        return np.stack([np.sin(angle), np.cos(2 * angle)], axis=1)

    errors = []
    for segments in (10, 40):
        layer, parts = shallow.curved_chart_layer(atlas, function, segments, direction=direction)
        assert {len(expert.weights) for expert in layer.experts} == {3}
        assert parts[0][0].width == 3 * segments and parts[0][1].width == segments
        errors.append(np.abs(layer(points) - function(points)).max())
    assert errors[1] < errors[0] / 14 < 0.02
    psi, g = parts[5]
    middle = atlas.centres[5:6]
    np.testing.assert_allclose(psi(middle), torus.parameters(middle), atol=1e-12)
    np.testing.assert_allclose(g(psi(middle)), function(middle), atol=1e-12)


@pytest.mark.parametrize("atlas", [charts.curve_atlas(HomogeneousCurve(2), 8), charts.torus_atlas(2, 3)],
                         ids=["curve", "torus"])
def test_curved_charts_at_depth_two(atlas):
    """Theorem 4.8's form: equal experts first, a gate without a bias that reads the features only, 3-layer experts."""
    dimension, count = atlas.manifold.dimension, len(atlas.centres)
    layer, _ = shallow.curved_chart_layer(atlas, lambda x: np.cos(atlas.manifold.parameters(x).sum(axis=1)), 12,
                                          direction=np.ones(dimension))
    two = shallow.two_layer_form(layer, atlas, shallow.covering_threshold(atlas) - 0.05)
    points = points_on(atlas.manifold, 3000)
    np.testing.assert_allclose(two(points), layer(points), atol=1e-12)
    first, second = two.layers
    assert all(expert is first.experts[0] for expert in first.experts)
    assert first.experts[0].width == 2 * atlas.manifold.ambient + count + 1
    assert second.gate.biases == (None,) and not second.gate.weights[0][:, :atlas.manifold.ambient].any()
    assert {len(expert.weights) for expert in second.experts} == {3}


def test_ridges_are_summed():
    atlas = charts.torus_atlas(2, 4)
    points = points_on(atlas.manifold, 500)
    layers = [shallow.linear_chart_layer(atlas, lambda x, k=k: x[:, 2 * k] ** 3, 12, direction=np.eye(2)[k])
              for k in (0, 1)]
    total = shallow.summed(layers)
    np.testing.assert_allclose(total(points), layers[0](points) + layers[1](points), atol=1e-12)
    assert total.experts[0].width == 24 and len(total.experts[0].weights) == 2


@pytest.mark.parametrize("ends", [(0.0, 2 * math.pi), (0.3, 1.1)])
def test_chord_network_interpolates(ends):
    nodes = np.linspace(*ends, 13)
    middles = (nodes[1:] + nodes[:-1]) / 2
    network = dense.chord_network(profile, nodes)
    assert network.width == (24 if ends[1] > 6 else 25)
    angles = np.concatenate([nodes, middles])
    np.testing.assert_allclose(network(circle().embed(angles[:, None]))[:, 0], profile(angles), atol=1e-11)
    inside = circle().embed(np.linspace(*ends, 400)[:, None])
    affine = dense.chord_network(lambda angle: 1 + 2 * np.cos(angle) - np.sin(angle), nodes)
    np.testing.assert_allclose(affine(inside)[:, 0], 1 + inside @ [2, -1], atol=1e-10)


@pytest.mark.parametrize("wave", [2, 3, 5])
def test_chord_error_is_that_of_three_nodes(wave):
    """sin(k t) has ``|f' + f'''| <= k^3 - k``; the error is at most that times the largest ``|w|`` of a piece."""
    count = 40
    step = 2 * math.pi / count
    angles = np.linspace(0, 2 * math.pi, 20_000)
    network = dense.chord_network(lambda t: np.sin(wave * t), np.linspace(0, 2 * math.pi, count + 1))
    inside = np.linspace(0, step / 2, 2000)
    bound = np.abs(inside - step / 2 * np.sin(inside) / math.sin(step / 2)).max() * (wave**3 - wave)
    error = np.abs(network(circle().embed(angles[:, None]))[:, 0] - np.sin(wave * angles)).max()
    assert 0.9 * bound < error <= bound * (1 + 1e-9)


def test_sup_error_finds_a_known_maximum():
    """The error of the interpolant of t^2/2 with step h is h^2/8."""
    atlas = charts.cube_atlas(1, 1)
    layer = shallow.linear_chart_layer(atlas, lambda points: points[:, 0] ** 2 / 2, 10)
    found = sup_error(layer, lambda points: points[:, 0] ** 2 / 2, atlas.manifold, points_on(atlas.manifold, 200))
    assert 0.01 / 8 * 0.9999 <= found <= 0.01 / 8 * (1 + 1e-9)


def test_dense_width_fills_its_parameters():
    width = dense.dense_width(100, 5)
    network = spline_expert(np.ones(5), np.zeros(5), np.arange(width + 1), np.zeros(width + 1))
    assert network.parameters <= 100 < network.parameters + 7


@pytest.mark.parametrize("judge, cases", [(table_one.table_one_separation, 5), (table_one.active_parameters, 3)])
def test_claims_about_mixtures_say_where_points_went(judge, cases):
    table = judge(Effort()).table
    assert table[0] == PROTOCOL and len(table) == cases + 1
    assert all(row[PROTOCOL.index("mis-routed")] == 0 for row in table[1:])


@pytest.mark.parametrize("width, layers", [(648, 3), (649, 3), (648, 2)])
def test_a_rate_needs_the_order_and_the_architecture(width, layers):
    """|t|^0.35 has more than kappa/d = 1/3 on T^3 and is refused; so is a network of another width or depth."""
    found = [(Assembled(m**-2.0, 10, 0, 0.5, 1, 1, 1), (2, 3, m if m < 648 else width, 1)) for m in rates.WIDTHS]
    assert rates.judged({"one": found}, rates.WIDTHS, layers).accepted == ((width, layers) == (648, 3))
    slow = [(case._replace(error=m**-0.35), form) for m, (case, form) in zip(rates.WIDTHS, found, strict=True)]
    assert not rates.judged({"one": slow}, rates.WIDTHS, layers).accepted


@pytest.mark.parametrize("call, words", [
    (lambda: gates.power_gate(np.eye(2), [1, -1]), "must be 2 numbers >= 0"),
    (lambda: gates.cone_gate([[1, 0], [0, 2]]), "norms from 1 to 2"),
    (lambda: gates.tolerance(-np.ones((2, 2))), "not negative"),
    (lambda: charts.least_stretch(2), r"ratio is 2; it must be in \[0, 1\]"),
    (lambda: charts.Atlas(circle(), [[1.0, 0.2]], [[-1]], [[1]]), "off the manifold"),
    (lambda: charts.net_atlas(SwissRoll(), 8, 5000), "the least count is 1[0-9][0-9]"),
    (lambda: charts.net_atlas(Sphere(), 30, 200), "at most 4 on a lattice of points = 200, so take points = 1500"),
    (lambda: charts.curve_atlas(circle(), 2), "the least count is 3"),
    (lambda: charts.curve_atlas(HomogeneousCurve(8), 9), "the least count is 10"),
    (lambda: charts.curve_atlas(circle(), 0), "count is 0; it must be an integer >= 1"),
    (lambda: charts.curve_atlas(circle(), 4.0), "count is 4.0"),
    (lambda: charts.curve_atlas(Sphere(), 9), "it must be a circle or a HomogeneousCurve"),
    (lambda: charts.torus_atlas(2, 2), "integer >= 3"),
    (lambda: charts.cube_atlas(2, 0), "integer >= 1"),
    (lambda: charts.curve_atlas(circle(), 4).points(0, [[1.5]]), "beyond chart 0"),
    (lambda: shallow.linear_chart_layer(charts.cube_atlas(1, 1), on_circle, 0), "segments is 0"),
    (lambda: shallow.linear_chart_layer(charts.cube_atlas(2, 1), lambda points: 1.0, 3), r"shape \(\) for 16 points"),
    (lambda: shallow.linear_chart_layer(charts.torus_atlas(2, 4), on_circle, 10**6), "16 grids of .* at most 2047"),
    (lambda: shallow.linear_chart_layer(charts.curve_atlas(circle(), 4), on_circle, 10**9), "at most 8388608 here"),
    (lambda: shallow.linear_chart_layer(charts.curve_atlas(circle(), 4), None, 3), "function is None; it must be call"),
    (lambda: shallow.linear_chart_layer(charts.curve_atlas(circle(), 4), lambda x: x[:, 0] * math.nan, 3),
     r"function returns nan at the point \[[-0-9.e, ]*\]; it must be finite"),
    (lambda: shallow.linear_chart_layer(charts.torus_atlas(2, 4), on_circle, 3, direction=[0, 1]), "of <a, s>"),
    (lambda: shallow.curved_chart_layer(charts.torus_atlas(2, 4), on_circle, 3), "direction is None; .* 2 numbers"),
    (lambda: shallow.curved_chart_layer(charts.torus_atlas(2, 4), on_circle, 3, direction=[0, 0]), "not all 0"),
    (lambda: shallow.curved_chart_layer(charts.torus_atlas(2, 4), on_circle, 3, direction=[1, 1]), "function varies"),
    (lambda: shallow.curved_chart_layer(charts.net_atlas(Sphere(), 30), on_circle, 3,
                                        direction=[1, 1]), "must be a curve or a product of curves"),
    (lambda: shallow.two_layer_form(SIX, charts.curve_atlas(circle(2.0), 6), 0.5), "gate is not the atlas's"),
    (lambda: shallow.two_layer_form(SIX, turned(charts.curve_atlas(circle(), 6)), 0.5), "gate is not the atlas's"),
    (lambda: shallow.summed([SIX, shallow.linear_chart_layer(charts.curve_atlas(circle(2.0), 6), on_circle, 20)]),
     "layer 1 has another gate than layer 0"),
    (lambda: shallow.summed([SIX, MoELayer(SIX.gate, SIX.experts, 2)]), "layer 1 has top = 2, .* must have top = 1"),
    (lambda: shallow.curved_chart_layer(charts.curve_atlas(circle(), 4), on_circle, 3, 0), "chart_segments is 0"),
    (lambda: shallow.summed([]), "at least one layer"),
    (lambda: shallow.summed(5), "layers are 5; they must be a sequence"),
    (lambda: shallow.curved_chart_layer(None, on_circle, 5), "atlas is None; it must be an Atlas"),
    (lambda: shallow.linear_chart_layer(charts.curve_atlas(circle(), 4), on_circle, 10**400), "for 4 experts it must"),
    (lambda: dense.dense_width(100, None), "inputs is None"),
    (lambda: dense.chord_network(None, np.linspace(0, 6, 25)), "profile is None; it must be callable"),
    (lambda: shallow.summed([shallow.linear_chart_layer(charts.torus_atlas(2, 3), on_circle, 3)]), "KuhnExpert"),
    (lambda: shallow.two_layer_form(shallow.linear_chart_layer(charts.torus_atlas(2, 3), on_circle, 3),
                                    charts.torus_atlas(2, 3), 0.5), "experts contain KuhnExpert"),
    (lambda: shallow.two_layer_form(SIX, charts.curve_atlas(circle(), 6), 0.95), "than 0.866025, up to which"),
    (lambda: shallow.two_layer_form(SIX, charts.curve_atlas(circle(), 6), math.nan), "than 0.866025, up to which"),
    (lambda: shallow.two_layer_form(SIX, charts.curve_atlas(circle(), 5), 0.5), "it must have 5, one for each chart"),
    (lambda: shallow.covering_threshold(charts.Atlas(circle(), [[1.0, 0]], [[-1]], [[1]])), "radius inf; it must be k"),
    (lambda: gates.cap_features(np.eye(2), math.inf), "threshold is inf"),
    (lambda: dense.dense_width(3.5, 5), "parameters is 3.5"),
    (lambda: dense.chord_network(profile, [0.0, 1.0, 1.5]), "equal steps less than pi/2"),
    (lambda: dense.dense_width(3, 5), "one neuron takes 8"),
    (lambda: dense.chord_network(lambda t: np.where(t > 3, np.nan, 1.0), np.linspace(0, 6, 25)),
     "profile is nan at the angle 3.25; it must be finite"),
    (lambda: dense.chord_network(np.sin, np.linspace(0, 6, 25), np.eye(3)), r"frame has shape \(3, 3\)"),
    (lambda: dense.chord_network(lambda t: 1.0, np.linspace(0, 6, 25)), r"shape \(\) for 25 angles"),
    (lambda: MoELayer(gates.cone_gate(np.eye(2)), [spline_expert([1.0, 0], [0, 0], [0, 1], [0, 1])] * 2, top=3),
     r"top is 3; it must be an integer in \[1, 2\]"),
])
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
