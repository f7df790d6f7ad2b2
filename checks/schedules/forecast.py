r"""What a fitted law promises for schedules nobody has run: losses, differences of losses, and how far to trust them.

A *forecast* is a fit (:mod:`theorycheck.checks.fsl.loss_curve_fit`) reduced to what planning needs: the law with its
estimates, the bootstrap's refits, the misfit of the training runs, and what those runs covered.

Two errors are stated for the difference of the final losses of two schedules:

- of the *parameters*: the percentiles of the difference over the refits, both losses by the same refit (most of what
  the refits disagree about is common to both schedules);
- of a *measurement*: the same, in quadrature with the misfits of two runs (percentiles of the training residuals) and
  with the law's error on a schedule it was not fitted to, all taken as independent.  That error is estimated by leaving
  every training run out in turn: its final loss against the law fitted to the others, times Student's quantile for as
  many runs.  It also holds what differs between two runs of the same schedule.  With a single training run there is no
  such estimate, and no gain is called clear.

A schedule that was chosen because its prediction is low is flattered by the estimate it was chosen with; the refits
were not asked, so their mean difference shows by how much.  Neither error says what the law does beyond what the
training runs covered: that is named, not counted.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm, t

from ...theory.fsl import loss_curve_laws as laws
from ...theory.schedules.fitted_law import FittedLaw, Rows, final_loss, intrinsic_time
from ..fsl import loss_curve_fit as fits

LEVEL = 0.9
"""Coverage of the intervals."""

END = 0.02
"""Share of a run, at its end, over which its final loss is averaged when it is left out."""

MOST_WARMUP = 10**9
"""Longest warm-up that is read."""

THINNED = 300
"""Half the rows on which refits are compared."""


@dataclass(frozen=True)
class Trusted:
    """What the training runs covered after their warm-ups.

    Attributes
    ----------
    time : float
        Longest intrinsic time, in the law's units.
    levels : (float, float)
        Noise level, relative to the reference.
    rates : (float, float)
    batch_sizes : (float, float) or None
        ``None`` where they were not stated.
    warmup : int
        Step at which the first run's warm-up ends.
    """

    time: float
    levels: tuple
    rates: tuple
    batch_sizes: tuple | None
    warmup: int


@dataclass(frozen=True, eq=False)
class Forecast:
    """A fitted law, its refits, its misfit and its range.

    Attributes
    ----------
    law : FittedLaw
    refits : tuple of FittedLaw
    misfit : (float, float)
        Relative deviation of a measured loss from the law: limits of the central 90%, low <= 0 <= high.
    trusted : Trusted
    warnings : tuple of str
        Of the fit; the serious ones say that other schedules are not determined.
    left_out : tuple of float
        Relative error of the final loss of every training run by the law fitted to the others; empty for one run.
    """

    law: FittedLaw
    refits: tuple
    misfit: tuple
    trusted: Trusted
    warnings: tuple = ()
    left_out: tuple = ()

    @property
    def transfer(self) -> float:
        """Half the 90% interval of the law's relative error on an unseen schedule; 0 where it cannot be estimated."""
        if not self.left_out:
            return 0.0
        errors = np.array(self.left_out)
        return float(t.ppf((1 + LEVEL) / 2, errors.size) * np.sqrt(np.mean(errors**2)))


@dataclass(frozen=True)
class Gain:
    """How much lower the final loss of one schedule is predicted than that of another.

    Attributes
    ----------
    loss, other : float
        Predicted final losses.
    difference : float
        ``other - loss``.
    parameters, measurement : (float, float)
        Intervals of the difference, see the module.
    mean : float
        Over the refits.
    tested : bool
        Whether the measurement's interval holds the law's error on unseen schedules.
    """

    loss: float
    other: float
    difference: float
    parameters: tuple
    measurement: tuple
    mean: float
    tested: bool = True

    @property
    def verdict(self) -> str:
        """``clear``; ``within the scatter of runs`` (losses, when measured, may disagree); ``untested`` (one training
        run); ``within the error``."""
        if not self.parameters[0] > 0:
            return "within the error"
        if not self.tested:
            return "untested"
        return "clear" if self.measurement[0] > 0 else "within the scatter of runs"


