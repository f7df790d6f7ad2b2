r"""Leaving the lazy regime: Lemma 3's probabilities, the time it takes, Theorem 2's bound, what Condition 1 asks for.

Lemma 3 (arXiv 2603.10397) bounds how often the norm change ``DW_i = -g^2 (<x, w_i>^2 - a_i^2 ||x||^2)`` is positive
while the network is lazy, by ``rho m^{-1/8}``, ``rho = 2 sqrt(d/pi)``.  At the start it is exact (derived): given the
neuron, by the angle between x and w_i,

    P(DW_i > 0 | w_i, a_i) = I_{min(1, a_i^2/||w_i||^2)}(1/2, (d-1)/2)

(regularised incomplete beta function), and since ``<x/||x||, w_i> ~ N(0, s_1^2/d)`` and ``a_i ~ N(0, s_2^2/m)`` are
independent, the mean over neurons is the angle of a Cauchy variable,

    P(DW_i > 0) = (2/pi) arctan(sqrt(d/m) s_2/s_1) ~ (2/pi) sqrt(d) m^{-1/2} .

The printed bound is true, and below 1 only for ``m > rho^8 = 256 d^4/pi^4``.

Escape (derived).  In phase I the slow flow shrinks W at the rate c/2 per step, ``c I`` the excitation at the starting
kernel ``kappa I``, ``c = v/(1 - h kappa (d+2)/2)`` for Gaussian inputs.  A neuron has moved by ``1/sqrt(m)`` after

    t_i = -(2/c) ln(1 - 1/(sqrt(m) ||w_i||)) ~ 2/(c sqrt(m) ||w_i||),

and the shortest one comes last.  Theorem 2 says that w.h.p. all have left by ``T_1 = 384 sqrt(log m)/(sigma^2 h^2
sqrt(m))``.

Condition 1 asks for ``eta <= C^{-96}``, ``C >= exp(C_data^2)``, ``C_data >= max ||x_i||``, ``n >= 1/eta^2``,
``||theta*|| <= m^{-1/4}`` and ``m = Omega(eta^{-1/2})``: with 20-dimensional Gaussian inputs, ``ln eta`` below about
-96 x 40.  No experiment on a computer satisfies it; what is checked of the theorems is checked beyond their
assumptions.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from ..arguments import number, numbers
from .network import TwoLayerLinear
from .slow_flow import excitations, expected_start


def growth_probability(model):
    """``P(DW_i > 0)`` of a neuron at the start: ``(2/pi) arctan(sqrt(d/m) s_2/s_1)``."""
    if not (model.first_scale > 0 or model.second_scale > 0):
        raise ValueError("first_scale and second_scale are 0; one of them must be > 0")
    return 2.0 / math.pi * math.atan2(math.sqrt(model.dimension) * model.second_scale,
                                      math.sqrt(model.width) * model.first_scale)


def growth_probability_of(first, second):
    """``P(DW_i > 0 | w_i, a_i)`` over Gaussian inputs of neurons (..., d) and (...): an incomplete beta function.

    In one dimension it is 1 where ``|a_i| > |w_i|`` and 0 elsewhere.
    """
    first, second = numbers(first, "entries of W"), numbers(second, "entries of a")
    if first.ndim < 1 or first.shape[:-1] != second.shape:
        raise ValueError(f"neurons {first.shape} and second layer {second.shape} must have shapes (..., d) and (...)")
    size, d = np.sum(first**2, axis=-1), first.shape[-1]
    ratio = np.minimum(1.0, second**2 / np.where(size > 0, size, 1.0))
    ratio = np.where(size > 0, ratio, np.where(second != 0, 1.0, 0.0))
    return special.betainc(0.5, 0.5 * (d - 1), ratio) if d > 1 else np.where(ratio >= 1.0, 1.0, 0.0)


def growth_bound(model):
    """Lemma 3's ``rho m^{-1/8}``, ``rho = 2 sqrt(d/pi)``; above 1 it says nothing."""
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    return 2.0 * math.sqrt(model.dimension / math.pi) * model.width**-0.125


def escape_time(model, smallest_norm=None, inputs=None):
    """Steps after which the last neuron has left the lazy regime.

    Parameters
    ----------
    model : TwoLayerLinear
    smallest_norm : float, optional
        ``min_i ||w_i(0)||``; default its median over starts.
    inputs : array_like, shape (n, d), optional
        Training set; default Gaussian inputs.

    Returns
    -------
    float
        ``-(2/c) ln(1 - 1/(sqrt(m) min ||w_i||))``, c the mean eigenvalue of the excitation at the expected kernel;
        ``inf`` without noise, or for a neuron shorter than ``1/sqrt(m)``, which cannot leave by shrinking.

    Raises
    ------
    ValueError
        For a step outside mean-square stability, or a norm that is not positive.
    """
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    if smallest_norm is None:
        rank = -math.expm1(math.log(0.5) / model.width)
        smallest_norm = model.first_scale * math.sqrt(stats.chi2.ppf(rank, model.dimension) / model.dimension)
    if not 0 < number(smallest_norm, "smallest_norm") < math.inf:
        raise ValueError(f"smallest_norm is {smallest_norm}; it must be in (0, inf)")
    share = model.lazy_radius / smallest_norm
    if model.drift == 0.0 or share >= 1.0:
        return math.inf
    covariance = np.eye(model.dimension) if inputs is None else np.asarray(inputs).T @ np.asarray(inputs) / len(inputs)
    scale = expected_start(model)[:-1, :-1] + model.second_scale**2 * np.eye(model.dimension)
    excite = excitations(model, covariance, inputs, "gaussian" if inputs is None else "data")
    return -2.0 * math.log1p(-share) / (np.trace(excite(scale)) / model.dimension)


def theorem_2_time(model):
    """Theorem 2's ``T_1 = 384 sqrt(log m)/(sigma^2 h^2 sqrt(m))``; inf without noise."""
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    if model.drift == 0.0:
        return math.inf
    return 384.0 * math.sqrt(math.log(model.width)) / (model.drift * math.sqrt(model.width))


@dataclass(frozen=True)
class Demands:
    """What Condition 1 asks of a training set, and whether a model meets it.

    Attributes
    ----------
    log_step : float
        ``-96 max ||x_i||^2``: ``ln eta`` may be at most this (A2, A5).
    log_samples : float
        ``ln n`` must be at least ``2 ln(1/eta)`` at that step (A3): ``-2 log_step``.
    target_norm : float
        ``m^{-1/4}``, the largest ``||theta*||`` (A4).
    step_small, samples_many, target_small : bool
        Whether the model's own step, samples (against its own step) and target obey A2, A3 and A4.
    """

    log_step: float
    log_samples: float
    target_norm: float
    step_small: bool
    samples_many: bool
    target_small: bool


def condition_1(model, inputs):
    """The :class:`Demands` of Condition 1 on a model and its training set (n, d)."""
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    inputs = numbers(inputs, "inputs")
    if inputs.ndim != 2 or not len(inputs) or inputs.shape[1] != model.dimension:
        raise ValueError(f"inputs have shape {inputs.shape}; it must be (n, {model.dimension}) with n >= 1")
    log_step = -96.0 * float(np.max(np.sum(inputs**2, axis=1)))
    h = model.effective_step
    return Demands(log_step, -2.0 * log_step, model.width**-0.25, math.log(h) <= log_step, len(inputs) * h * h >= 1.0,
                   model.target_norm <= model.width**-0.25)
