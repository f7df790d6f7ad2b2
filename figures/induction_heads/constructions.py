"""The constructed attention layers: errors against slopes and heads, what fewer heads leave, where they look."""

from fractions import Fraction

import numpy as np

from ...sims import streams
from ...theory.induction_heads import constructions, lag_selection, targets
from .. import style
from ..figure import Drawing, figure

SLOPES = np.arange(1.0, 13.0)
LARGEST = Fraction(1, 4)
"""U of the nodes U h/H."""


def _uniform(*shape):
    draws = streams.uniforms(streams.key(1, "induction_heads.figure"), 0, 0, int(np.prod(shape)), dtype=np.float64)
    return 2.0 * draws.reshape(shape) - 1.0


@figure("construction_error", topic="induction_heads", title="Error of the constructed layers",
        caption="Left: in-context 2-grams by one head of slope p (d = 1, W = 1/10): largest error over random "
                "sequences of length L, and on the alternating sequence, on which the bound (line) is sharp. Right: "
                "in-context n-grams by H heads with nodes h/(4H), d = 2, L = 48; lines: the bound from the exact lag "
                "errors and from what rounding in float64 adds to them, which takes over where a line bends upwards; "
                "markers: largest error over random sequences.",
        claims=("induction_heads.bigram_error", "induction_heads.bigram_constant", "induction_heads.ngram_error"))
def construction_error(effort):
    """Theory is the bound, measured the forward pass of the weights."""
    count = effort.choose(20, 200)
    table = {name: [] for name in ("target", "length", "parameter", "value", "error", "bound")}
    fig, (left, right) = style.new(1, 2, width=10.4, height=4.2)
    matrix = np.array([[0.1]])
    bound = np.array([constructions.bigram_bound(matrix, slope) for slope in SLOPES])
    left.plot(SLOPES, bound, **style.theory(0), label="bound 2 |W| exp(-p)")
    cases = [("alternating, L = 513", constructions.hardest_sequence(513)[None])]
    cases += [(f"random, L = {length}", _uniform(count, length, 1)) for length in (8, 64, 512)]
    for index, (label, tokens) in enumerate(cases):
        target = targets.bigram_induction(tokens, matrix)
        error = [np.abs(constructions.bigram_model(matrix, slope)(tokens) - target).max() for slope in SLOPES]
        left.plot(SLOPES, error, **style.measurement(index), label=label)
        _append(table, "2-gram", tokens.shape[1], "p", SLOPES, error, bound)
    left.set_yscale("log")
    left.set_xlabel("slope p of the first layer")
    left.set_ylabel("largest error of the output")
    left.legend(loc="lower left")
    for index, n in enumerate((2, 3, 4)):
        heads = np.arange(n - 1, n + 9)
        matrix, tokens = _uniform(2 * n - 2, 2 * n - 2), _uniform(count, 48, 2)
        target = targets.ngram_induction(tokens, matrix, n)
        nodes = [lag_selection.spaced_nodes(int(each), LARGEST) for each in heads]
        error = [np.abs(constructions.ngram_model(matrix, n, each)(tokens) - target).max() for each in nodes]
        bound = np.array([constructions.ngram_bound(matrix, n, each) for each in nodes])
        right.plot(heads, bound, **style.theory(index), label=f"n = {n}: bound")
        right.plot(heads, error, **style.measurement(index), label=f"n = {n}: model")
        _append(table, f"{n}-gram", 48, "H", heads, error, bound)
    right.set_yscale("log")
    right.set_xlabel("heads H of the first layer")
    right.set_ylabel("largest error of the output")
    right.legend(loc="lower left", ncols=3, columnspacing=1.0)
    right.set_ylim(1e-13, 1e3)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


def _append(table, target, length, parameter, values, error, bound):
    for name, text in (("target", target), ("length", length), ("parameter", parameter)):
        table[name].append(np.full(len(values), text))
    for name, numbers in (("value", values), ("error", error), ("bound", bound)):
        table[name].append(np.asarray(numbers, dtype=float))


@figure("heads_needed", topic="induction_heads", title="What H heads can fetch",
        caption="Left: error of the lag i on nodes h/(4H) (markers: exact, at every position beyond the lag) and its "
                "asymptotic law (lines). Middle: least error of the lag i in the sum of moduli over all weights, by "
                "linear programs on nodes h/(4H) (markers), and the lower bound (lines): 1 for fewer than i heads "
                "whatever the nodes; from i heads on there is none. Right: least error in the largest modulus of the "
                "lag H + 1 by linear programs (markers), its closed form prod 1/(1 + u_h) "
                "(lines), and its infimum over nodes 2^-H (grey ticks).",
        claims=("induction_heads.lag_error", "induction_heads.lag_error_rate", "induction_heads.heads_needed",
                "induction_heads.heads_staircase"))
