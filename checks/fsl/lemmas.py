"""Claims about the steps of the proof: structure of the gradient noise, and two properties of the forgetting kernel.

The appendix with the proofs was not at hand; these are the statements the theorems rest on, rebuilt.
"""

import numpy as np

from ...sims import streams
from ...theory.fsl.functional_law import kernel
from ...theory.fsl.gradient_noise import noise_bounds, noise_covariance
from ...theory.fsl.problem import PowerLawRegression
from .. import judges
from ..claim import claim
from .paper import FSL

SEED = 20_250_919


@claim("gradient_noise", topic="fsl", paper=FSL, where="Lemma 4.8", stance="reconstructed",
       statement="(2E + sigma^2) H <= Sigma(v) <= (4E + sigma^2) H for Gaussian features, both sharp")
def gradient_noise(effort):
    """Random directions and single modes; extremes must be 1 and 2 to rounding."""
    low, high = _extremes("gaussian")
    return judges.equal([low, high], [1.0, 2.0], rtol=1e-10, over="smallest and largest rho")


@gradient_noise.control("rho_+ = 1.5")
def _(effort):
    return judges.equal(_extremes("gaussian"), [1.0, 1.5], rtol=1e-10)


@gradient_noise.control("Rademacher features: an error along one mode makes no noise at all, rho_- = 0")
def _(effort):
    return judges.equal(_extremes("rademacher"), [1.0, 2.0], rtol=1e-10)


@claim("gradient_noise_measured", topic="fsl", paper=FSL, where="Lemma 4.8", stance="derived",
       statement="Sigma(v) = (2E + sigma_M^2) H + H u u^T H + (kappa - 3) diag(lambda_j^2 u_j^2)")
def gradient_noise_measured(effort):
    """Every entry of the sample covariance of drawn gradients, Gaussian and Rademacher features."""
    return judges.every(**{law: _measured_covariance(effort, law, law) for law in ("gaussian", "rademacher")})


@gradient_noise_measured.control("the formula for Gaussian features, measured on Rademacher ones")
def _(effort):
    return _measured_covariance(effort, "rademacher", "gaussian")


@claim("kernel_scale_invariance", topic="fsl", paper=FSL, where="Proof of Thm 4.3", stance="reconstructed",
       statement="K_M(t/2) ~ K_M(t) for t <= M^beta, uniformly in M")
def kernel_scale_invariance(effort):
    """beta = 1.5, 2, 4."""
    return _scale_ratio(effort, 1.0)


@kernel_scale_invariance.control("up to 60 M^beta, where the kernel decays exponentially")
def _(effort):
    return _scale_ratio(effort, 60.0)


@claim("kernel_sub_convolution", topic="fsl", paper=FSL, where="Proof of Thm 4.3", stance="reconstructed",
       statement="int_0^t K_M(t-z) K_M(z) dz <~ K_M(t) for t <= M^beta, uniformly in M")
def kernel_sub_convolution(effort):
    """Bounded below as well; convolutions of exponentials in closed form."""
    return _convolution_ratio(effort, lambda width, beta: width**beta, 0.0)


@kernel_sub_convolution.control("weights lambda in place of lambda^2: K ~ t^(-(1 - 1/beta)) is not integrable")
def _(effort):
    return _convolution_ratio(effort, lambda width, beta: width**beta, 0.5)


@kernel_sub_convolution.control("up to 100 M^(2 beta): the slowest mode's convolution with itself grows like t")
def _(effort):
    return _convolution_ratio(effort, lambda width, beta: 100.0 * width**(2.0 * beta), 0.0)


@claim("mode_integrals", topic="fsl", paper=FSL, where="Sec. 4 (multi-task view)", stance="stated",
       statement="t <= M^beta: e_M ~ int u^(s-1) e^(-2ut) du, K_M ~ int u^(1-1/beta) e^(-2ut) du, M^-beta < u < 1")
def mode_integrals(effort):
    """The modes as a continuum of independent tasks, each learned at its own exponential rate."""
    return _integral_ratio(effort, 0.0)


@mode_integrals.control("without the density of modes u^(-1/beta): u^(1) in K_M, u^(s - 1 + 1/beta) in e_M")
def _(effort):
    return _integral_ratio(effort, 1.0)


def _extremes(features):
    modes = PowerLawRegression(0.7, 2.0, 12, noise=0.0, features=features).spectrum()
    modes = type(modes)(modes.eigenvalues, modes.target_squared, 0.0, 0.0, kurtosis=modes.kurtosis)
    key = streams.key(SEED, "fsl.directions")
    drawn = streams.normals(key, 0, np.arange(100), 12).astype(np.float64)
    bounds = np.array([noise_bounds(modes, error) for error in (*drawn, *np.eye(12))])
    return bounds[:, 0].min(), bounds[:, 1].max()


