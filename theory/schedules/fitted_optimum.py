r"""The schedule that minimises the final loss a fitted law predicts, between a floor and a peak.

*Functional scaling law without source weight* (``c_2 = 0``, ``a = c_2 c_3``).  Summed by parts, its final loss in
intrinsic time is (derived; ``u = T - x`` remains, gamma is the noise level, G the settled share)

    L = L_0 + c T^{-s} - a G(T - t_0) + int_{t_0}^T gamma(x) a G'(T - x) dx ,

and the samples used are ``D ~ int dx/gamma``.  For a given T this is convex in ``1/gamma``: the optimum is

    gamma* = clip{ k (1 + c_4 u)^{(1 + c_5)/2}, floor, peak } ,

a plateau at the peak, then a power decay; k is set by D (water-filling), and T is a search in one dimension.  Rates at
a fixed batch size and batch sizes at a fixed rate are the same problem, since the law knows them by gamma and D
only.  The rows of a schedule are then polished by bounded quasi-Newton descent with the O(N) gradient.

*With source weight* the sum by parts has a further term, ``-int gamma w'(x) G dx``.  It is no noise: the functional law
has its negative, which the practical law leaves out (see :mod:`theorycheck.theory.fsl.loss_curve_laws`).  Descent would
follow it to low rates at the start, where no run has seen the law hold.  So only schedules that water-filling of the
noise ``w(x) G'(T - x)`` gives for some horizon, and the usual ones, are candidates; the practical law chooses among
them.

*Multi-power law.*  Its speed depends on the level fallen to: a fall settles faster than the rise that undoes it, and
falls and rises in turn gain without bound.  Rates may therefore not rise (as Luo et al., arXiv 2503.12811, also
require).  The shares of the way from peak to floor add up to one; they are optimised from several starts on knots that
crowd at the end, then on all rows.

*Schedule-blind law.*  Noise has no part in it: the peak throughout.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from .. import learning_rates
from ..arguments import number
from ..fsl import loss_curve_laws as laws
from .fitted_law import Rows, final_loss, final_loss_gradient, intrinsic_time

KNOTS = 240
"""Rows of the search for the best rates of the multi-power law, before all N."""

CELLS = 1500
"""Cells of the intrinsic time from each end to its middle."""

MAX_STEPS = 10_000_000
"""Longest run that is planned."""


@dataclass(frozen=True, eq=False)
class FittedOptimum:
    """The best learning rates of a run by a fitted law.

    Attributes
    ----------
    steps : ndarray, shape (n,)
        Steps ``warmup, ..., N - 1`` of the rows.
    rates : ndarray, shape (n,)
    loss : float
        Predicted at the last row.
    horizon : float
        Intrinsic time there, in the law's units.
    start_loss : float
        Before the last descent on all rows.
    evaluations : int
        Of loss and gradient on all rows.
    """

    steps: np.ndarray
    rates: np.ndarray
    loss: float
    horizon: float
    start_loss: float
    evaluations: int


def rows_of(steps, warmup=0, batch_size=1.0) -> Rows:
    """The rows of a run of N steps: every step from the end of the warm-up to step N - 1.

    Parameters
    ----------
    steps : int
        N, in [2, MAX_STEPS].
    warmup : int
        Steps of linear warm-up, in [0, N - 2].
    batch_size : float

    Raises
    ------
    ValueError
        For numbers out of range.
    """
    for name, value, low, high in (("steps", steps, 2, MAX_STEPS), ("warmup", warmup, 0, steps - 2)):
        if not (isinstance(value, int | np.integer) and low <= value <= high):
            raise ValueError(f"{name} is {value}; it must be a whole number in [{low}, {high}]")
    return Rows(np.arange(warmup, steps, dtype=np.float64), float(warmup), batch_size)


def with_warmup(rates, warmup):
    """The rates of all N steps: ``k/W`` of the first one in the W steps of warm-up, then the given ones."""
    return np.concatenate([rates[0] * np.arange(warmup) / max(warmup, 1), rates])


def parametric(rows, peak, floor) -> dict:
    """Rates of the usual schedules on some rows, name to ndarray: from the peak to the floor.

    Constant, cosine, linear, exponential, 8-1-1 (never below the floor) and WSD with cooldowns of 10, 20 and 40 per
    cent of the steps; an exponential that would end at 0 ends at a hundredth of the peak.
    """
    n, end = rows.size, max(floor, 1e-2 * peak)
    made = {"constant": learning_rates.constant(n, peak), "cosine": learning_rates.cosine(n, peak, floor),
            "linear": learning_rates.linear(n, peak, floor),
            "exponential": learning_rates.exponential(n, peak, end),
            "8-1-1": learning_rates.multi_step(n, peak)}
    for shape in learning_rates.COOLDOWNS:
        for share in (0.1, 0.2, 0.4):
            final = end if shape == "exponential" else floor
            made[f"WSD {shape} {share:g}"] = learning_rates.wsd(n, peak, share, final, shape)
    return {name: np.clip(schedule.rates, floor, peak) for name, schedule in made.items()}


def optimal_rates(law, rows, peak, floor=0.0, *, evaluations=300) -> FittedOptimum:
    """Minimise the predicted final loss over the rates of all rows.

    Parameters
    ----------
    law : FittedLaw
    rows : Rows
        Of constant batch size; see :func:`rows_of`.
    peak, floor : float
        ``0 <= floor <= peak``, ``peak > 0``.  The warm-up rises to the first rate.
    evaluations : int
        Most evaluations of the last descent, >= 1; runs of more than 6,000 steps get fewer (20 from 100,000 on).

    Returns
    -------
    FittedOptimum
        Never above any schedule of :func:`parametric`.  Without source weight, rates do not rise.

    Raises
    ------
    ValueError
        For limits out of range.
    """
    peak, floor = number(peak, "peak"), number(floor, "floor")
    if not (math.isfinite(peak) and peak > 0):
        raise ValueError(f"peak is {peak}; it must be finite and > 0")
    if not 0 <= floor <= peak:
        raise ValueError(f"floor is {floor}; it must be in [0, {peak:g}], the peak")
    if np.ptp(rows.batch_sizes) > 0:
        raise ValueError("batch sizes of the rows differ; rates are optimised at one batch size")
    if law.weights == (0.0, 0.0) or floor == peak:
        rates = np.full(rows.size, peak)
        loss = final_loss(law, rows, rates)
        return FittedOptimum(rows.steps, rates, loss, intrinsic_time(law, rows, rates), loss, 1)
    usual = parametric(rows, peak, floor)
    if law.name == "mpl":
        starts, descend = [_by_knots(law, rows, peak, floor, usual), *usual.values()], _monotone_descent
    elif law.weights[1] > 0:
        starts, descend = [*_water_filled_family(law, rows, peak, floor), *usual.values()], None
    else:
        starts, descend = [_water_filled_rates(law, rows, peak, floor), *usual.values()], _bounded_descent
    losses = [final_loss(law, rows, start) for start in starts]
    best = starts[int(np.argmin(losses))]
    if descend is None:
        return FittedOptimum(rows.steps, best, min(losses), intrinsic_time(law, rows, best), min(losses), len(losses))
    rates, used = descend(law, rows, best, peak, floor, min(evaluations, max(20, 2_000_000 // rows.size)))
    loss = final_loss(law, rows, rates)
    if not loss <= min(losses):
        rates, loss = best, min(losses)
    return FittedOptimum(rows.steps, rates, loss, intrinsic_time(law, rows, rates), min(losses), used)


# ---------------------------------------------------------------- water-filling

@dataclass(frozen=True, eq=False)
class WaterFilling:
    """The law's best noise levels in intrinsic time.

    Attributes
    ----------
    horizon, begin : float
        T and ``t_0``.
    loss : float
        In continuous time.
    times, levels : ndarray, shape (m,)
        Middles of cells and the noise level there, relative to the reference.
    widths : ndarray, shape (m,)
        Of the cells.
    """

    horizon: float
    begin: float
    loss: float
    times: np.ndarray
    levels: np.ndarray
    widths: np.ndarray


def water_filling(law, samples, least, most, begin=0.0) -> WaterFilling:
    """Minimise the functional scaling law over noise levels and horizon.

    Parameters
    ----------
    law : FittedLaw
        ``fsl``; with a source weight this is the optimum of the functional law, not quite of the practical one.
    samples : float
        ``int dx/gamma`` > 0 to be spent, in units of 1000 reference batches.
    least, most : float
        Limits of the level, ``0 <= least <= most``.
    begin : float
        Intrinsic time ``t_0`` >= 0 at which it starts.
    """
    high = begin + samples * most
    low = begin + max(samples * least, 1e-4 * samples * most)
    if low >= high * (1 - 1e-12):
        return _filled(law, samples, least, most, begin, high)

    def loss(log_time):
        return _filled(law, samples, least, most, begin, begin + math.exp(log_time)).loss

    grid = np.linspace(math.log(low - begin), math.log(high - begin), 48)
    values = [loss(x) for x in grid]
    place = int(np.argmin(values))
    found = minimize_scalar(loss, bounds=(grid[max(place - 1, 0)], grid[min(place + 1, grid.size - 1)]),
                            method="bounded", options={"xatol": 1e-9})
    best = found.x if found.fun < values[place] else grid[place]
    return _filled(law, samples, least, most, begin, begin + math.exp(best))


def noise_density(law, times, end):
    """``w(x) G'(T - x)``: what a unit of noise level for a unit of intrinsic time, x, adds to the loss at `end`."""
    a, b = law.weights
    speed, p, _ = law.forgetting
    weight = a + b * np.maximum(times, law.start) ** -law.power[1]
    return weight * p * speed * np.exp(-(p + 1) * np.log1p(speed * (end - times)))


