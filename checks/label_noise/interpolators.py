"""Claims about the manifold of interpolators: its sharpness, the flattest of it, and the slow flow along it.

Nothing here is random but the networks and training sets, drawn once.  Of sharpness and drift the measured side builds
the Jacobian and the Hessian of a network of WIDTH neurons as matrices; of the flattest interpolator, besides, where the
integrated slow flow ends.  The last two claims hold that integrator and its closed forms against each other.
"""

import math
from functools import cache

import numpy as np

from ...sims import streams
from ...theory import label_noise
from ...theory.label_noise import gradient_flow, identities, slow_flow
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

WIDTH, DIMENSION = 7, 4
ROUNDING = 1e-12
"""Relative; eigenvalues and least squares of matrices of some tens of rows."""
RATE = 0.01
"""``v``; every drift is linear in it."""


@cache
def _interpolator(replica, dimension=DIMENSION, width=WIDTH):
    """Layers, target and Sigma of a network that fits its target exactly."""
    draws = streams.normals(streams.key(41, "label_noise.interpolators"), replica, np.arange(width + dimension),
                            dimension + 1).astype(np.float64)
    first, second = draws[:width, :-1], draws[:width, -1]
    inputs = draws[width:, :-1]
    return first, second, first.T @ second, 0.5 * np.eye(dimension) + 0.5 * inputs.T @ inputs / dimension


@claim("sharpness", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="on the interpolators tr H = alpha tr Sigma + tr(W Sigma W'), and the nonzero eigenvalues of H are "
                 "those "
                 "of M Sigma, M = W'W + alpha I")
def sharpness(effort):
    return _sharpness(effort)


@sharpness.control("M = W'W, without the first layer's own share")
def _(effort):
    return _sharpness(effort, share=0.0)


@sharpness.control("alpha in place of alpha tr Sigma")
def _(effort):
    return _sharpness(effort, trace=1.0)


def _sharpness(effort, share=1.0, trace=None):
    measured, expected, traces = [], [], []
    for replica in range(effort.choose(5, 100)):
        first, second, _, covariance = _interpolator(replica)
        jacobian = identities.jacobian(first, second)
        hessian = jacobian.T @ covariance @ jacobian
        measured.append(np.append(np.linalg.eigvalsh(hessian)[::-1][:DIMENSION], np.trace(hessian)))
        m = first.T @ first + share * (second @ second) * np.eye(DIMENSION)
        values = np.sort(np.linalg.eigvals(m @ covariance).real)[::-1]
        total = np.trace(covariance) if trace is None else trace
        traces.append(second @ second * total + np.sum(first @ covariance * first))
        expected.append(np.append(values, traces[-1]))
    return judges.equal(measured, expected, rtol=ROUNDING)


@claim("projected_drift", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="-(v/4) P grad tr H, P the projection on the tangent space, is W' = -(v/2) W Sigma - a mu', "
                 "a' = -(v/2) s a - W mu, mu = -(v/2) M^-1 (Sigma + s I) theta*")
def projected_drift(effort):
    return _drift(effort)


@projected_drift.control("without the projection, mu = 0")
def _(effort):
    return _drift(effort, projected=False)


@projected_drift.control("twice the rate, v in place of v/2")
def _(effort):
    return _drift(effort, rate=2.0 * RATE)


def _drift(effort, projected=True, rate=RATE):
    measured, expected = [], []
    for replica in range(effort.choose(5, 100)):
        first, second, _, covariance = _interpolator(replica)
        jacobian = identities.jacobian(first, second)
        gradient = 2.0 * np.append((first @ covariance).ravel(), np.trace(covariance) * second)
        normal = jacobian.T @ np.linalg.lstsq(jacobian.T, gradient, rcond=None)[0]
        measured.append(-0.25 * RATE * (gradient - normal))
        a = slow_flow.drift(label_noise.gram(first, second), rate * covariance)
        if not projected:
            a[:-1, -1] = a[-1, :-1] = 0.0
        moved = np.column_stack([first, second]) @ a.T
        expected.append(np.append(moved[:, :-1].ravel(), moved[:, -1]))
    scale = np.abs(measured).max()
    return judges.equal(np.array(measured) / scale, np.array(expected) / scale, atol=ROUNDING)


@claim("flattest_interpolator", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="tr H >= 2 (tr Sigma theta*'Sigma theta*)^(1/2), attained at W = a theta*'/alpha, where the slow "
                 "flow ends; for n < d the minimum is 2 (tr Sigma ||y||^2/n)^(1/2), whatever the interpolator")
