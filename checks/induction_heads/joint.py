"""Claims about Stage I and about training all six scalars at once.

Layer 1 becomes the previous-token map, the paper says as it is known here; how large that map is, how fast it comes,
and what joint training does are derived.
"""

import math
from functools import cache

import numpy as np

from ...theory.induction_heads import joint_flow, population_loss
from ...theory.induction_heads.gradient_flow import integrated
from ...theory.induction_heads.population_loss import PARAMETERS, Task
from .. import judges
from ..claim import claim
from .paper import INDUCTION

LENGTH = 1002
STARTS = {"all 0.1": 0.1, "all 0.01": 0.01, "w1 = 1, else 0.01": (0.01, 1.0, 0.01, 0.01, 0.01, 0.01)}


@claim("stage_one", topic="induction_heads", paper=INDUCTION, where="Stage I", stance="derived",
       statement="Stage I: e^-p1 t -> 1/(gamma^2 v (1-v^2)) and w1 -> (gamma/a)(1+v), v = e^-p: a previous-token map")
def stage_one(effort):
    """At t = 1e9.  What is left is the time ``(1+v)/(a^2 (1-v))`` in which w1 forms, over t: 4e-5 at most."""
    return _stage_one(lambda gamma, a, v: (gamma / a) * (1.0 + v))


@stage_one.control("w1 -> 1")
def _(effort):
    return _stage_one(lambda gamma, a, v: 1.0)


@stage_one.control("w1 -> gamma/a, the best for a slope p -> inf")
def _(effort):
    return _stage_one(lambda gamma, a, v: gamma / a)


@stage_one.control("e^-p1 t -> 1/(gamma^2 v), without 1 - v^2")
def _(effort):
    return _stage_one(lambda gamma, a, v: (gamma / a) * (1.0 + v), lambda v: 1.0)


def _stage_one(size, narrowing=lambda v: 1.0 - v * v):
    seen, wanted, labels, time = [], [], [], 1e9
    for weight, a, p in ((1.0, 0.1, 0.1), (1.0, 0.01, 0.5), (3.0, 0.1, 1.0), (0.5, 0.5, 2.0)):
        gamma, v = Task(weight).four_gram, math.exp(-p)
        p1, w1 = joint_flow.stage_one_flow(Task(weight), a, p, (0.1, 0.1), [time])[0]
        seen.append([w1, math.exp(-p1) * time])
        wanted.append([size(gamma, a, v), 1.0 / (gamma**2 * v * narrowing(v))])
        labels.append([f"w1, alpha={weight:g} a={a:g} p={p:g}", f"u t, alpha={weight:g} a={a:g} p={p:g}"])
    return judges.equal(np.array(seen), np.array(wanted), rtol=1e-4, at={"case": labels})


@claim("joint_limits", topic="induction_heads", paper=INDUCTION, where="joint training", stance="derived",
       statement="jointly a w1 = gamma (1+u)(1+v)(1-uv)/(1+uv) -> gamma, w^2 w1 = y(1+u) -> y, b -> c; u, v ~ t^(-1/2)")
def joint_limits(effort):
    """At t = 1e7, N = 1000, where the scalars follow the slopes up to the rate of these, of order 1e-7.

    Then u and v fall like ``(4 gamma^2 t)^(-1/2)``: their sum to 2%, for 1/u - 1/v stays as it was.
    """
    return _limits(lambda x: x["w"] ** 2 * x["w1"])


@joint_limits.control("w^2 -> y, as if w1 stayed one")
def _(effort):
    return _limits(lambda x: x["w"] ** 2)


@joint_limits.control("without layer 1's shift, keys x_s: b w^2 x_L is a loss of order one, and w goes to 0")
def _(effort):
    task = Task(1.0, 0.3, LENGTH)
    b, w = integrated(lambda state: -np.array(population_loss.unshifted_gradient(task, *state)), (0.5, 0.3), [200.0])[0]
    return judges.equal([w**2, b], [task.similarity, task.induction], rtol=1e-3, at={"case": ["w^2", "b"]})


