"""Worker processes that do not outlive the process they work for."""

import functools
import os
import threading
import time


def leave_with(owner: int | None) -> None:
    """End this process when `owner` is gone, if it is a child of it.

    After ``kill -9`` nobody else would tell a worker to stop.  A process that is no child of `owner` (the owner itself,
    a worker on another machine) is left alone.

    Parameters
    ----------
    owner : int or None
        Process identifier of who the work is for.
    """
    if owner == os.getppid():
        _watch(owner)


@functools.cache
def _watch(owner):

    def watch():
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
