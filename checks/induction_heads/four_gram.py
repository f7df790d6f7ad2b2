"""Claims about how the 4-gram is learned, the first of two blocks: escape, and a tail that knows no parameter.

That the 4-gram is learned fast, and its loss then falls like 1/t, is how the paper's statement is known here; the time
of the escape and the constant of the tail are derived.
"""

import math
from functools import cache

import numpy as np

from ...theory.induction_heads import four_gram
from ...theory.induction_heads.population_loss import Task
from .. import judges
from ..claim import claim
from .paper import INDUCTION

WEIGHTS = (1.0, 3.0, 10.0)


@claim("four_gram_sums", topic="induction_heads", paper=INDUCTION, where="Stage II", stance="derived",
       statement="pi_1 = (1-v)/(1-v^N), sum pi_j^2 = tanh(p/2) coth(Np/2) and their p-derivatives, v = e^-p, N = L-2")
def four_gram_sums(effort):
    """Against the sums themselves, N from 2 to 10 000 and Np from 1e-4 to 1e4.

    Tolerance 1e-11: the rounding of the sums for the derivatives, which cancel by up to a factor N.
    """
    return _sums(lambda keys: keys)


@four_gram_sums.control("N = L-1 keys")
def _(effort):
    return _sums(lambda keys: keys + 1)


@four_gram_sums.control("the infinite context's, at finite L")
def _(effort):
    return _sums(lambda keys: math.inf)


def _sums(seen):
    summed, closed, labels = [], [], []
    for keys in (2, 10, 100, 10_000):
        for p in np.array([1e-4, 1e-2, 1.0, 30.0, 1e4]) / keys:
            lag = np.arange(keys)
            weights = np.exp(-p * lag)
            weights /= weights.sum()
            falling = weights * (weights @ lag - lag)   # their derivative by the slope
            summed.append([weights[0], weights @ weights, falling[0], 2.0 * weights @ falling])
            closed.append(four_gram.attention_sums(p, seen(keys)))
            labels.append(f"N={keys} Np={p * keys:g}")
    # derivatives fade like e^(-Np) or Np: in units of p-scale 1 the error is absolute
    return judges.equal(np.array(closed), np.array(summed), rtol=1e-11, atol=1e-13,
                        at={"case": np.array(labels)[:, None]})


@claim("four_gram_escape", topic="induction_heads", paper=INDUCTION, where="phase I", stance="derived",
       statement="time to half of L_G4: (log N)/gamma + O(1) if sigma -> 0 first, log(1/sigma)/gamma + O(1) if N is")
def four_gram_escape(effort):
    """So ``T_I = O(1)`` in sigma holds in a finite context only.  exp(gamma T) as a power of N and of 1/sigma; at fixed
    N the times at sigma = 1e-8 and 1e-12 agree up to N sigma, which a first-order change of the start moves T by.
    """
    return judges.every(**_escape(effort))


@four_gram_escape.control("the rate gamma/2 of heads that still spread over the whole context")
def _(effort):
    return judges.every(**_escape(effort, rate=0.5))


@four_gram_escape.control("a time without sigma in an infinite context as well")
def _(effort):
    return _saturated(math.inf, 1e-3)


def _escape(effort, rate=1.0):
    parts, sizes = {}, np.logspace(3, 6, 7)
    starts = np.logspace(-3, -8, 6)
    for weight in WEIGHTS:
        gamma = rate * Task(weight).four_gram
        long = [four_gram.learning_time(Task(weight, length=int(n) + 2), 1e-10) for n in sizes]
        small = [four_gram.learning_time(Task(weight), sigma) for sigma in starts]
        parts[f"N, alpha={weight:g}"] = judges.exponent(sizes, np.exp(gamma * np.array(long)), 1.0, 0.01, limit="large")
        parts[f"sigma, alpha={weight:g}"] = judges.exponent(1.0 / starts, np.exp(gamma * np.array(small)), 1.0, 0.01,
                                                            limit="large")
    return parts | {"saturation": _saturated(1002, 1e-3)}


def _saturated(length, tolerance):
    times = [four_gram.learning_time(Task(1.0, length=length), sigma) for sigma in (1e-8, 1e-12)]
    return judges.equal(times[0], times[1], rtol=tolerance, over=f"L = {length:g}, sigma = 1e-8 against 1e-12")


@claim("four_gram_tail", topic="induction_heads", paper=INDUCTION, where="phases II to IV", stance="derived",
       statement="t L_G4(t) -> 1/4 for every alpha, sigma, L and d: L_G4 = Theta(1/t) with a universal constant")
def four_gram_tail(effort):
    """``L = 1/(4 (t - T) + O(log t))`` with T about the time of escape: at t = 1e6 a deviation of (T + log t)/t."""
    return _tail(0.25, effort.choose((1e-1, 1e-8), (1e-1, 1e-2, 1e-4, 1e-8)))


@four_gram_tail.control("p = q^2: then t L_G4 ~ 1/(16 p), which tends to 0")
def _(effort):
    return _tail(0.25, encoding="quadratic")


@four_gram_tail.control("1/(4 gamma^2), as if the constant knew the weight")
def _(effort):
    return _tail(lambda task: 0.25 / task.four_gram**2)


@four_gram_tail.control("1/2, that of two trained slopes")
def _(effort):
    return _tail(0.5)


@cache
def _late(weight, sigma, length, dimension, encoding):
    task = Task(weight, length=length, dimension=dimension)
    return (four_gram.four_gram_flow(task, sigma, [1e6], encoding).loss[0] * 1e6,
            four_gram.learning_time(task, sigma) if encoding == "linear" else 0.0)


def _tail(expected, scales=(1e-1,), encoding="linear"):
    seen, wanted, allowed, labels = [], [], [], []
    for weight in WEIGHTS:
        for sigma in scales:
            for length, dimension in ((math.inf, 1), (66, 1), (66, 4)):
                found, escape = _late(weight, sigma, length, dimension, encoding)
                seen.append(found)
                wanted.append(expected(Task(weight)) if callable(expected) else expected)
                allowed.append((escape + 2.0 * math.log(1e6) / Task(weight).four_gram**2) / 1e6)
                labels.append(f"alpha={weight:g} sigma={sigma:g} L={length:g} d={dimension}")
    return judges.equal(np.array(seen) / wanted, 1.0, rtol=max(allowed), at={"case": labels},
                        over="t L_G4 over its limit")
