"""Claims about the synthetic experiment: n = 200, m = 1000, d = 20, eta = 1e-3, sigma = 4 (Fig. 2, the code's README).

||theta*|| and the factor in the loss are not printed; here c = 1/2, and ||theta*|| is sqrt(20), 1 or ``m^{-1/4}``, the
largest that Condition 1 admits.  One training set and one start; replicas are paths of the noise.
"""

import math
from functools import cache

import numpy as np

from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from ...theory.label_noise import diagnostics, slow_flow
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

SEED = 20_260_332
DIMENSION, WIDTH, SAMPLES, STEP, NOISE = 20, 1000, 200, 1e-3, 4.0
TARGETS = (math.sqrt(20.0), 1.0)
STEPS = 100_000
TIMES = np.array([1000, 5000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000])
NORM, COSINE, OUTPUT = 7, 8, 9
"""Places of the means over neurons of ``||w_i||``, ``|cos|`` and ``|<w_i, theta*>|/||theta*||``."""
MARGIN = 0.02
"""On mean norms (relative) and cosines (absolute): what the corrected flow neglects is of order (h ||M||)^2, 0.3% at
the start, and the norms that the fluctuations add, ``(d-1) u/2`` to ``||W||^2``, 0.2 to 2%."""
WINDOW = 50_000


@claim("two_phases", topic="label_noise", paper=LABEL_NOISE, where="Fig. 2", stance="derived",
       statement="mean |w_i|, |cos(w_i, theta*)| of SGD over 1e5 steps are the slow flow's, E[g^2 xx'] at finite step")
def two_phases(effort):
    """Norms within 2%, cosines within 0.02, at eight times, for two ||theta*||."""
    return judges.every(**{f"theta* = {target:.3g}": _followed(effort, target, "data") for target in TARGETS})


@two_phases.control("the bare slow flow: sigma^2 Sigma in place of E[g^2 x x']")
def _(effort):
    return _followed(effort, TARGETS[0], "none")


@two_phases.control("the flow of twice the noise variance")
def _(effort):
    return _followed(effort, TARGETS[0], "data", math.sqrt(2.0))


@claim("alignment_unfinished", topic="label_noise", paper=LABEL_NOISE, where="Fig. 2", stance="derived",
       statement="at those settings 1e5 steps are too few: mean |cos| <= 0.32 by SGD; 0.9 takes the slow flow over 4e5")
def alignment_unfinished(effort):
    """The clock of alignment is ``ln(m/(sqrt(d) ||theta*||))/v``, 2 to 5 times 1e5 steps of bare drift."""
    reached = [_run(effort, target) for target in TARGETS]
    flows = [_flow(target, "data", np.array([4 * STEPS])) for target in TARGETS]
    return judges.every(
        measured=judges.inequality([run.mean[-1, COSINE] for run in reached], 0.32,
                                   stderr=[run.stderr[-1, COSINE] for run in reached], resolution=0.02),
        flow=judges.inequality([np.mean(flow[1]) for flow in flows], 0.9, over="slow flow at 4e5 steps"))


@alignment_unfinished.control("sigma = 12, a clock nine times as fast")
def _(effort):
    run = _run(effort, TARGETS[0], 3.0 * NOISE)
    return judges.inequality(run.mean[-1, COSINE], 0.32, stderr=run.stderr[-1, COSINE], resolution=0.02)


@claim("unnormalised_alignment", topic="label_noise", paper=LABEL_NOISE, where="Fig. 2b", stance="amended",
       statement="mean |<w_i, theta*>| falls over the run while the cosine rises, unless sqrt(d)|theta*| > m/d")
def unnormalised_alignment(effort):
    """By more than a tenth, for three ||theta*||; for the two larger ones the cosine rises by a tenth."""
    runs = [_run(effort, target) for target in (*TARGETS, WIDTH**-0.25)]
    return judges.every(
        falls=_lower([run.mean[-1, OUTPUT] for run in runs], [0.9 * run.mean[0, OUTPUT] for run in runs],
                     [run.stderr[-1, OUTPUT] for run in runs]),
        cosine=_lower([1.1 * run.mean[0, COSINE] for run in runs[:2]], [run.mean[-1, COSINE] for run in runs[:2]],
                      [run.stderr[-1, COSINE] for run in runs[:2]]))


@unnormalised_alignment.printed("the alignment |<w_i, theta*>| increases over the run")
def _(effort):
    run = _run(effort, TARGETS[0])
    return _lower(run.mean[0, OUTPUT], run.mean[-1, OUTPUT], run.stderr[-1, OUTPUT])


@unnormalised_alignment.control("40 neurons, sqrt(d) ||theta*|| = 20 > m/d = 2: there it rises")
def _(effort):
    run = _run(effort, TARGETS[0], width=40)
    return _lower(run.mean[-1, OUTPUT], 0.9 * run.mean[0, OUTPUT], run.stderr[-1, OUTPUT])


