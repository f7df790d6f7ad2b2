"""Claims about random-M features: spectrum, approximation error, signal and kernel, Theorem 4.6 and its endpoint."""

import math
from functools import cache

import numpy as np

from ...sims.fsl import random_projection
from ...theory import spectra
from ...theory.fsl.continuous import sde_risk
from ...theory.fsl.continuous_law import continuous_law
from ...theory.fsl.functional_law import kernel, signal
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.random_features import approximation_error_equivalent, effective_ridge, projected_spectrum
from .. import judges
from ..claim import claim
from .paper import FSL
from .theorems import SCHEDULES, profile

BETA = 2.0
FEATURES_PER_WIDTH = 10
SEED = 20_250_919


@claim("random_feature_spectrum", topic="fsl", paper=FSL, where="Lemma 4.7", stance="amended",
       statement="rows of W ~ N(0, I/M): eigenvalues of W H W^T stay within constants of j^(-beta), all j <= M")
def random_feature_spectrum(effort):
    """Three draws per width; beta = 1.5, 2, 4."""
    return _spectrum_ratios(effort, 0.0, 0.0)


@random_feature_spectrum.printed("rows of W ~ N(0, I): lambda_hat_j ~ j^(-beta)")
def _(effort):
    return _spectrum_ratios(effort, 1.0, 0.0)


@random_feature_spectrum.control("j^(-(beta + 0.5))")
def _(effort):
    return _spectrum_ratios(effort, 0.0, 0.5)


@claim("random_feature_error", topic="fsl", paper=FSL, where="Thm 4.6", stance="derived",
       statement="delta_hat = (1/2) sum lambda_j theta_j^2 kappa/(lambda_j+kappa), sum lambda_j/(lambda_j+kappa) = M")
def random_feature_error(effort):
    """Mean over draws against the deterministic equivalent at the same finite N, equal to 5 per cent."""
    return _error_against(effort, approximation_error_equivalent)


@random_feature_error.control("the error of the top-M model")
def _(effort):
    return _error_against(effort, lambda problem, width, count: PowerLawRegression(
        problem.source, problem.capacity, width).approximation_error)


@claim("random_feature_ridge", topic="fsl", paper=FSL, where="Thm 4.6", stance="derived",
       statement="sum_j lambda_j/(lambda_j + kappa) = M: kappa M^beta -> ((pi/beta)/sin(pi/beta))^beta")
def random_feature_ridge(effort):
    """The constant behind delta_hat, at M = 1e5."""
    return _ridge_limit(lambda beta: ((math.pi / beta) / math.sin(math.pi / beta)) ** beta)


@random_feature_ridge.control("kappa = M^(-beta), the eigenvalue at the edge")
def _(effort):
    return _ridge_limit(lambda beta: 1.0)


@claim("random_feature_error_rate", topic="fsl", paper=FSL, where="Thm 4.6", stance="derived",
       statement="delta_hat ~ M^(-min(s, 1) beta) for s != 1: random features stop improving at s = 1")
def random_feature_error_rate(effort):
    """Slopes of the deterministic equivalent, M = 1e2 to 1e6."""
    return _error_rates(lambda s: min(s, 1.0))


@random_feature_error_rate.control("M^(-s beta) for s = 1.5 as well, the rate of the top-M model")
def _(effort):
    return _error_rates(lambda s: s)


@claim("random_feature_functions", topic="fsl", paper=FSL, where="Thm 4.6", stance="derived",
       statement="for s < 1 and 1 <= t <= c M^beta, e_hat and K_hat stay within constants of e_M and K_M")
def random_feature_functions(effort):
    """c = 0.3: at M^beta itself the smallest of the random eigenvalues rule.  K_hat does so whatever s."""
    return judges.every(kernel=_function_ratio(effort, 0.5, kernel), **{
        f"signal s={s:g}": _function_ratio(effort, s, signal) for s in (0.3, 0.7)})


@random_feature_functions.control("the signal for s = 1.5")
def _(effort):
    return _function_ratio(effort, 1.5, signal)


@claim("theorem_4_6", topic="fsl", paper=FSL, where="Thm 4.6", stance="stated",
       statement="random-M, s < 1: Thms 4.4 and 4.5 hold with e_hat, K_hat of the eigenvalues of W H W^T")
