"""Claims: Theorems 4.2 to 4.6 as bounded ratios, where they stop, and what their constants depend on.

The exact risk is that of the SDE in continuous time.  Each theorem becomes the ratio of it to the printed right-hand
side over times from 0 to 1000 M^beta, widths 100, 1000 and 10 000, and five schedules (constant, cut off at 0.3 M^beta
and at 3 M^beta, WSD, cyclic), peak gamma = 0.3.  Three things are judged:

- the ratio stays within a factor (max/min);
- its extremes move with the width by at most DRIFT, in either direction, where the constants are uniform in sigma;
- at a fixed t < 10 or t/M^beta > 0.03 it changes by at most CHANGE from the smallest width to the largest, where all
  terms of the law are of the same order in M: for sigma = 0 and s <= 2-1/beta, and for s = 1-1/beta.  (Elsewhere one
  term overtakes another, and the ratio moves from the constant of the one to that of the other.)

A relative correction M^-(beta-1) is the largest that is expected, 0.1 for the smallest beta and M; two of them in a
product give the bounds.  An exponent of M that is wrong by log(1.2)/log(100) = 0.04 is seen, that is 0.02 in s or in
the kernel's exponent for beta = 2.

What cannot be seen: for s < 2-1/beta the term int K e gamma is at most of the order of e_M, so a law without it obeys
the same inequalities with other constants, and no ratio that may be anything between constants speaks for that term.
:func:`theorem_4_5_beyond` is the place where it rules.

The SDE is linear in sigma^2: two runs, at sigma = 0 and at a noise that drowns the signal, give every sigma.
"""

import math
from dataclasses import replace
from functools import cache

import numpy as np

from ...theory.fsl.continuous import NoiseProfile, sde_risk
from ...theory.fsl.continuous_law import continuous_law
from ...theory.fsl.problem import PowerLawRegression
from .. import judges
from ..claim import claim
from .paper import FSL

GAMMA = 0.3
WIDTHS = (100, 1000, 10_000)
LATEST = 1e3
EARLY, SCALED = 10.0, 0.03
"""Times below EARLY are the same for all widths, those above SCALED M^beta are multiples of M^beta."""
LOUD = 1e8
"""A label noise that leaves nothing of the signal."""
SCHEDULES = ("constant", "cut", "late cut", "WSD", "cyclic")
SPREAD, DRIFT, CHANGE = 20.0, 1.25, 1.2
HARD = ((0.3, 2.0), (0.5, 4.0))
BALANCED = ((0.5, 2.0), (2.0 / 3.0, 3.0))
"""s = 1-1/beta: signal, forgotten noise and approximation error are all of order M^-(beta-1)."""
EASY = ((1.0, 2.0), (1.5, 2.0), (1.0, 1.5))
UNIFORM = (HARD[0], BALANCED[0], *EASY)


@claim("theorem_4_2", topic="fsl", paper=FSL, where="Thm 4.2", stance="stated",
       statement="s <= 1-1/beta, fixed sigma, all t: E ~ M^(-s beta) + e(t) + int K(t-z) [e(z)+sigma^2] gamma(z) dz")
def theorem_4_2(effort):
    """Power-law e and K as printed, sigma = 0, 1 and 10 each on its own; the last HARD pair is the paper's.

    Max/min up to 50: the power law remembers noise that the model forgot, the more so the larger sigma.  No noise of
    the target in the integral is seen here, see the module.
    """
    return _power_law(HARD + BALANCED)


@theorem_4_2.control("an easy task, s = 1.5, beta = 2: the true noise is forgotten faster than any power beyond M^beta")
def _(effort):
    return _power_law(((1.5, 2.0),))


@theorem_4_2.control("without the approximation error M^(-s beta)")
def _(effort):
    return _power_law(HARD + BALANCED, approximation=0.0)


@theorem_4_2.control("signal exponent 1.1 s")
def _(effort):
    return _power_law(BALANCED, wrong=(1.1, 0.0))


@theorem_4_2.control("signal exponent 0.9 s")
def _(effort):
    return _power_law(BALANCED, wrong=(0.9, 0.0))


@theorem_4_2.control("kernel exponent 2 - 1/beta + 0.1")
def _(effort):
    return _power_law(BALANCED, wrong=(1.0, 0.1))


