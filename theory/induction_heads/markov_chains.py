r"""Predicting the next state of a Markov chain from its past: the heights at which a learner in context can rest.

A chain on k states has transition rows that are independent and uniform on the simplex, its first state is uniform,
and ``x_1, ..., x_T`` have been seen (Edelman et al., arXiv 2402.11004, up to the first state; formulas derived).  In
nats per state, what comes next costs

    uniform    log k
    unigram    -log (n_j + 1)/(T + k),         n_j visits to j
    bigram     -log (n_ij + 1)/(n_i + k),      n_ij moves from i = x_T to j, n_i moves from i
    entropy    -sum_j P_ij log P_ij            for who knows the chain

on average.  The bigram rule is the posterior mean of a row, so no rule that sees the past does better.  The mean over
all chains of the probability of a sequence is

    P(x_1..x_T) = (1/k) prod_i Gamma(k) prod_j n_ij! / Gamma(n_i + k),

and a row with counts n has posterior Dirichlet(n + 1), so that for few states and steps every height is a finite sum;
the last uses ``E[-p log p] = (a/A) [psi(A+1) - psi(a+1)]`` for p ~ Beta(a, A - a).

*Leaving the uniform height.*  Logits ``O V m`` of the mean m of one-hot tokens, O and V near 0, move by ``O' = G V^T``
and ``V' = O^T G`` with ``G = E (e_next - 1/k) m^T``, which by symmetry is g times the projection off the constants,

    g = (E m_next - 1/k)/(k - 1).

So two small matrices grow like ``(1 + rate g)^step``, and the height is left after ``log(1/sigma)/log(1 + rate g)``
steps of SGD plus a number without sigma; with V fixed, O' is g from the start, and no sigma delays it.
"""

import itertools
import math

import numpy as np
from scipy.special import digamma, gammaln

from ..arguments import number, numbers, shown
from .attention import whole
from .population_loss import together

HEIGHTS = ("uniform", "unigram", "bigram", "entropy")
"""In this order, from the worst to the best."""
MAX_SEQUENCES = 2**20


def visits(sequences, states) -> np.ndarray:
    """``n_j``: how often each state was visited.

    Parameters
    ----------
    sequences : array_like of int, shape (..., T)
        States 0..k-1, T >= 1.
    states : int
        k >= 2.

    Returns
    -------
    ndarray, shape (..., k)
    """
    sequences = _sequences(sequences, states)
    return (sequences[..., None] == np.arange(states)).sum(axis=-2).astype(float)


def moves(sequences, states) -> np.ndarray:
    """``n_ij``: how often the chain went from i to j; parameters as for :func:`visits`.

    Returns
    -------
    ndarray, shape (..., k, k)
    """
    sequences = _sequences(sequences, states)
    one_hot = (sequences[..., None] == np.arange(states)).astype(float)
    return np.swapaxes(one_hot[..., :-1, :], -1, -2) @ one_hot[..., 1:, :]


def unigram_rule(sequences, states, prior=1.0) -> np.ndarray:
    """Probabilities of the next state by visits, ``(n_j + prior)/(T + k prior)``, shape (..., k)."""
    return _smoothed(visits(sequences, states), prior)


def bigram_rule(sequences, states, prior=1.0) -> np.ndarray:
    """Probabilities of the next state by what followed the last one so far, shape (..., k).

    Parameters
    ----------
    sequences, states
        As for :func:`visits`.
    prior : float
        > 0, added to each count; with 1 this is the posterior mean.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    sequences = _sequences(sequences, states)
    last = sequences[..., -1, None, None]
    rows = np.take_along_axis(moves(sequences, states), np.broadcast_to(last, (*sequences.shape[:-1], 1, states)), -2)
    return _smoothed(rows[..., 0, :], prior)


def cross_entropy(truth, prediction) -> np.ndarray:
    """``-sum_j P_j log p_j``, shape (...), of probabilities of shape (..., k); what is predicted must be > 0.

    Raises
    ------
    ValueError
        For a prediction that is not positive, or shapes that do not broadcast.
    """
    truth, prediction = together(truth, prediction, ("probabilities", "predictions"))
    if not (prediction > 0).all():
        raise ValueError(f"a prediction is {prediction.min():g}; it must be > 0, or what happens costs infinity")
    return -(truth * np.log(prediction)).sum(axis=-1)


def exact_heights(states, length, prior=1.0) -> np.ndarray:
    """The four heights as sums over all ``k^T`` sequences, in the order of :data:`HEIGHTS`.

    Parameters
    ----------
    states, length : int
        k >= 2 and T >= 1, ``k^T <= 2^20``.
    prior : float
        > 0, of the unigram and the bigram rule.

    Returns
    -------
    ndarray, shape (4,)

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    states, length = whole(states, "states", 2), whole(length, "length", 1)
    sequences, chance, row = _every_sequence(states, length)
    total = row.sum(axis=-1, keepdims=True)
    truth = row / total
    entropy = (truth * (digamma(total + 1) - digamma(row + 1))).sum(axis=-1)
    costs = (math.log(states), cross_entropy(truth, unigram_rule(sequences, states, prior)),
             cross_entropy(truth, bigram_rule(sequences, states, prior)), entropy)
    return np.array([np.sum(chance * cost) for cost in costs])


def frequency_signal(states, length) -> float:
    """``g``: how much more than 1/k of the tokens in the middle, ``x_2..x_{T-1}``, are the next state, over k - 1.

    These are the tokens that the second layer of a strictly causal model sees (:mod:`.attention`).

    Parameters
    ----------
    states, length : int
        k >= 2 and T >= 3, ``k^T <= 2^20``.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    states, length = whole(states, "states", 2), whole(length, "length", 3)
    sequences, chance, row = _every_sequence(states, length)
    share = visits(sequences[:, 1:-1], states) / (length - 2.0)
    following = row / row.sum(axis=-1, keepdims=True)
    return float((chance @ (following * share).sum(axis=-1) - 1.0 / states) / (states - 1.0))


def _every_sequence(states, length):
    """All sequences (k^T, T), their probabilities, and the posterior Dirichlet parameters of the last state's row."""
    if states**length > MAX_SEQUENCES:
        raise ValueError(f"length is {length}; with {states} states it must be at most "
                         f"{int(math.log(MAX_SEQUENCES) / math.log(states) + 1e-9)}, or the sum takes too long")
    sequences = np.array(list(itertools.product(range(states), repeat=length)))
    counts = moves(sequences, states)
    chance = np.exp((gammaln(states) + gammaln(counts + 1).sum(-1) - gammaln(counts.sum(-1) + states)).sum(-1)) / states
    return sequences, chance, counts[np.arange(len(sequences)), sequences[:, -1]] + 1.0


def _smoothed(counts, prior):
    prior = number(prior, "prior")
    if not 0 < prior < math.inf:
        raise ValueError(f"prior is {prior:g}; it must be finite and > 0, or a state that was not seen costs infinity")
    return (counts + prior) / (counts.sum(axis=-1, keepdims=True) + counts.shape[-1] * prior)


def _sequences(sequences, states):
    states = whole(states, "states", 2)
    array = numbers(sequences, "states of the sequences")
    if array.ndim < 1 or array.shape[-1] < 1:
        raise ValueError(f"sequences have shape {array.shape}; it must be (..., T), T at least 1")
    if not ((array >= 0) & (array < states) & (array == np.floor(array))).all():
        raise ValueError(f"sequences are {shown(sequences)}; they must hold integers in 0..{states - 1}")
    return array.astype(int)
