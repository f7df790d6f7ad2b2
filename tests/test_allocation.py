"""Table 1: its two forms, the numerical optima, and the claims that compare them."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.checks.fsl import compute_optimal, data_optimal
from theorycheck.theory import fsl
from theorycheck.theory.fsl import allocation, schedule_laws
from theorycheck.theory.fsl.allocation import Rate

EASY, HARD = fsl.PowerLawRegression(1.5, 2.0), fsl.PowerLawRegression(0.5, 4.0)
TABLES = (allocation.data_optimal, allocation.compute_optimal)
sources, capacities = st.floats(0.05, 4.0), st.floats(1.05, 6.0)


def test_rate():
    rate = Rate(-0.5, 2.0)
    x = np.array([10.0, 1e5])
    assert rate(x) == pytest.approx(x**-0.5 * np.log(x) ** 2)
    step = 1e-6
    slope = np.diff(np.log(rate(1e5 * np.exp([-step, step]))))[0] / (2 * step)
    assert rate.slope(1e5) == pytest.approx(slope, rel=1e-8)


@settings(max_examples=100, deadline=None)
@given(sources, capacities, st.sampled_from(tuple(schedule_laws.SCHEDULES)))
def test_cells_satisfy_their_balances(source, capacity, schedule):
    """Signal and approximation error have the printed risk, noise has it or is smaller, budgets are spent."""
    hard = fsl.PowerLawRegression(source, capacity).regime == "hard"
    for table in TABLES:
        entry = table(source, capacity, schedule)
        risk = np.array([entry.risk.power, entry.risk.log])
        peak, width, data = (np.array([r.power, r.log]) for r in (entry.peak, entry.width, entry.data))
        logarithm = np.array([0.0, 1.0])
        length = peak + data - (logarithm if schedule == "exponential" else 0.0)
        assert -source * length == pytest.approx(risk, abs=1e-12)
        assert -source * capacity * width == pytest.approx(risk, abs=1e-12)
        spent = data if table is allocation.data_optimal else data + width
        assert spent == pytest.approx([1.0, 0.0], abs=1e-12)
        if schedule == "constant":
            assert peak == pytest.approx(risk, abs=1e-12)
            continue
        noise = peak + (1.0 / capacity - 1.0) * (peak + data - logarithm)
        if hard:
            assert noise[0] < risk[0] + 1e-12 and peak == pytest.approx([0.0, 0.0])
        else:
            assert noise == pytest.approx(risk, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(sources, capacities)
def test_printed_and_corrected_differ_in_the_amended_cells_only(source, capacity):
    easy = fsl.PowerLawRegression(source, capacity).regime == "easy"
    for table in TABLES:
        for schedule in schedule_laws.SCHEDULES:
            one, other = (table(source, capacity, schedule, form) for form in allocation.FORMS)
            assert one.risk == other.risk and one.least_cooldown == other.least_cooldown
            differ = {name for name in ("peak", "width", "data", "cooldown")
                      if getattr(other, name) is not None and getattr(one, name) != getattr(other, name)}
            if schedule != "wsd":
                assert not differ
            elif easy:
                assert differ == ({"peak"} if table is allocation.data_optimal else {"peak", "width", "data"})
            else:
                assert not differ and other.cooldown is None and one.cooldown is not None


def test_regimes_meet_at_the_boundary():
    capacity = 2.5
    s = 1.0 - 1.0 / capacity
    easy = allocation.data_optimal(s, capacity, "exponential")
    assert (easy.risk.power, easy.risk.log) == pytest.approx((-s, s))
    assert easy.peak.power == pytest.approx(0.0, abs=1e-15)
    hard = allocation.compute_optimal(s * (1 - 1e-12), capacity, "wsd")
    assert hard.risk.power == pytest.approx(allocation.compute_optimal(s, capacity, "wsd").risk.power)


@pytest.mark.parametrize("problem", [EASY, HARD], ids=["easy", "hard"])
@pytest.mark.parametrize("schedule", ["constant", "exponential"])
def test_optimum_against_a_scalar_minimiser(problem, schedule):
    budget, cap = 1e7, schedule_laws.stability_cap(problem)

    def risk(log_peak):
        return float(schedule_laws.SCHEDULES[schedule](problem, budget, math.exp(log_peak)).total)
    found = minimize_scalar(risk, bounds=(math.log(cap / budget), math.log(cap)), method="bounded",
                            options={"xatol": 1e-9})
    best = allocation.optimise_data(problem, schedule, [budget])
    assert best.risk[0] <= found.fun * (1.0 + 1e-10)
    assert best.peak[0] == pytest.approx(math.exp(found.x), rel=1e-3)
    assert best.capped[0] == (problem is HARD and schedule == "exponential")


@functools.cache
def best_of_three():
    """Peak rate, width and decay fraction for one compute budget."""
    return allocation.optimise_compute(EASY, "wsd", 1e15)


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_no_neighbour_is_better(peak, width, share):
    best = best_of_three()
    wide = np.floor(best.width * math.exp(width) + 0.5)
    peak = np.minimum(best.peak * math.exp(peak), schedule_laws.stability_cap(EASY))
    moved = schedule_laws.wsd(EASY, 1e15 / wide, peak, width=wide,
                              cooldown=np.minimum(best.cooldown * math.exp(share), 1.0))
    assert best.risk <= moved.total * (1.0 + 1e-6)
    assert best.data * best.width == pytest.approx(1e15)


def test_more_budget_and_more_freedom_never_hurt():
    budget = np.logspace(3, 100, 40)
    fixed = allocation.optimise_data(HARD, "wsd", budget, cooldown=0.2)
    free = allocation.optimise_data(HARD, "wsd", budget)
    whole = allocation.optimise_data(HARD, "exponential", budget)
    assert np.all(np.diff(free.risk) < 0) and np.all(free.risk <= fixed.risk * (1 + 1e-9))
    assert np.all(free.risk <= whole.risk * (1 + 1e-9))
    assert np.all(fixed.cooldown == 0.2) and np.all(whole.cooldown == 1.0)
    assert free.risk.shape == budget.shape


def test_the_optimum_is_near_that_of_exact_sgd():
    """The closed form's peak rate costs exact SGD at most 2 percent against the best of a grid."""
    from theorycheck.theory import learning_rates

    problem, steps = fsl.PowerLawRegression(1.5, 2.0), 20_000
    best = allocation.optimise_data(problem, "exponential", [float(steps)]).peak[0]

    def exact(peak):
        return fsl.exact_risk(problem, learning_rates.exponential(steps, peak), times=[steps]).final
    grid = [exact(best * factor) for factor in (0.4, 0.55, 0.75, 1.35, 1.8, 2.5)]
    assert exact(best) <= 1.02 * min(grid)
    assert exact(best) < 0.98 * exact(best * 5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: allocation.data_optimal(0.5, 2.0, "cosine"), "schedule is 'cosine'"),
    (lambda: allocation.data_optimal(0.5, 2.0, "wsd", "wrong"), "form is 'wrong'"),
    (lambda: allocation.compute_optimal(-0.5, 2.0, "wsd"), "source is -0.5"),
    (lambda: allocation.optimise_data(EASY, "wsd", 5.0), "budget is 5 to 5; it must be in [10, 1e+120]"),
    (lambda: allocation.optimise_data(EASY, "wsd", 1e3, cooldown=2.0), "cooldown is 2.0"),
    (lambda: allocation.optimise_data(EASY, "wsd", 1e3, cap=0.0), "cap is 0.0"),
    (lambda: allocation.optimise_compute(EASY, "linear", 1e3), "schedule is 'linear'"),
    (lambda: allocation.optimise_data("problem", "wsd", 1e3), "must be a PowerLawRegression"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", [
    "data_constant", "data_exponential_easy", "data_exponential_hard", "data_wsd_easy", "data_wsd_hard",
    "least_decay_fraction", "best_decay_fraction", "sufficient_width", "constant_rate_width",
    "infinite_width", "schedule_ordering", "fixed_decay_ordering", "least_decay_fraction_compute", "compute_constant",
    "compute_exponential_easy", "compute_exponential_hard", "compute_wsd_easy", "compute_wsd_hard",
    "data_outgrows_model", "data_per_parameter", "capacity_helps"])
def test_claims_hold_and_their_controls_are_rejected(name):
    outcome = judge(getattr(data_optimal, name, None) or getattr(compute_optimal, name), Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome
    printed = [control for control in outcome.claim.controls if control.printed]
    assert bool(printed) == (outcome.claim.stance == "amended")
