"""Claims about the speed-up of flat directions: at a frozen learning rate, re-tuned on two blocks, and by a metric.

Rates of flat modes come from roots to 60 digits: running them would take millions of iterations.  Optima over learning
rate, momentum and gain are sought on grids that close in on the least spectral radius, the worst over curvatures that
fill both blocks.
"""

from functools import cache

import mpmath
import numpy as np

from ...theory.riemannian import modes, speed_up
from .. import judges
from ..claim import claim
from .paper import LITE
from .stability import state_matrix

LITE_SETTINGS = ((2.0, 0.0, 0.0), (1.0, 1.0, 0.0), (2.0, 1.0, 0.0), (2.0, 2.0526, 1.0526), (4.0, 20.0, 0.0),
                 (1.5, 1.0, -0.25))
"""(chi, beta_2, beta_1)."""


def _exact_rate(s, theta, beta):
    with mpmath.workdps(60):
        t, b, x = mpmath.mpf(theta), mpmath.mpf(beta), mpmath.mpf(s)
        trace, product = 1 + t - x * (1 + b), t * (1 - x * b)
        root = mpmath.sqrt(trace**2 - 4 * product)
        return float(-mpmath.log(max(abs((trace + root) / 2), abs((trace - root) / 2))))


@cache
def _gains(theta, setting, steps):
    chi, flat, sharp = setting
    return np.array([_exact_rate(chi * s, theta, flat) / _exact_rate(s, theta, sharp) for s in steps])


def _flat_gains(factor, correction):
    """Remainder of the gain after its limit and first correction, as s tends to 0: of second order."""
    parts = {}
    for theta in (0.9, 0.95):
        steps = tuple(np.geomspace(1e-6, 1e-4, 7) * (1 - theta) ** 2)
        s = np.array(steps)
        for chi, flat, sharp in LITE_SETTINGS:
            wanted = factor(theta, chi, flat, sharp) * (1 + correction(theta, chi, flat) * chi * s) / (
                1 + correction(theta, 1.0, sharp) * s)
            parts[f"theta={theta:g}, chi={chi:g}, beta={flat:.3g}/{sharp:.3g}"] = judges.order(
                s, np.abs(_gains(theta, (chi, flat, sharp), steps) / wanted - 1), 2.0, 0.05)
    return judges.every(**parts)


@claim("flat_speed_up", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="s -> 0: LITE multiplies the rate of a flat mode by chi (1 + alpha beta_2)/(1 + alpha beta_1)")
def flat_speed_up(effort):
    """With the first correction s (1/alpha^2 - 1/(2 alpha) + beta/2) of each rate, the remainder is of order s^2."""
    return _flat_gains(speed_up.flat_gain, lambda theta, chi, beta: speed_up.flat_correction(theta, beta))


@flat_speed_up.control("chi alone")
def _(effort):
    return _flat_gains(lambda theta, chi, flat, sharp: chi,
                       lambda theta, chi, beta: speed_up.flat_correction(theta, beta))


@flat_speed_up.control("dampings in units of an average: chi (1 + beta_2)/(1 + beta_1)")
def _(effort):
    return _flat_gains(lambda theta, chi, flat, sharp: chi * (1 + flat) / (1 + sharp),
                       lambda theta, chi, beta: speed_up.flat_correction(theta, beta))


@flat_speed_up.control("the correction of continuous time, 1/alpha^2")
def _(effort):
    return _flat_gains(speed_up.flat_gain, lambda theta, chi, beta: 1 / (1 - theta) ** 2)


def _small_gains(s):
    theta = 0.95
    found = [_gains(theta, setting, (s,))[0] for setting in LITE_SETTINGS]
    wanted = [speed_up.flat_gain(theta, *setting) for setting in LITE_SETTINGS]
    # The neglected term, (chi - 1) s/alpha^2, is 1.2e-3 at s = 1e-6 and chi = 4.
    return judges.equal(found, wanted, rtol=0.002, at={"chi": [each[0] for each in LITE_SETTINGS]})


@claim("frozen_gain", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="theta = 0.95, s = 1e-6: gain chi (1 + alpha beta_2)/(1 + alpha beta_1), from 1.05 to 8, to 0.2%")
def frozen_gain(effort):
    """Six settings, among them chi = 2 (2.0), beta_2 = 1 (1.05), both (2.1) and chi = 4 with beta_2 = 20 (8)."""
    return _small_gains(1e-6)