def settled_loss(law, begin, end):
    """What the law predicts without the integral: ``L_0 + c T^{-s} - w(t_0) G(T - t_0)``."""
    a, b = law.weights
    speed, p, _ = law.forgetting
    scale, s = law.power
    weight = a + b * max(begin, law.start) ** -s
    return law.constant + scale * end**-s + weight * math.expm1(-p * math.log1p(speed * (end - begin)))


def _cells(law, begin, end):
    """Cells of (t_0, T), finer towards both ends."""
    half = 0.5 * (end - begin)
    first = min(0.5 / CELLS, 0.02 / (law.forgetting[0] * half))
    side = half * np.concatenate([[0.0], np.geomspace(first, 1.0, CELLS)])
    edges = np.concatenate([begin + side, end - side[-2::-1]])
    return 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)


def _filled(law, samples, least, most, begin, end):
    times, widths = _cells(law, begin, end)
    density = noise_density(law, times, end)
    root = np.maximum(density, 1e-300) ** -0.5
    low, high = math.log(max(least, 1e-12 * most) / root.max()) - 1e-9, math.log(most / root.min()) + 1e-9
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.sum(widths / np.clip(math.exp(middle) * root, least, most)) > samples:
            low = middle
        else:
            high = middle
    levels = np.clip(math.exp(high) * root, least, most)
    return WaterFilling(end, begin, settled_loss(law, begin, end) + float(np.sum(widths * density * levels)), times,
                        levels, widths)


