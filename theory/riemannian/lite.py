r"""LITE around any optimizer: Algorithm 1 of Zhu et al. (arXiv 2602.22681).

With a projector Q on flat directions, ``chi >= 1`` and ``beta_2 >= beta_1``,

    u_k = (I - Q) F_k^{-1} (m_k + beta_1 g_k) + chi Q F_k^{-1} (m_k + beta_2 g_k) ,    w_{k+1} = w_k - eta u_k ,

where m, F and the betas are those of the base method: the betas here come on top of the base's own damping and are in
units of its buffer, so that ``chi = 1``, ``beta_1 = beta_2 = 0`` is the base itself.  Around heavy ball with
``averaged=False`` they are those of the algorithm as printed; an averaged buffer is alpha times as large, and so are
its betas for the same method (:func:`averaged_damping`).  F_k is the metric of the base at ``m_k + beta_1 g_k``; for
Muon it is a choice (:class:`.matrix_rules.PolarFactor`).  Weight decay acts ``chi``-fold on flat directions as well,
so that its fixed points do not move.

For constant Q, F and un-normalised buffer the iteration is, exactly (derived), with ``theta = 1 - alpha``,
``G = [(I-Q) + chi Q] F^{-1}`` and ``G B = (I-Q) F^{-1} beta_1 + chi Q F^{-1} beta_2``,

    w_{k+1} - w_k - theta (w_k - w_{k-1}) = -eta [ (G + G B) g_k - theta G B g_{k-1} ] :

the base method with a metric divided by chi on flat directions, and a damping of its own there.  Its flow with
``eta = h^2, alpha = a h, beta_i = B_i/h`` is ``w' = -(G p + (G B) g)``, ``p' = -a p + g``.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..arguments import shown
from .flows import Flow
from .metric_rules import inside
from .optimizers import Optimizer, State, largest_curvature, refuse_unstable, symmetric

IDEMPOTENT = 1e-10
"""Largest entry of ``Q Q - Q`` for what is taken as a projector."""
MARGINAL = 1e-11
"""A spectral radius that exceeds 1 by less is one: flat directions of no curvature have the root 1."""


@dataclass(frozen=True, eq=False)
class Lite:
    """A base method with a larger step and more damping in flat directions.

    Parameters
    ----------
    base : Optimizer
    projector : array_like, shape (d, d), or callable
        Q, symmetric with ``Q Q = Q``; or a function of the parameters that returns such (leading axes allowed).  It
        acts on vectors, and on matrices (..., m, d) from the right.
    chi : float
        >= 1: factor of the step in flat directions.
    beta_flat, beta_sharp : float
        ``beta_2 >= beta_1``, in units of the base's buffer, beyond its own damping.

    Raises
    ------
    ValueError
        For values out of these ranges.
    """

    base: Optimizer
    projector: object
    chi: float = 1.0
    beta_flat: float = 0.0
    beta_sharp: float = 0.0

    def __post_init__(self):
        if not isinstance(self.base, Optimizer):
            raise ValueError(f"base is {shown(self.base)}; it must be an Optimizer")
        object.__setattr__(self, "chi", inside(self.chi, "chi", 1.0, math.inf, left=True))
        object.__setattr__(self, "beta_sharp", inside(self.beta_sharp, "beta_sharp", -math.inf, math.inf))
        object.__setattr__(self, "beta_flat", inside(self.beta_flat, "beta_flat", self.beta_sharp, math.inf, left=True))
        if not callable(self.projector):
            object.__setattr__(self, "projector", _projector(symmetric(self.projector, "projector")))

    @property
    def name(self) -> str:
        """``LITE(name of the base)``."""
        return f"LITE({self.base.name})"

    @property
    def rate(self) -> float:
        """The base's rate."""
        return self.base.rate

    @property
    def momentum(self):
        """The base's momentum."""
        return self.base.momentum

    @property
    def rule(self):
        """The base's metric rule."""
        return self.base.rule

    def start(self, parameters, gradient, curvature=None) -> State:
        """The base's state before the first step."""
        return self.base.start(parameters, gradient, curvature)

    def accumulate(self, state: State, gradient, curvature=None) -> State:
        """The base's buffers with the gradient in them."""
        return self.base.accumulate(state, gradient, curvature)

    def flat(self, x, parameters):
        """Q x at given parameters; x of shape (..., d) or (..., m, d)."""
        q = self.projector
        if callable(q):
            q = _projector(np.asarray(q(parameters), dtype=float))
        if q.shape[-1] != x.shape[-1]:
            raise ValueError(f"projector has shape {q.shape}; it must act on vectors of length {x.shape[-1]}")
        if q.ndim == 2:
            return x @ q
        return np.einsum("...i,...ij->...j", x, q) if q.ndim == x.ndim + 1 else x @ q

    def velocity(self, averages, momentum, gradient, parameters):
        """``(I-Q) F^{-1}(m + b1 g) + chi Q F^{-1}(m + b2 g)`` of given values, weight decay included."""
        base = self.base
        sharp = momentum + (base.momentum.beta + self.beta_sharp) * gradient
        moved = base.rule.solve(averages, sharp)
        more = (self.beta_flat - self.beta_sharp) * gradient
        if base.decay:
            moved = moved + base.decay * parameters
        along = moved
        if self.beta_flat > self.beta_sharp:   # F^{-1} is linear, but for those rules whose metric is made of the force
            along = moved + base.rule.metric(averages, sharp).solve(more)
        return moved - self.flat(moved, parameters) + self.chi * self.flat(along, parameters)

    def direction(self, state: State, gradient):
        """``u_k`` after :meth:`accumulate`."""
        return self.velocity(state.averages, state.momentum, np.asarray(gradient, dtype=float), state.parameters)

    def step(self, state: State, gradient, curvature=None) -> State:
        """``w_{k+1}`` and the buffers; see :meth:`.optimizers.Optimizer.step`."""
        new = self.accumulate(state, gradient, curvature)
        return new._replace(parameters=new.parameters - self.rate * self.direction(new, gradient))

    def metric(self, state: State, gradient):
        """F_k, the base's metric at ``m_k + beta_1 g_k``, after :meth:`accumulate`."""
        force = state.momentum + (self.momentum.beta + self.beta_sharp) * np.asarray(gradient, dtype=float)
        return self.rule.metric(state.averages, force)

    def refined(self, factor, scaling: str):
        """The same method with a smaller step; the flow is the same.  The betas scale as the base's damping does."""
        return self._damped(self.base.refined(factor, scaling), factor if scaling == "friction" else 1.0)

    def limit(self, h, scaling: str):
        """The method whose velocity the flow has."""
        return self._damped(self.base.limit(h, scaling), h)

    def flow(self, gradient, scaling: str, curvature=None) -> Flow:
        """The differential equation that the steps follow; see :meth:`.optimizers.Optimizer.flow`."""
        self.base.require_scaling(scaling)
        return Flow(self, gradient, scaling, curvature)

    def spectral_radius(self, hessian, metric=None, rate=None) -> float:
        """Largest modulus of the eigenvalues of the step on a quadratic, for a constant metric and projector.

        Parameters
        ----------
        hessian, metric : array_like, shape (d, d)
            As for :meth:`.optimizers.Optimizer.largest_rate`.
        rate : float, optional
            In place of the base's.
        """
        return self._radius(*self._constants(hessian, metric), self.rate if rate is None else rate)

    def largest_rate(self, hessian, metric=None) -> float:
        """Where the first instability sets in as the rate grows from 0; 0 if there is no stable rate.

        If Q commutes with F and H this is the bound of :meth:`.optimizers.Optimizer.largest_rate`, mode by mode.  If
        it does not, ``(G + alpha G B) H``, which drives the method at small rates, may have eigenvalues to the left of
        the imaginary axis, and then none is stable.  Found by a scan in steps of 10 % and bisection, to 10 digits.

        Parameters
        ----------
        hessian, metric : array_like, shape (d, d)
        """
        pieces = self._constants(hessian, metric)
        drift = np.linalg.eigvals(pieces[0] + self.momentum.alpha * pieces[1])
        largest = float(np.abs(drift).max())
        if not (largest > 0 and drift.real.min() > -1e-12 * largest):
            return 0.0
        stable, unstable = 0.0, 1e-3 / largest
        while self._radius(*pieces, unstable) < 1.0 + MARGINAL:
            stable, unstable = unstable, 1.1 * unstable
        while unstable - stable > 1e-11 * unstable:
            middle = (stable + unstable) / 2
            stable, unstable = (middle, unstable) if self._radius(*pieces, middle) < 1.0 + MARGINAL else \
                (stable, middle)
        return stable

    def require_stable(self, hessian, metric=None):
        """Refuse a rate at which a quadratic diverges; the message has the largest stable one."""
        refuse_unstable(self.rate, self.largest_rate(hessian, metric))

    def _damped(self, base, factor):
        return replace(self, base=base, beta_flat=self.beta_flat * factor, beta_sharp=self.beta_sharp * factor)

    def _constants(self, hessian, metric):
        """``G H`` and ``G B H``, with the base's damping in B and the weight of a gradient in the buffer in G."""
        if callable(self.projector):
            raise ValueError("projector is a function; it must be a constant matrix for a stability limit")
        largest_curvature(hessian, metric)
        h = symmetric(hessian, "hessian")
        f = np.eye(len(h)) if metric is None else symmetric(metric, "metric")
        if not self.projector.shape == h.shape == f.shape:
            raise ValueError(f"projector, hessian and metric have shapes {self.projector.shape}, {h.shape} and "
                             f"{f.shape}; they must be equal")
        q, inverse, own = self.projector, np.linalg.inv(f) @ h, self.momentum.beta
        sharp, flat = (np.eye(len(h)) - q) @ inverse, self.chi * q @ inverse
        weight = self.momentum.alpha if self.momentum.averaged else 1.0
        return weight * (sharp + flat), (own + self.beta_sharp) * sharp + (own + self.beta_flat) * flat

    def _radius(self, gh, gbh, rate):
        """Of (w_k, w_{k-1}) -> (w_{k+1}, w_k)."""
        one, theta = np.eye(len(gh)), self.momentum.theta
        step = np.block([[(1 + theta) * one - rate * (gh + gbh), -theta * one + rate * theta * gbh],
                         [one, np.zeros_like(one)]])
        return float(np.abs(np.linalg.eigvals(step)).max())


def _projector(q):
    """Q of shape (..., d, d), if it is its own square, or ValueError."""
    if q.ndim < 2 or q.shape[-1] != q.shape[-2]:
        raise ValueError(f"projector has shape {q.shape}; it must be (..., d, d)")
    error = float(np.abs(q @ q - q).max())
    if not error <= IDEMPOTENT:
        raise ValueError(f"projector deviates from its square by {error:.3g}; it must be at most {IDEMPOTENT:g}")
    return q


def averaged_damping(damping, alpha):
    """``beta`` of Algorithm 1's buffer in units of the average, ``alpha beta``.

    Parameters
    ----------
    damping : array_like
    alpha : float
        In (0, 1].
    """
    return inside(alpha, "alpha", 0.0, 1.0, right=True) * np.asarray(damping, dtype=float)[()]
