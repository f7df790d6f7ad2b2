"""``theorycheck figure``: draw figures and write the numbers behind them."""

import click

from ..checks.claim import Effort
from ..figures.gallery import draw
from . import selection


@click.command("figure")
@click.argument("patterns", nargs=-1, required=True, metavar="FIGURE...")
@click.option("--out", default="results/figures", show_default=True, type=click.Path(file_okay=False),
              help="Folder for the files.")
@selection.options
def command(patterns, out, effort, device, jobs, dask):
    """Draw the figures whose id matches a glob pattern; each gives a PNG, a PDF and a CSV."""
    spent = Effort(level=effort, device=selection.device(device), cluster=selection.cluster(dask, device))
    broken = 0
    for plate in draw(selection.plates(patterns), spent, out, jobs):
        if plate.paths:
            click.echo(f"{plate.figure.id}  {plate.seconds:.1f} s  " + "  ".join(map(str, plate.paths.values())))
        else:
            click.echo(f"{plate.figure.id}  not drawn: {plate.message}", err=True)
            broken += not plate.missing
    return int(broken > 0)
