r"""Exact identities of single steps: how the imbalance of two layers changes, and the sharpness of interpolators.

The imbalance ``D = W W' - a a'`` (m, m) is what gradient flow conserves (W'W - a a' would not even have one shape).  A
step of size h changes it at second order only, exactly so (arXiv 2603.10397 for the diagonal of the first; the rest
derived), with g the residual, ``e = Sigma (theta* - theta)``:

    SGD, noise or not    D' - D = h^2 g^2 (||x||^2 a a' - W x x' W')
    gradient descent     D' - D = h^2 (||e||^2 a a' - W e e' W')
    batch-1 SAM          D' - D = -2 h r~ p (W x x' W' - ||x||^2 a a') + h^2 r~^2 (||x||^2 a~ a~' - W~ x x' W~')

with ``p = rho sign(r)/N``, ``a~ = a + p W x``, ``W~ = W + p a x'`` and r~ the residual at the shifted weights.  The
diagonal of the first, summed over steps, is the norm identity

    ||w_i(k)||^2 - a_i(k)^2 = ||w_i(0)||^2 - a_i(0)^2 + h^2 sum_j DW_i(j),    DW_i = -g^2 (<x, w_i>^2 - a_i^2 ||x||^2),

and ``(a_i' - a_i)^2 = h^2 g^2 <x, w_i>^2`` (the paper's text has it without the ``h^2``).

Sharpness.  On the interpolators, H = ``J' Sigma J`` with J the Jacobian of theta has the nonzero eigenvalues of ``M
Sigma``.  Its trace ``s alpha + tr(W Sigma W')`` is at least ``2 sqrt(s theta*'Sigma theta*)``, attained at ``W = a
theta*'/alpha``; ``n theta*'Sigma theta* = ||y||^2``, so that for n < d that least value is the same for every
interpolator of the labels.
"""

import math

import numpy as np

from ..arguments import numbers


def imbalance(first, second):
    """``D = W W' - a a'``, shape (m, m), of layers (m, d) and (m,)."""
    first, second = _layers(first, second)
    return first @ first.T - np.outer(second, second)


def norm_change(first, second, x, residual):
    """``DW_i = -g^2 (<x, w_i>^2 - a_i^2 ||x||^2)``, shape (m,).

    Parameters
    ----------
    first, second : array_like, shapes (m, d) and (m,)
        W and a before the step.
    x : array_like, shape (d,)
        Input.
    residual : float
        ``g = f(x) - y - eps``.
    """
    first, second = _layers(first, second)
    x = numbers(x, "entries of the input")
    if x.shape != first.shape[1:]:
        raise ValueError(f"input has shape {x.shape}; it must be {first.shape[1:]}")
    return -residual**2 * ((first @ x) ** 2 - second**2 * (x @ x))


def sgd_imbalance(first, second, x, residual, step):
    """``D' - D`` of one step of SGD, shape (m, m); parameters as in :func:`norm_change`, ``step`` is h."""
    first, second = _layers(first, second)
    x = np.asarray(x, dtype=np.float64)
    seen = first @ x
    return (step * residual) ** 2 * (x @ x * np.outer(second, second) - np.outer(seen, seen))


def descent_imbalance(first, second, error, step):
    """``D' - D`` of one step of gradient descent, shape (m, m); ``error`` is ``Sigma (theta* - theta)`` (d,)."""
    return sgd_imbalance(first, second, error, 1.0, step)


def sharpness_aware_imbalance(first, second, x, label, step, radius):
    """``D' - D`` of one step of batch-1 SAM on ``(x, label)``, shape (m, m); ``radius`` is rho, ``step`` is h."""
    first, second = _layers(first, second)
    x = np.asarray(x, dtype=np.float64)
    seen, square = first @ x, x @ x
    residual = second @ seen - label
    norm = math.sqrt(second @ second * square + seen @ seen)
    p = radius * np.sign(residual) / norm if norm > 0 else 0.0
    shifted = (second + p * seen) @ (seen + p * square * second) - label
    outer, ahead = np.outer(second, second), second + p * seen
    carried = seen + p * square * second
    return (-2.0 * step * shifted * p * (np.outer(seen, seen) - square * outer)
            + (step * shifted) ** 2 * (square * np.outer(ahead, ahead) - np.outer(carried, carried)))


def jacobian(first, second):
    """J (d, m d + m) of theta = W'a by the entries of W, neuron by neuron, then those of a."""
    first, second = _layers(first, second)
    return np.hstack([np.kron(second, np.eye(first.shape[1])), first.T])


def least_trace_hessian(target, covariance=None, loss_factor=0.5):
    """``4 c sqrt(tr Sigma theta*'Sigma theta*)``: the least ``tr H`` of an interpolator; Sigma defaults to I."""
    target = numbers(target, "entries of the target")
    covariance = np.eye(target.size) if covariance is None else np.asarray(covariance, dtype=np.float64)
    return 4.0 * loss_factor * math.sqrt(np.trace(covariance) * max(target @ covariance @ target, 0.0))


def _layers(first, second):
    first, second = numbers(first, "entries of W"), numbers(second, "entries of a")
    if first.ndim != 2 or second.shape != first.shape[:1]:
        raise ValueError(f"first layer {first.shape} and second layer {second.shape} must have shapes (m, d) and (m,)")
    return first, second
