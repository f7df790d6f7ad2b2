"""The synthetic experiment of Fig. 2 of arXiv 2603.10397: two phases, alternating noise, an oscillating layer."""

import numpy as np

from ...checks.label_noise.experiments import SEED, data, readme
from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from ...theory.label_noise import diagnostics, fluctuations, oscillation, slow_flow
from .. import style
from ..figure import Drawing, figure

OBSERVABLES = sgd.OBSERVABLES + sgd.NEURONS
LOSS, FIRST_NORM, NORM, COSINE, OUTPUT = (OBSERVABLES.index(name) for name in (
    "loss", "first_norm", "neuron_norm", "neuron_cosine", "neuron_output"))
WINDOW = 5000


@figure("two_phases", topic="label_noise", title="Two phases, one clock",
        caption="n = 200, m = 1000, d = 20, eta = 1e-3, sigma = 4, |theta*| = sqrt(20). Markers: label-noise SGD, "
                "mean of several runs from one start; lines: the corrected slow flow (loss: its fluctuations). Top "
                "axis: the clock v t, v = (eta sigma)^2; verticals: t_I = ln((m/d)/(sqrt(d)|theta*|))/v, where the "
                "first phase ends, and t_II = ln(m(1-1/d)/(sqrt(d)|theta*|))/v, where half of |W|^2 is aligned. "
                "Below, every neuron of one run in the plane of norm and alignment; grey: the mean alignment of "
                "random directions.",
        claims=("label_noise.two_phases", "label_noise.alignment_unfinished", "label_noise.unnormalised_alignment"))
def two_phases(effort):
    """Loss, norms, cosines over 4e5 steps; neurons at four times."""
    steps = 400_000
    times = np.concatenate([[0, 100, 1000], np.linspace(0, steps, 21).astype(int)[1:]])
    inputs, start = data()
    run = sgd.simulate(readme(), steps, replicas=effort.choose(16, 64), seed=SEED, times=times, inputs=inputs,
                       start=start, neurons=True, **effort.engine)
    fine = np.linspace(0, steps, 81)
    flow = slow_flow.path(readme(), fine, theory.gram(*start), inputs, "data")
    first = flow.neurons(*start)[..., :-1]
    lines = {NORM: diagnostics.norms(first).mean(-1), COSINE: diagnostics.cosines(first, readme().target).mean(-1),
             OUTPUT: diagnostics.alignments(first, readme().target).mean(-1), LOSS: _losses(flow, inputs)}
    fig, axes = style.new(2, 4, width=13.0, height=6.2)
    rows = []
    labels = {LOSS: "training loss (clean labels)", NORM: "mean norm of w_i", COSINE: "mean |cos(w_i, theta*)|",
              OUTPUT: "mean |<w_i, theta*>|/|theta*|"}
    for axis, (place, label) in zip(axes[0], labels.items()):
        axis.errorbar(times / 1e5, run.mean[:, place], 2 * run.stderr[:, place], **style.measurement(1), label="SGD")
        axis.plot(fine / 1e5, lines[place], **style.theory(0), label="slow flow")
        axis.set(ylabel=label, xlabel="step/1e5")
        _clock(axis)
        rows += [("mean", label, *row) for row in zip(times, run.mean[:, place], run.stderr[:, place])]
        rows += [("flow", label, step, value, np.ma.masked) for step, value in zip(fine, lines[place])]
    axes[0, 0].set_yscale("log")
    axes[0, 1].legend()
    moments = [0, 50_000, 100_000, steps]
    first, _ = sgd.neurons(sgd.Descent(readme(), steps, moments, inputs=inputs, start=start), SEED)
    for index, (axis, step) in enumerate(zip(axes[1], moments)):
        norms, cosines = diagnostics.norms(first[index]), diagnostics.cosines(first[index], readme().target)
        axis.plot(norms, cosines, linestyle="none", marker=".", markersize=2.5, color=style.COLORS[1])
        style.guide(axis, [0.0, 1.7], np.full(2, 0.178))
        axis.set(xlim=(0, 1.7), ylim=(0, 1.02), xlabel="norm of w_i", title=f"step {step:,}")
        rows += [("neuron", f"step {step}", norm, cosine, np.ma.masked) for norm, cosine in zip(norms, cosines)]
    axes[1, 0].set_ylabel("|cos(w_i, theta*)|")
    return Drawing(fig, table(("kind", "panel", "x", "y", "standard_error"), rows))


