"""Claims: what LITE with the exact projector gains in a river valley, and what it leaves alone.

Straight valley of slope 0.1 with eight sharp directions, curvatures 2 to 60, unit noise in every coordinate, Nesterov's
method at momentum 0.95 and rate 0.002, 4000 steps from the floor.  Progress is x at the end; floors are means of y^2
over the last 3000 steps, after which less than 1e-9 of the start is left.  All variants see the same noise.
"""

from functools import cache

import numpy as np

from ...sims import streams
from ...sims.riemannian import Descent, simulate
from ...theory import learning_rates
from ...theory.riemannian import modes, river
from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.lite import Lite
from ...theory.riemannian.optimizers import gradient_descent, heavy_ball
from ...theory.riemannian.valleys import CurvedValley, StraightValley
from .. import judges
from ..claim import claim
from .paper import LITE

RATE, MOMENTUM, SLOPE, STEPS, BURN = 0.002, 0.95, 0.1, 4000, 1000
BETA = 1.0 / MOMENTUM
"""Nesterov's damping."""
CURVATURES = np.geomspace(2.0, 60.0, 8)
VARIANTS = {"base": (1.0, 0.0), "chi=2": (2.0, 0.0), "chi=4": (4.0, 0.0), "beta_2+20": (1.0, 20.0),
            "chi=2, beta_2+20": (2.0, 20.0)}
"""Gain and extra damping on the river."""
CURVED = CurvedValley(SLOPE, 50.0, 0.3, 2.0)
CURVED_TOLERANCE = 0.04


@claim("river_progress", topic="riemannian", paper=LITE, where="Algorithm 1, river valley", stance="derived",
       statement="E x_K = eta chi c [(1 + alpha beta_2) K/alpha - theta (1 - theta^K)/alpha^2], whatever the noise")
def river_progress(effort):
    """chi = 1, 2, 4, beta_2 20 above Nesterov's, and both."""
    return _progress(effort, lambda rate, *rest: river.river_progress(STEPS, rate, *rest))


@river_progress.control("without the gain 1 + alpha beta_2")
def _(effort):
    return _progress(effort, lambda rate, slope, theta, beta, chi: river.river_progress(
        STEPS, rate, slope, theta, 0.0, chi))


@river_progress.control("chi on the sharp directions in place of the river")
def _(effort):
    return _progress(effort, lambda rate, *rest: river.river_progress(STEPS, rate, *rest), ("base", "chi=2"), True)


@claim("river_start", topic="riemannian", paper=LITE, where="Algorithm 1, river valley", stance="derived",
       statement="the empty buffer costs theta/(alpha + alpha^2 beta_2) steps of the long run's speed")
def river_start(effort):
    """The first 100 steps, with little noise: the difference to K steps at full speed is 19 % there."""
    return _early(effort, river.river_progress)


@river_start.control("K steps at the speed of the long run")
def _(effort):
    return _early(effort, lambda steps, *rest: steps * river.river_speed(*rest))


@claim("sharp_floor", topic="riemannian", paper=LITE, where="Algorithm 1, river valley", stance="derived",
       statement="with the exact Q Var y_j = (sigma/lambda_j)^2 N(eta lambda_j) across, whatever chi and beta_2")
def sharp_floor(effort):
    """All eight directions under all five variants against the floor of the base."""
    return _floors(effort, VARIANTS)


@sharp_floor.control("the whole learning rate doubled")
def _(effort):
    return _floors(effort, {"all rates x 2": None})


@sharp_floor.control("beta 0.5 larger in all directions")
def _(effort):
    return _floors(effort, {"beta + 0.5": 0.5})


@sharp_floor.control("chi = 2 on the sharp directions only")
def _(effort):
    return _floors(effort, {"chi=2": VARIANTS["chi=2"]}, swapped=True)


@claim("uniform_rate", topic="riemannian", paper=LITE, where="Algorithm 1, river valley", stance="derived",
       statement="eta doubled in all directions: the river twice as fast, and floors N(2 s_j)/N(s_j) times as high")
def uniform_rate(effort):
    """What LITE buys without the second; the ratio of floors is measured on common noise, mode by mode."""
    return _doubled(effort, lambda s: modes.noise_floor(2.0 * s, MOMENTUM, BETA) / modes.noise_floor(s, MOMENTUM, BETA))


