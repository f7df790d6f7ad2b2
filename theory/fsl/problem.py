r"""The power-law regression problem of functional scaling laws.

Features ``phi`` with covariance ``H = diag(lambda_j)``, label ``y = <phi, theta*> + eps``, ``eps ~ N(0, sigma^2)``:

    lambda_j = j^{-beta},      theta*_j^2 = j^{-1} lambda_j^{s-1},      lambda_j theta*_j^2 = j^{-(1 + s beta)}

with *source* ``s > 0`` (difficulty relative to the model) and *capacity* ``beta > 1`` (Assumptions 2.3 and 2.4 of Li et
al., arXiv 2509.19189, with every constant of their "~" equal to one).  A model of *width* M uses the first M
features (top-M) or M random combinations of all of them (random-M).  The excess risk carries the factor 1/2:

    E(v) = ||W^T v - theta*||_H^2 / 2,       risk = E + sigma^2 / 2 .

There are infinitely many features; what lies beyond the width is summed exactly by the Hurwitz zeta function.
"""

import math
from dataclasses import dataclass

import numpy as np

from .. import spectra
from ..arguments import number, numbers, shown

MAX_MODES = 50_000_000
"""Largest width whose modes are written out one by one."""

KURTOSIS = {"gaussian": 3.0, "rademacher": 1.0, "uniform": 1.8, "laplace": 6.0}
"""Kurtosis ``E x^4 / (E x^2)^2`` of the feature laws by name."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The modes a linear model learns, possibly grouped into nodes that stand for several modes.

    Every sum over modes is a weighted sum over nodes: ``sum_j f(lambda_j, theta*_j^2) = sum_i w_i f(lambda_i, c_i)``.

    Parameters
    ----------
    eigenvalues : ndarray, shape (n,)
        ``lambda_i`` > 0.
    target_squared : ndarray, shape (n,)
        ``theta*_i^2`` >= 0: initial second moment of each mode's error for ``v_0 = 0``.
    approximation_error : float
        Excess risk that no weight vector removes, ``delta_M = min_v E(v)`` >= 0.
    noise : float
        Label noise sigma >= 0.
    multiplicity : ndarray, shape (n,), optional
        Weights ``w_i`` > 0; default all one.
    kurtosis : float
        ``E x^4/(E x^2)^2`` of a feature in its eigendirection, >= 1; 3 for Gaussian features.
    """

    eigenvalues: np.ndarray
    target_squared: np.ndarray
    approximation_error: float = 0.0
    noise: float = 0.0
    multiplicity: np.ndarray | None = None
    kurtosis: float = 3.0

    def __post_init__(self):
        values = numbers(self.eigenvalues, "eigenvalues")
        target = numbers(self.target_squared, "target_squared")
        weights = np.ones_like(values) if self.multiplicity is None else numbers(self.multiplicity, "multiplicities")
        if values.ndim != 1 or values.size == 0 or target.shape != values.shape or weights.shape != values.shape:
            raise ValueError(f"eigenvalues {values.shape}, target_squared {target.shape} and multiplicity "
                             f"{weights.shape} must be vectors of one length >= 1")
        for name, array, low in (("eigenvalue", values, "> 0"), ("target_squared", target, ">= 0"),
                                 ("multiplicity", weights, "> 0")):
            bad = ~np.isfinite(array) | ((array <= 0) if low == "> 0" else (array < 0))
            if bad.any():
                raise ValueError(f"{name} {int(bad.argmax())} is {array[bad.argmax()]}; it must be finite and {low}")
        _check(self.approximation_error, "approximation_error", 0.0)
        _check(self.noise, "noise", 0.0)
        _check(self.kurtosis, "kurtosis", 1.0)
        for name, array in (("eigenvalues", values), ("target_squared", target), ("multiplicity", weights)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def trace(self) -> float:
        """``tr H_M = sum_j lambda_j``."""
        return float(np.sum(self.multiplicity * self.eigenvalues))

    @property
    def label_variance(self) -> float:
        """``sigma_M^2 = sigma^2 + 2 delta_M``: what the unused features add to the noise the model sees."""
        return self.noise**2 + 2.0 * self.approximation_error

    def sum(self, values):
        """Weighted sum over modes of ``values`` (shape (..., n)), one entry per node."""
        return np.sum(np.asarray(values) * self.multiplicity, axis=-1)


@dataclass(frozen=True)
class PowerLawRegression:
    """Power-law regression learned by a linear model on the top-M features.

    Parameters
    ----------
    source : float
        ``s`` > 0.
    capacity : float
        ``beta`` > 1.
    width : int or inf
        Number of features M >= 1 the model uses; ``inf`` (default) for all of them.
    noise : float
        Label noise standard deviation ``sigma`` >= 0.
    features : {"gaussian", "rademacher", "uniform", "laplace"}
        Law of the independent standardised features.

    Raises
    ------
    ValueError
        For a parameter outside its range.

    Notes
    -----
    Random-M models share these parameters; :func:`.random_features.projected_spectrum` turns a projection matrix
    into the :class:`Spectrum` of the model conditional on it.
    """

    source: float
    capacity: float
    width: float = math.inf
    noise: float = 1.0
    features: str = "gaussian"

    def __post_init__(self):
        _check(self.source, "source", 0.0, strict=True)
        _check(self.capacity, "capacity", 1.0, strict=True)
        _check(self.noise, "noise", 0.0)
        width = number(self.width, "width")
        if not (width >= 1 and (width == math.inf or width.is_integer())):
            raise ValueError(f"width is {self.width}; it must be an integer >= 1 or inf")
        if not isinstance(self.features, str) or self.features not in KURTOSIS:
            raise ValueError(f"features is {shown(self.features)}; it must be one of {', '.join(KURTOSIS)}")
        if math.isfinite(width):
            object.__setattr__(self, "width", int(self.width))

    @property
    def kurtosis(self) -> float:
        """``E x^4/(E x^2)^2`` of a feature."""
        return KURTOSIS[self.features]

    @property
    def difficulty(self) -> float:
        """Intrinsic difficulty of the target, ``alpha = s beta``."""
        return self.source * self.capacity

    @property
    def kernel_exponent(self) -> float:
        """``2 - 1/beta``, the decay exponent of the forgetting kernel."""
        return 2.0 - 1.0 / self.capacity

    @property
    def regime(self) -> str:
        """``"easy"`` for ``s >= 1 - 1/beta``, else ``"hard"``."""
        return "easy" if self.source >= 1.0 - 1.0 / self.capacity else "hard"

    @property
    def eigenvalues(self) -> np.ndarray:
        """``lambda_1, ..., lambda_M``; finite width up to :data:`MAX_MODES` only."""
        return spectra.power_law(self.capacity, self._written_out())

    @property
    def target_squared(self) -> np.ndarray:
        """``theta*_j^2 = j^{-(1 + (s-1) beta)}`` for j = 1..M."""
        return spectra.power_law(1.0 + (self.source - 1.0) * self.capacity, self._written_out())

    @property
    def approximation_error(self) -> float:
        """``delta_M = sum_{j>M} lambda_j theta*_j^2 / 2`` of the top-M model, exactly; 0 for infinite width."""
        return 0.5 * spectra.tail_sum(1.0 + self.difficulty, self.width + 1.0)

    @property
    def trace(self) -> float:
        """``tr H_M = sum_{j<=M} lambda_j``."""
        return float(spectra.partial_sum(self.capacity, self.width))

    @property
    def initial_risk(self) -> float:
        """Excess risk of ``v = 0``, ``zeta(1 + s beta)/2``."""
        return 0.5 * spectra.tail_sum(1.0 + self.difficulty, 1.0)

    def spectrum(self) -> Spectrum:
        """All M modes one by one (finite width); :func:`.compression.compress` groups them for speed."""
        return Spectrum(self.eigenvalues, self.target_squared, self.approximation_error, self.noise,
                        kurtosis=self.kurtosis)

    def _written_out(self):
        if not self.width <= MAX_MODES:
            raise ValueError(f"width is {self.width}; its modes are written out one by one only up to {MAX_MODES}: "
                             "use the compressed spectrum")
        return self.width


def _check(value, name, low, strict=False):
    value = number(value, name)
    inside = value > low if strict else value >= low
    if not (np.isfinite(value) and inside):
        raise ValueError(f"{name} is {value}; it must be finite and {'>' if strict else '>='} {low:g}")
