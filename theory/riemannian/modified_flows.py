r"""The equation that an optimizer follows to second order in its step.

One step maps ``y_k = (w_k, m_{k-1}, v_{k-1})`` first to the new averages, then with these to the new parameters,

    m_k = m_{k-1} + h f_m(w_k, m_{k-1}) ,    v_k likewise ,    w_{k+1} = w_k + h f_w(w_k, m_k, v_k) ,

where ``y' = f(y)`` is the flow (:mod:`.flows`).  The solution of ``y' = f + h f_1`` agrees with it to O(h^3) a step,
and hence to O(h^2) over a time, if (derived, by comparing Taylor expansions)

    f_1 = -(1/2) Df f + (d f_w/d(m, v) (f_m, f_v), 0, 0) ,

the first term for any explicit method, the second because w moves with the new averages.  Nesterov's own damping, of
order h, adds ``-F^{-1} g`` ("friction") or ``-a F^{-1} g`` ("adaptive") to the first component.  No initial velocity
needs a correction, as m is a variable of its own.

For flows without bias correction (f does not depend on time), in smooth regions.  SOAP, whose V is updated in the
basis of the new L and R, is not of this form.  Directional derivatives are central differences, whose error, 1e-9 or so
relative, is multiplied by h.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .flows import Flow

DIFFERENCE = 1e-5
"""Length of the central differences, in units of the derivative's argument."""


TERMS = ("method", "averages", "nesterov")


@dataclass(frozen=True, eq=False)
class ModifiedFlow(Flow):
    """A flow with its correction of first order in h.

    Attributes
    ----------
    optimizer, gradient, scaling, curvature
        As for :class:`.flows.Flow`.
    terms : tuple of str
        Which terms of f_1 are there: "method", ``-Df f/2``; "averages", w moving with the new ones; "nesterov".
    """

    terms: tuple = TERMS

    def derivative(self, time, variables):
        """``f + h f_1``."""
        def f(values):
            return Flow.derivative(self, time, values)

        def along(direction):
            ahead, behind = (f(tuple(x + sign * DIFFERENCE * d for x, d in zip(variables, direction)))
                             for sign in (1.0, -1.0))
            return tuple((a - b) / (2.0 * DIFFERENCE) for a, b in zip(ahead, behind))

        first, h = f(variables), self.time_step
        second = along(first)
        parts = [rate - 0.5 * h * change * ("method" in self.terms) for rate, change in zip(first, second)]
        if len(first) > 1 and "averages" in self.terms:
            parts[0] = parts[0] + h * along((np.zeros_like(first[0]), *first[1:]))[0]
        if "nesterov" in self.terms:
            parts[0] = parts[0] - h * self._nesterov(variables)
        return tuple(parts)

    def _nesterov(self, variables):
        """What Nesterov's own damping adds to ``-w'`` in units of h."""
        momentum = self.optimizer.momentum
        if not momentum.nesterov or self.scaling == "overdamped":
            return 0.0
        w, rule = variables[0], self.optimizer.rule
        g = self.gradient(w)
        averages = rule.rest(g, self._curvature(w)) if rule.slaved else variables[2:]
        more, less = (limit.velocity(averages, variables[1], g, w) for limit in (self._damped_more, self.limit))
        return (more - less) / DIFFERENCE

    @cached_property
    def _damped_more(self):
        """The limit with a little more damping, in the share that Nesterov's own has."""
        share = 1.0 if self.scaling == "friction" else self.optimizer.momentum.alpha / self.time_step
        return _damped(self.limit, share)


def modified(flow, terms=TERMS):
    """The flow to second order in the step of its optimizer.

    Parameters
    ----------
    flow : Flow
    terms : tuple of str
        See :class:`ModifiedFlow`.

    Returns
    -------
    ModifiedFlow

    Raises
    ------
    ValueError
        With bias correction, where f depends on time, or for SOAP.
    """
    optimizer = flow.optimizer
    if optimizer.momentum.correction or optimizer.rule.correction:
        raise ValueError(f"{optimizer.name} has bias correction; it must be without for an equation of second order")
    if type(optimizer.rule).begin is not type(optimizer.rule).rest:
        raise ValueError(f"{optimizer.name} updates V in a new basis; it must update all averages from the old ones")
    return ModifiedFlow(optimizer, flow.gradient, flow.scaling, flow.curvature, terms)


def _damped(optimizer, share):
    """The optimizer with a little more damping, `share` of it."""
    base = getattr(optimizer, "base", optimizer)
    more = replace(base, momentum=replace(base.momentum, damping=base.momentum.damping + share * DIFFERENCE))
    return replace(optimizer, base=more) if base is not optimizer else more
