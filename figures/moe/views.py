"""Surfaces in space drawn point by point: which point of a surface every pixel of a parallel projection shows."""

import math
from dataclasses import dataclass

import matplotlib.colors
import numpy as np

from .. import style

LIGHT = np.array([-0.35, 0.55, 0.76])
"""Direction towards the light: right, up, towards the viewer."""
PARTS = 4
"""Parts of a step of the grid of parameters, that are drawn between its points: bilinear there, exact in the end."""


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
    facing : ndarray, shape (n,)
        Cosine between the surface's normal and the direction to the viewer, in [0, 1].
    axes : ndarray, shape (3, 3)
        Rows: right, up, towards the viewer.
    extent : tuple of float
        left, right, bottom, top, in units of length.
    """

    points: np.ndarray
    mask: np.ndarray
    light: np.ndarray
    depth: np.ndarray
    facing: np.ndarray
    axes: np.ndarray
    extent: tuple

    def project(self, points) -> np.ndarray:
        """Right, up and depth of points, shape (N, 3)."""
        return np.asarray(points) @ self.axes.T

    def sees(self, points, slack=2.5, facing=0.0) -> np.ndarray:
        """Which points on the surface are in sight: shape (N,) of bool.

        Parameters
        ----------
        points : array_like, shape (N, 3)
        slack : float, in pixels
            A point that is shown must be so near.
        facing : float, in [0, 1)
            The surface there must face the viewer by at least this cosine: leave out what crowds at a rim.
        """
        place, pixels = self.project(points), len(self.mask)
        left, right, _, top = self.extent
        side = (right - left) / pixels
        number = np.full(self.mask.shape, -1)
        number[self.mask] = np.arange(len(self.points))
        found = np.zeros(len(place), dtype=bool)
        reach = math.ceil(slack)
        for shift in np.ndindex(2 * reach + 1, 2 * reach + 1):
            row = np.clip(((top - place[:, 1]) / side).astype(int) + shift[0] - reach, 0, pixels - 1)
            column = np.clip(((place[:, 0] - left) / side).astype(int) + shift[1] - reach, 0, pixels - 1)
            shown = number[row, column]
            near = np.linalg.norm(self.points[shown] - points, axis=1) <= slack * side
            found |= (shown >= 0) & near & (self.facing[shown] >= facing)
        return found

    def touching(self, labels) -> list:
        """Pairs of labels (n,) of integers that meet in the picture, each in both orders."""
        number = np.full(self.mask.shape, -1)
        number[self.mask] = labels
        pairs = np.concatenate([np.stack([number[:-1], number[1:]], axis=-1).reshape(-1, 2),
                                np.stack([number[:, :-1], number[:, 1:]], axis=-1).reshape(-1, 2)])
        pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & (pairs >= 0).all(axis=1)]
        pairs = set(map(tuple, pairs.tolist()))
        return sorted(pairs | {(other, one) for one, other in pairs})

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


def view(manifold, low, high, counts, azimuth, elevation, pixels=900) -> View:
    """A parallel projection of a surface in R^3.

    Parameters
    ----------
    manifold : Manifold
        Of dimension 2 in R^3.
    low, high : sequence of float, length 2
        The box of parameters.
    counts : sequence of int, length 2
        Points of the grid along each side; neighbours must be less than PARTS pixels apart.
    azimuth, elevation : float, in degrees
        Where the viewer is.
    pixels : int
    """
    turn, rise = np.radians([azimuth, elevation])
    axes = np.array([[-np.sin(turn), np.cos(turn), 0.0],
                     [-np.sin(rise) * np.cos(turn), -np.sin(rise) * np.sin(turn), np.cos(rise)],
                     [np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)]])
    first, second = (np.linspace(*ends, count) for ends, count in zip(zip(low, high, strict=True), counts, strict=True))
    place = (manifold.embed(_grid(first, second)) @ axes.T).reshape(*counts, 3)
    centre = (place[..., :2].max(axis=(0, 1)) + place[..., :2].min(axis=(0, 1))) / 2
    half = 1.03 * np.abs(place[..., :2] - centre).max()
    place[..., 0] = (place[..., 0] - centre[0] + half) / (2 * half) * pixels               # column and row, from the
    place[..., 1] = (centre[1] + half - place[..., 1]) / (2 * half) * pixels               # upper left corner
    place = np.ascontiguousarray(np.moveaxis(place, 2, 0), dtype=np.float32)
    depth, chosen = np.full(pixels * pixels, -np.inf, np.float32), np.zeros((pixels * pixels, 2))
    corners = _grid(first[:-1], second[:-1])
    for part in np.ndindex(PARTS + 1, PARTS + 1):
        across, along = (np.array(part) / PARTS).astype(np.float32)
        rows = (1 - across) * place[:, :-1] + across * place[:, 1:]
        column, row, towards = ((1 - along) * rows[:, :, :-1] + along * rows[:, :, 1:]).reshape(3, -1)
        code = row.astype(np.int32) * pixels + column.astype(np.int32)
        np.maximum.at(depth, code, towards)
        seen = np.flatnonzero(towards == depth[code])
        chosen[code[seen]] = corners[seen] + [across * (first[1] - first[0]), along * (second[1] - second[0])]
    mask = np.isfinite(depth)
    points = manifold.embed(chosen[mask])
    tangent = manifold.tangent(points)
    normal = np.cross(tangent[:, :, 0], tangent[:, :, 1]) @ axes.T
    normal *= np.sign(normal[:, 2:])
    light = np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    extent = (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half)
    return View(points, mask.reshape(pixels, pixels), light, points @ axes[2], normal[:, 2], axes, extent)


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
