"""SGD on induction heads, nanoseconds per token, against NumPy; a sweep of its flow, seconds, against scipy.

L = 66, 1500 fresh sequences a step, alpha = 1, y = 0.3, Stage II from sigma = 0.05: four scalars move.  NumPy does
every operation on the whole batch at once, once in float32 with its fastest bit generator and in place (ours keeps
float32 for tokens and weights, too), once in float64 with the default generator, as one would write it.  Each is first
run on the tokens of our stream and must end at our state; then on its own.

All run in one process pinned to one core, compiled and warmed beforehand, in turns (A B C A B C ...), and the table has
medians over the turns, in CPU time of the process, which other load on the machine disturbs least.

The sweep is the time of emergence from sigma = 1e-3 on a grid of 50 x 50 weights and similarities, by extrapolation;
scipy's LSODA with the same rates and an event does every 100th point, to the same tolerance, and counts a hundredfold.
"""

import os
import platform
import statistics
import time

import numba
import numpy as np

from theorycheck.sims import induction_heads as sims
from theorycheck.sims import streams
from theorycheck.theory.induction_heads import induction_block
from theorycheck.theory.induction_heads.emergence import emergence_times
from theorycheck.theory.induction_heads.gradient_flow import crossing_time
from theorycheck.theory.induction_heads.population_loss import Task

LENGTH, BATCH, RATE, SCALE, SEED, TURNS = 66, 1500, 0.5, 0.05, 0, 7
TASK = Task(1.0, 0.3, LENGTH)
STEPS = 60
GRID, EVERY, START = 50, 100, 1e-3


