"""Random places for networks that are constructed: orthonormal frames, points on a manifold, and errors found there."""

from typing import NamedTuple

import numpy as np

from ...theory.arguments import numbers, positive, shown
from ...theory.moe.charts import Atlas
from ...theory.moe.experts import free_numbers
from ...theory.moe.manifolds import Manifold
from ...theory.moe.model import MoE, MoELayer
from .. import streams

SLACK = 1e-9
"""How far outside its box, relative to the size of the manifold, rounding may put the image of a point."""
MOST = 2 * 10**8
"""Coordinates of the points of a sample, or entries of a frame, that may be drawn at once."""
ROUNDS = 100
"""Rounds of a search: the last distances are then far below rounding."""


def orthonormal_frame(ambient, columns, seed=0) -> np.ndarray:
    """A random orthonormal frame, uniform over all of them, shape (ambient, columns); columns <= ambient."""
    if positive(columns, "columns") > positive(ambient, "ambient"):
        raise ValueError(f"columns is {columns}; it must be at most ambient, {ambient}")
    if ambient * columns > MOST:
        raise ValueError(f"ambient is {shown(ambient)}; it must be at most {MOST // columns} for {columns} columns")
    draws = streams.normals(streams.key(seed, "moe.frame"), 0, 0, ambient * columns).astype(float)
    basis, triangle = np.linalg.qr(draws.reshape(ambient, columns))
    return basis * np.sign(np.diag(triangle))


def points_on(manifold, count, seed=0, purpose=0) -> np.ndarray:
    """Points drawn uniformly from a manifold, shape (count, D); purposes keep samples apart that share a seed."""
    _instance(manifold, Manifold, "manifold", "a Manifold")
    positive(count, "count", MOST // manifold.ambient)
    draws = streams.uniforms(streams.key(seed, "moe.points"), 0, 0, count * manifold.dimension, purpose=purpose,
                             dtype=np.float64)
    return manifold.place(draws.reshape(count, manifold.dimension))


def sup_error(network, function, manifold, points, rounds=6, seed=0) -> float:
    """The largest error of a network on a manifold: at points, then ever nearer to the worst of them.

    Parameters
    ----------
    network, function : callable
        Points of shape (N, D) to values, (N, outputs); also (N,) for one output.
    manifold : Manifold
    points : ndarray, shape (N, D)
        On the manifold.
    rounds : int, in [0, 100]
        Each tries 16 points around each of the 64 worst so far, at half the distance of the round before; the first
        distance is the one N points of the manifold's size would have from each other.

    Raises
    ------
    ValueError
        If a point is off the manifold (it names the distance), or network and function return different shapes,
        or no finite number (it names the point).
    """
    return _search(lambda where: _errors(_values(network, "network", where), _values(function, "function", where)),
                   manifold, points, rounds, seed)


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
        As :func:`sup_error` does, or if the network has another number of experts.
    """
    _instance(network, MoELayer | MoE, "network", "a MoELayer or MoE")
    _instance(atlas, Atlas, "atlas", "an Atlas")
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
        return _errors(_finite(values, "network", where), _values(function, "function", where))

    found = _search(error, atlas.manifold, points, rounds, seed)
    return Assembled(found, sum(seen), sum(astray), atlas.radius / atlas.manifold.reach, free_active(layers),
                     network.active, network.parameters)


def protocol(cases) -> tuple:
    """A table for a claim's evidence, from a dict of case to :class:`Assembled`; errors to two digits."""
    if not isinstance(cases, dict) or not all(isinstance(case, Assembled) for case in cases.values()):
        raise ValueError(f"cases are {shown(cases)}; they must be a dict of Assembled")
    return (PROTOCOL, *((name, f"{case.error:.2g}", case.points, case.misrouted, f"{case.ratio:.3f}", case.free,
                         case.active, case.parameters) for name, case in cases.items()))


def free_active(layers) -> int:
    """Numbers behind the gates, the shared experts and the largest experts that one point uses, of some layers."""
    return sum(free_numbers(layer.gate) + sum(map(free_numbers, layer.shared))
               + sum(sorted(map(free_numbers, layer.experts))[-layer.top:]) for layer in layers)


def _outside(atlas, points, charts):
    """How many points are beyond the chart they were sent to."""
    slack = SLACK * atlas.manifold.size
    image = atlas.coordinates(points, charts)
    inside = (image >= atlas.low[charts] - slack) & (image <= atlas.high[charts] + slack)
    near = np.linalg.norm(points - atlas.centres[charts], axis=1) <= atlas.radius + slack
    return int((~(inside.all(axis=1) & near)).sum())


def _instance(value, kind, name, wanted):
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {shown(value)}; it must be {wanted}")


def _values(call, name, points):
    """What a network or function returns at points, shape (N, outputs)."""
    if not callable(call):
        raise ValueError(f"{name} is {shown(call)}; it must be callable, from points to values")
    values = numbers(call(points), f"values of the {name}")
    if values.ndim not in (1, 2) or len(values) != len(points):
        raise ValueError(f"{name} returns shape {values.shape} for {len(points)} points; it must be (N,) or "
                         "(N, outputs)")
    return _finite(values.reshape(len(points), -1), name, points)


def _finite(values, name, points):
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        worst = int(np.argmin(finite))
        raise ValueError(f"{name} returns {shown(values[worst].tolist())} at the point "
                         f"{shown(points[worst].tolist())}; it must be finite there")
    return values


def _errors(values, wanted):
    if values.shape != wanted.shape or not values.size:
        raise ValueError(f"function returns {wanted.shape[1]} numbers for a point; it must be as many as the network, "
                         f"{values.shape[1]}, and at least one")
    return np.abs(values - wanted).max(axis=1)


def _search(error, manifold, points, rounds, seed):
    _instance(manifold, Manifold, "manifold", "a Manifold")
    if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or not 0 <= rounds <= ROUNDS:
        raise ValueError(f"rounds is {shown(rounds)}; it must be an integer in [0, {ROUNDS}]")
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
