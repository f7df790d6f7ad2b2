"""Claims about the limits of Algorithm 1: which connection they have, and when that matters."""

from functools import cache

import numpy as np

from ...theory.riemannian.integration import integrate
from ...theory.riemannian.landscapes import CurvedValley, Quadratic
from ...theory.riemannian.metrics import (
    ConstantMetric,
    GradientMetric,
    MirrorMetric,
    RotatingMetric,
    ShearMetric,
    euclidean,
    lite_metric,
)
from ...theory.riemannian.rishd import CONNECTIONS, InertialFlow, MomentumFlow, lite_damping, overdamped_path
from .. import judges
from ..claim import claim
from .losses import FLAT, RIPPLES, START, waves
from .paper import LITE

SPACING = 1.0 / 16.0
ORDER_MARGIN = 0.02
BOWL = Quadratic([1.0, 4.0])
TREND = waves(60, [3.0, 1.0, 0.3], 0.05, pitch=7.0)


@cache
def _cases():
    """Momentum flows with their starting points and last times, over metrics, landscapes, friction and damping."""
    tilted = np.array([[0.6, 0.8], [-0.8, 0.6]])
    base = ConstantMetric(tilted.T @ np.diag([0.5, 2.0]) @ tilted)
    return {
        "rotating metric": (MomentumFlow(BOWL, RotatingMetric(), 1.0), START, 1.5),
        "rotating metric, B=0.5": (MomentumFlow(BOWL, RotatingMetric(), 1.0, 0.5), START, 1.5),
        "rotating metric, a=10": (MomentumFlow(BOWL, RotatingMetric(), 10.0, 0.2), START, 2.0),
        "Adam's metric": (MomentumFlow(RIPPLES, GradientMetric(RIPPLES, 0.5, 0.1), 1.0, 0.3), START, 1.5),
        "Adam's metric, logistic": (MomentumFlow(TREND, GradientMetric(TREND, 0.05), 1.0, 0.5),
                                    np.array([1.0, -1.0, 2.0]), 1.5),
        "LITE, chi=2": (MomentumFlow(RIPPLES, lite_metric(base, FLAT, 2.0), 1.0, lite_damping(FLAT, 0.1, 0.4)),
                        START, 1.5),
        "constant metric": (MomentumFlow(BOWL, base, 1.0, 0.5), START, 1.5),
    }


VARYING = ("rotating metric", "rotating metric, B=0.5", "Adam's metric", "Adam's metric, logistic")


def _distances(effort, case, reference):
    """Largest distance of Algorithm 1 to a reference of (case, step), for steps that are halved."""
    steps = 2.0 ** -np.arange(6.0, effort.choose(11.0, 14.0))
    return steps, np.array([np.abs(_iterated(case, step) - reference(case, step)).max() for step in steps])


def _times(case):
    return np.arange(0.0, _cases()[case][2] + 1e-9, SPACING)


@cache
def _iterated(case, step):
    flow, start, last = _cases()[case]
    return flow.iterate(start, step, round(last / step))[0][::round(SPACING / step)]


def _orders(effort, expected, reference, names=None):
    parts = {}
    for case in names or _cases():
        steps, distance = _distances(effort, case, reference)
        parts[case] = judges.order(steps, distance, expected, ORDER_MARGIN * expected,
                                   over=f"distance {distance[-1]:.2g}")
    return judges.every(**parts)


def _limit(case, _):
    return _modified(case, 0.0)


@cache
def _modified(case, step, started=True):
    flow, start, _ = _cases()[case]
    momentum = step * flow.landscape.gradient(start) if started else 0.0
    return flow.path(start, _times(case), momentum, step)[0]


def _connected(connection, force=None):
    return lambda case, _: _second_order_path(case, connection, force)


@cache
def _second_order_path(case, connection, force):
    flow, start, _ = _cases()[case]
    return _second_order(flow, connection, force).path(start, flow.field(start, 0.0 * start)[0], _times(case))[0]


def _second_order(flow, connection, force=None):
    """The second-order equation that belongs to a momentum flow with a number for B."""
    damping = float(flow.damping)
    force = 1.0 + flow.friction * damping if force is None else force
    return InertialFlow(flow.landscape, flow.metric, flow.friction, damping, force, connection)


@claim("momentum_limit", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="eta = h^2, alpha = a h, beta = B/h: F w' = -(p + B g), p' = -a p + g, with an error of order h")
def momentum_limit(effort):
    """Metrics that turn, follow the gradient, and LITE's; quadratic, rippled and logistic losses; strong friction."""
    return _orders(effort, 1.0, _limit)


@momentum_limit.control("gamma = 1 in place of 1 + a B")
def _(effort):
    return _orders(effort, 1.0, _connected("dual", force=1.0), VARYING[1:])


@momentum_limit.control("Levi-Civita connection")
def _(effort):
    return _orders(effort, 1.0, _connected("levi-civita"), VARYING)


