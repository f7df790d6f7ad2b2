"""Manifolds against finite differences and brute force, nets against their definition, atlases against fresh points."""

import dataclasses
import math
import re
import tracemalloc

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial import cKDTree
from scipy.stats import kstest

from theorycheck.sims.moe.samples import PROTOCOL, assembled_error, orthonormal_frame, points_on, protocol, sup_error
from theorycheck.theory.moe import charts, lattices, manifolds, nets, shallow
from theorycheck.theory.moe.gates import power_gate
from theorycheck.theory.moe.manifolds import (
    Cube,
    Embedded,
    HomogeneousCurve,
    Product,
    RingTorus,
    Sphere,
    SwissRoll,
    circle,
    flat_torus,
)
from theorycheck.theory.moe.model import MoELayer

RNG = np.random.default_rng(5)
FRAME = np.linalg.qr(RNG.standard_normal((17, 3)))[0]
ALL = [circle(2.0), Sphere(2, 0.5), Sphere(3), Sphere(5, 2.0), HomogeneousCurve(1), HomogeneousCurve(2),
       HomogeneousCurve(16), RingTorus(), RingTorus(3, 2.5), SwissRoll(4), flat_torus(3), Cube(4),
       Product((Sphere(), circle(0.3))), Embedded(RingTorus(), FRAME)]


@pytest.mark.parametrize("manifold", ALL, ids=lambda manifold: type(manifold).__name__)
def test_charts_and_tangents(manifold):
    points = manifold.place(RNG.random((200, manifold.dimension)))
    assert points.shape == (200, manifold.ambient)
    np.testing.assert_array_equal(manifold.require(points), points)
    assert np.linalg.norm(points, axis=1).max() <= manifold.size * (1 + 1e-12)
    bases, parameters = manifold.tangent(points), manifold.parameters(points)
    gram = np.einsum("nij,nik->njk", bases, bases)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(manifold.dimension), gram.shape), atol=1e-12)
    for axis in range(manifold.dimension):
        step = 1e-6 * np.eye(manifold.dimension)[axis]
        slope = (manifold.embed(parameters + step) - manifold.embed(parameters - step)) / 2e-6
        rest = slope - np.einsum("nij,nj->ni", bases, np.einsum("nij,ni->nj", bases, slope))
        assert np.abs(rest).max() < 1e-7 * max(1, np.abs(slope).max())


@pytest.mark.parametrize("manifold", [each for each in ALL if math.isfinite(each.reach)],
                         ids=lambda manifold: type(manifold).__name__)
def test_reach_is_the_least_quotient(manifold):
    """Federer's infimum over pairs of sampled points is at least the reach and comes near it."""
    points = manifold.place(RNG.random((4000, manifold.dimension)))
    least = math.inf
    for point, basis in zip(points[:300], manifold.tangent(points[:300]), strict=True):
        offset = points - point
        squared = (offset**2).sum(axis=1)
        normal = np.linalg.norm(offset - offset @ basis @ basis.T, axis=1)
        far = squared > 1e-4 * manifold.size**2
        least = min(least, (squared[far] / (2 * normal[far] + 1e-300)).min())
    assert manifold.reach * (1 - 1e-9) <= least <= 1.02 * manifold.reach


def test_places_are_uniform():
    """The third coordinate of a sphere is uniform; the share of a ring torus outside its circle is 1/2 + r/(pi R)."""
    uniforms = RNG.random((20_000, 2))
    assert kstest(Sphere().place(uniforms)[:, 2], "uniform", args=(-1, 2)).pvalue > 1e-6
    torus = RingTorus(2, 1)
    outside = (np.hypot(*torus.place(uniforms)[:, :2].T) > 2).mean()
    share = 0.5 + 1 / (2 * math.pi)
    assert abs(outside - share) < 5 * math.sqrt(share * (1 - share) / 20_000)
    roll = SwissRoll()
    fine = np.hypot(1, np.linspace(roll.first, roll.last, 20_001))
    turn = roll.parameters(roll.place(uniforms))[:, 0]
    halves = np.interp(0.5, np.cumsum(fine) / fine.sum(), np.linspace(roll.first, roll.last, 20_001))
    assert abs((turn < halves).mean() - 0.5) < 5 * 0.5 / math.sqrt(20_000)


