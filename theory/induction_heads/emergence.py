r"""When the induction head emerges, for a grid of tasks: the two-parameter flow until its loss has fallen to a level.

In ``beta = b/c`` and ``l = log x = log w^2`` the flow of :mod:`.induction_block` is

    dbeta/dtau = A(x y) - beta A(x^2),      dl/dtau = 4 c^2 beta [y A'(x y) - beta x A'(x^2)],

stiff for small c: beta relaxes at rate d, l creeps at ``4 c^2 d^2 y``.  Integrated by extrapolation of the linearly
implicit Euler step (Deuflhard 1985), which needs no table of coefficients: with H/n, n = 1, ..., 8 substeps of

    (1 - (H/n) J) (x_{k+1} - x_k) = (H/n) f(x_k),      J at the start of the step,

and Aitken-Neville's scheme in H/n.  The crossing of the level is found by shortening the last step.
"""

import math

import numba
import numpy as np

from ..arguments import numbers, shown
from .four_gram import checked_fraction
from .population_loss import LARGEST_SIMILARITY, checked_dimension

COLUMNS = 8
TOLERANCE = 1e-11
MOST_STEPS = 100_000
LARGEST_WEIGHT, SMALLEST_SCALE = 1e9, 1e-300


def emergence_times(weight, similarity, scale, ratio=0.5, dimension=1):
    """``T_r/N``: scaled time at which the loss of the induction head is r times its plateau.

    Parameters
    ----------
    weight, similarity, scale : array_like
        alpha, ``0 < alpha <= 1e9``; y between 0 and ``1/sqrt(2)``; and ``sigma = b = w`` at the start, ``1e-300 <=
        sigma < sqrt(y)``; shapes that broadcast.
    ratio : float
        r, between 0 and 1, ends excluded.
    dimension : int
        d >= 1, of a token.

    Returns
    -------
    ndarray
        Of the broadcast shape; relative accuracy about 1e-9.

    Raises
    ------
    ValueError
        For arguments out of range.
    RuntimeError
        If some flow does not get there.
    """
    given = numbers(weight, "weights"), numbers(similarity, "similarities"), numbers(scale, "scales")
    try:
        weight, y, sigma = np.broadcast_arrays(*given)
    except ValueError:
        raise ValueError("weights, similarities and scales have shapes " + ", ".join(str(each.shape) for each in given)
                         + "; they must broadcast") from None
    ratio, dimension = checked_fraction(ratio, "ratio"), checked_dimension(dimension)
    for name, values, good, limits in (
            ("weight", weight, (weight > 0) & (weight <= LARGEST_WEIGHT), f"> 0 and <= {LARGEST_WEIGHT:g}"),
            ("similarity", y, (y > 0) & (y < LARGEST_SIMILARITY), "> 0 and < 1/sqrt(2) = 0.7071"),
            ("scale", sigma, (sigma >= SMALLEST_SCALE) & (sigma * sigma < y), f">= {SMALLEST_SCALE:g} and < sqrt(y)")):
        if not good.all():
            raise ValueError(f"{name} is {shown(float(values[~good][0]))}; it must be {limits}")
    c = 1.0 / (1.0 + weight)
    found = np.array([_time(*point, ratio, float(dimension)) for point in zip(c.flat, y.flat, sigma.flat)])
    if np.isnan(found).any():
        place = int(np.argmax(np.isnan(found)))
        raise RuntimeError(f"no emergence within {MOST_STEPS} steps for weight {weight.flat[place]:g}, similarity "
                           f"{y.flat[place]:g} and scale {sigma.flat[place]:g}")
    return found.reshape(weight.shape)


