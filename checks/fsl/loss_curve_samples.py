"""Measured runs as the laws of loss curves see them: in common units, after the warm-up, averaged where dense."""

from dataclasses import dataclass, replace

import numpy as np

from ...theory.fsl import loss_curve_laws as laws

SKIPPED_FRACTION = 0.01
"""Rows before this fraction of the shortest training run's intrinsic time are neither fitted nor predicted."""


@dataclass(frozen=True)
class Units:
    """What the times and noise levels of a fit are measured in.

    Parameters
    ----------
    rate, batch : float
        Learning rate and batch size of the first training run when its warm-up ends.
    start : float
        Earliest intrinsic time (in those units) the law is used at.
    warmup : float or None
        Declared steps of warm-up; ``None`` where each record speaks for itself.
    """

    rate: float
    batch: float
    start: float
    warmup: float | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One training run as the optimiser sees it.

    Parameters
    ----------
    name : str
    annealing : Annealing
        At the rows that are fitted.
    losses : ndarray, shape (N,)
    steps : float
        Last step of the run.
    levels : tuple of float
        Noise level when the warm-up ends, the lowest and the highest after it, relative to the reference.
    scatter : float
        Relative scatter of logged rows about their averages, where rows were averaged.
    """

    name: str
    annealing: laws.Annealing
    losses: np.ndarray
    steps: float
    levels: tuple
    scatter: float = 0.0


def units_of(curves, warmup):
    """Common units of some training runs.

    Raises
    ------
    ValueError
        For no runs, one without losses, mixed batch sizes, or a warm-up that leaves nothing.
    """
    if not curves:
        raise ValueError("no training run given; at least one is needed")
    if warmup is not None and not (np.isfinite(warmup) and warmup >= 0):
        raise ValueError(f"warmup is {warmup}; it must be a finite number of steps >= 0")
    for curve in curves:
        if curve.losses is None:
            raise ValueError(f"{curve.name}: column 'loss' is missing; a training run needs it")
        if (curve.batch_sizes is None) != (curves[0].batch_sizes is None):
            raise ValueError(f"{curve.name}: batch sizes must be given for all training runs or for none")
    first = curves[0]
    row = laws.first_row(first.steps, first.rates, warmup)
    if row >= first.steps.size:
        raise ValueError(f"{first.name}: warm-up of {warmup:g} steps covers all {first.steps.size} rows")
    rate = float(first.rates[row])
    batch = 1.0 if first.batch_sizes is None else float(first.batch_sizes[row])
    if not rate > 0:
        raise ValueError(f"{first.name}: lr is 0 at step {first.steps[row]:g}, where the warm-up ends; it must be > 0")
    ends = [laws.intrinsic_times(c.steps, c.rates, warmup)[-1] for c in curves]
    start = SKIPPED_FRACTION * min(ends) / (rate * laws.STEPS_PER_UNIT)
    return Units(rate, batch, start, warmup)


def annealing_in(curve, units, batched):
    """What a law sees of a curve in these units, and the mask of rows it may be used at."""
    if (curve.batch_sizes is not None) != batched:
        raise ValueError(f"{curve.name}: batch sizes must be given for both the training and the predicted runs, "
                         "or for neither")
    row = laws.first_row(curve.steps, curve.rates, units.warmup)
    if curve.steps.size - row < 2:
        raise ValueError(f"{curve.name}: {max(curve.steps.size - row, 0)} row(s) after the warm-up; "
                         "at least 2 are needed")
    full = laws.annealing(curve.steps, curve.rates, curve.batch_sizes, warmup=units.warmup,
                          reference_rate=units.rate, reference_batch=units.batch)
    valid = (np.arange(full.times.size) >= row) & (full.times >= units.start)
    if valid.sum() < 2:
        raise ValueError(f"{curve.name}: ends at intrinsic time {full.times[-1]:.3g}, before the fitted range "
                         f"starts at {units.start:.3g}")
    # a change before the law's range acts with the source of its start
    changes = np.maximum(full.change_times, units.start)
    return laws.Annealing(full.times, changes, full.drops, full.levels), valid


def sample_of(curve, units, rows):
    """A training run in these units, with at most `rows` rows."""
    annealing, valid = annealing_in(curve, units, curve.batch_sizes is not None)
    times, losses = annealing.times[valid], curve.losses[valid]
    return thinned(Sample(curve.name, annealing.at(times), losses, float(curve.steps[-1]),
                           noise_levels(curve, units)), rows)


def noise_levels(curve, units):
    """Noise level (rate / batch size) of a run when its warm-up ends, its lowest and its highest after that."""
    row = laws.first_row(curve.steps, curve.rates, units.warmup)
    batch = 1.0 if curve.batch_sizes is None else curve.batch_sizes[row:] / units.batch
    levels = curve.rates[row:] / units.rate / batch
    return float(levels[0]), float(levels.min()), float(levels.max())


def thinned(sample, rows):
    """The sample averaged over equal numbers of rows, with its changes merged, if it has more than `rows`."""
    times, losses, scatter = sample.annealing.times, sample.losses, sample.scatter
    if times.size > rows:
        edges = np.linspace(0, times.size, rows + 1).astype(int)[:-1]
        counts = np.diff(np.append(edges, times.size))
        times = np.add.reduceat(times, edges) / counts
        losses = np.add.reduceat(losses, edges) / counts
        smooth = np.interp(sample.annealing.times, times, losses)
        scatter = float(np.sqrt(np.mean((sample.losses / smooth - 1) ** 2)))
    return replace(sample, annealing=sample.annealing.at(times).merged(2 * rows), losses=losses, scatter=scatter)
