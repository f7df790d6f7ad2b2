"""Random places for networks that are constructed: orthonormal frames, and points on a manifold."""

import numpy as np

from .. import streams


def orthonormal_frame(ambient, columns, seed=0) -> np.ndarray:
    """A random orthonormal frame, uniform over all of them, shape (ambient, columns)."""
    draws = streams.normals(streams.key(seed, "moe.frame"), 0, 0, ambient * columns).astype(float)
    basis, triangle = np.linalg.qr(draws.reshape(ambient, columns))
    return basis * np.sign(np.diag(triangle))


def points_on(manifold, count, seed=0, purpose=0) -> np.ndarray:
    """Points drawn uniformly from a manifold, shape (count, D); purposes keep samples apart that share a seed."""
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
    """
    def error(where):
        wanted = np.asarray(function(where))
        return np.abs(network(where) - wanted.reshape(len(wanted), -1)).max(axis=1)

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
