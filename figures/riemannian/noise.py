"""What gradient noise leaves: the floor of the loss over the learning rate, and over the batch."""

import numpy as np

from ...sims.riemannian import simulate
from ...theory.riemannian import modes, second_moment
from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.optimizers import heavy_ball
from .. import style
from ..figure import Drawing, figure
from .columns import columns

METHODS = (("gradient descent", 0.0, 0.0), ("heavy ball", 0.9, 0.0), ("Nesterov", 0.9, 1 / 0.9),
           ("damping beta = 10", 0.9, 10.0))
"""Momentum and damping."""
CURVATURE_NOISE = 2.0
SEED = 11


@figure("noise_floor", topic="riemannian", title="Noise floor against learning rate and batch size",
        caption="Left: stationary loss of a mode over its step s = eta lambda, in units of sigma^2/lambda. Solid to "
                "dash-dotted lines: exact; thin lines: the formula for small steps; markers: simulation, 2 standard "
                "errors. Poles stand at the largest stable step. Right: with noise in the curvature "
                "too (rho = 2), over the batch size, at a tenth of that step; poles at the least stable batch.",
        claims=("riemannian.noise_floor", "riemannian.small_step_floor_fails", "riemannian.curvature_noise_floor",
                "riemannian.least_batch"))
def noise_floor(effort):
    """Four methods; one run has all steps of a method, as the curvatures of a quadratic."""
    fig, (rates, batches) = style.new(1, 2, width=10.4, height=4.3)
    replicas, rows = effort.choose(32, 256), []
    for index, (label, theta, beta) in enumerate(METHODS):
        limit = float(modes.largest_step(theta, beta))
        some = limit * np.geomspace(0.003, 0.8, 9)
        s = np.concatenate([np.geomspace(1e-3, 0.5 * limit, 150), limit * (1.0 - np.geomspace(0.495, 0.001, 150))])
        rates.plot(s, 0.5 * modes.noise_floor(s, theta, beta), **style.theory(index), label=label)
        rates.plot(s, 0.5 * modes.small_step_floor(s, theta, beta), color=style.COLORS[index], linewidth=0.7)
        # the rate is 1 and the curvature s, so that noise s means sigma/lambda = 1
        mean, error = _stationary(effort, Quadratic(some), theta, beta, replicas, noise=some)
        rates.errorbar(some, 0.5 * mean, error, **style.measurement(index))
        exact = modes.noise_floor(some, theta, beta)
        rows += [("learning rate", label, *map(float, row)) for row in zip(some, 0.5 * exact, 0.5 * mean, 0.5 * error)]
        step = 0.1 * limit
        least = float(second_moment.least_batch_size(step, theta, beta, CURVATURE_NOISE))
        b = least * (1.0 + np.geomspace(0.01, 250.0, 200))
        law = np.array([second_moment.stationary_variance(step, theta, beta, 1.0, 1.0, CURVATURE_NOISE, x) for x in b])
        batches.plot(b, 0.5 * law, **style.theory(index))
        style.guide(batches, [least, least], [1e-4, 10.0], color=style.COLORS[index])
        sizes = [x for x in (1, 2, 4, 8, 16, 32, 64) if x > 2.5 * least]
        for size in sizes:
            mean, error = _stationary(effort, Quadratic([step]), theta, beta, replicas, noise=step, batch_size=size,
                                      curvature_noise=CURVATURE_NOISE)
            exact = second_moment.stationary_variance(step, theta, beta, 1.0, 1.0, CURVATURE_NOISE, size)
            batches.errorbar(size, 0.5 * mean, error, **style.measurement(index))
            rows.append(("batch size", label, size, 0.5 * float(exact), 0.5 * float(mean[0]), 0.5 * float(error[0])))
    style.loglog(rates).set(xlabel="learning rate x curvature, eta lambda", ylabel="loss floor / (sigma^2 / lambda)",
                            xlim=(3e-3, 5), ylim=(1e-3, 30))
    style.loglog(batches).set(xlabel="batch size b", ylabel="loss floor / (sigma^2 / lambda)", xlim=(0.3, 100),
                              ylim=(1e-3, 4))
    rates.legend(loc="upper left")
    return Drawing(fig, columns(("panel", "method", "x", "floor", "measured", "standard_error"), rows))


def _stationary(effort, landscape, theta, beta, replicas, **noise):
    """Means of w_j^2 over time and replicas, after a burn-in of ten relaxation times, and their standard errors."""
    slowest = float(modes.decay_rate(landscape.curvatures, theta, beta).min())
    burn = int(10.0 / slowest)
    steps = max(4 * burn, 8000)
    run = simulate(landscape, heavy_ball(1.0, theta, beta), steps, 0.0, replicas=replicas, seed=SEED,
                   times=[burn, steps], averaged=True, modes=True, **noise, **effort.engine)
    d = landscape.dimension
    return run.mean[1, -d:], run.stderr[1, -d:]
