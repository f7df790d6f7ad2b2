r"""Many independent replicas of an experiment, reduced to moments that do not depend on how they were run.

An experiment is a pure function from (seed, replica) to an array of observations,

    x_r = sample(seed, r),        r = 0 .. R-1,

and the engine estimates its mean, with standard error :math:`\sqrt{v/R}` where v is the unbiased sample
variance, and the third and fourth moments that tell how far that standard error can be trusted.

A chunk of consecutive replicas is reduced where it is computed, and chunks are put together by :mod:`.tree`.  Hence
equal bits for any chunk size, any number of workers, any order of completion, after an interruption, and when
replicas are added later; memory is O(log R) arrays plus the chunks in flight.

Samples beyond 1e70 in magnitude count as diverged, since their fourth powers would leave the range of
float64; below 1e-75 the third and fourth moments underflow (mean and variance do not, above 1e-150).

A diverged replica stops the estimate, or, on request, is left out: it is a leaf of count 0, so that nothing above
about bits changes.  What then is averaged is :math:`E[x \mid x \text{ did not diverge}]`, a biased view of E x:
whether a replica diverges depends on its path, and the ones that are missing would have been the largest.  Where
divergence has probability p, E |x| is about p times the threshold or more, and no average of survivors comes near it.
"""

import contextlib
import math
import os
import time
import warnings
from dataclasses import dataclass, field

import numpy as np

from .errors import Diverged, DivergenceWarning
from .store import open_store
from .tree import HIGH, LOW, M2, M3, M4, MEAN, Tree, maximal_nodes, moments
from .workers import deaf_children, serve

