"""Claims about high-resolution equations: to which order they follow the iterates, and from which velocity."""

from functools import cache

import numpy as np

from ...theory.riemannian.high_resolution import (
    VanishingFlow,
    convex_iterates,
    high_resolution_flow,
    iterates,
    low_resolution_flow,
    modal_coefficients,
    modal_expansion,
    starting_velocity,
)
from ...theory.riemannian.landscapes import Quadratic, RippledQuadratic
from ...theory.riemannian.metrics import euclidean
from ...theory.riemannian.rishd import MomentumFlow
from .. import judges
from ..claim import claim
from .losses import waves
from .paper import LITE
from .sources import SHI

SPACING = 1.0 / 8.0
LAST = 3.0
CONVEXITY = 0.05
OTHER = {"nesterov": "heavy ball", "heavy ball": "nesterov"}
LOGISTIC = waves(40, [3.0, 1.0, 1.0, 0.5, 0.3], CONVEXITY)
RIPPLED = RippledQuadratic([0.3, 1.0, 2.0], 0.4, [1.0, 1.0, -1.0])
PROBLEMS = {"logistic": (LOGISTIC, np.array([1.0, -1.0, 0.5, 2.0, -1.0])),
            "rippled": (RIPPLED, np.array([1.0, -1.0, 2.0]))}
MODES = np.array([0.1, 0.7, 2.0, 5.0])


@cache
def _problem(name, method, step):
    """Iterates at multiples of the spacing."""
    landscape, start = PROBLEMS[name]
    found = iterates(method, landscape, start, CONVEXITY, step**2, round(LAST / step))
    return found[::round(SPACING / step)]


def _orders(effort, method, expected, margin, path):
    """Order of the distance between a method's iterates and the path of (landscape, start, step size, times)."""
    steps, times = 2.0 ** -np.arange(5.0, effort.choose(10.0, 13.0)), np.arange(0.0, LAST + 1e-9, SPACING)
    parts = {}
    for name, (landscape, start) in PROBLEMS.items():
        distance = [np.abs(_problem(name, method, h) - path(landscape, start, h * h, times)).max() for h in steps]
        parts[name] = judges.order(steps, np.array(distance), expected, margin, over=f"distance {distance[-1]:.2g}")
    return judges.every(**parts)


def _high(method, corrected=True):
    def path(landscape, start, step_size, times):
        velocity = starting_velocity(landscape, start, CONVEXITY, step_size, corrected)
        return high_resolution_flow(method, landscape, CONVEXITY, step_size).path(start, velocity, times)[0]
    return path


def _low(landscape, start, step_size, times):
    return low_resolution_flow(landscape, CONVEXITY).path(start, 0.0 * start, times)[0]


@claim("nesterov_high_resolution", topic="riemannian", paper=SHI, where="NAG-SC", stance="derived",
       statement="X'' + 2 sqrt(mu) X' + sqrt(s) H X' + (1 + sqrt(mu s)) g = 0, X'(0) with its half step: error O(s)")
def nesterov_high_resolution(effort):
    """Ridge logistic regression in five dimensions and a quadratic with ripples, up to t = 3."""
    return _orders(effort, "nesterov", 2.0, 0.04, _high("nesterov"))


@nesterov_high_resolution.control("X'(0) = (x_1 - x_0)/sqrt(s), the velocity half a step later")
def _(effort):
    return _orders(effort, "nesterov", 2.0, 0.04, _high("nesterov", corrected=False))


@nesterov_high_resolution.control("the heavy ball's equation, without sqrt(s) H X'")
def _(effort):
    return _orders(effort, "nesterov", 2.0, 0.04, _high("heavy ball"))


@nesterov_high_resolution.control("the low-resolution equation")
def _(effort):
    return _orders(effort, "nesterov", 2.0, 0.04, _low)


@claim("heavy_ball_high_resolution", topic="riemannian", paper=SHI, where="heavy ball", stance="derived",
       statement="X'' + 2 sqrt(mu) X' + (1 + sqrt(mu s)) g = 0, X'(0) with its half step: error O(s)")
def heavy_ball_high_resolution(effort):
    """The same losses."""
    return _orders(effort, "heavy ball", 2.0, 0.04, _high("heavy ball"))


@heavy_ball_high_resolution.control("X'(0) = (x_1 - x_0)/sqrt(s), the velocity half a step later")
def _(effort):
    return _orders(effort, "heavy ball", 2.0, 0.04, _high("heavy ball", corrected=False))


