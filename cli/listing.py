"""``theorycheck list``: topics, papers, claims and figures."""

import click

from .. import checks, figures
from ..checks.claim import describe
from .record import to_json


@click.command("list")
@click.argument("names", nargs=-1, metavar="[TOPIC]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per claim and line.")
def command(names, as_json):
    """Show topics, the papers they check, their claims (id, stance, source, statement) and their figures."""
    for topic in checks.topics(names):
        claims = checks.load(topic)
        if as_json:
            for claim in claims.values():
                click.echo(to_json(describe(claim)))
        else:
            click.echo("\n".join(_section(topic, claims, figures.load(topic))))
    return 0


def papers(claims) -> list:
    """The papers of some claims, each once, in the order of their first claim's key."""
    return sorted({claim.paper for claim in claims}, key=lambda paper: paper.key)


def _section(topic, claims, plates):
    lines = [f"{topic}: {checks.TOPICS[topic]}", "", "  papers"]
    for paper in papers(claims.values()):
        source = f"arXiv:{paper.arxiv}" if paper.arxiv else paper.venue
        lines.append(f"    {paper.key}  {paper.title} ({paper.year}{', ' + source if source else ''})")
    lines += ["", f"  claims ({len(claims)})"]
    lines += _columns([(claim.id, claim.stance, f"{claim.paper.key}, {claim.where}", claim.statement)
                       for claim in claims.values()])
    lines += ["", f"  figures ({len(plates)})"]
    lines += _columns([(plate.id, plate.title) for plate in plates.values()])
    return [*lines, ""]


def _columns(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
