"""Numbers as people and programs read them: one JSON object per claim, one line per verdict."""

import json
import math
import os
import re
from pathlib import Path

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?:[eE][-+]?\d+)?|(?<![\w.])[-+]?\d+[eE][-+]?\d+")


def number(value, digits: int = 4) -> str:
    """`value` for a person: floats to `digits` significant digits, also those inside a sentence.

    Parameters
    ----------
    value : float, int, str, list or None
    digits : int
        Significant digits (>= 1).
    """
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, str):
        return NUMBER.sub(lambda found: f"{float(found[0]):.{digits}g}", value)
    if len(value) > 6:
        return f"[{', '.join(number(each, digits) for each in value[:5])}, ... {len(value)} values]"
    return f"[{', '.join(number(each, digits) for each in value)}]"


def to_json(record: dict, indent: int | None = None) -> str:
    """A record as strict JSON: NaN and infinities become the strings "nan", "inf", "-inf"."""
    return json.dumps(_strict(record), indent=indent, ensure_ascii=False, allow_nan=False)


def write_text(path, text: str) -> None:
    """Write a file all at once: a reader, or an interruption, never sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _strict(value):
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
