r"""Exact risk of SGD in stages of constant learning rate and batch size, at any step, without stepping.

Within a stage the second moments obey a linear map with constant coefficients, diagonal plus rank one
(:mod:`theorycheck.theory.fsl.recursion`).  In the symmetrising variables ``y_i = sqrt(w_i) m_i`` it is

    y <- (1 - G) y + h v ,     G = diag(x (2 - c x)) - (eta^2/B) v v^T ,     x = eta lambda,  v_i = sqrt(w_i) lambda_i,
    h = (eta^2/B) sigma_M^2 ,                             excess risk = delta_M + v.y/2 ,

so one eigendecomposition per stage gives the state after k steps for every k: O(n^2) each after O(n^3), for n nodes
of the compressed spectrum.  Powers and geometric sums are taken with expm1 and log1p.  The eigenvalues carry an
absolute error of some 1e-16, so that k steps leave a relative error of up to some 1e-16 k in what the slowest modes
hold of the risk: beyond 1e12 steps or so digits of the risk itself are lost.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from ..arguments import number, numbers, shown
from ..fsl.problem import Spectrum


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage's map, ready for any number of steps.

    Attributes
    ----------
    spectrum : Spectrum
    rate, size : float
        ``eta`` and B > 0.
    """

    spectrum: Spectrum
    rate: float
    size: float

    def __post_init__(self):
        if not isinstance(self.spectrum, Spectrum):
            raise ValueError(f"spectrum is {shown(self.spectrum)}; it must be a Spectrum")
        for name in ("rate", "size"):
            value = number(getattr(self, name), name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; it must be finite and > 0")
        values, weights = self.spectrum.eigenvalues, self.spectrum.multiplicity
        direction, x = np.sqrt(weights) * values, self.rate * values
        curvature = 1.0 + (self.spectrum.kurtosis - 2.0) / self.size
        feedback = self.rate**2 / self.size
        slow, vectors = np.linalg.eigh(np.diag(x * (2.0 - curvature * x)) - feedback * np.outer(direction, direction))
        if not (slow[0] > -1e-13 and slow[-1] < 2.0):
            raise ValueError(f"rate is {self.rate:g} at batch size {self.size:g}; that is not mean-square stable")
        slow = np.maximum(slow, 1e-300)   # rounding may turn the slowest rates negative
        along = direction @ vectors
        for name, value in (("_slow", slow), ("_vectors", vectors), ("_along", along),
                            ("_push", feedback * self.spectrum.label_variance * along)):
            object.__setattr__(self, name, value)

    def start(self):
        """The state before training, in this stage's eigenvectors, shape (n,)."""
        return (np.sqrt(self.spectrum.multiplicity) * self.spectrum.target_squared) @ self._vectors

    def take_over(self, state, other):
        """A state of the stage `other` in this stage's eigenvectors."""
        return (other._vectors @ state) @ self._vectors

    def after(self, state, steps):
        """The state `steps` steps later; `steps` >= 0 may be an array of shape (m,), which gives (m, n)."""
        memory, lost = self._memory(steps)
        return memory * state + lost / self._slow * self._push

    def risk_difference(self, difference, steps):
        """Difference of two risks `steps` steps after their states differed by `difference`; without cancellation.

        The map is linear, so what drives both alike drops out.
        """
        return 0.5 * (self._memory(steps)[0] * difference) @ self._along

    def _memory(self, steps):
        """``(1 - slow)^k`` and one less that."""
        steps = np.asarray(steps, float)[..., None]
        gentle = self._slow < 0.5
        logarithm = np.where(gentle, np.log1p(-np.where(gentle, self._slow, 0.0)), 0.0)
        memory = np.exp(steps * logarithm) * np.where(gentle, 1.0, 1.0 - self._slow) ** steps
        return memory, np.where(gentle, -np.expm1(steps * logarithm), 1.0 - memory)

    def risk(self, state):
        """Excess risk of a state, shape of the state without its last axis."""
        return self.spectrum.approximation_error + 0.5 * (np.asarray(state) @ self._along)


def two_stage_risk(spectrum, rate, sizes, first_steps, second_steps):
    """Expected excess risk after ``first_steps`` steps with batches of ``sizes[0]`` and then some of ``sizes[1]``.

    For many evaluations at the same sizes make the stages once and use :func:`switched_risk`.

    Parameters
    ----------
    spectrum : Spectrum
        Compressed for the intrinsic time in question.
    rate : float
        The learning rate of both.
    sizes : (float, float)
        B1 and B2.
    first_steps, second_steps : array_like
        >= 0; broadcast to each other.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        For arguments out of range, or a rate and size that are not mean-square stable.
    """
    if np.shape(sizes) != (2,):
        raise ValueError(f"sizes are {shown(sizes)}; they must be two, B1 and B2")
    early, late = (Stage(spectrum, rate, size) for size in sizes)
    return switched_risk(early, late, first_steps, second_steps)


def switched_risk(early, late, first_steps, second_steps):
    """Expected excess risk after ``first_steps`` steps of the stage `early` and ``second_steps`` of the stage `late`.

    Parameters
    ----------
    early, late : Stage
        Of one spectrum.
    first_steps, second_steps : array_like
        >= 0, not necessarily whole; broadcast to each other.

    Returns
    -------
    ndarray
    """
    steps = [numbers(values, name) for name, values in (("first_steps", first_steps), ("second_steps", second_steps))]
    for name, values in zip(("first_steps", "second_steps"), steps):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name} are {shown(values)}; they must be finite and >= 0")
    first, second = np.broadcast_arrays(*steps)
    states = early.after(early.start(), first.ravel())
    risks = [late.risk(late.after(late.take_over(state, early), steps)) for state, steps in zip(states, second.ravel())]
    return np.array(risks).reshape(first.shape)


def best_switch(early, late, data, least=1e-8, scan=60):
    """Share of the data that the best switch leaves to the stage `late`, steps being real numbers.

    Parameters
    ----------
    early, late : Stage
        Of one spectrum.
    data : float
        D > 0, samples.
    least : float
        Smallest share that is tried.
    scan : int
        Shares, geometric from `least` to 1, that are tried before the best one is refined (bounded Brent search).

    Returns
    -------
    float
    """
    def risk(log_share):
        second = np.exp(log_share) * data / late.size
        return switched_risk(early, late, np.maximum(data - late.size * second, 0.0) / early.size, second)

    grid = np.linspace(math.log(least), 0.0, scan)
    values = risk(grid)
    best = int(np.argmin(values))
    found = minimize_scalar(lambda y: float(risk(y)), method="bounded", options={"xatol": 1e-7},
                            bounds=(grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]))
    return math.exp(found.x if found.fun <= values[best] else grid[best])
