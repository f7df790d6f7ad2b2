r"""Covariance of the stochastic gradient and its comparison with the Hessian.

At error ``u = v - v*`` the gradient of one sample is ``(x.u - eps) x`` with ``x`` of covariance ``H = diag(lambda_j)``,
independent coordinates of kurtosis kappa, and ``E eps^2 = sigma_M^2``.  Its covariance is (derived)

    Sigma(u) = (2E + sigma_M^2) H + H u u^T H + (kappa - 3) diag(lambda_j^2 u_j^2),       2E = u^T H u ,

so that with ``a = H^{1/2} u`` the matrix ``H^{-1/2} Sigma H^{-1/2} = (|a|^2 + sigma_M^2) I + a a^T + (kappa - 3)
diag(a_j^2)``.  For Gaussian features its eigenvalues are ``2E + sigma_M^2`` (M - 1 times) and ``4E + sigma_M^2``
(once): Lemma 4.8 of Li et al., arXiv 2509.19189,

    (2 rho_- E + sigma^2) H <= Sigma <= (2 rho_+ E + sigma^2) H ,

holds with ``rho_- = 1`` and ``rho_+ = 2``, and with no better constants.
"""

import numpy as np


def noise_covariance(spectrum, error):
    """Return ``Sigma(u)`` for a batch of one.

    Parameters
    ----------
    spectrum : Spectrum
        M modes of multiplicity one.
    error : array_like, shape (M,)
        ``u`` in the eigenbasis.

    Returns
    -------
    ndarray, shape (M, M)
    """
    error = np.asarray(error, dtype=np.float64)
    values = spectrum.eigenvalues
    if error.shape != values.shape or np.any(spectrum.multiplicity != 1.0):
        raise ValueError(f"error has shape {error.shape}; it must have one entry for each of the {values.size} modes, "
                         "of multiplicity one")
    pushed = values * error
    level = float(error @ pushed) + spectrum.label_variance
    return (np.diag(level * values + (spectrum.kurtosis - 3.0) * pushed**2) + np.outer(pushed, pushed))


def noise_bounds(spectrum, error):
    """Return the extreme ``rho`` for which ``2 rho E + sigma_M^2`` is an eigenvalue of ``Sigma`` against H.

    Parameters
    ----------
    spectrum, error
        As for :func:`noise_covariance`; the error must not be 0.

    Returns
    -------
    low, high : float
        Lemma 4.8 holds at this ``u`` exactly for ``rho_- <= low`` and ``rho_+ >= high``.
    """
    root = np.sqrt(spectrum.eigenvalues)
    relative = noise_covariance(spectrum, error) / np.outer(root, root)
    twice = float(np.sum(spectrum.eigenvalues * np.asarray(error, dtype=np.float64)**2))
    if not twice > 0:
        raise ValueError("error is 0; it must have a nonzero entry, the gradient noise is sigma^2 H there")
    eigenvalues = np.linalg.eigvalsh(relative) - spectrum.label_variance
    return float(eigenvalues[0] / twice), float(eigenvalues[-1] / twice)
