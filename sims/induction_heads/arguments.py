"""What the experiments on induction heads are asked for: checked once, refused in one line."""

import math

import numpy as np

from ...theory.arguments import number, numbers, shown
from ...theory.induction_heads.population_loss import Task

MAX_LENGTH = 4096
MAX_STEPS = 10_000_000
MAX_BATCH = 2**20
MAX_RECORDED = 128
"""Intervals between the times recorded by default."""


def integer(value, name, top, least=1):
    """An integer in least..top."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not least <= value <= top:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer in {least}..{top}")
    return int(value)


def finite_task(task, any_dimension=False):
    """A task of finite length that can be simulated."""
    if not isinstance(task, Task):
        raise ValueError(f"task is {shown(task)}; it must be a Task")
    if not task.length <= MAX_LENGTH:
        raise ValueError(f"length is {task.length}; a simulation needs a context of 4..{MAX_LENGTH} tokens")
    if task.dimension != 1 and not any_dimension:
        raise ValueError(f"dimension is {task.dimension}; the descent is for tokens of dimension 1")
    return task


def recorded(times, steps):
    """Numbers of steps after which to record, int64 (T,), increasing in 0..steps; default up to 129 even ones."""
    if times is None:
        return np.unique(np.linspace(0, steps, min(steps, MAX_RECORDED) + 1).round().astype(np.int64))
    array = np.atleast_1d(numbers(times, "times"))
    whole = array.ndim == 1 and array.size > 0 and np.isfinite(array).all() and np.all(array == np.floor(array))
    if not whole or array[0] < 0 or array[-1] > steps or np.any(np.diff(array) <= 0):
        raise ValueError(f"times are {shown(times)}; they must be whole and increase strictly within 0..{steps}")
    return array.astype(np.int64)


def learning_rate(value):
    """A finite learning rate > 0."""
    value = number(value, "rate")
    if not 0 < value < math.inf:
        raise ValueError(f"rate is {value:g}; it must be finite and > 0")
    return value


def one_of(value, name, choices):
    """One of several words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {shown(value)}; it must be one of {', '.join(choices)}")
    return value
