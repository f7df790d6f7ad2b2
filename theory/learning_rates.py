r"""Learning-rate schedules.

A schedule is the sequence of rates ``eta_0, ..., eta_{K-1}``; step k uses ``eta_k``.  Shapes are functions of
the training fraction ``x = k/K`` so that the value at ``x = 1`` (the printed final rate) is the one that step K would
use.  *Intrinsic time* is the accumulated rate, ``t_k = sum_{i<k} eta_i`` (Li et al., arXiv 2509.19189, Sec. 2),
the clock in which gradient flow runs.

    >>> from theorycheck.theory import learning_rates as lr
    >>> lr.wsd(steps=10_000, peak=0.1, cooldown=0.2).intrinsic_time[-1]
"""

import csv
import math
from dataclasses import dataclass, field

import numpy as np

from .arguments import number, numbers, shown

MAX_STEPS = 200_000_000
"""Longest schedule that is built (1.6 GB of rates)."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """A learning-rate schedule.

    Parameters
    ----------
    rates : array_like, shape (K,)
        Learning rate of each step, finite and >= 0, not all zero.
    name : str
        What to call it in tables and figures.

    Raises
    ------
    ValueError
        For an empty, non-finite, negative or all-zero sequence.
    """

    rates: np.ndarray
    name: str = "array"
    intrinsic_time: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        rates = _sequence(self.rates, "learning rate")
        _refuse(rates < 0, rates, "learning rate", "be >= 0")
        if not rates.any():
            raise ValueError("every learning rate is 0; at least one must be > 0")
        time = np.empty(rates.size + 1)
        time[0] = 0.0
        np.cumsum(rates, out=time[1:])
        for name, array in (("rates", rates), ("intrinsic_time", time)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def steps(self) -> int:
        """Number of steps K."""
        return self.rates.size

    @property
    def peak(self) -> float:
        """Largest rate."""
        return float(self.rates.max())

    @property
    def final(self) -> float:
        """Rate of the last step."""
        return float(self.rates[-1])

    def __repr__(self):
        return f"Schedule({self.name!r}, steps={self.steps}, peak={self.peak:g}, final={self.final:g})"


def constant(steps, peak):
    """``eta_k = peak``."""
    return _shaped("constant", steps, peak, 0.0, lambda x: np.ones_like(x))


def linear(steps, peak, final=0.0):
    """Straight line from ``peak`` to ``final``."""
    return _shaped("linear", steps, peak, final, lambda x: 1.0 - x)


def cosine(steps, peak, final=0.0):
    """Half a cosine from ``peak`` to ``final``."""
    return _shaped("cosine", steps, peak, final, lambda x: 0.5 * (1.0 + np.cos(np.pi * x)))


def power(steps, peak, exponent, final=0.0):
    """``final + (peak - final) (1 - k/K)^exponent``, exponent > 0."""
    exponent = _positive(exponent, "exponent")
    return _shaped(f"power {exponent:g}", steps, peak, final, lambda x: (1.0 - x) ** exponent)


def exponential(steps, peak, final=None):
    """``peak (final/peak)^(k/K)``; ``final`` > 0, default ``peak/steps``.

    Linear in intrinsic time: ``eta = peak - (peak - final) t/T`` (Thm 5.3 of arXiv 2509.19189).
    """
    steps = _steps(steps)
    final = _positive(peak, "peak") / steps if final is None else _positive(final, "final")
    peak, final = _range(peak, final)
    return Schedule(peak * np.exp(math.log(final / peak) * _fractions(steps)), "exponential")


COOLDOWNS = ("exponential", "linear", "1-sqrt")
"""Shapes of the decay phase of :func:`wsd`."""


def wsd(steps, peak, cooldown=0.2, final=None, shape="exponential"):
    """Warm-up-stable-decay without its warm-up: ``peak``, then a decay over the last ``cooldown`` of the steps.

    Parameters
    ----------
    steps : int
    peak : float
        > 0.
    cooldown : float
        Fraction of the steps in the decay phase, in (0, 1]; it is rounded to whole steps, at least one.
    final : float, optional
        Rate reached at the end; default ``peak/steps`` for the exponential shape (the paper's choice), else 0.
    shape : {"exponential", "linear", "1-sqrt"}
        Decay phase: geometric, straight, or ``1 - sqrt(x)``.
    """
    steps = _steps(steps)
    if not isinstance(shape, str) or shape not in COOLDOWNS:
        raise ValueError(f"shape is {shown(shape)}; it must be one of {', '.join(COOLDOWNS)}")
    cooldown = number(cooldown, "cooldown")
    if not 0 < cooldown <= 1:
        raise ValueError(f"cooldown is {cooldown}; it must be in (0, 1]")
    decay = max(1, round(cooldown * steps))
    name = "WSD" if shape == "exponential" else f"WSD {shape}"
    if final is None:
        final = _positive(peak, "peak") / steps if shape == "exponential" else 0.0
    if shape == "exponential":
        tail = exponential(decay, peak, final)
    elif shape == "linear":
        tail = linear(decay, peak, final)
    else:
        tail = _shaped(name, decay, peak, final, lambda x: 1.0 - np.sqrt(x))
    return Schedule(np.concatenate([np.full(steps - decay, float(peak)), tail.rates]), name)


def cyclic(steps, peak, final=0.0, cycles=4):
    """Cosine oscillation from ``peak`` down to ``final`` and back, ``cycles`` >= 1 times."""
    cycles = number(cycles, "cycles")
    if not (cycles >= 1 and cycles.is_integer()):
        raise ValueError(f"cycles is {cycles:g}; it must be an integer >= 1")
    return _shaped("cyclic", steps, peak, final, lambda x: 0.5 * (1.0 + np.cos(2.0 * np.pi * cycles * x)))


def multi_step(steps, peak, milestones=(0.8, 0.9), factor=10.0**-0.5):
    """Multiply the rate by ``factor`` at each milestone; the default is the 8-1-1 schedule.

    Parameters
    ----------
    milestones : sequence of float
        Fractions of the steps, strictly increasing in (0, 1).
    factor : float
        > 0.
    """
    steps = _steps(steps)
    marks = numbers(milestones, "milestones")
    if marks.ndim != 1 or marks.size == 0 or not np.all((marks > 0) & (marks < 1)) or not np.all(np.diff(marks) > 0):
        raise ValueError(f"milestones are {list(np.ravel(marks))}; they must increase strictly within (0, 1)")
    factor = _positive(factor, "factor")
    passed = np.searchsorted(np.round(marks * steps), np.arange(steps), side="right")
    name = "8-1-1" if tuple(np.round(marks, 12)) == (0.8, 0.9) else "multi-step"
    return Schedule(_positive(peak, "peak") * factor ** passed.astype(np.float64), name)


def warmup(schedule, steps, start=0.0):
    """Put a linear warm-up of ``steps`` steps in front of ``schedule``, from ``start`` to its first rate.

    Warm-up step i uses ``start + (first - start) (i + 1)/(steps + 1)``; the schedule itself is kept whole.
    """
    if not isinstance(schedule, Schedule):
        raise ValueError(f"schedule is {shown(schedule)}; it must be a Schedule")
    steps, start = number(steps, "warm-up steps"), number(start, "start of the warm-up")
    if not (0 <= steps <= MAX_STEPS and steps.is_integer()):
        raise ValueError(f"warm-up steps is {steps:g}; it must be an integer in [0, {MAX_STEPS}]")
    first = schedule.rates[0]
    if not 0 <= start <= max(first, 0):
        raise ValueError(f"start of the warm-up is {start}; it must be in [0, {first:g}], the schedule's first rate")
    ramp = start + (first - start) * np.arange(1, steps + 1) / (steps + 1)
    return Schedule(np.concatenate([ramp, schedule.rates]), f"warm-up + {schedule.name}")


def from_array(rates, name="array"):
    """Wrap any finite, non-negative, not-all-zero sequence of rates."""
    return Schedule(rates, name)


def from_csv(lines, name="CSV", column="lr"):
    """Read a schedule from CSV lines.

    Parameters
    ----------
    lines : iterable of str
        Lines with a header (an open text file will do).  Column ``lr`` is required.  With a column ``step``
        (whole, strictly increasing, >= 0) the rates between two rows are interpolated linearly and the first
        rate is held before the first row; without it every row is one step.
    name, column : str

    Raises
    ------
    ValueError
        With the line number, for a missing column, text in a number, a non-finite or negative rate, or
        steps that do not increase.
    """
    steps, values = read_columns(lines, column)
    if steps is not None:
        values = np.interp(np.arange(_steps(int(steps[-1]) + 1)), steps, values)
    return Schedule(values, name)


def read_columns(lines, column):
    """Read ``column`` and, if present, ``step`` from CSV lines; return ``(steps or None, values)``."""
    try:
        if isinstance(lines, str | bytes):   # the name of a file, say
            raise TypeError
        reader = csv.reader(iter(lines))
    except TypeError:
        raise ValueError(f"lines is {shown(lines)}; it must be an open text file or a list of lines") from None
    rows = _rows(reader)
    header = [title.strip().lstrip("\ufeff") for title in next(rows, [])]
    if column not in header:
        found = " ".join(", ".join(header).split())
        raise ValueError(f"column {shown(column)} is missing; the header has: {found or 'nothing'}")
    wanted = [header.index("step") if "step" in header else None, header.index(column)]
    table = []
    for row in rows:
        if not row:
            continue
        numbers = []
        for place in wanted:
            text = "0" if place is None else row[place] if place < len(row) else ""
            try:
                numbers.append(float(text))
            except ValueError:
                raise ValueError(f"line {reader.line_num}: {text!r:.60} is not a number") from None
            if not math.isfinite(numbers[-1]) or numbers[-1] < 0:
                raise ValueError(f"line {reader.line_num}: {text} must be finite and >= 0")
        table.append(numbers)
    if not table:
        raise ValueError("there is no row below the header; at least one is needed")
    steps, values = np.array(table).T
    if wanted[0] is None:
        return None, values
    if np.any(steps != np.floor(steps)) or np.any(np.diff(steps) <= 0):
        raise ValueError("the steps must be whole and strictly increasing")
    return steps, values


def _rows(reader):
    """Rows of a CSV reader; what it cannot split is a ValueError like any other bad line."""
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _shaped(name, steps, peak, final, shape):
    """Schedule ``final + (peak - final) shape(k/K)``."""
    peak, final = _range(peak, final)
    return Schedule(final + (peak - final) * shape(_fractions(_steps(steps))), name)


def _fractions(steps):
    return np.arange(steps) / steps


def _steps(steps):
    value = number(steps, "steps")
    if not (1 <= value <= MAX_STEPS and value.is_integer()):
        raise ValueError(f"steps is {steps}; it must be an integer in [1, {MAX_STEPS}]")
    return int(value)


def _positive(value, label):
    value = number(value, label)
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{label} is {value}; it must be finite and > 0")
    return value


def _range(peak, final):
    peak, final = _positive(peak, "peak"), number(final, "final")
    if not 0 <= final <= peak:
        raise ValueError(f"final is {final}; it must be in [0, peak = {peak:g}]")
    return peak, final


def _sequence(values, label):
    values = numbers(values, f"{label}s")
    if values.ndim != 1 or not 1 <= values.size <= MAX_STEPS:
        raise ValueError(f"{label}s have shape {values.shape}; they must be a sequence of 1 to {MAX_STEPS} numbers")
    _refuse(~np.isfinite(values), values, label, "be finite")
    return values


def _refuse(bad, values, label, rule):
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(f"{label} of step {where} is {values[where]}; it must {rule}")
