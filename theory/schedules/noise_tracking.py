r"""Batch sizes that track the gradient noise scale, in the exact recursion: greedy, without a horizon.

At a constant rate eta and with D samples, take

    b_t = max{ 1, c B_t^p } ,      B_t = B_simple = tr(Sigma)/|G|^2   or   B_noise = tr(H Sigma)/(G'HG) ,

with ``p = 1`` or 1/2 (0: a constant batch) and one constant c for the run, the best one in hindsight.  Gradient,
covariance and risk are the expected ones of SGD on linear regression (:mod:`theorycheck.theory.fsl.recursion`),

    |G|^2 = sum lambda^2 m,  G'HG = sum lambda^3 m,  tr Sigma = tr(H) N + (kappa - 2)|G|^2,
    tr(H Sigma) = tr(H^2) N + (kappa - 2) G'HG,      N = sum lambda m + sigma_M^2 .

Such rules look at where the run is; the best schedule of :mod:`.batch_control`, ``b ~ [K(T - t) (S + sigma^2)]^(1/2)``,
looks at how much of it remains.  The rules are those of McCandlish et al. (arXiv 1812.06162) as generally quoted,
the comparison at equal data is derived.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..arguments import number, shown
from ..fsl import recursion
from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression
from .adjoint import check_problem

RULES = {"constant": (0, 0.0), "simple": (0, 1.0), "sqrt_simple": (0, 0.5), "noise": (1, 1.0), "sqrt_noise": (1, 0.5)}
"""Which noise scale (0: simple, 1: curvature weighted) and the power of it that batches follow."""


@dataclass(frozen=True, eq=False)
class Tracking:
    """A run whose batches follow a rule.

    Attributes
    ----------
    rule : str
    scale : float
        c.
    loss : float
        Excess risk when the data are used up.
    batches : ndarray, shape (K,)
        Real batch sizes that add up to the data.
    """

    rule: str
    scale: float
    loss: float
    batches: np.ndarray

    @property
    def steps(self) -> int:
        """K."""
        return self.batches.size


def tracked(problem, data, rate, rule, scale):
    """Run a rule with a given constant.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    data : float
        D >= 1 samples.
    rate : float
        Constant learning rate, > 0 and mean-square stable at batch size 1.
    rule : {"constant", "simple", "sqrt_simple", "noise", "sqrt_noise"}
    scale : float
        c > 0.

    Returns
    -------
    Tracking
        The last batch takes what is left, between 1 and 1 more than the rule's.

    Raises
    ------
    ValueError
        For arguments out of range, with the bound.
    """
    run = _prepared(problem, data, rate, rule)
    return run(_above(scale, "scale"))


def tuned(problem, data, rate, rule, points=72):
    """Run a rule with the constant that gives the smallest final risk.

    The risk jumps a little wherever the number of steps does, and for the rules with p = 1 it has a narrow valley at
    their :func:`threshold`.  Hence grids of log c: one over all that matters and around the threshold, then two finer
    ones, each between the neighbours of the best point so far.

    Parameters
    ----------
    problem, data, rate, rule
        See :func:`tracked`.
    points : int
        Values of c on the first grid, >= 6; a third as many on the finer ones.

    Returns
    -------
    Tracking
    """
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 6:
        raise ValueError(f"points is {shown(points)}; it must be an integer >= 6")
    run = _prepared(problem, data, rate, rule)
    low = 1.0 if RULES[rule][1] == 0.0 else 1e-3
    around = threshold(problem, rate, rule) * np.geomspace(0.9, 2.0, points // 3) if RULES[rule][1] else []
    runs = [run(c) for c in np.unique([*np.geomspace(low, max(2.0 * low, 0.25 * data), points), *around])]
    for _ in range(2):
        best = int(np.argmin([found.loss for found in runs]))
        ends = runs[max(best - 1, 0)].scale, runs[min(best + 1, len(runs) - 1)].scale
        runs += [run(c) for c in np.geomspace(*ends, points // 3 + 2)[1:-1]]
        runs.sort(key=lambda found: found.scale)
    return min(runs, key=lambda found: found.loss)


def threshold(problem, rate, rule):
    """``c* = B^-p`` at the noise scale B that SGD with batches of 1 settles at: below it no batch grows, ever.

    There ``m_j = eta N/(2 - kappa' eta lambda_j)`` with ``kappa' = kappa - 1``, so N drops out of the ratio,

        B_noise = kappa - 2 + tr(H^2)/sum_j [eta lambda_j^3/(2 - kappa' eta lambda_j)] ,

    and for ``B_simple`` the powers of lambda are one lower.  Above c*, larger batches lower the risk, which raises the
    scale they follow: they run away, the sooner the larger c (derived).

    Parameters
    ----------
    problem, rate, rule
        See :func:`tracked`; for the constant rule it is 1.
    """
    spectrum, rate = _resolved(problem, 1.0, rate, rule)
    which, power = RULES[rule]
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    settled = rate / (2.0 - (spectrum.kurtosis - 1.0) * rate * values)
    scale = np.sum(weights * values ** (1 + which)) / np.sum(weights * values ** (2 + which) * settled)
    return float((spectrum.kurtosis - 2.0 + scale) ** -power)


def _prepared(problem, data, rate, rule):
    """A function of c that makes the run; arguments are checked once."""
    data = number(data, "data")
    if not 1 <= data <= 1e8:
        raise ValueError(f"data is {data}; it must be in [1, 1e8]")
    spectrum, rate = _resolved(problem, data, rate, rule)
    values, weights = np.array(spectrum.eigenvalues), np.array(spectrum.multiplicity)
    start = weights * values * spectrum.target_squared
    which, power = RULES[rule]
    out = np.empty(int(data) + 1)

    def run(scale):
        total, steps = _track(start.copy(), values, weights * values**2, spectrum.trace, spectrum.label_variance,
                              spectrum.kurtosis - 2.0, rate, data, scale, which, power, out)
        return Tracking(rule, scale, spectrum.approximation_error + 0.5 * total, out[:steps].copy())

    return run


def _resolved(problem, data, rate, rule):
    """The spectrum, and the rate as a number, stable with batches of 1."""
    check_problem(problem)
    rate = _above(rate, "rate")
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule is {shown(rule)}; it must be one of {', '.join(RULES)}")
    spectrum = problem
    if isinstance(problem, PowerLawRegression):
        spectrum = compress(problem, max(1.0, rate * data), tolerance=1e-6)
    bound = recursion.critical_rate(spectrum, 1)
    if not rate < bound:
        raise ValueError(f"rate is {rate:g}; batches of 1 are mean-square stable below {bound:.6g}")
    return spectrum, rate


@njit(cache=True)
def _track(state, values, push, trace, label_variance, correction, rate, data, scale, which, power, out):
    """``sum y`` at the end and the number of steps; ``state = w lambda m``, ``push = w lambda^2``."""
    left, steps = data, 0
    trace_squared = np.sum(push)
    while left > 0.0:
        total, norm, curvature = 0.0, 0.0, 0.0
        for i in range(state.size):
            pull = values[i] * state[i]
            total += state[i]
            norm += pull
            curvature += values[i] * pull
        noise = total + label_variance
        ratio = (trace * noise / norm if which == 0 else trace_squared * noise / curvature) + correction
        size = max(1.0, scale * ratio**power)
        if left - size < 1.0:
            size = left
        curved, fed = 1.0 + correction / size, rate * rate / size * noise
        for i in range(state.size):
            x = rate * values[i]
            state[i] = state[i] - state[i] * (x * (2.0 - curved * x)) + fed * push[i]
        out[steps] = size
        steps += 1
        left -= size
    return np.sum(state), steps


def _above(value, name):
    value = number(value, name)
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; it must be finite and > 0")
    return value
