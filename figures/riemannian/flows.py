"""Optimizers and the differential equations that they follow: paths, orders of accuracy, and the three connections."""

import math

import numpy as np

from ...theory.riemannian import high_resolution, matrix_optimizers, optimizers
from ...theory.riemannian.flows import global_errors, iterates
from ...theory.riemannian.landscapes import LogisticRegression, MatrixQuadratic, Quadratic, RippledQuadratic
from ...theory.riemannian.lite import Lite
from ...theory.riemannian.metrics import RotatingMetric
from ...theory.riemannian.rishd import InertialFlow, MomentumFlow
from .. import style
from ..figure import Drawing, figure
from .columns import columns

HILLS = RippledQuadratic([1.0, 6.0], 0.35, [2.0, 0.5])
START = np.array([-2.6, 0.75])
FLAT = np.diag([1.0, 0.0])
METHODS = {
    "gradient descent": (lambda h: optimizers.gradient_descent(h), "overdamped"),
    "heavy ball": (lambda h: optimizers.heavy_ball(h * h, 1.0 - h), "friction"),
    "Nesterov": (lambda h: optimizers.nesterov(h * h, 1.0 - h), "friction"),
    "LITE(heavy ball)": (lambda h: Lite(optimizers.heavy_ball(h * h, 1.0 - h), FLAT, 2.0, 1.0 / h), "friction"),
    "RMSProp": (lambda h: optimizers.rmsprop(h, 1.0 - h), "adaptive"),
    "Adam": (lambda h: optimizers.adam(h, 1.0 - 2.0 * h, 1.0 - h), "adaptive"),
    "AdamW": (lambda h: optimizers.adamw(h, 1.0 - 2.0 * h, 1.0 - h, decay=0.3), "adaptive"),
    "natural gradient": (lambda h: optimizers.natural_gradient(h, ridge=0.5), "overdamped"),
}
"""Method of step h, and the scaling of its flow."""


def _needs(name, landscape):
    """A curvature that is positive definite: the quadratic part of the Hessian."""
    return (lambda w: np.diag([1.0, 6.0])) if name == "natural gradient" else None


@figure("trajectories", topic="riemannian", title="Optimizers and the flows that they follow",
        caption="A rippled valley, curvatures 1 and 6. Lines: the limiting differential equation of each method in "
                "its own scaling, up to the same time; markers: the method itself at step h (large: h = 0.2, dots: h "
                "= 0.05). Scalings: friction eta = h^2, alpha = h, beta = B/h; adaptive eta = h, 1-b1 = 2h, 1-b2 = h; "
                "overdamped eta = h. LITE with chi = 2 and B = 1 along the valley.",
        claims=("riemannian.momentum_limit", "riemannian.overdamped_limit", "riemannian.orders_of_accuracy"))
def trajectories(effort):
    """Eight methods on one landscape."""
    fig, axes = style.new(2, 4, width=13.2, height=5.2, sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-3.0, 2.0, 201), np.linspace(-1.1, 1.1, 121))
    height, rows, time = HILLS.value(np.stack([x, y], axis=-1)), [], 4.0
    fine = np.linspace(0.0, time, effort.choose(161, 401))
    for axis, (name, (make, scaling)) in zip(axes.ravel(), METHODS.items()):
        curvature = _needs(name, HILLS)
        axis.contour(x, y, height, levels=np.array([0.02, 0.1, 0.25, 0.5, 0.9, 1.5, 2.3, 3.3, 4.5]), colors="#BBBBBB",
                     linewidths=0.8)
        path = make(0.2).flow(HILLS.gradient, scaling, curvature).solve(START, fine)
        axis.plot(*path.T, **style.theory(0, linewidth=1.4))
        rows += [(name, "flow", *map(float, row)) for row in np.column_stack([fine, path])]
        for h, marks in ((0.05, {"marker": ".", "linestyle": "none", "color": style.COLORS[2], "markersize": 4}),
                         (0.2, style.measurement(1, markersize=5))):
            path = iterates(make(h), HILLS.gradient, START, round(time / h), curvature)
            axis.plot(*path.T, **marks)
            rows += [(name, f"h = {h:g}", h * k, *map(float, point)) for k, point in enumerate(path)]
        if name == "gradient descent":
            axis.legend(["flow", "h = 0.05", "h = 0.2"], loc="lower right", frameon=True, edgecolor="none")
        axis.set(title=f"{name} ({scaling})", xlim=(-3, 2), ylim=(-1.1, 1.1))
        axis.grid(False)
    for axis in axes[-1]:
        axis.set_xlabel("flat direction w_1")
    for axis in axes[:, 0]:
        axis.set_ylabel("sharp direction w_2")
    return Drawing(fig, columns(("method", "kind", "time", "w_1", "w_2"), rows))


