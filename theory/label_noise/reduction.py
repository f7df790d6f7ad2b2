r"""The exact width-free reduction: any step that is one linear map for all neurons closes in d + 1 dimensions.

Width-free recursion (derived).  With ``Z_i = (w_i, a_i)`` and ``B_z = [[0, z], [z', 0]]`` a step is one linear map for
all neurons, ``Z_i <- T Z_i``, so

    K = sum_i Z_i Z_i' = [[G, theta], [theta', alpha]] <- T K T',      G = W'W,  theta = W'a,  alpha = ||a||^2,

closes whatever the width, because b depends on theta only, and ``Phi <- T Phi``, ``Phi_0 = I``, recovers every neuron:
``Z_i(k) = Phi_k Z_i(0)``.  For SGD ``T = I + b B_x``, which written out is

    G     <- G + x u' + u x',                u = b theta + b^2 alpha x/2,
    theta <- theta + b (G x + alpha x) + b^2 <theta, x> x,
    alpha <- alpha + 2 b <theta, x> + b^2 x'G x .

Full-batch gradient descent has ``T = I + h B_e`` with ``e = Sigma (theta* - theta)``, and batch-1 SAM ``T = I - h r~
B_x (I + p B_x)``, ``B_x^2 = diag(x x', ||x||^2)``: see the functions.  Periodic noise, batches and noise on all
labels only change b or e.

Scale symmetry (derived).  With l > 0, ``(h, sigma, theta*, K) -> (h/l, l sigma, l theta*, l K)`` leaves b as it is,
and so T and ``K(k)/l``: what matters is ``h sigma``, ``Theta = ||theta*||/(h sigma^2)`` and ``K(0)/(h sigma^2)``.
"""

import math
from dataclasses import replace

import numpy as np
from numba import njit

from ..arguments import number, numbers


