"""What can be swept over a grid: simulations, evaluators of theory, and every registered claim.

An experiment has a name and parameters.  Preparing it checks them and gives either a :class:`Simulation`, whose
replicas the engine runs, or a function without arguments whose result is a table: a dictionary of columns of one
length.  Its parameters are those of the function that prepares it, which is registered by :func:`experiment`.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .. import checks
from ..theory.arguments import shown
from .claim import Claim, Effort, Verdict, judge


@dataclass(frozen=True)
class Simulation:
    """A prepared Monte Carlo experiment.

    Attributes
    ----------
    experiment : object
        As :func:`theorycheck.sims.engine.estimate` takes it.
    axes : tuple of tuple of str
        For each axis of an observation the names of its coordinates.
    seconds : float
        About how long a replica takes on one core.
    group : int
        Replicas that are done together; chunks are whole groups.
    """

    experiment: object
    axes: tuple
    seconds: float
    group: int = 1


@dataclass(frozen=True)
class Experiment:
    """Something that can be computed at any point of a grid.

    Attributes
    ----------
    name : str
    prepare : callable
        From keyword parameters to a :class:`Simulation` or a function that returns a table.
    replicated : bool
        Whether it needs ``replicas`` and a ``seed``.
    """

    name: str
    prepare: Callable
    replicated: bool = False

    @property
    def parameters(self) -> dict:
        """Names of the parameters, and whether they must be given."""
        return {name: each.default is each.empty for name, each in inspect.signature(self.prepare).parameters.items()}


REGISTRY: dict[str, Experiment] = {}


def experiment(name: str, replicated: bool = False):
    """Register the decorated function as what prepares the experiment called `name`."""
    def register(function):
        REGISTRY[name] = Experiment(name, function, replicated)
        return function
    return register


def find(name: str) -> Experiment:
    """The experiment, or the claim as an experiment, called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    from . import swept  # noqa: F401 -- registers what there is

    if isinstance(name, str) and name in REGISTRY:
        return REGISTRY[name]
    topic = name.split(".")[0] if isinstance(name, str) else None
    claims = checks.load(topic) if isinstance(name, str) and topic in checks.TOPICS else {}
    if isinstance(name, str) and name in claims:
        return Experiment(name, _preparation(claims[name]))
    raise ValueError(f"experiment is {shown(name)}; it must be one of {', '.join(sorted(REGISTRY))} or the id of a "
                     "claim ('theorycheck list' shows them)")


def _preparation(claim: Claim):
    """Prepare a claim: by its effort and by what else its function takes."""
    own = list(inspect.signature(claim.run).parameters.values())[1:]

    def prepare(effort="quick", **parameters):
        return partial(_verdict, claim, Effort(level=effort), parameters)

    first = inspect.Parameter("effort", inspect.Parameter.KEYWORD_ONLY, default="quick")
    prepare.__signature__ = inspect.Signature(
        [first, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own)])
    return prepare


def _verdict(claim, effort, parameters):
    outcome = judge(replace(claim, run=partial(claim.run, **parameters)), effort)
    if outcome.verdict is Verdict.NOT_RUN:
        raise RuntimeError(outcome.message)
    record = outcome.record()
    rejected = sum(control["rejected"] is True for control in record["controls"])
    return {"verdict": [record["verdict"]], **{name: [_cell(record[name])] for name in
                                               ("measured", "expected", "tolerance")},
            "controls": [len(record["controls"])], "rejected": [rejected], "evidence": [record["note"]]}


def _cell(value):
    return json.dumps(value) if isinstance(value, list | dict) else value


def table_of(simulation: Simulation, estimate) -> dict:
    """The columns of an estimate: coordinates of every axis, then the moments."""
    shape, columns = estimate.mean.shape, {}
    for axis, names in enumerate(simulation.axes):
        along = [1] * len(shape)
        along[axis] = shape[axis]
        for name in names:
            columns[name] = np.broadcast_to(np.reshape(estimate.coordinates[name], along), shape)
    for name in ("mean", "stderr", "variance", "skewness", "kurtosis", "minimum", "maximum"):
        columns[name] = getattr(estimate, name)
    return {name: np.ravel(values).tolist() for name, values in columns.items()}
