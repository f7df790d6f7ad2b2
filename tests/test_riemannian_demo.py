"""The classroom notebook of flat and sharp directions: what it shows is right; bad settings are refused in words."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")

NOTEBOOK = Path(__file__).parent.parent / "demos" / "riemannian.py"


class Fixed:
    """Stands for a slider that has been moved."""

    def __init__(self, value):
        self.value = value


def run(landscape, optimizer, rate=-2.2, momentum=0.9, noise=1.5, chi=1.0, sharp=0.0, flat=0.0, steps=150, friction=1.0,
        damping=1.0):
    spec = importlib.util.spec_from_file_location("demo_riemannian", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = {"landscape_name": landscape, "optimizer_name": optimizer, "rate": rate, "momentum": momentum,
              "noise": noise, "chi": chi, "sharp_damping": sharp, "flat_damping": flat, "steps": steps,
              "friction": friction, "hessian_damping": damping}
    _, names = module.app.run(defs={name: Fixed(value) for name, value in values.items()})
    return names


@pytest.mark.parametrize("landscape, optimizer, chi, sharp, flat", [
    ("straight valley", "Nesterov", 1.0, 0.0, 0.0), ("straight valley", "heavy ball", 4.0, 1.0, 9.0),
    ("quadratic", "gradient descent", 1.0, 0.0, 0.0), ("quadratic", "Nesterov", 3.0, 0.5, 5.0)])
def test_runs_agree_with_their_exact_expectation(landscape, optimizer, chi, sharp, flat):
    names = run(landscape, optimizer, chi=chi, sharp=sharp, flat=flat)
    assert names["message"] == "" and names["worst"] < 6
    mean, error = names["seen"]["flat"]
    z = (mean - names["expected"]["flat"][1:]) / error
    assert np.abs(z).max() < 6
    assert np.ptp(names["expected"]["flat"]) > 0


def test_lite_moves_the_flat_direction_and_leaves_the_sharp_one():
    base, lite = (run("straight valley", "Nesterov", chi=chi) for chi in (1.0, 2.0))
    np.testing.assert_array_equal(base["path"][:, 1], lite["path"][:, 1])   # the same noise
    np.testing.assert_allclose(lite["path"][:, 0], 2 * base["path"][:, 0], rtol=1e-12)


def test_without_noise_a_small_step_stays_on_its_flow():
    for optimizer in ("heavy ball", "Adam", "RMSProp"):
        names = run("winding valley", optimizer, rate=-3.5 if optimizer == "heavy ball" else -2.5, momentum=0.98,
                    noise=0.0, steps=200)
        reached = names["flow"]
        assert np.abs(names["path"] - reached).max() < 0.05 * np.ptp(reached, axis=0).max()


@pytest.mark.parametrize("rate, sharp", [(0.0, 0.0), (-1.0, 10.0)])
def test_an_unstable_rate_is_refused_with_its_bound(rate, sharp):
    names = run("straight valley", "Nesterov", rate=rate, sharp=sharp)
    assert not names["seen"] and names["flow"] is None
    assert "stability limit" in names["message"] and "\n" not in names["message"]


def test_no_corner_of_the_sliders_raises():
    ends = ((-3.5, 1.0, 0.0, 0.0), (0.0, 8.0, 10.0, 40.0))
    for landscape, optimizer, (rate, chi, sharp, flat) in itertools.product(
            ("quadratic", "winding valley"), ("Adam", "sign descent"), ends):
        names = run(landscape, optimizer, rate=rate, momentum=0.98, noise=4.0, chi=chi, sharp=sharp, flat=flat,
                    steps=100)
        assert names["drawing"] is not None and (names["message"] or np.isfinite(names["path"]).all())


def test_rates_of_the_phase_diagram():
    names = run("quadratic", "heavy ball", friction=1.0, damping=3.0)
    assert names["tied_rate"] == pytest.approx(2.0) and names["fixed_rate"] == pytest.approx(0.2679, abs=1e-4)
