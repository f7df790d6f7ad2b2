r"""The second moment of the error while the kernel stands still, step by step.

Notation of :mod:`.network`.  With M held fixed, ``S = E[delta delta']`` obeys exactly (derived)

    S <- S - h (M Sigma S + S Sigma M) + h^2 M E[x x' S x x'] M + h^2 sigma^2 M Sigma M,

whose linear part has spectral radius below one if and only if h is below :func:`.network.critical_step`; its rest point
is :func:`.fluctuations.fluctuations`.  For Gaussian inputs ``E[x x' S x x'] = 2 S + tr(S) I``.
"""

import math

import numpy as np

from ..arguments import number, numbers
from .network import MAX_ENTRIES


def error_path(kernel, step, noise, times, inputs=None, start=None):
    """``E ||delta||^2`` after given numbers of steps.

    Parameters
    ----------
    kernel : array_like, shape (d, d)
        M, symmetric.
    step : float
        Effective step h > 0, stable or not.
    noise : float
        sigma >= 0.
    times : array_like of int, shape (T,)
        Numbers of steps, increasing, >= 0.
    inputs : array_like, shape (n, d), optional
        Training set visited uniformly; default standard Gaussian inputs.
    start : array_like, shape (d, d), optional
        S before the first step; default 0.

    Returns
    -------
    ndarray, shape (T,)

    Raises
    ------
    ValueError
        For shapes that do not fit or numbers out of range.
    """
    kernel, inputs, step = _checked(kernel, inputs, step)
    if not 0 <= number(noise, "noise") < math.inf:
        raise ValueError(f"noise is {noise}; it must be in [0, inf)")
    times = numbers(times, "times")
    if times.ndim != 1 or not (np.isfinite(times).all() and (times == np.floor(times)).all() and times.size
                               and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise ValueError("times must be whole, >= 0 and increase")
    moment = np.zeros_like(kernel) if start is None else numbers(start, "entries of the start")
    if moment.shape != kernel.shape:
        raise ValueError(f"start has shape {moment.shape}; it must be {kernel.shape}")
    covariance = np.eye(len(kernel)) if inputs is None else inputs.T @ inputs / len(inputs)
    source = (step * noise) ** 2 * kernel @ covariance @ kernel
    out, k = [], 0
    for time in times:
        for _ in range(int(time) - k):
            moment = _moved(moment, kernel, covariance, inputs, step) + source
        k = int(time)
        out.append(np.trace(moment))
    return np.array(out)


def growth(kernel, step, inputs=None, sampling=True):
    """Spectral radius of the linear part of the recursion, from its matrix on symmetric S.

    Parameters
    ----------
    kernel, step, inputs
        As in :func:`error_path`.
    sampling : bool
        If False, every step sees all inputs: ``Sigma S Sigma`` in place of ``E[x x' S x x']``.

    Returns
    -------
    float
        Below 1 if and only if the step is mean-square stable.

    Raises
    ------
    ValueError
        As for :func:`error_path`, and where the matrix would have more than 2 10^7 entries (d > 94).
    """
    kernel, inputs, step = _checked(kernel, inputs, step)
    d = len(kernel)
    rows, columns = np.triu_indices(d)
    if rows.size**2 > MAX_ENTRIES:
        raise ValueError(f"dimension is {d}; it must be at most 94 for the matrix of the recursion")
    covariance = np.eye(d) if inputs is None else inputs.T @ inputs / len(inputs)
    matrix = np.empty((rows.size, rows.size))
    for place, (j, k) in enumerate(zip(rows, columns)):
        unit = np.zeros((d, d))
        unit[j, k] = unit[k, j] = 1.0
        if sampling:
            moved = _moved(unit, kernel, covariance, inputs, step)
        else:
            factor = np.eye(d) - step * kernel @ covariance
            moved = factor @ unit @ factor.T
        matrix[:, place] = moved[rows, columns]
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def _moved(moment, kernel, covariance, inputs, step):
    if inputs is None:
        seen = 2.0 * moment + np.trace(moment) * np.eye(len(moment))
    else:
        seen = (inputs.T * np.einsum("ij,ij->i", inputs @ moment, inputs)) @ inputs / len(inputs)
    # both products, though one is the other's transpose: an asymmetry of rounding must decay too
    pulled = kernel @ covariance @ moment + moment @ covariance @ kernel
    return moment - step * pulled + step**2 * kernel @ seen @ kernel


def _checked(kernel, inputs, step):
    kernel = numbers(kernel, "entries of the kernel")
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
        raise ValueError(f"kernel has shape {kernel.shape}; it must be (d, d)")
    if not 0 < number(step, "step") < math.inf:
        raise ValueError(f"step is {step}; it must be in (0, inf)")
    if inputs is not None:
        inputs = numbers(inputs, "inputs")
        if inputs.ndim != 2 or not len(inputs) or inputs.shape[1] != len(kernel):
            raise ValueError(f"inputs have shape {inputs.shape}; it must be (n, {len(kernel)}) with n >= 1")
    return kernel, inputs, float(step)