def theorem_4_6(effort):
    """s = 0.3 and 0.7 with noise 0 and 1; conditional on W the SDE is exact."""
    return judges.every(**{f"s={s:g}": _theorem_ratio(effort, s, (0.0, 1.0), _power(s)) for s in (0.3, 0.7)})


@theorem_4_6.control("s = 1.5, outside the range: M^(-s beta) is not the approximation error")
def _(effort):
    return _theorem_ratio(effort, 1.5, (0.0,), _power(1.5))


@claim("theorem_4_6_any_noise", topic="fsl", paper=FSL, where="Thm 4.6", stance="stated",
       statement="random-M, s < 1, any sigma: E ~ M^(-s beta) + F_inf to c M^beta, then down to + F_hat")
def theorem_4_6_any_noise(effort):
    """Thm 4.3 with e_hat and K_hat: c = 1, noise from 0 to 100; beyond M^beta constants 1/20 and 20.

    The upper constant cannot be the 2 of top-M features: delta_hat alone is up to 3 M^(-s beta) at s = 0.7.
    """
    return judges.every(**{f"s={s:g} {part}": evidence for s in (0.3, 0.7)
                           for part, evidence in _any_noise(effort, s, "F_inf", "F_hat").items()})


@theorem_4_6_any_noise.control("F_inf as the lower bound beyond c M^beta as well")
def _(effort):
    return _any_noise(effort, 0.7, "F_inf", "F_inf")["lower"]


@theorem_4_6_any_noise.control("the upper bound without the gradient noise")
def _(effort):
    return _any_noise(effort, 0.7, "e_hat", "F_hat")["upper"]


@claim("theorem_4_6_endpoint", topic="fsl", paper=FSL, where="Thm 4.6", stance="amended",
       statement="random-M, s = 1: the approximation term is M^(-beta) log M, not M^(-s beta)")
def theorem_4_6_endpoint(effort):
    """Exact risk for noise 0 and 1; in the limit of large M the equivalent decides."""
    width = np.geomspace(1e2, 1e6, 9)
    error = _equivalents(1.0, width)
    return judges.every(sde=_theorem_ratio(effort, 1.0, (0.0, 1.0), lambda m: m**-BETA * np.log(m), drift=1.3),
                        equivalent=judges.bounded(error * width**BETA / np.log(width), drift=1.1))


@theorem_4_6_endpoint.printed("s in (0, 1]: the approximation term is M^(-s beta)")
def _(effort):
    width = np.geomspace(1e2, 1e6, 9)
    return judges.every(sde=_theorem_ratio(effort, 1.0, (0.0, 1.0), _power(1.0), drift=1.3),
                        equivalent=judges.bounded(_equivalents(1.0, width) * width**BETA, drift=1.1))


@theorem_4_6_endpoint.control("M^(-beta) (log M)^2")
def _(effort):
    width = np.geomspace(1e2, 1e6, 9)
    return judges.bounded(_equivalents(1.0, width) * width**BETA / np.log(width)**2, drift=1.1)


def _widths(effort):
    return effort.choose((20, 60, 180), (25, 50, 100, 200, 400, 800))


@cache
def _modes(s, beta, width, draw, noise=0.0):
    problem = PowerLawRegression(s, beta, noise=noise)
    return projected_spectrum(problem, random_projection(width, FEATURES_PER_WIDTH * width, SEED, draw))


def _spectrum_ratios(effort, extra, tilt):
    """``lambda_hat_j / j^-(beta + tilt)`` with rows of covariance ``M^extra I/M``."""
    ratios = []
    for width in _widths(effort):
        rows = [width**extra * _modes(0.5, beta, width, draw).eigenvalues / spectra.power_law(beta + tilt, width)
                for beta in (1.5, 2.0, 4.0) for draw in range(3)]
        ratios.append(np.concatenate(rows))
    return judges.bounded(ratios, between=(0.05, 5.0), drift=1.5, over=f"M = {_widths(effort)}")


def _error_against(effort, predicted):
    """Five per cent equivalence of the mean over draws, one-sided inequalities with their standard errors."""
    width, draws = effort.choose((80, 256), (160, 1000))
    count = FEATURES_PER_WIDTH * width
    parts = {}
    for s in (0.5, 1.0, 1.5):
        errors = np.array([_modes(s, BETA, width, draw).approximation_error for draw in range(draws)])
        ratio = errors / predicted(PowerLawRegression(s, BETA), width, count)
        mean, stderr = ratio.mean(), ratio.std(ddof=1) / math.sqrt(draws)
        parts[f"s={s:g} above"] = judges.inequality(0.95, mean, stderr=stderr, alpha=1e-3, resolution=0.05)
        parts[f"s={s:g} below"] = judges.inequality(mean, 1.05, stderr=stderr, alpha=1e-3, resolution=0.05)
    return judges.every(**parts)


