"""An experiment that takes its time and logs what it computes; as a script, a run of it that can be killed.

    python slow_experiment.py LOG STORE JOBS PAUSE
"""

import sys
import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Slow:
    """Normal numbers about 1e9; `pause` seconds a replica, every call appended to the file `log`."""

    log: str
    pause: float
    shape = (3,)
    name = "slow"

    def parameters(self):
        return {"law": "normal"}

    def sample(self, seed, first, count):
        time.sleep(self.pause * count)
        with open(self.log, "a") as file:
            file.write(f"{first} {first + count}\n")
        return np.array([np.random.default_rng([seed, r]).normal(1e9, 1.0, 3) for r in range(first, first + count)])


if __name__ == "__main__":
    from slow_experiment import Slow  # by its module's name, so that the workers find it

    from theorycheck.sims.engine import estimate

    log, store, jobs, pause = sys.argv[1:]
    estimate(Slow(log, float(pause)), replicas=300, seed=3, chunk=8, jobs=int(jobs), store=store)
