"""Pictures of surfaces: what is in sight, cells that touch differ in colour, and routes have colours of their own."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.checks.claim import Effort
from theorycheck.figures.moe import atlases, depth, gates, rates, views
from theorycheck.theory.moe.manifolds import RingTorus, Sphere


def sphere(azimuth=30, elevation=25):
    return views.view(Sphere(), (0, 0), (2 * math.pi, math.pi), (240, 120), azimuth, elevation, pixels=120)


@settings(deadline=None, max_examples=10)
@given(st.floats(-180, 180), st.floats(-80, 80))
def test_a_viewer_sees_the_half_of_a_sphere_that_faces_him(azimuth, elevation):
    seen = sphere(azimuth, elevation)
    np.testing.assert_allclose(seen.axes @ seen.axes.T, np.eye(3), atol=1e-12)
    assert (seen.project(seen.points)[:, 2] > -math.sqrt(2 * 2.06 / 120)).all()      # so deep is a pixel at the rim
    side = (seen.extent[1] - seen.extent[0]) / 120
    assert abs(seen.mask.sum() * side**2 - math.pi) < 0.1        # a disc of radius 1, up to pixels at its rim
    front, back = seen.axes[2], -seen.axes[2]
    assert seen.sees([front, back]).tolist() == [True, False]
    rim = math.cos(0.1) * seen.axes[0] + math.sin(0.1) * seen.axes[2]
    assert seen.sees([front, rim]).all() and seen.sees([front, rim], facing=0.3).tolist() == [True, False]
    np.testing.assert_allclose(seen.facing, np.abs(seen.points @ seen.axes[2]), atol=1e-9)
    assert (seen.light >= 0).all() and seen.light.max() <= 1 + 1e-12


def test_the_near_side_of_a_torus_hides_the_far_one():
    seen = views.view(RingTorus(), (0, 0), (2 * math.pi, 2 * math.pi), (400, 160), 0, 0, pixels=100)
    outer = RingTorus().embed([[0.0, 0.0], [math.pi, 0.0], [math.pi, math.pi]])
    assert seen.sees(outer).tolist() == [True, False, False]


def test_images_are_lit_colours_with_dark_edges_on_nothing():
    seen = sphere()
    labels = (seen.points[:, 2] > 0).astype(int)
    plain, edged = seen.image(np.ones((len(labels), 3))), seen.image(np.ones((len(labels), 3)), labels)
    assert (plain[~seen.mask] == 0).all() and (plain[seen.mask, 3] == 1).all() and plain.max() <= 1
    changed = (plain != edged).any(axis=-1)
    assert 0.01 < changed.sum() / seen.mask.sum() < 0.15 and (edged <= plain).all()
    bright = atlases.shaded(seen, np.where(labels, 1.0, 1e-6))
    assert bright[seen.mask][labels == 1, :3].mean() > 2 * bright[seen.mask][labels == 0, :3].mean()


def test_on_a_fold_only_the_near_sheet_is_seen():
    name, roll, _, low, high, sides, angles = atlases.SURFACES[2]
    seen = views.view(roll, low, high, [side // 3 for side in sides], *angles, pixels=300)
    size = (seen.extent[1] - seen.extent[0]) / 300
    points = roll.place(np.random.default_rng(0).random((4000, 2)))
    found = seen.sees(points, facing=0.2)
    place = seen.project(points)
    row = ((seen.extent[3] - place[:, 1]) / size).astype(int)
    column = ((place[:, 0] - seen.extent[0]) / size).astype(int)
    towards = np.full(seen.mask.shape, -np.inf)
    towards[seen.mask] = seen.depth
    behind = towards[row, column] - place[:, 2]
    assert (behind > 0.5).sum() > 400 and found[behind > 0.5].mean() < 0.03    # but for pixels at a rim
    assert found[behind < 0.1].mean() > 0.9


def test_labels_that_touch():
    seen = sphere()
    octant = (seen.points > 0) @ [1, 2, 4]
    pairs = seen.touching(octant)
    assert pairs == sorted({(other, one) for one, other in pairs} | set(pairs))
    assert all(bin(one ^ other).count("1") <= 3 and one != other for one, other in pairs)
    assert sum(bin(one ^ other).count("1") == 1 for one, other in pairs) >= 12


@given(st.integers(2, 40), st.randoms(use_true_random=False))
def test_cells_that_touch_have_different_colours(count, random):
    pairs = {(cell, random.randrange(max(0, cell - 3), cell)) for cell in range(1, count) for _ in range(2)}
    tints = views.tints(pairs, count)
    assert tints.shape == (count, 3) and (tints >= 0).all() and (tints <= 1).all()
    clashes = sum((tints[one] == tints[other]).all() for one, other in pairs)
    assert clashes == 0 or max(np.bincount(np.array(sorted(pairs)).ravel())) > 5


def test_nine_routes_have_nine_colours_that_differ_in_grey_along_the_second_expert():
    first, second = np.divmod(np.arange(9), 3)
    colours = depth.route_colours(first, second)
    assert len(np.unique(colours.round(6), axis=0)) == 9
    grey = (colours @ [0.2126, 0.7152, 0.0722]).reshape(3, 3)
    assert (np.diff(grey, axis=1) > 0.05).all()


def test_networks_of_chords_have_one_law_with_and_without_a_gate():
    table = rates.ambient_dimension(Effort()).table
    mine = table["experts_are"] == "chords"
    assert set(table["E"][mine]) == {1, 4, 8, 16, 32}
    late = mine & (table["law"] < 1e-3)
    assert late.sum() > 15
    np.testing.assert_allclose(table["error"][late], table["law"][late], rtol=0.06)
    one, sixteen = (late & (table["E"] == experts) & (np.abs(table["law"] / 1.84e-6 - 1) < 0.01) for experts in (1, 16))
    assert table["active"][one].item() > 10 * table["active"][sixteen].item()        # at equal errors


def test_gates_that_are_wrong_by_less_than_half_the_margin_send_nothing_astray():
    table = gates.gate_noise(Effort()).table
    below = table["eps_over_half_delta"] < 1
    assert (table["astray"][below] == 0).all() and (table["astray"][~below] > 0).all()
    assert table["error"][below].max() < 0.01 and table["error"][~below].min() > 1
