"""What depth does: routes over nine tasks from two layers of three experts, and a zigzag folded layer by layer."""

import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure

from ...theory.moe import partition, zigzag
from ...theory.moe.smoothness import PIECES, piecewise_quartic
from .. import style
from ..figure import Drawing, figure
from .atlases import scientific

SEGMENTS = 24
"""m, neurons of an expert."""


def route_colours(first, second) -> np.ndarray:
    """A colour for every route of two layers of three experts: hue by the first, lightness by the second; (N, 3)."""
    hues = np.array([matplotlib.colors.to_rgb(style.PALETTE[name]) for name in ("blue", "red", "green")])
    strength = np.array([0.95, 0.62, 0.32])[second][:, None]
    return 1 - strength * (1 - hues[first])


@figure("routes", topic="moe", title="Nine tasks from two layers of three experts",
        caption="The target of the paper's second experiment, q(x_1) + q(x_2), as an MoE of depth 2: layer l deals "
                "with x_l, its affine gate cuts at 1 and 2 and sends it to one of 3 experts of 24 neurons; colours "
                "are routes (k_1, k_2), hue by the first, lightness by the second. Left: values of the network, "
                "routes as it took them. Right: the unit squares from above, with the route and the largest error in "
                "each: 3 + 3 experts, 3 times 3 combinations, and the error of a square is that of the two experts on "
                "its route.",
        claims=("moe.product_pieces", "moe.warm_up_error", "moe.example_smoothness"))
def routes(effort):
    """One evaluation of the network on a grid; the table has one row to a square."""
    network = partition.warm_up([[piecewise_quartic] * PIECES] * 2, SEGMENTS)
    fine = effort.choose(16, 40) * PIECES
    edges = np.linspace(0, PIECES, fine + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    drawn = Figure(figsize=(11.0, 5.0), layout="constrained")
    left, right = drawn.add_subplot(1, 2, 1, projection="3d"), drawn.add_subplot(1, 2, 2)
    _, taken = network.routed(_pairs(middles))
    height = network(_pairs(edges)).sum(axis=1).reshape(fine + 1, fine + 1)
    colours = route_colours(*taken.T).reshape(fine, fine, 3)
    mesh = np.meshgrid(edges, edges, indexing="ij")
    slopes = [np.diff(height, axis=0)[:, :-1] / edges[1], np.diff(height, axis=1)[:-1] / edges[1]]
    light = (1.0 + 0.9 * slopes[0] + 0.5 * slopes[1]) / np.sqrt(1 + slopes[0] ** 2 + slopes[1] ** 2)
    lit = np.clip(colours * np.clip(0.45 + 0.55 * light, 0, 1)[..., None], 0, 1)
    left.plot_surface(*mesh, height, facecolors=lit, rstride=1, cstride=1, linewidth=0, antialiased=False, shade=False)
    left.set(xlabel="$x_1$", ylabel="$x_2$", xticks=range(4), yticks=range(4),
             zticks=[0, 0.1, 0.2, 0.3])
    left.view_init(42, -128)
    left.set_box_aspect((1, 1, 0.45), zoom=1.0)
    left.set_title(r"values $\Psi_1 + \Psi_2$, coloured by route")
    table = _squares(network, effort.choose(120, 600))
    right.imshow(np.swapaxes(colours, 0, 1), origin="lower", extent=(0, PIECES, 0, PIECES))
    for first, second, error in zip(table["first_expert"], table["second_expert"], table["error"], strict=True):
        right.text(first - 0.5, second - 0.5, f"({first}, {second})\nerror ${scientific(error)}$", ha="center",
                   va="center", fontsize=9, bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 2.5})
    for edge in range(1, PIECES):
        right.axhline(edge, color="white", linewidth=1.2)
        right.axvline(edge, color="white", linewidth=1.2)
    right.grid(visible=False)
    right.set(xlabel="$x_1$", ylabel="$x_2$", xticks=range(4), yticks=range(4), title="routes $(k_1, k_2)$")
    return Drawing(drawn, table)


