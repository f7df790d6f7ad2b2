r"""Judges of medians over seeds: intervals between order statistics, which need no law of the errors.

Of R independent values with a continuous law, ``x_(k) <= median <= x_(R+1-k)`` fails with probability

    2 P(Bin(R, 1/2) <= k - 1)

whatever that law is; k is the largest for which this is at most the level.  Errors of trained networks are skewed and
have outliers, which this does not mind.  Of m medians every one is given the level alpha/m (Bonferroni), so all
intervals hold at once with probability 1 - alpha, and one confidence set decides: accepted if all of it is within the
bounds, rejected if it is outside at some place, else undecided.  False alarm, and acceptance of what is false: at most
alpha.  Values of different cells may depend on each other (they share seeds).
"""

import numpy as np
from scipy import stats

from ..arguments import level
from ..claim import Evidence

ALPHA = 1e-3
"""Level of all intervals of one judgement together."""


def intervals(values, alpha=ALPHA) -> tuple[np.ndarray, np.ndarray]:
    """Intervals for the medians of cells, all of them right with probability 1 - alpha: two arrays of shape (m,).

    Parameters
    ----------
    values : array_like, shape (m, R)
    alpha : float
        0 < alpha < 1.

    Raises
    ------
    ValueError
        If R values are too few for the level.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    cells, replicas = values.shape
    each = level(alpha) / cells
    rank = int(stats.binom.ppf(each / 2, replicas, 0.5))
    while rank > 0 and 2 * stats.binom.cdf(rank - 1, replicas, 0.5) > each:
        rank -= 1
    if rank < 1:
        raise ValueError(f"there are {replicas} replicas; an interval of level {each:.2g} needs at least "
                         f"{int(np.ceil(1 - np.log2(each)))}")
    ordered = np.sort(values, axis=1)
    return ordered[:, rank - 1], ordered[:, replicas - rank]


def between(values, low, high, *, alpha=ALPHA, at=None) -> Evidence:
    """Every median lies in [low, high].

    Parameters
    ----------
    values : array_like, shape (m, R)
        NaN or infinite ones are rejected.
    low, high : float or array_like, shape (m,)
    alpha : float
    at : sequence, optional
        Names of the cells, m of them.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    lower, upper = intervals(values, alpha)
    return _decided(values, np.median(values, axis=1), lower, upper, low, high, alpha, at, "median")


def ratio(first, second, low, high, *, alpha=ALPHA, at=None) -> Evidence:
    """Every ratio of two medians of positive values lies in [low, high].  Parameters as in :func:`between`.

    One second cell serves all of the first.
    """
    first, second = (np.atleast_2d(np.asarray(values, dtype=float)) for values in (first, second))
    (over_low, over_high), (under_low, under_high) = (intervals(values, alpha / 2) for values in (first, second))
    return _decided(np.concatenate([first.ravel(), second.ravel()]), np.median(first, axis=1) /
                    np.median(second, axis=1), over_low / under_high, over_high / under_low, low, high, alpha, at,
                    "ratio of medians")


def _decided(values, found, lower, upper, low, high, alpha, at, what):
    low, high = (np.broadcast_to(np.asarray(bound, dtype=float), found.shape) for bound in (low, high))
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise ValueError(f"bounds are {low.tolist()} and {high.tolist()}; the lower must not exceed the upper")
    names = [str(place) for place in (range(len(found)) if at is None else at)]
    outside, inside = (lower > high) | (upper < low), (lower >= low) & (upper <= high)
    if not np.isfinite(values).all() or outside.any():
        accepted = False
    else:
        accepted = bool(inside.all()) or None
    with np.errstate(divide="ignore"):
        badness = np.maximum(np.log(upper / high), np.log(np.where(low > 0, low, 1e-300) / lower))
    worst = int(np.argmax(np.where(outside, np.inf, badness)))
    text = "; ".join(f"{name}: {value:.3g} in [{a:.2g}, {b:.2g}]"
                     for name, value, a, b in zip(names, found, lower, upper, strict=True))
    return Evidence(accepted, f"{found[worst]:.3g} in [{lower[worst]:.2g}, {upper[worst]:.2g}]",
                    f"{what} in [{low[worst]:.3g}, {high[worst]:.3g}]", f"level {alpha:g}", "medians", alpha, text,
                    {"median": found, "lower": lower, "upper": upper})