@uniform_rate.control("floors twice as high, as for small steps")
def _(effort):
    return _doubled(effort, lambda s: np.full_like(s, 2.0))


@claim("uniform_damping", topic="riemannian", paper=LITE, where="Algorithm 1, river valley", stance="derived",
       statement="beta in all directions is unstable from s_max = 2 (1 + theta)/(1 + (1 + theta) beta) on")
def uniform_damping(effort):
    """At eta lambda = 0.12, extra dampings of 5 to 40: the loss after 40 steps is above that after 20, or below."""
    return _damped(effort, lambda beta: 2.0 * (1.0 + MOMENTUM) / (1.0 + (1.0 + MOMENTUM) * beta))


@uniform_damping.control("the largest step of heavy ball, 2 (1 + theta)")
def _(effort):
    return _damped(effort, lambda beta: np.full_like(beta, 2.0 * (1.0 + MOMENTUM)))


@claim("curved_river", topic="riemannian", paper=LITE, where="Algorithm 1, river valley", stance="derived",
       statement="along y = 0.3 sin 2x with the local tangent as Q: chi times the progress, the same noise across")
def curved_river(effort):
    """chi = 2, beta_2 + 20, both, and chi = 4, relative to the base, on the same noise across the axis of the valley.

    Gradient flow on the floor runs at c/(1 + (A k cos k x)^2), so ratios of times are exact for it, and those of
    progress where many bends are averaged; what they neglect is that buffer and floor turn against each other while a
    buffer lasts, and the noise that a bend turns into the river.  The tolerance, 4 %, is set, above both.
    """
    return _curved(effort, {"chi=2": (2.0, 0.0), "chi=4": (4.0, 0.0), "beta_2+20": (1.0, 20.0),
                            "chi=2, beta_2+20": (2.0, 20.0)})


@curved_river.control("the axis x in place of the tangent of the floor")
def _(effort):
    return _curved(effort, {"chi=4": (4.0, 0.0)}, projector=np.diag([1.0, 0.0]))


@curved_river.control("the whole learning rate doubled")
def _(effort):
    return _curved(effort, {"chi=2": (2.0, 0.0)}, uniform=True)


@curved_river.control("noise along the axis, too: chi (1 + beta_2) = 44 times of it leave the bent floor in one step")
def _(effort):
    return _curved(effort, {"chi=2, beta_2+20": (2.0, 20.0)}, along=1.0)


@claim("decay_phase", topic="riemannian", paper=LITE, where="river valley, decay phase", stance="reconstructed",
       statement="rates 1/(lambda (k + 1 + sigma^2/(lambda^2 v_0))) reach 1/E y^2 = 1/v_0 + k lambda^2/sigma^2")
def decay_phase(effort):
    """SGD across the river from the floor of a constant rate, E y^2 along 1000 steps, by experiment."""
    return _decay(effort, lambda noise: river.decaying_rates(1000, 0.04, 5.0, noise))


@decay_phase.control("rates 1/(lambda (k + 1))")
def _(effort):
    return _decay(effort, lambda noise: 1.0 / (5.0 * (np.arange(1000) + 1.0)))


@decay_phase.control("a cosine to 0 from the same first rate")
def _(effort):
    return _decay(effort, lambda noise: learning_rates.cosine(
        1000, river.decaying_rates(1, 0.04, 5.0, noise)[0]).rates)


@claim("decay_optimum", topic="riemannian", paper=LITE, where="river valley, decay phase", stance="derived",
       statement="no schedule has less than E y_K^2 = 1/(1/v_0 + K lambda^2/sigma^2)")
def decay_optimum(effort):
    """Cosine, linear, 1/k, 1/sqrt k and constant rates at 60 peaks each, and 300 (full: 30000) random schedules."""
    return _schedules(effort, 1.0)


@decay_optimum.control("a bound 0.1 % higher")
def _(effort):
    return _schedules(effort, 1.001)


def _lite(chi, more, landscape, projector=None, rate=RATE):
    base = heavy_ball(rate, MOMENTUM, BETA)
    return Lite(base, landscape.flat if projector is None else projector, chi, more)


