r"""Equal functions from different architectures (Wang and E, Secs. 3-5, remarks on the design of MoE layers).

1. A gate of two layers, ``W tau(x)`` with ``tau(x) = relu(V x + c)``, is a layer before a linear one: the layer
   ``x -> (x, tau(x), 1)``, whose experts coincide, and then the gate ``(0, W, bias)`` without a bias.
2. A layer whose experts coincide is a dense layer, whatever its gate.
3. Shared and routed experts, ``sum_j s_j(x) + f_k(x)``, are routed experts ``sum_j s_j + f_k`` whose widths add.
4. An encoder R^D -> R^d before the layer is an encoder within the gate and within every expert.
5. K copies of every expert and of its logit, K selected: weights 1/K each, and the K = 1 layer again.
"""

import numpy as np

from ..arguments import positive, shown
from .model import DenseNetwork, MoE, MoELayer, require_network

MOST = 2**20
"""Most copies of an expert."""


def require_dense(layer, experts=True) -> None:
    """Refuse what is no MoE layer, or one whose gate (and experts) are not written out as dense networks.

    Parameters
    ----------
    layer : MoELayer
    experts : bool
        Whether experts are looked at too.

    Raises
    ------
    ValueError
        It names what there is.
    """
    if not isinstance(layer, MoELayer):
        raise ValueError(f"layer is {shown(layer)}; it must be an MoELayer")
    for network in (layer.gate, *(layer.experts + layer.shared if experts else ())):
        if not isinstance(network, DenseNetwork):
            raise ValueError(f"gate and experts contain {type(network).__name__}; each must be a DenseNetwork "
                             "(a KuhnExpert has one: network())")


def dense_layer(network, gate) -> MoELayer:
    """The layer whose experts all are one network.

    Parameters
    ----------
    network : DenseNetwork
    gate : DenseNetwork
        Any, of as many inputs; its outputs say how many experts there are.
    """
    require_network(network, "network")
    require_network(gate, "gate")
    return MoELayer(gate, (network,) * gate.outputs)


def features(gate) -> DenseNetwork:
    """``x -> (x, tau(x), 1)`` of a gate with one or two layers: one hidden layer, ``tau`` empty for a gate of one.

    x is handed on as ``relu(x) - relu(-x)`` and the constant is ``relu(0 x + 1)``.
    """
    require_network(gate, "gate")
    inner, bias = _hidden(gate)
    identity = np.eye(gate.inputs)
    weights = np.vstack([identity, -identity, inner, np.zeros((1, gate.inputs))])
    biases = np.concatenate([np.zeros(2 * gate.inputs), bias, [1.0]])
    outer = np.zeros((gate.inputs + len(inner) + 1, len(weights)))
    outer[:gate.inputs, :2 * gate.inputs] = np.hstack([identity, -identity])
    outer[gate.inputs:, 2 * gate.inputs:] = np.eye(len(inner) + 1)
    return DenseNetwork((weights, outer), (biases, None))


def unrolled(layer) -> MoE:
    """Two layers with gates linear and without a bias that equal one with an affine gate or a gate of two layers.

    Parameters
    ----------
    layer : MoELayer
        Its gate has one or two layers; its experts are dense.

    Returns
    -------
    MoE
        Of depth 2; the E experts of the first layer coincide.

    Raises
    ------
    ValueError
        For a deeper gate, or shared experts.
    """
    require_dense(layer)
    if layer.shared:
        raise ValueError(f"the layer has {len(layer.shared)} shared experts; it must have none: merge them first")
    first = features(layer.gate)
    last, bias = layer.gate.weights[-1], layer.gate.biases[-1]
    extra = first.outputs - layer.inputs
    gate = np.zeros((layer.gate.outputs, first.outputs))
    if len(layer.gate.weights) == 1:
        gate[:, :layer.inputs] = last
    else:
        gate[:, layer.inputs:-1] = last
    gate[:, -1] = 0.0 if bias is None else bias
    experts = [DenseNetwork((np.hstack([expert.weights[0], np.zeros((len(expert.weights[0]), extra))]),
                             *expert.weights[1:]), expert.biases) for expert in layer.experts]
    anything = DenseNetwork((np.ones((len(layer.experts), layer.inputs)),))
    return MoE((dense_layer(first, anything), MoELayer(DenseNetwork((gate,)), experts, layer.top, layer.normalised)))


def unrolled_deep(network) -> MoE:
    """Depth 2 L from depth L: every layer :func:`unrolled`."""
    if not isinstance(network, MoE):
        raise ValueError(f"network is {shown(network)}; it must be an MoE")
    return MoE(each for layer in network.layers for each in unrolled(layer).layers)


