"""The four phases of a training path: partial learning, plateau, emergence, convergence.

Partial learning ends when the 4-gram's loss has fallen to a small part of where it began; the plateau when the
induction head's loss leaves its *plateau level* ``c^2 (A(y^2) - d)/(2N)``; emergence when a small part of that level
remains.  (Where the induction head's loss began is no reference: it falls to the plateau, by the part ``(1 -
2y^2)^{d/2}``, as soon as the head puts out the mean of its context.)
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown
from .four_gram import checked_fraction
from .induction_block import plateau
from .joint_flow import TrainingPath
from .population_loss import checked_task

NAMES = ("partial learning", "plateau", "emergence", "convergence")


@dataclass(frozen=True)
class Phases:
    """When each phase of a path ends; inf where the path does not get there.

    Attributes
    ----------
    learned : float
        End of partial learning.
    levelled : float
        When the induction head's loss comes to its plateau (a percent above it, by default).
    left : float
        End of the plateau.
    emerged : float
        End of the emergence.
    """

    learned: float
    levelled: float
    left: float
    emerged: float

    @property
    def separated(self) -> bool:
        """Whether there is a plateau: the 4-gram is learned, and the context averaged, before the head emerges."""
        return max(self.learned, self.levelled) < self.left

    @property
    def durations(self) -> tuple:
        """Of partial learning, plateau and emergence; inf where a phase does not end, or has no beginning."""
        ends = (0.0, max(self.learned, self.levelled), self.left, self.emerged)
        return tuple(max(0.0, after - before) if math.isfinite(before) else math.inf
                     for before, after in zip(ends[:-1], ends[1:]))

    def labels(self, times) -> np.ndarray:
        """Index into :data:`NAMES` of the phase at each time."""
        ends = [max(self.learned, self.levelled), self.left, self.emerged]
        if not self.separated:
            ends[0] = ends[1]   # no plateau: partial learning lasts until the head emerges
        return np.searchsorted(np.array(ends), numbers(times, "times"), side="right")


def phases(task, path, learned=0.01, edge=0.01, emerged=0.01):
    """Find the phases of a path.

    Parameters
    ----------
    task : Task
        Of finite length.
    path : TrainingPath
        Its times should resolve the phases: losses are interpolated, logarithm against logarithm.
    learned : float
        Part of the unlearned 4-gram's loss, ``d gamma^2/2``, at which partial learning ends.
    edge : float
        The plateau reaches from ``1 + edge`` to ``1 - edge`` times its level.
    emerged : float
        Part of the plateau's level at which emergence ends, < ``1 - edge``.

    Returns
    -------
    Phases

    Raises
    ------
    ValueError
        For a fraction that is not between 0 and 1, or a task or path out of range.
    """
    if checked_task(task).length == math.inf:
        raise ValueError("length is inf; it must be finite, or the induction head is never learned")
    if not isinstance(path, TrainingPath):
        raise ValueError(f"path is {shown(path)}; it must be a TrainingPath")
    learned, edge = checked_fraction(learned, "learned"), checked_fraction(edge, "edge")
    emerged = checked_fraction(emerged, "emerged")
    if emerged >= 1.0 - edge:
        raise ValueError(f"emerged is {emerged:g}; it must be below 1 - edge = {1 - edge:g}")
    level = plateau(task) / task.keys
    return Phases(first_crossing(path.times, path.four_gram, learned * 0.5 * task.dimension * task.four_gram**2),
                  first_crossing(path.times, path.induction, (1.0 + edge) * level),
                  first_crossing(path.times, path.induction, (1.0 - edge) * level),
                  first_crossing(path.times, path.induction, emerged * level))


def first_crossing(times, loss, level):
    """First time at which a tabulated loss is at or below a level; inf if it never is.

    Parameters
    ----------
    times, loss : ndarray, shape (T,)
        Increasing; not negative.
    level : float
        > 0.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    times, loss, level = numbers(times, "times"), numbers(loss, "losses"), number(level, "level")
    if times.ndim != 1 or not times.size or times.shape != loss.shape or not (np.diff(times) > 0).all():
        raise ValueError(f"times and losses have shapes {times.shape} and {loss.shape}; they must be equally long, at "
                         "least one, and times must increase")
    if not 0 < level < math.inf:
        raise ValueError(f"level is {level:g}; it must be finite and > 0")
    if np.isnan(loss).any() or loss.min() < 0:
        raise ValueError(f"losses are {shown(loss.tolist())}; they must be >= 0, and numbers")
    below = np.flatnonzero(loss <= level)
    if not below.size:
        return math.inf
    after = int(below[0])
    if after == 0:
        return float(times[0])
    before = after - 1
    part = math.log(loss[before] / level) / math.log(loss[before] / max(loss[after], 1e-300))
    if times[before] <= 0:
        return float(times[before] + part * (times[after] - times[before]))
    return float(times[before] * (times[after] / times[before]) ** part)