def test_homogeneous_curve_is_homogeneous():
    curve = HomogeneousCurve(5)
    first = curve.embed(np.linspace(0, 3, 40)[:, None])
    second = curve.embed(np.linspace(0, 3, 40)[:, None] + 1.234)
    np.testing.assert_allclose(first @ first.T, second @ second.T, atol=1e-13)
    assert np.linalg.matrix_rank(first) == 10


def test_farthest_points_cover():
    points = Sphere().place(RNG.random((3000, 2)))
    chosen = nets.farthest_points(points, 30)
    assert len(set(chosen.tolist())) == 30
    radius = nets.nearest(points, points[chosen])[0].max()
    distance = np.linalg.norm(points[:, None] - points[chosen], axis=2)
    assert radius == pytest.approx(distance.min(axis=1).max(), rel=1e-12)
    among = distance[chosen] + 10 * np.eye(30)
    assert among.min() >= radius                       # so no net of 29 balls of half that radius covers them
    enough = nets.net_for_radius(points, 0.5)
    within, before = (nets.nearest(points, points[some])[0].max() for some in (enough, enough[:-1]))
    assert within < 0.5 <= before


def test_a_point_of_the_three_sphere_is_uniform():
    """Every coordinate of S^3 has the semicircle's density."""
    points = Sphere(3).place(RNG.random((20_000, 3)))
    for column in points.T:
        assert kstest(column, lambda x: 0.5 + (x * np.sqrt(1 - x**2) + np.arcsin(x)) / math.pi).pvalue > 1e-6


def test_reach_of_the_roll_is_that_of_its_finest_pair():
    """Federer's quotient on a grid ten times finer around the worst pair of a coarse one is no smaller."""
    roll = SwissRoll()
    turns = np.linspace(roll.first, roll.last, 1200)

    def quotients(first, second):
        points, other = (roll.embed(np.stack([turn, 0 * turn], axis=1)) for turn in (first, second))
        offset = other[None] - points[:, None]
        along = roll.tangent(points)[:, :, 0]
        normal = np.linalg.norm(offset - np.einsum("nmj,nj->nm", offset, along)[..., None] * along[:, None], axis=2)
        squared = (offset**2).sum(axis=2)
        return np.where(squared > 1, squared / np.maximum(2 * normal, 1e-300), math.inf)

    coarse = quotients(turns, turns)
    row, column = np.unravel_index(np.argmin(coarse), coarse.shape)
    fine = [np.clip(turns[place] + np.linspace(-0.01, 0.01, 401), roll.first, roll.last) for place in (row, column)]
    least = quotients(*fine).min()
    assert least * (1 - 1e-6) <= roll.reach <= least * (1 + 1e-12)


@pytest.mark.parametrize("manifold, volume", [
    (circle(2), 4 * math.pi), (Sphere(2, 3), 36 * math.pi), (Sphere(3), 2 * math.pi**2), (RingTorus(), 8 * math.pi**2),
    (SwissRoll(2), 2 * quad(lambda t: math.hypot(1, t), 1.5 * math.pi, 4.5 * math.pi)[0]), (Cube(3), 1),
    (Product((circle(), Sphere())), 8 * math.pi**2), (Embedded(RingTorus(), FRAME), 8 * math.pi**2),
    (HomogeneousCurve(2), 2 * math.pi * math.sqrt(2 / 1.25)),
], ids=lambda value: type(value).__name__)
def test_volumes(manifold, volume):
    assert lattices.volume(manifold) == pytest.approx(volume, rel=1e-12)