SYMBOLS = (*style.MARKERS, "X", "<", ">", "p", "h")
BOWL = MatrixQuadratic([[1.0, 2.0, 0.5], [3.0, 0.7, 1.5]])
WEIGHTS = np.array([[2.0, -1.0, 0.5], [0.7, 1.6, -1.2]])
MATRICES = {
    "Shampoo": lambda h: matrix_optimizers.shampoo(h, 1.0 - 2.0 * h, 1.0 - h, epsilon=1e-3),
    "SOAP": lambda h: matrix_optimizers.soap(h, 1.0 - 2.0 * h, 1.0 - h),
    "Muon": lambda h: matrix_optimizers.muon(h, 1.0 - 2.0 * h),
}
CONVEXITY = 0.05
FEATURES = np.sin(np.arange(1.0, 41.0)[:, None] * np.sqrt([2.0, 3.0, 5.0])) * [3.0, 1.0, 0.3]
LOGISTIC = LogisticRegression(FEATURES, np.where(np.sin(9.0 * np.arange(40.0)) + FEATURES.sum(axis=1) > 0, 1.0, -1.0),
                              CONVEXITY)


@figure("orders", topic="riemannian", title="Order of accuracy of optimizers against their flows",
        caption="Largest distance between iterates and flow over a fixed time, against the step h. Left: every method "
                "against its own flow, order 1; grey: Adam with fixed b1 = 0.9, b2 = 0.99 against the flow of 1-b1 = "
                "2h, 1-b2 = h. Right: Nesterov (squares) and heavy ball (triangles) on logistic regression against "
                "equations of low and of high resolution, the latter from the usual velocity and from the one "
                "corrected by half a step: only that gives order 2. Dotted guides: slopes 1 and 2.",
        claims=("riemannian.orders_of_accuracy", "riemannian.nesterov_high_resolution",
                "riemannian.heavy_ball_high_resolution", "riemannian.usual_velocity", "riemannian.low_resolution"))
def orders(effort):
    """Left over eleven methods, right over two methods and three equations."""
    fig, (left, right) = style.new(1, 2, width=11.4, height=4.8)
    rows, largest, halvings = [], 2.0**-4, effort.choose(4, 7)
    made = {name: (make, scaling, HILLS, START) for name, (make, scaling) in METHODS.items()}
    made |= {name: (make, "adaptive", BOWL, WEIGHTS) for name, make in MATRICES.items()}
    for index, (name, (make, scaling, landscape, start)) in enumerate(made.items()):
        curvature = _needs(name, landscape)
        method = make(largest)
        steps, found = global_errors(method, scaling, method.flow(landscape.gradient, scaling, curvature), start, 1.0,
                                     halvings)
        marks = {**style.measurement(index), "marker": SYMBOLS[index], "linestyle": "-", "linewidth": 0.7}
        left.plot(steps, found, **marks, label=f"{name}  {_slope(steps, found):.2f}")
        rows += [("own flow", name, *map(float, row)) for row in zip(steps, found)]
    steps, found = global_errors(optimizers.adam(largest, 0.9, 0.99), "overdamped",
                                 METHODS["Adam"][0](largest).flow(HILLS.gradient, "adaptive"), START, 1.0, halvings)
    left.plot(steps, found, color=style.GREY, linestyle=style.DASHES[1], marker="o", markersize=3.5,
              label=f"Adam, b1, b2 fixed  {_slope(steps, found):.2f}")
    rows += [("Adam's flow", "Adam, b1, b2 fixed", *map(float, row)) for row in zip(steps, found)]
    rows += _resolutions(right, effort)
    ends = steps[[0, -1]]
    style.guide(left, ends, 0.02 * (ends / ends[0]), "1")
    style.loglog(left).set(xlabel="step h", ylabel="largest distance from the flow", xlim=(0.6 * ends[1], 10 * ends[0]))
    left.legend(loc="lower right", title="measured order", title_fontsize=8.5, fontsize=7.5)
    return Drawing(fig, columns(("against", "method", "step", "distance"), rows))