def _budget(law, rows, peak, floor):
    """Samples, least and most level, and ``t_0`` of some rows after a warm-up to the peak."""
    batch = float(rows.batch_sizes[0])
    level = law.batch / batch / law.rate
    samples = (rows.steps[-1] - rows.steps[0]) * batch / (law.batch * laws.STEPS_PER_UNIT)
    return samples, floor * level, peak * level, peak * rows.lead / law.unit


def _rates_of(law, rows, filled, peak, floor):
    spent = np.cumsum(filled.widths / filled.levels)
    middle = (spent - 0.5 * filled.widths / filled.levels) * ((rows.steps[-1] - rows.steps[0]) / spent[-1])
    levels = np.interp(rows.steps - rows.steps[0], middle, filled.levels)
    return np.clip(levels * law.rate * float(rows.batch_sizes[0]) / law.batch, floor, peak)


def _water_filled_rates(law, rows, peak, floor):
    return _rates_of(law, rows, water_filling(law, *_budget(law, rows, peak, floor)), peak, floor)


def _water_filled_family(law, rows, peak, floor):
    """Rates for horizons from half the best one to the longest."""
    samples, least, most, begin = _budget(law, rows, peak, floor)
    best = water_filling(law, samples, least, most, begin)
    low, high = samples * least, samples * most * (1 - 1e-9)
    lengths = np.unique(np.clip((best.horizon - begin) * np.linspace(0.5, 1.5, 21), max(low, 1e-3 * high), high))
    filled = [_filled(law, samples, least, most, begin, begin + length) for length in lengths]
    return [_rates_of(law, rows, each, peak, floor) for each in [best, *filled]]


