"""When something happens along a training run, and whether it happened at all before the run was over."""

from typing import NamedTuple

import numpy as np

from ...sims import induction_heads as sims
from .. import judges


class Emerged(NamedTuple):
    """Times of emergence of independent runs.

    Attributes
    ----------
    mean, stderr : float
    replicas : int
    latest : float
        The last one over the time at which runs are stopped; 1 if a run was stopped before its head emerged.
    """

    mean: float
    stderr: float
    replicas: int
    latest: float


def emerged(descent, **options):
    """Times at which the logit scale passes half of the target's, :class:`Emerged`; options are the engine's."""
    run = sims.simulate_emergence(descent, **options)
    return Emerged(float(run.mean[0]), float(run.stderr[0]), run.replicas,
                   float(run.maximum[0]) / (descent.rate * descent.steps))


def in_time(runs):
    """That every head emerged before its run was stopped: a run that is cut off would count as just in time."""
    return judges.inequality([run.latest for run in runs], 0.999, over="latest emergence over the end of the runs")


def extrapolated(keys, excess, stderr, replicas):
    """The limit of ``excess + slope/N`` by weighted least squares, a :class:`~theorycheck.checks.judges.Sample`.

    Parameters
    ----------
    keys, excess, stderr : array_like, shape (n,), n >= 2
        N, what is extrapolated, and its standard error.
    replicas : int
        The least number of replicas behind one of them, for the judge's degrees of freedom.
    """
    keys, excess, stderr = (np.asarray(values, float) for values in (keys, excess, stderr))
    design = np.stack([np.ones(keys.size), 1.0 / keys], axis=1) / stderr[:, None]
    covariance = np.linalg.inv(design.T @ design)
    return judges.Sample((covariance @ design.T @ (excess / stderr))[0], np.sqrt(covariance[0, 0]), replicas)


def first(times, happened):
    """The first of the times at which something has happened; inf if it never does."""
    return float(times[int(np.argmax(happened))]) if np.any(happened) else np.inf


def in_order(whens, factor, end, names):
    """That each of several events takes at least `factor` times as long as the one before, and the last happens.

    Parameters
    ----------
    whens : sequence of float
        Times; inf for what never happens, which is rejected.
    factor, end : float
        End of the run.
    names : str
        What they are, for the note.
    """
    whens = np.array(whens)
    with np.errstate(invalid="ignore"):
        ratios = np.append(factor * whens[:-1] / whens[1:], whens[-1] / end)
    return judges.inequality(ratios, 1.0, over=f"times of {names}: " + ", ".join(f"{when:.3g}" for when in whens))
