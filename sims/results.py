"""Finished results on disk, one small file each: what survives a kill, and is refused when it comes back damaged.

A result is a dictionary of numbers, text and lists, kept under the name that :func:`.store.canonical` gives to
everything it depends on.  Layout of a file: that of :func:`.store.sealed`, with one line for the name and the result as
JSON (whose floats are read back to the last bit).
"""

import hashlib
import json
from pathlib import Path

from .store import canonical, make, opened, read, sealed, set_aside, write

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
    StoreFailed
        In one line; no file is left under the final name.
    """
    path = path_of(root, name)
    make(path.parent)
    write(path, sealed(MAGIC, name.encode() + b"\n" + json.dumps(result).encode()))


def load(root, name: str) -> dict | None:
    """The result called `name`, or None if there is none that can be trusted.

    A file that is truncated, altered or of another name is renamed to ``*.damaged`` and a :class:`.DamagedWarning`
    says so.

    Raises
    ------
    StoreFailed
        In one line, if the file is there and cannot be read, or is damaged and cannot be renamed.
    """
    path = path_of(root, name)
    content = read(path)
    if content is None:
        return None
    body, complaint = opened(MAGIC, content)
    if not complaint and body.startswith(name.encode() + b"\n"):
        return json.loads(body[len(name) + 1:])
    set_aside(path, f"{complaint or 'is that of another result'}; it was set aside as *.damaged and is computed again")
    return None