LARGEST = 1e70
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
    replicas : int
        How many the moments are over: those asked for, less the diverged ones.
    seed : int
    name : str
        Of the experiment.
    coordinates : dict of str to ndarray
        What the axes of the arrays mean, as the experiment gives it (``{"step": ...}``).
    diverged : tuple of (int, int or None)
        Replicas that were left out, in order, each with the step at which it diverged where that is known.  Unless
        empty, the moments are those of the survivors, which is biased (see the module).
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
    diverged: tuple = ()

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of the mean, :math:`\\sqrt{\\mathrm{variance}/\\mathrm{replicas}}`."""
        return np.sqrt(self.variance / self.replicas)

    def __eq__(self, other):
        """Equal to the last bit, coordinates aside."""
        if not isinstance(other, Estimate):
            return NotImplemented
        arrays = ("mean", "variance", "skewness", "kurtosis", "minimum", "maximum")
        return ((self.replicas, self.seed, self.name, self.diverged)
                == (other.replicas, other.seed, other.name, other.diverged)
                and all(getattr(self, name).shape == getattr(other, name).shape
                        and getattr(self, name).tobytes() == getattr(other, name).tobytes() for name in arrays))

    __hash__ = None


def estimate(experiment, *, replicas: int, seed: int, chunk: int | None = None, jobs: int = 1, store=None,
             progress: bool = False, device: str = "cpu", on_divergence: str = "raise") -> Estimate:
    """Run `replicas` independent replicas of an experiment and return their moments.

    Parameters
    ----------
    experiment : object
        A frozen, picklable dataclass with ``name`` (str), ``shape`` (tuple), ``parameters()`` (dict of
        numbers, text and arrays that, with name and seed, determine every sample), ``sample(seed, first,
        count)`` (float64 array of shape ``(count, *shape)``, a pure function) and, optionally,
        ``coordinates()`` (dict of arrays).  Where a replica diverges, ``sample`` returns values that are not
        finite in its row or raises :class:`Diverged` for it; the engine then asks for the others anew.
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
    device : {"cpu", "gpu"}
        On a GPU one process runs chunks of 16,384 replicas, if the experiment has a kernel (:mod:`.gpu`).
    on_divergence : {"raise", "keep"}
        Whether a diverged replica stops the estimate or is left out of it, named in ``diverged`` and in a
        :class:`DivergenceWarning`.  The moments of the survivors are biased, see the module.  A store serves both.

    Raises
    ------
    Diverged
        If a sample is not finite or exceeds 1e70; always for the first such replica of its chunk, or, if fewer than 2
        replicas survive, for the first of all.
    DeviceUnavailable
        If `device` is ``"gpu"`` and there is none.
    ValueError
        For an argument outside its range, or samples of the wrong shape.
    StoreFailed
        An OSError, if the store cannot be written or read.

    Warns
    -----
    DivergenceWarning
        If replicas were left out.
    """
    replicas, seed, chunk, jobs = _validated(replicas, seed, chunk, jobs, device)
    if on_divergence not in ("raise", "keep"):
        raise ValueError(f"on_divergence is {on_divergence!r}; it must be 'raise' or 'keep'")
    keep = on_divergence == "keep"
    experiment, chunk, jobs = _placed(experiment, device, chunk, jobs)
    shape = tuple(int(size) for size in experiment.shape)
    pace = _Pace(chunk, replicas, jobs, 8 * math.prod(shape))
    tree, kept = Tree(), None
    if store is not None:
        kept = open_store(store, experiment.name, experiment.parameters(), shape, seed)
        tree = _resume(kept, replicas, shape)
    if tree.lost and not keep:
        raise Diverged(*min(tree.lost.items()))
    with _bar(progress, experiment.name, replicas, replicas - tree.missing_count(replicas)) as advance:
        tasks = _tasks(tree.missing(replicas), pace)
        with contextlib.closing(_finished(experiment, seed, tasks, pace, jobs, keep)) as finished:
            for first, last, nodes, lost in finished:
                if kept is not None:
                    kept.save(first, last, nodes, lost)
                tree.add_range(first, last, nodes, lost)
                advance(last - first)
    _say_what_is_missing(experiment.name, replicas, tree.lost)
    return _summary(tree, replicas, seed, experiment)


def _validated(replicas, seed, chunk, jobs, device):
    for name, value, low, high in (("replicas", replicas, 2, 2**48), ("seed", seed, 0, 2**64 - 1),
                                   ("chunk", 1 if chunk is None else chunk, 1, 2**48), ("jobs", jobs, 1, 4096)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}; it must be an integer from {low} to {high}")
    if device not in ("cpu", "gpu"):
        raise ValueError(f"device is {device!r}; it must be 'cpu' or 'gpu'")
    return int(replicas), int(seed), None if chunk is None else int(chunk), int(jobs)


def _placed(experiment, device, chunk, jobs):
    """The experiment as it runs on a device, with its chunk size and jobs: one process feeds a GPU."""
    if device == "cpu":
        return experiment, chunk, jobs
    from . import gpu

    there = gpu.placed(experiment)
    return (there, chunk, jobs) if there is experiment else (there, chunk or gpu.CHUNK, 1)


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


def _finished(experiment, seed, tasks, pace, jobs, keep):
    """Yield ``(first, last, nodes, lost)`` as chunks finish.

    Unless diverged replicas are just left out, raise for the lowest of them at the end: no chunk is started any more,
    but those under way, which start lower, are waited for, so the replica that is named does not depend on timing.
    """
    diverged = []

    def wanted():
        for task in tasks:
            if diverged:
                return
            yield task

    if jobs == 1:
        results = (_work(experiment, seed, *task, keep) for task in wanted())
    else:
        from joblib import Parallel, delayed

        # batch_size=1: a chunk is stored when it is done, not when its batch is; max_nbytes=None: no memory-mapped
        # copies of the parameters, which a kill would leave behind
        with deaf_children():
            results = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)(
                delayed(_work)(experiment, seed, *task, keep, owner=os.getpid()) for task in wanted())
    with _closing(results):
        for first, last, nodes, lost, seconds in results:
            if lost and not keep:
                diverged.append(min(lost.items()))
                continue
            pace.learn(last - first, seconds)
            yield first, last, nodes, lost
    if diverged:
        raise Diverged(*min(diverged))


@contextlib.contextmanager
def _closing(results):
    """Close the results; joblib's advice about cancelled tasks is not for who pressed Ctrl-C."""
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tasks which were still being processed")
            results.close()


