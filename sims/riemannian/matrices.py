r"""Matrix optimizers with stochastic gradients on ``f(W) = sum_ij C_ij W_ij^2/2``, replica by replica, at many rates.

Gradient of step k from a batch of b samples, X and Z matrices of independent N(0, 1) entries,

    G = C o (1 + rho Z/sqrt b) o W + sigma X/sqrt b         (o entry by entry; sigma and rho as in :mod:`.vectors`)

A replica is a start, ``W_0 = scale o N(0, 1)``, and a path of noise; it is run at every one of the learning rates, all
on the same draws, and gives one observation for each.  So rates, optimizers and batch sizes under one seed are compared
on common random numbers, and a best rate can be chosen on some replicas and judged on others.

Columns count as sharp where their largest curvature exceeds ``cut``.  Observed after given numbers of steps: ``loss``
f, ``sharp`` and ``flat``, its two parts, and ``rank``, ``|P|_F^2`` of a threshold projector, the number of directions
that were found sharp (0 where there is none).

Learning rate and replica are batched; polar factors, QR and eigenvectors are taken of all matrices in one call.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...theory.arguments import numbers, shown
from ...theory.riemannian.landscapes import MatrixQuadratic
from ...theory.riemannian.metric_rules import Curvature, TrustedCurvature
from ...theory.riemannian.muon_lite import MuonLite
from .. import engine, streams
from . import stability
from .arguments import MAX_BATCH, MAX_STEPS, factors, flag, integer, level, recorded
from .kernels import LARGEST
from .rules import KINDS, base_of, rule_of

EXPERIMENT = "riemannian.matrices"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
ADDITIVE, CURVATURE, START = 0, 1, 2
"""Purposes of the draws."""
OBSERVABLES = ("loss", "sharp", "flat", "rank")
"""Names along the last axis."""
GROUP = 64
"""Replicas that are run together."""
NEED_CURVATURE = (TrustedCurvature, Curvature)
"""Metric rules that are given more than gradients."""


@dataclass(frozen=True, eq=False)
class MatrixDescent:
    """A matrix optimizer as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    landscape : MatrixQuadratic
        Curvatures C >= 0 of shape (m, n), (m, 1) or (n,).
    optimizer : object
        ``MuonLite`` of :mod:`theorycheck.theory.riemannian.muon_lite`, or one of
        :mod:`theorycheck.theory.riemannian.matrix_optimizers`, alone or in a ``Lite``; its own rate is not used.
    rates : array_like, shape (L,)
        Learning rates > 0.
    steps : int
        Length K of the run, 1..10^7.
    scale : array_like
        Standard deviations >= 0 of the entries of ``W_0``; broadcasts with C to (m, n).
    noise, curvature_noise : float
        sigma, rho >= 0.
    batch_size : int
        b, 1..2^30.
    schedule : array_like, shape (K,), or Schedule, optional
        Factor >= 0 of the rates at every step; default 1.
    gains, dampings : array_like, shape (K,), optional
        ``chi_t`` and ``beta_2,t`` of a MuonLite; default its own.
    times : array_like of int, optional
        Numbers of steps after which to record, strictly increasing in 0..K; default K alone.
    cut : float, optional
        Curvature above which a column is sharp; default the geometric mean of the largest and the smallest.
    unstable : bool
        Allow what is refused otherwise.

    Raises
    ------
    ValueError
        For anything else and, unless ``unstable``, for momentum or weight decay that is unstable at the largest rate,
        as in :class:`.vectors.Descent` (the message has the bound); momentum in a ``Lite`` whose projector is not
        diagonal is not checked beforehand.
    """

    landscape: MatrixQuadratic
    optimizer: object
    rates: np.ndarray
    steps: int
    scale: object = 1.0
    noise: float = 0.0
    curvature_noise: float = 0.0
    batch_size: int = 1
    schedule: object = None
    gains: object = None
    dampings: object = None
    times: object = None
    cut: float | None = None
    unstable: bool = False

    def __post_init__(self):
        if not isinstance(self.landscape, MatrixQuadratic) or not self.landscape.convexity >= 0:
            raise ValueError(f"landscape is {shown(self.landscape)}; it must be a MatrixQuadratic, curvatures >= 0")
        curvatures, scale = np.atleast_2d(self.landscape.curvatures), numbers(self.scale, "scales")
        shape = np.broadcast_shapes(curvatures.shape, scale.shape if scale.ndim else (1, 1))
        if len(shape) != 2 or min(shape) < 2:
            raise ValueError(f"scale and curvatures make matrices {shape}; both sides must be at least 2")
        if not (np.isfinite(scale).all() and scale.min() >= 0):
            raise ValueError(f"scales are {shown(self.scale)}; they must be finite and >= 0")
        rates = np.atleast_1d(numbers(self.rates, "rates"))
        if rates.ndim != 1 or not rates.size or not (np.isfinite(rates).all() and rates.min() > 0):
            raise ValueError(f"rates are {shown(self.rates)}; they must be finite numbers > 0 in one row")
        steps = integer(self.steps, "steps", MAX_STEPS)
        lite = isinstance(self.optimizer, MuonLite)
        if not lite and isinstance(base_of(self.optimizer).rule, NEED_CURVATURE):
            raise ValueError(f"{base_of(self.optimizer).name} needs a curvature at every step; the simulation of "
                             "matrices is for optimizers of gradients alone")
        values = {"unstable": flag(self.unstable, "unstable"), "rates": rates, "steps": steps,
                  "scale": np.broadcast_to(scale, shape),
                  "noise": level(self.noise, "noise"),
                  "curvature_noise": level(self.curvature_noise, "curvature_noise"),
                  "batch_size": integer(self.batch_size, "batch_size", MAX_BATCH),
                  "schedule": factors(self.schedule, "factors", steps),
                  "times": recorded([steps] if self.times is None else self.times, steps),
                  "cut": float(np.sqrt(curvatures.max() * curvatures.min())) if self.cut is None else level(
                      self.cut, "cut")}
        for name, own in (("gains", "gain"), ("dampings", "flat_damping")):
            given = getattr(self, name)
            if given is not None and not lite:
                raise ValueError(f"{name} are given; the optimizer must then be a MuonLite")
            values[name] = _each_step(given, name, steps) if given is not None else (
                np.full(steps, float(getattr(self.optimizer, own))) if lite else None)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        projector = getattr(self.optimizer, "projector", None)
        if isinstance(projector, np.ndarray) and projector.shape != (shape[1],) * 2:
            raise ValueError(f"projector has shape {projector.shape}; it must be ({shape[1]}, {shape[1]})")
        if not self.unstable:
            _check_stability(self)

    @property
    def name(self) -> str:
        """Identity of the experiment, with its version."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (L, T, 4)."""
        return (self.rates.size, self.times.size, len(OBSERVABLES))

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        more = {name: getattr(self, name) for name in ("gains", "dampings") if getattr(self, name) is not None}
        projector = getattr(self.optimizer, "projector", None)
        if isinstance(projector, np.ndarray):
            more["projector"] = projector
        return {"optimizer": repr(self.optimizer), "curvatures": np.atleast_2d(self.landscape.curvatures),
                "rates": self.rates, "scale": np.array(self.scale), "noise": self.noise,
                "curvature_noise": self.curvature_noise, "batch_size": self.batch_size, "schedule": self.schedule,
                "times": self.times, "cut": self.cut, **more}

    def coordinates(self) -> dict:
        """``rate`` (L,), ``step`` (T,) and ``observable`` (names)."""
        return {"rate": self.rates.copy(), "step": self.times.copy(), "observable": np.array(OBSERVABLES)}

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, L, T, 4)

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers at any rate.
        """
        if first + count > streams.MAX_REPLICA:
            raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
        key = streams.key(seed, EXPERIMENT)
        parts = [self._group(key, np.arange(first + begin, first + min(count, begin + GROUP)))
                 for begin in range(0, count, GROUP)]
        return np.concatenate(parts)

    def _group(self, key, replicas):
        """Observations of a few replicas at once, (R, L, T, 4)."""
        if replicas.size * self.rates.size == 1:   # NumPy sums a lone matrix in another order than one of many
            return self._group(key, np.repeat(replicas, 2))[:1]

        def normals(step, purpose):
            m, n = self.scale.shape
            return streams.normals(key, replicas, step, m * n, purpose=purpose).reshape(-1, m, n).astype(float)

        curvatures, root = np.atleast_2d(self.landscape.curvatures), np.sqrt(self.batch_size)
        runs = self._runs(np.broadcast_to(self.scale * normals(0, START), (self.rates.size, replicas.size,
                                                                          *self.scale.shape)))
        out, moment = np.empty((*self.shape[:2], replicas.size, len(OBSERVABLES))), 0
        for k in range(int(self.times[-1]) + 1):
            if k == self.times[moment]:
                out[:, moment] = self._observe(runs, curvatures)
                moment += 1
            if moment == self.times.size:
                break
            shown_curvatures = curvatures
            if self.curvature_noise > 0:
                shown_curvatures = curvatures * (1.0 + self.curvature_noise / root * normals(k, CURVATURE))
            pull = normals(k, ADDITIVE) * (self.noise / root) if self.noise > 0 else 0.0
            runs.step(k, lambda weights: shown_curvatures * weights + pull)    # noqa: B023 -- called at once
            gone = ~(np.abs(runs.weights).sum(axis=(-2, -1)) <= LARGEST).all(axis=0)
            if gone.any():
                place = int(np.argmax(gone))
                if place:                # a replica before it may diverge later
                    self._group(key, replicas[:place])
                raise engine.Diverged(int(replicas[place]), k + 1)
        return out.transpose(2, 0, 1, 3)

    def _runs(self, weights):
        return _LiteRuns(self, weights) if isinstance(self.optimizer, MuonLite) else _OtherRuns(self, weights)

    def _observe(self, runs, curvatures):
        """(L, R, 4)."""
        columns = np.broadcast_to(curvatures, self.scale.shape).max(axis=0) > self.cut
        energy = 0.5 * np.sum(curvatures * runs.weights**2, axis=-2)
        sharp, flat = energy[..., columns].sum(axis=-1), energy[..., ~columns].sum(axis=-1)
        return np.stack(np.broadcast_arrays(sharp + flat, sharp, flat, runs.rank), axis=-1)


def simulate_matrices(landscape, optimizer, rates, steps, *, replicas, seed, scale=1.0, noise=0.0, curvature_noise=0.0,
                      batch_size=1, schedule=None, gains=None, dampings=None, times=None, cut=None, unstable=False,
                      **options):
    """Run a matrix optimizer at several rates on independent replicas and return the moments of the observables.

    Parameters
    ----------
    landscape, optimizer, rates, steps, scale, noise, curvature_noise, batch_size, schedule, gains, dampings
    times, cut, unstable
        See :class:`MatrixDescent`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (L, T, 4); ``coordinates`` has ``rate``, ``step``, ``observable``.
    """
    made = MatrixDescent(landscape, optimizer, rates, steps, scale, noise, curvature_noise, batch_size, schedule, gains,
                         dampings, times, cut, unstable)
    return engine.estimate(made, replicas=replicas, seed=seed, **options)


class _LiteRuns:
    """All rates and replicas of a MuonLite in one state."""

    def __init__(self, descent, weights):
        self.descent, self.state = descent, descent.optimizer.start(weights)

    def step(self, k, gradient):
        descent = self.descent
        self.state = descent.optimizer.step(self.state, gradient(self.state.weights),
                                            descent.rates[:, None] * descent.schedule[k], descent.gains[k],
                                            descent.dampings[k])

    @property
    def weights(self):
        return self.state.weights

    @property
    def rank(self):
        return np.sum(self.state.sharp**2, axis=(-2, -1))


class _OtherRuns:
    """One batched state per learning rate, of an optimizer that has a single rate."""

    rank = 0.0

    def __init__(self, descent, weights):
        self.descent, self.weights, self.states = descent, weights, None

    def step(self, k, gradient):
        rates, gradients = self.descent.rates * self.descent.schedule[k], gradient(self.weights)
        optimizers = [_at_rate(self.descent.optimizer, rate) for rate in rates]
        if self.states is None:
            self.states = [each.start(*pair) for each, *pair in zip(optimizers, self.weights, gradients, strict=True)]
        self.states = [each.step(*pair) for each, *pair in zip(optimizers, self.states, gradients, strict=True)]
        self.weights = np.stack([state.parameters for state in self.states])


def _check_stability(descent):
    """Refuse momentum and weight decay that are unstable at the largest rate."""
    rate, optimizer = float(descent.rates.max() * descent.schedule.max()), descent.optimizer
    if isinstance(optimizer, MuonLite):
        stability.require_decay(rate, optimizer.decay, 1.0 if optimizer.plain else float(descent.gains.max()))
        return
    if type(base_of(optimizer).rule) not in KINDS:
        stability.require_decay(rate, base_of(optimizer).decay, getattr(optimizer, "chi", 1.0))
        return
    columns = np.broadcast_to(np.atleast_2d(descent.landscape.curvatures), descent.scale.shape)
    projector = getattr(optimizer, "projector", np.zeros((columns.shape[1],) * 2))
    if callable(projector) or np.any(projector != np.diag(np.diagonal(projector))):
        return
    flat = np.diagonal(projector) > 0.5
    stability.require_stable(rule_of(optimizer), rate, (columns[:, ~flat], columns[:, flat]), descent.curvature_noise,
                             descent.batch_size)


def _at_rate(optimizer, rate):
    """The optimizer, or the one inside a ``Lite``, at another rate."""
    if hasattr(optimizer, "base"):
        return replace(optimizer, base=replace(optimizer.base, rate=rate))
    return replace(optimizer, rate=rate)


def _each_step(values, name, steps):
    array = numbers(values, name)
    if array.shape != (steps,) or not np.isfinite(array).all():
        raise ValueError(f"{name} have shape {array.shape}; there must be one finite number for each of {steps} steps")
    if name == "gains" and array.min() < 1:
        raise ValueError(f"a gain is {array.min():g}; it must be >= 1")
    return array
