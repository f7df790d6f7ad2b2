"""``theorycheck plan`` as a person types it, and what it plans for fitted laws and real runs."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from theorycheck.checks.fsl import loss_curve_fit as fits
from theorycheck.checks.schedules import forecast as forecasting
from theorycheck.checks.schedules import planner
from theorycheck.cli import main
from theorycheck.cli import plan as cli
from theorycheck.sims.loss_curves import LossCurve, read_csv
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.fsl import loss_curve_laws as laws
from theorycheck.theory.fsl.problem import PowerLawRegression
from theorycheck.theory.fsl.recursion import exact_risk
from theorycheck.theory.schedules import fitted_optimum
from theorycheck.theory.schedules.fitted_law import final_loss

PEAK, WARMUP = 1e-3, 1000
TASK = ("--source", "0.5", "--capacity", "3", "--noise", "1")


def run(name, seed, batch=None):
    """A run of 12 000 steps that obeys the practical law up to 0.1% noise."""
    steps = np.arange(WARMUP, 12_001, 100)
    x = (steps - WARMUP) / 11_000
    rates = PEAK * {"constant": np.ones_like(x), "cosine": 0.55 + 0.45 * np.cos(np.pi * x),
                    "two_stage": np.where(x < 0.45, 1.0, 0.3)}[name]
    sizes = None if batch is None else np.full(steps.size, float(batch))
    if batch is not None and name == "two_stage":
        sizes, rates = np.where(x < 0.45, 8.0, 32.0), np.full(steps.size, PEAK)
    seen = laws.annealing(steps, rates, sizes)
    losses = laws.law("fsl")(seen, (0.5, 20.0, 0.6), (3.0, 1.0, 0.15, 0.0))
    losses = losses * (1 + 1e-3 * np.random.default_rng(seed).standard_normal(steps.size))
    return LossCurve(name, steps, rates, losses, sizes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Logs of three runs with and without batch sizes, and what ``theorycheck fit`` says of them."""
    made = tmp_path_factory.mktemp("plans")
    for batch, label in ((None, "plain"), (8, "batched")):
        files = []
        for seed, name in enumerate(("constant", "cosine", "two_stage")):
            curve = run(name, seed, batch)
            columns = [curve.steps, curve.rates, curve.losses] + ([] if batch is None else [curve.batch_sizes])
            head = "step,lr,loss" + ("" if batch is None else ",batch_size")
            files.append(made / f"{label}_{name}.csv")
            lines = [",".join(map(repr, row)) for row in zip(*(column.tolist() for column in columns))]
            files[-1].write_text("\n".join([head, *lines]) + "\n")
        assert main.exit_code(["fit", *map(str, files), "--out", str(made / label), "--resamples", "12"]) == 0
    return made


