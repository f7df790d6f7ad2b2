"""Claims about SGD on a whole layer of two heads after the previous-token map: rate 1/2, batches of 500.

*Divided* heads have positions in the first (a slope and a value matrix) and a dot product in the second (query, key and
value matrices, no slope); *free* heads have all of that each, so that either may become the induction head.  Where only
means of times count, batches are of 125.
"""

import math
from functools import cache

import numpy as np
from scipy import stats

from ...sims import induction_heads as sims
from ...sims.induction_heads.layer import OBSERVABLES
from ...theory.induction_heads import finite_context
from ...theory.induction_heads.population_loss import Task
from .. import judges
from ..claim import claim
from .paper import INDUCTION
from .timing import emerged, extrapolated, first, in_order, in_time

SEED, FRESH_SEED = 20_241_016, 20_261_121
SCALE, BATCH, SMALL_BATCH = 0.05, 500, 125
P, A01, V01, V10 = (OBSERVABLES.index(name) for name in ("p_1", "A01_2", "V01_1", "V10_2"))
FOUR_GRAM, P_2 = OBSERVABLES.index("four_gram_loss"), OBSERVABLES.index("p_2")


@claim("whole_layer", topic="induction_heads", paper=INDUCTION, where="Stage II", stance="derived",
       statement="SGD on matrices, positions in head 1, dot product in head 2: 4-gram first, six scalars at the end")
def whole_layer(effort):
    """Divided heads, random and small, N = 16, sigma = 0.05, alpha = 1, y = 0.3, up to t = 3000.

    The 4-gram's loss halves ten times before ``A_01`` passes y/2.  At the end ``V_1 = gamma (1+v) e_1 e_2'``, ``A_2 =
    y e_1 e_2'``, ``V_2 = c e_2 e_1'`` within 0.03 in every entry: ``v = e^{-p} = 0.02`` is left of head 1, and head 2
    makes up for it.
    """
    return _whole(effort)


@whole_layer.control("query and key of head 2 zero at the start: they move each other only")
def _(effort):
    start = sims.scalar_start(SCALE)
    start[1, 1:9] = 0.0
    return _whole(effort, start)


@whole_layer.control("a 4-gram of weight 0.05: it is learned after the induction head")
def _(effort):
    return _whole(effort, weight=0.05)


@claim("free_heads", topic="induction_heads", paper=INDUCTION, where="Stage II", stance="derived",
       statement="two heads with all weights each, random: 4-gram first; in most runs one is the induction head")
def free_heads(effort):
    """Up to the names of the heads: the one with the larger slope at the end is called 1.

    N = 8, up to t = 2500 in batches of 250, at full effort N = 16, up to 3000 in batches of 500.  In every run the
    4-gram's loss halves ten times before ``A_01`` of head 2 passes y/2.  A run counts as arrived where V_1, A_2 and V_2
    are those of ``whole_layer`` within 0.03 in every entry (A_1 is free: next to a large slope it hardly matters), and
    the share of them exceeds 1/2, by a one-sided binomial test with false alarm 1e-3.

    Not all arrive at N = 16: some heads match tokens and bring what came *before* (``A_00``, ``V_11``), which is the
    same to first order in y, and have stayed there for as long as was looked.
    """
    return _free(effort)


@free_heads.control("no names changed: the second head is the induction head in half of the runs only")
def _(effort):
    return _free(effort, renamed=False)


@free_heads.control("a 4-gram of weight 0.05: it is not learned first, or not at all")
def _(effort):
    return _free(effort, weight=0.05)


@free_heads.control("the head that brings what came before")
def _(effort):
    return _free(effort, forward=False)


@claim("separate_keys", topic="induction_heads", paper=INDUCTION, where="Stage II", stance="derived",
       statement="query and key as weights of their own, q k in place of w^2: the logarithm in T counts twice")
def separate_keys(effort):
    """Excess ``(T/(N T_0) - 1) N``, extrapolated from N = 6, 12, 24, is delta; T_0 and delta of the flow of q k.

    At full effort N = 12, 24, 48.  Error bars must resolve an eighth of delta.
    """
    return _separate(effort, True)


@separate_keys.control("the flow of w^2")
def _(effort):
    return _separate(effort, False)


@separate_keys.control("delta = 0")
def _(effort):
    return _separate(effort, True, 0.0)


@claim("whole_layer_delay", topic="induction_heads", paper=INDUCTION, where="Stage II", stance="derived",
       statement="with matrices in both (divided) heads emergence takes at least 1.25 times as long at N=8, 1.5 at 32")
def whole_layer_delay(effort):
    """Against the five weights of the scalars alone, from the same start: values then read keys as well as tokens.

    On the plateau the mean of the context can be read off either, and a value that reads keys drives the query away
    from them.  The factor grows with N, so that the time of emergence is not linear in L any more (up to N = 32; at
    full effort 64 and 254, where 1.75 and 2 are the least; no exponent is claimed).  The bounds were set on other runs
    and are judged on these, which have a seed of their own.
    """
    return _delayed(effort, "divided")


@whole_layer_delay.control("the five weights alone, with other draws")
def _(effort):
    return _delayed(effort, "scalars")