def trusted_range(fit, curves) -> Trusted:
    """What the training curves of a fit cover."""
    first = [laws.first_row(curve.steps, curve.rates, fit.units.warmup) for curve in curves]
    rates = np.concatenate([curve.rates[row:] for curve, row in zip(curves, first)])
    sizes = np.concatenate([curve.batch_sizes[row:] for curve, row in zip(curves, first)]) if fit.batched else None
    return Trusted(float(max(sample.annealing.times[-1] for sample in fit.samples)),
                   (min(s.levels[1] for s in fit.samples), max(s.levels[2] for s in fit.samples)),
                   (float(rates.min()), float(rates.max())),
                   None if sizes is None else (float(sizes.min()), float(sizes.max())),
                   int(curves[0].steps[first[0]]))


def misfit_of(fit) -> tuple:
    """Limits of the central 90% of (measured - law)/law, rows that were averaged for the fit counted one by one."""
    noise = np.concatenate(fit.residuals)
    scatter = float(np.sqrt(np.mean([sample.scatter**2 for sample in fit.samples])))
    low, high = np.quantile(-noise, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    added = scatter * float(norm.ppf((1 + LEVEL) / 2))
    return -math.hypot(min(low, 0.0), added), math.hypot(max(high, 0.0), added)


def left_out_errors(curves, law, warmup=None, seed=0, between=lambda: None) -> tuple:
    """Relative error of the final loss of each run by the law fitted to the others, (measured - law)/law.

    Parameters
    ----------
    curves : sequence of LossCurve
    law : {"fsl", "mpl", "blind"}
    warmup : float, optional
    seed : int
    between : callable
        Called before each fit; what it raises ends the work.

    Returns
    -------
    tuple of float
        Empty for a single run.  A run that the others say nothing of (another unit, no rows in their range) is left
        away.
    """
    errors = []
    for place, curve in enumerate(curves if len(curves) > 1 else ()):
        between()
        try:
            seen = fits.predict(fits.fit([*curves[:place], *curves[place + 1:]], law, warmup=warmup, seed=seed), curve)
        except ValueError:
            continue
        count = max(1, round(END * curve.losses.size))
        errors.append(float(np.mean(curve.losses[-count:]) / np.mean(seen[-count:]) - 1.0))
    return tuple(error for error in errors if math.isfinite(error))


def forecast_of(fit, bootstrap, curves, warnings=(), left_out=()) -> Forecast:
    """The forecast of a fit to these curves; `left_out` as :func:`left_out_errors` returns it."""
    law = FittedLaw(fit.law.name, fit.nonlinear, fit.linear, fit.units.rate, fit.units.batch, fit.units.start)
    refits = tuple(replace(law, nonlinear=n, linear=c) for n, c in zip(bootstrap.nonlinear, bootstrap.linear))
    return Forecast(law, refits, misfit_of(fit), trusted_range(fit, curves), tuple(warnings), tuple(left_out))


def record(forecast) -> dict:
    """The parts of a forecast that ``fit.json`` keeps beside the parameters, as plain numbers."""
    known = forecast.trusted
    return {"refits": {"nonlinear": [law.nonlinear.tolist() for law in forecast.refits],
                       "linear": [law.linear.tolist() for law in forecast.refits]},
            "misfit": {"level": LEVEL, "interval": list(forecast.misfit)},
            "left_out": list(forecast.left_out),
            "covered": {"intrinsic_time": known.time, "noise_levels": list(known.levels), "rates": list(known.rates),
                        "batch_sizes": known.batch_sizes and list(known.batch_sizes), "warmup_steps": known.warmup}}


def from_record(stored, label="fit.json") -> Forecast:
    """Read a forecast from the contents of a ``fit.json``.

    Parameters
    ----------
    stored : dict
    label : str
        What messages call it.

    Raises
    ------
    ValueError
        In one line, if something is missing (a file of an older version has no refits) or no number.
    """
    try:
        rule = laws.law(stored["law"])
        estimate = {name: values["estimate"] for name, values in stored["parameters"].items()}
        units, known = stored["units"], stored["covered"]
        values = [[estimate[name] for name in names] for names in (rule.nonlinear, rule.linear)]
        law = FittedLaw(rule.name, *values, units["rate"], units["batch_size"] or 1.0, units["earliest_time"])
        refits = tuple(replace(law, nonlinear=n, linear=c)
                       for n, c in zip(stored["refits"]["nonlinear"], stored["refits"]["linear"], strict=True))
        sizes = known["batch_sizes"]
        trusted = Trusted(float(known["intrinsic_time"]), _pair(known["noise_levels"]), _pair(known["rates"]),
                          None if sizes is None else _pair(sizes), int(known["warmup_steps"]))
        misfit = _pair(stored["misfit"]["interval"])
        left_out = tuple(float(error) for error in stored["left_out"])
        _refuse(rule, (law, *refits), trusted, misfit, left_out)
        warnings = tuple(str(flag["text"]) for flag in stored["flags"] if flag["serious"])
    except KeyError as missing:
        raise ValueError(f"{label}: has no {missing}; write it again with this version of theorycheck fit") from None
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{label}: is not what theorycheck fit writes ({error})") from None
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
    if len(refits) < 2:
        raise ValueError(f"{label}: holds {len(refits)} refits; the uncertainty needs at least 2")
    return Forecast(law, refits, misfit, trusted, warnings, left_out)


def _refuse(rule, fitted, trusted, misfit, left_out):
    """Refuse numbers that no fit writes."""
    for each in fitted:
        for name, value, low, high in zip(rule.nonlinear, each.nonlinear, rule.lower, rule.upper, strict=True):
            if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
                raise ValueError(f"{name} is {value:g}; it must be in [{low:g}, {high:g}]")
        if not np.isfinite(each.linear).all():
            raise ValueError(f"parameters {', '.join(rule.linear)} are {each.linear.tolist()}; they must be finite")
    if not (math.isfinite(trusted.time) and trusted.time > 0):
        raise ValueError(f"covered intrinsic_time is {trusted.time}; it must be > 0")
    for name, (low, _) in (("noise_levels", trusted.levels), ("rates", trusted.rates),
                           ("batch_sizes", trusted.batch_sizes or (1.0, 1.0))):
        if low < 0 or (name == "batch_sizes" and low == 0):
            raise ValueError(f"covered {name} start at {low:g}; they must be positive")
    if not 0 <= trusted.warmup <= MOST_WARMUP:
        raise ValueError(f"covered warmup_steps is {trusted.warmup:g}; it must be in [0, {MOST_WARMUP:g}]")
    if not misfit[0] <= 0 <= misfit[1]:
        raise ValueError(f"misfit interval {misfit[0]:g} .. {misfit[1]:g} must hold 0")
    if not all(math.isfinite(error) for error in left_out):
        raise ValueError("left_out holds an error that is not finite")


def _pair(values):
    low, high = (float(value) for value in values)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"range {values} is not two increasing numbers")
    return low, high


