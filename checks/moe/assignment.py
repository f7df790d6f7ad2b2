"""Claims about gates: every point is sent to a chart that contains it, and by how much features may be wrong."""

import math

import numpy as np

from ...sims import streams
from ...sims.moe.samples import orthonormal_frame, points_on
from ...theory.moe import charts, gates, shallow
from ...theory.moe.identities import unrolled
from ...theory.moe.manifolds import Embedded, RingTorus, circle
from ...theory.moe.model import MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE

BALLS = ((2, 10), (5, 40), (20, 200))
"""D and E."""


@claim("ball_assignment", topic="moe", paper=MOE, where="Cor. 4.9, its gate", stance="derived",
       statement="gate 2<c_i,x> - |c_i|^2 + r_i^2: a point in the union of the B(c_i,r_i) is in the ball of its winner")
def ball_assignment(effort):
    """Random balls of different radii, (D, E) = (2, 10), (5, 40), (20, 200): not one point, of those covered, is wrong.

    Against distances: a point within 1e-9 of a sphere would not count; there is none.
    """
    return _balls(effort, lambda centres, radii: gates.power_gate(centres, radii))


@ball_assignment.control("without r_i^2: the cells of Voronoi")
def _(effort):
    return _balls(effort, lambda centres, radii: gates.power_gate(centres))


@ball_assignment.control("without |c_i|^2: a gate with no bias")
def _(effort):
    return _balls(effort, lambda centres, radii: gates.linear_gate(2 * centres))


@claim("feature_tolerance", topic="moe", paper=MOE, where="Thm 4.8, assignment", stance="derived",
       statement="features tau, |tau-s| <= eps, send every x into supp s_k iff eps < delta/2, delta = min_x max_i s_i")
def feature_tolerance(effort):
    """Eight arcs, s_i = relu(<c_i,x> - cos w), w = 1.6 pi/E.

    The worst error for every pair of neighbours: their features are eps less, all others eps more.  The sign is -1
    where no point is sent astray, 1 where one is.
    """
    return _threshold(effort, lambda eps, near: np.where(near, -eps, eps), 1.0)


@feature_tolerance.control("eps < delta in place of eps < delta/2")
def _(effort):
    return _threshold(effort, lambda eps, near: np.where(near, -eps, eps), 2.0)


@feature_tolerance.control("the same error in every feature, which no gate sees")
def _(effort):
    return _threshold(effort, lambda eps, near: np.full(near.shape, eps), 1.0)


@claim("partition_margin", topic="moe", paper=MOE, where="Thm 4.8, m >= Omega(E^2)", stance="derived",
       statement="min_x max_i rho_i(x) = 1/2 if at most two charts overlap: accuracy 1/4, whatever E, assigns exactly")
def partition_margin(effort):
    """Caps of half-width 1.6 pi/E on a circle, normalised to sum 1, E = 4 .. 256.

    A partition into E charts guarantees 1/E only, from which the condition on the width stems.
    """
    return _margins(effort, 1.6, lambda count: 0.5)


@partition_margin.control("1/E, what E charts guarantee")
def _(effort):
    return _margins(effort, 1.6, lambda count: 1.0 / count)


@partition_margin.control("caps so wide that six overlap")
def _(effort):
    return _margins(effort, 6.4, lambda count: 0.5)


@claim("two_layer_form", topic="moe", paper=MOE, where="Cor. 4.9", stance="derived",
       statement="depth 2, first layer x -> (x, tau(x), 1) in 2D+E+1 neurons: routes and values of the affine gate")
def two_layer_form(effort):
    """A circle in R^D, D = 2 and 16, E = 32 arcs, and a ring torus, whose 150 centres differ in norm, in R^3.

    Experts of 64 and of 49 neurons; the first layer has 65 on the circle in R^16, far below E^2 = 1024.  Points the
    features of which are equal to rounding have two right routes: there are none.
    """
    return _two_layers(effort, 1.5)


@two_layer_form.control("caps too narrow to cover the circle")
def _(effort):
    return _two_layers(effort, 0.9)


@two_layer_form.control("features wrong by more than delta/2")
def _(effort):
    return _two_layers(effort, 1.5, 1.2)


