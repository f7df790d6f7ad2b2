"""Claims from earlier work on induction heads that the constructed weights let one check.

The recency task: tokens from an alphabet, the answer is the token after the latest earlier occurrence of the last one.
"""

import math
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np

from ...sims import streams
from ...theory.induction_heads.attention import AttentionLayer, TwoLayerAttention, position_bias, softmax
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
       statement="random layers of h heads, values in R^m, p bits, h(m+1)p < N: two f share every output, not answers")
def index_counting(effort):
    """Random one-layer models on (b_1, f_1, ..., b_N, f_N, 2), all f and i, N = 8 (full: 11): a demonstration.

    That 2^N texts do not fit into fewer messages holds of any model, also of one that tells nothing; how many bits
    suffice is `index_bits`.

    Bits reach the last position as h(m+1) softmax sums, rounded to p bits.  Counted are the answers that any reader of
    the output must get wrong, because equal outputs stand for different f_i.
    """
    return _counting(effort, lambda heads, inner, bits: _one_layer(heads, inner, bits))


@index_counting.control("24 bits for each sum: enough to tell all f apart")
def _(effort):
    return _counting(effort, lambda heads, inner, bits: _one_layer(heads, inner, 24))


@index_counting.control("two layers, the constructed induction head, outputs rounded to 1/8")
def _(effort):
    def two_layers(tokens):
        size = tokens.shape[1] // 2
        return np.round(8.0 * _induction_head(3, 2.0 * size + 11.0, 1.0, SLOPE)(np.eye(3)[tokens]))
    return _counting(effort, lambda heads, inner, bits: two_layers)


@claim("index_bits", topic="induction_heads", paper=ONE_LAYER, where="reduction from INDEX", stance="derived",
       statement="one layer, h = 1, 2 heads of slopes +- (log 2)/2 and p bits: answers lost are (N - h p)^+ 2^(N-1)")
def index_bits(effort):
    """All f and i, N = 8 (full: 10): layers with which the number of bits that is needed suffices, and one less fails.

    Without a dot product the sum of a head over the bits is ``sum_j f_j 2^(j-N)``, for the other slope a multiple of
    ``sum_j f_j 2^(1-j)``: p bits of it are the last p of f, or the first.  The m + 1 sums of a head are affine in this
    one, so h p counts.  What is not told is wrong for half of the f.
    """
    return _bits(effort, (1.0, -1.0), 2)


@index_bits.control("both heads prefer the same end")
def _(effort):
    return _bits(effort, (1.0, 1.0), 2)


@index_bits.control("weights that fall by 1/3 from bit to bit: the end is lost in rounding")
def _(effort):
    return _bits(effort, (1.0, -1.0), 3)


@index_bits.control("one bit fewer than is said")
def _(effort):
    return _bits(effort, (1.0, -1.0), 2, fewer=1)


@index_bits.control("24 bits, whatever is said")
def _(effort):
    return _bits(effort, (1.0, -1.0), 2, fewer=-24)


@claim("chi_square_information", topic="induction_heads", paper=CAUSAL_STRUCTURE, where="data processing",
       stance="reconstructed",
       statement="stationary chain: sum_ij mu_i (P^m)_ij^2/mu_j - 1 falls with m, by s_2(D^(1/2) P D^(-1/2))^2 or more")
def chi_square_information(effort):
    """Random chains of 2 to 7 states, lags 1 to 12, exactly: what makes the last token the best parent to attend to."""
    return _information(effort, lambda counts: counts, stationary=True)


@chi_square_information.control("a permutation in place of the chain: nothing is lost with the lag")
def _(effort):
    return _information(effort, lambda counts: np.roll(1000 * np.eye(len(counts), dtype=int), 1, axis=1).astype(object),
                        stationary=True)


@chi_square_information.control("the uniform law in place of the stationary one")
def _(effort):
    return _information(effort, lambda counts: counts, stationary=False)


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


def _one_layer(heads, inner, bits):
    """A random layer on one-hot tokens whose softmax sums over the bits are rounded to 2^bits levels."""
    shapes = (heads,), (heads, 1, 3), (heads, 1, 3), (heads, inner, 3), (heads, 2, inner)
    drawn = [streams.normals(streams.key(0, "induction_heads.one_layer"), heads, inner, math.prod(shape),
                             purpose=purpose).astype(float).reshape(shape) for purpose, shape in enumerate(shapes)]
    return _rounded(AttentionLayer(0.1 * np.abs(drawn[0]), *drawn[1:]), bits)


def _rounded(layer, bits):
    """A layer on one-hot tokens whose softmax sums over the bits are rounded to 2^bits levels."""
    def run(tokens):
        """Output at the last position: sums over the bits rounded, those over the marks exact."""
        seen, asked = np.eye(3)[tokens[:, :-1]], np.eye(3)[tokens[:, -1]]
        match = np.einsum("hrd,nd,hre,nje->nhj", layer.query, asked, layer.key, seen, optimize=True)
        weights = np.exp(match + position_bias(tokens.shape[1], layer.slopes)[:, -1, :-1])
        values = np.einsum("hvd,njd->nhjv", layer.value, seen)
        sums = weights[..., None] * np.concatenate([values, np.ones_like(values[..., :1])], axis=-1)
        told, marks = sums[:, :, 1::2].sum(axis=2), sums[:, :, ::2].sum(axis=2)
        whole = told + marks
        exact = np.einsum("hev,nhv->ne", layer.output, whole[..., :-1] / whole[..., -1:])
        hidden = np.eye(3)[tokens]
        model = layer.read(layer.last_weights(hidden)[..., None, :], hidden)[:, 0]
        if not np.allclose(exact, model, rtol=1e-10, atol=1e-10):
            raise RuntimeError("the sums that are to be rounded are not those of the layer")
        low, high = told.min(axis=0), told.max(axis=0)
        cells = (told - low) / np.where(high > low, high - low, 1.0)
        cells = np.minimum(np.floor(cells * 2.0**bits), 2.0**bits - 1.0)
        whole = low + (cells + 0.5) * (high - low) / 2.0**bits + marks
        return np.einsum("hev,nhv->ne", layer.output, whole[..., :-1] / whole[..., -1:])
    return run


