"""Runs claims, several at a time, and yields each outcome as soon as it is there.

Claims are independent of each other and draw their random numbers from their own seeds, so how many run at once and in
which order they finish changes nothing in what they find.

With a Dask cluster (``effort.cluster``) the claims still run here, `jobs` side by side, and it is the chunks of their
Monte Carlo that are spread: finished chunks are kept on this machine's disk, and a worker that dies costs its chunk.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module

from joblib import Parallel, delayed

from ..sims import cluster
from ..sims.errors import ClusterLost, StoreFailed
from ..sims.workers import deaf_children, serve
from .claim import REGISTRY, Claim, Effort, Outcome, Verdict, describe, judge


def run(claims: Iterable[Claim], effort: Effort, jobs: int = 1, seconds: Mapping[str, float] | None = None
        ) -> Iterator[Outcome]:
    """Judge claims in up to `jobs` processes.

    Parameters
    ----------
    claims : iterable of Claim
        Registered claims.
    effort : Effort
        Its own ``jobs`` is set here: 1 when claims run side by side, `jobs` when there is a single claim.
    jobs : int
        Processes (>= 1).
    seconds : mapping of str to float, optional
        How long each claim took last time.  The longest start first and those not listed before them, which keeps all
        processes busy to the end; without it claims start in the order given.

    Yields
    ------
    Outcome
        In the order in which they finish.  Closing the iterator stops the workers.

    Raises
    ------
    ValueError
        If `jobs` is not a positive integer.
    ConnectionError, ClusterLost
        If the effort names a cluster and it cannot be reached or goes away.
    """
    claims = list(claims)
    if seconds is not None:
        claims.sort(key=lambda claim: (-seconds.get(claim.id, float("inf")), claim.id))
    if len(claims) <= 1:
        effort = replace(effort, jobs=jobs)
        yield from (judged(claim, effort) for claim in claims)
        return
    effort = replace(effort, jobs=1, progress=False)
    by_id = {claim.id: claim for claim in claims}
    tasks = [(claim.run.__module__, claim.id, effort) for claim in claims]
    for key, known, verdict, evidence, shown, spent, message in scatter(_judged_by_id, tasks, jobs):
        claim = by_id[key]
        if known != describe(claim):
            message = message or "its source changed during the run"
            yield Outcome(claim, Verdict.FAILS, None, seconds=spent, message=message)
            continue
        controls = tuple((control, *seen) for control, seen in zip(claim.controls, shown))
        yield Outcome(claim, verdict, evidence, controls, spent, message)


def scatter(function: Callable, tasks: Iterable[tuple], jobs: int = 1) -> Iterator:
    """Yield ``function(*task)`` for every task as each finishes, in up to `jobs` processes (joblib's).

    `function` must be importable by name and its arguments small; with one job or one task nothing leaves this process.

    Raises
    ------
    ValueError
        If `jobs` is not a positive integer.
    """
    if not (isinstance(jobs, int) and jobs >= 1):
        raise ValueError(f"jobs is {jobs!r}; it must be an integer >= 1")
    tasks = list(tasks)
    if jobs == 1 or len(tasks) <= 1:
        yield from (function(*task) for task in tasks)
        return
    pool = Parallel(n_jobs=min(jobs, len(tasks)), return_as="generator_unordered", batch_size=1)
    with deaf_children():
        finished = pool(delayed(_in_worker)(function, task, os.getpid()) for task in tasks)
    try:
        yield from finished
    finally:
        finished.close()


def judged(claim: Claim, effort: Effort) -> Outcome:
    """:func:`~theorycheck.checks.claim.judge`, with any error but a lost cluster turned into a FAILS that names it."""
    with lent(effort) as placed:
        return _judged(claim, placed)


@contextlib.contextmanager
def lent(effort: Effort):
    """`effort`, with its ``jobs`` those of its cluster and joblib's tasks sent there, if it names a cluster."""
    if effort.cluster is None:
        yield effort
        return
    with cluster.connected(effort.cluster, compare=False) as jobs:
        yield replace(effort, jobs=jobs)


def _judged(claim, effort):
    start = time.perf_counter()
    try:
        return judge(claim, effort)
    except (ClusterLost, StoreFailed):
        raise   # says nothing of the claim
    except Exception as error:   # one broken claim must not take down the others; its message says what broke
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Outcome(claim, Verdict.FAILS, None, seconds=time.perf_counter() - start, message=message)


def _judged_by_id(module, key, effort):
    # claims hold decorated functions, which do not pickle: a worker imports the claim's module and finds it by its id
    try:
        import_module(module)
        claim = REGISTRY[key]
    except Exception as error:   # edited since the parent imported it; the other claims shall not suffer
        return key, None, Verdict.FAILS, None, (), 0.0, f"{type(error).__name__}: {' '.join(str(error).split())}"
    outcome = judged(claim, effort)
    shown = [(evidence, message) for _, evidence, message in outcome.controls]
    return key, describe(claim), outcome.verdict, outcome.evidence, shown, outcome.seconds, outcome.message


_ONE_AT_A_TIME = threading.Lock()


def _in_worker(function, task, owner):
    serve(owner)
    # a Dask worker may have several threads; warning filters and mpmath's precision belong to the whole process
    with _ONE_AT_A_TIME:
        return function(*task)
