r"""Learning the 4-gram: the flow of the slope and the value of one head, exact for every context length.

Layer 1 has become the previous-token map, ``y_s = x_{s-1}``.  A head without dot product puts the weight
``pi_j = (1-v) v^{j-1}/(1-v^N)``, ``v = e^{-p}``, on lag j = 1, ..., N, so that (N = L - 2; derived)

    L_G4 = (d/2) [gamma^2 - 2 gamma a pi_1 + a^2 S],  pi_1 = (1-v)/(1-v^N),  S = sum_j pi_j^2 = tanh(p/2) coth(N p/2),
    a' = d (gamma pi_1 - a S),    p' = d (gamma a dpi_1/dp - (a^2/2) dS/dp).

With ``f(z) = 1/(e^z - 1) - 1/z + 1/2`` and ``g(z) = 1/sinh z - 1/z``, both smooth at 0,

    d log pi_1/dp = f(p) - N f(N p) + (N-1)/2,    d log S/dp = g(p) - N g(N p),

without cancellation where ``N p`` is small.  The loss is the sum of squares

    L_G4 = (d/2) [S (a - m)^2 + gamma^2 (v^2 - v^{2N})/(1 - v^{2N})],    m = gamma (1+v)/(1+v^N).

*Escape* from a = p = sigma.  Where ``N p >> 1``, a and p grow at the rate d gamma; where ``N p << 1``, uniform
attention already correlates with the target, ``a' = d gamma/N`` at a = 0, and growth starts by itself.  So the time to
half the loss is ``log(1/sigma)/(d gamma) + O(1)`` in an infinite context but ``(log N)/(d gamma) + O(1)`` as sigma ->
0 in a finite one.

*Tail*.  A loss that is ``k v^2`` with ``v = e^{-p}`` obeys ``p' = 2 k v^2``, hence ``v^{-2} = 4 k t`` and ``L = 1/(4
t)`` whatever k: ``t L_G4 -> 1/4`` for every weight, start, length and dimension.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown
from .gradient_flow import crossing_time, integrated
from .population_loss import checked_task, together

ENCODINGS = ("linear", "quadratic")
SERIES_BELOW = 0.1
SMALLEST_QUADRATIC = 1e-20


@dataclass(frozen=True, eq=False)
class FourGramPath:
    """The 4-gram head along its flow.

    Attributes
    ----------
    times, value, slope, loss : ndarray, shape (T,)
        t, a, p and ``L_G4``.
    """

    times: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    loss: np.ndarray


def attention_sums(slope, keys):
    """``pi_1``, ``S`` and their derivatives by the slope.

    Parameters
    ----------
    slope : array_like
        ``p >= 0``; > 0 for infinitely many keys.
    keys : float
        N >= 1, or inf.

    Returns
    -------
    tuple of 4 ndarray
        ``pi_1, S, dpi_1/dp, dS/dp``, to a relative 1e-13.

    Raises
    ------
    ValueError
        For a slope or keys out of range.
    """
    p, keys = numbers(slope, "slopes"), number(keys, "keys")
    if not (keys >= 1 and (keys == math.inf or keys == int(keys))):
        raise ValueError(f"keys is {shown(keys)}; it must be an integer >= 1, or inf")
    if not (np.isfinite(p).all() and ((p > 0) | ((p == 0) & (keys < math.inf))).all()):
        raise ValueError(f"slope is {shown(slope)}; it must be finite, and > 0 (or 0 in a finite context)")
    return _sums(p, keys)


def four_gram_loss(task, value, slope):
    """``L_G4`` with a perfect layer 1, computed as a sum of squares.

    Parameters
    ----------
    task : Task
    value, slope : array_like
        a, and p as in :func:`attention_sums`.
    """
    a, p = together(value, slope, ("values of a", "slopes"))
    attention_sums(p, checked_task(task).keys)
    return _loss(task, a, p)


def four_gram_rates(task, value, slope, encoding="linear"):
    """``(a', p')``.

    Parameters
    ----------
    task : Task
    value, slope : float or ndarray
    encoding : {"linear", "quadratic"}
        Whether the flow is that of p, or of q with ``p = q^2``: then p' is 4p times as large.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    _checked_encoding(encoding)
    a, p = together(value, slope, ("values of a", "slopes"))
    attention_sums(p, checked_task(task).keys)
    return _rates(task, a, p, encoding)


def _rates(task, value, slope, encoding):
    first, concentration, first_slope, concentration_slope = _sums(slope, task.keys)
    gamma, d = task.four_gram, task.dimension
    speed = d * (gamma * value * first_slope - 0.5 * value**2 * concentration_slope)
    return d * (gamma * first - value * concentration), speed * (4.0 * slope if encoding == "quadratic" else 1.0)


def four_gram_flow(task, scale, times, encoding="linear"):
    """The flow from ``a = p = sigma``.

    Parameters
    ----------
    task : Task
    scale : float
        sigma > 0, or a pair ``(a, p)`` of them.
    times : array_like, shape (T,)
        Not negative, increasing.
    encoding : {"linear", "quadratic"}
        As in :func:`four_gram_rates`.

    Returns
    -------
    FourGramPath

    Raises
    ------
    ValueError
        For arguments out of range.
    RuntimeError
        If the integrator gives up.
    """
    checked_task(task)
    start = _start(scale, encoding)
    states = integrated(_slope(task, encoding), start, times)
    return FourGramPath(np.atleast_1d(np.asarray(times, float)), states[:, 0], states[:, 1],
                        _loss(task, states[:, 0], states[:, 1]))


