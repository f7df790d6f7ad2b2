r"""SGD on the six scalars, a batch of fresh sequences per step: the numba kernels.

The student of :mod:`theorycheck.theory.induction_heads.population_loss` at a finite context, its softmaxes normalised
over what is visible.  With ``n_s = x_{s-1} + u n_{s-1}`` and ``Z_s = 1 + u Z_{s-1}`` from ``n_1 = Z_1 = 0``, the first
layer is ``y_s = w1 m_s``, ``m_s = n_s/Z_s``; by its slope, ``dn_s/dp1 = u (dn_{s-1}/dp1 - n_{s-1})`` and alike for Z.
One pass over the positions s = 2..L-1 of a sequence collects, with ``e_s = e^{kappa x_L m_s}``, the sums of e, e x_s,
e m_s, e m_s x_s, e dm_s, e dm_s x_s, the same of the target's ``e^{y x_L x_{s-1}}``, and the averages of m and dm under
the weights of the 4-gram head and their derivative: what the two residuals and their gradients are made of.

Layout.  LANES sequences of a batch run together, one per lane, lane innermost, in flat arrays: constant distances
between rows let the compiler put the lanes in vectors.  Tokens, weights and the sums over one sequence are float32 (a
gradient of one sequence is right to about 1e-5 of its size), parameters and sums over a batch float64.  The batch is
added up in the order of its sequences.  Logits must stay within :data:`LARGEST_SCALE` times 6.76^2, so no maximum is
taken out of a softmax.

Draws of replica r under the key of "induction_heads.sgd": token ``x_{i+1}`` of sequence m of step k is draw
``4 ceil(L/4) m + i`` of (purpose TOKENS, replica r, step k).
"""

import math

import numpy as np
from numba import njit

from .. import streams
from ..arithmetic import fma32

LANES = 16
"""Sequences side by side."""
TOKENS, START = 0, 1
"""Purposes of the draws."""
LARGEST_SCALE = 1.75
"""A logit scale beyond this has diverged: tokens reach 6.76, and ``1.75 6.76^2`` is near float32's end, 87."""
LARGEST_PARAMETER, LARGEST_RISE = 1e6, 20.0
"""So has a parameter beyond the first, or a slope so negative that attention rises by ``e^20`` over the context."""
SUMS = 8
"""Sums over a batch, in this order: ``r1 G``, ``r1 dG/dp``, ``r1 dG/dp1``, ``r2 F``, ``r2 dF/dkappa``, ``r2 dF/dp1``,
``r1^2``, ``r2^2``, where the student is ``(a w1 G, b F)`` and ``r1, r2`` are its residuals."""


# -- numbers -----------------------------------------------------------------------------------------------------


@njit(inline="always", cache=True)
def exponential(x):
    """``e^x`` of a float32 in [-87, 87], branch-free, within 8e-8 relative.

    ``x = n log 2 + r``, n the nearest integer, and the Taylor polynomial of degree 7 (5e-9 at ``|r| = log(2)/2``).
    """
    shifted = fma32(x, np.float32(1.44269504), np.float32(12582912.0))   # 1.5 2^23: n sits in the lowest bits
    n = shifted - np.float32(12582912.0)
    r = fma32(n, np.float32(-0.693145752), x)
    r = fma32(n, np.float32(-1.42860677e-6), r)
    p = fma32(np.float32(1.0 / 5040.0), r, np.float32(1.0 / 720.0))
    p = fma32(p, r, np.float32(1.0 / 120.0))
    p = fma32(p, r, np.float32(1.0 / 24.0))
    p = fma32(p, r, np.float32(1.0 / 6.0))
    p = fma32(p, r, np.float32(0.5))
    p = fma32(p, r, np.float32(1.0))
    p = fma32(p, r, np.float32(1.0))
    power = np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
    return np.int32(np.float32(p).view(np.int32) + power).view(np.float32)


@njit(cache=True)
def exponentials(x, out):
    """:func:`exponential` of an array."""
    for i in range(x.size):
        out[i] = exponential(x[i])


