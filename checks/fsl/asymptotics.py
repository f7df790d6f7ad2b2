r"""Claims about large times: power laws of signal and kernel, their constants, and where the risk saturates.

Signal ``e_M`` and forgetting kernel ``K_M`` are sums over modes that behave like powers while slow modes remain,
``1 <~ t <~ M^beta``.  For infinitely many modes the constants are known (theory/fsl/asymptotics.py), and the exact
dynamics must approach them.  Tolerances follow from the size of the next term: mode sums at t = 1e8 differ from
their laws by exponentially little, risks by about ``t^-|s - (2-1/beta)|`` or ``t^-(1-1/beta)``, hence 1e-3.
"""

import math

import numpy as np

from ...theory import fsl
from ...theory.fsl import asymptotics
from .. import judges
from ..claim import claim
from .paper import FSL

TASKS = ((4.0, 0.5, 0.2), (2.0, 0.3, 0.2), (2.0, 1.0, 0.2), (1.5, 0.3, 0.15), (3.0, 1.0, 0.2))
"""(capacity, source, noise level) with s < 2 - 1/beta."""

SATURATED = ((2.0, 2.5, 0.2), (1.5, 2.5, 0.15), (4.0, 3.0, 0.2))
"""The same with s > 2 - 1/beta."""


def _noiseless(capacity, source, width=math.inf):
    return fsl.PowerLawRegression(source=source, capacity=capacity, width=width, noise=0.0)


def _widths(effort):
    return effort.choose((100, 1000, 10_000), (100, 1000, 10_000, 100_000))


def _relative_to_power(effort, function, exponent, reach=0.5):
    """Judge function(t)/t^-exponent on 1 <= t <= reach M^beta for growing widths, every task on its own.

    At ``t = M^beta/2`` the slowest mode has decayed by a factor e.  Between t = M^beta/100 and there the modes are as
    dense as an integral but for a relative 1/M, so that at fixed t/M^beta the ratio may change by 5 per cent only: an
    exponent that is wrong by log(1.05)/(beta log 100), 0.007 for beta = 1.5, is seen.
    """
    widths, parts = _widths(effort), {}
    for capacity, source, _ in TASKS + SATURATED:
        everywhere, scaled = [], []
        for width in widths:
            problem = _noiseless(capacity, source, width)
            last = reach * width**capacity
            times = np.concatenate([np.geomspace(1.0, 0.02 * last, 40), np.geomspace(0.02 * last, last, 20)[1:]])
            ratio = function(fsl.compress(problem, last), times) * times ** exponent(problem)
            everywhere.append(ratio)
            scaled.append(ratio[-20:])
        name = f"beta={capacity:g} s={source:g}"
        parts[name] = judges.bounded(np.array(everywhere), spread=20.0, drift=1.25, sizes=widths)
        parts[f"{name} at fixed t/M^beta"] = judges.bounded(np.array(scaled), change=1.05, sizes=widths)
    return judges.every(**parts)


@claim("signal_power_law", topic="fsl", paper=FSL, where="Sec. 4", stance="stated",
       statement="e_M(t) ~ t^-s for 1 <~ t <~ M^beta, uniformly in M")
def signal_power_law(effort):
    """Ratio to ``t^-s`` over widths, up to half the time scale of the last mode; eight tasks."""
    return _relative_to_power(effort, fsl.signal, lambda p: p.source)


@signal_power_law.control("followed to 20 M^beta, where a finite model has learned everything")
def _(effort):
    return _relative_to_power(effort, fsl.signal, lambda p: p.source, reach=20.0)


@signal_power_law.control("exponent 1.05 s")
def _(effort):
    return _relative_to_power(effort, fsl.signal, lambda p: 1.05 * p.source)


@signal_power_law.control("exponent 0.95 s")
def _(effort):
    return _relative_to_power(effort, fsl.signal, lambda p: 0.95 * p.source)


@claim("kernel_power_law", topic="fsl", paper=FSL, where="Sec. 4", stance="stated",
       statement="K_M(t) ~ t^-(2-1/beta) for 1 <~ t <~ M^beta, uniformly in M")
