r"""Label-noise SGD on two-layer linear networks, replica by replica.

The model is :class:`theorycheck.theory.label_noise.TwoLayerLinear` (arXiv 2603.10397): batch size 1, labels
``+-sigma`` off, both layers trained.  A replica is a training set (unless inputs are fresh or given), a start (unless
given) and a path.  ``method="reduced"`` runs the closed recursion, at a cost per step that does not depend on the
width; ``method="direct"`` moves every weight.  Both read the same draws, so they give the same path up to rounding,
which grows along the path as the path's own sensitivity does.  A start of rank below d + 1 (fewer than d + 1 neurons,
or parallel ones) at small ``Theta = ||theta*||/(eta sigma^2)`` must be run directly: rounding turns the vanishing
eigenvalues of its K negative, and where noise brings alpha close to 0 the recursion then leaves the network's states.

Observed after given numbers of steps (``coordinates["observable"]`` names the last axis): ``loss``, the clean training
loss ``c delta'Sigma delta`` with ``delta = theta - theta*``, Sigma of the training set (I where inputs are fresh);
``error`` ``||delta||^2``; ``alpha`` ``||a||^2``; ``first_norm`` ``||W||^2``; ``output`` ``<theta, theta*>/||theta*||``;
``aligned`` ``sum_i <w_i, theta*>^2/||theta*||^2``; ``trace_hessian`` ``2 c (alpha tr Sigma + tr G Sigma)``.  With
``neurons=True`` also the means over neurons of ``||w_i||``, ``|cos(w_i, theta*)|`` (0 for w_i = 0) and
``|<w_i, theta*>|/||theta*||``, the least and the largest ``||w_i - w_i(0)||`` (lazy: at most ``1/sqrt(m)``), and the
change of the kernel, ``||M - M(0)||_F/||M(0)||_F``; the reduced method then carries the map ``Phi`` and pays for the
width at recorded times only.

Seed and replica determine training set, start, order and signs, not the parameters: steps, noise levels and methods
under one seed are compared on common random numbers.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...theory import label_noise as theory
from ...theory.arguments import number, shown
from .. import engine, streams
from . import kernels
from .arguments import MAX_STEPS, check_drawn_sets, check_stability, integer, levels, recorded, start_of, training_set
from .device import LARGEST_DIMENSION, Launcher

EXPERIMENT = "label_noise.sgd"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
METHODS = ("reduced", "direct")
"""Ways to run a path."""
MAX_BYTES = 2**31
"""Largest memory for the weights or training sets of one group of replicas."""
CHUNK_SECONDS = 2.0
"""Work per chunk aimed at."""


@dataclass(frozen=True, eq=False)
class Descent:
    """Label-noise SGD as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    model : TwoLayerLinear
    steps : int
        Length K of the run, 1..2 10^8.
    times : array_like of int, optional
        Numbers of steps after which to record, strictly increasing in 0..K; default up to 129 evenly spaced ones.
    noise : array_like, shape (K,), optional
        Label noise of every step in units of the model's sigma, >= 0; default 1.  See :func:`periodic`.
    inputs : array_like, shape (n, d), optional
        A training set for all replicas, n the model's ``samples``; default Gaussian, one for each replica.  Labels
        follow the first column, ``y = ||theta*|| x_1``: rotate inputs whose target points elsewhere.
    start : pair of array_like, shapes (m, d) and (m,), optional
        ``(W, a)`` for all replicas; default drawn for each replica.
    method : {"reduced", "direct"}
    neurons : bool
        Observe neurons too.
    catapult : bool
        Name the run a catapult experiment, which may start outside mean-square stability.

    Raises
    ------
    ValueError
        For bad parameters, and, unless ``catapult``, for a step at which the second moment of the error is unstable
        at the start or at the flattest interpolator (the message has the bound).  A drawn start counts with its
        expected kernel, what is given as it is.  Where training sets are drawn the step must be stable under the
        Gaussian law, and then on every set that is drawn: that is when a run is refused on its set.
    """

    model: theory.TwoLayerLinear
    steps: int
    times: object = None
    noise: object = None
    inputs: object = None
    start: object = None
    method: str = "reduced"
    neurons: bool = False
    catapult: bool = False

    def __post_init__(self):
        model = self.model
        if not isinstance(model, theory.TwoLayerLinear):
            raise ValueError(f"model is {shown(model)}; it must be a TwoLayerLinear")
        steps = integer(self.steps, "steps", MAX_STEPS)
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise ValueError(f"method is {shown(self.method)}; it must be one of {', '.join(METHODS)}")
        for name in ("neurons", "catapult"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be True or False")
        values = {"steps": steps, "times": recorded(self.times, steps), "noise": levels(self.noise, steps),
                  "inputs": training_set(self.inputs, model), "start": start_of(self.start, model),
                  "neurons": bool(self.neurons), "catapult": bool(self.catapult)}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _check_memory(self)
        if not self.catapult:
            check_stability(model, self.inputs, self.start)

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernels."""
        return f"{'label_noise.catapult' if self.catapult else EXPERIMENT}/{VERSION}"

    @property
    def observables(self) -> tuple:
        """Names of the entries of the last axis."""
        return kernels.OBSERVABLES + (kernels.NEURONS if self.neurons else ())

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, observables)."""
        return (self.times.size, len(self.observables))

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        model = self.model
        return {"dimension": model.dimension, "width": model.width, "step": model.effective_step,
                "target_norm": float(model.target_norm), "samples": float(model.samples),
                "first_scale": float(model.first_scale), "second_scale": float(model.second_scale),
                "loss_factor": float(model.loss_factor), "noise": model.noise * self.noise, "times": self.times,
                "inputs": self.inputs, "start": self.start, "method": self.method, "neurons": self.neurons}

    def coordinates(self) -> dict:
        """``step``, ``slow_time`` ``sum_{j<k} (h sigma_j)^2`` (both (T,)) and ``observable`` (names)."""
        drift = np.concatenate([[0.0], np.cumsum((self.model.effective_step * self.model.noise * self.noise) ** 2)])
        return {"step": self.times.copy(), "slow_time": drift[self.times], "observable": np.array(self.observables)}

    def on_gpu(self):
        """How to run this on a GPU (see :mod:`theorycheck.sims.gpu`); None with neurons or beyond 32 dimensions."""
        return None if self.neurons or self.model.dimension > LARGEST_DIMENSION else Launcher(self, EXPERIMENT)

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``.

        Returns
        -------
        ndarray of float64, shape (count, T, observables)

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        ValueError
            Unless ``catapult``, for a step outside mean-square stability on a training set drawn here.
        """
        if first + count > streams.MAX_REPLICA:
            raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
        model, key = self.model, np.uint64(streams.key(seed, EXPERIMENT))
        run = kernels.run_reduced if self.method == "reduced" else kernels.run_direct
        # Fresh copies: numba compiles anew for read-only arrays, and pickling changes that flag.
        noise, times = model.noise * self.noise, np.array(self.times)
        inputs, start = self._given_inputs(), np.empty((0, model.dimension + 1))
        if self.start is not None:
            start = np.array(self.start)
        out = np.empty((count, *self.shape))
        group = np.empty((times.size, kernels.LANES, len(self.observables)))
        for begin in range(0, count, kernels.LANES):
            lanes, replica = min(kernels.LANES, count - begin), np.uint64(first + begin)
            if self.inputs is None and inputs.shape[1]:
                kernels.draw_inputs(key, replica, inputs)
                check_drawn_sets(self, inputs[:lanes], first + begin)
            died = np.full(kernels.LANES, -1, dtype=np.int64)
            run(key, replica, model.effective_step, noise, inputs, start, self.start_scales, model.width,
                float(model.target_norm), float(model.loss_factor), times, group, died)
            if (died[:lanes] >= 0).any():
                lane = int(np.argmax(died[:lanes] >= 0))
                raise engine.Diverged(first + begin + lane, int(died[lane]))
            out[begin:begin + lanes] = group[:, :lanes].transpose(1, 0, 2)
        return out

    @property
    def start_scales(self) -> np.ndarray:
        """Standard deviations ``s_1/sqrt(d)`` (d times) and ``s_2/sqrt(m)`` of a drawn neuron, shape (d + 1,)."""
        model = self.model
        scales = np.full(model.dimension + 1, model.first_scale / math.sqrt(model.dimension))
        scales[-1] = model.second_scale / math.sqrt(model.width)
        return scales

    def check_training_sets(self, seed, first, count):
        """Refuse replicas whose drawn training sets the step is not stable on; for a run that is not by `sample`."""
        if self.catapult or self.inputs is not None or self.model.samples == math.inf:
            return
        key, inputs = np.uint64(streams.key(seed, EXPERIMENT)), self._given_inputs()
        for begin in range(first, first + count, kernels.LANES):
            kernels.draw_inputs(key, np.uint64(begin), inputs)
            check_drawn_sets(self, inputs[:first + count - begin], begin)

    def _given_inputs(self):
        """The training sets (copies, n, d) of a group, not filled where they are drawn."""
        if self.inputs is not None:
            return np.array(self.inputs)[None]
        if self.model.samples == math.inf:
            return np.empty((1, 0, self.model.dimension))
        return np.empty((kernels.LANES, self.model.samples, self.model.dimension))