def _resolutions(axis, effort):
    start, rows, steps = np.array([1.0, -1.0, 2.0]), [], 2.0 ** -np.arange(3.0, effort.choose(8.0, 11.0))
    for index, (label, high, corrected) in enumerate((("low resolution", False, True),
                                                      ("high, usual velocity", True, False),
                                                      ("high, corrected velocity", True, True))):
        for method, marker in (("nesterov", "s"), ("heavy ball", "^")):
            found = []
            for h in steps:
                count, s = round(3.0 / h), h * h
                flow = (high_resolution.high_resolution_flow(method, LOGISTIC, CONVEXITY, s) if high
                        else high_resolution.low_resolution_flow(LOGISTIC, CONVEXITY))
                velocity = (high_resolution.starting_velocity(LOGISTIC, start, CONVEXITY, s, corrected) if high
                            else 0.0 * start)
                path = flow.path(start, velocity, h * np.arange(count + 1))[0]
                points = high_resolution.iterates(method, LOGISTIC, start, CONVEXITY, s, count)
                found.append(np.abs(points - path).max())
            axis.plot(steps, found, **style.measurement(index, marker=marker, linestyle=style.DASHES[index],
                                                        linewidth=1.0),
                      label=f"{label}, {method}  {_slope(steps, found):.2f}")
            rows += [(label, method, *map(float, row)) for row in zip(steps, found)]
    ends = steps[[0, -1]]
    for power, height in ((1, 0.05), (2, 4e-3)):
        style.guide(axis, ends, height * (ends / ends[0]) ** power, str(power))
    style.loglog(axis).set(xlabel="step h = sqrt(s)", ylabel="largest distance from the equation")
    axis.legend(loc="lower right", fontsize=7.5, title="measured order", title_fontsize=8.5)
    return rows


def _slope(steps, errors):
    """Between the two smallest steps."""
    return math.log(errors[-2] / errors[-1]) / math.log(steps[-2] / steps[-1])


@figure("connections", topic="riemannian", title="Which connection Algorithm 1 has",
        caption="A metric that turns, F = I/2 + (3/2) u(w) u(w)^T, on a quadratic. Left: three equations, alike but "
                "for the connection, and every fourth step of Algorithm 1 at h = 1/64. Right: largest distance of "
                "Algorithm 1 from each; it falls like h for d/dt(F w') + a F w' + B H w' + (1+aB) g = 0, and stays "
                "for the Levi-Civita equation and for the one without connection.",
        claims=("riemannian.momentum_limit", "riemannian.connection_matters"))
def connections(effort):
    """Paths, and distances over the step."""
    fig, (plane, order) = style.new(1, 2, width=10.4, height=4.3)
    bowl, metric, a, B, time = Quadratic([1.0, 4.0]), RotatingMetric(), 0.5, 0.3, 3.0
    start, rows, times = np.array([-0.8, -1.8]), [], np.linspace(0.0, time, 193)
    limit = MomentumFlow(bowl, metric, a, B)
    velocity, paths = limit.field(start, 0.0 * start)[0], {}
    for index, (name, label) in enumerate((("dual", "limit of Algorithm 1"), ("levi-civita", "Levi-Civita"),
                                           ("none", "no connection"))):
        paths[label] = InertialFlow(bowl, metric, a, B, 1.0 + a * B, name).path(start, velocity, times)[0]
        plane.plot(*paths[label].T, **style.theory(index), label=label)
        rows += [("path", label, *map(float, row)) for row in np.column_stack([times, paths[label]])]
    steps = 2.0 ** -np.arange(6.0, effort.choose(11.0, 14.0))
    coarse = limit.iterate(start, 1 / 64, 192)[0][::4]
    plane.plot(*coarse.T, **style.measurement(3), label="Algorithm 1, h = 1/64")
    rows += [("path", "Algorithm 1", k / 16, *map(float, point)) for k, point in enumerate(coarse)]
    runs = [limit.iterate(start, h, round(time / h))[0][::round(1 / (64 * h))] for h in steps]
    for index, (label, path) in enumerate(paths.items()):
        distance = [np.abs(run - path).max() for run in runs]
        order.plot(steps, distance, **style.measurement(index, linestyle=style.DASHES[index]), label=label)
        rows += [("distance", label, *map(float, row), np.ma.masked) for row in zip(steps, distance)]
    style.guide(order, steps[[0, -1]], 0.5 * distance[0] * steps[[0, -1]] / steps[0], "1")
    grid = np.meshgrid(np.linspace(-1.5, 1.5, 81), np.linspace(-2.0, 1.5, 81))
    plane.contour(*grid, bowl.value(np.stack(grid, axis=-1)), levels=8, colors="#CCCCCC", linewidths=0.7)
    plane.set(xlabel="w_1", ylabel="w_2")
    plane.legend(loc="lower right")
    style.loglog(order).set(xlabel="step h", ylabel="largest distance of Algorithm 1")
    order.legend(loc="lower right")
    return Drawing(fig, columns(("panel", "equation", "time_or_step", "w_1_or_distance", "w_2"), rows))
