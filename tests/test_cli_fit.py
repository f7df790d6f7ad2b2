"""``theorycheck fit`` as a person types it: files, messages, exit codes."""

import csv
import json
import signal

import numpy as np
import pytest

from theorycheck.cli import main
from theorycheck.theory.fsl import loss_curve_laws as laws

PEAK = 1e-3
SHAPES = {
    "constant": lambda x: np.ones_like(x),
    "cosine": lambda x: 0.55 + 0.45 * np.cos(np.pi * x),
    "two_stage": lambda x: np.where(x < 0.45, 1.0, 0.3),
    "wsd": lambda x: np.where(x < 0.8, 1.0, 1 - 4.5 * (x - 0.8)),
    "linear": lambda x: 1 - 0.9 * x,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CSV logs of five runs of 12 000 steps that obey the practical law up to 0.1% noise; "future" has no loss."""
    made = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        steps = np.arange(1000, 12001, 100)
        rates = PEAK * shape((steps - 1000) / 11000)
        losses = laws.law("fsl")(laws.annealing(steps, rates), (0.5, 20.0, 0.6), (3.0, 1.0, 0.15, 0.0))
        losses = losses * (1 + 1e-3 * rng.standard_normal(steps.size))
        lines = [f"{k},{r!r},{v:.5f},x" for k, r, v in zip(steps.tolist(), rates.tolist(), losses.tolist())]
        (made / f"{name}.csv").write_text("\n".join(["step,lr,loss,note", *lines]) + "\n")
    text = (made / "linear.csv").read_text().splitlines()
    (made / "future.csv").write_text("\n".join(",".join(line.split(",")[:2]) for line in text) + "\n")
    return made


@pytest.fixture
def typed(folder, monkeypatch, capsys):
    """Run ``theorycheck fit`` in the folder of the runs; gives the exit code and the lines of both streams."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        code = main.exit_code(["fit", *map(str, arguments)])
        shown = capsys.readouterr()
        return code, shown.out.splitlines(), shown.err.splitlines()
    return run


THREE = ("constant.csv", "cosine.csv", "two_stage.csv")
FAST = ("--resamples", "10")


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_fit_predict_and_score(typed, tmp_path):
    out = tmp_path / "deep" / "results"
    code, shown, complaints = typed(*THREE, "--predict", "wsd.csv", "linear.csv", "future.csv", "--out", out, *FAST)
    assert code == 0 and not [line for line in complaints if line.startswith("theorycheck:")]
    assert sorted(path.name for path in out.iterdir()) == [
        "fit.json", "loss_curves.pdf", "loss_curves.png", "predictions.csv", "scores.csv"]

    scores = rows(out / "scores.csv")
    assert list(scores[0]) == ["file", "law", "r2", "mae", "rmse", "worst_relative_error"]
    assert {(s["file"], s["law"]) for s in scores} == {(f, law) for f in ("wsd.csv", "linear.csv")
                                                       for law in ("fsl", "mpl", "blind")}
    for score in scores:
        good = score["law"] != "blind"
        assert (float(score["worst_relative_error"]) < 0.006) == good
        assert (float(score["r2"]) > 0.995) == good

    predictions = rows(out / "predictions.csv")
    assert list(predictions[0]) == ["file", "role", "step", "lr", "loss", "predicted", "lower", "upper"]
    future = [row for row in predictions if row["file"] == "future.csv"]
    assert len(future) == 111 and all(row["loss"] == "" and row["role"] == "predicted" for row in future)
    assert all(float(row["lower"]) < float(row["predicted"]) < float(row["upper"]) for row in future)
    measured = {row["step"]: float(row["loss"]) for row in predictions if row["file"] == "linear.csv"}
    inside = [float(r["lower"]) < measured[r["step"]] < float(r["upper"]) for r in future]
    assert np.mean(inside) > 0.75

    fit = json.loads((out / "fit.json").read_text())
    assert fit["law"] == "fsl" and fit["held_at_zero"] == ["c2"] and fit["flags"] == fit["flags"]
    assert fit["parameters"]["s"]["estimate"] == pytest.approx(0.5, rel=0.05)
    low, high = fit["parameters"]["c1"]["interval"]
    assert low < fit["parameters"]["c1"]["estimate"] < high
    assert fit["units"]["rate"] == PEAK and set(fit["compared"]) == {"mpl", "blind"}
    assert not any(flag["serious"] for flag in fit["flags"])

    text = "\n".join(shown)
    for word in ("functional scaling law", "c2c3", "not needed", "wsd.csv", "mpl", "blind", str(out / "fit.json")):
        assert word in text
    assert "WARNING" not in text


def test_the_same_command_writes_the_same_bytes(typed, tmp_path):
    for name in ("one", "two"):
        assert typed(*THREE, "--predict", "wsd.csv", "--out", tmp_path / name, "--seed", 3, *FAST)[0] == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_cosine_alone_is_warned_about(typed, tmp_path):
    code, shown, _ = typed("cosine.csv", "--out", tmp_path, *FAST)
    assert code == 0
    assert any(line.startswith("WARNING: cosine.csv alone cannot separate") for line in shown)
    assert [flag["code"] for flag in json.loads((tmp_path / "fit.json").read_text())["flags"]][0] == "other_schedules"
    assert rows(tmp_path / "scores.csv") == []


@pytest.mark.parametrize("law", ["mpl", "blind"])
def test_other_laws(typed, law):
    code, shown, _ = typed(*THREE, "--law", law, "--predict=wsd.csv", *FAST)
    assert code == 0
    assert {"mpl": "multi-power law", "blind": "schedule-blind"}[law] in shown[0]
    assert any("WARNING" in line for line in shown) == (law == "blind")


def test_nothing_is_written_without_out(typed, folder):
    before = sorted(folder.iterdir())
    assert typed(*THREE, *FAST)[0] == 0
    assert sorted(folder.iterdir()) == before


BAD = {
    "missing file": (["none.csv"], "none.csv: cannot be read"),
    "missing column": (["bad.csv"], "bad.csv: column 'lr' is missing"),
    "no loss to fit": (["future.csv"], "future.csv: column 'loss' is missing; a training run needs it"),
    "nothing": ([], "Missing argument 'RUN.csv...'"),
    "only predicted": (["--predict", "wsd.csv"], "Missing argument"),
    "predict nothing": (["cosine.csv", "--predict"], "no file follows --predict"),
    "predict nothing, then an option": (["cosine.csv", "--predict", "--law", "mpl"], "no file follows --predict"),
    "twice": (["cosine.csv", "cosine.csv"], "cosine.csv: is fitted twice"),
    "both": (["cosine.csv", "--predict", "./cosine.csv"], "both fitted and predicted"),
    "law": (["cosine.csv", "--law", "x"], "'x' is not one of 'fsl', 'mpl', 'blind'"),
    "warmup": (["cosine.csv", "--warmup", "-1"], "-1.0 is not in the range x>=0"),
    "long warmup": (["cosine.csv", "--warmup", "1e9"], "covers all 111 rows"),
    "resamples": (["cosine.csv", "--resamples", "1"], "1 is not in the range 2<=x<=10000"),
    "out is a file": (["cosine.csv", "--out", "wsd.csv"], "wsd.csv"),
    "bad predicted": (["cosine.csv", "--predict", "bad.csv"], "bad.csv: column 'lr'"),
    "twice, spelled differently": (["cosine.csv", "./cosine.csv"], "./cosine.csv: is fitted twice, also as cosine.csv"),
    "twice, linked": (["cosine.csv", "--predict", "wsd.csv", "link.csv"],
                      "link.csv: is predicted twice, also as wsd.csv"),
    "no number of steps": (["cosine.csv", "--warmup", "nan"], "nan is not a finite number"),
    "endless warmup": (["cosine.csv", "--warmup", "inf"], "inf is not a finite number"),
    "nowhere": (["cosine.csv", "--out", ""], "--out is empty; it must name a folder"),
    "out below a file": (["cosine.csv", "--out", "wsd.csv/x/y"], "--out wsd.csv/x/y: cannot be written to (Not a"),
    "few rows": (["short.csv"], "short.csv: 9 rows after the warm-up in all; the fsl law needs at least 14"),
    "batch in one": (["cosine.csv", "--predict", "batched.csv"], "batched.csv: batch sizes must be given for both"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_exit_code_2(typed, folder, tmp_path, case):
    arguments, message = BAD[case]
    (folder / "bad.csv").write_text("step,loss\n1,2\n")
    (folder / "short.csv").write_text("step,lr,loss\n" + "".join(f"{k},1,{5 - k / 9}\n" for k in range(1, 10)))
    if not (folder / "link.csv").is_symlink():
        (folder / "link.csv").symlink_to("wsd.csv")
    (folder / "batched.csv").write_text("step,lr,batch_size\n1000,0.001,8\n9000,0.001,8\n")
    out = tmp_path / "out"
    code, shown, complaints = typed(*FAST, *([] if "--out" in arguments else ["--out", out]), *arguments)
    assert code == 2 and not shown
    assert len(complaints) == 1 and message in complaints[0] and complaints[0].startswith("theorycheck: ")
    assert not out.exists() and not list(folder.glob(".unfinished-*"))


def test_a_folder_that_cannot_be_written_is_one_line(typed, tmp_path, monkeypatch):
    from theorycheck.figures import figure

    def full(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(figure, "_write", full)
    code, _, complaints = typed(*THREE, "--out", tmp_path / "out", *FAST)
    assert code == 2 and complaints == ["theorycheck: somewhere: No space left on device"]
    assert not (tmp_path / "out").exists()


def test_the_folder_is_tried_before_the_work(typed, monkeypatch, tmp_path):
    from theorycheck.cli import fit

    monkeypatch.setattr(fit, "_read", lambda *_: pytest.fail("files were read before --out was refused"))
    (tmp_path / "file").write_text("")
    code, _, complaints = typed("cosine.csv", "--out", tmp_path / "file" / "x")
    assert code == 2 and len(complaints) == 1 and "--out" in complaints[0]


def test_a_rate_that_falls_to_zero_is_written_with_an_infinite_disagreement(typed, tmp_path):
    """A quarter of the run without learning: the fit predicts negative losses elsewhere, which no number describes."""
    steps = np.linspace(100, 20000, 200).astype(int)
    lines = [f"{k},{0.001 if k < 15000 else 0.0},{2 + 3 * (k / 100) ** -0.4}" for k in steps.tolist()]
    (tmp_path / "tail.csv").write_text("\n".join(["step,lr,loss", *lines]) + "\n")
    code, shown, complaints = typed(tmp_path / "tail.csv", "--out", tmp_path / "out", "--resamples", 3)
    assert code == 0 and not complaints
    found = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert "inf" in found["disagreement"].values()
    assert any(f["serious"] and "predicts a loss below 0 on another schedule" in f["text"] for f in found["flags"])
    assert any("predicts a loss below 0" in line for line in shown)


def test_what_the_runs_say_nothing_about_has_no_uncertainty(typed, tmp_path):
    code, shown, _ = typed("constant.csv", "--out", tmp_path, *FAST)
    assert code == 0
    found = json.loads((tmp_path / "fit.json").read_text())
    for name in ("c2c3", "c4", "c5"):
        parameter = found["parameters"][name]
        assert parameter["uncertainty"] == "not identified"
        assert parameter["standard_error"] is None and parameter["interval"] is None
        assert any(line.split()[:2] == [name, "-"] and "not identified" in line for line in shown)
    assert found["parameters"]["s"]["standard_error"] > 0
    assert "unidentified" in {flag["code"] for flag in found["flags"]}


def test_intervals_hold_their_estimates_and_all_that_fits_as_well(typed, tmp_path):
    assert typed("cosine.csv", "--out", tmp_path, "--resamples", 2)[0] == 0
    found = json.loads((tmp_path / "fit.json").read_text())
    sources = set()
    for name, parameter in found["parameters"].items():
        sources.add(parameter["uncertainty"])
        if parameter["interval"] is None:
            continue
        low, high = parameter["interval"]
        assert low <= parameter["estimate"] <= high, name
        if parameter["uncertainty"] == "profile":
            least, most = found["confidence_ranges"][name]
            assert low <= least and most <= high and parameter["standard_error"] is None
    assert "profile" in sources


def test_a_constant_predicted_loss_has_no_r2_and_is_left_out_of_the_mean(typed, folder, tmp_path):
    text = (folder / "linear.csv").read_text().splitlines()
    flat = tmp_path / "flat.csv"
    flat.write_text("\n".join([text[0], *(",".join([*line.split(",")[:2], "3.2", "x"]) for line in text[1:])]) + "\n")
    code, shown, _ = typed(*THREE, "--predict", "wsd.csv", flat, "--out", tmp_path / "out", *FAST)
    assert code == 0 and "nan" not in "\n".join(shown)
    mean = next(line.split() for line in shown if "all 2: mean" in line and "fsl" in line)
    own = next(line.split() for line in shown if line.split()[:2] == ["wsd.csv", "fsl"])
    assert mean[5] == own[2]
    assert any("the loss is constant, so there is no R2" in line and "flat.csv" in line for line in shown)
    assert {s["r2"] for s in rows(tmp_path / "out" / "scores.csv") if s["file"] == str(flat)} == {""}


def test_files_join_by_the_path_as_typed_and_any_script_is_drawn(typed, folder, tmp_path, recwarn):
    typed_as = "./\u5b66\u4e60 $x_1$.csv"
    (folder / typed_as).write_text((folder / "wsd.csv").read_text())
    code, _, complaints = typed(*THREE, "--predict", typed_as, "--out", tmp_path, *FAST)
    assert code == 0 and not complaints and not [w for w in recwarn if "Glyph" in str(w.message)]
    assert {row["file"] for row in rows(tmp_path / "scores.csv")} == {typed_as}
    assert {row["file"] for row in rows(tmp_path / "predictions.csv")} == {*THREE, typed_as}


@pytest.mark.parametrize("swallowed", [False, True])
def test_an_interruption_ends_the_fit_and_writes_nothing(typed, tmp_path, monkeypatch, swallowed):
    """Compiled code may drop the exception of the signal; the next check has to raise it again."""
    from theorycheck.checks.fsl import loss_curve_fit as fits

    drawn = []

    def blocks(residuals, length, rng):
        drawn.append(1)
        if len(drawn) == 4:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                if not swallowed:
                    raise
        return residuals

    monkeypatch.setattr(fits, "_blocks", blocks)
    before = signal.getsignal(signal.SIGINT)
    code, shown, complaints = typed("cosine.csv", "--out", tmp_path / "out", *FAST)
    assert code == 130 and complaints == ["theorycheck: interrupted"] and not shown
    assert len(drawn) == 4 and not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_help(typed):
    code, shown, _ = typed("--help")
    assert code == 0 and any("--predict" in line for line in shown)
