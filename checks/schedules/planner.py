r"""Answers to a practitioner's questions: which learning rates, which batch sizes, which pair, when to switch.

A *task* says what a schedule costs: :class:`Given` for power-law regression with known source, capacity and noise
(exact expected risk of SGD), :class:`Fitted` for a law fitted to training runs.  Every answer is a :class:`Plan`: rates
and batch sizes of all steps, what is expected of them, what they are compared with, and which method found them.

For a given task, runs of up to ``EXACT_STEPS`` steps are planned by exact optimal control (the best of all sequences);
longer ones, and stages of allowed batch sizes, by the functional law.  The risk that is reported is exact either way.
For a fitted law everything is the law's.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ...theory import learning_rates
from ...theory.arguments import number
from ...theory.fsl.compression import compress
from ...theory.fsl.recursion import critical_rate, exact_risk
from ...theory.schedules import discrete_batches as discrete
from ...theory.schedules import fitted_optimum
from ...theory.schedules.batch_control import optimal_batches, whole_sizes
from ...theory.schedules.fitted_law import Rows, final_loss
from ...theory.schedules.optimal_control import optimal_rates
from ...theory.schedules.spectral_optimum import spectral_optimum
from . import forecast as forecasting

EXACT_STEPS = 65_536
"""Longest run that is planned by exact optimal control."""

LONGEST = 5_000_000
"""Longest run that is planned."""

POINTS = 250
"""Steps at which the loss along a run is computed."""


@dataclass(frozen=True)
class Rival:
    """What a plan is compared with.

    Attributes
    ----------
    name : str
    loss : float
    gain : Gain or None
        With its uncertainty, for a fitted law.
    """

    name: str
    loss: float
    gain: object = None


@dataclass(frozen=True, eq=False)
class Plan:
    """An answer.

    Attributes
    ----------
    title, method : str
        What was asked and how it was found, one line each.
    rates, batch_sizes : ndarray, shape (N,)
    loss : float
        Expected final loss (a fitted law) or excess risk (a given task).
    band : (float, float) or None
        Interval of a measured final loss, for a fitted law.
    rivals : tuple of Rival
    facts : dict of str to str
        Further numbers for the reader, in words.
    notes : tuple of str
        Cautions.
    curves : dict of str to dict
        For the plot, by the name of the schedule: ``steps, rates, batch_sizes`` and ``loss_steps, loss, low, high``.
    table : tuple of tuple
        Rows of a further table, the first its header; empty without one.
    quantity : str
        What `loss` is.
    batches_known : bool
        False where the training runs of a fit state no batch sizes: then those of the plan mean nothing.
    """

    title: str
    method: str
    rates: np.ndarray
    batch_sizes: np.ndarray
    loss: float
    band: tuple | None = None
    rivals: tuple = ()
    facts: dict = field(default_factory=dict)
    notes: tuple = ()
    curves: dict = field(default_factory=dict)
    table: tuple = ()
    quantity: str = "excess risk"
    batches_known: bool = True

    @property
    def steps(self) -> int:
        """N."""
        return self.rates.size

    @property
    def samples(self) -> float:
        """Data used."""
        return float(self.batch_sizes.sum())


@dataclass(frozen=True, eq=False)
class Given:
    """Power-law regression with known source, capacity and noise."""

    problem: object
    quantity = "excess risk"

    def noise_law(self, rate, longest):
        """The functional law at a constant rate."""
        return discrete.spectral_noise_law(self.problem, rate, longest)

    def loss(self, rates, batch_sizes) -> float:
        """Exact excess risk after the last step."""
        return exact_risk(self.problem, learning_rates.Schedule(rates), batch_sizes, times=[rates.size]).final

    def stable_below(self, batch_size) -> float:
        """Rate below which a batch size is mean-square stable (infinite width: that of its resolved modes)."""
        return critical_rate(compress(self.problem, 1e6), max(1, math.floor(batch_size)))

    def curve(self, rates, batch_sizes):
        """Loss along the run."""
        count = rates.size
        steps = np.unique(np.round(np.concatenate([np.geomspace(1, count, POINTS // 2),
                                                   np.linspace(1, count, POINTS // 2)])).astype(int))
        seen = exact_risk(self.problem, learning_rates.Schedule(rates), batch_sizes, times=steps)
        return _curve(rates, batch_sizes, steps, seen.excess_risk)

    def compared(self, _mine, named):
        """Rivals from (name, rates, batch sizes)."""
        return tuple(Rival(name, self.loss(rates, sizes)) for name, rates, sizes in named)

    def band(self, *_):
        """None: the risk is exact."""

    def cautions(self, *_):
        """Nothing to add."""
        return ()


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law fitted to training runs, with the warm-up every planned run begins with."""

    forecast: object
    warmup: int = 0
    quantity = "loss"

    def rows(self, rates, batch_sizes) -> Rows:
        """The rows of a run after its warm-up."""
        return Rows(np.arange(self.warmup, rates.size, dtype=float), float(self.warmup), batch_sizes[self.warmup:])

    def noise_law(self, rate, _longest):
        """The fitted law at a constant rate."""
        if self.forecast.law.name != "fsl":
            raise ValueError(f"batch sizes are planned by the fsl law; the fit is of the {self.forecast.law.name} law")
        if self.forecast.trusted.batch_sizes is None:
            raise ValueError("the training runs of the fit state no batch sizes; fit logs with a column batch_size")
        return discrete.fitted_noise_law(self.forecast.law, rate)

    def loss(self, rates, batch_sizes) -> float:
        """Predicted loss at the last step."""
        return final_loss(self.forecast.law, self.rows(rates, batch_sizes), rates[self.warmup:])

    def stable_below(self, _batch_size) -> float:
        """The largest rate of the training runs: beyond it nothing is known."""
        return self.forecast.trusted.rates[1] * (1 + 1e-9)

    def curve(self, rates, batch_sizes):
        """Predicted loss along the run, with its band."""
        return _curve(rates, batch_sizes, *forecasting.predicted_curve(
            self.forecast, self.rows(rates, batch_sizes), rates[self.warmup:]))

    def compared(self, mine, named):
        """Rivals from (name, rates, batch sizes), with the gain and its uncertainty."""
        rates, sizes = mine
        made = []
        for name, other, other_sizes in named:
            gain = forecasting.gain(self.forecast, self.rows(rates, sizes), rates[self.warmup:], other[self.warmup:],
                                    self.rows(other, other_sizes))
            made.append(Rival(name, gain.other, gain))
        return tuple(made)

    def band(self, rates, batch_sizes):
        """Interval of a measured final loss."""
        return forecasting.loss_band(self.forecast, self.rows(rates, batch_sizes), rates[self.warmup:])

    def cautions(self, rates, batch_sizes):
        """What the fit warned about, and where the plan leaves what it covers."""
        left = forecasting.beyond(self.forecast, self.rows(rates, batch_sizes), rates[self.warmup:])
        untested = () if self.forecast.left_out else (
            "the law was fitted to one run: its error on another schedule cannot be estimated and no interval holds "
            "it; where it could be measured it was several times the rest",)
        return (*(f"the fit warns: {text}" for text in self.forecast.warnings), *untested,
                *(f"the plan {text}" for text in left))


