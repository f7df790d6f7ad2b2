"""Claims of the papers that the Riemannian account builds on: bounds for momentum methods and for Hessian damping.

The bounds are one-sided and far from sharp, with constants as we remember them.  What a claim shows is that no loss we
tried breaks them.  Its controls stand just past the edges of the room that these losses leave; at quick effort

    NAG-SC      0.96 sqrt(mu/L) passes for sqrt(mu/L)/12, from step 10 on the constant 0.03 for 5
    heavy ball  0.6 mu/L for mu/(16 L), 0.5 for 5
    flows       2 sqrt(mu) for sqrt(mu)/4, from sqrt(mu) t = 1/2 on 0.04 for 2 and 0.9 for 7/2
    NAG-C       from step 10 on 0.32 for 8568; or constant 1.05 with (k+1)^(7/2) for (k+1)^3
"""

from functools import cache

import numpy as np

from ...theory.riemannian.high_resolution import (
    VanishingFlow,
    convex_iterates,
    high_resolution_flow,
    iterates,
    starting_velocity,
)
from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.lyapunov import vanishing_energy
from ...theory.riemannian.metrics import ConstantMetric
from ...theory.riemannian.rishd import InertialFlow, first_order_path
from .. import judges
from ..claim import claim
from .losses import RIPPLES, waves
from .sources import ATTOUCH, HESSIAN_DAMPING, SHI

LOGISTIC = waves(40, [3.0, 1.0, 0.3], 0.01)
FAR = np.array([2.0, -3.0, 5.0])
MODES = 60
TRANSIENT = 10
"""Steps after which controls judge a constant: not where the method has hardly moved."""


@claim("hessian_free_form", topic="riemannian", paper=HESSIAN_DAMPING, where="first-order form", stance="derived",
       statement="x'' + alpha x' + beta H x' + gamma g = 0 is x' = p - beta g, p' = -alpha p - (gamma - alpha beta) g")
def hessian_free_form(effort):
    """Euclidean and in a constant metric, on a loss that is not convex."""
    return _first_order(lambda flow: flow)


@hessian_free_form.control("p' = -alpha p - gamma g")
def _(effort):
    return _first_order(lambda flow: _forced(flow, flow.force + flow.friction * flow.damping))


@hessian_free_form.control("p' = -alpha p - (gamma + alpha beta) g")
def _(effort):
    return _first_order(lambda flow: _forced(flow, flow.force + 2.0 * flow.friction * flow.damping))


def _forced(flow, force):
    return InertialFlow(flow.landscape, flow.metric, flow.friction, flow.damping, force)


def _first_order(changed):
    times, parts, start, velocity = np.linspace(0.0, 4.0, 17), {}, np.array([1.2, -0.8]), np.array([0.3, -0.5])
    for name, metric in {"Euclidean": ConstantMetric([1.0, 1.0]),
                         "constant": ConstantMetric([[0.7, 0.3], [0.3, 1.9]])}.items():
        flow = InertialFlow(RIPPLES, metric, 0.7, 0.4, 2.3)
        parts[name] = judges.equal(first_order_path(changed(flow), start, velocity, times),
                                   flow.path(start, velocity, times)[0], atol=1e-9)
    return judges.every(**parts)


@claim("oscillation_decrement", topic="riemannian", paper=HESSIAN_DAMPING, where="Hessian damping", stance="derived",
       statement="x'' + (alpha+beta l) x' + l x = 0 from rest: x(k pi/w) = (-1)^k e^(-k pi (alpha+beta l)/(2w)) x_0")
def oscillation_decrement(effort):
    """Curvatures l = 1, 9 and 25, w^2 = l - (alpha + beta l)^2/4: the sharper, the more the Hessian term attenuates."""
    return _swings(lambda curvature, beta: 0.2 + beta * curvature)


@oscillation_decrement.control("friction alone, d = pi alpha/(2w)")
def _(effort):
    return _swings(lambda curvature, beta: 0.2)


@oscillation_decrement.control("alpha + beta sqrt(l)")
def _(effort):
    return _swings(lambda curvature, beta: 0.2 + beta * np.sqrt(curvature))


def _swings(drag):
    parts = {}
    for curvature in (1.0, 9.0, 25.0):
        for beta in (0.0, 0.1, 0.3):
            flow = InertialFlow(Quadratic([curvature]), ConstantMetric([1.0]), 0.2, beta)
            times = np.arange(5.0) * np.pi / np.sqrt(curvature - 0.25 * (0.2 + beta * curvature) ** 2)
            x, v = flow.path([1.0], [0.0], times)
            parts[f"l={curvature:g}, beta={beta:g}"] = judges.every(
                swings=judges.equal(x[:, 0], (-1.0) ** np.arange(5) * np.exp(-0.5 * drag(curvature, beta) * times),
                                    rtol=1e-7, atol=1e-10),
                rest=judges.equal(v[:, 0], 0.0, atol=1e-9))
    return judges.every(**parts)


