r"""Moments of many replicas, summed in an order that does not depend on who computed what when.

Floating-point sums depend on their order, so the order is fixed once: replicas are the leaves of the
binary tree whose node (l, k) covers replicas :math:`k 2^l \le r < (k+1) 2^l`, two siblings are merged by
the pairwise formulas of Chan, Golub and LeVeque (1983), extended to fourth order by Pebay (Sandia report
SAND2008-6212), and the maximal nodes within 0..R-1 are folded from the right.  A chunk of
consecutive replicas is its O(log R) maximal nodes.  The tree is also a pairwise summation: the rounding error of
the mean grows like log2 R.

A replica that is left out (it diverged) is a leaf of count 0, and merging with an empty node changes nothing.
"""

import bisect

import numpy as np
from numba import njit

MEAN, M2, M3, M4, LOW, HIGH = range(6)


class Tree:
    """Moments of a set of replicas, as the maximal nodes of the binary tree over all replicas.

    A node ``(level, index)`` covers replicas ``index * 2**level`` to ``(index + 1) * 2**level - 1`` and holds
    an array ``(6, P)``: mean, sums of the 2nd, 3rd and 4th powers of deviations, minimum, maximum, all over those of
    its replicas that are not in ``lost``, the dictionary of diverged replicas and the steps at which they diverged.
    """

    def __init__(self):
        self.nodes, self.lost, self._ordered = {}, {}, []

    def add_range(self, first: int, last: int, arrays, lost=None) -> None:
        """Put in the replicas ``first <= r < last``.

        Parameters
        ----------
        first, last : int
        arrays : sequence of ndarray, each (6, P)
            Their maximal nodes, as :func:`maximal_nodes` lists them.
        lost : dict of int to (int or None), optional
            Those of them that diverged, and when.

        Raises
        ------
        ValueError
            If an array contains NaN: nothing else gets into an average, so none gets there unseen.
        """
        for replica, step in (lost or {}).items():
            self.lost[replica] = step
            bisect.insort(self._ordered, replica)
        for (level, index), array in zip(maximal_nodes(first, last), arrays, strict=True):
            if np.isnan(array).any():
                raise ValueError(f"moments of replicas {first}..{last - 1} contain NaN; they must be numbers")
            while (level, index ^ 1) in self.nodes:
                sibling = self.nodes.pop((level, index ^ 1))
                left, right = (sibling, array) if index & 1 else (array, sibling)
                array = merge(left, self.count(level, index & ~1), right, self.count(level, index | 1))
                level, index = level + 1, index >> 1
            self.nodes[level, index] = array

    def count(self, level: int, index: int) -> float:
        """How many replicas the array of a node is over."""
        low, high = (bisect.bisect_left(self._ordered, end << level) for end in (index, index + 1))
        return 2.0**level - (high - low)

    def missing(self, replicas: int) -> list:
        """Sorted ranges ``(first, last)`` of the replicas below `replicas` that are not in."""
        gaps, reached = [], 0
        for first, last in sorted((index << level, (index + 1) << level) for level, index in self.nodes):
            if first > reached:
                gaps.append((reached, first))
            reached = last
        return gaps + ([(reached, replicas)] if reached < replicas else [])

    def missing_count(self, replicas: int) -> int:
        """How many replicas below `replicas` are not in."""
        return sum(last - first for first, last in self.missing(replicas))

    def fold(self, replicas: int) -> np.ndarray:
        """Moments ``(6, P)`` of the replicas ``0 <= r < replicas``, all of which must be in."""
        nodes = maximal_nodes(0, replicas)
        total, count = self.nodes[nodes[-1]], self.count(*nodes[-1])
        for node in reversed(nodes[:-1]):
            total = merge(self.nodes[node], self.count(*node), total, count)
            count += self.count(*node)
        return total


def maximal_nodes(first: int, last: int) -> list:
    """The fewest nodes ``(level, index)`` that cover the replicas ``first <= r < last``, from left to right."""
    nodes = []
    while first < last:
        level = (last - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        nodes.append((level, first >> level))
        first += 1 << level
    return nodes


def moments(samples: np.ndarray, first: int, lost=()) -> np.ndarray:
    """Reduce consecutive replicas to their maximal nodes.

    Parameters
    ----------
    samples : ndarray of float64, shape (count, P)
        Replicas ``first`` to ``first + count - 1``, one a row.
    first : int
        Index of the first replica; it decides which nodes there are.
    lost : collection of int
        Replicas that are left out; their rows are not read.

    Returns
    -------
    ndarray, shape (nodes, 6, P)
        In the order of :func:`maximal_nodes`; a node without a survivor has zeros and the range (inf, -inf).
    """
    stack = np.empty((2 * len(samples).bit_length() + 2, 6, samples.shape[1]))
    leaves = np.ones(len(samples))
    leaves[[replica - first for replica in lost]] = 0.0
    return stack[:_reduce(samples, leaves, first, stack, np.empty(len(stack)), np.empty(len(stack), np.int64))].copy()


def merge(a: np.ndarray, count_a: float, b: np.ndarray, count_b: float) -> np.ndarray:
    """Moments ``(6, P)`` of two disjoint sets of replicas together (Pebay 2008); an empty one changes no bit."""
    out = np.empty_like(a)
    _merge(a, count_a, b, count_b, out)
    return out


@njit(cache=True)
def _merge(a, na, b, nb, out):
    if na == 0.0 or nb == 0.0:
        out[:] = b if na == 0.0 else a
        return
    n = na + nb
    for p in range(a.shape[1]):
        d = b[0, p] - a[0, p]
        a2, a3, b2, b3 = a[1, p], a[2, p], b[1, p], b[2, p]
        d2 = d * d
        fourth = (a[3, p] + b[3, p] + d2 * d2 * (na * nb / n * ((na * na - na * nb + nb * nb) / (n * n)))
                  + 6.0 * d2 * ((na / n) * (na / n) * b2 + (nb / n) * (nb / n) * a2)
                  + 4.0 * d * ((na / n) * b3 - (nb / n) * a3))
        third = (a3 + b3 + d * d2 * (na * nb / n * ((na - nb) / n)) + 3.0 * d * ((na / n) * b2 - (nb / n) * a2))
        out[0, p] = a[0, p] + d * (nb / n)
        out[1, p] = a2 + b2 + d2 * (na * nb / n)
        out[2, p] = third
        out[3, p] = fourth
        out[4, p] = min(a[4, p], b[4, p])
        out[5, p] = max(a[5, p], b[5, p])


@njit(cache=True)
def _reduce(samples, leaves, first, stack, counts, levels):
    # a binary counter: the stack holds the maximal nodes of the rows seen so far, left to right
    top = 0
    for row in range(samples.shape[0]):
        counts[top] = leaves[row]
        stack[top, 1:4] = 0.0
        if leaves[row] > 0.0:
            stack[top, 0] = samples[row]
            stack[top, 4] = samples[row]
            stack[top, 5] = samples[row]
        else:
            stack[top, 0] = 0.0
            stack[top, 4] = np.inf
            stack[top, 5] = -np.inf
        level, index = 0, first + row
        while index & 1 and top > 0 and levels[top - 1] == level:
            top -= 1
            _merge(stack[top], counts[top], stack[top + 1], counts[top + 1], stack[top])
            counts[top] += counts[top + 1]
            level += 1
            index >>= 1
        levels[top] = level
        top += 1
    return top
