"""Claims about deep mixtures on product manifolds: charts and splines of each factor in a layer of its own.

Factors: the circle in R^2 with 4 charts, the homogeneous curve in R^8 with 13, the circle in R^16 (a random plane) with
6; and the sphere with 32 charts.  All points of a factor run through the same parameters, each factor in another order,
so that the largest error over the points is the largest of the factors.
"""

import math
from functools import cache

import numpy as np

from ...sims import streams
from ...theory.moe import deep, partition
from ...theory.moe.identities import unrolled_deep
from ...theory.moe.manifolds import Embedded, HomogeneousCurve, circle
from ...theory.moe.model import MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE

SEGMENTS = 2 ** np.arange(4, 9)
COUNT = 2**14
"""Points: 256 in each segment of the circle when it has fewest, 5 in those of the curve in R^8 when it has most."""
STRIDES = (1, 5003, 11003)
STEEP = 20
"""Of sin(20 s): what the error of a chart is multiplied by."""
SAMPLED = 1e-3
"""What the largest error of g on 32 points in each segment may miss of the supremum, relative: the top of a parabola
is at most half a step away, 1/64 of its width, and (2/64)^2 is 1e-3."""


@claim("deep_error", topic="moe", paper=MOE, where="Thm 5.2", stance="reconstructed",
       statement="M_1 x .. x M_L, depth L, linear charts: |f - Psi| = max_l |f_l - Psi_l|, no sum, ~ m^-2 if d_l = 1")
def deep_error(effort):
    """Three curves in R^2, R^8 and R^16: the assembled network on R^26 against each layer alone on its factor.

    Slopes approach -2 like 1/m; the margin, 0.05, is set.  The literal form has depth 2 L and linear gates.
    """
    return _deep(lambda errors: errors.max())


@deep_error.control("the sum over the factors")
def _(effort):
    return _deep(lambda errors: errors.sum())


@deep_error.control("experts of one factor exchanged")
def _(effort):
    return _deep(lambda errors: errors.max(), exchange=True)


@claim("deep_dimension", topic="moe", paper=MOE, where="Thm 5.2", stance="reconstructed",
       statement="d_l = 2: experts of 3 layers with N hats, error ~ N^(-2/d_l), which rules the product")
def deep_dimension(effort):
    """Sphere x circle, the sphere with explicit Kuhn networks of (n + 1)^2 hats, n segments for the circle as well.

    For n from 4 the sphere's error is above the circle's, both fall like n^-2; the margin, 0.2, is set: cells hold but
    a few of the grid's squares.
    """
    return _sphere(effort, 2.0)


@deep_dimension.control("the rate N^-2 of one dimension")
def _(effort):
    return _sphere(effort, 4.0)


@claim("deep_charts", topic="moe", paper=MOE, where="Thm 5.2", stance="stated",
       statement="curved charts, experts g psi of 3 layers: |f - Psi| <= max e_g + max e_psi Lip(f), over l and i")
def deep_charts(effort):
    """sin(20 s) and cos(s) on the circle and on the curve in R^8; charts coarse or fine, functions fine."""
    return _charts(lambda function, chart, slope: function + chart * slope)


@deep_charts.control("without the error of the charts")
def _(effort):
    return _charts(lambda function, chart, slope: function)


@deep_charts.control("without the Lipschitz constant")
def _(effort):
    return _charts(lambda function, chart, slope: function + chart)


@cache
def _atlases():
    frame = np.linalg.qr(streams.normals(streams.key(0, "moe.deep.frame"), 0, 0, 32).reshape(16, 2).astype(float))[0]
    return (deep.CurveAtlas(circle(), 4), deep.CurveAtlas(HomogeneousCurve(4), 13),
            deep.CurveAtlas(Embedded(circle(), frame), 6))


def _wave(place):
    return lambda s: np.sin(5 * np.cos(s + place)) + np.cos(3 * np.sin(s)) / (1 + place)


@cache
def _parameters():
    """Parameters of the points of every factor, shape (L, N)."""
    values = 2 * math.pi * (np.arange(COUNT) + 0.37) / COUNT
    return np.stack([values[np.arange(COUNT) * stride % COUNT] for stride in STRIDES])


