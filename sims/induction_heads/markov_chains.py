r"""A two-layer attention model learns to predict Markov chains in context.

Every sequence has a chain of its own: k states, transition rows uniform on the simplex, a uniform first state.  The
model (:mod:`theorycheck.theory.induction_heads.attention`) sees ``x_1, ..., x_T`` as unit vectors of R^k and puts out
logits of ``x_{T+1}``; SGD on their cross-entropy, a batch of fresh chains per step (after Edelman et al., arXiv
2402.11004).

The residual stream is R^{2k}, tokens in its first half.  Layer 1 has one head without dot product: its slope p and its
output matrix (2k x 2k) are learned.  Layer 2 has one head whose query, key (2k x 2k each) and output (k x 2k) are
learned. Matrices start at sigma times normals, the slope at 0, where every position averages all of its past.  An
induction head is then: a large p, so that the first layer brings the previous token; keys that compare it with the
last token.

``first_layer`` says what becomes of layer 1: ``"learned"``, ``"flat"`` (the slope stays 0, so that no previous token
can be told from the rest of the past) or ``"none"`` (a single layer of attention).  ``values`` says whether the second
layer's value matrix (2k x 2k) is the identity, ``"fixed"``, so that its output matrix feels a force as soon as it reads
frequencies at all, or ``"learned"`` from sigma times normals, so that value and output wait for each other.

Observed, on fresh test chains with their exact transition probabilities: ``loss`` of the model and of the ``unigram``
and the ``bigram`` rule on the same chains, ``excess = (loss - bigram)/(unigram - bigram)``, the ``slope``,
``previous`` (mean weight that the first layer puts on the token before) and ``matching`` (weight that the second layer
puts on positions whose previous token is the last token).

Draws of replica r under the key of "induction_heads.markov_chains": (purpose CHAINS, step k), k = 0..K-1 for training
and K + j for the j-th test, holds for each chain of the batch ``k^2 + T + 1`` uniforms: rows by exponentials, states
by inversion; (purpose START, step 0) holds the normals of output 1, query, key, output 2 and, where it is learned,
value 2.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ...theory.arguments import number, shown
from ...theory.induction_heads import markov_chains as theory
from ...theory.induction_heads.attention import AttentionLayer, TwoLayerAttention, softmax
from ...theory.learning_rates import Schedule, wsd
from .. import engine, streams
from .arguments import MAX_STEPS, integer, one_of, recorded
from .backpropagation import loss_and_gradient
from .descent import checked_replica

EXPERIMENT = "induction_heads.markov_chains"
"""Name of the random stream."""
VERSION = 1
"""Changes whenever the bits of a replica change."""
CHAINS, START = 0, 1
"""Purposes of the draws."""
OBSERVABLES = ("loss", "unigram", "bigram", "excess", "slope", "previous", "matching")
FIRST_LAYERS = ("learned", "flat", "none")
VALUES = ("fixed", "learned")
MAX_STATES, MAX_LENGTH, MAX_BATCH = 16, 1024, 2**16
LARGEST_WEIGHT = 1e6
"""A weight that leaves this range has diverged; those of trained models are of order ten."""


def chains(key, replica, step, count, states, length):
    """Chains and their paths.

    Parameters
    ----------
    key : int
        From :func:`theorycheck.sims.streams.key`.
    replica, step : int
    count, states, length : int
        How many, k, and T.

    Returns
    -------
    transitions : ndarray, shape (count, k, k)
    paths : ndarray of int, shape (count, T + 1)
        The last state is the one to be predicted.

    Raises
    ------
    ValueError
        For count, states or length out of range.
    """
    integer(count, "count", MAX_BATCH)
    integer(states, "states", MAX_STATES, 2)
    integer(length, "length", MAX_LENGTH)
    each = states * states + length + 1
    uniforms = streams.uniforms(key, replica, step, count * each, purpose=CHAINS, dtype=np.float64).reshape(count, each)
    rows = -np.log(uniforms[:, :states * states]).reshape(count, states, states)
    transitions = rows / rows.sum(axis=-1, keepdims=True)
    paths = np.empty((count, length + 1), dtype=np.int64)
    _walk(np.cumsum(transitions, axis=-1), uniforms[:, states * states:].copy(), paths)
    return transitions, paths


@dataclass(frozen=True, eq=False)
class ChainTraining:
    """Training on Markov chains as an experiment for :func:`theorycheck.sims.engine.estimate`.

    Parameters
    ----------
    states : int
        k, 2..16.
    length : int
        T, 3..1024 tokens seen.
    schedule : Schedule or int
        Learning rates (:mod:`theorycheck.theory.learning_rates`), or the number K of steps at rate 1, of which the last
        fifth cools down to 0.
    scale : float
        sigma of the matrices, > 0.
    batch_size : int
        Chains per step.
    first_layer : {"learned", "flat", "none"}
    times : array_like of int, optional
        Numbers of steps after which to test, strictly increasing in 0..K; default up to 129 evenly spaced ones.
    tests : int
        Fresh chains at each test.
    values : {"fixed", "learned"}
        Of the second layer.

    Raises
    ------
    ValueError
        For anything else.
    """

    states: int
    length: int
    schedule: object
    scale: float = 0.05
    batch_size: int = 64
    first_layer: str = "learned"
    times: object = None
    tests: int = 2000
    values: str = "fixed"

    def __post_init__(self):
        integer(self.states, "states", MAX_STATES, 2)
        integer(self.length, "length", MAX_LENGTH, 3)
        integer(self.batch_size, "batch_size", MAX_BATCH)
        integer(self.tests, "tests", MAX_BATCH)
        one_of(self.first_layer, "first_layer", FIRST_LAYERS)
        one_of(self.values, "values", VALUES)
        schedule = self.schedule
        if not isinstance(schedule, Schedule):
            schedule = wsd(integer(schedule, "schedule", MAX_STEPS), 1.0, 0.2)
        if not 0 < number(self.scale, "scale") <= 1:
            raise ValueError(f"scale is {shown(self.scale)}; it must be > 0 and at most 1")
        object.__setattr__(self, "schedule", schedule)
        object.__setattr__(self, "times", recorded(self.times, schedule.steps))

    @property
    def name(self) -> str:
        """Identity of the experiment, with its version."""
        return f"{EXPERIMENT}/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Shape of one replica's observation, (T, 7)."""
        return (self.times.size, len(OBSERVABLES))

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"states": int(self.states), "length": int(self.length), "rates": self.schedule.rates,
                "scale": float(self.scale), "batch_size": int(self.batch_size), "first_layer": self.first_layer,
                "times": self.times, "tests": int(self.tests), "values": self.values}

    def coordinates(self) -> dict:
        """``step`` (T,) and ``observable`` (names)."""
        return {"step": self.times.copy(), "observable": np.array(OBSERVABLES)}

    def trained(self, seed, replica):
        """One run.

        Returns
        -------
        model : TwoLayerAttention
            At its end.
        tests : ndarray, shape (T, 7)

        Raises
        ------
        engine.Diverged
            If a weight left the finite numbers or 1e6, or the model took what happens to be impossible.
        """
        key, k, rates = streams.key(seed, EXPERIMENT), self.states, self.schedule.rates
        weights, moment, tests = self._start(key, replica), 0, np.empty(self.shape)
        for step in range(rates.size + 1):
            if moment < self.times.size and self.times[moment] == step:
                tested = self._tested(_model(weights, k), key, replica, rates.size + moment)
                if not np.isfinite(tested).all():
                    raise engine.Diverged(replica, step)
                tests[moment] = tested
                moment += 1
            if step == rates.size or moment == self.times.size:
                break
            _, paths = chains(key, replica, step, self.batch_size, k, self.length)
            with np.errstate(divide="ignore"):   # a loss may be infinite, its gradient is not
                _, first, second = loss_and_gradient(_model(weights, k), np.eye(k)[paths[:, :-1]], paths[:, -1])
            gradients = {"slope": first["slopes"][0], "first": first["output"][0], "query": second["query"][0],
                         "key": second["key"][0], "second": second["output"][0], "value": second["value"][0]}
            for name in self._moving:
                weights[name] = weights[name] - rates[step] * gradients[name]
            if not _bounded(weights):
                raise engine.Diverged(replica, step + 1)
        return _model(weights, k), tests

    def sample(self, seed, first, count):
        """Tests of replicas ``first, ..., first + count - 1``, float64, shape (count, T, 7).

        Raises
        ------
        engine.Diverged
            For the first run that left the finite numbers.
        """
        return np.stack([self.trained(seed, checked_replica(first + row))[1] for row in range(count)])

    @property
    def _moving(self):
        upper = ("query", "key", "second") + (("value",) if self.values == "learned" else ())
        return {"learned": ("slope", "first", *upper), "flat": ("first", *upper), "none": upper}[self.first_layer]

    def _start(self, key, replica):
        k, width = self.states, 2 * self.states
        shapes = {"first": (width, width), "query": (width, width), "key": (width, width), "second": (k, width)}
        if self.values == "learned":
            shapes["value"] = (width, width)
        sizes = [math.prod(shape) for shape in shapes.values()]
        drawn = streams.normals(key, replica, 0, sum(sizes), purpose=START).astype(float)
        parts = np.split(self.scale * drawn, np.cumsum(sizes)[:-1])
        weights = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts)}
        if self.first_layer == "none":
            weights["first"] = np.zeros_like(weights["first"])
        return {"slope": 0.0, **weights}

    def _tested(self, model, key, replica, step):
        k = self.states
        transitions, paths = chains(key, replica, step, self.tests, k, self.length)
        seen = paths[:, :-1]
        truth = transitions[np.arange(self.tests), seen[:, -1]]
        trace = model.trace(np.eye(k)[seen])
        lag_one = np.diagonal(trace.first_weights[0, 0], offset=-1)
        match = np.concatenate([np.zeros((self.tests, 1)), seen[:, :-1] == seen[:, -1:]], axis=1)
        prediction = softmax(trace.output)
        if not (prediction > 0).all():
            return math.inf   # it took what happens to be impossible
        costs = [theory.cross_entropy(truth, each).mean() for each in (
            prediction, theory.unigram_rule(seen, k), theory.bigram_rule(seen, k))]
        excess = (costs[0] - costs[2]) / (costs[1] - costs[2])
        return (*costs, excess, model.first.slopes[0], lag_one.mean(),
                (trace.second_weights[:, 0] * match).sum(1).mean())


