"""The judges: their false alarms under their null, their power against planted errors, and what they refuse.

Rates are counted over N simulated experiments and compared with the stated probability p to five standard
deviations of the binomial law, sqrt(p (1 - p)/N): by chance that fails less than once in a million.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from theorycheck.checks import judges
from theorycheck.checks.claim import Evidence
from theorycheck.checks.slopes import end_slopes
from theorycheck.sims.engine import Estimate

X = np.geomspace(1.0, 1e4, 17)


def margin_of(probability, trials):
    return 5 * math.sqrt(probability * (1 - probability) / trials)


def assert_rate(hits, probability):
    """The rate of `hits` is `probability`, within binomial error."""
    assert abs(np.mean(hits) - probability) <= margin_of(probability, len(hits))


def assert_rate_at_most(hits, probability):
    assert np.mean(hits) <= probability + margin_of(probability, len(hits))


def assert_rate_at_least(hits, probability):
    assert np.mean(hits) >= probability - margin_of(probability, len(hits))


def summary(samples):
    """Replicas along the first axis, as the engine would summarise them."""
    centred = samples - samples.mean(axis=0)
    skewness = (centred**3).mean(axis=0) / (centred**2).mean(axis=0) ** 1.5
    return judges.Sample(samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples)), len(samples),
                         skewness)


# equal

def test_equal_finds_the_worst_place():
    seen = judges.equal(X * (1 + 1e-9 * np.arange(17)), X, rtol=1e-8, at={"t": X}, over="17 times")
    assert seen.accepted is False and "t=10000" in seen.note and "17 times" in seen.note
    assert (seen.expected, seen.false_alarm) == (1e4, 0.0)
    assert judges.equal(X * (1 + 1e-9 * np.arange(17)), X, rtol=1.7e-8).accepted is True


@given(st.floats(-1e100, 1e100).filter(lambda value: abs(value) > 1e-100), st.floats(1e-10, 0.5))
def test_equal_decides_at_its_tolerance_whatever_the_scale(value, rtol):
    assert judges.equal(value * (1 + 0.99 * rtol), value, rtol=rtol).accepted is True
    assert judges.equal(value * (1 + 1.01 * rtol), value, rtol=rtol).accepted is False


def test_equal_without_tolerance_is_exact():
    assert judges.equal(X, X).accepted is True
    assert judges.equal(np.nextafter(X, 0), X).accepted is False
    assert judges.equal(0.5e-3, 0.0, atol=1e-3).accepted is True
    assert judges.equal(0.5e-3, 0.0, rtol=0.5).accepted is False


# monte_carlo

@pytest.mark.parametrize(("alpha", "replicas"), [(0.05, 5), (0.05, 100), (0.01, 20)])
def test_monte_carlo_false_alarm_is_alpha_for_normal_replicas(alpha, replicas):
    samples = np.random.default_rng(1).normal(2.0, 3.0, (replicas, 4000))
    mean, stderr = samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(replicas)
    rejected = [judges.monte_carlo(judges.Sample(m, s, replicas), 2.0, alpha=alpha).accepted is False
                for m, s in zip(mean, stderr)]
    assert_rate(rejected, alpha)


@pytest.mark.parametrize("correlated", [False, True])
def test_monte_carlo_false_alarm_is_family_wise(correlated):
    alpha, generator = 0.05, np.random.default_rng(2)
    rejected = []
    for _ in range(1500):
        samples = generator.normal(size=(40, 30))
        samples = samples.cumsum(axis=1) if correlated else samples
        rejected.append(judges.monte_carlo(judges.Sample(samples.mean(axis=0), samples.std(axis=0, ddof=1) / 40**0.5,
                                                         40), 0.0, alpha=alpha).accepted is False)
    assert_rate_at_most(rejected, alpha)
    if not correlated:                                        # Bonferroni is then sharp: 1 - (1 - alpha/30)^30
        assert_rate(rejected, 1 - (1 - alpha / 30) ** 30)


@pytest.mark.parametrize("law", ["exponential", "chi-square", "lognormal"])
def test_monte_carlo_tails_of_skewed_replicas(law):
    generator, replicas, places = np.random.default_rng(3), 400, 40_000
    draw = {"exponential": lambda: generator.exponential(size=(replicas, 4000)),
            "chi-square": lambda: generator.normal(size=(replicas, 4000)) ** 2,
            "lognormal": lambda: np.exp(0.6 * generator.normal(size=(replicas, 4000)) - 0.18)}[law]
    score, plain = [], []
    for _ in range(places // 4000):
        sample = summary(draw())
        score.append(judges.monte_carlo(sample, 1.0).arrays["z"])
        plain.append((sample.mean - 1.0) / sample.stderr)
    score, plain = np.concatenate(score), np.concatenate(plain)
    for level in (1e-2, 1e-3):
        critical = stats.t.isf(level / 2, replicas - 1)
        assert_rate_at_most(np.abs(score) > critical, 1.5 * level)
        assert_rate_at_least(np.abs(score) > critical, level / 1.5)
    # the control: without the correction the lower tail is far too heavy, and this test would notice
    critical = stats.t.isf(0.5e-3, replicas - 1)
    assert (plain < -critical).mean() > 0.75e-3 + margin_of(0.75e-3, places)


def test_monte_carlo_rejects_a_deviation_of_its_reach():
    alpha, replicas, places, generator = 0.01, 400, 10, np.random.default_rng(4)
    expected = np.full(places, 5.0)
    reach = (stats.t.isf(alpha / (2 * places), replicas - 1) + stats.norm.isf(0.01)) / math.sqrt(replicas) / 5.0
    truth = expected.copy()
    truth[7] *= 1 + reach
    rejected = []
    for _ in range(1000):
        sample = summary(generator.normal(truth, 1.0, (replicas, places)))
        rejected.append(judges.monte_carlo(sample, expected, alpha=alpha).accepted is False)
    assert_rate_at_least(rejected, 0.99)


def test_monte_carlo_is_undecided_when_it_could_not_see_the_resolution():
    sample = judges.Sample(np.array([1.0, 1.0]), np.array([0.01, 0.001]), 10_000)
    assert judges.monte_carlo(sample, 1.0, resolution=0.1).accepted is True
    assert judges.monte_carlo(sample, 1.0, resolution=0.05).accepted is None
    assert judges.monte_carlo(sample, 1.2, resolution=0.05).accepted is False


def test_monte_carlo_is_undecided_when_replicas_are_too_skewed():
    sample = judges.Sample(np.array([1.0, 1.0]), np.array([0.01, 0.01]), 400, np.array([0.0, 5.0]))
    seen = judges.monte_carlo(sample, 1.0)
    assert seen.accepted is None and "too skewed" in seen.note
    assert judges.monte_carlo(sample, [1.0, 5.0]).accepted is None       # its score there means nothing
    assert judges.monte_carlo(sample, [5.0, 1.0]).accepted is False      # the other place speaks for itself


def test_monte_carlo_takes_an_estimate_and_exact_places():
    ones = np.ones(3)
    estimate = Estimate(ones, np.array([0.0, 1.0, 1.0]), np.array([np.nan, 0, 0]), 3 * ones, ones, ones, 100, 0)
    assert judges.monte_carlo(estimate, [1.0, 1.1, 0.9]).accepted is True
    assert judges.monte_carlo(estimate, [1.001, 1.0, 1.0]).accepted is False   # no spread there: any error counts


@given(st.floats(1e-6, 1e6), st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_monte_carlo_does_not_depend_on_units(scale, score, skewness):
    plain = judges.monte_carlo(judges.Sample(1 + 0.1 * score, 0.1, 50, skewness), 1.0, alpha=0.1)
    scaled = judges.monte_carlo(judges.Sample((1 + 0.1 * score) * scale, 0.1 * scale, 50, skewness), scale, alpha=0.1)
    assert plain.arrays["z"] == pytest.approx(scaled.arrays["z"], rel=1e-6, abs=1e-9)


# slopes

@given(st.floats(-3, 3), st.floats(1e-8, 1e8), st.floats(1e-8, 1e8))
def test_an_exact_power_law_has_its_exponent_in_any_units(p, a, b):
    for limit in (None, "small", "large"):
        assert judges.exponent(a * X, b * X**p, p, 1e-6, limit=limit).accepted is True
        assert judges.exponent(a * X, b * X**p, p + 0.01, 1e-3, limit=limit).accepted is False
    assert judges.order(a * X, b * X**p, p, 1e-6).accepted is True


def test_the_order_of_the_points_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(17)
    y = X**-0.5 + 1 / X
    for limit in (None, "large"):
        assert judges.exponent(X, y, -0.5, 0.1, limit=limit) == judges.exponent(X[shuffled], y[shuffled], -0.5, 0.1,
                                                                               limit=limit)
    assert judges.local_slopes(X[shuffled], y[shuffled], y[shuffled], 0.1) == judges.local_slopes(X, y, y, 0.1)


@pytest.mark.parametrize("limit", [None, "large"])
def test_a_logarithm_is_not_taken_for_a_power(limit):
    assert judges.exponent(X, X**-0.5 * np.log(np.e + X), -0.5, 0.02, limit=limit).accepted is not True
    assert judges.exponent(X, X**-0.5 * (1 + X), -0.5, 0.02, limit=limit).accepted is False


def test_curvature_widens_the_set():
    t = np.log(X / 100)                                       # from -4.6 to 4.6
    bent = np.exp(-0.5 * t - 0.01 * t**2)                     # slope -0.5 in the middle, -0.41 and -0.59 at the ends
    assert judges.exponent(X, bent, -0.5, 0.05).accepted is None
    assert judges.exponent(X, bent, -0.5, 0.1).accepted is True
    end = -0.5 - 0.02 * t[-1]                                 # reached at the end, but not settled there
    assert judges.exponent(X, bent, end, 0.03, limit="large").accepted is None
    assert judges.exponent(X, bent, end, 0.05, limit="large").accepted is True


def test_an_exponent_approached_in_a_limit():
    y = X**-0.5 * (1 + X**-0.8)                               # (b/a)^0.8 = 40 over the upper half
    assert judges.exponent(X, y, -0.5, 0.03).accepted is not True
    assert judges.exponent(X, y, -0.5, 0.03, limit="large").accepted is True
    assert judges.exponent(1 / X, y, 0.5, 0.03, limit="small").accepted is True


def noisy_curves(trials, slope, noise, seed, points=12):
    generator, x = np.random.default_rng(seed), np.geomspace(1, 100, points)
    for _ in range(trials):
        yield x, x**slope * (1 + noise * generator.normal(size=points))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("limit", [None, "large"])
def test_exponent_false_alarm_and_false_acceptance(known, limit):
    alpha, noise = 0.05, 0.01
    hit = [judges.exponent(x, y, -1.0, 1e-9, stderr=noise * y if known else None, limit=limit, alpha=alpha).accepted
           for x, y in noisy_curves(1500, -1.0, noise, 5)]
    assert_rate_at_most([decision is False for decision in hit], alpha)
    width = 0.05
    hit = [judges.exponent(x, y, -1.0, width, stderr=noise * y if known else None, limit=limit, alpha=alpha).accepted
           for x, y in noisy_curves(1500, -1.0 + width, noise, 6)]
    assert_rate_at_most([decision is True for decision in hit], alpha / 2)


@pytest.mark.parametrize(("points", "known"), [(4, False), (8, False), (4, True)])
def test_the_error_of_an_end_slope_is_its_error(points, known):
    fits = [end_slopes(x, y, 0.001 * y if known else None) for x, y in noisy_curves(4000, -1.0, 0.001, 12, points)]
    score = np.array([(fit.large + 1.0) / fit.error for fit in fits])
    freedom = math.inf if known else points - 3
    assert {fit.freedom for fit in fits} == {freedom}
    for level in (0.05, 0.3):
        assert_rate(np.abs(score) > stats.t.isf(level / 2, freedom), level)


def test_exponent_power_and_acceptance():
    arguments = {"margin": 0.05, "alpha": 0.01}
    for slope, wanted in ((-1.0, True), (-0.8, False), (-1.2, False)):
        hit = [judges.exponent(x, y, -1.0, stderr=0.005 * y, **arguments).accepted is wanted
               for x, y in noisy_curves(300, slope, 0.005, 7)]
        assert_rate_at_least(hit, 0.99)


def test_exponent_with_wide_errors_is_undecided():
    assert judges.exponent(X, X**-1.0, -1.0, 0.5, stderr=0.3 / X).accepted is None
    assert judges.exponent(X, X**-1.0, -1.0, 0.01, stderr=0.1 / X).accepted is None


def test_local_slopes_separate_a_logarithm():
    x = np.geomspace(1e6, 1e18, 13)
    y = 7 * x**-0.5 * np.log(x)
    assert judges.local_slopes(x, y, x**-0.5 * np.log(x), 1e-9).accepted is True
    assert judges.local_slopes(x, y, x**-0.5, 0.02).accepted is False
    assert judges.local_slopes(x, y, x**-0.5, 0.08).accepted is True      # 1/log(1e6) = 0.072


def test_local_slopes_false_alarm_and_false_acceptance():
    alpha, noise, generator = 0.05, 0.01, np.random.default_rng(8)
    two = np.array([1.0, 10.0])
    hit = [judges.local_slopes(two, 1 + noise * generator.normal(size=2), np.ones(2), 1e-12, stderr=noise,
                               alpha=alpha).accepted is False for _ in range(3000)]
    assert_rate(hit, alpha)                                   # one slope: the level is exact up to noise^2
    hit = [judges.local_slopes(two, two**0.02 * (1 + noise * generator.normal(size=2)), np.ones(2), 0.02, alpha=alpha,
                               stderr=noise * two**0.02).accepted is True for _ in range(3000)]
    assert_rate_at_most(hit, alpha / 2)
    x = np.geomspace(1, 1e4, 9)
    curves = [1 + noise * generator.normal(size=9) for _ in range(1500)]
    hit = [judges.local_slopes(x, y, np.ones(9), 1e-12, stderr=noise, alpha=alpha).accepted is False for y in curves]
    assert_rate_at_most(hit, alpha)
    hit = [judges.local_slopes(x, y * x**0.02, np.ones(9), 0.02, stderr=noise * x**0.02, alpha=alpha).accepted is True
           for y in curves]
    assert_rate_at_most(hit, alpha / 2)
    hit = [judges.local_slopes(x, y * x**0.2, np.ones(9), 0.02, stderr=noise * x**0.2, alpha=alpha).accepted is False
           for y in curves]
    assert_rate_at_least(hit, 0.99)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 4.0])
def test_order_of_convergence(p):
    h = 0.1 / 2.0 ** np.arange(5)
    errors = 3 * h**p * (1 + 2 * h)
    assert judges.order(h, errors, p, 0.2).accepted is True
    assert judges.order(h[:3], errors[:3], p, 0.2).accepted is True
    assert judges.order(h, errors, p + 0.5, 0.2).accepted is False
    assert judges.order(h, errors, p - 0.5, 0.2).accepted is False
    assert judges.order(h, errors, p - 0.5, 0.2, at_least=True).accepted is True
    assert judges.order(h, errors, p + 0.5, 0.2, at_least=True).accepted is False


# bounded

RATIO = np.array([[0.8, 1.0, 2.0], [0.7, 1.1, 2.1], [0.8, 0.9, 1.9]])


def test_bounded_accepts_and_says_where():
    seen = judges.bounded(RATIO, (0.5, 2.5), spread=4, drift=1.3, at={"M": np.array([[30], [100], [300]])})
    assert seen.accepted is True and "min at M=100" in seen.note and seen.measured == "0.7 .. 2.1"


@pytest.mark.parametrize("bounds", [{"between": (0.75, 3)}, {"between": (0.1, 2.0)}, {"spread": 2.9}])
def test_bounded_rejects_what_leaves(bounds):
    assert judges.bounded(RATIO, **bounds).accepted is False


@given(st.floats(1e-6, 1e6), st.floats(1.05, 5))
def test_bounded_sees_a_planted_drift_in_any_units(scale, drift):
    growth = np.array([[1.0], [drift], [drift**2]])
    flat = np.full((3, 4), scale) * np.array([1.0, 0.5, 2.0, 3.0])
    for planted in (flat * growth, flat / growth):
        assert judges.bounded(planted, drift=drift).accepted is False
        assert judges.bounded(planted.T, drift=drift, along=1).accepted is False
        assert judges.bounded(planted, drift=1.001 * drift**2).accepted is True
    assert judges.bounded(flat, drift=1.0, spread=6.0).accepted is True


def test_bounded_sees_a_drift_of_one_extreme_inward():
    ratio = np.array([[1.0, 4.0], [1.2, 4.0], [1.44, 4.0]])      # the minimum rises, the maximum stays
    assert judges.bounded(ratio, spread=5, drift=1.4).accepted is False
    assert judges.bounded(ratio, spread=5, drift=1.45).accepted is True
    assert judges.bounded(5.0 - ratio[:, ::-1], drift=1.1).accepted is False


@given(st.floats(0.02, 1.0), st.sampled_from([-1, 1]), st.integers(0, 4))
def test_bounded_change_sees_a_wrong_exponent_where_one_place_hides_it(error, sign, place):
    """The planted law is wrong at one place between the extremes, which do not move."""
    sizes = np.array([100.0, 1000.0, 10_000.0])
    ratio = np.tile([1e-9, 2.0, 2.0, 2.0, 2.0, 2.0, 1e9], (3, 1))
    ratio[:, 1 + place] *= (sizes / 100.0) ** (sign * error)
    bound = 100.0**error
    assert judges.bounded(ratio, drift=1.0).accepted is True
    assert judges.bounded(ratio, change=1.0 + 0.99 * (bound - 1.0)).accepted is False
    seen = judges.bounded(ratio, change=bound * (1 + 1e-9), sizes=sizes)
    assert seen.accepted is True
    assert float(seen.note.split("wrong by ")[1].rstrip(")")) == pytest.approx(error, rel=0.051)   # two digits


def test_bounded_says_which_exponent_the_drift_would_show():
    seen = judges.bounded(np.ones((6, 2)), drift=2.0, sizes=10.0 ** np.arange(6.0))
    assert "wrong by 0.1)" in seen.note                        # from the second size to the fifth: a factor 1000


def test_bounded_takes_ragged_sweeps():
    assert judges.bounded([np.ones(3), np.ones(5), np.ones(2)], drift=1.1).accepted is True
    assert judges.bounded([np.ones(3), np.ones(5), 2 * np.ones(2)], drift=1.1).accepted is False


def test_bounded_decay_in_one_corner_is_a_drift():
    ratio = np.ones((3, 5))
    ratio[2, 4] = 0.1                                         # only the last time of the widest model
    assert judges.bounded(ratio, drift=5).accepted is False


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bounded_rejects_what_is_no_ratio(value):
    for bounds in ({"between": (1e-9, 1e9)}, {"spread": 1e12}, {"drift": 1e12}, {"change": 1e12}):
        assert judges.bounded([1.0, value, 1.0], **bounds).accepted is False


# inequality

def test_inequality_allows_rounding_and_nothing_more():
    assert judges.inequality(X * (1 + 1e-14), X).accepted is True
    seen = judges.inequality(X * (1 + 1e-9 * (X > 5000)), X, at={"t": X})
    assert seen.accepted is False and "t=10000" in seen.note
    assert judges.inequality(-np.inf, 0.0).accepted is True


@pytest.mark.parametrize(("places", "alpha"), [(1, 0.05), (20, 0.01)])
def test_inequality_false_alarm_where_it_is_an_equality(places, alpha):
    draws = np.random.default_rng(9).normal(1.0, 0.1, (3000, places))
    hit = [judges.inequality(draw, 1.0, stderr=0.1, alpha=alpha).accepted is False for draw in draws]
    assert_rate(hit, 1 - (1 - alpha / places) ** places)


def test_inequality_does_not_accept_an_excess_and_rejects_a_large_one():
    alpha, draws = 0.05, np.random.default_rng(10).normal(0.0, 0.01, (2000, 5))
    hit = [judges.inequality(1.1 + draw, 1.0, stderr=0.01, alpha=alpha, resolution=0.1).accepted is True
           for draw in draws]
    assert_rate_at_most(hit, alpha)
    hit = [judges.inequality(1.1 + draw, 1.0, stderr=0.01, alpha=alpha).accepted is False for draw in draws]
    assert_rate_at_least(hit, 0.99)
    hit = [judges.inequality(0.9 + draw, 1.0, stderr=0.01, alpha=alpha).accepted is True for draw in draws]
    assert_rate_at_least(hit, 0.99)


def test_inequality_straddling_is_undecided():
    assert judges.inequality(1.0, 1.0, stderr=0.1).accepted is None
    assert judges.inequality(1.0, 1.0, stderr=0.1, resolution=0.6).accepted is True


# sign_change

def test_sign_change_brackets_the_boundary():
    x = np.linspace(0, 1, 11)
    seen = judges.sign_change(x, x - 0.37, 0.37)
    assert seen.accepted is True and seen.measured == "in [0.3, 0.4]"
    assert judges.sign_change(x, x - 0.37, 0.45).accepted is False
    assert judges.sign_change(x, x - 0.37, 0.37, width=0.05).accepted is None
    assert judges.sign_change(x, x + 1, 0.5).accepted is False
    assert judges.sign_change(x, (x - 0.31) * (x - 0.52) * (x - 0.77), 0.31).accepted is False
    assert judges.sign_change(x, x - x[3], x[3]).measured == "in [0.2, 0.4]"


@given(st.floats(1e-6, 1e6), st.booleans())
def test_sign_change_does_not_depend_on_units_or_direction(scale, flip):
    x = np.linspace(0, 1, 11)
    values = (x - 0.37) * scale * (-1 if flip else 1)
    assert judges.sign_change(x[::-1], values[::-1], 0.37).accepted is True
    assert judges.sign_change(x, values, 0.57).accepted is False


def test_sign_change_false_alarm_and_power():
    x, alpha, generator = np.linspace(0, 1, 11), 0.05, np.random.default_rng(11)
    draws = [x - 0.37 + 0.1 * generator.normal(size=11) for _ in range(1500)]
    hit = [judges.sign_change(x, values, 0.37, stderr=0.1, alpha=alpha).accepted is False for values in draws]
    assert_rate_at_most(hit, alpha)
    # 0.9 is 0.53 above the boundary: the value at 0.8, 4.3 errors above 0, has a sign with probability 0.92
    hit = [judges.sign_change(x, values, 0.9, stderr=0.1, alpha=alpha).accepted is False for values in draws]
    assert_rate_at_least(hit, stats.norm.cdf(4.3 - stats.norm.isf(alpha / 22)) - alpha)
    assert judges.sign_change(x, x - 0.37, 0.37, stderr=5.0).accepted is None


# every

def test_every_adds_false_alarms_and_takes_the_worst():
    good = judges.equal(1.0, 1.0)
    bad = judges.equal(1.0, 2.0)
    unsure = judges.inequality(1.0, 1.0, stderr=0.1)
    assert judges.every(good, good).accepted is True
    assert judges.every(good, unsure).accepted is None
    assert judges.every(unsure, bad, good).accepted is False
    named = judges.every(easy=unsure, hard=judges.inequality(1.0, 2.0, stderr=0.1, alpha=0.01))
    assert named.false_alarm == pytest.approx(0.01 + 1e-6) and "easy" in named.measured
    assert set(named.arrays) == {"easy.lhs", "easy.rhs", "hard.lhs", "hard.rhs"}
    assert judges.every(bad, bad).measured == "1: 1; 2: 1"


# what is refused

SAMPLE = judges.Sample(np.ones(4), 0.1 * np.ones(4), 100)
JUDGES = {
    "equal": lambda y: judges.equal(y, np.ones(4), rtol=1.0, atol=1e300),
    "monte_carlo": lambda y: judges.monte_carlo(judges.Sample(y, 1e3 * np.ones(4), 100), np.ones(4)),
    "monte_carlo stderr": lambda y: judges.monte_carlo(judges.Sample(np.ones(4), np.abs(y), 100), 1.5),
    "exponent": lambda y: judges.exponent(X[:4], y, 0.0, 1e3),
    "exponent stderr": lambda y: judges.exponent(X[:4], y, 0.0, 1e3, stderr=0.1),
    "local_slopes": lambda y: judges.local_slopes(X[:4], y, np.ones(4), 1e3),
    "order": lambda y: judges.order(X[:4], y, 0.0, 1e3),
    "inequality": lambda y: judges.inequality(y, 1e300),
    "inequality stderr": lambda y: judges.inequality(y, 1e300, stderr=0.1),
    "sign_change": lambda y: judges.sign_change(X[:4], y * np.array([-1, 1, 1, 1])[:len(y)], X[0]),
    "bounded": lambda y: judges.bounded(y, (1e-300, 1e300)),
}


@pytest.mark.parametrize("name", JUDGES)
def test_nan_and_infinity_are_never_accepted(name):
    good = JUDGES[name](np.ones(4))
    assert isinstance(good, Evidence) and (good.accepted or name == "monte_carlo stderr")
    for place in range(4):
        for value in (np.nan, np.inf):
            y = np.ones(4)
            y[place] = value
            try:
                assert JUDGES[name](y).accepted is not True
            except ValueError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("name", JUDGES)
def test_nothing_is_refused(name):
    with pytest.raises(ValueError, match="must|needed"):
        JUDGES[name](np.array([]))


MISTAKES = [
    (lambda: judges.equal(np.ones(3), np.ones(4)), r"shapes \(3,\) and \(4,\)"),
    (lambda: judges.equal(1.0, np.nan, rtol=1.0), "expected is not finite"),
    (lambda: judges.equal(1.0, 1.0, rtol=-1.0), "rtol is -1.0; it must be"),
    (lambda: judges.equal(1.0, 1.0, atol=np.inf), "atol is inf; it must be"),
    (lambda: judges.monte_carlo(SAMPLE, np.nan), "expected is not finite"),
    (lambda: judges.monte_carlo(SAMPLE, 1.0, alpha=0.0), "alpha is 0.0; it must be"),
    (lambda: judges.monte_carlo(SAMPLE, 1.0, alpha=1), "alpha is 1; it must be"),
    (lambda: judges.monte_carlo(SAMPLE, 1.0, resolution=-1), "resolution is -1; it must be"),
    (lambda: judges.monte_carlo(judges.Sample(1.0, 0.1, 1), 1.0), "replicas is 1; it must be"),
    (lambda: judges.monte_carlo(judges.Sample(1.0, -0.1, 10), 1.0), "stderr is negative"),
    (lambda: judges.exponent(X, X, 1.0, 0.0), "margin is 0.0; it must be"),
    (lambda: judges.exponent(X, X, 1.0, np.nan), "margin is nan; it must be"),
    (lambda: judges.exponent(X, X, np.nan, 0.1), "expected is nan; it must be"),
    (lambda: judges.exponent(X, X, 1.0, 0.1, limit="big"), "limit is 'big'; it must be"),
    (lambda: judges.exponent(X[:3], X[:3], 1.0, 0.1), "n >= 4"),
    (lambda: judges.exponent(-X, X, 1.0, 0.1), "positive and distinct"),
    (lambda: judges.exponent(np.ones(5), X[:5], 1.0, 0.1), "distinct"),
    (lambda: judges.exponent(X, X, 1.0, 0.1, stderr=0.0), "stderr is 0 somewhere"),
    (lambda: judges.exponent(X, X, 1.0, 0.1, stderr=np.ones(3)), "stderr has shape"),
    (lambda: judges.local_slopes(X, X, -X, 0.1), "predicted is not positive"),
    (lambda: judges.order(X, X, np.inf, 0.1), "expected is inf; it must be"),
    (lambda: judges.bounded(RATIO), "no bound"),
    (lambda: judges.bounded(RATIO, (2, 1)), "between is"),
    (lambda: judges.bounded(RATIO, spread=0.5), "spread is 0.5; it must be"),
    (lambda: judges.bounded(RATIO, drift=0.9), "drift is 0.9; it must be"),
    (lambda: judges.bounded(RATIO, drift=2, along=2), "along is 2; it must be"),
    (lambda: judges.bounded(1.0, drift=2), "length 1; it must be"),
    (lambda: judges.bounded(1.0, change=2), "length 1; it must be"),
    (lambda: judges.bounded(RATIO, change=0.5), "change is 0.5; it must be"),
    (lambda: judges.bounded([[1.0], [1.0, 2.0]], change=2), "shapes .* must be equal"),
    (lambda: judges.bounded(RATIO, change=2, sizes=[1, 2]), "3 positive numbers that increase"),
    (lambda: judges.bounded(RATIO, change=2, sizes=[1, 3, 2]), "3 positive numbers that increase"),
    (lambda: judges.bounded([[1.0], [1.0, 2.0]], drift=2, at={"M": 1}), "ragged"),
    (lambda: judges.inequality(1.0, np.inf), "rhs is not finite"),
    (lambda: judges.inequality(1.0, 2.0, resolution=np.nan), "resolution is nan; it must be"),
    (lambda: judges.sign_change(X, X - 5, 1e9), "expected is 1000000000.0; it must be"),
    (lambda: judges.sign_change(X, X - 5, 5.0, width=0), "width is 0; it must be"),
    (lambda: judges.every(), "one or more"),
    (lambda: judges.every(True), "Evidence"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes_are_refused_in_one_line(number):
    mistake, words = MISTAKES[number]
    with pytest.raises(ValueError, match=words) as caught:
        mistake()
    assert "\n" not in str(caught.value)
