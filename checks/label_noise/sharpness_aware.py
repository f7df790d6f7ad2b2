"""Claims about sharpness-aware minimisation: it drifts like label noise, until the origin takes over.

The paper shows SAM by experiment only (step and radius not printed).  Batch size 1 and clean labels; fresh Gaussian
inputs, d = 5, m = 50, ||theta*|| = 1, from one start, over T = 2/v steps of ``v = 2 h rho^2``.
"""

from functools import cache

import numpy as np

from ...sims import label_noise as sgd
from ...theory import label_noise as theory
from ...theory.label_noise import slow_flow
from ...theory.label_noise.collapse import collapse_radius
from .. import judges
from ..claim import claim
from . import slow_dynamics
from .paper import LABEL_NOISE

SEED = 20_260_314
STEPS_OF_DESCENT = (2.8e-3, 2e-3, 1.4e-3, 1e-3)
RADII = {0.05: 24, 0.1: 96}
"""Radii and replicas at quick effort; the smaller one fluctuates less and takes longer."""
SMALLEST = 0.02
"""A third radius at full effort, at the smallest step."""
SPAN, MOMENTS = 2.0, 20
MARGIN = 0.02
"""On ``||W||^2``, relative: the correction is of first order in h ||M||, 4% at the largest step and the start.  Terms
of second order are left, whatever rho; their constant is not derived, and the margin is set."""

PAPER_LIKE = theory.TwoLayerLinear(20, 1000, 1e-3, 0.0, 1.0, samples=200)
"""The sizes of Fig. 2 for SAM, ``||theta*|| = 1``."""


@claim("sam_slow_flow", topic="label_noise", paper=LABEL_NOISE, where="Fig. 4", stance="derived",
       statement="|W|^2 under batch-1 SAM follows the slow flow of label noise with v = 2 eta rho^2, corrected")
def sam_slow_flow(effort):
    """Within 2%, two radii, four step sizes; with the first-order term of the shifted residual."""
    return _flows(effort, lambda rho: rho)


@sam_slow_flow.control("v = eta rho^2")
def _(effort):
    return _flows(effort, lambda rho: rho / np.sqrt(2.0))


@sam_slow_flow.control("without the first-order term")
def _(effort):
    return _flows(effort, lambda rho: rho, "none")


@claim("sam_slow_flow_order", topic="label_noise", paper=LABEL_NOISE, where="Fig. 4", stance="derived",
       statement="v = 2 eta rho^2 alone misses ln|W|^2 under SAM by a first-order term in eta, whatever rho")
def sam_slow_flow_order(effort):
    """Mean of ln(flow/run) over times from v t = 0.6 on, all positive; its ratio between the radii is one."""
    gaps = {rho: _gaps(effort, rho, "none") for rho in RADII}
    parts = {f"rho = {rho:g}": judges.exponent(STEPS_OF_DESCENT, gap, 1.0, 0.2, stderr=error)
             for rho, (gap, error) in gaps.items()}
    (one, first), (two, second) = gaps.values()
    ratio = judges.inequality(np.abs(one / two - 1.0), 0.05, stderr=np.hypot(first / one, second / two),
                              over="between the radii")
    return judges.every(**parts, ratio=ratio)


@sam_slow_flow_order.control("v = 1.9 eta rho^2, which leaves a term of order zero")
def _(effort):
    gap, error = _gaps(effort, min(RADII), "none", 0.95)
    return judges.exponent(STEPS_OF_DESCENT, gap, 1.0, 0.2, stderr=error)


@claim("sam_label_noise_equivalence", topic="label_noise", paper=LABEL_NOISE, where="Fig. 4", stance="derived",
       statement="SAM (eta, rho) and label noise sigma^2 = 2 rho^2/eta have one |W|^2, up to first order in eta")
def sam_label_noise_equivalence(effort):
    """Runs against runs at equal v t: their gap in ln||W||^2 is, within 2%, that of the two corrections at finite
    step, and this gap vanishes like eta.
    """
    return _equivalence(effort, 1.0)


@sam_label_noise_equivalence.control("sigma^2 = rho^2/eta")
def _(effort):
    return _equivalence(effort, 2.0)


@sam_label_noise_equivalence.control("sigma^2 = 2.4 rho^2/eta")
def _(effort):
    return _equivalence(effort, 1.0 / 1.2)


@claim("sam_collapse", topic="label_noise", paper=LABEL_NOISE, where="Fig. 4", stance="derived",
       statement="SAM falls to the origin from rho_c on, rho_c^2 = (pi/2) sqrt(d) |theta*|/(d+1) to a fifth; d >= 5")
def sam_collapse(effort):
    """Collapse experiments, named so: all replicas keep ``tr H`` above half its least value, or all lose it.

    d = 5 and 20 (50 at full effort).  In fewer dimensions the fluctuations of N blur the boundary by more than a fifth:
    no collapse is seen up to 1.6 rho_c for d = 1 and 1.3 for d = 2.
    """
    return _collapse(effort, lambda d: 1.0)


