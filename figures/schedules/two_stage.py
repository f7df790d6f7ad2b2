"""Batch-size schedules: the optimal one, one switch, and catch-up."""

import numpy as np

from ...checks.schedules.two_stage import RATE, SIZES, VARIANCE, sgd_stages
from ...theory.fsl.compression import compress
from ...theory.fsl.problem import PowerLawRegression
from ...theory.schedules.power_law import sharp
from ...theory.schedules.stages import Stage, best_switch, switched_risk
from ...theory.schedules.two_stage import two_stage
from ...theory.schedules.variational import optimum
from .. import style
from ..figure import Drawing, figure

TASKS = (("easy: s = 1, beta = 2", 1.0, 2.0), ("hard: s = 0.3, beta = 3", 0.3, 3.0))
SWITCHES = (1000, 10_000, 100_000)
"""Steps at the small batch."""


@figure("batch_schedule", topic="schedules", title="The best batch schedule, and the best single switch",
        caption="Left: the ratio r = B/eta of the law's optimum over the data (lines; floor r = 1) and the best switch "
                "from 1 to 8 (steps in the same colour), D = 1e8. Middle: what a switch that leaves a share of the "
                "data to the larger batch costs (exact SGD, batch 1 then 16); star: the best. Right: that best share "
                "against D; markers exact SGD, lines the law with its large-time constants and no fit.",
        claims=("schedules.batch_theorem_easy", "schedules.batch_theorem_hard", "schedules.late_switch",
                "schedules.no_switch", "schedules.switch_in_sgd"))
def batch_schedule(effort):
    """Colour 0 easy, colour 1 hard in all panels."""
    fig, (left, middle, right) = style.new(1, 3, width=12.6, height=4.0)
    table = {name: [] for name in ("panel", "task", "curve", "x", "y")}
    data, used = 1e8, np.linspace(0.0, 1.0, 801)
    shares = np.geomspace(1e-3, 1.0, 80)
    budgets = 2.0 ** np.arange(12.0, effort.choose(28.0, 35.0), effort.choose(3.0, 2.0))
    for index, (label, s, beta) in enumerate(TASKS):
        best = optimum(s, beta, data, floor=1.0)
        ratio = best.ratio(best.remaining_time((1.0 - used) * data))
        left.plot(used, ratio, **style.theory(index), label=label)
        switch = two_stage(s, beta, data, 1.0, 8.0)
        steps = np.where(used * data < switch.switch, 1.0, 8.0)
        left.plot(used, steps, color=style.COLORS[index], linewidth=0.9, drawstyle="steps-post")
        _append(table, "schedule", label, "optimum", used, ratio)
        _append(table, "schedule", label, "best switch", used, steps)
        early, late = sgd_stages(s, beta, 2.0**20)
        share = best_switch(early, late, 2.0**20)
        second = np.append(shares, share) * 2.0**20 / late.size
        *risks, least = switched_risk(early, late, (2.0**20 - late.size * second) / early.size, second)
        risks = np.array(risks)
        middle.plot(shares, risks / least, **style.theory(index), label=label)
        middle.plot([share], [1.0], color=style.COLORS[index], marker="*", markersize=12, linestyle="none")
        _append(table, "cost", label, "risk over least", shares, risks / least)
        form = sharp(s, beta, VARIANCE**0.5)
        law = [two_stage(s, beta, d, SIZES[0] / RATE, SIZES[1] / RATE, form.noise, form.signal_scale,
                         form.kernel_scale).share for d in budgets]
        exact = [best_switch(*sgd_stages(s, beta, d), d) for d in budgets]
        right.plot(budgets, law, **style.theory(index), label=f"{label}: law")
        right.plot(budgets, exact, **style.measurement(index), label="exact SGD")
        _append(table, "share", label, "law", budgets, law)
        _append(table, "share", label, "exact SGD", budgets, exact)
    left.set(yscale="log", xlabel="share of the data used", ylabel="r = batch size / learning rate", title="D = 1e8")
    middle.set(xscale="log", ylim=(0.95, 4.0), xlabel="share of the data for the larger batch",
               ylabel="final risk / least", title="D = 2^20, exact SGD")
    right.set(xscale="log", yscale="log", xlabel="data D (samples)", ylabel="best share for the larger batch",
              title="when to switch")
    for axes in (left, middle):
        axes.legend()
    right.legend(loc="lower left", fontsize=7.5)
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