def _optimizer(variant, landscape, swapped=False):
    """LITE with gain and damping; None: the base at twice the rate; a number: that much damping everywhere."""
    if variant is None:
        return heavy_ball(2.0 * RATE, MOMENTUM, BETA)
    if isinstance(variant, float):
        return heavy_ball(RATE, MOMENTUM, BETA + variant)
    across = np.diag([0.0] + [1.0] * (landscape.dimension - 1))
    return _lite(*variant, landscape, across if swapped else None)


@cache
def _run(variant, replicas, jobs, swapped=False):
    landscape = StraightValley(SLOPE, CURVATURES)
    return simulate(landscape, _optimizer(variant, landscape, swapped), STEPS, 0.0, noise=1.0, replicas=replicas,
                    seed=0, times=[BURN, STEPS], averaged=True, modes=True, jobs=jobs)


@cache
def _end(variant, replicas, jobs, swapped=False):
    landscape = StraightValley(SLOPE, CURVATURES)
    return simulate(landscape, _optimizer(variant, landscape, swapped), STEPS, 0.0, noise=1.0, replicas=replicas,
                    seed=0, times=[STEPS], jobs=jobs)


def _replicas(effort):
    return effort.choose(256, 2048)


def _progress(effort, law, names=tuple(VARIANTS), swapped=False):
    variants = [VARIANTS[name] for name in names]
    found = [_end(variant, _replicas(effort), effort.jobs, swapped) for variant in variants]
    expected = [law(RATE, SLOPE, MOMENTUM, BETA + more, chi) for chi, more in variants]
    return judges.monte_carlo(judges.Sample(*(np.array([getattr(each, name)[0, 2] for each in found])
                                              for name in ("mean", "stderr")), _replicas(effort)),
                              expected, resolution=0.1, at={"variant": list(names)})


def _early(effort, law):
    landscape, parts = StraightValley(SLOPE, CURVATURES), {}
    for name, (chi, more) in VARIANTS.items():
        found = simulate(landscape, _lite(chi, more, landscape), 100, 0.0, noise=0.02, replicas=_replicas(effort),
                         seed=5, times=[100], jobs=effort.jobs)
        parts[name] = judges.monte_carlo(judges.Sample(found.mean[:, 2], found.stderr[:, 2], _replicas(effort)),
                                         law(100, RATE, SLOPE, MOMENTUM, BETA + more, chi), resolution=0.05)
    return judges.every(**parts)


def _floors(effort, variants, swapped=False):
    """Mean y_j^2 after the burn-in against the base's floor."""
    found = [_run(variant, _replicas(effort), effort.jobs, swapped) for variant in variants.values()]
    sample = judges.Sample(*(np.array([getattr(each, name)[1, -CURVATURES.size:] for each in found])
                             for name in ("mean", "stderr")), _replicas(effort),
                           np.array([each.skewness[1, -CURVATURES.size:] for each in found]))
    return judges.monte_carlo(sample, modes.noise_floor(RATE * CURVATURES, MOMENTUM, BETA, CURVATURES),
                              resolution=0.1, at={"variant": np.array(list(variants))[:, None], "lambda": CURVATURES})


def _doubled(effort, law):
    """Both ratios; the error of a ratio of two means is at most the sum of their relative errors."""
    base, double = (_run(variant, _replicas(effort), effort.jobs) for variant in (VARIANTS["base"], None))
    ends = [_end(variant, _replicas(effort), effort.jobs).mean[0, 2] for variant in (VARIANTS["base"], None)]
    own, twice = (each.mean[1, -CURVATURES.size:] for each in (base, double))
    error = sum(each.stderr[1, -CURVATURES.size:] / each.mean[1, -CURVATURES.size:] for each in (base, double))
    ratio = judges.Sample(twice / own, twice / own * error, _replicas(effort))
    return judges.every(floors=judges.monte_carlo(ratio, law(RATE * CURVATURES), resolution=0.2,
                                                  at={"lambda": CURVATURES}),
                        river=judges.equal(ends[1] / ends[0], 2.0, rtol=1e-9))


def _damped(effort, law):
    more, curvature = np.linspace(5.0, 40.0, effort.choose(15, 71)), 60.0
    size = []
    for each in more:
        made = Descent(Quadratic([curvature]), heavy_ball(RATE, MOMENTUM, BETA + each), 40, 1.0, times=[20, 40],
                       unstable=True)
        losses = made.sample(0, 0, 1)[0, :, 0]
        size.append(losses[1] / losses[0])
    bound = law(BETA + more)
    crossed = np.interp(0.0, RATE * curvature - bound, more) if (RATE * curvature > bound).any() else more[-1]
    return judges.sign_change(more, np.log(np.array(size)), crossed, width=1.1 * (more[1] - more[0]))


