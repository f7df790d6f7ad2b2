r"""Judges: from numbers to accepted, rejected or undecided, with a stated probability of error.

Every judge returns an :class:`~theorycheck.checks.claim.Evidence` with ``accepted`` True, False or None
(undecided: the error bars are too wide).  Two kinds of error are stated in each docstring:

- *false alarm*: the statement is true and is rejected; at most ``evidence.false_alarm``.
- *power*: the statement is wrong by a stated amount and is rejected (or at least not accepted).

Deterministic comparisons have false alarm 0.  Where several numbers are compared at once the bound is
family-wise: every one of m comparisons is made at level alpha/m (Bonferroni), which holds whatever the
correlation between them - recorded times of one trajectory are strongly correlated - and is conservative.

Judges with a margin decide three ways from one confidence set C of level 1 - alpha: accepted if C lies
within the margin, rejected if it lies outside, undecided if it straddles the edge.  Acceptance is thus two
one-sided tests (Schuirmann 1987) at level alpha/2 each: a quantity outside the margin is accepted with
probability at most alpha/2, one inside is rejected with probability at most alpha/2.

A measured value that is NaN or infinite is rejected.  A NaN in the expectation, an empty array, shapes that
do not fit or a tolerance out of range is a mistake in the claim: ValueError.

Arguments common to several judges: ``at``, a dict of arrays that broadcast to the data, names the place of
the worst case ("t=100, M=30"); ``over``, a text, says what was swept.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .claim import Evidence

ROUNDING = 1e-12
POWER = 0.99


@dataclass(frozen=True)
class Sample:
    """Means of independent replicas, for :func:`monte_carlo`; an engine ``Estimate`` serves as well.

    Parameters
    ----------
    mean, stderr : array
        Mean over the replicas and its standard error, of equal shape.
    replicas : int
        At least 2.
    skewness : array, optional
        Of a single replica; 0 by default.
    """

    mean: np.ndarray
    stderr: np.ndarray
    replicas: int
    skewness: np.ndarray | float = 0.0


def equal(measured, expected, *, rtol: float = 0.0, atol: float = 0.0, at: dict | None = None,
          over: str = "") -> Evidence:
    """Equality of numbers to a tolerance, everywhere: ``|measured - expected| <= atol + rtol |expected|``.

    Null: equality up to the tolerance.  False alarm 0, power 1: nothing is random.

    Parameters
    ----------
    measured, expected : array or float
        Shapes that broadcast.
    rtol, atol : float
        Not negative, not both 0 unless exact equality is meant.
    at, over
        See the module.
    """
    measured, expected = _pair(measured, expected, "expected")
    _allowed(rtol, "rtol", 0.0, 1.0)
    _allowed(atol, "atol", 0.0, np.inf)
    tolerance = atol + rtol * np.abs(expected)
    error = _badness(np.abs(measured - expected), measured)
    place = _worst(np.where(error <= tolerance, error / np.where(tolerance > 0, tolerance, 1.0), np.inf)
                   if tolerance.any() else error, error)
    text = " + ".join(f"{kind} {value:.3g}" for kind, value in (("relative", rtol), ("absolute", atol)) if value)
    return Evidence((error <= tolerance).all(), float(measured[place]), float(expected[place]), text or "exact",
                    "equal", 0.0, _note(f"largest deviation {error[place]:.3g}", place, at, error, over),
                    {"measured": measured, "expected": expected})


def monte_carlo(estimate, expected, *, alpha: float = 1e-6, resolution: float | None = None,
                at: dict | None = None, over: str = "") -> Evidence:
    r"""Monte Carlo means against exact values, at m places at once.

    Null: the replicas are independent and identically distributed, and their expectation is `expected` at
    every place.  Statistic: :math:`T=(\bar x-\mu)/\mathrm{stderr}`, corrected for the skewness g of a
    replica by Hall's transformation (Hall 1992, J. R. Statist. Soc. B 54, eq. 2.3)

    .. math:: h(T) = T + \frac{g}{3\sqrt R} T^2 + \frac{g^2}{27 R} T^3 + \frac{g}{6\sqrt R},

    which without it would be far outside its nominal tails (means of a skewed risk are more often too
    small than too large).  Rejected if |h| exceeds the two-sided Student quantile with R - 1 degrees of
    freedom at level alpha/m anywhere.

    False alarm: at most alpha; exact for one place and normal replicas.
    Power: a relative deviation of at least the *reach* that the note states, at any one place, is rejected
    with probability 0.99; reach is the largest (quantile + 2.33) stderr/abs(expected).

    Parameters
    ----------
    estimate : Estimate or Sample
        With ``mean``, ``stderr``, ``replicas`` and ``skewness``.
    expected : array or float
        Broadcasts to the means.
    alpha : float
        0 < alpha < 1.
    resolution : float, optional
        Relative deviation that must be detectable.  If the reach is larger, what is not rejected is undecided.
    at, over
        See the module.
    """
    mean, expected = _pair(estimate.mean, expected, "expected")
    stderr = _errors(estimate.stderr, mean.shape)
    skewness = np.broadcast_to(np.asarray(estimate.skewness, float), mean.shape)
    replicas = int(_allowed(estimate.replicas, "replicas", 2, np.inf))
    _level(alpha)
    critical = float(stats.t.isf(alpha / (2 * mean.size), replicas - 1))
    difference = _badness(mean - expected, mean)
    exact = np.abs(difference) <= ROUNDING * np.abs(expected)
    spread = np.where(stderr > 0, stderr, 1.0)
    score = np.where(exact, 0.0, np.where(stderr > 0, _hall(difference / spread, skewness, replicas), np.inf))
    score = np.where(np.isfinite(stderr), score, np.inf)
    place = _worst(np.abs(score), score)
    scale = np.where(expected != 0, np.abs(expected), np.nan)
    with np.errstate(invalid="ignore"):
        reaches = (critical + stats.norm.isf(1 - POWER)) * stderr / scale
    reach = float(np.nanmax(reaches)) if not np.isnan(reaches).all() else math.nan
    accepted = bool((np.abs(score) <= critical).all())
    note = _note(f"worst z {score[place]:.2f} of {mean.size}, {replicas} replicas, reach {reach:.2g}",
                 place, at, score, over)
    if accepted and resolution is not None and not reach <= _allowed(resolution, "resolution", 0.0, np.inf):
        accepted, note = None, note + f"; the error bars are too wide to see a deviation of {resolution:.2g}"
    return Evidence(accepted, f"{mean[place]:.6g} +- {stderr[place]:.2g}", float(expected[place]),
                    f"|z| <= {critical:.2f}", "monte_carlo", alpha, note,
                    {"mean": mean, "stderr": stderr, "expected": expected, "z": score})


def exponent(x, y, expected: float, margin: float, *, stderr=None, limit: str | None = None,
             alpha: float = 1e-3, over: str = "") -> Evidence:
    r"""Exponent of a power law: the slope of log y against log x is within `margin` of `expected`.

    The confidence set comes from a quadratic fit in log x.  Its slope at the two ends of the range,
    :math:`e_1, e_2`, says how far the data are from a straight line, and

    - ``limit=None`` (a power law over the whole range): C spans both end slopes;
    - ``limit="large"`` or ``"small"`` (the exponent approached there): C is the slope at that end plus or
      minus :math:`|e_2-e_1|/2`.  This covers the limit if the correction to the slope decays at least
      like :math:`x^{-k}` with :math:`(x_{max}/x_{min})^k \ge 3`,

    widened on both sides by the statistical error of the end slopes: normal quantiles if `stderr` is given,
    Student quantiles with n - 3 degrees of freedom from the scatter about the fit if it is not.

    Null: ``|slope - expected| <= margin``.  False alarm: at most alpha/2 for noise that is independent
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
    fit = _slopes(x, y, stderr, 4)
    _allowed(margin, "margin", 1e-300, np.inf)
    _level(alpha)
    if isinstance(fit, str):
        return Evidence(False, math.nan, expected, f"+- {margin:g}", "exponent", alpha, fit)
    low, high, middle = _slope_set(fit, limit, alpha)
    accepted = _three_way(low, high, expected - margin, expected + margin)
    note = f"slopes {fit.ends[0]:.4g} to {fit.ends[1]:.4g} over the range, set [{low:.4g}, {high:.4g}]"
    if fit.largest_error > 0.2:
        accepted, note = None, note + f"; a relative error of {fit.largest_error:.2g} is too wide"
    return Evidence(accepted, float(middle), float(expected), f"+- {margin:g}", "exponent", alpha / 2,
                    _join(note, over), fit.arrays)


