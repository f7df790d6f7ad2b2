r"""Experiments on a GPU: CUDA C kernels compiled at run time through CuPy.

A kernel sees the same integers and the same float32 variates as the CPU, bit for bit, keeps its state in float64, and
runs the arithmetic of the CPU kernels; sums over modes or neurons are cut into a binary tree, so samples agree with
the CPU's to rounding.  The replicas of a chunk are reduced on the device along the tree of :mod:`.tree`, operation by
operation as there; O(log R) nodes come back.  No bit depends on the size of a chunk or on the device's memory, and a
store keeps the estimates of CPU and GPU apart.

An experiment with a kernel has a method ``on_gpu()`` that returns a *launcher*, or None where its parameters call for
the CPU.  A launcher has ``bytes_each``, the device memory that a replica needs besides its samples, and
``run(device, seed, first, count)``, which returns, on the device, samples (count, P) and the steps (count,) at which
replicas diverged, -1 for those that did not.

Replicas are run in pieces that fit into the memory that is free; where it runs out all the same, a piece is halved.
"""

import functools
import math
import warnings
from dataclasses import dataclass, field

import numpy as np

from . import cuda
from .errors import DeviceUnavailable, Diverged
from .tree import Tree, maximal_nodes

THREADS = 256
"""Threads per block of kernels that do not say otherwise."""
CHUNK = 2**14
"""Replicas per chunk unless a caller says otherwise: at 64 modes and more they fill any present device."""
SHARE = 0.8
"""Of the free memory that a piece may be planned to take."""


class Device:
    """The current CUDA device.

    Attributes
    ----------
    name : str
    processors : int
        Streaming multiprocessors.
    shared_bytes : int
        Shared memory that one block can have.
    clock_hertz : float
        Highest clock rate.
    out_of_memory : tuple of exception types
    """

    def __init__(self, cupy):
        self._cupy, self._modules = cupy, {}
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        self.name, self.processors = properties["name"].decode(), int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])
        self.clock_hertz = 1e3 * cupy.cuda.Device().attributes["ClockRate"]
        self.out_of_memory = (cupy.cuda.memory.OutOfMemoryError,)

    def free_bytes(self) -> int:
        """Bytes that an allocation may take, counting what the memory pool has to spare."""
        return int(self._cupy.cuda.runtime.memGetInfo()[0]) + self._cupy.get_default_memory_pool().free_bytes()

    def array(self, values):
        """A copy of an array on the device."""
        return self._cupy.asarray(np.ascontiguousarray(values))

    def empty(self, shape, dtype):
        """An array on the device whose entries are arbitrary."""
        return self._cupy.empty(shape, dtype=dtype)

    def numpy(self, values) -> np.ndarray:
        """A copy of an array of the device in the memory of this process."""
        return self._cupy.asnumpy(values)

    def launch(self, source, kernel, grid, block, *arguments, shared=0):
        """Run a kernel of ``source.cu`` on ``grid`` blocks of ``block`` threads with ``shared`` bytes of shared memory.

        Arguments are arrays of the device and NumPy scalars of the kernel's types.
        """
        try:
            if source not in self._modules:
                self._modules[source] = self._cupy.RawModule(code=cuda.source(source), options=cuda.OPTIONS)
            function = self._modules[source].get_function(kernel)
        except Exception as error:   # NVRTC or its headers are missing or too old: CuPy raises many kinds
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DeviceUnavailable(f"device is 'gpu' and its kernels cannot be compiled ({reason}); "
                                    "use 'cpu'") from error
        if shared > 32 * 1024:   # beyond 48 KiB with a kernel's own arrays, it has to be asked for
            function.max_dynamic_shared_size_bytes = shared
        function((grid,), (block,), arguments, shared_mem=shared)

    def synchronize(self):
        """Wait until everything launched is done."""
        self._cupy.cuda.get_current_stream().synchronize()

    def release(self):
        """Give the memory pool's spare blocks back, so that a smaller request can be met."""
        self._cupy.get_default_memory_pool().free_all_blocks()


@functools.cache
def require() -> Device:
    """The GPU of this machine.

    Raises
    ------
    DeviceUnavailable
        In one line, if CuPy or a CUDA device is missing.
    """
    try:
        import cupy
    except ImportError as error:
        why = "" if isinstance(error, ModuleNotFoundError) else f", {str(error).splitlines()[0]}"
        raise DeviceUnavailable("device is 'gpu' and CuPy is not installed (pip install 'theorycheck[gpu]')"
                                f"{why}; use 'cpu'") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceUnavailable(f"device is 'gpu' and CUDA finds none ({error}); use 'cpu'") from error
    if count < 1:
        raise DeviceUnavailable("device is 'gpu' and CUDA finds none; use 'cpu'")
    return Device(cupy)


def placed(experiment):
    """The experiment as it runs with ``device="gpu"``: :class:`OnDevice`, or itself where it has no kernel.

    Raises
    ------
    DeviceUnavailable
        If there is no GPU.

    Warns
    -----
    UserWarning
        If the experiment, or these parameters of it, has no kernel: the CPU is used.
    """
    device = require()
    launcher = experiment.on_gpu() if hasattr(experiment, "on_gpu") else None
    if launcher is None:
        warnings.warn(f"{experiment.name}: no GPU kernel for these parameters; the CPU is used", stacklevel=4)
        return experiment
    return OnDevice(experiment, launcher, device)


