"""Whatever it is given, a constructor or the command line answers, or says in one line what is wrong with it.

10,000 inputs at the least, the same ones every time; ``THEORYCHECK_FUZZ=n`` tries n times as many.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import math
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theorycheck.checks import sweep
from theorycheck.checks.claim import Effort, Evidence
from theorycheck.cli import demo
from theorycheck.cli import sweep as sweep_command
from theorycheck.cli.main import COMMANDS, DEBUG, command, exit_code
from theorycheck.sims import fsl as sgd
from theorycheck.sims import streams
from theorycheck.sims.loss_curves import LossCurve, read_csv
from theorycheck.sims.store import pack, unpack
from theorycheck.theory import batch_sizes, fsl, learning_rates, spectra

SCALE = max(1, int(os.environ.get("THEORYCHECK_FUZZ", "1")))
SECONDS = 30
"""What takes longer hangs; everything here takes milliseconds."""


def fuzzed(examples):
    """Settings of a test that tries so many inputs, the same in every run."""
    return settings(max_examples=SCALE * examples, derandomize=True, database=None, deadline=None,
                    suppress_health_check=list(HealthCheck))


@contextlib.contextmanager
def no_hang():
    """Fail, rather than wait for ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number, frame):
        raise AssertionError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answers(call, *arguments, **named):
    """The result of a call, or None if it refused with a ValueError of one line; any other error goes through."""
    with no_hang(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*arguments, **named)
        except ValueError as error:
            assert str(error).strip() and "\n" not in str(error), repr(error)
            return None


# what people pass by mistake; sizes between a thousand and what fits no memory are left out: they would only take long

WILD = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-320, 5e-324, 1e-16, 1e16, 1e154, 1e308, -1e308, math.inf,
                        -math.inf, math.nan, 1 + 1e-15, 10**18, -10**18, 2**63, 2**64, 10**40, 10**400])
JUNK = st.one_of(
    WILD, WILD, st.none(), st.booleans(), st.integers(-50, 50), st.floats(-10, 10), st.text(max_size=4),
    st.binary(max_size=3), st.just(1j), st.just(object), st.just({}), st.just({"a": 1}), st.just(set()), st.just(()),
    st.just([]), st.just([[]]), st.just([[1.0], [2.0, 3.0]]), st.just("0.1"), st.just("nan"), st.just(["a"]),
    st.lists(WILD, max_size=4), st.just(np.zeros((2, 2))), st.just(np.zeros(0)), st.just(np.array(3.0)),
    st.just(np.array([1, 2], dtype=object)), st.just(np.array(["x"])), st.just(np.array([1 + 1j])),
    st.just(np.float32("nan")), st.just(np.int8(-1)), st.just(np.bool_(True)), st.just(range(3)), st.just(len))

STEPS = st.integers(1, 60)
RATE = st.floats(1e-4, 1.0)
SIZE = st.integers(1, 40)
POSITIVE = st.floats(1e-3, 10.0)
FRACTION = st.floats(0.01, 1.0)
RATES = st.lists(RATE, min_size=1, max_size=8)
SIZES = st.lists(SIZE, min_size=1, max_size=8)
CSV = st.lists(st.text("steplrbatch_size,0123456789.-+eE\"; \n\x00é", max_size=24) | st.sampled_from(
    ["step,lr", "lr", "step,batch_size", "batch_size", "0,0.1", "1,0.2", "5,1e999", "3,nan", "1,", ",", "2,-1",
     "1e18,1"]), max_size=6)
SCHEDULES = st.builds(learning_rates.constant, STEPS, RATE)
PROBLEMS = st.builds(fsl.PowerLawRegression, POSITIVE, st.floats(1.05, 4.0), SIZE)

