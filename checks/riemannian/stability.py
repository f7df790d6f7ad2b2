"""Claims about the largest stable step of Algorithm 1 on a quadratic, in its own units and in those of averaging codes.

Limits are measured by bisection on the spectral radius of the matrix that advances one mode, built from the algorithm's
two lines; the set of stable steps is an interval that begins at 0.  The radius crosses 1 with a slope of order
``theta |beta|`` or more and is known to 1e-15, so that limits are known to 1e-10 or better.
"""

import numpy as np

from ...theory.riemannian import modes
from .. import judges
from ..claim import claim
from .paper import LITE

MOMENTA = np.array([0.0, 0.3, 0.6, 0.9, 0.95, 0.99, 0.999])[:, None]
DAMPINGS = np.array([0.0, 0.01, 0.25, 1.0, 1.0 / 0.95, 5.0, 100.0])
PRECISION = 1e-10


def state_matrix(step, momentum, damping):
    """The matrix of Algorithm 1 for one mode, ``(w_k, m_{k-1}/lambda) -> (w_{k+1}, m_k/lambda)``, shape (..., 2, 2)."""
    s, theta, beta = np.broadcast_arrays(*(np.asarray(each, float) for each in (step, momentum, damping)))
    return np.stack([np.stack([1 - s * (1 + beta), -s * theta], -1), np.stack([np.ones_like(s), theta], -1)], -2)


def averaged_matrix(step, momentum, damping):
    """The same for a buffer ``M = theta M + (1-theta) g`` and the update ``M + b g``; `step` is ``eta lambda/f``."""
    s, theta, b = np.broadcast_arrays(*(np.asarray(each, float) for each in (step, momentum, damping)))
    return np.stack([np.stack([1 - s * (1 - theta + b), -s * theta], -1), np.stack([1 - theta, theta], -1)], -2)


