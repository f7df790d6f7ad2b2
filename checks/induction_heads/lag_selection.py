"""Claims: what H heads that attend by position alone make of the lag i, at every position and exactly.

Where the statement is an identity between rational functions, it is checked in rational arithmetic at random rational
nodes: no tolerance is needed.
"""

from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np

from ...sims import streams
from ...theory.induction_heads import lag_selection as selection
from .. import judges
from ..claim import claim
from .paper import INDUCTION

LAGS = (1, 2, 3, 4)


@claim("lag_error", topic="induction_heads", paper=INDUCTION, where="Approximation, IH_n", stance="derived",
       statement="Vandermonde weights, all s > i: sum_j |w_j(s) - delta_ji| = |sum_{m<i} (-1)^m e_{H-m}|/prod(1-u_h)")
def lag_error(effort):
    """Lags 1..5, H = i..i+6, random nodes up to 0.96, s = i+1, i+2, i+5 and 40: equal as fractions."""
    return _identity(effort, selection.value_weights)


@lag_error.control("value weights without the normaliser 1/(1 - u_h)")
def _(effort):
    return _identity(effort, selection.lag_weights)


@lag_error.control("value weights with the normaliser of position i + 1")
def _(effort):
    return _identity(effort, lambda nodes, lag: [w * (1 - u**lag) / (1 - u) for w, u in
                                                 zip(selection.lag_weights(nodes, lag), nodes)])


@claim("lag_error_rate", topic="induction_heads", paper=INDUCTION, where="Approximation, IH_n", stance="derived",
       statement="nodes U h/H: E_i ~ sqrt(2 pi H/(1-U)) (H/U)^(i-1) e_{i-1}(1/h) e^{-kappa H}, kappa = entropy(U)/U")
def lag_error_rate(effort):
    """U = 1/4, 1/2, 4/5, lags 1..4, H to 60 (full: 120).  The tolerance is the next order, derived in :func:`_rate`."""
    return _rate(effort, selection.spaced_error_law)


@lag_error_rate.control("kappa = 1 - log U, without the integral of -log(1 - t)")
def _(effort):
    return _rate(effort, lambda heads, largest, lag: selection.spaced_error_law(heads, largest, lag)
                 * np.exp((selection.decay_rate(largest) - 1 + np.log(largest)) * heads))


@lag_error_rate.control("without the factor sqrt(H)")
def _(effort):
    return _rate(effort, lambda heads, largest, lag: selection.spaced_error_law(heads, largest, lag) / np.sqrt(heads))


@lag_error_rate.control("(H/U)^(i-1) without e_{i-1}(1, 1/2, ..., 1/H)")
def _(effort):
    return _rate(effort, lambda heads, largest, lag: selection.spaced_error_law(heads, largest, lag)
                 / float(selection.elementary_symmetric([1 / h for h in range(1, heads + 1)])[lag - 1]))


@claim("lag_error_few_heads", topic="induction_heads", paper=INDUCTION, where="Approximation, IH_n", stance="derived",
       statement="H = i heads on nodes U h/H reach any accuracy: E_i / U -> (i + 1)/2 as U -> 0")
def lag_error_few_heads(effort):
    """Lags 1..8 at U = 1e-6 in rational arithmetic; the next order is at most i U, of which twice is allowed."""
    return _few(lambda lag: (lag + 1) / 2)


@lag_error_few_heads.control("i/2, the mean of (h - 1)")
def _(effort):
    return _few(lambda lag: lag / 2)


@claim("folding", topic="induction_heads", paper=INDUCTION, where="Approximation, IH_n", stance="derived",
       statement="any weights, s > i: w_j(s) = sum_k w_{j+k(s-1)}(inf), so the error of a lag is largest for s = inf")
def folding(effort):
    """Random nodes up to 0.95 and random, Vandermonde and least-squares weights; s to 200, lags 1..4.

    This closes the gap that a normaliser which depends on s would leave in a proof of the n-gram theorem.
    """
    return _folding(effort, "exponential")


@folding.control("heads whose weights are powers of the lag, j^{-p}")
def _(effort):
    return _folding(effort, "power")


@claim("finite_normaliser", topic="induction_heads", paper=INDUCTION, where="Approximation, IH_n", stance="derived",
       statement="value weights alpha_h (1-u_h^T)/(1-u_h), T >= i: error at most 2 E_i, any s > i (T = H among them)")
def finite_normaliser(effort):
    """A normaliser of finitely many terms in the values, not that of the position: T = i, H and 2H, in fractions."""
    return _truncated(effort, lambda lag, heads: (lag, heads, 2 * heads))


@finite_normaliser.control("T < i: the normaliser of fewer lags than are fetched")
def _(effort):
    return _truncated(effort, lambda lag, heads: range(1, lag))


@cache
def _random_nodes(heads, replica, largest=960):
    """Distinct thousandths below `largest`, a set for each replica."""
    words = streams.words(streams.key(0, "induction_heads.nodes"), replica, heads, 8 * heads)
    chosen = list(dict.fromkeys(1 + int(word) % (largest - 1) for word in words))[:heads]
    return tuple(Fraction(number, 1000) for number in sorted(chosen))


