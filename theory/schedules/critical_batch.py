r"""Gradient noise scales and the critical batch size.

Model (McCandlish et al., arXiv 1812.06162).  A loss with gradient G, Hessian H and per-sample gradient covariance
Sigma; a step of rate eta on the mean of B samples lowers it, in expectation and to second order, by

    dL = eta |G|^2 - (eta^2/2) [G'HG + tr(H Sigma)/B] ,

which is largest at ``eta_opt(B) = eta_max/(1 + B_noise/B)``, where it is ``dL_max/(1 + B_noise/B)``:

    eta_max = |G|^2/(G'HG),   dL_max = |G|^4/(2 G'HG),   B_noise = tr(H Sigma)/(G'HG),   B_simple = tr(Sigma)/|G|^2 .

Let s be progress, ``ds = -dL/dL_max`` (steps without noise).  If the path is a function of L alone, S steps of constant
batch B and ``E = B S`` samples to a target obey

    S = S_min + E_min/B,   S_min = int ds,   E_min = int B_noise ds,   B_crit = E_min/S_min,
    (S/S_min - 1)(E/E_min - 1) = 1 .

Batches that follow the noise, ``B = (kappa B_noise)^(1/2)``, minimise ``E + kappa S`` and put a constant below one,

    (S/S_min - 1)(E/E_min - 1) = g = (int B_noise^(1/2) ds)^2 / (int B_noise ds int ds) <= 1      (Cauchy-Schwarz).

On a quadratic ``(1/2) sum h_j theta_j^2`` with constant Sigma expectations close, ``m_j = E theta_j^2``,
``m_j <- (1 - eta h_j)^2 m_j + (eta^2/B) Sigma_jj``, and the rates are those that lower the expected loss most.  With
all h_j equal the path is a function of L, and for a share f << 1 of the best rate the sums become the integrals, up to
O(f); with spread-out h_j, small batches take another path and the hyperbola is approximate.

Estimators.  Squared gradient norms at two batch sizes, ``E |G_B|^2 = |G|^2 + tr(Sigma)/B``, give both without bias:

    |G|^2 = (B_2 |G_2|^2 - B_1 |G_1|^2)/(B_2 - B_1),     tr Sigma = (|G_1|^2 - |G_2|^2)/(1/B_1 - 1/B_2) .

The formulas are the paper's as generally quoted; its text was not at hand, and everything is derived here.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..arguments import number, numbers
from ..fsl.problem import Spectrum

LONGEST = 20_000_000
"""Most steps of one run to a target."""


@dataclass(frozen=True)
class GradientStatistics:
    """What a step sees of gradient, curvature and noise.

    Attributes
    ----------
    norm_squared, curvature : float
        ``|G|^2`` and ``G'HG``, > 0.
    trace, curved_trace : float
        ``tr Sigma`` and ``tr(H Sigma)``, >= 0.
    """

    norm_squared: float
    curvature: float
    trace: float
    curved_trace: float

    def __post_init__(self):
        for name, positive in (("norm_squared", True), ("curvature", True), ("trace", False), ("curved_trace", False)):
            value = number(getattr(self, name), name)
            if not (0 < value < math.inf or (value == 0 and not positive)):
                raise ValueError(f"{name} is {value}; it must be finite and {'> 0' if positive else '>= 0'}")
            object.__setattr__(self, name, value)

    @property
    def noise_scale(self) -> float:
        """``B_noise``."""
        return self.curved_trace / self.curvature

    @property
    def simple_scale(self) -> float:
        """``B_simple``."""
        return self.trace / self.norm_squared

    def best_rate(self, batch=math.inf):
        """``eta_opt(B)``."""
        return self.norm_squared / (self.curvature + self.curved_trace / _positive(batch, "batch"))

    def best_decrease(self, batch=math.inf):
        """``dL(B)``."""
        return 0.5 * self.norm_squared * self.best_rate(batch)

    def decrease(self, rate, batch=math.inf):
        """Expected decrease of the loss in a step of this rate."""
        bend, rate = self.curvature + self.curved_trace / _positive(batch, "batch"), number(rate, "rate")
        return rate * self.norm_squared - 0.5 * rate**2 * bend


@dataclass(frozen=True, eq=False)
class NoisyQuadratic:
    """A quadratic loss in its eigenbasis, with gradient noise that does not depend on the place.

    Parameters
    ----------
    hessian : array_like, shape (n,)
        Eigenvalues ``h_j`` > 0.
    covariance : array_like, shape (n,)
        Diagonal of Sigma in that basis, >= 0; off-diagonal entries play no role.
    start : array_like, shape (n,)
        ``theta_j^2`` at the start, >= 0, not all 0.
    """

    hessian: np.ndarray
    covariance: np.ndarray
    start: np.ndarray

    def __post_init__(self):
        shape = None
        for name, positive in (("hessian", True), ("covariance", False), ("start", False)):
            array = np.atleast_1d(numbers(getattr(self, name), f"entries of {name}"))
            shape = shape or array.shape
            low = array.min() if array.size else math.nan
            if array.ndim != 1 or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} has shape {array.shape}; it must be a finite vector like hessian, {shape}")
            if not (low > 0 if positive else low >= 0):
                raise ValueError(f"smallest entry of {name} is {low}; it must be {'> 0' if positive else '>= 0'}")
            object.__setattr__(self, name, array)
        if not self.start.any():
            raise ValueError("start is 0 everywhere; at least one entry must be > 0")

    @property
    def initial_loss(self) -> float:
        """``(1/2) sum_j h_j theta_j^2``."""
        return 0.5 * float(self.hessian @ self.start)

    def statistics(self, moments=None):
        """:class:`GradientStatistics` at second moments ``E theta_j^2``, by default the start's."""
        m = _moments(self.start if moments is None else moments, self.start.shape)
        h = self.hessian
        return GradientStatistics(float(h**2 @ m), float(h**3 @ m), float(self.covariance.sum()),
                                  float(h @ self.covariance))


