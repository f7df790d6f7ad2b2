"""From what was typed to claims and figures: topics, glob patterns and the options that commands share."""

import difflib
import fnmatch

import click

from .. import checks, figures


def claims(patterns=("*",)) -> list:
    """Claims whose id matches any of the glob `patterns` (a bare topic means all of it), by topic and id.

    Raises
    ------
    ValueError
        If a pattern matches nothing; the message lists what comes near.
    """
    return _matching("claim", patterns, checks.load)


def plates(patterns=("*",)) -> list:
    """Figures whose id matches any of the glob `patterns`, like :func:`claims`."""
    return _matching("figure", patterns, figures.load)


def device(name: str) -> str:
    """`name`, if this machine has it.

    Raises
    ------
    ValueError
        If it is ``"gpu"`` and CuPy or a CUDA device is missing.
    """
    if name == "gpu":
        from ..sims.gpu import require

        require()
    return name


def cluster(address: str | None, where: str = "cpu") -> str | None:
    """`address`, if a Dask cluster with the same versions as here works there; None stays None.

    A GPU (`where`) is fed by this process alone, so it is refused beside a cluster, which would stand idle.

    Raises
    ------
    ValueError, ConnectionError
        If it is malformed, ``distributed`` is missing, nobody answers, or a worker differs.
    """
    if address is not None and where == "gpu":
        raise ValueError(f"device is 'gpu' and the Dask address is {address!r}; only one of them can do the work")
    if address is not None:
        from ..sims.cluster import connected

        with connected(address):
            pass
    return address


def dask_option(function):
    """Add ``--dask`` to a command."""
    return click.option("--dask", metavar="tcp://HOST:PORT",
                        help="Spread Monte Carlo over the Dask cluster of this scheduler; same bits.")(function)


def options(function):
    """Add ``--effort``, ``--device``, ``--jobs`` and ``--dask`` to a command."""
    for option in (
            dask_option,
            click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 4096), metavar="N",
                         help="Processes that work side by side; the results do not depend on it."),
            click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "gpu"]),
                         help="Where Monte Carlo runs."),
            click.option("--effort", default="quick", show_default=True, type=click.Choice(["quick", "full"]),
                         help="quick: a topic in about 90 s on two cores; full: the papers' own sizes.")):
        function = option(function)
    return function


def _matching(kind, patterns, load):
    known = {}
    for topic in checks.TOPICS:
        # a pattern that starts with a literal topic needs no other topic imported
        if any(_may_match(pattern, topic) for pattern in patterns):
            known.update(load(topic))
    chosen = []
    for pattern in patterns:
        whole = f"{pattern}.*" if pattern in checks.TOPICS else pattern
        found = [key for key in known if fnmatch.fnmatchcase(key, whole)]
        if not found:
            known = known or {key: made for topic in checks.TOPICS for key, made in load(topic).items()}
            raise ValueError(f"{kind} is {pattern!r} and matches nothing; {_near(pattern, known)}")
        chosen += found
    return [known[key] for key in known if key in set(chosen)]


def _may_match(pattern, topic):
    head = pattern.split(".", 1)[0]
    return fnmatch.fnmatchcase(topic, head) or head.startswith("*") or head not in checks.TOPICS


def _near(pattern, known):
    if not known:
        return "there is none"
    near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.5)
    tails = {key.split(".", 1)[1]: key for key in known}
    near += [tails[tail] for tail in difflib.get_close_matches(pattern.split(".")[-1], tails, n=3, cutoff=0.6)]
    near += [key for key in known if len(pattern) > 2 and pattern.strip("*?") in key]
    near = list(dict.fromkeys(near))[:4]
    return f"near it: {', '.join(near)}" if near else f"the {len(known)} that exist are shown by 'theorycheck list'"
