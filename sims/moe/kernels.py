r"""Mini-batches, gradients by hand, and Adam for mixtures of experts of one hidden layer each, compiled.

All weights lie in one vector, layer after layer: gate (E, D) and its bias (E,), then for every expert inner weights
(m, D), inner biases (m,), outer weights (O, m), outer biases (O,).  A batch is stored coordinate by coordinate,
(D, N), so that loops over the batch are the innermost ones; hidden values are computed again on the way back and never
stored.  From the gradient dy by a layer's output ``y = sum_k a_k f_k``, with weights ``a_k = s_k p_k`` (s_k selects, p
the softmax of the logits g; a_k = s_k for the hard gate),

    df_k = a_k dy,    da_k = s_k <dy, f_k>,    dg_k = p_k (da_k - sum_j p_j da_j)      (0 for the hard gate),

which for s = 1 is the dense softmax gate and for s_k = 1 at the largest logit only the gate of Switch transformers.
"""

import math

import numpy as np
from numba import njit

from ..streams import block, cos_sin_turn, open_uniform

SUMS_IN_ANY_ORDER = {"reassoc", "contract", "nsz"}
"""What makes a sum over the batch a vector operation; NaN and infinity keep their meaning."""
CIRCLE, CYLINDER, VECTOR, SUM, PRODUCT = range(5)
"""Codes of the tasks."""
SOFTMAX, SWITCH, HARD = range(3)
"""Codes of the gates."""
BATCH, TRAINING_SET, PICK = range(3)
"""Purposes of draws during training; those of the start come after them."""
SIDE = 3.0
"""The square is [0, 3]^2."""
FIRST_DECAY, SECOND_DECAY, FLOOR = 0.9, 0.999, 1e-8
"""Adam's beta_1, beta_2 and epsilon."""


@njit(cache=True)
def quartic(z):
    """``i (i - 1 - z)^2 (z - i)^2`` on [i - 1, i], i = 1, 2, 3."""
    piece = min(max(math.floor(z), 0.0), SIDE - 1.0)
    t = z - piece
    return (piece + 1.0) * (t * (1.0 - t)) ** 2


@njit(cache=True)
def targets(task, x, wanted):
    """Values (O, N) of a task's function at points (D, N)."""
    for n in range(x.shape[1]):
        if task == CIRCLE or task == CYLINDER:
            wanted[0, n] = math.sin(5.0 * x[0, n]) + math.cos(3.0 * x[1, n])
        elif task == VECTOR:
            wanted[0, n], wanted[1, n] = quartic(x[0, n]), quartic(x[1, n])
        elif task == SUM:
            wanted[0, n] = quartic(x[0, n]) + quartic(x[1, n])
        else:
            wanted[0, n] = quartic(x[0, n]) * quartic(x[1, n])


