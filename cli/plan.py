"""``theorycheck plan``: the best learning rates or batch sizes of a run, from a given task or from a fit."""

import csv
import json
import math
import shutil
import tempfile
from pathlib import Path

import click

from .fit import _interruptible, _missing, _refuse_folder, _remove_empty, _undisturbed
from .record import to_json

SNIPPET = '''"""How a training script reads plan.csv; nothing but Python's standard library."""

import csv
from pathlib import Path

with open(Path(__file__).with_name("plan.csv"), newline="") as file:
    PLAN = [(float(row["lr"]), int(float(row["batch_size"] or 0)) or None) for row in csv.DictReader(file)]


def lr(step):
    """Learning rate of a step, counted from 0; after the plan, that of its last step."""
    return PLAN[min(step, len(PLAN) - 1)][0]


def batch_size(step):
    """Batch size of a step; None where the plan states none."""
    return PLAN[min(step, len(PLAN) - 1)][1]


# in the training loop, before step k:
#     for group in optimizer.param_groups:
#         group["lr"] = lr(k)
'''
"""What is printed, and written as ``read_plan.py``."""

MOST_NOISE = 1e6
"""Largest standard deviation of the label noise."""

FILES = ("plan.csv", "plan.json", "plan.png", "plan.pdf", "plan_curves.csv", "read_plan.py")
"""What ``--out`` receives."""


VERDICTS = {
    "within the error": "within the error: by other refits of the law there is none",
    "untested": "beyond the error of the fit; that of the law on another schedule is not known",
    "within the scatter of runs": "less than what the law misses on runs it was not fitted to: measured, either may "
                                  "come out lower",
}
"""What is said of a gain that is not clear."""


