"""Claims about single steps: exact changes of the imbalance, and the scale symmetry, on networks that really step.

Every expected number comes from a formula in scalar products, every measured one from moving all weights.  Rounding
is bounded by ROUNDING times the largest entry of the matrices subtracted.
"""

import math

import numpy as np

from ...sims import streams
from ...theory import label_noise
from ...theory.label_noise import identities
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

ROUNDING = 1e-14
"""Relative to the largest entry of D: some tens of additions of numbers of that size."""
STEP, NOISE, RADIUS = 2e-3, 2.0, 0.3
SIZES = ((1, 1), (3, 1), (7, 5), (60, 20))
"""Width and dimension."""


def _network(width, dimension, replica=0):
    """Layers, an input, a target and a noisy label, drawn once and for all."""
    draws = streams.normals(streams.key(11, "label_noise.identities"), replica, np.arange(width + 2), dimension + 1)
    draws = draws.astype(np.float64)
    first, second = draws[:width, :-1] / math.sqrt(dimension), draws[:width, -1] / math.sqrt(width)
    x, target = draws[width, :-1], draws[width + 1, :-1]
    return first, second, x, target, x @ target + NOISE * np.sign(draws[width, -1])


def _sgd(first, second, x, label, step):
    residual = second @ (first @ x) - label
    return first - step * residual * np.outer(second, x), second - step * residual * (first @ x), residual


def _sharpness_aware(first, second, x, label, step, radius):
    """One step by its definition: the gradient at the weights moved radius up the normalised gradient."""
    residual = second @ (first @ x) - label
    up, over = residual * np.outer(second, x), residual * (first @ x)
    size = math.sqrt(np.sum(up**2) + np.sum(over**2))
    ahead, beyond = first + radius / size * up, second + radius / size * over
    shifted = beyond @ (ahead @ x) - label
    return first - step * shifted * np.outer(beyond, x), second - step * shifted * (ahead @ x)


def _compare(measured, expected, scale):
    """Changes in units of what was subtracted; over 10^9 roundings at the most, over 10^7 at the least."""
    return judges.equal(measured / scale, expected / scale, atol=ROUNDING)


@claim("norm_change", topic="label_noise", paper=LABEL_NOISE, where="below Thm 2", stance="stated",
       statement="||w_i(T)||^2 = ||w_i(0)||^2 - a_i(0)^2 + a_i(T)^2 + h^2 sum_j DW_i(j), "
                 "DW_i = -g^2 (<x,w_i>^2 - a_i^2 ||x||^2)")
def norm_change(effort):
    """300 steps of label-noise SGD, width 60 and dimension 20, every neuron; rounding adds up over the steps."""
    return _norms(effort)


@norm_change.control("the squares of the second layer left out")
def _(effort):
    return _norms(effort, second=0.0)


@norm_change.control("the residual without the label noise")
def _(effort):
    return _norms(effort, noisy=False)


def _norms(effort, second=1.0, noisy=True):
    steps = effort.choose(300, 20_000)
    first, layer, _, target, _ = _network(60, 20)
    target = target / np.linalg.norm(target)
    key = streams.key(12, "label_noise.identities")
    inputs = streams.normals(key, 1, np.arange(steps), 20).astype(np.float64)
    noise = NOISE * streams.rademachers(key, 2, 0, steps)
    start = np.sum(first**2, axis=1) - second * layer**2
    total = np.zeros(60)
    for x, eps in zip(inputs, noise):
        after, beyond, residual = _sgd(first, layer, x, x @ target + eps, STEP)
        total += STEP**2 * identities.norm_change(first, layer, x, residual if noisy else residual + eps)
        first, layer = after, beyond
    change = np.sum(first**2, axis=1) - second * layer**2 - start
    return judges.equal(change, total, atol=ROUNDING * math.sqrt(steps), over=f"{steps} steps, 60 neurons")


@claim("imbalance_step", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="D' - D = h^2 g^2 (||x||^2 aa' - W x x' W') for SGD, h^2 (||e||^2 aa' - W e e' W') for "
                 "gradient descent, and the exact formula for batch-1 SAM; D = WW' - aa' is m x m")
def imbalance_step(effort):
    return _imbalances(effort)


