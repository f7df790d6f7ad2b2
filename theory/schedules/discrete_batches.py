r"""The best batch sizes from a list of allowed ones, with few switches between them and a budget in whole samples.

At a constant learning rate the law gives the loss after K steps as ``S(K) + sum_k w_k / B_k``; the noise weights
``w_k > 0`` depend on how many steps remain (and, with mini-batch noise, on how many have passed).  For given K and a
price mu of a sample, the sizes of least ``sum_k (w_k/B_k + mu B_k)`` with at most m switches follow by dynamic
programming over (cell of steps, size in use, switches left); cells are groups of neighbouring steps, finer at the
end.  Bisection in mu meets the budget, a search in one dimension finds K.

The lengths of the stages are then moved in whole steps, exchanging ``B_j/g`` steps of size ``B_i`` for ``B_i/g`` steps
of size ``B_j`` (g their greatest common divisor), which keeps the number of samples, as long as the law's loss falls.
The budget is met exactly wherever the sizes in use can; else fewer samples than the smallest of them are left over.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..arguments import number, numbers
from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression
from .fitted_optimum import noise_density, settled_loss

CELLS = 400
"""Most groups of steps in the dynamic program."""

MOST_SIZES = 64
"""Longest list of allowed sizes."""

MOST_STEPS = 5_000_000
"""Longest run that is planned in stages."""


@dataclass(frozen=True, eq=False)
class NoiseLaw:
    """A law of the form ``S(K) + sum_k w_k / B_k`` at a constant learning rate.

    Attributes
    ----------
    signal : callable
        ``S(K)``.
    weights : callable
        ``w`` of K steps in the order of the run, shape (K,), positive.
    """

    signal: Callable
    weights: Callable

    def loss(self, batches) -> float:
        """The law's loss for some batch sizes, shape (K,)."""
        batches = np.asarray(batches, dtype=np.float64)
        return float(self.signal(batches.size) + np.sum(self.weights(batches.size) / batches))


@dataclass(frozen=True)
class Stages:
    """Batch sizes in stages.

    Attributes
    ----------
    sizes, counts : tuple of int
        Batch size and number of steps of each stage.
    loss : float
        By the law.
    unused : int
        Samples of the budget that no number of steps at these sizes uses.
    """

    sizes: tuple
    counts: tuple
    loss: float
    unused: int

    def batches(self) -> np.ndarray:
        """Batch size of every step, shape (K,)."""
        return np.repeat(np.array(self.sizes, dtype=np.float64), self.counts)

    @property
    def samples(self) -> int:
        """Samples used."""
        return sum(size * count for size, count in zip(self.sizes, self.counts))


def spectral_noise_law(problem, rate, longest) -> NoiseLaw:
    """The functional law of power-law regression, mini-batch noise included, at a constant rate.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
    rate : float
    longest : int
        Most steps that will be asked for.
    """
    spectrum = compress(problem, max(1.0, rate * longest)) if isinstance(problem, PowerLawRegression) else problem
    values, mass = spectrum.eigenvalues, spectrum.multiplicity
    grid = np.expm1(np.linspace(0.0, math.log1p(rate * longest), 1500))
    decay = np.exp(-2.0 * np.outer(grid, values))
    log_kernel = np.log(np.maximum(decay @ (mass * values**2), 1e-290))
    log_signal = np.log(np.maximum(decay @ (mass * values * spectrum.target_squared), 1e-290))
    times = np.log1p(rate * (np.arange(longest) + 0.5))
    kernel = np.exp(np.interp(times, np.log1p(grid), log_kernel))
    added = np.exp(np.interp(times, np.log1p(grid), log_signal)) + spectrum.label_variance

    def signal(steps):
        at = np.interp(math.log1p(rate * steps), np.log1p(grid), log_signal)
        return spectrum.approximation_error + 0.5 * math.exp(at)

    return NoiseLaw(signal, lambda steps: 0.5 * rate**2 * kernel[:steps][::-1] * added[:steps])


def fitted_noise_law(law, rate, warmup=0) -> NoiseLaw:
    """A fitted functional scaling law at a constant rate after a warm-up of so many steps.

    Parameters
    ----------
    law : FittedLaw
        ``fsl`` (see :func:`~theorycheck.theory.schedules.fitted_optimum.noise_density`).
    rate : float
    warmup : int
    """
    begin, step = rate * warmup / 2 / law.unit, rate / law.unit
    level = rate / law.rate * law.batch

    def weights(steps):
        end = begin + step * steps
        return step * level * noise_density(law, begin + step * (np.arange(steps) + 0.5), end)

    return NoiseLaw(lambda steps: settled_loss(law, begin, begin + step * steps), weights)


