"""``theorycheck sweep``: a grid of parameters of any claim or simulation, as one tidy table."""

import csv
import io
import tomllib
import warnings
from datetime import date, time
from importlib.util import find_spec
from pathlib import Path

import click

from ..sims.store import DamagedWarning, write
from ..theory.arguments import shown
from . import selection

KEYS = ("experiment", "replicas", "seed", "grid", "fixed", "output")
"""Entries of a specification."""


@click.command("sweep")
@click.argument("spec", metavar="SPEC.toml", type=click.Path(dir_okay=False))
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 4096), metavar="N",
              help="Processes on this machine; the table does not depend on it.")
@selection.dask_option
@click.option("--store", type=click.Path(file_okay=False),
              help="Folder of finished points, for resuming; by default the table's name with .store added.")
@click.option("--keep-going", is_flag=True, help="A point with parameters out of range becomes a row with a note.")
def command(spec, jobs, dask, store, keep_going):
    """Compute a grid of parameters of any claim or simulation and write one tidy table (CSV or Parquet).

    \b
    SPEC.toml, for example:
        experiment = "fsl.descent"   # or fsl.exact_risk, fsl.functional_law,
                                     # label_noise.descent, or a claim's id
        replicas = 200               # of a simulation
        seed = 1
        [grid]                       # every combination is computed
        source = [0.3, 0.5]
        capacity = [2, 4]
        schedule.peak = [0.05, 0.1]  # an entry of a table
        [fixed]
        width = 100
        schedule = {kind = "wsd", steps = 1000, cooldown = 0.2}
        [output]
        path = "sweep.csv"           # or .parquet; relative to SPEC.toml

    The table has one row for each point and recorded time: the point, what was found, and a note.  Finished points are
    kept in the store; after an interruption the same command goes on from there, and the table is the same to the byte
    for any --jobs, on a cluster and after resuming.  A claim is swept over effort = ["quick", "full"] and whatever else
    its function takes; each point of it is one task, of one process, whatever --jobs says.  theorycheck itself must be
    installed on the workers of a cluster.

    The exit code is 1 if a point could not be computed; its note says why.
    """
    from ..checks import sweep as sweeps

    wanted, path = read(spec)
    points = sweeps.checked(wanted, keep_going)
    store = Path(store) if store is not None else path.with_name(f"{path.name}.store")
    selection.cluster(dask)
    found = _run(wanted, points, store, jobs, dask)
    write(path, encoded(sweeps.rows(points, found), path.suffix), "the table")
    failed = sum(result.failed for result in found.values())
    reused = sum(result.reused for result in found.values())
    click.echo(f"{path}: {len(points)} points, {reused} of them from the store")
    if failed:
        click.echo(f"{failed} of {len(points)} points could not be computed; the column note says why", err=True)
    return int(failed > 0)


def read(spec):
    """The sweep that a file specifies, and the path of its table.

    Returns
    -------
    Sweep
    Path

    Raises
    ------
    ValueError
        In one line that names the entry and what is allowed.
    """
    from ..checks.sweep import Sweep

    entries = _toml(spec)
    for key in entries:
        if key not in KEYS:
            raise ValueError(f"{spec}: entry {key!r} is unknown; it must be one of {', '.join(KEYS)}")
    for key in ("grid", "fixed", "output"):
        if not isinstance(entries.get(key, {}), dict):
            raise ValueError(f"{spec}: {key} is {shown(entries[key])}; it must be a table")
    if not isinstance(entries.get("experiment"), str):
        raise ValueError(f"{spec}: experiment is {shown(entries.get('experiment'))}; it must be the name of one")
    path = _output(spec, entries.get("output", {}))
    try:
        return Sweep(entries["experiment"], entries.get("grid", {}), entries.get("fixed", {}),
                     entries.get("replicas"), entries.get("seed")), path
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from None


def encoded(table: dict, suffix: str) -> bytes:
    """A table of columns as the bytes of a file.

    Parameters
    ----------
    table : dict of str to list
        Numbers, text, booleans and None.
    suffix : {".csv", ".parquet"}
    """
    if suffix == ".csv":
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(table)
        rows.writerows(zip(*([_text(value) for value in column] for column in table.values())))
        return text.getvalue().encode()
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table({name: _one_type(column) for name, column in table.items()}), buffer)
    return buffer.getvalue()


def _run(wanted, points, store, jobs, dask):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..checks import sweep as sweeps

    console, found = Console(stderr=True, highlight=False), {}
    bar = Progress(TextColumn("points"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn(),
                   console=console, transient=True, disable=not console.is_terminal)

    def before_long(index):
        bar.stop()   # the bar of its replicas takes its place
        if console.is_terminal:
            console.print(f"{len(found)} of {len(points)} points are done; now {points[index]}", markup=False)
        return console.is_terminal

    with warnings.catch_warnings(), bar:
        warnings.simplefilter("always", DamagedWarning)
        task = bar.add_task("points", total=len(points))
        for result in sweeps.run(wanted, points, store, jobs, dask, before_long):
            found[result.index] = result
            bar.advance(task)
    return found


def _toml(spec):
    try:
        text = Path(spec).read_text(encoding="utf-8")
        entries = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ValueError(f"{spec}: is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{spec}: is not TOML: {error}") from None
    except RecursionError:
        raise ValueError(f"{spec}: is nested too deeply") from None
    _refuse_dates(spec, entries)
    return entries


def _refuse_dates(spec, value):
    if isinstance(value, date | time):
        raise ValueError(f"{spec}: {value} is a date or time; it must be a number, text, a list or a table")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_dates(spec, each)


def _output(spec, entries):
    for key in entries:
        if key != "path":
            raise ValueError(f"{spec}: output has {key!r}; it takes path")
    path = entries.get("path")
    if not isinstance(path, str) or Path(path).suffix not in (".csv", ".parquet") or "\0" in path:
        raise ValueError(f"{spec}: output path is {shown(path)}; it must end in .csv or .parquet")
    if path.endswith(".parquet") and find_spec("pyarrow") is None:
        raise ValueError(f"{spec}: output path is {path!r} and pyarrow is not installed; "
                         "pip install 'theorycheck[parquet]' brings it, or write a .csv")
    whole = Path(spec).parent / path
    if whole.is_dir() or not whole.parent.is_dir():
        raise ValueError(f"{spec}: output path is {path!r}; it must be a file in a folder that exists")
    return whole


def _text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else value


def _one_type(column):
    """A column of Parquet has one type: numbers stay numbers, anything mixed becomes text."""
    kinds = {type(value) for value in column if value is not None}
    if kinds <= {float, int} and len(kinds) == 2:
        return [None if value is None else float(value) for value in column]
    return column if len(kinds) <= 1 else [None if value is None else str(_text(value)) for value in column]
