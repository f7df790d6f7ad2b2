r"""Where an affine gate needs many experts and a gate of two layers needs two: concentric circles.

Two circles of radii r < R around 0 carry different tasks, and no expert may serve both.  The cells of an affine top-1
gate are convex.  At least one meets the inner circle.  A cell that meets the outer circle only is separated from the
inner disc by a line, so it holds at most a share ``arccos(r/R)/pi`` of the outer circle, and of E' experts

    the share of the outer circle that is served by experts which also serve the inner one
        >= 1 - (E' - 1) arccos(r/R)/pi.

It can be zero from E' = 1 + n on, ``n = min{n >= 3: cos(pi/n) > r/R} = max(3, floor(pi/arccos(r/R)) + 1)``, and then it
is: logits ``b`` and ``<v_k, x>`` with n unit vectors v_k equally spaced and r < b < R cos(pi/n).  For r/R = cos(pi/n)
itself no such b is left and one more is taken, also where r/R is that number but for rounding.  A gate with one hidden
layer takes two experts: logits 0 and ``sum_k relu(<v_k, x> - b) - s_0``.
"""

import math

import numpy as np

from ..arguments import number, positive, shown
from .model import DenseNetwork, linear_gate

LARGEST = 2**20
"""Most experts of a gate here."""


def fewest_experts(inner, outer) -> int:
    """``1 + min{n >= 3: cos(pi/n) > r/R}``: how many experts an affine gate needs.

    Parameters
    ----------
    inner, outer : float
        r and R, 0 < r < R.
    """
    angle = _angle(inner, outer)
    turns = math.pi / angle
    # What rounding of r/R = cos(angle) moves the angle by, relative, and then some.
    doubt = 2 ** -52 / (angle * math.sin(angle)) + 2 ** -51
    tie = math.floor(turns * (1 + doubt)) > math.floor(turns)
    return 1 + max(3, math.floor(turns) + 1 + tie)


def share_bound(inner, outer, experts) -> float:
    """The least share of the outer circle that E' experts behind an affine gate leave to experts of the inner one."""
    return max(0.0, 1 - (positive(experts, "experts") - 1) * _angle(inner, outer) / math.pi)


def ring_gate(inner, outer, experts=None) -> DenseNetwork:
    """An affine gate that attains the bound: expert 0 for the inner circle, the others around it.

    Parameters
    ----------
    inner, outer : float
    experts : int, optional
        E'; as many as are needed by default; fewer leave the share of the bound, to a part in 1e11 (b = r (1 + 1e-12)).
    """
    needed = _buildable(inner, outer)
    experts = needed if experts is None else positive(experts, "experts")
    if experts > LARGEST:
        raise ValueError(f"experts is {shown(experts)}; it must be at most {LARGEST}")
    if experts >= needed:
        level, turn = 0.5 * (inner + outer * math.cos(math.pi / (experts - 1))), 2 * math.pi / max(experts - 1, 1)
    else:
        level = inner * (1 + 1e-12)
        turn = 2 * math.acos(level / outer)
    angles = turn * np.arange(experts - 1)
    return linear_gate(np.vstack([[0.0, 0.0], np.stack([np.cos(angles), np.sin(angles)], axis=1)]),
                       np.concatenate([[level], np.zeros(experts - 1)]))


def ring_router(inner, outer) -> DenseNetwork:
    """A gate of two layers with two outputs, whose hidden neurons are the directions of :func:`ring_gate`."""
    sides = _buildable(inner, outer) - 1
    angles = 2 * math.pi / sides * np.arange(sides)
    reach = outer * math.cos(math.pi / sides)
    level = 0.5 * (inner + reach)
    return DenseNetwork((np.stack([np.cos(angles), np.sin(angles)], axis=1), np.vstack([np.zeros(sides),
                                                                                         np.ones(sides)])),
                        (np.full(sides, -level), np.array([0.0, -0.5 * (reach - level)])))


def ring(radius, count) -> np.ndarray:
    """Points of a circle at equally spaced angles, shape (count, 2)."""
    angles = 2 * math.pi * (np.arange(count) + 0.5) / count
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def shared_share(gate, inner, outer, count=4096) -> float:
    """Share of the outer circle whose experts also serve the inner one, on equally spaced points of both."""
    inside = set(np.argmax(gate(ring(inner, count)), axis=1).tolist())
    return float(np.isin(np.argmax(gate(ring(outer, count)), axis=1), list(inside)).mean())


def _buildable(inner, outer):
    needed = fewest_experts(inner, outer)
    if needed > LARGEST:
        raise ValueError(f"inner and outer are {shown(inner)} and {shown(outer)}, so close that a gate needs {needed} "
                         f"experts; it may have at most {LARGEST}")
    return needed


def _angle(inner, outer):
    """arccos(r/R), by half-angles: to rounding also where r/R is close to 1."""
    if not 0 < number(inner, "inner") < number(outer, "outer") < math.inf:
        raise ValueError(f"inner and outer are {shown(inner)} and {shown(outer)}; it must be 0 < inner < outer")
    return 2 * math.asin(math.sqrt(0.5 * ((outer - inner) / outer)))
