r"""Adaptive optimizers as small objects: momentum, metric, one step, and the flow that small steps follow.

Every optimizer here moves by

    w_{k+1} = w_k - eta [ F_k^{-1} (m_k + beta g_k) + lambda w_k ] ,      g_k = grad f(w_k) ,

and is the choice of two things: how m is accumulated (:class:`Momentum`: heavy ball and its average, Nesterov, extra
damping beta) and what the metric F is (:mod:`~theorycheck.theory.riemannian.metric_rules`).  So one class serves all,
and the names of the field are functions that make it:

    gradient_descent  heavy_ball  nesterov       F = 1
    rmsprop  adam  nadam (and decay: AdamW)      F = diag(sqrt v + eps),        v the average of g^2
    sign_descent  lion                           F = diag|m + beta g|
    sophia                                       F = diag max(rho h, eps, |m|), h the average of diag H
    natural_gradient                             F = the Fisher matrix (or H: Newton's method)

and, for matrix parameters, shampoo, soap and muon in :mod:`~theorycheck.theory.riemannian.matrix_optimizers`.

Buffers.  ``averaged=False`` is Algorithm 1 of LITE (arXiv 2602.22681), ``m_k = (1-alpha) m_{k-1} + g_k`` with
``m ~ g/alpha`` in the long run; ``averaged=True`` is ``m_k = (1-alpha) m_{k-1} + alpha g_k``, whose beta is alpha times
as large for the same method.  With ``correction`` the averages are over the steps there were, m/(1 - b1^k) and
v/(1 - b2^k); these corrected averages are what the state holds: ``m_k = m_{k-1} + alpha/(1 - (1-alpha)^k) (g_k -
m_{k-1})``.  Nesterov's damping is ``beta = 1/(1-alpha)``, or ``alpha/(1-alpha)`` in units of the average; the usual
codes write ``(1-alpha) m + g`` for it and thus have a learning rate ``1/(1-alpha)`` times as large as here.

Lion (Chen et al., arXiv 2302.06675) steps by the sign of ``b1 m_{k-1} + (1-b1) g_k`` and averages by b2: the sign of
``m_k + beta g_k`` with ``alpha = 1 - b2`` and ``beta = (b2 - b1)/b1``, as one sees by eliminating m_{k-1} (derived).

Limits.  Three scalings of the parameters with a step h give three flows (:mod:`~theorycheck.theory.riemannian.flows`):

    "friction"     eta = h^2, alpha = a h, beta = B/h, t = k h     averages of the metric: 1 - b2 = b h
    "adaptive"     eta = h,   alpha = a h, beta fixed, t = k h     1 - b2 = b h       (averaged buffer, or none)
    "overdamped"   eta = h,   all else fixed, t = k h
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..arguments import shown
from .metric_rules import Curvature, Identity, SecondMoment, SignOfForce, TrustedCurvature, inside
from .modes import largest_step

SCALINGS = ("friction", "adaptive", "overdamped")


class State(NamedTuple):
    """What an optimizer remembers; a tuple of arrays.

    Attributes
    ----------
    parameters : ndarray, shape (..., d) or (..., m, n)
        w.
    momentum : ndarray
        m, of the same shape.
    averages : tuple of ndarray
        What the metric is made of (v; L, R; ...), as its rule says.
    count : int
        Steps done.
    """

    parameters: np.ndarray
    momentum: np.ndarray
    averages: tuple = ()
    count: int = 0


@dataclass(frozen=True)
class Momentum:
    """How gradients are accumulated, and which force ``m + beta g`` comes of it.

    Parameters
    ----------
    alpha : float
        In (0, 1]; 1 is no memory, m = g.
    damping : float
        beta beyond Nesterov's own, in units of the buffer.
    nesterov : bool
        Add ``1/(1-alpha)`` (or ``alpha/(1-alpha)`` for an average) to beta; needs alpha < 1.
    averaged : bool
        ``alpha g`` enters the buffer, not g.
    correction : bool
        Average over the steps there were (averaged only).

    Raises
    ------
    ValueError
        For values out of these ranges.
    """

    alpha: float = 1.0
    damping: float = 0.0
    nesterov: bool = False
    averaged: bool = False
    correction: bool = False

    def __post_init__(self):
        object.__setattr__(self, "alpha", inside(self.alpha, "alpha", 0.0, 1.0, right=True))
        object.__setattr__(self, "damping", inside(self.damping, "damping", -math.inf, math.inf))
        if self.nesterov and self.alpha == 1.0:
            raise ValueError("alpha is 1.0; with Nesterov's damping 1/(1-alpha) it must be < 1")
        if self.correction and not self.averaged:
            raise ValueError("correction is True; it must be False for a buffer that is no average")

    @property
    def theta(self) -> float:
        """``1 - alpha``."""
        return 1.0 - self.alpha

    @property
    def beta(self) -> float:
        """Damping, Nesterov's included, in units of the buffer."""
        own = (self.alpha if self.averaged else 1.0) / self.theta if self.nesterov else 0.0
        return self.damping + own

    def accumulate(self, buffer, gradient, count):
        """``m_k`` from ``m_{k-1}`` and ``g_k``, where k = `count` >= 1."""
        if not self.averaged:
            return self.theta * buffer + gradient
        return buffer + gain(self.alpha, count, self.correction) * (gradient - buffer)


