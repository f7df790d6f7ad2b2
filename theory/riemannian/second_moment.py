r"""Second moments of a mode under sampled gradients: additive noise and noise in the curvature, exact (derived).

Along an eigenvector the gradient of a batch of b samples is ``g_k = G_k w_k + x_k`` with independent

    E G = lambda,   Var G = (rho lambda)^2/b,      E x = 0,   Var x = sigma^2/b,

and Algorithm 1 of LITE (arXiv 2602.22681) does ``m' = theta m + g``, ``w' = w - e (m' + beta g)``, ``e = eta chi/f``.
Since ``G_k`` and ``x_k`` are independent of ``(w_k, m)``, ``z = (E w^2, E w m, E m^2)`` obeys a linear recursion
``z' = A z + c``: with ``B = 1 + beta``, ``L = E G^2 = lambda^2 (1 + rho^2/b)``

        | 1 - 2 e B lambda + e^2 B^2 L    -2 e theta (1 - e B lambda)      e^2 theta^2 |          sigma^2 |  e^2 B^2 |
    A = | lambda - e B L                  theta (1 - e (B + 1) lambda)     -e theta^2  | ,    c = ------- | -e B     |
        | L                               2 theta lambda                   theta^2     |             b    |  1       |

The noise in the curvature acts like additive noise of variance ``(rho lambda)^2 E w^2/b``.  So with ``N(s)`` the
variance that unit noise leaves at lambda = 1 (:func:`.modes.noise_floor`, s = e lambda)

    E w^2 -> (sigma/lambda)^2 N(s)/(b - rho^2 N(s)),      and a batch is large enough iff  b > rho^2 N(s),

which is the condition that the spectral radius of A is below 1, provided ``s < s_max``.
"""

import numpy as np

from ..arguments import number, numbers
from .modes import noise_floor


def second_moment_map(rate, curvature, momentum, damping=0.0, noise=0.0, curvature_noise=0.0, batch_size=1.0):
    """``A`` and ``c`` of the recursion.

    Parameters
    ----------
    rate : array_like
        e >= 0.
    curvature : array_like
        lambda.
    momentum, damping : array_like
        theta in [0, 1) and beta.
    noise, curvature_noise : array_like
        sigma, rho >= 0.
    batch_size : array_like
        b > 0.

    Returns
    -------
    A : ndarray, shape (..., 3, 3)
    c : ndarray, shape (..., 3)
    """
    e, lam, theta, beta, sigma, rho, b = np.broadcast_arrays(*(numbers(each, name) for each, name in (
        (rate, "rates"), (curvature, "curvatures"), (momentum, "momenta"), (damping, "dampings"), (noise, "noises"),
        (curvature_noise, "curvature noises"), (batch_size, "batch sizes"))))
    if not (b > 0).all():
        raise ValueError(f"batch size is {b.min():g}; it must be > 0")
    pull, square = e * (1.0 + beta), lam**2 * (1.0 + rho**2 / b)
    matrix = np.stack([
        np.stack([1.0 - 2.0 * pull * lam + pull**2 * square, -2.0 * e * theta * (1.0 - pull * lam),
                  (e * theta) ** 2], axis=-1),
        np.stack([lam - pull * square, theta * (1.0 - (pull + e) * lam), -e * theta**2], axis=-1),
        np.stack([square, 2.0 * theta * lam, theta**2], axis=-1)], axis=-2)
    return matrix, (sigma**2 / b)[..., None] * np.stack([pull**2, -pull, np.ones_like(pull)], axis=-1)


def second_moments(rates, curvature, momentum, damping=0.0, noise=0.0, curvature_noise=0.0, batch_size=1.0,
                   start=0.0):
    """``E w^2`` before the first and after every step, from a certain ``w_0`` and an empty buffer.

    Parameters
    ----------
    rates : array_like, shape (K, ...)
        e of every step.
    curvature, momentum, damping, noise, curvature_noise, batch_size
        See :func:`second_moment_map`; they broadcast with a rate of one step.
    start : array_like
        ``w_0``.

    Returns
    -------
    ndarray, shape (K + 1, ...)
    """
    rates = numbers(rates, "rates")
    fixed = (curvature, momentum, damping, noise, curvature_noise, batch_size)
    shape = np.broadcast_shapes(rates.shape[1:], np.shape(start), *(np.shape(each) for each in fixed))
    state, found = np.zeros((*shape, 3)), np.empty((len(rates) + 1, *shape))
    state[..., 0] = np.square(numbers(start, "starting values"))
    found[0] = state[..., 0]
    for k, rate in enumerate(rates):
        matrix, forcing = second_moment_map(np.broadcast_to(rate, shape), *fixed)
        state = np.einsum("...ij,...j->...i", matrix, state) + forcing
        found[k + 1] = state[..., 0]
    return found


def least_batch_size(step, momentum, damping=0.0, curvature_noise=1.0):
    """``rho^2 N(s)``: the second moment is stable for larger batches only.

    Parameters
    ----------
    step : array_like
        s, stable in the mean.
    momentum, damping : array_like
        theta in [0, 1) and beta.
    curvature_noise : array_like
        rho >= 0.
    """
    return numbers(curvature_noise, "curvature noises") ** 2 * noise_floor(step, momentum, damping)


def stationary_variance(step, momentum, damping=0.0, curvature=1.0, noise=1.0, curvature_noise=0.0, batch_size=1.0):
    """The limit of ``E w^2``.

    Parameters
    ----------
    step, momentum, damping, curvature_noise
        See :func:`least_batch_size`.
    curvature, noise : array_like
        lambda > 0 and sigma.
    batch_size : float
        b.

    Raises
    ------
    ValueError
        For an unstable step, or a batch that is too small, with the bound.
    """
    b = number(batch_size, "batch_size")
    least = least_batch_size(step, momentum, damping, curvature_noise)
    if not b > np.max(least):
        raise ValueError(f"batch_size is {b:g}; it must be > {np.max(least):.6g}, or the second moment is unstable")
    return noise_floor(step, momentum, damping, curvature, noise) / (b - least)
