"""Batches that track the gradient noise scale against the best ones, and what momentum schedules gain."""

import numpy as np

from ...checks.schedules import momentum as momentum_claims
from ...checks.schedules import noise_tracking as claims
from ...theory.schedules import noise_tracking
from .. import style
from ..figure import Drawing, figure

LABELS = {"constant": "constant", "simple": "c B_simple", "sqrt_simple": "c B_simple^(1/2)", "noise": "c B_noise",
          "sqrt_noise": "c B_noise^(1/2)"}
KINDS = ("easy", "hard")
SHOWN = 240
"""Points of a path in the table."""


@figure("noise_tracking", topic="schedules", title="Tracking the noise scale against knowing the horizon",
        caption="Exact SGD at a rate of 0.2, an easy (s = 1, beta = 2) and a hard task (s = 1/6, beta = 3), D from "
                "4096 to 16384 (full: 65536) samples: batches that follow a power of the gradient noise scale, with "
                "the best constant c, and the optimal batches (ink). Below: final loss over that of the optimum at the "
                "least and the most data, and what a constant a little off the best costs: the noise scales "
                "themselves gain only where c is tuned to their threshold.",
        claims=("schedules.greedy_noise_tracking", "schedules.full_noise_scale_threshold"))
def tracking(effort):
    """Paths of the batch size for both tasks, the table of final losses at two sizes, and losses around the best c."""
    sizes = claims.sizes(effort)
    columns = {name: [] for name in ("task", "data", "rule", "series", "x", "value")}
    fig, axes = style.new(2, 2, width=9.6, height=7.6)
    for panel, task, label in zip(axes[0], claims.TASKS, KINDS):
        _paths(panel, task, label, sizes[-1], columns)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    _table(axes[1, 0], (sizes[0], sizes[-1]), columns)
    _sensitivity(axes[1, 1], sizes[-1], columns)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in columns.items()})


def _keep(columns, task, data, rule, series, x, values):
    parts = task, data, rule, series, np.asarray(x, float), np.asarray(values, float)
    for name, part in zip(columns, parts):
        columns[name].append(np.full(len(x), part) if np.ndim(part) == 0 else part)


def _paths(panel, task, label, data, columns):
    """Batch sizes against the share of the samples used."""
    paths = {"optimum": claims.optimum(task, data),
             **{name: claims.rule(task, data, name) for name in noise_tracking.RULES}}
    for index, (name, run) in enumerate(paths.items()):
        used = np.cumsum(run.batches) / data
        panel.step(np.append(0.0, used), np.append(run.batches[0], run.batches), **style.theory(index),
                   label=LABELS.get(name, "optimal, horizon known"))
        some = np.unique(np.linspace(0, run.steps - 1, SHOWN).round().astype(int))
        _keep(columns, label, data, name, "batch against share of samples", used[some], run.batches[some])
    panel.set_yscale("log")
    panel.set_xlabel("share of the samples used")
    panel.set_ylabel("batch size")
    panel.set_title(f"{label} task, D = {data}")


def _table(panel, sizes, columns):
    """Final losses over those of the optimum: tasks by colour and place, more data by full symbols."""
    for index, (task, label) in enumerate(zip(claims.TASKS, KINDS)):
        for full, data in enumerate(sizes):
            ratios = [claims.rule(task, data, name).loss / claims.optimum(task, data).loss
                      for name in noise_tracking.RULES]
            look = style.measurement(index + 1)
            panel.plot(np.arange(1, 6) + 0.24 * index - 0.18 + 0.12 * full, ratios,
                       **{**look, "linestyle": "none", "markerfacecolor": look["color"] if full else "white"},
                       label=f"{label}, D = {data}")
            for name, ratio in zip(noise_tracking.RULES, ratios):
                _keep(columns, label, data, name, "loss over optimum", [0.0], [ratio])
    panel.axhline(1.0, color=style.PALETTE["ink"], linewidth=1.4)
    panel.set_xticks(range(1, 6), ["const.", "B_simple", "B_simple^½", "B_noise", "B_noise^½"], rotation=20)
    panel.set_ylabel("final loss / loss of optimal batches")
    panel.set_ylim(top=1.0 + 1.35 * (panel.get_ylim()[1] - 1.0))   # room for the legend
    panel.legend(loc="upper right", ncols=2)
    panel.set_title("final loss at equal data")


def _sensitivity(panel, data, columns):
    """Loss around the best constant, hard task."""
    factors = np.sort(np.concatenate([[1.0], *(1.0 + sign * np.geomspace(1e-7, 0.1, 25) for sign in (-1.0, 1.0))]))
    for index, name in enumerate(noise_tracking.RULES, start=1):
        losses = claims.detuned(claims.TASKS[1], data, name, factors)
        panel.plot(factors - 1.0, losses, **style.theory(index))
        _keep(columns, KINDS[1], data, name, "loss over that of the best c, against c/best c - 1", factors - 1.0,
              losses)
    panel.set_xscale("symlog", linthresh=1e-6)
    panel.set_xticks([-1e-2, -1e-4, -1e-6, 1e-6, 1e-4, 1e-2])
    panel.set_xlabel("c / best c - 1")
    panel.set_ylabel("final loss / that of the best c")
    panel.set_title(f"off the best constant: hard task, D = {data}")


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
