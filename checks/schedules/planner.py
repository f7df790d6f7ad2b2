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
from functools import partial

import numpy as np
from scipy.optimize import minimize_scalar

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

    def sizes(self, smallest, largest):
        """Limits of the batch size where none are stated: from 1 on."""
        return 1 if smallest is None else smallest, largest

    def warmed(self, rates):
        """The rates themselves."""
        return rates

    least_steps = 2


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law fitted to training runs, with the warm-up every planned run begins with."""

    forecast: object
    warmup: int = 0
    quantity = "loss"

    @property
    def least_steps(self) -> int:
        """Fewest steps of a run."""
        return self.warmup + 3

    def sizes(self, smallest, largest):
        """Limits of the batch size where none are stated: those of the training runs."""
        covered = self.forecast.trusted.batch_sizes
        if covered is None:
            return 1 if smallest is None else smallest, largest
        smallest = math.ceil(covered[0]) if smallest is None else smallest
        return smallest, max(math.floor(covered[1]), smallest) if largest is None else largest

    def warmed(self, rates):
        """The rates after a linear warm-up from 0."""
        if rates.size < self.least_steps:
            raise ValueError(f"the plan has {rates.size} steps, {self.warmup} of them warm-up; at least "
                             f"{self.least_steps} are needed (more data, smaller batches or a shorter warm-up)")
        return rates * np.minimum(np.arange(rates.size) / max(self.warmup, 1), 1.0) if self.warmup else rates

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


def put_together(task, title, method, rates, sizes, rivals, **more):
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
    steps = whole_number(steps, "steps", 2, LONGEST)
    bound = task.stable_below(batch_size)
    peak = 0.5 * bound if peak is None else stable_rate(peak, bound, batch_size)
    sizes = np.full(steps, float(batch_size))
    if steps <= EXACT_STEPS:
        rates = np.array(optimal_rates(task.problem, steps, batch_size, peak).rates)
        method = f"exact optimal control of SGD, all {steps} rates"
    else:
        law = spectral_optimum(task.problem, float(steps) * batch_size, batch_size / peak)
        rates = np.minimum(law.schedule(steps, batch_size).rates, peak)
        method = f"functional law (runs of more than {EXACT_STEPS} steps), risk by the exact recursion"
    rivals = tuned_rivals(task, steps, batch_size, peak)
    title = f"learning rates of {steps} steps at batch size {batch_size:g}, at most {peak:.6g}"
    return put_together(task, title, method, rates, sizes, rivals, facts={
        "largest and last rate": f"{rates.max():.4g}, {rates[-1]:.4g}",
        "largest rate reached at step": str(int(rates.argmax()))})


def tuned_rivals(task, steps, batch_size, peak):
    """Cosine, WSD (the best of several phases and shapes), linear and constant rates, each with its best peak."""
    sizes = np.full(steps, float(batch_size))
    spectrum = compress(task.problem, max(1.0, steps * peak), tolerance=1e-4)
    short = steps <= EXACT_STEPS
    shapes = {"cosine": [learning_rates.cosine], "linear": [learning_rates.linear],
              "constant": [learning_rates.constant], "WSD": [
                  partial(learning_rates.wsd, cooldown=cooldown, shape=shape)
                  for shape in (learning_rates.COOLDOWNS if short else ("1-sqrt",))
                  for cooldown in ((0.1, 0.2, 0.4, 0.6, 0.8) if short else (0.2, 0.5, 0.8))]}

    def tuned(shape):
        def risk(logarithm):
            try:
                return exact_risk(spectrum, shape(steps, math.exp(logarithm)), batch_size, times=[steps]).final
            except ValueError:   # the risk overflows
                return math.inf
        found = minimize_scalar(risk, bounds=(math.log(1e-3 * peak), math.log(peak)), method="bounded",
                                options={"xatol": 0.01, "maxiter": 16 if short else 10})
        return min((risk(math.log(peak)), peak), (found.fun, math.exp(found.x)), key=lambda pair: pair[0]), shape

    rivals = []
    for name, several in shapes.items():
        (_, best), shape = min((tuned(shape) for shape in several), key=lambda pair: pair[0][0])
        phase = f" {shape.keywords['shape']} over {100 * shape.keywords['cooldown']:.0f}%" if name == "WSD" else ""
        rivals.append((f"{name}{phase}, best peak {best:.3g}", np.array(shape(steps, best).rates), sizes))
    return rivals


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
    steps = whole_number(steps, "steps", task.warmup + 3, LONGEST)
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
    title = f"learning rates of {steps} steps between {floor:.4g} and {peak:.4g}, {task.warmup} of warm-up"
    made = put_together(task, title, method, rates, sizes, rivals, facts=facts, notes=notes)
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


def plan_batches(task, data, rate=None, smallest=None, largest=None, allowed=None, switches=None, target=None) -> Plan:
    """The best batch sizes of D samples at a fixed learning rate.

    Parameters
    ----------
    task : Given or Fitted
    data : int
        D.
    rate : float, optional
        By default as :func:`default_rate` for the smallest batch size.
    smallest, largest : int, optional
        Limits of the batch size; by default from 1 on, or what the training runs of a fit covered.
    allowed : sequence of int, optional
        The sizes the hardware takes; those beyond the limits are left out.
    switches : int, optional
        Most switches between sizes.
    target : float, optional
        Final loss by the law: the batch sizes of fewest steps that reach it, at this rate, with at most D samples.
        (Only batch size over rate counts for a law's loss; the largest rate needs the fewest steps.)
    """
    data, smallest, largest, sizes = size_limits(data, *task.sizes(smallest, largest), allowed)
    least = smallest if sizes is None else sizes[0]
    rate = default_rate(task, least) if rate is None else stable_rate(rate, task.stable_below(least), least)
    ladder = sizes or _ladder(smallest, largest, isinstance(task, Fitted))
    facts = {}
    if (target is None and sizes is None and switches is None and isinstance(task, Given)
            and _likely_steps(task, data, rate, smallest) <= EXACT_STEPS):
        found = optimal_batches(task.problem, data, rate, smallest, largest)
        batches, method = whole_sizes(found.batches, smallest, largest), (
            "exact optimal batch sizes of SGD, rounded to whole samples")
    else:
        stages = discrete.staged_batches(task.noise_law(rate, data // least), data, ladder, switches, target)
        batches, method = stages.batches(), "dynamic programming on the law" + (
            ", risk by the exact recursion" if isinstance(task, Given) else "")
        facts["stages"] = ", then ".join(f"{c} x {s}" for s, c in zip(stages.sizes[:8], stages.counts)) + (
            ", ..." if len(stages.sizes) > 8 else "")
        if stages.unused and target is None:
            facts["samples left over"] = f"{stages.unused} (no number of steps at these sizes uses them)"
    facts = {"steps": str(batches.size), "samples used": f"{batches.sum():.0f} of {data}",
             "first and largest batch": f"{batches[0]:g}, {batches.max():g}", **facts}
    asked = "batch sizes" if target is None else f"batch sizes of fewest steps to {task.quantity} {target:g}"
    title, rates = f"{asked} of {data} samples at learning rate {rate:.6g}", task.warmed(np.full(batches.size, rate))
    rivals = _constant_batches(task, data, rate, ladder)
    if target is None:
        return put_together(task, title, method, rates, batches, rivals, facts=facts)
    return put_together(task, title, method, rates, batches, (), facts=facts, table=(
        ("batch size throughout", "steps to the loss", "of the plan's"),
        *_steps_needed(task.noise_law(rate, data // least), rivals, target, batches.size)))


def _steps_needed(law, rivals, target, mine):
    """Rows of how many steps constant batch sizes need for a target by the law, which falls with the steps."""
    for name, _, sizes in rivals:
        if law.loss(sizes) > target:
            yield name, "not reached", ""
            continue
        low, high = 0, sizes.size
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if law.loss(sizes[:middle]) <= target else (middle, high)
        yield name, high, f"{high / mine:.3g} x"


def _likely_steps(task, data, rate, smallest):
    if not task.problem.noise > 0:
        return data / smallest
    return spectral_optimum(task.problem, float(data), smallest / rate).horizon / rate


def _ladder(smallest, largest, powers):
    """Whole sizes between the limits: the smallest and powers of two, or at most 40, geometric."""
    top = min(largest, smallest * 2**20)
    if powers:
        return sorted({smallest, *(2**k for k in range(64) if smallest < 2**k <= top)})
    return np.unique(np.round(np.geomspace(smallest, top, 40)).astype(int)).tolist()


def _constant_batches(task, data, rate, sizes):
    """The best constant allowed size and the smallest one, as rivals."""
    made = {}
    for size in sizes:
        count = int(data // size)
        if task.least_steps <= count <= LONGEST:
            made[size] = np.full(count, float(size))
    chosen = sorted(made)[:: max(1, len(made) // 12)]
    if not chosen:
        return []
    law = task.noise_law(rate, max(each.size for each in made.values()))
    best = min(chosen, key=lambda size: law.loss(made[size]))
    return [(f"batch {size} throughout{label}", task.warmed(np.full(made[size].size, rate)), made[size])
            for size, label in {min(made): "", best: " (best constant)"}.items()][::-1]


def size_limits(data, smallest, largest, allowed):
    """Samples, limits of the batch size, and the allowed sizes between them (or None), checked."""
    data = whole_number(data, "data", 2, 10**15)
    smallest = whole_number(smallest, "min", 1, data)
    largest = data if largest is None else whole_number(largest, "max", smallest, 10**15)
    sizes = None if allowed is None else sorted({s for s in allowed if smallest <= s <= largest})
    if sizes == []:
        raise ValueError(f"no allowed batch size lies in [{smallest}, {largest}]; allowed are "
                         f"{', '.join(f'{s:g}' for s in sorted(allowed))}")
    least = smallest if sizes is None else sizes[0]
    if data // least > LONGEST:
        raise ValueError(f"data is {data}; in batches of {least:g} at most {LONGEST * least:g} are planned "
                         f"(or the smallest batch at least {-(-data // LONGEST)})")
    return data, smallest, largest, sizes


def whole_number(value, name, low, high):
    """A whole number in [low, high], or one line that says so."""
    value = number(value, name)
    if not (math.isfinite(value) and value == math.floor(value) and low <= value <= high):
        raise ValueError(f"{name} is {value:g}; it must be a whole number in [{low:g}, {high:g}]")
    return int(value)


def stable_rate(value, bound, batch_size):
    """A rate in (0, bound], or one line that says so."""
    value = number(value, "rate")
    if not 0 < value <= bound:
        raise ValueError(f"rate is {value:g}; with batches of {batch_size:g} it must be in (0, {bound:.6g}]")
    return value
