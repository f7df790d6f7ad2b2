r"""How much faster LITE makes flat directions: at a frozen learning rate, re-tuned, and with a metric.

*Frozen.*  A flat mode of step s has, with the closed forms of :mod:`.modes` (derived),

    rate = s (1 + alpha beta)/alpha [1 + s (1/alpha^2 - 1/(2 alpha) + beta/2) + O(s^2)] ,

so the gain ``chi`` and the dampings ``beta_2`` (flat) and ``beta_1`` (sharp) of Algorithm 1 (arXiv 2602.22681) multiply
its rate by ``chi (1 + alpha beta_2)/(1 + alpha beta_1)`` as s tends to 0.  That ends where the mode begins to
oscillate, for ``beta = 0`` at ``chi s = (1 - sqrt theta)^2``, about ``alpha^2/4``; from there on the rate is
``-log(theta)/2``, whatever the gain.

*Re-tuned.*  The spectrum fills a sharp block ``[m_s, L_s]`` and a flat one ``[m_f, L_f]``; Q is exact and ``beta = 0``.
Heavy ball on one interval of condition number k has at best the radius ``(sqrt k - 1)/(sqrt k + 1)`` (Polyak), with
momentum its square and learning rate ``(1 + radius)^2/L``.  LITE with gain ``chi`` sees the interval from
``min(m_s, chi m_f)`` to ``max(L_s, chi L_f)``, hence (derived) the condition number and the gain in iterations

    k(chi) = max(L_s, chi L_f)/min(m_s, chi m_f) ,      gain = artanh(1/sqrt k(chi)) / artanh(1/sqrt k(1)) ,

close to ``sqrt chi`` while ``chi <= min(m_s/m_f, L_s/L_f)``, at most ``sqrt(L_s/L_f)`` or so, and 1 without a gap.  If
the momentum and the learning rate, the gain and the dampings are all free, nothing beats the larger of the two blocks'
own Polyak radii, since each block is driven by polynomials of its Hessian; ``chi = L_s/L_f`` without damping gets
there.

*Metric.*  A metric ``F = H^p`` leaves the condition number ``kappa(H)^(1-p)``: the square root for ``p = 1/2``, which
is the root of the covariance of gradients if that is proportional to H.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown
from . import modes
from .ranges import require


@dataclass(frozen=True)
class Blocks:
    """A spectrum that fills two intervals.

    Parameters
    ----------
    sharp, flat : (float, float)
        Smallest and largest curvature of each block, ``0 < m <= L``, with ``m_f <= m_s`` and ``L_f <= L_s``.
    """

    sharp: tuple
    flat: tuple

    def __post_init__(self):
        for name in ("sharp", "flat"):
            ends = numbers(getattr(self, name), f"{name} curvatures")
            if ends.shape != (2,) or not 0 < ends[0] <= ends[1] < math.inf:
                raise ValueError(f"{name} is {shown(getattr(self, name))}; it must be (m, L) with 0 < m <= L, finite")
            object.__setattr__(self, name, (float(ends[0]), float(ends[1])))
        if self.flat[0] > self.sharp[0] or self.flat[1] > self.sharp[1]:
            raise ValueError(f"flat is {self.flat}; it must not lie above sharp, {self.sharp}, at either end")

    @property
    def reach(self) -> float:
        """Largest gain that still lowers the condition number by itself, ``min(m_s/m_f, L_s/L_f)``."""
        return min(self.sharp[0] / self.flat[0], self.sharp[1] / self.flat[1])

    @property
    def best_gain(self) -> float:
        """``L_s/L_f``, with which the faster of the two blocks never waits for the stability of the other."""
        return self.sharp[1] / self.flat[1]


@dataclass(frozen=True)
class HeavyBall:
    """Heavy ball tuned to an interval.

    Attributes
    ----------
    rate, momentum : float
        Learning rate ``eta`` of Algorithm 1 and ``theta``.
    radius : float
        The worst spectral radius over the interval.
    """

    rate: float
    momentum: float
    radius: float

    @property
    def iterations(self) -> float:
        """Iterations per factor e, ``-1/log(radius)``; 0 if the radius is."""
        return -1.0 / math.log(self.radius) if self.radius > 0 else 0.0


def heavy_ball(smallest, largest):
    """Polyak's tuning for curvatures in ``[smallest, largest]``.

    Parameters
    ----------
    smallest, largest : float
        ``0 < m <= L``.

    Returns
    -------
    HeavyBall
    """
    m, L = number(smallest, "smallest"), number(largest, "largest")
    if not 0 < m <= L < math.inf:
        raise ValueError(f"smallest and largest are {m:g} and {L:g}; they must be 0 < m <= L, finite")
    radius = (math.sqrt(L) - math.sqrt(m)) / (math.sqrt(L) + math.sqrt(m))
    return HeavyBall((1.0 + radius) ** 2 / L, radius * radius, radius)


def retuned(blocks, gain=1.0):
    """The best heavy ball at a given gain ``chi`` >= 1 on the flat block (1: without LITE).

    Returns
    -------
    HeavyBall
    """
    chi = number(gain, "gain")
    require(1 <= chi < math.inf, chi, "chi", "it must be finite and >= 1")
    return heavy_ball(min(blocks.sharp[0], chi * blocks.flat[0]), max(blocks.sharp[1], chi * blocks.flat[1]))


def retuned_gain(blocks, gain):
    """Factor in iterations that the gain ``chi`` saves when learning rate and momentum are re-tuned; see the module.

    Infinite where the gain leaves one curvature only, which heavy ball takes in one step; 1 where there was one before.
    """
    before, after = retuned(blocks).iterations, retuned(blocks, gain).iterations
    if after == 0:
        return math.inf if before else 1.0
    return before / after


def block_optimum(blocks):
    """The best over learning rate, momentum, gain and dampings: the slower block's own optimum.

    Returns
    -------
    best : HeavyBall
        Its learning rate is that of the sharp block.
    gain : float
        ``chi = L_s/L_f``.
    """
    slower = max((heavy_ball(*blocks.sharp), heavy_ball(*blocks.flat)), key=lambda each: each.radius)
    return HeavyBall((1.0 + slower.radius) ** 2 / blocks.sharp[1], slower.momentum, slower.radius), blocks.best_gain


def flat_gain(momentum, gain=1.0, flat_damping=0.0, sharp_damping=0.0):
    """Factor on the rate of a flat mode at frozen learning rate, ``chi (1 + alpha beta_2)/(1 + alpha beta_1)``.

    Parameters
    ----------
    momentum : array_like
        ``theta`` in [0, 1).
    gain : array_like
        ``chi`` >= 1.
    flat_damping, sharp_damping : array_like
        ``beta_2`` and ``beta_1``, each above ``-1/alpha``.
    """
    theta, chi = numbers(momentum, "momenta"), numbers(gain, "gains")
    require((theta >= 0) & (theta < 1), theta, "momentum", "it must be in [0, 1)")
    require(chi >= 1, chi, "chi", "it must be >= 1")
    flat = 1.0 + (1.0 - theta) * numbers(flat_damping, "dampings")
    sharp = 1.0 + (1.0 - theta) * numbers(sharp_damping, "dampings")
    require(flat > 0, flat_damping, "flat damping", "it must be > -1/alpha")
    require(sharp > 0, sharp_damping, "sharp damping", "it must be > -1/alpha")
    return (chi * flat / sharp)[()]


def flat_correction(momentum, damping=0.0):
    """Coefficient of s in the bracket of a flat mode's rate, ``1/alpha^2 - 1/(2 alpha) + beta/2``."""
    alpha = 1.0 - numbers(momentum, "momenta")
    require((alpha > 0) & (alpha <= 1), 1.0 - alpha, "momentum", "it must be in [0, 1)")
    return (1.0 / alpha**2 - 0.5 / alpha + 0.5 * numbers(damping, "dampings"))[()]


