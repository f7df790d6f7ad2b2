"""Label noise in the classroom: switch it on and off while the network trains, watch norms and alignment.

As an app: ``marimo run demos/label_noise.py``; as a notebook: ``marimo edit demos/label_noise.py``; as a script: ``python
demos/label_noise.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Label noise")


@app.cell
def imports():
    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.sims import label_noise as sgd
    from theorycheck.theory import label_noise as theory
    from theorycheck.theory.label_noise import diagnostics, slow_flow
    return diagnostics, mo, np, sgd, slow_flow, style, theory


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # Label noise

        A two-layer linear network $f(x) = a^\top W x$ learns $y = \langle\theta^*, x\rangle$ by SGD with batch size 1; every
        label it sees is wrong by $\pm\sigma$, with a fresh sign each time. Once it fits, the noise keeps shaking it, and
        along the set of solutions it drifts towards the flattest one, on the clock $1/(\eta\sigma)^2$,

        $$\dot W = -\tfrac{v}{2}\,W\Sigma - a\mu^\top, \qquad \dot a = -\tfrac{v}{2}\,\mathrm{tr}\Sigma\, a - W\mu, \qquad
        v = (\eta\sigma)^2,\quad \mu = -\tfrac v2\,(W^\top W + \|a\|^2)^{-1}(\Sigma + \mathrm{tr}\Sigma)\,\theta^* .$$

        Neurons shrink, and what is left of them points along $\theta^*$. Press the buttons: the run goes on with the noise on
        or off. (Model: Zhang, Zhou, Wang, Han, Huang, Suzuki and Yan, arXiv 2603.10397; the drift: Blanc et al. 2020, Damian
        et al. 2021, Li et al. 2022.)
        """
    )
    return


@app.cell
def controls(mo):
    noise = mo.ui.slider(1.0, 10.0, 0.5, value=6.0, label="noise sigma", show_value=True)
    target = mo.ui.slider(0.0, 6.0, 0.5, value=4.0, label="target norm", show_value=True)
    step = mo.ui.slider(0.0005, 0.006, 0.0005, value=0.002, label="step size eta", show_value=True)
    width = mo.ui.dropdown({"50": 50, "200": 200, "400": 400}, value="200", label="neurons m")
    mo.hstack([noise, target, step, width])
    return noise, step, target, width


@app.cell
def history(mo):
    phases, set_phases = mo.state(((1.0, 10_000), (0.0, 10_000), (1.0, 10_000)))
    return phases, set_phases


@app.cell
def buttons(mo, set_phases):
    longest = 30

    def going_on(level):
        return lambda _: set_phases(lambda before: (*before, (level, 10_000))[-longest:])

    switch_on = mo.ui.button(label="10,000 steps with noise", on_change=going_on(1.0))
    switch_off = mo.ui.button(label="10,000 steps without", on_change=going_on(0.0))
    restart = mo.ui.button(label="start again", on_change=lambda _: set_phases(((1.0, 10_000),)))
    mo.hstack([switch_on, switch_off, restart], justify="start")
    return going_on, restart, switch_off, switch_on


@app.cell
def experiment(diagnostics, noise, np, phases, sgd, slow_flow, step, target, theory, width):
    dimension = 10
    levels = np.concatenate([np.full(count, level) for level, count in phases()])
    times = np.unique(np.linspace(0, levels.size, 61).astype(int))
    model = theory.TwoLayerLinear(dimension, width.value, step.value, noise.value, target.value)
    run, flow, message = None, None, ""
    try:
        descent = sgd.Descent(model, levels.size, times, levels)
        first, second = sgd.neurons(descent, 1)
    except (ValueError, ArithmeticError) as refused:
        message = str(refused)
    if not message:
        run = {"norms": diagnostics.norms(first), "cosines": diagnostics.cosines(first, model.target),
               "error": np.linalg.norm(np.einsum("tmd,tm->td", first, second) - model.target, axis=1), "a": second}
        # the flow runs on the steps with noise only
        active = np.concatenate([[0.0], np.cumsum(levels)])[times]
        wanted, back = np.unique(active, return_inverse=True)
        try:
            predicted = slow_flow.path(model, wanted, theory.gram(first[0], second[0]))
            moved = predicted.neurons(first[0], second[0])[back, :, :-1]
            flow = {"norms": diagnostics.norms(moved), "cosines": diagnostics.cosines(moved, model.target)}
        except ValueError as refused:
            message = str(refused)
    return flow, levels, message, model, run, times


