r"""One mode of a quadratic under Algorithm 1: roots, trajectory, rate, stability limit and noise floor in closed form.

Model.  Hessian H, metric F and flat projector Q share an eigenvector; along it the curvature is ``lambda``, the metric
f, the damping ``beta`` (``beta_1`` on sharp, ``beta_2`` on flat directions) and the learning rate ``eta chi`` (with
``chi = 1`` on sharp directions).  With ``theta = 1 - alpha`` and the un-normalised buffer of Algorithm 1
(arXiv 2602.22681),

    m_k = theta m_{k-1} + g_k ,      w_{k+1} = w_k - (eta chi/f) (m_k + beta g_k) ,      g_k = lambda w_k + sigma xi_k ,

everything depends on the *step* ``s = eta chi lambda / f``, the *momentum* ``theta`` and the *damping* ``beta``.
Without noise (all derived)

    w_{k+1} = [1 + theta - s (1 + beta)] w_k - theta (1 - s beta) w_{k-1} ,      w_1 = w_0 (1 - s (1 + beta)) .

The roots are ``z = 1 + y``, where the shifted polynomial has no cancellation for flat modes, s -> 0:

    y^2 + p y + q = 0 ,      p = alpha + s (1 + beta) ,      q = s (1 + alpha beta) .

The mode oscillates (complex roots, ``|z|^2 = theta (1 - s beta)``) between the two steps where ``p^2 = 4 q``,

    sqrt(s_-+) = (sqrt(1 + alpha beta) -+ sqrt theta) / (1 + beta) ,

and is stable for ``0 < s < s_max`` (Jury's conditions), where for ``beta >= 0``

    s_max = 2 (1 + theta) / (1 + (1 + theta) beta) .

For ``beta < 0`` the product of the roots grows with s, and ``s < alpha/(theta |beta|)`` is needed besides; this is the
smaller bound once ``|beta| > alpha/(1 + theta)^2``.  At ``beta <= -1/alpha`` no step is stable.

With noise ``sigma xi_k`` (white, unit variance) in the gradient, w is a moving-average process, whose variance is

    Var = (sigma/lambda)^2 s [(1+theta)(1+alpha beta) + s theta beta (1+(1+theta) beta)]
                           / [(alpha + s theta beta) (2 (1+theta) - s (1+(1+theta) beta))] ,

for small s ``(sigma/lambda)^2 s (1 + alpha beta)/(2 alpha)``, which needs ``s << alpha/(theta beta)`` and not just
``s << 1``.

Heavy ball is ``beta = 0``, Nesterov's method ``beta = 1/theta`` (with learning rate ``eta/theta`` as it is usually
written).  Codes that average, ``M_k = theta M_{k-1} + alpha g_k`` and ``w_{k+1} = w_k - eta (M_k + b g_k)``, have
``s = alpha eta lambda`` and ``beta = b/alpha``: see :func:`from_average`.  All arguments broadcast.
"""

import numpy as np

from ..arguments import numbers, shown
from .ranges import require


def mode_step(rate, curvature, metric=1.0, gain=1.0):
    """The dimensionless step ``s = eta chi lambda / f``.

    Parameters
    ----------
    rate : array_like
        Learning rate ``eta`` > 0.
    curvature : array_like
        ``lambda``, of either sign.
    metric : array_like
        Eigenvalue f > 0 of the metric.
    gain : array_like
        ``chi`` >= 1 on flat directions, 1 on sharp ones.

    Raises
    ------
    ValueError
        For a metric that is not positive (it would be singular), ``chi < 1`` or ``eta <= 0``.
    """
    rate, curvature = numbers(rate, "learning rates"), numbers(curvature, "curvatures")
    metric, gain = numbers(metric, "metric eigenvalues"), numbers(gain, "gains")
    require((rate > 0) & np.isfinite(rate), rate, "learning rate", "it must be > 0 and finite")
    require(np.isfinite(curvature), curvature, "curvature", "it must be finite")
    require((metric > 0) & np.isfinite(metric), metric, "metric",
            "it must be > 0 and finite; a singular metric has no inverse")
    require((gain >= 1) & np.isfinite(gain), gain, "chi", "it must be >= 1 and finite")
    return rate * gain * curvature / metric


