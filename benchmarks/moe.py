"""Evaluating a large mixture of experts that was constructed, and counting the paths through a deep one.

E = 256 linear charts of a circle, experts of one hidden layer with 1024 neurons, the supremum of the error over a
million points, routing included; the peer is the same network in NumPy, every expert evaluated on the points sent to it
by dense matrix products.  Memory is the peak of the whole process until then, the points included.  The paths are those
of a product partition with affine experts, 10^6 of them, met at the middles of as many unit cubes.
"""

import os
import resource
import time

import numpy as np

from theorycheck.sims.moe.samples import orthonormal_frame, points_on
from theorycheck.theory.moe import charts, shallow
from theorycheck.theory.moe.manifolds import Embedded, circle
from theorycheck.theory.moe.partition import affine_partition
from theorycheck.theory.moe.pieces import count_paths, grid_cells

EXPERTS, WIDTH, POINTS = 256, 1024, 1_000_000
DEPTH, BRANCHES = 6, 10


def function(points, frame):
    """sin 5 x_1 + cos 3 x_2 of the circle's own coordinates."""
    own = points @ frame
    return np.sin(5 * own[:, 0]) + np.cos(3 * own[:, 1])


def plain(layer, points):
    """The layer with NumPy alone."""
    routes, values = np.argmax(layer.gate(points), axis=1), np.empty(len(points))
    for expert in range(len(layer.experts)):
        mine = np.flatnonzero(routes == expert)
        network = layer.experts[expert]
        for part in np.array_split(mine, max(1, len(mine) // 2048)):
            hidden = np.maximum(points[part] @ network.weights[0].T + network.biases[0], 0)
            values[part] = hidden @ network.weights[1][0] + network.biases[1][0]
    return values


def timed(call):
    """Result, wall-clock seconds and processor seconds."""
    start, busy = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - start, time.process_time() - busy


def peak():
    """Largest resident memory of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def evaluated(ambient):
    """What was evaluated, its seconds, and the numbers of its row."""
    frame = orthonormal_frame(ambient, 2)
    atlas = charts.curve_atlas(Embedded(circle(), frame), EXPERTS)
    layer, built, _ = timed(lambda: shallow.linear_chart_layer(atlas, lambda points: function(points, frame), WIDTH))
    points = points_on(atlas.manifold, POINTS)
    wanted = function(points, frame)
    layer(points[:1000])
    values, wall, busy = timed(lambda: layer(points)[:, 0])
    error = np.abs(values - wanted).max()
    row = f"| {ambient} | {built:.2f} | {wall:.1f} | {busy:.1f} | {peak():.0f} | {error:.2e}"
    return layer, points, values, wall, row


def main():
    """Measure; the section in Markdown and the ratios.  The peers come last: their logits take 2 GiB."""
    rows, ratios = [], []
    for layer, points, values, wall, row in [evaluated(ambient) for ambient in (2, 16)]:
        other, theirs, _ = timed(lambda layer=layer, points=points: plain(layer, points))
        assert np.abs(other - values).max() < 1e-10
        rows.append(f"{row} | {theirs:.1f} |")
        ratios.append((f"{EXPERTS} experts of {WIDTH} neurons in R^{layer.inputs} at {POINTS:,} points",
                       "NumPy, expert by expert", f"{wall:.1f} s", f"{theirs:.1f} s", theirs / wall))
    slopes = 1.0 + np.arange(DEPTH * BRANCHES).reshape(DEPTH, BRANCHES)
    network = affine_partition(slopes, np.zeros_like(slopes))
    cells = grid_cells(DEPTH, BRANCHES)
    count_paths(network, cells[:1000])
    paths, wall, _ = timed(lambda: count_paths(network, cells))
    lines = ["## Mixtures of experts", "", f"E = {EXPERTS}, m = {WIDTH}, {POINTS:,} points on a circle in R^D, one "
             f"thread of {os.cpu_count()} cores.", "",
             "| D | built, s | sup error, s | of the processor | peak memory, MiB | sup error | NumPy, s |",
             "|---:|---:|---:|---:|---:|---:|---:|", *rows, "",
             f"{paths:,} routing paths of L = {DEPTH} layers of E = {BRANCHES} experts counted in {wall:.1f} s."]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
