"""The classroom notebook of schedules: what it shows is right, at both ends of its sliders."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")

NOTEBOOK = Path(__file__).parent.parent / "demos" / "schedules.py"


class Fixed:
    """Stands for a slider that has been moved."""

    def __init__(self, value):
        self.value = value


def run(source, capacity, noise=1.0, budget=9, cap=0.3, second=8):
    spec = importlib.util.spec_from_file_location("demo_schedules", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = {"source": source, "capacity": capacity, "noise": noise, "budget": budget, "cap": cap, "second": second}
    _, names = module.app.run(defs={name: Fixed(value) for name, value in values.items()})
    return names


@pytest.mark.parametrize("source, capacity, regime", [(1.0, 2.0, "easy"), (0.2, 3.0, "hard")])
def test_nothing_beats_the_optimum(source, capacity, regime):
    names = run(source, capacity)
    best = names["control"].loss
    assert names["problem"].regime == regime
    assert best <= names["by_law"] < 1.02 * best
    assert all(loss > best for loss in names["losses"].values())
    assert min(names["excess"]) >= 0 and len(names["excess"]) == 6
    for _, sizes, loss in names["batches"]:   # the same data, whole batches
        assert sizes.sum() == 512 and sizes.min() >= 1 and loss > best
    assert names["switched"].min() == names["switched"][int(round(100 * names["best_share"]))]


def test_easy_tasks_are_equal_in_rates_and_in_batches():
    names = run(1.0, 2.0, budget=11)
    losses = np.array([loss for _, _, loss in names["batches"]])
    np.testing.assert_allclose(losses, names["by_law"], rtol=0.03)
    assert names["best_share"] > 0.8


def test_hard_tasks_switch_late():
    assert run(0.2, 3.0, noise=0.5, budget=12).get("best_share") < 0.4


def test_the_cap_gives_way_to_stability():
    names = run(0.5, 1.25, cap=0.5)
    assert names["largest"] < 0.5 and np.isfinite(list(names["losses"].values())).all()
