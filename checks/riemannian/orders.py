"""Claims about the limit of small steps: every optimizer against its own differential equation, LITE around it as well.

All is derived: the texts of the papers' theorems were not at hand.  The order is that of the largest distance between
iterates and flow over an interval of time, as the step is halved; the correction to it is one power of h more, for
which the judge's own set allows, and 0.03 is set as what is left of it at the steps that are run.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ...theory.riemannian import matrix_optimizers as matrices
from ...theory.riemannian import optimizers as vectors
from ...theory.riemannian.flows import Flow, global_errors
from ...theory.riemannian.landscapes import LogisticRegression, MatrixQuadratic, Quadratic, RippledQuadratic
from ...theory.riemannian.lite import Lite
from ...theory.riemannian.nonsmooth import SignFlow
from .. import judges
from ..claim import Evidence, claim
from .paper import LITE

MARGIN = 0.03
TIME = 0.5
H = 2.0**-4
RIPPLED = RippledQuadratic([0.4, 1.0, 2.5], 0.3, [1.0, -0.5, 0.7])
POINT = np.array([1.0, 0.8, 1.2])
FEATURES = np.sin(np.arange(1.0, 31.0)[:, None] * np.sqrt([2.0, 3.0, 5.0]))
LOGISTIC = LogisticRegression(FEATURES, np.tile([1.0, -1.0], 15), 0.1)
COORDINATES = 200
SPREAD = Quadratic(np.linspace(1.0, 3.0, COORDINATES))
CROSSINGS = np.linspace(0.18, 0.24, COORDINATES)
PANEL = MatrixQuadratic([[0.5, 1.5, 1.0], [2.0, 0.7, 1.2], [1.0, 0.4, 1.7]])
WEIGHTS = np.array([[1.2, -0.3, 0.4], [0.2, 0.9, -0.5], [-0.4, 0.3, 1.1]])
TILTED = np.outer([0.6, 0.0, 0.8], [0.6, 0.0, 0.8])


@dataclass(frozen=True)
class Case:
    """An optimizer with its largest step, its limit, and a neighbour's equation that it must not follow."""

    optimizer: object
    scaling: str
    metric: str
    equation: str
    wrong: object
    landscape: object = RIPPLED
    start: object = None
    curvature: object = None
    margin: float = MARGIN
    more: int = 0

    @property
    def flow(self):
        """Its own."""
        if self.landscape is SPREAD:
            return SignFlow(SPREAD.curvatures, self.optimizer.momentum.alpha / H, self.optimizer.momentum.damping)
        return self.optimizer.flow(self.landscape.gradient, self.scaling, self.curvature)

    def of(self, optimizer, curvature=None):
        """The flow of another optimizer on the same landscape."""
        if self.landscape is SPREAD:
            return replace(self, optimizer=optimizer).flow
        return optimizer.flow(self.landscape.gradient, self.scaling, curvature or self.curvature)


def diagonal(w):
    """Diagonal of the Hessian of the rippled quadratic."""
    return np.diag(RIPPLED.hessian(w))


def coupled(case, decay):
    """Adam's flow on ``f + decay |w|^2/2``: the penalty within the gradient."""
    plain = replace(case.optimizer, decay=0.0)
    return Flow(plain, lambda w: case.landscape.gradient(w) + decay * w, case.scaling)


def _momentum(case, **changed):
    return case.of(replace(case.optimizer, momentum=replace(case.optimizer.momentum, **changed)))


def _rule(case, **changed):
    return case.of(replace(case.optimizer, rule=replace(case.optimizer.rule, **changed)))


