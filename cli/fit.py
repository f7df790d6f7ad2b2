"""``theorycheck fit``: fit a scaling law to loss curves, predict others, and say what cannot be known from them."""

import csv
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import click

from .record import to_json

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


def _finite(context, parameter, value):
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number of steps.", context, parameter)
    return value


@click.command("fit", cls=_ManyAfterPredict)
@click.argument("runs", nargs=-1, required=True, metavar="RUN.csv...")
@click.option("--predict", "others", multiple=True, metavar="OTHER.csv...",
              help="Runs to predict; scored where they have a loss.")
@click.option("--law", default="fsl", show_default=True, type=click.Choice(["fsl", "mpl", "blind"]),
              help="Functional scaling law, multi-power law, or one that ignores the schedule.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for fit.json, predictions.csv, scores.csv, plot.")
@click.option("--warmup", type=click.FloatRange(min=0), callback=_finite, metavar="STEPS",
              help="Length of the linear warm-up; by default it ends at the first row, or where the rate stops rising.")
@click.option("--resamples", default=100, show_default=True, type=click.IntRange(2, 10_000), metavar="N",
              help="Bootstrap refits behind the uncertainties.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of starts and bootstrap.")
def command(runs, others, law, out, warmup, resamples, seed):
    """Fit a law to loss curves (CSV with the columns step, lr, loss and optionally batch_size) and predict others.

    Times are measured in 1000 steps at the first run's rate after its warm-up; the steps before the first row are taken
    as a linear warm-up from 0.  With a column batch_size the noise level is lr / batch_size.
    """
    if out is not None:
        _refuse_folder(out)
    with _interruptible() as check:
        from rich.console import Console

        training, held_out = _read(runs, others)
        with Console(stderr=True).status("fitting"):
            result = analyse(training, held_out, law, warmup, resamples, seed, check)
        check()
        written = write(result, out, check) if out is not None else []
    show(result, written)