def kernel_power_law(effort):
    """Ratio to ``t^-(2-1/beta)`` over widths, up to half the time scale of the last mode; four values of beta."""
    return _relative_to_power(effort, fsl.kernel, lambda p: p.kernel_exponent)


@kernel_power_law.control("followed to 20 M^beta, where the kernel is exponential")
def _(effort):
    return _relative_to_power(effort, fsl.kernel, lambda p: p.kernel_exponent, reach=20.0)


@kernel_power_law.control("exponent 2 - 1/beta + 0.05")
def _(effort):
    return _relative_to_power(effort, fsl.kernel, lambda p: p.kernel_exponent + 0.05)


@kernel_power_law.control("exponent 2 - 1/beta - 0.05")
def _(effort):
    return _relative_to_power(effort, fsl.kernel, lambda p: p.kernel_exponent - 0.05)


def _mode_sums(time=1e8):
    """Signal and kernel at one large time over tasks, measured and predicted, shape (2, tasks)."""
    measured, predicted = [], []
    for capacity, source, _ in TASKS + SATURATED:
        problem = _noiseless(capacity, source)
        spectrum = fsl.compress(problem, time)
        still = 2.0 * spectrum.approximation_error      # modes so slow that compression froze them
        measured.append([fsl.signal(spectrum, [time])[0] + still, fsl.kernel(spectrum, [time])[0]])
        predicted.append([asymptotics.signal_tail(problem)(time), asymptotics.kernel_tail(problem)(time)])
    return np.array(measured).T, np.array(predicted).T


@claim("tail_constants", topic="fsl", paper=FSL, where="Sec. 4", stance="derived",
       statement="e_inf(t) t^s -> Gamma(s) 2^-s/beta and K_inf(t) t^(2-1/beta) -> Gamma(2-1/beta) 2^-(2-1/beta)/beta")
def tail_constants(effort):
    """Mode sums of infinite width at t = 1e8 against the sharp power laws."""
    return judges.equal(*_mode_sums(), rtol=1e-8, over="8 tasks at t=1e8")


@tail_constants.control("without the factor 2^-s: decay exp(-lambda t) in place of exp(-2 lambda t)")
def _(effort):
    measured, predicted = _mode_sums()
    factors = np.array([[2.0**source, 2.0 ** (2.0 - 1.0 / capacity)] for capacity, source, _ in TASKS + SATURATED]).T
    return judges.equal(measured, predicted * factors, rtol=1e-8)


def _stand_in(problem):
    """Coefficient of ``(1+t)^-(2-1/beta)`` that fits the kernel's tail, and the one that fits its mass."""
    time = 1e8
    spectrum = fsl.compress(problem, time)
    tail = fsl.kernel(spectrum, [time])[0] * (1.0 + time) ** problem.kernel_exponent
    # int_0^time K by Gauss-Legendre panels in log(1 + t), then the rest by the tail law
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(0.0, math.log1p(time), 41)
    points = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1.0) / 2.0).ravel()
    measure = (np.diff(edges)[:, None] * weights / 2.0).ravel() * np.exp(points)
    mass = measure @ fsl.kernel(spectrum, np.expm1(points))
    mass += tail * (1.0 + time) ** (1.0 - problem.kernel_exponent) / (problem.kernel_exponent - 1.0)
    return tail, mass * (problem.kernel_exponent - 1.0)


@claim("stand_in_kernel", topic="fsl", paper=FSL, where="Sec. 4", stance="derived",
       statement="K_inf/(1+t)^-(2-1/beta) has tail C_K but mass (1-1/beta) zeta(beta)/2: no one constant fits both")
def stand_in_kernel(effort):
    """Both coefficients, measured on the mode sum, against their closed forms."""
    problems = [_noiseless(capacity, 1.0) for capacity in (1.5, 2.0, 3.0, 4.0)]
    measured = np.array([_stand_in(problem) for problem in problems])
    predicted = np.array([asymptotics.stand_in_coefficients(problem) for problem in problems])
    evidence = judges.equal(measured, predicted, rtol=1e-4, over="beta in 1.5, 2, 3, 4")
    evidence.arrays["capacity"] = np.array([problem.capacity for problem in problems])
    return evidence