@claim("nesterov_bound", topic="riemannian", paper=SHI, where="NAG-SC", stance="reconstructed",
       statement="s = 1/(4L): f(x_k) - f* <= 5 L |x_0 - x*|^2 / (1 + sqrt(mu/L)/12)^k")
def nesterov_bound(effort):
    """The worst quadratic with a spectrum in [mu, L], which is one mode, for several L/mu, and logistic regression."""
    return _discrete(effort, "nesterov", 5.0, lambda ratio: np.sqrt(ratio) / 12.0)


@nesterov_bound.control("constant 0.02, from step 10 on")
def _(effort):
    return _discrete(effort, "nesterov", 0.02, lambda ratio: np.sqrt(ratio) / 12.0, TRANSIENT)


@nesterov_bound.control("rate sqrt(mu/L), that of the slowest mode")
def _(effort):
    return _discrete(effort, "nesterov", 5.0, np.sqrt)


@claim("heavy_ball_bound", topic="riemannian", paper=SHI, where="heavy ball", stance="reconstructed",
       statement="s = mu/(16 L^2): f(x_k) - f* <= 5 L |x_0 - x*|^2 / (1 + mu/(16 L))^k")
def heavy_ball_bound(effort):
    """The same losses."""
    return _discrete(effort, "heavy ball", 5.0, lambda ratio: ratio / 16.0)


@heavy_ball_bound.control("rate 0.7 mu/L; the slowest mode has mu/(2L)")
def _(effort):
    return _discrete(effort, "heavy ball", 5.0, lambda ratio: 0.7 * ratio)


@heavy_ball_bound.control("constant 0.4, from step 10 on")
def _(effort):
    return _discrete(effort, "heavy ball", 0.4, lambda ratio: ratio / 16.0, TRANSIENT)


@heavy_ball_bound.control("Nesterov's rate sqrt(mu/L)/12: no acceleration at this step")
def _(effort):
    return _discrete(effort, "heavy ball", 5.0, lambda ratio: np.sqrt(ratio) / 12.0)


def _discrete(effort, method, constant, rate, first=0):
    parts = {}
    for condition in effort.choose((10.0, 100.0), (10.0, 100.0, 1000.0)):
        modes = Quadratic(np.geomspace(1.0 / condition, 1.0, MODES))
        scale = np.sqrt(condition) if method == "nesterov" else condition
        path = iterates(method, modes, np.ones(MODES), *_step(method, 1.0 / condition, 1.0), round(12.0 * scale))
        worst = (0.5 * modes.curvatures * path**2).max(axis=1)
        parts[f"L/mu={condition:g}"] = _below(worst, constant, rate(1.0 / condition), first)
    mu, top, best = LOGISTIC.convexity, LOGISTIC.smoothness, LOGISTIC.minimum
    path = iterates(method, LOGISTIC, FAR, *_step(method, mu, top), effort.choose(500, 5000))
    excess = (LOGISTIC.value(path) - LOGISTIC.value(best)) / (top * np.sum((FAR - best) ** 2))
    parts["logistic"] = _below(excess, constant, rate(mu / top), first)
    return judges.every(**parts)


def _step(method, convexity, smoothness):
    return convexity, 0.25 / smoothness if method == "nesterov" else convexity / (16.0 * smoothness**2)


def _below(excess, constant, rate, first):
    """``excess_k <= constant (1 + rate)^-k`` from some step on, in the ratio."""
    return _share((excess * np.exp(np.arange(len(excess)) * np.log1p(rate)) / constant)[first:])


def _share(ratio):
    return judges.inequality(ratio, 1.0, over=f"largest share of the bound {ratio.max():.3g}")


@claim("flow_bound", topic="riemannian", paper=SHI, where="high-resolution ODEs", stance="reconstructed",
       statement="s <= 1/L: f(X) - f* <= c |x_0 - x*|^2/s e^(-sqrt(mu) t/4), c = 2 (NAG-SC) and 7/2 (heavy ball)")
def flow_bound(effort):
    """The worst quadratic for L/mu up to 1000, at s = 1/L and 1/(10 L), over 30 times 1/sqrt(mu)."""
    return _continuous(effort, {"nesterov": 2.0, "heavy ball": 3.5}, 0.25)


@flow_bound.control("rate 2.1 sqrt(mu); the slowest mode of the heavy ball has 2 sqrt(mu)")
def _(effort):
    return _continuous(effort, {"nesterov": 2.0, "heavy ball": 3.5}, 2.1)


@flow_bound.control("NAG-SC, c = 0.03 from sqrt(mu) t = 1/2 on")
def _(effort):
    return _continuous(effort, {"nesterov": 0.03}, 0.25, 0.5)


