r"""When SGD on batches, and gradient descent, are mean-square stable.

A batch of B inputs, drawn independently, moves the error by ``delta <- delta - h M (1/B) sum_j x_j x_j' delta`` plus
noise.  In the notation of :mod:`.network` its second moment obeys (derived; Feuer and Weinstein 1985 at B = 1)

    R <- R - h A R + h^2 [ (1/B) B R + (1 - 1/B) P R P ] + noise,      A R = P R + R P,

for two different inputs of a batch are independent and give ``P R P``.  As at B = 1 this contracts if and only if h
times the largest eigenvalue of ``A^{-1/2} [...] A^{-1/2}`` is below one.  For Gaussian inputs ``B R = 2 P R P + P
tr(P R)``, and with the eigenvalues ``D_j`` of P that eigenvalue is the largest of

    off the diagonal    (1 + 1/B) D_j D_k/(D_j + D_k),
    on it               those of  (1 + 1/B) diag(D_j)/2 + sqrt(D_j D_k)/(2 B),

which is at B = 1 the value of :func:`.network.critical_step`, and as B grows ``D_1/2``: gradient descent,
``h D_1 < 2``.  A full batch, each input once, is gradient descent on the training set whatever n.
"""

import math

import numpy as np
from scipy.sparse import linalg as sparse_linalg

from ..arguments import number, numbers, shown
from .network import critical_step

LARGEST_SQUARE = 2048
"""Largest matrix of pairs that is written out."""


def critical_batch_step(kernel, batch_size, inputs=None):
    """Effective step ``h = 2 c eta`` below which the error's second moment is stable, for a kernel held fixed.

    Parameters
    ----------
    kernel : array_like, shape (d, d)
        M, symmetric and positive semi-definite.
    batch_size : int or inf
        B >= 1, drawn with replacement; ``inf``: gradient descent.
    inputs : array_like, shape (n, d), optional
        Training set; default standard Gaussian inputs.

    Returns
    -------
    float
        Exact to rounding (for more than 2048 pairs of dimensions to 1e-9); ``inf`` where kernel or inputs vanish.

    Raises
    ------
    ValueError
        For a batch size that is neither an integer >= 1 nor inf; else as :func:`.network.critical_step`.
    """
    size = number(batch_size, "batch_size")
    if not (size >= 1 and (size == math.inf or size == int(size))):
        raise ValueError(f"batch_size is {shown(batch_size)}; it must be an integer >= 1 or inf")
    single = critical_step(kernel, inputs)
    if size == 1 or single == math.inf:
        return single
    kernel = numbers(kernel, "entries of the kernel")
    values, vectors = np.linalg.eigh(0.5 * (kernel + kernel.T))
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    if inputs is None:
        power, z = np.clip(values, 0.0, None), None
    else:
        z = numbers(inputs, "inputs") @ root
        power, axes = np.linalg.eigh(z.T @ z / len(z))
        z = z @ axes
    seen = power > 1e-12 * power[-1]
    power = power[seen]
    if size == math.inf:
        return 2.0 / float(power[-1])
    if z is None:
        scale = np.sqrt(power)
        largest = np.linalg.eigvalsh(np.diag((1 + 1 / size) * power / 2) + np.outer(scale, scale) / (2 * size))[-1]
        pairs = power[-2] * power[-1] / (power[-2] + power[-1]) if power.size > 1 else 0.0
        return 1.0 / float(max(largest, (1 + 1 / size) * pairs))
    return 1.0 / _largest(z[:, seen], power, size)


def _largest(z, power, size):
    """Largest eigenvalue for features z (n, d) of covariance ``diag(power)``."""
    j, k = np.triu_indices(power.size)
    independent = (1 - 1 / size) * power[j] * power[k] / (power[j] + power[k])
    weights = np.where(j == k, 1.0, math.sqrt(2.0)) / np.sqrt(power[j] + power[k])
    if j.size <= LARGEST_SQUARE:
        square = np.diag(independent)
        for part in np.array_split(z, max(1, len(z) * j.size // 10_000_000)):
            rows = part[:, j] * part[:, k] * weights
            square += rows.T @ rows / (len(z) * size)
        return float(np.linalg.eigvalsh(square)[-1])

    def apply(flat):
        seen = np.zeros_like(flat)
        for part in np.array_split(z, max(1, len(z) * j.size // 10_000_000)):
            rows = part[:, j] * part[:, k] * weights
            seen += rows.T @ (rows @ flat)
        return independent * flat + seen / (len(z) * size)

    operator = sparse_linalg.LinearOperator((j.size, j.size), matvec=apply, dtype=np.float64)
    start = np.where(j == k, np.sqrt(power[j]), 0.0)
    return float(sparse_linalg.eigsh(operator, k=1, which="LA", v0=start, tol=1e-9, return_eigenvectors=False)[0])
