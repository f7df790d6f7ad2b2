"""The neurons themselves along one path, and what that path was fed with."""

import math

import numpy as np

from ...theory.arguments import shown
from .. import streams
from . import recursion, variation
from .batches import BatchDescent
from .descent import Descent
from .sharpness_aware import SharpnessAware

MAX_BYTES = 2**31
"""Largest array of neurons or inputs that is returned."""


def neurons(experiment, seed, replica=0):
    """Every neuron of one replica after the recorded numbers of steps, through the map ``Z_i(k) = Phi_k Z_i(0)``.

    Parameters
    ----------
    experiment : Descent, BatchDescent or SharpnessAware
        A :class:`.descent.Descent` is run as the batch of one that it is, with the same path up to rounding.
    seed, replica : int

    Returns
    -------
    first : ndarray, shape (T, m, d)
        ``W``.
    second : ndarray, shape (T, m)
        ``a``.

    Raises
    ------
    ValueError
        For another experiment, no replica in [0, 2^32), more than 2 GiB of neurons, or a drawn training set on which
        the step is not stable.
    engine.Diverged
        If the replica left the finite numbers.
    """
    if isinstance(experiment, Descent):
        given = None if experiment.start is None else (experiment.start[:, :-1], experiment.start[:, -1])
        experiment = BatchDescent(experiment.model, experiment.steps, 1, experiment.times, experiment.noise,
                                  experiment.inputs, given, True, experiment.catapult)
    if not isinstance(experiment, BatchDescent | SharpnessAware):
        raise ValueError(f"experiment is {shown(experiment)}; it must be a Descent, BatchDescent or SharpnessAware")
    model = experiment.model
    _check(8 * experiment.times.size * model.width * (model.dimension + 1), "neurons")
    _, start, _, _, maps = variation.path(experiment, seed, replica, True)
    found = np.array([recursion.mapped(phi, start) for phi in maps])
    return found[..., :-1], found[..., -1]


def draws(experiment, seed, replica=0):
    """What label-noise SGD with batch size 1 is fed with: for a reader's own implementation of it.

    Parameters
    ----------
    experiment : Descent
    seed, replica : int

    Returns
    -------
    inputs : ndarray, shape (K, d)
        Input of every step.
    labels : ndarray, shape (K,)
        ``<theta*, x> + eps`` of every step.
    start : pair of ndarray, shapes (m, d) and (m,)
        ``(W, a)`` before the first step.

    Raises
    ------
    ValueError
        For another experiment, no replica in [0, 2^32), or more than 2 GiB of inputs.
    """
    if not isinstance(experiment, Descent):
        raise ValueError(f"experiment is {shown(experiment)}; it must be a Descent")
    replica = variation.replica_number(replica)
    model, key = experiment.model, np.uint64(streams.key(seed, variation.EXPERIMENT))
    _check(8 * experiment.steps * model.dimension, "inputs")
    data, _, start = variation.drawn(experiment, key, np.uint64(replica))
    words = streams.words(key, replica, np.arange(experiment.steps), 2)
    if model.samples == math.inf:
        seen = streams.normals(key, replica, np.arange(experiment.steps), model.dimension, purpose=1).astype(float)
    else:
        seen = data[((words[:, 0].astype(np.uint64) * np.uint64(model.samples)) >> np.uint64(32)).astype(int)]
    signs = np.where(words[:, 1] >= 2**31, -1.0, 1.0)
    labels = model.target_norm * seen[:, 0] + model.noise * experiment.noise * signs
    return seen, labels, (start[:, :-1], start[:, -1])


def _check(size, what):
    if size > MAX_BYTES:
        raise ValueError(f"{what} take {size / 2**30:.3g} GiB; it must be at most {MAX_BYTES / 2**30:g}: record fewer "
                         "times, or run fewer steps")
