r"""Mini-batches, gradients by hand, and Adam for mixtures of experts of one hidden layer each, compiled.

All weights lie in one vector, layer after layer: gate (E, D) and its bias (E,), then for every expert inner weights
(m, D), inner biases (m,), outer weights (O, m), outer biases (O,).  A batch is stored coordinate by coordinate,
(D, N), so that loops over the batch are the innermost ones, and all floats have the type of the weights.  From the
gradient dy by a layer's output ``y = sum_k a_k f_k``, with weights ``a_k = s_k p_k`` (s_k selects, p the softmax of the
logits g; a_k = s_k for the hard gate),

    df_k = a_k dy,    da_k = s_k <dy, f_k>,    dg_k = p_k (da_k - sum_j p_j da_j)      (0 for the hard gate),

which for s = 1 is the dense softmax gate and for s_k = 1 at the largest logit only the gate of Switch transformers.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..streams import block, cos_sin_turn, open_uniform

LANES = 16
"""Partial sums of a sum over the batch: a power of 2."""
CIRCLE, CYLINDER, VECTOR, SUM, PRODUCT = range(5)
"""Codes of the tasks."""
SOFTMAX, SWITCH, HARD = range(3)
"""Codes of the gates."""
BATCH, TRAINING_SET, PICK = range(3)
"""Purposes of draws during training; those of the start come after them."""
SERIES = 30
"""Last even power in the series of the circle's function."""
SIDE = 3.0
"""The square is [0, 3]^2."""
FIRST_DECAY, SECOND_DECAY, FLOOR = 0.9, 0.999, 1e-8
"""Adam's beta_1, beta_2 and epsilon."""
TESTED = 128
"""Test points taken at a time."""
SMALL = 1e-30
"""First moments below this are 0: next to epsilon they move nothing, and numbers near 1e-38 are slow."""


@njit(cache=True)
def quartic(z):
    """``i (i - 1 - z)^2 (z - i)^2`` on [i - 1, i], i = 1, 2, 3."""
    piece = min(max(math.floor(z), 0.0), SIDE - 1.0)
    t = z - piece
    return (piece + 1.0) * (t * (1.0 - t)) ** 2


@njit(cache=True)
def wave(x, y, wanted):
    """``sin(5 x) + cos(3 y)`` on the circle by their power series, term by term for all points: to 3e-14."""
    count = len(x)
    odd, even = np.ones(count), np.ones(count)
    for k in range(SERIES, 1, -2):
        by_odd, by_even = 25.0 / (k * (k + 1)), 9.0 / (k * (k - 1))
        for n in range(count):
            odd[n] = 1.0 - by_odd * x[n] * x[n] * odd[n]
        for n in range(count):
            even[n] = 1.0 - by_even * y[n] * y[n] * even[n]
    for n in range(count):
        wanted[n] = 5.0 * x[n] * odd[n] + even[n]


@njit(cache=True)
def targets(task, x, wanted):
    """Values (O, N) of a task's function at points (D, N)."""
    if task == CIRCLE or task == CYLINDER:
        wave(x[0], x[1], wanted[0])
        return
    for n in range(x.shape[1]):
        first, second = quartic(x[0, n]), quartic(x[1, n])
        if task == VECTOR:
            wanted[0, n], wanted[1, n] = first, second
        elif task == SUM:
            wanted[0, n] = first + second
        else:
            wanted[0, n] = first * second


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


@njit(cache=True, error_model="numpy")
def power(x):
    """``e^x`` for x <= 0, to 1e-10 relative from -80 on (below, that of -80): ``(sum_k (x/256)^k / k!)^256``.

    Sums and products only, so that loops over it are vector operations.
    """
    t = max(x, -80.0) * (1.0 / 256.0)
    p = 1.0 + t * (1.0 / 8.0) * (1.0 + t * (1.0 / 9.0) * (1.0 + t * (1.0 / 10.0)))
    p = 1.0 + t * (1.0 / 5.0) * (1.0 + t * (1.0 / 6.0) * (1.0 + t * (1.0 / 7.0) * p))
    p = 1.0 + t * (1.0 + t * (1.0 / 2.0) * (1.0 + t * (1.0 / 3.0) * (1.0 + t * (1.0 / 4.0) * p)))
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    return p * p


