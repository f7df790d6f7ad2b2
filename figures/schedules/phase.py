"""Easy and hard: the phase diagram of optimal schedules."""

import matplotlib
import numpy as np

from ...theory.schedules import exponents
from ...theory.schedules.variational import optimum
from .. import style
from ..figure import Drawing, figure

BUDGETS = (1e24, 1e26)
SAMPLES = ((0.25, 0.25), (0.25, 0.5), (0.5, 0.25), (0.75, 0.15), (0.5, 0.75), (1.0, 0.25), (1.0, 0.5), (1.0, 0.8),
           (1.5, 0.33), (1.5, 0.66), (1.25, 0.15))
"""(s, 1/beta) of the measurements."""

CUTS = (0.25, 0.5, 0.8)
"""1/beta of the curves on the right."""


@figure("phase", topic="schedules", title="Easy and hard tasks: how the best peak rate falls with the steps",
        caption="The best peak learning rate falls like N^-nu. Left: nu over source and inverse capacity (shading, "
                "theory), zero below the line s = 1 - 1/beta, where the largest rate is kept and decays late; numbers: "
                "nu measured on the law's optimum between N = 1e24 and 1e26. Right: cuts; lines theory, markers "
                "measured.",
        claims=("schedules.peak_exponent", "schedules.batch_theorem_easy", "schedules.batch_theorem_hard",
                "schedules.boundary_floor", "schedules.rates_coincide"))
def phase(effort):
    """Shading and boundary from the exponents, markers from local slopes of the peak."""
    source = np.linspace(0.02, 1.8, 179)
    inverse = np.linspace(0.02, 0.98, 97)
    nu = np.array([[exponents.peak_power(s, 1.0 / x) for s in source] for x in inverse])
    fig, (left, right) = style.new(1, 2, width=10.4, height=4.3)
    image = left.pcolormesh(source, inverse, nu, cmap=matplotlib.colormaps["Blues"], vmin=0.0, vmax=0.8,
                            rasterized=True)
    fig.colorbar(image, ax=left, label="nu in eta_peak ~ N^-nu")
    left.plot(1.0 - inverse, inverse, color=style.COLORS[0], linewidth=1.6)
    left.annotate("s = 1 - 1/beta", (0.38, 0.62), xytext=(6, 6), textcoords="offset points", rotation=-60, ha="center",
                  va="center", fontsize=8.5)
    left.text(0.05, 0.05, "hard: largest rate, late decay", fontsize=9)
    left.text(1.02, 0.93, "easy: power decay", fontsize=9, color="white")
    table = {name: [] for name in ("panel", "source", "capacity", "nu_theory", "nu_measured")}
    for s, x in SAMPLES:
        measured = _slope(s, 1.0 / x)
        left.plot(s, x, **style.measurement(2))
        left.annotate(f"{measured:.2f}", (s, x), xytext=(6, 3), textcoords="offset points", fontsize=8.5,
                      color="white" if measured > 0.45 else style.COLORS[0])
        _row(table, "plane", s, 1.0 / x, measured)
    left.set(xlabel="source s", ylabel="inverse capacity 1/beta", xlim=(0.02, 1.8), ylim=(0.02, 0.98))
    left.grid(False)
    for index, x in enumerate(CUTS):
        right.plot(source, [exponents.peak_power(s, 1.0 / x) for s in source], **style.theory(index),
                   label=f"beta = {1.0 / x:g}")
        some = np.linspace(0.1, 1.8, effort.choose(13, 25))
        some = some[np.abs(some - 1.0 + x) > 0.04]   # corrections die too slowly close to the boundary
        values = [_slope(s, 1.0 / x) for s in some]
        right.plot(some, values, **style.measurement(index))
        for s, value in zip(some, values):
            _row(table, "cut", s, 1.0 / x, value)
    right.set(xlabel="source s", ylabel="nu")
    right.legend(loc="upper left")
    return Drawing(fig, {name: np.array(values) for name, values in table.items()})


def _slope(source, capacity):
    """``-d log eta_peak / d log N`` at the optimum with rates of at most one, batch one."""
    first, last = (optimum(source, capacity, data, floor=1.0) for data in BUDGETS)
    rise = np.log(last.ratio(last.horizon) / first.ratio(first.horizon))
    return float(rise / np.log(BUDGETS[1] / BUDGETS[0]))


def _row(table, panel, source, capacity, measured):
    for name, value in zip(table, (panel, source, capacity, exponents.peak_power(source, capacity), measured)):
        table[name].append(value)