@cache
def _late(name, time):
    task = Task(1.0, 0.3, LENGTH)
    path = joint_flow.joint_flow(task, STARTS[name], [time])
    return dict(zip(PARAMETERS, path.parameters[0].tolist())), float(path.four_gram[0])


def _limits(product):
    task, time, parts = Task(1.0, 0.3, LENGTH), 1e7, {}
    for name in STARTS:
        x, _ = _late(name, time)
        u, v = math.exp(-x["p1"]), math.exp(-x["p"])
        seen = [x["a"] * x["w1"], product(x), x["b"]]
        wanted = [population_loss.best_four_gram_value(task, x["p1"], x["p"]), 0.3 * (1 + u), task.induction]
        parts[f"{name}, products"] = judges.equal(seen, wanted, rtol=1e-6, at={"case": ["a w1", "w^2 w1", "b"]})
        parts[f"{name}, slopes"] = judges.equal((u + v) * math.sqrt(task.four_gram**2 * time), 1.0, rtol=0.02)
    return judges.every(**parts)


@claim("joint_tail", topic="induction_heads", paper=INDUCTION, where="joint training", stance="derived",
       statement="jointly t L_G4 -> 1/2: two trained slopes, L = gamma^2 (u+v)^2/2, twice the 1/4 of Stage II")
def joint_tail(effort):
    """At t = 1e7, to twice the latest escape's time, 1e4, over t."""
    return _joint_tail(0.5)


@joint_tail.control("1/4, that of one trained slope")
def _(effort):
    return _joint_tail(0.25)


def _joint_tail(expected):
    scaled = [1e7 * _late(name, 1e7)[1] for name in STARTS]
    return judges.equal(scaled, expected, rtol=2e-3, at={"start": list(STARTS)})


@claim("joint_order", topic="induction_heads", paper=INDUCTION, where="joint training", stance="derived",
       statement="alpha = 1, y = 0.3, N = 1000: the 4-gram is learned before the induction head jointly as well")
def joint_order(effort):
    """Times to half of the 4-gram's loss and to half of the plateau, from three starts."""
    return _order(1.0)


@joint_order.control("a 4-gram of weight 0.003: the induction head is first")
def _(effort):
    return _order(0.003)


def _order(weight):
    times = np.array([joint_flow.joint_times(Task(weight, 0.3, LENGTH), start) for start in STARTS.values()])
    return judges.inequality(times[:, 0], times[:, 1], at={"start": list(STARTS)}, over="t_G4 <= t_IH")


@claim("joint_escape", topic="induction_heads", paper=INDUCTION, where="joint training", stance="derived",
       statement="from all six scalars sigma the 4-gram leaves a saddle of degree four: T_G4 ~ 1/(2 gamma sigma^2)")
def joint_escape(effort):
    """The exponent of sigma, and the constant by extrapolation to sigma = 0, quadratic: corrections are O(sigma).

    They move the exponent by 0.02 at the largest sigma = 0.008; margin 0.05.  The constant to 1%, for the cubic term.
    """
    return _joint_escape(2.0, 2.0)


@joint_escape.control("1/(gamma sigma^2)")
def _(effort):
    return _joint_escape(2.0, 1.0)


@joint_escape.control("the exponent 1 of a saddle of degree three")
def _(effort):
    return _joint_escape(1.0, 2.0)


@cache
def _escapes():
    sizes = np.geomspace(1e-3, 8e-3, 6)
    return sizes, np.array([joint_flow.joint_times(Task(1.0, 0.3, 10**6), sigma)[0] for sigma in sizes])


def _joint_escape(power, constant):
    sizes, times = _escapes()
    gamma = Task(1.0).four_gram
    line = np.polynomial.Polynomial.fit(sizes, times * constant * gamma * sizes**2, 2).convert()
    return judges.every(exponent=judges.exponent(sizes, times, -power, 0.05),
                        constant=judges.equal(line.coef[0], 1.0, rtol=0.01,
                                              over=f"T 2 gamma sigma^2 from {times[0] * 2 * gamma * sizes[0]**2:.4f}"))