@flow_bound.control("heavy ball, c = 0.8 from sqrt(mu) t = 1/2 on")
def _(effort):
    return _continuous(effort, {"heavy ball": 0.8}, 0.25, 0.5)


def _continuous(effort, constants, rate, first=0.0):
    parts = {}
    for method, constant in constants.items():
        for condition in effort.choose((10.0, 1000.0), (10.0, 100.0, 1000.0, 1e4)):
            for share in (1.0, 0.1):
                modes, mu = np.geomspace(1.0 / condition, 1.0, MODES), 1.0 / condition
                flow = high_resolution_flow(method, Quadratic(modes), mu, share)
                velocity = starting_velocity(Quadratic(modes), np.ones(MODES), mu, share, corrected=False)
                times = np.linspace(0.0, 30.0 / np.sqrt(mu), effort.choose(600, 6000))
                path = _modal(times, flow.friction + flow.damping * modes, flow.force * modes, velocity)
                ratio = share * (0.5 * modes * path**2).max(axis=1) * np.exp(rate * np.sqrt(mu) * times) / constant
                parts[f"{method}, L/mu={condition:g}, sL={share:g}"] = _share(ratio[np.sqrt(mu) * times >= first])
    return judges.every(**parts)


def _modal(times, drag, pull, velocity):
    """``x'' + drag x' + pull x = 0`` from 1 with the given velocity, shape (times, modes)."""
    split = np.sqrt((0.25 * drag**2 - pull).astype(complex))
    split = np.where(split == 0, 1e-8, split)
    half, t = 0.5 * drag, times[:, None]
    up, down = np.exp((split - half) * t), np.exp(-(split + half) * t)
    return (0.5 * (up + down) + 0.5 * (up - down) / split * (velocity + half)).real


@claim("gradient_norm_bound", topic="riemannian", paper=SHI, where="NAG-C", stance="reconstructed",
       statement="NAG-C, s = 1/(3L): min_{i<=k} |g_i|^2 <= 8568 |x_0 - x*|^2 / (s^2 (k+1)^3)")
def gradient_norm_bound(effort):
    """The worst quadratic, 200 curvatures from 1e-6 L to L, and logistic regression."""
    return _gradient_norms(effort, 8568.0, 3.0)


@gradient_norm_bound.control("constant 0.3, from step 10 on")
def _(effort):
    return _gradient_norms(effort, 0.3, 3.0, TRANSIENT)


@gradient_norm_bound.control("constant 1 and (k+1)^4, from step 10 on")
def _(effort):
    return _gradient_norms(effort, 1.0, 4.0, TRANSIENT)


def _gradient_norms(effort, constant, power, first=0):
    count = effort.choose(2000, 20000)
    modes = Quadratic(np.geomspace(1e-6, 1.0, 200))
    path = convex_iterates(modes, np.ones(200), 1.0 / 3.0, count)
    worst = np.minimum.accumulate((modes.curvatures * path) ** 2, axis=0).max(axis=1) / 9.0
    step, best = 1.0 / (3.0 * LOGISTIC.smoothness), LOGISTIC.minimum
    slopes = np.sum(LOGISTIC.gradient(convex_iterates(LOGISTIC, FAR, step, count)) ** 2, axis=1)
    logistic = np.minimum.accumulate(slopes) * step**2 / np.sum((FAR - best) ** 2)
    parts = {}
    for name, norms in (("quadratics", worst), ("logistic", logistic)):
        parts[name] = _share((norms * np.arange(1.0, count + 2.0) ** power / constant)[first:])
    return judges.every(**parts)


@claim("gradient_correction", topic="riemannian", paper=SHI, where="NAG-C", stance="derived",
       statement="quadratics: sup |g_k|^2 s^2/|x_0 - x*|^2 ~ k^(-7/2) for NAG-C, k^-3 without its gradient correction")
def gradient_correction(effort):
    """Over curvatures in (0, 1/(3s)], largest from step k on: NAG-C damps those above 1/(s k), which would lead.

    A mode has |g|^2 = lambda^2 (sqrt(lambda) t)^-3 up to exp(-sqrt(s) lambda t) at t = k sqrt(s): the largest is at
    lambda = 1/s without the exponential, at 1/(s k) with it.
    """
    return judges.every(corrected=_sharpest(effort, True, -3.5), plain=_sharpest(effort, False, -3.0))


@gradient_correction.control("k^-3 with the gradient correction")
def _(effort):
    return _sharpest(effort, True, -3.0)


@gradient_correction.control("k^(-7/2) without it")
def _(effort):
    return _sharpest(effort, False, -3.5)


