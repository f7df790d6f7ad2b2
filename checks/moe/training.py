r"""Claims about training: what the two experiments of the paper's Sec. 6 give, over seeds, and what they need.

The tables print one run each; that training ran 2000 and 5000 steps of Adam at 1e-3 with batches of 128, and with which
gate, is known at second hand only.  Here every number is a median over seeds with its interval; batches are fresh; the
gate is the dense softmax without a bias unless another is named; weights start uniform on ``+-1/sqrt(fan-in)``.

What these settings give, and what reaches the printed errors:

=============  =======================================  ==========================================================
network        2000 (circle), 5000 (squares) at 1e-3    what is needed
=============  =======================================  ==========================================================
1-4-MoE        250 times the printed errors             10 000 steps, or 2000 at 1e-2 (within a factor 3)
2-3-MoE        within a factor 4, m = 16 .. 128         nothing
1-6-MoE        13, 15 times at m = 16, 32; 2.5 at 64    5000 steps at 3e-3 .. 1e-2, or 10 000 to 20 000 at 1e-3
=============  =======================================  ==========================================================

At 5e-3 the 1-6-MoE's error no longer falls beyond m = 32 (6.6e-5, 4.2e-5, 3.7e-5, 4.5e-5 for m = 16 .. 128), as in
print, though it can express far less (``plateau``).  Neither a bias in the gate nor batches of 1024 mend that (tried at
1e-2, m = 16 and 32); the gate of Switch transformers leaves it at 9e-4 for m = 16.
"""

import numpy as np

from ...sims.moe.training import Training, errors
from ...theory.moe import explicit
from .. import judges
from ..claim import claim
from . import medians
from .paper import MOE

SEED = 6
CIRCLE = {16: 3.40e-4, 32: 3.38e-4, 64: 3.17e-4, 128: 3.42e-4}
"""Table 3: D and the printed test error of a 1-4-MoE of width 10."""
TWO_LEVELS = {16: 8.32e-5, 32: 1.41e-5, 64: 4.73e-6, 128: 2.59e-6}
"""Table 4: m and the printed test error of the 2-3-MoE."""
ONE_LEVEL = {16: 7.96e-5, 32: 2.17e-5, 64: 2.65e-5, 128: 4.60e-5}
"""Table 4: the 1-6-MoE."""
QUICKLY = {"steps": 2000, "rate": 1e-2}
"""Settings that reach the level of Table 3 in the steps it is said to have taken: ten times the rate."""
FASTER = 5e-3
"""Rate at which the 1-6-MoE reaches the level of Table 4 in the steps it is said to have taken."""
_RUNS = {}      # what was run: test errors of seeds 0, 1, ... by cell


@claim("table_3", topic="moe", paper=MOE, where="Table 3", stance="amended",
       statement="1-4-MoE of width 10, Adam at 1e-3: median > 0.02 after 2000 steps, within 3 of print after 10000")
def table_3(effort):
    """D = 16 and 128, at full effort 32 and 64 as well.  The factor 3 is set: single runs differ by more."""
    early, late = circle(effort)
    return judges.every(early=medians.between(early, 0.02, 1.0, at=_places(effort)), late=_table_3(effort, late))


@table_3.printed("the error is 3.2e-4 .. 3.4e-4 after 2000 steps of Adam at 1e-3 (here: within a factor 3)")
def _(effort):
    return _table_3(effort, circle(effort)[0])


@table_3.control("one expert of width 10 alone")
def _(effort):
    return _table_3(effort, circle(effort, experts=1, replicas=effort.choose(24, 64))[1])


def circle(effort, experts=4, replicas=None):
    """Errors of the mixture of Table 3 on the circle, at 1e-3.

    Parameters
    ----------
    effort : Effort
    experts : int
    replicas : int, optional
        By default as many as the claim has.

    Returns
    -------
    ndarray, shape (2, D, replicas)
        After 2000 and 10 000 steps, for every D of :func:`dimensions`.
    """
    found = _errors(effort, replicas or effort.choose(48, 256), *(
        _made("circle", experts, 10, dimension=dimension, steps=10000, times=(2000, 10000))
        for dimension in dimensions(effort)))
    return np.moveaxis(found, 2, 0)


