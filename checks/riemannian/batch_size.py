"""Claims: how the gain of LITE depends on the batch size when the samples are given.

``N = b T`` samples, so T steps at batch b and gradient noise ``sigma/sqrt b``; rates are tuned at every batch size.
For Muon-LITE the valley and the meaning of *gain* are those of :mod:`.muon_lite` and :mod:`.tuned`, of 12 x 8 matrices
(full: 24 x 16), sigma = 0.4, N = 2400 (4800).  For the linear model they are exact second moments.
"""

from functools import cache

import numpy as np

from ...sims.riemannian import MatrixDescent
from ...theory.riemannian import lite_schedules, modes, second_moment
from ...theory.riemannian.muon_lite import MuonLite
from .. import judges
from ..claim import claim
from . import tuned
from .muon_lite import valley
from .paper import LITE

QUICK = {"shape": (12, 8), "samples": 2400, "start": 15.0, "centre": 0.9, "replicas": {1: 16, 4: 40, 16: 256}}
FULL = {"shape": (24, 16), "samples": 4800, "start": 30.0, "centre": 1.8, "replicas": {1: 64, 4: 192, 16: 512}}
"""Centre of the grid of rates at T = 600, to be divided by chi; they go as T^(-1/2)."""
BATCHES, OCTAVES = (1, 4, 16), (-1.0, 0.5)
"""Batch sizes, and the ends of the grids."""
NOISE = 0.4
LINEAR = np.arange(1, 33.0) ** -1.5
"""Curvatures of the linear model; all but the first four count as flat."""


@claim("batch_gain", topic="riemannian", paper=LITE, where="Muon-LITE", stance="reconstructed",
       statement="given samples: chi = 2 loses to Muon at b = 1 and gains more than 1 % at b = 16, most of all three b")
def batch_gain(effort):
    """Batch sizes 1, 4 and 16; the gain at 16 is above those at 1 and 4.

    The mark of 1 % is set.
    """
    return _rising(effort, "LITE")


@batch_gain.control("chi = 2 in all directions")
def _(effort):
    return _rising(effort, "uniform")


@claim("linear_batch_gain", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="linear gradients, exact Q, given samples: eta ~ b, and the gain does not depend on b")
def linear_batch_gain(effort):
    """Nesterov's method, lambda_j = j^-1.5, chi = 2, N = 2^16, b = 64, 128, 256 (full: from 16), eta/b to a grid step.

    As long as eta is far below the largest step, T steps of rate eta at batch b are the same diffusion for all b at
    equal eta T and eta/b.  The tolerance, 10 %, is set: the buffer takes 1/alpha = 10 steps of T >= 256, or 4 %, of
    either run.
    """
    return _linear(effort, lambda b: 2**16 // b)


@linear_batch_gain.control("a given number of steps, 512, in place of given samples")
def _(effort):
    return _linear(effort, lambda b: 512)


def gains(effort, kind="LITE", part=1):
    """The :class:`.tuned.Gain` of chi = 2 at every batch size, from all of the replicas or the first in so many."""
    return [tuned.compared(own, _losses("Muon", batch, effort.level, 1)[:len(own)]) for batch, own in
            ((batch, _losses(kind, batch, effort.level, part)) for batch in BATCHES)]


@cache
def _losses(name, batch, level, part):
    """Final losses, (R, L)."""
    sizes = QUICK if level == "quick" else FULL
    (m, n), steps = sizes["shape"], sizes["samples"] // batch
    scale = np.tile(np.where(np.arange(n) >= 2, sizes["start"], 0.5), (m, 1))
    given = {"LITE": {"gain": 2.0, "rank": 2}, "uniform": {"gain": 2.0, "projector": np.eye(n)},
             "Muon": {"share": 0.0}}[name]
    rates = tuned.grid(sizes["centre"] * np.sqrt(600.0 / steps) / given.get("gain", 1.0), OCTAVES)
    made = MatrixDescent(valley(n), MuonLite(**given), rates, steps, noise=NOISE, batch_size=batch, scale=scale,
                         schedule=lite_schedules.cosine_rates(steps))
    return made.sample(2, 0, sizes["replicas"][batch] // part)[:, :, 0, 0]


def _rising(effort, kind):
    found = gains(effort, kind, part=1 if kind == "LITE" else 4)
    value, error, inside = np.transpose(found)
    text = ", ".join(f"b={batch}: {each.value:.4f} +- {each.error:.4f}" for batch, each in
                     zip(BATCHES, found, strict=True))
    return judges.every(
        rises=judges.inequality(value[:-1], value[-1], stderr=np.hypot(error[:-1], error[-1]), alpha=1e-3, over=text),
        one=judges.inequality(value[0], 0.0, stderr=error[0], alpha=1e-3),
        sixteen=judges.inequality(-value[-1], -0.01, stderr=error[-1], alpha=1e-3),
        inside=judges.inequality(1.0, inside, at={"b": list(BATCHES)}))


def linear_gains(effort, steps_of=lambda b: 2**16 // b, batches=None):
    """Batch sizes, gains of chi = 2 in the linear model, and the best rate of chi = 1 over b."""
    batches, gains, best = batches or effort.choose((64, 128, 256), (16, 32, 64, 128, 256)), [], []
    momentum, flat = 0.9, np.arange(LINEAR.size) >= 4
    damping = 1.0 / momentum
    for b in batches:
        rates = 2.0 ** (np.arange(-12, 5) / effort.choose(3.0, 6.0)) * 4.5e-4 * b
        rates = rates[rates < 0.5 * modes.largest_step(momentum, damping) / LINEAR[0]]
        path = lite_schedules.cosine_rates(steps_of(b))[:, None, None] * rates[:, None]
        ends = [0.5 * second_moment.second_moments(path * np.where(flat, chi, 1.0), LINEAR, momentum, damping, 1.0,
                                                   0.0, b, np.ones(LINEAR.size))[-1] @ LINEAR for chi in (1.0, 2.0)]
        gains.append(1.0 - ends[1].min() / ends[0].min())
        best.append(rates[np.argmin(ends[0])] / b)
    return batches, gains, best


def _linear(effort, steps_of):
    batches, gains, best = linear_gains(effort, steps_of)
    return judges.every(gain=judges.bounded(gains, spread=1.1, at={"b": list(batches)}),
                        rate=judges.bounded(best, spread=2.0 ** (1.0 / 3.0) * (1.0 + 1e-12)))