@njit(cache=True, error_model="numpy")
def _weigh(theta, size, gate, x, shares, weights):
    """Softmax of the logits over the experts, and the weights their outputs get, both (E, N)."""
    inputs, experts = size[0], size[1]
    count, at = x.shape[1], experts * inputs
    zero, one = theta.dtype.type(0), theta.dtype.type(1)
    best, highest, total = np.zeros(count, np.int32), np.empty(count, theta.dtype), np.zeros(count, theta.dtype)
    for k in range(experts):
        _affine(theta, k * inputs, at + k, inputs, x, shares, k)
        if k == 0:
            highest[:] = shares[0]
        for n in range(count):
            best[n] = k if shares[k, n] > highest[n] else best[n]
            highest[n] = max(highest[n], shares[k, n])
    for k in range(experts):
        if gate != SOFTMAX:
            for n in range(count):
                weights[k, n] = one if best[n] == k else zero
        for n in range(count):
            shares[k, n] = power(shares[k, n] - highest[n])
            total[n] += shares[k, n]
    for k in range(experts):
        for n in range(count):
            shares[k, n] /= total[n]
        if gate == SOFTMAX:
            weights[k] = shares[k]
        elif gate == SWITCH:
            for n in range(count):
                weights[k, n] *= shares[k, n]


@njit(cache=True, error_model="numpy")
def _affine(theta, matrix, bias, inputs, x, rows, r):
    """One row of an affine map, by two coordinates at a time; a last one without a partner meets a factor 0."""
    count, other = x.shape[1], min(1, inputs - 1)
    offset, s = theta[bias], theta[matrix]
    t = theta[matrix + other] * theta.dtype.type(other)
    for n in range(count):
        rows[r, n] = offset + s * x[0, n] + t * x[other, n]
    for a in range(2, inputs, 2):
        other = min(a + 1, inputs - 1)
        s, t = theta[matrix + a], theta[matrix + other] * theta.dtype.type(other - a)
        for n in range(count):
            rows[r, n] += s * x[a, n] + t * x[other, n]


@njit(cache=True, error_model="numpy")
def _forward(theta, size, gate, x, shares, weights, values, y, hidden):
    """Outputs y (O, N) of one layer; also the experts' own, (E, O, N), and hidden values before ReLU, (E m, N)."""
    inputs, experts, width, outputs = size
    _weigh(theta, size, gate, x, shares, weights)
    zero, count, at = theta.dtype.type(0), x.shape[1], experts * (inputs + 1)
    y[:outputs] = zero
    for k in range(experts):
        bias, outer = at + width * inputs, at + width * (inputs + 1)
        for o in range(outputs):
            values[k, o] = theta[outer + outputs * width + o]
        for j in range(width):
            r = k * width + j
            _affine(theta, at + j * inputs, bias + j, inputs, x, hidden, r)
            for o in range(outputs):
                slope = theta[outer + o * width + j]
                for n in range(count):
                    values[k, o, n] += slope * max(hidden[r, n], zero)
        at = outer + outputs * (width + 1)
        for o in range(outputs):
            for n in range(count):
                y[o, n] += weights[k, n] * values[k, o, n]


@intrinsic
def _lanes(typing, rows, r, matrix, a, b):
    """The sums of :func:`_sums` over the first multiple of LANES points, in LANES partial sums that are then halved.

    Written in vectors, since a compiler that may make vectors of a plain sum may also choose in which order it is
    taken; wider or narrower registers change nothing here, and no product is fused with a sum.
    """
    kind = rows.dtype

    def generate(context, builder, signature, arguments):
        values = [context.make_array(of)(context, builder, value) for of, value in
                  ((rows, arguments[0]), (matrix, arguments[2]))]
        length, number = cgutils.unpack_tuple(builder, values[0].shape)[1], context.get_value_type(kind)
        vector, lanes = ir.VectorType(number, LANES), ir.Constant(length.type, LANES)
        starts = [builder.gep(array.data, [builder.mul(row, length)]) for array, row in
                  ((values[0], arguments[1]), (values[1], arguments[3]), (values[1], arguments[4]))]
        nothing = ir.Constant(vector, [0.0] * LANES)
        sums = [cgutils.alloca_once_value(builder, nothing) for _ in starts]
        with cgutils.for_range(builder, builder.sdiv(length, lanes)) as loop:
            at = builder.mul(loop.index, lanes)
            row, first, second = (
                builder.load(builder.bitcast(builder.gep(start, [at]), vector.as_pointer()),
                             align=context.get_abi_sizeof(number)) for start in starts)
            for total, term in zip(sums, (builder.fmul(row, first), builder.fmul(row, second), row), strict=True):
                builder.store(builder.fadd(builder.load(total), term), total)
        found = []
        for total in sums:
            total, half = builder.load(total), LANES // 2
            while half:
                parts = [builder.shuffle_vector(total, total, ir.Constant(
                    ir.VectorType(ir.IntType(32), half), list(range(low, low + half)))) for low in (0, half)]
                total, half = builder.fadd(*parts), half // 2
            found.append(builder.extract_element(total, ir.Constant(ir.IntType(32), 0)))
        return context.make_tuple(builder, signature.return_type, found)

    index = types.intp
    return types.UniTuple(kind, 3)(rows, index, matrix, index, index), generate


