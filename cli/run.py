"""``theorycheck run``: every check, every figure, and the report."""

import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .. import checks, figures
from ..checks.claim import Effort
from ..checks.runner import run
from ..figures.gallery import draw
from . import paper_table, selection
from .record import to_json, write_text
from .report import Report, write
from .verdicts import debug_failure, exit_code, in_brief, remarks, table


@dataclass
class Progression:
    """What a run has found so far; kept when it is interrupted."""

    outcomes: list = field(default_factory=list)
    plates: list = field(default_factory=list)
    complete: bool = False


@click.command("run")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@selection.options
@click.option("--out", default="results", show_default=True, type=click.Path(file_okay=False),
              help="Folder for the report, the figures and a record of each claim.")
@click.option("--table", "table_path", default="paper_checks.md", show_default=True, type=click.Path(dir_okay=False),
              help="The table to bring up to date.")
@click.option("--figures/--no-figures", "with_figures", default=True, help="Draw the figures too (the default).")
@click.option("--resume", is_flag=True, help="Take up the Monte Carlo of an interrupted run (effort full keeps it).")
def command(topics, effort, device, jobs, dask, out, table_path, with_figures, resume):
    """Check every claim and draw every figure of the topics (of all, by default), and write the report.

    Writes report.html, figures/ and claims/ into the --out folder and brings the --table up to date.  Ctrl-C keeps what
    is done: the report then says that it is incomplete, and the table stays as it was.
    """
    start = time.perf_counter()
    names = checks.topics(topics)
    out = Path(out)
    if Path(table_path).exists():
        paper_table.read(table_path)   # refuse a foreign file now rather than after the work
    store = _store(out, keep=resume) if effort == "full" or resume else None
    spent = Effort(level=effort, device=selection.device(device), cluster=selection.cluster(dask, device), store=store)
    claims = [claim for topic in names for claim in checks.load(topic).values()]
    plates = [plate for topic in names for plate in figures.load(topic).values()] if with_figures else []
    so_far = Progression()

    def report():
        place = {key: rank for rank, key in enumerate([claim.id for claim in claims] + [plate.id for plate in plates])}
        so_far.outcomes.sort(key=lambda outcome: place[outcome.claim.id])
        so_far.plates.sort(key=lambda plate: place[plate.figure.id])
        seconds = time.perf_counter() - start
        return write(out / "report.html", Report(names, so_far.outcomes, so_far.plates, effort, device, seconds,
                                                 so_far.complete, len(claims), len(plates)))
    try:
        _work(so_far, claims, plates, spent, out, jobs)
        so_far.complete = True
    except BaseException:   # Ctrl-C, a killed worker, a full disk: whatever stops the run, what is done is reported
        if so_far.outcomes:
            click.echo(f"incomplete: {len(so_far.outcomes)} of {len(claims)} claims are in {report()}", err=True)
        raise
    page = report()
    if store is not None:
        shutil.rmtree(store, ignore_errors=True)
    paper_table.update(table_path, {
        topic: paper_table.section(topic, checks.TOPICS[topic],
                                   [outcome for outcome in so_far.outcomes if outcome.claim.topic == topic], effort)
        for topic in names}, checks.TOPICS)
    return _conclude(so_far, effort, page, table_path, time.perf_counter() - start)


def _work(so_far, claims, plates, spent, out, jobs):
    records = out / "claims"
    seconds = _last_seconds(records)
    for topic in {claim.topic for claim in claims}:
        for stale in records.glob(f"{topic}.*.json"):
            stale.unlink()
    with _bar() as bar:
        console = bar.console
        task = bar.add_task("claims", total=len(claims))
        for outcome in run(claims, spent, jobs, seconds):
            debug_failure(outcome, spent)
            so_far.outcomes.append(outcome)
            write_text(records / f"{outcome.claim.id}.json", to_json(outcome.record(), indent=1) + "\n")
            console.print(in_brief(outcome))
            bar.advance(task)
        if plates:
            task = bar.add_task("figures", total=len(plates))
            for plate in draw(plates, spent, out / "figures", jobs):
                so_far.plates.append(plate)
                became = "drawn" if plate.paths else f"NOT DRAWN: {plate.message}"
                console.print(f"  {plate.figure.id}  {plate.seconds:.1f} s  {became}", markup=False)
                bar.advance(task)


def _conclude(so_far, effort, page, table_path, seconds):
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(table(so_far.outcomes, console.width))
    for line in remarks(so_far.outcomes):
        console.print(line, markup=False, soft_wrap=True)
    undrawn = [plate for plate in so_far.plates if not plate.paths]
    for plate in undrawn:
        console.print(f"figure {plate.figure.id} not drawn: {plate.message}", markup=False, soft_wrap=True)
    console.print(f"{len(so_far.plates) - len(undrawn)} figures; effort {effort}, {seconds:.0f} s; "
                  f"report: {page}; table: {table_path}", soft_wrap=True)
    return int(exit_code(so_far.outcomes) or any(not plate.missing for plate in undrawn))


def _bar() -> Progress:
    # without a terminal only the lines that are printed above the bar remain
    console = Console(stderr=True, highlight=False)
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    console=console, transient=True, disable=not console.is_terminal)


def _store(out, keep):
    store = out.absolute() / "chunks"
    if not keep:
        shutil.rmtree(store, ignore_errors=True)
    return store


def _last_seconds(records) -> dict:
    """How long each claim took in the run whose records lie here; an unreadable record counts as none."""
    seconds = {}
    for path in records.glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            seconds[record["id"]] = float(record["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return seconds
