"""One mode of a quadratic, damping, speed-up, projectors, published losses: other methods, bad input, claims."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, optimize

from theorycheck.checks import claim
from theorycheck.checks.riemannian import (
    commuting,
    stability,
)
from theorycheck.checks.riemannian import damping as damping_claims
from theorycheck.checks.riemannian import (
    modes as mode_claims,
)
from theorycheck.checks.riemannian import (
    published as published_claims,
)
from theorycheck.checks.riemannian import (
    speed_up as speed_claims,
)
from theorycheck.theory.riemannian import damping, modes, projectors, published, speed_up

MOMENTA, DAMPINGS = st.floats(0.0, 0.999), st.floats(-0.9, 30.0)
QUICK = claim.Effort()
MINE = [each for each in claim.REGISTRY.values() if each.run.__module__ in {module.__name__ for module in (
    mode_claims, stability, damping_claims, speed_claims, commuting, published_claims)}]
HEAVY = {"block_optimum", "quieter_damping"}   # two seconds or more each; their parts are tested below


def step_matrix(s, theta, beta):
    """One step of Algorithm 1 on (w, m), lambda = 1: written down here once more, as the tests' own."""
    return np.array([[1 - s * (1 + beta), -s * theta], [1.0, theta]])


def exact_roots(s, theta, beta):
    """The roots z to 60 digits, larger modulus first."""
    s, theta, beta = mpmath.mpf(s), mpmath.mpf(theta), mpmath.mpf(beta)
    trace, product = 1 + theta - s * (1 + beta), theta * (1 - s * beta)
    root = mpmath.sqrt(trace**2 - 4 * product)
    return sorted(((trace + root) / 2, (trace - root) / 2), key=abs, reverse=True)


# ---- one mode

@settings(deadline=None)
@given(theta=MOMENTA, beta=DAMPINGS, log_s=st.floats(-14.0, 0.5))
@example(theta=0.0, beta=0.0, log_s=0.0)
@example(theta=0.999, beta=30.0, log_s=-14.0)
def test_rate_and_roots_to_many_digits(theta, beta, log_s):
    s = 10.0**log_s
    with mpmath.workdps(60):
        first, second = exact_roots(s, theta, beta)
        assume(abs(first) > 1e-3)
        # Near a double root, and where |z| is 1, a rounding of the input moves the root by its square root.
        trace, product = 1 + theta - s * (1 + beta), theta * (1 - s * beta)
        assume(abs(trace**2 - 4 * product) > 1e-6 * max(1e-6, (1 - theta) ** 2))
        decay = float(-mpmath.log(abs(first)))
        assert modes.decay_rate(s, theta, beta) == pytest.approx(decay, rel=1e-9, abs=1e-14)
        assert modes.radius(s, theta, beta) == pytest.approx(float(abs(first)), rel=1e-9)
        found = sorted(modes.roots(s, theta, beta), key=abs, reverse=True)
        assert abs(found[0]) == pytest.approx(float(abs(first)), rel=1e-8)
        assert abs(found[1]) == pytest.approx(float(abs(second)), rel=1e-8, abs=1e-12)


def test_flat_rates_keep_all_their_digits():
    with mpmath.workdps(60):
        for s in (1e-15, 1e-12, 1e-9):
            exact = float(-mpmath.log(exact_roots(s, 0.95, 1.0)[0]))
            assert modes.decay_rate(s, 0.95, 1.0) == pytest.approx(exact, rel=2e-15)


@settings(deadline=None)
@given(theta=MOMENTA, beta=DAMPINGS, share=st.floats(1e-6, 1.0))
def test_trajectory_is_what_powers_of_the_step_give(theta, beta, share):
    assume(beta > -0.99 / (1 - theta))
    s = share * modes.largest_step(theta, beta)
    state, path = np.array([1.0, 0.0]), []
    for _ in range(60):
        path.append(state[0])
        state = step_matrix(s, theta, beta) @ state
    scale = np.abs(path).max()
    np.testing.assert_allclose(modes.trajectory(np.arange(60), s, theta, beta), path, atol=1e-11 * scale)
    np.testing.assert_allclose(modes.recursion(59, s, theta, beta), path, atol=1e-11 * scale)


@pytest.mark.parametrize("theta, beta", [(0.9, 0.0), (0.95, 1 / 0.95), (0.5, -0.3), (0.0, 0.4)])
def test_double_roots_have_no_special_case(theta, beta):
    for edge in modes.oscillation_window(theta, beta):
        run = modes.recursion(40, edge, theta, beta)
        for nearby in (edge, edge * (1 + 1e-15), edge * (1 - 1e-13), edge * (1 + 1e-9)):
            close = modes.trajectory(np.arange(41), nearby, theta, beta)
            assert np.isfinite(close).all()
            np.testing.assert_allclose(close, run, atol=1e-6 * np.abs(run).max())
        np.testing.assert_allclose(modes.trajectory(np.arange(41), edge, theta, beta), run,
                                   atol=1e-11 * np.abs(run).max())