@njit(cache=True, forceinline=True)
def _sums(rows, r, matrix, a, b):
    """``sum_n row_n matrix_an``, ``sum_n row_n matrix_bn`` and ``sum_n row_n``, of row r; equal bits on every CPU."""
    first, second, total = _lanes(rows, r, matrix, a, b)
    for n in range(rows.shape[1] - rows.shape[1] % LANES, rows.shape[1]):
        first += rows[r, n] * matrix[a, n]
        second += rows[r, n] * matrix[b, n]
        total += rows[r, n]
    return first, second, total


@njit(cache=True, error_model="numpy")
def _backward(theta, gradient, size, gate, x, shares, weights, values, dy, dx, hidden, below):
    """Gradient by one layer's weights, and by its inputs, dx (D, N) if not empty, from that by its outputs, dy (O, N).

    Rows of weights are taken in pairs (a, b); a last one without a partner is its own, which gets a factor 0.
    """
    inputs, experts, width, outputs = size
    kind = theta.dtype.type
    zero, count, at = kind(0), x.shape[1], experts * (inputs + 1)
    dx[:inputs] = zero
    by_output, by_share = np.empty((outputs, count), theta.dtype), np.zeros((experts, count), theta.dtype)
    for k in range(experts):
        bias, outer = at + width * inputs, at + width * (inputs + 1)
        for o in range(outputs):
            for n in range(count):
                by_output[o, n] = weights[k, n] * dy[o, n]
                by_share[k, n] += dy[o, n] * values[k, o, n]
            gradient[outer + outputs * width + o] = _sums(by_output, o, by_output, o, o)[2]
        for j in range(width):
            r = k * width + j
            for a in range(0, outputs, 2):
                b = min(a + 1, outputs - 1)
                s, t = theta[outer + a * width + j], theta[outer + b * width + j] * kind(b - a)
                if a == 0:
                    for n in range(count):
                        below[0, n] = s * by_output[a, n] + t * by_output[b, n] if hidden[r, n] > zero else zero
                        hidden[r, n] = max(hidden[r, n], zero)
                else:
                    for n in range(count):
                        below[0, n] += s * by_output[a, n] + t * by_output[b, n] if hidden[r, n] > zero else zero
            for a in range(0, outputs, 2):
                b = min(a + 1, outputs - 1)
                first, second, _ = _sums(hidden, r, by_output, a, b)
                gradient[outer + a * width + j], gradient[outer + b * width + j] = first, second
            gradient[bias + j] = _inwards(theta, gradient, at + j * inputs, inputs, x, below, dx)
        at = outer + outputs * (width + 1)
        if gate == SWITCH:
            for n in range(count):
                by_share[k, n] = by_share[k, n] if weights[k, n] > zero else zero
    _gate_backward(theta, gradient, inputs, experts, gate, shares, by_share, x, dx)


@njit(cache=True, error_model="numpy")
def _inwards(theta, gradient, matrix, inputs, x, row, dx):
    """Gradient by one row of an affine map, and what it adds to dx if that is not empty; returns that by its bias."""
    kind, total = theta.dtype.type, row[0, 0]
    for a in range(0, inputs, 2):
        b = min(a + 1, inputs - 1)
        first, second, total = _sums(row, 0, x, a, b)
        gradient[matrix + a], gradient[matrix + b] = first, second
        if len(dx):
            s, t = theta[matrix + a], theta[matrix + b] * kind(b - a)
            for n in range(row.shape[1]):
                dx[a, n] += s * row[0, n]
                dx[b, n] += t * row[0, n]
    return total


