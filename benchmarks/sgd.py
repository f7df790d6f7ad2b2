"""Normals per second and core of one-pass SGD on power-law regression, ours against three other ways to write it.

The problem is the same for all: batch size 1, constant rate, M Gaussian features per sample, R independent
replicas, each step ``u -= eta (<x, u> - eps) x``.  One normal per feature dominates, so speed is counted in normals.
The peers keep float32 states (ours is float64), need no reproducible streams and record nothing but the last risk.

All run in one process pinned to one core, compiled and warmed beforehand, in turns (A B C D A B C D ...), and the
table has medians over the turns, in CPU time of the process, which other load on the machine disturbs least.
"""

import importlib.util
import os
import platform
import statistics
import time

import numba
import numpy as np

from theorycheck.sims import fsl as sgd
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr

WIDTHS = (64, 256, 1000)
RATE, NOISE, TURNS = 0.1, 1.0, 7
NORMALS = 1.2e8
"""Normals per measurement of the fastest; slower ones get fewer so that every measurement takes alike."""


def modes(width):
    """Square roots of the eigenvalues, and the initial state, of the benchmark problem (s = 1/2, beta = 2)."""
    problem = fsl.PowerLawRegression(0.5, 2.0, width=width, noise=NOISE)
    return problem, np.sqrt(problem.eigenvalues), -np.sqrt(problem.target_squared)


def ours(width, normals):
    """The kernel of ``theorycheck.sims.fsl``, 64 replicas."""
    replicas = 64
    steps = max(4, int(normals / width / replicas))
    experiment = sgd.Descent(modes(width)[0], lr.constant(steps, RATE), times=[steps])
    return steps, replicas, lambda: experiment.sample(0, 0, replicas).mean()


def numpy_vectorised(width, normals):
    """NumPy, all replicas at once, float32, in place, fastest bit generator, 128 replicas (the best of 4 to 2048)."""
    problem, root, start = modes(width)
    replicas = 128
    steps = max(4, int(normals / width / replicas))
    root = root.astype(np.float32)
    spread = np.float32(np.sqrt(NOISE**2 + 2 * problem.approximation_error))
    generator = np.random.Generator(np.random.SFC64(0))

    def run():
        u = np.tile(start.astype(np.float32), (replicas, 1))
        x = np.empty_like(u)
        for _ in range(steps):
            generator.standard_normal(out=x, dtype=np.float32)
            x *= root
            r = np.einsum("rm,rm->r", u, x)
            r -= spread * generator.standard_normal(replicas, dtype=np.float32)
            r *= np.float32(RATE)
            x *= r[:, None]
            u -= x
        return 0.5 * float(np.mean(np.sum((u * root) ** 2, axis=1))) + problem.approximation_error

    return steps, replicas, run


@numba.njit
def _generator_loop(generator, root, start, spread, rate, steps, replicas):
    u, x = np.empty(start.size, np.float32), np.empty(start.size, np.float32)
    total = 0.0
    for _ in range(replicas):
        u[:] = start
        for _ in range(steps):
            r = np.float32(0.0)
            for j in range(u.size):
                x[j] = root[j] * np.float32(generator.standard_normal())
                r += u[j] * x[j]
            r = rate * (r - spread * np.float32(generator.standard_normal()))
            for j in range(u.size):
                u[j] -= r * x[j]
        for j in range(u.size):
            total += 0.5 * (u[j] * root[j]) ** 2
    return total / replicas


def numba_loop(width, normals):
    """A compiled loop over replicas, steps and features that draws from numpy's own Generator."""
    problem, root, start = modes(width)
    replicas = 8
    steps = max(4, int(normals / width / replicas))
    spread = np.float32(np.sqrt(NOISE**2 + 2 * problem.approximation_error))
    generator = np.random.Generator(np.random.SFC64(0))
    root, start = root.astype(np.float32), start.astype(np.float32)

    def run():
        risk = _generator_loop(generator, root, start, spread, np.float32(RATE), steps, replicas)
        return risk + problem.approximation_error

    return steps, replicas, run


