r"""Many independent replicas of an experiment, reduced to moments that do not depend on how they were run.

An experiment is a pure function from (seed, replica) to an array of observations,

    x_r = sample(seed, r),        r = 0 .. R-1,

and the engine estimates its mean, with standard error :math:`\sqrt{v/R}` where v is the unbiased sample
variance, and the third and fourth moments that tell how far that standard error can be trusted.

Floating-point sums depend on their order, so the order is fixed once: replicas are the leaves of the
binary tree whose node (l, k) covers replicas :math:`k 2^l \le r < (k+1) 2^l`, two siblings are merged by
the pairwise formulas of Chan, Golub and LeVeque (1983), extended to fourth order by Pebay (Sandia report
SAND2008-6212), and the maximal nodes within 0..R-1 are folded from the right.  A chunk of
consecutive replicas is its O(log R) maximal nodes.  Hence equal bits for any chunk size, any number of
workers, any order of completion, after an interruption, and when replicas are added later; memory is
O(log R) nodes plus the chunks in flight.  The tree is also a pairwise summation: the rounding error of
the mean grows like log2 R.

Samples beyond 1e70 in magnitude count as diverged, since their fourth powers would leave the range of
float64; below 1e-75 the third and fourth moments underflow (mean and variance do not, above 1e-150).
"""

import contextlib
import functools
import math
import os
import threading
import time
import warnings
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from .errors import DeviceUnavailable, Diverged
from .store import open_store

