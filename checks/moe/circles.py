"""Claims about gates that have to be nonlinear: concentric circles, the one served by none who serves the other."""

from functools import cache

import numpy as np

from ...sims import streams
from ...theory.moe import circles
from .. import judges
from ..claim import claim
from .paper import MOE

RATIOS = (0.1, 0.3, 0.49, 0.51, 0.7, 0.72, 0.8, 0.9)
"""r/R."""
POINTS = 2**14
"""Points of a circle on which a share is counted: every boundary of an arc is uncertain by one of them."""


@claim("concentric_circles", topic="moe", paper=MOE, where="Sec. 5, remarks on gating", stance="derived",
       statement="affine gate: share of the outer circle served with the inner >= 1 - (E-1) arccos(r/R)/pi, sharp")
def concentric_circles(effort):
    """Gates found by search against the bound, explicit ones against equality, E = 1 .. n; no share at E = 1 + n.

    n = min{n >= 3: cos(pi/n) > r/R}.
    """
    return judges.every(searched=_searched(effort, 1), attained=_attained(), pure=_pure(0))


@concentric_circles.control("E in place of E - 1 outer cells in the formula")
def _(effort):
    return _attained(1)


@concentric_circles.control("n experts in place of 1 + n")
def _(effort):
    return _pure(-1)


@concentric_circles.control("arcs of half the angle, against gates that were searched")
def _(effort):
    return _searched(effort, 0.5)


@claim("two_layer_gate", topic="moe", paper=MOE, where="Sec. 5, remarks on gating", stance="derived",
       statement="a gate with one hidden layer separates concentric circles with E = 2 experts, for every r/R < 1")
def two_layer_gate(effort):
    """The share of the outer circle whose expert also serves the inner one."""
    shares = [circles.shared_share(circles.ring_router(ratio, 1.0), ratio, 1.0, POINTS) for ratio in RATIOS]
    return judges.equal(shares, 0, at={"r/R": RATIOS})


@two_layer_gate.control("the best affine gate of two experts")
def _(effort):
    shares = [circles.shared_share(circles.ring_gate(ratio, 1.0, 2), ratio, 1.0, POINTS) for ratio in RATIOS]
    return judges.equal(shares, 0, at={"r/R": RATIOS})


@two_layer_gate.control("the router of r/R = 1/10 on circles that are closer")
def _(effort):
    shares = [circles.shared_share(circles.ring_router(0.1, 1.0), ratio, 1.0, POINTS) for ratio in RATIOS[1:]]
    return judges.equal(shares, 0, at={"r/R": RATIOS[1:]})


def _counts(ratio):
    return range(1, circles.fewest_experts(ratio, 1.0))


def _attained(more=0):
    cases = [(ratio, experts) for ratio in RATIOS for experts in _counts(ratio)]
    shares = [circles.shared_share(circles.ring_gate(ratio, 1.0, experts), ratio, 1.0, POINTS)
              for ratio, experts in cases]
    bounds = [circles.share_bound(ratio, 1.0, experts + more) for ratio, experts in cases]
    return judges.equal(shares, bounds, atol=2 * max(experts for _, experts in cases) / POINTS, at=_at(cases))


def _pure(change):
    shares = [circles.shared_share(circles.ring_gate(ratio, 1.0, circles.fewest_experts(ratio, 1.0) + change), ratio,
                                   1.0, POINTS) for ratio in RATIOS]
    return judges.equal(shares, 0, at={"r/R": RATIOS})


def _at(cases):
    return {"r/R": [ratio for ratio, _ in cases], "E": [experts for _, experts in cases]}


def _searched(effort, arc):
    """The best gates of a random search, refined by moves that do not worsen them, against the bound."""
    cases = [(ratio, experts) for ratio in (0.3, 0.7) for experts in _counts(ratio)]
    chains, moves = effort.choose((200, 100), (500, 300))
    best = [_best_share(ratio, experts, chains, moves) for ratio, experts in cases]
    # A smaller arc claims a larger share; what an arc's ends leave uncertain is 2 (E - 1) of 720 points.
    bounds = [1 - arc * (1 - circles.share_bound(ratio, 1.0, experts)) - 2 * (experts - 1) / 720
              for ratio, experts in cases]
    return judges.inequality(np.negative(best), np.negative(bounds), at=_at(cases),
                             over="excess over the bound " + ", ".join(f"{share - bound:.3f}" for share, bound
                                                                       in zip(best, bounds, strict=True)))


@cache
def _best_share(ratio, experts, chains, moves):
    rings = [np.hstack([circles.ring(radius, 720), np.ones((720, 1))]) for radius in (ratio, 1.0)]
    key = streams.key(0, f"moe.circles {ratio} {experts}")
    draws = streams.normals(key, 0, np.arange(moves + 1), chains * experts * 3).astype(np.float64)
    draws = draws.reshape(moves + 1, chains, experts, 3)
    gates = draws[0]
    shares = _shares(gates, *rings)
    for move, draw in enumerate(draws[1:]):
        tried = gates + 0.5 * 0.97 ** (move * 100 / moves) * draw
        found = _shares(tried, *rings)
        better = found <= shares
        gates = np.where(better[:, None, None], tried, gates)
        shares = np.where(better, found, shares)
    return float(shares.min())


def _shares(gates, inner, outer):
    """Shares of many gates of shape (chains, E, 3) at once."""
    chains, experts, _ = gates.shape
    winners = [np.argmax(points @ gates.transpose(0, 2, 1), axis=2) for points in (inner, outer)]
    serves = np.zeros((chains, experts), dtype=bool)
    serves[np.arange(chains)[:, None], winners[0]] = True
    return np.take_along_axis(serves, winners[1], axis=1).mean(axis=1)
