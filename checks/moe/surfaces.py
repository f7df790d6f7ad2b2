"""Claims about curved manifolds: linear charts within the reach, and the rate of surfaces and of space curves."""

import math
from functools import cache

import numpy as np

from ...sims.moe.samples import orthonormal_frame, points_on, sup_error
from ...theory.moe import charts, shallow
from ...theory.moe.manifolds import Embedded, HomogeneousCurve, RingTorus, Sphere, SwissRoll, circle
from ...theory.moe.model import MoELayer
from ...theory.moe.nets import nearest
from .. import judges
from ..claim import claim
from .paper import MOE

SURFACES = {"sphere": (Sphere(), 24), "ring torus": (RingTorus(), 150), "swiss roll": (SwissRoll(), 144)}
"""Surfaces and numbers of experts that their reach allows."""


@claim("chart_stretch", topic="moe", paper=MOE, where="Ex. 4.6, linear charts", stance="derived",
       statement="x, y in B(c,r) on M of reach tau: |T_c^T(x-y)| >= cos(asin(|x-y|/2tau) + 2 asin(r/2tau)) |x-y|")
def chart_stretch(effort):
    """Pairs of a sample in up to 60 cells, r the farthest point; circle, sphere, ring torus, roll, two curves.

    So linear charts are injective for r < (sqrt 3 - 1) tau.  Near pairs at the end of an arc of a circle attain it.
    """
    return _stretches(effort, lambda apart, radius, reach: np.arcsin(apart / (2 * reach))
                      + 2 * np.arcsin(radius / (2 * reach)))


@chart_stretch.control("a reach twice as large")
def _(effort):
    return _stretches(effort, lambda apart, radius, reach: np.arcsin(apart / (4 * reach))
                      + 2 * np.arcsin(radius / (4 * reach)))


@chart_stretch.control("asin(r/2tau) once in place of twice")
def _(effort):
    return _stretches(effort, lambda apart, radius, reach: np.arcsin(apart / (2 * reach))
                      + np.arcsin(radius / (2 * reach)))


@claim("surface_rate", topic="moe", paper=MOE, where="Thm 4.8, d = 2", stance="derived",
       statement="smooth f on a surface, affine gate, linear charts, N nodes an expert: error ~ N^-1, in R^3 and R^64")
def surface_rate(effort):
    """Sphere, ring torus and swiss roll with so many experts that their reach makes the charts injective; n = 8 .. 32.

    Experts of two hidden layers.  N times the error may change by 20 %, since the largest second derivative moves with
    the grid; from first to last N grows 16 times, so an exponent wrong by 0.07 would be seen.  In R^64 the values are
    those in R^3, to rounding.
    """
    return _surfaces(effort, lambda layer: layer)


@surface_rate.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _surfaces(effort, lambda layer: MoELayer(layer.gate, layer.experts[1:] + layer.experts[:1]))


@surface_rate.control("N^(-2/3), the rate of the space R^3")
def _(effort):
    return _surfaces(effort, lambda layer: layer, power=2 / 3)


@claim("sheets", topic="moe", paper=MOE, where="Ex. 4.6, number of charts", stance="derived",
       statement="swiss roll: injective charts and error -> 0 with enough experts; with 8, two sheets share a cell")
def sheets(effort):
    """144 experts: the least stretch of a chart exceeds 1/2 and the error with n = 16 is below 0.1."""
    return _sheets(effort, 144)


@sheets.control("8 experts: cells of a radius three times the reach")
def _(effort):
    return _sheets(effort, 8)


@claim("space_curves", topic="moe", paper=MOE, where="Cor. 4.9, curves in R^D", stance="derived",
       statement="curves that fill R^D, D = 2 .. 256, E = D + 2 arcs, m neurons: error = h^2/8 max|g''|, leading order")
def space_curves(effort):
    """The space that a curve needs enters through curvature only: through the number of experts, not the rate.

    g'' in the chart, in closed form, at the middles of the segments; m = 64.  The ratio may be off by 1 %, since the
    next term is of order h^2.
    """
    return _curves(effort, lambda layer: layer)


@space_curves.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _curves(effort, lambda layer: MoELayer(layer.gate, layer.experts[1:] + layer.experts[:1]))


@space_curves.control("the second derivative along the curve in place of that in the chart")
def _(effort):
    return _curves(effort, lambda layer: layer, chart=False)


def _smooth(points):
    return np.sin(1.3 * points[:, 0]) + np.cos(points[:, 1]) * np.exp(-0.1 * points[:, 2])


@cache
def _atlas(name, ambient, count=None):
    manifold, enough = SURFACES[name]
    if ambient > 3:
        manifold = Embedded(manifold, orthonormal_frame(ambient, 3))
    return charts.net_atlas(manifold, count or enough, checked=count is None)


