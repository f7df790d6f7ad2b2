"""Claims about the slow dynamics: label-noise SGD against the slow flow, in phases of noise and on batches.

The slow flow (Blanc et al. 2020, Damian et al. 2021, Li et al. 2022) is explicit in this model; its bare form neglects
terms of relative order h ||M||.  With the excitation at finite step, exact for a kernel at rest, what is left goes with
the noise, ``u = h sigma^2``: the kernel drifts by ``u/lambda_min(M)`` of itself while theta relaxes, and fluctuations
add ``d u/2`` to ``||W||^2``.  Runs on fresh Gaussian inputs, d = 5, m = 50, ||theta*|| = 1, from one start, over T =
2/v steps, v = (h sigma)^2.
"""

import math
from functools import cache

import numpy as np

from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from ...theory.label_noise import slow_flow
from ...theory.label_noise.fluctuations import fluctuations, second_layer_variance
from .. import judges
from ..claim import claim
from .misadjustment import few_neurons
from .paper import LABEL_NOISE
from .width_free import readme

SEED = 20_260_313
DIMENSION, WIDTH = 5, 50
STEPS_OF_DESCENT = {8e-3: 512, 5.6e-3: 256, 4e-3: 128, 2.8e-3: 96}
"""Step sizes and replicas at quick effort, sigma = 1; smaller steps fluctuate less."""
FULL = {8e-3: 256, 4e-3: 128, 2e-3: 64, 1e-3: 32}
"""At full effort, sigma = 1/2, over 4/v at 40 times."""
MARGIN = 0.02
"""On ``||W||^2``, relative: at quick effort, the largest step and the end, ``u (1/lambda_min(M) + d/(2 ||W||^2))`` =
0.010 is neglected (u = 8e-3, ``lambda_min`` = 1.1, ``||W||^2`` = 7); the rest is for the error bars."""
QUIET = (1.6e-2, 0.3)
"""Step and noise with h ||M|| = 0.24 but u = 1.4e-3: 0.2% of that is neglected, 1% is allowed for the error bars."""
SPAN, MOMENTS = 2.0, 20
"""At quick effort, and for all of SAM."""
WINDOW, WINDOWS = 5000, 10


@claim("slow_flow_measured", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4, Phase I", stance="derived",
       statement="|W|^2 of SGD follows the slow flow with E[g^2 x x'] at the current kernel within 2%, over times 2/v")
def slow_flow_measured(effort):
    """Four step sizes, 20 times; and a step twice as large with little noise, within 1%."""
    return judges.every(**{f"eta = {step:g}": _followed(effort, step) for step in _steps(effort)},
                        quiet=_quiet(effort))


@slow_flow_measured.control("a drift twice too large, v in place of v/2")
def _(effort):
    return judges.every(**{f"eta = {step:g}": _followed(effort, step, faster=2.0) for step in list(_steps(effort))[2:]})


@slow_flow_measured.control("little noise, h ||M|| = 0.24: a drift too large by (h ||M||)^2 = 6%")
def _(effort):
    return _quiet(effort, 1.06)


@slow_flow_measured.control("sigma^2 Sigma in place of E[g^2 x x'], at the smallest step")
def _(effort):
    return _followed(effort, min(_steps(effort)), "none")


@claim("slow_flow_order", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4, Phase I", stance="derived",
       statement="the bare slow flow, v = (eta sigma)^2, misses ln|W|^2 by a first-order term in eta")
def slow_flow_order(effort):
    """Mean of ln(flow/run) over times from v t = 0.6 on, where it does not depend on how the run began; all positive.

    The margin on the exponent, 0.15, is set: it is h ||M|| at the largest step, the relative size of the next order.
    """
    return _order(effort, "none")


@slow_flow_order.control("sigma^2 too small by 6%, which leaves a term of order zero")
def _(effort):
    return _order(effort, "none", 0.94)


@slow_flow_order.control("sigma^2 too small by a fifth")
def _(effort):
    return _order(effort, "none", 0.8)


@claim("periodic_noise", topic="label_noise", paper=LABEL_NOISE, where="Sec. 5, alternating noise", stance="derived",
       statement="|W|^2 falls only while the noise is on, as the slow flow says within 3%, and 50 times less off")
def periodic_noise(effort):
    """n = 200, m = 1000, d = 20, eta = 1e-3, sigma = 4; 5000 steps on, 5000 off, ten times each.

    The slow flow runs while the noise is on.  The margin of 3% is set: theta follows the kernel adiabatically only for
    ``Theta = ||theta*||/(eta sigma^2)`` well above ``d^(3/2)/2``, and here it is 62 against 45.
    """
    return _windows(effort, WINDOW)


@periodic_noise.control("noise that is never switched off")
def _(effort):
    return _windows(effort, 2 * WINDOW * WINDOWS)


