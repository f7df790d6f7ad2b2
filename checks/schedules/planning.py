"""Claims about the planner: its gradient, that nothing usual beats its schedules, and what they do in exact SGD.

The fitted laws are fitted to exact runs (:mod:`theorycheck.checks.fsl.loss_curves`), so that what a plan promises can
be compared with what SGD then does.
"""

from functools import cache

import numpy as np

from ...theory import learning_rates as lr
from ...theory.fsl.problem import PowerLawRegression
from ...theory.fsl.recursion import exact_risk
from ...theory.schedules import fitted_optimum
from ...theory.schedules.fitted_law import FittedLaw, final_loss, final_loss_gradient
from ...theory.schedules.optimal_control import optimal_rates
from .. import judges
from ..claim import claim
from ..fsl import loss_curves as exact
from ..fsl.paper import FSL, MULTI_POWER_LAW
from . import planner

LAWS = ("fsl", "mpl")

TASKS = ((1.0, 2.0), (0.5, 3.0), (0.3, 4.0))
"""(source, capacity) of the tasks that are planned as given."""

PLANTED = {"fsl": FittedLaw("fsl", (0.5, 20.0, 0.6), (3.0, 1.0, 0.05, 0.1), 1e-3, 1.0, 0.02),
           "mpl": FittedLaw("mpl", (0.5, 10.0, 0.6, 0.5), (3.0, 1.0, 0.15), 1e-3, 1.0, 0.02)}
"""One law of each kind with every coefficient positive."""


def fitted_law(problem, name, training=exact.THREE):
    """The law `name` fitted to exact runs of a problem (source, capacity)."""
    fit = exact.fitted(*problem, training, name)
    return FittedLaw(fit.law.name, fit.nonlinear, fit.linear, fit.units.rate, fit.units.batch, fit.units.start)


def _gradients(effort, clock=True):
    """Gradient and differences over four points, whose error is of fourth order in a step of 3e-4 of the rate."""
    found, expected = [], []
    for law in PLANTED.values():
        rows = fitted_optimum.rows_of(effort.choose(200, 2000), 40)
        rates = 1e-3 * (0.55 + 0.4 * np.sin(np.arange(rows.size) / 7.0))
        gradient = final_loss_gradient(law, rows, rates, clock=clock)[1]
        places = np.unique(np.concatenate([[0, 1, rows.size - 2, rows.size - 1],
                                           np.linspace(0, rows.size - 1, 40).astype(int)]))
        for place in places:
            step = 3e-4 * rates[place]
            at = []
            for shift in (-2, -1, 1, 2):
                moved = rates.copy()
                moved[place] += shift * step
                at.append(final_loss(law, rows, moved))
            found.append(gradient[place])
            expected.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step))
    expected, found = np.array(expected).reshape(2, -1), np.array(found).reshape(2, -1)
    scale = np.abs(expected).max(axis=1, keepdims=True)
    # set: rounding of the losses makes about 1e-10 of the largest derivative
    return judges.equal(found / scale, expected / scale, atol=1e-8, at={"law": np.array(LAWS)[:, None]},
                        over="derivatives over the largest")


@claim("fitted_gradient", topic="schedules", paper=FSL, where="App. B.2, eq. (30)", stance="derived",
       statement="dL(N)/d eta_k of the fitted laws, all k by one cumulative sum over later rows, = finite differences")
def fitted_gradient(effort):
    return _gradients(effort)


@fitted_gradient.control("without what each rate does to T and to all later times")
def _(effort):
    return _gradients(effort, clock=False)


@cache
def planned(problem, name, steps, floor):
    """Law, rows, planned rates and its loss, with the exact runs' peak."""
    law = fitted_law(problem, name)
    rows = fitted_optimum.rows_of(steps)
    return law, rows, fitted_optimum.optimal_rates(law, rows, exact.PEAK, floor)


def _rivals(rows, floor):
    """Constant, cosine, linear, exponential, WSD and powers, each with peaks and phases of its own."""
    for peak in exact.PEAK * np.array([0.3, 0.5, 0.7, 0.85, 1.0]):
        if peak <= floor:
            continue
        yield from fitted_optimum.parametric(rows, peak, floor).values()
        for exponent in (0.5, 2.0, 3.0):
            yield lr.power(rows.size, peak, exponent, floor).rates
        for cooldown in (0.05, 0.3, 0.7):
            yield lr.wsd(rows.size, peak, cooldown, floor, "linear").rates


