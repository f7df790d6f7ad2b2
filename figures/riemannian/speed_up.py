"""How much LITE speeds up flat directions: at a frozen learning rate, and re-tuned; and the published losses."""

import math

import numpy as np

from ...theory.riemannian import modes, published, speed_up
from .. import style
from ..figure import Drawing, figure
from .columns import columns

MOMENTUM = 0.95
STEPS = (1e-6, 1e-5, 1e-4, 5e-4)
"""s of the flat mode without LITE."""
BLOCKS = speed_up.Blocks((10.0, 100.0), (0.01, 0.1))
FOLDS = (20.0, 120.0)
"""Factors of e between which iterations are counted: many half-periods of a mode that oscillates."""


@figure("gain", topic="riemannian", title="Gain on flat directions: frozen and re-tuned",
        caption="Factor in iterations against chi. Left: everything else frozen, momentum 0.95, for flat modes of "
                "several steps s; lines: from the roots, dotted: chi; markers: iterations counted while a run decays "
                "from e^-20 to e^-120. Past chi s = (1 - sqrt theta)^2 the mode oscillates and gains nothing more. "
                "Right: learning rate and momentum re-tuned to spectra with a sharp block (10..100) and a flat one "
                "(0.01..0.1); line: closed form, sqrt(chi) up to the gap (grey line); markers: best of a search over "
                "both. Without a gap (one block, 0.01..100) it loses.",
        claims=("riemannian.flat_speed_up", "riemannian.frozen_gain", "riemannian.gain_saturates",
                "riemannian.retuned_gain"))
def gain(effort):
    """Two panels on logarithmic axes."""
    fig, (frozen, retuned) = style.new(1, 2, width=10.6, height=4.3, sharey=True)
    fine, some, rows = np.geomspace(1.0, 1000.0, 301), np.geomspace(1.0, 1000.0, 13), []
    for index, s in enumerate(STEPS):
        frozen.plot(fine, speed_up.exact_gain(s, MOMENTUM, fine), **style.theory(index), label=f"s = {s:g}")
        counted = iterations(s, 1.0) / np.array([iterations(s, chi) for chi in some])
        frozen.plot(some, counted, **style.measurement(index))
        rows += [("frozen", s, *map(float, row)) for row in zip(some, speed_up.exact_gain(s, MOMENTUM, some), counted)]
    style.guide(frozen, fine[fine < 320], fine[fine < 320], "chi")
    whole = speed_up.Blocks((0.01, 100.0), (0.01, 100.0))
    fine, some = np.geomspace(1.0, 1e4, 401), np.geomspace(1.0, 1e4, 17)
    for index, (blocks, label) in enumerate(((BLOCKS, "two blocks"), (whole, "no gap"))):
        law = np.array([speed_up.retuned_gain(blocks, chi) for chi in fine])
        retuned.plot(fine, law, **style.theory(index), label=label)
        base = _searched(blocks, 1.0, effort)
        found = np.array([base / _searched(blocks, chi, effort) for chi in some])
        retuned.plot(some, found, **style.measurement(index))
        rows += [(f"re-tuned, {label}", np.ma.masked, float(chi), speed_up.retuned_gain(blocks, chi), float(value))
                 for chi, value in zip(some, found)]
    style.guide(retuned, fine[fine < 2500], np.sqrt(fine[fine < 2500]), "sqrt(chi)")
    style.guide(retuned, fine[fine < 320], fine[fine < 320], "chi")
    retuned.axvline(BLOCKS.reach, color=style.GREY, linewidth=1.0)
    style.loglog(frozen).set(xlabel="gain chi of the flat learning rate", ylabel="factor in iterations",
                             ylim=(0.15, 600))
    style.loglog(retuned).set(xlabel="gain chi of the flat learning rate", xlim=(0.8, 1.3e4))
    frozen.legend(loc="upper left")
    retuned.legend(loc="upper left")
    return Drawing(fig, columns(("panel", "step", "chi", "gain", "measured"), rows))