def simulate_chains(states, length, schedule, scale=0.05, batch_size=64, first_layer="learned", times=None, tests=2000,
                    values="fixed", *, replicas, seed, **options):
    """Train on independent replicas and return the moments of the observables.

    Parameters
    ----------
    states, length, schedule, scale, batch_size, first_layer, times, tests, values
        See :class:`ChainTraining`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (T, 7); ``coordinates`` has ``step`` and ``observable``.
    """
    experiment = ChainTraining(states, length, schedule, scale, batch_size, first_layer, times, tests, values)
    return engine.estimate(experiment, replicas=replicas, seed=seed, **options)


@dataclass(frozen=True, eq=False)
class Heights:
    """What the uniform, the unigram and the bigram rule cost, and the chain's own entropy, by Monte Carlo.

    A replica is the mean over a batch of chains, with their exact transition probabilities in place of a drawn next
    state.

    Parameters
    ----------
    states, length : int
        As for :class:`ChainTraining`, length 1..1024.
    batch_size : int
        Chains to a replica.
    prior : float
        > 0, of both rules.

    Raises
    ------
    ValueError
        For anything else.
    """

    states: int
    length: int
    batch_size: int = 1000
    prior: float = 1.0

    def __post_init__(self):
        integer(self.states, "states", MAX_STATES, 2)
        integer(self.length, "length", MAX_LENGTH)
        integer(self.batch_size, "batch_size", MAX_BATCH)
        theory.unigram_rule([0], self.states, self.prior)

    @property
    def name(self) -> str:
        """Identity of the experiment, with its version."""
        return f"induction_heads.heights/{VERSION}"

    @property
    def shape(self) -> tuple:
        """Four numbers."""
        return (len(theory.HEIGHTS),)

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {"states": int(self.states), "length": int(self.length), "batch_size": int(self.batch_size),
                "prior": float(self.prior)}

    def coordinates(self) -> dict:
        """``height`` (names)."""
        return {"height": np.array(theory.HEIGHTS)}

    def sample(self, seed, first, count):
        """Costs of replicas ``first, ..., first + count - 1``, float64, shape (count, 4)."""
        checked_replica(first + count - 1)
        key, out, k = streams.key(seed, "induction_heads.heights"), np.empty((count, 4)), self.states
        for row in range(count):
            transitions, paths = chains(key, first + row, 0, self.batch_size, k, self.length)
            seen = paths[:, :-1]
            truth = transitions[np.arange(self.batch_size), seen[:, -1]]
            rules = (theory.unigram_rule(seen, k, self.prior), theory.bigram_rule(seen, k, self.prior), truth)
            out[row] = [math.log(k), *(theory.cross_entropy(truth, rule).mean() for rule in rules)]
        return out


