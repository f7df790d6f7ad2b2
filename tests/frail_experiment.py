"""An experiment some of whose replicas diverge, and ways to run it in a process that is then struck.

The functions are for processes forked from a server that has imported this module: a fresh interpreter for each of
dozens of kills would take a minute.
"""

import contextlib
import functools
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from theorycheck.sims.engine import Diverged, estimate, moments

EVERY = 89
"""One replica in so many diverges."""


@dataclass(frozen=True)
class Frail:
    """Normal numbers about 1e9; replicas 13, 13 + every, ... diverge at step ``r % 50`` (none if 0).

    They are NaN or, if `raising`, stop their chunk.  `pause` seconds a replica, every call appended to the file `log`.
    """

    log: str = ""
    pause: float = 0.0
    raising: bool = False
    every: int = EVERY
    shape = (3,)
    name = "frail"

    def parameters(self):
        return {"every": self.every}

    def sample(self, seed, first, count):
        time.sleep(self.pause * count)
        out = np.array([np.random.default_rng([seed, r]).normal(1e9, 1.0, 3) for r in range(first, first + count)])
        bad = [r for r in range(first, first + count) if self.every and r % self.every == 13]
        if bad and self.raising:
            raise Diverged(bad[0], bad[0] % 50)
        out[[r - first for r in bad], 1] = np.nan
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{first} {first + count}\n")
        return out


def run(log, store, pause, replicas, chunk):
    """Estimate it, leaving the diverged ones out."""
    warnings.simplefilter("ignore")
    estimate(Frail(log, pause), replicas=replicas, seed=3, chunk=chunk, store=store, on_divergence="keep")


def strike(owner, name, after=0):
    """Make a function send Ctrl-C to the whole process group when it is called, after so many calls without."""
    plain, calls = getattr(owner, name), []

    @functools.wraps(plain)
    def struck(*arguments, **named):
        calls.append(0)
        if len(calls) == after + 1:
            os.killpg(0, signal.SIGINT)
        return plain(*arguments, **named)

    setattr(owner, name, struck)


def command(folder, arguments, target=None, after=0):
    """Type a command line in a process group of its own, interrupted where `target` says; ends with its exit code.

    ``folder/out.txt`` and ``folder/err.txt`` get what it prints.
    """
    os.setpgid(0, 0)
    os.chdir(folder)
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import sampled_topic

    sampled_topic.installed()
    if target:
        module, _, name = target.rpartition(".")
        strike(pkgutil.resolve_name(module), name, after)
    from theorycheck.cli.main import exit_code

    code = exit_code(arguments)
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def server():
    """A process that has all imported, and forks."""
    context = multiprocessing.get_context("forkserver")
    here, before = str(Path(__file__).parent), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = here if not before else here + os.pathsep + before
    context.set_forkserver_preload(["frail_experiment", "sampled_topic"])
    try:
        from multiprocessing.forkserver import ensure_running

        ensure_running()
        yield context
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


moments(np.zeros((4, 3)), 0)   # compiled before the fork
