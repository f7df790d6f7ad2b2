"""Finished results on disk, one small file each: what survives a kill, and is refused when it comes back damaged.

A result is a dictionary of numbers, text and lists, kept under the name that :func:`.store.canonical` gives to
everything it depends on.  Layout of a file: a magic line, a SHA-256 (hexadecimal) of everything after it, one line with
the name, the result as JSON (whose floats are read back to the last bit).
"""

import hashlib
import json
import os
import warnings
from pathlib import Path

from .store import DamagedWarning, canonical, write

MAGIC = b"theorycheck finished result\n"


def digest(dependencies: dict) -> str:
    """Name of the result that follows from these dependencies: 64 hexadecimal characters."""
    return hashlib.sha256(canonical(dependencies).encode()).hexdigest()


def path_of(root, name: str) -> Path:
    """File of the result called `name` below `root`."""
    return Path(root) / name[:2] / f"{name[2:]}.result"


def save(root, name: str, result: dict) -> None:
    """Put a result on the disk; when this returns, it survives a power cut.

    Raises
    ------
    OSError
        In one line; no file is left under the final name.
    """
    path = path_of(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    body = name.encode() + b"\n" + json.dumps(result).encode()
    write(path, MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def load(root, name: str) -> dict | None:
    """The result called `name`, or None if there is none that can be trusted.

    A file that is truncated, altered or of another name is renamed to ``*.damaged`` and a :class:`DamagedWarning`
    says so.
    """
    path = path_of(root, name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    checksum, body = content[len(MAGIC):len(MAGIC) + 65], content[len(MAGIC) + 65:]
    sound = content.startswith(MAGIC) and checksum == hashlib.sha256(body).hexdigest().encode() + b"\n"
    if sound and body.startswith(name.encode() + b"\n"):
        return json.loads(body[len(name) + 1:])
    os.replace(path, path.with_suffix(".damaged"))
    warnings.warn(f"{path} is truncated, altered or foreign; it was set aside as *.damaged and is computed again",
                  DamagedWarning, stacklevel=2)
    return None
