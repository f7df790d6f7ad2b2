"""Claims that different architectures compute the same function: checked on random networks, which nothing favours.

Weights and inputs are standard normals from their own streams.  Equal functions written as different sums of products
differ by rounding: 1e-12 of the largest value, some thousand times the machine's precision.
"""

import numpy as np

from ...sims import streams
from ...theory.moe import identities, partition
from ...theory.moe.model import DenseNetwork, MoE, MoELayer, linear_gate
from .. import judges
from ..claim import claim
from .paper import MOE

INPUTS, EXPERTS, OUTPUTS = 5, 6, 3
POINTS = 20_000
ROUNDING = 1e-12
WHERE = "Sec. 5, remarks on the design of MoE layers"


@claim("nonlinear_router", topic="moe", paper=MOE, where=WHERE, stance="stated",
       statement="gate W tau(x): one layer in place of (x, tau(x), 1) and then a linear gate; depth L in place of 2L")
def nonlinear_router(effort):
    """One random layer against its two, and three layers on a product against their six; routes agree too."""
    return _unrolled(lambda network: network)


@nonlinear_router.control("a first layer that does not append the constant")
def _(effort):
    return _unrolled(lambda network: _with_first(network, lambda outer: np.vstack([outer[:-1], 0 * outer[-1:]])))


@nonlinear_router.control("features of the gate without their ReLU")
def _(effort):
    layer = _layer("router", gate=20)
    straight = linear_gate(layer.gate.weights[1] @ layer.gate.weights[0],
                           layer.gate.weights[1] @ layer.gate.biases[0] + layer.gate.biases[1])
    points = _normals("points", POINTS, INPUTS)
    return _same(MoELayer(straight, layer.experts)(points), layer(points))


@claim("dense_alternation", topic="moe", paper=MOE, where=WHERE, stance="stated",
       statement="a dense layer is an MoE layer whose experts coincide, behind any gate: dense and MoE may alternate")
def dense_alternation(effort):
    """Dense, MoE, dense, MoE against four MoE layers, gates of the dense ones drawn at random."""
    return _alternating(None)


@dense_alternation.control("one of the coinciding experts is another")
def _(effort):
    return _alternating(_dense("odd", INPUTS, 8, INPUTS))


@claim("shared_expert", topic="moe", paper=MOE, where=WHERE, stance="stated",
       statement="shared + routed: s(x) + f_k(x) is an ordinary layer with experts s + f_k of width m_s + m")
def shared_expert(effort):
    """Two hidden layers, widths 7 and 4 shared, 8 routed; values and widths."""
    return _shared(0)


@shared_expert.control("one of the shared experts is left out")
def _(effort):
    return _shared(1)


@claim("low_dimensional_experts", topic="moe", paper=MOE, where=WHERE, stance="reconstructed",
       statement="experts and gate on R^d behind an encoder, f_k(Enc x), g(Enc x): one layer on R^D of equal widths")
def low_dimensional_experts(effort):
    """D = 64, d = 5; values and widths."""
    return _encoded(0.0)


@low_dimensional_experts.control("an encoder that is off by a part in a thousand")
def _(effort):
    return _encoded(1e-3)


@claim("low_dimensional_parameters", topic="moe", paper=MOE, where=WHERE, stance="derived",
       statement="E experts of m neurons and a gate behind Enc: R^D -> R^d save E (m+1) (D-d) - d (D+1) parameters")
def low_dimensional_parameters(effort):
    """Counted on networks, biases included; 27 cases of D, d and m.

    The paper compares #(Enc) + O(d^2) for an expert with O(D^2), widths of order d and D; here widths are equal, so
    that the two layers are the same function.  What is saved is negative where m is too small to pay for the encoder.
    """
    return _saved(lambda ambient, inner, width: EXPERTS * (width + 1) * (ambient - inner) - inner * (ambient + 1))


@low_dimensional_parameters.control("experts alone: E m (D - d)")
def _(effort):
    return _saved(lambda ambient, inner, width: EXPERTS * width * (ambient - inner))


@low_dimensional_parameters.control("the encoder not counted")
def _(effort):
    return _saved(lambda ambient, inner, width: EXPERTS * (width + 1) * (ambient - inner))


@low_dimensional_parameters.control("an encoder without biases: d D in place of d (D + 1)")
def _(effort):
    return _saved(lambda ambient, inner, width: EXPERTS * (width + 1) * (ambient - inner) - inner * ambient)


@claim("repeated_experts", topic="moe", paper=MOE, where="Sec. 3, top-K gating", stance="derived",
       statement="K copies of every expert and logit with top-K gating: the layer with K = 1, for every K")
def repeated_experts(effort):
    """K = 2, 3, 5."""
    return _repeated(lambda layer, copies: identities.repeated(layer, copies))


@repeated_experts.control("K experts of the original layer selected")
def _(effort):
    return _repeated(lambda layer, copies: MoELayer(layer.gate, layer.experts, copies))