@app.cell
def picture(flow, np, phases, run, style, times):
    with style.applied():
        drawing, panels = style.new(2, 2, width=9.0, height=6.2)
        if run is not None:
            for axis, name, label in ((panels[0, 0], "norms", "mean norm of w_i"),
                                      (panels[0, 1], "cosines", "mean |cos(w_i, theta*)|")):
                axis.plot(times, run[name].mean(axis=1), **style.measurement(1), label="SGD, one run")
                if flow is not None:
                    axis.plot(times, flow[name].mean(axis=1), **style.theory(0), label="slow flow")
                axis.set(xlabel="step", ylabel=label)
            panels[0, 0].legend()
            for neuron in range(3):
                panels[1, 0].plot(times, run["a"][:, neuron], **style.theory(neuron, linewidth=1.0))
            panels[1, 0].set(xlabel="step", ylabel="a_1, a_2, a_3")
            panels[1, 1].plot(run["norms"][0], run["cosines"][0], linestyle="none", marker=".", color=style.GREY,
                              label="start")
            panels[1, 1].plot(run["norms"][-1], run["cosines"][-1], linestyle="none", marker=".",
                              color=style.COLORS[2], label="now")
            panels[1, 1].set(xlabel="norm of w_i", ylabel="|cos(w_i, theta*)|", ylim=(0, 1.02))
            panels[1, 1].legend()
            _edges = np.cumsum([0] + [count for _, count in phases()])
            for (_level, _), _begin, _end in zip(phases(), _edges, _edges[1:]):
                if _level > 0:
                    for axis in panels.ravel()[:3]:
                        axis.axvspan(_begin, _end, color="#DDDDDD", alpha=0.6, linewidth=0)
    drawing
    return (drawing,)


@app.cell
def numbers(flow, message, mo, model, np, run, slow_flow):
    ratio = model.target_norm / (model.effective_step * model.noise**2)
    clock = slow_flow.clocks(model)
    phases_end = (f"the first phase ends at about {clock.norm:,.0f}, half of ||W||^2 is aligned at about "
                  f"{clock.alignment:,.0f}" if model.target_norm > 0 else "without a target there is no alignment")
    lines = [f"- slow clock 1/(eta sigma)^2 = **{1 / model.drift:,.0f}** steps; {phases_end}"]
    if model.target_norm > 0:
        lines.append(f"- Theta = ||theta*||/(eta sigma^2) = **{ratio:.3g}**; the slow flow is for Theta above d^(3/2)/2 = "
                     f"{0.5 * model.dimension**1.5:.0f}, and well below it alignment is lost in the noise")
    if run is not None:
        lines.append(f"- now: mean norm **{run['norms'][-1].mean():.3f}**, mean |cos| **{run['cosines'][-1].mean():.3f}**, "
                     f"||theta - theta*|| = {run['error'][-1]:.2g}")
    worst = None
    if flow is not None and ratio < 0.5 * model.dimension**1.5:
        lines.append("- the slow flow is not valid here: what the noise makes the neurons fluctuate by is not small "
                     "beside what it leaves of them")
    elif flow is not None:
        worst = float(np.max(np.abs(run["norms"].mean(axis=1) / flow["norms"].mean(axis=1) - 1.0)[1:]))
        lines.append(f"- the slow flow is off by at most {100 * worst:.1f}% in the mean norm")
    notice = [mo.callout(mo.md(message), kind="warn")] if message else []
    mo.vstack([mo.md("\n".join(lines)), *notice])
    return clock, lines, ratio, worst


@app.cell
def exercises(mo):
    mo.md(
        r"""
        ### Things to try

        1. Without noise nothing moves, neither norms nor alignment. What do the second-layer weights do the moment you switch
           the noise on, and the moment you switch it off?
        2. Halve $\eta$ and double $\sigma$. What stays the same, and what does not? ($\Theta$.)
        3. Set the target to zero. Where do the neurons go, and why is there no alignment left to speak of?
        4. The cosine rises while $|\langle w_i, \theta^*\rangle|$ may fall: which neurons align last?
        5. Raise $\eta$ until the run is refused. What does the bound have to do with the width?
        """
    )
    return


if __name__ == "__main__":
    app.run()
