r"""A network of erf neurons trained on resampled labels, beside its linearisation under the same noise.

The experiment of Fig. 3 of arXiv 2603.10397 on synthetic inputs.  N inputs ``x`` ~ N(0, I_d), labels of C classes in
turn, a network with m hidden neurons and biases,

    f(x) = A' erf(W x + b) + c,      w_i ~ N(0, I/d),  a_i ~ s^2 N(0, I/m),  b, c ~ N(0, 1),

trained by full-batch gradient descent on ``1/(2 N C) ||f - Y_t||^2`` with labels ``Y_t`` that are resampled at every
step as in :mod:`theorycheck.theory.label_noise.linearised`.  The linearised network descends by its tangent features at
the start, on the same labels.

Sample space.  ``W(t) = W(0) + C_t X``, C (m, N), so that preactivations move by ``(X X' + 1 1') C'`` and the whole run
takes N x N, N x m and m x C matrices only, whatever d.  The linearised run takes the tangent kernel, (N C, N C).

Observed: ``loss`` on the clean labels; ``kernel_change``, ``||Theta - Theta(0)||_F/||Theta(0)||_F``; ``displacement``,
the largest ``||w_i - w_i(0)||`` (lazy: at most ``1/sqrt(m)``), and ``norm``, the mean ``||w_i||``; the linearised
network's kernel stands still and its neurons move as its parameters do.

A replica is a path of the noise; inputs and start are one draw per seed.  Sums go through BLAS, so that, unlike with
the compiled experiments, the last bits depend on its build and on its number of threads.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import erf

from ...theory.arguments import number, shown
from ...theory.label_noise import linearised as theory
from .. import engine, streams
from .arguments import integer, recorded

EXPERIMENT = "label_noise.lazy_rich"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the numbers of a replica change."""
OBSERVABLES = ("loss", "kernel_change", "displacement", "norm")
"""Entries of the last axis."""
INPUTS, FIRST, SECOND, LABELS = range(4)
"""Purposes of the draws."""
BLOCK = 256
"""Steps whose labels are drawn at once."""


