"""Claims about rates: an error that falls with the dimension of the manifold, whatever the space around it."""

import math
from dataclasses import replace
from functools import cache

import numpy as np

from ...sims import streams
from ...sims.moe.samples import assembled_error, orthonormal_frame, points_on, protocol
from ...theory.moe import charts, shallow
from ...theory.moe.experts import KuhnExpert, spline_expert
from ...theory.moe.manifolds import Embedded, HomogeneousCurve, circle
from ...theory.moe.model import DenseNetwork, MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE

WIDTHS = (288, 432, 648)
"""m in :func:`corollary_rate`."""
LEAST = 0.5
"""The order that is judged, for every d: more than kappa/d = 1/3, and so kappa/d ^ 1/2 or more."""
FEW = ("circle in R^2", "T^3 in R^16")
"""Where the controls of :func:`corollary_rate` run."""
CIRCLE = 128
"""m in :func:`circle_error`."""
CUSPS = 8
"""Places of a cusp within a cell of the grid."""


@claim("corollary_rate", topic="moe", paper=MOE, where="Cor. 4.9", stance="reconstructed",
       statement="linear charts, depth 2, E 2-layer experts of width m: order >= kappa/d ^ 1/2, on T^3 of sum f(t_i)")
def corollary_rate(effort):
    """Curves, d = 1: circles in R^2 and R^128, a curve that fills R^16; T^3 in R^16, E = 27; f smooth and barely C^1.

    The construction is ours.  Judged are depth, layers of experts and of gates, and the width of the widest network,
    the first layer included: m = 288 .. 648.  |sin t|^1.1 has kappa = 1, is as rough as that allows to 0.1, and has
    order 1.1.  On T^3 functions are sums over the angles, of which an expert of one hidden layer is known; each summand
    has one variable, so 1/2 is judged there too, and |t|^0.35 fails though its order is above kappa/d = 1/3 of the
    bound.  What d costs functions that vary in all variables together is left open.  The margin, 0.05, is set.  Charts
    of T^3 are products of arcs, injective though r_max/reach is above the sqrt 3 - 1 that does for every manifold.
    """
    return _corollary(effort)


@corollary_rate.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _corollary(effort, names=FEW[:1], change=exchanged)


@corollary_rate.control("every chart the coordinate x_1, which takes t and -t for one")
def _(effort):
    return _corollary(effort, names=FEW[:1], kinds={"smooth": sine}, along=True)


@corollary_rate.control("sums of |t|^0.35 on T^3, which are not C^1")
def _(effort):
    return _corollary(effort, names=FEW[1:], kinds={"not C^1": cusped})


@corollary_rate.control("one hidden neuron too many in every expert")
def _(effort):
    return _corollary(effort, names=FEW[:1], extra=1)


@claim("circle_error", topic="moe", paper=MOE, where="Cor. 4.9, circle", stance="derived",
       statement="circle in R^D, E arcs, m neurons: sup error = h^2/8 max|g''| (1 + O(h)), the same for every D")
def circle_error(effort):
    """f = sin 5 x_1 + cos 3 x_2, g = f o phi^-1, h the step in the chart; m = 128, E = 3, 4, 6, 16, D = 2, 16, 128.

    E = 4 in R^1024 as well.  The errors at different D differ by rounding; the ratio to the law may fall short by 2 %:
    the next term and the grid, on which the maximum of |g''| need not lie.
    """
    return _circle(effort)


@circle_error.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _circle(effort, change=exchanged)


@circle_error.control("f'' along the circle in place of g'' in the chart")
def _(effort):
    return _circle(effort, chart=False)


@claim("torus_rate", topic="moe", paper=MOE, where="Cor. 4.9, flat tori", stance="derived",
       statement="T^d in R^2d, Hoelder a, N nodes an expert: error ~ N^(-a/d), a = 2 for smooth f; d = 1, 2, 3")
def torus_rate(effort):
    """f = |x - x_0|^a, a = 1/2 and 1, the worst of 8 places x_0, and one smooth function; 4^d experts behind the gate.

    The places are the same within a cell of the grid at every n, so the error is C n^-a (1 + O(1/n)).  Margins 0.02/d,
    and 0.1/d for the smooth function, whose largest second derivative moves with the grid; slopes are 1/(2 d) apart.
    """
    return _tori(effort, lambda alpha, dimension: alpha / dimension)


@torus_rate.control("the dimension of the space around, 2 d, in place of d")
def _(effort):
    return _tori(effort, lambda alpha, dimension: alpha / (2 * dimension))


@torus_rate.control("the exponent 1/2 of the bound, whatever f and d")
def _(effort):
    return _tori(effort, lambda alpha, dimension: 0.5)


