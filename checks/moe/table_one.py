"""Claims about dense peers: what Table 1 compares, and what remains of it for the same construction without a gate.

Both columns of the table are upper bounds.  That of dense networks has the dimension of the space in it; the networks
below have the intrinsic rate too.  What remains is the number of parameters that one point uses.
"""

import math
from functools import cache

import numpy as np

from ...sims.moe.samples import assembled_error, orthonormal_frame, points_on, sup_error
from ...theory.moe import charts, gates, shallow
from ...theory.moe.dense import chord_network, dense_width
from ...theory.moe.manifolds import Embedded, circle
from ...theory.moe.model import MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE
from .rates import blind, reported, smooth

COUNTS = (1, 4, 16, 64)
"""E, squares of integers, so that a square divides into them."""
CIRCLES = (4, 8, 16)
"""E on the circle."""


@claim("dense_on_circle", topic="moe", paper=MOE, where="Table 1, dense", stance="derived",
       statement="dense net of 2n neurons on a circle in R^D, any D: error -> h^3/(72 sqrt 3) max|f'+f'''|, h = 2 pi/n")
def dense_on_circle(effort):
    """f = sin 5 x_1 + cos 3 x_2, n = 128 .. 512, D = 2, 16, 128: the same values in all to rounding.

    With L f = f' + f''' and w the solution of L w = 1 that is 0 at three nodes, ``t - (h/2) sin t/sin(h/2)`` from the
    middle one, the error at t is ``w(t) L f(s)`` for some s in the piece (Polya).  So error/(max|w| max|L f|) is at
    most 1, and where the piece of the largest |L f| has its largest |w| at least ``1 - h^2 max|(L f)''|/(2 max|L f|)``:
    2 places in each piece are in the sample.  max|w| is h^3/(72 sqrt 3) (1 + h^2/40 + ..).  Rounding may add 1e-4.
    """
    return _dense(effort, lambda derivatives: derivatives[1] + derivatives[3])


@dense_on_circle.control("max|f'''|: as if the pieces were parabolas in the angle")
def _(effort):
    return _dense(effort, lambda derivatives: derivatives[3])


@dense_on_circle.control("the table's entry read as a rate: m^-1/2, from n = 128 on")
def _(effort):
    return _dense(effort, lambda derivatives: derivatives[1] + derivatives[3], power=0.5)


@claim("table_one_separation", topic="moe", paper=MOE, where="Table 1", stance="derived",
       statement="kappa(f) = 1, circle in R^16: dense nets have order >= kappa/d ^ 1/2 too, not kappa/D = 1/16")
def table_one_separation(effort):
    """Dense networks of one hidden layer against 4 experts, f of class C^1 with jumps of f''; m = 16 .. 256 neurons.

    The table's bound for dense networks, m^-1/16 here, is true and far from what they do, so the two columns do not
    separate the classes.
    """
    (widths, dense), (_, mixed) = _kinked_errors(effort).values()
    parts = {name: judges.order(1 / widths, errors, 0.5, 0.05, at_least=True)
             for name, errors in (("dense", dense), ("MoE", [case.error for case in mixed]))}
    return reported(parts, {f"MoE, m={width}": case for width, case in zip(widths, mixed, strict=True)})


@table_one_separation.control("the dense entry read as an order: kappa/D = 1/16")
def _(effort):
    widths, errors = _kinked_errors(effort)["dense"]
    return judges.order(1 / widths, errors, 1 / 16, 0.05)


@table_one_separation.control("a dense network that sees one coordinate of the circle only")
def _(effort):
    widths, errors = _blind_errors(effort)
    return judges.order(1 / widths, errors, 0.5, 0.05, at_least=True)


@claim("active_parameters", topic="moe", paper=MOE, where="Sec. 4, after Table 1", stance="derived",
       statement="equal active width: dense error / MoE error = E^(2/d) on [0,1]^d, d = 1, 2; E^3 on S^1")
def active_parameters(effort):
    """E = 1 .. 64 (circle: 4 .. 16); splines, Kuhn interpolants, chord networks; in R^8, behind the gate.

    So at equal error the active width falls by the factor E.  With the gate's parameters counted (entries of matrices
    and biases), a dense network on the interval may have m' > m neurons, and the ratio is (E m/m')^2.  2 %: the largest
    derivative moves with the nodes, and the next term.
    """
    return _factors(effort, {"interval": 2.0, "gate counted": 2.0, "square": 1.0, "circle": 3.0})


@active_parameters.control("E^(1/d) times the error: the gain of experts of order 1")
def _(effort):
    return _factors(effort, {"interval": 1.0, "gate counted": 1.0, "square": 0.5, "circle": 1.0})


