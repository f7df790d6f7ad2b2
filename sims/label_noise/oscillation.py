r"""Gradient descent under a second layer that is made to oscillate, replica by replica.

The model of Lemma 4 of arXiv 2603.10397.  No label noise, no sampling noise; the second layer is not trained but put
on a chain with three states: from ``+-q`` it goes to 0, from 0 to ``+q`` or ``-q`` with probability 1/2 each.  At the
start it is at 0 with probability 1/2 and at ``+-q`` with probability 1/4 each.  The first layer follows the full batch,

    w_i <- w_i - h a_i Sigma (theta - theta*),     theta = W'a,     h = 2 c eta,

with both sides at the old values (the printed step has a stray input behind the gradient of the loss).  A neuron is
thus active at every second step, with a sign that is new each time.  *Frozen*, for comparison: every neuron keeps the
state that it starts with, those at 0 included.

Mean-square stability (derived): with ``m_A`` active neurons, ``E W_A'W_A`` is multiplied entrywise, in the eigenbasis
of Sigma, by ``1 - h q^2 (l_j + l_k) + h^2 q^4 m_A l_j l_k``, so that ``h q^2 m l_1 < 2`` suffices for all starts.

``Sigma`` is I where the model has infinitely many samples, else that of the training set; first layer and training set
at the start are those of :class:`.descent.Descent` for the same seed and replica.  Further draws:

    purpose CHAIN, step 0, draw i      the start of neuron i: at 0 by the highest bit
    purpose SIGNS, step k, draw j      bit i mod 32 of draw floor(i/32): the sign of neuron i at step k, where active
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ...theory import label_noise as theory
from ...theory.arguments import number, shown
from .. import engine, streams
from . import recursion, variation
from .arguments import MAX_STEPS, integer, recorded, training_set
from .kernels import LARGEST

VERSION = 1
"""Changes whenever the bits of a replica change."""
CHAIN, SIGNS = 4, 5
"""Purposes of the draws of the chain."""


@dataclass(frozen=True, eq=False)
class Oscillation:
    """The oscillating second layer as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    model : TwoLayerLinear
        With ``noise`` 0.  Of the start the first layer counts.
    steps : int
        Length K of the run, 1..2 10^8.
    amplitude : float, optional
        ``q`` > 0; default ``h^{1/4}``, the lemma's at c = 1/2.
    times, inputs, neurons
        As in :class:`.descent.Descent`.
    frozen : bool
        Keep the second layer where it starts.

    Raises
    ------
    ValueError
        For bad parameters, label noise, and a step outside mean-square stability (the message has the bound).  Where
        training sets are drawn the step must be stable at Sigma = I, and then on every set that is drawn.
    """

    model: theory.TwoLayerLinear
    steps: int
    amplitude: float | None = None
    times: object = None
    inputs: object = None
    neurons: bool = False
    frozen: bool = False

    def __post_init__(self):
        model = self.model
        if not isinstance(model, theory.TwoLayerLinear):
            raise ValueError(f"model is {shown(model)}; it must be a TwoLayerLinear")
        if model.noise != 0.0:
            raise ValueError(f"noise is {model.noise:g}; it must be 0, for the oscillation takes its place")
        steps = integer(self.steps, "steps", MAX_STEPS)
        amplitude = model.effective_step**0.25 if self.amplitude is None else number(self.amplitude, "amplitude")
        if not 0 < amplitude <= theory.LARGEST:
            raise ValueError(f"amplitude is {amplitude}; it must be in (0, {theory.LARGEST:g}]")
        for name in ("neurons", "frozen"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be True or False")
        values = {"steps": steps, "amplitude": amplitude, "times": recorded(self.times, steps),
                  "inputs": training_set(self.inputs, model), "neurons": bool(self.neurons),
                  "frozen": bool(self.frozen)}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        variation.check_memory(self)
        self._check_stability(np.eye(1) if self.inputs is None else self.inputs.T @ self.inputs / model.samples)

    def _check_stability(self, covariance, where=""):
        model, sharpest = self.model, np.linalg.eigvalsh(covariance)[-1]
        bound = 2.0 / (self.amplitude**2 * model.width * sharpest * 2 * model.loss_factor) if sharpest > 0 else np.inf
        if not model.step < bound:
            raise ValueError(f"{where}step is {model.step:g}; mean-square stability at amplitude {self.amplitude:g} "
                             f"needs it in (0, {bound:.6g})")

    @property
    def start(self):
        """None: the first layer is always drawn."""
        return None

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernels."""
        return f"label_noise.oscillation/{VERSION}"

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
        return {**variation.parameters(self), "amplitude": self.amplitude, "frozen": self.frozen}

    def coordinates(self) -> dict:
        """``step``, ``slow_time`` ``h q^2 k`` (both (T,)) and ``observable`` (names)."""
        rate = self.model.effective_step * self.amplitude**2
        return {"step": self.times.copy(), "slow_time": rate * self.times, "observable": np.array(self.observables)}

    def sample(self, seed, first, count):
        """Observables of replicas ``first, ..., first + count - 1``, shape (count, T, observables).

        Raises
        ------
        engine.Diverged
            For the first replica that left the finite numbers.
        ValueError
            For a training set drawn here on which the step is not stable.
        """
        if first + count > streams.MAX_REPLICA:
            raise ValueError(f"replica is {first + count - 1}; it must be in [0, 2^32)")
        model, out = self.model, np.empty((count, *self.shape))
        key, head = np.uint64(streams.key(seed, variation.EXPERIMENT)), np.empty((self.times.size, 8))
        networks = np.empty((self.times.size if self.neurons else 0, model.width, model.dimension + 1))
        states = np.empty((self.times.size, model.dimension + 1, model.dimension + 1))
        for row in range(count):
            _, sigma, neurons = variation.drawn(self, key, np.uint64(first + row))
            if self.inputs is None and model.samples < math.inf:
                self._check_stability(sigma, f"on the training set drawn for replica {first + row} ")
            begin_chain(key, np.uint64(first + row), self.amplitude, neurons)
            died = run_chain(key, np.uint64(first + row), model.effective_step, self.amplitude, self.frozen, self.steps,
                             sigma, float(model.target_norm), neurons.copy(), np.array(self.times), states, networks)
            if died >= 0:
                raise engine.Diverged(first + row, int(died))
            recursion.observe(states, recursion.gram(neurons), sigma, float(model.target_norm),
                              float(model.loss_factor), head)
            out[row, :, :7] = head[:, :7]
            if self.neurons:
                for moment, now in enumerate(networks):
                    recursion.observe_neurons(now, neurons, out[row, moment, 7:12])
                out[row, :, 12] = head[:, 7]
        return out


