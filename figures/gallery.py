"""Draws many figures, several at a time."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..checks.claim import Effort, NotRun
from ..checks.runner import lent, scatter
from ..sims.errors import ClusterLost, DeviceUnavailable
from .figure import REGISTRY, Figure


@dataclass(frozen=True)
class Plate:
    """A figure together with where its files are, or with the reason why there are none.

    Attributes
    ----------
    figure : Figure
    paths : dict
        ``{"png": Path, "pdf": Path, "csv": Path}``, empty if it could not be drawn.
    seconds : float
    message : str
        Why there are no files.
    missing : bool
        True if the machine lacks what the figure needs, False if drawing broke down.
    """

    figure: Figure
    paths: dict
    seconds: float = 0.0
    message: str = ""
    missing: bool = False


def draw(figures: Iterable[Figure], effort: Effort, folder, jobs: int = 1) -> Iterator[Plate]:
    """Draw and save registered figures in up to `jobs` processes; yields a :class:`Plate` as each finishes."""
    figures, folder = {figure.id: figure for figure in figures}, Path(folder)
    # a worker kept from earlier may stand in another current folder
    tasks = [(figure.draw.__module__, key, effort, str(folder.absolute())) for key, figure in figures.items()]
    for key, paths, seconds, message, missing in scatter(_saved_by_id, tasks, jobs):
        shown = {kind: folder / path.name for kind, path in paths.items()}
        yield Plate(figures[key], shown, seconds, message, missing)


def _saved_by_id(module, key, effort, folder):
    start = time.perf_counter()
    paths, message, missing = {}, "", False
    try:
        import_module(module)
        with lent(effort) as placed:
            paths = REGISTRY[key].save(placed, Path(folder))
    except (NotRun, DeviceUnavailable) as lacking:
        message, missing = str(lacking), True
    except (OSError, ClusterLost):
        raise   # a full disk, a cluster that is gone: the user's to know, no property of this figure
    except Exception as error:   # one broken figure must not take down the others; its message says what broke
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return key, paths, time.perf_counter() - start, message, missing
