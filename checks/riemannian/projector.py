"""Claims: Muon-LITE's flat projector by a threshold, and the controller of that threshold.

Matrices have normal entries or given singular values between random orthonormal vectors; all come from one stream.
"""

from functools import cache

import numpy as np

from ...sims import streams
from ...theory.riemannian import threshold_projector as threshold
from ...theory.riemannian.muon_lite import MARGIN, AdamGain
from ...theory.riemannian.polar_express import SAFETY, TINY, singular_value_map
from .. import judges
from ..claim import claim
from .paper import LITE

SHAPES = ((24, 16), (16, 24), (12, 12), (40, 8))
FACTOR = np.log(threshold.RAISED / threshold.LOWERED)


@claim("threshold_projector", topic="riemannian", paper=LITE, where="muonlite.py", stance="reconstructed",
       statement="P = (msign(M) + msign(M/tau - msign(M)))/2 has P^T P = V 1[s > tau] V^T: no SVD is needed")
def threshold_projector(effort):
    """Exact polar factors, tau between two singular values, every rank from 1 up; error of rounding over the gap."""
    return _projectors(effort, threshold.sharp_part)


@threshold_projector.control("msign(M/tau) - msign(M) inside, without the scale")
def _(effort):
    def wrong(matrix, tau, stages):
        sign = threshold.polar(matrix, stages)
        return 0.5 * (sign + threshold.polar(threshold.polar(matrix / tau, stages) - 0.5 * sign, stages))
    return _projectors(effort, wrong)


@threshold_projector.control("the left singular vectors")
def _(effort):
    return _projectors(effort, lambda matrix, tau, stages: np.swapaxes(threshold.sharp_part(matrix, tau, stages),
                                                                      -1, -2), square_only=True)


@claim("stages_of_projector", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="with stages f in place of msign, P has singular values (f(s/|M|) + f((s/tau - f)/|..|))/2")
def stages_of_projector(effort):
    """Both maps composed, normalisations included, against the matrices; 5, 6 and 8 stages, every rank.

    The stages multiply the smallest values, and so rounding, by up to 10^4.
    """
    return _staged(effort, lambda values, stages: singular_value_map(values, stages))


@stages_of_projector.control("exact signs")
def _(effort):
    return _staged(effort, lambda values, stages: np.sign(values))


@claim("accuracy_of_projector", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="six stages, both polar factors of values >= 10^-3: P^T P is off V 1[s > tau] V^T by at most 0.0131")
def accuracy_of_projector(effort):
    """Values in units of the Frobenius norm; the stages leave [0.99347, 1.00119] of [10^-3, 1], and 1 - 0.99347^2."""
    return _accurate(effort, 6)


@accuracy_of_projector.control("five stages")
def _(effort):
    return _accurate(effort, 5)


@accuracy_of_projector.control("a threshold within 10^-4 of a singular value")
def _(effort):
    return _accurate(effort, 6, near=True)


@claim("controller_share", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="more than k directions are found in a share log(1/.95)/log(1.05/.95) = 0.5125 of the steps, any M_t")
def controller_share(effort):
    """Fixed matrices, matrices that drift and matrices drawn afresh, exact and in six stages, k = 1 and 5.

    The tolerance is exact: the share is off by |log(r_K/r_0)|/(K log(1.05/0.95)).
    """
    return _shares(effort.choose(800, 20_000), threshold.EXCESS_SHARE)


@controller_share.control("half of the steps")
def _(effort):
    return _shares(effort.choose(800, 20_000), 0.5)


@controller_share.control("a threshold that stays where it starts")
def _(effort):
    return _shares(effort.choose(100, 1000), threshold.EXCESS_SHARE, frozen=True)


@claim("controlled_rank", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="s_k and s_{k+2} more than 5 % away from s_{k+1}: the rank is k or k + 1, on average k + 0.5125")
def controlled_rank(effort):
    """Exact polar factors of fixed matrices with s_j = 1.12^-j, and |P|_F^2 compared with k + 1/2 in place of k.

    Over K steps after the threshold has arrived the mean is off by the width of its band, at most 2/K.
    """
    return _ranks(effort, 1.12)


@controlled_rank.control("a threshold that stays where it starts")
def _(effort):
    return _ranks(effort, 1.12, frozen=True)


@controlled_rank.control("singular values 2 % apart")
def _(effort):
    return _ranks(effort, 1.02)


