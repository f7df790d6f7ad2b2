"""When label noise acts: leaving the lazy regime, too much noise, SAM on the same clock, Fig. 3 with its control."""

import math

import numpy as np

from ...checks.label_noise import escape as escapes
from ...checks.label_noise.experiments import SEED, data, readme
from ...checks.label_noise.last_state import aligned_share
from ...checks.label_noise.lazy_rich import PROBABILITY, experiment
from ...checks.label_noise.lazy_rich import SEED as LAZY_SEED
from ...sims import label_noise as sgd
from ...sims.label_noise.lazy_rich import OBSERVABLES
from ...theory import label_noise as theory
from ...theory.label_noise import diagnostics, escape, linearised, slow_flow
from .. import style
from ..figure import Drawing, figure
from .phases import COSINE, NORM, table


@figure("escape_time", topic="label_noise", title="How long the network stays lazy",
        caption="Steps after which the last neuron has moved by 1/sqrt(m), d = 20, |theta*| = sqrt(20), against "
                "width, step size and noise, the other two fixed as each panel says. Markers: SGD from one start, "
                "mean of several runs; solid: prediction from the shortest neuron of that start; dashed: the bound "
                "T1 of Theorem 2.",
        claims=("label_noise.escape_time", "label_noise.theorem_2"))
def escape_time(effort):
    """One panel for m, eta and sigma each."""
    d, target = escapes.DIMENSION, escapes.TARGET
    series = (("width m", "width", "eta = 2.5e-4, sigma = 8",
               [theory.TwoLayerLinear(d, m, 2.5e-4, 8.0, target) for m in escapes.WIDTHS]),
              ("step size eta", "step", "m = 1000, sigma = 4",
               [theory.TwoLayerLinear(d, 1000, step, 4.0, target) for step in (2.5e-4, 5e-4, 1e-3)]),
              ("noise sigma", "noise", "m = 1000, eta = 5e-4",
               [theory.TwoLayerLinear(d, 1000, 5e-4, noise, target) for noise in (2.0, 4.0, 8.0)]))
    fig, axes = style.new(1, 3, width=11.5, height=3.8, sharey=True)
    rows = []
    for axis, (label, name, fixed, models) in zip(axes, series):
        x = np.array([getattr(model, name) for model in models], dtype=float)
        runs = [escapes.measured(effort, model) for model in models]
        mean = np.array([run.mean() for run in runs])
        error = np.array([run.std(ddof=1) / math.sqrt(run.size) for run in runs])
        expected = np.array([escapes.predicted(model) for model in models])
        bound = np.array([escape.theorem_2_time(model) for model in models])
        axis.plot(x, expected, **style.theory(0), label="prediction")
        axis.plot(x, bound, **style.theory(2, linestyle=style.DASHES[1]), label="T1 of Theorem 2")
        axis.errorbar(x, mean, 2 * error, **style.measurement(1), label="SGD")
        style.loglog(axis)
        axis.set_xticks(x, [f"{value:g}" for value in x])
        axis.set_xticks([], minor=True)
        axis.set(xlabel=label, title=fixed)
        rows += [(name, *row) for row in zip(x, mean, error, expected, bound)]
    axes[0].set_ylabel("escape time (steps)")
    axes[0].legend()
    return Drawing(fig, table(("varied", "value", "steps", "standard_error", "prediction", "theorem_2"), rows))


@figure("too_much_noise", topic="label_noise", title="How much noise a network can stand",
        caption="Share of the first layer along theta* at rest against Theta = |theta*|/(eta sigma^2), fresh inputs. "
                "Markers: SGD on 2d neurons, time averages of several runs and 2 standard errors; lines: leading order "
                "for one neuron, 1 - (d-1)/(2 sqrt(d) Theta), drawn from Theta = sqrt(d) on, the range of its claim; "
                "grey: 1/d, no alignment.",
        claims=("label_noise.learning_threshold", "label_noise.one_neuron_threshold", "label_noise.last_state"))
def too_much_noise(effort):
    """Three dimensions on one axis of Theta."""
    fig, axes = style.new()
    scaled, rows = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2]), []     # of d
    for index, d in enumerate((5, 10, 20)):
        found = np.array([aligned_share(effort, d, float(ratio * d)) for ratio in scaled])
        fine = np.geomspace(math.sqrt(d), 4.0 * d, 40)
        leading = 1.0 - (d - 1) / (2.0 * math.sqrt(d) * fine)
        axes.errorbar(scaled * d, found[:, 0], 2 * found[:, 1], **style.measurement(index),
                      label=f"2d neurons, d = {d}")
        axes.plot(fine, leading, **style.theory(index), label=f"one neuron, d = {d}")
        rows += [("SGD", d, *row) for row in zip(scaled * d, *found.T)]
        rows += [("theory", d, *row, np.ma.masked) for row in zip(fine, leading)]
        style.guide(axes, d * scaled[[0, -1]], [1.0 / d, 1.0 / d])
    axes.set_xscale("log")
    axes.set(xlabel="Theta = |theta*|/(eta sigma^2)", ylabel="share of |W|^2 along theta*", ylim=(0, 1.02))
    axes.legend(loc="upper left")
    return Drawing(fig, table(("kind", "dimension", "theta", "share", "standard_error"), rows))


@figure("sharpness_aware", topic="label_noise", title="Sharpness-aware minimisation on the clock of label noise",
        caption="Mean norm and alignment against slow time: v t with v = (eta sigma)^2 for label noise and 2 eta "
                "rho^2 for SAM with batch size 1 on clean labels. n = 200, m = 1000, d = 20, |theta*|^2 = 20, eta = "
                "2e-4. Markers: runs from one start; solid line: the slow flow, the same for all; other lines: the "
                "flow with the first-order correction of each algorithm.",
        claims=("label_noise.sam_slow_flow", "label_noise.sam_label_noise_equivalence"))
