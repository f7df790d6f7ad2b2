"""Identities behind the functional scaling laws by computer algebra: exact, not to a tolerance.

What is judged is the number of expressions that fail to simplify to zero.
"""

import functools

import numpy as np

from ...theory.fsl import allocation
from .. import judges
from ..claim import claim
from .budgets import AS_EXTRACTED
from .paper import FSL


def _count(expressions):
    """Judge how many expressions are not identically zero."""
    import sympy

    left = [sympy.simplify(expression) for expression in expressions]
    return judges.equal(sum(expression != 0 for expression in left), 0.0,
                        over=f"differences that do not simplify to zero, of {len(left)}")


def _moments(effort, kappa=None):
    from ...theory.fsl import symbolic

    sizes = effort.choose(((1, 1), (2, 1), (2, 2)), ((1, 1), (2, 1), (2, 2), (3, 2), (2, 3), (3, 3)))
    kappa = symbolic.KAPPA if kappa is None else kappa
    return [symbolic.averaged_square(modes, batch, mode) - symbolic.recursion_square(modes, batch, mode, kappa)
            for modes, batch in sizes for mode in range(modes)]


@claim("moment_algebra", topic="fsl", paper=FSL, where="Sec. 2", stance="derived",
       statement="E[u_j'^2] = [1 - 2 eta lambda_j + (1+(kappa-2)/B) eta^2 lambda_j^2] u_j^2 + (eta^2/B) lambda_j S, "
                 "free of products u_i u_j; eta -> 0 at fixed eta/B gives the SDE's mode equation")
def moment_algebra(effort):
    from ...theory.fsl import symbolic

    limit, equation = symbolic.continuous_limit()
    return _count([*_moments(effort), limit - equation])


@moment_algebra.control("without the fourth moment, kappa = 2")
def _(effort):
    return _count(_moments(effort, kappa=2))


@moment_algebra.control("features taken to be Rademacher, kappa = 1, whatever they are")
def _(effort):
    return _count(_moments(effort, kappa=1))


@claim("decay_algebra", topic="fsl", paper=FSL, where="Thm 5.3", stance="derived",
       statement="a exp(-c tau) is a - c t in intrinsic time, T = (a-b)K/log(a/b), and "
                 "int lambda^2 e^(-2 lambda x) (b + c x) dx = b lambda (1-e^(-2 lambda T))/2 "
                 "+ c (1-(1+2 lambda T) e^(-2 lambda T))/4")
def decay_algebra(effort):
    from ...theory.fsl import symbolic

    rate, line, length, printed = symbolic.decay_in_intrinsic_time()
    integral, closed = symbolic.noise_of_one_mode()
    return _count([rate - line, length - printed, integral - closed])


@decay_algebra.control("the noise integral without the final rate's own noise, b lambda (1-e^(-2 lambda T))/2")
def _(effort):
    from ...theory.fsl import symbolic

    integral, closed = symbolic.noise_of_one_mode()
    return _count([integral - closed.subs(symbolic.FINAL, 0)])


@functools.cache
def _solved(schedule, hard, budget):
    from ...theory.fsl import symbolic

    return symbolic.balance(schedule, hard, budget)


def _balances(form):
    """Differences between the solved balances and Table 1, at rational tasks of both regimes."""
    from ...theory.fsl import symbolic

    tasks = {False: ((1.5, 2.0), (1.0, 1.5), (1.25, 3.0)), True: ((0.5, 4.0), (0.25, 2.0))}
    gaps, labels = [], []
    for schedule in ("constant", "exponential", "wsd"):
        for hard in (False, True):
            for budget in ("data", "compute"):
                solved = _solved(schedule, hard, budget)
                table = allocation.data_optimal if budget == "data" else allocation.compute_optimal
                for task in tasks[hard]:
                    entry = table(*task, schedule, form)
                    for name in ("risk", "peak", "width", "data"):
                        rate = getattr(entry, name)
                        if rate is not None:
                            power, log = symbolic.evaluate(solved[name], *task)
                            gaps.append(abs(power - rate.power) + abs(log - rate.log))
                            labels.append(f"{schedule} {budget} s={task[0]:g} beta={task[1]:g} {name}")
                    fractions = ("cooldown", "least_cooldown") if hard and schedule == "wsd" else ()
                    for name in fractions:
                        rate, data = getattr(entry, name), entry.data
                        if rate is not None:
                            # The table tells them in samples, the balance in the budget.
                            wanted = rate.power * data.power, rate.power * data.log + rate.log
                            gaps.append(np.sum(np.abs(np.subtract(symbolic.evaluate(solved[name], *task), wanted))))
                            labels.append(f"{schedule} {budget} s={task[0]:g} beta={task[1]:g} {name}")
    return judges.equal(gaps, 0.0, atol=1e-12, at={"cell": labels}, over=AS_EXTRACTED if form == "printed" else "")


@claim("allocation_algebra", topic="fsl", paper=FSL, where="Table 1", stance="amended",
       statement="equal powers and logarithms of signal, noise and approximation error give Table 1 with two corrected "
                 f"WSD entries, and the decay fractions ({AS_EXTRACTED})")
def allocation_algebra(effort):
    return _balances("corrected")


@allocation_algebra.printed("Table 1 as printed solves these balances")
def _(effort):
    return _balances("printed")
