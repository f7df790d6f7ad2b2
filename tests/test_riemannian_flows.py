"""Landscapes, metrics, flows with momentum, high-resolution equations, energies: against independent methods."""

import math

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import minimize
from scipy.special import j1

from theorycheck.checks.claim import Effort, Verdict, judge
from theorycheck.checks.riemannian import connections, high_resolution, ingredients, lyapunov
from theorycheck.theory.riemannian.high_resolution import (
    METHODS,
    VanishingFlow,
    convex_flow,
    convex_iterates,
    high_resolution_flow,
    iterates,
    low_resolution_flow,
    modal_coefficients,
    starting_velocity,
)
from theorycheck.theory.riemannian.integration import integrate
from theorycheck.theory.riemannian.landscapes import (
    CurvedValley,
    LogisticRegression,
    MatrixQuadratic,
    Quadratic,
    RippledQuadratic,
    StraightValley,
)
from theorycheck.theory.riemannian.lyapunov import (
    AdamFlow,
    adam_growth,
    balance,
    decay_rate,
    momentum_dissipation,
    momentum_energy,
    riemannian_dissipation,
    riemannian_energy,
    vanishing_energy,
)
from theorycheck.theory.riemannian.metrics import (
    ConstantMetric,
    GradientMetric,
    HalfPlaneMetric,
    MirrorMetric,
    RotatingMetric,
    ShearMetric,
    christoffel,
    euclidean,
    lite_metric,
    lowered_christoffel,
)
from theorycheck.theory.riemannian.rishd import (
    CONNECTIONS,
    InertialFlow,
    MomentumFlow,
    first_order_path,
    lite_damping,
    overdamped_path,
)

TURN = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
FEATURES = np.sin(np.arange(1.0, 31.0)[:, None] * np.sqrt([2.0, 3.0, 5.0]))
LABELS = np.where(np.sin(9.0 * np.arange(30.0)) > 0, 1.0, -1.0)
LANDSCAPES = {
    "quadratic": Quadratic([1.0, 4.0, -0.5]),
    "turned quadratic": Quadratic([1.0, 4.0, 0.2], TURN),
    "rippled": RippledQuadratic([1.0, 0.5, 2.0], 1.5, [1.0, 2.0, -1.0]),
    "straight valley": StraightValley(0.3, [5.0, 9.0]),
    "curved valley": CurvedValley(0.3, [5.0, 9.0], [0.3, 0.7], [2.0, 1.0]),
    "logistic": LogisticRegression(FEATURES, LABELS, 0.1),
}
RIPPLES = RippledQuadratic([1.0, 4.0], 1.5, [2.0, 1.0])
METRICS = {
    "constant": ConstantMetric([[0.7, 0.3], [0.3, 1.9]]),
    "rotating": RotatingMetric(0.5, 1.5, [1.0, 0.7]),
    "gradient": GradientMetric(RIPPLES, [0.5, 0.3], 0.1),
    "mirror": MirrorMetric(0.8, [1.0, 0.6]),
    "shear": ShearMetric(0.6, 1.4),
    "half-plane": HalfPlaneMetric(),
}
PLACE = np.array([0.4, 1.3])
COORDINATES = st.floats(-2.0, 2.0)
POINTS = st.tuples(COORDINATES, COORDINATES, COORDINATES).map(np.array)


