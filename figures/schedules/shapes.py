"""What the shape of a learning-rate schedule costs: final loss against data, and where a tail's capacity saturates."""

import numpy as np
from scipy.optimize import minimize_scalar

from ...checks.schedules.shapes_in_sgd import EASY
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


def _best_loss(spectrum, shape, steps):
    edge = fsl.critical_rate(spectrum)

    def loss(log_peak):
        return fsl.exact_risk(spectrum, shape.schedule(steps, np.exp(log_peak)), times=[steps]).final

    grid = np.log(0.98 * edge * np.geomspace(2e-3, 1.0, 14))
    best = int(np.argmin([loss(x) for x in grid]))
    return minimize_scalar(loss, bounds=(grid[max(best - 1, 0)], grid[min(best + 1, 13)]), method="bounded",
                           options={"xatol": 5e-3}).fun
