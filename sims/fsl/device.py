"""SGD on power-law regression on a GPU: how ``cuda/fsl.cu`` and ``cuda/projected.cu`` are launched.

The number of modes decides the sums, hence the bits; how the modes are dealt to threads does not: few threads with many
modes each where replicas fill the device, more threads otherwise.
"""

from dataclasses import dataclass

import numpy as np

from .. import streams
from . import kernels

MOST_MODES = 4096
"""Beyond it the state of a replica does not fit into the registers of a block."""
MOST_THREADS = {4: 256, 2: 512, 1: 512}
"""Threads per replica by Philox blocks per thread, as compiled."""
FILLING = 1024
"""Threads per multiprocessor that keep it busy."""
SMALLEST_BLOCK = 128
"""Threads per block, at least."""
GROUP, PROJECTED_BLOCK = 4, 256
"""Replicas and threads per block of the random-M model."""
PROJECTED_BYTES = 96 * 1024
"""Shared memory of such a block, at most: every GPU since 2017 has it."""


def launcher(experiment, spectrum, name):
    """What runs a :class:`.descent.Descent` on a GPU, or None where its state is too large for a block.

    Parameters
    ----------
    experiment : Descent
    spectrum : Spectrum
        The features in use.
    name : str
        Of the random stream.

    Returns
    -------
    Launcher, ProjectedLauncher or None
    """
    if experiment.projection is None:
        return Launcher(experiment, spectrum, name) if spectrum.eigenvalues.size <= MOST_MODES else None
    found = ProjectedLauncher(experiment, spectrum, name)
    return found if found.shared_bytes <= PROJECTED_BYTES else None


def _scales(experiment, first, count):
    """Rates over batch sizes, once the replicas are known to be the stream's."""
    if first + count > streams.MAX_REPLICA:
        raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
    return experiment.schedule.rates / experiment.batch_size


@dataclass(frozen=True, eq=False)
class Launcher:
    """Runs the replicas of a :class:`.descent.Descent` without projection; see :mod:`theorycheck.sims.gpu`.

    Parameters
    ----------
    experiment : Descent
    spectrum : Spectrum
        Its modes.
    name : str
        Of the random stream.
    """

    experiment: object
    spectrum: object
    name: str
    bytes_each: int = 0

    def run(self, device, seed, first, count):
        """Excess risks (count, T) of consecutive replicas and the steps (count,) at which they diverged, or -1.

        Raises
        ------
        ValueError
            For a replica beyond the stream's.
        """
        experiment, spectrum = self.experiment, self.spectrum
        scales, sizes, times = _scales(experiment, first, count), experiment.batch_size, experiment.times
        blocks, threads = shape_of(spectrum.eigenvalues.size, count, device.processors)
        modes = np.zeros((2, 4 * blocks * threads))
        modes[0, :spectrum.eigenvalues.size] = spectrum.eigenvalues
        modes[1, :spectrum.eigenvalues.size] = -np.sqrt(spectrum.eigenvalues * spectrum.target_squared)
        out, died = device.empty((count, times.size), np.float64), device.empty((count,), np.int64)
        block = max(SMALLEST_BLOCK, threads)
        kernel = f"descend_{blocks}{'_batched' if sizes.max() > 1 else ''}"
        device.launch("fsl", kernel, -(-count * threads // block), block, np.int32(kernels.LAWS[experiment.features]),
                      np.uint64(streams.key(seed, self.name)), np.uint64(first), np.int64(count), np.int32(threads),
                      device.array(scales), device.array(sizes), np.int64(scales.size), device.array(modes[0]),
                      device.array(modes[1]), np.float64(np.sqrt(spectrum.label_variance)),
                      np.float64(spectrum.approximation_error), device.array(times), np.int64(times.size), out, died,
                      shared=modes[0].nbytes)
        return out, died


@dataclass(frozen=True, eq=False)
class ProjectedLauncher:
    """Runs the replicas of a :class:`.descent.Descent` with a projection; parameters as for :class:`Launcher`."""

    experiment: object
    spectrum: object
    name: str
    bytes_each: int = 0

    @property
    def shared_bytes(self) -> int:
        """Shared memory per block: GROUP samples, iterates, projections and gradients."""
        width, count = self.experiment.projection.shape
        return 8 * GROUP * (count + 3 * width)

    def run(self, device, seed, first, count):
        """Excess risks (count, T) of consecutive replicas and the steps (count,) at which they diverged, or -1.

        Raises
        ------
        ValueError
            For a replica beyond the stream's.
        """
        experiment, spectrum = self.experiment, self.spectrum
        scales, times = _scales(experiment, first, count), experiment.times
        weighted = experiment.projection * np.sqrt(spectrum.eigenvalues)
        out, died = device.empty((count, times.size), np.float64), device.empty((count,), np.int64)
        device.launch("projected", "descend_projected", -(-count // GROUP), PROJECTED_BLOCK,
                      np.uint64(streams.key(seed, self.name)), np.uint64(first), np.int64(count), device.array(scales),
                      device.array(experiment.batch_size), np.int64(scales.size), device.array(weighted),
                      device.array(weighted.T), device.array(np.sqrt(spectrum.eigenvalues * spectrum.target_squared)),
                      np.int32(weighted.shape[0]), np.int32(weighted.shape[1]),
                      np.float64(np.sqrt(spectrum.label_variance)), np.float64(spectrum.approximation_error),
                      device.array(times), np.int64(times.size), out, died, shared=self.shared_bytes)
        return out, died


def shape_of(modes, replicas, processors):
    """Philox blocks of four modes per thread, and threads per replica.

    Parameters
    ----------
    modes : int
        M, 1..4096.
    replicas : int
        That run at a time.
    processors : int
        Multiprocessors of the device.

    Returns
    -------
    tuple of int
        (1, 2 or 4; a power of two); their product is at least M/4.

    Raises
    ------
    ValueError
        For M out of range.
    """
    if not 1 <= modes <= MOST_MODES:
        raise ValueError(f"width is {modes}; on a GPU it must be in 1..{MOST_MODES}")
    total = 1 << (-(-modes // 4) - 1).bit_length()
    choices = [blocks for blocks in (4, 2, 1) if blocks <= total and total // blocks <= MOST_THREADS[blocks]]
    filling = [blocks for blocks in choices if replicas * (total // blocks) >= FILLING * processors]
    blocks = filling[0] if filling else choices[-1]
    return blocks, total // blocks
