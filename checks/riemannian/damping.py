"""Claims about friction and Hessian damping: which rates they give, where they are best, and whom damping slows.

In continuous time a mode is ``x'' + (a + B mu) x' + gamma mu x = 0`` (theory/riemannian/damping.py); its rates are
measured as eigenvalues of the companion matrix, optima by search on grids that close in.
"""

import numpy as np

from ...theory.riemannian import damping, modes
from .. import judges
from ..claim import claim
from .paper import LITE
from .stability import bisected, state_matrix

CURVATURES = np.array([0.01, 0.1, 0.24, 1.0, 4.0, 50.0])
FRICTIONS = np.array([0.0, 0.3, 1.0, 3.0])
CLOSENESS = 1e-5
"""Relative; the search ends at steps of 1e-7, and near a double root eigenvalues are known to 1e-8 only."""


def companion(mu, a, B, gamma):
    """The matrix ``[[0, 1], [-gamma mu, -(a + B mu)]]`` of the mode as a first-order system, shape (..., 2, 2)."""
    restoring, friction = np.broadcast_arrays(-gamma * mu, -(a + B * mu))
    one = np.ones_like(friction)
    return np.stack([np.stack([0 * one, one], -1), np.stack([restoring, friction], -1)], -2)


def eigenvalue_rate(mu, a, B, gamma):
    """Minus the largest real part of its eigenvalues."""
    return -np.linalg.eigvals(companion(mu, a, B, gamma)).real.max(axis=-1)


def tied(a, B):
    """``gamma = 1 + a B``, what Algorithm 1 makes it."""
    return 1.0 + a * B


def fixed(a, B):
    """``gamma = 1``."""
    return 1.0 + 0.0 * a * B


def sought(value, low, high, points=201):
    """Where a function of one variable, and of the parameters it broadcasts with, is largest; and its value there.

    A grid over ``[low, high]`` (arrays of one shape) closes in on its best point by a factor 10 at a time.
    """
    share = np.linspace(0.0, 1.0, points).reshape(-1, *[1] * np.ndim(low))
    for _ in range(9):
        grid = low + (high - low) * share
        found = value(grid)
        best = np.expand_dims(found.argmax(axis=0), 0)
        middle, width = np.take_along_axis(grid, best, 0)[0], (high - low) / 20
        low, high = np.maximum(low, middle - width), np.minimum(high, middle + width)
    return middle, np.take_along_axis(found, best, 0)[0]


def _searched_damping(predicted, strength):
    """Best B for every curvature and friction, and its rate."""
    mu, a = np.meshgrid(CURVATURES, FRICTIONS, indexing="ij")
    damped, rate = sought(lambda B: eigenvalue_rate(mu, a, B, strength(a, B)), 0 * mu, 10 * (a + 2 * np.sqrt(mu)) / mu)
    wanted, reached = predicted(mu, a)
    at = {"mu": mu, "a": a}
    return judges.every(damping=judges.equal(damped, wanted, rtol=CLOSENESS, atol=CLOSENESS, at=at),
                        rate=judges.equal(rate, reached, rtol=CLOSENESS, at=at))


@claim("best_hessian_damping", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="gamma = 1 + aB: at fixed a the rate is largest at B = (a + 2 sqrt mu)/mu, where it is a + sqrt mu")
def best_hessian_damping(effort):
    """Searched over B up to ten times that, 24 pairs of curvature and friction."""
    return _searched_damping(damping.best_damping, tied)


@best_hessian_damping.control("gamma = 1 in the system")
def _(effort):
    return _searched_damping(damping.best_damping, fixed)


@best_hessian_damping.control("the near end of the oscillating band, (2 sqrt mu - a)/mu")
def _(effort):
    return _searched_damping(damping.best_damping_untied, tied)


@claim("best_untied_damping", topic="riemannian", paper=LITE, where="RISHD at gamma = 1", stance="derived",
       statement="gamma = 1: the best B is (2 sqrt mu - a)/mu with rate sqrt mu, and 0 once a >= 2 sqrt mu")
