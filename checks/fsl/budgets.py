"""Numerical optima of the final risk under a data or compute budget, and how they are compared with Table 1.

The closed forms are exact in the budget, so budgets up to 1e100 are used to tell a power of the logarithm
from a power of the budget: over 1e30 to 1e100 the logarithm itself grows by a factor 3.3, and its exponent is
a slope like any other.
"""

import dataclasses
import functools

import numpy as np

from ...theory.fsl import PowerLawRegression, allocation
from .. import judges

EASY = ((1.5, 2.0), (1.0, 1.5), (1.2, 3.0), (0.5, 2.0))
"""(source, capacity); the last one is the boundary ``s = 1 - 1/beta``, easy by definition."""

HARD = ((0.5, 4.0), (0.3, 2.0))

COOLDOWN = 0.2
"""Decay fraction of WSD where any fixed one gives the rate."""

POWER_MARGIN = {"constant": 0.005, "exponential": 0.005, "wsd": 0.02}
"""Of local slopes from 1e12 on.  WSD needs more room: in hard tasks its noise falls behind the signal only like
``D^-(1 - 1/beta - s)`` (0.2 at s = 0.3, beta = 2; less under a compute budget), with a power of the logarithm."""
LOG_MARGIN = 0.05

CLOSED = "E of the first Picard iterate, budgets 1e12 to 1e100"
"""What the statements about optima are judged on."""

AS_EXTRACTED = "as extracted from the paper; a sign or factor may be a slip of typesetting"
"""What is known of a printed form that fails."""


def ranges(effort):
    """Budgets where powers are measured as local slopes, and budgets where exponents of the logarithm are."""
    return np.logspace(12, 28, effort.choose(6, 33)), np.logspace(30, 100, effort.choose(8, 29))


@functools.lru_cache(maxsize=256)
def _optimum(task, schedule, kind, budget, cooldown):
    problem = PowerLawRegression(*task)
    solve = allocation.optimise_data if kind == "data" else allocation.optimise_compute
    return solve(problem, schedule, np.array(budget), cooldown=cooldown)


def optimum(task, schedule, kind, budget, cooldown=COOLDOWN):
    """:class:`~theorycheck.theory.fsl.allocation.Optimum` at an array of budgets; computed once."""
    return _optimum(task, schedule, kind, tuple(float(value) for value in budget),
                    cooldown if schedule == "wsd" else None)


def table(task, schedule, kind, form="corrected"):
    """The :class:`~theorycheck.theory.fsl.allocation.Allocation` of Table 1."""
    return (allocation.data_optimal if kind == "data" else allocation.compute_optimal)(*task, schedule, form)


def follows(effort, quantity, rate, power_margin, log_margin=LOG_MARGIN, huge=None):
    """Whether ``quantity(budget)`` scales like ``rate``: the power, and separately the power of the logarithm.

    Parameters
    ----------
    effort : Effort
    quantity : callable
        Of an array of budgets.
    rate : Rate
    power_margin, log_margin : float
        Local slopes over 1e12 to 1e28 with the logarithm differentiated in; slope against the logarithm over 1e30 to
        1e100.
    huge : ndarray, optional
        Other budgets for the second.
    """
    moderate, largest = ranges(effort)
    local = judges.local_slopes(moderate, quantity(moderate), rate(moderate), power_margin)
    huge = largest if huge is None else huge
    logarithm = np.log(huge)
    rest = np.exp(np.log(quantity(huge)) - rate.power * logarithm)
    return judges.every(power=local, logarithm=judges.exponent(logarithm, rest, rate.log, log_margin, limit="large"))


def cell(effort, tasks, schedule, kind, laws, cooldown=COOLDOWN, names=("risk", "peak"), margins=None):
    """Judge one cell of Table 1 for several tasks.

    Parameters
    ----------
    laws : callable
        Of a task: an Allocation whose entries ``names`` are compared with the numerical optimum.
    margins : dict, optional
        ``{name: (power_margin, log_margin)}`` where they differ from the defaults.
    """
    parts, errors = {}, []
    for task in tasks:
        for name in names:
            def quantity(budget, task=task, name=name):
                return getattr(optimum(task, schedule, kind, budget, cooldown), name)
            power, log = (margins or {}).get(name, (POWER_MARGIN[schedule], LOG_MARGIN))
            rate = getattr(laws(task), name)
            part = follows(effort, quantity, rate, power, log)
            label = f"{name} at s={task[0]:g}, beta={task[1]:g}"
            parts[label] = part
            seen = part.arrays
            errors.append((np.max(np.abs(seen["power.slope"] - seen["power.predicted"])),
                           abs(seen["logarithm.slope"][-1] - rate.log), label, part.accepted))
    return summarised(parts, errors, POWER_MARGIN[schedule])


def summarised(parts, errors, margin):
    """All of the parts, told by the worst power and the worst exponent of a logarithm among them."""
    whole = judges.every(**parts)
    failed = [label for _, _, label, accepted in errors if not accepted]
    power, log = (max(errors, key=lambda error, i=i: error[i]) for i in (0, 1))
    note = f"{len(parts) - len(failed)} of {len(parts)} accepted; worst power: {power[2]}; worst logarithm: {log[2]}"
    if failed:
        note += f"; not accepted: {', '.join(failed)}"
    tolerance = f"powers +- {margin:g}, logarithms +- {LOG_MARGIN:g} or less"
    return dataclasses.replace(whole, measured=f"powers off by <= {power[0]:.2g}, logarithms by <= {log[1]:.2g}",
                               expected="0", tolerance=tolerance, note=note)