@numba.njit(cache=True)
def _field(beta, logarithm, c, y, d):
    """The two rates and their four derivatives."""
    x = math.exp(logarithm)
    own, cross = max(1.0 - 2.0 * x * x, 1e-9), max(1.0 - 2.0 * x * y, 1e-9)
    own_0, cross_0 = d * own ** (-0.5 * d), d * cross ** (-0.5 * d)
    own_1, cross_1 = d * own_0 / own, d * cross_0 / cross
    own_2, cross_2 = (d + 2.0) * own_1 / own, (d + 2.0) * cross_1 / cross
    k = 4.0 * c * c
    by_beta = y * cross_1 - 2.0 * beta * x * own_1
    return (cross_0 - beta * own_0, k * beta * (y * cross_1 - beta * x * own_1), -own_0, x * by_beta, k * by_beta,
            k * beta * x * (y * y * cross_2 - beta * own_1 - 2.0 * beta * x * x * own_2))


@numba.njit(cache=True)
def _step(beta, logarithm, h, c, y, d, table):
    """One extrapolated step; returns the new state and its error, the difference of the last two columns."""
    f1, f2, j11, j12, j21, j22 = _field(beta, logarithm, c, y, d)
    for row in range(COLUMNS):
        part = h / (row + 1)
        m11, m12, m21, m22 = 1.0 - part * j11, -part * j12, -part * j21, 1.0 - part * j22
        determinant = m11 * m22 - m12 * m21
        u, v, g1, g2 = beta, logarithm, f1, f2
        for k in range(row + 1):
            if k:
                g1, g2 = _field(u, v, c, y, d)[:2]
            u += part * (m22 * g1 - m12 * g2) / determinant
            v += part * (m11 * g2 - m21 * g1) / determinant
        new1, new2 = u, v
        for column in range(row):   # table[column] holds the entry of the row before
            old1, old2 = table[column, 0], table[column, 1]
            table[column, 0], table[column, 1] = new1, new2
            factor = (row - column) / (column + 1.0)
            new1 += (new1 - old1) * factor
            new2 += (new2 - old2) * factor
        table[row, 0], table[row, 1] = new1, new2
    last = table[COLUMNS - 1]
    error = max(abs(last[0] - table[COLUMNS - 2, 0]), abs(last[1] - table[COLUMNS - 2, 1]))
    return last[0], last[1], error / max(1.0, abs(logarithm), abs(beta))   # what is large has large rounding


@numba.njit(cache=True)
def _excess(beta, logarithm, y, d, level):
    """``N L_IH`` in units of ``c^2 d/2``, over the level, less one."""
    x = math.exp(logarithm)
    own, cross = max(1.0 - 2.0 * x * x, 1e-9), max(1.0 - 2.0 * x * y, 1e-9)
    missed = -math.expm1(0.5 * d * math.log1p(-2.0 * ((x - y) / cross) ** 2))
    off = beta - (own / cross) ** (0.5 * d)
    return (own ** (-0.5 * d) * off * off + (1.0 - 2.0 * y * y) ** (-0.5 * d) * missed) / level - 1.0


@numba.njit(cache=True)
def _time(c, y, sigma, ratio, d):
    level = ratio * math.expm1(-0.5 * d * math.log1p(-2.0 * y * y))
    beta, logarithm, time, h = sigma / c, 2.0 * math.log(sigma), 0.0, 0.1 / d
    table = np.zeros((COLUMNS, 2))
    if _excess(beta, logarithm, y, d, level) <= 0.0:
        return 0.0
    for _ in range(MOST_STEPS):
        new_beta, new_logarithm, error = _step(beta, logarithm, h, c, y, d, table)
        if not error <= TOLERANCE:   # also where it is not a number
            h *= max(0.1, 0.9 * (TOLERANCE / error) ** (1.0 / COLUMNS)) if error < 1e3 else 0.1
            continue
        if _excess(new_beta, new_logarithm, y, d, level) <= 0.0:
            low, high = 0.0, h
            for _ in range(52):
                middle = 0.5 * (low + high)
                u, v, error = _step(beta, logarithm, middle, c, y, d, table)
                if _excess(u, v, y, d, level) <= 0.0:
                    high = middle
                else:
                    low = middle
            return time + 0.5 * (low + high)
        time, beta, logarithm = time + h, new_beta, new_logarithm
        h *= min(4.0, 0.9 * (TOLERANCE / max(error, 1e-30)) ** (1.0 / COLUMNS))
    return math.nan