@njit(cache=True)
def draw(key, replica, step, purpose, task, x, wanted):
    """Fresh points and their values.  Word i of the step belongs to coordinate i // N of point i % N."""
    dimension, count = x.shape
    words = np.empty(4, dtype=np.uint32)
    drawn = 2 * count if task >= VECTOR else count * (dimension - 1 if task == CYLINDER else 1)
    x[:] = 0.0
    for place in range(drawn):
        if place % 4 == 0:
            words[0], words[1], words[2], words[3] = block(key, replica, step, place // 4, purpose)
        word, axis, n = words[place % 4], place // count, place % count
        if task >= VECTOR:
            x[axis, n] = SIDE * open_uniform(word)
        elif axis == 0:
            across, up = cos_sin_turn(word)
            x[0, n], x[1, n] = across, up
        else:
            x[axis + 1, n] = 2.0 * open_uniform(word) - 1.0
    targets(task, x, wanted)


@njit(cache=True)
def offsets(layers):
    """Where each layer starts in the vector of weights; the last entry is its length."""
    starts = np.zeros(len(layers) + 1, dtype=np.int64)
    for depth in range(len(layers)):
        inputs, experts, width, outputs = layers[depth]
        starts[depth + 1] = starts[depth] + experts * (inputs + 1 + width * (inputs + 1) + outputs * (width + 1))
    return starts


@njit(cache=True, fastmath=SUMS_IN_ANY_ORDER)
def _weigh(theta, size, gate, x, shares, weights):
    """Softmax of the logits over the experts, and the weights their outputs get, both (E, N)."""
    inputs, experts = size[0], size[1]
    matrix, bias = theta[:experts * inputs].reshape(experts, inputs), theta[experts * inputs:experts * (inputs + 1)]
    count = x.shape[1]
    for k in range(experts):
        for n in range(count):
            shares[k, n] = bias[k]
        for a in range(inputs):
            for n in range(count):
                shares[k, n] += matrix[k, a] * x[a, n]
    for n in range(count):
        best = 0
        for k in range(experts):
            if shares[k, n] > shares[best, n]:
                best = k
        highest, total = shares[best, n], 0.0
        for k in range(experts):
            shares[k, n] = math.exp(shares[k, n] - highest)
            total += shares[k, n]
        for k in range(experts):
            shares[k, n] /= total
            weights[k, n] = shares[k, n] if gate == SOFTMAX else 0.0
        if gate != SOFTMAX:
            weights[best, n] = shares[best, n] if gate == SWITCH else 1.0


@njit(cache=True, fastmath=SUMS_IN_ANY_ORDER)
def _forward(theta, size, gate, x, shares, weights, values, y, hidden):
    """Outputs y (O, N) of one layer; also the experts' own, (E, O, N)."""
    inputs, experts, width, outputs = size
    _weigh(theta, size, gate, x, shares, weights)
    count, at = x.shape[1], experts * (inputs + 1)
    y[:outputs] = 0.0
    for k in range(experts):
        inner = theta[at:at + width * inputs].reshape(width, inputs)
        inner_bias = theta[at + width * inputs:at + width * (inputs + 1)]
        at += width * (inputs + 1)
        outer = theta[at:at + outputs * width].reshape(outputs, width)
        outer_bias = theta[at + outputs * width:at + outputs * (width + 1)]
        at += outputs * (width + 1)
        for o in range(outputs):
            values[k, o, :] = outer_bias[o]
        for j in range(width):
            for n in range(count):
                hidden[n] = inner_bias[j]
            for a in range(inputs):
                slope = inner[j, a]
                for n in range(count):
                    hidden[n] += slope * x[a, n]
            for o in range(outputs):
                slope = outer[o, j]
                for n in range(count):
                    values[k, o, n] += slope * max(hidden[n], 0.0)
        for o in range(outputs):
            for n in range(count):
                y[o, n] += weights[k, n] * values[k, o, n]


@njit(cache=True, fastmath=SUMS_IN_ANY_ORDER)
def _backward(theta, gradient, size, gate, x, shares, weights, values, dy, dx, hidden, below):
    """Gradient by one layer's weights, and by its inputs, dx (D, N), from that by its outputs, dy (O, N)."""
    inputs, experts, width, outputs = size
    count, at = x.shape[1], experts * (inputs + 1)
    dx[:inputs] = 0.0
    by_output, by_share = np.empty((outputs, count)), np.zeros((experts, count))
    for k in range(experts):
        for o in range(outputs):
            for n in range(count):
                by_output[o, n] = weights[k, n] * dy[o, n]
                by_share[k, n] += dy[o, n] * values[k, o, n]
        if gate == SWITCH:
            for n in range(count):
                by_share[k, n] = by_share[k, n] if weights[k, n] > 0.0 else 0.0
        bias_at, next_at = at + width * inputs, at + width * (inputs + 1)
        for o in range(outputs):
            total = 0.0
            for n in range(count):
                total += by_output[o, n]
            gradient[next_at + outputs * width + o] = total
        for j in range(width):
            for n in range(count):
                hidden[n], below[n] = theta[bias_at + j], 0.0
            for a in range(inputs):
                slope = theta[at + j * inputs + a]
                for n in range(count):
                    hidden[n] += slope * x[a, n]
            for o in range(outputs):
                slope, total = theta[next_at + o * width + j], 0.0
                for n in range(count):
                    total += by_output[o, n] * max(hidden[n], 0.0)
                    below[n] += slope * by_output[o, n]
                gradient[next_at + o * width + j] = total
            total = 0.0
            for n in range(count):
                below[n] = below[n] if hidden[n] > 0.0 else 0.0
                total += below[n]
            gradient[bias_at + j] = total
            for a in range(inputs):
                slope, total = theta[at + j * inputs + a], 0.0
                for n in range(count):
                    total += below[n] * x[a, n]
                    dx[a, n] += slope * below[n]
                gradient[at + j * inputs + a] = total
        at = next_at + outputs * (width + 1)
    _gate_backward(theta, gradient, inputs, experts, gate, x, shares, by_share, dx)


@njit(cache=True, fastmath=SUMS_IN_ANY_ORDER)
def _gate_backward(theta, gradient, inputs, experts, gate, x, shares, by_share, dx):
    """Gradient by the gate's weights; nothing passes through the choice of a hard gate."""
    gradient[:experts * (inputs + 1)] = 0.0
    if gate == HARD:
        return
    count = x.shape[1]
    mean = np.zeros(count)
    for k in range(experts):
        for n in range(count):
            mean[n] += shares[k, n] * by_share[k, n]
    for k in range(experts):
        for n in range(count):
            by_share[k, n] = shares[k, n] * (by_share[k, n] - mean[n])
        total = 0.0
        for n in range(count):
            total += by_share[k, n]
        gradient[experts * inputs + k] = total
        for a in range(inputs):
            slope, total = theta[k * inputs + a], 0.0
            for n in range(count):
                total += by_share[k, n] * x[a, n]
                dx[a, n] += slope * by_share[k, n]
            gradient[k * inputs + a] = total


@njit(cache=True)
def loss_and_gradient(theta, layers, gate, x, wanted, gradient):
    """Squared error averaged over points and outputs, and its gradient by all weights if `gradient` is not empty."""
    depth, count, outputs = len(layers), x.shape[1], wanted.shape[0]
    starts, most = offsets(layers), max(layers[:, 1])
    rows = max(max(layers[:, 0]), max(layers[:, 3]))
    states, shares = np.empty((depth + 1, rows, count)), np.empty((depth, most, count))
    weights, values = np.empty((depth, most, count)), np.empty((depth, most, max(layers[:, 3]), count))
    hidden, below = np.empty(count), np.empty(count)
    states[0, :layers[0, 0]] = x
    for at in range(depth):
        _forward(theta[starts[at]:starts[at + 1]], layers[at], gate, states[at, :layers[at, 0]], shares[at],
                 weights[at], values[at], states[at + 1], hidden)
    upper, lower, loss = np.empty((rows, count)), np.empty((rows, count)), 0.0
    for o in range(outputs):
        for n in range(count):
            off = states[depth, o, n] - wanted[o, n]
            loss += off * off
            upper[o, n] = 2.0 * off / (count * outputs)
    if len(gradient):
        for at in range(depth - 1, -1, -1):
            _backward(theta[starts[at]:starts[at + 1]], gradient[starts[at]:starts[at + 1]], layers[at], gate,
                      states[at, :layers[at, 0]], shares[at], weights[at], values[at], upper, lower, hidden, below)
            upper, lower = lower, upper
    return loss / (count * outputs)


def error(theta, layers, gate, x, wanted, points=128):
    """Mean squared error at all points (D, T), so many at a time."""
    total, nothing = 0.0, np.empty(0)
    for start in range(0, x.shape[1], points):
        some, values = (np.ascontiguousarray(array[:, start:start + points]) for array in (x, wanted))
        total += some.shape[1] * loss_and_gradient(theta, layers, gate, some, values, nothing)
    return total / x.shape[1]


@njit(cache=True)
def adam(theta, gradient, first, second, step, rate):
    """One step of Adam, number `step` = 1, 2, ..., in place."""
    scale = rate / (1.0 - FIRST_DECAY**step)
    unbias = 1.0 / (1.0 - SECOND_DECAY**step)
    for i in range(len(theta)):
        first[i] = FIRST_DECAY * first[i] + (1.0 - FIRST_DECAY) * gradient[i]
        second[i] = SECOND_DECAY * second[i] + (1.0 - SECOND_DECAY) * gradient[i] * gradient[i]
        theta[i] -= scale * first[i] / (math.sqrt(second[i] * unbias) + FLOOR)


@njit(cache=True, nogil=True)
def train(key, replica, theta, moments, layers, gate, task, frozen, rate, kept, kept_wanted, x, wanted, begin, end):
    """Steps `begin` .. `end` - 1, counted from 0, on `theta` and Adam's `moments` (2, P) in place.

    Batches, which have the shape of `x` and `wanted`, come from the training set that is kept; if that is empty, fresh.
    """
    gradient, samples = np.empty_like(theta), kept.shape[1]
    for step in range(begin, end):
        if samples:
            for n in range(x.shape[1]):
                word = block(key, replica, np.uint64(step), np.uint64(n), np.uint64(PICK))[0]
                pick = np.int64((np.uint64(word) * np.uint64(samples)) >> np.uint64(32))
                x[:, n], wanted[:, n] = kept[:, pick], kept_wanted[:, pick]
        else:
            draw(key, replica, np.uint64(step), np.uint64(BATCH), task, x, wanted)
        loss_and_gradient(theta, layers, gate, x, wanted, gradient)
        for i in frozen:
            gradient[i] = 0.0
        adam(theta, gradient, moments[0], moments[1], step + 1, rate)
