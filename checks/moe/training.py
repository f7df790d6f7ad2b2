r"""Claims about training: what the two experiments of the paper's Sec. 6 give, over seeds, and what they need.

The tables print one run each; that training ran 2000 and 5000 steps of Adam at 1e-3 with batches of 128, and with which
gate, is known at second hand only.  Here every number is a median over seeds with its interval; batches are fresh; the
gate is the dense softmax without a bias unless another is named; weights start uniform on ``+-1/sqrt(fan-in)``.

Medians over the printed errors, of the squares for m = 16, 32, 64, 128:

=============  =====================================  =====================  ============================
network        2000 (circle), 5000 (squares) at 1e-3  10 000 steps at 1e-3   the same steps, another rate
=============  =====================================  =====================  ============================
1-4-MoE        250 at any D                           within a factor 3      1e-2: within a factor 3
2-3-MoE        .55, 1.1, 1.6, 1.6                     .25, .60, .79, 1.6     5e-3: .3, 1.1, 3, 7
1-6-MoE        13, 15, 2.4, .5                        1.7, 1.5, .56, .29     5e-3: .8, 1.7, 1.4, 1.0
=============  =====================================  =====================  ============================

So at the printed settings the 1-6-MoE's error falls 47-fold from m = 16 to 128; print falls 1.7-fold, and rises from
m = 32 on.  A single setting, 10 000 steps at 1e-3, brings all eight medians of Table 4 within a factor 4 of print and
the 2-3-MoE below the 1-6-MoE everywhere (.15, .27, .25, .30 of it); with 32 seeds the factor 4 is not decided at three
places (m = 16 of both, m = 128 of the 1-6-MoE), so this is reported and not claimed.

At 5e-3 the 1-6-MoE's error no longer falls beyond m = 32 (6.6e-5, 4.2e-5, 3.7e-5, 4.5e-5 for m = 16 .. 128), as in
print, though it can express far less (``plateau``); but the 2-3-MoE, which 1e-3 reproduces, leaves its printed errors.
Neither a bias in the gate nor batches of 1024 make it fall on (tried at 1e-2, m = 16 and 32); the gate of Switch
transformers leaves it at 9e-4 for m = 16.  The rate 5e-3 was found among 3e-3, 5e-3 and 1e-2 on seed 6 and is judged on
another.  Factors were set after looking at seed 6, and there are as many replicas as decide on it: the level is
nominal.  Five other seeds, 7 .. 11, decided alike in Table 3, in Table 4 without m = 128, of the rate, of the gates, of
D and of the training set.
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
OTHER_SEED = 12
"""Judges that rate, which was found on the other seed."""
_RUNS = {}      # what was run: test errors of replicas 0, 1, ... by seed and cell


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
       statement="5000 steps at 1e-3, over print: 2-3-MoE in [1/4, 4]; 1-6-MoE > 4 at m = 16, 32 and < 1 at m = 128")
def table_4(effort):
    """Target (q(x_1), q(x_2)) on the nine squares; m = 16, 32, at full effort 64 and 128 for the 2-3-MoE as well.

    The 1-6-MoE at m = 16, 32, 128, at full effort at 64 too, where it is above print.  The factor 4 is set.  How the
    coordinates are put together is not known; a product is excluded, whose variance 3.5e-5 is less than the errors
    printed at m = 16.
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
    widths, few = effort.choose((16, 32), (16, 32, 64, 128)), effort.choose((16, 32), (16, 32, 64))
    above = [ONE_LEVEL[m] * (1 if m == 64 else 4) for m in few]
    parts = {"two": _near(squares(effort, two, widths)[time], [TWO_LEVELS[m] for m in widths], 4, _widths(widths)),
             "above": medians.between(squares(effort, one, few)[time], above, np.inf, at=_widths(few))}
    if not exchanged:
        parts["below"] = medians.between(squares(effort, one, (128,))[time], 0.0, ONE_LEVEL[128], at=_widths((128,)))
    return judges.every(**parts)


@claim("table_4_fall", topic="moe", paper=MOE, where="Table 4", stance="amended",
       statement="5000 steps at 1e-3: error of the 1-6-MoE at m = 128 <= 1/10 of that at 16 and <= 1/2 of that at 32")
def table_4_fall(effort):
    """Print falls 1.7-fold from m = 16 to 128 and rises 2.1-fold from 32 on.  The factors are set."""
    return _fall(effort, (128,), (16, 32), time=1)


@table_4_fall.printed("the 1-6-MoE's error rises from m = 32 to 128, from 2.17e-5 to 4.60e-5")
def _(effort):
    wide, narrow = (squares(effort, 1, (m,))[1] for m in (128, 32))
    return medians.ratio(wide, narrow, 1.0, np.inf, at=("128 / 32",))


