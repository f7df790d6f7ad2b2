"""LITE in the classroom: a landscape, an optimizer, and what learning rate, damping and chi do to either direction.

As an app: ``marimo run demos/riemannian.py``; as a notebook: ``marimo edit demos/riemannian.py``; as a script:
``python demos/riemannian.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Flat and sharp directions")


@app.cell
def imports():
    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.sims.riemannian import Descent, simulate
    from theorycheck.theory.riemannian import damping as damped
    from theorycheck.theory.riemannian import modes, optimizers, river, second_moment
    from theorycheck.theory.riemannian.landscapes import CurvedValley, Quadratic, StraightValley
    from theorycheck.theory.riemannian.lite import Lite, averaged_damping
    return (CurvedValley, Descent, Lite, Quadratic, StraightValley, averaged_damping, damped, mo, modes, np, optimizers,
            river, second_moment, simulate, style)


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # Flat and sharp directions

        Every optimizer here moves by a momentum $m$ and a metric $F$; LITE treats the flat directions, projector $Q$, to a
        larger learning rate and more Hessian damping:

        $$m_k = (1-\alpha)\,m_{k-1} + g_k,\qquad
        w_{k+1} = w_k - \eta\,(I-Q)F^{-1}(m_k + \beta_1 g_k) - \eta\,\chi\,Q F^{-1}(m_k + \beta_2 g_k).$$

        Small steps follow a differential equation, friction $a$ and damping $B$ in units in which $\eta = h^2$, $\alpha = ah$,
        $\beta = B/h$:

        $$\tfrac{d}{dt}(F w') + a\,F w' + B\,\nabla^2\! f\, w' + (1 + aB)\,\nabla f = 0.$$

        (Algorithm 1 of Zhu et al., arXiv 2602.22681; river valleys: Wen et al., arXiv 2410.05192. The equations are derived
        consequences of the algorithm.)
        """
    )
    return


@app.cell
def controls(mo):
    landscape_name = mo.ui.dropdown(["quadratic", "straight valley", "winding valley"], value="winding valley",
                                    label="landscape")
    optimizer_name = mo.ui.dropdown(["gradient descent", "heavy ball", "Nesterov", "RMSProp", "Adam", "sign descent"],
                                    value="Nesterov", label="optimizer")
    rate = mo.ui.slider(-3.5, 0.0, 0.1, value=-2.2, label="log10 of the learning rate", show_value=True)
    momentum = mo.ui.slider(0.5, 0.98, 0.02, value=0.9, label="momentum 1 - alpha", show_value=True)
    noise = mo.ui.slider(0.0, 4.0, 0.25, value=1.5, label="gradient noise sigma", show_value=True)
    chi = mo.ui.slider(1.0, 8.0, 0.5, value=1.0, label="chi", show_value=True)
    sharp_damping = mo.ui.slider(0.0, 10.0, 0.5, value=0.0, label="beta_1, everywhere", show_value=True)
    flat_damping = mo.ui.slider(0.0, 40.0, 1.0, value=0.0, label="beta_2 - beta_1, flat only", show_value=True)
    steps = mo.ui.slider(50, 500, 50, value=250, label="steps", show_value=True)
    mo.vstack([mo.hstack([landscape_name, optimizer_name, steps]), mo.hstack([rate, momentum, noise]),
               mo.hstack([chi, sharp_damping, flat_damping])])
    return chi, flat_damping, landscape_name, momentum, noise, optimizer_name, rate, sharp_damping, steps


