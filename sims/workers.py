"""Worker processes: deaf to Ctrl-C, which their owner answers for all, and gone when their owner is gone."""

import contextlib
import functools
import os
import signal
import threading
import time


def serve(owner: int | None) -> None:
    """Make this process a worker of `owner`, if it is a child of it; called with every task.

    A terminal's Ctrl-C reaches the whole process group, and only the owner may answer it, by stopping its workers.
    After ``kill -9`` of the owner nobody else would tell them to stop.  A process that is no child of `owner` (the
    owner itself, a worker on another machine) is left as it is.

    Parameters
    ----------
    owner : int or None
        Process identifier of who the work is for.
    """
    if owner == os.getppid():
        _watch(owner)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def deaf_children():
    """While open, processes that are started are deaf to Ctrl-C from their first instruction on, imports included.

    They inherit that from this process, where a Ctrl-C is held back until the end if no other thread takes signals.
    One that does (of a progress bar, of a client of a cluster) takes the Ctrl-C instead and, since the process ignores
    it meanwhile, drops it: it has to be typed again.  Off the main thread, and on Windows, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def _watch(owner):

    def watch():
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
