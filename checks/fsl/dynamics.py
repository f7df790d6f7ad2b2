r"""Claims about discrete SGD: the exact second-moment recursion, and what follows from it at constant rates.

The recursion averages over the data in closed form; the experiments draw the data.  All Monte Carlo settings stay where
the variance of the risk is known to be finite (the experiment warns beyond it), because elsewhere a sample mean says
little about an expectation.  At full effort they sample until a deviation of 1% is detected with probability 0.99.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from ...sims import fsl as sgd
from ...theory import batch_sizes, fsl, learning_rates
from ...theory.fsl.random_features import projected_spectrum
from .. import judges, sequential
from ..claim import claim
from .paper import FSL


def _settings():
    """Problem, schedule and batch size of three different experiments; built when needed."""
    steps = 300
    return (
        (fsl.PowerLawRegression(source=0.5, capacity=2.0, width=8, noise=0.5),
         learning_rates.constant(steps, 0.2), 1),
        (fsl.PowerLawRegression(source=0.3, capacity=1.5, width=32, noise=1.0),
         learning_rates.wsd(steps, 0.2, cooldown=0.3), 2),
        (fsl.PowerLawRegression(source=1.0, capacity=4.0, width=16, noise=0.1),
         learning_rates.cosine(steps, 0.2), batch_sizes.stages(steps, [1, 2, 4], [0.3, 0.6])),
    )


TIMES = (1, 3, 10, 30, 60, 100, 150, 200, 250, 300)


RESOLUTION = 0.01
"""Relative deviation that is detected at full effort."""
BUDGET = 2**22
"""Replicas at most at full effort."""


def _sample(effort, setting, projection, expected, replicas, seed):
    """Risks under one setting: that many replicas, or at full effort as many as RESOLUTION takes."""
    if effort.level == "quick":
        return sgd.simulate(*setting, replicas=replicas, seed=seed, times=TIMES, projection=projection,
                            **effort.engine)
    experiment = sgd.Descent(*setting, times=TIMES, projection=projection)
    return sequential.sample(experiment, expected, resolution=RESOLUTION, budget=BUDGET, seed=seed, **effort.engine)


def _judge(effort, measured, expected, over):
    """What :func:`_sample` returned against an expectation."""
    at = {"step": np.array(TIMES)}
    if effort.level == "quick":
        return judges.monte_carlo(measured, expected, resolution=0.15, at=at, over=over)
    return sequential.monte_carlo(measured, expected, resolution=RESOLUTION, at=at, over=over)


@cache
def _measured(effort, settings, seed, more=1):
    """Monte Carlo risks under ``settings()``, `more` times the usual replicas if quick; also for the controls."""
    return [_sample(effort, setting, None, _recursion(*setting), 20_000 * more, seed + number)
            for number, setting in enumerate(settings().values())]


def _compare(effort, measured, settings, expected):
    """Monte Carlo risk of each setting against `expected(problem, schedule, batch)`."""
    return judges.every(**{name: _judge(effort, risks, expected(*setting), f"{len(TIMES)} steps")
                           for risks, (name, setting) in zip(measured, settings().items())})


def _recursion(problem, schedule, batch):
    return fsl.exact_risk(problem, schedule, batch, times=TIMES, compressed=False).excess_risk


def _gaussian_settings():
    return dict(zip(("constant", "WSD, B=2", "cosine, B=1-2-4"), _settings()))


@claim("second_moment_recursion", topic="fsl", paper=FSL, where="Sec. 2 (algorithm)", stance="derived",
       statement="m_j <- [(1-eta lambda_j)^2 + eta^2 lambda_j^2/B] m_j + (eta^2/B) lambda_j S gives the mean risk of "
                 "SGD exactly")
def second_moment_recursion(effort):
    """Monte Carlo with Gaussian features under three schedules, with a batch-size schedule among them."""
    return _compare(effort, _measured(effort, _gaussian_settings, seed=101), _gaussian_settings, _recursion)


@second_moment_recursion.control("without the term eta^2 lambda_j^2/B")
def _(effort):
    def dropped(problem, schedule, batch):
        spectrum = _drift_only(problem.spectrum())
        return fsl.exact_risk(spectrum, schedule, batch, times=TIMES).excess_risk
    return _compare(effort, _measured(effort, _gaussian_settings, seed=101), _gaussian_settings, dropped)


@second_moment_recursion.control("unused features as approximation error only, not as label noise")
def _(effort):
    def silent(problem, schedule, batch):
        spectrum = replace(problem.spectrum(), approximation_error=0.0)
        return problem.approximation_error + fsl.exact_risk(spectrum, schedule, batch, times=TIMES).excess_risk
    return _compare(effort, _measured(effort, _gaussian_settings, seed=101), _gaussian_settings, silent)


def _law_settings():
    """The first setting with other features; heavy-tailed ones need a lower rate for a finite variance."""
    problem, schedule, batch = _settings()[0]
    rates = {"rademacher": 0.2, "uniform": 0.2, "laplace": 0.075}
    return {name: (replace(problem, features=name), learning_rates.constant(schedule.steps, rate), batch)
            for name, rate in rates.items()}


@claim("kurtosis_correction", topic="fsl", paper=FSL, where="Assumption 2.1", stance="derived",
       statement="independent features of kurtosis kappa: eta^2 lambda_j^2/B becomes (kappa-2) eta^2 lambda_j^2/B")
def kurtosis_correction(effort):
    """Monte Carlo with Rademacher (1), uniform (1.8) and Laplace (6) features."""
    return _compare(effort, _measured(effort, _law_settings, seed=201, more=5), _law_settings, _recursion)


@kurtosis_correction.control("the Gaussian recursion for all of them")
def _(effort):
    def gaussian(problem, schedule, batch):
        return _recursion(replace(problem, features="gaussian"), schedule, batch)
    return _compare(effort, _measured(effort, _law_settings, seed=201, more=5), _law_settings, gaussian)


WIDTH, FEATURES = 12, 60


@cache
def _random_model(effort):
    """Problem, projection, schedule and batch size of a random-M model, and its risk simulated in feature space."""
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=FEATURES, noise=0.5)
    projection = sgd.random_projection(WIDTH, FEATURES, seed=7, draw=0)
    schedule, batch = learning_rates.wsd(300, 0.2, cooldown=0.3), 2
    expected = _recursion(projected_spectrum(problem, projection), schedule, batch)
    measured = _sample(effort, (problem, schedule, batch), projection, expected, 20_000, 301)
    return problem, projection, schedule, batch, measured


def _projected(effort, spectrum_of):
    """The simulation against the recursion on ``spectrum_of(problem, W)``."""
    problem, projection, schedule, batch, measured = _random_model(effort)
    expected = fsl.exact_risk(spectrum_of(problem, projection), schedule, batch, times=TIMES).excess_risk
    return _judge(effort, measured, expected, f"M={WIDTH} of N={FEATURES} features")


@claim("random_projection_recursion", topic="fsl", paper=FSL, where="Sec. 2 (random-M)", stance="derived",
       statement="random-M: the recursion with eigenvalues of W H W^T, target <u_j, v*>^2 and delta = min E, given W")
def random_projection_recursion(effort):
    """SGD on the weights of a random projection, simulated in feature space, against the reduced recursion."""
    return _projected(effort, projected_spectrum)


@random_projection_recursion.control("eigenvalues and target of the top-M model")
def _(effort):
    return _projected(effort, lambda problem, projection: replace(problem, width=WIDTH).spectrum())


@random_projection_recursion.control("projected eigenvalues with the approximation error of the top-M model")
def _(effort):
    def mixed(problem, projection):
        top = replace(problem, width=WIDTH)
        return replace(projected_spectrum(problem, projection), approximation_error=top.approximation_error)
    return _projected(effort, mixed)


def _spectra():
    """Spectra, batch sizes and rates that differ in everything the closed forms depend on."""
    cases = []
    for capacity, source, width, features, batch, rate in (
            (2.0, 0.5, 40, "gaussian", 1, 0.3), (4.0, 1.0, 12, "gaussian", 4, 0.8), (1.5, 0.3, 60, "laplace", 2, 0.1),
            (2.0, 1.5, 20, "rademacher", 1, 0.5), (3.0, 0.7, 15, "uniform", 3, 0.6)):
        problem = fsl.PowerLawRegression(source=source, capacity=capacity, width=width, noise=0.5, features=features)
        cases.append((problem.spectrum(), batch, rate))
    return cases


def _drift_only(spectrum):
    """The spectrum whose recursion lacks the fourth-moment term: kurtosis 2."""
    return replace(spectrum, kurtosis=2.0)


ROUNDS = (1, 10, 100, 1000, 5000)


def _closed_forms(change=lambda spectrum: spectrum):
    measured, expected = [], []
    for spectrum, batch, rate in _spectra():
        schedule = learning_rates.constant(ROUNDS[-1], rate)
        measured.append(fsl.exact_risk(spectrum, schedule, batch, times=ROUNDS).excess_risk)
        expected.append(fsl.eigen_risk(change(spectrum), rate, batch, ROUNDS))
    return np.array(measured), np.array(expected)


@claim("constant_rate_closed_form", topic="fsl", paper=FSL, where="Sec. 2 (algorithm)", stance="derived",
       statement="constant rate: the risk after k steps from one eigendecomposition of the second-moment map")
def constant_rate_closed_form(effort):
    """Closed form against the step-by-step recursion for five problems and up to 5000 steps."""
    return judges.equal(*_closed_forms(), rtol=1e-12, at={"k": np.array([ROUNDS])}, over="5 problems")


@constant_rate_closed_form.control("drift 2 eta lambda - eta^2 lambda^2, without the fourth moment")
def _(effort):
    return judges.equal(*_closed_forms(_drift_only), rtol=1e-12)


def _stationary(change=lambda spectrum: spectrum):
    measured, expected = [], []
    for spectrum, batch, rate in _spectra():
        steps = int(40.0 / (rate * spectrum.eigenvalues.min()))
        measured.append(fsl.exact_risk(spectrum, learning_rates.constant(steps, rate), batch, times=[steps]).final)
        expected.append(fsl.stationary_risk(change(spectrum), rate, batch))
    return np.array(measured), np.array(expected)


@claim("stationary_risk", topic="fsl", paper=FSL, where="Sec. 5", stance="derived",
       statement="E_inf = delta_M + (sigma_M^2/2) r/(1-r), r = (eta/B) sum_j lambda_j/(2 - c eta lambda_j), "
                 "c = 1 + (kappa-2)/B")
def stationary_risk(effort):
    """The recursion run for 40 relaxation times of its slowest mode."""
    return judges.equal(*_stationary(), rtol=1e-10, over="5 problems")


@stationary_risk.control("2 - eta lambda in place of 2 - c eta lambda")
def _(effort):
    return judges.equal(*_stationary(_drift_only), rtol=1e-10)


def _boundaries(change=lambda spectrum: spectrum):
    """Sign of (spectral radius - 1) over a fixed grid of rates, against the closed-form critical rate."""
    rates = np.linspace(0.02, 3.0, 299)
    parts = {}
    for number, (spectrum, batch, _) in enumerate(_spectra()):
        excess = [fsl.spectral_radius(spectrum, rate, batch) - 1.0 for rate in rates]
        critical = fsl.critical_rate(change(spectrum), batch)
        parts[f"problem {number + 1}"] = judges.sign_change(rates, excess, critical, width=0.011)
    return judges.every(**parts)


@claim("stability_boundary", topic="fsl", paper=FSL, where="Assumption 4.1", stance="derived",
       statement="expected squares stay bounded iff eta lambda_1 < 2/(1+(kappa-2)/B) and r < 1")
def stability_boundary(effort):
    """Where the largest eigenvalue of the second-moment map crosses one, for five problems."""
    return _boundaries()


@stability_boundary.control("2 - eta lambda in place of 2 - c eta lambda")
def _(effort):
    return _boundaries(_drift_only)


def _compression_errors(effort, spectrum_of):
    """Relative errors against 20,000 modes one by one, and what is stated; shapes (tasks, times) and (tasks, 1)."""
    width, steps = 20_000, effort.choose(5000, 100_000)
    errors, stated = [], []
    for capacity, source, peak in ((4.0, 0.5, 0.2), (2.0, 0.3, 0.2), (1.5, 1.0, 0.1)):
        problem = fsl.PowerLawRegression(source=source, capacity=capacity, width=width)
        schedule = learning_rates.wsd(steps, peak)
        exact = fsl.exact_risk(problem, schedule, compressed=False).excess_risk
        shown = fsl.exact_risk(spectrum_of(problem), schedule)
        errors.append(np.abs(shown.excess_risk / exact - 1.0))
        stated.append([shown.error_bound])
    return np.array(errors), np.array(stated)


@claim("spectrum_compression", topic="fsl", paper=FSL, where="Sec. 2 (algorithm)", stance="derived",
       statement="Gauss nodes of the counting measure replace 20,000 modes: relative error below 1e-8 and below what "
                 "is stated")
def spectrum_compression(effort):
    """Compressed against mode-by-mode recursion under WSD, at all recorded steps."""
    errors, stated = _compression_errors(effort, lambda problem: problem)
    return judges.every(target=judges.inequality(errors, 1e-8), stated=judges.inequality(errors, stated))


@spectrum_compression.control("one node per octave, at its mean")
def _(effort):
    def crude(problem):
        edges = np.append(2.0 ** np.arange(int(np.log2(problem.width)) + 1), problem.width)
        rules = [fsl.gauss_counting(a, b, 1) for a, b in zip(edges[:-1], edges[1:])]
        j, weights = (np.concatenate([[1.0], *part]) for part in zip(*rules))
        return fsl.Spectrum(j**-problem.capacity, j ** -(1.0 + (problem.source - 1.0) * problem.capacity),
                            problem.approximation_error, problem.noise, multiplicity=weights)
    errors, _ = _compression_errors(effort, crude)
    return judges.inequality(errors, 1e-8)
