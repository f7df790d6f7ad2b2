"""``report.html``: one self-contained page with every verdict, the numbers behind it, its controls, and the figures."""

import base64
import platform
import re
from dataclasses import dataclass
from html import escape as text
from importlib.metadata import version
from pathlib import Path

from .. import checks
from ..checks.claim import Verdict
from .record import number, write_text
from .report_style import CSS
from .verdicts import MARKS, control_word, tally

LIBRARIES = ("numpy", "scipy", "numba", "sympy", "mpmath", "joblib", "matplotlib")

STANCES = {"stated": "the paper says it", "reconstructed": "the paper's text was not at hand; this is what must hold",
           "amended": "the printed statement fails; this is the corrected one", "derived": "ours"}


@dataclass(frozen=True)
class Report:
    """Everything the page shows.

    Attributes
    ----------
    topics : list of str
    outcomes : list of Outcome
    plates : list of Plate
    effort, device : str
    seconds : float
        Wall-clock time of the run.
    complete : bool
        False if the run was interrupted.
    claims, figures : int
        How many there would be in a complete run.
    """

    topics: list
    outcomes: list
    plates: list
    effort: str
    device: str
    seconds: float
    complete: bool
    claims: int
    figures: int


def write(path, report: Report) -> Path:
    """Write the page (all at once) and return its path."""
    path = Path(path)
    write_text(path, page(report))
    return path


def page(report: Report) -> str:
    """The page as HTML."""
    papers = sorted({outcome.claim.paper for outcome in report.outcomes}, key=lambda paper: paper.key)
    body = [_header(report)]
    if not report.complete:
        body.append(f'<p class="incomplete" role="alert"><strong>Incomplete.</strong> The run was interrupted: '
                    f"{len(report.outcomes)} of {report.claims} claims and {len(report.plates)} of {report.figures} "
                    "figures are here.</p>")
    body.append(_contents(report.outcomes, papers))
    for paper in papers:
        mine = sorted((outcome for outcome in report.outcomes if outcome.claim.paper == paper), key=_place)
        body.append(_paper(paper, mine))
    if report.plates:
        body += ['<section id="figures"><h2>Figures</h2>', *map(_plate, report.plates), "</section>"]
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>theorycheck: {text(', '.join(report.topics))}</title>\n<style>{CSS}</style></head>\n"
            "<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n")


def badge(verdict: Verdict) -> str:
    """A verdict as a sign and a word in a frame of its own, readable without colour."""
    return f'<span class="badge {verdict.name.lower()}">{MARKS[verdict]} {text(str(verdict))}</span>'


def _header(report):
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    facts = [("topics", ", ".join(f"{topic} ({checks.TOPICS.get(topic, topic)})" for topic in report.topics)),
             ("verdicts", tally(report.outcomes)),
             ("effort", f"{report.effort}, on the {report.device}"),
             ("time", f"{report.seconds:.0f} s; {sum(outcome.seconds for outcome in report.outcomes):.0f} s in claims, "
                      f"{sum(plate.seconds for plate in report.plates):.0f} s in figures"),
             ("versions", f"theorycheck {version('theorycheck')}, Python {platform.python_version()}, {versions}")]
    rows = "".join(f"<dt>{name}</dt><dd>{text(words)}</dd>" for name, words in facts)
    return f"<header><h1>What the numbers say</h1><dl>{rows}</dl></header>"


def _contents(outcomes, papers):
    rows = "".join(
        f"<tr><td>{badge(outcome.verdict)}</td><td>{_link(outcome.claim.id)}</td>"
        f"<td>{text(outcome.claim.where)}</td><td>{text(outcome.claim.stance)}</td></tr>"
        for paper in papers
        for outcome in sorted((each for each in outcomes if each.claim.paper == paper), key=_place))
    legend = "".join(f"<li><em>{name}</em>: {meaning}</li>" for name, meaning in STANCES.items())
    return ('<details class="contents" open><summary>All claims</summary><div class="wide"><table><thead><tr>'
            "<th>verdict</th><th>claim</th><th>where</th><th>stance</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></div><ul class=\"legend\">{legend}</ul></details>")


def _paper(paper, outcomes):
    source = [f"{text(paper.authors.replace(' and ', ', '))}, {paper.year}."]
    source += [f"{text(paper.venue)}."] if paper.venue else []
    if paper.arxiv:
        source.append(f'<a href="https://arxiv.org/abs/{text(paper.arxiv)}">arXiv:{text(paper.arxiv)}</a>')
    return (f'<section><h2>{text(paper.title)}</h2><p class="source">{" ".join(source)}</p>\n'
            + "\n".join(map(_article, outcomes)) + "</section>")


