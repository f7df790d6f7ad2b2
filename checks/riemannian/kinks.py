"""Claims about flows that are not smooth: finite time, chatter, sliding, and what fixed averages tend to."""

from dataclasses import replace

import numpy as np

from ...theory.riemannian import matrix_optimizers as matrices
from ...theory.riemannian import optimizers as vectors
from ...theory.riemannian.flows import iterates
from ...theory.riemannian.landscapes import MatrixQuadratic, Quadratic, RippledQuadratic
from ...theory.riemannian.nonsmooth import SignFlow, chatter, shrunk, sign_slide
from .. import judges
from ..claim import claim
from .orders import PANEL, TIME, WEIGHTS, weakest
from .paper import LITE

LENGTHS = np.array([0.9131, 0.5783, 0.22214, 0.10173])
CURVATURES = np.array([0.01, 1.0, 30.0, 0.3])
STEPS = (0.01, 0.0037, 0.001)
ROUNDING = 1e-12


def _paths(h, count):
    """Singular values of Muon's iterates and coordinates of sign descent's, shape (count + 1, 4) each."""
    turn = np.linalg.qr(np.sin(np.arange(1.0, 31.0)).reshape(6, 5))[0][:, :4]
    spin = np.linalg.qr(np.cos(np.arange(1.0, 17.0) ** 1.3).reshape(4, 4))[0]
    landscape = MatrixQuadratic(np.ones((6, 4)))
    path = iterates(matrices.muon(h, 0.0, nesterov=False), landscape.gradient, (turn * LENGTHS) @ spin, count)
    signs = iterates(vectors.sign_descent(h), Quadratic(CURVATURES).gradient, LENGTHS * [1.0, -1.0, -1.0, 1.0], count)
    return {"Muon": np.abs(np.einsum("kij,il,lj->kl", path, turn, spin)), "sign descent": np.abs(signs)}


def _until_arrival(flow):
    """Distance from a flow as long as it has not arrived: every step of every length that is larger than h."""
    parts = {}
    for h in STEPS:
        count = int(1.2 / h)
        times = h * np.arange(count + 1)
        moving = LENGTHS - times[:, None] > h
        for name, path in _paths(h, count).items():
            expected = flow(times)
            parts[f"{name}, h={h:g}"] = judges.equal(path[moving], expected[moving], atol=ROUNDING)
    return parts


def _beyond(expected):
    """The largest distance from the flow, which is that of the chatter, in units of h."""
    parts = {}
    for h in STEPS:
        count = int(1.2 / h)
        for name, path in _paths(h, count).items():
            distance = np.abs(path - shrunk(LENGTHS, h * np.arange(count + 1))).max(axis=0)
            parts[f"{name}, h={h:g}"] = judges.equal(distance / h, expected(h) / h, atol=1e-9)
    return parts


@claim("finite_time_flows", topic="riemannian", paper=LITE, where="Muon and sign updates, continuous limit",
       stance="derived",
       statement="Muon on |W|^2/2, sign descent on sum c_i w_i^2/2: sigma_i(t) = max(sigma_i(0) - t, 0); steps of h "
                 "are on it, then max(r, h - r) off, r = sigma_i(0) mod h")
def finite_time_flows(effort):
    """Four lengths and curvatures from 0.01 to 30, three steps; the arrival takes as long whatever the curvature."""
    moving = _until_arrival(lambda times: shrunk(LENGTHS, times))
    return judges.every(**moving, **{f"chatter {name}": part for name, part in
                                     _beyond(lambda h: chatter(LENGTHS, h)).items()})


@finite_time_flows.control("gradient flow, sigma_i(0) e^(-c_i t)")
def _(effort):
    return weakest(**_until_arrival(lambda times: LENGTHS * np.exp(-CURVATURES * times[:, None])))


@finite_time_flows.control("a chatter of h/2")
def _(effort):
    return weakest(**_beyond(lambda h: np.full(4, h / 2)))


