"""Microseconds per step and replica of label-noise SGD, the width-free recursion against the network and NumPy.

The setting is one of the paper's (d = 20, n = 200, rate 1e-3, sigma = 4); the width is 1000, and 10 for comparison.
NumPy gets its order and signs drawn beforehand and untimed, those that our kernels draw for themselves as they go;
every contestant must end at the same state to 1e-8.

All run in one process pinned to one core, compiled and warmed beforehand, in turns (A B C A B C ...), and the table has
medians over the turns, in CPU time of the process, which other load on the machine disturbs least.
"""

import os
import platform
import statistics
import time

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


def measure(width):
    """Median, least and greatest microseconds per step and replica of every contestant."""
    built, last = {}, {}
    for name, build, steps in CONTESTANTS:
        replicas, run = build(width, steps)
        built[name], ends = (steps * replicas, run), run()
        expected = sgd.Descent(model(width), steps, [steps]).sample(SEED, 0, replicas)[:, 0, 3]
        if not np.allclose(ends, expected, rtol=1e-8, atol=0.0):
            raise RuntimeError(f"{name} ends at ||W||^2 = {ends}; the recursion ends at {expected}")
        last[name] = []
    for _ in range(TURNS):
        for name, (count, run) in built.items():
            start = time.process_time()
            run()
            last[name].append((time.process_time() - start) / count * 1e6)
    return {name: (statistics.median(values), min(values), max(values)) for name, values in last.items()}


def main():
    """Measure, and return the section in Markdown and the ratios."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        tables = {width: measure(width) for width in WIDTHS}
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
    ratios = [(f"label-noise SGD, m = {width}, us/step", name, f"{tables[width][ours_first][0]:.3g}",
               f"{tables[width][name][0]:.3g}", tables[width][name][0] / tables[width][ours_first][0])
              for width in WIDTHS for name, _, _ in CONTESTANTS if name.startswith("NumPy")]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
