"""Claims about the fast fluctuations: how large they are, and at which step they stop being stable.

Noise so small that the kernel stands still (its slow clock is ``1/(h sigma)^2``) isolates them: runs start at an
interpolator with sigma = 1e-6, where the kernel moves by ``(h sigma)^2`` times the number of steps, below 1e-10.
"""

import math
from functools import cache

import numpy as np
from scipy import stats

from ...sims import engine
from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from ...theory.label_noise import second_moment, slow_flow
from ...theory.label_noise.fluctuations import fluctuations
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE
from .width_free import readme

SEED = 20_260_312
SMALL = 1e-6
RESOLUTION = 0.06
"""Relative deviation of the variance of the output that the runs must show."""
STEPS_OF_DESCENT = (8e-3, 4e-3, 2e-3)
WINDOW = (3000, 4000)
EDGE_TIMES = [5, 15, 40]


@claim("misadjustment", topic="label_noise", paper=LABEL_NOISE, where="Sec. 3", stance="derived",
       statement="E g^2/sigma^2 = 1/(1-Q), Q = sum_j eta l_j/(2-2 eta l_j), l_j eigenvalues of M = W'W + |a|^2 I")
def misadjustment(effort):
    """Fresh Gaussian inputs, d = 5, m = 50, at rest."""
    return _gaussian(effort, lambda kernel, step: fluctuations(kernel, step, SMALL).misadjustment)


@misadjustment.control("to leading order, E r^2 = (eta sigma^2/2) tr M")
def _(effort):
    return _gaussian(effort, lambda kernel, step: 0.5 * step * np.trace(kernel))


@misadjustment.control("Q = sum_j eta l_j/(2 - eta l_j), half of the inputs' fourth moment")
def _(effort):
    def flat(kernel, step):
        q = np.sum(step * np.linalg.eigvalsh(kernel) / (2 - step * np.linalg.eigvalsh(kernel)))
        return q / (1 - q)
    return _gaussian(effort, flat)


@claim("misadjustment_on_data", topic="label_noise", paper=LABEL_NOISE, where="Sec. 3, Fig. 2", stance="derived",
       statement="n = 200 fixed inputs: E g^2/sigma^2 of the fourth-moment system of the data, and 1.8 at the README's")
def misadjustment_on_data(effort):
    """m = 1000, d = 20, eta = 1e-3.  At rest exactly; and at sigma = 4 in steps 3000 to 4000 along the slow flow.

    The second part neglects terms of relative order h ||M|| times the drift of the kernel within its memory of 1/(h M)
    steps, ``v/(h M)^2``, below 1%, to which it is held.
    """
    return judges.every(rest=_data(effort, lambda kernel, inputs: fluctuations(kernel, readme().step, SMALL,
                                                                                inputs=inputs).misadjustment),
                        window=_window(effort, "data"))


@misadjustment_on_data.control("the Gaussian formula for the fixed inputs")
def _(effort):
    return _data(effort, lambda kernel, inputs: fluctuations(kernel, readme().step, SMALL).misadjustment)


@misadjustment_on_data.control("the kernel of the start for the window")
def _(effort):
    return _window(effort, None)


@claim("stability_edge", topic="label_noise", paper=LABEL_NOISE, where="Sec. 3", stance="derived",
       statement="E|theta-theta*|^2 follows the recursion whose radius crosses 1 at the critical step, 1.8e-3 here")
def stability_edge(effort):
    """m = 1000, d = 20, n = 200: runs at 0.9 and 1.05 of the critical step (catapult experiments), then the radius."""
    return judges.every(moments=_moments(effort, True), edge=_edge(True))


@stability_edge.control("the edge of gradient descent, h < 2/l_1(M Sigma)")
def _(effort):
    return _edge(False)


@stability_edge.control("the moments of Gaussian inputs")
def _(effort):
    return _moments(effort, False)