def _contest(effort, candidate):
    mine, best = [], []
    cases = [(problem, name, floor) for problem in effort.choose(exact.QUICK[:2], exact.FULL) for name in LAWS
             for floor in (0.0, 0.1 * exact.PEAK)]
    for problem, name, floor in cases:
        law, rows, found = planned(problem, name, effort.choose(4000, 24_000), floor)
        mine.append(final_loss(law, rows, candidate(rows, found, floor)))
        best.append(min(final_loss(law, rows, rival) for rival in _rivals(rows, floor)))
    return judges.inequality(mine, best, at={"law": np.array([f"{name}, floor {floor:g}" for _, name, floor in cases])})


@claim("planned_fit_wins", topic="schedules", paper=MULTI_POWER_LAW, where="eq. (1), and FSL eq. (30)",
       stance="derived",
       statement="by the fitted law no constant, cosine, linear, exponential, WSD or power schedule of any peak or "
                 "phase ends below the plan")
def planned_fit_wins(effort):
    return _contest(effort, lambda rows, found, floor: found.rates)


@planned_fit_wins.control("a cosine from peak to floor in place of the plan")
def _(effort):
    return _contest(effort, lambda rows, found, floor: lr.cosine(rows.size, exact.PEAK, floor).rates)


@planned_fit_wins.control("the plan's rates in opposite order")
def _(effort):
    return _contest(effort, lambda rows, found, floor: found.rates[::-1])


def _transferred(effort, candidate):
    """Exact excess risk at the length and limits of the exact runs; rivals from the same peak to the same floor."""
    floor, mine, best = 0.1 * exact.PEAK, [], []
    problems = effort.choose(exact.QUICK, exact.FULL)
    for s, beta in problems:
        problem = PowerLawRegression(s, beta, noise=1.0)
        _, rows, found = planned((s, beta), "fsl", exact.STEPS, floor)

        def risk(rates, problem=problem):
            return exact_risk(problem, lr.Schedule(rates), times=[rates.size]).final

        mine.append(risk(candidate(rows, found, floor)))
        best.append(min(risk(rival) for rival in (lr.cosine(rows.size, exact.PEAK, floor).rates,
                                                  lr.linear(rows.size, exact.PEAK, floor).rates,
                                                  lr.wsd(rows.size, exact.PEAK, 0.2, floor).rates,
                                                  lr.multi_step(rows.size, exact.PEAK).rates)))
    return judges.inequality(mine, best, at={"beta": np.array([beta for _, beta in problems])},
                             over="exact excess risk of SGD")


@claim("planned_fit_transfers", topic="schedules", paper=FSL, where="App. B.2, eq. (30); on exact SGD",
       stance="derived",
       statement="planned from a constant, a cosine and a two-stage run, exact SGD ends below cosine, linear, WSD and "
                 "8-1-1 of the same peak and floor")
def planned_fit_transfers(effort):
    return _transferred(effort, lambda rows, found, floor: found.rates)


@planned_fit_transfers.control("the schedule-blind law's plan: the peak throughout")
def _(effort):
    return _transferred(effort, lambda rows, found, floor: np.full(rows.size, exact.PEAK))


@planned_fit_transfers.control("a cosine over twice the length, cut off")
def _(effort):
    return _transferred(effort,
                        lambda rows, found, floor: lr.cosine(2 * rows.size, exact.PEAK, floor).rates[:rows.size])


@cache
def _given_plans(steps):
    return [planner.plan_rates(planner.Given(PowerLawRegression(s, beta, noise=1.0)), steps, 1, 0.3)
            for s, beta in TASKS]


@claim("planned_rates_win", topic="schedules", paper=FSL, where="Sec. 5; on exact SGD", stance="derived",
       statement="planned from (s, beta, sigma), exact SGD ends below constant, cosine, linear and WSD, their peaks "
                 "and the phase and shape of WSD tuned")
def planned_rates_win(effort):
    plans = _given_plans(effort.choose(2000, 32_000))
    return judges.inequality([plan.loss for plan in plans], [min(r.loss for r in plan.rivals) for plan in plans])


@planned_rates_win.control("planned for noise ten times too large")
def _(effort):
    steps = effort.choose(2000, 32_000)
    plans, mine = _given_plans(steps), []
    for s, beta in TASKS:
        wrong = optimal_rates(PowerLawRegression(s, beta, noise=10.0), steps, 1, 0.3)
        mine.append(exact_risk(PowerLawRegression(s, beta, noise=1.0), wrong.schedule(), times=[steps]).final)
    return judges.inequality(mine, [min(r.loss for r in plan.rivals) for plan in plans])