def merged(layer) -> MoELayer:
    """Shared experts within the routed ones: ``f_k + sum_j s_j``, widths added.

    Raises
    ------
    ValueError
        If weights of selected experts do not add up to 1 (normalised over all), or depths differ.
    """
    require_dense(layer)
    if layer.normalised != "selected":
        raise ValueError(f"normalised is {layer.normalised}; it must be selected: other weights do not add up to 1")
    depths = {len(network.weights) for network in (*layer.experts, *layer.shared)}
    if len(depths) > 1:
        raise ValueError(f"experts have {sorted(depths)} layers; they must all have one number, to be put side by side")
    return MoELayer(layer.gate, [added((*layer.shared, expert)) for expert in layer.experts], layer.top)


def added(networks) -> DenseNetwork:
    """The sum of dense networks of one depth, as one whose width is the sum of theirs.

    Raises
    ------
    ValueError
        If there is none, one is not dense, or their depths, inputs or outputs differ.
    """
    if not isinstance(networks, list | tuple) or not networks:
        raise ValueError(f"networks are {shown(networks)}; they must be a list of at least one")
    for network in networks:
        require_network(network, "a network")
    shapes = sorted({(len(each.weights), each.inputs, each.outputs) for each in networks})
    if len(shapes) > 1:
        raise ValueError(f"networks have (layers, inputs, outputs) {shapes}; they must all have the same")
    weights, biases = [], []
    last = len(networks[0].weights) - 1
    for depth in range(last + 1):
        matrices = [network.weights[depth] for network in networks]
        vectors = [np.zeros(len(network.weights[depth])) if network.biases[depth] is None else network.biases[depth]
                   for network in networks]
        if depth == last:
            weights.append(np.hstack(matrices) if last else sum(matrices))
            biases.append(sum(vectors))
            continue
        if depth:
            block = np.zeros((sum(map(len, matrices)), sum(matrix.shape[1] for matrix in matrices)))
            row = column = 0
            for matrix in matrices:
                block[row:row + len(matrix), column:column + matrix.shape[1]] = matrix
                row, column = row + len(matrix), column + matrix.shape[1]
        else:
            block = np.vstack(matrices)
        weights.append(block)
        biases.append(np.concatenate(vectors))
    return DenseNetwork(weights, biases)


def encoded(layer, encoder) -> MoELayer:
    """One layer R^D -> R^out that equals an affine encoder R^D -> R^d followed by a layer on R^d.

    Parameters
    ----------
    layer : MoELayer
        On R^d.
    encoder : DenseNetwork
        Of one linear map, with d outputs.
    """
    require_dense(layer)
    require_network(encoder, "encoder")
    if len(encoder.weights) != 1 or encoder.outputs != layer.inputs:
        raise ValueError(f"the encoder has {len(encoder.weights)} linear maps and {encoder.outputs} outputs; it must "
                         f"have 1 and {layer.inputs}, which the layer takes")
    return MoELayer(chained(encoder, layer.gate), [chained(encoder, expert) for expert in layer.experts], layer.top,
                    layer.normalised, [chained(encoder, expert) for expert in layer.shared])


def chained(first, second) -> DenseNetwork:
    """``second(first(x))``, the last linear map of one and the first of the other made one."""
    require_network(first, "the first network")
    require_network(second, "the second network")
    if first.outputs != second.inputs:
        raise ValueError(f"the first network has {first.outputs} outputs; it must have {second.inputs}, which the "
                         "second takes")
    joint = second.weights[0] @ first.weights[-1]
    bias = 0.0 if first.biases[-1] is None else second.weights[0] @ first.biases[-1]
    own = second.biases[0]
    bias = np.zeros(len(joint)) + bias + (0.0 if own is None else own)
    return DenseNetwork((*first.weights[:-1], joint, *second.weights[1:]),
                        (*first.biases[:-1], bias, *second.biases[1:]))


def repeated(layer, copies) -> MoELayer:
    """K copies of every expert and of its row in the gate, K selected, of a layer with K = 1.

    Parameters
    ----------
    layer : MoELayer
        top = 1.
    copies : int, >= 1
        K.
    """
    copies = positive(copies, "copies", MOST)
    require_dense(layer, experts=False)
    if layer.top != 1 or layer.normalised != "selected":
        raise ValueError(f"the layer has top = {layer.top}, normalised over {layer.normalised}; it must be 1 "
                         "and selected")
    last, bias = np.repeat(layer.gate.weights[-1], copies, axis=0), layer.gate.biases[-1]
    gate = DenseNetwork((*layer.gate.weights[:-1], last),
                        (*layer.gate.biases[:-1], None if bias is None else np.repeat(bias, copies)))
    return MoELayer(gate, [expert for expert in layer.experts for _ in range(copies)], copies, "selected", layer.shared)


def _hidden(gate):
    if len(gate.weights) == 1:
        return np.zeros((0, gate.inputs)), np.zeros(0)
    if len(gate.weights) != 2:
        raise ValueError(f"the gate has {shown(len(gate.weights))} layers; it must have 1 or 2")
    bias = gate.biases[0]
    return gate.weights[0], np.zeros(len(gate.weights[0])) if bias is None else bias
