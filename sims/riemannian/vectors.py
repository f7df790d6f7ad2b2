r"""Vector optimizers with stochastic gradients on quadratics and in river valleys, replica by replica.

A landscape is a sum of hills, ``f(w) = -s w_0 + sum_j c_j r_j^2/2`` with heights ``r_j = w_j - A_j sin(k_j w_0)``
(``r = w`` on quadratics and in straight valleys, s = 0 on quadratics).  The gradient that an optimizer is shown is that
of a batch of b samples,

    f with c_j (1 + rho zeta_j/sqrt b) in place of c_j,    plus sigma_j xi_j/sqrt b,     zeta, xi ~ N(0, 1) every step:

*additive* noise sigma (units of the gradient, one per coordinate or one for all) and *multiplicative* noise rho (no
unit), the relative standard deviation of the curvature that one sample shows: ``rho = sqrt 2`` for squared Gaussian
features of variance c.  Both keep the gradient unbiased.  Optimizers are those of
:mod:`theorycheck.theory.riemannian.optimizers`, alone or in a ``Lite`` with the exact projector on the flat directions:
a diagonal matrix, or in a valley ``landscape.flat``, the tangent of its floor.

Observed after given numbers of steps (``coordinates["observable"]`` names the last axis): ``loss`` f; ``sharp``, the
sharp directions' part of ``sum c_j r_j^2/2``; ``river`` w_0 in valleys, ``flat``, the rest of that sum, on quadratics;
with ``modes=True`` also every ``w_j`` and ``r_j^2``.  With ``averaged=True`` an entry is the mean over the numbers of
steps since the one before, which is what stationary means need.

Seed and replica determine xi and zeta, not the optimizer or the landscape: those are compared on common random numbers.
"""

from dataclasses import dataclass

import numpy as np

from ...theory.arguments import shown
from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.valleys import CurvedValley, StraightValley
from .. import engine, streams
from . import kernels, stability
from .arguments import MAX_BATCH, MAX_STEPS, factors, flag, integer, level, levels, recorded, row
from .rules import base_of, flat_part, rule_of

EXPERIMENT = "riemannian.vectors"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
LANDSCAPES = (Quadratic, StraightValley, CurvedValley)
"""What can be descended."""
CHUNK_SECONDS = 2.0
"""Work per chunk aimed at."""


