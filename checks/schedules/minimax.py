"""What one pass of SGD can reach: the minimax rate on easy tasks, less on hard ones.

Stand-in for the best of all estimators: kernel ridge regression with the best ridge on as many samples, by its
deterministic equivalent (:mod:`theorycheck.theory.schedules.ridge`), minimax for sources up to 2.  Only an account of
the theorem was at hand (reconstructed); its side conditions were not.
"""

import numpy as np

from ...theory import fsl, learning_rates
from ...theory.schedules.ridge import ridge_optimum
from .. import judges
from ..claim import claim
from . import exact_optima as optima
from .exact_optima import CAP, EASY, HARD
from .paper import LEARNING_RATE

HARDEST = ((1.0 / 6.0, 3.0), (0.25, 2.0), (1.0 / 3.0, 3.0))


@claim("minimax_easy", topic="schedules", paper=LEARNING_RATE, where="Thm 6.3, easy", stance="reconstructed",
       statement="s > 1-1/beta: the last iterate of best-scheduled SGD is within a constant of tuned ridge regression")
def minimax_easy(effort):
    """Ratio of the losses at N samples: its local slope falls from size to size and is below 0.03 at the last.

    By the law the ratio tends to a constant with a correction ``~ T^(-1/(2 beta))``, so its slope must fall (here by a
    tenth or more from each fourfold to the one after the next); a ratio that grows like a power keeps its slope.
    Ridge and the law's loss have the same power of N up to 1e14 (0.005).
    """
    return _attained(effort, EASY)


@minimax_easy.control("hard tasks")
def _(effort):
    return _attained(effort, HARDEST[:1])


@minimax_easy.control("the best constant rate, E ~ N^(-s/(1+s)), in place of the best schedule")
def _(effort):
    return _attained(effort, EASY, _best_constant_rate)


def _attained(effort, tasks, find=None):
    sizes = np.array(optima.powers_of_two(8, effort.choose(16, 18), 2))
    far = 10.0 ** np.arange(8.0, 14.1, 0.5)
    parts = {}
    for s, beta in tasks:
        label = f"s={s:.3g} beta={beta:g}"
        losses = [(find or _best_schedule)(s, beta, int(samples)) for samples in sizes]
        slopes = _slopes(sizes, np.array(losses) / _ridge(s, beta, sizes))
        parts[f"slope {label}"] = judges.inequality(slopes[-1], 0.03)
        parts[f"falling {label}"] = judges.inequality(slopes[2:], 0.9 * slopes[:-2])
        parts[f"power {label}"] = judges.exponent(
            far, [optima.best_by_law(s, beta, data, 0.0 if (s, beta) in EASY else 1.0 / CAP).loss for data in far]
            / _ridge(s, beta, far), 0.0, 0.005, limit="large")
    return judges.every(**parts)


@claim("minimax_hard_gap", topic="schedules", paper=LEARNING_RATE, where="Thm 6.3, hard", stance="reconstructed",
       statement="s < 1-1/beta: E*_SGD/E_ridge ~ N^(s beta/(1+s beta) - s), so the best of one pass is not minimax")
def minimax_hard_gap(effort):
    """Rates up to 0.3, which the optimum uses almost to the end; exponents by the law up to 1e14, SGD by local slopes.

    Local slopes of the ratio for exact SGD against the law's to 0.01 (the difference of two slopes with errors
    ``~ u_1/T``), and the law's against the power to 0.006.
    """
    return _gap(effort, HARDEST, lambda s, beta: s * beta / (1.0 + s * beta) - s)


@minimax_hard_gap.control("no gap: a ratio within constants")
def _(effort):
    return _gap(effort, HARDEST, lambda s, beta: 0.0)


@minimax_hard_gap.control("easy tasks")
def _(effort):
    return _gap(effort, EASY, lambda s, beta: s * beta / (1.0 + s * beta) - s)


def _gap(effort, tasks, power):
    sizes = np.array(optima.powers_of_two(8, effort.choose(16, 18), 2))
    far = 10.0 ** np.arange(6.0, 14.5)
    parts = {}
    for s, beta in tasks:
        label = f"s={s:.3g} beta={beta:g}"
        exact = np.array([_best_schedule(s, beta, int(samples)) for samples in sizes]) / _ridge(s, beta, sizes)
        law, limit = (np.array([optima.best_by_law(s, beta, float(data), 1.0 / CAP).loss for data in grid])
                      / _ridge(s, beta, grid) for grid in (sizes, far))
        parts[f"SGD {label}"] = judges.local_slopes(sizes, exact, law, 0.01)
        parts[f"power {label}"] = judges.exponent(far, limit, power(s, beta), 0.006, limit="large")
    return judges.every(**parts)


