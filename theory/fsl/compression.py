r"""Compression of a power-law spectrum: a million modes as about 150 weighted nodes.

Everything a linear model's expected risk depends on are sums over modes of

    lambda_j theta*_j^2 P(lambda_j)   and   lambda_j^2 P(lambda_j),        P(lambda) ~ exp(-2 lambda t),

which are smooth in j.  The modes j <= 16 are kept one by one; a panel of consecutive integers ``a < j <= b`` is
replaced by the k-point Gauss rule of the *counting* measure on these integers,

    sum_{j=a+1}^{b} f(j) = sum_{i=1}^{k} w_i f(j_i)    exactly for polynomials of degree 2k - 1 ,

whose nodes and weights come from the recurrence of the discrete Chebyshev (Gram) polynomials on n = b - a points,
``beta_m = m^2 (n^2 - m^2) / (4 (4 m^2 - 1))`` (Gautschi, Orthogonal Polynomials, 2004, Table 1.2).  There is no
continuum limit in it: finite widths are exact in the sense of the rule, weights are positive and count modes.
Panels are halved in log j until rule and halves agree on the forgetting kernel and on the signal,

    K_M(t) = sum_j lambda_j^2 exp(-2 lambda_j t),      e_M(t) = sum_j lambda_j theta*_j^2 exp(-2 lambda_j t),

to a given fraction of their totals at every time up to the horizon.  Modes with ``lambda_j * horizon`` below the
tolerance never move; their exact sum (Hurwitz zeta) goes to the approximation error, which is how an infinite width
is treated.  Construction and error statement are derived here.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import eigh_tridiagonal

from .. import spectra
from .problem import PowerLawRegression, Spectrum

EXACT_MODES = 16
"""Leading modes that are always kept one by one."""

LONGEST = 40.0
"""Horizons are cut at this many times ``M^beta``, where the slowest mode has decayed by ``exp(-80)``."""

MAX_HORIZON = 1e100
"""Longest intrinsic time."""

POINTS_PER_DECADE = 10
"""Times per decade at which rules are compared."""


@dataclass(frozen=True)
class Compression:
    """A compressed spectrum and how good it is.

    Attributes
    ----------
    spectrum : Spectrum
        Nodes with multiplicities.
    error : float
        Largest relative error of ``K_M(t)`` and of ``e_M(t) + 2 delta_M`` over ``0 <= t <= horizon``, estimated by
        the difference between each panel's rule and the rule on its two halves, summed over the panels.
    horizon : float
        Longest intrinsic time for which ``error`` is stated.
    """

    spectrum: Spectrum
    error: float
    horizon: float


def gauss_counting(first, last, nodes):
    """Gauss rule for the sum over the integers ``first < j <= last``.

    Parameters
    ----------
    first, last : int or float
        Whole numbers, ``first < last``.
    nodes : int
        Number of nodes k >= 1; if the range holds at most k integers they are returned with weight one.

    Returns
    -------
    points, weights : ndarray, shape (min(k, last - first),)
        Exact for polynomials of degree up to 2k - 1; weights are positive and add up to ``last - first``.  Read-only.
    """
    first, last = float(first), float(last)
    count = last - first
    if not (math.isfinite(count) and count >= 1 and first.is_integer() and last.is_integer()):
        raise ValueError(f"range is ({first:g}, {last:g}]; it must hold at least one integer and end in whole numbers")
    if nodes != int(nodes) or nodes < 1:
        raise ValueError(f"nodes is {nodes}; it must be an integer >= 1")
    return _rule(first, count, int(nodes))


@lru_cache(maxsize=4096)   # a panel comes back as the half of a larger one, and in other problems
def _rule(first, count, nodes):
    if count <= nodes:
        points, weights = first + np.arange(1.0, count + 1.0), np.ones(int(count))
    else:
        order = np.arange(1.0, nodes)
        off_diagonal = 0.5 * count * order * np.sqrt((1.0 - (order / count) ** 2) / (4.0 * order**2 - 1.0))
        offsets, vectors = eigh_tridiagonal(np.zeros(nodes), off_diagonal)
        points, weights = first + 0.5 * (count + 1.0) + offsets, count * vectors[0] ** 2
    points.setflags(write=False)
    weights.setflags(write=False)
    return points, weights


def compress(problem, horizon=None, nodes=16, tolerance=1e-10):
    """Group the modes of a power-law problem into nodes.

    Parameters
    ----------
    problem : PowerLawRegression
        Finite or infinite width.
    horizon : float, optional
        Longest intrinsic time ``sum eta`` for which the spectrum will be used, > 0.  Required for infinite
        width; the default for finite width covers all times.
    nodes : int
        Nodes per panel, in [4, 40].
    tolerance : float
        Error allowed per panel, in [1e-13, 1e-2]; the total is of the same size because at any one time few panels
        matter.  :func:`compress_with_error` states it.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError
        For a horizon that is missing or not positive, or parameters outside their range.
    """
    return compress_with_error(problem, horizon, nodes, tolerance).spectrum


def compress_with_error(problem, horizon=None, nodes=16, tolerance=1e-10):
    """:func:`compress` together with its error: a :class:`Compression`."""
    if not isinstance(problem, PowerLawRegression):
        raise ValueError(f"only a PowerLawRegression can be compressed, got {type(problem).__name__}")
    if nodes != int(nodes) or not 4 <= nodes <= 40:
        raise ValueError(f"nodes is {nodes}; it must be an integer in [4, 40]")
    if not 1e-13 <= tolerance <= 1e-2:
        raise ValueError(f"tolerance is {tolerance}; it must be in [1e-13, 1e-2]")
    horizon = _horizon(problem, horizon)
    kept = _kept_width(problem, horizon, tolerance)
    times = _comparison_times(horizon)
    exact = float(min(EXACT_MODES, kept))
    points, weights, error = [np.arange(1.0, exact + 1.0)], [np.ones(int(exact))], np.zeros((2, times.size))
    totals = _totals(problem, kept, times, nodes)
    pending = [(exact, kept)] if kept > exact else []
    while pending:
        first, last = pending.pop()
        rule = gauss_counting(first, last, nodes)
        if last - first > nodes:
            middle = min(max(math.floor(math.sqrt(first * last)), first + 1.0), last - 1.0)
            halves = (_sums(problem, times, *gauss_counting(first, middle, nodes))
                      + _sums(problem, times, *gauss_counting(middle, last, nodes)))
            difference = np.abs(_sums(problem, times, *rule) - halves) / totals
            if difference.max() > tolerance:
                pending += [(middle, last), (first, middle)]
                continue
            error += difference
        points.append(rule[0])
        weights.append(rule[1])
    error = error.max() + _frozen_error(problem, kept, horizon, totals)
    j = np.concatenate(points)
    spectrum = Spectrum(
        j**-problem.capacity, j ** -(1.0 + (problem.source - 1.0) * problem.capacity),
        0.5 * spectra.tail_sum(1.0 + problem.difficulty, kept + 1.0), problem.noise,
        multiplicity=np.concatenate(weights), kurtosis=problem.kurtosis)
    return Compression(spectrum, float(error), horizon)


def _horizon(problem, horizon):
    with np.errstate(over="ignore"):
        longest = LONGEST * float(np.float64(problem.width) ** problem.capacity)
    if horizon is None:
        if not math.isfinite(problem.width):
            raise ValueError("horizon is missing; an infinite width needs the longest intrinsic time, > 0")
        return min(longest, MAX_HORIZON)
    if not 0 < horizon <= MAX_HORIZON:
        raise ValueError(f"horizon is {horizon}; it must be in (0, {MAX_HORIZON:g}]")
    return min(float(horizon), longest)


def _kept_width(problem, horizon, tolerance):
    """Modes beyond this one never move (``2 lambda_j horizon < tolerance``) and are no part of the kernel at t = 0."""
    moving = math.ceil((2.0 * horizon / tolerance) ** (1.0 / problem.capacity))
    felt = math.ceil(tolerance ** (-1.0 / (2.0 * problem.capacity - 1.0)))
    return float(min(problem.width, max(moving, felt, EXACT_MODES)))


def _comparison_times(horizon):
    start = min(0.01, horizon)
    count = 2 + math.ceil(POINTS_PER_DECADE * math.log10(horizon / start))
    return np.concatenate([[0.0], np.geomspace(start, horizon, count)])


def _sums(problem, times, j, weights):
    """Contributions of the modes j to ``K(t)`` and ``e(t)``, shape (2, times)."""
    values = j**-problem.capacity
    decay = np.exp(-2.0 * np.outer(times, values))
    return np.stack([decay @ (weights * values**2), decay @ (weights * j ** -(1.0 + problem.difficulty))])


def _totals(problem, kept, times, nodes):
    """``K(t)`` and ``e(t) + 2 delta``, good enough to compare with: octave panels, and at least the slowest mode."""
    edges = np.unique(np.floor(np.append(2.0 ** np.arange(math.log2(kept)), kept)))
    edges = np.concatenate([[0.0], edges[edges > 0]])
    rules = [gauss_counting(a, b, nodes) for a, b in zip(edges[:-1], edges[1:])]
    totals = _sums(problem, times, *(np.concatenate(part) for part in zip(*rules)))
    totals = np.maximum(totals, _sums(problem, times, np.array([kept]), np.ones(1)))
    totals[1] += spectra.tail_sum(1.0 + problem.difficulty, kept + 1.0)
    return totals


def _frozen_error(problem, kept, horizon, totals):
    """What the modes beyond `kept` would have added, relative to the totals."""
    if kept == problem.width:
        return 0.0
    kernel = spectra.tail_sum(2.0 * problem.capacity, kept + 1.0) / totals[0].min()
    moved = 2.0 * horizon * spectra.tail_sum(1.0 + problem.difficulty + problem.capacity, kept + 1.0)
    return max(kernel, moved / totals[1].min())
