"""Second moment of the error at a kernel held fixed: entry by entry, against simulation, and where it grows."""

import math

import numpy as np
import pytest

from theorycheck.sims import label_noise as sgd
from theorycheck.theory import label_noise as theory
from theorycheck.theory.label_noise import second_moment
from theorycheck.theory.label_noise.fluctuations import fluctuations


def kernel_of(rng, d):
    root = rng.normal(size=(d, d))
    return root.T @ root + 0.3 * np.eye(d)


def test_recursion_on_data_is_the_mean_over_all_inputs_and_signs():
    rng = np.random.default_rng(0)
    kernel, inputs, step, noise = kernel_of(rng, 3), rng.normal(size=(4, 3)), 0.05, 0.7
    moment = np.outer(start := rng.normal(size=3), start)
    expected = []
    for _ in range(3):
        expected.append(np.trace(moment))
        turns = [np.eye(3) - step * kernel @ np.outer(x, x) for x in inputs]
        moment = sum(turn @ moment @ turn.T for turn in turns) / 4 + (step * noise) ** 2 * sum(
            np.outer(kernel @ x, kernel @ x) for x in inputs) / 4
    got = second_moment.error_path(kernel, step, noise, [0, 1, 2], inputs, np.outer(start, start))
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_gaussian_recursion_is_that_of_very_many_inputs_and_rests_at_the_fluctuations():
    rng = np.random.default_rng(1)
    kernel = kernel_of(rng, 2)
    step = 0.5 * theory.critical_step(kernel)
    many = second_moment.error_path(kernel, step, 1.0, [1, 5], rng.normal(size=(400_000, 2)))
    np.testing.assert_allclose(second_moment.error_path(kernel, step, 1.0, [1, 5]), many, rtol=0.02)
    for inputs in (None, rng.normal(size=(7, 2))):
        step = 0.5 * theory.critical_step(kernel, inputs)
        rest = np.trace(fluctuations(kernel, step, 0.3, inputs=inputs).covariance)
        assert second_moment.error_path(kernel, step, 0.3, [3000], inputs)[0] == pytest.approx(rest, rel=1e-9)


@pytest.mark.parametrize("law", ["gaussian", "data"])
def test_growth_crosses_one_at_the_critical_step(law):
    rng = np.random.default_rng(2)
    kernel, inputs = kernel_of(rng, 4), None if law == "gaussian" else rng.normal(size=(9, 4))
    bound = theory.critical_step(kernel, inputs)
    assert second_moment.growth(kernel, bound, inputs) == pytest.approx(1, abs=1e-10)
    assert second_moment.growth(kernel, 0.99 * bound, inputs) < 1 < second_moment.growth(kernel, 1.01 * bound, inputs)
    covariance = np.eye(4) if inputs is None else inputs.T @ inputs / 9
    edge = 2 / np.linalg.eigvals(kernel @ covariance).real.max()
    assert second_moment.growth(kernel, edge, inputs, sampling=False) == pytest.approx(1, abs=1e-10)


def test_simulated_errors_follow_it_on_both_sides_of_the_edge():
    model = theory.TwoLayerLinear(3, 4, 1e-9, 0.0, 1.0)
    _, _, (first, second) = sgd.draws(sgd.Descent(model, 1), 0)
    first = first + np.outer(second, model.target - first.T @ second) / (second @ second)
    kernel = theory.kernel(theory.gram(first, second))
    for factor in (0.7, 1.1):
        step = factor * theory.critical_step(kernel)
        runs = sgd.simulate(theory.TwoLayerLinear(3, 4, step, 1e-6, 1.0), 6, replicas=20_000, seed=1, times=[1, 3, 6],
                            start=(first, second), catapult=True)
        expected = second_moment.error_path(kernel, step, 1e-6, [1, 3, 6])
        assert (np.abs(runs.mean[:, 1] - expected) < 5 * runs.stderr[:, 1]).all()
        assert (runs.stderr[:, 1] < 0.1 * expected).all()


@pytest.mark.parametrize("arguments, message", [
    (dict(kernel=np.ones(3)), "kernel has shape"), (dict(step=0.0), "step is 0"), (dict(noise=-1.0), "noise is -1"),
    (dict(times=[2, 1]), "times must be whole"), (dict(times=[0.5]), "times must be whole"),
    (dict(inputs=np.ones((3, 1))), r"inputs have shape \(3, 1\); it must be \(n, 2\)"),
    (dict(start=np.eye(3)), "start has shape"), (dict(noise=math.inf), "noise is inf"),
])
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        second_moment.error_path(**{"kernel": np.eye(2), "step": 0.1, "noise": 1.0, "times": [1], **arguments})


def test_growth_refuses_what_does_not_fit_into_a_matrix():
    with pytest.raises(ValueError, match="dimension is 95; it must be at most 94"):
        second_moment.growth(np.eye(95), 0.1)