def local_slopes(x, y, predicted, margin: float, *, stderr=None, alpha: float = 1e-6, over: str = "") -> Evidence:
    """Local log-log slopes against those of a predicted law, which may carry logarithms.

    Both y and `predicted` are differenced between neighbouring x in the same way, so a constant factor
    between them does not matter and there is no discretisation error.

    Null: slopes differ by at most `margin` between all neighbours.  False alarm: 0 without `stderr`, at most
    alpha/2 with it (family-wise).  Power: a deviation beyond the margin anywhere is accepted with
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
    x, y = _curve(x, y, 2)
    predicted = _curve(x, predicted, 2)[1]
    _allowed(margin, "margin", 1e-300, np.inf)
    _level(alpha)
    if not (np.isfinite(predicted) & (predicted > 0)).all():
        raise ValueError("predicted is not positive and finite everywhere; it must be, to have a log-log slope")
    if not (np.isfinite(y) & (y > 0)).all():
        return Evidence(False, math.nan, "positive values", f"+- {margin:g}", "local_slopes", 0.0,
                        "y is not positive and finite everywhere")
    step = np.diff(np.log(x))
    measured, wanted = np.diff(np.log(y)) / step, np.diff(np.log(predicted)) / step
    error = np.zeros_like(measured)
    if stderr is not None:
        relative = _errors(stderr, y.shape) / y
        error = stats.norm.isf(alpha / (2 * len(step))) * np.hypot(relative[1:], relative[:-1]) / step
    deviation = np.abs(measured - wanted)
    accepted = False if (deviation - error > margin).any() else bool((deviation + error <= margin).all()) or None
    worst = int(np.argmax(deviation + error))
    middle = np.sqrt(x[1:] * x[:-1])
    note = f"largest deviation {deviation[worst]:.3g} at x={middle[worst]:.4g}, {len(step)} slopes"
    return Evidence(accepted, float(measured[worst]), float(wanted[worst]), f"+- {margin:g}", "local_slopes",
                    0.0 if stderr is None else alpha / 2, _join(note, over),
                    {"x": middle, "slope": measured, "predicted": wanted, "error": error})


def bounded(ratio, between: tuple | None = None, *, spread: float | None = None, drift: float | None = None,
            along: int = 0, at: dict | None = None, over: str = "") -> Evidence:
    """A ratio stays between positive constants over a sweep: what "~" means on the sizes that were run.

    Null: all given bounds hold.  False alarm 0, power 1 on the grid that was run; that constants exist
    beyond it is what the absence of drift makes plausible and no computation proves.

    Parameters
    ----------
    ratio : array, or sequence of arrays (ragged along axis 0)
        Positive; rejected where it is not.
    between : (float, float), optional
        0 < low < high; ``low <= ratio <= high``.
    spread : float, optional
        At least 1; bound on max/min of the ratio.
    drift : float, optional
        At least 1; along axis `along` the minimum over the last third must not be below the minimum over the
        first third divided by `drift`, nor the maximum above `drift` times that of the first third.
    along : int
        The axis that tends to infinity in the statement (width, say).
    at, over
        See the module; `at` not with ragged sequences.
    """
    slices = _slices(ratio, along)
    if between is None and spread is None and drift is None:
        raise ValueError("bounded has no bound; give at least one of between, spread and drift")
    flat = np.concatenate([piece.ravel() for piece in slices])
    complaints, limits = [], []
    low, high = float(flat.min()), float(flat.max())
    if not (np.isfinite(flat) & (flat > 0)).all():
        complaints.append("not positive and finite everywhere")
    if between is not None:
        if not 0 < between[0] < between[1]:
            raise ValueError(f"between is {between!r}; it must be (low, high) with 0 < low < high")
        limits.append(f"in [{between[0]:g}, {between[1]:g}]")
        if not (between[0] <= low and high <= between[1]):
            complaints.append("leaves the interval")
    if spread is not None:
        limits.append(f"max/min <= {_allowed(spread, 'spread', 1.0, np.inf):g}")
        if not high <= spread * low:
            complaints.append(f"max/min is {high / low if low else math.inf:.4g}")
    note = [over] if over else []
    if drift is not None:
        _allowed(drift, "drift", 1.0, np.inf)
        if len(slices) < 2:
            raise ValueError(f"the axis of the drift has length {len(slices)}; it must be at least 2")
        third = max(1, len(slices) // 3)
        start, end = (np.concatenate([piece.ravel() for piece in part]) for part in (slices[:third], slices[-third:]))
        limits.append(f"drift <= {drift:g}")
        note.append(f"from first to last third: min x{end.min() / start.min():.3g}, max x{end.max() / start.max():.3g}")
        if not (end.min() * drift >= start.min() and end.max() <= drift * start.max()):
            complaints.append("drifts")
    if isinstance(ratio, np.ndarray) and at:
        data = np.asarray(ratio, float)
        note.append("min at " + _place(np.unravel_index(np.argmin(data), data.shape), at, data.shape)
                    + ", max at " + _place(np.unravel_index(np.argmax(data), data.shape), at, data.shape))
    return Evidence(not complaints, f"{low:.4g} .. {high:.4g}", " and ".join(limits), "-", "bounded", 0.0,
                    "; ".join(complaints + note), {"minimum": np.array([piece.min() for piece in slices]),
                                                   "maximum": np.array([piece.max() for piece in slices])})


def inequality(lhs, rhs, *, stderr=None, alpha: float = 1e-6, resolution: float = 0.0, rtol: float = ROUNDING,
               at: dict | None = None, over: str = "") -> Evidence:
    """``lhs <= rhs`` everywhere.

    Without `stderr` (false alarm 0, power 1): accepted if ``lhs <= rhs + rtol |rhs|``, which allows rounding.
    With it, at m places: rejected if ``lhs - q stderr > rhs`` anywhere, accepted if ``lhs + q stderr <= rhs +
    resolution |rhs|`` everywhere, undecided otherwise; q is the normal quantile at level alpha/m.  Then the
    false alarm is at most alpha, and an excess above ``resolution |rhs|`` anywhere is accepted with
    probability at most alpha.

    Parameters
    ----------
    lhs, rhs : array or float
        Shapes that broadcast.  A NaN or +inf on the left is rejected; the right must be finite.
    stderr : array or float, optional
        Standard error of ``lhs - rhs``, normally distributed.
    resolution, rtol : float
        Not negative.
    at, over
        See the module.
    """
    lhs, rhs = _pair(lhs, rhs, "rhs")
    _level(alpha)
    _allowed(rtol, "rtol", 0.0, np.inf)
    _allowed(resolution, "resolution", 0.0, np.inf)
    scale = np.where(rhs != 0, np.abs(rhs), 1.0)
    excess = np.where(np.isneginf(lhs), -np.inf, _badness(lhs - rhs, lhs))
    if stderr is None:
        accepted, error, false_alarm = bool((excess <= rtol * np.abs(rhs)).all()), np.zeros(lhs.shape), 0.0
    else:
        error = stats.norm.isf(alpha / lhs.size) * _errors(stderr, lhs.shape)
        false_alarm = alpha
        within = excess + error <= (resolution + rtol) * np.abs(rhs)
        accepted = False if not (excess - error <= rtol * np.abs(rhs)).all() else bool(within.all()) or None
    place = _worst((excess + error) / scale, excess)
    return Evidence(accepted, float(lhs[place]), f"<= {rhs[place]:.6g}", f"+- {error[place]:.2g}", "inequality",
                    false_alarm, _note(f"worst relative margin {-excess[place] / scale[place]:.3g}", place, at,
                                       excess, over), {"lhs": lhs, "rhs": rhs})


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
    fit = _slopes(h, errors, None, 3)
    _allowed(margin, "margin", 1e-300, np.inf)
    expects = f">= {expected:g}" if at_least else float(expected)
    if isinstance(fit, str):
        return Evidence(False, math.nan, expects, f"+- {margin:g}", "order", 0.0, fit)
    low, high, middle = _slope_set(fit, "small", None)
    accepted = _three_way(low, high, expected - margin, np.inf if at_least else expected + margin)
    note = f"set [{low:.4g}, {high:.4g}], slope of the smallest pair {fit.arrays['slope'][0]:.4g}"
    return Evidence(accepted, float(middle), expects, f"+- {margin:g}", "order", 0.0, _join(note, over), fit.arrays)


def sign_change(x, values, expected: float, *, width: float | None = None, stderr=None, alpha: float = 1e-6,
                over: str = "") -> Evidence:
    """A phase boundary: the values change sign once, in a bracket that contains `expected`.

    The bracket reaches from the last x with one sign to the first with the other; a value that is 0, or
    within its error bar of 0, has no sign.  Null: one change of sign, at `expected`.  False alarm: 0, or at
    most alpha with `stderr` (family-wise).  Power: a boundary outside the bracket is rejected; the note
    gives the bracket.

    Parameters
    ----------
    x : array, shape (n,), n >= 2
        Distinct.
    values : array, shape (n,)
        Finite (rejected otherwise).
    expected : float
        Between the smallest and the largest x.
    width : float, optional
        Positive.  Undecided if the bracket is wider.
    stderr : array, optional
        Standard errors of the values.
    """
    x, values = _curve(x, values, 2, positive=False)
    _level(alpha)
    if not x[0] <= expected <= x[-1]:
        raise ValueError(f"expected is {expected!r}; it must be between {x[0]:g} and {x[-1]:g}, where there are values")
    error, false_alarm = np.zeros_like(values), 0.0
    if stderr is not None:
        error = stats.norm.isf(alpha / (2 * len(x))) * _errors(stderr, values.shape)
        false_alarm = alpha
    arrays = {"x": x, "values": values, "error": error}
    sign = np.where(np.isfinite(values) & (np.abs(values) > error), np.sign(values), 0.0)
    decided = np.flatnonzero(sign)
    changes = np.flatnonzero(np.diff(sign[decided]))
    bracket = (float(x[decided[changes[0]]]), float(x[decided[changes[0] + 1]])) if len(changes) == 1 else None
    if not np.isfinite(values).all():
        accepted, note = False, "a value is not finite"
    elif bracket is None:
        accepted = None if not len(changes) and len(decided) < len(x) else False
        note = f"{len(changes)} changes of sign, {len(x) - len(decided)} values without a sign"
    else:
        accepted, note = bracket[0] <= expected <= bracket[1], f"bracket of width {bracket[1] - bracket[0]:.3g}"
        if accepted and width is not None and bracket[1] - bracket[0] > _allowed(width, "width", 0.0, np.inf):
            accepted, note = None, note + f" is wider than {width:g}"
    return Evidence(accepted, "-" if bracket is None else f"in [{bracket[0]:.6g}, {bracket[1]:.6g}]",
                    float(expected), "the bracket", "sign_change", false_alarm, _join(note, over), arrays)


def every(*evidences: Evidence, **named: Evidence) -> Evidence:
    """All of several pieces of evidence: rejected if one is, else undecided if one is, else accepted.

    Null: all their nulls.  False alarm: at most the sum of theirs.  Power: that of the most sensitive one.

    Parameters
    ----------
    *evidences, **named : Evidence
        At least one; names label the parts in the text and prefix their arrays.
    """
    parts = [(str(number + 1), part) for number, part in enumerate(evidences)] + list(named.items())
    if not parts or not all(isinstance(part, Evidence) for _, part in parts):
        raise ValueError(f"every got {len(parts)} pieces; it must be given one or more Evidence objects")
    decisions = [part.accepted for _, part in parts]
    accepted = False if False in decisions else (None if None in decisions else True)
    shown = [(name, part) for name, part in parts if part.accepted == accepted]

    def text(attribute):
        return "; ".join(f"{name}: {_plain(getattr(part, attribute))}" for name, part in shown)

    return Evidence(accepted, text("measured"), text("expected"), text("tolerance"), "every",
                    min(1.0, sum(part.false_alarm for _, part in parts)),
                    f"{decisions.count(True)} of {len(parts)} accepted; " + text("note"),
                    {f"{name}.{key}": array for name, part in parts for key, array in part.arrays.items()})


@dataclass(frozen=True)
class _SlopeFit:
    """Quadratic fit of log y in log x: slopes at the small and large end, their errors, and what to draw."""

    ends: tuple
    error: float
    freedom: float
    largest_error: float
    arrays: dict


def _slopes(x, y, stderr, least):
    x, y = _curve(x, y, least)
    if not (np.isfinite(y) & (y > 0)).all():
        return "y is not positive and finite everywhere"
    relative = np.ones_like(y) if stderr is None else _errors(stderr, y.shape) / y
    if stderr is not None and not (relative > 0).all():
        raise ValueError("stderr is 0 somewhere; it must be positive (leave it out for exact values)")
    t, value = np.log(x), np.log(y)
    middle, half = (t[0] + t[-1]) / 2, (t[-1] - t[0]) / 2
    z = (t - middle) / half
    design = np.stack([np.ones_like(z), z, z * z], axis=1) / relative[:, None]
    basis, triangle = np.linalg.qr(design)
    coefficients = np.linalg.solve(triangle, basis.T @ (value / relative))
    ends = np.array([[0.0, 1.0, -2.0], [0.0, 1.0, 2.0]]) / half
    errors = np.linalg.norm(np.linalg.solve(triangle.T, ends.T), axis=0)
    freedom = math.inf
    if stderr is None:
        freedom = len(x) - 3
        residual = value - (design @ coefficients)
        errors = errors * (math.sqrt(residual @ residual / freedom) if freedom else 0.0)
    arrays = {"x": np.sqrt(x[1:] * x[:-1]), "slope": np.diff(value) / np.diff(t)}
    return _SlopeFit(tuple(ends @ coefficients), float(errors.max()), freedom,
                     0.0 if stderr is None else float(relative.max()), arrays)


def _slope_set(fit, limit, alpha):
    """Lower end, upper end and middle of the set C of :func:`exponent`; alpha None leaves the scatter out."""
    small, large = fit.ends
    middles = {None: (small + large) / 2, "small": small, "large": large}
    if limit not in middles:
        raise ValueError(f"limit is {limit!r}; it must be None, 'small' or 'large'")
    width = abs(large - small) / 2
    if alpha is not None:
        width += fit.error * float(stats.t.isf(alpha / 2, fit.freedom) if math.isfinite(fit.freedom)
                                   else stats.norm.isf(alpha / 2))
    middle = middles[limit]
    return middle - width, middle + width, middle


def _three_way(low, high, bottom, top):
    if bottom <= low and high <= top:
        return True
    return False if low > top or high < bottom else None


def _hall(score, skewness, replicas):
    g = np.nan_to_num(skewness) / math.sqrt(replicas)
    return score + g / 3 * score**2 + g**2 / 27 * score**3 + g / 6


def _pair(measured, expected, name):
    measured, expected = np.asarray(measured, float), np.asarray(expected, float)
    try:
        measured, expected = np.broadcast_arrays(measured, expected)
    except ValueError:
        raise ValueError(f"shapes {measured.shape} and {expected.shape} do not fit; they must broadcast") from None
    if not measured.size:
        raise ValueError("there is nothing to compare: the arrays are empty; at least one value is needed")
    if not np.isfinite(expected).all():
        raise ValueError(f"{name} is not finite everywhere; it must be")
    return measured, expected


def _curve(x, y, least, positive=True):
    """x and y sorted by x, validated; y may still hold anything."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < least:
        raise ValueError(f"x and y have shapes {x.shape} and {y.shape}; they must be (n,) with n >= {least}")
    if not np.isfinite(x).all() or (positive and not (x > 0).all()) or len(np.unique(x)) < len(x):
        raise ValueError(f"x must be finite{', positive' if positive else ''} and distinct")
    sorting = np.argsort(x)
    return x[sorting], y[sorting]