def _measured_covariance(effort, measured, assumed):
    """Second moments of single-sample gradients, entry by entry; the mean gradient is known exactly."""
    count = effort.choose(100_000, 1_000_000)
    truth = PowerLawRegression(0.7, 2.0, 4, noise=0.5, features=assumed).spectrum()
    error = np.array([0.6, -0.9, 0.4, 1.1])
    draw = {"gaussian": streams.normals, "rademacher": streams.rademachers}[measured]
    key = streams.key(SEED, f"fsl.gradients.{measured}")
    features = np.sqrt(truth.eigenvalues) * draw(key, 0, np.arange(count), 4).astype(np.float64)
    label = np.sqrt(truth.label_variance) * streams.normals(key, 1, np.arange(count), 4)[:, 0].astype(np.float64)
    gradient = (features @ error - label)[:, None] * features - truth.eigenvalues * error
    products = (gradient[:, :, None] * gradient[:, None, :]).reshape(count, 16)
    centred = products - products.mean(axis=0)
    spread = products.std(axis=0, ddof=1)
    skewness = np.mean(centred**3, axis=0) / spread**3
    sample = judges.Sample(products.mean(axis=0), spread / np.sqrt(count), count, skewness)
    return judges.monte_carlo(sample, noise_covariance(truth, error).ravel())


def _widths(effort):
    return effort.choose((30, 100, 300), (30, 100, 300, 1000))


def _scale_ratio(effort, latest):
    ratios = []
    for width in _widths(effort):
        for beta in (1.5, 2.0, 4.0):
            modes = PowerLawRegression(1.0, beta, width).spectrum()
            time = np.geomspace(0.1, latest * width**beta, 60)
            ratios.append(kernel(modes, time / 2.0) / kernel(modes, time))
    return judges.bounded(np.array(ratios).reshape(len(_widths(effort)), 3, -1), between=(1.0, 16.0), drift=1.2)


def _convolution_ratio(effort, latest, flatter):
    """``K*K/K`` with ``K = sum lambda^(2 - 2 flatter) exp(-2 lambda t)``."""
    ratios = []
    for width in _widths(effort):
        for beta in (1.5, 2.0, 4.0):
            values = PowerLawRegression(1.0, beta, width).eigenvalues
            weight = values ** (2.0 - 2.0 * flatter)
            time = np.geomspace(1.0, latest(width, beta), 25)
            ratios.append([_self_convolution(values, weight, t) for t in time])
    return judges.bounded(np.array(ratios).reshape(len(_widths(effort)), 3, -1), spread=20.0, drift=1.3)


def _self_convolution(values, weight, time):
    """``int_0^t K(t-z) K(z) dz / K(t)`` with ``K = sum w exp(-2 lambda t)``, relative to the slowest mode."""
    excess = 2.0 * (values - values[-1])
    fading = np.exp(-excess * time)
    gap = excess[:, None] - excess[None, :]
    near = np.abs(gap) * time < 1e-6
    pair = np.where(near, time * np.minimum(fading[:, None], fading[None, :]),
                    (fading[None, :] - fading[:, None]) / np.where(near, 1.0, gap))
    return float(weight @ pair @ weight / (weight @ fading))


def _integral_ratio(effort, shift):
    """``e_M`` and ``K_M`` over their integrals, ``shift/beta`` added to the exponents."""
    ratios = []
    for width in _widths(effort):
        for s, beta in ((0.3, 2.0), (1.0, 1.5), (1.5, 2.0), (0.5, 4.0)):
            modes = PowerLawRegression(s, beta, width).spectrum()
            time = np.geomspace(0.1, width**beta, 40)
            nodes, weights = np.polynomial.legendre.leggauss(200)
            log_u = -0.5 * beta * np.log(width) * (1.0 - nodes)
            measure = 0.5 * beta * np.log(width) * weights
            fading = np.exp(-2.0 * np.outer(time, np.exp(log_u)))
            decayed = np.exp(-2.0 * np.outer(time, modes.eigenvalues))
            for power, weight in ((s, modes.eigenvalues * modes.target_squared),
                                  (2.0 - 1.0 / beta, modes.eigenvalues**2)):
                integral = fading @ (measure * np.exp((power + shift / beta) * log_u))
                ratios.append((decayed @ weight) / integral)
    return judges.bounded(np.array(ratios).reshape(len(_widths(effort)), 8, -1), spread=20.0, drift=1.3)
