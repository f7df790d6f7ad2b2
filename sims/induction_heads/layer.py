r"""SGD on a whole attention layer of two heads, with layer 1 the previous-token map, replica by replica.

The task is that of :mod:`theorycheck.theory.induction_heads.population_loss` for tokens of dimension 1; the layer reads
``h_s = (x_s, x_{s-1})`` and has all its weights: head h = 1, 2 puts on position s = 2..L-1 the softmax of
``h_L' Q_h' K_h h_s - p_h (L - 1 - s)`` and brings ``V_h`` times the mean of h_s, where Q, K and V are 2 x 2 (V is the
product of output and value matrix) and the two rows of V are the two outputs.  The six scalars are the case of

    Q_1 = K_1 = 0,  V_1 = a e_1 e_2',        Q_2 = w e_1 e_1', K_2 = w e_1 e_2', V_2 = b e_2 e_1', p_2 = 0.

``heads`` names what is trained: with ``"scalars"``, the entries that are a, p, b and w above, query and key apart; with
``"divided"``, positions only in head 1, dot product only in head 2, and every entry of Q, K and V; with ``"free"``,
everything.

Observed after given numbers of steps (``coordinates["observable"]`` names the last axis): for both heads the slope,
the entries of ``A = Q'K`` (``A_ij`` weighs ``h_L`` at i with ``h_s`` at j) and of V, and the two losses on the batch
drawn next.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...theory.arguments import number, numbers
from .. import engine, streams
from . import layer_kernels
from .arguments import MAX_BATCH, MAX_STEPS, finite_task, integer, learning_rate, one_of, recorded
from .descent import checked_replica
from .kernels import LARGEST_PARAMETER, LARGEST_RISE, LARGEST_SCALE, START

EXPERIMENT = "induction_heads.layer"
"""Name of the random stream; its tokens are laid out as those of :mod:`.descent`."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
HEADS = ("scalars", "divided", "free")
SCALARS = (0, 10, 14, 19, 24)
"""Places of the scalars among the 26 weights: p and ``V_01`` of head 1; ``Q_00``, ``K_01`` and ``V_10`` of head 2."""
OBSERVABLES = (*(f"{name}_{head}" for head in (1, 2) for name in (
    "p", "A00", "A01", "A10", "A11", "V00", "V01", "V10", "V11")), "four_gram_loss", "induction_loss")
"""Names along the last axis."""


