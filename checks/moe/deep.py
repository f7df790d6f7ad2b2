"""Claims about deep mixtures on product manifolds: charts and splines of each factor in a layer of its own.

Factors: the circle in R^2 with 4 charts, the homogeneous curve in R^8 with 13, the circle in R^16 (a random plane) with
6; and the sphere with 32 charts.  All points of a factor run through the same parameters, each factor in another order,
so that the largest error over the points is the largest of the factors.
"""

import math
from dataclasses import replace
from functools import cache

import numpy as np

from ...sims.moe.samples import Assembled, assembled_error, free_active, orthonormal_frame, points_on, protocol
from ...theory.moe import partition
from ...theory.moe.charts import curve_atlas, net_atlas
from ...theory.moe.identities import unrolled_deep
from ...theory.moe.manifolds import Embedded, HomogeneousCurve, Sphere, circle
from ...theory.moe.model import MoELayer
from ...theory.moe.shallow import curved_chart_layer, linear_chart_layer
from .. import judges
from ..claim import claim
from .paper import MOE
from .rates import exchanged

SEGMENTS = 2 ** np.arange(4, 9)
COUNT = 2**14
"""Points: 256 in each segment of the circle when it has fewest, 5 in those of the curve in R^8 when it has most."""
STRIDES = (1, 5003, 11003)
STEEP = 20
"""Of sin(20 s): what the error of a chart is multiplied by."""
SAMPLED = 1e-3
"""What the largest error of g on 32 points in each segment may miss of the supremum, relative: the top of a parabola
is at most half a step away, 1/64 of its width, and (2/64)^2 is 1e-3."""
CHARTS = 32
"""Of the sphere."""
EXPLICIT = (4, 8, 16)
"""Sides n for which the experts on the sphere are written out as networks."""
FOUND = 0.02
"""What the search for the supremum may miss of it, relative; set."""


@claim("deep_error", topic="moe", paper=MOE, where="Thm 5.2", stance="reconstructed",
       statement="M_1 x .. x M_L, depth L, linear charts: |f - Psi| = max_l |f_l - Psi_l|, no sum, ~ m^-2 if d_l = 1")
def deep_error(effort):
    """Three curves in R^2, R^8 and R^16: the assembled network on R^26 against each layer alone on its factor.

    Slopes approach -2 like 1/m; the margin, 0.05, is set.  The literal form has depth 2 L and linear gates.  No point
    goes to another expert than that of the arc its parameter is on.
    """
    return _deep(lambda errors: errors.max())


@deep_error.control("the sum over the factors")
def _(effort):
    return _deep(lambda errors: errors.sum())


@deep_error.control("experts of one factor exchanged")
def _(effort):
    return _deep(lambda errors: errors.max(), exchange=True)


@claim("deep_dimension", topic="moe", paper=MOE, where="Thm 5.2", stance="reconstructed",
       statement="d_l = 2: 3-layer experts of N hats, error n^-2 max_x max_simplex |e| (1 + O(1/n)) ~ N^(-2/d_l)")
def deep_dimension(effort):
    """Sphere x circle in R^16, both of n steps, N = (n + 1)^2: the sphere's error rules the product.

    On a simplex with edges b_1/n, b_2/n, (b_1 + b_2)/n the error is, but for third derivatives, the quadratic form of
    the function's second derivatives along the edges, whose largest value is known; max_x runs over the sphere, each x
    in its own chart.  Third derivatives, and cells that cut squares, change it by O(1/n), for which 1/(2 n) is set.
    Networks are written out for n up to 16 and evaluated by sorting beyond; for n up to 16 both values are compared.
    """
    return _sphere(effort, 2.0)


@deep_dimension.control("the rate N^-2 of dimension 1")
def _(effort):
    return _sphere(effort, 4.0)


@deep_dimension.control("the rate N^(-2/3) of dimension 3, which is that of the space")
def _(effort):
    return _sphere(effort, 4 / 3)


@deep_dimension.control("edges along the axes only, without the diagonal of the squares")
def _(effort):
    return _sphere(effort, 2.0, diagonal=False)


@claim("deep_charts", topic="moe", paper=MOE, where="Thm 5.2", stance="reconstructed",
       statement="curved charts, experts g psi of 3 layers, depth 2L: |f - Psi| <= max_{l,i} (e_g + Lip(f_l) e_psi)")
def deep_charts(effort):
    """sin(20 s) and cos(s) on the circle and on the curve in R^8; charts coarse or fine, functions fine.

    The printed bound has the best networks of 2 layers for g and psi, where these are splines, and the C^1 norm of f_l
    in the chart, which is Lip(f_l) or more; maxima of both terms apart, which is more as well.
    """
    return _charts(lambda function, chart, slope: function + chart * slope)


@deep_charts.control("without the error of the charts")
def _(effort):
    return _charts(lambda function, chart, slope: function)


@deep_charts.control("without the Lipschitz constant")
def _(effort):
    return _charts(lambda function, chart, slope: function + chart)