@figure("catch_up", topic="schedules", title="Catch-up after the switch to a large batch",
        caption="Exact risk of SGD: batch 16 throughout (thick), and runs that switch from 1 to 16 after 1e3, 1e4 and "
                "1e5 steps (hard task, s = 0.3, beta = 3, sigma = 1, rate 0.2). At equal steps (left) they fall onto "
                "it; at equal data (middle) they drop below it, and both meet late. Right: the gap at equal steps, and "
                "its two powers, d^-(1-1/beta) before and d^-(2-1/beta) after d ~ t_s.",
        claims=("schedules.catch_up_gap", "schedules.catch_up_relative_to_signal", "schedules.catch_up_in_sgd"))
def catch_up(effort):
    """One stage map for each batch size; every point is exact."""
    small, large = SIZES
    spectrum = compress(PowerLawRegression(0.3, 3.0), 1e8)
    early, late = Stage(spectrum, RATE, small), Stage(spectrum, RATE, large)
    steps = np.unique(np.round(np.geomspace(1.0, 1e6, effort.choose(120, 300))))
    fig, (left, middle, right) = style.new(1, 3, width=12.6, height=4.0)
    table = {name: [] for name in ("panel", "task", "curve", "x", "y")}
    always = late.risk(late.after(late.start(), steps))
    for axes, panel, x in ((left, "steps", steps), (middle, "data", large * steps)):
        axes.plot(x, always, color=style.GREY, linewidth=4.0, alpha=0.6, label="batch 16")
        _append(table, panel, "hard", "batch 16", x, always)
    for index, switch in enumerate(SWITCHES):
        at_switch = late.take_over(early.after(early.start(), switch), early)
        before, since = steps[steps <= switch], np.geomspace(1.0, 1e6, steps.size)
        risk = np.concatenate([early.risk(early.after(early.start(), before)), late.risk(late.after(at_switch, since))])
        name = f"switch at {switch:.0e}".replace("e+0", "e")
        x = np.concatenate([before, switch + since])
        left.plot(x, risk, **style.theory(index + 1), label=name)
        data = np.concatenate([small * before, small * switch + large * since])
        middle.plot(data, risk, **style.theory(index + 1), label=name)
        apart = at_switch - late.after(late.start(), switch)
        some = np.geomspace(10.0, 1e7, 25)
        gap = late.risk_difference(apart, some)
        right.plot(some, gap, **style.measurement(index + 1), label=name)
        for panel, across, values in (("steps", x, risk), ("data", data, risk), ("gap", some, gap)):
            _append(table, panel, "hard", name, across, values)
    ends = np.array([30.0, 3000.0])
    style.guide(right, ends, 0.4 * (ends / 30.0) ** (-2.0 / 3.0) * 0.1, "d^(-2/3)")
    ends = np.array([3e5, 1e7])
    style.guide(right, ends, 2e-6 * (ends / 3e5) ** (-5.0 / 3.0), "d^(-5/3)")
    left.set(xlabel="steps", ylabel="excess risk", title="equal steps")
    middle.set(xlabel="data (samples)", title="equal data")
    right.set(xlabel="steps d since the switch", ylabel="risk less that of batch 16", title="gap at equal steps")
    for axes in (left, middle, right):
        style.loglog(axes)
        axes.legend(loc="lower left")
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


def _append(table, panel, task, curve, x, y):
    x = np.asarray(x, float)
    for name, values in zip(table, (np.full(x.size, panel), np.full(x.size, task), np.full(x.size, curve), x,
                                    np.asarray(y, float))):
        table[name].append(values)
