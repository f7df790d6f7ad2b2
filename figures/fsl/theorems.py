"""Where Theorems 4.2 to 4.5 hold and where they stop: exact risk over the printed right-hand side."""

import numpy as np

from ...checks.fsl.theorems import LATEST, exact, grid, law
from ...theory.fsl.problem import PowerLawRegression
from .. import style
from ..figure import Drawing, figure

WIDTHS = (30, 100, 300)
BETA = 2.0
CUT = 3.0
"""Time over M^beta at which the schedule "late cut" ends its noise."""
PANELS = (
    (r"hard, $s=0.3$, $\sigma=1$: $F_\infty$", 0.3, 1.0, "infinite", "modes"),
    (r"easy, $s=1.5$, $\sigma=1$: $F_\infty$", 1.5, 1.0, "infinite", "modes"),
    (r"easy, $s=1.5$, $\sigma=1$: $F_M$", 1.5, 1.0, "width", "modes"),
    (r"$s=1-1/\beta$, $\sigma=100$: power laws", 0.5, 100.0, "infinite", "power"),
)


@figure("theorems", topic="fsl", title="Where the theorems hold",
        caption="Exact SDE risk divided by the right-hand side of the functional laws, gamma = 0.3 cut off at 3 M^beta "
                "(dotted), beta = 2. A bounded ratio that does not fall with the width M is what a theorem claims: "
                "F_inf fails for easy tasks beyond M^beta (Thm 4.3), F_M never does (Thm 4.4), and the constants of "
                "Thm 4.2 depend on the noise.",
        claims=("fsl.theorem_4_2", "fsl.theorem_4_2_uniformity", "fsl.theorem_4_3_early", "fsl.theorem_4_3_late",
                "fsl.theorem_4_4"))
def theorems(effort):
    """Four right-hand sides, three widths."""
    fig, axes = style.new(1, 4, width=13.0, height=3.5, sharey=True)
    table = {name: [] for name in ("panel", "width", "time", "time_over_M_beta", "ratio")}
    for axis, (title, s, sigma, limit, kernel) in zip(axes, PANELS, strict=True):
        style.loglog(axis)
        for index, width in enumerate(WIDTHS):
            time = grid(PowerLawRegression(s, BETA, width))[1:]
            right = law(s, BETA, width, "late cut", limit, kernel).total(sigma) + width**-(s * BETA)
            ratio = (exact(s, BETA, width, sigma, "late cut") / right)[1:]
            axis.plot(time / width**BETA, ratio, **style.theory(index), label=f"M = {width}")
            panel = np.full(time.size, f"s={s:g} sigma={sigma:g} {limit} {kernel}")
            for name, values in zip(table, (panel, np.full(time.size, width), time, time / width**BETA, ratio),
                                    strict=True):
                table[name].append(values)
        axis.axvline(CUT, color=style.GREY, linestyle=":", linewidth=1.0)
        axis.annotate("noise cut off", (CUT, 1.5e-4), xytext=(-3, 0), textcoords="offset points", ha="right",
                      color=style.GREY, fontsize=8)
        axis.set_title(title, fontsize=9.5)
        axis.set_xlabel(r"intrinsic time / $M^\beta$")
        axis.set_xlim(1e-5, LATEST)
        axis.set_ylim(1e-4, 2.0)
    axes[0].set_ylabel("exact risk / right-hand side")
    axes[0].legend(loc="center left")
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})
