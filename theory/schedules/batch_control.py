r"""The best batch sizes of exact SGD at a constant learning rate, step by step.

Problem.  A data budget D and a learning rate eta; choose the number of steps K and real batch sizes ``m_k``,
``m_min <= m_k <= m_max`` and ``sum_k m_k = D``, to minimise the exact final excess risk (:mod:`.adjoint`).

For given K the final risk is a polynomial in the ``1/m_k`` with non-negative coefficients (kappa >= 2), so with the
linear budget this is a geometric program: convex in ``log m``, one optimum.  There, with the multiplier ``1/c^2``,

    m_k = clip{ c G_k^(1/2) },     G_k = d(sum y_K)/d(1/m_k) = eta^2 [(kappa - 2) Q + S P] ,

reached by iterating: G from one backward and one forward pass, c by the budget.  The proposal minimises a convex
function of m that has the gradient of the risk, so it points downhill; a step that does not lower the risk is halved.

The number of steps is where one more step at the start would to first order neither pay nor cost,
``dE + m_0/(2 c^2) = 0`` with dE what it does to the risk through the adjoint; near that root in K neighbours decide.

Derived; the batch-size schedules of Wang et al. (arXiv 2602.14208) and the joint ones of Bordelon & Mori (arXiv
2602.04774) are its asymptotic form.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from .. import batch_sizes, learning_rates
from ..arguments import number
from ..fsl import recursion
from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression
from .adjoint import Workspace, advance, check_problem, keep_adjoints, lane_sum, modes, retreat_keeping, step_sums
from .spectral_optimum import spectral_optimum

ROUGH, FINE = 1e-7, 1e-13
"""Relative accuracy of the losses in the search for the number of steps, and in the comparison of neighbours."""


@dataclass(frozen=True, eq=False)
class BatchControl:
    """The best batch sizes at a constant rate.

    Attributes
    ----------
    batches : ndarray, shape (K,)
        ``m_k``, real numbers that add up to ``data``.
    rate, data, smallest, largest : float
    loss : float
        Excess risk after the last step, approximation error included.
    scale : float
        ``c`` above; a further sample lowers the risk by ``1/(2 c^2)``.
    spectrum : Spectrum
        What was solved for.
    losses_by_pass : ndarray
        Excess risk at the start and after each pass for the final number of steps; never increasing.
    converged : bool
    """

    batches: np.ndarray
    rate: float
    data: float
    smallest: float
    largest: float
    loss: float
    scale: float
    spectrum: object
    losses_by_pass: np.ndarray
    converged: bool

    @property
    def steps(self) -> int:
        """K."""
        return self.batches.size

    @property
    def horizon(self) -> float:
        """Intrinsic time ``K eta``."""
        return self.steps * self.rate

    def schedule(self):
        """The constant learning rate as a :class:`~theorycheck.theory.learning_rates.Schedule`."""
        return learning_rates.constant(self.steps, self.rate)

    def whole(self):
        """Whole batch sizes: :func:`whole_sizes` of ``batches`` as a :class:`BatchSchedule`."""
        return batch_sizes.BatchSchedule(whole_sizes(self.batches, self.smallest, self.largest), "optimal batches")


def whole_sizes(batches, smallest=1, largest=math.inf):
    """Round batch sizes to whole numbers that keep the running total.

    ``floor(M_{k+1} + 1/2) - floor(M_k + 1/2)`` with ``M_k = m_0 + ... + m_{k-1}``: the running total is never off by
    more than half a sample (one, if the budget is not whole), the whole budget is used and never exceeded, and whole
    limits are kept because a size of at least n samples rounds to at least n.

    Parameters
    ----------
    batches : array_like, shape (K,)
        At least ``smallest``.
    smallest, largest : number
        Whole, or infinite.

    Raises
    ------
    ValueError
        For limits that are not whole or batches beyond them.
    """
    batches = np.asarray(batches, dtype=np.float64)
    for name, limit in (("smallest", smallest), ("largest", largest)):
        if not (limit == math.inf or (limit >= 1 and float(limit).is_integer())):
            raise ValueError(f"{name} batch size is {limit}; to be kept in whole batches it must be whole and >= 1")
    slack = 1e-9 * batches.max()
    if batches.min() < smallest - slack or batches.max() > largest + slack:
        raise ValueError(f"batch sizes are in [{batches.min():g}, {batches.max():g}]; they must be in "
                         f"[{smallest:g}, {largest:g}]")
    totals = np.concatenate([[0.0], np.cumsum(batches)])
    budget = round(totals[-1]) if abs(totals[-1] - round(totals[-1])) < 1e-9 * totals[-1] else math.floor(totals[-1])
    marks = np.floor(totals * (budget / totals[-1]) + 0.5 + 1e-9)
    marks[-1] = budget
    sizes = np.diff(marks)
    return np.clip(sizes, smallest, largest) if budget < totals[-1] - 1e-6 else sizes


def optimal_batches(problem, data, rate, smallest=1, largest=None, steps=None, *, tolerance=1e-10, passes=300):
    """Minimise the exact final risk over batch sizes and, unless it is given, their number.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        A power law is compressed (relative error 1e-10) for the intrinsic times in question.
    data : float
        D samples, at least `smallest`.
    rate : float
        Constant learning rate > 0; if runs at the smallest batch size (or at 1, if that is larger) do not stay bounded,
        refused with the bound.
    smallest, largest : number
        Limits of the batch size, ``0 < smallest <= largest``.
    steps : int, optional
        K, with ``K smallest <= D <= K largest``; by default the best.
    tolerance : float
        Stop when a pass lowers the risk by less than this, relative to the risk.
    passes : int
        At most so many per number of steps.

    Returns
    -------
    BatchControl

    Raises
    ------
    ValueError
        For arguments out of range and for limits that no number of steps can satisfy, with the bound.
    """
    check_problem(problem)
    data, rate, smallest, largest = _limits(data, rate, smallest, largest)
    least, most = max(1, math.ceil(data / largest * (1.0 - 1e-12))), math.floor(data / smallest * (1.0 + 1e-12))
    if least > most:
        raise ValueError(f"data is {data:g}; no whole number of batches from {smallest:g} to {largest:g} adds up to it")
    if steps is not None:
        steps = learning_rates._steps(steps)
        if not least <= steps <= most:
            raise ValueError(f"steps is {steps}; with {data:g} samples in batches from {smallest:g} to {largest:g} it "
                             f"must be in [{least}, {most}]")
    spectrum = problem
    if isinstance(problem, PowerLawRegression):
        spectrum = compress(problem, max(1.0, rate * (most if steps is None else steps)))
    bound = recursion.critical_rate(spectrum, max(1, math.floor(smallest)))
    if not rate < bound:
        raise ValueError(f"rate is {rate:g}; batches of {smallest:g} are mean-square stable below {bound:.6g}")
    search = _Search(spectrum, data, rate, smallest, largest, passes)
    count = steps if steps is not None else search.best_count(least, most)
    found = search.solve(count, tolerance)
    if not math.isfinite(found.loss):
        raise ValueError(f"rate is {rate:g}; with {count} steps of {data:g} samples in all the risk overflows")
    return found


class _Search:
    """Solutions for several numbers of steps, each started from the nearest one known."""

    def __init__(self, spectrum, data, rate, smallest, largest, passes):
        self.spectrum, self.made = spectrum, modes(spectrum)
        self.data, self.rate, self.smallest, self.largest, self.passes = data, rate, smallest, largest, passes
        self.known = {}

    def start(self, count):
        if not self.known:
            if not self.spectrum.label_variance > 0:
                return np.full(count, self.data / count)
            law = spectral_optimum(self.spectrum, self.data, self.smallest / self.rate,
                                   min(count * self.rate, self.data * self.rate / self.smallest))
            return law.batches(self.rate, count)
        near = self.known[min(self.known, key=lambda other: abs(math.log(other / count)))]
        middle = (np.arange(near.size) + 0.5) / near.size
        return np.interp((np.arange(count) + 0.5) / count, middle, near) * near.size / count

    def solve(self, count, tolerance):
        made, rates = self.made, np.full(count, self.rate)
        batches = _within_limits(self.start(count), self.data, self.smallest, self.largest)[0]
        work = Workspace(count, made.values.size)
        strength, losses, share = np.empty(count), [], 1.0
        proposal, scale, best, converged = batches, math.nan, batches, False
        for _ in range(self.passes + 1):
            total, self.gain = _strengths(rates, batches, *work.arrays, made.values, made.push, made.start,
                                          made.label_variance, made.correction, strength)
            loss = made.risk(total)
            if not losses and not math.isfinite(loss):   # a start beyond stability: equal batches are the safest
                if np.ptp(batches) == 0.0:
                    break
                batches = np.full(count, self.data / count)
                continue
            if losses and not loss < losses[-1]:
                if share < 1e-3 or loss <= losses[-1] * (1.0 + 1e-15):
                    converged = True
                    break
                share *= 0.5
                batches = best + share * (proposal - best)
                continue
            settled = bool(losses) and losses[-1] - loss <= tolerance * loss and share == 1.0
            losses.append(loss)
            best, share = batches, 1.0
            proposal, scale = _within_limits(np.sqrt(np.maximum(strength, 0.0)), self.data, self.smallest, self.largest)
            if settled:
                converged = True
                break
            batches = proposal
        if not losses:
            return BatchControl(batches, self.rate, self.data, self.smallest, self.largest, math.inf, 0.0,
                                self.spectrum, np.array([math.inf]), False)
        self.known[count] = best
        best.setflags(write=False)
        return BatchControl(best, self.rate, self.data, self.smallest, self.largest, losses[-1], scale, self.spectrum,
                            np.array(losses), converged)

    def marginal(self, count):
        """What one more step at the start changes the Lagrangian by; negative if it pays."""
        found = self.solve(count, ROUGH)
        if found.scale == 0.0:   # every batch is as small as allowed, or too small: a further step cannot be paid
            return math.inf
        return 0.5 * self.gain + 0.5 * found.batches[0] / found.scale**2

    def best_count(self, least, most):
        """The number of steps at which a further one stops paying, by bisection and secants in log K."""
        guess = 0.5 * (least + most)
        if self.spectrum.label_variance > 0:
            law = spectral_optimum(self.spectrum, self.data, self.smallest / self.rate)
            guess = law.horizon / self.rate
        low = high = min(most, max(least, round(guess)))
        value = self.marginal(low)
        at = {low: value}
        factor = 1.02
        while (value < 0 and high < most) or (value > 0 and low > least):
            if value < 0:
                low, high = high, min(most, max(high + 1, round(high * factor)))
                value = at[high] = self.marginal(high)
                if value >= 0:
                    break
            else:
                low, high = max(least, min(low - 1, round(low / factor))), low
                value = at[low] = self.marginal(low)
                if value <= 0:
                    break
            factor **= 2
        if low == high or at[low] >= 0 or at[high] <= 0:
            return self.settled_count(high if value < 0 else low, least, most, math.inf)
        while high - low > 1:
            cut = low + (high - low) * at[low] / (at[low] - at[high])
            if min(cut - low, high - cut) < 0.1 * (high - low):
                cut = 0.5 * (low + high)
            middle = min(high - 1, max(low + 1, round(cut)))
            at[middle] = self.marginal(middle)
            low, high = (middle, high) if at[middle] < 0 else (low, middle)
        near = sorted((k for k in at if math.isfinite(at[k])), key=lambda k: abs(k - low))[:3]
        slope = (at[max(near)] - at[min(near)]) / (max(near) - min(near)) if len(near) > 1 else math.inf
        return self.settled_count(high if abs(at[high]) < abs(at[low]) else low, least, most, slope)

    def settled_count(self, count, least, most, slope):
        """The number of steps near `count` whose neighbours are no better; ``slope``: of the marginal value in K."""
        losses = {}

        def loss(k):
            if k not in losses:
                losses[k] = self.solve(k, FINE).loss
            return losses[k]

        loss(count)
        for attempt in range(200):
            up = loss(count + 1) - loss(count) if count < most else 0.0
            down = loss(count - 1) - loss(count) if count > least else 0.0
            if up >= 0.0 and down >= 0.0:
                break
            step = max(1, round(abs(min(up, down)) / slope)) if attempt < 4 and slope > 0 else 1
            count = min(most, count + step) if up < down else max(least, count - step)
        return min(losses, key=losses.get)


def _within_limits(wanted, data, smallest, largest):
    """``clip(c wanted)`` that adds up to the budget, and c."""
    count = wanted.size
    floor, ceiling = smallest * count, largest * count
    if data <= floor * (1.0 + 1e-14):
        return np.full(count, data / count), 0.0
    if data >= ceiling * (1.0 - 1e-14):
        return np.full(count, data / count), math.inf
    wanted = np.maximum(wanted, 1e-12 * wanted.max())
    scale = _scale(wanted, data, smallest, largest)
    sizes = np.clip(scale * wanted, smallest, largest)
    inside = (sizes > smallest) & (sizes < largest)
    if inside.any():   # what rounding left over goes to the sizes that are free
        sizes[inside] *= 1.0 + (data - sizes.sum()) / sizes[inside].sum()
    return np.clip(sizes, smallest, largest), scale


@njit(cache=True)
def _scale(wanted, data, smallest, largest):
    """Bisection in log c, then a Newton step on the free sizes (the sum is piecewise linear in c)."""
    low, high = math.log(smallest / wanted.max()), math.log(min(largest, data) / wanted.min())
    for _ in range(60):
        middle = 0.5 * (low + high)
        c = math.exp(middle)
        total = 0.0
        for x in wanted:
            total += min(largest, max(smallest, c * x))
        if total < data:
            low = middle
        else:
            high = middle
        if high - low < 1e-13:
            break
    return math.exp(0.5 * (low + high))


@njit(cache=True)
def _strengths(rates, sizes, kept, inside, pushed, values, push, start, label_variance, correction, strength):
    """``G_k`` of every step; returns ``sum y_K`` and what one more first step would change it by."""
    steps, segment = rates.size, inside.shape[0]
    keep_adjoints(kept, segment, values, push, rates, sizes, correction)
    state = start.copy()
    total, gain = lane_sum(state), 0.0
    for j in range(kept.shape[0]):
        last = steps - (kept.shape[0] - 1 - j) * segment
        first = max(0, last - segment)
        retreat_keeping(kept[j], values, push, rates, sizes, first, last, correction, inside, pushed)
        if j == 0:   # kept[0] is now the adjoint before the first step
            further = start.copy()
            advance(further, total, values, push, rates[0], sizes[0], label_variance, correction)
            for i in range(start.size):
                gain += kept[0, i] * (further[i] - start[i])
        for k in range(first, last):
            _, bend = step_sums(state, values, inside[k - first])
            strength[k] = rates[k]**2 * (correction * bend + (total + label_variance) * pushed[k - first])
            total = advance(state, total, values, push, rates[k], sizes[k], label_variance, correction)
    return total, gain


def _limits(data, rate, smallest, largest):
    data, rate, smallest = number(data, "data"), number(rate, "rate"), number(smallest, "smallest")
    largest = math.inf if largest is None else number(largest, "largest")
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate is {rate}; it must be finite and > 0")
    if not (math.isfinite(smallest) and smallest > 0):
        raise ValueError(f"smallest is {smallest}; it must be finite and > 0")
    if not largest >= smallest:
        raise ValueError(f"largest is {largest}; it must be >= smallest = {smallest:g}")
    if not (math.isfinite(data) and data >= smallest):
        raise ValueError(f"data is {data}; it must be finite and >= smallest = {smallest:g}")
    return data, rate, smallest, largest
