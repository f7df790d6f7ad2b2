r"""Mixtures of experts for functions on a manifold: one gate, linear or not, and an interpolant for every chart.

*Linear charts* (Wang and E, arXiv 2505.24205, Cor. 4.9).  With the atlas of :mod:`~theorycheck.theory.moe.charts` an
affine gate sends x to a cell k without error, and expert k interpolates ``g_k = f o phi_k^{-1}`` there, so

    sup_M |f - y| = max_k sup |g_k - its interpolant| = O(n^(-a)),

a = 2 for twice differentiable f, else its Hoelder exponent, and n steps along each side.  With N = n^d nodes an expert
errs by ``O(N^(-a/d))``, whatever the dimension D around.

*Other charts* (Thm 4.8).  Expert k is ``g_k^m(psi_k(x))``, a network ``psi_k`` of one hidden layer for the chart and
one for the function in it: two hidden layers, and

    |f - y| <= sup |g_k - g_k^m| + sup |psi_k - phi_k| Lip(g_k).

*Depth 2* (the theorem's form).  A first layer of equal experts appends features ``tau(x)``, the gate of the second,
linear and without a bias, sends x to the expert of the largest.

In d > 1 coordinates s an explicit network of one hidden layer is known here for functions of ``<a, s>`` and their sums,
with the rate of one dimension; Kuhn's interpolants serve all functions, with up to ``1 + ceil(log2(d + 1))`` of them.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag
from scipy.spatial import cKDTree

from ..arguments import number, numbers, positive, shown
from .charts import LATTICE, Atlas
from .experts import KuhnExpert, spline_expert
from .gates import cap_features
from .identities import added, chained, require_dense, unrolled
from .lattices import lattice
from .manifolds import Cube, Embedded, Product, SwissRoll
from .model import DenseNetwork, MoE, MoELayer, linear_gate

NUMBERS = 2**27
"""Most numbers that a layer may have: 1 GiB."""
TRIED = 32
"""Places in every box at which a function is tried to be one of <a, s>."""
COVERING = 5000
"""Points of the lattice that shows whether a manifold is on a sphere about 0."""


def linear_chart_layer(atlas, function, segments, direction=None) -> MoELayer:
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
    direction : array_like, shape (d,), optional
        a, not 0.  If the function depends on ``<a, u>`` only, u the chart's coordinates, one hidden layer of n neurons
        does for every d; sums of such functions are for :func:`summed`.

    Raises
    ------
    ValueError
        If a box is beyond its chart, the function returns another shape or no finite number (it names the point), it
        depends on more than ``<a, u>``, or the nodes are more than memory holds (it names the largest n).
    """
    segments, dimension = positive(segments, "segments"), _required(atlas).manifold.dimension
    if direction is not None or dimension == 1:
        return _ridge_layer(atlas, function, segments, _direction(direction, dimension))
    count, ambient = len(atlas.centres), atlas.manifold.ambient
    # all values twice, and of one chart the bases that Newton's method takes
    most = int((NUMBERS / max(2 * count, ambient * dimension)) ** (1 / dimension)) - 1
    if segments > most:
        raise ValueError(f"segments is {shown(segments)}; for {count} grids of dimension {dimension} it must be at "
                         f"most {most}, or they ask for more than {NUMBERS * 8 / 2**30:.3g} GiB")
    experts = []
    for chart, (low, high) in enumerate(zip(atlas.low, atlas.high, strict=True)):
        axes = [np.linspace(*ends, segments + 1) for ends in zip(low, high, strict=True)]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        values = _values(function, atlas.points(chart, nodes.reshape(-1, dimension)))
        experts.append(KuhnExpert(atlas.bases[chart], atlas.centres[chart], low, high,
                                  values.reshape(nodes.shape[:-1] + values.shape[1:])))
    return MoELayer(atlas.gate, experts)


def _ridge_layer(atlas, function, segments, direction):
    """Experts of one hidden layer for a function of ``<a, u>``."""
    _affordable(len(atlas.centres), atlas.manifold.ambient + 2, segments)
    experts = []
    for chart, (centre, basis) in enumerate(zip(atlas.centres, atlas.bases, strict=True)):
        spline = _ridge(function, lambda u, chart=chart: atlas.points(chart, u), direction, atlas.low[chart],
                        atlas.high[chart], segments)
        experts.append(chained(linear_gate(basis.T, -basis.T @ centre), spline))
    return MoELayer(atlas.gate, experts)


