"""Claims about charts that are not linear: the error of a chart adds to that of the function in it."""

import math

import numpy as np

from ...sims.moe.samples import orthonormal_frame, points_on, sup_error
from ...theory.moe import charts, shallow
from ...theory.moe.manifolds import Embedded, circle
from ...theory.moe.model import MoELayer
from .. import judges
from ..claim import claim
from .paper import MOE
from .rates import kinked

PROFILES = {"sin t": np.sin, "sin 6t": lambda angle: np.sin(6 * angle),
            "exp 2cos 3t": lambda angle: np.exp(2 * np.cos(3 * angle))}
"""Functions of the angle, from flat to steep."""
WIDTHS = (8, 16, 32, 64, 128)


@claim("chart_error_adds", topic="moe", paper=MOE, where="Thm 4.8, second bound", stance="stated",
       statement="|f - Psi| <= max_i |g_i - g_i^m| + max_i |psi_i - phi_i| Lip(g_i), g_i = f o phi_i^-1")
def chart_error_adds(effort):
    """The chart is the angle, psi_i = spline of arcsin <t_i,x>; all parts measured; three functions, E = 3, 4, 8.

    With Lip(g) in place of the larger C^1 norm; both networks have m = 8 .. 128 neurons, in R^16.
    """
    return _bounds(effort, lambda function, chart, slope: function + slope * chart)


@chart_error_adds.control("without the Lipschitz constant")
def _(effort):
    return _bounds(effort, lambda function, chart, slope: function + chart)


@chart_error_adds.control("without the error of the chart")
def _(effort):
    return _bounds(effort, lambda function, chart, slope: function)


@claim("theorem_4_8_rate", topic="moe", paper=MOE, where="Thm 4.8", stance="stated",
       statement="regular atlas, experts of two hidden layers of width m: |f - Psi| <= O~(m^-(kappa/d ^ 1/2))")
def theorem_4_8_rate(effort):
    """The angle on arcs of a circle in R^16, E = 4, d = 1: the bound is m^-1/2 for smooth f and for kappa = 1.

    One-sided; the networks that are constructed have order 2.
    """
    return _rates(effort, lambda layer: layer)


@theorem_4_8_rate.control("a chart of 4 neurons whatever m: its own error stays")
def _(effort):
    return _rates(effort, _coarse)


@theorem_4_8_rate.control("the experts of neighbouring charts exchanged")
def _(effort):
    return _rates(effort, lambda layer: MoELayer(layer.gate, layer.experts[1:] + layer.experts[:1]))


def _arcs(count):
    return charts.curve_atlas(Embedded(circle(), orthonormal_frame(16, 2)), count)


def _bounds(effort, bound):
    parts = {}
    for name, profile in PROFILES.items():
        for count in (3, 4, 8):
            atlas, half = _arcs(count), math.pi / count
            fine = np.linspace(-half, half, effort.choose(20_001, 200_001))
            centres = 2 * half * np.arange(count)[:, None]
            values = profile(centres + fine)
            slope = np.abs(np.diff(values, axis=1)).max() / (fine[1] - fine[0])
            sample = atlas.manifold.embed((centres + fine[::10]).reshape(-1, 1))
            wanted = profile((centres + fine[::10]).ravel())
            left, right = [], []
            for width in WIDTHS:
                nodes = np.linspace(-half, half, width + 1)
                heights = np.linspace(-math.sin(half), math.sin(half), width + 1)
                chart = np.abs(np.interp(np.sin(fine), heights, np.arcsin(heights)) - fine).max()
                function = max(np.abs(np.interp(fine, nodes, profile(centre + nodes)) - row).max()
                               for centre, row in zip(centres, values, strict=True))
                left.append(np.abs(_arcs_layer(atlas, profile, width)(sample)[:, 0] - wanted).max())
                right.append(bound(function, chart, slope))
            parts[f"{name}, E={count}"] = judges.inequality(left, right, rtol=1e-6, at={"m": WIDTHS})
    return judges.every(**parts)


def _rates(effort, change):
    atlas = _arcs(4)
    sample = points_on(atlas.manifold, effort.choose(10_000, 100_000), seed=4)
    functions = {"smooth": PROFILES["sin 6t"], "kappa=1": kinked}
    parts = {}
    for name, profile in functions.items():
        def function(points, profile=profile):
            return profile(atlas.manifold.parameters(points)[:, 0])

        errors = []
        for width in WIDTHS:
            layer = change(_arcs_layer(atlas, profile, width, 4 if change is _coarse else None))
            errors.append(sup_error(layer, function, atlas.manifold, sample))
        parts[name] = judges.order(1 / np.array(WIDTHS, float), errors, 0.5, 0.05, at_least=True)
    return judges.every(**parts)


def _coarse(layer):
    return layer


def _arcs_layer(atlas, profile, width, chart_width=None):
    """Of a function of the angle."""
    return shallow.curved_chart_layer(atlas, lambda x: profile(atlas.manifold.parameters(x)[:, 0]), width,
                                      chart_width)[0]