@claim("published_comparison", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="six stages, |P|_F > sqrt k as published: for k = 1 a third of the steps may find none sharp")
def published_comparison(effort):
    """s_j = 1.12^-j: at one clear direction the stages leave |P|_F slightly above 1, and the threshold goes on rising.

    For large k the same slip moves the rank by one of many.
    """
    return _none_found(effort, 0.0)


@published_comparison.control("|P|_F^2 compared with k + 1/2")
def _(effort):
    return _none_found(effort, 0.5)


@claim("mask_bounds", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="AdamW branch: more than a share r_s of v is above the upper bound in 0.5125 of the steps, any g_t")
def mask_bounds(effort):
    """The bound moves as the threshold does, without a cap, so the tolerance is exact as in :func:`controller_share`.

    r_s = 0.1 and 0.3, gradients of scales over three decades, all steps alike or drawn afresh; the lower bound obeys
    the same law at the share r_s + 0.1 as long as it is below 0.95 of the upper one, which is checked of each run.
    """
    return _mask_shares(effort, threshold.EXCESS_SHARE)


@mask_bounds.control("half of the steps")
def _(effort):
    return _mask_shares(effort, 0.5)


@mask_bounds.control("bounds that stay where they start")
def _(effort):
    return _mask_shares(effort, threshold.EXCESS_SHARE, frozen=True)


def _mask_shares(effort, law, frozen=False):
    steps, d, found, tolerance, apart = effort.choose(1000, 20_000), 400, [], [], []
    scales, cases = np.geomspace(0.03, 30.0, d), [(share, kind) for share in (0.1, 0.3) for kind in ("still", "fresh")]
    for place, (share, kind) in enumerate(cases):
        optimizer, noise = AdamGain(share=share), _normals(place, 1 if kind == "still" else steps, d)
        state, above = optimizer.start(np.zeros(d)), np.zeros(2)
        start = np.array([state.upper, state.lower])
        for k in range(steps):
            new = optimizer.step(state, scales * noise[k % len(noise)], 0.0)
            mean = new.second.mean()
            above += [np.mean(new.second >= bound * mean) > wanted for bound, wanted in
                      ((state.upper, share), (state.lower, share + MARGIN))]
            state = new._replace(upper=state.upper, lower=state.lower) if frozen else new
            apart.append(float(state.lower / state.upper))
        found.append(above / steps)
        moved = np.abs(np.log(np.array([state.upper, state.lower]) / start))
        tolerance.append(moved / (steps * FACTOR) + 1e-9)
    return judges.every(
        shares=judges.inequality(np.abs(np.array(found) - law), np.array(tolerance),
                                 over=f"shares {np.min(found):.4f} .. {np.max(found):.4f}",
                                 at={"of": np.array([f"r_s={share} {kind}" for share, kind in cases])[:, None],
                                     "bound": np.array(["upper", "lower"])}),
        apart=judges.inequality(max(apart), 0.95, rtol=0.0))


def _normals(place, *shape):
    key = streams.key(0, "riemannian.projector")
    return streams.normals(key, place, 0, int(np.prod(shape))).reshape(shape).astype(float)


def _matrix(place, m, n, values=None):
    """Normal entries, or given singular values between the singular vectors of such a matrix."""
    u, s, v = np.linalg.svd(_normals(place, m, n), full_matrices=False)
    return (u * (s if values is None else values)) @ v


def _between(matrix):
    """Singular values, right singular vectors, and thresholds half-way between neighbours."""
    _, s, v = np.linalg.svd(matrix, full_matrices=False)
    return s, v, 0.5 * (s[:-1] + s[1:])


def _projectors(effort, sharp_part, square_only=False):
    """Error times the gap |s/tau - 1| at its least: rounding of msign is amplified by its inverse."""
    errors = []
    for place, (m, n) in enumerate(SHAPES * effort.choose(2, 20)):
        if square_only and m != n:
            continue
        matrix = _matrix(place, m, n)
        s, v, thresholds = _between(matrix)
        for tau in thresholds:
            p = sharp_part(matrix, tau, None)
            wanted = (v.T * (s > tau)) @ v
            errors.append(np.abs(np.swapaxes(p, -1, -2) @ p - wanted).max() * np.abs(s / tau - 1.0).min())
    return judges.inequality(errors, 1e-12, over=f"{len(errors)} projectors")


