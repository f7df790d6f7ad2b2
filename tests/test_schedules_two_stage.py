"""Two stages, catch-up and the exact risk by stages: brute force, quadrature, stepping, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from theorycheck.theory import learning_rates
from theorycheck.theory.fsl import PowerLawRegression, compress, exact_risk
from theorycheck.theory.schedules.catch_up import catch_up_power, catch_up_time, equal_data_gap, gap, limit_time
from theorycheck.theory.schedules.power_law import PowerLaw
from theorycheck.theory.schedules.stages import Stage, best_switch, switched_risk, two_stage_risk
from theorycheck.theory.schedules.two_stage import interior, limit_length, staged, two_stage
from theorycheck.theory.schedules.variational import optimum

TASKS = {"source": st.floats(0.1, 2.5), "capacity": st.floats(1.1, 5.0), "noise": st.floats(0.2, 3.0)}
DATA = st.floats(1.0, 12.0).map(lambda power: 10.0**power)


@settings(deadline=None)
@given(data=DATA, first=st.floats(0.1, 10.0), growth=st.floats(1.01, 50.0), **TASKS)
def test_no_other_switch_is_better(data, first, growth, **task):
    best = two_stage(data=data, first=first, second=first * growth, **task)
    assert first * (best.horizon - best.remaining) + best.second * best.remaining == pytest.approx(data, rel=1e-9)
    assert best.switch == pytest.approx(data * (1 - best.share), rel=1e-6, abs=1e-6 * data)
    for share in np.concatenate([[0.0], np.geomspace(1e-9, 1.0, 60)]):
        assert best.moved(share).loss >= best.loss * (1 - 1e-9)
        assert best.cost(share) >= -1e-9
    # two stages are one path of many, with the floor r1
    assert optimum(data=data, floor=first, **task).loss <= best.loss * (1 + 1e-9)


@settings(deadline=None, max_examples=40)
@given(data=st.floats(10.0, 1e6), share=st.floats(0.0, 1.0), **TASKS)
def test_loss_by_quadrature(data, share, **task):
    law = PowerLaw(**task)
    run = staged(law, data, 2.0, 9.0, share * data / 9.0)
    edges = np.log1p([0.0, run.remaining, run.horizon])
    parts = [quad(lambda z: math.exp(z) * float(law.kernel(math.expm1(z))), a, b, epsrel=1e-11)[0] / ratio
             for a, b, ratio in zip(edges[:-1], edges[1:], (9.0, 2.0))]
    assert run.loss == pytest.approx((1 + run.horizon) ** -law.source + law.noise**2 * sum(parts), rel=1e-8)
    assert run.above_floor == pytest.approx(run.loss - run.floor, rel=1e-9, abs=1e-12 * run.loss)


@settings(deadline=None, max_examples=60)
@given(switch=st.floats(1.0, 1e6), delay=st.floats(0.0, 1e7), **TASKS)
def test_the_gap_is_a_difference_of_losses(switch, delay, **task):
    law = PowerLaw(**task)
    length = switch + delay
    early = float(law.kernel_mass(delay, length)) * law.noise**2
    late = float(law.kernel_mass(0.0, delay)) * law.noise**2 / 16.0
    assert float(gap(law, 1.0, 16.0, switch, delay)) == pytest.approx(early / 1.0 + late - (early / 16.0 + late),
                                                                     rel=1e-9)
    # at equal data: the large batch alone has used switch + 16 delay samples after switch/16 + delay
    mine = float(law.signal(length)) + early + late
    other = switch / 16.0 + delay
    theirs = float(law.signal(other)) + law.noise**2 * float(law.kernel_mass(0.0, other)) / 16.0
    assert float(equal_data_gap(law, 1.0, 16.0, switch, delay)) == pytest.approx(mine - theirs, rel=1e-6,
                                                                                abs=1e-11 * (mine + theirs))


@settings(deadline=None)
@given(switch=st.floats(1.0, 1e9), eps=st.floats(1e-4, 10.0), to=st.sampled_from(["signal", "floor"]), **TASKS)
def test_catch_up_time_is_where_the_gap_crosses(switch, eps, to, **task):
    law = PowerLaw(**task)
    time = catch_up_time(law, 1.0, 8.0, switch, eps, to)

    def excess(delay):
        level = float(law.signal(switch + delay)) if to == "signal" else law.noise**2 / (8.0 * law.forgetting)
        return float(gap(law, 1.0, 8.0, switch, delay)) / (eps * level)

    if time == 0.0:
        assert excess(0.0) <= 1 + 1e-9
    elif math.isfinite(time) and time < 1e25:
        assert excess(time) == pytest.approx(1.0, rel=1e-6) and excess(2.0 * time + 1.0) < 1.0
    elif time == math.inf and law.source > 1.05 + law.forgetting:
        assert excess(1e25) > excess(1e24)   # it gets worse and worse


@pytest.mark.parametrize("source, capacity", [(0.3, 3.0), (0.2, 2.0), (1.0, 2.0), (0.8, 1.5)])
def test_limits_of_the_catch_up_time(source, capacity):
    law = PowerLaw(source, capacity)
    for relative_to, rel in (("signal", 0.02), ("floor", 1e-4)):
        limit = limit_time(law, 1.0, 4.0, 1e26, 0.01, relative_to)
        assert catch_up_time(law, 1.0, 4.0, 1e26, 0.01, relative_to) == pytest.approx(limit, rel=rel)
    assert catch_up_power(3.0, 2.0) == math.inf and catch_up_power(0.5, 2.0) == pytest.approx(1.0)


@pytest.mark.parametrize("features", ["gaussian", "rademacher"])
def test_risk_by_stages_is_that_of_stepping(features):
    spectrum = compress(PowerLawRegression(0.4, 1.8, noise=0.7, features=features), 1e4)
    second = np.array([0, 1, 7, 500])
    found = two_stage_risk(spectrum, 0.15, (2, 32), 1000, second)
    sizes = np.concatenate([np.full(1000, 2), np.full(500, 32)])
    stepped = exact_risk(spectrum, learning_rates.constant(1500, 0.15), sizes, times=1000 + second).excess_risk
    np.testing.assert_allclose(found, stepped, rtol=1e-10)
    early, late = Stage(spectrum, 0.15, 2), Stage(spectrum, 0.15, 32)
    start = late.take_over(early.after(early.start(), 300), early)
    apart = start - late.after(late.start(), 300)
    direct = late.risk(late.after(start, 40)) - late.risk(late.after(late.start(), 340))
    assert late.risk_difference(apart, 40) == pytest.approx(direct, rel=1e-8)


def test_the_boundary_is_found_to_rounding():
    law = PowerLaw(2.0 / 3.0, 3.0)   # one unit in the last place off 1 - 1/3
    assert law.source != law.forgetting
    with pytest.raises(ValueError, match="source is 0.666667"):
        limit_time(law, 1.0, 16.0, 1e12, 0.01)
    assert catch_up_power(2.0 / 3.0, 3.0) == pytest.approx(1.0)
    for source in (5.0 / 3.0, 1.0 + 2.0 / 3.0, np.nextafter(5.0 / 3.0, 2.0)):   # s = 1 + q: gap and signal in step
        assert catch_up_power(source, 3.0) == math.inf
        assert math.isfinite(catch_up_time(PowerLaw(source, 3.0), 1.0, 16.0, 10.0, 1000.0))
        assert catch_up_time(PowerLaw(source, 3.0), 1.0, 16.0, 1e6, 0.01) == math.inf
    assert limit_time(PowerLaw(0.3, 2.0), 1.0, 16.0, 10.0, 1e-300, "floor") == math.inf


def test_the_best_switch_of_sgd():
    spectrum = compress(PowerLawRegression(0.3, 3.0, noise=0.5), 1e4)
    early, late = Stage(spectrum, 0.2, 1.0), Stage(spectrum, 0.2, 16.0)
    share = best_switch(early, late, 2e4)
    second = 2e4 / 16.0 * np.append(share, np.geomspace(1e-6, 1.0, 200))
    risks = switched_risk(early, late, np.maximum(2e4 - 16.0 * second, 0.0), second)
    assert 0.0 < share < 0.5 and risks[0] <= risks[1:].min() * (1 + 1e-9)
    np.testing.assert_allclose(risks, two_stage_risk(spectrum, 0.2, (1, 16), np.maximum(2e4 - 16.0 * second, 0.0),
                                                     second), rtol=1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda: staged(PowerLaw(1.0, 2.0), -1.0, 1.0, 4.0, 1.0), "data is -1.0"),
    (lambda: staged(PowerLaw(1.0, 2.0), 100.0, 1.0, 4.0, -5.0), r"remaining is -5.0; it must be in \[0"),
    (lambda: staged(PowerLaw(1.0, 2.0), 100.0, 1.0, 4.0, 26.0), r"remaining is 26; it must be in \[0, 25\]"),
    (lambda: limit_length(PowerLaw(0.3, 2.0), -1.0, 1.0, 4.0), "data is -1.0"),
    (lambda: interior(PowerLaw(0.5, 2.0), 0, 2), "first is 0.0"),
    (lambda: gap(PowerLaw(1.0, 2.0), 1.0, 2.0, 10.0, -5.0), "delays are .*-5.*; they must be finite and >= 0"),
    (lambda: equal_data_gap(PowerLaw(1.0, 2.0), 1.0, 2.0, 10.0, math.nan), "delays are .*nan"),
    (lambda: two_stage_risk(compress(PowerLawRegression(1.0, 2.0), 10.0), 0.1, (1.0,), 1, 1), "they must be two"),
    (lambda: two_stage_risk(compress(PowerLawRegression(1.0, 2.0), 10.0), 0.1, (1, 2), -5, 1), "first_steps are .*-5"),
    (lambda: two_stage(1.0, 2.0, 100.0, 4.0, 4.0), r"first is 4; it must be in \(0, 4\)"),
    (lambda: two_stage(1.0, 2.0, -1.0, 1.0, 4.0), "data is -1.0"),
    (lambda: two_stage(1.0, 2.0, 100.0, 1.0, 4.0).moved(1.5), r"share is 1.5; it must be in \[0, 1\]"),
    (lambda: gap(PowerLaw(1.0, 2.0), 1.0, 0.5, 10.0, 1.0), r"first is 1; it must be in \(0, 0.5\)"),
    (lambda: gap("law", 1.0, 2.0, 10.0, 1.0), "law is 'law'"),
    (lambda: catch_up_time(PowerLaw(1.0, 2.0), 1.0, 2.0, 10.0, 0.1, "loss"), "relative_to is 'loss'"),
    (lambda: limit_time(PowerLaw(0.5, 2.0), 1.0, 2.0, 10.0, 0.1), "source is 0.5"),
    (lambda: Stage(compress(PowerLawRegression(1.0, 2.0), 10.0), 5.0, 1.0), "not mean-square stable"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
