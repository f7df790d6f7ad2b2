r"""Friction and Hessian damping of one mode: rates, optima, and where more damping helps.

In the low-friction limit of Algorithm 1 (arXiv 2602.22681; ``h = sqrt(eta)``, ``alpha = a h``, ``beta = B/h``, time kh)
a mode of preconditioned curvature ``mu = chi lambda/f`` obeys

    x'' + (a + B mu) x' + gamma mu x = 0 ,      gamma = 1 + c B ,

with ``c = a``: the gradient's strength is *tied* to the damping.  Inertial systems with Hessian damping are also
studied at fixed ``gamma``, which is ``c = 0``.  With ``A = a + B mu`` the rate (the slowest decay) is

    rate = A/2  if  A^2 < 4 gamma mu (oscillating) ,      rate = 2 gamma mu / (A + sqrt(A^2 - 4 gamma mu))  otherwise.

From ``rate^2 - A rate + gamma mu = 0`` follows how an overdamped mode responds to damping (derived),

    d rate/dB = mu (c - rate) / (A - 2 rate) ,

positive exactly while ``c > rate``: Hessian damping accelerates a flat mode if it strengthens the gradient by more than
the rate the mode has, and otherwise slows it.  At ``c = 0`` it slows every overdamped mode.

Tied, ``c = a`` (derived): the discriminant is ``(a - B mu)^2 - 4 mu``, so a and ``B mu`` play the same part, and

    oscillating iff |a - B mu| < 2 sqrt mu ,     rate = mu (1/a + B) [1 + mu/a^2 + O(mu^2)]  for flat modes,
    best B at fixed a:  B = (a + 2 sqrt mu)/mu ,    rate = a + sqrt mu ,
    best a at fixed B:  a = B mu + 2 sqrt mu ,      rate = B mu + sqrt mu .

At fixed ``gamma = 1`` the best damping is ``B = (2 sqrt mu - a)/mu``, with rate ``sqrt mu``, and none if
``a > 2 sqrt mu``.

The same holds exactly for the iteration (:mod:`.modes`).  With the *dual momentum* ``theta' = 1 - s beta``

    z^2 - (theta + theta' - s) z + theta theta' = 0

is symmetric in the two.  It oscillates iff ``|sqrt theta - sqrt theta'| < sqrt s < sqrt theta + sqrt theta'``, and at
fixed s and momentum the radius is smallest at ``theta' = (sqrt theta - sqrt s)^2``, where it is
``sqrt(theta) |sqrt theta - sqrt s|``; at ``s = theta`` that is Nesterov's method, and the mode dies in two iterations.
"""

import numpy as np

from ..arguments import numbers
from .ranges import require