def _vectors():
    """The optimizers of vectors, with ``a = 1`` and ``b = 2`` where they have them."""
    first, second, hb = 1 - H, 1 - 2 * H, H**2
    force, moment = "m + beta g", "v' = b (g^2 - v)"
    friction = "F w' = -(p + B g), p' = -a p + g"
    return {
        "gradient descent": Case(vectors.gradient_descent(H), "overdamped", "1", "w' = -g",
                                 lambda case: _momentum(case, damping=0.1)),
        "heavy ball": Case(vectors.heavy_ball(hb, first), "friction", "1", friction.replace(" + B g", ""),
                           lambda case: _momentum(case, damping=0.1 / H)),
        "heavy ball, damped": Case(vectors.heavy_ball(hb, first, 0.5 / H), "friction", "1", friction,
                                   lambda case: _momentum(case, damping=0.0)),
        "heavy ball, alpha fixed": Case(vectors.heavy_ball(0.2 * H, 0.2, 0.3), "overdamped", "1",
                                        "w' = -(1/alpha + beta) g", lambda case: _momentum(case, damping=0.0)),
        "Nesterov": Case(vectors.nesterov(hb, first), "friction", "1", friction.replace(" + B g", ""),
                         lambda case: _momentum(case, damping=0.1 / H)),
        "RMSProp": Case(vectors.rmsprop(H, second), "adaptive", "diag(sqrt v + eps)", f"F w' = -g, {moment}",
                        lambda case: case.of(vectors.sign_descent(H))),
        "Adam, no correction": Case(vectors.adam(H, first, second, correction=False), "adaptive", "diag(sqrt v + eps)",
                                    "F w' = -m, m' = a (g - m), v' = b (g^2 - v)",
                                    lambda case: case.of(vectors.adam(H, second, first, correction=False))),
        "Adam": Case(vectors.adam(H, first, second), "adaptive", "diag(sqrt v + eps)",
                     "F w' = -m, m' = a (g - m)/(1 - e^{-a t}), v' = b (g^2 - v)/(1 - e^{-b t})",
                     lambda case: case.of(vectors.adam(H, first, second, correction=False))),
        "AdamW": Case(vectors.adamw(H, first, second, decay=0.5), "adaptive", "diag(sqrt v + eps)",
                      "w' = -F^{-1} m - lambda w, m and v as Adam's", lambda case: coupled(case, 0.5)),
        "NAdam": Case(vectors.nadam(H, first, second), "adaptive", "diag(sqrt v + eps)", "Adam's",
                      lambda case: _momentum(case, damping=0.1)),
        "sign descent": Case(vectors.sign_descent(H, first), "adaptive", f"diag|{force}|",
                             "w' = -sign m, m' = a (g - m)", lambda case: _momentum(case, damping=0.1), SPREAD,
                             CROSSINGS, margin=0.1),
        "Lion": Case(vectors.lion(H, 0.8, first), "adaptive", f"diag|{force}|",
                     f"w' = -sign({force}), m' = a (g - m)", lambda case: _momentum(case, damping=0.0), SPREAD,
                     CROSSINGS, margin=0.1),
        "Sophia": Case(vectors.sophia(H, first, second, clip=0.8), "adaptive", "diag max(rho h, eps, |m|)",
                       "F w' = -m, m' = a (g - m), h' = b (diag H - h)", lambda case: _rule(case, clip=0.9),
                       curvature=diagonal),
        "natural gradient": Case(vectors.natural_gradient(H), "overdamped", "Fisher matrix F(w)", "F(w) w' = -g",
                                 lambda case: case.of(case.optimizer, lambda w: LOGISTIC.hessian(POINT)), LOGISTIC,
                                 curvature=LOGISTIC.hessian),
    }


def _matrices():
    """The optimizers of matrices."""
    first, second = 1 - H, 1 - 2 * H
    averages = "M' = a (G - M), L' = b (G G^T - L), R' = b (G^T G - R)"
    square = {"landscape": PANEL, "start": WEIGHTS}
    muon = {"scaling": "adaptive", "metric": "X -> X (N^T N)^{1/2}, N = M + beta G", **square,
            "equation": "W' = -msign(M + beta G), M' = a (G - M)"}
    return {
        "Shampoo": Case(matrices.shampoo(H, first, second), "adaptive", "X -> L^{1/4} X R^{1/4}",
                        f"F W' = -M, {averages}",
                        lambda case: case.of(matrices.muon(H, first)), **square),
        "Shampoo, one side": Case(matrices.shampoo(H, first, second, one_sided=True), "adaptive", "X -> X R^{1/2}",
                                  f"F W' = -M, {averages}", lambda case: case.of(matrices.muon(H, first)), **square),
        "SOAP": Case(matrices.soap(H, first, second), "adaptive", "X -> U (sqrt V o U^T X V) V^T",
                     f"F W' = -M, V' = b ((U^T G V)^2 - V), {averages}",
                     lambda case: case.of(vectors.adam(H, first, second, correction=False)), **square),
        "Muon": Case(matrices.muon(H, first), wrong=lambda case: _momentum(case, damping=0.1), more=2,
                     **{**muon, "equation": "W' = -msign(M), M' = a (G - M)"}),
        "Muon, damped": Case(matrices.muon(H, first, damping=0.5), wrong=lambda case: _momentum(case, damping=0.0),
                             **muon),
        "Muon, 6 stages": Case(matrices.muon(H, first, damping=0.5, stages=6),
                               wrong=lambda case: _rule(case, stages=3), **{**muon, "metric": "nearly the same"}),
    }


CASES = {**_vectors(), **_matrices()}


