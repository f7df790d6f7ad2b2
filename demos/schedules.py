"""The best learning-rate and batch-size schedules in the classroom: what a shape loses, when to switch, one optimum.

As an app: ``marimo run demos/schedules.py``; as a notebook: ``marimo edit demos/schedules.py``; as a script:
``python demos/schedules.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Optimal schedules")


@app.cell
def imports():
    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.theory import batch_sizes, fsl
    from theorycheck.theory import learning_rates as lr
    from theorycheck.theory.schedules import shapes
    from theorycheck.theory.schedules.batch_control import whole_sizes
    from theorycheck.theory.schedules.optimal_control import optimal_rates
    from theorycheck.theory.schedules.spectral_optimum import spectral_optimum
    from theorycheck.theory.schedules.stages import two_stage_risk
    return batch_sizes, fsl, lr, mo, np, optimal_rates, shapes, spectral_optimum, style, two_stage_risk, whole_sizes


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # The best schedule

        Linear regression on features of variance $\lambda_j = j^{-\beta}$ with target
        $\lambda_j\theta_j^2 = j^{-(1+s\beta)}$ and label noise $\sigma$, learned by one-pass SGD. Only the ratio
        $r = B/\eta$ of batch size to learning rate matters, as a function of the intrinsic time $t = \sum_k \eta_k$:

        $$\mathcal E(T) = \tfrac12 e(T) + \tfrac12\int_0^T K(T-t)\,\frac{e(t)+\sigma^2}{r(t)}\,dt,
        \qquad \int_0^T r\,dt = D \text{ samples}, \qquad r \ge 1/\eta_{\max},$$

        and the best one is $r^*(t) = \max\{r_{\min},\ c\,[K(T-t)(e(t)+\sigma^2)]^{1/2}\}$: a learning rate that falls, or a
        batch that grows, the closer the end is. *Easy* tasks ($s > 1 - 1/\beta$) anneal all the way; *hard* ones train at
        the largest rate and anneal at last.
        """
    )
    return


@app.cell
def controls(mo):
    source = mo.ui.slider(0.1, 2.0, 0.1, value=1.0, label="source s", show_value=True)
    capacity = mo.ui.slider(1.25, 4.0, 0.25, value=2.0, label="capacity beta", show_value=True)
    noise = mo.ui.slider(0.1, 2.0, 0.1, value=1.0, label="noise sigma", show_value=True)
    budget = mo.ui.slider(8, 14, 1, value=11, label="log2 of the samples N", show_value=True)
    cap = mo.ui.slider(0.05, 0.5, 0.05, value=0.3, label="largest rate", show_value=True)
    second = mo.ui.slider(2, 64, 2, value=16, label="second batch size", show_value=True)
    mo.vstack([mo.hstack([source, capacity, noise]), mo.hstack([budget, cap, second])])
    return budget, cap, capacity, noise, second, source


@app.cell
def problem_and_optima(budget, cap, capacity, fsl, noise, optimal_rates, source, spectral_optimum):
    problem = fsl.PowerLawRegression(source.value, capacity.value, noise=noise.value)
    samples = 2**budget.value
    spectrum = fsl.compress(problem, samples * cap.value, tolerance=1e-8)
    largest = min(cap.value, 0.9 * fsl.critical_rate(spectrum))   # where features are heavy, stability is the cap
    law = spectral_optimum(spectrum, samples, floor=1.0 / largest)
    control = optimal_rates(spectrum, samples, cap=largest, tolerance=1e-7)

    def risk(schedule, batch_size=1):
        return fsl.exact_risk(spectrum, schedule, batch_size, times=[schedule.steps]).final

    by_law = risk(law.schedule(samples))
    return by_law, control, largest, law, problem, risk, samples, spectrum


@app.cell
def contest(capacity, largest, np, risk, samples, shapes):
    family = (shapes.constant(), shapes.linear(), shapes.cosine(), shapes.power(2 * capacity.value - 1),
              shapes.wsd(0.2, "1-sqrt"))
    peaks = largest * np.geomspace(0.01, 1.0, 24)
    table = np.array([[risk(shape.schedule(samples, peak)) for peak in peaks] for shape in family])
    best_peaks = peaks[table.argmin(axis=1)]
    losses = dict(zip((shape.name for shape in family), table.min(axis=1), strict=True))
    return best_peaks, family, losses


