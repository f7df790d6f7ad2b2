"""The classroom notebook of mixtures: cells, errors and mis-routing follow its controls."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")

NOTEBOOK = Path(__file__).parent.parent / "demos" / "moe.py"


class Fixed:
    """Stands for a control that has been moved."""

    def __init__(self, value):
        self.value = value


def run(surface=0, experts=32, steps=6, noise=0.0):
    spec = importlib.util.spec_from_file_location("demo_moe", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = {"surface": surface, "experts": experts, "steps": steps, "noise": noise}
    return module.app.run(defs={name: Fixed(value) for name, value in values.items()})[1]


def test_nothing_is_lost_below_the_threshold_and_something_above():
    names = run(experts=40)
    safe = names["ratios"] * names["radius"] ** 2 < names["threshold"]
    assert safe.sum() >= 2 and (~safe).any()
    assert (names["lost"][safe] == 0).all() and names["lost"][-1] > 0
    assert names["worst"][safe].max() < 1.1 * names["worst"][0] < 0.15
    assert not names["far"].any() and names["refusal"] == ""
    np.testing.assert_array_equal(names["atlas"].route(names["seen"].points), names["shown"][0])
    assert len(names["drawing"].axes) == 4


def test_the_error_falls_like_the_square_of_the_step():
    coarse, fine = (run(steps=steps)["errors"].max() for steps in (5, 10))
    assert 3.3 < coarse / fine < 4.7


def test_noise_moves_points_and_is_counted():
    names = run(experts=40, noise=2.0)
    routes, far, _ = names["shown"]
    assert (routes != names["atlas"].route(names["seen"].points)).mean() > 0.2
    away = np.linalg.norm(names["seen"].points - names["atlas"].centres[routes], axis=1)
    np.testing.assert_array_equal(far, away >= names["allowed"])
    assert far.any() and away.max() ** 2 <= names["radius"] ** 2 + 2 * names["eps"] + 1e-9


def test_too_few_experts_are_refused_in_words():
    names = run(surface=2, experts=8)
    assert "beyond chart" in names["refusal"] and names["layer"] is None
    assert names["threshold"] < 0 and "two sheets may share a cell" in names["summary"]