@contextmanager
def _interruptible():
    """Yields a function that raises if an interruption got lost: compiled code may call back and drop exceptions."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    seen = []

    def note(*_):
        seen.append(True)
        raise KeyboardInterrupt

    def check():
        if seen:
            raise KeyboardInterrupt

    def dropped(lost):
        if lost.exc_type is not KeyboardInterrupt:
            complain(lost)

    before, complain = signal.signal(signal.SIGINT, note), sys.unraisablehook
    sys.unraisablehook = dropped
    try:
        yield check
    finally:
        sys.unraisablehook = complain
        signal.signal(signal.SIGINT, before)


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
    uncertainties : dict of str to (standard error, interval, source)
        See :func:`uncertainties`.
    forecast : Forecast
        What ``theorycheck plan`` needs.
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
    uncertainties: dict
    forecast: object


def analyse(training, held_out, law, warmup, resamples, seed, check=lambda: None) -> Analysis:
    """Fit, bootstrap, flag, predict and score.

    Parameters
    ----------
    training, held_out : dict of str to LossCurve
        By the name of the file.
    law : {"fsl", "mpl", "blind"}
    warmup : float or None
    resamples, seed : int
    check : callable
        Called between the parts; what it raises ends the analysis.
    """
    from ..checks.fsl import loss_curve_fit as fits
    from ..checks.fsl import loss_curve_flags as flagging
    from ..checks.schedules.forecast import forecast_of, left_out_errors
    from ..figures.fsl.loss_curves import Run
    from ..theory.fsl.loss_curve_laws import LAWS

    curves = list(training.values())
    scored = any(curve.losses is not None for curve in held_out.values())
    names = [law, *(name for name in LAWS if name != law and (scored or name == "blind"))]
    compared = {}
    for name in names:
        check()
        compared[name] = fits.fit(curves, name, warmup=warmup, seed=seed)
    fit = compared[law]
    for curve in held_out.values():   # refuse what cannot be predicted before the long part
        fits.annealing_of(fit, curve)
    bootstrap = fits.bootstrap(fit, resamples=resamples, seed=seed, between=check)
    found = flagging.identification(fit, bootstrap, compared["blind"])
    flags = [*found.flags, *(flag for curve in held_out.values() for flag in flagging.extrapolation(fit, curve))]
    left_out = left_out_errors(curves, law, warmup, seed, check)
    check()
    labels = _labels([*training, *held_out])
    runs, in_sample, scores = [], [], []
    for group, fitted in ((training, True), (held_out, False)):
        for file, curve in group.items():
            low, high = fits.bands(fit, bootstrap, curve, LEVEL)
            runs.append(Run(curve.name, fitted, curve.steps, curve.rates, fits.predict(fit, curve), low, high,
                            curve.losses, labels[file]))
            if curve.losses is not None:
                (in_sample if fitted else scores).extend(
                    (file, name, fits.score(fits.predict(other, curve), curve.losses))
                    for name, other in compared.items() if scored or name == law)
    return Analysis(fit, bootstrap, found, tuple(flags), compared, runs, in_sample, scores, resamples, seed,
                    uncertainties(fit, bootstrap, found), forecast_of(fit, bootstrap, curves, left_out=left_out))


def uncertainties(fit, bootstrap, identification) -> dict:
    """Standard error, interval and where they come from, for every parameter.

    Parameters
    ----------
    fit : Fit
    bootstrap : Bootstrap
    identification : Identification

    Returns
    -------
    dict of str to (float or None, (float, float) or None, str)
        ``bootstrap``: both from the refits.  ``profile``: values beyond every refit fit as well; no standard error, and
        the interval is widened to the range of all of them (a likelihood-ratio set of 95%).  ``not identified``:
        neither; any value gives the same curves.  ``held at 0``: the runs do not need it.
    """
    from ..checks.fsl.loss_curve_fit import unidentified

    silent = unidentified(fit)
    intervals, errors = bootstrap.intervals(fit, LEVEL), bootstrap.standard_errors(fit)
    extremes = bootstrap.intervals(fit, 1.0)
    found = {}
    for name in fit.parameters:
        (low, high), (least, most) = intervals[name], identification.ranges[name]
        slack = 1e-9 * max(abs(least), abs(most))
        if name in fit.held:
            found[name] = None, None, "held at 0"
        elif name in silent:
            found[name] = None, None, "not identified"
        elif least < extremes[name][0] - slack or most > extremes[name][1] + slack:
            found[name] = None, (min(low, least), max(high, most)), "profile"
        else:
            found[name] = errors[name], (low, high), "bootstrap"
    return found


def _labels(files):
    """Short names for a legend: file names without ending, whole paths where those are not distinct."""
    stems = [Path(file).stem for file in files]
    return {file: stem if stems.count(stem) == 1 else file for file, stem in zip(files, stems)}


def _read(runs, others):
    from ..sims.loss_curves import read_csv

    for name, files in (("fitted", runs), ("predicted", others)):
        first = {}
        for file in files:
            where = os.path.realpath(file)
            if where in first:
                twin = "" if first[where] == file else f", also as {first[where]}"
                raise ValueError(f"{file}: is {name} twice{twin}")
            first[where] = file
    both = {os.path.realpath(file) for file in runs}
    for file in others:
        if os.path.realpath(file) in both:
            raise ValueError(f"{file}: is both fitted and predicted; its score would not be held out")
    curves = {file: replace(read_csv(file), name=file) for file in (*runs, *others)}
    return {file: curves[file] for file in runs}, {file: curves[file] for file in others}


def _refuse_folder(out):
    """Refuse a folder that cannot be made or written to, by doing so; what was made is removed again."""
    if not out:
        raise ValueError("--out is empty; it must name a folder")
    made = []
    try:
        made.extend(_missing(out))
        Path(out).mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=".fit-", dir=out)).rmdir()
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written to ({error.strerror or error})") from None
    finally:
        _remove_empty(made)


def _missing(folder):
    """The folders that have to be made for `folder` to exist, innermost first."""
    path = Path(folder).absolute()
    return [each for each in (path, *path.parents) if not each.exists()]


def _remove_empty(folders):
    with suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()


def record(result) -> dict:
    """The analysis as plain numbers and strings (what ``fit.json`` holds)."""
    from ..checks.schedules import forecast

    fit, law = result.fit, result.fit.law
    return {
        "law": law.name, "title": law.title, "source": law.source,
        "parameters": {name: {"estimate": fit.parameters[name], "standard_error": error,
                              "interval": interval and list(interval), "uncertainty": source}
                       for name, (error, interval, source) in result.uncertainties.items()},
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
        **forecast.record(result.forecast),
    }


def write(result, out, check=lambda: None) -> list:
    """Write fit.json, predictions.csv, scores.csv and the plot into the folder `out`; all or none of them.

    Parameters
    ----------
    result : Analysis
    out : path_like
    check : callable
        Called before the files get their names; what it raises leaves none of them.

    Returns
    -------
    list of Path
    """
    from ..figures.figure import save
    from ..figures.fsl.loss_curves import draw_runs
    from ..figures.style import applied

    out, made = Path(out), _missing(out)
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
        (staging / "fit.json").write_text(to_json(record(result), indent=2) + "\n", encoding="utf-8")
        files = sorted(staging.iterdir())
        check()
        with _undisturbed():
            return [path.replace(out / path.name) for path in files]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(made)


@contextmanager
def _undisturbed():
    """Ignore interruptions for the moment it takes to rename: then everything is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
        constant = sorted({file for file, _, score in result.scores if not math.isfinite(score.r2)})
        if constant:
            console.print(Text(f"note: {', '.join(constant)}: the loss is constant, so there is no R2; "
                               "the mean leaves it out"), soft_wrap=True)
    for path in written:
        console.print(Text(str(path)), soft_wrap=True)


