"""Sampling until it is enough: what is sampled, when it stops, and what the looking costs the verdict."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from theorycheck.checks import judges, sequential
from theorycheck.sims import adaptive, engine, streams
from theorycheck.sims import fsl as sgd
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr


@dataclass(frozen=True)
class Draws:
    """Three coordinates of mean 1, 2, 3 and standard deviation 1, 1, 2; exponential ones if `skewed`."""

    skewed: bool = False
    calls: list = field(default_factory=list, compare=False)
    shape = (3,)
    name = "draws"
    mean = np.array([1.0, 2.0, 3.0])

    def parameters(self):
        return {"skewed": self.skewed}

    def sample(self, seed, first, count):
        self.calls.append((first, first + count))
        key, replicas = streams.key(seed, self.name), np.arange(first, first + count)
        if self.skewed:
            z = -np.log(streams.uniforms(key, replicas, 0, 3, dtype=np.float64)) - 1.0
        else:
            z = streams.normals(key, replicas, 0, 3).astype(np.float64)
        return self.mean + np.array([1.0, 1.0, 2.0]) * z


# -- what is sampled ---------------------------------------------------------------------------------------------


@given(first=st.integers(2, 5000), budget=st.integers(2, 10**6), growth=st.integers(2, 5))
def test_the_schedule_grows_and_ends_at_the_budget(first, budget, growth):
    if budget < first:
        with pytest.raises(ValueError, match="budget is"):
            adaptive.schedule(first, budget, growth)
        return
    sizes = adaptive.schedule(first, budget, growth)
    assert sizes[0] == min(first, budget) and sizes[-1] == budget
    assert all(b == growth * a for a, b in zip(sizes, sizes[1:-1]))
    assert sizes[-1] <= growth * max(sizes[:-1] or [budget])
    assert list(sizes) == sorted(set(sizes))


def test_it_stops_at_the_first_look_that_is_enough():
    run = adaptive.until(Draws(), target=0.04, budget=10**6, seed=1, first=100)
    assert run.reached and run.planned == len(adaptive.schedule(100, 10**6))
    worst = [look.stderr.max() for look in run.looks]
    assert worst[-1] <= 0.04 < min(worst[:-1])
    assert [look.replicas for look in run.looks] == [100 * 2**k for k in range(len(run.looks))]
    assert run.estimate == engine.estimate(Draws(), replicas=run.estimate.replicas, seed=1)


def test_targets_by_place_and_relative_to_the_mean():
    by_place = adaptive.until(Draws(), target=[0.02, np.inf, np.inf], budget=10**6, seed=1, first=100)
    assert by_place.estimate.stderr[0] <= 0.02 < by_place.looks[-2].stderr[0]
    relative = adaptive.until(Draws(), target=0.02, relative=True, budget=10**6, seed=1, first=100)
    ratio = [(look.stderr / np.abs(look.mean)).max() for look in relative.looks]
    assert ratio[-1] <= 0.02 < min(ratio[:-1])


def test_a_spent_budget_is_not_enough():
    run = adaptive.until(Draws(), target=1e-4, budget=777, seed=1, first=100)
    assert not run.reached and run.estimate.replicas == 777 and len(run.looks) == run.planned
    assert sequential.monte_carlo(run, Draws.mean).accepted is True
    assert sequential.monte_carlo(run, Draws.mean, resolution=1e-3).accepted is None


def test_skewed_replicas_are_sampled_until_their_errors_can_be_believed():
    plain = adaptive.until(Draws(True), target=0.5, budget=10**5, seed=1, first=16)
    wary = adaptive.until(Draws(True), target=0.5, skewness=0.05, budget=10**5, seed=1, first=16)
    assert plain.estimate.replicas < 1000 < wary.estimate.replicas
    assert np.all(np.abs(wary.estimate.skewness) <= 0.05 * math.sqrt(wary.estimate.replicas))


def test_same_bits_for_any_store_chunk_and_interruption(tmp_path):
    plain = adaptive.until(Draws(), target=0.05, budget=10**5, seed=4, first=64)
    for options in ({"chunk": 7}, {"store": tmp_path}, {"store": tmp_path}, {"jobs": 2}):
        assert adaptive.until(Draws(), target=0.05, budget=10**5, seed=4, first=64, **options).looks == plain.looks

    class Interrupted(Exception):
        pass

    @dataclass(frozen=True)
    class Fragile(Draws):
        def sample(self, seed, first, count):
            if first >= 200:
                raise Interrupted
            return super().sample(seed, first, count)

    with pytest.raises(Interrupted):
        adaptive.until(Fragile(), target=0.05, budget=10**5, seed=4, first=64, store=tmp_path / "second")
    again = Draws()
    assert adaptive.until(again, target=0.05, budget=10**5, seed=4, first=64,
                          store=tmp_path / "second").looks == plain.looks
    assert min(again.calls)[0] >= 200 - 64


def test_no_replica_is_drawn_twice():
    experiment = Draws()
    run = adaptive.until(experiment, target=0.02, budget=10**5, seed=4, first=64)
    assert sum(last - first for first, last in experiment.calls) == run.estimate.replicas


def test_stored_work_serves_a_smaller_target(tmp_path):
    first, second = Draws(), Draws()
    rough = adaptive.until(first, target=0.05, budget=10**5, seed=4, store=tmp_path, first=64)
    fine = adaptive.until(second, target=0.02, budget=10**6, seed=4, store=tmp_path, first=64)
    assert min(second.calls)[0] == rough.estimate.replicas and fine.estimate.replicas > rough.estimate.replicas


# -- what the looking costs --------------------------------------------------------------------------------------

RUNS, LOOKS, ALPHA = 1200, 6, 0.05


def normal_run(generator, shift=0.0):
    """A sequential sample of normal replicas whose mean is `shift` standard deviations off, all looks taken."""
    x = generator.normal(shift, 1.0, 32 * 2 ** (LOOKS - 1))
    looks = [judges.Sample(np.array([x[:size].mean()]), np.array([x[:size].std(ddof=1) / math.sqrt(size)]), size)
             for size in adaptive.schedule(32, x.size)]
    return adaptive.Sequential(tuple(looks), LOOKS, np.array([0.01]), False)


def test_false_alarms_stay_below_alpha_whoever_stops_when_it_suits():
    """Stopping at the first rejection is the worst rule there is; testing every look at alpha is what it defeats."""
    generator = np.random.default_rng(11)
    spent = naive = 0
    for _ in range(RUNS):
        run = normal_run(generator)
        spent += sequential.monte_carlo(run, 0.0, alpha=ALPHA).accepted is False
        naive += any(judges.monte_carlo(look, 0.0, alpha=ALPHA).accepted is False for look in run.looks)
    assert stats.binom.sf(spent - 1, RUNS, ALPHA) > 1e-6, spent / RUNS
    assert stats.binom.sf(naive - 1, RUNS, ALPHA) < 1e-12, naive / RUNS
    assert spent > 0.2 * ALPHA * RUNS                     # a judge that never rejects would pass as well


def test_false_alarms_of_skewed_replicas_that_stop_on_their_own_error_bars():
    """Small means come with small error bars and stop early: the stop and the mean are correlated."""
    false = stopped = 0
    for seed in range(250):
        run = sequential.sample(Draws(True), Draws.mean, resolution=0.5, budget=8192, seed=seed, alpha=ALPHA, first=128)
        false += sequential.monte_carlo(run, Draws.mean, alpha=ALPHA, resolution=0.5).accepted is False
        stopped += run.reached
    assert stopped > 200
    assert stats.binom.sf(false - 1, 250, ALPHA) > 1e-6, false


def test_a_deviation_of_the_resolution_is_seen():
    seen = 0
    for seed in range(40):
        run = sequential.sample(Draws(), Draws.mean, resolution=0.1, budget=10**6, seed=seed, first=256)
        assert run.reached
        assert sequential.monte_carlo(run, Draws.mean, resolution=0.1).accepted is True
        seen += sequential.monte_carlo(run, Draws.mean * [1.0, 1.0, 1.1], resolution=0.1).accepted is False
    assert seen >= 36                                     # at least 0.99 each; 1e-6 for fewer


def test_a_rejection_at_an_early_look_stands():
    run = normal_run(np.random.default_rng(3), shift=1.0)
    late = adaptive.Sequential((*run.looks[:-1], judges.Sample(np.zeros(1), np.ones(1), 1024)), LOOKS, 0.01, False)
    evidence = sequential.monte_carlo(late, 0.0, alpha=ALPHA)
    assert evidence.accepted is False and evidence.false_alarm == ALPHA and f"{LOOKS} looks" in evidence.note


def test_simulated_descent_until_it_resolves():
    problem, rates = fsl.PowerLawRegression(0.5, 2.0, width=8, noise=0.5), lr.constant(60, 0.2)
    exact = fsl.exact_risk(problem, rates, times=[0, 10, 60]).excess_risk
    run = sequential.sample(sgd.Descent(problem, rates, times=[0, 10, 60]), exact, resolution=0.1, budget=2**17, seed=5)
    assert run.reached and sequential.monte_carlo(run, exact, resolution=0.1).accepted is True
    assert sequential.monte_carlo(run, 1.1 * exact, resolution=0.1).accepted is False


@pytest.mark.parametrize("change, message", [
    ({"target": 0.0}, "target is 0.0; it must be > 0"),
    ({"target": float("nan")}, "target is nan; it must be > 0"),
    ({"target": "much"}, "target is 'much'; it must be a number > 0"),
    ({"target": [0.1, 0.1]}, r"target has shape \(2,\); it must fit \(3,\)"),
    ({"budget": 50}, "budget is 50; it must be an integer from 100"),
    ({"budget": 1e5}, "budget is 100000.0; it must be an integer"),
    ({"first": 1}, "first is 1; it must be an integer from 2"),
    ({"growth": 1}, "growth is 1; it must be an integer from 2"),
    ({"skewness": 0.0}, "skewness is 0.0; it must be > 0"),
    ({"seed": -1}, "seed is -1"),
])
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        adaptive.until(Draws(), **{"target": 0.1, "budget": 1000, "seed": 0, "first": 100, **change})


@settings(max_examples=20, deadline=None)
@given(alpha=st.sampled_from([0.0, 1.0, -1.0, float("nan")]))
def test_levels_are_probabilities(alpha):
    run = normal_run(np.random.default_rng(0))
    with pytest.raises(ValueError, match="alpha is"):
        sequential.monte_carlo(run, 0.0, alpha=alpha)
    with pytest.raises(ValueError, match="alpha is"):
        sequential.sample(Draws(), 1.0, resolution=0.1, budget=2000, seed=0, alpha=alpha)