def learning_time(task, scale, fraction=0.5, encoding="linear"):
    """Time at which ``L_G4`` has fallen to a fraction of ``d gamma^2/2``, the loss at a = 0.

    Parameters
    ----------
    task : Task
    scale : float
        sigma > 0, or a pair ``(a, p)``.
    fraction : float
        Between 0 and 1, ends excluded.
    encoding : {"linear", "quadratic"}

    Raises
    ------
    ValueError
        For arguments out of range; with a quadratic encoding also for sigma below 1e-20, as times are of its inverse.
    """
    fraction = checked_fraction(fraction)
    start, gamma, d = _start(scale, encoding), checked_task(task).four_gram, task.dimension
    if encoding == "quadratic" and start.min() < SMALLEST_QUADRATIC:
        raise ValueError(f"scale is {shown(scale)}; with a quadratic encoding it must be >= {SMALLEST_QUADRATIC:g}")
    # the escape takes a logarithm of the start or of N (with p = q^2 a power), the tail 1/(2 gamma^2 fraction)
    slow = 1.0 / start.min() if encoding == "quadratic" else 1.0 - math.log(start.min())
    horizon = 100.0 * (slow / gamma + 1.0 / (gamma**2 * fraction)) * (1.0 - math.log(fraction)) / d
    return crossing_time(_slope(task, encoding), start, lambda x: _loss(task, x[0], x[1]),
                         fraction * 0.5 * d * gamma**2, horizon)


def checked_fraction(fraction, name="fraction"):
    """A number strictly between 0 and 1.

    Raises
    ------
    ValueError
        If it is not.
    """
    value = number(fraction, name)
    if not 0 < value < 1:
        raise ValueError(f"{name} is {shown(fraction)}; it must be > 0 and < 1")
    return value


def start_pair(scale):
    """Two starting values: the pair that is given, or the one number twice.

    Raises
    ------
    ValueError
        For anything else.
    """
    values = numbers(scale, "values of scale") if np.ndim(scale) else np.array(number(scale, "scale"))
    if values.shape not in ((), (2,)):
        raise ValueError(f"scale is {shown(scale)}; it must be one number, or a pair")
    return [float(value) for value in np.broadcast_to(values, (2,))]


def _checked_encoding(encoding):
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        raise ValueError(f"encoding is {shown(encoding)}; it must be one of {', '.join(ENCODINGS)}")


def _start(scale, encoding):
    _checked_encoding(encoding)
    start = np.array(start_pair(scale))
    if not (np.isfinite(start).all() and (start > 0).all()):
        raise ValueError(f"scale is {shown(scale)}; it must be finite and > 0")
    return start


def _slope(task, encoding):
    def slope(state):
        return _rates(task, state[0], max(state[1], 1e-300), encoding)
    return slope


def _loss(task, a, p):
    first, concentration, _, _ = _sums(p, task.keys)
    v, n = np.exp(-p), task.keys
    if n == math.inf:
        missed = v * v
    else:
        with np.errstate(invalid="ignore"):
            missed = np.where(p > 0, v * v * np.expm1(-2.0 * (n - 1.0) * p) / np.expm1(-2.0 * n * p), 1.0 - 1.0 / n)
    best = task.four_gram * first / concentration
    return 0.5 * task.dimension * (concentration * (a - best) ** 2 + task.four_gram**2 * missed)


def _sums(p, keys):
    if keys == math.inf:
        v = np.exp(-p)
        return -np.expm1(-p), np.tanh(0.5 * p), v, 2.0 * v / (1.0 + v) ** 2
    zero, far = np.asarray(p) == 0, np.maximum(p, 1.0 / keys)
    safe = np.where(zero, 1.0, p)
    first = np.where(zero, 1.0 / keys, np.expm1(-safe) / np.expm1(-keys * safe))
    concentration = np.where(zero, 1.0 / keys, np.tanh(0.5 * safe) / np.tanh(0.5 * keys * safe))
    # from N p = 1 on as they stand, below in the form without cancellation
    by_first = np.where(keys * p >= 1.0, _bernoulli(far) - keys * _bernoulli(keys * far),
                        _shifted_bernoulli(p) - keys * _shifted_bernoulli(keys * p) + 0.5 * (keys - 1.0))
    by_concentration = np.where(keys * p >= 1.0, _cosecant(far) - keys * _cosecant(keys * far),
                                _shifted_cosecant(p) - keys * _shifted_cosecant(keys * p))
    return first, concentration, first * by_first, concentration * by_concentration


def _bernoulli(z):
    return -np.exp(-z) / np.expm1(-z)


def _cosecant(z):
    return -2.0 * np.exp(-z) / np.expm1(-2.0 * z)


def _shifted_bernoulli(z):
    """``1/(e^z - 1) - 1/z + 1/2``."""
    far = np.maximum(z, SERIES_BELOW)
    exact = _bernoulli(far) - 1.0 / far + 0.5
    return np.where(z < SERIES_BELOW, z * (1 / 12 - z * z * (1 / 720 - z * z * (1 / 30240 - z * z / 1209600))), exact)


def _shifted_cosecant(z):
    """``1/sinh z - 1/z``."""
    far = np.maximum(z, SERIES_BELOW)
    exact = _cosecant(far) - 1.0 / far
    return np.where(z < SERIES_BELOW,
                    -z * (1 / 6 - z * z * (7 / 360 - z * z * (31 / 15120 - z * z * 127 / 604800))), exact)
