r"""How to spend a budget: optimal peak rate, width and data, and the risk they reach.

Budgets are data ``D = B K`` (width free) or compute ``C = M D``.  Sec. 5 and Table 1 of Li et al. (arXiv 2509.19189)
give, for label noise of order one and final rate ``peak/K``, the rates at which the optimum scales; *easy* means
``s >= 1 - 1/beta``, *hard* the opposite.  They follow from minimising (L = log of the steps, gamma = peak/B)

    constant      (gamma D)^{-s} + gamma + M^{-s beta}
    exponential   T^{-s} + gamma T^{1/beta - 1} + M^{-s beta},              T = gamma D/L
    WSD           (gamma D)^{-s} + gamma (r gamma D/L)^{1/beta - 1} + M^{-s beta},    gamma <= O(1).

Two printed entries do not solve these balances (``form="printed"`` keeps them, ``form="corrected"`` is the solution,
derived here and by computer algebra in :mod:`.symbolic`).  They are quoted from the text as extracted: a sign or a
factor may be a slip of typesetting.

- WSD, easy, data: the logarithm of the peak rate has exponent ``-(beta-1)/(1+s beta)``; printed with a plus.
- WSD, easy, compute: peak rate, width and data are printed as for the exponential schedule, with which the
  approximation error alone exceeds the printed risk by ``(log C)^{s/(2 + s beta)}``.

In the hard regime Table 1 prints a lower bound on the decay fraction of WSD (``least_cooldown``), which is right; the
best fraction (``cooldown``) is not printed and derived here.

:func:`optimise_data` and :func:`optimise_compute` minimise the closed forms of :mod:`.schedule_laws` numerically, for
budgets up to 1e100.
"""

import math
from dataclasses import dataclass

import numpy as np

from .problem import PowerLawRegression
from .schedule_laws import SCHEDULES, stability_cap

FORMS = ("corrected", "printed")
LARGEST_BUDGET = 1e120


@dataclass(frozen=True)
class Rate:
    """``x^power (log x)^log`` up to a constant."""

    power: float
    log: float = 0.0

    def __call__(self, x):
        """Value at x > 1."""
        x = np.asarray(x, dtype=np.float64)
        return x**self.power * np.log(x) ** self.log

    def slope(self, x):
        """Local log-log slope ``power + log/log(x)``."""
        return self.power + self.log / np.log(np.asarray(x, dtype=np.float64))


@dataclass(frozen=True)
class Allocation:
    """How the optimum scales with the budget (data D or compute C).

    Attributes
    ----------
    risk, peak : Rate
        Excess risk and ``gamma = peak/B``.
    width : Rate or None
        Model width; for a data budget the least one that keeps the rate (wider never hurts); None: not printed.
    data : Rate
    cooldown, least_cooldown : Rate or None
        WSD only, in the number of *samples* D: best fraction r of the steps in the decay phase (None where it is not
        printed), and the least one that keeps the rate.
    """

    risk: Rate
    peak: Rate
    width: Rate | None
    data: Rate
    cooldown: Rate | None = None
    least_cooldown: Rate | None = None


@dataclass(frozen=True)
class Optimum:
    """Numerical optimum; arrays of the shape of the budget.

    Attributes
    ----------
    risk, peak, width, data, cooldown : ndarray
        ``cooldown`` is the decay fraction (1 for the exponential schedule, 0 for the constant one).
    capped : ndarray of bool
        Whether the peak rate sits at the cap.
    """

    risk: np.ndarray
    peak: np.ndarray
    width: np.ndarray
    data: np.ndarray
    cooldown: np.ndarray
    capped: np.ndarray


