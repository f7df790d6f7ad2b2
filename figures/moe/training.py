"""The paper's two experiments, trained: medians over seeds, printed numbers, and what explicit networks reach."""

import numpy as np

from ...checks.moe import medians
from ...checks.moe.training import CIRCLE, ONE_LEVEL, QUICKLY, SEED, TWO_LEVELS
from ...sims.moe.training import Training, errors
from ...theory.moe import explicit
from .. import style
from ..figure import Drawing, figure

RECORDED = (2000, 20_000)
"""Steps of Adam on the circle."""


@figure("experiments", topic="moe", title="The two experiments of the paper, trained",
        caption="Hollow markers: median test error over seeds with its 95% interval; crosses: printed numbers. Left: "
                "1-4-MoE of width 10 on a circle in R^D after 2000 and 20 000 steps of Adam at 1e-3, and after 2000 "
                "at 1e-2; diamonds: one dense network of width 40, at 1e-2, which does not depend on D either. Right: "
                "the target (q(x_1), q(x_2)) on nine squares, 5000 steps at 1e-3, two layers of 3 experts and one "
                "layer of 6. Line: a single dense network of one hidden layer of m neurons, written down and fitted "
                "in the mean square: every mixture contains it, so a plateau above it is the training's.",
        claims=("moe.table_3", "moe.table_4", "moe.plateau", "moe.dimension_free_training"))
def experiments(effort):
    """Medians and exact intervals; no run is left out."""
    table = {name: [] for name in ("experiment", "network", "steps", "rate", "D", "m", "median", "low", "high",
                                   "printed")}
    fig, (left, right) = style.new(1, 2, width=10.8, height=4.5)
    _circle(left, table, effort)
    _square(right, table, effort)
    columns = {name: np.concatenate(parts) for name, parts in table.items()}
    for name in ("low", "high", "printed"):
        columns[name] = np.ma.masked_invalid(columns[name].astype(float))
    return Drawing(fig, columns)


def _circle(axes, table, effort):
    replicas = effort.choose(6, 64)
    cases = ((4, 10, {"steps": RECORDED[1], "times": RECORDED}), (4, 10, QUICKLY), (1, 40, QUICKLY))
    names = iter(("2000 steps", "20 000 steps", "2000 steps at 1e-2", "dense, 2000 steps at 1e-2"))
    place = 0
    for experts, width, settings in cases:
        dimensions = effort.choose([16, 128], list(CIRCLE)) if settings["steps"] == RECORDED[1] else list(CIRCLE)
        found = errors([Training("circle", experts, width, dimension=dimension, **settings)
                        for dimension in dimensions], replicas, SEED, effort.jobs)
        for column, steps in enumerate(settings.get("times", (settings["steps"],))):
            values = np.stack([each[:, column] for each in found])
            marks = _marked(axes, dimensions, values, place, next(names))
            _append(table, ("circle", f"1-{experts}-MoE" if experts > 1 else "dense", steps,
                            settings.get("rate", 1e-3), dimensions, width), marks,
                    [CIRCLE[dimension] for dimension in dimensions] if experts > 1 else np.nan)
            place += 1
    axes.plot(list(CIRCLE), list(CIRCLE.values()), "x", color=style.GREY, markersize=7, label="printed")
    style.loglog(axes).set(xlabel="dimension D of the space", ylabel="mean squared error", ylim=(2e-5, 5.0),
                           title="circle, 1-4-MoE of width 10")
    axes.set_xticks(list(CIRCLE), list(CIRCLE))
    axes.xaxis.minorticks_off()
    axes.legend(loc="upper left", ncols=2)


def _square(axes, table, effort):
    every, replicas = list(TWO_LEVELS), effort.choose(6, 32)
    widths = effort.choose(every[:2], every)
    for place, (experts, depth, printed) in enumerate(((3, 2, TWO_LEVELS), (6, 1, ONE_LEVEL)), 1):
        found = errors([Training("vector", experts, width, 5000, depth=depth) for width in widths], replicas, SEED,
                       effort.jobs)
        name = f"{depth}-{experts}-MoE"
        marks = _marked(axes, widths, np.stack([each[:, 0] for each in found]), place, name)
        axes.plot(every, list(printed.values()), linestyle="none", marker="x+"[place - 1], color=style.COLORS[place],
                  markersize=8, label=f"{name}, printed")
        _append(table, ("square", name, 5000, 1e-3, 2, widths), marks, [printed[width] for width in widths])
    explicit_errors = np.array([explicit.mean_square_error(width) for width in every])
    axes.plot(every, explicit_errors, **style.theory(0), label="one dense network, explicit")
    _append(table, ("square", "explicit dense", 0, 0.0, 2, every), (explicit_errors, np.nan, np.nan), np.nan)
    style.loglog(axes).set(xlabel="neurons of an expert m", ylabel="mean squared error", title="nine squares")
    axes.set_xticks(every, every)
    axes.xaxis.minorticks_off()
    axes.legend(loc="lower left")


def _marked(axes, x, values, place, label):
    """Medians with intervals, drawn; returns them."""
    middle = np.median(values, axis=1)
    low, high = medians.intervals(values, 0.05 * len(values))      # 5% for each point, not for all together
    beside = np.asarray(x) * 1.04 ** (place - 1.5)
    axes.errorbar(beside, middle, np.array([middle - low, high - middle]), **style.measurement(place), label=label,
                  elinewidth=1.0)
    return middle, low, high


def _append(table, labels, marks, printed):
    size = max(np.size(values) for values in marks)
    for column, values in zip(table, (*labels, *marks, printed), strict=True):
        table[column].append(np.broadcast_to(np.asarray(values), size))