@dataclass(frozen=True, eq=False)
class OnDevice:
    """An experiment whose replicas run on a device; for the engine, in one process.

    Parameters
    ----------
    experiment : object
        As :func:`.engine.estimate` takes it.
    launcher : object
        See the module.
    device : Device or .cuda.host.HostDevice
    """

    experiment: object
    launcher: object
    device: object = field(repr=False)

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.experiment.name

    @property
    def shape(self) -> tuple:
        """Of one replica's observation."""
        return tuple(self.experiment.shape)

    def parameters(self) -> dict:
        """Those of the experiment, and the device: rounding differs from the CPU's."""
        return {**self.experiment.parameters(), "device": "gpu"}

    def coordinates(self) -> dict:
        """Those of the experiment."""
        return self.experiment.coordinates() if hasattr(self.experiment, "coordinates") else {}

    def sample(self, seed, first, count) -> np.ndarray:
        """Observations of consecutive replicas, float64 (count, ...).

        Raises
        ------
        Diverged
            For the first replica that left the finite numbers.
        """
        rows, lost = [], {}
        for low, samples, steps in self._pieces(seed, first, first + count, self._fetched):
            lost.update((low + int(row), int(steps[row])) for row in np.flatnonzero(steps >= 0))
            rows.append(samples)
        if lost:
            raise Diverged(*min(lost.items()))
        return np.concatenate(rows).reshape(count, *self.shape)

    def reduced(self, seed, first, last, largest):
        """Moments of the replicas ``first <= r < last`` and those of them that diverged.

        Parameters
        ----------
        seed, first, last : int
        largest : float
            Samples beyond it in magnitude count as diverged.

        Returns
        -------
        nodes : ndarray, shape (nodes, 6, P)
            As :func:`.tree.moments` returns them.
        lost : dict of int to (int or None)
            Sorted.
        """
        tree = Tree()
        for low, steps, counts, nodes in self._pieces(seed, first, last, self._merged, largest):
            lost = {low + int(row): int(steps[row]) for row in np.flatnonzero(counts == 0.0)}
            tree.add_range(low, low + len(steps), nodes,
                           {replica: step if step >= 0 else None for replica, step in lost.items()})
        nodes = np.stack([tree.nodes[node] for node in maximal_nodes(first, last)])
        return nodes, dict(sorted(tree.lost.items()))

    def _fetched(self, first, samples, died):
        return first, self.device.numpy(samples), self.device.numpy(died)

    def _merged(self, first, samples, died, largest):
        counts = self.device.empty((len(samples),), np.float64)
        _cover(self.device, "count_leaves", len(samples), samples, died, np.int64(len(samples)),
               np.int64(samples.shape[1]), np.float64(largest), counts)
        nodes = moments(self.device, samples, counts, first)
        return first, self.device.numpy(died), self.device.numpy(counts), nodes

    def _pieces(self, seed, first, last, finish, *arguments):
        """Yield ``finish(first, samples, died, ...)`` for pieces that fit into the device's memory, in order."""
        columns = math.prod(self.shape)
        each = 48 * columns + 32 + int(self.launcher.bytes_each)
        size = max(1, int(SHARE * self.device.free_bytes()) // each)
        while first < last:
            count = min(size, last - first)
            try:
                samples, died = self.launcher.run(self.device, seed, first, count)
                piece = finish(first, samples.reshape(count, columns), died, *arguments)
            except self.device.out_of_memory as error:
                if count == 1:
                    raise DeviceUnavailable(f"device is 'gpu' and {self.device.free_bytes()} bytes of its memory are "
                                            f"free; a replica needs about {each}") from error
                size = count // 2
                piece = None
            samples = died = None   # before the pool is asked to give back
            if piece is None:
                self.device.release()
                continue
            yield piece
            first += count


def moments(device, samples, counts, first) -> np.ndarray:
    """Reduce consecutive replicas on a device to their maximal nodes.

    Parameters
    ----------
    device : Device or .cuda.host.HostDevice
    samples : array of the device, float64 (count, P)
    counts : array of the device, float64 (count,)
        1, or 0 for a replica that is left out.
    first : int
        Index of the first replica.

    Returns
    -------
    ndarray, shape (nodes, 6, P)
        The bits of :func:`.tree.moments`.
    """
    low, high, level = first, first + len(samples), 0
    columns, content, found = samples.shape[1], samples, {}

    def keep(position):
        node = content[position:position + 1]
        if level == 0:
            node = device.empty((1, 6, columns), np.float64)
            _cover(device, "make_leaves", columns, content[position:position + 1], counts[position:position + 1],
                   np.int64(1), np.int64(columns), node)
        found[level, low + position] = device.numpy(node)[0]

    while low < high:
        skip = low & 1
        if skip:
            keep(0)
        if (high - low - skip) & 1:
            keep(high - low - 1)
        pairs = (high - low - skip) // 2
        merged = device.empty((pairs, 6, columns), np.float64), device.empty((pairs,), np.float64)
        if pairs:
            _cover(device, "merge_nodes" if level else "merge_leaves", pairs * columns, content[skip:], counts[skip:],
                   np.int64(pairs), np.int64(columns), *merged)
        (content, counts), low, level = merged, (low + skip) // 2, level + 1
        high = low + pairs
    return np.stack([found[node] for node in maximal_nodes(first, first + len(samples))])


def _cover(device, kernel, threads, *arguments):
    """Launch a kernel of ``moments.cu`` on at least so many threads."""
    device.launch("moments", kernel, -(-threads // THREADS), THREADS, *arguments)
