r"""Deep mixtures on products: block l of the input is the business of layer l alone.

Let ``h_l: R^{D_l} -> R^{q_l}`` be MoE layers.  On the product of their domains

    (x_1, .., x_L)  ->  (h_1(x_1), .., h_L(x_L))

is an MoE of depth L: the gate of layer l reads block l only, and its experts act on block l and hand on the others.
E experts in each of L layers make E^L combinations.  A ReLU network of width m hands on a coordinate at the price of
one neuron per hidden layer if it is never negative, of two if it may be (``x = relu(x) - relu(-x)``, without rounding),
so experts have width ``m + O(sum_l D_l)``.

The cells of the warm-up (Wang and E, eq. (4)) are the unit cubes of [0, E]^L: the affine gate

    g_i(x) = i x - i (i - 1)/2,   i = 1..E,       g_{i+1} - g_i = x - i,

has its maximum at the i with i - 1 < x <= i (and i = 1 for x <= 1), so no layer has to prepare the gate's input.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..arguments import numbers, positive, shown
from .experts import spline_expert
from .model import DenseNetwork, MoE, MoELayer, require_network

LARGEST = 2**20
"""Most intervals."""
DEEPEST = 1024
"""Most coordinates of a grid of cells."""


def interval_gate(experts, bias=True) -> DenseNetwork:
    """The gate on R whose cells are the intervals (i - 1, i].

    Parameters
    ----------
    experts : int, >= 1
        E.
    bias : bool
        False leaves its bias out: then its cells are the two rays from 0.
    """
    index = np.arange(1.0, positive(experts, "experts", LARGEST) + 1)
    return DenseNetwork((index[:, None],), (-index * (index - 1) / 2 if bias else None,))


def interval(x, experts) -> np.ndarray:
    """i - 1 in {0, .., E - 1} with i - 1 < x <= i, by rounding up and no gate; the first and last beyond [0, E]."""
    x = numbers(x, "x")
    if not np.isfinite(x).all():
        raise ValueError(f"x are {shown(x)}; they must be finite")
    return (np.clip(np.ceil(x), 1, positive(experts, "experts", LARGEST)) - 1).astype(np.intp)


def acting_on(network, place, inputs, signed) -> DenseNetwork:
    """A dense network on a block of coordinates, the others handed on around it.

    Parameters
    ----------
    network : DenseNetwork
        R^p -> R^q.
    place : int, in [0, inputs - p]
        First coordinate of the block; the q outputs take the place of its p.
    inputs : int
        D.
    signed : sequence of bool, length D
        Which coordinates may be negative; those that may not are handed on by one neuron.

    Returns
    -------
    DenseNetwork
        R^D -> R^(D - p + q), of the same depth.

    Raises
    ------
    ValueError
        If the block does not fit.
    """
    require_network(network, "network")
    signed, inputs = _signs(signed), positive(inputs, "inputs")
    whole = isinstance(place, int | np.integer) and not isinstance(place, bool)
    if not (whole and 0 <= place <= inputs - network.inputs and len(signed) == inputs):
        raise ValueError(f"a block of {network.inputs} coordinates at {shown(place)} with {len(signed)} signs does not "
                         f"fit; place must be in [0, {inputs - network.inputs}] and there must be {inputs} signs")
    others = [axis for axis in range(inputs) if not place <= axis < place + network.inputs]
    if len(network.weights) == 1:
        carried = np.eye(inputs)[others]
        collect = np.eye(len(others))
    else:
        pairs = [(row, sign) for row, axis in enumerate(others) for sign in ((1.0, -1.0) if signed[axis] else (1.0,))]
        carried = np.array([sign * np.eye(inputs)[others[row]] for row, sign in pairs]).reshape(-1, inputs)
        collect = np.zeros((len(others), len(pairs)))
        for neuron, (row, sign) in enumerate(pairs):
            collect[row, neuron] = sign
    weights, biases = [], []
    for depth, (matrix, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if depth == 0:
            padded = np.zeros((len(matrix), inputs))
            padded[:, place:place + network.inputs] = matrix
            joined = np.vstack([padded, carried])
        else:
            joined = np.zeros((len(matrix) + len(carried), matrix.shape[1] + len(carried)))
            joined[:len(matrix), :matrix.shape[1]] = matrix
            joined[len(matrix):, matrix.shape[1]:] = np.eye(len(carried))
        weights.append(joined)
        biases.append(np.concatenate([np.zeros(len(matrix)) if bias is None else bias, np.zeros(len(carried))]))
    before = sum(axis < place for axis in others)
    order = np.vstack([np.hstack([np.zeros((before, network.outputs)), collect[:before]]),
                       np.hstack([np.eye(network.outputs), np.zeros((network.outputs, collect.shape[1]))]),
                       np.hstack([np.zeros((len(others) - before, network.outputs)), collect[before:]])])
    weights[-1], biases[-1] = order @ weights[-1], order @ biases[-1]
    return DenseNetwork(weights, biases)


def on_product(layers, signed=None) -> MoE:
    """One MoE of depth L from L layers, each for its own block of the input (Thm 5.2 with f_out = id).

    Parameters
    ----------
    layers : sequence of MoELayer
        h_l; experts must be dense networks, none shared.
    signed : sequence of bool, length sum D_l, optional
        Which inputs may be negative; all by default.  Outputs of a layer always may.

    Raises
    ------
    ValueError
        If there is no layer, an expert is not dense, or the signs do not fit.
    """
    if not isinstance(layers, Sequence) or not layers or not all(isinstance(layer, MoELayer) for layer in layers):
        raise ValueError(f"layers are {shown(layers)}; they must be a sequence of at least one MoELayer")
    total = sum(layer.inputs for layer in layers)
    signs = [True] * total if signed is None else _signs(signed)
    if len(signs) != total:
        raise ValueError(f"there are {len(signs)} signs; there must be {total}, one for every input")
    deep, place = [], 0
    for depth, layer in enumerate(layers, 1):
        if layer.shared or not all(isinstance(expert, DenseNetwork) for expert in layer.experts):
            raise ValueError(f"layer {depth} has shared experts or some that are no DenseNetwork; all must be routed "
                             "and dense, to hand on the other coordinates once")
        count, after = len(signs), place + layer.inputs
        first = np.zeros((len(layer.gate.weights[0]), count))
        first[:, place:after] = layer.gate.weights[0]
        deep.append(MoELayer(DenseNetwork((first, *layer.gate.weights[1:]), layer.gate.biases),
                             [acting_on(expert, place, count, signs) for expert in layer.experts],
                             layer.top, layer.normalised))
        signs[place:after] = [True] * layer.outputs
        place += layer.outputs
    return MoE(deep)


def _signs(signed):
    try:
        return [bool(sign) for sign in signed]
    except (TypeError, ValueError):
        raise ValueError(f"signed is {shown(signed)}; it must be a sequence of booleans") from None


def affine_partition(slopes, offsets, bias=True) -> MoE:
    """On [0, E]^L, coordinate l becomes ``a_{l,i} x_l + b_{l,i}`` on its i-th interval.

    Parameters
    ----------
    slopes, offsets : array_like, shape (L, E)
        Floats that are what is meant (integers, say) keep exact evaluation meaningful.
    bias : bool
        Whether the gates have one.
    """
    slopes, offsets = numbers(slopes, "slopes"), numbers(offsets, "offsets")
    if slopes.ndim != 2 or 0 in slopes.shape or slopes.shape != offsets.shape:
        raise ValueError(f"slopes and offsets have shapes {slopes.shape} and {offsets.shape}; both must be (L, E)")
    gate = interval_gate(slopes.shape[1], bias)
    layers = [MoELayer(gate, [DenseNetwork(([[slope]],), ([offset],)) for slope, offset in zip(*pair, strict=True)])
              for pair in zip(slopes, offsets, strict=True)]
    return on_product(layers)


def flattened(slopes, offsets) -> MoELayer:
    """:func:`affine_partition` in one layer: E^L experts, the gates' logits added, ``g_i(x) = sum_l g_{i_l}(x_l)``.

    Parameters
    ----------
    slopes, offsets : array_like, shape (L, E)

    Raises
    ------
    ValueError
        If there are more than 2^16 experts.
    """
    slopes, offsets = numbers(slopes, "slopes"), numbers(offsets, "offsets")
    if slopes.ndim != 2 or 0 in slopes.shape or slopes.shape != offsets.shape:
        raise ValueError(f"slopes and offsets have shapes {slopes.shape} and {offsets.shape}; both must be (L, E)")
    depth, experts = slopes.shape
    if experts**depth > 2**16:
        raise ValueError(f"experts**depth is {experts**depth:.3g}; one layer must have at most 2^16 = {2**16}")
    gate = interval_gate(experts)
    cells = np.array(list(itertools.product(range(experts), repeat=depth)))
    rows = np.arange(depth)
    return MoELayer(DenseNetwork((gate.weights[0][cells, 0],), (gate.biases[0][cells].sum(axis=1),)),
                    [DenseNetwork((np.diag(slopes[rows, cell]),), (offsets[rows, cell],)) for cell in cells])


def warm_up(functions, segments) -> MoE:
    """The construction for Thm 5.3: splines of m segments for ``f_{l,i}`` on [i - 1, i], affine gates, depth L.

    Parameters
    ----------
    functions : sequence (L) of sequences (E) of callables
        From arrays of shape (m + 1,) to arrays of that shape.
    segments : int, >= 1
        m, neurons that an expert spends on its function.

    Raises
    ------
    ValueError
        If a layer has no functions, or one of them no callable or no finite value at a node.
    """
    segments = positive(segments, "segments")
    if not isinstance(functions, Sequence) or not functions:
        raise ValueError(f"functions are {shown(functions)}; they must be a sequence of at least one layer's")
    layers = []
    for depth, row in enumerate(functions, 1):
        if not isinstance(row, Sequence) or not row or not all(map(callable, row)):
            raise ValueError(f"functions of layer {depth} are {shown(row)}; they must be a sequence of callables, at "
                             "least one")
        nodes = [np.linspace(i, i + 1, segments + 1) for i in range(len(row))]
        layers.append(MoELayer(interval_gate(len(row)),
                               [spline_expert([1.0], [0.0], node, _values(function, node, depth))
                                for node, function in zip(nodes, row, strict=True)]))
    return on_product(layers, [False] * len(layers))


def _values(function, nodes, depth):
    """What a function of layer l is at the nodes of its interval."""
    name = f"function {int(nodes[0]) + 1} of layer {depth}"
    values = numbers(function(nodes), f"values of {name}")
    if values.shape != nodes.shape:
        raise ValueError(f"{name} returns shape {values.shape} for {len(nodes)} nodes; it must be {nodes.shape}")
    if not np.isfinite(values).all():
        wrong = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{name} is {values[wrong]} at {nodes[wrong]:.6g}; it must be finite at every node")
    return values


def cell_points(depth, experts, numerator=1, denominator=2):
    """One rational point inside each of the E^L unit cubes: lower corners plus a fraction in (0, 1), an iterator."""
    inside = Fraction(positive(numerator, "numerator"), positive(denominator, "denominator"))
    if not inside < 1:
        raise ValueError(f"numerator/denominator is {inside}; it must be in (0, 1), or the point is in no cell")
    cells = [cell + inside for cell in range(positive(experts, "experts", LARGEST))]
    return itertools.product(*[cells] * positive(depth, "depth", DEEPEST))