def _slices(ratio, along):
    if isinstance(ratio, list | tuple):
        pieces = [np.asarray(piece, float) for piece in ratio]
    else:
        data = np.asarray(ratio, float)
        if data.ndim and not -data.ndim <= along < data.ndim:
            raise ValueError(f"along is {along}; it must be an axis of the ratio, which has {data.ndim}")
        pieces = list(np.moveaxis(np.atleast_1d(data), along, 0))
    if not pieces or not all(piece.size for piece in pieces):
        raise ValueError("there is nothing to compare: the ratio is empty; at least one value is needed")
    return pieces


def _errors(stderr, shape):
    try:
        errors = np.broadcast_to(np.asarray(stderr, float), shape)
    except ValueError:
        raise ValueError(f"stderr has shape {np.shape(stderr)}; it must fit {shape}") from None
    if np.isnan(errors).any() or (errors < 0).any():
        raise ValueError("stderr is negative or NaN somewhere; it must be >= 0")
    return errors


def _allowed(value, name, low, high):
    if not (np.ndim(value) == 0 and low <= value <= high):
        raise ValueError(f"{name} is {value!r}; it must be between {low:g} and {high:g}")
    return value


def _level(alpha):
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha!r}; it must be between 0 and 1, ends excluded")


def _badness(error, measured):
    """The error, infinite where the measured value is not finite."""
    return np.where(np.isfinite(measured), error, np.inf)


def _worst(badness, _error):
    return np.unravel_index(int(np.argmax(badness)), badness.shape)


def _place(index, at, shape):
    if at:
        labels = {name: np.broadcast_to(np.asarray(values), shape)[index] for name, values in at.items()}
        return ", ".join(f"{name}={_plain(value)}" for name, value in labels.items())
    return f"index {', '.join(str(int(number)) for number in index)}" if index else ""


def _note(text, place, at, data, over):
    where = _place(place, at, data.shape)
    return _join(text + (f" at {where}" if where else ""), over)


def _join(text, over):
    return f"{text}; {over}" if over else text


def _plain(value):
    return value if isinstance(value, str) else f"{value:.6g}"