def exact_gain(step, momentum, gain=1.0, flat_damping=0.0, sharp_damping=0.0):
    """The same factor at a finite step s, from the roots.

    Parameters
    ----------
    step : array_like
        s of the mode before the gain, positive.
    momentum, gain, flat_damping, sharp_damping : array_like
        As for :func:`flat_gain`; ``chi s`` must be stable.

    Raises
    ------
    ValueError
        For an unstable step, with the bound.
    """
    s = modes.mode_step(step, 1.0, gain=gain)
    modes.require_stable(step, momentum, sharp_damping)
    modes.require_stable(s, momentum, flat_damping)
    return modes.decay_rate(s, momentum, flat_damping) / modes.decay_rate(step, momentum, sharp_damping)


def saturation(momentum):
    """Step ``(1 - sqrt theta)^2`` beyond which, without damping, a larger gain adds nothing; see :mod:`.modes`."""
    return modes.oscillation_window(momentum)[0]


def metric_condition(condition, power=0.5):
    """Condition number of ``F^{-1} H`` for ``F = H^p``.

    Parameters
    ----------
    condition : array_like
        ``kappa(H)`` >= 1.
    power : float
        p in [0, 1].
    """
    kappa, p = numbers(condition, "conditions"), number(power, "power")
    require(kappa >= 1, kappa, "condition", "it must be >= 1")
    require(0 <= p <= 1, p, "power", "it must be in [0, 1]")
    return np.power(kappa, 1.0 - p)
