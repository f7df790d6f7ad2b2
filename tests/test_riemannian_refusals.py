"""Landscapes, metrics, flows and iterations refuse what they cannot do, in one line; limits of stability are exact."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.theory.riemannian import modes, river
from theorycheck.theory.riemannian.high_resolution import (
    VanishingFlow,
    convex_iterates,
    iterates,
    modal_coefficients,
    modal_expansion,
    momentum,
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
    decay_rate,
    vanishing_energy,
)
from theorycheck.theory.riemannian.metrics import (
    ConstantMetric,
    GradientMetric,
    HalfPlaneMetric,
    MirrorMetric,
    RotatingMetric,
    euclidean,
    lite_metric,
)
from theorycheck.theory.riemannian.rishd import (
    InertialFlow,
    MomentumFlow,
    lite_damping,
    overdamped_path,
)

FEATURES = np.sin(np.arange(1.0, 31.0)[:, None] * np.sqrt([2.0, 3.0, 5.0]))
LABELS = np.where(np.sin(9.0 * np.arange(30.0)) > 0, 1.0, -1.0)
RIPPLES = RippledQuadratic([1.0, 4.0], 1.5, [2.0, 1.0])
BOWL = Quadratic([1.0, 4.0])
PLACE = np.array([0.4, 1.3])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Quadratic([]), "finite numbers in one row"),
    (lambda: Quadratic([1.0, np.nan]), "finite numbers in one row"),
    (lambda: Quadratic([1.0, 2.0], np.eye(3)), r"rotation has shape \(3, 3\); it must be \(2, 2\)"),
    (lambda: Quadratic([1.0, 2.0], [[1.0, 0.1], [0.0, 1.0]]), "off orthogonality by 0.1; it must be at most 1e-10"),
    (lambda: Quadratic("stiff"), "they must be numbers"),
    (lambda: RippledQuadratic([1.0, -1.0], 1.0, [1.0, 1.0]), "curvatures: the smallest is -1.0; all must be >= 0"),
    (lambda: RippledQuadratic([1.0, 1.0], 1.0, [1.0]), "wave: there must be 2 numbers, not 1"),
    (lambda: StraightValley(0.0, [1.0]), "slope is 0.0; it must be > 0"),
    (lambda: StraightValley(np.inf, [1.0]), "slope is inf; it must be finite"),
    (lambda: CurvedValley(1.0, [1.0, 0.0]), "curvature: the smallest is 0.0; all must be > 0"),
    (lambda: CurvedValley(1.0, [1.0, 1.0], [1.0, 1.0, 1.0]), "amplitude: there must be 2 numbers, not 3"),
    (lambda: MatrixQuadratic(1.0), r"they must be finite, \(n,\), \(m, 1\) or \(m, n\)"),
    (lambda: LogisticRegression(FEATURES, 2 * LABELS, 0.1), "each must be -1 or 1"),
    (lambda: LogisticRegression(FEATURES, LABELS[:3], 0.1), "labels: there must be 30 numbers, not 3"),
    (lambda: LogisticRegression(FEATURES, LABELS, -1.0), "ridge is -1.0; it must be >= 0"),
    (lambda: Quadratic([1.0, 2.0]).value(np.ones(3)), "last axis must have length 2"),
    (lambda: ConstantMetric([[1.0, 2.0], [2.0, 1.0]]), "eigenvalue -1; all must be > 8.88e-16"),
    (lambda: ConstantMetric([1.0, 0.0]), "eigenvalue 0; all must be > 4.44e-16, or it is singular to rounding"),
    (lambda: ConstantMetric([[1.0, 2.0], [0.0, 9.0]]), "off symmetry by 2"),
    (lambda: lite_metric(euclidean(2), np.diag([0.0, 1.0]), 0.5), "chi is 0.5; it must be >= 1"),
    (lambda: lite_metric(euclidean(2), np.diag([0.0, 2.0]), 2.0), "must be a square matrix, symmetric and idempotent"),
    (lambda: lite_metric(ConstantMetric([[1.0, 0.3], [0.3, 1.0]]), np.diag([0.0, 1.0]), 2.0), "fail to commute by 0.3"),
    (lambda: RotatingMetric(1.0, -2.0), "gain is -2; it must be > -1"),
    (lambda: GradientMetric(RIPPLES, 0.0), "noise: the smallest is 0.0; all must be > 0"),
    (lambda: GradientMetric(RIPPLES, [1.0, 1.0, 1.0]), "noise has 3 entries; it must have 1 or 2"),
    (lambda: HalfPlaneMetric().matrix(np.array([0.0, -1.0])), "y is -1.0; it must be > 0"),
    (lambda: InertialFlow(RIPPLES, euclidean(2), -1.0), "friction is -1.0; it must be >= 0"),
    (lambda: InertialFlow(RIPPLES, euclidean(2), 1.0, connection="affine"), "must be one of levi-civita, dual, none"),
    (lambda: MomentumFlow(RIPPLES, euclidean(2), 1.0, [1.0, 2.0, 3.0]), r"a finite number or a matrix \(2, 2\)"),
    (lambda: MomentumFlow(RIPPLES, euclidean(2), 4.0).iterate(PLACE, 0.3, 1), "it must be at most 0.25 = 1/friction"),
    (lambda: lite_damping(np.eye(2), 1.0, 0.5), "flat is 0.5; it must be >= 1"),
    (lambda: overdamped_path(RIPPLES, euclidean(2), 1.2, 0.0, PLACE, [0.0]), "friction is 1.2; it must be in"),
    (lambda: momentum(4.0, 0.5), "convexity x step_size is 2; it must be < 1"),
    (lambda: iterates("newton", RIPPLES, PLACE, 0.1, 0.1, 1), "method is 'newton'; it must be one of nesterov, heavy"),
    (lambda: modal_coefficients(4.0, 1.0, 0.0, 1.0), "step is 1; it must be < 0.75, above which a root"),
    (lambda: modal_expansion(1.0, 1.0, 0.0, 0.1, order=2), "order is 2; it must be 0 or 1"),
    (lambda: VanishingFlow(RIPPLES).path(PLACE, PLACE, [0.0, 1.0]), "the first time is 0.0; it must be > 0"),
    (lambda: vanishing_energy(VanishingFlow(RIPPLES, 3.0, 0.5), 0.5, PLACE, PLACE), "time is 0.5.*it must be > 0.5"),
    (lambda: AdamFlow(RIPPLES, 0.0, 1.0), "first is 0.0; it must be > 0"),
    (lambda: integrate(lambda t, y: y, 1.0, [0.0, 0.0]), "strictly increasing"),
    (lambda: integrate(lambda t, y: y**2, 1.0, [0.0, 2.0]), "the last time must be smaller"),
    (lambda: ConstantMetric([1e-300, 1.0]), "the eigenvalue 1e-300; all must be > 4.44e-16"),
    (lambda: ConstantMetric([np.inf, 1.0]), "an entry of the metric is inf; it must be finite"),
    (lambda: euclidean(2.5), "dimension is 2.5; it must be an integer >= 1"),
    (lambda: lite_metric(RotatingMetric(), np.eye(2), 2.0), "a RotatingMetric; it must be a ConstantMetric"),
    (lambda: lite_damping(np.diag([3.0, 5.0]), 0.0, 1.0), "must be a square matrix, symmetric and idempotent"),
    (lambda: lite_damping([1.0, 2.0], 0.0, 1.0), r"projector of shape \(2,\) must be a square matrix"),
    (lambda: lite_damping(1.0, 0.0, 1.0), r"projector of shape \(\) must be a square matrix"),
    (lambda: MirrorMetric(0.8, [1.0, 0.6]).matrix([30.0, 30.0]), r"k.w is 48.0; \|k.w\| must be <= 36.6"),
    (lambda: Quadratic([1.0]).value([1.0j]), "they must be numbers"),
    (lambda: Quadratic([1.0]).gradient([np.nan]), "the parameters contain nan; all must be finite"),
    (lambda: MatrixQuadratic([1.0]).gradient([[np.inf]]), "the parameters contain inf; all must be finite"),
    (lambda: decay_rate(MomentumFlow(BOWL, RotatingMetric(), 1.0), 1.0), "RotatingMetric; it must be a ConstantMetric"),
    (lambda: adam_growth(0.0, 1.0), "first is 0.0; it must be > 0"),
    (lambda: adam_growth([1.0, -2.0], 1.0), "first: the smallest is -2.0; all must be > 0"),
    (lambda: adam_growth(1.0, 1.0, -1.0, corrected=True), "time is -1.0; it must be > 0"),
    (lambda: modal_coefficients(np.nan, 1.0, 0.0, 0.1), "curvature is nan; it must be finite"),
    (lambda: modal_coefficients(1.0, 1.0, 0.0, 0.0), "step is 0.0; it must be > 0"),
    (lambda: modal_coefficients(1.0, 1.0, 0.0, -0.1), "step is -0.1; it must be >= 0"),
    (lambda: modal_coefficients(1.0, -1.0, 0.0, 0.1), "friction is -1.0; it must be >= 0"),
    (lambda: modal_coefficients(1.0, 4.0, 0.0, 0.5), "step is 0.5; it must be at most 0.25 = 1/friction"),
    # Integration: what is singular, stiff or not a number ends in a line, and soon.
    (lambda: AdamFlow(BOWL, 1.0, 1.0).path([0.0, 1.0], [0.0, 1.0]), "v is 0.0; it must be > 0 where epsilon = 0"),
    (lambda: AdamFlow(BOWL, 1.0, 1.0, 0.1).path(PLACE, [0.0, 1.0], v=-PLACE), "v: the smallest is -1.3; all must be"),
    (lambda: MomentumFlow(BOWL, MirrorMetric(0.8, [1.0, 0.6]), 1.0).path([500.0, 500.0], [0.0, 1.0]), "k.w is 800.0"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 1.0).path(["a", 1.0], [0.0, 1.0]), "parameters are .* must be numbers"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 1.0).path([np.nan, 1.0], [0.0, 1.0]), "the parameters contain nan"),
    (lambda: integrate(lambda t, y: -1e6 * y, 1.0, [0.0, 1.0], evaluations=1000), "more than 1000 .* reached t = 0.00"),
    (lambda: integrate(lambda t, y: 1.0 / y, 0.0, [0.0, 1.0]), "of the solution is not finite at the start, t = 0"),
    (lambda: integrate(lambda t, y: y, np.nan, [0.0, 1.0]), "a start value is nan; it must be finite"),
    (lambda: integrate(lambda t, y: y, 1.0, [0.0, 1.0], rtol=-1.0), "rtol is -1.0; it must be >= 1e-13 and < 1"),
    (lambda: integrate(lambda t, y: y, 1.0, [0.0, 1.0], rtol="x"), "rtol is 'x'; it must be a number"),
    (lambda: integrate(lambda t, y: y**2, 1.0, [0.0, 2.0]), "beyond t = 1;"),
    # Iterations: what cannot be stable is refused before it runs.
    (lambda: MomentumFlow(BOWL, euclidean(2), 0.05).iterate(PLACE, 10.0, 400), "step is 10; it must be < 0.987578"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 0.0).iterate(PLACE, 0.1, 4), "friction is 0.0; it must be > 0"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 1.0).iterate(PLACE, 0.1, 2.5), "count is 2.5; it must be an integer"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 1.0).iterate(PLACE, 0.1, -3), "count is -3; it must be an integer >= 0"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 1.0).iterate([np.nan, 0.0], 0.1, 3), "the parameters contain nan"),
    (lambda: MomentumFlow(BOWL, euclidean(2), 1.0, -2.0).iterate(PLACE, 0.1, 3), "flow itself grows .* no step is"),
    (lambda: MomentumFlow(CurvedValley(1.0, 4.0), euclidean(2), 0.1).iterate(PLACE, 9.0, 400), "overflows at step"),
    (lambda: iterates("nesterov", BOWL, PLACE, 0.1, 3.0, 300), "step_size is 3; it must be < 0.35.*at curvature 4"),
    (lambda: iterates("heavy ball", BOWL, PLACE, 0.0, 1.0, 300), "step_size is 1; it must be < 1, the stability limit"),
    (lambda: iterates("nesterov", BOWL, PLACE, 0.1, 0.1, 0.5), "count is 0.5; it must be an integer >= 0"),
    (lambda: convex_iterates(BOWL, PLACE, -1.0, 9), "step_size is -1.0; it must be > 0"),
    (lambda: convex_iterates(BOWL, PLACE, np.nan, 9), "step_size is nan; it must be finite"),
    (lambda: convex_iterates(BOWL, PLACE, 2.0, 9), "step_size is 2; it must be < 0.333333, the stability limit"),
    (lambda: convex_iterates(BOWL, PLACE, "a", 9), "step_size is 'a'; it must be a number"),
    (lambda: convex_iterates(BOWL, "a", 0.1, 9), "parameters are 'a'; they must be numbers"),
])
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as refusal:
        make()
    assert "\n" not in str(refusal.value)


@settings(deadline=None, max_examples=30)
@given(a=st.floats(0.05, 1.0), b=st.floats(0.0, 2.0), top=st.floats(0.5, 50.0), turned=st.booleans())
def test_largest_steps_are_those_of_one_mode(a, b, top, turned):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) if turned else None
    flow, h = MomentumFlow(Quadratic([0.3, top], turn), euclidean(2), a, b), 1.0 / a
    room = h**2 * top / modes.largest_step(0.0, b / h) - 1.0   # at alpha = 1, the largest step of all
    if room < -1e-6:
        assert len(flow.iterate(PLACE, h, 5)[0]) == 6
    elif room > 1e-6:
        with pytest.raises(ValueError, match="the stability limit at curvature") as refusal:
            flow.iterate(PLACE, h, 5)
        h = float(str(refusal.value).split("< ")[1].split(",")[0])
        assert h**2 * top == pytest.approx(modes.largest_step(1.0 - a * h, b / h), rel=2e-5)
        assert len(flow.iterate(PLACE, 0.999 * h, 2000)[0]) == 2001


@pytest.mark.parametrize(("run", "limit"), [
    (lambda s, count: iterates("nesterov", BOWL, PLACE, 0.1, s, count), 0.355695),
    (lambda s, count: iterates("heavy ball", BOWL, PLACE, 0.1, s, count), 0.781521),
    (lambda s, count: convex_iterates(BOWL, PLACE, s, count), 1.0 / 3.0),
], ids=["nesterov", "heavy ball", "convex"])
def test_largest_step_sizes_are_exact(run, limit):
    with pytest.raises(ValueError, match=f"step_size is {1.01 * limit:g}; it must be < {limit:.6g}, the stability"):
        run(1.01 * limit, 10)
    assert np.abs(run(0.99 * limit, 3000)[-1]).max() < 1e-3   # just below it they converge


def test_a_large_step_on_a_saddle_or_in_a_turning_metric_is_refused_when_it_overflows():
    assert np.isfinite(MomentumFlow(Quadratic([1.0, -1.0]), euclidean(2), 1.0).iterate(PLACE, 0.1, 50)[0]).all()
    with pytest.raises(ValueError, match="step is 9; it must be smaller, the iteration overflows at step"):
        MomentumFlow(Quadratic([1.0, 4.0]), RotatingMetric(), 0.1).iterate(PLACE, 9.0, 400)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: river.river_progress(-1.0, 0.1, 1.0, 0.9), "steps is -1.0; it must be >= 0 and finite"),
    (lambda: river.river_progress(5, 0.0, 1.0, 0.9), "rate is 0.0; it must be > 0 and finite"),
    (lambda: river.river_progress(5, 0.1, np.nan, 0.9), "slope is nan; it must be finite"),
    (lambda: river.river_progress(5, 0.1, 1.0, 1.0), r"momentum is 1.0; it must be in \[0, 1\)"),
    (lambda: river.river_speed(0.1, 1.0, 0.9, np.inf), "damping is inf; it must be finite"),
    (lambda: river.river_speed(0.1, 1.0, 0.9, 0.0, -1.0), "gain is -1.0; it must be > 0 and finite"),
    (lambda: river.decayed_variance(5, 0.0, 1.0, 1.0), "variance is 0.0; it must be > 0 and finite"),
    (lambda: river.decayed_variance(5, 1.0, 1.0, 0.0), "noise is 0.0; it must be > 0 and finite"),
    (lambda: river.decaying_rates(2.5, 1.0, 1.0, 1.0), "steps is 2.5; it must be an integer >= 1"),
    (lambda: river.variances([0.1, -0.1], 1.0, 1.0, 1.0), "a rate is -0.1; it must be finite and >= 0"),
    (lambda: river.variances([0.1], -1.0, 1.0, 1.0), "variance is -1.0; it must be finite and >= 0"),
])
def test_rivers_refuse_what_is_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_front_door_has_what_it_names_and_opens_without_numba_or_sympy():
    code = ("import sys, theorycheck.theory.riemannian as r\n"
            "assert r.InertialFlow and r.Quadratic and r.Lite and r.adam and r.modes.largest_step\n"
            "assert not {'numba', 'sympy', 'matplotlib'} & set(sys.modules)\n")
    subprocess.run([sys.executable, "-c", code], check=True)
