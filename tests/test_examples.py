"""The examples run, and the tour does what the README says."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from theorycheck.cli import main
from theorycheck.sims import loss_curves

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tour_fits_predicts_and_plans(tmp_path, monkeypatch):
    """The commands of the README on the curves it names: the fit foresees the decay it has not seen."""
    monkeypatch.chdir(EXAMPLES / "loss_curves")
    assert main.exit_code(["fit", "--warmup", "200", "8_1_1.csv", "--predict", "cosine.csv", "wsd.csv",
                           "--resamples", "20", "--out", str(tmp_path / "fit")]) == 0
    with open(tmp_path / "fit" / "scores.csv", newline="", encoding="utf-8") as file:
        scores = {(Path(row["file"]).stem, row["law"]): float(row["r2"]) for row in csv.DictReader(file)}
    assert scores["wsd", "fsl"] > 0.99 and scores["cosine", "fsl"] > scores["cosine", "blind"]
    assert main.exit_code(["plan", "fit", str(tmp_path / "fit" / "fit.json"), "--steps", "5000", "--warmup", "200",
                           "--out", str(tmp_path / "plan")]) == 0
    rates = np.loadtxt(tmp_path / "plan" / "plan.csv", delimiter=",", skiprows=1)[:, 1]
    assert len(rates) == 5000 and np.all(rates[200:4000] == rates.max()) and rates[-1] < 0.2 * rates.max()


def test_the_curves_share_their_text_until_their_schedules_part():
    """All but one, whose warm-up began a step later: the spread of two runs of one schedule."""
    curves = {path.stem: loss_curves.read_csv(path) for path in (EXAMPLES / "loss_curves").glob("*.csv")}
    assert {"8_1_1", "constant", "cosine", "wsd", "batch_switch", "planned", "planned_same_warmup",
            "planned_from_three"} == set(curves)
    constant, apart = curves["constant"], curves.pop("planned")
    for curve in curves.values():
        same = np.cumprod((curve.rates == constant.rates) & (curve.batch_sizes == constant.batch_sizes)) > 0
        np.testing.assert_array_equal(curve.losses[same], constant.losses[same])
        assert curve.steps[-1] == 5000 and curve.losses.size == 91
    same = apart.rates == constant.rates
    assert same.sum() > 70 and 0.001 < np.abs(apart.losses - constant.losses)[same].mean() < 0.03


@pytest.mark.filterwarnings("error")
def test_the_comparison_prints_theory_beside_sgd(capsys):
    load(EXAMPLES / "compare_schedules.py").main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    exact, measured, error = (np.array([float(row[place]) for row in rows]) for place in (1, 4, 6))
    assert len(rows) == 5 and np.all(np.abs(measured - exact) < 6 * error)