LARGEST = 1e70
MEAN, M2, M3, M4, LOW, HIGH = range(6)
TARGET_SECONDS = 2.0
CHUNKS_PER_JOB = 8
CHUNK_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Estimate:
    """Moments of an experiment over its replicas.

    Attributes
    ----------
    mean, variance : ndarray, shape of the experiment
        Sample mean and unbiased sample variance.
    skewness, kurtosis : ndarray
        :math:`m_3/m_2^{3/2}` and :math:`m_4/m_2^2` (3 for a normal law); NaN where the variance is 0.
    minimum, maximum : ndarray
        Over the replicas.
    replicas, seed : int
    name : str
        Of the experiment.
    coordinates : dict of str to ndarray
        What the axes of the arrays mean, as the experiment gives it (``{"step": ...}``).
    """

    mean: np.ndarray
    variance: np.ndarray
    skewness: np.ndarray
    kurtosis: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    replicas: int
    seed: int
    name: str = ""
    coordinates: dict = field(default_factory=dict)

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of the mean, :math:`\\sqrt{\\mathrm{variance}/\\mathrm{replicas}}`."""
        return np.sqrt(self.variance / self.replicas)

    def __eq__(self, other):
        """Equal to the last bit, coordinates aside."""
        if not isinstance(other, Estimate):
            return NotImplemented
        arrays = ("mean", "variance", "skewness", "kurtosis", "minimum", "maximum")
        return ((self.replicas, self.seed, self.name) == (other.replicas, other.seed, other.name)
                and all(getattr(self, name).shape == getattr(other, name).shape
                        and getattr(self, name).tobytes() == getattr(other, name).tobytes() for name in arrays))

    __hash__ = None


def estimate(experiment, *, replicas: int, seed: int, chunk: int | None = None, jobs: int = 1, store=None,
             progress: bool = False, device: str = "cpu") -> Estimate:
    """Run `replicas` independent replicas of an experiment and return their moments.

    Parameters
    ----------
    experiment : object
        A frozen, picklable dataclass with ``name`` (str), ``shape`` (tuple), ``parameters()`` (dict of
        numbers, text and arrays that, with name and seed, determine every sample), ``sample(seed, first,
        count)`` (float64 array of shape ``(count, *shape)``, a pure function) and, optionally,
        ``coordinates()`` (dict of arrays).
    replicas : int
        At least 2.
    seed : int
        0 <= seed < 2**64.
    chunk : int, optional
        Replicas per call of ``sample`` (>= 1).  By default found by timing: about 2 s, at least 8 chunks
        per job, at most 64 MiB of samples.  It changes no bit of the result.
    jobs : int
        Processes (>= 1).  With 1 everything happens in this process; otherwise joblib decides where, so
        ``joblib.parallel_config`` selects another backend (a Dask cluster, say).
    store : path, optional
        Directory where finished chunks are kept; an interrupted run continues from there, with any
        other chunk size, number of jobs, or larger number of replicas.
    progress : bool
        Show a progress bar on standard error.
    device : {"cpu"}

    Raises
    ------
    Diverged
        If a sample is not finite or exceeds 1e70; always for the first such replica of its chunk.
    DeviceUnavailable
        If `device` is not there.
    ValueError
        For an argument outside its range, or samples of the wrong shape.
    OSError
        If the store cannot be written or read.
    """
    replicas, seed, chunk, jobs = _validated(replicas, seed, chunk, jobs, device)
    shape = tuple(int(size) for size in experiment.shape)
    pace = _Pace(chunk, replicas, jobs, 8 * math.prod(shape))
    tree, kept = Tree(), None
    if store is not None:
        kept = open_store(store, experiment.name, experiment.parameters(), shape, seed)
        tree = _resume(kept, replicas, shape)
    with _bar(progress, experiment.name, replicas, replicas - tree.missing_count(replicas)) as advance:
        tasks = _tasks(tree.missing(replicas), pace)
        with contextlib.closing(_finished(experiment, seed, tasks, pace, jobs)) as finished:
            for first, last, nodes in finished:
                if kept is not None:
                    kept.save(first, last, nodes)
                tree.add_range(first, last, nodes)
                advance(last - first)
    return _summary(tree.fold(replicas), replicas, seed, experiment)


class Tree:
    """Moments of a set of replicas, as the maximal nodes of the binary tree over all replicas.

    A node ``(level, index)`` covers replicas ``index * 2**level`` to ``(index + 1) * 2**level - 1`` and holds
    an array ``(6, P)``: mean, sums of the 2nd, 3rd and 4th powers of deviations, minimum, maximum.
    """

    def __init__(self):
        self.nodes = {}

    def add_range(self, first: int, last: int, arrays) -> None:
        """Put in the replicas ``first <= r < last``, given by their maximal nodes (see :func:`maximal_nodes`)."""
        for (level, index), array in zip(maximal_nodes(first, last), arrays, strict=True):
            while (level, index ^ 1) in self.nodes:
                sibling = self.nodes.pop((level, index ^ 1))
                left, right = (sibling, array) if index & 1 else (array, sibling)
                array = merge(left, 2.0**level, right, 2.0**level)
                level, index = level + 1, index >> 1
            self.nodes[level, index] = array

    def missing(self, replicas: int) -> list:
        """Sorted ranges ``(first, last)`` of the replicas below `replicas` that are not in."""
        gaps, reached = [], 0
        for first, last in sorted((index << level, (index + 1) << level) for level, index in self.nodes):
            if first > reached:
                gaps.append((reached, first))
            reached = last
        return gaps + ([(reached, replicas)] if reached < replicas else [])

    def missing_count(self, replicas: int) -> int:
        """How many replicas below `replicas` are not in."""
        return sum(last - first for first, last in self.missing(replicas))

    def fold(self, replicas: int) -> np.ndarray:
        """Moments ``(6, P)`` of the replicas ``0 <= r < replicas``, all of which must be in."""
        nodes = maximal_nodes(0, replicas)
        level, index = nodes[-1]
        total, count = self.nodes[level, index], 2.0**level
        for level, index in reversed(nodes[:-1]):
            total = merge(self.nodes[level, index], 2.0**level, total, count)
            count += 2.0**level
        return total


def maximal_nodes(first: int, last: int) -> list:
    """The fewest nodes ``(level, index)`` that cover the replicas ``first <= r < last``, from left to right."""
    nodes = []
    while first < last:
        level = (last - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        nodes.append((level, first >> level))
        first += 1 << level
    return nodes


def moments(samples: np.ndarray, first: int) -> np.ndarray:
    """Reduce consecutive replicas to their maximal nodes.

    Parameters
    ----------
    samples : ndarray of float64, shape (count, P)
        Replicas ``first`` to ``first + count - 1``, one a row.
    first : int
        Index of the first replica; it decides which nodes there are.

    Returns
    -------
    ndarray, shape (nodes, 6, P)
        In the order of :func:`maximal_nodes`.
    """
    stack = np.empty((2 * len(samples).bit_length() + 2, 6, samples.shape[1]))
    return stack[:_reduce(samples, first, stack, np.empty(len(stack), np.int64))].copy()


def merge(a: np.ndarray, count_a: float, b: np.ndarray, count_b: float) -> np.ndarray:
    """Moments ``(6, P)`` of two disjoint sets of replicas together (Pebay 2008)."""
    out = np.empty_like(a)
    _merge(a, count_a, b, count_b, out)
    return out


@njit(cache=True)
def _merge(a, na, b, nb, out):
    n = na + nb
    for p in range(a.shape[1]):
        d = b[0, p] - a[0, p]
        a2, a3, b2, b3 = a[1, p], a[2, p], b[1, p], b[2, p]
        d2 = d * d
        fourth = (a[3, p] + b[3, p] + d2 * d2 * (na * nb / n * ((na * na - na * nb + nb * nb) / (n * n)))
                  + 6.0 * d2 * ((na / n) * (na / n) * b2 + (nb / n) * (nb / n) * a2)
                  + 4.0 * d * ((na / n) * b3 - (nb / n) * a3))
        third = (a3 + b3 + d * d2 * (na * nb / n * ((na - nb) / n)) + 3.0 * d * ((na / n) * b2 - (nb / n) * a2))
        out[0, p] = a[0, p] + d * (nb / n)
        out[1, p] = a2 + b2 + d2 * (na * nb / n)
        out[2, p] = third
        out[3, p] = fourth
        out[4, p] = min(a[4, p], b[4, p])
        out[5, p] = max(a[5, p], b[5, p])


@njit(cache=True)
def _reduce(samples, first, stack, levels):
    # a binary counter: the stack holds the maximal nodes of the rows seen so far, left to right
    top = 0
    for row in range(samples.shape[0]):
        stack[top, 0] = samples[row]
        stack[top, 1:4] = 0.0
        stack[top, 4] = samples[row]
        stack[top, 5] = samples[row]
        level, index = 0, first + row
        while index & 1 and top > 0 and levels[top - 1] == level:
            top -= 1
            _merge(stack[top], 2.0**level, stack[top + 1], 2.0**level, stack[top])
            level += 1
            index >>= 1
        levels[top] = level
        top += 1
    return top


def _validated(replicas, seed, chunk, jobs, device):
    for name, value, low, high in (("replicas", replicas, 2, 2**48), ("seed", seed, 0, 2**64 - 1),
                                   ("chunk", 1 if chunk is None else chunk, 1, 2**48), ("jobs", jobs, 1, 4096)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}; it must be an integer from {low} to {high}")
    if device == "gpu":
        raise DeviceUnavailable("device is 'gpu'; this experiment runs on 'cpu' only")
    if device != "cpu":
        raise ValueError(f"device is {device!r}; it must be 'cpu' or 'gpu'")
    return int(replicas), int(seed), None if chunk is None else int(chunk), int(jobs)


@dataclass
class _Pace:
    """Size of the next chunk: given, or a power of two led by the time the last ones took."""

    fixed: int | None
    replicas: int
    jobs: int
    bytes_each: int
    size: int = 8

    def __post_init__(self):
        limit = min(self.replicas // (CHUNKS_PER_JOB * self.jobs), CHUNK_BYTES // max(1, self.bytes_each))
        self.limit = 1 << max(0, limit.bit_length() - 1)
        self.size = self.fixed or min(self.size, self.limit)

    def learn(self, count, seconds):
        if self.fixed is None:
            wanted = min(4 * self.size, TARGET_SECONDS * count / max(seconds, 1e-9))
            self.size = min(self.limit, 1 << max(0, int(wanted).bit_length() - 1))


def _tasks(ranges, pace):
    """Cut the ranges into chunks; the size is asked for anew at every chunk."""
    for first, last in ranges:
        while first < last:
            stop = min(last, first + pace.size)
            yield first, stop
            first = stop


def _finished(experiment, seed, tasks, pace, jobs):
    """Yield ``(first, last, nodes)`` as chunks finish; if any diverged, raise the lowest replica at the end.

    After a divergence no chunk is started, but those under way, which start lower, are waited for, so the
    replica that is named does not depend on timing.
    """
    diverged = []

    def wanted():
        for task in tasks:
            if diverged:
                return
            yield task

    if jobs == 1:
        results = (_work(experiment, seed, *task) for task in wanted())
    else:
        from joblib import Parallel, delayed

        # batch_size=1: a chunk is stored when it is done, not when its batch is; max_nbytes=None: no memory-mapped
        # copies of the parameters, which a kill would leave behind
        results = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)(
            delayed(_work)(experiment, seed, *task, owner=os.getpid()) for task in wanted())
    with _closing(results):
        for first, last, nodes, seconds in results:
            if isinstance(nodes, Diverged):
                diverged.append(nodes)
                continue
            pace.learn(last - first, seconds)
            yield first, last, nodes
    if diverged:
        raise min(diverged, key=lambda error: error.replica)


@contextlib.contextmanager
def _closing(results):
    """Close the results; joblib's advice about cancelled tasks is not for who pressed Ctrl-C."""
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tasks which were still being processed")
            results.close()


