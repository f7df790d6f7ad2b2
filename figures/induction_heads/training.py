"""Induction heads in training: SGD over its flow, what a finite context and a whole layer change, Markov chains."""

from functools import cache

import numpy as np

from ...sims import induction_heads as sims
from ...sims.induction_heads.markov_chains import OBSERVABLES as TESTED
from ...theory.induction_heads import finite_context
from ...theory.induction_heads import markov_chains as chains
from ...theory.induction_heads.induction_block import plateau, plateau_fraction
from ...theory.induction_heads.joint_flow import stage_two_flow
from ...theory.induction_heads.phases import phases
from ...theory.induction_heads.population_loss import Task, context_moment
from .. import style
from ..figure import Drawing, figure
from .dynamics import shade

SEED, SCALE, RATE = 20_241_020, 0.05, 0.5
LETTERS = "abc"
MODELS = {"two layers": ("learned", "fixed"), "second layer's values learned, too": ("learned", "learned"),
          "first layer without positions": ("flat", "fixed"), "one layer": ("none", "fixed")}
"""What becomes of the first layer and of the second one's values."""
SLOWER = ("second layer's values learned, too",)
"""Two rests take longer than one."""


def _table(columns, rows):
    return {name: np.ma.array([0.0 if value is None else value for value in column],
                              mask=[value is None for value in column]) for name, column in zip(columns, zip(*rows))}


@figure("sgd", topic="induction_heads", title="SGD over gradient flow",
        caption="Layer 2 in training from scalars of 0.05 (L = 66, alpha = 1, y = 0.3; batches of 1500, rate 1/2). "
                "Markers: SGD, mean of runs with 2 standard errors, losses on single batches; lines: gradient flow, "
                "the induction head's in an infinite context on the clock t/N; dashed: slower by 1 + delta/N. In the "
                "first ten steps SGD lags as Euler's method does. Grey: plateau level and 1/(4t); "
                "shaded: plateau to a tenth (light) and emergence (dark) of the slower flow.",
        claims=("induction_heads.emergence_in_sgd", "induction_heads.four_gram_in_sgd", "induction_heads.sgd_end"))
def sgd(effort):
    """Losses left, scalars right, against log time."""
    task = Task(1.0, 0.3, 66)
    steps = np.unique(np.round(np.geomspace(4, effort.choose(4500, 6000), 30)).astype(int))
    run = sims.simulate(task, int(steps[-1]), sims.second_stage(SCALE), rate=RATE, times=steps,
                        replicas=effort.choose(2, 16), seed=SEED, **effort.engine)
    times, fine = RATE * steps, np.geomspace(RATE * steps[0], RATE * steps[-1], 300)
    slow = 1.0 + finite_context.emergence_delay(task, SCALE) / task.keys
    flow, late = stage_two_flow(task, SCALE, fine), stage_two_flow(task, SCALE, fine / slow)
    first = plateau(task) / plateau_fraction(task.similarity) / task.keys
    fig, axes = style.new(1, 2, width=11.0, height=4.0)
    shade(axes, phases(task, late, edge=0.1), fine, 0.6)
    rows, unit = [], 0.5 * task.four_gram**2
    panels = ((("4-gram loss", 6, unit, flow.four_gram, None, lambda x: x),
               ("induction loss", 7, first, flow.induction, late.induction, lambda x: x)),
              ((r"$a/\gamma$", 3, task.four_gram, flow.parameter("a"), None, lambda x: x),
               ("$1 - e^{-p}$", 2, 1.0, flow.parameter("p"), None, lambda x: -np.expm1(-x)),
               ("$b/c$", 4, task.induction, flow.parameter("b"), late.parameter("b"), lambda x: x),
               ("$w^2/y$", 5, task.similarity, flow.parameter("w"), late.parameter("w"), lambda x: x * x)))
    for number, (axis, curves) in enumerate(zip(axes, panels)):
        for place, (label, column, scale, line, moved, change) in enumerate(curves):
            index = place + 1 - number
            mean, error = run.mean[:, column], run.stderr[:, column]
            shown, spread = change(mean) / scale, (change(mean + error) - change(mean - error)) / (2 * scale)
            axis.plot(fine, change(line) / scale, **style.theory(index, linestyle="-"))
            axis.plot([], [], **style.measurement(index, linestyle="-"), label=label)
            if moved is not None:
                later = change(moved) / scale
                axis.plot(fine, later, **style.theory(index, linestyle=(0, (4, 2)), linewidth=1.2))
                rows += [(f"{label}, slower clock", time, value, None) for time, value in zip(fine, later)]
            axis.errorbar(times, shown, 2 * spread, **style.measurement(index))
            rows += [(f"{label}, flow", time, value, None) for time, value in zip(fine, change(line) / scale)]
            rows += [(f"{label}, SGD", *row) for row in zip(times, shown, spread)]
        axis.set(xscale="log", xlabel="time t = rate x step")
        if number == 0:
            grey = {"color": style.GREY, "markeredgecolor": style.GREY}
            axis.plot([], [], **style.measurement(0, **grey), label="markers: SGD")
            axis.plot([], [], color=style.GREY, linestyle=(0, (4, 2)), linewidth=1.2, label="slower clock")
        axis.legend(loc="lower left" if number == 0 else "upper left")
    style.guide(axes[0], fine[[0, -1]], np.full(2, float(plateau_fraction(task.similarity))))
    style.guide(axes[0], fine[fine > 20], 1.0 / (4.0 * fine[fine > 20] * unit))
    axes[0].set(yscale="log", ylabel="loss over its largest value", ylim=(3e-4, 2))
    axes[1].set(ylabel="scalar over its limit", ylim=(-0.02, 1.5))
    return Drawing(fig, _table(("curve", "time", "value", "standard_error"), rows))


