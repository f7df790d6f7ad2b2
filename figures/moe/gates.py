"""Gates that are wrong by a little: exact assignment up to half the margin of the features, and none beyond."""

import math

import numpy as np

from ...theory.moe import charts, gates, shallow
from ...theory.moe.manifolds import circle
from .. import style
from ..figure import Drawing, figure

COUNT, WIDTH = 8, 32
"""E and m."""


@figure("gate_noise", topic="moe", title="How wrong a gate may be",
        caption="A circle with E = 8 arcs, features tau_i = relu(<c_i,x> - cos w) in the first of two layers, w = "
                "1.2, 1.6 and 2 times pi/E, half an arc, and experts of 32 neurons for sin 5 x_1 + cos 3 x_2. The "
                "features are wrong by at most eps, in the worst direction: those of two neighbours eps less, all "
                "others eps more; every pair is tried. Left: share of points that some pair sends to an arc where "
                "they are not. Right: the largest error of the network. Up to eps = delta/2, delta = min_x max_i "
                "tau_i(x), no point is sent astray; just after it errors are of the size of the function itself. The "
                "experts interpolate on the whole supports, which overlap, so below the threshold a wrong gate "
                "exchanges one interpolant for another.",
        claims=("moe.feature_tolerance", "moe.two_layer_form", "moe.partition_margin"))
def gate_noise(effort):
    """Every pair of neighbours at every size of the error."""
    count = effort.choose(1600, 16_000)
    points = circle().embed(2 * math.pi / count * np.arange(count)[:, None])
    wanted = _function(points)
    ratios = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.96, 0.99, 1.01, 1.04, 1.1, 1.2, 1.4, 1.6, 1.8])
    table = {name: [] for name in ("width_of_caps", "eps_over_half_delta", "astray", "error")}
    fig, (left, right) = style.new(1, 2, width=10.0, height=4.1, sharex=True)
    for place, width in enumerate((1.2, 1.6, 2.0)):
        half, astray, errors = _swept(width, ratios, points, wanted)
        marks = style.measurement(place, markersize=5 + 2.5 * place, markerfacecolor="none")
        for panel, values in ((left, astray), (right, errors)):
            panel.plot(ratios, values, **marks, label=rf"$w = {width:g}\,\pi/E$, $\delta = {2 * half:.3f}$")
        for column, values in zip(table, (np.full(len(ratios), width), ratios, astray, errors), strict=True):
            table[column].append(np.asarray(values))
    for panel in (left, right):
        panel.axvline(1.0, **style.theory(0, linestyle=(0, (5, 2)), linewidth=1.1))
        panel.set(xlabel=r"error of the features, $\varepsilon\,/\,(\delta/2)$")
    left.annotate(r"$\varepsilon = \delta/2$", (1.0, left.get_ylim()[1]), xytext=(-4, -10),
                  textcoords="offset points", ha="right", fontsize=9)
    left.set(ylabel="share of points sent astray", title=f"assignment, $E = {COUNT}$ arcs of a circle")
    left.legend(loc="center left")
    right.set(ylabel=r"$\sup|f - \Psi|$", yscale="log", title=f"the network, $E = {COUNT}$ experts of {WIDTH} neurons")
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


def _swept(width, ratios, points, wanted):
    """delta/2, and by ratio the share of points astray and the largest error."""
    cap = math.cos(width * math.pi / COUNT)
    atlas = _atlas(width)
    layer = shallow.linear_chart_layer(atlas, _function, WIDTH)
    features = gates.cap_features(atlas.centres, cap)(points)
    half = gates.tolerance(features)
    astray, errors = [], []
    for ratio in ratios:
        wrong, worst = False, 0.0
        for first in range(COUNT):
            near = np.isin(np.arange(COUNT), [first, (first + 1) % COUNT])
            network = shallow.two_layer_form(layer, atlas, cap, ratio * half * np.where(near, -1.0, 1.0))
            values, routes = network.routed(points)
            wrong = wrong | (features[np.arange(len(wanted)), routes[:, 1]] <= 0)
            worst = max(worst, np.abs(values[:, 0] - wanted).max())
        astray.append(np.mean(wrong))
        errors.append(worst)
    return half, astray, errors


def _function(points):
    return np.sin(5 * points[:, 0]) + np.cos(3 * points[:, 1])


def _atlas(width):
    """Equal arcs whose boxes are the supports of the features: `width` half arcs to each side."""
    arcs = charts.curve_atlas(circle(), COUNT)
    high = np.full((COUNT, 1), math.sin(width * math.pi / COUNT))
    return arcs.boxed(-high, high)
