"""Computer algebra: identities simplify to zero, wrong ones do not, and numbers agree with simulation-free averages."""

import itertools

import numpy as np
import pytest
import sympy as sp

from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.checks.fsl import symbolic as claims
from theorycheck.theory.fsl import allocation, symbolic


@pytest.mark.parametrize(("modes", "batch"), [(1, 1), (2, 1), (1, 3), (2, 2), (3, 1)])
def test_averaged_square_is_the_recursion(modes, batch):
    for mode in range(modes):
        assert sp.expand(symbolic.averaged_square(modes, batch, mode)
                         - symbolic.recursion_square(modes, batch, mode)) == 0


def test_averaged_square_against_enumeration():
    """Rademacher features and labels are averaged over all their signs: no algebra in common."""
    values, errors = np.array([1.0, 0.3]), np.array([0.7, -1.2])
    eta, sigma, total = 0.4, 0.5, 0.0
    outcomes = list(itertools.product((-1.0, 1.0), repeat=6))
    for signs in outcomes:
        x = np.sqrt(values) * np.array([signs[:2], signs[2:4]])
        gap = x @ errors - sigma * np.array(signs[4:])
        total += (errors - eta / 2 * gap @ x)[1] ** 2 / len(outcomes)
    (lambdas, us) = symbolic.moment_symbols(2)
    numbers = dict(zip(lambdas, values)) | dict(zip(us, errors)) | {
        symbolic.ETA: eta, symbolic.SIGMA: sigma, symbolic.KAPPA: 1}
    assert float(symbolic.averaged_square(2, 2, 1).subs(numbers)) == pytest.approx(total, rel=1e-12)


def test_products_of_different_modes_never_feed_back():
    _, us = symbolic.moment_symbols(3)
    poly = sp.Poly(symbolic.averaged_square(3, 2, 0), *us)
    assert all(sum(power > 0 for power in powers) <= 1 for powers in poly.monoms())


def test_continuous_limit_and_decay():
    limit, equation = symbolic.continuous_limit()
    assert sp.simplify(limit - equation) == 0
    rate, line, length, printed = symbolic.decay_in_intrinsic_time()
    assert sp.simplify(rate - line) == 0 and sp.simplify(length - printed) == 0
    integral, closed = symbolic.noise_of_one_mode()
    assert sp.simplify(integral - closed) == 0
    assert sp.simplify(integral - closed.subs(symbolic.FINAL, 0)) != 0


@pytest.mark.parametrize("budget", ["data", "compute"])
@pytest.mark.parametrize("schedule", ["constant", "exponential", "wsd"])
@pytest.mark.parametrize(("task", "hard"), [((1.5, 2.0), False), ((1.25, 3.0), False), ((0.5, 4.0), True)])
def test_balances_give_the_corrected_table(task, hard, schedule, budget):
    solved = symbolic.balance(schedule, hard, budget)
    table = allocation.data_optimal if budget == "data" else allocation.compute_optimal
    entry = table(*task, schedule)
    for name in ("risk", "peak", "width", "data"):
        rate = getattr(entry, name)
        assert symbolic.evaluate(solved[name], *task) == pytest.approx((rate.power, rate.log), abs=1e-12)
    if "cooldown" in solved and budget == "data":
        for name in ("cooldown", "least_cooldown"):
            rate = getattr(entry, name)
            assert symbolic.evaluate(solved[name], *task) == pytest.approx((rate.power, rate.log), abs=1e-12)


def test_noise_is_negligible_where_the_rate_is_capped():
    for schedule in ("exponential", "wsd"):
        solved = symbolic.balance(schedule, True, "data")
        assert symbolic.evaluate(solved["noise"], 0.5, 4)[0] < symbolic.evaluate(solved["risk"], 0.5, 4)[0]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: symbolic.averaged_square(4, 1), "modes is 4; it must be 1, 2 or 3"),
    (lambda: symbolic.averaged_square(1, 0), "batch is 0"),
    (lambda: symbolic.averaged_square(2, 1, 2), "mode is 2; it must be in [0, 1]"),
    (lambda: symbolic.balance("cosine", True, "data"), "schedule is 'cosine'"),
    (lambda: symbolic.balance("wsd", True, "time"), "budget 'time'"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert message in str(refusal.value)


@pytest.mark.parametrize("name", ["moment_algebra", "decay_algebra", "allocation_algebra"])
def test_claims_hold_and_their_controls_are_rejected(name):
    outcome = judge(getattr(claims, name), Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome
