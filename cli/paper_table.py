"""``paper_checks.md``: the verdicts as a table to be kept under version control.

The file holds no dates, no durations and no more digits than are stable, so a second run on the same machine changes
only what changed.  Each topic has its own section between two comment lines; a run replaces the sections of its topics
and leaves the others as they are.
"""

import re
from pathlib import Path

from .record import number, write_text
from .verdicts import MARKS, control_word, controls_rejected, tally

HEAD = """# What the numbers say

Written by `theorycheck run`. Every line is a sentence of a paper, judged together with its controls: the same judge
on a deliberately wrong theory or experiment, which must be rejected. Stance: *stated* in the paper; *reconstructed*,
where its text was not at hand; *amended*, where the printed statement fails and this is the corrected one; *derived*,
ours.
"""

COLUMNS = ("verdict", "claim", "source", "stance", "statement", "measured", "expected", "tolerance", "controls")

SECTION = re.compile(r"<!-- begin (?P<topic>[a-z0-9_]+) -->\n.*?<!-- end (?P=topic) -->\n", re.DOTALL)


def update(path, sections: dict, order) -> None:
    """Put new sections into the file at `path`, which is made if it is missing.

    Parameters
    ----------
    path : path
    sections : dict of str to str
        Topic to the text :func:`section` made.
    order : iterable of str
        Topics in the order they shall stand in.

    Raises
    ------
    ValueError
        If the file exists and was not written by this function.
    """
    kept = read(path) if Path(path).exists() else {}
    kept.update(sections)
    known = [topic for topic in order if topic in kept]
    known += sorted(set(kept) - set(known))
    write_text(path, "\n".join([HEAD, *(kept[topic] for topic in known)]))


def read(path) -> dict:
    """The sections of an existing file by topic; ValueError if it is not ours."""
    text = Path(path).read_text(encoding="utf-8")
    found = {match["topic"]: match[0] for match in SECTION.finditer(text)}
    if text.split("\n", 1)[0] != HEAD.split("\n", 1)[0] or text.count("<!-- begin ") != len(found):
        raise ValueError(f"table is {str(path)!r}, which theorycheck did not write; name another with --table")
    return found


def section(topic: str, title: str, outcomes, effort: str) -> str:
    """The section of one topic: a heading, the tally, one row to a claim, and beneath it the tables of the evidence."""
    outcomes = sorted(outcomes, key=_place)
    rows = _markdown([COLUMNS, *(_row(outcome) for outcome in outcomes)])
    for outcome in outcomes:
        if outcome.evidence is not None and outcome.evidence.table:
            cells = [[_text(number(cell)) for cell in row] for row in outcome.evidence.table]
            rows += ["", f"{_code(outcome.claim.id)}:", "", *_markdown(cells)]
    return "\n".join([f"<!-- begin {topic} -->", f"## {topic}: {title}", "",
                      f"Effort: {effort}. {tally(outcomes)}.", "", *rows, f"<!-- end {topic} -->", ""])


def _markdown(rows):
    """Rows of cells as lines, a rule beneath the first."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]


def _row(outcome):
    claim, evidence = outcome.claim, outcome.evidence
    statement = _code(claim.statement)
    for control, seen, _ in outcome.controls:
        if control.printed:
            statement += f"<br>as printed, {control_word(seen)}: {_code(control.description)}"
    shown = [evidence.measured, evidence.expected, evidence.tolerance] if evidence else [outcome.message, "", ""]
    return (f"{MARKS[outcome.verdict]} {outcome.verdict}", _code(claim.id), _text(f"{claim.paper.key}, {claim.where}"),
            claim.stance, statement, *(_text(number(value)) for value in shown),
            controls_rejected(outcome))


def _place(outcome):
    return outcome.claim.paper.key, outcome.claim.id


def _text(words):
    words = " ".join(words.split())
    return re.sub(r"([\\`*_{}\[\]<>|~$])", r"\\\1", words)


def _code(words):
    words = " ".join(words.split()).replace("|", "\\|")
    return f"`` {words} ``" if "`" in words else f"`{words}`"
