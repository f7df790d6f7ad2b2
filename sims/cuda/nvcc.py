"""What ptxas says about the kernels: registers, shared memory and spills for an architecture."""

import re
import shutil
import subprocess
from dataclasses import dataclass

from . import FOLDER, OPTIONS, SOURCES

ARCHITECTURES = ("sm_80", "sm_90")
"""A100, and H100 and H200."""


@dataclass(frozen=True)
class Kernel:
    """One compiled kernel.

    Attributes
    ----------
    source, name, architecture : str
    registers : int
        Per thread.
    shared : int
        Bytes of static shared memory per block.
    stack, spills : int
        Bytes per thread: the stack frame, and spill stores and loads together.
    """

    source: str
    name: str
    architecture: str
    registers: int
    shared: int
    stack: int
    spills: int


def compiler() -> str | None:
    """Path of nvcc, or None."""
    return shutil.which("nvcc")


def version() -> str:
    """Release of nvcc."""
    text = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release ([\d.]+)", text)[1]


def kernels(architecture: str, folder, sources=SOURCES) -> list:
    """Compile the sources for an architecture into `folder` and return a :class:`Kernel` for each kernel.

    Raises
    ------
    RuntimeError
        With nvcc's text, if a source does not compile.
    """
    found = []
    for source in sources:
        done = subprocess.run([compiler(), "-cubin", *OPTIONS, f"-arch={architecture}", "-Xptxas", "-v", "-o",
                               str(folder / f"{source}.{architecture}.cubin"), str(FOLDER / f"{source}.cu")],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{source}.cu does not compile for {architecture}:\n{done.stderr}")
        found += _read(source, architecture, done.stdout + done.stderr)
    return sorted(found, key=lambda kernel: (SOURCES.index(kernel.source), kernel.name))


def _read(source, architecture, text):
    for part in text.split("Compiling entry function ")[1:]:
        name = re.match(r"'(\w+)'", part)[1]
        stack, stores, loads = map(int, re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part).groups())
        shared = re.search(r"(\d+) bytes smem", part)
        yield Kernel(source, name, architecture, int(re.search(r"Used (\d+) registers", part)[1]),
                     int(shared[1]) if shared else 0, stack, stores + loads)
