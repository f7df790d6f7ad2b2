"""Optimal schedules of exact SGD over the law's, and the duality of learning rates and batch sizes."""

import numpy as np

from ...checks.schedules import exact_optima as optima
from .. import style
from ..figure import Drawing, figure

TASKS = (("easy, s = 1, $\\beta$ = 1.5", 1.0, 1.5, None), ("easy, s = 1, $\\beta$ = 2", 1.0, 2.0, None),
         ("hard, s = 0.25, $\\beta$ = 2", 0.25, 2.0, optima.CAP),
         ("hard, s = 1/6, $\\beta$ = 3", 1.0 / 6.0, 3.0, optima.CAP))
FACTORIZATIONS = (("rates, batch 1", 1), ("rates, batch 16", 16), ("batches, rate 0.2", 0.2),
                  ("batches, rate 0.02", 0.02))
DUAL = (1.0, 2.0)


@figure("optimal_control", topic="schedules", title="Optimal learning rates of exact SGD, and what the law says",
        caption="Each learning rate of the run chosen to minimise the exact expected risk at the end (markers), and "
                "the law's optimum {K(T-t)[e(t)+sigma^2]}^(-1/2) under the same cap (lines; batch 1, sigma = 1). Left: "
                "over the course of training; easy tasks warm up, because mini-batch noise is large while the risk "
                "is, and decay from then on; hard tasks stay at the cap (0.3). Middle: over the intrinsic time that "
                "remains, on logarithmic axes, where the decay tends to the power 1 - 1/(2 beta) (grey). Right: final "
                "risk against the number of steps.",
        claims=("schedules.square_root_invariant", "schedules.power_decay_easy", "schedules.warmup_stable_decay_hard",
                "schedules.optimal_loss_quadrature"))
def optimal_control(effort):
    """Markers: optimal control; lines: the law; both at the same number of steps."""
    steps = effort.choose(16_384, 65_536)
    sizes = optima.powers_of_two(8, effort.choose(14, 16), 2)
    fig, (course, tail, loss) = style.new(1, 3, width=13.2, height=4.4)
    table = {name: [] for name in ("task", "curve", "x", "law", "exact")}
    for index, (label, s, beta, cap) in enumerate(TASKS):
        exact = optima.best_rates(s, beta, steps, cap)
        law = optima.best_by_law(s, beta, float(steps), 0.0 if cap is None else 1.0 / cap).schedule(steps)
        places = np.unique(np.round(np.linspace(0, steps - 1, 17)).astype(int))
        course.plot(np.arange(steps) / steps, law.rates, **style.theory(index))
        course.plot(places / steps, exact.rates[places], **style.measurement(index), label=label)
        left = optima.remaining_times(exact.schedule())
        late = np.unique(np.round(steps - np.geomspace(1, steps, 15)).astype(int))
        tail.plot(1.0 + optima.remaining_times(law), law.rates, **style.theory(index))
        tail.plot(1.0 + left[late], exact.rates[late], **style.measurement(index))
        final = [optima.best_rates(s, beta, size, cap).loss for size in sizes]
        law_final = [optima.best_by_law(s, beta, float(size), 0.0 if cap is None else 1.0 / cap).loss for size in sizes]
        loss.plot(sizes, law_final, **style.theory(index))
        loss.plot(sizes, final, **style.measurement(index))
        for curve, x, there, here in (("rate over course", places / steps, law.rates[places], exact.rates[places]),
                                      ("rate over 1+u", 1.0 + left[late], law.rates[late], exact.rates[late]),
                                      ("loss over N", np.array(sizes, float), law_final, final)):
            for name, values in zip(table, (np.full(x.size, label.replace("$\\beta$", "beta")),
                                            np.full(x.size, curve), x, there, here), strict=True):
                table[name].append(np.asarray(values))
    guide = np.array([3.0, 100.0])
    for beta, height in ((1.5, 4.5e-4), (2.0, 2.8e-3)):
        style.guide(tail, guide, height * guide ** (1 - 0.5 / beta), f"slope {1 - 0.5 / beta:.3g}")
    course.set(xlabel="fraction of the steps", ylabel=r"learning rate $\eta$", yscale="log")
    style.loglog(tail).set(xlabel="1 + intrinsic time that remains, 1 + u", ylabel=r"learning rate $\eta$")
    style.loglog(loss).set(xlabel="steps N", ylabel="final excess risk E")
    fig.legend(*course.get_legend_handles_labels(), loc="outside lower center", ncols=4,
               title="markers: optimal control of exact SGD; lines: the law's optimum")
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})