def _same(values, wanted, over=""):
    return judges.equal(values, wanted, atol=ROUNDING * float(np.abs(wanted).max()), over=over)


def _unrolled(change):
    layer, points = _layer("router", gate=20), _normals("points", POINTS, INPUTS)
    values, routes = layer.routed(points)
    twice, both = change(identities.unrolled(layer)).routed(points)
    deep = partition.on_product([_layer(f"block {place}", gate=9, inputs=2, outputs=2) for place in range(3)])
    wide = _normals("wide", POINTS, 6)
    single, path = deep.routed(wide)
    halves = [change(identities.unrolled(level)) for level in deep.layers]
    double, paths = MoE(each for half in halves for each in half.layers).routed(wide)
    return judges.every(one=_same(twice, values), three=_same(double, single),
                        routes=judges.equal(int((both[:, 1] != routes).sum() + (paths[:, 1::2] != path).sum()), 0),
                        gates=judges.equal(len(deep.layers) * 2, paths.shape[1]))


def _with_first(network, change):
    first, second = network.layers
    common = first.experts[0]
    return MoE((identities.dense_layer(DenseNetwork((common.weights[0], change(common.weights[1])), common.biases),
                                       first.gate), second))


def _alternating(odd):
    dense = [_dense(f"dense {place}", INPUTS, 8, INPUTS) for place in range(2)]
    sparse = [_layer(f"sparse {place}", outputs=INPUTS) for place in range(2)]
    points = _normals("points", POINTS, INPUTS)
    wanted, layers = points, []
    for place, (common, layer) in enumerate(zip(dense, sparse, strict=True)):
        wanted = layer(common(wanted))
        copied = identities.dense_layer(common, _dense(f"any gate {place}", INPUTS, EXPERTS))
        if odd is not None and place:
            copied = MoELayer(copied.gate, (odd, *copied.experts[1:]))
        layers += [copied, layer]
    return _same(MoE(layers)(points), wanted)


def _shared(without):
    shared = tuple(_dense(f"shared {width}", INPUTS, width, width, OUTPUTS) for width in (7, 4))
    experts = [_dense(f"routed {place}", INPUTS, 8, 8, OUTPUTS) for place in range(EXPERTS)]
    gate, points = _dense("gate", INPUTS, EXPERTS), _normals("points", POINTS, INPUTS)
    layer = MoELayer(gate, experts, shared=shared)
    plain = identities.merged(MoELayer(gate, experts, shared=shared[without:]))
    return judges.every(values=_same(plain(points), layer(points)),
                        widths=judges.equal([expert.width for expert in plain.experts], 7 + 4 + 8))


def _encoded(error):
    ambient, width = 64, 8
    encoder, layer = _dense("encoder", ambient, INPUTS), _layer("encoded", hidden=width)
    points = _normals("ambient", POINTS, ambient)
    wide = identities.encoded(layer, DenseNetwork((encoder.weights[0] * (1 + error),), encoder.biases))
    return judges.every(values=_same(wide(points), layer(encoder(points))),
                        widths=judges.equal([expert.width for expert in wide.experts], width))


def _saved(expected):
    cases = [(ambient, inner, width) for ambient in (16, 64, 256) for inner in (2, 5, 9) for width in (1, 8, 40)]
    saved = []
    for ambient, inner, width in cases:
        encoder, layer = _dense("any encoder", ambient, inner), _layer("any", inputs=inner, hidden=width)
        wide = identities.encoded(layer, encoder)
        saved.append(wide.parameters - (layer.parameters + encoder.parameters))
    return judges.equal(saved, [expected(*case) for case in cases],
                        at=dict(zip(("D", "d", "m"), np.transpose(cases), strict=True)))


def _repeated(change):
    layer, points = _layer("single"), _normals("points", POINTS, INPUTS)
    return judges.every(**{f"K={copies}": _same(change(layer, copies)(points), layer(points)) for copies in (2, 3, 5)})


def _layer(name, gate=0, inputs=INPUTS, outputs=OUTPUTS, hidden=8):
    sizes = (inputs, gate, EXPERTS) if gate else (inputs, EXPERTS)
    return MoELayer(_dense(f"{name} gate", *sizes),
                    [_dense(f"{name} {place}", inputs, hidden, outputs) for place in range(EXPERTS)])


def _dense(name, *sizes):
    weights = [_normals(f"{name} {place}", rows, columns + 1) / np.sqrt(columns)
               for place, (columns, rows) in enumerate(zip(sizes, sizes[1:], strict=False))]
    return DenseNetwork([matrix[:, :-1] for matrix in weights], [matrix[:, -1] for matrix in weights])


def _normals(name, *shape):
    key = streams.key(0, f"moe.architecture.{name}")
    return streams.normals(key, 0, 0, int(np.prod(shape))).reshape(shape).astype(np.float64)
