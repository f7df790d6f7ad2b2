"""Claims: Theorems 4.2 to 4.6 as bounded ratios, where they stop, and what their constants depend on.

The exact risk is that of the SDE in continuous time.  Each theorem becomes the ratio of it to the printed right-hand
side over times from 0 to 60 M^beta, widths 30, 100 and 300, and five schedules (constant, cut off at 0.3 M^beta and at
3 M^beta, WSD, cyclic), peak gamma = 0.3.  The ratio must stay bounded (max/min) and its extremes must not drift
with the width.  Widths further apart or smaller gamma change nothing but the numbers.
"""

import math
from functools import cache

import numpy as np

from ...theory.fsl.continuous import NoiseProfile, sde_risk
from ...theory.fsl.continuous_law import continuous_law
from ...theory.fsl.problem import PowerLawRegression
from .. import judges
from ..claim import claim
from .paper import FSL

GAMMA = 0.3
WIDTHS = (30, 100, 300)
LATEST = 60.0
SCHEDULES = ("constant", "cut", "late cut", "WSD", "cyclic")
SPREAD, DRIFT = 20.0, 1.4
HARD = ((0.3, 2.0), (0.5, 2.0), (0.5, 4.0))
EASY = ((0.5, 2.0), (1.0, 2.0), (1.5, 2.0), (1.0, 1.5))


@claim("theorem_4_2", topic="fsl", paper=FSL, where="Thm 4.2", stance="stated",
       statement="s <= 1-1/beta, fixed sigma, all t: E ~ M^(-s beta) + e(t) + int K(t-z) [e(z)+sigma^2] gamma(z) dz")
def theorem_4_2(effort):
    """Power-law e and K as printed; the last pair of (s, beta) is the paper's own."""
    return _sweep(effort, HARD, (0.0, 1.0), kernel="power")


@theorem_4_2.control("an easy task, s = 1.5, beta = 2: the true noise is forgotten faster than any power beyond M^beta")
def _(effort):
    return _sweep(effort, ((1.5, 2.0),), (1.0,), kernel="power")


@claim("theorem_4_2_uniformity", topic="fsl", paper=FSL, where="Thm 4.2", stance="derived",
       statement="the constants of Thm 4.2 cannot be uniform in sigma: at s = 1-1/beta its lower one is ~ sigma^(-2)")
def theorem_4_2_uniformity(effort):
    """Noise cut off at 3 M^beta, seen at 60 M^beta: the power law remembers what the model has long forgotten."""
    sigma = np.geomspace(100.0, 10_000.0, 9)
    parts = {f"M={width}": judges.exponent(sigma, _last_ratios(width, sigma, LATEST), -2.0, 0.1, limit="large")
             for width in WIDTHS[:2]}
    return judges.every(**parts)


@theorem_4_2_uniformity.control("up to M^beta, where Thm 4.3 promises uniform constants")
def _(effort):
    sigma = np.geomspace(100.0, 10_000.0, 9)
    return judges.exponent(sigma, _last_ratios(30, sigma, 1.0), -2.0, 0.1, limit="large")


@claim("theorem_4_3_early", topic="fsl", paper=FSL, where="Thm 4.3 (10)", stance="stated",
       statement="any s, uniformly in sigma, 0 <= t <= c M^beta: E ~ M^(-s beta) + F_inf(t)")
def theorem_4_3_early(effort):
    """c = 1; noise from 0 to 100."""
    return _sweep(effort, HARD[:1] + EASY, (0.0, 1.0, 100.0), limit="infinite", latest=1.0)


@theorem_4_3_early.control("for all t (to 60 M^beta): the bound stops at c M^beta for easy tasks")
def _(effort):
    return _sweep(effort, ((1.5, 2.0),), (1.0,), limit="infinite")


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
    """Noise from 1 to 100."""
    return _sweep(effort, HARD[:1] + EASY, (1.0, 10.0, 100.0))


@theorem_4_4.control("F_inf in place of F_M")
def _(effort):
    return _sweep(effort, ((1.5, 2.0),), (1.0,), limit="infinite")


@claim("theorem_4_5", topic="fsl", paper=FSL, where="Thm 4.5", stance="stated",
       statement="sigma = 0, s <= 2-1/beta, all t: E ~ M^(-s beta) + e_M(t) + int K_M(t-z) e_M(z) gamma(z) dz")