def gram(first, second):
    """The closed state of a network.

    Parameters
    ----------
    first : array_like, shape (m, d)
        W.
    second : array_like, shape (m,)
        a.

    Returns
    -------
    ndarray, shape (d + 1, d + 1)
        ``K = [[W'W, W'a], [a'W, ||a||^2]]``.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    first, second = numbers(first, "entries of W"), numbers(second, "entries of a")
    if first.ndim != 2 or second.shape != first.shape[:1] or first.size == 0:
        raise ValueError(f"first layer {first.shape} and second layer {second.shape} must have shapes (m, d) and (m,)")
    neurons = np.column_stack([first, second])
    return neurons.T @ neurons


def generator(z):
    """``B_z = [[0, z], [z', 0]]``, shape (d + 1, d + 1), of a vector z (d,)."""
    z = np.asarray(z, dtype=np.float64)
    out = np.zeros((z.size + 1, z.size + 1))
    out[:-1, -1] = out[-1, :-1] = z
    return out


def sgd_transition(state, x, label, step):
    """T of one SGD step: ``I + b B_x``, ``b = -h (<theta, x> - label)``.

    Parameters
    ----------
    state : ndarray, shape (d + 1, d + 1)
        K.
    x : array_like, shape (d,)
        Input.
    label : float
        Noisy label ``<theta*, x> + eps``.
    step : float
        Effective step h.

    Returns
    -------
    ndarray, shape (d + 1, d + 1)
        Neurons become ``T Z_i``, the state ``T K T'``.
    """
    x = np.asarray(x, dtype=np.float64)
    return np.eye(len(state)) - step * (state[:-1, -1] @ x - label) * generator(x)


def descent_transition(state, covariance, target, step):
    """T of one step of full-batch gradient descent: ``I + h B_e``, ``e = Sigma (theta* - theta)``.

    ``covariance`` is ``Sigma`` (d, d), ``target`` is ``theta*`` (d,); the rest as in :func:`sgd_transition`.
    """
    error = np.asarray(covariance) @ (np.asarray(target) - state[:-1, -1])
    return np.eye(len(state)) + step * generator(error)


def sharpness_aware_transition(state, x, label, step, radius):
    """T of one step of batch-1 SAM: the gradient is taken ``radius`` = rho up the normalised gradient.

    ``T = I - h r~ B_x (I + p B_x)`` with ``p = rho sign(r)/N``, ``N^2 = alpha ||x||^2 + x'G x`` and the residual
    at the shifted point ``r~ = r + p N^2 + p^2 ||x||^2 <theta, x>`` (derived; sign(0) = 0).  Parameters as in
    :func:`sgd_transition`.
    """
    x = np.asarray(x, dtype=np.float64)
    output, square = state[:-1, -1] @ x, x @ x
    residual = output - label
    norm = math.sqrt(state[-1, -1] * square + x @ state[:-1, :-1] @ x)
    shift = radius * np.sign(residual) / norm if norm > 0 else 0.0
    shifted = residual + shift * norm**2 + shift**2 * square * output
    unit, b = np.eye(len(state)), generator(x)
    return unit - step * shifted * b @ (unit + shift * b)


def _record(record, most=math.inf):
    """Numbers of steps, increasing and each once."""
    wanted = numbers(list(record), "recorded numbers of steps").ravel()
    for k in wanted:
        if not (0 <= k <= most and k < math.inf and k == int(k)):
            raise ValueError(f"record contains {k:g}; it must have integers in 0..{most:g}")
    return sorted({int(k) for k in wanted})


def _positive(step):
    step = number(step, "step")
    if not 0 < step < math.inf:
        raise ValueError(f"step is {step}; it must be in (0, inf)")
    return step


def label_noise_path(state, inputs, labels, step, record=None):
    """Run the width-free recursion over given inputs and noisy labels: the plain reference for the simulations.

    Parameters
    ----------
    state : array_like, shape (d + 1, d + 1)
        ``K_0``.
    inputs : array_like, shape (k, d)
        The input of every step.
    labels : array_like, shape (k,)
        ``<theta*, x> + eps`` of every step.
    step : float
        Effective step h > 0.
    record : iterable of int, optional
        Numbers of steps, in 0..k, after which to keep the state; default the end.

    Returns
    -------
    states, maps : ndarray, shape (T, d + 1, d + 1)
        ``K`` and ``Phi`` after the recorded numbers of steps, in increasing order.

    Raises
    ------
    ValueError
        If the shapes do not fit, for a step outside (0, inf), or a recorded number outside 0..k.
    """
    state, inputs = numbers(state, "entries of the state"), numbers(inputs, "inputs")
    labels = numbers(labels, "labels")
    if state.ndim != 2 or inputs.ndim != 2 or state.shape != (inputs.shape[1] + 1,) * 2 \
            or labels.shape != inputs.shape[:1]:
        raise ValueError(f"state {state.shape}, inputs {inputs.shape} and labels {labels.shape} must have shapes "
                         "(d + 1, d + 1), (k, d) and (k,)")
    step, wanted = _positive(step), [len(inputs)] if record is None else _record(record, len(inputs))
    phi, states, maps = np.eye(len(state)), [], []
    for k in range(len(inputs) + 1):
        if k in wanted:
            states.append(state.copy())
            maps.append(phi.copy())
        if k < len(inputs):
            transition = sgd_transition(state, inputs[k], labels[k], step)
            state, phi = transition @ state @ transition.T, transition @ phi
    return np.array(states), np.array(maps)


def neurons(phi, first, second):
    """Layers of every neuron after a map: ``Z_i = Phi Z_i(0)``.

    Parameters
    ----------
    phi : array_like, shape (d + 1, d + 1)
        Phi.
    first, second : array_like, shapes (m, d) and (m,)
        W and a at the start.

    Returns
    -------
    first, second : ndarray, shapes (m, d) and (m,)
    """
    first, second, phi = numbers(first, "entries of W"), numbers(second, "entries of a"), numbers(phi, "entries of Phi")
    if first.ndim != 2 or second.shape != first.shape[:1] or phi.shape != (first.shape[1] + 1,) * 2:
        raise ValueError(f"map {phi.shape}, first layer {first.shape} and second layer {second.shape} must have shapes "
                         "(d + 1, d + 1), (m, d) and (m,)")
    moved = np.column_stack([first, second]) @ phi.T
    return moved[:, :-1], moved[:, -1]


def rescaled(model, factor):
    """The model that the scale symmetry carries a model to: its path is K times ``factor``.

    ``factor`` l > 0 divides the step and multiplies noise and target; the scales of the start take its square root.
    The correspondence is exact to the last bit for a power of four.

    Raises
    ------
    ValueError
        For a factor that is not positive.
    """
    factor = number(factor, "factor")
    if not (0 < factor < math.inf):
        raise ValueError(f"factor is {factor}; it must be in (0, inf)")
    root = math.sqrt(factor)
    return replace(model, step=model.step / factor, noise=model.noise * factor, target_norm=model.target_norm * factor,
                   first_scale=model.first_scale * root, second_scale=model.second_scale * root)


def descent_path(state, covariance, target, step, record):
    """Run full-batch gradient descent without noise, at ``O(d^2)`` a step.

    Parameters
    ----------
    state : array_like, shape (d + 1, d + 1)
        ``K_0``.
    covariance, target : array_like, shapes (d, d) and (d,)
        Sigma and theta*.
    step : float
        Effective step h > 0.
    record : iterable of int
        Numbers of steps after which to keep the state, >= 0.

    Returns
    -------
    states, maps : ndarray, shape (T, d + 1, d + 1)
        K and Phi after the recorded numbers of steps, in increasing order.

    Raises
    ------
    ValueError
        If the shapes do not fit, for a step outside (0, inf), or recorded numbers that are not integers >= 0.
    """
    state, covariance = numbers(state, "entries of the state"), numbers(covariance, "entries of the covariance")
    target, d = numbers(target, "entries of the target"), len(covariance)
    if state.shape != (d + 1, d + 1) or covariance.shape != (d, d) or target.shape != (d,):
        raise ValueError(f"state {state.shape}, covariance {covariance.shape} and target {target.shape} must have "
                         "shapes (d + 1, d + 1), (d, d) and (d,)")
    phi, done, states, maps = np.eye(d + 1), 0, [], []
    step, record = _positive(step), _record(record)
    for k in record:
        _descend(phi, state, covariance, target, step, k - done)
        done = k
        states.append(phi @ state @ phi.T)
        maps.append(phi.copy())
    return np.array(states), np.array(maps)


@njit(cache=True)
def _descend(phi, start, covariance, target, step, count):
    """Move Phi in place by that many steps of gradient descent."""
    d = target.size
    for _ in range(count):
        theta = phi[:d] @ (start @ phi[d])
        pull = step * (covariance @ (target - theta))
        top = pull @ phi[:d]
        for j in range(d):
            for k in range(d + 1):
                phi[j, k] += pull[j] * phi[d, k]
        for k in range(d + 1):
            phi[d, k] += top[k]
