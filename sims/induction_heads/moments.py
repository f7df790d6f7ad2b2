r"""Second moments of softmax averages at a finite context, by Monte Carlo.

For standard normal tokens in R^d and ``f_x = sum_{s=2}^{L-1} softmax_s(x <x_L, x_{s-1}>) x_s`` a replica is the mean
over a batch of sequences of ``N <f_x, f_x>``, ``N <f_x, f_y>`` and ``N <f_y, f_y>``, N = L - 2, which the population
loss of an induction head is made of, each less ``N |f_0|^2 - d``: the plain mean f_0 of N tokens moves with the
others, and the mean of ``N |f_0|^2`` is d exactly, so that the difference has the same mean and a tenth of the
variance.

Softmaxes are computed in float32 (a product is right to 1e-5 of its size).  Sequence m of replica r reads its tokens
from (purpose 0, replica r, step m // 16): coordinate i of token s = 0..L-1 is draw ``4 ceil(L d/4) (m mod 16) + d s +
i``.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...theory.arguments import number
from .. import engine, streams
from ..arithmetic import fma32
from .arguments import MAX_BATCH, finite_task, integer, one_of
from .descent import checked_replica
from .kernels import LANES, draw_tokens, exponential

EXPERIMENT = "induction_heads.moments"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
OBSERVABLES = ("student", "mixed", "target")
VALUES = {"next": 0, "key": 1}
"""What a key brings: the token after it, or itself (as if nothing had been shifted)."""
LARGEST_SCALE = 1.0
MAX_DIMENSION = 16
"""Up to here logits exceed 87, float32's range, with probability below 1e-10."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean products of softmax averages as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    task : Task
        Of finite length; the target's logit scale y is its similarity.
    scale : float
        The student's logit scale x, 0 <= x <= 1.
    batch_size : int
        Sequences to a replica, 1..2^20.
    value : {"next", "key"}
        What a key brings: the token after it, as an induction head does, or itself.

    Raises
    ------
    ValueError
        For anything else, or a dimension above 16.
    """

    task: object
    scale: float
    batch_size: int = 256
    value: str = "next"

    def __post_init__(self):
        task = finite_task(self.task, any_dimension=True)
        integer(task.dimension, "dimension", MAX_DIMENSION)
        scale = number(self.scale, "scale")
        if not 0 <= scale <= LARGEST_SCALE:
            raise ValueError(f"scale is {scale:g}; it must be in [0, {LARGEST_SCALE:g}]")
        integer(self.batch_size, "batch_size", MAX_BATCH)
        one_of(self.value, "value", VALUES)
        object.__setattr__(self, "scale", scale)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Three numbers."""
        return (len(OBSERVABLES),)

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"similarity": float(self.task.similarity), "length": int(self.task.length),
                "dimension": int(self.task.dimension), "scale": self.scale, "batch_size": int(self.batch_size),
                "value": self.value}

    def coordinates(self) -> dict:
        """``observable`` (names)."""
        return {"observable": np.array(OBSERVABLES)}

    def sample(self, seed, first, count):
        """Mean products of replicas ``first, ..., first + count - 1``, float64, shape (count, 3)."""
        checked_replica(first + count - 1)
        out = np.empty((count, len(OBSERVABLES)))
        _run(np.uint64(streams.key(seed, EXPERIMENT)), np.uint64(first), int(self.task.length),
             int(self.task.dimension), int(self.batch_size), self.scale, float(self.task.similarity),
             VALUES[self.value], out)
        return out


def simulate_moments(task, scale, batch_size=256, value="next", *, replicas, seed, **options):
    """Moments over replicas of the three mean products.

    Parameters
    ----------
    task, scale, batch_size, value
        See :class:`Moments`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (3,).
    """
    return engine.estimate(Moments(task, scale, batch_size, value), replicas=replicas, seed=seed, **options)


@njit(cache=True)
def _attend(x, length, d, shift, scale, similarity, logit, total):
    """Sums of LANES sequences: weights of student and target, then values times both and plain, d rows of each."""
    total[:] = np.float32(0.0)
    end = (length - 1) * d * LANES
    for s in range(1, length - 1):
        key, value = (s - 1) * d * LANES, (s - shift) * d * LANES
        for lane in range(LANES):
            logit[lane] = x[end + lane] * x[key + lane]
        for i in range(1, d):
            for lane in range(LANES):
                logit[lane] = fma32(x[end + i * LANES + lane], x[key + i * LANES + lane], logit[lane])
        for lane in range(LANES):
            student, target = exponential(scale * logit[lane]), exponential(similarity * logit[lane])
            logit[LANES + lane], logit[2 * LANES + lane] = student, target
            total[lane] += student
            total[LANES + lane] += target
        for i in range(d):
            put = (2 + 3 * i) * LANES
            for lane in range(LANES):
                each = x[value + i * LANES + lane]
                total[put + lane] = fma32(logit[LANES + lane], each, total[put + lane])
                total[put + LANES + lane] = fma32(logit[2 * LANES + lane], each, total[put + LANES + lane])
                total[put + 2 * LANES + lane] += each


@njit(cache=True)
def _run(key, first, length, d, batch, scale, similarity, shift, out):
    x, words = np.empty(4 * LANES * ((length * d + 3) // 4), dtype=np.float32), np.empty((4, LANES), dtype=np.uint32)
    logit, total = np.empty(3 * LANES, dtype=np.float32), np.empty((2 + 3 * d) * LANES, dtype=np.float32)
    for row in range(out.shape[0]):
        own, mixed, target, plain = 0.0, 0.0, 0.0, 0.0
        for group in range((batch + LANES - 1) // LANES):
            draw_tokens(key, first + np.uint64(row), np.uint64(group), 0, words, x)
            _attend(x, length, d, shift, np.float32(scale), np.float32(similarity), logit, total)
            for lane in range(min(LANES, batch - group * LANES)):
                for i in range(d):
                    f = total[(2 + 3 * i) * LANES + lane] / np.float64(total[lane])
                    g = total[(3 + 3 * i) * LANES + lane] / np.float64(total[LANES + lane])
                    m = total[(4 + 3 * i) * LANES + lane] / (length - 2.0)
                    own += f * f
                    mixed += f * g
                    target += g * g
                    plain += m * m
        keys = length - 2.0
        out[row, 0] = (own - plain) * keys / batch + d
        out[row, 1] = (mixed - plain) * keys / batch + d
        out[row, 2] = (target - plain) * keys / batch + d
