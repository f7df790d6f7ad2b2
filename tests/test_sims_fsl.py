"""SGD on power-law regression: against a plain reference, against the exact recursion, bit by bit, and refused."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import integrate, stats

from theorycheck.sims import engine, streams
from theorycheck.sims import fsl as sgd
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.fsl.random_features import projected_spectrum

PROBLEM = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=13, noise=0.7)
SIZES = np.array([1, 3, 2, 1, 5, 4, 1, 1, 2, 7])
RATES = lr.cosine(10, 0.2)
DRAW = {"gaussian": streams.normals, "rademacher": streams.rademachers, "uniform": streams.symmetric_uniforms,
        "laplace": streams.laplaces}


def reference_paths(problem, rates, sizes, times, seed, replicas, law="gaussian", projection=None):
    """SGD written the plain way in float64, on the draws that the documentation promises."""
    key = streams.key(seed, "fsl.sgd")
    if projection is None:
        values, target, beyond = problem.eigenvalues, problem.target_squared, problem.approximation_error
        projection = np.eye(values.size)
    else:
        wide = fsl.PowerLawRegression(problem.source, problem.capacity, projection.shape[1], problem.noise)
        values, target, beyond = wide.eigenvalues, wide.target_squared, wide.approximation_error
    target = np.sqrt(target)
    noise = np.sqrt(problem.noise**2 + 2 * beyond)
    out = np.empty((len(replicas), len(times)))
    for row, replica in enumerate(replicas):
        v, sample = np.zeros(len(projection)), 0
        for k in range(rates.size + 1):
            if k in times:
                gap = projection.T @ v - target
                out[row, list(times).index(k)] = beyond + 0.5 * np.sum(values * gap**2)
            if k == rates.size:
                break
            gradient = np.zeros_like(v)
            for _ in range(sizes[k]):
                phi = np.sqrt(values) * DRAW[law](key, replica, sample, values.size)
                epsilon = noise * streams.normals(key, replica, sample // 4, 4, purpose=1)[sample % 4]
                seen = projection @ phi
                gradient += (v @ seen - target @ phi - epsilon) * seen
                sample += 1
            v -= rates[k] / sizes[k] * gradient
    return out


def scores(measured, exact):
    """z-scores after the start, where the risk is known without error."""
    return (measured.mean - exact)[1:] / measured.stderr[1:]


# -- one replica is what the model says --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::theorycheck.sims.fsl.HeavyTailWarning")
@pytest.mark.parametrize("law", DRAW)
def test_paths_equal_a_plain_implementation(law):
    times = [0, 1, 4, 7, 10]
    experiment = sgd.Descent(PROBLEM, RATES, SIZES, times, features=law)
    got = experiment.sample(3, 5, 4)
    expected = reference_paths(PROBLEM, RATES.rates, SIZES, times, 3, range(5, 9), law)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_random_features_paths_equal_a_plain_implementation():
    projection = sgd.random_projection(6, 22, seed=4)
    times = [0, 1, 4, 7, 10]
    experiment = sgd.Descent(PROBLEM, RATES, SIZES, times, projection=projection)
    expected = reference_paths(PROBLEM, RATES.rates, SIZES, times, 3, range(5, 8), projection=projection)
    np.testing.assert_allclose(experiment.sample(3, 5, 3), expected, rtol=1e-12)


def test_identity_projection_is_the_top_model():
    problem = fsl.PowerLawRegression(0.8, 1.5, width=8, noise=0.3)
    plain = sgd.Descent(problem, lr.constant(20, 0.2), 2).sample(0, 0, 5)
    projected = sgd.Descent(problem, lr.constant(20, 0.2), 2, projection=np.eye(8)).sample(0, 0, 5)
    np.testing.assert_allclose(plain, projected, rtol=1e-12)


# -- the same bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("projection", [None, sgd.random_projection(5, 9, seed=0)], ids=["top", "random"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_replica_does_not_depend_on_its_lane_or_chunk(projection, batch):
    experiment = sgd.Descent(PROBLEM, lr.wsd(40, 0.2), batch, projection=projection)
    whole = experiment.sample(9, 0, 75)
    for first, count in ((0, 1), (1, 1), (17, 40), (31, 2), (74, 1)):
        assert experiment.sample(9, first, count).tobytes() == whole[first:first + count].tobytes()


def test_recording_times_do_not_disturb_the_path():
    every = sgd.Descent(PROBLEM, lr.wsd(40, 0.2), 2, times=range(41)).sample(1, 0, 3)
    few = sgd.Descent(PROBLEM, lr.wsd(40, 0.2), 2, times=[5, 23]).sample(1, 0, 3)
    assert few.tobytes() == np.ascontiguousarray(every[:, [5, 23]]).tobytes()


def test_same_estimate_for_any_chunk_and_jobs(tmp_path):
    runs = [sgd.simulate(PROBLEM, lr.cosine(30, 0.2), 2, replicas=100, seed=8, **options)
            for options in ({}, {"chunk": 1}, {"chunk": 37}, {"jobs": 2}, {"store": tmp_path}, {"store": tmp_path})]
    assert all(run == runs[0] for run in runs)
    assert runs[0].coordinates["step"].shape == runs[0].mean.shape
    assert runs[0].coordinates["intrinsic_time"][-1] == lr.cosine(30, 0.2).intrinsic_time[-1]


def test_parameters_identify_the_experiment():
    one = sgd.Descent(PROBLEM, RATES, SIZES)
    again = pickle.loads(pickle.dumps(one))
    assert again.sample(0, 0, 3).tobytes() == one.sample(0, 0, 3).tobytes()
    other = sgd.Descent(PROBLEM, RATES, SIZES + 1)
    assert not np.array_equal(one.parameters()["sizes"], other.parameters()["sizes"])
    assert one.name == other.name and one.parameters().keys() == other.parameters().keys()


# -- the expectation ---------------------------------------------------------------------------------------------

Z_LIMIT = 5.0
"""Some hundred correlated z-scores per test, each beyond 5 with probability 6e-7."""

CASES = {
    "easy": (fsl.PowerLawRegression(1.0, 2.0, width=13, noise=0.5), lr.wsd(200, 0.2), 1, None),
    "hard": (fsl.PowerLawRegression(0.3, 2.0, width=40, noise=1.0), lr.cosine(200, 0.2), 1, None),
    "steep": (fsl.PowerLawRegression(0.5, 4.0, width=6, noise=0.0), lr.constant(100, 0.25), 3, None),
    "growing batch": (fsl.PowerLawRegression(0.5, 1.5, width=21, noise=1.0), lr.constant(120, 0.2),
                      1 + np.arange(120) // 40, None),
    "uniform": (fsl.PowerLawRegression(0.5, 2.0, width=9, features="uniform"), lr.constant(100, 0.15), 1, None),
    "rademacher": (fsl.PowerLawRegression(0.5, 2.0, width=9, features="rademacher"), lr.constant(100, 0.15), 1, None),
    "laplace": (fsl.PowerLawRegression(0.5, 2.0, width=9, features="laplace"), lr.constant(200, 0.06), 1, None),
    "random features": (fsl.PowerLawRegression(0.5, 2.0, noise=1.0), lr.constant(100, 0.2), 2,
                        sgd.random_projection(12, 60, seed=1)),
}


@pytest.mark.parametrize("case", CASES)
def test_mean_risk_is_the_exact_recursion(case):
    problem, schedule, batch, projection = CASES[case]
    spectrum = problem.spectrum() if projection is None else projected_spectrum(problem, projection)
    exact = fsl.exact_risk(spectrum, schedule, batch).excess_risk
    measured = sgd.simulate(problem, schedule, batch, replicas=20_000, seed=12, projection=projection)
    assert np.abs(scores(measured, exact)).max() < Z_LIMIT
    assert measured.mean[0] == pytest.approx(exact[0], rel=1e-14) and measured.variance[0] < 1e-25


def test_mean_risk_notices_a_dropped_term():
    """The recursion for kurtosis 2 drops the multiplicative part of the noise; it must not fit Gaussian paths."""
    problem, schedule = fsl.PowerLawRegression(0.5, 2.0, width=6, noise=0.0), lr.constant(60, 0.3)
    spectrum = problem.spectrum()
    wrong = fsl.Spectrum(spectrum.eigenvalues, spectrum.target_squared, spectrum.approximation_error, 0.0, kurtosis=2.0)
    measured = sgd.simulate(problem, schedule, replicas=20_000, seed=12)
    assert np.abs(scores(measured, fsl.exact_risk(wrong, schedule).excess_risk)).max() > 10.0
    assert np.abs(scores(measured, fsl.exact_risk(spectrum, schedule).excess_risk)).max() < Z_LIMIT


def test_random_projection_is_normalised():
    projection = np.concatenate([sgd.random_projection(20, 50, seed=2, draw=d) for d in range(40)])
    assert abs(np.mean(projection * np.sqrt(20))) * np.sqrt(projection.size) < Z_LIMIT
    assert abs(np.mean(20 * projection**2) - 1) * np.sqrt(projection.size / 2) < Z_LIMIT
    assert not np.array_equal(projection[:20], projection[20:40])


# -- the variance ------------------------------------------------------------------------------------------------


def fourth_moment(law, x):
    """``E (1 - x z^2)^4`` by quadrature."""
    if law == "rademacher":
        return (1 - x) ** 4
    density = {"gaussian": stats.norm.pdf, "laplace": lambda z: stats.laplace.pdf(z, scale=np.sqrt(0.5)),
               "uniform": lambda z: stats.uniform.pdf(z, -np.sqrt(3), 2 * np.sqrt(3))}[law]
    end = np.sqrt(3) if law == "uniform" else 60.0
    return 2 * integrate.quad(lambda z: (1 - x * z * z) ** 4 * density(z), 0, end, epsabs=1e-12, limit=200)[0]


def one_mode(law="gaussian"):
    return fsl.Spectrum([1.0], [1.0], kurtosis=fsl.PowerLawRegression(1, 2, features=law).kurtosis)


def test_one_gaussian_mode_has_the_exact_threshold():
    root = np.roots([105.0, -60.0, 18.0, -4.0])
    root = float(root[np.abs(root.imag) < 1e-9].real[0])
    assert sgd.largest_safe_rate(one_mode()) == pytest.approx(root, rel=1e-8)
    assert fourth_moment("gaussian", root) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("size", [2, 5, 40])
def test_one_gaussian_mode_in_batches_has_the_exact_threshold(size):
    safe = sgd.largest_safe_rate(one_mode(), size)
    chi_square = stats.chi2(size)
    assert chi_square.expect(lambda r: (1 - safe * r / size) ** 4, epsabs=1e-11) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("law", ["rademacher", "uniform", "laplace"])
def test_safe_rates_of_other_laws_contract_the_fourth_moment(law):
    safe = sgd.largest_safe_rate(one_mode(law), 1, law)
    assert safe > 0.05 and all(fourth_moment(law, x) < 1 for x in np.linspace(0.02, 1, 25) * safe)


@pytest.mark.parametrize("size", [1, 3])
def test_safe_rates_contract_the_fourth_moment_in_every_direction(size):
    spectrum = fsl.PowerLawRegression(1.0, 1.2, width=5).spectrum()
    rate = sgd.largest_safe_rate(spectrum, size)
    z = streams.normals(streams.key(1, "test"), np.arange(size * 5).reshape(size, 5), 0, 400_000).astype(np.float64)
    x = z * np.sqrt(spectrum.eigenvalues)[:, None]
    directions = [*np.eye(5), np.ones(5), np.array([1.0, -1, 0.5, 0, 0]), np.array([0, 1.0, 0, -2, 1])]
    for u in directions:
        u = (u / np.linalg.norm(u))[:, None]
        moved = u - rate / size * np.sum(x * np.sum(x * u, axis=1, keepdims=True), axis=0)
        fourth = np.sum(moved**2, axis=0) ** 2
        assert fourth.mean() < 1 + 5 * fourth.std() / np.sqrt(fourth.size)


def test_heavy_tails_are_announced_and_safe_rates_are_silent():
    problem = fsl.PowerLawRegression(1.0, 4.0, width=3)
    with pytest.warns(sgd.HeavyTailWarning, match="learning rate 0.5 with batch size 1.*only up to 0.38"):
        sgd.Descent(problem, lr.constant(5, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sgd.Descent(problem, lr.constant(5, 0.37))
        sgd.Descent(problem, lr.constant(5, 0.5), batch_size=2)


# -- refusals ----------------------------------------------------------------------------------------------------


def test_divergence_names_the_lowest_replica_whatever_the_chunk(monkeypatch):
    monkeypatch.setattr("theorycheck.sims.fsl.descent._check_rates", lambda *_: None)
    experiment = sgd.Descent(PROBLEM, lr.constant(400, 3.0))
    named = set()
    for chunk in (1, 32, 50):
        with pytest.raises(engine.Diverged) as error:
            engine.estimate(experiment, replicas=60, seed=0, chunk=chunk)
        named.add((error.value.replica, error.value.step))
    assert len(named) == 1 and 0 < named.pop()[1] <= 400


@pytest.mark.parametrize("change, message", [
    (dict(schedule=lr.constant(5, 0.62)), r"learning rate is 0.62 with batch size 1; .* needs it in \[0, 0.61"),
    (dict(schedule=lr.constant(5, 0.9), batch_size=[9, 9, 1, 9, 9]), "learning rate is 0.9 with batch size 1"),
    (dict(problem=fsl.PowerLawRegression(1.0, 2.0)), "width is inf"),
    (dict(times=[0, 11]), r"times are \[ 0 11\].*\[0, 10\]"),
    (dict(times=[3, 3]), "increase strictly"),
    (dict(features="cauchy"), "features is 'cauchy'; it must be one of gaussian"),
    (dict(batch_size=0), "batch size"),
    (dict(batch_size=[1, 2]), "2 steps"),
    (dict(schedule=[0.1, np.nan]), "nan"),
    (dict(projection=np.ones((3, 2))), r"projection has shape \(3, 2\)"),
    (dict(projection=np.eye(4), features="uniform"), "features is 'uniform'; a random-M model needs 'gaussian'"),
    (dict(problem=fsl.Spectrum([1.0], [1.0], kurtosis=2.5)), "kurtosis is 2.5"),
    (dict(problem=fsl.Spectrum([1.0], [1.0], multiplicity=[4.0])), "multiplicity goes up to 4"),
])
def test_bad_input_is_refused(change, message):
    arguments = dict(problem=fsl.PowerLawRegression(1.0, 2.0, width=50), schedule=RATES, batch_size=1)
    with pytest.raises(ValueError, match=message) as error:
        sgd.Descent(**{**arguments, **change})
    assert "\n" not in str(error.value)


def test_replicas_beyond_the_stream_are_refused():
    with pytest.raises(ValueError, match=r"replica is 4294967296; it must be in \[0, 2\^32\)"):
        sgd.Descent(PROBLEM, RATES).sample(0, 2**32 - 1, 2)


def test_projection_wider_than_its_features_is_refused():
    with pytest.raises(ValueError, match="width is 9; it must be in 1..4"):
        sgd.random_projection(9, 4, seed=0)
