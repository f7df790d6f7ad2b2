"""The river valley: from above, in cross-section, and the progress that LITE makes in it."""

import numpy as np

from ...sims.riemannian import Descent, simulate
from ...theory.riemannian import modes, river, second_moment
from ...theory.riemannian.landscapes import CurvedValley, StraightValley
from ...theory.riemannian.lite import Lite
from ...theory.riemannian.optimizers import nesterov
from .. import style
from ..figure import Drawing, figure
from .columns import columns

MOMENTUM = 0.9
SEED = 5
STRAIGHT = StraightValley(0.3, [10.0])
NOISE = 1.0
RATE = 0.01
VARIANTS = (("Nesterov", 1.0, 1.0, 0.0), ("LITE, chi = 2", 1.0, 2.0, 0.0), ("LITE, beta_2 + 10", 1.0, 1.0, 10.0),
            ("LITE, both", 1.0, 2.0, 10.0), ("all rates doubled", 2.0, 1.0, 0.0))
"""Factor of the rate, chi, damping of the flat direction beyond Nesterov's."""


def variant(landscape, rate, factor, chi, more):
    """Nesterov's method, with LITE and the exact projector if it does anything."""
    base = nesterov(factor * rate, MOMENTUM)
    return base if chi == 1.0 and more == 0.0 else Lite(base, landscape.flat, chi, more)


@figure("river_above", topic="riemannian", title="A winding river valley from above",
        caption="Paths of Nesterov's method, of LITE (chi = 2 and damping beta_2 + 10 along the river) and with all "
                "learning rates doubled, on the same noise; markers: every 30th step; dark line: the river; shading: "
                "height above it. Dashed: where a path on the floor would end, by the speed of gradient flow times "
                "eta chi (1 + alpha beta_2)/alpha; in words: mean end and mean loss above the river of many runs, "
                "standard error in the last digits. LITE comes four times as far at nearly the same height; it cuts "
                "corners, and so comes a little further than theory says.",
        claims=("riemannian.curved_river", "riemannian.river_progress"))
def river_above(effort):
    """One path each, panel under panel."""
    valley, rate, noise, steps = CurvedValley(0.2, 20.0, 0.3, 2.0), 0.005, [0.2, 2.0], effort.choose(300, 600)
    fig, axes = style.new(3, 1, width=9.6, height=6.6, sharex=True)
    span = 14.0 * steps / 300
    x, y = np.meshgrid(np.linspace(-0.3, span, 400), np.linspace(-1.0, 1.0, 120))
    height = valley.value(np.stack([x, y], axis=-1)) + valley.slope * x
    rows, fine = [], np.linspace(-0.3, span, 400)
    for index, (axis, (label, factor, chi, more)) in enumerate(zip(axes, (VARIANTS[0], VARIANTS[3], VARIANTS[4])), 1):
        optimizer = variant(valley, rate, factor, chi, more)
        path = Descent(valley, optimizer, steps, 0.0, noise, modes=True, times=np.arange(steps + 1)).paths(SEED)[0]
        many = simulate(valley, optimizer, steps, 0.0, replicas=effort.choose(256, 4096), seed=SEED + 1, noise=noise,
                        times=[steps], **effort.engine)
        (_, up, along), (_, up_error, along_error) = many.mean[0], many.stderr[0]
        axis.contourf(x, y, height, levels=[0.0, 0.1, 0.3, 0.6, 1.0, 1.6, 2.4, 3.6, 5.2], cmap="Greys", alpha=0.55,
                      vmin=-0.5, vmax=9.0)
        axis.plot(fine, valley.river(fine)[:, 1], color=style.COLORS[0], linewidth=1.1)
        axis.plot(*path.T, color=style.COLORS[index], linewidth=1.0)
        axis.plot(*path[::30].T, **style.measurement(index, markersize=5.5),
                  label=f"{label}: at x = {along:.2f}({100 * along_error:.0f}), {up:.3f}({1000 * up_error:.0f}) uphill")
        end = _gradient_flow(valley, steps, factor * rate, chi, 1 / MOMENTUM + more)
        axis.axvline(end, color=style.COLORS[index], linestyle=style.DASHES[1], linewidth=1.4)
        axis.set(ylabel="sharp direction y", xlim=(-0.3, span), ylim=(-0.8, 0.8))
        axis.legend(loc="lower right", frameon=True, facecolor="white", edgecolor="none", framealpha=0.8)
        axis.grid(False)
        rows += [(label, k, *map(float, point), end, *map(float, (along, along_error, up, up_error)))
                 for k, point in enumerate(path)]
    axes[-1].set_xlabel("along the river x")
    return Drawing(fig, columns(("method", "step", "x", "y", "end_in_theory", "mean_end", "mean_end_error", "height",
                                 "height_error"), rows))


