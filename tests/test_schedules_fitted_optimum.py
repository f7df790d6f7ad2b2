"""The planner's mathematics: gradient of a fitted law, its best rates and batch sizes, stages of allowed sizes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import learning_rates as lr
from theorycheck.theory.fsl import loss_curve_laws as laws
from theorycheck.theory.fsl.problem import PowerLawRegression
from theorycheck.theory.fsl.recursion import exact_risk
from theorycheck.theory.schedules import discrete_batches as discrete
from theorycheck.theory.schedules import fitted_optimum as best
from theorycheck.theory.schedules.fitted_law import (
    FittedLaw,
    Rows,
    final_loss,
    final_loss_gradient,
    intrinsic_time,
)

PEAK = 1e-3
LAWS = {
    "fsl": FittedLaw("fsl", (0.5, 20.0, 0.6), (3.0, 1.0, 0.15, 0.0), PEAK, 1.0, 0.02),
    "fsl with source": FittedLaw("fsl", (0.5, 20.0, 0.6), (3.0, 1.0, 0.05, 0.1), PEAK, 1.0, 0.02),
    "mpl": FittedLaw("mpl", (0.5, 10.0, 0.6, 0.5), (3.0, 1.0, 0.15), PEAK, 1.0, 0.02),
    "blind": FittedLaw("blind", (0.5,), (3.0, 1.0), PEAK, 1.0, 0.02),
}


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]


def random_rows(seed, n=30):
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.choice(np.arange(100, 6000), n, replace=False)).astype(float)
    return Rows(steps, 100, rng.choice([1.0, 4.0], n)), PEAK * rng.uniform(0.1, 1.2, n)


@pytest.mark.parametrize("seed", range(3))
def test_the_final_loss_is_that_of_the_law(law, seed):
    rows, rates = random_rows(seed)
    seen = laws.annealing(rows.steps, rates, rows.batch_sizes, warmup=100, reference_rate=PEAK, reference_batch=1.0)
    seen = laws.Annealing(seen.times[-1:], np.maximum(seen.change_times, law.start), seen.drops, seen.levels)
    assert final_loss(law, rows, rates) == pytest.approx(
        float(laws.law(law.name)(seen, law.nonlinear, law.linear)[0]), rel=1e-13)
    assert intrinsic_time(law, rows, rates) == pytest.approx(seen.times[0], rel=1e-13)


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_the_gradient_is_that_of_finite_differences(seed):
    for law in LAWS.values():
        rows, rates = random_rows(seed, 12)
        loss, gradient = final_loss_gradient(law, rows, rates)
        assert loss == final_loss(law, rows, rates)
        step = 1e-4 * PEAK
        found = []
        for i in range(rows.size):
            at = [final_loss(law, rows, rates + np.eye(rows.size)[i] * shift * step) for shift in (-2, -1, 1, 2)]
            found.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step))
        assert np.abs(np.array(found) - gradient).max() <= 1e-6 * np.abs(gradient).max()


CASES = list(itertools.product(LAWS, ((400, 0, 0.0), (3000, 200, 0.1), (6000, 0, 0.0))))


@pytest.mark.parametrize(("name", "case"), CASES)
def test_no_usual_schedule_beats_the_optimum_and_limits_hold(name, case):
    law, (steps, warmup, floor) = LAWS[name], case
    rows = best.rows_of(steps, warmup)
    found = best.optimal_rates(law, rows, PEAK, floor * PEAK)
    assert found.rates.shape == (steps - warmup,) and found.loss == final_loss(law, rows, found.rates)
    assert found.rates.min() >= floor * PEAK * (1 - 1e-12) and found.rates.max() <= PEAK * (1 + 1e-12)
    for cooldown in (0.05, 0.15, 0.3, 0.6, 1.0):
        rival = np.maximum(lr.wsd(rows.size, PEAK, cooldown, shape="linear").rates, floor * PEAK)
        assert name == "fsl with source" or found.loss <= final_loss(law, rows, rival) + 1e-12
    for rates in best.parametric(rows, PEAK, floor * PEAK).values():
        assert floor * PEAK <= rates.min() and rates.max() <= PEAK
        assert found.loss <= final_loss(law, rows, rates) + 1e-12
    if name != "fsl with source":
        assert np.diff(found.rates).max() <= 1e-3 * PEAK   # a free descent may ripple, within its tolerance
    if name == "blind":
        assert (found.rates == PEAK).all()


def test_random_falling_schedules_do_not_beat_the_optimum():
    rng = np.random.default_rng(0)
    rows = best.rows_of(500)
    for name in ("fsl", "mpl", "blind"):
        law = LAWS[name]
        found = best.optimal_rates(law, rows, PEAK)
        for _ in range(40):
            knots = np.sort(rng.uniform(0, 1, 6))[::-1] ** rng.uniform(0.1, 2)
            rival = np.interp(np.linspace(0, 1, rows.size), np.linspace(0, 1, 6), knots) * PEAK
            assert found.loss <= final_loss(law, rows, rival) + 1e-12


def test_a_source_weight_does_not_pay_for_a_low_rate_at_the_start():
    """The law itself would: its sum over drops rewards a drop at once, before any run has seen it hold."""
    law, rows = LAWS["fsl with source"], best.rows_of(6000, 300)
    found = best.optimal_rates(law, rows, PEAK, 0.1 * PEAK)
    assert (found.rates[:2000] > 0.999 * PEAK).all() and found.rates[-1] < 0.3 * PEAK
    low = np.minimum(found.rates, PEAK * np.clip(rows.steps / 2000, 0.1, 1.0))
    assert final_loss(law, rows, low) < found.loss - 0.02


def test_water_filling_and_descent_agree_where_the_law_is_convex():
    """Two methods: a one-dimensional search in intrinsic time, and quasi-Newton on 3000 rates from a cosine."""
    law, rows = LAWS["fsl"], best.rows_of(3000)
    filled = best.water_filling(law, (rows.steps[-1] - rows.steps[0]) / 1000, 0.0, 1.0)
    start = best.parametric(rows, PEAK, 0.0)["cosine"]
    descended, _ = best._bounded_descent(law, rows, start, PEAK, 0.0, 400)
    excess = final_loss(law, rows, descended) - filled.loss
    assert 0 < excess < 2e-6   # rows against continuous time: first order in the last step
    assert final_loss(law, rows, start) - filled.loss > 3e-3


def test_water_filling_spends_the_budget_within_the_limits():
    law = LAWS["fsl"]
    for samples, least, most in ((3.0, 0.0, 1.0), (3.0, 0.2, 1.0), (0.5, 0.0, 4.0), (3.0, 1.0, 1.0)):
        filled = best.water_filling(law, samples, least, most)
        assert np.sum(filled.widths / filled.levels) == pytest.approx(samples, rel=1e-3)
        assert filled.levels.min() >= least and filled.levels.max() <= most
        assert filled.widths.sum() == pytest.approx(filled.horizon, rel=1e-12)


@pytest.mark.parametrize(("arguments", "message"), [
    ((0.0, 0.0), "peak is 0.0; it must be finite and > 0"),
    ((1.0, 2.0), r"floor is 2.0; it must be in \[0, 1\], the peak"),
    ((1.0, -1.0), "floor is -1.0; it must be in"),
])
def test_bad_limits_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        best.optimal_rates(LAWS["fsl"], best.rows_of(100), *arguments)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: best.rows_of(1), r"steps is 1; it must be a whole number in \[2, "),
    (lambda: best.rows_of(100, 99), r"warmup is 99; it must be a whole number in \[0, 98\]"),
    (lambda: FittedLaw("fsl", (1.0,), (1.0,)), r"the fsl law has 3: s, c4, c5"),
    (lambda: FittedLaw("blind", (0.5,), (3.0, -1.0)), "c1 is -1.0; it must be finite and >= 0"),
    (lambda: FittedLaw("blind", (0.5,), (3.0, 1.0), rate=0), "rate is 0.0; it must be finite and > 0"),
    (lambda: final_loss(LAWS["fsl"], best.rows_of(10), np.zeros(10)), "not all 0"),
    (lambda: final_loss(LAWS["fsl"], best.rows_of(10), np.ones(9)), r"shape \(9,\); they must have \(10,\)"),
])
def test_bad_problems_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------- stages of allowed batch sizes

def toy_law(longest=64):
    return discrete.NoiseLaw(lambda steps: 2.0 * (1 + steps) ** -0.8,
                             lambda steps: (1.0 + 0.5 * np.arange(steps)[::-1]) ** -1.3 * 0.3)


@pytest.mark.parametrize("switches", [0, 1, 2])
@pytest.mark.parametrize("data", [24, 37, 48])
def test_stages_are_nearly_the_best_of_all_by_brute_force(switches, data):
    law, sizes, least = toy_law(), (1, 2, 4), np.inf
    for length in range(1, switches + 2):
        for chosen in itertools.permutations(sizes, length):
            for counts in itertools.product(*(range(1, data // size + 1) for size in chosen[1:])):
                rest = data - sum(s * c for s, c in zip(chosen[1:], counts))
                if rest >= chosen[0] and rest % chosen[0] == 0:
                    least = min(least, law.loss(np.repeat(np.array(chosen, float), (rest // chosen[0], *counts))))
    found = discrete.staged_batches(law, data, sizes, switches)
    assert found.samples + found.unused == data and len(found.sizes) <= switches + 1
    assert found.loss == pytest.approx(law.loss(found.batches()), rel=1e-14)
    assert found.unused or least * (1 - 1e-12) <= found.loss <= 1.02 * least


@given(st.sets(st.integers(1, 40), min_size=1, max_size=5), st.integers(40, 3000), st.integers(0, 3))
@settings(max_examples=15)
def test_stages_respect_sizes_switches_and_the_budget(allowed, data, switches):
    found = discrete.staged_batches(toy_law(), data, sorted(allowed), switches)
    assert set(found.sizes) <= allowed and len(found.sizes) <= switches + 1
    assert found.samples + found.unused == data and 0 <= found.unused < max(allowed)
    assert all(count >= 1 for count in found.counts)


def test_more_switches_come_closer_to_the_free_optimum():
    problem, data, rate = PowerLawRegression(0.3, 3.0, noise=1.0), 8000, 0.2
    law = discrete.spectral_noise_law(problem, rate, data)
    risks = []
    for switches in (0, 1, 3):
        stages = discrete.staged_batches(law, data, (1, 2, 4, 8, 16, 32), switches)
        steps = sum(stages.counts)
        assert stages.unused == 0
        risks.append(exact_risk(problem, lr.constant(steps, rate), stages.batches(), times=[steps]).final)
        assert stages.loss == pytest.approx(risks[-1], rel=0.07)
    assert risks[1] < 0.8 * risks[0] and risks[2] < 0.98 * risks[1]


def test_stages_by_a_fitted_law_have_its_loss():
    law = LAWS["fsl"]
    rows = best.rows_of(2000, 0, np.repeat([1.0, 4.0], [1500, 500]))
    staged = discrete.fitted_noise_law(law, PEAK)
    assert staged.loss(rows.batch_sizes) == pytest.approx(final_loss(law, rows, np.full(2000, PEAK)), rel=1e-3)


@pytest.mark.parametrize(("arguments", "message"), [
    ((3, (4, 8)), "data is 3; it must be at least 4, the smallest allowed batch size"),
    ((100, ()), "0 batch sizes are allowed; there must be 1 to 64"),
    ((100, (1.5,)), "allowed batch size is 1.5; it must be a whole number >= 1"),
    ((100, (1,), -1), "switches is -1; it must be a whole number >= 0"),
    ((10**8, (1,)), "in batches of 1 it must be at most 5000000 .or the smallest allowed size at least 20"),
])
def test_infeasible_stages_are_refused_with_the_bound(arguments, message):
    with pytest.raises(ValueError, match=message):
        discrete.staged_batches(toy_law(), *arguments)