DOMINANT = np.array([[2.0, 0.6, -0.4, 0.3], [0.6, 1.5, 0.5, -0.2], [-0.4, 0.5, 1.2, 0.1], [0.3, -0.2, 0.1, 0.9]])
STARTS = np.sin(np.arange(1.0, 97.0) ** 1.2).reshape(24, 4)


def _slid_along(effort, exact):
    """The largest distance between sign descent and a path over 24 starts, in units of h, as h tends to 0."""
    steps = 2.0 ** -np.arange(6.0, effort.choose(13.0, 15.0))
    times = steps[-1] * np.arange(1, round(2.0 / steps[-1]) + 1)
    paths, errors = np.stack([exact(start, times) for start in STARTS], axis=1), []
    for h in steps:
        each = round(h / steps[-1])
        found = iterates(vectors.sign_descent(h), lambda w: w @ DOMINANT, STARTS, len(times) // each)[1:]
        errors.append(np.abs(found - paths[each - 1::each]).max())
    return judges.bounded(np.array(errors) / steps, drift=1.5, sizes=1.0 / steps)


def _forgetful(start, times):
    """Each coordinate on its own, as if the Hessian were diagonal."""
    return np.sign(start) * np.maximum(np.abs(start) - times[:, None], 0.0)


@claim("sign_descent_slides", topic="riemannian", paper=LITE, where="sign updates, continuous limit", stance="derived",
       statement="w' = -sign(A w), A strictly diagonally dominant: g_i = 0 is kept once reached, A_SS w_S' = "
                 "-A_SN w_N', w(T) = 0 in finite time; steps of h stay O(h) from it")
def sign_descent_slides(effort):
    """24 starts in 4 dimensions; a factor 1.5 is set for the chatter's phase."""
    return _slid_along(effort, lambda start, times: sign_slide(DOMINANT, start, times))


@sign_descent_slides.control("every coordinate heads for 0 by itself")
def _(effort):
    return _slid_along(effort, _forgetful)


@sign_descent_slides.control("off-diagonal curvature weaker by 5 %")
def _(effort):
    weaker = DOMINANT * (0.95 + 0.05 * np.eye(4))
    return _slid_along(effort, lambda start, times: sign_slide(weaker, start, times))


FRICTION, SLIDING_TIME = 1.5, 1.0
SLIDERS = np.linspace(0.02, 0.2, 60)


def _slid(effort, damping, predicted):
    """Order of the distance between iterates of sign descent with averaged momentum and a predicted decay.

    All coordinates start on the sliding surface, with m = -beta g.
    """
    curvatures = np.geomspace(0.1, 10.0, SLIDERS.size)
    landscape, errors = Quadratic(curvatures), []
    steps = 2.0 ** -np.arange(5.0, effort.choose(11.0, 14.0))
    for h in steps:
        count = round(SLIDING_TIME / h)
        method = vectors.sign_descent(h, 1.0 - FRICTION * h, damping)
        state = method.start(SLIDERS, landscape.gradient(SLIDERS))
        state = state._replace(momentum=-damping * landscape.gradient(SLIDERS))
        worst = 0.0
        for k in range(1, count + 1):
            state = method.step(state, landscape.gradient(state.parameters))
            worst = max(worst, np.abs(state.parameters - predicted(k * h)).max())
        errors.append(worst)
    return judges.order(steps, errors, 1.0, 0.1)


def _decay(damping, rate):
    return lambda time: SLIDERS * np.exp(-rate * time)


@claim("damped_sign_slides", topic="riemannian", paper=LITE, where="Lion as sign descent with damping",
       stance="derived",
       statement="w' = -sign(m + beta g), m' = a (g - m), |w| <= beta/(a (1+beta)): slides, w' = -a (1 + 1/beta) w, "
                 "whatever the curvature")
def damped_sign_slides(effort):
    """Curvatures from 0.1 to 10 and beta = 0.5, 1; order 1 in h, with 0.1 set, as the chatter has a phase."""
    return judges.every(**{f"beta={damping:g}": _slid(effort, damping, _decay(damping, _sliding_rate(damping)))
                           for damping in (0.5, 1.0)})


def _sliding_rate(damping):
    return SignFlow([1.0], FRICTION, damping).sliding_rate


@damped_sign_slides.control("at the rate a (1 + beta)")
def _(effort):
    return weakest(**{f"beta={damping:g}": _slid(effort, damping, _decay(damping, FRICTION * (1.0 + damping)))
                      for damping in (0.5, 2.0)})


@damped_sign_slides.control("without damping: heading for 0 at speed 1 and staying there")
def _(effort):
    return _slid(effort, 0.0, lambda time: np.maximum(SLIDERS - time, 0.0))


RIPPLED = RippledQuadratic([0.4, 1.0, 2.5], 0.3, [1.0, -0.5, 0.7])
FAR = np.array([1.0, 0.8, 1.2])
FINE = 2.0**-7


SPEEDS = {"NAdam": 1.0 / 0.6}
"""``1 + beta`` where F is made of g and not of m + beta g; 1 else."""
FIXED = {
    "RMSProp": vectors.rmsprop(FINE, 0.7), "Adam": vectors.adam(FINE, 0.6, 0.7, correction=False),
    "Adam, bias-corrected": vectors.adam(FINE, 0.6, 0.7), "NAdam": vectors.nadam(FINE, 0.6, 0.7),
    "Shampoo": matrices.shampoo(FINE, 0.6, 0.7),
    "Shampoo, one side": matrices.shampoo(FINE, 0.6, 0.7, one_sided=True), "Muon": matrices.muon(FINE, 0.6)}


def _tends(effort, name, flow_of=None, speed=None):
    """Order of the distance from the flow of the sign, or of the polar factor, at its speed."""
    method, vector = FIXED[name], name in ("RMSProp", "Adam", "Adam, bias-corrected", "NAdam")
    landscape, start = (RIPPLED, FAR) if vector else (PANEL, WEIGHTS)
    speed = SPEEDS.get(name, 1.0) if speed is None else speed
    steps = 2.0 ** -np.arange(7.0, effort.choose(12.0, 15.0))
    times = steps[-1] * np.arange(1, round(TIME / 2 / steps[-1]) + 1)
    if flow_of is not None:
        path = flow_of(method).flow(landscape.gradient, "adaptive").solve(start, times)
    else:
        limit = vectors.sign_descent(1.0) if vector else matrices.muon(1.0, 0.0, nesterov=False)
        path = limit.flow(landscape.gradient, "overdamped").solve(start, speed * times)
    errors = []
    for h in steps:
        each = round(h / steps[-1])
        found = iterates(replace(method, rate=h), landscape.gradient, start, len(times) // each)[1:]
        errors.append(np.abs(found - path[each - 1::each]).max())
    return judges.order(steps, errors, 1.0, 0.05, over=f"distance {errors[-1]:.2g}")


@claim("fixed_averages", topic="riemannian", paper=LITE, where="Algorithm 1, continuous limit", stance="derived",
       statement="b1, b2 fixed, eta -> 0: Adam, RMSProp follow w' = -sign g, Shampoo and Muon W' = -msign(G), "
                 "NAdam w' = -(1 + beta) sign g, all to order 1")
def fixed_averages(effort):
    """No gradient changes sign, and no singular value vanishes, in the time there is."""
    return judges.every(**{name: _tends(effort, name) for name in FIXED})


@fixed_averages.control("each at the speed of the other kind, 1 + beta or 1")
def _(effort):
    return weakest(**{name: _tends(effort, name, speed=1.0 if name in SPEEDS else 1.0 / 0.6) for name in FIXED})


@fixed_averages.control("the equation with a = (1 - b1)/h, b = (1 - b2)/h of one step size")
def _(effort):
    return weakest(**{name: _tends(effort, name, lambda method: replace(method, rate=2.0**-4))
                      for name in ("RMSProp", "Adam", "Shampoo", "Shampoo, one side")})
