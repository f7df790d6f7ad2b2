"""How an induction head is learned: the flows of the closed-form loss, their phases, and when the head emerges."""

import math

import numpy as np

from ...sims import induction_heads as sims
from ...theory.induction_heads import induction_block, joint_flow
from ...theory.induction_heads.emergence import emergence_times
from ...theory.induction_heads.induction_block import plateau
from ...theory.induction_heads.phases import NAMES, phases
from ...theory.induction_heads.population_loss import PARAMETERS, Task
from .. import style
from ..figure import Drawing, figure

SHADES = ("#FFFFFF", "#E4E4E4", "#C9C9C9", "#FFFFFF")


def _table(columns, rows):
    return {name: np.ma.array([row[place] for row in rows]) for place, name in enumerate(columns)}


@figure("phases", topic="induction_heads", title="Four phases of learning an induction head",
        caption="Gradient flow on the closed-form loss from scalars of 0.01 (alpha = 1, y = 0.3). Left and middle: "
                "layer 2 alone behind a perfect layer 1, contexts of 102 and 10 002 tokens; right: all six scalars, "
                "1002 tokens. Above, both losses over their largest values, grey: plateau level and tails 1/(4t), "
                "jointly 1/(2t); below, scalars over their limits. Shaded: plateau (light) and emergence (dark), by "
                "classification.",
        claims=("induction_heads.four_phases", "induction_heads.first_drop", "induction_heads.four_gram_tail",
                "induction_heads.joint_limits", "induction_heads.joint_tail", "induction_heads.joint_order"))
def phases_of_training(effort):
    """Losses above, scalars below, against log time."""
    fig, axes = style.new(2, 3, width=12.6, height=6.4, sharex="col")
    rows = []
    for column, (length, joint) in zip(axes.T, ((102, False), (10_002, False), (1002, True))):
        task = Task(1.0, 0.3, length)
        times = np.geomspace(1.0, 100.0 * length if not joint else 1e6, 400)
        path = (joint_flow.joint_flow if joint else joint_flow.stage_two_flow)(task, 0.01, times)
        found = phases(task, path)
        name = f"{'all six scalars' if joint else 'layer 2'}, L = {length:,}"
        first = plateau(task) / induction_block.plateau_fraction(task.similarity) / task.keys
        curves = {"4-gram loss": path.four_gram / (0.5 * task.four_gram**2), "induction loss": path.induction / first}
        shade(column, found, times, 8.0)
        for index, (label, values) in enumerate(curves.items()):
            column[0].plot(times, values, **style.theory(1 + index), label=label)
            rows += [(name, label, time, value) for time, value in zip(times, values)]
        style.guide(column[0], times[[0, -1]], np.full(2, float(induction_block.plateau_fraction(0.3))))
        late = times[times > 30.0 * (found.learned / 100.0)]
        style.guide(column[0], late, (1.0 if joint else 0.5) / (2.0 * late * 0.5 * task.four_gram**2))
        w1 = path.parameter("w1")
        scalars = {r"$a w_1/\gamma$": path.parameter("a") * w1 / task.four_gram,
                   "$b/c$": path.parameter("b") / task.induction,
                   "$w^2 w_1/y$": path.parameter("w") ** 2 * w1 / task.similarity,
                   "$1 - e^{-p}$": -np.expm1(-path.parameter("p"))}
        if joint:
            scalars["$1 - e^{-p_1}$"] = -np.expm1(-path.parameter("p1"))
        for index, (label, values) in enumerate(scalars.items()):
            column[1].plot(times, values, **style.theory(index), label=label)
            rows += [(name, label, time, value) for time, value in zip(times, values)]
        style.loglog(column[0])
        column[0].set(title=name, ylim=(1e-5, 60.0), yticks=np.logspace(-5, 0, 6), xlim=times[[0, -1]])
        column[1].set(xlabel="time t of the flow", ylim=(0.0, 1.9))
        column[1].legend(loc="upper left", ncols=2)
    axes[0, 0].set_ylabel("loss over its largest value")
    axes[1, 0].set_ylabel("scalar over its limit")
    axes[0, 0].legend(loc="lower left")
    return Drawing(fig, _table(("panel", "curve", "time", "value"), rows))


def shade(column, found, times, height):
    """Plateau and emergence behind the axes of a column, their names at this height of the first one."""
    labels = found.labels(times)
    for index in range(1, 3):
        inside = times[labels == index]
        if inside.size:
            for axis in column:
                axis.axvspan(inside[0], inside[-1], color=SHADES[index], linewidth=0, zorder=0.2)
            column[0].text(math.sqrt(inside[0] * inside[-1]), height, NAMES[index], ha="center", va="center",
                           fontsize=8, rotation=90)


