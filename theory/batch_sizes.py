"""Batch-size schedules: the number of samples B_k that step k averages over.

Built like the learning-rate schedules, rounded to whole samples: every shape of :mod:`.learning_rates` serves through
:func:`shaped_like` (first to last size as the rate goes from its peak to its least) and :func:`matched` (the sizes that
make at a constant rate the same noise level ``eta/B``).  Everything that takes a ``batch_size`` accepts an integer, a
sequence with one entry per step, or a :class:`BatchSchedule`; :func:`as_sizes` is how.
"""

import math
from dataclasses import dataclass

import numpy as np

from . import learning_rates
from .arguments import number, numbers


@dataclass(frozen=True, eq=False)
class BatchSchedule:
    """A batch-size schedule.

    Parameters
    ----------
    sizes : array_like, shape (K,)
        Whole numbers >= 1.
    name : str
    """

    sizes: np.ndarray
    name: str = "array"

    def __post_init__(self):
        sizes = learning_rates._sequence(self.sizes, "batch size")
        learning_rates._refuse((sizes < 1) | (sizes != np.floor(sizes)), sizes, "batch size", "be a whole number >= 1")
        sizes.setflags(write=False)
        object.__setattr__(self, "sizes", sizes)

    @property
    def steps(self) -> int:
        """Number of steps K."""
        return self.sizes.size

    @property
    def samples(self) -> float:
        """Data used, ``D = sum_k B_k``."""
        return float(self.sizes.sum())

    def __repr__(self):
        return f"BatchSchedule({self.name!r}, steps={self.steps}, {self.sizes[0]:g} to {self.sizes[-1]:g})"


def constant(steps, size):
    """``B_k = size``."""
    return BatchSchedule(np.full(learning_rates._steps(steps), number(size, "batch size")), f"batch {size}")


def stages(steps, sizes, milestones):
    """Piecewise constant: ``sizes[i]`` from milestone i - 1 to milestone i (fractions of the steps).

    ``milestones`` increase strictly within (0, 1) and are one fewer than ``sizes``.
    """
    steps = learning_rates._steps(steps)
    marks, sizes = numbers(milestones, "milestones"), numbers(sizes, "sizes")
    if marks.ndim != 1 or sizes.shape != (marks.size + 1,):
        raise ValueError(f"{sizes.size} sizes with {marks.size} milestones; one more size than milestones is needed")
    if not np.all((marks > 0) & (marks < 1)) or not np.all(np.diff(marks) > 0):
        raise ValueError(f"milestones are {marks.tolist()}; they must increase strictly within (0, 1)")
    return BatchSchedule(sizes[np.searchsorted(np.round(marks * steps), np.arange(steps), side="right")], "stages")


def linear(steps, first, last):
    """Straight line from ``first`` to ``last`` samples, rounded."""
    return _ramp("linear", steps, first, last, lambda x, first, last: first + (last - first) * x)


def exponential(steps, first, last):
    """Geometric growth (or decline) from ``first`` to ``last`` samples, rounded."""
    return _ramp("exponential", steps, first, last, lambda x, first, last: first * np.exp(math.log(last / first) * x))


def shaped_like(schedule, first, last):
    """The shape of a learning-rate schedule: ``first`` samples at its peak, ``last`` at its smallest rate, rounded.

    Parameters
    ----------
    schedule : Schedule
        Of any shape but constant: ``lr.wsd``, ``lr.cosine``, ``lr.multi_step``, ``lr.cyclic``, ...
    first, last : int
        Batch sizes >= 1.
    """
    rates = _rates(schedule)
    span = rates.max() - rates.min()
    if span == 0.0:
        raise ValueError(f"the schedule is constant at {schedule.peak:g}; its rate must vary to have a shape")
    first, last = _size(first, "first"), _size(last, "last")
    return BatchSchedule(np.round(first + (last - first) * ((rates.max() - rates) / span)), schedule.name)


def matched(schedule, size=1):
    """The sizes that make, at the constant peak rate, the noise level ``eta/B`` of a schedule at batch size ``size``.

    Parameters
    ----------
    schedule : Schedule
        Rates > 0.
    size : int
        >= 1.

    Returns
    -------
    BatchSchedule
        ``round(size peak/eta_k)``: what growing batches do in place of a falling rate where only ``eta/B`` matters.
    """
    rates = _rates(schedule)
    learning_rates._refuse(rates <= 0, rates, "learning rate", "be > 0 to be matched by a batch size")
    return BatchSchedule(np.round(_size(size, "matched") * schedule.peak / rates), f"matched to {schedule.name}")


def warmup(schedule, steps, start=1):
    """Put ``steps`` >= 1 steps in front of ``schedule`` that go linearly from ``start`` to its first size, rounded."""
    if not isinstance(schedule, BatchSchedule):
        raise ValueError(f"schedule is a {type(schedule).__name__}; it must be a BatchSchedule")
    ahead = linear(steps, start, schedule.sizes[0])
    return BatchSchedule(np.concatenate([ahead.sizes, schedule.sizes]), f"warm-up + {schedule.name}")


def from_array(sizes, name="array"):
    """Wrap any sequence of whole numbers >= 1."""
    return BatchSchedule(sizes, name)


def from_csv(lines, name="CSV", column="batch_size"):
    """Read batch sizes from CSV lines as :func:`.learning_rates.from_csv` does; between rows the last size is held."""
    steps, values = learning_rates.read_columns(lines, column)
    if steps is not None:
        wanted = np.arange(learning_rates._steps(int(steps[-1]) + 1))
        values = values[np.maximum(np.searchsorted(steps, wanted, side="right") - 1, 0)]
    return BatchSchedule(values, name)


def as_sizes(batch_size, steps):
    """Return the batch size of every step.

    Parameters
    ----------
    batch_size : int, array_like of shape (steps,), or BatchSchedule
    steps : int

    Returns
    -------
    ndarray of float64, shape (steps,)

    Raises
    ------
    ValueError
        For sizes below 1, not whole, or of the wrong length.
    """
    if not isinstance(batch_size, BatchSchedule):
        batch_size = constant(steps, batch_size) if np.ndim(batch_size) == 0 else from_array(batch_size)
    if batch_size.steps != steps:
        raise ValueError(f"batch-size schedule has {batch_size.steps} steps; the learning-rate schedule has {steps}")
    return batch_size.sizes


def _ramp(name, steps, first, last, shape):
    steps = learning_rates._steps(steps)
    first, last = _size(first, "first"), _size(last, "last")
    return BatchSchedule(np.round(shape(np.arange(steps) / steps, first, last)), name)


def _size(value, label):
    value = number(value, f"{label} batch size")
    if not (np.isfinite(value) and value >= 1):
        raise ValueError(f"{label} batch size is {value}; it must be >= 1")
    return value


def _rates(schedule):
    if not isinstance(schedule, learning_rates.Schedule):
        raise ValueError(f"schedule is a {type(schedule).__name__}; it must be a learning-rate Schedule")
    return schedule.rates