@sam_collapse.control("rho_c = sqrt(2 sqrt(d) |theta*|)/d")
def _(effort):
    return _collapse(effort, lambda d: np.sqrt(2.0 * np.sqrt(d)) / d / collapse_radius(d, 1.0))


@sam_collapse.control("rho_c^2 = (pi/2) |theta*|/sqrt(5) at every d")
def _(effort):
    return _collapse(effort, lambda d: collapse_radius(5, 1.0) / collapse_radius(d, 1.0))


@claim("sam_two_phases", topic="label_noise", paper=LABEL_NOISE, where="Fig. 4", stance="reconstructed",
       statement="SAM: first avg|w_i| falls fivefold with mean |cos(w_i, theta*)| below 0.4, then |cos| exceeds 0.95")
def sam_two_phases(effort):
    """n = 200, m = 1000, d = 20, eta = 1e-3 as in Fig. 2; rho = 0.3, ||theta*|| = 1 and the times 2e4, 1e5 are ours.

    The thresholds are ours too: of what the figure shows by eye only the order of the two phases is a statement.  At
    full effort beside rho = 0.5, aligned at 5e4, and rho = 0.7, which ends at the origin, ``|theta| < 0.01``; at 0.6,
    next to the collapse radius, some of 64 runs have not by 1e5.
    """
    if effort.level == "quick":
        return _phases(effort, 0.3)
    aligned, collapsed = _last(effort, 0.5), _last(effort, 0.7)
    return judges.every(
        phases=_phases(effort, 0.3),
        aligned=judges.inequality(0.95, aligned.mean[0, 8], stderr=aligned.stderr[0, 8]),
        alive=judges.inequality(0.9, aligned.mean[0, 4], stderr=aligned.stderr[0, 4]),
        collapsed=judges.inequality(abs(collapsed.mean[1, 4]), 0.01, stderr=collapsed.stderr[1, 4]))


@sam_two_phases.control("rho = 0.03: slow times a hundred times shorter")
def _(effort):
    return _phases(effort, 0.03)


@sam_two_phases.control("rho = 0: SGD on clean labels")
def _(effort):
    return _phases(effort, 0.0)


def _last(effort, rho):
    return sgd.simulate_sharpness_aware(PAPER_LIKE, 100_000, rho, replicas=64, seed=SEED, neurons=True, collapse=True,
                                        times=[50_000, 100_000], **effort.engine)


def _phases(effort, rho):
    runs = sgd.simulate_sharpness_aware(PAPER_LIKE, 100_000, rho, replicas=effort.choose(8, 64), seed=SEED,
                                        neurons=True, times=[0, 20_000, 100_000], **effort.engine)
    (start, norm, _), (_, early, late) = runs.mean[:, 7], runs.mean[:, 8]
    error = runs.stderr[:, 7:9]
    return judges.every(norm=judges.inequality(norm / start, 0.2, stderr=error[1, 0] / start),
                        before=judges.inequality(early, 0.4, stderr=error[1, 1]),
                        after=judges.inequality(0.95, late, stderr=error[2, 1]))


def _model(step):
    return theory.TwoLayerLinear(slow_dynamics.DIMENSION, slow_dynamics.WIDTH, step, 0.0, 1.0)


def _times(step, rho):
    return np.round(np.linspace(0.0, SPAN / (2.0 * step * rho**2), MOMENTS + 1)).astype(int)[1:]


@cache
def run(effort, step, rho):
    """Runs of SAM: the times and the estimate."""
    times = _times(step, rho)
    seed = SEED + 100 * STEPS_OF_DESCENT.index(step) + list(RADII).index(rho)
    return times, sgd.simulate_sharpness_aware(
        _model(step), int(times[-1]), rho, replicas=effort.choose(RADII[rho], 256), seed=seed, times=times,
        start=slow_dynamics.start(), **effort.engine)


def _flow(step, rho, times, corrected):
    return slow_flow.path(_model(step), times, theory.gram(*slow_dynamics.start()), corrected=corrected,
                          radius=rho).first_norm


def _flows(effort, radius, corrected="gaussian"):
    parts = {}
    for step in STEPS_OF_DESCENT:
        for rho in RADII:
            times, runs = run(effort, step, rho)
            expected = _flow(step, radius(rho), times, corrected)
            parts[f"eta = {step:g}, rho = {rho:g}"] = judges.inequality(
                np.abs(runs.mean[:, 3] / expected - 1.0), MARGIN, stderr=runs.stderr[:, 3] / expected, at={"t": times})
    return judges.every(**parts, **effort.choose(dict, lambda: _at_full_effort(effort, radius, corrected))())


