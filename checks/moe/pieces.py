"""Claims about how many pieces a mixture of affine experts has, counted in exact arithmetic.

Random networks have standard normal weights, float32 numbers that count as rationals.
"""

from fractions import Fraction

import numpy as np

from ...sims import streams
from ...theory.moe import exact, partition, pieces
from ...theory.moe.identities import unrolled_deep
from ...theory.moe.model import DenseNetwork, MoE, MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE

SIZES = ((2, 3), (3, 3), (4, 3), (2, 5), (3, 5), (6, 2), (5, 3))
"""(L, E)."""
RANDOM = ((1, 4, 2), (2, 3, 2), (3, 3, 2), (4, 3, 3), (5, 2, 4))
"""(L, E, D)."""
NEAR = 10**9
"""Points lie in the middle of a cell and one part in this from two of its corners."""


@claim("product_pieces", topic="moe", paper=MOE, where="Sec. 5.2, eq. (4)", stance="reconstructed",
       statement="L layers of E affine experts behind affine gates: E^L routes, E^L affine maps, equal to f everywhere")
def product_pieces(effort):
    """Exact in every cell, at three points of it; routes alone up to 1e6 cells in floating point."""
    return judges.every(_partition(effort), routes=_many_routes(effort))


@product_pieces.control("two experts of the last layer that coincide")
def _(effort):
    return _partition(effort, equal=True)


@product_pieces.control("L - 1 layers")
def _(effort):
    return _partition(effort, cut=lambda network: MoE(network.layers[:-1]))


@product_pieces.control("gates without a bias")
def _(effort):
    return _partition(effort, bias=False)


@claim("gate_without_bias", topic="moe", paper=MOE, where="Sec. 5, remarks on gating", stance="derived",
       statement="g = W x + b: E^L routes in depth L; g = W x: conic cells, 1 route; in depth 2L, 1 appended: E^L")
def gate_without_bias(effort):
    """Routes over all E^L cells; that cells are cones on 4096 random points in R^3, each at 16 distances from 0.

    The paper's gates are linear, and a nonlinear one halves the depth: for this target a constant in them does as much.
    """
    measured = [_routes(depth, experts) for depth, experts in SIZES]
    bare = [_routes(depth, experts, bias=False) for depth, experts in SIZES]
    appended = [_routes(depth, experts, change=unrolled_deep) for depth, experts in SIZES]
    every = [experts**depth for depth, experts in SIZES]
    return judges.every(affine=judges.equal(measured, every, at=_at(SIZES)),
                        linear=judges.equal(bare, 1, at=_at(SIZES)),
                        appended=judges.equal(appended, every, at=_at(SIZES)),
                        cones=judges.equal(_changes_along_rays(0.0), 0))


@gate_without_bias.control("cells of a gate with a bias are cones")
def _(effort):
    return judges.equal(_changes_along_rays(1.0), 0)


@gate_without_bias.control("the gate W x + b without its b has E^L routes in depth L")
def _(effort):
    return judges.equal([_routes(depth, experts, bias=False) for depth, experts in SIZES],
                        [experts**depth for depth, experts in SIZES], at=_at(SIZES))


@gate_without_bias.control("in depth L gates that are affine have fewer routes than E^L: it takes other nonlinearities")
def _(effort):
    return judges.inequality([_routes(depth, experts) for depth, experts in SIZES],
                             [experts**depth - 1 for depth, experts in SIZES], at=_at(SIZES))


@claim("piece_bound", topic="moe", paper=MOE, where="Sec. 5.2", stance="derived",
       statement="depth L, affine gates and experts: one affine map per route, so <= E^L; points of a route are convex")
def piece_bound(effort):
    """Affine maps by exact differentiation at up to 4 points of every route that 2^16 random points take.

    All points of a route have one map, and no route another's; convexity on midpoints of 2^16 pairs of one route.
    """
    return judges.every(maps=_random_maps(effort), convex=_midpoints(effort))


@piece_bound.control("experts with a hidden layer of 4 neurons")
def _(effort):
    return _random_maps(effort, hidden=4)