CONSTRUCTORS = {
    learning_rates.Schedule: {"rates": RATES, "name": st.text(max_size=3)},
    learning_rates.constant: {"steps": STEPS, "peak": RATE},
    learning_rates.linear: {"steps": STEPS, "peak": RATE, "final": st.just(0.0)},
    learning_rates.cosine: {"steps": STEPS, "peak": RATE, "final": st.just(0.0)},
    learning_rates.power: {"steps": STEPS, "peak": RATE, "exponent": POSITIVE, "final": st.just(0.0)},
    learning_rates.exponential: {"steps": STEPS, "peak": RATE, "final": st.just(1e-5)},
    learning_rates.wsd: {"steps": STEPS, "peak": RATE, "cooldown": FRACTION, "final": st.none(),
                         "shape": st.sampled_from(learning_rates.COOLDOWNS)},
    learning_rates.cyclic: {"steps": STEPS, "peak": RATE, "final": st.just(0.0), "cycles": st.integers(1, 5)},
    learning_rates.multi_step: {"steps": STEPS, "peak": RATE, "milestones": st.just((0.5, 0.9)), "factor": RATE},
    learning_rates.warmup: {"schedule": SCHEDULES, "steps": st.integers(0, 20), "start": st.just(0.0)},
    learning_rates.from_array: {"rates": RATES, "name": st.text(max_size=3)},
    learning_rates.from_csv: {"lines": CSV, "name": st.just("x"), "column": st.just("lr")},
    batch_sizes.BatchSchedule: {"sizes": SIZES, "name": st.text(max_size=3)},
    batch_sizes.constant: {"steps": STEPS, "size": SIZE},
    batch_sizes.stages: {"steps": STEPS, "sizes": st.just((1, 2, 4)), "milestones": st.just((0.3, 0.6))},
    batch_sizes.linear: {"steps": STEPS, "first": SIZE, "last": SIZE},
    batch_sizes.exponential: {"steps": STEPS, "first": SIZE, "last": SIZE},
    batch_sizes.from_array: {"sizes": SIZES, "name": st.text(max_size=3)},
    batch_sizes.from_csv: {"lines": CSV, "name": st.just("x"), "column": st.just("batch_size")},
    batch_sizes.as_sizes: {"batch_size": SIZE, "steps": STEPS},
    spectra.power_law: {"exponent": POSITIVE, "count": STEPS},
    spectra.tail_sum: {"exponent": POSITIVE, "start": SIZE},
    spectra.partial_sum: {"exponent": POSITIVE, "count": SIZE},
    fsl.PowerLawRegression: {"source": POSITIVE, "capacity": st.floats(1.05, 4.0), "width": SIZE, "noise": RATE,
                             "features": st.sampled_from(["gaussian", "laplace"])},
    fsl.NoiseProfile: {"edges": st.just([0.0, 1.0, math.inf]), "levels": st.just([0.1, 0.2])},
    fsl.exact_risk: {"problem": PROBLEMS, "schedule": st.just(learning_rates.linear(9, 0.01)), "batch_size": SIZE,
                     "times": st.just([0, 4, 9])},
    sgd.Descent: {"problem": PROBLEMS, "schedule": st.just([0.01, 0.02]), "batch_size": SIZE, "times": st.just([0, 2]),
                  "features": st.just("uniform"), "projection": st.none()},
    streams.key: {"seed": st.integers(0, 2**64 - 1), "experiment": st.text(min_size=1, max_size=3)},
    streams.words: {"key": st.integers(0, 2**64 - 1), "replica": SIZE, "step": SIZE, "count": SIZE, "first": SIZE,
                    "purpose": st.integers(0, 255)},
    LossCurve: {"name": st.text(max_size=3), "steps": st.just(range(9)), "rates": st.just([0.1] * 9),
                "losses": st.just([1.0] * 9), "batch_sizes": st.none()},
    Effort: {"level": st.just("full"), "jobs": SIZE, "device": st.just("cpu"), "store": st.none(),
             "progress": st.booleans()},
    Evidence: {"accepted": st.booleans(), "measured": RATE, "expected": RATE, "tolerance": RATE, "judge": st.just("x")},
    fsl.Spectrum: {"eigenvalues": RATES, "target_squared": RATES, "approximation_error": RATE, "noise": RATE,
                   "multiplicity": st.none(), "kurtosis": st.floats(1, 6)},
}
"""What builds something and is public, with what it usually gets."""


def found_constructors():
    """Every public dataclass that checks what it gets and is not listed above, with junk for all its fields."""
    found = {}
    for avenue in ("theory", "sims", "checks", "figures", "cli"):
        package = importlib.import_module(f"theorycheck.{avenue}")
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, made in vars(importlib.import_module(info.name)).items():
                if (inspect.isclass(made) and made.__module__ == info.name and dataclasses.is_dataclass(made)
                        and "__post_init__" in vars(made) and not name.startswith("_") and made not in CONSTRUCTORS):
                    found[made] = {each.name: JUNK for each in dataclasses.fields(made) if each.init}
    return found


ALL = {**CONSTRUCTORS, **found_constructors()}
EACH = 200
COMMAND_LINES = 1500
FILES = 1000
CONTENTS = 1000
SPECIFICATIONS = 500


