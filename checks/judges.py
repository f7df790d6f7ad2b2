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
probability at most alpha/2, one inside is rejected with probability at most alpha.

A measured value that is NaN or infinite is rejected.  A NaN in the expectation, an empty array, shapes that
do not fit or a tolerance out of range is a mistake in the claim: ValueError.

Arguments common to several judges: ``at``, a dict of arrays that broadcast to the data, names the place of
the worst case ("t=100, M=30"); ``over``, a text, says what was swept.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .arguments import above_zero, at_least, level, pair, sorted_curve, standard_errors
from .claim import Evidence
from .slopes import exponent, local_slopes, order

ROUNDING = 1e-12
POWER = 0.99
LARGEST_SKEWNESS = 0.5

__all__ = ["Sample", "bounded", "equal", "every", "exponent", "inequality", "local_slopes", "monte_carlo", "order",
           "sign_change"]


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
    measured, expected = pair(measured, expected, "expected")
    at_least(rtol, "rtol", 0.0)
    at_least(atol, "atol", 0.0)
    tolerance = atol + rtol * np.abs(expected)
    error = _badness(np.abs(measured - expected), measured)
    with np.errstate(invalid="ignore", divide="ignore"):
        place = _worst(np.where(error > 0, error / tolerance, 0.0))
    text = " + ".join(f"{kind} {value:.3g}" for kind, value in (("relative", rtol), ("absolute", atol)) if value)
    return Evidence((error <= tolerance).all(), float(measured[place]), float(expected[place]), text or "exact",
                    "equal", 0.0, _note(f"worst deviation {error[place]:.3g}", place, at, error.shape, over),
                    {"measured": measured, "expected": expected})


def monte_carlo(estimate, expected, *, alpha: float = 1e-6, resolution: float | None = None,
                at: dict | None = None, over: str = "") -> Evidence:
    r"""Monte Carlo means against exact values, at m places at once.

    Null: the replicas are independent and identically distributed, and their expectation is `expected` at
    every place.  Statistic: :math:`T=(\bar x-\mu)/\mathrm{stderr}`, corrected for the skewness g of a
    replica by Hall's transformation (Hall 1992, J. R. Statist. Soc. B 54, 221)

    .. math:: h(T) = T + \frac{g}{3\sqrt R} T^2 + \frac{g^2}{27 R} T^3 + \frac{g}{6\sqrt R},

    without which T would be far outside its nominal tails (for an exponential risk, R = 200 and level 1e-4
    the lower tail is ten times too heavy: a mean that is too small comes with a stderr that is too small).
    Rejected if |h| exceeds the two-sided Student quantile q with R - 1 degrees of freedom at level alpha/m
    anywhere.  A place where :math:`|g| q/\sqrt R > 1/2` is beyond the reach of the correction and left
    undecided; it takes more replicas.

    False alarm: at most alpha, exact for one place and normal replicas; for skewed ones the tails agree to
    a factor 1.5 (measured on exponential, chi-square and lognormal replicas, R >= 200, levels 1e-2 to 1e-4).
    Power: a relative deviation of at least the *reach* that the note states, at any one place, is rejected
    with probability 0.99; reach is the largest (q + 2.33) stderr/abs(expected).

    Parameters
    ----------
    estimate : Estimate or Sample
        With ``mean``, ``stderr``, ``replicas`` and ``skewness``; if it has ``diverged`` replicas nothing is decided.
    expected : array or float
        Broadcasts to the means.
    alpha : float
        0 < alpha < 1.
    resolution : float, optional
        Relative deviation that must be detectable.  If the reach is larger, what is not rejected is undecided.
    at, over
        See the module.
    """
    mean, expected = pair(estimate.mean, expected, "expected")
    stderr = standard_errors(estimate.stderr, mean.shape)
    skewness = np.broadcast_to(np.asarray(estimate.skewness, float), mean.shape)
    replicas = int(at_least(estimate.replicas, "replicas", 2))
    level(alpha)
    critical = float(stats.t.isf(alpha / (2 * mean.size), replicas - 1))
    exact = np.abs(mean - expected) <= ROUNDING * np.abs(expected)
    known = np.isfinite(mean) & np.isfinite(stderr)
    usable = known & (stderr > 0)
    skewness = np.where(usable & np.isfinite(skewness), skewness, 0.0) / math.sqrt(replicas)
    score = _hall(np.where(usable, mean - expected, 0.0) / np.where(usable, stderr, 1.0), skewness)
    score = np.where(exact, 0.0, np.where(usable, score, np.inf))
    trusted = (np.abs(skewness) * critical <= LARGEST_SKEWNESS) | (stderr <= ROUNDING * np.abs(expected))
    place = _worst(np.abs(score))
    reach = (critical + float(stats.norm.isf(1 - POWER))) * stderr[expected != 0] / np.abs(expected[expected != 0])
    reach = float(reach.max()) if reach.size else math.nan
    note = _note(f"worst z {score[place]:.2f} of {mean.size}, {replicas} replicas, reach {reach:.2g}",
                 place, at, score.shape, over)
    lost = len(getattr(estimate, "diverged", ()))
    if lost:   # the expectation over survivors is another one than what was computed, so neither verdict would be fair
        accepted, note = None, note + f"; {lost} of {replicas + lost} replicas diverged and are not in the mean"
    elif (trusted & (np.abs(score) > critical)).any():
        accepted = False
    elif not trusted.all():
        needed = replicas * (float(np.abs(skewness).max()) * critical / LARGEST_SKEWNESS) ** 2
        accepted, note = None, note + f"; too skewed for so few replicas, try {needed:.2g}"
    elif resolution is not None and not reach <= at_least(resolution, "resolution", 0.0):
        accepted, note = None, note + f"; the error bars are too wide to see a deviation of {resolution:.2g}"
    else:
        accepted = True
    return Evidence(accepted, f"{mean[place]:.6g} +- {stderr[place]:.2g}", float(expected[place]),
                    f"|z| <= {critical:.2f}", "monte_carlo", alpha, note,
                    {"mean": mean, "stderr": stderr, "expected": expected, "z": score})


