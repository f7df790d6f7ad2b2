r"""Gradients of the two-layer attention model by hand: cross-entropy of the next token from the output at the end.

For :class:`theorycheck.theory.induction_heads.attention.TwoLayerAttention` without feed-forward network, whose output
at the last position are logits.  A head with attention w over keys h reads ``m = sum_s w_s h_s`` and brings ``O V m``;
from the gradient g by what it brings,

    dO = g (V m)',    dV = (O'g) m',    dm = V'O'g,
    dw_s = <dm, h_s>,    dlogit_s = w_s (dw_s - sum_f w_f dw_f),    dp = -sum_s dlogit_s (lag_s - 1),
    dq = sum_s dlogit_s k_s,    dk_s = dlogit_s q,    dh_s = w_s dm + K'dk_s (+ Q'dq at the query),

first for the second layer at the last position, then for the first layer at all positions.  The embedding stays fixed.
"""

import numpy as np

from ...theory.arguments import shown
from ...theory.induction_heads.attention import TwoLayerAttention, softmax

WEIGHTS = ("slopes", "query", "key", "value", "output")
"""Names of a layer's weights."""


def loss_and_gradient(model, tokens, following):
    """Mean cross-entropy over a batch and its gradient.

    Parameters
    ----------
    model : TwoLayerAttention
        Without feed-forward network; its output has one logit per state.
    tokens : array_like, shape (B, L, d)
    following : array_like of int, shape (B,)
        The states that came next.

    Returns
    -------
    loss : float
    first, second : dict of str to ndarray
        Gradients by ``slopes, query, key, value, output`` of either layer.

    Raises
    ------
    ValueError
        For another model, or shapes that do not fit.
    """
    if not isinstance(model, TwoLayerAttention) or model.feed_forward is not None:
        raise ValueError(f"model is {shown(model)}; it must be a TwoLayerAttention without feed-forward network")
    trace = model.trace(tokens)
    tokens, following = np.asarray(tokens, dtype=float), np.asarray(following)
    if trace.output.ndim != 2 or following.shape != trace.output.shape[:1]:
        raise ValueError(f"tokens and following have shapes {tokens.shape} and {following.shape}; they must be "
                         "(B, L, d) and (B,)")
    many = np.arange(len(following))
    upper = softmax(trace.output)
    loss = -np.log(upper[many, following]).mean()
    upper[many, following] -= 1.0
    upper /= len(following)
    second, lower = _last_position(model.second, trace, upper)
    first = _all_positions(model.first, trace, tokens @ model.embedding.T, lower)
    return float(loss), first, second


def _last_position(layer, trace, upper):
    """Gradients of the second layer (B, E) -> its weights and the residual stream (B, L, D)."""
    hidden, weights = trace.hidden, trace.second_weights
    lag = hidden.shape[1] - 1.0 - np.arange(hidden.shape[1])
    found = {name: np.zeros_like(getattr(layer, name)) for name in WEIGHTS}
    below = np.zeros_like(hidden)
    for head in range(layer.heads):
        w, query, key = weights[:, head], layer.query[head], layer.key[head]
        mean = (w[:, None, :] @ hidden)[:, 0]
        found["output"][head] = upper.T @ (mean @ layer.value[head].T)
        inner = upper @ layer.output[head]
        found["value"][head] = inner.T @ mean
        by_mean = inner @ layer.value[head]
        by_weight = (hidden @ by_mean[:, :, None])[:, :, 0]
        by_logit = w * (by_weight - np.sum(w * by_weight, axis=1, keepdims=True))
        found["slopes"][head] = -np.sum(by_logit * np.maximum(lag - 1.0, 0.0))
        last, keys = hidden[:, -1] @ query.T, hidden @ key.T
        by_query = (by_logit[:, None, :] @ keys)[:, 0]
        by_key = by_logit[:, :, None] * last[:, None, :]
        found["query"][head] = by_query.T @ hidden[:, -1]
        found["key"][head] = _over_positions(by_key, hidden)
        below += w[:, :, None] * by_mean[:, None, :] + by_key @ key
        below[:, -1] += by_query @ query
    return found, below


def _all_positions(layer, trace, embedded, upper):
    """Gradients of the first layer from that by what it adds to the residual stream (B, L, D)."""
    length = embedded.shape[1]
    lag = np.subtract.outer(np.arange(length), np.arange(length)) - 1.0
    found = {name: np.zeros_like(getattr(layer, name)) for name in WEIGHTS}
    matching = bool(layer.query.any() or layer.key.any())
    for head in range(layer.heads):
        w = trace.first_weights[:, head]
        mean = w @ embedded
        found["output"][head] = _over_positions(upper, mean @ layer.value[head].T)
        inner = upper @ layer.output[head]
        found["value"][head] = _over_positions(inner, mean)
        by_mean = inner @ layer.value[head]
        if not matching:   # all sequences share their attention, and nothing moves two matrices that are 0
            w = w[0]
            by_weight = np.tensordot(by_mean, embedded, axes=([0, 2], [0, 2]))
        else:
            by_weight = by_mean @ np.swapaxes(embedded, 1, 2)
        by_logit = w * (by_weight - np.sum(w * by_weight, axis=-1, keepdims=True))
        found["slopes"][head] = -np.sum(by_logit * np.maximum(lag, 0.0))
        if matching:
            queries, keys = embedded @ layer.query[head].T, embedded @ layer.key[head].T
            found["query"][head] = _over_positions(by_logit @ keys, embedded)
            found["key"][head] = _over_positions(np.swapaxes(by_logit, 1, 2) @ queries, embedded)
    return found


def _over_positions(left, right):
    """Sum of outer products over batch and positions."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])
