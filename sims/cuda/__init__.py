"""CUDA C sources of the kernels, and what a compiler needs to know about them.

``streams.cuh`` has the random numbers, bit for bit those of :mod:`..streams`; ``streams.cu`` writes them to memory,
``moments.cu`` reduces replicas along the tree of :mod:`..tree`; ``fsl.cu``, ``projected.cu`` and ``label_noise.cu`` are
the experiments.
``host.h`` lets a C++ compiler take the same sources where there is no GPU (:mod:`.host`).
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the sources are."""
SOURCES = ("streams", "moments", "fsl", "projected", "label_noise")
"""Names of the ``.cu`` files."""
OPTIONS = ("-std=c++17", "-fmad=false")
"""For NVRTC and nvcc: products and sums in float64 are rounded one by one; fused operations stand in the source."""


def source(name: str) -> str:
    """One of :data:`SOURCES` as a text of its own, its ``#include "streams.cuh"`` resolved.

    A compiler's cache that goes by the text then notices a change of either file.
    """
    shared = (FOLDER / "streams.cuh").read_text(encoding="utf-8")
    return (FOLDER / f"{name}.cu").read_text(encoding="utf-8").replace('#include "streams.cuh"\n', shared)