def bounded(ratio, between: tuple | None = None, *, spread: float | None = None, drift: float | None = None,
            change: float | None = None, sizes=None, along: int = 0, at: dict | None = None,
            over: str = "") -> Evidence:
    """A ratio stays between positive constants over a sweep: what "~" means on the sizes that were run.

    Null: all given bounds hold.  False alarm 0, power 1 on the grid that was run; that constants exist
    beyond it is what the absence of drift makes plausible and no computation proves.  `drift` sees a wrong
    exponent only where it moves the smallest or the largest ratio of a slice, in either direction; `change` sees it
    at every place.  Both compare ends that are a factor a apart in size: an exponent of the size that is wrong by
    more than log(bound)/log(a) where the term rules is rejected, and `sizes` has the note say this number.

    Parameters
    ----------
    ratio : array, or sequence of arrays (ragged along axis 0)
        Positive; rejected where it is not.
    between : (float, float), optional
        0 < low < high; ``low <= ratio <= high``.
    spread : float, optional
        At least 1; bound on max/min of the ratio.
    drift : float, optional
        At least 1; from the first third along axis `along` to the last, neither the minimum nor the maximum may
        change by more than this factor, up or down.
    change : float, optional
        At least 1; at every place on the other axes, the ratio may not change by more than this factor, up or down,
        from the first slice to the last.  For slices of one shape whose places correspond.
    sizes : array, shape (length of axis `along`,), optional
        Positive, increasing: what tends to infinity, for the note.
    along : int
        The axis that tends to infinity in the statement (width, say).
    at, over
        See the module; no `at` for ragged sequences.
    """
    slices, data = _slices(ratio, along)
    if between is None and spread is None and drift is None and change is None:
        raise ValueError("bounded has no bound; give at least one of between, spread, drift and change")
    if (drift is not None or change is not None) and len(slices) < 2:
        raise ValueError(f"the axis of the drift has length {len(slices)}; it must be at least 2")
    sizes = _sizes(sizes, len(slices))
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
        limits.append(f"max/min <= {at_least(spread, 'spread', 1.0):g}")
        if not high <= spread * low:
            complaints.append(f"max/min is {high / low if low else math.inf:.4g}")
    note = [over] if over else []
    if drift is not None:
        at_least(drift, "drift", 1.0)
        third = max(1, len(slices) // 3)
        start, end = (np.concatenate([piece.ravel() for piece in part]) for part in (slices[:third], slices[-third:]))
        limits.append(f"drift <= {drift:g}")
        moved = _moved(np.array([start.min(), start.max()]), np.array([end.min(), end.max()]))
        note.append(f"from first to last third: min x{moved[0]:.3g}, max x{moved[1]:.3g}"
                    + _detects(drift, sizes, third - 1, len(slices) - third))
        if not _within(moved, drift):
            complaints.append("drifts")
    if change is not None:
        at_least(change, "change", 1.0)
        if slices[0].shape != slices[-1].shape:
            raise ValueError(f"first and last slice have shapes {slices[0].shape} and {slices[-1].shape}; they must be "
                             "equal for a change at each place")
        limits.append(f"change <= {change:g}")
        moved = _moved(slices[0], slices[-1])
        note.append(f"at one place from first to last: x{moved.min():.3g} to x{moved.max():.3g}"
                    + _detects(change, sizes, 0, len(slices) - 1))
        if not _within(moved, change):
            complaints.append("changes")
    if at:
        if data is None:
            raise ValueError("at is given for a ragged ratio; it must be left out, or the ratio be an array")
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
    lhs, rhs = pair(lhs, rhs, "rhs")
    level(alpha)
    at_least(rtol, "rtol", 0.0)
    at_least(resolution, "resolution", 0.0)
    scale = np.where(rhs != 0, np.abs(rhs), 1.0)
    excess = np.where(np.isneginf(lhs), -np.inf, _badness(lhs - rhs, lhs))
    if stderr is None:
        accepted, error, false_alarm = bool((excess <= rtol * np.abs(rhs)).all()), np.zeros(lhs.shape), 0.0
    else:
        error = stats.norm.isf(alpha / lhs.size) * standard_errors(stderr, lhs.shape)
        false_alarm = alpha
        within = excess + error <= (resolution + rtol) * np.abs(rhs)
        accepted = False if not (excess - error <= rtol * np.abs(rhs)).all() else bool(within.all()) or None
    place = _worst((excess + error) / scale)
    return Evidence(accepted, float(lhs[place]), f"<= {rhs[place]:.6g}", f"+- {error[place]:.2g}", "inequality",
                    false_alarm, _note(f"worst relative margin {-excess[place] / scale[place]:.3g}", place, at,
                                       excess.shape, over), {"lhs": lhs, "rhs": rhs})


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
    x, values, stderr = sorted_curve(x, values, 2, stderr, positive=False)
    level(alpha)
    if not x[0] <= expected <= x[-1]:
        raise ValueError(f"expected is {expected!r}; it must be between {x[0]:g} and {x[-1]:g}, where there are values")
    error, false_alarm = np.zeros_like(values), 0.0
    if stderr is not None:
        error = stats.norm.isf(alpha / (2 * len(x))) * stderr
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
        if accepted and width is not None and bracket[1] - bracket[0] > above_zero(width, "width"):
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


def _hall(score, g):
    """Hall's transformation; g is the skewness over the root of the number of replicas."""
    return score + g / 3 * score**2 + g**2 / 27 * score**3 + g / 6


def _moved(start, end):
    """End over start; what is no ratio counts as moved without bound."""
    sound = np.isfinite(start) & np.isfinite(end) & (start > 0) & (end > 0)
    return np.where(sound, end, np.inf) / np.where(sound, start, 1.0)


def _within(moved, bound):
    """No factor beyond the bound, up or down, rounding allowed."""
    return bool((np.maximum(moved, 1.0 / moved) <= bound * (1.0 + ROUNDING)).all())


def _sizes(sizes, count):
    if sizes is None:
        return None
    sizes = np.asarray(sizes, float)
    if sizes.shape != (count,) or not (np.isfinite(sizes).all() and sizes[0] > 0 and (np.diff(sizes) > 0).all()):
        raise ValueError(f"sizes is {sizes.tolist()}; it must be {count} positive numbers that increase")
    return sizes


def _detects(bound, sizes, first, last):
    if sizes is None:
        return ""
    return f" (sees an exponent wrong by {math.log(bound) / math.log(sizes[last] / sizes[first]):.2g})"


def _slices(ratio, along):
    """The slices along an axis, and the whole array, None if it is ragged."""
    try:
        data = np.asarray(ratio, float)
    except ValueError:
        data, pieces = None, [np.asarray(piece, float) for piece in ratio]
    else:
        if data.ndim and not -data.ndim <= along < data.ndim:
            raise ValueError(f"along is {along}; it must be an axis of the ratio, which has {data.ndim}")
        pieces = list(np.moveaxis(np.atleast_1d(data), along, 0))
    if not pieces or not all(piece.size for piece in pieces):
        raise ValueError("there is nothing to compare: the ratio is empty; at least one value is needed")
    return pieces, data


def _badness(error, measured):
    """The error, infinite where the measured value is not finite."""
    return np.where(np.isfinite(measured), error, np.inf)


def _worst(badness):
    return np.unravel_index(int(np.argmax(badness)), badness.shape)


def _place(index, at, shape):
    if at:
        labels = {name: np.broadcast_to(np.asarray(values), shape)[index] for name, values in at.items()}
        return ", ".join(f"{name}={_plain(value)}" for name, value in labels.items())
    return f"index {', '.join(str(int(number)) for number in index)}" if index else ""


def _note(text, place, at, shape, over):
    where = _place(place, at, shape)
    return _join(text + (f" at {where}" if where else ""), over)


def _join(text, over):
    return f"{text}; {over}" if over else text


def _plain(value):
    return value if isinstance(value, str) else f"{value:.6g}"
