"""Rates: errors that know the dimension of the manifold and the smoothness of the function, not the space around."""

import math

import numpy as np

from ...checks.moe import rates, table_one
from ...sims.moe.samples import orthonormal_frame, points_on
from ...theory.moe import charts, gates, shallow
from ...theory.moe.dense import chord_network
from ...theory.moe.manifolds import Embedded, circle
from ...theory.moe.model import MoELayer
from .. import style
from ..figure import Drawing, figure

AMBIENT = (2, 16, 128, 1024)
EXPERTS = (4, 8, 16, 32)


def _function(points):
    return np.sin(5 * points[:, 0]) + np.cos(3 * points[:, 1])


def _profile(angle):
    return _function(circle().embed(np.reshape(angle, (-1, 1))))


@figure("ambient_dimension", topic="moe", title="Error against width, whatever the space around",
        caption="Left: sup error of one MoE layer with E = 4 linear charts of a circle in R^D, m neurons an expert, "
                "for sin 5 x_1 + cos 3 x_2. The four values of D fall on one another, and on the law h^2/8 max|g''|, "
                "h the step in the chart (line); dotted: the bound m^-1/2 of Cor. 4.9, through the first point. "
                "Right: networks of one hidden layer that join n chords, in R^16, against the parameters that one "
                "point uses: one of them for the whole circle, and one for each of E arcs behind a gate, which counts "
                "16 E. Lines: h^3 max|f' + f'''| / (72 sqrt 3), h = 2 pi/n and 2 pi/(E n). All have order 3, in R^16 "
                "too; at equal n the experts gain E^3, and the gate takes some of it back while it is larger than "
                "they are.",
        claims=("moe.corollary_rate", "moe.circle_error", "moe.dense_on_circle", "moe.active_parameters"))
def ambient_dimension(effort):
    """Networks in ambient coordinates, routing included."""
    sample = points_on(circle(), effort.choose(5_000, 40_000), seed=3)
    wanted = _function(sample)
    table = {name: [] for name in ("experts_are", "D", "E", "neurons", "active", "error", "law")}

    def add(kind, frame, network, law):
        error = np.abs(network(sample @ frame.T)[:, 0] - wanted).max()
        experts = getattr(network, "experts", (network,))
        active = network.active if len(experts) > 1 else network.parameters
        for column, value in zip(table, (kind, len(frame), len(experts), experts[0].width, active, error, law),
                                 strict=True):
            table[column].append(value)

    for ambient in AMBIENT:
        frame = orthonormal_frame(ambient, 2, seed=ambient)
        atlas = charts.curve_atlas(Embedded(circle(), frame), 4)
        for width in (2 ** np.arange(3, 9)).tolist():
            layer = shallow.linear_chart_layer(atlas, lambda points, q=frame: _function(points @ q), width)
            add("splines", frame, layer, _law(4, width))
    frame = orthonormal_frame(16, 2, seed=16)
    for experts in (1, *EXPERTS):
        for chords in (2 ** np.arange(*((5, 10) if experts == 1 else (2, 7)))).tolist():
            add("chords", frame, _chords(experts, chords, frame), table_one.chord_law(2 * math.pi / (experts * chords)))
    columns = {name: np.array(values) for name, values in table.items()}
    fig, (left, right) = style.new(1, 2, width=10.4, height=4.3)
    _left(left, columns)
    _right(right, columns)
    return Drawing(fig, columns)


def _chords(experts, chords, frame):
    """Chord networks on equal arcs behind a gate, or one on the whole circle."""
    if experts == 1:
        return chord_network(_profile, np.linspace(0, 2 * math.pi, chords + 1), frame)
    middles, half = 2 * math.pi / experts * np.arange(experts), math.pi / experts
    networks = [chord_network(_profile, middle + np.linspace(-half, half, chords + 1), frame) for middle in middles]
    return MoELayer(gates.cone_gate(circle().embed(middles[:, None]) @ frame.T), networks)


def _left(axes, columns):
    mine = columns["experts_are"] == "splines"
    first = mine & (columns["D"] == 2)
    m, error = columns["neurons"][first], columns["error"][first]
    axes.plot(m, columns["law"][first], **style.theory(0), label=r"law $h^2 \max|g''|\, /\, 8$")
    style.guide(axes, m, error[0] * (m[0] / m) ** 0.5, "bound, order 1/2")
    for place, ambient in enumerate(AMBIENT):
        here = mine & (columns["D"] == ambient)
        marks = style.measurement(place + 1, markersize=5 + 3.5 * place, markerfacecolor="none")
        axes.plot(columns["neurons"][here], columns["error"][here], **marks, label=f"$D = {ambient}$")
    style.loglog(axes).set(xlabel="neurons of an expert $m$", ylabel=r"$\sup|f - \Psi|$",
                           title="linear charts of a circle in $R^D$, $E = 4$", xlim=(m[0] / 1.3, 3.2 * m[-1]))
    axes.legend(loc="lower left")


def _right(axes, columns):
    for place, experts in enumerate((1, *EXPERTS)):
        here = (columns["experts_are"] == "chords") & (columns["E"] == experts)
        axes.plot(columns["active"][here], columns["law"][here], **style.theory(place, linewidth=1.0))
        axes.plot(columns["active"][here], columns["error"][here], **style.measurement(place),
                  label=f"MoE, $E = {experts}$" if experts > 1 else "one dense network")
    style.loglog(axes).set(xlabel="parameters that one point uses", ylabel=r"$\sup|f - \Psi|$",
                           title="chords of a circle in $R^{16}$, with and without a gate")
    axes.legend(loc="lower left")