def sharpness_aware(effort):
    """Label noise and two radii."""
    step, span = 2e-4, 3.0
    inputs, start = data()
    target, replicas, fine = readme().target_norm, effort.choose(4, 16), np.linspace(0.0, span, 81)
    unit = theory.TwoLayerLinear(20, 1000, step, 1.0 / step, target, samples=200)
    shared = slow_flow.path(unit, fine, theory.gram(*start), inputs, "none")
    found = [("slow flow", fine, _means(shared, start), None)]
    cases = (("label noise, sigma = 10", 10.0, None), ("SAM, rho = 0.3", 0.0, 0.3), ("SAM, rho = 0.2", 0.0, 0.2))
    for place, (label, noise, radius) in enumerate(cases):
        model = theory.TwoLayerLinear(20, 1000, step, noise, target, samples=200)
        rate = model.drift if radius is None else 2.0 * step * radius**2
        # a third of a spacing apart, so that no marker hides another
        times = ((np.linspace(0.0, 1.0, 12, endpoint=False) + place / 36) * int(span / rate)).astype(int)
        common = {"replicas": replicas, "seed": SEED, "times": times,
                  "inputs": inputs, "start": start, "neurons": True, **effort.engine}
        run = (sgd.simulate(model, int(span / rate), **common) if radius is None
               else sgd.simulate_sharpness_aware(model, int(span / rate), radius, **common))
        flow = slow_flow.path(model, fine / rate, theory.gram(*start), inputs, "data", radius)
        found.append((label, run.coordinates["slow_time"], run.mean, run.stderr))
        found.append((f"{label}: corrected flow", fine, _means(flow, start), None))
    fig, axes = style.new(1, 2, width=9.4, height=3.9)
    rows = []
    for axis, place, name in ((axes[0], NORM, "mean norm of w_i"), (axes[1], COSINE, "mean |cos(w_i, theta*)|")):
        for index, (label, time, mean, error) in enumerate(found):
            if error is None:
                axis.plot(time, mean[:, place], **style.theory(index // 2), label=label)
                rows += [(label, name, *row, np.ma.masked) for row in zip(time, mean[:, place])]
            else:
                axis.errorbar(time, mean[:, place], 2 * error[:, place], **style.measurement(index // 2 + 1),
                              label=label)
                rows += [(label, name, *row) for row in zip(time, mean[:, place], error[:, place])]
        axis.set(xlabel="slow time v t", ylabel=name)
    axes[0].legend()
    return Drawing(fig, table(("kind", "panel", "slow_time", "value", "standard_error"), rows))


def _means(flow, start):
    """Mean norms and cosines of a path, at their places among the observables."""
    first, out = flow.neurons(*start)[..., :-1], np.zeros((len(flow.times), COSINE + 1))
    out[:, NORM] = diagnostics.norms(first).mean(axis=-1)
    out[:, COSINE] = diagnostics.cosines(first, readme().target).mean(axis=-1)
    return out


@figure("lazy_rich", topic="label_noise", title="Fig. 3 with the missing control",
        caption="Erf network on 64 synthetic inputs, labels resampled with probability 1/2 at every step. Left: loss "
                "on clean labels. Markers: network; lines: its linearisation in closed form, under the same noise and "
                "without; grey: floor of the smoothed labels. Right: largest displacement over 1/sqrt(m); below 1 all "
                "neurons are lazy.",
        claims=("label_noise.lazy_rich_control", "label_noise.smoothed_label_floor"))
def lazy_rich(effort):
    """The network with noise, without, and with noise of mean zero."""
    fig, axes = style.new(1, 2, width=10.0, height=4.0)
    loss, rows = OBSERVABLES.index("loss"), []
    kinds = (("resampled labels", PROBABILITY, False), ("clean labels", 0.0, False),
             ("noise of mean zero", PROBABILITY, True))
    for index, (label, probability, centred) in enumerate(kinds):
        run, seen = experiment(effort, None, probability, False, centred)
        start = run.start(LAZY_SEED)
        fine = np.unique(np.linspace(0, run.steps, 101).astype(int))
        exact = linearised.expected_loss(start.tangent_kernel, start.outputs, run.labels, run.rate, probability, fine,
                                         not centred)
        axes[0].plot(run.times, seen[:, loss], **style.measurement(index), label=f"network, {label}")
        axes[0].plot(fine, exact, **style.theory(index), label=f"linearised, {label}")
        moved = seen[:, OBSERVABLES.index("displacement")] * math.sqrt(run.width)
        axes[1].plot(run.times, moved, **style.measurement(index), label=label)
        rows += [("network loss", label, *row) for row in zip(run.times, seen[:, loss])]
        rows += [("linearised loss", label, *row) for row in zip(fine, exact)]
        rows += [("displacement sqrt(m)", label, *row) for row in zip(run.times, moved)]
    style.guide(axes[0], run.times[[0, -1]], np.full(2, linearised.floor(run.classes, PROBABILITY)))
    style.guide(axes[1], run.times[[0, -1]], [1.0, 1.0])
    axes[0].set_yscale("log")
    axes[0].set(xlabel="step", ylabel="training loss (clean labels)")
    axes[1].set(xlabel="step", ylabel="largest |w_i - w_i(0)| sqrt(m)", ylim=(0, 1.1))
    axes[0].legend()
    return Drawing(fig, table(("quantity", "labels", "step", "value"), rows))
