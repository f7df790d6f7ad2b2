"""Claims about the best batch sizes of exact SGD, and about what batch sizes and learning rates have in common.

Neither paper's text was at hand; the claims follow their abstracts and accounts by others and are reconstructed.
"""

from types import SimpleNamespace

import numpy as np

from ...theory import learning_rates
from ...theory.schedules.adjoint import advance, gradient, modes
from .. import judges
from ..claim import claim
from . import exact_optima as optima
from .exact_optima import EASY, HARD
from .paper import BATCH_SIZE, RANDOM_FEATURES

RATE = 0.2
"""Learning rate of runs with scheduled batches."""


@claim("rate_batch_duality", topic="schedules", paper=RANDOM_FEATURES, where="abstract, joint schedules",
       stance="reconstructed",
       statement="only B/eta counts: best loss and T of scheduled eta and of scheduled B agree as eta -> 0, equal data")
def rate_batch_duality(effort):
    """Rates scheduled at batch 1, 4 and 16, batches scheduled at rates from 0.1 to 0.0125, no floor.

    What sets two factorizations apart is that steps are finite, to first order in the rate.  Judged: the excess of
    scheduled batches over scheduled rates at batch 1 is at most 0.1 per cent at the smallest rate, with horizons within
    1 per cent; what halving the rate takes off it is proportional to the rate (slopes 1 +- 0.1); and batches of 4 and
    16 cost at most 2.5 per cent times their largest rate (set).
    """
    return _dual(effort, lambda data, rate: optima.best_batches(1.0, 2.0, data, rate, 1e-3))


@rate_batch_duality.control("a constant batch size in place of the best batches")
def _(effort):
    return _dual(effort, lambda data, rate: _best_constant(1.0, 2.0, data, rate))


@rate_batch_duality.control("the ratio B/eta^2 along intrinsic time: batches squared as fast")
def _(effort):
    def squared(data, rate):
        best = optima.best_batches(1.0, 2.0, data, rate, 1e-3)
        batches = best.batches**2 * (data / np.sum(best.batches**2))
        return SimpleNamespace(loss=_risk(best.spectrum, rate, batches), horizon=best.horizon)

    return _dual(effort, squared)


@rate_batch_duality.control("finite steps: a rate of 0.4")
def _(effort):
    return _dual(effort, lambda data, rate: optima.best_batches(1.0, 2.0, data, 0.4, 1e-3))


def _risk(spectrum, rate, batches):
    return gradient(spectrum, np.full(batches.size, rate), batches).loss