def data_optimal(source, capacity, schedule, form="corrected"):
    """Data-optimal scaling (Table 1) in D.

    Parameters
    ----------
    source, capacity : float
        ``s`` > 0 and ``beta`` > 1.
    schedule : {"constant", "exponential", "wsd"}
    form : {"corrected", "printed"}

    Returns
    -------
    Allocation

    Raises
    ------
    ValueError
        For a parameter outside its range or an unknown name.
    """
    s, b, hard = _task(source, capacity, schedule, form)
    whole = Rate(1.0)
    if schedule == "constant":
        p = s / (1.0 + s)
        return Allocation(Rate(-p), Rate(-p), Rate(1.0 / ((1.0 + s) * b)), whole)
    if hard:
        if schedule == "exponential":
            return Allocation(Rate(-s, s), Rate(0.0), _least(Rate(1.0 / b, -1.0 / b), form), whole)
        return Allocation(Rate(-s), Rate(0.0), _least(Rate(1.0 / b), form), whole, *_hard_cooldown(s, b, form))
    n = 1.0 + s * b
    p, q = s * b / n, (n - b) / n
    if schedule == "exponential":
        return Allocation(Rate(-p, p), Rate(-q, q), _least(Rate(1.0 / n, -1.0 / n), form), whole)
    sign = 1.0 if form == "printed" else -1.0
    return Allocation(Rate(-p, s * (b - 1.0) / n), Rate(-q, sign * (b - 1.0) / n),
                      _least(Rate(1.0 / n, -(b - 1.0) / (b * n)), form), whole, Rate(0.0), Rate(0.0))


def compute_optimal(source, capacity, schedule, form="corrected"):
    """Compute-optimal scaling (Table 1) in ``C = M D``; parameters as for :func:`data_optimal`."""
    s, b, hard = _task(source, capacity, schedule, form)
    if schedule == "constant":
        n = 1.0 + (s + 1.0) * b
        return Allocation(Rate(-s * b / n), Rate(-s * b / n), Rate(1.0 / n), Rate((s + 1.0) * b / n))
    if hard:
        n = 1.0 + b
        if schedule == "exponential":
            return Allocation(Rate(-s * b / n, s * b / n), Rate(0.0), Rate(1.0 / n, -1.0 / n), Rate(b / n, 1.0 / n))
        return Allocation(Rate(-s * b / n), Rate(0.0), Rate(1.0 / n), Rate(b / n), *_hard_cooldown(s, b, form))
    n = 2.0 + s * b
    p, q = s * b / n, (1.0 + s * b - b) / n
    if schedule == "exponential":
        return Allocation(Rate(-p, p), Rate(-q, q), Rate(1.0 / n, -1.0 / n), Rate((n - 1.0) / n, 1.0 / n))
    risk = Rate(-p, s * (b - 1.0) / n)
    fraction = (Rate(0.0), Rate(0.0))
    if form == "printed":
        return Allocation(risk, Rate(-q, q), Rate(1.0 / n, -1.0 / n), Rate((n - 1.0) / n, 1.0 / n), *fraction)
    k = (1.0 - 1.0 / b) / n
    return Allocation(risk, Rate(-q, -(b * b - 1.0) / (b * n)), Rate(1.0 / n, -k), Rate((n - 1.0) / n, k), *fraction)


def optimise_data(problem, schedule, data, cooldown=None, cap=None):
    """Minimise the closed-form final risk over the peak rate (and the decay fraction) at batch size 1.

    Parameters
    ----------
    problem : PowerLawRegression
        Its width is the model's (``inf`` for Table 1).
    schedule : {"constant", "exponential", "wsd"}
        Final rate ``peak/D``.
    data : array_like
        Budgets D in [10, 1e120].
    cooldown : float, optional
        Decay fraction of WSD, in (0, 1]; default: optimised.
    cap : float, optional
        Largest peak rate; default :func:`.schedule_laws.stability_cap`.

    Returns
    -------
    Optimum
    """
    return _optimise(problem, schedule, data, cooldown, cap, free_width=False)


def optimise_compute(problem, schedule, compute, cooldown=None, cap=None):
    """Minimise over width (whole numbers), peak rate and decay fraction with ``M D = C``; see :func:`optimise_data`."""
    return _optimise(problem, schedule, compute, cooldown, cap, free_width=True)


