"""Optimal control of exact SGD against L-BFGS-B with the adjoint gradient and against vectorised NumPy.

Every contestant minimises the final risk over all learning rates.  NumPy does the same sweeps from the same constant
start, to the same result; L-BFGS-B starts from it, too, and runs until it comes within 1e-6 of our optimum, which has
the help of its own coarse start.  The largest runs of rates and of batch sizes are timed, and the memory of a million
steps is read in a process of its own.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import time

import numba
import numpy as np
from scipy.optimize import minimize

from theorycheck.theory import fsl
from theorycheck.theory.schedules.adjoint import gradient
from theorycheck.theory.schedules.batch_control import optimal_batches
from theorycheck.theory.schedules.optimal_control import optimal_rates

PROBLEM = fsl.PowerLawRegression(1.0, 2.0)
STEPS, LARGE, HUGE = 2048, 65_536, 1_000_000
TURNS, SWEEPS = 3, 5


def numpy_sweeps(spectrum, steps, sweeps):
    """The same sweeps in NumPy: one vector over the modes per step, all adjoints stored; batch size 1."""
    values, weights = spectrum.eigenvalues, spectrum.multiplicity
    push, rates = weights * values**2, np.full(steps, 0.1)
    adjoints = np.empty((steps, values.size))
    for _ in range(sweeps):
        adjoint = np.ones_like(values)
        for k in range(steps - 1, -1, -1):
            adjoints[k] = adjoint
            x = rates[k] * values
            adjoint = adjoint * (1.0 - 2.0 * x + 2.0 * x * x) + rates[k] ** 2 * (push @ adjoint)
        state = weights * values * spectrum.target_squared
        for k in range(steps):
            weighted, total = values * (adjoints[k] * state), state.sum() + spectrum.label_variance
            rates[k] = weighted.sum() / (2.0 * (values @ weighted) + total * (push @ adjoints[k]))
            x = rates[k] * values
            state = state * (1.0 - 2.0 * x + 2.0 * x * x) + rates[k] ** 2 * total * push
    return spectrum.approximation_error + 0.5 * state.sum()


def lbfgs(spectrum, steps, risk):
    """L-BFGS-B with our gradient until it comes within 1e-6 of the risk given; returns its risk."""
    best = [np.inf]

    def objective(rates):
        made = gradient(spectrum, np.maximum(rates, 1e-12), 1)
        best[0] = min(best[0], made.loss)
        return made.loss / risk, made.by_rate / risk

    def enough(_):
        if best[0] <= risk * (1.0 + 1e-6):
            raise StopIteration

    minimize(objective, np.full(steps, 0.1), jac=True, method="L-BFGS-B", bounds=[(1e-12, None)] * steps,
             callback=enough, options={"maxiter": 2000, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-15})
    return best[0]


def timed(function):
    """Median processor seconds of several turns, and the last result."""
    seconds, result = [], None
    for _ in range(TURNS):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), result


def huge():
    """Two sweeps over a million steps: print the peak memory in MiB, with what imports and compilation take."""
    small = optimal_rates(PROBLEM, 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    found = optimal_rates(PROBLEM, HUGE, sweeps=2, coarse=False, start=np.full(HUGE, 0.01))
    seconds = time.process_time() - start
    print(before / 1024.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, seconds,
          found.spectrum.eigenvalues.size, small.steps)


def main():
    """Measure, and return the section in Markdown and the ratios."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        spectrum = fsl.compress(PROBLEM, 1e5)
        best = optimal_rates(spectrum, STEPS)
        lbfgs(spectrum, 64, optimal_rates(spectrum, 64).loss)   # compiles
        solved, again = timed(lambda: optimal_rates(spectrum, STEPS))
        plain, found = timed(lambda: optimal_rates(spectrum, STEPS, coarse=False, tolerance=1e-15, sweeps=SWEEPS,
                                                   start=np.full(STEPS, 0.1)))
        peer, other = timed(lambda: lbfgs(spectrum, STEPS, best.loss))
        slow, same = timed(lambda: numpy_sweeps(spectrum, STEPS, SWEEPS))
        if not np.isclose(same, found.loss, rtol=1e-9) or again.loss != best.loss:
            raise RuntimeError(f"NumPy comes to {same} after {SWEEPS} sweeps; ours to {found.loss}")
        large, run = timed(lambda: optimal_rates(PROBLEM, LARGE))
        hard, hard_run = timed(lambda: optimal_rates(fsl.PowerLawRegression(1.0 / 6.0, 3.0), LARGE, cap=0.3))
        batches, batch_run = timed(lambda: optimal_batches(fsl.PowerLawRegression(1.0 / 6.0, 3.0), LARGE, 0.2))
        text = subprocess.run([sys.executable, "-c", "from benchmarks.schedules import huge; huge()"], check=True,
                              capture_output=True, text=True).stdout
    finally:
        os.sched_setaffinity(0, allowed)
    idle, peak, seconds, nodes, _ = (float(word) for word in text.split())
    lines = ["## Optimal control of the learning rates of exact SGD, on one core", "",
             "| | seconds | relative to ours |", "|---|---:|---:|",
             f"| N = {STEPS}: optimum to 1e-10, {again.sweeps} sweeps after the coarse start | {solved:.3g} | 1 |",
             f"| L-BFGS-B with our gradient, risk {other / best.loss - 1.0:.1e} above | {peer:.3g} | "
             f"{peer / solved:.1f} |",
             f"| N = {STEPS}: {SWEEPS} sweeps | {plain:.3g} | 1 |",
             f"| the same sweeps in NumPy, adjoints stored | {slow:.3g} | {slow / plain:.1f} |",
             f"| N = {LARGE}, easy: optimum to 1e-10, {run.sweeps} sweeps | {large:.3g} | |",
             f"| N = {LARGE}, hard, cap 0.3: optimum to 1e-10, {hard_run.sweeps} sweeps | {hard:.3g} | |",
             f"| batch sizes of {LARGE} samples at rate 0.2, hard: {batch_run.steps} steps | {batches:.3g} | |",
             f"| N = {HUGE}: two sweeps, {nodes:.0f} nodes | {seconds:.3g} | |", "",
             f"Peak memory with N = {HUGE}: {peak:.0f} MiB, {idle:.0f} MiB of it before the run. Medians of {TURNS} "
             f"turns of processor time; {spectrum.eigenvalues.size} nodes where not said otherwise. "
             f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}."]
    ratios = [(f"optimal learning rates, N = {STEPS}, seconds", "L-BFGS-B with the same gradient", f"{solved:.3g}",
               f"{peer:.3g}", peer / solved),
              (f"{SWEEPS} sweeps, N = {STEPS}, seconds", "NumPy", f"{plain:.3g}", f"{slow:.3g}", slow / plain)]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
