"""A planned schedule: its rates or batch sizes, and the loss it leads to beside those of its rivals."""

import numpy as np

from ...checks.schedules import planner
from ...theory.fsl.problem import PowerLawRegression
from .. import style
from ..figure import Drawing, figure

DRAWN = 2000
"""Most points of a drawn line; the table holds them all."""


def draw_plan(plan) -> Drawing:
    """Schedules above (batch sizes where those are planned, else learning rates; of a pair both), losses below.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    Drawing
        Its table has the columns schedule, step, lr, batch_size, loss, lower, upper, at the steps where a loss is
        known.
    """
    sizes = any(np.ptp(curve["batch_sizes"]) > 0 for curve in plan.curves.values())
    both = int(sizes and np.ptp(plan.rates) > 1e-9 * plan.rates.max())   # a pair: its rates on top
    plate, (*top, above, below) = style.new(2 + both, 1, width=6.4, height=7.4 if both else 5.8, sharex=True,
                                            height_ratios=(1,) * both + (1, 1.5))
    columns = {name: [] for name in ("schedule", "step", "lr", "batch_size", "loss", "lower", "upper")}
    shown = []
    for index, (name, curve) in enumerate(plan.curves.items()):
        keep = _drawn(curve)
        values = curve["batch_sizes" if sizes else "rates"]
        line = style.theory(index, linewidth=2.0 if index == 0 else 1.3)
        above.plot(curve["steps"][keep], values[keep], drawstyle="steps-post" if sizes else "default", **line)
        low, high = curve["low"], curve["high"]
        for axes in top:
            axes.plot(curve["steps"][keep], curve["rates"][keep], **line)
        if low is not None and index == 0:
            below.fill_between(curve["loss_steps"], low, high, color=style.COLORS[index], alpha=0.18, linewidth=0)
            shown.extend([low, high])
        marks = np.unique(np.linspace(0, curve["loss_steps"].size - 1, 14).astype(int))
        below.plot(curve["loss_steps"], curve["loss"], label=f"{name}: {curve['loss'][-1]:.5g} at the end",
                   marker=style.MARKERS[index], markevery=marks.tolist(), markersize=3.5, markerfacecolor="white",
                   **{key: value for key, value in line.items() if key != "marker"})
        shown.append(curve["loss"])
        _tabulate(columns, name, curve)
    above.set_ylabel("batch size" if sizes else "learning rate")
    if sizes:
        above.set_yscale("log")
    else:
        above.set_ylim(bottom=0)
    for axes in top:
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
    (*top, above)[0].set_title(plan.title, fontsize=9 if len(plan.title) < 72 else 8)
    below.set_ylabel(plan.quantity)
    below.set_xlabel("step")
    _limits(below, plan, shown)
    title = "fitted law, shaded: 90% of measured losses" if plan.band else "exact expected risk of SGD"
    below.legend(loc="upper right", title=f"lines: {title}", title_fontsize=8)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Drawing(plate, {name: column if name == "schedule" else np.ma.masked_invalid(column)
                           for name, column in joined.items()})


def _drawn(curve):
    """Few enough steps to draw, with every change of the batch size among them."""
    changes = np.flatnonzero(np.diff(curve["batch_sizes"])) + 1
    some = np.linspace(0, curve["steps"].size - 1, DRAWN).astype(int)
    return np.unique(np.concatenate([some, changes[:DRAWN]]))


def _limits(axes, plan, shown):
    """A fitted loss barely moves at the end, where schedules differ: leave out its start; a risk is logarithmic."""
    if plan.band:
        values = np.concatenate(shown)
        low, high = values.min(), np.quantile(values, 0.85)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
    else:
        axes.set_yscale("log")


def _tabulate(columns, name, curve):
    at = np.minimum(curve["loss_steps"].astype(int), curve["steps"].size - 1)
    count = at.size
    columns["schedule"].append(np.full(count, name))
    columns["step"].append(curve["loss_steps"].astype(float))
    columns["lr"].append(curve["rates"][at])
    columns["batch_size"].append(curve["batch_sizes"][at])
    columns["loss"].append(curve["loss"])
    for column, key in (("lower", "low"), ("upper", "high")):
        columns[column].append(np.full(count, np.nan) if curve[key] is None else curve[key])


@figure("plan", topic="schedules", title="A planned learning-rate schedule",
        caption="Best learning rates of exact SGD (s = 0.5, beta = 3, noise 1, batch 1) under a cap, and the exact "
                "excess risk they lead to, beside cosine and WSD with their best peaks under the same cap.",
        claims=("schedules.planned_rates_win",))
def plan(effort):
    """Plan a run of a hard task and draw what the command ``theorycheck plan rates`` draws."""
    task = planner.Given(PowerLawRegression(0.5, 3.0, noise=1.0))
    return draw_plan(planner.plan_rates(task, effort.choose(4000, 32_000), 1, 0.3))