@pytest.fixture
def typed(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "140")

    def ask(*arguments):
        capsys.readouterr()
        code = main.exit_code(["plan", *map(str, arguments)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err.splitlines()
    return ask


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def columns(path):
    read = rows(path)
    assert list(read[0]) == ["step", "lr", "batch_size"]
    assert [int(row["step"]) for row in read] == list(range(len(read)))
    return (np.array([float(row["lr"]) for row in read]),
            np.array([float(row["batch_size"]) if row["batch_size"] else np.nan for row in read]))


def test_a_fitted_plan_is_better_than_cosine_and_wsd_and_says_how_sure(typed, tmp_path):
    code, shown, complaints = typed("fit", "plain/fit.json", "--steps", 12_000, "--out", tmp_path)
    assert code == 0 and not [line for line in complaints if line.startswith("theorycheck:")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(cli.FILES)
    rates, sizes = columns(tmp_path / "plan.csv")
    assert rates.size == 12_000 and np.isnan(sizes).all()   # the runs state none
    assert rates[0] == 0 and rates[WARMUP // 2] == pytest.approx(rates[WARMUP] / 2)
    after = rates[WARMUP:]
    assert after.max() <= PEAK * (1 + 1e-9) and after.min() >= 0.1 * PEAK * (1 - 1e-3)
    found = json.loads((tmp_path / "plan.json").read_text())
    assert {"cosine", "linear", "constant"} < {rival["name"] for rival in found["rivals"]}
    for rival in found["rivals"]:
        assert rival["difference"] > 0
        low, high = rival["interval_parameters"]
        assert low <= rival["difference"] <= high
        assert rival["interval_measured"][0] <= low and rival["interval_measured"][1] >= high
    assert found["band"][0] < found["loss"] < found["band"][1]
    assert "read_plan.py" in shown and "def lr(step)" in shown and not found["notes"]


def test_fit_predicts_of_the_written_plan_what_the_planner_promised(typed, folder, tmp_path, capsys):
    assert typed("fit", "plain/fit.json", "--steps", 9000, "--out", tmp_path)[0] == 0
    training = [str(folder / f"plain_{name}.csv") for name in ("constant", "cosine", "two_stage")]
    short = rows(tmp_path / "plan.csv")
    with open(tmp_path / "log.csv", "w") as file:
        file.write("step,lr\n" + "".join(f"{row['step']},{row['lr']}\n" for row in short))
    curves = [read_csv(file) for file in training]
    fit = fits.fit(curves)
    promised = json.loads((tmp_path / "plan.json").read_text())["loss"]
    assert fits.predict(fit, read_csv(tmp_path / "log.csv"))[-1] == pytest.approx(promised, rel=1e-7)


def test_the_snippet_reads_the_plan_without_any_library(typed, tmp_path):
    assert typed("batches", *TASK, "--data", 4000, "--rate", 0.2, "--out", tmp_path)[0] == 0
    rates, sizes = columns(tmp_path / "plan.csv")
    code = (f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import read_plan as p; "
            "print(p.lr(0), p.batch_size(0), p.batch_size(10**9)); assert 'numpy' not in sys.modules")
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [repr(float(rates[0])), str(int(sizes[0])), str(int(sizes[-1]))]
    assert typed("fit", "plain/fit.json", "--steps", 5000, "--out", tmp_path)[0] == 0
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True)
    assert done.stdout.split() == ["0.0", "None", "None"]   # the runs state no batch size
    assert typed("fit", "plain/fit.json", "--steps", 5000, "--batch", 256, "--out", tmp_path)[0] == 0
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True)
    assert done.stdout.split() == ["0.0", "256", "256"]


def test_rates_of_a_given_task_are_the_best_that_exact_sgd_knows(typed, tmp_path):
    code, shown, _ = typed("rates", *TASK, "--steps", 600, "--peak", 0.3, "--batch", 2, "--out", tmp_path)
    rates, sizes = columns(tmp_path / "plan.csv")
    assert code == 0 and "exact optimal control" in shown and (sizes == 2).all() and rates.max() <= 0.3
    problem = PowerLawRegression(0.5, 3.0, noise=1.0)
    loss = exact_risk(problem, lr.Schedule(rates), 2, times=[600]).final
    found = json.loads((tmp_path / "plan.json").read_text())
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    for peak in (0.05, 0.1, 0.2, 0.3):
        for rival in (lr.cosine(600, peak), lr.linear(600, peak), lr.wsd(600, peak, 0.3), lr.power(600, peak, 3.0)):
            assert loss < exact_risk(problem, rival, 2, times=[600]).final


def test_batches_respect_hardware_limits_and_the_budget(typed, tmp_path):
    code, shown, _ = typed("batches", *TASK, "--data", 6000, "--rate", 0.2, "--min", 2, "--max", 16,
                           "--allowed", "1,2,4,8,16,32", "--switches", 2, "--out", tmp_path)
    rates, sizes = columns(tmp_path / "plan.csv")
    assert code == 0 and set(sizes) <= {2, 4, 8, 16} and np.count_nonzero(np.diff(sizes)) <= 2
    assert sizes.sum() == 6000 and (rates == 0.2).all() and "dynamic programming" in shown
    assert typed("batches", *TASK, "--data", 2000, "--rate", 0.2, "--min", 2, "--max", 30, "--out", tmp_path)[0] == 0
    sizes = columns(tmp_path / "plan.csv")[1]
    assert sizes.sum() == 2000 and sizes.min() >= 2 and sizes.max() <= 30 and (sizes == np.round(sizes)).all()


def test_the_pair_reaches_its_loss_in_fewer_steps_than_the_best(typed, tmp_path):
    arguments = ("pair", *TASK, "--data", 1500, "--peak", 0.3)
    losses, steps = [], []
    for more in ((), ("--loss", 0.05), ("--loss", 0.09)):
        assert typed(*arguments, *more, "--out", tmp_path)[0] == 0
        found = json.loads((tmp_path / "plan.json").read_text())
        losses.append(found["loss"])
        steps.append(found["steps"])
        assert found["samples"] <= 1500
        if more:
            assert found["loss"] <= more[1]
    assert steps[0] > steps[1] > steps[2] and losses[0] < losses[1] < losses[2]


def test_the_switch_is_the_best_one_and_its_cost_is_shown(typed, tmp_path):
    code, shown, _ = typed("switch", "--source", 0.3, "--capacity", 3, "--noise", 1, "--data", 6000, "--rate", 0.2,
                           "--from", 1, "--to", 16, "--out", tmp_path)
    assert code == 0 and "over the best" in shown
    sizes = columns(tmp_path / "plan.csv")[1]
    assert set(sizes) == {1, 16} and 6000 - 1 < sizes.sum() <= 6000 and (np.diff(sizes) >= 0).all()
    found = json.loads((tmp_path / "plan.json").read_text())
    excess = [row["over the best"] for row in found["table"]]
    assert min(excess) >= -1e-12 and max(excess) > 0.5
    problem = PowerLawRegression(0.3, 3.0, noise=1.0)
    for late in range(1, 375, 11):
        other = np.repeat([1.0, 16.0], [6000 - 16 * late, late])
        risk = exact_risk(problem, lr.constant(other.size, 0.2), other, times=[other.size]).final
        assert risk >= found["loss"] * (1 - 1e-9)


def test_batch_sizes_pairs_and_switches_of_a_fit(typed, tmp_path):
    least = None
    for arguments in (("batches", "--allowed", "4,8,16,32,64", "--switches", 3), ("pair", "--loss", 3.5, "--max", 64),
                      ("switch", "--from", 8, "--to", 64)):
        limits = () if arguments[0] == "switch" else ("--min", 4)
        code, _, complaints = typed(*arguments, *limits, "--fit", "batched/fit.json", "--data", 40_000,
                                    "--warmup", 100, "--out", tmp_path)
        assert code == 0, complaints
        rates, sizes = columns(tmp_path / "plan.csv")
        found = json.loads((tmp_path / "plan.json").read_text())
        assert sizes.sum() <= 40_000 and (rates[100:] == PEAK).all() and found["band"][0] < found["loss"]
        assert rates[0] == 0 and rates[50] == pytest.approx(PEAK / 2)
        if arguments[0] == "batches":
            least = found["loss"]
            assert all(rival["difference"] > 0 for rival in found["rivals"])
        assert arguments[0] == "batches" or found["loss"] >= least * (1 - 1e-3)


def told(typed, out, *arguments):
    code, _, complaints = typed(*arguments, "--out", out)
    assert code == 0, complaints
    return json.loads((out / "plan.json").read_text())


def test_a_pair_is_no_worse_than_rates_alone_at_the_largest_batch_and_counts_steps(typed, tmp_path):
    task = ("--source", 1, "--capacity", 2, "--noise", 1)
    alone = told(typed, tmp_path, "rates", *task, "--steps", 512, "--batch", 8)
    both = told(typed, tmp_path, "pair", *task, "--data", 4096, "--max", 8)
    assert both["loss"] <= alone["loss"] * (1 + 1e-6) and both["table"][-1]["steps"] == 512
    assert min(row["over the best"] for row in both["table"]) == 0
    few = told(typed, tmp_path, "pair", *task, "--data", 4096, "--max", 8, "--loss", 0.012)
    assert few["loss"] <= 0.012 and few["steps"] < 512 and not few["rivals"]
    needed = [row["steps to the loss"] for row in few["table"]]
    assert all(steps == "not reached" or steps >= few["steps"] for steps in needed) and len(needed) == 8
    assert any(isinstance(steps, int) for steps in needed)
    rates, sizes = columns(tmp_path / "plan.csv")
    assert np.ptp(rates) > 0.1 and sizes.max() <= 8


def test_no_row_of_a_long_switch_is_below_its_best(typed, tmp_path):
    found = told(typed, tmp_path, "switch", "--source", 0.5, "--capacity", 2, "--noise", 1, "--data", 100_000,
                 "--from", 1, "--to", 16)
    assert min(row["over the best"] for row in found["table"]) == 0
    rates, sizes = columns(tmp_path / "plan.csv")
    problem = PowerLawRegression(0.5, 2.0, noise=1.0)
    assert found["loss"] == pytest.approx(
        exact_risk(problem, lr.Schedule(rates), sizes, times=[sizes.size]).final, rel=1e-8)


def test_rivals_of_planned_rates_are_tuned():
    problem = PowerLawRegression(1.0, 2.0, noise=1.0)
    plan = planner.plan_rates(planner.Given(problem), 256, 8)
    best = {rival.name.split()[0].strip(","): rival.loss for rival in plan.rivals}
    sizes, cap = np.full(256, 8.0), 0.5 * planner.Given(problem).stable_below(8)
    for name, shapes in {"cosine": [lr.cosine], "constant": [lr.constant], "linear": [lr.linear], "WSD": [
            lambda n, p, s=s, c=c: lr.wsd(n, p, c, shape=s) for s in ("linear", "1-sqrt") for c in (0.2, 0.8)]}.items():
        tried = [exact_risk(problem, shape(256, peak), sizes, times=[256]).final
                 for shape in shapes for peak in cap * np.geomspace(0.01, 1, 12)]
        assert best[name] <= min(tried) * (1 + 1e-3)
        assert best[name] >= plan.loss


def test_pairs_of_a_fit_need_fewer_steps_with_more_data(typed, tmp_path):
    steps = [told(typed, tmp_path, "pair", "--fit", "batched/fit.json", "--min", 4, "--max", 64, "--loss", 3.5,
                  "--data", data)["steps"] for data in (30_000, 60_000, 120_000)]
    assert steps[0] >= steps[1] >= steps[2]


BAD = {
    "no task": (["rates", "--steps", "10"], "--source is missing; a task needs --source, --capacity and --noise"),
    "no noise": (["rates", "--source", "1", "--capacity", "2", "--noise", "0", "--steps", "9"],
                 "noise is 0; it must be in (0, 1e+06]"),
    "loud": (["rates", "--source", "1", "--capacity", "2", "--noise", "1e300", "--steps", "9"],
             "noise is 1e+300; it must be in (0, 1e+06]"),
    "capacity": (["rates", "--source", "1", "--capacity", "1", "--noise", "1", "--steps", "9"], "capacity"),
    "steps": (["rates", *TASK, "--steps", "1"], "steps is 1; it must be a whole number in [2, 5e+06]"),
    "peak": (["rates", *TASK, "--steps", "9", "--peak", "7"], "rate is 7; with batches of 1 it must be in (0, 0.6"),
    "nan": (["rates", *TASK, "--steps", "9", "--peak", "nan"], "nan is not a finite number"),
    "limits": (["batches", *TASK, "--data", "100", "--min", "8", "--max", "4"],
               "max is 4; it must be a whole number in [8, "),
    "data below a batch": (["batches", *TASK, "--data", "100", "--min", "200"],
                           "min is 200; it must be a whole number in [1, 100]"),
    "none allowed": (["batches", *TASK, "--data", "100", "--max", "4", "--allowed", "8,16"],
                     "no allowed batch size lies in [1, 4]; allowed are 8, 16"),
    "allowed": (["batches", *TASK, "--data", "100", "--allowed", "8,x"], "'8,x' is no list of whole numbers"),
    "allowed zero": (["batches", *TASK, "--data", "100", "--allowed", "0"], "0 is no batch size; it must be >= 1"),
    "unstable": (["batches", *TASK, "--data", "100", "--rate", "2"], "rate is 2; with batches of 1 it must be in (0, "),
    "out of reach": (["pair", *TASK, "--data", "500", "--loss", "1e-9"], "target is 1e-09; 500 samples reach 0.0"),
    "switch down": (["switch", *TASK, "--data", "500", "--from", "8", "--to", "4"],
                    "to is 4; it must be a whole number in [9, 500]"),
    "long": (["batches", *TASK, "--data", "1000000000"], "or the smallest batch at least 200)"),
    "no file": (["fit", "none.json", "--steps", "100"], "none.json: cannot be read"),
    "no json": (["fit", "plain_cosine.csv", "--steps", "100"], "plain_cosine.csv: is no JSON file"),
    "old": (["fit", "old.json", "--steps", "5000"], "old.json: has no 'refits'; write it again"),
    "other": (["fit", "other.json", "--steps", "5000"], "other.json: has no 'law'"),
    "list": (["fit", "list.json", "--steps", "5000"], "list.json: is not what theorycheck fit writes"),
    "floor": (["fit", "plain/fit.json", "--steps", "5000", "--floor", "1"],
              "floor is 1.0; it must be in [0, 0.001], the peak"),
    "short": (["fit", "plain/fit.json", "--steps", "900"], "steps is 900; it must be a whole number in [1003, 5e+06]"),
    "batch": (["fit", "plain/fit.json", "--steps", "5000", "--batch", "-8"], "batch size is -8; it must be in (0, 1e"),
    "against": (["fit", "plain/fit.json", "--steps", "5000", "--against", "plain_cosine.csv"],
                "runs to step 12000; a schedule to compare with must run to about 4999"),
    **{f"damaged {name}": (["fit", f"damaged_{name}.json", "--steps", "5000"], f"damaged_{name}.json: {message}")
       for name, message in (
           ("speed", "c4 is 0; it must be in [0.01, 10000]"), ("time", "covered intrinsic_time is nan"),
           ("misfit", "misfit interval 1 .. 2 must hold 0"), ("rates", "covered rates start at -1"),
           ("warmup", "covered warmup_steps is -5"), ("left_out", "has no 'left_out'"))},
    "batches": (["batches", "--fit", "plain/fit.json", "--data", "9000"], "fit logs with a column batch_size"),
    "few steps": (["batches", "--fit", "batched/fit.json", "--data", "5000"], "1000 of them warm-up; at least 1003"),
    "warm-up of a task": (["batches", *TASK, "--data", "100", "--warmup", "5"], "--warmup goes with --fit"),
    "both": (["batches", "--fit", "plain/fit.json", "--source", "1", "--data", "9000"], "give a fit or a task"),
    "out": (["rates", *TASK, "--steps", "9", "--out", "plain_cosine.csv/x"],
            "--out plain_cosine.csv/x: cannot be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_exit_code_2(typed, folder, tmp_path, case):
    arguments, message = BAD[case]
    stored = json.loads((folder / "plain" / "fit.json").read_text())
    (folder / "old.json").write_text(json.dumps({k: v for k, v in stored.items() if k != "refits"}))
    for name, path, value in (("speed", ("parameters", "c4", "estimate"), 0.0), ("left_out", ("left_out",), None),
                              ("time", ("covered", "intrinsic_time"), math.nan),
                              ("misfit", ("misfit", "interval"), [1, 2]), ("rates", ("covered", "rates"), [-1, -0.5]),
                              ("warmup", ("covered", "warmup_steps"), -5)):
        damaged = json.loads(json.dumps(stored))
        *way, last = path
        place = damaged
        for step in way:
            place = place[step]
        place.pop(last)
        if value is not None:
            place[last] = value
        (folder / f"damaged_{name}.json").write_text(json.dumps(damaged))
    (folder / "other.json").write_text("{}")
    (folder / "list.json").write_text("[]")
    out = tmp_path / "out"
    code, shown, complaints = typed(*arguments, *([] if "--out" in arguments else ["--out", out]))
    assert code == 2 and not shown
    assert len(complaints) == 1 and message in complaints[0] and complaints[0].startswith("theorycheck: ")
    assert not out.exists() and not list(folder.glob(".plan-*"))


def test_a_plan_without_a_question_is_answered_with_help(typed):
    code, shown, complaints = typed()
    assert code == 0 and not complaints and all(name in shown for name in ("rates", "batches", "pair", "switch", "fit"))


def test_given_schedules_are_compared_with(typed, folder, tmp_path):
    code, shown, _ = typed("fit", "plain/fit.json", "--steps", 12_001, "--against", "plain_cosine.csv",
                           "--against", "plain_constant.csv", "--out", tmp_path)
    rivals = {rival["name"]: rival["loss"] for rival in json.loads((tmp_path / "plan.json").read_text())["rivals"]}
    curves = [read_csv(folder / f"plain_{name}.csv") for name in ("constant", "cosine", "two_stage")]
    fit = fits.fit(curves)
    assert code == 0 and "plain_cosine" in shown
    for curve in curves[:2]:
        assert rivals[curve.name] == pytest.approx(fits.predict(fit, curve)[-1], rel=1e-4)


def test_one_training_run_leaves_the_error_elsewhere_unknown(typed, folder, tmp_path):
    assert main.exit_code(["fit", str(folder / "plain_two_stage.csv"), "--resamples", "5", "--out",
                           str(tmp_path / "one")]) == 0
    code, shown, _ = typed("fit", tmp_path / "one" / "fit.json", "--steps", 12_000)
    assert code == 0 and "its error on another schedule cannot be estimated" in " ".join(shown.split())
    assert "that of the law on another schedule is not known" in " ".join(shown.split())


def test_batch_sizes_of_a_fit_stay_within_what_its_runs_covered(typed, tmp_path):
    assert typed("batches", "--fit", "batched/fit.json", "--data", 40_000, "--warmup", 300, "--out", tmp_path)[0] == 0
    rates, sizes = columns(tmp_path / "plan.csv")
    assert sizes.min() >= 8 and sizes.max() <= 32   # of the training runs
    assert rates[150] == pytest.approx(PEAK / 2) and (rates[300:] == PEAK).all()


def test_an_interruption_writes_nothing(typed, tmp_path, monkeypatch):
    monkeypatch.setattr(planner, "plan_rates", lambda *_: signal.raise_signal(signal.SIGINT))
    code, shown, complaints = typed("rates", *TASK, "--steps", 9, "--out", tmp_path / "out")
    assert (code, complaints) == (130, ["theorycheck: interrupted"]) and not shown and not (tmp_path / "out").exists()


def test_help_of_every_question(typed):
    for name in ("rates", "batches", "pair", "switch", "fit"):
        code, shown, _ = typed(name, "--help")
        assert code == 0 and "--out DIR" in shown


def test_a_gain_smaller_than_its_error_is_called_that():
    curves = [run(name, seed) for seed, name in enumerate(("constant", "cosine", "two_stage"))]
    fit = fits.fit(curves)
    seen = forecasting.forecast_of(fit, fits.bootstrap(fit, resamples=12), curves, left_out=(0.003, -0.002, 0.001))
    assert seen.transfer == pytest.approx(2.353363 * math.sqrt(14e-6 / 3), rel=1e-5)
    rows_ = fitted_optimum.rows_of(12_000, WARMUP)
    found = fitted_optimum.optimal_rates(seen.law, rows_, PEAK, 0.1 * PEAK)
    assert forecasting.gain(seen, rows_, found.rates, found.rates).verdict == "within the error"
    constant = np.full(rows_.size, PEAK)
    assert forecasting.gain(seen, rows_, found.rates, constant).verdict == "clear"
    again = forecasting.from_record(json.loads(json.dumps({
        "law": "fsl", "parameters": {name: {"estimate": value} for name, value in fit.parameters.items()},
        "units": {"rate": fit.units.rate, "batch_size": None, "earliest_time": fit.units.start}, "flags": [],
        **forecasting.record(seen)})))
    assert final_loss(again.law, rows_, found.rates) == found.loss
    assert again.left_out == seen.left_out
    assert again.trusted == seen.trusted and again.misfit == pytest.approx(seen.misfit)
    assert not forecasting.beyond(seen, rows_, found.rates)
    assert "times the longest intrinsic time" in forecasting.beyond(
        seen, fitted_optimum.rows_of(30_000), np.full(30_000, PEAK))[0]
    assert "noise levels" in forecasting.beyond(seen, rows_, np.linspace(PEAK, 0, rows_.size))[0]


# ---------------------------------------------------------------- measured runs

def wsd_like(rates, warmup):
    """At least half of the run within a tenth of the peak, then a fall to less than a quarter of it at the end."""
    after = rates[warmup:]
    high = after >= 0.9 * after.max()
    plateau = int(np.argmin(high)) if not high.all() else high.size
    return plateau >= 0.5 * high.size and not high[plateau:].any() and after[-1] < 0.25 * after.max()


@pytest.mark.parametrize("size", ["25M", "100M"])
def test_language_models_are_planned_like_wsd_and_below_every_given_schedule(size):
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm_loss_curves"
    folder = Path(os.environ.get("THEORYCHECK_LOSS_CURVES", beside)) / size
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED on real runs: no folder {folder}; set THEORYCHECK_LOSS_CURVES to one that holds "
                    "25M/ and 100M/ of the MultiPowerLaw loss curves (github.com/thu-yao-01-luo/MultiPowerLaw)")
    curves = {path.stem: read_csv(path) for path in folder.glob("*.csv")}
    training = [curves.pop(name) for name in ("cosine_24000", "constant_24000", "wsdcon_9")]
    fit = fits.fit(training)
    seen = forecasting.forecast_of(fit, fits.bootstrap(fit, resamples=20), training,
                                   left_out=forecasting.left_out_errors(training, "fsl"))
    task = planner.Fitted(seen, 2160)
    plan = planner.plan_fitted_rates(task, 24_000)
    assert wsd_like(plan.rates, 2160)
    assert not wsd_like(fitted_optimum.with_warmup(lr.cosine(24_000 - 2160, 3e-4, 3e-5).rates, 2160), 2160)
    rows_ = task.rows(plan.rates, np.ones(plan.steps))
    # the six runs the fit has not seen end within their bands, which the training residuals alone would not achieve
    for curve in curves.values():
        rates = np.interp(np.arange(curve.steps[-1] + 1), curve.steps, curve.rates)
        sizes = np.ones(rates.size)
        low, high = task.band(rates, sizes)
        assert low < curve.losses[-max(1, curve.losses.size // 50):].mean() < high
    assert len(curves) == 6
    given = [curve for curve in (*curves.values(), *training) if 23_000 < curve.steps[-1] < 24_000]
    gains = {curve.name: forecasting.gain(seen, rows_, plan.rates[2160:], np.interp(
        rows_.steps, curve.steps, curve.rates)) for curve in given}
    assert set(gains) == {"cosine_24000", "constant_24000", "wsd_20000_24000", "wsdld_20000_24000"}
    best = min(gains.values(), key=lambda gain: gain.other)
    assert best.parameters[0] > 0 and best.difference > 0 and best.verdict == "within the scatter of runs"
    assert gains["constant_24000"].verdict == "clear"
    assert all(rival.gain.difference > 0 for rival in plan.rivals)
