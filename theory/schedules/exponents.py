r"""Exponents of optimal schedules, and the dictionary between the papers that name them differently.

Eigenvalues ``lambda_j`` and energies ``lambda_j theta_j^2`` of power-law regression:

    this toolkit (s, beta)                      lambda_j = j^-beta        energy = j^{-(1 + s beta)}
    Bordelon & Mori, arXiv 2602.04774 (a, b)    lambda_k = k^-b           energy = k^-a
    Wang, Liu & Chen, arXiv 2609.40148          lambda_j = j^{-2 alpha}   energy = j^{-2 alpha - 2 beta'}

    beta = b = 2 alpha ,     1 + s beta = a = 2 alpha + 2 beta' ,     p = s beta = a - 1 ,     q_K = 2 - 1/beta .

Easy (``s > 1-1/beta``) is ``a > b`` is ``beta' > 0``.  All powers below are of a budget D (samples) or N (steps at a
fixed batch size), D -> infinity, at the best schedule of :mod:`.variational`; ``~`` without logarithms.  Derived there.

"The" decay fraction of the hard regime has two exponents that must be kept apart: that of the exact optimum,
``-(q-s)/(1+q)`` (:attr:`Powers.decay_fraction`), and that of the shortest decay which still attains the rate ``D^-s``,
``-(q-s)/q`` (:attr:`Powers.sufficient_fraction`), q = 1 - 1/beta.
"""

import math
from dataclasses import dataclass

from .power_law import above, not_negative


@dataclass(frozen=True)
class Powers:
    """Powers of the budget that the optimum follows.

    Attributes
    ----------
    regime : {"easy", "boundary", "hard"}
    loss, horizon : float
        E and T.
    first_ratio, last_ratio : float
        ``r = B/eta`` at the start and at the end.
    peak_rate : float
        Largest learning rate at a fixed batch size, ``-nu``.
    decay_fraction, sufficient_fraction : float
        Share of the data in the decay: of the exact optimum, and what suffices for the rate; both 0 where the share
        tends to a constant (easy: all of it is decay).
    noise_over_signal : float
        0 where the ratio tends to a constant (``s beta``, easy), negative where it vanishes.
    """

    regime: str
    loss: float
    horizon: float
    first_ratio: float
    last_ratio: float
    peak_rate: float
    decay_fraction: float
    sufficient_fraction: float
    noise_over_signal: float


def regime(source, capacity):
    """``"easy"``, ``"boundary"`` (to 1e-12) or ``"hard"``, by s against ``1 - 1/beta``."""
    s, beta = _checked(source, capacity)
    edge = 1.0 - 1.0 / beta
    if math.isclose(s, edge, rel_tol=1e-12):
        return "boundary"
    return "easy" if s > edge else "hard"


def optimum_powers(source, capacity):
    """Powers of the best schedule, a floor ``r_min > 0`` being there, as :class:`Powers`.

    At the boundary both branches agree, and constants decide whether the floor binds (:func:`boundary_floor`).
    """
    s, beta = _checked(source, capacity)
    kind, q = regime(s, beta), 1.0 - 1.0 / beta
    if kind == "hard":
        lag = (q - s) / (1.0 + q)
        return Powers(kind, -s, 1.0, 0.0, 0.5 * (1.0 + s), 0.0, -lag, -(q - s) / q, -lag)
    rate = 1.0 + s * beta
    return Powers(kind, -s * beta / rate, beta / rate, (rate - beta) / rate, (0.5 + s * beta) / rate,
                  -(rate - beta) / rate, 0.0, 0.0, 0.0)


def peak_power(source, capacity):
    """``nu = max{0, (s - 1 + 1/beta)/(s + 1/beta)}``: the best peak learning rate falls like ``N^-nu``."""
    s, beta = _checked(source, capacity)
    return max(0.0, (s - 1.0 + 1.0 / beta) / (s + 1.0 / beta))


