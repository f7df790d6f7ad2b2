"""Mixtures of experts: large ones that were constructed, paths through deep ones, and small ones in training.

*Evaluation.*  E = 256 linear charts of a circle in R^2 and R^16, experts of one hidden layer with 1024 neurons, the
supremum of the error over a million points, routing included.  The peer is the same network in NumPy: points sorted by
expert, dense matrix products on blocks that fit the cache.  Memory is the peak of the process, and is read before the
peer runs.

*Paths.*  Those of a product partition with affine experts, 10^6 of them, met at the middles of as many unit cubes; the
peer gathers the matrices of the winners in NumPy, block by block, and counts different rows of routes.

*Training.*  Adam on the 2-3-MoE of the second experiment, m = 32, 16 replicas; the peer holds all replicas and experts
in one array and uses batched products, in float32 as ours.  On our points 99.9 % of its weights must end where ours do.
Ours takes the test error at the end as well.

All in one process pinned to one core, BLAS on one thread, compiled and warmed beforehand; medians of CPU time (the
peer of the evaluation and of the paths runs once).  The claims of the two printed tables, with their controls, are
timed once, by the clock.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from theorycheck import checks
from theorycheck.checks.claim import Effort, judge
from theorycheck.sims import streams
from theorycheck.sims.moe import kernels
from theorycheck.sims.moe.samples import orthonormal_frame, points_on
from theorycheck.sims.moe.training import EXPERIMENT, Training
from theorycheck.theory.moe import charts, shallow
from theorycheck.theory.moe.manifolds import Embedded, circle
from theorycheck.theory.moe.partition import affine_partition
from theorycheck.theory.moe.pieces import count_paths, grid_cells

EXPERTS, WIDTH, POINTS = 256, 1024, 1_000_000
DEPTH, BRANCHES = 6, 10
REPLICAS, STEPS, RATE, TURNS = 16, 500, 1e-3, 3
TABLES = ("moe.table_3", "moe.table_4")


def function(points, frame):
    """sin 5 x_1 + cos 3 x_2 of the circle's own coordinates."""
    own = points @ frame
    return np.sin(5 * own[:, 0]) + np.cos(3 * own[:, 1])