def two_layer_form(layer, atlas, threshold, shift=None) -> MoE:
    """The same experts behind features: depth 2, first layer ``x -> (x, tau(x), 1)``, the second's gate reads ``tau``.

    The E experts of the first layer coincide and have ``2 D + E + 1`` neurons.

    Parameters
    ----------
    layer : MoELayer
        Its gate must be the atlas's, its experts DenseNetworks.
    atlas : Atlas
        With a known radius.
    threshold, shift
        b < :func:`covering_threshold`, and the errors of tau: see :func:`~theorycheck.theory.moe.gates.cap_features`.

    Raises
    ------
    ValueError
        If the features' supports are not proved to cover the manifold (it names the threshold up to which they are),
        the layer has another gate than the atlas, or experts are not dense.
    """
    require_dense(layer)
    if len(layer.experts) != len(_required(atlas).centres):
        raise ValueError(f"the layer has {len(layer.experts)} experts; it must have {len(atlas.centres)}, one for each "
                         "chart")
    if not _equal_gates(layer.gate, atlas.gate):
        raise ValueError("the layer's gate is not the atlas's; it must be, for its experts are sent the atlas's cells")
    largest = covering_threshold(atlas)
    if not number(threshold, "threshold") < largest:
        raise ValueError(f"threshold is {threshold:.6g}; it must be less than {largest:.6g}, up to which the supports "
                         f"of the {len(atlas.centres)} features are proved to cover the manifold")
    return unrolled(MoELayer(cap_features(atlas.centres, threshold, shift), layer.experts))


