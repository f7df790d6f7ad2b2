"""``theorycheck fit``: fit a scaling law to loss curves, predict others, and say what cannot be known from them."""

import csv
import json
import math
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import click

LEVEL = 0.9
"""Coverage of intervals and bands."""


class _ManyAfterPredict(click.Command):
    """``--predict a.csv b.csv`` means both; click alone would take ``b.csv`` for a run to fit."""

    def parse_args(self, context, arguments):
        """Repeat ``--predict`` before every file that follows it."""
        expanded, predicting, files = [], False, 1
        for place, argument in enumerate([*arguments, "--"]):
            named = argument.startswith("--predict=")
            if argument.startswith("-") and predicting and not files:
                raise click.UsageError("no file follows --predict; it needs one or more")
            if argument == "--":
                expanded.extend(arguments[place:])
                break
            if argument == "--predict" or named:
                predicting, files = True, int(named)
                expanded.extend(["--predict", argument[len("--predict="):]] if named else [])
            elif argument.startswith("-"):
                predicting = False
                expanded.append(argument)
            else:
                expanded.extend(["--predict", argument] if predicting else [argument])
                files += 1
        return super().parse_args(context, expanded)


@click.command("fit", cls=_ManyAfterPredict)
@click.argument("runs", nargs=-1, required=True, metavar="RUN.csv...")
@click.option("--predict", "others", multiple=True, metavar="OTHER.csv...",
              help="Runs to predict; scored where they have a loss.")
@click.option("--law", default="fsl", show_default=True, type=click.Choice(["fsl", "mpl", "blind"]),
              help="Functional scaling law, multi-power law, or one that ignores the schedule.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for fit.json, predictions.csv, scores.csv, plot.")
@click.option("--warmup", type=click.FloatRange(min=0), metavar="STEPS",
              help="Length of the linear warm-up; by default it ends at the first row, or where the rate stops rising.")
@click.option("--resamples", default=100, show_default=True, type=click.IntRange(2, 10_000), metavar="N",
              help="Bootstrap refits behind the uncertainties.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of starts and bootstrap.")
