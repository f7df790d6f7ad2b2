r"""Heavy-ball momentum: the exact second moments, their adjoint, and the best schedules of rate and momentum.

Model.  One-pass SGD on linear regression (:mod:`theorycheck.theory.fsl.recursion`) with momentum ``beta_t``,

    v <- beta_t v + g ,      u <- u - eta_t v ,      u the error, g the gradient of a batch of size m.

Per mode ``A = E u^2``, ``B = E u v``, ``V = E v^2`` close, since products of different modes never feed back into them:

    G  = c lambda^2 A + lambda (S + sigma_M^2)/m ,     S = sum_j lambda_j A_j ,   c = 1 + (kappa - 2)/m ,
    V' = beta^2 V + 2 beta lambda B + G ,     C = beta B + lambda A ,
    A' = A - 2 eta C + eta^2 V' ,             B' = C - eta V' ,           excess risk = delta_M + S/2 ,

which at ``beta = 0`` is the recursion without momentum.  Run backwards, the adjoints (a, b, v) of (A, B, V) obey

    w = v' + eta^2 a' - eta b' ,      z = b' - 2 eta a' ,
    a = a' + lambda z + c lambda^2 w + lambda (sum_j lambda_j w_j)/m   (the sum over modes),
    b = 2 beta lambda w + beta z ,    v = beta^2 w ,
    dE/d eta = sum [2 a' (eta V' - C) - b' V'] ,     dE/d beta = sum [2 w (beta V + lambda B) + z B] .

*Constant* eta and beta are mean-square stable iff ``eta lambda < 2 (1 + beta)`` and ``r < 1`` with

    r = sum_j (q_j/m)/(1 - (kappa - 2) q_j/m) ,     q = eta lambda (1 + beta)/{(1 - beta) [2 (1 + beta) - eta lambda]}

(the stationary A per unit of noise; derived), which at ``beta = 0`` is the condition without momentum.

*Optimum.*  L-BFGS in ``log eta`` and ``log(beta/(1 - beta))``, from several constants and from shorter runs.  The
problem is not convex: what is found is an upper bound of the least risk.  That momentum schedules help in the hard
phase is the abstract of Bordelon & Mori (arXiv 2602.04774), whose text was not at hand; the equations are derived.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.optimize import brentq, minimize

from .. import learning_rates
from ..arguments import number, numbers, shown
from ..fsl import recursion
from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression, Spectrum
from .adjoint import check_problem
from .optimal_control import optimal_rates

LARGEST_MOMENTUM = 1.0 - 1e-6
"""Momentum is kept below this in the search."""


@dataclass(frozen=True, eq=False)
class MomentumGradient:
    """The final excess risk of a heavy-ball run and its derivatives.

    Attributes
    ----------
    loss : float
    by_rate, by_momentum : ndarray, shape (K,)
        ``dE/d eta_t`` and ``dE/d beta_t``.
    """

    loss: float
    by_rate: np.ndarray
    by_momentum: np.ndarray


@dataclass(frozen=True, eq=False)
class MomentumControl:
    """The best schedules of rate and momentum that were found.

    Attributes
    ----------
    rates, momenta : ndarray, shape (K,)
    loss : float
        Excess risk after the last step.
    loss_without : float
        That of the best rates without momentum; not smaller than ``loss`` unless momentum was forced to zero.
    spectrum : Spectrum
        What was solved for.
    """

    rates: np.ndarray
    momenta: np.ndarray
    loss: float
    loss_without: float
    spectrum: object

    @property
    def gain(self) -> float:
        """``1 - loss/loss_without``."""
        return 1.0 - self.loss / self.loss_without


def heavy_ball_risk(problem, rates, momentum=0.0, batch_size=1):
    """Expected excess risk of heavy-ball SGD before the first and after every step, exactly.

    Parameters
    ----------
    problem : Spectrum or PowerLawRegression
        A power law is compressed for the run's intrinsic time, lengthened by ``1/(1 - beta)``.
    rates : Schedule or array_like, shape (K,)
    momentum : number or array_like, shape (K,)
        ``beta_t`` in [0, 1).
    batch_size : number
        m > 0.

    Returns
    -------
    ndarray, shape (K + 1,)

    Raises
    ------
    ValueError
        For arguments out of range, and where the risk overflows, with the largest stable rate.
    """
    spectrum, rates, momenta, size = _arguments(problem, rates, momentum, batch_size)
    values, weights = np.array(spectrum.eigenvalues), np.array(spectrum.multiplicity)
    states = np.empty((rates.size + 1, 3, values.size))
    risks = np.empty(rates.size + 1)
    _forward(rates, momenta, size, values, weights, np.array(spectrum.target_squared), spectrum.label_variance,
             spectrum.kurtosis - 2.0, states, risks)
    _refuse_overflow(risks[-1], spectrum, rates, momenta, size)
    return spectrum.approximation_error + 0.5 * risks


def heavy_ball_gradient(problem, rates, momentum=0.0, batch_size=1):
    """Differentiate the final excess risk with respect to every rate and every momentum.

    Parameters, errors: as in :func:`heavy_ball_risk`.

    Returns
    -------
    MomentumGradient
        O(K n) operations and memory for n nodes.
    """
    spectrum, rates, momenta, size = _arguments(problem, rates, momentum, batch_size)
    total, by_rate, by_momentum = _Objective(spectrum, size, rates.size)(rates, momenta)
    _refuse_overflow(total, spectrum, rates, momenta, size)
    return MomentumGradient(spectrum.approximation_error + 0.5 * total, 0.5 * by_rate, 0.5 * by_momentum)


def noise_ratio(spectrum, rate, momentum=0.0, batch_size=1):
    """``r`` above, ``inf`` where a single mode diverges; the constant run is stable below 1."""
    _modes(spectrum)
    rate, beta, size = _above(rate, "rate"), _momentum(momentum), _above(batch_size, "batch_size")
    x = rate * spectrum.eigenvalues
    room = 2.0 * (1.0 + beta) - x
    if not room.min() > 0:
        return math.inf
    q = x * (1.0 + beta) / ((1.0 - beta) * room)
    left = 1.0 - (spectrum.kurtosis - 2.0) / size * q
    return float(spectrum.sum(q / size / left)) if left.min() > 0 else math.inf


def critical_rate(spectrum, momentum=0.0, batch_size=1):
    """Rate at which :func:`noise_ratio` reaches one, at a constant momentum."""
    _modes(spectrum)
    momentum, batch_size = _momentum(momentum), _above(batch_size, "batch_size")
    high = 2.0 * (1.0 + momentum) / float(spectrum.eigenvalues.max())
    low = 1e-12 * (1.0 - momentum) * min(1.0, batch_size) / spectrum.trace

    def excess(x):
        return min(noise_ratio(spectrum, math.exp(x), momentum, batch_size), 1e3) - 1.0

    return math.exp(brentq(excess, math.log(low), math.log(high), xtol=1e-13))


def optimal_momentum(problem, steps, batch_size=1, cap=None, start=None, iterations=400, forced_zero=False):
    """Minimise the final risk over rates and momenta of K steps.

    Parameters
    ----------
    problem : Spectrum or PowerLawRegression
    steps : int
        K >= 1; work and memory grow like ``K n``.
    batch_size : number
        m > 0.
    cap : float, optional
        Largest rate.
    start : MomentumControl, optional
        Optimum of a shorter run, stretched to K steps as one more start.
    iterations : int
        Of L-BFGS from each start, >= 1.
    forced_zero : bool
        Keep ``beta = 0``: L-BFGS over the rates alone, from a constant one; what it comes to is not compared with the
        optimal control of the rates, which it should reach.

    Returns
    -------
    MomentumControl
    """
    check_problem(problem)
    steps, size = learning_rates._steps(steps), _above(batch_size, "batch_size")
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 1:
        raise ValueError(f"iterations is {shown(iterations)}; it must be an integer >= 1")
    if start is not None and not isinstance(start, MomentumControl):
        raise ValueError(f"start is a {type(start).__name__}; it must be a MomentumControl")
    plain = optimal_rates(problem, steps, size, cap)
    spectrum = plain.spectrum
    objective = _Objective(spectrum, size, steps)
    top = math.inf if cap is None else math.log(float(cap))
    best = math.inf if forced_zero else plain.loss, np.array(plain.rates), np.zeros(steps)
    rates = np.maximum(plain.rates, 1e-8)
    if forced_zero:
        starts = [(np.full(steps, 0.3 * np.median(rates)), None)]
    else:
        starts = [(rates * (1.0 - beta), np.full(steps, beta)) for beta in (0.02, 0.5, 0.9)]
        if start is not None:
            starts.insert(0, _stretched(start, steps))
    for first in starts:
        found = _descend(objective, *first, top, int(iterations))
        loss = spectrum.approximation_error + 0.5 * found[0]
        if loss < best[0]:
            best = loss, found[1], found[2]
    return MomentumControl(best[1], best[2], best[0], plain.loss, spectrum)


class _Objective:
    """``sum lambda A`` after the last step and its derivatives, with memory for one run."""

    def __init__(self, spectrum, size, steps):
        self.values, self.weights = np.array(spectrum.eigenvalues), np.array(spectrum.multiplicity)
        self.start, self.size = np.array(spectrum.target_squared), size
        self.variance, self.correction = spectrum.label_variance, spectrum.kurtosis - 2.0
        self.states, self.risks = np.empty((steps + 1, 3, self.values.size)), np.empty(steps + 1)

    def __call__(self, rates, momenta):
        _forward(rates, momenta, self.size, self.values, self.weights, self.start, self.variance, self.correction,
                 self.states, self.risks)
        by_rate, by_momentum = np.zeros((2, rates.size))
        if self.risks[-1] < recursion.OVERFLOW:
            _backward(rates, momenta, self.size, self.values, self.weights, self.variance, self.correction, self.states,
                      self.risks, by_rate, by_momentum)
        return self.risks[-1], by_rate, by_momentum


def _descend(objective, rates, momenta, top, iterations):
    """L-BFGS on the logarithm of the risk; returns the risk and both schedules."""
    steps = rates.size

    def unpacked(x):
        return np.exp(x[:steps]), (np.zeros(steps) if momenta is None else 1.0 / (1.0 + np.exp(-x[steps:])))

    def value(x):
        eta, beta = unpacked(x)
        total, by_rate, by_momentum = objective(eta, beta)
        if not total < 1e50:
            return 1e3, np.zeros_like(x)
        slope = by_rate * eta
        if momenta is not None:
            slope = np.concatenate([slope, by_momentum * beta * (1.0 - beta)])
        return math.log(total), slope / total

    edge = math.log(LARGEST_MOMENTUM / (1.0 - LARGEST_MOMENTUM))
    first, bounds = np.log(rates), [(-30.0, min(top, 5.0))] * steps
    for _ in range(60):   # a start that diverges is no start
        if objective(np.exp(first), np.zeros(steps) if momenta is None else momenta)[0] < 1e3:
            break
        first = first - 0.3
    if momenta is not None:
        inside = np.clip(momenta, 1e-6, LARGEST_MOMENTUM)
        first, bounds = np.concatenate([first, np.log(inside / (1.0 - inside))]), bounds + [(-15.0, edge)] * steps
    found = minimize(value, first, jac=True, method="L-BFGS-B", bounds=bounds,
                     options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 30, "ftol": 1e-13,
                              "gtol": 1e-10})
    return math.exp(found.fun), *unpacked(found.x)


def _stretched(control, steps):
    """Schedules of a shorter run over K steps, interpolated in log and logit at equal shares of the run."""
    old = (np.arange(control.rates.size) + 0.5) / control.rates.size
    new = (np.arange(steps) + 0.5) / steps
    beta = np.clip(control.momenta, 1e-6, LARGEST_MOMENTUM)
    logit = np.interp(new, old, np.log(beta / (1.0 - beta)))
    return np.exp(np.interp(new, old, np.log(np.maximum(control.rates, 1e-12)))), 1.0 / (1.0 + np.exp(-logit))


@njit(cache=True)
def _forward(rates, momenta, size, values, weights, start, variance, correction, states, risks):
    """All states ``(K + 1, 3, n)`` and ``S`` (K + 1,); S stays infinite once it overflows."""
    curved = 1.0 + correction / size
    states[0, 0] = start
    states[0, 1:] = 0.0
    risks[:] = np.inf
    risks[0] = np.sum(weights * values * start)
    for t in range(rates.size):
        eta, beta, noise, total = rates[t], momenta[t], (risks[t] + variance) / size, 0.0
        for i in range(values.size):
            x, a, b, v = values[i], states[t, 0, i], states[t, 1, i], states[t, 2, i]
            v = beta * beta * v + 2.0 * beta * x * b + curved * x * x * a + x * noise
            c = beta * b + x * a
            a = a - 2.0 * eta * c + eta * eta * v
            states[t + 1, 0, i], states[t + 1, 1, i], states[t + 1, 2, i] = a, c - eta * v, v
            total += weights[i] * x * a
        if not abs(total) < 1e250:
            return
        risks[t + 1] = total


@njit(cache=True)
def _backward(rates, momenta, size, values, weights, variance, correction, states, risks, by_rate, by_momentum):
    """Derivatives of the last ``S``; the adjoints include the weights of the nodes."""
    curved = 1.0 + correction / size
    n = values.size
    pa, pb, pv = weights * values, np.zeros(n), np.zeros(n)
    for t in range(rates.size - 1, -1, -1):
        eta, beta, shared = rates[t], momenta[t], 0.0
        for i in range(n):
            x, a, b, v = values[i], states[t, 0, i], states[t, 1, i], states[t, 2, i]
            after, c = states[t + 1, 2, i], beta * b + x * a
            w = pv[i] + eta * eta * pa[i] - eta * pb[i]
            z = pb[i] - 2.0 * eta * pa[i]
            by_rate[t] += 2.0 * pa[i] * (eta * after - c) - pb[i] * after
            by_momentum[t] += 2.0 * w * (beta * v + x * b) + z * b
            shared += x * w
            pa[i] += x * z + curved * x * x * w
            pb[i] = 2.0 * beta * x * w + beta * z
            pv[i] = beta * beta * w
        for i in range(n):
            pa[i] += weights[i] * values[i] * shared / size


def _arguments(problem, rates, momentum, batch_size):
    check_problem(problem)
    schedule = rates if isinstance(rates, learning_rates.Schedule) else learning_rates.from_array(rates)
    momenta = numbers(momentum, "momenta")
    momenta = np.full(schedule.steps, float(momenta)) if momenta.ndim == 0 else momenta
    if momenta.shape != (schedule.steps,):
        raise ValueError(f"momentum has shape {momenta.shape}; it must be one number or have shape ({schedule.steps},)")
    bad = ~((momenta >= 0) & (momenta < 1))
    if bad.any():
        raise ValueError(f"momentum {int(bad.argmax())} is {momenta[bad.argmax()]}; it must be in [0, 1)")
    spectrum = problem
    if isinstance(problem, PowerLawRegression):
        spectrum = compress(problem, max(1.0, schedule.intrinsic_time[-1] / (1.0 - momenta.max())))
    return spectrum, np.array(schedule.rates), momenta, _above(batch_size, "batch_size")


def _refuse_overflow(total, spectrum, rates, momenta, size):
    if not total < recursion.OVERFLOW:
        bound = critical_rate(spectrum, float(momenta.max()), size)
        raise ValueError(f"peak learning rate is {rates.max():g} at momentum up to {momenta.max():g}; the risk "
                         f"overflows, mean-square stability needs a rate < {bound:.6g}")


def _modes(spectrum):
    if not isinstance(spectrum, Spectrum):
        raise ValueError(f"spectrum is a {type(spectrum).__name__}; it must be a Spectrum, such as compress gives")


def _momentum(value):
    value = number(value, "momentum")
    if not 0 <= value < 1:
        raise ValueError(f"momentum is {value}; it must be in [0, 1)")
    return value


def _above(value, name):
    value = number(value, name)
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; it must be finite and > 0")
    return value