def _stretches(effort, angle):
    atlases = {"circle": charts.curve_atlas(circle(), 5), "R^8": charts.curve_atlas(HomogeneousCurve(4), 40),
               "R^64": charts.curve_atlas(HomogeneousCurve(32), 1000), **{name: _atlas(name, 3) for name in SURFACES}}
    parts = {}
    for name, atlas in atlases.items():
        sample = points_on(atlas.manifold, effort.choose(20_000, 60_000), purpose=3)
        away, cells = nearest(sample, atlas.centres)
        bounds, stretches = [], []
        for cell in range(min(len(atlas.centres), 60)):
            mine = sample[cells == cell][:300]
            radius = away[cells == cell].max()
            offset = (mine[:, None] - mine)[np.triu_indices(len(mine), 1)]
            apart = np.linalg.norm(offset, axis=1)
            bounds.append(np.cos(angle(apart, radius, atlas.manifold.reach)))
            stretches.append(np.linalg.norm(offset @ atlas.bases[cell], axis=1) / apart)
        parts[name] = judges.inequality(np.concatenate(bounds), np.concatenate(stretches), rtol=1e-9)
    return judges.every(**parts)


def _surfaces(effort, change, power=1.0):
    nodes, parts = np.square(effort.choose((8, 16, 24, 32), (8, 16, 32, 64)), dtype=float), {}
    for name in SURFACES:
        errors = np.array([_error(name, change, int(math.sqrt(count)), effort) for count in nodes])
        parts[name] = judges.bounded(errors * nodes**power, change=1.2, sizes=nodes)
    (layer, _, sample), (wide, _, moved) = (_surface_layer("sphere", ambient, 16, effort) for ambient in (3, 64))
    parts["R^64"] = judges.equal(wide(moved), layer(sample), atol=1e-12)
    return judges.every(**parts)


def _error(name, change, side, effort):
    layer, function, sample = _surface_layer(name, 3, side, effort)
    return sup_error(change(layer), function, SURFACES[name][0], sample)


@cache
def _surface_layer(name, ambient, side, effort):
    atlas = _atlas(name, ambient)

    def function(points):
        return _smooth(points @ atlas.manifold.frame if ambient > 3 else points)

    sample = points_on(atlas.manifold, effort.choose(40_000, 400_000), seed=8)
    return shallow.linear_chart_layer(atlas, function, side), function, sample


def _sheets(effort, count):
    atlas = _atlas("swiss roll", 3, count if count < 100 else None)
    manifold = atlas.manifold
    sample = points_on(manifold, effort.choose(30_000, 200_000), seed=9)

    def function(points):
        return np.sin(np.hypot(points[:, 0], points[:, 2]))

    try:
        layer = shallow.linear_chart_layer(atlas, function, 16)
    except ValueError:                          # a box is beyond its chart: there is no inverse to interpolate
        error = math.inf
    else:
        error = np.abs(layer(sample)[:, 0] - function(sample)).max()
    return judges.every(stretch=judges.inequality(0.5, atlas.stretch(sample).min()),
                        error=judges.inequality(error, 0.1))


def _curves(effort, change, chart=True):
    width, parts = 64, {}
    for ambient in (2, 4, 16, 64, 256):
        curve, count = HomogeneousCurve(ambient // 2), ambient + 2
        atlas = charts.curve_atlas(curve, count)
        cells = np.linspace(0, count, min(count, 16), endpoint=False).astype(int)      # all are alike but for f
        inside = (np.arange(width * effort.choose(17, 65)) + 0.5) / (width * effort.choose(17, 65)) * 2 - 1
        angles = 2 * math.pi / count * cells[:, None] + math.pi / count * inside
        points = curve.embed(angles.reshape(-1, 1))

        def function(where, curve=curve):
            angle = curve.parameters(where)[:, 0]
            return np.sin(2 * angle) + np.cos(3 * angle)

        layer = change(shallow.linear_chart_layer(atlas, function, width))
        error = np.abs(layer(points)[:, 0] - function(points)).max()
        step = (atlas.high - atlas.low)[0, 0] / width
        middles = atlas.points(0, atlas.low[0] + step * (np.arange(width)[:, None] + 0.5))
        away = (curve.parameters(middles)[:, 0] + math.pi) % (2 * math.pi) - math.pi
        law = step**2 / 8 * np.abs(_second(curve, 2 * math.pi / count * cells[:, None] + away, away, chart)).max()
        parts[f"D={ambient}"] = judges.bounded([error / law], (0.99, 1.01))
    return judges.every(**parts)


def _second(curve, angles, away, chart):
    """g'' = (f'' u' - f' u'')/u'^3, u = (a/|x'|) sum_j sin(j s)/j the chart; along the curve u' = |x'| and u'' = 0."""
    order = np.arange(1, curve.harmonics + 1)
    scale = curve.amplitudes[0] ** 2 / curve.speed
    first, second = 2 * np.cos(2 * angles) - 3 * np.sin(3 * angles), -4 * np.sin(2 * angles) - 9 * np.cos(3 * angles)
    if not chart:
        return second / curve.speed**2
    slope = scale * np.cos(np.multiply.outer(away, order)).sum(axis=1)
    bend = -scale * np.sin(np.multiply.outer(away, order)) @ order
    return (second * slope - first * bend) / slope**3
