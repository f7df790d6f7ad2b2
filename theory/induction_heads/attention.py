r"""Two layers of multi-head attention with relative positions, their weights plain arrays.

The model of Wang, Yu, E and Wu (arXiv 2410.11474; reconstructed: its text was not at hand).  A token ``x_s`` in R^d at
position ``s = 1..L`` is embedded as ``h_s = W_E x_s`` in R^D.  A layer of H heads maps it to

    sum_h W_O^h W_V^h sum_j A^h(s, j) h_j,
    A^h(s, .) = softmax_j( <W_Q^h h_s, W_K^h h_j> + phi(s - j; p_h) ),
    phi(z; p) = -p (z - 1) for z >= 1,   -infinity for z <= 0        (Alibi type, strictly causal),

so a head without dot product (``W_Q = 0``) at s looks z tokens back with weight ``e^{-p(z-1)} / sum_f e^{-p(f-1)}``,
where f runs over the ``s - 1`` visible lags.  The first layer is added to the residual stream; so is the optional
feed-forward network ``F ReLU(G h + b)``.  The output is that of the second layer at the last position.

Conventions where the definition leaves them open: the first position sees nothing, and its layer gives 0 there; the
second layer has no residual; its keys start at position ``first_key`` (2 or later), because at the positions before,
the lag that the first layer is to fetch does not exist, and what it writes there is no predecessor.

Softmax is exact up to rounding (the largest logit of a row is taken out).
"""

from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown

LARGEST = 1e20
"""Bound on the moduli of tokens, weights and similarities: products of them stay within float64."""


def softmax(logits) -> np.ndarray:
    """Softmax over the last axis.

    Parameters
    ----------
    logits : array_like, shape (..., n)
        Finite or -infinity.

    Returns
    -------
    ndarray, shape (..., n)
        Sums to 1; a row without a finite logit is 0.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    logits = numbers(logits, "logits")
    if not logits.ndim or not (logits < np.inf).all():
        raise ValueError(f"logits are {shown(logits)}; they must be an array of numbers below infinity, none NaN")
    largest = logits.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(logits - np.where(np.isfinite(largest), largest, 0.0))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def position_bias(length, slopes) -> np.ndarray:
    """Relative-position logits ``phi(s - j; p)`` of every query s and key j.

    Parameters
    ----------
    length : int
        L >= 1.
    slopes : array_like, shape (...)
        p, per unit of lag; finite.

    Returns
    -------
    ndarray, shape (..., L, L)
        Row s, column j; -infinity on and above the diagonal.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    length, slopes = whole(length, "length", 1), limited(slopes, "slopes")
    lag = np.subtract.outer(np.arange(length), np.arange(length))
    bias = -np.multiply.outer(slopes, np.maximum(lag - 1.0, 0.0))
    return np.where(lag >= 1, bias, -np.inf)


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """Weights of H heads: ``W_Q``, ``W_K``, ``W_V``, ``W_O`` and the slopes of the relative positions.

    Parameters
    ----------
    slopes : array_like, shape (H,)
        ``p``; for p > 0 a head prefers what is near.
    query, key : array_like, shape (H, r, D)
        ``W_Q``, ``W_K``.
    value : array_like, shape (H, v, D)
        ``W_V``.
    output : array_like, shape (H, E, v)
        ``W_O`` by heads; E is the dimension of what the layer returns.

    Raises
    ------
    ValueError
        If shapes do not fit, there is no head, or a weight is not finite or above 1e20 in modulus.
    """

    slopes: np.ndarray
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    output: np.ndarray

    def __post_init__(self):
        dimensions = {"slopes": 1, "query": 3, "key": 3, "value": 3, "output": 3}
        for name, dimension in dimensions.items():
            object.__setattr__(self, name, _weights(getattr(self, name), name, dimension))
        heads = self.slopes.size
        if heads < 1:
            raise ValueError("the layer has 0 heads; it must have at least 1")
        rank, width, inner = self.query.shape[1], self.query.shape[2], self.value.shape[1]
        expected = {"query": (heads, rank, width), "key": (heads, rank, width), "value": (heads, inner, width),
                    "output": (heads, self.output.shape[1], inner)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}; it must be {shape} to fit the others")

    @property
    def heads(self) -> int:
        """H."""
        return self.slopes.size

    @property
    def width(self) -> int:
        """D, the dimension that the layer reads."""
        return self.query.shape[2]

    def weights(self, hidden, first_key=1) -> np.ndarray:
        """Attention ``A^h(s, j)`` at all positions.

        Parameters
        ----------
        hidden : array_like, shape (..., L, D)
        first_key : int
            Smallest position that is seen, 1..L.

        Returns
        -------
        ndarray, shape (..., H, L, L)
            Rows sum to 1, but for those that see nothing, which are 0.  Read-only where all sequences share it.

        Raises
        ------
        ValueError
            Out of these ranges, or if a number or a logit is not finite.
        """
        hidden, first_key = self._positions(hidden, first_key)
        length = hidden.shape[-2]
        bias = position_bias(length, self.slopes)
        bias[..., :first_key - 1] = -np.inf
        if not (self.query.any() and self.key.any()):
            return np.broadcast_to(softmax(bias), (*hidden.shape[:-2], self.heads, length, length))
        return softmax(self._match(hidden, hidden) + bias)

    def last_weights(self, hidden, first_key=1) -> np.ndarray:
        """Attention of the last position only, shape (..., H, L); arguments and refusals as for :meth:`weights`."""
        hidden, first_key = self._positions(hidden, first_key)
        bias = position_bias(hidden.shape[-2], self.slopes)[..., -1, :]
        bias[..., :first_key - 1] = -np.inf
        return softmax(self._match(hidden[..., -1:, :], hidden)[..., 0, :] + bias)

    def read(self, weights, hidden) -> np.ndarray:
        """What attention of given weights brings to each query.

        Parameters
        ----------
        weights : array_like, shape (..., H, Q, L)
        hidden : array_like, shape (..., L, D)

        Returns
        -------
        ndarray, shape (..., Q, E)

        Raises
        ------
        ValueError
            If shapes do not fit, or a number is not finite.
        """
        hidden, _ = self._positions(hidden, 1)
        weights = numbers(weights, "weights")
        if weights.ndim < 3 or weights.shape[-3] != self.heads or weights.shape[-1] != hidden.shape[-2]:
            expected = f"(..., {self.heads}, Q, {hidden.shape[-2]})"
            raise ValueError(f"weights have shape {weights.shape}; it must be {expected}")
        seen = np.matmul(weights, hidden[..., None, :, :])
        return np.einsum("hev,hvd,...hqd->...qe", self.output, self.value, seen, optimize=True)

    def _positions(self, hidden, first_key):
        hidden = numbers(hidden, "hidden numbers")
        if hidden.ndim < 2 or 0 in hidden.shape or hidden.shape[-1] != self.width or not np.isfinite(hidden).all():
            raise ValueError(f"hidden numbers have shape {hidden.shape}; it must be (..., L, {self.width}), none of "
                             "them 0, and they must be finite")
        if whole(first_key, "first_key", 1) > hidden.shape[-2]:
            raise ValueError(f"first_key is {first_key}; it must be at most {hidden.shape[-2]}, the positions")
        return hidden, int(first_key)

    def _match(self, queries, keys):
        query = np.einsum("hrd,...qd->...hqr", self.query, queries)
        key = np.einsum("hrd,...kd->...hrk", self.key, keys)
        return query @ key


