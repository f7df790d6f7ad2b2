"""What the schedules of the training runs cannot identify, and where a prediction leaves what they cover.

The confidence set used here holds the bootstrap refits and, along the profile of each nonlinear parameter, every refit
whose cost passes the likelihood-ratio test ``n log(cost/least cost) <= 3.84`` (chi-square, one degree of freedom,
5%), n being the number of rows divided by their autocorrelation time.  Parameters of a law may well be
uncertain together and the law still predict well; what counts is how far apart the members of the set
predict *other* schedules of the length of the longest training run: constant, cosine to a tenth of the peak,
and constant with a sudden drop to a tenth after two thirds.  The tolerances are constants of this module.
"""

from dataclasses import dataclass

import numpy as np

from ...theory.fsl import loss_curve_laws as laws
from . import loss_curve_fit as fits
from .loss_curve_samples import noise_levels

LIKELIHOOD_RATIO = 3.841
"""95% quantile of chi-square with one degree of freedom."""

DISAGREEMENT = (0.01, 0.002, 15.0)
"""Training schedules are called insufficient where the relative spread of predictions of another schedule exceeds
the first number, or the second and this many times the rms relative residual: then fits that are equally good miss
each other elsewhere by far more than they miss the data.  (Real and exact curves: at most 8 times where the
predictions are right, at least 17 times where they are not.)"""

PROFILE_POINTS = 6
"""Values, spread over its bounds, at which each nonlinear parameter is held."""

SPAN = 3.0
"""Ratio of the ends of a parameter's confidence range above which it is called loosely determined."""


@dataclass(frozen=True)
class Flag:
    """A warning in plain words.

    Parameters
    ----------
    code : str
        ``constant_schedule``, ``other_schedules``, ``blind_suffices``, ``unidentified``, ``loose``, ``bound``, ``peak``
        or ``extrapolation``.
    serious : bool
        Whether predictions of other schedules are not to be trusted.
    text : str
        One line.
    """

    code: str
    serious: bool
    text: str


@dataclass(frozen=True, eq=False)
class Identification:
    """How well the training schedules pin a law down.

    Attributes
    ----------
    disagreement : dict of str to float
        For each contrasting schedule, (largest - smallest)/estimate of its final loss over the confidence set; infinite
        where the estimate is not positive.
    ranges : dict of str to (float, float)
        Range of each parameter over the confidence set.
    flags : tuple of Flag
    """

    disagreement: dict
    ranges: dict
    flags: tuple


def identification(fit, bootstrap, blind=None):
    """Find what the training runs of a fit leave open.

    Parameters
    ----------
    fit : Fit
    bootstrap : Bootstrap
    blind : Fit, optional
        The schedule-blind law on the same runs, to ask whether annealing is visible at all.

    Returns
    -------
    Identification
    """
    nonlinear, linear = _confidence_set(fit, bootstrap)
    values = np.column_stack([linear, nonlinear])
    ranges = {name: (float(low), float(high))
              for name, low, high in zip(fit.parameters, values.min(axis=0), values.max(axis=0))}
    spread = {}
    for name, annealing in _contrasts(fit).items():
        finals = [fit.law(annealing, n, c)[0] for n, c in zip(nonlinear, linear)]
        estimate = fit.law(annealing, fit.nonlinear, fit.linear)[0]
        spread[name] = float((max(finals) - min(finals)) / estimate) if estimate > 0 else float("inf")
    flags = [*_schedule_flags(fit, spread, blind), *_parameter_flags(fit, ranges), *_peak_flags(fit)]
    return Identification(spread, ranges, tuple(flags))


def insufficient(spread, rms) -> bool:
    """Whether a relative spread of predictions means that the training schedules do not determine the law."""
    always, least, times = DISAGREEMENT
    return bool(spread > always or (spread > least and spread > times * max(rms, fits.ROUNDING)))


def extrapolation(fit, curve):
    """Flags for a run to be predicted: beyond the training runs in intrinsic time or in noise level.

    Parameters
    ----------
    fit : Fit
    curve : LossCurve

    Returns
    -------
    tuple of Flag
    """
    annealing, _ = fits.annealing_of(fit, curve)
    flags = []
    longest = max(sample.annealing.times[-1] for sample in fit.samples)
    if annealing.times[-1] > 1.01 * longest:
        flags.append(Flag("extrapolation", False,
                          f"{curve.name}: runs to {annealing.times[-1] / longest:.2g} times the longest intrinsic time "
                          "of the training runs; its bands leave out that the law itself may drift there"))
    low, high = min(s.levels[1] for s in fit.samples), max(s.levels[2] for s in fit.samples)
    _, reached, risen = noise_levels(curve, fit.units)
    if reached < low / 1.05 or risen > 1.05 * high:
        flags.append(Flag("extrapolation", False,
                          f"{curve.name}: its noise level (rate/batch) spans {reached:.3g} to {risen:.3g} of the "
                          f"reference, the training runs only {low:.3g} to {high:.3g}"))
    return tuple(flags)


