r"""What a context of N keys changes at first order in 1/N: moments of softmax averages, and the time of emergence.

For ``f_x = sum_s softmax_s(x <x_L, x_{s-1}>) x_s`` over N keys of standard normal tokens in R^d (derived)

    N E <f_x, f_y> = A(xy) + C(x, y)/N + O(N^-2),        A(z) = d (1 - 2z)^{-d/2},
    C(x, y) = A(x^2+xy) + A(y^2+xy) + A(2xy) - A(xy) - A(x^2+2xy) - A(y^2+2xy) - (x^2+y^2) [A'(xy)/d - d].

Given the query q, let a = xq, a' = yq, ``g = e^{<a,k>}/E e^{<a,k>} - 1`` and h the same of a', so that ``1/Z`` is a
constant times ``1 - mean(g) + mean(g)^2``.  To order 1/N there contribute

- pairs of equal keys, where one factor ``-mean(g) - mean(h)`` meets the key itself or the next one, its value, and
  ``mean(g)^2 + mean(h)^2 + mean(g) mean(h)`` meets itself:
  ``d e^{aa'} [e^{a^2} + e^{a'^2} + e^{aa'} - 1 - e^{a^2+aa'} - e^{a'^2+aa'}] - (a^2 + a'^2) e^{aa'}``;
- pairs of different keys, where two factors meet both values: ``2 (a^2 + a'^2 + aa')``;
- pairs of neighbours, the value of one being the key of the other, where one factor meets the other value:
  ``-(a + a')^2``.

The mean over q is finite for ``max(x, y)^2 + 2xy < 1/2``, for x <= y hence up to ``y = 1/sqrt(6) = 0.408``.  Beyond,
queries of ``q^2 > log(N)/(2 y^2)`` see their few best keys only, whatever N, and the deviation from A falls, but for
logarithms, like ``N^{-(1-2y^2)/(4y^2)}`` (by comparing sizes, not proved).

*Keys as values.*  Without the shift of layer 1 a key brings itself, and ``m_x = sum_s softmax_s(x <x_L, k_s>) k_s``
has the mean ``x x_L``, whatever N:

    N E <m_x, m_y> = N d xy + A(xy) + (xy/d) [A'(xy) - A'(x^2) - A'(y^2)] + O(1/N).

The loss ``(1/2) [b^2 Q(x,x) - 2bc Q(x,y) + c^2 Q(y,y)]``, Q = A + C/N, still vanishes at (c, y) only; its flow passes
``x = fraction y`` later than that of the infinite context, ``T = N T_0 [1 + delta/N + O(N^-2)]``.

*The plateau.*  At x = 0 the best b is still c, and by ``dC/dx(0, y) = -y [A'(y^2) + 3 y^2]`` for d = 1 a small x
grows at the rate ``4 c^2 y [1 - e/N + O(N^-2)]`` of t/N,

    e = A'(y^2) + 3 y^2,

so that the logarithm in the time of emergence costs ``N/(4 c^2 y) (1 + e/N)`` per unit of ``log(1/sigma^2)``.

*Separate query and key*: where the logit scale is the product of two weights that start equal, ``x = q k`` in place of
``w^2``, it grows half as fast, and the logarithm in the time of emergence counts twice.
"""

import math

import numpy as np

from ..arguments import number, numbers, shown
from .four_gram import checked_fraction
from .gradient_flow import crossing_time
from .population_loss import checked_dimension, checked_task, moments, together

LARGEST_SIMILARITY = 1.0 / math.sqrt(6.0)
"""Beyond, the correction is not O(1/N)."""
MOST_INVERSE_KEYS = 0.5
"""1/N of the two keys of the shortest context, L = 4."""
NUDGE = 1e-4
"""Of 1/N about 0, by which ``delta`` is differenced: its error is O(NUDGE^2)."""


