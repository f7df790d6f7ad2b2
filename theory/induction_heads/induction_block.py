r"""Learning the induction head: plateau, emergence and convergence of two parameters.

Layer 1 has become the previous-token map.  In the notation of :mod:`.population_loss`, with ``x = w^2`` and the scaled
time ``tau = t/N`` (everything here is 1/N of a function of tau; derived),

    N L_IH = (1/2) [b^2 A(x^2) - 2 b c A(x y) + c^2 A(y^2)],
    db/dtau = c A(x y) - b A(x^2),          dw/dtau = 2 b w [c y A'(x y) - b x A'(x^2)].

The only critical point with w > 0 is ``b = c, w^2 = y``; (c, 0) is a saddle: w = 0 never moves.

*First drop.*  b relaxes to c at the rate d while w is still small: the head puts out the mean of its context, and the
loss falls from ``c^2 A(y^2)/2`` to the plateau ``c^2 (A(y^2) - d)/2``, the part ``1 - (1 - 2y^2)^{d/2}`` of it.

*Emergence.*  Where b follows x, ``b_* = c A(xy)/A(x^2)``, the flow separates,

    dx/dtau = 4 c^2 d^2 x (y-x) / g(x),    g(x) = (1-2xy)^{d+1} (1-2x^2)^{1-d/2},
    N L_IH = (c^2 d/2) [(1-2y^2)^{-d/2} - (1-2x^2)^{d/2} (1-2xy)^{-d}],

and the loss is r times the plateau at the time (b = w = sigma at the start)

    T_r/N = (1 - sigma/c)/d + [log(y/sigma^2) + K_r]/(4 c^2 d^2 y) + D_r + O(c^2) + O(sigma^2/c^2),
    K_r = log(x_r/y) + int_0^{x_r} (g - 1)/x dx + int_0^{x_r} g/(y - x) dx,
    D_r = int_0^{x_r} h/(y - x) dx,   h = [y/(1-2xy) - 2x/(1-2x^2)]^2 (1-2xy) (1-2x^2)^{1+d/2},

where x_r is the similarity at that loss, ``m^2 (1 - 2 x_r y)^2 = 1 - 2 x_r^2`` with ``m^d = (1-r)(1-2y^2)^{-d/2} +
r``.  The first term is the delay until b is there; D_r is the delay because b lags behind b_* by ``b_*'/A`` to first
order.

*Linear logit.*  With the key's product itself as the parameter (x in place of ``w^2``), ``dx/dtau = b [c y A' - b x
A']`` starts at the finite rate ``c^2 y d^2``: no logarithm of sigma, hence no plateau that outlasts every
initialisation.

*Convergence.*  Near (c, sqrt y) the loss falls like ``exp(-2 lambda tau)``, lambda the smaller eigenvalue of the
Hessian.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown
from .four_gram import checked_fraction, start_pair
from .gradient_flow import crossing_time, integrated
from .population_loss import LARGEST_SIMILARITY, checked_dimension, checked_task, context_moment, moments, together

LOGITS = ("quadratic", "linear")
NODES, WEIGHTS = np.polynomial.legendre.leggauss(96)


@dataclass(frozen=True, eq=False)
class InductionPath:
    """The induction head along its flow.

    Attributes
    ----------
    times : ndarray, shape (T,)
        ``tau = t/N``.
    value, similarity : ndarray, shape (T,)
        b, and x = w^2.
    scaled_loss : ndarray, shape (T,)
        ``N L_IH``.
    """

    times: np.ndarray
    value: np.ndarray
    similarity: np.ndarray
    scaled_loss: np.ndarray


def induction_loss(task, value, similarity):
    """``N L_IH`` with a perfect layer 1, computed as a sum of squares.

    Parameters
    ----------
    task : Task
    value, similarity : array_like
        b, and ``x = w^2`` with ``x^2 < 1/2``.

    Raises
    ------
    ValueError
        If ``x^2`` is not below 1/2.
    """
    checked_task(task)
    b, x = together(value, similarity, ("values of b", "similarities"))
    context_moment(x * x)
    return _loss(task, b, x)


def slaved_value(task, similarity):
    """``b_* = c A(xy)/A(x^2)``, the best value for a given similarity x."""
    x, y = numbers(similarity, "similarities"), checked_task(task).similarity
    context_moment(x * x)
    return task.induction * ((1.0 - 2.0 * x * x) / (1.0 - 2.0 * x * y)) ** (0.5 * task.dimension)


def separable_rate(task, similarity):
    """``dx/dtau`` where b is slaved to x."""
    x, y, d = numbers(similarity, "similarities"), checked_task(task).similarity, task.dimension
    context_moment(x * x)
    return 4.0 * (task.induction * d) ** 2 * x * (y - x) / _clock(x, y, d)


def induction_rates(task, value, key, logit="quadratic"):
    """``(db/dtau, dw/dtau)``; with a linear logit ``(db/dtau, dx/dtau)``, the key being x itself.

    Parameters
    ----------
    task : Task
    value, key : float or ndarray
        b, and w with ``w^4 < 1/2`` (x with ``x^2 < 1/2``).
    logit : {"quadratic", "linear"}

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    _checked_logit(logit)
    value, key = together(value, key, ("values of b", "keys"))
    context_moment(key**4 if logit == "quadratic" else key**2)
    return rates(checked_task(task), value, key, logit)