def test_there_are_ten_thousand_inputs():
    assert len(ALL) * EACH + COMMAND_LINES + FILES + CONTENTS >= 10_000


def values(made):
    """The floating-point arrays of a result."""
    fields = dataclasses.fields(made) if dataclasses.is_dataclass(made) else ()
    parts = [getattr(made, each.name) for each in fields] or [made]
    return [each for each in parts if isinstance(each, np.ndarray) and each.dtype.kind == "f"]


@pytest.mark.parametrize("call", ALL, ids=lambda call: f"{call.__module__}.{call.__name__}".partition(".")[2])
def test_a_constructor_answers_or_says_what_is_wrong(call):
    @fuzzed(EACH)
    @given(st.fixed_dictionaries(ALL[call]), st.dictionaries(st.sampled_from(list(ALL[call])), JUNK, max_size=2))
    def attempt(usual, junk):
        made = answers(call, **(usual | junk))
        if call in CONSTRUCTORS and made is not None and not isinstance(made, Evidence):
            assert not any(np.isnan(array).any() for array in values(made))

    attempt()


# -- files -------------------------------------------------------------------------------------------------------

LINES = st.lists(st.sampled_from([
    "step,lr,loss", "step,lr", "0,0.1,2.0", "1,0.1,1.5", "2,0.1,1.4", "1,0.1,-1", "3,1e999,1", "4,nan,1", "5,0.1",
    '"6,0.1,1', "é,0.1,1", "7;0.1;1", "", "\t", "step,step,lr", "8,0.1,1,9"]), max_size=7).map("\n".join)
BYTES = st.one_of(LINES.map(str.encode), st.binary(max_size=40), st.tuples(LINES, st.binary(max_size=6)).map(
    lambda pair: pair[0].encode() + pair[1]), LINES.map(lambda text: text.encode("utf-16")))


@fuzzed(FILES)
@given(content=BYTES)
def test_a_loss_curve_is_read_or_refused(tmp_path, content):
    path = tmp_path / "run.csv"
    path.write_bytes(content)
    curve = answers(read_csv, path)
    assert curve is None or np.isfinite(curve.rates).all()


VALUE = st.sampled_from([
    "0", "1", "2", "-1", "0.5", "1e400", "nan", "-inf", "true", '""', '"x"', '"full"', "[]", "[[]]", "[1]", "[0.5, 1]",
    "[1, 1.0]", "[nan, nan]", '["a", 1]', "[{}]", "[true, false]", "{}", '{kind = "wsd"}', "{kind = 3}",
    '{kind = "linear", steps = 9, peak = 0.2}', '{kind = "wsd", steps = 9, peak = [0.1]}', '[{kind = "array"}]',
    '{kind = "array", rates = [0.1, "x"]}', "1979-05-27", "07:32:00", "99999999999999999999", '"\\u0000"', "é"])
NAME = st.sampled_from([
    "source", "capacity", "width", "schedule", "times", "schedule.peak", '"schedule.peak"', "schedule.peak.deep",
    "schedule.steps", '"schedule.steps"', "batch_size", "noise", "features", "effort", "path", '""', '"."', "source.x"])
CHANGES = st.just({}) | st.dictionaries(NAME, VALUE, max_size=2)
GRID = {"source": "[0.5, 1]", '"schedule.peak"': "[0.1, 0.2]"}
FIXED = {"capacity": "2", "width": "5", "schedule": '{kind = "linear", steps = 9, peak = 0.1}'}
EXPERIMENTS = ["fsl.descent", "fsl.exact_risk", "fsl.functional_law"] * 3 + ["label_noise.descent", "good.line", "x"]


@st.composite
def specifications(draw):
    """A specification that is right but for a few entries."""
    name = draw(st.sampled_from(EXPERIMENTS))
    top = {"experiment": f'"{name}"', **({"replicas": "8"} if name.endswith("descent") else {})}
    top |= draw(st.just({}) | st.dictionaries(st.sampled_from(["replicas", "seed", "output"]), VALUE, max_size=1))
    tables = {"grid": GRID | draw(CHANGES), "fixed": FIXED | draw(CHANGES), "output": {"path": '"out.csv"'}}
    parts = [top, *tables.values()]
    heads = ["", *(f"[{each}]\n" for each in tables)]
    return "".join(head + "".join(f"{key} = {value}\n" for key, value in part.items())
                   for head, part in zip(heads, parts))