def from_average(step, momentum, damping=0.0):
    """Step and damping of Algorithm 1 that a code with an averaged buffer runs.

    Parameters
    ----------
    step : array_like
        ``eta lambda / f`` of the code, whose buffer is ``M = theta M + (1 - theta) g``.
    momentum : array_like
        ``theta`` in [0, 1).
    damping : array_like
        b of the update ``M + b g``.

    Returns
    -------
    step, damping : ndarray
        ``s = alpha eta lambda / f`` and ``beta = b / alpha``.
    """
    s, theta, b = _checked(step, momentum, damping)
    return s * (1.0 - theta), b / (1.0 - theta)


def shifted_polynomial(step, momentum, damping=0.0):
    """Coefficients p, q of ``y^2 + p y + q``, whose roots are ``z - 1``.

    Parameters
    ----------
    step : array_like
        s; negative for a concave direction.
    momentum : array_like
        ``theta`` in [0, 1).
    damping : array_like
        ``beta``, of either sign.

    Returns
    -------
    p, q : ndarray
    """
    s, theta, beta = _checked(step, momentum, damping)
    alpha = 1.0 - theta
    return alpha + s * (1.0 + beta), s * (1.0 + alpha * beta)


def discriminant(step, momentum, damping=0.0):
    """``p^2 - 4 q``: negative where the mode oscillates.  Arguments as for :func:`shifted_polynomial`."""
    p, q = shifted_polynomial(step, momentum, damping)
    root = 2.0 * np.sqrt(np.abs(q))
    return np.where(q >= 0, (p - root) * (p + root), p * p + root * root)


def shifted_roots(step, momentum, damping=0.0):
    """The roots ``y = z - 1``, each to a few units in the last place wherever they are well conditioned.

    Parameters
    ----------
    step, momentum, damping : array_like
        As for :func:`shifted_polynomial`.

    Returns
    -------
    ndarray of complex, shape (..., 2)
        The slow one (smaller modulus of y) first; a pair of conjugates has the positive imaginary part first.
    """
    p, q = shifted_polynomial(step, momentum, damping)
    gap = discriminant(step, momentum, damping)
    large = -0.5 * (p + np.where(p < 0, -1.0, 1.0) * np.sqrt(np.maximum(gap, 0.0)))
    small = np.divide(q, large, out=np.zeros_like(large), where=large != 0)
    half = 0.5 * np.sqrt(np.maximum(-gap, 0.0))
    pair = gap < 0
    return np.stack([np.where(pair, -0.5 * p + 1j * half, small), np.where(pair, -0.5 * p - 1j * half, large)], axis=-1)


def roots(step, momentum, damping=0.0):
    """The roots ``z`` of the recursion, shape (..., 2); near z = 1 :func:`shifted_roots` is more accurate."""
    return 1.0 + shifted_roots(step, momentum, damping)


def decay_rate(step, momentum, damping=0.0):
    """Decay per iteration, ``-log max|z|``: positive if stable.

    Parameters
    ----------
    step, momentum, damping : array_like
        As for :func:`shifted_polynomial`.

    Returns
    -------
    ndarray or float
        ``inf`` where both roots are 0 (``s = theta``, ``beta = 1/theta``: the mode dies in two iterations).
    """
    s, theta, beta = _checked(step, momentum, damping)
    y = shifted_roots(s, theta, beta)
    with np.errstate(divide="ignore", invalid="ignore"):
        real = np.maximum(*(_log_modulus(y[..., each].real) for each in (0, 1)))
        pair = 0.5 * (np.log(theta) + np.log1p(-np.minimum(s * beta, 1.0)))
    return -np.where(discriminant(s, theta, beta) < 0, pair, real)[()]


def radius(step, momentum, damping=0.0):
    """Spectral radius ``max|z|``, below 1 if stable; arguments as for :func:`shifted_polynomial`."""
    return np.exp(-decay_rate(step, momentum, damping))