@theorem_4_2.control("kernel exponent 2 - 1/beta - 0.1")
def _(effort):
    return _power_law(BALANCED, wrong=(1.0, -0.1))


@claim("theorem_4_2_uniformity", topic="fsl", paper=FSL, where="Thm 4.2", stance="derived",
       statement="the constants of Thm 4.2 cannot be uniform in sigma: for s <= 1-1/beta its lower one is ~ sigma^(-2)")
def theorem_4_2_uniformity(effort):
    """Noise cut off at 3 M^beta, seen at 1000 M^beta: the power law remembers what the model has long forgotten."""
    return judges.every(**{f"s={s:.3g} beta={beta:g} M={width}": _noise_exponent(s, beta, width, LATEST)
                           for s, beta in ((1.0 / 3.0, 1.5), *HARD, *BALANCED) for width in WIDTHS})


@theorem_4_2_uniformity.control("up to M^beta, where Thm 4.3 promises uniform constants")
def _(effort):
    return _noise_exponent(0.5, 2.0, 100, 1.0)


@theorem_4_2_uniformity.control("F_M in place of the power laws")
def _(effort):
    return _noise_exponent(0.5, 2.0, 100, LATEST, kernel="modes")


@claim("theorem_4_3_early", topic="fsl", paper=FSL, where="Thm 4.3 (10)", stance="stated",
       statement="any s, uniformly in sigma, 0 <= t <= c M^beta: E ~ M^(-s beta) + F_inf(t)")
def theorem_4_3_early(effort):
    """c = 1; noise from 0 to 100.  Says nothing of the noise of the target in F_inf, see the module."""
    return _sweep(UNIFORM, (0.0, 1.0, 100.0), limit="infinite", latest=1.0)


@theorem_4_3_early.control("for all t (to 1000 M^beta): the bound stops at c M^beta for easy tasks")
def _(effort):
    return _sweep(((1.5, 2.0),), (1.0,), limit="infinite")


@claim("theorem_4_3_late", topic="fsl", paper=FSL, where="Thm 4.3 (11)", stance="stated",
       statement="any s, uniformly in sigma, t >= c M^beta: M^(-s beta) + F_M <~ E <~ M^(-s beta) + F_inf")
def theorem_4_3_late(effort):
    """Constants 1/20 and 2 for every width, schedule and noise."""
    return judges.every(lower=_one_sided("width", lower=True), upper=_one_sided("infinite", lower=False))


@theorem_4_3_late.control("F_inf as the lower bound as well")
def _(effort):
    return _one_sided("infinite", lower=True)


@theorem_4_3_late.control("the upper bound without the gradient noise, M^(-s beta) + e_inf")
def _(effort):
    return _one_sided("infinite", lower=False, noisy=False)


@claim("theorem_4_4", topic="fsl", paper=FSL, where="Thm 4.4", stance="stated",
       statement="any s, sigma >~ 1, all t: E ~ M^(-s beta) + F_M(t)")
def theorem_4_4(effort):
    """Noise from 1 to 100.  Says nothing of the noise of the target in F_M, see the module."""
    return _sweep(UNIFORM, (1.0, 10.0, 100.0))


@theorem_4_4.control("F_inf in place of F_M")
def _(effort):
    return _sweep(((1.5, 2.0),), (1.0,), limit="infinite")


@claim("theorem_4_5", topic="fsl", paper=FSL, where="Thm 4.5", stance="stated",
       statement="sigma = 0, s <= 2-1/beta, all t: E ~ M^(-s beta) + e_M(t) + int K_M(t-z) e_M(z) gamma(z) dz")
def theorem_4_5(effort):
    """Ends with s = 1.5 = 2 - 1/beta.

    In this range the integral is at most of the order of e_M: the inequalities hold with it and without it.
    """
    evidence = _sweep(UNIFORM, (0.0,))
    return replace(evidence, note="the integral is <~ e_M here and is not verified, theorem_4_5_beyond is its test; "
                                  + evidence.note)


@theorem_4_5.control("without the approximation error M^(-s beta)")
def _(effort):
    return _sweep(((1.5, 2.0),), (0.0,), approximation=0.0)


@theorem_4_5.control("with M^(-s) in place of M^(-s beta)")
def _(effort):
    return _sweep(((1.5, 2.0),), (0.0,), approximation=0.5)