@dataclass(frozen=True, eq=False)
class FeedForward:
    """A network of one hidden layer, ``h -> F ReLU(G h + b)``, at every position.

    Parameters
    ----------
    inward : array_like, shape (M, D)
        G.
    bias : array_like, shape (M,)
        b.
    outward : array_like, shape (D, M)
        F.

    Raises
    ------
    ValueError
        If shapes do not fit, or a weight is not finite or above 1e20 in modulus.
    """

    inward: np.ndarray
    bias: np.ndarray
    outward: np.ndarray

    def __post_init__(self):
        for name, dimension in {"inward": 2, "bias": 1, "outward": 2}.items():
            object.__setattr__(self, name, _weights(getattr(self, name), name, dimension))
        width, inner = self.inward.shape[1], self.inward.shape[0]
        for name, shape in {"bias": (inner,), "outward": (width, inner)}.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}; it must be {shape} to fit inward of "
                                 f"shape {self.inward.shape}")

    @property
    def neurons(self) -> int:
        """M."""
        return self.bias.size

    def __call__(self, hidden) -> np.ndarray:
        """Values at ``hidden``, finite and of shape (..., D); of the same shape.  Anything else: ValueError."""
        hidden = numbers(hidden, "hidden numbers")
        if not hidden.ndim or hidden.shape[-1] != self.inward.shape[1] or not np.isfinite(hidden).all():
            raise ValueError(f"hidden numbers have shape {hidden.shape}; it must be (..., {self.inward.shape[1]}), and "
                             "they must be finite")
        return np.maximum(hidden @ self.inward.T + self.bias, 0.0) @ self.outward.T


@dataclass(frozen=True, eq=False)
class Trace:
    """Everything a forward pass computed.

    Attributes
    ----------
    first_weights : ndarray, shape (..., H_1, L, L)
        Attention of the first layer: row s, column j.
    hidden : ndarray, shape (..., L, D)
        Residual stream that the second layer reads.
    second_weights : ndarray, shape (..., H_2, L)
        Attention of the second layer at the last position.
    output : ndarray, shape (..., E)
    """

    first_weights: np.ndarray
    hidden: np.ndarray
    second_weights: np.ndarray
    output: np.ndarray