@momentum_limit.control("no connection")
def _(effort):
    return _orders(effort, 1.0, _connected("none"), VARYING)


@claim("modified_limit", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="w' = u + h/2 F^-1(q + BHu + F'[u]u), p' = q + h/2 (Hu + a q), p(0) = h g_0 is followed to order h^2")
def modified_limit(effort):
    """The same metrics and losses: one equation for every constant, curved or LITE metric."""
    return _orders(effort, 2.0, _modified)


@modified_limit.control("p(0) = 0: the velocity without its half step")
def _(effort):
    return _orders(effort, 2.0, lambda case, step: _modified(case, step, started=False))


@modified_limit.control("the limit, without the terms of order h")
def _(effort):
    return _orders(effort, 2.0, _limit)


@claim("connection_matters", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="turning F, Adam's (F' != 0): Algorithm 1 stays off Levi-Civita's flow, and that without connection")
def connection_matters(effort):
    """From the third-smallest step to the smallest the distance changes by a factor below 1.15; order 1 would be 4.

    In the metrics tried, for which F' != 0 along the path.  Where F' and the derivatives of F across vanish, as for
    constant F or along y = 0 for F = diag(1, 1 + y^2), all connections agree.
    """
    return _saturation(effort, ("levi-civita", "none"), VARYING)


@connection_matters.control("the dual connection, which is that of Algorithm 1")
def _(effort):
    return _saturation(effort, ("dual",), VARYING)


@connection_matters.control("a constant metric, on which all connections agree")
def _(effort):
    return _saturation(effort, ("levi-civita", "none"), ("constant metric",))


def _saturation(effort, connections, names):
    parts = {}
    for case in names:
        for connection in connections:
            _, distance = _distances(effort, case, _connected(connection))
            parts[f"{case}, {connection}"] = judges.bounded(distance[-3:], drift=1.15)
    return judges.every(**parts)


@claim("constant_metric", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="F constant: the three connections give one flow, that of the first-order system")
def constant_metric(effort):
    """To 1e-9, a hundred times the tolerance of the solver over these times."""
    return _agreement(ConstantMetric([[0.7, 0.3], [0.3, 1.9]]))


@constant_metric.control("a metric that turns slowly, k = (0.02, 0)")
def _(effort):
    return _agreement(RotatingMetric(0.5, 1.5, [0.02, 0.0]))


def _agreement(metric):
    flow, times = MomentumFlow(RIPPLES, metric, 0.7, 0.4), np.linspace(0.0, 4.0, 33)
    path = flow.path(START, times)[0]
    velocity, parts = flow.field(START, 0.0 * START)[0], {}
    for connection in CONNECTIONS:
        other = _second_order(flow, connection).path(START, velocity, times)[0]
        parts[connection] = judges.equal(other, path, atol=1e-9)
    return judges.every(**parts)


@claim("connections_at_minimum", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="from w* + epsilon u the flows of the three connections differ by O(epsilon^2): equal local rates")
def connections_at_minimum(effort):
    """From the same position and velocity, both of size epsilon."""
    return _amplitudes(effort, {})


@connections_at_minimum.control("gamma = 1 in one of them")
def _(effort):
    return _amplitudes(effort, {"force": 1.0})


def _amplitudes(effort, changed):
    sizes = 2.0 ** -np.arange(3.0, effort.choose(11.0, 13.0))
    flow, times = MomentumFlow(BOWL, RotatingMetric(), 0.7, 0.4), np.linspace(0.0, 3.0, 13)
    start, velocity, parts = sizes[:, None] * START, sizes[:, None] * np.array([0.5, 1.0]), {}
    dual = _second_order(flow, "dual").path(start, velocity, times, atol=1e-15)[0]
    for connection in ("levi-civita", "none"):
        path = _second_order(flow, connection, **changed).path(start, velocity, times, atol=1e-15)[0]
        parts[connection] = judges.order(sizes, np.abs(path - dual).max(axis=(0, 2)), 2.0, ORDER_MARGIN)
    return judges.every(**parts)


@claim("coordinate_freedom", topic="riemannian", paper=LITE, where="RISHD", stance="derived",
       statement="F = J^T J, z = phi(w): the Levi-Civita flow is z'' + alpha z' + beta H z' + gamma grad f = 0 in z")
def coordinate_freedom(effort):
    """A winding river valley in Euclidean coordinates z, and the same flow written in sheared ones."""
    return _transported("levi-civita")


@coordinate_freedom.control("dual connection")
def _(effort):
    return _transported("dual")


@coordinate_freedom.control("no connection")
def _(effort):
    return _transported("none")


@coordinate_freedom.control("Hess f without its Christoffel term")
def _(effort):
    return _transported("levi-civita", bare=True)


