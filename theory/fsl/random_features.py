r"""Random-M models: linear regression on M random combinations of the features.

The model is ``f(x; v) = <v, W phi(x)>`` with a projection ``W`` of shape (M, N) whose rows are drawn from
``N(0, I_N / M)``.  (The rows printed in the paper have covariance ``I_N``, which multiplies every eigenvalue below
by M; see :func:`projected_spectrum`.)  With ``A = H^{1/2} W^T`` and ``b = H^{1/2} theta*``,

    E(v) = ||A v - b||^2 / 2,      W H W^T = A^T A,      v* = argmin E = (W H W^T)^{-1} W H theta* .

For Gaussian features, conditional on W, one-pass SGD on ``v`` is the top-M dynamics in the eigenbasis ``u_j`` of
``W H W^T``: eigenvalues ``lambda_hat_j``, initial squares ``<u_j, v*>^2`` and approximation error ``delta_hat =
E(v*)`` (derived: ``W phi`` is Gaussian, and the residual ``<theta* - W^T v*, phi>`` is independent of it).

All of it comes from one singular value decomposition of ``A = U S V^T``, not from ``A^T A``, whose condition number
is the square: ``lambda_hat = S^2``, ``<u_j, v*> = (U^T b)_j / S_j`` and ``delta_hat = ||b - U U^T b||^2 / 2``.
Relative errors are of order ``eps * cond(A) ~ 1e-16 M^{beta/2}``.

As the width grows, ``delta_hat`` concentrates around a deterministic equivalent (derived here from the random
features resolvent; the constants below are sharp):

    delta_hat ~ (1/2) sum_j lambda_j theta*_j^2 kappa/(lambda_j + kappa),      sum_j lambda_j/(lambda_j + kappa) = M .

Li et al., arXiv 2509.19189: Sec. 2 (the model), Thm 4.6 and Lemma 4.7.
"""

import math

import numpy as np
import scipy  # scipy.optimize is loaded when it is first used

from .. import spectra
from .problem import PowerLawRegression, Spectrum

SERIES_RATIO = 16.0
SERIES_TERMS = 15


def projected_spectrum(problem, projection):
    """Return the modes of the random-M model, conditional on its projection.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        The N features the projection mixes: the first N of a power-law problem, whose features beyond N the
        model cannot see and which enter the approximation error exactly (its own ``width`` plays no part); or the N
        modes of a Spectrum without multiplicities.  Gaussian features only.
    projection : array_like, shape (M, N)
        W, of full row rank, 1 <= M <= N.  Eigenvalues scale with its square: rows of covariance ``I_N / M`` give
        eigenvalues of the size of ``lambda_j``, rows of covariance ``I_N`` eigenvalues M times larger.

    Returns
    -------
    Spectrum
        M modes in decreasing order of ``lambda_hat``.

    Raises
    ------
    ValueError
        If the shapes do not fit, the features are not Gaussian, or the projection is rank deficient.
    """
    return projected_spectra([problem], projection)[0]


def projected_spectra(problems, projection):
    """:func:`projected_spectrum` of several problems with the same eigenvalues, from one decomposition.

    Parameters
    ----------
    problems : sequence of PowerLawRegression or Spectrum
        At least one; they differ in their target and noise only.
    projection : array_like, shape (M, N)

    Returns
    -------
    list of Spectrum

    Raises
    ------
    ValueError
        As :func:`projected_spectrum`, and if the eigenvalues differ.
    """
    projection = np.asarray(projection, dtype=np.float64)
    if projection.ndim != 2 or not 1 <= projection.shape[0] <= projection.shape[1]:
        raise ValueError(f"projection has shape {projection.shape}; it must be (M, N) with 1 <= M <= N")
    if not np.all(np.isfinite(projection)):
        raise ValueError("projection has an entry that is not finite; all must be finite")
    for problem in problems:
        if problem.kurtosis != 3.0:
            raise ValueError(f"kurtosis is {problem.kurtosis:g}; the random-M model reduces to modes only for Gaussian "
                             "features (3)")
    features = [_features(problem, projection.shape[1]) for problem in problems]
    values = features[0][0]
    for place, (other, _, _) in enumerate(features):
        if not np.array_equal(other, values):
            raise ValueError(f"problem {place} has other eigenvalues than problem 0; all must have the same")
    root = np.sqrt(values)
    left, singular, _ = np.linalg.svd(root[:, None] * projection.T, full_matrices=False)
    if not singular[-1] > np.finfo(float).eps * singular[0] * projection.shape[1]:
        raise ValueError(f"projection has singular value {singular[-1]:.3g} in the norm of H; its rows must be "
                         "linearly independent")
    found = []
    for problem, (_, target, beyond) in zip(problems, features, strict=True):
        amplitude = root * np.sqrt(target)
        learned = amplitude @ left
        residual = amplitude - left @ learned
        residual -= left @ (left.T @ residual)
        found.append(Spectrum(singular**2, (learned / singular)**2, 0.5 * float(residual @ residual) + beyond,
                              problem.noise))
    return found


