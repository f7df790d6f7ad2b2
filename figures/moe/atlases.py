"""Atlases of linear charts: the cells of an affine gate on curved surfaces, and how wrong the experts are on them."""

import math

import matplotlib.colors
import numpy as np
from matplotlib.cm import ScalarMappable
from scipy.spatial import cKDTree

from ...sims.moe.samples import points_on
from ...theory.moe import charts, shallow
from ...theory.moe.manifolds import RingTorus, Sphere, SwissRoll
from ...theory.moe.nets import nearest
from .. import style
from ..figure import Drawing, figure
from . import views

SURFACES = (("sphere", Sphere(), 24, (0.0, 0.0), (2 * math.pi, math.pi), (2200, 1100), (30, 25)),
            ("ring torus", RingTorus(), 150, (0.0, 0.0), (2 * math.pi, 2 * math.pi), (2200, 760), (30, 38)),
            ("swiss roll", SwissRoll(), 144, (SwissRoll.first, 0.0), (SwissRoll.last, 10.0), (3900, 480), (-66, 17)))
"""Name, manifold, experts, box of parameters and points along its sides, azimuth and elevation of the viewer."""
SEGMENTS = 12
"""Steps of an expert's grid."""
DECADES = 2.5
"""Below the largest error, that the colours tell apart."""


@figure("atlases", topic="moe", title="Cells of an affine gate on curved surfaces",
        caption="Above: the cells of the affine gate 2<c_i,x> - |c_i|^2 of one MoE layer on a sphere, a ring torus "
                "and a swiss roll, one linear chart and one expert each; dots are the centres c_i, the points of a "
                "farthest-point net. All cells are smaller than (sqrt 3 - 1) reach, below which linear charts are "
                "injective. Below: |f - Psi| of the assembled layer over its largest value, n = 12 steps an expert, f "
                "= sin(4 x_1/s) + cos(3 x_2/s) (1 + x_3/s) with s the size of the surface. Each cell shows its own "
                "triangulation; there is no seam of larger errors between cells, for no point is sent to a wrong "
                "chart. The table has one row to a cell.",
        claims=("moe.ball_assignment", "moe.chart_stretch", "moe.surface_rate", "moe.sheets"))
def atlases(effort):
    """One column per surface."""
    table = {name: [] for name in ("surface", "expert", "x1", "x2", "x3", "radius", "injective_below", "share",
                                   "error")}
    fig, axes = style.new(2, 3, width=11.6, height=8.6)
    for (above, below), row in zip(axes.T, SURFACES):
        name, manifold, count, low, high, sides, angles = row
        cloud = points_on(manifold, effort.choose(400, 3000) * count, purpose=1)
        atlas = charts.net_atlas(manifold, count)
        layer = shallow.linear_chart_layer(atlas, lambda points, s=manifold.size: _function(points / s), SEGMENTS)
        seen = views.view(manifold, low, high, sides, *angles)
        values, routes = layer.routed(seen.points)
        views.show(above, seen, seen.image(views.tints(neighbours(atlas, cloud), count)[routes], routes))
        place = seen.project(atlas.centres)[seen.sees(atlas.centres, 0.03 * manifold.size)]
        above.plot(place[:, 0], place[:, 1], ".", color=style.COLORS[0], markersize=2.5)
        miss = np.abs(values[:, 0] - _function(seen.points / manifold.size))
        radius, share, error = _cells(atlas, layer, cloud)
        largest = max(error.max(), miss.max())
        views.show(below, seen, shaded(seen, miss / largest, routes))
        allowed = charts.INJECTIVE * manifold.reach
        above.set_title(f"{name}: E = {count}, cells of radius {radius.max():.2f} < {allowed:.2f}")
        below.set_title(f"largest error {largest:.1e}")
        for column, values in zip(table, (np.full(count, name), np.arange(count), *atlas.centres.T, radius,
                                          np.full(count, allowed), share, error), strict=True):
            table[column].append(values)
    fig.colorbar(ScalarMappable(matplotlib.colors.Normalize(-DECADES, 0.0), "cividis"), ax=axes[1], location="bottom",
                 label=r"$\log_{10} (|f(x) - \Psi(x)|\, /\, \sup|f - \Psi|)$", shrink=0.5, aspect=45, extend="min",
                 pad=0.02)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


def _function(points):
    return np.sin(4 * points[:, 0]) + np.cos(3 * points[:, 1]) * (1 + points[:, 2])


def shaded(seen, sizes, labels=None, decades=DECADES) -> np.ndarray:
    """An image of numbers in (0, 1] on a surface, by their decimal logarithms; those far below 1 are the darkest."""
    colours = matplotlib.colormaps["cividis"](1 + np.log10(np.maximum(sizes, 1e-9)) / decades)[:, :3]
    picture = seen.image(colours, labels)
    picture[seen.mask, :3] = 0.5 * picture[seen.mask, :3] + 0.5 * colours          # little shade: colours are numbers
    return picture


def neighbours(atlas, cloud) -> list:
    """Pairs of cells that touch, from points that are dense in them."""
    routes = atlas.route(cloud)
    beside = routes[cKDTree(cloud).query(cloud, k=5)[1][:, 1:]]
    pairs = np.unique(np.stack([np.repeat(routes, 4), beside.ravel()], axis=1), axis=0)
    return [(one, other) for one, other in pairs.tolist() if one != other]


def _cells(atlas, layer, cloud):
    """For every cell its radius, its share of the sample and its largest error there."""
    away, routes = nearest(cloud, atlas.centres)
    count, size = len(atlas.centres), atlas.manifold.size
    miss = np.abs(layer(cloud)[:, 0] - _function(cloud / size))
    radius, error = np.zeros(count), np.zeros(count)
    np.maximum.at(radius, routes, away)
    np.maximum.at(error, routes, miss)
    return radius, np.bincount(routes, minlength=count) / len(cloud), error
