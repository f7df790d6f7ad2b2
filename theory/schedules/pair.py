r"""The best pair of learning rates and batch sizes: least risk, or least risk in so many steps, with at most D samples.

Only the ratio ``r = B/eta`` counts for the functional law (:mod:`.spectral_optimum`); the number of steps is
``int dt/eta(r)`` with ``eta(r)`` the largest rate at which r can be had:

    eta(r) = B(r)/r ,     B(r) = the largest allowed size with B/cap(B) <= r .

Where r is small the rate is as large as its cap and the batch grows with r; beyond ``B_max/cap(B_max)`` the batch is
as large as allowed and the rate falls.  With K steps and D samples, for a horizon T,

    r(t) minimises  f(t)^2/r + mu r + nu/eta(r) ,      f(t)^2 = K(T-t) [e(t) + sigma_M^2] ,

mu and nu such that ``int r dt <= D`` and ``int dt/eta(r) <= K``.  Over a table of r this is the lower envelope of lines
in ``f^2``, whatever the sizes allowed; mu, nu by bisection, T by a search.  The rates are then the exact optimum for
these batch sizes (:mod:`.optimal_control`).  If K steps of the largest size cost no more than D samples, these are the
best sizes: more samples in the same steps never harm.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numba import njit

from ..fsl.compression import compress
from ..fsl.problem import PowerLawRegression
from ..fsl.recursion import critical_rate, exact_risk
from ..learning_rates import Schedule
from .batch_control import whole_sizes
from .discrete_batches import switched
from .optimal_control import optimal_rates
from .spectral_optimum import spectral_law

TABLE = 240
"""Ratios that are tried at every time."""

POLISHED = 65_536
"""Longest run whose rates are made exactly optimal."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Learning rates and whole batch sizes, shape (K,), and their exact excess risk."""

    rates: np.ndarray
    batch_sizes: np.ndarray
    loss: float

    @property
    def steps(self) -> int:
        """K."""
        return self.rates.size


class Limits:
    """Which batch sizes there are and how large the learning rate may be at each.

    Parameters
    ----------
    spectrum : Spectrum
    smallest, largest : int
    allowed : sequence of int, optional
        All whole sizes between the limits without it.
    share : float
        Of the rate at which a batch size becomes mean-square unstable.
    peak : float
        Largest rate at any size.
    """

    def __init__(self, spectrum, smallest, largest, allowed=None, share=0.5, peak=math.inf):
        self.free = allowed is None
        if self.free:
            allowed = np.unique(np.round(np.geomspace(smallest, largest, 120)))
        self.sizes = np.array(sorted(allowed), dtype=np.float64)
        self.caps = np.array([min(peak, share * critical_rate(spectrum, size)) for size in self.sizes])
        self.ratios = self.sizes / self.caps

    def up_to(self, place):
        """The same with the sizes after that of index `place` left out."""
        made = copy.copy(self)
        made.sizes, made.caps, made.ratios = (each[:place + 1] for each in (self.sizes, self.caps, self.ratios))
        return made

    def cap(self, batch_sizes):
        """Largest rate at these sizes."""
        return np.interp(batch_sizes, self.sizes, self.caps)

    def size(self, ratio):
        """``B(r)``."""
        if self.free:
            return np.interp(ratio, self.ratios, self.sizes)
        place = np.searchsorted(self.ratios, np.asarray(ratio) * (1 + 1e-9), side="right") - 1
        return self.sizes[np.maximum(place, 0)]

    def table(self):
        """Ratios to try, rising."""
        low, high = self.ratios[0], self.ratios[-1]
        top = high * 1e4
        return np.unique(np.concatenate([np.geomspace(low, top, TABLE), [] if self.free else self.ratios]))


