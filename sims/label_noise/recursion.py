r"""The width-free recursion for every algorithm whose step is one linear map for all neurons: the numba kernels.

With ``Z_i = (w_i, a_i)`` a step of SGD on one input, on a batch, of gradient descent and of sharpness-aware
minimisation is ``Z_i <- T Z_i`` with

    T = I + b B_x + c B_x^2,     B_x = [[0, x], [x', 0]],     B_x^2 = diag(x x', ||x||^2),

so that ``K = sum_i Z_i Z_i' = [[G, theta], [theta', alpha]] <- T K T'`` closes whatever the width.  K itself is not
stepped: where it is nearly singular, at a collapse or on few inputs, rounding turns its smallest eigenvalues negative,
and a K with a negative eigenvalue is no network's and may diverge.  Stepped are d + 1 neurons with the same K, the rows
of R in ``Z = Q R`` (the network itself where it has no more), at the same O(d^2) per step: with ``y_i = <w_i, x>``,

    w_i <- w_i + (b a_i + c y_i) x,      a_i <- a_i + b y_i + c ||x||^2 a_i,
    <theta, x> = sum_i a_i y_i,    alpha = sum_i a_i^2,    x'G x = sum_i y_i^2 .

One replica at a time, plain arrays, everything in float64 and in the order written; loops run over contiguous entries,
which the compiler vectorises without reordering a sum.  The draws are those of :mod:`.kernels`, under the same key: a
seed and a replica have one training set, one start and one order of the samples, whatever the algorithm.  Besides them,

    purpose STEPS, step k, block j     word 0: index of sample j of a batch; word 1: the sign of its label's noise
    purpose INPUTS, step k             fresh inputs: the normals of sample j of a batch start at block j ceil(d/4)
    purpose LABELS, step k, draw i     by the highest bit, the sign of the noise on label i of a full batch

A kernel fills ``states`` (T, d + 1, d + 1) with K and ``maps`` (T or 0, d + 1, d + 1) with Phi, where ``Z_i(k) = Phi
Z_i(0)``, after the recorded numbers of steps, and returns -1 or the step after which the replica had diverged.
"""

import numpy as np
from numba import njit

from .. import streams
from .kernels import INPUTS, LARGEST, START, STEPS

LABELS = 3
"""Purpose of the draws of label noise on a full batch."""


# -- draws -------------------------------------------------------------------------------------------------------


@njit(cache=True)
def fill_normals(key, replica, step, first, purpose, out):
    """Write the normals of blocks ``first, first + 1, ...`` of (purpose, replica, step) into ``out`` (d,)."""
    for j in range(0, out.size, 4):
        w0, w1, w2, w3 = streams.block(key, replica, step, np.uint64(first + (j >> 2)), purpose)
        a, b = streams.normal_pair(w0, w1)
        c, d = streams.normal_pair(w2, w3)
        out[j] = a
        if j + 1 < out.size:
            out[j + 1] = b
        if j + 2 < out.size:
            out[j + 2] = c
        if j + 3 < out.size:
            out[j + 3] = d


@njit(cache=True)
def fill_inputs(key, replica, out):
    """Draw a training set ``out`` (n, d)."""
    for i in range(out.shape[0]):
        fill_normals(key, replica, np.uint64(i), 0, np.uint64(INPUTS), out[i])


@njit(cache=True)
def fill_neurons(key, replica, scales, out):
    """Draw a start ``out`` (m, d + 1), rows ``(w_i, a_i)``, of standard deviations ``scales`` (d + 1,)."""
    for i in range(out.shape[0]):
        fill_normals(key, replica, np.uint64(i), 0, np.uint64(START), out[i])
        for j in range(out.shape[1]):
            out[i, j] *= scales[j]


