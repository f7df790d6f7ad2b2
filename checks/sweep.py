"""A grid of parameters of an experiment, computed point by point, with every finished point kept.

The points are the product of the axes, the last axis varying fastest.  An axis may be a parameter (``source``) or an
entry of one that is a table (``schedule.peak``).  What a point gives is a pure function of its parameters, its seed and
the sources of this package, so a table is the same to the byte for any number of processes, on a cluster, and
after an interruption: a point that is in the store is not computed again.  A point whose Monte Carlo is long is cut
into chunks, which are kept as well, so that more replicas later cost only the new ones.  Chunks are named by the
experiment's parameters and the version of its kernels, not by the sources: after any other change of the sources points
are computed again, long ones from the chunks that are there.
"""

import itertools
import json
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..sims import cluster, engine, results
from ..sims.errors import Diverged
from ..sims.store import DamagedWarning
from ..sims.versions import source_digest
from ..theory.arguments import shown
from .experiment import Experiment, Simulation, find, table_of
from .runner import scatter

MAX_POINTS = 100_000
"""Largest grid."""
SHORT_SECONDS = 4.0
"""A point up to here is done in one piece; a longer one in chunks."""
CHUNK_SECONDS = 2.0
"""Work per chunk aimed at."""


@dataclass(frozen=True)
class Point:
    """One point of a grid: its parameters, and how it is shown (`columns`)."""

    parameters: dict
    columns: dict

    def __str__(self):
        return ", ".join(f"{name}={value}" for name, value in self.columns.items())


@dataclass(frozen=True)
class Sweep:
    """An experiment over a grid.

    Parameters
    ----------
    experiment : str
        Name, see :func:`.experiment.find`.
    grid : dict of str to list
        Values of each axis; nested tables (``{"schedule": {"peak": [...]}}``) mean dotted axes.
    fixed : dict
        Parameters that all points share.
    replicas, seed : int, optional
        Required by a simulation, refused elsewhere; the seed is 0 by default.

    Raises
    ------
    ValueError
        For an unknown experiment or parameter, a missing one, one given twice, an axis that is empty or has a value
        twice, too many points, or replicas or a seed out of range.
    """

    experiment: str
    grid: dict
    fixed: dict = field(default_factory=dict)
    replicas: int | None = None
    seed: int | None = None

    def __post_init__(self):
        made = find(self.experiment)
        _check_replicas(made, self.replicas, self.seed)
        pairs = list(_axes(self.grid))
        axes = dict(pairs)
        for number, (name, _) in enumerate(pairs):
            if name in (other for other, _ in pairs[:number]):
                raise ValueError(f"{name} is an axis twice, as \"{name}\" and as a nested table; it must be given once")
        object.__setattr__(self, "axes", axes)
        given = {name.split(".")[0] for name in axes if "." not in name} | set(self.fixed)
        for name in (*axes, *self.fixed):
            base = name.split(".")[0]
            if base not in made.parameters:
                raise ValueError(f"{self.experiment} has no parameter {base!r}; it takes "
                                 f"{', '.join(made.parameters)}")
            if "." in name and name in self.fixed:
                raise ValueError(f"{name!r} is fixed by a dotted name; it must be an entry of the table {base}")
            if "." in name and base not in given:
                raise ValueError(f"{name} is an axis, and {base} itself is not given; it must be a table")
            if name in axes and name in self.fixed:
                raise ValueError(f"{name} is both in the grid and fixed; it must be in one of them")
        for name, required in made.parameters.items():
            if required and name not in given:
                raise ValueError(f"{self.experiment} needs {name!r}; put it into the grid or the fixed parameters")
        if self.size > MAX_POINTS:
            raise ValueError(f"the grid has {self.size} points; it must have at most {MAX_POINTS}")
        if made.replicated and self.seed is None:
            object.__setattr__(self, "seed", 0)

    @property
    def size(self) -> int:
        """Number of points."""
        total = 1
        for values in self.axes.values():
            total *= len(values)
        return total

    @property
    def points(self) -> list:
        """All points, in the order of the table."""
        return [self._point(values) for values in itertools.product(*self.axes.values())]

    def _point(self, values):
        parameters = json.loads(json.dumps(self.fixed))   # a copy all the way down
        for name, value in sorted(zip(self.axes, values), key=lambda each: each[0].count(".")):
            *tables, last = name.split(".")
            place = parameters
            for table in tables:
                place = place.get(table)
                if not isinstance(place, dict):
                    raise ValueError(f"{name} is an axis, and {table} is {shown(place)}; it must be a table")
            place[last] = json.loads(json.dumps(value))
        columns = {name: cell(value) for name, value in zip(self.axes, values)}
        columns.update({name: cell(value) for name, value in self.fixed.items() if not isinstance(value, list)})
        if self.replicas is not None:
            columns.update(replicas=self.replicas, seed=self.seed)
        return Point(parameters, columns)


