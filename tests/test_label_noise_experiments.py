"""Label noise as the paper runs it: the erf network of Fig. 3 and its linearisation, the claims, the notebook."""

import dataclasses
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from theorycheck.checks.claim import REGISTRY, Effort, Verdict, judge
from theorycheck.checks.label_noise import escape as escapes
from theorycheck.checks.label_noise import experiments, last_state, lazy_rich
from theorycheck.sims import label_noise as sgd
from theorycheck.sims import streams
from theorycheck.sims.label_noise.lazy_rich import EXPERIMENT, LazyRich, simulate_lazy_rich, targets
from theorycheck.theory import label_noise as theory
from theorycheck.theory.label_noise import linearised

SMALL = LazyRich(40, 0.5, width=11, samples=6, dimension=7, classes=3, rate=0.05, times=[0, 1, 7, 40])


# -- the linearised network in closed form -------------------------------------------------------------------------


def moments_by_recursion(kernel, start, labels, rate, probability, steps, centred):
    """Mean and covariance of the outputs moved one step after the other, with the labels' laws written out."""
    count, classes = start.shape
    mean_label, spread = np.zeros((count, classes)), np.zeros((start.size, start.size))
    for n, label in enumerate(labels):
        law = [probability / classes + (1 - probability) * (c == label) for c in range(classes)]
        mean_label[n] = law
        for c in range(classes):
            for k in range(classes):
                spread[n * classes + c, n * classes + k] = law[c] * (c == k) - law[c] * law[k]
    clean = np.eye(classes)[labels]
    goal = (clean if centred else mean_label).ravel()
    a = rate * kernel / start.size
    mean, cov, losses = start.ravel().copy(), np.zeros_like(spread), []
    for _ in range(steps + 1):
        losses.append((np.sum((mean - clean.ravel()) ** 2) + np.trace(cov)) / (2 * start.size))
        mean = mean - a @ (mean - goal)
        cov = (np.eye(start.size) - a) @ cov @ (np.eye(start.size) - a) + a @ spread @ a
    return losses


@given(seed=st.integers(0, 2**32 - 1), probability=st.floats(0, 1), rate=st.floats(0.01, 1.9), centred=st.booleans())
def test_expected_loss_is_that_of_the_moments_step_by_step(seed, probability, rate, centred):
    rng = np.random.default_rng(seed)
    count, classes = 3, 4
    features = rng.normal(size=(count * classes, 9))    # of rank 9 < 12: some directions are never learned
    kernel = features @ features.T
    kernel *= count * classes / np.linalg.norm(kernel, 2)
    start, labels = rng.normal(size=(count, classes)), rng.integers(0, classes, count)
    steps = np.array([0, 1, 2, 5, 30])
    expected = moments_by_recursion(kernel, start, labels, rate, probability, 30, centred)
    found = linearised.expected_loss(kernel, start, labels, rate, probability, steps, not centred)
    np.testing.assert_allclose(found, np.array(expected)[steps], rtol=1e-9, atol=1e-13)


