"""Mixtures of experts in the classroom: drag experts, width and the noise in the gate; see cells, errors, mis-routing.

As an app: ``marimo run demos/moe.py``; as a notebook: ``marimo edit demos/moe.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Mixtures of experts")


@app.cell
def imports():
    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.figures.moe import views
    from theorycheck.figures.moe.atlases import SURFACES, neighbours, shaded
    from theorycheck.sims import streams
    from theorycheck.sims.moe.samples import points_on
    from theorycheck.theory.moe import charts, shallow
    from theorycheck.theory.moe.nets import covering_radius
    return (SURFACES, charts, covering_radius, mo, neighbours, np, points_on, shaded, shallow, streams, style,
            views)


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # Mixtures of experts

        A gate $g(x) = 2\langle c_i, x\rangle - |c_i|^2$ sends a point of a surface to the nearest of $E$ centres; expert $k$
        sees the tangent coordinates there and interpolates $f$ on a grid of $n$ steps a side. That is exact up to
        $O(1/n^2)$ as long as tangent coordinates tell the points of a cell apart, for which cells of radius
        $r < (\sqrt 3 - 1)\,\tau$ are enough, $\tau$ the reach of the surface.

        Now every logit is wrong by up to $\varepsilon$. Logits are $|x|^2 - |x - c_i|^2$, so the winner obeys
        $|x - c_k|^2 \le r^2 + 2\varepsilon$, and nothing is lost as long as

        $$\varepsilon < \varepsilon^* = \tfrac12\big((\sqrt 3 - 1)^2\tau^2 - r^2\big).$$

        (After Wang and E, arXiv 2505.24205.)
        """
    )
    return


@app.cell
def controls(SURFACES, mo):
    surface = mo.ui.dropdown({row[0]: place for place, row in enumerate(SURFACES)}, value="swiss roll", label="surface")
    experts = mo.ui.slider(8, 240, 4, value=176, label="experts E", show_value=True)
    steps = mo.ui.slider(2, 24, 1, value=8, label="width: steps n of a grid", show_value=True)
    noise = mo.ui.slider(0.0, 2.0, 0.05, value=0.0, label="noise in the gate, eps / r^2", show_value=True)
    mo.vstack([mo.hstack([surface, experts]), mo.hstack([steps, noise])])
    return experts, noise, steps, surface


