"""Claims about the best learning rates of exact SGD: their equations, their form, their loss, and both phases.

The paper's text was not at hand; what it says of the optimal schedules is in its abstract, so those claims are
reconstructed.  Optima come from :mod:`theorycheck.theory.schedules.optimal_control`, which knows no law.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from ...theory import fsl, learning_rates
from ...theory.schedules.adjoint import gradient
from .. import judges
from ..claim import claim
from . import exact_optima as optima
from .exact_optima import CAP, EASY, HARD
from .paper import RANDOM_FEATURES

EDGE = 0.02
"""Share of the steps left out at either end where a law in continuous time is compared with single steps."""


@claim("optimal_control_equations", topic="schedules", paper=RANDOM_FEATURES, where="optimal control",
       stance="reconstructed",
       statement="eta_t = sum lambda p c / [(1+1/m) sum lambda^2 p c + (S+sigma^2) sum lambda p/m], p by the adjoint")
def optimal_control_equations(effort):
    """Each rate of an optimum against the least point of the parabola through three runs with that rate changed.

    The final risk is exactly quadratic in one rate, so the vertex is exact to rounding: 1e-16 of the risk moves
    it by about ``1e-16 E/(E'' eta)``, for which 1e-7 relative leaves room; iterating to 1e-15 leaves as much.
    """
    return _vertices(1.0, 1.0)


@optimal_control_equations.control("without the noise that gradients of other modes bring, (S + sigma^2) P = 0")
def _(effort):
    return _vertices(1.0, 0.0)


@optimal_control_equations.control("curvature 1 in place of 1 + 1/m")
def _(effort):
    return _vertices(0.0, 1.0)


def _vertices(gaussian, noise):
    """Rates by the formula with parts switched off, against vertices of parabolas; m = 4, 48 steps."""
    size, steps = 4.0, 48
    control = optima.optimal_rates(optima.spectrum(1.0, 2.0, 100.0), steps, size, tolerance=1e-15)
    rates = control.rates

    def loss(k, rate):
        changed = rates.copy()
        changed[k] = rate
        return gradient(control.spectrum, changed, size).loss

    places = np.array([0, 3, 11, 24, 40, 46, 47])
    vertices = []
    for k in places:
        low, middle, high = (loss(k, factor * rates[k]) for factor in (0.0, 1.0, 2.0))
        vertices.append(rates[k] * (1.0 + 0.5 * (low - high) / (low + high - 2.0 * middle)))
    return judges.equal(_formula(control, size, gaussian, noise)[places], vertices, rtol=1e-7, at={"step": places})


def _formula(control, size, gaussian, noise):
    """The statement in plain NumPy, ``p`` per unit of ``y = w lambda c``."""
    model, rates = control.spectrum, control.rates
    values, weights = model.eigenvalues, model.multiplicity
    push = weights * values**2
    adjoint, back = np.ones_like(values), []
    for rate in rates[::-1]:
        back.append(adjoint)
        adjoint = adjoint * (1 - 2 * rate * values + (1 + 1 / size) * (rate * values)**2) + (
            rate**2 / size * (push @ adjoint))
    state, found = weights * values * model.target_squared, []
    for rate, p in zip(rates, back[::-1]):
        total = state.sum() + model.label_variance
        found.append(values @ (p * state) / ((1 + gaussian / size) * (values**2 @ (p * state))
                                             + noise * total / size * (push @ p)))
        state = state * (1 - 2 * rate * values + (1 + 1 / size) * (rate * values)**2) + rate**2 / size * total * push
    return np.array(found)


@claim("square_root_invariant", topic="schedules", paper=RANDOM_FEATURES, where="optimal control, easy phase",
       stance="derived",
       statement="along optimal exact SGD, eta_t [K(T-t) (S_t + sigma^2)]^(1/2) is constant up to O(max eta)")
def square_root_invariant(effort):
    """max/min - 1 over all steps but 2 per cent at either end, with the exact kernel and the exact risk ``S_t``.

    The rule is that of continuous time, so what is neglected is of the order of ``eta lambda`` and of the noise's own
    noise, both of the order of the largest rate.  Judged: spread - 1 is at most the largest rate, at every N, and a
    share of it that does not grow from each N to the fourfold.
    """
    return _invariants(effort, lambda rates, u, total, model: rates * np.sqrt(optima.kernel(model, u) * total))


@square_root_invariant.control("label noise only: eta K^(1/2) sigma")
def _(effort):
    return _invariants(effort, lambda rates, u, total, model: rates * np.sqrt(optima.kernel(model, u)), edge=0.0)


@square_root_invariant.control("the kernel's exponent larger by 0.1")
def _(effort):
    return _invariants(effort, lambda rates, u, total, model: rates * np.sqrt(optima.kernel(model, u) * total
                                                                              * (1 + u) ** -0.1))


@square_root_invariant.control("the linear rule, eta K (S + sigma^2)")
def _(effort):
    return _invariants(effort, lambda rates, u, total, model: rates * optima.kernel(model, u) * total)


def _invariants(effort, quantity, edge=EDGE):
    parts = {}
    sizes = effort.choose((1024, 4096, 16384), (1024, 4096, 16384, 65536))
    for s, beta in EASY:
        shares = []
        for steps in sizes:
            control = optima.best_rates(s, beta, steps)
            u, total = optima.remaining_times(control.schedule()), optima.risks(control) + 1.0
            cut = int(edge * steps)
            values = quantity(control.rates, u, total, control.spectrum)[cut:steps - cut]
            shares.append((values.max() / values.min() - 1.0) / control.rates.max())
        shares = np.array(shares)
        parts[f"spread s={s:g} beta={beta:g}"] = judges.inequality(shares, 1.0, at={"N": np.array(sizes)})
        parts[f"not growing s={s:g} beta={beta:g}"] = judges.inequality(shares[1:], shares[:-1],
                                                                        at={"N": np.array(sizes[1:])})
    return judges.every(**parts)


@claim("optimal_loss_quadrature", topic="schedules", paper=RANDOM_FEATURES, where="easy phase", stance="derived",
       statement="2 L* = min_T e(T) + {int_0^T [K(T-t)(e(t)+sigma^2)]^(1/2) dt}^2/N, up to O(max eta)")
def optimal_loss_quadrature(effort):
    """A quadrature against the optimum over all N rates of exact SGD: both the size and the order of the difference.

    Neglected are terms of the order of the largest rate, ``N^(-nu)`` with ``nu = (1 + s beta - beta)/(1 + s beta)``:
    local slopes of the difference from N = 8192 on, to 0.06 (what a further factor ``1 + 1.7 N^(-nu)`` amounts to).
    """
    return _quadratures(effort, lambda s, beta, steps: optima.best_by_law(s, beta, steps).loss)


@optimal_loss_quadrature.control("power laws with their sharp constants in place of the exact sums")
def _(effort):
    return _quadratures(effort, _sharp_loss)


@optimal_loss_quadrature.control("a constant ratio r = N/T in place of the square-root rule")
def _(effort):
    return _quadratures(effort, _constant_loss)


def _quadratures(effort, law):
    parts = {}
    sizes = np.array(effort.choose(optima.powers_of_two(13, 16), optima.powers_of_two(13, 18)), dtype=float)
    for s, beta in (*EASY, (1.5, 2.0)):
        exact = np.array([optima.best_rates(s, beta, int(steps)).loss for steps in sizes])
        error = 1.0 - np.array([law(s, beta, float(steps)) for steps in sizes]) / exact
        order = -(1.0 + s * beta - beta) / (1.0 + s * beta)
        parts[f"size s={s:g} beta={beta:g}"] = judges.inequality(abs(error[-1]), 0.006)
        parts[f"order s={s:g} beta={beta:g}"] = judges.local_slopes(sizes[-4:], np.abs(error[-4:]),
                                                                    sizes[-4:]**order, 0.06)
    return judges.every(**parts)


def _sharp_loss(s, beta, data):
    """Leading order for large D: ``A_e (1 + s beta) T*^(-s)/2``."""
    signal = math.gamma(s) / (beta * 2.0**s)
    noise = math.gamma(2.0 - 1.0 / beta) / (beta * 2.0 ** (2.0 - 1.0 / beta))
    horizon = (s * beta * signal * data / (4.0 * beta**2 * noise)) ** (beta / (1.0 + s * beta))
    return 0.5 * signal * (1.0 + s * beta) * horizon**-s


def _constant_loss(s, beta, data):
    """The law at a constant ratio and the best horizon, label noise alone."""
    model = optima.spectrum(s, beta, data)
    values, weights = model.eigenvalues, model.multiplicity

    def loss(logarithm):
        horizon = math.exp(logarithm)
        decay = np.exp(-2.0 * values * horizon)
        return 0.5 * (weights * values) @ (model.target_squared * decay + 0.5 * (1.0 - decay) * horizon / data)

    return minimize_scalar(loss, bounds=(0.0, math.log(data)), method="bounded").fun


@claim("control_beats_every_shape", topic="schedules", paper=RANDOM_FEATURES, where="abstract", stance="reconstructed",
       statement="the optimal schedule's loss is below that of every constant, power-law, cosine, linear and WSD one")
def control_beats_every_shape(effort):
    """Each shape with its own best peak (and for powers of time its best amplitude), both phases, exact risk."""
    return _contest(effort, lambda s, beta, steps, cap: optima.best_rates(s, beta, steps, cap).loss)


@control_beats_every_shape.control("the asymptotic power decay (1-z/N)^(2 beta - 1), tuned, in place of the optimum")
def _(effort):
    return _contest(effort, lambda s, beta, steps, cap: _tuned(
        s, beta, steps, cap, lambda peak: learning_rates.power(steps, peak, 2.0 * beta - 1.0)))


def _contest(effort, winner):
    parts = {}
    steps = effort.choose(1024, 8192)
    for s, beta, cap in ((1.0, 2.0, None), (1.0, 1.5, None), (1.0 / 6.0, 3.0, CAP), (0.25, 2.0, CAP)):
        shapes = {"constant": lambda peak: learning_rates.constant(steps, peak),
                  "linear": lambda peak: learning_rates.linear(steps, peak),
                  "cosine": lambda peak: learning_rates.cosine(steps, peak),
                  "power": lambda peak: learning_rates.power(steps, peak, 2.0)}
        for cooldown in (0.1, 0.3, 0.6):
            shapes[f"wsd {cooldown}"] = lambda peak, part=cooldown: learning_rates.wsd(steps, peak, part)
        for chi in (0.25, 0.5):
            shapes[f"t^-{chi}"] = lambda peak, chi=chi: _power_of_time(steps, peak, chi)
        others = [_tuned(s, beta, steps, cap, make) for make in shapes.values()]
        parts[f"s={s:.3g} beta={beta:g}"] = judges.inequality(winner(s, beta, steps, cap), others,
                                                              at={"shape": np.array(list(shapes))})
    return judges.every(**parts)


def _power_of_time(steps, amplitude, chi):
    return learning_rates.from_array(amplitude * np.arange(1.0, steps + 1.0) ** -chi)


def _tuned(s, beta, steps, cap, make):
    """Least final risk over the peak rate, on a grid and then between its points."""
    model = optima.spectrum(s, beta, float(steps))

    def loss(logarithm):
        try:
            return fsl.exact_risk(model, make(math.exp(logarithm)), times=[steps]).final
        except ValueError:   # diverges
            return math.inf

    top = math.log(cap or fsl.critical_rate(model))
    grid = np.linspace(math.log(1e-3), top, 13)
    values = [loss(x) for x in grid]
    best = int(np.argmin(values))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return min(found.fun, values[best])


@claim("power_decay_easy", topic="schedules", paper=RANDOM_FEATURES, where="abstract, easy phase",
       stance="reconstructed",
       statement="a > b: eta*_T is the law's optimum, all of it decay, from a peak ~ T^(-(a-b)/a); L* ~ T^(-(a-1)/a)")
def power_decay_easy(effort):
    """Exact SGD follows the law's optimum at every size, and the law's optimum follows the powers of T.

    Powers are approached like ``T^(-1/(2b))`` of the intrinsic time, too slowly for exact SGD to show them by itself:
    at 65,536 steps the peak still falls like ``T^(-0.30)``, not ``T^(-1/3)``.  So it is judged by the law: rates step
    by step (all but 2 per cent at either end), a ratio to within ``1 + 4 max eta`` of one and closing, and local slopes
    of loss and peak to 0.03 and 0.04, the order of the slopes of a correction ``O(max eta)``.  The slopes of the law
    are judged up to 1e18 steps, and the shape ``(1-t/T)^(2b-1)`` by ``schedules.exact_decay_shape``.
    """
    return _easy_phase(effort, EASY, lambda s, beta: (1.0 + s * beta - beta) / (1.0 + s * beta),
                       lambda s, beta: s * beta / (1.0 + s * beta))


@power_decay_easy.control("a peak that stays: xi = 0")
def _(effort):
    return _easy_phase(effort, EASY, lambda s, beta: 0.0, lambda s, beta: s * beta / (1.0 + s * beta))


@power_decay_easy.control("the rates of the best constant rate, T^(-s/(1+s))")
def _(effort):
    return _easy_phase(effort, EASY, lambda s, beta: s / (1.0 + s), lambda s, beta: s / (1.0 + s))


@power_decay_easy.control("a hard task, a = 1.5, b = 3, under a cap that the law knows too")
def _(effort):
    return _easy_phase(effort, HARD[:1], lambda s, beta: (1.0 + s * beta - beta) / (1.0 + s * beta),
                       lambda s, beta: s * beta / (1.0 + s * beta))


@power_decay_easy.control("exact SGD against the law of a capacity larger by 0.3")
def _(effort):
    return _easy_phase(effort, EASY, lambda s, beta: (1.0 + s * beta - beta) / (1.0 + s * beta),
                       lambda s, beta: s * beta / (1.0 + s * beta), 0.3)


def _easy_phase(effort, tasks, peak_power, loss_power, shift=0.0):
    sizes = np.array(optima.powers_of_two(10, effort.choose(16, 18), 2))
    budgets = 10.0 ** np.arange(8.0, 18.5)
    parts = {}
    for s, beta in tasks:
        label = f"s={s:.3g} beta={beta:g}"
        cap = None if (s, beta) in EASY else CAP
        floor = 0.0 if cap is None else 1.0 / cap
        exact = [optima.best_rates(s, beta, int(steps), cap) for steps in sizes]
        law = [optima.best_by_law(s, beta + shift, float(steps), floor) for steps in sizes]
        peaks = np.array([control.rates.max() for control in exact])
        ratios = []
        for control, found, steps in zip(exact, law, sizes.tolist()):
            cut = int(EDGE * steps)
            ratio = (found.schedule(steps).rates / control.rates)[cut:steps - cut]
            ratios.append(np.abs(np.log(ratio)).max())
        ratios = np.array(ratios)
        parts[f"rates {label}"] = judges.inequality(ratios, np.log1p(4.0 * peaks), at={"N": sizes})
        parts[f"closing {label}"] = judges.inequality(ratios[1:], ratios[:-1], at={"N": sizes[1:]})
        parts[f"loss {label}"] = judges.local_slopes(sizes, [control.loss for control in exact],
                                                     [found.loss for found in law], 0.03)
        parts[f"peak {label}"] = judges.local_slopes(sizes, peaks, [1 / found.ratios.min() for found in law], 0.04)
        far = [optima.best_by_law(s, beta, data, floor) for data in budgets]
        parts[f"loss power {label}"] = judges.exponent(budgets, [found.loss for found in far], -loss_power(s, beta),
                                                       0.002, limit="large")
        parts[f"peak power {label}"] = judges.exponent(budgets, [1.0 / found.ratios.min() for found in far],
                                                       -peak_power(s, beta), 0.002, limit="large")
    return judges.every(**parts)


@claim("exact_decay_shape", topic="schedules", paper=RANDOM_FEATURES, where="abstract, easy phase", stance="derived",
       statement="a > b: eta*(z) = const (N-z+n_0)^(2b-1) up to O(max eta), n_0/N ~ T^(-1/(2b)): slowly (1-z/N)^(2b-1)")
def exact_decay_shape(effort):
    """Slope of log eta against log(N - z + n_0) between 5 and T/3 of remaining intrinsic time u.

    The square-root rule gives ``N - z = J(u)/c`` with ``J(u) = int_0^u K^(1/2)`` and ``eta = c/K(u)^(1/2)``.  As
    ``J = 2 b A^(1/2) u^(1/(2b)) - d`` and ``K = A u^(-(2-1/b))`` up to exponentially small terms, the rate is a power
    of ``N - z + n_0``, ``n_0 = d/c``.  Judged: a deviation of at most ``2 max eta``, falling with N.
    """
    return _shapes(effort, 1.0, lambda beta: 2.0 * beta - 1.0)


@exact_decay_shape.control("the form of the limit T -> infinity, n_0 = 0")
def _(effort):
    return _shapes(effort, 0.0, lambda beta: 2.0 * beta - 1.0)


@exact_decay_shape.control("linear decay")
def _(effort):
    return _shapes(effort, 1.0, lambda beta: 1.0)


def _shapes(effort, shift, power):
    sizes = optima.powers_of_two(10, effort.choose(16, 18), 2)
    parts = {}
    for s, beta in EASY:
        far = optima.spectrum(s, beta, 1e7)
        u = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 20_001)])
        root = np.sqrt(optima.kernel(far, u))
        mass = np.sum(0.5 * (root[1:] + root[:-1]) * np.diff(u))
        scale = math.gamma(2.0 - 1.0 / beta) / (beta * 2.0 ** (2.0 - 1.0 / beta))
        lag = 2.0 * beta * math.sqrt(scale) * u[-1] ** (0.5 / beta) - mass
        away, peaks = [], []
        for steps in sizes:
            control = optima.best_rates(s, beta, steps)
            left = optima.remaining_times(control.schedule())
            level = np.median(control.rates * np.sqrt(optima.kernel(control.spectrum, left)))
            inside = np.flatnonzero((left > 5.0) & (left < left[0] / 3.0))[[0, -1]]
            shifted = steps - inside - 0.5 + shift * lag / level
            slope = np.diff(np.log(control.rates[inside]))[0] / np.diff(np.log(shifted))[0]
            away.append(abs(slope - power(beta)))
            peaks.append(control.rates.max())
        label = f"s={s:g} beta={beta:g}"
        parts[f"slope {label}"] = judges.inequality(away, 2.0 * np.array(peaks), at={"N": np.array(sizes)})
        parts[f"closing {label}"] = judges.inequality(away[1:], away[:-1], at={"N": np.array(sizes[1:])})
    return judges.every(**parts)


@claim("warmup_stable_decay_hard", topic="schedules", paper=RANDOM_FEATURES, where="abstract, hard phase",
       stance="reconstructed",
       statement="a < b: largest rate, then decay (share T^(-(1-1/b-s)/(2-1/b)), to T^(-(1+s)/2)); L* ~ T^(-(a-1)/b)")
def warmup_stable_decay_hard(effort):
    """Under the cap 0.3: the share of steps below the cap, the last rate and the loss.

    Local slopes of exact SGD against those of the law's optimum to 0.03, and the powers of the law's optimum up to
    1e15 steps.  The slope of the loss of exact SGD itself lies below -s and rises towards it: the correction to
    ``T^(-s)`` is positive and vanishes.
    """
    return _hard_phase(effort, HARD, _hard_powers)


@warmup_stable_decay_hard.control("an easy task, a = 3, b = 2: no plateau, all of it decay")
def _(effort):
    return _hard_phase(effort, EASY[:1], _hard_powers)


@warmup_stable_decay_hard.control("the least share that does for the rate, T^(-(1-1/b-s)/(1-1/b))")
def _(effort):
    return _hard_phase(effort, HARD, lambda s, beta: (s * beta / (beta - 1.0) - 1.0, -(1.0 + s) / 2.0, -s))


@warmup_stable_decay_hard.control("the easy phase's loss, T^(-s beta/(1+s beta))")
def _(effort):
    return _hard_phase(effort, HARD, lambda s, beta: (*_hard_powers(s, beta)[:2], -s * beta / (1.0 + s * beta)))


def _hard_powers(s, beta):
    """Share of decay, last rate, loss."""
    return -(1.0 - 1.0 / beta - s) / (2.0 - 1.0 / beta), -(1.0 + s) / 2.0, -s


def _hard_phase(effort, tasks, powers):
    sizes = np.array(optima.powers_of_two(10, effort.choose(16, 18), 2))
    budgets = 10.0 ** np.arange(7.0, 15.5)
    parts = {}
    for s, beta in tasks:
        exact = [optima.best_rates(s, beta, int(steps), CAP) for steps in sizes]
        seen = np.array([(np.mean(control.rates < CAP), control.rates[-1], control.loss) for control in exact]).T
        near, far = (np.array([_law_in_hard_phase(s, beta, data) for data in grid]).T
                     for grid in (sizes.astype(float), budgets))
        for name, here, law, limit, power in zip(("share", "last rate", "loss"), seen, near, far, powers(s, beta)):
            label = f"{name} s={s:.3g} beta={beta:g}"
            parts[label] = judges.local_slopes(sizes, here, law, 0.03)
            parts[f"power of {label}"] = judges.exponent(budgets, limit, power, 0.012, limit="large")
        slopes = np.diff(np.log(seen[2])) / np.diff(np.log(sizes))
        parts[f"below s={s:.3g} beta={beta:g}"] = judges.inequality(slopes, powers(s, beta)[2])
        parts[f"rising s={s:.3g} beta={beta:g}"] = judges.inequality(slopes[:-1], slopes[1:])
    return judges.every(**parts)


def _law_in_hard_phase(s, beta, data):
    found = optima.best_by_law(s, beta, float(data), 1.0 / CAP)
    held = (found.horizon - found.crossover) * found.floor / found.data
    return 1.0 - held, 1.0 / found.ratios[-1], found.loss


@claim("plateau_constant_in_horizon", topic="schedules", paper=RANDOM_FEATURES, where="abstract, hard phase",
       stance="reconstructed",
       statement="a < b, no cap: as T grows the plateau of eta*_T rises to a constant below the edge of stability")
def plateau_constant_in_horizon(effort):
    """Median rate of the second quarter of the run (single giant steps do not move a median).

    Rising, below the edge at batch size 1, and levelling: its local slope against N falls by a quarter or more from the
    first fourfold to the last (2^14 steps), by half at full effort (2^16); both are set.  A plateau that grows like a
    power keeps its slope; the easy phase's falls like ``N^(-0.36)``.
    """
    return _plateaus(effort, HARD)


@plateau_constant_in_horizon.control("a plateau that grows like T^0.08")
def _(effort):
    return _plateaus(effort, HARD, 0.08)


@plateau_constant_in_horizon.control("an easy task, a = 3, b = 2")
def _(effort):
    return _plateaus(effort, EASY[:1])


def _plateaus(effort, tasks, growth=None):
    """``growth`` puts a power of T that ends at the last plateau in the place of the plateaus."""
    sizes = np.array(optima.powers_of_two(10, effort.choose(14, 16), 2))
    parts = {}
    for s, beta in tasks:
        label = f"s={s:.3g} beta={beta:g}"
        plateau = np.array([np.median(optima.best_rates(s, beta, int(steps)).rates[steps // 4:steps // 2])
                            for steps in sizes])
        if growth is not None:
            plateau = plateau[-1] * (sizes / sizes[-1]) ** growth
        slopes = np.diff(np.log(plateau)) / np.diff(np.log(sizes))
        edge = fsl.critical_rate(optima.spectrum(s, beta, float(sizes[-1])))
        parts[f"stable {label}"] = judges.inequality(plateau, edge, at={"N": sizes})
        parts[f"rising {label}"] = judges.inequality(plateau[:-1], plateau[1:])
        parts[f"levelling {label}"] = judges.inequality(slopes[-1], effort.choose(0.75, 0.5) * slopes[0])
    return judges.every(**parts)
