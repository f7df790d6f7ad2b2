"""The variational problem of optimal schedules: quadrature, brute force, random rivals, exponents, bad input."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from theorycheck.theory import learning_rates
from theorycheck.theory.schedules import exponents
from theorycheck.theory.schedules.minibatch import water_filling
from theorycheck.theory.schedules.power_law import PowerLaw, sharp
from theorycheck.theory.schedules.variational import at_horizon, floor_cost, optimum

TASKS = {"source": st.floats(0.1, 3.0), "capacity": st.floats(1.1, 6.0), "noise": st.floats(0.1, 5.0)}
BUDGET = st.floats(0.0, 16.0).map(lambda power: 10.0**power)
FLOOR = st.one_of(st.just(0.0), st.floats(-3.0, 3.0).map(lambda power: 10.0**power))


@given(start=st.floats(0.0, 1e8), length=st.floats(1e-12, 1e12), capacity=st.floats(1.01, 8.0))
def test_closed_integrals_to_rounding(start, length, capacity):
    law, stop = PowerLaw(1.0, capacity, kernel_scale=0.7), start + length
    with mpmath.workdps(60):
        beta = mpmath.mpf(capacity)
        root = 2 * beta * ((1 + mpmath.mpf(stop)) ** (1 / (2 * beta)) - 1)
        q = 1 - 1 / beta
        mass = mpmath.mpf(0.7) * ((1 + mpmath.mpf(start)) ** -q - (1 + mpmath.mpf(stop)) ** -q) / q
        assert float(law.root_sum(stop)) == pytest.approx(float(root), rel=1e-13)
        rounding = 1e-12 + 1e-15 * (start + 1) / length   # of start + length
        assert float(law.kernel_mass(start, stop)) == pytest.approx(float(mass), rel=rounding)


@given(crossover=st.floats(1e-12, 1e12), capacity=st.floats(1.05, 6.0))
def test_the_price_of_leaving_the_floor(crossover, capacity):
    law = PowerLaw(1.0, capacity)
    with mpmath.workdps(60):
        x, beta = mpmath.mpf(crossover), mpmath.mpf(capacity)
        p = 1 - 1 / (2 * beta)
        exact = (1 + x) ** p * 2 * beta * ((1 + x) ** (1 / (2 * beta)) - 1) - x
        assert float(floor_cost(law, crossover)) == pytest.approx(float(exact), rel=1e-9)


@settings(deadline=None)
@given(data=BUDGET, floor=FLOOR, **TASKS)
def test_budget_floor_and_parts(data, floor, **task):
    best = optimum(data=data, floor=floor, **task)
    assert float(best.remaining_data(best.horizon)) == pytest.approx(data, rel=1e-9)
    left = best.horizon * np.array([0.0, 1e-6, 0.01, 0.3, 0.7, 1.0])
    assert np.all(best.ratio(left) >= floor * (1 - 1e-12))
    np.testing.assert_allclose(best.remaining_time(best.remaining_data(left)), left, rtol=1e-8, atol=1e-12)
    assert best.loss == best.signal + best.noise and 0 <= best.crossover <= best.horizon
    assert best.horizon * floor <= data * (1 + 1e-12) and 0 <= best.decay_fraction <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(data=st.floats(0.0, 8.0).map(lambda power: 10.0**power), floor=FLOOR, **TASKS)
def test_noise_by_quadrature(data, floor, **task):
    best = optimum(data=data, floor=floor, **task)
    edges = sorted({0.0, math.log1p(best.crossover), math.log1p(best.horizon)})

    def density(z):
        return math.exp(z) * float(best.law.kernel(math.expm1(z)) / best.ratio(math.expm1(z)))

    noise = sum(quad(density, a, b, epsabs=0.0, epsrel=1e-10)[0] for a, b in zip(edges[:-1], edges[1:]))
    assert best.noise == pytest.approx(task["noise"] ** 2 * noise, rel=1e-7)


@settings(deadline=None, max_examples=60)
@given(data=BUDGET, floor=FLOOR, **TASKS)
def test_the_horizon_is_the_best(data, floor, **task):
    best = optimum(data=data, floor=floor, **task)
    law = PowerLaw(**task)
    longest = data / floor if floor else best.horizon * 1e3
    for horizon in np.append(best.horizon * np.array([0.3, 0.9, 0.999, 1.001, 1.1, 3.0]),
                             longest * np.array([0.01, 0.5, 0.9, 0.999, 1.0])):
        if horizon <= longest:
            assert at_horizon(law, data, floor, horizon).loss >= best.loss * (1 - 1e-9)
    found = minimize_scalar(lambda z: at_horizon(law, data, floor, min(math.exp(z), longest)).loss, method="bounded",
                            bounds=(math.log(best.horizon) - 3.0, min(math.log(best.horizon) + 3.0, math.log(longest))))
    assert found.fun >= best.loss * (1 - 1e-9)


@settings(deadline=None, max_examples=60)
@given(data=st.floats(2.0, 8.0).map(lambda power: 10.0**power), shape=st.sampled_from(["linear", "cosine", "constant",
       "power", "wsd"]), peak=st.floats(-4.0, 0.0).map(lambda power: 10.0**power), **TASKS)
def test_no_parametric_schedule_does_better(data, shape, peak, **task):
    floor = 1.0   # rates of batch 1 are at most one, and every step is one sample
    steps = 400
    batch = data / steps
    extra = {"exponent": 2.0} if shape == "power" else {}
    rates = getattr(learning_rates, shape)(steps, 1.0, **extra).rates
    rival = PowerLaw(**task).loss(np.maximum(rates, 1e-12) * peak * batch, batch)
    best = optimum(data=data, floor=floor, **task)
    assert rival >= best.loss * (1 - 1e-12)


@settings(deadline=None, max_examples=60)
@given(data=BUDGET, floor=FLOOR, factor=st.floats(1.001, 100.0), **TASKS)
def test_more_data_or_less_floor_never_hurts(data, floor, factor, **task):
    best = optimum(data=data, floor=floor, **task)
    assert optimum(data=factor * data, floor=floor, **task).loss <= best.loss * (1 + 1e-12)
    assert optimum(data=data, floor=factor * floor + 1e-3, **task).loss >= best.loss * (1 - 1e-12)


@pytest.mark.parametrize("minibatch_noise", [False, True])
@pytest.mark.parametrize("source, floor", [(1.0, 0.0), (0.3, 1.0)])
def test_as_learning_rates_and_as_batch_sizes(source, floor, minibatch_noise):
    best = optimum(source, 2.0, 1e5, floor=floor, minibatch_noise=minibatch_noise)
    rates = best.learning_rates(2000, 50.0)
    assert rates.intrinsic_time[-1] == pytest.approx(best.horizon, rel=1e-11)
    assert not floor or rates.peak <= 50.0 / floor
    sizes = best.batch_sizes(0.05)
    rate = best.horizon / sizes.size
    assert rate <= 0.05 * (1 + 1e-12) and sizes.sum() == pytest.approx(1e5, rel=1e-12)
    assert sizes.min() >= floor * rate * (1 - 1e-12)
    if not minibatch_noise:   # the law of the two, each constant in steps, comes close to the optimum from above
        for loss in (best.law.loss(rates.rates, 50.0), best.law.loss(np.full(sizes.size, rate), sizes)):
            assert best.loss * (1 - 1e-12) <= loss <= best.loss * 1.01


def test_with_minibatch_noise():
    best = optimum(1.0, 2.0, 1e4, horizon=300.0, minibatch_noise=True)
    law, sigma = best.law, best.law.noise

    def root(u):
        return math.sqrt(float(law.kernel(u)) * (float(law.signal(300.0 - u)) + sigma**2))

    total = sum(quad(root, a, b, epsrel=1e-12, limit=400)[0] for a, b in ((0, 1), (1, 30), (30, 290), (290, 300)))
    assert best.noise == pytest.approx(total**2 / 1e4, rel=1e-9)
    assert best.ratio(300.0) == pytest.approx(1e4 / total * root(300.0), rel=1e-9)
    loud = optimum(1.0, 2.0, 1e4, noise=100.0, minibatch_noise=True)
    assert loud.loss == pytest.approx(optimum(1.0, 2.0, 1e4, noise=100.0).loss, rel=1e-3)
    for floor in (1.0, 20.0, 33.0):   # the budget with an active floor, and no worse than label noise's path
        table = water_filling(law, 300.0, 1e4, floor)
        assert table.data[-1] == pytest.approx(1e4, rel=1e-12)
        assert table.noise >= total**2 / 1e4 * (1 - 1e-9)
        plain = at_horizon(law, 1e4, floor, 300.0)
        rival = quad(lambda u, plain=plain: root(u) ** 2 / float(plain.ratio(u)), 0, 300, limit=500,
                     points=[1.0, plain.crossover, 299.0])[0]
        assert table.noise <= rival * (1 + 1e-6)


@pytest.mark.parametrize("amplitude", [1.0, 10.0, 100.0])
def test_the_first_rate_of_the_emergent_warmup(amplitude):
    given = {"horizon": 500.0, "signal_scale": amplitude}
    plain, best = (optimum(1.0, 2.0, 3000.0, minibatch_noise=on, **given) for on in (False, True))
    measured = float(plain.ratio(500.0) / best.ratio(500.0))
    with mpmath.workdps(20):
        def root(u):
            return ((1 + u) ** -1.5 * (1 + amplitude / (501 - u))) ** 0.5
        lift = mpmath.quad(root, [0, 1, 30, 470, 499, 500]) / (4 * (mpmath.mpf(501) ** 0.25 - 1))
    assert measured == pytest.approx(float(lift) * (1 + amplitude) ** -0.5, rel=1e-8)
    assert measured > 1.002 * (1 + amplitude) ** -0.5


@given(source=st.floats(0.05, 3.0), capacity=st.floats(1.05, 6.0))
def test_the_dictionary_goes_both_ways(source, capacity):
    for there, back in ((exponents.to_energy, exponents.from_energy), (exponents.to_joint, exponents.from_joint)):
        assert back(*there(source, capacity)) == pytest.approx((source, capacity), rel=1e-12)
    wanted = exponents.optimum_powers(source, capacity).loss
    assert exponents.energy_rate(*exponents.to_energy(source, capacity)) == pytest.approx(wanted)
    assert exponents.joint_rate(*exponents.to_joint(source, capacity)) == pytest.approx(wanted)
    assert exponents.peak_power(source, capacity) == pytest.approx(
        max(0.0, -exponents.optimum_powers(source, capacity).peak_rate))
    assert exponents.shape_powers(source, capacity, 2.0 * capacity - 1.0)[0] == pytest.approx(wanted)


@given(capacity=st.floats(1.05, 6.0))
def test_both_branches_meet_at_the_boundary(capacity):
    edge = 1.0 - 1.0 / capacity
    assert exponents.regime(edge, capacity) == "boundary"
    low, high = (exponents.optimum_powers(edge * factor, capacity) for factor in (1 - 1e-9, 1 + 1e-9))
    for name in ("loss", "horizon", "last_ratio", "first_ratio", "decay_fraction", "sufficient_fraction"):
        assert getattr(low, name) == pytest.approx(getattr(high, name), abs=1e-7)
    assert exponents.compute_power(edge * (1 - 1e-9), capacity) == pytest.approx(
        exponents.compute_power(edge, capacity), abs=1e-7)


def test_sharp_constants():
    law = sharp(1.0, 2.0, 0.5)
    assert law.signal_scale == pytest.approx(0.25) and law.kernel_scale == pytest.approx(
        math.gamma(1.5) / (2.0 * 2.0**1.5))
    assert law.noise == 0.5


@pytest.mark.parametrize("arguments, message", [
    ({"source": 0.0}, r"source is 0.0; it must be in \(0"),
    ({"capacity": 1.0}, r"capacity is 1.0; it must be in \(1"),
    ({"data": math.nan}, "data is nan"),
    ({"noise": 0.0}, "noise is 0.0"),
    ({"floor": -1.0}, "floor is -1.0"),
    ({"data": "many"}, "data is 'many'; it must be a number"),
    ({"horizon": 101.0, "floor": 10.0}, "it must be <= data/floor = 100"),
])
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        optimum(**{"source": 1.0, "capacity": 2.0, "data": 1000.0, **arguments})
    assert "\n" not in str(refused.value)


def test_bad_conversions_are_refused():
    best = optimum(1.0, 2.0, 1000.0)
    with pytest.raises(ValueError, match="must be the data budget 1000"):
        best.learning_rates(10, 7)
    with pytest.raises(ValueError, match="rate is 0"):
        best.batch_sizes(0)
    with pytest.raises(ValueError, match=r"sizes have shape \(3,\); they must have that of the rates, \(2,\)"):
        best.law.loss([0.1, 0.2], [1.0, 2.0, 3.0])
    for call in (lambda: exponents.energy_rate(0.5, -1), lambda: exponents.energy_rate(2.0, 1.0),
                 lambda: exponents.joint_rate(0.5, 1.0), lambda: exponents.joint_rate(1.0, -0.5)):
        with pytest.raises(ValueError, match="it must be in"):
            call()
    with pytest.raises(ValueError, match="batch sizes have shape"):
        best.law.loss([1.0, 2.0], [0.0, 1.0])