@frozen_gain.control("s = 5e-4, where the mode of gain 2 oscillates")
def _(effort):
    return _small_gains(5e-4)


def _saturated(predicted):
    """Gain at many chi around where the mode begins to oscillate, beta = 0, up to where it ends."""
    parts = {}
    for theta in (0.9, 0.95):
        s = 0.01 * (1 - theta) ** 2
        chi = np.geomspace(1.0, 0.99 * modes.oscillation_window(theta)[1] / s, 60)
        radius = np.abs(np.linalg.eigvals(state_matrix(chi * s, theta, 0.0))).max(axis=-1)
        # Near its double root an eigenvalue is known to 1e-8, a rate of order alpha to 1e-6.
        parts[f"theta={theta:g}"] = judges.equal(-np.log(radius), predicted(chi, s, theta), rtol=1e-6, at={"chi": chi})
    return judges.every(**parts)


@claim("gain_saturates", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="beta = 0: for chi s in [(1 - sqrt theta)^2, (1 + sqrt theta)^2] the rate is -log(theta)/2 for "
                 "every gain")
def gain_saturates(effort):
    """Below it the overdamped rate; gains from 1 to 3e4 and more."""
    return _saturated(lambda chi, s, theta: np.where(chi * s < speed_up.saturation(theta),
                                                     modes.decay_rate(chi * s, theta), -np.log(theta) / 2))


@gain_saturates.control("chi times the rate without gain")
def _(effort):
    return _saturated(lambda chi, s, theta: chi * modes.decay_rate(s, theta))


@gain_saturates.control("the larger gain up to chi s = alpha^2/4 only")
def _(effort):
    return _saturated(lambda chi, s, theta: np.where(chi * s < (1 - theta) ** 2 / 4, modes.decay_rate(chi * s, theta),
                                                     -np.log(theta) / 2))


BLOCKS = (speed_up.Blocks((10.0, 100.0), (0.01, 0.1)), speed_up.Blocks((100.0, 1000.0), (0.01, 1.0)),
          speed_up.Blocks((1.0, 30.0), (0.05, 0.2)))


def _worst_radius(curvatures, rate, theta, beta=0.0):
    """Largest spectral radius over curvatures, the last axis that the others broadcast with, from trace and product."""
    s = rate * curvatures
    trace, product = 1 + theta - s * (1 + beta), theta * (1 - s * beta)
    gap = trace * trace - 4 * product
    real = 0.5 * (np.abs(trace) + np.sqrt(np.maximum(gap, 0.0)))
    return np.where(gap < 0, np.sqrt(np.maximum(product, 0.0)), real).max(axis=-1)


def _filled(block, points=5):
    return np.geomspace(*block, points)


def _least(value, low, high, rounds, points=8):
    """Least value of a function that falls and then rises; `value` takes one more axis, the last, than `low`.

    The bracket around the best of `points` inner points closes in, ``(points + 1)/2``-fold in each round.
    """
    low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
    share = np.linspace(0.0, 1.0, points + 2)
    for _ in range(rounds):
        grid = low[..., None] + (high - low)[..., None] * share
        found = value(grid)
        best = found.argmin(axis=-1)[..., None]
        low = np.take_along_axis(grid, np.maximum(best - 1, 0), -1)[..., 0]
        high = np.take_along_axis(grid, np.minimum(best + 1, points + 1), -1)[..., 0]
    return np.take_along_axis(found, best, -1)[..., 0]


def _tuned(blocks, gains):
    """Best worst radius over learning rate and momentum, for gains of any shape; the momentum is ``(1 - e^-u)^2``."""
    chi = np.asarray(gains, float)
    curvatures = np.concatenate([np.broadcast_to(_filled(blocks.sharp), (*chi.shape, 5)),
                                 chi[..., None] * _filled(blocks.flat)], axis=-1)
    curvatures = (curvatures / curvatures.max(axis=-1, keepdims=True))[..., None, None, :]

    def at_momentum(u):
        theta = (1 - np.exp(-u)) ** 2
        return _least(lambda rate: _worst_radius(curvatures, np.exp(rate)[..., None], theta[..., None, None]),
                      np.full(u.shape, np.log(0.2)), np.log(4.2), 13)

    return _least(at_momentum, np.zeros(chi.shape), np.full(chi.shape, 8.0), 12)