@theorem_4_5.control("with the approximation error M^(-1.1 s beta)")
def _(effort):
    return _sweep(UNIFORM, (0.0,), approximation=1.1)


@claim("theorem_4_5_beyond", topic="fsl", paper=FSL, where="Thms 4.4, 4.5", stance="derived",
       statement="conditions sufficient, not necessary: F_M stays sharp for s > 2-1/beta and for 0 < sigma << 1")
def theorem_4_5_beyond(effort):
    """s = 2.5 with beta = 2, and small noise at s = 1 and 2.5: neither theorem covers these.

    At s = 2.5 the noise of the target, int K_M e_M gamma, is all there is: the one place where it can be seen.
    """
    return _sweep(((1.0, 2.0), (2.5, 2.0)), (0.0, 1e-3, 0.03))


@theorem_4_5_beyond.control("without the noise of the target, M^(-s beta) + e_M(t), which is enough for s < 2-1/beta")
def _(effort):
    return _sweep(((2.5, 2.0),), (0.0,), noisy=False)


def profile(name, time, gamma=GAMMA):
    """The noise profile of a schedule on the clock of a model that has learned all its modes at ``time`` = M^beta.

    Parameters
    ----------
    name : {"constant", "cut", "late cut", "WSD", "cyclic"}
    time : float
    gamma : float
        Peak.
    """
    if name == "constant":
        return NoiseProfile([0.0, math.inf], [gamma])
    if name in ("cut", "late cut"):
        return NoiseProfile([0.0, (0.3 if name == "cut" else 3.0) * time, math.inf], [gamma, 0.0])
    if name == "WSD":
        edges = 20.0 * time * np.linspace(0.6, 1.0, 21)
        return NoiseProfile([0.0, *edges, math.inf], [gamma, *(gamma * np.linspace(0.975, 0.025, 20)), 0.0])
    waves = 0.5 + 0.5 * np.cos(2.0 * np.pi * 5.0 * (np.arange(60) + 0.5) / 60)
    return NoiseProfile([*np.linspace(0.0, LATEST * time, 61)[:-1], math.inf], gamma * waves)


def grid(problem):
    """Times 0 to ``LATEST M^beta``: early ones, scaled ones, and some between, the same number for every width."""
    unit = problem.width**problem.capacity
    between = np.geomspace(EARLY, SCALED * unit, 14)[1:-1]
    return np.concatenate([[0.0], np.geomspace(0.1, EARLY, 9), between, unit * np.geomspace(SCALED, LATEST, 28)])


CORRESPONDING = np.r_[0:10, 22:50]
"""Places of the grid with the same t or the same t/M^beta at every width."""


@cache
def _noise_and_signal(s, beta, width, name):
    """SDE risk without label noise, and what each unit of its variance adds."""
    silent, loud = (sde_risk(problem, profile(name, width**beta), grid(problem), tolerance=1e-4).excess_risk
                    for problem in (PowerLawRegression(s, beta, width, noise) for noise in (0.0, LOUD)))
    return silent, np.maximum(loud - silent, 0.0) / LOUD**2


def exact(s, beta, width, sigma, name):
    """SDE risk on the full grid."""
    silent, noisy = _noise_and_signal(s, beta, width, name)
    return silent + sigma**2 * noisy


@cache
def law(s, beta, width, name, limit, kernel, wrong=(1.0, 0.0)):
    """Terms of the law on the full grid, for any noise.

    ``wrong`` multiplies the exponent of the power-law signal and is added to that of the kernel.
    """
    times = grid(PowerLawRegression(s, beta, width))
    problem = PowerLawRegression(wrong[0] * s, 1.0 / (1.0 / beta - wrong[1]), width)
    return continuous_law(problem, profile(name, width**beta), times, limit, kernel)


def _ratio(s, beta, width, sigma, name, limit="width", kernel="modes", latest=LATEST, approximation=1.0, noisy=True,
           wrong=(1.0, 0.0)):
    """Exact risk over the right-hand side; ``approximation`` multiplies -s beta in M^(-s beta), 0 to leave it out."""
    inside = grid(PowerLawRegression(s, beta, width)) <= latest * width**beta * (1 + 1e-9)
    terms = law(s, beta, width, name, limit, kernel, wrong)
    floor = width**-(approximation * s * beta) if approximation else 0.0
    right = (terms.total(sigma) if noisy else terms.signal) + floor
    with np.errstate(divide="ignore"):
        return (exact(s, beta, width, sigma, name) / right)[inside]


