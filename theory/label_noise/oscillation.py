r"""The first layer under a second layer that oscillates: every moment that matters, in closed form.

Model (arXiv 2603.10397, Lemma 4; amended by dropping a stray factor x_i of the printed update).  No label noise and no
sampling noise; W descends the full-batch gradient while the second layer is not trained but jumps,

    w_i <- w_i + h a_i Sigma (theta* - theta),    theta = sum_i a_i w_i,

``a_i`` a Markov chain on ``{-q, 0, q}``: from +-q to 0 surely, from 0 to +-q with probability 1/2 each; at the start 0
with probability 1/2, +-q with 1/4 each; ``q = h^{1/4}``.  So a neuron is active every second step, with a fresh sign,
and the neurons fall into two classes by the parity of their active steps that never meet.

Closed form (derived).  Let ``S_k`` be the sum of ``(w_i)_k^2`` over a class of r neurons, in the eigenbasis of Sigma
(eigenvalues l_k).  The signs are independent of W, so ``E theta theta' = q^2 sum w_i w_i'`` and over one active step

    E S_k <- (1 - 2 h q^2 l_k + h^2 q^4 r l_k^2) S_k + h^2 q^2 r l_k^2 theta*_k^2 .

A class that starts active has had ``ceil(t/2)`` active steps at time t, the other one ``floor(t/2)``; r is binomial
with m trials, and the mean over it is taken exactly.  For Sigma = I, r = m/2 and ``m = h^{-1/2}`` the mean square
norm of a neuron falls at the rate ``h^{3/2}`` per step to ``(h/2) ||theta*||^2/(1 - h/4)``.  It passes ``sqrt(h)`` at
``t_0 = (1/2) ln(1/h) h^{-3/2} (1 + o(1))``, well before the ``1/h^2`` of the lemma.
"""

import math

import numpy as np
from scipy import special

from ..arguments import number, numbers
from .network import TwoLayerLinear

NEGLIGIBLE = 1e-18
"""Probabilities of a class size below this are left out."""
LONGEST = 2**62
"""Longest time, in steps."""


def mean_square_norm(model, steps, covariance=None, amplitude=None, active=None):
    """``E (1/m) sum_i ||w_i||^2`` after given numbers of steps, exactly.

    Parameters
    ----------
    model : TwoLayerLinear
        Dimension, width m, effective step h, target and first scale; its noise and its second scale play no part.
    steps : array_like of int
        >= 0.
    covariance : array_like, shape (d, d), optional
        Sigma; default I.
    amplitude : float, optional
        q > 0; default ``h^{1/4}``.
    active : int, optional
        Neurons that start at +-q, 0..m; default the mean over the binomial law.

    Returns
    -------
    ndarray, shape of ``steps``
        ``inf`` where the moments outgrow float64 (they grow where ``h q^2 r l_k > 2``).

    Raises
    ------
    ValueError
        For parameters outside their ranges.
    """
    values, pulls, q = _modes(model, covariance, amplitude)
    steps = numbers(steps, "steps")
    if not (np.isfinite(steps).all() and (steps >= 0).all() and (steps == np.floor(steps)).all()):
        raise ValueError("steps have an entry that is no whole number >= 0; all must be")
    m = model.width
    sizes, weights = _sizes(m, active)
    late, early = np.floor(steps / 2.0), np.ceil(steps / 2.0)
    total = _class_sum(model, values, pulls, q, sizes, early) @ weights
    total = total + _class_sum(model, values, pulls, q, m - sizes, late) @ weights
    return total / m


def _class_sum(model, values, pulls, q, sizes, times):
    """``E sum ||w_i||^2`` over a class of each of the sizes after ``times`` active steps, shape (..., sizes)."""
    h = model.effective_step
    out = np.zeros((*times.shape, sizes.size))
    start = sizes * (model.first_scale**2 / model.dimension)
    for value, pull in zip(values, pulls):
        rate = -2.0 * h * q * q * value + (h * q * q * value) ** 2 * sizes
        push = (h * q * value * pull) ** 2 * sizes
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            factor = _power(rate, times)
            gathered = np.where(rate == 0.0, times[..., None], (factor - 1.0) / np.where(rate == 0.0, 1.0, rate))
            out += factor * start + np.where(push > 0, push * gathered, 0.0)
    return out


