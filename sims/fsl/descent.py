r"""One-pass mini-batch SGD on power-law regression, replica by replica.

Model (Li et al., arXiv 2509.19189, Sec. 2): independent features ``phi_j = sqrt(lambda_j) z_j``, standardised z_j,
labels ``y = <phi, theta*> + eps``, loss ``(f - y)^2/2``, model ``f = <v, W phi>``, ``v_0 = 0``,

    v_{k+1} = v_k - (eta_k/B_k) sum_{b < B_k} W phi_b (<v_k, W phi_b> - y_b)

with fresh samples at every step.  Observed per replica, after given numbers of steps, is the excess risk of the
current iterate, ``E(v) = ||W' v - theta*||_H^2 / 2``: the exact expectation over the next sample, so no test set
adds noise of its own.

*Top-M* (no projection): W keeps the first M features.  The others meet weights that never move, so they act as label
noise of variance ``2 delta_M``, independent of the features in use; one normal of variance ``sigma^2 + 2 delta_M``
stands for both.  Exact for Gaussian features; for other laws exact in the first two moments, which are all that
the expected risk depends on.  *Random-M* (a projection W is given): all N features of a sample are drawn and
projected, with no use of the reduced problem that theory solves; this is the independent check of the reduction.

Seed and replica determine the sample a step sees, not the parameters: schedules, batch sizes, widths and noise
levels under one seed are compared on common random numbers.  Take different seeds where independence matters.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ...theory import batch_sizes, learning_rates
from ...theory.arguments import numbers, shown
from ...theory.fsl import PowerLawRegression, Spectrum, critical_rate
from ...theory.fsl.problem import KURTOSIS
from ...theory.fsl.random_features import projected_spectrum
from ...theory.fsl.recursion import recorded_steps
from .. import engine, streams
from . import kernels, moments
from .device import launcher

EXPERIMENT = "fsl.sgd"
"""Name of the random stream."""
VERSION = 2
"""Changes whenever the bits of a replica change."""
CHUNK_NORMALS = 1e9
"""Draws per chunk aimed at (about two seconds)."""


class HeavyTailWarning(UserWarning):
    """The variance of a path's risk may be infinite, so a standard error may mean nothing."""