@dataclass(frozen=True, eq=False)
class Descent:
    """A vector optimizer as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    landscape : Quadratic, StraightValley or CurvedValley
        Of d coordinates; a quadratic along its axes, curvatures >= 0.
    optimizer : object
        One of :mod:`theorycheck.theory.riemannian.optimizers`, or ``Lite`` around one.
    steps : int
        Length K of the run, 1..10^7.
    start : array_like, shape (d,)
        w_0, finite; one number for all coordinates.
    noise : array_like
        sigma >= 0, one number or (d,).
    curvature_noise : float
        rho >= 0.
    batch_size : int
        b, 1..2^30.
    schedule : array_like, shape (K,), or Schedule, optional
        Factor >= 0 of the optimizer's rate at every step; default 1.
    times : array_like of int, optional
        Numbers of steps after which to record, strictly increasing in 0..K; default up to 129 evenly spaced ones.
    averaged, modes : bool
        See the module.
    unstable : bool
        Allow what is refused otherwise.

    Raises
    ------
    ValueError
        For anything else and, unless ``unstable``, for gradient descent or momentum whose mean or (without weight
        decay) whose second moment is unstable along a coordinate at the largest rate, weight decay that alone makes
        weights grow, and a metric of 0 (the message has the bound).  On the floor of a curved valley the curvature
        counted is the largest along the river, and a step along the river must be shorter than a bend.
    """

    landscape: object
    optimizer: object
    steps: int
    start: object
    noise: object = 0.0
    curvature_noise: float = 0.0
    batch_size: int = 1
    schedule: object = None
    times: object = None
    averaged: bool = False
    modes: bool = False
    unstable: bool = False

    def __post_init__(self):
        if not isinstance(self.landscape, LANDSCAPES):
            raise ValueError(f"landscape is {shown(self.landscape)}; it must be a Quadratic, a StraightValley or a "
                             "CurvedValley")
        if getattr(self.landscape, "rotation", None) is not None:
            raise ValueError("the quadratic is rotated; its curvatures must lie along the coordinates")
        steps, d = integer(self.steps, "steps", MAX_STEPS), self.landscape.dimension
        values = {"steps": steps, "start": row(self.start, "starting values", d),
                  "noise": levels(self.noise, "noise levels", d), "times": recorded(self.times, steps),
                  "curvature_noise": level(self.curvature_noise, "curvature_noise"),
                  "batch_size": integer(self.batch_size, "batch_size", MAX_BATCH),
                  "schedule": factors(self.schedule, "factors", steps)}
        values.update({name: flag(getattr(self, name), name) for name in ("averaged", "modes", "unstable")})
        for name, value in values.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_hills", _hills(self.landscape))
        object.__setattr__(self, "_rule", rule_of(self.optimizer))
        object.__setattr__(self, "_flat", flat_part(self.optimizer, self.landscape))
        if not self.unstable:
            _check_stability(self)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def observables(self) -> tuple:
        """Names of the entries of the last axis."""
        d, valley = self.landscape.dimension, self._hills[1] > 0
        more = tuple(f"w{j}" for j in range(d)) + tuple(f"r{j}^2" for j in range(d)) if self.modes else ()
        return ("loss", "sharp", "river" if valley else "flat", *more)

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, observables)."""
        return (self.times.size, len(self.observables))

    @property
    def rates(self) -> np.ndarray:
        """Learning rate of every step, (K,)."""
        return base_of(self.optimizer).rate * self.schedule

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        curvature, slope, amplitude, frequency = self._hills
        rule = {f"rule_{name}": float(value) for name, value in self._rule._asdict().items()}
        return {"curvature": curvature, "slope": slope, "amplitude": amplitude, "frequency": frequency,
                "flat": self._flat[0], "tangent": self._flat[1], "rates": self.rates, "start": self.start,
                "noise": self.noise, "curvature_noise": self.curvature_noise, "batch_size": self.batch_size,
                "times": self.times, "averaged": self.averaged, "modes": self.modes, **rule}

    def coordinates(self) -> dict:
        """``step`` and ``time``, the sum of the rates until then (both (T,)), and ``observable`` (names)."""
        time = np.concatenate([[0.0], np.cumsum(self.rates)])
        return {"step": self.times.copy(), "time": time[self.times], "observable": np.array(self.observables)}

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, T, observables)

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        """
        if first + count > streams.MAX_REPLICA:
            raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
        key, root = np.uint64(streams.key(seed, EXPERIMENT)), np.sqrt(self.batch_size)
        curvature, slope, amplitude, frequency = self._hills
        # Fresh copies: numba compiles anew for read-only arrays, and pickling changes that flag.
        (flat, tangent), steep = self._flat, np.ones_like(curvature) if slope > 0 else 1.0 - self._flat[0]
        hills = [np.array(each) for each in (curvature, amplitude, frequency, self.noise / root)]
        out = np.empty((count, *self.shape))
        for begin in range(0, count, kernels.LANES):
            lanes = min(kernels.LANES, count - begin)
            group, died = np.zeros((self.times.size, kernels.LANES, self.shape[1])), np.full(kernels.LANES, -1)
            kernels.run(key, np.uint64(first + begin), hills[0], float(slope), *hills[1:],
                        float(self.curvature_noise / root), self._rule, np.array(flat), tangent, steep, self.rates,
                        np.array(self.start), np.array(self.times), self.averaged, self.modes, self._largest(), group,
                        died)
            if (died[:lanes] >= 0).any():
                lane = int(np.argmax(died[:lanes] >= 0))
                raise engine.Diverged(first + begin + lane, int(died[lane]))
            out[begin:begin + lanes] = group[:, :lanes].transpose(1, 0, 2)
        return out

    def _largest(self):
        """Sum of moduli beyond which a replica has diverged."""
        _, slope, _, frequency = self._hills
        if not frequency.any():
            return kernels.LARGEST
        rule = self._rule
        pull = rule.chi * (1.0 + abs(rule.beta) + abs(rule.more)) / max(1.0 - rule.theta, 1e-6)
        reach = float(self.rates.sum()) * pull * (1.0 + slope + float(self.noise.max()))
        return min(kernels.LARGEST, kernels.FAR * (1.0 + float(np.abs(self.start).sum()) + reach))

    def paths(self, seed, count=1, first=0):
        """Positions of single replicas at the recorded times, shape (count, T, d)."""
        if not self.modes:
            raise ValueError("modes is False; paths need modes=True")
        return self.sample(seed, first, count)[:, :, 3:3 + self.landscape.dimension]


