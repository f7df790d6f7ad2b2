"""Claims about Markov chains in context: the heights of the plateaus, and a model that leaves one for another."""

from functools import cache

import numpy as np

from ...sims import induction_heads as sims
from ...theory.induction_heads.markov_chains import HEIGHTS, exact_heights
from .. import judges
from ..claim import claim
from .paper import MARKOV

SEED = 20_240_217
STATES = 3
EXCESS, PREVIOUS, MATCHING = (sims.markov_chains.OBSERVABLES.index(name) for name in ("excess", "previous", "matching"))


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
       statement="two layers of attention rest near the unigram height, then come near the bigram one; k = 3")
def markov_plateaus(effort):
    """SGD on all weights but embedding and values, 64 fresh chains a step; every run, tested on 4000 chains of its own.

    1200 steps at T = 32, at full effort 3000 at T = 100.

    The excess over the bigram rule, in units of unigram - bigram, is within 1/4 of 1 at step 400 and below 1/4 at the
    end (both set), and never below 0.  Most of what is left at the end is due to the output: logits that are linear in
    frequencies are no log-frequencies, the best weight on matches and scale leave 0.09.  At the end the first layer
    puts 0.8 of its weight on the token before, the second 0.85 on what followed the twins of the last token.
    """
    run = _training(effort, "learned")
    before = int(np.argmax(run.coordinates["step"] == 400))
    low, high = run.minimum[:, EXCESS], run.maximum[:, EXCESS]
    return judges.every(
        rest=judges.inequality([0.75, high[before]], [low[before], 1.25], over="excess at step 400"),
        reach=_reached(run), bayes=judges.inequality(0.0, low, over="excess over the bigram rule"),
        looks=judges.inequality([0.8, 0.85], run.minimum[-1, [PREVIOUS, MATCHING]],
                                over="weight on the token before, on matches"))


@markov_plateaus.control("a single layer of attention")
def _(effort):
    return _reached(_training(effort, "none"))


@markov_plateaus.control("a first layer that cannot tell the token before from the rest of the past")
def _(effort):
    return _reached(_training(effort, "flat"))


def _best(prior):
    others = [0.25, 0.5, 0.9, 1.1, 2.0, 4.0] + [1.0] * (prior != 1.0)
    own = np.array([exact_heights(k, length, prior)[2] for k, length in ((2, 8), (3, 6))])
    rest = np.array([[exact_heights(k, length, other)[1:3] for k, length in ((2, 8), (3, 6))] for other in others])
    return judges.inequality(own[:, None], rest, at={"added": np.array(others)[:, None, None]})


def _reached(run):
    return judges.inequality(run.maximum[-1, EXCESS], 0.25,
                             over=f"largest excess at the end; weight on matches {run.mean[-1, MATCHING]:.3f}")


@cache
def _heights(effort, states, length):
    return sims.simulate_heights(states, length, 1000, replicas=effort.choose(160, 4000), seed=SEED, **effort.engine)


@cache
def _training(effort, first_layer):
    length, steps = effort.choose((32, 1200), (100, 3000))
    return sims.simulate_chains(STATES, length, steps, first_layer=first_layer, times=[0, 400, steps], tests=4000,
                                replicas=effort.choose(2, 8), seed=SEED, **effort.engine)
