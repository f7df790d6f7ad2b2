"""Sharp constants against mpmath series and quadrature."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from theorycheck.theory import fsl
from theorycheck.theory.fsl import asymptotics


def problem(capacity=2.0, source=0.5, noise=1.0, features="gaussian", width=math.inf):
    return fsl.PowerLawRegression(source=source, capacity=capacity, width=width, noise=noise, features=features)


@pytest.mark.parametrize("capacity, gamma, features, isotropic", [
    (2.0, 0.3, "gaussian", False), (1.1, 0.05, "gaussian", False), (4.0, 0.9, "gaussian", False),
    (2.0, 0.3, "gaussian", True), (2.0, 0.4, "laplace", False), (3.0, 0.8, "rademacher", False)])
def test_noise_mass(capacity, gamma, features, isotropic):
    q = 0 if isotropic else problem(features=features).kurtosis - 2
    exact = sum((mpmath.mpf(q) * gamma / 2) ** k * gamma / 2 * mpmath.zeta(capacity * (k + 1)) for k in range(200))
    assert fsl.noise_mass(problem(capacity, features=features), gamma, isotropic) == pytest.approx(float(exact),
                                                                                                  rel=1e-11)


@pytest.mark.parametrize("capacity, source, gamma", [(2.0, 2.5, 0.2), (1.5, 1.2, 0.3), (4.0, 3.0, 0.9)])
def test_signal_mass(capacity, source, gamma):
    """The integral of the noise-free risk, ``int sum lambda theta^2 exp(-(2 lambda - gamma lambda^2) t) dt / 2``."""
    power = 1 + (source - 1) * capacity
    exact = sum((mpmath.mpf(gamma) / 2) ** k * mpmath.zeta(power + capacity * k) / 4 for k in range(100))
    assert asymptotics.signal_mass(problem(capacity, source), gamma) == pytest.approx(float(exact), rel=1e-11)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.1, 6.0), st.floats(0.2, 3.0))
def test_tails_are_gamma_integrals(capacity, source):
    """The mode sums as integrals over j, in closed form: ``int j^-a exp(-2 t j^-beta) dj``."""
    time = 3.7
    for law, power in ((fsl.signal_tail(problem(capacity, source)), 1 + source * capacity),
                       (fsl.kernel_tail(problem(capacity, source)), 2 * capacity)):
        # substitution x = 2 t j^-beta, integrated in log x
        exponent = (power - 1) / capacity
        integral, _ = quad(lambda u, e=exponent: math.exp(e * u - math.exp(u)), -60 / exponent, 6, limit=200,
                           epsabs=0, epsrel=1e-10)
        assert law(time) == pytest.approx(integral * (2 * time) ** -exponent / capacity, rel=1e-8)
        assert law.exponent == pytest.approx(exponent, rel=1e-12)


def test_kernel_mass():
    assert asymptotics.kernel_mass(problem(width=50)) == pytest.approx(0.5 * np.sum(np.arange(1.0, 51.0) ** -2.0))
    assert asymptotics.kernel_mass(problem(4.0)) == pytest.approx(math.pi**4 / 180)


def test_stand_in_coefficients():
    tail, mass = fsl.stand_in_coefficients(problem(4.0))
    assert tail == pytest.approx(math.gamma(1.75) * 2**-1.75 / 4) and mass == pytest.approx(0.375 * math.pi**4 / 90)
    assert mass / tail == pytest.approx(5.94, abs=0.01)


@pytest.mark.parametrize("width", [1, 7])
def test_self_convolution_against_quadrature(width):
    spectrum = problem(1.5, width=width).spectrum()
    for time in (0.0, 0.3, 5.0, 60.0):
        exact, _ = quad(lambda z, t=time: float(fsl.kernel(spectrum, [z])[0] * fsl.kernel(spectrum, [t - z])[0]),
                        0.0, time, epsrel=1e-11, epsabs=0)
        assert asymptotics.kernel_self_convolution(spectrum, [time])[0] == pytest.approx(exact, rel=1e-9)


def test_self_convolution_of_compressed_modes():
    whole = problem(2.0, width=400)
    times = np.geomspace(0.1, 1e5, 7)
    few = asymptotics.kernel_self_convolution(fsl.compress(whole, 1e5), times)
    np.testing.assert_allclose(few, asymptotics.kernel_self_convolution(whole.spectrum(), times), rtol=1e-8)


def test_limits_of_the_risk():
    """Small noise: gradient flow.  Both branches meet the exact risk."""
    task = problem(2.0, 0.5, noise=0.0)
    assert fsl.risk_tail(task, 0.0)(1e6) == pytest.approx(0.5 * fsl.signal_tail(task)(1e6))
    for source in (0.5, 2.5):
        task = problem(2.0, source, noise=0.0)
        exact = fsl.sde_risk(task, 0.3, [1e7]).final
        assert exact == pytest.approx(float(fsl.risk_tail(task, 0.3)(1e7)), rel=1e-3)


def test_plateau_is_the_small_rate_limit_of_the_stationary_risk():
    for features in ("gaussian", "uniform", "laplace"):
        task = problem(2.0, features=features, width=2000)
        sgd = fsl.stationary_risk(task.spectrum(), 0.001, 1)
        smooth = asymptotics.plateau(task, 0.001)
        # width 2000 instead of infinity changes rho by 2e-4 / 1.64, the discrete steps by order 1e-3
        tail = task.approximation_error
        assert sgd - tail == pytest.approx(smooth, rel=3e-3)


@pytest.mark.parametrize("call, message", [
    (lambda: fsl.noise_mass(problem(), -0.1), "noise level is -0.1"),
    (lambda: fsl.noise_mass(problem(), 2.0), r"must be in \[0, 2\)"),
    (lambda: fsl.plateau(problem(), 1.1), "grows forever"),
    (lambda: fsl.drop_tail(problem(), math.nan), "noise level is nan"),
    (lambda: fsl.risk_tail(problem(2.0, 1.5), 0.1), "not a pure power law"),
    (lambda: asymptotics.signal_mass(problem(2.0, 1.0), 0.1), "source is 1.0"),
    (lambda: asymptotics.kernel_self_convolution(problem(width=3).spectrum(), [-1.0]), "times reach down to -1")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