@figure("rate_batch_duality", topic="schedules", title="One path, many schedules",
        caption="The same problem (s = 1, beta = 2, sigma = 1) and the same data, once with the learning rates "
                "chosen at batch 1 and 16, once with the batch sizes chosen at a constant rate of 0.2 and 0.02. Left: "
                "the ratio batch/rate over the intrinsic time that remains, the only thing the law (line) knows. "
                "Right: final risk over that of the best rates at batch 1, against the number of steps: fewer and "
                "larger steps cost a part of the order of the rate, and nothing else.",
        claims=("schedules.rate_batch_duality", "schedules.batch_ramp_saves_steps"))
def rate_batch_duality(effort):
    """Left: paths at one budget; right: loss against steps at three budgets."""
    budgets = effort.choose((1024, 8192), (1024, 8192, 65_536))
    data = budgets[-1]
    fig, (path, cost) = style.new(1, 2, width=10.4, height=4.4)
    table = {name: [] for name in ("panel", "run", "x", "y")}

    def record(panel, run, x, y):
        for name, values in zip(table, (np.full(len(x), panel), np.full(len(x), run), x, y), strict=True):
            table[name].append(np.asarray(values))

    law = optima.best_by_law(*DUAL, float(data))
    left = law.horizon - law.times
    path.plot(1.0 + left, law.ratios, **style.theory(0), label="the law")
    record("path", "law", 1.0 + left, law.ratios)
    for index, (label, setting) in enumerate(FACTORIZATIONS):
        if isinstance(setting, int):
            run = optima.best_rates(*DUAL, data // setting, None, setting)
            left, ratio = optima.remaining_times(run.schedule()), setting / run.rates
        else:
            run = optima.best_batches(*DUAL, float(data), setting, 1e-3)
            left, ratio = optima.remaining_times(run.schedule()), run.batches / setting
        wanted = np.geomspace(1.0, 0.99 + left[0], 12) * (1.0 - 0.07 * index) - 1.0
        places = np.unique(np.searchsorted(-left, -wanted).clip(0, left.size - 1))
        path.plot(1.0 + left[places], ratio[places], **style.measurement(index + 1), label=label)
        record("path", label, 1.0 + left[places], ratio[places])
    for index, amount in enumerate(budgets):
        base = optima.best_rates(*DUAL, amount)
        sizes = [size for size in (1, 4, 16, 64) if amount // size >= 32]
        rated = [optima.best_rates(*DUAL, amount // size, None, size) for size in sizes]
        batched = [optima.best_batches(*DUAL, float(amount), rate, 1e-3) for rate in (0.4, 0.2, 0.1, 0.05, 0.02)]
        for kind, runs, marker in (("rates chosen", rated, "o"), ("batches chosen", batched, "s")):
            x, y = [run.steps for run in runs], [run.loss / base.loss for run in runs]
            cost.plot(x, y, color=style.COLORS[index], linestyle=style.DASHES[index], marker=marker,
                      markerfacecolor="white", label=f"D = {amount}, {kind}")
            record(f"cost D={amount}", kind, x, y)
    style.loglog(path).set(xlabel="1 + intrinsic time that remains, 1 + T - t", ylabel=r"ratio $r = B/\eta$")
    path.legend(loc="lower left")
    cost.set(xlabel="steps", ylabel="final risk / best at batch 1", xscale="log")
    cost.legend(loc="upper right")
    return Drawing(fig, {name: np.concatenate(parts) for name, parts in table.items()})
