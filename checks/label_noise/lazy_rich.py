"""Claims about the experiment of Fig. 3, with the model that it leaves out: the linearisation under the same noise.

The figure's labels are resampled among all classes, which shifts their mean; the noise of the theorems has mean zero.
Synthetic inputs (64 of dimension 3072) in place of images, a network of erf neurons in place of the convolutional one.
"""

from functools import cache

import numpy as np

from ...sims.label_noise.lazy_rich import LazyRich, simulate_lazy_rich
from ...theory.label_noise import linearised
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

SEED = 20_260_331
PROBABILITY = 0.5
SHARE = 0.05
"""Of the gap, that nonlinearity may make: set as a tenth of what the printed reading (most of the gap) asks for."""


@claim("lazy_rich_control", topic="label_noise", paper=LABEL_NOISE, where="Fig. 3", stance="amended",
       statement="the loss that the noise adds over the clean linearised run is the linearised run's with noise")
def lazy_rich_control(effort):
    """Of the gap, at most 5% is nonlinearity, on the same noise; the kernel changes by less than 1/5.

    No neuron moves by more than 1/sqrt(m) either, which is Definition 1 of lazy; but 16 neurons stay within that too,
    where the kernel changes by more than half and nonlinearity outweighs the gap: it does not tell the two apart.
    """
    return _lazy(effort)


@lazy_rich_control.printed("the gap to the clean linearised run shows the noise driving the network out of the lazy "
                           "regime: most of the gap is nonlinearity")
def _(effort):
    late = shares(effort)[0]
    return judges.inequality(0.5, late, over="share of the gap that nonlinearity makes")


@lazy_rich_control.control("16 neurons: lazy by Definition 1, but with a kernel that changes by more than half")
def _(effort):
    return _lazy(effort, 16)


@claim("smoothed_label_floor", topic="label_noise", paper=LABEL_NOISE, where="Fig. 3", stance="derived",
       statement="linearised, labels resampled w.p. p: E loss in closed form, to p^2 ((1-1/C)^2 + (C-1)/C^2)/(2C)")
def smoothed_label_floor(effort):
    """The whole curve of the linearised network; and the erf network loses its plateau with the mean of the noise."""
    runs, expected = _linear_runs(effort, True)
    plateau, centred = _plateaus(effort)
    return judges.every(
        curve=judges.monte_carlo(runs, expected, resolution=0.1),
        centred=judges.inequality(centred, 0.1 * plateau, over="last loss with the mean of the noise taken off"))


@smoothed_label_floor.control("noise of mean zero: no floor")
def _(effort):
    runs, expected = _linear_runs(effort, False)
    return judges.monte_carlo(runs, expected, resolution=0.1)


@smoothed_label_floor.control("labels resampled among the other classes only, p C/(C-1) in place of p")
def _(effort):
    runs, expected = _linear_runs(effort, True, 10 / 9)
    return judges.monte_carlo(runs, expected, resolution=0.1)


@cache
def experiment(effort, width=None, probability=PROBABILITY, linear=False, centred=False):
    """One path: the losses and, over steps, the largest displacement; width None is the claim's."""
    width = width or effort.choose(256, 512)
    run = LazyRich(effort.choose(2000, 10_000), probability, width=width, linearised=linear, centred=centred)
    return run, run.sample(SEED, 0, 1)[0]


def shares(effort, width=None):
    """Share of nonlinearity in the gap from a quarter of the run on; largest displacement in units of 1/sqrt(m);
    largest relative change of the tangent kernel."""
    run, noisy = experiment(effort, width)
    linear, clean = (experiment(effort, width, p, True)[1] for p in (PROBABILITY, 0.0))
    late = run.times >= run.steps // 4
    share = np.abs(noisy - linear)[late, 0] / np.abs(noisy - clean)[late, 0]
    return share, noisy[:, 2].max() * run.width**0.5, noisy[:, 1].max()


def _lazy(effort, width=None):
    late, moved, changed = shares(effort, width)
    return judges.every(gap=judges.inequality(late, SHARE, over="share of the gap that nonlinearity makes"),
                        kernel=judges.inequality(changed, 0.2, over="largest change of the tangent kernel"),
                        neurons=judges.inequality(moved, 1.0, over="largest displacement times sqrt(m)"))


def _plateaus(effort):
    return experiment(effort)[1][-1, 0], experiment(effort, centred=True)[1][-1, 0]


def _linear_runs(effort, shift, factor=1.0):
    runs, start, run = _runs(effort)
    expected = linearised.expected_loss(start.tangent_kernel, start.outputs, run.labels, run.rate,
                                        factor * PROBABILITY, run.times[1:], shift)
    return runs, expected


@cache
def _runs(effort):
    """Replicas of the linearised network after step 0, its start and its experiment."""
    steps, width, samples = effort.choose((1000, 64, 20), (10_000, 512, 64))
    times = np.unique(np.linspace(0, steps, 7).round().astype(int))
    settings = {"width": width, "samples": samples, "linearised": True}
    run = LazyRich(steps, PROBABILITY, times=times, **settings)
    runs = simulate_lazy_rich(steps, PROBABILITY, replicas=60, seed=SEED, times=times,
                              jobs=effort.jobs, **settings)
    losses = judges.Sample(runs.mean[1:, 0], runs.stderr[1:, 0], runs.replicas, runs.skewness[1:, 0])
    return losses, run.start(SEED), run
