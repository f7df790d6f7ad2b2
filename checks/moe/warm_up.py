"""Claims about the warm-up on [0, E]^L: splines behind affine gates, with jumps between the cells.

Target: ``f_{l,i}(z) = c + a sin(w z + b)`` on the i-th interval of coordinate l, with c in [-3, 3], a in [1/2, 3/2],
w in [1, 4] and b drawn from their own stream.  Every coordinate runs through the same equally spaced values, each in
another order, so that the largest error over the points is the largest over all intervals of all coordinates.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from ...sims import streams
from ...theory.moe import exact, partition
from ...theory.moe.experts import spline_expert
from ...theory.moe.identities import unrolled_deep
from ...theory.moe.model import DenseNetwork, MoE, MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE

EXPERTS, DEPTHS = 3, (1, 2, 3, 4)
WIDTHS = 2 ** np.arange(3, 9)
PER_CELL = 2**13
"""Sampled values of a coordinate in each interval: 32 or more in each segment of a spline."""
STRIDES = (1, 5003, 7001, 11003)
"""Primes; coordinate l takes its values in steps of the l-th."""
CAREFUL = 1e-12
"""How near to a jump it is looked at: a spline that crosses it over 2/m^2 has moved by less than 1e-5 of it there."""


@dataclass(frozen=True)
class Wave:
    """``c + a sin(w z + b)``."""

    level: float
    size: float
    rate: float
    phase: float

    def __call__(self, z):
        return self.level + self.size * np.sin(self.rate * z + self.phase)

    def curvature(self, left):
        """The largest second derivative on an interval of length 1."""
        z = np.linspace(left, left + 1, 1001)
        return np.abs(self.size * self.rate**2 * np.sin(self.rate * z + self.phase)).max()


@claim("warm_up_error", topic="moe", paper=MOE, where="Thm 5.3", stance="reconstructed",
       statement="E^L pieces with jumps, depth L: |f - Psi| = max over (l, i) of expert (l, i)'s error, ~ m^-2")
def warm_up_error(effort):
    """L = 1 to 4, E = 3, routing included; below ``max |f''| h^2/8``; with linear gates and depth 2 L as well.

    The theorem's bound has the exponent min(kappa, 1/2), which -2 respects.  The margin on the slope, 0.03, is set.
    """
    return _rates(lambda errors: errors.max())


@warm_up_error.control("the sum over l in place of the maximum")
def _(effort):
    return _rates(lambda errors: errors.max(axis=1).sum())


@warm_up_error.control("experts of one coordinate exchanged")
def _(effort):
    return _rates(lambda errors: errors.max(), exchange=True)


@warm_up_error.control("the rate m^(-1/2) of the printed bound as the rate itself")
def _(effort):
    return _slope([_measured(2, int(m)) for m in WIDTHS], -0.5)


@claim("warm_up_width", topic="moe", paper=MOE, where="Thm 5.3", stance="amended",
       statement="experts of layer l have width m + (L - l) + 2 (l - 1): m neurons for f_{l,i}, the others hand x on")
def warm_up_width(effort):
    """f_{l,i}(z) = z - 3/2, which one neuron computes, so E_{2,1}(f_{l,i}) = 0: exact, of rank L in every cell.

    Experts whose whole width is m < L give finitely many pieces of dimension at most m, which do not cover [0, E]^L:
    their error is positive.  (Unless the omega in m >= Omega(E) hides L, of which it says nothing.)
    """
    return judges.every(*[_handed_on(depth, lambda network: network) for depth in DEPTHS])


@warm_up_width.control("one neuron fewer in the experts of the last layer")
def _(effort):
    return judges.every(*[_handed_on(depth, lambda network: _narrowed(network, 1)) for depth in DEPTHS[1:]])


@warm_up_width.printed("experts of width m, for any L > m, reach max E_{2,m}(f_{l,i})")
def _(effort):
    """Experts of width m = 3 in 2 L layers on R^L, L = 5, with positive weights, so that every neuron is active and no
    rank is lost that could be kept: the largest rank over 100 points."""
    inputs, width = 5, 3
    network = exact.Rational(MoE([_random_layer(place, inputs, width) for place in range(2 * inputs)]))
    points = np.abs(_normals("points", 100, inputs))
    return judges.equal(max(network.piece(map(float, point)).rank for point in points), inputs, over="rank of a piece")


@claim("continuous_networks_jump", topic="moe", paper=MOE, where="Sec. 5.2", stance="derived",
       statement="where f jumps by J every continuous network errs by >= J/2, at any width; the mixture does not")
def continuous_networks_jump(effort):
    """Dense splines that cross every jump halfway, the steeper the wider: as near to J/2 as continuous functions come.

    J is the largest of the jumps.  The bound is judged to 1e-4, ten times what a spline moves before it is looked at.
    """
    jump, widths = _largest_jump(), (48, 192, 768, 3072)
    errors = [_jump_error(_crossing(width)) for width in widths]
    return judges.every(bound=judges.inequality(np.full(len(widths), jump / 2), errors, rtol=1e-4, at={"m": widths}),
                        sharp=judges.equal(errors[-1], jump / 2, rtol=0.01))


@continuous_networks_jump.control("a mixture, 64 neurons in each of its experts")
def _(effort):
    jump = _largest_jump()
    return judges.inequality(jump / 2, _jump_error(partition.warm_up([_waves()[0]], 64)), rtol=1e-4)


@continuous_networks_jump.control("the whole jump, J in place of J/2")
def _(effort):
    return judges.inequality(_largest_jump(), _jump_error(_crossing(3072)), rtol=1e-4)


@claim("division_of_labour", topic="moe", paper=MOE, where="Sec. 5, remarks", stance="derived",
       statement="f_{l,i} = sin 2 pi z + i, E = 2, 3, 5, L = 1, 2, 3: error pi^2/(2 m^2) (1 + O(m^-2)), no wrong route")
def division_of_labour(effort):
    """The paper's remark in one example: m alone sets the accuracy, gates assign at any m, E and L count subtasks.

    An arc of the sine of length h = 1/m at its top has second derivatives down to ``cos(2 pi h)`` of the largest one,
    so the error is ``h^2/8`` times something in ``4 pi^2 [1 - (2 pi h)^2/2, 1]``; m = 4, 16, 64 have nodes at the tops.
    m = 1 has none but zeros, and all the same no wrong route.
    """
    return _labour()


@division_of_labour.control("gates whose bias is off by a tenth")
def _(effort):
    return _labour(change=_tilted)


@division_of_labour.control("sin 2 pi i z on the i-th interval: an error that depends on the subtasks")
def _(effort):
    return _labour(frequency=lambda i: i + 1)


@division_of_labour.control("L m in place of m in the error: layers that share the neurons")
def _(effort):
    return _labour(shared=True)


@cache
def _waves():
    numbers = streams.uniforms(streams.key(0, "moe.warm_up"), 0, 0, 4 * EXPERTS * len(DEPTHS), dtype=np.float64)
    numbers = numbers.reshape(len(DEPTHS), EXPERTS, 4)
    return tuple(tuple(Wave(6 * c - 3, 0.5 + a, 1 + 3 * w, 6.3 * b) for c, a, w, b in row) for row in numbers.tolist())


def _samples(experts, depth):
    """Points of [0, E]^L whose coordinates each run through the same values, shape (N, L)."""
    values = (np.arange(experts * PER_CELL) + 0.5) / PER_CELL
    return np.stack([values[np.arange(len(values)) * stride % len(values)] for stride in STRIDES[:depth]], axis=1)


def _targets(waves, points):
    cells = partition.interval(points, len(waves[0]))
    return np.stack([np.choose(cell, [wave(x) for wave in row])
                     for row, cell, x in zip(waves, cells.T, points.T, strict=True)], axis=1)


@cache
def _measured(depth, width, exchange=False, literal=False):
    """Sup error of the assembled network, routing included."""
    waves = _waves()[:depth]
    network = partition.warm_up(waves if not exchange else [waves[0][::-1], *waves[1:]], width)
    points = _samples(EXPERTS, depth)
    return float(np.abs((unrolled_deep(network) if literal else network)(points) - _targets(waves, points)).max())


@cache
def _alone(width):
    """Errors of every expert by itself on its interval, without a gate, shape (L, E); by numpy's interpolation."""
    errors = np.empty((len(DEPTHS), EXPERTS))
    inside = (np.arange(PER_CELL) + 0.5) / PER_CELL
    for row, waves in enumerate(_waves()):
        for cell, wave in enumerate(waves):
            nodes = np.linspace(cell, cell + 1, width + 1)
            errors[row, cell] = np.abs(np.interp(cell + inside, nodes, wave(nodes)) - wave(cell + inside)).max()
    return errors


