r"""What an induction head computes: continuations of the places in the context that look like its end.

For tokens ``X = (x_1, ..., x_L)`` in R^d the three targets of arXiv 2410.11474 (reconstructed), all of the form

    sum_{s=n}^{L-1}  softmax_s( similarity(q, k_s) ) x_s ,
    q = (x_{L-n+2}, ..., x_L),   k_s = (x_{s-n+1}, ..., x_{s-1}),

are

    IH_2    n = 2,    similarity x_L^T W x_{s-1}            (an in-context 2-gram)
    IH_n    n >= 2,   similarity q^T W k_s                  (an in-context n-gram)
    GIH_n   n >= 2,   similarity g(q, k_s), any g .

The patches q and ``k_s`` are stacked to vectors of (n-1) d numbers, oldest token first, and W is (n-1)d x (n-1)d.
The softmax runs over s: what comes out is the average of *all* continuations of similar contexts, not the commonest.
"""

import numpy as np

from ..arguments import numbers, shown
from .attention import limited, sequences, softmax, whole


def patches(tokens, n) -> np.ndarray:
    """All runs of n - 1 consecutive tokens, stacked.

    Parameters
    ----------
    tokens : array_like, shape (..., L, d)
        L >= n + 1.
    n : int
        At least 2.

    Returns
    -------
    ndarray, shape (..., L-n+2, (n-1) d)
        Entry i holds ``(x_{i+1}, ..., x_{i+n-1})``: the last one is the query, those before but for the one next to it
        are the keys of ``s = n..L-1``.

    Raises
    ------
    ValueError
        If n < 2 or the sequence is shorter than n + 1 tokens.
    """
    n = whole(n, "n", 2)
    tokens = sequences(tokens, n + 1)
    length = tokens.shape[-2]
    runs = [tokens[..., lag:length - n + 2 + lag, :] for lag in range(n - 1)]
    return np.concatenate(runs, axis=-1)


def induction_weights(tokens, similarity, n) -> np.ndarray:
    """How much each continuation counts: ``softmax_s(similarity(q, k_s))``, s = n..L-1.

    Parameters
    ----------
    tokens : array_like, shape (..., L, d)
        L >= n + 1.
    similarity : array_like, shape ((n-1) d, (n-1) d), or callable
        W, or g: called with q of shape (..., 1, (n-1) d) and the keys, shape (..., L-n, (n-1) d), it returns logits
        that broadcast to (..., L-n).
    n : int
        At least 2.

    Returns
    -------
    ndarray, shape (..., L-n)

    Raises
    ------
    ValueError
        If shapes do not fit, the sequence is too short, or a logit is not finite.
    """
    stacked = patches(tokens, n)
    query, keys = stacked[..., -1:, :], stacked[..., :-2, :]
    if callable(similarity):
        logits = evaluated(similarity, query, keys, keys.shape[:-1])
    else:
        logits = (query @ similarity_matrix(similarity, keys.shape[-1]) * keys).sum(axis=-1)
    return softmax(logits)


def bigram_induction(tokens, similarity) -> np.ndarray:
    """``IH_2``, shape (..., d): :func:`ngram_induction` with n = 2."""
    return ngram_induction(tokens, similarity, 2)


def ngram_induction(tokens, similarity, n) -> np.ndarray:
    """``IH_n``.

    Parameters
    ----------
    tokens : array_like, shape (..., L, d)
        L >= n + 1.
    similarity : array_like, shape ((n-1) d, (n-1) d)
        W.
    n : int
        At least 2.

    Returns
    -------
    ndarray, shape (..., d)

    Raises
    ------
    ValueError
        As :func:`induction_weights`.
    """
    return generic_induction(tokens, similarity, n)


def generic_induction(tokens, similarity, n) -> np.ndarray:
    """``GIH_n``, shape (..., d): continuations averaged with :func:`induction_weights`, whose parameters it takes."""
    weights = induction_weights(tokens, similarity, n)
    values = numbers(tokens, "tokens")[..., n - 1:-1, :]
    return (weights[..., None, :] @ values)[..., 0, :]


def evaluated(similarity, query, key, shape) -> np.ndarray:
    """``g(q, k)`` in the shape that the patches have.

    Parameters
    ----------
    similarity : callable
        g, as in :func:`induction_weights`.
    query, key : ndarray, shapes (..., m)
        Patches that broadcast.
    shape : tuple of int
        What their first axes broadcast to.

    Returns
    -------
    ndarray
        Of that shape.

    Raises
    ------
    ValueError
        If g is no function, its shape does not broadcast to that, or a value is not finite.
    """
    if not callable(similarity):
        raise ValueError(f"similarity is {shown(similarity)}; it must be a function of two patches")
    found = numbers(similarity(query, key), "similarities")
    if found.ndim > len(shape) or any(have not in (1, want) for have, want in zip(found.shape[::-1], shape[::-1])):
        raise ValueError(f"similarities have shape {found.shape}; it must broadcast to {shape}, as the patches do")
    if not np.isfinite(found).all():
        raise ValueError("similarities hold NaN or infinity; they must be finite")
    return np.broadcast_to(found, shape)


def similarity_matrix(values, size) -> np.ndarray:
    """W as float64.

    Parameters
    ----------
    values : array_like, shape (size, size)
        At most 1e20 in modulus.
    size : int
        (n-1) d >= 1.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    size, matrix = whole(size, "size", 1), numbers(values, "similarities")
    if matrix.shape != (size, size):
        raise ValueError(f"similarity has shape {matrix.shape}; it must be {(size, size)}: patches of n - 1 tokens")
    return limited(matrix, "similarities")