def best_untied_damping(effort):
    """The same search."""
    return _searched_damping(damping.best_damping_untied, fixed)


@best_untied_damping.control("gamma = 1 + aB in the system")
def _(effort):
    return _searched_damping(damping.best_damping_untied, tied)


def _searched_friction(predicted):
    mu, B = np.meshgrid(CURVATURES, np.array([0.0, 0.3, 1.0, 5.0]), indexing="ij")
    friction, rate = sought(lambda a: eigenvalue_rate(mu, a, B, tied(a, B)), 0 * mu, 10 * (B * mu + 2 * np.sqrt(mu)))
    wanted, reached = predicted(mu, B)
    at = {"mu": mu, "B": B}
    return judges.every(friction=judges.equal(friction, wanted, rtol=CLOSENESS, at=at),
                        rate=judges.equal(rate, reached, rtol=CLOSENESS, at=at))


@claim("best_friction", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="gamma = 1 + aB: at fixed B the rate is largest at a = B mu + 2 sqrt mu, where it is B mu + sqrt mu")
def best_friction(effort):
    """At B = 0 that is a = 2 sqrt mu and sqrt mu; B mu and a play the same part."""
    return _searched_friction(damping.best_friction)


@best_friction.control("critical damping without the Hessian's, a = 2 sqrt mu")
def _(effort):
    return _searched_friction(lambda mu, B: (2 * np.sqrt(mu), B * mu + np.sqrt(mu)))


def _boundaries(band):
    """Ends of the oscillating band in B by bisection on imaginary parts, from its middle ``B = a/mu`` outwards."""
    mu, a = np.meshgrid(CURVATURES, np.array([0.3, 1.0, 3.0, 20.0]), indexing="ij")

    def turning(B):
        return np.abs(np.linalg.eigvals(companion(mu, a, B, tied(a, B))).imag).max(-1) > 0

    low, high = band(mu, a)
    found = bisected(lambda B: ~turning(B), np.full(mu.shape, 1e-9), a / mu)
    return judges.every(
        low=judges.equal(np.where(turning(np.zeros(mu.shape)), 0.0, found), low, rtol=1e-9, atol=1e-12,
                         at={"mu": mu, "a": a}),
        high=judges.equal(bisected(turning, a / mu, 1e3 * (a + 2 * np.sqrt(mu)) / mu), high, rtol=1e-9,
                          at={"mu": mu, "a": a}))


@claim("oscillating_band", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="gamma = 1 + aB: a mode oscillates iff |a - B mu| < 2 sqrt mu")
def oscillating_band(effort):
    """Both ends in B; the lower one is 0 where the mode oscillates without damping."""
    return _boundaries(damping.oscillation_band)


@oscillating_band.control("|a + B mu| < 2 sqrt mu, as with gamma = 1")
def _(effort):
    return _boundaries(lambda mu, a: (0 * mu, np.maximum(2 * np.sqrt(mu) - a, 0.0) / mu))


def _overdamped():
    """Curvatures, frictions, dampings and couplings of modes that do not oscillate, at some distance from it."""
    mu, a, B, c = (each.ravel() for each in np.meshgrid(
        [1e-4, 0.01, 0.1, 0.2], [0.8, 1.0, 3.0], [0.0, 0.1, 0.5, 2.0], [0.0, 0.003, 0.01, 0.1, 0.5, 1.0, 3.0]))
    gap = (a + B * mu) ** 2 - 4 * (1 + c * B) * mu
    keep = gap > 0.05 * (a + B * mu) ** 2
    return mu[keep], a[keep], B[keep], c[keep]


