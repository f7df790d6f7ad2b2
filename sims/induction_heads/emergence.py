"""When the induction head emerges: the time at which its logit scale passes a fraction of the target's."""

from dataclasses import dataclass

import numpy as np

from ...theory.arguments import number, shown
from .. import engine, streams
from .descent import Descent, checked_replica
from .layer import LayerDescent


@dataclass(frozen=True, eq=False)
class Emergence:
    """Time until the logit scale of a descent passes ``fraction * y``, as an experiment for the engine.

    The logit scale is ``w1 w^2`` of the six scalars, ``A_01`` of the second head of a whole layer.  Paths are those of
    the descent, bit by bit, ended early; the number of steps is interpolated linearly in the scale.  A run that has
    not passed the level after all steps counts as just having done so; the maximum of the estimate shows it.

    Parameters
    ----------
    descent : Descent or LayerDescent
        What is run, for ``steps`` at most; its times do not count.
    fraction : float
        Of the target's logit scale y, in (0, 1).

    Raises
    ------
    ValueError
        For anything else.
    """

    descent: object
    fraction: float = 0.5

    def __post_init__(self):
        if not isinstance(self.descent, Descent | LayerDescent):
            raise ValueError(f"descent is {shown(self.descent)}; it must be a Descent or a LayerDescent")
        fraction = number(self.fraction, "fraction")
        if not 0 < fraction < 1:
            raise ValueError(f"fraction is {fraction:g}; it must be > 0 and < 1")
        object.__setattr__(self, "fraction", fraction)
        object.__setattr__(self, "descent", _to_the_end(self.descent))

    @property
    def name(self) -> str:
        """Identity of the experiment, with the version of its kernel."""
        return f"induction_heads.emergence/{self.descent.name}"

    @property
    def shape(self) -> tuple:
        """One number."""
        return (1,)

    def parameters(self) -> dict:
        """What determines a replica, besides the seed."""
        return {**self.descent.parameters(), "fraction": self.fraction}

    def coordinates(self) -> dict:
        """``observable``: the name of the number."""
        return {"observable": np.array(["emergence_time"])}

    def sample(self, seed, first, count):
        """Times of replicas ``first, ..., first + count - 1``, float64, shape (count, 1)."""
        key, level = streams.key(seed, self.descent.stream), self.fraction * self.descent.task.similarity
        return np.array([[self.descent.rate * self.descent.path(key, checked_replica(first + row), level)[1]]
                         for row in range(count)])


def simulate_emergence(descent, fraction=0.5, *, replicas, seed, **options):
    """Moments of the time at which the induction head emerges.

    Parameters
    ----------
    descent, fraction
        See :class:`Emergence`.
    replicas, seed, options
        See :func:`theorycheck.sims.engine.estimate`.

    Returns
    -------
    engine.Estimate
        ``mean`` and ``stderr`` of shape (1,).
    """
    return engine.estimate(Emergence(descent, fraction), replicas=replicas, seed=seed, **options)


def _to_the_end(descent):
    """The same descent, recorded at its end only."""
    entries = {name: getattr(descent, name) for name in descent.__dataclass_fields__}
    return type(descent)(**{**entries, "times": [descent.steps]})