def _ridge_limit(limit):
    capacities = np.array([1.5, 2.0, 3.0, 4.0])
    found = [effective_ridge(beta, 1e5) * 1e5**beta for beta in capacities]
    return judges.equal(found, [limit(beta) for beta in capacities], rtol=1e-3, at={"beta": capacities})


@cache
def _equivalent(s, width):
    return approximation_error_equivalent(PowerLawRegression(s, BETA), width)


def _equivalents(s, width):
    return np.array([_equivalent(s, float(m)) for m in width])


def _error_rates(rate):
    width = np.geomspace(1e2, 1e6, 9)
    return judges.every(**{f"s={s:g}": judges.exponent(width, _equivalents(s, width), -rate(s) * BETA, 0.02,
                                                       limit="large") for s in (0.3, 0.5, 1.5, 2.5)})


def _function_ratio(effort, s, function):
    ratios = []
    for width in _widths(effort):
        times = np.geomspace(1.0, 0.3 * width**BETA, 40)
        top = function(PowerLawRegression(s, BETA, width).spectrum(), times)
        ratios.append(np.concatenate([function(_modes(s, BETA, width, draw), times) / top for draw in range(3)]))
    return judges.bounded(ratios, spread=5.0, drift=1.5, over=f"M = {_widths(effort)}, 1 <= t <= 0.3 M^beta")


def _power(s):
    return lambda width: width ** (-s * BETA)


def _times(width):
    return np.concatenate([[0.0], np.geomspace(0.1, 60.0 * width**BETA, 40)])


@cache
def _trajectories(s, width, noise):
    """Exact risk and the laws without their approximation term, each for two draws and all schedules."""
    times = _times(width)
    found = {"risk": [], "F_hat": [], "F_inf": [], "e_hat": []}
    for draw in range(2):
        modes = _modes(s, BETA, width, draw, noise)
        for name in SCHEDULES:
            gamma = profile(name, width**BETA, 0.2)
            law = continuous_law(modes, gamma, times)
            found["risk"].append(sde_risk(modes, gamma, times, tolerance=1e-4).excess_risk)
            found["F_hat"].append(law.total(noise))
            found["e_hat"].append(law.signal)
            found["F_inf"].append(continuous_law(PowerLawRegression(s, BETA, width), gamma, times,
                                                 "infinite").total(noise))
    return {name: np.array(curves) for name, curves in found.items()}


def _theorem_ratio(effort, s, noises, approximation, drift=1.4):
    ratios = []
    for width in _widths(effort):
        found = [_trajectories(s, width, noise) for noise in noises]
        ratios.append(np.concatenate([(curves["risk"] / (curves["F_hat"] + approximation(width))).ravel()
                                      for curves in found]))
    return judges.bounded(ratios, spread=20.0, drift=drift, over=f"M = {_widths(effort)}")


def _any_noise(effort, s, above, below):
    """Both parts of Thm 4.3: the ratio to F_inf before M^beta, the two one-sided bounds after it."""
    early, sides = [], {"lower": ([], []), "upper": ([], [])}
    for width in _widths(effort):
        after = _times(width) >= width**BETA
        found = [_trajectories(s, width, noise) for noise in (0.0, 1.0, 100.0)]
        floor = width ** (-s * BETA)
        early.append(np.concatenate([(curves["risk"] / (curves["F_inf"] + floor))[:, ~after].ravel()
                                     for curves in found]))
        for curves in found:
            risk = curves["risk"][:, after].ravel()
            sides["lower"][0].append((curves[below] + floor)[:, after].ravel() / 20.0)
            sides["lower"][1].append(risk)
            sides["upper"][0].append(risk)
            sides["upper"][1].append(20.0 * (curves[above] + floor)[:, after].ravel())
    return {"early": judges.bounded(early, spread=20.0, drift=1.4, over=f"M = {_widths(effort)}, t < M^beta"),
            **{side: judges.inequality(np.concatenate(left), np.concatenate(right))
               for side, (left, right) in sides.items()}}