@cache
def _searched(blocks, gain=None):
    """The same for one gain, or with the gain sought as well, up to the square of ``L_s/L_f``."""
    if gain is not None:
        return float(_tuned(blocks, gain))
    return float(_least(lambda log_gain: _tuned(blocks, np.exp(log_gain)), 0.0, 2 * np.log(blocks.best_gain), 10))


@cache
def _searched_gains(blocks, gains):
    return _tuned(blocks, gains)


def _optimum(predicted):
    found = [_searched(blocks) for blocks in BLOCKS]
    # The search ends at steps of 1e-6 or less; what it misses it misses upwards.
    return judges.equal(found, [predicted(blocks) for blocks in BLOCKS], rtol=1e-5,
                        at={"sharp": [str(blocks.sharp) for blocks in BLOCKS]})


@claim("block_optimum", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="eta, theta, chi free, beta = 0: best radius max over blocks of (sqrt k-1)/(sqrt k+1), k = L/m")
def block_optimum(effort):
    """Searched over all three on three pairs of blocks; reached at eta, theta and chi = L_s/L_f of the theory."""
    reached = []
    for blocks in BLOCKS:
        best, chi = speed_up.block_optimum(blocks)
        reached.append(max(_worst_radius(_filled(blocks.sharp), best.rate, best.momentum),
                           _worst_radius(_filled(blocks.flat), best.rate * chi, best.momentum)))
    wanted = [speed_up.block_optimum(blocks)[0].radius for blocks in BLOCKS]
    # At a double root an error of 1e-16 in the discriminant is one of 1e-8 in the radius.
    return judges.every(searched=_optimum(lambda blocks: speed_up.block_optimum(blocks)[0].radius),
                        reached=judges.equal(reached, wanted, rtol=1e-6))


@block_optimum.control("heavy ball tuned to the whole spectrum, k = L_s/m_f")
def _(effort):
    return _optimum(lambda blocks: speed_up.retuned(blocks).radius)


@block_optimum.control("the faster of the two blocks rules")
def _(effort):
    return _optimum(lambda blocks: min(speed_up.heavy_ball(*blocks.sharp).radius,
                                       speed_up.heavy_ball(*blocks.flat).radius))


NO_GAP = speed_up.Blocks((10.0, 100.0), (0.01, 100.0))
"""Blocks that end at the same curvature: a gain on the flat one costs as much stability as it gives speed."""


def _gain_curve(predicted, blocks=None):
    parts = {}
    for each in ([blocks] if blocks else BLOCKS):
        gains = np.geomspace(1.0, 30 * each.best_gain, 13)
        found = np.log(_searched_gains(each, tuple(gains))) / np.log(_searched(each, 1.0))
        # The search ends at steps of 1e-7 in the rate.
        parts[f"sharp {each.sharp}, flat {each.flat}"] = judges.equal(
            found, [predicted(each, chi) for chi in gains], rtol=1e-5, at={"chi": gains})
    return judges.every(**parts)


@claim("retuned_gain", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="eta, theta re-tuned: gain artanh k(chi)^-.5/artanh k(1)^-.5, k = max(L_s,chi L_f)/min(m_s,chi m_f)")
def retuned_gain(effort):
    """Rising like sqrt chi, level, and falling again, on three pairs of blocks; on one without a gap 1 at most."""
    return judges.every(gaps=_gain_curve(speed_up.retuned_gain), none=_gain_curve(speed_up.retuned_gain, NO_GAP))


@retuned_gain.control("chi, as at a frozen learning rate")
def _(effort):
    return _gain_curve(lambda blocks, chi: chi)


@retuned_gain.control("sqrt chi without end")
def _(effort):
    return _gain_curve(lambda blocks, chi: np.sqrt(chi))


@retuned_gain.control("sqrt chi where there is no gap, L_s = L_f: the gain there is 1")
def _(effort):
    return _gain_curve(lambda blocks, chi: np.sqrt(chi), NO_GAP)


@claim("retuned_gain_law", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="eta, theta re-tuned: gain ~ chi^(1/2), not chi, while chi <= min(m_s/m_f, L_s/L_f) << L_s/m_f")
def retuned_gain_law(effort):
    """Exponent of the searched gain over chi from 2 to 500, condition number 1e4 and 1e5, and gain/sqrt chi near 1."""
    return _gain_exponent(0.5)


@retuned_gain_law.control("chi^1")
def _(effort):
    return _gain_exponent(1.0)


