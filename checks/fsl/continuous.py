r"""Claims about continuous time: the SDE, the Volterra equation, and what they keep of discrete SGD.

Every quantity is computed twice by methods that share no code beyond the spectrum: exponential integrator, product
integration, eigendecomposition, a general-purpose ODE solver in physical time, and the discrete recursion.
"""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import zeta

from ...theory import fsl, learning_rates
from .. import judges
from ..claim import claim
from .paper import FSL


def _problem(capacity=2.0, source=0.5, width=50, noise=1.0):
    return fsl.PowerLawRegression(source=source, capacity=capacity, width=width, noise=noise)


CUT_OFF = fsl.NoiseProfile([0.0, 30.0, 45.0, 60.0], [0.2, 0.02, 0.1])
"""A noise profile with a drop and a rise, aligned with every grid below."""


def _volterra_errors(isotropic):
    """Largest difference between product integration and the mode equations, over four grids."""
    problem, sizes = _problem(), np.array([160, 320, 640, 1280])
    times = np.linspace(0.0, 60.0, 17)
    modes = fsl.sde_risk(problem, CUT_OFF, times, isotropic, tolerance=1e-11).excess_risk
    errors = [np.max(np.abs(fsl.volterra_risk(problem, CUT_OFF, 60.0, size).excess_risk[::size // 16] - modes))
              for size in sizes]
    return 60.0 / sizes, np.array(errors)


@claim("volterra_equation", topic="fsl", paper=FSL, where="Sec. 4 (proof)", stance="derived",
       statement="isotropic gradient noise: E = delta_M + e_M/2 + int K_M(t-z) gamma(z) [E(z) + sigma^2/2] dz exactly")
def volterra_equation(effort):
    """Product integration of the equation converges to the mode equations at its own order, two."""
    return judges.order(*_volterra_errors(isotropic=True), 2.0, 0.1, over="gamma .2, .02, .1 on [0, 60]")


@volterra_equation.control("mode equations with the lambda_j^2 m_j term, which is no convolution")
def _(effort):
    return judges.order(*_volterra_errors(isotropic=False), 2.0, 0.1)


def _long_run(effort, isotropic):
    """Exponential integrator and eigendecomposition on compressed modes up to a long time."""
    times = np.concatenate([[0.0], np.geomspace(1e-2, effort.choose(1e6, 1e9), 60)])
    measured, expected = [], []
    for capacity, source, noise in ((4.0, 0.5, 1.0), (2.0, 0.3, 0.0), (2.0, 1.5, 1.0), (1.5, 1.0, 0.0)):
        spectrum = fsl.compress(_problem(capacity, source, np.inf, noise), times[-1])
        measured.append(fsl.sde_risk(spectrum, 0.15, times).excess_risk)
        expected.append(fsl.eigen_sde_risk(spectrum, 0.15, times, isotropic))
    return np.array(measured), np.array(expected)


@claim("sde_closed_form", topic="fsl", paper=FSL, where="Sec. 2, eq. (7)", stance="derived",
       statement="constant gamma: E(t) = delta_M + (1/2) v^T [exp(-Gt) y_0 + gamma sigma_M^2 G^-1 (1-exp(-Gt)) v]")
def sde_closed_form(effort):
    """The time stepper against the eigendecomposition, relative error below 1e-6 everywhere."""
    return judges.equal(*_long_run(effort, isotropic=False), rtol=1e-6, over="4 tasks, t up to 1e6 (full: 1e9)")


@sde_closed_form.control("isotropic noise in the closed form")
def _(effort):
    return judges.equal(*_long_run(effort, isotropic=True), rtol=1e-6)


GAMMA = 1.0 / 128.0
TIME = 32.0


def _discrete(batches, power=1.0):
    """Risk of SGD at intrinsic time 32 with rate ``GAMMA * batch**power``, over batch sizes."""
    risks = []
    for batch in batches:
        rate = GAMMA * float(batch) ** power
        steps = round(TIME / rate)
        risks.append(fsl.exact_risk(_problem(), learning_rates.constant(steps, rate), batch, times=[steps]).final)
    return np.array(risks)


def _sde_errors(isotropic):
    batches = np.array([1, 2, 4, 8, 16])
    limit = fsl.sde_risk(_problem(), GAMMA, [TIME], isotropic, tolerance=1e-10).final
    return GAMMA * batches, np.abs(_discrete(batches) / limit - 1.0)


@claim("sde_limit", topic="fsl", paper=FSL, where="Sec. 2, eq. (7)", stance="derived",
       statement="at fixed gamma = eta/B and intrinsic time, SGD differs from its SDE by O(eta)")
def sde_limit(effort):
    """Exact recursion against the SDE at t = 32 for gamma = 1/128, eta = B/128."""
    return judges.order(*_sde_errors(isotropic=False), 1.0, 0.15, over="eta from 1/128 to 1/8")


@sde_limit.control("mode equations without the lambda_j^2 m_j term: the difference stays as eta -> 0")
def _(effort):
    return judges.order(*_sde_errors(isotropic=True), 1.0, 0.15)


@claim("linear_scaling_rule", topic="fsl", paper=FSL, where="Sec. 5", stance="reconstructed",
       statement="only eta/B matters: doubling rate and batch size changes the risk at equal intrinsic time by O(eta)")
def linear_scaling_rule(effort):
    """Exact SGD with (eta, B) against (2 eta, 2 B), as eta shrinks at fixed eta/B."""
    batches = np.array([1, 2, 4, 8])
    difference = np.abs(_discrete(2 * batches) / _discrete(batches) - 1.0)
    return judges.order(GAMMA * batches, difference, 1.0, 0.15, over="gamma=1/128, t=32")


@linear_scaling_rule.control("square-root rule: rate times sqrt(2) when the batch size doubles")
def _(effort):
    batches = np.array([1, 4, 16, 64])
    difference = np.abs(_discrete(4 * batches, power=0.5) / _discrete(batches, power=0.5) - 1.0)
    return judges.order(GAMMA * np.sqrt(batches), difference, 1.0, 0.15)


RHO = np.array([[0.08], [0.25], [0.5]])


def _neumann_ratios(noise_mass, tasks=((4.0, 100), (1.5, 30))):
    """Remainder of the Neumann series over ``rho^{n+1} (E + sigma^2/2)``, largest over time, shape (tasks, 3, 4)."""
    return np.array([_remainders(noise_mass, _problem(capacity=capacity, width=width)) for capacity, width in tasks])


def _remainders(noise_mass, problem):
    rows = []
    for rho in RHO[:, 0]:
        gamma = rho / problem.trace * 2.0
        _, iterates = fsl.neumann_iterates(problem, gamma, 2000.0, 2000, 3)
        full = fsl.volterra_risk(problem, gamma, 2000.0, 2000).excess_risk      # the fixed point on the same grid
        remainder = np.max((full - iterates) / (full + 0.5 * problem.noise**2), axis=1)
        rows.append(remainder / noise_mass(problem, gamma) ** np.arange(1.0, 5.0))
    return np.array(rows)


@claim("neumann_rate", topic="fsl", paper=FSL, where="Sec. 4 (proof)", stance="derived",
       statement="after n Picard iterates the risk lacks a fraction rho^(n+1) of E + sigma^2/2, rho = gamma tr(H_M)/2")
def neumann_rate(effort):
    """Worst relative remainder over time of iterates 0 to 3, for rho = .08, .25, .5."""
    ratio = _neumann_ratios(lambda problem, gamma: gamma * problem.trace / 2.0)
    return judges.bounded(ratio, between=(0.9, 1.05), at={"rho": RHO, "n": np.arange(4.0),
                                                         "beta": np.reshape([4.0, 1.5], (2, 1, 1))}, over="n = 0..3")


@neumann_rate.control("rho^n, as if one iterate more had been made")
def _(effort):
    return judges.bounded(_neumann_ratios(lambda problem, gamma: gamma * problem.trace / 2.0) * RHO,
                          between=(0.9, 1.05))


@neumann_rate.control("rho = gamma tr(H_inf)/2, the trace of all features, 16 per cent more at beta = 1.5, M = 30")
def _(effort):
    whole = float(zeta(1.5))
    return judges.bounded(_neumann_ratios(lambda problem, gamma: gamma * whole / 2.0, ((1.5, 30),)),
                          between=(0.9, 1.05))


@neumann_rate.control("rho 10 per cent too small")
def _(effort):
    return judges.bounded(_neumann_ratios(lambda problem, gamma: 0.9 * gamma * problem.trace / 2.0),
                          between=(0.9, 1.05))


DURATION, STEP = 40.0, 0.05


def _physical_risk(rate, batch, noise):
    """Moment equations of the SDE in physical time, ``dv = -phi grad R dtau + phi sqrt(h/b Sigma) dB``, by DOP853.

    Returns the risk at the end together with the intrinsic time ``int phi``.
    """
    problem = _problem(width=8)
    values, start = problem.eigenvalues, problem.target_squared

    def slope(tau, state):
        phi, moments = rate(tau), state[1:]
        risk = values @ moments + noise**2 + 2.0 * problem.approximation_error
        gain = phi**2 * STEP / batch(tau) * (values * risk + values**2 * moments)
        return np.concatenate([[phi], -2.0 * phi * values * moments + gain])

    path = solve_ivp(slope, (0.0, DURATION), np.concatenate([[0.0], start]), method="DOP853", rtol=1e-11, atol=1e-14)
    time, moments = path.y[0, -1], path.y[1:, -1]
    return time, problem.approximation_error + 0.5 * values @ moments


def _time_changes(profile):
    """Risks of two physical runs, and of the intrinsic-time SDE with the noise level that `profile` makes of them."""
    measured, expected = [], []
    decay = np.log(20.0) / DURATION
    for rate, batch, inverse in (
            (lambda tau: np.exp(-decay * tau), lambda tau: 2.0, lambda t: -np.log1p(-decay * t) / decay),
            (lambda tau: 0.5, lambda tau: 1.0 + tau / 4.0, lambda t: 2.0 * t)):
        time, risk = _physical_risk(rate, batch, 1.0)

        def gamma(t, rate=rate, batch=batch, inverse=inverse):
            tau = inverse(np.asarray(t))
            return np.broadcast_to(profile(rate(tau), batch(tau)), tau.shape)

        measured.append(risk)
        expected.append(fsl.sde_risk(_problem(width=8), gamma, [time], tolerance=1e-10).final)
    return np.array(measured), np.array(expected)


@claim("time_change", topic="fsl", paper=FSL, where="Sec. 2, eq. (7)", stance="stated",
       statement="in intrinsic time the schedule enters only through gamma(t) = h phi/b at T^-1(t)")
def time_change(effort):
    """Moments integrated in physical time (decaying rate; growing batch) against the intrinsic-time equation."""
    return judges.equal(*_time_changes(lambda phi, b: STEP * phi / b), rtol=1e-7, over="decaying rate, growing batch")


@time_change.control("gamma = h/(phi b)")
def _(effort):
    return judges.equal(*_time_changes(lambda phi, b: STEP / (phi * b)), rtol=1e-7)


@time_change.control("gamma = h/b: time changed in the drift only")
def _(effort):
    return judges.equal(*_time_changes(lambda phi, b: STEP / b), rtol=1e-7)
