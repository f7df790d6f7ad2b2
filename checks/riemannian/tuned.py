r"""The gain of one method over another, both at their best learning rates, from pairs of runs.

Rates of a grid are chosen on one half of the replicas and judged on the other, then the other way around; both methods
see the same starts and the same noise, and the standard error is that of pairs.  Choosing and judging on the same
replicas would flatter whoever varies more.

A best rate lies between points of a grid, at another distance for every method, which alone would make one look better:
it is the vertex of the parabola through the logarithms of the three mean losses about the smallest, and the loss there
is interpolated by the parabola through the three losses of every replica, which is linear in them.  What is neglected
is of third order in the spacing of the grid, a quarter of an octave.
"""

from typing import NamedTuple

import numpy as np

SPACING = 0.25
"""Of a grid, in octaves."""


class Gain(NamedTuple):
    """``1 - (loss of the one)/(loss of the other)``, its standard error, and how many grid points the chosen minima are
    from the ends of their grids, at least."""

    value: float
    error: float
    inside: int


def grid(centre, octaves):
    """Learning rates ``centre 2^x`` for x from the first to the last of two numbers, a quarter of an octave apart."""
    low, high = octaves
    return centre * 2.0 ** np.arange(low, high + 1e-9, SPACING)


def best(losses):
    """Place of the smallest mean loss on the grid, and the vertex next to it in units of the spacing, in +- 1/2.

    Parameters
    ----------
    losses : array_like, shape (R, L)
        Final losses > 0 of replicas at the rates of a uniform grid of logarithms.
    """
    means = np.log(np.mean(losses, axis=0))
    place = int(np.argmin(means))
    if place in (0, means.size - 1):
        return place, 0.0
    before, at, after = means[place - 1:place + 2]
    return place, float(0.5 * (before - after) / (before - 2.0 * at + after))


def at(losses, place, shift):
    """Losses (R,) at a place of :func:`best`, interpolated by a parabola in each replica."""
    if shift == 0.0:
        return losses[:, place]
    weights = np.array([0.5 * shift * (shift - 1.0), 1.0 - shift**2, 0.5 * shift * (shift + 1.0)])
    return losses[:, place - 1:place + 2] @ weights


def compared(own, other) -> Gain:
    """The gain, from final losses (R, L) and (R, L') of pairs of runs.

    The two halves of the estimate share no replica in the same role; its error is taken as that of independent halves.
    """
    half, parts, inside = len(own) // 2, [], np.inf
    for chosen, judged in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        ends = []
        for losses in (own, other):
            place, shift = best(losses[chosen])
            inside = min(inside, place, losses.shape[1] - 1 - place)
            ends.append(at(losses[judged], place, shift))
        ratio = ends[0].mean() / ends[1].mean()
        error = np.std(ends[0] - ratio * ends[1], ddof=1) / np.sqrt(ends[0].size) / ends[1].mean()
        parts.append((1.0 - ratio, error))
    (first, one), (second, two) = parts
    return Gain(0.5 * (first + second), 0.5 * np.hypot(one, two), int(inside))