def simulate(model, steps, *, replicas, seed, times=None, noise=None, inputs=None, start=None, method="reduced",
             neurons=False, catapult=False, jobs=1, store=None, chunk=None, progress=False, device="cpu",
             on_divergence="raise"):
    """Run label-noise SGD on independent replicas and return the moments of the observables at the recorded times.

    Parameters
    ----------
    model, steps, times, noise, inputs, start, method, neurons, catapult
        See :class:`Descent`.
    replicas, seed, jobs, store, chunk, progress, device, on_divergence
        See :func:`theorycheck.sims.engine.estimate`.  By default a chunk is about two seconds of work in whole
        groups of 16 replicas.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, observables); ``coordinates`` has ``step``, ``slow_time``, ``observable``.

    Raises
    ------
    ValueError
        For bad parameters or a step outside mean-square stability.
    engine.Diverged
        If a replica left the finite numbers (unless they are only to be named).
    """
    experiment = Descent(model, steps, times, noise, inputs, start, method, neurons, catapult)
    if chunk is None and device == "cpu":
        groups = min(CHUNK_SECONDS / _group_seconds(experiment), replicas / (4.0 * jobs) / kernels.LANES)
        chunk = kernels.LANES * max(1, int(groups))
    return engine.estimate(experiment, replicas=replicas, seed=seed, chunk=chunk, jobs=jobs, store=store,
                           progress=progress, device=device, on_divergence=on_divergence)


