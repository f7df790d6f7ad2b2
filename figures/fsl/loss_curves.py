"""Loss curves of training runs: measured points, the fitted law, and what it predicts for schedules it has not seen."""

from dataclasses import dataclass, replace

import numpy as np

from ...checks.fsl import loss_curve_fit as fits
from ...checks.fsl import loss_curves as exact
from .. import style
from ..figure import Drawing, figure

MARKED = 30
"""Measured points shown along the longest run of a panel; the law is drawn at every row."""


DRAWN = 2000
"""Most points of a drawn line; the table holds every row."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run as it is drawn; arrays of equal length.

    Parameters
    ----------
    name : str
    fitted : bool
        Whether the law was fitted to it (else it is predicted).
    steps, rates : ndarray, shape (N,)
    predicted, low, high : ndarray, shape (N,)
        The law and its band; NaN where the law says nothing.
    losses : ndarray, shape (N,), optional
        Measured, if they are known.
    label : str, optional
        Short name for the legend; by default `name`, which the table has.
    """

    name: str
    fitted: bool
    steps: np.ndarray
    rates: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    losses: np.ndarray | None = None
    label: str = ""


def draw_runs(runs, law="fitted law", level=0.9, points="measured") -> Drawing:
    """Fitted runs on the left, predicted ones on the right; below them the rates and the relative errors.

    Parameters
    ----------
    runs : sequence of Run
    law : str
        What the lines are.
    level : float
        Coverage of the bands.
    points : str
        What the markers are.

    Returns
    -------
    Drawing
        Its table has the columns file, role, step, lr, loss, predicted, lower, upper.
    """
    fitted, predicted = [r for r in runs if r.fitted], [r for r in runs if not r.fitted]
    columns = 2 if predicted else 1
    legend = f"markers {points}, lines law, bands {100 * level:.0f}%"
    table = _table([*fitted, *predicted])
    fitted, predicted = [_drawn(run) for run in fitted], [_drawn(run) for run in predicted]
    plate, axes = style.new(2, columns, width=5.2 * columns, height=5.6, squeeze=False, sharex="col",
                             height_ratios=(2.2, 1))
    _losses(axes[0, 0], fitted, f"fitted ({law})", legend)
    _rates(axes[1, 0], fitted)
    if predicted:
        _losses(axes[0, 1], predicted, f"predicted ({law})", legend)
        if any(run.losses is not None for run in predicted):
            _errors(axes[1, 1], predicted)
        else:
            _rates(axes[1, 1], predicted)
        low = min(a.get_ylim()[0] for a in axes[0])
        high = max(a.get_ylim()[1] for a in axes[0])
        for axis in axes[0]:
            axis.set_ylim(low, high)
    return Drawing(plate, table)


def _drawn(run):
    """The run with few enough rows to draw."""
    keep = np.unique(np.linspace(0, run.steps.size - 1, DRAWN).astype(int))
    kept = {name: values[keep] for name, values in vars(run).items() if isinstance(values, np.ndarray)}
    return replace(run, **kept)


def _losses(axes, runs, title, legend):
    shown, longest = [], max(run.steps[-1] for run in runs)
    for index, run in enumerate(runs):
        seen = np.isfinite(run.predicted)
        axes.fill_between(run.steps[seen], run.low[seen], run.high[seen], color=style.COLORS[index % 6], alpha=0.22,
                          linewidth=0)
        if run.losses is not None:
            marked = np.unique(np.searchsorted(run.steps, np.linspace(run.steps[0], longest, MARKED)))
            marked = marked[marked < run.steps.size]
            axes.plot(run.steps[marked], run.losses[marked], **style.measurement(index, markersize=3.5))
        axes.plot(run.steps[seen], run.predicted[seen], **style.theory(index, linewidth=1.4))
        marker = {} if run.losses is None else {"marker": style.MARKERS[index % 6], "markerfacecolor": "white"}
        label = (run.label or run.name).replace("$", r"\$")   # a file name is no formula
        axes.plot([], [], label=label, **style.theory(index, linewidth=1.4, **marker))
        shown.extend([run.low[seen], run.high[seen]])
    # the first rows are often far above the rest
    values = np.concatenate(shown)
    low, high = values.min(), np.quantile(values, 0.985)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.12 * (high - low))
    axes.set_title(title)
    axes.set_ylabel("loss")
    axes.legend(loc="upper right", title=legend, title_fontsize=8)


def _rates(axes, runs):
    for index, run in enumerate(runs):
        axes.plot(run.steps, run.rates, **style.theory(index, linewidth=1.4))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("learning rate")
    axes.set_xlabel("step")


def _errors(axes, runs):
    for index, run in enumerate(runs):
        if run.losses is not None:
            axes.plot(run.steps, 100 * (run.predicted / run.losses - 1), **style.theory(index, linewidth=1.2))
    axes.axhline(0, color=style.GREY, linewidth=0.8)
    axes.set_ylabel("error of the law [%]")
    axes.set_xlabel("step")


def _table(runs):
    def joined(pick):
        return np.ma.masked_invalid(np.concatenate([pick(run) for run in runs]))

    def nothing(run):
        return np.full(run.steps.size, np.nan)

    return {
        "file": np.concatenate([np.full(run.steps.size, run.name) for run in runs]),
        "role": np.concatenate([np.full(run.steps.size, "fitted" if run.fitted else "predicted") for run in runs]),
        "step": joined(lambda run: run.steps),
        "lr": joined(lambda run: run.rates),
        "loss": joined(lambda run: nothing(run) if run.losses is None else run.losses),
        "predicted": joined(lambda run: run.predicted),
        "lower": joined(lambda run: run.low),
        "upper": joined(lambda run: run.high),
    }


@figure("loss_curves", topic="fsl", title="Loss curves predicted by the practical law",
        caption="Markers: exact expected loss of SGD (s = 0.5, beta = 2, noise 1). Lines: the practical law, fitted to "
                "the three runs on the left, with 90% bootstrap bands. Right: four schedules it has not seen.",
        claims=("fsl.practical_law_transfer",))
def loss_curves(effort):
    """Fit the three runs that determine the law and predict the others."""
    problem = (0.5, 2.0)
    fit = exact.fitted(*problem, exact.THREE)
    refits = fits.bootstrap(fit, resamples=effort.choose(40, 200))
    runs = []
    for name in (*exact.THREE, *exact.UNSEEN):
        curve = exact.exact_curve(*problem, name)
        low, high = fits.bands(fit, refits, curve)
        runs.append(Run(name, name in exact.THREE, curve.steps, curve.rates, fits.predict(fit, curve), low, high,
                        curve.losses))
    return draw_runs(runs, "practical law", points="exact")
