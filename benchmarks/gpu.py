"""Normals per second on a GPU: the streams alone, fused SGD, CuPy array code, and one CPU core.

The problem is that of the ``sgd`` benchmark, one-pass SGD with M Gaussian features and batch size 1, counted in
normals.  CuPy's array code keeps float32 states and draws from its own generator (XORWOW); ours keeps float64 states
and reproducible streams.  Every contestant is warmed up, then timed with the device synchronised, median of 5 turns.

Arithmetic limit: a normal costs about 36 instructions (10 of Philox, of which one call gives four normals; 26 of
Box-Muller), counted in the source with one instruction per fused multiply-add, three-input logical operation, multiply
of 32 to 64 bits, conversion or select; a multiprocessor starts 128 per clock.
"""

import statistics
import time

import numpy as np

from theorycheck.sims import fsl as sgd
from theorycheck.sims import gpu
from theorycheck.sims.errors import DeviceUnavailable
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr

WIDTHS = (64, 256, 1024, 4096)
INSTRUCTIONS, LANES, TURNS = 36, 128, 5
RATE, NOISE = 0.1, 1.0
REPLICAS = 2**14


def seconds(device, run):
    """Median time of `run`, the device being done before and after."""
    times = []
    for _ in range(TURNS + 1):
        device.synchronize()
        start = time.perf_counter()
        run()
        device.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def limit(device):
    """Normals per second if every multiprocessor starts LANES instructions per clock."""
    return LANES * device.processors * device.clock_hertz / INSTRUCTIONS


def streams_alone(device):
    """Normals per second of the streams, nothing done with them but a sum."""
    blocks, rounds = 32 * device.processors, 4000
    out = device.empty((256 * blocks,), np.float32)
    spent = seconds(device, lambda: device.launch("streams", "sum_of_normals", blocks, 256, np.uint64(1),
                                                  np.int64(rounds), out))
    return 4.0 * 256 * blocks * rounds / spent


def problem(width):
    """The benchmark problem (s = 1/2, beta = 2)."""
    return fsl.PowerLawRegression(0.5, 2.0, width=width, noise=NOISE)


def fused(device, width):
    """Normals per second of the fused kernel, moments on the device included."""
    steps = max(50, int(2e11 / width / REPLICAS))
    experiment = sgd.Descent(problem(width), lr.constant(steps, RATE), times=[steps])
    placed = gpu.OnDevice(experiment, experiment.on_gpu(), device)
    return float(width) * steps * REPLICAS / seconds(device, lambda: placed.reduced(0, 0, REPLICAS, 1e70))


def array_path(xp, generator, width, replicas, steps):
    """SGD in array code, all replicas at once, float32, in place; returns the mean risk (an array of `xp`)."""
    model = problem(width)
    root = xp.asarray(np.sqrt(model.eigenvalues), dtype=xp.float32)
    u = xp.tile(xp.asarray(-np.sqrt(model.target_squared), dtype=xp.float32), (replicas, 1))
    spread = float(np.sqrt(NOISE**2 + 2 * model.approximation_error))
    for _ in range(steps):
        x = generator.standard_normal((replicas, width), dtype=xp.float32)
        x *= root
        r = xp.einsum("rm,rm->r", u, x)
        r -= xp.float32(spread) * generator.standard_normal((replicas,), dtype=xp.float32)
        r *= xp.float32(RATE)
        x *= r[:, None]
        u -= x
    return 0.5 * xp.mean(xp.sum((u * root) ** 2, axis=1)) + model.approximation_error


def array_code(device, width):
    """Normals per second of CuPy array code."""
    import cupy

    replicas, generator = REPLICAS, cupy.random.default_rng(0)
    steps = max(20, int(4e9 / width / replicas))
    return float(width) * steps * replicas / seconds(
        device, lambda: array_path(cupy, generator, width, replicas, steps))


def one_core(width):
    """Normals per second of the CPU kernel on one core."""
    replicas = 64
    steps = max(4, int(2e8 / width / replicas))
    experiment = sgd.Descent(problem(width), lr.constant(steps, RATE), times=[steps])
    experiment.sample(0, 0, 32)
    start = time.perf_counter()
    experiment.sample(0, 0, replicas)
    return float(width) * steps * replicas / (time.perf_counter() - start)


def main():
    """Measure and return a section in Markdown; one line where there is no GPU."""
    try:
        device = gpu.require()
    except DeviceUnavailable as error:
        return f"## GPU\n\nNothing was measured: {error}.\n"
    alone, bound = streams_alone(device), limit(device)
    lines = [f"## GPU\n\n{device.name}, {device.processors} multiprocessors at {device.clock_hertz / 1e9:.2f} GHz.  "
             f"Streams alone: {alone / 1e9:.0f} 10^9 normals/s, {alone / bound:.0%} of the arithmetic limit "
             f"{bound / 1e9:.0f}.  Below in 10^9 normals/s, {REPLICAS} replicas.\n",
             "| M | fused | of the limit | CuPy arrays | ratio | one CPU core | ratio |",
             "|--:|--:|--:|--:|--:|--:|--:|"]
    for width in WIDTHS:
        ours, arrays, core = fused(device, width), array_code(device, width), one_core(width)
        lines.append(f"| {width} | {ours / 1e9:.1f} | {ours / bound:.0%} | {arrays / 1e9:.2f} | {ours / arrays:.0f} | "
                     f"{core / 1e9:.3f} | {ours / core:.0f} |")
    return "\n".join(lines) + "\n"