def dimensions(effort):
    """D of the runs on the circle."""
    return effort.choose((16, 128), tuple(CIRCLE))


def _table_3(effort, values):
    return _near(values, [CIRCLE[dimension] for dimension in dimensions(effort)], 3, _places(effort))


def _places(effort):
    return [f"D={dimension}" for dimension in dimensions(effort)]


@claim("table_4", topic="moe", paper=MOE, where="Table 4", stance="amended",
       statement="5000 steps at 1e-3: 2-3-MoE within a factor 4 of print, 1-6-MoE more than 4 times print (m = 16, 32)")
def table_4(effort):
    """Target (q(x_1), q(x_2)) on the nine squares; m = 16, 32, at full effort 64 and 128 for the 2-3-MoE as well.

    The factor 4 is set.  How the coordinates are put together is not known; a product is excluded, whose variance
    3.5e-5 is less than the errors printed at m = 16.
    """
    return _table_4(effort, time=1)


@table_4.control("1000 steps in place of 5000")
def _(effort):
    return _table_4(effort, time=0)


@table_4.control("depth and number of experts exchanged: the 1-6-MoE in place of the 2-3-MoE and the other way round")
def _(effort):
    return _table_4(effort, time=1, exchanged=True)


@table_4.printed("the 1-6-MoE has 7.96e-5 and 2.17e-5 at m = 16 and 32 (here: within a factor 4)")
def _(effort):
    return _one_level(squares(effort, 1, (16, 32))[1])


def _table_4(effort, time, exchanged=False):
    two, one = ((1, 2) if exchanged else (2, 1))
    widths = effort.choose((16, 32), (16, 32, 64, 128))
    printed = np.array([ONE_LEVEL[m] for m in (16, 32)])
    return judges.every(
        two=_near(squares(effort, two, widths)[time], [TWO_LEVELS[m] for m in widths], 4, _widths(widths)),
        one=medians.between(squares(effort, one, (16, 32))[time], 4 * printed, np.inf, at=_widths((16, 32))))


@claim("table_4_rate", topic="moe", paper=MOE, where="Table 4", stance="derived",
       statement="5000 steps at 5e-3: the 1-6-MoE within a factor 4 of print at m = 16, 32, above the 2-3-MoE at 1e-3")
def table_4_rate(effort):
    """At full effort m = 64 and 128 as well; the two networks are compared at m = 32.  The factor 4 is set."""
    return _table_4_rate(effort, 1, 1)


def _table_4_rate(effort, time, time_of_two):
    widths = effort.choose((16, 32), (16, 32, 64, 128))
    one, two = squares(effort, 1, widths, FASTER)[time], squares(effort, 2, (32,))[time_of_two]
    return judges.every(print=_one_level(one, widths),
                        levels=medians.ratio(two, one[1], 0.0, 1.0, at=("m=32, 2-3 / 1-6",)))


@table_4_rate.control("the rate 1e-3")
def _(effort):
    return _one_level(squares(effort, 1, (16, 32))[1])


@table_4_rate.control("1000 steps in place of 5000")
def _(effort):
    return _table_4_rate(effort, 0, 0)


@table_4_rate.control("the 2-3-MoE after 1000 steps: it is not below")
def _(effort):
    return _table_4_rate(effort, 1, 0)


def squares(effort, depth, widths, rate=1e-3, replicas=None):
    """Errors of the mixtures of Table 4 on the nine squares.

    Parameters
    ----------
    effort : Effort
    depth : {1, 2}
        The 1-6-MoE or the 2-3-MoE.
    widths : sequence of int
    rate : float
    replicas : int, optional
        By default as many as the claims have.

    Returns
    -------
    ndarray, shape (2, m, replicas)
        After 1000 and 5000 steps.
    """
    experts = {1: 6, 2: 3}[depth]
    found = _errors(effort, replicas or effort.choose({1: 32, 2: 40}[depth], 64), *(
        _made("vector", experts, m, depth=depth, steps=5000, rate=rate, times=(1000, 5000)) for m in widths))
    return np.moveaxis(found, 2, 0)