def trajectory(times, step, momentum, damping=0.0):
    """Iterates ``w_k / w_0`` in closed form, started with an empty buffer.

    With the roots z1 (the larger) and z2 it is ``z1^k + (w_1/w_0 - z1) (z1^k - z2^k)/(z1 - z2)``, where the quotient is
    evaluated so that it tends to ``k z^(k-1)`` at a double root.

    Parameters
    ----------
    times : array_like of int, shape (n,)
        Iterations k >= 0, however large.
    step, momentum, damping : array_like
        As for :func:`shifted_polynomial`.

    Returns
    -------
    ndarray, shape (n, ...)

    Raises
    ------
    ValueError
        For a negative or fractional time.
    """
    k = np.atleast_1d(numbers(times, "times"))
    if k.ndim > 1:
        raise ValueError(f"times have shape {k.shape}; it must be (n,)")
    require((k >= 0) & (k == np.floor(k)) & np.isfinite(k), k, "time", "it must be a whole number >= 0, finite")
    s, theta, beta = np.broadcast_arrays(*_checked(step, momentum, damping))
    k = k.reshape(-1, *[1] * s.ndim)
    gap, y = discriminant(s, theta, beta), shifted_roots(s, theta, beta)
    first, second = y[..., 0].real, y[..., 1].real
    swap = np.abs(1.0 + second) > np.abs(1.0 + first)
    y1, y2 = np.where(swap, second, first), np.where(swap, first, second)
    with np.errstate(all="ignore"):
        real = _power(y1, k) - (s * (1.0 + beta) + y1) * _real_quotient(y1, y2, gap, k)
        # The product of a pair is positive; rounding makes it negative where the pair is all but 0.
        size = _side(y) * np.sqrt(np.maximum(theta * (1.0 - s * beta), 0.0))
        angle = np.arctan2(y[..., 0].imag, np.abs(1.0 + y[..., 0].real))       # small near a double root of either sign
        waves = np.where(angle == 0, k, np.sin(k * angle) / np.sin(angle))
        ahead = 1.0 - s * (1.0 + beta) - size * np.cos(angle)
        pair = size**k * np.cos(k * angle) + size ** np.maximum(k - 1, 0) * ahead * waves
    return np.where(gap < 0, pair, real)


def recursion(steps, step, momentum, damping=0.0):
    """Iterates ``w_k / w_0`` by running Algorithm 1 itself, the buffer and all: what :func:`trajectory` solves.

    Parameters
    ----------
    steps : int
        At least 0.
    step, momentum, damping : array_like
        As for :func:`shifted_polynomial`.

    Returns
    -------
    ndarray, shape (steps + 1, ...)
    """
    s, theta, beta = np.broadcast_arrays(*_checked(step, momentum, damping))
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise ValueError(f"steps is {shown(steps)}; it must be an integer >= 0")
    path, buffer = np.ones((steps + 1, *s.shape)), np.zeros(s.shape)
    for k in range(steps):
        buffer = theta * buffer + path[k]
        path[k + 1] = path[k] - s * (buffer + beta * path[k])
    return path


def largest_step(momentum, damping=0.0):
    """The stability limit: Algorithm 1 converges for ``0 < s < s_max`` and for no other s.

    Parameters
    ----------
    momentum : array_like
        ``theta`` in [0, 1).
    damping : array_like
        ``beta``.

    Returns
    -------
    ndarray or float
        ``s_max``; 0 where no step is stable, which is ``beta <= -1/alpha``.
    """
    _, theta, beta = _checked(0.0, momentum, damping)
    alpha = 1.0 - theta
    slope = 1.0 + (1.0 + theta) * beta
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        flip = np.where(slope > 0, 2.0 * (1.0 + theta) / slope, np.inf)       # a root reaches z = -1
        turn = np.where(theta * beta < 0, alpha / (theta * -beta), np.inf)    # a pair reaches |z| = 1
    return np.where(1.0 + alpha * beta > 0, np.minimum(flip, turn), 0.0)[()]


