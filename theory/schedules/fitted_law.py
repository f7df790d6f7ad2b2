r"""The final loss that a fitted law predicts, as a function of every learning rate, and its gradient in O(N).

The laws are those of :mod:`theorycheck.theory.fsl.loss_curve_laws`.  At the last of N rows, with ``T`` the intrinsic
time there, ``x_i`` the times at which the noise level changes and ``d_i`` the drops (two of each between two rows),

    L = L_0 + c T^{-s} - sum_i d_i w(x_i) S(v_i (T - x_i)),      S(y) = 1 - (1 + y)^{-p} ,

    fsl:   w = c_2 c_3 + c_2 x^{-s} ,  v = c_4 ,  p = c_5 ;        mpl:   w = C ,  v = C' gamma^{-gamma'} ,  p = beta' .

Every rate enters three times: in the drops beside it, in the places ``x_i`` of those drops, and, through the clock, in
all later times and in T.  So with ``g_x = dL/dx`` and ``g_T = dL/dT`` at fixed drops,

    g_x = d_i (w S'  - w' S) ,        g_T = -s c T^{-s-1} - sum_i d_i w S' ,

the part through the clock of a rate is a sum of ``g_x`` over all later rows plus ``g_T``: one cumulative sum from the
end (the adjoint of the clock) gives all N derivatives.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown
from ..fsl import loss_curve_laws as laws

FRACTION = (np.polynomial.legendre.leggauss(2)[0] + 1) / 2
"""Places of the two changes between two rows, as in :func:`~theorycheck.theory.fsl.loss_curve_laws.annealing`."""


@dataclass(frozen=True, eq=False)
class FittedLaw:
    """A law with its parameters, in the units of its fit.

    Parameters
    ----------
    name : {"fsl", "mpl", "blind"}
    nonlinear, linear : array_like
        In the order of ``LAWS[name].nonlinear`` and ``.linear``; the linear ones >= 0.
    rate, batch : float
        Reference learning rate and batch size, > 0.
    start : float
        Earliest intrinsic time (reference units) at which the law is used, > 0: changes before it act with its source.

    Raises
    ------
    ValueError
        For an unknown law, the wrong number of parameters, or one out of range.
    """

    name: str
    nonlinear: np.ndarray
    linear: np.ndarray
    rate: float = 1.0
    batch: float = 1.0
    start: float = 1e-9

    def __post_init__(self):
        if not isinstance(self.name, str):
            raise ValueError(f"law is {shown(self.name)}; it must be one of {', '.join(laws.LAWS)}")
        rule = laws.law(self.name)
        for field, names in (("nonlinear", rule.nonlinear), ("linear", rule.linear)):
            values = numbers(getattr(self, field), f"{field} parameters")
            if values.shape != (len(names),):
                raise ValueError(f"{field} parameters have shape {values.shape}; the {self.name} law has {len(names)}: "
                                 f"{', '.join(names)}")
            for name, value in zip(names, values):
                if not (math.isfinite(value) and value >= 0):
                    raise ValueError(f"{name} is {value}; it must be finite and >= 0")
            values.setflags(write=False)
            object.__setattr__(self, field, values)
        for field in ("rate", "batch", "start"):
            value = number(getattr(self, field), field)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field} is {value}; it must be finite and > 0")
            object.__setattr__(self, field, value)

    @property
    def unit(self) -> float:
        """Intrinsic time (rate x steps) that is one in the law."""
        return self.rate * laws.STEPS_PER_UNIT

    @property
    def constant(self) -> float:
        """``L_0``."""
        return float(self.linear[0])

    @property
    def power(self) -> tuple:
        """``(c, s)`` of the power law ``c T^{-s}``."""
        return float(self.linear[1]), float(self.nonlinear[0])

    @property
    def weights(self) -> tuple:
        """``(a, b)`` of the weight ``w(x) = a + b x^{-s}`` of a drop."""
        if self.name == "fsl":
            return float(self.linear[2]), float(self.linear[3])
        return (float(self.linear[2]), 0.0) if self.name == "mpl" else (0.0, 0.0)

    @property
    def forgetting(self) -> tuple:
        """``(v, p, q)``: speed ``v gamma^{-q}`` and exponent p of ``S``."""
        if self.name == "fsl":
            return float(self.nonlinear[1]), float(self.nonlinear[2]), 0.0
        if self.name == "mpl":
            return float(self.nonlinear[1]), float(self.nonlinear[3]), float(self.nonlinear[2])
        return 1.0, 1.0, 0.0


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a run at which its rate is stated; between them it is linear in the step.

    Parameters
    ----------
    steps : array_like, shape (n,)
        Increasing, n >= 2; the first is where the warm-up ends.
    warmup : float
        Steps of linear warm-up from 0 to the first rate, in [0, steps[0]].
    batch_sizes : float or array_like, shape (n,)
        > 0.
    """

    steps: np.ndarray
    warmup: float = 0.0
    batch_sizes: np.ndarray = 1.0

    def __post_init__(self):
        steps = numbers(self.steps, "steps")
        if steps.ndim != 1 or steps.size < 2 or not np.all(np.diff(steps) > 0) or steps[0] < 0:
            raise ValueError("steps must be two or more increasing numbers >= 0")
        sizes = np.broadcast_to(numbers(self.batch_sizes, "batch sizes"), steps.shape)
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError("batch sizes must be finite and > 0")
        if not 0 <= number(self.warmup, "warmup") <= steps[0]:
            raise ValueError(f"warmup is {self.warmup}; it must be in [0, {steps[0]:g}], the first row")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "batch_sizes", sizes)

    @property
    def size(self) -> int:
        """n."""
        return self.steps.size

    @property
    def lead(self) -> float:
        """Steps at the first rate that the steps before the first row are worth."""
        return float(self.steps[0] - self.warmup / 2)