def test_a_flat_mode_a_million_million_steps_on():
    s, k = 1e-13, 10**12
    with mpmath.workdps(60):
        first, second = exact_roots(s, 0.95, 0.5)
        start = 1 - mpmath.mpf(s) * mpmath.mpf(1.5)
        exact = first**k + (start - first) * (first**k - second**k) / (first - second)
    assert modes.trajectory([k], s, 0.95, 0.5)[0] == pytest.approx(float(exact), rel=1e-13)


@settings(deadline=None)
@given(theta=st.floats(0.0, 0.99), beta=st.floats(-20.0, 50.0))
def test_the_limit_separates_decay_from_growth(theta, beta):
    assume(abs(theta * beta) > 1e-4 or beta >= 0)   # or the radius crosses 1 too slowly to be seen
    limit = modes.largest_step(theta, beta)
    radius = [np.abs(np.linalg.eigvals(step_matrix(s, theta, beta))).max() for s in
              (0.5 * limit, limit * (1 - 1e-6), limit * (1 + 1e-6))] if limit else []
    if limit:
        assert radius[0] < 1 and radius[1] < 1 < radius[2]
    else:
        assert beta <= -1 / (1 - theta) * (1 - 1e-12)
        assert all(np.abs(np.linalg.eigvals(step_matrix(s, theta, beta))).max() >= 1 - 1e-12
                   for s in np.geomspace(1e-4, 100, 30))


def test_known_limits():
    assert modes.largest_step(0.0) == 2                                        # gradient descent
    assert modes.largest_step(0.9) == pytest.approx(3.8)                       # heavy ball
    assert modes.largest_step(0.95, 1 / 0.95) / 0.95 == pytest.approx(2 * 1.95 / (1 + 2 * 0.95))   # Nesterov
    np.testing.assert_allclose(modes.largest_averaged_step([0.9, 0.95, 0.95, 0.95], [0, 0, 0.25, 1]),
                               [38, 78, 7.2558139535, 1.95])
    assert modes.largest_step(0.95, -0.25) == pytest.approx(0.05 / (0.95 * 0.25))
    assert modes.largest_step(0.95, -20.0) == 0 and modes.largest_step(0.95, -19.9) > 0


def test_averaging_code_and_algorithm_make_the_same_path():
    theta, b, s = 0.9, 0.3, 0.7
    w, buffer, path = 1.0, 0.0, []
    for _ in range(30):
        path.append(w)
        buffer = theta * buffer + (1 - theta) * w
        w -= s * (buffer + b * w)
    step, beta = modes.from_average(s, theta, b)
    np.testing.assert_allclose(modes.recursion(29, step, theta, beta), path, atol=1e-14)


def test_mode_step_with_metric_and_gain():
    assert modes.mode_step(0.1, 3.0, metric=6.0, gain=4.0) == pytest.approx(0.2)
    np.testing.assert_allclose(modes.mode_step(0.1, [1.0, 2.0], gain=[2.0, 1.0]), [0.2, 0.2])


@settings(deadline=None, max_examples=60)
@given(theta=st.floats(0.0, 0.99), beta=st.floats(-0.5, 20.0), share=st.floats(1e-3, 0.98), noise=st.floats(0.1, 3.0),
       curvature=st.floats(0.1, 10.0))
def test_noise_floor_by_lyapunovs_equation(theta, beta, share, noise, curvature):
    s = share * modes.largest_step(theta, beta)
    entry = np.array([-s * (1 + beta), 1.0]) * noise / curvature
    solved = linalg.solve_discrete_lyapunov(step_matrix(s, theta, beta), np.outer(entry, entry))[0, 0]
    assert modes.noise_floor(s, theta, beta, curvature, noise) == pytest.approx(solved, rel=1e-7)


def test_noise_floor_by_its_impulse_response():
    # The variance is the sum of squares of what one unit of noise does to w later.
    s, theta, beta = 0.3, 0.9, 1.0
    impulse = np.array([-s * (1 + beta), 1.0])
    total = 0.0
    for _ in range(2000):
        total += impulse[0] ** 2
        impulse = step_matrix(s, theta, beta) @ impulse
    assert modes.noise_floor(s, theta, beta) == pytest.approx(total, rel=1e-10)


