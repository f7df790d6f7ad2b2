"""What the experiments on optimizers are asked for: checked once, refused in one line."""

import math

import numpy as np

from ...theory.arguments import number, numbers, shown

MAX_STEPS = 10_000_000
MAX_BATCH = 2**30
MAX_RECORDED = 128
"""Intervals between the times recorded by default."""


def integer(value, name, top, least=1):
    """An integer in least..top."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not least <= value <= top:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer in {least}..{top}")
    return int(value)


def recorded(times, steps):
    """Numbers of steps after which to record, int64 (T,), increasing in 0..steps; default up to 129 even ones."""
    if times is None:
        return np.unique(np.linspace(0, steps, min(steps, MAX_RECORDED) + 1).round().astype(np.int64))
    array = np.atleast_1d(numbers(times, "times"))
    whole = array.ndim == 1 and array.size > 0 and np.isfinite(array).all() and np.all(array == np.floor(array))
    if not whole or array[0] < 0 or array[-1] > steps or np.any(np.diff(array) <= 0):
        raise ValueError(f"times are {shown(times)}; they must be whole and increase strictly within 0..{steps}")
    return array.astype(np.int64)


def row(values, name, size):
    """Finite numbers (size,); one number stands for all."""
    array = numbers(values, name)
    if array.ndim > 1 or array.size not in (1, size):
        raise ValueError(f"{name} have shape {array.shape}; there must be one or {size}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} are {shown(values)}; they must be finite")
    return np.broadcast_to(array.reshape(-1), (size,)).copy()


def levels(values, name, size):
    """Standard deviations >= 0, (size,)."""
    array = row(values, name, size)
    if array.min() < 0:
        raise ValueError(f"{name} are {shown(values)}; they must be >= 0")
    return array


def level(value, name):
    """A finite number >= 0."""
    value = number(value, name)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value:g}; it must be finite and >= 0")
    return value


def factors(values, name, steps):
    """Finite numbers >= 0, one per step (K,); default ones."""
    array = np.ones(steps) if values is None else numbers(getattr(values, "rates", values), name)
    if array.shape != (steps,) or not (np.isfinite(array).all() and array.min() >= 0):
        raise ValueError(f"{name} have shape {array.shape} and begin {shown(array[:3].tolist())}; there must be one "
                         f"finite number >= 0 for each of {steps} steps")
    return array


def flag(value, name):
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {shown(value)}; it must be True or False")
    return bool(value)