def _curve(rates, batch_sizes, steps, losses, low=None, high=None):
    return {"steps": np.arange(rates.size), "rates": rates, "batch_sizes": batch_sizes, "loss_steps": steps,
            "loss": losses, "low": low, "high": high}


def _plan(task, title, method, rates, sizes, rivals, **more):
    """Put a plan together; `rivals` are (name, rates, batch sizes), of which the first two are drawn."""
    curves = {"plan": task.curve(rates, sizes)}
    for name, other, other_sizes in rivals[:2]:
        curves[name] = task.curve(other, other_sizes)
    notes = (*more.pop("notes", ()), *task.cautions(rates, sizes))
    return Plan(title, method, rates, sizes, task.loss(rates, sizes), task.band(rates, sizes),
                task.compared((rates, sizes), rivals), curves=curves, notes=notes, quantity=task.quantity, **more)


def default_rate(task, batch_size) -> float:
    """Half the stability bound of a given task; the largest rate of the training runs of a fitted one."""
    bound = task.stable_below(batch_size)
    return 0.5 * bound if isinstance(task, Given) else task.forecast.trusted.rates[1]


def plan_rates(task, steps, batch_size=1, peak=None) -> Plan:
    """The best learning rates of N steps at a fixed batch size, for a given task.

    Parameters
    ----------
    task : Given
    steps : int
        N, in [2, LONGEST].
    batch_size : int
    peak : float, optional
        Largest rate; by default half the rate at which the batch size becomes unstable.
    """
    steps = _count(steps, "steps", 2, LONGEST)
    bound = task.stable_below(batch_size)
    peak = 0.5 * bound if peak is None else _rate(peak, bound, batch_size)
    sizes = np.full(steps, float(batch_size))
    if steps <= EXACT_STEPS:
        rates = np.array(optimal_rates(task.problem, steps, batch_size, peak).rates)
        method = f"exact optimal control of SGD, all {steps} rates"
    else:
        law = spectral_optimum(task.problem, float(steps) * batch_size, batch_size / peak)
        rates = np.minimum(law.schedule(steps, batch_size).rates, peak)
        method = f"functional law (runs of more than {EXACT_STEPS} steps), risk by the exact recursion"
    trial = 7 if steps <= EXACT_STEPS else 4
    rivals = []
    for name, shape in (("cosine", learning_rates.cosine), ("WSD", lambda n, p: learning_rates.wsd(
            n, p, 0.2, shape="linear")), ("linear", learning_rates.linear), ("constant", learning_rates.constant)):
        tried = [shape(steps, p).rates for p in peak * np.geomspace(0.03, 1.0, trial)]
        best = min(tried, key=lambda each: task.loss(each, sizes))
        rivals.append((f"{name}, best peak {best.max():.3g}", np.array(best), sizes))
    return _plan(task, f"learning rates of {steps} steps at batch size {batch_size:g}, at most {peak:.6g}", method,
                 rates, sizes, rivals, facts={"largest and last rate": f"{rates.max():.4g}, {rates[-1]:.4g}",
                                       "largest rate reached at step": str(int(rates.argmax()))})