@dataclass(frozen=True, eq=False)
class TwoLayerAttention:
    """The model: called on tokens of shape (..., L, d) it returns the output at the last position, shape (..., E).

    Parameters
    ----------
    embedding : array_like, shape (D, d)
        ``W_E``.
    first, second : AttentionLayer
        Both of width D; the first returns D numbers, the second E.
    feed_forward : FeedForward, optional
        Between the layers, of width D.
    first_key : int
        Smallest position that the second layer sees, >= 2.
    largest : float
        Above 0, at most 1e20: bound on the moduli of tokens, beyond which the model refuses them; 1 for a network that
        was fitted on [-1, 1].

    Raises
    ------
    ValueError
        If one of them is something else, or the parts do not fit together.
    """

    embedding: np.ndarray
    first: AttentionLayer
    second: AttentionLayer
    feed_forward: FeedForward | None = None
    first_key: int = 2
    largest: float = LARGEST

    def __post_init__(self):
        object.__setattr__(self, "embedding", _weights(self.embedding, "embedding", 2))
        object.__setattr__(self, "first_key", whole(self.first_key, "first_key", 2))
        for name, kind in {"first": AttentionLayer, "second": AttentionLayer, "feed_forward": FeedForward}.items():
            part = getattr(self, name)
            if not (isinstance(part, kind) or (part is None and kind is FeedForward)):
                raise ValueError(f"{name} is {shown(part)}; it must be of type {kind.__name__}")
        if not 0 < number(self.largest, "largest") <= LARGEST:
            raise ValueError(f"largest is {shown(self.largest)}; it must be above 0 and at most {LARGEST:g}")
        width = self.embedding.shape[0]
        found = {"first layer reads": self.first.width, "first layer returns": self.first.output.shape[1],
                 "second layer reads": self.second.width}
        if self.feed_forward is not None:
            found["feed-forward network reads"] = self.feed_forward.inward.shape[1]
        for name, size in found.items():
            if size != width:
                raise ValueError(f"the {name} {size} numbers; it must be {width}, as the embedding gives")

    @property
    def shortest(self) -> int:
        """Fewest tokens of a sequence: the last position must see one key."""
        return self.first_key + 1

    def __call__(self, tokens) -> np.ndarray:
        """The output at the last position; see :meth:`trace`."""
        return self.trace(tokens).output

    def trace(self, tokens) -> Trace:
        """Run the model and keep what both layers attended to.

        Parameters
        ----------
        tokens : array_like, shape (..., L, d)
            L at least ``shortest``; at most ``largest`` in modulus, up to rounding.

        Returns
        -------
        Trace

        Raises
        ------
        ValueError
            If the shape does not fit, or a token is out of range.
        """
        tokens = sequences(tokens, self.shortest, self.embedding.shape[1])
        reached = np.abs(tokens).max()
        if not reached <= self.largest * (1.0 + 1e-9):
            raise ValueError(f"tokens reach {reached:.4g}; this model is built for moduli of at most {self.largest:g}")
        embedded = tokens @ self.embedding.T
        first = self.first.weights(embedded)
        hidden = embedded + self.first.read(first, embedded)
        if self.feed_forward is not None:
            hidden = hidden + self.feed_forward(hidden)
        second = self.second.last_weights(hidden, self.first_key)
        output = self.second.read(second[..., None, :], hidden)[..., 0, :]
        return Trace(first, hidden, second, output)


def sequences(tokens, shortest, dimension=None) -> np.ndarray:
    """Tokens as float64.

    Parameters
    ----------
    tokens : array_like, shape (..., L, d)
        At most 1e20 in modulus.
    shortest : int
        Smallest L allowed.
    dimension : int, optional
        The d that is asked for.

    Raises
    ------
    ValueError
        If there are fewer axes, fewer or other tokens than that, or one is out of range.
    """
    tokens = numbers(tokens, "tokens")
    if tokens.ndim < 2 or 0 in tokens.shape:
        raise ValueError(f"tokens have shape {tokens.shape}; it must be (..., L, d), none of them 0")
    if tokens.shape[-2] < shortest:
        raise ValueError(f"tokens are {tokens.shape[-2]} in a sequence; there must be at least {shortest}")
    if dimension is not None and tokens.shape[-1] != dimension:
        raise ValueError(f"tokens have dimension {tokens.shape[-1]}; it must be {dimension}")
    return limited(tokens, "tokens")


def limited(values, name) -> np.ndarray:
    """Numbers as float64, refused by their name with a ValueError unless all are at most 1e20 in modulus."""
    values = numbers(values, name)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} hold NaN or infinity; they must be finite")
    if not (np.abs(values) <= LARGEST).all():
        raise ValueError(f"{name} reach {np.abs(values).max():.4g}; they must be at most {LARGEST:g} in modulus")
    return values


def whole(value, name, smallest) -> int:
    """An integer that is at least `smallest`; anything else is refused by its name with a ValueError."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < smallest:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer >= {smallest}")
    return int(value)


def _weights(values, name, dimension):
    array = numbers(values, name)
    if array.ndim != dimension:
        raise ValueError(f"{name} has {array.ndim} axes; it must have {dimension}")
    return limited(array, name)