def command(runs, others, law, out, warmup, resamples, seed):
    """Fit a law to loss curves (CSV with the columns step, lr, loss and optionally batch_size) and predict others.

    Times are measured in 1000 steps at the first run's rate after its warm-up; the steps before the first row are taken
    as a linear warm-up from 0.  With a column batch_size the noise level is lr / batch_size.
    """
    from rich.console import Console

    if out is not None:
        _refuse_folder(out)
    training, held_out = _read(runs, others)
    with Console(stderr=True).status("fitting"):
        result = analyse(training, held_out, law, warmup, resamples, seed)
    written = write(result, out) if out is not None else []
    show(result, written)


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything a fit found: what is printed and written.

    Attributes
    ----------
    fit : Fit
    bootstrap : Bootstrap
    identification : Identification
    flags : tuple of Flag
        Those of the training schedules, then those of the predicted runs.
    compared : dict of str to Fit
        Every law that was fitted, by name.
    runs : list of Run
        As drawn: training runs first.
    in_sample, scores : list of (file, law name, Score)
    resamples, seed : int
    """

    fit: object
    bootstrap: object
    identification: object
    flags: tuple
    compared: dict
    runs: list
    in_sample: list
    scores: list
    resamples: int
    seed: int


def analyse(training, held_out, law, warmup, resamples, seed) -> Analysis:
    """Fit, bootstrap, flag, predict and score.

    Parameters
    ----------
    training, held_out : dict of str to LossCurve
        By the name of the file.
    law : {"fsl", "mpl", "blind"}
    warmup : float or None
    resamples, seed : int
    """
    from ..checks.fsl import loss_curve_fit as fits
    from ..checks.fsl import loss_curve_flags as flagging
    from ..figures.fsl.loss_curves import Run
    from ..theory.fsl.loss_curve_laws import LAWS

    curves = list(training.values())
    scored = any(curve.losses is not None for curve in held_out.values())
    names = [law, *(name for name in LAWS if name != law and (scored or name == "blind"))]
    compared = {name: fits.fit(curves, name, warmup=warmup, seed=seed) for name in names}
    fit = compared[law]
    for curve in held_out.values():   # refuse what cannot be predicted before the long part
        fits.annealing_of(fit, curve)
    bootstrap = fits.bootstrap(fit, resamples=resamples, seed=seed)
    found = flagging.identification(fit, bootstrap, compared["blind"])
    flags = [*found.flags, *(flag for curve in held_out.values() for flag in flagging.extrapolation(fit, curve))]
    runs, in_sample, scores = [], [], []
    for group, fitted in ((training, True), (held_out, False)):
        for file, curve in group.items():
            low, high = fits.bands(fit, bootstrap, curve, LEVEL)
            runs.append(Run(curve.name, fitted, curve.steps, curve.rates, fits.predict(fit, curve), low, high,
                            curve.losses))
            if curve.losses is not None:
                (in_sample if fitted else scores).extend(
                    (file, name, fits.score(fits.predict(other, curve), curve.losses))
                    for name, other in compared.items() if scored or name == law)
    return Analysis(fit, bootstrap, found, tuple(flags), compared, runs, in_sample, scores, resamples, seed)


def _read(runs, others):
    from ..sims.loss_curves import read_csv

    for name, files in (("fitted", runs), ("predicted", others)):
        for file in files:
            if files.count(file) > 1:
                raise ValueError(f"{file}: is {name} twice")
    both = {os.path.realpath(file) for file in runs}
    for file in others:
        if os.path.realpath(file) in both:
            raise ValueError(f"{file}: is both fitted and predicted; its score would not be held out")
    stems = [Path(file).stem for file in (*runs, *others)]
    curves = {}
    for file in (*runs, *others):
        curve = read_csv(file)
        curves[file] = replace(curve, name=file) if stems.count(Path(file).stem) > 1 else curve
    return {file: curves[file] for file in runs}, {file: curves[file] for file in others}


def _refuse_folder(out):
    path = Path(out).absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not there.is_dir():
        raise ValueError(f"--out {out}: {there} is not a folder")
    if not os.access(there, os.W_OK):
        raise ValueError(f"--out {out}: {there} cannot be written to")


def record(result) -> dict:
    """The analysis as plain numbers and strings (what ``fit.json`` holds)."""
    fit, law = result.fit, result.fit.law
    intervals = result.bootstrap.intervals(fit, LEVEL)
    errors = result.bootstrap.standard_errors(fit)
    return {
        "law": law.name, "title": law.title, "source": law.source,
        "parameters": {name: {"estimate": value, "standard_error": errors[name], "interval": list(intervals[name])}
                       for name, value in fit.parameters.items()},
        "held_at_zero": list(fit.held),
        "bounds": {name: [low, high] for name, low, high in zip(law.nonlinear, law.lower, law.upper)},
        "interval_level": LEVEL,
        "units": {"rate": fit.units.rate, "batch_size": fit.units.batch if fit.batched else None,
                  "time": f"1000 steps at rate {fit.units.rate:g}", "earliest_time": fit.units.start,
                  "warmup_steps": fit.units.warmup},
        "rms_relative_residual": fit.rms, "effective_rows": fit.effective_rows,
        "training": [{"file": file, "law": name, **_plain(score)} for file, name, score in result.in_sample],
        "flags": [{"code": flag.code, "serious": flag.serious, "text": flag.text} for flag in result.flags],
        "disagreement": result.identification.disagreement,
        "confidence_ranges": {name: list(ends) for name, ends in result.identification.ranges.items()},
        "compared": {name: other.parameters for name, other in result.compared.items() if name != law.name},
        "bootstrap": {"resamples": result.resamples, "seed": result.seed,
                      "block_lengths": list(result.bootstrap.block_lengths)},
    }


def write(result, out) -> list:
    """Write fit.json, predictions.csv, scores.csv and the plot into the folder `out`; all or none of them.

    Returns
    -------
    list of Path
    """
    from ..figures.figure import save
    from ..figures.fsl.loss_curves import draw_runs
    from ..figures.style import applied

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".fit-", dir=out))
    try:
        with applied():
            drawing = draw_runs(result.runs, result.fit.law.title, LEVEL)
        drawn = save(drawing, staging, "loss_curves")
        drawn["csv"].rename(staging / "predictions.csv")
        with open(staging / "scores.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["file", "law", "r2", "mae", "rmse", "worst_relative_error"])
            for name, law, score in result.scores:
                rows.writerow([name, law, *("" if v is None else repr(v) for v in _plain(score).values())])
        (staging / "fit.json").write_text(json.dumps(record(result), indent=2, allow_nan=False) + "\n",
                                          encoding="utf-8")
        paths = []
        for path in sorted(staging.iterdir()):
            path.replace(out / path.name)
            paths.append(out / path.name)
        return paths
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def show(result, written):
    """Print parameters, flags, scores and where the files are."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    fit = result.fit
    console.print(Text(f"{fit.law.title} ({fit.law.source})"))
    console.print(Text(f"fitted to {len(fit.samples)} run(s), rms relative residual {fit.rms:.2g}; "
                       f"times in 1000 steps at rate {fit.units.rate:g}"), soft_wrap=True)
    console.print(_parameter_table(result))
    for flag in result.flags:
        console.print(Text(("WARNING: " if flag.serious else "note: ") + flag.text,
                           style="bold red" if flag.serious else ""), soft_wrap=True)
    if result.scores:
        console.print(_score_table(result))
    for path in written:
        console.print(Text(str(path)), soft_wrap=True)


def _parameter_table(result):
    from rich import box
    from rich.table import Table

    intervals = result.bootstrap.intervals(result.fit, LEVEL)
    errors = result.bootstrap.standard_errors(result.fit)
    table = Table("parameter", box=box.SIMPLE_HEAD)
    for name in ("estimate", "+-", f"{100 * LEVEL:.0f}% interval"):
        table.add_column(name, justify="right")
    for name, value in result.fit.parameters.items():
        if name in result.fit.held:
            table.add_row(name, "0", "", "not needed")
            continue
        low, high = intervals[name]
        table.add_row(name, f"{value:.4g}", f"{errors[name]:.2g}", f"{low:.4g} .. {high:.4g}")
    return table


def _score_table(result):
    from rich import box
    from rich.table import Table

    table = Table("predicted run", "law", box=box.SIMPLE_HEAD)
    for name in ("R2", "MAE", "RMSE", "worst rel."):
        table.add_column(name, justify="right")
    laws = list(result.compared)
    for law in laws:
        own = [(file, score) for file, name, score in result.scores if name == law]
        for file, score in own if law == laws[0] else []:
            table.add_row(Path(file).name, law, *_cells(score.r2, score.mae, score.rmse, score.worst_relative_error))
        mean = [sum(getattr(score, key) for _, score in own) / len(own) for key in ("r2", "mae", "rmse")]
        worst = max(score.worst_relative_error for _, score in own)
        table.add_row(f"all {len(own)}: mean, worst", law, *_cells(*mean, worst), style="bold")
    return table


def _cells(r2, mae, rmse, worst):
    return f"{r2:.5f}", f"{mae:.4g}", f"{rmse:.4g}", f"{worst:.4f}"


def _plain(score):
    return {name: value if math.isfinite(value) else None for name, value in vars(score).items()}
