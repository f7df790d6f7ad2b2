"""Batches that track the gradient noise scale against the best ones, and what momentum schedules gain."""

import numpy as np

from ...checks.schedules import momentum as momentum_claims
from ...checks.schedules import noise_tracking as claims
from ...theory.schedules import noise_tracking
from .. import style
from ..figure import Drawing, figure

LABELS = {"constant": "constant", "simple": "c B_simple", "sqrt_simple": "c B_simple^(1/2)", "noise": "c B_noise",
          "sqrt_noise": "c B_noise^(1/2)"}
SHOWN = 240
"""Points of a path in the table."""


@figure("noise_tracking", topic="schedules", title="Tracking the noise scale against knowing the horizon",
        caption="Exact SGD at a rate of 0.2 with 4096 samples (full: 65536): batches that follow a power of the "
                "gradient noise scale, with the best constant c, and the optimal batches (ink). Right: final loss over "
                "that of the optimum for an easy (s = 1, beta = 2) and a hard task (s = 1/6, beta = 3).",
        claims=("schedules.greedy_noise_tracking",))
def tracking(effort):
    """Paths of the batch size for both tasks, and the table of final losses."""
    data = claims.sizes(effort)[-1]
    columns = {name: [] for name in ("task", "rule", "samples", "batch", "loss_over_optimum")}
    fig, axes = style.new(1, 3, width=12.6, height=4.2)
    for panel, task, label in zip(axes, claims.TASKS, ("easy", "hard")):
        best = claims.optimum(task, data)
        paths = {"optimum": best, **{name: claims.rule(task, data, name) for name in noise_tracking.RULES}}
        for index, (name, run) in enumerate(paths.items()):
            used = np.cumsum(run.batches) / data
            panel.step(np.append(0.0, used), np.append(run.batches[0], run.batches), **style.theory(index),
                       label=LABELS.get(name, "optimal, horizon known"))
            some = np.unique(np.linspace(0, run.steps - 1, SHOWN).round().astype(int))
            for key, values in (("task", np.full(some.size, label)), ("rule", np.full(some.size, name)),
                                ("samples", used[some] * data), ("batch", run.batches[some]),
                                ("loss_over_optimum", np.full(some.size, run.loss / best.loss))):
                columns[key].append(values)
            if index:
                axes[2].plot(index - 0.12 + 0.24 * (label == "hard"), run.loss / best.loss,
                             **style.measurement(1 if label == "easy" else 2),
                             label=f"{label} task" if index == 1 else None)
        panel.set_yscale("log")
        panel.set_xlabel("share of the samples used")
        panel.set_ylabel("batch size")
        panel.set_title(f"{label} task, D = {data}")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    axes[2].axhline(1.0, color=style.PALETTE["ink"], linewidth=1.4)
    axes[2].set_xticks(range(1, 6), ["const.", "B_simple", "B_simple^½", "B_noise", "B_noise^½"], rotation=20)
    axes[2].set_ylabel("final loss / loss of optimal batches")
    axes[2].legend(loc="upper center")
    axes[2].set_title("final loss at equal data")
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in columns.items()})


@figure("momentum_gain", topic="schedules", title="Where momentum schedules help",
        caption="Final risk with the best schedules of rate and momentum over that with the best rates alone, exact "
                "heavy-ball SGD at batch 1 (upper bounds: the best that descent found). Right: the schedules found for "
                "the hard task at the largest number of steps.",
        claims=("schedules.momentum_helps_when_hard",))
def momentum_gain(effort):
    """Ratio of risks against T for both tasks, and the hard task's schedules."""
    steps = momentum_claims.sizes(effort)
    columns = {name: [] for name in ("series", "x", "value")}

    def keep(series, x, value):
        for name, values in zip(columns, (np.full(len(x), series), np.asarray(x, float), np.asarray(value, float))):
            columns[name].append(values)

    fig, (left, right) = style.new(1, 2, width=9.6, height=3.8)
    for index, (label, task) in enumerate((("hard", momentum_claims.HARD), ("easy", momentum_claims.EASY)), start=1):
        ratio = [1.0 - momentum_claims.best(task, int(n)).gain for n in steps]
        left.plot(steps, ratio, **{**style.measurement(index), "linestyle": style.DASHES[index]},
                  label=f"{label}, s = {task[0]:.3g}, beta = {task[1]:g}")
        keep(f"ratio {label}", steps, ratio)
    left.axhline(1.0, color=style.GREY, linewidth=1.0)
    left.set_xscale("log", base=2)
    left.set_xlabel("steps T")
    left.set_ylabel("risk with momentum / without")
    left.legend(loc="lower left")
    found = momentum_claims.best(momentum_claims.HARD, int(steps[-1]))
    time = (np.arange(steps[-1]) + 0.5) / steps[-1]
    for index, (label, values) in enumerate((("rate eta", found.rates), ("1 - beta", 1.0 - found.momenta),
                                             ("eta/(1 - beta)", found.rates / (1.0 - found.momenta)))):
        right.plot(time, values, **style.theory(index), label=label)
        keep(label, time, values)
    right.set_yscale("log")
    right.set_xlabel("t/T")
    right.set_ylabel(f"schedule found, hard task, T = {steps[-1]}")
    right.legend()
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in columns.items()})