def _law(experts, width):
    """h^2/8 max|g''|, g the function in the chart."""
    return (2 * math.sin(math.pi / experts) / width) ** 2 / 8 * rates.curvature(experts)


@figure("intrinsic_rates", topic="moe", title="Rates of dimension and smoothness",
        caption="Flat tori T^d in R^2d, 4^d experts behind one affine gate, N nodes an expert. Left and middle: sup "
                "error for |x - x_0|^(1/2) and for a smooth function (markers), with lines N^(-a/d) through the last "
                "measurement, a = 1/2 and 2. Right: slopes fitted over the larger half of N against d, for Hoelder "
                "exponents 1/2, 1 and smooth functions; lines: -a/d. Dotted: the exponent 1/2 at which the paper's "
                "bounds end.",
        claims=("moe.torus_rate", "moe.corollary_rate"))
def intrinsic_rates(effort):
    """The numbers of the claim."""
    table = {name: [] for name in ("d", "smoothness", "N", "error", "fitted_slope", "predicted_slope")}
    fig, axes = style.new(1, 3, width=12.4, height=4.1)
    kinds = (("Hoelder 1/2", 0.5), ("Hoelder 1", 1.0), ("smooth", 2.0))
    found = rates.torus_table(effort)
    slopes = np.empty((3, len(found)))
    for place, (dimension, (nodes, errors)) in enumerate(found.items()):
        for row, (name, alpha) in enumerate(kinds):
            late = slice(len(nodes) // 2 - 1, None)
            slope = np.polyfit(np.log(nodes[late]), np.log(errors[late, row]), 1)[0]
            slopes[row, place] = slope
            for column, values in zip(table, (dimension, name, nodes, errors[:, row], slope, -alpha / dimension),
                                      strict=True):
                table[column].append(np.broadcast_to(values, nodes.shape))
        for panel, row in zip(axes, (0, 2)):
            law = errors[-1, row] * (nodes / nodes[-1]) ** (-kinds[row][1] / dimension)
            panel.plot(nodes, law, **style.theory(place + 1))
            panel.plot(nodes, errors[:, row], **style.measurement(place + 1), label=f"$d = {dimension}$")
    for panel, row in zip(axes, (0, 2)):
        style.loglog(panel).set(xlabel="nodes of an expert $N$", ylabel=r"$\sup|f - \Psi|$",
                                title=kinds[row][0])
        panel.legend()
    fine, right = np.linspace(0.9, 3.1, 200), axes[2]
    for row, (name, alpha) in enumerate(kinds):
        right.plot(fine, -alpha / fine, **style.theory(row), label=f"{name}: $-{alpha:g}/d$")
        right.plot(list(found), slopes[row], **style.measurement(row))
    style.guide(right, fine[[0, -1]], [-0.5, -0.5])
    right.annotate("the bounds' 1/2", (3.05, -0.53), ha="right", va="top", fontsize=8.5, color="#555555")
    right.set(xlabel="dimension $d$ of the torus in $R^{2d}$", ylabel="slope of log error against log $N$",
              xticks=list(found), title="slopes")
    right.legend(loc="lower right")
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


@figure("active_parameters", topic="moe", title="What experts save: parameters that one point uses",
        caption="Error of a dense network over the error of an MoE, both built alike, in R^8. Squares, triangles and "
                "diamonds: each expert is as wide as the dense network, so the gain is E: splines on an interval, "
                "Kuhn interpolants on a square, chord networks on a circle. Circles: the interval again, the dense "
                "network widened until it has as many parameters as one point uses in the mixture, gate included; the "
                "gain is then E m/m'. Lines: gain^2, gain^(2/d) = gain and gain^3, that is the order of the experts. "
                "The factor E in active parameters is what is left of the comparison in Table 1; in total parameters "
                "nothing is gained.",
        claims=("moe.active_parameters", "moe.equal_totals", "moe.table_one_separation"))
def active_parameters(effort):
    """The numbers of the claim."""
    kinds = (("gate counted", "interval, gate counted", 2.0), ("interval", "interval", 2.0), ("square", "square", 1.0),
             ("circle", "circle, chords", 3.0))
    found = table_one.ratios(effort)
    table = {name: [] for name in ("case", "gain", "ratio", "predicted")}
    fig, axes = style.new(width=6.2, height=4.4)
    for place, (name, label, order) in enumerate(kinds):
        gains, ratio = (np.asarray(values, dtype=float) for values in found[name])
        line = np.geomspace(gains.min(), gains.max(), 50)
        axes.plot(line, line**order, **style.theory(place))
        axes.plot(gains, ratio, **style.measurement(place), label=f"{label}: order {order:g}")
        for column, values in zip(table, (np.full(len(gains), name), gains, ratio, gains**order), strict=True):
            table[column].append(values)
    style.loglog(axes).set(xlabel="gain: $E$, or $E m/m'$ with the gate counted", ylabel="dense error / MoE error")
    axes.legend(loc="upper left")
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})
