"""Sweeps: the table is right, the same to the byte however it was made, and bad specifications are refused."""

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import slow_sweep  # noqa: F401 -- registers slow.square

from theorycheck.checks import experiment, sweep, swept
from theorycheck.cli import sweep as command
from theorycheck.cli.main import exit_code
from theorycheck.sims import cluster, results
from theorycheck.sims.errors import StoreFailed
from theorycheck.sims.fsl import simulate
from theorycheck.sims.store import DamagedWarning
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.fsl import PowerLawRegression, exact_risk

TESTS = Path(__file__).parent
DESCENT = """
experiment = "fsl.descent"
replicas = 40
seed = 3
[grid]
source = [0.5, 1]
schedule.peak = [0.05, 0.2]
[fixed]
capacity = 2
width = 10
schedule = {kind = "wsd", steps = 40, cooldown = 0.25}
times = [10, 40]
[output]
path = "out.csv"
"""
SLOW = """
experiment = "slow.square"
[grid]
x = [0, 1, 2, 4, 5, 6, 7, 8]
[fixed]
log = "%s"
pause = %s
[output]
path = "out.csv"
"""


@pytest.fixture(autouse=True)
def editable(monkeypatch):
    """Sources may be edited while the tests run."""
    monkeypatch.setattr(sweep, "source_digest", lambda: "these")