def boundary_floor(capacity, noise=1.0, signal_scale=1.0, kernel_scale=1.0):
    """Floor ``2 beta sigma^2 A_K/((beta-1) A_e)`` above which it binds at ``s = 1-1/beta``, D -> infinity."""
    beta, sigma = above(capacity, "capacity", 1.0), above(noise, "noise", 0.0)
    return 2.0 * beta / (beta - 1.0) * sigma**2 * kernel_scale / signal_scale


def constant_power(source):
    """Loss of the best constant rate: ``-s/(1+s)``."""
    s = above(source, "source", 0.0)
    return -s / (1.0 + s)


def switch_power(source, capacity):
    """Data after the best single switch: ``beta (1+s)/(2 beta-1)`` where the task is hard, 1 where it is not."""
    s, beta = _checked(source, capacity)
    return beta * (1.0 + s) / (2.0 * beta - 1.0) if regime(s, beta) == "hard" else 1.0


def shape_powers(source, capacity, tail):
    """Loss and best peak rate of a shape that ends like ``(1 - z/N)^tail``, as powers of N; ``(loss, peak)``.

    The shape sees the capacity ``alpha = min{beta, tail + 1}`` (a logarithm apart at ``beta = tail + 1``).
    """
    s, beta = _checked(source, capacity)
    alpha = min(beta, 1.0 + not_negative(tail, "tail"))
    if alpha > 1 and regime(s, alpha) == "hard":
        return -s, 0.0
    rate = 1.0 + s * alpha
    return -s * alpha / rate, -(rate - alpha) / rate


def compute_power(source, capacity):
    """Loss against compute ``C = M D``, best width M: ``-s beta/(2 + s beta)`` easy, ``-s beta/(1 + beta)`` hard."""
    s, beta = _checked(source, capacity)
    return -s * beta / (1.0 + beta if regime(s, beta) == "hard" else 2.0 + s * beta)


def from_energy(a, b):
    """``(source, capacity)`` of Bordelon & Mori's energy ``k^-a`` (a > 1) and eigenvalues ``k^-b`` (b > 1)."""
    a, b = above(a, "a", 1.0), above(b, "b", 1.0)
    return (a - 1.0) / b, b


def to_energy(source, capacity):
    """``(a, b)`` of Bordelon & Mori."""
    s, beta = _checked(source, capacity)
    return 1.0 + s * beta, beta


def from_joint(alpha, smoothness):
    """``(source, capacity)`` of Wang, Liu & Chen's ``alpha > 1/2`` and ``beta'`` with ``2 alpha + 2 beta' > 1``."""
    alpha = above(alpha, "alpha", 0.5)
    smoothness = above(smoothness, "smoothness", 0.5 - alpha)
    return (2.0 * (alpha + smoothness) - 1.0) / (2.0 * alpha), 2.0 * alpha


def to_joint(source, capacity):
    """``(alpha, beta')`` of Wang, Liu & Chen."""
    s, beta = _checked(source, capacity)
    return 0.5 * beta, 0.5 * (1.0 + s * beta - beta)


def energy_rate(a, b):
    """Loss of the best schedule as Bordelon & Mori write it: ``-(a-1)/a`` for ``a > b``, ``-(a-1)/b`` for ``a < b``."""
    a, b = above(a, "a", 1.0), above(b, "b", 1.0)
    return -(a - 1.0) / (a if a >= b else b)


def joint_rate(alpha, smoothness):
    """Loss as Wang, Liu & Chen write it: ``-p/(1+p)`` for ``beta' > 0``, else ``-p/(2 alpha)``."""
    alpha = above(alpha, "alpha", 0.5)
    p = 2.0 * alpha + 2.0 * above(smoothness, "smoothness", 0.5 - alpha) - 1.0
    return -p / (1.0 + p if smoothness >= 0 else 2.0 * alpha)


def _checked(source, capacity):
    return above(source, "source", 0.0), above(capacity, "capacity", 1.0)