@dataclass(frozen=True, eq=False)
class Descent:
    """SGD as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        Finite width (its own ``width`` plays no part where a projection is given); a Spectrum must have
        multiplicities one.
    schedule : Schedule or array_like, shape (K,)
        Learning rates.
    batch_size : int, array_like of shape (K,), or BatchSchedule
    times : array_like of int, optional
        Numbers of steps after which to record, strictly increasing in 0..K; default
        :func:`theorycheck.theory.fsl.recursion.recorded_steps`, as in the exact recursion.
    features : {"gaussian", "rademacher", "uniform", "laplace"}, optional
        Law of the standardised features; default the problem's.
    projection : array_like, shape (M, N), optional
        W of a random-M model on the first N features, 1 <= M <= N, Gaussian features only.

    Raises
    ------
    ValueError
        For bad parameters, and for learning rates at which the mean-square dynamics is unstable (the message has
        the bound; sufficient along a schedule, necessary too at a constant rate and batch size).

    Warns
    -----
    HeavyTailWarning
        Where :func:`.moments.has_finite_variance` cannot vouch for a finite variance.
    """

    problem: object
    schedule: object
    batch_size: object = 1
    times: object = None
    features: str | None = None
    projection: object = None

    def __post_init__(self):
        if not isinstance(self.problem, PowerLawRegression | Spectrum):
            raise ValueError(f"problem is {shown(self.problem)}; it must be a PowerLawRegression or a Spectrum")
        schedule = self.schedule
        if not isinstance(schedule, learning_rates.Schedule):
            schedule = learning_rates.from_array(schedule)
        sizes = batch_sizes.as_sizes(self.batch_size, schedule.steps).astype(np.int64)
        times = np.ascontiguousarray(recorded_steps(schedule.steps, self.times), dtype=np.int64)
        law = _law(self.problem, self.features)
        if self.projection is None:
            spectrum = reduced = _spectrum(self.problem)
        else:
            object.__setattr__(self, "projection", numbers(self.projection, "entries of the projection"))
            reduced = projected_spectrum(self.problem, self.projection)
            spectrum = _seen(self.problem, self.projection.shape[1])
            if law != "gaussian":
                raise ValueError(f"features is {law!r}; a random-M model needs 'gaussian'")
        if KURTOSIS[law] != reduced.kurtosis:
            reduced = Spectrum(reduced.eigenvalues, reduced.target_squared, reduced.approximation_error, reduced.noise,
                               kurtosis=KURTOSIS[law])
        for name, value in (("schedule", schedule), ("batch_size", sizes), ("times", times), ("features", law)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_spectrum", spectrum)
        _check_rates(reduced, schedule.rates, sizes, law)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation: one excess risk per recorded time."""
        return (self.times.size,)

    @property
    def draws(self) -> float:
        """Features drawn per replica, ``M D`` (or ``N D``), D the number of samples seen."""
        return float(self._spectrum.eigenvalues.size) * float(self.batch_size[:self.times[-1]].sum())

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        spectrum = self._spectrum
        return {"eigenvalues": spectrum.eigenvalues, "target_squared": spectrum.target_squared,
                "approximation_error": float(spectrum.approximation_error), "noise": float(spectrum.noise),
                "rates": self.schedule.rates, "sizes": self.batch_size, "times": self.times, "features": self.features,
                "projection": self.projection}

    def coordinates(self) -> dict:
        """``step`` and ``intrinsic_time`` of the recorded risks."""
        return {"step": self.times.copy(), "intrinsic_time": self.schedule.intrinsic_time[self.times]}

    def on_gpu(self):
        """How to run this on a GPU (see :mod:`theorycheck.sims.gpu`); None beyond 4096 modes, or N + 3 M > 3072."""
        return launcher(self, self._spectrum, EXPERIMENT)

    def sample(self, seed, first, count):
        """Excess risks of replicas ``first, ..., first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, T)

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        """
        if first + count > streams.MAX_REPLICA:
            raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
        spectrum, law = self._spectrum, kernels.LAWS[self.features]
        key, noise = np.uint64(streams.key(seed, EXPERIMENT)), float(np.sqrt(spectrum.label_variance))
        # Fresh copies: numba compiles anew for read-only arrays, and pickling changes that flag.
        rates, sizes, times = np.array(self.schedule.rates), np.array(self.batch_size), np.array(self.times)
        target = np.sqrt(spectrum.eigenvalues * spectrum.target_squared)
        if self.projection is None:
            run, model = kernels.run_top, (_blocks(spectrum.eigenvalues), _blocks(-target))
        else:
            weighted = np.zeros((-(-len(self.projection) // 4) * 4, target.size))
            weighted[:len(self.projection)] = self.projection * np.sqrt(spectrum.eigenvalues)
            run, model = kernels.run_projected, (weighted, target)
        out = np.empty((count, times.size))
        group = np.empty((kernels.LANES, times.size))
        for start in range(0, count, kernels.LANES):
            lanes = min(kernels.LANES, count - start)
            died = np.full(kernels.LANES, -1, dtype=np.int64)
            run(law, key, np.uint64(first + start), rates, sizes, *model, noise, times, group, died)
            if (died[:lanes] >= 0).any():
                lane = int(np.argmax(died[:lanes] >= 0))
                raise engine.Diverged(first + start + lane, int(died[lane]))
            out[start:start + lanes] = group[:lanes]
        return out + spectrum.approximation_error


def simulate(problem, schedule, batch_size=1, *, replicas, seed, times=None, features=None, projection=None, jobs=1,
             store=None, chunk=None, progress=False, device="cpu", on_divergence="raise"):
    """Run SGD on independent replicas and return the moments of the excess risk at the recorded times.

    Parameters
    ----------
    problem, schedule, batch_size, times, features, projection
        See :class:`Descent`.
    replicas, seed, jobs, store, chunk, progress, device, on_divergence
        See :func:`theorycheck.sims.engine.estimate`.  By default a chunk is about two seconds of work in whole
        groups of 32 replicas.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T,); ``coordinates["step"]`` and ``coordinates["intrinsic_time"]`` say
        when.  The mean estimates ``E[E(v_k)]``, including ``delta_M``.

    Raises
    ------
    ValueError
        For bad parameters or unstable learning rates.
    engine.Diverged
        If a replica left the finite numbers all the same (unless they are only to be named).
    """
    experiment = Descent(problem, schedule, batch_size, times, features, projection)
    if chunk is None and device == "cpu":
        chunk = _chunk(experiment.draws, replicas, jobs)
    return engine.estimate(experiment, replicas=replicas, seed=seed, chunk=chunk, jobs=jobs, store=store,
                           progress=progress, device=device, on_divergence=on_divergence)


def random_projection(width, count, seed, draw=0):
    """Draw W of a random-M model: rows ``N(0, I_N / M)``.

    Parameters
    ----------
    width, count : int
        1 <= M <= N.
    seed : int
        In [0, 2^64).
    draw : int
        Which of the independent matrices, in [0, 2^32).

    Returns
    -------
    ndarray, shape (M, N)
        ``E W' W = I_N``.

    Raises
    ------
    ValueError
        For a parameter out of range.
    """
    if not 1 <= width <= count:
        raise ValueError(f"width is {width}; it must be in 1..{count}, the number of features")
    rows = streams.normals(streams.key(seed, "fsl.projection"), draw, np.arange(width), count)
    return rows.astype(np.float64) / np.sqrt(width)


def _spectrum(problem):
    spectrum = problem if isinstance(problem, Spectrum) else problem.spectrum()
    if np.any(spectrum.multiplicity != 1.0):
        raise ValueError(f"multiplicity goes up to {spectrum.multiplicity.max():g}; a simulation needs every mode by "
                         "itself (1)")
    return spectrum


def _seen(problem, count):
    if isinstance(problem, PowerLawRegression):
        return PowerLawRegression(problem.source, problem.capacity, count, problem.noise).spectrum()
    return _spectrum(problem)


def _law(problem, features):
    if features is None:
        features = getattr(problem, "features", None)
    if features is None:
        named = [law for law, value in KURTOSIS.items() if value == problem.kurtosis]
        if not named:
            raise ValueError(f"kurtosis is {problem.kurtosis:g}; the simulated laws have "
                             + ", ".join(f"{value:g} ({law})" for law, value in KURTOSIS.items()))
        features = named[0]
    if not isinstance(features, str) or features not in kernels.LAWS:
        raise ValueError(f"features is {shown(features)}; it must be one of {', '.join(kernels.LAWS)}")
    return features


def _check_rates(spectrum, rates, sizes, law):
    """Refuse unstable rates, warn about infinite variance; the largest rate of each batch size decides both."""
    heavy = []
    for size in np.unique(sizes):
        peak = float(rates[sizes == size].max())
        bound = critical_rate(spectrum, size)
        if not peak < bound:
            raise ValueError(f"learning rate is {peak:g} with batch size {size}; mean-square stability needs it in "
                             f"[0, {bound:.6g})")
        if not moments.has_finite_variance(spectrum, peak, size, law):
            heavy.append((peak, size))
    if heavy:
        peak, size = heavy[0]
        safe = moments.largest_safe_rate(spectrum, size, law)
        warnings.warn(f"learning rate {peak:g} with batch size {size}: the variance of the risk is known to be finite "
                      f"only up to {safe:.4g}; standard errors may mean nothing", HeavyTailWarning, stacklevel=4)


def _blocks(values):
    padded = np.zeros(-(-values.size // 4) * 4)
    padded[:values.size] = values
    return padded.reshape(-1, 4)


def _chunk(draws, replicas, jobs):
    """Whole groups of lanes, about CHUNK_NORMALS draws, at least four chunks per job while groups last."""
    groups = min(CHUNK_NORMALS / max(draws, 1.0), replicas / (4.0 * jobs)) / kernels.LANES
    return kernels.LANES * max(1, int(groups))