def _parameter_table(result):
    from rich import box
    from rich.table import Table

    table = Table("parameter", box=box.SIMPLE_HEAD)
    for name in ("estimate", "+-", f"{100 * LEVEL:.0f}% interval"):
        table.add_column(name, justify="right")
    for name, value in result.fit.parameters.items():
        error, interval, source = result.uncertainties[name]
        if interval is None:
            held = source == "held at 0"
            table.add_row(name, "0" if held else "-", "", "not needed" if held else source)
            continue
        table.add_row(name, f"{value:.4g}", "" if error is None else f"{error:.2g}",
                      f"{interval[0]:.4g} .. {interval[1]:.4g}" + (" (profile)" if source == "profile" else ""))
    return table


def _score_table(result):
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("predicted run", overflow="fold")
    table.add_column("law", no_wrap=True)
    for name in ("R2", "MAE", "RMSE", "worst rel."):
        table.add_column(name, justify="right", no_wrap=True)
    laws = list(result.compared)
    for law in laws:
        own = [(file, score) for file, name, score in result.scores if name == law]
        for file, score in own if law == laws[0] else []:
            table.add_row(Text(file), law, *_cells(score.r2, score.mae, score.rmse, score.worst_relative_error))
        # R2 does not exist for a constant run
        known = [[v for v in (getattr(score, key) for _, score in own) if math.isfinite(v)]
                 for key in ("r2", "mae", "rmse")]
        mean = [sum(values) / len(values) if values else math.nan for values in known]
        worst = max(score.worst_relative_error for _, score in own)
        table.add_row(f"all {len(own)}: mean, worst", law, *_cells(*mean, worst), style="bold")
    return table


def _cells(r2, mae, rmse, worst):
    return f"{r2:.5f}" if math.isfinite(r2) else "-", f"{mae:.4g}", f"{rmse:.4g}", f"{worst:.4f}"


def _plain(score):
    return {name: value if math.isfinite(value) else None for name, value in vars(score).items()}