@periodic_noise.control("the bare rate: ln|W|^2 falls by v times the steps on")
def _(effort):
    measured, error, _ = _falls(effort, WINDOW)
    return _close(measured[0::2], error[0::2], readme().drift * WINDOW * np.ones(WINDOWS), "windows on")


@claim("second_layer_oscillation", topic="label_noise", paper=LABEL_NOISE, where="Sec. 5, alternating noise",
       stance="derived",
       statement="while the noise is on, a_i oscillates with variance w_i'M^(-1) S M^(-1) w_i; off it does not move")
def second_layer_oscillation(effort):
    """Mean over neurons of the variance of a_i in time, in the last half of a phase of 5000 steps.

    The kernel moves by 8% on the way, and theta decorrelates within 1/(h M) = 20 of the 2500 steps: 10% is asked for.
    """
    return _oscillation(effort, 1.0)


@second_layer_oscillation.control("twice the variance")
def _(effort):
    return _oscillation(effort, 2.0)


@claim("batch_noise", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="batches of B: label noise drives |W|^2 at sigma^2/B, full batches with fresh labels at sigma^2/n")
def batch_noise(effort):
    """One clock: runs of B = 1, 4, 16 and full batches of n = 50, sigma^2 in proportion, end at one ``||W||^2``.

    The bare slow flow but for B = 1; 5% leaves room for its first-order error and for the error bars.
    """
    return _batches(effort, lambda labels: labels)


@batch_noise.control("sigma^2 whatever the batch")
def _(effort):
    return _batches(effort, lambda labels: 1)


@batch_noise.control("sigma^2/sqrt(B)")
def _(effort):
    return _batches(effort, math.sqrt)


@cache
def start():
    """The one start of these runs, ``(W, a)``."""
    return sgd.draws(sgd.Descent(theory.TwoLayerLinear(DIMENSION, WIDTH, 1e-9, 0.0, 1.0), 1), 7)[2]


def _steps(effort):
    return effort.choose(STEPS_OF_DESCENT, FULL)


@cache
def run(effort, step):
    """Runs at one step size over T = 2/v (4/v at full effort): the times and the estimate."""
    model = theory.TwoLayerLinear(DIMENSION, WIDTH, step, effort.choose(1.0, 0.5), 1.0)
    times = np.round(np.linspace(0.0, effort.choose(1, 2) * SPAN / model.drift,
                                 effort.choose(1, 2) * MOMENTS + 1)).astype(int)[1:]
    # independent noise at every step size: the fit of the order takes the points for independent
    seed = SEED + list(_steps(effort)).index(step)
    return times, sgd.simulate(model, int(times[-1]), replicas=_steps(effort)[step], seed=seed, times=times,
                               start=start(), **effort.engine)


def flow(effort, step, corrected, faster=1.0):
    """``||W||^2`` of the slow flow at the times of :func:`run`, or at ``faster`` times these."""
    model = theory.TwoLayerLinear(DIMENSION, WIDTH, step, effort.choose(1.0, 0.5), 1.0)
    return slow_flow.path(model, faster * run(effort, step)[0], theory.gram(*start()), corrected=corrected).first_norm


def _followed(effort, step, corrected="gaussian", faster=1.0):
    _, runs = run(effort, step)
    expected = flow(effort, step, corrected, faster)
    return _close(runs.mean[:, 3], runs.stderr[:, 3], expected, "norms", MARGIN)


@cache
def _quiet_run(effort):
    step, noise = QUIET
    model = theory.TwoLayerLinear(DIMENSION, WIDTH, step, noise, 1.0)
    times = np.round(np.linspace(0.0, SPAN / model.drift, 6)).astype(int)[1:]
    return model, times, sgd.simulate(model, int(times[-1]), replicas=effort.choose(64, 512), seed=SEED + 50,
                                      times=times, start=start(), **effort.engine)


def _quiet(effort, faster=1.0):
    model, times, runs = _quiet_run(effort)
    expected = slow_flow.path(model, faster * times, theory.gram(*start())).first_norm
    return _close(runs.mean[:, 3], runs.stderr[:, 3], expected, "norms", 0.01)


def _close(measured, error, expected, what, margin=0.03):
    """Within the margin of what is expected, everywhere, beyond the error bars."""
    deviation = measured / expected - 1.0
    worst = np.argmax(np.abs(deviation))
    return judges.inequality(np.abs(deviation), margin, stderr=error / np.abs(expected),
                             over=f"{what}: {measured[worst]:.5g} for {expected[worst]:.5g}")


def _order(effort, corrected, faster=1.0):
    gaps, errors = [], []
    for step in _steps(effort):
        late = run(effort, step)[0] * (effort.choose(1.0, 0.5) * step) ** 2 > 0.55
        _, runs = run(effort, step)
        gaps.append(np.mean(np.log(flow(effort, step, corrected, faster) / runs.mean[:, 3])[late]))
        # times of one path are correlated: the error of their mean is at most the mean of their errors
        errors.append(np.mean((runs.stderr[:, 3] / runs.mean[:, 3])[late]))
    return judges.exponent(list(_steps(effort)), gaps, 1.0, 0.15, stderr=errors)