@app.cell
def cells(SURFACES, charts, covering_radius, experts, neighbours, points_on, surface, views):
    name, manifold, _, low, high, sides, angles = SURFACES[surface.value]
    cloud = points_on(manifold, 500 * experts.value, purpose=1)
    atlas = charts.net_atlas(manifold, experts.value, checked=False)
    radius, allowed = atlas.radius, charts.INJECTIVE * manifold.reach
    threshold = (allowed**2 - radius**2) / 2
    seen = views.view(manifold, low, high, [side // 2 for side in sides], *angles, pixels=320)
    tints = views.tints(neighbours(atlas, cloud), experts.value)
    return allowed, atlas, cloud, manifold, name, radius, seen, threshold, tints


@app.cell
def network(atlas, charts, manifold, np, radius, shallow, steps, threshold):
    def function(points):
        return np.sin(4 * points[:, 0] / manifold.size) + np.cos(3 * points[:, 1] / manifold.size)

    # Experts must know f as far as a harmless gate may send points to them, if the chart reaches that far.
    _margin = np.sqrt(radius**2 + 2 * max(threshold, 0.0)) - radius
    layer, refusal = None, ""
    for _part in (1.0, 0.5, 0.0):
        try:
            layer = shallow.linear_chart_layer(charts.Atlas(manifold, atlas.centres, atlas.low - _part * _margin,
                                                            atlas.high + _part * _margin, atlas.bases),
                                               function, steps.value)
            refusal = ""
            break
        except ValueError as _refused:
            refusal = f"No chart for an expert: {_refused}."
    return function, layer, refusal


@app.cell
def noisy(allowed, atlas, function, layer, np, streams):
    def routed(points, size):
        """Where points go if logits are wrong by up to `size`, which of them too far, and their errors."""
        draws = streams.uniforms(streams.key(0, "moe.demo"), 0, 0, len(points) * len(atlas.centres), dtype=np.float64)
        logits = atlas.gate(points) + size * (2 * draws.reshape(len(points), -1) - 1)
        routes = np.argmax(logits, axis=1)
        far = np.linalg.norm(points - atlas.centres[routes], axis=1) >= allowed
        errors = np.zeros(len(points))
        for chart in np.unique(routes) if layer is not None else ():
            mine = routes == chart
            errors[mine] = np.abs(layer.experts[chart](points[mine])[:, 0] - function(points[mine]))
        return routes, far, errors
    return (routed,)


@app.cell
def measured(cloud, noise, np, radius, routed, seen):
    sample = cloud[:6000]
    eps = noise.value * radius**2
    _, far, errors = routed(sample, eps)
    shown = routed(seen.points, eps)
    ratios = np.linspace(0.0, 2.0, 11)
    sweep = [routed(sample, ratio * radius**2)[1:] for ratio in ratios]
    lost = np.array([part.mean() for part, _ in sweep])
    worst = np.array([part.max() for _, part in sweep])
    return eps, errors, far, lost, ratios, shown, worst


@app.cell
def picture(atlas, layer, lost, name, noise, np, radius, ratios, seen, shaded, shown, style, threshold, tints, views,
            worst):
    _routes, _far, _errors = shown
    with style.applied():
        drawing, ((_cells, _map), (_lost, _worst)) = style.new(2, 2, width=10.0, height=8.4, height_ratios=(2.3, 1))
        _colours = tints[_routes] * np.where(_far[:, None], 0.3, 1.0)
        views.show(_cells, seen, seen.image(_colours, atlas.route(seen.points)))
        _cells.set_title(f"{name}: who serves whom (dark: sent too far)")
        if layer is not None:
            views.show(_map, seen, shaded(seen, _errors, decades=4))
            _map.set_title("log10 |f - Psi|, from -4 (dark) to 0 (bright)")
            _worst.plot(ratios, worst, **style.measurement(1))
        _map.set_axis_off()
        _worst.set_visible(layer is not None)
        _lost.plot(ratios, lost, **style.measurement(0))
        for _axis in (_lost, _worst):
            _axis.axvline(noise.value, color=style.GREY, linewidth=1.0)
            if threshold > 0:
                _axis.axvline(threshold / radius**2, **style.theory(2), label="eps*")
                _axis.legend(loc="upper left")
            _axis.set(xlabel="eps / r^2", xlim=(-0.05, 2.05))
        _lost.set(ylabel="share sent too far")
        _worst.set(ylabel="sup error", yscale="log")
    drawing
    return (drawing,)


@app.cell
def numbers(allowed, charts, covering_radius, eps, errors, experts, far, layer, mo, radius, refusal, threshold):
    _lines = [
        f"- largest cell: r = {radius:.3g}, allowed {allowed:.3g}" + (
            "" if radius < allowed else " - **too few experts: two sheets may share a cell**"),
        f"- eps = {eps:.3g}, eps* = {threshold:.3g}; sent too far: **{far.mean():.2%}** of the points",
    ]
    if layer is not None:
        _lines.append(f"- largest error {errors.max():.3g}; parameters {layer.parameters:,}, of which one point uses "
                      f"{layer.active:,}")
    summary = "\n".join(_lines)
    mo.vstack([mo.md(summary), mo.callout(mo.md(refusal), kind="warn")]) if refusal else mo.md(summary)
    return (summary,)


@app.cell
def exercises(mo):
    mo.md(
        r"""
        ### Things to try

        1. Swiss roll, 8 experts: which sheets share a cell? How many experts does it take until none do?
        2. Double $n$: by what factor does the error fall? Quadruple $E$ instead. Which costs more active parameters?
        3. Turn up the noise. Cells fray at their borders long before anything is lost: why does that not hurt?
        4. Where does the share sent too far leave 0: at $\varepsilon^*$ or later? What does the worst case need?
        5. More experts make cells smaller. What happens to $\varepsilon^*$, and what to $\varepsilon^* / r^2$?
        6. Ring torus: the reach is that of the tube. What would a thinner tube cost?
        """
    )
    return


if __name__ == "__main__":
    app.run()