@heavy_ball_high_resolution.control("Nesterov's equation, with sqrt(s) H X'")
def _(effort):
    return _orders(effort, "heavy ball", 2.0, 0.04, _high("nesterov"))


@heavy_ball_high_resolution.control("the low-resolution equation")
def _(effort):
    return _orders(effort, "heavy ball", 2.0, 0.04, _low)


@claim("usual_velocity", topic="riemannian", paper=SHI, where="initial conditions", stance="derived",
       statement="from X'(0) = (x_1 - x_0)/sqrt(s) the high-resolution equations err by O(sqrt(s)), exactly order 1")
def usual_velocity(effort):
    """Both methods: the gain over the low-resolution equation is then in the constant only."""
    return judges.every(**{method: _orders(effort, method, 1.0, 0.03, _high(method, corrected=False))
                           for method in OTHER})


@usual_velocity.control("the corrected velocity, whose order is 2")
def _(effort):
    return judges.every(**{method: _orders(effort, method, 1.0, 0.03, _high(method)) for method in OTHER})


@claim("low_resolution", topic="riemannian", paper=SHI, where="low-resolution ODE", stance="derived",
       statement="X'' + 2 sqrt(mu) X' + g = 0 is the limit of NAG-SC and of the heavy ball alike, error O(sqrt(s))")
def low_resolution(effort):
    """It cannot tell the two apart."""
    return judges.every(**{method: _orders(effort, method, 1.0, 0.03, _low) for method in OTHER})


@low_resolution.control("friction sqrt(mu) in place of 2 sqrt(mu)")
def _(effort):
    def path(landscape, start, step_size, times):
        return low_resolution_flow(landscape, CONVEXITY / 4.0).path(start, 0.0 * start, times)[0]
    return judges.every(**{method: _orders(effort, method, 1.0, 0.03, path) for method in OTHER})


@claim("methods_apart", topic="riemannian", paper=SHI, where="gradient correction", stance="derived",
       statement="NAG-SC and the heavy ball differ by O(sqrt(s)), through sqrt(s) H X': leading term to first order")
def methods_apart(effort):
    """Their difference over sqrt(s) against that of the two equations, which agrees up to O(sqrt(s))."""
    return _apart(effort, "nesterov", "heavy ball")


@methods_apart.control("difference of opposite sign")
def _(effort):
    return _apart(effort, "heavy ball", "nesterov")


@methods_apart.control("no difference of the equations")
def _(effort):
    return _apart(effort, "heavy ball", "heavy ball")


def _apart(effort, first, second):
    steps, times = 2.0 ** -np.arange(5.0, effort.choose(9.0, 12.0)), np.arange(0.0, LAST + 1e-9, SPACING)
    parts = {}
    for name, (landscape, start) in PROBLEMS.items():
        error = []
        for h in steps:
            measured = _problem(name, "nesterov", h) - _problem(name, "heavy ball", h)
            predicted = _high(first)(landscape, start, h * h, times) - _high(second)(landscape, start, h * h, times)
            error.append(np.abs(measured - predicted).max() / h)
        parts[name] = judges.order(steps, np.array(error), 1.0, 0.1, over=f"of {np.abs(measured).max() / h:.2g}")
    return judges.every(**parts)


@claim("convex_high_resolution", topic="riemannian", paper=SHI, where="NAG-C", stance="derived",
       statement="X'' + (3/t) X' + sqrt(s) H X' + (1 + 3 sqrt(s)/(2t)) g = 0 from t = 3 sqrt(s)/2 errs by O(s), t >= 1")
def convex_high_resolution(effort):
    """With the velocity -sqrt(s) g_0 at the start; the equation itself is as we remember the paper's."""
    return _convex(effort, lambda h: (h, 1.5 * h, 1.5 * h, h))


@convex_high_resolution.control("without sqrt(s) H X'")
def _(effort):
    return _convex(effort, lambda h: (0.0, 1.5 * h, 1.5 * h, h))


@convex_high_resolution.control("without 3 sqrt(s)/(2t)")
def _(effort):
    return _convex(effort, lambda h: (h, 0.0, 1.5 * h, h))


@convex_high_resolution.control("from t = sqrt(s)")
def _(effort):
    return _convex(effort, lambda h: (h, 1.5 * h, h, h))


@claim("convex_start", topic="riemannian", paper=SHI, where="NAG-C", stance="derived",
       statement="NAG-C: any velocity O(sqrt(s)) at t = 3 sqrt(s)/2 errs by O(s) at t >= 1; friction 3/t forgets it")