@fuzzed(SPECIFICATIONS)
@given(text=specifications(), cut=st.sampled_from([None] * 9 + [0, 40, 90]))
def test_a_sweep_is_prepared_or_refused(invented, text, cut):
    path = invented / "spec.toml"
    path.write_bytes(text.encode()[:cut])
    wanted = answers(sweep_command.read, str(path))
    if wanted is not None:
        points = answers(sweep.checked, wanted[0])
        assert points is None or len(points) == wanted[0].size


@fuzzed(CONTENTS)
@given(start=st.integers(0, 400), stop=st.integers(0, 400), inside=st.binary(max_size=12), lost=st.booleans())
def test_a_file_of_a_store_is_itself_or_refused(start, stop, inside, lost):
    content = pack("ab", 0, 4, np.arange(4.0), {2: 7} if lost else None)
    changed = content[:start] + inside + content[stop:]
    array, found, complaint = unpack(changed, "ab", 0, 4, (4,))
    if changed == content:
        assert array.tolist() == [0, 1, 2, 3] and found == ({2: 7} if lost else {}) and not complaint
    else:
        assert array is None and found is None and complaint and "\n" not in complaint


# -- command lines -----------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from([
        "good", "good.*", "good.two_is_two", "bad.wrong", "bad.torn", "good.line", "[", "*.*.*", "?", "..", ".", "-",
        "--", "---", "-x", "--help", "--version", "--json", "--no", "=", "--out=", "0", "1", "-1", "1.5", "nan", "inf",
        "1e400", "true", "quick", "full", "cpu", "gpu", "fsl", "mpl", "empty.csv", "short.csv", "noise.bin", "folder",
        "missing.csv", "empty.csv/below", "/dev/null", "/proc/self/mem", "a\x00b", "é∞", "\udcff", "a\nb", "x" * 300,
        "$(false)", "%s{0}", ""]),
    st.text(max_size=5))


def options():
    """Every option of every command, except for the debugging that lets errors through and the address of a cluster."""
    known = set()
    for name in COMMANDS:
        for parameter in command.get_command(None, name).params:
            known |= {each for each in (*parameter.opts, *parameter.secondary_opts) if each.startswith("-")}
    return sorted(known - {"--debug", "--dask"})


@pytest.fixture
def playground(invented, monkeypatch):
    """The invented topics without what is slow, some bad files, and no plots, browsers or worker processes."""
    from theorycheck import checks

    monkeypatch.delenv(DEBUG, raising=False)
    monkeypatch.delitem(checks.TOPICS, "slow")
    monkeypatch.setattr(demo.subprocess, "call", lambda line: 0)
    monkeypatch.setattr("theorycheck.cli.run.draw", lambda *arguments: iter(()))
    monkeypatch.setattr("theorycheck.cli.figure.draw", lambda *arguments: iter(()))
    (invented / "folder").mkdir()
    (invented / "empty.csv").write_bytes(b"")
    (invented / "short.csv").write_text("step,lr,loss\n0,0.1,2\n1,0.1,1\n")
    (invented / "noise.bin").write_bytes(bytes(range(256)))
    return invented


def test_a_command_line_is_answered_in_one_line_or_obeyed(playground):
    @fuzzed(COMMAND_LINES)
    @given(st.sampled_from([*COMMANDS, ""]), st.lists(WORDS | st.sampled_from(options()), max_size=5))
    def attempt(name, rest):
        out, err = io.StringIO(), io.StringIO()
        with no_hang(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = exit_code([name, *rest] if name else rest)
        said = err.getvalue()
        assert code in (0, 1, 2), said
        assert "Traceback" not in said
        if code == 2:
            assert said.startswith("theorycheck: ") and said.count("\n") == 1, said

    attempt()


@pytest.mark.parametrize("arguments", [
    ["\udcff"], ["check", "\udcff"], ["fit", "\udcff.csv"], ["fsl", "run"], ["list", "é\n\t"], ["cite", "--", "--help"],
    ["check"], ["fit", "/dev/null"]], ids=ascii)
def test_a_real_command_line_shows_no_traceback(tmp_path, arguments):
    done = subprocess.run([sys.executable, "-c", "from theorycheck.cli.main import main; main()", *arguments],
                          cwd=tmp_path, capture_output=True, timeout=60)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 2 and said.startswith("theorycheck: ") and said.count("\n") == 1, said
