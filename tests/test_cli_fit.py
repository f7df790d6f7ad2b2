"""``theorycheck fit`` as a person types it: files, messages, exit codes."""

import csv
import json

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
    future = [row for row in predictions if row["file"] == "future"]
    assert len(future) == 111 and all(row["loss"] == "" and row["role"] == "predicted" for row in future)
    assert all(float(row["lower"]) < float(row["predicted"]) < float(row["upper"]) for row in future)
    measured = {row["step"]: float(row["loss"]) for row in predictions if row["file"] == "linear"}
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
    assert any(line.startswith("WARNING: cosine alone cannot separate") for line in shown)
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
    "no loss to fit": (["future.csv"], "column 'loss' is missing; a training run needs it"),
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
    "batch in one": (["cosine.csv", "--predict", "batched.csv"], "batched: batch sizes must be given for both"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_exit_code_2(typed, folder, tmp_path, case):
    arguments, message = BAD[case]
    (folder / "bad.csv").write_text("step,loss\n1,2\n")
    (folder / "batched.csv").write_text("step,lr,batch_size\n1000,0.001,8\n9000,0.001,8\n")
    out = tmp_path / "out"
    code, shown, complaints = typed(*FAST, *([] if "--out" in arguments else ["--out", out]), *arguments)
    assert code == 2 and not shown
    assert len(complaints) == 1 and message in complaints[0] and complaints[0].startswith("theorycheck: ")
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_one_line(typed, tmp_path, monkeypatch):
    from theorycheck.figures import figure

    def full(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(figure, "_write", full)
    code, _, complaints = typed(*THREE, "--out", tmp_path / "out", *FAST)
    assert code == 2 and complaints == ["theorycheck: somewhere: No space left on device"]
    assert list((tmp_path / "out").iterdir()) == []


def test_help(typed):
    code, shown, _ = typed("--help")
    assert code == 0 and any("--predict" in line for line in shown)