def rates(task, value, key, logit="quadratic"):
    """:func:`induction_rates` for integrators: nothing is checked, moments are kept finite."""
    c, y = task.induction, task.similarity
    x = key * key if logit == "quadratic" else key
    own, own_slope, _ = moments(x * x, task.dimension)
    cross, cross_slope, _ = moments(x * y, task.dimension)
    force = value * (c * y * cross_slope - value * x * own_slope)
    return c * cross - value * own, force * (2.0 * key if logit == "quadratic" else 1.0)


def induction_flow(task, scale, times, logit="quadratic"):
    """The flow from ``b = w = sigma``.

    Parameters
    ----------
    task : Task
    scale : float
        ``sigma > 0``, or a pair ``(b, w)`` with ``w >= 0`` and ``w^4 < 1/2``.
    times : array_like, shape (T,)
        ``tau = t/N``, not negative, increasing.
    logit : {"quadratic", "linear"}
        ``w^2``, or the parameter x itself, which then starts at ``w^2``.

    Returns
    -------
    InductionPath

    Raises
    ------
    ValueError
        For arguments out of range.
    RuntimeError
        If the integrator gives up.
    """
    checked_task(task)
    _checked_logit(logit)
    value, key = start_pair(scale)
    if not (math.isfinite(value) and 0 <= key and 2 * key**4 < 1 and (np.ndim(scale) or value > 0)):
        raise ValueError(f"scale is {shown(scale)}; it must be > 0 (of a pair, w >= 0) with w^4 < 1/2")
    start = (value, key if logit == "quadratic" else key * key)
    states = integrated(lambda state: np.array(rates(task, *state, logit)), start, times)
    x = states[:, 1] ** 2 if logit == "quadratic" else states[:, 1]
    return InductionPath(np.atleast_1d(np.asarray(times, float)), states[:, 0], x, _loss(task, states[:, 0], x))