@cache
def _curve_errors(segments, exchange):
    """Sup error of the network on the product, of its form of depth 2 L, and of each factor's layer alone."""
    atlases, parameters = _atlases(), _parameters()
    layers = [deep.curve_layer(atlas, _wave(place), segments) for place, atlas in enumerate(atlases)]
    points = [atlas.curve.embed(s[:, None]) for atlas, s in zip(atlases, parameters, strict=True)]
    target = np.stack([_wave(place)(s) for place, s in enumerate(parameters)], axis=1)
    alone = [np.abs(layer(x)[:, 0] - f).max() for layer, x, f in zip(layers, points, target.T, strict=True)]
    if exchange:
        layers[1] = MoELayer(layers[1].gate, layers[1].experts[::-1])
    network = partition.on_product(layers)
    both = [float(np.abs(each(np.hstack(points)) - target).max()) for each in
            ((network, unrolled_deep(network)) if segments == SEGMENTS[1] else (network,))]
    return both, np.array(alone)


def _deep(combined, exchange=False):
    sizes = SEGMENTS[:3] if exchange else SEGMENTS
    found = [_curve_errors(int(m), exchange) for m in sizes]
    errors = np.array([both[0] for both, _ in found])
    wanted = np.array([combined(alone) for _, alone in found])
    return judges.every(maximum=judges.equal(errors, wanted, rtol=1e-9, at={"m": sizes}),
                        literal=judges.equal(found[1][0][1], found[1][0][0], rtol=1e-9),
                        rate=judges.local_slopes(sizes, errors, sizes**-2.0, 0.05))


@cache
def _sphere_error(segments):
    """On the product of sphere and circle, and of the sphere alone."""
    uniforms = streams.uniforms(streams.key(0, "moe.deep.sphere"), 0, 0, 2 * 8192, dtype=np.float64).reshape(2, -1)
    height, azimuth = 2 * uniforms[0] - 1, 2 * math.pi * uniforms[1]
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=1)
    s = _parameters()[1, ::COUNT // 8192]
    layers = [deep.sphere_layer(_on_sphere, 32, segments), deep.curve_layer(_atlases()[0], np.cos, segments)]
    network = partition.on_product(layers)
    values = network(np.hstack([sphere, _atlases()[0].curve.embed(s[:, None])]))
    target = np.stack([_on_sphere(sphere), np.cos(s)], axis=1)
    depths = {len(expert.weights) for expert in network.layers[0].experts}
    return (float(np.abs(values - target).max()), float(np.abs(layers[0](sphere)[:, 0] - target[:, 0]).max()), depths)


def _on_sphere(x):
    return np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]


def _sphere(effort, power):
    sides = np.array(effort.choose((4, 8, 16), (4, 8, 16, 32)))
    product, alone, depths = zip(*(_sphere_error(int(n)) for n in sides), strict=True)
    return judges.every(ruled=judges.equal(product, alone, rtol=1e-9, at={"n": sides}),
                        rate=judges.local_slopes(sides, product, sides**-power, 0.2),
                        layers=judges.equal([max(each) for each in depths], 3))


@cache
def _chart_errors(chart_segments):
    """Error of the network, and per factor: of g, of psi (relative to the curve's parameter), Lipschitz constant."""
    functions, slopes = (lambda s: np.sin(STEEP * s), np.cos), (STEEP, 1)
    layers, parts, points, target = [], [], [], []
    for atlas, function, slope, s in zip(_atlases(), functions, slopes, _parameters(), strict=False):
        layer, networks = deep.curved_experts(atlas, function, 512, chart_segments)
        x = atlas.curve.embed(s[:, None])
        cells = np.argmax(atlas.gate(x), axis=1)
        worst = np.zeros(2)
        for index, (psi, g) in enumerate(networks):
            mine = cells == index
            miss = psi(x[mine])[:, 0] - s[mine]
            grid = np.linspace(-1, 1, 2**14) * math.pi / atlas.charts + atlas.middle(index)
            worst = np.maximum(worst, [np.abs(g(grid[:, None])[:, 0] - function(grid)).max(),
                                       np.abs(np.angle(np.exp(1j * miss))).max()])
        layers.append(layer)
        parts.append((*worst, slope))
        points.append(x)
        target.append(function(s))
    network = partition.on_product(layers)
    depths = {len(expert.weights) for layer in network.layers for expert in layer.experts}
    error = np.abs(network(np.hstack(points)) - np.stack(target, axis=1)).max()
    return float(error), np.array(parts), depths


def _charts(bound):
    counts = (4, 8, 16, 64)
    found = [_chart_errors(count) for count in counts]
    bounds = [bound(*parts.max(axis=0)) for _, parts, _ in found]
    return judges.every(bound=judges.inequality([error for error, _, _ in found], bounds, rtol=SAMPLED,
                                                at={"chart segments": counts}),
                        layers=judges.equal([max(depths) for _, _, depths in found], 3))