def drawn(step):
    """The tokens of a step of our stream, (B, L)."""
    padded = 4 * -(-LENGTH // 4)
    key = streams.key(SEED, "induction_heads.sgd")
    return streams.normals(key, 0, step, BATCH * padded).reshape(BATCH, padded)[:, :LENGTH]


def ours(steps, tokens=None):
    """``p, a, b, w`` after so many steps of our kernel."""
    made = sims.Descent(TASK, steps, sims.second_stage(SCALE), rate=RATE, batch_size=BATCH, times=[steps])
    return made.sample(SEED, 0, 1)[0, 0, 2:6]


def lags(p):
    """Weights of the 4-gram head on positions 2..L-1 and their derivative by p."""
    lag = np.arange(LENGTH - 2.0)[::-1]
    weights = np.exp(-p * lag)
    weights /= weights.sum()
    return weights, weights * (weights @ lag - lag)


def step(x, state, out=None):
    """One step of SGD on a batch of tokens, NumPy; ``out`` holds three arrays (B, N) to work in."""
    p, a, b, w = state
    weights, slopes = (each.astype(x.dtype) for each in lags(p))
    last, keys, values = x[:, -1:], x[:, :-2], x[:, 1:-1]
    logits, student, target = out or (None, None, None)
    logits = np.multiply(last, keys, out=logits)
    student = np.exp(np.multiply(logits, x.dtype.type(w * w), out=student), out=student)
    target = np.exp(np.multiply(logits, x.dtype.type(TASK.similarity), out=target), out=target)
    total = student.sum(axis=1)
    f = np.einsum("bs,bs->b", student, values) / total
    wanted = np.einsum("bs,bs->b", target, values) / target.sum(axis=1)
    np.multiply(student, keys, out=student)
    mean, both = student.sum(axis=1) / total, np.einsum("bs,bs->b", student, values) / total
    near, moved = keys @ weights, keys @ slopes
    first, second = a * near - TASK.four_gram * x[:, -3], b * f - TASK.induction * wanted
    by_scale = x[:, -1] * (both - mean * f)
    return state - RATE * np.array([np.mean(first * moved) * a, np.mean(first * near), np.mean(second * f),
                                    np.mean(second * by_scale) * 2 * b * w])


def in_place(steps, tokens=None):
    """NumPy, float32, arrays kept, SFC64."""
    generator, state = np.random.Generator(np.random.SFC64(0)), np.full(4, SCALE)
    x = np.empty((BATCH, LENGTH), dtype=np.float32)
    out = [np.empty((BATCH, LENGTH - 2), dtype=np.float32) for _ in range(3)]
    for k in range(steps):
        if tokens is None:
            generator.standard_normal(out=x, dtype=np.float32)
        else:
            x[:] = tokens[k]
        state = step(x, state, out)
    return state


def plain(steps, tokens=None):
    """NumPy, float64, as one would write it."""
    generator, state = np.random.default_rng(0), np.full(4, SCALE)
    for k in range(steps):
        state = step(generator.standard_normal((BATCH, LENGTH)) if tokens is None else tokens[k].astype(float), state)
    return state


CONTESTANTS = (("ours", ours, 8 * STEPS), ("NumPy, float32, in place", in_place, STEPS),
               ("NumPy, float64", plain, STEPS))


def measure():
    """Median, least and greatest nanoseconds per token of every contestant."""
    tokens, expected, last = [drawn(k) for k in range(20)], ours(20), {}
    for name, run, _ in CONTESTANTS:
        end = run(20, tokens)
        if not np.allclose(end, expected, rtol=2e-5):
            raise RuntimeError(f"{name} ends at p, a, b, w = {end}; it should end at {expected}")
        last[name] = []
    for _ in range(TURNS):
        for name, run, steps in CONTESTANTS:
            start = time.process_time()
            run(steps)
            last[name].append((time.process_time() - start) / (steps * BATCH * LENGTH) * 1e9)
    return {name: (statistics.median(values), min(values), max(values)) for name, values in last.items()}


def crossing(weight, similarity):
    """Time of emergence by LSODA."""
    task = Task(weight, similarity)

    def loss(state):
        return float(induction_block.induction_loss(task, state[0], min(state[1] ** 2, 0.7)))

    return crossing_time(lambda state: np.array(induction_block.rates(task, *state)), (START, START), loss,
                         0.5 * induction_block.plateau(task), 1e6)


def sweep():
    """Seconds for the grid of emergence times, ours and scipy's."""
    weight, similarity = (grid.ravel() for grid in np.meshgrid(np.geomspace(0.3, 10.0, GRID),
                                                               np.linspace(0.05, 0.6, GRID), indexing="ij"))
    emergence_times(weight[:1], similarity[:1], START)   # compiled before it is timed
    seconds = []
    for _ in range(TURNS):
        start = time.process_time()
        ours = emergence_times(weight, similarity, START)
        seconds.append(time.process_time() - start)
    start = time.process_time()
    theirs = [crossing(*point) for point in zip(weight[::EVERY], similarity[::EVERY])]
    spent = (time.process_time() - start) * EVERY
    if not np.allclose(theirs, ours[::EVERY], rtol=1e-6):
        raise RuntimeError("the two sweeps do not agree; they should, to 1e-6")
    return statistics.median(seconds), spent


def main():
    """Measure, and return the section in Markdown and the ratios."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        found, (fast, slow) = measure(), sweep()
    finally:
        os.sched_setaffinity(0, allowed)
    first = found["ours"][0]
    lines = ["## SGD on induction heads: nanoseconds per token on one core", "",
             "| | median | least | greatest | median / ours |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {name} | {median:.3g} | {low:.3g} | {high:.3g} | {median / first:.1f} |"
              for name, (median, low, high) in found.items()]
    lines += ["", f"L = {LENGTH}, {BATCH} sequences a step, four scalars, medians of {TURNS} interleaved turns; with "
              "drawing.", "", f"Emergence times of {GRID} x {GRID} tasks: {fast:.3g} s; by scipy's LSODA {slow:.3g} s, "
              f"{slow / fast:.0f} times as long, from every {EVERY}th.", "",
              f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}."]
    ratios = [(f"induction heads, L = {LENGTH}, ns/token", name, f"{first:.3g}", f"{found[name][0]:.3g}",
               found[name][0] / first) for name, *_ in CONTESTANTS[1:]]
    ratios.append((f"emergence times of {GRID} x {GRID} tasks, seconds", "scipy LSODA", f"{fast:.3g}", f"{slow:.3g}",
                   slow / fast))
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