@dataclass(frozen=True)
class Optimizer:
    """A momentum and a metric rule.

    Parameters
    ----------
    name : str
    rate : float
        eta > 0.
    momentum : Momentum
    rule : a rule of :mod:`~theorycheck.theory.riemannian.metric_rules`
    decay : float
        lambda >= 0: decoupled weight decay, ``- eta lambda w`` per step.

    Raises
    ------
    ValueError
        For values out of these ranges.
    """

    name: str
    rate: float
    momentum: Momentum = Momentum()
    rule: object = Identity()
    decay: float = 0.0

    def __post_init__(self):
        if not isinstance(self.momentum, Momentum):
            raise ValueError(f"momentum is {shown(self.momentum)}; it must be a Momentum")
        if not all(hasattr(self.rule, name) for name in ("begin", "update", "solve", "metric")):
            raise ValueError(f"rule is {shown(self.rule)}; it must be a metric rule, such as Identity()")
        object.__setattr__(self, "rate", inside(self.rate, "rate", 0.0, math.inf))
        object.__setattr__(self, "decay", inside(self.decay, "decay", 0.0, math.inf, left=True))

    def start(self, parameters, gradient, curvature=None) -> State:
        """The state before the first step.

        The momentum is 0.  The averages of the metric are what they would be had the gradient always been this one, so
        that the first step is finite (but for SOAP, see :class:`.matrix_rules.InEigenbasis`); with bias correction
        they are forgotten at the first step.

        Parameters
        ----------
        parameters, gradient : array_like, shape (..., d) or (..., m, n)
        curvature : array_like, optional
            What the rule needs: the diagonal of the Hessian (sophia), a Fisher matrix (natural_gradient).
        """
        w, g = np.array(parameters, dtype=float), np.asarray(gradient, dtype=float)
        if w.shape != g.shape or not (np.isfinite(w).all() and np.isfinite(g).all()):
            raise ValueError(f"parameters and gradient have shapes {w.shape} and {g.shape}; they must be equal, and "
                             "their values finite")
        return State(w, np.zeros_like(w), self.rule.begin(g, curvature), 0)

    def accumulate(self, state: State, gradient, curvature=None) -> State:
        """The first half of a step: ``m_k`` and the averages of the metric with ``g_k`` in them, w_k as it was."""
        count = state.count + 1
        return State(state.parameters, self.momentum.accumulate(state.momentum, gradient, count),
                     self.rule.update(state.averages, gradient, curvature, count), count)

    def direction(self, state: State, gradient):
        """``F_k^{-1} (m_k + beta g_k) + lambda w_k`` after :meth:`accumulate`."""
        return self.velocity(state.averages, state.momentum, np.asarray(gradient, dtype=float), state.parameters)

    def velocity(self, averages, momentum, gradient, parameters):
        """``F^{-1} (m + beta g) + lambda w`` of given values."""
        force = momentum + self.momentum.beta * gradient
        return self.rule.solve(averages, force) + (self.decay * parameters if self.decay else 0.0)

    def force(self, state: State, gradient):
        """``m_k + beta g_k`` after :meth:`accumulate`."""
        return state.momentum + self.momentum.beta * np.asarray(gradient, dtype=float)

    def step(self, state: State, gradient, curvature=None) -> State:
        """``w_{k+1}`` and the buffers with ``g_k`` in them.

        Parameters
        ----------
        state : State
        gradient : array_like
            At ``state.parameters``, exact or sampled.
        curvature : array_like, optional
            See :meth:`start`.
        """
        new = self.accumulate(state, gradient, curvature)
        return new._replace(parameters=new.parameters - self.rate * self.direction(new, gradient))

    def metric(self, state: State, gradient):
        """F_k as an operator (apply, solve, as_matrix), after :meth:`accumulate`: ``u = F^{-1}(m + beta g)``."""
        return self.rule.metric(state.averages, self.force(state, gradient))

    def refined(self, factor, scaling: str):
        """The same method with a step h that is `factor` times smaller, in one of the scalings; the flow is the same.

        Raises
        ------
        ValueError
            If the scaling is unknown or does not fit (an un-normalised buffer has no "adaptive" limit, nor a sign a
            "friction" limit), or alpha or 1 - b2 would leave (0, 1].
        """
        self.require_scaling(scaling)
        factor = inside(factor, "factor", 0.0, math.inf)
        if scaling == "overdamped":
            return replace(self, rate=self.rate / factor)
        buffer = replace(self.momentum, alpha=self.momentum.alpha / (factor if self.momentum.alpha < 1.0 else 1.0))
        if scaling == "adaptive":
            return replace(self, rate=self.rate / factor, momentum=buffer, rule=self.rule.refined(factor))
        return replace(self, rate=self.rate / factor**2, rule=self.rule.refined(factor), decay=self.decay * factor,
                       momentum=replace(buffer, damping=self.momentum.damping * factor))

    def limit(self, h, scaling: str):
        """The method whose velocity the flow has: damping and decay times h, without Nesterov's part where it vanishes.

        Parameters
        ----------
        h : float
            ``sqrt(eta)`` with "friction", else 1.
        scaling : str
        """
        kept = self.momentum.nesterov and scaling == "overdamped"
        buffer = replace(self.momentum, damping=self.momentum.damping * h, nesterov=kept)
        return replace(self, momentum=buffer, decay=self.decay * h)

    def flow(self, gradient, scaling: str, curvature=None):
        """The differential equation that the steps follow as h tends to 0.

        Parameters
        ----------
        gradient : callable
            ``w -> grad f(w)``, shapes as the parameters.
        scaling : {"friction", "adaptive", "overdamped"}
        curvature : callable, optional
            What the rule needs, as a function of w.

        Returns
        -------
        flows.Flow
        """
        from .flows import Flow
        self.require_scaling(scaling)
        return Flow(self, gradient, scaling, curvature)

    def require_scaling(self, scaling):
        """Refuse a scaling that is unknown or has no limit for this method."""
        if not isinstance(scaling, str) or scaling not in SCALINGS:
            raise ValueError(f"scaling is {shown(scaling)}; it must be one of {', '.join(SCALINGS)}")
        if scaling == "adaptive" and not self.momentum.averaged and self.momentum.alpha < 1.0:
            raise ValueError(f"scaling is 'adaptive'; it must be friction or overdamped for {self.name}, whose buffer "
                             "grows like 1/alpha")
        if scaling == "friction" and (self.momentum.averaged or self.momentum.alpha == 1.0):
            raise ValueError(f"scaling is 'friction'; it must be adaptive or overdamped for {self.name}, whose buffer "
                             "is an average")
        if scaling == "friction" and self.rule.scale_free:
            raise ValueError(f"scaling is 'friction'; it must be overdamped for {self.name}, whose step does not grow "
                             "with the buffer")

    def largest_rate(self, hessian, metric=None) -> float:
        """Largest stable learning rate on a quadratic, for a constant metric.

        The modes of ``F^{-1} H`` decouple, and Jury's conditions bound ``s = eta mu`` for each (``eta alpha mu`` for
        an average), see :func:`~theorycheck.theory.riemannian.modes.largest_step`.  Weight decay is not counted.

        Parameters
        ----------
        hessian : array_like, shape (d, d)
            Symmetric, positive semi-definite and not 0.
        metric : array_like, shape (d, d), optional
            Symmetric, positive definite; the identity if left out.

        Raises
        ------
        ValueError
            For a singular metric or a Hessian out of range, and for steps by a sign, whose size no rate makes small.
        """
        if self.rule.scale_free:
            raise ValueError(f"{self.name} has steps of one size, whatever the gradient; it must be another method to "
                             "have a stability limit")
        scale = self.momentum.alpha if self.momentum.averaged else 1.0
        limit = largest_step(self.momentum.theta, self.momentum.beta / scale)
        return float(limit / (scale * largest_curvature(hessian, metric)))

    def require_stable(self, hessian, metric=None):
        """Refuse a rate at which a quadratic diverges; the message has the largest stable one.

        Raises
        ------
        ValueError
        """
        refuse_unstable(self.rate, self.largest_rate(hessian, metric))