def half_time(task, scale, logit="quadratic", ratio=0.5):
    """Scaled time at which the loss is half its plateau, or `ratio` of it, from ``b = 0`` and ``x = sigma^2``.

    Parameters
    ----------
    task : Task
    scale : float
        sigma > 0, ``sigma^2 < y``.
    logit : {"quadratic", "linear"}
        As for :func:`induction_flow`.
    ratio : float
        Between 0 and 1, ends excluded.

    Returns
    -------
    float
        inf for what takes longer than 1e4.

    Raises
    ------
    ValueError
        For arguments out of range.
    RuntimeError
        If the integrator gives up.
    """
    y, scale, ratio = checked_task(task).similarity, number(scale, "scale"), checked_fraction(ratio, "ratio")
    _checked_logit(logit)
    if not 0 < scale < math.sqrt(y):
        raise ValueError(f"scale is {shown(scale)}; it must be > 0 and < {math.sqrt(y):.4g}, sqrt(y)")

    def slope(state):
        return np.array(rates(task, *state, logit))

    def loss(state):
        x = state[1] ** 2 if logit == "quadratic" else state[1]
        return float(induction_loss(task, state[0], min(x, 0.7)))

    return crossing_time(slope, (0.0, scale if logit == "quadratic" else scale**2), loss, ratio * plateau(task), 1e4)


def plateau(task):
    """``N L_IH = c^2 (A(y^2) - d)/2`` on the plateau, where b = c and w = 0."""
    checked_task(task)
    return 0.5 * task.induction**2 * task.dimension * math.expm1(-0.5 * task.dimension
                                                                 * math.log1p(-2.0 * task.similarity**2))


def plateau_fraction(similarity, dimension=1):
    """``1 - (1 - 2y^2)^{d/2}``: the plateau as a part of the loss at b = 0.

    Parameters
    ----------
    similarity : array_like
        y, between 0 and 1/sqrt(2), ends excluded.
    dimension : array_like of int
        d >= 1.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    y = _similarities(similarity)
    d = numbers(dimension, "dimensions")
    if not ((d >= 1) & (d == np.round(d))).all():
        raise ValueError(f"dimension is {shown(dimension)}; it must be an integer >= 1")
    return -np.expm1(0.5 * d * np.log1p(-2.0 * y * y))


def similarity_at(similarity, ratio, dimension=1):
    """``x_r``: the student's similarity when, b slaved, the loss is `ratio` times the plateau.

    Parameters
    ----------
    similarity : array_like
        y.
    ratio : float
        r, between 0 and 1, ends excluded.
    dimension : int
    """
    y, r, d = _similarities(similarity), checked_fraction(ratio, "ratio"), checked_dimension(dimension)
    rest = 1.0 - 2.0 * y * y
    # q = m^2 (1 - 2 y^2) comes near 1 at the end: 1 - q without cancellation
    left = -np.expm1(2.0 / d * np.log1p(-r * plateau_fraction(y, d)))
    m2 = (1.0 - left) / rest
    return (2.0 * y * y - left) / rest / (2.0 * m2 * y + np.sqrt(2.0 * left))


def emergence_constants(similarity, ratio=0.5, dimension=1):
    """``K_r`` and ``D_r`` of the emergence time, by Gauss-Legendre quadrature.

    Accurate to 1e-12 up to y = 0.7, to 1e-10 at 0.705, next to a branch point (r >= 0.01, compared with mpmath).

    Parameters
    ----------
    similarity : array_like
        y, between 0 and 1/sqrt(2), ends excluded.
    ratio : float
        r, between 0 and 1, ends excluded.
    dimension : int

    Returns
    -------
    tuple of 2 ndarray, shape of `similarity`

    Raises
    ------
    ValueError
        For arguments out of range, also where the constants leave float64.
    """
    with np.errstate(all="ignore"):
        constant, delay = _quadratures(similarity, ratio, dimension)
    if not (np.isfinite(constant).all() and np.isfinite(delay).all()):
        raise ValueError(f"ratio and dimension are {shown(ratio)} and {shown(dimension)}; in float64 the constants are "
                         "finite for larger ratios or smaller dimensions only")
    return constant, delay


def _quadratures(similarity, ratio, dimension):
    end, d = similarity_at(similarity, ratio, dimension), dimension
    y, end = np.broadcast_arrays(_similarities(similarity)[..., None], end[..., None])
    x, weights = 0.5 * end * (1.0 + NODES), 0.5 * end * WEIGHTS
    left = np.log(y / (y - end))[..., 0]
    clock, clock_end = _clock(x, y, d), _clock(y, y, d)
    lag, lag_end = _lag(x, y, d), _lag(y, y, d)
    smooth = ((clock - 1.0) / x + (clock - clock_end) / (y - x)) * weights
    constant = np.log(end / y)[..., 0] + smooth.sum(axis=-1) + clock_end[..., 0] * left
    delay = ((lag - lag_end) / (y - x) * weights).sum(axis=-1) + lag_end[..., 0] * left
    return constant, delay


def emergence_time(task, scale, ratio=0.5, lag=True):
    """``T_r/N`` from ``b = w = sigma``, up to ``O(c^2) + O(sigma^2/c^2)``.

    Parameters
    ----------
    task : Task
    scale : float
        sigma, > 0 and much less than c and sqrt(y).
    ratio : float
        r: at T_r the loss is r times the plateau.
    lag : bool
        With ``D_r``; without it, of an order less, the b-slaved flow.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    scale, c, y, d = number(scale, "scale"), checked_task(task).induction, task.similarity, task.dimension
    if not 0 < scale < min(c, math.sqrt(y)):
        raise ValueError(f"scale is {shown(scale)}; it must be > 0 and < {min(c, math.sqrt(y)):.4g}, the "
                         "smaller of c and sqrt(y)")
    constant, delay = emergence_constants(y, ratio, d)
    grown = (math.log(y / scale**2) + float(constant)) / (4.0 * (c * d) ** 2 * y)
    return (1.0 - scale / c) / d + grown + (float(delay) if lag else 0.0)