def heads_needed(effort):
    """Three panels: above, at and below the number of heads that a lag takes."""
    table = {name: [] for name in ("panel", "curve", "heads", "measured", "theory")}
    fig, panels = style.new(1, 3, width=12.0, height=4.0)
    for index, lag in enumerate((1, 2, 3, 4)):
        heads = np.arange(lag, effort.choose(25, 41))
        exact = [float(lag_selection.vandermonde_error(lag_selection.spaced_nodes(int(each), LARGEST), lag))
                 for each in heads]
        law = np.array([lag_selection.spaced_error_law(int(each), float(LARGEST), lag) for each in heads])
        panels[0].plot(heads, law, **style.theory(index), label=f"i = {lag}")
        panels[0].plot(heads[::2], exact[::2], **style.measurement(index))
        _rows(table, "exact and law", f"i={lag}", heads, exact, law)
    panels[0].set_yscale("log")
    panels[0].set_ylabel("error of the lag i")
    panels[0].legend(title="law (lines), exact (markers)", title_fontsize=8.5)
    heads = np.arange(1, 7)
    for index, lag in enumerate((2, 3, 4, 5)):
        nodes = [lag_selection.spaced_nodes(int(each), 0.25) for each in heads]
        least = np.array([lag_selection.least_error(each, lag, lag + 40) for each in nodes])
        bound = np.ma.masked_where(heads >= lag, np.ones(heads.size))
        panels[1].plot([0.5, lag - 0.5, lag - 0.5], [1.0, 1.0, 1e-9], **style.theory(index))
        panels[1].plot(heads, least, **style.measurement(index), label=f"i = {lag}")
        _rows(table, "least sum", f"i={lag}", heads, least, bound)
    panels[1].set_yscale("log")
    panels[1].set_xlim(0.5, 6.5)
    panels[1].set_ylim(1e-6, 3.0)
    panels[1].set_ylabel("least error, sum of moduli")
    panels[1].legend(loc="lower right")
    for index, largest in enumerate((0.25, 0.75, 0.99)):
        nodes = [tuple(largest - 0.02 * k for k in range(each)) for each in range(1, 6)]
        closed = np.array([lag_selection.largest_coordinate_bound(each) for each in nodes])
        least = [lag_selection.least_error(each, len(each) + 1, len(each) + 1, "largest") for each in nodes]
        panels[2].plot(range(1, 6), closed, **style.theory(index), label=f"largest node {largest:g}")
        panels[2].plot(range(1, 6), least, **style.measurement(index))
        _rows(table, "least largest", f"largest node {largest:g}", np.arange(1, 6), least, closed)
    panels[2].plot(range(1, 6), 0.5 ** np.arange(1, 6), linestyle="none", marker="_", markersize=16, color="0.5",
                   zorder=1, label="infimum 2^-H")
    panels[2].set_yscale("log", base=2)
    panels[2].set_ylabel("least error, largest modulus, lag H + 1")
    panels[2].legend()
    for axes in panels:
        axes.set_xlabel("heads H")
    return Drawing(fig, {name: np.ma.concatenate(parts) for name, parts in table.items()})


def _rows(table, panel, curve, heads, measured, theory):
    for name, values in (("panel", np.full(len(heads), panel)), ("curve", np.full(len(heads), curve)),
                         ("heads", np.asarray(heads)), ("measured", np.asarray(measured)),
                         ("theory", np.ma.asarray(theory))):
        table[name].append(values)


@figure("attention_maps", topic="induction_heads", title="Where an induction head looks",
        caption="The constructed 2-gram model on a sequence of letters (one-hot, W = 8 I). Above: attention of the "
                "first layer, slope 0.7 and 4; with the larger slope it is the previous token. Below: attention of the "
                "last position in the second layer (markers) and the target's (bars): all continuations of earlier "
                "copies of the last letter. A space is shown as _.",
        claims=("induction_heads.bigram_error",))
def attention_maps(effort):
    """One column per slope; the letters are the axis labels."""
    letters = "the cat sat on the mat and the "
    alphabet = sorted(set(letters))
    tokens = np.eye(len(alphabet))[[alphabet.index(letter) for letter in letters]]
    matrix = 8.0 * np.eye(len(alphabet))
    wanted = np.concatenate([[0.0], targets.induction_weights(tokens, matrix, 2), [0.0]])
    table = {name: [] for name in ("slope", "position", "letter", "previous_token_weight", "attention", "target")}
    fig, axes = style.new(2, 2, width=10.4, height=7.4, height_ratios=(3, 1))
    places = np.arange(1, len(letters) + 1)
    shown = [letter if letter != " " else "_" for letter in letters]
    for (above, below), slope in zip(axes.T, (0.7, 4.0)):
        trace = constructions.bigram_model(matrix, slope).trace(tokens)
        image = above.imshow(trace.first_weights[0], cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto",
                             extent=(0.5, len(letters) + 0.5, len(letters) + 0.5, 0.5))
        above.grid(False)
        above.set_title(f"first layer, slope p = {slope:g}")
        above.set_yticks(places, shown, fontsize=7)
        below.bar(places, wanted, width=0.9, color="#C8C8C8", label="target IH_2")
        below.plot(places, trace.second_weights[0], **style.measurement(1), label="second layer")
        below.set_ylim(0.0, 0.36)
        below.set_xlabel("position of the key s (letter)")
        for panel in (above, below):
            panel.set_xticks(places, shown, fontsize=7)
            panel.set_xlim(0.5, len(letters) + 0.5)
        previous = np.concatenate([[0.0], np.diagonal(trace.first_weights[0], -1)])
        for name, values in (("slope", np.full(places.size, slope)), ("position", places),
                             ("letter", np.array(list(shown))), ("previous_token_weight", previous),
                             ("attention", trace.second_weights[0]), ("target", wanted)):
            table[name].append(values)
    fig.colorbar(image, ax=axes[0], label="attention", shrink=0.8)
    axes[0, 0].set_ylabel("position of the query s (letter)")
    axes[1, 0].set_ylabel("attention at L")
    axes[1, 0].legend(loc="upper left", ncols=2)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})
