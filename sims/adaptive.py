r"""Sampling until it is enough: more replicas until the standard errors are small enough, looking on a fixed schedule.

The moments are looked at after :math:`R_k = \min(R_0 g^k, R_{max})` replicas, k = 0, 1, ..., a schedule that is fixed
before the first replica runs.  Sampling stops at the first look where, at every recorded place at once,

.. math:: \mathrm{stderr} \le \mathrm{target}  \quad\text{and}\quad  |\mathrm{skewness}| / \sqrt{R_k} \le \text{limit},

the second so that the standard error can be believed, or at the last look.  Every look is at the replicas 0 .. R_k-1,
so that what was sampled depends on nothing but the arguments: not on workers, chunks, or interruptions.

When to stop is read off the same data as the mean, and the two are correlated where replicas are skewed; who judges the
mean at the look where it stopped looks several times.  A :class:`Sequential` therefore carries all its looks and how
many there could have been, and a judge spends its probability of error on all of them
(:mod:`theorycheck.checks.sequential`).
"""

import contextlib
import math
import tempfile
from dataclasses import dataclass

import numpy as np

from .engine import Estimate, estimate


@dataclass(frozen=True)
class Sequential:
    """Looks at the moments of one experiment as replicas were added.

    Attributes
    ----------
    looks : tuple of Estimate
        Those that were taken, the last one final.
    planned : int
        How many there could have been: the length of the schedule.
    target : ndarray or float
        Standard error that was asked for.
    reached : bool
        Whether the last look meets it; otherwise the budget is spent.
    """

    looks: tuple
    planned: int
    target: np.ndarray | float
    reached: bool

    @property
    def estimate(self) -> Estimate:
        """The last look."""
        return self.looks[-1]


def schedule(first: int, budget: int, growth: int = 2) -> tuple:
    """Numbers of replicas at the looks: first, first growth, first growth^2, ..., below the budget, and the budget.

    Parameters
    ----------
    first, budget : int
        2 <= first <= budget < 2^48.
    growth : int
        At least 2.

    Raises
    ------
    ValueError
        For a parameter out of range.
    """
    for name, value, low, high in (("first", first, 2, 2**48), ("budget", budget, first, 2**48),
                                   ("growth", growth, 2, 2**48)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}; it must be an integer from {low} to {high}")
    sizes = []
    while first < budget:
        sizes.append(int(first))
        first *= growth
    return (*sizes, int(budget))


def until(experiment, *, target, budget: int, seed: int, relative: bool = False, skewness: float = math.inf,
          first: int = 1024, growth: int = 2, store=None, **engine) -> Sequential:
    """Add replicas until the standard error is below the target everywhere, or the budget is spent.

    Parameters
    ----------
    experiment, seed
        See :func:`theorycheck.sims.engine.estimate`.
    target : float or array_like
        Standard error to reach at every place of the experiment, positive; an array broadcasts to its shape.
    budget : int
        Replicas at most.
    relative : bool
        Whether the target is in units of the magnitude of the mean.
    skewness : float
        Positive; the largest ``|skewness| / sqrt(replicas)`` of a place with a standard error to be believed.
    first, growth : int
        Replicas at the first look, and the factor from look to look; see :func:`schedule`.
    store : path, optional
        Directory of finished chunks: an interrupted run goes on from there, and so does one with a smaller target or a
        larger budget.  Without it they are kept for the duration of the run, as temporary files.
    engine
        Further arguments of :func:`theorycheck.sims.engine.estimate`: jobs, chunk, progress, device, on_divergence.

    Returns
    -------
    Sequential
        Its bits depend on experiment, seed, target, budget, relative, skewness, first and growth only.

    Raises
    ------
    ValueError
        For a parameter out of range.
    Diverged, DeviceUnavailable, OSError
        As the engine does.
    """
    sizes = schedule(first, budget, growth)
    target = _positive(target, "target")
    try:
        np.broadcast_to(target, tuple(experiment.shape))
    except ValueError:
        raise ValueError(f"target has shape {target.shape}; it must fit {tuple(experiment.shape)}, that of the "
                         "experiment") from None
    skewness = float(_positive(skewness, "skewness"))
    looks, reached = [], False
    with contextlib.ExitStack() as stack:
        if store is None:
            store = stack.enter_context(tempfile.TemporaryDirectory(prefix="theorycheck-"))
        while len(looks) < len(sizes) and not reached:
            looks.append(estimate(experiment, replicas=sizes[len(looks)], seed=seed, store=store, **engine))
            reached = _enough(looks[-1], target, relative, skewness)
    return Sequential(tuple(looks), len(sizes), target, reached)


def _enough(look, target, relative, limit):
    wanted = target * np.abs(look.mean) if relative else target
    # where nothing varies there is no skewness, and nothing to be skewed
    skewness = np.where(look.stderr > 0, np.abs(look.skewness), 0.0) / math.sqrt(look.replicas)
    return bool((look.stderr <= wanted).all() and (skewness <= limit).all())


def _positive(value, name):
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; it must be a number > 0") from None
    if not (array > 0).all():
        raise ValueError(f"{name} is {value if array.ndim == 0 else array.min()!r}; it must be > 0 everywhere")
    return array
