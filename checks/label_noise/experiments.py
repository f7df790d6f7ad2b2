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
from ...theory.label_noise.fluctuations import fluctuations
from .. import judges
from ..claim import claim
from . import width_free
from .paper import LABEL_NOISE

SEED = 20_260_332
DIMENSION, WIDTH, SAMPLES, STEP, NOISE = 20, 1000, 200, 1e-3, 4.0
TARGETS = (math.sqrt(20.0), 1.0)
STEPS = 100_000
TIMES = np.array([1000, 5000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000])
ERROR, NORM, COSINE, OUTPUT = 1, 7, 8, 9
"""Places of ``||theta-theta*||^2`` and the neurons' means of ``||w_i||``, ``|cos|``, ``|<w_i, theta*>|/||theta*||``."""
MARGIN = 0.02
"""On mean norms (relative) and cosines (absolute).  The corrected flow neglects what goes with ``u = h sigma^2 =
0.016``: the kernel's drift while theta relaxes, ``u/lambda_min(M Sigma)``, 0.4 and 0.6% at the end, and what
fluctuations add to ``||W||^2``, ``d u/2``, 0.1%.  The rest is for the error bars."""
LATER = np.array([200_000, 400_000])
LATE_MARGIN = 0.04
"""At these times, at full effort and for the larger theta*: ``lambda_min(M)`` is 1 by then, and both terms add to 2.5%
for Gaussian inputs; the rest is set for those of the data."""
WINDOW = 50_000


@claim("two_phases", topic="label_noise", paper=LABEL_NOISE, where="Fig. 2", stance="derived",
       statement="mean |w_i|, |cos(w_i, theta*)| of SGD over 1e5 steps are the slow flow's, E[g^2 xx'] at finite step")
def two_phases(effort):
    """Norms within 2%, cosines within 0.02, at eight times, for two ||theta*||; at full effort 4% up to 4e5 steps.

    The smaller theta*, Theta = 62, is not followed further: it is not adiabatic enough, ``d^{3/2}/2`` is 45.
    """
    parts = {f"theta* = {target:.3g}": _followed(effort, target, "data") for target in TARGETS}
    return judges.every(**parts, **effort.choose(lambda: {}, lambda: {"later": _later(effort)})())


@two_phases.control("the bare slow flow: sigma^2 Sigma in place of E[g^2 x x']")
def _(effort):
    return _followed(effort, TARGETS[0], "none")


@two_phases.control("the flow of twice the noise variance")
def _(effort):
    return _followed(effort, TARGETS[0], "data", math.sqrt(2.0))


@claim("alignment_unfinished", topic="label_noise", paper=LABEL_NOISE, where="Fig. 2", stance="derived",
       statement="at those settings 1e5 steps are too few: mean |cos| <= 1/2 by SGD; 0.9 takes the slow flow over 4e5")
def alignment_unfinished(effort):
    """The clock of alignment is ``ln(m/(sqrt(d) ||theta*||))/v``, 2 to 5 times 1e5 steps of bare drift."""
    reached = [_run(effort, target) for target in TARGETS]
    flows = [_flow(target, "data", np.array([4 * STEPS])) for target in TARGETS]
    return judges.every(
        measured=judges.inequality([run.mean[-1, COSINE] for run in reached], 0.5,
                                   stderr=[run.stderr[-1, COSINE] for run in reached], resolution=0.02),
        flow=judges.inequality([np.mean(flow[1]) for flow in flows], 0.9, over="slow flow at 4e5 steps"))


@alignment_unfinished.control("sigma = 12, a clock nine times as fast")
def _(effort):
    run = _run(effort, TARGETS[0], 3.0 * NOISE)
    return judges.inequality(run.mean[-1, COSINE], 0.5, stderr=run.stderr[-1, COSINE], resolution=0.02)


@claim("unnormalised_alignment", topic="label_noise", paper=LABEL_NOISE, where="Fig. 2b", stance="amended",
       statement="mean |<w_i, theta*>| falls over the run while the cosine rises, unless sqrt(d)|theta*| > m/d")
def unnormalised_alignment(effort):
    """By more than a tenth, for three ||theta*||; for the two larger ones the cosine rises by a tenth."""
    runs = [_run(effort, target) for target in (*TARGETS, WIDTH**-0.25)]
    return judges.every(
        falls=judges.inequality([run.mean[-1, OUTPUT] for run in runs], [0.9 * run.mean[0, OUTPUT] for run in runs],
                                stderr=[run.stderr[-1, OUTPUT] for run in runs]),
        cosine=judges.inequality([1.1 * run.mean[0, COSINE] for run in runs[:2]],
                                 [run.mean[-1, COSINE] for run in runs[:2]],
                                 stderr=[run.stderr[-1, COSINE] for run in runs[:2]]))