@active_parameters.control("no gain: ratio 1")
def _(effort):
    return _factors(effort, {"interval": 0.0, "gate counted": 0.0, "square": 0.0, "circle": 0.0})


@claim("equal_totals", topic="moe", paper=MOE, where="Table 1, totals", stance="derived",
       statement="E experts of m neurons on E cells of [0,1] in R^D = one dense net of E m, E(D+2)-1 parameters fewer")
def equal_totals(effort):
    """D = 8, E = 4, 16, 64, m = 32: equal functions to rounding.  In totals nothing is gained; the gate comes on top.

    Parameters are the entries of the matrices and biases: E (D + 1) of the gate, and the experts have E constants where
    the dense network has one.  The dense peer with as many parameters as the mixture is at least as wide as E m.
    """
    return _totals(effort)


@equal_totals.control("one expert with one neuron less")
def _(effort):
    return _totals(effort, missing=1)


@equal_totals.control("as many parameters, but for the gate: E(D+1) fewer")
def _(effort):
    return _totals(effort, fewer=lambda count, inputs: count * (inputs + 1))


def _profile(angle):
    return smooth(np.stack([np.cos(angle), np.sin(angle)], axis=-1))


def _kinked(angle):
    """C^1; jumps of f'' at 2 pi/3 and 5 pi/3: a third of a step from a node if n is a power of 2."""
    inner = (angle - 2 * math.pi / 3) % (2 * math.pi) - math.pi
    return inner * (np.abs(inner) - math.pi) + np.cos(angle)


@cache
def _derivatives():
    """Derivatives 0 .. 5 of the profile on a fine grid, by the Fourier series: it is analytic."""
    size = 8192
    wave = 1j * np.fft.fftfreq(size, 1 / size)
    series = np.fft.fft(_profile(2 * math.pi * np.arange(size) / size))
    series[np.abs(wave) > 200] = 0
    return [np.fft.ifft(wave**order * series).real for order in range(6)]


def chord_law(step) -> float:
    """``h^3 max|f' + f'''| / (72 sqrt 3)``, what chords h apart err by to leading order, f = sin 5 x_1 + cos 3 x_2."""
    derivatives = _derivatives()
    return step**3 / (72 * math.sqrt(3)) * float(np.abs(derivatives[1] + derivatives[3]).max())


def _dense(effort, combined, power=None):
    sizes, largest = np.array([128, 192, 256, 384, 512]), np.abs(combined(_derivatives())).max()
    drop = np.abs(combined([*_derivatives()[2:], 0.0, 0.0])).max() / (2 * largest)
    sample = points_on(circle(), effort.choose(20_000, 400_000), seed=11)
    errors, parts = [], {}
    steps = 2 * math.pi / sizes
    places = np.arccos(np.sin(steps / 2) / (steps / 2))
    shapes = np.abs(places - steps / 2 * np.sin(places) / np.sin(steps / 2))
    for size, place in zip(sizes, places, strict=True):
        nodes = np.linspace(0, 2 * math.pi, size + 1)
        middles = (nodes[1:] + nodes[:-1]) / 2
        points = np.concatenate([sample, circle().embed(np.concatenate([middles - place, middles + place])[:, None])])
        values = chord_network(_profile, nodes)(points)[:, 0]
        errors.append(np.abs(values - _profile(circle().parameters(points)[:, 0])).max())
        if size == sizes[0]:
            others = []
            for ambient in (16, 128):
                frame = orthonormal_frame(ambient, 2)
                others.append(chord_network(_profile, nodes, frame)(points @ frame.T)[:, 0])
            parts["D"] = judges.equal(others, np.broadcast_to(values, (2, len(values))), atol=1e-9)
    predicted = shapes * largest
    if power is not None:
        predicted = errors[0] * (sizes / sizes[0]) ** -power
    ratio = np.array(errors) / predicted
    parts["at most"] = judges.inequality(ratio, 1.0, rtol=1e-4, at={"n": sizes})
    parts["at least"] = judges.inequality(1 - drop * steps**2, ratio, at={"n": sizes})
    return judges.every(**parts)


