"""What the shape of a learning-rate schedule costs: final loss, capacity saturation, the best base rate."""

import numpy as np
from scipy.optimize import minimize_scalar

from ...checks.schedules.shapes_in_sgd import EASY, HARD
from ...theory import fsl
from ...theory.schedules import shapes
from ...theory.schedules.optimal_control import optimal_rates
from .. import style
from ..figure import Drawing, figure

NAMES = {"power 3": r"power $2\beta - 1$", "power 7": r"power $2\beta - 1$"}
TAILS = (0.0, 1.0, 2.0, 4.0)
FEW, MANY = 1e28, 1e30
"""Sizes between which slopes of the tuned law are taken."""


@figure("final_loss_of_shapes", topic="schedules", title="Final loss of schedules of a fixed shape",
        caption="Exact expected risk of SGD (no sampling) at batch 1, sigma = 1, s = 1, each shape at its best peak, "
                "over the optimal rate: flat is optimal. Markers: exact recursion; the black ones are the optimum over "
                "all schedules. Lines: N^(-s a/(1 + s a)) with a = min{beta, tail exponent + 1}, and its logarithm "
                "where these are equal, through the last marker. Short runs prefer gentle tails, which fall behind.",
        claims=("schedules.tuned_shapes_in_sgd", "schedules.order_of_shapes_in_sgd",
                "schedules.short_runs_prefer_gentle_tails"))
def final_loss_of_shapes(effort):
    """One panel per capacity."""
    fig, axes = style.new(1, 2, width=9.8, height=4.4)
    sizes = 2 ** np.arange(9, effort.choose(18, 21))
    best_sizes = sizes[sizes <= effort.choose(2**14, 2**16)]
    table = {name: [] for name in ("capacity", "schedule", "kind", "steps", "risk")}

    def record(beta, name, kind, steps, risks):
        for column, value in zip(table, (beta, name, kind, steps, risks), strict=True):
            table[column].append(np.broadcast_to(np.asarray(value), np.shape(steps)))

    for panel, (s, beta) in zip(axes, EASY, strict=True):
        problem = fsl.PowerLawRegression(s, beta)
        spectrum = fsl.compress(problem, 2.0 * sizes[-1], tolerance=1e-6)
        family = (shapes.constant(), shapes.linear(), shapes.cosine(), shapes.power(2.0 * beta - 1.0),
                  shapes.wsd(0.2, "1-sqrt"))
        rate = sizes ** -shapes.exponents(s, beta, 2.0 * beta - 1.0)["risk"]
        best = np.array([optimal_rates(spectrum, int(n), cap=1.0, tolerance=1e-6).loss for n in best_sizes])
        style.loglog(panel).plot(best_sizes, best * rate[:best.size], **style.measurement(0), label="optimal")
        record(beta, "optimal", "exact", best_sizes, best)
        for index, shape in enumerate(family, start=1):
            losses = np.array([_best_loss(spectrum, shape, int(n)) for n in sizes])
            panel.plot(sizes, losses * rate, **style.measurement(index), label=NAMES.get(shape.name, shape.name))
            record(beta, shape.name, "exact", sizes, losses)
            power = shapes.exponents(s, beta, shape.tail_exponent)
            law = sizes ** power["risk"] * np.log(sizes) ** power["logarithm"]
            panel.plot(sizes, losses[-1] * law / law[-1] * rate, **style.theory(index))
            record(beta, shape.name, "rate", sizes, losses[-1] * law / law[-1])
        panel.set(xlabel="steps N", title=rf"$s = 1$, $\beta = {beta:g}$",
                  ylabel=rf"excess risk $\times\,N^{{{beta / (1.0 + beta):.2g}}}$")
        panel.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        panel.minorticks_off()
    axes[1].set_ylim(top=8.0)
    axes[1].legend(loc="upper left", ncols=2)
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


@figure("capacity_saturation", topic="schedules", title="Capacity saturation",
        caption="Rate -d log E/d log N of the functional law with the best peak, s = 1, against the capacity of the "
                "task, for tails (1 - z/N)^gamma. Lines: s a/(1 + s a) with a = min{beta, gamma + 1}, kinked at beta = "
                "gamma + 1 (dots). Hollow markers: slopes of the tuned law between N = 1e28 and 1e30, where the "
                "logarithm at the kink still shows. Grey: the best schedule.",
        claims=("schedules.capacity_saturation", "schedules.boundary_logarithm", "schedules.boundary_rate"))
