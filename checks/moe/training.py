"""Claims about training: what the two experiments of the paper's Sec. 6 give, over seeds, and what they need.

The tables print one run each; that training ran 2000 and 5000 steps of Adam at 1e-3 with batches of 128, and with which
gate, is known at second hand only.  Here every number is a median over seeds with its interval; batches are fresh; the
gate is the dense softmax without a bias unless another is named; weights start uniform on ``+-1/sqrt(fan-in)``.
"""

from functools import cache

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


@claim("table_3", topic="moe", paper=MOE, where="Table 3", stance="amended",
       statement="1-4-MoE of width 10, Adam at 1e-3: median error > 0.02 after 2000 steps, near print after 10000")
def table_3(effort):
    """D = 16, 32, 64, 128.  Near print: within a factor 10, which is set; single runs differ by as much."""
    early, late = _table_3(effort, 4)
    return judges.every(early=medians.between(early, 0.02, 1.0, at=_places(CIRCLE)),
                        late=_near(late, CIRCLE.values(), 10, _places(CIRCLE)))


@table_3.printed("the error is 3.2e-4 .. 3.4e-4 after 2000 steps of Adam at 1e-3 (here: within a factor 10)")
def _(effort):
    return _near(_table_3(effort, 4)[0], CIRCLE.values(), 10, _places(CIRCLE))


@table_3.control("one expert of width 10 alone")
def _(effort):
    return _near(_table_3(effort, 1, (16,))[1], [CIRCLE[16]], 10, ("D=16",))


def _table_3(effort, experts, dimensions=tuple(CIRCLE)):
    found = _errors(effort, effort.choose(16, 64), *(
        _made("circle", experts, 10, dimension=dimension, steps=10000, times=(2000, 10000))
        for dimension in dimensions))
    return np.moveaxis(found, 2, 0)


@claim("table_4", topic="moe", paper=MOE, where="Table 4", stance="amended",
       statement="5000 steps: 2-3-MoE within a factor 4 of print, below 1-6-MoE, which still halves from m = 16 to 64")
def table_4(effort):
    """Target (q(x_1), q(x_2)) on the nine squares; m = 16, 32, 64, at full effort 128 as well; the factor 4 is set.

    How the coordinates are put together is not known; a product is excluded, whose variance 3.5e-5 is less than the
    errors printed at m = 16.
    """
    return _table_4(effort, time=1)


@table_4.control("1000 steps in place of 5000")
def _(effort):
    return _table_4(effort, time=0)


@table_4.control("depth and number of experts exchanged: the 1-6-MoE in place of the 2-3-MoE and the other way round")
def _(effort):
    return _table_4(effort, time=1, exchanged=True)


@table_4.printed("the error of the 1-6-MoE does not fall beyond m = 32 (2.17e-5, 2.65e-5, 4.60e-5)")
def _(effort):
    one = _levels(effort)[1][:, :, 1]
    return medians.ratio(one[2:], one[1], 1.0, np.inf, at=[f"m={m} / m=32" for m in _widths(effort)[2:]])


def _table_4(effort, time, exchanged=False):
    two, one = (found[:, :, time] for found in _levels(effort)[::-1 if exchanged else 1])
    names = [f"m={m}" for m in _widths(effort)]
    return judges.every(close=_near(two, [TWO_LEVELS[m] for m in _widths(effort)], 4, names),
                        below=medians.ratio(two[:3], one[:3], 0.0, 1.0, at=names[:3]),
                        falls=medians.ratio(one[2], one[0], 0.0, 0.5, at=("m=64 / m=16",)))


