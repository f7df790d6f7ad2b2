r"""The width-free recursion for every algorithm whose step is one linear map for all neurons: the numba kernels.

With ``Z_i = (w_i, a_i)`` a step of SGD on one input, on a batch, of gradient descent and of sharpness-aware
minimisation is ``Z_i <- T Z_i`` with

    T = I + b B_x + c B_x^2,     B_x = [[0, x], [x', 0]],     B_x^2 = diag(x x', ||x||^2),

so that ``K = sum_i Z_i Z_i' = [[G, theta], [theta', alpha]] <- T K T'`` closes.  Written out, with ``o = <theta, x>``,
``s = ||x||^2``, ``u = c G x + b theta``, ``f = c o + b alpha`` and ``l = b o + c s alpha`` (derived),

    G     <- G + x u' + u x' + (c <u, x> + b f) x x',
    theta <- theta + f x + b G x + c s theta + (b <u, x> + c s f) x,
    alpha <- alpha + 2 l + b (b x'G x + c s o) + c s l .

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
def move(g, theta, alpha, x, h, u, b, c):
    """Move ``G`` and ``theta`` by ``T = I + b B_x + c B_x^2`` and return the new ``alpha``; ``h = G x``, u scratch."""
    output, square, curve = dot(theta, x), dot(x, x), dot(h, x)
    forward, last = c * output + b * alpha, b * output + c * square * alpha
    for j in range(x.size):
        u[j] = c * h[j] + b * theta[j]
    along = dot(u, x)
    half = 0.5 * (c * along + b * forward)
    for j in range(x.size):
        theta[j] += b * h[j] + c * square * theta[j] + (forward + b * along + c * square * forward) * x[j]
        u[j] += half * x[j]
    for j in range(x.size):
        for k in range(x.size):
            g[j, k] += x[j] * u[k] + u[j] * x[k]
    return alpha + (2.0 * last + b * (b * curve + c * square * output) + c * square * last)


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
def keep(g, theta, alpha, phi, moment, states, maps):
    """Record K and, where wanted, Phi."""
    d = theta.size
    states[moment, :d, :d] = g
    states[moment, :d, d] = theta
    states[moment, d, :d] = theta
    states[moment, d, d] = alpha
    if maps.shape[0] > 0:
        maps[moment] = phi


# -- the algorithms ----------------------------------------------------------------------------------------------


@njit(cache=True)
def run_sharpness_aware(key, replica, step, radius, steps, inputs, target, state, recorded, states, maps):
    """Batch-1 SAM on clean labels: ``b = -h r~``, ``c = b p``, ``p = rho sign(r)/N`` (see :mod:`.sharpness_aware`).

    ``step`` is the effective step h, ``inputs`` (n, d) the training set (n = 0: fresh ones), ``target`` is
    ``||theta*||`` and ``state`` (d + 1, d + 1) the start K.
    """
    d = inputs.shape[1]
    g, theta, alpha = state[:d, :d].copy(), state[:d, d].copy(), state[d, d]
    x, h, u, top, phi = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d + 1), np.eye(d + 1)
    moment = 0
    for k in range(steps + 1):
        if recorded[moment] == k:
            keep(g, theta, alpha, phi, moment, states, maps)
            moment += 1
        if moment == recorded.size:
            break
        draw_sample(key, replica, k, 0, inputs, x)
        multiply(g, x, h)
        output, square = dot(theta, x), dot(x, x)
        residual, norm = output - target * x[0], np.sqrt(max(alpha * square + dot(h, x), 0.0))
        shift = radius * np.sign(residual) / norm if norm > 0.0 else 0.0
        b = -step * (residual + shift * norm * norm + shift * shift * square * output)
        alpha = move(g, theta, alpha, x, h, u, b, b * shift)
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
def run_batches(key, replica, step, noise, batch, inputs, sigma, target, state, recorded, states, maps):
    """SGD on batches, or gradient descent with fresh noise on every label (``batch`` 0): ``T = I + B_e``.

    ``noise`` (K,) is the size of the label noise at every step, ``sigma`` (d, d) the covariance of the inputs; the rest
    as in :func:`run_sharpness_aware`.
    """
    d = inputs.shape[1]
    g, theta, alpha = state[:d, :d].copy(), state[:d, d].copy(), state[d, d]
    x, e, h, u, top = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d + 1)
    phi, moment = np.eye(d + 1), 0
    for k in range(noise.size + 1):
        if recorded[moment] == k:
            keep(g, theta, alpha, phi, moment, states, maps)
            moment += 1
        if moment == recorded.size:
            break
        average_gradient(key, replica, step, noise[k], batch, k, inputs, sigma, target, theta, x, e)
        multiply(g, e, h)
        alpha = move(g, theta, alpha, e, h, u, 1.0, 0.0)
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
