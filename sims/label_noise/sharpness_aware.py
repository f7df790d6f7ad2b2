r"""Sharpness-aware minimisation with batch size 1 on clean labels, replica by replica.

A step takes the gradient of the loss of one input at a point that lies ``rho`` up its normalised gradient,

    (W, a) <- (W, a) - eta grad l_x( (W, a) + rho grad l_x/||grad l_x|| ),    grad l_x = 2 c r (a x', W x),

``r = <theta - theta*, x>``.  With the tangent norm ``N^2 = alpha ||x||^2 + x'G x`` and ``p = rho sign(r)/N`` the
shifted residual is ``r~ = r + p N^2 + p^2 ||x||^2 <theta, x>``, and a step ``Z_i <- (I - h r~ (B_x + p B_x^2)) Z_i``
with the effective step ``h = 2 c eta`` (derived; sign(0) = 0): closed whatever the width, see :mod:`.recursion`.

The origin attracts for every ``rho > 0`` (:mod:`theorycheck.theory.label_noise.collapse`).  Starts, training sets and
order of the inputs are those of :class:`.descent.Descent` for the same seed and replica, and so are the observables.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...theory import label_noise as theory
from ...theory.arguments import number, shown
from ...theory.label_noise.collapse import collapse_radius
from . import recursion, variation
from .arguments import MAX_STEPS, check_drawn_sets, check_stability, integer, recorded, start_of, training_set

VERSION = 2
"""Changes whenever the bits of a replica change."""


FEW, MARGIN = 10, 0.7
"""On fewer than 10 d inputs a run must stay below 0.7 of its set's radius.  Both are set: there collapse was seen to
begin between 0.73 and 1 of it (d = 20, n = 3 to 40), on 10 d inputs not below it."""


def collapse_radius_on_data(inputs, target_norm):
    r"""Radius from which on batch-1 SAM is drawn into the origin on a training set.

    As :func:`theorycheck.theory.label_noise.collapse.collapse_radius`, with moments of the inputs for those of Gaussian
    ones: SAM's decay along theta* exceeds the coupling, ``rho^2 <|x_1|^3> <|x_1| ||x||^2> >= N^2 <x_1^2>^2``, at the
    flattest interpolator, ``N^2 = 2 (tr Sigma <x_1^2>)^{1/2} ||theta*||`` (derived).  Averages ``<>`` are over the set.

    Parameters
    ----------
    inputs : ndarray, shape (n, d)
        theta* along the first axis.
    target_norm : float

    Returns
    -------
    float
        ``inf`` for a target that no input sees.
    """
    first, squares = np.abs(inputs[:, 0]), np.sum(inputs**2, axis=1)
    power = np.mean(first**2)
    if not power * target_norm > 0:
        return math.inf
    size = 2.0 * math.sqrt(np.mean(squares) * power) * target_norm
    return math.sqrt(size * power**2 / (np.mean(first**3) * np.mean(first * squares)))


@dataclass(frozen=True, eq=False)
class SharpnessAware:
    """Batch-1 SAM as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    model : TwoLayerLinear
        With ``noise`` 0: labels are clean.
    steps : int
        Length K of the run, 1..2 10^8.
    radius : float
        ``rho``, >= 0; 0 is SGD on clean labels.
    times, inputs, start, neurons
        As in :class:`.descent.Descent`.
    catapult : bool
        Name the run a catapult experiment, which may start outside mean-square stability.
    collapse : bool
        Name the run a collapse experiment, whose radius may reach the one at which the origin takes over.

    Raises
    ------
    ValueError
        For bad parameters, for label noise, and for a step or a radius that calls for a name and has none (the message
        has the bound).  The radius must be below :func:`~theorycheck.theory.label_noise.collapse.collapse_radius`, on a
        given set below :func:`collapse_radius_on_data`, on fewer than 10 d inputs below 0.7 of that.  These are good to
        a fifth from d = 5 on; in fewer dimensions solutions often last beyond them and are refused all the same.
        Where training sets are drawn step and radius must pass under the Gaussian law, and then on every set drawn.
    """

    model: theory.TwoLayerLinear
    steps: int
    radius: float
    times: object = None
    inputs: object = None
    start: object = None
    neurons: bool = False
    catapult: bool = False
    collapse: bool = False

    def __post_init__(self):
        model = self.model
        if not isinstance(model, theory.TwoLayerLinear):
            raise ValueError(f"model is {shown(model)}; it must be a TwoLayerLinear")
        if model.noise != 0.0:
            raise ValueError(f"noise is {model.noise:g}; it must be 0, for SAM runs on clean labels")
        steps = integer(self.steps, "steps", MAX_STEPS)
        if not 0 <= number(self.radius, "radius") <= theory.LARGEST:
            raise ValueError(f"radius is {self.radius}; it must be in [0, {theory.LARGEST:g}]")
        for name in ("neurons", "catapult", "collapse"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be True or False")
        values = {"steps": steps, "radius": float(self.radius), "times": recorded(self.times, steps),
                  "inputs": training_set(self.inputs, model), "start": start_of(self.start, model),
                  "neurons": bool(self.neurons), "catapult": bool(self.catapult), "collapse": bool(self.collapse)}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        variation.check_memory(self)
        if not self.catapult:
            check_stability(model, self.inputs, self.start)
        self._check_radius(self.inputs)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernels."""
        kind = "catapult" if self.catapult else "collapse" if self.collapse else "sharpness_aware"
        return f"label_noise.{'sharpness_aware_' if kind != 'sharpness_aware' else ''}{kind}/{VERSION}"

    @property
    def observables(self) -> tuple:
        """Names of the entries of the last axis."""
        return variation.observables(self.neurons)

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, observables)."""
        return (self.times.size, len(self.observables))

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {**variation.parameters(self), "radius": self.radius}

    def coordinates(self) -> dict:
        """``step``, ``slow_time`` ``2 h rho^2 k`` (both (T,)) and ``observable`` (names)."""
        return {"step": self.times.copy(), "slow_time": 2.0 * self.model.effective_step * self.radius**2 * self.times,
                "observable": np.array(self.observables)}

    def check_drawn(self, inputs, replica):
        """Refuse a drawn training set (n, d) on which the step is not stable or the radius may collapse."""
        check_drawn_sets(self, inputs[None], replica)
        self._check_radius(inputs, f"on the training set drawn for replica {replica} ")

    def _check_radius(self, inputs, where=""):
        bound = (collapse_radius(self.model.dimension, self.model.target_norm) if inputs is None
                 else collapse_radius_on_data(inputs, self.model.target_norm))
        if inputs is not None and len(inputs) < FEW * self.model.dimension:
            bound *= MARGIN
        if not self.collapse and self.radius > 0 and not self.radius < bound:
            raise ValueError(f"{where}radius is {self.radius:g}; short of collapse to the origin it must be below "
                             f"{bound:.6g}, unless the run is named a collapse")

    def run(self, key, replica, inputs, sigma, start, states, maps):
        """Fill states and maps of one replica; see :mod:`.variation`."""
        return recursion.run_sharpness_aware(key, replica, self.model.effective_step, self.radius, self.steps, inputs,
                                             float(self.model.target_norm), start, np.array(self.times), states, maps)

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``, shape (count, T, observables).

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        """
        return variation.sample(self, seed, first, count)


def simulate_sharpness_aware(model, steps, radius, *, replicas, seed, times=None, inputs=None, start=None,
                             neurons=False, catapult=False, collapse=False, **options):
    """Run batch-1 SAM on independent replicas and return the moments of the observables at the recorded times.

    Parameters
    ----------
    model, steps, radius, times, inputs, start, neurons, catapult, collapse
        See :class:`SharpnessAware`.
    replicas, seed, **options
        See :func:`theorycheck.sims.engine.estimate` (``jobs``, ``store``, ``chunk``, ``progress``, ``on_divergence``;
        there is no GPU kernel: on ``device="gpu"`` the CPU runs it and a warning says so).

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, observables); ``coordinates`` has ``step``, ``slow_time``, ``observable``.

    Raises
    ------
    ValueError
        For bad parameters, or a step or radius that calls for a name and has none.
    engine.Diverged
        If a replica left the finite numbers (unless they are only to be named).
    """
    experiment = SharpnessAware(model, steps, radius, times, inputs, start, neurons, catapult, collapse)
    return variation.estimate(experiment, replicas, seed, options)