def gradient_descent(rate) -> Optimizer:
    """``w <- w - eta g``."""
    return Optimizer("gradient descent", rate)


def heavy_ball(rate, momentum=0.9, damping=0.0, averaged=False) -> Optimizer:
    """Polyak's method, ``m <- theta m + g``, ``w <- w - eta (m + beta g)``.

    Parameters
    ----------
    rate : float
        eta > 0.
    momentum : float
        ``theta = 1 - alpha`` in [0, 1).
    damping : float
        beta, in units of the buffer.
    averaged : bool
        ``m <- theta m + alpha g`` instead.
    """
    return Optimizer("heavy ball", rate, Momentum(memory(momentum, "momentum"), damping, averaged=averaged))


def nesterov(rate, momentum=0.9, damping=0.0, averaged=False) -> Optimizer:
    """Nesterov's method, ``beta = 1/theta`` (plus `damping`); the rate of most codes is ``eta/theta``."""
    return Optimizer("Nesterov", rate, Momentum(memory(momentum, "momentum"), damping, True, averaged))


def rmsprop(rate, second=0.99, epsilon=1e-8, decay=0.0) -> Optimizer:
    """``v <- b2 v + (1-b2) g^2``, ``w <- w - eta g/(sqrt v + eps)``; no momentum."""
    return Optimizer("RMSProp", rate, Momentum(averaged=True), SecondMoment(memory(second, "second"), epsilon), decay)