def iterations(step, chi):
    """Steps per factor e in which a mode decays, counted on the closed form of its path."""
    rate = float(modes.decay_rate(chi * step, MOMENTUM))
    times = np.arange(0, int(1.1 * FOLDS[1] / rate), max(1, int(0.02 / rate)))
    path = np.abs(modes.trajectory(times, chi * step, MOMENTUM))
    envelope = np.maximum.accumulate(path[::-1])[::-1]
    first, last = (times[np.argmax(envelope < math.exp(-folds))] for folds in FOLDS)
    return (last - first) / (FOLDS[1] - FOLDS[0])


def _searched(blocks, chi, effort):
    """Fewest iterations per factor e over learning rates and momenta, on grids that close in."""
    ends = np.concatenate([np.geomspace(*blocks.sharp, 7), chi * np.geomspace(*blocks.flat, 7)])
    best, middle, width = math.inf, np.array([math.log(2.0 / ends.max()), math.log(0.1)]), np.array([2.0, 4.0])
    for _ in range(effort.choose(7, 12)):
        rate, alpha = np.meshgrid(*(np.exp(m + w * np.linspace(-1, 1, 15)) for m, w in zip(middle, width)),
                                  indexing="ij")
        alpha = np.minimum(alpha, 1.0)
        slowest = modes.decay_rate(rate[..., None] * ends, 1.0 - alpha[..., None]).min(axis=-1)
        place = np.unravel_index(np.argmax(slowest), slowest.shape)
        best = min(best, 1.0 / slowest[place])
        middle, width = np.log([rate[place], alpha[place]]), 0.5 * width
    return best


@figure("published_losses", topic="riemannian", title="The published losses of Muon and Muon-LITE",
        caption="Validation losses read from the figures of the paper's repository (markers), one run each. Left: "
                "over size, with least-squares lines in log N and, dotted, power laws, which the three points cannot "
                "tell apart within their range. Right: over the number of steps at 198M; the arrow is the factor in "
                "steps by which Muon would make up for the gap at 25,000 steps, interpolated.",
        claims=("riemannian.published_lines", "riemannian.size_law_undetermined", "riemannian.equivalent_steps"))
def published_losses(effort):
    """Numbers of the paper, laws fitted here."""
    fig, (size, steps) = style.new(1, 2, width=10.2, height=4.0)
    N, k, rows = np.array(published.MILLIONS), np.array(published.THOUSANDS_OF_STEPS), []
    fine = np.geomspace(60.0, 12_000.0, 121)
    for index, name in enumerate(published.BY_SIZE):
        line, power = (published.fit(N, published.BY_SIZE[name], kind) for kind in ("line", "power"))
        size.plot(N, published.BY_SIZE[name], **style.measurement(index, markersize=6), label=name, zorder=3)
        size.plot(fine, line(fine), **style.theory(index, linestyle="-"))
        size.plot(fine, power(fine), **style.theory(index, linestyle=style.DASHES[2]))
        steps.plot(k, published.BY_STEPS[name], **style.measurement(index, markersize=6, linestyle="-", linewidth=1.2),
                   label=name)
        rows += [("size", name, *map(float, row)) for row in zip(N, published.BY_SIZE[name])]
        rows += [(f"size, {kind}", name, *map(float, row)) for kind, law in (("line", line), ("power", power))
                 for row in zip(fine[::10], law(fine[::10]))]
        rows += [("thousands of steps", name, *row) for row in zip(k.tolist(), published.BY_STEPS[name])]
    target = published.BY_STEPS["Muon-LITE"][1]
    factor = published.equivalent_steps(k[1:], published.BY_STEPS["Muon"][1:], target)
    steps.annotate("", (k[1] * factor, target), (k[1], target),
                   arrowprops={"arrowstyle": "->", "color": style.GREY, "linewidth": 1.4})
    steps.annotate(f"x {factor:.2f}", (k[1] * math.sqrt(factor), target), xytext=(0, 5), textcoords="offset points",
                   ha="center")
    rows.append(("equivalent steps", "Muon", float(factor), target))
    size.set(xlabel="parameters without embeddings N, millions", ylabel="validation loss", xscale="log")
    steps.set(xlabel="steps, thousands", ylabel="validation loss", xscale="log")
    steps.set_xticks(k, [f"{value:g}" for value in k])
    steps.set_xticks([], minor=True)
    size.legend()
    steps.legend()
    return Drawing(fig, columns(("quantity", "method", "x", "loss"), rows))
