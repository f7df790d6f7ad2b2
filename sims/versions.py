"""What the bits of a result depend on besides its parameters: the versions of this package and of what it stands on."""

import functools
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("theorycheck", "numpy", "scipy", "numba", "llvmlite")
"""Packages in which numbers are made."""
AVENUES = ("theory", "sims", "checks")
"""Folders in which numbers are made."""


def versions() -> dict:
    """Versions of Python and of :data:`PACKAGES`, and a digest of the sources of :data:`AVENUES`, as text by name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return {**found, "sources": source_digest()}


@functools.cache
def source_digest() -> str:
    """Digest (16 hexadecimal characters) of the Python files of :data:`AVENUES`, names and contents."""
    root, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(path for avenue in AVENUES for path in (root / avenue).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
