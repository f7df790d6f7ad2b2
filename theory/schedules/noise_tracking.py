r"""Batch sizes that track the gradient noise scale, in the exact recursion: greedy, without a horizon.

At a constant rate eta and with D samples, take

    b_t = max{ 1, c B_t^p } ,      B_t = B_simple = tr(Sigma)/|G|^2   or   B_noise = tr(H Sigma)/(G'HG) ,

with ``p = 1`` or 1/2 (0: a constant batch) and one constant c for the run, the best one in hindsight.  Gradient,
covariance and risk are the expected ones of SGD on linear regression (:mod:`theorycheck.theory.fsl.recursion`),

    |G|^2 = sum lambda^2 m,  G'HG = sum lambda^3 m,  tr Sigma = tr(H) N + (kappa - 2)|G|^2,
    tr(H Sigma) = tr(H^2) N + (kappa - 2) G'HG,      N = sum lambda m + sigma_M^2 .

Such rules look at where the run is; the best schedule of :mod:`.batch_control`, ``b ~ [K(T - t) (S + sigma^2)]^(1/2)``,
looks at how much of it remains.  A rule with p = 1 can come near it, but only where c lies within a vanishing distance
of the edge at which its batches begin to grow (:func:`edge`), that is, where c has been told the horizon.

The rules are those of McCandlish et al. (arXiv 1812.06162) as generally quoted,
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
        The rule's batches as long as they fit into the data; what is left, less than one more, is spread over them in
        proportion.  So they exceed the rule's by less than one batch in all, and the risk is all but continuous in c;
        a small last batch would add its noise, up to double the risk, and make the best c a matter of luck.

    Raises
    ------
    ValueError
        For arguments out of range, with the bound.
    """
    run = _prepared(problem, data, rate, rule)
    return run(_above(scale, "scale"))


