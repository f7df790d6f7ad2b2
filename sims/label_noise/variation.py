"""What the experiments on the plain recursion share: their parameters, their observables, their neurons.

An experiment here is a frozen dataclass with ``model``, ``times``, ``inputs``, ``start``, ``neurons`` and two methods:
``run(key, replica, inputs, sigma, start, states, maps)`` fills states and maps as :mod:`.recursion` says,
``check_drawn(inputs, replica)`` refuses a drawn training set on which the run would not be what it is called.
"""

import math

import numpy as np

from ...theory.arguments import shown
from .. import engine, streams
from . import kernels, recursion

EXPERIMENT = "label_noise.sgd"
"""Name of the random stream: that of :class:`.descent.Descent`, so that starts and training sets are the same."""
MAX_BYTES = 2**31
"""Largest memory for the training set, the start and the states of one replica."""


def observables(neurons) -> tuple:
    """Names of the entries of the last axis, those of :class:`.descent.Descent`."""
    return kernels.OBSERVABLES + (kernels.NEURONS if neurons else ())


def parameters(experiment) -> dict:
    """What determines a replica besides the seed and what the algorithm adds."""
    model = experiment.model
    return {"dimension": model.dimension, "width": model.width, "step": model.effective_step,
            "target_norm": float(model.target_norm), "samples": float(model.samples),
            "first_scale": float(model.first_scale), "second_scale": float(model.second_scale),
            "loss_factor": float(model.loss_factor), "times": experiment.times, "inputs": experiment.inputs,
            "start": experiment.start, "neurons": experiment.neurons}


def check_memory(experiment):
    """Refuse what would not fit into memory."""
    model = experiment.model
    rows = 0 if model.samples == math.inf else model.samples
    maps = 2 if experiment.neurons else 1
    need = 8 * (model.dimension + 1) * (rows + 2 * model.width + maps * experiment.times.size * (model.dimension + 1))
    if need > MAX_BYTES:
        raise ValueError(f"width {model.width}, samples {model.samples} and {experiment.times.size} recorded times at "
                         f"dimension {model.dimension} need {need / 2**30:.3g} GiB; it must be at most "
                         f"{MAX_BYTES / 2**30:g}")


def drawn(experiment, key, replica):
    """Training set (n, d), no rows where inputs are fresh, its covariance (d, d), neurons (m, d + 1) at the start."""
    model = experiment.model
    if experiment.inputs is not None:
        inputs = np.array(experiment.inputs)
    else:
        inputs = np.empty((0 if model.samples == math.inf else model.samples, model.dimension))
        recursion.fill_inputs(key, replica, inputs)
    covariance = recursion.covariance(inputs)
    if experiment.start is not None:
        return inputs, covariance, np.array(experiment.start)
    scales = np.full(model.dimension + 1, model.first_scale / math.sqrt(model.dimension))
    scales[-1] = model.second_scale / math.sqrt(model.width)
    neurons = np.empty((model.width, model.dimension + 1))
    recursion.fill_neurons(key, replica, scales, neurons)
    return inputs, covariance, neurons


def replica_number(replica):
    """A whole number in [0, 2^32)."""
    if (isinstance(replica, bool) or not isinstance(replica, int | np.integer)
            or not 0 <= replica < streams.MAX_REPLICA):
        raise ValueError(f"replica is {shown(replica)}; it must be an integer in [0, 2^32)")
    return int(replica)


def path(experiment, seed, replica, mapped):
    """Run one replica.

    Returns
    -------
    covariance, neurons, before, states, maps : ndarray
        Of the inputs (d, d), at the start (m, d + 1), K there, K (T, d + 1, d + 1), and, where `mapped`, Phi of that
        shape.

    Raises
    ------
    engine.Diverged
        If the replica left the finite numbers.
    ValueError
        For a drawn training set that the experiment does not admit.
    """
    replica = replica_number(replica)
    key, size, count = np.uint64(streams.key(seed, EXPERIMENT)), experiment.model.dimension + 1, experiment.times.size
    inputs, covariance, neurons = drawn(experiment, key, np.uint64(replica))
    if experiment.inputs is None and len(inputs):
        experiment.check_drawn(inputs, replica)
    states, maps = np.empty((count, size, size)), np.empty((count if mapped else 0, size, size))
    few = recursion.few(neurons)
    died = experiment.run(key, np.uint64(replica), inputs, covariance, few, states, maps)
    if died >= 0:
        raise engine.Diverged(replica, int(died))
    return covariance, neurons, recursion.gram(few), states, maps


def sample(experiment, seed, first, count):
    """Observables (count, T, observables) of consecutive replicas."""
    model, out = experiment.model, np.empty((count, *experiment.shape))
    head = np.empty((experiment.times.size, 8))
    for row in range(count):
        covariance, neurons, before, states, maps = path(experiment, seed, first + row, experiment.neurons)
        recursion.observe(states, before, covariance, float(model.target_norm), float(model.loss_factor), head)
        out[row, :, :7] = head[:, :7]
        if experiment.neurons:
            for moment, phi in enumerate(maps):
                recursion.observe_neurons(recursion.mapped(phi, neurons), neurons, out[row, moment, 7:12])
            out[row, :, 12] = head[:, 7]
    return out


def estimate(experiment, replicas, seed, options):
    """Moments over replicas, by the engine."""
    return engine.estimate(experiment, replicas=replicas, seed=seed, **options)