def _clock(axis):
    """The slow time on top, and where the two phases end."""
    unit = 1e5 * readme().drift
    axis.secondary_xaxis("top", functions=(lambda x: unit * x, lambda x: x / unit)).set_xlabel("v t")
    ends = slow_flow.clocks(readme())
    for name, step in (("t_I", ends.norm), ("t_II", ends.alignment)):
        axis.axvline(step / 1e5, color=style.GREY, linewidth=1.0, zorder=0)
        axis.annotate(name, (step / 1e5, 0.98), xycoords=("data", "axes fraction"), xytext=(3, 0), va="top",
                      textcoords="offset points", color="#555555", fontsize=8)


def _losses(flow, inputs):
    """Clean training loss of the stationary fluctuations on the way, ``tr(Sigma S)/2``."""
    covariance = inputs.T @ inputs / len(inputs)
    out = []
    for state in flow.states:
        spread = fluctuations.fluctuations(theory.kernel(state), readme().effective_step, readme().noise, inputs=inputs)
        out.append(0.5 * np.sum(covariance * spread.covariance))
    return np.array(out)


def table(names, rows):
    """Columns of rows; masked entries stay so."""
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return {name: np.ma.array([0.0 if value is np.ma.masked else value for value in values],
                              mask=[value is np.ma.masked for value in values]) for name, values in columns.items()}


@figure("periodic_noise", topic="label_noise", title="Noise on, noise off",
        caption="The same setting with the noise on (shaded) and off in turn, 5000 steps each. Markers: SGD; line: "
                "slow flow, running while the noise is on. Norms fall and alignment grows only then; the second "
                "layer oscillates around its resting value while the noise is on and does not move while it is off "
                "(three neurons of one run). |theta*| = sqrt(20); the claims on periodic noise and on the second "
                "layer are at |theta*| = 1, d = 5.",
        claims=("label_noise.periodic_noise", "label_noise.alignment_needs_noise",
                "label_noise.second_layer_oscillation"))
