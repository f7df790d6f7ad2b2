r"""Laws that predict the loss curve of a training run from its learning-rate schedule.

Notation: :math:`\eta_k` learning rate, :math:`B_k` batch size, :math:`T(k)=\int_0^k\eta` intrinsic time,
:math:`\gamma_k=\eta_k/B_k` noise level.  Three laws, each linear in some of its parameters:

``fsl``, the practical functional scaling law (Li et al., arXiv 2509.19189v4, eq. 30, fixed model size),

.. math:: L(k) = L_0 + c_1 T(k)^{-s} - \sum_{i\le k} (\gamma_{i-1}-\gamma_i)\,(c_2c_3 + c_2 T(i)^{-s})\,
          \bigl[1-(1+c_4 (T(k)-T(i)))^{-c_5}\bigr] ;

``mpl``, the multi-power law (Luo et al., arXiv 2503.12811, eq. 1),

.. math:: L(k) = L_0 + A\,T(k)^{-\alpha} - C\sum_{i\le k} (\gamma_{i-1}-\gamma_i)\,
          \bigl[1-(1+C'\gamma_i^{-\gamma'} (T(k)-T(i)))^{-\beta'}\bigr] ,

in which the noise forgets at a speed set by the level it fell to; and ``blind``,
:math:`L(k)=L_0+c_1T(k)^{-s}`, which ignores how the rate was annealed: it is ``fsl`` with :math:`c_2=0`.

Where the sum comes from (derived): with :math:`K(x)=(1+x)^{-(1+c_5)}` and
:math:`G(x)=\int_0^xK=[1-(1+x)^{-c_5}]/c_5` the noise term of the functional law, integrated by parts, is

.. math:: \int_0^t K(t-z)q(z)\gamma(z)\,dz
          = q(0)\gamma(0)G(t) + \int_0^t G(t-z)\,q\,d\gamma + \int_0^t G(t-z)\,\gamma\,q'\,dz .

The middle term is the sum above; the others depend on the schedule weakly and merge into :math:`L_0` and
the power law.  Theory therefore expects :math:`c_5=1-1/\beta`, :math:`c_3\leftrightarrow\sigma^2`, and
differences keep their sign: a rate that rises puts noise back.

Units.  Times are in units of (reference rate) x 1000 steps, noise levels in units of
(reference rate) / (reference batch), so coefficients are in the units of the loss and :math:`c_4`, :math:`C'`
are per unit of that time, whatever the optimiser's rates are.

Coarse logs.  Between two rows the rate is linear in the step: :math:`T` is exact for it, and each
difference is spread over its interval by two-point Gauss-Legendre quadrature in the step.  A smooth schedule
logged every h steps costs O(h^2) (the interpolation), a sudden drop is centred in its interval.

A run whose noise level does not start at the reference (another peak rate or batch size) has, at its first
row, a change from 1 to its own level (derived: the first by-parts term is then not common to all runs).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import lgamma

import numpy as np
from numba import njit

STEPS_PER_UNIT = 1000.0
"""Steps at the reference rate that make one unit of intrinsic time."""

LEVEL_FLOOR = 1e-6
"""Smallest noise level (relative to the reference) the multi-power law's speed is evaluated at."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)


@dataclass(frozen=True, eq=False)
class Annealing:
    """What the laws see of a training run, in the units of the module docstring.

    Parameters
    ----------
    times : ndarray, shape (N,)
        Intrinsic time of the rows at which the loss is wanted; positive, nondecreasing.
    change_times : ndarray, shape (E,)
        Intrinsic times at which the noise level changes, nondecreasing.
    drops : ndarray, shape (E,)
        Noise level before minus after each change (negative where it rises).
    levels : ndarray, shape (E,)
        Noise level reached.
    """

    times: np.ndarray
    change_times: np.ndarray
    drops: np.ndarray
    levels: np.ndarray

    def at(self, times) -> "Annealing":
        """The same schedule with other row times."""
        return Annealing(np.asarray(times, dtype=np.float64), self.change_times, self.drops, self.levels)

    def merged(self, count) -> "Annealing":
        """The same rows with at most `count` changes: neighbours are added up at their centre of mass.

        The error in a law is second order in the time a group spans.
        """
        if self.drops.size <= count:
            return self
        edges = np.linspace(0, self.drops.size, count + 1).astype(int)[:-1]
        mass = np.maximum(np.abs(self.drops), 1e-300)
        total = np.add.reduceat(mass, edges)
        return Annealing(self.times, np.add.reduceat(mass * self.change_times, edges) / total,
                         np.add.reduceat(self.drops, edges),
                         np.add.reduceat(mass * self.levels, edges) / total)