@pytest.mark.parametrize("manifold", ALL, ids=lambda manifold: type(manifold).__name__)
@pytest.mark.parametrize("count", [1, 50, 4000])
def test_no_point_is_farther_from_a_lattice_than_its_hole(manifold, count):
    points, hole = lattices.lattice(manifold, count)
    manifold.require(points)
    found = cKDTree(points).query(manifold.place(RNG.random((20_000, manifold.dimension))))[0].max()
    assert found <= hole
    assert count < 50 or found > hole / 2                       # so half of that hole would be wrong
    assert count < 4000 or count / 2 < len(points) < 4 * count


@pytest.mark.parametrize("manifold, lattice", [
    (Sphere(), 8000), (RingTorus(), 20_000), (SwissRoll(), 5000), (SwissRoll(), 100_000), (flat_torus(2), 8000),
    (Product((circle(0.7), Sphere())), 40_000), (Embedded(RingTorus(), FRAME), 20_000),
], ids=lambda value: type(value).__name__ if isinstance(value, manifolds.Manifold) else str(value))
def test_the_least_count_named_is_accepted_and_what_is_proved_holds_at_fresh_points(manifold, lattice):
    with pytest.raises(ValueError, match="the least count is") as refused:
        charts.net_atlas(manifold, 4, lattice)
    named = [int(number) for number in re.findall(r"is (\d+)(?: on a lattice of points = (\d+))?$",
                                                  str(refused.value))[0] if number]
    atlas = charts.net_atlas(manifold, *named, *([] if len(named) == 2 else [lattice]))
    assert atlas.radius < charts.INJECTIVE * manifold.reach
    with pytest.raises(ValueError, match=f"the least count is {named[0]}"):
        charts.net_atlas(manifold, named[0] - 1, named[1] if len(named) == 2 else lattice)
    fresh = manifold.place(np.random.default_rng(8).random((100_000, manifold.dimension)))
    cells = atlas.route(fresh)
    apart = np.linalg.norm(fresh - atlas.centres[cells], axis=1)
    assert 0.7 * atlas.radius < apart.max() <= atlas.radius
    image = atlas.coordinates(fresh, cells)
    assert (atlas.low[cells] <= image).all() and (image <= atlas.high[cells]).all()
    for chart in (0, len(atlas.centres) // 2):                  # the chart's inverse finds the point, on its own sheet
        mine = cells == chart
        np.testing.assert_allclose(atlas.points(chart, image[mine]), fresh[mine], atol=1e-8)


def test_boxes_and_radius_hold_for_few_charts_on_a_coarse_lattice_too():
    """Many sheets, cells of a dozen lattice points: the proof does not need them small."""
    roll = SwissRoll()
    atlas = charts.net_atlas(roll, 20, 1000, checked=False)
    fresh = roll.place(RNG.random((50_000, 2)))
    cells = atlas.route(fresh)
    image = atlas.coordinates(fresh, cells)
    assert (atlas.low[cells] <= image).all() and (image <= atlas.high[cells]).all()
    assert np.linalg.norm(fresh - atlas.centres[cells], axis=1).max() <= atlas.radius


def test_an_atlas_does_not_depend_on_its_frame():
    plain, moved = (charts.net_atlas(manifold, 120, 20_000) for manifold in (RingTorus(), Embedded(RingTorus(), FRAME)))
    np.testing.assert_allclose(moved.centres, plain.centres @ FRAME.T, atol=1e-14)
    np.testing.assert_array_equal(moved.low, plain.low)
    assert moved.radius == plain.radius


@pytest.mark.parametrize("atlas, points", [
    (charts.curve_atlas(circle(2.0), 3), 1), (charts.curve_atlas(HomogeneousCurve(6), 8), 1),
    (charts.curve_atlas(Embedded(HomogeneousCurve(3), np.linalg.qr(RNG.standard_normal((9, 6)))[0]), 11), 1),
    (charts.torus_atlas(2, 3), 2), (charts.cube_atlas(2, 3), 2)], ids=lambda value: str(value)[:30])
def test_equal_arcs_and_products_are_exact(atlas, points):
    """Boxes and radius are those of the cells, neither smaller nor larger."""
    sample = atlas.manifold.place(RNG.random((100_000, points)))
    cells = atlas.route(sample)
    np.testing.assert_array_equal(cells, nets.nearest(sample, atlas.centres)[1])
    image, apart = atlas.coordinates(sample, cells), np.linalg.norm(sample - atlas.centres[cells], axis=1)
    assert (image >= atlas.low[cells] - 1e-12).all() and (image <= atlas.high[cells] + 1e-12).all()
    assert 0.97 * atlas.radius <= apart.max() <= atlas.radius + 1e-12
    assert (image - atlas.low[cells]).min() < 1e-2 * np.ptp(atlas.high) + 1e-2


@pytest.mark.parametrize("harmonics", [1, 2, 7, 40])
def test_the_least_number_of_arcs_is_sharp(harmonics):
    """Along the arc the chart of k + 2 arcs increases; half of one of k + 1 arcs is just where it turns."""
    curve = HomogeneousCurve(harmonics)
    atlas = charts.curve_atlas(curve, harmonics + 2)
    angles = np.linspace(-1, 1, 2001)[:, None] * math.pi / (harmonics + 2)
    chart = atlas.coordinates(curve.embed(angles), np.zeros(2001, int))[:, 0]
    assert (np.diff(chart) > 0).all()
    beyond = curve.embed(math.pi / (harmonics + 1) * np.array([[0.999], [1.0], [1.001]]))
    low, middle, high = atlas.coordinates(beyond, np.zeros(3, int))[:, 0]
    assert middle > max(low, high)
    with pytest.raises(ValueError, match=f"the least count is {harmonics + 2}"):
        charts.curve_atlas(curve, harmonics + 1)


def test_an_assembled_error_counts_points_without_a_chart():
    atlas, sample = charts.curve_atlas(circle(), 6), points_on(circle(), 3000)

    def function(points):
        return np.sin(3 * points[:, 0])

    layer = shallow.linear_chart_layer(atlas, function, 20)
    found = assembled_error(layer, function, atlas, sample)
    assert found.misrouted == 0 and found.points == 3000 + 6 * 64 * 16
    assert found.error == sup_error(layer, function, circle(), sample)
    assert found.ratio == pytest.approx(2 * math.sin(math.pi / 12), rel=1e-12)
    assert (found.active, found.parameters) == (layer.active, layer.parameters)
    assert found.free == layer.gate.parameters + 2 + 20 + 20 + 1
    third = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]) / 3        # a gate that favours two cells
    bent = MoELayer(power_gate(atlas.centres, np.sqrt(third)), layer.experts)
    cells = nets.nearest(sample, atlas.centres)[1]
    astray = (bent.routed(sample)[1] != cells).sum()
    assert assembled_error(bent, function, atlas, sample, rounds=0).misrouted == astray > 0
    table = protocol({"sound": found})
    assert table[0] == PROTOCOL and table[1][:4] == ("sound", f"{found.error:.2g}", found.points, 0)
    with pytest.raises(ValueError, match="network has 6 experts; it must have 5"):
        assembled_error(layer, function, charts.curve_atlas(circle(), 5), sample)
    with pytest.raises(ValueError, match="point 0 is 1 off the manifold"):
        assembled_error(layer, function, atlas, [[2.0, 0.0]])