@njit(cache=True, error_model="numpy")
def _gate_backward(theta, gradient, inputs, experts, gate, shares, by_share, x, dx):
    """Gradient by the gate's weights; nothing passes through the choice of a hard gate."""
    gradient[:experts * (inputs + 1)] = theta.dtype.type(0)
    if gate == HARD:
        return
    count = x.shape[1]
    mean, row = np.zeros(count, theta.dtype), np.empty((1, count), theta.dtype)
    for k in range(experts):
        for n in range(count):
            mean[n] += shares[k, n] * by_share[k, n]
    for k in range(experts):
        for n in range(count):
            row[0, n] = shares[k, n] * (by_share[k, n] - mean[n])
        gradient[experts * inputs + k] = _inwards(theta, gradient, k * inputs, inputs, x, row, dx)


@njit(cache=True)
def loss_and_gradient(theta, layers, gate, x, wanted, gradient):
    """Squared error averaged over points and outputs, and its gradient by all weights if `gradient` is not empty."""
    depth, count, outputs, kind = len(layers), x.shape[1], wanted.shape[0], theta.dtype
    starts, most = offsets(layers), max(layers[:, 1])
    rows = max(max(layers[:, 0]), max(layers[:, 3]))
    states, shares = np.empty((depth + 1, rows, count), kind), np.empty((depth, most, count), kind)
    weights, values = np.empty((depth, most, count), kind), np.empty((depth, most, max(layers[:, 3]), count), kind)
    hidden, below = np.empty((depth, most * max(layers[:, 2]), count), kind), np.empty((1, count), kind)
    states[0, :layers[0, 0]] = x
    for at in range(depth):
        _forward(theta[starts[at]:starts[at + 1]], layers[at], gate, states[at, :layers[at, 0]], shares[at],
                 weights[at], values[at], states[at + 1], hidden[at])
    upper, lower, loss = np.empty((rows, count), kind), np.empty((rows, count), kind), 0.0
    for o in range(outputs):
        for n in range(count):
            off = states[depth, o, n] - wanted[o, n]
            loss += off * off
            upper[o, n] = 2.0 * off / (count * outputs)
    if len(gradient):
        for at in range(depth - 1, -1, -1):
            _backward(theta[starts[at]:starts[at + 1]], gradient[starts[at]:starts[at + 1]], layers[at], gate,
                      states[at, :layers[at, 0]], shares[at], weights[at], values[at], upper,
                      lower if at else lower[:0], hidden[at], below)
            upper, lower = lower, upper
    return loss / (count * outputs)


def error(theta, layers, gate, x, wanted, points=TESTED):
    """Mean squared error at all points (D, T), so many at a time."""
    total, nothing = 0.0, np.empty(0, theta.dtype)
    for start in range(0, x.shape[1], points):
        some, values = (np.ascontiguousarray(array[:, start:start + points]) for array in (x, wanted))
        total += some.shape[1] * loss_and_gradient(theta, layers, gate, some, values, nothing)
    return total / x.shape[1]


@njit(cache=True, error_model="numpy")
def adam(theta, gradient, first, second, step, rate):
    """One step of Adam, number `step` = 1, 2, ..., in place."""
    kind = theta.dtype.type
    scale, unbias = kind(rate / (1.0 - FIRST_DECAY**step)), kind(1.0 / (1.0 - SECOND_DECAY**step))
    keep, take, keep_square, take_square = (kind(FIRST_DECAY), kind(1.0 - FIRST_DECAY), kind(SECOND_DECAY),
                                            kind(1.0 - SECOND_DECAY))
    floor, small, zero = kind(FLOOR), kind(SMALL), kind(0)
    for i in range(len(theta)):
        moment = keep * first[i] + take * gradient[i]
        first[i] = moment if abs(moment) > small else zero
        second[i] = keep_square * second[i] + take_square * gradient[i] * gradient[i]
        theta[i] -= scale * first[i] / (math.sqrt(second[i] * unbias) + floor)


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