def warmup_rows(rates) -> int:
    """Number of leading rows that belong to a recorded warm-up: those before a strictly rising start ends.

    Parameters
    ----------
    rates : array_like, shape (N,)
        Recorded learning rates.

    Returns
    -------
    int
        0 where the rate does not rise between the first two rows.
    """
    rates = np.asarray(rates, dtype=np.float64)
    rising = np.diff(rates) > 0
    return rates.size - 1 if rising.all() else int(np.argmin(rising))


def intrinsic_times(steps, rates, warmup=None):
    """Intrinsic time of each recorded row, in physical units (rate x steps).

    Parameters
    ----------
    steps, rates : array_like, shape (N,)
        Step numbers (increasing, first >= 0) and learning rates (>= 0) of the rows.
    warmup : float, optional
        Length of the linear warm-up from rate 0, in steps.  The steps before the first row contribute
        ``rates[0] * (steps[0] - warmup/2)``; by default the warm-up is taken to end at the first row or later, and
        they contribute ``rates[0] * steps[0] / 2``.

    Returns
    -------
    ndarray, shape (N,)
    """
    steps, rates = np.asarray(steps, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    before = steps[0] if warmup is None else min(float(warmup), steps[0])
    times = np.empty(steps.size)
    times[0] = rates[0] * (steps[0] - before / 2)
    times[1:] = times[0] + np.cumsum(np.diff(steps) * (rates[1:] + rates[:-1]) / 2)
    return times


def annealing(steps, rates, batch_sizes=None, *, warmup=None, reference_rate=None, reference_batch=None):
    """Turn recorded rows into what the laws see; the warm-up counts in the clock but is no source of noise.

    Parameters
    ----------
    steps, rates : array_like, shape (N,)
        Step numbers (strictly increasing, first >= 0) and learning rates (>= 0, not all 0).
    batch_sizes : array_like, shape (N,), optional
        Batch size of each row (> 0); the noise level is rate / batch size.
    warmup : float, optional
        Steps of linear warm-up; see :func:`intrinsic_times`.  Changes of the rate at steps below it are not
        sources.  By default the warm-up is the strictly rising start of the record, if there is one.
    reference_rate, reference_batch : float, optional
        Units; by default the rate and the batch size at the end of the warm-up.

    Returns
    -------
    Annealing
        With one entry of ``times`` per row.

    Raises
    ------
    ValueError
        If the warm-up leaves fewer than two rows, the rate is 0 when it ends, or a reference is not positive.
    """
    steps, rates = np.asarray(steps, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    first = first_row(steps, rates, warmup)
    if steps.size - first < 2:
        raise ValueError(f"{steps.size - first} row(s) after the warm-up; at least 2 are needed")
    batch = np.ones(rates.size) if batch_sizes is None else np.asarray(batch_sizes, dtype=np.float64)
    rate_unit = float(rates[first] if reference_rate is None else reference_rate)
    batch_unit = float(batch[first] if reference_batch is None else reference_batch)
    for name, value in (("rate", rate_unit), ("batch size", batch_unit)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"reference {name} is {value}; it must be > 0 when the warm-up ends")
    times = intrinsic_times(steps, rates, warmup) / (rate_unit * STEPS_PER_UNIT)
    levels = (rates / rate_unit) * (batch_unit / batch)

    gaps, drops = np.diff(steps[first:]), -np.diff(levels[first:])
    changed = np.flatnonzero(drops)
    fraction, share = (_NODES + 1) / 2, _WEIGHTS / 2
    start, gap = changed[:, None] + first, gaps[changed, None]
    rate, rise = rates[start], (rates[start + 1] - rates[start])
    when = times[start] + gap * (rate * fraction + rise * fraction**2 / 2) / (rate_unit * STEPS_PER_UNIT)
    size = drops[changed, None] * share
    reached = levels[start] - drops[changed, None] * fraction
    if levels[first] != 1.0:
        when = np.append(times[first], when)
        size, reached = np.append(1.0 - levels[first], size), np.append(levels[first], reached)
    return Annealing(times, when.ravel(), size.ravel(), np.maximum(reached.ravel(), LEVEL_FLOOR))


def first_row(steps, rates, warmup=None) -> int:
    """Index of the first row after the warm-up (recorded, or declared by `warmup` steps)."""
    return warmup_rows(rates) if warmup is None else int(np.searchsorted(np.asarray(steps), warmup))


def decay_sum(times, change_times, weights, speeds, exponent, method="auto"):
    r"""Sums :math:`\sum_{i: x_i < t} w_i\,[1-(1+v_i (t-x_i))^{-p}]` over past changes, at every time t.

    Parameters
    ----------
    times : ndarray, shape (N,)
        Nondecreasing.
    change_times : ndarray, shape (E,)
        The :math:`x_i`, nondecreasing.
    weights : ndarray, shape (E, Q)
        The :math:`w_i`, for Q sums at once.
    speeds : ndarray, shape (E,)
        The :math:`v_i`, positive.
    exponent : float
        The :math:`p`, in [0.01, 10].
    method : {"auto", "direct", "exponentials"}
        ``direct`` costs O(N E) and has relative error 1e-13; ``exponentials`` writes the power as
        :math:`(1+vx)^{-p}=\Gamma(p)^{-1}\int e^{pu-e^u(1+vx)}du`, trapezoid in u, and costs O(N + E) per
        node (about 150).  Its error is below 1e-8 of the sum of :math:`|w_i|[1-\dots]`.  ``auto`` takes the cheaper.

    Returns
    -------
    ndarray, shape (N, Q)

    Raises
    ------
    ValueError
        For an unknown method or an exponent outside its range.
    """
    if method not in ("auto", "direct", "exponentials"):
        raise ValueError(f"method is {method!r}; it must be 'auto', 'direct' or 'exponentials'")
    if not 0.01 <= exponent <= 10:
        raise ValueError(f"exponent is {exponent}; it must lie in [0.01, 10]")
    times, change_times, speeds, weights = (
        np.ascontiguousarray(a, dtype=np.float64) for a in (times, change_times, speeds, weights))
    if change_times.size == 0 or times.size == 0:
        return np.zeros((times.size, weights.shape[1]))
    if method == "direct" or (method == "auto" and times.size * change_times.size < 4_000_000):
        return _direct(times, change_times, weights, speeds, float(exponent))
    nodes, step = _exponential_nodes(times[-1] - change_times[0], speeds, exponent)
    return _by_exponentials(times, change_times, weights, speeds, float(exponent), nodes, step,
                            lgamma(exponent))


@njit(cache=True)
def _direct(times, change_times, weights, speeds, exponent):
    sums = np.zeros((times.size, weights.shape[1]))
    for n in range(times.size):
        for i in range(change_times.size):
            lag = times[n] - change_times[i]
            if lag <= 0.0:
                break
            x = speeds[i] * lag
            if exponent * x > 0.05 and x > 0.05:   # four times faster, and nothing cancels here
                settled = 1.0 - np.exp(-exponent * np.log(1.0 + x))
            else:
                settled = -np.expm1(-exponent * np.log1p(x))
            for q in range(weights.shape[1]):
                sums[n, q] += weights[i, q] * settled
    return sums


def _exponential_nodes(longest, speeds, exponent):
    """Nodes in log rate; below the first one less than 1e-11 of any lag's contribution is left out."""
    step = 0.3
    low = (np.log(1e-11 * exponent) - np.log1p(speeds.max() * max(longest, 0.0))) / (exponent + 1)
    low, high = min(low, -1.0) + np.log(speeds.min()), 4.2 + np.log(speeds.max())
    return low + step * np.arange(int(np.ceil((high - low) / step)) + 1), step


@njit(cache=True)
def _by_exponentials(times, change_times, weights, speeds, exponent, nodes, step, log_gamma):
    count, columns = nodes.size, weights.shape[1]
    pending = np.zeros((count, columns))
    settled = np.zeros((count, columns))   # kept beside pending: their difference would cancel at short lags
    rates = np.exp(nodes)
    sums = np.zeros((times.size, columns))
    now, i = change_times[0], 0
    for n in range(times.size):
        while i < change_times.size and change_times[i] < times[n]:
            _advance(pending, settled, rates, change_times[i] - now)
            now = change_times[i]
            log_speed = np.log(speeds[i])
            for m in range(count):
                v = nodes[m] - log_speed
                share = step * np.exp(exponent * v - np.exp(v) - log_gamma)
                for q in range(columns):
                    pending[m, q] += weights[i, q] * share
            i += 1
        if times[n] > now:
            _advance(pending, settled, rates, times[n] - now)
            now = times[n]
        for m in range(count):
            for q in range(columns):
                sums[n, q] += settled[m, q]
    return sums


@njit(cache=True)
def _advance(pending, settled, rates, lag):
    if lag > 0.0:
        for m in range(rates.size):
            lost = -np.expm1(-rates[m] * lag)
            for q in range(pending.shape[1]):
                moved = pending[m, q] * lost
                settled[m, q] += moved
                pending[m, q] -= moved


@dataclass(frozen=True)
class Law:
    """A law of the module docstring, split into nonlinear parameters and nonnegative linear coefficients.

    Parameters
    ----------
    name, title, source : str
    nonlinear, linear : tuple of str
        Parameter names.
    lower, upper : tuple of float
        Bounds of the nonlinear parameters (times and levels in reference units).
    logarithmic : tuple of bool
        Which of them are searched on a logarithmic scale.
    basis : callable
        ``basis(annealing, values)`` returns the (N, len(linear)) columns that the coefficients multiply.
    optional : str
        A coefficient the law can do without, or "".
    held : tuple of str
        Coefficients held at 0.
    """

    name: str
    title: str
    source: str
    nonlinear: tuple
    linear: tuple
    lower: tuple
    upper: tuple
    logarithmic: tuple
    basis: Callable
    optional: str = ""
    held: tuple = ()

    def reduced(self) -> "Law":
        """The law with its optional coefficient held at 0 (its column is zero)."""
        kept = np.array([name != self.optional for name in self.linear], dtype=np.float64)
        return replace(self, basis=lambda annealing, values: self.basis(annealing, values) * kept, optional="",
                       held=(self.optional,))

    def __call__(self, annealing, nonlinear, linear):
        """Predicted loss at ``annealing.times``, shape (N,)."""
        return self.basis(annealing, nonlinear) @ np.asarray(linear, dtype=np.float64)


def fsl_basis(annealing, values):
    """Columns 1, T^-s and minus the two decay sums (weights 1 and T(i)^-s) of the ``fsl`` law.

    Parameters
    ----------
    annealing : Annealing
    values : sequence of float
        ``(s, c4, c5)``.

    Returns
    -------
    ndarray, shape (N, 4)
        For the coefficients ``(L0, c1, c2 c3, c2)``.
    """
    s, c4, c5 = values
    weights = np.column_stack([annealing.drops, annealing.drops * annealing.change_times**-s])
    sums = decay_sum(annealing.times, annealing.change_times, weights, np.full(len(weights), c4), c5)
    return np.column_stack([np.ones(annealing.times.size), annealing.times**-s, -sums])


def mpl_basis(annealing, values):
    """Columns 1, T^-alpha and minus the decay sum of the ``mpl`` law, for the coefficients ``(L0, A, C)``.

    Parameters
    ----------
    annealing : Annealing
    values : sequence of float
        ``(alpha, C', gamma', beta')``.

    Returns
    -------
    ndarray, shape (N, 3)
    """
    alpha, speed, level_exponent, beta = values
    sums = decay_sum(annealing.times, annealing.change_times, annealing.drops[:, None],
                     speed * annealing.levels**-level_exponent, beta)
    return np.column_stack([np.ones(annealing.times.size), annealing.times**-alpha, -sums])


def blind_basis(annealing, values):
    """Columns 1 and T^-s of the ``blind`` law, for the coefficients ``(L0, c1)``; shape (N, 2)."""
    return np.column_stack([np.ones(annealing.times.size), annealing.times**-values[0]])


LAWS = {
    "fsl": Law("fsl", "functional scaling law", "Li et al., arXiv 2509.19189v4, eq. 30",
               ("s", "c4", "c5"), ("L0", "c1", "c2c3", "c2"),
               (0.05, 1e-2, 0.02), (2.0, 1e4, 3.0), (False, True, True), fsl_basis, optional="c2"),
    "mpl": Law("mpl", "multi-power law", "Luo et al., arXiv 2503.12811, eq. 1",
               ("alpha", "C'", "gamma'", "beta'"), ("L0", "A", "C"),
               (0.05, 1e-2, 0.0, 0.02), (2.0, 1e4, 2.0, 3.0), (False, True, False, True), mpl_basis),
    "blind": Law("blind", "schedule-blind power law", "the fsl law with c2 = 0",
                 ("s",), ("L0", "c1"), (0.05,), (2.0,), (False,), blind_basis),
}
"""The laws by name."""


def law(name) -> Law:
    """The law called `name`; ``ValueError`` for an unknown one."""
    if name not in LAWS:
        raise ValueError(f"law is {name!r}; it must be one of {', '.join(LAWS)}")
    return LAWS[name]