@figure("finite_context", topic="induction_heads", title="What a finite context changes",
        caption="Left: N times the deviation of N E f_x f_y from its limit A(xy), x = 0.1, y = 0.2, d = 3, by Monte "
                "Carlo with 2 standard errors; lines end at the correction C in closed form. Right: time of emergence "
                "over N by SGD (alpha = 1, y = 0.3, sigma = 0.05); lines: T_0 (1 + delta/N) for one weight w in query "
                "and key and for two; triangles: matrices, positions in head 1 and dot product in head 2 (error bars "
                "within markers).",
        claims=("induction_heads.context_correction", "induction_heads.emergence_in_sgd",
                "induction_heads.separate_keys", "induction_heads.whole_layer_delay"))
def finite_contexts(effort):
    """Moments left, times right."""
    fig, axes = style.new(1, 2, width=11.0, height=4.0)
    rows, x, y, d = [], 0.1, 0.2, 3
    keys = np.array(effort.choose([4, 6, 8, 12, 16], [4, 6, 8, 12, 16, 24]))
    runs = [sims.simulate_moments(Task(1.0, y, int(n) + 2, d), x, 256, replicas=effort.choose(300, 6000) * int(n) ** 2
                                  // 4, seed=SEED + int(n), **effort.engine) for n in keys]
    for index, (label, one, other) in enumerate((("x, x", x, x), ("x, y", x, y), ("y, y", y, y))):
        limit = float(context_moment(one * other, d))
        correction = float(finite_context.moment_correction(one, other, d))
        scaled = np.array([n * (run.mean[index] - limit) for n, run in zip(keys, runs)])
        error = np.array([n * run.stderr[index] for n, run in zip(keys, runs)])
        powers = np.vander(1.0 / keys, 3)[:, :2]                  # no constant: the parabola goes through C
        slope = np.linalg.lstsq(powers / error[:, None], (scaled - correction) / error, rcond=None)[0]
        inverse = np.linspace(0, 0.25, 50)
        axes[0].errorbar(1.0 / keys, scaled, 2 * error, **style.measurement(index))
        axes[0].plot([0.0], [correction], color=style.COLORS[index], marker="*", markersize=11, linestyle="none",
                     clip_on=False, label=f"{label}: $C$ = {correction:.3f}")
        fitted = correction + (slope[0] * inverse + slope[1]) * inverse
        axes[0].plot(inverse, fitted, **style.theory(index, linewidth=1.0))
        rows += [(f"moment {label}", 1.0 / n, *row) for n, *row in zip(keys, scaled, error)]
        rows += [(f"moment {label}, C", 0.0, correction, None)]
    axes[0].set(xlabel="1/N", ylabel=r"$N\,(N\,E f_x f_y - A(xy))$", xlim=(0, 0.26))
    axes[0].legend(title="* closed form; lines: parabolas through it", title_fontsize=8.5, loc="center right")
    flow, lengths = Task(1.0, 0.3), np.array(effort.choose([6, 8, 12, 24], [6, 8, 12, 16, 24, 32, 48, 64, 96]))
    for index, (label, separate, heads) in enumerate((("one weight, $w^2$", False, None),
                                                      ("two, $q\\,k$", True, "scalars"),
                                                      ("matrices", None, "divided"))):
        found = [_emergence(effort, int(n), heads) for n in lengths]
        mean = np.array([run.mean[0] for run in found]) / lengths
        error = np.array([run.stderr[0] for run in found]) / lengths
        if separate is not None:
            base, delay = (solve(flow, SCALE, separate=separate) for solve in (finite_context.similarity_time,
                                                                             finite_context.emergence_delay))
            fine = np.geomspace(lengths[0], lengths[-1], 60)
            axes[1].plot(fine, base * (1.0 + delay / fine), **style.theory(index))
            rows += [(f"time, {label}, theory", n, value, None) for n, value in zip(fine, base * (1.0 + delay / fine))]
        axes[1].errorbar(lengths, mean, 2 * error, **style.measurement(index), label=label)
        rows += [(f"time, {label}", *row) for row in zip(lengths, mean, error)]
    axes[1].set(xscale="log", xlabel="keys N = L - 2", ylabel="time of emergence T/N", ylim=(0, None))
    axes[1].set_xticks(lengths, [str(n) for n in lengths])
    axes[1].minorticks_off()
    axes[1].legend()
    return Drawing(fig, _table(("curve", "x", "value", "standard_error"), rows))


@cache
def _emergence(effort, keys, heads):
    task = Task(1.0, 0.3, keys + 2)
    if heads is None:
        made = sims.Descent(task, 200 * keys, sims.second_stage(SCALE), ("b", "w"), RATE, 1500)
    else:
        made = sims.LayerDescent(task, 600 * keys, SCALE, sims.scalar_start(SCALE), heads, RATE, 500)
    return sims.simulate_emergence(made, replicas=effort.choose(3, 24), seed=SEED, **effort.engine)


@figure("markov_plateaus", topic="induction_heads", title="From the uniform rule to unigrams and bigrams",
        caption="A two-layer attention model in training on Markov chains in context (3 states; markers: every test, "
                "of two runs of the first model and one of the others; lines: means). Grey: what four rules cost. The "
                "uniform height is a plateau only where the second layer learns values besides its output: that run "
                "rests at the uniform, then at the unigram height, then nears the bigram rule; a single layer, and a "
                "first layer without positions, stay at the unigram rule. Right, of the first model: "
                "weight that the first layer puts on the token before, and the second on what followed earlier copies "
                "of the last token.",
        claims=("induction_heads.markov_plateaus", "induction_heads.markov_heights", "induction_heads.markov_uniform"))
def markov_plateaus(effort):
    """Losses left, attention right, against steps."""
    heights, made = _heights(effort), _experiment(effort, "two layers")
    fig, axes = style.new(1, 2, width=11.0, height=4.2)
    rows, last = [], max(_experiment(effort, label).times[-1] for label in MODELS)
    for index, label in enumerate(MODELS):
        steps = _experiment(effort, label).times
        tests = np.array(_training(effort, label)[1])
        panels = [(axes[0], index, label, "loss")]
        if label == "two layers":
            panels += [(axes[1], 0, "first layer: on the token before", "previous"),
                       (axes[1], 1, "second layer: on matches", "matching")]
        for axis, look, curve, name in panels:
            column = TESTED.index(name)
            for number, test in enumerate(tests[:, :, column]):
                axis.plot(steps, test, **style.measurement(look, markersize=3.5))
                rows += [(f"{label}, run {number}", name, *row) for row in zip(steps, test)]
            axis.plot(steps, tests[:, :, column].mean(axis=0), **style.theory(look), label=curve)
    for name, height in zip(chains.HEIGHTS, heights):
        style.guide(axes[0], np.array([1, last]), np.full(2, height), name)
        rows.append((name, "height", 0, height))
    axes[0].set(xscale="log", xlabel="step", ylabel="cross-entropy of the next state (nats)",
                xlim=(1 / 1.15, last * 3.0))
    axes[0].legend(loc="lower left", bbox_to_anchor=(0.0, 0.08))
    axes[1].set(xscale="log", xlabel="step", ylabel="attention", ylim=(0, 1), title=f"T = {made.length} tokens")
    axes[1].legend(loc="upper left")
    return Drawing(fig, _table(("curve", "panel", "step", "value"), rows))


@figure("trained_attention", topic="induction_heads", title="Where a trained model looks",
        caption="The model of markov_plateaus, before training and after, on one sequence. Above: attention of the "
                "first layer. Below: attention of the last position in the second layer (markers), and, grey, the "
                "positions up to T - 1 whose previous token is the last token: what a bigram rule counts.",
        claims=("induction_heads.markov_plateaus",))
def trained_attention(effort):
    """One column per moment; the states are the axis labels."""
    shown_length = effort.choose(16, 24)
    states = _sequence(shown_length)
    matches = np.concatenate([[False], states[:-1] == states[-1]])
    matches[-1] = False
    fig, axes = style.new(2, 2, width=10.4, height=7.4, height_ratios=(3, 1))
    places, rows = np.arange(1, shown_length + 1), []
    for (above, below), (title, model) in zip(axes.T, (("before training", _untrained(effort)),
                                                       ("after training", _training(effort, "two layers")[0][0]))):
        trace = model.trace(np.eye(3)[states])
        image = above.imshow(trace.first_weights[0], cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto",
                             extent=(0.5, shown_length + 0.5, shown_length + 0.5, 0.5))
        above.grid(False)
        above.set_title(f"{title}, slope p = {model.first.slopes[0]:.2f}")
        below.bar(places[matches], np.full(matches.sum(), 1.0 / matches.sum()), width=0.9, color="#C8C8C8",
                  label="bigram rule")
        below.plot(places, trace.second_weights[0], **style.measurement(1), label="second layer")
        below.set(ylim=(0, 1.6 / matches.sum()), xlabel="position of the key s (state)")
        for panel in (above, below):
            panel.set_xticks(places, [LETTERS[state] for state in states], fontsize=8)
            panel.set_xlim(0.5, shown_length + 0.5)
        above.set_yticks(places, [LETTERS[state] for state in states], fontsize=8)
        previous = np.concatenate([[0.0], np.diagonal(trace.first_weights[0], -1)])
        rows += [(title, place, LETTERS[state], *row) for place, state, *row in
                 zip(places, states, previous, trace.second_weights[0], matches / matches.sum())]
    fig.colorbar(image, ax=axes[0], label="attention", shrink=0.8)
    axes[0, 0].set_ylabel("position of the query s (state)")
    axes[1, 0].set_ylabel("attention at T")
    axes[1, 0].legend(loc="upper left", ncols=2)
    return Drawing(fig, _table(("moment", "position", "state", "weight_on_token_before", "attention_of_last",
                                "bigram_rule"), rows))


def _experiment(effort, label):
    length, steps = effort.choose((16, 2000 if label in SLOWER else 1200), (64, 3000))
    times = np.unique(np.geomspace(1, steps, effort.choose(21, 30)).round().astype(int))
    first_layer, values = MODELS[label]
    return sims.ChainTraining(3, length, steps, first_layer=first_layer, values=values, times=times,
                              tests=effort.choose(2000, 8000))


@cache
def _training(effort, label):
    """Trained models and their tests."""
    made = _experiment(effort, label)
    runs = effort.choose(1 + (label == "two layers"), 2)
    return tuple(zip(*(made.trained(SEED, replica) for replica in range(runs))))


def _untrained(effort):
    made = _experiment(effort, "two layers")
    return sims.ChainTraining(3, made.length, made.schedule, times=[0], tests=100).trained(SEED, 0)[0]


@cache
def _heights(effort):
    length = _experiment(effort, "two layers").length
    return sims.simulate_heights(3, length, replicas=effort.choose(50, 1000), seed=SEED, **effort.engine).mean


def _sequence(length):
    """A path of a chain whose last state came up often enough to see something."""
    _, paths = sims.chains(SEED, 0, 0, 200, 3, length)
    found = paths[:, :length]
    often = np.sum(found[:, :-1] == found[:, -1:], axis=1)
    return found[int(np.argmin(np.abs(often - length // 3)))]