def _work(experiment, seed, first, last, keep, owner=None):
    """One chunk, in whatever process: ``(first, last, nodes, lost replicas and steps, seconds)``."""
    serve(owner)
    start = time.perf_counter()
    if hasattr(experiment, "reduced"):
        nodes, lost = experiment.reduced(seed, first, last, LARGEST)
        return first, last, nodes, lost, time.perf_counter() - start
    samples, lost = _drawn(experiment, seed, first, last, keep)
    nodes = moments(samples, first, lost) if keep or not lost else None
    return first, last, nodes, lost, time.perf_counter() - start


def _drawn(experiment, seed, first, last, keep):
    """Samples ``(count, P)`` of a chunk and its diverged replicas; not more than the first of them unless `keep`.

    An experiment that raises for one replica loses its chunk, so the replicas on either side of it are asked for again:
    what a sample is does not depend on its neighbours.
    """
    samples, lost, ranges = np.empty((last - first, math.prod(experiment.shape))), {}, [(first, last)]
    while ranges:
        low, high = ranges.pop()
        try:
            rows = _checked(experiment, seed, low, high)
        except Diverged as error:
            lost[error.replica] = error.step
            if not keep:
                break
            if not low <= error.replica < high:
                raise ValueError(f"{experiment.name}: {error} among the replicas {low}..{high - 1}") from error
            ranges += [(a, b) for a, b in ((error.replica + 1, high), (low, error.replica)) if a < b]
            continue
        samples[low - first:high - first] = rows
        sane = (np.abs(rows) <= LARGEST).all(axis=1)
        lost.update((low + int(row), None) for row in np.flatnonzero(~sane))
    return samples, dict(sorted(lost.items()))


def _checked(experiment, seed, first, last):
    """Samples as an array ``(count, P)``."""
    samples = np.asarray(experiment.sample(seed, first, last - first))
    shape = (last - first, *experiment.shape)
    if samples.shape != shape or samples.dtype != np.float64:
        raise ValueError(f"{experiment.name}: sample returned {samples.dtype} of shape {samples.shape}; "
                         f"it must be float64 of shape {shape}")
    return samples.reshape(last - first, math.prod(experiment.shape))


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
            content = kept.load(*found, (len(names), 6, math.prod(shape)))
            if content is None:
                break                    # its file is gone now: choose again among the others
            arrays, lost = content
            for (level, index), array in zip(names, arrays, strict=True):
                if taken.get((level, index)) == found:
                    low, high = index << level, (index + 1) << level
                    tree.add_range(low, high, [array], {replica: step for replica, step in lost.items()
                                                        if low <= replica < high})
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


def _say_what_is_missing(name, replicas, lost):
    """Warn of replicas that were left out; refuse if too few remain for a standard error."""
    if not lost:
        return
    first = Diverged(*min(lost.items()))
    if replicas - len(lost) < 2:
        raise first
    warnings.warn(f"{name}: {len(lost)} of {replicas} replicas diverged and are left out ({first}, the first of them); "
                  "the moments of the others are biased", DivergenceWarning, stacklevel=3)


def _summary(tree, replicas, seed, experiment):
    total, replicas = tree.fold(replicas), replicas - len(tree.lost)
    second, third, fourth = total[M2] / replicas, total[M3] / replicas, total[M4] / replicas
    spread = second > 0
    scale = np.sqrt(np.where(spread, second, 1.0))
    arrays = (total[MEAN], total[M2] / (replicas - 1), np.where(spread, third / scale**3, np.nan),
              np.where(spread, fourth / scale**4, np.nan), total[LOW], total[HIGH])
    shape = tuple(experiment.shape)
    coordinates = experiment.coordinates() if hasattr(experiment, "coordinates") else {}
    return Estimate(*(array.reshape(shape).copy() for array in arrays), replicas=replicas, seed=seed,
                    name=experiment.name, coordinates=dict(coordinates), diverged=tuple(sorted(tree.lost.items())))