def _rates(combined, exchange=False):
    errors = np.array([[_measured(depth, int(m), exchange) for m in WIDTHS] for depth in DEPTHS])
    wanted = np.array([[combined(_alone(int(m))[:depth]) for m in WIDTHS] for depth in DEPTHS])
    curvature = np.array([[wave.curvature(cell) for cell, wave in enumerate(row)] for row in _waves()])
    bound = [[curvature[:depth].max() / (8.0 * m * m) for m in WIDTHS] for depth in DEPTHS]
    at = {"L": np.array(DEPTHS)[:, None], "m": WIDTHS}
    rates = {f"rate L={depth}": _slope(row, -2.0) for depth, row in zip(DEPTHS, errors, strict=True)}
    literal = [_measured(depth, 32, exchange, literal=True) for depth in DEPTHS]
    return judges.every(maximum=judges.equal(errors, wanted, rtol=1e-9, at=at),
                        bound=judges.inequality(errors, bound, at=at),
                        literal=judges.equal(literal, errors[:, list(WIDTHS).index(32)], rtol=1e-9), **rates)


def _slope(errors, power):
    return judges.local_slopes(WIDTHS[2:], errors[2:], WIDTHS[2:] ** power, 0.03)


def _handed_on(depth, change):
    network = partition.warm_up([[lambda z: z - 1.5] * EXPERTS] * depth, 1)
    widths = [layer.experts[0].width for layer in network.layers]
    network = exact.Rational(change(network))
    found = [(point, network.piece(point)) for point in partition.cell_points(depth, EXPERTS, 1, 3)]
    wrong = sum(piece.value != tuple(x - Fraction(3, 2) for x in point) for point, piece in found)
    return judges.every(
        widths=judges.equal(widths, [1 + depth - layer + 2 * (layer - 1) for layer in range(1, depth + 1)]),
        rank=judges.equal([piece.rank for _, piece in found], depth, over=f"L={depth}"),
        values=judges.equal(wrong, 0, over=f"L={depth}"))