def tuned(problem, data, rate, rule, points=72):
    """Run a rule with the constant that gives the smallest final risk.

    At or below the :func:`edge` all batches are 1.  Above it, the risk as a function of ``log(c/edge - 1)`` was found
    to have one valley about a decade wide, anywhere from 1e-6 to 100 (apart from jumps with the number of steps):
    hence a grid of that logarithm from 1e-12 to where the first batch takes everything, then two finer ones, each
    between the neighbours of the best point so far.

    Parameters
    ----------
    problem, data, rate, rule
        See :func:`tracked`.
    points : int
        Values of c on the first grid, >= 24; a third as many on the finer ones.

    Returns
    -------
    Tracking
    """
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 24:
        raise ValueError(f"points is {shown(points)}; it must be an integer >= 24")
    run, (least, largest) = _prepared(problem, data, rate, rule), _range(problem, data, rate, rule)
    losses = {-0.5: run(0.5 / largest).loss}
    finer = np.geomspace(1e-12, 2.0 * float(data) * largest / least, points)
    for _ in range(3):
        losses.update((float(x), run((1.0 + x) / largest).loss) for x in finer)
        excess = sorted(losses)
        best = max(min(range(len(excess)), key=lambda i: losses[excess[i]]), 1)
        ends = excess[max(best - 1, 1)], excess[min(best + 1, len(excess) - 1)]
        finer = np.geomspace(*ends, points // 3 + 2)[1:-1]
    return run((1.0 + min(losses, key=losses.get)) / largest)


def edge(problem, data, rate, rule):
    """``c_D = min_t B_t^-p`` along the D steps of a run with batches of 1: up to it all are 1, above it some grow.

    After batches of 1 so far, the next is larger just where ``c B_t^p > 1``.  As D grows, c_D comes close to
    :func:`threshold`: from above where B rises towards the scale it settles at, while one that overshoots leaves c_D
    below, for every D.

    Parameters
    ----------
    problem, data, rate, rule
        See :func:`tracked`; for the constant rule it is 1.
    """
    return 1.0 / _range(problem, data, rate, rule)[1]


def threshold(problem, rate, rule):
    """``c* = B^-p`` at the noise scale B that SGD with batches of 1 settles at.

    There ``m_j = eta N/(2 - kappa' eta lambda_j)`` with ``kappa' = kappa - 1``, so N drops out of the ratio,

        B_noise = kappa - 2 + tr(H^2)/sum_j [eta lambda_j^3/(2 - kappa' eta lambda_j)] ,

    and for ``B_simple`` the powers of lambda are one lower.  With p = 1 there is no other constant at which batches
    settle: m is about proportional to 1/b, so B is to b, and b' = (c/c*) b up to the delay with which m follows.  Above
    c* larger batches lower the risk, which raises the scale they follow: they run away, the sooner the larger c
    (derived).

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
    spectrum, data, rate = _arguments(problem, data, rate, rule)
    start, model = _state(spectrum, rate)
    which, power = RULES[rule]
    out = np.empty(int(data) + 1)

    def run(scale):
        steps, used = _follow(start.copy(), *model, spectrum.trace, data, scale, which, power, out)
        batches = out[:steps] * (data / used) if steps else np.array([data])
        total = _final(start.copy(), *model, batches)
        return Tracking(rule, scale, spectrum.approximation_error + 0.5 * total, batches)

    return run


def _range(problem, data, rate, rule):
    """The smallest and the largest ``B_t^p`` of a run with batches of 1."""
    spectrum, data, rate = _arguments(problem, data, rate, rule)
    start, model = _state(spectrum, rate)
    if not start.any():
        raise ValueError("target_squared is 0 everywhere; without a gradient at the start there is no noise scale")
    return _extremes(start, *model, spectrum.trace, int(data), *RULES[rule])


def _state(spectrum, rate):
    """``w lambda m`` at the start, and what its recursion is made of."""
    values, weights = np.array(spectrum.eigenvalues), np.array(spectrum.multiplicity)
    model = values, weights * values**2, spectrum.label_variance, spectrum.kurtosis - 2.0, rate
    return weights * values * spectrum.target_squared, model


def _arguments(problem, data, rate, rule):
    """The spectrum, the data and the rate, as numbers in range."""
    data = number(data, "data")
    if not 1 <= data <= 1e8:
        raise ValueError(f"data is {data}; it must be in [1, 1e8]")
    spectrum, rate = _resolved(problem, data, rate, rule)
    return spectrum, data, rate


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
def _follow(state, values, push, label_variance, correction, rate, trace, data, scale, which, power, out):
    """Batches of the rule as long as they fit into the data: how many, and the samples they use."""
    used, steps, trace_squared = 0.0, 0, np.sum(push)
    while steps < out.size:
        noise, seen = _scale(state, values, label_variance, correction, trace, trace_squared, which)
        size = max(1.0, scale * seen**power)
        if used + size > data:
            break
        _step(state, values, push, correction, rate, size, noise)
        out[steps] = size
        steps += 1
        used += size
    return steps, used


@njit(cache=True)
def _extremes(state, values, push, label_variance, correction, rate, trace, steps, which, power):
    """The smallest and the largest power of the noise scale before each of that many steps with batches of 1."""
    low, high, trace_squared = np.inf, 0.0, np.sum(push)
    for _ in range(steps):
        noise, seen = _scale(state, values, label_variance, correction, trace, trace_squared, which)
        if not seen < np.inf:
            break
        low, high = min(low, seen**power), max(high, seen**power)
        _step(state, values, push, correction, rate, 1.0, noise)
    return low, high


@njit(cache=True)
def _scale(state, values, label_variance, correction, trace, trace_squared, which):
    """N and the noise scale."""
    total, norm, curvature = 0.0, 0.0, 0.0
    for i in range(state.size):
        pull = values[i] * state[i]
        total += state[i]
        norm += pull
        curvature += values[i] * pull
    noise = total + label_variance
    if not curvature > 0.0:   # no gradient left
        return noise, np.inf
    return noise, (trace * noise / norm if which == 0 else trace_squared * noise / curvature) + correction


@njit(cache=True)
def _final(state, values, push, label_variance, correction, rate, batches):
    """``sum y`` after all batches."""
    for size in batches:
        _step(state, values, push, correction, rate, size, np.sum(state) + label_variance)
    return np.sum(state)


@njit(cache=True)
def _step(state, values, push, correction, rate, size, noise):
    """One step of the second moments: ``state = w lambda m``, ``push = w lambda^2``."""
    curved, fed = 1.0 + correction / size, rate * rate / size * noise
    for i in range(state.size):
        x = rate * values[i]
        state[i] = state[i] - state[i] * (x * (2.0 - curved * x)) + fed * push[i]


def _above(value, name):
    value = number(value, name)
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; it must be finite and > 0")
    return value