# ---------------------------------------------------------------- descent on rows

def _bounded_descent(law, rows, start, peak, floor, evaluations):
    reference = final_loss(law, rows, start)
    scale = max(abs(reference - law.constant), 1e-12)

    def objective(shares):
        loss, gradient = final_loss_gradient(law, rows, shares * peak)
        return (loss - reference) / scale * rows.size, gradient * (peak / scale * rows.size)

    # objectives are relative to the start and times n: a change of 1e-12 of the loss above L_0 ends the descent
    found = minimize(objective, start / peak, jac=True, method="L-BFGS-B",
                     bounds=np.broadcast_to([floor / peak, 1.0], (rows.size, 2)),
                     options={"maxfun": evaluations, "maxiter": evaluations, "maxcor": 12, "ftol": 1e-10,
                              "gtol": 1e-9})
    return np.clip(found.x, floor / peak, 1.0) * peak, int(found.nfev)


def _monotone_descent(law, rows, start, peak, floor, evaluations):
    """Rates ``peak - (peak - floor) cumsum(p)`` with shares p >= 0 of the way, among them one that is never gone."""
    span = peak - floor
    reference = final_loss(law, rows, start)
    scale = max(abs(reference - law.constant), 1e-12)
    falls = np.maximum(-np.diff(np.concatenate([[peak], np.minimum.accumulate(start), [floor]])), 0.0) / span

    def rates_of(shares):
        total = shares.sum()
        return peak - span * np.cumsum(shares[:-1]) / total, total

    def objective(shares):
        rates, total = rates_of(shares)
        loss, gradient = final_loss_gradient(law, rows, np.maximum(rates, 0.0))
        later = np.append(np.cumsum(gradient[::-1])[::-1], 0.0)
        slope = -span / total * (later - np.dot(gradient, peak - rates) / span)
        return (loss - reference) / scale, slope / scale

    found = minimize(objective, falls / falls.sum() + 1e-9, jac=True, method="L-BFGS-B",
                     bounds=np.broadcast_to([0.0, 2.0], (falls.size, 2)),
                     options={"maxfun": evaluations, "maxiter": evaluations, "maxcor": 20, "ftol": 1e-13,
                              "gtol": 1e-10})
    return np.clip(rates_of(found.x)[0], floor, peak), int(found.nfev)


def _by_knots(law, rows, peak, floor, usual):
    """The best falling rates on knots that crowd at the end, interpolated to all rows."""
    knots = rows
    if rows.size > KNOTS:
        length = rows.steps[-1] - rows.steps[0]
        away = np.unique(np.round(np.concatenate([[0.0], np.geomspace(1.0, length, KNOTS // 2),
                                                  np.linspace(0.0, length, KNOTS // 2)])))
        knots = Rows(rows.steps[-1] - away[::-1], rows.warmup, float(rows.batch_sizes[0]))
    tried = [np.interp(knots.steps, rows.steps, start) for start in usual.values()]
    tried.sort(key=lambda rates: final_loss(law, knots, rates))
    ends = [_monotone_descent(law, knots, start, peak, floor, 300)[0] for start in tried[:3]]
    best = min(ends, key=lambda rates: final_loss(law, knots, rates))
    return np.interp(rows.steps, knots.steps, best)
