"""The functional law in continuous time against quadrature, and against the law on the steps of a run."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from theorycheck.theory import learning_rates
from theorycheck.theory.fsl.continuous import NoiseProfile, from_schedule
from theorycheck.theory.fsl.continuous_law import continuous_law
from theorycheck.theory.fsl.functional_law import law_terms
from theorycheck.theory.fsl.problem import PowerLawRegression


@settings(deadline=None, max_examples=20)
@given(source=st.floats(0.2, 2.5), capacity=st.floats(1.2, 4.0), width=st.integers(1, 9),
       levels=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=3), last=st.floats(0.1, 100.0))
def test_every_term_is_its_integral(source, capacity, width, levels, last):
    modes = PowerLawRegression(source, capacity, width).spectrum()
    edges = np.concatenate([[0.0], np.geomspace(0.3 * last, 1.2 * last, len(levels))])
    found = continuous_law(modes, NoiseProfile(edges, levels), [0.0, 0.2 * last, last] if len(levels) > 1 else [0.0])

    def decaying(weights, time):
        return float(np.sum(weights * np.exp(-2.0 * modes.eigenvalues * time)))

    weights = modes.eigenvalues * modes.target_squared
    for i, time in enumerate(found.times):
        learned = unit = 0.0
        for low, high, level in zip(edges[:-1], np.minimum(edges[1:], time), levels, strict=True):
            if high > low:
                def kernel(z, time=time):
                    return decaying(modes.eigenvalues**2, time - z)
                learned += level * quad(lambda z: kernel(z) * decaying(weights, z), low, high, epsrel=1e-11)[0]
                unit += level * quad(kernel, low, high, epsrel=1e-11)[0]
        assert found.signal[i] == pytest.approx(decaying(weights, time), rel=1e-12, abs=1e-300)
        assert found.signal_noise[i] == pytest.approx(learned, rel=1e-9, abs=1e-15)
        assert found.unit_noise[i] == pytest.approx(unit, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("width", [300, math.inf])
def test_small_steps_approach_continuous_time(width):
    problem = PowerLawRegression(0.7, 2.0, width, noise=0.5)
    errors = []
    for steps in (1000, 2000, 4000):
        schedule = learning_rates.constant(steps, 400.0 / steps)
        law = law_terms(problem, schedule, batch_size=round(4000 / steps), times=[steps])
        exact = continuous_law(problem, NoiseProfile([0.0, 401.0], [0.1]), [400.0])
        assert exact.total(0.5)[0] == pytest.approx(
            exact.signal[0] + exact.signal_noise[0] + 0.25 * exact.unit_noise[0], rel=1e-15)
        errors.append(law.noise[0] / (exact.total(0.5)[0] - exact.signal[0]) - 1)
        assert law.signal[0] == pytest.approx(exact.signal[0], rel=1e-8)
    # The error is of first order in the rate, so one extrapolation removes most of it.
    assert abs(2 * errors[2] - errors[1]) < 0.1 * abs(errors[2]) < 0.06 * abs(errors[1])


@pytest.mark.parametrize("source", [0.3, 1.5])
def test_power_laws_by_quadrature(source):
    problem, gamma = PowerLawRegression(source, 2.0), NoiseProfile([0.0, 30.0, math.inf], [0.2, 0.0])
    found = continuous_law(problem, gamma, [0.0, 10.0, 100.0], kernel="power")
    for i, time in enumerate(found.times):
        def integrand(z, time=time):
            return 0.2 * (1 + time - z) ** -1.5
        expected = [(1 + time) ** -source] + [quad(f, 0, min(time, 30.0), epsrel=1e-11)[0]
                                              for f in (lambda z: integrand(z) * (1 + z) ** -source, integrand)]
        np.testing.assert_allclose([found.signal[i], found.signal_noise[i], found.unit_noise[i]], expected, rtol=1e-8)


def test_all_features_dominate_the_first_ones():
    problem = PowerLawRegression(0.7, 2.0, 30)
    gamma = NoiseProfile([0.0, 500.0, math.inf], [0.2, 0.0])
    times = np.geomspace(1.0, 1e5, 40)
    few, all_features = (continuous_law(problem, gamma, times, limit) for limit in ("width", "infinite"))
    for name in ("signal", "signal_noise", "unit_noise"):
        assert np.all(getattr(all_features, name) > getattr(few, name))
    dense = continuous_law(problem.spectrum(), gamma, times)
    np.testing.assert_allclose(few.total(1.0), dense.total(1.0), rtol=1e-8)


def test_a_schedule_as_a_noise_profile():
    schedule = learning_rates.wsd(50, 0.3, cooldown=0.4)
    profile = from_schedule(schedule, batch_size=2)
    found = continuous_law(PowerLawRegression(1.0, 1.5, 10).spectrum(), profile, [schedule.intrinsic_time[-1]])
    assert 0 < found.unit_noise[0] < 0.15 * 0.5 * PowerLawRegression(1.0, 1.5, 10).trace


def test_bad_input_is_refused():
    problem, gamma = PowerLawRegression(1.0, 2.0, 5), NoiseProfile([0.0, 10.0], [0.1])
    for times in ([-1.0, 1.0], [2.0, 1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="increase strictly"):
            continuous_law(problem, gamma, times)
    with pytest.raises(ValueError, match="ends at t = 10"):
        continuous_law(problem, gamma, [11.0])
    with pytest.raises(ValueError, match="limit is 'all'"):
        continuous_law(problem, gamma, [1.0], limit="all")
    with pytest.raises(ValueError, match="kernel is 'fast'"):
        continuous_law(problem, gamma, [1.0], kernel="fast")
    with pytest.raises(ValueError, match="must be 'modes'"):
        continuous_law(problem.spectrum(), gamma, [1.0], kernel="power")
    with pytest.raises(ValueError, match="must be 'width'"):
        continuous_law(problem.spectrum(), gamma, [1.0], limit="infinite")