@figure("emergence_times", topic="induction_heads", title="When the induction head emerges",
        caption="Scaled time T/N at which half of the plateau is left. Markers: the flow of two scalars without any "
                "approximation (third panel: of all six); lines: the formula with its quadratures. First panel: with "
                "a logit linear in its parameter the time stays finite. alpha = 1, y = 0.3, sigma = 1e-4 (third panel: "
                "0.1) unless varied.",
        claims=("induction_heads.emergence_time", "induction_heads.emergence_scaling",
                "induction_heads.emergence_linear_logit", "induction_heads.emergence_length"))
def times_of_emergence(effort):
    """Against sigma, alpha, L and y."""
    fig, axes = style.new(2, 2, width=9.6, height=6.8)
    rows = []

    def series(axis, panel, x, measured, fine, formula, index, label):
        axis.plot(x, measured, **style.measurement(index), label=f"{label}: flow")
        if fine is not None:
            axis.plot(fine, formula, **style.theory(index), label=f"{label}: formula")
            rows.extend((panel, label, "formula", a, b) for a, b in zip(fine, formula))
        rows.extend((panel, label, "flow", a, b) for a, b in zip(x, measured))

    few, many = np.logspace(-1, -10, 10), np.logspace(-1, -10, 60)
    for index, y in enumerate((0.2, 0.3, 0.5)):
        series(axes[0, 0], "sigma", 1 / few, emergence_times(1.0, y, few), 1 / many,
               [induction_block.emergence_time(Task(1.0, y), sigma) for sigma in many], index, f"$w^2$, y = {y:g}")
    finite = [induction_block.half_time(Task(1.0, 0.3), sigma, "linear") for sigma in few]
    series(axes[0, 0], "sigma", 1 / few, finite, None, None, 4, "linear logit, y = 0.3")
    axes[0, 0].set(xscale="log", xlabel=r"$1/\sigma$", ylabel="T/N")
    few, many = np.geomspace(0.1, 30, 10), np.geomspace(0.1, 30, 60)
    for index, d in enumerate((1, 4)):
        series(axes[0, 1], "alpha", 1 + few, emergence_times(few, 0.3, 1e-4, 0.5, d), 1 + many,
               [induction_block.emergence_time(Task(weight, 0.3, dimension=d), 1e-4) for weight in many], index,
               f"d = {d}")
    style.loglog(axes[0, 1]).set(xlabel=r"weight of the 4-gram, $1 + \alpha$", ylabel="T/N")
    sizes = np.logspace(2, effort.choose(5, 6), effort.choose(7, 13)).round()
    joint = np.array([joint_flow.joint_times(Task(1.0, 0.3, int(n) + 2), 0.1) for n in sizes])
    for index, (label, times) in enumerate(zip(("4-gram", "induction head"), joint.T)):
        series(axes[1, 0], "length", sizes, times, None, None, index + 1, f"{label}, six scalars")
    style.guide(axes[1, 0], sizes[[0, -1]], joint[-1, 1] * sizes[[0, -1]] / sizes[-1])
    axes[1, 0].annotate("slope 1", (sizes[3], 0.6 * joint[3, 1]), color="#555555", fontsize=8.5, va="top")
    style.loglog(axes[1, 0]).set(xlabel="N = L - 2", ylabel="T")
    few, many = np.linspace(0.05, 0.68, 10), np.linspace(0.04, 0.69, 60)
    for index, ratio in enumerate((0.9, 0.5, 0.1)):
        series(axes[1, 1], "similarity", few, emergence_times(1.0, few, 1e-4, ratio), many,
               [induction_block.emergence_time(Task(1.0, y), 1e-4, ratio) for y in many], index, f"{ratio:g} left")
    axes[1, 1].set(yscale="log", yticks=[30, 50, 100, 200, 400], xlabel=r"similarity $y = w_\star^2$", ylabel="T/N")
    axes[1, 1].yaxis.set_major_formatter("{x:g}")
    axes[1, 1].yaxis.set_minor_formatter("")
    for axis in axes.flat:
        axis.legend(fontsize=7.5)
    return Drawing(fig, _table(("panel", "curve", "kind", "x", "time"), rows))


@figure("emergence_map", topic="induction_heads", title="Two scalars of the induction head",
        caption="Left: paths of the flow from eight starts in the plane of similarity x = w^2 and value b, with the "
                "curve that b follows (dashed) and the fixed point (alpha = 1, y = 0.3): up to b = c, along, and in. "
                "Crosses: SGD from three of the starts, 32 keys, batches of 1500, mean of two runs; off by O(1/N). "
                "Right: T/N at which half of the plateau is left, over weight and similarity, sigma = 1e-4.",
        claims=("induction_heads.single_fixed_point", "induction_heads.first_drop",
                "induction_heads.emergence_scaling"))