@njit(inline="always", cache=True)
def draw_tokens(key, replica, step, member, words, x):
    """Write the tokens of sequences ``member, ..., member + LANES - 1`` of a step into ``x`` (4 blocks LANES,)."""
    blocks = x.size // (4 * LANES)
    for j in range(blocks):
        first = 4 * j * LANES
        for lane in range(LANES):
            words[0, lane], words[1, lane], words[2, lane], words[3, lane] = streams.block(
                key, replica, step, np.uint64((member + lane) * blocks + j), np.uint64(TOKENS))
        for lane in range(LANES):
            x[first + lane], x[first + LANES + lane] = streams.normal_pair(words[0, lane], words[1, lane])
            x[first + 2 * LANES + lane], x[first + 3 * LANES + lane] = streams.normal_pair(words[2, lane],
                                                                                          words[3, lane])


@njit(cache=True)
def tokens(key, replica, step, member, x):
    """:func:`draw_tokens`, for who wants to see them."""
    draw_tokens(key, replica, step, member, np.empty((4, LANES), dtype=np.uint32), x)


# -- tables of a step --------------------------------------------------------------------------------------------


@njit(cache=True)
def lag_weights(p, length, weight, slope):
    """Write ``pi`` and ``dpi/dp`` of the positions i = 1..L-2 (from 0) into float32 arrays of length L."""
    total, mean = 0.0, 0.0
    for lag in range(length - 2):
        each = math.exp(-p * lag)
        total += each
        mean += lag * each
    mean /= total
    for lag in range(length - 2):
        each = math.exp(-p * lag) / total
        weight[length - 2 - lag] = each
        slope[length - 2 - lag] = (mean - lag) * each


@njit(cache=True)
def normalisers(u, length, inverse, relative):
    """Write ``1/Z`` and ``(dZ/dp1)/Z`` of the first layer into float32 arrays of length L."""
    z, dz = 0.0, 0.0
    for i in range(1, length - 1):
        dz = u * (dz - z)
        z = 1.0 + u * z
        inverse[i], relative[i] = 1.0 / z, dz / z


# -- one pass ----------------------------------------------------------------------------------------------------


@njit(inline="always", cache=True)
def gather(key, value, last, kappa, similarity, weight, slope, e, ex, em, emx, t, tx, g, dg):
    """Add one position to the sums of a sequence, layer 1 being the previous-token map."""
    logit = last * key
    student, target = exponential(kappa * logit), exponential(similarity * logit)
    moved = student * key
    return (e + student, fma32(student, value, ex), em + moved, fma32(moved, value, emx), t + target,
            fma32(target, value, tx), fma32(weight, key, g), fma32(slope, key, dg))


@njit(inline="always", cache=True)
def store(total, lane, e, ex, em, emx, t, tx, g, dg):
    """Put the sums of a lane where :func:`gather` takes them from."""
    total[lane], total[LANES + lane], total[2 * LANES + lane], total[3 * LANES + lane] = e, ex, em, emx
    total[4 * LANES + lane], total[5 * LANES + lane], total[6 * LANES + lane], total[7 * LANES + lane] = t, tx, g, dg


@njit(inline="always", cache=True)
def load(total, lane):
    """The sums of a lane."""
    return (total[lane], total[LANES + lane], total[2 * LANES + lane], total[3 * LANES + lane],
            total[4 * LANES + lane], total[5 * LANES + lane], total[6 * LANES + lane], total[7 * LANES + lane])


@njit(cache=True)
def attend_shifted(x, length, kappa, similarity, weight, slope, total):
    """Sums 0..7 of LANES sequences, layer 1 being the previous-token map: two positions at a time."""
    total[:] = np.float32(0.0)
    end = (length - 1) * LANES
    for i in range(1, length - 2, 2):
        at = i * LANES
        w0, w1, s0, s1 = weight[i], weight[i + 1], slope[i], slope[i + 1]
        for lane in range(LANES):
            x0, x1, x2, last = x[at - LANES + lane], x[at + lane], x[at + LANES + lane], x[end + lane]
            e, ex, em, emx, t, tx, g, dg = load(total, lane)
            e, ex, em, emx, t, tx, g, dg = gather(x0, x1, last, kappa, similarity, w0, s0, e, ex, em, emx, t, tx, g, dg)
            e, ex, em, emx, t, tx, g, dg = gather(x1, x2, last, kappa, similarity, w1, s1, e, ex, em, emx, t, tx, g, dg)
            store(total, lane, e, ex, em, emx, t, tx, g, dg)
    if length % 2 == 1:
        at = (length - 2) * LANES
        for lane in range(LANES):
            e, ex, em, emx, t, tx, g, dg = load(total, lane)
            e, ex, em, emx, t, tx, g, dg = gather(x[at - LANES + lane], x[at + lane], x[end + lane], kappa, similarity,
                                                  weight[length - 2], slope[length - 2], e, ex, em, emx, t, tx, g, dg)
            store(total, lane, e, ex, em, emx, t, tx, g, dg)


