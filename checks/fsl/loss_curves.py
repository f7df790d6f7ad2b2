"""Whether the practical law of loss curves follows from the theory it abbreviates, and predicts schedules unseen.

The "measured" curves are exact: the expected loss ``sigma^2/2 + excess risk`` of SGD by the second-moment recursion
(:mod:`theorycheck.theory.fsl.recursion`), on schedules of equal length and peak.  Nothing is sampled, so what a fit
misses is the law's own error.

How the speed of forgetting depends on the level a rate falls to is measured on sudden drops, not by a fit of the
multi-power law: on these curves its estimate of gamma' sits at its bound 0 and, freed, at -1.9 to -2.8; and still does
when speeds with gamma' = 0.5 are put in.  The law's own misfit (``noise_convex_in_rate`` is part of it) outweighs them.
"""

import dataclasses
import functools
import math

import numpy as np

from ...sims.loss_curves import LossCurve
from ...theory import learning_rates as lr
from ...theory.fsl import loss_curve_laws as laws
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.recursion import exact_risk
from .. import judges
from ..claim import claim
from . import loss_curve_fit as fits
from . import loss_curve_flags as flags
from .paper import FSL, MULTI_POWER_LAW

STEPS, PEAK, ROW = 10_000, 0.1, 50
"""Length, peak rate and steps between rows of the exact runs."""

QUICK = ((0.5, 1.5), (0.5, 2.0), (0.5, 4.0))
FULL = (*QUICK, (0.5, 3.0), (0.3, 2.0), (0.4, 2.0))
"""(source, capacity) of the problems; noise 1, infinite width."""

THREE = ("constant", "cosine", "two-stage")
"""Runs that together determine the law."""

UNSEEN = ("wsd", "linear", "cyclic", "8-1-1")

TRANSFER = 0.99
"""R2 of a predicted curve below which it is not called predicted."""

FORGETTING = 0.25
"""Relative margin of c5: halving or doubling the steps between rows moves the fitted value by up to this much."""

DROP_TIME = 500.0
"""Intrinsic time (rate x steps) of training before a drop of the rate."""

LEVELS = (0.8, 0.4, 0.2, 0.1, 0.05)
"""Rates fallen to, relative to the one before."""

RATES = (PEAK, PEAK / 5)
"""Rates before the drop."""

FORGOTTEN = (0.5, 0.7)
"""Shares of the response at the end whose times are compared; later ones respond little to the speed."""

LEVEL_MARGIN = 0.5
"""Largest exponent of the level, over the rate: an effect of first order in the rate is no property of SGD's clock."""

CONVEXITY = 0.5
"""Least c in 1 + c rate, the response per unit of a drop by 20% over that of one by 95%."""


