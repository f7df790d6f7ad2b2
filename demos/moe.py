"""Mixtures of experts in the classroom: drag experts, width and the noise in the gate; see cells, errors, mis-routing.

As an app: ``marimo run demos/moe.py``; as a notebook: ``marimo edit demos/moe.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Mixtures of experts")


@app.cell
def imports():
    import re

    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.figures.moe import atlases, views
    from theorycheck.sims import streams
    from theorycheck.sims.moe.samples import points_on
    from theorycheck.theory.moe import charts, gates, shallow
    from theorycheck.theory.moe.experts import free_numbers
    return atlases, charts, free_numbers, gates, mo, np, points_on, re, shallow, streams, style, views


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # Mixtures of experts

        A gate sends a point of a surface to the nearest of $E$ centres; expert $k$ sees the tangent coordinates there and
        interpolates $f$ on a grid of $n$ steps a side. That is exact up to $O(1/n^2)$ as long as tangent coordinates tell
        the points of a cell apart, for which cells of radius $r < (\sqrt 3 - 1)\,\tau$ are enough, $\tau$ the reach of the
        surface. An expert's grid covers more than its cell: all points up to $R = \min(1.3\,r, (\sqrt 3 - 1)\,\tau)$ from its
        centre.

        The gate reads features, $\rho_i(x) = \max(0, R^2 - |x - c_i|^2)$, and the largest wins. Now every feature is wrong by
        $\varepsilon$, up or down: by signs drawn at random, or, for every point, by those that send it furthest. The winner
        has $\rho_k \ge \max_i \rho_i - 2\varepsilon$, so expert $k$ knows the point as long as

        $$\varepsilon < \varepsilon^* = \tfrac12 \min_x \max_i \rho_i(x) = \tfrac12 (R^2 - r^2).$$

        Noise is measured in units of $\varepsilon^*$; if there are too few experts for the reach, nothing is guaranteed and
        the unit is $R^2/8$. (After Wang and E, arXiv 2505.24205, Thm 4.8.)
        """
    )
    return


@app.cell
def controls(atlases, mo):
    surface = mo.ui.dropdown({row[0]: place for place, row in enumerate(atlases.SURFACES)}, value="swiss roll",
                             label="surface")
    experts = mo.ui.slider(8, 240, 4, value=200, label="experts E", show_value=True)
    steps = mo.ui.slider(2, 24, 1, value=8, label="width: steps n of a grid", show_value=True)
    noise = mo.ui.slider(0.0, 2.0, 0.02, value=0.0, label="noise in the gate, eps / eps*", show_value=True)
    signs = mo.ui.dropdown(["random", "worst"], value="random", label="signs")
    mo.vstack([mo.hstack([surface, experts]), mo.hstack([steps, noise, signs])])
    return experts, noise, signs, steps, surface