@piece_bound.control("gates of two layers")
def _(effort):
    return _midpoints(effort, gate=8)


@claim("one_layer_pieces", topic="moe", paper=MOE, where="Sec. 5.2", stance="derived",
       statement="one layer of affine experts needs E^L of them for the E^L maps of L layers with L E, and they do")
def one_layer_pieces(effort):
    """E' experts have at most E' affine maps, exactly counted; with E' = E^L the two networks agree in every cell."""
    return _flat(0)


@one_layer_pieces.control("one expert fewer in the single layer")
def _(effort):
    return _flat(1)


@claim("dense_pieces", topic="moe", paper=MOE, where="Sec. 5.2", stance="derived",
       statement="one dense hidden layer of L E neurons has E^L pieces too: their number separates nothing")
def dense_pieces(effort):
    """Different gradients of one scalar output, exactly, over the cells of [0, E]^L."""
    return _dense(lambda depth, experts: experts**depth)


@dense_pieces.control("hidden layer of L (E - 1) neurons")
def _(effort):
    return _dense(lambda depth, experts: experts**depth, fewer=1)


@dense_pieces.control("as many pieces as neurons")
def _(effort):
    return _dense(lambda depth, experts: depth * experts)


def _at(sizes):
    return {"L": [size[0] for size in sizes], "E": [size[1] for size in sizes]}


def _partition(effort, equal=False, bias=True, cut=lambda network: network):
    sizes = SIZES + effort.choose((), ((4, 5), (7, 3), (10, 2)))
    routes, maps, wrong = [], [], []
    for depth, experts in sizes:
        slopes = np.arange(2.0, 2 + depth * experts).reshape(depth, experts)
        if equal:
            slopes[-1, -1] = slopes[-1, 0]
        offsets = np.where(slopes == slopes[-1, 0], 3.0, slopes % 7)
        network = exact.Rational(cut(partition.affine_partition(slopes, offsets, bias)))
        found = [(point, network.piece(point)) for point in _points(depth, experts)]
        routes.append(len({piece.route for _, piece in found}))
        maps.append(len({piece.affine for _, piece in found}))
        wrong.append(sum(piece.value != _target(point, slopes, offsets) for point, piece in found))
    every = [experts**depth for depth, experts in sizes]
    return judges.every(routes=judges.equal(routes, every, at=_at(sizes)),
                        maps=judges.equal(maps, every, at=_at(sizes)),
                        wrong=judges.equal(wrong, 0, at=_at(sizes), over="values that differ from f"))


