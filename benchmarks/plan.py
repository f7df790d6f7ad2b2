"""Planning 100,000 learning rates by a fitted law, and what the O(N) gradient is worth at a size all can do.

The peer is the same optimiser, scipy's L-BFGS-B, that has to find its derivatives by finite differences: N + 1
evaluations of the law per gradient.  Both start from a cosine, at N = 200, and stop at the same tolerance.
"""

import statistics
import time

import numpy as np
from scipy.optimize import minimize

from theorycheck.theory.schedules import fitted_optimum
from theorycheck.theory.schedules.fitted_law import FittedLaw, final_loss, final_loss_gradient

PEAK = 1e-3
LAWS = {"functional scaling law": FittedLaw("fsl", (0.5, 20.0, 0.6), (3.0, 1.0, 0.15, 0.0), PEAK, 1.0, 0.02),
        "multi-power law": FittedLaw("mpl", (0.5, 10.0, 0.6, 0.5), (3.0, 1.0, 0.15), PEAK, 1.0, 0.02)}
STEPS, SMALL, TURNS = 100_000, 200, 3


def planned(law, steps):
    """Seconds (wall, processor) to plan so many steps, the plan's loss and the best usual one's."""
    rows = fitted_optimum.rows_of(steps, steps // 50)
    start, busy = time.perf_counter(), time.process_time()
    found = fitted_optimum.optimal_rates(law, rows, PEAK)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    usual = min(final_loss(law, rows, rates) for rates in fitted_optimum.parametric(rows, PEAK, 0.0).values())
    return seconds, busy, found.loss, usual


def descent(law, with_gradient):
    """Seconds of L-BFGS-B from a cosine at N = SMALL, and the loss it ends at."""
    rows = fitted_optimum.rows_of(SMALL)
    rows = fitted_optimum.Rows(rows.steps * 100)
    start = fitted_optimum.parametric(rows, PEAK, 0.0)["cosine"] / PEAK

    def loss(shares):
        if not with_gradient:
            return final_loss(law, rows, shares * PEAK)
        value, gradient = final_loss_gradient(law, rows, shares * PEAK)
        return value, gradient * PEAK

    began = time.perf_counter()
    found = minimize(loss, start, jac=True if with_gradient else None, method="L-BFGS-B",
                     bounds=np.broadcast_to([0.0, 1.0], (rows.size, 2)),
                     options={"maxiter": 60, "maxfun": 10**6, "ftol": 1e-12})
    return time.perf_counter() - began, float(found.fun)


def main():
    """Measure; the section in Markdown and the ratios."""
    lines = ["## Planning", "", f"| law | seconds for N = {STEPS:,} | of the processor | final loss | best usual one |",
             "|---|---:|---:|---:|---:|"]
    for name, law in LAWS.items():
        turns = [planned(law, STEPS) for _ in range(TURNS)]
        wall, busy = (statistics.median(turn[i] for turn in turns) for i in (0, 1))
        lines.append(f"| {name} | {wall:.1f} | {busy:.1f} | {turns[0][2]:.6f} | {turns[0][3]:.6f} |")
    law = LAWS["functional scaling law"]
    ours, theirs = ([descent(law, flag) for _ in range(TURNS)] for flag in (True, False))
    mine, peer = (statistics.median(t[0] for t in turns) for turns in (ours, theirs))
    lines += ["", f"L-BFGS-B on {SMALL} rates from a cosine: {mine:.3f} s with the O(N) gradient (loss "
              f"{ours[0][1]:.8f}), {peer:.2f} s with finite differences (loss {theirs[0][1]:.8f}).  "
              f"Medians of {TURNS} turns."]
    ratios = [(f"optimise {SMALL} rates of a fitted law", "scipy L-BFGS-B, finite differences", f"{mine:.3f} s",
               f"{peer:.2f} s", peer / mine)]
    return "\n".join(lines), ratios


if __name__ == "__main__":
    print(main()[0])