def _gradient_flow(valley, steps, rate, chi, damping):
    """Where the river carries in the time that the optimizer's long-run speed gives."""
    grid = np.linspace(0.0, 40.0, 8001)
    time = np.concatenate([[0.0], np.cumsum(np.diff(grid) / valley.river_speed(0.5 * (grid[1:] + grid[:-1])))])
    return float(np.interp(river.river_progress(steps, rate, 1.0, MOMENTUM, damping, chi), time, grid))


@figure("river_section", topic="riemannian", title="The river valley in cross-section",
        caption="A straight valley. Left: where the steps of many runs lie across the river (markers: shares; lines: "
                "a Gaussian of the exact stationary variance) in the parabola of the loss, base method and LITE on "
                "the same line and all rates doubled on a wider one. Right: speed along the river against the loss "
                "that noise leaves across it, both relative to the base method; crosses: theory, markers: simulation "
                "with 2 standard errors.",
        claims=("riemannian.sharp_floor", "riemannian.river_progress", "riemannian.uniform_rate"))
def river_section(effort):
    """Histograms, and one point for each variant."""
    fig, (section, plane) = style.new(1, 2, width=10.4, height=4.2)
    bins, steps, rows = np.linspace(-0.36, 0.36, 25), 400, []
    middle, width, base = 0.5 * (bins[1:] + bins[:-1]), bins[1] - bins[0], None
    for index, (label, factor, chi, more) in enumerate(VARIANTS):
        made = Descent(STRAIGHT, variant(STRAIGHT, RATE, factor, chi, more), steps, 0.0, NOISE, modes=True,
                       times=np.arange(100, steps + 1, 10))
        paths = made.paths(SEED, effort.choose(8000, 40_000))
        y, x = paths[..., 1], paths[..., 0]
        s = factor * RATE * STRAIGHT.curvatures[0]
        variance = float(modes.noise_floor(s, MOMENTUM, 1 / MOMENTUM, STRAIGHT.curvatures[0], NOISE))
        if more == 0.0:
            share = np.histogram(y, bins)[0] / y.size / width
            law = np.exp(-middle**2 / (2 * variance)) / np.sqrt(2 * np.pi * variance)
            fine = np.linspace(-0.36, 0.36, 241)
            section.plot(fine, np.exp(-fine**2 / (2 * variance)) / np.sqrt(2 * np.pi * variance), **style.theory(index))
            some = slice(index % 2, None, 2)   # base method and LITE take turns, so that both are seen
            section.plot(middle[some], share[some], **style.measurement(index), label=label)
            rows += [("density", label, *map(float, row), 0.0) for row in zip(middle, law, share)]
        speed = (x[:, -1] - x[:, 0]) / (steps - 100)
        floor = 0.5 * STRAIGHT.curvatures[0] * (y**2).mean(axis=1)
        theory = (float(river.river_speed(factor * RATE, STRAIGHT.slope, MOMENTUM, 1 / MOMENTUM + more, chi)),
                  0.5 * STRAIGHT.curvatures[0] * variance)
        base = base or theory
        points = [(each.mean() / unit, 2 * each.std(ddof=1) / np.sqrt(each.size) / unit) for each, unit in
                  zip((speed, floor), base)]
        plane.plot(theory[0] / base[0], theory[1] / base[1], marker="x", markersize=13, color=style.COLORS[index])
        plane.errorbar(points[0][0], points[1][0], points[1][1], points[0][1], **style.measurement(index), label=label)
        rows += [(name, label, 0.0, exact / unit, float(mean), float(error) / 2) for name, exact, unit, (mean, error) in
                 zip(("speed", "floor"), theory, base, points)]
    shown = section.twinx()
    shown.plot(bins, 0.5 * STRAIGHT.curvatures[0] * bins**2, color=style.GREY, linewidth=1.2, zorder=0)
    shown.set(ylabel="loss above the river", ylim=(0, 1.0))
    shown.grid(False)
    section.set(xlabel="across the river y", ylabel="density", ylim=(0, None))
    section.legend(loc="upper left")
    plane.set(xlabel="speed along the river / base", ylabel="loss across the river / base", xlim=(0.5, 4.5))
    plane.legend(loc="upper right")
    return Drawing(fig, columns(("quantity", "method", "place", "theory", "measured", "standard_error"), rows))


