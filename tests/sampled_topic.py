"""An invented topic whose claim is an experiment that takes its time, beside those of :mod:`fake_topic`."""

import fake_topic
import numpy as np
from frail_experiment import Frail

from theorycheck.checks.claim import Evidence, claim
from theorycheck.sims.engine import estimate

REPLICAS = 60


@claim("sampled", topic="sampled", paper=fake_topic.GAUSS, where="Art. 9", stance="derived", statement="mean 1e9")
def sampled(effort):
    seen = estimate(Frail("samples.log", 0.002, every=0), replicas=REPLICAS, seed=1, chunk=5, **effort.engine)
    return Evidence(True, np.float64(seen.mean[0]).hex(), 1e9, 1.0, "equal")


@sampled.control("none")
def _(effort):
    return fake_topic.verdict(False)


def installed():
    """Make the invented topics, and this one, the only ones of this process."""
    fake_topic.TOPICS["sampled"] = "what is sampled"
    fake_topic.installed()
