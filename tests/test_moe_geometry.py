"""Manifolds against finite differences and brute force, nets against their definition."""

import math

import numpy as np
import pytest
from scipy.stats import kstest

from theorycheck.theory.moe import manifolds, nets
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

RNG = np.random.default_rng(5)
FRAME = np.linalg.qr(RNG.standard_normal((17, 3)))[0]
ALL = [circle(2.0), Sphere(2, 0.5), HomogeneousCurve(1), HomogeneousCurve(2), HomogeneousCurve(16), RingTorus(),
       RingTorus(3, 2.5), SwissRoll(4), flat_torus(3), Cube(4), Product((Sphere(), circle(0.3))),
       Embedded(RingTorus(), FRAME)]


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
    radius = nets.covering_radius(points, points[chosen])
    distance = np.linalg.norm(points[:, None] - points[chosen], axis=2)
    assert radius == pytest.approx(distance.min(axis=1).max(), rel=1e-12)
    among = distance[chosen] + 10 * np.eye(30)
    assert among.min() >= radius                       # so no net of 29 balls of half that radius covers them
    enough = nets.net_for_radius(points, 0.5)
    assert nets.covering_radius(points, points[enough]) < 0.5 <= nets.covering_radius(points, points[enough[:-1]])


@pytest.mark.parametrize("call, words", [
    (lambda: circle().require([[1.0, 0.1]]), "point 0 is 0.00499 off the manifold"),
    (lambda: circle().require([[math.nan, 0]]), "point 0 is nan off"),
    (lambda: Sphere().require(np.ones((3, 2))), r"points have shape \(3, 2\); it must be \(N, 3\)"),
    (lambda: Sphere(65), r"dimension is 65; it must be an integer in \[1, 64\]"),
    (lambda: Sphere(2, -1), "radius is -1; it must be positive"),
    (lambda: RingTorus(1, 2), "major is 1; it must be greater than the minor radius, 2"),
    (lambda: SwissRoll(math.inf), "height is inf"),
    (lambda: HomogeneousCurve(0), r"harmonics is 0; it must be an integer in \[1, 512\]"),
    (lambda: Product(()), r"factors are \(\)"),
    (lambda: Embedded(circle(), np.ones((4, 2))), "off orthonormality by 4"),
    (lambda: Embedded(circle(), np.eye(3)), r"frame has shape \(3, 3\); it must be \(D, 2\)"),
    (lambda: manifolds.flat_torus(0), "dimension is 0"),
    (lambda: nets.farthest_points(np.eye(3), 4), r"count is 4; it must be an integer in \[1, 3\]"),
    (lambda: nets.farthest_points(np.eye(3), 1, first=3), "first is 3"),
    (lambda: nets.net_for_radius(np.eye(3), 0), "radius is 0"),
])
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
