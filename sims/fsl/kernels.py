r"""Mini-batch SGD on many replicas side by side: the numba kernels.

State.  With ``u = v - theta*`` and standardised features z (``phi_j = sqrt(lambda_j) z_j``), the kernels carry
``p_j = sqrt(lambda_j) u_j``, so that the residual of a sample is ``r = sum_j p_j z_j - eps``, the update is
``p_j -= (eta/B) lambda_j r z_j`` and the excess risk above ``delta_M`` is ``sum_j p_j^2 / 2``.

Layout.  LANES replicas run together, one per lane; arrays are (blocks of four modes, 4, LANES) and the innermost
loop runs over lanes, because one Philox call of one replica gives the features of four neighbouring modes.  One pass
over the modes per sample does three things: apply the update of the previous sample, draw the new features,
accumulate the new residual.  Features are float32, the state is float64 (in float32 slow modes would stagnate: their
updates fall below half a unit in the last place).  Every lane does the same operations in the same order whatever
its neighbours are; products are added by :func:`theorycheck.sims.arithmetic.fma64`, in the order written.

Draws.  Sample n of replica r, n = 0, 1, ... over the whole run, reads its features from (purpose FEATURES, replica r,
step n), feature j being draw j - 1, and its label noise from (purpose NOISE, replica r, step n // 4), draw n mod 4.
"""

import functools

import numpy as np
from numba import njit

from .. import streams
from ..arithmetic import fma64

LANES = 32
"""Replicas per group."""
FEATURES, NOISE = 0, 1
"""Purposes of the draws."""
LARGEST = 1e30
"""A replica whose residual times learning rate exceeds this (or is not a number) has diverged."""
LAWS = {"gaussian": 0, "rademacher": 1, "uniform": 2, "laplace": 3}
"""Codes of the feature laws."""


@njit(inline="always", cache=True)
def draw_block(law, key, replica, sample, block, words, out):
    """Write the features of four neighbouring modes into ``out`` (4, LANES), float32; ``words`` alike, uint32."""
    # Two loops: the latencies of one would leave the processor idle half of the time.
    for lane in range(LANES):
        words[0, lane], words[1, lane], words[2, lane], words[3, lane] = streams.block(
            key, replica + np.uint64(lane), sample, block, np.uint64(FEATURES))
    if law == 0:
        for lane in range(LANES):
            out[0, lane], out[1, lane] = streams.normal_pair(words[0, lane], words[1, lane])
            out[2, lane], out[3, lane] = streams.normal_pair(words[2, lane], words[3, lane])
    else:
        transform_other(law, words, out)


@njit(cache=True)
def transform_other(law, words, out):
    """The features of :func:`draw_block` from their words, for the laws other than the normal."""
    for i in range(4):
        if law == 1:
            for lane in range(LANES):
                out[i, lane] = streams.rademacher(words[i, lane])
        elif law == 2:
            for lane in range(LANES):
                out[i, lane] = streams.symmetric_uniform(words[i, lane])
        else:
            for lane in range(LANES):
                out[i, lane] = streams.laplace(words[i, lane])


@njit(cache=True)
def draw_sample(law, key, replica, sample, words, out):
    """Write all features of a sample into ``out`` (blocks, 4, LANES)."""
    for j in range(out.shape[0]):
        draw_block(law, key, replica, sample, np.uint64(j), words, out[j])


@njit(cache=True)
def draw_noise(key, replica, sample, out):
    """Write the label noise of samples ``4 (sample // 4) ... + 3`` into ``out`` (4, LANES), standard normal."""
    for lane in range(LANES):
        w0, w1, w2, w3 = streams.block(key, replica + np.uint64(lane), sample >> np.uint64(2), np.uint64(0),
                                       np.uint64(NOISE))
        out[0, lane], out[1, lane], out[2, lane], out[3, lane] = streams.normal_block(w0, w1, w2, w3)


@njit(inline="always", cache=True)
def update_and_dot(eigenvalues, old, new, p, step, total):
    """First sample of a batch: finish the previous update of four modes ``p``, then add ``sum p z`` to ``total``."""
    l0, l1, l2, l3 = eigenvalues[0], eigenvalues[1], eigenvalues[2], eigenvalues[3]
    for lane in range(LANES):
        c = -step[lane]
        q0 = fma64(c * l0, np.float64(old[0, lane]), p[0, lane])
        q1 = fma64(c * l1, np.float64(old[1, lane]), p[1, lane])
        q2 = fma64(c * l2, np.float64(old[2, lane]), p[2, lane])
        q3 = fma64(c * l3, np.float64(old[3, lane]), p[3, lane])
        p[0, lane], p[1, lane], p[2, lane], p[3, lane] = q0, q1, q2, q3
        t = fma64(q0, np.float64(new[0, lane]), total[lane])
        t = fma64(q1, np.float64(new[1, lane]), t)
        t = fma64(q2, np.float64(new[2, lane]), t)
        total[lane] = fma64(q3, np.float64(new[3, lane]), t)