def test_small_step_floor_and_its_error():
    theta, beta = 0.95, 1 / 0.95
    ratio = modes.small_step_floor(0.1, theta, beta) / modes.noise_floor(0.1, theta, beta)
    assert ratio == pytest.approx(2.407, abs=1e-3)
    for s in (1e-6, 1e-7):
        error = modes.small_step_floor(s, theta, beta) / modes.noise_floor(s, theta, beta) - 1
        assert error / s == pytest.approx(modes.small_step_error(theta, beta), rel=100 * s)


def test_where_damping_quietens():
    for theta in (0.7, 0.9, 0.99):
        low, high = modes.quieter_window(theta)
        for s, sign in ((0.9 * low, 1), (1.1 * low, -1), (0.999 * high, -1), (high * 1.001, 1)):
            change = modes.noise_floor(s, theta, 1e-5) - modes.noise_floor(s, theta, -1e-5)
            assert np.sign(change) == sign
    assert np.isnan(modes.quieter_window(0.55)).all()


def test_everything_broadcasts():
    s, theta, beta = np.full((3, 1, 1), 0.1), np.array([0.5, 0.9])[:, None], np.array([0.0, 0.5, 1.0, 2.0])
    for function in (modes.decay_rate, modes.radius, modes.noise_floor, modes.small_step_floor, modes.discriminant):
        assert function(s, theta, beta).shape == (3, 2, 4)
    assert modes.roots(s, theta, beta).shape == (3, 2, 4, 2)
    assert modes.trajectory([0, 5], s, theta, beta).shape == (2, 3, 2, 4)
    assert modes.recursion(7, s, theta, beta).shape == (8, 3, 2, 4)


# ---- damping

@pytest.mark.parametrize("mu, a, B, coupling", [(0.1, 1.0, 0.0, None), (0.1, 1.0, 0.5, None), (4.0, 0.3, 0.2, None),
                                                (0.1, 1.0, 0.5, 0.0), (0.2, 1.0, 0.3, 0.5)])
def test_rate_by_integrating_the_equation(mu, a, B, coupling):
    gamma = 1 + (a if coupling is None else coupling) * B
    span = 60 / damping.decay_rate(mu, a, B, coupling)
    start = span / 2
    path = integrate.solve_ivp(lambda t, x: [x[1], -(a + B * mu) * x[1] - gamma * mu * x[0]], (0, span), [1.0, -0.1],
                               rtol=1e-10, atol=1e-30, t_eval=np.linspace(start, span, 4001))
    size = np.log(np.hypot(*path.y))
    slope = (size[2000:].max() - size[:2000].max()) / (span / 4)
    # Both maxima lie at the beginning of their half, up to one period of an oscillation.
    assert -slope == pytest.approx(damping.decay_rate(mu, a, B, coupling), rel=0.05)


@settings(deadline=None, max_examples=60)
@given(mu=st.floats(1e-3, 10.0), a=st.floats(0.05, 4.0), share=st.floats(0.0, 3.0))
def test_no_damping_beats_the_best(mu, a, share):
    best, reached = damping.best_damping(mu, a)
    assert damping.decay_rate(mu, a, share * best) <= reached * (1 + 1e-9)
    assert damping.decay_rate(mu, a, best) == pytest.approx(reached, rel=1e-6)
    friction, other = damping.best_friction(mu, share)
    assert damping.decay_rate(mu, a, share) <= other * (1 + 1e-9)
    assert damping.decay_rate(mu, friction, share) == pytest.approx(other, rel=1e-6)
    untied, slower = damping.best_damping_untied(mu, a)
    assert damping.decay_rate(mu, a, share * best, coupling=0.0) <= slower * (1 + 1e-9)
    assert damping.decay_rate(mu, a, untied, coupling=0.0) == pytest.approx(slower, rel=1e-6)


@given(mu=st.floats(1e-3, 10.0), a=st.floats(0.05, 4.0), B=st.floats(0.0, 5.0),
       coupling=st.one_of(st.none(), st.floats(0.0, 3.0)))
def test_response_is_the_derivative_of_the_rate(mu, a, B, coupling):
    gap = damping.discriminant(mu, a, B + 1e-5, coupling)
    assume(abs(gap) > 0.01 * (a + B * mu) ** 2)
    step = 1e-5
    ahead = damping.decay_rate(mu, a, B + 2 * step, coupling)
    difference = (ahead - damping.decay_rate(mu, a, B, coupling)) / (2 * step)
    assert damping.response(mu, a, B + step, coupling) == pytest.approx(difference, rel=1e-4, abs=1e-7 * (1 + mu))