@cache
def _atlases():
    return (curve_atlas(circle(), 4), curve_atlas(HomogeneousCurve(4), 13),
            curve_atlas(Embedded(circle(), orthonormal_frame(16, 2)), 6))


def _wave(place):
    return lambda s: np.sin(5 * np.cos(s + place)) + np.cos(3 * np.sin(s)) / (1 + place)


def _of_points(atlas, function):
    """A function of the curve's parameter as one of points."""
    return lambda points: function(atlas.manifold.parameters(points)[:, 0])


@cache
def _parameters():
    """Parameters of the points of every factor, shape (L, N)."""
    values = 2 * math.pi * (np.arange(COUNT) + 0.37) / COUNT
    return np.stack([values[np.arange(COUNT) * stride % COUNT] for stride in STRIDES])


def _arcs(atlas, parameters):
    """Which of the equal arcs around the centres parameters are on, without a gate."""
    count = len(atlas.centres)
    return np.round(parameters * count / (2 * math.pi)).astype(int) % count


@cache
def _curve_errors(segments, exchange):
    """Sup error of the network on the product, of its form of depth 2 L, of each factor's layer alone; wrong routes."""
    atlases, parameters = _atlases(), _parameters()
    layers = [linear_chart_layer(atlas, _of_points(atlas, _wave(place)), segments)
              for place, atlas in enumerate(atlases)]
    points = [atlas.manifold.embed(s[:, None]) for atlas, s in zip(atlases, parameters, strict=True)]
    target = np.stack([_wave(place)(s) for place, s in enumerate(parameters)], axis=1)
    alone = [np.abs(layer(x)[:, 0] - f).max() for layer, x, f in zip(layers, points, target.T, strict=True)]
    if exchange:
        layers[1] = exchanged(layers[1])
    network = partition.on_product(layers)
    values, routes = network.routed(np.hstack(points))
    arcs = np.stack([_arcs(atlas, s) for atlas, s in zip(atlases, parameters, strict=True)], axis=1)
    both = [np.abs(values - target).max()]
    if segments == SEGMENTS[1]:
        both.append(np.abs(unrolled_deep(network)(np.hstack(points)) - target).max())
    return both, np.array(alone), int((routes != arcs).any(axis=1).sum()), network


def _deep(combined, exchange=False):
    sizes = SEGMENTS[:3] if exchange else SEGMENTS
    found = [_curve_errors(int(m), exchange) for m in sizes]
    errors = np.array([both[0] for both, *_ in found])
    wanted = np.array([combined(alone) for _, alone, *_ in found])
    judged = judges.every(maximum=judges.equal(errors, wanted, rtol=1e-9, at={"m": sizes}),
                          literal=judges.equal(found[1][0][1], found[1][0][0], rtol=1e-9),
                          routed=judges.equal([wrong for *_, wrong, _ in found], 0, at={"m": sizes}),
                          rate=judges.local_slopes(sizes, errors, sizes**-2.0, 0.05))
    reach = max(atlas.radius / atlas.manifold.reach for atlas in _atlases())
    return replace(judged, table=protocol({
        f"m={m}": Assembled(error, COUNT, wrong, reach, free_active(network.layers), network.active, network.parameters)
        for m, error, (*_, wrong, network) in zip(sizes, errors, found, strict=True)}))


@cache
def _net():
    return net_atlas(Sphere(2), CHARTS)


def _on_sphere(x):
    return np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]


@cache
def _sphere_error(segments):
    return assembled_error(linear_chart_layer(_net(), _on_sphere, segments), _on_sphere, _net(),
                           points_on(Sphere(2), 2**15), rounds=8)