def moment_correction(first, second, dimension=1):
    """``C(x, y)``: N times what N keys add to ``A(xy)``, to first order.

    Parameters
    ----------
    first, second : array_like
        The logit scales x and y, not negative, ``max(x, y)^2 + 2xy < 1/2``.
    dimension : int
        d >= 1.

    Raises
    ------
    ValueError
        For scales out of range.
    """
    d = checked_dimension(dimension)
    x, y = together(first, second, ("first logit scales", "second logit scales"))
    reach = np.maximum(x, y) ** 2 + 2.0 * x * y
    if not ((x >= 0) & (y >= 0) & (reach < 0.5)).all():
        raise ValueError(f"max(x, y)^2 + 2xy reaches {np.max(reach):.6g}; x and y must be >= 0 and it must be below "
                         "1/2, for equal scales below 0.4082, or the deviation is not O(1/N)")
    return _mixed(x, y, d)[0]


def self_average_moment(first, second, keys, dimension=1):
    """``N E <m_x, m_y>`` up to O(1/N), where each key is its own value.

    Parameters
    ----------
    first, second : array_like
        The logit scales x and y, not negative, ``max(x, y)^2 < 1/2``.
    keys : float
        N >= 1.
    dimension : int
        d >= 1.

    Raises
    ------
    ValueError
        For scales out of range.
    """
    d = checked_dimension(dimension)
    x, y = together(first, second, ("first logit scales", "second logit scales"))
    if not 1 <= number(keys, "keys") < math.inf:
        raise ValueError(f"keys is {shown(keys)}; it must be finite and >= 1")
    if not ((x >= 0) & (y >= 0) & (np.maximum(x, y) ** 2 < 0.5)).all():
        raise ValueError(f"logit scales reach {max(np.max(x), np.max(y)):.6g}; they must be >= 0 and < 1/sqrt(2) = "
                         "0.7071")
    mixed, mixed_slope, _ = moments(x * y, d)
    return keys * d * x * y + mixed + x * y / d * (mixed_slope - moments(x * x, d)[1] - moments(y * y, d)[1])


def deviation_exponent(similarity):
    """The power of N with which ``N E |f_y|^2`` approaches ``A(y^2)``, but for logarithms.

    -1 up to ``y = 1/sqrt(6)``, then ``-(1 - 2y^2)/(4y^2)``, 0 at ``1/sqrt(2)``.

    Parameters
    ----------
    similarity : array_like
        y, between 0 and 1/sqrt(2), ends excluded.
    """
    y = numbers(similarity, "similarities")
    if not ((y > 0) & (2 * y * y < 1)).all():
        raise ValueError(f"similarity is {shown(similarity)}; it must be > 0 and < 1/sqrt(2) = 0.7071")
    return np.maximum(-1.0, -(1.0 - 2.0 * y * y) / (4.0 * y * y))


def similarity_time(task, scale, fraction=0.5, inverse_keys=0.0, separate=False):
    """Scaled time t/N at which ``w^2`` passes a fraction of y, from ``b = w = sigma``.

    Parameters
    ----------
    task : Task
        Its length does not count.
    scale : float
        sigma > 0, ``sigma^2 < fraction y``.
    fraction : float
        Between 0 and 1, ends excluded.
    inverse_keys : float
        1/N of the loss with its first correction, 0 to 1/2; 0 for the loss of the infinite context.
    separate : bool
        Query and key are weights of their own, both sigma at the start.

    Raises
    ------
    ValueError
        For arguments out of range; with a correction also for ``y >= 1/sqrt(6)``.
    RuntimeError
        If the integrator gives up, or the fraction is not passed.
    """
    if not 0 <= number(inverse_keys, "inverse_keys") <= MOST_INVERSE_KEYS:
        raise ValueError(f"inverse_keys is {shown(inverse_keys)}; it must be in [0, {MOST_INVERSE_KEYS:g}]")
    return _similarity_time(task, scale, fraction, inverse_keys, separate)