@dataclass(frozen=True, eq=False)
class _Changes:
    """Where the noise level changes: arrays of shape (n - 1, 2), and the change at the first row."""

    times: np.ndarray       # of the rows, shape (n,)
    levels: np.ndarray      # of the rows, shape (n,)
    places: np.ndarray
    drops: np.ndarray
    reached: np.ndarray


def _changes(law, rows, rates):
    gaps, unit = np.diff(rows.steps), law.unit
    times = np.empty(rows.size)
    times[0] = rates[0] * rows.lead / unit
    times[1:] = times[0] + np.cumsum(gaps * (rates[1:] + rates[:-1])) / (2 * unit)
    levels = rates / law.rate * (law.batch / rows.batch_sizes)
    f = FRACTION
    passed = rates[:-1, None] * (f - f**2 / 2) + rates[1:, None] * (f**2 / 2)
    places = times[:-1, None] + gaps[:, None] / unit * passed
    drops = (levels[:-1] - levels[1:]) / 2
    reached = levels[:-1, None] + (levels[1:] - levels[:-1])[:, None] * f
    return _Changes(times, levels, places, drops, reached)


def intrinsic_time(law, rows, rates) -> float:
    """Intrinsic time at the last row, in the law's units."""
    gaps = np.diff(rows.steps)
    return float((rates[0] * rows.lead + np.sum(gaps * (rates[1:] + rates[:-1])) / 2) / law.unit)


def final_loss(law, rows, rates) -> float:
    """Loss that the law predicts at the last row.

    Parameters
    ----------
    law : FittedLaw
    rows : Rows
        n rows.
    rates : array_like, shape (n,)
        Learning rates, finite and >= 0, not all 0.

    Returns
    -------
    float
        Equal to the law of :mod:`theorycheck.theory.fsl.loss_curve_laws` on these rows.
    """
    return _evaluate(law, rows, _rates(rows, rates), False)[0]


