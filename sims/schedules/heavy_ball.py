r"""Heavy-ball SGD on linear regression, replica by replica.

``v <- beta_t v + g``, ``u <- u - eta_t v`` with ``v = 0``, ``u = -theta*`` at the start and g the mean over m fresh
samples of ``(<x, u> - sigma z) x``, ``x_j`` independent Gaussians of variance lambda_j.  Observed before the first and
after every step: the excess risk ``(1/2) sum lambda u^2``.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...theory.arguments import numbers, shown
from ...theory.fsl.problem import Spectrum
from ...theory.schedules.momentum import heavy_ball_risk
from .. import engine, streams

EXPERIMENT = "schedules.heavy_ball"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
MAX_DRAWS = 2**24
"""Most normals of one replica."""


@dataclass(frozen=True, eq=False)
class HeavyBall:
    """A heavy-ball run as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    spectrum : Spectrum
        Gaussian features, every multiplicity 1 (real modes, not nodes of a compressed spectrum).
    rates, momenta : array_like, shape (K,)
        ``eta_t`` >= 0 and ``beta_t`` in [0, 1).
    batch_size : int
        m >= 1.

    Raises
    ------
    ValueError
        For bad parameters, and if the expected risk of the run overflows (with the largest stable rate).
    """

    spectrum: Spectrum
    rates: np.ndarray
    momenta: np.ndarray
    batch_size: int = 1

    def __post_init__(self):
        model = self.spectrum
        if not isinstance(model, Spectrum) or not (model.multiplicity == 1).all() or model.kurtosis != 3.0:
            raise ValueError(f"spectrum is {shown(model)}; it must be a Spectrum of single modes with kurtosis 3")
        size = self.batch_size
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"batch_size is {shown(size)}; it must be an integer >= 1")
        rates, momenta = (np.atleast_1d(numbers(getattr(self, name), name)) for name in ("rates", "momenta"))
        draws = rates.size * int(size) * (model.eigenvalues.size + 1)
        if draws > MAX_DRAWS:
            raise ValueError(f"a replica takes {draws} normals; steps, batch size and modes may take {MAX_DRAWS}")
        heavy_ball_risk(model, rates, momenta, size)
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "momenta", momenta)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (K + 1,)."""
        return (self.rates.size + 1,)

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        model = self.spectrum
        return {"eigenvalues": model.eigenvalues, "target_squared": model.target_squared,
                "label_variance": float(model.label_variance), "approximation_error": float(model.approximation_error),
                "rates": self.rates, "momenta": self.momenta, "batch_size": int(self.batch_size)}

    def coordinates(self) -> dict:
        """``step``, shape (K + 1,)."""
        return {"step": np.arange(self.rates.size + 1)}

    def sample(self, seed, first, count):
        """Excess risks of replicas ``first, ..., first + count - 1``, shape (count, K + 1)."""
        key, model = streams.key(seed, EXPERIMENT), self.spectrum
        size, modes = int(self.batch_size), model.eigenvalues.size
        scale, start = np.sqrt(model.eigenvalues), -np.sqrt(model.target_squared)
        out = np.empty((count, *self.shape))
        for row in range(count):
            draws = streams.normals(key, first + row, 0, self.rates.size * size * (modes + 1))
            _run(draws.reshape(self.rates.size, size, modes + 1), scale, start, np.sqrt(model.label_variance),
                 np.array(self.rates), np.array(self.momenta), model.approximation_error, out[row])
        return out


def simulate(spectrum, rates, momenta, batch_size=1, *, replicas, seed, **options):
    """Moments of the excess risk over independent heavy-ball runs.

    Parameters
    ----------
    spectrum, rates, momenta, batch_size
        See :class:`HeavyBall`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.
    """
    experiment = HeavyBall(spectrum, rates, momenta, batch_size)
    return engine.estimate(experiment, replicas=replicas, seed=seed, **options)


@njit(cache=True)
def _run(draws, scale, start, noise, rates, momenta, floor, out):
    """One path; ``draws`` has shape (K, m, n + 1), label noise last."""
    steps, size, modes = draws.shape[0], draws.shape[1], scale.size
    error, velocity, pull = start.copy(), np.zeros(modes), np.empty(modes)
    for t in range(steps + 1):
        out[t] = floor
        for j in range(modes):
            out[t] += 0.5 * (scale[j] * error[j]) ** 2
        if t == steps:
            break
        pull[:] = 0.0
        for i in range(size):
            residual = -noise * draws[t, i, modes]
            for j in range(modes):
                residual += scale[j] * draws[t, i, j] * error[j]
            for j in range(modes):
                pull[j] += residual * scale[j] * draws[t, i, j] / size
        for j in range(modes):
            velocity[j] = momenta[t] * velocity[j] + pull[j]
            error[j] -= rates[t] * velocity[j]