@app.cell
def rates_picture(best_peaks, by_law, control, family, law, losses, samples, style):
    with style.applied():
        rates_drawing, (rate_axes, loss_axes) = style.new(1, 2, width=9.6, height=3.8, width_ratios=[3, 2])
        rate_axes.plot(range(samples), control.rates, color=style.GREY, linewidth=4, alpha=0.5, label="optimal control")
        rate_axes.plot(range(samples), law.schedule(samples).rates, **style.theory(0), label="the law's optimum")
        for _place, (_shape, _peak) in enumerate(zip(family, best_peaks, strict=True), start=1):
            rate_axes.plot(range(samples), _shape.schedule(samples, _peak).rates, **style.theory(_place), label=_shape.name)
        rate_axes.set(xlabel="step", ylabel="learning rate", title="best rates, batch size 1")
        rate_axes.legend()
        names = ["the law's optimum", *losses]
        excess = [100 * (_loss / control.loss - 1) for _loss in (by_law, *losses.values())]
        loss_axes.barh(names, excess, color=style.COLORS, edgecolor=style.GREY)
        loss_axes.invert_yaxis()
        loss_axes.set(xlabel="loss above the optimum, %")
    rates_drawing
    return excess, rates_drawing


@app.cell
def verdict(by_law, control, family, law, losses, mo, problem, shapes):
    lines = [
        f"- the task is **{problem.regime}** (easy means s >= 1 - 1/beta = {1 - 1 / problem.capacity:.2f}); intrinsic time "
        f"used: {control.horizon:.4g}, by the law {law.horizon:.4g}",
        f"- optimal loss, exact: **{control.loss:.5g}**; the law's schedule reaches {by_law:.5g} and promises "
        f"{law.loss:.5g}",
    ]
    for _shape in family:
        _power = shapes.exponents(problem.source, problem.capacity, _shape.tail_exponent)
        _price = shapes.price(_shape, problem.capacity)
        _remark = "loses the rate" if _price == float("inf") else f"remembers {_price:.3g} times the least noise"
        lines.append(f"- {_shape.name}: {losses[_shape.name]:.5g}; in the long run E ~ N^({_power['risk']:.3f}), {_remark}")
    mo.md("\n".join(lines))
    return


@app.cell
def switching(largest, np, samples, second, spectrum, two_stage_risk):
    shares = np.linspace(0.0, 1.0, 101)
    first_steps = np.round((1 - shares) * samples)
    switched = two_stage_risk(spectrum, 0.5 * largest, (1, second.value), first_steps,
                              (samples - first_steps) / second.value)
    best_share = float(shares[int(np.argmin(switched))])
    return best_share, shares, switched


@app.cell
def duality(batch_sizes, largest, lr, np, risk, samples, spectral_optimum, spectrum, whole_sizes):
    batches = []
    for _factor in (1.0, 0.5, 0.25):
        _rate = _factor * largest
        _path = spectral_optimum(spectrum, samples, floor=1.0 / _rate)   # no batch below one sample
        _sizes = whole_sizes(np.maximum(_path.batches(_rate), 1.0))
        _plan = lr.constant(_sizes.size, _path.horizon / _sizes.size)
        batches.append((_plan.peak, _sizes, risk(_plan, batch_sizes.from_array(_sizes))))
    return (batches,)


@app.cell
def batch_picture(batches, best_share, by_law, np, second, shares, style, switched):
    with style.applied():
        batch_drawing, (switch_axes, dual_axes) = style.new(1, 2, width=9.6, height=3.6)
        switch_axes.plot(shares, switched, **style.theory(1))
        switch_axes.axvline(best_share, color=style.GREY, linewidth=1)
        switch_axes.set(xlabel="share of the data after the switch", ylabel="final excess risk", yscale="log",
                        title=f"batch size 1, then {second.value}, half the largest rate")
        for _place, (_rate, _sizes, _loss) in enumerate(batches):
            dual_axes.plot(np.cumsum(_sizes) / _sizes.sum(), _sizes, **style.theory(_place),
                           label=f"rate {_rate:.3g}, {_sizes.size} steps: loss {_loss:.4g}")
        dual_axes.set(xlabel="share of the data used", ylabel="batch size", yscale="log",
                      title=f"the same optimum as batches (as rates: {by_law:.4g})")
        dual_axes.legend()
    batch_drawing
    return (batch_drawing,)


@app.cell
def exercises(mo):
    mo.md(
        r"""
        ### Things to try

        1. $s = 1$, $\beta = 4$: who wins at $N = 2^{10}$, who at $2^{14}$? The power $2\beta - 1$ is the optimum's shape in the
           limit. Why is it not here?
        2. $s = 0.2$, $\beta = 3$: a hard task. Where does the optimal rate leave its cap, and how does the share of the decay
           change with $N$? Which parametric shape comes closest?
        3. Find a task for which a constant rate is nearly optimal. What do its source and noise have in common?
        4. Two stages: make the task harder and watch the best switch move to the end. What if $\sigma$ is small?
        5. The optimum as batches: smaller rates need more steps and reach the loss of the schedule in rates. What
           keeps the largest rate from doing so?
        """
    )
    return


if __name__ == "__main__":
    app.run()
