"""Three invented topics for the tests of the frame: `good` (exit code 0), `bad` (every way to go wrong), `slow`."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from theorycheck import checks, figures
from theorycheck.checks.claim import Evidence, NotRun, Paper, claim
from theorycheck.figures import style
from theorycheck.figures.figure import Drawing, figure
from theorycheck.sims.errors import DeviceUnavailable

TOPICS = {"good": "what holds", "bad": "what does not", "slow": "what takes long"}

EUCLID = Paper("euclid", "The Elements | & <parts>", "Euclid of Alexandria and Theon", -300, venue="Papyri")
GAUSS = Paper("gauss1801", "Disquisitiones", "Carl Friedrich Gauss", 1801, arxiv="1801.00001")


def verdict(accepted, measured=1.0, note=""):
    """Evidence with a given decision."""
    return Evidence(accepted, measured, 1.0, 1e-6, "equal", 1e-6, note=note)


def installed():
    """Make these the only topics of this process."""
    checks.TOPICS.clear()
    checks.TOPICS.update(TOPICS)
    for topic in TOPICS:
        sys.modules[f"{checks.__name__}.{topic}"] = sys.modules[__name__]
        sys.modules[f"{figures.__name__}.{topic}"] = sys.modules[__name__]


def command_line():
    """The command line over these topics, for a subprocess."""
    from theorycheck.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell's background jobs start with it ignored
    installed()
    main()


@claim("two_is_two", topic="good", paper=EUCLID, where="Book 10", stance="stated", statement="|2| = 2 < 3 & `x|y`")
def two_is_two(effort):
    return verdict(True, 1.0 + 1e-9, note="worst at t=0.123456789")


@two_is_two.control("2 = 3 <wrong>")
def _(effort):
    return verdict(False, 3.0)


@claim("parallels", topic="good", paper=EUCLID, where="Book 9", stance="amended", statement="parallels meet on spheres")
def parallels(effort):
    return verdict(True)


@parallels.printed("parallels never meet")
def _(effort):
    return verdict(False, 0.5)


@parallels.control("parallels meet twice")
def _(effort):
    return verdict(False, 2.0)


@claim("open_question", topic="good", paper=GAUSS, where="Art. 1", stance="derived", statement="twin primes go on")
def open_question(effort):
    return verdict(None, float("inf"), note="too few primes")


@open_question.control("they stop at 7")
def _(effort):
    return verdict(False)


@claim("heavy_machine", topic="good", paper=GAUSS, where="Art. 2", stance="reconstructed", statement="needs a machine")
def heavy_machine(effort):
    raise NotRun("no such machine here")


@claim("no_device", topic="good", paper=GAUSS, where="Art. 3", stance="reconstructed", statement="needs a device")
def no_device(effort):
    raise DeviceUnavailable("device is 'gpu'; this experiment runs on 'cpu' only")


@claim("wrong", topic="bad", paper=GAUSS, where="Art. 4", stance="stated", statement="1 = 2")
def wrong(effort):
    return verdict(False, 2.0)


@wrong.control("1 = 3")
def _(effort):
    return verdict(False, 3.0)


@claim("easy", topic="bad", paper=GAUSS, where="Art. 5", stance="stated", statement="anything goes")
def easy(effort):
    return verdict(True)


@easy.control("even this")
def _(effort):
    return verdict(True)


@claim("untested", topic="bad", paper=GAUSS, where="Art. 6", stance="stated", statement="has no control")
def untested(effort):
    return verdict(True)


@claim("broken", topic="bad", paper=GAUSS, where="Art. 7", stance="stated", statement="divides by zero")
def broken(effort):
    return verdict(1 / 0 > 0)


@broken.control("breaks as well")
def _(effort):
    return verdict(1 / 0 > 0)


@claim("surprising", topic="bad", paper=GAUSS, where="Art. 8", stance="stated", statement="fails an assertion")
def surprising(effort):
    raise AssertionError("deep\nin the code")


@claim("shaky_control", topic="bad", paper=GAUSS, where="Art. 9", stance="stated", statement="its control breaks")
def shaky_control(effort):
    return verdict(True)


@shaky_control.control("1/0")
def _(effort):
    return verdict(1 / 0 > 0)


def _slow(number):
    @claim(f"wait_{number}", topic="slow", paper=GAUSS, where=f"Art. {number}", stance="derived", statement="t > 0")
    def wait(effort):
        Path(f"waiting.{number}").touch()
        time.sleep(0.0 if number == 0 else 60.0)
        return Evidence(True, float(os.getpid()), 1.0, 1.0, "equal")

    @wait.control("it does not")
    def _(effort):
        return verdict(False)


for _number in range(4):
    _slow(_number)


@figure("line", topic="good", title="A line", caption="Line: theory. Markers: measured.", claims=("good.two_is_two",))
def line(effort):
    made, axes = style.new()
    x = np.arange(1.0, 6.0)
    axes.plot(x, x, **style.theory(0))
    axes.plot(x, x + 0.1, **style.measurement(1))
    return Drawing(made, {"x": x, "y": x / 3, "label": ["a"] * 5, "stderr": np.ma.masked_greater(x, 3)})


@figure("torn", topic="bad", title="Torn", caption="Cannot be drawn.")
def torn(effort):
    raise RuntimeError("no paper")


@figure("far", topic="good", title="Far", caption="Needs a device.")
def far(effort):
    raise NotRun("no such machine here")
