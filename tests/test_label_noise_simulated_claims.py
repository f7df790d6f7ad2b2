"""The claims that rest on simulation: a few of them in full, and that none of them runs outside stability unnamed."""

import numpy as np
import pytest

from theorycheck.checks import claim
from theorycheck.checks.label_noise import misadjustment, sharpness_aware, slow_dynamics, width_free
from theorycheck.theory import label_noise as theory

QUICK = claim.Effort()


@pytest.mark.parametrize("name", ["width_free_recursion", "null_space", "sam_collapse", "sam_two_phases", "catapult"])
def test_a_claim_holds_and_its_controls_are_rejected(name):
    outcome = claim.judge(claim.REGISTRY[f"label_noise.{name}"], QUICK)
    assert outcome.verdict is claim.Verdict.HOLDS
    assert all(seen.accepted is False for _, seen, _ in outcome.controls)


def test_few_neurons_have_the_kernel_and_the_output_of_many():
    first, second = misadjustment.interpolator(5, 50)
    few = misadjustment.few_neurons(first, second)
    assert few[0].shape == (6, 5)
    assert theory.gram(*few) == pytest.approx(theory.gram(first, second))
    assert first.T @ second == pytest.approx([1, 0, 0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("make", [
    lambda: slow_dynamics.run(claim.Effort(level="quick"), 0.2),
    lambda: sharpness_aware.run(claim.Effort(level="quick"), 0.2, 0.1),
])
def test_runs_outside_stability_are_not_judged(make, monkeypatch):
    monkeypatch.setattr(slow_dynamics, "STEPS_OF_DESCENT", {0.2: 2})
    monkeypatch.setattr(sharpness_aware, "STEPS_OF_DESCENT", (0.2,))
    with pytest.raises(ValueError, match="mean-square stability at the start needs it in"):
        make()


def test_the_readme_setting_is_inside_stability_and_twice_its_step_is_not():
    model = width_free.readme()
    assert model.step < theory.critical_step(model.kernel_scale * np.eye(20)) < 2 * model.step
