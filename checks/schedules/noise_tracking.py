"""Claims about batches that track the gradient noise scale, against the best schedule at equal data."""

from functools import cache

import numpy as np

from ...theory.schedules import noise_tracking as theory
from .. import judges
from ..claim import claim
from . import exact_optima as optima
from .paper import LARGE_BATCH

RATE = 0.2
"""Learning rate of every run."""
TASKS = ((1.0, 2.0), (1.0 / 6.0, 3.0))
"""Source and capacity of an easy and of a hard task."""


def sizes(effort):
    """Data D."""
    return effort.choose((4096,), (4096, 65536))


def optimum(task, data):
    """The best batches >= 1 at a constant rate."""
    return optima.best_batches(*task, float(data), RATE)


@cache
def rule(task, data, name):
    """A rule with its best constant, on the spectrum of the optimum."""
    return theory.tuned(optimum(task, data).spectrum, float(data), RATE, name)


@claim("greedy_noise_tracking", topic="schedules", paper=LARGE_BATCH, where="Appendix D, at equal data",
       stance="derived",
       statement="equal D, constant eta, b >= 1: the optimum beats all tuned rules; c B_noise^(1/2) ~ constant batch")
def greedy_noise_tracking(effort):
    """Exact recursion at a rate of 0.2, an easy and a hard task, constants tuned in hindsight for each D.

    Every rule, the constant batch included, ends at least 1 per cent above the optimum (strictly above: the optimum is
    good to 1e-10); square roots of either noise scale end within 10 per cent (set) of the constant batch, while the
    full ``B_simple``, its constant tuned to the threshold, gains more.  The arrays hold the whole table: loss over
    optimum in the order of ``noise_tracking.RULES``, one row per task and D.
    """
    return _judged(effort, "sqrt_noise", "sqrt_simple")


@greedy_noise_tracking.control("the best batches in the place of the tracked ones")
def _(effort):
    return _judged(effort, None, None)


@greedy_noise_tracking.control("batches of 1 all along in the place of the tracked ones")
def _(effort):
    return _judged(effort, "ones", "ones")


def table(effort):
    """Loss over that of the optimum, shape (tasks x data, rules)."""
    return np.array([[rule(task, data, name).loss / optimum(task, data).loss for name in theory.RULES]
                     for task in TASKS for data in sizes(effort)])


def _judged(effort, *names):
    ratios = table(effort)
    constant, columns = ratios[:, list(theory.RULES).index("constant")], []
    for name in names:
        if name == "ones":
            columns.append([theory.tracked(optimum(task, data).spectrum, float(data), RATE, "constant", 1e-9).loss
                            / optimum(task, data).loss for task in TASKS for data in sizes(effort)])
        else:
            columns.append(np.ones_like(constant) if name is None else ratios[:, list(theory.RULES).index(name)])
    roots = np.array(columns).T
    label = np.array([f"s={s:.3g} D={data}" for s, _ in TASKS for data in sizes(effort)])[:, None]
    seen = judges.every(best=judges.inequality(1.01, np.hstack([ratios, roots]), at={"task": label}),
                        roots=judges.equal(roots, constant[:, None] * np.ones_like(roots), rtol=0.1,
                                           at={"task": label}))
    seen.arrays["table"] = ratios
    return seen


@claim("full_noise_scale_threshold", topic="schedules", paper=LARGE_BATCH, where="Appendix D, at equal data",
       stance="derived",
       statement="b = c B_noise: b = 1 for ever below c* = 1/B_noise(settled at b = 1); the tuned c lies just above c*")
def full_noise_scale_threshold(effort):
    """Easy task, D = 4096 to 65536: batches at 0.98 c* are all 1, and the best c is in (c*, 1.1 c*] and falls with D.

    Tuning c thus sets when batches run away, that is, the horizon; 1.1 is set as what fixes the rule's only constant.
    """
    return _threshold(effort, "noise", 1.0)


@full_noise_scale_threshold.control("the square root of the noise scale, which settles wherever c puts it")
def _(effort):
    return _threshold(effort, "sqrt_noise", 1.0)


@full_noise_scale_threshold.control("the noise scale settled at batches of 2, c* = 1/2 of what it is")
def _(effort):
    return _threshold(effort, "noise", 0.5)


def _threshold(effort, name, factor):
    task, data = TASKS[0], np.array(effort.choose((4096, 16384), (4096, 16384, 65536)))
    edge = factor * theory.threshold(optimum(task, data[-1]).spectrum, RATE, name)
    ratio = np.array([rule(task, int(size), name).scale for size in data]) / edge
    below = theory.tracked(optimum(task, data[-1]).spectrum, float(data[-1]), RATE, name, 0.98 * edge)
    return judges.every(tuned=judges.inequality(ratio, np.append(1.1, ratio[:-1]), at={"D": data}),
                        above=judges.inequality(1.0, ratio, at={"D": data}),
                        below=judges.equal(below.batches.max(), 1.0, rtol=1e-9))
