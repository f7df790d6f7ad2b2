"""A running Dask cluster as the place where joblib's tasks are done.

Within :func:`connected` whatever calls joblib without naming a backend (the engine for its chunks, a sweep for its
points) sends its tasks to the cluster.  A task is a pure function of its arguments, and what comes back is put together
here, in an order that does not depend on who was first; hence the same bits as on one machine.  A worker that dies
costs the tasks it was at: the scheduler gives them to another one.  Stores are written by the client alone.

Workers need theorycheck and the same versions of what it computes with; that is asked of each of them before any
work is sent.  One thread per worker (``dask worker --nthreads 1``) is best, since the kernels hold Python's lock.
"""

import asyncio
import contextlib
import functools
import logging
import re

from .errors import ClusterLost
from .versions import versions

PATIENCE = 5.0
"""Seconds to wait for the scheduler's answer, and for its first worker."""
ADDRESS = re.compile(r"tcp://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})")


def checked_address(address) -> str:
    """`address`, if it reads ``tcp://host:port``; whether anybody listens there is not asked.

    Raises
    ------
    ValueError
        If it does not.
    """
    match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"Dask address is {address!r}; it must be tcp://host:port with a port from 1 to 65535")
    return address


@contextlib.contextmanager
def connected(address: str, compare: bool = True):
    """Send joblib's tasks to the cluster at `address` while the context is open.

    Parameters
    ----------
    address : str
        Of the scheduler, ``tcp://host:port``.
    compare : bool
        Ask every worker for its versions first.

    Yields
    ------
    int
        Number of tasks the cluster works on at a time now, but from 2 to 4096; the ``jobs`` to ask the engine for.

    Raises
    ------
    ValueError
        For a malformed address, without the package ``distributed``, or where a worker has other versions.
    ConnectionError
        If nobody answers within :data:`PATIENCE` seconds or there are no workers.
    ClusterLost
        Out of the work itself: the scheduler is gone, or a task took one worker after the other down.
    """
    checked_address(address)
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(f"Dask address is {address!r} and distributed is not installed; "
                         "pip install 'theorycheck[cluster]' brings it") from None
    from joblib import parallel_config

    _silence()
    with _opened(Client, address) as client:
        cores = _workers(client, address)
        if compare:
            _compare(client, address)
        with parallel_config(backend=_backend()(client=client)):
            yield min(4096, max(2, sum(cores.values())))


async def _identity(address):
    """What the scheduler says of itself; asked before a client is made, whose constructor may wait for ever."""
    from distributed import rpc

    remote = rpc(address)
    try:
        return await asyncio.wait_for(remote.identity(), PATIENCE)
    finally:
        await remote.close_rpc()


@contextlib.contextmanager
def _opened(Client, address):
    try:
        known = asyncio.run(_identity(address))
        if not (isinstance(known, dict) and known.get("type") == "Scheduler"):
            raise ValueError("something else answers")
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except Exception as error:   # a peer that speaks another protocol can make the client raise anything
        raise ConnectionError(f"no Dask scheduler answers at {address} within {PATIENCE:g} s "
                              f"({type(error).__name__})") from error
    try:
        yield client
    finally:
        client.close(timeout=PATIENCE)


def _workers(client, address):
    """Threads of each worker."""
    from distributed import TimeoutError

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise ConnectionError(f"the Dask cluster at {address} has no workers after {PATIENCE:g} s; start some with "
                              f"'dask worker {address} --nthreads 1'") from error
    return client.ncores()


def _compare(client, address):
    def probe():
        # sent by value, not by name: a worker that lacks theorycheck must be able to say so
        from importlib import import_module
        try:
            return import_module("theorycheck.sims.versions").versions()
        except ImportError as error:
            return str(error)

    probe.__module__ = "__main__"
    here = versions()
    for worker, there in sorted(client.run(probe, on_error="return").items()):
        if not isinstance(there, dict):
            raise ValueError(f"Dask worker {worker} lacks this theorycheck ({' '.join(str(there).split())}); install "
                             "the same version there")
        other = [f"{name} {there.get(name)} (here {value})" for name, value in here.items() if there.get(name) != value]
        if other:
            raise ValueError(f"Dask worker {worker} has {', '.join(other)}; it must have the same versions")


@functools.cache
def _backend():
    """joblib's Dask backend, made to report a lost cluster: joblib's own would wait for the result for ever."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs):
            # with 1 joblib would do the work in this process
            return max(2, super().effective_n_jobs(n_jobs))

        async def _collect(self):
            while self._continue:
                async for future, result in self.waiting_futures:
                    done, callback = self._results.pop(future), self._callbacks.pop(future)
                    if future.status != "finished":
                        reason = result[1] if isinstance(result, tuple) else result
                        result = ClusterLost(f"the Dask cluster lost a task ({_shortly(reason, future.status)})")
                    done.set_result(result)
                    callback(result)
                await asyncio.sleep(0.01)

        def retrieve_result_callback(self, out):
            if isinstance(out, ClusterLost):
                raise out
            return super().retrieve_result_callback(out)

    return Backend


def _shortly(reason, status):
    return f"{type(reason).__name__}: {' '.join(str(reason).split())}" if isinstance(reason, Exception) else status


def _silence():
    """Keep distributed's log, which tells of every reconnection, out of the terminal; errors come as exceptions."""
    for name in ("client", "core", "comm", "batched", "scheduler"):
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