def staged_batches(law, data, allowed, switches=None, target=None) -> Stages:
    """The best stages of allowed batch sizes that use a budget of samples.

    Parameters
    ----------
    law : NoiseLaw
    data : int
        Samples, at least the smallest allowed size.
    allowed : sequence of int
        Distinct batch sizes >= 1, at most MOST_SIZES.
    switches : int, optional
        Most switches, >= 0; by default one fewer than there are sizes.
    target : float, optional
        With it, the stages of fewest steps (to 1/2 per cent) whose loss is not above it; the budget need not be used.

    Returns
    -------
    Stages

    Raises
    ------
    ValueError
        For arguments out of range, with the bound; for a target that the budget cannot reach, with the least loss.
    """
    sizes = _allowed(allowed)
    data = _whole(data, "data")
    if data < sizes[0]:
        raise ValueError(f"data is {data}; it must be at least {sizes[0]}, the smallest allowed batch size")
    if data // sizes[0] > MOST_STEPS:
        raise ValueError(f"data is {data}; in batches of {sizes[0]} it must be at most {MOST_STEPS * sizes[0]} "
                         f"(or the smallest allowed size at least {-(-data // MOST_STEPS)})")
    switches = len(sizes) - 1 if switches is None else _whole(switches, "switches", 0)
    fewest, most = -(-data // sizes[-1]), data // sizes[0]
    tried = {}

    def best(count):
        count = int(min(max(count, fewest), most))
        if count not in tried:
            found = _whole_stages(law, *_staged(law, count, data, sizes, switches), data, sizes, switches)
            tried[count] = found
        return tried[count].loss

    grid = np.unique(np.round(np.geomspace(fewest, max(most, fewest), 25)).astype(int))
    losses = [best(count) for count in grid]
    for _ in range(3):
        place = int(np.argmin(losses))
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, grid.size - 1)]
        grid = np.unique(np.round(np.linspace(low, high, 9)).astype(int))
        losses = [best(count) for count in grid]
    found = _descended(law, min(tried.values(), key=lambda stages: stages.loss))
    if target is None:
        return found
    if not found.loss <= number(target, "target"):
        raise ValueError(f"target is {target:g}; {data} samples reach {found.loss:.6g} at best")
    return _fewest(law, data, sizes, switches, target, found)