@pytest.fixture
def spec(tmp_path):
    """Writes a specification, returns its path."""
    def written(text=DESCENT, name="spec.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)
    return written


def table(path):
    """The rows of a CSV as dictionaries."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_simulation_gives_its_estimate_at_every_point_and_time(spec, tmp_path, capsys):
    assert exit_code(["sweep", spec()]) == 0
    assert "out.csv: 4 points, 0 of them from the store" in capsys.readouterr().out
    rows = table(tmp_path / "out.csv")
    assert [(row["source"], row["schedule.peak"], row["step"]) for row in rows] == [
        (s, peak, step) for s in ("0.5", "1") for peak in ("0.05", "0.2") for step in ("10", "40")]
    direct = simulate(PowerLawRegression(1, 2, 10), lr.wsd(40, 0.2, 0.25), replicas=40, seed=3, times=[10, 40])
    for name in ("mean", "stderr", "variance", "skewness", "kurtosis", "minimum", "maximum"):
        assert [float(row[name]) for row in rows[-2:]] == getattr(direct, name).tolist()
    assert [float(row["intrinsic_time"]) for row in rows[-2:]] == direct.coordinates["intrinsic_time"].tolist()
    assert {row["schedule"] for row in rows} == {"wsd(steps=40, cooldown=0.25)"}
    assert {(row["replicas"], row["seed"], row["width"], row["capacity"]) for row in rows} == {("40", "3", "10", "2")}


def test_theory_gives_its_trajectory(spec, tmp_path):
    text = DESCENT.replace("fsl.descent", "fsl.exact_risk").replace("replicas = 40\nseed = 3\n", "")
    assert exit_code(["sweep", spec(text)]) == 0
    risk = exact_risk(PowerLawRegression(1, 2, 10), lr.wsd(40, 0.2, 0.25), times=[10, 40]).excess_risk
    assert [float(row["excess_risk"]) for row in table(tmp_path / "out.csv")[-2:]] == risk.tolist()


def test_the_law_and_label_noise_are_there(spec, tmp_path):
    law = DESCENT.replace("fsl.descent", "fsl.functional_law").replace("replicas = 40\nseed = 3\n", "")
    assert exit_code(["sweep", spec(law)]) == 0
    noise = ('experiment = "label_noise.descent"\nreplicas = 16\n[grid]\nwidth = [2, 3]\n[fixed]\ndimension = 2\n'
             'step = 0.01\nnoise = 0.5\ntarget_norm = 1\nsteps = 20\ntimes = [0, 10, 20]\n[output]\npath = "noise.csv"')
    assert exit_code(["sweep", spec(noise)]) == 0
    rows = table(tmp_path / "noise.csv")
    observables = list(dict.fromkeys(row["observable"] for row in rows))
    assert [(row["width"], row["step"], row["observable"]) for row in rows] == [
        (m, k, name) for m in "23" for k in ("0.01",) * 3 for name in observables]
    assert [row["result.step"] for row in rows] == [k for _ in "23" for k in ("0", "10", "20") for _ in observables]


def test_a_claim_gives_its_verdict(invented, spec, tmp_path):
    text = ('experiment = "%s"\n[grid]\neffort = ["quick", "full"]\n[output]\npath = "out.csv"\n')
    assert exit_code(["sweep", spec(text % "good.parallels")]) == 0
    assert [(row["effort"], row["verdict"], row["controls"], row["rejected"]) for row in table(tmp_path / "out.csv")
            ] == [("quick", "HOLDS", "2", "2"), ("full", "HOLDS", "2", "2")]
    assert exit_code(["sweep", spec(text % "good.heavy_machine")]) == 1   # it needs what is not here
    assert {row["note"] for row in table(tmp_path / "out.csv")} == {"no such machine here"}


def test_a_claim_takes_the_keywords_of_its_function(invented, monkeypatch):
    from fake_topic import verdict

    from theorycheck.checks.claim import REGISTRY

    def run(effort, size=1.0):
        return verdict(size < 3, measured=size)

    monkeypatch.setattr(REGISTRY["good.two_is_two"], "run", run)
    made = experiment.find("good.two_is_two")
    assert made.parameters == {"effort": False, "size": False}
    assert made.prepare(size=2.0)()["verdict"] == ["HOLDS"] and made.prepare(size=4.0)()["measured"] == [4.0]
    assert made.prepare(size=4.0)()["verdict"] == ["FAILS"]


def test_the_bytes_do_not_depend_on_jobs_chunks_or_the_order_of_work(spec, tmp_path, monkeypatch):
    made = []
    for jobs, short, seconds in ((1, 4.0, 2.0), (2, 4.0, 2.0), (1, 0.0, 2.0), (2, 0.0, 0.0)):
        monkeypatch.setattr(sweep, "SHORT_SECONDS", short)
        monkeypatch.setattr(sweep, "CHUNK_SECONDS", seconds)
        assert exit_code(["sweep", spec(), "--jobs", str(jobs), "--store", str(tmp_path / f"store{len(made)}")]) == 0
        made.append((tmp_path / "out.csv").read_bytes())
    assert len(set(made)) == 1
    assert not list((tmp_path / "store1").rglob("*.moments")) and list((tmp_path / "store2").rglob("*.moments"))


def test_more_replicas_use_the_chunks_that_are_there(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "SHORT_SECONDS", 0.0)
    assert exit_code(["sweep", spec()]) == 0
    before = {path.name for path in (tmp_path / "out.csv.store").rglob("*.moments")}
    assert exit_code(["sweep", spec(DESCENT.replace("= 40", "= 64", 1))]) == 0
    after = {path.name for path in (tmp_path / "out.csv.store").rglob("*.moments")}
    assert before < after
    assert all(int(name.split("-")[0]) >= 32 for name in after - before)
    more = (tmp_path / "out.csv").read_bytes()
    shutil.rmtree(tmp_path / "out.csv.store")
    assert exit_code(["sweep", spec(DESCENT.replace("= 40", "= 64", 1))]) == 0
    assert (tmp_path / "out.csv").read_bytes() == more


def test_what_is_in_the_store_is_not_computed_again(spec, tmp_path, capsys):
    log = tmp_path / "log"
    assert exit_code(["sweep", spec(SLOW % (log, 0.0))]) == 0
    first = (tmp_path / "out.csv").read_bytes()
    assert exit_code(["sweep", spec(SLOW % (log, 0.0))]) == 0
    assert "8 points, 8 of them from the store" in capsys.readouterr().out
    assert (tmp_path / "out.csv").read_bytes() == first and len(log.read_text().split()) == 8
    assert exit_code(["sweep", spec((SLOW % (log, 0.0)).replace("[0, 1,", "[0, 1, 9,"))]) == 0
    assert log.read_text().split()[8:] == ["9"]
    assert [row["x"] for row in table(tmp_path / "out.csv")] == list("01924" "5678")


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"", lambda b: b"foreign" + b,
                                    lambda b: b[:-5] + bytes([b[-5] ^ 1]) + b[-4:]])
def test_a_damaged_result_is_set_aside_and_computed_again(spec, tmp_path, damage):
    log = tmp_path / "log"
    assert exit_code(["sweep", spec(SLOW % (log, 0.0))]) == 0
    first, files = (tmp_path / "out.csv").read_bytes(), sorted((tmp_path / "out.csv.store").rglob("*.result"))
    files[2].write_bytes(damage(files[2].read_bytes()))
    shutil.copy(files[4], files[5])   # a sound file under another's name
    with pytest.warns(DamagedWarning, match="was set aside"):
        assert exit_code(["sweep", spec(SLOW % (log, 0.0))]) == 0
    assert (tmp_path / "out.csv").read_bytes() == first and len(log.read_text().split()) == 10
    assert len(list((tmp_path / "out.csv.store").rglob("*.damaged"))) == 2


def test_a_damaged_result_that_another_process_set_aside_first_is_no_error(tmp_path, monkeypatch):
    results.save(tmp_path, "ab" * 32, {"table": {}})
    path = results.path_of(tmp_path, "ab" * 32)
    path.write_bytes(b"noise")
    rename = os.replace

    def late(old, new):
        rename(old, new)
        rename(old, new)   # finds nothing left

    monkeypatch.setattr(os, "replace", late)
    with pytest.warns(DamagedWarning, match="was set aside"):
        assert results.load(tmp_path, "ab" * 32) is None
    assert path.with_suffix(".damaged").read_bytes() == b"noise"


@pytest.mark.parametrize(("block", "words"), [
    (lambda root, path: path.mkdir(parents=True), "cannot read the store: Is a directory"),
    (lambda root, path: root.write_bytes(b""), "cannot (read|make) the store: (Not a directory|File exists)")])
def test_a_folder_of_results_in_the_way_is_said_in_one_line(tmp_path, block, words):
    root, name = tmp_path / "results", "ab" * 32
    block(root, results.path_of(root, name))
    for attempt in (lambda: results.load(root, name), lambda: results.save(root, name, {})):
        with pytest.raises(StoreFailed, match=f"{words}|cannot write the store: Is a directory") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_table_that_cannot_be_written_is_not_called_a_store(spec, tmp_path, capsys, monkeypatch):
    rename = os.replace

    def refuse(old, new):
        if str(new).endswith(".csv"):
            raise PermissionError(13, "Permission denied")
        rename(old, new)

    monkeypatch.setattr(os, "replace", refuse)
    assert exit_code(["sweep", spec()]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "out.csv: cannot write the table: Permission denied" in said
    assert sorted(os.listdir(tmp_path)) == ["out.csv.store", "spec.toml"]


def test_a_damaged_chunk_is_computed_again_and_leaves_no_trace_in_the_table(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "SHORT_SECONDS", 0.0)
    assert exit_code(["sweep", spec()]) == 0
    first, chunks = (tmp_path / "out.csv").read_bytes(), sorted((tmp_path / "out.csv.store").rglob("*.moments"))
    shutil.rmtree(tmp_path / "out.csv.store" / "points")
    chunks[0].write_bytes(chunks[0].read_bytes()[:-3])
    with pytest.warns(DamagedWarning, match="is truncated"):
        assert exit_code(["sweep", spec()]) == 0
    assert (tmp_path / "out.csv").read_bytes() == first
    assert chunks[0].with_suffix(".damaged").exists() and {row["note"] for row in table(tmp_path / "out.csv")} == {""}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_sweep_goes_on_to_the_same_bytes(spec, tmp_path, sent, code):
    log, other = tmp_path / "log", tmp_path / "other"
    log.touch()
    path = spec(SLOW % (log, 0.08))
    line = [sys.executable, str(TESTS / "slow_sweep.py"), "sweep", path]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while len(log.read_text().split()) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code and said in ("", "theorycheck: interrupted\n")
    assert not (tmp_path / "out.csv").exists()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    done = log.read_text().split()
    assert set(done) == set("01245678") and len(done) <= 9   # at most the one that was under way twice
    other.touch()
    fresh = spec((SLOW % (log, 0.08)).replace("out.csv", "fresh.csv"), "fresh.toml")
    assert exit_code(["sweep", fresh]) == 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_a_point_that_cannot_be_computed_becomes_a_row_with_a_note(spec, tmp_path, capsys):
    text = (SLOW % (tmp_path / "log", 0.0)).replace("[0, 1,", "[-1, 3,")
    assert exit_code(["sweep", spec(text)]) == 2
    assert "x is -1; it must be >= 0 (at x=-1" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()   # refused before anything ran
    assert exit_code(["sweep", spec(text), "--keep-going"]) == 1
    assert "2 of 8 points could not be computed" in capsys.readouterr().err
    rows = table(tmp_path / "out.csv")
    assert [(row["x"], row["square"], row["note"]) for row in rows[:3]] == [
        ("-1", "", "x is -1; it must be >= 0"), ("3", "", "3 is out of order"), ("2", "4", "")]


def test_unstable_rates_are_refused_and_heavy_tails_are_noted(spec, tmp_path, capsys):
    assert exit_code(["sweep", spec(DESCENT.replace("[0.05, 0.2]", "[0.05, 5]"))]) == 2
    assert "mean-square stability needs it in [0," in capsys.readouterr().err
    assert exit_code(["sweep", spec(DESCENT.replace("[0.05, 0.2]", "[0.45]"))]) == 0
    notes = {row["note"] for row in table(tmp_path / "out.csv")}
    assert notes and all("variance of the risk is known to be finite" in note for note in notes)


def test_parquet_holds_the_same_table(spec, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; Parquet was not tested")
    assert exit_code(["sweep", spec()]) == 0
    assert exit_code(["sweep", spec(DESCENT.replace("out.csv", "out.parquet"), "parquet.toml")]) == 0
    found, rows = parquet.read_table(tmp_path / "out.parquet"), table(tmp_path / "out.csv")
    assert found.column_names == list(rows[0])
    assert found.column("mean").to_pylist() == [float(row["mean"]) for row in rows]
    assert str(found.schema.field("mean").type) == "double" and str(found.schema.field("step").type) == "int64"
    first = (tmp_path / "out.parquet").read_bytes()
    assert exit_code(["sweep", spec(DESCENT.replace("out.csv", "out.parquet"), "parquet.toml")]) == 0
    assert (tmp_path / "out.parquet").read_bytes() == first


def test_a_mixed_column_of_parquet_is_text():
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; Parquet was not tested")
    import io

    mixed = command.encoded({"a": [1, 2.5, None], "b": [1, "x", None], "c": [None, None, None]}, ".parquet")
    assert parquet.read_table(io.BytesIO(mixed)).to_pydict() == {
        "a": [1.0, 2.5, None], "b": ["1", "x", None], "c": [None, None, None]}


def test_without_pyarrow_parquet_is_refused(spec, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert exit_code(["sweep", spec(DESCENT.replace("out.csv", "out.parquet"))]) == 2
    assert "pyarrow is not installed; pip install 'theorycheck[parquet]'" in capsys.readouterr().err


def test_numbers_are_read_back_to_the_last_bit():
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, float("inf"), -0.0]
    lines = command.encoded({"x": values, "y": [True, None, "a,b", '"', 3, "ä"]}, ".csv").decode().splitlines()
    rows = list(csv.DictReader(lines))
    assert [float(row["x"]).hex() for row in rows] == [value.hex() for value in values]
    assert [row["y"] for row in rows] == ["true", "", "a,b", '"', "3", "ä"]


@pytest.mark.parametrize(("old", "new", "parts"), [
    ("replicas = 40", "", ["replicas is None", "2 to"]),
    ("replicas = 40", "replicas = 1", ["replicas is 1", "2 to"]),
    ("replicas = 40", "replicas = 2.5", ["replicas is 2.5", "integer"]),
    ("replicas = 40", "replicas = true", ["replicas is True", "integer"]),
    ("seed = 3", "seed = -1", ["seed is -1", "from 0"]),
    ("seed = 3", "seeds = 3", ["'seeds'", "experiment, replicas, seed, grid, fixed, output"]),
    ("seed = 3", "seed = 1979-05-27", ["1979-05-27", "date"]),
    ("seed = 3", "seed = ", ["not TOML", "line"]),
    ("fsl.descent", "fsl.descend", ["'fsl.descend'", "fsl.descent"]),
    ("fsl.descent", "", ["experiment is ''", "fsl.descent"]),
    ('experiment = "fsl.descent"', "experiment = 7", ["experiment is 7"]),
    ("fsl.descent", "fsl.exact_risk", ["replicas is 40", "no replicas"]),
    ("source = [0.5, 1]", "source = []", ["source", "[]", "list of one value or more"]),
    ("source = [0.5, 1]", "source = 0.5", ["source", "0.5", "list"]),
    ("source = [0.5, 1]", "source = [1, 0.5, 1.0]", ["source has 1.0 twice"]),
    ("source = [0.5, 1]", 'source = ["a", 1]', ["source is 'a'", "number"]),
    ("source = [0.5, 1]", "source = [0.5, -1]", ["source is -1", "> 0"]),
    ("source = [0.5, 1]", "source = [0.5, nan]", ["source is nan"]),
    ("source = [0.5, 1]", "sauce = [0.5, 1]", ["no parameter 'sauce'", "source, capacity"]),
    ("source = [0.5, 1]", "", ["needs 'source'"]),
    ("capacity = 2", "capacity = 1", ["capacity is 1", "> 1"]),
    ("capacity = 2", "capacity = [2]", ["capacity is [2]", "number"]),
    ("capacity = 2", 'capacity = 2\n"schedule.steps" = 3', ["'schedule.steps'", "entry of the table schedule"]),
    ("capacity = 2", "capacity = 2\nsource = 3", ["source is both"]),
    ("width = 10", "width = 0", ["width is 0", ">= 1"]),
    ("width = 10", "width = inf", ["width is inf"]),
    ('"wsd"', '"wsdd"', ["'wsdd'", "wsd, cyclic"]),
    ('kind = "wsd", ', "", ["kind is None", "wsd"]),
    ("steps = 40", "steps = 0", ["steps is 0", "[1,"]),
    ("steps = 40, ", "", ["lacks 'steps'"]),
    ("cooldown = 0.25", "cooldown = 2", ["cooldown is 2"]),
    ("cooldown = 0.25", "colddown = 0.2", ["'colddown'", "cooldown"]),
    ("cooldown = 0.25", 'cooldown = 0.25, warmup = -1', ["-1", "in [0,"]),
    ("cooldown = 0.25", 'cooldown = 0.25, warmup = "x"', ["'x'"]),
    ('{kind = "wsd", steps = 40, cooldown = 0.25}', "7", ["schedule.peak", "schedule is 7", "table"]),
    ("schedule.peak = [0.05, 0.2]", "", ["lacks 'peak'"]),
    ("schedule.peak = [0.05, 0.2]", 'schedule.peak = [0.05]\n"schedule.peak" = [0.2]', ["schedule.peak", "axis twice"]),
    ("schedule.peak", "schedule.peak.height", ["peak is None", "table"]),
    ("times = [10, 40]", "times = [40, 10]", ["times are", "increase"]),
    ("times = [10, 40]", "times = 1", ["times is 1", "[2,"]),
    ("times = [10, 40]", 'times = "all"', ["'all'"]),
    ("times = [10, 40]", "batch_size = 0", ["0", ">= 1"]),
    ("times = [10, 40]", 'batch_size = {kind = "lin"}', ["'lin'", "constant, linear"]),
    ("times = [10, 40]", 'batch_size = {kind = "linear", first = 1}', ["lacks 'last'"]),
    ("times = [10, 40]", 'features = "cauchy"', ["'cauchy'", "gaussian"]),
    ("out.csv", "out.xlsx", ["'out.xlsx'", ".csv or .parquet"]),
    ("out.csv", "nowhere/out.csv", ["nowhere", "folder that exists"]),
    ('path = "out.csv"', "", ["output path is None"]),
    ('path = "out.csv"', 'file = "out.csv"', ["'file'", "path"]),
    ("[output]", "[outputs]", ["'outputs'"]),
    ("[grid]", "grid = 3\n[grids]", ["'grids'"]),
    ("[0.5, 1]", str(list(range(1, 60_000))), ["119998 points", "at most 100000"]),
])
def test_bad_specifications_get_one_line_and_code_2(spec, tmp_path, capsys, old, new, parts):
    assert old in DESCENT
    assert exit_code(["sweep", spec(DESCENT.replace(old, new, 1))]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "Traceback" not in printed.err and len(printed.err) < 1000, printed.err
    assert all(part in printed.err for part in parts), printed.err
    assert os.listdir(tmp_path) == ["spec.toml"]


@pytest.mark.parametrize("line", [["sweep", "spec.toml"], ["check", "fsl"], ["run", "fsl"]])
@pytest.mark.parametrize("jobs", ["0", "4097", "1000000000000"])
def test_more_processes_than_any_machine_has_are_refused(capsys, line, jobs):
    assert exit_code([*line, "--jobs", jobs]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and jobs in said and "4096" in said


def test_a_cluster_of_more_threads_than_the_engine_takes_is_used(monkeypatch):
    pytest.importorskip("distributed", reason="distributed is not installed; clusters were not tested")
    monkeypatch.setattr(cluster, "_opened", lambda made, address: contextlib.nullcontext())
    monkeypatch.setattr(cluster, "_workers", lambda client, address: {"a": 4000, "b": 4000})
    monkeypatch.setattr(cluster, "_backend", lambda: lambda client: "sequential")
    with cluster.connected("tcp://127.0.0.1:1", compare=False) as jobs:
        problem = PowerLawRegression(1, 2, 4)
        assert simulate(problem, lr.constant(3, 0.1), replicas=8, seed=1, jobs=jobs).replicas == 8


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x = " + b"[" * 5000, None])
def test_files_that_are_no_specification(tmp_path, capsys, content):
    path = tmp_path / "spec.toml"
    if content is not None:
        path.write_bytes(content)
    assert exit_code(["sweep", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_schedules_and_batch_sizes_are_those_of_theory():
    rates = swept.schedule_of({"kind": "cosine", "steps": 30, "peak": 0.1, "warmup": 5}).rates
    assert np.array_equal(rates, lr.warmup(lr.cosine(30, 0.1), 5).rates)
    assert swept.schedule_of({"kind": "array", "rates": [0.1, 0.2]}).rates.tolist() == [0.1, 0.2]
    stages = swept.batch_size_of({"kind": "stages", "sizes": [1, 4], "milestones": [0.5]}, 4)
    assert stages.sizes.tolist() == [1, 1, 4, 4]
    assert swept.batch_size_of(3, 2).sizes.tolist() == [3, 3]


def test_the_example_is_a_specification_and_runs(tmp_path):
    text = (TESTS.parent / "examples" / "sweep.toml").read_text(encoding="utf-8")
    assert {"grid", "fixed", "output"} <= set(tomllib.loads(text))
    shorter = text.replace("steps = 1000", "steps = 100").replace("[100, 1000]", "[10, 100]")
    (tmp_path / "sweep.toml").write_text(shorter)
    assert exit_code(["sweep", str(tmp_path / "sweep.toml")]) == 0
    rows = table(tmp_path / "sweep.csv")
    assert len({tuple(row[name] for name in ("source", "capacity", "schedule")) for row in rows}) == 12