def _pairs(axis):
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def _squares(network, count):
    points = _pairs((np.arange(PIECES * count) + 0.5) / count)
    values, taken = network.routed(points)
    miss = np.abs(values - piecewise_quartic(points)).sum(axis=1)
    squares = [(first, second) for first in range(PIECES) for second in range(PIECES)]
    inside = [(taken == square).all(axis=1) for square in squares]
    return {"first_expert": np.array([first + 1 for first, _ in squares]),
            "second_expert": np.array([second + 1 for _, second in squares]),
            "share": np.array([here.mean() for here in inside]),
            "error": np.array([miss[here].max() for here in inside])}


@figure("zigzag", topic="moe", title="A zigzag folded layer by layer",
        caption="One layer of three affine experts behind an affine gate, repeated: depth L gives 3^L pieces on [0, "
                "1]. Colour: the expert of the last layer; lines behind: the zigzag itself. Bottom right: fewest "
                "affine pieces, jumps allowed, that come closer than 1/2 to it (greedy, exact on samples) against the "
                "bound (n + 1)/2, n = 3^L: that many affine experts one layer needs. L layers hold 3 L "
                "experts if each has its own, and 3 in all if layers are tied, as they are in the panels before.",
        claims=("moe.zigzag_pieces", "moe.depth_separation"))
def folded(effort):
    """Three depths in panels of their own, and the price of one layer."""
    table = {name: [] for name in ("panel", "depth", "x", "value", "expert")}
    fig, axes = style.new(2, 2, width=10.4, height=5.4)
    fine = np.linspace(0, 1, 2001)
    for depth, panel in zip((1, 2, 3), axes.flat, strict=False):
        network, count = zigzag.zigzag(3, depth), (90, 162, 270)[depth - 1]
        x = (np.arange(count) + 0.5) / count
        values, taken = network.routed(x[:, None])
        panel.plot(fine, zigzag.zigzag_values(fine, 3**depth), color=style.GREY, linewidth=0.7)
        for expert in range(3):
            mine = taken[:, -1] == expert
            panel.plot(x[mine], values[mine, 0], linestyle="none", marker=style.MARKERS[expert], markersize=3.4,
                       color=style.COLORS[expert + 1], label=f"expert {expert + 1}")
        panel.set(title=f"$L = {depth}$: {3**depth} pieces", xlabel="$x$", ylabel=r"$\Psi(x)$", ylim=(-0.2, 1.06))
        _append(table, "values", depth, x, values[:, 0], taken[:, -1] + 1)
    axes[0, 0].legend(loc="lower center", ncols=3)
    depths = np.arange(1, effort.choose(6, 8))
    samples = np.array([_greedy(3**depth) for depth in depths])
    last = axes[1, 1]
    last.plot(depths, [zigzag.fewest_pieces(3**depth) for depth in depths.tolist()], **style.theory(0),
              label="one layer: $(3^L + 1)/2$, bound")
    last.plot(depths, samples, **style.measurement(1), label="one layer: greedy count")
    last.plot(depths, 3 * depths, **style.theory(2), label="$L$ layers, untied: $3L$")
    last.plot(depths, np.full(len(depths), 3), **style.theory(3), label="$L$ layers, tied: 3")
    last.set(yscale="log", xlabel="depth $L$", ylabel="affine experts", xticks=depths, ylim=(1.6, None),
             title="experts for an error below 1/2")
    last.legend(loc="upper left")
    _append(table, "greedy", depths, 3.0**-depths, samples, np.zeros(len(depths), dtype=int))
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


def _greedy(pieces):
    """Samples at the extremes and in the middles between them are enough: in between everything is affine."""
    x = np.arange(2 * pieces + 1) / (2 * pieces)
    return zigzag.greedy_pieces(x, zigzag.zigzag_values(x, pieces), 0.5 - 1e-9)


def _append(table, panel, depth, x, value, expert):
    for column, values in zip(table, (panel, depth, x, value, expert), strict=True):
        table[column].append(np.broadcast_to(values, np.shape(x)))
