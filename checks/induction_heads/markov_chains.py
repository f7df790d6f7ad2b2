"""Claims about Markov chains in context: the heights of the plateaus, and a model that leaves one for another."""

import math
from functools import cache

import numpy as np

from ...sims import induction_heads as sims
from ...theory import learning_rates
from ...theory.induction_heads.markov_chains import HEIGHTS, exact_heights, frequency_signal
from .. import judges
from ..claim import claim
from .paper import MARKOV

SEED, PLATEAU_SEED = 20_240_217, 20_261_121
STATES = 3
LOSS, UNIGRAM, EXCESS, PREVIOUS, MATCHING = (sims.markov_chains.OBSERVABLES.index(name) for name in (
    "loss", "unigram", "excess", "previous", "matching"))
REST, BAND = 5.0, 0.15
"""A plateau: no run leaves the band about its height while the steps grow by this factor, or a larger one."""
SHORT = 10
"""Length of the chains whose escape is timed: all 3^10 of them can be summed over."""


@claim("markov_heights", topic="induction_heads", paper=MARKOV, where="setting", stance="derived",
       statement="cost of the uniform, unigram and bigram rule and of knowing the chain: sums over all k^T sequences")
def markov_heights(effort):
    """Sampled chains against the sums for (k, T) = (2, 10), (3, 7); the order of the four costs at T = 32, 100."""
    parts = {f"k = {k}, T = {length}": judges.monte_carlo(_heights(effort, k, length), exact_heights(k, length),
                                                          resolution=0.01, at={"of": np.array(HEIGHTS)})
             for k, length in ((2, 10), (3, 7))}
    long = [_heights(effort, 3, length) for length in (32, 100)]
    mean, error = np.array([run.mean for run in long]), np.array([run.stderr for run in long])
    order = judges.inequality(mean[:, 1:], mean[:, :-1], stderr=np.hypot(error[:, 1:], error[:, :-1]),
                              over="; ".join(", ".join(f"{name} {value:.4f}" for name, value in zip(HEIGHTS, row))
                                             for row in mean))
    return judges.every(**parts, order=order)


@markov_heights.control("rules that add 1/2 to every count in the sums")
def _(effort):
    return judges.monte_carlo(_heights(effort, 3, 7), exact_heights(3, 7, 0.5), resolution=0.01)


@claim("bigram_rule_is_best", topic="induction_heads", paper=MARKOV, where="setting", stance="derived",
       statement="adding 1 to every count of moves predicts better than adding another constant, or than visits do")
def bigram_rule_is_best(effort):
    """Exact sums at (k, T) = (2, 8), (3, 6) against 0.25, 0.5, 0.9, 1.1, 2 and 4, and the unigram rule with each."""
    return _best(1.0)


@bigram_rule_is_best.control("adding 1/2")
def _(effort):
    return _best(0.5)


@claim("markov_plateaus", topic="induction_heads", paper=MARKOV, where="phases of learning", stance="derived",
       statement="two layers of attention rest at the unigram height, 5-fold in steps, then fall near the bigram one")
def markov_plateaus(effort):
    """SGD on all weights but embedding and values, 64 fresh chains a step, tested on fresh chains at about 30 steps.

    2000 steps at T = 16, two runs, at full effort 3000 at T = 64, six.  Runs leave the rest at 300 to 700 steps: in
    1200 steps in all (so long the controls are run), three in four come down before the rate does.

    *Rest*: between two tests a factor of 5 or more apart in steps, in every run, the excess over the bigram rule in
    units of unigram - bigram stays within 0.15 of 1.  *Drop*: later it falls below 1/4 in every run, and is never below
    0.  Band, factor and 1/4 are set, and judged on seeds of their own; most of what is left at the end is due to the
    output: logits that are linear in frequencies are no log-frequencies.  At the end the first layer puts 0.7 of its
    weight on the token before, the second 0.8 on what followed the twins of the last token.
    """
    return _plateau(_training(effort, "learned"))


@markov_plateaus.control("a single layer of attention: it rests for good")
def _(effort):
    return _plateau(_training(effort, "none"))


@markov_plateaus.control("a first layer that cannot tell the token before from the rest of the past")
def _(effort):
    return _plateau(_training(effort, "flat"))


@markov_plateaus.control("the same start and end, joined by a line straight in the logarithm of the steps")
def _(effort):
    return _plateau(_training(effort, "learned"), path=lambda step: np.log(step / step[0]) / np.log(step[-1] / step[0]))


@markov_plateaus.control("the same start and end, joined by a line straight in the steps")
def _(effort):
    return _plateau(_training(effort, "learned"), path=lambda step: (step - step[0]) / (step[-1] - step[0]))


@claim("markov_uniform", topic="induction_heads", paper=MARKOV, where="phases of learning", stance="derived",
       statement="uniform height: left after log(1/sigma)/log(1 + rate g) + O(1) steps if value and output are learned")