def jax_scan(implementation):
    """JAX: ``jit(vmap(scan))``, float32, 128 replicas (the best of 4 to 2048), with the named random bit generator."""

    def build(width, normals):
        import jax
        import jax.numpy as jnp

        problem, root, start = modes(width)
        replicas = 128
        steps = max(4, int(normals / width / replicas))
        root, start = jnp.asarray(root, jnp.float32), jnp.asarray(start, jnp.float32)
        spread = float(np.sqrt(NOISE**2 + 2 * problem.approximation_error))

        def path(key):
            def step(u, now):
                k, noise = now
                x = root * jax.random.normal(jax.random.fold_in(key, k), (width,), jnp.float32)
                return u - RATE * (u @ x - noise) * x, None

            noise = spread * jax.random.normal(jax.random.fold_in(key, steps), (steps,), jnp.float32)
            u, _ = jax.lax.scan(step, start, (jnp.arange(steps), noise))
            return 0.5 * jnp.sum((root * u) ** 2)

        many = jax.jit(jax.vmap(path))
        keys = jax.random.split(jax.random.key(0, impl=implementation), replicas)
        return steps, replicas, lambda: float(many(keys).mean()) + problem.approximation_error

    return build


def contestants():
    """Names, builders, and how many of the fastest one's normals each gets."""
    rows = [("ours", ours, 1.0), ("NumPy over replicas", numpy_vectorised, 0.1),
            ("numba loop, numpy Generator", numba_loop, 0.15)]
    if importlib.util.find_spec("jax"):
        rows += [("JAX vmap + scan, threefry", jax_scan("threefry2x32"), 0.05),
                 ("JAX vmap + scan, rbg", jax_scan("rbg"), 0.05)]
    return rows


def measure(width):
    """Median, least and greatest normals per second of every contestant; each must end at the exact risk."""
    built = {}
    for name, build, share in contestants():
        steps, replicas, run = build(width, share * NORMALS)
        exact = fsl.exact_risk(modes(width)[0], lr.constant(steps, RATE), times=[steps]).final
        # a path's final risk varies by less than its mean, so eight of them decide between right and wrong
        if not abs(run() / exact - 1.0) < 4.0 / replicas**0.5:
            raise RuntimeError(f"{name} ends at an excess risk of {run():g}; the exact expectation is {exact:g}")
        built[name] = (steps * replicas * width, run)
    speeds = {name: [] for name in built}
    for _ in range(TURNS):
        for name, (count, run) in built.items():
            start = time.process_time()
            run()
            speeds[name].append(count / (time.process_time() - start))
    return {name: (statistics.median(values), min(values), max(values)) for name, values in speeds.items()}


def main():
    """Measure, and return the section in Markdown and the ratios."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        tables = {width: measure(width) for width in WIDTHS}
    finally:
        os.sched_setaffinity(0, allowed)
    lines = ["## SGD Monte Carlo: million normals per second on one core", "",
             "| | " + " | ".join(f"M = {width} | ours / it" for width in WIDTHS) + " |",
             "|---|" + "---:|---:|" * len(WIDTHS)]
    for name in tables[WIDTHS[0]]:
        cells = [f"{tables[width][name][0] / 1e6:.0f} | {tables[width]['ours'][0] / tables[width][name][0]:.1f}"
                 for width in WIDTHS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    spread = max(high / low for table in tables.values() for _, low, high in table.values())
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
    if importlib.util.find_spec("jax"):
        versions += f", jax {importlib.import_module('jax').__version__}"
    else:
        lines += ["", "**JAX IS NOT INSTALLED: its row is missing.** Install the extra `bench`."]
    lines += ["", f"One-pass SGD, batch size 1, medians of {TURNS} interleaved turns (largest max/min of a row "
              f"{spread:.2f}). Peers are float32 throughout; ours draws float32 and keeps float64 states, and its "
              f"result does not depend on chunks, workers or order. {versions}."]
    ratios = []
    for width in WIDTHS:
        (own, *_), *peers = tables[width].values()
        ratios += [(f"SGD, M = {width}, normals/s", name, f"{own / 1e6:.0f} M", f"{peer / 1e6:.0f} M", own / peer)
                   for name, (peer, *_) in zip(list(tables[width])[1:], peers)]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