@table_4_fall.control("1000 steps in place of 5000")
def _(effort):
    return _fall(effort, (128,), (16, 32), time=0)


@table_4_fall.control("m = 16 in place of 128, against 128 and 32")
def _(effort):
    return _fall(effort, (16,), (128, 32), time=1)


def _fall(effort, last, first, time):
    wide = squares(effort, 1, last)[time]
    parts = {f"from_{m}": medians.ratio(wide, squares(effort, 1, (m,))[time], 0.0, factor, at=(f"{last[0]} / {m}",))
             for m, factor in zip(first, (0.1, 0.5), strict=True)}
    return judges.every(**parts)


@claim("table_4_rate", topic="moe", paper=MOE, where="Table 4", stance="derived",
       statement="5000 steps at 5e-3: the 1-6-MoE within a factor 4 of print at m = 16, 32, above the 2-3-MoE at 1e-3")
def table_4_rate(effort):
    """At full effort m = 64 and 128 as well; the two networks are compared at m = 32.  The factor 4 is set.

    The rate was found on the seed of ``table_4``; this one is another.
    """
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
        FASTER has a seed of its own.
    replicas : int, optional
        By default as many as the claims have, which at quick effort are fewer at m = 128.

    Returns
    -------
    ndarray, shape (2, m, replicas)
        After 1000 and 5000 steps.
    """
    experts = {1: 6, 2: 3}[depth]
    many = {1: 24 if max(widths) == 128 else 32, 2: 40}[depth]
    found = _errors(effort, replicas or effort.choose(many, 64), *(
        _made("vector", experts, m, depth=depth, steps=5000, rate=rate, times=(1000, 5000)) for m in widths),
        seed=OTHER_SEED if rate == FASTER else SEED)
    return np.moveaxis(found, 2, 0)


def _one_level(values, widths=(16, 32)):
    return _near(values, [ONE_LEVEL[m] for m in widths], 4, _widths(widths))


def _widths(widths):
    return [f"m={m}" for m in widths]


@claim("plateau", topic="moe", paper=MOE, where="Sec. 6, Table 4", stance="derived",
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


@plateau.control("what is printed for m = 32, 64, 128 read as the best these widths can express")
def _(effort):
    widths = [32, 64, 128]
    return judges.inequality([ONE_LEVEL[m] for m in widths], [explicit.mean_square_error(m) for m in widths],
                             at={"m": np.array(widths)})


def _plateau(fitted, power=4):
    widths = 48 * 2 ** np.arange(7)
    exact = np.array([explicit.mean_square_error(m, "vector", fitted) for m in widths.tolist()])
    law = np.array([explicit.leading_error(m) for m in widths.tolist()]) * (6 / widths) ** (power - 4)
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
       statement="K = 1 over the selected: never trained; circle, D = 16, 2000 steps at 1e-2: softmax <= Switch / 2")
def gates_in_training(effort):
    """The paper's weight is 1 whatever the logits: no gradient, equal bits before and after.

    Medians of the gates that are trained.  At the printed 1e-3 neither is ahead after 2000 steps.
    """
    return judges.every(untrained=_untrained("hard"), softmax=_half_of_switch(effort, QUICKLY["rate"]))


@gates_in_training.control("the gate of Switch transformers in place of the hard one: its weights move")
def _(effort):
    return _untrained("switch")


@gates_in_training.control("both trained at 1e-3 in place of 1e-2: softmax is not ahead")
def _(effort):
    return _half_of_switch(effort, 1e-3)


def _untrained(gate):
    last = Training("circle", 4, 10, dimension=16, gate=gate, **QUICKLY)
    moved = [np.abs(last.run(SEED, replica)[1][:8] - last.start(SEED, replica)[:8]).max() for replica in range(4)]
    return judges.equal(moved, np.zeros(4))


def _half_of_switch(effort, rate):
    soft, switch = _errors(effort, effort.choose(64, 256), *(
        _made("circle", 4, 10, dimension=16, steps=2000, rate=rate, **gate) for gate in ({}, {"gate": "switch"})))
    return medians.ratio(soft[:, 0], switch[:, 0], 0, 0.5, at=("softmax/switch",))


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


def _errors(effort, replicas, *cells, seed=SEED):
    """Test errors (cells, replicas, T) of the first replicas; claims and figures of one process share the runs."""
    for cell in cells:
        known = _RUNS.get((seed, cell), ())
        if len(known) < replicas:
            more = errors([Training(*cell[:3], **dict(cell[3]))], replicas - len(known), seed, effort.jobs, len(known))
            _RUNS[seed, cell] = np.concatenate([*([known] if len(known) else []), *more])
    return np.stack([_RUNS[seed, cell][:replicas] for cell in cells])


def _near(values, printed, factor, names):
    """Medians within a factor of what is printed."""
    printed = np.array(list(printed))
    return medians.between(values, printed / factor, factor * printed, at=names)
