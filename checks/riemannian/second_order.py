"""Claims about the second order in the step: which equation each optimizer follows to O(h^2), NAdam and Adam apart."""

from dataclasses import replace
from functools import cache

import numpy as np

from ...theory.riemannian import optimizers as vectors
from ...theory.riemannian.flows import iterates, time_step
from ...theory.riemannian.modified_flows import TERMS, modified
from .. import judges
from ..claim import claim
from .orders import AROUND, CASES, POINT, TIME, H, weakest
from .paper import LITE

MARGIN = 0.04
"""Set; the correction to order 2 is one power of h, for which the judge's set allows."""
RTOL, ATOL = 1e-10, 1e-12
AVERAGES = ("heavy ball", "heavy ball, damped", "Nesterov", "RMSProp", "Adam, no correction", "Sophia", "Shampoo",
            "Shampoo, one side", "Muon, damped")


def _cases():
    """Those of first order without kinks, bias correction or a basis of the day."""
    plain = {name: CASES[name] for name in ("gradient descent", *AVERAGES[:5])}
    adam = CASES["Adam, no correction"]
    plain["AdamW, no correction"] = replace(adam, optimizer=vectors.adamw(H, 1 - H, 1 - 2 * H, decay=0.5,
                                                                          correction=False))
    plain["NAdam, no correction"] = replace(adam, optimizer=vectors.nadam(H, 1 - H, 1 - 2 * H, correction=False))
    plain |= {name: CASES[name] for name in ("Sophia", "natural gradient", *AVERAGES[6:])}
    return plain | {f"LITE({name})": AROUND[name] for name in ("heavy ball", "Adam, no correction", "Shampoo")}


TABLE = _cases()


@cache
def _errors(name, halvings, terms, other):
    """Steps and distances of a case from its modified equation, or that of another with the same step."""
    case = TABLE[name]
    start = POINT if case.start is None else case.start
    steps, errors = [], []
    for count in range(halvings + 1):
        method = case.optimizer.refined(2.0**count, case.scaling)
        model = TABLE[other].optimizer.refined(2.0**count, case.scaling) if other else method
        flow = model.flow(case.landscape.gradient, case.scaling, case.curvature)
        flow = modified(flow, terms) if terms else flow
        h = time_step(method, case.scaling)
        found = iterates(method, case.landscape.gradient, start, round(TIME / h), case.curvature)[1:]
        times = h * np.arange(1, len(found) + 1)
        steps.append(h)
        errors.append(np.abs(found - flow.solve(start, times, RTOL, ATOL)).max())
    return steps, errors


def _judged(effort, name, terms=TERMS, other=None):
    steps, errors = _errors(name, effort.choose(3, 6), terms, other)
    return judges.order(steps, errors, 2.0, MARGIN, over=f"distance {errors[-1]:.2g}")


@claim("second_order", topic="riemannian", paper=LITE, where="Algorithm 1, continuous limit", stance="derived",
       statement="y' = f + h f_1, f_1 = -Df f/2 + (df_w/d(m,v) (f_m,f_v), 0) - Nesterov's (F^-1 g, 0): order 2 "
                 "for every smooth optimizer")
def second_order(effort):
    """Steps h = 1/16 to 1/128 (quick); m and the averages are variables, so no initial velocity is corrected."""
    found = {name: _judged(effort, name) for name in TABLE}
    finest = {name: _errors(name, effort.choose(3, 6), TERMS, None)[1][-1] for name in TABLE}
    rows = [("optimizer", "scaling", "measured order", "distance at the finest h")]
    rows += [(name, case.scaling, f"{found[name].measured:.2f}", f"{finest[name]:.1e}") for name, case in TABLE.items()]
    measured = [float(part.measured) for part in found.values()]
    together = judges.every(**found)
    if not together.accepted:
        return replace(together, table=tuple(rows))
    return replace(together, table=tuple(rows), measured=f"{min(measured):.3f} to {max(measured):.3f}", expected=2.0,
                   tolerance=f"+- {MARGIN:g}", note=f"{len(rows) - 1} cases, each judged by itself")


@second_order.control("y' = f alone")
def _(effort):
    return weakest(**{name: _judged(effort, name, ()) for name in TABLE})


@second_order.control("without -Df f/2")
def _(effort):
    return weakest(**{name: _judged(effort, name, ("averages", "nesterov")) for name in TABLE})


@second_order.control("w moving with the old averages, where there are any")
def _(effort):
    return weakest(**{name: _judged(effort, name, ("method", "nesterov")) for name in AVERAGES})


@second_order.control("without Nesterov's own damping: NAG as heavy ball, NAdam as Adam")
def _(effort):
    return weakest(nag=_judged(effort, "Nesterov", TERMS[:2]), nadam=_judged(effort, "NAdam, no correction", TERMS[:2]),
                   hb=_judged(effort, "Nesterov", other="heavy ball"),
                   adam=_judged(effort, "NAdam, no correction", other="Adam, no correction"))