def _work(experiment, seed, first, last, owner=None):
    """One chunk, in whatever process: ``(first, last, nodes or Diverged, seconds)``."""
    if owner == os.getppid():
        _leave_with(owner)
    start = time.perf_counter()
    try:
        samples = np.asarray(experiment.sample(seed, first, last - first))
        shape = (last - first, *experiment.shape)
        if samples.shape != shape or samples.dtype != np.float64:
            raise ValueError(f"{experiment.name}: sample returned {samples.dtype} of shape {samples.shape}; "
                             f"it must be float64 of shape {shape}")
        samples = np.ascontiguousarray(samples).reshape(last - first, math.prod(experiment.shape))
        sane = (np.abs(samples) <= LARGEST).all(axis=1)
        if not sane.all():
            raise Diverged(first + int(np.argmin(sane)))
        nodes = moments(samples, first)
    except Diverged as error:
        nodes = error
    return first, last, nodes, time.perf_counter() - start


@functools.cache
def _leave_with(owner):
    """End this worker when the process it works for is gone: after kill -9 nobody else would tell it."""

    def watch():
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _resume(kept, replicas, shape):
    """The tree of what a store holds of the replicas below `replicas`; damaged files are set aside on the way.

    Several runs may have cut the same replicas differently.  Nodes are nested or disjoint, so taking the
    largest first misses no replica that is there.
    """
    while True:
        nodes = [(level, index, found) for found in kept.ranges() for level, index in maximal_nodes(*found)
                 if (index + 1) << level <= replicas]
        taken = {}
        for level, index, found in sorted(nodes, reverse=True):
            if not any((upper, index >> (upper - level)) in taken for upper in range(level, 49)):
                taken[level, index] = found
        tree = Tree()
        for found in sorted(set(taken.values())):
            names = maximal_nodes(*found)
            arrays = kept.load(*found, (len(names), 6, math.prod(shape)))
            if arrays is None:
                break                    # its file is gone now: choose again among the others
            for (level, index), array in zip(names, arrays, strict=True):
                if taken.get((level, index)) == found:
                    tree.add_range(index << level, (index + 1) << level, [array])
        else:
            return tree


@contextlib.contextmanager
def _bar(show, name, total, done):
    """A progress bar in replicas, as a function that advances it."""
    if not show:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, completed=done)
        yield lambda count: bar.advance(task, count)


def _summary(total, replicas, seed, experiment):
    second, third, fourth = total[M2] / replicas, total[M3] / replicas, total[M4] / replicas
    spread = second > 0
    scale = np.sqrt(np.where(spread, second, 1.0))
    arrays = (total[MEAN], total[M2] / (replicas - 1), np.where(spread, third / scale**3, np.nan),
              np.where(spread, fourth / scale**4, np.nan), total[LOW], total[HIGH])
    shape = tuple(experiment.shape)
    coordinates = experiment.coordinates() if hasattr(experiment, "coordinates") else {}
    return Estimate(*(array.reshape(shape).copy() for array in arrays), replicas=replicas, seed=seed,
                    name=experiment.name, coordinates=dict(coordinates))
