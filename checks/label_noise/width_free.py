"""Claims about the network itself, every weight moved: that it is the width-free recursion, and what no data moves."""

from functools import cache, partial

import numpy as np

from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

SEED = 20_260_311
ROUNDING = 1e-11
"""Relative: rounding of a thousand operations per step, grown along a stable path of 2000 steps (set, not derived)."""


def readme(noise=4.0, target=1.0, width=1000):
    """The setting of the authors' repository; ``||theta*||``, not printed, is 1 unless said otherwise."""
    return theory.TwoLayerLinear(20, width, 1e-3, noise, target, samples=200)


@claim("width_free_recursion", topic="label_noise", paper=LABEL_NOISE, where="Sec. 3", stance="derived",
       statement="one SGD step is Z_i <- (I - eta g B_x) Z_i: K = sum Z_i Z_i' and Phi give the m-neuron path exactly")
def width_free_recursion(effort):
    """n = 200, m = 1000, d = 20, eta = 1e-3, sigma = 4: norms, loss, alignment and every neuron's displacement."""
    whole, direct = _both_methods(effort)
    return judges.equal(whole, direct, rtol=ROUNDING, atol=ROUNDING)


@width_free_recursion.control("without the second-order term b^2 B_x K B_x")
def _(effort):
    times = _times(effort)
    inputs, labels, (first, second) = sgd.draws(sgd.Descent(readme(), times[-1]), SEED)
    state, norms = theory.gram(first, second), []
    for k, (x, label) in enumerate(zip(inputs, labels, strict=True), 1):
        turn = theory.generator(x) * -readme().effective_step * (state[:-1, -1] @ x - label)
        state = state + turn @ state + state @ turn
        if k in times:
            norms.append(np.trace(state[:-1, :-1]))
    direct = _both_methods(effort)[1][0, :, 3]
    return judges.equal(norms, direct[:len(norms)], rtol=ROUNDING, at={"t": times})


@cache
def _both_methods(effort):
    make = partial(sgd.Descent, readme(), _times(effort)[-1], _times(effort), neurons=True)
    return tuple(make(method=method).sample(SEED, 0, effort.choose(1, 16)) for method in ("reduced", "direct"))


def _times(effort):
    return effort.choose([10, 100, 300], [10, 100, 1000, 2000])


@claim("null_space", topic="label_noise", paper=LABEL_NOISE, where="Sec. 3", stance="derived",
       statement="n < d: the part of every w_i orthogonal to all inputs never moves, under SGD, full batches and SAM")
def null_space(effort):
    """m = 200, d = 20; the inputs span n dimensions; ``||W||^2`` therefore cannot fall below what lies outside them.

    Tolerance: every step rounds the orthogonal part by eps times the pull, which for K steps stays below K eps.
    """
    steps = effort.choose(2_000, 50_000)
    parts = {f"n = {n}": judges.equal(*_outside(steps, n, n), rtol=steps * 2.3e-16) for n in (5, 10, 15)}
    moved = {name: judges.equal(*_outside(steps, 10, 10, make), rtol=steps * 2.3e-16)
             for name, make in (("full batch", _full_batch), ("SAM", _sharpness_aware))}
    return judges.every(**parts, **moved)


@null_space.control("the same 5 dimensions, outside 15 inputs, seen by 200 inputs")
def _(effort):
    steps = effort.choose(2_000, 50_000)
    return judges.equal(*_outside(steps, 15, 200), rtol=steps * 2.3e-16)


def _sgd(model, steps, inputs):
    return sgd.Descent(model, steps, [0, steps], inputs=inputs)


def _full_batch(model, steps, inputs):
    return sgd.BatchDescent(model, steps, float("inf"), [0, steps], inputs=inputs)


def _sharpness_aware(model, steps, inputs):
    return sgd.SharpnessAware(theory.TwoLayerLinear(20, 200, 2e-3, 0.0, 1.0, samples=len(inputs)), steps, 0.2,
                              [0, steps], inputs=inputs)


def _outside(steps, few, samples, make=_sgd):
    """``W`` outside the span of the first ``few`` inputs, after and before a run on ``samples`` of them."""
    full, _, _ = sgd.draws(sgd.Descent(theory.TwoLayerLinear(20, 200, 2e-3, 2.0, 1.0), 200), SEED)
    inputs = full[:samples]
    outside = np.linalg.svd(inputs[:few])[2][few:]
    model = theory.TwoLayerLinear(20, 200, 2e-3, 2.0, 1.0, samples=samples)
    first, _ = sgd.neurons(make(model, steps, inputs), SEED)
    norms = np.sum((first @ outside.T) ** 2, axis=(1, 2))
    return norms[1], norms[0]
