"""Answers that weigh steps against samples: the pair of rates and batch sizes, and when to switch batch sizes.

The pair of a given task is planned by :mod:`theorycheck.theory.schedules.pair`; that of a fitted law keeps the largest
rate the runs were trained at and plans the batch sizes.  A switch of a given task is chosen by the exact risk of two
stages (:mod:`theorycheck.theory.schedules.stages`) at any length.
"""

import math

import numpy as np

from ...theory.fsl.compression import compress
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.recursion import critical_rate, eigen_risk
from ...theory.schedules import pair as pairs
from ...theory.schedules.stages import two_stage_risk
from . import planner
from .planner import LONGEST, Given

STATED_SHARE = 0.9
"""Largest share of the stability bound of each batch size that is planned below a stated largest rate."""

RIVALS = 9
"""Constant batch sizes that a pair is compared with."""


def plan_pair(task, data, target=None, rate=None, smallest=None, largest=None, allowed=None, switches=None):
    """The pair of learning rates and batch sizes that reaches a loss in the fewest steps with at most D samples.

    Parameters
    ----------
    task : Given or Fitted
        A fitted law is planned at its largest rate.
    data : int
        D.
    target : float, optional
        Loss to reach; by default the least.
    rate : float, optional
        Largest learning rate; by default half the rate at which the batch size of the step becomes unstable.
    smallest, largest, allowed, switches
        As for :func:`.planner.plan_batches`.

    Returns
    -------
    Plan
    """
    if not isinstance(task, Given):
        return planner.plan_batches(task, data, rate, smallest, largest, allowed, switches, target)
    data, smallest, largest, sizes = planner.size_limits(data, *task.sizes(smallest, largest), allowed)
    largest = min(largest, data)
    spectrum = compress(task.problem, 1e6) if isinstance(task.problem, PowerLawRegression) else task.problem
    share = 0.5
    if rate is not None:
        most = sizes[-1] if sizes else largest
        rate, share = planner.stable_rate(rate, critical_rate(spectrum, most), most), STATED_SHARE
    limits = pairs.Limits(spectrum, smallest, largest, sizes, share, math.inf if rate is None else rate)
    search = pairs.Planner(task.problem, data, limits, switches)
    frontier = search.frontier()
    best = min((found for _, found in frontier), key=lambda found: found.loss)
    made = best if target is None else search.fewest(target, best)
    facts = {"steps": str(made.steps), "samples used": f"{made.batch_sizes.sum():.0f} of {data}",
             "first and largest batch": f"{made.batch_sizes[0]:g}, {made.batch_sizes.max():g}",
             "largest and last rate": f"{made.rates.max():.4g}, {made.rates[-1]:.4g}"}
    method = "functional law for the ratio of batch size to rate, " + (
        "rates then exactly optimal" if made.steps <= pairs.POLISHED else "risk by the exact recursion")
    rivals = []
    if target is None:
        asked = f"learning rates and batch sizes of least {task.quantity}"
        table = (("largest batch", "steps", task.quantity, "over the best"),
                 *((int(size), found.steps, found.loss, found.loss / best.loss - 1) for size, found in frontier))
        size = next((size for size in limits.sizes if 2 <= data // size <= planner.EXACT_STEPS), None)
        if size is not None:
            rivals = [(f"{name}, batch {size:g}", *other) for name, *other in planner.tuned_rivals(
                task, int(data // size), int(size), float(limits.cap(size)))]
    else:
        asked = f"learning rates and batch sizes of fewest steps to {task.quantity} {target:g}"
        table = (("constant rate and batch", "steps to the loss", "of the plan's"),
                 *_steps_needed(search.spectrum, data, limits, target, made.steps))
    return planner.put_together(task, f"{asked}, at most {data} samples", method, made.rates, made.batch_sizes, rivals,
                                facts=facts, table=table)


def _steps_needed(spectrum, data, limits, target, mine):
    """Rows of how many steps constant batch sizes need for a target, each at the best constant rate."""
    places = np.unique(np.round(np.linspace(0, limits.sizes.size - 1, RIVALS)).astype(int))
    for size, cap in zip(limits.sizes[places].astype(int), limits.caps[places]):
        tried = [(_steps_to(spectrum, rate, int(size), data // int(size), target), rate)
                 for rate in cap * np.geomspace(0.02, 1.0, 16)]
        steps, rate = min(tried)
        if steps < math.inf:
            yield f"batch {size}, best rate {rate:.3g}", steps, f"{steps / mine:.3g} x"
        else:
            yield f"batch {size}, any rate", "not reached", ""


def _steps_to(spectrum, rate, size, most, target):
    """Steps at which the exact risk of a constant rate and batch size first is at most the target; inf for none."""
    if most < 1:
        return math.inf
    times = np.unique(np.round(np.geomspace(1, most, 200)).astype(int))
    for _ in range(2):
        below = np.flatnonzero(eigen_risk(spectrum, rate, size, times) <= target)
        if below.size == 0:
            return math.inf
        first = int(times[below[0]])
        before = int(times[below[0] - 1]) if below[0] else 0
        times = np.unique(np.linspace(before + 1, first, 1000).astype(int))
    return first


def plan_switch(task, data, first, second, rate=None):
    """When to switch from batch size B1 to B2, and what it costs to switch earlier or later.

    Parameters
    ----------
    task : Given or Fitted
    data : int
        D samples in all.
    first, second : int
        ``B1 < B2 <= D``.
    rate : float, optional
        By default as :func:`.planner.default_rate` for B1.

    Returns
    -------
    Plan
    """
    data = planner.whole_number(data, "data", 2, 10**15)
    first = planner.whole_number(first, "from", 1, data)
    second = planner.whole_number(second, "to", first + 1, data)
    if data // first > LONGEST:
        raise ValueError(f"data is {data}; in batches of {first} at most {LONGEST * first} are planned")
    rate = planner.default_rate(task, first) if rate is None else planner.stable_rate(
        rate, task.stable_below(first), first)
    most = data // second
    risk, method = _switch_risk(task, rate, first, second, data)
    grid = np.unique(np.concatenate([[0], np.round(np.geomspace(1, most, 24))]).astype(int))
    known = {}
    while True:
        known.update({int(late): float(risk(late)) for late in grid if int(late) not in known})
        place = int(np.argmin([known[int(late)] for late in grid]))
        ends = grid[max(place - 1, 0)], grid[min(place + 1, grid.size - 1)]
        finer = np.unique(np.round(np.linspace(*ends, 9)).astype(int))
        if all(int(late) in known for late in finer):
            break
        grid = finer
    shares = {share: round((1 - share) * most) for share in (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)}
    known.update({late: float(risk(late)) for late in shares.values()})
    late = min(known, key=known.get)
    shares[round(1 - late * second / data, 4)] = late

    def batches(late):
        return np.repeat([float(first), float(second)], [(data - late * second) // first, late])

    table = (("share of the data at B1", "switch at step", "steps in all", task.quantity, "over the best"),
             *((share, (data - other * second) // first, (data - other * second) // first + other, known[other],
                known[other] / known[late] - 1) for share, other in sorted(shares.items())))
    sizes, begin = batches(late), (data - late * second) // first
    rivals = [(f"batch {size} throughout", task.warmed(np.full(each.size, rate)), each) for size, each in (
        (first, batches(0)), (second, batches(most))) if each.size >= task.least_steps]
    return planner.put_together(task, f"switch from batch {first} to {second}, {data} samples at learning rate "
                                f"{rate:.6g}", "search over the switch, " + method,
                                task.warmed(np.full(sizes.size, rate)), sizes,
                                rivals, facts={"switch at step": f"{begin} of {sizes.size}",
                                               "samples before the switch": f"{begin * first} of {data}"}, table=table)


def _switch_risk(task, rate, first, second, data):
    """Risk as a function of the number of late steps, and what it is computed by."""
    if not isinstance(task, Given):
        def predicted(late):
            sizes = np.repeat([float(first), float(second)], [(data - late * second) // first, late])
            return task.loss(task.warmed(np.full(sizes.size, rate)), sizes)
        return predicted, "law"
    spectrum = task.problem
    if isinstance(spectrum, PowerLawRegression):
        spectrum = compress(spectrum, max(1.0, rate * (data // first)))
    return lambda late: two_stage_risk(spectrum, rate, (first, second), (data - late * second) // first,
                                       late), "exact risk of two stages"
