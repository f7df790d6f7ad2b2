r"""SGD on a whole attention layer of two heads, a batch of fresh sequences per step: the numba kernels.

Layer 1 is the previous-token map, so the layer reads ``h_s = (x_s, x_{s-1})``.  Head h has the logits ``h_L' Q_h' K_h
h_s - p_h l_s``, ``l_s = L - 1 - s``, over s = 2..L-1 and brings ``V_h sum_s q_s h_s``, two numbers.  With ``g_h = K_h'
Q_h h_L`` one pass over the positions collects, for each head, the sums of ``e_s = e^{g_h' h_s - p_h l_s}``, of ``e_s
h_s``, ``e_s h_s h_s'``, ``e_s l_s`` and ``e_s l_s h_s``, and the two of the target.  With ``r = sum_h V_h tau_h
- f*``, ``tau_h`` the mean of h_s under head h, and ``v = V_h' r``, the gradients are

    V_h:  r tau_h',      p_h:  -Cov(l, h)' v,      Q_h' K_h =: A_h:  h_L (Cov(h, h) v)',
    Q_h:  K_h (dA_h)',   K_h:  Q_h dA_h .

Layout, precision and tokens as in :mod:`.kernels`.
"""

import math

import numpy as np
from numba import njit

from ..arithmetic import fma32
from .kernels import LANES, LARGEST_PARAMETER, LARGEST_RISE, LARGEST_SCALE, draw_tokens, exponential

HEAD = 13
"""Parameters of a head: p, Q (row by row), K, V."""
PER_HEAD, TARGET = 9, 18
"""Sums over a sequence: nine of each head, then two of the target."""
SUMS = 2 * PER_HEAD + 2
"""Sums over a batch: for each head the gradients by p, A and V, then the squares of both residuals."""


@njit(inline="always", cache=True)
def add_head(x, at, end, first, logits, bias, lag, total):
    """Add a position to the nine sums of a head, from row ``first`` on; ``logits`` holds g."""
    for lane in range(LANES):
        x0, x1 = x[at + lane], x[at - LANES + lane]
        e = bias * exponential(fma32(logits[lane], x0, logits[LANES + lane] * x1))
        e0, e1, el = e * x0, e * x1, e * lag
        total[first + lane] += e
        total[first + LANES + lane] += e0
        total[first + 2 * LANES + lane] += e1
        total[first + 3 * LANES + lane] = fma32(e0, x0, total[first + 3 * LANES + lane])
        total[first + 4 * LANES + lane] = fma32(e0, x1, total[first + 4 * LANES + lane])
        total[first + 5 * LANES + lane] = fma32(e1, x1, total[first + 5 * LANES + lane])
        total[first + 6 * LANES + lane] += el
        total[first + 7 * LANES + lane] = fma32(el, x0, total[first + 7 * LANES + lane])
        total[first + 8 * LANES + lane] = fma32(el, x1, total[first + 8 * LANES + lane])


@njit(cache=True)
def attend_layer(x, length, scores, bias, similarity, logits, total):
    """Collect the sums of LANES sequences; ``scores`` holds ``A_h`` by rows (8,), ``bias`` e^{-p lag} (2, L)."""
    total[:] = np.float32(0.0)
    end = (length - 1) * LANES
    for head in range(2):
        a, b, c, d = scores[4 * head], scores[4 * head + 1], scores[4 * head + 2], scores[4 * head + 3]
        for lane in range(LANES):
            x0, x1 = x[end + lane], x[end - LANES + lane]
            logits[lane] = fma32(a, x0, c * x1)
            logits[LANES + lane] = fma32(b, x0, d * x1)
        for i in range(1, length - 1):
            add_head(x, i * LANES, end, head * PER_HEAD * LANES, logits, bias[head, i], np.float32(length - 2 - i),
                     total)
    for i in range(1, length - 1):
        at = i * LANES
        for lane in range(LANES):
            target = exponential(similarity * x[end + lane] * x[at - LANES + lane])
            total[TARGET * LANES + lane] += target
            total[(TARGET + 1) * LANES + lane] = fma32(target, x[at + lane], total[(TARGET + 1) * LANES + lane])


@njit(cache=True)
def add_sequences(x, length, total, members, state, amplitudes, mean, sums):
    """Add the residuals of ``members`` sequences and their gradients by p, A and V to the sums of a batch."""
    end = (length - 1) * LANES
    for lane in range(members):
        e = np.float64(total[TARGET * LANES + lane])
        r0 = -amplitudes[0] * x[(length - 3) * LANES + lane]
        r1 = -amplitudes[1] * (total[(TARGET + 1) * LANES + lane] / e)
        for head in range(2):
            first, value = head * PER_HEAD * LANES + lane, head * HEAD + 9
            e = np.float64(total[first])
            for i in range(1, PER_HEAD):
                mean[head, i] = total[first + i * LANES] / e
            r0 += state[value] * mean[head, 1] + state[value + 1] * mean[head, 2]
            r1 += state[value + 2] * mean[head, 1] + state[value + 3] * mean[head, 2]
        x0, x1 = np.float64(x[end + lane]), np.float64(x[end - LANES + lane])
        for head in range(2):
            m, value, put = mean[head], head * HEAD + 9, head * PER_HEAD
            v0 = state[value] * r0 + state[value + 2] * r1
            v1 = state[value + 1] * r0 + state[value + 3] * r1
            c01 = m[4] - m[1] * m[2]
            g0 = (m[3] - m[1] * m[1]) * v0 + c01 * v1
            g1 = c01 * v0 + (m[5] - m[2] * m[2]) * v1
            sums[put] -= (m[7] - m[6] * m[1]) * v0 + (m[8] - m[6] * m[2]) * v1
            sums[put + 1] += x0 * g0
            sums[put + 2] += x0 * g1
            sums[put + 3] += x1 * g0
            sums[put + 4] += x1 * g1
            sums[put + 5] += r0 * m[1]
            sums[put + 6] += r0 * m[2]
            sums[put + 7] += r1 * m[1]
            sums[put + 8] += r1 * m[2]
        sums[SUMS - 2] += r0 * r0
        sums[SUMS - 1] += r1 * r1