def simulate(landscape, optimizer, steps, start, *, replicas, seed, noise=0.0, curvature_noise=0.0, batch_size=1,
             schedule=None, times=None, averaged=False, modes=False, unstable=False, jobs=1, chunk=None, **options):
    """Run an optimizer on independent replicas and return the moments of the observables at the recorded times.

    Parameters
    ----------
    landscape, optimizer, steps, start, noise, curvature_noise, batch_size, schedule, times, averaged, modes, unstable
        See :class:`Descent`.
    replicas, seed, jobs, chunk, options
        See :func:`theorycheck.sims.engine.estimate`.  By default a chunk is about two seconds of work in whole groups
        of 16 replicas.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, observables); ``coordinates`` has ``step``, ``time``, ``observable``.
    """
    made = Descent(landscape, optimizer, steps, start, noise, curvature_noise, batch_size, schedule, times, averaged,
                   modes, unstable)
    if chunk is None:
        groups = min(CHUNK_SECONDS / (kernels.LANES * seconds(made)), replicas / (4.0 * jobs) / kernels.LANES)
        chunk = kernels.LANES * max(1, int(groups))
    return engine.estimate(made, replicas=replicas, seed=seed, chunk=chunk, jobs=jobs, **options)


def seconds(descent) -> float:
    """About what a replica takes on one core."""
    return 1e-8 * float(descent.times[-1] + 1) * descent.landscape.dimension


def _hills(landscape):
    """Curvatures, slope, amplitudes and frequencies, in one form for all landscapes."""
    if isinstance(landscape, Quadratic):
        curvature = np.array(landscape.curvatures)
        if curvature.min() < 0:
            raise ValueError(f"a curvature is {curvature.min():g}; it must be >= 0")
        return curvature, 0.0, np.zeros_like(curvature), np.zeros_like(curvature)
    curved = isinstance(landscape, CurvedValley)
    curvature = np.insert(landscape.curvature if curved else landscape.curvatures, 0, 0.0)
    bends = [np.insert(each, 0, 0.0) for each in (landscape.amplitude, landscape.frequency)] if curved else [
        np.zeros_like(curvature)] * 2
    return curvature, float(landscape.slope), *bends


def _check_stability(descent):
    """Refuse what is unstable in the mean or in the mean square, or divides 0 by 0."""
    rule, (curvature, slope, amplitude, frequency) = descent._rule, descent._hills
    steepest, flat = curvature * (1.0 + np.sum((amplitude * frequency) ** 2)), descent._flat[0]
    rate = float(descent.rates.max())
    stability.require_stable(rule, rate, (steepest[flat < 1], steepest[flat > 0]), descent.curvature_noise,
                             descent.batch_size)
    if descent._flat[1]:
        stability.require_bend(rule, rate, slope, frequency)
    if rule.kind == kernels.ADAPTIVE and rule.epsilon == 0.0:
        still = (descent.landscape.gradient(descent.start) == 0.0) & (descent.noise == 0.0)
        if still.any():
            raise ValueError(f"epsilon is 0; it must be > 0 where coordinate {int(np.argmax(still))} starts with "
                             "gradient 0 and has no noise, unless the run is declared unstable")