def flattest_interpolator(effort):
    """Random interpolators, Hessian of the attaining network, the slow flow after 40/v; and with two inputs for d = 4
    from two starts, which end at two interpolators of the same labels."""
    return _flattest(effort)


@flattest_interpolator.control("twice the least value")
def _(effort):
    return _flattest(effort, factor=2.0)


@flattest_interpolator.control("the norm of theta* in place of that of its predictions")
def _(effort):
    return _flattest(effort, weighted=False)


@flattest_interpolator.control("a second layer that stops at 1.1 times its norm")
def _(effort):
    return _flattest(effort, stretch=1.1)


@flattest_interpolator.control("for n < d the minimum of n >= d, by the whole of theta*")
def _(effort):
    return _flattest(effort, projected=False)


def _flattest(effort, factor=1.0, weighted=True, stretch=1.0, projected=True):
    traces, least, ends, attained, shared, goals = [], [], [], [], [], []
    for replica in range(effort.choose(4, 40)):
        first, second, target, covariance = _interpolator(replica)
        weight = covariance if weighted else np.eye(DIMENSION) * np.trace(covariance) / DIMENSION
        least.append(factor * 2.0 * math.sqrt(np.trace(covariance) * (target @ weight @ target)))
        state = label_noise.gram(first, second)
        traces.append(label_noise.trace_hessian(state, covariance))
        model = label_noise.TwoLayerLinear(DIMENSION, WIDTH, RATE**0.5, 1.0, float(np.linalg.norm(target)))
        turned, rotated = _turned(state, target), _turned(covariance, target)
        inputs = np.linalg.cholesky(DIMENSION * rotated).T
        path = slow_flow.path(model, [0.0, 40.0 / RATE], turned, inputs, corrected="none")
        ends.append(label_noise.trace_hessian(path.states[-1], rotated))
        attained.append(_trace_of_network(second, target, covariance, stretch))
        few = inputs[:2]
        labels = few @ model.target if projected else np.full(2, model.target_norm)
        for begin in (turned, slow_flow.expected_start(model)):
            end = slow_flow.path(model, [0.0, 40.0 / RATE], begin, few, corrected="none").states[-1]
            shared.append(label_noise.trace_hessian(end, few.T @ few / 2.0))
            goals.append(factor * 2.0 * math.sqrt(np.sum(few**2) / 2.0 * np.mean(labels**2)))
    least = np.array(least)
    return judges.every(bound=judges.inequality(least, traces), attained=judges.equal(attained, least, rtol=ROUNDING),
                        end=judges.equal(ends, least, rtol=1e-7), shared=judges.equal(shared, goals, rtol=1e-7))


def _trace_of_network(second, target, covariance, stretch):
    """``tr H``, of the Jacobian, of ``W = a theta*'/alpha`` with a along ``second``, at stretch times the best norm."""
    alpha = stretch * math.sqrt(target @ covariance @ target / np.trace(covariance))
    layer = second * math.sqrt(alpha / (second @ second))
    jacobian = identities.jacobian(np.outer(layer, target) / alpha, layer)
    return np.trace(jacobian.T @ covariance @ jacobian)


def _turned(matrix, target):
    """A matrix of size d or d + 1 in the frame whose first axis is the target's."""
    basis, _ = np.linalg.qr(np.column_stack([target, np.eye(len(target))[:, 1:]]))
    basis[:, 0] *= np.sign(basis[:, 0] @ target)
    frame = np.eye(len(matrix))
    frame[:len(target), :len(target)] = basis
    return frame.T @ matrix @ frame


@claim("isotropic_slow_flow", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="Sigma = I: g_perp = g_perp(0) e^(-vt), g alpha - |theta|^2 = (g0 alpha0 - |theta|^2) e^(-(d+1)vt), "
                 "and on "
                 "g alpha = |theta|^2: (d+1) ln|y-d| - ln y = const - 2dvt, y = g^2/|theta|^2")
def isotropic_slow_flow(effort):
    """The flow in d + 1 dimensions against the closed forms; the tolerance is the integrator's, times 100."""
    return _isotropic(effort)


@isotropic_slow_flow.control("g alpha relaxes at the rate d v")
def _(effort):
    return _isotropic(effort, excess=lambda d: d)


@isotropic_slow_flow.control("the implicit form at 2 v t, whatever d")
def _(effort):
    return _isotropic(effort, implicit=lambda d: 2.0)