def convex_start(effort):
    """At rest, and at twice the speed: an error dv at time t_0 moves the path by dv t_0/2, here O(s)."""
    return judges.every(**{f"speed x{speed:g}": _convex(effort, lambda h, speed=speed: (h, 1.5 * h, 1.5 * h, speed * h))
                           for speed in (0.0, 2.0)})


@convex_start.control("a velocity of order one")
def _(effort):
    return _convex(effort, lambda h: (h, 1.5 * h, 1.5 * h, 1.0))


def _convex(effort, coefficients):
    """Order 2, for damping, force, first time and speed as functions of h = sqrt(s)."""
    steps, parts = 2.0 ** -np.arange(5.0, effort.choose(10.0, 12.0)), {}
    for name, (landscape, start) in PROBLEMS.items():
        distance = []
        for h in steps:
            damping, force, first, speed = coefficients(h)
            times = first + np.concatenate([[0.0], np.arange(1.0, LAST + 1e-9, SPACING)])
            path = VanishingFlow(landscape, 3.0, damping, force).path(start, -speed * landscape.gradient(start), times)
            distance.append(np.abs(path[0][1:] - _convex_problem(name, h)).max())
        parts[name] = judges.order(steps, np.array(distance), 2.0, 0.04, over=f"distance {distance[-1]:.2g}")
    return judges.every(**parts)


@cache
def _convex_problem(name, step):
    """Iterates of NAG-C at multiples of the spacing from k sqrt(s) = 1."""
    landscape, start = PROBLEMS[name]
    return convex_iterates(landscape, start, step**2, round(LAST / step))[round(1.0 / step)::round(SPACING / step)]


@claim("modal_equation", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="x'' + Ax' + Px = 0: A = a+Bl+(h/2)(a^2+B^2l^2), P = (1+aB) l (1+(h/2)(a+Bl)), each up to O(h^2)")
def modal_equation(effort):
    """Against the logarithms of the roots of the recursion, for friction, damping and curvatures l on a grid."""
    return _modal(effort, 1)


@modal_equation.control("without the terms of order h")
def _(effort):
    return _modal(effort, 0)


def _modal(effort, order):
    steps, parts = 2.0 ** -np.arange(6.0, effort.choose(11.0, 13.0)), {}
    friction, damping = (grid[..., None] for grid in np.meshgrid([0.3, 1.0, 2.0], [0.0, 0.4, 1.0]))
    for place, label in enumerate(("A", "P")):
        error = [np.abs(modal_coefficients(MODES, friction, damping, h)[place]
                        - modal_expansion(MODES, friction, damping, h, order)[place]).max() for h in steps]
        parts[label] = judges.order(steps, np.array(error), 2.0, 0.05)
    return judges.every(**parts)


@claim("modal_path", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="quadratics: x'' + Ax' + Px = 0, A, P to order h, x'(0) = -Bg - (h/2)(1 + B^2 l) g errs by O(h^2)")
def modal_path(effort):
    """Modes 0.1 to 5, friction 1, damping 0.4, up to t = 3, in closed form."""
    return _modal_path(effort, 1, True)


@modal_path.control("A and P to leading order")
def _(effort):
    return _modal_path(effort, 0, True)


@modal_path.control("x'(0) = (x_1 - x_0)/h")
def _(effort):
    return _modal_path(effort, 1, False)


def _modal_path(effort, order, corrected):
    steps, a, b, start = 2.0 ** -np.arange(5.0, effort.choose(10.0, 13.0)), 1.0, 0.4, np.array([1.0, -1.0, 0.5, 2.0])
    times, errors = np.arange(0.0, LAST + 1e-9, SPACING), []
    flow = MomentumFlow(Quadratic(MODES), euclidean(4), a, b)
    for h in steps:
        drag, pull = modal_expansion(MODES, a, b, h, order)
        half = 0.5 * (1.0 + b * b * MODES) if corrected else 1.0
        velocity = -(b + h * half) * MODES * start
        split = np.sqrt((0.25 * drag**2 - pull).astype(complex))
        wave = np.sinh(np.multiply.outer(times, split)) / split
        path = np.exp(-0.5 * np.multiply.outer(times, drag)) * (
            np.cosh(np.multiply.outer(times, split)) * start + wave * (velocity + 0.5 * drag * start))
        found = flow.iterate(start, h, round(LAST / h))[0][::round(SPACING / h)]
        errors.append(np.abs(path.real - found).max())
    return judges.order(steps, np.array(errors), 2.0, 0.04, over=f"distance {errors[-1]:.2g}")
