"""Continuous-time risk: exponential integrator, closed form, product integration and a general ODE solver."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from theorycheck.theory import batch_sizes, fsl, learning_rates


def by_ode_solver(spectrum, gamma, times, isotropic=False):
    """Moment equations by DOP853; `gamma` smooth."""
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    own = 0.0 if isotropic else spectrum.kurtosis - 2.0

    def slope(t, moments):
        risk = weights * values @ moments + spectrum.label_variance
        return -2 * values * moments + gamma(t) * (values * risk + own * values**2 * moments)

    path = solve_ivp(slope, (0.0, times[-1]), spectrum.target_squared, method="DOP853", t_eval=times, rtol=1e-11,
                     atol=1e-14)
    return spectrum.approximation_error + 0.5 * (weights * values) @ path.y


def wave(t):
    return 0.15 * (1.0 + np.cos(0.2 * np.asarray(t)))


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("features", ["gaussian", "rademacher", "laplace"])
def test_against_a_general_ode_solver(features, isotropic):
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20, noise=0.7, features=features)
    times = np.array([0.0, 0.01, 0.5, 3.0, 10.0, 40.0, 100.0])
    curve = fsl.sde_risk(problem.spectrum(), wave, times, isotropic, tolerance=1e-10)
    expected = by_ode_solver(problem.spectrum(), wave, times, isotropic)
    np.testing.assert_allclose(curve.excess_risk, expected, rtol=1e-8)
    assert np.max(np.abs(curve.excess_risk / expected - 1)) <= curve.error_bound + 1e-9


def test_one_mode_against_mpmath():
    """q' = -a q + b with a > 0 as small and as large as they come."""
    for value, gamma in ((1.0, 0.3), (1e-9, 0.5), (50.0, 0.001)):
        spectrum = fsl.Spectrum([value], [0.8], approximation_error=0.01, noise=0.5)
        times = np.array([1e-6, 1.0, 1e3, 1e6])
        with mpmath.workdps(40):
            lam, g, y = mpmath.mpf(value), mpmath.mpf(gamma), mpmath.mpf(spectrum.label_variance)
            rate = 2 * lam - 2 * g * lam**2
            exact = [spectrum.approximation_error + float(
                (lam * mpmath.mpf(0.8) * mpmath.exp(-rate * t)
                 + g * lam**2 * y * -mpmath.expm1(-rate * t) / rate) / 2) for t in map(mpmath.mpf, times)]
        np.testing.assert_allclose(fsl.eigen_sde_risk(spectrum, gamma, times), exact, rtol=1e-13)
        curve = fsl.sde_risk(spectrum, gamma, times, tolerance=1e-9)
        np.testing.assert_allclose(curve.excess_risk, exact, rtol=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.1, 3.0), st.floats(1.5, 5.0), st.floats(0.0, 3.0), st.floats(0.0, 0.6), st.booleans())
def test_against_closed_form(source, capacity, noise, strength, isotropic):
    """Any task, any constant noise level below 0.6 of the critical one; the stated error holds."""
    problem = fsl.PowerLawRegression(source=source, capacity=capacity, noise=noise)
    gamma = strength * 2.0 / (2.0 + problem.trace)
    times = np.geomspace(0.01, 1e4, 15)
    spectrum = fsl.compress(problem, times[-1])
    curve = fsl.sde_risk(spectrum, gamma, times, isotropic)
    exact = fsl.eigen_sde_risk(spectrum, gamma, times, isotropic)
    assert np.max(np.abs(curve.excess_risk / exact - 1)) <= curve.error_bound + 1e-10
    assert curve.error_bound <= 1e-7


def test_a_billion_units_of_time():
    """T = 1e9: the stated error is below 1e-6 and covers the distance to a run with a tighter tolerance."""
    problem = fsl.PowerLawRegression(source=0.3, capacity=2.0)
    times = np.geomspace(1e-2, 1e9, 40)
    profile = fsl.NoiseProfile([0.0, 1e8, 5e8, math.inf], [0.2, 0.05, 0.0])
    curve = fsl.sde_risk(problem, profile, times)
    reference = fsl.sde_risk(problem, profile, times, tolerance=1e-11)
    assert curve.error_bound < 1e-6
    assert np.max(np.abs(curve.excess_risk / reference.excess_risk - 1)) <= curve.error_bound


