r"""SGD on the six scalars at a finite context, a batch of fresh Gaussian sequences per step, replica by replica.

Task and student are those of :mod:`theorycheck.theory.induction_heads.population_loss` for tokens of dimension 1, with
softmaxes over what is visible at context length L.  A step is

    theta <- theta - rate * gradient of the mean over the batch of (1/2) |f(X) - f*(X)|^2,

so that ``rate`` times the number of steps is the time of gradient flow on half the mean squared error.  ``trained``
names the scalars that move: *Stage II* of layer-wise training has the first layer fixed at the previous-token map
(``p1 = inf``, ``w1 = 1``) and moves ``p, a, b, w``; *joint* training moves all six.

Observed after given numbers of steps (``coordinates["observable"]`` names the last axis): ``u = e^{-p1}``, the other
five scalars, and, on the batch drawn next, ``four_gram_loss`` and ``induction_loss``, unbiased for the two halves of
the population loss.

Seed, replica and context length determine all sequences; rates, starts and tasks are compared on common random numbers.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...theory.arguments import number, numbers, shown
from ...theory.induction_heads.population_loss import PARAMETERS
from .. import engine, streams
from . import kernels
from .arguments import MAX_BATCH, MAX_STEPS, finite_task, integer, learning_rate, one_of, recorded

EXPERIMENT = "induction_heads.sgd"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
OBSERVABLES = ("u", *PARAMETERS[1:], "four_gram_loss", "induction_loss")
"""Names along the last axis."""
SECOND_LAYER = PARAMETERS[2:]
"""What Stage II trains."""
LOGITS = {"quadratic": 2, "linear": 1}
"""How the logit scale of the induction head depends on w: ``kappa = w1 w^2``, or ``w1 w``."""


def second_stage(scale):
    """The start of Stage II: a perfect previous-token map, and ``p = a = b = w = scale``.

    Parameters
    ----------
    scale : float
        sigma >= 0.

    Returns
    -------
    tuple of 6 floats
        ``p1, w1, p, a, b, w``.

    Raises
    ------
    ValueError
        For anything else.
    """
    scale = number(scale, "scale")
    if not 0 <= scale < math.inf:
        raise ValueError(f"scale is {scale:g}; it must be finite and >= 0")
    return (math.inf, 1.0, scale, scale, scale, scale)


@dataclass(frozen=True, eq=False)
class Descent:
    """SGD on the six scalars as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    task : Task
        ``theorycheck.theory.induction_heads.population_loss.Task`` of finite length 4..4096 and dimension 1.
    steps : int
        Length K of the run, 1..10^7.
    start : array_like, shape (6,)
        ``p1, w1, p, a, b, w``, p1 >= 0 and p >= -20/L; p1 may be inf, the previous-token map: :func:`second_stage`.
    trained : sequence of str
        Which of the six scalars move, by name; p1 = inf cannot.  Default ``p, a, b, w``.
    rate : float
        Learning rate > 0.
    batch_size : int
        Sequences per step, 1..2^20.
    times : array_like of int, optional
        Numbers of steps after which to record, strictly increasing in 0..K; default up to 129 evenly spaced ones.  The
        run ends with the last one.
    logit : {"quadratic", "linear"}
        The logit scale of the induction head is ``w1 w^2``, or ``w1 w``.

    Raises
    ------
    ValueError
        For anything else.
    """

    task: object
    steps: int
    start: object
    trained: tuple = SECOND_LAYER
    rate: float = 0.5
    batch_size: int = 1500
    times: object = None
    logit: str = "quadratic"

    def __post_init__(self):
        steps = integer(self.steps, "steps", MAX_STEPS)
        values = {"task": finite_task(self.task), "steps": steps, "rate": learning_rate(self.rate),
                  "batch_size": integer(self.batch_size, "batch_size", MAX_BATCH),
                  "times": recorded(self.times, steps), "logit": one_of(self.logit, "logit", LOGITS),
                  "trained": _names(self.trained)}
        values["start"] = _start(self.start, values["trained"], LOGITS[self.logit], self.task.length)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def stream(self) -> str:
        """Name of the random stream."""
        return EXPERIMENT

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, 8)."""
        return (self.times.size, len(OBSERVABLES))

    @property
    def tokens(self) -> float:
        """How many tokens a replica draws: what it costs."""
        return float(self.times[-1] + 1) * self.batch_size * self.task.length

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"weight": float(self.task.weight), "similarity": float(self.task.similarity),
                "length": int(self.task.length), "start": self.start, "rates": self.rates, "times": self.times,
                "batch_size": self.batch_size, "logit": self.logit}

    def coordinates(self) -> dict:
        """``step`` and ``time`` (rate times step), both (T,), and ``observable`` (names)."""
        return {"step": self.times.copy(), "time": self.rate * self.times, "observable": np.array(OBSERVABLES)}

    @property
    def rates(self) -> np.ndarray:
        """Learning rate of each scalar, (6,), 0 where it is frozen."""
        return np.where(np.isin(PARAMETERS, self.trained), self.rate, 0.0)

    def path(self, key, replica, level=math.inf):
        """One replica, ended early where its logit scale passes a level.

        Parameters
        ----------
        key : int
            From :func:`theorycheck.sims.streams.key`.
        replica : int
        level : float

        Returns
        -------
        path : ndarray, shape (T, 8)
        crossed : float
            Number of steps, interpolated, until the level was passed; else of all steps.

        Raises
        ------
        engine.Diverged
            If it left the finite numbers, or its logit scale exceeded 1.75.
        """
        out, amplitudes = np.empty(self.shape), np.array([self.task.four_gram, self.task.induction])
        # Fresh copies: numba compiles anew for read-only arrays, and pickling changes that flag.
        crossed, died = kernels.run(np.uint64(key), np.uint64(replica), int(self.task.length), self.batch_size,
                                    self.rates, np.array(self.start), LOGITS[self.logit], float(self.task.similarity),
                                    amplitudes, np.array(self.times), float(level), out)
        if died >= 0:
            raise engine.Diverged(replica, int(died))
        return out, crossed

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, T, 8)

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        """
        key = streams.key(seed, EXPERIMENT)
        return np.stack([self.path(key, checked_replica(first + row))[0] for row in range(count)])


def simulate(task, steps, start, trained=SECOND_LAYER, rate=0.5, batch_size=1500, times=None, logit="quadratic", *,
             replicas, seed, **options):
    """Run SGD on the six scalars on independent replicas and return the moments of the observables.

    Parameters
    ----------
    task, steps, start, trained, rate, batch_size, times, logit
        See :class:`Descent`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, 8); ``coordinates`` has ``step``, ``time``, ``observable``.
    """
    experiment = Descent(task, steps, start, trained, rate, batch_size, times, logit)
    return engine.estimate(experiment, replicas=replicas, seed=seed, **options)


def checked_replica(replica):
    """A replica that the streams know.

    Raises
    ------
    ValueError
        For one that is 2^32 or more.
    """
    if not replica < streams.MAX_REPLICA:
        raise ValueError(f"replica is {replica}; it must be in [0, 2^32)")
    return replica


def _names(trained):
    if not isinstance(trained, str | tuple | list | set | frozenset):
        raise ValueError(f"trained is {shown(trained)}; it must name one or more of {', '.join(PARAMETERS)}")
    names = (trained,) if isinstance(trained, str) else tuple(trained)
    for each in names:
        one_of(each, "trained", PARAMETERS)
    if not names:
        raise ValueError(f"trained is {shown(trained)}; it must name at least one of {', '.join(PARAMETERS)}")
    return tuple(name for name in PARAMETERS if name in names)


def _start(start, trained, power, length):
    values = numbers(start, "starting values")
    if values.shape != (len(PARAMETERS),):
        raise ValueError(f"start has shape {values.shape}; it must be (6,), in the order {', '.join(PARAMETERS)}")
    if not (np.isfinite(values[1:]).all() and values[0] >= 0):
        raise ValueError(f"start is {shown(start)}; it must be finite, and p1 >= 0 (inf allowed)")
    if not np.abs(values[1:]).max() <= kernels.LARGEST_PARAMETER or values[2] * length < -kernels.LARGEST_RISE:
        raise ValueError(f"start is {shown(start)}; p must be >= {-kernels.LARGEST_RISE / length:.4g}, and no scalar "
                         f"but p1 beyond {kernels.LARGEST_PARAMETER:g} in size")
    if values[0] == math.inf and "p1" in trained:
        raise ValueError("p1 starts at inf; it must be finite where it is trained")
    kappa = values[1] * values[5] ** power
    if not abs(kappa) <= kernels.LARGEST_SCALE:
        raise ValueError(f"the logit scale starts at {kappa:.6g}; it must be within +-{kernels.LARGEST_SCALE:g}")
    return values
