r"""Training in stages, and all six scalars at once, by gradient flow on the closed-form population loss.

*Stage I* trains layer 1 with layer 2 held at small a and p (the induction head's pull is 1/N of its own and left out).
With ``v = e^{-p}`` the flow has (derived)

    p1 -> inf,     u t = e^{-p1} t -> 1/(d gamma^2 v (1 - v^2)),     w1 -> (gamma/a)(1 + v):

a previous-token map whose size makes up for the small a.  *Stage II* holds layer 1 at ``y_s = x_{s-1}``: the two blocks
:mod:`.four_gram` and :mod:`.induction_block`, which do not see each other.

*Joint training.*  The loss vanishes on no bounded set: slopes grow like logarithms of t, and the products follow them,

    a w1 = gamma (1+u)(1+v)(1-uv)/(1+uv),     w^2 w1 = y (1+u),     b = c;

so ``L = gamma^2 (u + v)^2 d/2`` to leading order, and by ``du/dt = -d gamma^2 u^2 (u + v)``, the same for v, the
4-gram now falls like ``t L_G4 -> 1/2``, twice the 1/4 of one trained slope.  From six equal small scalars sigma the
4-gram leaves its saddle, of degree four in a, w1, p1, p, at ``t = 1/(2 d gamma sigma^2)`` to leading order.

The 4-gram part is that of an infinite context: slopes must stay well above 1/N.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown
from .four_gram import checked_fraction, four_gram_flow
from .gradient_flow import checked_start, crossing_time, integrated
from .induction_block import induction_flow, plateau
from .population_loss import PARAMETERS, checked_task, four_gram_loss, scaled_induction_loss, slopes


@dataclass(frozen=True, eq=False)
class TrainingPath:
    """Six scalars and two losses along a flow.

    Attributes
    ----------
    times : ndarray, shape (T,)
        t.
    parameters : ndarray, shape (T, 6)
        In the order of ``PARAMETERS``: p1, w1, p, a, b, w.
    four_gram, induction : ndarray, shape (T,)
        ``L_G4`` and ``L_IH`` (not times N).
    """

    times: np.ndarray
    parameters: np.ndarray
    four_gram: np.ndarray
    induction: np.ndarray

    def parameter(self, name):
        """One scalar by name, shape (T,).

        Raises
        ------
        ValueError
            For a name that is none of ``PARAMETERS``.
        """
        if name not in PARAMETERS:
            raise ValueError(f"parameter is {shown(name)}; it must be one of {', '.join(PARAMETERS)}")
        return self.parameters[:, PARAMETERS.index(name)]


def stage_one_flow(task, value, slope, start, times):
    """Layer 1 while layer 2 is held fixed.

    Parameters
    ----------
    task : Task
    value, slope : float
        ``a, p > 0`` of the 4-gram head.
    start : (float, float)
        ``p1 > 0`` and w1.
    times : array_like, shape (T,)
        Not negative, increasing.

    Returns
    -------
    ndarray, shape (T, 2)
        p1 and w1.

    Raises
    ------
    ValueError
        For arguments out of range.
    RuntimeError
        If the integrator gives up.
    """
    checked_task(task)
    start = numbers(start, "starting values")
    if start.shape != (2,):
        raise ValueError(f"start has shape {start.shape}; it must be a pair, p1 and w1")
    for name, size in (("value", value), ("slope", slope), ("start p1", start[0])):
        if not 0 < number(size, name) < math.inf:
            raise ValueError(f"{name} is {shown(size)}; it must be finite and > 0")

    def falling(state):
        found = slopes(_alone(task), max(state[0], 1e-300), state[1], slope, value, 0.0, 0.0)
        return -np.array(found[:2])

    return integrated(falling, start, times)


def stage_two_flow(task, scale, times):
    """Layer 2 from ``a = p = b = w = sigma`` with ``y_s = x_{s-1}`` (p1 is inf and w1 is 1 in the path).

    Parameters
    ----------
    task : Task
        Of finite length.
    scale : float
        sigma > 0.
    times : array_like, shape (T,)
        Not negative, increasing.

    Returns
    -------
    TrainingPath

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    times = np.atleast_1d(numbers(times, "times"))
    _finite_length(task)
    local, copying = four_gram_flow(task, scale, times), induction_flow(task, scale, times / task.keys)
    one = np.ones(times.size)
    key = np.sqrt(copying.similarity)
    parameters = np.stack([math.inf * one, one, local.slope, local.value, copying.value, key], axis=1)
    return TrainingPath(times, parameters, local.loss, copying.scaled_loss / task.keys)


def joint_flow(task, start, times):
    """All six scalars.

    Parameters
    ----------
    task : Task
        Of finite length.
    start : float or array_like, shape (6,)
        All of them, or one for each in the order of ``PARAMETERS``; ``p1, p > 0``.
    times : array_like, shape (T,)
        Not negative, increasing.

    Returns
    -------
    TrainingPath

    Raises
    ------
    ValueError
        For arguments out of range.
    RuntimeError
        If the integrator gives up.
    """
    start = _joint_start(task, start)
    states = integrated(_joint_slope(task), start, times)
    return TrainingPath(np.atleast_1d(np.asarray(times, float)), states, four_gram_loss(task, states),
                        scaled_induction_loss(task, states) / task.keys)


def joint_times(task, start, fraction=0.5):
    """Times at which, in joint training, the 4-gram and the induction head are learned.

    Parameters
    ----------
    task : Task
        Of finite length.
    start : float or array_like, shape (6,)
        As in :func:`joint_flow`.
    fraction : float
        Of ``L_G4`` with nothing learned, and of the *plateau* of ``L_IH``.

    Returns
    -------
    tuple of 2 floats
        inf for what is not learned by ``t = 1e4 N / (c^2 y)``.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    start, slope, fraction = _joint_start(task, start), _joint_slope(task), checked_fraction(fraction)
    horizon = 1e4 * task.keys / (task.induction**2 * task.similarity)
    unlearned = 0.5 * task.dimension * task.four_gram**2
    return (crossing_time(slope, start, lambda x: four_gram_loss(task, _inside(x)), fraction * unlearned, horizon),
            crossing_time(slope, start, lambda x: scaled_induction_loss(task, _inside(x)), fraction * plateau(task),
                          horizon))


def _alone(task):
    """The task without its induction head's pull: of an infinite context."""
    return task if task.length == math.inf else type(task)(task.weight, task.similarity, math.inf, task.dimension)


def _inside(state):
    return np.where(np.isin(np.arange(6), (0, 2)), np.maximum(state, 1e-300), state)


def _joint_slope(task):
    def slope(state):
        return -np.array(slopes(task, *_inside(state)))
    return slope


def _finite_length(task):
    if checked_task(task).length == math.inf:
        raise ValueError("length is inf; it must be finite, or the induction head is never learned")


def _joint_start(task, start):
    _finite_length(task)
    start = np.broadcast_to(numbers(start, "starting values"), (6,)) if np.ndim(start) == 0 else numbers(
        start, "starting values")
    checked_start(start)
    four_gram_loss(task, start)
    scaled_induction_loss(task, start)
    return start
