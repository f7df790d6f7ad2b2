r"""How smooth the piecewise target of the paper's second experiment is (Wang and E, Sec. 6).

On [i - 1, i], i = 1, 2, 3,

    f(z) = i (i - 1 - z)^2 (z - i)^2 = i t^2 (1 - t)^2,   t = z - (i - 1).

At the joints f and f' are 0 from both sides; f'' is 2 i on either end of piece i and jumps from 2 i to 2 (i + 1).  So f
is continuously differentiable with a Lipschitz derivative, kappa(f) = 1 in whole numbers, and piecewise-linear
interpolation on any grid converges like ``h^2``, joints on nodes or off them.
"""

from fractions import Fraction

import numpy as np

from ..arguments import numbers, shown
from .partition import interval

PIECES = 3
QUARTIC = (0, 0, 1, -2, 1)
"""Coefficients of ``t^2 (1 - t)^2``."""


def piecewise_quartic(z) -> np.ndarray:
    """f at z in [0, 3], any shape."""
    z = numbers(z, "z")
    if not ((z >= 0) & (z <= PIECES)).all():
        raise ValueError(f"z reaches from {z.min():.3g} to {z.max():.3g}; it must stay in [0, {PIECES}]")
    piece = interval(z, PIECES)
    t = z - piece
    return (piece + 1) * (t * (1 - t)) ** 2


def one_sided(joint, order) -> tuple[Fraction, Fraction]:
    """Derivatives of an order from the left and from the right at a joint, exactly.

    Parameters
    ----------
    joint : int, in [1, 2]
    order : int, >= 0
    """
    if joint not in range(1, PIECES):
        raise ValueError(f"joint is {shown(joint)}; it must be an integer in [1, {PIECES - 1}]")
    if order not in range(100):
        raise ValueError(f"order is {shown(order)}; it must be an integer in [0, 99]")
    coefficients = [Fraction(number) for number in QUARTIC]
    for _ in range(int(order)):
        coefficients = [power * number for power, number in enumerate(coefficients)][1:]
    return joint * sum(coefficients, Fraction(0)), (joint + 1) * (coefficients or [Fraction(0)])[0]


def continuous_derivatives() -> int:
    """How many times f is continuously differentiable on [0, 3]."""
    order = 0
    while all(left == right for left, right in (one_sided(joint, order) for joint in range(1, PIECES))):
        order += 1
    return order - 1
