r"""Gates that send every point to a chart that contains it.

*Balls.*  The affine gate ``g_i(x) = 2 <c_i, x> - |c_i|^2 + r_i^2`` is ``r_i^2 - |x - c_i|^2`` plus ``|x|^2``, which all
experts share.  So its cells are those of the power diagram of the balls B(c_i, r_i), and a point in the union of the
balls is in the ball of its winner: the largest ``r_i^2 - |x - c_i|^2`` is positive if one is.  For equal radii they are
Voronoi's cells; for centres of equal norm the gate needs no bias.

*Partitions of unity* (Wang and E, arXiv 2505.24205, Thm 4.8).  With ``rho_i >= 0``, ``sum_i rho_i = 1`` and
``sup |tau_i - rho_i| <= eps``, the winner k of ``tau`` has ``rho_k(x) >= max_i rho_i(x) - 2 eps``.  So x is in the
support of ``rho_k`` as soon as ``eps < delta / 2`` with ``delta = min_x max_i rho_i(x) >= 1/E``: no discontinuous
function has to be approximated.  The same holds for features that do not sum to 1.  One neuron makes such a feature,

    relu(<c_i, x> - (|c_i|^2 - q)/2 - b) = relu((|x|^2 + q - |x - c_i|^2)/2 - b),     q = max_i |c_i|^2:

on a sphere its support is a cap.  With r_max the largest distance of a point of M from its nearest centre, the supports
cover M if ``b < (min_M |x|^2 + q - r_max^2)/2``; on a circle, if ``b < cos(pi/E)``.
"""

import math

import numpy as np

from ..arguments import number, numbers, shown
from .model import DenseNetwork, linear_gate


def power_gate(centres, radii=None) -> DenseNetwork:
    """The affine gate whose cells are the power diagram of balls; of equal balls without radii.

    Parameters
    ----------
    centres : array_like, shape (E, D)
    radii : array_like, shape (E,), >= 0, optional

    Raises
    ------
    ValueError
        If shapes do not fit or a radius is negative.
    """
    centres = _centres(centres)
    constants = -(centres**2).sum(axis=1)
    if radii is not None:
        radii = numbers(radii, "radii")
        if radii.shape != constants.shape or not (radii >= 0).all():
            raise ValueError(f"radii are {shown(radii.tolist())}; they must be {len(centres)} numbers >= 0")
        constants = constants + radii**2
    return linear_gate(2 * centres, constants)


def cone_gate(centres) -> DenseNetwork:
    """The gate ``<c_i, x>`` without a bias: Voronoi's cells of centres of equal norm, all of them cones.

    Raises
    ------
    ValueError
        If the norms differ by more than rounding; it names them.
    """
    centres = _centres(centres)
    norms = np.linalg.norm(centres, axis=1)
    if not norms.max() - norms.min() <= 1e-12 * norms.max():
        raise ValueError(f"centres have norms from {norms.min():.6g} to {norms.max():.6g}; a gate without a bias needs "
                         "equal ones")
    return linear_gate(centres)


def cap_features(centres, threshold, shift=None) -> DenseNetwork:
    """``relu(<c_i, x> - (|c_i|^2 - q)/2 - b) + shift_i``, q the largest ``|c_i|^2``: one neuron for each chart.

    On centres of equal norm it is ``relu(<c_i, x> - b)``.  The largest is that of the nearest centre wherever one is
    positive.

    Parameters
    ----------
    centres : array_like, shape (E, D)
    threshold : float
        b.
    shift : array_like, shape (E,), optional
        An error of the features, to see what the gate bears.
    """
    centres, threshold = _centres(centres), number(threshold, "threshold")
    if not math.isfinite(threshold):
        raise ValueError(f"threshold is {threshold:g}; it must be finite")
    squares = (centres**2).sum(axis=1)
    return DenseNetwork((centres, np.eye(len(centres))), ((squares.max() - squares) / 2 - threshold, shift))


def tolerance(features) -> float:
    """``delta / 2``, the error of the features up to which the gate stays right, from their values at points.

    Parameters
    ----------
    features : array_like, shape (N, E), >= 0
        At points that are dense enough: the least of their maxima is taken over these.
    """
    features = numbers(features, "features")
    if features.ndim != 2 or 0 in features.shape or not (features >= 0).all():
        raise ValueError(f"features have shape {features.shape}; they must be (N, E) and not negative")
    return float(features.max(axis=1).min() / 2)


def _centres(centres):
    centres = numbers(centres, "centres")
    if centres.ndim != 2 or 0 in centres.shape:
        raise ValueError(f"centres have shape {centres.shape}; it must be (E, D)")
    return centres
