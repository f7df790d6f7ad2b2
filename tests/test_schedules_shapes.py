"""Learning rates of a fixed shape and powers of time: quadrature against mpmath, limits, tuning, bad input."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import fsl, learning_rates
from theorycheck.theory.schedules import anytime, exponents, shapes
from theorycheck.theory.schedules.variational import optimum

FAMILY = {
    "constant": (shapes.constant(), lambda y: mpmath.mpf(1), lambda y: y),
    "linear": (shapes.linear(), lambda y: y, lambda y: y**2 / 2),
    "cosine": (shapes.cosine(), lambda y: mpmath.sin(mpmath.pi * y / 2)**2,
               lambda y: y / 2 - mpmath.sin(mpmath.pi * y) / (2 * mpmath.pi)),
    "power": (shapes.power(4.5), lambda y: y**mpmath.mpf(4.5), lambda y: y**mpmath.mpf(5.5) / 5.5),
}
ANY_SHAPE = st.one_of(
    st.sampled_from([shapes.constant(), shapes.linear(), shapes.cosine()]),
    st.builds(shapes.power, st.floats(0.0, 9.0)),
    st.builds(shapes.wsd, st.floats(0.05, 1.0), st.sampled_from(learning_rates.COOLDOWNS), st.floats(0.01, 0.9)))


def integral(f, area, beta, time, kink=None):
    """``int_0^1 (1 + time F)^-(2 - 1/beta) f^2`` by mpmath, in log y, 30 digits."""
    power = 2 - 1 / mpmath.mpf(beta)
    with mpmath.workdps(30):
        edges = [mpmath.mpf(-80), *range(-40, 0, 2)] + ([mpmath.log(kink)] if kink else []) + [mpmath.mpf(0)]
        return mpmath.quad(lambda x: (1 + time * area(mpmath.e**x))**-power * f(mpmath.e**x)**2 * mpmath.e**x,
                           sorted(edges))


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("beta, time", [(1.3, 1.0), (2.0, 1e4), (4.0, 1e9)])
def test_noise_against_mpmath(name, beta, time):
    shape, f, area = FAMILY[name]
    expected = time**2 / 1000.0 * float(integral(f, area, beta, time))
    assert shapes.noise(shape, beta, 1000.0, time / 1000.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cooldown", [0.25, 1.0])
def test_noise_of_a_root_cooldown_against_mpmath(cooldown):
    c = mpmath.mpf(cooldown)

    def root(y):
        return mpmath.sqrt(max(1 - y / c, 0))

    def area(y):
        return y - c / 3 * (2 - 2 * root(y)**3) if y < c else c / 3 + y - c

    def f(y):
        return 1 - root(y)

    expected = float(integral(f, area, 2.0, 1e3, kink=c if cooldown < 1 else None))
    shape = shapes.wsd(cooldown, "1-sqrt")
    assert shapes.noise(shape, 2.0, 1.0, 1e3) == pytest.approx(1e6 * expected, rel=1e-7)


@settings(deadline=None, max_examples=40)
@given(shape=ANY_SHAPE, y=st.floats(1e-9, 1.0))
def test_area_is_the_integral_of_the_rate(shape, y):
    # finite difference away from a kink, and the tail's law where y is tiny
    step = 1e-4 * y
    if all(abs(y - kink) > 2 * step for kink in shape.kinks) and y + step <= 1:
        slope = np.diff(shape.area(np.array([y - step, y + step])))[0] / (2 * step)
        assert slope == pytest.approx(float(shape.rate(np.array([y]))[0]), rel=1e-5)
    own, tiny = shape.tail_exponent + 1, np.array([1e-12])
    assert float(shape.rate(tiny)[0]) == pytest.approx(shape.tail_coefficient * 1e-12**(own - 1), rel=1e-8)
    assert float(shape.area(tiny)[0]) == pytest.approx(shape.tail_coefficient * 1e-12**own / own, rel=1e-8)


@settings(deadline=None, max_examples=40)
@given(shape=ANY_SHAPE, steps=st.integers(1, 300), peak=st.floats(1e-6, 10.0))
def test_schedules_stay_within_their_peak(shape, steps, peak):
    schedule = shape.schedule(steps, peak)
    assert schedule.steps == steps and schedule.rates.min() >= 0
    assert schedule.peak <= peak * (1 + 1e-12) and schedule.rates[0] == pytest.approx(peak)
    assert np.all(np.diff(schedule.rates) <= 1e-12 * peak)


@pytest.mark.parametrize("shape, same", [
    (shapes.constant(), learning_rates.constant(40, 0.3)),
    (shapes.linear(), learning_rates.linear(40, 0.3)),
    (shapes.cosine(), learning_rates.cosine(40, 0.3)),
    (shapes.power(2.5), learning_rates.power(40, 0.3, 2.5)),
    (shapes.wsd(0.25), learning_rates.wsd(40, 0.3, 0.25, shape="linear")),
    (shapes.wsd(0.25, "1-sqrt"), learning_rates.wsd(40, 0.3, 0.25, shape="1-sqrt")),
    (shapes.wsd(0.25, "exponential", 0.2), learning_rates.wsd(40, 0.3, 0.25, final=0.06)),
])
def test_schedules_are_those_of_the_shared_vocabulary(shape, same):
    np.testing.assert_allclose(shape.schedule(40, 0.3).rates, same.rates, rtol=1e-12, atol=1e-16)


@settings(deadline=None, max_examples=25)
@given(shape=ANY_SHAPE, s=st.floats(0.1, 2.0), beta=st.floats(1.2, 5.0), steps=st.floats(10.0, 1e12),
       cap=st.floats(0.01, 2.0))
def test_tuned_is_no_worse_than_a_grid(shape, s, beta, steps, cap):
    best = shapes.tuned(shape, s, beta, steps, cap=cap)
    peaks = cap * np.geomspace(1e-8, 1.0, 200)
    losses = (1 + peaks * steps * shape.total)**-s + shapes.noise(shape, beta, steps, peaks)
    assert best.risk <= losses.min() * (1 + 1e-9) and 0 < best.peak <= cap
    assert best.risk == pytest.approx(best.signal + best.noise)
    assert best.risk >= optimum(s, beta, steps, floor=1.0 / cap).loss * (1 - 1e-9)   # nothing beats the optimum


@pytest.mark.parametrize("beta, shape", [(4.0, shapes.linear()), (3.0, shapes.constant()), (2.0, shapes.power(3.0)),
                                         (1.5, shapes.cosine()), (4.0, shapes.wsd(0.3))])
def test_noise_coefficient_is_the_limit(beta, shape):
    alpha = shapes.effective_capacity(beta, shape.tail_exponent)
    far = shapes.noise(shape, beta, 1.0, 1e38) * 1e38 ** (-1 / alpha)
    assert far == pytest.approx(shapes.noise_coefficient(shape, beta), rel=2e-4)
    # the tuned loss approaches its leading term from whichever side
    near, farther = (shapes.tuned(shape, 1.0, beta, n).risk / shapes.asymptotic_risk(shape, 1.0, beta, n) - 1
                     for n in (1e12, 1e24))
    assert abs(farther) < min(0.02, 0.5 * abs(near))


def test_prices():
    _, f, area = FAMILY["cosine"]
    for beta in (1.5, 2.0, 2.5):
        assert shapes.price(shapes.power(2 * beta - 1), beta) == pytest.approx(1.0, abs=1e-12)
        assert shapes.price(shapes.power(beta - 0.99), beta) == pytest.approx(shapes.power_price(beta - 0.99, beta))
        whole = mpmath.quad(lambda x, b=beta: area(mpmath.e**x)**(1 / mpmath.mpf(b) - 2) * f(mpmath.e**x)**2
                            * mpmath.e**x, [-12, -6, -3, -1, 0])
        head = (mpmath.pi**2 / 4)**(1 / beta) * 3**(2 - 1 / beta) * mpmath.e**(-12 * (3 / beta - 1)) / (3 / beta - 1)
        expected = (whole + head) * 0.5**(-1 / beta) / (4 * beta**2)
        assert shapes.price(shapes.cosine(), beta) == pytest.approx(float(expected), rel=1e-8)
    assert math.isinf(shapes.price(shapes.cosine(), 3.0)) and math.isinf(shapes.power_price(1.0, 2.0))


@given(beta=st.floats(1.05, 6.0), more=st.floats(0.05, 8.0))
def test_twins_cost_the_same_and_are_each_others(beta, more):
    gamma = beta - 1 + more
    other = shapes.twin(gamma, beta)
    assert shapes.power_price(other, beta) == pytest.approx(shapes.power_price(gamma, beta), rel=1e-9)
    assert shapes.twin(other, beta) == pytest.approx(gamma, rel=1e-8)
    assert shapes.power_price(gamma, beta) >= 1 - 1e-12


def test_exponents():
    assert shapes.exponents(1.0, 4.0, 1.0) == {"risk": pytest.approx(-2 / 3), "peak": pytest.approx(-1 / 3),
                                               "regime": "easy", "logarithm": 0.0}
    assert shapes.exponents(0.3, 4.0, 2.0)["regime"] == "hard" and shapes.exponents(0.3, 4.0, 2.0)["risk"] == -0.3
    assert shapes.exponents(0.3, 4.0, 0.0)["regime"] == "easy"
    assert shapes.exponents(1.0, 3.0, 2.0)["logarithm"] == pytest.approx(0.75)


def test_the_law_in_steps_is_that_of_the_functional_law():
    """The same normal form, summed step by step: ``sum_k K(T - t_k) eta_k^2``, to first order in 1/K."""
    errors = []
    for steps in (2000, 4000):
        schedule = shapes.cosine().schedule(steps, 100.0 / steps)
        left = schedule.intrinsic_time[-1] - schedule.intrinsic_time[1:]
        summed = np.sum((1 + left)**-1.5 * schedule.rates**2)
        errors.append(summed / shapes.noise(shapes.cosine(), 2.0, steps, 100.0 / steps) - 1)
    assert abs(errors[1]) < 0.01 and errors[1] == pytest.approx(errors[0] / 2, rel=0.1)


@pytest.mark.parametrize("steps, amplitude, power, beta", [(1e3, 0.3, 0.5, 2.0), (1e6, 1e-2, 0.25, 3.0),
                                                           (1e5, 1.0, 0.75, 1.5), (50.0, 3.0, 0.0, 4.0)])
def test_anytime_noise_against_mpmath(steps, amplitude, power, beta):
    memory, rest = 2 - 1 / mpmath.mpf(beta), 1 - mpmath.mpf(power)
    end = mpmath.mpf(steps)
    marks = [mpmath.mpf(10)**k for k in range(-1, int(math.log10(steps)))]

    def integrand(z):
        left = amplitude * ((1 + end)**rest - (1 + z)**rest) / rest
        return (1 + left)**-memory * (amplitude * (1 + z)**-power)**2

    expected = mpmath.quad(integrand, sorted([0, *marks, end / 2, *(end - mark for mark in marks), end]))
    assert anytime.noise(steps, amplitude, power, beta) == pytest.approx(float(expected), rel=1e-9)


@given(time=st.floats(1.0, 1e6), theta=st.floats(0.0, 3.0))
@settings(deadline=None, max_examples=20)
def test_ramp_noise_by_incomplete_beta_functions(time, theta):
    q, total = 1.5, 2 + time
    expected = total**(1 - theta - q) * mpmath.quad(lambda x: x**-theta * (1 - x)**-q,
                                                    [1 / total, 0.01, 0.5, 0.99, 1 - 1 / total] if time > 200 else
                                                    [1 / total, 0.5, 1 - 1 / total])
    assert anytime.ramp_noise(time, theta, q) == pytest.approx(float(expected), rel=1e-6)


def test_anytime_schedules():
    schedule = anytime.schedule(1000, 0.2, 0.5)
    assert schedule.rates[99] == pytest.approx(0.02) and schedule.peak == 0.2
    assert schedule.intrinsic_time[-1] == pytest.approx(anytime.horizon(1000, 0.2, 0.5), rel=0.01)
    assert anytime.ramp_data(9.0, 1.0) == pytest.approx(49.5)
    best = anytime.tuned(1.0, 2.0, 1e6, 0.25)
    for factor in (0.9, 1.1):
        c = factor * best.amplitude
        assert (1 + anytime.horizon(1e6, c, 0.25))**-1.0 + anytime.noise(1e6, c, 0.25, 2.0) > best.risk
    assert anytime.tuned(1.0, 2.0, 1e8, 0.75, cap=0.3) .capped


@pytest.mark.parametrize("s, beta, chi, cap", [(3.0, 1.5, 0.7, 1.0), (2.0, 2.0, 0.7, 10.0), (1.0, 2.0, 0.75, 1e4),
                                               (1.0, 2.0, 0.75, 0.5), (2.0, 1.5, 0.8, 0.5), (3.0, 4.0, 0.5, 1.0)])
def test_powers_of_the_tuned_amplitude(s, beta, chi, cap):
    # found by minimising the law, the balance of signal, first and last steps nowhere used
    near, far = (anytime.tuned(s, beta, n, chi, cap=cap) for n in (1e24, 1e30))
    loss, amplitude = anytime.tuned_powers(s, beta, chi, capped=cap < 1)
    assert math.log(far.risk / near.risk) / math.log(1e6) == pytest.approx(loss, abs=2e-3)
    assert math.log(far.amplitude / near.amplitude) / math.log(1e6) == pytest.approx(amplitude, abs=2e-3)


@given(s=st.floats(0.05, 5.0), beta=st.floats(1.05, 6.0), chi=st.floats(0.0, 0.99), capped=st.booleans())
def test_largest_power_of_the_common_rate(s, beta, chi, capped):
    edge = anytime.largest_power(s, beta, capped)
    assert edge > 0.5 or capped and edge <= s / (1 + s)
    loss = anytime.tuned_powers(s, beta, chi, capped)[0]
    if chi < edge - 1e-9:
        assert loss == pytest.approx(-s / (1 + s), rel=1e-9)
    elif chi > edge + 1e-9:
        assert loss > -s / (1 + s)


@pytest.mark.parametrize("edge", [2 / 3, 1 - 1 / 3, 1 - 1 / 3 + 1e-15])
def test_boundary_of_the_regimes_is_not_decided_by_rounding(edge):
    found = shapes.exponents(edge, 3.0, 2.0)
    assert found["regime"] == "boundary" and found["logarithm"] == pytest.approx(2 / 3)
    assert shapes.exponents(edge, 4.0, 2.0)["regime"] == "boundary"
    assert found["risk"] == pytest.approx(-2 / 3) and found["peak"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("own", [3.0, 3.0 + 4e-16, 3.0 - 4e-16])
def test_boundary_of_the_tails_is_not_decided_by_rounding(own):
    shape = shapes.power(own - 1.0)
    assert shapes.noise_coefficient(shape, 3.0) == pytest.approx(3.0 ** (2 / 3))
    assert math.isinf(shapes.price(shape, 3.0)) and math.isinf(shapes.power_price(own - 1.0, 3.0))
    with pytest.raises(ValueError, match="carries a logarithm"):
        shapes.asymptotic_risk(shape, 1.0, 3.0, 1e6)


def test_exact_sgd_prefers_the_order_of_the_law():
    problem, steps = fsl.PowerLawRegression(1.0, 4.0), 2**14
    spectrum = fsl.compress(problem, 1.0 * steps, tolerance=1e-6)
    best = {}
    for shape in (shapes.constant(), shapes.linear(), shapes.cosine()):
        best[shape.name] = min(fsl.exact_risk(spectrum, shape.schedule(steps, peak), times=[steps]).final
                               for peak in np.geomspace(1e-3, 0.5, 25))
    assert best["cosine"] < best["linear"] < best["constant"]


@pytest.mark.parametrize("call, message", [
    (lambda: shapes.power(-1), "exponent is -1.0; it must be finite and >= 0"),
    (lambda: shapes.wsd(0.0), r"cooldown is 0.0; it must be in \(0, 1\]"),
    (lambda: shapes.wsd(0.2, "square"), "shape is 'square'; it must be one of"),
    (lambda: shapes.wsd(0.2, "exponential", 1.0), r"final is 1.0; it must be in \(0, 1\)"),
    (lambda: shapes.noise(shapes.linear(), 1.0, 10, 0.1), "capacity is 1.0; it must be finite and > 1"),
    (lambda: shapes.noise(shapes.linear(), 2.0, 0, 0.1), "steps is 0.0; it must be finite and > 0"),
    (lambda: shapes.noise(shapes.linear(), 2.0, 1e20, [0.1, 1e30]), "peak is 1e\\+30"),
    (lambda: shapes.noise(shapes.linear(), 2.0, 10, 0.1, "singular"), "tail exponent is 1; the singular kernel needs"),
    (lambda: shapes.noise(shapes.linear(), 2.0, 10, 0.1, "square"), "kernel is 'square'; it must be one of"),
    (lambda: shapes.tuned(shapes.linear(), -1, 2.0, 10), "source is -1.0"),
    (lambda: shapes.tuned(shapes.linear(), 1, 2.0, 10, sigma=0), "sigma is 0.0"),
    (lambda: shapes.tuned(shapes.linear(), 1, 2.0, 10, cap="x"), "cap is 'x'; it must be a number"),
    (lambda: shapes.asymptotic_risk(shapes.linear(), 1.0, 2.0, 1e3), "carries a logarithm"),
    (lambda: shapes.twin(1.0, 2.0), "must be above capacity - 1 = 1"),
    (lambda: shapes.linear().schedule(0, 0.1), "steps is 0"),
    (lambda: shapes.linear().schedule(10, -0.1), "peak is -0.1; it must be finite and > 0"),
    (lambda: anytime.schedule(10, 0.1, 1.0), r"power is 1.0; it must be in \[0, 1\)"),
    (lambda: anytime.noise(10, 0.1, 0.5, 1.0), "capacity is 1.0; it must be finite and > 1"),
    (lambda: anytime.ramp_noise(10, -1, 1.5), "power is -1.0; it must be finite and >= 0"),
    (lambda: anytime.tuned(1.0, 2.0, 1e300, 0.5), r"steps is 1e\+300; it must be at most 1e\+40"),
    (lambda: anytime.tuned(1.0, 2.0, 1e35, 0.5, cap=1e9), "cap is 1e\\+09; cap x steps must be at most 1e\\+40, so"),
    (lambda: anytime.noise(1e30, 1e30, 0.5, 2.0), "amplitude is 1e\\+30; amplitude x steps must be at most"),
    (lambda: anytime.ramp_data(1e300, 5.0), "horizon is 1e\\+300; it must be at most 1e\\+40"),
    (lambda: anytime.ramp_data(1e30, 50.0), "power is 50; it must be at most 9.13"),
    (lambda: anytime.ramp_data(10.0, -1.0), "power is -1.0; it must be finite and >= 0"),
    (lambda: anytime.ramp_exponent(-1.0, 1.5), "power is -1.0; it must be finite and >= 0"),
    (lambda: anytime.ramp_exponent(math.nan, 1.5), "power is nan; it must be finite and >= 0"),
    (lambda: shapes.noise("linear", 2.0, 10, 0.1), "shape is 'linear'; it must be a Shape"),
    (lambda: shapes.tuned("linear", 1.0, 2.0, 10), "shape is 'linear'; it must be a Shape"),
    (lambda: shapes.price("linear", 2.0), "shape is 'linear'; it must be a Shape"),
    (lambda: shapes.tuned(shapes.linear(), 1.0, 2.0, 1e38, cap=1e9), "cap is 1e\\+09; cap x steps must be at most"),
    (lambda: exponents.shape_powers(1.0, 2.0, -1.0), r"tail is -1.0; it must be in \[0, 1e\+30\]"),
    (lambda: anytime.ramp_exponent(0.2, 0.5), "memory must be > 1, or < 1 with power > 0.5"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