def markov_uniform(effort):
    """So it is a plateau only where two small matrices wait for each other; with values fixed there is none (control).

    Steps until the cost of SGD, 256 chains of T = 10 a step at rate 1, is half-way from the uniform to the unigram
    height, from sigma = 1e-2 and 1e-4; their difference over ``log(100)/log(1 + g)``, for every run, with g from all
    3^10 sequences.  10% is set, three times what batches and tests (500 chains) move a run's difference by.
    """
    return _escape(effort, "learned", 1.0)


@markov_uniform.control("values fixed at the identity: it is left in a dozen steps whatever sigma, no uniform plateau")
def _(effort):
    return _escape(effort, "fixed", 1.0)


@markov_uniform.control("growth at 2 g, the rate of the product, for each of the two matrices")
def _(effort):
    return _escape(effort, "learned", 2.0)


def _best(prior):
    others = [0.25, 0.5, 0.9, 1.1, 2.0, 4.0] + [1.0] * (prior != 1.0)
    own = np.array([exact_heights(k, length, prior)[2] for k, length in ((2, 8), (3, 6))])
    rest = np.array([[exact_heights(k, length, other)[1:3] for k, length in ((2, 8), (3, 6))] for other in others])
    return judges.inequality(own[:, None], rest, at={"added": np.array(others)[:, None, None]})


def _plateau(run, path=None):
    """The judge of rest and drop, for the run, or for the line between its ends that goes by `path` from 0 to 1."""
    step, low, high = run.coordinates["step"], run.minimum[:, EXCESS], run.maximum[:, EXCESS]
    if path is not None:
        low = high = run.mean[0, EXCESS] + (run.mean[-1, EXCESS] - run.mean[0, EXCESS]) * path(step)
    begin, end = longest_rest(step, (low >= 1.0 - BAND) & (high <= 1.0 + BAND))
    after = high[step >= end]
    parts = {
        "rest": judges.inequality(REST, end / begin, over=f"within {BAND} of the unigram height from step {begin:.0f} "
                                  f"to {end:.0f}, {end / begin:.1f}-fold"),
        "drop": judges.inequality(after[-1], 0.25, over="largest excess at the end"),
        "bayes": judges.inequality(0.0, low, over="excess over the bigram rule")}
    if path is None:
        parts["looks"] = judges.inequality([0.7, 0.8], run.minimum[-1, [PREVIOUS, MATCHING]],
                                           over="weight on the token before, on matches")
    return judges.every(**parts)


def longest_rest(step, inside):
    """First and last step of the stretch of tests inside a band that lasts longest, as a ratio; (1, 1) if none is."""
    best, begin = (1.0, 1.0), None
    for now, held in zip(step, inside):
        begin = (now if begin is None else begin) if held else None
        if held and now / begin > best[1] / best[0]:
            best = (float(begin), float(now))
    return best


def _escape(effort, values, factor):
    scales = (1e-2, 1e-4)
    times = np.stack([_left(effort, values, scale) for scale in scales], axis=-1)
    waiting = math.log(scales[0] / scales[1]) / math.log1p(factor * _signal())
    return judges.equal((times[:, 1] - times[:, 0]) / waiting, 1.0, rtol=0.1, at={"run": np.arange(len(times))},
                        over=f"steps {times.round(1).tolist()}; predicted {waiting:.1f} more")


@cache
def _signal():
    return frequency_signal(STATES, SHORT)


@cache
def _left(effort, values, scale):
    """Steps, of every run, until the cost is half-way from the uniform to the unigram height; inf if it never is."""
    longest = 1.2 * (math.log(1.0 / scale) + 2.0) / math.log1p(_signal())
    steps = np.arange(0, longest if values == "learned" else 60, 4).astype(int)
    made = sims.ChainTraining(STATES, SHORT, learning_rates.constant(int(steps[-1]), 1.0), scale, 256, times=steps,
                              tests=500, values=values)
    found = []
    for run in made.sample(SEED, 0, effort.choose(2, 16)):
        above = run[:, LOSS] - 0.5 * (math.log(STATES) + run[:, UNIGRAM].mean())
        first = int(np.argmax(above < 0)) if (above < 0).any() else 0
        found.append(math.inf if not first else
                     float(np.interp(0.0, [-above[first - 1], -above[first]], steps[[first - 1, first]])))
    return np.array(found)


@cache
def _heights(effort, states, length):
    return sims.simulate_heights(states, length, 1000, replicas=effort.choose(110, 4000), seed=SEED, **effort.engine)


@cache
def _training(effort, first_layer):
    length, steps = effort.choose((16, 2000 if first_layer == "learned" else 1200), (64, 3000))
    times = np.unique(np.round(np.geomspace(1, steps, 30))).astype(int)
    return sims.simulate_chains(STATES, length, steps, first_layer=first_layer, times=times,
                                tests=effort.choose(1000, 4000), replicas=effort.choose(2, 6), seed=PLATEAU_SEED,
                                **effort.engine)
