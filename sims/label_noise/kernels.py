r"""Label-noise SGD on many replicas side by side: the numba kernels.

Two ways to the same path.  *Direct*: W and a of any width, moved as the model says.  *Reduced*: the closed recursion
of ``theory.label_noise`` for ``G = W'W``, ``theta = W'a`` and ``alpha = ||a||^2``, at a cost that does not depend on
the width.  The same draws give the same path up to rounding.

Layout.  LANES replicas run together, one per lane, lane innermost.  Dimensions come in blocks of four, padded by zeros.
G is kept as the tiles (J, K), K <= J, of four by four entries, tile (J, K) at ``J (J + 1)/2 + K``.  One pass over the
state per step finishes the update of the step before and forms G x (or W x) for the new input.  All states are float64;
every lane does the same operations in the same order whatever its neighbours are.  Loops over lanes touch few
arrays each: beyond eight pairs that might overlap the compiler gives up vectorising.

Draws of replica r under the key of "label_noise.sgd":

    purpose STEPS,  step k, block 0    word 0: sample floor(w n/2^32) of a training set of n; word 1: sign of the label
                                       noise by the highest bit.  Words 2 and 3 are not used.
    purpose INPUTS, step i             draws 0..d-1: the normals of training input i, or, where inputs are fresh, of
                                       the input of step i
    purpose START,  step i             draws 0..d-1: w_i over s_1/sqrt(d); draw d: a_i over s_2/sqrt(m)

A sample index is uniform up to n/2^32 in relative probability.

Observables, in this order, after each recorded number of steps; the neurons' own come last and only on request.
"""

import math

import numpy as np
from numba import njit

from .. import streams

LANES = 16
"""Replicas per group."""
STEPS, INPUTS, START = 0, 1, 2
"""Purposes of the draws."""
OLD, U, X = 0, 1, 2
"""Vectors of a step, the second axis of ``v`` (blocks, 3, 4, LANES): last input, vector of its update, new input."""
LARGEST = 1e12
"""A replica whose residual times effective step exceeds this (or is not a number) has diverged."""
OBSERVABLES = ("loss", "error", "alpha", "first_norm", "output", "aligned", "trace_hessian")
"""``c delta'Sigma delta``, ``||delta||^2``, ``||a||^2``, ``||W||^2``, ``theta_1``, ``G_11``, ``tr H``."""
NEURONS = ("neuron_norm", "neuron_cosine", "neuron_output", "least_displacement", "largest_displacement",
           "kernel_change")
"""Means over neurons of ``||w_i||``, ``|w_i1|/||w_i||``, ``|w_i1|``; min and max of ``||w_i - w_i(0)||``; and
``||M - M(0)||_F/||M(0)||_F`` of the kernel ``M = G + alpha I``, 0 for ``M(0) = 0``."""


# -- draws -------------------------------------------------------------------------------------------------------


@njit(cache=True)
def draw_normals(key, replica, step, purpose, out):
    """Write draws 0, 1, ... of (purpose, replica + lane, step) into ``out`` (blocks, 4, LANES), float32."""
    for j in range(out.shape[0]):
        for lane in range(LANES):
            w0, w1, w2, w3 = streams.block(key, replica + np.uint64(lane), step, np.uint64(j), purpose)
            out[j, 0, lane], out[j, 1, lane] = streams.normal_pair(w0, w1)
            out[j, 2, lane], out[j, 3, lane] = streams.normal_pair(w2, w3)


@njit(cache=True)
def draw_step(key, replica, step, count, index, sign):
    """Write the sample index (of ``count``) and the sign of the label noise of one step, per lane."""
    for lane in range(LANES):
        w0, w1, _, _ = streams.block(key, replica + np.uint64(lane), step, np.uint64(0), np.uint64(STEPS))
        index[lane] = np.int64((np.uint64(w0) * count) >> np.uint64(32))
        sign[lane] = np.float64(streams.rademacher(w1))


@njit(cache=True)
def draw_neuron(key, replica, i, start, scales, scratch, out):
    """Write ``Z_i(0) = (w_i, a_i)`` into ``out`` (d + 1, LANES): row i of ``start``, or drawn where that is empty."""
    if start.shape[0] > 0:
        for j in range(out.shape[0]):
            out[j, :] = start[i, j]
        return
    draw_normals(key, replica, np.uint64(i), np.uint64(START), scratch)
    for j in range(out.shape[0]):
        for lane in range(LANES):
            out[j, lane] = scales[j] * np.float64(scratch[j >> 2, j & 3, lane])