def final_loss_gradient(law, rows, rates, clock=True):
    """The same and its derivative with respect to every rate, in O(n).

    Parameters
    ----------
    law, rows, rates
        As above.
    clock : bool
        False leaves out what each rate does through the clock: what a law in steps instead of intrinsic time would
        have, and not the derivative.

    Returns
    -------
    loss : float
    gradient : ndarray, shape (n,)
        In loss per unit of rate.
    """
    rates = _rates(rows, rates)
    loss, gradient = _evaluate(law, rows, rates, True)
    return loss, gradient if clock else gradient - _evaluate(law, rows, rates, True, only_clock=True)[1]


def _rates(rows, rates):
    rates = numbers(rates, "rates")
    if rates.shape != rows.steps.shape:
        raise ValueError(f"rates have shape {rates.shape}; they must have ({rows.size},), one to a row")
    if not (np.isfinite(rates) & (rates >= 0)).all() or not rates.any():
        raise ValueError("rates must be finite and >= 0, and not all 0")
    return rates


def _evaluate(law, rows, rates, wanted, only_clock=False):
    seen = _changes(law, rows, rates)
    scale, s = law.power
    a, b = law.weights
    speed, p, level_power = law.forgetting
    end = seen.times[-1]
    loss, by_end = law.constant + scale * end**-s, -s * scale * end**(-s - 1)
    if a == 0 and b == 0:
        gradient = _through_clock(law, rows, np.zeros(rows.size), by_end, 0.0) if wanted else None
        return loss, gradient
    places = np.append(seen.places.ravel(), seen.times[0])
    drops = np.append(np.repeat(seen.drops, 2), 1.0 - seen.levels[0])
    early = places < law.start
    x = np.maximum(places, law.start)
    if level_power:
        reached = np.append(seen.reached.ravel(), seen.levels[0])
        speeds = speed * np.maximum(reached, laws.LEVEL_FLOOR) ** -level_power
    else:
        speeds = speed
    lag = np.maximum(end - x, 0.0)
    left = np.log1p(speeds * lag)
    settled = -np.expm1(-p * left)
    weight = a + b * x**-s if b else a
    loss -= float(np.sum(drops * weight * settled))
    if not wanted:
        return loss, None
    falling = p * np.exp(-(p + 1) * left)
    by_lag = drops * weight * speeds * falling
    by_place = by_lag + (drops * s * b * x**(-s - 1) * settled if b else 0.0)
    by_place[early] = 0.0
    by_drop = -weight * settled
    by_end -= float(np.sum(by_lag))
    inner, by_level = by_place[:-1].reshape(-1, 2), np.zeros(rows.size)
    if level_power:
        active = reached > laws.LEVEL_FLOOR
        by_reached = np.where(active, drops * weight * lag * falling * level_power * speeds
                              / np.maximum(reached, laws.LEVEL_FLOOR), 0.0)
        by_level[0] += by_reached[-1]
        by_reached = by_reached[:-1].reshape(-1, 2)
        by_level[:-1] += by_reached @ (1 - FRACTION)
        by_level[1:] += by_reached @ FRACTION
    both = by_drop[:-1].reshape(-1, 2).sum(axis=1) / 2
    by_level[:-1] += both
    by_level[1:] -= both
    by_level[0] -= by_drop[-1]
    by_time = np.zeros(rows.size)
    by_time[:-1] += inner.sum(axis=1)
    by_time[0] += by_place[-1]
    gradient = _through_clock(law, rows, by_time, by_end, inner)
    return loss, gradient + (0.0 if only_clock else by_level * (law.batch / rows.batch_sizes) / law.rate)


def _through_clock(law, rows, by_time, by_end, inner):
    """What the rates do through the clock: each moves all later times, and the places within its own two intervals."""
    gaps, f = np.diff(rows.steps), FRACTION
    by_time = by_time.copy()
    by_time[-1] += by_end
    later = np.cumsum(by_time[::-1])[::-1]
    gradient = np.zeros(rows.size)
    gradient[0] = rows.lead * later[0]
    gradient[:-1] += gaps * later[1:] / 2
    gradient[1:] += gaps * later[1:] / 2
    if np.ndim(inner):
        gradient[:-1] += gaps * (inner @ (f - f**2 / 2))
        gradient[1:] += gaps * (inner @ (f**2 / 2))
    return gradient / law.unit
