r"""The exact recursion of SGD run backwards: what the final risk owes to every step.

Forward, with ``y_i = w_i lambda_i m_i`` (:mod:`theorycheck.theory.fsl.recursion`; Gaussian features: ``c = 1 + 1/B``),

    y_i <- y_i [1 - 2 eta lambda_i + c eta^2 lambda_i^2] + (eta^2/B) w_i lambda_i^2 S,    S = sum_i y_i + sigma_M^2 ,
    excess risk = delta_M + (1/2) sum_i y_i ,                                             c = 1 + (kappa - 2)/B .

The map is affine in y, so ``sum_i y_i`` after K steps depends on the state before step k through the *adjoint*
``p_{k,i} = d (sum_j y_{K,j}) / d y_{k,i}``, which obeys the transposed map from ``p_K = 1`` down,

    p_{k,i} = p_{k+1,i} [1 - 2 eta lambda_i + c eta^2 lambda_i^2] + (eta^2/B) sum_j w_j lambda_j^2 p_{k+1,j} .

A step enters quadratically through its rate and linearly through ``1/B_k``.  With the sums of step k

    A = sum lambda p y ,    Q = sum lambda^2 p y ,    P = sum w lambda^2 p        (p = p_{k+1}, y = y_k),

    d(sum y_K)/d eta_k = -2 A + 2 eta_k [c Q + S P/B_k] ,
    d(sum y_K)/d(1/B_k) = eta_k^2 [(kappa - 2) Q + S P] .

This is the discrete form of the optimality conditions of Bordelon & Mori (arXiv 2602.04774), derived here.

Memory.  The adjoint is needed from the first step on but known from the last; it is kept at every s-th step only and
recomputed in between, which takes ``(K/s + s)`` vectors, smallest for ``s = K^(1/2)``, and one more backward pass.
Recomputation repeats the same operations, so the result has the same bits for every s.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from .. import batch_sizes, learning_rates
from ..arguments import number, numbers, shown
from ..fsl import recursion
from ..fsl.problem import PowerLawRegression, Spectrum

LANES = 8
"""Sums run in eight fixed lanes: fast, and their bits do not depend on the compiler."""


@dataclass(frozen=True, eq=False)
class Modes:
    """A spectrum as the kernels want it: arrays padded with empty modes to whole lanes.

    Attributes
    ----------
    values, push, start : ndarray, shape (n,)
        ``lambda_i``, ``w_i lambda_i^2`` and ``w_i lambda_i theta*_i^2``; the padding is 0 in all three.
    label_variance, correction, approximation_error : float
        ``sigma_M^2``, ``kappa - 2`` and ``delta_M``.
    """

    values: np.ndarray
    push: np.ndarray
    start: np.ndarray
    label_variance: float
    correction: float
    approximation_error: float

    def risk(self, total):
        """Excess risk for ``sum_i y_i = total``."""
        return self.approximation_error + 0.5 * float(total)


def modes(spectrum):
    """Arrange a :class:`Spectrum` for the kernels of this module."""
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    padded = LANES * math.ceil(values.size / LANES)
    arrays = np.zeros((3, padded))
    arrays[:, :values.size] = values, weights * values**2, weights * values * spectrum.target_squared
    return Modes(*arrays, spectrum.label_variance, spectrum.kurtosis - 2.0, spectrum.approximation_error)


@dataclass(frozen=True, eq=False)
class Gradient:
    """The final excess risk and its derivatives.

    Attributes
    ----------
    loss : float
        Excess risk after the last step.
    by_rate : ndarray, shape (K,)
        ``dE/d eta_k``.
    by_batch : ndarray, shape (K,)
        ``dE/d B_k``, as if batch sizes were real numbers.
    """

    loss: float
    by_rate: np.ndarray
    by_batch: np.ndarray


def gradient(problem, rates, batch_size=1, segment=None):
    """Differentiate the exact final risk with respect to every learning rate and batch size.

    Parameters
    ----------
    problem : Spectrum or PowerLawRegression
        A power-law problem is compressed for the run's intrinsic time.
    rates : Schedule or array_like, shape (K,)
        Finite, >= 0, not all 0.
    batch_size : number, array_like of shape (K,), or BatchSchedule
        Real numbers > 0 are taken as they are.
    segment : int, optional
        Steps between kept adjoints, in [1, K]; default about ``K^(1/2)``.

    Returns
    -------
    Gradient
        O(K n) operations, three times those of the risk itself, and ``O(K^(1/2) n)`` memory for n nodes.

    Raises
    ------
    ValueError
        For arguments out of range and for a risk that overflows.
    """
    schedule = rates if isinstance(rates, learning_rates.Schedule) else learning_rates.from_array(rates)
    spectrum, _ = recursion.resolve(problem, max(schedule.intrinsic_time[-1], 1.0))
    made, sizes = modes(spectrum), real_sizes(batch_size, schedule.steps)
    work = Workspace(schedule.steps, made.values.size, segment)
    by_rate, by_inverse = np.empty((2, schedule.steps))
    total = _differentiate(schedule.rates, sizes, *work.arrays, made.values, made.push, made.start,
                           made.label_variance, made.correction, by_rate, by_inverse)
    if not (total < recursion.OVERFLOW and np.isfinite(by_rate).all()):
        raise ValueError(f"peak learning rate is {schedule.peak:g}; the risk or its derivatives overflow, stability "
                         f"at the smallest batch size needs a rate < {_stable(spectrum, sizes):.6g}")
    return Gradient(made.risk(total), 0.5 * by_rate, -0.5 * by_inverse / sizes**2)


class Workspace:
    """Kept adjoints, one per segment, and those of the segment at work.

    Parameters
    ----------
    steps, nodes : int
    segment : int, optional
        Steps per segment, in [1, steps]; default ``ceil(steps^(1/2))``.
    """

    def __init__(self, steps, nodes, segment=None):
        if segment is None:
            segment = math.isqrt(max(steps - 1, 0)) + 1
        if not (isinstance(segment, int | np.integer) and 1 <= segment <= steps):
            raise ValueError(f"segment is {shown(segment)}; it must be an integer in [1, {steps}]")
        self.kept = np.empty((-(-steps // segment), nodes))
        self.inside = np.empty((int(segment), nodes))
        self.pushed = np.empty(int(segment))

    @property
    def arrays(self):
        """``kept`` (segments, n), ``inside`` (segment, n), ``pushed`` (segment,)."""
        return self.kept, self.inside, self.pushed


def real_sizes(batch_size, steps):
    """Batch sizes as real numbers, shape (steps,); :class:`BatchSchedule` and whole numbers are among them.

    Raises
    ------
    ValueError
        For anything that is not finite and > 0, or of another length.
    """
    if isinstance(batch_size, batch_sizes.BatchSchedule):
        batch_size = batch_size.sizes
    if np.ndim(batch_size) == 0:
        size = number(batch_size, "batch_size")
        if not (math.isfinite(size) and size > 0):
            raise ValueError(f"batch_size is {shown(batch_size)}; it must be finite and > 0")
        return np.full(steps, size)
    sizes = numbers(batch_size, "batch sizes")
    if sizes.shape != (steps,):
        raise ValueError(f"batch_size has shape {sizes.shape}; it must be one number or have shape ({steps},)")
    bad = ~(np.isfinite(sizes) & (sizes > 0))
    if bad.any():
        raise ValueError(f"batch size {int(bad.argmax())} is {sizes[bad.argmax()]}; it must be finite and > 0")
    return sizes


def check_problem(problem):
    """Refuse what is neither a spectrum nor a power-law problem."""
    if not isinstance(problem, PowerLawRegression | Spectrum):
        raise ValueError(f"problem is a {type(problem).__name__}; it must be a PowerLawRegression or a Spectrum")


def _stable(spectrum, sizes):
    return recursion.critical_rate(spectrum, max(1, math.floor(sizes.min())))


@njit(cache=True)
def lane_sum(x):
    """Sum of an array of whole lanes."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for i in range(0, x.size, 8):
        s0 += x[i]
        s1 += x[i + 1]
        s2 += x[i + 2]
        s3 += x[i + 3]
        s4 += x[i + 4]
        s5 += x[i + 5]
        s6 += x[i + 6]
        s7 += x[i + 7]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@njit(cache=True)
