r"""What Algorithm 1 asks of the flat projector: it must not tilt into sharp directions, and must commute with F or H.

Model.  A quadratic of Hessian H, constant metric F, orthogonal projector Q on flat directions, ``S = I + (chi-1) Q``.
Algorithm 1 (arXiv 2602.22681) iterates

    m_k = theta m_{k-1} + H w_k ,    w_{k+1} = w_k - eta [S F^{-1} m_k + ((I-Q) beta_1 + chi Q beta_2) F^{-1} H w_k] ,

whose spectral radius is that of the 2n x 2n matrix of :func:`iteration_matrix`.  With equal dampings the eigenvalues of
the *drift* ``S F^{-1} H`` take the part of ``lambda`` in :mod:`.modes`.  Derived:

- If Q commutes with F or with H, the drift is similar to a symmetric positive matrix.  So it is for every Q with
  ``F^{-1/2} S F^{-1/2} H`` in its place, which is the same if Q and F commute.
- Otherwise the drift is a product of three positive matrices, of condition numbers ``chi``, ``kappa(F)``, ``kappa(H)``,
  and may have eigenvalues of negative real part.  No learning rate, momentum or damping ``beta >= 0`` is stable then:
  the boundary ``{-(z-1)(z-theta)/((1+beta) z - theta beta) : |z| = 1}`` of the steps that are stable has

      Re s |(1+beta) z - theta beta|^2 = (1 - Re z) [1 + theta + beta |z - theta|^2] >= 0 .

- In any dimension an eigenvalue's angle ``psi = arg lambda`` is bounded.  If x is an eigenvector, ``y = H x``,
  ``z = F^{-1} y`` and ``S z = lambda x``, then ``<x,y>``, ``<y,z>`` and ``<z,lambda x>`` are positive, with cosines
  ``c >= sqrt(1 - a^2)``, ``a = (kappa-1)/(kappa+1)`` (Kantorovich).  The Gram determinant of x, y, z is not negative,

      1 - c_S^2 - c_F^2 - c_H^2 + 2 c_S c_F c_H cos psi >= 0 ,

  so that ``Re lambda <= 0`` needs ``c_S^2 + c_F^2 + c_H^2 <= 1``, which is ``a_S^2 + a_F^2 + a_H^2 >= 2`` or
  ``chi >= (1 + r)/(1 - r)`` with ``r^2 = 2 - a_F^2 - a_H^2 < 1``.  Orientations in the plane already get there.
- In the plane with ``Q = q q^T`` it happens iff ``chi > 1 - tr(F^{-1} H)/(q^T F^{-1} H q)``, that denominator being
  negative.
- Dampings that differ count as gain: for ``eta -> 0`` the buffer is ``g/alpha``, and the drift has the gain
  ``chi (1 + alpha beta_2)/(1 + alpha beta_1)``, so that a flat damping can make the algorithm diverge at ``chi = 1``.
- For F = I a projector tilted by ``phi`` from a flat direction (curvature l) to a sharp one (curvature L) only lowers
  the stability limit: the larger eigenvalue T of the drift has ``T -> L (1 + (chi-1) sin^2 phi)`` for l -> 0.
"""


import numpy as np

from ..arguments import number, numbers, shown
from .modes import largest_step
from .ranges import require


def drift(hessian, inverse_metric, projector, gain):
    """``S F^{-1} H``.

    Parameters
    ----------
    hessian, inverse_metric, projector : array_like, shape (..., n, n)
        H and ``F^{-1}`` symmetric positive, Q an orthogonal projector.
    gain : array_like
        ``chi`` >= 1, of the leading shape.

    Returns
    -------
    ndarray, shape (..., n, n)
    """
    H, G, Q, chi = _checked(hessian, inverse_metric, projector, gain)
    return (np.eye(H.shape[-1]) + (chi - 1.0)[..., None, None] * Q) @ G @ H