@njit(inline="always", cache=True)
def update_and_dot_frozen(eigenvalues, old, new, p, frozen, step, total):
    """Later sample of a batch: the same, but the residual is that of the ``frozen`` state the batch started from."""
    l0, l1, l2, l3 = eigenvalues[0], eigenvalues[1], eigenvalues[2], eigenvalues[3]
    for lane in range(LANES):
        c = -step[lane]
        p[0, lane] = fma64(c * l0, np.float64(old[0, lane]), p[0, lane])
        p[1, lane] = fma64(c * l1, np.float64(old[1, lane]), p[1, lane])
        p[2, lane] = fma64(c * l2, np.float64(old[2, lane]), p[2, lane])
        p[3, lane] = fma64(c * l3, np.float64(old[3, lane]), p[3, lane])
        t = fma64(frozen[0, lane], np.float64(new[0, lane]), total[lane])
        t = fma64(frozen[1, lane], np.float64(new[1, lane]), t)
        t = fma64(frozen[2, lane], np.float64(new[2, lane]), t)
        total[lane] = fma64(frozen[3, lane], np.float64(new[3, lane]), t)


@njit(cache=True)
def half_square(eigenvalues, features, p, step, risk):
    """Finish the pending update of ``p`` and write ``sum_j p_j^2 / 2`` per lane into ``risk``."""
    for lane in range(LANES):
        risk[lane] = 0.0
    for j in range(p.shape[0]):
        for i in range(4):
            for lane in range(LANES):
                q = fma64(-step[lane] * eigenvalues[j, i], np.float64(features[j, i, lane]), p[j, i, lane])
                p[j, i, lane] = q
                risk[lane] = fma64(q, q, risk[lane])
    for lane in range(LANES):
        risk[lane] *= 0.5
        step[lane] = 0.0


@njit(inline="always", cache=True)
def mark(step, k, died):
    """Note the first step after which a lane has diverged."""
    for lane in range(LANES):
        if not abs(step[lane]) <= LARGEST and died[lane] < 0:
            died[lane] = k + 1


def run_top(law, key, replica, rates, sizes, eigenvalues, start, noise, recorded, out, died):
    """SGD on the top-M features for one group of LANES replicas.

    Parameters
    ----------
    law, key, replica : int
        Feature law, stream key, first replica of the group.
    rates : float64 (K,); sizes : int64 (K,)
        Learning rates and batch sizes.
    eigenvalues, start : float64 (blocks, 4)
        ``lambda_j`` and the initial ``p_j``, zero in the padding.
    noise : float
        Standard deviation of the label noise.
    recorded : int64 (T,)
        Increasing numbers of steps, in 0..K, after which to record.
    out : float64 (LANES, T)
        Receives ``sum_j p_j^2 / 2``.
    died : int64 (LANES,)
        -1 on entry; receives the step after which a lane had diverged.
    """
    run = _compiled_top(int(law), bool(sizes.max() == 1))
    run(key, replica, rates, sizes, eigenvalues, start, noise, recorded, out, died)


@functools.cache
def _compiled_top(law, single):
    """:func:`run_top` for one law and for batch size one or any: what does not run costs registers all the same."""

    @njit(cache=True)
    def run(key, replica, rates, sizes, eigenvalues, start, noise, recorded, out, died):
        shape = (start.shape[0], 4, LANES)
        old, new = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        p, words = np.empty(shape), np.empty((4, LANES), dtype=np.uint32)
        frozen = np.zeros((1, 1, 1) if single else shape)
        for j in range(shape[0]):
            for i in range(4):
                p[j, i, :] = start[j, i]
        step, total, epsilon = np.zeros(LANES), np.zeros(LANES), np.zeros((4, LANES), dtype=np.float32)
        sample, moment = np.uint64(0), 0
        for k in range(rates.size + 1):
            if moment < recorded.size and recorded[moment] == k:
                half_square(eigenvalues, old, p, step, total)
                out[:, moment] = total
                moment += 1
            if k == rates.size or moment == recorded.size:
                break
            scale = rates[k] / sizes[k]
            for b in range(1 if single else sizes[k]):
                if (sample & np.uint64(3)) == np.uint64(0):
                    draw_noise(key, replica, sample, epsilon)
                for lane in range(LANES):
                    total[lane] = 0.0
                if single or b == 0:
                    for j in range(shape[0]):
                        draw_block(law, key, replica, sample, np.uint64(j), words, new[j])
                        update_and_dot(eigenvalues[j], old[j], new[j], p[j], step, total)
                else:
                    for j in range(shape[0]):
                        draw_block(law, key, replica, sample, np.uint64(j), words, new[j])
                        update_and_dot_frozen(eigenvalues[j], old[j], new[j], p[j], frozen[j], step, total)
                if not single and b == 0 and sizes[k] > 1:
                    frozen[:] = p
                for lane in range(LANES):
                    step[lane] = scale * (total[lane] - noise * np.float64(epsilon[sample & np.uint64(3), lane]))
                old, new = new, old
                sample += np.uint64(1)
                mark(step, k, died)

    return run