def map_of_emergence(effort):
    """Phase portrait and a grid of times."""
    task, rows = Task(1.0, 0.3), []
    fig, (left, right) = style.new(1, 2, width=10.4, height=4.2)
    starts = ((0.01, 0.01), (0.01, 0.2), (0.01, 0.4), (0.01, 0.65), (0.5, 0.1), (1.0, 0.1), (1.0, 0.4), (1.0, 0.7))
    for number, start in enumerate(starts):
        path = induction_block.induction_flow(task, start, np.linspace(0.0, 120.0, 2000))
        left.plot(path.similarity, path.value, color=style.COLORS[1], linewidth=1.0,
                  label=None if number else "gradient flow")
        place = int(np.searchsorted(np.abs(np.diff(path.value)).cumsum(), 0.35 * np.abs(np.diff(path.value)).sum()))
        tip, tail = ((path.similarity[at], path.value[at]) for at in (place + 1, place))
        left.annotate("", tip, tail, arrowprops={"arrowstyle": "->", "color": style.COLORS[1]})
        rows += [("path", number, x, b) for x, b in zip(path.similarity[::20], path.value[::20])]
    for number in (2, 3, 7):
        run = _descents(effort, starts[number])
        similarity, value = run.mean[:, PARAMETERS.index("w")] ** 2, run.mean[:, PARAMETERS.index("b")]
        left.plot(similarity, value, color=style.COLORS[0], linestyle="none", marker="x", markersize=4.5,
                  label="SGD, N = 32" if number == 2 else None)
        rows += [("SGD", number, *pair) for pair in zip(similarity, value)]
    x = np.linspace(0.0, 0.55, 111)
    slaved = induction_block.slaved_value(task, x)
    left.plot(x, slaved, **style.theory(2, linestyle="--"), label="b that is best for x")
    left.plot([task.similarity], [task.induction], **style.measurement(0), label="fixed point (y, c)")
    left.plot([0.0], [task.induction], **style.measurement(3), label="saddle (0, c)")
    left.set(xlabel="similarity $x = w^2$", ylabel="value b", xlim=(-0.01, 0.55), ylim=(0.0, 1.5))
    left.legend(loc="upper right")
    rows += [("slaved", 0, *pair) for pair in zip(x, slaved)]
    count = effort.choose(50, 100)
    weights, similarities = np.geomspace(0.1, 30.0, count), np.linspace(0.05, 0.69, count)
    times = emergence_times(weights, similarities[:, None], 1e-4)
    mesh = right.pcolormesh(weights, similarities, np.log10(times), cmap="cividis", shading="nearest", rasterized=True)
    lines = right.contour(weights, similarities, np.log10(times), levels=np.arange(1.0, 6.0, 0.5),
                          colors=["white"] * 5 + ["black"] * 5,
                          linewidths=0.8)
    right.clabel(lines, fontsize=8)
    right.set(xscale="log", xlabel=r"weight $\alpha$ of the 4-gram", ylabel=r"similarity $y = w_\star^2$")
    right.grid(False)
    fig.colorbar(mesh, ax=right, label=r"$\log_{10}\,T/N$")
    rows += [(f"time, y = {y:.6g}", 0, weight, time) for y, line in zip(similarities, times)
             for weight, time in zip(weights, line)]
    return Drawing(fig, _table(("kind", "path", "x", "value"), rows))


def _descents(effort, start):
    """SGD of b and w alone, in 32 keys, from this start."""
    times = np.unique(np.geomspace(1, 750, 16).round().astype(int))
    return sims.simulate(Task(1.0, 0.3, 34), 750, (math.inf, 1.0, 30.0, 1.0, *start), ("b", "w"), 0.5,
                         times=times, replicas=2, seed=20_241_020, **effort.engine)


@figure("plateau_level", topic="induction_heads", title="How much of its loss the induction head keeps on the plateau",
        caption="Loss half-way to the emergence over the loss at the start, against the dimension of a token. "
                "Markers: the flow from 1e-40 (in many dimensions larger starts emerge before the context's mean is "
                "learned); lines: 1 - (1 - 2y^2)^(d/2); grey: 99%, out of reach in one dimension.",
        claims=("induction_heads.plateau_level", "induction_heads.first_drop"))
def level_of_plateau(effort):
    """One curve per similarity."""
    fig, axis = style.new()
    rows, few = [], np.unique(np.geomspace(1, 64, 10).round().astype(int))
    many = np.arange(1, 81)
    for index, y in enumerate((0.1, 0.3, 0.5, 0.65)):
        formula = induction_block.plateau_fraction(y, many)
        axis.plot(many, formula, **style.theory(index), label=f"y = {y:g}")
        measured = []
        for d in few:
            middle = 0.5 * float(emergence_times(1.0, y, 1e-40, 0.5, int(d)))
            loss = induction_block.induction_flow(Task(1.0, y, dimension=int(d)), 1e-40, [0.0, middle]).scaled_loss
            measured.append(loss[1] / loss[0])
        axis.plot(few, measured, **style.measurement(index))
        rows += [("formula", y, *pair) for pair in zip(many, formula)]
        rows += [("flow", y, *pair) for pair in zip(few, measured)]
    style.guide(axis, [1, 80], [0.99, 0.99], "99%")
    axis.set(xscale="log", xlabel="dimension d of a token", ylabel="plateau over initial loss", ylim=(0.0, 1.05))
    axis.legend()
    return Drawing(fig, _table(("kind", "similarity", "dimension", "part"), rows))