def symmetrised_drift(hessian, inverse_metric, projector, gain):
    """``F^{-1/2} S F^{-1/2} H``, stable for small learning rates whatever Q; arguments as for :func:`drift`."""
    H, G, Q, chi = _checked(hessian, inverse_metric, projector, gain)
    values, vectors = np.linalg.eigh(G)
    root = (vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return root @ (np.eye(H.shape[-1]) + (chi - 1.0)[..., None, None] * Q) @ root @ H


def iteration_matrix(hessian, inverse_metric, projector, rate, momentum, gain=1.0, sharp_damping=0.0, flat_damping=0.0):
    """Algorithm 1 on a quadratic as one matrix that takes ``(w_k, m_{k-1})`` to ``(w_{k+1}, m_k)``.

    Parameters
    ----------
    hessian, inverse_metric, projector : array_like, shape (n, n)
        As for :func:`drift`; they need not commute.
    rate, momentum : float
        ``eta`` > 0 and ``theta`` in [0, 1).
    gain, sharp_damping, flat_damping : float
        ``chi`` >= 1, ``beta_1`` and ``beta_2``.

    Returns
    -------
    ndarray, shape (2n, 2n)
    """
    chi, sharp, flat = number(gain, "chi"), number(sharp_damping, "damping"), number(flat_damping, "damping")
    H, G, Q, chi = _checked(hessian, inverse_metric, projector, chi)
    eta, theta = number(rate, "learning rate"), number(momentum, "momentum")
    require(0 < eta < np.inf, eta, "learning rate", "it must be > 0 and finite")
    require(0 <= theta < 1, theta, "momentum", "it must be in [0, 1)")
    require(np.isfinite([sharp, flat]), [sharp, flat], "damping", "it must be finite")
    one = np.eye(H.shape[-1])
    buffer = eta * (one + (chi - 1.0) * Q) @ G
    direct = eta * (sharp * (one - Q) + chi * flat * Q) @ G
    return np.block([[one - (buffer + direct) @ H, -theta * buffer], [H, theta * one]])


def spectral_radius(matrix):
    """Largest modulus of the eigenvalues, shape (...,) for matrices of shape (..., n, n)."""
    return np.abs(np.linalg.eigvals(matrix)).max(axis=-1)


def plane_matrix(condition, angle):
    """Symmetric 2 x 2 matrix with eigenvalues 1, at the angle (radians) from the first axis, and ``1/condition``.

    Parameters
    ----------
    condition, angle : array_like
        ``kappa >= 1``.

    Returns
    -------
    ndarray, shape (..., 2, 2)
    """
    kappa, angle = np.broadcast_arrays(numbers(condition, "conditions"), numbers(angle, "angles"))
    require(kappa >= 1, kappa, "condition", "it must be >= 1")
    mean, half = 0.5 * (1.0 + 1.0 / kappa), 0.5 * (1.0 - 1.0 / kappa)
    cosine, sine = half * np.cos(2.0 * angle), half * np.sin(2.0 * angle)
    return np.stack([np.stack([mean + cosine, sine], -1), np.stack([sine, mean - cosine], -1)], -2)


def critical_gain(hessian, inverse_metric, direction):
    """Gain ``chi`` above which LITE with ``Q = q q^T`` diverges in the plane for every learning rate.

    Parameters
    ----------
    hessian, inverse_metric : array_like, shape (..., 2, 2)
        H and ``F^{-1}``, symmetric positive.
    direction : array_like, shape (..., 2)
        q, of length 1.

    Returns
    -------
    ndarray or float
        ``1 - tr(F^{-1}H)/(q^T F^{-1} H q)``; ``inf`` if no gain makes it diverge.
    """
    H, G, q = (numbers(each, "matrices") for each in (hessian, inverse_metric, direction))
    if H.shape[-2:] != (2, 2) or G.shape[-2:] != (2, 2) or q.shape[-1:] != (2,):
        raise ValueError(f"shapes are {H.shape}, {G.shape} and {q.shape}; they must be (..., 2, 2) twice and (..., 2)")
    _require_positive(hessian=H, inverse_metric=G)
    length = np.linalg.norm(q, axis=-1)
    require(np.abs(length - 1.0) <= 1e-9, length, "length of the direction", "it must be 1")
    product = G @ H
    along = np.einsum("...i,...ij,...j->...", q, product, q)
    trace = np.trace(product, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore"):
        return np.where(along < 0, 1.0 - trace / along, np.inf)[()]


def least_critical_gain(metric_condition, hessian_condition):
    """The smallest of them over all orientations; below it no projector makes LITE diverge, in any dimension.

    Parameters
    ----------
    metric_condition, hessian_condition : array_like
        ``kappa(F)``, ``kappa(H)`` >= 1.

    Returns
    -------
    ndarray or float
        ``(1 + r)/(1 - r)`` with ``r^2 = 4 kappa_F/(1 + kappa_F)^2 + 4 kappa_H/(1 + kappa_H)^2``; ``inf`` if r >= 1.
    """
    parts = []
    for values in (metric_condition, hessian_condition):
        kappa = numbers(values, "conditions")
        require(kappa >= 1, kappa, "condition", "it must be >= 1")
        parts.append(4.0 * kappa / (1.0 + kappa) ** 2)
    r = np.sqrt(parts[0] + parts[1])
    with np.errstate(divide="ignore"):
        return np.where(r < 1, (1.0 + r) / (1.0 - r), np.inf)[()]


def least_cosine(gain, metric_condition, hessian_condition):
    """Lower bound on ``Re lambda/|lambda|`` of the drift's eigenvalues, for any orientation in any dimension.

    Parameters
    ----------
    gain, metric_condition, hessian_condition : array_like
        ``chi``, ``kappa(F)``, ``kappa(H)`` >= 1.

    Returns
    -------
    ndarray or float
        ``(c_S^2 + c_F^2 + c_H^2 - 1)/(2 c_S c_F c_H)`` with ``c = 2 sqrt(kappa)/(1 + kappa)``; where one cosine is so
        small that a larger one gives less, the least of the expression over cosines from there up.
    """
    squares = []
    for values in (gain, metric_condition, hessian_condition):
        kappa = numbers(values, "conditions")
        require((kappa >= 1) & np.isfinite(kappa), kappa, "condition", "it must be >= 1 and finite")
        squares.append(4.0 * kappa / (1.0 + kappa) ** 2)
    small, middle, large = np.sort(np.stack(np.broadcast_arrays(*squares)), axis=0)
    small = np.maximum(small, middle + large - 1.0)
    return ((small + middle + large - 1.0) / (2.0 * np.sqrt(small * middle * large)))[()]


def tilted_curvature(sharp, flat, gain, tilt):
    """Larger eigenvalue of the drift for F = I and a projector tilted towards the sharp direction.

    Parameters
    ----------
    sharp, flat : array_like
        Curvatures ``L >= l >= 0``.
    gain : array_like
        ``chi`` >= 1.
    tilt : array_like
        Angle ``phi`` in radians between Q's direction and the flat one.

    Returns
    -------
    ndarray or float
        ``L (1 + (chi-1) sin^2 phi)`` at l = 0.
    """
    L, l, chi = numbers(sharp, "curvatures"), numbers(flat, "curvatures"), numbers(gain, "gains")
    require((l >= 0) & (l <= L), l, "flat curvature", "it must be in [0, sharp curvature]")
    require(chi >= 1, chi, "chi", "it must be >= 1")
    tilt = numbers(tilt, "tilts")
    require(np.isfinite(tilt), tilt, "tilt", "it must be finite")
    sine = np.sin(tilt)
    half = 0.5 * (L * (1.0 + (chi - 1.0) * sine**2) + l * (chi - (chi - 1.0) * sine**2))
    return (half + np.sqrt(np.maximum(half * half - chi * L * l, 0.0)))[()]


def largest_tilted_rate(sharp, flat, gain, tilt, momentum, damping=0.0):
    """Stability limit of the learning rate under a tilted projector, :func:`tilted_curvature` in ``s < s_max``."""
    return largest_step(momentum, damping) / tilted_curvature(sharp, flat, gain, tilt)


def _require_symmetric(name, matrix):
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} has an entry that is not finite; all must be")
    if not np.allclose(matrix, np.swapaxes(matrix, -1, -2), rtol=1e-10, atol=1e-12):
        raise ValueError(f"{name} is not symmetric; it must be, to 1e-10")


def _require_positive(**matrices):
    for key, matrix in matrices.items():
        name = key.replace("_", " ")
        _require_symmetric(name, matrix)
        least = np.linalg.eigvalsh(matrix)[..., 0].min()
        if not least > 0:
            raise ValueError(f"{name} has the eigenvalue {least:.3g}; all must be > 0, a singular one has no inverse")


def _checked(hessian, inverse_metric, projector, gain):
    H, G, Q = (numbers(each, "matrices") for each in (hessian, inverse_metric, projector))
    chi = numbers(gain, "gains")
    require((chi >= 1) & np.isfinite(chi), chi, "chi", "it must be >= 1 and finite")
    for name, matrix in (("hessian", H), ("inverse metric", G), ("projector", Q)):
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] != H.shape[-1]:
            raise ValueError(f"{name} has shape {shown(matrix.shape)}; all must be (..., n, n) with one n")
    _require_symmetric("projector", Q)
    _require_positive(hessian=H, inverse_metric=G)
    if not np.allclose(Q @ Q, Q, rtol=0, atol=1e-9):
        raise ValueError(f"projector differs from its square by {np.abs(Q @ Q - Q).max():.2g}; it must be 0, to 1e-9")
    return H, G, Q, chi