# Landscapes ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", LANDSCAPES)
@settings(deadline=None, max_examples=20)
@given(w=POINTS, v=POINTS)
def test_gradients_and_hessians_are_derivatives(name, w, v):
    landscape, h = LANDSCAPES[name], 1e-5
    slope = (landscape.value(w + h * v) - landscape.value(w - h * v)) / (2 * h)
    turn = (landscape.gradient(w + h * v) - landscape.gradient(w - h * v)) / (2 * h)
    assert landscape.gradient(w) @ v == pytest.approx(slope, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(landscape.hessian_times(w, v), turn, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(landscape.hessian(w) @ v, landscape.hessian_times(w, v), rtol=1e-12, atol=1e-12)
    spectrum = np.linalg.eigvalsh(landscape.hessian(w))
    assert landscape.convexity <= spectrum[0] + 1e-12 and spectrum[-1] <= landscape.smoothness + 1e-12


@pytest.mark.parametrize("name", LANDSCAPES)
def test_landscapes_are_batched(name):
    landscape, w = LANDSCAPES[name], np.sin(np.arange(24.0)).reshape(4, 2, 3)
    v = np.cos(np.arange(24.0)).reshape(4, 2, 3)
    assert landscape.value(w).shape == (4, 2) and landscape.hessian(w).shape == (4, 2, 3, 3)
    np.testing.assert_allclose(landscape.value(w)[2, 1], landscape.value(w[2, 1]), rtol=1e-14)
    np.testing.assert_allclose(landscape.gradient(w)[2, 1], landscape.gradient(w[2, 1]), rtol=1e-13)
    np.testing.assert_allclose(landscape.hessian(w)[2, 1], landscape.hessian(w[2, 1]), rtol=1e-13)
    one = landscape.hessian_times(w[2, 1], v[2, 1])
    np.testing.assert_allclose(landscape.hessian_times(w, v)[2, 1], one, rtol=1e-12)


def test_bounds_on_curvature_are_attained():
    ripples = LANDSCAPES["rippled"]
    crest = np.pi * ripples.wave / (ripples.wave @ ripples.wave)
    assert np.linalg.eigvalsh(ripples.hessian(np.zeros(3)))[-1] == pytest.approx(ripples.smoothness)
    assert np.linalg.eigvalsh(ripples.hessian(crest))[0] == pytest.approx(ripples.convexity)
    assert ripples.convexity < 0 < 1.5 * np.sum(ripples.wave**2 / ripples.curvatures) - 1.0
    flat = RippledQuadratic([1.0, 0.5, 2.0], 0.999 / np.sum(ripples.wave**2 / ripples.curvatures), ripples.wave)
    assert flat.convexity > 0   # convex just below A k^T diag(1/c) k = 1
    logistic = LANDSCAPES["logistic"]
    assert np.linalg.eigvalsh(logistic.hessian(np.zeros(3)))[-1] == pytest.approx(logistic.smoothness)
    assert np.linalg.eigvalsh(logistic.hessian(1e4 * np.ones(3)))[0] == pytest.approx(logistic.convexity, rel=0.5)


def test_minima():
    logistic = LANDSCAPES["logistic"]
    found = minimize(logistic.value, np.ones(3), jac=logistic.gradient, method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(logistic.minimum, found.x, atol=1e-8)
    assert np.linalg.norm(logistic.gradient(logistic.minimum)) < 1e-15
    assert LANDSCAPES["quadratic"].minimum is None and LANDSCAPES["straight valley"].minimum is None
    assert not LANDSCAPES["rippled"].gradient(LANDSCAPES["rippled"].minimum).any()
    with pytest.raises(ValueError, match="ridge is 0; it must be > 0"):
        _ = LogisticRegression(FEATURES, LABELS, 0.0).minimum


@pytest.mark.parametrize("name", ["quadratic", "turned quadratic", "straight valley"])
def test_gradient_flow_in_closed_form(name):
    landscape, w, times = LANDSCAPES[name], np.array([0.5, -1.0, 2.0]), np.array([0.0, 0.7, 2.0])
    path = integrate(lambda _, w: -landscape.gradient(w), w, times)
    np.testing.assert_allclose(landscape.gradient_flow(w, times), path, atol=1e-9)


def test_matrix_quadratic():
    w, v = np.sin(np.arange(24.0)).reshape(2, 4, 3), np.cos(np.arange(24.0)).reshape(2, 4, 3)
    for curvatures in ([1.0, 2.0, 3.0], [[1.0], [2.0], [3.0], [4.0]], np.arange(1.0, 13.0).reshape(4, 3)):
        landscape = MatrixQuadratic(curvatures)
        full = np.broadcast_to(curvatures, (4, 3))
        as_vector = Quadratic(full.ravel())
        np.testing.assert_allclose(landscape.value(w), as_vector.value(w.reshape(2, 12)))
        np.testing.assert_allclose(landscape.gradient(w).reshape(2, 12), as_vector.gradient(w.reshape(2, 12)))
        np.testing.assert_allclose(landscape.hessian_times(w, v), full * v)
        np.testing.assert_allclose(landscape.gradient_flow(w, 0.3), np.exp(-0.3 * full) * w)
        assert (landscape.smoothness, landscape.convexity) == (full.max(), full.min())
    with pytest.raises(ValueError, match=r"have shape \(2, 5\).*fit curvatures \(4, 3\)"):
        landscape.value(np.ones((2, 5)))


def test_rivers():
    valley = LANDSCAPES["curved valley"]
    x = np.linspace(-2.0, 2.0, 9)
    river, tangents = valley.river(x), valley.flat(valley.river(x))
    np.testing.assert_allclose(valley.gradient(river), np.tile([-0.3, 0.0, 0.0], (9, 1)), atol=1e-14)
    np.testing.assert_allclose(valley.hessian(river) @ tangents, 0.0, atol=1e-13)   # the tangent is the kernel
    np.testing.assert_allclose(tangents @ tangents, tangents, atol=1e-14)
    np.testing.assert_allclose(np.trace(tangents, axis1=-2, axis2=-1), 1.0)
    step = (valley.river(x + 1e-6) - valley.river(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(np.einsum("nij,nj->ni", tangents, step), step, atol=1e-8)
    errors = []
    for slope in (0.1, 0.01):
        gentle, start = CurvedValley(slope, [5.0, 9.0], [0.3, 0.7], [2.0, 1.0]), np.array([0.3])
        times = np.array([0.0, 5.0, 5.0 + 1e-2 / slope])
        path = integrate(lambda _, w, f=gentle: -f.gradient(w), gentle.river(start)[0], times)
        middle = 0.5 * (path[1, 0] + path[2, 0])
        speed = (path[2, 0] - path[1, 0]) / (times[2] - times[1])
        errors.append(abs(speed / gentle.river_speed(middle) - 1.0))
    assert errors[0] < 0.05 and errors[1] < 0.2 * errors[0]   # of order s/c
    assert np.all(StraightValley(0.3, 5.0).river_speed(x) == 0.3)


# Metrics -------------------------------------------------------------------------------------------------------------

def symbolic_metric(name, x, y):
    if name == "rotating":
        angle = x + sympy.Rational(7, 10) * y
        u = sympy.Matrix([sympy.cos(angle), sympy.sin(angle)])
        return sympy.eye(2) / 2 + sympy.Rational(3, 2) * u * u.T
    if name == "gradient":
        f = x**2 / 2 + 2 * y**2 + sympy.Rational(3, 2) * (1 - sympy.cos(2 * x + y))
        noise = (sympy.Rational(1, 2), sympy.Rational(3, 10))
        return sympy.diag(*(sympy.sqrt(f.diff(v) ** 2 + n**2) + sympy.Rational(1, 10)
                            for v, n in zip((x, y), noise, strict=True)))
    if name == "mirror":
        potential = (x**2 + y**2) / 2 + sympy.Rational(8, 10) * sympy.cosh(x + sympy.Rational(6, 10) * y)
        return sympy.hessian(potential, (x, y))
    if name == "shear":
        jacobian = sympy.Matrix([x, y + sympy.Rational(6, 10) * sympy.sin(sympy.Rational(14, 10) * x)]).jacobian([x, y])
        return jacobian.T * jacobian
    return sympy.eye(2) / y**2


@pytest.mark.parametrize("name", ["rotating", "gradient", "mirror", "shear", "half-plane"])
def test_metrics_against_symbolic_ones(name):
    x, y = sympy.symbols("x y", real=True)
    matrix, at = symbolic_metric(name, x, y), {x: PLACE[0], y: PLACE[1]}
    inverse = matrix.inv()

    def gamma(k, i, j):
        v = (x, y)
        return sum(inverse[k, m] * (matrix[j, m].diff(v[i]) + matrix[i, m].diff(v[j]) - matrix[i, j].diff(v[m])) / 2
                   for m in range(2))

    metric = METRICS[name]
    np.testing.assert_allclose(metric.matrix(PLACE), np.array(matrix.subs(at).evalf(20), float), rtol=1e-13)
    derivative = [[[float(matrix[i, j].diff(v).subs(at)) for j in range(2)] for i in range(2)] for v in (x, y)]
    np.testing.assert_allclose(metric.derivative(PLACE), derivative, rtol=1e-12, atol=1e-13)
    expected = [[[float(gamma(k, i, j).subs(at)) for j in range(2)] for i in range(2)] for k in range(2)]
    np.testing.assert_allclose(christoffel(metric, PLACE), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_connections_are_symmetric_and_keep_the_metric(name):
    metric, w = METRICS[name], np.array([[0.4, 1.3], [-0.2, 0.7], [1.0, 2.0]])
    lowered = lowered_christoffel(metric, w)
    np.testing.assert_allclose(lowered, np.swapaxes(lowered, -1, -2), atol=1e-14)
    kept = np.einsum("...jki->...kij", lowered) + np.einsum("...ikj->...kij", lowered)   # Gamma_{j,ki} + Gamma_{i,kj}
    np.testing.assert_allclose(metric.derivative(w), kept, rtol=1e-12, atol=1e-13)
    assert np.linalg.eigvalsh(metric.matrix(w)).min() > 0


def test_maps_of_mirror_and_shear():
    for metric, map_ in ((METRICS["mirror"], METRICS["mirror"].mirror), (METRICS["shear"], METRICS["shear"].flat)):
        slopes = np.stack([(map_(PLACE + step) - map_(PLACE - step)) / 2e-6 for step in 1e-6 * np.eye(2)], axis=-1)
        wanted = metric.jacobian(PLACE) if isinstance(metric, ShearMetric) else metric.matrix(PLACE)
        np.testing.assert_allclose(slopes, wanted, atol=1e-8)
    np.testing.assert_allclose(METRICS["shear"].curved(METRICS["shear"].flat(PLACE)), PLACE, rtol=1e-14)


def test_lite_metric_divides_flat_directions():
    flat = np.diag([0.0, 1.0])
    metric = lite_metric(ConstantMetric([2.0, 3.0]), flat, 4.0)
    np.testing.assert_allclose(metric.entries, np.diag([2.0, 0.75]))
    np.testing.assert_allclose(lite_damping(flat, 0.1, 0.8), np.diag([0.1, 0.8]))


# Flows ---------------------------------------------------------------------------------------------------------------

def test_geodesics_of_the_half_plane_are_half_circles():
    # No friction and no force: (x, y) = (tanh t, 1/cosh t), at unit speed.
    flow, times = InertialFlow(Quadratic([0.0, 0.0]), HalfPlaneMetric(), 0.0), np.linspace(0.0, 2.0, 9)
    w, _ = flow.path([0.0, 1.0], [1.0, 0.0], times)
    np.testing.assert_allclose(w, np.stack([np.tanh(times), 1.0 / np.cosh(times)], axis=1), atol=1e-10)


@settings(deadline=None, max_examples=10)
@given(alpha=st.floats(0.0, 2.0), beta=st.floats(-0.2, 1.0), gamma=st.floats(0.5, 3.0))
def test_flow_on_a_quadratic_against_the_matrix_exponential(alpha, beta, gamma):
    landscape, metric = Quadratic([1.0, 4.0], TURN[:2, :2]), METRICS["constant"]
    h = np.linalg.solve(metric.entries, landscape.matrix)
    generator = np.block([[np.zeros((2, 2)), np.eye(2)], [-gamma * h, -alpha * np.eye(2) - beta * h]])
    expected = expm(1.5 * generator) @ np.array([0.4, 1.3, -0.5, 0.2])
    for connection in CONNECTIONS:
        w, v = InertialFlow(landscape, metric, alpha, beta, gamma, connection).path(PLACE, [-0.5, 0.2], [0.0, 1.5])
        np.testing.assert_allclose(np.append(w[-1], v[-1]), expected, atol=1e-9)
    first = first_order_path(InertialFlow(landscape, metric, alpha, beta, gamma), PLACE, [-0.5, 0.2], [0.0, 1.5])
    np.testing.assert_allclose(first[-1], expected[:2], atol=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_acceleration_from_christoffel_symbols(name):
    metric, v = METRICS[name], np.array([0.7, -0.4])
    gamma, lowered = christoffel(metric, PLACE), lowered_christoffel(metric, PLACE)
    inverse = np.linalg.inv(metric.matrix(PLACE))
    slope = inverse @ RIPPLES.gradient(PLACE)
    hessian = inverse @ (RIPPLES.hessian(PLACE) - np.einsum("lij,l->ij", lowered, slope))
    expected = -np.einsum("kij,i,j->k", gamma, v, v) - 0.7 * v - 0.4 * hessian @ v - 2.3 * slope
    found = InertialFlow(RIPPLES, metric, 0.7, 0.4, 2.3).acceleration(PLACE, v)
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    change = np.einsum("kij,k->ij", metric.derivative(PLACE), v)
    dual = -inverse @ (change @ v + 0.4 * RIPPLES.hessian(PLACE) @ v) - 0.7 * v - 2.3 * slope
    found = InertialFlow(RIPPLES, metric, 0.7, 0.4, 2.3, "dual").acceleration(PLACE, v)
    np.testing.assert_allclose(found, dual, rtol=1e-11)


@pytest.mark.parametrize("name", ["rotating", "gradient", "mirror", "shear"])
def test_momentum_flow_is_the_dual_connection(name):
    flow, times = MomentumFlow(RIPPLES, METRICS[name], 0.7, 0.4), np.linspace(0.0, 1.5, 4)
    velocity, _ = flow.field(PLACE, np.array([0.3, -0.2]))
    dual = InertialFlow(RIPPLES, METRICS[name], 0.7, 0.4, 1.28, "dual").path(PLACE, velocity, times)[0]
    np.testing.assert_allclose(flow.path(PLACE, times, [0.3, -0.2])[0], dual, atol=1e-9)


@pytest.mark.parametrize("name", ["constant", "rotating", "gradient", "mirror"])
def test_modified_field_matches_one_step_to_third_order(name):
    # One step of w+ = w - h F^-1 (p + B g), p+ = (1 - a h) p + h g(w+) against the flow over h: local error h^3.
    flat = np.array([[0.36, 0.48], [0.48, 0.64]])
    for damping in (0.4, lite_damping(flat, 0.1, 0.8)):
        flow, p, errors = MomentumFlow(RIPPLES, METRICS[name], 0.7, damping), np.array([0.3, -0.2]), []
        for h in (0.02, 0.01, 0.005):
            w = PLACE + h * flow.field(PLACE, p)[0]
            stepped = np.append(w, (1.0 - 0.7 * h) * p + h * RIPPLES.gradient(w))
            followed = np.concatenate([part[-1] for part in flow.path(PLACE, [0.0, h], p, h)])
            errors.append(np.abs(stepped - followed).max())
        np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 3.0, atol=0.15)


def test_iteration_is_algorithm_1():
    flat, step = np.diag([0.0, 1.0]), 0.1
    base, chi, sharp, gentle, friction = np.array([2.0, 3.0]), 4.0, 0.1, 0.8, 0.7
    metric = lite_metric(ConstantMetric(base), flat, chi)
    flow = MomentumFlow(RIPPLES, metric, friction, lite_damping(flat, sharp, gentle))
    found, momenta = flow.iterate(PLACE, step, 30)
    w, m = PLACE, np.zeros(2)
    for k in range(30):
        g = RIPPLES.gradient(w)
        m = (1.0 - friction * step) * m + g
        update = (np.eye(2) - flat) @ ((m + sharp / step * g) / base) + chi * flat @ ((m + gentle / step * g) / base)
        w = w - step**2 * update
        np.testing.assert_allclose(found[k + 1], w, rtol=1e-12)
        np.testing.assert_allclose(momenta[k], step * m, rtol=1e-12)


def test_batches_of_paths():
    starts = np.array([[0.4, 1.3], [-0.5, 0.8]])
    flow, times = MomentumFlow(RIPPLES, METRICS["rotating"], 0.7, 0.4), np.linspace(0.0, 1.0, 3)
    np.testing.assert_allclose(flow.path(starts, times)[0][:, 1], flow.path(starts[1], times)[0], atol=1e-9)
    np.testing.assert_allclose(flow.iterate(starts, 0.1, 5)[0][:, 1], flow.iterate(starts[1], 0.1, 5)[0], rtol=1e-12)
    levi = InertialFlow(RIPPLES, METRICS["rotating"], 0.7, 0.4)
    np.testing.assert_allclose(levi.path(starts, starts, times)[0][:, 1], levi.path(starts[1], starts[1], times)[0],
                               atol=1e-9)


def test_overdamped_path_on_a_quadratic():
    path = overdamped_path(Quadratic([1.0, 4.0]), ConstantMetric([0.5, 2.0]), 0.2, 1.5, PLACE, [0.0, 0.3])
    np.testing.assert_allclose(path[-1], PLACE * np.exp(-6.5 * 0.3 * np.array([2.0, 2.0])), rtol=1e-9)


# High-resolution equations -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", METHODS)
def test_iterates_of_one_mode_in_high_precision(method):
    curvature, mu, s, count = 0.7, 0.05, 0.4, 60
    with mpmath.workdps(40):
        root = mpmath.sqrt(mpmath.mpf(mu) * s)
        theta, pull = (1 - root) / (1 + root), mpmath.mpf(s) * curvature
        nesterov = method == "nesterov"
        trace = (1 + theta) * (1 - pull) if nesterov else 1 + theta - pull
        z = mpmath.polyroots([1, -trace, theta * (1 - pull) if nesterov else theta])
        first = 1 - (1 + theta) * pull
        c = (first - z[1]) / (z[0] - z[1])
        expected = [float(mpmath.re(c * z[0]**k + (1 - c) * z[1]**k)) for k in range(count + 1)]
    found = iterates(method, Quadratic([curvature]), [1.0], mu, s, count)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)


@settings(deadline=None, max_examples=30)
@given(curvature=st.floats(0.05, 6.0), a=st.floats(0.0, 2.0), b=st.floats(0.0, 1.0), h=st.floats(1e-4, 0.1))
def test_modal_coefficients_are_logarithms_of_roots(curvature, a, b, h):
    found = modal_coefficients(curvature, a, b, h)
    with mpmath.workdps(40):
        a, b, h, curvature = map(mpmath.mpf, (a, b, h, curvature))
        theta, pull = 1 - a * h, h * h * curvature
        middle = (1 + theta - pull * (1 + b / h)) / 2
        gap = mpmath.sqrt(middle**2 - theta * (1 - pull * b / h))
        logs = [mpmath.log(z) / h for z in (middle + gap, middle - gap)]
        expected = -mpmath.re(logs[0] + logs[1]), mpmath.re(logs[0] * logs[1])
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=1e-8, atol=1e-10)


def test_equations_of_the_methods():
    landscape, mu, s, v = LANDSCAPES["logistic"], 0.09, 0.04, np.array([0.5, -0.3, 0.2])
    w = np.array([1.0, -1.0, 0.5])
    g, hessian = landscape.gradient(w), landscape.hessian(w)
    ball = -0.6 * v - 1.06 * g
    slow = high_resolution_flow("heavy ball", landscape, mu, s)
    np.testing.assert_allclose(slow.acceleration(w, v), ball, rtol=1e-12)
    np.testing.assert_allclose(high_resolution_flow("nesterov", landscape, mu, s).acceleration(w, v),
                               ball - 0.2 * hessian @ v, rtol=1e-12)
    np.testing.assert_allclose(low_resolution_flow(landscape, mu).acceleration(w, v), -0.6 * v - g, rtol=1e-12)
    for method in METHODS:
        first = iterates(method, landscape, w, mu, s, 1)
        np.testing.assert_allclose(starting_velocity(landscape, w, mu, s, corrected=False), (first[1] - first[0]) / 0.2)
    np.testing.assert_allclose(starting_velocity(landscape, w, mu, s)
                               - starting_velocity(landscape, w, mu, s, corrected=False), 0.1 * g, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("corrected", "order"), [(True, 2.0), (False, 1.0)])
def test_order_of_the_starting_velocity(method, corrected, order):
    landscape, w, errors = LANDSCAPES["logistic"], np.array([1.0, -1.0, 2.0]), []
    for h in (1 / 64, 1 / 128):
        flow, velocity = (high_resolution_flow(method, landscape, 0.1, h * h),
                          starting_velocity(landscape, w, 0.1, h * h, corrected))
        errors.append(np.abs(flow.path(w, velocity, [0.0, 1.0])[0][-1]
                             - iterates(method, landscape, w, 0.1, h * h, round(1 / h))[-1]).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


def test_vanishing_friction_is_a_bessel_function():
    curvatures, times = np.array([1.0, 9.0]), np.array([1e-3, 1.0, 3.0, 8.0])
    root = np.sqrt(curvatures)
    exact = 2.0 * j1(np.multiply.outer(times, root)) / np.multiply.outer(times, root)
    x, _ = convex_flow(Quadratic(curvatures), 0.01, high=False).path(exact[0], -curvatures * 1e-3 / 4.0, times)
    np.testing.assert_allclose(x, exact, atol=1e-6)


def test_convex_iterates():
    landscape, x, s = LANDSCAPES["logistic"], np.array([1.0, -1.0, 0.5]), 0.3
    found, y = convex_iterates(landscape, x, s, 4), [x]
    for k in range(4):
        y.append(found[k] - s * landscape.gradient(found[k]))
        np.testing.assert_allclose(found[k + 1], y[-1] + k / (k + 3) * (y[-1] - y[-2]), rtol=1e-13)
    flow = convex_flow(landscape, s)
    assert (flow.friction, flow.damping, flow.force) == pytest.approx((3.0, math.sqrt(s), 1.5 * math.sqrt(s)))


# Energies ------------------------------------------------------------------------------------------------------------

def directional(function, place, drift):
    """Derivative along the drift by differences of fourth order, with a step that the drift makes small."""
    h = 1e-3 / (1.0 + max(np.abs(dx).max() for dx in drift))
    at = [function(*(x + k * h * dx for x, dx in zip(place, drift, strict=True))) for k in (-2, -1, 1, 2)]
    return (at[0] - 8.0 * at[1] + 8.0 * at[2] - at[3]) / (12.0 * h)


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=15)
@given(x=st.floats(-1.5, 1.5), y=st.floats(0.5, 2.0), p=st.tuples(COORDINATES, COORDINATES).map(np.array),
       alpha=st.floats(0.0, 2.0), beta=st.floats(-0.5, 1.0))
def test_energies_change_as_stated_at_every_state(name, x, y, p, alpha, beta):
    w = np.array([x, y])
    flow = MomentumFlow(RIPPLES, METRICS[name], alpha, beta)
    rate = directional(lambda w, p: momentum_energy(flow, w, p), (w, p), flow.field(w, p))
    spent = momentum_dissipation(flow, w, p)
    np.testing.assert_allclose(rate, -spent.sum(), rtol=1e-6, atol=1e-6 * (1.0 + np.abs(spent).sum()))
    levi = InertialFlow(RIPPLES, METRICS[name], alpha, beta, 1.7)
    rate = directional(lambda w, v: riemannian_energy(levi, w, v), (w, p), (p, levi.acceleration(w, p)))
    spent = riemannian_dissipation(levi, w, p)
    np.testing.assert_allclose(rate, -spent.sum(), rtol=1e-6, atol=1e-6 * (1.0 + np.abs(spent).sum()))


def test_balance_adds_up():
    flow = MomentumFlow(RIPPLES, METRICS["rotating"], 0.7, 0.4)
    energies, spent = balance(flow.field, lambda w, p: momentum_energy(flow, w, p),
                              lambda w, p: momentum_dissipation(flow, w, p), (PLACE, [0.1, 0.2]), [0.0, 1.0, 2.0])
    np.testing.assert_allclose(energies + spent.sum(axis=1), energies[0], rtol=1e-11)
    assert spent.shape == (3, 3) and not spent[0].any()


def test_decay_is_attained_by_one_mode():
    flow, times = MomentumFlow(Quadratic([2.0, 2.0]), euclidean(2), 1.0, 0.5), np.linspace(0.0, 4.0, 9)
    energy = momentum_energy(flow, *flow.path(PLACE, times))
    np.testing.assert_allclose(energy, energy[0] * np.exp(-decay_rate(flow, 1.0) * times), rtol=1e-8)
    assert decay_rate(flow, 0.3) == 0.6 and decay_rate(flow, 5.0) == 2.0


@settings(deadline=None, max_examples=25)
@given(a=st.floats(0.2, 2.0), b=st.floats(0.1, 8.0), epsilon=st.sampled_from([0.0, 0.1]), corrected=st.booleans(),
       time=st.floats(0.1, 5.0), w=st.tuples(COORDINATES, COORDINATES).map(np.array),
       m=st.tuples(st.floats(0.1, 2.0), st.floats(-2.0, -0.1)).map(np.array), v=st.floats(0.2, 3.0))
def test_adam_energy_grows_as_stated_and_at_most_as_stated(a, b, epsilon, corrected, time, w, m, v):
    flow, v = AdamFlow(RIPPLES, a, b, epsilon, corrected), np.array([v, 0.7])
    rate = directional(flow.energy, (time, w, m, v), (1.0, *flow.field(time, w, m, v)))
    kinetic = flow.kinetic(time, m, v)
    np.testing.assert_allclose(flow.growth(time, w, m, v), rate, rtol=1e-5, atol=1e-5 * kinetic * (1 + b))
    most = float(adam_growth(a, b, time, corrected))
    assert flow.growth(time, w, m, v) <= (most + 1e-9) * kinetic or epsilon > 0
    if epsilon == 0:   # attained at the minimum, where g = 0
        assert flow.growth(time, 0.0 * w, m, v) == pytest.approx(most * kinetic, rel=1e-9, abs=1e-12)
    if b <= 4.0 * a:
        assert flow.growth(time, w, m, v) <= 1e-12


@given(a=st.floats(0.1, 5.0), ratio=st.floats(0.01, 10.0), time=st.floats(1e-3, 50.0))
def test_bias_correction_keeps_the_condition(a, ratio, time):
    bound = float(adam_growth(a, 4.0 * a * ratio, time, corrected=True))
    if ratio <= 1.0:
        assert bound < 0.0 or (ratio == 1.0 and bound <= 1e-12)
    late = float(adam_growth(a, 4.0 * a * ratio, 1e6 / a, corrected=True))
    assert late == pytest.approx(2.0 * a * (ratio - 1.0), abs=1e-12)


def test_adam_paths_do_not_depend_on_curvature():
    times = np.linspace(0.01, 4.0, 5)
    stiff = AdamFlow(Quadratic([100.0, 1.0, 0.01]), 0.5, 0.3).path([1.0, 1.0, 1.0], times)
    np.testing.assert_allclose(stiff[:, 0], stiff[:, :1, 1].repeat(3, axis=1), rtol=1e-7)


def test_corrected_adam_is_adam_with_its_moments_corrected():
    # m/(1 - e^-at) and v/(1 - e^-bt) of the plain moments obey the corrected equations.
    a, b, start, last = 0.8, 0.5, 0.2, 2.0
    flow = AdamFlow(RIPPLES, a, b, 0.0, corrected=True)

    def plain(t, y):
        w, m, v = y.reshape(3, 2)
        g = RIPPLES.gradient(w)
        root = np.sqrt(v / -np.expm1(-b * t))
        return np.concatenate([-m / -np.expm1(-a * t) / root, a * (g - m), b * (g * g - v)])

    g = RIPPLES.gradient(PLACE)
    m, v = 0.7 * g, 1.3 * g * g
    uncorrected = np.concatenate([PLACE, -np.expm1(-a * start) * m, -np.expm1(-b * start) * v])
    expected = solve_ivp(plain, (start, last), uncorrected, rtol=1e-10, atol=1e-12).y[:2, -1]
    np.testing.assert_allclose(flow.path(PLACE, [start, last], m, v)[-1, 0], expected, atol=1e-7)


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_vanishing_energy_decreases_from_friction_3(damping):
    landscape, times = LANDSCAPES["logistic"], np.geomspace(1.0, 20.0, 60)
    energy = {}
    for friction in (1.0, 3.0):
        flow = VanishingFlow(landscape, friction, damping)
        energy[friction] = vanishing_energy(flow, times, *flow.path([2.0, -3.0, 5.0], np.zeros(3), times))
    assert (np.diff(energy[3.0]) <= 1e-9 * energy[3.0][0]).all() and np.diff(energy[1.0]).max() > 1e-3


# Claims ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("claim", [
    connections.connections_at_minimum, connections.mirror_form, high_resolution.modal_equation,
    high_resolution.modal_path, high_resolution.convex_start, lyapunov.energy_decay, lyapunov.adam_energy_growth,
    ingredients.nesterov_bound, ingredients.heavy_ball_bound, ingredients.flow_bound, ingredients.gradient_correction,
], ids=lambda claim: claim.name)
def test_claims_that_are_quick_hold_with_their_controls(claim):
    outcome = judge(claim, Effort())
    assert outcome.verdict is Verdict.HOLDS, outcome