def periodic(steps, on, off, first=1.0):
    """Noise levels that alternate: ``on`` steps at ``first``, ``off`` steps at 0, and so on, shape (steps,).

    Raises
    ------
    ValueError
        For lengths below 1 or a level that is not finite and >= 0.
    """
    steps, on, off = integer(steps, "steps", MAX_STEPS), integer(on, "on", MAX_STEPS), integer(off, "off", MAX_STEPS)
    if not 0 <= number(first, "first") <= theory.LARGEST:
        raise ValueError(f"first is {first}; it must be in [0, {theory.LARGEST:g}]")
    return np.where(np.arange(steps) % (on + off) < on, float(first), 0.0)


def _group_seconds(experiment):
    """About what a group of replicas costs: for choosing a chunk only."""
    model = experiment.model
    work = model.dimension * (model.dimension + 8.0 if experiment.method == "reduced" else 1.0 + model.width)
    watching = model.width * experiment.times.size * (model.dimension + 1.0) ** 2 if experiment.neurons else 0.0
    return 1e-8 + 8e-9 * (work * (1.0 + experiment.neurons) * float(experiment.times[-1]) + watching)


def _check_memory(experiment):
    model = experiment.model
    weights = model.width * (model.dimension + 1) if experiment.method == "direct" else model.dimension**2
    rows = 0 if experiment.inputs is not None or model.samples == math.inf else model.samples * model.dimension
    need = 8 * kernels.LANES * max(weights, rows)
    if need > MAX_BYTES:
        what = f"samples {model.samples}" if rows > weights else f"width {model.width}"
        raise ValueError(f"{what} at dimension {model.dimension} needs {need / 2**30:.3g} GiB per group; it must be at "
                         f"most {MAX_BYTES / 2**30:g}")
