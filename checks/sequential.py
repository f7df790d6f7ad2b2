r"""Judging what was sampled until it was enough: a probability of error spent over all the looks.

Whoever tests the mean at every look at the full level alpha, and stops when the result suits, rejects a true statement
more often than alpha: the looks are many chances.  Here the schedule of K looks is fixed beforehand
(:mod:`theorycheck.sims.adaptive`) and look k is judged at level :math:`\alpha_k`, :math:`\sum_k\alpha_k=\alpha`.
Whatever the rule by which sampling stops, and however that rule depends on the data,

.. math:: P(\text{some look rejects}) \le \sum_k P(\text{look k rejects}) \le \alpha .

The levels are equal, :math:`\alpha_k=\alpha/K`: it is not known in advance at which look an experiment ends, and equal
shares cost little at any of them (at alpha = 1e-6 over ten places, ten looks need error bars 5 % smaller).
"""

import numpy as np
from scipy import stats

from ..sims import adaptive
from . import judges
from .arguments import above_zero, level, pair
from .claim import Evidence


def sample(experiment, expected, *, resolution: float, budget: int, seed: int, alpha: float = 1e-6, first: int = 1024,
           growth: int = 2, **engine) -> adaptive.Sequential:
    """Replicas until :func:`monte_carlo` against `expected` sees a relative deviation of `resolution` everywhere.

    Parameters
    ----------
    experiment, seed, budget, first, growth, engine
        See :func:`theorycheck.sims.adaptive.until`.
    expected : array or float
        Exact values; places where it is 0 ask for nothing.
    resolution : float
        Relative deviation to be detected with probability 0.99 wherever it is.
    alpha : float
        False alarm of the judgement to come.

    Raises
    ------
    ValueError
        For a parameter out of range, and as the engine does.
    """
    planned = len(adaptive.schedule(first, budget, growth))
    expected = pair(np.zeros(experiment.shape), expected, "expected")[1]
    # the quantile of the first look is the largest of all
    critical = float(stats.t.isf(level(alpha) / (2.0 * planned * expected.size), first - 1))
    wanted = above_zero(resolution, "resolution") * np.abs(expected) / (critical + stats.norm.isf(1.0 - judges.POWER))
    return adaptive.until(experiment, target=np.where(expected == 0, np.inf, wanted), budget=budget, seed=seed,
                          skewness=judges.LARGEST_SKEWNESS / critical, first=first, growth=growth, **engine)


def monte_carlo(run, expected, *, alpha: float = 1e-6, resolution: float | None = None, at: dict | None = None,
                over: str = "") -> Evidence:
    """The looks of a sequential sample against exact values.

    Null, statistic and the correction for skewness are those of :func:`theorycheck.checks.judges.monte_carlo`.
    Rejected if any look rejects at level alpha/K, K the number of looks that could have been; otherwise as the last
    look decides: accepted, or undecided where it is too skewed or does not resolve `resolution`.

    False alarm: at most alpha under any stopping rule.  Power: a relative deviation of the reach in the note is
    rejected with probability 0.99.

    Parameters
    ----------
    run : Sequential
    expected, alpha, resolution, at, over
        See :func:`theorycheck.checks.judges.monte_carlo`.
    """
    share = level(alpha) / run.planned
    for look in run.looks[:-1]:
        evidence = judges.monte_carlo(look, expected, alpha=share, at=at, over=over)
        if evidence.accepted is False:
            break
    else:
        evidence = judges.monte_carlo(run.looks[-1], expected, alpha=share, resolution=resolution, at=at, over=over)
    note = f"{evidence.note}; {len(run.looks)} of {run.planned} looks, each at level {share:.2g}"
    return Evidence(evidence.accepted, evidence.measured, evidence.expected, evidence.tolerance,
                    "sequential.monte_carlo", alpha, note, evidence.arrays)