def periodic_noise(effort):
    """Norm, cosine and three a_i over ten pairs of phases."""
    steps, pairs = 20 * WINDOW, 10
    inputs, start = data()
    levels, times = sgd.periodic(steps, WINDOW, WINDOW), np.arange(0, steps + 1, WINDOW // 2)
    run = sgd.simulate(readme(), steps, replicas=effort.choose(16, 64), seed=SEED, times=times, noise=levels,
                       inputs=inputs, start=start, neurons=True, **effort.engine)
    fine = np.arange(0, steps + 1, 500)
    active = np.concatenate([[0.0], np.cumsum(levels)])[fine]
    wanted, back = np.unique(active, return_inverse=True)
    flow = slow_flow.path(readme(), wanted, theory.gram(*start), inputs, "data")
    first = flow.neurons(*start)[..., :-1]
    lines = {NORM: diagnostics.norms(first).mean(-1)[back],
             COSINE: diagnostics.cosines(first, readme().target).mean(-1)[back]}
    dense = np.arange(0, 4 * WINDOW + 1, 40)
    _, second = sgd.neurons(sgd.Descent(readme(), steps, dense, levels, inputs=inputs, start=start), SEED)
    fig, axes = style.new(3, 1, width=8.6, height=7.4)
    rows = []
    for axis, place, label in ((axes[0], NORM, "mean norm of w_i"), (axes[1], COSINE, "mean |cos(w_i, theta*)|")):
        axis.errorbar(times / 1e3, run.mean[:, place], 2 * run.stderr[:, place], **style.measurement(1), label="SGD")
        axis.plot(fine / 1e3, lines[place], **style.theory(0), label="slow flow while on")
        axis.set_ylabel(label)
        rows += [("SGD", label, *row) for row in zip(times, run.mean[:, place], run.stderr[:, place])]
        rows += [("slow flow", label, *row, np.ma.masked) for row in zip(fine, lines[place])]
    axes[0].legend()
    for index in range(3):
        axes[2].plot(dense / 1e3, second[:, index], **style.theory(index, linewidth=1.0), label=f"a_{index + 1}")
        rows += [(f"a_{index + 1}", "second layer", *row, np.ma.masked) for row in zip(dense, second[:, index])]
    axes[2].set(ylabel="second layer, one run", xlabel="step/1000 (first two pairs)")
    axes[2].legend(ncols=3)
    axes[1].set_xlabel("step/1000")
    for axis, count in zip(axes, (pairs, pairs, 2)):
        for pair in range(count):
            begin = 2 * pair * WINDOW / 1e3
            axis.axvspan(begin, begin + WINDOW / 1e3, color="#DDDDDD", alpha=0.6, linewidth=0)
    return Drawing(fig, table(("kind", "panel", "step", "value", "standard_error"), rows))


@figure("oscillation", topic="label_noise", title="A second layer that oscillates",
        caption="Mean square norm of the first layer under full-batch descent while a_i jumps between -q, 0 and q "
                "(Lemma 4), m = eta^(-1/2), Sigma = I, d = 5, |theta*| = 1. Markers: mean of simulated chains with 2"
                " standard errors; line: closed form; dashed: its limit, about eta |theta*|^2/2; vertical: t0 = "
                "ln(1/eta) eta^(-3/2)/2, by when the norm has fallen to sqrt(eta), dotted; the lemma's 1/eta^2 is "
                "the right end. Grey crosses: the second layer frozen.",
        claims=("label_noise.oscillation_moments", "label_noise.oscillation_time"))
def oscillating_layer(effort):
    """One panel per step size."""
    fig, axes = style.new(1, 2, width=9.6, height=3.8)
    rows = []
    for axis, step in zip(axes, (1e-2, effort.choose(4e-3, 1e-3))):
        model = theory.TwoLayerLinear(5, round(step**-0.5), step, 0.0, 1.0)
        end = int(step**-2)
        times = np.unique(np.round(np.geomspace(10, end, 25)).astype(int))
        fine = np.unique(np.round(np.geomspace(10, end, 200)).astype(int))
        run, frozen = (sgd.simulate_oscillation(model, end, replicas=effort.choose(100, 1000), seed=SEED, times=times,
                                                frozen=rest, **effort.engine) for rest in (False, True))
        square, error = run.mean[:, FIRST_NORM] / model.width, run.stderr[:, FIRST_NORM] / model.width
        exact = oscillation.mean_square_norm(model, fine)
        axis.errorbar(times, square, 2 * error, **style.measurement(1), label="chain")
        axis.plot(fine, exact, **style.theory(0), label="closed form")
        still = frozen.mean[:, FIRST_NORM] / model.width
        axis.plot(times, still, linestyle="none", marker="x", color=style.GREY, label="frozen")
        style.guide(axis, [10, end], np.full(2, 0.5 * step / (1 - 0.25 * step)))
        axis.plot([10, end], np.full(2, np.sqrt(step)), color=style.GREY, linestyle=":", label="sqrt(eta)")
        mark = 0.5 * np.log(1 / step) * step**-1.5
        axis.axvline(mark, color=style.GREY, linewidth=1.0)
        axis.annotate("t0", (mark, 0.3), xytext=(3, 0), textcoords="offset points", color="#555555")
        style.loglog(axis)
        axis.set(title=f"eta = {step:g}, m = {model.width}", xlabel="step", ylabel="E mean |w_i|^2")
        rows += [("chain", step, *row) for row in zip(times, square, error)]
        rows += [("closed form", step, *row, np.ma.masked) for row in zip(fine, exact)]
        rows += [("frozen", step, *row, np.ma.masked) for row in zip(times, still)]
    axes[0].legend(loc="lower left", bbox_to_anchor=(0.0, 0.1))
    return Drawing(fig, table(("kind", "eta", "step", "mean_square_norm", "standard_error"), rows))
