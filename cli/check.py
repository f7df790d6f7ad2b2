"""``theorycheck check``: judge a few claims and show what decided."""

import click

from ..checks.claim import Effort
from ..checks.runner import run
from . import selection
from .record import to_json
from .verdicts import debug_failure, exit_code, in_full, remarks


@click.command("check")
@click.argument("patterns", nargs=-1, required=True, metavar="CLAIM...")
@selection.options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per claim and line.")
def command(patterns, effort, device, jobs, dask, as_json):
    """Check the claims whose id matches a glob pattern, such as fsl.volterra or 'fsl.table1_*'.

    A claim HOLDS if its judge accepts the statement and rejects every control.  The exit code is 1 if one FAILS or is
    TOOTHLESS.
    """
    spent = Effort(level=effort, device=selection.device(device), cluster=selection.cluster(dask, device), jobs=jobs)
    chosen = selection.claims(patterns)
    waiting, done, outcomes = [claim.id for claim in chosen], {}, []
    for outcome in run(chosen, spent, jobs):
        debug_failure(outcome, spent)
        done[outcome.claim.id] = outcome
        while waiting and waiting[0] in done:   # shown in the order of the list, each as early as that allows
            shown = done.pop(waiting.pop(0))
            outcomes.append(shown)
            click.echo(to_json(shown.record()) if as_json else in_full(shown))
    if not as_json:
        for line in remarks(outcomes):
            click.echo(line)
    return exit_code(outcomes)