@cache
def _falls(effort, on):
    """``-ln||W||^2`` over the phases of 5000 steps, its standard error, and the runs' steps."""
    steps = 2 * WINDOW * WINDOWS
    times = np.arange(0, steps + 1, WINDOW)
    levels = sgd.periodic(steps, on, WINDOW)
    inputs, begin = _data()
    norms = sgd.Descent(readme(), steps, times, levels, inputs=inputs, start=begin).sample(
        SEED, 0, effort.choose(64, 256))[:, :, 3]
    falls = -np.diff(np.log(norms), axis=1)
    return falls.mean(axis=0), falls.std(axis=0, ddof=1) / math.sqrt(len(falls)), times


@cache
def _data():
    inputs, _, begin = sgd.draws(sgd.Descent(theory.TwoLayerLinear(20, 1000, 1e-9, 0.0, 1.0), 200), SEED)
    return inputs, begin


def _windows(effort, on):
    measured, error, _ = _falls(effort, on)
    inputs, begin = _data()
    path = slow_flow.path(readme(), WINDOW * np.arange(WINDOWS + 1), theory.gram(*begin), inputs, "data")
    expected = -np.diff(np.log(path.first_norm))
    return judges.every(
        on=_close(measured[0::2], error[0::2], expected, "windows on"),
        off=judges.inequality(np.abs(measured[1::2]), measured[0::2] / 50, stderr=error[1::2] + error[0::2] / 50,
                              over=f"largest fall while off {np.abs(measured[1::2]).max():.2g}"))


def _oscillation(effort, factor):
    """Variance of a_i in time, on and off, as a mean over neurons, with the error over replicas."""
    inputs, begin = _data()
    late, levels = np.arange(WINDOW // 2, WINDOW, 5), sgd.periodic(2 * WINDOW, WINDOW, WINDOW)
    model = theory.TwoLayerLinear(20, 21, readme().step, readme().noise, 1.0, samples=200)
    # 21 neurons with the K of the 1000: a_i is linear in Z_i(0), so that sums of squares over neurons are the same
    experiment = sgd.BatchDescent(model, 2 * WINDOW, 1, np.concatenate([late, late + WINDOW]), levels, inputs=inputs,
                                  start=few_neurons(*begin))
    seen = np.array([sgd.neurons(experiment, SEED, replica)[1] for replica in range(effort.choose(48, 512))])
    on, off = (part.var(axis=1, ddof=1).sum(axis=1) / readme().width
               for part in (seen[:, :late.size], seen[:, late.size:]))
    state = slow_flow.path(readme(), [3 * WINDOW // 4], theory.gram(*begin), inputs, "data").states[0]
    kernel = theory.kernel(state)
    spread = fluctuations(kernel, readme().effective_step, readme().noise, inputs=inputs).covariance
    few = np.linalg.cholesky(state[:-1, :-1]).T   # as many rows as dimensions, with the G of all neurons
    expected = factor * np.sum(second_layer_variance(few, kernel, spread)) / readme().width
    error = on.std(ddof=1) / math.sqrt(len(on))
    return judges.every(
        on=_close(on.mean()[None], error[None], np.array([expected]), "variance on", 0.1),
        off=judges.inequality(off.max(), expected / 1000, over=f"{off.max():.2g} while off"))


def _batches(effort, strength):
    """``-ln||W||^2`` of every batch size against the slow flow of its label noise, sigma^2 over ``strength``."""
    inputs = sgd.draws(sgd.Descent(theory.TwoLayerLinear(DIMENSION, 1, 1e-9, 0.0, 1.0), 50), SEED)[0]
    parts, step = {}, 5e-4
    for size in (1, 4, 16, math.inf):
        labels = 50 if size == math.inf else size
        noise = 2.0 * math.sqrt(labels)
        model = theory.TwoLayerLinear(DIMENSION, WIDTH, step, noise, 1.0, samples=50)
        steps = int(effort.choose(0.1, 0.4) / (step * 2.0) ** 2)
        runs = sgd.simulate_batches(model, steps, size, replicas=effort.choose(8, 16), seed=SEED, times=[steps],
                                    inputs=inputs, start=start(), **effort.engine)
        driven = theory.TwoLayerLinear(DIMENSION, WIDTH, step, noise / math.sqrt(strength(labels)), 1.0, samples=50)
        end = slow_flow.path(driven, [0, steps], theory.gram(*start()), inputs, "data" if size == 1 else "none")
        begin, expected = np.log(end.first_norm)
        fall, error = begin - np.log(runs.mean[:, 3]), runs.stderr[:, 3] / runs.mean[:, 3]
        parts[f"B = {size}"] = _close(fall, error, np.array([begin - expected]), "falls", 0.05)
    return judges.every(**parts)
