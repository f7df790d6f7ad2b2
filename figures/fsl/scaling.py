"""How the final loss scales with data, and the constants behind the "~" (Fig. 1b and Sec. 5 of arXiv 2509.19189)."""

import numpy as np

from ...checks.fsl import schedule_laws as claims
from ...sims.fsl import simulate
from ...theory import learning_rates
from ...theory.fsl import PowerLawRegression, allocation, exact_risk
from .. import style
from ..figure import Drawing, figure

TASKS = (("hard", 0.5, 4.0), ("easy", 1.5, 2.0))
NAMES = {"constant": "constant", "exponential": "exponential", "wsd": "WSD"}
CAP, COOLDOWN, WIDTH, SEED = 0.2, 0.2, 64, 2
"""Largest peak rate (finite variance of single runs), decay fraction, features of the simulated model, seed."""


def _schedule(name, steps, peak):
    extra = {"cooldown": COOLDOWN} if name == "wsd" else {}
    return getattr(learning_rates, name)(steps, peak, **extra)


def _optimum(problem, name, data):
    return allocation.optimise_data(problem, name, data, cooldown=COOLDOWN if name == "wsd" else None, cap=CAP)


@figure("final_loss", topic="fsl", title="Final loss against data",
        caption="Excess risk at the end of training with the best peak rate for each amount of data (at most 0.2; "
                "batch 1, sigma = 1, WSD decays over the last 20%). Hollow markers: mean of 200 SGD runs with 2 "
                "standard errors; dots: exact recursion; lines: closed forms. Below, the same divided by the rate of "
                "Table 1 with its logarithm, scaled to one at D = 1e12: flat where the rate holds.",
        claims=("fsl.data_constant", "fsl.data_exponential_hard", "fsl.data_wsd_hard", "fsl.data_exponential_easy",
                "fsl.data_wsd_easy", "fsl.closed_form_error"))
def final_loss(effort):
    """One column per task: closed form to D = 1e12, exact recursion and SGD where they can follow."""
    few = np.array(effort.choose((100, 300, 1000), (100, 300, 1000, 3000, 10_000)))
    some = np.unique(np.round(np.logspace(2, effort.choose(5, 6), effort.choose(10, 17))).astype(int))
    many = np.logspace(2, 12, 41)
    table = {name: [] for name in ("task", "schedule", "kind", "data", "risk", "standard_error", "risk_over_rate")}
    fig, axes = style.new(2, 2, width=10.4, height=6.4, sharex=True, height_ratios=(2, 1))
    for column, (label, source, capacity) in zip(axes.T, TASKS):
        problem = PowerLawRegression(source, capacity)
        for index, name in enumerate(NAMES):
            best = _optimum(problem, name, many)
            rate = allocation.data_optimal(source, capacity, name).risk
            exact = [exact_risk(problem, _schedule(name, steps, peak), times=[steps]).final
                     for steps, peak in zip(some.tolist(), _optimum(problem, name, some.astype(float)).peak)]
            runs = [simulate(PowerLawRegression(source, capacity, WIDTH), _schedule(name, steps, peak), replicas=200,
                             seed=SEED, times=[steps], **effort.engine)
                    for steps, peak in zip(few.tolist(), _optimum(problem, name, few.astype(float)).peak)]
            mean, error = (np.array([getattr(run, part)[0] for run in runs]) for part in ("mean", "stderr"))
            for kind, data, risk, stderr in (("closed form", many, best.risk, None), ("exact", some, exact, None),
                                             ("sgd", few, mean, error)):
                scale = rate(data) * best.risk[-1] / rate(many[-1])
                _curve(column[0], index, kind, data, np.asarray(risk), stderr, NAMES[name])
                _curve(column[1], index, kind, data, risk / scale, None if stderr is None else stderr / scale, None)
                _append(table, (label, name, kind), (data, risk, stderr, risk / scale))
        style.loglog(column[0])
        column[1].set_xscale("log")
        column[1].set_ylim(0.0, 3.0)
        column[0].set_title(f"{label} task, s = {source:g}, beta = {capacity:g}")
        column[1].set_xlabel("data D (samples)")
        column[0].legend(loc="lower left", ncols=2)
    axes[0, 0].set_ylabel("final excess risk E")
    axes[1, 0].set_ylabel("E / rate of Table 1")
    return Drawing(fig, _joined(table))


def _curve(axes, index, kind, data, risk, stderr, label):
    if kind == "closed form":
        axes.plot(data, risk, **style.theory(index), label=label and f"{label}: closed form")
    elif kind == "exact":
        axes.plot(data, risk, linestyle="none", marker=".", markersize=4, color=style.COLORS[index])
    else:
        axes.errorbar(data, risk, 2 * stderr, **style.measurement(index), label=label and f"{label}: SGD")


def _append(table, labels, values):
    data, risk, stderr, ratio = values
    for name, label in zip(("task", "schedule", "kind"), labels):
        table[name].append(np.full(data.size, label))
    table["data"].append(np.asarray(data, dtype=float))
    table["risk"].append(np.asarray(risk, dtype=float))
    table["standard_error"].append(np.ma.masked_all(data.size) if stderr is None else np.ma.asarray(stderr))
    table["risk_over_rate"].append(np.asarray(ratio, dtype=float))


