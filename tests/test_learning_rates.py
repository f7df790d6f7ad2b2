"""Learning-rate and batch-size schedules: shapes, properties, CSV, and what is refused."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory import batch_sizes
from theorycheck.theory import learning_rates as lr

STEPS = st.integers(1, 3000)
PEAKS = st.floats(1e-6, 10.0)

SHAPES = {
    "constant": lambda k, a, b: lr.constant(k, a),
    "linear": lr.linear,
    "cosine": lr.cosine,
    "power": lambda k, a, b: lr.power(k, a, 2.5, b),
    "exponential": lr.exponential,
    "wsd": lambda k, a, b: lr.wsd(k, a, 0.3, b),
    "wsd linear": lambda k, a, b: lr.wsd(k, a, 0.3, b, shape="linear"),
    "wsd 1-sqrt": lambda k, a, b: lr.wsd(k, a, 0.3, b, shape="1-sqrt"),
    "cyclic": lr.cyclic,
}


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS, peak=PEAKS, fraction=st.floats(1e-6, 1.0))
def test_every_shape_stays_between_final_and_peak(name, steps, peak, fraction):
    final = fraction * peak
    schedule = SHAPES[name](steps, peak, final)
    assert schedule.steps == steps and schedule.rates.shape == (steps,)
    assert schedule.rates[0] == pytest.approx(peak, rel=1e-14) and schedule.peak <= peak * (1 + 1e-14)
    assert schedule.rates.min() >= min(final, peak) * (1 - 1e-12)
    if name not in ("cyclic",):
        assert np.all(np.diff(schedule.rates) <= 1e-15 * peak)
    time = schedule.intrinsic_time
    assert time[0] == 0 and time.shape == (steps + 1,)
    assert time[-1] == pytest.approx(math.fsum(schedule.rates), rel=1e-12)
    assert np.array_equal(np.diff(time) >= 0, np.ones(steps, bool))


def test_values_of_the_shapes():
    np.testing.assert_allclose(lr.linear(4, 1.0).rates, [1.0, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(lr.cosine(4, 1.0, 0.2).rates[2], 0.6)
    np.testing.assert_allclose(lr.power(4, 2.0, 2.0).rates, 2 * np.array([1, 9 / 16, 1 / 4, 1 / 16]))
    np.testing.assert_allclose(lr.exponential(2, 1.0, 0.01).rates, [1.0, 0.1])
    np.testing.assert_allclose(lr.cyclic(8, 1.0, cycles=2).rates, [1, 0.5, 0, 0.5] * 2, atol=1e-15)
    wsd = lr.wsd(10, 1.0, cooldown=0.4, final=0.0, shape="linear").rates
    np.testing.assert_allclose(wsd, [1] * 6 + [1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(lr.wsd(4, 1.0, cooldown=1.0, shape="1-sqrt").rates, 1 - np.sqrt(np.arange(4) / 4))
    eight = lr.multi_step(100, 1.0)
    assert eight.name == "8-1-1" and eight.rates[79] == 1 and eight.rates[80] == pytest.approx(10**-0.5)
    assert eight.rates[89] == pytest.approx(10**-0.5) and eight.rates[90] == pytest.approx(0.1)


def test_default_finals():
    assert lr.exponential(100, 0.5).rates[50] == pytest.approx(0.5 * 100**-0.5)
    assert lr.wsd(100, 0.5, cooldown=0.2).rates[90] == pytest.approx(0.5 * 100**-0.5)
    assert lr.wsd(100, 0.5, cooldown=0.2, shape="linear").rates[90] == pytest.approx(0.25)


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 2000), PEAKS, st.floats(1e-4, 0.9))
def test_exponential_decay_is_linear_in_intrinsic_time(steps, peak, fraction):
    """Rates fall on a straight line against the time accumulated so far, exactly, as a geometric series does."""
    schedule = lr.exponential(steps, peak, fraction * peak)
    ratio = fraction ** (1.0 / steps)
    slope = 1.0 - ratio
    np.testing.assert_allclose(schedule.rates, peak - slope * schedule.intrinsic_time[:-1], rtol=1e-9,
                               atol=1e-12 * peak)


@settings(max_examples=40, deadline=None)
@given(STEPS, PEAKS, st.floats(0.001, 1.0))
def test_wsd_cools_down_over_whole_steps(steps, peak, cooldown):
    schedule = lr.wsd(steps, peak, cooldown, final=0.0, shape="linear")
    decay = max(1, round(cooldown * steps))
    assert np.all(schedule.rates[:steps - decay + 1] == peak)
    assert decay == 1 or schedule.rates[steps - decay + 1] < peak


def test_warmup_goes_in_front():
    plain = lr.cosine(50, 0.4)
    warm = lr.warmup(plain, 3)
    np.testing.assert_allclose(warm.rates[:3], [0.1, 0.2, 0.3])
    assert np.array_equal(warm.rates[3:], plain.rates) and warm.name == "warm-up + cosine"
    assert np.array_equal(lr.warmup(plain, 0).rates, plain.rates)
    np.testing.assert_allclose(lr.warmup(plain, 1, start=0.2).rates[0], 0.3)


def test_schedules_cannot_be_changed():
    rates = np.ones(5)
    schedule = lr.from_array(rates)
    rates[0] = 7.0
    assert schedule.rates[0] == 1.0
    with pytest.raises(ValueError):
        schedule.rates[0] = 2.0
    with pytest.raises(AttributeError):
        schedule.rates = rates


@pytest.mark.parametrize("call, message", [
    (lambda: lr.constant(0, 0.1), r"steps is 0; it must be an integer in \[1, "),
    (lambda: lr.constant(2.5, 0.1), "steps is 2.5"),
    (lambda: lr.constant(math.nan, 0.1), "steps is nan"),
    (lambda: lr.constant(10**12, 0.1), "steps is 1000000000000"),
    (lambda: lr.constant(10, 0.0), "peak is 0.0; it must be finite and > 0"),
    (lambda: lr.constant(10, math.inf), "peak is inf"),
    (lambda: lr.cosine(10, 0.1, 0.2), r"final is 0.2; it must be in \[0, peak = 0.1\]"),
    (lambda: lr.cosine(10, 0.1, -0.2), "final is -0.2"),
    (lambda: lr.linear(10, 0.1, math.nan), "final is nan"),
    (lambda: lr.exponential(10, 0.1, 0.0), "final is 0.0; it must be finite and > 0"),
    (lambda: lr.power(10, 0.1, 0.0), "exponent is 0.0"),
    (lambda: lr.wsd(10, 0.1, cooldown=0.0), r"cooldown is 0.0; it must be in \(0, 1\]"),
    (lambda: lr.wsd(10, 0.1, cooldown=1.5), "cooldown is 1.5"),
    (lambda: lr.wsd(10, 0.1, shape="cubic"), "shape is 'cubic'; it must be one of exponential, linear, 1-sqrt"),
    (lambda: lr.cyclic(10, 0.1, cycles=0), "cycles is 0"),
    (lambda: lr.multi_step(10, 0.1, milestones=()), "milestones"),
    (lambda: lr.multi_step(10, 0.1, milestones=(0.9, 0.8)), "increase strictly"),
    (lambda: lr.multi_step(10, 0.1, milestones=(0.0, 0.8)), "within"),
    (lambda: lr.multi_step(10, 0.1, factor=-1), "factor is -1"),
    (lambda: lr.warmup(lr.constant(5, 0.1), -1), "warm-up steps is -1"),
    (lambda: lr.warmup(lr.constant(5, 0.1), 2, start=0.2), "start of the warm-up is 0.2"),
    (lambda: lr.from_array([]), "shape"),
    (lambda: lr.from_array([[0.1]]), "shape"),
    (lambda: lr.from_array(["a"]), "must be numbers"),
    (lambda: lr.from_array([0.1, -0.1]), "learning rate of step 1 is -0.1; it must be >= 0"),
    (lambda: lr.from_array([0.1, math.nan]), "learning rate of step 1 is nan; it must be finite"),
    (lambda: lr.from_array([0.0, 0.0]), "every learning rate is 0")])
def test_invalid_schedules_are_refused_with_the_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_csv_with_and_without_steps():
    np.testing.assert_allclose(lr.from_csv(["lr", "0.1", "0.2"]).rates, [0.1, 0.2])
    text = ["\ufeffstep, lr ,loss\r\n", "2,0.1,9\r\n", "\r\n", "4,0.3,8\r\n", "5,0.1,7\r\n"]
    np.testing.assert_allclose(lr.from_csv(text).rates, [0.1, 0.1, 0.1, 0.2, 0.3, 0.1])


@pytest.mark.parametrize("lines, message", [
    ([], "column 'lr' is missing; the header has: nothing"),
    (["step;lr", "1;0.1"], "column 'lr' is missing; the header has: step;lr"),
    (["step,rate", "1,0.1"], "the header has: step, rate"),
    (["lr"], "no row below the header"),
    (["lr", "abc"], "line 2: 'abc' is not a number"),
    (["step,lr", "1,0.1", "2"], "line 3: '' is not a number"),
    (["lr", "nan"], "line 2: nan must be finite"),
    (["lr", "-0.1"], "line 2: -0.1 must be finite and >= 0"),
    (["step,lr", "2,0.1", "1,0.1"], "strictly increasing"),
    (["step,lr", "1,0.1", "1,0.1"], "strictly increasing"),
    (["step,lr", "0.5,0.1"], "whole"),
    (["step,lr", "1e15,0.1"], "steps is 1000000000000001"),
    (["lr", '"' + "1" * (csv.field_size_limit() + 1)], "line")])
def test_bad_csv_gets_one_clear_line(lines, message):
    with pytest.raises(ValueError, match=message) as caught:
        lr.from_csv(lines)
    assert "\n" not in str(caught.value)


def test_batch_schedules():
    assert batch_sizes.constant(4, 3).sizes.tolist() == [3] * 4
    assert batch_sizes.stages(10, [1, 4, 8], [0.3, 0.6]).sizes.tolist() == [1] * 3 + [4] * 3 + [8] * 4
    assert batch_sizes.linear(4, 1, 9).sizes.tolist() == [1, 3, 5, 7]
    assert batch_sizes.exponential(4, 1, 16).sizes.tolist() == [1, 2, 4, 8]
    assert batch_sizes.from_csv(["step,batch_size", "1,4", "3,8"]).sizes.tolist() == [4, 4, 4, 8]
    assert batch_sizes.from_csv(["batch_size", "2", "3"]).samples == 5
    assert batch_sizes.as_sizes(batch_sizes.constant(3, 2), 3).tolist() == [2, 2, 2]
    assert batch_sizes.shaped_like(lr.linear(4, 0.1), 1, 7).sizes.tolist() == [1, 3, 5, 7]
    assert batch_sizes.warmup(batch_sizes.constant(2, 9), 4).sizes.tolist() == [1, 3, 5, 7, 9, 9]


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "constant"])
@given(steps=st.integers(50, 500), peak=PEAKS, size=st.integers(1, 64))
def test_batch_sizes_of_any_shape(name, steps, peak, size):
    schedule = SHAPES[name](steps, peak, peak / 8)
    shaped = batch_sizes.shaped_like(schedule, 16, 1024)
    falling = schedule.rates[:-1] > schedule.rates[1:]
    assert shaped.sizes[0] == 16 and shaped.sizes.max() == 1024
    assert np.all(np.diff(shaped.sizes)[falling] >= 0)
    matched = batch_sizes.matched(schedule, size).sizes
    # the same noise level eta/B, as far as whole batches can
    np.testing.assert_allclose(schedule.peak / matched, schedule.rates / size, rtol=0.5 / size + 1e-9)


@settings(max_examples=50, deadline=None)
@given(STEPS, st.integers(1, 10**6), st.integers(1, 10**6))
def test_batch_ramps_are_whole_and_between_their_ends(steps, first, last):
    for ramp in (batch_sizes.linear, batch_sizes.exponential):
        sizes = ramp(steps, first, last).sizes
        assert np.array_equal(sizes, np.round(sizes)) and sizes[0] == first
        assert min(first, last) <= sizes.min() and sizes.max() <= max(first, last)


@pytest.mark.parametrize("call, message", [
    (lambda: batch_sizes.constant(3, 0), "batch size of step 0 is 0.0; it must be a whole number >= 1"),
    (lambda: batch_sizes.constant(3, 1.5), "batch size of step 0 is 1.5"),
    (lambda: batch_sizes.constant(3, math.nan), "finite"),
    (lambda: batch_sizes.as_sizes([1, 2], 3), "2 steps; the learning-rate schedule has 3"),
    (lambda: batch_sizes.stages(10, [1, 2], [0.3, 0.6]), "one more size than milestones"),
    (lambda: batch_sizes.stages(10, [1, 2], [1.0]), "within"),
    (lambda: batch_sizes.linear(10, 0, 5), "first batch size is 0"),
    (lambda: batch_sizes.exponential(10, 1, math.inf), "last batch size is inf"),
    (lambda: batch_sizes.from_csv(["batch_size", "1.5"]), "whole number"),
    (lambda: batch_sizes.shaped_like(lr.constant(4, 0.1), 1, 8), "must vary to have a shape"),
    (lambda: batch_sizes.shaped_like([0.1, 0.2], 1, 8), "must be a learning-rate Schedule"),
    (lambda: batch_sizes.shaped_like(lr.linear(4, 0.1), 0.5, 8), "first batch size is 0.5; it must be >= 1"),
    (lambda: batch_sizes.matched(lr.cyclic(8, 0.1)), "learning rate of step 1 is 0.0; it must be > 0"),
    (lambda: batch_sizes.warmup(lr.constant(4, 0.1), 3), "must be a BatchSchedule"),
    (lambda: batch_sizes.warmup(batch_sizes.constant(4, 8), 0), "steps is 0")])
def test_invalid_batch_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