def _fewest(law, data, sizes, switches, target, found):
    """The stages of fewest steps, of at most so many samples, that reach a target; `found` does."""
    low, high = 0, sum(found.counts)
    while high - low > max(1, high // 200):
        middle = min(high - 1, max(low + 1, round(math.sqrt(max(low, 1) * high))))
        if middle * sizes[-1] <= data:   # the budget does not bind
            tried = _stages(law, [sizes[-1]], [middle], data - middle * sizes[-1])
        else:
            stages, counts = _staged(law, middle, data, sizes, switches)
            tried = _stages(law, stages, counts, data - sum(s * c for s, c in zip(stages, counts)))
        if tried.unused >= 0 and tried.loss <= target:
            high, found = middle, tried
        else:
            low = middle
    return found


def _allowed(allowed):
    values = np.unique(numbers(list(allowed), "allowed batch sizes"))
    if values.size == 0 or values.size > MOST_SIZES:
        raise ValueError(f"{values.size} batch sizes are allowed; there must be 1 to {MOST_SIZES}")
    return [_whole(value, "allowed batch size") for value in values]


def _whole(value, name, least=1):
    value = number(value, name)
    if not (math.isfinite(value) and value >= least and value == math.floor(value)):
        raise ValueError(f"{name} is {value:g}; it must be a whole number >= {least}")
    return int(value)


def _staged(law, count, data, sizes, switches):
    """Sizes and lengths of the stages of `count` steps that come to the budget from below."""
    away = np.unique(np.round(np.concatenate([[0], np.geomspace(1, count, CELLS // 2),
                                              np.linspace(0, count, CELLS // 2)])).astype(np.int64))
    edges = count - away[::-1]
    weights = np.add.reduceat(law.weights(count), edges[:-1])
    lengths, values = np.diff(edges).astype(np.float64), np.array(sizes, dtype=np.float64)
    noise = weights[:, None] / values
    spent = lengths[:, None] * values
    low, high = -60.0, 60.0                      # of log(mu), in units of the mean noise per sample
    unit = noise.mean() / spent.mean()
    best = np.zeros(lengths.size, dtype=np.int64)
    for _ in range(44):
        middle = 0.5 * (low + high)
        chosen = _cheapest(noise + unit * math.exp(middle) * spent, switches)
        if spent[np.arange(lengths.size), chosen].sum() > data:
            low = middle
        else:
            high, best = middle, chosen
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    counts = np.add.reduceat(lengths, starts).astype(int)
    return [sizes[i] for i in best[starts]], counts.tolist()


def switched(cost, switches):
    """Index of the size in every cell, of least total cost (cells x sizes) with at most so many switches."""
    return _cheapest(np.ascontiguousarray(cost), int(switches))


@njit(cache=True)
def _cheapest(cost, switches):
    """Index of the size in every cell, of least total cost with at most so many switches."""
    cells, count = cost.shape
    total = np.zeros((switches + 1, count))
    after = np.empty((cells, switches + 1, count), dtype=np.int64)
    for c in range(cells - 1, -1, -1):
        fresh = np.empty_like(total)
        for m in range(switches + 1):
            other = 0
            if m > 0:
                for s in range(count):
                    if total[m - 1, s] < total[m - 1, other]:
                        other = s
            for s in range(count):
                after[c, m, s] = s
                best = total[m, s]
                if m > 0 and total[m - 1, other] < best:
                    after[c, m, s], best = other, total[m - 1, other]
                fresh[m, s] = cost[c, s] + best
        total = fresh
    chosen = np.empty(cells, dtype=np.int64)
    left = switches
    now = int(np.argmin(total[left]))
    for c in range(cells):
        chosen[c] = now
        follow = after[c, left, now]
        if follow != now:
            left -= 1
        now = follow
    return chosen


def _whole_stages(law, sizes, counts, data, allowed, switches):
    """Fill up with the smallest size in use, exactly where whole steps can."""
    sizes, counts = list(sizes), list(counts)
    place = sizes.index(min(sizes))
    rest = data - sum(size * count for size, count in zip(sizes, counts))
    counts[place] += rest // sizes[place]
    rest %= sizes[place]
    best = None
    for other in range(len(sizes)):
        for change in range(-sizes[place], sizes[place] + 1) if rest and other != place else ():
            filled = rest - change * sizes[other]
            if filled % sizes[place] == 0 and counts[other] + change >= 1 and (
                    counts[place] + filled // sizes[place] >= 1) and (best is None or abs(change) < abs(best[1])):
                best = other, change, filled // sizes[place]
    if best is not None:
        counts[best[0]] += best[1]
        counts[place] += best[2]
        rest = 0
    elif rest >= allowed[0] and len(sizes) <= switches:   # a smaller size still fits: take its steps first
        sizes, counts = [allowed[0], *sizes], [rest // allowed[0], *counts]
        rest %= allowed[0]
    return _stages(law, sizes, counts, rest)


def _stages(law, sizes, counts, unused):
    kept = [(size, count) for size, count in zip(sizes, counts) if count > 0]
    return Stages(tuple(s for s, _ in kept), tuple(int(c) for _, c in kept),
                  law.loss(np.repeat(np.array([s for s, _ in kept], float), [c for _, c in kept])), int(unused))


def _descended(law, stages):
    """Exchange whole steps between stages while the law's loss falls."""
    best, count = stages, len(stages.sizes)
    stride = max(1, sum(stages.counts) // 8)
    while stride >= 1:
        improved = False
        for i in range(count):
            for j in range(count):
                if i == j:
                    continue
                divisor = math.gcd(best.sizes[i], best.sizes[j])
                give, take = best.sizes[j] // divisor * stride, best.sizes[i] // divisor * stride
                if best.counts[i] <= give:
                    continue
                counts = list(best.counts)
                counts[i] -= give
                counts[j] += take
                tried = _stages(law, best.sizes, counts, best.unused)
                if tried.loss < best.loss:
                    best, improved = tried, True
        if not improved:
            stride //= 2
    return best
