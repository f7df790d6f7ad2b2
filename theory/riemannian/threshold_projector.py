r"""Sharp and flat directions of a matrix by a threshold on its singular values, and the controller of that threshold.

For ``M = U diag(s) V^T`` and ``tau > 0``, as Muon-LITE has it (arXiv 2602.22681, ``muonlite.py``),

    P = (msign(M) + msign(M/tau - msign(M)))/2 = U diag(1[s > tau]) V^T,     Q = I_n - P^T P,

with the exact polar factor, since msign of the second matrix has the singular values ``sign(s/tau - 1)``: so ``P^T P``
projects on the right singular vectors above the threshold, without an SVD being taken, and ``|P|_F^2`` counts them.
Only the right (n x n) side is used, whatever the shape; for m < n the null space of M counts as flat.

Controller: ``tau = r |M|_F`` with ``r_0 = 1/sqrt(min(m, n))``, then

    r <- min(1, 1.05 r) if |P|_F > sqrt k, else 0.95 r,      k = min(floor(share min(m, n)) + 1, min(m, n) - 1).

Its long run (derived).  ``log r`` moves by ``log 1.05`` or ``log 0.95`` and, as long as the cap at 1 is not met, stays
bounded; so whatever M does, the share of steps that find more than k directions tends to

    log(1/0.95)/log(1.05/0.95) = 0.5125,

and after K steps it is off by ``|log(r_K/r_0)|/(K log(1.05/0.95))`` exactly.  On a fixed M with exact polar factors the
threshold moves up and down across ``s_{k+1}``, by 5 % at most: where ``s_k`` and ``s_{k+2}`` are farther away,
the mean rank tends to k + 0.5125, not to k, and where ``s_{k+2}`` is closer it is larger.
"""

import numpy as np

from ..arguments import number, shown
from .polar import polar_factor
from .polar_express import STAGES, polar_express

RAISED, LOWERED = 1.05, 0.95
"""Factors of the threshold."""
EXCESS_SHARE = np.log(1.0 / LOWERED) / np.log(RAISED / LOWERED)
"""Share of steps with more than k directions, 0.5125."""
OFFSET = 1e-9
"""Added to the threshold."""


def polar(matrices, stages=STAGES):
    """The polar factor in so many stages of :func:`.polar_express.polar_express`, or by SVD for ``stages=None``."""
    return polar_factor(matrices) if stages is None else polar_express(matrices, stages)


def sharp_part(matrices, threshold, stages=STAGES, sign=None):
    """``P``: the singular vectors above a threshold, with singular values 1 there and 0 elsewhere.

    Parameters
    ----------
    matrices : array_like, shape (..., m, n)
        M.
    threshold : array_like, shape (...)
        tau > 0.
    stages : int or None
        Of the polar factors; None is by SVD.
    sign : array_like, shape (..., m, n), optional
        msign(M), where it is known already.

    Returns
    -------
    ndarray, shape (..., m, n)

    Raises
    ------
    ValueError
        For a threshold that is not positive.
    """
    matrices, threshold = np.asarray(matrices, float), np.asarray(threshold, float)
    if not (threshold > 0).all():
        raise ValueError(f"threshold is {shown(float(threshold.min()))}; it must be > 0")
    sign = polar(matrices, stages) if sign is None else sign
    return 0.5 * (sign + polar(matrices / threshold[..., None, None] - sign, stages))


def flat_projector(sharp):
    """``Q = I - P^T P``, shape (..., n, n)."""
    return np.eye(sharp.shape[-1]) - np.swapaxes(sharp, -1, -2) @ sharp


def target_rank(rows, columns, share=0.1):
    """k, how many directions of an m x n matrix shall count as sharp.

    Parameters
    ----------
    rows, columns : int
        At least 2 the smaller.
    share : float
        r_s in [0, 1].

    Raises
    ------
    ValueError
        For anything else.
    """
    least, share = min(rows, columns), number(share, "share")
    if least < 2:
        raise ValueError(f"a matrix of shape ({rows}, {columns}) has no flat direction beside a sharp one; both sides "
                         "must be at least 2")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share:g}; it must be in [0, 1]")
    return min(int(share * least) + 1, least - 1)


def first_ratio(rows, columns):
    """``r_0 = 1/sqrt(min(m, n))``: the threshold starts at the root mean square singular value."""
    return 1.0 / np.sqrt(min(rows, columns))


def exceeds(sharp, rank, margin=0.0):
    """Whether more than k directions were found, ``|P|_F^2 > k + margin``, shape (...).

    Parameters
    ----------
    sharp : ndarray, shape (..., m, n)
        P.
    rank : int
        k.
    margin : float
        0 as published, where at exactly k directions rounding or the stages decide; 1/2 decides as meant.
    """
    return np.sqrt(np.sum(np.square(sharp), axis=(-2, -1))) > np.sqrt(rank + margin)


def controlled(ratio, sharp, rank, margin=0.0):
    """The next ratio r of the threshold to the norm.

    Parameters
    ----------
    ratio : array_like, shape (...)
        r.
    sharp : ndarray, shape (..., m, n)
        P.
    rank, margin
        See :func:`exceeds`.

    Returns
    -------
    ndarray, shape (...)
    """
    return np.minimum(1.0, ratio * np.where(exceeds(sharp, rank, margin), RAISED, LOWERED))
