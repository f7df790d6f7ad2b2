"""Runs near the boundary of what their names promise: collapses are calm, drawn training sets are looked at."""

import math

import numpy as np
import pytest

from theorycheck.checks import experiment as sweeps
from theorycheck.sims import label_noise as sgd
from theorycheck.sims import streams
from theorycheck.sims.label_noise.sharpness_aware import collapse_radius_on_data
from theorycheck.theory import label_noise as theory
from theorycheck.theory.label_noise.batch_stability import critical_batch_step
from theorycheck.theory.label_noise.collapse import collapse_radius

SEED = 1


def drawn(model, replica):
    """The training set of a replica, as the documentation promises it."""
    key = streams.key(SEED, "label_noise.sgd")
    return streams.normals(key, replica, np.arange(model.samples), model.dimension, purpose=1).astype(np.float64)


# -- nearly singular K -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d, n, replica, factor, steps", [(20, 3, 1, 0.5, 45_000), (3, math.inf, 0, 1.3, 60_000)])
def test_sharpness_aware_stays_with_the_weights_where_k_is_nearly_singular(d, n, replica, factor, steps):
    """Stepping K itself diverges at step 36,758 of the first case and within 50,000 of the second."""
    rho = factor * collapse_radius(d, 1.0)
    model = theory.TwoLayerLinear(d, 10 * d, 1e-3, 0.0, 1.0, samples=n)
    times = [300, 3000, steps]
    seen = sgd.SharpnessAware(model, steps, rho, times, collapse=True).sample(SEED, replica, 1)[0]
    key, many = streams.key(SEED, "label_noise.sgd"), np.arange(steps)
    z = streams.normals(key, replica, np.arange(model.width), d + 1, purpose=2).astype(np.float64)
    first, second = z[:, :d] / math.sqrt(d), z[:, d] / math.sqrt(model.width)
    if n == math.inf:
        inputs = streams.normals(key, replica, many, d, purpose=1).astype(np.float64)
    else:
        picked = streams.words(key, replica, many, 2)[:, 0].astype(np.uint64) * np.uint64(n) >> np.uint64(32)
        inputs = drawn(model, replica)[picked.astype(int)]
    for k, x in enumerate(inputs, 1):
        hidden, square = first @ x, x @ x
        gap = second @ hidden - x[0]
        shift = rho * np.sign(gap) / math.sqrt(second @ second * square + hidden @ hidden)
        across, along = second + shift * hidden, hidden + shift * square * second
        b = -model.effective_step * (across @ along - x[0])
        first, second = first + np.outer(b * across, x), second + b * along
        if k in times:
            norms = seen[times.index(k), [2, 3]]
            # at rest at the end, where rounding decides signs of residuals and with them the last digits
            np.testing.assert_allclose(norms, [second @ second, np.sum(first**2)], rtol=0.02 if k == steps else 1e-7,
                                       atol=1e-5 if k == steps else 0.0)


def test_states_have_no_negative_eigenvalue_at_a_collapse():
    model = theory.TwoLayerLinear(3, 30, 1e-3, 0.0, 1.0)
    for replica in range(3):
        experiment = sgd.SharpnessAware(model, 60_000, 1.3 * collapse_radius(3, 1.0), [30_000, 60_000], collapse=True)
        seen = experiment.sample(SEED, replica, 1)[0]
        assert np.all(seen[:, [2, 3, 5, 6]] >= 0) and np.all(seen[1, [2, 3]] < 1e-2)


# -- drawn training sets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("replica", range(3))
@pytest.mark.parametrize("factor", [0.999, 1.001])
@pytest.mark.parametrize("size", [1, 3])
def test_a_step_is_held_against_the_training_set_of_every_replica(size, factor, replica):
    """Just below the bound of its own set a replica runs, just above it is refused, with the bound."""
    model = theory.TwoLayerLinear(4, 10, 1e-3, 0.1, 1.0, samples=3)
    inputs, begin = drawn(model, replica), model.kernel_scale * np.eye(4)
    flattest = theory.flattest_kernel(model.target, inputs.T @ inputs / model.samples)
    bound = min(critical_batch_step(kernel, size, inputs) for kernel in (begin, flattest))
    allowed = min(critical_batch_step(kernel, size) for kernel in (begin, theory.flattest_kernel(model.target)))
    if factor * bound > allowed:
        with pytest.raises(ValueError, match="^step is"):
            sgd.BatchDescent(theory.TwoLayerLinear(4, 10, factor * bound, 0.1, 1.0, samples=3), 5, size)
        return
    model = theory.TwoLayerLinear(4, 10, factor * bound, 0.1, 1.0, samples=3)
    batches = sgd.BatchDescent(model, 5, size)
    runs = [lambda: batches.sample(SEED, replica, 1)]
    if size == 1:
        plain, direct = sgd.Descent(model, 5), sgd.Descent(model, 5, method="direct")
        runs += [lambda: plain.sample(SEED, replica, 1), lambda: direct.sample(SEED, replica, 1),
                 lambda: plain.check_training_sets(SEED, replica, 1), lambda: sgd.neurons(plain, SEED, replica)]
    for run in runs:
        if factor < 1:
            run()
        else:
            with pytest.raises(ValueError, match=rf"drawn for replica {replica} step .*\(0, {bound:.6g}\)"):
                run()
    sgd.BatchDescent(model, 5, size, catapult=True).sample(SEED, replica, 1)
    sgd.Descent(model, 5, catapult=True).check_training_sets(SEED, replica, 1)