class _Pulled:
    """A landscape on Euclidean coordinates z, read off in the coordinates w of a shear."""

    def __init__(self, landscape, shear):
        self.landscape, self.shear, self.dimension = landscape, shear, 2

    def gradient(self, w):
        return self.shear.jacobian(w).T @ self.landscape.gradient(self.shear.flat(w))

    def hessian_times(self, w, v):
        jacobian, pull = self.shear.jacobian(w), self.landscape.gradient(self.shear.flat(w))
        curl = -self.shear.amplitude * self.shear.frequency**2 * np.sin(self.shear.frequency * w[0])
        return (jacobian.T @ self.landscape.hessian(self.shear.flat(w)) @ jacobian @ v
                + np.array([pull[1] * curl * v[0], 0.0]))


class _Bare(InertialFlow):
    """The flow with the connection in the acceleration only."""

    def acceleration(self, w, v):
        inertial = InertialFlow(self.landscape, self.metric, self.friction, 0.0, self.force).acceleration(w, v)
        push = self.landscape.hessian_times(w, v)
        return inertial - self.damping * np.linalg.solve(self.metric.matrix(w), push)


def _transported(connection, bare=False):
    valley, shear, times = CurvedValley(0.5, 4.0, 0.3, 2.0), ShearMetric(0.6, 1.4), np.linspace(0.0, 4.0, 17)
    start, velocity = np.array([0.3, 0.9]), np.array([0.8, -0.5])
    euclid = InertialFlow(valley, euclidean(2), 0.7, 0.4, 2.3).path(start, velocity, times)[0]
    bent = (_Bare if bare else InertialFlow)(_Pulled(valley, shear), shear, 0.7, 0.4, 2.3, connection)
    place = shear.curved(start)
    path = bent.path(place, np.linalg.solve(shear.jacobian(place), velocity), times)[0]
    return judges.equal(shear.flat(path), euclid, atol=1e-9)


@claim("mirror_form", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="F = Hess psi, z = grad psi(w): the limit is z'' + a z' + B H w' + (1 + a B) g = 0")
def mirror_form(effort):
    """Both sides by one quadrature: z' + a z + B g + (1 + a B) int g dt is constant along the flow."""
    return _mirrored("dual")


@mirror_form.control("Levi-Civita connection")
def _(effort):
    return _mirrored("levi-civita")


@mirror_form.control("no connection")
def _(effort):
    return _mirrored("none")


def _mirrored(connection):
    metric, a, b = MirrorMetric(0.8, [1.0, 0.6]), 0.7, 0.4
    flow, times = InertialFlow(RIPPLES, metric, a, b, 1.0 + a * b, connection), np.linspace(0.0, 3.0, 13)

    def joined(_, y):
        w, v, _ = y
        return np.stack([v, flow.acceleration(w, v), RIPPLES.gradient(w)])

    start = np.stack([START, [0.4, 0.2], [0.0, 0.0]])
    w, v, pulled = np.moveaxis(integrate(joined, start, times), 1, 0)
    moved = np.einsum("tij,tj->ti", metric.matrix(w), v)
    kept = moved + a * metric.mirror(w) + b * RIPPLES.gradient(w) + (1.0 + a * b) * pulled
    return judges.equal(kept, np.broadcast_to(kept[0], kept.shape), atol=1e-9)


@claim("overdamped_limit", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="alpha, beta fixed, eta -> 0, t = k eta: F w' = -((1 + alpha beta)/alpha) g, error of order eta")
def overdamped_limit(effort):
    """Heavy ball, Nesterov and more damping than either, in a metric that turns."""
    return _overdamped(effort, lambda alpha, beta: None)


@overdamped_limit.control("speed 1/alpha, without the damping's share")
def _(effort):
    return _overdamped(effort, lambda alpha, beta: 1.0 / alpha, damped=True)


@overdamped_limit.control("speed (1 + beta)/alpha")
def _(effort):
    return _overdamped(effort, lambda alpha, beta: (1.0 + beta) / alpha, damped=True)


def _overdamped(effort, force, damped=False):
    rates, metric, last = 2.0 ** -np.arange(8.0, effort.choose(13.0, 16.0)), RotatingMetric(), 0.5
    times, parts = np.arange(0.0, last + 1e-9, last / 8), {}
    for alpha, beta in ((0.5, 0.0), (0.5, 2.0), (0.8, 5.0))[int(damped):]:
        path, errors = overdamped_path(BOWL, metric, alpha, beta, START, times, force(alpha, beta)), []
        for eta in rates:
            step = np.sqrt(eta)
            flow = MomentumFlow(BOWL, metric, alpha / step, beta * step)
            errors.append(np.abs(flow.iterate(START, step, round(last / eta))[0][::round(last / 8 / eta)] - path).max())
        parts[f"alpha={alpha:g}, beta={beta:g}"] = judges.order(rates, np.array(errors), 1.0, ORDER_MARGIN)
    return judges.every(**parts)
