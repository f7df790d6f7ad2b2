r"""Kernel ridge regression with the best ridge: what N samples are worth to an estimator that may use them all at once.

Deterministic equivalent of ridge regression on N independent samples in the eigenbasis of the covariance, with label
noise sigma (Simon et al., arXiv 2110.03922; Cheng & Montanari, arXiv 2210.08571):

    N = sum_j lambda_j/(lambda_j + k) + delta/k          (ridge delta >= 0 and effective ridge k > 0),
    df_2 = sum_j [lambda_j/(lambda_j + k)]^2 ,
    2 E = { k^2 sum_j lambda_j theta*_j^2/(lambda_j + k)^2 + sigma^2 df_2/N } / (1 - df_2/N) .

The best delta >= 0 is the best ``k`` with ``sum_j lambda_j/(lambda_j + k) <= N``.  For power laws and source ``s <= 2``
tuned ridge regression attains the minimax rate ``N^(-s beta/(1 + s beta))`` over all estimators (Caponnetto & De Vito
2007); beyond s = 2 its bias saturates at ``k^2`` and it is no longer a stand-in for the best estimator.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from .. import spectra
from ..arguments import number
from ..fsl.compression import gauss_counting
from ..fsl.problem import PowerLawRegression, Spectrum
from .adjoint import check_problem

OCTAVES = 60
NODES_PER_OCTAVE = 8


@dataclass(frozen=True)
class RidgeOptimum:
    """Tuned ridge regression on N samples.

    Attributes
    ----------
    loss : float
        Excess risk ``E``, with the factor 1/2 and without the risk of the labels' noise.
    bias, variance : float
        Its parts with ``theta*`` and with ``sigma^2``, both divided by ``1 - df_2/N``.
    effective_ridge, ridge : float
        ``k`` and ``delta``.
    degrees : float
        ``df_2``.
    """

    loss: float
    bias: float
    variance: float
    effective_ridge: float
    ridge: float
    degrees: float


def ridge_optimum(problem, samples):
    """Tune ridge regression on N samples.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        Of infinite width, or a spectrum without approximation error; noise > 0.
    samples : float
        N >= 1.

    Returns
    -------
    RidgeOptimum

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    samples = number(samples, "samples")
    if not (math.isfinite(samples) and samples >= 1):
        raise ValueError(f"samples is {samples}; it must be finite and >= 1")
    modes = _modes(problem)
    if not problem.noise > 0:
        raise ValueError("noise is 0; the best ridge is then the smallest, ridge tuning needs noise > 0")
    top = float(modes[0].max())
    low, high = math.log(1e-40 * top), math.log(1e6 * top * max(1.0, _degrees(modes, top)))
    if _degrees(modes, math.exp(low)) > samples:
        low = scipy.optimize.brentq(lambda x: _degrees(modes, math.exp(x)) - samples, low, high, xtol=1e-14)
    grid = np.linspace(low, high, 400)[1:]
    losses = [_loss(modes, math.exp(x), samples, problem.noise) for x in grid]
    best = int(np.argmin(losses))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    found = scipy.optimize.minimize_scalar(lambda x: _loss(modes, math.exp(x), samples, problem.noise), bounds=bracket,
                                           method="bounded", options={"xatol": 1e-9})
    k = math.exp(found.x if found.fun <= losses[best] else grid[best])
    bias, variance, squares = _parts(modes, k, samples, problem.noise)
    return RidgeOptimum(bias + variance, bias, variance, k, k * (samples - _degrees(modes, k)), squares)


def ridge_loss(problem, samples, effective_ridge):
    """Excess risk at a given effective ridge ``k`` (see the module); inf where ``df_2 >= N``."""
    return _loss(_modes(problem), number(effective_ridge, "effective_ridge"), number(samples, "samples"),
                 problem.noise)


def _modes(problem):
    """``lambda, theta*^2, w`` and the trace of what lies beyond; Gauss nodes per octave of a power law."""
    check_problem(problem)
    if isinstance(problem, Spectrum):
        if problem.approximation_error > 0:
            raise ValueError(f"approximation_error is {problem.approximation_error:g}; it must be 0 here")
        return problem.eigenvalues, problem.target_squared, problem.multiplicity, 0.0
    if not isinstance(problem, PowerLawRegression) or math.isfinite(problem.width):
        raise ValueError(f"width is {problem.width}; it must be inf here")
    edges = np.concatenate([[0.0], 2.0 ** np.arange(5, OCTAVES)])
    rules = [gauss_counting(a, b, 32 if a == 0 else NODES_PER_OCTAVE) for a, b in zip(edges[:-1], edges[1:])]
    points, weights = (np.concatenate(part) for part in zip(*rules))
    beyond = spectra.tail_sum(problem.capacity, edges[-1] + 1.0)
    return (points**-problem.capacity, points ** -(1.0 + problem.difficulty - problem.capacity), weights, beyond)


def _degrees(modes, k):
    values, _, weights, beyond = modes
    return float(weights @ (values / (values + k))) + beyond / k


def _parts(modes, k, samples, noise):
    values, target, weights, _ = modes
    share = values / (values + k)
    squares = float(weights @ share**2)
    scale = 0.5 / (1.0 - squares / samples) if squares < samples else math.inf
    bias = scale * float(weights @ (values * target * (1.0 - share)**2))
    return bias, scale * noise**2 * squares / samples, squares


def _loss(modes, k, samples, noise):
    bias, variance, _ = _parts(modes, k, samples, noise)
    return bias + variance
