r"""Estimating the laws of :mod:`theorycheck.theory.fsl.loss_curve_laws` from measured loss curves.

Objective: the sum of squared relative residuals :math:`(\hat L/L-1)^2`.  Cross-validation within the training runs
of two language models (leaving out one run of three, or the last part of each) does not separate it from
run-averaged, Huber (delta 1e-3) and run-averaged Huber residuals: no variant beats it by two standard errors of
the paired differences, the nearest by 1.5.  So the simplest is used; it is also a likelihood, which the flags need.

Method: variable projection.  For given nonlinear parameters (at most four) the coefficients follow by
nonnegative least squares; the nonlinear ones by bounded trust-region least squares on the projected
residuals, from the best, well separated points of a scrambled Halton set.  The bounds are those of the law.

Selection: the source weight :math:`c_2 T(i)^{-s}` of the functional scaling law is kept only where it lowers
the cost by a likelihood ratio of more than ``KEEP_OPTIONAL``; schedules that anneal late say nothing about how strong
the source was early, and a fit that puts all of it into :math:`c_2` then fails on those that anneal early.  (On
curves of the exact SGD recursion the law with :math:`c_2=0` predicts other schedules better throughout.)

Uncertainty: moving-block bootstrap of the relative residuals, run by run, with blocks twice as long as the residuals'
autocorrelation time, refitted from the optimum.  Bands join the bootstrap percentiles of the
predicted curve and the percentiles of the residuals in quadrature.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import least_squares, nnls
from scipy.stats import norm, qmc

from ...theory.fsl import loss_curve_laws as laws
from . import loss_curve_samples as sampling

FIT_ROWS = (100, 200, 800)
"""Rows of a run the optimiser sees at least, at most, and in all runs together; longer logs are averaged over
equal numbers of neighbouring rows, and their changes of the rate merged likewise."""

COARSE_ROWS = 60
"""Rows of a run in the search for starting points, whose two best ends are polished on the full rows."""

SCREENED = 96
"""Points at which the projected cost is evaluated before the best of them are descended from."""

KEEP_OPTIONAL = 10.83
"""Likelihood ratio (0.1% quantile of chi-square, one degree of freedom) that keeps an optional coefficient."""

ROUNDING = 1e-7
"""Relative residuals below this are the optimiser's tolerance, not evidence."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law.

    Attributes
    ----------
    law : Law
    nonlinear, linear : ndarray
        Estimates in the order of ``law.nonlinear`` and ``law.linear``, in the units of ``units``.
    units : Units
    cost : float
        Sum of the squared relative residuals.
    residuals : tuple of ndarray
        Relative residuals (predicted over measured, minus 1) of each training run.
    starts : ndarray, shape (starts, P + 1)
        Where each descent on coarse rows ended: nonlinear parameters and cost, best first.
    batched : bool
        Whether the training runs state batch sizes.
    samples : tuple of Sample
        The training runs as fitted.
    """

    law: laws.Law
    nonlinear: np.ndarray
    linear: np.ndarray
    units: sampling.Units
    cost: float
    residuals: tuple
    starts: np.ndarray
    batched: bool
    samples: tuple = field(repr=False)

    @property
    def parameters(self) -> dict:
        """All parameters by name, coefficients first."""
        return dict(zip(self.law.linear + self.law.nonlinear,
                        [float(v) for v in np.concatenate([self.linear, self.nonlinear])]))

    @property
    def held(self) -> tuple:
        """Names of coefficients held at 0 because the runs do not need them."""
        return self.law.held

    @property
    def rms(self) -> float:
        """Root mean square of the relative residuals."""
        return float(np.sqrt(self.cost / sum(r.size for r in self.residuals)))

    @property
    def effective_rows(self) -> float:
        """Number of independent residuals: rows divided by their autocorrelation time, summed over runs."""
        return float(sum(r.size / autocorrelation_time(r) for r in self.residuals))


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Refits to resampled residuals: parameters, shapes (R, P) and (R, Q), and the block length of each run."""

    nonlinear: np.ndarray
    linear: np.ndarray
    block_lengths: tuple

    def intervals(self, fit, level=0.9) -> dict:
        """Percentile interval of each parameter, widened to hold its estimate: name -> (low, high).

        Few refits, or refits that are biased (at a bound, say), can have all their percentiles on one side.
        """
        draws = np.column_stack([self.linear, self.nonlinear])
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return {name: (min(float(a), value), max(float(b), value))
                for (name, value), a, b in zip(fit.parameters.items(), low, high)}

    def standard_errors(self, fit) -> dict:
        """Standard deviation of each parameter over the refits."""
        spread = np.std(np.column_stack([self.linear, self.nonlinear]), axis=0, ddof=1)
        return {name: float(value) for name, value in zip(fit.parameters, spread)}


