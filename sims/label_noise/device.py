"""Label-noise SGD on a GPU: how ``cuda/label_noise.cu`` is launched."""

import math
from dataclasses import dataclass

import numpy as np

from .. import streams

LARGEST_DIMENSION = 32
"""A warp holds a row of G per lane."""
WARPS = 4
"""Replicas per block of the reduced recursion."""
NEURONS = 256
"""Threads per block of the direct one."""


@dataclass(frozen=True, eq=False)
class Launcher:
    """Runs the replicas of a :class:`.descent.Descent` without neurons' observables; see :mod:`theorycheck.sims.gpu`.

    Parameters
    ----------
    experiment : Descent
    name : str
        Of the random stream.
    """

    experiment: object
    name: str

    @property
    def bytes_each(self) -> int:
        """Device memory per replica, besides samples: the inputs' covariance and the largest state."""
        return 8 * self.experiment.model.dimension**2 + (0 if self.experiment.method == "reduced" else self._state)

    @property
    def _state(self):
        model = self.experiment.model
        return 8 * (4 * -(-model.dimension // 4) + 2) * model.width

    def run(self, device, seed, first, count):
        """Observables (count, T, 7) of consecutive replicas and the steps (count,) at which they diverged, or -1.

        Raises
        ------
        ValueError
            For a replica beyond the stream's, or one with a drawn training set on which the step is not stable.
        """
        if first + count > streams.MAX_REPLICA:
            raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
        experiment, model = self.experiment, self.experiment.model
        experiment.check_training_sets(seed, first, count)
        noise, times = model.noise * experiment.noise, experiment.times
        given = [np.uint64(0) if values is None else device.array(values)
                 for values in (experiment.inputs, experiment.start)]
        out, died = device.empty((count, *experiment.shape), np.float64), device.empty((count,), np.int64)
        sigmas = device.empty((count, model.dimension, model.dimension), np.float64)
        arguments = (np.uint64(streams.key(seed, self.name)), np.float64(model.effective_step),
                     np.float64(model.target_norm), np.float64(model.loss_factor), device.array(noise), *given,
                     device.array(experiment.start_scales),
                     np.int64(0 if model.samples == math.inf else model.samples), np.int64(model.width),
                     np.int32(model.dimension), np.int64(noise.size), np.uint64(first), np.int64(count),
                     device.array(times), np.int64(times.size), sigmas, out, died)
        if experiment.method == "reduced":
            size = 8 * -(-model.dimension // 8)
            device.launch("label_noise", f"reduced_{size}", -(-count // WARPS), 32 * WARPS, *arguments)
        else:
            fits = self._state <= device.shared_bytes - 16384   # which the kernel's own arrays stay below
            store = np.uint64(0) if fits else device.empty((count, self._state // 8), np.float64)
            device.launch("label_noise", "direct", count, NEURONS, *arguments, store,
                          shared=self._state if fits else 0)
        return out, died
