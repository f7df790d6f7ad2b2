"""Claims about energies: that they are dissipated exactly as stated, and when Adam's decreases."""

from functools import cache

import numpy as np
from scipy.optimize import minimize

from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.lyapunov import (
    AdamFlow,
    adam_growth,
    balance,
    decay_rate,
    momentum_dissipation,
    momentum_energy,
    riemannian_dissipation,
    riemannian_energy,
)
from ...theory.riemannian.metrics import (
    ConstantMetric,
    GradientMetric,
    HalfPlaneMetric,
    MirrorMetric,
    RotatingMetric,
    euclidean,
    lite_metric,
)
from ...theory.riemannian.rishd import InertialFlow, MomentumFlow, lite_damping
from .. import judges
from ..claim import claim
from .losses import FLAT, RIPPLES, START, waves
from .paper import LITE
from .sources import BARAKAT

IDENTITY = 1e-10
"""On the balance of energy, relative to the energy at the start: a hundred tolerances of the solver."""

VELOCITY = np.array([0.3, -0.5])

EDGES = np.array([0.25, 0.7, 0.98, 1.02, 1.3, 5.0])
"""b/(4a)."""


@claim("momentum_energy", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="constant F, Q, f + p^T G p/2: V' = -g^T G B g - a p^T G p, flat directions' part chi B_2 |Qg|^2")
def momentum_energy_balance(effort):
    """LITE with chi = 1 and 4 on a loss that is not convex; the dissipation is integrated along with the flow."""
    return _lite_balance(lambda hessian, flat, friction: hessian + flat + friction)


@momentum_energy_balance.control("without the flat directions' chi B_2 |Qg|^2")
def _(effort):
    return _lite_balance(lambda hessian, flat, friction: hessian + friction)


@momentum_energy_balance.control("flat term without its chi")
def _(effort):
    return _lite_balance(lambda hessian, flat, friction: hessian + flat / 4.0 + friction, (4.0,))


@momentum_energy_balance.control("half the friction")
def _(effort):
    return _lite_balance(lambda hessian, flat, friction: hessian + flat + 0.5 * friction)


def _lite_balance(total, chis=(1.0, 4.0)):
    axes, times, parts = np.array([[0.6, 0.8], [-0.8, 0.6]]), np.linspace(0.0, 4.0, 17), {}
    base = ConstantMetric(axes.T @ np.diag([0.5, 2.0]) @ axes)
    inverse = np.linalg.inv(base.entries)
    for chi in chis:
        flow = MomentumFlow(RIPPLES, lite_metric(base, FLAT, chi), 0.7, lite_damping(FLAT, 0.3, 1.2))
        metric = flow.metric.entries

        def dissipation(w, p, chi=chi, metric=metric):
            gradient = RIPPLES.gradient(w)
            sharp, flat = gradient - FLAT @ gradient, FLAT @ gradient
            return np.array([0.3 * sharp @ inverse @ sharp, chi * 1.2 * flat @ inverse @ flat,
                             0.7 * p @ np.linalg.solve(metric, p)])

        energies, spent = balance(flow.field, lambda w, p, flow=flow: momentum_energy(flow, w, p), dissipation,
                                  (START, VELOCITY), times)
        parts[f"chi={chi:g}"] = judges.equal(energies + total(*spent.T), energies[0], rtol=IDENTITY)
    return judges.every(**parts)


@claim("momentum_energy_metric", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="any F(w), f + p^T F^-1 p/2: V' = -B g^T F^-1 g - a p^T F^-1 p - p^T F^-1 F' F^-1 p/2")
def momentum_energy_metric(effort):
    """Metrics that turn, follow the gradient, or are a Hessian."""
    return _momentum_balance(slice(None))


@momentum_energy_metric.control("F' left out")
def _(effort):
    return _momentum_balance(slice(2))


def _momentum_balance(terms):
    times, parts = np.linspace(0.0, 3.0, 13), {}
    for name, metric in _metrics().items():
        flow = MomentumFlow(RIPPLES, metric, 0.7, 0.4)
        energies, spent = balance(flow.field, lambda w, p, flow=flow: momentum_energy(flow, w, p),
                                  lambda w, p, flow=flow: momentum_dissipation(flow, w, p), (START, VELOCITY), times)
        parts[name] = judges.equal(energies + spent[:, terms].sum(axis=1), energies[0], rtol=IDENTITY)
    return judges.every(**parts)


def _metrics():
    return {"rotating": RotatingMetric(), "Adam's": GradientMetric(RIPPLES, 0.5),
            "mirror": MirrorMetric(0.8, [1.0, 0.6])}