@app.cell
def landscape_and_method(CurvedValley, Lite, Quadratic, StraightValley, averaged_damping, chi, flat_damping,
                         landscape_name, momentum, np, optimizer_name, optimizers, rate, sharp_damping):
    landscape, start = {
        "quadratic": (Quadratic([0.1, 10.0]), np.array([4.0, 0.6])),
        "straight valley": (StraightValley(0.3, [10.0]), np.array([0.0, 0.6])),
        "winding valley": (CurvedValley(0.3, 10.0, 0.3, 2.0), np.array([0.0, 0.6])),
    }[landscape_name.value]
    eta, theta = 10.0**rate.value, momentum.value
    base, scaling = {
        "gradient descent": (optimizers.gradient_descent(eta), "overdamped"),
        "heavy ball": (optimizers.heavy_ball(eta, theta), "friction"),
        "Nesterov": (optimizers.nesterov(eta, theta), "friction"),
        "RMSProp": (optimizers.rmsprop(eta, 0.95, 1e-2), "adaptive"),
        "Adam": (optimizers.adam(eta, theta, 0.95, 1e-2, correction=False), "adaptive"),
        "sign descent": (optimizers.sign_descent(eta, theta), None),
    }[optimizer_name.value]
    # betas are those of Algorithm 1's buffer; an average is alpha times as large, and so is its damping
    unit = averaged_damping(1.0, base.momentum.alpha) if base.momentum.averaged else 1.0
    projector = np.diag([1.0, 0.0]) if landscape_name.value == "quadratic" else landscape.flat
    plain = chi.value == 1.0 and sharp_damping.value == flat_damping.value == 0.0
    method = base if plain else Lite(base, projector, chi.value, unit * (sharp_damping.value + flat_damping.value),
                                     unit * sharp_damping.value)
    return base, landscape, method, plain, scaling, start, theta, unit


@app.cell
def experiment(Descent, landscape, landscape_name, method, noise, np, simulate, start, steps):
    times, path, run, seen, message = np.arange(steps.value + 1), None, None, {}, ""
    try:
        path = Descent(landscape, method, steps.value, start, noise.value, modes=True, times=times).paths(1)[0]
        run = simulate(landscape, method, steps.value, start, noise=noise.value, replicas=64, seed=2, times=times[1:],
                       modes=True)
        # mean and standard error of x or of the loss along x, and of the loss across
        _kept = {"flat": ("r0^2", 0.05) if landscape_name.value == "quadratic" else ("river", 1.0), "sharp": ("r1^2", 5.0)}
        for _name, (_observable, _unit) in _kept.items():
            _place = run.coordinates["observable"].tolist().index(_observable)
            seen[_name] = (_unit * run.mean[:, _place], _unit * run.stderr[:, _place])
    except (ValueError, ArithmeticError) as refused:
        message = str(refused)
    return message, path, run, seen, times


@app.cell
def limiting_flow(landscape, method, np, path, scaling, start, steps):
    flow, flow_message, patience = None, "", 1000
    _left = iter(range(patience))

    def slope(w):
        if next(_left, None) is None:
            raise ArithmeticError(f"the flow is not drawn: it takes more than {patience} evaluations of the gradient")
        return landscape.gradient(w)

    if path is not None and scaling is not None:
        try:
            with np.errstate(all="ignore"):
                _flow = method.flow(slope, scaling)
                flow = _flow.solve(start, _flow.time_step * np.linspace(0.0, steps.value, 201), rtol=1e-4, atol=1e-6)
        except (ValueError, ArithmeticError) as refused:
            flow_message = str(refused)
    return flow, flow_message, patience, slope


@app.cell
def predictions(base, chi, flat_damping, landscape, landscape_name, np, noise, optimizer_name, river, second_moment,
                sharp_damping, start, steps, theta, times):
    linear = optimizer_name.value in ("gradient descent", "heavy ball", "Nesterov")
    memory = 0.0 if optimizer_name.value == "gradient descent" else theta
    beta = base.momentum.beta + sharp_damping.value
    expected = None
    if linear and landscape_name.value != "winding valley":
        _sharp = 10.0
        _rates = np.full(steps.value, base.rate)
        with np.errstate(over="ignore", invalid="ignore"):
            _variance = second_moment.second_moments(_rates, _sharp, memory, beta, noise.value, start=start[1])
            expected = {"sharp": 0.5 * _sharp * _variance}
            if landscape_name.value == "straight valley":
                expected["flat"] = start[0] + river.river_progress(times, base.rate, landscape.slope, memory,
                                                                   beta + flat_damping.value, chi.value)
            else:
                expected["flat"] = 0.05 * second_moment.second_moments(chi.value * _rates, 0.1, memory,
                                                                       beta + flat_damping.value, noise.value,
                                                                       start=start[0])
    return beta, expected, linear, memory