def _narrowed(network, fewer):
    """The last layer's experts without their last neurons."""
    last = network.layers[-1]
    experts = [DenseNetwork((expert.weights[0][:-fewer], expert.weights[1][:, :-fewer]),
                            (expert.biases[0][:-fewer], expert.biases[1])) for expert in last.experts]
    return MoE((*network.layers[:-1], MoELayer(last.gate, experts)))


def _random_layer(place, inputs, width):
    def dense(label, *sizes):
        weights = [np.abs(_normals(f"{place} {label} {level}", rows, columns + 1))
                   for level, (columns, rows) in enumerate(zip(sizes, sizes[1:], strict=False))]
        return DenseNetwork([matrix[:, :-1] for matrix in weights], [matrix[:, -1] for matrix in weights])
    return MoELayer(dense("gate", inputs, EXPERTS), [dense(f"expert {index}", inputs, width, inputs)
                                                     for index in range(EXPERTS)])


def _jumps():
    """Values left and right of the joints 1 .. E - 1 in the first coordinate."""
    waves = _waves()[0]
    return np.array([(before(float(joint)), after(float(joint)))
                     for joint, (before, after) in enumerate(zip(waves, waves[1:], strict=False), 1)])


def _largest_jump():
    return float(np.abs(np.diff(_jumps(), axis=1)).max())


def _crossing(width):
    """A dense spline of m segments: nodes close to each joint on both sides, and one halfway on it."""
    steep = 1.0 / width**2
    joints = np.arange(1.0, EXPERTS)
    inner = [np.linspace(cell + steep * (cell > 0), cell + 1 - steep * (cell < EXPERTS - 1),
                         (width - EXPERTS + 1) // EXPERTS + 1) for cell in range(EXPERTS)]
    nodes = np.concatenate([*inner, joints])
    values = np.concatenate([*[wave(grid) for wave, grid in zip(_waves()[0], inner, strict=True)],
                             _jumps().mean(axis=1)])
    order = np.argsort(nodes)
    return spline_expert([1.0], [0.0], nodes[order], values[order])


def _jump_error(network):
    joints = np.arange(1.0, EXPERTS)
    points = np.concatenate([joints - CAREFUL, joints + CAREFUL, _samples(EXPERTS, 1)[:, 0]])[:, None]
    return float(np.abs(network(points) - _targets(_waves()[:1], points)).max())


def _labour(change=lambda network: network, frequency=lambda i: 1, shared=False):
    widths, ratios, wrong = np.array([1, 4, 16, 64]), [], []
    cases = [(experts, depth) for experts in (2, 3, 5) for depth in (1, 2, 3)]
    for experts, depth in cases:
        rows = [[lambda z, i=i: np.sin(2 * np.pi * frequency(i) * z) + i for i in range(experts)]] * depth
        points = _samples(experts, depth)
        cells = partition.interval(points, experts)
        target = np.sin(2 * np.pi * frequency(cells) * points) + cells
        found = [change(partition.warm_up(rows, int(width))).routed(points) for width in widths]
        errors = np.array([np.abs(values - target).max() for values, _ in found[1:]])
        ratios.append(errors * 2 * (widths[1:] / (depth if shared else 1)) ** 2 / np.pi**2)
        wrong.append([(routes != cells).sum() for _, routes in found])
    at = {"E": np.array([e for e, _ in cases])[:, None], "L": np.array([depth for _, depth in cases])[:, None]}
    below = (2 * np.pi / widths[1:]) ** 2 / 2
    # 128 points in the shortest segments: the top of a parabola is missed by (1/128)^2 of its height at the most.
    return judges.every(assigned=judges.equal(wrong, 0, at={**at, "m": widths}),
                        accuracy=judges.inequality(np.abs(np.array(ratios) - 1 + below / 2),
                                                   below / 2 + 1e-4, at={**at, "m": widths[1:]}))


def _tilted(network):
    return MoE(MoELayer(DenseNetwork(layer.gate.weights, (layer.gate.biases[0] - 0.1 * np.arange(len(layer.experts)),)),
                        layer.experts) for layer in network.layers)


def _normals(name, *shape):
    key = streams.key(0, f"moe.warm_up.{name}")
    return streams.normals(key, 0, 0, int(np.prod(shape))).reshape(shape).astype(np.float64)
