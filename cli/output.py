"""Writing the files of a command into a folder: all of them or none, whatever interrupts it."""

import shutil
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".unfinished-"
"""Of the hidden folders."""


@contextmanager
def interruptible():
    """Yields a function that raises if an interruption got lost: compiled code may call back and drop exceptions."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    seen = []

    def note(*_):
        seen.append(True)
        raise KeyboardInterrupt

    def check():
        if seen:
            raise KeyboardInterrupt

    def dropped(lost):
        if lost.exc_type is not KeyboardInterrupt:
            complain(lost)

    before, complain = signal.signal(signal.SIGINT, note), sys.unraisablehook
    sys.unraisablehook = dropped
    try:
        yield check
    finally:
        sys.unraisablehook = complain
        signal.signal(signal.SIGINT, before)


def refuse_folder(out):
    """Refuse a folder that cannot be made or written to, by doing so; what was made is removed again."""
    if not out:
        raise ValueError("--out is empty; it must name a folder")
    made = []
    try:
        made.extend(_missing(out))
        Path(out).mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=PREFIX, dir=out)).rmdir()
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written to ({error.strerror or error})") from None
    finally:
        _remove_empty(made)


def _missing(folder):
    """The folders that have to be made for `folder` to exist, innermost first."""
    path = Path(folder).absolute()
    return [each for each in (path, *path.parents) if not each.exists()]


def _remove_empty(folders):
    with suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()


def write_all(out, fill, check=lambda: None) -> list:
    """Let `fill` write files into a hidden folder beside their place, then give all of them their names.

    Parameters
    ----------
    out : path_like
        Folder; made if it does not exist, and removed again if it stays empty.
    fill : callable
        Called with the hidden folder.
    check : callable
        Called before the files get their names; what it raises leaves none of them.

    Returns
    -------
    list of Path
        Sorted by name.
    """
    out, made = Path(out), _missing(out)
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=PREFIX, dir=out))
    try:
        fill(staging)
        files = sorted(staging.iterdir())
        check()
        with _undisturbed():
            return [path.replace(out / path.name) for path in files]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(made)


@contextmanager
def _undisturbed():
    """Ignore interruptions for the moment it takes to rename: then everything is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
