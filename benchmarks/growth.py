"""How the cost of simulated SGD grows with width, steps and replicas; what instruction sets and cores make of it.

Costs are CPU times of the process (medians over turns), which other load on the machine disturbs least.  The exponent
of a parameter is the slope of log cost against log parameter over its whole range, with the standard error of the fit.
Each instruction set is a process of its own, because the compiler is told once what it may use.  Two cores are two
processes on the same experiment, by wall-clock time, and say how busy the machine was.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import llvmlite.binding
import numpy as np

from theorycheck.sims import fsl as sgd
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr

TURNS = 5
BASE = {"width": 256, "steps": 1000, "replicas": 64}
SWEPT = {"width": (64, 128, 256, 512, 1024, 2048, 4096), "steps": (125, 250, 500, 1000, 2000, 4000, 8000),
         "replicas": (32, 64, 128, 256, 512, 1024)}
SYMBOLS = {"width": "M", "steps": "K", "replicas": "R"}
PROCESSORS = {
    "AVX2 and FMA": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    "SSE2, no FMA": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""},
}
"""What numba is told to compile for, besides the machine's own."""


def experiment(width, steps):
    """The benchmark problem at this size, recording its last risk only."""
    problem = fsl.PowerLawRegression(0.5, 2.0, width=width, noise=1.0)
    return sgd.Descent(problem, lr.constant(steps, 0.1), times=[steps])


def cost(width, steps, replicas):
    """CPU seconds of one run."""
    run = experiment(width, steps)
    start = time.process_time()
    run.sample(0, 0, replicas)
    return time.process_time() - start


def exponent(values, seconds):
    """Slope of log seconds against log values, and its standard error."""
    coefficients, covariance = np.polyfit(np.log(values), np.log(seconds), 1, cov=True)
    return float(coefficients[0]), float(covariance[0, 0] ** 0.5)


def grown():
    """Per parameter: the values, median seconds at each, and the exponent with its error."""
    cost(**BASE)
    found = {}
    for name, values in SWEPT.items():
        turns = [[cost(**{**BASE, name: value}) for value in values] for _ in range(TURNS)]
        seconds = [statistics.median(column) for column in zip(*turns)]
        found[name] = (values, seconds, *exponent(values, seconds))
    return found


def rate(width, normals=6e7):
    """Normals per second of CPU time, median over turns."""
    steps = max(4, int(normals / width / 64))
    cost(width, 4, 64)
    return steps * width * 64 / statistics.median(cost(width, steps, 64) for _ in range(TURNS))


def rates_elsewhere(settings, normals):
    """The rates at M = 64, 256, 1000 of a process that compiles for another processor."""
    code = f"from benchmarks.growth import rate; print(*[rate(width, {normals}) for width in (64, 256, 1000)])"
    with tempfile.TemporaryDirectory() as cache:
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                                env={**os.environ, **settings, "NUMBA_CACHE_DIR": cache})
    return [float(word) for word in answer.stdout.split()]


def processors():
    """Normals per second by instruction set."""
    features = llvmlite.binding.get_host_cpu_features()
    name = llvmlite.binding.get_host_cpu_name()
    best = "AVX-512" if features.get("avx512f") else "AVX2 and FMA" if features.get("fma") else "as it is"
    rows = {f"{best} ({name})": [rate(width) for width in (64, 256, 1000)]}
    if features.get("avx2") and features.get("fma"):
        for title, settings in PROCESSORS.items():
            if title != best:
                rows[title] = rates_elsewhere(settings, 6e7 if "FMA" in title.split(",")[0] else 2e6)
    return rows


def cores():
    """Wall-clock seconds on one and on two processes (the least of three turns each), and the load before."""
    load = os.getloadavg()[0]
    run = {"problem": fsl.PowerLawRegression(0.5, 2.0, width=256, noise=1.0), "schedule": lr.constant(1000, 0.1),
           "times": [1000], "replicas": 16_384, "seed": 0}
    seconds = {1: [], 2: []}
    for jobs in seconds:
        sgd.simulate(**{**run, "replicas": 256}, jobs=jobs)
    for _ in range(3):
        for jobs, column in seconds.items():
            start = time.perf_counter()
            sgd.simulate(**run, jobs=jobs)
            column.append(time.perf_counter() - start)
    return min(seconds[1]), min(seconds[2]), load


def main() -> str:
    """Measure, and return the section in Markdown."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        found, rows = grown(), processors()
    finally:
        os.sched_setaffinity(0, allowed)
    lines = ["## How the cost of simulated SGD grows", "", "| parameter | range | others | seconds | exponent |",
             "|---|---|---|---|---|"]
    for name, (values, seconds, slope, error) in found.items():
        others = ", ".join(f"{SYMBOLS[other]} = {value}" for other, value in BASE.items() if other != name)
        lines.append(f"| {SYMBOLS[name]} ({name}) | {values[0]} .. {values[-1]} | {others} | {seconds[0]:.2g} .. "
                     f"{seconds[-1]:.2g} | {slope:.3f} +- {error:.3f} |")
    lines += ["", "### Million normals per second and core, by instruction set", "",
              "| | M = 64 | M = 256 | M = 1000 |", "|---|---:|---:|---:|"]
    lines += [f"| {title} | " + " | ".join(f"{value / 1e6:.0f}" for value in values) + " |"
              for title, values in rows.items()]
    one, two, load = cores()
    lines += ["", f"The same bits in every row. Two processes took {two:.2f} s for what one does in {one:.2f} s "
              f"({one / two:.2f} times as fast; {os.cpu_count()} cores, load average {load:.1f} before)."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