def _ratios(s, beta, noises, schedules=SCHEDULES, **law_options):
    return np.array([[[_ratio(s, beta, width, sigma, name, **law_options) for name in schedules]
                      for sigma in noises] for width in WIDTHS])


def _change(s, beta, noises, **law_options):
    """Changes at corresponding places where all terms of the law are of one order in M; nothing where they are not.

    The cyclic noise never stops, so it is of another order than the signal.
    """
    if not math.isclose(s, 1.0 - 1.0 / beta):
        noises = tuple(sigma for sigma in noises if sigma == 0 and s <= 2.0 - 1.0 / beta)
    parts = {}
    for sigma in noises:
        ratios = _ratios(s, beta, (sigma,), SCHEDULES[:-1] if sigma else SCHEDULES, **law_options)
        places = CORRESPONDING[CORRESPONDING < ratios.shape[-1]]
        parts[f"s={s:.3g} beta={beta:g} sigma={sigma:g} at fixed t/M^beta"] = judges.bounded(
            ratios[..., places], change=CHANGE, sizes=WIDTHS)
    return parts


def _labels(noises):
    return {"M": np.reshape(WIDTHS, (-1, 1, 1, 1)), "sigma": np.reshape(noises, (-1, 1, 1)),
            "schedule": np.reshape(SCHEDULES, (-1, 1))}


def _sweep(pairs, noises, **law_options):
    """Every pair (s, beta) on its own: constants may depend on it, and on nothing else."""
    parts = {}
    for s, beta in pairs:
        parts[f"s={s:.3g} beta={beta:g}"] = judges.bounded(_ratios(s, beta, noises, **law_options), spread=SPREAD,
                                                           drift=DRIFT, sizes=WIDTHS, at=_labels(noises))
        parts |= _change(s, beta, noises, **law_options)
    return judges.every(**parts)


def _power_law(pairs, **law_options):
    """Thm 4.2: constants may depend on sigma, and do."""
    parts, options = {}, {"kernel": "power", **law_options}
    for s, beta in pairs:
        for sigma in (0.0, 1.0, 10.0):
            parts[f"s={s:.3g} beta={beta:g} sigma={sigma:g}"] = judges.bounded(
                _ratios(s, beta, (sigma,), **options), spread=50.0, drift=None if sigma else DRIFT, sizes=WIDTHS,
                at=_labels((sigma,)))
        parts |= _change(s, beta, (0.0, 1.0, 10.0), **options)
    return judges.every(**parts)


def _one_sided(limit, lower, noisy=True):
    """Exact risk against one side of (11) at times from M^beta on."""
    left, right, labels = [], [], []
    for s, beta in UNIFORM:
        for width in WIDTHS:
            after = grid(PowerLawRegression(s, beta, width)) >= width**beta
            for sigma in (0.0, 1.0, 100.0):
                for name in SCHEDULES:
                    terms = law(s, beta, width, name, limit, "modes")
                    bound = ((terms.total(sigma) if noisy else terms.signal) + width**-(s * beta))[after]
                    risk = exact(s, beta, width, sigma, name)[after]
                    left.append(bound / 20.0 if lower else risk)
                    right.append(risk if lower else 2.0 * bound)
                    labels += [f"s={s:g} beta={beta:g} M={width} sigma={sigma:g} {name}"] * risk.size
    return judges.inequality(np.concatenate(left), np.concatenate(right), at={"case": labels})


def _noise_exponent(s, beta, width, latest, kernel="power"):
    """Exponent of sigma in the ratio at the latest time on the grid, noise cut off at 3 M^beta.

    The noise is so loud that it rules the power law there.
    """
    sigma = width ** max(0.0, 0.5 * (beta * (1.0 - s) - 1.0)) * np.geomspace(1e4, 1e6, 9)
    ratios = [_ratio(s, beta, width, float(noise), "late cut", kernel=kernel, latest=latest)[-1] for noise in sigma]
    return judges.exponent(sigma, ratios, -2.0, 0.05, limit="large")