@njit(cache=True)
def draw_sample(key, replica, k, j, inputs, x):
    """Sample j of the batch of step k into ``x`` (d,), fresh if ``inputs`` has no rows; its label noise's sign."""
    w0, w1, _, _ = streams.block(key, replica, np.uint64(k), np.uint64(j), np.uint64(STEPS))
    if inputs.shape[0] == 0:
        fill_normals(key, replica, np.uint64(k), j * ((x.size + 3) // 4), np.uint64(INPUTS), x)
    else:
        x[:] = inputs[np.int64((np.uint64(w0) * np.uint64(inputs.shape[0])) >> np.uint64(32))]
    return np.float64(streams.rademacher(w1))


# -- one step ----------------------------------------------------------------------------------------------------


@njit(cache=True)
def gram(neurons):
    """``K = sum_i Z_i Z_i'`` of neurons (m, d + 1), summed in their order."""
    size = neurons.shape[1]
    out = np.zeros((size, size))
    for i in range(neurons.shape[0]):
        for j in range(size):
            for k in range(size):
                out[j, k] += neurons[i, j] * neurons[i, k]
    return out


@njit(cache=True)
def covariance(inputs):
    """``Sigma`` (d, d) of inputs (n, d), summed in their order; the identity where there are none."""
    d = inputs.shape[1]
    out = np.zeros((d, d))
    for i in range(inputs.shape[0]):
        for j in range(d):
            for k in range(d):
                out[j, k] += inputs[i, j] * inputs[i, k] / inputs.shape[0]
    return out if inputs.shape[0] > 0 else np.eye(d)


@njit(cache=True)
def multiply(g, x, out):
    """``out = G x`` for symmetric G."""
    out[:] = 0.0
    for k in range(x.size):
        for j in range(x.size):
            out[j] += g[k, j] * x[k]


@njit(cache=True)
def dot(p, q):
    """``sum_j p_j q_j`` in order."""
    total = 0.0
    for j in range(p.size):
        total += p[j] * q[j]
    return total


@njit(cache=True)
def few(neurons):
    """At most d + 1 neurons with the K of ``neurons`` (m, d + 1): those, or R of ``Z = Q R`` by Givens' rotations."""
    count, size = neurons.shape
    if count <= size:
        return neurons.copy()
    out, row = np.zeros((size, size)), np.empty(size)
    for i in range(count):
        row[:] = neurons[i]
        for j in range(size):
            length = np.sqrt(out[j, j] * out[j, j] + row[j] * row[j])
            if length > 0.0:
                cosine, sine = out[j, j] / length, row[j] / length
                for k in range(j, size):
                    kept, rest = out[j, k], row[k]
                    out[j, k] = cosine * kept + sine * rest
                    row[k] = cosine * rest - sine * kept
    return out


@njit(cache=True)
def project(z, x, y):
    """``y_i = <w_i, x>`` into ``y`` (p,) for neurons in columns ``z`` (d + 1, p)."""
    y[:] = 0.0
    for k in range(x.size):
        for i in range(y.size):
            y[i] += x[k] * z[k, i]


@njit(cache=True)
def move(z, x, y, square, b, c):
    """Move the columns of ``z`` (d + 1, p) by ``T = I + b B_x + c B_x^2``; ``y`` from :func:`project`, overwritten."""
    d = x.size
    for i in range(y.size):
        forward = b * z[d, i] + c * y[i]
        z[d, i] += b * y[i] + c * square * z[d, i]
        y[i] = forward
    for k in range(d):
        for i in range(y.size):
            z[k, i] += x[k] * y[i]


@njit(cache=True)
def move_map(phi, x, b, c, top):
    """``Phi <- T Phi``; ``top`` (d + 1,) is scratch."""
    d = x.size
    square = dot(x, x)
    top[:] = 0.0
    for j in range(d):
        for k in range(d + 1):
            top[k] += x[j] * phi[j, k]
    for j in range(d):
        for k in range(d + 1):
            phi[j, k] += x[j] * (c * top[k] + b * phi[d, k])
    for k in range(d + 1):
        phi[d, k] += b * top[k] + c * square * phi[d, k]


@njit(cache=True)
def keep(z, phi, moment, states, maps):
    """Record K of the columns of ``z`` and, where wanted, Phi."""
    for j in range(z.shape[0]):
        for k in range(j + 1):
            states[moment, j, k] = states[moment, k, j] = dot(z[j], z[k])
    if maps.shape[0] > 0:
        maps[moment] = phi


# -- the algorithms ----------------------------------------------------------------------------------------------


@njit(cache=True)
def run_sharpness_aware(key, replica, step, radius, steps, inputs, target, start, recorded, states, maps):
    """Batch-1 SAM on clean labels: ``b = -h r~``, ``c = b p``, ``p = rho sign(r)/N`` (see :mod:`.sharpness_aware`).

    ``step`` is the effective step h, ``inputs`` (n, d) the training set (n = 0: fresh ones), ``target`` is
    ``||theta*||`` and ``start`` (p, d + 1) the neurons to run, see :func:`few`.
    """
    d = inputs.shape[1]
    z, x, y, top, phi = start.T.copy(), np.zeros(d), np.zeros(start.shape[0]), np.zeros(d + 1), np.eye(d + 1)
    moment = 0
    for k in range(steps + 1):
        if recorded[moment] == k:
            keep(z, phi, moment, states, maps)
            moment += 1
        if moment == recorded.size:
            break
        draw_sample(key, replica, k, 0, inputs, x)
        project(z, x, y)
        output, square = dot(z[d], y), dot(x, x)
        residual, norm = output - target * x[0], np.sqrt(dot(z[d], z[d]) * square + dot(y, y))
        shift = radius * np.sign(residual) / norm if norm > 0.0 else 0.0
        b = -step * (residual + shift * norm * norm + shift * shift * square * output)
        move(z, x, y, square, b, b * shift)
        if maps.shape[0] > 0:
            move_map(phi, x, b, b * shift, top)
        if not abs(b) <= LARGEST:
            return k + 1
    return -1


@njit(cache=True)
def average_gradient(key, replica, step, level, batch, k, inputs, sigma, target, theta, x, e):
    """Write ``e = -h (mean over the batch of residual x)`` of step k; ``batch`` 0 is the full one."""
    d, count = theta.size, inputs.shape[0]
    e[:] = 0.0
    if batch == 0:
        for j in range(d):
            gap = theta[j] - (target if j == 0 else 0.0)
            for i in range(d):
                e[i] -= step * sigma[j, i] * gap
        if level > 0.0:
            for i in range(0, count, 4):
                words = streams.block(key, replica, np.uint64(k), np.uint64(i >> 2), np.uint64(LABELS))
                for word in range(min(4, count - i)):
                    pull = step * level / count * np.float64(streams.rademacher(words[word]))
                    for j in range(d):
                        e[j] += pull * inputs[i + word, j]
        return
    for sample in range(batch):
        sign = draw_sample(key, replica, k, sample, inputs, x)
        pull = -step / batch * (dot(theta, x) - (target * x[0] + level * sign))
        for j in range(d):
            e[j] += pull * x[j]


@njit(cache=True)
def run_batches(key, replica, step, noise, batch, inputs, sigma, target, start, recorded, states, maps):
    """SGD on batches, or gradient descent with fresh noise on every label (``batch`` 0): ``T = I + B_e``.

    ``noise`` (K,) is the size of the label noise at every step, ``sigma`` (d, d) the covariance of the inputs; the rest
    as in :func:`run_sharpness_aware`.
    """
    d = inputs.shape[1]
    z, y, theta = start.T.copy(), np.zeros(start.shape[0]), np.zeros(d)
    x, e, top, phi, moment = np.zeros(d), np.zeros(d), np.zeros(d + 1), np.eye(d + 1), 0
    for k in range(noise.size + 1):
        if recorded[moment] == k:
            keep(z, phi, moment, states, maps)
            moment += 1
        if moment == recorded.size:
            break
        for j in range(d):
            theta[j] = dot(z[j], z[d])
        average_gradient(key, replica, step, noise[k], batch, k, inputs, sigma, target, theta, x, e)
        project(z, e, y)
        move(z, e, y, 0.0, 1.0, 0.0)
        if maps.shape[0] > 0:
            move_map(phi, e, 1.0, 0.0, top)
        if not dot(e, e) <= LARGEST * LARGEST:
            return k + 1
    return -1


# -- observables -------------------------------------------------------------------------------------------------


@njit(cache=True)
def observe(states, before, sigma, target, factor, out):
    """Write the seven observables of :mod:`.kernels` and the relative change of the kernel into ``out`` (T, 8).

    ``before`` is K at the start, ``sigma`` (d, d) the covariance of the inputs.
    """
    d = sigma.shape[0]
    for moment in range(states.shape[0]):
        state = states[moment]
        alpha, loss, error, norm, sharpness, moved, size = state[d, d], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(d):
            delta = state[j, d] - (target if j == 0 else 0.0)
            error += delta * delta
            norm += state[j, j]
            for k in range(d):
                other = state[k, d] - (target if k == 0 else 0.0)
                loss += sigma[j, k] * delta * other
                entry = state[j, k] + (alpha if j == k else 0.0)
                start = before[j, k] + (before[d, d] if j == k else 0.0)
                sharpness += sigma[j, k] * entry
                moved += (entry - start) ** 2
                size += start * start
        row = out[moment]
        row[0], row[1], row[2], row[3], row[4], row[5] = factor * loss, error, alpha, norm, state[0, d], state[0, 0]
        row[6], row[7] = 2.0 * factor * sharpness, np.sqrt(moved / size) if size > 0.0 else 0.0


@njit(cache=True)
def observe_neurons(now, before, out):
    """Write the neurons' own observables of :mod:`.kernels` into ``out`` (5,); ``now`` and ``before`` (m, d + 1)."""
    width, d = now.shape[0], now.shape[1] - 1
    out[:] = 0.0
    out[3] = np.inf
    for i in range(width):
        square, moved = 0.0, 0.0
        for j in range(d):
            square += now[i, j] * now[i, j]
            moved += (now[i, j] - before[i, j]) ** 2
        norm, along, moved = np.sqrt(square), abs(now[i, 0]), np.sqrt(moved)
        out[0] += norm / width
        out[1] += (along / norm if norm > 0.0 else 0.0) / width
        out[2] += along / width
        out[3] = min(out[3], moved)
        out[4] = max(out[4], moved)


@njit(cache=True)
def mapped(phi, neurons):
    """``Phi Z_i`` of every neuron (m, d + 1)."""
    out = np.zeros_like(neurons)
    for i in range(neurons.shape[0]):
        for k in range(neurons.shape[1]):
            for j in range(neurons.shape[1]):
                out[i, j] += phi[j, k] * neurons[i, k]
    return out
