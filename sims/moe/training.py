r"""Adam on mixtures of experts, replica by replica: the trained networks of Wang and E, Sec. 6.

Tasks, and the law of their points:

``circle``     ``sin(5 x_1) + cos(3 x_2)``, uniform on the unit circle of the first two coordinates of R^D, others 0
``cylinder``   the same function, the other D - 2 coordinates uniform on [-1, 1]: no manifold of dimension 1
``vector``     ``(q(x_1), q(x_2))``, uniform on [0, 3]^2, ``q(z) = i (i - 1 - z)^2 (z - i)^2`` on [i - 1, i]
``sum``        ``q(x_1) + q(x_2)``
``product``    ``q(x_1) q(x_2)``

Gates: ``softmax`` (all experts, weighted), ``switch`` (only the expert of the largest logit, times its share of the
softmax over all), ``hard`` (only that expert, with weight 1: no gradient reaches the gate, which stays at its start).
Layers hand a state of some size on to each other without a nonlinearity.  Weights and biases start uniform on
``+-1/sqrt(fan-in)``.  The loss is the squared error averaged over batch and outputs, and so is the observed test error,
which is taken on a grid (circle: 2048 angles; square: 96 by 96 midpoints; cylinder: the angles, each with other
coordinates drawn once and for all).  Numbers are of single precision, which is what networks are trained in.

*Two dimensions are enough.*  Coordinates that are always 0 send no gradient to their weights and Adam leaves weights
without gradient alone, so on the ``circle`` a run in R^D is the run in R^2 that starts on ``+-1/sqrt D``: bit by bit,
since here both draw the columns of their weights one after the other.  ``direct`` carries all D coordinates.
"""

import math
import os
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed

from ...theory.arguments import number, numbers, shown
from ...theory.moe.model import DenseNetwork, MoE, MoELayer, linear_gate
from .. import engine, streams
from ..workers import deaf_children, serve
from . import kernels

EXPERIMENT = "moe.training"
"""Name of the random stream."""
VERSION = 3
"""Changes whenever the bits of a replica change."""
TASKS = {"circle": kernels.CIRCLE, "cylinder": kernels.CYLINDER, "vector": kernels.VECTOR, "sum": kernels.SUM,
         "product": kernels.PRODUCT}
"""Tasks and their codes in the kernels."""
GATES = {"softmax": kernels.SOFTMAX, "switch": kernels.SWITCH, "hard": kernels.HARD}
"""Gates and their codes in the kernels."""
ANGLES, SIDE_POINTS = 2048, 96
"""Test points: on the circle, and on a side of the square."""
MAX_STEPS, MAX_SIZE, MAX_BATCH = 10**7, 2**14, 2**20
"""Longest run, largest width, dimension or number of experts, largest batch."""
MAX_NUMBERS = 2**29
"""Most numbers of one kind in memory, 2 GiB: weights, hidden values, outputs of all experts, training set."""
START = 16
"""First purpose of the draws of the start; a layer takes the next three."""


