r"""Largest stable rates of the simulated optimizers, weight decay included, and the refusal of larger ones.

Momentum theta, damping beta and decay d on a mode of curvature lambda: with ``x = e lambda`` and ``D = e d``,

    w' = (1 - D - x (1 + beta)) w - e theta m,     m' = theta m + lambda w,
    trace = 1 + theta - D - x (1 + beta),          determinant = theta (1 - D - x beta),

and both eigenvalues are inside the unit circle if and only if |determinant| < 1 and |trace| < 1 + determinant:

    D (1 - theta) + x (1 + (1 - theta) beta) > 0,        D (1 + theta) + x (1 + (1 + theta) beta) < 2 (1 + theta),
    |theta (1 - D - x beta)| < 1,

all linear in e (derived).  A flat direction has e = chi eta and its own beta; an average has e = (1 - theta) eta and
beta, d over 1 - theta.  Where the metric makes the rest of the step bounded, ``D < 2`` is what is left.  With noise in
the curvature the second moment needs a larger batch than the mean (:mod:`theorycheck.theory.riemannian.second_moment`;
counted where d = 0).
"""

import numpy as np

from ...theory.riemannian import modes
from . import kernels


def largest_rate(curvature, momentum, damping=0.0, decay=0.0):
    """The least upper bound of stable e on a mode, elementwise; 0 where none is stable, inf where all are.

    Parameters
    ----------
    curvature : array_like
        lambda >= 0.
    momentum, damping, decay : float
        theta in [0, 1), beta, and d >= 0.
    """
    lam, theta = np.asarray(curvature, float), float(momentum)
    with np.errstate(divide="ignore"):
        top = 2.0 * (1.0 + theta) / np.maximum(decay * (1.0 + theta) + lam * (1.0 + (1.0 + theta) * damping), 0.0)
        pull = theta * (decay + lam * damping)     # determinant = theta - e pull
        top = np.minimum(top, np.where(pull > 0, (1.0 + theta) / np.abs(pull), np.inf))
        top = np.minimum(top, np.where(pull < 0, (1.0 - theta) / np.abs(pull), np.inf))
    grows = decay * (1.0 - theta) + lam * (1.0 + (1.0 - theta) * damping) < 0.0
    return np.where(grows, 0.0, top)


def require_stable(rule, rate, curvatures, curvature_noise=0.0, batch_size=1):
    """Refuse a rate that is not stable in the mean or, with noise in the curvature, in the mean square.

    Parameters
    ----------
    rule : kernels.Rule
    rate : float
        The largest of the run.
    curvatures : pair of array_like
        Of the sharp and of the flat directions, >= 0.
    curvature_noise : float
        rho.
    batch_size : int
        b.

    Raises
    ------
    ValueError
        With the bound.
    """
    for chi, beta, values in ((1.0, rule.beta, curvatures[0]), (rule.chi, rule.beta + rule.more, curvatures[1])):
        values = np.asarray(values, float).ravel()
        if not values.size:
            continue
        if rule.kind != kernels.PLAIN or rule.theta >= 1.0:
            require_decay(rate, rule.decay, chi)
            continue
        unit = 1.0 - rule.theta if rule.averaged else 1.0
        limit = largest_rate(values, rule.theta, beta / unit, rule.decay / unit) / (chi * unit)
        worst = int(np.argmin(limit))
        if rate >= limit[worst]:
            raise ValueError(f"learning rate is {rate:g}; it must be > 0 and < {limit[worst]:.6g}, the stability limit "
                             f"at curvature {values[worst]:g}, gain {chi:g} and weight decay {rule.decay:g}, unless "
                             "the run is declared unstable")
        values = values[values > 0]
        if not curvature_noise or rule.decay or not values.size:
            continue
        needed = curvature_noise**2 * modes.noise_floor(rate * unit * chi * values, rule.theta, beta / unit)
        if needed.max() >= batch_size:
            raise ValueError(f"batch_size is {batch_size}; the second moment needs more than {needed.max():.6g} at "
                             f"curvature {values[np.argmax(needed)]:g}, unless the run is declared unstable")


def require_decay(rate, decay, chi=1.0):
    """Refuse a rate at which weight decay alone turns weights over and makes them grow.

    Raises
    ------
    ValueError
        For ``rate chi decay >= 2``.
    """
    if rate * chi * decay >= 2.0:
        raise ValueError(f"learning rate is {rate:g}; it must be < {2.0 / (chi * decay):.6g}, 2/(gain weight decay) "
                         f"with gain {chi:g} and weight decay {decay:g}, unless the run is declared unstable")


def require_bend(rule, rate, slope, frequency):
    """Refuse a step along the curved river that is longer than a bend (set): the tangent then leads nowhere.

    Raises
    ------
    ValueError
        For ``chi rate c (1 + (1 - theta) beta)/(1 - theta) max k >= 1``.
    """
    if rule.kind != kernels.PLAIN or rule.theta >= 1.0 or not frequency.any():
        return
    alpha = 1.0 - rule.theta
    unit = alpha if rule.averaged else 1.0
    speed = rule.chi * slope * unit * (1.0 / alpha + (rule.beta + rule.more) / unit) * np.abs(frequency).max()
    if rate * speed >= 1.0:
        raise ValueError(f"learning rate is {rate:g}; it must be < {1.0 / speed:.6g}, where a step along the river is "
                         "as long as a bend of its floor, 1/frequency, unless the run is declared unstable")
