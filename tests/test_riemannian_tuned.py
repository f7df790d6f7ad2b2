"""Gains at tuned learning rates: a grid must not favour the method whose optimum lies on one of its points."""

import numpy as np
import pytest

from theorycheck.checks.riemannian import tuned


def losses(log_optimum, floor, replicas=400, curvature=0.3, seed=0):
    """Losses (R, L) that are parabolas of log2 of the rate, with noise that the rates of a replica share."""
    x = np.log2(tuned.grid(1.0, (-1.0, 1.0)))
    noise = 1.0 + 0.05 * np.random.default_rng(seed).normal(size=(replicas, 1))
    return floor * noise * np.exp(curvature * (x - log_optimum) ** 2)


def test_a_grid_is_a_quarter_of_an_octave_wide():
    assert np.allclose(tuned.grid(2.0, (-0.5, 0.5)), 2.0 * 2.0 ** np.array([-0.5, -0.25, 0.0, 0.25, 0.5]))


@pytest.mark.parametrize("optimum", [0.0, 0.05, 0.125, -0.1])
def test_the_vertex_is_found_between_grid_points(optimum):
    place, shift = tuned.best(losses(optimum, 3.0))
    assert (place - 4 + shift) * tuned.SPACING == pytest.approx(optimum, abs=1e-9)
    at = tuned.at(losses(optimum, 3.0), place, shift)
    assert at.mean() == pytest.approx(losses(optimum, 3.0).mean(axis=0).min() * np.exp(
        -0.3 * (tuned.SPACING * (shift - round(shift))) ** 2), rel=2e-4)


def test_no_gain_where_there_is_none_and_where_optima_lie_differently():
    """At its grid points alone the second would lose 0.5 % more than the first."""
    on, between = losses(0.0, 3.0), losses(0.125, 3.0)
    assert between.mean(axis=0).min() > 1.004 * on.mean(axis=0).min()
    found = tuned.compared(on, between)
    assert abs(found.value) < 2e-4 and found.inside in (3, 4)


def test_a_gain_and_its_error_and_an_optimum_at_the_end():
    own, other = losses(0.0, 2.7), losses(0.0, 3.0)
    own = own * (1.0 + 0.1 * np.random.default_rng(1).normal(size=(400, 1)))
    found = tuned.compared(own, other)
    assert abs(found.value - 0.1) < 4 * found.error and 0.003 < found.error < 0.006
    assert tuned.compared(losses(-2.0, 3.0), other).inside == 0