def test_a_search_for_the_least_count_ends(monkeypatch):
    monkeypatch.setattr(charts, "WORK", 3 * 10**5)
    with pytest.raises(ValueError, match="reach 1 and dimension 2; it needs more than 40 charts within 0.732"):
        charts.net_atlas(RingTorus(), 5, 2000)


@pytest.mark.parametrize("harmonics", [1, 16, 128])
def test_the_work_of_that_search_counts_the_coordinates(monkeypatch, harmonics):
    """However many coordinates a point has, distances of no more than so many differences are computed."""
    asked = []

    def net(points, radius, most):
        asked.append((most - 1) * points.size)
        return nets.net_for_radius(points, radius, most=most)

    monkeypatch.setattr(charts, "WORK", 10**6)
    monkeypatch.setattr(charts, "net_for_radius", net)
    with pytest.raises(ValueError, match="least count is|it needs more than"):
        charts.net_atlas(HomogeneousCurve(harmonics), 2, 2000)
    assert 0 < max(asked) <= 10**6


THIN = [SwissRoll(1e-6), SwissRoll(1e-12), RingTorus(2, 1e-9), Product((circle(1e-9), Sphere())),
        Product((SwissRoll(1e-5), circle(1e-3))), Product((Sphere(2, 1e-7), flat_torus(2)))]