def _sharpest(effort, corrected, expected):
    count, curvatures = effort.choose(6400, 12800), np.append(np.geomspace(1e-5, 0.9, 300), np.linspace(0.9, 1.0, 300))
    x = before = y = np.ones_like(curvatures)
    largest = [1.0]
    for k in range(count):
        down = x - curvatures * x / 3.0
        if corrected:
            x, y = down + k / (k + 3) * (down - y), down
        else:
            x, before = down + k / (k + 3) * (x - before), x
        largest.append(float(np.max((curvatures * x) ** 2)))
    envelope = np.maximum.accumulate(largest[::-1])[::-1]
    steps = np.unique(np.geomspace(100, count / 2, 16).astype(int))
    return judges.exponent(steps, envelope[steps], expected, 0.1)


@claim("vanishing_friction", topic="riemannian", paper=ATTOUCH, where="alpha/t damping", stance="derived",
       statement="f convex, alpha >= 3, U = t^2 (f-f*) + t/(2(t-beta)) |(alpha-1)(x-x*) + t(x' + beta g)|^2 decreases")
def vanishing_friction(effort):
    """Hence f - f* <= U(t_0)/t^2.  Logistic regression, sum x^8/8; alpha 3 and 4; with and without Hessian damping."""
    return _vanishing(effort, (3.0, 4.0))


@vanishing_friction.control("alpha = 2")
def _(effort):
    return _vanishing(effort, (2.0,))


@vanishing_friction.control("alpha = 1")
def _(effort):
    return _vanishing(effort, (1.0,))


class _Power:
    """``f(x) = sum |x|^p/p``, flat about its minimum for p > 2."""

    def __init__(self, power, dimension):
        self.power, self.minimum = power, np.zeros(dimension)

    def value(self, x):
        return np.sum(np.abs(x) ** self.power, axis=-1) / self.power

    def gradient(self, x):
        return np.sign(x) * np.abs(x) ** (self.power - 1.0)

    def hessian_times(self, x, v):
        return (self.power - 1.0) * np.abs(x) ** (self.power - 2.0) * v


def _vanishing(effort, frictions):
    times, parts = np.geomspace(1.0, effort.choose(60.0, 1000.0), effort.choose(200, 2000)), {}
    for name, landscape, start in (("logistic", LOGISTIC, FAR), ("x^8", _Power(8.0, 2), np.array([1.3, -0.9]))):
        for friction in frictions:
            for damping in (0.0, 0.5):
                flow = VanishingFlow(landscape, friction, damping)
                x, v = flow.path(start, 0.0 * start, times)
                energy = vanishing_energy(flow, times, x, v)
                parts[f"{name}, alpha={friction:g}, beta={damping:g}"] = judges.every(
                    energy=judges.inequality(energy[1:], energy[:-1] + 1e-9 * energy[0]),
                    bound=judges.inequality(landscape.value(x) - landscape.value(landscape.minimum),
                                            energy[0] / times**2))
    return judges.every(**parts)


@claim("vanishing_friction_power", topic="riemannian", paper=ATTOUCH, where="alpha/t damping", stance="derived",
       statement="|x|^p/p, beta = 0: energy ~ t^(-2p/(p-2)) if alpha > (p+2)/(p-2), else ~ t^(-2 alpha p/(p+2))")
def vanishing_friction_power(effort):
    """Creeping to the minimum or oscillating about it: alpha = 1 does not give O(t^-2).

    Creeping: x = c t^(-2/(p-2)) solves the equation.  Oscillating: the average of x'^2 is 2p/(p+2) of the energy.
    """
    return _powers(effort, lambda p, a: 2.0 * p / (p - 2.0) if a > (p + 2.0) / (p - 2.0) else 2.0 * a * p / (p + 2.0))


@vanishing_friction_power.control("t^(-2 alpha p/(p+2)) throughout")
def _(effort):
    return _powers(effort, lambda p, a: 2.0 * a * p / (p + 2.0))


@vanishing_friction_power.control("t^-2 throughout")
def _(effort):
    return _powers(effort, lambda p, a: 2.0)


def _powers(effort, rate):
    parts = {}
    for power, friction in ((4.0, 1.0), (8.0, 1.0), (8.0, 4.0)):
        times, energy = _power_energy(effort.choose(4e3, 1e5), power, friction)
        parts[f"p={power:g}, alpha={friction:g}"] = judges.exponent(times, energy, -rate(power, friction), 0.1,
                                                                    limit="large")
    return judges.every(**parts)


@cache
def _power_energy(last, power, friction):
    times, landscape = np.geomspace(1.0, last, round(10 * np.log10(last))), _Power(power, 1)
    start = [1.3] if friction > 1.0 else [2.0]   # from higher up it oscillates more often
    x, v = VanishingFlow(landscape, friction).path(start, [0.0], times, rtol=1e-8, evaluations=5_000_000)
    late = times > 100.0
    return times[late], (landscape.value(x) + 0.5 * np.sum(v**2, axis=-1))[late]