def _ratios(top, bottom):
    """Ratios of means with the standard errors of pairs on the same noise, column by column."""
    found = []
    for own, other in zip(top.T, bottom.T, strict=True):
        ratio = own.mean() / other.mean()
        found.append((ratio, np.std(own - ratio * other, ddof=1) / np.sqrt(own.size) / other.mean()))
    return found


def _pairs(optimizer, steps, along, replicas):
    """Progress and floor of single replicas of the curved valley, (R, 2); the last window is the last step alone."""
    made = Descent(CURVED, optimizer, steps, 0.0, noise=[along, 1.0], times=[steps // 4, steps - 1, steps],
                   averaged=True, modes=True)
    found = made.sample(6, 0, replicas)
    return np.column_stack([found[:, 2, 2], found[:, 1, -1]])


@cache
def _base_pairs(steps, along, replicas):
    return _pairs(heavy_ball(RATE, MOMENTUM, BETA), steps, along, replicas)


def _curved(effort, variants, projector=None, uniform=False, along=0.0):
    """|ratio/expected - 1| within the tolerance, beyond the error bars."""
    steps, replicas = effort.choose((8000, 512), (16_000, 4096))
    off, errors, alpha = [], [], 1.0 - MOMENTUM
    for chi, more in variants.values():
        expected = np.array([chi * (1.0 + alpha * (BETA + more)) / (1.0 + alpha * BETA), 1.0])
        optimizer = heavy_ball(2.0 * RATE, MOMENTUM, BETA) if uniform else _lite(chi, more, CURVED, projector)
        found = np.array(_ratios(_pairs(optimizer, steps, along, replicas), _base_pairs(steps, along, replicas)))
        off.append(np.abs(found[:, 0] / expected - 1.0))
        errors.append(found[:, 1] / expected)
    return judges.inequality(off, CURVED_TOLERANCE, stderr=np.array(errors),
                             at={"variant": np.array(list(variants))[:, None], "of": np.array(["progress", "floor"])})


def _decay(effort, rates):
    noise, replicas, steps = 0.7, effort.choose(2**13, 2**17), np.array([1, 10, 100, 300, 1000])
    schedule = rates(noise)
    found = simulate(Quadratic([5.0]), gradient_descent(float(schedule[0])), 1000, 0.2, noise=noise, seed=7,
                     schedule=schedule / schedule[0], replicas=replicas, times=steps, modes=True, jobs=effort.jobs)
    return judges.monte_carlo(judges.Sample(found.mean[:, -1], found.stderr[:, -1], replicas, found.skewness[:, -1]),
                              river.decayed_variance(steps, 0.04, 5.0, noise), resolution=0.2, at={"step": steps})


def _schedules(effort, factor):
    """Relative to the bound; the least is at the schedule that reaches it."""
    steps, variance, curvature, noise = 200, 0.04, 5.0, 0.7
    fraction, peaks = np.arange(steps) / steps, np.geomspace(1e-3, 0.39, 60)
    shapes = {"cosine": 0.5 * (1.0 + np.cos(np.pi * fraction)), "linear": 1.0 - fraction, "constant": np.ones(steps),
              "1/k": 1.0 / (1.0 + np.arange(steps)), "1/sqrt k": 1.0 / np.sqrt(1.0 + np.arange(steps))}
    key, count = streams.key(0, "riemannian.schedules"), effort.choose(300, 30_000)
    walks = np.exp(0.3 * np.cumsum(streams.normals(key, np.arange(count), 0, steps).astype(float), axis=1))
    best = river.decaying_rates(steps, variance, curvature, noise)
    rates = np.concatenate([*(peaks[:, None] * shape for shape in shapes.values()), 0.1 * np.minimum(walks, 3.9),
                            best[None]])
    ends = river.variances(rates.T, variance, curvature, noise)[-1]
    bound = river.decayed_variance(steps, variance, curvature, noise)
    return judges.inequality(-ends, -factor * bound, over=f"{len(rates)} schedules")
