"""Claims from earlier work on induction heads that the constructed weights let one check.

The recency task: tokens from an alphabet, the answer is the token after the latest earlier occurrence of the last one.
"""

import math
from functools import cache
from itertools import product

import numpy as np

from ...sims import streams
from ...theory.induction_heads.attention import AttentionLayer, TwoLayerAttention, softmax
from ...theory.induction_heads.constructions import bigram_model
from .. import judges
from ..claim import claim
from .paper import CAUSAL_STRUCTURE, IN_CONTEXT, ONE_LAYER

ALPHABET = 8
SLOPE = 20.0
"""Of the first layer: it copies the previous token up to e^-20."""


@claim("recency", topic="induction_heads", paper=IN_CONTEXT, where="induction heads", stance="reconstructed",
       statement="a previous-token head, then matches worth g n + 10 and a slope g > log 2: the latest match wins")
def recency(effort):
    """One-hot tokens from an alphabet of 8, g = 1, n = 32, 128, 512: the largest output is at the answer, always."""
    return _accuracy(effort, lambda length: (length + 10.0, 1.0), SLOPE)


@recency.control("matches worth 10, whatever the length")
def _(effort):
    return _accuracy(effort, lambda length: (10.0, 1.0), SLOPE)


@recency.control("no previous-token head: a first layer that averages the past")
def _(effort):
    return _accuracy(effort, lambda length: (length + 10.0, 1.0), 1e-9)


@recency.control("no slope in the second layer: all matches count alike")
def _(effort):
    return _accuracy(effort, lambda length: (length + 10.0, 0.0), SLOPE)


@claim("recency_threshold", topic="induction_heads", paper=IN_CONTEXT, where="induction heads", stance="derived",
       statement="one match, at lag z: half of the attention is on it at beta = g (z-1) + log sum_{f<z} e^{-g(f-1)}")
def recency_threshold(effort):
    """Logits of order n are needed: z = n - 2.  Without slope, log(n - 3): an average of matches needs only log n."""
    return _thresholds(effort, lambda slope, others, lag: slope * (lag - 1) + math.log(np.exp(
        -slope * (others - 1.0)).sum()))


@recency_threshold.control("beta = log n, enough for the average, with a slope")
def _(effort):
    return _thresholds(effort, lambda slope, others, lag: math.log(len(others) + 1.0))


@recency_threshold.control("beta = g z, without the other positions")
def _(effort):
    return _thresholds(effort, lambda slope, others, lag: slope * lag)


@claim("index_reduction", topic="induction_heads", paper=ONE_LAYER, where="reduction from INDEX",
       stance="reconstructed",
       statement="bits f, marks b = 2 at i and 0 elsewhere: the task on (b_1, f_1, ..., b_N, f_N, 2) asks for f_i")
def index_reduction(effort):
    """Every f in {0,1}^N and every i, N = 1..6 (full: 9), answered by the two-layer construction."""
    return _index(effort, 0)


@index_reduction.control("the mark after its bit")
def _(effort):
    return _index(effort, 1)


@claim("index_counting", topic="induction_heads", paper=ONE_LAYER, where="reduction from INDEX",
       stance="reconstructed",
       statement="one layer of h heads, values in R^m, p bits tells at most 2^(h(m+1)p) of the 2^N f apart")
def index_counting(effort):
    """What the bits send to the last position are h(m+1) sums; two f whose rounded sums agree share all answers.

    Random heads, all f in {0,1}^N; to answer every question h(m+1)p >= N is needed.
    """
    return _counting(effort, rounded=True)


@index_counting.control("sums that are not rounded")
def _(effort):
    return _counting(effort, rounded=False)


@claim("chi_square_information", topic="induction_heads", paper=CAUSAL_STRUCTURE, where="data processing",
       stance="reconstructed",
       statement="stationary chain: sum_ij mu_i (P^m)_ij^2/mu_j - 1 falls with m, by s_2(D^(1/2) P D^(-1/2))^2 or more")
def chi_square_information(effort):
    """Random chains of 2 to 7 states, lags 1 to 12: what makes the last token the best parent to attend to."""
    return _information(effort, lambda chain: chain, stationary=True)


@chi_square_information.control("a permutation in place of the chain: nothing is lost with the lag")
def _(effort):
    return _information(effort, lambda chain: np.roll(np.eye(len(chain)), 1, axis=1), stationary=True)


@chi_square_information.control("the uniform law in place of the stationary one")
def _(effort):
    return _information(effort, lambda chain: chain, stationary=False)


@cache
def _sequences(count, length):
    words = streams.words(streams.key(0, "induction_heads.recency"), np.arange(count), length, length)
    tokens = (words % np.uint32(ALPHABET)).astype(int)
    tokens[:, 0] = tokens[:, -1]           # so that there is an earlier occurrence, followed by one more token at least
    return tokens


def _induction_head(alphabet, match, recency_slope, slope):
    """One-hot 2-grams with similarity ``match`` I and a slope in the second layer."""
    model = bigram_model(match * np.eye(alphabet), slope)
    second = model.second
    return TwoLayerAttention(model.embedding, model.first,
                             AttentionLayer([recency_slope], second.query, second.key, second.value, second.output))


