"""Verdicts in words: an outcome in full, a run in a table and in a sentence, and the exit code they amount to."""

import os
from collections import Counter

from rich import box
from rich.table import Table
from rich.text import Text

from ..checks.claim import Outcome, Verdict
from .main import DEBUG
from .record import number

MARKS = {Verdict.HOLDS: "\u2713", Verdict.FAILS: "\u2717", Verdict.TOOTHLESS: "\u25cb", Verdict.INCONCLUSIVE: "?",
         Verdict.NOT_RUN: "\u2013"}
"""A sign for each verdict, readable without colour."""

WHOLE = ("verdict", "claim", "rejected", "s")
"""Columns of the terminal table that are always there."""

CUT = ("measured", "source", "expected")
"""Columns that are cut to the room there is; the last ones go first."""

STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.TOOTHLESS: "bold magenta",
          Verdict.INCONCLUSIVE: "yellow", Verdict.NOT_RUN: "dim"}


def exit_code(outcomes) -> int:
    """1 if a claim FAILS or is TOOTHLESS, else 0."""
    return int(any(outcome.verdict in (Verdict.FAILS, Verdict.TOOTHLESS) for outcome in outcomes))


def tally(outcomes) -> str:
    """``27 claims: 26 HOLDS, 1 INCONCLUSIVE``."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    total = len(outcomes)
    return f"{total} claim{'' if total == 1 else 's'}" + (f": {', '.join(parts)}" if parts else "")


def remarks(outcomes) -> list:
    """The tally, and a line for every outcome that is neither HOLDS nor visible in the exit code."""
    lines = [tally(outcomes)] if len(outcomes) != 1 else []
    for outcome in outcomes:
        if outcome.verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_RUN):
            lines.append(f"note: {outcome.claim.id} is {outcome.verdict}, which is not counted as a failure: "
                         f"{_reason(outcome)}")
    return lines


def controls_rejected(outcome: Outcome) -> str:
    """``2/2 rejected``; "none" for a claim without controls, nothing if none was tried."""
    if not outcome.claim.controls:
        return "none"
    rejected = sum(seen is not None and seen.accepted is False for _, seen, _ in outcome.controls)
    return f"{rejected}/{len(outcome.claim.controls)} rejected" if outcome.controls else ""


def control_word(seen) -> str:
    """What became of a control: rejected (as it must be), ACCEPTED, undecided or broken."""
    if seen is None:
        return "broke down"
    return {True: "ACCEPTED", False: "rejected", None: "undecided"}[seen.accepted]


def numbers(evidence) -> str:
    """Measured, expected and tolerance in a line."""
    return (f"measured {number(evidence.measured)}   expected {number(evidence.expected)}   "
            f"tolerance {number(evidence.tolerance)}")


def in_full(outcome: Outcome) -> str:
    """An outcome over several lines: verdict, source, statement, numbers, controls."""
    claim, evidence = outcome.claim, outcome.evidence
    lines = [f"{MARKS[outcome.verdict]} {outcome.verdict:<12}  {claim.id}   ({claim.stance}; {claim.paper.key}, "
             f"{claim.where})   {outcome.seconds:.1f} s",
             f"    {claim.statement}"]
    if evidence is not None:
        alarm = f", false alarm {evidence.false_alarm:.1g}" if evidence.false_alarm else ""
        lines.append(f"    {numbers(evidence)}   [{evidence.judge}{alarm}]")
        if evidence.note:
            lines.append(f"    {number(evidence.note)}")
    if outcome.message:
        lines.append(f"    {outcome.message}")
    for control, seen, message in outcome.controls:
        kind = "as printed" if control.printed else "control"
        lines.append(f"    {kind} {control_word(seen)}: {control.description}")
        if seen is not None:
            lines.append(f"        {numbers(seen)}")
        elif message:
            lines.append(f"        {message}")
    lines += [f"    {line}" for line in in_columns(evidence.table if evidence else ())]
    return "\n".join(lines)


def in_columns(rows) -> list:
    """The rows of a table as lines of text with aligned columns, a rule beneath the first."""
    cells = [[number(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return [*lines[:1], "  ".join("-" * width for width in widths), *lines[1:]] if lines else []


def in_brief(outcome: Outcome) -> Text:
    """An outcome in one coloured line."""
    line = Text(f"{MARKS[outcome.verdict]} {outcome.verdict:<12}", STYLES[outcome.verdict])
    return line.append(f"  {outcome.claim.id}  {outcome.seconds:.1f} s", "default")


def table(outcomes, width: int = 140) -> Table:
    """All outcomes as a table for a terminal of `width` columns, one line each.

    Long numbers are cut (the report has them whole), and a narrow terminal sees fewer columns.  "rejected" counts the
    controls.
    """
    rows = [_cells(outcome) for outcome in outcomes]
    whole = {title: max([len(title), *(len(row[title]) for row in rows)]) for title in WHOLE}
    room = width - sum(whole.values()) - 3 * len(whole)
    count = next((count for count in (3, 2, 1) if room // count >= 21), 0)
    cut = {title: room // count - 3 for title in CUT[:count]}
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [title for title in ("verdict", "claim", "source", "measured", "expected", "rejected", "s")
             if title in whole or title in cut]
    for title in shown:
        made.add_column(title, no_wrap=True, min_width=whole.get(title), max_width=cut.get(title),
                        justify="right" if title == "s" else "left")
    for outcome, row in zip(outcomes, rows):
        made.add_row(*(Text(row[title], STYLES[outcome.verdict] if title == "verdict" else "") for title in shown))
    return made


def _cells(outcome):
    evidence = outcome.evidence
    return {"verdict": f"{MARKS[outcome.verdict]} {outcome.verdict}", "claim": outcome.claim.id,
            "source": f"{outcome.claim.where} ({outcome.claim.stance})",
            "measured": number(evidence.measured) if evidence else outcome.message,
            "expected": number(evidence.expected) if evidence else "",
            "rejected": controls_rejected(outcome).removesuffix(" rejected"), "s": f"{outcome.seconds:.1f}"}


def debug_failure(outcome: Outcome, effort) -> None:
    """With debugging on, run a claim that broke down once more, this time letting its error through."""
    if os.environ.get(DEBUG) and outcome.verdict is Verdict.FAILS and outcome.evidence is None:
        outcome.claim.run(effort)


def _reason(outcome):
    if outcome.evidence is None or outcome.evidence.accepted is None:
        return outcome.message or outcome.evidence.note or "its error bars are too wide"
    control, seen, message = next(each for each in outcome.controls if each[1] is None or each[1].accepted is None)
    return f"control {control.description!r} {control_word(seen)}" + (f" ({message})" if message else "")
