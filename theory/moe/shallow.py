r"""Mixtures of experts for functions on a manifold: one gate, linear or not, and an interpolant for every chart.

*Linear charts* (Wang and E, arXiv 2505.24205, Cor. 4.9).  With the atlas of :mod:`~theorycheck.theory.moe.charts` an
affine gate sends x to a cell k without error, and expert k interpolates ``g_k = f o phi_k^{-1}`` there, so

    sup_M |f - y| = max_k sup |g_k - its interpolant| = O(n^(-a)),

a = 2 for twice differentiable f, else its Hoelder exponent, and n steps along each side.  With N = n^d nodes an expert
errs by ``O(N^(-a/d))``, whatever the dimension D around.

*Other charts* (Thm 4.8).  Expert k is ``g_k^m(psi_k(x))``, a network ``psi_k`` of one hidden layer for the chart and
one for the function in it: two hidden layers, and

    |f - y| <= sup |g_k - g_k^m| + sup |psi_k - phi_k| Lip(g_k).
"""

import math

import numpy as np

from ..arguments import shown
from .experts import KuhnExpert, spline_expert
from .gates import cone_gate, feature_layer
from .model import DenseNetwork, MoE, MoELayer, linear_gate


def linear_chart_layer(atlas, function, segments) -> MoELayer:
    """One MoE layer that interpolates a function on every chart of an atlas.

    Parameters
    ----------
    atlas : Atlas
    function : callable
        Points of shape (N, D) to values (N,) or (N, outputs); also of the manifold's continuation where a box of the
        atlas is larger than its cell.
    segments : int, >= 1
        n, steps of the grid along each side of a box.  The experts are networks of one hidden layer with n neurons for
        d = 1 and Kuhn interpolants with (n + 1)^d nodes for d > 1.

    Raises
    ------
    ValueError
        If a box is beyond its chart, or the function returns another shape.
    """
    _positive(segments, "segments")
    experts = []
    for chart, (low, high) in enumerate(zip(atlas.low, atlas.high, strict=True)):
        axes = [np.linspace(*ends, segments + 1) for ends in zip(low, high, strict=True)]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        values = np.asarray(function(atlas.points(chart, nodes.reshape(-1, len(low)))))
        if values.shape[:1] != (axes[0].size ** len(low),) or values.ndim > 2:
            raise ValueError(f"function returns shape {values.shape} for {axes[0].size ** len(low)} points; it must be "
                             "(N,) or (N, outputs)")
        centre, basis = atlas.centres[chart], atlas.bases[chart]
        if len(low) == 1:
            experts.append(spline_expert(basis[:, 0], centre, axes[0], values))
        else:
            experts.append(KuhnExpert(basis, centre, low, high, values.reshape(nodes.shape[:-1] + values.shape[1:])))
    return MoELayer(atlas.gate, experts)


def two_layer_form(layer, centres, threshold, shift=None) -> MoE:
    """The same experts behind features: depth 2, the gate of the second layer a copy of ``tau(x)``.

    Parameters
    ----------
    layer : MoELayer
        Its experts must be DenseNetworks.
    centres : array_like, shape (E, D)
    threshold, shift
        As in :func:`~theorycheck.theory.moe.gates.cap_features`.
    """
    if not all(isinstance(expert, DenseNetwork) for expert in layer.experts):
        raise ValueError(f"experts contain {type(layer.experts[0]).__name__}; each must be a DenseNetwork "
                         "(a KuhnExpert has one: network())")
    first = feature_layer(centres, threshold, shift)
    count, inputs = len(layer.experts), layer.inputs
    gate = linear_gate(np.hstack([np.zeros((count, inputs)), np.eye(count)]))
    return MoE((first, MoELayer(gate, [_padded(expert, count) for expert in layer.experts])))


def _padded(expert, count):
    """The same network, blind to `count` further inputs."""
    first = np.hstack([expert.weights[0], np.zeros((len(expert.weights[0]), count))])
    return DenseNetwork((first, *expert.weights[1:]), expert.biases)


def composed(outer, inner) -> DenseNetwork:
    """``outer o inner`` as one network; the last map of one and the first of the other become one."""
    if outer.inputs != inner.outputs:
        raise ValueError(f"outer takes {outer.inputs} inputs; it must take {inner.outputs}, the outputs of inner")
    weight, bias = inner.weights[-1], inner.biases[-1]
    first, offset = outer.weights[0], outer.biases[0]
    joint = first @ (np.zeros(len(weight)) if bias is None else bias)
    joint = joint if offset is None else joint + offset
    return DenseNetwork((*inner.weights[:-1], first @ weight, *outer.weights[1:]),
                        (*inner.biases[:-1], joint, *outer.biases[1:]))


def arc_layer(atlas, profile, segments) -> MoELayer:
    """An MoE layer for a function of the angle on the unit circle, in the chart "angle from the centre".

    The chart ``phi_i(x) = arcsin <t_i, x>`` is not linear; ``psi_i`` interpolates it on m segments, and another
    interpolant with m segments is the function in it.

    Parameters
    ----------
    atlas : Atlas
        Of a circle of radius 1, by :func:`~theorycheck.theory.moe.charts.curve_atlas`.
    profile : callable
        Angles to values.
    segments : int, >= 1
        m.

    Raises
    ------
    ValueError
        For an atlas of another manifold.
    """
    _positive(segments, "segments")
    half = math.pi / len(atlas.centres)
    if atlas.high.shape[1] != 1 or not np.abs(atlas.high - math.sin(half)).max() <= 1e-9:
        raise ValueError(f"atlas has boxes up to {atlas.high.max():.6g}; it must be one of {len(atlas.centres)} arcs "
                         f"of a unit circle, up to {math.sin(half):.6g}")
    nodes, angles = np.linspace(-math.sin(half), math.sin(half), segments + 1), np.linspace(-half, half, segments + 1)
    experts = []
    for chart, centre in enumerate(atlas.centres):
        inner = spline_expert(atlas.bases[chart, :, 0], np.zeros_like(centre), nodes, np.arcsin(nodes))
        outer = spline_expert([1.0], [0.0], angles, profile(2 * half * chart + angles))
        experts.append(composed(outer, inner))
    return MoELayer(cone_gate(atlas.centres), experts)


def _positive(value, name):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer >= 1")
