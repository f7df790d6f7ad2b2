r"""Learning rates of a fixed shape, and what each shape can and cannot reach.

A shape is a function ``phi`` on the unit interval; a run of N steps uses ``eta(z) = eta_p phi(z/N)`` and only the peak
``eta_p`` is tuned.  Let ``y = 1 - z/N`` be the fraction of the steps that remain, ``f(y) = phi(1 - y)`` and
``F(y) = int_0^y f``.  The intrinsic time that remains is ``u = eta_p N F(y)``, all of it ``T = eta_p N F(1)``.  The
functional law in normal form (Li et al., arXiv 2509.19189, Thm 4.2 with infinite width, constants one and noise of
constant size) then reads

    E = (1 + T)^{-s} + sigma^2 n,     n = int K(u) eta du = eta_p^2 N int_0^1 K(eta_p N F(y)) f(y)^2 dy,
    K(u) = (1 + u)^{-(2 - 1/beta)}    (regular)    or    u^{-(2 - 1/beta)}    (singular).

*Tail.*  If ``f ~ kappa y^gamma`` as ``y -> 0``, the noise sees of the shape (derived)

    gamma + 1 < beta:   n ~ (eta_p N)^{1/(gamma + 1)}/N  kappa^{1/(gamma + 1)} (gamma + 1)^{gamma/(gamma + 1)}
                            B(1 + gamma/(gamma + 1), 1/(gamma + 1) - 1/beta)            only its tail;
    gamma + 1 = beta:   n ~ (eta_p N)^{1/beta}/N  beta (kappa/beta)^{1/beta} log(eta_p N);
    gamma + 1 > beta:   n ~ (eta_p N)^{1/beta}/N  int_0^1 F^{-(2 - 1/beta)} f^2 dy        all of it.

So a tail has a capacity of its own, ``alpha = min{beta, gamma + 1}`` ("capacity saturation", Li et al., arXiv
2602.06797, whose text was not at hand), and with the best peak, without logarithms,

    s >= 1 - 1/alpha:   E ~ N^{-s alpha/(1 + s alpha)},    eta_p ~ N^{-(1 + s alpha - alpha)/(1 + s alpha)};
    s <  1 - 1/alpha:   E ~ N^{-s},                        eta_p at its cap.

*Price.*  Where the whole shape counts, ``n = C T^{1/beta}/N`` with ``C >= 4 beta^2`` (Cauchy-Schwarz, since
``int F^{-p/2} f = 2 beta F(1)^{1/(2 beta)}``, ``p = 2 - 1/beta``), with equality for ``f = y^{2 beta - 1}`` alone.
Pure powers have

    C(gamma) = beta (gamma + 1)^2/(gamma + 1 - beta),

the same for gamma and gamma' whenever ``1/(gamma + 1) + 1/(gamma' + 1) = 1/beta``.  With the best peak the loss
is ``(C/4 beta^2)^{s beta/(1 + s beta)}`` times that of the best schedule.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.optimize import minimize_scalar

from .. import learning_rates
from ..arguments import number, numbers, shown
from .exponents import regime, shape_powers

GAUSS = np.polynomial.legendre.leggauss(12)
DECADES = 50.0
"""How far below its largest value the quadrature follows the remaining intrinsic time, in powers of ten."""
KERNELS = ("regular", "singular")
MOST = 1e40
"""Largest product of peak and steps."""


@dataclass(frozen=True, eq=False)
class Shape:
    """The shape of a learning-rate schedule, as a function of the fraction y of the steps that remain.

    Attributes
    ----------
    name : str
    rate, area : callable
        ``f(y)`` in [0, 1] and ``F(y) = int_0^y f`` for arrays of y in [0, 1], both to rounding even where y is tiny.
    tail_exponent, tail_coefficient : float
        ``gamma`` >= 0 and ``kappa`` > 0 of ``f ~ kappa y^gamma``.
    kinks : tuple of float
        Where in (0, 1] f is not smooth; at most one place.
    """

    name: str
    rate: Callable
    area: Callable
    tail_exponent: float
    tail_coefficient: float
    kinks: tuple = ()

    @property
    def total(self) -> float:
        """``F(1)``, the average of the shape."""
        return float(self.area(np.ones(1))[0])

    def schedule(self, steps, peak):
        """Return the rates ``peak f(1 - k/K)`` of K steps as a learning-rate schedule.

        Raises
        ------
        ValueError
            For a number of steps or a peak out of range.
        """
        steps = learning_rates.constant(steps, 1.0).steps
        return learning_rates.Schedule(_positive(peak, "peak") * self.rate(1.0 - np.arange(steps) / steps), self.name)


def constant():
    """``f = 1``; tail exponent 0."""
    return Shape("constant", np.ones_like, lambda y: 1.0 * y, 0.0, 1.0)


def linear():
    """``f = y``; tail exponent 1."""
    return Shape("linear", lambda y: 1.0 * y, lambda y: 0.5 * y**2, 1.0, 1.0)


def cosine():
    """Half a cosine to zero, ``f = sin^2(pi y/2)``; tail exponent 2, coefficient ``pi^2/4``."""
    return Shape("cosine", lambda y: np.sin(0.5 * np.pi * y)**2, _cosine_area, 2.0, 0.25 * np.pi**2)


def power(exponent):
    """``f = y^gamma``, gamma >= 0; tail exponent gamma."""
    gamma = number(exponent, "exponent")
    if not 0 <= gamma < math.inf:
        raise ValueError(f"exponent is {gamma}; it must be finite and >= 0")
    return Shape(f"power {gamma:g}", lambda y: y**gamma, lambda y: y**(gamma + 1.0) / (gamma + 1.0), gamma, 1.0)


def wsd(cooldown=0.2, shape="linear", final=0.1):
    """Constant, then a decay over the last `cooldown` of the steps (a warm-up plays no part here).

    Parameters
    ----------
    cooldown : float
        c in (0, 1].
    shape : {"linear", "1-sqrt", "exponential"}
        Decay ``w``, ``1 - sqrt(1 - w)`` or ``final^(1 - w)`` with ``w = y/c``.  The first two have tail exponent 1; the
        third ends at a fixed fraction of the peak and has tail exponent 0.
    final : float
        That fraction, in (0, 1); for the exponential decay only.
    """
    c, end = number(cooldown, "cooldown"), number(final, "final")
    if not 0 < c <= 1:
        raise ValueError(f"cooldown is {c}; it must be in (0, 1]")
    if not isinstance(shape, str) or shape not in learning_rates.COOLDOWNS:
        raise ValueError(f"shape is {shown(shape)}; it must be one of {', '.join(learning_rates.COOLDOWNS)}")
    if not 0 < end < 1:
        raise ValueError(f"final is {end}; it must be in (0, 1)")
    kinks = (c,) if c < 1 else ()
    if shape == "linear":
        return Shape("WSD linear", lambda y: np.minimum(y / c, 1.0),
                     lambda y: np.where(y < c, 0.5 * y**2 / c, y - 0.5 * c), 1.0, 1.0 / c, kinks)
    if shape == "1-sqrt":
        def root(y):
            return np.sqrt(np.maximum(1.0 - y / c, 0.0))

        def rate(y):
            return np.minimum(y / c, 1.0) / (1.0 + root(y))

        return Shape("WSD 1-sqrt", rate, lambda y: c / 3 * rate(y)**2 * (1.0 + 2.0 * root(y)) + np.maximum(y - c, 0.0),
                     1.0, 0.5 / c, (c,))
    steep = -math.log(end)
    return Shape("WSD exponential", lambda y: np.exp(-steep * np.maximum(1.0 - y / c, 0.0)),
                 lambda y: c * end * np.expm1(steep * np.minimum(y / c, 1.0)) / steep + np.maximum(y - c, 0.0),
                 0.0, end, kinks)


def noise(shape, capacity, steps, peak, kernel="regular"):
    """``n = int K eta du``, the label noise remembered at the end per ``sigma^2``, by quadrature in ``log y``.

    Parameters
    ----------
    shape : Shape
    capacity : float
        beta > 1.
    steps : float
        N > 0, not necessarily whole.
    peak : float or array_like
        ``eta_p`` > 0, with ``eta_p N`` at most 1e40.
    kernel : {"regular", "singular"}
        The singular one needs ``gamma + 1 > beta``; the integral diverges otherwise.

    Returns
    -------
    float or ndarray, shape of `peak`
        Relative error below 1e-9.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    beta, steps, peaks = _capacity(capacity), _positive(steps, "steps"), numbers(peak, "peaks")
    _checked(shape)
    if not np.all((peaks > 0) & (peaks * steps <= MOST)):
        worst = peaks[~((peaks > 0) & (peaks * steps <= MOST))].flat[0]
        raise ValueError(f"peak is {worst}; it must be > 0 and peak x steps at most {MOST:g}")
    if not isinstance(kernel, str) or kernel not in KERNELS:
        raise ValueError(f"kernel is {shown(kernel)}; it must be one of {', '.join(KERNELS)}")
    gamma, memory = shape.tail_exponent, 2.0 - 1.0 / beta
    if kernel == "singular":
        return _scalar(peaks, (peaks * steps) ** (1.0 / beta) / steps * _whole_shape(shape, beta))
    first, area, weight = _mesh(shape)
    time = peaks[..., None] * steps * area
    inner = np.sum(weight * np.exp(-memory * np.log1p(time)), axis=-1)
    head = shape.tail_coefficient**2 * first**(2.0 * gamma + 1.0) / (2.0 * gamma + 1.0)
    return _scalar(peaks, peaks**2 * steps * (inner + head))


