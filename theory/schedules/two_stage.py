r"""One switch: from the ratio r1 = B1/eta to r2 > r1, and when to make it.

Under the law of :mod:`.power_law` let R be the intrinsic time of the second stage.  The budget fixes the horizon,

    r1 (T - R) + r2 R = D    =>    T = D/r1 - R (r2/r1 - 1) ,        0 <= R <= D/r2 ,
    E(R) = e(T) + sigma^2 { int_0^R K/r2 + int_R^T K/r1 } ,
    E'(R) = (r2/r1 - 1) { s A_e (1+T)^{-s-1} - sigma^2 A_K [(1+R)^{-(1+q)}/r2 + (1+T)^{-(1+q)}/r1] } ,

so a longer second stage loses signal (first term) and sheds old noise (second).  With ``q = 1 - 1/beta`` and
D -> infinity at fixed r1, r2 (derived):

    hard, s < q :  R* = [sigma^2 A_K T^{s+1}/(s A_e r2)]^{1/(1+q)},  data after it ~ D^{beta (1+s)/(2 beta - 1)},
                   a share ~ D^{-(1-1/beta-s)/(2-1/beta)}: late switching;
    easy, s > q :  everything in the second stage;
    s = q :        constants decide: a fixed share if  sigma^2 A_K (1/r1 + 1/r2) < s A_e,  everything otherwise.

Two fixed ratios never bring the loss below ``sigma^2 A_K/(q r2)``, the floor of the second (:attr:`TwoStage.floor`).

The statement is Thm 3.2 of Wang, Li et al. (arXiv 2602.14208), reconstructed since its text was not at hand.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from .power_law import PowerLaw, above, not_negative

SCAN = 240
"""Lengths of the second stage that are tried before the best one is refined."""


@dataclass(frozen=True, eq=False)
class TwoStage:
    """A run at ratio `first`, then `second`.

    Attributes
    ----------
    law : PowerLaw
    data, first, second : float
        D, r1 and r2.
    remaining : float
        R, intrinsic time of the second stage.
    horizon : float
        T.
    signal, noise, loss : float
        ``e(T)``, noise, and their sum.
    """

    law: PowerLaw
    data: float
    first: float
    second: float
    remaining: float
    horizon: float
    signal: float
    noise: float

    @property
    def loss(self) -> float:
        """``signal + noise``."""
        return self.signal + self.noise

    @property
    def switch(self) -> float:
        """Data used when the ratio is switched, ``P = r1 (T - R)``."""
        return max(self.data - self.second * self.remaining, 0.0)

    @property
    def share(self) -> float:
        """Share of the data used after the switch, ``r2 R/D``."""
        return self.second * self.remaining / self.data

    @property
    def floor(self) -> float:
        """``sigma^2 A_K/(q r2)``: the loss of r2 kept up forever."""
        return self.law.strength / (self.law.forgetting * self.second)

    @property
    def above_floor(self) -> float:
        """``loss - floor``, without cancellation."""
        return self.signal + self._extra

    @property
    def _extra(self):
        """Noise beyond the floor: what is left of the first stage's surplus, less what r2 had no time to build up."""
        law = self.law
        old = law.noise**2 * float(law.kernel_mass(self.remaining, self.horizon))
        missing = self.floor * math.exp(-law.forgetting * math.log1p(self.horizon))
        return old * (1.0 / self.first - 1.0 / self.second) - missing

    def moved(self, share):
        """The same budget with another switch: after it, this share (0 to 1) of the data is used.

        Raises
        ------
        ValueError
            For a share outside [0, 1].
        """
        share = float(share)
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share is {share}; it must be in [0, 1]")
        return staged(self.law, self.data, self.first, self.second, share * self.data / self.second)

    def cost(self, share):
        """Loss of another switch relative to this one's, less one: what switching early (large share) or late costs."""
        return self.moved(share).loss / self.loss - 1.0