def largest_averaged_step(momentum, damping=0.0):
    """The limit of ``eta lambda/f`` with an averaged buffer; ``2(1+theta)/(alpha + (1+theta) b)`` for b >= 0.

    Parameters
    ----------
    momentum : array_like
        ``theta`` in [0, 1).
    damping : array_like
        b in units of the average, see :func:`from_average`.
    """
    _, theta, b = _checked(0.0, momentum, damping)
    return largest_step(theta, b / (1.0 - theta)) / (1.0 - theta)


def require_stable(step, momentum, damping=0.0):
    """Refuse a step outside ``(0, s_max)``.

    Raises
    ------
    ValueError
        Naming the first step that is out, and its bound.
    """
    s, theta, beta = np.broadcast_arrays(*_checked(step, momentum, damping))
    limit = np.broadcast_to(largest_step(theta, beta), s.shape)
    wrong = np.argwhere(~((s > 0) & (s < limit)))
    if not len(wrong):
        return
    place = tuple(wrong[0])
    where = f"momentum {theta[place]:g} and damping {beta[place]:g}"
    if limit[place] == 0:
        raise ValueError(f"step eta chi lambda/f is {s[place]:g}; none is stable at {where}, where the damping must be "
                         f"> {-1.0 / (1.0 - theta[place]):g}")
    raise ValueError(f"step eta chi lambda/f is {s[place]:g}; it must be > 0 and < {limit[place]:.6g}, the stability "
                     f"limit at {where}")


def oscillation_window(momentum, damping=0.0):
    """Steps between which the roots are complex.

    Parameters
    ----------
    momentum : array_like
        ``theta`` in [0, 1).
    damping : array_like
        ``beta > -1/alpha``.

    Returns
    -------
    low, high : ndarray
        ``s_-``, about ``alpha^2/4`` for small alpha, and ``s_+`` (infinite at ``beta = -1``).

    Raises
    ------
    ValueError
        For ``beta <= -1/alpha``, where nothing is stable.
    """
    _, theta, beta = _checked(0.0, momentum, damping)
    alpha = 1.0 - theta
    require(1.0 + alpha * beta > 0, beta, "damping", "it must be > -1/alpha")
    wide = np.sqrt(1.0 + alpha * beta) + np.sqrt(theta)
    with np.errstate(divide="ignore"):
        return ((alpha / wide) ** 2)[()], ((wide / (1.0 + beta)) ** 2)[()]


def noise_floor(step, momentum, damping=0.0, curvature=1.0, noise=1.0):
    """Stationary variance of w under white gradient noise, exact.

    The loss floor of the mode is ``lambda/2`` times it.

    Parameters
    ----------
    step : array_like
        s, stable.
    momentum, damping : array_like
        ``theta`` in [0, 1) and ``beta``.
    curvature : array_like
        ``lambda`` > 0.
    noise : array_like
        Standard deviation ``sigma`` of the gradient's noise.

    Raises
    ------
    ValueError
        For an unstable step, with the bound.
    """
    require_stable(step, momentum, damping)
    s, theta, beta = _checked(step, momentum, damping)
    alpha, slope = 1.0 - theta, 1.0 + (1.0 + theta) * beta
    above = s * ((1.0 + theta) * (1.0 + alpha * beta) + s * theta * beta * slope)
    below = (alpha + s * theta * beta) * (2.0 * (1.0 + theta) - s * slope)
    return _scale(curvature, noise) * above / below


def small_step_floor(step, momentum, damping=0.0, curvature=1.0, noise=1.0):
    """The limit ``(sigma/lambda)^2 s (1 + alpha beta)/(2 alpha)`` of :func:`noise_floor`; same arguments, any s > 0."""
    s, theta, beta = _checked(step, momentum, damping)
    require(s > 0, s, "step", "it must be > 0")
    alpha = 1.0 - theta
    return _scale(curvature, noise) * s * (1.0 + alpha * beta) / (2.0 * alpha)


