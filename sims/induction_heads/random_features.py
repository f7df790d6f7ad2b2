r"""The logit of a network with random hinges, drawn again and again: see :mod:`theorycheck.theory.induction_heads`.

A replica draws w hinges for each of the 2 K features of ``exp(-|q - k|)`` and observes the squared error of the logit
at given pairs (q, k).
"""

from dataclasses import dataclass

import numpy as np

from ...theory.arguments import numbers, shown
from ...theory.induction_heads import generic
from .. import streams

EXPERIMENT = "induction_heads.random_features"
"""Name of the random stream."""
BLOCK = 64
"""Replicas that are computed at a time; results do not depend on it."""


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """Squared error of the logit as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    rank, hinges : int
        K and w, at least 1.
    query, key : array_like, shape (p,)
        Pairs in [-1, 1].

    Raises
    ------
    ValueError
        Out of these ranges.
    """

    rank: int
    hinges: int
    query: object
    key: object

    def __post_init__(self):
        for name in ("rank", "hinges"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} is {shown(value)}; it must be an integer >= 1")
        for name in ("query", "key"):
            points = numbers(getattr(self, name), name)
            if points.ndim != 1 or not points.size or not (np.abs(points) <= 1).all():
                raise ValueError(f"{name} is {shown(points)}; it must be a list of numbers in [-1, 1]")
            object.__setattr__(self, name, points)
        if self.query.shape != self.key.shape:
            raise ValueError(f"query and key have {self.query.size} and {self.key.size} entries; they must be as many")

    @property
    def name(self) -> str:
        """Identity of the experiment."""
        return f"{EXPERIMENT}/2"

    @property
    def shape(self) -> tuple:
        """(p,)."""
        return self.query.shape

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"rank": self.rank, "hinges": self.hinges, "query": self.query, "key": self.key}

    def sample(self, seed, first, count):
        """Squared errors of replicas ``first, ..., first + count - 1``, shape (count, p)."""
        key, exact = streams.key(seed, EXPERIMENT), np.exp(-np.abs(self.query - self.key))
        values, functions = generic.exponential_features(self.rank)
        out = np.empty((count, self.query.size))
        for start in range(0, count, BLOCK):
            replicas = first + np.arange(start, min(start + BLOCK, count))
            made = [self._features(values, functions, key, replicas, purpose, points)
                    for purpose, points in enumerate((self.query, self.key))]
            out[start:start + BLOCK] = ((made[0] * values * made[1]).sum(axis=-1) - exact) ** 2
        return out

    def _features(self, values, functions, key, replicas, purpose, points):
        """Random features at points, (replicas, p, K); hinges differ between features and between the two sides."""
        draws = streams.uniforms(key, replicas, 0, self.rank * self.hinges, purpose=purpose, dtype=np.float64)
        t = 2.0 * draws.reshape(-1, self.hinges, self.rank) - 1.0
        bends = functions(t) * (1.0 - 2.0 / values) * (2.0 / self.hinges)
        hinged = np.stack([(bends * np.maximum(point - t, 0.0)).sum(axis=1) for point in points], axis=1)
        return functions(-1.0) * (2.0 + points[:, None]) + hinged
