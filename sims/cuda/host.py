"""The CUDA sources compiled by the C++ compiler of this machine: a device for tests, slow and exact.

Has the methods of :class:`..gpu.Device`, on NumPy arrays.  Threads of a block take turns (``host.h``), blocks follow
each other, and the arithmetic is IEEE 754 operation by operation, so a kernel gives the bits that it gives on a GPU.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

from . import FOLDER

FLAGS = ("-O2", "-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Werror", "-Wno-unknown-pragmas")
"""For GCC and Clang."""


def compiler() -> str | None:
    """Path of a C++ compiler, or None."""
    return next((found for found in map(shutil.which, ("g++", "clang++", "c++")) if found), None)


class HostDevice:
    """Kernels on this processor.

    Parameters
    ----------
    folder : path
        Where the compiled libraries go.
    memory : int
        Bytes that the device claims to have; an allocation beyond them raises MemoryError, as on a full GPU.
    said_free : int, optional
        Bytes that it says are free before anything is allocated; by default the truth.
    """

    out_of_memory = (MemoryError,)
    name, processors, shared_bytes = "host", 1, 2**17

    def __init__(self, folder, memory=2**30, said_free=None):
        self.folder, self.memory, self.said_free = Path(folder), memory, said_free
        self.launches, self._libraries = [], {}

    def free_bytes(self) -> int:
        """Bytes that an allocation may take."""
        return self.memory if self.said_free is None else self.said_free

    def array(self, values) -> np.ndarray:
        """A copy of an array on the device."""
        return np.array(values, order="C")

    def empty(self, shape, dtype) -> np.ndarray:
        """An array whose entries are arbitrary.

        Raises
        ------
        MemoryError
            If it is larger than the memory.
        """
        if np.dtype(dtype).itemsize * int(np.prod(shape)) > self.memory:
            raise MemoryError(f"{shape} of {dtype}")
        return np.full(shape, 77, dtype=dtype)

    def numpy(self, values) -> np.ndarray:
        """A copy of an array of the device in the memory of this process."""
        return values.copy()

    def release(self):
        """Nothing to give back: there is no pool."""

    def launch(self, source, kernel, grid, block, *arguments, shared=0):
        """Run a kernel of ``source.cu`` on ``grid`` blocks of ``block`` threads.  Arrays and NumPy scalars."""
        if source not in self._libraries:
            self._libraries[source] = ctypes.CDLL(str(self._compiled(source)))
        values = [np.array(value.ctypes.data if isinstance(value, np.ndarray) else value) for value in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        self.launches.append((kernel, grid, block))
        getattr(self._libraries[source], f"launch_{kernel}")(ctypes.c_uint(grid), ctypes.c_uint(block), pointers)

    def _compiled(self, source):
        target = self.folder / f"{source}.so"
        if not target.exists():
            done = subprocess.run([compiler(), *FLAGS, "-x", "c++", str(FOLDER / f"{source}.cu"), "-o", str(target)],
                                  capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{source}.cu does not compile on the host:\n{done.stderr}")
        return target