def _wrapped(name, chi, flat, sharp):
    """LITE around a case; betas in units of the flow."""
    case = CASES[name]
    unit = 1.0 / H if case.scaling == "friction" else 1.0
    made = Lite(case.optimizer, TILTED, chi, flat * unit, sharp * unit)
    base = case.optimizer
    return replace(case, optimizer=made, wrong=lambda case: case.of(base))


AROUND = {name: _wrapped(name, 2.0, 0.7, 0.2) for name in CASES if name not in ("sign descent", "Lion")}


@cache
def _errors(table, name, halvings, kind):
    """Steps and distances of a case from its own flow, its neighbour's, or with parameters that do not go with h."""
    case = {"plain": CASES, "lite": AROUND}[table][name]
    start = POINT if case.start is None else case.start
    flow = case.wrong(case) if kind == "wrong" else case.flow
    scaling = "overdamped" if kind == "fixed" else case.scaling
    return global_errors(case.optimizer, scaling, flow, start, TIME, halvings, case.flow)


def _judged(effort, table, name, kind="own", expected=1.0):
    case = {"plain": CASES, "lite": AROUND}[table][name]
    steps, errors = _errors(table, name, effort.choose(5, 8) + case.more, kind)
    return judges.order(steps, errors, expected, case.margin, over=f"distance {errors[-1]:.2g}")


def weakest(**parts) -> Evidence:
    """What a control shows that must fail for every case by itself: the evidence of the case that comes closest."""
    found = min(parts, key=lambda name: {True: 0, None: 1, False: 2}[parts[name].accepted])
    text = f"{found}; {sum(part.accepted is False for part in parts.values())} of {len(parts)} cases rejected"
    return replace(parts[found], note=f"{text}; {parts[found].note}")


def _orders(effort, table, cases):
    found = {name: _judged(effort, table, name) for name in cases}
    kind = "optimizer" if table == "plain" else "LITE around"
    rows = [(kind, "metric F", "equation of the optimizer", "scaling", "measured order")]
    rows += [(name, cases[name].metric, cases[name].equation, cases[name].scaling, f"{found[name].measured:.3f}")
             for name in cases]
    if table == "lite":
        rows = [row[:2] + row[3:] for row in rows]
    measured = [float(found[name].measured) for name in cases]
    together = judges.every(**found)
    if not together.accepted:
        return replace(together, table=tuple(rows))
    margins = sorted({case.margin for case in cases.values()})
    return replace(together, table=tuple(rows), measured=f"{min(measured):.3f} to {max(measured):.3f}", expected=1.0,
                   tolerance="+- " + " or ".join(f"{margin:g}" for margin in margins),
                   note=f"{len(cases)} cases, each judged by itself")


@claim("orders_of_accuracy", topic="riemannian", paper=LITE, where="Algorithm 1, continuous limit", stance="derived",
       statement="max_k |w_k - w(kh)| = O(h) for every optimizer and its own equation in its own scaling")
def orders_of_accuracy(effort):
    """Signs cross 0 with momentum in 200 coordinates, each at another phase of the step; 0.1 is set."""
    return _orders(effort, "plain", CASES)


@orders_of_accuracy.control("each against the equation of a neighbour (beta or a, b exchanged, decay coupled, ...)")
def _(effort):
    return weakest(**{name: _judged(effort, "plain", name, "wrong") for name in CASES})


@orders_of_accuracy.control("b1, b2 fixed as the rate tends to 0 (no bias correction), against the equation in a, b")
def _(effort):
    rules = {name: case.optimizer.rule for name, case in CASES.items() if case.scaling == "adaptive"}
    return weakest(**{name: _judged(effort, "plain", name, "fixed") for name, rule in rules.items()
                      if rule.memory < 1.0 and not rule.correction})


@orders_of_accuracy.control("order 2 expected")
def _(effort):
    return weakest(**{name: _judged(effort, "plain", name, expected=2.0) for name in CASES})


@claim("lite_orders_of_accuracy", topic="riemannian", paper=LITE, where="Algorithm 1, continuous limit",
       stance="derived",
       statement="LITE around any base whose metric is smooth: order 1 against w' = -[(I-Q) F^-1 (m + B1 g) "
                 "+ chi Q F^-1 (m + B2 g)]")
def lite_orders_of_accuracy(effort):
    """Not around a sign, where the damping's part has no bound (`riemannian.damping_unbounded`).

    Q is tilted and does not commute with the metrics; chi = 2, B2 = 0.7, B1 = 0.2 beyond the base's own damping.
    """
    return _orders(effort, "lite", AROUND)


@lite_orders_of_accuracy.control("each against the equation of its base")
def _(effort):
    return weakest(**{name: _judged(effort, "lite", name, "wrong") for name in AROUND})
