"""Claims: how the gain of LITE depends on the batch size when the samples are given.

``N = b T`` samples, so T steps at batch b and gradient noise ``sigma/sqrt b``; rates are tuned at every batch size.
For Muon-LITE the valley, the tuning and the meaning of *gain* are those of :mod:`.muon_lite`, of 12 x 8 matrices (full:
24 x 16), sigma = 0.4, N = 2400 (4800).  For the linear model they are exact second moments.
"""

from functools import cache

import numpy as np

from ...sims.riemannian import MatrixDescent
from ...theory.riemannian import lite_schedules, modes, second_moment
from ...theory.riemannian.landscapes import MatrixQuadratic
from ...theory.riemannian.muon_lite import MuonLite
from .. import judges
from ..claim import claim
from .muon_lite import compared
from .paper import LITE

QUICK = {"shape": (12, 8), "samples": 2400, "start": 15.0, "centre": 0.9, "replicas": {1: 24, 4: 48, 16: 128}}
FULL = {"shape": (24, 16), "samples": 4800, "start": 30.0, "centre": 1.8, "replicas": {1: 32, 4: 96, 16: 192}}
"""Centre of the grid of rates at T = 600, to be divided by chi; they go as T^(-1/2)."""
NOISE = 0.4
LINEAR = np.arange(1, 33.0) ** -1.5
"""Curvatures of the linear model; all but the first four count as flat."""


@claim("batch_gain", topic="riemannian", paper=LITE, where="Muon-LITE", stance="reconstructed",
       statement="given samples: the gain of chi = 2 over Muon rises with b, below 2 % at b = 1, above at b = 16")
def batch_gain(effort):
    """The gain rises from each batch size, 1, 4 and 16, to the next.

    The mark of 2 % is set.
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


@cache
def _pairs(kind, batch, level):
    """Gain of chi = 2 at a batch size, and its standard error."""
    sizes = QUICK if level == "quick" else FULL
    (m, n), steps = sizes["shape"], sizes["samples"] // batch
    flat, ends = np.arange(n) >= 2, []
    landscape = MatrixQuadratic(np.where(flat, 1e-3, np.where(np.arange(n) == 0, 50.0, 30.0)))
    given = {"LITE": {"gain": 2.0, "rank": 2}, "uniform": {"gain": 2.0, "projector": np.eye(n)}, "Muon": {}}
    for name in (kind, "Muon"):
        chi = given[name].get("gain", 1.0)
        rates = sizes["centre"] * np.sqrt(600.0 / steps) * 2.0 ** np.arange(-0.5, 1.1, 0.5) / chi
        made = MatrixDescent(landscape, MuonLite(**given[name]), rates, steps, noise=NOISE, batch_size=batch,
                             scale=np.tile(np.where(flat, sizes["start"], 0.5), (m, 1)),
                             schedule=lite_schedules.cosine_rates(steps))
        ends.append(made.sample(2, 0, sizes["replicas"][batch])[:, :, 0, 0])
    return compared(*ends)


def _rising(effort, kind):
    found = np.array([_pairs(kind, batch, effort.level) for batch in (1, 4, 16)])
    text = ", ".join(f"b={batch}: {value:.4f} +- {error:.4f}" for batch, (value, error) in
                     zip((1, 4, 16), found, strict=True))
    return judges.every(
        rises=judges.inequality(found[:-1, 0], found[1:, 0], stderr=np.hypot(found[:-1, 1], found[1:, 1]), alpha=1e-3,
                                over=text),
        one=judges.inequality(found[0, 0], 0.02, stderr=found[0, 1], alpha=1e-3),
        sixteen=judges.inequality(-found[-1, 0], -0.02, stderr=found[-1, 1], alpha=1e-3))


def _linear(effort, steps_of):
    batches, gains, best = effort.choose((64, 128, 256), (16, 32, 64, 128, 256)), [], []
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
    return judges.every(gain=judges.bounded(gains, spread=1.1, at={"b": list(batches)}),
                        rate=judges.bounded(best, spread=2.0 ** (1.0 / 3.0) * (1.0 + 1e-12)))
