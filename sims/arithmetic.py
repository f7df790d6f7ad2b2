"""Fused multiply-add, a x + b rounded once (IEEE 754-2008, fusedMultiplyAdd), for compiled kernels.

This is an operation with one defined result, not a licence to contract: the bits of a kernel follow from where it is
written, and the same bits come from ``fmaf`` and ``fma`` in C and C++ (with ``-ffp-contract=off`` for the rest) and
from ``__fmaf_rn`` and ``__fma_rn`` in CUDA.  Processors with the instruction (x86-64 since 2013, every AArch64, every
GPU) take it in vectors.  For others the compiler calls the C library, whose result is the same and whose speed is a
few per cent of it.
"""

from numba import types
from numba.extending import intrinsic


@intrinsic
def fma32(typing, a, x, b):
    """``a x + b`` of three float32, rounded once to float32; only inside compiled functions."""
    return types.float32(types.float32, types.float32, types.float32), _generate


@intrinsic
def fma64(typing, a, x, b):
    """``a x + b`` of three float64, rounded once to float64; only inside compiled functions."""
    return types.float64(types.float64, types.float64, types.float64), _generate


def _generate(context, builder, signature, arguments):
    return builder.fma(*arguments)
