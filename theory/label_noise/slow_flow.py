r"""The slow flow of label-noise SGD along the interpolators: drift, paths with finite-step corrections, closed forms,
clocks.

Notation of :mod:`.network`; ``v = (h sigma)^2``, ``s = tr Sigma``.  The effective drift ``-(v/4) P_tangent grad tr
H`` per step of label-noise SGD near the interpolators is known (Blanc, Gupta, Valiant and Valiant, COLT 2020; Damian,
Ma and Lee, NeurIPS 2021; Li, Wang and Arora, ICLR 2022), with H the Hessian at c = 1/2.  In this model it is explicit
(derived):

    W' = -W C/2 - a mu',    a' = -(tr C/2) a - W mu,    mu = -(1/2) M^{-1} (C + tr C I) theta*,

``C = v Sigma``, derivatives per step; that is ``Z_i' = A Z_i`` for every neuron with ``A = -diag(C, tr C)/2 - B_mu``,
and ``K' = A K + K A'``.  Averaging the exact change of the imbalance, ``h^2 g^2 (||x||^2 a a' - W x x' W')``, over
the fast fluctuations gives the same with the *excitation* ``C = h^2 E[g^2 x x']`` at the current kernel: the
corrected flow.  While the kernel stands still C is exact, whatever ``h ||M||``; what is neglected is that the kernel
moves while an error relaxes, and that the error moves it: of relative order ``u = h sigma^2`` over the eigenvalues of
M (times tr Sigma), not a power of ``h ||M||``.  With ``C`` of :mod:`.fluctuations`,

    corrected = "none"      C = v Sigma
    corrected = "gaussian"  the fourth moments of Gaussian inputs of covariance Sigma
    corrected = "data"      the fourth moments of the training set

Sharpness-aware minimisation with batch size 1, radius rho and clean labels drifts like label noise with ``v = 2 h
rho^2``, that is ``sigma^2 = 2 rho^2/h`` (derived from its exact imbalance step; Wen, Ma and Li, ICLR 2023, for the
drift).  First correction: the shifted residual's square ``h^2 rho^2 E[N^2 x x']``, ``N^2 = x'Mx``, and as much again
from the residual that the sign step leaves,

    C = 2 h rho^2 Sigma + 2 h^2 rho^2 E[x'Mx x x'],

the second part exactly so where M and Sigma are multiples of I, to a relative 1/d elsewhere.  Close to the origin the
flow says nothing: there SAM contracts, see :mod:`.collapse`.

The flattest interpolator ``W = a theta*'/alpha`` is where it ends.  Isotropic start (Sigma = I, C = v I, ``G = diag(g,
g_perp, ..., g_perp)`` in the frame of theta*; derived):

    g_perp = g_perp(0) e^{-vt},    g' = -v g + v (d+1) ||theta*||^2/(g + alpha),
    g alpha - ||theta*||^2 = (g(0) alpha(0) - ||theta*||^2) e^{-(d+1) v t},

with ``(d+1) ln|y - d| - ln y = const - 2 d v t``, ``y = g^2/||theta*||^2``, where ``g alpha = ||theta*||^2``; and for
d = 1 ``(g + alpha)^2 = 4 theta*^2 + const e^{-2vt}``, ``g - alpha = const e^{-vt}``.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers
from . import gradient_flow
from .fluctuations import fluctuations
from .gradient_flow import Path
from .network import TwoLayerLinear, critical_step, kernel
from .reduction import generator

CORRECTIONS = ("none", "gaussian", "data")
"""What the excitation takes into account."""
TOLERANCE = 1e-9
"""Relative tolerance of the integrator."""
OFF_MANIFOLD = 1e-6
"""How far a start may be from the interpolators where it is taken as it is; far above what the integrators leave."""
VISIBLE = 1e-10
"""Eigenvalues of Sigma below this times the largest count as directions without inputs."""


def drift(state, excitation, covariance=None):
    """``A`` of the slow flow, ``Z_i' = A Z_i`` per step, at a state on the manifold of interpolators.

    Parameters
    ----------
    state : array_like, shape (d + 1, d + 1)
        K.
    excitation : array_like, shape (d, d)
        ``C = h^2 E[g^2 x x']``; ``v Sigma`` to leading order.
    covariance : array_like, shape (d, d), optional
        Sigma; only its range matters, default all directions.  Directions without inputs are not held.

    Returns
    -------
    ndarray, shape (d + 1, d + 1)
        ``-diag(C, tr C)/2 - B_mu``.
    """
    excitation, state = numbers(excitation, "entries of the excitation"), numbers(state, "entries of the state")
    if excitation.ndim != 2 or state.shape != tuple(size + 1 for size in excitation.shape) or \
            excitation.shape[0] != excitation.shape[1]:
        raise ValueError(f"state {state.shape} and excitation {excitation.shape} must have shapes (d + 1, d + 1) and "
                         "(d, d)")
    seen = None if covariance is None else _range(np.asarray(covariance, dtype=np.float64))
    return _generator(state, excitation, seen)


def _generator(state, excitation, seen):
    total = np.trace(excitation)
    shrunk = -0.5 * (excitation @ state[:-1, -1] + total * state[:-1, -1])
    m = kernel(state)
    push = np.linalg.solve(m, shrunk) if seen is None else seen @ np.linalg.solve(seen.T @ m @ seen, seen.T @ shrunk)
    out = -generator(push)
    out[:-1, :-1] = -0.5 * excitation
    out[-1, -1] = -0.5 * total
    return out


def _range(covariance):
    """An orthonormal basis of the directions in which there are inputs; None for all."""
    values, vectors = np.linalg.eigh(covariance)
    seen = values > VISIBLE * values[-1]
    return None if seen.all() else vectors[:, seen]


def path(model, steps, start=None, inputs=None, corrected="gaussian", radius=None, relax=True):
    """The slow flow from a start, after gradient flow has brought that to an interpolator (at no cost in slow time).

    Parameters
    ----------
    model : TwoLayerLinear
    steps : array_like, shape (T,)
        Numbers of steps, increasing, >= 0.
    start : array_like, shape (d + 1, d + 1), optional
        ``K(0)``; default its expectation ``diag(s_1^2 m/d, ..., s_2^2)``, right for wide networks.
    inputs : array_like, shape (n, d), optional
        Training set; its Sigma and, for ``corrected="data"``, its fourth moments.  Default Sigma = I.
    corrected : {"gaussian", "data", "none"}
    radius : float, optional
        rho: sharpness-aware minimisation on clean labels instead of label noise (the model's noise plays no part).
    relax : bool
        If False, the start must be an interpolator already and is taken as it is.

    Returns
    -------
    Path
        ``times`` are numbers of steps; the first state is the relaxed one.  Fluctuations of a, see
        :func:`~theorycheck.theory.label_noise.fluctuations.second_layer_variance`, come on top of ``alpha``.

    Raises
    ------
    ValueError
        For parameters outside their ranges; ``relax=False`` off the interpolators; with label noise a kernel on the
        way, with ``radius`` the first kernel, at which the step is not mean-square stable; a state asked for at which
        SAM contracts to the origin on fresh inputs, ``E N^2 < (4/pi) (d + 1) rho^2``, see :mod:`.collapse`.
        ``corrected="none"`` is the limit of small steps, where every step is stable, and small radii: of these it
        refuses none.
    """
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    if not isinstance(corrected, str) or corrected not in CORRECTIONS:
        raise ValueError(f"corrected is {corrected!r}; it must be one of {', '.join(CORRECTIONS)}")
    inputs = None if inputs is None else numbers(inputs, "inputs")
    if inputs is not None and (inputs.ndim != 2 or not len(inputs) or inputs.shape[1] != model.dimension):
        raise ValueError(f"inputs have shape {inputs.shape}; it must be (n, {model.dimension}) with n >= 1")
    if corrected == "data" and inputs is None:
        raise ValueError("corrected is 'data' without inputs; it must be 'gaussian' or 'none', or inputs be given")
    if radius is not None and not 0 <= number(radius, "radius") < math.inf:
        raise ValueError(f"radius is {radius}; it must be in [0, inf)")
    covariance = np.eye(model.dimension) if inputs is None else inputs.T @ inputs / len(inputs)
    state, target, _ = gradient_flow.checked(expected_start(model) if start is None else start, model.target, None)
    steps, before = gradient_flow.increasing(steps, "steps"), np.eye(model.dimension + 1)
    if relax:
        state, before = gradient_flow.limit(state, target, covariance)
    else:
        _on_manifold(state, target, covariance)
    if radius and corrected != "none":
        bound = critical_step(kernel(state), inputs)
        if not model.effective_step < bound:
            raise ValueError(f"effective step is {model.effective_step:g}; mean-square stability at this kernel needs "
                             f"it in (0, {bound:.6g})")
    excite = excitations(model, covariance, inputs if corrected == "data" else None, corrected, radius)
    size, seen = model.dimension + 1, _range(covariance)

    def slope(_, flat):
        both = flat.reshape(2, size, size)
        a = _generator(both[0], excite(kernel(both[0])), seen)
        moved = a @ both
        moved[0] += moved[0].T
        return moved.ravel()

    done = gradient_flow.integrated(slope, np.stack([state, np.eye(size)]), steps, TOLERANCE)
    if radius and corrected != "none" and inputs is None:
        _holds_out(done[:, 0], radius)
    return Path(steps, done[:, 0], done[:, 1] @ before)


def _on_manifold(state, target, covariance):
    """Refuse a state that is not an interpolator, to OFF_MANIFOLD of the size that its theta may have."""
    off = np.abs(covariance @ (state[:-1, -1] - target)).max()
    size = np.trace(covariance) * (np.linalg.norm(target) + math.sqrt(state[-1, -1] * np.trace(state[:-1, :-1])))
    if not off <= OFF_MANIFOLD * size:
        raise ValueError(f"Sigma (theta - theta*) of the start is {off:.3g}; without relax it must be 0, to "
                         f"{OFF_MANIFOLD * size:.2g}")


def _holds_out(states, radius):
    """Refuse states that SAM on fresh inputs draws to the origin."""
    least, d = min(float(np.trace(kernel(state))) for state in states), states.shape[-1] - 1
    bound = math.sqrt(0.25 * math.pi * max(least, 0.0) / (d + 1.0))
    if not radius <= bound:
        raise ValueError(f"radius is {radius:g}; SAM contracts to the origin on the way "
                         f"unless it is at most {bound:.4g}")


def expected_start(model):
    """Expectation of K at the start, ``diag(s_1^2 m/d, ..., s_1^2 m/d, s_2^2)``, shape (d + 1, d + 1)."""
    entries = np.full(model.dimension + 1, model.first_scale**2 * model.width / model.dimension)
    entries[-1] = model.second_scale**2
    return np.diag(entries)


def excitations(model, covariance, inputs=None, corrected="gaussian", radius=None):
    """The excitation ``C`` (d, d) per step as a function of the kernel M; parameters as in :func:`path`."""
    h, noise = model.effective_step, model.noise
    rate = model.drift if radius is None else 2.0 * h * radius**2
    bare = rate * covariance
    if corrected == "none" or rate == 0.0:
        return lambda m: bare
    if radius is not None:
        def sharpened(m):
            if inputs is None:
                fourth = np.sum(m * covariance) * covariance + 2.0 * covariance @ m @ covariance
            else:
                fourth = (inputs.T * np.einsum("ij,ij->i", inputs @ m, inputs)) @ inputs / len(inputs)
            return bare + rate * h * fourth
        return sharpened
    if inputs is None:
        return lambda m: h * h * fluctuations(m, h, noise, covariance).excitation
    known = [None]   # the last solution is where the next one starts

    def of_data(m):
        found = fluctuations(m, h, noise, inputs=inputs, guess=known[0])
        known[0] = found.per_sample / noise**2
        return h * h * found.excitation
    return of_data


@dataclass(frozen=True, eq=False)
class Isotropic:
    """The slow flow of an isotropic start.

    Attributes
    ----------
    slow_times : ndarray, shape (T,)
        ``v t``.
    along, across, alpha : ndarray, shape (T,)
        ``g``, ``g_perp`` (of each of the d - 1 other directions) and ``||a||^2``.
    """

    slow_times: np.ndarray
    along: np.ndarray
    across: np.ndarray
    alpha: np.ndarray


def isotropic(slow_times, dimension, target_norm, along, across, alpha):
    """The slow flow from ``G = diag(g, g_perp, ..., g_perp)`` and ``||a||^2 = alpha``, C = v I, without corrections.

    ``g_perp`` and ``g alpha`` are explicit; g is one quadrature, explicit for d = 1.

    Parameters
    ----------
    slow_times : array_like, shape (T,)
        ``v t``, increasing, >= 0.
    dimension : int
        d >= 1.
    target_norm : float
        ``||theta*||`` >= 0.
    along, across, alpha : float
        g > 0, g_perp >= 0 and alpha > 0 at the start, ``g alpha >= ||theta*||^2``.

    Returns
    -------
    Isotropic

    Raises
    ------
    ValueError
        For numbers outside these ranges.
    """
    times = gradient_flow.increasing(slow_times, "slow times")
    if dimension != int(dimension) or dimension < 1:
        raise ValueError(f"dimension is {dimension}; it must be an integer >= 1")
    for name, value in (("along", along), ("alpha", alpha)):
        if not 0 < number(value, name) < math.inf:
            raise ValueError(f"{name} is {value}; it must be in (0, inf)")
    for name, value in (("across", across), ("target_norm", target_norm)):
        if not 0 <= number(value, name) < math.inf:
            raise ValueError(f"{name} is {value}; it must be in [0, inf)")
    square, d = float(target_norm) ** 2, int(dimension)
    excess = along * alpha - square
    if excess < -1e-12 * square:
        raise ValueError(f"along alpha is {along * alpha:g}; it must be >= target_norm^2 = {square:g}")
    product = square + max(excess, 0.0) * np.exp(-(d + 1.0) * times)
    if d == 1:
        gap = (along - alpha) * np.exp(-times)
        total = np.sqrt(gap**2 + 4.0 * product)
        # The larger of the two without cancellation, the smaller from the product.
        larger = 0.5 * (total + np.abs(gap))
        g = np.where(gap >= 0, larger, product / larger)
    else:
        g = _along(times, d, square, along, max(excess, 0.0))
    return Isotropic(times, g, across * np.exp(-times), product / g)


def _along(times, d, square, along, excess):
    """g by its equation for ``x = ln g + v t``, which has no decay of its own left."""
    def slope(t, x):
        g = np.exp(x - t)
        return (d + 1.0) * square / (g * g + square + excess * math.exp(-(d + 1.0) * t))

    return np.exp(gradient_flow.integrated(slope, np.array([math.log(along)]), times, 1e-12)[:, 0] - times)


@dataclass(frozen=True)
class Clocks:
    """When the slow flow of a wide network does what, in steps, to leading order in ``1/(h sigma)^2``.

    Attributes
    ----------
    second_layer : float
        ``1/(d v)``: ``||a||^2`` has relaxed to what the first layer asks for.
    norm : float
        ``(1/v) ln(s_1^2 (m/d)/(sqrt(d) ||theta*||))``: ``sum <w_i, theta*>^2`` stops falling (end of phase I).
    alignment : float
        ``(1/v) ln(s_1^2 m (1 - 1/d)/(sqrt(d) ||theta*||))``: half of ``||W||^2`` is along theta*.
    """

    second_layer: float
    norm: float
    alignment: float


def clocks(model):
    """The :class:`Clocks` of a model, 0 where the logarithm would be negative, inf without noise or target."""
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    d, v, norm = model.dimension, model.drift, model.target_norm
    if v == 0.0:
        return Clocks(math.inf, math.inf, math.inf)

    def after(size):
        return math.inf if norm == 0.0 else max(math.log(max(size, 1e-300) / (math.sqrt(d) * norm)), 0.0) / v

    mass = model.first_scale**2 * model.width
    return Clocks(1.0 / (d * v), after(mass / d), after(mass * (1.0 - 1.0 / d)))