@imbalance_step.control("the sign of the second layer's part")
def _(effort):
    return _imbalances(effort, sign=-1.0)


@imbalance_step.control("SAM at twice the radius in the formula")
def _(effort):
    return _imbalances(effort, radius=2.0 * RADIUS)


@imbalance_step.control("gradient descent that moves the second layer by the first as already moved")
def _(effort):
    """That turns the sign of the second layer's part, of order h^2 as the change itself."""
    return _imbalances(effort, late=True)


def _imbalances(effort, sign=1.0, radius=RADIUS, late=False):
    pieces = {}
    for width, dimension in SIZES:
        for replica in range(effort.choose(3, 100)):
            first, second, x, target, label = _network(width, dimension, replica)
            before, squares = identities.imbalance(first, second), np.outer(second, second)
            scale = np.abs(before).max() + np.abs(squares).max()
            after, layer, g = _sgd(first, second, x, label, STEP)
            expected = identities.sgd_imbalance(first, second, x, g, STEP)
            expected += (sign - 1.0) * (STEP * g) ** 2 * (x @ x) * squares
            pieces.setdefault("sgd", []).append((identities.imbalance(after, layer) - before, expected, scale))
            error = target - first.T @ second
            stepped = first + STEP * np.outer(second, error)
            moved = identities.imbalance(stepped, second + STEP * (stepped if late else first) @ error)
            pieces.setdefault("descent", []).append(
                (moved - before, identities.descent_imbalance(first, second, error, STEP), scale))
            moved = identities.imbalance(*_sharpness_aware(first, second, x, label, STEP, RADIUS))
            expected = identities.sharpness_aware_imbalance(first, second, x, label, STEP, radius)
            pieces.setdefault("sam", []).append((moved - before, expected, scale))
    return judges.every(**{name: _compare(*(np.concatenate([np.ravel(np.broadcast_to(part[k], part[0].shape))
                                                            for part in parts]) for k in range(3)))
                           for name, parts in pieces.items()})


@claim("scale_symmetry", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="(h, sigma, theta*, K) -> (h/l, l sigma, l theta*, l K) carries paths of label-noise SGD to paths, "
                 "K(k) -> l K(k), to the last bit for l a power of 4")
def scale_symmetry(effort):
    """The width-free recursion over 200 steps, and a network of 30 neurons stepped directly; tolerance zero."""
    return _scaled(effort)


@scale_symmetry.control("noise scaled, step not")
def _(effort):
    return _scaled(effort, exponent=0.0, factors=(0.25, 0.0625))


@scale_symmetry.control("step scaled by the square")
def _(effort):
    return _scaled(effort, exponent=2.0, factors=(4.0,))


def _scaled(effort, exponent=1.0, factors=(4.0, 0.25, 64.0)):
    model = label_noise.TwoLayerLinear(6, 30, 4e-3, NOISE, 1.5)
    steps, key = effort.choose(200, 5000), streams.key(13, "label_noise.identities")
    inputs = streams.normals(key, 0, np.arange(steps), 6).astype(np.float64)
    signs = streams.rademachers(key, 1, 0, steps).astype(np.float64)
    draws = streams.normals(key, 2, np.arange(30), 7).astype(np.float64)
    pairs = []
    for factor in factors:
        other = label_noise.rescaled(model, factor)
        ends = []
        for each, step in ((model, model.effective_step), (other, model.effective_step / factor**exponent)):
            first, second = draws[:, :-1] * each.first_scale, draws[:, -1] * each.second_scale / 8.0
            labels = inputs @ each.target + each.noise * signs
            states, _ = label_noise.label_noise_path(label_noise.gram(first, second), inputs, labels, step)
            for x, label in zip(inputs, labels):
                first, second, _ = _sgd(first, second, x, label, step)
            ends.append((states[-1], np.column_stack([first, second])))
        pairs.append((np.ravel(ends[1][0]) / factor, np.ravel(ends[0][0])))
        pairs.append((np.ravel(ends[1][1]) / math.sqrt(factor), np.ravel(ends[0][1])))
    return judges.equal(np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]),
                        over=f"{steps} steps, l = {', '.join(f'{factor:g}' for factor in factors)}")
