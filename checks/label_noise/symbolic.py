"""Identities of label-noise SGD by computer algebra: exact for every width and dimension, not to a tolerance.

What is judged is the number of differences that do not simplify to zero.
"""

from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE


def _count(pairs):
    """Judge how many pairs are not identically equal."""
    import sympy

    left = [sympy.simplify(sympy.expand(derived - formula)) for derived, formula in pairs]
    return judges.equal(sum(each != 0 for each in left), 0.0,
                        over=f"differences that do not simplify to zero, of {len(left)}")


@claim("norm_identity", topic="label_noise", paper=LABEL_NOISE, where="below Thm 2", stance="amended",
       statement="||w'||^2 - ||w||^2 = a'^2 - a^2 - h^2 g^2 (<x,w>^2 - a^2 ||x||^2) and (a'-a)^2 = h^2 g^2 <x,w>^2")
def norm_identity(effort):
    """The first identity is right as printed; the second, on which its reading rests, lacks the square of the step."""
    from ...theory.label_noise import symbolic

    return _count([symbolic.norm_identity(), symbolic.second_layer_square()])


@norm_identity.printed("(a'-a)^2 = g^2 <x,w>^2, without the square of the step")
def _(effort):
    from ...theory.label_noise import symbolic

    return _count([symbolic.norm_identity(), symbolic.second_layer_square(power=0)])


@norm_identity.control("one power of the step, (a'-a)^2 = h g^2 <x,w>^2")
def _(effort):
    from ...theory.label_noise import symbolic

    return _count([symbolic.second_layer_square(power=1)])


@claim("imbalance_algebra", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="D = WW' - aa' changes by h^2 g^2 (||x||^2 aa' - W x x' W') in a step of SGD, and by the formula "
                 "with r~, p, a~ and W~ in one of batch-1 SAM, for every width and dimension")
def imbalance_algebra(effort):
    from ...theory.label_noise import symbolic

    return _count(symbolic.imbalance_steps().values())


@imbalance_algebra.control("first order only: D does not change")
def _(effort):
    from ...theory.label_noise import symbolic

    return _count([(derived, 0) for derived, _ in symbolic.imbalance_steps().values()])


@imbalance_algebra.control("SAM without its shift, p = 0 on the right")
def _(effort):
    from ...theory.label_noise import symbolic

    derived, formula = symbolic.imbalance_steps()["sharpness-aware"]
    return _count([(derived, formula.subs(symbolic.SHIFT, 0))])


@claim("oscillation_algebra", topic="label_noise", paper=LABEL_NOISE, where="Lemma 4", stance="derived",
       statement="over one active step E S_k' = (1 - 2 h q^2 l_k + h^2 q^4 r l_k^2) S_k + h^2 q^2 r l_k^2 theta_k^2, "
                 "the mean of all 2^r sign patterns")
def oscillation_algebra(effort):
    return _oscillation(effort)


@oscillation_algebra.control("the output's own square forgotten, no h^2 q^4 r l_k^2")
def _(effort):
    import sympy

    from ...theory.label_noise import symbolic

    h, l1 = symbolic.STEP, sympy.Symbol("l1", positive=True)
    return _oscillation(effort, lambda formula, active: formula - active * (h * symbolic.AMPLITUDE**2 * l1) ** 2
                        * formula.subs(h, 0))


@oscillation_algebra.control("one neuron's recursion for r of them")
def _(effort):
    from ...theory.label_noise import symbolic

    derived, formula = symbolic.oscillation_step(3, 1)[0], symbolic.oscillation_step(1, 1)[1]
    return _count([(derived, formula)])


def _oscillation(effort, change=lambda formula, active: formula):
    from ...theory.label_noise import symbolic

    sizes = effort.choose(((1, 1), (2, 2), (3, 1)), ((1, 1), (2, 2), (3, 1), (3, 3), (4, 2)))
    pairs = [(*symbolic.oscillation_step(*size), size[0]) for size in sizes]
    return _count([(derived, change(formula, active)) for derived, formula, active in pairs])


@claim("flow_algebra", topic="label_noise", paper=LABEL_NOISE, where="Sec. 4", stance="derived",
       statement="z = (1+T(2 theta+Q))/(1+T(P-2 theta)), T = tanh(Dt/2)/D, solves z' = 2 theta z - (P z^2-Q)/2; the "
                 "isotropic slow flow keeps g alpha - theta^2 up to e^(-(d+1)vt), (d+1) ln|y-d| - ln y up to -2dvt")
def flow_algebra(effort):
    from ...theory.label_noise import symbolic

    return _count([symbolic.riccati(), *symbolic.isotropic_invariants()])


@flow_algebra.control("g alpha - theta^2 decays at the rate d v")
def _(effort):
    from ...theory.label_noise import symbolic

    derived, formula = symbolic.isotropic_invariants()[0]
    wrong = symbolic.DIMENSION / (symbolic.DIMENSION + 1)
    return _count([(derived, formula * wrong)])


@flow_algebra.control("the Riccati equation of balanced neurons, Q = 0")
def _(effort):
    import sympy

    from ...theory.label_noise import symbolic

    derived, formula = symbolic.riccati()
    return _count([(derived, formula - sympy.Symbol("Q", positive=True) / 2)])