@dataclass(frozen=True, eq=False)
class LazyRich:
    """The erf network or its linearisation as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    steps : int
        Length K of the run, 1..10^6.
    probability : float
        p in [0, 1] that a label is drawn anew, uniformly over all classes; 0: clean labels.
    width, samples, dimension, classes : int
        m (1..8192), N (2..256), d (1..10^5), C (2..20).
    rate : float
        ``eta`` > 0, below the stability of the tangent kernel at the start.
    second_scale : float
        ``s`` > 0; 1 in the paper's code.  Small s makes a rich network of the same width.
    linearised : bool
        Run the linearised network.
    centred : bool
        Take the mean of the noise off the labels.
    times : array_like of int, optional
        Numbers of steps after which to record; default up to 33.

    Raises
    ------
    ValueError
        For a parameter outside its range (for the rate with the bound).
    """

    steps: int
    probability: float
    width: int = 512
    samples: int = 64
    dimension: int = 3072
    classes: int = 10
    rate: float = 1e-3
    second_scale: float = 1.0
    linearised: bool = False
    centred: bool = False
    times: object = None

    def __post_init__(self):
        integer(self.steps, "steps", 1_000_000)
        for name, low, top in (("width", 1, 8192), ("samples", 2, 256), ("dimension", 1, 100_000), ("classes", 2, 20)):
            if integer(getattr(self, name), name, top) < low:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be an integer in {low}..{top}")
        if not 0 <= number(self.probability, "probability") <= 1:
            raise ValueError(f"probability is {self.probability}; it must be in [0, 1]")
        for name in ("rate", "second_scale"):
            if not 0 < number(getattr(self, name), name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in (0, inf)")
        for name in ("linearised", "centred"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be True or False")
        times = self.times if self.times is not None else np.unique(np.linspace(0, self.steps, 33).round())
        object.__setattr__(self, "times", recorded(times, self.steps))

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its numbers."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, 4)."""
        return (self.times.size, len(OBSERVABLES))

    @property
    def labels(self) -> np.ndarray:
        """Clean classes (N,), in turn."""
        return np.arange(self.samples) % self.classes

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        names = ("steps", "probability", "width", "samples", "dimension", "classes", "rate", "second_scale",
                 "linearised", "centred", "times")
        return {name: getattr(self, name) for name in names}

    def coordinates(self) -> dict:
        """``step`` (T,) and ``observable`` (names)."""
        return {"step": self.times.copy(), "observable": np.array(OBSERVABLES)}

    def start(self, seed):
        """The :class:`Network` that a seed starts from.

        Raises
        ------
        ValueError
            If the rate is beyond the stability of its tangent kernel.
        """
        key = streams.key(seed, EXPERIMENT)
        n, m, c = self.samples, self.width, self.classes
        inputs = streams.normals(key, 0, np.arange(n), self.dimension, purpose=INPUTS).astype(float)
        first = streams.normals(key, 0, np.arange(m), self.dimension + 1, purpose=FIRST).astype(float)
        second = streams.normals(key, 0, 0, (m + 1) * c, purpose=SECOND).astype(float).reshape(m + 1, c)
        weights = first[:, :-1] / math.sqrt(self.dimension)
        network = Network(inputs @ inputs.T, inputs @ weights.T, np.einsum("ij,ij->i", weights, weights), first[:, -1],
                          second[:-1] * (self.second_scale / math.sqrt(m)), second[-1])
        bound = 2.0 * n * c / np.linalg.norm(network.tangent_kernel, 2)
        if not self.rate < bound:
            raise ValueError(f"rate is {self.rate:g}; stability at the start needs it in (0, {bound:.6g})")
        return network

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``, shape (count, T, 4)."""
        network, run = self.start(seed), _run_linearised if self.linearised else _run_network
        return np.array([run(self, network, targets(self, seed, replica)) for replica in range(first, first + count)])


@dataclass(frozen=True, eq=False)
class Network:
    """A start in sample space.

    Attributes
    ----------
    gram : ndarray, shape (N, N)
        ``X X'``.
    projected : ndarray, shape (N, m)
        ``X W'``, without bias.
    squares : ndarray, shape (m,)
        ``||w_i||^2``.
    bias, second, last : ndarray, shapes (m,), (m, C) and (C,)
        b, A and c.
    """

    gram: np.ndarray
    projected: np.ndarray
    squares: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    last: np.ndarray

    @cached_property
    def outputs(self) -> np.ndarray:
        """``f`` on the inputs, shape (N, C)."""
        return erf(self.projected + self.bias) @ self.second + self.last

    @cached_property
    def tangent_kernel(self) -> np.ndarray:
        """Theta (N C, N C), sample by sample."""
        return _tangent_kernel(self.gram, self.projected + self.bias, self.second)


def simulate_lazy_rich(steps, probability, *, replicas, seed, jobs=1, store=None, progress=False, chunk=None,
                       **parameters):
    """Run the erf network or its linearisation on independent paths of the noise.

    Parameters
    ----------
    steps, probability, **parameters
        See :class:`LazyRich`.
    replicas, seed, jobs, store, progress, chunk
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, 4); ``coordinates`` has ``step`` and ``observable``.
    """
    return engine.estimate(LazyRich(steps, probability, **parameters), replicas=replicas, seed=seed, jobs=jobs,
                           store=store, progress=progress, chunk=chunk)


def targets(experiment, seed, replica):
    """Yield the labels ``Y_t`` (N, C) of one step after the other: two words to a label, whether and by what."""
    key, n, c = streams.key(seed, EXPERIMENT), experiment.samples, experiment.classes
    clean, limit = np.eye(c)[experiment.labels], np.uint64(experiment.probability * 2**32)
    shift = theory.smoothed(experiment.labels, c, experiment.probability) - clean if experiment.centred else 0.0
    for begin in range(0, experiment.steps, BLOCK):
        steps = np.arange(begin, min(begin + BLOCK, experiment.steps))
        words = streams.words(key, replica, steps, 2 * n, purpose=LABELS).astype(np.uint64)
        drawn = ((words[:, n:] * np.uint64(c)) >> np.uint64(32)).astype(int)
        classes = np.where(words[:, :n] < limit, drawn, experiment.labels)
        for row in classes:
            yield np.eye(c)[row] - shift


def _tangent_kernel(gram, hidden, second):
    """``(phi phi' + 1) I_C + (X X' + 1) * sum_i phi'_i phi'_i a_i a_i'``, from all layers."""
    n, c = len(hidden), second.shape[1]
    slope = 2.0 / math.sqrt(math.pi) * np.exp(-hidden**2)
    rows = (slope[:, None, :] * second.T).reshape(n * c, -1)
    kernel = np.repeat(np.repeat(gram + 1.0, c, axis=0), c, axis=1) * (rows @ rows.T)
    features = erf(hidden)
    return kernel + np.kron(features @ features.T + 1.0, np.eye(c))


def _run_network(experiment, network, labels):
    gram = network.gram + 1.0
    clean, size = np.eye(experiment.classes)[experiment.labels], experiment.samples * experiment.classes
    second, last = network.second.copy(), network.last.copy()
    pulls, hidden, before = np.zeros_like(network.projected), network.projected + network.bias, None
    start = hidden.copy()
    out, moment, labels = np.empty(experiment.shape), 0, iter(labels)
    for step in range(experiment.steps + 1):
        features = erf(hidden)
        outputs = features @ second + last
        if step == experiment.times[moment]:
            kernel = _tangent_kernel(network.gram, hidden, second)
            before = network.tangent_kernel if before is None else before
            change = np.linalg.norm(kernel - before) / np.linalg.norm(before)
            out[moment] = (np.sum((outputs - clean) ** 2) / (2 * size), change, *_moved(network, pulls))
            moment += 1
        if moment == experiment.times.size:
            break
        residual = (outputs - next(labels)) * (experiment.rate / size)
        slope = np.exp(-hidden**2) * (2.0 / math.sqrt(math.pi))
        pulls -= slope * (residual @ second.T)
        second -= features.T @ residual
        last -= residual.sum(axis=0)
        hidden = start + gram @ pulls
    return out


def _run_linearised(experiment, network, labels):
    """By the kernel alone; the neurons' moves follow from the accumulated residuals."""
    clean, size = np.eye(experiment.classes)[experiment.labels], experiment.samples * experiment.classes
    kernel, outputs, total = network.tangent_kernel, network.outputs.ravel(), np.zeros(size)
    slope = np.exp(-(network.projected + network.bias) ** 2) * (2.0 / math.sqrt(math.pi))
    out, moment, labels = np.empty(experiment.shape), 0, iter(labels)
    for step in range(experiment.steps + 1):
        if step == experiment.times[moment]:
            pulls = -slope * (total.reshape(clean.shape) @ network.second.T)
            out[moment] = (np.sum((outputs - clean.ravel()) ** 2) / (2 * size), 0.0, *_moved(network, pulls))
            moment += 1
        if moment == experiment.times.size:
            break
        residual = (outputs - next(labels).ravel()) * (experiment.rate / size)
        total += residual
        outputs = outputs - kernel @ residual
    return out


def _moved(network, pulls):
    """Largest displacement and mean norm of the neurons ``w_i(0) + X' pulls_i``."""
    moved = np.einsum("ij,ij->j", pulls, network.gram @ pulls)
    now = network.squares + 2.0 * np.einsum("ij,ij->j", pulls, network.projected) + moved
    return math.sqrt(max(moved.max(), 0.0)), np.sqrt(np.clip(now, 0.0, None)).mean()