def effective_capacity(capacity, tail_exponent):
    """``alpha = min{beta, gamma + 1}``."""
    return min(_capacity(capacity), 1.0 + _tail(tail_exponent))


def noise_coefficient(shape, capacity):
    """Limit of ``n N/(eta_p N)^{1/alpha}`` as ``eta_p N`` grows; at ``gamma + 1 = beta`` of its derivative by the log.

    Returns
    -------
    float
        See the module; the three cases do not join continuously, each diverges towards the middle one.
    """
    beta, own = _capacity(capacity), _checked(shape).tail_exponent + 1.0
    kappa = shape.tail_coefficient
    if _saturates(own, beta):
        return beta * (kappa / beta)**(1.0 / beta)
    if own < beta:
        share = shape.tail_exponent / own
        return kappa**(1.0 / own) * own**share * float(special.beta(1.0 + share, 1.0 / own - 1.0 / beta))
    return _whole_shape(shape, beta)


def price(shape, capacity):
    """``C/(4 beta^2)`` of ``n = C T^{1/beta}/N`` (singular kernel): 1 for ``y^{2 beta - 1}``, more for any other.

    Returns
    -------
    float
        ``inf`` for ``gamma + 1 <= beta``.
    """
    beta = _capacity(capacity)
    own = _checked(shape).tail_exponent + 1.0
    if own < beta or _saturates(own, beta):
        return math.inf
    return _whole_shape(shape, beta) * shape.total ** (-1.0 / beta) / (4.0 * beta**2)