def gain(forecast, rows, rates, other, other_rows=None) -> Gain:
    """Compare the predicted final losses of two schedules.

    Parameters
    ----------
    forecast : Forecast
    rows : Rows
    rates, other : array_like, shape (n,)
        The schedule, and what it is compared with.
    other_rows : Rows, optional
        Rows of the other schedule; by default the same.
    """
    loss, drawn = refitted(forecast, rows, rates)
    rival, others = refitted(forecast, rows if other_rows is None else other_rows, other)
    difference = rival - loss
    low, high = np.quantile(others - drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = min(low, difference), max(high, difference)
    unseen = forecast.transfer * math.hypot(loss, rival)
    scatter = [math.hypot(forecast.misfit[0] * rival, forecast.misfit[1] * loss, unseen),
               math.hypot(forecast.misfit[1] * rival, forecast.misfit[0] * loss, unseen)]
    return Gain(loss, rival, difference, (float(low), float(high)),
                (difference - math.hypot(difference - low, scatter[0]),
                 difference + math.hypot(high - difference, scatter[1])), float((others - drawn).mean()),
                bool(forecast.left_out))


def loss_band(forecast, rows, rates):
    """Interval of a measured final loss: refits, misfit and the law's error on unseen schedules in quadrature."""
    loss, drawn = refitted(forecast, rows, rates)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - loss
    unseen = forecast.transfer * loss
    return (loss - math.hypot(min(low, 0.0), forecast.misfit[0] * loss, unseen),
            loss + math.hypot(max(high, 0.0), forecast.misfit[1] * loss, unseen))


def refitted(forecast, rows, rates):
    """Final loss by the estimate, and by every refit, shape (R,); the spread is taken on at most 2 THINNED rows."""
    loss = final_loss(forecast.law, rows, rates)
    few, kept = thinned(rows, rates)
    base = final_loss(forecast.law, few, kept)
    return loss, loss + np.array([final_loss(law, few, kept) for law in forecast.refits]) - base


def thinned(rows, rates):
    """Some of the rows, denser at the end, and their rates."""
    last = rows.size - 1
    away = np.concatenate([[0.0], np.geomspace(1, max(last, 1), THINNED), np.linspace(0, last, THINNED)])
    keep = last - np.unique(np.round(away).astype(int))[::-1]
    return Rows(rows.steps[keep], rows.warmup, rows.batch_sizes[keep]), np.asarray(rates)[keep]


def predicted_curve(forecast, rows, rates):
    """Loss along the run: steps, the estimate, and limits of a measured loss, from the law's earliest time on."""
    few, kept = thinned(rows, rates)

    def along(law):
        seen = laws.annealing(few.steps, kept, few.batch_sizes, warmup=few.warmup, reference_rate=law.rate,
                              reference_batch=law.batch)
        use = seen.times >= law.start
        moved = laws.Annealing(seen.times[use], np.maximum(seen.change_times, law.start), seen.drops, seen.levels)
        return use, laws.law(law.name)(moved, law.nonlinear, law.linear)

    use, centre = along(forecast.law)
    drawn = np.array([along(law)[1] for law in forecast.refits[:40]]) - centre
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    below, above = (np.hypot(side * centre, forecast.transfer * centre) for side in forecast.misfit)
    return (few.steps[use], centre, centre - np.hypot(np.minimum(low, 0.0), below),
            centre + np.hypot(np.maximum(high, 0.0), above))


def beyond(forecast, rows, rates) -> list:
    """One line for each way in which a schedule leaves what the training runs covered."""
    known, law, lines = forecast.trusted, forecast.law, []
    time = intrinsic_time(law, rows, rates)
    if time > 1.01 * known.time:
        lines.append(f"runs to {time / known.time:.3g} times the longest intrinsic time of the training runs; the "
                     "error leaves out that the law itself may drift there")
    levels = np.asarray(rates) / law.rate * (law.batch / rows.batch_sizes)
    if levels.min() < known.levels[0] / 1.05 or levels.max() > 1.05 * known.levels[1]:
        lines.append(f"has noise levels (rate/batch) from {levels.min():.3g} to {levels.max():.3g} of the reference, "
                     f"the training runs only from {known.levels[0]:.3g} to {known.levels[1]:.3g}")
    if known.batch_sizes is not None and (rows.batch_sizes.min() < known.batch_sizes[0] / 1.05
                                          or rows.batch_sizes.max() > 1.05 * known.batch_sizes[1]):
        lines.append(f"has batch sizes from {rows.batch_sizes.min():g} to {rows.batch_sizes.max():g}, the training "
                     f"runs only from {known.batch_sizes[0]:g} to {known.batch_sizes[1]:g}; that rate and batch act by "
                     "their ratio is the law's assumption")
    return lines
