"""Functional scaling laws in the classroom: move the sliders, watch theory and SGD agree.

As an app: ``marimo run demos/fsl.py``; as a notebook: ``marimo edit demos/fsl.py``; as a script: ``python demos/fsl.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Functional scaling laws")


@app.cell
def imports():
    import warnings

    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.sims import fsl as sgd
    from theorycheck.theory import fsl
    from theorycheck.theory import learning_rates as lr
    return fsl, lr, mo, np, sgd, style, warnings


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # Functional scaling laws

        Linear regression on features of variance $\lambda_j = j^{-\beta}$ with target
        $\lambda_j \theta_j^2 = j^{-(1+s\beta)}$ and label noise $\sigma$, learned by one-pass SGD on the first $M$ features.
        In *intrinsic time* $t = \sum_k \eta_k$ the excess risk is governed by two functions of the spectrum,

        $$e_M(t) = \sum_{j \le M} \lambda_j \theta_j^2 e^{-2\lambda_j t} \quad\text{(signal)}, \qquad
        K_M(t) = \sum_{j \le M} \lambda_j^2 e^{-2\lambda_j t} \quad\text{(forgetting kernel)},$$

        $$\mathcal E(t) \sim M^{-s\beta} + e_M(t) + \int_0^t K_M(t-z)\,[e_M(z)+\sigma^2]\,\gamma(z)\,dz .$$

        The learning-rate schedule enters only through the noise level $\gamma = \eta/B$: what remains to be learned does
        not care how fast you went, but how much noise you still remember does.
        (Li, Chen, Huang, Wang and Wu, arXiv 2509.19189.)
        """
    )
    return


@app.cell
def controls(lr, mo):
    makers = {
        "constant": lr.constant,
        "cosine": lr.cosine,
        "exponential": lr.exponential,
        "WSD": lr.wsd,
        "cyclic": lr.cyclic,
        "8-1-1": lr.multi_step,
    }
    source = mo.ui.slider(0.1, 2.5, 0.1, value=0.5, label="source s", show_value=True)
    capacity = mo.ui.slider(1.2, 4.0, 0.2, value=2.0, label="capacity beta", show_value=True)
    noise = mo.ui.slider(0.0, 2.0, 0.1, value=1.0, label="noise sigma", show_value=True)
    schedule_name = mo.ui.dropdown(list(makers), value="WSD", label="schedule")
    peak = mo.ui.slider(0.02, 0.3, 0.02, value=0.1, label="peak rate", show_value=True)
    replicas = mo.ui.slider(32, 1024, 32, value=192, label="SGD runs", show_value=True)
    mo.vstack([mo.hstack([source, capacity, noise]), mo.hstack([schedule_name, peak, replicas])])
    return capacity, makers, noise, peak, replicas, schedule_name, source


@app.cell
def experiment(capacity, fsl, makers, noise, np, peak, replicas, schedule_name, sgd, source, warnings):
    problem = fsl.PowerLawRegression(source=source.value, capacity=capacity.value, width=128, noise=noise.value)
    schedule = makers[schedule_name.value](2000, peak.value)
    steps = np.unique(np.round(np.concatenate([[0], np.geomspace(2, 2000, 30), np.linspace(0, 2000, 30)])).astype(int))
    exact = fsl.exact_risk(problem, schedule, times=steps)
    law = fsl.functional_law(problem, schedule, times=steps, amplitude="picard")
    printed = fsl.functional_law(problem, schedule, times=steps, kernel="power")
    measured, message = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            measured = sgd.simulate(problem, schedule, replicas=replicas.value, seed=0, times=steps)
        except ValueError as refused:
            message = str(refused)
    message = message or "; ".join(str(warning.message) for warning in caught)
    return exact, law, measured, message, printed, problem, schedule, steps


@app.cell
def picture(exact, law, measured, printed, schedule, steps, style):
    with style.applied():
        drawing, (loss, rate) = style.new(2, 1, width=8.0, height=5.4, sharex=True, height_ratios=[4, 1])
        loss.set_yscale("log")
        if measured is not None:
            style.band(loss, steps, measured.mean, measured.stderr, 1)
            loss.plot(steps, measured.mean, **style.measurement(1), label=f"SGD, mean of {measured.replicas} runs")
        loss.plot(steps, exact.excess_risk, **style.theory(0), label="exact expectation")
        loss.plot(steps, law.excess_risk, **style.theory(2), label="functional law, sums over modes, constants 1/2")
        scale = exact.excess_risk[0] / printed.excess_risk[0]
        loss.plot(steps, scale * printed.excess_risk, **style.theory(3), label="functional law, power laws, scaled")
        loss.set_ylabel("excess risk")
        loss.legend()
        rate.plot(range(schedule.steps), schedule.rates, color=style.GREY)
        rate.set(xlabel="step", ylabel="rate")
    drawing
    return (drawing,)


@app.cell
def numbers(exact, fsl, law, measured, message, mo, np, peak, problem):
    ratio = fsl.stability(problem.spectrum(), peak.value).noise_ratio
    worst = float(np.max(np.abs(law.excess_risk / exact.excess_risk - 1.0)))
    z_score = None if measured is None else (measured.mean[-1] - exact.excess_risk[-1]) / measured.stderr[-1]
    best = fsl.optimal_schedule(problem, 2000, peak.value) if problem.noise > 0 else None
    lines = [
        f"- regime: **{problem.regime}** (easy means s >= 1 - 1/beta = {1 - 1 / problem.capacity:.2f}), approximation "
        f"error {problem.approximation_error:.2e}",
        f"- noise ratio at the peak rate: **{ratio:.3f}** (SGD is stable below 1)",
        f"- final risk: exact **{exact.final:.4g}**, law {law.final:.4g}; the law is off by at most {100 * worst:.1f}%",
    ]
    if measured is not None:
        lines.append(f"- measured at the end: {measured.mean[-1]:.4g} +- {measured.stderr[-1]:.1g} (z = {z_score:.1f})")
    if best is not None:
        lines.append(f"- best schedule with this peak and this data: law predicts **{best.risk:.4g}**, spending "
                     f"{100 * best.decay_fraction:.0f}% of the data in its decay")
    notice = [mo.callout(mo.md(message), kind="warn")] if message else []
    mo.vstack([mo.md("\n".join(lines)), *notice])
    return best, ratio, worst, z_score


@app.cell
def exercises(mo):
    mo.md(
        r"""
        ### Things to try

        1. Constant, then WSD. During the stable phase they coincide; where does the sudden drop come from, and how deep can it
           go? Set $\sigma = 0$ and look again.
        2. Cyclic: the risk goes *up* when the rate goes up. Read off how long SGD remembers its noise; which $\beta$ makes the
           memory short?
        3. Raise the peak rate with $\beta = 1.2$ until the simulation is refused, or warns of heavy tails. What does the noise
           ratio say?
        4. Raise $s$ beyond $2 - 1/\beta$ without noise: the signal is learned ever faster, the risk is not. Why?
        5. The power-law curve has the right exponents, yet misses the end of WSD. What does it get wrong: the tail of
           the kernel, or its mass?
        """
    )
    return


if __name__ == "__main__":
    app.run()
