r"""The functional scaling law with its two power laws, in intrinsic time.

A run of one-pass SGD with learning rates ``eta_k`` and batch sizes ``B_k`` enters the law (Li et al., arXiv 2509.19189,
Sec. 5: label noise of order one, infinite width) through its length in intrinsic time, ``T = sum_k eta_k``, and through
the ratio ``r = B/eta``, at which data are used per unit of that time.  With ``u = T - t`` the time that *remains*,

    E(T, r) = e(T) + sigma^2 int_0^T K(u)/r(u) du ,         D = int_0^T r(u) du ,
    e(t) = A_e (1+t)^{-s} ,      K(u) = A_K (1+u)^{-(2-1/beta)} .

Write ``p = 1 - 1/(2 beta)`` and ``q = 1 - 1/beta``, so that ``K = A_K (1+u)^{-2p} = A_K (1+u)^{-(1+q)}``.  Then

    S(x) = int_0^x (1+u)^{-p} du = 2 beta [(1+x)^{1/(2 beta)} - 1] ,
    int_a^b (1+u)^{-(1+q)} du    = [(1+a)^{-q} - (1+b)^{-q}]/q .

Both are evaluated with expm1 and log1p: relative errors of a few 1e-16 from x = 1e-300 to 1e300.

``A_e = A_K = 1`` is the law as printed.  For the power-law regression of :mod:`theorycheck.theory.fsl` the large-time
constants are known, and with them E is *twice* the excess risk there, which has a factor 1/2 (:func:`sharp`).
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers
from ..fsl import asymptotics
from ..fsl.problem import PowerLawRegression

LARGEST = 1e30
"""Largest amount of data, horizon or time that is accepted."""


@dataclass(frozen=True)
class PowerLaw:
    """Signal and forgetting kernel of the law.

    Parameters
    ----------
    source : float
        ``s`` > 0.
    capacity : float
        ``beta`` > 1.
    noise : float
        Label noise ``sigma`` > 0 (a standard deviation).
    signal_scale, kernel_scale : float
        ``A_e`` and ``A_K`` > 0.

    Raises
    ------
    ValueError
        For a parameter outside its range.
    """

    source: float
    capacity: float
    noise: float = 1.0
    signal_scale: float = 1.0
    kernel_scale: float = 1.0

    def __post_init__(self):
        for name, low in (("source", 0.0), ("capacity", 1.0), ("noise", 0.0), ("signal_scale", 0.0),
                          ("kernel_scale", 0.0)):
            object.__setattr__(self, name, above(getattr(self, name), name, low))

    @property
    def root_exponent(self) -> float:
        """``p = 1 - 1/(2 beta)``, the exponent of ``K^(1/2)``."""
        return 1.0 - 0.5 / self.capacity

    @property
    def forgetting(self) -> float:
        """``q = 1 - 1/beta``: noise older than u weighs ``u^-q``; tasks are easy for ``s > q``, hard for ``s < q``."""
        return 1.0 - 1.0 / self.capacity

    @property
    def strength(self) -> float:
        """``sigma^2 A_K``."""
        return self.noise**2 * self.kernel_scale

    def signal(self, time):
        """``e(t)``, t >= 0 of any shape."""
        return self.signal_scale * np.exp(-self.source * np.log1p(time))

    def kernel(self, remaining):
        """``K(u)``, u >= 0 of any shape."""
        return self.kernel_scale * np.exp(-2.0 * self.root_exponent * np.log1p(remaining))

    def kernel_mass(self, start, stop):
        """``int_start^stop K du`` for ``0 <= start <= stop``, without cancellation."""
        start, stop = np.asarray(start, float), np.asarray(stop, float)
        q = self.forgetting
        near = np.exp(-q * np.log1p(start))
        return self.kernel_scale * near * -np.expm1(-q * np.log1p((stop - start) / (1.0 + start))) / q

    def root_sum(self, remaining):
        """``S(x) = int_0^x (1+u)^-p du``, without the scale ``A_K^(1/2)``."""
        twice = 2.0 * self.capacity
        return twice * np.expm1(np.log1p(remaining) / twice)

    def loss(self, rates, sizes):
        """The law's loss of a schedule of K steps, ratio ``B_k/eta_k`` in each; sums of exact integrals.

        Parameters
        ----------
        rates : array_like, shape (K,)
            Learning rates > 0.
        sizes : array_like, shape (K,) or number
            Batch sizes > 0, real numbers.
        """
        rates, sizes = numbers(rates, "rates"), numbers(sizes, "sizes")
        if sizes.ndim and sizes.shape != rates.shape:
            raise ValueError(f"sizes have shape {sizes.shape}; they must have that of the rates, {rates.shape}, or be "
                             "one number")
        sizes = np.broadcast_to(sizes, rates.shape)
        for name, values in (("learning rate", rates), ("batch size", sizes)):
            if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
                raise ValueError(f"{name}s have shape {values.shape}; they must be one or more finite numbers > 0")
        remaining = np.append(np.cumsum(rates[::-1])[::-1], 0.0)
        noise = np.sum(self.kernel_mass(remaining[1:], remaining[:-1]) * (rates / sizes))
        return float(self.signal(remaining[0]) + self.noise**2 * noise)


def sharp(source, capacity, noise=1.0):
    r"""The law with the large-time constants of power-law regression; its loss is twice that excess risk.

    ``e(t) -> Gamma(s)/(beta 2^s) t^-s`` and ``K(t) -> Gamma(2-1/beta)/(beta 2^{2-1/beta}) t^{-(2-1/beta)}`` for
    ``lambda_j = j^-beta``, ``lambda_j theta_j^2 = j^{-1-s beta}`` (:mod:`theorycheck.theory.fsl.asymptotics`).  The
    noise collected near the end, where K is no power law, makes a correction of relative order ``T^{-1/(2 beta)}``.
    """
    problem = PowerLawRegression(source, capacity)
    return PowerLaw(source, capacity, noise, asymptotics.signal_tail(problem).constant,
                    asymptotics.kernel_tail(problem).constant)


def above(value, name, low):
    """A finite number > low (and at most :data:`LARGEST`), or ValueError in one line."""
    value = number(value, name)
    if not low < value <= LARGEST:
        raise ValueError(f"{name} is {value}; it must be in ({low:g}, {LARGEST:g}]")
    return value


def not_negative(value, name):
    """A finite number >= 0 (and at most :data:`LARGEST`), or ValueError in one line."""
    value = number(value, name)
    if not 0 <= value <= LARGEST:
        raise ValueError(f"{name} is {value}; it must be in [0, {LARGEST:g}]")
    return value


def whole_steps(length):
    """Number of steps of a run that is `length` steps long: rounded up, rounding errors apart."""
    return max(1, math.ceil(length * (1.0 - 1e-12)))
