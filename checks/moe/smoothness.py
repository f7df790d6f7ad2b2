"""A claim about the target of the paper's second experiment: how smooth it is."""

import numpy as np

from ...theory.moe import smoothness
from .. import judges
from ..claim import claim
from .paper import MOE

STEPS = 2.0 ** -np.arange(8, 17)
SEGMENTS = 2 ** np.arange(8, 13)
"""No multiple of 3, so the joints are never nodes."""


@claim("example_smoothness", topic="moe", paper=MOE, where="Sec. 6, Exp. II", stance="amended",
       statement="f = i (i-1-z)^2 (z-i)^2 on [i-1, i]: f' is continuous, f'' jumps by 2 at 1 and 2; kappa(f) = 1")
def example_smoothness(effort):
    """One-sided derivatives exactly; quotients at the joints vanish like h; splines, joints off the nodes, like m^-2.

    A function with kinks would have quotients of order 1 and splines of order m^-1.  Quotients are ``i h (1 - h)^2``,
    whose slope is within 0.01 of 1 here; the margin on that of splines, 0.05, is set.
    """
    return _smooth(1, 2, smoothness.piecewise_quartic)


@example_smoothness.control("f'' is continuous as well")
def _(effort):
    return _smooth(2, 0, smoothness.piecewise_quartic)


@example_smoothness.control("i (i-1-z)(z-i), which has kinks")
def _(effort):
    return _smooth(1, 2, lambda z: np.sqrt(smoothness.piecewise_quartic(z)))


@example_smoothness.printed("f is only continuous, of order 0")
def _(effort):
    return judges.equal(smoothness.continuous_derivatives(), 0)


def _smooth(derivatives, jump, function):
    jumps = [float(right - left) for left, right in (smoothness.one_sided(joint, 2) for joint in (1, 2))]
    quotients = [np.abs((function(joint + sign * STEPS) - function(joint)) / STEPS)
                 for joint in (1, 2) for sign in (-1, 1)]
    exponents = {f"quotient {place}": judges.local_slopes(STEPS, quotient, STEPS, 0.02)
                 for place, quotient in enumerate(quotients)}
    return judges.every(derivatives=judges.equal(smoothness.continuous_derivatives(), derivatives),
                        jumps=judges.equal(jumps, jump),
                        splines=judges.local_slopes(SEGMENTS, [_spline_error(function, m) for m in SEGMENTS],
                                                    SEGMENTS**-2.0, 0.05), **exponents)


def _spline_error(function, segments):
    nodes = np.linspace(0, 3, segments + 1)
    z = (nodes[:-1, None] + np.diff(nodes)[:, None] * (np.arange(64) + 0.5) / 64).ravel()
    return np.abs(np.interp(z, nodes, function(nodes)) - function(z)).max()
