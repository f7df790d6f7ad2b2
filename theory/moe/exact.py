r"""Networks in exact arithmetic: which affine map a mixture of experts is at a point.

Weights are floats, floats are rationals, and ReLU and argmax take rationals to rationals: at a rational point x the
route, the value y and the affine map ``y = A x + b`` that holds on the piece of x are found without rounding
(``fractions.Fraction``).  Of equal logits the first wins, as in :mod:`~theorycheck.theory.moe.model`; at a kink a ReLU
counts as inactive.
"""

from dataclasses import dataclass
from fractions import Fraction

from ..arguments import shown
from .model import DenseNetwork, MoE, MoELayer

ZERO = Fraction(0)


@dataclass(frozen=True)
class Piece:
    """A network at a rational point.

    Attributes
    ----------
    value : tuple of Fraction
        y.
    route : tuple of int
        The expert of every layer.
    matrix : tuple of tuple of Fraction
        A, by rows.
    offset : tuple of Fraction
        b.
    """

    value: tuple
    route: tuple
    matrix: tuple
    offset: tuple

    @property
    def affine(self) -> tuple:
        """``(A, b)``: equal for two points if and only if they lie on pieces with the same affine map."""
        return self.matrix, self.offset

    @property
    def rank(self) -> int:
        """Rank of A."""
        return rank(self.matrix)


class Rational:
    """A network whose every expert is dense, made exact.

    Parameters
    ----------
    network : MoE, MoELayer or DenseNetwork
        Layers select one expert (K = 1, weight 1: normalised over the selected), and have no shared ones.

    Raises
    ------
    ValueError
        For another network, or a layer whose weights are softmaxes, which are not rational.
    """

    def __init__(self, network):
        if isinstance(network, DenseNetwork):
            self.layers, self.inputs = (((_rational(network),), None),), network.inputs
            return
        layers = (network,) if isinstance(network, MoELayer) else getattr(network, "layers", ())
        if not isinstance(network, MoE | MoELayer):
            raise ValueError(f"network is {shown(network)}; it must be an MoE, an MoELayer or a DenseNetwork")
        for depth, layer in enumerate(layers, 1):
            if layer.top != 1 or layer.normalised != "selected" or layer.shared:
                raise ValueError(f"layer {depth} has top = {layer.top}, normalised over {layer.normalised}, "
                                 f"{len(layer.shared)} shared; it must have top = 1, selected, 0: others are not exact")
            if not all(isinstance(expert, DenseNetwork) for expert in layer.experts):
                raise ValueError(f"layer {depth} has experts that are no DenseNetwork; each must be one to be exact")
        known = {}   # weight-tied layers are converted once

        def exact(dense):
            return known.setdefault(id(dense), _rational(dense))
        self.layers = tuple((tuple(map(exact, layer.experts)), exact(layer.gate)) for layer in layers)
        self.inputs = layers[0].inputs

    def piece(self, point) -> Piece:
        """The network at a point.

        Parameters
        ----------
        point : sequence of Fraction or int, length D

        Raises
        ------
        ValueError
            For another length, or a coordinate that is no rational number.
        """
        try:
            value = tuple(map(Fraction, point))
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            raise ValueError(f"point is {shown(point)}; its coordinates must be finite rational numbers") from None
        if len(value) != self.inputs:
            raise ValueError(f"point has {len(value)} coordinates; it must have {self.inputs}")
        count = self.inputs
        # Rows (coefficients.., constant) of the affine map so far.
        rows = [[Fraction(row == column) for column in range(count)] + [ZERO] for row in range(count)]
        route = []
        for experts, gate in self.layers:
            chosen = 0
            if gate is not None:
                logits = _value(gate, value)
                chosen = logits.index(max(logits))
            route.append(chosen)
            value, rows = _pushed(experts[chosen], value, rows)
        return Piece(value, tuple(route), tuple(tuple(row[:-1]) for row in rows), tuple(row[-1] for row in rows))


def rank(matrix) -> int:
    """Rank of a matrix of Fractions, by elimination."""
    rows, found = [list(row) for row in matrix], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((row for row in range(found, len(rows)) if rows[row][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for row in range(found + 1, len(rows)):
            factor = rows[row][column] / rows[found][column]
            rows[row] = [one - factor * other for one, other in zip(rows[row], rows[found], strict=True)]
        found += 1
    return found


def _rational(dense):
    """For every linear map its bias and its entries that are not 0, row by row."""
    layers = []
    for matrix, bias in zip(dense.weights, dense.biases, strict=True):
        sparse = [[(int(column), Fraction(float(row[column]))) for column in row.nonzero()[0]] for row in matrix]
        constant = [ZERO] * len(matrix) if bias is None else [Fraction(float(number)) for number in bias]
        layers.append((sparse, constant))
    return layers


def _value(layers, value):
    for depth, (matrix, bias) in enumerate(layers):
        if depth:
            value = [max(number, ZERO) for number in value]
        value = [sum((weight * value[column] for column, weight in row), constant)
                 for row, constant in zip(matrix, bias, strict=True)]
    return value


def _pushed(layers, value, rows):
    """Value and affine map behind a dense network, from those before it."""
    width = len(rows[0])
    for depth, (matrix, bias) in enumerate(layers):
        if depth:
            rows = [row if number > 0 else [ZERO] * width for number, row in zip(value, rows, strict=True)]
            value = [max(number, ZERO) for number in value]
        combined = []
        for row, constant in zip(matrix, bias, strict=True):
            total = [ZERO] * (width - 1) + [constant]
            for column, weight in row:
                total = [one + weight * other if other else one
                         for one, other in zip(total, rows[column], strict=True)]
            combined.append(total)
        value = tuple(sum((weight * value[column] for column, weight in row), constant)
                      for row, constant in zip(matrix, bias, strict=True))
        rows = combined
    return value, rows
