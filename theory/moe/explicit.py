r"""Dense networks for the paper's second experiment, written down instead of trained (Wang and E, Sec. 6; derived).

Targets ``q(x_1) + q(x_2)`` and ``(q(x_1), q(x_2))`` on [0, 3]^2, q of :mod:`.smoothness`.  A network of one hidden
layer with m = 2 n neurons ``relu(x_l - j h)``, h = 3/n, j = 0 .. n - 1, is on either coordinate any continuous spline
with n pieces of length h.  With r = q - spline, independent coordinates and points uniform on the square,

    vector, averaged over its two outputs:  <r^2>,          sum:  2 <r^2> + 2 <r>^2.

The best spline in the mean square makes r orthogonal to every hat function, hence <r> = 0.  To leading order r is, on
each piece, q''/2 times ``t^2/4 - h^2/12 + ...``, so that

    fitted:  <r^2> = h^4/720 <q''^2>,      interpolated:  <r^2> = h^4/120 <q''^2>,      <q''^2> = 56/15:

m^-4.  An MoE layer whose experts are all this network is this network, whatever its gate does: the errors bound from
above what a mixture of any number of experts of width m can express.
"""

import math

import numpy as np
from scipy.linalg import solveh_banded

from ..arguments import numbers, positive, shown
from .model import DenseNetwork, MoE, MoELayer, linear_gate
from .smoothness import PIECES, piecewise_quartic

CURVATURE = 56 / 15
"""<q''^2>, the mean over [0, 3]."""
CONSTANTS = {True: 1 / 720, False: 1 / 120}
"""<r^2> over h^4 <q''^2> of the fitted and of the interpolating spline, to leading order."""


def spline_values(pieces, fitted=True) -> np.ndarray:
    """The spline with equal pieces for q on [0, 3]: its values at the n + 1 nodes.

    Parameters
    ----------
    pieces : int, >= 1
        n.
    fitted : bool
        Best in the mean square; else q at the nodes.

    Raises
    ------
    ValueError
        If `pieces` is not a positive integer.
    """
    pieces = positive(pieces, "pieces")
    nodes = np.linspace(0, PIECES, pieces + 1)
    if not fitted:
        return piecewise_quartic(nodes)
    points, weights = _quadrature(pieces)
    at, share = _place(points, pieces)
    load = np.zeros(pieces + 1)
    np.add.at(load, at, weights * piecewise_quartic(points) * (1 - share))
    np.add.at(load, at + 1, weights * piecewise_quartic(points) * share)
    step = PIECES / pieces
    mass = np.array([[step / 6], [2 * step / 3]]) * np.ones(pieces + 1)   # above the diagonal, and on it
    mass[1, [0, -1]] = step / 3
    return solveh_banded(mass, load)


def spline_errors(values) -> tuple[float, float]:
    """<r> and <r^2> of the spline with these values at equally spaced nodes, exact but for rounding.

    Parameters
    ----------
    values : array_like, shape (n + 1,)
    """
    values = numbers(values, "values")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values have shape {values.shape}; it must be (n + 1,) with n >= 1")
    points, weights = _quadrature(len(values) - 1)
    at, share = _place(points, len(values) - 1)
    residual = piecewise_quartic(points) - (values[at] * (1 - share) + values[at + 1] * share)
    return float(weights @ residual) / PIECES, float(weights @ residual**2) / PIECES


def mean_square_error(width, target="vector", fitted=True) -> float:
    """Of the network of a width, exact but for rounding.

    Parameters
    ----------
    width : int
        m, even.
    target : {"vector", "sum"}
    fitted : bool
        Whether the splines are the best ones or interpolate.

    Raises
    ------
    ValueError
        For an odd width or another target.
    """
    mean, square = spline_errors(spline_values(_pieces(width), fitted))
    return square if _checked(target) == "vector" else 2 * square + 2 * mean**2


def leading_error(width, target="vector", fitted=True) -> float:
    """What :func:`mean_square_error` tends to, ``c h^4 <q''^2>`` for the vector and twice that for the sum."""
    step = PIECES / _pieces(width)
    return CONSTANTS[bool(fitted)] * step**4 * CURVATURE * (1 if _checked(target) == "vector" else 2)


def dense_network(width, target="vector", fitted=True) -> DenseNetwork:
    """The network itself, R^2 to R^2 or R; parameters and errors as in :func:`mean_square_error`."""
    pieces = _pieces(width)
    values = spline_values(pieces, fitted)
    bends = np.diff(np.diff(values) * pieces / PIECES, prepend=0.0)
    nodes = np.linspace(0, PIECES, pieces + 1)[:-1]
    inner, inner_bias = np.repeat(np.eye(2), pieces, axis=0), -np.tile(nodes, 2)
    if _checked(target) == "sum":
        return DenseNetwork((inner, np.tile(bends, 2)[None]), (inner_bias, np.array([2 * values[0]])))
    outer = np.zeros((2, 2 * pieces))
    outer[0, :pieces], outer[1, pieces:] = bends, bends
    return DenseNetwork((inner, outer), (inner_bias, np.full(2, values[0])))


def equal_experts(width, experts, target="vector", gate=None) -> MoE:
    """One MoE layer all of whose experts are :func:`dense_network`, behind any linear gate.

    Parameters
    ----------
    width, target
        As there.
    experts : int
        E.
    gate : array_like, shape (E, 2), optional
        Weights of the gate, which change nothing; by default ``(cos, sin)(2 pi k/E)``.
    """
    experts = positive(experts, "experts")
    if gate is None:
        angle = 2 * math.pi * np.arange(experts) / experts
        gate = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return MoE((MoELayer(linear_gate(gate), (dense_network(width, target),) * experts),))


def _quadrature(pieces):
    """Gauss points between nodes and joints of [0, 3], exact for squares of quartics."""
    edges = np.union1d(np.arange(pieces + 1) * PIECES / pieces, np.arange(PIECES + 1.0))
    edges = edges[np.append(True, np.diff(edges) > 1e-12)]
    place, weight = np.polynomial.legendre.leggauss(5)
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1, None] + half * (1 + place)).ravel(), (half * weight).ravel())


def _place(points, pieces):
    """The piece each point lies on, and how far along."""
    scaled = points * pieces / PIECES
    at = np.clip(np.floor(scaled).astype(int), 0, pieces - 1)
    return at, scaled - at


def _pieces(width):
    width = positive(width, "width")
    if width % 2:
        raise ValueError(f"width is {width}; it must be even, at least 2: half of the neurons for each coordinate")
    return width // 2


def _checked(target):
    if target not in ("vector", "sum"):
        raise ValueError(f"target is {shown(target)}; it must be vector or sum")
    return target
