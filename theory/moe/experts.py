r"""Experts of known error: piecewise-linear interpolation in one chart coordinate, Kuhn interpolation in several.

A linear chart is ``u = T^T (x - c)`` with orthonormal columns T.  In one coordinate the interpolant of a function g
with m segments is a network of one hidden layer with m neurons, and its error is at most ``h^2 max|g''| / 8``.

In d coordinates, with ``z`` the chart coordinates in units of the grid's step, the *hat* of node j is

    hat_j(z) = relu(1 - max(0, z_1 - j_1, .., z_d - j_d) + min(0, z_1 - j_1, .., z_d - j_d)),

and ``sum_j v_j hat_j`` interpolates linearly on the simplices of Kuhn (Freudenthal), into which sorting the fractional
parts of z divides each cell.  For d = 2, ``max(0, a, b) - min(0, a, b) = (|a| + |b| + |a - b|)/2`` makes it a network
of two hidden layers, the first of which all nodes share; in general a tree of maxima has ``ceil(log2(d + 1))`` hidden
layers before that of the hats.  :class:`KuhnExpert` is that network evaluated by sorting: d + 1 nodes for a point in
place of all; :meth:`KuhnExpert.network` writes it out.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from ..arguments import numbers, shown
from .model import DenseNetwork


def spline_expert(direction, centre, nodes, values) -> DenseNetwork:
    """The interpolant of values at nodes in the coordinate ``u = <t, x - c>``; one hidden layer, m neurons.

    To the right of the last node it goes on with the last slope, to the left of the first it is constant.

    Parameters
    ----------
    direction : array_like, shape (D,)
        t.
    centre : array_like, shape (D,)
        c.
    nodes : array_like, shape (m + 1,)
        Increasing.
    values : array_like, shape (m + 1,) or (m + 1, outputs)

    Raises
    ------
    ValueError
        If the nodes do not increase or shapes do not fit.
    """
    direction, centre, nodes = numbers(direction, "direction"), numbers(centre, "centre"), numbers(nodes, "nodes")
    values = numbers(values, "values")
    if direction.ndim != 1 or centre.shape != direction.shape:
        raise ValueError(f"direction and centre have shapes {direction.shape} and {centre.shape}; both must be (D,)")
    if nodes.ndim != 1 or len(nodes) < 2 or values.shape[:1] != nodes.shape or values.ndim > 2:
        raise ValueError(f"nodes and values have shapes {nodes.shape} and {values.shape}; there must be at least two "
                         "nodes and as many values")
    steps = np.diff(nodes)
    if not (steps > 0).all():
        raise ValueError(f"nodes {int(np.argmin(steps))} and the next are {steps.min():.3g} apart; nodes must increase")
    values = values.reshape(len(nodes), -1)
    slopes = np.diff(values, axis=0) / steps[:, None]
    bends = np.diff(slopes, axis=0, prepend=np.zeros((1, values.shape[1])))
    return DenseNetwork((np.tile(direction, (len(steps), 1)), bends.T),
                        (-nodes[:-1] - direction @ centre, values[0]))


@dataclass(frozen=True, eq=False)
class KuhnExpert:
    """Kuhn interpolation on a grid of a linear chart, by sorting; beyond the grid's hats it is 0.

    Parameters
    ----------
    basis : array_like, shape (D, d)
        T; its columns need not be orthonormal.
    centre : array_like, shape (D,)
        c.
    low, high : array_like, shape (d,)
        Corners of the grid in chart coordinates, low < high.
    values : array_like, shape (n_1 + 1, .., n_d + 1) or (n_1 + 1, .., n_d + 1, outputs)
        At the nodes; every n_i >= 1.

    Raises
    ------
    ValueError
        If shapes do not fit or a side is not positive.
    """

    basis: np.ndarray
    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray
    values: np.ndarray
    _padded: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        for name in ("basis", "centre", "low", "high", "values"):
            array = np.ascontiguousarray(numbers(getattr(self, name), name))
            if not np.isfinite(array).all():
                raise ValueError(f"{name} are {shown(array.tolist())}; they must be finite")
            object.__setattr__(self, name, array)
        if self.basis.ndim != 2 or 0 in self.basis.shape or self.centre.shape != self.basis.shape[:1]:
            raise ValueError(f"basis and centre have shapes {self.basis.shape} and {self.centre.shape}; they must be "
                             "(D, d) and (D,)")
        dimension = self.basis.shape[1]
        if self.low.shape != (dimension,) or self.high.shape != (dimension,) or not (self.low < self.high).all():
            raise ValueError(f"low and high are {shown(self.low.tolist())} and {shown(self.high.tolist())}; they must "
                             f"be {dimension} numbers each, low less than high")
        if self.values.ndim == dimension:
            object.__setattr__(self, "values", self.values[..., None])
        if self.values.ndim != dimension + 1 or min(self.values.shape[:-1]) < 2:
            raise ValueError(f"values have shape {self.values.shape}; it must be {dimension} sides of at least 2 nodes")
        object.__setattr__(self, "_padded", np.pad(self.values, [(1, 1)] * dimension + [(0, 0)]))

    @property
    def inputs(self) -> int:
        """D."""
        return len(self.basis)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.values.shape[-1]

    @property
    def segments(self) -> np.ndarray:
        """n, steps of the grid along each side, shape (d,)."""
        return np.array(self.values.shape[:-1]) - 1

    @property
    def width(self) -> int:
        """Hats, one for each node: the width of the last hidden layer."""
        return math.prod(self.values.shape[:-1])

    @property
    def parameters(self) -> int:
        """Entries of the matrices and biases of :meth:`network`, most of them 0; see :func:`free_numbers`."""
        before, total = self.inputs, 0
        for neurons in (*_hidden_widths(self.values.shape[:-1]), self.width):
            before, total = neurons, total + neurons * (before + 1)
        return total + self.values.size

    def coordinates(self, points) -> np.ndarray:
        """Chart coordinates in steps of the grid, shape (N, d).

        Raises
        ------
        ValueError
            If points are not of shape (N, D).
        """
        points = numbers(points, "points")
        if points.ndim != 2 or points.shape[1] != self.inputs:
            raise ValueError(f"points have shape {points.shape}; it must be (N, {self.inputs})")
        chart = (points - self.centre) @ self.basis
        return (chart - self.low) * (self.segments / (self.high - self.low))

    def __call__(self, points) -> np.ndarray:
        """Values at points of shape (N, D): shape (N, outputs)."""
        sides = np.array(self._padded.shape[:-1])
        strides = np.concatenate([np.cumprod(sides[:0:-1])[::-1], [1]])
        return _interpolate(self.coordinates(points), self._padded.reshape(-1, self.outputs), sides, strides)

    def network(self) -> DenseNetwork:
        """The same function as an explicit ReLU network; its second and later matrices are dense, so keep n small."""
        nodes = np.array(list(itertools.product(*(range(side) for side in self.values.shape[:-1]))), dtype=float)
        scale = self.segments / (self.high - self.low)
        chart = (self.basis * scale).T
        offset = -chart @ self.centre - self.low * scale
        weights, biases = (_shared_hats if len(self.low) == 2 else _trees)(nodes)
        first = weights[0] @ chart, weights[0] @ offset + biases[0]
        output = self.values.reshape(len(nodes), -1).T
        return DenseNetwork((first[0], *weights[1:], output), (first[1], *biases[1:], None))


def free_numbers(network) -> int:
    """Numbers that determine a network of this package, where ``parameters`` counts the entries of its matrices.

    Of a :class:`KuhnExpert` those of chart, grid and node values.  Of a dense network, matrix by matrix, the biases and
    every row once, however many neurons have it: the direction of a spline, the three of a sum of three, what all
    neurons of ``g(psi(x))`` take from psi.  Rows of 0, 1 and -1 without a bias are wiring, such as handing on x, and
    count nothing; so do columns of zeros at the end, the features that an expert does not read.

    It is exact for the splines, their sums and compositions and their gates; of others it is an upper bound.
    """
    if isinstance(network, KuhnExpert):
        return network.basis.size + network.centre.size + 2 * len(network.low) + network.values.size
    if isinstance(network, DenseNetwork):
        return sum(map(_free_rows, network.weights, network.biases))
    return network.parameters


def _free_rows(weight, bias):
    """Free numbers of one linear map."""
    used = np.flatnonzero(weight.any(axis=0))
    weight = np.ascontiguousarray(weight[:, :used[-1] + 1] if len(used) else weight[:, :0]) + 0.0      # -0 is 0
    first, group = {}, np.empty(len(weight), dtype=int)
    for place, row in enumerate(weight):
        group[place] = first.setdefault(row.tobytes(), place)
    kept = np.fromiter(first.values(), dtype=int)
    biased = np.isin(kept, group[bias != 0] if bias is not None else ())
    free = biased | ~np.isin(weight[kept], (-1.0, 0.0, 1.0)).all(axis=1)
    entries = weight.shape[1] * int((free & weight[kept].any(axis=1)).sum())
    return entries + (0 if bias is None else int(np.isin(group, kept[free]).sum()))


def _hidden_widths(sides):
    """Neurons of the hidden layers before that of the hats, as :meth:`KuhnExpert.network` has them."""
    dimension = len(sides)
    if dimension == 2:
        return [4 * sum(sides) - 2]
    widths, forms, zero = [], dimension + 1, True
    while forms > 1:
        # pairs take three neurons, a pair with the constant 0 one, a form without a partner two
        rows = 3 * (forms // 2) + (2 if forms % 2 else -2 * zero)
        widths.append(2 * rows * math.prod(sides))
        forms, zero = (forms + 1) // 2, False
    return widths


def _shared_hats(nodes):
    """Two hidden layers for d = 2: ``relu(+-(a - k))`` for a of z_1, z_2, z_1 - z_2, then every hat."""
    forms, places = [], {}
    for axis, form in enumerate(((1.0, 0.0), (0.0, 1.0), (1.0, -1.0))):
        for position in sorted(set((nodes @ form).tolist())):
            places[axis, position] = len(forms)
            forms += [(*form, -position), (-form[0], -form[1], position)]
    forms = np.array(forms)
    hats = np.zeros((len(nodes), len(forms)))
    for row, (one, two) in enumerate(nodes):
        for key in ((0, one), (1, two), (2, one - two)):
            hats[row, places[key]:places[key] + 2] = -0.5
    return [forms[:, :2], hats], [forms[:, 2], np.ones(len(nodes))]


def _trees(nodes):
    """Maxima of pairs, ``max(f, g) = relu(f - g) + relu(g) - relu(-g)``, level by level, then the hats."""
    count, dimension = nodes.shape
    signed = []
    for sign in (1.0, -1.0):
        signed.append(np.vstack([sign * np.eye(dimension), np.zeros((1, dimension))]))
    weights, biases, previous = [], [], None
    while max(map(len, signed)) > 1:
        rows, combined = [], []
        for forms in signed:
            level = []
            for place in range(0, len(forms), 2):
                first = forms[place]
                second = forms[place + 1] if place + 1 < len(forms) else np.zeros_like(first)
                if place + 1 == len(forms):
                    level.append([(len(rows), 1.0), (len(rows) + 1, -1.0)])
                    rows += [first, -first]
                elif not second.any():
                    level.append([(len(rows), 1.0)])
                    rows.append(first)
                else:
                    level.append([(len(rows), 1.0), (len(rows) + 1, 1.0), (len(rows) + 2, -1.0)])
                    rows += [first - second, second, -second]
            combined.append(level)
        matrix = np.array(rows)
        if previous is None:
            weights.append(np.tile(matrix, (count, 1)))
            biases.append(-(nodes @ matrix.T).ravel())
        else:
            weights.append(np.kron(np.eye(count), matrix))
            biases.append(np.zeros(count * len(matrix)))
        previous = len(rows)
        signed = [np.array([_form(terms, previous) for terms in level]) for level in combined]
    hat = -(signed[0][0] + signed[1][0])
    weights.append(np.kron(np.eye(count), hat[None]))
    biases.append(np.ones(count))
    return weights, biases


def _form(terms, width):
    form = np.zeros(width)
    for place, coefficient in terms:
        form[place] = coefficient
    return form


@njit(cache=True, nogil=True)
def _interpolate(coordinates, values, sides, strides):
    """Barycentric interpolation: the corners met when the largest fractional part is rounded up first."""
    count, dimension = coordinates.shape
    outputs = values.shape[1]
    result = np.zeros((count, outputs))
    part = np.empty(dimension)
    order = np.empty(dimension, dtype=np.int64)
    for row in range(count):
        corner, inside = 0, True
        for axis in range(dimension):
            shifted = coordinates[row, axis] + 1.0
            if not 0.0 <= shifted < sides[axis] - 1:
                inside = False
                break
            cell = int(shifted)
            part[axis] = shifted - cell
            corner += cell * strides[axis]
            place = axis
            while place and part[order[place - 1]] < part[axis]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = axis
        if not inside:
            continue
        weight = 1.0 - part[order[0]]
        for output in range(outputs):
            result[row, output] = weight * values[corner, output]
        for place in range(dimension):
            corner += strides[order[place]]
            weight = part[order[place]] - (part[order[place + 1]] if place + 1 < dimension else 0.0)
            for output in range(outputs):
                result[row, output] += weight * values[corner, output]
    return result