def _optimise(problem, schedule, budget, cooldown, cap, free_width):
    if not isinstance(problem, PowerLawRegression):
        raise ValueError(f"problem is a {type(problem).__name__}; it must be a PowerLawRegression")
    _task(problem.source, problem.capacity, schedule, "corrected")
    budget = np.asarray(budget, dtype=np.float64)
    if not np.all((budget >= 10.0) & (budget <= LARGEST_BUDGET)):
        raise ValueError(f"budget is {budget.min():g} to {budget.max():g}; it must be in [10, {LARGEST_BUDGET:g}]")
    if cooldown is not None and not 0 < cooldown <= 1:
        raise ValueError(f"cooldown is {cooldown}; it must be in (0, 1]")
    cap = stability_cap(problem) if cap is None else cap
    if not (np.isfinite(cap) and cap > 0):
        raise ValueError(f"cap is {cap}; it must be finite and > 0")
    free_cooldown = schedule == "wsd" and cooldown is None
    logs = np.log(budget.ravel())
    boxes = [(math.log(cap) - logs, np.full_like(logs, math.log(cap)))]
    if free_width:
        boxes.append((np.zeros_like(logs), 0.9 * logs))
    if free_cooldown:
        boxes.append((-0.9 * logs, np.zeros_like(logs)))
    fixed = {"constant": 0.0, "exponential": 1.0, "wsd": cooldown}[schedule]

    def settings(point):
        column = logs.reshape(-1, *[1] * (point.ndim - 2))
        peak = np.exp(np.minimum(point[..., 0], math.log(cap)))
        width = np.floor(np.exp(point[..., 1]) + 0.5) if free_width else np.full_like(peak, problem.width)
        data = np.maximum(np.exp(column) / width, 1.0) if free_width else np.broadcast_to(np.exp(column), peak.shape)
        share = np.exp(np.minimum(point[..., -1], 0.0)) if free_cooldown else np.full_like(peak, fixed)
        return peak, width, data, share

    def risk(point):
        peak, width, data, share = settings(point)
        extra = {"cooldown": share} if schedule == "wsd" else {}
        return SCHEDULES[schedule](problem, data, peak, width=width, **extra).total

    best = _zoom(risk, np.stack([low for low, _ in boxes], axis=-1), np.stack([high for _, high in boxes], axis=-1))
    value = risk(best[:, None, :])[:, 0]
    peak, width, data, share = (part[:, 0].reshape(budget.shape) for part in settings(best[:, None, :]))
    return Optimum(value.reshape(budget.shape), peak, width, data, share, peak > cap * (1.0 - 1e-6))


def _zoom(objective, low, high):
    """Minimise over boxes (one a row) by grids that shrink about the best point; precision about 1e-5 in log."""
    dimensions = low.shape[1]
    first, then, shrink = {1: (81, 17, 0.25), 2: (31, 13, 0.35), 3: (15, 9, 0.5)}[dimensions]
    bottom, top = low, high
    count, width = first, np.max(high - low)
    while True:
        axes = np.linspace(0.0, 1.0, count)
        grid = np.stack(np.meshgrid(*[axes] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
        points = bottom[:, None, :] + (top - bottom)[:, None, :] * grid
        best = points[np.arange(low.shape[0]), np.argmin(objective(points), axis=1)]
        if width < 1e-5:
            return best
        scale = 4.0 / (count - 1) if count == first else shrink
        count = then
        width *= scale
        half = 0.5 * scale * (top - bottom)
        bottom, top = np.maximum(best - half, low), np.minimum(best + half, high)


def _least(width, form):
    """Table 1 prints an infinite width for data budgets with decay; the least one that keeps the rate is derived."""
    return None if form == "printed" else width


def _hard_cooldown(s, b, form):
    least = Rate((s * b + 1.0 - b) / (b - 1.0), 1.0)
    if form == "printed":
        return None, least
    return Rate(-(1.0 - 1.0 / b - s) / (2.0 - 1.0 / b), (1.0 - 1.0 / b) / (2.0 - 1.0 / b)), least


def _task(source, capacity, schedule, form):
    """Validated ``s``, ``beta`` and whether the task is hard."""
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}; it must be one of {', '.join(SCHEDULES)}")
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; it must be one of {', '.join(FORMS)}")
    problem = PowerLawRegression(source, capacity)
    return float(source), float(capacity), problem.regime == "hard"