def plan_fitted_rates(task, steps, peak=None, floor=None, batch_size=None, against=()) -> Plan:
    """The rates that minimise the predicted final loss of N steps.

    Parameters
    ----------
    task : Fitted
        With its warm-up.
    steps : int
    peak, floor : float, optional
        By default the largest and the smallest rate of the training runs: the range in which the fit is trusted.
    batch_size : float, optional
        By default the reference's.  Where the training runs state no batch sizes it is theirs, whatever it is called.
    against : sequence of LossCurve
        Further schedules to compare with, each over the same steps.
    """
    steps = _count(steps, "steps", task.warmup + 3, LONGEST)
    known, law = task.forecast.trusted, task.forecast.law
    labelled = None if batch_size is None else number(batch_size, "batch size")
    if labelled is not None and not 0 < labelled <= 1e15:
        raise ValueError(f"batch size is {labelled:g}; it must be in (0, 1e15]")
    batch = law.batch if labelled is None or known.batch_sizes is None else labelled
    peak = known.rates[1] if peak is None else number(peak, "peak")
    floor = min(known.rates[0], peak) if floor is None else number(floor, "floor")
    rows = fitted_optimum.rows_of(steps, task.warmup, batch)
    found = fitted_optimum.optimal_rates(law, rows, peak, floor)
    sizes = np.full(steps, batch)
    rates = fitted_optimum.with_warmup(found.rates, task.warmup)
    usual = fitted_optimum.parametric(rows, peak, floor)
    names = ["cosine", min((name for name in usual if name.startswith("WSD")),
                           key=lambda name: final_loss(law, rows, usual[name])), "linear", "constant"]
    rivals = [(name, fitted_optimum.with_warmup(usual[name], task.warmup), sizes) for name in names]
    rivals += [(curve.name, _rates_of(curve, steps, task.warmup), _sizes_of(curve, steps, sizes, known))
               for curve in against]
    leaves = np.flatnonzero(found.rates < 0.999 * found.rates.max())
    facts = {"decay begins at step": str(task.warmup + int(leaves[0])) if leaves.size else "never",
             "largest and last rate": f"{rates.max():.4g}, {rates[-1]:.4g}"}
    notes = ()
    if law.name == "blind":
        notes = ("the schedule-blind law has no reason to lower the rate: this is no plan, fit fsl or mpl",)
    if law.weights[1] > 0:
        notes = ("the fit keeps a source weight (c2), which would pay for low rates at the start where no run has seen "
                 "it hold; only water-filled and usual schedules were candidates",)
    method = {"fsl": "water-filling of the fitted law" + (", then descent on all rates" if not law.weights[1] else ""),
              "mpl": "descent on rates that do not rise", "blind": "the peak throughout"}[law.name]
    if floor == peak:
        notes = (*notes, "the floor is the peak: nothing is left to plan but the warm-up")
    made = _plan(task, f"learning rates of {steps} steps between {floor:.4g} and {peak:.4g}, {task.warmup} of warm-up",
                 method, rates, sizes, rivals, facts=facts, notes=notes)
    if known.batch_sizes is not None:
        return made
    told = np.full(steps, np.nan if labelled is None else labelled)
    return replace(made, batch_sizes=told, batches_known=labelled is not None)