def _one_level(values, widths=(16, 32)):
    return _near(values, [ONE_LEVEL[m] for m in widths], 4, _widths(widths))


def _widths(widths):
    return [f"m={m}" for m in widths]


@claim("plateau", topic="moe", paper=MOE, where="Sec. 6, Table 4", stance="amended",
       statement="a 1-6-MoE of width m can do h^4/720 <q''^2> (1 + O(h)), h = 6/m: less than is printed from m = 32 on")
def plateau(effort):
    """Six equal experts that are one explicit network; its error exactly, m = 48 .. 3072, and against the printed ones.

    The relative distance to the law is at most 10/m there (set; it halves with h because q'' jumps at the joints).
    """
    return _plateau(fitted=True)


@plateau.control("splines that interpolate, whose error is six times that")
def _(effort):
    return _plateau(fitted=False)


@plateau.control("h^2 in place of h^4")
def _(effort):
    return _plateau(fitted=True, power=2)


@plateau.printed("a 1-6-MoE of width 32, 64, 128 cannot express the target better than 2.17e-5, 2.65e-5, 4.60e-5")
def _(effort):
    widths = [32, 64, 128]
    return judges.inequality([ONE_LEVEL[m] for m in widths], [explicit.mean_square_error(m) for m in widths],
                             at={"m": np.array(widths)})


def _plateau(fitted, power=4):
    widths = 48 * 2 ** np.arange(7)
    exact = np.array([explicit.mean_square_error(m, "vector", fitted) for m in widths.tolist()])
    law = explicit.CONSTANTS[True] * (6 / widths) ** power * explicit.CURVATURE
    place, weight = np.polynomial.legendre.leggauss(6)      # exact on the cells of a network with joints on its nodes
    side = ((np.arange(6) + 0.5)[:, None] / 2 + place / 4).ravel()
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    off = (explicit.equal_experts(12, 6)(points) - explicit.piecewise_quartic(points)) ** 2
    measured = off.mean(axis=1) @ np.outer(np.tile(weight / 12, 6), np.tile(weight / 12, 6)).ravel()
    printed = [32, 64, 128]
    return judges.every(
        law=judges.inequality(np.abs(exact / law - 1), 10 / widths, at={"m": widths}),
        network=judges.equal(measured, explicit.mean_square_error(12), rtol=1e-9, over="m = 12, Gauss points"),
        printed=judges.inequality([explicit.mean_square_error(m) for m in printed], [ONE_LEVEL[m] for m in printed]))


@claim("dimension_free_training", topic="moe", paper=MOE, where="Table 3", stance="derived",
       statement="from D = 16 to 128 the error of the 1-4-MoE stays within a factor 2.5, and a dense net's too")
def dimension_free_training(effort):
    """So that it does not grow is no effect of the experts.

    The dense network has the mixture's 40 neurons; 2000 steps at 1e-2.  The factor is set (an eightfold D).
    """
    return judges.every(moe=_dimension_free(effort, 4), dense=_dimension_free(effort, 1))


@dimension_free_training.control("1-4-MoE, points of dimension D - 1: other coordinates uniform, D = 4 and 32")
def _(effort):
    return _dimension_free(effort, 4, "cylinder", (4, 32), 40)


@dimension_free_training.control("dense network, points of dimension D - 1: other coordinates uniform, D = 4 and 32")
def _(effort):
    return _dimension_free(effort, 1, "cylinder", (4, 32), 24)


def _dimension_free(effort, experts, task="circle", dimensions=(16, 128), replicas=None):
    small, large = quickly(effort, experts, dimensions, replicas or effort.choose(96, 256), task=task)
    return medians.ratio(large, small, 0.4, 2.5)