@figure("flat_and_sharp", topic="riemannian", title="Flat against sharp progress, with and without LITE",
        caption="A straight valley, start one unit up the hill. Left: progress along the river; right: loss across "
                "it. Lines: expectations in closed form and by the exact recursion of second moments; markers: "
                "simulation, 2 standard errors. LITE gains on the left and nothing changes on the right; a rate "
                "doubled for all gains as much and pays for it.",
        claims=("riemannian.river_start", "riemannian.river_progress", "riemannian.second_moment_path",
                "riemannian.sharp_floor"))
def flat_and_sharp(effort):
    """Five variants on the same noise."""
    fig, (flat, sharp) = style.new(1, 2, width=10.4, height=4.2)
    steps, lam, rows = 300, float(STRAIGHT.curvatures[0]), []
    fine = np.arange(steps + 1)
    for index, (label, factor, chi, more) in enumerate(VARIANTS):
        times = np.unique(np.round(np.geomspace(2, 200, 12) * 1.1**index).astype(int))
        run = simulate(STRAIGHT, variant(STRAIGHT, RATE, factor, chi, more), int(times[-1]), [0.0, 1.0], noise=NOISE,
                       replicas=effort.choose(4096, 32_768), seed=SEED, times=times, **effort.engine)
        place = {name: run.coordinates["observable"].tolist().index(name) for name in ("river", "sharp")}
        damping = 1 / MOMENTUM + more
        along = river.river_progress(fine, factor * RATE, STRAIGHT.slope, MOMENTUM, damping, chi)
        across = 0.5 * lam * second_moment.second_moments(np.full(steps, factor * RATE), lam, MOMENTUM, 1 / MOMENTUM,
                                                          NOISE, start=1.0)
        for axis, law, name in ((flat, along, "river"), (sharp, across, "sharp")):
            axis.plot(fine, law, **style.theory(index, label=label))
            axis.errorbar(times, run.mean[:, place[name]], 2 * run.stderr[:, place[name]], **style.measurement(index))
            rows += [(name, label, *row) for row in zip(times.tolist(), run.mean[:, place[name]],
                                                        run.stderr[:, place[name]])]
            rows += [(f"{name}, theory", label, *row, np.ma.masked) for row in zip(fine.tolist(), law)]
    flat.set(xlabel="step", ylabel="progress along the river, E x", xlim=(0, steps))
    sharp.set(xlabel="step", ylabel="loss across the river", yscale="log", xscale="log", xlim=(1.8, 330),
              ylim=(8e-3, 6))
    flat.legend()
    return Drawing(fig, columns(("quantity", "method", "step", "value", "standard_error"), rows))
