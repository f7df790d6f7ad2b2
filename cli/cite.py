"""``theorycheck cite``: BibTeX of the papers a topic checks, and of theorycheck itself."""

from importlib.metadata import version

import click

from .. import checks
from .listing import papers


@click.command("cite")
@click.argument("names", nargs=-1, metavar="[TOPIC]...")
def command(names):
    """Print BibTeX for the papers of the topics (of all, by default) and for theorycheck."""
    cited = papers(claim for topic in checks.topics(names) for claim in checks.load(topic).values())
    click.echo("\n\n".join([*(paper.bibtex for paper in cited), own_bibtex()]))
    return 0


def own_bibtex() -> str:
    """The BibTeX entry of this version of theorycheck."""
    return ("@misc{theorycheck,\n"
            "  title         = {{theorycheck: theorems of deep-learning papers as programs that can say no}},\n"
            "  author        = {{The theorycheck authors}},\n"
            f"  note          = {{Version {version('theorycheck')}}}\n"
            "}")
