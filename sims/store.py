"""Finished work on disk: what survives a kill, and what is refused when it comes back damaged.

A store is a directory per *identity* (experiment name, parameters, shape, seed, format) holding one
file per finished range of replicas.  A file is written under a temporary name, flushed to the disk
and renamed, so that under its final name it is either absent or whole, and two processes that finish
the same range only replace equal bytes by equal bytes.

Layout of a file: a magic line, a SHA-256 (hexadecimal) of everything after it, one line of JSON
(identity, range, array shape and, if any replicas diverged, which and when), the array as little-endian float64.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import time
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import StoreFailed

FORMAT = 1
MAGIC = b"theorycheck finished replicas\n"
STALE_SECONDS = 86400.0


class DamagedWarning(UserWarning):
    """A file of the store was truncated, altered or foreign; it was set aside and its range is computed again."""


def canonical(value) -> str:
    """One text per value: equal text if and only if the values are equal to the last bit.

    Parameters
    ----------
    value : None, bool, int, float, complex, str, bytes, ndarray, dataclass, or list, tuple, dict of these
        Dictionaries need string keys; their order does not matter.

    Raises
    ------
    ValueError
        For anything else, since a value that cannot be told from another cannot name a result.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str | bytes):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, float):
        return f"float:{value.hex()}"
    if isinstance(value, complex):
        return f"complex:{value.real.hex()},{value.imag.hex()}"
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return f"array:{native.dtype.str}{value.shape}{hashlib.sha256(native.tobytes()).hexdigest()}"
    if isinstance(value, list | tuple):
        return f"list:[{','.join(map(canonical, value))}]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return "dict:{" + ",".join(f"{key!r}={canonical(value[key])}" for key in sorted(value)) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return f"{type(value).__qualname__}:{canonical(members)}"
    raise ValueError(f"a parameter is of type {type(value).__name__}; it must be a number, text, an array, "
                     "a dataclass, or a list or dictionary of these")


def identity(name: str, parameters: dict, shape: tuple, seed: int) -> str:
    """SHA-256 (hexadecimal) of what determines the samples of an experiment: 64 characters."""
    text = canonical({"name": name, "parameters": parameters, "shape": tuple(shape), "seed": seed,
                      "format": FORMAT})
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    """The finished ranges of one experiment.

    Parameters
    ----------
    directory : Path
        Where its files lie (made by :func:`open_store`).
    identity : str
        Written into every file and compared on reading.
    """

    directory: Path
    identity: str

    def path(self, first: int, last: int) -> Path:
        """File of the replicas ``first <= r < last``."""
        return self.directory / f"{first:012d}-{last:012d}.moments"

    def ranges(self) -> list:
        """Sorted list of the ranges ``(first, last)`` that have a file; their contents are not read yet."""
        found = []
        try:
            names = os.listdir(self.directory)
        except OSError as error:
            raise _explain(error, "read", self.directory) from error
        for name in names:
            match = re.fullmatch(r"(\d{12,})-(\d{12,})\.moments", name)
            if match and int(match[1]) < int(match[2]):
                found.append((int(match[1]), int(match[2])))
        return sorted(found)

    def save(self, first: int, last: int, array: np.ndarray, lost=None) -> None:
        """Put a finished range on the disk; when this returns, it survives a power cut.

        Parameters
        ----------
        first, last : int
            The replicas ``first <= r < last``.
        array : ndarray of float64
            What is known of them; any shape.
        lost : dict of int to (int or None), optional
            Those of them that diverged, and the step if known.

        Raises
        ------
        StoreFailed
            In one line, if the disk is full or read-only; no file is left under the final name.
        """
        write(self.path(first, last), pack(self.identity, first, last, array, lost))

    def load(self, first: int, last: int, shape: tuple) -> tuple | None:
        """The array and the diverged replicas of a finished range, or None if there is nothing that can be trusted.

        A file that is truncated, altered, or belongs to another experiment, range or shape is renamed to
        ``*.damaged`` and a :class:`DamagedWarning` says so.

        Raises
        ------
        StoreFailed
            If the file is there and cannot be read.
        """
        path = self.path(first, last)
        content = read(path)
        if content is None:
            return None
        array, lost, complaint = unpack(content, self.identity, first, last, shape)
        if complaint:
            set_aside(path, f"{complaint}; it was set aside as *.damaged and its replicas are computed again")
            return None
        return array, lost


def open_store(root, name: str, parameters: dict, shape: tuple, seed: int) -> Store:
    """The store of one experiment below `root`, made if need be.

    Parameters
    ----------
    root : path
        Directory of all stores; made if need be.
    name, parameters, shape, seed
        What determines the samples, see :func:`identity`.  A change of the code does not change the
        identity: an experiment whose numbers change puts a version into its parameters.

    Raises
    ------
    StoreFailed
        In one line, if the directory cannot be made or written.
    """
    digest = identity(name, parameters, shape, seed)
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:60] or "experiment"
    directory = Path(root) / f"{label}-{digest[:16]}"
    about = {"name": name, "seed": seed, "shape": list(shape), "format": FORMAT, "identity": digest,
             "parameters": {key: canonical(value) for key, value in sorted(parameters.items())}}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _sweep(directory)
    except OSError as error:
        raise _explain(error, "make", directory) from error
    if not (directory / "identity.json").exists():
        write(directory / "identity.json", (json.dumps(about, indent=1) + "\n").encode())
    return Store(directory, digest)


