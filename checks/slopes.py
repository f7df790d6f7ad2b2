"""Slopes of a curve on logarithmic axes, with what is known of their errors, and the judges of slopes.

A power law y = C x^p is a straight line of slope p in (log x, log y).  A least-squares parabola through the
data tells the slope at both ends of the range,

    log y = c0 + c1 z + c2 z^2,   z = (log x - middle)/half in [-1, 1],   e_small, e_large = (c1 -+ 2 c2)/half,

and the difference of the two tells how far the data are from a straight line.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from .arguments import above_zero, finite, level, sorted_curve
from .claim import Evidence

IMPROPER = "a value is not positive and finite, so it has no logarithm"


@dataclass(frozen=True)
class EndSlopes:
    """Slopes of log y against log x at the two ends of a range.

    Attributes
    ----------
    small, large : float
        Slope at the smallest and at the largest x.
    error : float
        The larger of their standard errors.
    freedom : float
        Degrees of freedom that `error` was estimated with: inf if the errors of y were given, else n - 3.
    largest_error : float
        Largest relative standard error of y (0 if not given).
    arrays : dict
        ``x`` (geometric middles) and ``slope`` of neighbouring points.
    """

    small: float
    large: float
    error: float
    freedom: float
    largest_error: float
    arrays: dict = field(repr=False, compare=False)


def end_slopes(x, y, stderr=None) -> EndSlopes:
    """Fit the parabola and return the slopes at its ends.

    Parameters
    ----------
    x, y : arrays, shape (n,), n >= 3
        Sorted by x, positive.
    stderr : array, optional
        Standard errors of y, positive.  Without them every point weighs the same in log y and the error is
        estimated from the scatter about the parabola (0 for n = 3).
    """
    relative = np.ones_like(y) if stderr is None else stderr / y
    t, value = np.log(x), np.log(y)
    half = (t[-1] - t[0]) / 2
    z = (t - (t[0] + t[-1]) / 2) / half
    design = np.stack([np.ones_like(z), z, z * z], axis=1) / relative[:, None]
    basis, triangle = np.linalg.qr(design)
    coefficients = np.linalg.solve(triangle, basis.T @ (value / relative))
    ends = np.array([[0.0, 1.0, -2.0], [0.0, 1.0, 2.0]]) / half
    error = float(np.linalg.norm(np.linalg.solve(triangle.T, ends.T), axis=0).max())
    freedom = math.inf
    if stderr is None:
        freedom = len(x) - 3
        residual = value - design @ coefficients
        error *= math.sqrt(residual @ residual / freedom) if freedom else 0.0
    small, large = ends @ coefficients
    arrays = {"x": np.sqrt(x[1:] * x[:-1]), "slope": np.diff(value) / np.diff(t)}
    return EndSlopes(float(small), float(large), error, freedom,
                     0.0 if stderr is None else float(relative.max()), arrays)


def exponent(x, y, expected: float, margin: float, *, stderr=None, limit: str | None = None,
             alpha: float = 1e-3, over: str = "") -> Evidence:
    r"""Exponent of a power law: the slope of log y against log x is within `margin` of `expected`.

    The confidence set C comes from a parabola in log x.  Its slopes at the two ends, :math:`e_1, e_2`, say
    how far the data are from a straight line, and

    - ``limit=None`` (a power law over the whole range): C spans both end slopes;
    - ``limit="large"`` or ``"small"`` (the exponent approached there): the parabola is fitted to the half
      of the points nearest to that end (at least 4), and C is its slope there plus or minus
      :math:`|e_2-e_1|/2`.  With a range of that half from a to b this covers the limit if the correction
      to the slope decays at least like :math:`x^{-k}` with :math:`(b/a)^k \ge 3`,

    widened on both sides by the statistical error of the end slopes: normal quantiles if `stderr` is given,
    Student quantiles with n - 3 degrees of freedom from the scatter about the fit if it is not.

    Null: ``|slope - expected| <= margin``.  False alarm: at most alpha for noise that is independent
    between points.  Power: a slope outside the margin is accepted with probability at most alpha/2, and
    rejected once it is outside by the width of C.

    Parameters
    ----------
    x, y : arrays, shape (n,), n >= 4
        x positive and distinct; y must be positive (rejected otherwise).
    expected, margin : float
        Exponent and half-width of the equivalence region, margin > 0.
    stderr : array, optional
        Standard errors of y, independent between points.  Undecided if one exceeds y/5, where the logarithm
        is no longer linear.
    limit : {None, "large", "small"}
    alpha : float
    """
    x, y, stderr = sorted_curve(x, y, 4, stderr)
    finite(expected, "expected")
    above_zero(margin, "margin")
    level(alpha)
    if stderr is not None and not (stderr > 0).all():
        raise ValueError("stderr is 0 somewhere; it must be positive (leave it out for exact values)")
    if not _positive(y):
        return Evidence(False, math.nan, expected, f"+- {margin:g}", "exponent", alpha, IMPROPER)
    low, high, middle, fit = _slope_set(x, y, stderr, limit, alpha)
    accepted = _three_way(low, high, expected - margin, expected + margin)
    note = f"slopes {fit.small:.4g} to {fit.large:.4g}, set [{low:.4g}, {high:.4g}]"
    if fit.largest_error > 0.2:
        accepted, note = None, note + f"; a relative error of {fit.largest_error:.2g} is too wide"
    return Evidence(accepted, float(middle), float(expected), f"+- {margin:g}", "exponent", alpha,
                    "; ".join(filter(None, (note, over))), fit.arrays)


def local_slopes(x, y, predicted, margin: float, *, stderr=None, alpha: float = 1e-6, over: str = "") -> Evidence:
    """Local log-log slopes against those of a predicted law, which may carry logarithms.

    Both y and `predicted` are differenced between neighbouring x in the same way, so a constant factor
    between them does not matter and there is no discretisation error.

    Null: slopes differ by at most `margin` between all neighbours.  False alarm: 0 without `stderr`, at most
    alpha with it (family-wise).  Power: a deviation beyond the margin anywhere is accepted with
    probability at most alpha/2 (never, without `stderr`).

    Parameters
    ----------
    x, y : arrays, shape (n,), n >= 2
        x positive and distinct; y positive (rejected otherwise).
    predicted : array, shape (n,)
        Values of the law at x, positive, any constant factor.
    margin : float
        Positive.
    stderr : array, optional
        Standard errors of y, independent between points.
    """
    predicted = sorted_curve(x, predicted, 2)[1]
    x, y, stderr = sorted_curve(x, y, 2, stderr)
    above_zero(margin, "margin")
    level(alpha)
    if not _positive(predicted):
        raise ValueError("predicted is not positive and finite everywhere; it must be, to have a log-log slope")
    if not _positive(y):
        return Evidence(False, math.nan, "positive values", f"+- {margin:g}", "local_slopes", 0.0, IMPROPER)
    step = np.diff(np.log(x))
    measured, wanted = np.diff(np.log(y)) / step, np.diff(np.log(predicted)) / step
    error = np.zeros_like(measured)
    if stderr is not None:
        relative = stderr / y
        error = stats.norm.isf(alpha / (2 * len(step))) * np.hypot(relative[1:], relative[:-1]) / step
    deviation = np.abs(measured - wanted)
    accepted = False if (deviation - error > margin).any() else bool((deviation + error <= margin).all()) or None
    worst = int(np.argmax(deviation + error))
    middle = np.sqrt(x[1:] * x[:-1])
    note = f"largest deviation {deviation[worst]:.3g} at x={middle[worst]:.4g}, {len(step)} slopes"
    return Evidence(accepted, float(measured[worst]), float(wanted[worst]), f"+- {margin:g}", "local_slopes",
                    0.0 if stderr is None else alpha, "; ".join(filter(None, (note, over))),
                    {"x": middle, "slope": measured, "predicted": wanted, "error": error})


def order(h, errors, expected: float, margin: float, *, at_least: bool = False, over: str = "") -> Evidence:
    """Order of convergence: errors behave like ``h**expected`` as h tends to 0.

    The set C is that of :func:`exponent` with ``limit="small"``.  Null: the order is within `margin` of
    `expected` (with `at_least`: not below ``expected - margin``).  Deterministic: false alarm 0 if the
    correction to the leading order is itself a power of h resolved as stated there.  Power: an order wrong
    by more than margin plus the width of C is rejected.

    Parameters
    ----------
    h : array, shape (n,), n >= 3
        Step sizes, positive and distinct.
    errors : array, shape (n,)
        Positive (rejected otherwise); keep them above the rounding of what is compared.
    """
    h, errors, _ = sorted_curve(h, errors, 3)
    finite(expected, "expected")
    above_zero(margin, "margin")
    expects = f">= {expected:g}" if at_least else float(expected)
    if not _positive(errors):
        return Evidence(False, math.nan, expects, f"+- {margin:g}", "order", 0.0, IMPROPER)
    low, high, middle, fit = _slope_set(h, errors, None, "small", None)
    accepted = _three_way(low, high, expected - margin, np.inf if at_least else expected + margin)
    note = f"set [{low:.4g}, {high:.4g}], slope of the smallest pair {fit.arrays['slope'][0]:.4g}"
    note = "; ".join(filter(None, (note, over)))
    return Evidence(accepted, float(middle), expects, f"+- {margin:g}", "order", 0.0, note, fit.arrays)


def _slope_set(x, y, stderr, limit, alpha):
    """Lower end, upper end and middle of the set C of :func:`exponent`, and the fit; alpha None: no scatter."""
    if limit not in (None, "small", "large"):
        raise ValueError(f"limit is {limit!r}; it must be None, 'small' or 'large'")
    near = max(3 if alpha is None else 4, (len(x) + 1) // 2)
    part = {None: slice(None), "small": slice(near), "large": slice(-near, None)}[limit]
    fit = end_slopes(x[part], y[part], None if stderr is None else stderr[part])
    middle = {None: (fit.small + fit.large) / 2, "small": fit.small, "large": fit.large}[limit]
    width = abs(fit.large - fit.small) / 2
    if alpha is not None:
        law = stats.norm if math.isinf(fit.freedom) else stats.t(fit.freedom)
        width += fit.error * float(law.isf(alpha / 2))
    return middle - width, middle + width, middle, fit


def _three_way(low, high, bottom, top):
    if bottom <= low and high <= top:
        return True
    return False if low > top or high < bottom else None


def _positive(values):
    return bool((np.isfinite(values) & (values > 0)).all())