@pytest.mark.parametrize("manifold", THIN, ids=str)
def test_a_thin_manifold_has_as_many_points_as_asked_for(manifold):
    points, hole = lattices.lattice(manifold, 20_000)
    assert 10_000 <= len(points) <= 40_000
    found = cKDTree(points).query(manifold.place(RNG.random((20_000, manifold.dimension))))[0].max()
    assert hole / 2 < found <= hole


def test_an_atlas_of_a_thin_roll():
    """It has the radius of an atlas of the spiral: half an arc, chord for arc."""
    roll = SwissRoll(1e-12)
    atlas = charts.net_atlas(roll, 200, 20_000)
    assert atlas.radius < charts.INJECTIVE * roll.reach
    assert roll.length / 400 < atlas.radius < roll.length / 100
    fresh = roll.place(RNG.random((20_000, 2)))
    assert np.linalg.norm(fresh - atlas.centres[atlas.route(fresh)], axis=1).max() <= atlas.radius


def test_an_atlas_takes_the_memory_of_the_manifold_not_of_its_space():
    """A lattice of 20 000 points in R^2000 would have 320 MB."""
    frame = orthonormal_frame(2000, 3)
    tracemalloc.start()
    atlas = charts.net_atlas(Embedded(Sphere(), frame), 24, 20_000)
    with pytest.raises(ValueError, match="the least count is"):
        charts.net_atlas(Embedded(Embedded(Sphere(), np.eye(3)), frame), 4, 20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert atlas.centres.shape == (24, 2000) and peak < 5e7


def test_a_lattice_of_more_points_than_memory_holds_is_refused(monkeypatch):
    """The numbers of steps are rounded: what is bounded is how many points there are, not how many were asked for."""
    monkeypatch.setattr(lattices, "MOST", 100)
    with pytest.raises(ValueError, match="a lattice of 1546 points would do.* at most 400: ask for fewer"):
        lattices.lattice(Sphere(6), 100)
    with pytest.raises(ValueError, match="a lattice of 512 points would do.* at most 400: ask for fewer"):
        lattices.lattice(Product((Sphere(), Sphere(), Sphere())), 100)


def test_a_radius_is_proved_or_infinite():
    """It is no argument: nobody can claim one; and it is that of the cells, whatever the boxes."""
    with pytest.raises(TypeError, match="radius"):
        charts.Atlas(circle(), SQUARE, [[-1], [-1]], [[1], [1]], radius=1e-3)
    assert charts.Atlas(circle(), SQUARE, [[-1], [-1]], [[1], [1]]).radius == math.inf
    assert dataclasses.replace(ARCS, centres=-ARCS.centres).radius == math.inf
    wide = ARCS.boxed(ARCS.low - 1, ARCS.high + 1)
    assert wide.radius == ARCS.radius < math.inf and (wide.high == ARCS.high + 1).all()
    np.testing.assert_array_equal(wide.bases, ARCS.bases)


JUNK = [None, "abc", [["x"]], [[1j, 0.0]], [1.0, 0.0], [[1.0, 0.0], [1.0]], 3.0, [[None]]]


@pytest.mark.parametrize("manifold", ALL, ids=lambda manifold: type(manifold).__name__)
def test_methods_refuse_what_are_no_points(manifold):
    methods = [(manifold.embed, manifold.dimension), (manifold.place, manifold.dimension)] + [
        (method, manifold.ambient) for method in (manifold.parameters, manifold.tangent, manifold.retract,
                                                  manifold.require, *([manifold.split] if hasattr(manifold, "split")
                                                                      else []))]
    for method, columns in methods:
        for bad in (*JUNK, np.zeros((3, columns + 1)), np.full((2, columns), math.nan),
                    np.full((2, columns), math.inf), np.full((2, columns), 1e200), np.zeros((2, columns), complex)):
            with pytest.raises(ValueError) as caught:
                method(bad)
            assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"uniforms\[1, 0\] is 1.5; it must be in \[0, 1\]"):
        manifold.place([[0.5] * manifold.dimension, [1.5] + [0.5] * (manifold.dimension - 1)])