@dataclass(frozen=True)
class Cost:
    """Steps S and samples E to a target; ``inf`` where it is not reached."""

    steps: float
    samples: float


def cost(quadratic, target, batch, *, share=1.0, rate=None, power=0.0):
    """Steps and samples of exact SGD to a target loss.

    Parameters
    ----------
    quadratic : NoisyQuadratic
    target : float
        In (0, initial loss).
    batch : float
        B > 0, real, ``inf`` for full batches; the factor c of ``B = c B_noise^power`` if `power` is not 0.
    share : float
        Share f of the greedy best rate, in (0, 1].
    rate : float, optional
        A fixed rate > 0 in place of greedy ones.
    power : float
        0, or the power of ``B_noise`` that batches follow.

    Returns
    -------
    Cost
        The last step counted in part, in proportion to log L.

    Raises
    ------
    ValueError
        For arguments out of range, and if the target takes more than 2e7 steps.
    """
    if not isinstance(quadratic, NoisyQuadratic):
        raise ValueError(f"quadratic is a {type(quadratic).__name__}; it must be a NoisyQuadratic")
    batch, share, power = _positive(batch, "batch", True), number(share, "share"), number(power, "power")
    target, start = number(target, "target"), quadratic.initial_loss
    if not 0 < target < start:
        raise ValueError(f"target is {target}; it must be in (0, {start:.6g}), below the initial loss")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be in (0, 1]")
    if not math.isfinite(power):
        raise ValueError(f"power is {power}; it must be finite")
    if power and not math.isfinite(batch):
        raise ValueError(f"batch is {batch}; it must be finite where batches follow a power of the noise scale")
    if power and not quadratic.covariance.any():
        raise ValueError(f"covariance is 0 everywhere; power is {power}, it must be 0 where there is no noise")
    fixed = 0.0 if rate is None else _positive(rate, "rate")
    steps, samples = _descend(quadratic.hessian, quadratic.covariance, quadratic.start.copy(), target, batch, share,
                              fixed, power)
    if steps < 0:
        raise ValueError(f"batch is {batch:g}; the target takes more than {LONGEST} steps, it must be larger")
    return Cost(steps, samples)


def hyperbola(batch, fewest_steps, fewest_samples):
    """``S(B) = S_min + E_min/B``, B > 0 of any shape."""
    batch = numbers(batch, "batches")
    if batch.size and not batch.min() > 0:
        raise ValueError(f"smallest batch is {batch.min()}; it must be > 0")
    return fewest_steps + fewest_samples / batch


def adaptive_gain(scales, progress):
    """``g`` of batches that follow the noise, by the trapezoidal rule.

    Parameters
    ----------
    scales : array_like, shape (n,)
        ``B_noise`` > 0 along the path.
    progress : array_like, shape (n,)
        s there, increasing.

    Raises
    ------
    ValueError
        For arrays that do not fit or are out of range.
    """
    scales, progress = numbers(scales, "noise scales"), numbers(progress, "progress")
    if scales.ndim != 1 or scales.shape != progress.shape or scales.size < 2:
        raise ValueError(f"scales {scales.shape} and progress {progress.shape} must be vectors of one length >= 2")
    if not (scales.min() > 0 and np.diff(progress).min() > 0):
        raise ValueError(f"smallest scale is {scales.min()}, smallest increment of progress {np.diff(progress).min()}; "
                         "both must be > 0")
    return float(np.trapezoid(np.sqrt(scales), progress) ** 2
                 / (np.trapezoid(scales, progress) * (progress[-1] - progress[0])))