def quickly(effort, experts, dimensions=(16,), replicas=None, task="circle", **settings):
    """Errors of 40 neurons in so many experts after 2000 steps at 1e-2, (D, replicas)."""
    return _errors(effort, replicas or effort.choose(64, 256), *(
        _made(task, experts, 40 // experts, dimension=dimension, **QUICKLY, **settings)
        for dimension in dimensions))[:, :, 0]


@claim("gates_in_training", topic="moe", paper=MOE, where="Sec. 6", stance="derived",
       statement="K = 1 over the selected: the gate is never trained; softmax has at most half the error of Switch")
def gates_in_training(effort):
    """The paper's weight is 1 whatever the logits: no gradient, equal bits before and after.

    The circle, D = 16, 2000 steps at 1e-2; medians of the gates that are trained.
    """
    return judges.every(untrained=_untrained("hard"), softmax=_half_of_switch(effort, quickly(effort, 4)[0]))


@gates_in_training.control("the gate of Switch transformers in place of the hard one: its weights move")
def _(effort):
    return _untrained("switch")


@gates_in_training.control("softmax trained at 1e-3 in place of 1e-2: not half of Switch")
def _(effort):
    return _half_of_switch(effort, circle(effort)[0][0])


def _untrained(gate):
    last = Training("circle", 4, 10, dimension=16, gate=gate, **QUICKLY)
    moved = [np.abs(last.run(SEED, replica)[1][:8] - last.start(SEED, replica)[:8]).max() for replica in range(4)]
    return judges.equal(moved, np.zeros(4))


def _half_of_switch(effort, soft):
    return medians.ratio(soft, quickly(effort, 4, gate="switch")[0], 0, 0.5, at=("softmax/switch",))


@claim("training_set_size", topic="moe", paper=MOE, where="Sec. 6", stance="derived",
       statement="1024 points to draw batches from train the 1-4-MoE like fresh batches: medians within a factor 3")
def training_set_size(effort):
    """The circle, D = 16, 2000 steps at 1e-2; the test error is the population's in both cases."""
    return _training_set(effort, 1024)


@training_set_size.control("32 points")
def _(effort):
    return _training_set(effort, 32)


def _training_set(effort, samples):
    return medians.ratio(quickly(effort, 4, samples=samples)[0], quickly(effort, 4)[0], 1 / 3, 3.0,
                         at=(f"{samples} / fresh",))


@claim("training_in_the_plane", topic="moe", paper=MOE, where="Sec. 6, the circle", stance="derived",
       statement="training in R^D is training in the plane of the circle with first weights on +-1/sqrt D, bit by bit")
def training_in_the_plane(effort):
    """Coordinates that are 0 send no gradient, and Adam leaves weights without gradient alone; three gates, D = 64."""
    return _plane(64)


@training_in_the_plane.control("first weights on +-1/sqrt 2, as a network with two inputs would start")
def _(effort):
    return _plane(2)


def _plane(dimension):
    settings = {"experts": 4, "width": 10, "steps": 300, "times": [0, 100, 300]}
    plane, space = ([Training("circle", dimension=size, gate=gate, direct=direct, **settings).run(SEED, 0)[0]
                     for gate in ("softmax", "switch", "hard")] for size, direct in ((dimension, False), (64, True)))
    return judges.equal(plane, space)


def _made(task, experts, width, **settings):
    """What a run is, in a form that can be looked up."""
    return task, experts, width, tuple(sorted(settings.items()))


def _errors(effort, replicas, *cells):
    """Test errors (cells, replicas, T) of the first so many seeds; claims and figures of one process share the runs."""
    for cell in cells:
        known = _RUNS.get(cell, ())
        if len(known) < replicas:
            more = errors([Training(*cell[:3], **dict(cell[3]))], replicas - len(known), SEED, effort.jobs, len(known))
            _RUNS[cell] = np.concatenate([*([known] if len(known) else []), *more])
    return np.stack([_RUNS[cell][:replicas] for cell in cells])


def _near(values, printed, factor, names):
    """Medians within a factor of what is printed."""
    printed = np.array(list(printed))
    return medians.between(values, printed / factor, factor * printed, at=names)