def _similarity_time(task, scale, fraction, inverse_keys, separate):
    """The same for 1/N of either sign."""
    c, y = checked_task(task).induction, task.similarity
    scale, fraction = number(scale, "scale"), checked_fraction(fraction)
    if not isinstance(separate, bool | np.bool_):
        raise ValueError(f"separate is {shown(separate)}; it must be True or False")
    if inverse_keys and not y < LARGEST_SIMILARITY:
        raise ValueError(f"similarity is {y:g}; it must be < 1/sqrt(6) = 0.4082, or the deviation is not O(1/N)")
    if not 0 < scale**2 < fraction * y:
        raise ValueError(f"scale is {shown(scale)}; it must be > 0 and < {math.sqrt(fraction * y):.4g}, the root of "
                         "the similarity to be passed")
    d, speed = task.dimension, 1.0 if separate else 2.0

    def slope(state):
        b, w = state
        x = min(w * w, y)
        own, own_slope, _ = moments(x * x, d)
        cross, cross_slope, _ = moments(x * y, d)
        more, more_slope, most, most_slope = 0.0, 0.0, 0.0, 0.0
        if inverse_keys:
            more, more_slope = _mixed(x, y, d)
            most, most_slope = _own(x, d)
        by_x = 0.5 * b * b * (2.0 * x * own_slope + inverse_keys * most_slope)
        by_x -= b * c * (y * cross_slope + inverse_keys * more_slope)
        return np.array([c * (cross + inverse_keys * more) - b * (own + inverse_keys * most), -speed * w * by_x])

    horizon = 100.0 * (1.0 + math.log(y / scale**2) + 1.0 / (1.0 - fraction)) / (c * c * y)
    found = crossing_time(slope, [scale, scale], lambda state: 2.0 - state[1] ** 2 / (fraction * y), 1.0, horizon)
    if found == math.inf:
        raise RuntimeError(f"w^2 does not pass {fraction:g} of {y:g} by t/N = {horizon:.3g} at 1/N = {inverse_keys:g}")
    return found


def emergence_delay(task, scale, fraction=0.5, separate=False):
    """``delta``: emergence in a context of N keys takes ``1 + delta/N + O(N^-2)`` times as long as N to infinity says.

    Parameters
    ----------
    task, scale, fraction, separate
        As for :func:`similarity_time`; y < 1/sqrt(6).
    """
    at = [_similarity_time(task, scale, fraction, nudge, separate) for nudge in (-NUDGE, 0.0, NUDGE)]
    return (at[2] - at[0]) / (2.0 * NUDGE * at[1])


def plateau_delay(similarity):
    """``e = A'(y^2) + 3 y^2``: among N keys a small ``w^2`` takes ``1 + e/N + O(N^-2)`` times as long to grow.

    Parameters
    ----------
    similarity : array_like
        y, between 0 and ``1/sqrt(6)``, ends excluded; d = 1.

    Raises
    ------
    ValueError
        For y out of range.
    """
    y = numbers(similarity, "similarities")
    if not ((y > 0) & (y < LARGEST_SIMILARITY)).all():
        raise ValueError(f"similarity is {shown(similarity)}; it must be > 0 and < 1/sqrt(6) = 0.4082")
    return moments(y * y, 1)[1] + 3.0 * y * y


def _mixed(x, y, d):
    """``C(x, y)`` and its derivative by x."""
    terms = ((1.0, x * x + x * y, 2.0 * x + y), (1.0, y * y + x * y, y), (1.0, 2.0 * x * y, 2.0 * y),
             (-1.0, x * y, y), (-1.0, x * x + 2.0 * x * y, 2.0 * (x + y)), (-1.0, y * y + 2.0 * x * y, 2.0 * y))
    value, slope = 0.0, 0.0
    for sign, z, by_x in terms:
        zeroth, first, _ = moments(z, d)
        value, slope = value + sign * zeroth, slope + sign * first * by_x
    _, first, second = moments(x * y, d)
    value = value - (x * x + y * y) * (first / d - d)
    return value, slope - 2.0 * x * (first / d - d) - (x * x + y * y) * y * second / d


def _own(x, d):
    """``C(x, x)`` and its derivative by x."""
    value, slope = _mixed(x, x, d)
    return value, 2.0 * slope   # C is symmetric