def small_step_error(momentum, damping=0.0):
    """Coefficient c of ``small_step_floor / noise_floor = 1 + c s + O(s^2)``.

    Returns
    -------
    ndarray or float
        ``theta beta/alpha - (1+(1+theta) beta) [1/2 + theta beta/(1 + alpha beta)]/(1+theta)``.
    """
    _, theta, beta = _checked(0.0, momentum, damping)
    alpha, slope = 1.0 - theta, 1.0 + (1.0 + theta) * beta
    return (theta * beta / alpha - slope * (0.5 + theta * beta / (1.0 + alpha * beta)) / (1.0 + theta))[()]


def quieter_window(momentum):
    """Steps between which a little Hessian damping lowers the noise floor; outside it raises the floor.

    ``d Var/d beta`` at ``beta = 0`` has the sign of

        alpha + s theta/(1+theta) - s theta/alpha + s (1+theta)/(2 (1+theta) - s) .

    Parameters
    ----------
    momentum : array_like
        ``theta`` in (3/5, 1); below there is no such step.

    Returns
    -------
    low, high : ndarray or float
        About ``alpha^2/theta``, and below the stability limit ``2 (1 + theta)``; NaN where there is none.
    """
    _, theta, _ = _checked(0.0, momentum, 0.0)
    alpha, edge = 1.0 - theta, 2.0 * (1.0 + theta)
    lead = theta / alpha - theta / (1.0 + theta)
    half = 0.5 * (edge * lead - 1.0 - theta + alpha)
    with np.errstate(invalid="ignore", divide="ignore"):
        high = (half + np.sqrt(half * half - lead * edge * alpha)) / lead
        high = np.where(half > 0, high, np.nan)
        return (edge * alpha / (lead * high))[()], high[()]


def _scale(curvature, noise):
    curvature, noise = numbers(curvature, "curvatures"), numbers(noise, "noises")
    require((curvature > 0) & np.isfinite(curvature), curvature, "curvature", "it must be > 0 and finite")
    require((noise >= 0) & np.isfinite(noise), noise, "noise", "it must be >= 0 and finite")
    return (noise / curvature) ** 2


def _checked(step, momentum, damping):
    s, theta, beta = numbers(step, "steps"), numbers(momentum, "momenta"), numbers(damping, "dampings")
    require(np.isfinite(s), s, "step", "it must be finite")
    require((theta >= 0) & (theta < 1), theta, "momentum", "it must be in [0, 1), alpha = 1 - momentum in (0, 1]")
    require(np.isfinite(beta), beta, "damping", "it must be finite")
    return s, theta, beta


def _side(y):
    """-1 where a pair lies left of the imaginary axis, else 1."""
    return np.where(y[..., 0].real < -1.0, -1.0, 1.0)


def _log_modulus(y):
    """``log|1 + y|``."""
    return np.where(y > -1.0, np.log1p(np.maximum(y, -1.0)), np.log(np.abs(1.0 + y)))


def _power(y, k):
    """``(1 + y)^k``, accurate for small y and large k."""
    sign = np.where((y < -1.0) & (k % 2 == 1), -1.0, 1.0)
    return np.where(k == 0, 1.0, sign * np.exp(np.where(k == 0, 0.0, k * _log_modulus(y))))


def _real_quotient(y1, y2, gap, k):
    """``(z1^k - z2^k)/(z1 - z2)`` for real roots, ``|z1| >= |z2|``; its limit where they meet."""
    z1, ratio = 1.0 + y1, (1.0 + y2) / (1.0 + y1)
    width = np.sqrt(np.maximum(gap, 0.0)) / np.abs(z1)                         # 1 - z2/z1 where they have one sign
    near = np.where(width == 0, k, -np.expm1(k * np.log1p(-width)) / width)
    series = np.where(ratio > 0.5, near, (1.0 - ratio**k) / (1.0 - ratio))
    return np.where(z1 == 0, np.where(k == 1, 1.0, 0.0), np.where(k == 0, 0.0, _power(y1, k - 1) * series))