@claim("energy_decay", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="F constant, g^T F^-1 B g >= 2b (f - f*): V - f* <= (V(0) - f*) e^(-min(2b, 2a) t)")
def energy_decay(effort):
    """Quadratics with LITE, logistic regression, modes with B lambda = a.

    It is an equality where F^-1 B H = a I, as with LITE's B_1 and B_2 set to curvatures 40 to 1 (LITE, equal).
    """
    return _decay(1.0)


@energy_decay.control("rate larger by 2 per cent, LITE with chi B_2 lambda_2 = B_1 lambda_1 = a")
def _(effort):
    return _decay(1.02, ["LITE, equal"])


def _decay(factor, names=None):
    times, flat = np.linspace(0.0, 6.0, 61), np.diag([0.0, 1.0])
    steep, gain = Quadratic([4.0, 0.1]), lite_metric(euclidean(2), flat, 5.0)
    cases = {   # the smallest eigenvalue of F^-1 B H, or B r for the ridge r
        "LITE": (MomentumFlow(steep, gain, 1.0, lite_damping(flat, 0.2, 1.0)), 0.5),
        "LITE, equal": (MomentumFlow(steep, gain, 0.8, lite_damping(flat, 0.2, 1.6)), 0.8),
        "logistic": (MomentumFlow(waves(40, [1.0, 1.0], 0.2, trend=False), euclidean(2), 1.0, 1.5), 0.3),
        "B lambda = a": (MomentumFlow(Quadratic([2.0, 2.0]), euclidean(2), 1.0, 0.5), 1.0),
    }
    parts = {}
    for name in names or cases:
        flow, ratio = cases[name]
        w, p = flow.path(START, times)
        excess = momentum_energy(flow, w, p) - float(flow.landscape.value(flow.landscape.minimum))
        bound = np.log(excess[0]) - factor * decay_rate(flow, ratio) * times
        parts[name] = judges.inequality(np.log(excess), bound + 1e-8)   # rounding and tolerance of the solver
    return judges.every(**parts)


@claim("riemannian_energy", topic="riemannian", paper=LITE, where="RISHD", stance="derived",
       statement="E = (gamma + alpha beta) f + |w' + beta grad f|^2/2: E' = -alpha |w'|^2 - beta gamma |grad f|^2")
def riemannian_energy_balance(effort):
    """Levi-Civita flows in three metrics and on the hyperbolic plane, three sets of coefficients."""
    return _riemannian_balance()


@riemannian_energy_balance.control("no connection")
def _(effort):
    return _riemannian_balance("none", first=1)


@riemannian_energy_balance.control("dual connection")
def _(effort):
    return _riemannian_balance("dual", first=1)


@riemannian_energy_balance.control("gamma in place of gamma + alpha beta")
def _(effort):
    return _riemannian_balance(missing=1.0, first=2)


def _riemannian_balance(connection="levi-civita", missing=0.0, first=0):
    parts = {}
    for name, metric in {**_metrics(), "hyperbolic": HalfPlaneMetric()}.items():
        plane = float(name == "hyperbolic")   # higher up and for a shorter time, lest other flows leave it
        for alpha, beta, gamma in ((1.0, 0.0, 1.0), (1.0, 0.5, 1.0), (0.7, 0.4, 2.3))[first:]:
            flow = InertialFlow(RIPPLES, metric, alpha, beta, gamma, connection)

            def energy(w, v, flow=flow, lost=missing * alpha * beta):
                return riemannian_energy(flow, w, v) - lost * RIPPLES.value(w)

            energies, spent = balance(lambda w, v, flow=flow: (v, flow.acceleration(w, v)), energy,
                                      lambda w, v, flow=flow: riemannian_dissipation(flow, w, v),
                                      (START + 2.0 * plane, VELOCITY), np.linspace(0.0, 2.0 - 1.5 * plane, 9))
            parts[f"{name}, {alpha:g}, {beta:g}, {gamma:g}"] = judges.equal(energies + spent.sum(axis=1), energies[0],
                                                                           rtol=IDENTITY)
    return judges.every(**parts)


@claim("adam_energy_growth", topic="riemannian", paper=BARAKAT, where="Adam's ODE", stance="derived",
       statement="sup over states of V'/K is b/2 - 2a, V = f + K, K = sum m^2/(2 a sqrt v): worst where g = 0")
def adam_energy_growth(effort):
    """By a search over position, momentum and second moment, with V' from differences along the flow."""
    return _worst_states(effort, adam_growth)


