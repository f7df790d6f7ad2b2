r"""The best learning rates of exact SGD, step by step, by optimal control.

Problem.  K steps with batch sizes ``B_k`` (given) on linear regression, expected over the data exactly
(:mod:`theorycheck.theory.fsl.recursion`); choose ``0 <= eta_k <= cap`` to minimise the final excess risk.

The final risk is quadratic in each single rate, least at (notation of :mod:`.adjoint`)

    eta_k = A / [c Q + S P/B_k] ,      A = sum lambda p y ,   Q = sum lambda^2 p y ,   P = sum w lambda^2 p .

A *sweep* runs the adjoint p backward with the old rates, then goes forward once, setting each rate to this value
(clipped to the cap) and moving the state on with it.  When the forward pass is at step k, the rates before it are new,
those behind it old, and p belongs to the old: each step is an exact minimisation over one coordinate, so sweeps never
raise the risk (Gauss-Seidel).  There is no step size and nothing to tune.

Without a cap the optimum of hard tasks may contain single giant steps (beyond stability, compensated by the
others): the true optimum of the discrete problem, of little gain, with more than one local optimum and slow to settle;
a cap removes them.

The equations are those of optimal control in Bordelon & Mori (arXiv 2602.04774), whose state equation is the recursion
above; derived here, since that paper's text was not at hand.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from .. import learning_rates
from ..arguments import number, numbers, shown
from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression
from .adjoint import (
    Workspace,
    advance,
    check_problem,
    keep_adjoints,
    lane_sum,
    modes,
    real_sizes,
    retreat_keeping,
    step_sums,
)

COARSEST = 256
"""Runs of up to this many steps are not started from a coarser one."""


@dataclass(frozen=True, eq=False)
class OptimalControl:
    """The best learning rates and how they were reached.

    Attributes
    ----------
    rates : ndarray, shape (K,)
        ``eta_k``.
    sizes : ndarray, shape (K,)
        Batch sizes ``B_k``.
    loss : float
        Excess risk after the last step, approximation error included; equal to ``fsl.exact_risk`` of the same
        spectrum to rounding.
    spectrum : Spectrum
        What was solved for (compressed, if a power law was given).
    losses_by_sweep : ndarray, shape (sweeps + 1,)
        Excess risk of the start and after each sweep; never increasing.
    sweeps : int
    converged : bool
        Whether the last sweep lowered the risk by less than the tolerance, relative to the risk.
    cap : float
        Largest rate allowed at any step, ``inf`` without one.
    """

    rates: np.ndarray
    sizes: np.ndarray
    loss: float
    spectrum: object
    losses_by_sweep: np.ndarray
    sweeps: int
    converged: bool
    cap: float = math.inf

    @property
    def steps(self) -> int:
        """K."""
        return self.rates.size

    @property
    def data(self) -> float:
        """Samples used, ``D = sum_k B_k``."""
        return float(self.sizes.sum())

    @property
    def horizon(self) -> float:
        """Intrinsic time ``T = sum_k eta_k``."""
        return float(self.schedule().intrinsic_time[-1])

    def schedule(self):
        """The rates as a :class:`~theorycheck.theory.learning_rates.Schedule`."""
        return learning_rates.Schedule(self.rates, "optimal control")


def optimal_rates(problem, steps, batch_size=1, cap=None, *, tolerance=1e-10, sweeps=400, start=None, segment=None,
                  coarse=True):
    """Minimise the exact final risk over all learning rates.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        A power law is compressed (relative error 1e-10) for the intrinsic times in question.
    steps : int
        K >= 1.
    batch_size : number, array_like of shape (K,), or BatchSchedule
        Real numbers > 0 are taken as they are.
    cap : float or array_like of shape (K,), optional
        Largest rate > 0, of all steps or of each; none by default.
    tolerance : float
        Stop when a sweep lowers the risk by less than this, relative to the risk; in [1e-15, 1).
    sweeps : int
        At most so many, >= 1.
    start : Schedule or array_like, shape (K,), optional
        First guess, clipped to the cap; whatever is not stable is scaled down.  Default: a constant rate, or with
        `coarse` the optimum of a run of a quarter of the steps at four times the batch size.
    segment : int, optional
        Steps between kept adjoints (see :mod:`.adjoint`): memory is ``8 n (K/s + s)`` bytes for n nodes beyond
        the schedules, by default ``16 n K^(1/2)``.  The result does not depend on it.
    coarse : bool
        Start long runs from short ones: rate and batch size enter mainly through their ratio, so a quarter of
        the steps with four times both is nearly the same problem.

    Returns
    -------
    OptimalControl

    Raises
    ------
    ValueError
        For arguments out of range, with the range.
    """
    steps = learning_rates._steps(steps)
    cap = _cap(cap, steps)
    if not (0 < (tolerance := number(tolerance, "tolerance")) < 1 and tolerance >= 1e-15):
        raise ValueError(f"tolerance is {tolerance}; it must be in [1e-15, 1)")
    if not (isinstance(sweeps, int | np.integer) and sweeps >= 1):
        raise ValueError(f"sweeps is {shown(sweeps)}; it must be an integer >= 1")
    sizes = real_sizes(batch_size, steps)
    spectrum = resolved(problem, steps, cap, sizes.min())
    settings = (np.full(steps, cap) if np.ndim(cap) == 0 else cap, tolerance, int(sweeps))
    first = None if start is None else _given(start, steps)
    if first is None and coarse and steps > COARSEST:
        first = _from_coarse(spectrum, steps, sizes, settings)
    found = _solve(spectrum, steps, sizes, settings, first, segment)
    if isinstance(problem, PowerLawRegression) and found.horizon > _horizon(problem, steps, cap, sizes.min()):
        spectrum = compress(problem, 4.0 * found.horizon)   # giant steps: the nodes must resolve these times, too
        found = _solve(spectrum, steps, sizes, settings, found.rates, segment)
    return found


def resolved(problem, steps, cap=math.inf, smallest=1.0):
    """Return the spectrum of a problem, compressed for the longest intrinsic time K steps can be worth."""
    check_problem(problem)
    if not isinstance(problem, PowerLawRegression):
        return problem
    return compress(problem, _horizon(problem, steps, cap, smallest))


def _horizon(problem, steps, cap, smallest):
    """``K min{cap, 4 eta_c}``: mean-square stability ends at eta_c < 2 m/tr H and < 2/lambda_1."""
    return steps * min(np.max(cap), 8.0 * min(1.0, max(smallest, 1e-3) / problem.trace))


def _solve(spectrum, steps, sizes, settings, first, segment=None):
    cap, tolerance, sweeps = settings
    made = modes(spectrum)
    rates = _stable_start(made, spectrum, sizes, steps, cap, first)
    work = Workspace(steps, made.values.size, segment)
    losses = [made.risk(_run(rates, sizes, made.values, made.push, made.start, made.label_variance, made.correction))]
    converged = False
    for _ in range(sweeps):
        total = _sweep(rates, sizes, cap, *work.arrays, made.values, made.push, made.start, made.label_variance,
                       made.correction)
        losses.append(made.risk(total))
        if not losses[-1] < losses[-2] * (1.0 - tolerance):
            converged = True
            break
    for array in (rates, sizes):
        array.setflags(write=False)
    return OptimalControl(rates, sizes, losses[-1], spectrum, np.array(losses), len(losses) - 1, converged,
                          float(cap.max()))


def _stable_start(made, spectrum, sizes, steps, cap, first):
    """A start the recursion survives: the guess, halved until its risk is finite and below that of no training."""
    if first is None:
        trace = max(spectrum.trace, float(spectrum.eigenvalues.max()))
        rates = np.minimum(cap, 0.5 * float(sizes.min()) / (trace + sizes.min() * spectrum.eigenvalues.max()))
    else:
        rates = np.minimum(first, cap)
    ceiling = 2.0 * (made.start.sum() + made.label_variance) + 1e-300
    for _ in range(200):
        total = _run(rates, sizes, made.values, made.push, made.start, made.label_variance, made.correction)
        if total <= ceiling:
            break
        rates = 0.5 * rates
    return np.ascontiguousarray(rates)


def _from_coarse(spectrum, steps, sizes, settings):
    """Rates of the run with a quarter of the steps, each of four times the batch size, spread over all steps."""
    quarter = -(-steps // 4)
    group = np.minimum(np.arange(steps) // 4, quarter - 1)
    joined = np.bincount(group, weights=sizes, minlength=quarter)
    counts = np.bincount(group, minlength=quarter)
    caps = np.bincount(group, weights=np.minimum(settings[0], 1e300), minlength=quarter) * (4.0 / counts)
    inner = (caps, max(1e-6, settings[1]), settings[2])
    first = _from_coarse(spectrum, quarter, joined, inner) if quarter > COARSEST else None
    found = _solve(spectrum, quarter, joined, inner, first)
    middle = np.cumsum(counts) - 0.5 * (counts + 1)
    logarithm = np.log(np.maximum(found.rates / counts, 1e-300))
    return np.exp(np.interp(np.arange(steps), middle, logarithm))


@njit(cache=True)
def _run(rates, sizes, values, push, start, label_variance, correction):
    """``sum y_K``; inf if it overflows."""
    state = start.copy()
    total = lane_sum(state)
    for k in range(rates.size):
        total = advance(state, total, values, push, rates[k], sizes[k], label_variance, correction)
        if not total < 1e250:
            return np.inf
    return total


@njit(cache=True)
def _sweep(rates, sizes, caps, kept, inside, pushed, values, push, start, label_variance, correction):
    """One backward and one forward pass that replaces the rates; returns ``sum y_K``."""
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
            curve = (1.0 + correction / sizes[k]) * bend + fed / sizes[k]
            rates[k] = min(caps[k], drift / curve) if curve > 0.0 else 0.0
            total = advance(state, total, values, push, rates[k], sizes[k], label_variance, correction)
    return total


def _cap(cap, steps):
    if cap is None:
        return math.inf
    if np.ndim(cap) > 0:
        caps = np.ascontiguousarray(numbers(cap, "cap"))
        if caps.shape != (steps,) or not np.all(caps > 0):
            raise ValueError(f"cap has shape {caps.shape} and least value {caps.min():g}; it must be > 0, one for each "
                             f"of {steps} steps")
        return caps
    cap = number(cap, "cap")
    if not cap > 0:
        raise ValueError(f"cap is {cap}; it must be > 0")
    return cap


def _given(start, steps):
    rates = (start if isinstance(start, learning_rates.Schedule) else learning_rates.from_array(start)).rates
    if rates.size != steps:
        raise ValueError(f"start has {rates.size} steps; it must have {steps}")
    return np.array(rates)