def adam(rate, first=0.9, second=0.999, epsilon=1e-8, decay=0.0, correction=True) -> Optimizer:
    """``w <- w - eta m/(sqrt v + eps)`` with averages m of g (b1) and v of g^2 (b2); with `decay` it is AdamW.

    Parameters
    ----------
    rate : float
        eta > 0.
    first, second : float
        b1 and b2 in [0, 1).
    epsilon, decay : float
        >= 0.
    correction : bool
        Divide by ``1 - b^k``.
    """
    return Optimizer("AdamW" if decay else "Adam", rate,
                     Momentum(memory(first, "first"), averaged=True, correction=correction),
                     SecondMoment(memory(second, "second"), epsilon, correction), decay)


def adamw(rate, first=0.9, second=0.999, epsilon=1e-8, decay=0.1, correction=True) -> Optimizer:
    """Adam with decoupled weight decay, ``- eta lambda w``."""
    return adam(rate, first, second, epsilon, decay, correction)


def nadam(rate, first=0.9, second=0.999, epsilon=1e-8, decay=0.0, correction=True) -> Optimizer:
    """Adam with Nesterov's damping, ``beta = alpha/(1-alpha)``.

    The rate is b1 times that of Dozat's form, and the correction that of the averages (his shifts one by a step).
    """
    return Optimizer("NAdam", rate,
                     Momentum(memory(first, "first"), nesterov=True, averaged=True, correction=correction),
                     SecondMoment(memory(second, "second"), epsilon, correction), decay)


