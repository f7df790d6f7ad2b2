"""The paper's two experiments, trained: medians over seeds, printed numbers, and what explicit networks reach."""

import numpy as np

from ...checks.moe import medians
from ...checks.moe.training import (
    CIRCLE,
    FASTER,
    ONE_LEVEL,
    QUICKLY,
    TWO_LEVELS,
    circle,
    dimensions,
    quickly,
    squares,
)
from ...theory.moe import explicit
from .. import style
from ..figure import Drawing, figure


@figure("experiments", topic="moe", title="The two experiments of the paper, trained",
        caption="Hollow markers: median test error with its 95% interval, at quick effort over the first 12 of the 24 "
                "to 96 replicas that the claims judge, at full effort over all; crosses: printed numbers. Left: "
                "1-4-MoE of width 10 on a circle in R^D after 2000 and 10 000 steps of Adam at 1e-3, and after 2000 at "
                "1e-2; dense: one network of 40 neurons. Right: the target (q(x_1), q(x_2)) on nine squares, 5000 "
                "steps. Two layers of 3 experts reach the printed errors at 1e-3. One layer of 6 does not: at 1e-3 it "
                "has 13, 15, 2.4 and 0.5 times the printed errors for m = 16 .. 128, a 47-fold fall where print rises "
                "from m = 32 on; at 5e-3 it reaches them. Line: a single dense network of one hidden layer of m "
                "neurons, written down and fitted in the mean square: every mixture contains it, so errors above it "
                "are the training's. At quick effort D = 16 and 128, m = 16 and 32 are run, and m = 128 of the 1-6-MoE "
                "at 1e-3.",
        claims=("moe.table_3", "moe.table_4", "moe.table_4_fall", "moe.table_4_rate", "moe.plateau",
                "moe.dimension_free_training"))
def experiments(effort):
    """Medians and exact intervals; no run is left out.  At quick effort the first 12 of the claims' replicas."""
    table = {name: [] for name in ("experiment", "network", "steps", "rate", "D", "m", "median", "low", "high",
                                   "printed")}
    fig, (left, right) = style.new(1, 2, width=11.2, height=4.8)
    replicas = effort.choose(12, None)
    _circle(left, table, effort, replicas)
    _square(right, table, effort, replicas)
    columns = {name: np.concatenate(parts) for name, parts in table.items()}
    for name in ("low", "high", "printed"):
        columns[name] = np.ma.masked_invalid(columns[name].astype(float))
    return Drawing(fig, columns)


def _circle(axes, table, effort, replicas):
    early, late = circle(effort, replicas=replicas)
    steps, fast = dimensions(effort), (16, 128)
    cases = (("1-4-MoE", 2000, 1e-3, steps, early), ("1-4-MoE", 10_000, 1e-3, steps, late),
             ("1-4-MoE", QUICKLY["steps"], QUICKLY["rate"], fast, quickly(effort, 4, fast, replicas)),
             ("dense", QUICKLY["steps"], QUICKLY["rate"], fast, quickly(effort, 1, fast, replicas)))
    for place, (network, count, rate, at, values) in enumerate(cases):
        label = f"{network}, {count:,} steps at {_power(rate)}".replace(",", " ").replace("  ", ", ")
        marks = _marked(axes, at, values, place, label, 1.06 ** (place - 1.5))
        _append(table, ("circle", network, count, rate, at, 10 if network == "1-4-MoE" else 40), marks,
                [CIRCLE[dimension] for dimension in at] if network == "1-4-MoE" else np.nan)
    axes.plot(list(CIRCLE), list(CIRCLE.values()), "x", color="black", markersize=7, label="1-4-MoE, printed")
    style.loglog(axes).set(xlabel="dimension $D$ of the space", ylabel="mean squared error", xlim=(12, 170),
                           ylim=(5e-5, 8), title="circle, 40 neurons")
    axes.set_xticks(list(CIRCLE), list(CIRCLE))
    axes.xaxis.minorticks_off()
    axes.legend(loc="upper left", fontsize="small")


def _square(axes, table, effort, replicas):
    every, widths = list(TWO_LEVELS), effort.choose((16, 32), tuple(TWO_LEVELS))
    cases = (("2-3-MoE", 2, 1e-3, TWO_LEVELS, widths),
             ("1-6-MoE", 1, 1e-3, ONE_LEVEL, effort.choose((16, 32, 128), every)),
             ("1-6-MoE", 1, FASTER, ONE_LEVEL, widths))
    for place, (network, depth, rate, printed, at) in enumerate(cases, 1):
        values = squares(effort, depth, at, rate, replicas)[1]
        marks = _marked(axes, at, values, place, f"{network}, rate {_power(rate)}", 1.06 ** (place - 2))
        _append(table, ("square", network, 5000, rate, 2, at), marks, [printed[width] for width in at])
    for marker, name, printed in (("x", "2-3-MoE", TWO_LEVELS), ("+", "1-6-MoE", ONE_LEVEL)):
        axes.plot(every, list(printed.values()), linestyle="none", marker=marker, color="black", markersize=8,
                  label=f"{name}, printed")
    explicit_errors = np.array([explicit.mean_square_error(width) for width in every])
    axes.plot(every, explicit_errors, **style.theory(0), label="one dense network, explicit")
    _append(table, ("square", "explicit dense", 0, 0.0, 2, every), (explicit_errors, np.nan, np.nan), np.nan)
    style.loglog(axes).set(xlabel="neurons of an expert $m$", ylabel="mean squared error", ylim=(1e-8, 3e-2),
                           title="nine squares, 5000 steps")
    axes.set_xticks(every, every)
    axes.xaxis.minorticks_off()
    axes.legend(loc="upper right", ncols=2, fontsize="small")


def _power(rate):
    """A rate in the mathematics of a label."""
    digit, exponent = f"{rate:.0e}".split("e")
    return f"$10^{{{int(exponent)}}}$" if digit == "1" else f"${digit} \\times 10^{{{int(exponent)}}}$"


def _marked(axes, x, values, place, label, beside):
    """Medians with intervals, drawn; returns them."""
    middle = np.median(values, axis=1)
    low, high = medians.intervals(values, 0.05 * len(values))      # 5% for each point, not for all together
    axes.errorbar(np.asarray(x) * beside, middle, np.array([middle - low, high - middle]), **style.measurement(place),
                  label=label, elinewidth=1.0)
    return middle, low, high


def _append(table, labels, marks, printed):
    size = max(np.size(values) for values in marks)
    for column, values in zip(table, (*labels, *marks, printed), strict=True):
        table[column].append(np.broadcast_to(np.asarray(values), size))