@app.cell
def picture(expected, flow, landscape, landscape_name, np, path, seen, style, times):
    with style.applied():
        drawing, (plane, flat_axes, sharp_axes) = style.new(1, 3, width=12.0, height=3.9, width_ratios=[1.5, 1, 1])
        if path is not None:
            _low, _high = path[:, 0].min() - 0.3, path[:, 0].max() + 0.3
            _tall = max(0.9, np.abs(path[:, 1]).max() * 1.1)
            _x, _y = np.meshgrid(np.linspace(_low, _high, 121), np.linspace(-_tall, _tall, 61))
            _height = landscape.value(np.stack([_x, _y], axis=-1))
            if landscape_name.value != "quadratic":
                _height = _height + landscape.slope * _x
                _river = landscape.river(np.linspace(_low, _high, 121))
                plane.plot(*_river.T, color=style.GREY, linewidth=1.2, label="river")
            plane.contour(_x, _y, np.sqrt(np.maximum(_height, 0.0)), levels=10, colors="#CCCCCC", linewidths=0.7)
            plane.plot(*path.T, color=style.COLORS[1], linewidth=0.7, alpha=0.7)
            plane.plot(*path[::5].T, **style.measurement(1, markersize=3.5), label="one run, every 5th step")
            if flow is not None:
                plane.plot(*flow.T, **style.theory(2), label="its flow, no noise")
            plane.set(xlabel="flat direction", ylabel="sharp direction", xlim=(_low, _high), ylim=(-_tall, _tall))
            plane.legend(loc="upper right", frameon=True, edgecolor="none")
            for _axis, _name, _label in (
                    (flat_axes, "flat", "loss, flat direction" if landscape_name.value == "quadratic" else
                     "progress along the river"), (sharp_axes, "sharp", "loss across, sharp direction")):
                style.band(_axis, times[1:], *seen[_name], 1)
                _axis.plot(times[1::8], seen[_name][0][::8], **style.measurement(1, markersize=3.5),
                           label="mean of 64 runs")
                if expected is not None:
                    _axis.plot(times, expected[_name], **style.theory(0), label="exact expectation")
                _axis.set(xlabel="step", ylabel=_label)
            sharp_axes.set_yscale("log")
            flat_axes.legend()
    drawing
    return (drawing,)


@app.cell
def numbers(base, beta, chi, expected, flat_damping, flow_message, landscape_name, linear, memory, message, mo, modes,
            noise, np, river, seen):
    lines = []
    if linear:
        _s, _limit = 10.0 * base.rate, float(modes.largest_step(memory, beta))
        lines.append(f"- sharp step eta lambda = **{_s:.3g}**, stable below {_limit:.4g}")
        if 0 < _s < _limit:
            _floor = 5.0 * float(modes.noise_floor(_s, memory, beta, 10.0, noise.value))
            lines.append(f"- noise floor across: **{_floor:.3g}** in theory (chi and beta_2 are not in it)")
        _gain = chi.value * (1 + (1 - memory) * (beta + flat_damping.value)) / (1 + (1 - memory) * beta)
        lines.append(f"- flat directions gain chi (1 + alpha beta_2)/(1 + alpha beta_1) = **{_gain:.3g}**")
        if landscape_name.value == "straight valley":
            _speed = river.river_speed(base.rate, 0.3, memory, beta + flat_damping.value, chi.value)
            lines.append(f"- speed along the river {float(_speed):.4g} per step")
    worst = None
    if seen:
        (_mean, _error), (_along, _) = seen["sharp"], seen["flat"]
        lines.append(f"- at the end, mean of 64 runs: flat {_along[-1]:.3g}, sharp **{_mean[-1]:.3g}** +- {_error[-1]:.1g}")
        if expected is not None and noise.value > 0:
            worst = float(np.abs((_mean - expected["sharp"][1:]) / _error).max())
            lines.append(f"- the sharp loss is at most {worst:.1f} standard errors off its expectation")
    notices = [mo.callout(mo.md(_text), kind="warn") for _text in (message, flow_message) if _text]
    mo.vstack([mo.md("\n".join(lines)), *notices])
    return lines, worst