def _balls(effort, gate):
    astray, covered = [], []
    for inputs, count in BALLS:
        key = streams.key(0, f"moe.balls {inputs}")
        centres = streams.normals(key, 0, 0, count * inputs).astype(float).reshape(count, inputs)
        radii = math.sqrt(inputs) * (0.3 + 0.7 * streams.uniforms(key, 0, 1, count, dtype=np.float64))
        number = effort.choose(20_000, 200_000)
        points = 1.2 * streams.normals(key, 0, 2, number * inputs).astype(float).reshape(number, inputs)
        squared = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1) - radii**2
        inside = squared < -1e-9
        winner = np.argmax(gate(centres, radii)(points), axis=1)
        known = inside.any(axis=1)
        astray.append(int((known & ~inside[np.arange(number), winner]).sum()))
        covered.append(int(known.sum()))
    return judges.equal(astray, 0.0, at={"D": [inputs for inputs, _ in BALLS]},
                        over=f"wrong of {'/'.join(map(str, covered))} covered points")


def _threshold(effort, errors, expected):
    count, half = 8, 1.6 * math.pi / 8
    centres = circle().embed(2 * math.pi / count * np.arange(count)[:, None])
    size = effort.choose(200, 2000) * 2 * count                    # a multiple: the middles between centres are there
    points = circle().embed(2 * math.pi / size * np.arange(size)[:, None])
    exact = gates.cap_features(centres, math.cos(half))(points)
    delta = 2 * gates.tolerance(exact)
    ratios = np.array([0.5, 0.9, 0.98, 0.999, 1.001, 1.02, 1.1, 1.5, 2.5])
    astray = []
    for ratio in ratios:
        wrong = 0
        for first in range(count):
            near = np.isin(np.arange(count), [first, (first + 1) % count])
            tau = gates.cap_features(centres, math.cos(half), errors(ratio * delta / 2, near))
            winner = np.argmax(tau(points), axis=1)
            wrong += int((exact[np.arange(size), winner] <= 0).sum())
        astray.append(wrong)
    return judges.sign_change(ratios, np.where(np.array(astray) > 0, 1.0, -1.0), expected,
                              over=f"eps/(delta/2); astray of {count * size}: {' '.join(map(str, astray))}")


def _margins(effort, width, law):
    counts = np.array([4, 8, 16, 32, 64, 128, 256]) if width < 2 else np.array([16, 32, 64, 128])
    found = []
    for count in counts:
        centres = circle().embed(2 * math.pi / count * np.arange(count)[:, None])
        fine = circle().embed(math.pi / count * np.linspace(0, 2, 401)[:, None])      # one arc: all are alike
        features = gates.cap_features(centres, math.cos(width * math.pi / count))(fine)
        found.append(2 * gates.tolerance(features / features.sum(axis=1, keepdims=True)))
    return judges.equal(found, [law(count) for count in counts], rtol=1e-9, at={"E": counts})


def _two_layers(effort, width, ratio=0.0):
    parts = {}
    for ambient in (2, 16):
        frame = orthonormal_frame(ambient, 2)
        atlas = charts.curve_atlas(Embedded(circle(), frame), 32)
        layer = shallow.linear_chart_layer(atlas, lambda points, frame=frame: np.sin(5 * (points @ frame)[:, 0]), 64)
        parts[f"circle in R^{ambient}"] = _same(effort, atlas, layer, math.cos(width * math.pi / 32), ratio)
    atlas = charts.net_atlas(RingTorus(), 150)
    layer = shallow.linear_chart_layer(atlas, lambda points: np.sin(2 * points[:, 0]) * points[:, 2], 6)
    layer = MoELayer(layer.gate, [expert.network() for expert in layer.experts])
    # width 1.5 leaves room as on the circle, 0.9 as little
    threshold = shallow.covering_threshold(atlas) - 2 * (width - 1)
    parts["torus"] = _same(effort, atlas, layer, threshold, ratio)
    return judges.every(**parts)


def _same(effort, atlas, layer, threshold, ratio):
    count = len(layer.experts)
    points = points_on(atlas.manifold, effort.choose(20_000, 200_000))
    delta = 2 * gates.tolerance(gates.cap_features(atlas.centres, threshold)(points))
    shift = ratio * delta / 2 * np.where(np.arange(count) % 4 < 2, -1.0, 1.0)
    if threshold < shallow.covering_threshold(atlas):
        two = shallow.two_layer_form(layer, atlas, threshold, shift)
    else:
        two = unrolled(MoELayer(gates.cap_features(atlas.centres, threshold, shift), layer.experts))
    (values, routes), wanted = two.routed(points), layer.routed(points)
    return judges.every(values=judges.equal(values, wanted[0], atol=1e-11),
                        routes=judges.equal(int((routes[:, 1] != wanted[1]).sum()), 0.0, over="other routes"))