@claim("catapult", topic="label_noise", paper=LABEL_NOISE, where="Sec. 3, Fig. 2", stance="derived",
       statement="eta = 2e-3 > 1.8e-3 at the README's sizes: the loss soars, |W|^2 falls 5 times faster than v")
def catapult(effort):
    """A catapult experiment, named so; runs that leave the finite numbers soar, and do not count as fallen."""
    return _catapult(effort, 2e-3)


@catapult.control("eta = 1e-3, within mean-square stability")
def _(effort):
    return _catapult(effort, 1e-3)


@cache
def interpolator(dimension, width):
    """A drawn start moved to ``W'a = theta*`` by the least change of W, ``||theta*|| = 1``: ``(W, a)``."""
    model = theory.TwoLayerLinear(dimension, width, 1e-9, 0.0, 1.0)
    _, _, (first, second) = sgd.draws(sgd.Descent(model, 1), SEED)
    return first + np.outer(second, model.target - first.T @ second) / (second @ second), second


def few_neurons(first, second):
    """A network of d + 1 neurons with the same ``K``, hence, by the width-free recursion, with the same path of it."""
    rows = np.linalg.cholesky(theory.gram(first, second)).T
    return rows[:, :-1], rows[:, -1]


@cache
def training_inputs():
    """200 inputs in 20 dimensions."""
    return sgd.draws(sgd.Descent(theory.TwoLayerLinear(20, 1, 1e-9, 0.0, 1.0), 200), SEED)[0]


def _gaussian(effort, predicted):
    first, second = interpolator(5, 50)
    kernel = theory.kernel(theory.gram(first, second))
    parts = {}
    for step in STEPS_OF_DESCENT:
        parts[f"eta = {step:g}"] = judges.monte_carlo(
            _column(_at_rest(effort, step), 1, SMALL**2), predicted(kernel, step), resolution=RESOLUTION)
    return judges.every(**parts)


@cache
def _at_rest(effort, step):
    """Runs from an interpolator, recorded when 25 times of the slowest mode have passed."""
    first, second = interpolator(5, 50)
    slowest = np.linalg.eigvalsh(theory.kernel(theory.gram(first, second)))[0]
    steps = math.ceil(25 / (step * slowest))
    return sgd.simulate(theory.TwoLayerLinear(5, 50, step, SMALL, 1.0), steps, replicas=effort.choose(2**13, 2**17),
                        seed=SEED, times=[steps], start=(first, second), **effort.engine)


def _column(estimate, place, scale):
    """One observable of an estimate over a scale, as the judge takes it."""
    return judges.Sample(estimate.mean[:, place] / scale, estimate.stderr[:, place] / scale, estimate.replicas,
                         estimate.skewness[:, place])


def _data(effort, predicted):
    first, second = interpolator(20, 1000)
    runs = _at_rest_on_data(effort)
    kernel = theory.kernel(theory.gram(first, second))
    return judges.monte_carlo(_column(runs, 0, 0.5 * SMALL**2), predicted(kernel, training_inputs()),
                              resolution=RESOLUTION)


@cache
def _at_rest_on_data(effort):
    model = theory.TwoLayerLinear(20, 21, readme().step, SMALL, 1.0, samples=200)
    return sgd.simulate(model, 800, replicas=effort.choose(2**14, 2**18), seed=SEED, times=[800],
                        inputs=training_inputs(), start=few_neurons(*interpolator(20, 1000)), **effort.engine)


