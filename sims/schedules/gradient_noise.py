r"""Squared gradient norms of two batch sizes, measured: what noise scales are estimated from.

A replica draws ``B_2`` fresh samples of a linear regression at a fixed error u, ``g = (<x, u> - sigma z) x`` with
independent Gaussian ``x_j`` of variance lambda_j, and forms the mean gradients ``G_1`` of the first ``B_1`` of them
and ``G_2`` of all.  Observed: ``|G_1|^2``, ``|G_2|^2``, and the two-batch estimates of ``|G|^2`` and ``tr Sigma``
(:mod:`theorycheck.theory.schedules.critical_batch`).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...theory.arguments import number, numbers, shown
from ...theory.schedules.critical_batch import two_batch_estimates
from .. import engine, streams

EXPERIMENT = "schedules.gradient_noise"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
OBSERVABLES = ("small_squared", "large_squared", "norm_squared", "trace")
"""Names of the entries of a replica's observation."""
MAX_BATCH = 2**16
"""Largest batch size."""
GROUP = 2**20
"""Normals drawn at a time, where one replica takes no more."""
MAX_DRAWS = 2**24
"""Most normals of one replica."""


@dataclass(frozen=True, eq=False)
class TwoBatches:
    """Gradients of two batch sizes as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    eigenvalues : array_like, shape (n,)
        Feature variances > 0.
    error : array_like, shape (n,)
        u.
    noise : float
        Label noise sigma >= 0.
    small, large : int
        ``1 <= B_1 < B_2 <= 65536``.

    Raises
    ------
    ValueError
        For bad parameters, or more than 2^24 normals ``B_2 (n + 1)`` of one replica.
    """

    eigenvalues: np.ndarray
    error: np.ndarray
    noise: float
    small: int
    large: int

    def __post_init__(self):
        values, error = (np.atleast_1d(numbers(getattr(self, name), name)) for name in ("eigenvalues", "error"))
        if values.ndim != 1 or values.shape != error.shape or not (np.isfinite(values) & np.isfinite(error)).all():
            raise ValueError(f"eigenvalues {values.shape} and error {error.shape} must be finite vectors of one length")
        if values.size == 0:
            raise ValueError("eigenvalues and error are empty; they must have at least one entry")
        if not values.min() > 0:
            raise ValueError(f"smallest eigenvalue is {values.min()}; it must be > 0")
        noise = number(self.noise, "noise")
        if not 0 <= noise < np.inf:
            raise ValueError(f"noise is {noise}; it must be finite and >= 0")
        for name, low, high in (("small", 1, MAX_BATCH - 1), ("large", None, MAX_BATCH)):
            size, low = getattr(self, name), low or self.small + 1
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or not low <= size <= high:
                raise ValueError(f"{name} is {shown(size)}; it must be an integer in [{low}, {high}]")
        draws = int(self.large) * (values.size + 1)
        if draws > MAX_DRAWS:
            raise ValueError(f"large is {self.large}; at {values.size} eigenvalues it must be at most "
                             f"{MAX_DRAWS // (values.size + 1)}, for {MAX_DRAWS} normals per replica")
        for name, value in (("eigenvalues", values), ("error", error), ("noise", noise)):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation."""
        return (len(OBSERVABLES),)

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"eigenvalues": self.eigenvalues, "error": self.error, "noise": self.noise, "small": int(self.small),
                "large": int(self.large)}

    def coordinates(self) -> dict:
        """``observable``, the names."""
        return {"observable": np.array(OBSERVABLES)}

    def sample(self, seed, first, count):
        """Observations of replicas ``first, ..., first + count - 1``, shape (count, 4)."""
        key, width = streams.key(seed, EXPERIMENT), self.eigenvalues.size + 1
        squares, per_group = np.empty((count, 2)), max(1, GROUP // (int(self.large) * width))
        for begin in range(0, count, per_group):
            some = np.arange(first + begin, first + min(count, begin + per_group))
            draws = streams.normals(key, some, 0, int(self.large) * width).reshape(some.size, -1, width)
            _squares(draws, np.sqrt(self.eigenvalues), np.array(self.error), self.noise, int(self.small),
                     squares[begin:begin + some.size])
        found = two_batch_estimates(self.small, self.large, squares[:, 0], squares[:, 1])
        return np.column_stack([squares, *found])


def simulate(eigenvalues, error, noise, small, large, *, replicas, seed, **options):
    """Moments of the four observables over independent replicas.

    Parameters
    ----------
    eigenvalues, error, noise, small, large
        See :class:`TwoBatches`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.
    """
    experiment = TwoBatches(eigenvalues, error, noise, small, large)
    return engine.estimate(experiment, replicas=replicas, seed=seed, **options)


@njit(cache=True)
def _squares(draws, scale, error, noise, small, out):
    """``|G_1|^2`` and ``|G_2|^2`` of every replica; ``draws`` (R, B_2, n + 1), label noise last, ``out`` (R, 2)."""
    for r in range(draws.shape[0]):
        total = np.zeros(scale.size)
        for i in range(draws.shape[1]):
            residual = -noise * draws[r, i, scale.size]
            for j in range(scale.size):
                residual += scale[j] * draws[r, i, j] * error[j]
            for j in range(scale.size):
                total[j] += residual * scale[j] * draws[r, i, j]
            if i + 1 == small:
                out[r, 0] = np.sum(total * total) / (small * small)
        out[r, 1] = np.sum(total * total) / (draws.shape[1] * draws.shape[1])
