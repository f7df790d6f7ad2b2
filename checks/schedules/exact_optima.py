"""Optima of exact SGD that several claims look at, each solved once per process; spectra to 1e-8 relative."""

from functools import cache

import numpy as np

from ...theory import fsl
from ...theory.schedules.batch_control import optimal_batches
from ...theory.schedules.optimal_control import optimal_rates
from ...theory.schedules.spectral_optimum import spectral_optimum

CAP = 0.3
"""Largest learning rate of capped runs; mean-square stability ends at 0.52 to 0.65 for the capacities used."""

ACCURACY = 1e-6
"""Tolerance per panel of the compression; the kernel and the signal come out to 1e-7 or better."""

EASY = ((1.0, 2.0), (1.0, 1.5))
HARD = ((1.0 / 6.0, 3.0), (0.15, 2.0), (0.25, 2.0))


def problem(source, capacity):
    """Infinite width, Gaussian features, sigma = 1."""
    return fsl.PowerLawRegression(source, capacity)


@cache
def spectrum(source, capacity, longest):
    """Modes good for intrinsic times up to ``longest``."""
    return fsl.compress(problem(source, capacity), longest, tolerance=ACCURACY)


@cache
def best_rates(source, capacity, steps, cap=None, batch_size=1):
    """Optimal control of the rates."""
    longest = (cap or 1.0) * steps * max(1.0, batch_size)
    return optimal_rates(spectrum(source, capacity, longest), steps, batch_size, cap, tolerance=1e-11)


@cache
def best_batches(source, capacity, data, rate, smallest=1.0):
    """Optimal control of the batch sizes."""
    return optimal_batches(spectrum(source, capacity, data * rate / smallest), data, rate, smallest)


@cache
def best_by_law(source, capacity, data, floor=0.0, minibatch_noise=True):
    """The law's optimum."""
    return spectral_optimum(problem(source, capacity), data, floor, minibatch_noise=minibatch_noise)


def risks(control, batch_size=1, rates=None):
    """``S_k = sum lambda c`` before each step of an optimum."""
    schedule = control.schedule() if rates is None else rates
    path = fsl.exact_risk(control.spectrum, schedule, batch_size, times=np.arange(schedule.steps + 1))
    return 2.0 * path.excess_risk[:-1]


def kernel(spectrum, times):
    """``K(u) = sum w lambda^2 exp(-2 lambda u)``."""
    values = spectrum.eigenvalues
    return np.exp(-2.0 * np.multiply.outer(np.asarray(times), values)) @ (spectrum.multiplicity * values**2)


def remaining_times(schedule):
    """Intrinsic time that remains at the middle of each step."""
    time = schedule.intrinsic_time
    return time[-1] - 0.5 * (time[1:] + time[:-1])


def powers_of_two(first, last, stride=1):
    """``2^first, ..., 2^last`` as integers."""
    return [2**power for power in range(first, last + 1, stride)]
