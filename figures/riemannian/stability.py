"""The largest stable step over Hessian damping, in both units of it."""

import numpy as np

from ...theory.riemannian import modes
from .. import style
from ..figure import Drawing, figure
from .columns import columns

MOMENTA = (0.0, 0.5, 0.9, 0.99)
RUN = 3000
HALVINGS = 18


@figure("stability", topic="riemannian", title="The largest stable step over Hessian damping",
        caption="Lines: the limit in closed form. Markers: the largest step at which a run of 3000 iterations does not "
                "grow, by bisection. Left: Algorithm 1's step s = eta lambda/f over beta; diamonds on the lines: "
                "Nesterov. Middle: negative damping, which makes oscillations grow; none is stable beyond beta = "
                "-1/alpha. Right: codes that average, eta lambda/f over b; damping undoes what averaging gained.",
        claims=("riemannian.stability_limit", "riemannian.averaged_limit", "riemannian.anti_damping"))
def stability(effort):
    """One line for each momentum in each panel."""
    fig, axes = style.new(1, 3, width=12.6, height=4.0)
    count, rows, parts = effort.choose(9, 17), [], []
    for index, theta in enumerate(MOMENTA):
        last = 0.75 * min(1.0 / (1.0 - theta), 13.0)
        for axis, panel, ends in ((axes[0], "Algorithm 1", (0.01, 100.0)), (axes[1], "negative", (1e-3, last)),
                                  (axes[2], "averaged", (1e-3, 10.0))):
            sign, unit = (-1.0 if panel == "negative" else 1.0), (1.0 - theta if panel == "averaged" else 1.0)
            fine, some = np.geomspace(*ends, 201), np.geomspace(ends[0], ends[1], count)
            axis.plot(fine, modes.largest_step(theta, sign * fine / unit) / unit, **style.theory(index),
                      label=f"theta = {theta:g}")
            parts.append((axis, panel, index, unit, sign * some))
        if theta > 0:
            axes[0].plot(1 / theta, modes.largest_step(theta, 1 / theta), marker="D", markersize=8, zorder=3,
                         color=style.COLORS[index])
    found = largest_stable(*np.array([(MOMENTA[index], b / unit) for _, _, index, unit, some in parts for b in some]).T)
    for (axis, panel, index, unit, some), steps in zip(parts, np.split(found, len(parts)), strict=True):
        axis.plot(np.abs(some), steps / unit, **style.measurement(index))
        limits = modes.largest_step(MOMENTA[index], some / unit) / unit
        rows += [(panel, MOMENTA[index], *map(float, row)) for row in zip(some, limits, steps / unit)]
    for axis, label in zip(axes, ("Hessian damping beta", "negative damping, -beta",
                                  "Hessian damping b, in units of the average")):
        style.loglog(axis).set(xlabel=label, ylabel="largest stable eta lambda / f")
    axes[0].legend(loc="lower left")
    return Drawing(fig, columns(("panel", "momentum", "damping", "limit", "measured"), rows))


def largest_stable(theta, dampings):
    """Bisection in the logarithm of the step between 1e-4 and 10: a run grows if its second half exceeds its first."""
    low, high = np.full(dampings.shape, np.log(1e-4)), np.full(dampings.shape, np.log(10.0))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        with np.errstate(all="ignore"):
            path = np.abs(modes.recursion(RUN, np.exp(middle), theta, dampings))
            stable = path[RUN // 2:].max(axis=0) < path[1:RUN // 2].max(axis=0)
        low, high = np.where(stable, middle, low), np.where(stable, high, middle)
    return np.exp(0.5 * (low + high))
