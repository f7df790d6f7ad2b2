"""Claims about gradient flow: closed in the state, a Lorentz transformation, exact in one dimension.

The measured side integrates the weights themselves, ``W' = a e'``, ``a' = W e``, with an integrator of another family
(LSODA at TOLERANCE) than the reduced flow's.  What the tolerance of an integrator means after many steps is set, not
derived: AGREEMENT, a hundred times TOLERANCE.
"""

from functools import cache

import numpy as np
from scipy import integrate

from ...sims import streams
from ...theory import label_noise
from ...theory.label_noise import gradient_flow, identities
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

TOLERANCE = 1e-12
AGREEMENT = 1e-10
TIMES = np.array([0.1, 0.5, 1.0, 3.0, 10.0])


def _weights(first, second, target, covariance, times):
    """Layers on the flow, integrated as they stand; shapes (T, m, d) and (T, m)."""
    shape = first.shape

    def slope(_, flat):
        w, a = flat[:first.size].reshape(shape), flat[first.size:]
        e = covariance @ (target - w.T @ a)
        return np.concatenate([np.outer(a, e).ravel(), w @ e])

    done = integrate.solve_ivp(slope, (0.0, times[-1]), np.concatenate([first.ravel(), second]), t_eval=times,
                               method="LSODA", rtol=TOLERANCE, atol=TOLERANCE * 1e-2)
    return done.y[:first.size].T.reshape(-1, *shape), done.y[first.size:].T


@cache
def _problem(width, dimension):
    draws = streams.normals(streams.key(31, "label_noise.gradient_flow"), 0, np.arange(width + dimension + 1),
                            dimension + 1).astype(np.float64)
    first, second = draws[:width, :-1] / np.sqrt(dimension), draws[:width, -1] / np.sqrt(width)
    inputs = draws[width:width + dimension, :-1]
    covariance = 0.5 * np.eye(dimension) + 0.5 * inputs.T @ inputs / dimension
    return first, second, draws[-1, :-1], covariance


@cache
def _measured(width, dimension):
    first, second, target, covariance = _problem(width, dimension)
    return _weights(first, second, target, covariance, TIMES)


@claim("gradient_flow_map", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="Z_i(t) = Phi(t) Z_i(0) with one Phi for all neurons, Phi' = B_e Phi, and Phi' J Phi = J: Lorentz; so "
                 "D = WW' - aa' is conserved")
def gradient_flow_map(effort):
    """Width 8 and dimension 3 (full: 40 and 10), any Sigma; every weight, Phi'J Phi, and D of the weights."""
    return _flow(effort)


@gradient_flow_map.control("another metric, J = I: Phi orthogonal")
def _(effort):
    return _flow(effort, sign=1.0)


@gradient_flow_map.control("W'W conserved in place of WW' - aa'")
def _(effort):
    return _flow(effort, conserved=lambda first, second: first.T @ first)


@gradient_flow_map.control("Sigma = I in the map")
def _(effort):
    return _flow(effort, isotropic=True)


def _flow(effort, sign=-1.0, conserved=None, isotropic=False):
    size = effort.choose((8, 3), (40, 10))
    first, second, target, covariance = _problem(*size)
    layers = _measured(*size)
    if conserved is None:
        conserved = identities.imbalance
    found = gradient_flow.path(label_noise.gram(first, second), TIMES, target,
                               np.eye(size[1]) if isotropic else covariance)
    metric = np.diag(np.append(np.ones(size[1]), sign))
    moved = np.concatenate([layers[0], layers[1][:, :, None]], axis=2)
    kept = np.array([conserved(w, a) for w, a in zip(*layers)])
    return judges.every(
        neurons=judges.equal(moved, found.neurons(first, second), atol=AGREEMENT * np.abs(moved).max()),
        metric=judges.equal(np.swapaxes(found.maps, 1, 2) @ metric @ found.maps, metric,
                            atol=AGREEMENT * np.abs(found.maps).max() ** 2),
        conserved=judges.equal(kept, np.broadcast_to(conserved(first, second), kept.shape),
                               atol=AGREEMENT * np.abs(kept).max()))


@claim("one_dimension", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="d = 1, any width and imbalance: w_i +- a_i scale by z^(+-1/2), z = (1+T(2 theta+Q))/(1+T(P-2 "
                 "theta)), "
                 "T = tanh(Dt/2)/D, D^2 = 4 theta^2 + PQ; for w = a the logistic curve")
def one_dimension(effort):
    """Targets of either sign and 0, 1 to 9 neurons, and the balanced neuron against the logistic curve."""
    return _one_dimension()


@one_dimension.control("imbalance ignored, Q = 0")
def _(effort):
    return _one_dimension(lambda q: 0.0 * q)


@one_dimension.control("logistic curve at half its rate")
def _(effort):
    return _one_dimension(rate=1.0)


def _one_dimension(change=lambda q: q, rate=2.0):
    measured, expected = [], []
    for width, target in ((1, 1.5), (2, -0.7), (9, 2.0), (4, 0.0)):
        first, second = _problem(9, 1)[0][:width, 0], _problem(9, 1)[1][:width]
        w, a = _weights(first[:, None], second, np.array([target]), np.eye(1), TIMES)
        p, q = first + second, first - second
        z = np.sqrt(gradient_flow.growth(TIMES, p @ p, change(q @ q), target))[:, None]
        measured += [w[:, :, 0].ravel(), a.ravel()]
        expected += [np.ravel(0.5 * (p * z + q / z)), np.ravel(0.5 * (p * z - q / z))]
    w, a = gradient_flow.one_dimension(TIMES, [0.2], [0.2], 1.5)
    logistic = 1.5 / (1.0 + (1.5 / 0.04 - 1.0) * np.exp(-rate * 1.5 * TIMES))
    return judges.every(weights=judges.equal(np.concatenate(measured), np.concatenate(expected), atol=AGREEMENT),
                        logistic=judges.equal((w * a)[:, 0], logistic, rtol=1e-13))
