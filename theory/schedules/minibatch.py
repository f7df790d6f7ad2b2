r"""Water-filling with mini-batch noise: the ratio r = B/eta when the signal itself is noise, too.

    minimise  int_0^T K(u) [e(T-u) + sigma^2]/r(u) du      over  r >= r_min  with  int_0^T r du = D
    =>        r*(u) = max{ r_min, c w(u) } ,               w(u) = {(1+u)^{-2p} [1 + e(T-u)/sigma^2]}^{1/2}

(the square root is printed in Wang, Liu & Chen, arXiv 2609.40148, Sec. 5.3; the floor is added here).  At the start
``e`` is of the size of ``sigma^2``, so that r is larger there, by ``(1 + e(0)/sigma^2)^{1/2}`` at the same c.  The
budget lowers c, too: at the horizon T and without a floor the first learning rate ``B/r`` is

    eta(0)/eta(0; label noise alone) = a (1 + e(0)/sigma^2)^{-1/2} ,
    a = int_0^T {K(u) [1 + e(T-u)/sigma^2]}^{1/2} du / int_0^T K^{1/2} du ,       1 <= a <= (1 + e(0)/sigma^2)^{1/2} ,

where ``a - 1`` falls like ``T^{-min(s, 1)}``: a warm-up that emerges.  The integrals have two scales, ``u = 0`` and
``u = T``, and are done by 8-point Gauss rules on panels that are geometric from both ends.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
PANELS = 64
"""Panels from each end to the middle."""

FIRST = 1e-2
"""Length of the first panel; both functions are smooth on the scale 1."""


@dataclass(frozen=True, eq=False)
class WaterFilling:
    """The best path for a horizon.

    Attributes
    ----------
    scale, crossover : float
        ``c``, and the largest u below which the floor does not bind (T if it never does).
    noise : float
        ``int K [e + sigma^2]/r du``.
    remaining, data : ndarray, shape (n,)
        Intrinsic time that remains and data that remain, both increasing from 0.
    """

    scale: float
    crossover: float
    noise: float
    remaining: np.ndarray
    data: np.ndarray


def water_filling(law, horizon, data, floor=0.0):
    """The best path for given horizon, budget and floor (``horizon floor <= data``) as :class:`WaterFilling`."""
    edges, points, lengths = _panels(horizon)
    root = _root(law, horizon, points)
    scale = _level(root, lengths, data, floor)
    ratio = np.maximum(floor, scale * root)
    noise = law.strength * float(np.sum(lengths * root**2 / ratio))
    used = np.append(0.0, np.cumsum(np.sum((lengths * ratio).reshape(-1, NODES.size), axis=1)))
    binds = np.flatnonzero(scale * root < floor)
    crossover = horizon if not binds.size else float(points[binds[0]])
    if binds.size:
        below = 0.0 if not binds[0] else float(points[binds[0] - 1])
        crossover = _edge(law, horizon, scale, floor, below, crossover)
    return WaterFilling(scale, crossover, noise, edges, used * (data / used[-1]))


def best_feedback_horizon(law, data, floor=0.0):
    """The horizon that minimises ``e(T) + noise``: a scan in ``log T``, then Brent's method near the best."""
    longest = math.log(data / floor) if floor else math.log(data / law.strength + 1.0) + 40.0
    longest = min(longest, math.log(1e30))

    def loss(log_horizon):
        horizon = min(math.exp(log_horizon), data / floor) if floor else math.exp(log_horizon)
        return float(law.signal(horizon)) + water_filling(law, horizon, data, floor).noise

    # close to the end of what the floor allows the optimum is searched in the part that is left of D/floor
    inner = np.linspace(longest - 70.0, longest - 1e-3, 141)
    grid = np.append(inner, longest + np.log1p(-np.geomspace(9e-4, 1e-12, 24))) if floor else inner
    values = np.array([loss(y) for y in grid])
    best = int(values.argmin())
    found = minimize_scalar(loss, bounds=(grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]), method="bounded",
                            options={"xatol": 1e-13})
    chosen = found.x if found.fun < values[best] else grid[best]
    return min(math.exp(chosen), data / floor) if floor else math.exp(chosen)


def _panels(horizon):
    """Edges of the panels, Gauss points and their weights, from u = 0 to T."""
    half = 0.5 * horizon
    first = min(FIRST, half / PANELS)
    side = np.append(0.0, np.geomspace(first, half, PANELS))
    edges = np.concatenate([side, horizon - side[-2::-1]])
    # the far half is laid out from its own end, so that no digits of T - u are lost where it is small
    middle, reach = 0.5 * (side[1:] + side[:-1]), 0.5 * np.diff(side)
    points = middle[:, None] + reach[:, None] * NODES
    lengths = reach[:, None] * WEIGHTS
    far = (horizon - points)[::-1, ::-1]
    return edges, np.concatenate([points.ravel(), far.ravel()]), np.concatenate([lengths.ravel(),
                                                                                 lengths[::-1, ::-1].ravel()])


def _root(law, horizon, remaining):
    elapsed = np.maximum(horizon - remaining, 0.0)
    return np.exp(-law.root_exponent * np.log1p(remaining)) * np.sqrt(1.0 + law.signal(elapsed) / law.noise**2)


def _level(root, lengths, data, floor):
    """c with ``sum lengths max(floor, c root) = data``: linear between the values where a point leaves the floor."""
    if not floor:
        return data / float(np.sum(lengths * root))
    order = np.argsort(-root)
    weight, area = np.cumsum((lengths * root)[order]), np.cumsum(lengths[order])
    rest = area[-1] - area
    levels = floor / root[order]
    spent = levels * weight + floor * rest
    place = min(int(np.searchsorted(spent, data, side="right")), spent.size) - 1
    if place < 0:
        return float(levels[0])
    return float(max((data - floor * rest[place]) / weight[place], levels[place]))


def _edge(law, horizon, scale, floor, low, high):
    """Bisection for the crossing between two neighbouring points."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        if scale * float(_root(law, horizon, np.array([middle]))[0]) >= floor:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