@claim("cube_rate", topic="moe", paper=MOE, where="Thm 3.1, full cube", stance="derived",
       statement="smooth f on [0,1]^D, one dense Kuhn interpolant of N nodes: error ~ N^(-2/D), D = 1 .. 4")
def cube_rate(effort):
    """Where the manifold has the dimension of the space, its rate is that of the space; no gate, one chart."""
    return _cubes(effort, lambda dimension: 2.0 / dimension)


@cube_rate.control("the rate of a curve in the cube, N^-2")
def _(effort):
    return _cubes(effort, lambda dimension: 2.0)


@claim("hat_network", topic="moe", paper=MOE, where="Thm 4.8, experts, d = 2", stance="derived",
       statement="sum_j v_j relu(1 - (|X|+|Y|+|X-Y|)/2), two hidden layers, is Kuhn's piecewise linear interpolant")
def hat_network(effort):
    """Against barycentric interpolation by sorting, and the network that is written out; random values, n = 6."""
    return _hats(effort, 1.0)


@hat_network.control("|X+Y| in place of |X-Y|: the other diagonal")
def _(effort):
    return _hats(effort, -1.0)


def smooth(points):
    """``sin 5 x_1 + cos 3 x_2`` of points (.., D)."""
    return np.sin(5 * points[..., 0]) + np.cos(3 * points[..., 1])


def sine(angle):
    """Not even in any direction, so that x_1 alone is no chart for it."""
    return np.sin(2 * angle + 0.3)


def rough(angle):
    """``|sin t|^1.1``, C^1 with f' of Hoelder exponent 0.1 at 0 and pi: nodes, as middles or ends of the arcs."""
    return np.abs(np.sin(angle)) ** 1.1


def cusped(angle):
    """``|2 sin(t/2)|^0.35``, of Hoelder exponent 0.35 at 0."""
    return np.abs(2 * np.sin(angle / 2)) ** 0.35


KINDS = {"smooth": sine, "barely C^1": rough}
"""Functions of an angle."""


def exchanged(layer):
    """Neighbouring experts change places."""
    return MoELayer(layer.gate, layer.experts[1:] + layer.experts[:1])


def depth_two(layer, atlas):
    """The literal form, its features' supports about 1.4 r_max wide."""
    return shallow.two_layer_form(layer, atlas, shallow.covering_threshold(atlas) - atlas.radius**2 / 2)


def around_zero(manifold):
    """Points all whose angles are equal, many of them near 0."""
    near = np.geomspace(1e-6, 0.1, 300)
    angle = np.concatenate([-near, near, np.linspace(0, 2 * math.pi, 1501)])
    return manifold.embed(np.repeat(angle[:, None], manifold.dimension, axis=1))


def shape(network) -> tuple:
    """Depth, most layers of an expert, largest width, most layers of a gate: of a mixture."""
    experts = [expert for layer in network.layers for expert in layer.experts]
    return (len(network.layers), max(len(expert.weights) for expert in experts),
            max(expert.width for expert in experts), max(len(layer.gate.weights) for layer in network.layers))


def judged(found, widths, layers):
    """Orders, the architecture that is claimed, no point mis-routed, and the protocol of the widest networks.

    Parameters
    ----------
    found : dict of str to list of (Assembled, shape)
        For each width.
    widths : sequence of int
    layers : int
        Of the experts.
    """
    parts = {name: judges.order(1 / np.array(widths), [case.error for case, _ in cases], LEAST, 0.05, at_least=True)
             for name, cases in found.items()}
    wanted = [(2, layers, width, 1) for width in widths]
    parts["depth, layers, width, gate's layers"] = judges.equal([[form for _, form in cases]
                                                                 for cases in found.values()],
                                                                [wanted] * len(found))
    return reported(parts, {name: cases[-1][0] for name, cases in found.items()})


def reported(parts, cases):
    """All parts, no point mis-routed, and the protocol of the cases."""
    parts = parts | {"mis-routed": judges.equal([case.misrouted for case in cases.values()], 0.0)}
    return replace(judges.every(**parts), table=protocol(cases))


def _corollary(effort, names=None, kinds=KINDS, change=lambda layer: layer, along=False, extra=0):
    found = {}
    for name, atlas in _curves_and_torus(names).items():
        manifold = atlas.manifold
        sample = np.concatenate([points_on(manifold, effort.choose(1500, 100_000), seed=2), around_zero(manifold)])
        for kind, profile in kinds.items():
            def function(points, profile=profile, manifold=manifold):
                return profile(manifold.parameters(points)).sum(axis=1)

            found[f"{name}, {kind}"] = cases = []
            for width in WIDTHS:
                layer = (blind if along else _additive)(atlas, profile, width + extra)
                network = depth_two(change(layer), atlas)
                cases.append((assembled_error(network, function, atlas, sample), shape(network)))
    return judged(found, WIDTHS, 2)


