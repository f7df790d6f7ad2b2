"""The law's loss minimised over the schedule itself, number by number: what closed forms are held against."""

import math
from functools import cache

import numpy as np
from scipy.optimize import minimize

from ...theory.schedules.power_law import PowerLaw


@cache
def least_edges(source, capacity, data, steps, largest=math.inf):
    """Intrinsic time that remains at the start of each step of the schedule with the least loss; no formula for it.

    L-BFGS in the logarithms of the rates, from a constant schedule, horizon and all; sigma = 1, all batches equal.

    Parameters
    ----------
    source, capacity, data : float
        The law and its budget.
    steps : int
        K, with ``data/K`` samples each.
    largest : float
        Largest learning rate over batch size, ``1/r_min``.

    Returns
    -------
    ndarray, shape (K,)
        From the horizon down to the last step's rate; what is left at the end, 0, is not in it.
    """
    law, batch = PowerLaw(source, capacity), data / steps

    def loss(logarithms):
        """Logarithm of the loss and its gradient."""
        rates = np.exp(logarithms)
        left = np.append(np.cumsum(rates[::-1])[::-1], 0.0)
        value = law.loss(rates, batch)
        kernel, weight = law.kernel(left), law.noise**2 * rates / batch
        by_edge = weight * kernel[:-1] - np.append(0.0, (weight * kernel[1:])[:-1])
        by_edge[0] -= law.source * law.signal(left[0]) / (1.0 + left[0])
        slope = np.cumsum(by_edge) + law.noise**2 * law.kernel_mass(left[1:], left[:-1]) / batch
        return math.log(value), slope * rates / value

    top = math.log(largest * batch) if largest < math.inf else None
    found = minimize(loss, np.zeros(steps) if top is None else np.full(steps, min(0.0, top)), jac=True,
                     method="L-BFGS-B", bounds=[(None, top)] * steps,
                     options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 50})
    return np.cumsum(np.exp(found.x)[::-1])[::-1]


@cache
def least_in_cells(cells, floor, signal_scale, horizon=500.0, data=3000.0, both_ends=False):
    """Least noise over r constant in cells, by SLSQP in log r; with the cells' length in log(1+u), edges and r.

    beta = 2, sigma = 1; ``signal_scale > 0`` counts ``e = signal_scale (1+t)^-1`` beside sigma^2 as noise.
    Then, or with `both_ends`, cells are short at the start, too.
    """
    law = PowerLaw(1.0, 2.0)
    edges = np.expm1(np.linspace(0.0, math.log1p(horizon), cells + 1))
    if signal_scale or both_ends:   # both ends have a scale of their own
        half = np.expm1(np.linspace(0.0, math.log1p(0.5 * horizon), cells // 2 + 1))
        edges = np.concatenate([half, horizon - half[-2::-1]])
    weight = law.kernel_mass(edges[:-1], edges[1:])
    if signal_scale:
        nodes, weights = np.polynomial.legendre.leggauss(12)
        points = 0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * nodes
        early = signal_scale * law.kernel(points) * law.signal(horizon - points)
        weight = weight + 0.5 * np.diff(edges) * (early @ weights)
    lengths = np.diff(edges)

    def noise(x):
        part = weight * np.exp(-x)
        return math.log(part.sum()), -part / part.sum()

    def budget(x):
        return math.log(np.dot(lengths, np.exp(x)) / data)

    def budget_slope(x):
        part = lengths * np.exp(x)
        return part / part.sum()

    found = minimize(noise, np.full(lengths.size, math.log(data / horizon)), jac=True, method="SLSQP",
                     bounds=[(math.log(floor) if floor else None, None)] * lengths.size,
                     constraints={"type": "eq", "fun": budget, "jac": budget_slope},
                     options={"maxiter": 2000, "ftol": 1e-15})
    return math.exp(found.fun), math.log1p(horizon) / cells, edges, np.exp(found.x)