def isotropic_costs(trace, start, target):
    """``S_min``, ``E_min`` and ``g`` of an isotropic Hessian, ``h = 1``, per unit ``f (2 - f)`` of progress.

    There ``dL_max = L`` and ``B_noise = tr Sigma/(2 L)``: with ``R = L_0/L``, ``S_min = log R``,
    ``E_min = (tr Sigma/2)(1/L - 1/L_0)`` and ``g = 4 (R^(1/2) - 1)/[(R^(1/2) + 1) log R]``.

    Parameters
    ----------
    trace, start, target : float
        ``tr Sigma`` > 0 and losses, ``start > target > 0``.
    """
    trace, start, target = (_positive(x, name) for x, name in ((trace, "trace"), (start, "start"), (target, "target")))
    if not target < start:
        raise ValueError(f"target is {target}; it must be below start = {start:g}")
    log_ratio, root = math.log(start / target), math.sqrt(start / target)
    return (log_ratio, 0.5 * trace * (1.0 / target - 1.0 / start),
            4.0 * (root - 1.0) / ((root + 1.0) * log_ratio))


def two_batch_estimates(small, large, squared_small, squared_large):
    """Unbiased ``(|G|^2, tr Sigma)`` from squared gradient norms at two batch sizes.

    Parameters
    ----------
    small, large : float
        ``0 < B_1 < B_2``.
    squared_small, squared_large : array_like
        ``|G_1|^2`` and ``|G_2|^2``, averages of B_1 and of B_2 samples; the samples may be shared.

    Returns
    -------
    tuple of ndarray
        Either may come out negative.  Their ratio is not an unbiased estimate of ``B_simple``.
    """
    small, large = _positive(small, "small"), _positive(large, "large")
    if not small < large < math.inf:
        raise ValueError(f"large is {large}; it must be finite and > small = {small:g}")
    first, second = numbers(squared_small, "squared norms"), numbers(squared_large, "squared norms")
    return (large * second - small * first) / (large - small), (first - second) / (1.0 / small - 1.0 / large)


def regression_statistics(spectrum, moments):
    """Gradient statistics of a linear regression, expected over the error ``u`` with ``E u_j^2 = moments_j``.

    ``Sigma_jj = lambda_j (sum lambda u^2 + sigma_M^2) + (kappa - 2) lambda_j^2 u_j^2`` for independent features of
    kurtosis kappa, and ``G_j = lambda_j u_j`` (:mod:`theorycheck.theory.fsl.recursion`).

    Parameters
    ----------
    spectrum : Spectrum
    moments : array_like, shape (n,)
    """
    if not isinstance(spectrum, Spectrum):
        raise ValueError(f"spectrum is a {type(spectrum).__name__}; it must be a Spectrum")
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    pull = weights * values**2 * _moments(moments, values.shape)
    total = float(np.sum(pull / values)) + spectrum.label_variance
    extra = spectrum.kurtosis - 2.0
    norm, curvature = float(pull.sum()), float(values @ pull)
    return GradientStatistics(norm, curvature, spectrum.trace * total + extra * norm,
                              float(weights @ values**2) * total + extra * curvature)


@njit(cache=True)
def _descend(hessian, covariance, moments, target, batch, share, fixed, power):
    """Steps and samples; (inf, inf) once the loss no longer falls, (-1, -1) beyond the longest run."""
    noise = np.sum(hessian * covariance)
    loss = 0.5 * np.sum(hessian * moments)
    samples = 0.0
    for step in range(LONGEST):
        pull, bend = 0.0, 0.0
        for j in range(hessian.size):
            square = hessian[j] * hessian[j] * moments[j]
            pull += square
            bend += hessian[j] * square
        size = batch * (noise / bend) ** power if power != 0.0 else batch
        rate = fixed if fixed > 0.0 else share * pull / (bend + noise / size)
        after = 0.0
        for j in range(hessian.size):
            kept = 1.0 - rate * hessian[j]
            moments[j] = kept * kept * moments[j] + rate * rate / size * covariance[j]
            after += 0.5 * hessian[j] * moments[j]
        if not after < loss * (1.0 - 1e-13):
            return np.inf, np.inf
        if after <= target:
            part = math.log(loss / target) / math.log(loss / after)
            return step + part, samples + part * size
        samples += size
        loss = after
    return -1.0, -1.0


def _moments(values, shape):
    values = numbers(values, "moments")
    if values.shape != shape:
        raise ValueError(f"moments have shape {values.shape}; it must be {shape}")
    return values


def _positive(value, name, infinite=False):
    value = number(value, name)
    if not (value > 0 and (infinite or name == "batch" or math.isfinite(value))):
        raise ValueError(f"{name} is {value}; it must be > 0")
    return value