def covering_threshold(atlas) -> float:
    """A threshold up to which the supports of features are proved to cover the manifold.

    They do below ``min_M max_i <c_i, x> - (|c_i|^2 - q)/2``, q as in the features.  On a sphere about 0 this is
    ``(|x|^2 + q - r_max^2)/2``, with the atlas's r_max.  Elsewhere it is the least value on a lattice less the hole
    times max |c_i|, which the slope is at most: a lower bound, short of the truth by the hole times that at most.

    Raises
    ------
    ValueError
        If the radius of the atlas is not known, or the manifold's dimension is beyond that of a lattice.
    """
    if not math.isfinite(_required(atlas).radius):
        raise ValueError(f"atlas has radius {atlas.radius:g}; it must be known, as that of net_atlas, curve_atlas, "
                         "torus_atlas and cube_atlas is")
    manifold, centres = atlas.manifold, atlas.centres
    while isinstance(manifold, Embedded):                       # all lengths and products stay
        manifold, centres = manifold.manifold, centres @ manifold.frame
    norms, lengths = (np.linalg.norm(each, axis=1) for each in (lattice(manifold, COVERING)[0], centres))
    most, least = max(norms.max(), lengths.max()), min(norms.min(), lengths.min())
    if most - least <= 1e-9 * most:
        return float(least**2 + lengths.max()**2 - atlas.radius**2) / 2
    points, hole = lattice(manifold, min(LATTICE, max(COVERING, 2**23 // manifold.ambient)))
    powers = (points**2).sum(axis=1) - cKDTree(centres).query(points)[0] ** 2
    return float(powers.min() + lengths.max()**2) / 2 - hole * float(lengths.max())


def curved_chart_layer(atlas, function, segments, chart_segments=None, direction=None):
    """One MoE layer whose experts are ``g_i(psi_i(x))``: two hidden layers, the first for a chart that is not linear.

    The chart is ``phi_i(x) = s``, the manifold's own parameters (angles), counted on from those of the centre.  Each of
    them is a function of one linear coordinate ``u_j = <t_j, x - c_i>``; its spline is ``psi_ij``.  And g_i is the
    spline of the function in s, or, in several dimensions, in ``<a, s>``.

    Parameters
    ----------
    atlas : Atlas
        Of a curve or of a product of curves and intervals (a flat torus, a swiss roll), embedded or not.  Where a box
        is beyond the manifold's boundary the nodes end at the boundary.
    function : callable
        Points of shape (N, D), on M, to values (N,) or (N, outputs).  In several dimensions it may depend on
        ``<a, s>`` only: an explicit network of one hidden layer for other functions is not known here.  Sums of such
        functions are for :func:`summed`.
    segments : int, >= 1
        m, neurons of g_i.
    chart_segments : int, >= 1, optional
        Neurons of each ``psi_ij``, so that psi_i has d times as many; `segments` by default.
    direction : array_like, shape (d,), optional
        a, not 0; 1 by default for d = 1.

    Returns
    -------
    layer : MoELayer
        Behind the gate of the atlas.
    parts : list of (psi, g)
        The networks of every chart, R^D -> R^d and R^d -> R^outputs.

    Raises
    ------
    ValueError
        If a parameter is not a function of one coordinate, the function not one of ``<a, s>``, a box is beyond its
        chart, or the function returns another shape.
    """
    segments = positive(segments, "segments")
    chart_segments = segments if chart_segments is None else positive(chart_segments, "chart_segments")
    direction = _direction(direction, _required(atlas).manifold.dimension)
    _affordable(len(atlas.centres), chart_segments * len(direction) + 2, segments)
    parts = []
    for chart in range(len(atlas.centres)):
        psi, low, high = _chart_network(atlas, chart, chart_segments)
        parts.append((psi, _ridge(function, atlas.manifold.embed, direction, low, high, segments)))
    return MoELayer(atlas.gate, [chained(psi, g) for psi, g in parts]), parts


def summed(layers) -> MoELayer:
    """The sum of layers behind one gate, as one layer whose experts are the sums of theirs, widths added.

    Parameters
    ----------
    layers : sequence of MoELayer
        Of one gate and equally many dense experts of equal depth, the same number of them selected.

    Raises
    ------
    ValueError
        If gates, numbers of experts or their selection differ, or experts are not dense or shared.
    """
    if not isinstance(layers, Sequence) or not all(isinstance(layer, MoELayer) for layer in layers):
        raise ValueError(f"layers are {shown(layers)}; they must be a sequence of MoELayers")
    counts = sorted({len(layer.experts) for layer in layers})
    if len(counts) != 1:
        raise ValueError(f"layers have {counts} experts; there must be at least one layer, and all must have as many")
    first = layers[0]
    for place, layer in enumerate(layers):
        require_dense(layer)
        if not _equal_gates(layer.gate, first.gate):
            raise ValueError(f"layer {place} has another gate than layer 0; all must have one, to be one layer")
        if layer.shared or (layer.top, layer.normalised) != (first.top, first.normalised):
            raise ValueError(f"layer {place} has top = {layer.top}, normalised over {layer.normalised} and "
                             f"{len(layer.shared)} shared experts; it must have top = {first.top}, {first.normalised} "
                             "and none")
    rows = zip(*(layer.experts for layer in layers), strict=True)
    return MoELayer(first.gate, [added(experts) for experts in rows], first.top, first.normalised)


def _equal_gates(one, other):
    """Whether two gates are the same affine or deeper network, but for rounding."""
    if len(one.weights) != len(other.weights):
        return False
    pairs = [*zip(one.weights, other.weights, strict=True),
             *((np.zeros(1) if a is None else a, np.zeros(1) if b is None else b)
               for a, b in zip(one.biases, other.biases, strict=True))]
    return all(a.ndim == b.ndim and (a.shape == b.shape or a.ndim == 1)
               and np.allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max()) for a, b in pairs)


def _chart_network(atlas, chart, segments):
    """psi of one chart, and the corners of the box of parameters it fills."""
    middle = atlas.manifold.parameters(atlas.centres[chart:chart + 1])[0]
    ends = _ends(atlas.manifold)
    turns = ~np.isfinite(ends).any(axis=1)

    def unwrapped(where):
        found = atlas.manifold.parameters(atlas.points(chart, where))
        near = middle + (found - middle + math.pi) % (2 * math.pi) - math.pi
        return np.where(turns, near, found)

    corners = _cut(atlas, chart, middle, ends)
    nodes = np.linspace(*corners, segments + 1)
    values = unwrapped(nodes)
    mixed = np.stack([np.roll(nodes[:, axis], axis) for axis in range(nodes.shape[1])], axis=1)
    apart = np.abs(unwrapped(mixed) - np.stack([np.roll(values[:, axis], axis) for axis in range(nodes.shape[1])], 1))
    if not apart.max() <= 1e-9 * max(1.0, np.abs(middle).max()):
        raise ValueError(f"a parameter varies by {apart.max():.3g} with a coordinate that is not its own; the manifold "
                         f"is {shown(atlas.manifold)}, it must be a curve or a product of curves")
    centre, basis = atlas.centres[chart], atlas.bases[chart]
    splines = [spline_expert(basis[:, axis], centre, nodes[:, axis], values[:, axis]) for axis in range(nodes.shape[1])]
    psi = DenseNetwork((np.vstack([each.weights[0] for each in splines]),
                        block_diag(*(each.weights[1] for each in splines))),
                       [np.concatenate([each.biases[layer] for each in splines]) for layer in (0, 1)])
    return psi, values.min(axis=0), values.max(axis=0)


def _ends(manifold):
    """Where every parameter begins and ends, shape (d, 2); infinities for an angle, which does not."""
    if isinstance(manifold, Embedded):
        return _ends(manifold.manifold)
    if isinstance(manifold, Product):
        return np.concatenate([_ends(factor) for factor in manifold.factors])
    if isinstance(manifold, SwissRoll):
        return np.array([(manifold.first, manifold.last), (0.0, manifold.height)])
    return np.tile((0.0, 1.0) if isinstance(manifold, Cube) else (-math.inf, math.inf), (manifold.dimension, 1))


def _cut(atlas, chart, middle, ends):
    """Corners of a box without what is beyond the manifold's boundary, where the parameters are cut to their ends."""
    corners = np.stack([atlas.low[chart], atlas.high[chart]])
    found = atlas.manifold.parameters(atlas.points(chart, corners))
    for side, axis in np.argwhere((found <= ends[:, 0]) | (found >= ends[:, 1])):
        there = middle.copy()
        there[axis] = found[side, axis]
        corners[side, axis] = atlas.coordinates(atlas.manifold.embed(there[None]), np.array([chart]))[0, axis]
    return corners


def _ridge(function, place, direction, low, high, segments) -> DenseNetwork:
    """The spline of a function in ``<a, s>`` over a box of s; `place` takes s to the points of the function."""
    rising = np.where(direction >= 0, 1.0, -1.0)
    middle, half = (low + high) / 2, (high - low) / 2

    def diagonal(share):
        return middle + share[:, None] * rising * half

    share = np.linspace(-1, 1, segments + 1)
    if len(direction) == 1:
        values = _values(function, place(diagonal(share)))
    else:
        # anywhere in the box, against the diagonal where <a, s> is the same
        within = 2 * (np.outer(np.arange(1, TRIED + 1), np.sqrt(np.arange(2, 4 * len(low), 4))) % 1) - 1
        along = within @ (direction * half) / (np.abs(direction) @ half)
        places = np.concatenate([diagonal(share), diagonal(along), middle + within * half])
        values, wanted, found = np.split(_values(function, place(places)), [segments + 1, segments + 1 + TRIED])
        if not np.abs(found - wanted).max() <= 1e-9 * (1 + np.abs(values).max()):
            raise ValueError(f"function varies by {np.abs(found - wanted).max():.3g} where <a, s> does not, a = "
                             f"{shown(direction.tolist())}; it must be a function of <a, s>")
    return spline_expert(direction, middle, share * (np.abs(direction) @ half), values)


def _values(function, points):
    """Of a function at points: (N,) or (N, outputs), finite."""
    if not callable(function):
        raise ValueError(f"function is {shown(function)}; it must be callable, from points to values")
    values = numbers(function(points), "values of the function")
    if values.shape[:1] != (len(points),) or values.ndim > 2:
        raise ValueError(f"function returns shape {values.shape} for {len(points)} points; it must be (N,) or "
                         "(N, outputs)")
    finite = np.isfinite(values.reshape(len(points), -1)).all(axis=1)
    if not finite.all():
        worst = int(np.argmin(finite))
        raise ValueError(f"function returns {shown(values[worst].tolist())} at the point "
                         f"{shown(points[worst].tolist())}; it must be finite there")
    return values


def _direction(direction, dimension):
    if direction is None and dimension == 1:
        return np.ones(1)
    if direction is None:
        raise ValueError(f"direction is None; on a manifold of dimension {dimension} it must be {dimension} numbers: a "
                         "network of one hidden layer is known here for functions of <a, s>")
    direction = numbers(direction, "direction")
    if direction.shape != (dimension,) or not np.isfinite(direction).all() or not direction.any():
        raise ValueError(f"direction is {shown(direction.tolist())}; it must be {dimension} finite numbers, not all 0")
    return direction


def _affordable(count, each, segments):
    """Refuse more segments, of so many numbers each, than memory holds."""
    if segments > NUMBERS // (count * each):
        raise ValueError(f"segments is {shown(segments)}; for {count} experts it must be at most "
                         f"{NUMBERS // (count * each)} here, or they ask for more than {NUMBERS * 8 / 2**30:.3g} GiB")


def _required(atlas):
    if not isinstance(atlas, Atlas):
        raise ValueError(f"atlas is {shown(atlas)}; it must be an Atlas")
    return atlas