def _curves_and_torus(names=None):
    made = {"circle in R^2": lambda: charts.curve_atlas(Embedded(circle(), orthonormal_frame(2, 2)), 6),
            "circle in R^128": lambda: charts.curve_atlas(Embedded(circle(), orthonormal_frame(128, 2)), 6),
            "T^3 in R^16": lambda: charts.torus_atlas(3, 3, orthonormal_frame(16, 6)),
            "curve in R^16": lambda: charts.curve_atlas(HomogeneousCurve(8), 18)}
    return {name: make() for name, make in made.items() if names is None or name in names}


def _additive(atlas, profile, width):
    """Experts of one hidden layer for the sum of a profile over the angles: a ridge in every coordinate."""
    dimension = atlas.manifold.dimension
    return shallow.summed([
        shallow.linear_chart_layer(atlas, lambda points, axis=axis: profile(atlas.manifold.parameters(points)[:, axis]),
                                   width // dimension, direction=np.eye(dimension)[axis]) for axis in range(dimension)])


def blind(atlas, profile, width):
    """Experts of x_1 alone: at each node the mean of f over the two points of the circle, the best guess there."""
    first = (atlas.manifold.embed([[0.0]]) - atlas.manifold.embed([[math.pi]]))[0] / 2
    nodes = np.linspace(-1, 1, width + 1)
    angle = np.arccos(nodes)
    expert = spline_expert(first, np.zeros(len(first)), nodes, (profile(angle) + profile(-angle)) / 2)
    return MoELayer(atlas.gate, (expert,) * len(atlas.centres))


def _circle(effort, change=None, chart=True):
    parts, finest = {}, {}
    for count in (3, 4, 6, 16):
        cases = _circle_cases(effort, count, change)
        step = 2 * math.sin(math.pi / count) / CIRCLE
        law = step**2 / 8 * curvature(count, chart)
        errors = [case.error for case in cases.values()]
        parts[f"E={count}"] = judges.every(law=judges.bounded(np.array(errors[:1]) / law, (0.98, 1.002)),
                                           D=judges.equal(errors[1:], errors[0], atol=1e-11))
        finest |= {f"E={count}, D={ambient}": case for ambient, case in cases.items()}
    return reported(parts, finest)


@cache
def _circle_cases(effort, count, change):
    """By D, the experts changed by `change` if there is one."""
    sample, cases = points_on(circle(), effort.choose(10_000, 50_000), seed=3), {}
    for ambient in (2, 16, 128, *((1024,) if count == 4 else ())):
        frame = orthonormal_frame(ambient, 2, seed=ambient)

        def function(points, frame=frame):
            return smooth(points @ frame)

        atlas = charts.curve_atlas(Embedded(circle(), frame), count)
        layer = shallow.linear_chart_layer(atlas, function, CIRCLE)
        cases[ambient] = assembled_error(change(layer) if change else layer, function, atlas, sample @ frame.T, 0)
    return cases


def curvature(count, chart=True):
    """max |g''| over the arcs, g'' = (f'' u' - f' u'')/u'^3 with u = sin of the angle from the centre."""
    inside = np.linspace(-math.pi / count, math.pi / count, 4001)
    largest = 0.0
    for place in range(count):
        cosine, sine = np.cos(inside + 2 * math.pi * place / count), np.sin(inside + 2 * math.pi * place / count)
        first = -5 * sine * np.cos(5 * cosine) - 3 * cosine * np.sin(3 * sine)
        second = (-5 * cosine * np.cos(5 * cosine) - 25 * sine**2 * np.sin(5 * cosine) + 3 * sine * np.sin(3 * sine)
                  - 9 * cosine**2 * np.cos(3 * sine))
        if chart:
            second = (second * np.cos(inside) + first * np.sin(inside)) / np.cos(inside) ** 3
        largest = max(largest, np.abs(second).max())
    return largest


def _tori(effort, law):
    parts = {}
    for dimension, (nodes, errors, _) in _torus_cases(effort).items():
        for row, (name, alpha, margin) in enumerate((("a=0.5", 0.5, 0.02), ("a=1", 1.0, 0.02), ("smooth", 2.0, 0.1))):
            parts[f"d={dimension}, {name}"] = judges.order(1 / nodes, errors[:, row], law(alpha, dimension),
                                                           margin / dimension)
    finest = {f"d={dimension}, smooth": case for dimension, (_, _, case) in _torus_cases(effort).items()}
    return reported(parts, finest)


def torus_table(effort) -> dict:
    """By d: the numbers of nodes N (k,), and the errors (k, 3) for Hoelder 1/2, Hoelder 1 and a smooth function."""
    return {dimension: found[:2] for dimension, found in _torus_cases(effort).items()}


@cache
def _torus_cases(effort):
    """The table, and how the finest network for the smooth function did."""
    sides = {1: (8, 16, 32, 64, 128), 2: (4, 8, 12, 16, 24, 32),
             3: effort.choose((4, 6, 8, 12, 16), (4, 6, 8, 12, 16, 24))}
    found = {}
    for dimension, steps in sides.items():
        atlas = charts.torus_atlas(dimension, 4)
        sample = points_on(atlas.manifold, effort.choose(20_000, 200_000), seed=5)
        rows = [_torus_errors(atlas, side, sample, effort.choose(200, 2000)) for side in steps]
        found[dimension] = (np.array(steps, float) ** dimension,
                            np.array([(*cusps, case.error) for cusps, case in rows]), rows[-1][1])
    return found


def _torus_errors(atlas, side, sample, count):
    """Largest errors for |x - x_0|^(1/2) and |x - x_0|, and how a smooth function's network did.

    A cusp has its worst errors around itself; the points there are the same at every side, in steps of the grid.
    """
    manifold, dimension = atlas.manifold, atlas.manifold.dimension
    offsets = streams.uniforms(streams.key(0, "moe.cusps"), 0, 0, (CUSPS + count) * dimension, dtype=np.float64)
    offsets = offsets.reshape(-1, dimension)
    step = (atlas.high - atlas.low)[0] / side
    places, around = step * offsets[:CUSPS], step * (2 * offsets[CUSPS - 1:] - 1)
    around[0] = 0.0
    chart = len(atlas.centres) // 2
    tips = atlas.points(chart, places)
    points = np.concatenate([atlas.points(chart, place + around) for place in places])

    def smooth(where):
        angles = manifold.parameters(where)
        return np.sin(angles.sum(axis=1)) + np.cos(2 * angles[:, 0])

    def cusps(where):
        distance = np.linalg.norm(where[:, None] - tips, axis=2)
        return np.column_stack([np.sqrt(distance), distance])

    together = shallow.linear_chart_layer(atlas, lambda where: np.column_stack([cusps(where), smooth(where)]), side)
    errors = np.abs(_outputs(together, slice(-1))(points) - cusps(points)).reshape(CUSPS, -1, 2, CUSPS).max(axis=1)
    alone = assembled_error(_outputs(together, slice(-1, None)), smooth, atlas, sample)
    return [errors[:, row].diagonal().max() for row in (0, 1)], alone


def _outputs(layer, chosen):
    """Some of the outputs of interpolating experts, behind the same gate."""
    def of(expert):
        if isinstance(expert, KuhnExpert):
            return KuhnExpert(expert.basis, expert.centre, expert.low, expert.high, expert.values[..., chosen])
        return DenseNetwork((*expert.weights[:-1], expert.weights[-1][chosen]),
                            (*expert.biases[:-1], expert.biases[-1][chosen]))

    return MoELayer(layer.gate, [of(expert) for expert in layer.experts])


def _cubes(effort, law):
    sides = {1: (8, 16, 32, 64), 2: (8, 16, 32, 64), 3: (4, 8, 16, 32),
             4: effort.choose((4, 6, 9, 13), (4, 8, 12, 20))}
    parts, finest = {}, {}
    for dimension, steps in sides.items():
        def function(points):
            return np.sin(3 * points.sum(axis=1) / math.sqrt(points.shape[1])) + points[:, 0] ** 3

        atlas = charts.cube_atlas(dimension, 1)
        sample = points_on(atlas.manifold, effort.choose(20_000, 200_000), seed=6)
        cases = [assembled_error(shallow.linear_chart_layer(atlas, function, side), function, atlas, sample)
                 for side in steps]
        nodes, errors = np.array(steps, float) ** dimension, [case.error for case in cases]
        parts[f"D={dimension}"] = judges.order(1 / nodes, errors, law(dimension), 0.1 / dimension)
        finest[f"D={dimension}"] = cases[-1]
    return reported(parts, finest)


def _hats(effort, sign):
    key, side = streams.key(0, "moe.hats"), 6
    values = streams.normals(key, 0, 0, (side + 1) ** 2).astype(float).reshape(side + 1, side + 1)
    points = side * streams.uniforms(key, 0, 1, effort.choose(4000, 40_000), dtype=np.float64).reshape(-1, 2)
    expert = KuhnExpert(np.eye(2), np.zeros(2), [0, 0], [side, side], values)
    total = np.zeros(len(points))
    for node in np.ndindex(side + 1, side + 1):
        first, second = (points - node).T
        total += values[node] * np.maximum(
            1 - (np.abs(first) + np.abs(second) + np.abs(first - sign * second)) / 2, 0)
    sorted_ = expert(points)[:, 0]
    return judges.every(formula=judges.equal(total, sorted_, atol=1e-12),
                        network=judges.equal(expert.network()(points)[:, 0], sorted_, atol=1e-12))