def _rates_of(curve, steps, warmup):
    """Rates of steps 0..N-1 from the rows of a schedule: linear between rows, the first row's after the warm-up."""
    if not 0.99 <= curve.steps[-1] / (steps - 1) <= 1.01:
        raise ValueError(f"{curve.name}: runs to step {curve.steps[-1]:g}; a schedule to compare with must run to "
                         f"about {steps - 1}")
    at = np.arange(steps)
    rates = np.interp(at, curve.steps, curve.rates)
    return rates * np.clip(at / min(max(warmup, 1), max(curve.steps[0], 1.0)), 0.0, 1.0)


def _sizes_of(curve, steps, sizes, known):
    """Batch sizes of steps 0..N-1, each kept until the next row; the plan's where they are not stated."""
    if curve.batch_sizes is None or known.batch_sizes is None:
        return sizes
    place = np.searchsorted(curve.steps, np.arange(steps), side="right") - 1
    return curve.batch_sizes[np.maximum(place, 0)]


def plan_batches(task, data, rate=None, smallest=1, largest=None, allowed=None, switches=None, target=None) -> Plan:
    """The best batch sizes of D samples at a fixed learning rate.

    Parameters
    ----------
    task : Given or Fitted
    data : int
        D.
    rate : float, optional
        By default as :func:`default_rate` for the smallest batch size.
    smallest, largest : int
        Limits of the batch size.
    allowed : sequence of int, optional
        The sizes the hardware takes; those beyond the limits are left out.
    switches : int, optional
        Most switches between sizes.
    target : float, optional
        Final loss: the batch sizes of fewest steps that reach it, at this rate.  (Only batch size over rate counts for
        the loss; the largest rate needs the fewest steps.)
    """
    data = _count(data, "data", 2, 10**15)
    smallest = _count(smallest, "min", 1, data)
    largest = data if largest is None else _count(largest, "max", smallest, 10**15)
    sizes = None if allowed is None else sorted({s for s in allowed if smallest <= s <= largest})
    if sizes == []:
        raise ValueError(f"no allowed batch size lies in [{smallest}, {largest}]; allowed are "
                         f"{', '.join(f'{s:g}' for s in sorted(allowed))}")
    least = smallest if sizes is None else sizes[0]
    rate = default_rate(task, least) if rate is None else _rate(rate, task.stable_below(least), least)
    if data // least > LONGEST:
        raise ValueError(f"data is {data}; in batches of {least:g} at most {LONGEST * least:g} are planned "
                         f"(or the smallest batch at least {-(-data // LONGEST)})")
    free = sizes is None and switches is None and isinstance(task, Given)
    stages, facts = None, {}
    if free and _likely_steps(task, data, rate, smallest) <= EXACT_STEPS:
        batches, method = _exact_batches(task, data, rate, smallest, largest, target)
    else:
        law = task.noise_law(rate, data // least)
        stages = discrete.staged_batches(law, data, sizes or _ladder(smallest, largest), switches,
                                         None if target is None else target)
        batches, method = stages.batches(), "dynamic programming on the law" + (
            ", risk by the exact recursion" if isinstance(task, Given) else "")
        facts["stages"] = ", then ".join(f"{c} x {s}" for s, c in zip(stages.sizes[:8], stages.counts)) + (
            ", ..." if len(stages.sizes) > 8 else "")
        if stages.unused:
            facts["samples left over"] = f"{stages.unused} (no number of steps at these sizes uses them)"
    notes = ()
    if target is not None and batches.min() == batches.max() == min(largest, max(sizes or [largest])):
        batches = _stopped(task, batches, rate, target)
        facts.pop("samples left over", None)
        facts["stages"] = f"{batches.size} x {batches[0]:g}"
    rates = np.full(batches.size, rate)
    if target is not None and task.loss(rates, batches) > target:
        notes = (f"the law reaches the target, the exact risk is {100 * (task.loss(rates, batches) / target - 1):.2g}% "
                 "above it",)
    facts = {"steps": str(batches.size), "samples used": f"{batches.sum():.0f} of {data}",
             "first and largest batch": f"{batches[0]:g}, {batches.max():g}", **facts}
    asked = "batch sizes" if target is None else f"batch sizes of fewest steps to {task.quantity} {target:g}"
    return _plan(task, f"{asked} of {data} samples at learning rate {rate:.6g}", method, rates, batches,
                 _constant_batches(task, data, rate, sizes or _ladder(smallest, largest)), facts=facts, notes=notes)


def plan_pair(task, data, target=None, rate=None, **limits) -> Plan:
    """The pair of learning rates and batch sizes that reaches a loss in the fewest steps with D samples.

    The law depends on batch size over rate only, so of all pairs with the same loss the one with the largest rate
    throughout has the fewest steps; see :func:`plan_batches` for the limits.
    """
    return plan_batches(task, data, rate, target=target, **limits)


def plan_switch(task, data, first, second, rate=None) -> Plan:
    """When to switch from batch size B1 to B2, and what it costs to switch earlier or later.

    Parameters
    ----------
    task : Given or Fitted
    data : int
        D samples in all.
    first, second : int
        ``B1 < B2 <= D``.
    rate : float, optional
        By default as :func:`default_rate` for B1.
    """
    data = _count(data, "data", 2, 10**15)
    first = _count(first, "from", 1, data)
    second = _count(second, "to", first + 1, data)
    if data // first > LONGEST:
        raise ValueError(f"data is {data}; in batches of {first} at most {LONGEST * first} are planned")
    rate = default_rate(task, first) if rate is None else _rate(rate, task.stable_below(first), first)
    law = task.noise_law(rate, data // first)
    exact = isinstance(task, Given) and data // first <= EXACT_STEPS

    def batches(late):
        late = int(min(max(late, 0), data // second))
        return np.repeat([float(first), float(second)], [(data - late * second) // first, late])

    known = {}

    def loss(late):
        late = int(late)
        if late not in known:
            sizes = batches(late)
            known[late] = task.loss(np.full(sizes.size, rate), sizes) if exact else law.loss(sizes)
        return known[late]

    most = data // second
    grid = np.unique(np.concatenate([[0], np.round(np.geomspace(1, most, 24))]).astype(int))
    for _ in range(3):
        place = int(np.argmin([loss(late) for late in grid]))
        ends = grid[max(place - 1, 0)], grid[min(place + 1, grid.size - 1)]
        grid = np.unique(np.round(np.linspace(*ends, 9)).astype(int))
    late = min(known, key=known.get)
    sizes = batches(late)
    rows = [("share of the data at B1", "switch at step", "steps in all", task.quantity, "over the best")]
    shares = sorted({0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0, round(1 - late * second / data, 4)})
    for share in shares:
        tried = batches(round((1 - share) * most))
        risk = task.loss(np.full(tried.size, rate), tried)
        rows.append((share, int(np.sum(tried == first)), tried.size, risk))
    found = task.loss(np.full(sizes.size, rate), sizes)
    table = (rows[0], *((*row, row[3] / found - 1) for row in rows[1:]))
    begin = int(np.sum(sizes == first))
    rivals = [(f"{name}", np.full(each.size, rate), each) for name, each in (
        (f"batch {first} throughout", batches(0)), (f"batch {second} throughout", batches(most))) if each.size]
    return _plan(task, f"switch from batch {first} to {second}, {data} samples at learning rate {rate:.6g}",
                 "search over the switch, " + ("exact recursion" if exact else "functional law"),
                 np.full(sizes.size, rate), sizes, rivals,
                 facts={"switch at step": f"{begin} of {sizes.size}",
                        "samples before the switch": f"{begin * first} of {data}"}, table=table)


def _exact_batches(task, data, rate, smallest, largest, target):
    found = optimal_batches(task.problem, data, rate, smallest, largest)
    method = "exact optimal batch sizes of SGD, rounded to whole samples"
    if target is not None:
        if not found.loss <= target:
            raise ValueError(f"target is {target:g}; {data} samples at rate {rate:.6g} reach {found.loss:.6g} at best")
        low, high = -(-data // largest) - 1, found.steps
        while high - low > max(1, high // 200):
            middle = (low + high) // 2
            tried = optimal_batches(task.problem, data, rate, smallest, largest, steps=middle, tolerance=1e-8)
            if _whole_loss(task, tried) <= target:
                high, found = middle, tried
            else:
                low = middle
    return whole_sizes(found.batches, smallest, largest), method


def _stopped(task, batches, rate, target):
    """The largest batch size throughout and more data than needed: the fewest of its steps that reach the target."""
    low, high = 0, batches.size
    while high - low > 1:
        middle = (low + high) // 2
        if task.loss(np.full(middle, rate), batches[:middle]) <= target:
            high = middle
        else:
            low = middle
    return batches[:high]


def _whole_loss(task, found):
    return task.loss(np.full(found.steps, found.rate), whole_sizes(found.batches, found.smallest, found.largest))


def _likely_steps(task, data, rate, smallest):
    if not task.problem.noise > 0:
        return data / smallest
    return spectral_optimum(task.problem, float(data), smallest / rate).horizon / rate


def _ladder(smallest, largest):
    """Whole sizes between the limits, at most 40, geometric."""
    top = min(largest, smallest * 2**20)
    return np.unique(np.round(np.geomspace(smallest, top, 40)).astype(int)).tolist()


def _constant_batches(task, data, rate, sizes):
    """The best constant allowed size and the smallest one, as rivals."""
    made = {}
    for size in sizes:
        count = int(data // size)
        if count >= 2 and count <= LONGEST:
            made[size] = np.full(count, float(size))
    chosen = sorted(made)[:: max(1, len(made) // 12)]
    if not chosen:
        return []
    law = task.noise_law(rate, max(each.size for each in made.values()))
    best = min(chosen, key=lambda size: law.loss(made[size]))
    return [(f"batch {size} throughout{label}", np.full(made[size].size, rate), made[size])
            for size, label in {min(made): "", best: " (best constant)"}.items()][::-1]


def _count(value, name, low, high):
    value = number(value, name)
    if not (math.isfinite(value) and value == math.floor(value) and low <= value <= high):
        raise ValueError(f"{name} is {value:g}; it must be a whole number in [{low:g}, {high:g}]")
    return int(value)


def _rate(value, bound, batch_size):
    value = number(value, "rate")
    if not 0 < value <= bound:
        raise ValueError(f"rate is {value:g}; with batches of {batch_size:g} it must be in (0, {bound:.6g}]")
    return value
