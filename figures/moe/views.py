"""Surfaces in space drawn point by point: which point of a surface every pixel of a parallel projection shows."""

from dataclasses import dataclass

import matplotlib.colors
import numpy as np

from .. import style

LIGHT = np.array([-0.35, 0.55, 0.76])
"""Direction towards the light: right, up, towards the viewer."""
ROWS = 128
"""Rows of the parameter grid that are projected at once."""


@dataclass(frozen=True)
class View:
    """What a viewer sees of a surface.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        The visible points, one for every pixel that shows the surface.
    mask : ndarray of bool, shape (pixels, pixels)
        Those pixels, first row at the top.
    light : ndarray, shape (n,)
        Brightness in (0, 1].
    depth : ndarray, shape (n,)
        Distance towards the viewer.
    axes : ndarray, shape (3, 3)
        Rows: right, up, towards the viewer.
    extent : tuple of float
        left, right, bottom, top, in units of length.
    """

    points: np.ndarray
    mask: np.ndarray
    light: np.ndarray
    depth: np.ndarray
    axes: np.ndarray
    extent: tuple

    def project(self, points) -> np.ndarray:
        """Right, up and depth of points, shape (N, 3)."""
        return np.asarray(points) @ self.axes.T

    def sees(self, points, slack) -> np.ndarray:
        """Which points on the surface are in sight: shape (N,) of bool."""
        place = self.project(points)
        left, right, bottom, top = self.extent
        pixels = len(self.mask)
        column = np.clip(((place[:, 0] - left) / (right - left) * pixels).astype(int), 0, pixels - 1)
        row = np.clip(((top - place[:, 1]) / (top - bottom) * pixels).astype(int), 0, pixels - 1)
        nearest = np.full(self.mask.shape, -np.inf)
        nearest[self.mask] = self.depth
        return place[:, 2] >= nearest[row, column] - slack

    def image(self, colours, labels=None) -> np.ndarray:
        """An RGBA image from the colours (n, 3) of the visible points, lit; edges between labels (n,) drawn dark."""
        picture = np.zeros((*self.mask.shape, 4))
        picture[self.mask, :3] = colours * (0.45 + 0.55 * self.light[:, None])
        picture[self.mask, 3] = 1.0
        if labels is not None:
            number, depth = np.full(self.mask.shape, -1), np.full(self.mask.shape, -np.inf)
            number[self.mask], depth[self.mask] = labels, self.depth
            edge = np.zeros(self.mask.shape, dtype=bool)
            for axis in (0, 1):
                for turn in (1, -1):
                    other, behind = np.roll(number, turn, axis), np.roll(depth, turn, axis)
                    edge |= (number != other) & (depth >= behind)          # the nearer one carries the line
            picture[edge & self.mask, :3] *= 0.22
        return picture


def view(manifold, low, high, counts, azimuth, elevation, pixels=600) -> View:
    """A parallel projection of a surface in R^3.

    Parameters
    ----------
    manifold : Manifold
        Of dimension 2 in R^3.
    low, high : sequence of float, length 2
        The box of parameters.
    counts : sequence of int, length 2
        Points of the grid along each side; neighbours must be less than a pixel apart.
    azimuth, elevation : float, in degrees
        Where the viewer is.
    pixels : int
    """
    turn, rise = np.radians([azimuth, elevation])
    axes = np.array([[-np.sin(turn), np.cos(turn), 0.0],
                     [-np.sin(rise) * np.cos(turn), -np.sin(rise) * np.sin(turn), np.cos(rise)],
                     [np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)]])
    first, second = (np.linspace(*ends, count) for ends, count in zip(zip(low, high, strict=True), counts, strict=True))
    coarse = manifold.embed(_grid(first[::17], second[::17])) @ axes.T
    centre = (coarse[:, :2].max(axis=0) + coarse[:, :2].min(axis=0)) / 2
    half = 1.03 * np.abs(coarse[:, :2] - centre).max()
    depth, chosen = np.full(pixels * pixels, -np.inf), np.zeros((pixels * pixels, 2))
    for start in range(0, len(first), ROWS):
        parameters = _grid(first[start:start + ROWS], second)
        place = manifold.embed(parameters) @ axes.T
        cell = np.floor((place[:, :2] - centre + half) / (2 * half) * pixels).astype(int)
        code = (pixels - 1 - cell[:, 1]) * pixels + cell[:, 0]
        order = np.argsort(place[:, 2], kind="stable")                     # of points on one pixel the last one stays
        best = np.full(pixels * pixels, -1)
        best[code[order]] = order
        mine = np.flatnonzero(best >= 0)
        nearer = mine[place[best[mine], 2] > depth[mine]]
        depth[nearer], chosen[nearer] = place[best[nearer], 2], parameters[best[nearer]]
    mask = np.isfinite(depth)
    points = manifold.embed(chosen[mask])
    tangent = manifold.tangent(points)
    normal = np.cross(tangent[:, :, 0], tangent[:, :, 1]) @ axes.T
    normal *= np.sign(normal[:, 2:])
    light = np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    extent = (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half)
    return View(points, mask.reshape(pixels, pixels), light, depth[mask], axes, extent)


def show(axes, seen, picture) -> None:
    """Put an image of a view on axes, with the directions of space in the corner."""
    axes.imshow(picture, extent=seen.extent, interpolation="antialiased", aspect="equal")
    left, right, bottom, top = seen.extent
    size = right - left
    origin = np.array([left + 0.06 * size, bottom + 0.05 * size])
    for place in range(3):
        arrow = 0.1 * size * seen.axes[:2, place]
        axes.annotate("", origin + arrow, origin, arrowprops={"arrowstyle": "-|>", "color": "#444444", "lw": 0.9,
                                                              "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7})
        axes.annotate(f"$x_{place + 1}$", origin + 1.45 * arrow, color="#444444", fontsize=8, ha="center", va="center")
    axes.set_xlim(left - 0.02 * size, right + 0.02 * size)
    axes.set_ylim(bottom - 0.04 * size, top + 0.02 * size)
    axes.set_axis_off()


def tints(pairs, count) -> np.ndarray:
    """Colours for cells such that neighbours differ: (count, 3), greedily, each cell the least used colour it may have.

    Parameters
    ----------
    pairs : iterable of (int, int)
        Pairs of cells that touch.
    count : int
        How many cells there are.
    """
    base = np.array([matplotlib.colors.to_rgb(colour) for colour in style.COLORS[1:]] + [(0.78, 0.8, 0.83)])
    lighter = 1 - 0.72 * (1 - base)
    beside = [set() for _ in range(count)]
    for one, other in pairs:
        beside[one].add(other)
        beside[other].add(one)
    colour, used = np.full(count, -1), np.zeros(len(lighter))
    for cell in sorted(range(count), key=lambda cell: -len(beside[cell])):
        taken = {colour[other] for other in beside[cell]}
        free = [place for place in range(len(lighter)) if place not in taken] or list(range(len(lighter)))
        colour[cell] = min(free, key=lambda place: used[place])
        used[colour[cell]] += 1
    return lighter[colour]


def _grid(first, second):
    return np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
