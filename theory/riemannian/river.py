r"""Progress along a river and noise across it, for Algorithm 1 with the exact flat projector (derived).

In a straight valley ``f = -c x + sum_j lambda_j y_j^2/2`` the gradient along the river is -c, so that from an empty
buffer, whatever the noise does (it has mean 0),

    E x_K - x_0 = eta chi c [ (1 + alpha beta_2) K/alpha - theta (1 - theta^K)/alpha^2 ]:

in the long run ``eta chi c (1 + alpha beta_2)/alpha`` per step.  The sharp coordinates know neither chi nor beta_2:
with gradient noise sigma and ``s_j = eta lambda_j`` they keep the loss ``sum_j (lambda_j/2) Var_j`` of :mod:`.modes`.

Decay phase, one sharp direction, no momentum: the variance obeys ``v' = (1 - eta lambda)^2 v + eta^2 sigma^2``, which
increases with v, so that the rate that makes v' least is part of the best schedule:

    eta_k = lambda v_k/(lambda^2 v_k + sigma^2) = 1/(lambda (k + 1 + sigma^2/(lambda^2 v_0))),
    1/v_k = 1/v_0 + k lambda^2/sigma^2.

So the noise across the river falls as 1/k and no faster, and the decay of the rate is of the inverse type.
"""

import numpy as np

from ..arguments import numbers
from .ranges import integer, require


def river_progress(steps, rate, slope, momentum, damping=0.0, gain=1.0):
    """``E x_K - x_0``.

    Parameters
    ----------
    steps : array_like
        K >= 0.
    rate, slope : float
        eta > 0 and c.
    momentum, damping : float
        theta in [0, 1) and beta_2.
    gain : float
        chi > 0.

    Raises
    ------
    ValueError
        For values that are not finite or out of these ranges.
    """
    steps, rate, slope, theta, damping, gain = _checked(steps=steps, rate=rate, slope=slope, momentum=momentum,
                                                        damping=damping, gain=gain)
    alpha = 1.0 - theta
    start = theta * (1.0 - theta**steps) / alpha**2
    return rate * gain * slope * ((1.0 + alpha * damping) / alpha * steps - start)


def river_speed(rate, slope, momentum, damping=0.0, gain=1.0):
    """``eta chi c (1 + alpha beta_2)/alpha``, progress per step in the long run; arguments as above."""
    rate, slope, theta, damping, gain = _checked(rate=rate, slope=slope, momentum=momentum, damping=damping, gain=gain)
    alpha = 1.0 - theta
    return rate * gain * slope * (1.0 + alpha * damping) / alpha


def decayed_variance(steps, variance, curvature, noise):
    """Least variance after so many steps of any schedule, ``1/(1/v_0 + k lambda^2/sigma^2)``.

    Parameters
    ----------
    steps : array_like
        k >= 0.
    variance : float
        v_0 > 0.
    curvature, noise : float
        lambda and sigma > 0.

    Raises
    ------
    ValueError
        For values that are not finite or out of these ranges.
    """
    steps, variance, curvature, noise = _checked(steps=steps, variance=variance, curvature=curvature, noise=noise)
    return 1.0 / (1.0 / variance + steps * (curvature / noise) ** 2)


def decaying_rates(steps, variance, curvature, noise):
    """The rates that reach it, shape (steps,); arguments as for :func:`decayed_variance`."""
    steps = integer(steps, "steps", 1)
    v = decayed_variance(np.arange(steps), variance, curvature, noise)
    return curvature * v / (curvature**2 * v + noise**2)


def variances(rates, variance, curvature, noise):
    """``v_0, ..., v_K`` of SGD without momentum under any rates >= 0, (K, ...) -> (K + 1, ...); the rest >= 0."""
    rates = np.atleast_1d(numbers(rates, "rates"))
    require(np.isfinite(rates) & (rates >= 0), rates, "a rate", "it must be finite and >= 0")
    curvature, noise, variance = (numbers(x, label) for x, label in (
        (curvature, "curvatures"), (noise, "noise levels"), (variance, "variances")))
    for values, label in ((curvature, "curvature"), (noise, "noise"), (variance, "variance")):
        require(np.isfinite(values) & (values >= 0), values, label, "it must be finite and >= 0")
    found = np.empty((len(rates) + 1, *rates.shape[1:]))
    found[0] = variance
    for k, rate in enumerate(rates):
        found[k + 1] = (1.0 - rate * curvature) ** 2 * found[k] + (rate * noise) ** 2
    return found


def _checked(**values):
    """Arrays of the values, each finite and in the range that its name has here."""
    found = []
    for name, value in values.items():
        x = numbers(value, f"values of the {name}")
        inside, allowed = {
            "steps": (x >= 0, ">= 0 and finite"),
            "momentum": ((x >= 0) & (x < 1), "in [0, 1)"),
            "slope": (True, "finite"),
            "damping": (True, "finite"),
        }.get(name, (x > 0, "> 0 and finite"))
        require(np.isfinite(x) & inside, x, name, f"it must be {allowed}")
        found.append(x[()])
    return found