def _window(effort, corrected):
    """Mean of E g^2/sigma^2 over a window at sigma = 4, against that at the kernels of the slow flow (or the first)."""
    model, times = readme(), np.arange(WINDOW[0], WINDOW[1] + 1, 4)
    start = interpolator(20, 1000)
    runs = sgd.Descent(theory.TwoLayerLinear(20, 21, model.step, model.noise, 1.0, samples=200), WINDOW[1], times,
                       inputs=training_inputs(), start=few_neurons(*start))
    loss = runs.sample(SEED, 0, effort.choose(256, 4096))[:, :, 0].mean(axis=1)
    state = theory.gram(*start)
    if corrected is None:
        states = [state]
    else:
        states = slow_flow.path(model, np.linspace(*WINDOW, 5), state, training_inputs(), corrected, relax=False).states
    expected = np.mean([fluctuations(theory.kernel(each), model.step, model.noise,
                                     inputs=training_inputs()).misadjustment for each in states])
    measured, error = 2 * loss.mean() / model.noise**2, 2 * loss.std(ddof=1) / model.noise**2 / math.sqrt(len(loss))
    return judges.inequality(abs((1 + measured) / (1 + expected) - 1), 0.01, stderr=error / (1 + expected),
                             over=f"E g^2/sigma^2 {1 + measured:.4f} +- {error:.2g}, predicted {1 + expected:.4f}")


def _moments(effort, data):
    kernel, inputs = theory.kernel(theory.gram(*interpolator(20, 1000))), training_inputs()
    parts = {}
    for factor in (0.9, 1.05):
        step, runs = _near_the_edge(effort, factor)
        expected = second_moment.error_path(kernel, step, 1.0, EDGE_TIMES, inputs if data else None)
        parts[f"{factor:g} of the edge"] = judges.monte_carlo(_column(runs, 1, SMALL**2), expected,
                                                              resolution=effort.choose(0.1, 0.04), at={"t": EDGE_TIMES})
    return judges.every(**parts)


@cache
def _near_the_edge(effort, factor):
    first, second = interpolator(20, 1000)
    step = factor * theory.critical_step(theory.kernel(theory.gram(first, second)), training_inputs())
    model = theory.TwoLayerLinear(20, 21, step, SMALL, 1.0, samples=200)
    return step, sgd.simulate(model, EDGE_TIMES[-1], replicas=effort.choose(2**15, 2**19), seed=SEED, times=EDGE_TIMES,
                              inputs=training_inputs(), start=few_neurons(first, second), catapult=True,
                              **effort.engine)


def _edge(sampling):
    """The radius on a grid of steps that brackets the critical one to half a per cent."""
    first, second = interpolator(20, 1000)
    kernel, inputs = theory.kernel(theory.gram(first, second)), training_inputs()
    critical = theory.critical_step(kernel, inputs)
    factors = np.array([0.5, 0.9, 0.9975, 1.0025, 1.1, 1.5])
    growths = [second_moment.growth(kernel, factor * critical, inputs, sampling) - 1 for factor in factors]
    return judges.sign_change(factors, growths, 1.0, width=0.01, over=f"critical step {critical:.5g}")


def _catapult(effort, step):
    """In most runs the loss passes 100 times its first value, and in 500 steps ``||W||^2`` falls by 5 v t or more."""
    model = theory.TwoLayerLinear(20, 1000, step, 4.0, 1.0, samples=200)
    experiment = sgd.Descent(model, 500, np.arange(0, 501, 10), catapult=True)
    soars, falls, lost, replicas = 0, 0, 0, effort.choose(64, 1024)
    for replica in range(replicas):
        try:
            run = experiment.sample(SEED, replica, 1)[0]
        except engine.Diverged:
            soars, lost = soars + 1, lost + 1
        else:
            soars += run[:, 0].max() > 100 * run[0, 0]
            falls += run[-1, 3] <= math.exp(-5 * 500 * model.drift) * run[0, 3]
    over = f"of {replicas} runs; {lost} diverged"
    return judges.every(soars=_most(soars, replicas, f"{soars} {over}"),
                        falls=_most(falls, replicas, f"{falls} {over}"))


def _most(count, total, over):
    """More than half, by the exact lower bound of a binomial share at level 1e-6."""
    return judges.inequality(0.5, stats.beta.ppf(1e-6, count, total - count + 1) if count else 0.0, over=over)
