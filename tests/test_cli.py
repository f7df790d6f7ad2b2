"""The command line: what each command prints, writes and returns, on topics invented for the purpose."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_engine import until

from theorycheck.cli import demo, selection
from theorycheck.cli.main import COMMANDS, exit_code

TESTS = Path(__file__).parent


def subprocess_line(*arguments, **options):
    """A process of its own with the invented topics."""
    options = {"stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", "import fake_topic; fake_topic.command_line()", *arguments],
                            env={**os.environ, "PYTHONPATH": str(TESTS)}, text=True, **options)


def refused(capsys, *arguments):
    """The one line that answers bad input."""
    assert exit_code(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith("theorycheck: "), printed.err
    assert "Traceback" not in printed.err
    return printed.err


def test_help_imports_nothing_heavy():
    code = ("import sys; from theorycheck.cli.main import exit_code; assert exit_code(['--help']) == 0; "
            "sys.exit(','.join({'numpy', 'scipy', 'numba', 'matplotlib', 'joblib', 'rich'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "\n" or done.stderr == ""
    for name, text in COMMANDS.items():
        assert name in done.stdout and text in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name, capsys):
    assert exit_code([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: theorycheck {name} ")


def test_no_command_shows_the_help(capsys):
    assert exit_code([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys):
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out.startswith("theorycheck 0.")


def test_list_shows_topics_papers_claims_and_figures(invented, capsys):
    assert exit_code(["list"]) == 0
    out = capsys.readouterr().out
    for line in ("good: what holds", "gauss1801  Disquisitiones (1801, arXiv:1801.00001)",
                 "good.parallels      amended        euclid, Book 9     parallels meet on spheres",
                 "good.line  A line", "claims (6)"):
        assert line in out


def test_list_of_one_topic_as_json(invented, capsys):
    assert exit_code(["list", "good", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["id"] for record in records] == sorted(record["id"] for record in records)
    assert len(records) == 5
    for record in records:
        assert {"id", "topic", "paper", "where", "stance", "verdict", "measured", "expected", "tolerance", "controls",
                "seconds"} <= set(record)
        assert record["topic"] == "good" and record["verdict"] is None


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_check_as_json_comes_in_the_order_of_the_list(invented, capsys, jobs):
    assert exit_code(["check", "good.*", "--json", "--jobs", jobs]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["id"], record["verdict"]) for record in records] == [
        ("good.heavy_machine", "NOT RUN"), ("good.no_device", "NOT RUN"), ("good.open_question", "INCONCLUSIVE"),
        ("good.parallels", "HOLDS"), ("good.two_is_two", "HOLDS")]
    assert records[-1]["controls"] == [{"description": "2 = 3 <wrong>", "printed": False, "rejected": True,
                                        "measured": 3.0, "expected": 1.0, "tolerance": 1e-6, "note": ""}]


@pytest.mark.parametrize(("pattern", "ids"), [
    ("good", 5), ("good.*", 5), ("*.w*", 5), ("*.wrong", 1), ("bad.[ew]*", 2), ("good.two_is_two", 1), ("*", 15)])
def test_patterns(invented, pattern, ids):
    found = selection.claims([pattern])
    assert len(found) == len({claim.id for claim in found}) == ids


def test_overlapping_patterns_name_a_claim_once(invented):
    assert len(selection.claims(["good.*", "good.parallels", "good"])) == 5


@pytest.mark.parametrize(("verdict", "code"), [
    ("good.two_is_two", 0), ("good.open_question", 0), ("good.no_device", 0), ("bad.wrong", 1), ("bad.easy", 1),
    ("bad.untested", 1), ("bad.broken", 1), ("bad.surprising", 1)])
def test_exit_codes_of_check(invented, capsys, verdict, code):
    assert exit_code(["check", verdict]) == code
    assert verdict in capsys.readouterr().out


def test_check_names_what_was_not_decided(invented, capsys):
    exit_code(["check", "good.open_question"])
    assert "note: good.open_question is INCONCLUSIVE, which is not counted as a failure: too few primes" in \
        capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "parts"), [
    (["nonsense"], ["command is 'nonsense'", "run, list, check, figure, fit, plan, sweep, demo, cite"]),
    (["check"], ["CLAIM"]),
    (["check", "good.paralels"], ["'good.paralels'", "good.parallels"]),
    (["check", "paralels"], ["'paralels'", "good.parallels"]),
    (["check", "nope.*"], ["'nope.*'", "theorycheck list"]),
    (["check", "good.*", "zzz"], ["'zzz'"]),
    (["check", "good.*", "--jobs", "0"], ["--jobs", "0", "1<=x<=4096"]),
    (["check", "good.*", "--jobs", "two"], ["--jobs", "'two'"]),
    (["check", "good.*", "--effort", "huge"], ["'huge'", "quick", "full"]),
    (["run", "--device", "tpu"], ["'tpu'", "cpu", "gpu"]),
    (["run", "nope"], ["topic is 'nope'", "good, bad, slow"]),
    (["list", "nope"], ["topic is 'nope'"]),
    (["cite", "nope"], ["topic is 'nope'"]),
    (["demo", "nope"], ["topic is 'nope'"]),
    (["demo", "good"], ["topic 'good' has no notebook here"]),
    (["figure", "good.lin"], ["figure is 'good.lin'", "good.line"]),
    (["figure"], ["FIGURE"]),
])
def test_bad_input_gets_one_line_and_code_2(invented, capsys, arguments, parts):
    line = refused(capsys, *arguments)
    assert all(part in line for part in parts), line


def test_gpu_without_cupy_gets_one_line(invented, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "device is 'gpu' and CuPy is not installed" in refused(capsys, "check", "good", "--device", "gpu")


def test_demo_without_marimo_gets_one_line(invented, capsys, monkeypatch):
    (invented / "demos").mkdir()
    (invented / "demos/good.py").write_text("")
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert "marimo is not installed" in refused(capsys, "demo", "good")


def test_demo_opens_the_notebook_with_marimo(invented, monkeypatch):
    (invented / "demos").mkdir()
    (invented / "demos/good.py").write_text("")
    lines = []
    monkeypatch.setattr(demo, "find_spec", lambda name: name)
    monkeypatch.setattr(demo.subprocess, "call", lambda line: lines.append(line) or 0)
    assert exit_code(["demo", "good", "--headless", "--port", "8080"]) == 0
    assert lines == [[sys.executable, "-m", "marimo", "run", "demos/good.py", "--headless", "--port", "8080"]]


def test_an_output_folder_that_cannot_be_made_gets_one_line(invented, capsys):
    Path("taken").write_text("")
    assert "taken" in refused(capsys, "run", "good", "--out", "taken")
    assert "taken" in refused(capsys, "figure", "good.line", "--out", "taken/below")


def test_a_foreign_table_is_refused_before_the_work(invented, capsys):
    Path("notes.md").write_text("my notes")
    assert "'notes.md', which theorycheck did not write" in refused(capsys, "run", "good", "--table", "notes.md")
    assert Path("notes.md").read_text() == "my notes" and not Path("results").exists()


def test_a_bug_says_so_in_one_line_and_shows_where_with_debug(invented, capsys, monkeypatch):
    def broken(*arguments):
        raise KeyError("lost")
    monkeypatch.setattr(selection, "claims", broken)
    monkeypatch.delenv("THEORYCHECK_DEBUG", raising=False)
    assert exit_code(["check", "good"]) == 70
    assert "internal error (KeyError: 'lost'); theorycheck --debug" in capsys.readouterr().err
    monkeypatch.setenv("THEORYCHECK_DEBUG", "1")
    with pytest.raises(KeyError):
        exit_code(["check", "good"])


def test_debug_shows_where_a_claim_broke_down(invented, monkeypatch):
    monkeypatch.setenv("THEORYCHECK_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        exit_code(["check", "bad.broken"])


def test_cite_has_each_paper_once_and_theorycheck(invented, capsys):
    assert exit_code(["cite", "good"]) == 0
    out = capsys.readouterr().out
    for key in ("{euclid,", "{gauss1801,", "{theorycheck,"):
        assert out.count(key) == 1
    assert out.count("{") == out.count("}")


def test_figure_writes_three_files_and_names_them(invented, capsys):
    assert exit_code(["figure", "good.line", "--out", "plots"]) == 0
    out = capsys.readouterr().out
    assert sorted(path.name for path in Path("plots").iterdir()) == ["good.line.csv", "good.line.pdf", "good.line.png"]
    assert "plots/good.line.csv" in out
    assert Path("plots/good.line.csv").read_text().splitlines()[-1].endswith(",a,")


def test_a_figure_that_breaks_is_a_failure_and_a_missing_machine_is_not(invented, capsys):
    assert exit_code(["figure", "bad.torn"]) == 1
    assert "bad.torn  not drawn: RuntimeError: no paper" in capsys.readouterr().err
    assert exit_code(["figure", "good.far"]) == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_run_writes_everything(invented, capsys, jobs):
    assert exit_code(["run", "good", "--jobs", jobs]) == 0
    out = capsys.readouterr().out
    assert "5 claims: 2 HOLDS, 1 INCONCLUSIVE, 2 NOT RUN" in out and "report: results/report.html" in out
    names = {str(path) for path in Path(".").rglob("*") if path.is_file()}
    ids = ("heavy_machine", "no_device", "open_question", "parallels", "two_is_two")
    assert names == {"paper_checks.md", "results/report.html", *(f"results/claims/good.{name}.json" for name in ids),
                     *(f"results/figures/good.line.{kind}" for kind in ("png", "pdf", "csv"))}
    assert json.loads(Path("results/claims/good.parallels.json").read_text())["verdict"] == "HOLDS"


def test_run_again_changes_nothing_but_what_changed(invented, capsys):
    assert exit_code(["run", "good", "bad"]) == 1
    stable = ["paper_checks.md", *(f"results/figures/good.line.{kind}" for kind in ("png", "pdf", "csv"))]
    before = {name: Path(name).read_bytes() for name in stable}
    Path("results/claims/good.gone.json").write_text("{}")
    assert exit_code(["run", "good", "--jobs", "2"]) == 0
    assert {name: Path(name).read_bytes() for name in stable} == before
    assert not Path("results/claims/good.gone.json").exists()
    assert Path("results/claims/bad.wrong.json").exists()


def test_run_without_figures_elsewhere(invented, capsys):
    assert exit_code(["run", "good", "--no-figures", "--out", "there", "--table", "sub/t.md"]) == 0
    assert not Path("there/figures").exists() and Path("sub/t.md").exists() and not Path("results").exists()


def test_full_effort_is_named_and_leaves_no_chunks(invented, capsys):
    (invented / "results/chunks/old").mkdir(parents=True)
    assert exit_code(["run", "good", "--effort", "full"]) == 0
    assert "Effort: full." in Path("paper_checks.md").read_text()
    assert not Path("results/chunks").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_keeps_what_is_done(tmp_path, jobs):
    (tmp_path / "paper_checks.md").write_text("# What the numbers say\n")
    log = tmp_path / "errors.txt"
    with open(log, "w") as errors:
        process = subprocess_line("run", "slow", "--jobs", jobs, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=errors,
                                  start_new_session=True)
    busy = [tmp_path / f"waiting.{number}" for number in range(1, 1 + int(jobs))]
    try:
        # the first claim is recorded and said to be, and every process is asleep in the next one
        until(lambda: process.poll() is not None or "slow.wait_0" in log.read_text() and all(map(Path.exists, busy)))
        assert process.poll() is None, log.read_text()
        os.killpg(process.pid, signal.SIGINT)   # what a terminal does
        process.wait(timeout=45)   # the claims that remain would take three minutes, a single one a whole one
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    errors = log.read_text()
    assert process.returncode == 130
    assert "theorycheck: interrupted" in errors and "Traceback" not in errors
    assert "incomplete: 1 of 4 claims are in results/report.html" in errors
    assert "Incomplete." in (tmp_path / "results/report.html").read_text()
    assert (tmp_path / "paper_checks.md").read_text() == "# What the numbers say\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess_line("list", "--json", cwd=tmp_path, stdout=writer)
    os.close(writer)
    _, errors = process.communicate(timeout=60)
    assert errors == "" and process.returncode == 141


def test_a_terminal_without_check_marks_is_no_error(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", "import fake_topic; fake_topic.command_line()", "check", "good.parallels"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONIOENCODING": "latin-1"}, capture_output=True, text=True)
    assert process.returncode == 0 and process.stdout.startswith("? HOLDS")


@pytest.mark.parametrize("arguments, closed, code", [(["cite", "fsl"], 1, 0), (["cite", "fsl"], 2, 0),
                                                     (["cite", "nothing"], 2, 2)])
def test_a_closed_stream_is_no_failure(arguments, closed, code):
    typed = "from theorycheck.cli.main import main; main()"
    ran = subprocess.run(["sh", "-c", f'"$0" -c "$1" "$2" "$3" {closed}>&-', sys.executable, typed, *arguments],
                         capture_output=True, text=True, timeout=120)
    assert ran.returncode == code and "Traceback" not in ran.stderr + ran.stdout