@dataclass(frozen=True, eq=False)
class LayerDescent:
    """SGD on both heads as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    task : Task
        Of finite length 4..4096 and dimension 1.
    steps : int
        Length K of the run, 1..10^7.
    scale : float
        sigma >= 0: every trained weight starts at sigma times a normal of its own (slopes at sigma times its absolute
        value), drawn for each replica from (purpose 1, step 0), draws 0..25 in the order of ``start``.
    start : array_like, shape (2, 13), optional
        The start of all replicas instead: p >= -20/L, then Q, K and V row by row, of either head; the entries of an
        ``A`` sum to 1.75 at most, in size.
    heads : {"scalars", "divided", "free"}
    rate : float
        Learning rate > 0.
    batch_size : int
        Sequences per step, 1..2^20.
    times : array_like of int, optional
        Numbers of steps after which to record, strictly increasing in 0..K; default up to 129 evenly spaced ones.

    Raises
    ------
    ValueError
        For anything else.
    """

    task: object
    steps: int
    scale: float = 0.05
    start: object = None
    heads: str = "divided"
    rate: float = 0.5
    batch_size: int = 500
    times: object = None

    def __post_init__(self):
        steps, scale = integer(self.steps, "steps", MAX_STEPS), number(self.scale, "scale")
        if not 0 <= scale <= 1:
            raise ValueError(f"scale is {scale:g}; it must be in [0, 1]")
        values = {"task": finite_task(self.task), "steps": steps, "scale": scale,
                  "heads": one_of(self.heads, "heads", HEADS), "rate": learning_rate(self.rate),
                  "batch_size": integer(self.batch_size, "batch_size", MAX_BATCH),
                  "times": recorded(self.times, steps), "start": _start(self.start, self.task.length)}
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
        """Shape of one replica's observation, (T, 20)."""
        return (self.times.size, len(OBSERVABLES))

    @property
    def rates(self) -> np.ndarray:
        """Learning rate of each weight, (26,), 0 where it is frozen."""
        return np.where(self._trained, self.rate, 0.0)

    @property
    def _trained(self):
        if self.heads == "scalars":
            return np.isin(np.arange(2 * layer_kernels.HEAD), SCALARS)
        trained = np.ones((2, layer_kernels.HEAD), dtype=bool)
        if self.heads == "divided":
            trained[0, 1:9] = False
            trained[1, 0] = False
        return trained.ravel()

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"weight": float(self.task.weight), "similarity": float(self.task.similarity),
                "length": int(self.task.length), "scale": self.scale, "start": self.start, "heads": self.heads,
                "rate": self.rate, "times": self.times, "batch_size": self.batch_size}

    def coordinates(self) -> dict:
        """``step`` and ``time`` (rate times step), both (T,), and ``observable`` (names)."""
        return {"step": self.times.copy(), "time": self.rate * self.times, "observable": np.array(OBSERVABLES)}

    def drawn(self, key, replica):
        """The start of a replica, (26,): given, or drawn."""
        if self.start is not None:
            return np.array(self.start).ravel()
        normals = streams.normals(key, replica, 0, 2 * layer_kernels.HEAD, purpose=START).astype(np.float64)
        normals[::layer_kernels.HEAD] = np.abs(normals[::layer_kernels.HEAD])
        return np.where(self._trained, self.scale * normals, 0.0)

    def path(self, key, replica, level=math.inf):
        """One replica, ended early where ``A_01`` of the second head passes a level.

        Parameters
        ----------
        key : int
            From :func:`theorycheck.sims.streams.key`.
        replica : int
        level : float

        Returns
        -------
        path : ndarray, shape (T, 20)
        crossed : float
            Number of steps, interpolated, until the level was passed; else of all steps.

        Raises
        ------
        engine.Diverged
            If it left the finite numbers, or the entries of an A exceeded 1.75 in sum.
        """
        out, amplitudes = np.empty(self.shape), np.array([self.task.four_gram, self.task.induction])
        crossed, died = layer_kernels.run(np.uint64(key), np.uint64(replica), int(self.task.length), self.batch_size,
                                          self.rates, self.drawn(key, replica), float(self.task.similarity), amplitudes,
                                          np.array(self.times), float(level), out)
        if died >= 0:
            raise engine.Diverged(replica, int(died))
        return out, crossed

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, T, 20)

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        """
        key = streams.key(seed, EXPERIMENT)
        return np.stack([self.path(key, checked_replica(first + row))[0] for row in range(count)])


def scalar_start(scale):
    """The start at which those five weights are sigma and the others 0, shape (2, 13).

    Parameters
    ----------
    scale : float
        sigma, finite and >= 0.

    Raises
    ------
    ValueError
        For anything else.
    """
    scale = number(scale, "scale")
    if not 0 <= scale < math.inf:
        raise ValueError(f"scale is {scale:g}; it must be finite and >= 0")
    start = np.zeros(2 * layer_kernels.HEAD)
    start[list(SCALARS)] = scale
    return start.reshape(2, layer_kernels.HEAD)


def simulate_layer(task, steps, scale=0.05, start=None, heads="divided", rate=0.5, batch_size=500, times=None, *,
                   replicas, seed, **options):
    """Run SGD on both heads on independent replicas and return the moments of the observables.

    Parameters
    ----------
    task, steps, scale, start, heads, rate, batch_size, times
        See :class:`LayerDescent`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, 20); ``coordinates`` has ``step``, ``time``, ``observable``.
    """
    experiment = LayerDescent(task, steps, scale, start, heads, rate, batch_size, times)
    return engine.estimate(experiment, replicas=replicas, seed=seed, **options)


def _start(start, length):
    if start is None:
        return None
    values = numbers(start, "starting values")
    if values.shape != (2, layer_kernels.HEAD):
        raise ValueError(f"start has shape {values.shape}; it must be (2, {layer_kernels.HEAD}): p, Q, K and V of "
                         "either head")
    if not np.isfinite(values).all():
        raise ValueError("start holds NaN or infinity; weights must be finite")
    scores = np.empty(8)
    layer_kernels.products(values.ravel(), scores)
    least, size = values[:, 0].min(), np.abs(scores).reshape(2, 4).sum(axis=1).max()
    if not (size <= LARGEST_SCALE and np.abs(values).max() <= LARGEST_PARAMETER and least * length >= -LARGEST_RISE):
        raise ValueError(f"start has slopes from {least:g}, entries of an A that sum to {size:.4g} and "
                         f"weights up to {np.abs(values).max():g}; slopes must be >= "
                         f"{-LARGEST_RISE / length:.4g}, sums at most {LARGEST_SCALE:g}, weights {LARGEST_PARAMETER:g}")
    return values