def staged(law, data, first, second, remaining):
    """:class:`TwoStage` with a given intrinsic time R of the second stage, ``0 <= R <= data/second``.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    data = above(data, "data", 0.0)
    first, second = _ratios(first, second)
    remaining, longest = not_negative(remaining, "remaining"), data / second
    if remaining > longest * (1.0 + 1e-12):
        raise ValueError(f"remaining is {remaining:g}; it must be in [0, {longest:g}], data/second")
    remaining = min(remaining, longest)
    horizon = max(data / first - remaining * (second / first - 1.0), remaining)
    noise = law.noise**2 * (float(law.kernel_mass(0.0, remaining)) / second
                            + float(law.kernel_mass(remaining, horizon)) / first)
    return TwoStage(law, data, first, second, remaining, horizon, float(law.signal(horizon)), noise)


def two_stage(source, capacity, data, first, second, noise=1.0, signal_scale=1.0, kernel_scale=1.0):
    """The best switch.

    Parameters
    ----------
    source, capacity, noise, signal_scale, kernel_scale : float
        The law, see :class:`.power_law.PowerLaw`.
    data : float
        D > 0.
    first, second : float
        ``r1 = B1/eta`` and ``r2 = B2/eta``, ``0 < r1 < r2``.

    Returns
    -------
    TwoStage

    Raises
    ------
    ValueError
        For arguments out of range, with the range.
    """
    law = PowerLaw(source, capacity, noise, signal_scale, kernel_scale)
    data = above(data, "data", 0.0)
    first, second = _ratios(first, second)
    longest = data / second
    middle = np.geomspace(min(1e-8, 1e-8 * longest), 0.5 * longest, SCAN)
    tries = np.concatenate([[0.0], middle, longest * -np.expm1(np.linspace(math.log(0.5), -40.0, SCAN))])
    horizons = np.maximum(data / first - tries * (second / first - 1.0), tries)
    noises = law.kernel_mass(0.0, tries) / second + law.kernel_mass(tries, horizons) / first
    losses = law.signal(horizons) + law.noise**2 * noises
    best = int(np.argmin(losses))
    if losses[-1] <= losses[best] * (1.0 + 1e-14) and _slope(law, data, first, second, longest) <= 0.0:
        return staged(law, data, first, second, longest)

    def slope(remaining):
        return _slope(law, data, first, second, remaining)

    low, high = tries[max(best - 1, 0)], tries[min(best + 1, tries.size - 1)]
    if best == tries.size - 1 or best == 0 or not slope(low) < 0.0 < slope(high):
        return staged(law, data, first, second, tries[best])
    return staged(law, data, first, second, brentq(slope, low, high, xtol=1e-300, rtol=1e-14))


def limit_length(law, data, first, second):
    """``[sigma^2 A_K T^{s+1}/(s A_e r2)]^{1/(1+q)}`` with ``T = D/r1``: R* of a hard task, D -> infinity."""
    second = above(second, "second", 0.0)
    longest = above(data, "data", 0.0) / above(first, "first", 0.0)
    return (law.strength * longest ** (law.source + 1.0)
            / (law.source * law.signal_scale * second)) ** (1.0 / (1.0 + law.forgetting))


def interior(law, first, second):
    """Whether a fixed share of the data stays in the first stage at ``s = 1-1/beta``, whatever D."""
    first, second = _ratios(first, second)
    return law.strength * (1.0 / first + 1.0 / second) < law.source * law.signal_scale


def _ratios(first, second):
    first, second = above(first, "first", 0.0), above(second, "second", 0.0)
    if not first < second:
        raise ValueError(f"first is {first:g}; it must be in (0, {second:g}), below second")
    return first, second


def _slope(law, data, first, second, remaining):
    """``E'(R)`` over a positive factor."""
    horizon = max(data / first - remaining * (second / first - 1.0), remaining)
    lost = law.source * float(law.signal(horizon)) / (1.0 + horizon)
    shed = law.noise**2 * (float(law.kernel(remaining)) / second + float(law.kernel(horizon)) / first)
    return lost - shed