def simulate_heights(states, length, batch_size=1000, prior=1.0, *, replicas, seed, **options):
    """Moments over replicas of the four heights; parameters of :class:`Heights` and of the engine.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (4,), in the order of ``theory.HEIGHTS``.
    """
    return engine.estimate(Heights(states, length, batch_size, prior), replicas=replicas, seed=seed, **options)


@njit(cache=True)
def _walk(edges, uniforms, paths):
    """Fill paths by inversion: uniforms (C, T + 1), cumulated transition probabilities (C, k, k)."""
    states = edges.shape[1]
    for chain in range(paths.shape[0]):
        state = int(uniforms[chain, 0] * states)
        paths[chain, 0] = state
        for t in range(1, paths.shape[1]):
            following = 0
            while following < states - 1 and uniforms[chain, t] > edges[chain, state, following]:
                following += 1
            state = following
            paths[chain, t] = state


def _bounded(weights):
    """Whether every weight is small enough for logits, products of four of them, that float64 can hold."""
    return all(np.abs(values).max() < LARGEST_WEIGHT for values in weights.values())   # false for NaN


def _model(weights, states):
    """The model of these weights: values are the identity unless given, what a head brings is its output matrix."""
    width = 2 * states
    unit, none = np.eye(width)[None], np.zeros((1, width, width))
    embedding = np.eye(width)[:, :states]
    return TwoLayerAttention(embedding, AttentionLayer([weights["slope"]], none, none, unit, weights["first"][None]),
                             AttentionLayer([0.0], weights["query"][None], weights["key"][None],
                                            weights["value"][None] if "value" in weights else unit,
                                            weights["second"][None]))
