r"""Stability limits of iterations with momentum, by which a step that must diverge is refused before it is taken.

In a constant metric F and where the Hessian is H everywhere, Algorithm 1 with ``alpha = a h``, ``beta = B/h`` and
``eta = h^2`` is linear in (w, p), p = h m,

    p_{k+1} = (1 - a h) p_k + h H w_k ,      w_{k+1} = w_k - h F^{-1} (p_{k+1} + B H w_k) ,

and stable as long as no eigenvalue of that map leaves the unit circle.  One mode with ``r = sqrt(mu s)`` (derived):

    NAG-SC   s L (3 - r) < 4          heavy ball   s L (1 + r) < 4          NAG-C, whose theta_k tends to 1   s L < 4/3

Where the Hessian varies, L is the largest curvature there is: the iteration then is stable wherever it is.
"""

import numpy as np

from .metrics import ConstantMetric

OUTSIDE = 1e-9
"""An eigenvalue this far outside the unit circle is a rounding."""


def edge(stable, tried):
    """The largest step below one that was refused which passes, if those that pass are an interval from 0 on; or 0."""
    low, high = 0.5 * tried, tried
    while not stable(low):
        low, high = 0.5 * low, low
        if low < 1e-12 * tried:
            return 0.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low


def refuse_unstable(stable, step, label, curvature):
    """Refuse a step that is not stable, with the limit.

    Parameters
    ----------
    stable : callable
        Of a step.
    step : float
    label : str
        Of the step.
    curvature : float
        For the message.

    Raises
    ------
    ValueError
    """
    if not stable(step):
        limit = edge(stable, step)
        raise ValueError(f"{label} is {step:g}; it must be < {limit:.6g}, the stability limit at "
                         f"curvature {curvature:g}")


def momentum_step(flow, step):
    """Refuse a step at which Algorithm 1 is unstable, in a constant metric and where the curvature is bounded.

    Parameters
    ----------
    flow : MomentumFlow
    step : float
        h.

    Raises
    ------
    ValueError
    """
    top = getattr(flow.landscape, "smoothness", np.inf)
    if not isinstance(flow.metric, ConstantMetric) or not 0.0 < top < np.inf:
        return
    d = flow.metric.dimension
    convex = getattr(flow.landscape, "convexity", -np.inf) >= 0   # a saddle is left by stable steps, too
    hessian = getattr(flow.landscape, "matrix", None) if convex else None
    hessian = top * np.eye(d) if hessian is None else hessian
    inverse, eye, nothing = np.linalg.inv(flow.metric.entries), np.eye(d), np.zeros((d, d))
    damping = flow.damping if flow.damping.ndim else flow.damping * eye

    def stable(h):
        push = np.hstack([h * hessian, (1.0 - flow.friction * h) * eye])
        move = np.hstack([eye, nothing]) - h * inverse @ (push + np.hstack([damping @ hessian, nothing]))
        return np.abs(np.linalg.eigvals(np.vstack([move, push]))).max() <= 1.0 + OUTSIDE

    generator = np.block([[-inverse @ damping @ hessian, -inverse], [hessian, -flow.friction * eye]])
    growth = np.linalg.eigvals(generator).real.max()
    if growth > OUTSIDE * np.abs(generator).max():
        raise ValueError(f"the flow itself grows as exp({growth:.3g} t), no step is stable; the damping must be larger")
    refuse_unstable(stable, step, "step", top)


def gradient_step(landscape, step_size, share):
    """Refuse a step size whose product with the largest curvature L leaves ``share(s) s L < 4``.

    Parameters
    ----------
    landscape : landscape
        Nothing is refused where L is infinite.
    step_size : float
        s.
    share : callable
        Of s; ``share(s) s`` increases.

    Raises
    ------
    ValueError
    """
    top = getattr(landscape, "smoothness", np.inf)
    if np.isfinite(top):
        refuse_unstable(lambda s: share(s) * s * top < 4.0, step_size, "step_size", top)


def divergence(w, count, label, value):
    """Refuse to go on from a point that is not finite, after so many steps.

    Raises
    ------
    ValueError
    """
    if not np.isfinite(w).all():
        raise ValueError(f"{label} is {value:g}; it must be smaller, the iteration overflows at step {count}")
