r"""Fast fluctuations around the interpolators: their covariance at a frozen kernel, misadjustment, bias, last state.

Notation of :mod:`.network`; everything here is derived.  While the kernel ``M = G + alpha I`` stands still the error
``delta = theta - theta*`` is that of the least-mean-squares filter,

    delta <- (I - h M x x') delta + h M x eps,

whose stationary covariance ``S = E[delta delta']`` solves

    M Sigma S + S Sigma M = h M E[x x' S x x'] M + h sigma^2 M Sigma M .

To leading order in h, ``S = (u/2) M`` with ``u = h sigma^2``.  What drives the slow flow is the *excitation*
``C = E[g^2 x x']``, g the noisy residual; to leading order it is ``sigma^2 Sigma``.

Gaussian inputs of covariance Sigma: with ``D_j`` the eigenvalues of ``P = M^{1/2} Sigma M^{1/2}``, ``q_j =
h D_j/(2 - 2 h D_j)`` and ``Q = sum q_j``,

    E g^2 = sigma^2/(1 - Q),    S = M^{1/2} U diag(h E g^2/(2 - 2 h D_j)) U' M^{1/2},
    C = E g^2 Sigma + 2 Sigma S Sigma .

A training set ``x_1, ..., x_n`` visited uniformly: with ``z_i = U' M^{1/2} x_i`` the expected squared residuals
``gamma_i = E[g^2 | x_i]`` solve the symmetric system

    gamma_i = sigma^2 + (h/n) sum_j H_ij gamma_j,    H_ij = sum_{kl} z_ik z_il z_jk z_jl/(D_k + D_l),

and ``C = (1/n) sum_i gamma_i x_i x_i'``; this is the fourth-moment system in n unknowns, solved by conjugate
gradients. Both need mean-square stability (:func:`~theorycheck.theory.label_noise.network.critical_step`) and refuse
a step beyond it.

On the neurons a fluctuation is a boost ``B_zeta`` with ``delta = M zeta``: ``a_i`` fluctuates with variance
``w_i' M^{-1} S M^{-1} w_i``.  The mean of theta is off by the bias ``dbar`` for which the mean boost ``-h Sigma dbar``
cancels what the noise shrinks theta by,

    dbar = -(h/2) Sigma^{-1} M^{-1} (C + tr C I) theta*,

with C as above; with ``C = sigma^2 Sigma``, right for ``h ||M|| tr Sigma`` well below 1, ``-(u/2) Sigma^{-1} M^{-1}
(Sigma + tr Sigma I) theta*``.

Last state, Sigma = I: the flattest interpolator with ``E ||delta||^2 = u sqrt(d) ||theta*||`` and ``<dbar,
theta*>/||theta*|| = -sqrt(d) u/2``.  This needs the slowest fast rate ``h ||theta*||/sqrt(d)`` to be above the slow
rate ``h^2 sigma^2 d/2``: ``Theta = ||theta*||/(h sigma^2)`` well above ``d^{3/2}/2``.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers
from .network import TwoLayerLinear, critical_step

TOLERANCE = 1e-12
"""Relative residual to which the fourth-moment system is solved."""
SINGULAR = 1e-12
"""Eigenvalues below this times the largest count as 0 where a matrix must be inverted."""


@dataclass(frozen=True, eq=False)
class Fluctuations:
    """What the noise does while the kernel stands still.

    Attributes
    ----------
    covariance : ndarray, shape (d, d)
        S, of ``theta - theta*``.
    excitation : ndarray, shape (d, d)
        ``C = E[g^2 x x']``.
    residual : float
        ``E g^2``, of the noisy residual.
    misadjustment : float
        ``E g^2/sigma^2 - 1``; of the limit of small noise where sigma = 0.
    per_sample : ndarray, shape (n,), or None
        ``gamma_i = E[g^2 | x_i]``; None for Gaussian inputs.
    """

    covariance: np.ndarray
    excitation: np.ndarray
    residual: float
    misadjustment: float
    per_sample: np.ndarray | None = None


def fluctuations(kernel, step, noise, covariance=None, inputs=None, guess=None):
    """Stationary fluctuations of the error for a kernel held fixed.

    Parameters
    ----------
    kernel : array_like, shape (d, d)
        M, symmetric and positive semi-definite.
    step : float
        Effective step ``h = 2 c eta`` > 0.
    noise : float
        sigma >= 0.
    covariance : array_like, shape (d, d), optional
        Sigma of Gaussian inputs; default I.
    inputs : array_like, shape (n, d), optional
        A training set visited uniformly, instead.
    guess : array_like, shape (n,), optional
        ``gamma_i`` of a kernel nearby, in units of sigma^2, from which the solver of the training set starts.

    Returns
    -------
    Fluctuations

    Raises
    ------
    ValueError
        For shapes that do not fit, or a step outside mean-square stability (the message has the bound).
    """
    kernel, step = numbers(kernel, "entries of the kernel"), number(step, "step")
    noise = number(noise, "noise")
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
        raise ValueError(f"kernel has shape {kernel.shape}; it must be (d, d)")
    if not np.abs(kernel - kernel.T).max() <= 1e-9 * np.abs(kernel).max():
        raise ValueError("kernel is not finite or not symmetric; it must be both")
    if not (0 < step < math.inf):
        raise ValueError(f"step is {step}; it must be in (0, inf)")
    if not (0 <= noise < math.inf):
        raise ValueError(f"noise is {noise}; it must be in [0, inf)")
    if inputs is not None:
        inputs = numbers(inputs, "inputs")
        if inputs.ndim != 2 or not len(inputs) or inputs.shape[1] != len(kernel):
            raise ValueError(f"inputs have shape {inputs.shape}; it must be (n, {len(kernel)}) with n >= 1")
        return _of_data(kernel, step, noise, inputs, guess)
    covariance = np.eye(len(kernel)) if covariance is None else numbers(covariance, "entries of the covariance")
    if covariance.shape != kernel.shape:
        raise ValueError(f"covariance has shape {covariance.shape}; it must be {kernel.shape}")
    if not (np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] >= -1e-9 * np.abs(covariance).max()):
        raise ValueError("covariance is not finite or has a negative eigenvalue; all must be >= 0")
    return _of_gaussian(kernel, step, noise, covariance)


def _of_gaussian(kernel, step, noise, covariance):
    root, values, vectors = _modes(kernel, covariance)
    q = step * values / (2.0 - 2.0 * step * values)
    if not (step * values.max(initial=0.0) < 1.0 and q.sum() < 1.0):
        raise _unstable(step, critical_step(np.diag(values)))
    residual = 1.0 / (1.0 - q.sum())
    basis = root @ vectors
    spread = (basis * (step * residual / (2.0 - 2.0 * step * values))) @ basis.T
    excitation = residual * covariance + 2.0 * covariance @ spread @ covariance
    square = noise * noise
    return Fluctuations(square * spread, square * excitation, square * residual, residual - 1.0)


def _of_data(kernel, step, noise, inputs, guess):
    count = len(inputs)
    root, values, vectors = _modes(kernel, inputs.T @ inputs / count)
    basis = root @ vectors
    z = inputs @ basis
    sums = values[:, None] + values
    weights = np.where(sums > 1e-14 * values.max(initial=0.0), 1.0 / np.where(sums > 0, sums, 1.0), 0.0)

    def scatter(gamma):
        return weights * ((z.T * gamma) @ z)

    def apply(gamma):
        return gamma - step / count * np.einsum("ij,ij->i", z @ scatter(gamma), z)

    gamma = _conjugate_gradients(apply, np.ones(count), np.ones(count) if guess is None else np.asarray(guess))
    if gamma is None or not gamma.min() >= 1.0 - 1e-6:
        raise _unstable(step, critical_step(kernel, inputs))
    spread = step / count * (basis @ scatter(gamma) @ basis.T)
    excitation = (inputs.T * gamma) @ inputs / count
    square = noise * noise
    return Fluctuations(square * spread, square * excitation, square * float(gamma.mean()), float(gamma.mean()) - 1.0,
                        square * gamma)


def _modes(kernel, covariance):
    """``M^{1/2}`` and the eigenvalues and eigenvectors of ``P = M^{1/2} Sigma M^{1/2}``."""
    values, vectors = np.linalg.eigh(0.5 * (kernel + kernel.T))
    if values[0] < -1e-9 * abs(values[-1]):
        raise ValueError(f"kernel has the eigenvalue {values[0]:g}; all must be >= 0")
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    values, vectors = np.linalg.eigh(root @ covariance @ root)
    return root, np.clip(values, 0.0, None), vectors


def _conjugate_gradients(apply, right, x):
    """Solve ``apply(x) = right`` for a symmetric positive definite map; None where it is not one."""
    residual = right - apply(x)
    direction, square = residual, residual @ residual
    goal = (TOLERANCE * np.linalg.norm(right)) ** 2
    for _ in range(4 * right.size + 50):
        if square <= goal:
            return x
        image = apply(direction)
        curvature = direction @ image
        if not curvature > 0:
            return None
        x = x + square / curvature * direction
        residual = residual - square / curvature * image
        square, before = residual @ residual, square
        direction = residual + square / before * direction
    return x if square <= 1e6 * goal else None


def _unstable(step, bound):
    return ValueError(f"effective step is {step:g}; mean-square stability at this kernel needs it in (0, {bound:.6g})")


def second_layer_variance(first, kernel, covariance):
    """Variance of every ``a_i``: ``w_i' M^{-1} S M^{-1} w_i``, about ``(u/2) w_i' M^{-1} w_i``.

    Parameters
    ----------
    first : array_like, shape (m, d)
        W on the slow flow.
    kernel, covariance : array_like, shape (d, d)
        M, positive definite, and S of :func:`fluctuations`.

    Returns
    -------
    ndarray, shape (m,)
        Their sum, about ``(u/2) tr(G M^{-1})``, is what ``||a||^2`` gains from them.
    """
    boosts = np.linalg.solve(np.asarray(kernel), np.asarray(first, dtype=np.float64).T)
    return np.einsum("ji,jk,ki->i", boosts, np.asarray(covariance), boosts)


def bias(kernel, target, step, noise, covariance=None, inputs=None):
    """``E theta - theta*`` at a kernel: ``-(h/2) Sigma^{-1} M^{-1} (C + tr C I) theta*``, C the excitation.

    Parameters
    ----------
    kernel, step, noise, covariance, inputs
        As in :func:`fluctuations`; M and Sigma must be positive definite.
    target : array_like, shape (d,)
        ``theta*``.

    Returns
    -------
    ndarray, shape (d,)
        To leading order in ``u = h sigma^2``, whatever ``h ||M||``.

    Raises
    ------
    ValueError
        For shapes that do not fit, singular M or Sigma, or a step outside mean-square stability.
    """
    kernel, target = numbers(kernel, "entries of the kernel"), numbers(target, "entries of the target")
    if target.ndim != 1 or kernel.shape != (target.size,) * 2:
        raise ValueError(f"kernel {kernel.shape} and target {target.shape} must have shapes (d, d) and (d,)")
    excitation = fluctuations(kernel, step, noise, covariance, inputs).excitation
    if inputs is not None:
        inputs = numbers(inputs, "inputs")
        covariance = inputs.T @ inputs / len(inputs)
    covariance = np.eye(target.size) if covariance is None else numbers(covariance, "entries of the covariance")
    for name, matrix in (("kernel", kernel), ("covariance", covariance)):
        values = np.linalg.eigvalsh(matrix)
        if not values[0] > SINGULAR * values[-1]:
            raise ValueError(f"{name} has the eigenvalue {values[0]:.3g}; all must be > {SINGULAR:g} of the largest")
    shrunk = excitation @ target + np.trace(excitation) * target
    return -0.5 * step * np.linalg.solve(covariance, np.linalg.solve(kernel, shrunk))


@dataclass(frozen=True)
class LastState:
    """Where label-noise SGD on Gaussian inputs ends up, for ``Theta >> d^{3/2}/2``; leading order in ``u = h
    sigma^2``.

    Attributes
    ----------
    signal_ratio, least_ratio : float
        ``Theta = ||theta*||/(h sigma^2)`` and ``d^{3/2}/2``, which it must exceed well.
    output : float
        ``<E theta, theta*>/||theta*|| = ||theta*|| - sqrt(d) u/2``.
    error : float
        ``E ||theta - theta*||^2 = u sqrt(d) ||theta*||``.
    first_norm, alpha : float
        ``||W||^2 = sqrt(d) ||theta*||`` and ``||a||^2 = ||theta*||/sqrt(d)`` of the slow flow; fluctuations add.
    trace_hessian : float
        ``4 c sqrt(d) ||theta*||``.
    """

    signal_ratio: float
    least_ratio: float
    output: float
    error: float
    first_norm: float
    alpha: float
    trace_hessian: float


def last_state(model):
    """The :class:`LastState` of a :class:`~theorycheck.theory.label_noise.network.TwoLayerLinear`.

    Raises
    ------
    ValueError
        For anything but a model.
    """
    if not isinstance(model, TwoLayerLinear):
        raise ValueError(f"model is a {type(model).__name__}; it must be a TwoLayerLinear")
    root, norm, u = math.sqrt(model.dimension), model.target_norm, model.effective_step * model.noise**2
    return LastState(norm / u if u > 0 else math.inf, 0.5 * root**3, norm - 0.5 * root * u, u * root * norm,
                     root * norm, norm / root, 4.0 * model.loss_factor * root * norm)