@dataclass(frozen=True, eq=False)
class Training:
    """Adam on a mixture of experts, as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    task : {"circle", "cylinder", "vector", "sum", "product"}
    experts : int
        E of every layer; 1 is a dense network.
    width : int
        m, hidden neurons of every expert.
    steps : int
        1..10^7.
    depth : int, in 1..8
        Layers.
    dimension : int
        D >= 2; only circle and cylinder may have more than 2.
    gate : {"softmax", "switch", "hard"}
    gate_bias : bool
        Whether the linear gate has a bias, which starts uniform like the others.
    state : int
        Size of the state between layers.
    rate : float
        Adam's step > 0, constant.
    batch_size : int
    samples : int, optional
        Size of a training set, drawn once for every replica, that batches are drawn from with replacement; without it
        every batch is fresh.
    times : array_like of int, optional
        Numbers of steps after which the test error is observed, increasing in 0..steps; by default the end only.  The
        run ends with the last one.
    direct : bool
        Carry coordinates that are always 0.

    Raises
    ------
    ValueError
        For anything else.
    """

    task: str
    experts: int
    width: int
    steps: int
    depth: int = 1
    dimension: int = 2
    gate: str = "softmax"
    gate_bias: bool = False
    state: int = 4
    rate: float = 1e-3
    batch_size: int = 128
    samples: int | None = None
    times: object = None
    direct: bool = False

    def __post_init__(self):
        for name, known in (("task", TASKS), ("gate", GATES)):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be one of {', '.join(known)}")
        for name, low, high in (("experts", 1, MAX_SIZE), ("width", 1, MAX_SIZE), ("steps", 1, MAX_STEPS),
                                ("depth", 1, 8), ("dimension", 2, MAX_SIZE), ("state", 1, MAX_SIZE),
                                ("batch_size", 1, MAX_BATCH), ("samples", 1, MAX_BATCH)):
            value = getattr(self, name)
            if value is None and name == "samples":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                raise ValueError(f"{name} is {shown(value)}; it must be an integer in [{low}, {high}]")
            object.__setattr__(self, name, int(value))
        for name in ("gate_bias", "direct"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be True or False")
        if TASKS[self.task] >= kernels.VECTOR and self.dimension != 2:
            raise ValueError(f"dimension is {self.dimension}; it must be 2 for the task {self.task!r}")
        _bounded(self)
        rate = number(self.rate, "rate")
        if not 0 < rate < math.inf:
            raise ValueError(f"rate is {rate:g}; it must be positive and finite")
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "times", _times(self.times, self.steps))

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T,)."""
        return (self.times.size,)

    @property
    def outputs(self) -> int:
        """Values of the target."""
        return 2 if self.task == "vector" else 1

    @property
    def carried(self) -> int:
        """Coordinates that are carried."""
        return self.dimension if self.direct or self.task == "cylinder" else 2

    @property
    def layers(self) -> np.ndarray:
        """Inputs, experts, width and outputs of every layer, int64 (depth, 4)."""
        sizes = [self.carried, *[self.state] * (self.depth - 1), self.outputs]
        return np.array([(before, self.experts, self.width, after) for before, after in zip(sizes, sizes[1:])])

    @property
    def work(self) -> float:
        """What a replica costs, in multiplications: those of its points, and what each step and weight take anyway."""
        rows = self.layers
        each = float((rows[:, 1] * (rows[:, 2] * (4 * rows[:, 0] + 3 * rows[:, 3] + 2) + 2 * rows[:, 0] + 8)).sum())
        weights = float(kernels.offsets(rows)[-1])
        return float(self.times[-1]) * (self.batch_size * (each + 30.0) + 100.0 * weights + 12000.0)

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"task": self.task, "layers": self.layers, "dimension": self.dimension, "gate": self.gate,
                "gate_bias": bool(self.gate_bias), "rate": self.rate, "batch_size": self.batch_size,
                "samples": self.samples or 0, "times": self.times}

    def coordinates(self) -> dict:
        """``step``, (T,)."""
        return {"step": self.times.copy()}

    def start(self, seed, replica) -> np.ndarray:
        """All weights before the first step, in the order of :mod:`.kernels`."""
        key, pieces = streams.key(seed, EXPERIMENT), []
        for depth, (inputs, experts, width, outputs) in enumerate(self.layers):
            fan_in = self.dimension if depth == 0 else int(inputs)
            purpose = START + 3 * depth
            gate = _uniform(key, replica, purpose, experts, inputs, fan_in)
            if not self.gate_bias:
                gate[:, -1] = 0.0
            inner = _uniform(key, replica, purpose + 1, experts * width, inputs, fan_in).reshape(experts, width, -1)
            outer = _uniform(key, replica, purpose + 2, experts * outputs, width, int(width))
            outer = outer.reshape(experts, outputs, -1)
            pieces += [gate[:, :-1].ravel(), gate[:, -1]]
            for k in range(experts):
                pieces += [part.ravel() for matrix in (inner[k], outer[k]) for part in (matrix[:, :-1], matrix[:, -1])]
        return np.concatenate(pieces).astype(np.float32)

    def run(self, seed, replica) -> tuple[np.ndarray, np.ndarray]:
        """One replica: test errors (T,) and all weights at the end.

        Raises
        ------
        engine.Diverged
            If the test error left the finite numbers.
        """
        whole = isinstance(replica, int | np.integer) and not isinstance(replica, bool)
        if not whole or not 0 <= replica < streams.MAX_REPLICA:
            raise ValueError(f"replica is {shown(replica)}; it must be an integer in [0, 2^32)")
        key, theta, out = np.uint64(streams.key(seed, EXPERIMENT)), self.start(seed, replica), np.empty(self.shape)
        layers, gate, task, replica = self.layers, GATES[self.gate], TASKS[self.task], np.uint64(replica)
        (inputs, outputs), samples = layers[[0, -1], [0, 3]], self.samples or 0
        kept = np.empty((inputs, samples), np.float32), np.empty((outputs, samples), np.float32)
        if samples:
            kernels.draw(key, replica, np.uint64(0), np.uint64(kernels.TRAINING_SET), task, *kept)
        batch = (np.empty((inputs, self.batch_size), np.float32), np.empty((outputs, self.batch_size), np.float32))
        moments, frozen, done = np.zeros((2, theta.size), np.float32), self._frozen(), 0
        test = [array.astype(np.float32) for array in self.test_points()]
        for place, step in enumerate(self.times.tolist()):
            kernels.train(key, replica, theta, moments, layers, gate, task, frozen, self.rate, *kept, *batch, done,
                          step)
            out[place], done = kernels.error(theta, layers, gate, *test), step
            if not math.isfinite(out[place]):
                raise engine.Diverged(int(replica), step)
        return out, theta

    def sample(self, seed, first, count):
        """Test errors of replicas ``first, ..., first + count - 1``, float64 (count, T).

        Raises
        ------
        engine.Diverged
            For the first replica whose test error left the finite numbers.
        """
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"count is {shown(count)}; it must be an integer >= 1")
        return np.stack([self.run(seed, first + row)[0] for row in range(count)])

    def test_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the test error is taken, (D, N), and the values there, (outputs, N)."""
        if TASKS[self.task] >= kernels.VECTOR:
            side = (np.arange(SIDE_POINTS) + 0.5) * kernels.SIDE / SIDE_POINTS
            x = np.stack([axis.ravel() for axis in np.meshgrid(side, side, indexing="ij")])
        else:
            angle = 2 * np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
            x = np.zeros((self.carried, ANGLES))
            x[:2] = np.cos(angle), np.sin(angle)
            if self.task == "cylinder" and self.carried > 2:
                draws = streams.uniforms(streams.key(0, "moe.test"), 0, 0, ANGLES * (self.carried - 2))
                x[2:] = 2.0 * draws.reshape(self.carried - 2, ANGLES).astype(float) - 1.0
        wanted = np.empty((self.outputs, x.shape[1]))
        kernels.targets(TASKS[self.task], x, wanted)
        return x, wanted

    def network(self, theta) -> MoE:
        """Weights in the order of :mod:`.kernels` as a network of the theory, on the coordinates that are carried.

        Raises
        ------
        ValueError
            If there are not as many weights as the network has.
        """
        theta, at, layers = numbers(theta, "weights"), 0, []
        if theta.shape != (kernels.offsets(self.layers)[-1],):
            raise ValueError(f"weights have shape {theta.shape}; it must be ({kernels.offsets(self.layers)[-1]},)")

        def take(*shape):
            nonlocal at
            at += math.prod(shape)
            return theta[at - math.prod(shape):at].reshape(shape)

        for inputs, experts, width, outputs in self.layers.tolist():
            gate = linear_gate(take(experts, inputs), take(experts))
            networks = []
            for _ in range(experts):
                inner, inner_bias, outer = take(width, inputs), take(width), take(outputs, width)
                networks.append(DenseNetwork((inner, outer), (inner_bias, take(outputs))))
            layers.append(MoELayer(gate, networks, experts if self.gate == "softmax" else 1,
                                   "selected" if self.gate == "hard" else "all"))
        return MoE(layers)

    def _frozen(self):
        """Where the gates' biases lie, if they are to stay 0."""
        places = [np.empty(0, dtype=np.int64)]
        for start, (inputs, experts, _, _) in zip(kernels.offsets(self.layers), self.layers):
            if not self.gate_bias:
                places.append(start + experts * inputs + np.arange(experts))
        return np.concatenate(places)


