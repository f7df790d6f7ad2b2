"""Claims about the target of the paper's second experiment: how smooth it is, and what a dense network makes of it."""

from functools import cache

import numpy as np

from ...theory.moe import smoothness
from ...theory.moe.model import MoELayer, linear_gate
from .. import judges
from ..claim import claim
from .paper import MOE

STEPS = 2.0 ** -np.arange(8, 17)
SEGMENTS = 2 ** np.arange(8, 13)
"""No multiple of 3, so the joints are never nodes."""
PRINTED = {16: 7.96e-5, 32: 2.17e-5, 64: 2.65e-5, 128: 4.60e-5}
"""Table 4: test errors of 1-6-MoE by the width of its experts."""


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


@claim("single_layer_expressivity", topic="moe", paper=MOE, where="Sec. 6, Exp. II, Table 4", stance="amended",
       statement="1-6-MoE contains a dense spline with squared error ~ m^-4 on f(x_1) + f(x_2): no plateau")
def single_layer_expressivity(effort):
    """Experts that coincide and interpolate at m/2 + 1 nodes per coordinate, on a grid of midpoints of [0, 3]^2.

    For m = 64 and 128 the error is below what the table prints for training, and it goes on falling.  The margin on
    the slope, 0.1, is set.
    """
    widths, errors = _dense_errors(effort.choose(900, 1800))
    return judges.every(rate=_rate(effort, 4.0),
                        below=judges.inequality(errors[2:4], [PRINTED[m] for m in widths[2:4]], at={"m": widths[2:4]}))


@single_layer_expressivity.control("error like m^-2")
def _(effort):
    return _rate(effort, 2.0)


@single_layer_expressivity.printed("the power of 1-6-MoE to express f is limited: its error stays at 2e-5 or more")
def _(effort):
    widths, errors = _dense_errors(effort.choose(900, 1800))
    return judges.inequality(np.full(len(errors), min(PRINTED.values())), errors, at={"m": widths})


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


def _rate(effort, power):
    widths, errors = _dense_errors(effort.choose(900, 1800))
    return judges.local_slopes(widths[2:], errors[2:], widths[2:] ** -power, 0.1)


@cache
def _dense_errors(count):
    widths = np.array([16, 32, 64, 128, 256])
    axis = 3 * (np.arange(count) + 0.5) / count
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    target = smoothness.piecewise_quartic(points).sum(axis=1)
    gate = linear_gate(np.eye(6, 2))
    errors = [((MoELayer(gate, [smoothness.additive_spline(int(width) // 2)] * 6)(points)[:, 0] - target) ** 2).mean()
              for width in widths]
    return widths, np.array(errors)