def theorem_4_5(effort):
    """Ends with s = 1.5 = 2 - 1/beta."""
    return _sweep(effort, HARD[:1] + EASY, (0.0,))


@theorem_4_5.control("without the approximation error M^(-s beta)")
def _(effort):
    return _sweep(effort, ((1.5, 2.0),), (0.0,), approximation=0.0)


@theorem_4_5.control("with M^(-s) in place of M^(-s beta)")
def _(effort):
    return _sweep(effort, ((1.5, 2.0),), (0.0,), approximation=1.5)


@claim("theorem_4_5_beyond", topic="fsl", paper=FSL, where="Thms 4.4, 4.5", stance="derived",
       statement="conditions sufficient, not necessary: F_M stays sharp for s > 2-1/beta and for 0 < sigma << 1")
def theorem_4_5_beyond(effort):
    """s = 2.5 with beta = 2, and small noise at s = 1 and 2.5: neither theorem covers these."""
    return _sweep(effort, ((1.0, 2.0), (2.5, 2.0)), (0.0, 1e-3, 0.03))


@theorem_4_5_beyond.control("without the noise of the target, M^(-s beta) + e_M(t), which is enough for s < 2-1/beta")
def _(effort):
    return _sweep(effort, ((2.5, 2.0),), (0.0,), noisy=False)


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


def grid(problem, points=48):
    """Times 0 and 0.1 to ``60 M^beta``, geometric."""
    return np.concatenate([[0.0], np.geomspace(0.1, LATEST * problem.width**problem.capacity, points)])


@cache
def exact(s, beta, width, sigma, name):
    """SDE risk on the full grid."""
    problem = PowerLawRegression(s, beta, width, sigma)
    return sde_risk(problem, profile(name, width**beta), grid(problem), tolerance=1e-4).excess_risk


@cache
def law(s, beta, width, name, limit, kernel):
    """Terms of the law on the full grid, for any noise."""
    problem = PowerLawRegression(s, beta, width)
    return continuous_law(problem, profile(name, width**beta), grid(problem), limit, kernel)


def _ratio(s, beta, width, sigma, name, limit="width", kernel="modes", latest=LATEST, approximation=None, noisy=True):
    """Exact risk over the right-hand side; ``approximation`` is the exponent of 1/M, 0 to leave the term out."""
    inside = grid(PowerLawRegression(s, beta, width)) <= latest * width**beta * (1 + 1e-9)
    terms = law(s, beta, width, name, limit, kernel)
    power = s * beta if approximation is None else approximation
    right = (terms.total(sigma) if noisy else terms.signal) + (width**-power if power else 0.0)
    with np.errstate(divide="ignore"):
        return (exact(s, beta, width, sigma, name) / right)[inside]


def _sweep(effort, pairs, noises, **law_options):
    """Every pair (s, beta) on its own: constants may depend on it, and on nothing else."""
    widths = WIDTHS + effort.choose((), (1000, 3000))
    parts = {}
    for s, beta in pairs:
        ratio = [np.array([[_ratio(s, beta, width, sigma, name, **law_options) for name in SCHEDULES]
                           for sigma in noises]) for width in widths]
        at = None
        if len({piece.shape for piece in ratio}) == 1:
            ratio = np.array(ratio)
            at = {"M": np.reshape(widths, (-1, 1, 1, 1)), "sigma": np.reshape(noises, (-1, 1, 1)),
                  "schedule": np.reshape(SCHEDULES, (-1, 1))}
        parts[f"s={s:g} beta={beta:g}"] = judges.bounded(ratio, spread=SPREAD, drift=DRIFT, at=at)
    return judges.every(**parts)


def _one_sided(limit, lower, noisy=True):
    """Exact risk against one side of (11) at times from M^beta on."""
    left, right, labels = [], [], []
    for s, beta in HARD[:1] + EASY:
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


def _last_ratios(width, sigma, latest):
    """Ratio at the latest time on the grid for each noise, at s = 1/2 = 1 - 1/beta, noise cut off at 3 M^beta."""
    return np.array([_ratio(0.5, 2.0, width, float(noise), "late cut", kernel="power", latest=latest)[-1]
                     for noise in sigma])