def _responses(predicted):
    """``d rate/dB`` by central differences of eigenvalues against a formula; and the coupling at which it vanishes.

    Differences of step 1e-4 miss it by a third derivative times 1e-9 and by rounding, 1e-16/1e-4 times 20.
    """
    mu, a, B, c = _overdamped()
    # B = -1e-4 occurs as well: the equation does not mind.
    slope = (eigenvalue_rate(mu, a, B + 1e-4, 1 + c * (B + 1e-4))
             - eigenvalue_rate(mu, a, B - 1e-4, 1 + c * (B - 1e-4))) / 2e-4
    formula = judges.equal(slope, predicted(mu, a, B, c), rtol=1e-5, atol=1e-10, at={"mu": mu, "a": a, "B": B, "c": c})
    couplings, signs = np.linspace(1e-3, 1.0, 400), {}
    for mu, a in ((0.01, 1.0), (0.2, 1.0), (0.1, 0.8)):
        def near(B, mu=mu, a=a):
            return eigenvalue_rate(mu, a, B, 1 + couplings * B)
        signs[f"mu={mu:g}, a={a:g}"] = judges.sign_change(couplings, near(1e-4) - near(-1e-4),
                                                          float(eigenvalue_rate(mu, a, 0.0, 1.0)))
    return judges.every(formula=formula, **signs)


@claim("flat_modes_and_damping", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="an overdamped mode: d rate/dB = mu (dgamma/dB - rate)/(A - 2 rate); faster iff dgamma/dB > rate")
def flat_modes_and_damping(effort):
    """A = a + B mu.  With gamma = 1 + aB, as in Algorithm 1, every flat mode gains; with gamma fixed each one loses.

    Accounts of the paper say that damping accelerates flat directions and leave open which of the two is meant.
    """
    return _responses(lambda mu, a, B, c: damping.response(mu, a, B, coupling=c))


@flat_modes_and_damping.control("larger Hessian damping accelerates flat directions at a fixed gamma = 1")
def _(effort):
    return _faster(0.0)


@flat_modes_and_damping.control("mu/2 on every mode, as on those that oscillate")
def _(effort):
    return _responses(lambda mu, a, B, c: 0.5 * mu + 0 * (a + B + c))


@flat_modes_and_damping.control("the damping's own friction left out: d rate/dB = mu c/(A - 2 rate)")
def _(effort):
    def shorter(mu, a, B, c):
        own = mu * damping.decay_rate(mu, a, B, coupling=c) / np.sqrt(damping.discriminant(mu, a, B, coupling=c))
        return damping.response(mu, a, B, coupling=c) + own
    return _responses(shorter)


def _faster(share):
    """That the rate grows with B on flat modes, for gamma = 1 + share a B, up to the B that is best for share = 1."""
    mu, a = np.meshgrid([1e-4, 1e-3, 0.01, 0.1, 0.24], [1.0, 2.0], indexing="ij")
    best = (a + 2 * np.sqrt(mu)) / mu
    dampings = best * np.array([0.0, 1e-3, 0.01, 0.1, 0.3, 0.6, 0.9, 0.99])[:, None, None]
    rate = eigenvalue_rate(mu, a, dampings, 1 + share * a * dampings)
    return judges.inequality(rate[:-1], rate[1:] * (1 - 1e-9), at={"mu": mu, "a": a}, over="rate at one B and the next")


@claim("tied_damping_speeds_up", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="gamma = 1 + aB: the rate of every flat mode grows with B, up to B = (a + 2 sqrt mu)/mu")
def tied_damping_speeds_up(effort):
    """Ten flat modes, eight dampings."""
    return _faster(1.0)


@tied_damping_speeds_up.control("gamma = 1")
def _(effort):
    return _faster(0.0)


@tied_damping_speeds_up.control("gamma = 1 + aB/10")
def _(effort):
    return _faster(0.1)


def _flat_expansion(leading, correction, strength=tied):
    parts = {}
    for a, B in ((1.0, 0.0), (1.0, 0.4), (0.3, 3.0), (3.0, 0.1)):
        mu = np.geomspace(1e-4, 1e-2, 9) * a * a
        rate = eigenvalue_rate(mu, a, B, strength(a, B))
        remainder = np.abs(rate / (mu * leading(a, B)) - 1 - correction * mu / a**2)
        parts[f"a={a:g}, B={B:g}"] = judges.order(mu, remainder, 2.0, 0.05)
    return judges.every(**parts)