def _identity(effort, weights):
    """Errors at finite positions against the closed form, as fractions: how many differ, the worst by its factor."""
    worst, count, wrong = 1.0, 0, 0
    for lag in range(1, 6):
        for heads in range(lag, lag + 7):
            for replica in range(effort.choose(2, 10)):
                nodes = _random_nodes(heads, replica)
                values, expected = weights(nodes, lag), selection.vandermonde_error(nodes, lag)
                for position in (lag + 1, lag + 2, lag + 5, 40):
                    found = selection.lag_error(nodes, values, lag, position)
                    count, wrong = count + 1, wrong + (found != expected)
                    worst = max(worst, float(found / expected), key=lambda factor: abs(factor - 1.0))
    return judges.equal(wrong, 0, over=f"fractions that differ, of {count}; worst factor {worst:.6g}")


def _rate(effort, law):
    """Ratio to the law, less 1.

    Stirling and Euler-Maclaurin leave ``(1 + U^2/(1-U))/(12 H)``, and the term m = i - 2 of the alternating sum
    ``-U e_{i-2}/(H e_{i-1})``, the e_k of 1/h; half as much again is allowed for what follows.
    """
    heads = np.array(effort.choose((12, 20, 40, 60), (12, 20, 40, 60, 90, 120)))
    misses, allowed = [], []
    for largest in (Fraction(1, 4), Fraction(1, 2), Fraction(4, 5)):
        for lag in LAGS:
            for count in heads.tolist():
                harmonic = selection.elementary_symmetric([1 / h for h in range(1, count + 1)])
                below = float(largest) * harmonic[lag - 2] / harmonic[lag - 1] if lag > 1 else 0.0
                exact = selection.vandermonde_error(selection.spaced_nodes(count, largest), lag)
                misses.append(abs(float(exact) / law(count, float(largest), lag) - 1.0))
                allowed.append(1.5 * ((1 + float(largest)**2 / (1 - float(largest))) / 12 + below) / count)
    shape = (3, len(LAGS), heads.size)
    return judges.inequality(np.reshape(misses, shape), np.reshape(allowed, shape),
                             at={"U": np.array([0.25, 0.5, 0.8])[:, None, None], "i": np.array(LAGS)[:, None],
                                 "H": heads}, over="|E/law - 1|")


def _few(limit):
    small, lags = Fraction(1, 10**6), range(1, 9)
    found = [float(selection.vandermonde_error(selection.spaced_nodes(lag, small), lag) / small) for lag in lags]
    return judges.every(**{f"i={lag}": judges.equal(value, limit(lag), rtol=2e-6 * lag)
                           for lag, value in zip(lags, found)})


def _folding(effort, shape):
    """Kernels at s against the folded infinite one, and their errors against its error."""
    far, gaps, finite, infinite = 4000, [], [], []
    for replica in range(effort.choose(6, 40)):
        heads = 1 + replica % 6
        u = np.array([float(node) for node in _random_nodes(heads, replica, 950)])
        draws = streams.normals(streams.key(0, "induction_heads.values"), replica, 0, heads).astype(float)
        lag = 1 + replica % 4
        far_kernels = _profiles(u, far, shape)
        normal = far_kernels.sum(axis=0)
        fitted = np.linalg.lstsq(far_kernels / normal, np.arange(far) == lag - 1.0, rcond=None)[0]
        for values in (draws, fitted):
            unlimited = (far_kernels / normal) @ values
            for position in (lag + 1, lag + 2, 7, 20, 200):
                if position <= lag:
                    continue
                here = _profiles(u, position - 1, shape)
                weights = (here / here.sum(axis=0)) @ values
                gaps.append(np.abs(weights - selection.folded(unlimited, position - 1)).max() / np.abs(values).sum())
                for kernel, errors in ((weights, finite), (unlimited, infinite)):
                    errors.append(np.abs(kernel - (np.arange(kernel.size) == lag - 1)).sum())
    return judges.every(identity=judges.equal(gaps, 0.0, atol=1e-12, over="relative to sum |c_h|"),
                        worst=judges.inequality(finite, infinite, rtol=1e-10))


def _profiles(u, lags, shape):
    j = np.arange(lags)[:, None]
    return u**j if shape == "exponential" else (j + 1.0) ** (np.log(u) - 1.0)


def _truncated(effort, terms):
    measured, bound = [], []
    for replica in range(effort.choose(1, 6)):
        for lag, more in product(range(1, 5), range(5)):
            heads = lag + more
            nodes = _random_nodes(heads, replica)
            alpha = selection.lag_weights(nodes, lag)
            for count in terms(lag, heads):
                values = [weight * (1 - u**count) / (1 - u) for weight, u in zip(alpha, nodes)]
                for position in (lag + 1, lag + 3, 30, 60):
                    measured.append(float(selection.lag_error(nodes, values, lag, position)))
                    bound.append(2.0 * float(selection.vandermonde_error(nodes, lag)))
    return judges.inequality(measured, bound)