@app.cell
def damping_controls(mo):
    friction = mo.ui.slider(0.1, 5.0, 0.1, value=1.0, label="friction a", show_value=True)
    hessian_damping = mo.ui.slider(0.0, 8.0, 0.1, value=1.0, label="Hessian damping B", show_value=True)
    mo.vstack([mo.md("### One mode: friction and Hessian damping"), mo.hstack([friction, hessian_damping])])
    return friction, hessian_damping


@app.cell
def damping_picture(damped, friction, hessian_damping, modes, np, style):
    with style.applied():
        damping_drawing, (phase, response) = style.new(1, 2, width=9.6, height=3.8)
        _a, _b = np.meshgrid(np.linspace(0.0, 5.0, 101), np.linspace(0.0, 8.0, 121))
        _image = phase.pcolormesh(_a, _b, damped.decay_rate(1.0, _a, _b), cmap="Blues", vmin=0.0, vmax=6.0, rasterized=True)
        damping_drawing.colorbar(_image, ax=phase, label="rate, gamma = 1 + aB")
        _ends = np.array([0.0, 8.0])
        phase.plot(_ends, _ends + 2.0, **style.theory(2, linestyle="-"))
        phase.plot(_ends + 2.0, _ends, **style.theory(0, linestyle=style.DASHES[1]))
        phase.plot(friction.value, hessian_damping.value, **style.measurement(0, markersize=9))
        phase.set(xlabel="friction a", ylabel="Hessian damping B", xlim=(0, 5), ylim=(0, 8))
        phase.grid(False)
        _h = 0.01
        tied_rate = float(damped.decay_rate(1.0, friction.value, hessian_damping.value))
        fixed_rate = float(damped.decay_rate(1.0, friction.value, hessian_damping.value, 0.0))
        _time = np.arange(0, 1201, 4)
        _path = modes.trajectory(_time, _h**2, 1.0 - friction.value * _h, hessian_damping.value / _h)
        response.plot(_h * _time, _path, **style.theory(1, linestyle="-"), label="Algorithm 1, gamma = 1 + aB")
        response.plot(_h * _time, np.exp(-tied_rate * _h * _time), **style.theory(0, linewidth=1.0),
                      label=f"exp(-{tied_rate:.2f} t)")
        response.plot(_h * _time, np.exp(-fixed_rate * _h * _time), color=style.GREY, linestyle=style.DASHES[2],
                      label=f"gamma = 1: exp(-{fixed_rate:.2f} t)")
        response.set(xlabel="time", ylabel="x(t) / x(0)")
        response.legend()
    damping_drawing
    return damping_drawing, fixed_rate, tied_rate


@app.cell
def exercises(mo):
    mo.md(
        r"""
        ### Things to try

        1. Straight valley, Nesterov: double $\chi$. What happens along the river, what across it? Now set $\chi$ back and
           raise the learning rate by 0.3 decades instead.
        2. Raise $\beta_1$ until the run is refused. Why can $\beta_2$ be so much larger?
        3. Winding valley, little noise: how large may $\chi$ be before the path leaves the bends of the river?
        4. Quadratic, heavy ball, momentum 0.98: the flat direction oscillates. Does $\chi$ still help? Does $\beta_2$?
        5. Sign descent on the quadratic: is it slower along the flat direction? What does it pay across?
        6. One mode: raise $B$ at $a = 1$ and at $a = 4$. When does Hessian damping help if $\gamma = 1$?
        """
    )
    return


if __name__ == "__main__":
    app.run()
