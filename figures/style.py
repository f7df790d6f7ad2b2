"""How figures look: one palette, one pair of conventions, no global state.

Theory is a line, measurement is markers (or a band of +- 2 standard errors).  The six colours differ in lightness
(CIELAB L* at least 9 apart), so they stay apart in greyscale, and in colour under protanopia, deuteranopia and
tritanopia; each comes with its own dash pattern and marker, so that nothing hangs on colour alone.

Figures are made with :class:`matplotlib.figure.Figure` and never with pyplot: no window, no backend, no state
that a notebook could trip over.
"""

from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.figure import Figure

PALETTE = {
    "ink": "#111111",
    "blue": "#0B4A99",
    "red": "#C23B0A",
    "green": "#1F9A78",
    "pink": "#DB86B9",
    "gold": "#EDB93B",
}
"""Colours by name, from dark to light."""

COLORS = tuple(PALETTE.values())
"""The palette as a sequence."""

DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2.5)), (0, (3, 1.2, 1, 1.2, 1, 1.2)))
"""Dash patterns, one to a colour."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""Markers, one to a colour."""

GREY = "#767676"
"""Guides, boundaries and annotations."""

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLORS),
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "path.simplify": True,
}
"""Matplotlib settings that hold while a figure is drawn and saved."""


@contextmanager
def applied():
    """Context in which matplotlib has this style and nothing of the user's own configuration."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new(rows: int = 1, columns: int = 1, width: float | None = None, height: float | None = None, **subplots):
    """A new figure with a grid of axes.

    Parameters
    ----------
    rows, columns : int
        Size of the grid.
    width, height : float, optional
        Inches; by default 4.2 by 3.3 to a panel (5.6 by 3.8 for a single one).
    **subplots
        Passed to :meth:`matplotlib.figure.Figure.subplots` (``sharex``, ``squeeze``, ...).

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : Axes, or ndarray of Axes as ``subplots`` gives
    """
    single = rows == 1 and columns == 1
    width = width or (5.6 if single else 4.2 * columns)
    height = height or (3.8 if single else 3.3 * rows)
    drawn = Figure(figsize=(width, height), layout="constrained")
    return drawn, drawn.subplots(rows, columns, **subplots)


def theory(index: int = 0, **changes) -> dict:
    """Keyword arguments of ``axes.plot`` for the `index`-th theoretical curve: a line without markers."""
    return {"color": COLORS[index % 6], "linestyle": DASHES[index % 6], "marker": "", **changes}


def measurement(index: int = 0, **changes) -> dict:
    """Keyword arguments of ``axes.plot`` or ``errorbar`` for the `index`-th measurement: hollow markers, no line."""
    color = COLORS[index % 6]
    return {"color": color, "linestyle": "none", "marker": MARKERS[index % 6], "markerfacecolor": "white",
            "markeredgecolor": color, "markeredgewidth": 1.2, **changes}


def band(axes, x, mean, stderr, index: int = 0, deviations: float = 2.0, **changes):
    """Shade ``mean +- deviations * stderr`` in the `index`-th colour; on log axes an edge below zero is cut."""
    mean, stderr = np.asarray(mean, float), np.asarray(stderr, float)
    low, high = mean - deviations * stderr, mean + deviations * stderr
    if axes.get_yscale() == "log":
        low = np.where(low > 0, low, np.minimum(mean, high) / 10)
    return axes.fill_between(x, low, high, **{"color": COLORS[index % 6], "alpha": 0.22, "linewidth": 0, **changes})


def guide(axes, x, y, label: str = "", **changes):
    """A thin grey reference line (a slope, a boundary) with an optional label at its end."""
    (line,) = axes.plot(x, y, **{"color": GREY, "linestyle": (0, (2, 2)), "linewidth": 1.0, **changes})
    if label:
        axes.annotate(label, (x[-1], y[-1]), xytext=(3, 0), textcoords="offset points", color="#555555",
                      fontsize=8.5, va="center")
    return line


def loglog(axes):
    """Logarithmic axes with light minor ticks."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    return axes
