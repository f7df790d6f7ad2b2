"""Friction and Hessian damping: the phase diagram with its optimum, and the largest stable step."""

import matplotlib
import numpy as np

from ...theory.riemannian import damping, modes
from .. import style
from ..figure import Drawing, figure
from .columns import columns

STEP = 0.005
"""h of the runs: eta = h^2, alpha = a h, beta = B/h."""
TIME = 60.0
FRICTIONS = (0.25, 1.0, 3.0)
POINTS = ((0.5, 0.5), (0.5, 4.5), (1.5, 2.5), (1.9, 1.0), (3.5, 2.2), (1.0, 6.0), (3.4, 6.6), (4.2, 0.4))
"""(a, B) of the measurements in the plane, at mu = 1."""


@figure("damping_phases", topic="riemannian", title="Friction and Hessian damping, with the optimal curve",
        caption="Decay rate of one mode over friction a and Hessian damping B, in units of sqrt(mu). Left: Algorithm "
                "1, whose force grows with the damping, gamma = 1 + aB; a mode oscillates between the lines, which are "
                "the best B for each a (upper) and the best a for each B (lower). Middle: gamma = 1. Right: cuts, "
                "Algorithm 1 in colour and gamma = 1 in grey. Shading and lines: theory; numbers and markers: "
                "measured on runs of 12000 steps.",
        claims=("riemannian.best_hessian_damping", "riemannian.best_untied_damping", "riemannian.oscillating_band",
                "riemannian.flat_modes_and_damping"))
def damping_phases(effort):
    """Two maps, and cuts at three frictions."""
    fig, (tied, fixed, cut) = style.new(1, 3, width=13.6, height=4.2, width_ratios=(1.18, 1.18, 1.1))
    a, B = np.meshgrid(np.linspace(0.0, 5.0, 201), np.linspace(0.0, 8.0, 241))
    rows = []
    for axis, coupling, name, top in ((tied, None, "1 + aB", 6.0), (fixed, 0.0, "1", 1.0)):
        image = axis.pcolormesh(a, B, damping.decay_rate(1.0, a, B, coupling), cmap=matplotlib.colormaps["Blues"],
                                vmin=0.0, vmax=top, rasterized=True)
        fig.colorbar(image, ax=axis, label="rate / sqrt(mu)")
        for x, y in POINTS:
            rate = measured_rates(x, y, coupling is None)
            axis.plot(x, y, **style.measurement(1))
            axis.annotate(f"{rate:.2f}", (x, y), xytext=(6, 3), textcoords="offset points", fontsize=8.5,
                          color="white" if rate > 0.48 * top else style.COLORS[0])
            rows.append((f"gamma = {name}", x, y, float(damping.decay_rate(1.0, x, y, coupling)), float(rate)))
        axis.set(xlabel="friction a / sqrt(mu)", title=f"gamma = {name}", xlim=(0, 5), ylim=(0, 8))
        axis.grid(False)
    tied.set_ylabel("Hessian damping B sqrt(mu)")
    ends = np.array([0.0, 8.0])
    tied.plot(ends, ends + 2.0, **style.theory(2, linestyle="-", linewidth=2.0))
    tied.plot(ends + 2.0, ends, **style.theory(0, linestyle=style.DASHES[1], linewidth=2.0))
    fixed.plot(2.0 - ends, ends, **style.theory(2, linestyle="-", linewidth=2.0))
    for axis, place, text, angle in ((tied, (2.45, 4.95), "best B = a + 2", 45),
                                     (tied, (4.0, 1.45), "best a = B + 2", 45),
                                     (tied, (0.25, 1.1), "oscillates", 0), (tied, (0.2, 7.3), "overdamped", 0),
                                     (tied, (2.75, 0.12), "overdamped", 0), (fixed, (0.08, 0.08), "oscillates", 0),
                                     (fixed, (0.62, 1.72), "best: a + B = 2", 0), (fixed, (2.2, 5.0), "overdamped", 0)):
        axis.text(*place, text, fontsize=8.5, rotation=angle, rotation_mode="anchor", transform_rotates_text=True)
    rows += _cuts(cut, effort)
    return Drawing(fig, columns(("panel", "friction", "damping", "rate", "measured"), rows))


def _cuts(axis, effort):
    fine, some, rows = np.linspace(0.0, 8.0, 321), np.linspace(0.12, 7.9, effort.choose(14, 27)), []
    for index, a in enumerate(FRICTIONS):
        axis.plot(fine, damping.decay_rate(1.0, a, fine), **style.theory(index), label=f"gamma = 1 + aB, a = {a:g}")
        axis.plot(fine, damping.decay_rate(1.0, a, fine, 0.0), **style.theory(index, color=style.GREY, linewidth=1.1),
                  label="gamma = 1" if index == 0 else None)
        for tied, changes in ((True, {}), (False, {"markeredgecolor": style.GREY, "markersize": 3.5})):
            rates = measured_rates(a, some, tied)
            axis.plot(some, rates, **style.measurement(index, **changes))
            rows += [(f"cut, gamma = {'1 + aB' if tied else '1'}", a, float(x), float(y), float(z)) for x, y, z in
                     zip(some, damping.decay_rate(1.0, a, some, None if tied else 0.0), rates)]
    axis.set(xlabel="Hessian damping B sqrt(mu)", ylabel="rate / sqrt(mu)", ylim=(0, 5.6))
    axis.legend(loc="upper left")
    return rows


def measured_rates(a, B, tied):
    """Slope of the logarithm of position and velocity of runs at mu = 1, after a third of their time.

    ``gamma = 1`` is run as Algorithm 1 at the learning rate ``(1 - aB) eta`` and the damping ``beta/(1 - aB)``.
    """
    a, B = np.broadcast_arrays(np.asarray(a, float), np.asarray(B, float))
    share = np.ones(a.shape) if tied else 1.0 - a * B
    path = modes.recursion(int(TIME / STEP), share * STEP**2, 1.0 - a * STEP, B / (share * STEP))
    size = np.log(np.hypot(path[1:], np.diff(path, axis=0) / STEP))[len(path) // 3:]
    time = STEP * np.arange(len(size)) - STEP * (len(size) - 1) / 2
    return -np.tensordot(time, size, 1) / (time @ time)