def _levels(effort):
    """Errors (m, R, 2) after 1000 and 5000 steps of the 2-3-MoE and of the 1-6-MoE."""
    cells = [_made("vector", experts, m, depth=depth, steps=5000, times=(1000, 5000))
             for depth, experts in ((2, 3), (1, 6)) for m in _widths(effort)]
    found = _errors(effort, effort.choose(24, 64), *cells)
    return found[:len(found) // 2], found[len(found) // 2:]


def _widths(effort):
    return effort.choose((16, 32, 64), (16, 32, 64, 128))


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


@claim("dimension_free_training", topic="moe", paper=MOE, where="Table 3", stance="amended",
       statement="from D = 16 to 128 the error of the 1-4-MoE stays within a factor 2.5, and a dense net's too")
def dimension_free_training(effort):
    """The dense network has the mixture's 40 neurons; 2000 steps at 1e-2.  The factor is set (an eightfold D)."""
    moe, dense = (_both_dimensions(effort, "circle", *size, (16, 128)) for size in ((4, 10), (1, 40)))
    return judges.every(moe=medians.ratio(moe[1], moe[0], 0.4, 2.5), dense=medians.ratio(dense[1], dense[0], 0.4, 2.5))


@dimension_free_training.control("points of dimension D - 1: the other coordinates uniform, not 0, from D = 8 to 64")
def _(effort):
    small, large = _both_dimensions(effort, "cylinder", 4, 10, (8, 64), replicas=16)
    return medians.ratio(large, small, 0.4, 2.5)


@dimension_free_training.printed("an effect of the experts: a dense net's error grows by more than a factor 2.5")
def _(effort):
    small, large = _both_dimensions(effort, "circle", 1, 40, (16, 128))
    return medians.ratio(large, small, 2.5, np.inf)


def _both_dimensions(effort, task, experts, width, dimensions, replicas=None):
    return _errors(effort, replicas or effort.choose(64, 256), *(
        _made(task, experts, width, dimension=dimension, **QUICKLY) for dimension in dimensions))[:, :, 0]


@claim("gates_in_training", topic="moe", paper=MOE, where="Sec. 6", stance="derived",
       statement="K = 1 over the selected: the gate is never trained; softmax has at most half the error of Switch")
def gates_in_training(effort):
    """The paper's weight is 1 whatever the logits: no gradient, equal bits before and after.

    The circle, D = 16, 2000 steps at 1e-2; medians of the gates that are trained.
    """
    return _gates(effort, "hard")


@gates_in_training.control("the gate of Switch transformers in place of the hard one: its weights move")
def _(effort):
    return _gates(effort, "switch")


def _gates(effort, untrained):
    soft, switch = _errors(effort, effort.choose(64, 256), *(
        _made("circle", 4, 10, dimension=16, gate=gate, **QUICKLY) for gate in ("softmax", "switch")))[:, :, 0]
    last = Training("circle", 4, 10, dimension=16, gate=untrained, **QUICKLY)
    moved = [np.abs(last.run(SEED, replica)[1][:8] - last.start(SEED, replica)[:8]).max() for replica in range(4)]
    return judges.every(untrained=judges.equal(moved, np.zeros(4)),
                        softmax=medians.ratio(soft, switch, 0, 0.5, at=("softmax/switch",)))


@claim("training_set_size", topic="moe", paper=MOE, where="Sec. 6", stance="derived",
       statement="1024 points to draw batches from train the 1-4-MoE like fresh batches: medians within a factor 3")
def training_set_size(effort):
    """The circle, D = 16, 2000 steps at 1e-2; the test error is the population's in both cases."""
    return _training_set(effort, 1024)


@training_set_size.control("32 points")
def _(effort):
    return _training_set(effort, 32)


def _training_set(effort, samples):
    fresh, fixed = _errors(effort, effort.choose(48, 256), *(
        _made("circle", 4, 10, dimension=16, samples=many, **QUICKLY) for many in (None, samples)))[:, :, 0]
    return medians.ratio(fixed, fresh, 1 / 3, 3.0, at=(f"{samples} / fresh",))


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
    """Test errors (cells, replicas, T)."""
    return np.stack(_computed(cells, replicas, effort.jobs))


@cache
def _computed(cells, replicas, jobs):
    return errors([Training(*cell[:3], **dict(cell[3])) for cell in cells], replicas, SEED, jobs)


def _near(values, printed, factor, names):
    """Medians within a factor of what is printed."""
    printed = np.array(list(printed))
    return medians.between(values, printed / factor, factor * printed, at=names)


def _places(dimensions):
    return [f"D={dimension}" for dimension in dimensions]