def _at_full_effort(effort, radius, corrected):
    """A smaller radius; and the decay of ``||W||^2`` in phase I of the paper's widths, m = 1000, d = 20."""
    step = min(STEPS_OF_DESCENT)
    times = _times(step, SMALLEST)
    small = sgd.simulate_sharpness_aware(_model(step), int(times[-1]), SMALLEST, replicas=32, seed=SEED + 50,
                                         times=times, start=slow_dynamics.start(), **effort.engine)
    cases = {f"rho = {SMALLEST:g}": (small, _flow(step, radius(SMALLEST), times, corrected))}
    for step in (1e-4, 2e-4):
        wide = theory.TwoLayerLinear(20, 1000, step, 0.0, 1.0)
        begin = sgd.draws(sgd.Descent(theory.TwoLayerLinear(20, 1000, 1e-9, 0.0, 1.0), 1), SEED)[2]
        times = np.array([int(0.1 / (2.0 * step * 0.05**2))])
        runs = sgd.simulate_sharpness_aware(wide, int(times[-1]), 0.05, replicas=32, seed=SEED + 51, times=times,
                                            start=begin, **effort.engine)
        path = slow_flow.path(wide, times, theory.gram(*begin), corrected=corrected, radius=radius(0.05))
        cases[f"m = 1000, eta = {step:g}"] = runs, path.first_norm
    return {name: judges.inequality(np.abs(runs.mean[:, 3] / expected - 1.0), MARGIN,
                                    stderr=runs.stderr[:, 3] / expected)
            for name, (runs, expected) in cases.items()}


def _gaps(effort, rho, corrected, faster=1.0):
    """Mean of ``ln(flow/run)`` over late times per step size, and an upper bound of its standard error."""
    late, gaps, errors = slice(MOMENTS // 4, None), [], []
    for step in STEPS_OF_DESCENT:
        times, runs = run(effort, step, rho)
        gaps.append(np.mean(np.log(_flow(step, rho, faster * times, corrected) / runs.mean[:, 3])[late]))
        errors.append(np.mean((runs.stderr[:, 3] / runs.mean[:, 3])[late]))
    return np.array(gaps), np.array(errors)


@cache
def _label_noise(effort, step, rho, stretch):
    """Runs of label noise with ``sigma^2 = 2 rho^2/(eta stretch)`` at the times of the runs of SAM."""
    times = _times(step, rho)
    return sgd.simulate(_noisy(step, rho / np.sqrt(stretch)), int(times[-1]), replicas=effort.choose(64, 1024),
                        seed=SEED + 200 + STEPS_OF_DESCENT.index(step), times=times, start=slow_dynamics.start(),
                        **effort.engine)


def _noisy(step, rho):
    """The model with label noise ``sigma^2 = 2 rho^2/eta``."""
    return theory.TwoLayerLinear(slow_dynamics.DIMENSION, slow_dynamics.WIDTH, step, float(np.sqrt(2.0 / step)) * rho,
                                 1.0)


def _predicted_gap(step, rho, times):
    """``ln(||W||^2 of SAM/||W||^2 of label noise)`` by the corrected flows."""
    noisy = slow_flow.path(_noisy(step, rho), times, theory.gram(*slow_dynamics.start())).first_norm
    return np.log(_flow(step, rho, times, "gaussian") / noisy)


def _equivalence(effort, stretch):
    rho, parts = min(RADII), {}
    for step in STEPS_OF_DESCENT[1::2]:
        times, aware = run(effort, step, rho)
        noisy = _label_noise(effort, step, rho, stretch)
        gap, expected = np.log(aware.mean[:, 3] / noisy.mean[:, 3]), _predicted_gap(step, rho, times)
        error = np.hypot(aware.stderr[:, 3] / aware.mean[:, 3], noisy.stderr[:, 3] / noisy.mean[:, 3])
        worst = np.argmax(np.abs(gap - expected))
        parts[f"eta = {step:g}"] = judges.inequality(np.abs(gap - expected), MARGIN, stderr=error, at={"t": times},
                                                     over=f"gap {gap[worst]:.4f}, predicted {expected[worst]:.4f}")
    steps = np.array([4e-4, 2e-4, 1e-4, 5e-5])
    ends = [_predicted_gap(step, rho, [SPAN / (2.0 * step * rho**2)])[0] for step in steps]
    return judges.every(**parts, order=judges.order(steps, -np.array(ends), 1.0, 0.05))


def _collapse(effort, boundary):
    """The sign of what is left of ``tr H`` changes at the boundary, in units of ``rho_c``."""
    parts = {}
    for d, step in effort.choose(((5, 4e-3), (20, 2e-3)), ((5, 2e-3), (20, 1e-3), (50, 5e-4))):
        factors = np.array([0.1, 0.4, 0.8, 1.2, 1.6, 2.4])
        left = np.array([_left(effort, d, step, factor) for factor in factors])
        parts[f"d = {d}"] = judges.sign_change(factors, left, boundary(d), width=0.5)
    return judges.every(**parts)


@cache
def _left(effort, d, step, factor):
    """``tr H`` over its least value among interpolators, less 1/2, of the replica nearest to 1/2."""
    rho = factor * collapse_radius(d, 1.0)
    model = theory.TwoLayerLinear(d, 10 * d, step, 0.0, 1.0)
    steps = int(10.0 / (2.0 * step * max(rho, 0.5 * collapse_radius(d, 1.0)) ** 2))
    runs = sgd.SharpnessAware(model, steps, rho, [steps], collapse=True).sample(SEED, 0, effort.choose(2, 16))
    left = runs[:, 0, 6] / (2.0 * np.sqrt(d)) - 0.5
    return float(left[np.argmin(np.abs(left))]) if len(set(np.sign(left))) == 1 else 0.0