@dataclass(frozen=True)
class Result:
    """What a point gave.

    Attributes
    ----------
    index : int
        Of the point.
    table : dict of str to list
        Columns of one length; empty if it could not be computed.
    note : str
        Warnings, or why it could not be computed.
    failed, reused : bool
        Whether it could not be computed; whether it was in the store.
    """

    index: int
    table: dict
    note: str = ""
    failed: bool = False
    reused: bool = False


def checked(sweep: Sweep, keep_going: bool = False) -> list:
    """The points of a sweep, all of which were prepared once to see whether they can be.

    Raises
    ------
    ValueError
        For the first point that is refused, unless `keep_going`.
    """
    experiment, points = find(sweep.experiment), sweep.points
    for point in points if not keep_going else ():
        try:
            _prepared(experiment, point.parameters)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{error} (at {point})" if len(points) > 1 else str(error)) from None
    return points


def run(sweep: Sweep, points: list, store, jobs: int = 1, dask: str | None = None, before_long=None
        ) -> Iterator[Result]:
    """Compute what is not in the store yet.

    Parameters
    ----------
    sweep : Sweep
    points : list of Point
        Of :func:`checked`.
    store : path
        Folder of finished points and chunks, made if need be; only this process writes it.
    jobs : int
        Processes on this machine.
    dask : str, optional
        Address of the scheduler of a Dask cluster that does the work instead.
    before_long : callable, optional
        Called with the index of a point that is done in chunks; it returns whether to show a bar of its replicas.

    Yields
    ------
    Result
        As points finish: first those in the store, then the short ones, then the long ones, one after the other.

    Raises
    ------
    ConnectionError, ClusterLost
        If the cluster cannot be reached or goes away.
    OSError
        If the store cannot be written or read.
    """
    experiment, store = find(sweep.experiment), Path(store)
    names = [results.digest({"experiment": sweep.experiment, "parameters": point.parameters, "seed": sweep.seed,
                             "replicas": sweep.replicas, "sources": source_digest()}) for point in points]
    short, long = [], []
    for index, (point, name) in enumerate(zip(points, names)):
        kept = results.load(store / "points", name)
        if kept is not None:
            yield Result(index, kept["table"], kept["note"], reused=True)
        else:
            (long if _is_long(experiment, point, sweep.replicas) else short).append(index)
    if not short and not long:
        return
    with nullcontext(jobs) if dask is None else cluster.connected(dask) as workers:
        tasks = [(index, sweep.experiment, points[index].parameters, sweep.replicas, sweep.seed) for index in short]
        pieces = itertools.chain(
            scatter(_computed, tasks, workers),
            (_computed(index, sweep.experiment, points[index].parameters, sweep.replicas, sweep.seed,
                       jobs=workers, store=store / "chunks", progress=bool(before_long and before_long(index)))
             for index in long))
        for result in pieces:
            if not result.failed:
                results.save(store / "points", names[result.index], {"table": result.table, "note": result.note})
            yield result