def _staged(effort, law):
    def scaled(values, stages):
        return np.sign(values) * law(np.abs(values) / (np.linalg.norm(values) + TINY / SAFETY), stages)

    parts = {}
    for stages in (5, 6, 8):
        found, expected = [], []
        for place, (m, n) in enumerate(SHAPES * effort.choose(1, 10)):
            matrix = _matrix(place, m, n)
            s, _, thresholds = _between(matrix)
            for tau in thresholds:
                first = scaled(s, stages)
                expected.append(np.sort(np.abs(first + scaled(s / tau - first, stages)) / 2.0)[::-1])
                found.append(np.linalg.svd(threshold.sharp_part(matrix, tau, stages), compute_uv=False))
        parts[f"{stages} stages"] = judges.equal(np.concatenate(found), np.concatenate(expected), atol=1e-10,
                                                 over="singular values")
    return judges.every(**parts)


def _accurate(effort, stages, near=False):
    errors = []
    for place in range(effort.choose(40, 1000)):
        m, n = SHAPES[place % len(SHAPES)]
        matrix = _matrix(place, m, n)
        s, v, thresholds = _between(matrix)
        tau = s[1] * (1.0 + 1e-4) if near else thresholds[place % thresholds.size]
        rest = s / tau - singular_value_map(s / np.linalg.norm(s), stages)
        if not near and min(s.min() / np.linalg.norm(s), np.abs(rest).min() / np.linalg.norm(rest)) < 1e-3:
            continue
        p = threshold.sharp_part(matrix, tau, stages)
        errors.append(np.linalg.norm(p.T @ p - (v.T * (s > tau)) @ v, 2))
    return judges.inequality(errors, 0.0131, over=f"{len(errors)} matrices")


@cache
def _followed(kind, rank, stages, steps, frozen):
    """Share of steps with more than `rank` directions, and how far it may be from its limit."""
    m, n, keep = 12, 8, {"fixed": 1.0, "drifting": 0.99, "fresh": 0.0}[kind]
    noise, start, above = _normals(rank, steps, m, n), np.array(threshold.first_ratio(m, n)), 0
    matrix, ratio = noise[0], start
    for k in range(steps):
        matrix = keep * matrix + np.sqrt(1.0 - keep**2) * noise[k]
        sharp = threshold.sharp_part(matrix, ratio * np.linalg.norm(matrix), stages)
        above += bool(threshold.exceeds(sharp, rank))
        ratio = ratio if frozen else threshold.controlled(ratio, sharp, rank)
    return above / steps, abs(np.log(ratio / start)) / (steps * FACTOR) + 1e-9


def _shares(steps, share, frozen=False):
    cases = [(kind, rank, stages) for kind in ("fixed", "drifting", "fresh") for rank in (1, 5) for stages in (None, 6)]
    found, tolerance = np.transpose([_followed(*case, steps, frozen) for case in cases])
    return judges.inequality(np.abs(found - share), tolerance, over=f"shares {found.min():.4f} .. {found.max():.4f}",
                             at={"of": [f"k={rank} {kind} {stages or 'exact'}" for kind, rank, stages in cases]})


def _numbers_found(effort, spacing, rank, stages, margin, frozen=False):
    """Directions with a singular value of P above 1/2, along 2000 steps on a fixed matrix."""
    values, found = spacing ** -np.arange(8.0), []
    matrix, ratio = _matrix(rank, 12, 8, values), np.array(threshold.first_ratio(12, 8))
    for _ in range(effort.choose(1000, 20_000) + 200):
        sharp = threshold.sharp_part(matrix, ratio * np.linalg.norm(values), stages)
        found.append(np.sum(np.linalg.svd(sharp, compute_uv=False) > 0.5))
        ratio = ratio if frozen else threshold.controlled(ratio, sharp, rank, margin)
    return np.array(found[200:])


def _ranks(effort, spacing, frozen=False):
    parts = {}
    for rank in (1, 2, 5):
        found = _numbers_found(effort, spacing, rank, None, 0.5, frozen)
        parts[f"k={rank}"] = judges.every(
            mean=judges.equal(found.mean(), rank + threshold.EXCESS_SHARE, atol=2.0 / found.size),
            least=judges.equal(found.min(), rank), most=judges.equal(found.max(), rank + 1.0))
    return judges.every(**parts)


def _none_found(effort, margin):
    found = _numbers_found(effort, 1.12, 1, 6, margin)
    return judges.inequality(1.0 / 3.0, np.mean(found == 0), over=f"mean rank {found.mean():.3f}")
