"""Microseconds per step and replica of label-noise SGD, SAM and the oscillating layer, ours against NumPy.

The setting is one of the paper's (d = 20, n = 200, rate 1e-3, sigma = 4); the width is 1000, and 10 for comparison.
NumPy gets its order and signs drawn beforehand and untimed, those that our kernels draw for themselves as they go;
every contestant must end at the same state to 1e-8.  SAM (rho = 0.3) and the oscillating layer of Lemma 4 (q =
eta^(1/4)) run on clean labels at width 1000.

All run in one process pinned to one core, compiled and warmed beforehand, in turns (A B C A B C ...), and the table has
medians over the turns, in CPU time of the process, which other load on the machine disturbs least.  The process is one
of its own, started with one thread for BLAS: on one core more of them would only wait for each other, which makes
NumPy's single network tens of times slower.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
from scipy.linalg import blas

from theorycheck.sims import label_noise as sgd
from theorycheck.sims import streams
from theorycheck.theory import label_noise as theory

DIMENSION, SAMPLES, STEP, NOISE, SEED, TURNS = 20, 200, 1e-3, 4.0, 0, 7
WIDTHS = (10, 1000)
LANES = sgd.kernels.LANES


def model(width):
    """The network of the benchmark."""
    return theory.TwoLayerLinear(DIMENSION, width, STEP, NOISE, 1.0, samples=SAMPLES)


def draws(width, steps, replicas):
    """Training sets (R, n, d), order (K, R), signs (K, R) and neurons (R, m, d + 1), as our kernels draw them."""
    key, many = streams.key(SEED, "label_noise.sgd"), np.arange(replicas)
    data = streams.normals(key, many[:, None], np.arange(SAMPLES), DIMENSION, purpose=1).astype(np.float64)
    words = streams.words(key, many, np.arange(steps)[:, None], 2)
    order = ((words[..., 0].astype(np.uint64) * np.uint64(SAMPLES)) >> np.uint64(32)).astype(int)
    neurons = streams.normals(key, many[:, None], np.arange(width), DIMENSION + 1, purpose=2).astype(np.float64)
    neurons[..., :-1] /= np.sqrt(DIMENSION)
    neurons[..., -1] /= np.sqrt(width)
    return data, order, np.where(words[..., 1] >= 2**31, -NOISE, NOISE), neurons


def ours(method, replicas):
    """Our kernels: a group of lanes costs the same however many of them are wanted."""

    def build(width, steps):
        experiment = sgd.Descent(model(width), steps, [steps], method=method)
        return replicas, lambda: experiment.sample(SEED, 0, replicas)[:, 0, 3]

    return build


def numpy_network(width, steps):
    """NumPy: W and a of one replica, every operation over all neurons, the outer product in place by BLAS."""
    data, order, noise, neurons = draws(width, steps, 1)
    data, order, noise = data[0], order[:, 0], noise[:, 0]

    def run():
        first, second = neurons[0, :, :-1].copy(), neurons[0, :, -1].copy()
        for k in range(steps):
            x = data[order[k]]
            hidden = first @ x
            b = -STEP * (second @ hidden - x[0] - noise[k])
            blas.dger(b, x, second, a=first.T, overwrite_a=1)
            second += b * hidden
        return np.array([np.sum(first**2)])

    return 1, run


def numpy_networks(width, steps):
    """NumPy: W and a of 16 replicas at once."""
    data, order, noise, neurons = draws(width, steps, LANES)
    many = np.arange(LANES)

    def run():
        first, second = neurons[..., :-1].copy(), neurons[..., -1].copy()
        for k in range(steps):
            x = data[many, order[k]]
            hidden = np.matmul(first, x[:, :, None])[:, :, 0]
            b = -STEP * (np.einsum("rm,rm->r", second, hidden) - x[:, 0] - noise[k])
            first += (b[:, None] * second)[:, :, None] * x[:, None, :]
            second += b[:, None] * hidden
        return np.sum(first**2, axis=(1, 2))

    return LANES, run


def numpy_recursion(replicas):
    """NumPy: the width-free recursion of many replicas at once, from ``K``."""

    def build(width, steps):
        data, order, noise, neurons = draws(width, steps, replicas)
        many = np.arange(replicas)

        def run():
            state = np.matmul(neurons.transpose(0, 2, 1), neurons)
            g, theta = np.ascontiguousarray(state[:, :-1, :-1]), state[:, :-1, -1].copy()
            alpha = state[:, -1, -1].copy()
            for k in range(steps):
                x = data[many, order[k]]
                h = np.matmul(g, x[:, :, None])[:, :, 0]
                output, square = np.einsum("rd,rd->r", theta, x), np.einsum("rd,rd->r", h, x)
                b = -STEP * (output - x[:, 0] - noise[k])
                u = b[:, None] * theta + (0.5 * b * b * alpha)[:, None] * x
                product = x[:, :, None] * u[:, None, :]
                g += product
                g += product.transpose(0, 2, 1)
                theta += b[:, None] * h + (b * (alpha + b * output))[:, None] * x
                alpha += b * (2.0 * output + b * square)
            return np.trace(g, axis1=1, axis2=2)

        return replicas, run

    return build


CONTESTANTS = (
    ("recursion, 16 replicas", ours("reduced", LANES), 20_000),
    ("recursion, 1 replica", ours("reduced", 1), 20_000),
    ("network, 16 replicas", ours("direct", LANES), 400),
    ("NumPy recursion, 64 replicas", numpy_recursion(64), 400),
    ("NumPy network, 16 replicas", numpy_networks, 100),
    ("NumPy network, 1 replica", numpy_network, 2_000),
)


RADIUS = 0.3
CLEAN = theory.TwoLayerLinear(DIMENSION, 1000, STEP, 0.0, 1.0, samples=SAMPLES)


def aware(steps):
    """SAM as we run it."""
    return sgd.SharpnessAware(CLEAN, steps, RADIUS, [steps])


def chain(steps):
    """The oscillating layer as we run it."""
    return sgd.Oscillation(CLEAN, steps, times=[steps])


def our(experiment):
    """One replica of an experiment that runs one at a time."""

    def build(_, steps):
        made = experiment(steps)
        return 1, lambda: made.sample(SEED, 0, 1)[:, 0, 3]

    return build


def numpy_aware(width, steps):
    """NumPy: SAM on W and a of one replica, every operation over all neurons."""
    data, order, _, neurons = draws(width, steps, 1)

    def run():
        first, second = neurons[0, :, :-1].copy(), neurons[0, :, -1].copy()
        scratch = np.empty_like(first)
        for k in range(steps):
            x = data[0, order[k, 0]]
            hidden = first @ x
            gap = second @ hidden - x[0]
            shift = RADIUS * np.sign(gap) / np.sqrt(second @ second * (x @ x) + hidden @ hidden)
            # the shifted layers meet the input as W x + shift ||x||^2 a only
            across, hidden = second + shift * hidden, hidden + shift * (x @ x) * second
            b = -STEP * (across @ hidden - x[0])
            first += np.multiply((b * across)[:, None], x, out=scratch)
            second += b * hidden
        return np.array([np.sum(first**2)])

    return 1, run


def numpy_chain(width, steps):
    """NumPy: the oscillating layer, only the active half of the neurons moved."""
    data, _, _, neurons = draws(width, 1, 1)
    sigma = data[0].T @ data[0] / SAMPLES
    key, many = streams.key(SEED, "label_noise.sgd"), np.arange(width)
    words = streams.words(key, 0, np.arange(steps + 1), -(-width // 32), purpose=5)
    signs = 1.0 - 2.0 * ((words[:, many // 32] >> (many % 32).astype(np.uint32)) & 1)
    active = streams.rademachers(key, 0, 0, width, purpose=4) > 0
    classes, amplitude, target = (np.flatnonzero(active), np.flatnonzero(~active)), STEP**0.25, np.eye(DIMENSION)[0]

    def run():
        first = [neurons[0, members, :-1].copy() for members in classes]
        for k in range(steps):
            second = amplitude * signs[k, classes[k % 2]]
            pull = -STEP * sigma @ (second @ first[k % 2] - target)
            first[k % 2] += second[:, None] * pull
        return np.array([sum(np.sum(part**2) for part in first)])

    return 1, run


OTHERS = (
    ("SAM, recursion", our(aware), 20_000, aware),
    ("NumPy SAM, network", numpy_aware, 1_000, aware),
    ("oscillating layer", our(chain), 2_000, chain),
    ("NumPy oscillating layer", numpy_chain, 1_000, chain),
)


def measure(width):
    """Median, least and greatest microseconds per step and replica of every contestant."""
    return _measure(width, [(name, build, steps, lambda steps: sgd.Descent(model(width), steps, [steps]))
                            for name, build, steps in CONTESTANTS])


def _measure(width, contestants):
    built, last = {}, {}
    for name, build, steps, experiment in contestants:
        replicas, run = build(width, steps)
        built[name], ends = (steps * replicas, run), run()
        expected = experiment(steps).sample(SEED, 0, replicas)[:, 0, 3]
        if not np.allclose(ends, expected, rtol=1e-8, atol=0.0):
            raise RuntimeError(f"{name} ends at ||W||^2 = {ends}; it should end at {expected}")
        last[name] = []
    for _ in range(TURNS):
        for name, (count, run) in built.items():
            start = time.process_time()
            run()
            last[name].append((time.process_time() - start) / count * 1e6)
    return {name: (statistics.median(values), min(values), max(values)) for name, values in last.items()}


def main():
    """Measure, BLAS on one thread; return the section in Markdown and the ratios to the best NumPy."""
    single = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "BLIS")}
    done = subprocess.run([sys.executable, "-m", "benchmarks.label_noise", "json"], env={**os.environ, **single},
                          cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.PIPE, text=True)
    return tuple(json.loads(done.stdout))


def measured():
    """The section and the ratios, in this process."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        tables = {width: measure(width) for width in WIDTHS}
        others = _measure(CLEAN.width, OTHERS)
    finally:
        os.sched_setaffinity(0, allowed)
    ours_first = CONTESTANTS[0][0]
    lines = ["## Label-noise SGD: microseconds per step and replica on one core", "",
             "| | " + " | ".join(f"m = {width} | it / first row" for width in WIDTHS) + " |",
             "|---|" + "---:|---:|" * len(WIDTHS)]
    for name, _, _ in CONTESTANTS:
        cells = [f"{tables[width][name][0]:.3g} | {tables[width][name][0] / tables[width][ours_first][0]:.1f}"
                 for width in WIDTHS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    spread = max(high / low for table in tables.values() for _, low, high in table.values())
    lines += ["", f"d = {DIMENSION}, n = {SAMPLES}, batch size 1, medians of {TURNS} interleaved turns (largest "
              f"max/min of a row {spread:.2f}). Rows without NumPy are ours, compiled, and draw their own order and "
              "signs; NumPy gets these for nothing. Every run builds its start too, which is what grows with the width "
              f"in the recursion. Python {platform.python_version()}, numpy {np.__version__}, "
              f"numba {numba.__version__}."]
    peers = [name for name, *_ in CONTESTANTS if name.startswith("NumPy")]
    best = {width: min(peers, key=lambda name: tables[width][name]) for width in WIDTHS}
    ratios = [(f"label-noise SGD, m = {width}, us/step", f"best of NumPy: {best[width].removeprefix('NumPy ')}",
               f"{tables[width][ours_first][0]:.3g}", f"{tables[width][best[width]][0]:.3g}",
               tables[width][best[width]][0] / tables[width][ours_first][0]) for width in WIDTHS]
    lines += ["", f"| m = {CLEAN.width}, clean labels, 1 replica | us per step |", "|---|---:|"]
    lines += [f"| {name} | {others[name][0]:.3g} |" for name, *_ in OTHERS]
    ratios += [(f"{mine}, m = {CLEAN.width}, us/step", theirs, f"{others[mine][0]:.3g}", f"{others[theirs][0]:.3g}",
                others[theirs][0] / others[mine][0]) for (mine, *_), (theirs, *_) in (OTHERS[:2], OTHERS[2:])]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(json.dumps(measured()) if sys.argv[1:] == ["json"] else main()[0])
