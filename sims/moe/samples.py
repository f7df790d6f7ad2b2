"""Random places for networks that are constructed: orthonormal frames, points on a manifold, and errors found there."""

from typing import NamedTuple

import numpy as np

from ...theory.arguments import positive, shown
from ...theory.moe.experts import free_numbers
from ...theory.moe.manifolds import Manifold
from .. import streams

SLACK = 1e-9
"""How far outside its box, relative to the size of the manifold, rounding may put the image of a point."""


def orthonormal_frame(ambient, columns, seed=0) -> np.ndarray:
    """A random orthonormal frame, uniform over all of them, shape (ambient, columns); columns <= ambient."""
    if positive(columns, "columns") > positive(ambient, "ambient"):
        raise ValueError(f"columns is {columns}; it must be at most ambient, {ambient}")
    draws = streams.normals(streams.key(seed, "moe.frame"), 0, 0, ambient * columns).astype(float)
    basis, triangle = np.linalg.qr(draws.reshape(ambient, columns))
    return basis * np.sign(np.diag(triangle))


def points_on(manifold, count, seed=0, purpose=0) -> np.ndarray:
    """Points drawn uniformly from a manifold, shape (count, D); purposes keep samples apart that share a seed."""
    if not isinstance(manifold, Manifold):
        raise ValueError(f"manifold is {shown(manifold)}; it must be a Manifold")
    draws = streams.uniforms(streams.key(seed, "moe.points"), 0, 0, count * manifold.dimension, purpose=purpose,
                             dtype=np.float64)
    return manifold.place(draws.reshape(count, manifold.dimension))


def sup_error(network, function, manifold, points, rounds=6, seed=0) -> float:
    """The largest error of a network on a manifold: at points, then ever nearer to the worst of them.

    Parameters
    ----------
    network, function : callable
        Points of shape (N, D) to values, (N, outputs) and (N,) or (N, outputs).
    manifold : Manifold
    points : ndarray, shape (N, D)
        On the manifold.
    rounds : int
        Each tries 16 points around each of the 64 worst so far, at half the distance of the round before; the first
        distance is the one N points of the manifold's size would have from each other.

    Raises
    ------
    ValueError
        If a point is off the manifold; it names the distance.
    """
    return _search(lambda where: _errors(network(where), function(where)), manifold, points, rounds, seed)


class Assembled(NamedTuple):
    """An error with what must be known to believe it: measured on the assembled network, routing included.

    Attributes
    ----------
    error : float
        Sup error found.
    points : int
        At which it was looked for.
    misrouted : int
        Points among them that went to an expert whose chart does not contain them: beyond r_max from its centre, or
        with an image outside its box.
    ratio : float
        r_max / reach of the atlas, its proved radius; below sqrt 3 - 1 all of its charts are injective by the reach
        alone.
    free : int
        Numbers that determine what one point uses, gates and experts: see
        :func:`~theorycheck.theory.moe.experts.free_numbers`.
    active, parameters : int
        Entries of the matrices that one point uses, and of all.
    """

    error: float
    points: int
    misrouted: int
    ratio: float
    free: int
    active: int
    parameters: int


PROTOCOL = ("case", "sup error", "points", "mis-routed", "r_max/reach", "free active numbers", "active entries",
            "all entries")
"""Header of a table of :func:`protocol`."""


def assembled_error(network, function, atlas, points, rounds=6, seed=0) -> Assembled:
    """The sup error of a network over the manifold of an atlas, and where its gates sent the points.

    Parameters
    ----------
    network : MoELayer or MoE
        Of one expert for each chart in its (last) layer; it is given points in R^D and nothing else.
    function, points, rounds, seed
        As in :func:`sup_error`.
    atlas : Atlas
        Whose charts the experts are for.

    Raises
    ------
    ValueError
        If a point is off the manifold, or the network has another number of experts.
    """
    layers = network.layers if hasattr(network, "layers") else (network,)
    last = layers[-1]
    if len(last.experts) != len(atlas.centres):
        raise ValueError(f"network has {len(last.experts)} experts; it must have {len(atlas.centres)}, one for each "
                         "chart")
    seen, astray = [], []

    def error(where):
        values, routes = network.routed(where)
        seen.append(len(where))
        astray.append(_outside(atlas, where, routes if routes.ndim == 1 else routes[:, -1]))
        return _errors(values, function(where))

    found = _search(error, atlas.manifold, points, rounds, seed)
    return Assembled(found, sum(seen), sum(astray), atlas.radius / atlas.manifold.reach, sum(map(_free, layers)),
                     network.active, network.parameters)


def protocol(cases) -> tuple:
    """A table for a claim's evidence, from a dict of case to :class:`Assembled`; errors to two digits."""
    return (PROTOCOL, *((name, f"{case.error:.2g}", case.points, case.misrouted, f"{case.ratio:.3f}", case.free,
                         case.active, case.parameters) for name, case in cases.items()))


def _free(layer):
    """Numbers behind the gate, the shared experts and the largest experts that one point uses."""
    largest = sorted(map(free_numbers, layer.experts))[-layer.top:]
    return layer.gate.parameters + sum(map(free_numbers, layer.shared)) + sum(largest)


def _outside(atlas, points, charts):
    """How many points are beyond the chart they were sent to."""
    slack = SLACK * atlas.manifold.size
    image = atlas.coordinates(points, charts)
    inside = (image >= atlas.low[charts] - slack) & (image <= atlas.high[charts] + slack)
    near = np.linalg.norm(points - atlas.centres[charts], axis=1) <= atlas.radius + slack
    return int((~(inside.all(axis=1) & near)).sum())


def _errors(values, wanted):
    wanted = np.asarray(wanted)
    return np.abs(values - wanted.reshape(len(wanted), -1)).max(axis=1)


def _search(error, manifold, points, rounds, seed):
    points = manifold.require(points)
    if not len(points):
        raise ValueError("points are none; there must be at least one")
    errors, key = error(points), streams.key(seed, "moe.sup")
    distance = manifold.size * len(points) ** (-1 / manifold.dimension)
    for turn in range(rounds):
        worst = np.argsort(errors)[-64:]
        points, errors = points[worst], errors[worst]
        draws = streams.normals(key, 0, turn, len(points) * 16 * manifold.ambient).astype(float)
        moved = np.repeat(points, 16, axis=0) + distance / manifold.dimension**0.5 * draws.reshape(-1, manifold.ambient)
        moved = manifold.embed(manifold.parameters(moved))
        points, errors = np.concatenate([points, moved]), np.concatenate([errors, error(moved)])
        distance /= 2
    return float(errors.max())