@given(classes=st.integers(2, 20), probability=st.floats(0, 1))
def test_floor_is_the_clean_loss_of_the_smoothed_labels(classes, probability):
    labels = np.arange(classes)
    gap = linearised.smoothed(labels, classes, probability) - np.eye(classes)
    assert linearised.floor(classes, probability) == pytest.approx(0.5 * np.mean(gap**2), rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("call, message", [
    (lambda: linearised.smoothed([0, 3], 3, 0.5), "0..2"),
    (lambda: linearised.smoothed([0, 1], 3, 1.5), r"probability is 1.5; it must be in \[0, 1\]"),
    (lambda: linearised.floor(1, 0.5), "classes is 1"),
    (lambda: linearised.floor(math.inf, 0.5), "classes is inf"),
    (lambda: linearised.floor(math.nan, 0.5), "classes is nan"),
    (lambda: linearised.expected_loss(np.full((4, 4), np.nan), np.zeros((2, 2)), [0, 1], 1.0, 0.5, [1]), "not finite"),
    (lambda: linearised.expected_loss(np.eye(3), np.zeros((2, 2)), [0, 1], 1.0, 0.5, [1]), "must have shapes"),
    (lambda: linearised.expected_loss(np.eye(4), np.zeros((2, 2)), [0, 1], 9.0, 0.5, [1]), r"it must be in \(0, 8\)"),
    (lambda: linearised.expected_loss(-np.eye(4), np.zeros((2, 2)), [0, 1], 1.0, 0.5, [1]), "eigenvalue -1"),
    (lambda: linearised.expected_loss(np.eye(4), np.zeros((2, 2)), [0, 1, 1], 1.0, 0.5, [1]), "one to a row"),
    (lambda: linearised.expected_loss(np.eye(4), np.zeros((2, 2)), [0, 1], 1.0, 0.5, [-1]), ">= 0"),
])
def test_bad_arguments_of_the_closed_form_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- the erf network -----------------------------------------------------------------------------------------------


def weights(run, seed):
    """Inputs and parameters of the start, drawn as the module says."""
    key = streams.key(seed, EXPERIMENT)
    inputs = streams.normals(key, 0, np.arange(run.samples), run.dimension, purpose=0).astype(float)
    first = streams.normals(key, 0, np.arange(run.width), run.dimension + 1, purpose=1).astype(float)
    second = streams.normals(key, 0, 0, (run.width + 1) * run.classes, purpose=2).astype(float)
    second = second.reshape(run.width + 1, run.classes)
    scale = run.second_scale / math.sqrt(run.width)
    return inputs, [first[:, :-1] / math.sqrt(run.dimension), first[:, -1], scale * second[:-1], second[-1]]


def outputs(inputs, parameters):
    first, bias, second, last = parameters
    return erf(inputs @ first.T + bias) @ second + last


def jacobian(inputs, parameters):
    """Derivatives of the outputs with respect to all parameters, by central differences."""
    flat = np.concatenate([part.ravel() for part in parameters])
    columns = []
    for place in range(flat.size):
        sides = []
        for sign in (1e-5, -1e-5):
            moved = flat.copy()
            moved[place] += sign
            sides.append(outputs(inputs, shaped(moved, parameters)).ravel())
        columns.append((sides[0] - sides[1]) / 2e-5)
    return np.array(columns).T


def shaped(flat, parameters):
    ends = np.cumsum([part.size for part in parameters])
    return [piece.reshape(part.shape) for piece, part in zip(np.split(flat, ends[:-1]), parameters)]


def plain(run, seed, replica):
    """Gradient descent on every weight, with derivatives by differences."""
    inputs, parameters = weights(run, seed)
    clean, size = np.eye(run.classes)[run.labels], run.samples * run.classes
    start, frozen, flat = parameters[0], jacobian(inputs, parameters), None
    begin = np.concatenate([part.ravel() for part in parameters])
    flat, seen = begin.copy(), []
    labels = list(targets(run, seed, replica))
    for step in range(run.steps + 1):
        now = shaped(flat, parameters)
        slope = frozen if run.linearised else jacobian(inputs, now)
        f = ((outputs(inputs, parameters).ravel() + frozen @ (flat - begin)).reshape(clean.shape) if run.linearised
             else outputs(inputs, now))
        if step in run.times:
            change = np.linalg.norm(slope @ slope.T - frozen @ frozen.T) / np.linalg.norm(frozen @ frozen.T)
            seen.append([np.sum((f - clean) ** 2) / (2 * size), change,
                         np.linalg.norm(now[0] - start, axis=1).max(), np.linalg.norm(now[0], axis=1).mean()])
        if step < run.steps:
            flat = flat - run.rate / size * slope.T @ (f - labels[step]).ravel()
    return np.array(seen)


@pytest.mark.parametrize("change", [{}, {"linearised": True}, {"second_scale": 0.2, "centred": True},
                                    {"probability": 0.0}], ids=str)
def test_runs_in_sample_space_are_descent_on_every_weight(change):
    run = dataclasses.replace(SMALL, **change)
    np.testing.assert_allclose(run.sample(3, 5, 1)[0], plain(run, 3, 5), rtol=1e-5, atol=2e-8)


def test_tangent_kernel_is_that_of_the_derivatives():
    inputs, parameters = weights(SMALL, 3)
    slope = jacobian(inputs, parameters)
    np.testing.assert_allclose(SMALL.start(3).tangent_kernel, slope @ slope.T, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(SMALL.start(3).outputs, outputs(inputs, parameters), rtol=1e-12)


def test_labels_have_the_law_they_are_said_to_have():
    run = dataclasses.replace(SMALL, steps=4000, times=[4000])
    drawn = np.array(list(targets(run, 1, 2)))
    mean = linearised.smoothed(run.labels, run.classes, run.probability)
    error = np.sqrt(mean * (1 - mean) / len(drawn))
    assert np.abs((drawn.mean(axis=0) - mean) / error).max() < 5
    assert set(np.unique(drawn)) == {0.0, 1.0} and (drawn.sum(axis=2) == 1).all()
    centred = np.array(list(targets(dataclasses.replace(run, centred=True), 1, 2)))
    np.testing.assert_allclose(centred - drawn, np.broadcast_to(np.eye(3)[run.labels] - mean, drawn.shape), atol=1e-15)
    clean = next(targets(dataclasses.replace(run, probability=0.0), 1, 2))
    assert (clean == np.eye(3)[run.labels]).all()
    assert (next(targets(run, 1, 3)) != drawn[0]).any()


def test_replicas_do_not_depend_on_their_chunk_and_parameters_identify_the_run():
    options = {"width": 11, "samples": 6, "dimension": 7, "classes": 3, "rate": 0.05, "times": [7, 40]}
    one, two = (simulate_lazy_rich(40, 0.5, replicas=6, seed=3, chunk=chunk, **options) for chunk in (1, 4))
    assert one == two and (one.variance[:, 0] > 0).all()
    assert list(one.coordinates["observable"]) == ["loss", "kernel_change", "displacement", "norm"]
    assert SMALL.parameters() != dataclasses.replace(SMALL, centred=True).parameters()


@pytest.mark.parametrize("change, message", [
    ({"steps": 0}, "steps is 0"),
    ({"probability": -0.1}, "probability is -0.1"),
    ({"width": 0}, "width is 0"),
    ({"samples": 1}, "samples is 1; it must be an integer in 2..256"),
    ({"classes": 1}, "classes is 1"),
    ({"rate": 0.0}, "rate is 0.0"),
    ({"second_scale": -1.0}, "second_scale is -1.0"),
    ({"linearised": 1}, "linearised is 1"),
    ({"times": [50]}, "within 0..40"),
])
def test_bad_experiments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_a_rate_beyond_stability_is_refused_with_the_bound():
    with pytest.raises(ValueError, match=r"rate is 1000; stability at the start needs it in \(0, \d"):
        dataclasses.replace(SMALL, rate=1e3).sample(0, 0, 1)


# -- what the claims rest on ---------------------------------------------------------------------------------------


def test_one_neuron_stands_for_all_parallel_ones():
    """K of rank one stays of rank one: eight parallel neurons move as one does."""
    single = last_state.model(4, 20.0, 1e-4)
    first, second = last_state.flattest_start(single)
    many = dataclasses.replace(single, width=8)
    signs = np.where(np.arange(8) % 2, 1.0, -1.0)[:, None] / math.sqrt(8)
    runs = [sgd.simulate(model, 3000, replicas=3, seed=4, start=start, method="direct").mean
            for model, start in ((single, (first, second)), (many, (signs * first, signs[:, 0] * second)))]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-8, atol=1e-20)


def test_rank_one_is_not_stable_where_one_neuron_is_still_aligned():
    """d = 20, Theta = 9: one neuron keeps three quarters along theta*; with faint neurons beside it less is left."""
    single = last_state.model(20, 9.0, 4e-4)
    first, second = last_state.flattest_start(single)
    many = dataclasses.replace(single, width=40)
    drawn = np.random.default_rng(5).normal(size=(40, 21)) * 0.01 * np.sqrt(second[0] ** 2 / 20)
    wide = drawn[:, :-1], drawn[:, -1]
    wide[0][0], wide[1][0] = first[0], second[0]
    times = np.linspace(20.0, 40.0, 81) / single.drift
    shares = [np.divide(*sgd.simulate(model, int(times[-1]), replicas=4, seed=4, times=np.unique(times.astype(int)),
                                      start=start, method="direct").mean[:, [last_state.ALIGNED,
                                                                              last_state.NORM]].mean(axis=0))
              for model, start in ((single, (first, second)), (many, wide))]
    assert shares[0] > 0.7 and shares[1] < 0.62


def test_the_flattest_start_is_flattest():
    model = last_state.model(6, 15.0, 1e-4)
    state = theory.gram(*last_state.flattest_start(model))
    np.testing.assert_allclose(state[:-1, -1], model.target, atol=1e-15)
    np.testing.assert_allclose(theory.kernel(state), theory.flattest_kernel(model.target), rtol=1e-12)


def test_escape_is_when_the_last_neuron_crosses():
    model = theory.TwoLayerLinear(escapes.DIMENSION, 250, 1e-3, 8.0, escapes.TARGET)
    found = escapes.measured(Effort(), model)[0]
    steps = np.array([math.floor(0.9 * found), math.ceil(1.1 * found)])
    run = sgd.Descent(model, int(steps[-1]), steps, start=escapes.start_of(250))
    first, _ = sgd.neurons(run, escapes.SEED, 0)
    least = np.linalg.norm(first - escapes.start_of(250)[0], axis=2).min(axis=1)
    assert least[0] < model.lazy_radius < least[1]


def test_all_experiments_of_the_claims_are_mean_square_stable():
    inputs, start = experiments.data()
    for target in experiments.TARGETS:
        critical = theory.critical_step(theory.kernel(theory.gram(*start)), inputs)
        assert experiments.readme(target).effective_step < critical


@pytest.mark.parametrize("name", ["last_state", "two_phases", "alignment_needs_noise"])
def test_claims_hold_and_their_controls_are_rejected(name):
    outcome = judge(REGISTRY[f"label_noise.{name}"], Effort())
    assert outcome.verdict == Verdict.HOLDS, outcome


def test_a_network_that_is_not_lazy_is_told_apart():
    """By its kernel; Definition 1, a displacement of at most 1/sqrt(m), does not see it."""
    share, moved, changed = lazy_rich.shares(Effort(), 16)
    assert share.min() > 1.0 and changed > 0.5 and moved < 1.0


# -- the notebook --------------------------------------------------------------------------------------------------


class Fixed:
    """Stands for a control that has been moved."""

    def __init__(self, value):
        self.value = value


def notebook(**changes):
    pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")
    path = Path(__file__).parent.parent / "demos" / "label_noise.py"
    spec = importlib.util.spec_from_file_location("demo_label_noise", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = {"noise": 6.0, "target": 4.0, "step": 0.002, "width": 200} | changes
    return module.app.run(defs={name: Fixed(value) for name, value in settings.items()})[1]


def test_the_notebook_moves_norms_and_alignment_only_while_the_noise_is_on():
    names = notebook()
    norms, cosines = (names["run"][name].mean(axis=1) for name in ("norms", "cosines"))
    on, off, again = norms[:21], norms[22:41], norms[41:]
    assert names["message"] == "" and names["levels"].size == 30_000
    assert on[-1] < 0.6 * on[0] and again[-1] < 0.8 * again[0]
    assert np.ptp(off) < 1e-3 * np.ptp(on) and np.ptp(cosines[22:41]) < 1e-3
    assert cosines[-1] > 1.3 * cosines[40] > 1.3 * cosines[0]
    assert 0 < names["worst"] < 0.1


def test_the_notebook_says_when_a_step_is_refused_and_bears_no_target():
    names = notebook(step=0.006, width=400)
    assert names["run"] is None and "mean-square stability" in names["message"]
    names = notebook(target=0.0)
    assert names["run"] is not None and names["ratio"] == 0.0