@stand_in_kernel.control("one constant, the tail's, for both")
def _(effort):
    measured = np.array([_stand_in(_noiseless(capacity, 1.0)) for capacity in (2.0, 4.0)])
    return judges.equal(measured, measured[:, :1] * np.ones((1, 2)), rtol=1e-4)


def _self_convolution(capacity, width, time):
    problem = _noiseless(capacity, 1.0, width)
    spectrum = fsl.compress(problem, time)
    return asymptotics.kernel_self_convolution(spectrum, [time])[0] / fsl.kernel(spectrum, [time])[0]


@claim("subexponential_kernel", topic="fsl", paper=FSL, where="Sec. 4 (proof)", stance="derived",
       statement="(K_inf * K_inf)(t)/K_inf(t) -> tr H: the sharp form of the sub-convolution lemma")
def subexponential_kernel(effort):
    """The ratio at t = 1e8, exactly from the modes."""
    measured = [_self_convolution(capacity, math.inf, 1e8) for capacity in (1.5, 2.0, 4.0)]
    expected = [_noiseless(capacity, 1.0).trace for capacity in (1.5, 2.0, 4.0)]
    return judges.equal(measured, expected, rtol=2e-3, at={"beta": np.array([1.5, 2.0, 4.0])}, over="t=1e8")


@subexponential_kernel.control("the mass of one kernel, tr H/2, in place of two")
def _(effort):
    measured = [_self_convolution(capacity, math.inf, 1e8) for capacity in (1.5, 2.0, 4.0)]
    return judges.equal(measured, [0.5 * _noiseless(capacity, 1.0).trace for capacity in (1.5, 2.0, 4.0)], rtol=2e-3)


@subexponential_kernel.control("finite width at t = 30 M^beta, where the kernel is exponential")
def _(effort):
    return judges.equal(_self_convolution(2.0, 30, 30 * 30.0**2), _noiseless(2.0, 1.0).trace, rtol=2e-3)


def _late_risk(tasks, time=1e8):
    """Exact SDE and isotropic risk without label noise at a late time, and the sharp predictions."""
    measured, predicted = [], []
    for capacity, source, gamma in tasks:
        problem = _noiseless(capacity, source)
        for isotropic in (False, True):
            measured.append(fsl.sde_risk(problem, gamma, [time], isotropic).final)
            predicted.append(float(asymptotics.risk_tail(problem, gamma, isotropic)(time)))
    return np.array(measured), np.array(predicted)


@claim("signal_limited_risk", topic="fsl", paper=FSL, where="Thm 4.5", stance="derived",
       statement="sigma = 0, s < 2-1/beta, constant gamma: E(t) t^s -> (C_e/2)/(1-rho)")
def signal_limited_risk(effort):
    """SDE and isotropic risk at t = 1e8 against the sharp law: gradient noise costs a factor 1/(1-rho)."""
    return judges.equal(*_late_risk(TASKS), rtol=1e-3, over="5 tasks, SDE and isotropic, t=1e8")


@signal_limited_risk.control("gradient flow: no factor 1/(1-rho)")
def _(effort):
    measured, predicted = _late_risk(TASKS)
    rho = [asymptotics.noise_mass(_noiseless(capacity, source), gamma, isotropic)
           for capacity, source, gamma in TASKS for isotropic in (False, True)]
    return judges.equal(measured, predicted * (1.0 - np.array(rho)), rtol=1e-3)


@signal_limited_risk.control("the noise mass of the isotropic equation for the SDE and the other way round")
def _(effort):
    measured, predicted = _late_risk(TASKS)
    return judges.equal(measured, predicted.reshape(-1, 2)[:, ::-1].ravel(), rtol=1e-3)


@claim("saturated_risk", topic="fsl", paper=FSL, where="Thm 4.5", stance="derived",
       statement="sigma = 0, s > 2-1/beta, constant gamma: E(t) t^(2-1/beta) -> gamma C_K I/(1-rho)^2")
def saturated_risk(effort):
    """Easy targets are learned no faster than gradient noise is forgotten; with the constant."""
    return judges.equal(*_late_risk(SATURATED), rtol=1e-3, over="3 tasks, SDE and isotropic, t=1e8")