def power_price(tail_exponent, capacity):
    """``C(gamma)/(4 beta^2) = (gamma + 1)^2/(4 beta (gamma + 1 - beta))``; inf for ``gamma + 1 <= beta``."""
    own, beta = 1.0 + _tail(tail_exponent), _capacity(capacity)
    return own**2 / (4.0 * beta * (own - beta)) if own > beta and not _saturates(own, beta) else math.inf


def twin(tail_exponent, capacity):
    """The other exponent of equal price, ``gamma' = 1/(1/beta - 1/(gamma + 1)) - 1``, for ``gamma + 1 > beta``."""
    own, beta = 1.0 + _tail(tail_exponent), _capacity(capacity)
    if own < beta or _saturates(own, beta):
        raise ValueError(f"tail exponent is {own - 1.0}; it must be above capacity - 1 = {beta - 1.0:g}")
    return own * beta / (own - beta) - 1.0


def exponents(source, capacity, tail_exponent):
    """Powers of N that the tuned loss and its peak follow.

    Returns
    -------
    dict
        ``risk``, ``peak``, ``regime`` ("easy", "boundary" or "hard", with alpha in place of beta) and ``logarithm``:
        the power of ``log N`` in the risk, nonzero only for ``gamma + 1 = beta`` where the task is not hard.  Equal
        means equal to 1e-12.
    """
    alpha, s = effective_capacity(capacity, tail_exponent), _positive(source, "source")
    risk, peak = shape_powers(s, capacity, tail_exponent)
    kind = regime(s, alpha) if alpha > 1 else "easy"
    return {"risk": risk, "peak": peak, "regime": kind,
            "logarithm": -risk if kind != "hard" and _saturates(1.0 + tail_exponent, capacity) else 0.0}