@dataclass(frozen=True)
class Score:
    """How well a predicted curve meets a measured one (losses in their own units)."""

    r2: float
    mae: float
    rmse: float
    worst_relative_error: float


def fit(curves, law="fsl", *, warmup=None, starts=6, seed=0):
    """Fit a law to one or several loss curves.

    Parameters
    ----------
    curves : sequence of LossCurve
        Training runs; each needs losses.  Either all or none state batch sizes.
    law : {"fsl", "mpl", "blind"}
    warmup : float, optional
        Steps of linear warm-up of every run (>= 0); see
        :func:`~theorycheck.theory.fsl.loss_curve_laws.annealing`.
    starts : int
        Descents, >= 1: from the best of ``SCREENED`` scattered points that are not close to a better one.
    seed : int

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        For no curves, a curve without losses, mixed batch sizes, too few rows after the warm-up.
    """
    rule = laws.law(law)
    curves = list(curves)
    if starts != int(starts) or starts < 1:
        raise ValueError(f"starts is {starts}; it must be an integer >= 1")
    units = sampling.units_of(curves, warmup)
    least, most, together = FIT_ROWS
    rows = int(np.clip(together // len(curves), least, most))
    samples = tuple(sampling.sample_of(curve, units, rows) for curve in curves)
    rows = sum(s.losses.size for s in samples)
    if rows < 2 * (len(rule.nonlinear) + len(rule.linear)):
        raise ValueError(f"{', '.join(s.name for s in samples)}: {rows} rows after the warm-up in all; the {law} law "
                         f"needs at least {2 * (len(rule.nonlinear) + len(rule.linear))}")
    batched = curves[0].batch_sizes is not None
    least = _search(rule.reduced() if rule.optional else rule, samples, units, batched, int(starts), seed)
    if not rule.optional:
        return least
    whole = _search(rule, samples, units, batched, int(starts), seed)
    gain = whole.effective_rows * np.log(max(least.cost, 1e-300) / max(whole.cost, 1e-300))
    return whole if gain > KEEP_OPTIONAL and least.rms > ROUNDING else least


def refit(fit, law, *, starts=6, seed=0):
    """Fit another law, or the same with nothing held at 0, to the runs of a fit.

    Parameters
    ----------
    fit : Fit
    law : Law
        Taken as it is: its optional coefficient is fitted too.
    starts, seed : int
        As in :func:`fit`.
    """
    return _search(law, fit.samples, fit.units, fit.batched, starts, seed)


def annealing_of(fit, curve):
    """What the fitted law sees of a curve, and the mask, shape (N,), of the rows it predicts.

    Raises
    ------
    ValueError
        If the curve states batch sizes and the training runs did not, or the other way round, or if fewer than two
        of its rows lie after the warm-up and after ``fit.units.start``.
    """
    return sampling.annealing_in(curve, fit.units, fit.batched)


def predict(fit, curve):
    """Predicted loss at each row of a curve, shape (N,); NaN before ``fit.units.start`` and during the warm-up.

    Raises as :func:`annealing_of`.
    """
    annealing, valid = annealing_of(fit, curve)
    predicted = np.full(annealing.times.size, np.nan)
    predicted[valid] = fit.law(annealing.at(annealing.times[valid]), fit.nonlinear, fit.linear)
    return predicted


def bands(fit, bootstrap, curve, level=0.9):
    """Lower and upper limits of a new measured loss at each row, shapes (N,); NaN where nothing is predicted.

    The percentiles of the bootstrapped curves and of the training residuals, joined in quadrature; where logged rows
    were averaged for the fit, their scatter (taken as normal) is added.
    """
    annealing, valid = annealing_of(fit, curve)
    times = annealing.times[valid]
    centre = fit.law(annealing.at(times), fit.nonlinear, fit.linear)
    # the spread is smooth: a few hundred times carry it
    keep = np.unique(np.linspace(0, times.size - 1, 400).astype(int))
    coarse = annealing.at(times[keep]).merged(2 * FIT_ROWS[1])
    base = fit.law(coarse, fit.nonlinear, fit.linear)
    draws = np.array([fit.law(coarse, n, c) for n, c in zip(bootstrap.nonlinear, bootstrap.linear)]) - base
    noise = np.concatenate(fit.residuals)
    scatter = np.sqrt(np.mean([sample.scatter**2 for sample in fit.samples]))
    limits = []
    for quantile, sign in (((1 - level) / 2, -1), ((1 + level) / 2, 1)):
        parameter = np.maximum(sign * np.quantile(draws, quantile, axis=0), 0.0)
        # residuals are predicted over measured; a measured point lies the other way
        residual = np.hypot(max(-sign * float(np.quantile(noise, 1 - quantile)), 0.0),
                            abs(norm.ppf(quantile)) * scatter) * base
        width = np.interp(times, times[keep], np.hypot(parameter, residual))
        full = np.full(annealing.times.size, np.nan)
        full[valid] = centre + sign * width
        limits.append(full)
    return tuple(limits)


def bootstrap(fit, *, resamples=100, seed=0, between=None):
    """Moving-block bootstrap of a fit.

    Parameters
    ----------
    fit : Fit
    resamples : int
        Refits, >= 2.
    seed : int
    between : callable, optional
        Called without arguments before each refit; what it raises ends the bootstrap.

    Returns
    -------
    Bootstrap
    """
    if resamples != int(resamples) or resamples < 2:
        raise ValueError(f"resamples is {resamples}; it must be an integer >= 2")
    rng = np.random.default_rng(seed)
    fitted = [fit.law(s.annealing, fit.nonlinear, fit.linear) for s in fit.samples]
    lengths = tuple(block_length(r) for r in fit.residuals)
    start = _to_inner(fit.law, fit.nonlinear)
    nonlinear, linear = [], []
    for _ in range(int(resamples)):
        if between is not None:
            between()
        samples = tuple(
            replace(s, losses=f / (1 + _blocks(r - r.mean(), length, rng)))
            for s, f, r, length in zip(fit.samples, fitted, fit.residuals, lengths))
        inner, _ = _descend(fit.law, samples, start, tolerance=1e-5, evaluations=20)
        values = _from_inner(fit.law, inner)
        nonlinear.append(values)
        linear.append(_project(fit.law, samples, values)[0])
    return Bootstrap(np.array(nonlinear), np.array(linear), lengths)


def unidentified(fit) -> tuple:
    """Names of the parameters, not held, that can have any value within their bounds and the fitted curves stay.

    A coefficient whose column is zero for all runs, and a nonlinear parameter that acts only through coefficients that
    are zero: with a constant rate, all that concerns annealing.
    """
    rows = [fit.law.basis(s.annealing, fit.nonlinear) / s.losses[:, None] for s in fit.samples]
    size = np.max(np.abs(np.vstack(rows)), axis=0)
    names = [name for name, most in zip(fit.law.linear, size) if most == 0 and name not in fit.held]
    for position, name in enumerate(fit.law.nonlinear):
        curves = []
        for end in (fit.law.lower[position], fit.law.upper[position]):
            values = fit.nonlinear.copy()
            values[position] = end
            curves.append(np.concatenate([fit.law(s.annealing, values, fit.linear) / s.losses for s in fit.samples]))
        if np.max(np.abs(curves[1] - curves[0])) <= ROUNDING:
            names.append(name)
    return tuple(names)


def profile(fit, name, values):
    """Cost with one nonlinear parameter held at each of the given values, the others refitted.

    Returns
    -------
    costs : ndarray, shape (V,)
    nonlinear, linear : ndarray, shapes (V, P), (V, Q)
        The parameters at each minimum.
    """
    position = fit.law.nonlinear.index(name)
    costs, nonlinear, linear = [], [], []
    free = np.arange(len(fit.law.nonlinear)) != position
    for value in values:
        held = fit.nonlinear.copy()
        held[position] = value
        inner, cost = _descend(fit.law, fit.samples, _to_inner(fit.law, held), free, tolerance=1e-5, evaluations=25)
        costs.append(cost)
        nonlinear.append(_from_inner(fit.law, inner))
        linear.append(_project(fit.law, fit.samples, nonlinear[-1])[0])
    return np.array(costs), np.array(nonlinear), np.array(linear)


def score(predicted, measured):
    """Compare two loss curves row by row; rows that are NaN in either are left out.

    Parameters
    ----------
    predicted, measured : array_like, shape (N,)

    Returns
    -------
    Score
        ``r2`` is NaN for a constant measured curve.

    Raises
    ------
    ValueError
        If fewer than 2 rows remain.
    """
    predicted, measured = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    both = np.isfinite(predicted) & np.isfinite(measured)
    if both.sum() < 2:
        raise ValueError(f"{both.sum()} row(s) to score; at least 2 are needed")
    error, measured = (predicted - measured)[both], measured[both]
    # the mean of equal numbers need not be exactly that number
    spread = np.sum((measured - measured.mean()) ** 2) if np.ptp(measured) > 0 else 0.0
    r2 = 1 - np.sum(error**2) / spread if spread > 0 else np.nan
    return Score(float(r2), float(np.mean(np.abs(error))), float(np.sqrt(np.mean(error**2))),
                 float(np.max(np.abs(error) / measured)))


def autocorrelation_time(residuals) -> float:
    """Integrated autocorrelation time ``1 + 2 sum rho_k`` in rows, summed up to the first ``rho_k <= 0``; >= 1."""
    centred = np.asarray(residuals, dtype=np.float64) - np.mean(residuals)
    variance = centred @ centred
    if variance == 0:
        return 1.0
    total = 1.0
    for lag in range(1, centred.size // 2):
        rho = (centred[lag:] @ centred[:-lag]) / variance
        if rho <= 0:
            break
        total += 2 * rho
    return float(total)


def block_length(residuals) -> int:
    """Rows of a bootstrap block: twice the autocorrelation time, at most a third of the run."""
    size = np.size(residuals)
    return int(np.clip(np.ceil(2 * autocorrelation_time(residuals)), 1, max(1, size // 3)))


def _blocks(residuals, length, rng):
    size = residuals.size
    starts = rng.integers(0, size - length + 1, size=-(-size // length))
    return residuals[(starts[:, None] + np.arange(length)).ravel()[:size]]


def _promising(rule, samples, count, seed):
    """The best screened points, in the unit cube, each at least a tenth of its side from a better one."""
    low, high = _box(rule)
    points = 0.02 + 0.96 * qmc.Halton(low.size, rng=seed).random(max(SCREENED, count))
    costs = [np.sum(_project(rule, samples, _from_inner(rule, low + p * (high - low)))[1] ** 2) for p in points]
    chosen = []
    for point in points[np.argsort(costs, kind="stable")]:
        if len(chosen) < count and all(np.max(np.abs(point - other)) > 0.1 for other in chosen):
            chosen.append(point)
    return chosen


def _project(rule, samples, values):
    """Coefficients and relative residuals at given nonlinear parameters."""
    scaled = np.vstack([rule.basis(s.annealing, values) / s.losses[:, None] for s in samples])
    size = np.linalg.norm(scaled, axis=0)
    size[size == 0] = 1.0
    linear = nnls(scaled / size, np.ones(len(scaled)))[0] / size
    return linear, scaled @ linear - 1.0


def _descend(rule, samples, inner, free=None, tolerance=1e-8, evaluations=60):
    """Local minimum of the projected cost from one start, in search coordinates."""
    low, high = _box(rule)
    free = np.ones(low.size, dtype=bool) if free is None else free
    inner = np.clip(inner, low, high)
    if not free.any():
        return inner, float(np.sum(_project(rule, samples, _from_inner(rule, inner))[1] ** 2))

    def residuals(part):
        point = inner.copy()
        point[free] = part
        return _project(rule, samples, _from_inner(rule, point))[1]

    width = (high - low)[free]
    begin = np.clip(inner[free], low[free] + 1e-9 * width, high[free] - 1e-9 * width)
    found = least_squares(residuals, begin, bounds=(low[free], high[free]), x_scale=width, max_nfev=evaluations,
                          diff_step=1e-6, xtol=tolerance, ftol=tolerance, gtol=1e-14)
    end = inner.copy()
    end[free] = found.x
    return end, 2 * float(found.cost)


def _search(rule, samples, units, batched, starts, seed):
    """Descend from the promising points on coarse rows, polish the two best ends on all rows."""
    low, high = _box(rule)
    coarse = tuple(sampling.thinned(sample, COARSE_ROWS) for sample in samples)
    ends = [_descend(rule, coarse, low + point * (high - low)) for point in _promising(rule, coarse, starts, seed)]
    ends.sort(key=lambda end: end[1])
    inner = min((_descend(rule, samples, end[0], tolerance=1e-10) for end in ends[:2]), key=lambda end: end[1])[0]
    values = _from_inner(rule, inner)
    linear, together = _project(rule, samples, values)
    residuals = tuple(np.split(together, np.cumsum([s.losses.size for s in samples])[:-1]))
    table = np.array([np.append(_from_inner(rule, end), cost) for end, cost in ends])
    return Fit(rule, values, linear, units, float(together @ together), residuals, table, batched, samples)


def _box(rule):
    return _to_inner(rule, np.array(rule.lower)), _to_inner(rule, np.array(rule.upper))


def _to_inner(rule, values):
    return np.where(rule.logarithmic, np.log(np.where(rule.logarithmic, values, 1.0)), values)


def _from_inner(rule, inner):
    outer = np.where(rule.logarithmic, np.exp(np.where(rule.logarithmic, inner, 0.0)), inner)
    return np.clip(outer, rule.lower, rule.upper)