def test_product_integration_converges_to_the_isotropic_modes():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=30, noise=1.0)
    profile = fsl.NoiseProfile([0.0, 10.0, 15.0, 20.0], [0.2, 0.02, 0.1])
    for gamma, breaks in ((profile, ()), (wave, ()), (lambda t: np.where(np.asarray(t) < 10, 0.2, 0.05), (10.0,))):
        times = np.linspace(0, 20, 9)
        modes = fsl.sde_risk(problem, gamma, times, True, breaks, tolerance=1e-10).excess_risk
        errors = []
        for points in (160, 320):
            curve = fsl.volterra_risk(problem, gamma, 20.0, points, breaks)
            errors.append(np.max(np.abs(curve.excess_risk[::points // 8] / modes - 1)))
            assert errors[-1] <= 1.2 * curve.error_bound
        assert 3.8 < errors[0] / errors[1] < 4.2


def test_constant_noise_without_signal_reaches_the_plateau():
    problem = fsl.PowerLawRegression(source=1.0, capacity=2.0, width=40, noise=1.0)
    spectrum = fsl.Spectrum(problem.eigenvalues, np.zeros(40), noise=1.0)
    rho = 0.2 * spectrum.trace / 2
    late = fsl.sde_risk(spectrum, 0.2, [1e5], isotropic=True).final
    assert late == pytest.approx(0.5 * rho / (1 - rho), rel=1e-7)


def test_isotropic_is_kurtosis_two():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20)
    plain = problem.spectrum()
    two = fsl.Spectrum(plain.eigenvalues, plain.target_squared, plain.approximation_error, plain.noise, kurtosis=2.0)
    times = [0.5, 5.0, 50.0]
    assert np.array_equal(fsl.sde_risk(plain, 0.2, times, isotropic=True).excess_risk,
                          fsl.sde_risk(two, 0.2, times).excess_risk)


def test_neumann_series_sums_to_the_solution():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=30)
    times, iterates = fsl.neumann_iterates(problem, wave, 40.0, 400, count=40)
    solved = fsl.volterra_risk(problem, wave, 40.0, 400)
    assert np.array_equal(times, solved.intrinsic_time)
    np.testing.assert_allclose(iterates[-1], solved.excess_risk, rtol=1e-12)
    assert np.all(np.diff(iterates, axis=0) >= 0)
    spectrum = problem.spectrum()
    np.testing.assert_allclose(iterates[0], problem.approximation_error + 0.5 * fsl.signal(spectrum, times), rtol=1e-9)


def test_profile_of_a_schedule():
    schedule = learning_rates.from_array([0.2, 0.2, 0.0, 0.1, 0.1])
    profile = fsl.from_schedule(schedule, [1, 1, 1, 1, 2])
    np.testing.assert_allclose(profile.edges, [0.0, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(profile.levels, [0.2, 0.1, 0.05])
    np.testing.assert_allclose(profile([0.0, 0.39, 0.45, 0.6]), [0.2, 0.2, 0.1, 0.05])
    # int gamma dt = sum eta^2/B whatever was merged
    wavy = learning_rates.cyclic(500, 0.3, 0.01)
    sizes = batch_sizes.stages(500, [1, 4], [0.5])
    profile = fsl.from_schedule(wavy, sizes)
    mass = np.sum(np.diff(profile.edges) * profile.levels)
    assert mass == pytest.approx(np.sum(wavy.rates**2 / sizes.sizes), rel=1e-12)


def test_schedule_of_small_steps_approaches_the_sde():
    """Same intrinsic time and noise level, smaller steps of smaller batches: the recursion tends to the SDE."""
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=30)
    gaps = []
    for batch in (4, 2, 1):
        schedule = learning_rates.wsd(2000 // batch, 0.02 * batch, final=0.002 * batch)
        discrete = fsl.exact_risk(problem, schedule, batch).final
        smooth = fsl.sde_risk(problem, fsl.from_schedule(schedule, batch), [schedule.intrinsic_time[-1]]).final
        gaps.append(abs(discrete / smooth - 1))
    assert gaps[0] > 1.8 * gaps[1] > 3.2 * gaps[2]


def test_output_times_do_not_matter():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0)
    few = fsl.sde_risk(problem, 0.2, [100.0])
    many = fsl.sde_risk(problem, 0.2, np.geomspace(1e-3, 100.0, 300))
    assert few.final == pytest.approx(many.final, rel=few.error_bound + many.error_bound)


def test_time_zero():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0)
    assert fsl.sde_risk(problem, 0.2, [0.0]).final == pytest.approx(problem.initial_risk, rel=1e-9)
    assert fsl.sde_risk(problem, 0.2, [0.0, 1.0]).excess_risk[0] == pytest.approx(problem.initial_risk, rel=1e-9)


def test_divergence_is_explained():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20)
    with pytest.raises(ValueError, match="noise level reaches 3; the risk overflows before t = 10000"):
        fsl.sde_risk(problem, 3.0, [1e4])
    with pytest.raises(ValueError, match="noise level is 3"):
        fsl.eigen_sde_risk(problem.spectrum(), 3.0, [1e4])


PROBLEM = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20)


@pytest.mark.parametrize("call, message", [
    (lambda: fsl.sde_risk(PROBLEM, 0.1, [2.0, 1.0]), "increase strictly"),
    (lambda: fsl.sde_risk(PROBLEM, 0.1, [-1.0]), ">= 0"),
    (lambda: fsl.sde_risk(PROBLEM, 0.1, [math.inf]), "finite"),
    (lambda: fsl.sde_risk(PROBLEM, -0.1, [1.0]), "noise levels reach from -0.1"),
    (lambda: fsl.sde_risk(PROBLEM, lambda t: -np.ones_like(t), [1.0]), "noise level reaches from -1"),
    (lambda: fsl.sde_risk(PROBLEM, 0.1, [1.0], tolerance=1.0), "tolerance is 1"),
    (lambda: fsl.sde_risk(PROBLEM, fsl.NoiseProfile([0, 1], [0.1]), [2.0]), "ends at t = 1"),
    (lambda: fsl.NoiseProfile([0, 1, 1], [0.1, 0.1]), "increase strictly"),
    (lambda: fsl.NoiseProfile([1, 2], [0.1]), "start at 0"),
    (lambda: fsl.NoiseProfile([0, 1], [0.1, 0.2]), "must be"),
    (lambda: fsl.NoiseProfile([0, 1], [math.nan]), "finite and >= 0"),
    (lambda: fsl.volterra_risk(PROBLEM, 0.1, 0.0), "horizon is 0"),
    (lambda: fsl.volterra_risk(PROBLEM, 0.1, 1.0, points=1), "points is 1"),
    (lambda: fsl.neumann_iterates(PROBLEM, 0.1, 1.0, count=-1), "count is -1"),
    (lambda: fsl.eigen_sde_risk(PROBLEM.spectrum(), 0.1, [-1.0]), "times reach down"),
    (lambda: fsl.sde_risk(None, 0.1, [1.0]), "NoneType")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
