"""Nanoseconds per coordinate and step of noisy optimizers, and per polar factor, ours against vectorised NumPy.

Adam with noise, and LITE around Nesterov's method in a curved valley, 256 replicas side by side: NumPy keeps all
replicas in one array (R, d), as one would write it, with its fastest bit generator and normals of float32, as ours are.
Each is first run on our own noise and must end where ours does.  Polar factors: six stages on 256 matrices of 24 x 16,
NumPy with its batched matrix product, and NumPy's batched SVD.

All run in one process pinned to one core, compiled and warmed beforehand, in turns (A B C A B C ...), and the table has
medians over the turns, in CPU time of the process, which other load on the machine disturbs least.
"""

import os
import platform
import statistics
import time

import numba
import numpy as np

from theorycheck.sims import streams
from theorycheck.sims.riemannian import Descent
from theorycheck.sims.riemannian.vectors import EXPERIMENT
from theorycheck.theory.riemannian import optimizers, polar_express
from theorycheck.theory.riemannian.landscapes import Quadratic
from theorycheck.theory.riemannian.lite import Lite
from theorycheck.theory.riemannian.valleys import CurvedValley

REPLICAS, STEPS, TURNS, SEED = 256, 400, 7, 0
CURVATURES = np.geomspace(0.1, 10.0, 16)
VALLEY = CurvedValley(0.1, [50.0, 20.0, 10.0], [0.3, 0.2, 0.1], [2.0, 1.0, 0.5])


def noise(steps, d):
    """A function of the step: our stream where `steps` is None, else NumPy's own generator."""
    if steps is None:
        key = streams.key(SEED, EXPERIMENT)
        return lambda k: streams.normals(key, np.arange(REPLICAS), k, d)
    generator = np.random.Generator(np.random.SFC64(0))
    return lambda k: generator.standard_normal((REPLICAS, d), dtype=np.float32)


def adam_ours(steps):
    """The end of our runs, (R, d)."""
    made = Descent(Quadratic(CURVATURES), optimizers.adam(0.01), steps, 1.0, noise=0.3, times=[steps], modes=True)
    return made.paths(SEED, REPLICAS)[:, -1]


def adam_numpy(steps, own=False):
    """The same in NumPy, in place."""
    draw, d = noise(None if own else steps, CURVATURES.size), CURVATURES.size
    w, m, v = np.ones((REPLICAS, d)), np.zeros((REPLICAS, d)), np.zeros((REPLICAS, d))
    g, u = np.empty_like(w), np.empty_like(w)
    for k in range(steps):
        np.multiply(draw(k), 0.3, out=g)
        g += CURVATURES * w
        m *= 0.9
        m += 0.1 * g
        v *= 0.999
        v += 0.001 * np.square(g, out=u)
        np.sqrt(v * (1.0 / (1.0 - 0.999 ** (k + 1))), out=u)
        u += 1e-8
        w -= (0.01 / (1.0 - 0.9 ** (k + 1))) * m / u
    return w


def valley_ours(steps):
    """The end of our runs, (R, d)."""
    made = Descent(VALLEY, Lite(optimizers.nesterov(0.002, 0.95), VALLEY.flat, 2.0, 1.0), steps, 0.0, noise=1.0,
                   times=[steps], modes=True)
    return made.paths(SEED, REPLICAS)[:, -1]


def valley_numpy(steps, own=False):
    """The same in NumPy."""
    d = VALLEY.dimension
    draw, c, a, f = noise(None if own else steps, d), VALLEY.curvature, VALLEY.amplitude, VALLEY.frequency
    w, m = np.zeros((REPLICAS, d)), np.zeros((REPLICAS, d))
    for k in range(steps):
        x = w[:, :1]
        bend, q = a * f * np.cos(f * x), c * (w[:, 1:] - a * np.sin(f * x))
        g = np.concatenate([-VALLEY.slope - np.sum(q * bend, axis=1, keepdims=True), q], axis=1) + draw(k)
        m = 0.95 * m + g
        u = m + g / 0.95
        more = u + 2.0 * g                            # (chi - 1) u + chi beta g
        tangent = np.concatenate([np.ones((REPLICAS, 1)), bend], axis=1)
        along = np.sum(more * tangent, axis=1, keepdims=True) / np.sum(tangent**2, axis=1, keepdims=True)
        w = w - 0.002 * (u + along * tangent)
    return w


def polar_numpy(x):
    """Six stages by batched products."""
    x = x / (np.linalg.norm(x, axis=(1, 2), keepdims=True) * polar_express.SAFETY + polar_express.TINY)
    identity = np.eye(x.shape[2])
    for a, b, c in polar_express.COEFFICIENTS[:polar_express.STAGES]:
        gram = x.transpose(0, 2, 1) @ x
        x = x @ (a * identity + gram @ (b * identity + c * gram))
    return x


def polar_svd(x):
    """The exact factor."""
    u, _, v = np.linalg.svd(x, full_matrices=False)
    return u @ v


def measure():
    """Median seconds of every contestant, by task; each is checked against ours first."""
    x = np.random.default_rng(0).standard_normal((REPLICAS, 24, 16))
    tasks = {
        "Adam, d = 16, ns/coordinate": (STEPS * REPLICAS * 16, {
            "ours": lambda: adam_ours(STEPS), "NumPy": lambda: adam_numpy(STEPS)}),
        "LITE in a valley, d = 4, ns/coordinate": (STEPS * REPLICAS * 4, {
            "ours": lambda: valley_ours(STEPS), "NumPy": lambda: valley_numpy(STEPS)}),
        "polar factor of 24 x 16, ns": (REPLICAS, {
            "ours": lambda: polar_express.polar_express(x), "NumPy, products": lambda: polar_numpy(x),
            "NumPy, SVD": lambda: polar_svd(x)})}
    for ours, theirs in ((adam_ours(50), adam_numpy(50, own=True)), (valley_ours(50), valley_numpy(50, own=True)),
                         (polar_express.polar_express(x), polar_numpy(x))):
        if not np.allclose(ours, theirs, rtol=1e-6, atol=1e-8):
            raise RuntimeError(f"NumPy ends {np.abs(ours - theirs).max():.3g} away from ours")
    found = {}
    for task, (work, contestants) in tasks.items():
        spent = {name: [] for name in contestants}
        for _ in range(TURNS):
            for name, run in contestants.items():
                start = time.process_time()
                run()
                spent[name].append((time.process_time() - start) / work * 1e9)
        found[task] = {name: (statistics.median(each), min(each), max(each)) for name, each in spent.items()}
    return found


def main():
    """Measure, and return the section in Markdown and the ratios."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        found = measure()
    finally:
        os.sched_setaffinity(0, allowed)
    lines = ["## Noisy optimizers and polar factors on one core", "",
             "| task | | median | least | greatest | median / ours |", "|---|---|---:|---:|---:|---:|"]
    lines += [f"| {task} | {name} | {median:.3g} | {low:.3g} | {high:.3g} | {median / each['ours'][0]:.1f} |"
              for task, each in found.items() for name, (median, low, high) in each.items()]
    lines += ["", f"{REPLICAS} replicas or matrices, {STEPS} steps, medians of {TURNS} interleaved turns; with drawing."
              f" Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}."]
    ratios = [(task, name, f"{each['ours'][0]:.3g}", f"{each[name][0]:.3g}", each[name][0] / each["ours"][0])
              for task, each in found.items() for name in each if name != "ours"]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