def schedules():
    """The schedules by name, from PEAK to a tenth of it (8-1-1: factors 10^-1/2; two-stage: to 0.3 PEAK half-way)."""
    two = np.full(STEPS, PEAK)
    two[STEPS // 2:] *= 0.3
    return {
        "constant": lr.constant(STEPS, PEAK), "cosine": lr.cosine(STEPS, PEAK, PEAK / 10),
        "two-stage": lr.from_array(two, "two-stage"), "wsd": lr.wsd(STEPS, PEAK, cooldown=0.2, final=PEAK / 10),
        "linear": lr.linear(STEPS, PEAK, PEAK / 10), "cyclic": lr.cyclic(STEPS, PEAK, PEAK / 10),
        "8-1-1": lr.multi_step(STEPS, PEAK),
    }


@functools.lru_cache(maxsize=64)
def exact_curve(source, capacity, name):
    """One exact run as a log would show it: a :class:`LossCurve` with a row every ROW steps."""
    schedule = schedules()[name]
    problem = PowerLawRegression(source=source, capacity=capacity, width=math.inf, noise=1.0)
    steps = np.arange(ROW, STEPS + 1, ROW)
    risk = exact_risk(problem, schedule, times=steps).excess_risk
    return LossCurve(name, steps, schedule.rates[steps - 1], problem.noise**2 / 2 + risk)


@functools.lru_cache(maxsize=64)
def fitted(source, capacity, names, law="fsl"):
    """A law fitted to exact runs (no warm-up)."""
    return fits.fit([exact_curve(source, capacity, name) for name in names], law, warmup=0)


def transfer(fit, problem, names):
    """R2 of the predicted exact runs, shape (len(names),)."""
    curves = [exact_curve(*problem, name) for name in names]
    return np.array([fits.score(fits.predict(fit, curve), curve.losses).r2 for curve in curves])


def _transferred(effort, names, training, predict):
    problems = effort.choose(QUICK, FULL)
    r2 = np.array([transfer(predict(problem, training), problem, names) for problem in problems])
    where = {"problem": np.array([f"s={s}, beta={b}" for s, b in problems])[:, None], "schedule": np.array(names)}
    return judges.inequality(1 - r2, 1 - TRANSFER, at=where, over=f"1 - R2, fitted to {', '.join(training)}")


def _law(name):
    return lambda problem, training: fitted(*problem, training, name)


@claim("practical_law_transfer", topic="fsl", paper=FSL, where="App. B.2, eq. (30); on exact SGD", stance="derived",
       statement="the practical law fitted to constant, cosine and two-stage runs predicts other schedules, R2 >= 0.99")
def practical_law_transfer(effort):
    return _transferred(effort, UNSEEN, THREE, _law("fsl"))


@practical_law_transfer.control("a power law of the intrinsic time alone, blind to annealing")
def _(effort):
    return _transferred(effort, UNSEEN, THREE, _law("blind"))


@practical_law_transfer.control("rises of the rate clipped: noise never comes back")
def _(effort):
    def clipped(problem, training):
        fit = fitted(*problem, training)
        basis = fit.law.basis

        def falling(annealing, values):
            return basis(dataclasses.replace(annealing, drops=np.maximum(annealing.drops, 0.0)), values)

        return dataclasses.replace(fit, law=dataclasses.replace(fit.law, basis=falling))

    return _transferred(effort, UNSEEN, THREE, clipped)


@claim("practical_law_from_8_1_1", topic="fsl", paper=FSL, where="App. B.2, eq. (30); on exact SGD", stance="derived",
       statement="fitted to one 8-1-1 run, with c_2 T(i)^-s dropped, the practical law predicts cosine and WSD: "
                 "R2 >= 0.99")
def practical_law_from_8_1_1(effort):
    return _transferred(effort, ("cosine", "wsd"), ("8-1-1",), _law("fsl"))


@practical_law_from_8_1_1.control("all seven parameters free: an 8-1-1 run does not tell c_3 from T(i)^-s")
def _(effort):
    return _transferred(effort, ("cosine", "wsd"), ("8-1-1",),
                        lambda problem, training: fits.refit(fitted(*problem, training), laws.LAWS["fsl"]))


@practical_law_from_8_1_1.control("a power law of the intrinsic time alone, blind to annealing")
def _(effort):
    return _transferred(effort, ("cosine", "wsd"), ("8-1-1",), _law("blind"))


@claim("multi_power_law_transfer", topic="fsl", paper=MULTI_POWER_LAW, where="eq. (1); on exact SGD", stance="derived",
       statement="the multi-power law fitted to constant, cosine and two-stage runs predicts other schedules: "
                 "R2 >= 0.99")
def multi_power_law_transfer(effort):
    return _transferred(effort, UNSEEN, THREE, _law("mpl"))


@multi_power_law_transfer.control("a power law of the intrinsic time alone, blind to annealing")
def _(effort):
    return _transferred(effort, UNSEEN, THREE, _law("blind"))


def _exponents(effort, training, shift=0.0):
    problems = effort.choose(QUICK, FULL)
    found = np.array([fitted(*problem, training).parameters["c5"] for problem in problems])
    expected = np.array([1 - 1 / capacity + shift for _, capacity in problems])
    return judges.equal(found, expected, rtol=FORGETTING, at={"beta": np.array([b for _, b in problems])},
                        over="exact runs, a row every 50 steps")


@claim("forgetting_exponent", topic="fsl", paper=FSL, where="App. B.2, eq. (30) against Sec. 4", stance="derived",
       statement="c_5 = 1 - 1/beta (within 25%) where constant, cosine and two-stage runs determine it")
def forgetting_exponent(effort):
    return _exponents(effort, THREE)


@forgetting_exponent.control("fitted to 8-1-1 alone: c_4 and c_5 trade off, c_5 comes out 1.4 to 2.2 times too large")
def _(effort):
    return _exponents(effort, ("8-1-1",))


@forgetting_exponent.control("the exponent of the kernel itself, 2 - 1/beta")
def _(effort):
    return _exponents(effort, THREE, shift=1.0)


@functools.lru_cache(maxsize=64)
def drop_responses(source, capacity, peak):
    """Loss that SGD is below the constant rate `peak` after a drop at intrinsic time DROP_TIME, over the drop.

    Returns
    -------
    tuple of (ndarray, ndarray)
        For each level of LEVELS: intrinsic time since the drop, up to a fifth of DROP_TIME, and the response.
    """
    problem = PowerLawRegression(source=source, capacity=capacity, width=math.inf, noise=1.0)
    before, after = round(DROP_TIME / peak), DROP_TIME / 5 / peak
    kept = np.arange(round(after) + 1)
    constant = exact_risk(problem, lr.constant(before + kept[-1], peak), times=before + kept).excess_risk
    responses = []
    for level in LEVELS:
        count = round(after / level)
        rates = np.concatenate([np.full(before, peak), np.full(count, peak * level)])
        steps = np.unique(np.round(np.append(np.arange(min(count, 200)), np.geomspace(1, count, 300))).astype(int))
        risk = exact_risk(problem, lr.from_array(rates, "drop"), times=before + steps).excess_risk
        since = steps * peak * level
        responses.append((since, (np.interp(since, kept * peak, constant) - risk) / (1 - level)))
    return tuple(responses)


def multi_power_responses(capacity, level_exponent):
    """The same by the multi-power law with beta' = 1 - 1/capacity, C' = 1 per unit of intrinsic time."""
    since = np.append(0.0, np.geomspace(1e-3, DROP_TIME / 5, 400))
    return tuple((since, laws.decay_sum(since, np.zeros(1), np.ones((1, 1)), np.array([level**-level_exponent]),
                                        1 - 1 / capacity)[:, 0]) for level in LEVELS)


def _level_exponents(effort, responses_of):
    problems = effort.choose(QUICK, FULL)
    found = np.empty((len(problems), len(RATES), len(FORGOTTEN)))
    for place in np.ndindex(found.shape):
        problem, rate, share = problems[place[0]], RATES[place[1]], FORGOTTEN[place[2]]
        times = [np.interp(share * seen[-1], seen, since) for since, seen in responses_of(problem, rate)]
        found[place] = np.polyfit(np.log(LEVELS), np.log(times), 1)[0]
    return judges.every(*[
        judges.equal(found[:, i], 0.0, atol=LEVEL_MARGIN * rate,
                     at={"beta": np.array([b for _, b in problems])[:, None], "forgotten": np.array(FORGOTTEN)},
                     over=f"d log(time)/d log(level) at rate {rate}") for i, rate in enumerate(RATES)])


@claim("level_independent_forgetting", topic="fsl", paper=MULTI_POWER_LAW, where="eq. (1) against FSL eq. (7)",
       stance="derived",
       statement="whatever level the rate falls to, SGD forgets half (70%) of the noise after the same intrinsic time: "
                 "time ~ level^gamma', |gamma'| <= eta/2 at eta = 0.1 and 0.02")
def level_independent_forgetting(effort):
    return _level_exponents(effort, lambda problem, rate: drop_responses(*problem, rate))


@level_independent_forgetting.control("the multi-power law with gamma' = 0.5, as fitted to language models")
def _(effort):
    return _level_exponents(effort, lambda problem, _: multi_power_responses(problem[1], 0.5))


@level_independent_forgetting.control("the multi-power law with gamma' = 0.1")
def _(effort):
    return _level_exponents(effort, lambda problem, _: multi_power_responses(problem[1], 0.1))


@level_independent_forgetting.control("the multi-power law with gamma' = -0.1")
def _(effort):
    return _level_exponents(effort, lambda problem, _: multi_power_responses(problem[1], -0.1))


def _releases(effort, responses_of):
    problems = effort.choose(QUICK, FULL)
    ends = np.array([[[seen[-1] for _, seen in responses_of(problem, rate)] for rate in RATES]
                     for problem in problems])
    excess = (ends[..., 0] / ends[..., -1] - 1) / np.array(RATES)
    at = {"beta": np.array([b for _, b in problems])}
    return judges.every(
        judges.inequality(CONVEXITY, excess.min(axis=1), at=at, over="c"),
        judges.equal(excess[:, 1], excess[:, 0], rtol=0.5, at=at, over="c at rate 0.02 against 0.1"))


@claim("noise_convex_in_rate", topic="fsl", paper=FSL, where="App. B.2, eq. (30) against the exact recursion",
       stance="derived",
       statement="the law's sum is linear in the drops; in SGD a drop by 20% releases more per unit than one by 95%, "
                 "by a fraction c eta, c >= 0.5: noise is convex in the rate")
def noise_convex_in_rate(effort):
    return _releases(effort, lambda problem, rate: drop_responses(*problem, rate))


@noise_convex_in_rate.control("the functional law, linear in the rate")
def _(effort):
    return _releases(effort, lambda problem, _: multi_power_responses(problem[1], 0.0))


def _spread(effort, training):
    problems = effort.choose(QUICK[:2], FULL)
    ratios = []
    for problem in problems:
        fit = fitted(*problem, training)
        found = flags.identification(fit, fits.bootstrap(fit, resamples=effort.choose(6, 100)))
        ratios.append(max(found.disagreement.values()) / fit.rms)
    return judges.inequality(1 / np.array(ratios), 1 / flags.DISAGREEMENT[2],
                             at={"beta": np.array([b for _, b in problems])},
                             over="rms misfit over spread of predictions")


@claim("cosine_alone", topic="fsl", paper=FSL, where="App. B.2, eq. (30)", stance="derived",
       statement="one cosine run does not determine the law: equally good fits differ elsewhere by 15 times their "
                 "misfit")
def cosine_alone(effort):
    return _spread(effort, ("cosine",))


@cosine_alone.control("constant, cosine and two-stage runs together, which do")
def _(effort):
    return _spread(effort, THREE)


def _middle_term(steps, rates, exponent, speed, source, clip=False, boundary=True):
    """The law's sum at the last step, and what the identity says it is, for noise level = rate.

    `source` is the pair of functions q and q' of the intrinsic time; K is normalised so that G(infinity) = 1.
    """
    # in the units of the law: noise levels of rates[0], times of rates[0] x 1000 steps
    annealing = laws.annealing(steps, rates, warmup=0)
    drops = np.maximum(annealing.drops, 0.0) if clip else annealing.drops
    end = annealing.times[-1]
    weights = (drops * source[0](annealing.change_times))[:, None]
    law = -laws.decay_sum(np.array([end]), annealing.change_times, weights, np.full(drops.size, speed), exponent)[0, 0]

    nodes, shares = np.polynomial.legendre.leggauss(6)
    inside, width = (nodes + 1) / 2, np.diff(steps)[:, None] / laws.STEPS_PER_UNIT
    level = (rates[:-1, None] + np.diff(rates)[:, None] * inside) / rates[0]
    time = annealing.times[:-1, None] + width * inside * (rates[:-1, None] / rates[0] + level) / 2
    measure = level * width * shares / 2
    settled = -np.expm1(-exponent * np.log1p(speed * (end - time)))
    kernel = exponent * speed * (1 + speed * (end - time)) ** (-1 - exponent)
    noise = np.sum(kernel * source[0](time) * level * measure)
    drift = np.sum(settled * level * source[1](time) * measure)
    begin = source[0](0.0) * -math.expm1(-exponent * math.log1p(speed * end))
    return law, noise - drift - (begin if boundary else 0.0)


def _by_parts(clip=False, boundary=True):
    steps = np.arange(0.0, 4001.0)
    shapes = {"cosine": 0.055 + 0.045 * np.cos(np.pi * steps / 4000), "cyclic": 0.06 + 0.04 * np.cos(steps / 250),
              "wsd": np.interp(steps, [0, 3000, 4000], [0.1, 0.1, 0.005])}
    sums, rests = [], []
    for rates in shapes.values():
        for exponent, s in ((0.5, 0.5), (0.75, 0.3), (1 / 3, 1.2)):
            source = (lambda t, s=s: 1 + (1 + t) ** -s, lambda t, s=s: -s * (1 + t) ** (-1 - s))
            law, rest = _middle_term(steps, rates, exponent, 2.0, source, clip, boundary)
            sums.append(law)
            rests.append(rest)
    return judges.equal(np.array(sums), np.array(rests), rtol=1e-6, over="cosine, cyclic, wsd; three exponents")


@claim("decay_sum_by_parts", topic="fsl", paper=FSL, where="App. B.2, eq. (30) from Sec. 4", stance="derived",
       statement="the sum over rate differences is int K q gamma - q(0) gamma(0) G(t) - int G gamma q', G = int K")
def decay_sum_by_parts(effort):
    return _by_parts()


@decay_sum_by_parts.control("rises of the rate clipped to 0")
def _(effort):
    return _by_parts(clip=True)


@decay_sum_by_parts.control("the boundary term left out")
def _(effort):
    return _by_parts(boundary=False)