def _answers(tokens):
    """The token after the latest earlier occurrence of the last one; the last itself may not be copied from."""
    earlier = tokens[:, :-2] == tokens[:, -1:]
    latest = earlier.shape[1] - 1 - np.argmax(earlier[:, ::-1], axis=1)
    return tokens[np.arange(len(tokens)), latest + 1]


def _accuracy(effort, weights, slope):
    parts = {}
    for length in (32, 128, 512):
        tokens = _sequences(effort.choose(40, 400), length)
        output = _induction_head(ALPHABET, *weights(length), slope)(np.eye(ALPHABET)[tokens])
        right = np.argmax(output, axis=-1) == _answers(tokens)
        parts[f"n={length}"] = judges.equal(right.mean(), 1.0, over=f"accuracy on {len(tokens)} sequences")
    return judges.every(**parts)


def _thresholds(effort, law):
    """The match is at the start; between a little less and a little more than the law its attention crosses 1/2."""
    parts = {}
    for slope, length in ((1.0, 32), (1.0, 128), (0.25, 128), (0.0, 128)):
        tokens = np.ones(length, dtype=int)
        tokens[[0, -1]] = 0                 # key s = 2, at lag n - 2, is the only one that matches
        lag, encoded = length - 2, np.eye(2)[tokens]
        predicted = law(slope, np.arange(1, lag), lag)
        tried = np.linspace(0.0, 1.5 * slope * length + 10.0, effort.choose(60, 400))
        tried = np.sort(np.append(tried, predicted + np.array([-0.01, 0.01])))
        attention = [_induction_head(2, beta, slope, SLOPE).trace(encoded).second_weights[0, 1] for beta in tried]
        parts[f"g={slope:g}, n={length}"] = judges.sign_change(tried, np.array(attention) - 0.5, predicted, width=0.05)
    return judges.every(**parts)


def _index(effort, shift):
    wrong, count = 0, 0
    for size in range(1, effort.choose(7, 10)):
        bits = np.array(list(product((0, 1), repeat=size)))
        for place in range(size):
            tokens = np.zeros((len(bits), 2 * size + 1), dtype=int)
            tokens[:, 1 - shift:2 * size:2], tokens[:, 2 * place + shift], tokens[:, -1] = bits, 2, 2
            match = 2.0 * size + 11.0
            output = _induction_head(3, match, 1.0, SLOPE)(np.eye(3)[tokens])
            wrong, count = wrong + (np.argmax(output, axis=-1) != bits[:, place]).sum(), count + len(bits)
    return judges.equal(wrong, 0, over=f"wrong answers of {count}")


def _counting(effort, rounded):
    """Distinct rounded messages over all f, by numbers of heads, dimensions and bits with h (m + 1) p < N."""
    size, told, bound, names = effort.choose(10, 14), [], [], []
    bits = np.array(list(product((0, 1), repeat=size)))
    for heads, inner, precision in ((1, 1, 1), (1, 1, 4), (1, 2, 3), (2, 1, 2), (2, 2, 1)):
        key = streams.key(0, "induction_heads.one_layer")
        draws = streams.normals(key, heads, inner, heads * size * (inner + 1)).astype(float)
        draws = draws.reshape(heads, size, inner + 1)
        one = bits[:, None, :, None] == 1                          # a bit 0 has score 1 and value 0
        scores, values = np.where(one, np.exp(draws[..., :1]), 1.0), np.where(one, draws[..., 1:], 0.0)
        sums = np.concatenate([(scores * values).sum(axis=2), scores.sum(axis=2)], axis=-1).reshape(len(bits), -1)
        low, high = sums.min(axis=0), sums.max(axis=0)
        cells = np.minimum((sums - low) / (high - low) * 2**precision, 2**precision - 1)
        messages = np.floor(cells) if rounded else cells
        told.append(len(np.unique(messages, axis=0)))
        bound.append(2.0 ** (heads * (inner + 1) * precision))
        names.append(f"h={heads} m={inner} p={precision}")
    return judges.every(
        messages=judges.inequality(told, bound, over=f"distinct messages of {2**size}; " + ", ".join(names)),
        collide=judges.inequality(told, 2.0**size - 1, over="so two f share all answers"))


def _information(effort, change, stationary):
    parts = {}
    for replica in range(effort.choose(10, 100)):
        states = 2 + replica % 6
        draws = streams.uniforms(streams.key(0, "induction_heads.chains"), replica, 0, states**2, dtype=np.float64)
        chain = change(softmax(-3.0 * np.log(draws.reshape(states, states))))
        law = np.linalg.matrix_power(chain, 4096)[0] if stationary and not _is_permutation(chain) else np.full(
            states, 1.0 / states)
        power, found = np.eye(states), []
        for _ in range(12):
            power = power @ chain
            found.append((law[:, None] * power**2 / law).sum() - 1.0)
        found = np.array(found)
        scaled = np.sqrt(law)[:, None] * chain / np.sqrt(law)
        second = np.linalg.svd(scaled, compute_uv=False)[1]
        parts[f"chain {replica}"] = judges.inequality(found[1:], second**2 * found[:-1] + 1e-13)
        parts[f"strict {replica}"] = judges.inequality(found[1:], (1 - 1e-9) * found[:-1] + 1e-13)
    return judges.every(**parts)


def _is_permutation(chain):
    return bool(np.isin(chain, (0.0, 1.0)).all())