def _whole(effort, start=None, weight=1.0):
    task, last = Task(weight, 0.3, 18), 6000
    steps = np.unique(np.round(np.geomspace(1, last, 150)).astype(int))
    run = sims.simulate_layer(task, last, SCALE, start, "divided", 0.5, BATCH, steps, replicas=effort.choose(2, 64),
                              seed=SEED, **effort.engine)
    learned = first(0.5 * steps, run.mean[:, FOUR_GRAM] < 0.25 * task.four_gram**2)
    passed = first(0.5 * steps, run.mean[:, A01] > 0.5 * task.similarity)
    expected = np.zeros(run.mean.shape[1])
    expected[[A01, V10]] = task.similarity, task.induction
    expected[V01] = task.four_gram * (1.0 + math.exp(-run.mean[-1, P]))
    weights = [place for place, name in enumerate(OBSERVABLES) if name[0] in "AV"]
    return judges.every(order=in_order([learned, passed], 10.0, 0.5 * last, "4-gram and induction head"),
                        end=judges.equal(run.mean[-1, weights], expected[weights], atol=0.03,
                                         at={"of": np.array(OBSERVABLES)[weights]}))


def _free(effort, renamed=True, weight=1.0, forward=True):
    steps, runs = _freely(effort, weight)
    task = Task(weight, 0.3)
    early, arrived = [], []
    for run in runs:
        swapped = renamed and run[-1, P] < run[-1, P_2]
        heads = np.stack([run[:, P + 1:P_2], run[:, P_2 + 1:FOUR_GRAM]], axis=1)[:, ::-1 if swapped else 1]
        learned = first(0.5 * steps, run[:, FOUR_GRAM] < 0.25 * task.four_gram**2)
        passed = first(0.5 * steps, heads[:, 1, 1] > 0.5 * task.similarity)
        early.append(10.0 * learned / passed if learned < math.inf else math.inf)
        expected = np.zeros((2, 8))
        expected[0, 5] = task.four_gram * (1.0 + math.exp(-max(run[-1, P], run[-1, P_2])))
        expected[1, [1, 6] if forward else [0, 7]] = task.similarity, task.induction
        arrived.append((np.abs(heads[-1] - expected).ravel()[4:] <= 0.03).all())
    count = sum(arrived)
    least = stats.binomtest(count, len(arrived)).proportion_ci(0.998, "exact").low   # two-sided, 1e-3 below
    return judges.every(
        order=judges.inequality(early, 1.0, over="ten times the 4-gram's time over the head's"),
        share=judges.inequality(0.5, least, over=f"{count} of {len(arrived)} arrived; lower confidence limit"))


@cache
def _freely(effort, weight):
    """Steps and observables (R, T, 20) of independent runs."""
    keys, last, batch, runs = effort.choose((8, 5000, 250, 16), (16, 6000, 500, 64))
    steps = np.unique(np.round(np.geomspace(1, last, 100)).astype(int))
    made = sims.LayerDescent(Task(weight, 0.3, keys + 2), last, SCALE, None, "free", 0.5, batch, steps)
    return steps, made.sample(FRESH_SEED + 2, 0, runs)


def _separate(effort, separate, expected=None):
    keys = np.array(effort.choose([6, 12, 24], [12, 24, 48]))
    flow = Task(1.0, 0.3)
    base = finite_context.similarity_time(flow, SCALE, separate=separate)
    runs = [_emergence(effort, int(n), "scalars", effort.choose(840, 10_000) // int(n), SEED) for n in keys]
    excess = np.array([run.mean for run in runs]) / base - keys
    found = extrapolated(keys, excess, [run.stderr / base for run in runs], min(run.replicas for run in runs))
    if expected is None:
        expected = finite_context.emergence_delay(flow, SCALE, separate=separate)
    text = ", ".join(f"{value:.3f} at {n}" for value, n in zip(excess, keys))
    return judges.every(delay=judges.monte_carlo(found, expected, resolution=0.125 if expected else None,
                                                 over=f"excess {text}"), in_time=in_time(runs))


def _delayed(effort, heads):
    keys = effort.choose([8, 32], [8, 32, 64, 254])
    least, replicas = np.array([1.25, 1.5, 1.75, 2.0])[:len(keys)], effort.choose([8, 8], [64, 64, 64, 16])
    alone = [_emergence(effort, n, "scalars", count, FRESH_SEED) for n, count in zip(keys, replicas)]
    whole = [_emergence(effort, n, heads, count, FRESH_SEED + 1) for n, count in zip(keys, replicas)]
    times, slow = np.array([run.mean for run in alone]), np.array([run.mean for run in whole])
    error = np.hypot(least * [run.stderr for run in alone], [run.stderr for run in whole])
    return judges.every(
        delay=judges.inequality(least * times, slow, stderr=error, at={"N": np.array(keys)},
                                over="ratios " + ", ".join(f"{ratio:.3f}" for ratio in slow / times)),
        in_time=in_time(alone + whole))


@cache
def _emergence(effort, keys, heads, replicas, seed):
    steps = 400 * keys if keys <= 32 else 600 * keys
    descent = sims.LayerDescent(Task(1.0, 0.3, keys + 2), steps, SCALE, sims.scalar_start(SCALE), heads, 0.5,
                                SMALL_BATCH)
    # lengths are compared: each has draws of its own
    return emerged(descent, replicas=replicas, seed=seed + 2 * keys, **effort.engine)