def bisected(holds, low, high, times=120):
    """Where a condition ceases to hold, between points where it does and where it does not; broadcasts.

    Parameters
    ----------
    holds : callable
        Takes and returns arrays.
    low, high : array_like
        Positive; it holds at `low` and not at `high`.  Geometric means while they are far apart.
    """
    low, high = (np.array(each, float) for each in np.broadcast_arrays(low, high))
    for _ in range(times):
        middle = np.where(high > 4 * low, np.sqrt(low * high), 0.5 * (low + high))
        inside = holds(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def _measured(matrix, theta, beta):
    def stable(s):
        return np.abs(np.linalg.eigvals(matrix(s, theta, beta))).max(axis=-1) < 1
    theta, beta = np.broadcast_arrays(theta, beta)
    return bisected(stable, np.full(theta.shape, 1e-4), np.full(theta.shape, 1e7))


def _limits(matrix, predicted, theta=MOMENTA, beta=DAMPINGS):
    return judges.equal(_measured(matrix, theta, beta), predicted(theta, beta), rtol=PRECISION,
                        at={"theta": theta, "beta": beta})


@claim("stability_limit", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="beta >= 0: stable iff 0 < s < 2(1+theta)/(1+(1+theta) beta); heavy ball 2(1+theta)")
def stability_limit(effort):
    """Momenta 0 to 0.999, dampings 0 to 100."""
    return _limits(state_matrix, modes.largest_step)


@stability_limit.control("2(1+theta), the limit of heavy ball, at every beta")
def _(effort):
    return _limits(state_matrix, lambda theta, beta: 2 * (1 + theta) + 0 * beta)


@stability_limit.control("2/(1+beta), the limit of gradient descent")
def _(effort):
    return _limits(state_matrix, lambda theta, beta: 2 / (1 + beta) + 0 * theta)


@claim("averaged_limit", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="averaged buffer, update M + b g, b >= 0: eta lambda/f < 2(1+theta)/(1-theta+(1+theta) b), which "
                 "b = 1 makes 2/(1-theta) times smaller")
def averaged_limit(effort):
    """Run in its own units; the table at momentum 0.95 (b = 0, 0.05/0.95, 0.25, 1) is 78, 25.55, 7.256, 1.95."""
    table = np.array([0.0, 0.05 / 0.95, 0.25, 1.0])
    measured = _measured(averaged_matrix, 0.95, table)
    return judges.every(
        formula=_limits(averaged_matrix, lambda theta, b: 2 * (1 + theta) / (1 - theta + (1 + theta) * b)),
        converted=_limits(averaged_matrix, modes.largest_averaged_step),
        factor=judges.equal(measured[0] / measured[3], 40.0, rtol=PRECISION, over="limit without damping over b = 1"))


@averaged_limit.control("the damping not converted: beta = b")
def _(effort):
    return _limits(averaged_matrix, lambda theta, b: modes.largest_step(theta, b) / (1 - theta))


@averaged_limit.control("the buffer not converted: s = eta lambda/f")
def _(effort):
    return _limits(averaged_matrix, lambda theta, b: modes.largest_step(theta, b / (1 - theta)))


NEGATIVE = np.array([0.05, 0.3, 0.9, 0.95, 0.99])[:, None]
"""Momenta at which negative damping is tried."""


def _anti_damping(predicted):
    """Dampings on both sides of ``-alpha/(1+theta)^2``, where the bound changes, and down to almost ``-1/alpha``."""
    change, end = (1 - NEGATIVE) / (1 + NEGATIVE) ** 2, 1 / (1 - NEGATIVE)
    between = change * (end / change) ** np.array([0.1, 0.5, 0.9, 0.99])
    beta = -np.concatenate([change * np.array([0.1, 0.9, 0.999, 1.001]), between], axis=1)
    return _limits(state_matrix, predicted, NEGATIVE, beta)


@claim("anti_damping", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="-1/alpha < beta < -alpha/(1+theta)^2: stable iff s < alpha/(theta |beta|); beta <= -1/alpha: never")
def anti_damping(effort):
    """The limit on both sides of the change; beyond -1/alpha the spectral radius over seven decades of s."""
    theta = NEGATIVE[..., None]
    beta = -np.array([1.001, 1.5, 10.0])[:, None] / (1 - theta)
    radius = np.abs(np.linalg.eigvals(state_matrix(np.geomspace(1e-4, 1e3, 200), theta, beta))).max(axis=-1)
    return judges.every(limit=_anti_damping(modes.largest_step),
                        none=judges.inequality(1.0, radius, rtol=0.0, at={"theta": theta, "beta": beta}))


@anti_damping.control("2(1+theta)/(1+(1+theta) beta) for every beta")
def _(effort):
    def ordinary(theta, beta):
        slope = 1 + (1 + theta) * beta
        return np.where(slope > 0, 2 * (1 + theta) / np.where(slope > 0, slope, 1.0), 1e7)
    return _anti_damping(ordinary)


@anti_damping.control("alpha/(theta |beta|) for every negative beta")
def _(effort):
    return _anti_damping(lambda theta, beta: (1 - theta) / (theta * -beta))


def _net_damping(predicted):
    """The published code's linear part, Nesterov's average plus b g, at its momentum 0.95."""
    theta, b = 0.95, np.array([-0.25, -0.1, 0.0, 0.5, 1.0])

    def matrix(s, theta, b):
        # M_k = theta M_{k-1} + (1-theta) g, then M_k + g (1-theta)/theta + b g, as two lines of code.
        s, theta, b = np.broadcast_arrays(s, theta, b)
        direct = (1 - theta) + (1 - theta) / theta + b
        return np.stack([np.stack([1 - s * direct, -s * theta], -1), np.stack([1 - theta, theta], -1)], -2)

    return judges.equal(_measured(matrix, np.full(b.shape, theta), b), predicted(theta, b), rtol=PRECISION, at={"b": b})


@claim("damping_of_the_code", topic="riemannian", paper=LITE, where="published code, beta_1 = -0.25", stance="derived",
       statement="linearised, without noise: net damping b = beta_1 + alpha/theta, so -0.25 means eta lambda < 0.267")
def damping_of_the_code(effort):
    """Net damping -0.197 < 0, and the limit 0.267 in place of 25.6 of Nesterov's average alone (theta = 0.95).

    The code scales the gradient's part by its own norm, so this is the limit where buffer and gradient are parallel.
    """
    return _net_damping(lambda theta, b: modes.largest_averaged_step(theta, b + (1 - theta) / theta))


@damping_of_the_code.control("beta_1 read as the whole damping")
def _(effort):
    return _net_damping(modes.largest_averaged_step)
