r"""What one watches on a two-layer linear network: norms, displacement and laziness, alignment, kernel change.

Per neuron (rows w_i of W): the norm ``||w_i||``, the displacement ``||w_i - w_i(0)||``, the cosine ``|<w_i, theta*>|/
(||w_i|| ||theta*||)`` and the unnormalised alignment ``|<w_i, theta*>|/||theta*||``, which falls where the cosine
rises if norms fall faster.  A network is *lazy* while every displacement is at most ``1/sqrt(m)`` (arXiv 2603.10397,
Definition 1; it asks nothing of a).  Per network: the kernel's relative change ``||M - M(0)||_F/||M(0)||_F``, and the
share of ``||W||^2`` along theta*, ``theta*'G theta*/(||theta*||^2 tr G)``.  ``tr H`` and the stability radius are
:func:`~theorycheck.theory.label_noise.network.trace_hessian` and
:func:`~theorycheck.theory.label_noise.network.critical_step`.
"""

import numpy as np

from ..arguments import numbers
from .network import kernel


def norms(first):
    """``||w_i||``, shape (..., m), of first layers (..., m, d)."""
    return np.linalg.norm(numbers(first, "entries of W"), axis=-1)


def displacements(first, start):
    """``||w_i - w_i(0)||``, shape (..., m), of first layers (..., m, d) and the one at the start (m, d)."""
    first, start = numbers(first, "entries of W"), numbers(start, "entries of W at the start")
    if start.ndim != 2 or first.shape[-2:] != start.shape:
        raise ValueError(f"first layers {first.shape} and start {start.shape} must have shapes (..., m, d) and (m, d)")
    return np.linalg.norm(first - start, axis=-1)


def lazy(first, start):
    """Which neurons are lazy, ``||w_i - w_i(0)|| <= 1/sqrt(m)`` (Definition 1), shape (..., m)."""
    moved = displacements(first, start)
    return moved <= moved.shape[-1] ** -0.5


def cosines(first, target):
    """``|<w_i, theta*>|/(||w_i|| ||theta*||)``, shape (..., m), 0 where w_i or the target vanish."""
    first, target = numbers(first, "entries of W"), numbers(target, "entries of the target")
    if target.ndim != 1 or first.shape[-1:] != target.shape:
        raise ValueError(f"first layers {first.shape} and target {target.shape} must have shapes (..., m, d) and (d,)")
    size, along = norms(first) * np.linalg.norm(target), np.abs(first @ target)
    return np.where(size > 0, along / np.where(size > 0, size, 1.0), 0.0)


def alignments(first, target):
    """``|<w_i, theta*>|/||theta*||``, shape (..., m): not divided by the neuron's norm; the target must not vanish."""
    target = numbers(target, "entries of the target")
    size = np.linalg.norm(target)
    if not size > 0:
        raise ValueError(f"target has norm {size}; it must be > 0")
    return np.abs(numbers(first, "entries of W") @ target) / size


def aligned_share(state, target):
    """``theta*'G theta*/(||theta*||^2 tr G)`` of states (..., d + 1, d + 1): 1/d if isotropic, 1 if aligned."""
    state, target = numbers(state, "entries of the state"), numbers(target, "entries of the target")
    gram = state[..., :-1, :-1]
    along = np.einsum("...ij,i,j->...", gram, target, target)
    return along / (target @ target * np.trace(gram, axis1=-2, axis2=-1))


def kernel_change(state, start):
    """``||M - M(0)||_F/||M(0)||_F`` of two states (d + 1, d + 1): small where training is lazy."""
    before = kernel(numbers(start, "entries of the state"))
    return float(np.linalg.norm(kernel(numbers(state, "entries of the state")) - before) / np.linalg.norm(before))