@cache
def _kinked_errors(effort):
    """Widths, errors of dense chord networks and how four experts did, in R^16."""
    frame = orthonormal_frame(16, 2)
    manifold = Embedded(circle(), frame)
    atlas, sample = charts.curve_atlas(manifold, 4), points_on(manifold, effort.choose(20_000, 200_000), seed=12)
    widths = np.array([16, 32, 64, 128, 256])

    def function(points):
        return _kinked(manifold.parameters(points)[:, 0])

    dense = [sup_error(chord_network(_kinked, np.linspace(0, 2 * math.pi, width // 2 + 1), frame), function, manifold,
                       sample) for width in widths]
    mixed = [assembled_error(shallow.linear_chart_layer(atlas, function, int(width)), function, atlas, sample)
             for width in widths]
    return {"dense": (widths, dense), "MoE": (widths, mixed)}


def _blind_errors(effort):
    sample, widths = points_on(circle(), effort.choose(20_000, 200_000), seed=12), np.array([16, 32, 64, 128, 256])
    wanted, atlas = _kinked(circle().parameters(sample)[:, 0]), charts.curve_atlas(circle(), 4)
    return widths, [np.abs(blind(atlas, _kinked, width)(sample)[:, 0] - wanted).max() for width in widths]


def ratios(effort) -> dict:
    """Dense over MoE errors: dict of (gains, ratios), a gain E at equal active width, E m/m' at equal parameters."""
    return _ratios(effort)[0]


@cache
def _ratios(effort):
    """The ratios, and how the mixtures of most experts did."""
    found, most = {}, {}
    for name, dimension, segments in (("interval", 1, 128), ("square", 2, 24)):
        frame = orthonormal_frame(8, dimension)
        errors, rivals = [], []
        for count in COUNTS:
            atlas = charts.cube_atlas(dimension, count if dimension == 1 else math.isqrt(count), frame)
            sample = points_on(atlas.manifold, effort.choose(20_000, 200_000), seed=13)

            def function(points, frame=frame):
                return np.sin(6 * (points @ frame).sum(axis=1)) + (points @ frame)[:, 0] ** 3

            layer = shallow.linear_chart_layer(atlas, function, segments)
            case = assembled_error(layer, function, atlas, sample, rounds=10)
            errors.append(case.error)
            if dimension == 1:
                width = dense_width(layer.active, 8)
                dense = shallow.linear_chart_layer(charts.cube_atlas(1, 1, frame), function, width)
                rivals.append((count * segments / width, sup_error(dense, function, atlas.manifold, sample, rounds=10)))
        if rivals:
            gains, dense = np.array(rivals).T
            found["gate counted"] = gains, dense / errors
        found[name], most[f"{name}, E={count}"] = (np.array(COUNTS), errors[0] / np.array(errors)), case
    found["circle"], most[f"circle, E={CIRCLES[-1]}"] = _circle_ratios(effort)
    return found, most


def _circle_ratios(effort):
    """Chord networks of about 2 n = 256 neurons: dense on the circle, and on each of E arcs."""
    counts, size = np.array(CIRCLES), 128
    frame = orthonormal_frame(8, 2)
    manifold = Embedded(circle(), frame)
    sample = points_on(manifold, effort.choose(40_000, 400_000), seed=14)

    def function(points):
        return _profile(manifold.parameters(points)[:, 0])

    mixed = []
    for count in counts:
        half = math.pi / count
        experts = [chord_network(_profile, 2 * half * place + np.linspace(-half, half, size + 1), frame)
                   for place in range(count)]
        gate = gates.cone_gate(manifold.embed(2 * half * np.arange(count)[:, None]))
        case = assembled_error(MoELayer(gate, experts), function, charts.curve_atlas(manifold, count), sample, 10)
        mixed.append(case.error)
    dense = chord_network(_profile, np.linspace(0, 2 * math.pi, size + 1), frame)
    return (counts, sup_error(dense, function, manifold, sample, rounds=10) / np.array(mixed)), case


def _factors(effort, orders):
    found, most = _ratios(effort)
    return reported({name: judges.equal(ratio / gains ** orders[name], 1.0, rtol=0.02, at={"gain": gains})
                     for name, (gains, ratio) in found.items()}, most)


def _totals(effort, missing=0, fewer=lambda count, inputs: count * (inputs + 2) - 1):
    frame, width, parts = orthonormal_frame(8, 1), 32, {}

    def function(points):
        return np.sin(6 * (points @ frame)[:, 0])

    for count in (4, 16, 64):
        atlas = charts.cube_atlas(1, count, frame)
        sample = points_on(atlas.manifold, effort.choose(20_000, 200_000), seed=15)
        layer = shallow.linear_chart_layer(atlas, function, width)
        if missing:
            narrow = shallow.linear_chart_layer(atlas, function, width - missing).experts[0]
            layer = MoELayer(layer.gate, (narrow, *layer.experts[1:]))
        dense = shallow.linear_chart_layer(charts.cube_atlas(1, 1, frame), function, width * count).experts[0]
        wider = dense_width(layer.parameters, 8)
        parts[f"E={count}"] = judges.every(
            values=judges.equal(layer(sample), dense(sample), atol=1e-10),
            width=judges.inequality(dense.width, wider),
            parameters=judges.equal(layer.parameters - dense.parameters, fewer(count, 8)))
    return judges.every(**parts)