def pack(identity: str, first: int, last: int, array: np.ndarray, lost=None) -> bytes:
    """The content of a file of the store."""
    data = np.asarray(array, dtype="<f8")
    header = _header(identity, first, last, data.shape)
    if lost:
        header["diverged"] = sorted(lost.items())
    body = json.dumps(header).encode() + b"\n" + data.tobytes()
    return sealed(MAGIC, body)


def unpack(content: bytes, identity: str, first: int, last: int, shape: tuple):
    """``(array, lost, "")``, or ``(None, None, complaint)`` if :func:`pack` does not write this for these arguments."""
    body, complaint = opened(MAGIC, content)
    if complaint:
        return None, None, complaint
    line, _, data = body.partition(b"\n")
    try:
        header = json.loads(line)
        lost = {replica: step for replica, step in header.pop("diverged", ())}
        fits = header == _header(identity, first, last, shape) and len(data) == 8 * math.prod(shape)
    except (ValueError, AttributeError, TypeError):     # its checksum is right: somebody else's, or of another version
        fits = False
    if not fits:
        return None, None, "belongs to another experiment or range"
    return np.frombuffer(data, dtype="<f8").reshape(shape).astype(np.float64), lost, ""


def sealed(magic: bytes, body: bytes) -> bytes:
    """`body` behind a magic line and its checksum; :func:`opened` takes them off."""
    return magic + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def opened(magic: bytes, content: bytes) -> tuple:
    """``(body, "")``, or ``(None, complaint)`` if :func:`sealed` does not write this."""
    start = len(magic) + 65
    if not content.startswith(magic):
        return None, "is not a file of this store" if len(content) >= len(magic) else "is truncated"
    body = content[start:]
    if hashlib.sha256(body).hexdigest().encode() + b"\n" != content[len(magic):start]:
        return None, "is truncated or altered (its checksum does not match)"
    return body, ""


def _header(identity, first, last, shape):
    return {"format": FORMAT, "identity": identity, "first": first, "last": last, "shape": list(shape)}


def read(path: Path) -> bytes | None:
    """The content of a file of a store, or None if there is no such file.

    Raises
    ------
    StoreFailed
        In one line, if it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _explain(error, "read", path) from error


def set_aside(path: Path, complaint: str) -> None:
    """Rename a file that cannot be trusted to ``*.damaged`` and warn, with its path before the complaint.

    Raises
    ------
    StoreFailed
        In one line, if it cannot be renamed.
    """
    try:
        os.replace(path, path.with_suffix(".damaged"))
    except FileNotFoundError:
        pass                     # another process was faster
    except OSError as error:
        raise _explain(error, "set aside a damaged file of", path) from error
    warnings.warn(f"{path} {complaint}", DamagedWarning, stacklevel=4)


def make(directory: Path) -> None:
    """Make a folder of a store and those above it, if need be.

    Raises
    ------
    StoreFailed
        In one line, if it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explain(error, "make", directory) from error


def write(path: Path, content: bytes, what: str = "the store") -> None:
    """Write a whole file or none: temporary name, flush to the disk, rename, flush the directory.

    Parameters
    ----------
    path : Path
    content : bytes
    what : str
        What the file is or belongs to, for the message.

    Raises
    ------
    StoreFailed
        In one line; the temporary file is removed.
    """
    path = Path(path)
    temporary = path.parent / f".unfinished-{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_directory(path.parent)
    except OSError as error:
        _remove(temporary)
        raise _explain(error, "write", path, what) from error
    except BaseException:
        _remove(temporary)
        raise


def _flush_directory(directory):
    if not hasattr(os, "O_DIRECTORY"):      # Windows cannot open a directory, nor needs to
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path):
    with contextlib.suppress(OSError):      # the error that brought us here is the one to report
        path.unlink(missing_ok=True)


def _sweep(directory):
    """Remove temporary files that a killed process left a day ago or earlier."""
    for path in directory.glob(".unfinished-*"):
        try:
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue


def _explain(error, action, path, what="the store"):
    return StoreFailed(error.errno, f"cannot {action} {what}: {error.strerror or error}", str(path))
