"""Atlases of linear charts: the cells of an affine gate on curved surfaces, and how wrong the experts are on them."""

import math
from functools import partial

import matplotlib.colors
import numpy as np
from matplotlib.cm import ScalarMappable
from scipy.spatial import cKDTree

from ...sims.moe.samples import assembled_error, points_on
from ...theory.moe import charts, shallow
from ...theory.moe.manifolds import RingTorus, Sphere, SwissRoll
from .. import style
from ..figure import Drawing, figure
from . import views

SURFACES = (("sphere", Sphere(), 24, (0.0, 0.0), (2 * math.pi, math.pi), (900, 450), (30, 25)),
            ("ring torus", RingTorus(), 150, (0.0, 0.0), (2 * math.pi, 2 * math.pi), (1100, 440), (30, 40)),
            ("swiss roll", SwissRoll(), 150, (SwissRoll.first, 0.0), (SwissRoll.last, 10.0), (1600, 260), (-66, 17)))
"""Name, manifold, experts, box of parameters and points along its sides, azimuth and elevation of the viewer."""
SEGMENTS = 12
"""Steps of an expert's grid."""
DECADES = 2.5
"""Below the largest error, that the colours tell apart."""
BORDER = 0.1
"""A point is at a border if the second nearest centre is further away by less than this part of the cell's radius."""


@figure("atlases", topic="moe", title="Cells of an affine gate on curved surfaces",
        caption="Above: the cells of the affine gate 2<c_i,x> - |c_i|^2 of one MoE layer on a sphere, a ring torus "
                "and a swiss roll, one linear chart and one expert each; dots are the centres c_i, the points of a "
                "farthest-point net. No point is further than r from the centre of its cell, and r < (sqrt 3 - 1) "
                "reach makes linear charts injective. Below: |f - Psi| of the assembled layer over its largest value, "
                "n = 12 steps an expert, f = sin(4 x_1/s) + cos(3 x_2/s) (1 + x_3/s) with s the size of the surface; "
                "no borders are drawn here. Each cell shows its own triangulation, and what changes from one cell to "
                "the next is its direction. Astray: sent to an expert whose chart does not contain the point. The "
                "table has one row to a cell, with its largest error at the border and away from it: of a sample on "
                "the surface, the second centre less than a tenth of the cell's radius further away than the first, "
                "or more.",
        claims=("moe.ball_assignment", "moe.chart_stretch", "moe.surface_rate", "moe.sheets"))
def atlases(effort):
    """One column per surface."""
    table = {name: [] for name in ("surface", "expert", "x1", "x2", "x3", "injective_below", "radius", "share",
                                   "error_inside", "error_at_border")}
    fig, axes = style.new(2, 3, width=11.6, height=8.4)
    for (above, below), row in zip(axes.T, SURFACES):
        name, manifold, count, low, high, sides, angles = row
        atlas = charts.net_atlas(manifold, count)
        function = partial(_function, size=manifold.size)
        layer = shallow.linear_chart_layer(atlas, function, SEGMENTS)
        sample = points_on(manifold, effort.choose(400, 3000) * count, purpose=1)
        found = assembled_error(layer, function, atlas, sample)
        seen = views.view(manifold, low, high, sides, *angles)
        values, routes = layer.routed(seen.points)
        cells(above, seen, atlas, routes)
        views.show(below, seen, shaded(seen, np.abs(values[:, 0] - function(seen.points)) / found.error))
        allowed = charts.INJECTIVE * manifold.reach
        above.set_title(rf"{name}: $E = {count}$, $r = {atlas.radius:.2f} < (\sqrt{{3}}-1)\,\tau = {allowed:.2f}$")
        below.set_title(rf"$\sup|f - \Psi| = {scientific(found.error)}$, {found.misrouted} of {found.points} astray")
        for column, values in zip(table, (np.full(count, name), np.arange(count), *atlas.centres.T,
                                          np.full(count, allowed), *_by_cell(atlas, layer, function, sample)),
                                  strict=True):
            table[column].append(values)
    fig.colorbar(ScalarMappable(matplotlib.colors.Normalize(-DECADES, 0.0), "cividis"), ax=axes[1], location="bottom",
                 label=r"$\log_{10} (|f(x) - \Psi(x)|\, /\, \sup|f - \Psi|)$", shrink=0.5, aspect=45, extend="min",
                 pad=0.02)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


def _function(points, size):
    first, second, third = points.T / size
    return np.sin(4 * first) + np.cos(3 * second) * (1 + third)


def cells(axes, seen, atlas, routes, dimmed=None) -> None:
    """Draw who serves whom: the colours of cells, the borders between them, the centres in sight.

    Parameters
    ----------
    axes : Axes
    seen : View
    atlas : Atlas
    routes : ndarray of int, shape (n,)
        The expert of every point that is shown.
    dimmed : ndarray of bool, shape (n,), optional
        Points to draw dark; the borders are then those of the exact gate.
    """
    exact = routes
    if dimmed is not None:                                                      # in parts: a point has E logits
        exact = np.concatenate([atlas.route(part) for part in np.array_split(seen.points, len(routes) // 4096 + 1)])
    colours = views.tints(seen.touching(exact), len(atlas.centres))[routes]
    if dimmed is not None:
        colours = colours * np.where(dimmed[:, None], 0.25, 1.0)
    views.show(axes, seen, seen.image(colours, exact))
    place = seen.project(atlas.centres)[seen.sees(atlas.centres, facing=0.2)]
    axes.plot(place[:, 0], place[:, 1], ".", color=style.COLORS[0], markersize=2.5)


def shaded(seen, sizes, decades=DECADES) -> np.ndarray:
    """An image of numbers in (0, 1] on a surface, by their decimal logarithms; those far below 1 are the darkest."""
    colours = matplotlib.colormaps["cividis"](1 + np.log10(np.maximum(sizes, 1e-9)) / decades)[:, :3]
    picture = seen.image(colours)
    picture[seen.mask, :3] = 0.5 * picture[seen.mask, :3] + 0.5 * colours          # little shade: colours are numbers
    return picture


def scientific(value) -> str:
    """A positive number with two digits, for TeX."""
    digits, power = f"{value:.1e}".split("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}"


def _by_cell(atlas, layer, function, sample):
    """For every cell its radius and share of a sample, and its largest error inside and at the border."""
    away, nearest = cKDTree(atlas.centres).query(sample, k=2)
    routes, count = nearest[:, 0], len(atlas.centres)
    miss = np.abs(layer(sample)[:, 0] - function(sample))
    radius, inside, border = np.zeros((3, count))
    np.maximum.at(radius, routes, away[:, 0])
    beside = away[:, 1] - away[:, 0] < BORDER * radius[routes]
    np.maximum.at(inside, routes[~beside], miss[~beside])
    np.maximum.at(border, routes[beside], miss[beside])
    return radius, np.bincount(routes, minlength=count) / len(sample), inside, border
