r"""Layers for one factor of a product manifold, with what their errors are made of (Wang and E, Thm 5.2).

On a closed curve with E equally spaced centres ``c_i``, of equal norm, the gate ``<c_i, x>`` has the Voronoi cells, and
the tangent coordinate ``u = <t_i, x - c_i>`` is a chart of each.  Its inverse is found by bisection, so node values are
those of the function on the manifold.  An expert is

- *linear chart*: the spline of ``f(chart^{-1}(u))``, one hidden layer;
- *curved chart*: ``g(psi(x))``, two hidden layers; psi is the spline of the curve's own parameter ``s`` in u, and g
  that of f in s.  Its error is at most ``e_g + Lip(g) e_psi``, e_psi the error of the chart.

On the sphere S^2 the layer has tangent charts and explicit Kuhn networks.  Layers for several factors become one
network by :func:`~theorycheck.theory.moe.partition.on_product`.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import positive, shown
from .experts import KuhnExpert, spline_expert
from .identities import chained
from .manifolds import Sphere
from .model import MoELayer, linear_gate
from .nets import farthest_points, nearest

BISECTIONS = 60
"""Halvings of a cell's parameter range, to below rounding."""


@dataclass(frozen=True, eq=False)
class CurveAtlas:
    """Equally spaced tangent charts of a closed curve.

    Parameters
    ----------
    curve : Manifold
        Closed, of dimension 1, its centres of equal norm: Sphere(1) or HomogeneousCurve, possibly Embedded.
    charts : int, >= 2
        E.

    Raises
    ------
    ValueError
        If a chart does not increase over its cell; it says how many charts the curve's reach asks for.
    """

    curve: object
    charts: int

    def __post_init__(self):
        positive(self.charts, "charts")
        angle = np.linspace(-1.0, 1.0, 257) * math.pi / self.charts
        for index in range(self.charts):
            if not (np.diff(self.chart(index, self.middle(index) + angle)) > 0).all():
                sample = self.curve.embed(np.linspace(0, 2 * math.pi, 4096, endpoint=False)[:, None])
                length = np.linalg.norm(np.diff(sample, axis=0), axis=1).sum()
                enough = math.ceil(length / (2 * (math.sqrt(3) - 1) * self.curve.reach)) + 1
                raise ValueError(f"charts is {self.charts}; chart {index} is not injective on its cell, {enough} "
                                 f"charts are enough for reach {self.curve.reach:.3g}")

    def middle(self, index) -> float:
        """Parameter of a centre."""
        return 2 * math.pi * index / self.charts

    @property
    def centres(self) -> np.ndarray:
        """c_i, shape (E, D)."""
        return self.curve.embed(np.array([[self.middle(index)] for index in range(self.charts)]))

    @property
    def directions(self) -> np.ndarray:
        """t_i, shape (E, D)."""
        return self.curve.tangent(self.centres)[:, :, 0]

    def chart(self, index, parameter) -> np.ndarray:
        """u at parameters of the curve, those beyond [0, 2 pi) included."""
        points = self.curve.embed(np.reshape(parameter, (-1, 1)))
        return (points - self.centres[index]) @ self.directions[index]

    def nodes(self, index, segments) -> tuple[np.ndarray, np.ndarray]:
        """m + 1 equally spaced chart coordinates over a cell and the curve's parameters there."""
        half = math.pi / self.charts
        low = np.full(segments + 1, self.middle(index) - half)
        high = np.full(segments + 1, self.middle(index) + half)
        ends = self.chart(index, np.array([low[0], high[0]]))
        wanted = np.linspace(ends[0], ends[1], segments + 1)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = self.chart(index, middle) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return wanted, 0.5 * (low + high)

    @property
    def gate(self):
        """Voronoi cells of the centres, a linear gate without a bias."""
        return linear_gate(self.centres)


def curve_layer(atlas, function, segments) -> MoELayer:
    """Linear charts: one hidden layer of m neurons per expert, exact gate.

    Parameters
    ----------
    atlas : CurveAtlas
    function : callable
        Of the curve's parameter, with period 2 pi.
    segments : int, >= 1
        m.
    """
    segments, experts = positive(segments, "segments"), []
    for index, (centre, direction) in enumerate(zip(atlas.centres, atlas.directions, strict=True)):
        nodes, parameters = atlas.nodes(index, segments)
        experts.append(spline_expert(direction, centre, nodes, function(parameters)))
    return MoELayer(atlas.gate, experts)


def curved_experts(atlas, function, segments, chart_segments) -> tuple[MoELayer, list]:
    """Curved charts: experts ``g(psi(x))`` of two hidden layers.

    Parameters
    ----------
    atlas : CurveAtlas
    function : callable
    segments : int, >= 1
        Of g.
    chart_segments : int, >= 1
        Of psi.

    Returns
    -------
    layer : MoELayer
    parts : list of (psi, g)
        The dense networks of every chart, psi: R^D -> R and g: R -> R.
    """
    parts = []
    for index, (centre, direction) in enumerate(zip(atlas.centres, atlas.directions, strict=True)):
        nodes, parameters = atlas.nodes(index, positive(chart_segments, "chart_segments"))
        psi = spline_expert(direction, centre, nodes, parameters)
        middle, half = atlas.middle(index), math.pi / atlas.charts
        grid = np.linspace(middle - half, middle + half, positive(segments, "segments") + 1)
        parts.append((psi, spline_expert([1.0], [0.0], grid, function(grid))))
    return MoELayer(atlas.gate, [chained(psi, g) for psi, g in parts]), parts


def sphere_layer(function, charts, segments) -> MoELayer:
    """Tangent charts on S^2 with explicit Kuhn networks of two hidden layers, ``(n + 1)^2`` hats each.

    Parameters
    ----------
    function : callable
        From points of S^2, shape (N, 3), to values, shape (N,).
    charts : int, >= 10
        E; the grid must stay on a half sphere.
    segments : int, >= 1
        n, per side.

    Raises
    ------
    ValueError
        If the cells are so large that corners of the grid have no point of the sphere above them.
    """
    sphere = Sphere(2)
    # A Fibonacci lattice: what a net is chosen from, and on which it is measured.
    index = np.arange(8192) + 0.5
    height = 1 - 2 * index / 8192
    cloud = np.stack([np.sqrt(1 - height**2) * np.cos(index * math.pi * (3 - math.sqrt(5))),
                      np.sqrt(1 - height**2) * np.sin(index * math.pi * (3 - math.sqrt(5))), height], axis=1)
    centres = cloud[farthest_points(cloud, positive(charts, "charts"))]
    cells = nearest(cloud, centres)[1]
    bases, experts = sphere.tangent(centres), []
    for place, (centre, basis) in enumerate(zip(centres, bases, strict=True)):
        chart = cloud[cells == place] @ basis
        low, high = chart.min(axis=0) - 0.05, chart.max(axis=0) + 0.05
        corner = np.linalg.norm(np.maximum(np.abs(low), np.abs(high)))
        if not corner < 1:
            raise ValueError(f"charts is {shown(charts)}; the grid of chart {place} reaches {corner:.3g} from its "
                             "centre, it must stay below 1: more charts have smaller cells")
        axes = [np.linspace(one, other, positive(segments, "segments") + 1)
                for one, other in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        lifted = grid @ basis.T + np.sqrt(1 - (grid**2).sum(axis=-1, keepdims=True)) * centre
        values = function(lifted.reshape(-1, 3)).reshape(grid.shape[:-1])
        experts.append(KuhnExpert(basis, centre, low, high, values).network())
    return MoELayer(linear_gate(centres), experts)