@app.cell
def looks(atlases, points_on, surface, views):
    name, manifold, _, _low, _high, _sides, _angles = atlases.SURFACES[surface.value]
    seen = views.view(manifold, _low, _high, [side // 2 for side in _sides], *_angles, pixels=360)
    sample = points_on(manifold, 4000)
    return manifold, name, sample, seen


@app.cell
def cells(charts, experts, manifold):
    atlas = charts.net_atlas(manifold, experts.value, points=20_000, checked=False)
    radius, allowed = atlas.radius, charts.INJECTIVE * manifold.reach
    enough = charts.least_charts(manifold, 20_000)[0]
    return allowed, atlas, enough, radius


@app.cell
def network(allowed, atlas, charts, enough, manifold, np, radius, re, shallow, steps):
    def function(points):
        return np.sin(4 * points[:, 0] / manifold.size) + np.cos(3 * points[:, 1] / manifold.size)

    # The corners of a square around a disc may be beyond the chart: then the grid is smaller.
    layer, refusal, known = None, "", min(1.3 * radius, allowed)
    for _known in (known, (known + radius) / 2, radius) if radius < allowed else (allowed,):
        _high = np.full_like(atlas.high, _known) if radius < allowed else atlas.high
        _low = -_high if radius < allowed else atlas.low
        try:
            layer = shallow.linear_chart_layer(charts.Atlas(manifold, atlas.centres, _low, _high, atlas.bases),
                                               function, steps.value)
        except ValueError as _refused:
            _text = re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda digits: f"{float(digits[0]):.3g}", str(_refused))
            refusal = f"No chart for an expert: {_text}. With E >= {enough} every cell has one."
        else:
            known, refusal = _known, ""
            break
    return function, known, layer, refusal


@app.cell
def noisy(atlas, function, known, layer, np, streams):
    BLOCK = 4096

    def features(points):
        """max(0, R^2 - |x - c_i|^2), shape (N, E)."""
        squared = np.sum(points**2, axis=1, keepdims=True) - atlas.gate(points)
        return np.maximum(0.0, known**2 - squared)

    def turns(start, count, purpose):
        """A random sign for every feature of these points: shape (count, E)."""
        first, wanted = start * len(atlas.centres) // 32, count * len(atlas.centres)        # BLOCK is a multiple of 32
        words = streams.words(streams.key(0, "moe.demo"), 0, 0, -(-wanted // 32), first=first, purpose=purpose)
        return 2.0 * np.unpackbits(words.view(np.uint8), count=wanted).reshape(count, -1) - 1.0

    def routed(points, sizes, signs, purpose=0):
        """Where points go if their features are wrong by each of these sizes, up or down: shape (sizes, N)."""
        routes = np.empty((len(sizes), len(points)), dtype=int)
        for start in range(0, len(points), BLOCK):
            part = points[start:start + BLOCK]
            exact, nearest = features(part), atlas.route(part)
            if signs == "random":
                turn = turns(start, len(part), purpose)
                chosen = [np.argmax(exact + size * turn, axis=1) for size in sizes]
            else:                                                       # of those that can win the furthest
                behind, logits = exact.max(axis=1, keepdims=True) - exact, atlas.gate(part)
                chosen = [np.argmin(np.where((behind < 2 * size) | (behind == 0), logits, np.inf), axis=1)
                          for size in sizes]
            # Without noise the gate is the exact one, also where all features are 0.
            routes[:, start:start + BLOCK] = [one if size else nearest for size, one in zip(sizes, chosen, strict=True)]
        return routes

    def too_far(points, routes):
        return np.linalg.norm(points - atlas.centres[routes], axis=-1) >= known

    def errors_of(points, routes):
        """|f - Psi| of points that go to these experts, every pair once: shape of routes."""
        place = np.broadcast_to(np.arange(len(points)), routes.shape)
        pairs, back = np.unique(routes * len(points) + place, return_inverse=True)
        chart, point = np.divmod(pairs, len(points))
        values = np.zeros(len(pairs))
        for expert in np.unique(chart) if layer is not None else ():
            mine = chart == expert
            values[mine] = layer.experts[expert](points[point[mine]])[:, 0] - function(points[point[mine]])
        return np.abs(values)[back].reshape(routes.shape)

    return errors_of, features, routed, too_far


@app.cell
def measured(errors_of, features, gates, known, np, routed, sample, too_far):
    threshold = gates.tolerance(features(sample))
    unit, unit_name = (threshold, "eps*") if threshold > 0 else (known**2 / 8, "(R^2/8)")
    _near = np.array([0.01, 0.02, 0.04, 0.06, 0.08])                   # closely around 1, where it is a matter of rounding
    ratios = np.sort(np.concatenate([np.linspace(0, 0.9, 10), 1 - _near, 1 + _near, np.linspace(1.1, 2, 10)]))
    lost, worst = {}, {}
    for _kind in ("worst", "random"):
        _routes = routed(sample, ratios * unit, _kind)
        lost[_kind], worst[_kind] = too_far(sample, _routes).mean(axis=1), errors_of(sample, _routes).max(axis=1)
    return lost, ratios, threshold, unit, unit_name, worst


@app.cell
def shown(errors_of, noise, routed, seen, signs, too_far, unit):
    eps = noise.value * unit
    routes = routed(seen.points, [eps], signs.value, purpose=1)[0]
    far, errors = too_far(seen.points, routes), errors_of(seen.points, routes)
    return eps, errors, far, routes


@app.cell
def picture(atlas, atlases, enough, errors, far, layer, lost, name, noise, ratios, routes, seen, style, threshold, unit_name,
            views, worst):
    with style.applied():
        drawing, ((_cells, _map), (_lost, _worst)) = style.new(2, 2, width=9.6, height=7.6, height_ratios=(2.2, 1))
        atlases.cells(_cells, seen, atlas, routes, dimmed=far & (routes != atlas.route(seen.points)))
        _cells.set_title(f"{name}: who serves whom (dark: moved too far)")
        if layer is not None:
            views.show(_map, seen, atlases.shaded(seen, errors, decades=4))
            _map.set_title(r"$\log_{10}|f - \Psi|$, from $-4$ (dark) to 0 (bright)")
        else:
            _map.text(0.5, 0.5, f"no network: a cell is too large\nfor its chart ({enough} experts are enough)",
                      ha="center", va="center", transform=_map.transAxes)
        _map.set_axis_off()
        _worst.set_visible(layer is not None)
        for _axis, _found in ((_lost, lost), (_worst, worst if layer is not None else {})):
            for _place, _kind in enumerate(_found):
                _axis.plot(ratios, _found[_kind], **style.measurement(_place + 1), label=f"{_kind} signs")
        for _axis in (_lost, _worst):
            _axis.axvline(noise.value, color=style.GREY, linewidth=1.0)
            if threshold > 0:
                _axis.axvline(1.0, **style.theory(0, linewidth=1.1), label="eps*")
            _axis.set(xlabel=f"eps / {unit_name}", xlim=(-0.05, 2.05))
        _lost.legend(loc="best")
        _lost.set_yscale("symlog", linthresh=1e-3)
        _lost.set(ylabel="share further than R", ylim=(-2e-4, 1.2))
        _worst.set(ylabel="sup error", yscale="log")
    drawing
    return (drawing,)


@app.cell
def numbers(allowed, enough, eps, errors, far, free_numbers, known, layer, mo, radius, refusal, threshold):
    _lines = [
        f"- largest cell: r = {radius:.3g}, known R = {known:.3g}, allowed {allowed:.3g}" + (
            "" if radius < allowed else f" - **too few experts: two sheets may share a cell; with E >= {enough} none do**"),
        f"- eps = {eps:.3g}, eps* = {threshold:.3g}; further than R from their expert: **{far.mean():.2%}** of the points in sight",
    ]
    if layer is not None:
        _lines.append(f"- largest error in sight {errors.max():.3g}; the matrices have {layer.parameters:,} entries, of "
                      f"which one point uses {layer.active:,}; an expert is given by "
                      f"{free_numbers(layer.experts[0]):,} numbers")
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
        3. Turn up the noise to $0.9\,\varepsilon^*$. Cells fray at their borders, and nothing is lost: why does that not hurt?
        4. Go just above $\varepsilon^*$. Where on the surface are the first points lost, and why there?
        5. Experts could know $f$ on larger discs. What would that do to $\varepsilon^*$, what to the error, and where does it end?
        6. Ring torus: the reach is that of the tube. What would a thinner tube cost?
        """
    )
    return


if __name__ == "__main__":
    app.run()