def test_flat_modes_slow_down_at_fixed_strength_and_gain_when_tied():
    mu, a = np.array([0.01, 0.24]), 1.0
    np.testing.assert_allclose(damping.response(mu, a, 0.0, coupling=0.0), [-1.0310363e-4, -0.48], rtol=1e-6)
    np.testing.assert_allclose(damping.response(mu, a, 0.0), [0.0101031036, 0.72], rtol=1e-6)


def test_oscillation_band():
    low, high = damping.oscillation_band(0.1, 1.0)
    for B, sign in ((0.9 * low, 1), (1.1 * low, -1), (0.99 * high, -1), (1.01 * high, 1)):
        assert np.sign(damping.discriminant(0.1, 1.0, B)) == sign
    assert damping.oscillation_band(1.0, 1.0)[0] == 0


@settings(deadline=None, max_examples=40)
@given(s=st.floats(1e-3, 3.0), theta=st.floats(0.05, 0.99))
def test_best_iteration_by_a_scalar_search(s, theta):
    assume(math.sqrt(s) < 0.95 * (1 + math.sqrt(theta)))
    beta, radius = damping.best_iteration(s, theta)
    assert modes.radius(s, theta, beta) == pytest.approx(radius, abs=1e-6)
    grid = np.linspace(-1.0, 3 * abs(beta) + 1, 2001)
    assert modes.radius(s, theta, grid).min() >= radius - 1e-9


def test_nesterovs_method_ends_a_mode_in_two_iterations():
    beta, radius = damping.best_iteration(0.9, 0.9)
    assert beta == pytest.approx(1 / 0.9) and radius == 0
    assert modes.recursion(2, 0.9, 0.9, 1 / 0.9)[2] == pytest.approx(0, abs=1e-15)


# ---- speed-up

def test_flat_gain_and_its_correction():
    assert speed_up.flat_gain(0.95, 2.0, 1.0, 0.0) == pytest.approx(2.1)
    assert speed_up.exact_gain(1e-6, 0.95, 2.0) == pytest.approx(2.0008, abs=1e-4)
    assert speed_up.exact_gain(5e-4, 0.95, 2.0) == pytest.approx(1.884, abs=1e-3)
    limit = speed_up.flat_gain(0.9, 3.0, 2.0, 0.5)
    assert speed_up.exact_gain(1e-9, 0.9, 3.0, 2.0, 0.5) == pytest.approx(limit, rel=1e-6)
    for beta in (0.0, 1.0, 7.0):
        s = 1e-8
        rate = modes.decay_rate(s, 0.9, beta) * 0.1 / (s * (1 + 0.1 * beta))
        assert (rate - 1) / s == pytest.approx(speed_up.flat_correction(0.9, beta), rel=1e-4)
    assert speed_up.saturation(0.95) == pytest.approx((1 - math.sqrt(0.95)) ** 2)


def worst(curvatures, rate, theta):
    return max(float(modes.radius(rate * each, theta)) for each in curvatures)


@pytest.mark.parametrize("smallest, largest", [(1.0, 1.0), (1.0, 10.0), (0.01, 100.0)])
def test_polyaks_tuning_by_a_simplex_search(smallest, largest):
    best = speed_up.heavy_ball(smallest, largest)
    assert worst((smallest, largest), best.rate, best.momentum) == pytest.approx(best.radius, abs=2e-8)

    def objective(x):
        return worst((smallest, largest), math.exp(x[0]), 1 / (1 + math.exp(-x[1])))

    start = [math.log(best.rate) - 0.1, math.log((best.momentum + 0.01) / (1 - best.momentum)) + 0.1]
    found = optimize.minimize(objective, start, method="Nelder-Mead", options={"maxiter": 400, "xatol": 1e-9})
    assert found.fun >= best.radius - 1e-7


def test_retuned_gain_in_its_three_regimes():
    blocks = speed_up.Blocks((10.0, 100.0), (0.01, 0.1))
    assert blocks.reach == pytest.approx(1000) and blocks.best_gain == pytest.approx(1000)
    for chi in (2.0, 4.0, 10.0):
        assert speed_up.retuned_gain(blocks, chi) == pytest.approx(math.sqrt(chi), rel=1e-3)
    assert speed_up.retuned_gain(blocks, 1000.0) == pytest.approx(32.7439, abs=1e-3)
    assert speed_up.retuned_gain(blocks, 1e5) < speed_up.retuned_gain(blocks, 1e4) < speed_up.retuned_gain(blocks, 1e3)
    level = speed_up.Blocks((1.0, 30.0), (0.05, 0.2))
    assert speed_up.retuned_gain(level, 20.0) == pytest.approx(speed_up.retuned_gain(level, 150.0))
    assert speed_up.retuned_gain(speed_up.Blocks((10.0, 100.0), (0.01, 100.0)), 50.0) == pytest.approx(1.0)
    best, chi = speed_up.block_optimum(blocks)
    assert (best.radius, chi) == (pytest.approx(0.5194938533), pytest.approx(1000))


