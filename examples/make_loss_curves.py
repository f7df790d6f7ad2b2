"""Make the loss curves of the README's tour: SGD with a known law, logged the way a training run is.

The expected risk of SGD on a power-law problem under four schedules, plus a floor and 0.05 % of logging noise, one row
every 100 steps after a warm-up of 500.  Run it to make the files of ``loss_curves/`` again:

    python examples/make_loss_curves.py
"""

import csv
from pathlib import Path

import numpy as np

from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr

STEPS, WARMUP, EVERY, PEAK, FLOOR, LOGGING_NOISE = 20_000, 500, 100, 0.1, 2.0, 0.0005
PROBLEM = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20_000, noise=1.0)
SCHEDULES = {
    "constant": lr.constant(STEPS, PEAK),
    "cosine": lr.cosine(STEPS, PEAK, final=PEAK / 10),
    "two_stage": lr.multi_step(STEPS, PEAK, milestones=(0.5,), factor=0.3),
    "wsd": lr.wsd(STEPS, PEAK, cooldown=0.2, final=PEAK / 10),
}


def main():
    """Write one CSV file per schedule beside this script."""
    folder = Path(__file__).parent / "loss_curves"
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(20260101)
    for name, schedule in SCHEDULES.items():
        whole = lr.warmup(schedule, WARMUP)
        steps = np.arange(WARMUP, whole.steps, EVERY)
        risk = fsl.exact_risk(PROBLEM, whole, times=steps).excess_risk
        loss = (FLOOR + risk) * np.exp(LOGGING_NOISE * generator.standard_normal(steps.size))
        with open(folder / f"{name}.csv", "w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", "lr", "loss"])
            rows.writerows([step, f"{whole.rates[step]:.8g}", f"{value:.5f}"] for step, value in zip(steps, loss))


if __name__ == "__main__":
    main()