@njit(cache=True)
def attend(x, length, u, kappa, similarity, weight, slope, inverse, relative, state, total):
    """Sums 0..7 of LANES sequences as above, then those of e dm, e dm x, and the average of dm, for any layer 1."""
    total[:] = np.float32(0.0)
    state[:] = np.float32(0.0)
    end = (length - 1) * LANES
    for i in range(1, length - 1):
        at, w0, s0, scale, drift = i * LANES, weight[i], slope[i], inverse[i], relative[i]
        for lane in range(LANES):
            seen, moved = state[lane], state[LANES + lane]
            moved = u * (moved - seen)
            seen = fma32(u, seen, x[at - LANES + lane])
            state[lane], state[LANES + lane] = seen, moved
            m = scale * seen
            state[2 * LANES + lane], state[3 * LANES + lane] = m, fma32(scale, moved, -drift * m)
        for lane in range(LANES):
            m, dm, value, last = state[2 * LANES + lane], state[3 * LANES + lane], x[at + lane], x[end + lane]
            student = exponential(kappa * last * m)
            total[lane] += student
            total[LANES + lane] = fma32(student, value, total[LANES + lane])
            total[2 * LANES + lane] = fma32(student, m, total[2 * LANES + lane])
            total[3 * LANES + lane] = fma32(student * m, value, total[3 * LANES + lane])
            total[8 * LANES + lane] = fma32(student, dm, total[8 * LANES + lane])
            total[9 * LANES + lane] = fma32(student * dm, value, total[9 * LANES + lane])
            total[6 * LANES + lane] = fma32(w0, m, total[6 * LANES + lane])
            total[7 * LANES + lane] = fma32(s0, m, total[7 * LANES + lane])
            total[10 * LANES + lane] = fma32(w0, dm, total[10 * LANES + lane])
        for lane in range(LANES):
            target = exponential(similarity * x[end + lane] * x[at - LANES + lane])
            total[4 * LANES + lane] += target
            total[5 * LANES + lane] = fma32(target, x[at + lane], total[5 * LANES + lane])


@njit(cache=True)
def add_sequences(x, length, total, members, values, kappa, amplitudes, sums):
    """Add the residuals of ``members`` sequences and their gradients to the sums of a batch."""
    for lane in range(members):
        last = np.float64(x[(length - 1) * LANES + lane])
        g, dg, g1 = total[6 * LANES + lane], total[7 * LANES + lane], total[10 * LANES + lane]
        first = values[0] * g - amplitudes[0] * x[(length - 3) * LANES + lane]
        e = np.float64(total[lane])
        f, m, dm = total[LANES + lane] / e, total[2 * LANES + lane] / e, total[8 * LANES + lane] / e
        by_scale = last * (total[3 * LANES + lane] / e - m * f)
        by_slope = kappa * last * (total[9 * LANES + lane] / e - dm * f)
        second = values[1] * f - amplitudes[1] * (total[5 * LANES + lane] / np.float64(total[4 * LANES + lane]))
        sums[0] += first * g
        sums[1] += first * dg
        sums[2] += first * g1
        sums[3] += second * f
        sums[4] += second * by_scale
        sums[5] += second * by_slope
        sums[6] += first * first
        sums[7] += second * second