class Planner:
    """Best pairs of one task, one budget and one set of limits.

    Parameters
    ----------
    problem : PowerLawRegression or Spectrum
        With label noise > 0.
    data : int
        D.
    limits : Limits
    switches : int, optional
        Most switches between sizes.
    """

    def __init__(self, problem, data, limits, switches=None):
        self.problem, self.data, self.limits, self.switches = problem, data, limits, switches
        self.longest = data / limits.ratios[0]
        self.spectrum = problem
        if isinstance(problem, PowerLawRegression):
            self.spectrum = compress(problem, max(1.0, self.longest))
        self.law = spectral_law(self.spectrum, max(1.0, self.longest))
        self.ratio = limits.table()
        self.density = self.ratio / limits.size(self.ratio)

    def frontier(self, most=8):
        """The pairs of least risk with batches up to some of the sizes, rising: (largest size, Pair) each.

        By the law they are equal as long as no batch is bound; in exact SGD many small steps are better than few large
        ones.
        """
        sizes = self.limits.sizes
        places = np.unique(np.round(np.linspace(0, sizes.size - 1, most)).astype(int))
        made = []
        for place in places:
            part = Planner(self.problem, self.data, self.limits.up_to(place), self.switches)
            found = [part._realised(*part._over_horizons(math.inf))]
            count = int(self.data // sizes[place])
            if 2 <= count <= POLISHED:
                found.append(part._throughout(count, sizes[place]))
            made.append((sizes[place], min(found, key=lambda pair: pair.loss)))
        return made

    def best(self) -> Pair:
        """The pair of least risk on the frontier."""
        return min((pair for _, pair in self.frontier()), key=lambda pair: pair.loss)

    def of_steps(self, steps) -> Pair:
        """The pair of least risk in (about, with few switches) so many steps."""
        largest = self.limits.sizes[-1]
        if steps * largest <= self.data:
            return self._throughout(steps, largest)
        found = self._realised(*self._over_horizons(float(steps)), steps)
        if self.switches is not None:
            free = Planner(self.problem, self.data, self.limits).of_steps(steps)
            affordable = self.limits.sizes[self.limits.sizes * steps <= self.data]
            tried = [found, self._switched(free)]
            if affordable.size:
                tried.append(self._throughout(steps, self.data // steps if self.limits.free else affordable[-1]))
            found = min((each for each in tried if each is not None), key=lambda pair: pair.loss)
        return found

    def _switched(self, free):
        """The sizes of fewer switches that are best at the rates of a pair, the rates then optimised; None for none."""
        edges = np.unique(np.round(np.linspace(0, free.steps, min(free.steps, 300) + 1)).astype(int))
        time = np.concatenate([[0.0], np.cumsum(free.rates)])
        middle = 0.5 * (time[1:] + time[:-1])
        noise = np.add.reduceat(free.rates**2 * self.law.root(middle, time[-1] - middle) ** 2, edges[:-1])
        lengths, sizes = np.diff(edges), self.limits.sizes
        unit = noise.sum() * free.steps / self.data**2
        low, high, chosen = -40.0, 40.0, None
        for _ in range(36):
            price = 0.5 * (low + high)
            tried = sizes[switched(noise[:, None] / sizes + unit * math.exp(price) * lengths[:, None] * sizes,
                                   self.switches)]
            if tried @ lengths > self.data:
                low = price
            else:
                high, chosen = price, np.repeat(tried, lengths)
        return None if chosen is None else self._polished(chosen, np.minimum(free.rates, self.limits.cap(chosen)))

    def fewest(self, target, best=None) -> Pair:
        """The pair of fewest steps (to 1/2 per cent) whose exact risk is at most the target.

        Raises
        ------
        ValueError
            If D samples do not reach it, with the least risk found.
        """
        found = self.best() if best is None else best
        if not found.loss <= target:
            raise ValueError(f"target is {target:g}; {self.data} samples reach {found.loss:.6g} at best")
        low, high = max(1, math.ceil(self.data / self.limits.sizes[-1])) - 1, found.steps
        whole = int(self.data // self.limits.sizes[-1])
        if whole >= 1:
            tried = self.of_steps(whole)
            if tried.loss <= target:
                low, high, found = 0, whole, tried
        while high - low > max(1, high // 200):
            middle = min(high - 1, max(low + 1, round(math.sqrt(max(low, 1) * high))))
            tried = self.of_steps(middle)
            if tried.loss <= target:
                found, high = (tried if tried.steps <= found.steps else found), middle
            else:
                low = middle
        return found

    def _throughout(self, steps, size):
        return self._polished(np.full(steps, float(size)), None)

    def _over_horizons(self, steps):
        """The best horizon: its ratios and cells."""
        longest = min(self.longest, steps * self.limits.caps.max())
        low = math.log(min(1e-2, 1e-3 * longest))
        grid = np.linspace(low, math.log(longest), 41)
        tried = [self._ratios(math.exp(x), steps)[0] for x in grid]
        place = int(np.argmin(tried))
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, grid.size - 1)]
        found = scipy.optimize.minimize_scalar(lambda x: self._ratios(math.exp(x), steps)[0], bounds=(low, high),
                                               method="bounded", options={"xatol": 1e-5 * (high - low)})
        best = min((found.fun, found.x), (tried[place], grid[place]))[1]
        return self._ratios(math.exp(best), steps)[1:]

    def _ratios(self, horizon, steps):
        """Law's loss at the best ratios of a horizon, these, and the lengths of their cells."""
        half = 0.5 * horizon
        edges = np.concatenate([[0.0], np.geomspace(min(0.1, 1e-2 * half), half, 130)])
        edges = np.concatenate([edges, horizon - edges[-2::-1]])
        length, middle = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
        strength = self.law.root(middle, horizon - middle) ** 2
        order = np.argsort(strength)
        chosen, ok = _dual(strength[order], length[order], self.ratio, self.density, float(self.data), steps)
        ratios = np.empty(length.size)
        ratios[order] = self.ratio[chosen]
        if not ok:
            return math.inf, ratios, length
        scale = self.data / (ratios @ length) if self.limits.free and steps == math.inf else 1.0
        if scale > 1.0:
            ratios = ratios * scale
        return float(self.law.signal(horizon) + length @ (strength / ratios)), ratios, length

    def _realised(self, ratios, length, steps=None):
        """Steps of these ratios over these cells of time, the rates then optimised."""
        time = np.concatenate([[0.0], np.cumsum(length)])
        if self.limits.free and self.switches is None:
            sizes = self.limits.size(ratios)
        else:
            sizes = self.limits.sizes
            cost = ratios[:, None] * length[:, None] / sizes
            cost[(self.limits.ratios > ratios[:, None] * (1 + 1e-9)) & (np.arange(sizes.size) > 0)] = 1e12
            sizes = sizes[switched(cost, sizes.size - 1 if self.switches is None else self.switches)]
        passed = np.concatenate([[0.0], np.cumsum(ratios * length / sizes)])
        count = max(1, math.floor(passed[-1] + 1e-6)) if steps is None else min(steps, max(1, round(passed[-1])))
        marks = np.linspace(0.0, passed[-1], count + 1)
        if self.limits.free and self.switches is None:
            spent = np.concatenate([[0.0], np.cumsum(ratios * length)])
            made = np.diff(np.interp(marks, passed, spent))
            made = np.clip(made, self.limits.sizes[0], self.limits.sizes[-1])
            made = whole_sizes(made, self.limits.sizes[0], self.limits.sizes[-1])
        else:
            made = sizes[np.searchsorted(passed[1:], 0.5 * (marks[1:] + marks[:-1]))]
        made = self._affordable(made)
        rates = np.diff(np.interp(np.linspace(0.0, passed[-1], made.size + 1), passed, time))
        return self._polished(made, np.minimum(rates, self.limits.cap(made)))

    def _affordable(self, made):
        """Leave out first steps until the budget is kept."""
        over = made.sum() - self.data
        if over <= 0:
            return made
        return made[int(np.searchsorted(np.cumsum(made), over)) + 1:]

    def _polished(self, sizes, rates):
        caps = self.limits.cap(sizes)
        if sizes.size > POLISHED:
            return Pair(rates, sizes, exact_risk(self.problem, Schedule(rates), sizes, times=[sizes.size]).final)
        sweeps = 60 if sizes.size <= 8192 else 12
        found = optimal_rates(self.problem, sizes.size, sizes, caps, tolerance=1e-7, sweeps=sweeps, start=rates)
        return Pair(np.array(found.rates), sizes, found.loss)


@njit(cache=True)
def _envelope(ratio, cost, hull):
    """Lines ``cost_j + x/ratio_j`` that are lowest for some x >= 0; returns how many, in rising order of ratio."""
    count = 0
    for j in range(ratio.size):
        while count > 0 and cost[hull[count - 1]] >= cost[j]:
            count -= 1
        while count > 1:
            a, b = hull[count - 2], hull[count - 1]
            first = (cost[b] - cost[a]) * (1.0 / ratio[b] - 1.0 / ratio[j])
            second = (cost[j] - cost[b]) * (1.0 / ratio[a] - 1.0 / ratio[b])
            if first < second:
                break
            count -= 1
        hull[count] = j
        count += 1
    return count


@njit(cache=True)
def _spent(strength, length, ratio, density, mu, nu, hull, chosen):
    """Samples and steps of the best ratios at these prices; `strength` rising."""
    cost = mu * ratio + nu * density
    count = _envelope(ratio, cost, hull)
    at, samples, steps = 0, 0.0, 0.0
    for i in range(strength.size):
        x = strength[i]
        while at + 1 < count and cost[hull[at + 1]] + x / ratio[hull[at + 1]] <= cost[hull[at]] + x / ratio[hull[at]]:
            at += 1
        j = hull[at]
        chosen[i] = j
        samples += ratio[j] * length[i]
        steps += density[j] * length[i]
    return samples, steps


@njit(cache=True)
def _priced(strength, length, ratio, density, data, nu, hull, chosen):
    """Ratios that cost at most the budget, the price of a step given; returns steps and whether there are any."""
    low, high = -80.0, 80.0
    samples, steps = _spent(strength, length, ratio, density, math.exp(high), nu, hull, chosen)
    if samples > data * (1.0 + 1e-12):
        return steps, False
    for _ in range(45):
        middle = 0.5 * (low + high)
        samples, steps = _spent(strength, length, ratio, density, math.exp(middle), nu, hull, chosen)
        if samples > data:
            low = middle
        else:
            high = middle
    samples, steps = _spent(strength, length, ratio, density, math.exp(high), nu, hull, chosen)
    return steps, True


@njit(cache=True)
def _dual(strength, length, ratio, density, data, most):
    """Index of the best ratio in every cell with at most so many samples and steps, and whether there is one."""
    hull = np.empty(ratio.size, dtype=np.int64)
    chosen = np.empty(strength.size, dtype=np.int64)
    steps, ok = _priced(strength, length, ratio, density, data, 0.0, hull, chosen)
    if not ok or steps <= most:
        return chosen, ok
    low, high = -80.0, 80.0
    steps, ok = _priced(strength, length, ratio, density, data, math.exp(high), hull, chosen)
    if not ok or steps > most * (1.0 + 1e-9):
        return chosen, False
    for _ in range(32):
        middle = 0.5 * (low + high)
        steps, ok = _priced(strength, length, ratio, density, data, math.exp(middle), hull, chosen)
        if steps > most:
            low = middle
        else:
            high = middle
    _priced(strength, length, ratio, density, data, math.exp(high), hull, chosen)
    return chosen, True
