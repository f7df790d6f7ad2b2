"""Losses that several claims share: waves without anything random, ripples, a starting point, a tilted direction."""

import numpy as np

from ...theory.riemannian.landscapes import LogisticRegression, RippledQuadratic

RIPPLES = RippledQuadratic([1.0, 4.0], 1.5, [2.0, 1.0])
"""Not convex."""

START = np.array([1.2, -0.8])
FLAT = np.array([[0.36, 0.48], [0.48, 0.64]])
"""Projector on (0.6, 0.8)."""

PRIMES = np.array([2.0, 3.0, 5.0, 7.0, 11.0])


def waves(samples, scales, ridge, pitch=9.0, trend=True):
    """Logistic regression on features ``scale_j sin(i sqrt(prime_j))``, whose waves are incommensurate.

    Parameters
    ----------
    samples : int
    scales : sequence of float
        At most five, one per feature; unlike ones spread the spectrum.
    ridge : float
    pitch : float
        Of the labels, ``sign(sin(pitch i))`` with what the trend adds.
    trend : bool
        Add the sum of the features before the sign, so that they predict it.
    """
    features = np.sin(np.arange(1.0, samples + 1.0)[:, None] * np.sqrt(PRIMES[:len(scales)])) * scales
    noise = np.sin(pitch * np.arange(float(samples)))
    return LogisticRegression(features, np.where(noise + trend * features.sum(axis=1) > 0, 1.0, -1.0), ridge)