@cache
def _product_error(segments):
    """On the product, of either factor alone by sorting, how networks and sorting differ, and layers of an expert."""
    sphere, s = points_on(Sphere(2), 2**13), _parameters()[1, ::COUNT // 2**13]
    ring = _atlases()[2].manifold.embed(s[:, None])
    sorting = linear_chart_layer(_net(), _on_sphere, segments)
    written = MoELayer(sorting.gate, [expert.network() for expert in sorting.experts])
    arcs = linear_chart_layer(_atlases()[2], _of_points(_atlases()[2], np.cos), segments)
    network = partition.on_product([written, arcs])
    values, alone = network(np.hstack([sphere, ring])), sorting(sphere)
    target = np.stack([_on_sphere(sphere), np.cos(s)], axis=1)
    errors = [np.abs(alone[:, 0] - target[:, 0]).max(), np.abs(arcs(ring)[:, 0] - target[:, 1]).max()]
    return (np.abs(values - target).max(), errors, np.abs(values[:, :1] - alone).max(),
            max(len(expert.weights) for expert in network.layers[0].experts))


@cache
def _leading(diagonal):
    """n^2 times the leading order of the sup error on the sphere, over 2^17 of its points."""
    atlas, points = _net(), points_on(Sphere(2), 2**17, purpose=1)
    charts = atlas.route(points)
    chart = atlas.coordinates(points, charts)
    bases, centres, sides, step = (atlas.bases[charts], atlas.centres[charts], (atlas.high - atlas.low)[charts], 1e-3)

    def lifted(u):
        return _on_sphere(np.einsum("njd,nd->nj", bases, u) + np.sqrt(1 - (u**2).sum(axis=1))[:, None] * centres)
    one, two, both = ((lifted(chart + move) - 2 * lifted(chart) + lifted(chart - move)) / step**2
                      for move in (step * sides * np.array(axes) for axes in ((1, 0), (0, 1), (1, 1))))
    if not diagonal:
        return max(np.abs(one).max(), np.abs(two).max()) / 8
    return _simplex_error(one, two, both).max()


def _simplex_error(one, two, both):
    """The largest error of linear interpolation of a quadratic on a triangle, from its second derivatives on the edges.

    With barycentric coordinates it is half of ``a l_0 l_1 + b l_1 l_2 + c l_0 l_2``; its extreme is in the middle of an
    edge, ``a/4``, or inside, ``a b c / S`` at l proportional to ``b (a + c - b)``, ``c (a + b - c)``, ``a (b + c - a)``
    whose sum is S.
    """
    edges = np.maximum(np.maximum(np.abs(one), np.abs(two)), np.abs(both)) / 4
    inner = np.stack([two * (one + both - two), both * (one + two - both), one * (two + both - one)])
    total = inner.sum(axis=0)
    inside = (inner * np.sign(total) > 0).all(axis=0)
    within = np.abs(one * two * both) / np.where(inside, np.abs(total), 1.0)
    return np.maximum(edges, np.where(inside, within, 0.0)) / 2


def _sphere(effort, power, diagonal=True):
    sides = 2 ** np.arange(2, effort.choose(7, 9))
    found = [_sphere_error(int(n)) for n in sides]
    law = _leading(diagonal) * sides[0] ** (power - 2) / sides**power
    ratio = np.array([case.error for case in found]) / law
    product, alone, apart, layers = zip(*(_product_error(n) for n in EXPLICIT), strict=True)
    at = {"n": EXPLICIT}
    judged = judges.every(law=judges.inequality(np.abs(ratio - 1), 1 / (2 * sides) + FOUND, at={"n": sides},
                                                over="error over law " + ", ".join(f"{each:.3f}" for each in ratio)),
                          ruled=judges.equal(product, np.max(alone, axis=1), rtol=1e-9, at=at),
                          sphere=judges.inequality([ring for _, ring in alone], [ball for ball, _ in alone], at=at),
                          sorted=judges.equal(apart, 0, atol=1e-11, at=at), layers=judges.equal(layers, 3, at=at),
                          routed=judges.equal([case.misrouted for case in found], 0, at={"n": sides}))
    return replace(judged, table=protocol({f"sphere, n={n}": case for n, case in zip(sides, found, strict=True)}))


@cache
def _chart_errors(chart_segments):
    """Error of the network and of its form of depth 2 L; per chart: error of g, of psi in the parameter, Lip(f_l)."""
    functions, slopes = (lambda s: np.sin(STEEP * s), np.cos), (STEEP, 1)
    layers, parts, points, target = [], [], [], []
    for atlas, function, slope, s in zip(_atlases(), functions, slopes, _parameters(), strict=False):
        layer, networks = curved_chart_layer(atlas, _of_points(atlas, function), 512, chart_segments)
        x = atlas.manifold.embed(s[:, None])
        arcs, half = _arcs(atlas, s), math.pi / len(atlas.centres)
        for index, (psi, g) in enumerate(networks):
            mine = arcs == index
            miss = np.angle(np.exp(1j * (psi(x[mine])[:, 0] - s[mine])))
            grid = 2 * half * index + np.linspace(-half, half, 2**14)
            parts.append((np.abs(g(grid[:, None])[:, 0] - function(grid)).max(), np.abs(miss).max(), slope))
        layers.append(layer)
        points.append(x)
        target.append(function(s))
    network = partition.on_product(layers)
    depths = [len(expert.weights) for layer in network.layers for expert in layer.experts]
    target, points = np.stack(target, axis=1), np.hstack(points)
    literal = unrolled_deep(network)
    return (float(np.abs(network(points) - target).max()), float(np.abs(literal(points) - target).max()),
            np.array(parts), sorted(set(depths)), len(literal.layers))


def _charts(bound):
    counts = (4, 8, 16, 64)
    found = [_chart_errors(count) for count in counts]
    errors = [error for error, *_ in found]
    bounds = [bound(*parts.T).max() for _, _, parts, *_ in found]
    return judges.every(bound=judges.inequality(errors, bounds, rtol=SAMPLED, at={"chart segments": counts}),
                        literal=judges.equal([literal for _, literal, *_ in found], errors, rtol=1e-9),
                        layers=judges.equal([depths for *_, depths, _ in found], 3),
                        depth=judges.equal([depth for *_, depth in found], 4))