def _confidence_set(fit, bootstrap):
    nonlinear, linear = [fit.nonlinear, *bootstrap.nonlinear], [fit.linear, *bootstrap.linear]
    # below the optimiser's tolerance every refit would be significant
    least = max(fit.cost, fits.ROUNDING**2 * sum(r.size for r in fit.residuals))
    for name, low, high, logarithmic in zip(fit.law.nonlinear, fit.law.lower, fit.law.upper, fit.law.logarithmic):
        inner = np.linspace(0, 1, PROFILE_POINTS + 2)[1:-1]
        values = low * (high / low) ** inner if logarithmic else low + (high - low) * inner
        costs, others, coefficients = fits.profile(fit, name, values)
        accepted = fit.effective_rows * np.log(np.maximum(costs, least) / least) <= LIKELIHOOD_RATIO
        nonlinear.extend(others[accepted])
        linear.extend(coefficients[accepted])
    return np.array(nonlinear), np.array(linear)


def _contrasts(fit):
    """Final row of contrasting schedules, in reference units, from zero to the longest training run."""
    longest = max(sample.steps for sample in fit.samples)
    steps = np.linspace(fit.units.start * laws.STEPS_PER_UNIT, longest, 200)
    x = (steps - steps[0]) / (steps[-1] - steps[0])
    shapes = {"constant": np.ones_like(x), "sudden drop": np.where(x < 2 / 3, 1.0, 0.1),
              "cosine": 0.55 + 0.45 * np.cos(np.pi * x)}
    made = {}
    for name, rates in shapes.items():
        seen = laws.annealing(steps, rates, warmup=0, reference_rate=1.0)
        made[name] = seen.at(seen.times[-1:])
    return made


def _schedule_flags(fit, spread, blind):
    if fit.law.name == "blind":
        return [Flag("other_schedules", True, "the schedule-blind law ignores annealing: its predictions for other "
                                              "schedules are a control, not a forecast")]
    flags = []
    names = ", ".join(sample.name for sample in fit.samples)
    moved = max(np.sum(np.abs(sample.annealing.drops)) for sample in fit.samples)
    worst = max(spread, key=spread.get)
    if moved < 0.02:
        flags.append(Flag("constant_schedule", True,
                          f"the rate never changes in {names}: nothing can be learned about annealing; "
                          "add a run whose rate decays"))
    elif not np.isfinite(spread[worst]):
        bad = ", ".join(name for name, value in spread.items() if not np.isfinite(value))
        flags.append(Flag("other_schedules", True,
                          f"the law fitted to {names} predicts a loss below 0 on another schedule of that length "
                          f"({bad}): these runs do not determine it; add a run with another schedule"))
    elif insufficient(spread[worst], fit.rms):
        what = f"{names} alone" if len(fit.samples) == 1 else f"the schedules of {names}"
        flags.append(Flag("other_schedules", True,
                          f"{what} cannot separate annealing from the power law: parameters that fit equally well "
                          f"differ by {100 * spread[worst]:.1f}% on a {worst} schedule of that length, "
                          f"{spread[worst] / max(fit.rms, fits.ROUNDING):.0f} times their misfit of the runs; "
                          "add a run with another schedule: a two-stage one "
                          "(constant, then suddenly lower) tells most, with a constant one better still"))
    if blind is not None and moved >= 0.02 and blind.cost <= fit.cost * np.exp(LIKELIHOOD_RATIO / fit.effective_rows):
        flags.append(Flag("blind_suffices", True, "the schedule-blind power law fits these runs as well: "
                                                  "they show no effect of annealing"))
    return flags


def _parameter_flags(fit, ranges):
    flags, loose, silent = [], [], fits.unidentified(fit)
    if silent:
        flags.append(Flag("unidentified", False, f"not identified: {', '.join(silent)} "
                                                 "(any value gives the same curves)"))
    for name, value, low, high, log in zip(fit.law.nonlinear, fit.nonlinear, fit.law.lower, fit.law.upper,
                                           fit.law.logarithmic):
        if name in silent:
            continue
        if min(value - low, high - value) <= 1e-4 * (high - low) and not (log and value > 1.001 * low and
                                                                          value < 0.999 * high):
            flags.append(Flag("bound", False, f"{name} = {value:.4g} lies at a bound of [{low:g}, {high:g}]"))
        elif log and ranges[name][1] > SPAN * ranges[name][0]:
            loose.append(f"{name} in {ranges[name][0]:.2g} to {ranges[name][1]:.2g}")
    if loose:
        flags.append(Flag("loose", False, f"only known within a wide range: {', '.join(loose)} (speed and exponent of "
                                          "forgetting trade off; predictions need only the pair)"))
    return flags


def _peak_flags(fit):
    if fit.law.name == "blind" or all(abs(sample.levels[0] - 1) < 1e-3 for sample in fit.samples):
        return []
    return [Flag("peak", False, "the training runs start from different noise levels (rate/batch); the difference to "
                                "the first run is taken as a change at the end of the warm-up")]
