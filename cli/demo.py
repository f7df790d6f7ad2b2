"""``theorycheck demo``: open a topic's classroom notebook."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from .. import checks


@click.command("demo")
@click.argument("topic")
@click.option("--edit", is_flag=True, help="Open the notebook with its code instead of as an app.")
@click.option("--headless", is_flag=True, help="Serve it without opening a browser.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to serve it on.")
def command(topic, edit, headless, port):
    """Open the classroom notebook of TOPIC in the browser (needs marimo)."""
    notebook = find(topic)
    if find_spec("marimo") is None:
        raise ValueError("marimo is not installed; pip install 'theorycheck[demo]' brings it")
    line = [sys.executable, "-m", "marimo", "edit" if edit else "run", str(notebook)]
    line += ["--headless"] if headless else []
    line += ["--port", str(port)] if port else []
    return subprocess.call(line)


def find(topic: str) -> Path:
    """The notebook of a topic: in this checkout, else in the current folder's ``demos``.

    Raises
    ------
    ValueError
        If there is no such topic, or it has no notebook here.
    """
    (checked,) = checks.topics([topic])
    for folder in (Path(__file__).parents[1] / "demos", Path("demos")):
        if (folder / f"{checked}.py").is_file():
            return folder / f"{checked}.py"
    raise ValueError(f"topic {checked!r} has no notebook here; demos/{checked}.py comes with the source checkout")