@saturated_risk.control("one power of 1/(1-rho) in place of two")
def _(effort):
    measured, predicted = _late_risk(SATURATED)
    rho = [asymptotics.noise_mass(_noiseless(capacity, source), gamma, isotropic)
           for capacity, source, gamma in SATURATED for isotropic in (False, True)]
    return judges.equal(measured, predicted * (1.0 - np.array(rho)), rtol=1e-3)


def _late_curve(capacity, source, gamma):
    times = np.geomspace(1e5, 1e8, 13)
    return times, fsl.sde_risk(_noiseless(capacity, source), gamma, times).excess_risk


@claim("saturation_exponent", topic="fsl", paper=FSL, where="Thm 4.5", stance="derived",
       statement="sigma = 0, constant gamma: E(t) decays as t^-min(s, 2-1/beta)")
def saturation_exponent(effort):
    """Exponents of the exact risk between t = 1e5 and 1e8, on both sides of s = 2 - 1/beta."""
    parts = {}
    for capacity, source, gamma in ((2.0, 2.5, 0.2), (4.0, 3.0, 0.2), (2.0, 1.0, 0.2), (4.0, 0.5, 0.2)):
        expected = -min(source, 2.0 - 1.0 / capacity)
        parts[f"beta={capacity:g}, s={source:g}"] = judges.exponent(*_late_curve(capacity, source, gamma), expected,
                                                                    0.01, limit="large")
    return judges.every(**parts)


@saturation_exponent.control("t^-s for s = 2.5, beta = 2, as gradient flow has it")
def _(effort):
    return judges.exponent(*_late_curve(2.0, 2.5, 0.2), -2.5, 0.01, limit="large")


STABLE_TIME = 2.0**59
"""Length of the stable phase: its finite length changes the drop by (lag/length)^(1-1/beta) < 2e-4."""


def _plateau_and_drop(capacity, gamma):
    """Problem, lags of about 1e5 and 1e6, and the exact SDE risk at the end of a stable phase and at these lags."""
    problem = fsl.PowerLawRegression(source=1.0, capacity=capacity, noise=1.0)
    lags = np.round(np.array([1e5, 1e6]) / 128.0) * 128.0       # exact: floats near 2^59 are 128 apart
    profile = fsl.NoiseProfile([0.0, STABLE_TIME, math.inf], [gamma, 0.0])
    risk = fsl.sde_risk(problem, profile, np.concatenate([[STABLE_TIME], STABLE_TIME + lags])).excess_risk
    return problem, lags, risk


@claim("plateau_and_drop", topic="fsl", paper=FSL, where="Sec. 5", stance="derived",
       statement="plateau (sigma^2/2) rho/(1-rho); after a cut of gamma, E -> gamma (sigma^2/2) C_K x^-(1-1/beta)/"
                 "((1-1/beta)(1-rho))")
def plateau_and_drop(effort):
    """Plateau of a long stable phase, and what is left at lags 1e5 and 1e6 after the rate is cut to zero."""
    measured, expected = [], []
    for capacity, gamma in ((1.5, 0.15), (2.0, 0.2), (4.0, 0.2)):
        problem, lags, risk = _plateau_and_drop(capacity, gamma)
        measured.append(risk)
        expected.append(np.concatenate([[asymptotics.plateau(problem, gamma)],
                                        asymptotics.drop_tail(problem, gamma)(lags)]))
    return judges.equal(measured, expected, rtol=5e-3, over="beta in 1.5, 2, 4; plateau, lags 1e5 and 1e6")


@plateau_and_drop.control("noise forgotten like the kernel, x^-(2-1/beta), in place of its integral")
def _(effort):
    problem, lags, risk = _plateau_and_drop(2.0, 0.2)
    drop = asymptotics.drop_tail(problem, 0.2)
    return judges.equal(risk[1:] / risk[1], (lags / lags[0]) ** -(drop.exponent + 1.0), rtol=5e-3)


@plateau_and_drop.control("plateau of the first Picard iterate, without 1/(1-rho)")
def _(effort):
    problem, _, risk = _plateau_and_drop(2.0, 0.2)
    rho = asymptotics.noise_mass(problem, 0.2)
    return judges.equal(risk[0], 0.5 * problem.noise**2 * rho, rtol=5e-3)