def _power(rate, times):
    """``(1 + rate)^times`` for whole times; ``1 + rate`` may be negative."""
    base = 1.0 + rate
    size = np.where(np.abs(rate) < 0.5, np.log1p(np.where(np.abs(rate) < 0.5, rate, 0.0)),
                    np.log(np.where(base != 0.0, np.abs(base), 1.0)))
    power = np.exp(times[..., None] * size)
    power = np.where((base < 0.0) & (times[..., None] % 2 == 1), -power, power)
    return np.where(base == 0.0, np.where(times[..., None] == 0, 1.0, 0.0), power)


def limit(model, covariance=None, amplitude=None):
    """``E (1/m) sum_i ||w_i||^2`` as time goes on, with classes of r = m/2: ``h sum_k l_k theta*_k^2/(2 - h q^2 r
    l_k)``.

    ``inf`` where the moments do not settle.
    """
    values, pulls, q = _modes(model, covariance, amplitude)
    h, r = model.effective_step, 0.5 * model.width
    room = 2.0 - h * q * q * r * values
    if (room <= 0).any():
        return math.inf
    return float(h * r * np.sum(values * pulls**2 / room) * 2.0 / model.width)


def settling_time(model, level=None, covariance=None, amplitude=None):
    """Lemma 4's ``t_0``: the first step at which ``E (1/m) sum_i ||w_i||^2`` is at most ``level``, by default
    ``sqrt(h)``.

    Returns
    -------
    int or inf
        ``inf`` if that does not happen.

    Raises
    ------
    ValueError
        For parameters outside their ranges.
    """
    level = math.sqrt(model.effective_step) if level is None else number(level, "level")
    if not level > 0:
        raise ValueError(f"level is {level}; it must be > 0")

    def reached(t):
        return mean_square_norm(model, [t], covariance, amplitude)[0] <= level

    if reached(0):
        return 0
    low, high = 0, 1
    while not reached(high):
        low, high = high, 2 * high
        if high > LONGEST or not math.isfinite(mean_square_norm(model, [low], covariance, amplitude)[0]):
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def settling_time_asymptotic(step):
    """``(1/2) ln(1/h) h^{-3/2}``: leading order of :func:`settling_time` (m = h^{-1/2}, Sigma = I) for small h."""
    step = numbers(step, "steps of descent")
    if not ((step > 0) & (step < 1)).all():
        raise ValueError("step has an entry outside (0, 1); all must be within")
    return 0.5 * np.log(1.0 / step) * step**-1.5


def _sizes(m, active):
    """Sizes of the class that starts active and their probabilities."""
    if active is not None:
        if active != int(active) or not 0 <= active <= m:
            raise ValueError(f"active is {active}; it must be an integer in 0..{m}")
        return np.array([float(active)]), np.ones(1)
    reach = 5.0 * math.sqrt(m) + 5.0
    sizes = np.arange(max(0.0, math.floor(0.5 * m - reach)), min(m, math.ceil(0.5 * m + reach)) + 1.0)
    logs = special.gammaln(m + 1.0) - special.gammaln(sizes + 1.0) - special.gammaln(m - sizes + 1.0)
    weights = np.exp(logs - m * math.log(2.0))
    kept = weights > NEGLIGIBLE
    return sizes[kept], weights[kept] / weights[kept].sum()


def _modes(model, covariance, amplitude):
    """Eigenvalues of Sigma, theta* in its eigenbasis and q."""
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    q = model.effective_step**0.25 if amplitude is None else number(amplitude, "amplitude")
    if not (0 < q < math.inf):
        raise ValueError(f"amplitude is {q}; it must be in (0, inf)")
    if covariance is None:
        return np.ones(model.dimension), model.target, q
    covariance = numbers(covariance, "entries of the covariance")
    if covariance.shape != (model.dimension,) * 2:
        raise ValueError(f"covariance has shape {covariance.shape}; it must be ({model.dimension}, {model.dimension})")
    values, vectors = np.linalg.eigh(covariance)
    return np.clip(values, 0.0, None), vectors.T @ model.target, q
