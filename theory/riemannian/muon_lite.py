r"""Muon-LITE as it is published, and its branch for vectors: Adam with a gain on flat coordinates.

The authors' code (``muonlite.py`` of arXiv 2602.22681) in formulas.  For a matrix W (m x n) with gradient G, momentum
theta, at learning rate eta_t, gain ``chi_t`` and damping ``beta_2,t`` (:mod:`.lite_schedules`):

    A <- theta A + (1 - theta) G,      M = A + ((1 - theta)/theta) G,      U = msign(M),    D = msign(G)
    P, Q by the threshold r |M|_F, whose controller then moves r                      (:mod:`.threshold_projector`)
    V = U + beta_1 D + (beta_2,t - beta_1) D Q,      V <- V + (chi_t - 1) V Q
    W <- W - eta_t decay (W + (chi_t - 1) W Q) - 0.2 sqrt(max(m, n)) eta_t V

so M is Nesterov's, the damping takes the polar factor of the *raw* gradient, where Algorithm 1 would divide it by the
metric of M, and a flat direction has its learning rate and its weight decay times chi.  The threshold moves at every
step, in a warm-up with chi = 1, too, so that it has settled when the gain begins.  chi = 1, beta_1 = beta_2 = 0 is
Muon, and so is a share of at most 10^-6, whatever chi and beta: there the published code takes plain Muon.  With
finitely many stages Q is no projector, and the flat part of the damping passes through it twice.

For embeddings and norms, with Adam's moments a, v, there is no damping, and flat is where v is small against its mean
over all entries of the parameter (an embedding matrix is one parameter: flatten it):

    mask = 1 where v >= upper mean(v), 0 where v < lower mean(v), linear in v between,
    upper <- upper (1.05 if the share of v >= upper mean(v) exceeds share, else 0.95)
    lower <- min(lower (1.05 if that of v >= lower mean(v) exceeds share + 0.1, else 0.95), 0.95 upper)
    w <- w - eta decay (w + (chi - 1)(1 - mask) w) - eta (1 + (chi - 1)(1 - mask)) a^/(sqrt(v) + epsilon)

where a^ carries the bias correction ``sqrt(1 - b2^t)/(1 - b1^t)`` of both moments; the mask is taken with the bounds as
they were before the step.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arguments import number, numbers, shown
from . import threshold_projector as threshold
from .polar_express import COEFFICIENTS, STAGES

MARGIN = 0.1
"""Share of coordinates between the bounds of the mask."""
SCALE = 0.2
"""Of the step, in units of ``sqrt(max(m, n))``: the root mean square entry of an Adam step."""

NO_SHARE = 1e-6
"""A share up to which the published code is plain Muon."""
IDEMPOTENT = 1e-6
"""How far a given projector may be from its transpose and its square."""


class MuonLiteState(NamedTuple):
    """Weights and buffer (..., m, n), threshold ratio r (...), and what the last step took for P, (..., m, n)."""

    weights: np.ndarray
    buffer: np.ndarray
    ratio: np.ndarray
    sharp: np.ndarray


@dataclass(frozen=True, eq=False)
class MuonLite:
    """Muon-LITE on matrices, batched over leading axes.

    Parameters
    ----------
    momentum : float
        theta in (0, 1).
    gain : float
        chi >= 1, where :meth:`step` is not told another.
    sharp_damping, flat_damping : float
        beta_1 and beta_2 in units of ``msign(G)``; negative values are allowed, as in the published runs.
    share : float
        r_s in [0, 1]: the share of directions that count as sharp; up to 10^-6 it is plain Muon, without gain and
        damping, unless a rank or a projector is given.
    rank : int, optional
        k >= 1 in place of the one that the share gives.
    decay : float
        Weight decay >= 0.
    stages : int or None
        Of the polar factors, 1..8; None takes them by SVD.
    projector : array_like, shape (n, n), optional
        Q, given in place of the one from the threshold: symmetric and its own square, to 1e-6.
    scale : float, optional
        Of the step; default ``0.2 sqrt(max(m, n))``.

    Raises
    ------
    ValueError
        For anything else.
    """

    momentum: float = 0.95
    gain: float = 1.0
    sharp_damping: float = 0.0
    flat_damping: float = 0.0
    share: float = 0.1
    rank: int | None = None
    decay: float = 0.0
    stages: int | None = STAGES
    projector: np.ndarray | None = None
    scale: float | None = None

    def __post_init__(self):
        _within(self.momentum, "momentum", lambda x: 0 < x < 1, "in (0, 1)")
        _within(self.gain, "gain", lambda x: 1 <= x < np.inf, "finite and >= 1")
        _within(self.decay, "decay", lambda x: 0 <= x < np.inf, "finite and >= 0")
        _within(self.share, "share", lambda x: 0 <= x <= 1, "in [0, 1]")
        for name in ("sharp_damping", "flat_damping"):
            _within(getattr(self, name), name, np.isfinite, "finite")
        if self.scale is not None:
            _within(self.scale, "scale", lambda x: 0 < x < np.inf, "finite and > 0")
        for name, top in (("rank", 2**31), ("stages", len(COEFFICIENTS))):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)
                                      or not 1 <= value <= top):
                raise ValueError(f"{name} is {shown(value)}; it must be an integer in 1..{top}, or None")
        if self.projector is not None:
            object.__setattr__(self, "projector", _projector(self.projector))

    @property
    def plain(self) -> bool:
        """Whether it is Muon without LITE."""
        return self.projector is None and self.rank is None and self.share <= NO_SHARE

    def start(self, weights) -> MuonLiteState:
        """The state before the first step, from weights (..., m, n).

        Raises
        ------
        ValueError
            For weights that are no such matrices, or do not fit the projector or the rank.
        """
        weights = _finite(weights, "weights")
        if weights.ndim < 2 or min(weights.shape[-2:]) < 2:
            raise ValueError(f"weights have shape {weights.shape}; the last two axes must be at least 2 long")
        m, n = weights.shape[-2:]
        if self.projector is not None and self.projector.shape != (n, n):
            raise ValueError(f"projector has shape {self.projector.shape}; it must be ({n}, {n})")
        if self.rank is not None and self.rank >= min(m, n):
            raise ValueError(f"rank is {self.rank}; of matrices ({m}, {n}) it must be below {min(m, n)}")
        zeros = np.zeros_like(weights)
        return MuonLiteState(weights, zeros, np.full(weights.shape[:-2], threshold.first_ratio(m, n)), zeros)

    def numerator(self, buffer, gradient):
        """``M = A + ((1 - theta)/theta) G`` of the new buffer A."""
        return buffer + gradient * ((1.0 - self.momentum) / self.momentum)

    def step(self, state, gradient, rate, gain=None, damping=None) -> MuonLiteState:
        """The state after a step.

        Parameters
        ----------
        state : MuonLiteState
        gradient : array_like, shape (..., m, n)
        rate : array_like, shape (...)
            eta_t >= 0.
        gain, damping : array_like, shape (...), optional
            ``chi_t >= 1`` and ``beta_2,t``; default those of the optimizer.

        Raises
        ------
        ValueError
            For numbers out of these ranges, and a gradient that is not finite or of another shape than the weights.
        """
        gradient = _like(gradient, state.weights)
        rate = _columns(rate, "rate", 0.0)
        gain = _columns(self.gain if gain is None else gain, "gain", 1.0)
        flat = _columns(self.flat_damping if damping is None else damping, "damping", -np.inf)
        buffer = self.momentum * state.buffer + (1.0 - self.momentum) * gradient
        numerator = self.numerator(buffer, gradient)
        update, ratio, sharp, q = threshold.polar(numerator, self.stages), state.ratio, state.sharp, self.projector
        decayed = self.decay * state.weights
        if not self.plain:
            if q is None:
                q, ratio, sharp = self._flat(numerator, update, ratio)
            if self.sharp_damping != 0.0 or np.any(flat != 0.0):
                raw = threshold.polar(gradient, self.stages)
                update = update + self.sharp_damping * raw
                if np.any(flat != self.sharp_damping):
                    update = update + (flat - self.sharp_damping) * (raw @ q)
            if np.any(gain != 1.0):
                update = update + (gain - 1.0) * (update @ q)
                decayed = decayed + (gain - 1.0) * (decayed @ q)
        scale = SCALE * np.sqrt(max(gradient.shape[-2:])) if self.scale is None else self.scale
        return MuonLiteState(state.weights - rate * decayed - (scale * rate) * update, buffer, ratio, sharp)

    def _flat(self, numerator, sign, ratio):
        """Q by the threshold, the next ratio, and P."""
        m, n = numerator.shape[-2:]
        norm = np.sqrt(np.sum(numerator**2, axis=(-2, -1)))
        sharp = threshold.sharp_part(numerator, norm * ratio + threshold.OFFSET, self.stages, sign)
        rank = threshold.target_rank(m, n, self.share) if self.rank is None else self.rank
        return threshold.flat_projector(sharp), threshold.controlled(ratio, sharp, rank), sharp


class AdamGainState(NamedTuple):
    """Weights and moments (..., d), bounds of the mask (...), and how many steps were taken."""

    weights: np.ndarray
    first: np.ndarray
    second: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    steps: int


@dataclass(frozen=True)
class AdamGain:
    """Adam with decoupled decay and a gain on coordinates of small second moment, batched over leading axes.

    The last axis holds all d entries of one parameter, over which v is averaged and shares are counted, as in the
    published code; a matrix has to be flattened, or each of its rows would get bounds of its own.

    Parameters
    ----------
    first, second : float
        Momentum factors in [0, 1).
    gain : float
        chi >= 1, where :meth:`step` is not told another.
    share : float
        r_s in [0, 1]; below 10^-5 every coordinate is flat, above 1 - 10^-5 none.
    decay, epsilon : float
        >= 0 and > 0.

    Raises
    ------
    ValueError
        For anything else.
    """

    first: float = 0.9
    second: float = 0.95
    gain: float = 1.0
    share: float = 0.1
    decay: float = 0.0
    epsilon: float = 1e-8

    def __post_init__(self):
        for name in ("first", "second"):
            _within(getattr(self, name), name, lambda x: 0 <= x < 1, "in [0, 1)")
        _within(self.gain, "gain", lambda x: 1 <= x < np.inf, "finite and >= 1")
        _within(self.share, "share", lambda x: 0 <= x <= 1, "in [0, 1]")
        _within(self.decay, "decay", lambda x: 0 <= x < np.inf, "finite and >= 0")
        _within(self.epsilon, "epsilon", lambda x: 0 < x < np.inf, "finite and > 0")

    def start(self, weights) -> AdamGainState:
        """The state before the first step, from weights (..., d), finite."""
        weights = _finite(weights, "weights")
        if weights.ndim < 1 or weights.shape[-1] < 1:
            raise ValueError(f"weights have shape {weights.shape}; they must be vectors of at least one entry")
        zeros, ones = np.zeros_like(weights), np.ones(weights.shape[:-1])
        return AdamGainState(weights, zeros, zeros, ones, 0.5 * ones, 0)

    def mask(self, second, upper, lower):
        """1 where a coordinate is sharp, 0 where it is flat, shape (..., d)."""
        if not 1e-5 <= self.share <= 1.0 - 1e-5:
            return np.full_like(second, round(self.share))
        mean = np.mean(second, axis=-1, keepdims=True)
        low, high = lower[..., None] * mean, upper[..., None] * mean
        return np.where(second >= high, 1.0, np.clip((second - low) / (high - low + 1e-12), 0.0, 1.0))

    def bounds(self, second, upper, lower):
        """The bounds of the next step."""
        mean = np.mean(second, axis=-1, keepdims=True)
        above, over = (np.mean(second >= each[..., None] * mean, axis=-1) for each in (upper, lower))
        margin = min(1.0 - self.share, MARGIN)
        lower = lower * np.where(over > self.share + margin, threshold.RAISED, threshold.LOWERED)
        upper = upper * np.where(above > self.share, threshold.RAISED, threshold.LOWERED)
        return upper, np.minimum(lower, 0.95 * upper)

    def step(self, state, gradient, rate, gain=None) -> AdamGainState:
        """The state after a step; ``gradient`` (..., d), ``rate`` >= 0 and ``gain`` >= 1 numbers or (...)."""
        gradient, rate = _like(gradient, state.weights), _columns(rate, "rate", 0.0)[..., 0]
        gain, steps = _columns(self.gain if gain is None else gain, "gain", 1.0)[..., 0], state.steps + 1
        first = self.first * state.first + (1.0 - self.first) * gradient
        second = self.second * state.second + (1.0 - self.second) * gradient**2
        raised = 1.0 + (gain - 1.0) * (1.0 - self.mask(second, state.upper, state.lower))
        correction = np.sqrt(1.0 - self.second**steps) / (1.0 - self.first**steps)
        move = correction * first / (np.sqrt(second) + self.epsilon) + self.decay * state.weights
        return AdamGainState(state.weights - rate * raised * move, first, second,
                             *self.bounds(second, state.upper, state.lower), steps)


def _columns(values, name, least):
    """Finite numbers (...) >= least, as they broadcast to matrices (..., m, n)."""
    values = np.asarray(values, float)
    if not (np.isfinite(values).all() and (values >= least).all()):
        bound = "" if least == -np.inf else f" and >= {least:g}"
        raise ValueError(f"{name} is {shown(values.tolist())}; it must be finite{bound}")
    return values[..., None, None]


def _finite(values, name):
    values = numbers(values, name)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} are {shown(values.tolist())}; they must be finite")
    return values


def _like(gradient, weights):
    """A finite gradient of the shape of the weights."""
    gradient = np.asarray(gradient, float)
    if gradient.shape != weights.shape or not np.isfinite(gradient).all():
        raise ValueError(f"gradient has shape {gradient.shape}; it must be finite and have that of the weights, "
                         f"{weights.shape}")
    return gradient


def _projector(values):
    q = numbers(values, "entries of the projector")
    if q.ndim != 2 or q.shape[0] != q.shape[1] or not np.isfinite(q).all():
        raise ValueError(f"projector has shape {q.shape}; it must be a finite square matrix")
    error = max(float(np.abs(q - q.T).max()), float(np.abs(q @ q - q).max()))
    if not error <= IDEMPOTENT:
        raise ValueError(f"projector deviates from its transpose or its square by {error:.3g}; it must be at most "
                         f"{IDEMPOTENT:g}")
    return q


def _within(value, name, allowed, text):
    if not allowed(number(value, name)):
        raise ValueError(f"{name} is {number(value, name):g}; it must be {text}")
