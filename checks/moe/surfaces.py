"""Claims about curved manifolds: linear charts within the reach, and the rate of surfaces and of space curves."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from ...sims.moe.samples import assembled_error, orthonormal_frame, points_on, protocol
from ...theory.moe import charts, shallow
from ...theory.moe.experts import KuhnExpert
from ...theory.moe.lattices import lattice
from ...theory.moe.manifolds import (
    Embedded,
    HomogeneousCurve,
    Product,
    RingTorus,
    Sphere,
    SwissRoll,
    circle,
    flat_torus,
)
from ...theory.moe.model import DenseNetwork, MoELayer
from ...theory.moe.nets import nearest
from .. import judges
from ..claim import claim
from .paper import MOE
from .rates import exchanged

SURFACES = {"sphere": (Sphere(), 24), "ring torus": (RingTorus(), 150), "swiss roll": (SwissRoll(), 150),
            "flat torus": (flat_torus(2), 60)}
"""Surfaces and numbers of experts that their reach allows."""
SOLIDS = {"S^3": (Sphere(3), 60), "S^1 x S^2": (Product((circle(), Sphere())), 180)}
"""The same in dimension 3."""
STEPS = 16
"""n of the experts that are to tell sheets apart."""


@claim("chart_stretch", topic="moe", paper=MOE, where="Ex. 4.6, linear charts", stance="derived",
       statement="x, y in B(c,r) on M of reach tau: |T_c^T(x-y)| >= cos(asin(|x-y|/2tau) + 2 asin(r/2tau)) |x-y|")
def chart_stretch(effort):
    """Pairs of a sample in up to 40 cells, r the farthest point; curves, surfaces, S^3 and S^1 x S^2.

    So linear charts are injective for r < (sqrt 3 - 1) tau.  Near pairs at the end of an arc of a circle attain it.
    """
    return _stretches(effort, charts.least_stretch)


@chart_stretch.control("a reach twice as large")
def _(effort):
    return _stretches(effort, lambda ratio, apart: charts.least_stretch(ratio / 2, apart / 2))


@chart_stretch.control("asin(r/2tau) once in place of twice")
def _(effort):
    return _stretches(effort, lambda ratio, apart: np.cos(np.arcsin(apart / 2) + np.arcsin(ratio / 2)))


@claim("surface_rate", topic="moe", paper=MOE, where="Cor. 4.9, d = 2", stance="derived",
       statement="smooth f on a surface, affine gate, linear charts, N nodes an expert: error ~ N^-1, in R^3 and R^64")
def surface_rate(effort):
    """Sphere, ring torus, swiss roll and flat torus (in R^4), n = 8 .. 32 steps, N = (n+1)^2 nodes, (n^2 is judged).

    So many experts that the reach makes all charts injective: r_max is proved on a lattice.  Experts of two hidden
    layers; no point may go to a chart that does not contain it.  N times the error may change by 20 %, since the
    largest second derivative moves with the grid; from first to last N grows 16 times, so an exponent wrong by 0.07
    would be seen.  In R^64 the values are those in R^3, to rounding.
    """
    return _surfaces(effort)


@surface_rate.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _surfaces(effort, "experts")


@surface_rate.control("N^(-2/3), the rate of the space R^3")
def _(effort):
    return _surfaces(effort, power=2 / 3)


@surface_rate.control("the gates of neighbouring charts exchanged: points go to charts that do not have them")
def _(effort):
    return _surfaces(effort, "gates")


@claim("sheets", topic="moe", paper=MOE, where="Ex. 4.6, number of charts", stance="derived",
       statement="swiss roll, r_max < (sqrt 3 - 1) tau: no cell holds two sheets, and one expert suffices for each")
def sheets(effort):
    """Points whose t is more than pi from their centre's; the error of experts that know their centre's sheet only.

    An expert has n = 16 steps; a node's value is that of f = sin(t/2), opposite on neighbouring sheets, at the point
    of the cell and sheet whose image is nearest to the node.  So the error is of order h, and where another sheet
    shares a cell of order 1; 0.1 is set between them.  The table shows fewer experts: the bound is sufficient only.
    """
    table = [("experts", "r_max/reach", "on another sheet, %", "sup error")]
    for count in (8, 16, 24, 150):
        ratio, other, size, error = _sheet(effort.choose(30_000, 200_000), count)
        table.append((count, f"{ratio:.2f}", f"{100 * other / size:.2g}", f"{error:.2g}"))
    return replace(_sheets(effort, 150), table=tuple(table))


@sheets.control("8 experts: other sheets in the cells, on which the experts are wrong")
def _(effort):
    return _sheets(effort, 8)


@sheets.control("16 experts")
def _(effort):
    return _sheets(effort, 16)


@claim("space_curves", topic="moe", paper=MOE, where="Cor. 4.9, curves in R^D", stance="derived",
       statement="curves that fill R^D, D = 2 .. 256, E = D + 2 arcs, m neurons: error = h^2/8 max|g''|, leading order")
def space_curves(effort):
    """The space that a curve needs enters through curvature only: through the number of experts, not the rate.

    The error is taken in every arc, at the middles of all segments, where the leading order has its maximum, and
    where arcs are few between them; g'' in the chart, in closed form, at the middles; m = 64.  The ratio may be off by
    1 %, since the next term is of order h^2.
    """
    return _curves(effort)


@space_curves.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _curves(effort, "experts")


@space_curves.control("the second derivative along the curve in place of that in the chart")
def _(effort):
    return _curves(effort, chart=False)


def _smooth(points):
    return (np.sin(1.3 * points[:, 0]) + np.cos(points[:, 1]) * np.exp(-0.1 * points[:, 2])
            + np.sin(points[:, 3:].sum(axis=1)))


@cache
def _atlas(name, ambient=None, count=None):
    manifold, enough = {**SURFACES, **SOLIDS}[name]
    if ambient is not None:
        manifold = Embedded(manifold, orthonormal_frame(ambient, manifold.ambient))
    return charts.net_atlas(manifold, count or enough, checked=count is None)


def _stretches(effort, least):
    parts = {}
    for name, (apart, radius, reach, stretch) in _pairs(effort).items():
        parts[name] = judges.inequality(least(radius / reach, apart / reach), stretch, rtol=1e-9)
    return judges.every(**parts)


@cache
def _pairs(effort):
    """|x - y|, the radius of their cell, the reach and |phi(x) - phi(y)| / |x - y|, for pairs that share a cell."""
    atlases = {"circle": charts.curve_atlas(circle(), 5), "R^8": charts.curve_atlas(HomogeneousCurve(4), 40),
               "R^64": charts.curve_atlas(HomogeneousCurve(32), 1000),
               **{name: _atlas(name) for name in (*SURFACES, *SOLIDS)}}
    found = {}
    for name, atlas in atlases.items():
        sample = points_on(atlas.manifold, effort.choose(20_000, 60_000), purpose=3)
        away, cells = nearest(sample, atlas.centres)
        parts = []
        for cell in range(min(len(atlas.centres), 40)):
            mine = sample[cells == cell][:effort.choose(150, 300)]
            offset = (mine[:, None] - mine)[np.triu_indices(len(mine), 1)]
            apart = np.linalg.norm(offset, axis=1)
            parts.append((apart, np.full(len(apart), away[cells == cell].max()),
                          np.linalg.norm(offset @ atlas.bases[cell], axis=1) / apart))
        apart, radius, stretch = map(np.concatenate, zip(*parts, strict=True))
        found[name] = apart, radius, atlas.manifold.reach, stretch
    return found


def _changed(layer, what):
    """The layer with its experts or gates one place further, or as it is."""
    if what == "experts":
        return exchanged(layer)
    if what == "gates":
        gate = DenseNetwork((np.roll(layer.gate.weights[0], 1, axis=0),), (np.roll(layer.gate.biases[0], 1),))
        return MoELayer(gate, layer.experts)
    return layer


def _surfaces(effort, what=None, power=1.0):
    nodes, parts, cases = np.square(effort.choose((8, 16, 24, 32), (8, 16, 32, 64)), dtype=float), {}, {}
    for name in SURFACES:
        for side in np.sqrt(nodes).astype(int).tolist():
            cases[f"{name}, n = {side}"] = _surface(name, side, what, effort)
        found = list(cases.values())[-len(nodes):]
        parts[name] = judges.bounded(np.array([case.error for case in found]) * nodes**power, change=1.2, sizes=nodes)
        parts[f"{name}, mis-routed"] = judges.equal([case.misrouted for case in found], 0)
        parts[f"{name}, r_max/reach"] = judges.inequality(max(case.ratio for case in found), charts.INJECTIVE)
    (layer, _, sample), (wide, _, moved) = (_surface_layer("sphere", ambient, 16, effort) for ambient in (None, 64))
    parts["R^64"] = judges.equal(wide(moved), layer(sample), atol=1e-12)
    return replace(judges.every(**parts), table=protocol(cases))


@cache
def _surface(name, side, what, effort):
    layer, function, sample = _surface_layer(name, None, side, effort)
    return assembled_error(_changed(layer, what), function, _atlas(name), sample)


@cache
def _surface_layer(name, ambient, side, effort):
    atlas = _atlas(name, ambient)

    def function(points):
        return _smooth(points @ atlas.manifold.frame if ambient else points)

    sample = points_on(atlas.manifold, effort.choose(20_000, 400_000), seed=8)
    return shallow.linear_chart_layer(atlas, function, side), function, sample


def _sheets(effort, count):
    ratio, other, _, error = _sheet(effort.choose(30_000, 200_000), count)
    parts = {"points on another sheet": judges.equal(other, 0), "error": judges.inequality(error, 0.1)}
    if count >= SURFACES["swiss roll"][1]:
        parts["r_max/reach"] = judges.inequality(ratio, charts.INJECTIVE)
    return judges.every(**parts)


@cache
def _sheet(size, count):
    """r_max/reach, points of a sample on another sheet than their centre's, the sample's size, and the sup error."""
    enough = SURFACES["swiss roll"][1]
    atlas = _atlas("swiss roll", None, count if count < enough else None)
    roll = atlas.manifold
    sample, fine = points_on(roll, size, seed=9), lattice(roll, charts.LATTICE)[0]
    cells, turns = atlas.route(fine), roll.parameters(atlas.centres)[:, 0]
    known = np.abs(roll.parameters(fine)[:, 0] - turns[cells]) <= math.pi
    experts = []
    for cell, (low, high) in enumerate(zip(atlas.low, atlas.high, strict=True)):
        mine = fine[(cells == cell) & known]
        axes = [np.linspace(*ends, STEPS + 1) for ends in zip(low, high, strict=True)]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        place = cKDTree(atlas.coordinates(mine, np.full(len(mine), cell))).query(nodes)[1]
        experts.append(KuhnExpert(atlas.bases[cell], atlas.centres[cell], low, high, _turning(mine)[place]))
    values, routes = MoELayer(atlas.gate, experts).routed(sample)
    other = np.abs(roll.parameters(sample)[:, 0] - turns[routes]) > math.pi
    return atlas.radius / roll.reach, int(other.sum()), size, float(np.abs(values[:, 0] - _turning(sample)).max())


def _turning(points):
    return np.sin(np.hypot(points[:, 0], points[:, 2]) / 2)


def _curves(effort, what=None, chart=True):
    width, parts, cases = 64, {}, {}
    for ambient in (2, 4, 16, 64, 256):
        curve, count = HomogeneousCurve(ambient // 2), ambient + 2
        atlas = _curve_layer(curve, count, width)[0]
        centres, many = 2 * math.pi / count * np.arange(count)[:, None], effort.choose(256, 2048) // count | 1
        step = (atlas.high - atlas.low)[0, 0] / (width * many)
        inside = curve.parameters(atlas.points(0, atlas.low[0] + step * (np.arange(width * many)[:, None] + 0.5)))[:, 0]
        angles = centres + (inside + math.pi) % (2 * math.pi) - math.pi         # in the chart equally spaced
        found = _curve(curve, count, width, what, angles.tobytes())
        cases[f"D = {ambient}"] = found
        away = (angles - centres)[0, many // 2::many]                           # the middles of the segments
        law = (step * many)**2 / 8 * np.abs(_second(curve, centres + away, away, chart)).max()
        parts[f"D={ambient}"] = judges.bounded([found.error / law], (0.99, 1.01))
        parts[f"D={ambient}, mis-routed"] = judges.equal(found.misrouted, 0)
    return replace(judges.every(**parts), table=protocol(cases))


@cache
def _curve_layer(curve, count, width):
    atlas = charts.curve_atlas(curve, count)
    return atlas, shallow.linear_chart_layer(atlas, lambda where: _waves(curve, where), width)


@cache
def _curve(curve, count, width, what, angles):
    atlas, layer = _curve_layer(curve, count, width)
    points = curve.embed(np.frombuffer(angles)[:, None])
    return assembled_error(_changed(layer, what), lambda where: _waves(curve, where), atlas, points, rounds=0)


def _waves(curve, points):
    angle = curve.parameters(points)[:, 0]
    return np.sin(2 * angle) + np.cos(3 * angle)


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
