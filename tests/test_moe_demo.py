"""The classroom notebook of mixtures: cells, errors and mis-routing follow its controls."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")

NOTEBOOK = Path(__file__).parent.parent / "demos" / "moe.py"


class Fixed:
    """Stands for a control that has been moved."""

    def __init__(self, value):
        self.value = value


@cache
def run(surface=0, experts=32, steps=6, noise=0.0, signs="random"):
    spec = importlib.util.spec_from_file_location("demo_moe", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = {"surface": surface, "experts": experts, "steps": steps, "noise": noise, "signs": signs}
    return module.app.run(defs={name: Fixed(value) for name, value in values.items()})[1]


@pytest.mark.parametrize(("surface", "experts"), [(0, 40), (1, 200), (2, 176)])
def test_the_transition_is_at_half_the_margin(surface, experts):
    names = run(surface, experts)
    ratios, below = names["ratios"], names["ratios"] < 1
    assert below.sum() > 10 and (~below).sum() > 10 and ratios[0] == 0 and ratios[-1] == 2
    for signs in ("worst", "random"):
        assert (names["lost"][signs][below] == 0).all() and names["lost"][signs][-1] > 0
        assert names["worst"][signs][below].max() < 2 * names["worst"][signs][0] < 0.4
        assert names["worst"][signs][-1] > 0.5
    assert (names["lost"]["worst"][~below] > 0).all() and (names["worst"]["worst"][~below] > 0.3).all()
    assert (names["lost"]["worst"] >= names["lost"]["random"]).all()
    assert not names["far"].any() and names["refusal"] == "" and "too few" not in names["summary"]
    np.testing.assert_array_equal(names["atlas"].route(names["seen"].points), names["routes"])
    assert len(names["drawing"].axes) == 4


def test_half_the_margin_is_that_of_the_largest_cell():
    names = run(experts=40)
    away = np.linalg.norm(names["sample"][:, None] - names["atlas"].centres, axis=2).min(axis=1).max()
    assert abs(names["threshold"] - (names["known"] ** 2 - away**2) / 2) < 1e-12
    assert away <= names["radius"] < names["known"] <= names["allowed"]


def test_the_error_falls_like_the_square_of_the_step():
    coarse, fine = (run(experts=40, steps=steps)["errors"].max() for steps in (6, 12))
    assert 3.3 < coarse / fine < 4.7


@pytest.mark.parametrize("signs", ["random", "worst"])
def test_noise_moves_points_and_is_counted(signs):
    names = run(experts=40, noise=1.4, signs=signs)
    points, centres, routes = names["seen"].points, names["atlas"].centres, names["routes"]
    assert (routes != names["atlas"].route(points)).mean() > 0.1
    squared = np.sum((points[:, None] - centres) ** 2, axis=2)
    feature = np.maximum(names["known"] ** 2 - squared, 0)
    mine, own = np.arange(len(points)), squared[np.arange(len(points)), routes]
    assert (feature[mine, routes] >= feature.max(axis=1) - 2 * names["eps"] - 1e-12).all()
    np.testing.assert_array_equal(names["far"], np.sqrt(own) >= names["known"])
    assert names["far"].any()
    if signs == "worst":
        possible = feature > feature.max(axis=1, keepdims=True) - 2 * names["eps"]
        np.testing.assert_allclose(own, np.where(possible, squared, 0).max(axis=1), rtol=1e-9)


def test_harmless_noise_frays_cells_and_leaves_errors():
    names = run(experts=40, noise=0.9)
    assert (names["routes"] != names["atlas"].route(names["seen"].points)).mean() > 0.02
    assert not names["far"].any() and names["errors"].max() < 2 * run(experts=40)["errors"].max()


def test_too_few_experts_are_refused_in_words():
    names = run(surface=2, experts=8)
    assert "beyond chart" in names["refusal"] and names["layer"] is None
    assert names["threshold"] == 0 and "two sheets may share a cell" in names["summary"]
    assert max(len(part) for part in re.findall(r"\d+\.(\d+)", names["refusal"])) < 4
    panel = names["drawing"].axes[1].texts[0].get_text()
    for text in (names["summary"], names["refusal"], panel):                # how many do suffice, in words
        assert str(names["enough"]) in text
    enough, charts = names["enough"], names["charts"]
    assert charts.net_atlas(names["manifold"], enough, points=20_000).radius < names["allowed"]
    with pytest.raises(ValueError, match="charts have cells"):
        charts.net_atlas(names["manifold"], enough - 1, points=20_000)


def test_cells_are_seen_although_they_are_too_large():
    """Nothing moved a point, so none is dark: the sheets that share a cell have its colour."""
    names = run(surface=2, experts=8)
    assert names["far"].mean() > 0.5
    np.testing.assert_array_equal(names["routes"], names["atlas"].route(names["seen"].points))
    image = np.asarray(names["drawing"].axes[0].images[0].get_array())
    assert (image[image[..., 3] > 0][:, :3].max(axis=1) > 0.25).mean() > 0.9
