"""Claims: what sampled gradients leave of a mode, with additive noise and with noise in the curvature.

Runs start at w = 0 and record means over many steps after a burn-in; the tail of the burn-in, radius^steps, is below
1e-9 and the mean over the window is unbiased.
"""

import numpy as np

from ...sims.riemannian import simulate
from ...theory.riemannian import modes, second_moment
from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.optimizers import heavy_ball
from .. import judges
from ..claim import claim
from .paper import LITE

METHODS = (("heavy ball", 0.9, 0.0), ("half damped", 0.9, 0.5), ("Nesterov", 0.95, 1.0 / 0.95), ("plain", 0.0, 0.0),
           ("negative", 0.8, -0.5))
"""Momentum and damping."""
SHARE = (0.02, 0.1, 0.3)
"""Steps in units of the largest stable one."""
FAR = (0.95, 1.0 / 0.95, 0.1)
"""Momentum, damping and step where the formula for small steps fails by more than a factor 2."""


@claim("noise_floor", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="gradient noise sigma leaves Var w = (sigma/lambda)^2 N(s), N rational in s = eta lambda, exactly")
def noise_floor(effort):
    """Five methods, steps of 2, 10 and 30 % of the largest, and Nesterov at s = 0.1; curvatures and noises differ."""
    return _floors(effort, modes.noise_floor)


@noise_floor.control("the formula for small steps, s (1 + alpha beta)/(2 alpha)")
def _(effort):
    return _floors(effort, modes.small_step_floor)


@noise_floor.control("the floor of heavy ball, whatever the damping")
def _(effort):
    return _floors(effort, lambda s, theta, beta, *rest: modes.noise_floor(s, theta, 0.0 * beta, *rest))


@claim("small_step_floor_fails", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="momentum .95, Nesterov, s = .1: Var w < half of (sigma/lambda)^2 s (1+alpha beta)/(2 alpha)")
def small_step_floor_fails(effort):
    """The measured variance is below half of what the formula for small steps gives, beyond its error bars."""
    return _beyond_small_steps(effort, 2.0)


@small_step_floor_fails.control("less than a third")
def _(effort):
    return _beyond_small_steps(effort, 3.0)


@claim("curvature_noise_floor", topic="riemannian", paper=LITE, where="Algorithm 1, sampled gradients",
       stance="derived",
       statement="with curvature noise rho and batch b: Var w = (sigma/lambda)^2 N(s)/(b - rho^2 N(s))")
def curvature_noise_floor(effort):
    """Batches at 3, 6 and 20 times the smallest stable one, on two curvatures and two methods.

    Closer to it the tails of w are too heavy for the error bars of a simulation.
    """
    return _curvature_floors(effort, lambda s, theta, beta, lam, rho, b: second_moment.stationary_variance(
        s, theta, beta, lam, 1.0, rho, b))


@curvature_noise_floor.control("no noise in the curvature")
def _(effort):
    return _curvature_floors(effort, lambda s, theta, beta, lam, rho, b: modes.noise_floor(
        s, theta, beta, lam, np.sqrt(1.0 / b)))


@curvature_noise_floor.control("rho in place of rho^2")
def _(effort):
    return _curvature_floors(effort, lambda s, theta, beta, lam, rho, b: modes.noise_floor(s, theta, beta, lam) / (
        b - rho * modes.noise_floor(s, theta, beta)))


@claim("second_moment_path", topic="riemannian", paper=LITE, where="Algorithm 1, sampled gradients", stance="derived",
       statement="(E w^2, E w m, E m^2)_{k+1} = A (E w^2, E w m, E m^2)_k + c, A of size 3 x 3")
def second_moment_path(effort):
    """E w_k^2 from w = 1 with both kinds of noise, along 40 steps where it decays and 5 where it grows.

    Where the second moment grows, higher ones grow faster, and soon no number of replicas shows its mean.
    """
    return _paths(effort, 1.0)


@second_moment_path.control("noise in the curvature 10 % larger")
def _(effort):
    return _paths(effort, 1.1)


@claim("least_batch", topic="riemannian", paper=LITE, where="Algorithm 1, sampled gradients", stance="derived",
       statement="for 0 < s < s_max the second moment is stable if and only if b > rho^2 N(s)")
def least_batch(effort):
    """Spectral radius of A below and above 1 as b crosses the bound, to 1e-6 of b, at 200 (full: 5000) methods."""
    return _least_batches(effort, second_moment.least_batch_size)


@least_batch.control("N for small steps")
def _(effort):
    return _least_batches(effort, lambda s, theta, beta, rho: rho**2 * modes.small_step_floor(s, theta, beta))


@least_batch.control("half the batch")
def _(effort):
    return _least_batches(effort, lambda *method: 0.5 * second_moment.least_batch_size(*method))


def _methods():
    """Columns momentum, damping, step, curvature and noise of all cases."""
    rows = [(theta, beta, share * modes.largest_step(theta, beta)) for _, theta, beta in METHODS for share in SHARE]
    rows = np.array([*rows, FAR])
    place = np.arange(len(rows))
    return (*rows.T, 0.5 + 2.0 * (place % 3), 0.2 + place % 2)


