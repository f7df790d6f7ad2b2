"""The best pair of learning rates and batch sizes, and stages of fewest steps: bounds no answer may cross."""

import math

import numpy as np
import pytest

from theorycheck.theory import learning_rates as lr
from theorycheck.theory.fsl.compression import compress
from theorycheck.theory.fsl.problem import PowerLawRegression
from theorycheck.theory.fsl.recursion import critical_rate, exact_risk
from theorycheck.theory.schedules import discrete_batches as discrete
from theorycheck.theory.schedules import pair
from theorycheck.theory.schedules.optimal_control import optimal_rates

EASY, HARD = PowerLawRegression(1.0, 2.0, noise=1.0), PowerLawRegression(0.3, 3.0, noise=1.0)


def planned(problem, data, smallest, largest, allowed=None, switches=None, **limits):
    made = pair.Limits(compress(problem, 1e6), smallest, largest, allowed, **limits)
    return pair.Planner(problem, data, made, switches)


def risk(problem, found):
    return exact_risk(problem, lr.Schedule(found.rates), found.batch_sizes, times=[found.steps]).final


@pytest.mark.parametrize("batch", [2, 8, 32])
def test_rates_and_sizes_are_never_worse_than_the_best_rates_at_the_largest_size(batch):
    found = planned(EASY, 4096, 1, batch).best()
    bound = 0.5 * critical_rate(compress(EASY, 1e6), batch)
    assert found.loss <= optimal_rates(EASY, 4096 // batch, batch, bound).loss * (1 + 1e-6)
    assert found.loss == pytest.approx(risk(EASY, found), rel=1e-9)
    assert found.batch_sizes.sum() <= 4096 and found.batch_sizes.max() <= batch


def test_every_rate_is_below_the_share_of_stability_of_its_own_batch_size():
    found = planned(EASY, 8192, 1, 8192).fewest(0.004)
    bounds = [0.5 * critical_rate(compress(EASY, 1e6), int(size)) for size in found.batch_sizes]
    assert np.all(found.rates <= np.array(bounds) * (1 + 5e-3))   # interpolated between 120 sizes
    assert found.rates.max() > 0.5 * critical_rate(compress(EASY, 1e6), 1) * 1.5
    assert planned(EASY, 8192, 1, 8192, peak=0.2).fewest(0.004).rates.max() <= 0.2


def test_more_data_never_need_more_steps():
    steps = [planned(HARD, data, 1, data).fewest(0.2).steps for data in (20_000, 60_000, 200_000)]
    assert all(np.diff(steps) <= 0) and steps[0] <= 33


def constant_steps(problem, data, size, target):
    """Fewest steps of one size at half the rate of stability."""
    count = data // size
    rate = 0.5 * critical_rate(compress(problem, 1e6), size)
    risks = exact_risk(problem, lr.constant(count, rate), size, times=np.arange(1, count + 1)).excess_risk
    below = np.flatnonzero(risks <= target)
    return math.inf if below.size == 0 else int(below[0]) + 1


@pytest.mark.parametrize("switches", [None, 1])
def test_never_more_steps_than_one_allowed_size_throughout(switches):
    task, allowed = PowerLawRegression(0.5, 3.0, noise=1.0), [8, 16, 32, 64, 128]
    for data, target in ((100_000, 0.05), (4000, 0.02)):
        found = planned(task, data, 1, data, allowed, switches).fewest(target)
        assert found.steps <= min(constant_steps(task, data, size, target) for size in allowed)
        assert risk(task, found) <= target * (1 + 1e-9) and found.batch_sizes.sum() <= data
        assert set(found.batch_sizes) <= set(allowed)
        assert switches is None or np.count_nonzero(np.diff(found.batch_sizes)) <= switches


def test_one_size_throughout_is_as_large_as_the_budget_allows():
    found = planned(EASY, 2000, 1, 2000, switches=0).of_steps(100)
    assert found.steps == 100 and np.all(found.batch_sizes == found.batch_sizes[0])
    bound = 0.5 * critical_rate(compress(EASY, 1e6), 20)
    assert found.loss <= optimal_rates(EASY, 100, 20, bound).loss * (1 + 1e-3)


def test_a_switch_saves_steps_and_more_switches_save_more():
    steps = [planned(EASY, 8192, 1, 512, switches=switches).fewest(0.003).steps for switches in (0, 1, None)]
    assert steps[0] > steps[1] >= 0.99 * steps[2] and steps[1] < 1.15 * steps[2]


def test_few_steps_by_brute_force():
    """Twelve steps: no random pair within the limits that keeps the budget is better than 1 per cent."""
    planner = planned(EASY, 600, 1, 128)
    found = planner.of_steps(12)
    draw, best = np.random.default_rng(0), math.inf
    assert found.steps == 12 and found.batch_sizes.sum() <= 600
    for _ in range(300):
        sizes = np.sort(draw.dirichlet(np.full(12, draw.uniform(0.5, 4.0))))
        sizes = np.clip(np.floor(sizes * 600), 1, 128)
        best = min(best, optimal_rates(EASY, 12, sizes, planner.limits.cap(sizes), tolerance=1e-6).loss)
    assert found.loss <= 1.01 * best


def test_a_target_out_of_reach_is_refused_with_the_least_risk():
    with pytest.raises(ValueError, match=r"target is 1e-05; 500 samples reach 0\.0"):
        planned(EASY, 500, 1, 500).fewest(1e-5)


def test_caps_of_single_steps_are_kept_and_checked():
    caps = np.where(np.arange(600) < 300, 0.3, 0.05)
    found = optimal_rates(HARD, 600, 4, caps)
    assert np.all(found.rates <= caps) and found.rates[:300].max() > 0.05
    assert optimal_rates(HARD, 600, 4, 0.05).loss > found.loss > optimal_rates(HARD, 600, 4, 0.3).loss
    for bad in (caps[1:], -caps):
        with pytest.raises(ValueError, match="one for each of 600 steps"):
            optimal_rates(HARD, 600, 4, bad)


@pytest.mark.parametrize("allowed", [(8, 16, 32, 64, 128), tuple(2**k for k in range(13))])
def test_fewest_steps_of_stages_fall_with_the_budget_and_beat_single_sizes(allowed):
    law = discrete.spectral_noise_law(PowerLawRegression(0.5, 3.0, noise=1.0), 0.2, 40_000)
    steps = []
    for data in (5000, 10_000, 20_000, 40_000):
        found = discrete.staged_batches(law, data, allowed, target=0.05)
        steps.append(sum(found.counts))
        assert found.loss <= 0.05 and found.samples <= data
        single = [next((k for k in range(1, data // size + 1) if law.loss(np.full(k, float(size))) <= 0.05), math.inf)
                  for size in allowed if data // size < 1500]
        assert steps[-1] <= 1.01 * min(single) + 1
    assert all(np.diff(steps) <= 0)