def rows(points: list, found: dict) -> dict:
    """One tidy table: the columns of each point beside those of its result, point after point.

    Parameters
    ----------
    points : list of Point
    found : dict of int to Result
        All of them.

    Returns
    -------
    dict of str to list
        A cell without a value is None; the last column, ``note``, holds warnings and failures.
    """
    own = list(points[0].columns)
    made = list(dict.fromkeys(name for index in range(len(points)) for name in found[index].table))
    table = {name: [] for name in own} | {f"result.{name}" if name in own else name: [] for name in made}
    columns, notes = list(table.values()), []
    for index, point in enumerate(points):
        result = found[index]
        length = len(next(iter(result.table.values()), [None]))
        for column, name in zip(columns, own):
            column.extend([point.columns[name]] * length)
        for column, name in zip(columns[len(own):], made):
            column.extend(result.table.get(name, [None] * length))
        notes.extend([result.note] * length)
    return {**table, "note": notes}


def cell(value):
    """A parameter as a cell of a table: numbers and text as they are, a table as ``kind(name=value, ...)``."""
    if isinstance(value, dict):
        inside = ", ".join(f"{name}={cell(each)}" for name, each in value.items() if name != "kind")
        return f"{value.get('kind', '')}({inside})"
    return json.dumps(value) if isinstance(value, list) else value


def _prepared(experiment, parameters):
    """Prepare a point; returns it with the warnings on the way."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        return experiment.prepare(**parameters), [str(each.message) for each in seen]


def _is_long(experiment, point, replicas):
    if not experiment.replicated:
        return False
    try:
        return _prepared(experiment, point.parameters)[0].seconds * replicas > SHORT_SECONDS
    except (ValueError, TypeError):
        return False   # its turn comes, and with it the message


def _computed(index, name, parameters, replicas, seed, jobs=1, **engine_options):
    """One point, in whatever process."""
    table, notes, seen, failed = {}, [], [], False
    try:
        prepared, notes = _prepared(find(name), parameters)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            if isinstance(prepared, Simulation):
                table = table_of(prepared, engine.estimate(
                    prepared.experiment, replicas=replicas, seed=seed, jobs=jobs, on_divergence="keep",
                    chunk=_chunk(prepared, replicas, jobs), **engine_options))
            else:
                table = prepared()
        notes += [str(each.message) for each in seen if not issubclass(each.category, DamagedWarning)]
    except (Diverged, ArithmeticError, ValueError, TypeError, LookupError, RuntimeError) as error:
        notes.append(" ".join(str(error).split()) or type(error).__name__)
        failed = True
    for each in seen:
        if issubclass(each.category, DamagedWarning):   # says something of this disk, nothing of the point
            warnings.warn(each.message, stacklevel=2)
    return Result(index, table, "; ".join(dict.fromkeys(notes)), failed)


def _chunk(prepared, replicas, jobs):
    """Whole groups of about :data:`CHUNK_SECONDS`, at least four chunks per job while groups last."""
    groups = min(CHUNK_SECONDS / max(prepared.seconds * prepared.group, 1e-9), replicas / (4.0 * jobs * prepared.group))
    return prepared.group * max(1, int(groups))


def _axes(grid, prefix=""):
    for name, values in grid.items():
        if isinstance(values, dict):
            yield from _axes(values, f"{prefix}{name}.")
            continue
        if not isinstance(values, list) or not values:
            raise ValueError(f"{prefix}{name} in the grid is {shown(values)}; it must be a list of one value or more")
        seen = set()
        for each in values:
            text = json.dumps(float(each) if type(each) is int and abs(each) < 2**53 else each, sort_keys=True)
            if text in seen:
                raise ValueError(f"{prefix}{name} has {shown(each)} twice; its values must differ")
            seen.add(text)
        yield f"{prefix}{name}", values


def _check_replicas(experiment: Experiment, replicas, seed):
    if not experiment.replicated:
        for name, value in (("replicas", replicas), ("seed", seed)):
            if value is not None:
                raise ValueError(f"{name} is {shown(value)}; {experiment.name} has no replicas of its own to count or "
                                 "seed")
        return
    for name, value, low, high in (("replicas", replicas, 2, 2**32), ("seed", 0 if seed is None else seed, 0,
                                                                      2**64 - 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise ValueError(f"{name} is {shown(value)}; it must be an integer from {low} to {high}")