def _floors(effort, law):
    """One run per method and curvature: rates differ, so every mode has its own."""
    theta, beta, step, curvature, noise = _methods()
    steps, means, errors, skew = effort.choose(6000, 40_000), [], [], []
    replicas = effort.choose(96, 512)
    for row in zip(theta, beta, step, curvature, noise, strict=True):
        burn = _burn(row[2], row[0], row[1])
        found = simulate(Quadratic([row[3]]), heavy_ball(row[2] / row[3], row[0], row[1]), burn + steps, 0.0,
                         noise=row[4], replicas=replicas, seed=1, times=[burn, burn + steps], averaged=True, modes=True,
                         jobs=effort.jobs)
        means.append(found.mean[1, -1]), errors.append(found.stderr[1, -1]), skew.append(found.skewness[1, -1])
    return judges.monte_carlo(judges.Sample(np.array(means), np.array(errors), replicas, np.array(skew)),
                              law(step, theta, beta, curvature, noise), resolution=0.1,
                              at={"momentum": theta, "damping": beta, "s": step})


def _burn(step, momentum, damping):
    """Steps after which 1e-9 of a start is left."""
    return int(np.ceil(21.0 / modes.decay_rate(step, momentum, damping))) + 50


def _beyond_small_steps(effort, factor):
    theta, beta, step = FAR
    burn, steps = _burn(step, theta, beta), effort.choose(6000, 40_000)
    found = simulate(Quadratic([1.0]), heavy_ball(step, theta, beta), burn + steps, 0.0, noise=1.0, seed=2,
                     replicas=effort.choose(96, 512), times=[burn, burn + steps], averaged=True, modes=True,
                     jobs=effort.jobs)
    return judges.inequality(found.mean[1, -1], modes.small_step_floor(step, theta, beta) / factor,
                             stderr=found.stderr[1, -1])


def _curvature_floors(effort, law):
    cases = [(theta, beta, step, lam, ratio) for theta, beta, step, lam in
             ((0.9, 0.0, 0.3, 1.0), (0.9, 1.0 / 0.9, 0.1, 4.0)) for ratio in (3.0, 6.0, 20.0)]
    means, errors, skew, expected = [], [], [], []
    replicas, steps, b = effort.choose(192, 1024), effort.choose(4000, 40_000), 16
    for theta, beta, step, lam, ratio in cases:
        rho = np.sqrt(b / ratio / modes.noise_floor(step, theta, beta))
        found = simulate(Quadratic([lam]), heavy_ball(step / lam, theta, beta), steps + 2000, 0.0, noise=1.0, seed=3,
                         curvature_noise=rho, batch_size=b, replicas=replicas, times=[2000, steps + 2000],
                         averaged=True, modes=True, jobs=effort.jobs)
        means.append(found.mean[1, -1]), errors.append(found.stderr[1, -1]), skew.append(found.skewness[1, -1])
        expected.append(law(step, theta, beta, lam, rho, b))
    return judges.monte_carlo(judges.Sample(np.array(means), np.array(errors), replicas, np.array(skew)),
                              np.array(expected), resolution=0.2,
                              at={"s": [case[2] for case in cases], "b over the least": [case[4] for case in cases]})


def _paths(effort, factor):
    parts = {}
    for name, (theta, beta, step, rho) in {"decays": (0.8, 0.0, 0.2, 0.7), "Nesterov": (0.9, 1.0 / 0.9, 0.05, 0.8),
                                           "grows": (0.5, 0.0, 2.7, 0.3)}.items():
        steps, replicas = np.arange(5, 41, 5), effort.choose(2**14, 2**18)
        if name == "grows":
            steps, replicas = np.arange(1, 6), effort.choose(2**18, 2**21)
        found = simulate(Quadratic([2.0]), heavy_ball(step / 2.0, theta, beta), 40, 1.0, noise=0.5, replicas=replicas,
                         curvature_noise=rho, batch_size=2, seed=4, times=steps, modes=True, unstable=True,
                         jobs=effort.jobs)
        exact = second_moment.second_moments(np.full(40, step / 2.0), 2.0, theta, beta, 0.5, factor * rho, 2, 1.0)
        parts[name] = judges.monte_carlo(judges.Sample(found.mean[:, -1], found.stderr[:, -1], replicas,
                                                       found.skewness[:, -1]), exact[steps], at={"step": steps})
    return judges.every(**parts)


def _least_batches(effort, law):
    """Methods on a regular net of momenta, dampings and steps; the margin 1e-6 is far above rounding, 1e-12."""
    count = effort.choose(6, 18)
    theta, beta, share = np.meshgrid(np.linspace(0.0, 0.97, count), np.linspace(-0.3, 3.0, count),
                                     np.linspace(0.02, 0.95, count), indexing="ij")
    step = share * modes.largest_step(theta, beta)
    bound = law(step, theta, beta, 1.3)
    radius = [np.abs(np.linalg.eigvals(second_moment.second_moment_map(
        step, 1.0, theta, beta, 0.0, 1.3, factor * bound)[0])).max(axis=-1) for factor in (1.0 + 1e-6, 1.0 - 1e-6)]
    at = {"momentum": theta, "damping": beta, "s": step}
    return judges.every(stable=judges.inequality(radius[0], 1.0, rtol=0.0, at=at),
                        unstable=judges.inequality(-radius[1], -1.0, rtol=0.0, at=at))
