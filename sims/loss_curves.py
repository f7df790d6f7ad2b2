"""Measured loss curves of training runs, read from CSV.

A file has a header line and the columns ``step``, ``lr`` and ``loss`` (absent where a run is only to be predicted),
optionally ``batch_size``; other columns are ignored.  UTF-8 with or without a byte-order mark and any line
ends are read.  Everything else that is wrong with a file is refused in one line that says where.
"""

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..theory.arguments import numbers

MAX_BYTES = 64 * 2**20
"""Largest file that is read."""

MAX_ROWS = 200_000
"""Most rows of one curve."""

MIN_ROWS = 8
"""Fewest rows of a curve with a loss."""

_LIMITS = {"step": (0.0, 1e15), "lr": (0.0, 1e6), "loss": (1e-12, 1e12), "batch_size": (1e-9, 1e15)}
_SPELLED = {"step": "in [0, 1e15]", "lr": "in [0, 1e6]", "loss": "positive and at most 1e12",
            "batch_size": "positive and at most 1e15"}
_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "vertical bar", " ": "space"}


@dataclass(frozen=True, eq=False)
class LossCurve:
    """One training run as it was logged.

    Parameters
    ----------
    name : str
        What to call it.
    steps : array_like, shape (N,)
        Step number of each row, strictly increasing, >= 0.
    rates : array_like, shape (N,)
        Learning rate of each row, >= 0, not all 0.
    losses : array_like, shape (N,), optional
        Loss of each row, > 0; ``None`` for a run that is only to be predicted.
    batch_sizes : array_like, shape (N,), optional
        Batch size of each row, > 0.

    Raises
    ------
    ValueError
        In one line, for arrays that are empty, unequal in length, not finite or out of range.
    """

    name: str
    steps: np.ndarray
    rates: np.ndarray
    losses: np.ndarray | None = None
    batch_sizes: np.ndarray | None = None

    def __post_init__(self):
        label = " ".join(str(self.name).split())
        columns = {"step": "steps", "lr": "rates", "loss": "losses", "batch_size": "batch_sizes"}
        for column, field in columns.items():
            given = getattr(self, field)
            if given is None and column in ("loss", "batch_size"):
                continue
            values = numbers(given, f"{label}: {field}")
            if values.ndim != 1 or values.size != np.size(self.steps):
                raise ValueError(f"{label}: {column} has shape {values.shape}; it must be ({np.size(self.steps)},)")
            _refuse_values(label, column, values, lambda row: f"row {row + 1}")
            values.setflags(write=False)
            object.__setattr__(self, field, values)
        _refuse_curve(label, self.steps, self.rates, self.losses, lambda row: f"row {row + 1}")


def read_csv(path) -> LossCurve:
    """Read one loss curve.

    Parameters
    ----------
    path : path_like
        A CSV file as the module describes it, at most ``MAX_BYTES`` long and ``MAX_ROWS`` rows.

    Returns
    -------
    LossCurve
        Named after the file.

    Raises
    ------
    ValueError
        In one line that names the file and, where there is one, the line and the value.
    """
    label = os.fspath(path)
    lines = _decoded_lines(label)
    columns = _columns(label, lines[0])
    numbers, line_numbers = _rows(label, lines, columns)
    at_line = lambda row: f"line {line_numbers[row]}"  # noqa: E731
    for column, values in numbers.items():
        _refuse_values(label, column, values, at_line)
    losses = numbers.get("loss")
    _refuse_curve(label, numbers["step"], numbers["lr"], losses, at_line)
    return LossCurve(Path(label).stem, numbers["step"], numbers["lr"], losses, numbers.get("batch_size"))


def _decoded_lines(label):
    try:
        if os.path.isdir(label):
            raise ValueError(f"{label}: is a folder; a CSV file is needed")
        size = os.path.getsize(label)
        if size > MAX_BYTES:
            raise ValueError(f"{label}: {size / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} MiB are read "
                             "(log fewer rows or columns)")
        with open(label, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{label}: cannot be read ({error.strerror or error})") from None
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{label}: more than {MAX_BYTES // 2**20} MiB; that is the most that is read")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{label}: is UTF-16 text; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{label}: is not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise ValueError(f"{label}: contains a zero byte at character {text.index(chr(0))}; it is not text")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not any(line.strip() for line in lines):
        raise ValueError(f"{label}: is empty")
    return lines


def _columns(label, header):
    """Position of each known column in the header."""
    try:
        names = [name.strip().lower() for name in next(csv.reader([header]), [])]
    except csv.Error as error:
        raise ValueError(f"{label}: line 1: {error}") from None
    if len(names) <= 1:
        for delimiter, spelled in _DELIMITERS.items():
            if delimiter in header.strip():
                raise ValueError(f"{label}: columns are separated by {spelled}s; a comma is needed")
    found = {}
    for position, name in enumerate(names):
        if name in _LIMITS:
            if name in found:
                raise ValueError(f"{label}: column {name!r} appears twice in the header")
            found[name] = position
    for name in ("step", "lr"):
        if name not in found:
            shown = ", ".join(repr(n[:30]) for n in names[:8]) or "nothing"
            raise ValueError(f"{label}: column {name!r} is missing from the header (found {shown})")
    return found


def _rows(label, lines, columns):
    """The known columns as float arrays, and the line each row stands on."""
    gathered = {name: [] for name in columns}
    line_numbers = []
    width = len(next(csv.reader([lines[0]])))
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        if len(line_numbers) == MAX_ROWS:
            raise ValueError(f"{label}: more than {MAX_ROWS} rows; log fewer (every 10th step, say)")
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            what = str(error)
            if "unexpected end" in what:
                what = "a quoted cell does not end on its line; cells of several lines are not read"
            raise ValueError(f"{label}: line {number}: {what}") from None
        if len(cells) != width:
            raise ValueError(f"{label}: line {number} has {len(cells)} field(s); the header has {width}")
        for name, position in columns.items():
            gathered[name].append(_number(label, number, name, cells[position]))
        line_numbers.append(number)
    if not line_numbers:
        raise ValueError(f"{label}: has a header but no rows")
    return {name: np.array(values) for name, values in gathered.items()}, line_numbers


def _number(label, line, column, cell):
    text = cell.strip()
    try:
        if "_" in text or not text.isascii():
            raise ValueError
        return float(text)
    except ValueError:
        what = f"is {text[:40]!r}" if text else "is empty"
        raise ValueError(f"{label}: line {line}: {column} {what}; a number is needed") from None


def _refuse_values(label, column, values, where):
    low, high = _LIMITS[column]
    bad = ~((values >= low) & (values <= high))   # NaN is bad
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{label}: {where(row)}: {column} is {values[row]:g}; it must be {_SPELLED[column]}")


def _refuse_curve(label, steps, rates, losses, where):
    if steps.size > MAX_ROWS:
        raise ValueError(f"{label}: {steps.size} rows; at most {MAX_ROWS} are used")
    needed = MIN_ROWS if losses is not None else 2
    if steps.size < needed:
        raise ValueError(f"{label}: {steps.size} row(s); at least {needed} are needed")
    back = np.flatnonzero(np.diff(steps) <= 0)
    if back.size:
        row = int(back[0]) + 1
        raise ValueError(f"{label}: {where(row)}: step is {steps[row]:.15g} after {steps[row - 1]:.15g}; "
                         "steps must increase")
    if not rates.any():
        raise ValueError(f"{label}: lr is 0 in every row; it must be positive somewhere")
    if not math.isfinite(float(steps[-1]) * float(rates.max())):
        raise ValueError(f"{label}: lr x step overflows")