def effective_ridge(capacity, width, count=math.inf):
    r"""Solve ``sum_{j <= N} lambda_j/(lambda_j + kappa) = M`` for ``kappa > 0``, ``lambda_j = j^{-beta}``.

    Parameters
    ----------
    capacity : float
        ``beta`` > 1.
    width : float
        M > 0, less than ``count``.
    count : int or inf
        Number of features N.

    Returns
    -------
    float
        Relative accuracy 1e-12.  For ``N = inf``, ``kappa M^beta -> ((pi/beta)/sin(pi/beta))^beta``.
    """
    PowerLawRegression(source=1.0, capacity=capacity)
    if not 0 < width < count:
        raise ValueError(f"width is {width}; it must be in (0, {count}), the number of features")
    limit = (math.pi / capacity) / math.sin(math.pi / capacity)
    guess = -capacity * math.log(max(width, 1.0) / limit)

    def excess(log_ridge):
        return math.log(_resolvent_sum(0.0, capacity, math.exp(log_ridge), count) / width)

    low, high = guess - 1.0, guess + 1.0
    while excess(low) < 0:
        low -= 2.0
    while excess(high) > 0:
        high += 2.0
    return math.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-13, rtol=1e-15))


def approximation_error_equivalent(problem, width, count=math.inf):
    """Deterministic equivalent of ``delta_hat`` for random-M features.

    Parameters
    ----------
    problem : PowerLawRegression
        Its own width plays no part.
    width : float
        M > 0.
    count : int or inf
        Number N > M of features the projection mixes; those beyond are unseen and added exactly.

    Returns
    -------
    float
        ``(1/2) sum_{j<=N} lambda_j theta*_j^2 kappa/(lambda_j + kappa)`` plus the unseen tail.  As M grows it is of
        order ``M^{-s beta}`` for s < 1, ``M^{-beta} log M`` for s = 1 and ``M^{-beta}`` for s > 1.
    """
    ridge = effective_ridge(problem.capacity, width, count)
    lost = ridge * _resolvent_sum(1.0 + problem.difficulty - problem.capacity, problem.capacity, ridge, count)
    return 0.5 * (lost + spectra.tail_sum(1.0 + problem.difficulty, count + 1.0))


def _features(problem, count):
    """Eigenvalues, squared target and unseen excess risk of the first ``count`` features."""
    if isinstance(problem, PowerLawRegression):
        known = PowerLawRegression(problem.source, problem.capacity, count, problem.noise)
        return known.eigenvalues, known.target_squared, known.approximation_error
    if problem.eigenvalues.size != count or np.any(problem.multiplicity != 1.0):
        raise ValueError(f"the spectrum has {problem.eigenvalues.size} nodes; the projection needs {count} modes of "
                         "multiplicity one")
    return problem.eigenvalues, problem.target_squared, problem.approximation_error


def _resolvent_sum(exponent, capacity, ridge, count):
    """``sum_{j <= count} j^{-exponent} / (1 + ridge j^capacity)``, exponent + capacity > 1.

    Terms with ``ridge j^beta >= 16`` are expanded in powers of its reciprocal and summed by Hurwitz zeta functions.
    """
    first = math.ceil((SERIES_RATIO / ridge) ** (1.0 / capacity))
    if first > 50_000_000:
        raise ValueError(f"ridge is {ridge:g}; it must be large enough that at most 5e7 terms lie above it")
    j = np.arange(1, min(first, count) + 1, dtype=np.float64)
    total = float(np.sum((j**-exponent / (1.0 + ridge * j**capacity))[::-1]))
    if count > first:
        for power in range(1, SERIES_TERMS + 1):
            tail = spectra.tail_sum(exponent + power * capacity, np.array([first + 1.0, count + 1.0]))
            total += (-1.0) ** (power - 1) * ridge**-power * (tail[0] - tail[1])
    return total