def decay_rate(curvature, friction, damping=0.0, coupling=None):
    """Slowest decay rate of the mode per unit of time.

    Parameters
    ----------
    curvature : array_like
        ``mu`` > 0, preconditioned.
    friction : array_like
        a >= 0.
    damping : array_like
        B >= 0.
    coupling : array_like, optional
        c >= 0 of ``gamma = 1 + c B``: ``a`` if left out (tied, Algorithm 1), 0 for fixed ``gamma = 1``.

    Returns
    -------
    ndarray or float

    Raises
    ------
    ValueError
        For arguments outside their range.
    """
    mu, a, B = _checked(curvature, friction, damping)
    total, restoring = a + B * mu, _strength(a, B, coupling) * mu
    root = np.sqrt(np.maximum(discriminant(mu, a, B, coupling), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(root > 0, 2.0 * restoring / (total + root), 0.5 * total)[()]


def discriminant(curvature, friction, damping=0.0, coupling=None):
    """``(a + B mu)^2 - 4 gamma mu``, negative where the mode oscillates; arguments as for :func:`decay_rate`."""
    mu, a, B = _checked(curvature, friction, damping)
    if coupling is None:   # (a - B mu)^2 - 4 mu, where the difference loses no digits
        return ((a - B * mu - 2.0 * np.sqrt(mu)) * (a - B * mu + 2.0 * np.sqrt(mu)))[()]
    double = 2.0 * np.sqrt(_strength(a, B, coupling) * mu)
    return ((a + B * mu - double) * (a + B * mu + double))[()]


def response(curvature, friction, damping=0.0, coupling=None):
    """``d rate/dB``: ``mu/2`` while the mode oscillates, ``mu (c - rate)/(A - 2 rate)`` while it does not.

    Arguments as for :func:`decay_rate`; infinite where the mode is critically damped.
    """
    mu, a, B = _checked(curvature, friction, damping)
    c, gap = a if coupling is None else numbers(coupling, "couplings"), discriminant(mu, a, B, coupling)
    with np.errstate(divide="ignore", invalid="ignore"):
        overdamped = mu * (c - decay_rate(mu, a, B, coupling)) / np.sqrt(np.maximum(gap, 0.0))
    return np.where(gap < 0, 0.5 * mu, overdamped)[()]


def oscillation_band(curvature, friction):
    """Damping between which a tied mode oscillates, ``(a -+ 2 sqrt mu)/mu``; the lower end is cut at 0.

    Parameters
    ----------
    curvature, friction : array_like
        ``mu`` > 0 and a >= 0.

    Returns
    -------
    low, high : ndarray or float
        Boundaries of the phase diagram; in the units ``a/sqrt mu`` and ``B sqrt mu`` they are ``a -+ 2``.
    """
    mu, a, _ = _checked(curvature, friction, 0.0)
    double = 2.0 * np.sqrt(mu)
    return (np.maximum(0.0, a - double) / mu)[()], ((a + double) / mu)[()]


def best_damping(curvature, friction):
    """Hessian damping B that makes a tied mode fastest at fixed friction, and the rate it reaches.

    Parameters
    ----------
    curvature, friction : array_like
        ``mu`` > 0 and a >= 0.

    Returns
    -------
    damping, rate : ndarray or float
        ``(a + 2 sqrt mu)/mu`` and ``a + sqrt mu``.
    """
    mu, a, _ = _checked(curvature, friction, 0.0)
    return ((a + 2.0 * np.sqrt(mu)) / mu)[()], (a + np.sqrt(mu))[()]


def best_friction(curvature, damping=0.0):
    """Friction a that makes a tied mode fastest at fixed Hessian damping, and the rate it reaches.

    Parameters
    ----------
    curvature, damping : array_like
        ``mu`` > 0 and B >= 0.

    Returns
    -------
    friction, rate : ndarray or float
        ``B mu + 2 sqrt mu`` and ``B mu + sqrt mu``.
    """
    mu, _, B = _checked(curvature, 0.0, damping)
    return (B * mu + 2.0 * np.sqrt(mu))[()], (B * mu + np.sqrt(mu))[()]


def best_damping_untied(curvature, friction):
    """The same as :func:`best_damping` for fixed ``gamma = 1``.

    Returns
    -------
    damping, rate : ndarray or float
        ``(2 sqrt mu - a)/mu`` and ``sqrt mu`` if that damping is positive; else 0 and the rate without damping.
    """
    mu, a, _ = _checked(curvature, friction, 0.0)
    damping = np.maximum(0.0, 2.0 * np.sqrt(mu) - a) / mu
    return damping[()], np.where(damping > 0, np.sqrt(mu), decay_rate(mu, a, 0.0, coupling=0.0))[()]


def best_iteration(step, momentum):
    """Damping ``beta`` that makes a mode of the iteration fastest at fixed step and momentum.

    Parameters
    ----------
    step : array_like
        ``0 < s < (sqrt theta + 1)^2``; beyond it the best damping would be negative.
    momentum : array_like
        ``theta`` in [0, 1).

    Returns
    -------
    damping, radius : ndarray or float
        ``beta = (1 - (sqrt theta - sqrt s)^2)/s`` and ``sqrt(theta) |sqrt theta - sqrt s|``.
    """
    s, theta = numbers(step, "steps"), numbers(momentum, "momenta")
    require((theta >= 0) & (theta < 1), theta, "momentum", "it must be in [0, 1)")
    limit = (np.sqrt(theta) + 1.0) ** 2
    require((s > 0) & (s < limit), s, "step", "it must be > 0 and < (1 + sqrt theta)^2")
    difference = np.sqrt(theta) - np.sqrt(s)
    return ((1.0 - difference) * (1.0 + difference) / s)[()], (np.sqrt(theta) * np.abs(difference))[()]


def _strength(a, B, coupling):
    if coupling is None:
        return 1.0 + a * B
    c = numbers(coupling, "couplings")
    require(c >= 0, c, "coupling", "it must be >= 0")
    return 1.0 + c * B


def _checked(curvature, friction, damping):
    mu, a, B = numbers(curvature, "curvatures"), numbers(friction, "frictions"), numbers(damping, "dampings")
    require((mu > 0) & np.isfinite(mu), mu, "curvature", "it must be finite and > 0")
    require((a >= 0) & np.isfinite(a), a, "friction", "it must be finite and >= 0")
    require((B >= 0) & np.isfinite(B), B, "damping", "it must be finite and >= 0")
    return mu, a, B