@adam_energy_growth.control("b/4 - 2a")
def _(effort):
    return _worst_states(effort, lambda a, b: b / 4.0 - 2.0 * a)


@adam_energy_growth.control("b/2 - a")
def _(effort):
    return _worst_states(effort, lambda a, b: b / 2.0 - a)


def _worst_states(effort, predicted):
    starts, found, expected = effort.choose(3, 12), [], []
    for edge in EDGES[[0, 2, 3, 5]]:
        flow = AdamFlow(RIPPLES, 0.5, 2.0 * edge)

        def slowest(state, flow=flow):
            w, m, v = state[:2], state[2:4], np.exp(state[4:])
            if not m.any():
                return 1e3
            drift, h = flow.field(1.0, w, m, v), 1e-6
            ahead, behind = (flow.energy(1.0, *(x + sign * h * dx for x, dx in zip((w, m, v), drift, strict=True)))
                             for sign in (1.0, -1.0))
            return -(ahead - behind) / (2.0 * h) / flow.kinetic(1.0, m, v)

        runs = [minimize(slowest, np.sin(1.0 + k + np.arange(6.0)), method="Nelder-Mead",
                         options={"maxiter": 1500, "xatol": 1e-6, "fatol": 1e-9}) for k in range(starts)]
        found.append(-min(run.fun for run in runs))
        expected.append(float(predicted(0.5, 2.0 * edge)))
    return judges.equal(found, expected, atol=1e-4, at={"b/4a": EDGES[[0, 2, 3, 5]]})


@claim("adam_energy", topic="riemannian", paper=BARAKAT, where="Adam's ODE", stance="reconstructed",
       statement="V = f + sum m^2/(2 a sqrt v) decreases along every solution if b <= 4a, and, we add, not if b > 4a")
def adam_energy(effort):
    """From rest on a quadratic of three curvatures and on ripples: largest V' over K against b/4a."""
    return judges.sign_change(EDGES, _largest_growth(effort, False), 1.0)


@adam_energy.control("b <= 2a")
def _(effort):
    return judges.sign_change(EDGES, _largest_growth(effort, False), 0.5)


@adam_energy.control("b <= 8a")
def _(effort):
    return judges.sign_change(EDGES, _largest_growth(effort, False), 2.0)


@claim("adam_energy_corrected", topic="riemannian", paper=BARAKAT, where="Adam's ODE", stance="derived",
       statement="with bias correction V, a_t in place of a, decreases along every solution exactly if b <= 4a")
def adam_energy_corrected(effort):
    """The same losses from t = 0.02, and the bound of V' at all times from 1e-4/a to 40/a."""
    times = np.geomspace(2e-4, 80.0, 400)
    bound = [adam_growth(0.5, 2.0 * edge, times, corrected=True).max() for edge in EDGES]
    return judges.every(paths=judges.sign_change(EDGES, _largest_growth(effort, True), 1.0),
                        bound=judges.sign_change(EDGES, np.array(bound), 1.0))


@adam_energy_corrected.control("b <= 2a")
def _(effort):
    return judges.sign_change(EDGES, _largest_growth(effort, True), 0.5)


@adam_energy_corrected.control("a in place of a_t in the energy: it increases for every b")
def _(effort):
    return judges.sign_change(EDGES, _largest_growth(effort, True, fixed=True), 1.0)


@cache
def _largest_growth(effort, corrected, fixed=False):
    """Largest increase of V between two times, over the kinetic energy in between, for each b/4a."""
    starts, largest = np.array([[1.0, -0.7, 0.2], [0.3, 1.5, -1.0]]), []
    times = np.linspace(0.02, 8.02, effort.choose(801, 4001))
    for edge in EDGES:
        best = -np.inf
        for landscape, w in ((Quadratic([1.0, 10.0, 0.1]), starts), (Quadratic([3.0]), starts[:1, :1]),
                             (RIPPLES, starts[:, :2])):
            flow = AdamFlow(landscape, 0.5, 2.0 * edge, 0.0, corrected)
            w, m, v = np.moveaxis(flow.path(w, times, rtol=1e-10), 1, 0)
            kinetic = flow.kinetic(times[:, None], m, v)
            scale = flow.rates(times[:, None])[0] / flow.first if fixed else 1.0
            energy = landscape.value(w) + kinetic * scale
            step = 0.5 * (kinetic[1:] + kinetic[:-1]) * np.diff(times)[:, None]
            best = max(best, float((np.diff(energy, axis=0) / step).max()))
        largest.append(best)
    return np.array(largest)