def _dual(effort, batches):
    rates = np.array([0.1, 0.05, 0.025, 0.0125])
    parts = {}
    for data in effort.choose((1024, 8192), (1024, 8192, 65536)):
        base = optima.best_rates(1.0, 2.0, data)
        runs = [batches(float(data), rate) for rate in rates]
        excess = np.array([run.loss for run in runs]) / base.loss - 1.0
        horizons = np.array([run.horizon for run in runs]) / base.horizon
        parts[f"loss D={data}"] = judges.inequality(np.abs(excess[-1]), 1e-3)
        parts[f"horizon D={data}"] = judges.equal(horizons[-1], 1.0, rtol=0.01)
        parts[f"order D={data}"] = judges.local_slopes(rates[:3], excess[:3] - excess[1:4], rates[:3], 0.1)
        joint = [optima.best_rates(1.0, 2.0, data // size, None, size) for size in (4, 16)]
        spread = np.array([run.loss for run in joint]) / base.loss - 1.0
        peaks = np.array([run.rates.max() for run in joint])
        parts[f"larger batches D={data}"] = judges.inequality(np.abs(spread), 0.025 * peaks)
    return judges.every(**parts)


@claim("batch_ramp_saves_steps", topic="schedules", paper=RANDOM_FEATURES, where="abstract (v2), joint schedules",
       stance="reconstructed",
       statement="constant eta with the ramp m ~ (1-t/T)^(1/(2b)-1) comes to the best loss in ~ D^(b/a) steps")
def batch_ramp_saves_steps(effort):
    """Exact optima at a rate of 0.2: loss within 1.5 per cent (a part ``O(eta)``) of that of the best rates at batch 1.

    Local slopes of the count of steps are judged against those of the law's horizon (0.03), these against the power up
    to 1e18.  The ramp: ``d log m/d log(1+u)`` over the middle of the run, u the intrinsic time that remains,
    is ``1/(2b) - 1`` up to its correction ``O(1/u)``.
    """
    return _ramp(effort, 1.0)


@batch_ramp_saves_steps.control("as many steps as samples")
def _(effort):
    return _ramp(effort, 0.0)


@batch_ramp_saves_steps.control("a ramp linear in the kernel, m ~ K in place of K^(1/2)")
def _(effort):
    return _ramp(effort, 2.0)


@batch_ramp_saves_steps.control("exact SGD against the law of a capacity larger by 0.3")
def _(effort):
    return _ramp(effort, 1.0, 0.3)


def _ramp(effort, bend, shift=0.0):
    """``bend`` multiplies the ramp's slope; 0 stands for another control, whose count grows like D."""
    sizes = np.array(optima.powers_of_two(10, effort.choose(18, 20), 2))
    far = 10.0 ** np.arange(8.0, 18.5)
    parts = {}
    for s, beta in EASY:
        label = f"s={s:g} beta={beta:g}"
        runs = [optima.best_batches(s, beta, float(data), RATE) for data in sizes]
        law = [optima.best_by_law(s, beta + shift, float(data), 1.0 / RATE).horizon for data in sizes]
        power = beta / (1.0 + s * beta) if bend else 1.0
        parts[f"steps {label}"] = judges.local_slopes(sizes, [run.steps for run in runs], law, 0.03)
        parts[f"steps, power {label}"] = judges.exponent(
            far, [optima.best_by_law(s, beta, data).horizon for data in far], power, 0.002, limit="large")
        some = sizes[sizes <= 65536]
        best = np.array([optima.best_rates(s, beta, int(data)).loss for data in some])
        excess = np.array([run.loss for run in runs[:some.size]]) / best - 1.0
        parts[f"loss {label}"] = judges.inequality(excess, 0.015, at={"D": some})
        run = runs[-1]
        remaining = run.horizon - RATE * (np.arange(run.steps) + 0.5)
        middle = (remaining > 0.03 * run.horizon) & (remaining < 0.3 * run.horizon)
        u, m = remaining[middle][::-1], run.batches[middle][::-1]
        slope = np.log(m[-1] / m[0]) / np.log((1.0 + u[-1]) / (1.0 + u[0]))
        parts[f"ramp {label}"] = judges.equal(slope, (bend or 1.0) * (0.5 / beta - 1.0), atol=1.0 / u[0])
    return judges.every(**parts)


@claim("batch_schedule_easy", topic="schedules", paper=BATCH_SIZE, where="Thm 3.1, easy", stance="reconstructed",
       statement="s > 1-1/beta: b* ~ (T*-t+1)^(1/(2 beta)-1), T* ~ D^(beta/(1+s beta)), E* ~ D^(-s beta/(1+s beta))")
def batch_schedule_easy(effort):
    """Exact optimal batches at eta = 0.2, budgets to 2^18 (2^20): horizon, last batch and loss.

    Each power twice: local slopes against the law's (0.03), and the law's own up to 1e18.  Batches rule by the square
    root: ``m/[K (S+sigma^2)]^(1/2)`` within 10 per cent over all but 2 per cent of the steps at either end.  Noise over
    signal rises towards ``s beta`` and stays below.
    """
    return _easy(effort, lambda s, beta, data: optima.best_batches(s, beta, data, RATE))


@batch_schedule_easy.control("the best constant batch size in place of the best schedule")
def _(effort):
    return _easy(effort, _best_constant)


@batch_schedule_easy.control("exact SGD against the law of a capacity larger by 0.3")
def _(effort):
    return _easy(effort, lambda s, beta, data: optima.best_batches(s, beta, data, RATE), 0.3)


def _best_constant(s, beta, data, rate=RATE):
    """The number of steps at which a constant batch size does best."""
    model, tried = optima.spectrum(s, beta, data), {}
    for steps in np.unique(np.round(np.geomspace(4, data, 60)).astype(int)).tolist():
        tried[steps] = _risk(model, rate, np.full(steps, data / steps))
    steps = min(tried, key=tried.get)
    return SimpleNamespace(loss=tried[steps], steps=steps, horizon=steps * rate, rate=rate, spectrum=model,
                           batches=np.full(steps, data / steps))


def _easy(effort, find, shift=0.0):
    sizes = np.array(optima.powers_of_two(10, effort.choose(18, 20), 2), dtype=float)
    far = 10.0 ** np.arange(8.0, 18.5)
    parts = {}
    for s, beta in EASY:
        runs = [find(s, beta, data) for data in sizes]
        powers = beta / (1.0 + s * beta), (0.5 + s * beta) / (1.0 + s * beta), -s * beta / (1.0 + s * beta)
        seen = np.array([(run.horizon, run.batches[-1], run.loss) for run in runs]).T
        near, limit = (np.array([(law.horizon, law.ratios[-1], law.loss) for law in (
            optima.best_by_law(s, capacity, data) for data in grid)]).T
            for grid, capacity in ((sizes, beta + shift), (far, beta)))
        for name, here, there, beyond, power in zip(("T", "last batch", "loss"), seen, near, limit, powers):
            label = f"{name} s={s:g} beta={beta:g}"
            parts[label] = judges.local_slopes(sizes, here, there, 0.03)
            parts[f"power of {label}"] = judges.exponent(far, beyond, power, 0.002, limit="large")
        parts[f"rule s={s:g} beta={beta:g}"] = judges.bounded(_rule(runs[-1]), spread=1.1)
        share = np.array([_noise_over_signal(run) for run in runs])
        parts[f"noise s={s:g} beta={beta:g}"] = judges.inequality(share, np.append(share[1:], s * beta))
    return judges.every(**parts)


def _rule(run, smallest=None):
    """``m/[K (S + sigma^2)]^(1/2)``, all steps (above a smallest batch: those) but 2 per cent at either end."""
    rates = np.full(run.steps, run.rate)
    schedule = learning_rates.Schedule(rates)
    total = _state_sums(run)
    root = np.sqrt(optima.kernel(run.spectrum, optima.remaining_times(schedule)) * (total + 1.0))
    grows = np.arange(run.steps) if smallest is None else np.flatnonzero(run.batches > smallest * (1 + 1e-9))
    cut = int(0.02 * grows.size)
    return (run.batches / root)[grows[cut:grows.size - cut]]


def _state_sums(run):
    """``S_k`` before each step at sigma = 1, for batch sizes that are not whole."""
    made = modes(run.spectrum)
    state, sums = made.start.copy(), np.empty(run.steps + 1)
    sums[0] = state.sum()
    for k, size in enumerate(run.batches):
        sums[k + 1] = advance(state, sums[k], made.values, made.push, run.rate, size, 1.0, made.correction)
    return sums[:-1]


def _noise_over_signal(run):
    """Final risk beyond that of gradient descent without noise, relative to the latter."""
    model = run.spectrum
    left = (1.0 - run.rate * model.eigenvalues) ** (2 * run.steps)
    signal = 0.5 * model.sum(model.eigenvalues * model.target_squared * left)
    return (run.loss - model.approximation_error - signal) / signal


@claim("batch_schedule_hard", topic="schedules", paper=BATCH_SIZE, where="Thm 3.1, hard", stance="reconstructed",
       statement="s < 1-1/beta: B_min, then growth (share D^(-(1-1/beta-s)/(2-1/beta)), to D^((1+s)/2)); E* ~ D^(-s)")
def batch_schedule_hard(effort):
    """Exact optimal batches >= 1 at eta = 0.2: steps above the floor, last batch and loss.

    Local slopes against the law's (0.03), the law's against the powers up to 1e15, and no more steps than samples.
    Where batches grow they do so by the square root: ``m/[K (S+sigma^2)]^(1/2)`` is constant up to the order of the
    rate, 0.2, over all but 2 per cent of these steps at either end.
    """
    return _hard(effort, HARD, 1.0)


@batch_schedule_hard.control("no floor: then T* ~ D^(beta/(1+s beta)) exceeds what D samples can pay")
def _(effort):
    return _hard(effort, HARD[:1], 0.4, (256, 1024, 4096, 16384))


@batch_schedule_hard.control("an easy task: no plateau")
def _(effort):
    return _hard(effort, EASY[:1], 1.0)


@batch_schedule_hard.control("exact SGD against the law of a capacity larger by 0.3")
def _(effort):
    return _hard(effort, HARD, 1.0, shift=0.3)


def _hard(effort, tasks, smallest, sizes=None, shift=0.0):
    sizes = np.array(sizes or optima.powers_of_two(10, effort.choose(16, 18), 2), dtype=float)
    budgets = 10.0 ** np.arange(7.0, 15.5)
    parts = {}
    for s, beta in tasks:
        runs = [optima.best_batches(s, beta, data, RATE, smallest) for data in sizes]
        powers = 1.0, -(1.0 - 1.0 / beta - s) / (2.0 - 1.0 / beta), (1.0 + s) / 2.0, -s
        seen = np.array([(run.horizon, np.mean(run.batches > smallest * (1 + 1e-9)), run.batches[-1], run.loss)
                         for run in runs]).T
        near, far = (np.array([(law.horizon, law.crossover / law.horizon, law.ratios[-1], law.loss) for law in (
            optima.best_by_law(s, capacity, data, smallest / RATE) for data in grid)]).T
            for grid, capacity in ((sizes, beta + shift), (budgets, beta)))
        for name, here, there, limit, power in zip(("T", "share", "last batch", "loss"), seen, near, far, powers):
            label = f"{name} s={s:.3g} beta={beta:g}"
            parts[label] = judges.local_slopes(sizes, here, there, 0.03)
            parts[f"power of {label}"] = judges.exponent(budgets, limit, power, 0.012, limit="large")
        parts[f"one pass s={s:.3g} beta={beta:g}"] = judges.inequality(seen[0], RATE * sizes)
        parts[f"growth s={s:.3g} beta={beta:g}"] = judges.bounded(_rule(runs[-1], smallest), spread=1.0 + RATE)
    return judges.every(**parts)