def sign_descent(rate, momentum=0.0, damping=0.0, decay=0.0) -> Optimizer:
    """``w <- w - eta sign(m + beta g)`` with m the average of g (momentum 0: signSGD)."""
    return Optimizer("sign descent", rate, Momentum(memory(momentum, "momentum"), damping, averaged=True),
                     SignOfForce(), decay)


def lion(rate, first=0.9, second=0.99, decay=0.0) -> Optimizer:
    """``w <- w - eta sign(b1 m + (1-b1) g)``, then ``m <- b2 m + (1-b2) g``.

    Parameters
    ----------
    first : float
        b1 in (0, 1]; ``beta = (b2 - b1)/b1``.
    second : float
        b2 in (0, 1).
    """
    first = inside(first, "first", 0.0, 1.0, right=True)
    second = inside(second, "second", 0.0, 1.0)
    return Optimizer("Lion", rate, Momentum(1.0 - second, (second - first) / first, averaged=True), SignOfForce(),
                     decay)


def sophia(rate, first=0.96, second=0.99, clip=0.04, epsilon=1e-12, decay=0.0) -> Optimizer:
    """``w <- w - eta clip(m/max(rho h, eps), -1, 1)`` with h the average of diag H (no correction).

    Parameters
    ----------
    first, second : float
        Of the averages m and h, in [0, 1).
    clip, epsilon : float
        rho and eps, > 0.
    """
    return Optimizer("Sophia", rate, Momentum(memory(first, "first"), averaged=True),
                     TrustedCurvature(memory(second, "second"), clip, epsilon), decay)


def natural_gradient(rate, momentum=0.0, ridge=0.0, averaged=False) -> Optimizer:
    """``w <- w - eta (F(w) + ridge)^{-1} m`` with F(w) given at each step; with F = H it is Newton's method."""
    return Optimizer("natural gradient", rate, Momentum(memory(momentum, "momentum"), averaged=averaged),
                     Curvature(ridge))


def memory(value, name):
    """``1 - value`` for a decay factor in [0, 1)."""
    return 1.0 - inside(value, name, 0.0, 1.0, left=True)


def gain(alpha, count, correction):
    """Weight of the newest of `count` numbers in their average."""
    return alpha / -math.expm1(count * math.log1p(-alpha)) if correction and alpha < 1.0 else alpha


def largest_curvature(hessian, metric=None) -> float:
    """Largest eigenvalue of ``F^{-1} H``, H positive semi-definite and F positive definite."""
    h = symmetric(hessian, "hessian")
    f = np.eye(len(h)) if metric is None else symmetric(metric, "metric")
    if f.shape != h.shape:
        raise ValueError(f"metric has shape {f.shape}; it must be that of the hessian, {h.shape}")
    smallest = float(np.linalg.eigvalsh(f)[0])
    if not smallest > 0:
        raise ValueError(f"metric has smallest eigenvalue {smallest:.6g}; it must be > 0")
    root = np.linalg.inv(np.linalg.cholesky(f))
    values = np.linalg.eigvalsh(root @ h @ root.T)
    if not (values[-1] > 0 and values[0] >= -1e-12 * values[-1]):
        raise ValueError(f"hessian has smallest eigenvalue {values[0]:.6g} in the metric; it must be >= 0, not all 0")
    return float(values[-1])


def symmetric(matrix, name):
    """A finite symmetric matrix, or ValueError."""
    found = np.asarray(matrix, dtype=float)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not np.isfinite(found).all():
        raise ValueError(f"{name} has shape {found.shape}; it must be a finite square matrix")
    error = float(np.abs(found - found.T).max())
    if error > 1e-12 * np.abs(found).max():
        raise ValueError(f"{name} deviates from its transpose by {error:.3g}; it must be symmetric")
    return found


def refuse_unstable(rate, limit):
    """One line with the bound, if the rate reaches it."""
    if not rate < limit:
        bound = f"be < {limit:.6g}, the stability limit on this Hessian" if limit > 0 else \
            "be another method: no rate is stable on this Hessian"
        raise ValueError(f"rate is {rate:g}; it must {bound}")