@claim("one_pass_bound", topic="schedules", paper=LEARNING_RATE, where="Thm 6.3, hard, lower bound",
       stance="reconstructed",
       statement="any schedule: 2 E >= sum lambda theta*^2 (1-eta_max lambda)^(2N) ~ N^(-s); attained if s < 1-1/beta")
def one_pass_bound(effort):
    """No schedule forgets the target faster than the largest rate (``eta_max lambda <= 1``), so the bias bounds it.

    Constant, linear and cosine rates from the largest one are held to the bound beside the optimum.  Attained: the
    ratio of the optimum to the bound falls with N towards one like the noise's share, ``u_1/T``; it must be below 1.4
    and falling for every task.  The bound's power of N is judged up to 1e12.
    """
    return _bound(effort, HARD)


@one_pass_bound.control("a bound ~ N^(-s beta/(1+s beta)), the minimax rate")
def _(effort):
    return _bound(effort, HARD, power=lambda s, beta: s * beta / (1.0 + s * beta))


@one_pass_bound.control("easy tasks: the bound is far below what can be attained")
def _(effort):
    return _bound(effort, EASY)


@one_pass_bound.control("a bound for a quarter of the steps")
def _(effort):
    return _bound(effort, HARD, 0.25)


def _least_bias(model, steps):
    """The bound: the bias after so many steps at the largest rate."""
    left = np.exp(2.0 * steps * np.log1p(-CAP * model.eigenvalues))
    return 0.5 * model.sum(model.eigenvalues * model.target_squared * left) + model.approximation_error


def _bound(effort, tasks, share=1.0, power=lambda s, beta: s):
    sizes = np.array(optima.powers_of_two(10, effort.choose(16, 18), 2))
    far = 10.0 ** np.arange(6.0, 12.5)
    parts = {}
    for s, beta in tasks:
        label = f"s={s:.3g} beta={beta:g}"
        ratio = []
        for steps in sizes:
            found = optima.best_rates(s, beta, int(steps), CAP)
            ratio.append(found.loss / _least_bias(found.spectrum, share * steps))
        ratio = np.array(ratio)
        few = optima.spectrum(s, beta, CAP * sizes[0])
        others = [fsl.exact_risk(few, shape(int(sizes[0]), CAP), times=[int(sizes[0])]).final
                  for shape in (learning_rates.constant, learning_rates.linear, learning_rates.cosine)]
        parts[f"other schedules {label}"] = judges.inequality(_least_bias(few, share * sizes[0]), others)
        distant = optima.spectrum(s, beta, CAP * far[-1])
        parts[f"power {label}"] = judges.exponent(far, [_least_bias(distant, steps) for steps in far], -power(s, beta),
                                                  0.005, limit="large")
        parts[f"bound {label}"] = judges.inequality(1.0, ratio, at={"N": sizes})
        parts[f"attained {label}"] = judges.inequality(ratio, 1.4, at={"N": sizes})
        parts[f"falling {label}"] = judges.inequality(ratio[1:], ratio[:-1], at={"N": sizes[1:]})
    return judges.every(**parts)


def _best_schedule(s, beta, samples):
    """Capped in the hard phase, where uncapped optima contain giant steps; the cap binds nowhere in the easy phase."""
    return optima.best_rates(s, beta, samples, None if (s, beta) in EASY else CAP).loss


def _best_constant_rate(s, beta, samples):
    """Of the constant rates on a fine grid."""
    model = optima.spectrum(s, beta, float(samples))
    return min(fsl.exact_risk(model, learning_rates.constant(samples, rate), times=[samples]).final
               for rate in np.geomspace(3e-4, 0.4, 25))


def _ridge(s, beta, sizes):
    return np.array([ridge_optimum(optima.problem(s, beta), float(samples)).loss for samples in sizes])


def _slopes(x, y):
    return np.diff(np.log(y)) / np.diff(np.log(x))