@unnormalised_alignment.printed("the alignment |<w_i, theta*>| increases over the run")
def _(effort):
    run = _run(effort, TARGETS[0])
    return judges.inequality(run.mean[0, OUTPUT], run.mean[-1, OUTPUT], stderr=run.stderr[-1, OUTPUT])


@unnormalised_alignment.control("40 neurons, sqrt(d) ||theta*|| = 20 > m/d = 2: there it rises")
def _(effort):
    run = _run(effort, TARGETS[0], width=40)
    return judges.inequality(run.mean[-1, OUTPUT], 0.9 * run.mean[0, OUTPUT], stderr=run.stderr[-1, OUTPUT])


@claim("alignment_needs_noise", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4, Phase II; Lemma 5",
       stance="amended",
       statement="no phase starts at |w_i| <= sqrt(eta): theta is at theta* in 500 steps; alignment stops with noise")
def alignment_needs_noise(effort):
    """5e4 steps on, 5e4 off, 5e4 on.  From 2000 steps after the switch on, by when the loss is gone, the mean |cos|
    moves by less than 1% of what the noise adds afterwards.

    The off phase is 32 times Lemma 5's clock in steps, ``ln(1/eta)/(eta ||theta*||)`` = 1545.  Its starting point,
    neurons within sqrt(eta) of the origin, does not occur: their mean norm is larger at all times, and from step
    500 on theta only fluctuates about theta*, as LMS does at the kernel of the time, to a factor 1.5 (set).
    """
    run = _paused(effort, 0.0)
    inputs, start = data()
    state = slow_flow.path(readme(), [500], theory.gram(*start), inputs, "data").states[0]
    spread = np.trace(fluctuations(theory.kernel(state), readme().effective_step, NOISE, inputs=inputs).covariance)
    return judges.every(
        pause=_pause(effort, 0.0),
        norm=judges.inequality(math.sqrt(STEP), run.mean[:, NORM], stderr=run.stderr[:, NORM]),
        fitted=judges.inequality(run.mean[0, ERROR], 1.5 * spread, stderr=run.stderr[0, ERROR],
                                 over=f"|theta - theta*|^2 at step 500; LMS {spread:.4g}, |theta*|^2 = 20"))


@alignment_needs_noise.printed("the second phase starts when all neurons are within sqrt(eta) of the origin")
def _(effort):
    run = _paused(effort, 0.0)
    place = np.argmin(run.mean[:, NORM])
    return judges.inequality(run.mean[place, NORM], math.sqrt(STEP), stderr=run.stderr[place, NORM],
                             over="least mean norm in 1.5e5 steps")


@alignment_needs_noise.control("Lemma 5's end, |cos| >= 1 - sqrt(eta) ln(1/eta), after the steps without noise")
def _(effort):
    run = _paused(effort, 0.0)
    missing = 1.0 - run.mean[3, COSINE]
    return judges.inequality(missing, math.sqrt(STEP) * math.log(1 / STEP), stderr=run.stderr[3, COSINE],
                             over="1 - mean |cos| after 5e4 steps without noise")


@alignment_needs_noise.control("half the noise in place of none")
def _(effort):
    return _pause(effort, 0.5)


def readme(target=TARGETS[0], noise=NOISE, width=WIDTH):
    """The model of the experiment."""
    return width_free.readme(noise, target, width)


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
    times = [500, WINDOW, WINDOW + 2000, 2 * WINDOW, 3 * WINDOW]
    return sgd.simulate(readme(), 3 * WINDOW, replicas=effort.choose(32, 256), seed=SEED, times=times, noise=noise,
                        inputs=inputs, start=start, neurons=True, **effort.engine)


def _pause(effort, level):
    run = _paused(effort, level)
    begun, ended, after = run.mean[2:, COSINE]
    # at most: the first two share their path, without noise to the last digits, and then leave no error between them
    error = 0.01 * (run.stderr[3, COSINE] + run.stderr[4, COSINE])
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


def _later(effort):
    """The longer runs of full effort."""
    inputs, start = data()
    run = sgd.simulate(readme(), int(LATER[-1]), replicas=64, seed=SEED + 1, times=LATER, inputs=inputs, start=start,
                       neurons=True, **effort.engine)
    norms, cosines = _flow(TARGETS[0], "data", LATER)
    return judges.every(
        norm=judges.inequality(np.abs(run.mean[:, NORM] / norms - 1.0), LATE_MARGIN, stderr=run.stderr[:, NORM] / norms,
                               at={"t": LATER}),
        cosine=judges.inequality(np.abs(run.mean[:, COSINE] - cosines), LATE_MARGIN, stderr=run.stderr[:, COSINE],
                                 at={"t": LATER}))