def _joined(table):
    return {name: np.ma.concatenate(parts) if name == "standard_error" else np.concatenate(parts)
            for name, parts in table.items()}


@figure("local_slopes", topic="fsl", title="Local slopes of the optimal loss",
        caption="Slope of log E against log D (above, data-optimal) and against log C (below, compute-optimal, "
                "C = MD) at the numerically best peak rate and width (markers, from the closed forms), and the slopes "
                "of Table 1 with the logarithm differentiated in (lines); grey: the powers alone. WSD with a fixed "
                "decay fraction comes to its slope late.",
        claims=("fsl.data_constant", "fsl.data_exponential_hard", "fsl.data_wsd_hard", "fsl.data_exponential_easy",
                "fsl.data_wsd_easy", "fsl.compute_constant", "fsl.compute_exponential_hard", "fsl.compute_wsd_hard",
                "fsl.compute_exponential_easy", "fsl.compute_wsd_easy"))
def local_slopes(effort):
    """One column per task, one row per budget; theory is Table 1, measured the optimum of the closed forms."""
    budgets = np.logspace(3, 20, effort.choose(18, 35))
    rows = (("data D (samples)", allocation.data_optimal, allocation.optimise_data),
            ("compute C = MD", allocation.compute_optimal, allocation.optimise_compute))
    table = {name: [] for name in ("budget_kind", "task", "schedule", "budget", "slope", "predicted", "power")}
    fig, axes = style.new(2, 2, width=10.4, height=7.0)
    for row, (budget, rates, optimise) in zip(axes, rows):
        for panel, (label, source, capacity) in zip(row, TASKS):
            for index, name in enumerate(NAMES):
                rate = rates(source, capacity, name).risk
                best = optimise(PowerLawRegression(source, capacity), name, budgets,
                                cooldown=COOLDOWN if name == "wsd" else None, cap=CAP)
                middle, slope = _slopes(budgets, best.risk)
                style.guide(panel, middle[[0, -1]], np.full(2, rate.power))
                panel.plot(middle, rate.slope(middle), **style.theory(index), label=f"{NAMES[name]}: Table 1")
                panel.plot(middle, slope, **style.measurement(index), label=f"{NAMES[name]}: measured")
                labels = [np.full(middle.size, text) for text in (budget.split()[0], label, name)]
                for column, values in zip(table, (*labels, middle, slope, rate.slope(middle),
                                                  np.full(middle.size, rate.power))):
                    table[column].append(values)
            panel.set_xscale("log")
            panel.set_title(f"{label} task, s = {source:g}, beta = {capacity:g}")
            panel.set_xlabel(budget)
        row[0].set_ylabel(f"local slope d log E / d log {budget.split()[1]}")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


def _slopes(x, y):
    """Slopes of log y against log x between neighbours, at the geometric middles."""
    return np.sqrt(x[1:] * x[:-1]), np.diff(np.log(y)) / np.diff(np.log(x))


@figure("law_constants", topic="fsl", title='Where the constants of "~" lie',
        caption="Smallest and largest ratio of the final risk (closed form) to the right-hand sides of Thms 5.2 to 5.4 "
                "over random widths, rates and decay fractions; above the whole risk, below the noise term alone. The "
                "constants stay put over twelve decades of steps; they are not one.",
        claims=("fsl.constant_rate_law", "fsl.exponential_decay_law", "fsl.wsd_law"))
def law_constants(effort):
    """One column per theorem, one colour per task."""
    shown = ((0.5, 4.0), (0.3, 2.0), (1.0, 1.5))
    table = {name: [] for name in ("schedule", "source", "capacity", "part", "steps", "smallest", "largest")}
    fig, axes = style.new(2, 3, width=11.4, height=6.0, sharex=True, sharey=True)
    for column, (name, where) in zip(axes.T, (("constant", "5.2"), ("exponential", "5.3"), ("wsd", "5.4"))):
        swept = [case for case in claims.ratios(effort, name) if (case[0].source, case[0].capacity) in shown]
        for index, (problem, *found) in enumerate(swept):
            for panel, part, ratio in zip(column, ("total", "noise"), found):
                low, high = (np.array([pick(r) for r in ratio]) for pick in (np.min, np.max))
                panel.fill_between(claims.STEPS, low, high, color=style.COLORS[index], alpha=0.15, linewidth=0)
                panel.plot(claims.STEPS, low, **style.theory(index))
                panel.plot(claims.STEPS, high, **style.theory(index),
                           label=f"s = {problem.source:g}, beta = {problem.capacity:g}")
                size = claims.STEPS.size
                for entry, values in zip(table, (np.full(size, name), np.full(size, problem.source),
                                                 np.full(size, problem.capacity), np.full(size, part), claims.STEPS,
                                                 low, high)):
                    table[entry].append(values)
        column[0].set_title(f"Thm {where}: {NAMES[name]}")
        column[1].set_xlabel("steps K")
    style.loglog(axes[0, 0])
    for row, text in zip(axes, ("whole risk", "noise term")):
        row[0].set_ylabel(f"{text}: closed form / law")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})