def simulate(task, experts, width, steps, *, replicas, seed, jobs=1, store=None, chunk=None, progress=False,
             device="cpu", on_divergence="raise", **settings):
    """Train independent replicas and return the moments of the test error at the recorded times.

    Parameters
    ----------
    task, experts, width, steps, settings
        See :class:`Training`.
    replicas, seed, jobs, store, chunk, progress, device, on_divergence
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T,); ``coordinates`` has ``step``.
    """
    return engine.estimate(Training(task, experts, width, steps, **settings), replicas=replicas, seed=seed, jobs=jobs,
                           store=store, chunk=chunk, progress=progress, device=device, on_divergence=on_divergence)


def errors(experiments, replicas, seed, jobs=1, first=0) -> list[np.ndarray]:
    """Test errors of every replica, which medians need: what the engine averages, before it does.

    Parameters
    ----------
    experiments : sequence of Training
    replicas : int
        So many of each, >= 1.
    seed : int
    jobs : int
        Processes; they change no bit.
    first : int
        Number of the first replica, >= 0.

    Returns
    -------
    list of ndarray, shape (replicas, T)
        One for each experiment.
    """
    for name, value, least in (("replicas", replicas, 1), ("jobs", jobs, 1), ("first", first, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} is {shown(value)}; it must be an integer >= {least}")
    if not isinstance(experiments, list | tuple) or not all(isinstance(each, Training) for each in experiments):
        raise ValueError(f"experiments are {shown(experiments)}; they must be a list of Training")
    experiments = list(experiments)
    tasks = [(place, replica) for place in sorted(range(len(experiments)), key=lambda place: -experiments[place].work)
             for replica in range(first, first + replicas)]
    if jobs == 1:
        rows = [experiments[place].sample(seed, replica, 1)[0] for place, replica in tasks]
    else:
        with deaf_children():
            rows = Parallel(n_jobs=jobs, batch_size=1, max_nbytes=None)(
                delayed(_sampled)(experiments[place], seed, replica, os.getpid()) for place, replica in tasks)
    found = [np.empty((replicas, *each.shape)) for each in experiments]
    for (place, replica), row in zip(tasks, rows, strict=True):
        found[place][replica - first] = row
    return found


def _sampled(experiment, seed, replica, owner):
    serve(owner)
    return experiment.sample(seed, replica, 1)[0]


def _uniform(key, replica, purpose, rows, columns, fan_in):
    """A matrix (rows, columns + 1) uniform on ``+-1/sqrt(fan_in)``, biases last; no column depends on how many."""
    steps = np.append(np.arange(columns), 2**32)
    draws = streams.uniforms(key, replica, steps, int(rows), purpose=purpose, dtype=np.float64)
    return (2.0 * draws.T - 1.0) / math.sqrt(fan_in)


def _bounded(made):
    """Refuse what does not fit into memory."""
    points, layers = max(made.batch_size, kernels.TESTED), made.layers
    kept, most = max(points, made.samples or 0, ANGLES if made.task == "cylinder" else 0), MAX_NUMBERS
    for what, count, times, of in (
            ("coordinates carried", made.carried, kept, "points"),
            ("depth * experts * width", made.depth * made.experts * made.width, points, "points at a time"),
            ("depth * experts * outputs of a layer", made.depth * made.experts * int(layers[:, 3].max()), points,
             "points at a time"),
            ("weights", int(kernels.offsets(layers)[-1]), 4, "numbers for each")):
        if count * times > most:
            raise ValueError(f"{what} is {count}; with {times} {of} it must be at most {most // times}")


def _times(times, steps):
    if isinstance(times, bool | np.bool_):
        raise ValueError(f"times are {times}; they must be whole and increase strictly within 0..{steps}")
    if times is None:
        return np.array([steps], dtype=np.int64)
    array = np.atleast_1d(numbers(times, "times"))
    whole = array.ndim == 1 and array.size > 0 and np.isfinite(array).all() and (array == np.floor(array)).all()
    if not whole or array[0] < 0 or array[-1] > steps or (np.diff(array) <= 0).any():
        raise ValueError(f"times are {shown(times)}; they must be whole and increase strictly within 0..{steps}")
    return array.astype(np.int64)