def test_metric_condition_of_a_matrix():
    values = np.geomspace(1, 1e4, 5)
    turn = np.linalg.qr(np.vander(np.arange(1.0, 6.0)))[0]
    hessian = turn @ np.diag(values) @ turn.T
    left = np.linalg.eigvals(np.linalg.solve(linalg.sqrtm(hessian).real, hessian)).real
    assert left.max() / left.min() == pytest.approx(speed_up.metric_condition(1e4), rel=1e-8)


# ---- projectors

def random_matrices(seed, n=4):
    source = np.random.default_rng(seed)
    turns = [np.linalg.qr(source.standard_normal((n, n)))[0] for _ in range(3)]
    hessian, inverse = (turn @ np.diag(10.0 ** source.uniform(-2, 0, n)) @ turn.T for turn in turns[:2])
    flat = turns[2][:, : n // 2]
    return 0.5 * (hessian + hessian.T), 0.5 * (inverse + inverse.T), flat @ flat.T


@pytest.mark.parametrize("seed", range(3))
def test_iteration_matrix_is_algorithm_1_line_by_line(seed):
    hessian, inverse, flat = random_matrices(seed)
    rate, theta, chi, sharp_damping, flat_damping = 0.3, 0.8, 3.0, 0.2, 1.5
    w, m, sharp = np.arange(1.0, 5.0), np.array([0.3, -0.1, 0.2, 0.0]), np.eye(4) - flat
    state = np.concatenate([w, m])
    matrix = projectors.iteration_matrix(hessian, inverse, flat, rate, theta, chi, sharp_damping, flat_damping)
    for _ in range(5):
        g = hessian @ w
        m = theta * m + g
        w = w - rate * (sharp @ inverse @ (m + sharp_damping * g) + chi * flat @ inverse @ (m + flat_damping * g))
        state = matrix @ state
    np.testing.assert_allclose(state, np.concatenate([w, m]), rtol=1e-12, atol=1e-12)


def test_commuting_projector_leaves_the_modes_of_the_theory():
    values, metric, flat = np.array([5.0, 1.0, 0.01, 0.02]), np.array([2.0, 0.5, 0.1, 3.0]), np.array([0, 0, 1, 1.0])
    turn = random_matrices(5)[0]
    turn = np.linalg.eigh(turn)[1]
    build = [turn @ np.diag(each) @ turn.T for each in (values, 1 / metric, flat)]
    build = [0.5 * (each + each.T) for each in build]
    found = projectors.spectral_radius(projectors.iteration_matrix(*build, 0.2, 0.9, 5.0, 0.3, 2.0))
    s = modes.mode_step(0.2, values, metric, np.where(flat > 0, 5.0, 1.0))
    assert found == pytest.approx(modes.radius(s, 0.9, np.where(flat > 0, 2.0, 0.3)).max(), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_symmetrised_drift_is_similar_to_a_positive_matrix(seed):
    hessian, inverse, flat = random_matrices(seed)
    values = np.linalg.eigvals(projectors.symmetrised_drift(hessian, inverse, flat, 30.0))
    assert np.abs(values.imag).max() < 1e-12 and values.real.min() > 0
    root = linalg.sqrtm(hessian).real
    product = projectors.symmetrised_drift(hessian, inverse, flat, 30.0) @ np.linalg.inv(hessian)
    np.testing.assert_allclose(np.sort(values.real), np.linalg.eigvalsh(root @ (0.5 * (product + product.T)) @ root),
                               rtol=1e-8)


def test_the_diverging_example():
    hessian, inverse = commuting.EXAMPLE
    values = np.linalg.eigvals(projectors.drift(hessian, inverse, np.diag([0.0, 1.0]), 2.0))
    assert values.real == pytest.approx([-0.0062425] * 2, abs=1e-7)
    assert np.sort(np.linalg.eigvals(inverse @ hessian).real) == pytest.approx([0.0021077, 0.0474460], abs=1e-6)
    chi = projectors.critical_gain(hessian, inverse, [0.0, 1.0])
    assert chi == pytest.approx(1.79875, abs=1e-5) and projectors.least_critical_gain(100, 100) < chi
    for gain, stable in ((0.999 * chi, True), (1.001 * chi, False)):
        values = np.linalg.eigvals(projectors.drift(hessian, inverse, np.diag([0.0, 1.0]), gain))
        assert bool(values.real.min() > 0) is stable


def test_flat_damping_alone_can_diverge_if_nothing_commutes():
    hessian, inverse = commuting.EXAMPLE
    critical = projectors.critical_gain(hessian, inverse, [0.0, 1.0])
    for share, stable in ((0.98, True), (1.02, False)):
        damping_of_gain = (share * critical - 1) / 0.05
        matrix = projectors.iteration_matrix(hessian, inverse, np.diag([0.0, 1.0]), 1e-3, 0.95, 1.0, 0.0,
                                             damping_of_gain)
        assert bool(projectors.spectral_radius(matrix) < 1) is stable


@settings(deadline=None, max_examples=100)
@given(st.floats(1.0, 1e4), st.floats(1.0, 1e4), st.floats(0.0, math.pi), st.floats(0.0, math.pi))
def test_no_orientation_beats_the_least_critical_gain(metric, hessian, first, second):
    gain = projectors.critical_gain(projectors.plane_matrix(hessian, second), projectors.plane_matrix(metric, first),
                                    [1.0, 0.0])
    assert gain >= projectors.least_critical_gain(metric, hessian) * (1 - 1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_eigenvalues_of_three_positive_matrices_keep_their_angle(n):
    source, smallest = np.random.default_rng(n), np.inf
    for _ in range(300):
        conditions = 10.0 ** source.uniform(0, 3, 3)
        product = np.eye(n)
        for kappa in conditions:
            turn = np.linalg.qr(source.standard_normal((n, n)))[0]
            ends = kappa ** -source.integers(0, 2, n).astype(float)
            ends[:2] = 1.0, 1.0 / kappa
            product = product @ (turn * ends) @ turn.T
        values = np.linalg.eigvals(product)
        smallest = min(smallest, (values.real / np.abs(values)).min() - projectors.least_cosine(*conditions))
    assert -1e-9 < smallest < 0.2


def test_least_cosine_vanishes_at_the_least_critical_gain_and_is_1_for_one_matrix():
    assert projectors.least_cosine(projectors.least_critical_gain(100, 30), 100, 30) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(projectors.least_cosine(1.0, [1.0, 100.0], [1e6, 40.0]), 1.0)


@given(beta=st.floats(0.0, 100.0), theta=st.floats(0.0, 0.99), angle=st.floats(0.01, math.pi))
def test_the_stable_steps_lie_in_the_right_half_plane(beta, theta, angle):
    z = complex(math.cos(angle), math.sin(angle))
    below = (1 + beta) * z - theta * beta
    boundary = -(z - 1) * (z - theta) / below
    assert boundary.real * abs(below) ** 2 == pytest.approx(
        (1 - z.real) * (1 + theta + beta * abs(z - theta) ** 2), rel=1e-9, abs=1e-9)
    assert boundary.real >= 0


def test_tilted_projector():
    tilt = np.array([0.1, 0.2, 0.4, 0.8])
    np.testing.assert_allclose(projectors.largest_tilted_rate(1.0, 0.0, 10.0, tilt, 0.9),
                               3.8 / (1 + 9 * np.sin(tilt) ** 2))
    for phi in tilt:
        q = np.array([math.sin(phi), math.cos(phi)])
        values = np.linalg.eigvals(projectors.drift(np.diag([2.0, 0.1]), np.eye(2), np.outer(q, q), 7.0))
        assert projectors.tilted_curvature(2.0, 0.1, 7.0, phi) == pytest.approx(values.real.max(), rel=1e-12)


# ---- published numbers

def test_fits_by_numpy():
    logs = np.log(published.MILLIONS)
    for name, (intercept, slope) in published.DRAWN.items():
        losses = published.BY_SIZE[name]
        law = published.fit(published.MILLIONS, losses)
        assert [-law.slope, law.intercept] == pytest.approx(np.polyfit(logs, losses, 1), rel=1e-10)
        assert (law.slope, law.intercept) == (pytest.approx(slope, abs=6e-5), pytest.approx(intercept, abs=5e-4))
        power = published.fit(published.MILLIONS, losses, "power")
        straight = np.polyfit(logs, np.log(losses), 1)
        assert [-power.slope, math.log(power.intercept)] == pytest.approx(straight, rel=1e-10)
        np.testing.assert_allclose(law(published.MILLIONS) + law.residuals, losses, rtol=1e-14)


def test_equivalents_undo_the_laws():
    for kind in ("line", "power"):
        law = published.fit(published.MILLIONS, published.BY_SIZE["Muon"], kind)
        assert law.equivalent_size(law(300.0), law(700.0)) == pytest.approx(7 / 3)
    assert published.equivalent_steps([10, 40], [3.0, 2.0], 2.5) == pytest.approx(2.0)
    assert published.equivalent_steps([10, 40], [3.0, 2.0], 3.0) == pytest.approx(1)


def test_slope_precision_is_attained():
    x, losses = np.log(published.MILLIONS), np.array(published.BY_SIZE["Muon"])
    shift = 5e-5 * np.sign(x - x.mean())
    moved = published.fit(published.MILLIONS, losses + shift).slope - published.fit(published.MILLIONS, losses).slope
    assert abs(moved) == pytest.approx(published.slope_precision(published.MILLIONS), rel=1e-9)


# ---- bad input

@pytest.mark.parametrize("call, message", [
    (lambda: modes.decay_rate(0.1, 1.0), r"momentum is 1.0; it must be in \[0, 1\), alpha = 1 - momentum in \(0, 1\]"),
    (lambda: modes.decay_rate(0.1, [0.9, -0.1]), "momentum is -0.1; it must be in"),
    (lambda: modes.decay_rate(math.nan, 0.9), "step is nan; it must be finite"),
    (lambda: modes.decay_rate("1", 0.9), "steps are '1'; they must be numbers"),
    (lambda: modes.decay_rate(0.1, 0.9, math.inf), "damping is inf; it must be finite"),
    (lambda: modes.mode_step(0.1, 1.0, metric=[1.0, 0.0]), "metric is 0.0; it must be > 0 and finite; a singular"),
    (lambda: modes.mode_step(0.1, 1.0, gain=0.5), "chi is 0.5; it must be >= 1 and finite"),
    (lambda: modes.noise_floor([0.1, 4.0], 0.95), "step eta chi lambda/f is 4; it must be > 0 and < 3.9, the"),
    (lambda: modes.noise_floor(0.3, 0.95, -0.25), "is 0.3; it must be > 0 and < 0.210526"),
    (lambda: modes.noise_floor(0.3, 0.95, -21.0), "none is stable at momentum 0.95 and damping -21.* must be > -20"),
    (lambda: modes.noise_floor(0.1, 0.9, curvature=0.0), "curvature is 0.0; it must be > 0"),
    (lambda: modes.oscillation_window(0.9, -10.5), "damping is -10.5; it must be > -1/alpha"),
    (lambda: modes.trajectory([1.5], 0.1, 0.9), "time is 1.5; it must be a whole number >= 0"),
    (lambda: damping.decay_rate(-1.0, 1.0), "curvature is -1.0; it must be finite and > 0"),
    (lambda: damping.decay_rate(1.0, -1.0), "friction is -1.0; it must be finite and >= 0"),
    (lambda: damping.decay_rate(1.0, 1.0, -0.1), "damping is -0.1; it must be finite and >= 0"),
    (lambda: damping.decay_rate(1.0, 1.0, 0.1, coupling=-1.0), "coupling is -1.0; it must be >= 0"),
    (lambda: damping.best_iteration(4.0, 0.9), r"step is 4.0; it must be > 0 and < \(1 \+ sqrt theta\)\^2"),
    (lambda: speed_up.Blocks((1.0, 0.5), (0.1, 0.2)), r"sharp is \(1.0, 0.5\); it must be \(m, L\)"),
    (lambda: speed_up.Blocks((1.0, 2.0), (0.1, 3.0)), "flat is .* must not lie above sharp"),
    (lambda: speed_up.retuned(speed_up.Blocks((1.0, 2.0), (0.1, 0.2)), 0.9), "chi is 0.9; it must be finite and >= 1"),
    (lambda: speed_up.heavy_ball(0.0, 1.0), "smallest and largest are 0 and 1; they must be 0 < m <= L"),
    (lambda: speed_up.flat_gain(0.9, 2.0, -11.0), "flat damping is -11.0; it must be > -1/alpha"),
    (lambda: speed_up.exact_gain(1.0, 0.9, 5.0), "is 5; it must be > 0 and < 3.8"),
    (lambda: speed_up.metric_condition(0.5), "condition is 0.5; it must be >= 1"),
    (lambda: projectors.drift(np.diag([1.0, 0.0]), np.eye(2), np.eye(2), 2.0), "hessian has the eigenvalue 0;"),
    (lambda: projectors.drift(np.eye(2), np.diag([1.0, -1.0]), np.eye(2), 2.0), "inverse metric has the eigenvalue"),
    (lambda: projectors.drift(np.eye(2), np.eye(2), 0.5 * np.eye(2), 2.0), "projector differs from its square by 0.25"),
    (lambda: projectors.drift(np.eye(2), np.eye(3), np.eye(2), 2.0), r"inverse metric has shape \(3, 3\)"),
    (lambda: projectors.drift([[1.0, 0.1], [0.0, 1.0]], np.eye(2), np.eye(2), 2.0), "hessian is not symmetric"),
    (lambda: projectors.critical_gain(np.eye(3), np.eye(3), [1, 0, 0]), r"must be \(..., 2, 2\) twice"),
    (lambda: published.fit([1.0, 1.0], [2.0, 2.0]), "with at least 2 sizes"),
    (lambda: published.fit([1.0, math.inf], [2.0, 2.0]), "positive, finite"),
    (lambda: published.slope_precision([100.0]), "at least 2, positive and finite"),
    (lambda: projectors.critical_gain(np.eye(2), np.eye(2), [0.0, 2.0]), "direction is 2.0; it must be 1"),
    (lambda: projectors.critical_gain(-np.eye(2), np.eye(2), [0.0, 1.0]), "hessian has the eigenvalue -1"),
    (lambda: projectors.drift(np.full((2, 2), math.nan), np.eye(2), np.eye(2), 2.0), "an entry that is not finite"),
    (lambda: projectors.drift(np.eye(2), np.eye(2), np.eye(2), math.inf), "chi is inf; it must be >= 1 and finite"),
    (lambda: projectors.iteration_matrix(np.eye(2), np.eye(2), np.eye(2), 0.1, 0.9, [2.0, 3.0]), "chi is .* a number"),
    (lambda: projectors.iteration_matrix(np.eye(2), np.eye(2), np.eye(2), math.inf, 0.9), "learning rate is inf"),
    (lambda: projectors.iteration_matrix(np.eye(2), np.eye(2), np.eye(2), 0.1, 0.9, 1.0, math.nan), "damping is nan"),
    (lambda: projectors.least_cosine(math.inf, 10.0, 10.0), "condition is inf; it must be >= 1 and finite"),
    (lambda: projectors.tilted_curvature(1.0, 0.1, 2.0, math.nan), "tilt is nan; it must be finite"),
    (lambda: modes.mode_step(-1.0, 1.0), "learning rate is -1.0; it must be > 0 and finite"),
    (lambda: modes.mode_step(0.1, 1.0, gain=math.inf), "chi is inf; it must be >= 1 and finite"),
    (lambda: modes.recursion(2.5, 0.1, 0.9), "steps is 2.5; it must be an integer >= 0"),
    (lambda: modes.trajectory([math.inf], 0.1, 0.9), "time is inf; it must be a whole number >= 0, finite"),
    (lambda: modes.trajectory([[1, 2]], 0.1, 0.9), r"times have shape \(1, 2\); it must be \(n,\)"),
    (lambda: modes.noise_floor(0.1, 0.9, noise=-1.0), "noise is -1.0; it must be >= 0 and finite"),
    (lambda: modes.small_step_floor(-0.1, 0.9), "step is -0.1; it must be > 0"),
    (lambda: published.fit([1.0, 2.0], [2.0, 2.0], "cubic"), "kind is 'cubic'; it must be 'line' or 'power'"),
    (lambda: published.equivalent_steps([1, 2], [2.0, 1.0], 3.0), r"target is 3; it must be in \[1, 2\]"),
])
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


# ---- claims

@pytest.mark.parametrize("name", sorted(each.name for each in MINE if each.name not in HEAVY))
def test_a_claim_holds_and_its_controls_are_rejected(name):
    outcome = claim.judge(claim.REGISTRY[f"riemannian.{name}"], QUICK)
    assert outcome.verdict is claim.Verdict.HOLDS, outcome.record()
    assert outcome.controls and all(seen.accepted is False for _, seen, _ in outcome.controls)


def test_no_theorem_of_the_paper_is_claimed():
    assert {each.stance for each in MINE} <= {"derived", "reconstructed"}


def test_nesterov_on_its_best_mode_dies_in_two_iterations():
    """s = theta, beta = 1/theta: the pair of roots is 0, which rounding makes anything of the size of 1e-9."""
    theta = np.arange(1, 1000) / 1000
    for off in (0.0, 1e-17, -1e-16, 1e-15, 1e-13):
        s = theta * (1 + off)
        path = modes.trajectory(np.arange(6), s, theta, 1 / theta)
        np.testing.assert_allclose(path, modes.recursion(5, s, theta, 1 / theta), atol=1e-7)
        assert (modes.decay_rate(s, theta, 1 / theta) > 14).all()


def test_a_gain_that_leaves_one_curvature_saves_all_iterations():
    assert speed_up.retuned_gain(speed_up.Blocks((1.0, 1.0), (0.5, 0.5)), 2.0) == math.inf
    assert speed_up.retuned_gain(speed_up.Blocks((1.0, 1.0), (1.0, 1.0)), 1.0) == 1.0