def evaluate_numpy(layer, points):
    """The layer with NumPy alone; hidden blocks of 256 points take 2 MiB."""
    gate = layer.gate
    routes = np.concatenate([np.argmax(part @ gate.weights[0].T + gate.biases[0], axis=1)
                             for part in np.array_split(points, max(1, len(points) // 1024))])
    order, values = np.argsort(routes, kind="stable"), np.empty(len(points))
    for expert, mine in enumerate(np.split(order, np.searchsorted(routes[order], np.arange(1, len(layer.experts))))):
        (inner, outer), (bias, last) = layer.experts[expert].weights, layer.experts[expert].biases
        for part in np.array_split(mine, max(1, len(mine) // 256)):
            hidden = points[part] @ inner.T
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
            values[part] = hidden @ outer[0] + (0.0 if last is None else last[0])
    return values


def paths_numpy(network, points):
    """How many different routes affine experts make, with NumPy alone."""
    layers = [(layer.gate, np.stack([expert.weights[0] for expert in layer.experts]),
               np.stack([np.zeros(expert.outputs) if expert.biases[0] is None else expert.biases[0]
                         for expert in layer.experts])) for layer in network.layers]
    codes = []
    for x in np.array_split(points, max(1, len(points) // 8192)):
        code = np.zeros(len(x), dtype=np.int64)
        for gate, maps, shifts in layers:
            winner = np.argmax(x @ gate.weights[0].T + (0.0 if gate.biases[0] is None else gate.biases[0]), axis=1)
            x = (maps[winner] @ x[:, :, None])[:, :, 0] + shifts[winner]
            code = code * len(maps) + winner
        codes.append(code)
    return 1 + np.count_nonzero(np.diff(np.sort(np.concatenate(codes))))


def batches(made, steps):
    """Our own points and values, (steps, R, N, D) and (steps, R, N, outputs)."""
    key = np.uint64(streams.key(0, EXPERIMENT))
    x = np.empty((steps, REPLICAS, made.batch_size, 2), np.float32)
    wanted = np.empty((steps, REPLICAS, made.batch_size, 2), np.float32)
    point, value = np.empty((2, 2, made.batch_size), np.float32)
    for step, replica in np.ndindex(steps, REPLICAS):
        kernels.draw(key, np.uint64(replica), np.uint64(step), np.uint64(kernels.BATCH), kernels.VECTOR, point, value)
        x[step, replica], wanted[step, replica] = point.T, value.T
    return x, wanted


def fresh(made, steps):
    """Points and values from NumPy's fastest generator."""
    generator = np.random.Generator(np.random.SFC64(0))
    for _ in range(steps):
        x = 3 * generator.random((REPLICAS, made.batch_size, 2), dtype=np.float32)
        piece = np.floor(x)
        yield x, (piece + 1) * (x - piece) ** 2 * (x - piece - 1) ** 2


def arrays(made, theta):
    """Weights (R, P) by layer: gate (R, E, D), inner (R, E, m, D), its bias, outer (R, E, o, m), its bias."""
    at, layers = 0, []
    for inputs, experts, width, outputs in made.layers.tolist():
        gate = theta[:, at:at + experts * inputs].reshape(-1, experts, inputs).copy()
        at += experts * (inputs + 1)                                               # the gate's bias stays 0
        sizes = np.cumsum([width * inputs, width, outputs * width, outputs])
        block = theta[:, at:at + experts * sizes[-1]].reshape(-1, experts, sizes[-1])
        inner, bias, outer, last = (part.copy() for part in np.split(block, sizes[:-1], axis=2))
        layers.append([gate, inner.reshape(-1, experts, width, inputs), bias,
                       outer.reshape(-1, experts, outputs, width), last])
        at += experts * sizes[-1]
    return layers


def gradients(layers, x, wanted):
    """Gradients of the mean squared error by all weights, in the same lists of arrays."""
    kept = []
    for gate, inner, bias, outer, last in layers:
        logits = x @ gate.swapaxes(1, 2)
        shares = np.exp(logits - logits.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)                                # (R, N, E)
        hidden = x[:, None] @ inner.swapaxes(2, 3)
        hidden += bias[:, :, None]
        np.maximum(hidden, 0, out=hidden)                                          # (R, E, N, m)
        values = hidden @ outer.swapaxes(2, 3)
        values += last[:, :, None]
        weights = shares.swapaxes(1, 2)[..., None]
        kept.append((x, shares, hidden, values, weights))
        x = (weights * values).sum(axis=1)
    below, found = x - wanted, []
    below *= np.float32(2 / wanted[0].size)
    for (gate, inner, _, outer, _), (x, shares, hidden, values, weights) in zip(layers[::-1], kept[::-1]):
        by_value = weights * below[:, None]
        by_share = (values * below[:, None]).sum(axis=3).swapaxes(1, 2)
        by_logit = shares * (by_share - (shares * by_share).sum(axis=2, keepdims=True))
        by_hidden = by_value @ outer
        by_hidden *= hidden > 0
        back = by_hidden.swapaxes(2, 3)
        found.append([by_logit.swapaxes(1, 2) @ x, back @ x[:, None], by_hidden.sum(axis=2),
                      by_value.swapaxes(2, 3) @ hidden, by_value.sum(axis=2)])
        below = by_logit @ gate + (by_hidden @ inner).sum(axis=1)
    return found[::-1]


def train_numpy(made, data):
    """Adam over these batches; the weights at the end, as :func:`arrays`."""
    layers = arrays(made, np.stack([made.start(0, replica) for replica in range(REPLICAS)]))
    moments = [[[np.zeros_like(array), np.zeros_like(array)] for array in layer] for layer in layers]
    for step, (x, wanted) in enumerate(data, 1):
        scale, unbias = np.float32(made.rate / (1 - 0.9**step)), np.float32(1 / (1 - 0.999**step))
        for layer, moment, found in zip(layers, moments, gradients(layers, x, wanted)):
            for array, (first, second), gradient in zip(layer, moment, found):
                first *= np.float32(0.9)
                first += np.float32(0.1) * gradient
                second *= np.float32(0.999)
                second += np.float32(0.001) * gradient * gradient
                array -= scale * first / (np.sqrt(second * unbias) + np.float32(1e-8))
    return layers


def train_ours(made):
    """The weights of every replica at the end, (R, P)."""
    return np.stack([made.run(0, replica)[1] for replica in range(REPLICAS)])


def timed(call, turns=1):
    """Result, median processor seconds."""
    spent = []
    for _ in range(turns):
        start = time.process_time()
        result = call()
        spent.append(time.process_time() - start)
    return result, statistics.median(spent)


def evaluated(ambient):
    """The layer, its points and values, and what was measured of it."""
    frame = orthonormal_frame(ambient, 2)
    atlas = charts.curve_atlas(Embedded(circle(), frame), EXPERTS)
    layer, built = timed(lambda: shallow.linear_chart_layer(atlas, lambda points: function(points, frame), WIDTH))
    points = points_on(atlas.manifold, POINTS)
    layer(points[:1000])
    values, busy = timed(lambda: layer(points)[:, 0], TURNS)
    error = np.abs(values - function(points, frame)).max()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return layer, points, values, busy, f"| {ambient} | {built:.2f} | {busy:.2f} | {peak:.0f} | {error:.2e}"


def evaluation():
    """Rows and ratios of the two spaces."""
    rows, ratios = [], []
    for layer, points, values, busy, row in [evaluated(ambient) for ambient in (2, 16)]:
        evaluate_numpy(layer, points[:10_000])
        other, theirs = timed(lambda layer=layer, points=points: evaluate_numpy(layer, points))
        if not np.abs(other - values).max() < 1e-10:
            raise RuntimeError(f"NumPy is {np.abs(other - values).max():.3g} away from ours")
        rows.append(f"{row} | {theirs:.1f} |")
        ratios.append((f"{EXPERTS} experts of {WIDTH} neurons in R^{layer.inputs} at {POINTS:,} points",
                       "NumPy, expert by expert", f"{busy:.2f} s", f"{theirs:.2f} s", theirs / busy))
    return rows, ratios


def paths():
    """The count and the seconds, ours and NumPy's."""
    slopes = 1.0 + np.arange(DEPTH * BRANCHES).reshape(DEPTH, BRANCHES)
    network, cells = affine_partition(slopes, np.zeros_like(slopes)), grid_cells(DEPTH, BRANCHES)
    if count_paths(network, cells[:1000]) != paths_numpy(network, cells[:1000]):
        raise RuntimeError("NumPy counts other paths")
    found, ours = timed(lambda: count_paths(network, cells), TURNS)
    _, theirs = timed(lambda: paths_numpy(network, cells), TURNS)
    return found, ours, theirs


def training():
    """Microseconds of a step of one replica, ours and NumPy's, which is checked against ours first."""
    short = Training("vector", 3, 32, 20, depth=2, rate=RATE)
    ours, theirs = arrays(short, train_ours(short)), train_numpy(short, zip(*batches(short, 20)))
    apart = np.concatenate([np.abs(a - b).ravel() for one, other in zip(ours, theirs) for a, b in zip(one, other)])
    # Weights moved by 20 steps of 1e-3.  Where a gradient is 0 up to rounding, Adam makes full steps of its sign.
    if not np.mean(apart < 1e-4) > 0.999:
        raise RuntimeError(f"NumPy ends {np.quantile(apart, 0.999):.3g} away from ours")
    made = Training("vector", 3, 32, STEPS, depth=2, rate=RATE)
    spent = {"ours": [], "NumPy": []}
    for _ in range(TURNS):
        spent["ours"].append(timed(lambda: train_ours(made))[1])
        spent["NumPy"].append(timed(lambda: train_numpy(made, fresh(made, STEPS)))[1])
    return [statistics.median(each) / (STEPS * REPLICAS) * 1e6 for each in spent.values()]


def tables():
    """Seconds of the claims of both tables, controls included, on one core."""
    known, start = checks.load("moe"), time.perf_counter()
    verdicts = [f"{name} {judge(known[name], Effort()).verdict}" for name in TABLES]
    return time.perf_counter() - start, ", ".join(verdicts)


def measured():
    """The section in Markdown and the ratios, in this process."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        return _measured()
    finally:
        os.sched_setaffinity(0, allowed)


def _measured():
    rows, ratios = evaluation()
    found, ours, theirs = paths()
    ratios.append((f"{found:,} routing paths of {DEPTH} layers of {BRANCHES} affine experts", "NumPy",
                   f"{ours:.2f} s", f"{theirs:.2f} s", theirs / ours))
    step, peer = training()
    ratios.append(("Adam on a 2-3-MoE, m = 32, batch 128, a step of a replica",
                   f"NumPy, {REPLICAS} replicas in one array", f"{step:.0f} us", f"{peer:.0f} us", peer / step))
    seconds, verdicts = tables()
    lines = ["## Mixtures of experts", "", f"E = {EXPERTS}, m = {WIDTH}, {POINTS:,} points on a circle in R^D; seconds "
             "of one core.", "", "| D | built, s | sup error, s | peak memory, MiB | sup error | NumPy, s |",
             "|---:|---:|---:|---:|---:|---:|", *rows, "",
             f"{found:,} routing paths of L = {DEPTH} layers of E = {BRANCHES} experts counted in {ours:.1f} s (NumPy "
             f"{theirs:.1f} s). A step of Adam on one 2-3-MoE of m = 32, batch 128: {step:.0f} us (NumPy {peer:.0f} "
             f"us). Tables 3 and 4 at quick effort, with controls: {seconds:.0f} s by the clock ({verdicts})."]
    return "\n".join(lines), ratios


def main():
    """Measure, BLAS on one thread; return the section in Markdown and the ratios."""
    single = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "BLIS")}
    done = subprocess.run([sys.executable, "-m", "benchmarks.moe", "json"], env={**os.environ, **single},
                          cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.PIPE, text=True)
    return tuple(json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(measured()) if sys.argv[1:] == ["json"] else main()[0])
