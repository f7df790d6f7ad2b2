"""Claims about where label-noise SGD ends up, and about how much noise it can stand.

By the exact scale symmetry only eta sigma, ``Theta = ||theta*||/(eta sigma^2)`` and the start in units of
``eta sigma^2`` matter.  Fresh Gaussian inputs; runs start at the flattest interpolator, one neuron along theta*.  More
neurons in parallel have the same K, for K of rank one stays of rank one, and the slow flow draws all others there.

The weights themselves are run, not the closed recursion: next to a K of rank one, rounding can turn the smallest
eigenvalues of its K negative, and where the noise brings alpha close to 0 it then leaves the network's states.
"""

import math
from functools import cache

import numpy as np

from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from ...theory.label_noise.fluctuations import fluctuations, last_state
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

SEED = 20_260_334
STEP = 1e-2
ERROR, NORM, OUTPUT, ALIGNED = 1, 3, 4, 5


@claim("last_state", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="at rest E theta = (1 - sqrt(d)/(2 Theta)) theta*, unaligned share of |W|^2 (d-1)/(2 sqrt(d) Theta)")
def last_state_reached(effort):
    """Bias, unaligned share and error ``tr S`` (LMS covariance at the flattest kernel), time averages, 4/v to 12/v.

    The share (derived): a fluctuation ``delta = M zeta`` boosts ``w_i`` by ``a_i zeta``, so that in each of the d - 1
    directions across ``G = alpha E zeta zeta' = u/2``.  All are leading orders in ``d^{3/2}/(2 Theta)``, which is the
    relative margin (0.19 at d = 5, Theta = 30).
    """
    return _last(effort, 1.0)


@last_state_reached.control("no bias: E theta = theta*")
def _(effort):
    return _last(effort, 0.0)


@last_state_reached.control("twice the bias, sqrt(d) eta sigma^2")
def _(effort):
    return _last(effort, 2.0)


@claim("learning_threshold", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="too much noise ends alignment: share of |W|^2 along theta* < 1/2 at Theta = d/5, > 3/4 at 1.6 d")
def learning_threshold(effort):
    """Share ``E theta*'G theta*/(||theta*||^2 E tr G)``, times 6/v to 10/v, from random starts; d = 5, 10, 20.

    The bias alone, ``sqrt(d)/(2 Theta)``, would place the end of learning at sqrt(d), adiabaticity at d^(3/2): the
    boundary lies between, at Theta of order d.
    """
    return _sides(effort, lambda d: 0.2 * d, lambda d: 1.6 * d)


@learning_threshold.control("a boundary at Theta = d^(3/2)/2: not aligned yet at half of that")
def _(effort):
    return _sides(effort, lambda d: 0.25 * d**1.5, lambda d: 1.6 * d)


@learning_threshold.control("a boundary at Theta = sqrt(d)/2: aligned at twice that")
def _(effort):
    return _sides(effort, lambda d: 0.2 * d, math.sqrt)


def model(dimension, signal_ratio, drift):
    """The model of given d, Theta and ``v = (eta sigma)^2``, with one neuron."""
    noise = math.sqrt(drift) / STEP
    return theory.TwoLayerLinear(dimension, 1, STEP, noise, signal_ratio * STEP * noise**2)


def flattest_start(model):
    """The flattest interpolator in one neuron, ``(W, a)``."""
    alpha = model.target_norm / math.sqrt(model.dimension)
    return model.target[None] / math.sqrt(alpha), np.array([math.sqrt(alpha)])


@cache
def averages(model, replicas, begin, end, every):
    """Time averages of the observables of every run (R, observables), between times in units of 1/v."""
    times = np.arange(begin, end, every) / model.drift
    run = sgd.Descent(model, int(times[-1]), np.unique(times.astype(int)), start=flattest_start(model),
                       method="direct")
    return run.sample(SEED, 0, replicas)


def _last(effort, factor):
    cases = effort.choose(((5, 30.0, 1e-4, 256),),
                          ((5, 30.0, 2e-5, 512), (5, 45.0, 4e-5, 1024), (20, 150.0, 4e-5, 512)))
    return judges.every(**{f"d={d}, Theta={ratio:g}": _one_last(model(d, ratio, drift), replicas, factor)
                           for d, ratio, drift, replicas in cases})


def _one_last(case, replicas, factor):
    runs = averages(case, replicas, 4.0, 12.0, 0.02).mean(axis=1)
    d, end = case.dimension, last_state(case)
    spread = fluctuations(theory.flattest_kernel(case.target), case.effective_step, case.noise).covariance
    size = float(np.sqrt(np.trace(spread)))
    margin, ratio = end.least_ratio / end.signal_ratio, end.signal_ratio
    expected = {"bias": (1.0 - runs[:, OUTPUT] / case.target_norm, factor * (1.0 - end.output / case.target_norm)),
                "unaligned": (1.0 - runs[:, ALIGNED] / runs[:, NORM], (d - 1) / (2.0 * math.sqrt(d) * ratio)),
                "error": (runs[:, ERROR], size**2)}
    return judges.every(**{name: _near(values, goal, margin) for name, (values, goal) in expected.items()})


def _near(values, goal, margin):
    """Mean over runs within a relative margin of a goal; for a goal of 0 at all above 0 is too much."""
    mean, error = values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    return judges.inequality(abs(mean - goal), margin * abs(goal), stderr=error,
                             over=f"{mean:.4g} +- {error:.1g} for {goal:.4g}")


@cache
def aligned_share(effort, dimension, signal_ratio):
    """Stationary share along theta* of networks of 2 d neurons from random starts, and its standard error."""
    drift = effort.choose(4e-4, 5e-5) * 5.0 / dimension
    noise, root = math.sqrt(drift) / STEP, math.sqrt(dimension)
    unit = STEP * noise**2
    start = {"first_scale": math.sqrt(unit * (root * signal_ratio + dimension) / (2 * dimension)),
             "second_scale": math.sqrt(unit * (signal_ratio / root + 1.0))}
    case = theory.TwoLayerLinear(dimension, 2 * dimension, STEP, noise, signal_ratio * unit, **start)
    times = np.linspace(6.0, 10.0, 41) / drift
    runs = sgd.Descent(case, int(times[-1]), np.unique(times.astype(int)), method="direct").sample(
        SEED, 0, effort.choose(32, 128)).mean(axis=1)
    share = runs[:, ALIGNED].mean() / runs[:, NORM].mean()
    spread = (runs[:, ALIGNED] - share * runs[:, NORM]).std(ddof=1) / math.sqrt(len(runs))
    return float(share), float(spread / runs[:, NORM].mean())


def _sides(effort, below, above):
    dimensions = np.array([5, 10, 20])
    low, high = (np.array([aligned_share(effort, int(d), float(side(d))) for d in dimensions]).T
                 for side in (below, above))
    return judges.every(
        below=judges.inequality(low[0], 0.5, stderr=low[1], at={"d": dimensions}, over=f"shares {np.round(low[0], 3)}"),
        above=judges.inequality(0.75, high[0], stderr=high[1], at={"d": dimensions},
                                over=f"shares {np.round(high[0], 3)}"))