def simulate_oscillation(model, steps, *, replicas, seed, amplitude=None, times=None, inputs=None, neurons=False,
                         frozen=False, **options):
    """Run the oscillating second layer on independent replicas; the moments of the observables at the recorded times.

    Parameters
    ----------
    model, steps, amplitude, times, inputs, neurons, frozen
        See :class:`Oscillation`.
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
        For bad parameters or a step outside mean-square stability.
    engine.Diverged
        If a replica left the finite numbers (unless they are only to be named).
    """
    experiment = Oscillation(model, steps, amplitude, times, inputs, neurons, frozen)
    return variation.estimate(experiment, replicas, seed, options)


# -- kernels -----------------------------------------------------------------------------------------------------


@njit(cache=True)
def draw_signs(key, replica, step, amplitude, members, out):
    """Write +-q into ``out`` (m,) for the neurons ``members``, increasing, of a step."""
    words, drawn = np.zeros(4, dtype=np.uint32), -1
    for i in members:
        if i // 128 != drawn:
            drawn = i // 128
            w0, w1, w2, w3 = streams.block(key, replica, np.uint64(step), np.uint64(drawn), np.uint64(SIGNS))
            words[0], words[1], words[2], words[3] = w0, w1, w2, w3
        bit = (words[(i // 32) % 4] >> np.uint32(i % 32)) & np.uint32(1)
        out[i] = amplitude * (1.0 - 2.0 * np.float64(bit))


@njit(cache=True)
def begin_chain(key, replica, amplitude, neurons):
    """Put the second layer of ``neurons`` (m, d + 1) on the chain's start."""
    width, d = neurons.shape[0], neurons.shape[1] - 1
    second = np.zeros(width)
    draw_signs(key, replica, 0, amplitude, np.arange(width), second)
    for i in range(width):
        w = streams.block(key, replica, np.uint64(0), np.uint64(i // 4), np.uint64(CHAIN))
        neurons[i, d] = second[i] if streams.rademacher(w[i % 4]) > 0.0 else 0.0


@njit(cache=True)
def run_chain(key, replica, step, amplitude, frozen, steps, sigma, target, z, recorded, states, networks):
    """Run the model from ``z`` (m, d + 1), which it overwrites; -1, or the step after which it had diverged.

    ``states`` (T, d + 1, d + 1) receives K and ``networks`` (T or 0, m, d + 1) the neurons.  The neurons that start
    active are active at all even steps, the others at all odd ones.
    """
    d = z.shape[1] - 1
    first, second = z[:, :d].copy(), z[:, d].copy()
    even, odd = np.flatnonzero(second), np.flatnonzero(second == 0.0)
    theta, gap, pull = np.zeros(d), np.zeros(d), np.zeros(d)
    moment = 0
    for k in range(steps + 1):
        members = even if frozen or k % 2 == 0 else odd
        if k > 0 and not frozen:
            draw_signs(key, replica, k, amplitude, members, second)
        if recorded[moment] == k:
            z[:, :d] = first
            z[:, d] = 0.0
            for i in members:
                z[i, d] = second[i]
            states[moment] = recursion.gram(z)
            if networks.shape[0] > 0:
                networks[moment] = z
            moment += 1
        if moment == recorded.size:
            break
        theta[:] = 0.0
        for i in members:
            for j in range(d):
                theta[j] += second[i] * first[i, j]
        for j in range(d):
            gap[j] = theta[j] - (target if j == 0 else 0.0)
        recursion.multiply(sigma, gap, pull)
        for i in members:
            for j in range(d):
                first[i, j] -= step * second[i] * pull[j]
        if not recursion.dot(gap, gap) <= LARGEST * LARGEST:
            return k + 1
    return -1