@dataclass(frozen=True)
class Tuned:
    """A shape with its best peak.

    Attributes
    ----------
    peak, horizon : float
        ``eta_p`` and ``T``.
    risk, signal, noise : float
        ``E``, ``(1 + T)^{-s}`` and ``sigma^2 n``.
    capped : bool
        Whether the cap binds.
    """

    peak: float
    horizon: float
    risk: float
    signal: float
    noise: float
    capped: bool


def tuned(shape, source, capacity, steps, sigma=1.0, cap=1.0):
    """Minimise the law over the peak, ``0 < eta_p <= cap``.

    Parameters
    ----------
    shape : Shape
    source, capacity : float
        s > 0, beta > 1.
    steps : float
        N > 0.
    sigma : float
        Label noise > 0.
    cap : float
        Largest peak > 0, with ``cap N`` at most 1e40; stability bounds it in practice.

    Returns
    -------
    Tuned
        The peak to about 1e-8 of itself, the risk to rounding.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    s, beta, sigma = _positive(source, "source"), _capacity(capacity), _positive(sigma, "sigma")
    steps, cap = _positive(steps, "steps"), _positive(cap, "cap")
    if not steps * cap <= MOST:
        raise ValueError(f"cap is {cap:g}; cap x steps must be at most {MOST:g}, so at most {MOST / steps:g} here")
    total = _checked(shape).total

    def parts(peaks):
        return (1.0 + peaks * steps * total) ** -s, sigma**2 * noise(shape, beta, steps, peaks)

    lowest = min(1e-3 * cap, 1e-3 / (steps * total))
    grid = np.geomspace(lowest, cap, 5 + int(4 * math.log10(cap / lowest)))
    best = int(np.argmin(sum(parts(grid))))
    bracket = np.log(grid[[max(best - 1, 0), min(best + 1, grid.size - 1)]])
    found = minimize_scalar(lambda x: float(sum(parts(math.exp(x)))), bounds=bracket, method="bounded",
                            options={"xatol": 1e-8})
    peak = min(math.exp(found.x), cap)
    if best == grid.size - 1 and float(sum(parts(cap))) <= found.fun:
        peak = cap
    signal, remembered = (float(part) for part in parts(peak))
    return Tuned(peak, peak * steps * total, signal + remembered, signal, remembered, peak == cap)


def asymptotic_risk(shape, source, capacity, steps, sigma=1.0):
    """Leading term of the tuned loss of an easy task without a cap, ``(1 + s alpha) T^{-s}``.

    ``T = (s alpha N/(sigma^2 C))^{alpha/(1 + s alpha)}`` minimises ``T^{-s} + sigma^2 C T^{1/alpha}/N``.

    Parameters
    ----------
    steps : float or array_like

    Raises
    ------
    ValueError
        For arguments out of range, and at ``gamma + 1 = beta`` where the constant carries a logarithm.
    """
    if _saturates(_checked(shape).tail_exponent + 1.0, _capacity(capacity)):
        raise ValueError(f"capacity is {capacity}; at tail exponent + 1 the noise carries a logarithm and no constant")
    alpha, s = effective_capacity(capacity, shape.tail_exponent), _positive(source, "source")
    scale = _positive(sigma, "sigma")**2 * noise_coefficient(shape, capacity) * shape.total ** (-1.0 / alpha)
    horizon = (s * alpha * numbers(steps, "steps") / scale) ** (alpha / (1.0 + s * alpha))
    return (1.0 + s * alpha) * horizon**-s


def log_gauss(low, high, width):
    """Nodes and weights on [low, high], 0 < low < high: 12-point Gauss rules in the logarithm, panels of one width."""
    span = math.log(high / low)
    edges = np.linspace(0.0, span, 2 + int(span / width))
    half = 0.5 * np.diff(edges)[:, None]
    logarithm = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * GAUSS[0]
    nodes = low * np.exp(logarithm)
    return nodes.ravel(), (half * GAUSS[1] * nodes).ravel()


def _whole_shape(shape, beta):
    """``int_0^1 F^{-(2 - 1/beta)} f^2 dy``; the head, where only the tail counts, in closed form."""
    own, kappa = shape.tail_exponent + 1.0, shape.tail_coefficient
    if own < beta or _saturates(own, beta):
        raise ValueError(f"tail exponent is {own - 1.0:g}; the singular kernel needs it above capacity - 1 = "
                         f"{beta - 1.0:g}, the noise is infinite otherwise")
    first, area, weight = _mesh(shape)
    rest = own / beta - 1.0
    head = kappa**(1.0 / beta) * own**(2.0 - 1.0 / beta) * first**rest / rest
    return float(np.sum(weight * area ** -(2.0 - 1.0 / beta)) + head)


@lru_cache(64)
def _mesh(shape):
    """Smallest y, ``F`` at the nodes, and weights times ``f^2``; panels shrink towards 0 and, from below, to a kink."""
    own = shape.tail_exponent + 1.0
    first, width = 10.0 ** (-DECADES / own), min(1.0, 2.0 / own)
    pieces = []
    if shape.kinks:
        (kink,) = shape.kinks
        pieces.append(log_gauss(first, 0.5 * kink, width))
        below, weight = log_gauss(1e-12 * kink, 0.5 * kink, width)   # in kink - y, where a root may sit
        pieces.append((kink - below, weight))
        if kink < 1:
            pieces.append(log_gauss(kink, 1.0, 0.25))
    else:
        pieces.append(log_gauss(first, 1.0, width))
    y, weight = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return first, shape.area(y), weight * shape.rate(y)**2


def _cosine_area(y):
    """``(x - sin x)/(2 pi)`` with ``x = pi y``, by its series where the difference cancels."""
    x = np.pi * np.asarray(y, dtype=np.float64)
    square, small = np.minimum(x, 1.0)**2, 1.0
    for k in range(8, 0, -1):
        small = 1.0 - square * small / ((2 * k + 2) * (2 * k + 3))
    return np.where(x < 1.0, x**3 / 6.0 * small, x - np.sin(x)) / (2.0 * np.pi)


def _scalar(like, values):
    return float(values) if like.ndim == 0 else values


def _saturates(own, beta):
    """Whether ``gamma + 1 = beta``, to 1e-12 as the boundary of :func:`.exponents.regime`."""
    return math.isclose(own, beta, rel_tol=1e-12)


def _checked(shape):
    if not isinstance(shape, Shape):
        raise ValueError(f"shape is {shown(shape)}; it must be a Shape, such as shapes.linear()")
    return shape


def _capacity(value):
    value = number(value, "capacity")
    if not 1 < value < math.inf:
        raise ValueError(f"capacity is {value}; it must be finite and > 1")
    return value


def _tail(value):
    value = number(value, "tail exponent")
    if not 0 <= value < math.inf:
        raise ValueError(f"tail exponent is {value}; it must be finite and >= 0")
    return value


def _positive(value, label):
    value = number(value, label)
    if not 0 < value < math.inf:
        raise ValueError(f"{label} is {value}; it must be finite and > 0")
    return value