@njit(cache=True)
def projected_risk(weighted, target, v, scratch, risk):
    """``sum_n ((W' v)_n - target_n)^2 / 2`` per lane, with ``weighted = W sqrt(Lambda)``."""
    for lane in range(LANES):
        risk[lane] = 0.0
    for n in range(target.size):
        for lane in range(LANES):
            scratch[lane] = -target[n]
        for m in range(weighted.shape[0]):
            for lane in range(LANES):
                scratch[lane] = fma64(weighted[m, n], v[m, lane], scratch[lane])
        for lane in range(LANES):
            risk[lane] = fma64(scratch[lane], scratch[lane], risk[lane])
    for lane in range(LANES):
        risk[lane] *= 0.5


@njit(cache=True)
def run_projected(law, key, replica, rates, sizes, weighted, target, noise, recorded, out, died):
    """SGD on M combinations ``W phi`` of N features, in feature space, for one group of LANES replicas.

    All N features of every sample are drawn and projected; nothing about the reduced problem is used.

    ``weighted`` (M, N) is ``W diag(sqrt(lambda))`` with rows of zeros up to a multiple of four, ``target`` (N,) is
    ``sqrt(lambda_n) theta*_n``; the rest as in :func:`run_top`.  ``out`` receives ``||W' v - theta*||_H^2 / 2``.
    """
    width, count = weighted.shape
    z, x = np.zeros(((count + 3) // 4, 4, LANES), dtype=np.float32), np.zeros((count, LANES))
    v, gradient, projected = np.zeros((width, LANES)), np.zeros((width, LANES)), np.zeros((width, LANES))
    residual, scratch = np.zeros(LANES), np.zeros(LANES)
    epsilon, words = np.zeros((4, LANES), dtype=np.float32), np.empty((4, LANES), dtype=np.uint32)
    sample, moment = np.uint64(0), 0
    for k in range(rates.size + 1):
        if moment < recorded.size and recorded[moment] == k:
            projected_risk(weighted, target, v, scratch, residual)
            out[:, moment] = residual
            moment += 1
        if k == rates.size or moment == recorded.size:
            break
        gradient[:] = 0.0
        for _ in range(sizes[k]):
            if (sample & np.uint64(3)) == np.uint64(0):
                draw_noise(key, replica, sample, epsilon)
            draw_sample(law, key, replica, sample, words, z)
            for lane in range(LANES):
                residual[lane] = -noise * np.float64(epsilon[sample & np.uint64(3), lane])
            for n in range(count):
                for lane in range(LANES):
                    x[n, lane] = np.float64(z[n >> 2, n & 3, lane])
                    residual[lane] = fma64(-target[n], x[n, lane], residual[lane])
            projected[:] = 0.0
            for m in range(0, width, 4):
                for n in range(count):
                    w0, w1, w2, w3 = weighted[m, n], weighted[m + 1, n], weighted[m + 2, n], weighted[m + 3, n]
                    for lane in range(LANES):
                        projected[m, lane] = fma64(w0, x[n, lane], projected[m, lane])
                        projected[m + 1, lane] = fma64(w1, x[n, lane], projected[m + 1, lane])
                        projected[m + 2, lane] = fma64(w2, x[n, lane], projected[m + 2, lane])
                        projected[m + 3, lane] = fma64(w3, x[n, lane], projected[m + 3, lane])
            for m in range(width):
                for lane in range(LANES):
                    residual[lane] = fma64(v[m, lane], projected[m, lane], residual[lane])
            for m in range(width):
                for lane in range(LANES):
                    gradient[m, lane] = fma64(residual[lane], projected[m, lane], gradient[m, lane])
            sample += np.uint64(1)
        scale = rates[k] / sizes[k]
        for m in range(width):
            for lane in range(LANES):
                v[m, lane] = fma64(-scale, gradient[m, lane], v[m, lane])
        mark(residual, k, died)