@claim("flat_rate", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="rate = mu (1/a + B) [1 + mu/a^2 + O(mu^2)]: the correction does not know B")
def flat_rate(effort):
    """The remainder is of second order in mu."""
    return _flat_expansion(lambda a, B: 1 / a + B, 1.0)


@flat_rate.control("gamma = 1, rate mu (1/a + B)")
def _(effort):
    return _flat_expansion(lambda a, B: 1 / a + B, 1.0, fixed)


@flat_rate.control("without the correction")
def _(effort):
    return _flat_expansion(lambda a, B: 1 / a + B, 0.0)


def _iterated(predicted):
    """Best damping of the iteration at fixed step and momentum, searched on the spectral radius."""
    s, theta = np.meshgrid([1e-3, 0.02, 0.3, 0.7, 1.5], [0.3, 0.5, 0.9, 0.95, 0.99], indexing="ij")

    def slowness(beta):
        return -np.abs(np.linalg.eigvals(state_matrix(s, theta, beta))).max(axis=-1)

    beta, radius = sought(slowness, -1.0 + 0 * s, 5 / s)
    wanted, reached = predicted(s, theta)
    at = {"s": s, "theta": theta}
    return judges.every(damping=judges.equal(beta, wanted, rtol=CLOSENESS, at=at),
                        radius=judges.equal(-radius, reached, rtol=CLOSENESS, atol=CLOSENESS, at=at))


@claim("best_damping_of_the_iteration", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics",
       stance="derived",
       statement="fixed s, theta: best beta = [1 - (sqrt theta - sqrt s)^2]/s, radius sqrt theta |sqrt theta - sqrt s|")
def best_damping_of_the_iteration(effort):
    """At s = theta it is Nesterov's beta = 1/theta, the radius is 0, and two iterations end it: run as well."""
    theta = np.array([0.3, 0.9, 0.95, 0.99])
    gone = modes.recursion(2, theta, theta, damping.best_iteration(theta, theta)[0])[2]
    return judges.every(best=_iterated(damping.best_iteration),
                        nesterov=judges.equal(gone, 0.0, atol=1e-12, at={"theta": theta}, over="w_2 at s = theta"))


@best_damping_of_the_iteration.control("the optimum of continuous time, (alpha + 2 sqrt s)/s")
def _(effort):
    return _iterated(lambda s, theta: ((1 - theta + 2 * np.sqrt(s)) / s, np.exp(-(1 - theta) - np.sqrt(s))))


@best_damping_of_the_iteration.control("Nesterov's beta = 1/theta at every step")
def _(effort):
    return _iterated(lambda s, theta: (1 / theta, modes.radius(s, theta, 1 / theta)))


@claim("continuous_damping_limit", topic="riemannian", paper=LITE, where="Algorithm 1, low friction", stance="derived",
       statement="s = h^2 mu, alpha = a h, beta = B/h: (rate per iteration)/h -> continuous rate, error O(h)")
def continuous_damping_limit(effort):
    """Rates of the iteration's eigenvalues for h from 1/8 to 1/1024; oscillating and overdamped modes."""
    return _continuous(tied)


@continuous_damping_limit.control("gamma = 1 in the equation")
def _(effort):
    return _continuous(fixed)


def _continuous(strength):
    h, parts = 2.0 ** -np.arange(3, 11), {}
    for mu, a, B in ((4.0, 1.0, 0.4), (0.1, 1.0, 0.5), (1.0, 3.0, 0.2)):
        rate = -np.log(np.abs(np.linalg.eigvals(state_matrix(h * h * mu, 1 - a * h, B / h))).max(axis=-1)) / h
        parts[f"mu={mu:g}, a={a:g}, B={B:g}"] = judges.order(
            h, np.abs(rate - eigenvalue_rate(mu, a, B, strength(a, B))), 1.0, 0.05)
    return judges.every(**parts)