@njit(cache=True)
def products(state, out):
    """Write ``A_h = Q_h' K_h`` of both heads into ``out`` (8,)."""
    for head in range(2):
        q, k = head * HEAD + 1, head * HEAD + 5
        for i in range(2):
            for j in range(2):
                out[4 * head + 2 * i + j] = state[q + i] * state[k + j] + state[q + 2 + i] * state[k + 2 + j]


@njit(cache=True)
def gradient(state, sums, out):
    """The gradient by all parameters from the sums of a batch."""
    for head in range(2):
        base, put = head * HEAD, head * PER_HEAD
        out[base] = sums[put]
        for r in range(2):
            for i in range(2):
                q, k = base + 1 + 2 * r, base + 5 + 2 * r
                out[q + i] = sums[put + 1 + 2 * i] * state[k] + sums[put + 2 + 2 * i] * state[k + 1]
                out[k + i] = sums[put + 1 + i] * state[q] + sums[put + 3 + i] * state[q + 1]
        for i in range(4):
            out[base + 9 + i] = sums[put + 5 + i]


@njit(cache=True)
def sound(state, scores, length):
    """Whether a replica is still within what float32 can carry."""
    for i in range(state.size):
        if not abs(state[i]) <= LARGEST_PARAMETER:
            return False
    for head in range(2):
        size = 0.0
        for i in range(4):
            size += abs(scores[4 * head + i])
        if not (size <= LARGEST_SCALE and state[head * HEAD] * length >= -LARGEST_RISE):
            return False
    return True


@njit(cache=True)
def run(key, replica, length, batch, rates, start, similarity, amplitudes, times, level, out):
    """SGD of one replica.

    Parameters
    ----------
    key, replica, length, batch : int
    rates, start : float64 (26,)
        Learning rate (0 for what is frozen) and start of each parameter: p, Q, K, V of the first head, then of the
        second.
    similarity : float
    amplitudes : float64 (2,)
        gamma and c.
    times : int64 (T,)
        Numbers of steps after which to record, increasing.
    level : float
        The run ends when the second head's ``A_01``, of x_L and x_{s-1}, has passed this.
    out : float64 (T, 20)
        Receives ``p, A, V`` of both heads and the losses of both outputs on the next batch.

    Returns
    -------
    crossed, died
        As in :func:`.kernels.run`.
    """
    x, words = np.empty(4 * LANES * ((length + 3) // 4), dtype=np.float32), np.empty((4, LANES), dtype=np.uint32)
    total, logits = np.empty((TARGET + 2) * LANES, dtype=np.float32), np.empty(2 * LANES, dtype=np.float32)
    bias, rounded = np.zeros((2, length), dtype=np.float32), np.empty(8, dtype=np.float32)
    state, scores, mean = start.copy(), np.empty(8), np.empty((2, PER_HEAD))
    slope, sums = np.empty(2 * HEAD), np.empty(SUMS)
    products(state, scores)
    moment, k, before = 0, 0, scores[5]
    if before >= level:
        return 0.0, -1
    while True:
        rounded[:] = scores
        for head in range(2):
            for i in range(1, length - 1):
                bias[head, i] = math.exp(-state[head * HEAD] * (length - 2 - i))
        sums[:] = 0.0
        for member in range(0, batch, LANES):
            draw_tokens(key, replica, np.uint64(k), member, words, x)
            attend_layer(x, length, rounded, bias, np.float32(similarity), logits, total)
            add_sequences(x, length, total, min(LANES, batch - member), state, amplitudes, mean, sums)
        for i in range(SUMS):
            sums[i] /= batch
        if times[moment] == k:
            for head in range(2):
                out[moment, 9 * head] = state[head * HEAD]
                for i in range(4):
                    out[moment, 9 * head + 1 + i] = scores[4 * head + i]
                    out[moment, 9 * head + 5 + i] = state[head * HEAD + 9 + i]
            out[moment, 18], out[moment, 19] = 0.5 * sums[SUMS - 2], 0.5 * sums[SUMS - 1]
            moment += 1
            if moment == times.size:
                return float(k), -1
        gradient(state, sums, slope)
        for i in range(2 * HEAD):
            if rates[i] != 0.0:
                state[i] -= rates[i] * slope[i]
        k += 1
        products(state, scores)
        if not sound(state, scores, length):
            return float(k), k
        if scores[5] >= level:
            return k - (scores[5] - level) / (scores[5] - before), -1
        before = scores[5]