@claim("alignment_needs_noise", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4, Phase II; Lemma 5",
       stance="amended", statement="alignment in the second phase is the noise's work: it stops when the noise does")
def alignment_needs_noise(effort):
    """5e4 steps on, 5e4 off, 5e4 on.  From 2000 steps after the switch on, by when the loss is gone, the mean |cos|
    moves by less than 1% of what the noise adds afterwards.

    The off phase is 32 times Lemma 5's clock in steps, ``ln(1/eta)/(eta ||theta*||)`` = 1545.  Its starting point,
    neurons within sqrt(eta) of the origin, does not occur here: theta is at theta* from a few hundred steps on.
    """
    return _pause(effort, 0.0)


@alignment_needs_noise.printed("the second phase as noiseless descent (Lemma 5): |cos| >= 1 - sqrt(eta) ln(1/eta) "
                               "after ln(1/eta)/(eta |theta*|) steps without noise")
def _(effort):
    run = _paused(effort, 0.0)
    missing = 1.0 - run.mean[2, COSINE]
    return judges.inequality(missing, math.sqrt(STEP) * math.log(1 / STEP), stderr=run.stderr[2, COSINE],
                             over="1 - mean |cos| after 5e4 steps without noise")


@alignment_needs_noise.control("half the noise in place of none")
def _(effort):
    return _pause(effort, 0.5)


def readme(target=TARGETS[0], noise=NOISE, width=WIDTH):
    """The model of the experiment."""
    return theory.TwoLayerLinear(DIMENSION, width, STEP, noise, target, samples=SAMPLES)


@cache
def data(width=WIDTH):
    """Its training set (n, d) and its start ``(W, a)``, the same for all targets and noises."""
    inputs = sgd.draws(sgd.Descent(theory.TwoLayerLinear(DIMENSION, 1, 1e-9, 0.0, 1.0), SAMPLES), SEED)[0]
    start = sgd.draws(sgd.Descent(theory.TwoLayerLinear(DIMENSION, width, 1e-9, 0.0, 1.0), 1), SEED)[2]
    return inputs, start


@cache
def _run(effort, target, noise=NOISE, width=WIDTH):
    inputs, start = data(width)
    return sgd.simulate(readme(target, noise, width), STEPS, replicas=effort.choose(32, 256), seed=SEED,
                        times=np.concatenate([[0], TIMES]), inputs=inputs, start=start, neurons=True, **effort.engine)


@cache
def _paused(effort, level):
    inputs, start = data()
    noise = np.repeat([1.0, level, 1.0], WINDOW)
    times = [WINDOW, WINDOW + 2000, 2 * WINDOW, 3 * WINDOW]
    return sgd.simulate(readme(), 3 * WINDOW, replicas=effort.choose(32, 256), seed=SEED, times=times, noise=noise,
                        inputs=inputs, start=start, neurons=True, **effort.engine)


def _pause(effort, level):
    run = _paused(effort, level)
    _, begun, ended, after = run.mean[:, COSINE]
    # at most: the first two share their path, without noise to the last digits, and then leave no error between them
    error = 0.01 * (run.stderr[2, COSINE] + run.stderr[3, COSINE])
    return judges.inequality(abs(ended - begun), 0.01 * (after - ended), stderr=error,
                             over=f"mean |cos| {begun:.6f} to {ended:.6f} while off, then {after:.4f}")


def _flow(target, corrected, times, factor=1.0):
    """Mean norms (T,) and mean |cos| (T,) of the slow flow."""
    inputs, start = data()
    path = slow_flow.path(readme(target, factor * NOISE), times, theory.gram(*start), inputs, corrected)
    first = path.neurons(*start)[..., :-1]
    return diagnostics.norms(first).mean(axis=-1), diagnostics.cosines(first, readme(target).target).mean(axis=-1)


def _followed(effort, target, corrected, factor=1.0):
    run = _run(effort, target)
    norms, cosines = _flow(target, corrected, TIMES, factor)
    return judges.every(
        norm=judges.inequality(np.abs(run.mean[1:, NORM] / norms - 1.0), MARGIN, stderr=run.stderr[1:, NORM] / norms,
                               at={"t": TIMES}, over=f"last {run.mean[-1, NORM]:.4f} for {norms[-1]:.4f}"),
        cosine=judges.inequality(np.abs(run.mean[1:, COSINE] - cosines), MARGIN, stderr=run.stderr[1:, COSINE],
                                 at={"t": TIMES}, over=f"last {run.mean[-1, COSINE]:.4f} for {cosines[-1]:.4f}"))


def _lower(small, large, stderr):
    return judges.inequality(small, large, stderr=stderr)
