r"""Label-noise SGD on batches, and gradient descent with or without label noise, replica by replica.

A step moves both layers, from their old values, down the gradient of the mean over a batch of
``c (f(x_j) - y_j - eps_j)^2`` with label noise that is fresh for every label at every step.  It is
``Z_i <- (I + B_e) Z_i`` with ``e = -(h/B) sum_j r_j x_j``, ``h = 2 c eta`` and ``r_j`` the noisy residuals (derived):
closed whatever the width, see :mod:`.recursion`.

``batch_size`` B: inputs drawn with replacement, or fresh ones.  ``batch_size=inf``: every input once, gradient descent
on the training set; with ``noise`` 0 it is deterministic, with fresh inputs it is gradient descent on the population.
To leading order label noise moves the slow variables by ``sigma^2/B`` (by ``sigma^2/n`` on full batches) in place of
``sigma^2`` (derived).  At B = 1 the path is that of :class:`.descent.Descent` up to rounding: same start, training set,
order and signs for a seed and a replica.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...theory import label_noise as theory
from ...theory.arguments import number, shown
from ...theory.label_noise.batch_stability import critical_batch_step
from . import recursion, variation
from .arguments import MAX_STEPS, check_drawn_sets, check_stability, integer, levels, recorded, start_of, training_set

VERSION = 2
"""Changes whenever the bits of a replica change."""
MAX_BATCH = 1_000_000
"""Largest batch that is drawn."""


@dataclass(frozen=True, eq=False)
class BatchDescent:
    """SGD on batches as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    model : TwoLayerLinear
        With ``noise`` 0 where a full batch has infinitely many samples, for it would average any noise away.
    steps : int
        Length K of the run, 1..2 10^8.
    batch_size : int or inf
        B, 1..10^6, or ``inf`` for the full batch.
    times, noise, inputs, start, neurons
        As in :class:`.descent.Descent`.
    catapult : bool
        Name the run a catapult experiment, which may start outside mean-square stability.

    Raises
    ------
    ValueError
        For bad parameters, and, unless ``catapult``, for a step outside mean-square stability of this batch size; on
        drawn training sets as :class:`.descent.Descent` says.
    """

    model: theory.TwoLayerLinear
    steps: int
    batch_size: float
    times: object = None
    noise: object = None
    inputs: object = None
    start: object = None
    neurons: bool = False
    catapult: bool = False

    def __post_init__(self):
        model, size = self.model, self.batch_size
        if not isinstance(model, theory.TwoLayerLinear):
            raise ValueError(f"model is {shown(model)}; it must be a TwoLayerLinear")
        steps = integer(self.steps, "steps", MAX_STEPS)
        if not (number(size, "batch_size") == math.inf or (1 <= size <= MAX_BATCH and size == int(size))):
            raise ValueError(f"batch_size is {shown(size)}; it must be an integer in 1..{MAX_BATCH} or inf")
        if size == math.inf and model.samples == math.inf and model.noise > 0:
            raise ValueError(f"noise is {model.noise:g}; it must be 0 on a full batch of infinitely many samples")
        for name in ("neurons", "catapult"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be True or False")
        values = {"steps": steps, "batch_size": math.inf if size == math.inf else int(size),
                  "times": recorded(self.times, steps), "noise": levels(self.noise, steps),
                  "inputs": training_set(self.inputs, model), "start": start_of(self.start, model),
                  "neurons": bool(self.neurons), "catapult": bool(self.catapult)}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        variation.check_memory(self)
        if not self.catapult:
            check_stability(model, self.inputs, self.start, self._critical)

    def _critical(self, kernel, inputs):
        return critical_batch_step(kernel, self.batch_size, inputs)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernels."""
        return f"label_noise.batches{'_catapult' if self.catapult else ''}/{VERSION}"

    @property
    def observables(self) -> tuple:
        """Names of the entries of the last axis."""
        return variation.observables(self.neurons)

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, observables)."""
        return (self.times.size, len(self.observables))

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {**variation.parameters(self), "batch_size": float(self.batch_size),
                "noise": self.model.noise * self.noise}

    def coordinates(self) -> dict:
        """``step``, ``slow_time`` ``sum_{j<k} (h sigma_j)^2/B`` (both (T,)) and ``observable`` (names)."""
        labels = self.model.samples if self.batch_size == math.inf else self.batch_size
        drift = (self.model.effective_step * self.model.noise * self.noise) ** 2 / labels
        return {"step": self.times.copy(), "slow_time": np.concatenate([[0.0], np.cumsum(drift)])[self.times],
                "observable": np.array(self.observables)}

    def check_drawn(self, inputs, replica):
        """Refuse a drawn training set (n, d) on which the step is not mean-square stable."""
        check_drawn_sets(self, inputs[None], replica, self._critical)

    def run(self, key, replica, inputs, sigma, start, states, maps):
        """Fill states and maps of one replica; see :mod:`.variation`."""
        batch = 0 if self.batch_size == math.inf else self.batch_size
        return recursion.run_batches(key, replica, self.model.effective_step, self.model.noise * self.noise, batch,
                                     inputs, sigma, float(self.model.target_norm), start, np.array(self.times), states,
                                     maps)

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``, shape (count, T, observables).

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        """
        return variation.sample(self, seed, first, count)


def simulate_batches(model, steps, batch_size, *, replicas, seed, times=None, noise=None, inputs=None, start=None,
                     neurons=False, catapult=False, **options):
    """Run SGD on batches on independent replicas and return the moments of the observables at the recorded times.

    Parameters
    ----------
    model, steps, batch_size, times, noise, inputs, start, neurons, catapult
        See :class:`BatchDescent`.
    replicas, seed, **options
        See :func:`theorycheck.sims.engine.estimate` (``jobs``, ``store``, ``chunk``, ``progress``, ``on_divergence``;
        there is no GPU kernel: on ``device="gpu"`` the CPU runs it and a warning says so).

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, observables); ``coordinates`` has ``step``, ``slow_time``, ``observable``.

    Raises
    ------
    ValueError
        For bad parameters or a step outside mean-square stability.
    engine.Diverged
        If a replica left the finite numbers (unless they are only to be named).
    """
    experiment = BatchDescent(model, steps, batch_size, times, noise, inputs, start, neurons, catapult)
    return variation.estimate(experiment, replicas, seed, options)