def _article(outcome):
    claim, evidence = outcome.claim, outcome.evidence
    notes = [outcome.message, number(evidence.note) if evidence else ""]
    notes = "".join(f'<p class="note">{text(words)}</p>' for words in notes if words)
    judge = ""
    if evidence is not None:
        alarm = f"at most {evidence.false_alarm:.1g}" if evidence.false_alarm else "none (deterministic)"
        judge = f'<p class="judge">judge: {text(evidence.judge)}; probability of a false alarm: {alarm}</p>'
    where = f"{text(claim.where)} &middot; {text(claim.stance)} &middot; {outcome.seconds:.1f} s"
    return (f'<article id="{text(claim.id)}"><h3>{badge(outcome.verdict)} <span class="id">{text(claim.id)}</span>'
            f'</h3><p class="where">{where}</p>'
            f"{_statements(outcome)}{_numbers(outcome)}{judge}{notes}{_rows(evidence)}</article>")


def _statements(outcome):
    claim = outcome.claim
    printed = [(control, seen) for control, seen, _ in outcome.controls if control.printed]
    if not printed:
        return f'<p class="statement">{text(claim.statement)}</p>'
    columns = [f'<div class="printed"><h4>as printed: {control_word(seen)}</h4>'
               f'<p class="statement">{text(control.description)}</p></div>' for control, seen in printed]
    columns.append(f'<div class="amended"><h4>as amended: {text(str(outcome.verdict))}</h4>'
                   f'<p class="statement">{text(claim.statement)}</p></div>')
    return f'<div class="sides">{"".join(columns)}</div>'


def _numbers(outcome):
    word = {True: "accepted", False: "rejected", None: "undecided"}
    evidence = outcome.evidence
    rows = [("claim", word[evidence.accepted] if evidence else str(outcome.verdict).lower(), evidence, "")]
    for control, seen, message in outcome.controls:
        what = "as printed" if control.printed else f"control: {control.description}"
        rows.append((what, control_word(seen), seen, message))
    cells = "".join(
        f'<tr><th scope="row">{text(what)}</th><td>{text(became)}</td>'
        + ("".join(f"<td>{_cell(value)}</td>" for value in (seen.measured, seen.expected, seen.tolerance))
           if seen else f'<td colspan="3">{text(message)}</td>') + "</tr>"
        for what, became, seen, message in rows)
    return ('<div class="wide"><table class="numbers"><thead><tr><th></th><th></th><th>measured</th><th>expected</th>'
            f"<th>tolerance</th></tr></thead><tbody>{cells}</tbody></table></div>")


def _rows(evidence):
    """The table of the evidence, if it has one."""
    if evidence is None or not evidence.table:
        return ""
    head, *body = [[text(number(cell)) for cell in row] for row in evidence.table]
    cells = "".join(f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
                    for row in body)
    return ('<div class="wide"><table class="numbers cases"><thead><tr>'
            f'{"".join(f"<th>{cell}</th>" for cell in head)}</tr></thead><tbody>{cells}</tbody></table></div>')


def _plate(plate):
    figure = plate.figure
    caption = f"<strong>{text(figure.title)}.</strong> {text(figure.caption)}"
    caption += f" Claims: {', '.join(map(_link, figure.claims))}." if figure.claims else ""
    if not plate.paths:
        return (f'<figure id="{text(figure.id)}"><p class="note">not drawn: {text(plate.message)}</p>'
                f"<figcaption>{caption}</figcaption></figure>")
    image = base64.b64encode(Path(plate.paths["png"]).read_bytes()).decode()
    files = ", ".join(f'<a href="figures/{text(plate.paths[kind].name)}">{text(plate.paths[kind].name)}</a>'
                      for kind in ("csv", "pdf"))
    return (f'<figure id="{text(figure.id)}"><img alt="{text(figure.title)}" src="data:image/png;base64,{image}">'
            f"<figcaption>{caption} Numbers and vector file: {files}.</figcaption></figure>")


def _place(outcome):
    # "Thm 4.10" comes after "Thm 4.9"
    parts = [part for part in re.split(r"(\d+)", outcome.claim.where) if part]
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts], outcome.claim.id


def _cell(value):
    return text(number(value, 6)).replace("; ", ";<br>")   # judges join the numbers of several cases by "; "


def _link(key):
    return f'<a href="#{text(key)}">{text(key)}</a>'
