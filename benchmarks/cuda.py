"""Registers, shared memory and spills of the CUDA kernels for two architectures, as nvcc's ptxas reports them.

Writes CUDA.md beside this file.  Without nvcc nothing is compiled and the table stays as it is.
"""

import tempfile
from pathlib import Path

from theorycheck.sims.cuda import OPTIONS, nvcc

TABLE = Path(__file__).parent / "CUDA.md"
BLOCKS = {"descend_4": 256, "descend_4_batched": 256, "descend_2": 512, "descend_2_batched": 512, "descend_1": 512,
          "descend_1_batched": 512, "reduced": 128}
"""Largest threads per block; 256 for the others."""


def resident(kernel):
    """Threads per multiprocessor that its registers leave room for, in whole blocks of the largest size."""
    threads = BLOCKS.get(kernel.name, BLOCKS.get(kernel.name.split("_")[0], 256))
    per_warp = -(-kernel.registers * 32 // 256) * 256
    return min(2048 // threads, 65536 // (per_warp * threads // 32)) * threads


def table(found):
    """Kernels of all architectures as a Markdown table."""
    lines = ["| source | kernel | architecture | registers | shared memory, B | stack, B | spills, B | threads/SM |",
             "|---|---|---|--:|--:|--:|--:|--:|"]
    return "\n".join(lines + [
        f"| {k.source}.cu | {k.name} | {k.architecture} | {k.registers} | {k.shared} | {k.stack} | {k.spills} | "
        f"{resident(k)} |" for k in found])


def main():
    """Compile, write CUDA.md, and return a section in Markdown."""
    title = "## CUDA kernels\n\n"
    if nvcc.compiler() is None:
        return title + "nvcc was not there: nothing compiled; the last table is in [CUDA.md](CUDA.md).\n"
    with tempfile.TemporaryDirectory() as folder:
        found = [kernel for architecture in nvcc.ARCHITECTURES for kernel in nvcc.kernels(architecture, Path(folder))]
    found.sort(key=lambda kernel: (kernel.source, kernel.name, kernel.architecture))
    TABLE.write_text(
        "# Registers, shared memory and spills\n\n"
        f"Written by `python -m benchmarks cuda`: nvcc {nvcc.version()}, options `{' '.join(OPTIONS)}`, from ptxas.  "
        "Spills are stores and loads together, bytes per thread.  *threads/SM* is what 65,536 registers hold of blocks "
        "of the largest size a kernel is launched with; shared memory asked for at the launch (eigenvalues in "
        "`descend`, at most 32 KiB; weights in `direct`) is not counted.\n\n"
        + table(found) + "\n", encoding="utf-8")
    spilled = sorted({kernel.name for kernel in found if kernel.spills or kernel.stack})
    return title + (f"{len(found)} compilations for {' and '.join(nvcc.ARCHITECTURES)}, nvcc {nvcc.version()}: "
                    f"{'spills in ' + ', '.join(spilled) if spilled else 'no spills, no stack frames'}, at most "
                    f"{max(kernel.registers for kernel in found)} registers.  All of them: [CUDA.md](CUDA.md).\n")
