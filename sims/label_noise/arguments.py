"""What the experiments on label noise are asked for: checked once, refused in one line."""


import numpy as np

from ...theory import label_noise as theory
from ...theory.arguments import numbers, shown

MAX_STEPS = 200_000_000
"""Longest run (1.6 GB of noise levels)."""
MAX_RECORDED = 128
"""Intervals between the times recorded by default."""


def integer(value, name, top):
    """An integer in 1..top."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= top:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer in 1..{top}")
    return int(value)


def recorded(times, steps):
    """Numbers of steps after which to record, int64 (T,), increasing in 0..steps; default up to 129 even ones."""
    if times is None:
        return np.unique(np.linspace(0, steps, min(steps, MAX_RECORDED) + 1).round().astype(np.int64))
    if isinstance(times, bool):
        raise ValueError(f"times are {times}; they must be whole and increase strictly within 0..{steps}")
    array = np.atleast_1d(numbers(times, "times"))
    whole = array.ndim == 1 and array.size > 0 and np.isfinite(array).all() and np.all(array == np.floor(array))
    if not whole or array[0] < 0 or array[-1] > steps or np.any(np.diff(array) <= 0):
        raise ValueError(f"times are {shown(times)}; they must be whole and increase strictly within 0..{steps}")
    return array.astype(np.int64)


def levels(noise, steps):
    """Noise levels (K,), not negative; default ones."""
    if noise is None:
        return np.ones(steps)
    array = finite(noise, "noise levels")
    if array.shape != (steps,):
        raise ValueError(f"noise has shape {array.shape}; it must be ({steps},), one level per step")
    if array.min() < 0:
        raise ValueError(f"noise of step {int(array.argmin())} is {array.min()}; it must be >= 0")
    return array


def training_set(inputs, model):
    """Inputs (n, d) that fit the model, or None."""
    if inputs is None:
        return None
    array = finite(inputs, "inputs")
    if array.shape != (model.samples, model.dimension):
        raise ValueError(f"inputs have shape {array.shape}; they must be ({model.samples}, {model.dimension}), the "
                         "model's samples and dimension")
    return array


def start_of(start, model):
    """``(w_i, a_i)`` in rows (m, d + 1) of a pair (W, a) that fits the model, or None."""
    if start is None:
        return None
    if not isinstance(start, tuple | list) or len(start) != 2:
        raise ValueError(f"start is a {type(start).__name__}; it must be a pair (W, a)")
    first, second = finite(start[0], "entries of W"), finite(start[1], "entries of a")
    if first.shape != (model.width, model.dimension) or second.shape != (model.width,):
        raise ValueError(f"start has shapes {first.shape} and {second.shape}; they must be ({model.width}, "
                         f"{model.dimension}) and ({model.width},)")
    return np.column_stack([first, second])


def finite(values, name):
    """Numbers within the range whose squares are finite."""
    array = numbers(values, name)
    outside = ~(np.abs(array) <= theory.LARGEST)
    if outside.any():
        raise ValueError(f"{name} hold {array[outside][0]}; all must be within +-{theory.LARGEST:g}")
    return array


def check_stability(model, inputs, start, critical=theory.critical_step):
    """Refuse a step outside mean-square stability at the start or at the flattest interpolator.

    ``critical(kernel, inputs)`` is the effective step at which stability ends.
    """
    kernel = _start_kernel(model, start)
    covariance = None if inputs is None else inputs.T @ inputs / len(inputs)
    vanished = covariance is not None and not np.trace(covariance) > 0
    flattest = np.zeros_like(kernel) if vanished else theory.flattest_kernel(model.target, covariance)
    for place, matrix in (("at the start", kernel), ("at the flattest interpolator", flattest)):
        bound = critical(matrix, inputs) / (2.0 * model.loss_factor)
        if not model.step < bound:
            raise ValueError(f"step is {model.step:g}; mean-square stability {place} needs it in (0, {bound:.6g}), "
                             "unless the run is named a catapult")


def check_drawn_sets(experiment, sets, first, critical=theory.critical_step):
    """Refuse drawn training sets (R, n, d) of replicas ``first, ...`` on which a step is not mean-square stable.

    ``h max_i x_i'M x_i < 2`` suffices, for ``(z'R z)^2 <= ||z||^2 z'R^2 z`` (derived); the exact bound is taken only
    where that does not hold.
    """
    model, start = experiment.model, experiment.start
    if experiment.catapult:
        return
    squares, along = np.einsum("rni,rni->rn", sets, sets), sets @ model.target
    total, fitted = np.sum(squares, axis=1), np.sum(along**2, axis=1)
    alpha = np.sqrt(np.divide(fitted, total, out=np.zeros_like(total), where=total > 0))[:, None]
    flattest = alpha * squares + np.divide(along**2, alpha, out=np.zeros_like(along), where=alpha > 0)
    begin = (model.kernel_scale * squares if start is None
             else np.sum(sets @ _start_kernel(model, start) * sets, axis=2))
    for row in np.flatnonzero(model.effective_step * np.maximum(begin, flattest).max(axis=1) >= 2.0):
        try:
            check_stability(model, sets[row], start, critical)
        except ValueError as error:
            raise ValueError(f"on the training set drawn for replica {first + row} {error}") from None


def _start_kernel(model, start):
    """M of a given start, or the mean over drawn ones."""
    return model.kernel_scale * np.eye(model.dimension) if start is None else theory.kernel(start.T @ start)
