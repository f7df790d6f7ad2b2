"""What a figure is: a picture, a caption, and the table of numbers behind it.

    @figure("trajectories", topic="fsl", title="Loss trajectories",
            caption="Lines: exact risk. Markers: SGD, mean of 200 runs.", claims=("fsl.trajectory",))
    def trajectories(effort):
        fig, axes = style.new()
        ...
        return Drawing(fig, {"schedule": names, "step": steps, "risk": risks})

Figures register when their module is imported; :meth:`Figure.save` writes PNG, PDF and CSV.  The same numbers
give the same bytes: the files carry no dates.
"""

import csv
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np

from . import style

DPI = 150
"""Resolution of the PNG."""


@dataclass(frozen=True)
class Drawing:
    """A drawn figure together with the numbers it shows.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Made by :func:`theorycheck.figures.style.new`.
    table : mapping of str to 1-d array
        Tidy long form: one row per plotted point, columns of equal length, numbers or strings.  Numbers are finite; a
        value that does not exist (the standard error of an exact number) is a masked entry, an empty cell in the CSV.

    Raises
    ------
    ValueError
        If the table is empty or ragged, or a column holds NaN or infinity.
    """

    figure: matplotlib.figure.Figure
    table: Mapping

    def __post_init__(self):
        if not isinstance(self.figure, matplotlib.figure.Figure):
            raise ValueError(f"figure is a {type(self.figure).__name__}; it must be a matplotlib Figure")
        columns = {str(name): np.ma.asarray(values) for name, values in self.table.items()}
        lengths = {name: values.shape for name, values in columns.items()}
        if not columns or any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) != 1:
            raise ValueError(f"table has columns of shapes {lengths}; they must be one-dimensional and of equal length")
        if 0 in next(iter(lengths.values())):
            raise ValueError("table has no rows; it must have at least one")
        for name, values in columns.items():
            numeric = np.issubdtype(values.dtype, np.number)
            if numeric and not np.all(np.isfinite(values.compressed())):
                raise ValueError(f"column {name!r} holds NaN or infinity; a missing value must be a masked entry")
        object.__setattr__(self, "table", columns)

    def csv(self) -> str:
        """The table as CSV text; floats in the shortest form that reads back to the same bits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.table)
        for row in zip(*(values.tolist() for values in self.table.values()), strict=True):
            writer.writerow("" if cell is None else cell for cell in row)
        return out.getvalue()


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn at any effort; made by :func:`figure`, not by hand."""

    name: str
    topic: str
    title: str
    caption: str
    claims: tuple
    draw: Callable

    @property
    def id(self) -> str:
        """``topic.name``, unique over the toolkit."""
        return f"{self.topic}.{self.name}"

    def __call__(self, effort) -> Drawing:
        """Draw at this effort, in this toolkit's style whatever the user's matplotlib configuration."""
        with style.applied():
            drawing = self.draw(effort)
        if not isinstance(drawing, Drawing):
            raise TypeError(f"figure {self.id} returned a {type(drawing).__name__}; it must return a Drawing")
        return drawing

    def save(self, effort, folder) -> dict:
        """Draw and write ``<id>.png``, ``<id>.pdf`` and ``<id>.csv`` into `folder` (made if missing).

        Returns
        -------
        dict
            ``{"png": Path, "pdf": Path, "csv": Path}``.
        """
        return save(self(effort), folder, self.id)


REGISTRY: dict[str, Figure] = {}


def figure(name: str, *, topic: str, title: str, caption: str, claims=()):
    """Turn a function of the effort that returns a :class:`Drawing` into a registered :class:`Figure`.

    Parameters
    ----------
    name : str
        A noun in snake case, unique within its topic.
    topic : str
        Name of the topic ("fsl").
    title : str
        One line.
    caption : str
        One or two sentences: what one sees, what is theory, what is measured.
    claims : tuple of str
        Ids of the claims it illustrates.

    Raises
    ------
    ValueError
        For an empty field or an id that is already taken.
    """
    for label, text in (("name", name), ("topic", topic), ("title", title), ("caption", caption)):
        if not text.strip() or "\n" in text:
            raise ValueError(f"figure {name!r}: {label} must be one non-empty line, got {text!r}")
    claims = (claims,) if isinstance(claims, str) else tuple(claims)

    def register(function):
        made = Figure(name, topic, title, caption, claims, function)
        taken = REGISTRY.get(made.id)
        if taken is not None and _origin(taken.draw) != _origin(function):
            raise ValueError(f"figure id {made.id!r} is taken already by {taken.draw.__module__}")
        REGISTRY[made.id] = made
        return made
    return register


def save(drawing: Drawing, folder, stem: str) -> dict:
    """Write a drawing as ``stem.png``, ``stem.pdf`` and ``stem.csv`` into `folder`; see :meth:`Figure.save`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"{stem}.{kind}" for kind in ("png", "pdf", "csv")}
    with style.applied(), warnings.catch_warnings():
        # a name in a script the font lacks shows boxes; the table beside the picture has it
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        _write(paths["png"], _rendered(drawing.figure, "png", dpi=DPI, metadata={"Software": None}))
        _write(paths["pdf"], _rendered(drawing.figure, "pdf", metadata={"CreationDate": None, "Producer": None,
                                                                        "Creator": "theorycheck"}))
    _write(paths["csv"], drawing.csv().encode())
    return paths


def _rendered(drawn, kind, **options):
    logging.getLogger("fontTools").setLevel(logging.ERROR)      # it warns of the dates in matplotlib's own fonts
    buffer = io.BytesIO()
    drawn.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _write(path, data):
    """All or nothing: an interrupted run leaves no half-written file under the final name."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    partial.replace(path)


def _origin(function):
    return function.__module__, inspect.unwrap(function).__qualname__