@njit(cache=True)
def draw_inputs(key, replica, out):
    """Fill a training set ``out`` (LANES, n, d)."""
    scratch = np.empty(((out.shape[2] + 3) // 4, 4, LANES), dtype=np.float32)
    for i in range(out.shape[1]):
        draw_normals(key, replica, np.uint64(i), np.uint64(INPUTS), scratch)
        for j in range(out.shape[2]):
            for lane in range(LANES):
                out[lane, i, j] = scratch[j >> 2, j & 3, lane]


@njit(cache=True)
def next_input(key, replica, k, inputs, scratch, index, sign, v):
    """Draw step k: its input into ``v[:, X]``, fresh if ``inputs`` has no rows, and the label noise's sign."""
    copies, count, dimension = inputs.shape
    draw_step(key, replica, np.uint64(k), np.uint64(count), index, sign)
    if count == 0:
        draw_normals(key, replica, np.uint64(k), np.uint64(INPUTS), scratch)
        for j in range(dimension):
            for lane in range(LANES):
                v[j >> 2, X, j & 3, lane] = scratch[j >> 2, j & 3, lane]
    else:
        for lane in range(LANES):
            row = inputs[lane if copies > 1 else 0, index[lane]]
            for j in range(dimension):
                v[j >> 2, X, j & 3, lane] = row[j]


@njit(cache=True)
def keep_input(v):
    """Make the input of the last step the old one."""
    for j in range(v.shape[0]):
        for i in range(4):
            for lane in range(LANES):
                v[j, OLD, i, lane] = v[j, X, i, lane]


# -- observables -------------------------------------------------------------------------------------------------


@njit(inline="always", cache=True)
def tile(j, k):
    """Number of the tile that holds entry (j, k), k <= j."""
    return (j >> 2) * ((j >> 2) + 1) // 2 + (k >> 2)


@njit(cache=True)
def covariance(inputs, out):
    """Write ``Sigma`` of the inputs (the identity where they are fresh) into ``out`` (d, d, LANES), k <= j only."""
    copies, count, dimension = inputs.shape
    out[:] = 0.0
    for j in range(dimension):
        for k in range(j + 1):
            for lane in range(LANES):
                if count == 0:
                    out[j, k, lane] = 1.0 if j == k else 0.0
                elif copies == 1 and lane > 0:
                    out[j, k, lane] = out[j, k, 0]
                else:
                    rows = inputs[lane if copies > 1 else 0]
                    for i in range(count):
                        out[j, k, lane] += rows[i, j] * rows[i, k]
                    out[j, k, lane] /= count


@njit(cache=True)
def observe(g, theta, alpha, sigma, target, factor, out):
    """Write the observables of a state into ``out`` (LANES, >= 7)."""
    for lane in range(LANES):
        loss, error, norm, sharpness = 0.0, 0.0, 0.0, 0.0
        for j in range(sigma.shape[0]):
            delta = theta[j >> 2, j & 3, lane] - (target if j == 0 else 0.0)
            error += delta * delta
            for k in range(j):
                other = theta[k >> 2, k & 3, lane] - (target if k == 0 else 0.0)
                loss += 2.0 * sigma[j, k, lane] * delta * other
                sharpness += 2.0 * sigma[j, k, lane] * g[tile(j, k), j & 3, k & 3, lane]
            square = g[tile(j, j), j & 3, j & 3, lane]
            loss += sigma[j, j, lane] * delta * delta
            sharpness += sigma[j, j, lane] * (square + alpha[lane])
            norm += square
        out[lane, 0], out[lane, 1], out[lane, 2], out[lane, 3] = factor * loss, error, alpha[lane], norm
        out[lane, 4], out[lane, 5], out[lane, 6] = theta[0, 0, lane], g[0, 0, 0, lane], 2.0 * factor * sharpness


@njit(cache=True)
def begin_neurons(out):
    """Reset the observables of the neurons, ``out`` (LANES, 13)."""
    out[:, 7:10] = 0.0
    out[:, 10] = np.inf
    out[:, 11:13] = 0.0


@njit(cache=True)
def observe_neuron(now, before, width, dimension, out):
    """Add one of ``width`` neurons, ``now`` and at the start ``before`` (>= d, LANES)."""
    for lane in range(LANES):
        square, moved = 0.0, 0.0
        for j in range(dimension):
            square += now[j, lane] * now[j, lane]
            moved += (now[j, lane] - before[j, lane]) ** 2
        norm, along, moved = math.sqrt(square), abs(now[0, lane]), math.sqrt(moved)
        out[lane, 7] += norm / width
        out[lane, 8] += (along / norm if norm > 0.0 else 0.0) / width
        out[lane, 9] += along / width
        out[lane, 10] = min(out[lane, 10], moved)
        out[lane, 11] = max(out[lane, 11], moved)


@njit(cache=True)
def observe_kernel(g, alpha, g0, alpha0, dimension, out):
    """Write how far ``M = G + alpha I`` is from its start, relative to it, into ``out[:, 12]``."""
    for lane in range(LANES):
        moved, size = 0.0, 0.0
        for j in range(dimension):
            for k in range(j + 1):
                weight = 1.0 if j == k else 2.0
                start = g0[tile(j, k), j & 3, k & 3, lane] + (alpha0[lane] if j == k else 0.0)
                entry = g[tile(j, k), j & 3, k & 3, lane] + (alpha[lane] if j == k else 0.0)
                moved += weight * (entry - start) ** 2
                size += weight * start * start
        out[lane, 12] = math.sqrt(moved / size) if size > 0.0 else 0.0


@njit(cache=True)
def add_neuron(w, a, dimension, g, theta, alpha):
    """Add ``Z Z'`` of one neuron, ``w`` (>= d, LANES) and ``a`` (LANES,), to ``g``, ``theta``, ``alpha``."""
    for j in range(dimension):
        row = g[:, j & 3]
        for k in range(j - (j & 3)):
            entry = row[tile(j, k), k & 3]
            for lane in range(LANES):
                entry[lane] += w[j, lane] * w[k, lane]
        for k in range(j - (j & 3), min(j - (j & 3) + 4, dimension)):
            entry = row[tile(j, j), k & 3]
            for lane in range(LANES):
                entry[lane] += w[j, lane] * w[k, lane]
        for lane in range(LANES):
            theta[j >> 2, j & 3, lane] += w[j, lane] * a[lane]
    for lane in range(LANES):
        alpha[lane] += a[lane] * a[lane]


@njit(cache=True)
def mark(b, k, died):
    """Note the first step after which a lane has diverged."""
    for lane in range(LANES):
        if not abs(b[lane]) <= LARGEST and died[lane] < 0:
            died[lane] = k + 1


# -- the reduced recursion ---------------------------------------------------------------------------------------


@njit(cache=True)
def start_reduced(key, replica, start, scales, width, g, theta, alpha):
    """Sum ``Z_i Z_i'`` over the neurons at the start into ``g``, ``theta``, ``alpha``."""
    dimension = scales.size - 1
    scratch, z = np.empty((dimension // 4 + 1, 4, LANES), dtype=np.float32), np.empty((dimension + 1, LANES))
    for i in range(width):
        draw_neuron(key, replica, i, start, scales, scratch, z)
        add_neuron(z, z[dimension], dimension, g, theta, alpha)


@njit(inline="always", cache=True)
def update_row(row, other, old, u, h):
    """A row of a tile (4, LANES): ``G += old u' + u old'``, ``h += G x``; ``old, u, h`` (LANES,) are the row's own."""
    for lane in range(LANES):
        f, e = old[lane], u[lane]
        g0 = row[0, lane] + (f * other[U, 0, lane] + e * other[OLD, 0, lane])
        g1 = row[1, lane] + (f * other[U, 1, lane] + e * other[OLD, 1, lane])
        g2 = row[2, lane] + (f * other[U, 2, lane] + e * other[OLD, 2, lane])
        g3 = row[3, lane] + (f * other[U, 3, lane] + e * other[OLD, 3, lane])
        row[0, lane], row[1, lane], row[2, lane], row[3, lane] = g0, g1, g2, g3
        h[lane] += ((g0 * other[X, 0, lane] + g1 * other[X, 1, lane])
                    + (g2 * other[X, 2, lane] + g3 * other[X, 3, lane]))


@njit(inline="always", cache=True)
def multiply_transposed(square, x, h):
    """``h += square' x`` for a tile ``square`` (4, 4, LANES), ``x`` and ``h`` (4, LANES)."""
    for lane in range(LANES):
        x0, x1, x2, x3 = x[0, lane], x[1, lane], x[2, lane], x[3, lane]
        h[0, lane] += (square[0, 0, lane] * x0 + square[1, 0, lane] * x1) + (square[2, 0, lane] * x2
                                                                           + square[3, 0, lane] * x3)
        h[1, lane] += (square[0, 1, lane] * x0 + square[1, 1, lane] * x1) + (square[2, 1, lane] * x2
                                                                           + square[3, 1, lane] * x3)
        h[2, lane] += (square[0, 2, lane] * x0 + square[1, 2, lane] * x1) + (square[2, 2, lane] * x2
                                                                           + square[3, 2, lane] * x3)
        h[3, lane] += (square[0, 3, lane] * x0 + square[1, 3, lane] * x1) + (square[2, 3, lane] * x2
                                                                           + square[3, 3, lane] * x3)


@njit(inline="always", cache=True)
def update_and_multiply(g, v, h):
    """Finish ``G += old u' + u old'`` and write ``h = G x``, in one pass over G."""
    h[:] = 0.0
    p = 0
    for b in range(v.shape[0]):
        for c in range(b + 1):
            for i in range(4):
                update_row(g[p, i], v[c], v[b, OLD, i], v[b, U, i], h[b, i])
            if c < b:
                multiply_transposed(g[p], v[b, X], h[c])
            p += 1


@njit(cache=True)
def settle(g, v):
    """Finish the pending update of G, as :func:`update_row` does, and take it from ``v``."""
    p = 0
    for b in range(v.shape[0]):
        for c in range(b + 1):
            for i in range(4):
                for k in range(4):
                    for lane in range(LANES):
                        g[p, i, k, lane] += (v[b, OLD, i, lane] * v[c, U, k, lane]
                                             + v[b, U, i, lane] * v[c, OLD, k, lane])
            p += 1
    v[:, U] = 0.0


@njit(inline="always", cache=True)
def dot(p, q, out):
    """``out = sum_j p_j q_j`` per lane for ``p`` and ``q`` (blocks, 4, LANES)."""
    out[:] = 0.0
    for b in range(p.shape[0]):
        left, right = p[b], q[b]
        for lane in range(LANES):
            out[lane] += ((left[0, lane] * right[0, lane] + left[1, lane] * right[1, lane])
                          + (left[2, lane] * right[2, lane] + left[3, lane] * right[3, lane]))


@njit(inline="always", cache=True)
def move(theta, alpha, v, h, b, output, square, scratch):
    """Move ``theta`` and ``alpha`` by one step and leave ``u = b theta + b^2 alpha x/2`` in ``v[:, U]``."""
    for lane in range(LANES):
        scratch[lane] = 0.5 * b[lane] * alpha[lane]
    for j in range(theta.shape[0]):
        for i in range(4):
            row, x, u = theta[j, i], v[j, X, i], v[j, U, i]
            for lane in range(LANES):
                u[lane] = b[lane] * (row[lane] + scratch[lane] * x[lane])
    for lane in range(LANES):
        scratch[lane] = alpha[lane] + b[lane] * output[lane]
    for j in range(theta.shape[0]):
        for i in range(4):
            row, x, product = theta[j, i], v[j, X, i], h[j, i]
            for lane in range(LANES):
                row[lane] += b[lane] * (product[lane] + scratch[lane] * x[lane])
    for lane in range(LANES):
        alpha[lane] += b[lane] * (2.0 * output[lane] + b[lane] * square[lane])


@njit(inline="always", cache=True)
def advance_map(phi, last, v, b, scratch, pull):
    """``Phi <- (I + b B_x) Phi``: column c is ``phi[c]`` (blocks, 4, LANES) above ``last[c]`` (LANES,)."""
    for c in range(phi.shape[0]):
        for lane in range(LANES):
            scratch[lane] = 0.0
            pull[lane] = b[lane] * last[c, lane]
        for j in range(phi.shape[1]):
            column, x = phi[c, j], v[j, X]
            for lane in range(LANES):
                p0, p1, p2, p3 = column[0, lane], column[1, lane], column[2, lane], column[3, lane]
                x0, x1, x2, x3 = x[0, lane], x[1, lane], x[2, lane], x[3, lane]
                scratch[lane] += (p0 * x0 + p1 * x1) + (p2 * x2 + p3 * x3)
                column[0, lane], column[1, lane] = p0 + pull[lane] * x0, p1 + pull[lane] * x1
                column[2, lane], column[3, lane] = p2 + pull[lane] * x2, p3 + pull[lane] * x3
        for lane in range(LANES):
            last[c, lane] += b[lane] * scratch[lane]


@njit(cache=True)
def observe_mapped_neurons(key, replica, start, scales, width, phi, out):
    """Observables of all neurons ``Phi Z_i(0)``; their starts are drawn again, not stored."""
    size, dimension = scales.size, scales.size - 1
    scratch, before = np.empty((dimension // 4 + 1, 4, LANES), dtype=np.float32), np.empty((size, LANES))
    now = np.empty((dimension, LANES))
    begin_neurons(out)
    for i in range(width):
        draw_neuron(key, replica, i, start, scales, scratch, before)
        now[:] = 0.0
        for c in range(size):
            for j in range(dimension):
                entry = phi[c, j >> 2, j & 3]
                for lane in range(LANES):
                    now[j, lane] += entry[lane] * before[c, lane]
        observe_neuron(now, before, width, dimension, out)


@njit(cache=True)
def run_reduced(key, replica, step, noise, inputs, start, scales, width, target, factor, recorded, out, died):
    """The width-free recursion for one group of LANES replicas.

    Parameters
    ----------
    key, replica : uint64
        Stream key, first replica of the group.
    step : float
        Effective step h = 2 c eta.
    noise : float64 (K,)
        Size of the label noise at every step.
    inputs : float64 (copies, n, d)
        Training sets, one for all (copies = 1) or one per lane; n = 0 for fresh inputs.
    start : float64 (m or 0, d + 1)
        ``(w_i, a_i)`` in rows, or no rows where they are drawn.
    scales : float64 (d + 1,)
        Standard deviations of the drawn start.
    width : int
        m.
    target, factor : float
        ``||theta*||`` and c.
    recorded : int64 (T,)
        Increasing numbers of steps, in 0..K, after which to record.
    out : float64 (T, LANES, 7 or 13)
        Receives the observables.
    died : int64 (LANES,)
        -1 on entry; receives the step after which a lane had diverged.
    """
    dimension, neurons = inputs.shape[2], out.shape[2] > len(OBSERVABLES)
    blocks = (dimension + 3) // 4
    g, v = np.zeros((blocks * (blocks + 1) // 2, 4, 4, LANES)), np.zeros((blocks, 3, 4, LANES))
    theta, h, alpha = np.zeros((blocks, 4, LANES)), np.zeros((blocks, 4, LANES)), np.zeros(LANES)
    start_reduced(key, replica, start, scales, width, g, theta, alpha)
    g0, alpha0 = g.copy(), alpha.copy()
    sigma = np.empty((dimension, dimension, LANES))
    covariance(inputs, sigma)
    size = dimension + 1 if neurons else 0
    phi, last = np.zeros((size, blocks, 4, LANES)), np.zeros((size, LANES))
    for c in range(size - 1):
        phi[c, c >> 2, c & 3] = 1.0
    last[max(size - 1, 0):] = 1.0
    b, output, square, sign = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    spare, pull = np.zeros(LANES), np.zeros(LANES)
    index, scratch = np.zeros(LANES, dtype=np.int64), np.zeros((blocks, 4, LANES), dtype=np.float32)
    moment = 0
    for k in range(noise.size + 1):
        keep_input(v)
        if moment < recorded.size and recorded[moment] == k:
            settle(g, v)
            observe(g, theta, alpha, sigma, target, factor, out[moment])
            if neurons:
                observe_mapped_neurons(key, replica, start, scales, width, phi, out[moment])
                observe_kernel(g, alpha, g0, alpha0, dimension, out[moment])
            moment += 1
        if k == noise.size or moment == recorded.size:
            break
        next_input(key, replica, k, inputs, scratch, index, sign, v)
        update_and_multiply(g, v, h)
        dot(theta, v[:, X], output)
        dot(h, v[:, X], square)
        for lane in range(LANES):
            b[lane] = -step * (output[lane] - (target * v[0, X, 0, lane] + noise[k] * sign[lane]))
        move(theta, alpha, v, h, b, output, square, spare)
        if neurons:
            advance_map(phi, last, v, b, spare, pull)
        mark(b, k, died)


# -- the network itself ------------------------------------------------------------------------------------------


@njit(inline="always", cache=True)
def update_and_propagate(w, a, hidden, v, b, output):
    """Finish the pending update of every neuron, then write ``W x`` into ``hidden`` and ``a'W x`` into ``output``."""
    pull = np.empty(LANES)
    output[:] = 0.0
    for i in range(w.shape[0]):
        second, pre = a[i], hidden[i]
        for lane in range(LANES):
            pull[lane] = b[lane] * second[lane]
            second[lane] += b[lane] * pre[lane]
            pre[lane] = 0.0
        for j in range(w.shape[1]):
            row, vector = w[i, j], v[j]
            for lane in range(LANES):
                w0 = row[0, lane] + pull[lane] * vector[OLD, 0, lane]
                w1 = row[1, lane] + pull[lane] * vector[OLD, 1, lane]
                w2 = row[2, lane] + pull[lane] * vector[OLD, 2, lane]
                w3 = row[3, lane] + pull[lane] * vector[OLD, 3, lane]
                row[0, lane], row[1, lane], row[2, lane], row[3, lane] = w0, w1, w2, w3
                pre[lane] += ((w0 * vector[X, 0, lane] + w1 * vector[X, 1, lane])
                              + (w2 * vector[X, 2, lane] + w3 * vector[X, 3, lane]))
        for lane in range(LANES):
            output[lane] += second[lane] * pre[lane]


@njit(cache=True)
def observe_network(key, replica, start, scales, w, a, g0, alpha0, sigma, target, factor, out):
    """Observables of a network ``w`` (m, blocks, 4, LANES), ``a`` (m, LANES), of ``g0`` and ``alpha0`` at the start."""
    width, blocks, dimension = w.shape[0], w.shape[1], sigma.shape[0]
    g, theta, alpha = np.zeros_like(g0), np.zeros((blocks, 4, LANES)), np.zeros(LANES)
    rows = w.reshape((width, 4 * blocks, LANES))
    for i in range(width):
        add_neuron(rows[i], a[i], dimension, g, theta, alpha)
    observe(g, theta, alpha, sigma, target, factor, out)
    if out.shape[1] > len(OBSERVABLES):
        scratch, before = np.empty((dimension // 4 + 1, 4, LANES), dtype=np.float32), np.empty((dimension + 1, LANES))
        begin_neurons(out)
        for i in range(width):
            draw_neuron(key, replica, i, start, scales, scratch, before)
            observe_neuron(rows[i], before, width, dimension, out)
        observe_kernel(g, alpha, g0, alpha0, dimension, out)


@njit(cache=True)
def run_direct(key, replica, step, noise, inputs, start, scales, width, target, factor, recorded, out, died):
    """SGD on W and a for one group of LANES replicas; parameters as in :func:`run_reduced`, which it does not use."""
    dimension = inputs.shape[2]
    blocks = (dimension + 3) // 4
    w, a, hidden = np.zeros((width, blocks, 4, LANES)), np.empty((width, LANES)), np.zeros((width, LANES))
    neuron, scratch = np.empty((dimension + 1, LANES)), np.empty((dimension // 4 + 1, 4, LANES), dtype=np.float32)
    g0, theta0 = np.zeros((blocks * (blocks + 1) // 2, 4, 4, LANES)), np.zeros((blocks, 4, LANES))
    alpha0 = np.zeros(LANES)
    for i in range(width):
        draw_neuron(key, replica, i, start, scales, scratch, neuron)
        add_neuron(neuron, neuron[dimension], dimension, g0, theta0, alpha0)
        for lane in range(LANES):
            for j in range(dimension):
                w[i, j >> 2, j & 3, lane] = neuron[j, lane]
            a[i, lane] = neuron[dimension, lane]
    sigma, v = np.empty((dimension, dimension, LANES)), np.zeros((blocks, 3, 4, LANES))
    covariance(inputs, sigma)
    b, output, sign = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    index, scratch = np.zeros(LANES, dtype=np.int64), np.zeros((blocks, 4, LANES), dtype=np.float32)
    moment = 0
    for k in range(noise.size + 1):
        keep_input(v)
        if moment < recorded.size and recorded[moment] == k:
            update_and_propagate(w, a, hidden, v, b, output)
            b[:] = 0.0
            observe_network(key, replica, start, scales, w, a, g0, alpha0, sigma, target, factor, out[moment])
            moment += 1
        if k == noise.size or moment == recorded.size:
            break
        next_input(key, replica, k, inputs, scratch, index, sign, v)
        update_and_propagate(w, a, hidden, v, b, output)
        for lane in range(LANES):
            b[lane] = -step * (output[lane] - (target * v[0, X, 0, lane] + noise[k] * sign[lane]))
        mark(b, k, died)