class _Sizes(click.ParamType):
    name = "sizes"

    def convert(self, value, parameter, context):
        if not isinstance(value, str):
            return value
        try:
            sizes = [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is no list of whole numbers like 256,512,1024.", parameter, context)
        if min(sizes) < 1:
            self.fail(f"{min(sizes)} is no batch size; it must be >= 1.", parameter, context)
        return sizes


def _finite(context, parameter, value):
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.", context, parameter)
    return value


def _real(*names, **options):
    return click.option(*names, type=float, callback=_finite, **options)


def _options(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function
    return decorate


_OUT = click.option("--out", type=click.Path(file_okay=False), metavar="DIR",
                    help=f"Folder for {', '.join(FILES)}; files of these names are replaced.")
_TASK = _options(
    _real("--source", metavar="S", help="Source exponent s > 0 of the task."),
    _real("--capacity", metavar="BETA", help="Capacity exponent beta > 1."),
    _real("--noise", metavar="SIGMA", help="Standard deviation of the label noise, > 0."))
_EITHER = _options(_TASK, click.option("--fit", "fitted", type=click.Path(dir_okay=False), metavar="FIT.json",
                                       help="Output of theorycheck fit, instead of a task."),
                   click.option("--warmup", type=click.IntRange(min=0), metavar="STEPS",
                                help="With --fit: linear warm-up from 0; by default that of the first training run."))
_SIZES = _options(
    click.option("--min", "smallest", type=int, help="Smallest batch size; by default 1, or the smallest of a "
                                                           "fit's training runs."),
    click.option("--max", "largest", type=int, help="Largest batch size; by default any, or the largest of a fit's "
                                                    "training runs."),
    click.option("--allowed", type=_Sizes(), metavar="256,512,...", help="The batch sizes the hardware takes."),
    click.option("--switches", type=click.IntRange(min=0, max=63), metavar="K", help="Most switches between sizes."))
_DATA = click.option("--data", type=int, required=True, metavar="D", help="Samples in all.")
_RATE = _real("--rate", metavar="LR", help="Learning rate; by default half the stability bound, or the largest of the "
                                           "training runs of a fit.")


@click.group("plan", invoke_without_command=True)
@click.pass_context
def command(context):
    """The best learning rates or batch sizes of a run.

    From a task given by source, capacity and noise (power-law regression; exact expected risk of SGD), or from the
    fit.json that theorycheck fit wrote for your own runs.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("rates")
@_TASK
@click.option("--steps", type=int, required=True, metavar="N")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Batch size of all steps.")
@_real("--peak", metavar="LR", help="Largest learning rate; by default half the stability bound.")
@_OUT
def rates(source, capacity, noise, steps, batch, peak, out):
    """Best learning rates of N steps at a fixed batch size."""
    _answer(out, lambda planner: planner.plan_rates(_given(planner, source, capacity, noise), steps, batch, peak))


@command.command("batches")
@_EITHER
@_DATA
@_RATE
@_SIZES
@_OUT
def batches(source, capacity, noise, fitted, warmup, data, rate, smallest, largest, allowed, switches, out):
    """Best batch sizes of D samples at a fixed learning rate."""
    _answer(out, lambda planner: planner.plan_batches(_task(planner, source, capacity, noise, fitted, warmup), data,
                                                      rate, smallest, largest, allowed, switches))


@command.command("pair")
@_EITHER
@_DATA
@_real("--loss", "target", metavar="L", help="Final excess risk (task) or loss (fit) to reach; by default the least.")
@_real("--peak", "rate", metavar="LR", help="Largest learning rate; default as for --rate of the other commands.")
@_SIZES
@_OUT
def pair(source, capacity, noise, fitted, warmup, data, target, rate, smallest, largest, allowed, switches, out):
    """The learning rates and batch sizes that reach a loss in the fewest steps, with at most D samples."""
    limits = {"smallest": smallest, "largest": largest, "allowed": allowed, "switches": switches}
    from ..checks.schedules import pairs

    _answer(out, lambda planner: pairs.plan_pair(_task(planner, source, capacity, noise, fitted, warmup), data, target,
                                                 rate, **limits))


@command.command("switch")
@_EITHER
@_DATA
@_RATE
@click.option("--from", "first", type=int, required=True, metavar="B1", help="Batch size at the start.")
@click.option("--to", "second", type=int, required=True, metavar="B2", help="Batch size at the end, larger.")
@_OUT
def switch(source, capacity, noise, fitted, warmup, data, rate, first, second, out):
    """When to switch from batch size B1 to B2, and what it costs to switch early or late."""
    from ..checks.schedules import pairs

    _answer(out, lambda planner: pairs.plan_switch(_task(planner, source, capacity, noise, fitted, warmup), data, first,
                                                     second, rate))


@command.command("fit")
@click.argument("fitted", type=click.Path(dir_okay=False), metavar="FIT.json")
@click.option("--steps", type=int, required=True, metavar="N")
@_real("--peak", metavar="LR", help="Largest learning rate; by default that of the training runs.")
@_real("--floor", metavar="LR", help="Smallest learning rate after the warm-up; by default that of the training runs.")
@click.option("--warmup", type=click.IntRange(min=0), metavar="STEPS",
              help="Linear warm-up from 0; by default that of the first training run.")
@_real("--batch", metavar="B", help="Batch size; by default that of the first training run, if it is stated.")
@click.option("--against", multiple=True, type=click.Path(dir_okay=False), metavar="RUN.csv",
              help="Compare with this schedule of N steps, too (columns step and lr); may be repeated.")
@_OUT
def fit(fitted, steps, peak, floor, warmup, batch, against, out):
    """Learning rates of least predicted final loss by a law fitted to your runs."""
    from ..sims.loss_curves import read_csv

    _answer(out, lambda planner: planner.plan_fitted_rates(
        _fitted(planner, fitted, warmup), steps, peak, floor, batch, [read_csv(path) for path in against]))


def _given(planner, source, capacity, noise):
    from ..theory.fsl.problem import PowerLawRegression

    for name, value in (("source", source), ("capacity", capacity), ("noise", noise)):
        if value is None:
            raise click.UsageError(f"--{name} is missing; a task needs --source, --capacity and --noise")
    if not 0 < noise <= MOST_NOISE:
        raise ValueError(f"noise is {noise:g}; it must be in (0, {MOST_NOISE:g}]; without noise the largest stable "
                         "rate is best")
    return planner.Given(PowerLawRegression(source, capacity, noise=noise))


def _task(planner, source, capacity, noise, fitted, warmup):
    if fitted is None:
        if warmup is not None:
            raise click.UsageError("--warmup goes with --fit; a task begins at its rate")
        return _given(planner, source, capacity, noise)
    if (source, capacity, noise) != (None, None, None):
        raise click.UsageError("--fit stands beside --source, --capacity or --noise; give a fit or a task")
    return _fitted(planner, fitted, warmup)


def _fitted(planner, path, warmup):
    from ..checks.schedules import forecast

    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: is no JSON file ({error})") from None
    if not isinstance(stored, dict):
        raise ValueError(f"{path}: is not what theorycheck fit writes")
    read = forecast.from_record(stored, path)
    return planner.Fitted(read, read.trusted.warmup if warmup is None else warmup)


def _answer(out, ask):
    if out is not None:
        _refuse_folder(out)
    with _interruptible() as check:
        from rich.console import Console

        from ..checks.schedules import planner

        with Console(stderr=True).status("planning"):
            plan = ask(planner)
        check()
        written = write(plan, out, check) if out is not None else []
    show(plan, written)


def record(plan) -> dict:
    """The plan as plain numbers and strings (what ``plan.json`` holds)."""
    return {
        "title": plan.title, "method": plan.method, "quantity": plan.quantity, "steps": plan.steps,
        "samples": plan.samples if plan.batches_known else None, "loss": plan.loss,
        "band": plan.band and list(plan.band), "facts": plan.facts, "notes": list(plan.notes),
        "rivals": [{"name": rival.name, "loss": rival.loss, "difference": rival.loss - plan.loss,
                    **({} if rival.gain is None else {
                        "interval_parameters": list(rival.gain.parameters),
                        "interval_measured": list(rival.gain.measurement), "mean_over_refits": rival.gain.mean,
                        "verdict": rival.gain.verdict})} for rival in plan.rivals],
        "table": [dict(zip(plan.table[0], row, strict=True)) for row in plan.table[1:]],
    }


def write(plan, out, check=lambda: None) -> list:
    """Write the files of ``FILES`` into the folder `out`; all or none of them.

    Parameters
    ----------
    plan : Plan
    out : path_like
    check : callable
        Called before the files get their names; what it raises leaves none of them.

    Returns
    -------
    list of Path
    """
    from ..figures.figure import save
    from ..figures.schedules.plan import draw_plan
    from ..figures.style import applied

    out, made = Path(out), _missing(out)
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".plan-", dir=out))
    try:
        with applied():
            drawing = draw_plan(plan)
        save(drawing, staging, "plan")["csv"].rename(staging / "plan_curves.csv")
        with open(staging / "plan.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", "lr", "batch_size"])
            rows.writerows((step, repr(rate), f"{size:.15g}" if plan.batches_known else "") for step, (rate, size)
                           in enumerate(zip(plan.rates.tolist(), plan.batch_sizes.tolist(), strict=True)))
        (staging / "plan.json").write_text(to_json(record(plan), indent=2) + "\n", encoding="utf-8")
        (staging / "read_plan.py").write_text(SNIPPET, encoding="utf-8")
        files = sorted(staging.iterdir())
        check()
        with _undisturbed():
            return [path.replace(out / path.name) for path in files]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(made)


def show(plan, written):
    """Print the plan, what it is compared with, its cautions, and where the files are."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)

    def line(text, **options):
        console.print(Text(text, **options), soft_wrap=True)

    line(plan.title)
    line(f"found by: {plan.method}")
    for name, value in plan.facts.items():
        line(f"{name}: {value}")
    band = "" if plan.band is None else f", 90% of measured losses in {plan.band[0]:.5g} .. {plan.band[1]:.5g}"
    line(f"final {plan.quantity}: {plan.loss:.6g}{band}")
    if plan.rivals:
        console.print(_rivals(plan))
    if plan.table:
        console.print(_table(plan))
    for verdict, meaning in VERDICTS.items():
        names = [rival.name for rival in plan.rivals if rival.gain is not None and rival.gain.verdict == verdict]
        if names:
            line(f"note: the gain over {', '.join(names)} is {meaning}")
    for note in plan.notes:
        line(f"{'WARNING' if note.startswith('the fit warns') else 'note'}: {note}",
             style="bold red" if note.startswith("the fit warns") else "")
    line(_excerpt(plan))
    if written:
        line("to follow the plan (read_plan.py):")
        console.print(Text(SNIPPET), soft_wrap=True)
    for path in written:
        line(str(path))


def _excerpt(plan):
    places = sorted({0, plan.steps // 4, plan.steps // 2, 3 * plan.steps // 4, plan.steps - 1})
    return ("step: lr, batch size   " if plan.batches_known else "step: lr   ") + "   ".join(
        f"{k}: {plan.rates[k]:.4g}" + (f", {plan.batch_sizes[k]:g}" if plan.batches_known else "") for k in places) + (
        "" if plan.batches_known else "   (the training runs state no batch size)")


def _rivals(plan):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("compared with", overflow="fold")
    fitted = plan.band is not None
    for name in (f"final {plan.quantity}", "plan is lower by", *(("refits, 90%", "measured, 90%") if fitted else ())):
        table.add_column(name, justify="right")
    for rival in plan.rivals:
        gap = rival.loss - plan.loss
        cells = [rival.name, f"{rival.loss:.5g}", f"{gap:.3g} ({100 * gap / rival.loss:.2g}%)"]
        if fitted:
            cells += [f"{low:.2g} .. {high:.2g}" for low, high in (rival.gain.parameters, rival.gain.measurement)]
        table.add_row(*cells)
    return table


def _table(plan):
    from rich import box
    from rich.table import Table

    table = Table(*plan.table[0], box=box.SIMPLE_HEAD)
    for row in plan.table[1:]:
        *cells, excess = row
        table.add_row(*(f"{cell:.5g}" if isinstance(cell, float) else str(cell) for cell in cells),
                      excess if isinstance(excess, str) else f"{100 * excess:+.3g}%")
    return table