def _points(depth, experts):
    for part in (1, NEAR // 2, NEAR - 1):
        yield from partition.cell_points(depth, experts, part, NEAR)


def _target(point, slopes, offsets):
    cells = [int(x) for x in point]
    return tuple(Fraction(slopes[row, cell]) * x + Fraction(offsets[row, cell])
                 for row, (x, cell) in enumerate(zip(point, cells, strict=True)))


def _many_routes(effort):
    sizes = effort.choose(((6, 5), (10, 3), (16, 2)), ((8, 5), (12, 3), (20, 2), (6, 10)))
    return judges.equal([_routes(depth, experts) for depth, experts in sizes],
                        [experts**depth for depth, experts in sizes], at=_at(sizes))


def _routes(depth, experts, bias=True, change=lambda network: network):
    """Routes that the middles of the cells take; the experts hand every coordinate on."""
    network = partition.affine_partition(np.ones((depth, experts)), np.zeros((depth, experts)), bias)
    return pieces.count_paths(change(network), pieces.grid_cells(depth, experts))


def _changes_along_rays(scale):
    """Points on 4096 rays in R^3 that another of 8 experts wins than the first point of their ray."""
    gate, rays = _normals("rays", 8, 4), _normals("directions", 4096, 3)
    points = np.geomspace(0.01, 100, 16)[:, None, None] * rays
    winners = np.argmax(points @ gate[:, :3].T + scale * gate[:, 3], axis=-1)
    return int((winners != winners[0]).sum())


def _network(name, depth, experts, inputs, hidden=0, gate=0):
    def dense(label, outputs, width):
        sizes = [inputs, width, outputs] if width else [inputs, outputs]
        weights = [_normals(f"{name} {label} {place}", rows, columns + 1)
                   for place, (columns, rows) in enumerate(zip(sizes, sizes[1:], strict=False))]
        return DenseNetwork([matrix[:, :-1] for matrix in weights], [matrix[:, -1] for matrix in weights])
    return MoE([MoELayer(dense(f"gate {layer}", experts, gate),
                         [dense(f"expert {layer} {index}", inputs, hidden) for index in range(experts)])
                for layer in range(depth)])


def _random_maps(effort, hidden=0):
    found, routes = [], []
    for depth, experts, inputs in RANDOM:
        network = _network(f"{depth} {experts}", depth, experts, inputs, hidden)
        points = 3.0 * _normals("points", 2**effort.choose(16, 20), inputs)
        taken, route = np.unique(network.routed(points)[1], axis=0, return_inverse=True)
        order = np.argsort(route.ravel(), kind="stable")
        starts = np.searchsorted(route.ravel()[order], np.arange(len(taken) + 1))
        some = np.concatenate([order[first:last][:4] for first, last in zip(starts, starts[1:], strict=False)])
        met = pieces.exact_pieces(network, [[Fraction(float(x)) for x in point] for point in points[some]])
        routes.append(met[0])
        found.append(met[1])
    over = f"maps found {found}"
    return judges.every(
        bound=judges.inequality(found, [experts**depth for depth, experts, _ in RANDOM], at=_at(RANDOM), over=over),
        one=judges.equal(found, routes, at=_at(RANDOM), over="maps against routes met"))


def _midpoints(effort, gate=0):
    """Of two points with one route, how often the middle has another."""
    broken = []
    for depth, experts, inputs in RANDOM:
        network = _network(f"{depth} {experts}", depth, experts, inputs, gate=gate)
        ends = 3.0 * _normals("ends", 2, 2**16, inputs)
        routes = [network.routed(points)[1] for points in (*ends, ends.mean(axis=0))]
        same = (routes[0] == routes[1]).all(axis=1)
        broken.append(int((same & (routes[2] != routes[0]).any(axis=1)).sum()))
    return judges.equal(broken, 0, at=_at(RANDOM), over="midpoints with another route")


def _flat(without):
    needed, have, maps, wrong = [], [], [], []
    sizes = [size for size in SIZES if size[1]**size[0] < 100]
    for depth, experts in sizes:
        slopes = np.arange(2.0, 2 + depth * experts).reshape(depth, experts)
        flat = partition.flattened(slopes, slopes % 7)
        if without:
            flat = MoELayer(DenseNetwork((flat.gate.weights[0][:-without],), (flat.gate.biases[0][:-without],)),
                            flat.experts[:-without])
        deep, single = (exact.Rational(network) for network in (partition.affine_partition(slopes, slopes % 7), flat))
        found = [(deep.piece(point), single.piece(point)) for point in partition.cell_points(depth, experts, 1, 3)]
        needed.append(len({piece.affine for piece, _ in found}))
        maps.append(len({piece.affine for _, piece in found}))
        have.append(len(flat.experts))
        wrong.append(sum(one.affine != other.affine for one, other in found))
    return judges.every(maps=judges.equal(maps, needed, at=_at(sizes)), bound=judges.inequality(maps, have),
                        experts=judges.equal(have, needed, at=_at(sizes)), wrong=judges.equal(wrong, 0, at=_at(sizes)))


def _dense(expected, fewer=0):
    found = []
    for depth, experts in SIZES:
        bends = 1.0 + np.arange(depth * experts).reshape(depth, experts)
        if fewer:
            bends = bends[:, :-fewer]
        network = pieces.additive_network(bends)
        found.append(pieces.exact_pieces(network, partition.cell_points(depth, experts, 1, 3))[1])
    return judges.equal(found, [expected(*size) for size in SIZES], at=_at(SIZES))


def _normals(name, *shape):
    key = streams.key(0, f"moe.pieces.{name}")
    return streams.normals(key, 0, 0, int(np.prod(shape))).reshape(shape).astype(np.float64)