def test_only_the_replicas_asked_for_are_looked_at():
    model = theory.TwoLayerLinear(20, 100, 1e-3, 0.1, 1.0, samples=3)
    bounds = [critical_batch_step(model.kernel_scale * np.eye(20), 1, drawn(model, replica)) for replica in range(16)]
    calm = int(np.argmax(bounds))
    near = theory.TwoLayerLinear(20, 100, 0.95 * min(1.0, bounds[calm] / theory.critical_step(
        model.kernel_scale * np.eye(20))) * theory.critical_step(model.kernel_scale * np.eye(20)), 0.1, 1.0, samples=3)
    assert min(bounds) < near.step
    sgd.Descent(near, 5).sample(SEED, calm, 1)
    with pytest.raises(ValueError, match="drawn for replica"):
        sgd.Descent(near, 5).sample(SEED, 0, 16)


@pytest.mark.parametrize("n", [5, 20])
def test_the_oscillating_layer_is_held_against_drawn_sets_too(n):
    """At 0.9 of the bound of Sigma = I these runs diverge."""
    model = theory.TwoLayerLinear(20, 10, 0.1, 0.0, 1.0, samples=n)
    amplitude = math.sqrt(0.9 * 2.0 / (10 * 0.1))
    inputs = drawn(model, 2)
    sharpest = np.linalg.eigvalsh(inputs.T @ inputs / n)[-1]
    with pytest.raises(ValueError, match=rf"replica 2 step is 0.1; .*\(0, {2 / (amplitude**2 * 10 * sharpest):.6g}\)"):
        sgd.Oscillation(model, 10, amplitude).sample(SEED, 2, 1)
    sgd.Oscillation(model, 10, amplitude * 0.99 / math.sqrt(0.9 * sharpest)).sample(SEED, 2, 1)


# -- radii on training sets --------------------------------------------------------------------------------------


def test_the_radius_on_data_is_that_of_gaussian_inputs_on_many_and_scales_with_the_target():
    inputs = np.random.default_rng(0).normal(size=(400_000, 5))
    assert collapse_radius_on_data(inputs, 2.0) == pytest.approx(collapse_radius(5, 2.0), rel=0.01)
    assert collapse_radius_on_data(inputs[:9], 4.0) == pytest.approx(2 * collapse_radius_on_data(inputs[:9], 1.0))
    assert collapse_radius_on_data(np.zeros((2, 3)), 1.0) == collapse_radius_on_data(inputs, 0.0) == math.inf


@pytest.mark.parametrize("n", [3, 10, 20])
def test_what_is_accepted_on_few_inputs_does_not_collapse(n):
    """``tr H`` stays above half its least value among interpolators at the largest radius accepted, at 1.3 it falls."""
    model = theory.TwoLayerLinear(20, 60, 1e-3, 0.0, 1.0, samples=n)
    for replica in range(3):
        inputs = drawn(model, replica)
        covariance = inputs.T @ inputs / n
        half = math.sqrt(np.trace(covariance) * covariance[0, 0])
        own = collapse_radius_on_data(inputs, 1.0)
        if 0.699 * own < collapse_radius(20, 1.0):
            steps = int(30 / (2e-3 * (0.7 * own) ** 2))
            seen = sgd.SharpnessAware(model, steps, 0.699 * own, [steps]).sample(SEED, replica, 1)
            assert seen[0, 0, 6] > half
        if 1.3 * own < 2 * collapse_radius(20, 1.0):
            fallen = sgd.SharpnessAware(model, 30_000, 1.3 * own, [30_000], collapse=True).sample(SEED, replica, 1)
            assert fallen[0, 0, 6] < half
        if 0.701 * own < collapse_radius(20, 1.0):
            with pytest.raises(ValueError, match=rf"drawn for replica {replica} radius .* below {0.7 * own:.6g}, unle"):
                sgd.SharpnessAware(model, 10, 0.701 * own).sample(SEED, replica, 1)
        with pytest.raises(ValueError, match=rf"^radius is .* below {0.7 * own:.6g}, unless"):
            sgd.SharpnessAware(model, 10, 0.701 * own, inputs=inputs)


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, message", [
    (lambda: sgd.neurons(sgd.Descent(theory.TwoLayerLinear(2, 3, 1e-3, 0.1, 1.0), 5), 0, 1.5), "replica is 1.5; it"),
    (lambda: sgd.draws(sgd.Descent(theory.TwoLayerLinear(2, 3, 1e-3, 0.1, 1.0), 5), 0, -1), "replica is -1; it must"),
    (lambda: sgd.Descent(theory.TwoLayerLinear(2, 3, 1e-3, 0.1, 1.0), 5, True), "times are True"),
    (lambda: sweeps.find("label_noise.descent").prepare(dimension=2, width=3, step=1e-3, noise=0.1, target_norm=1.0,
                                                        steps="a", times=5), "steps is 'a'; it must be an integer"),
    (lambda: sweeps.find("label_noise.sharpness_aware").prepare(dimension=2, width=3, step=1e-3, target_norm=1.0,
                                                                radius=0.1, steps=9, times=True), "times are True"),
])
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message):
        make()