def _told(run, size):
    """Answers that any reader of the outputs gets wrong, and how many rows of outputs there are for all f."""
    bits = np.array(list(product((0, 1), repeat=size)))
    tokens = np.zeros((size, len(bits), 2 * size + 1), dtype=int)
    tokens[..., 1::2], tokens[..., -1] = bits, 2
    tokens[np.arange(size), :, 2 * np.arange(size)] = 2
    outputs = np.round(run(tokens.reshape(-1, 2 * size + 1)).reshape(size, len(bits), -1), 10)
    wrong = 0
    for place in range(size):
        _, group = np.unique(outputs[place], axis=0, return_inverse=True)
        ones = np.bincount(group.ravel(), weights=bits[:, place])
        wrong += np.minimum(ones, np.bincount(group.ravel()) - ones).sum()
    return wrong, len(np.unique(outputs.transpose(1, 0, 2).reshape(len(bits), -1), axis=0))


def _bits(effort, signs, base, fewer=0):
    """Answers lost of layers whose heads look near and far with weights that fall by 1/base from bit to bit."""
    size, parts = effort.choose(8, 10), {}
    value = np.eye(3)[1:2]                       # of the token 1; the marks, 2, are not for Alice to tell
    for heads, each in ((1, size + 1), (1, size), (1, size - 1), (1, 2), (2, size // 2), (2, size // 2 - 1), (2, 1)):
        outward = np.eye(heads)[..., None]       # every head writes to its own coordinate
        layer = AttentionLayer(0.5 * math.log(base) * np.array(signs[:heads]), np.zeros((heads, 1, 3)),
                               np.zeros((heads, 1, 3)), np.tile(value, (heads, 1, 1)), outward)
        wrong, _ = _told(_rounded(layer, each - fewer), size)
        parts[f"h={heads} p={each}"] = judges.equal(wrong, max(0, size - heads * each) * 2 ** (size - 1))
    return judges.every(**parts)


def _counting(effort, model):
    """Answers lost and rows of outputs, by numbers of heads, dimensions and bits with h (m + 1) p < N."""
    size, lost, rows, bound, names = effort.choose(8, 11), [], [], [], []
    for heads, inner, precision in ((1, 1, 1), (1, 1, 3), (1, 2, 2), (2, 1, 1), (2, 2, 1)):
        wrong, different = _told(model(heads, inner, precision), size)
        lost.append(wrong)
        rows.append(different)
        bound.append(2.0 ** (heads * (inner + 1) * precision))
        names.append(f"h={heads} m={inner} p={precision}")
    return judges.every(
        rows=judges.inequality(rows, bound, over=f"distinct rows of outputs for {2**size} f; " + ", ".join(names)),
        lost=judges.inequality(1.0, lost, over=f"answers lost of {size * 2**size}"))


def _information(effort, change, stationary):
    """Falls counted and compared as fractions; the factor s_2^2 is the only number that is rounded."""
    lost, ratios, factors = 0, [], []
    for replica in range(effort.choose(10, 100)):
        counts = change(_transitions(replica))
        chain = np.array([[Fraction(int(count), 1000) for count in row] for row in counts])
        states = len(chain)
        law = _stationary(chain) if stationary else [Fraction(1, states)] * states
        power, found = counts, []
        for lag in range(1, 13):
            squares = sum(law[i] * int(power[i, j]) ** 2 / law[j] for i in range(states) for j in range(states))
            found.append(squares / 1000 ** (2 * lag) - 1)
            power = power @ counts
        lost += sum(later >= earlier for earlier, later in zip(found, found[1:]))
        root = np.sqrt(np.array(law, dtype=float))
        second = np.linalg.svd(root[:, None] * chain.astype(float) / root, compute_uv=False)[1]
        ratios.append([float(later / earlier) if earlier else 0.0 for earlier, later in zip(found, found[1:])])
        factors.append(second**2)
    return judges.every(
        falls=judges.equal(lost, 0, over=f"lags at which it does not fall, of {11 * len(factors)}"),
        factor=judges.inequality(ratios, np.array(factors)[:, None], at={"lag": np.arange(1, 12)}))


def _transitions(replica):
    """Probabilities in thousandths, all positive, as integers that are added and multiplied without end."""
    states = 2 + replica % 6
    draws = streams.uniforms(streams.key(0, "induction_heads.chains"), replica, 0, states**2, dtype=np.float64)
    rows = 1 + np.floor((1000 - states) * softmax(-3.0 * np.log(draws.reshape(states, states)))).astype(int)
    rows[:, -1] += 1000 - rows.sum(axis=1)
    return rows.astype(object)


def _stationary(chain):
    """mu P = mu, sum mu = 1, by elimination in fractions."""
    states = len(chain)
    system = np.column_stack([chain.T - np.eye(states, dtype=int), [Fraction(0)] * states])
    system[-1] = Fraction(1)
    for pivot in range(states):
        row = next(row for row in range(pivot, states) if system[row, pivot])
        system[[pivot, row]] = system[[row, pivot]]
        system[pivot] = system[pivot] / system[pivot, pivot]
        for other in range(states):
            if other != pivot:
                system[other] = system[other] - system[other, pivot] * system[pivot]
    return list(system[:, -1])