@njit(cache=True)
def batch_sums(key, replica, step, length, batch, state, power, similarity, amplitudes, scratch, sums):
    """Fill ``sums`` with means over the batch of a step; see :data:`SUMS`.

    Parameters
    ----------
    state : float64 (6,)
        ``p1, w1, p, a, b, w``.
    power : int
        1 or 2: the logit scale is ``kappa = w1 w^power``.
    amplitudes : float64 (2,)
        gamma and c.
    scratch : tuple of float32 arrays
        Tables (4, L), tokens (4 blocks LANES,), sums (11 LANES,), state of layer 1 (4 LANES,), and words (4, LANES).
    """
    table, x, total, memory, words = scratch
    p1, w1, p, a, b, w = state
    u, kappa = math.exp(-p1), w1 * w**power
    lag_weights(p, length, table[0], table[1])
    if u > 0:
        normalisers(u, length, table[2], table[3])
    values = (a * w1, b)
    total[:] = np.float32(0.0)
    sums[:] = 0.0
    for member in range(0, batch, LANES):
        draw_tokens(key, replica, step, member, words, x)
        if u > 0:
            attend(x, length, np.float32(u), np.float32(kappa), np.float32(similarity), table[0], table[1], table[2],
                   table[3], memory, total)
        else:
            attend_shifted(x, length, np.float32(kappa), np.float32(similarity), table[0], table[1], total)
        add_sequences(x, length, total, min(LANES, batch - member), values, kappa, amplitudes, sums)
    for i in range(SUMS):
        sums[i] /= batch


@njit(cache=True)
def gradient(state, power, sums, out):
    """The gradient by the six scalars from the sums of a batch."""
    p1, w1, p, a, b, w = state
    kappa = b * sums[4]
    out[0] = a * w1 * sums[2] + b * sums[5]
    out[1] = a * sums[0] + kappa * w**power
    out[2] = a * w1 * sums[1]
    out[3] = w1 * sums[0]
    out[4] = sums[3]
    out[5] = kappa * w1 * power * w ** (power - 1)


@njit(cache=True)
def sound(state, kappa, length):
    """Whether a replica is still within what float32 can carry."""
    for i in range(1, 6):
        if not abs(state[i]) <= LARGEST_PARAMETER:
            return False
    return abs(kappa) <= LARGEST_SCALE and min(state[0], state[2]) * length >= -LARGEST_RISE


@njit(cache=True)
def run(key, replica, length, batch, rates, start, power, similarity, amplitudes, times, level, out):
    """SGD of one replica.

    Parameters
    ----------
    key, replica, length, batch : int
    rates : float64 (6,)
        Learning rate of each scalar, 0 for one that is frozen.
    start : float64 (6,)
    power, similarity, amplitudes
        See :func:`batch_sums`.
    times : int64 (T,)
        Numbers of steps after which to record, increasing.
    level : float
        The run ends when ``kappa`` has passed this (never if inf).
    out : float64 (T, 8)
        Receives ``u = e^{-p1}``, the other five scalars, ``L_G4`` and ``L_IH``, the losses those of the next batch.

    Returns
    -------
    crossed : float
        Steps until ``kappa`` passed the level, interpolated; the number of steps if it did not.
    died : int
        -1, or the step after which the replica had diverged.
    """
    scratch = (np.zeros((4, length), dtype=np.float32), np.empty(4 * LANES * ((length + 3) // 4), dtype=np.float32),
               np.empty(11 * LANES, dtype=np.float32), np.empty(4 * LANES, dtype=np.float32),
               np.empty((4, LANES), dtype=np.uint32))
    state, slope, sums = start.copy(), np.empty(6), np.empty(SUMS)
    moment, k, before = 0, 0, start[1] * start[5] ** power
    if before >= level:
        return 0.0, -1
    while True:
        batch_sums(key, replica, np.uint64(k), length, batch, state, power, similarity, amplitudes, scratch, sums)
        if times[moment] == k:
            out[moment, :6] = state
            out[moment, 0] = math.exp(-state[0])
            out[moment, 6], out[moment, 7] = 0.5 * sums[6], 0.5 * sums[7]
            moment += 1
            if moment == times.size:
                return float(k), -1
        gradient(state, power, sums, slope)
        for i in range(6):
            if rates[i] != 0.0:
                state[i] -= rates[i] * slope[i]
        k += 1
        kappa = state[1] * state[5] ** power
        if not sound(state, kappa, length):
            return float(k), k
        if kappa >= level:
            return k - (kappa - level) / (kappa - before), -1
        before = kappa
