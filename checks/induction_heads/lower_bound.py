"""Claims: too few heads without dot product fetch nothing, by linear programs over all weights and by a certificate.

All of it concerns heads of the first layer that attend by position alone, with slopes ``-log u_h``; it says nothing of
other ways to build an n-gram.
"""

from fractions import Fraction

import numpy as np

from ...sims import streams
from ...theory.induction_heads import lag_selection as selection
from .. import judges
from ..claim import claim
from .paper import INDUCTION


@claim("heads_needed", topic="induction_heads", paper=INDUCTION, where="Approximation, necessity of H >= n - 1",
       stance="derived",
       statement="H < i: sum_m |v_m - delta_{m,i-1}| >= 1 for all weights and nodes: nothing beats zero")
def heads_needed(effort):
    """Least error over the weights, by linear programs on i + H lags: H = 1..4, i = H+1, H+2, H+4, random nodes."""
    return _least_sum(effort, lambda heads: (heads + 1, heads + 2, heads + 4), lambda heads, lag: lag + heads)


@heads_needed.control("H = i heads")
def _(effort):
    return _least_sum(effort, lambda heads: (heads,), lambda heads, lag: lag + heads)


@heads_needed.control("the position i + 1 alone, at which the lag is the last one")
def _(effort):
    return _least_sum(effort, lambda heads: (heads + 1,), lambda heads, lag: lag)


@claim("heads_needed_proof", topic="induction_heads", paper=INDUCTION, where="Approximation, necessity of H >= n - 1",
       stance="derived",
       statement="x^(i-1-m*) prod_h (x - u_h), divided by its largest coefficient, is a dual certificate of error >= 1")
def heads_needed_proof(effort):
    """In fractions: zero at every node, no coefficient beyond 1, that of x^(i-1) equal to 1.  H to 8 (full: 16)."""
    return _certificates(effort, selection.certificate)


@heads_needed_proof.control("the leading coefficient at x^(i-1), whichever is the largest")
def _(effort):
    return _certificates(effort, lambda nodes, lag: [0] * (lag - 1 - len(nodes)) + _polynomial(nodes))


@claim("heads_staircase", topic="induction_heads", paper=INDUCTION, where="Approximation, necessity of H >= n - 1",
       stance="derived",
       statement="min over weights of max_{m<=H} |v_m - delta_mH| = prod_h (1+u_h)^-1, infimum over nodes 2^-H")
def heads_staircase(effort):
    """Linear programs, H = 1..4, random nodes, and nodes within 1e-3 of 1, 2^-H approached to (H+1)/4 parts in 1000.

    For lags beyond H + 1 the same product is a lower bound.
    """
    return _staircase(effort, selection.largest_coordinate_bound, lambda heads: heads + 1)


@heads_staircase.control("H = i heads")
def _(effort):
    return _staircase(effort, selection.largest_coordinate_bound, lambda heads: heads)


@heads_staircase.control("2^-H at every choice of nodes")
def _(effort):
    return _staircase(effort, lambda nodes: 0.5 ** len(nodes), lambda heads: heads + 1)


def _nodes(heads, replica):
    """Distinct, in (0.02, 0.98), at least 1/(50 H) apart."""
    draws = streams.uniforms(streams.key(0, "induction_heads.few_nodes"), replica, heads, heads, dtype=np.float64)
    return tuple(0.02 + 0.96 * (np.arange(heads) + 0.1 + 0.8 * draws) / heads)


def _least_sum(effort, lags, visible):
    least = [selection.least_error(_nodes(heads, replica), lag, visible(heads, lag))
             for heads in (1, 2, 3, 4) for lag in lags(heads) for replica in range(effort.choose(5, 60))]
    return judges.equal(least, 1.0, atol=1e-7, over="error of the best weights; solver's accuracy")


def _polynomial(nodes):
    sums = selection.elementary_symmetric(nodes)
    return [(-1) ** (len(nodes) - m) * sums[len(nodes) - m] for m in range(len(nodes) + 1)]


def _certificates(effort, certificate):
    largest, values, heights = [], [], []
    for heads in range(1, effort.choose(9, 17)):
        for replica in range(effort.choose(4, 20)):
            nodes = tuple(Fraction(round(1000 * node), 1000) for node in _nodes(heads, replica))
            for lag in (heads + 1, heads + 3):
                found = certificate(nodes, lag)
                largest.append(float(max(abs(each) for each in found)))
                heights.append(float(found[lag - 1]))
                values.append(float(max(abs(sum(each * node**m for m, each in enumerate(found))) for node in nodes)))
    return judges.every(zero=judges.equal(values, 0.0), height=judges.equal(heights, 1.0),
                        largest=judges.inequality(largest, 1.0))


def _staircase(effort, bound, lag):
    parts = {}
    for heads in (1, 2, 3, 4):
        chosen = [_nodes(heads, replica) for replica in range(effort.choose(6, 60))]
        least = [selection.least_error(nodes, lag(heads), lag(heads), "largest") for nodes in chosen]
        parts[f"H={heads}"] = judges.equal(least, [bound(nodes) for nodes in chosen], rtol=1e-6)
        parts[f"H={heads} above"] = judges.inequality(0.5**heads, least)
        near = tuple(1.0 - 1e-3 * np.arange(1, heads + 1) / heads)
        parts[f"H={heads} approached"] = judges.equal(
            selection.least_error(near, lag(heads), lag(heads), "largest"), 0.5**heads, rtol=2.6e-4 * (heads + 1))
        beyond = [selection.least_error(nodes, heads + 3, heads + 3, "largest") for nodes in chosen]
        parts[f"H={heads} beyond"] = judges.inequality([bound(nodes) for nodes in chosen], beyond, rtol=1e-6)
    return judges.every(**parts)