def capacity_saturation(effort):
    """Slopes over a range of capacities, for four tails."""
    fig, axes = style.new(width=6.2, height=4.4)
    betas = np.linspace(1.25, 7.0, effort.choose(24, 47))
    fine = np.linspace(1.05, 7.2, 400)
    table = {name: [] for name in ("tail_exponent", "kind", "capacity", "rate")}
    axes.plot(fine, fine / (1.0 + fine), color=style.GREY, linewidth=3.0, alpha=0.45, label="best schedule")
    for index, gamma in enumerate(TAILS):
        shape = shapes.power(gamma)
        law = np.array([-shapes.exponents(1.0, beta, gamma)["risk"] for beta in fine])
        slopes = np.array([-np.log(shapes.tuned(shape, 1.0, beta, MANY).risk / shapes.tuned(shape, 1.0, beta, FEW).risk)
                           / np.log(MANY / FEW) for beta in betas])
        axes.plot(fine, law, **style.theory(index))
        axes.plot(betas, slopes, **style.measurement(index), label=rf"$\gamma = {gamma:g}$")
        if gamma:
            axes.plot(gamma + 1.0, (gamma + 1.0) / (gamma + 2.0), marker="o", markersize=6, color=style.COLORS[index])
        for kind, x, y in (("law", fine, law), ("slope", betas, slopes)):
            for column, value in zip(table, (np.full(x.size, gamma), np.full(x.size, kind), x, y), strict=True):
                table[column].append(value)
    axes.set(xlabel=r"capacity of the task $\beta$", ylabel=r"rate $-d\log E\,/\,d\log N$", ylim=(0.44, 0.9))
    axes.legend(loc="upper left")
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


@figure("best_base_rate", topic="schedules", title="The best base rate against the length of the run",
        caption="Exact expected risk of SGD with power decay, exponent 2 beta - 1, against its first rate, for runs of "
                "several lengths. Markers: the minima. Grey: where the minimum should go, through "
                "the last one; dotted: edge of mean-square stability of a constant rate. Hard tasks keep one base "
                "rate, at that edge, easy ones must shrink it.",
        claims=("schedules.best_base_rate_hard", "schedules.best_base_rate_easy"))
def best_base_rate(effort):
    """One hard and one easy task."""
    fig, axes = style.new(1, 2, width=9.6, height=4.0)
    sizes = 2 ** np.arange(10, effort.choose(17, 19), 2)
    table = {name: [] for name in ("source", "capacity", "kind", "steps", "base_rate", "risk")}
    for panel, (title, s, beta) in zip(axes, (("hard", *HARD[0]), ("easy", *EASY[1])), strict=True):
        shape, best = shapes.power(2.0 * beta - 1.0), []
        spectrum = fsl.compress(fsl.PowerLawRegression(s, beta), 2.0 * sizes[-1], tolerance=1e-6)
        edge = fsl.critical_rate(spectrum)
        for index, steps in enumerate(sizes[::-1]):
            rates = edge * np.geomspace(0.03, 1.6, effort.choose(60, 121))
            risks = np.array([_risk(spectrum, shape, int(steps), rate) for rate in rates])
            rates, risks = rates[np.isfinite(risks)], risks[np.isfinite(risks)]
            lowest = int(np.argmin(risks))
            best.append((steps, rates[lowest], risks[lowest]))
            style.loglog(panel).plot(rates, risks, **style.theory(index), label=f"$N = 2^{{{int(np.log2(steps))}}}$")
            panel.plot(*best[-1][1:], **style.measurement(index, markersize=7))
            for kind, part in (("curve", slice(None)), ("best", slice(lowest, lowest + 1))):
                for column, value in zip(table, (s, beta, kind, int(steps), rates[part], risks[part]), strict=True):
                    table[column].append(np.broadcast_to(np.asarray(value), rates[part].shape))
        steps, places, depths = np.array(best).T
        power = shapes.exponents(s, beta, 2.0 * beta - 1.0)["peak"]
        style.guide(panel, places[0] * (steps / steps[0])**power, depths)
        panel.axvline(edge, color=style.GREY, linestyle=":", linewidth=1.2)
        panel.set(xlabel="base rate", ylabel="excess risk after N steps", ylim=(0.6 * depths.min(), 4.0 * depths.max()),
                  title=rf"{title}: $s = {s:g}$, $\beta = {beta:g}$")
        panel.set_xticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
        panel.minorticks_off()
    axes[0].set_yticks([0.1, 0.2, 0.4], ["0.1", "0.2", "0.4"])
    axes[0].legend(loc="lower left")
    return Drawing(fig, {name: np.concatenate(values) for name, values in table.items()})


def _risk(spectrum, shape, steps, peak):
    """Exact final risk; infinite where it overflows or exceeds a hundred."""
    try:
        risk = fsl.exact_risk(spectrum, shape.schedule(steps, peak), times=[steps]).final
    except ValueError:
        return np.inf
    return risk if risk < 100.0 else np.inf


def _best_loss(spectrum, shape, steps):
    edge = fsl.critical_rate(spectrum)

    def loss(log_peak):
        return fsl.exact_risk(spectrum, shape.schedule(steps, np.exp(log_peak)), times=[steps]).final

    grid = np.log(0.98 * edge * np.geomspace(2e-3, 1.0, 14))
    best = int(np.argmin([loss(x) for x in grid]))
    return minimize_scalar(loss, bounds=(grid[max(best - 1, 0)], grid[min(best + 1, 13)]), method="bounded",
                           options={"xatol": 5e-3}).fun
