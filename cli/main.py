"""The command ``theorycheck``: what can be typed, and what a run's exit code means.

Exit codes: 0 every claim that ran holds (an INCONCLUSIVE or NOT RUN one is named, and is no failure); 1 a claim FAILS
or is TOOTHLESS, or a figure or a point of a sweep could not be made; 2 bad input, with one line that names the value
and the allowed range; 70 a bug in theorycheck; 130 interrupted; 141 the reader of our output went away.

Subcommands are imported when they are used, so that ``--help`` answers at once.
"""

import os
import signal
import sys
import warnings
from importlib import import_module

import click

from ..sims.errors import ClusterLost

COMMANDS = {
    "run": "Check every claim, draw every figure, write the report.",
    "list": "Show topics, papers, claims and figures.",
    "check": "Check one or more claims.",
    "figure": "Draw figures: PNG, PDF and the numbers behind them.",
    "fit": "Fit a scaling law to your own loss curves, predict others.",
    "plan": "Best learning rates or batch sizes of a run, from a task or a fit.",
    "sweep": "Compute a grid of parameters into one table.",
    "demo": "Open a topic's classroom notebook.",
    "cite": "Print BibTeX for a topic's papers and for theorycheck.",
}
"""Name and one-line help of every subcommand; its code is ``command`` in the module of its name."""

MODULES = {"list": "listing"}
"""Modules not called like their subcommand."""

DEBUG = "THEORYCHECK_DEBUG"
"""Environment variable: if set and not empty, errors show their traceback."""
QUIET = "ignore:resource_tracker:UserWarning"
"""What processes that are started here need not warn of, as Python's option -W has it."""


class LazyGroup(click.Group):
    """A group that knows its subcommands by name and imports one only to run it or to print its help."""

    def list_commands(self, context):
        """Names of the subcommands, in the order they are shown."""
        return list(COMMANDS)

    def get_command(self, context, name):
        """The subcommand called `name`, or None."""
        if name not in COMMANDS:
            return None
        return import_module(f"{__package__}.{MODULES.get(name, name)}").command

    def format_commands(self, context, formatter):
        """Write the list of subcommands from :data:`COMMANDS`, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, context, arguments):
        """Find the subcommand that was typed; an unknown one is answered with those that exist."""
        if arguments and arguments[0] not in COMMANDS:
            raise click.UsageError(f"command is {arguments[0]!r}; it must be one of {', '.join(COMMANDS)}")
        return super().resolve_command(context, arguments)


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="theorycheck", message="%(package)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def command(context, debug):
    """Theorems of deep-learning papers as programs that can say no."""
    if debug:
        os.environ[DEBUG] = "1"
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments=None):
    """Run the command line and leave with its exit code (the console script)."""
    # BLAS sums in another order with another number of threads; claims run side by side anyway
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:   # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))
        getattr(sys, name).reconfigure(errors="replace")   # a terminal that knows no check mark shows "?" instead
    code = exit_code(arguments)
    signal.signal(signal.SIGINT, signal.SIG_DFL)   # the work is done: a Ctrl-C now ends the farewell, in silence
    sys.exit(code)


def exit_code(arguments=None) -> int:
    """Run the command line and return its exit code; every error becomes one line on the standard error.

    Parameters
    ----------
    arguments : list of str, optional
        What was typed after ``theorycheck``; by default the process's own arguments.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    # joblib's tracker of shared objects is a process of its own and would report what an interrupted run left to it
    options = os.environ.get("PYTHONWARNINGS", "")
    if QUIET not in options:
        os.environ["PYTHONWARNINGS"] = f"{options},{QUIET}".lstrip(",")
    # joblib replaces workers that have grown; their tasks are not lost
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    try:
        # not click's own main, which answers a closed pipe with 1, our code for a claim that fails
        with command.make_context("theorycheck", typed) as context:
            code = command.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leave:   # --help and --version
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # what is still buffered has no reader; without this the interpreter would complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (click.ClickException, ValueError, OSError, ClusterLost) as error:
        if os.environ.get(DEBUG):
            raise
        return _complain(_one_line(error), 2)
    except Exception as error:   # a bug: say so in one line, with the way to the traceback
        if os.environ.get(DEBUG):
            raise
        return _complain(f"internal error ({type(error).__name__}: {_one_line(error)}); "
                         "theorycheck --debug ... shows where", 70)


def _one_line(error):
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return " ".join(text.split())


def _complain(line, code):
    click.echo(f"theorycheck: {line}", err=True)
    return code