def _gain_exponent(power):
    parts = {}
    for blocks in (BLOCKS[0], speed_up.Blocks((100.0, 1000.0), (0.01, 0.1))):
        gains = np.geomspace(2.0, 500.0, 9)
        found = np.log(_tuned(blocks, gains)) / np.log(_searched(blocks, 1.0))
        kappa = blocks.sharp[1] / blocks.flat[0]
        # artanh x = x (1 + x^2/3 + ...): gain/sqrt chi - 1 is at most chi/(3 kappa) (1 + chi/kappa), its slope as much.
        parts[f"kappa={kappa:g}"] = judges.exponent(gains, found, power, 0.03)
        parts[f"level, kappa={kappa:g}"] = judges.bounded(
            found / gains**power, between=(1 - 1e-3, 1 + 1e-3 + 550 / (3 * kappa)), at={"chi": gains})
    return judges.every(**parts)


def _damped_floor(bound, effort, narrower=1.0):
    """Radii over learning rates, momenta and dampings, on curvatures that fill an interval, against a lower bound."""
    count = effort.choose(40, 150)
    rate, root, beta = (each.ravel()[:, None] for each in np.meshgrid(
        np.geomspace(0.3, 3.99, count), np.linspace(0.0, 0.98, count),
        np.concatenate([[0.0], np.geomspace(0.01, 100, count // 2), -np.geomspace(0.01, 0.9, count // 8)]),
        indexing="ij"))
    parts = {}
    for condition in (3.0, 10.0, 100.0):
        curvatures = _filled((narrower / condition, 1.0), effort.choose(7, 33))
        best = np.min([_worst_radius(curvatures, *part).min() for part in zip(
            *(np.array_split(each, 50) for each in (rate, root**2, beta)))])
        parts[f"kappa={condition:g}"] = judges.inequality(bound(condition), best)
    return judges.every(**parts)


@claim("damping_adds_nothing", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="eta, theta, beta free on an interval of curvatures: radius >= (sqrt k-1)/(sqrt k+1), as at beta = 0")
def damping_adds_nothing(effort):
    """Re-tuned, Hessian damping does not help: 4e4 settings, dampings of both signs; k = 3, 10, 100."""
    return _damped_floor(lambda k: (np.sqrt(k) - 1) / (np.sqrt(k) + 1), effort)


@damping_adds_nothing.control("the same bound on an interval that is narrower by 1.3: it is nearly reached")
def _(effort):
    return _damped_floor(lambda k: (np.sqrt(k) - 1) / (np.sqrt(k) + 1), effort, 1.3)


@damping_adds_nothing.control("(k-1)/(k+1), the bound without momentum")
def _(effort):
    return _damped_floor(lambda k: (k - 1) / (k + 1), effort)


def _turned(values):
    """Symmetric matrix with the given eigenvalues in the basis of discrete cosines."""
    n = len(values)
    basis = np.sqrt(2 / n) * np.cos(np.pi * np.outer(np.arange(n) + 0.5, np.arange(n)) / n)
    basis[:, 0] /= np.sqrt(2)
    return (basis * values) @ basis.T


def _conditions(metric, predicted):
    found, wanted = [], []
    for kappa in (10.0, 1e3, 1e6):
        hessian = _turned(np.geomspace(1.0, kappa, 8))
        values = np.linalg.eigvals(np.linalg.solve(metric(hessian), hessian)).real
        found.append(values.max() / values.min())
        wanted.append(predicted(kappa))
    return judges.equal(found, wanted, rtol=1e-6, at={"kappa": [10.0, 1e3, 1e6]})


def _power(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T


@claim("metric_and_conditioning", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="F = H^p leaves the condition number kappa^(1-p): with the root, p = 1/2, 1e6 becomes 1e3 and not 1")
def metric_and_conditioning(effort):
    """Eight dimensions, no axis of H along one of w."""
    return judges.every(**{f"p={p:g}": _conditions(lambda H, p=p: _power(H, p),
                                                   lambda kappa, p=p: speed_up.metric_condition(kappa, p))
                           for p in (0.0, 0.25, 0.5, 1.0)})


@metric_and_conditioning.control("the diagonal of H^(1/2)'s square instead: a metric along the axes")
def _(effort):
    return _conditions(lambda H: np.diag(np.sqrt(np.diag(H))), lambda kappa: speed_up.metric_condition(kappa, 0.5))


@metric_and_conditioning.control("the root removes all anisotropy")
def _(effort):
    return _conditions(lambda H: _power(H, 0.5), lambda kappa: 1.0)