def lane_dot(x, y):
    """Inner product of two arrays of whole lanes."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for i in range(0, x.size, 8):
        s0 += x[i] * y[i]
        s1 += x[i + 1] * y[i + 1]
        s2 += x[i + 2] * y[i + 2]
        s3 += x[i + 3] * y[i + 3]
        s4 += x[i + 4] * y[i + 4]
        s5 += x[i + 5] * y[i + 5]
        s6 += x[i + 6] * y[i + 6]
        s7 += x[i + 7] * y[i + 7]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@njit(cache=True)
def retreat(adjoint, values, push, rates, sizes, first, last, correction):
    """Take the adjoint from after step ``last - 1`` to before step ``first``, in place."""
    for k in range(last - 1, first - 1, -1):
        rate = rates[k]
        curvature = 1.0 + correction / sizes[k]
        fed = rate * rate / sizes[k] * lane_dot(push, adjoint)
        for i in range(adjoint.size):
            x = rate * values[i]
            adjoint[i] = adjoint[i] - adjoint[i] * (x * (2.0 - curvature * x)) + fed


@njit(cache=True)
def retreat_keeping(adjoint, values, push, rates, sizes, first, last, correction, inside, pushed):
    """:func:`retreat` that keeps ``p_{k+1}`` of every step (``inside``) and its ``sum w lambda^2 p`` (``pushed``)."""
    for k in range(last - 1, first - 1, -1):
        rate = rates[k]
        curvature = 1.0 + correction / sizes[k]
        row = inside[k - first]
        pushed[k - first] = lane_dot(push, adjoint)
        fed = rate * rate / sizes[k] * pushed[k - first]
        for i in range(adjoint.size):
            x = rate * values[i]
            row[i] = adjoint[i]
            adjoint[i] = adjoint[i] - adjoint[i] * (x * (2.0 - curvature * x)) + fed


@njit(cache=True)
def keep_adjoints(kept, segment, values, push, rates, sizes, correction):
    """Backward pass: ``kept[j]`` becomes the adjoint after the last step of segment j.

    Segments are counted from the end of the run, so that only the first may be shorter; segment j covers the steps
    ``max(0, K - (n - j) s) <= k < K - (n - j - 1) s``.
    """
    steps = rates.size
    adjoint = np.ones(values.size)
    for j in range(kept.shape[0] - 1, -1, -1):
        last = steps - (kept.shape[0] - 1 - j) * segment
        kept[j] = adjoint
        retreat(adjoint, values, push, rates, sizes, max(0, last - segment), last, correction)


@njit(cache=True)
def step_sums(state, values, row):
    """``A = sum lambda p y`` and ``Q = sum lambda^2 p y``."""
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
    q0 = q1 = q2 = q3 = q4 = q5 = q6 = q7 = 0.0
    for i in range(0, state.size, 8):
        x0 = values[i] * (row[i] * state[i])
        x1 = values[i + 1] * (row[i + 1] * state[i + 1])
        x2 = values[i + 2] * (row[i + 2] * state[i + 2])
        x3 = values[i + 3] * (row[i + 3] * state[i + 3])
        x4 = values[i + 4] * (row[i + 4] * state[i + 4])
        x5 = values[i + 5] * (row[i + 5] * state[i + 5])
        x6 = values[i + 6] * (row[i + 6] * state[i + 6])
        x7 = values[i + 7] * (row[i + 7] * state[i + 7])
        a0 += x0
        a1 += x1
        a2 += x2
        a3 += x3
        a4 += x4
        a5 += x5
        a6 += x6
        a7 += x7
        q0 += values[i] * x0
        q1 += values[i + 1] * x1
        q2 += values[i + 2] * x2
        q3 += values[i + 3] * x3
        q4 += values[i + 4] * x4
        q5 += values[i + 5] * x5
        q6 += values[i + 6] * x6
        q7 += values[i + 7] * x7
    a = ((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7))
    q = ((q0 + q4) + (q2 + q6)) + ((q1 + q5) + (q3 + q7))
    return a, q


@njit(cache=True)
def advance(state, total, values, push, rate, size, label_variance, correction):
    """One forward step in place; returns ``sum_i y_i`` after it (``total`` before it)."""
    curvature = 1.0 + correction / size
    noise = rate * rate / size * (total + label_variance)
    for i in range(state.size):
        x = rate * values[i]
        state[i] = state[i] - state[i] * (x * (2.0 - curvature * x)) + noise * push[i]
    return lane_sum(state)


@njit(cache=True)
def _differentiate(rates, sizes, kept, inside, pushed, values, push, start, label_variance, correction, by_rate,
                   by_inverse):
    """Derivatives of ``sum y_K`` by every rate and every ``1/B``; returns ``sum y_K``."""
    steps, segment = rates.size, inside.shape[0]
    keep_adjoints(kept, segment, values, push, rates, sizes, correction)
    state = start.copy()
    total = lane_sum(state)
    for j in range(kept.shape[0]):
        last = steps - (kept.shape[0] - 1 - j) * segment
        first = max(0, last - segment)
        retreat_keeping(kept[j], values, push, rates, sizes, first, last, correction, inside, pushed)
        for k in range(first, last):
            drift, bend = step_sums(state, values, inside[k - first])
            fed = (total + label_variance) * pushed[k - first]
            by_rate[k] = 2.0 * (rates[k] * ((1.0 + correction / sizes[k]) * bend + fed / sizes[k]) - drift)
            by_inverse[k] = rates[k] * rates[k] * (correction * bend + fed)
            total = advance(state, total, values, push, rates[k], sizes[k], label_variance, correction)
    return total