def hessian(task):
    """Hessian of ``N L_IH`` by (b, w) at its minimum (c, sqrt y), shape (2, 2)."""
    c, y = checked_task(task).induction, task.similarity
    own, slope, curvature = moments(np.float64(y * y), task.dimension)
    mixed = 2.0 * c * y**1.5 * slope
    return np.array([[own, mixed], [mixed, 4.0 * c * c * y * (slope + y * y * curvature)]])


def final_rate(task):
    """``2 lambda``: at the end ``N L_IH ~ exp(-2 lambda tau)``, lambda the smaller eigenvalue of :func:`hessian`."""
    (own, mixed), (_, key) = hessian(task)
    determinant = own * key - mixed * mixed
    half_trace = 0.5 * (own + key)
    return 2.0 * determinant / (half_trace + math.hypot(0.5 * (own - key), mixed))


def _checked_logit(logit):
    if not isinstance(logit, str) or logit not in LOGITS:
        raise ValueError(f"logit is {shown(logit)}; it must be one of {', '.join(LOGITS)}")


def _similarities(values):
    y = numbers(values, "similarities")
    if not ((y > 0) & (y < LARGEST_SIMILARITY)).all():
        raise ValueError(f"similarity is {shown(values)}; it must be > 0 and < 1/sqrt(2) = 0.7071")
    return y


def _clock(x, y, d):
    return (1.0 - 2.0 * x * y) ** (d + 1) * (1.0 - 2.0 * x * x) ** (1.0 - 0.5 * d)


def _lag(x, y, d):
    own, cross = 1.0 - 2.0 * x * x, 1.0 - 2.0 * x * y
    return (y / cross - 2.0 * x / own) ** 2 * cross * own ** (1.0 + 0.5 * d)


def _loss(task, b, x):
    c, y, d = task.induction, task.similarity, task.dimension
    own, cross = moments(x * x, d)[0], moments(x * y, d)[0]
    r = 2.0 * (x - y) ** 2 / (1.0 - 2.0 * x * y) ** 2
    missed = -np.expm1(0.5 * d * np.log1p(-np.minimum(r, 1.0 - 1e-300)))
    return 0.5 * (own * (b - c * cross / own) ** 2 + c * c * moments(y * y, d)[0] * missed)