@isotropic_slow_flow.control("across the target twice as fast, e^(-2vt)")
def _(effort):
    return _isotropic(effort, across=2.0)


def _isotropic(effort, excess=lambda d: d + 1.0, implicit=lambda d: 2.0 * d, across=1.0):
    times, kept = np.linspace(0.0, 3.0, 13), {"across": [], "excess": [], "implicit": [], "along": []}
    for d in effort.choose((2, 5, 20), (2, 3, 5, 10, 20, 50)):
        model = label_noise.TwoLayerLinear(d, 10, 0.1, 1.0, 1.5)
        for tight in (False, True):
            state = np.diag(np.append(np.full(d, 30.0), 2.25 / 30.0 if tight else 1.0))
            state[0, -1] = state[-1, 0] = 1.5
            path = slow_flow.path(model, times / model.drift, state, corrected="none", relax=False)
            g, alpha = path.states[:, 0, 0], path.alpha
            closed = slow_flow.isotropic(times, d, 1.5, 30.0, 30.0, float(state[-1, -1]))
            kept["along"].append(g / closed.along - 1.0)
            kept["across"].append(path.states[:, 1, 1] / (30.0 * np.exp(-across * times)) - 1.0)
            start = 30.0 * state[-1, -1] - 2.25
            kept["excess"].append((g * alpha - 2.25 - start * np.exp(-excess(d) * times)) / 2.25)
            if tight:
                y = g * g / 2.25
                form = (d + 1.0) * np.log(y - d) - np.log(y)
                kept["implicit"].append((form - form[0] + implicit(d) * times) / np.abs(form[0]))
    return judges.every(**{name: judges.equal(np.concatenate(parts), 0.0, atol=100.0 * slow_flow.TOLERANCE)
                           for name, parts in kept.items()})


@claim("alignment_clock", topic="label_noise", paper=LABEL_NOISE, where="Table 1", stance="derived",
       statement="half of ||W||^2 is along theta* at v t = ln(m (1-1/d)/(sqrt(d) ||theta*||)) + ln(1 - "
                 "(d-1)^(-2d/(d+1)))/2 + O(d^3/m^2): both phases run on the clock 1/(h sigma)^2")
def alignment_clock(effort):
    """||theta*|| = 1, d = 5, 20, 80, m up to 10^5 (full: 10^6); the bracket of v t is +-d^3/m^2.

    Why: where ``g = (d-1) g_perp`` the implicit form, with ``const = d ln y(0)`` up to ``d^2/y(0) = d^4/m^2``, divided
    by 2d on its way to v t, leaves ``(d+1) ln(1 - d/y) = -2d ln(d-1)``.  The last term is about ``-1/(2 d^2)``.
    """
    return _clock(effort)


@alignment_clock.control("m/d in place of m: the end of phase I")
def _(effort):
    return _clock(effort, lambda model: slow_flow.clocks(model).norm)


@alignment_clock.control("a clock of 1/(d (h sigma)^2)")
def _(effort):
    return _clock(effort, lambda model: slow_flow.clocks(model).alignment / model.dimension)


@alignment_clock.control("without the last term")
def _(effort):
    return _clock(effort, lambda model: slow_flow.clocks(model).alignment)


def _half(model):
    d = model.dimension
    return slow_flow.clocks(model).alignment + 0.5 * math.log1p(-(d - 1.0) ** (-2.0 * d / (d + 1.0))) / model.drift


def _clock(effort, when=_half):
    pieces = {}
    sizes = ((20, 1000), (5, 100_000), (20, 100_000), (80, 100_000))
    for d, width in effort.choose(sizes, (*sizes, (20, 10_000), (20, 1_000_000), (80, 1_000_000))):
        model = label_noise.TwoLayerLinear(d, width, 1e-4, 1.0, 1.0)
        expected, within = when(model) * model.drift, d**3 / width**2
        times = np.arange(0.0, 20.0)
        times = np.sort(np.append(times[np.abs(times - expected) > 0.5], [expected - within, expected + within]))
        state, _ = gradient_flow.limit(slow_flow.expected_start(model), model.target)
        flow = slow_flow.isotropic(times, d, 1.0, state[0, 0], state[1, 1], state[-1, -1])
        share = flow.along / (flow.along + (d - 1.0) * flow.across)
        pieces[f"d={d}, m={width}"] = judges.sign_change(times, share - 0.5, expected)
    return judges.every(**pieces)
