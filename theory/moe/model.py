r"""Mixtures of ReLU experts, their weights plain arrays (Wang and E, arXiv 2505.24205, Sec. 3).

A dense network of l layers has l linear maps with ReLU between them, so a network of two layers has one hidden layer.
An MoE layer has E experts ``f_1 .. f_E``, dense networks, and a gate ``g: R^D -> R^E``.  With ``S(x)`` the K experts of
the largest logits (of equal ones the first),

    y(x) = sum_{k in S(x)} a_k(x) f_k(x) + sum_j shared_j(x),
    a_k  = exp(g_k) / sum_{j in S(x)} exp(g_j)          (normalised over the selected experts)
    a_k  = exp(g_k) / sum_{j = 1..E} exp(g_j)           (over all of them: the gate of Switch transformers).

K = 1 normalised over the selected is the paper's layer, ``y = f_k(x)`` with k = argmax g(x); K = E is the dense softmax
gate.  The paper's gate is linear without a bias; a bias, or a second layer, is a gate of another :class:`DenseNetwork`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..arguments import numbers, shown

LOGITS = 2**22
"""Most logits held at once; what a batch takes in memory follows from it and not from the number of points."""
HIDDEN = 2**20
"""Most hidden values of one expert held at once."""
LANES = 64
"""Points that the kernel for one hidden layer takes side by side."""
NARROW = 32
"""Up to as many inputs and outputs together that kernel is faster than BLAS and three passes over the hidden values."""
NORMALISED = ("selected", "all")


def finite_points(points, inputs) -> np.ndarray:
    """Points as float64 of shape (N, D), the same array if they are that.

    Raises
    ------
    ValueError
        For another shape, what is no real number, or a coordinate that is not finite; it names the first such point.
    """
    if not (isinstance(points, np.ndarray) and points.dtype == np.float64):
        points = numbers(points, "points")
    if points.ndim != 2 or points.shape[1] != inputs:
        raise ValueError(f"points have shape {points.shape}; it must be (N, {inputs})")
    # A sum costs half of a test of all; one that is not finite may still be of large numbers, and is looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        total = points.sum()
    if not math.isfinite(total) and not np.isfinite(points).all():
        point, axis = np.argwhere(~np.isfinite(points))[0]
        raise ValueError(f"point {point} has coordinate {axis} = {points[point, axis]}; coordinates must be finite")
    return np.ascontiguousarray(points)


@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """A dense ReLU network, ``W_l relu(... relu(W_1 x + b_1) ...) + b_l``.

    Parameters
    ----------
    weights : sequence of array_like, shapes (n_1, D), (n_2, n_1), ..., (out, n_{l-1})
        At least one.
    biases : sequence of array_like or None, shapes (n_1,), ..., (out,)
        None stands for a linear map without a bias, here for all of them, within the sequence for one.

    Raises
    ------
    ValueError
        If shapes do not fit each other or a value is not finite.
    """

    weights: tuple
    biases: tuple | None = None

    def __post_init__(self):
        if not isinstance(self.weights, Sequence) or not self.weights:
            raise ValueError(f"weights are {shown(self.weights)}; they must be a sequence of at least one matrix")
        weights = tuple(_finite(matrix, f"weights of layer {depth}") for depth, matrix in enumerate(self.weights, 1))
        biases = (None,) * len(weights) if self.biases is None else _sequence(self.biases, "biases", "vectors or None")
        if len(biases) != len(weights):
            raise ValueError(f"there are {len(biases)} biases; there must be {len(weights)}, one for every layer")
        biases = tuple(bias if bias is None else _finite(bias, f"biases of layer {depth}")
                       for depth, bias in enumerate(biases, 1))
        columns = None
        for depth, (matrix, bias) in enumerate(zip(weights, biases, strict=True), 1):
            if matrix.ndim != 2 or 0 in matrix.shape:
                raise ValueError(f"weights of layer {depth} have shape {matrix.shape}; it must be (outputs, inputs)")
            if columns is not None and matrix.shape[1] != columns:
                raise ValueError(f"weights of layer {depth} have shape {matrix.shape}; they must have {columns} "
                                 "columns, as the layer before has rows")
            columns = len(matrix)
            if bias is not None and bias.shape != (columns,):
                raise ValueError(f"biases of layer {depth} have shape {bias.shape}; it must be ({columns},)")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "biases", biases)

    @property
    def inputs(self) -> int:
        """D."""
        return self.weights[0].shape[1]

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.weights[-1])

    @property
    def width(self) -> int:
        """m, the most neurons of a hidden layer (0 for an affine map)."""
        return max((len(matrix) for matrix in self.weights[:-1]), default=0)

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(array.size for array in (*self.weights, *self.biases) if array is not None)

    def __call__(self, points) -> np.ndarray:
        """Values at points of shape (N, D): shape (N, out)."""
        values = finite_points(points, self.inputs)
        if len(self.weights) == 2 and self.outputs < NARROW:
            inner, outer = self.weights
            if (inner == inner[0]).all():            # a spline in one coordinate: all neurons see the same number
                values, inner = values @ inner[:1].T, np.ones((len(inner), 1))
            if inner.shape[1] + self.outputs <= NARROW:
                biases = (np.zeros(len(matrix)) if bias is None else bias
                          for matrix, bias in zip(self.weights, self.biases, strict=True))
                return _one_hidden_layer(values, inner, outer, *biases)
        rows = max(1, HIDDEN // max(self.width, self.outputs, 1))
        result = np.empty((len(values), self.outputs))
        for start in range(0, len(values), rows):
            result[start:start + rows] = self._block(values[start:start + rows])
        return result

    def _block(self, values):
        for depth, (matrix, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if depth:
                np.maximum(values, 0.0, out=values)
            values = values @ matrix.T
            if bias is not None:
                values += bias
        return values


def linear_gate(weights, bias=None) -> DenseNetwork:
    """The gate ``W x`` or ``W x + b``.

    Parameters
    ----------
    weights : array_like, shape (E, D)
    bias : array_like, shape (E,), optional
    """
    return DenseNetwork((weights,), (bias,))


def require_network(network, name) -> None:
    """Refuse what is no dense network.

    Raises
    ------
    ValueError
        It names what there is.
    """
    if not isinstance(network, DenseNetwork):
        raise ValueError(f"{name} is {shown(network)}; it must be a DenseNetwork")


@dataclass(frozen=True, eq=False)
class MoELayer:
    """One layer of experts behind a gate.

    Parameters
    ----------
    gate : DenseNetwork
        R^D -> R^E.
    experts : sequence of DenseNetwork or KuhnExpert
        E of them, all R^D -> R^out; their widths and depths may differ.
    top : int, in [1, E]
        K, how many experts are selected.
    normalised : {"selected", "all"}
        Over which experts the softmax runs.
    shared : sequence of DenseNetwork
        Experts that every point visits, with weight 1.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or K > E.
    """

    gate: DenseNetwork
    experts: tuple
    top: int = 1
    normalised: str = "selected"
    shared: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "experts", _sequence(self.experts, "experts", "networks"))
        object.__setattr__(self, "shared", _sequence(self.shared, "shared", "networks"))
        for network in (self.gate, *self.experts, *self.shared):
            if not (callable(network) and all(hasattr(network, name) for name in ("inputs", "outputs", "parameters"))):
                raise ValueError(f"gate and experts contain {shown(network)}; each must be a DenseNetwork, or callable "
                                 "with inputs, outputs and parameters like one")
        count = len(self.experts)
        if self.gate.outputs != count or not count:
            raise ValueError(f"the gate has {self.gate.outputs} outputs for {count} experts; it must have one for each")
        if isinstance(self.top, bool) or not isinstance(self.top, int | np.integer) or not 1 <= self.top <= count:
            raise ValueError(f"top is {shown(self.top)}; it must be an integer in [1, {count}], the number of experts")
        if self.normalised not in NORMALISED:
            raise ValueError(f"normalised is {shown(self.normalised)}; it must be one of {', '.join(NORMALISED)}")
        for expert in (*self.experts, *self.shared):
            if (expert.inputs, expert.outputs) != (self.inputs, self.outputs):
                raise ValueError(f"an expert maps R^{expert.inputs} to R^{expert.outputs}; it must map "
                                 f"R^{self.inputs} to R^{self.outputs}, as the gate and the first expert do")

    @property
    def inputs(self) -> int:
        """D."""
        return self.gate.inputs

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.experts[0].outputs

    @property
    def parameters(self) -> int:
        """How many numbers it has, those of every expert included."""
        return sum(network.parameters for network in (self.gate, *self.experts, *self.shared))

    @property
    def active(self) -> int:
        """How many of them one point uses: gate, shared experts, and the K largest experts."""
        largest = sorted((expert.parameters for expert in self.experts), reverse=True)[:self.top]
        return self.gate.parameters + sum(network.parameters for network in self.shared) + sum(largest)

    def select(self, points) -> tuple[np.ndarray, np.ndarray]:
        """Which experts the points are sent to and with which weights, best first: two arrays of shape (N, K)."""
        logits = self.gate(points)
        if self.top == 1:
            chosen = np.argmax(logits, axis=1)[:, None]
        else:
            chosen = np.argsort(-logits, axis=1, kind="stable")[:, :self.top]
        best = np.take_along_axis(logits, chosen, axis=1)
        weights = np.exp(best - best[:, :1])
        if self.normalised == "selected":
            return chosen, weights / weights.sum(axis=1, keepdims=True)
        return chosen, weights / np.exp(logits - best[:, :1]).sum(axis=1, keepdims=True)

    def __call__(self, points) -> np.ndarray:
        """Values at points of shape (N, D): shape (N, out); only the selected experts are evaluated."""
        return self.routed(points)[0]

    def routed(self, points) -> tuple[np.ndarray, np.ndarray]:
        """Values, shape (N, out), and the best expert of every point, shape (N,)."""
        points = finite_points(points, self.inputs)
        result, route = np.empty((len(points), self.outputs)), np.empty(len(points), dtype=np.intp)
        rows = max(1, LOGITS // self.top)
        for start in range(0, len(points), rows):
            block = slice(start, start + rows)
            result[block], route[block] = self._block(points[block])
        return result, route

    def _block(self, points):
        rows = max(1, LOGITS // len(self.experts))           # the logits in parts, then each expert once
        parts = [self.select(points[start:start + rows]) for start in range(0, len(points), rows)]
        chosen, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        result = np.zeros((len(points), self.outputs))
        for place in range(self.top):
            order = np.argsort(chosen[:, place], kind="stable")
            bounds = np.searchsorted(chosen[order, place], np.arange(len(self.experts) + 1))
            for expert, first, last in zip(self.experts, bounds, bounds[1:]):
                if first < last:
                    mine = order[first:last]
                    result[mine] += weights[mine, place, None] * expert(points[mine])
        for expert in self.shared:
            result += expert(points)
        return result, chosen[:, 0]


@dataclass(frozen=True, eq=False)
class MoE:
    """MoE layers one after the other.

    Parameters
    ----------
    layers : sequence of MoELayer
        At least one; the outputs of one are the inputs of the next.

    Raises
    ------
    ValueError
        If they do not fit each other.
    """

    layers: tuple

    def __post_init__(self):
        object.__setattr__(self, "layers", _sequence(self.layers, "layers", "MoELayers"))
        if not self.layers or not all(isinstance(layer, MoELayer) for layer in self.layers):
            raise ValueError(f"layers are {shown(self.layers)}; they must be MoELayers, at least one")
        for depth, (before, after) in enumerate(zip(self.layers, self.layers[1:]), 2):
            if before.outputs != after.inputs:
                raise ValueError(f"layer {depth} takes {after.inputs} inputs; it must take {before.outputs}, the "
                                 "outputs of the layer before")

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def active(self) -> int:
        """How many of them one point uses."""
        return sum(layer.active for layer in self.layers)

    def __call__(self, points) -> np.ndarray:
        """Values at points of shape (N, D): shape (N, out)."""
        for layer in self.layers:
            points = layer(points)
        return points

    def routed(self, points) -> tuple[np.ndarray, np.ndarray]:
        """Values, shape (N, out), and the best expert of every layer, shape (N, L)."""
        routes = []
        for layer in self.layers:
            points, route = layer.routed(points)
            routes.append(route)
        return points, np.stack(routes, axis=1)


@njit(cache=True, nogil=True)
def _one_hidden_layer(points, inner, outer, inner_bias, outer_bias):
    """``outer relu(inner x + inner_bias) + outer_bias``, neuron by neuron over points side by side: no hidden array."""
    count, inputs = points.shape
    outputs, width = outer.shape
    result = np.empty((count, outputs))
    columns, totals = np.zeros((inputs, LANES)), np.empty((outputs, LANES))
    hidden = np.empty(LANES)
    for start in range(0, count, LANES):
        filled = min(LANES, count - start)
        for lane in range(filled):
            for axis in range(inputs):
                columns[axis, lane] = points[start + lane, axis]
        for output in range(outputs):
            totals[output] = outer_bias[output]
        for neuron in range(width):
            hidden[:] = inner_bias[neuron]
            for axis in range(inputs):
                slope = inner[neuron, axis]
                for lane in range(LANES):
                    hidden[lane] += slope * columns[axis, lane]
            for output in range(outputs):
                slope = outer[output, neuron]
                for lane in range(LANES):
                    totals[output, lane] += slope * max(hidden[lane], 0.0)
        for lane in range(filled):
            for output in range(outputs):
                result[start + lane, output] = totals[output, lane]
    return result


def _finite(values, name):
    array = np.ascontiguousarray(numbers(values, name))
    if not np.isfinite(array).all():
        raise ValueError(f"{name} are {shown(values)}; they must be finite")
    array.flags.writeable = False
    return array


def _sequence(values, name, kind):
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"{name} are {shown(values)}; they must be a sequence of {kind}") from None
