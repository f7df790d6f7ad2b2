"""Every classroom notebook runs headless, and what it computes is right."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

marimo = pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")

DEMOS = sorted((Path(__file__).parent.parent / "demos").glob("*.py"))


def loaded(path):
    spec = importlib.util.spec_from_file_location(f"demo_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


class Fixed:
    """Stands for a slider that has been moved."""

    def __init__(self, value):
        self.value = value


@pytest.fixture(scope="module")
def fsl_run():
    return loaded(next(path for path in DEMOS if path.stem == "fsl")).run()


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_every_demo_runs_from_top_to_bottom(path):
    outputs, names = loaded(path).run()
    assert names and any(output is not None for output in outputs)


def test_the_fsl_demo_shows_theory_and_measurement_that_agree(fsl_run):
    _, names = fsl_run
    exact, law, measured = names["exact"], names["law"], names["measured"]
    assert names["message"] == ""
    assert measured.replicas == names["replicas"].value
    z = (measured.mean[1:] - exact.excess_risk[1:]) / measured.stderr[1:]
    assert np.abs(z).max() < 6 and z[-1] == pytest.approx(names["z_score"])
    assert measured.mean[0] == pytest.approx(exact.excess_risk[0], rel=1e-12)
    assert 0 < names["worst"] < 0.25 and names["worst"] == pytest.approx(
        np.max(np.abs(law.excess_risk / exact.excess_risk - 1)))
    assert names["best"].risk < exact.final
    assert len(names["drawing"].axes) == 2 and len(names["drawing"].axes[0].lines) == 4


def test_the_fsl_demo_follows_its_controls(fsl_run):
    app = loaded(next(path for path in DEMOS if path.stem == "fsl"))
    _, names = app.run(defs={
        "source": Fixed(1.5), "capacity": Fixed(2.0), "noise": Fixed(0.0), "schedule_name": Fixed("constant"),
        "peak": Fixed(0.05), "replicas": Fixed(32), "makers": fsl_run[1]["makers"]})
    assert names["problem"].regime == "easy" and names["problem"].noise == 0
    assert names["schedule"].name == "constant" and names["schedule"].peak == 0.05
    assert names["best"] is None and names["measured"].replicas == 32
    assert names["exact"].final < 0.01 * names["exact"].excess_risk[0]


def test_the_fsl_demo_says_when_a_rate_is_refused(fsl_run):
    app = loaded(next(path for path in DEMOS if path.stem == "fsl"))
    _, names = app.run(defs={
        "source": Fixed(0.5), "capacity": Fixed(1.2), "noise": Fixed(1.0), "schedule_name": Fixed("constant"),
        "peak": Fixed(0.6), "replicas": Fixed(32), "makers": fsl_run[1]["makers"]})
    assert names["measured"] is None and "learning rate" in names["message"]
    assert math.isinf(names["ratio"]) or names["ratio"] > 1


def test_the_label_noise_demo_does_not_judge_the_slow_flow_where_it_is_not_valid():
    app = loaded(next(path for path in DEMOS if path.stem == "label_noise"))
    for noise, target, valid in ((6.0, 4.0, True), (6.0, 0.0, False), (10.0, 0.5, False)):
        _, names = app.run(defs={"noise": Fixed(noise), "target": Fixed(target), "step": Fixed(0.004 - 0.001 * valid),
                                 "width": Fixed(50)})
        assert names["flow"] is not None and (names["worst"] is not None) == valid
        assert "inf" not in "".join(names["lines"])
    assert "ends at about" in "".join(names["lines"])