ARCS = charts.curve_atlas(circle(), 6)
SQUARE = [[1.0, 0.0], [0.0, 1.0]]


def first(points):
    """A function of one output."""
    return points[:, 0]


LAYER = shallow.linear_chart_layer(ARCS, first, 4)


@pytest.mark.parametrize("call, words", [
    (lambda: circle().require([[1.0, 0.1]]), "point 0 is 0.00499 off the manifold"),
    (lambda: circle().require([[math.nan, 0]]), r"points\[0\] is \[nan, 0.0\]; it must be of numbers in"),
    (lambda: Sphere().require(np.ones((3, 2))), r"points have shape \(3, 2\); it must be \(N, 3\)"),
    (lambda: Sphere(65), r"dimension is 65; it must be an integer in \[1, 64\]"),
    (lambda: Sphere(2, -1), "radius is -1; it must be positive"),
    (lambda: RingTorus(1, 2), "major is 1; it must be greater than the minor radius, 2"),
    (lambda: SwissRoll(math.inf), "height is inf"),
    (lambda: Sphere(2, 1e-200), r"radius is 1e-200; it must be positive, in \[1e-150, 1e\+150\]"),
    (lambda: protocol(None), "cases are None; they must be a dict of Assembled"),
    (lambda: protocol({"one": 1.0}), "cases are .* they must be a dict of Assembled"),
    (lambda: HomogeneousCurve(0), r"harmonics is 0; it must be an integer in \[1, 512\]"),
    (lambda: Product(()), r"factors are \(\)"),
    (lambda: Embedded(circle(), np.ones((4, 2))), "off orthonormality by 4"),
    (lambda: Embedded(circle(), np.eye(3)), r"frame has shape \(3, 3\); it must be \(D, 2\)"),
    (lambda: manifolds.flat_torus(0), "dimension is 0"),
    (lambda: nets.farthest_points(np.eye(3), 4), r"count is 4; it must be an integer in \[1, 3\]"),
    (lambda: nets.farthest_points(np.eye(3), 1, first=3), "first is 3"),
    (lambda: nets.net_for_radius(np.eye(3), 0), "radius is 0"),
    (lambda: nets.nearest(np.eye(3), np.eye(2)), "points have 3 coordinates; they must have 2"),
    (lambda: nets.nearest([[math.nan]], [[1.0]]), "points contain infinity or NaN"),
    (lambda: Embedded(None, np.eye(2)), "manifold is None"),
    (lambda: Product(3), "factors are"),
    (lambda: lattices.lattice(circle(), 0), r"count is 0; it must be an integer in \[1, 2000000\]"),
    (lambda: lattices.lattice(None, 9), "manifold is None"),
    (lambda: lattices.lattice(HomogeneousCurve(512), 30_000), r"in \[1, 29296\] in 1024 dimensions"),
    (lambda: charts.net_atlas(HomogeneousCurve(512), 10), "points is 100000; it must be at most 29296 in 1024 dimens"),
    (lambda: charts.least_charts(RingTorus(), None), "points is None; it must be an integer >= 1"),
    (lambda: charts.least_stretch(0.5, 3), r"apart is 3; it must be in \[0, 2\]"),
    (lambda: charts.least_stretch("s"), "ratio are 's'"),
    (lambda: lattices.lattice(Cube(7), 9), "dimension 7; a lattice has one of at most 6"),
    (lambda: ARCS.route([[5.0, 5.0]]), "point 0 is 6.07 off the manifold"),
    (lambda: ARCS.route([[math.nan, 0.0]]), "must be of numbers in"),
    (lambda: ARCS.route("abc"), "points are 'abc'"),
    (lambda: ARCS.route([[1j, 0]]), "must be numbers"),
    (lambda: ARCS.stretch([[0.0, 0.0]]), "point 0 is 1 off the manifold"),
    (lambda: sup_error(lambda x: x, lambda x: x, circle(), [[3.0, 4.0]]), "point 0 is 4 off the manifold"),
    (lambda: sup_error(lambda x: x, lambda x: x, circle(), np.empty((0, 2))), "at least one"),
    (lambda: points_on(circle(), 0), "count is 0; it must be an integer >= 1"),
    (lambda: points_on(circle(), 10**12), "count is 1000000000000; it must be at most 100000000"),
    (lambda: orthonormal_frame(10**12, 2), "ambient is 1000000000000; it must be at most 100000000 for 2 columns"),
    (lambda: sup_error(first, lambda x: x, circle(), SQUARE), "function returns 2 numbers for a point; .* network, 1"),
    (lambda: sup_error(lambda x: x, first, circle(), SQUARE), "function returns 1 numbers for a point; .* network, 2"),
    (lambda: sup_error(lambda x: x[:, :0], lambda x: x[:, :0], circle(), SQUARE), "at least one"),
    (lambda: sup_error(first, lambda x: first(x)[:1], circle(), SQUARE), r"function returns shape \(1,\) for 2 points"),
    (lambda: sup_error(lambda x: x[0, 0], first, circle(), SQUARE), r"network returns shape \(\) for 2 points"),
    (lambda: sup_error(first, lambda x: np.where(x[:, 0] > 0.5, math.nan, 1), circle(), SQUARE),
     r"function returns \[nan\] at the point \[1.0, 0.0\]; it must be finite there"),
    (lambda: sup_error(lambda x: first(x) + math.inf, first, circle(), SQUARE), r"network returns \[inf\] at the"),
    (lambda: sup_error(lambda x: x + 1j, first, circle(), SQUARE), "values of the network are .* must be numbers"),
    (lambda: sup_error(None, first, circle(), SQUARE), "network is None; it must be callable"),
    (lambda: sup_error(first, 3, circle(), SQUARE), "function is 3; it must be callable"),
    (lambda: sup_error(first, first, None, SQUARE), "manifold is None"),
    (lambda: sup_error(first, first, circle(), None), "points have shape|points are None"),
    (lambda: sup_error(first, first, circle(), SQUARE, "x"), r"rounds is 'x'; it must be an integer in \[0, 100\]"),
    (lambda: sup_error(first, first, circle(), SQUARE, -1), "rounds is -1"),
    (lambda: sup_error(first, first, circle(), SQUARE, 10**9), "rounds is 1000000000"),
    (lambda: sup_error(first, first, circle(), SQUARE, seed=None), "seed is None"),
    (lambda: assembled_error(None, first, ARCS, SQUARE), "network is None; it must be a MoELayer or MoE"),
    (lambda: assembled_error(LAYER, first, None, SQUARE), "atlas is None; it must be an Atlas"),
    (lambda: assembled_error(LAYER, None, ARCS, SQUARE), "function is None; it must be callable"),
    (lambda: assembled_error(LAYER, lambda x: x, ARCS, SQUARE), "function returns 2 numbers for a point"),
    (lambda: assembled_error(LAYER, lambda x: first(x) * math.nan, ARCS, SQUARE), r"function returns \[nan\]"),
    (lambda: assembled_error(LAYER, first, ARCS, [[1.0, 0.0, 0.0]]), "points have shape"),
    (lambda: assembled_error(LAYER, first, ARCS, SQUARE, rounds=1.5), "rounds is 1.5"),
    (lambda: ARCS.coordinates([[1.0, 0.0]], [6]), r"charts are \[6\]; they must be integers in \[0, 6\)"),
    (lambda: ARCS.coordinates([[1.0, 0.0, 0.0]], [0]), r"points have shape \(1, 3\); it must be \(N, 2\)"),
    (lambda: ARCS.coordinates([[1.0, 0.0]], [0, 1]), r"charts have shape \(2,\); it must be \(1,\)"),
    (lambda: ARCS.coordinates([[10.0, 10.0]], [0]), "point 0 is 13.1 off the manifold"),
    (lambda: ARCS.points(9, [[0.0]]), r"chart is 9; it must be an integer in \[0, 6\)"),
    (lambda: ARCS.points(0, [0.0]), r"coordinates have shape \(1,\); it must be \(N, 1\)"),
    (lambda: ARCS.points(0, [[math.nan]]), "finite"),
    (lambda: charts.Atlas(None, SQUARE, [[-1], [-1]], [[1], [1]]), "manifold is None"),
    (lambda: charts.Atlas(circle(), SQUARE, [[1], [-1]], [[-1], [1]]), r"low\[0, 0\] is 1; it must be at most high"),
    (lambda: charts.Atlas(circle(), SQUARE, [[math.nan], [-1]], [[1], [1]]), "low has shape .* of finite numbers"),
    (lambda: charts.Atlas(circle(), SQUARE, [[-1], [-1]], [[1], [1]], np.ones((3, 3))), r"it must be \(2, 2, 1\)"),
    (lambda: charts.Atlas(circle(), SQUARE, [[-1], [-1]], [[1], [1]], np.ones((2, 2, 1))), "off orthonormality by 1"),
    (lambda: ARCS.boxed([[1.0]] * 6, [[0.0]] * 6), r"low\[0, 0\] is 1; it must be at most high"),
    (lambda: charts.curve_atlas(None, 5), "manifold is None; it must be a circle"),
    (lambda: charts.curve_atlas(Cube(1), 5), "it must be a circle or a HomogeneousCurve"),
    (lambda: charts.curve_atlas(circle(), 10**9), "count is 1000000000; it must be at most 15000000 in 2 dimensions"),
    (lambda: charts.torus_atlas(12, 10), r"10\^12 charts; they must be at most 100000, so dimension at most 10"),
    (lambda: charts.torus_atlas(3, 100), r"100\^3 charts; they must be at most 100000, so count at most 46"),
    (lambda: charts.net_atlas(Sphere(), None), "count is None; it must be an integer >= 1"),
    (lambda: charts.net_atlas(None, 20), "manifold is None"),
    (lambda: charts.least_charts(None), "manifold is None"),
    (lambda: points_on(None, 3), "manifold is None"),
    (lambda: orthonormal_frame(1, 2), "columns is 2; it must be at most ambient, 1"),
    (lambda: charts.net_atlas(Sphere(), 20, Sphere().place(RNG.random((50, 2)))), "points is array"),
    (lambda: charts.net_atlas(Sphere(), 20, 10**7), "points is 10000000; it must be at most 2000000 in 3 dim"),
    (lambda: charts.net_atlas(RingTorus(3, 2.99), 2), "2000000 points has holes of 0.0098 and is too coarse"),
])
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
