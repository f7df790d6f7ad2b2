r"""Computer algebra behind label-noise SGD on two-layer networks: the exact identities, derived instead of typed in.

Each function returns pairs (derived, as the numerical code has it) whose differences simplify to zero.

- *Steps.*  The entries ``D_ij`` of the imbalance involve two neurons through scalar products only.  With symbols for
  ``<x, w_i>``, ``<w_i, w_j>``, ``||x||^2`` the steps of SGD, gradient descent and SAM are polynomials in them, and an
  identity between these holds for every width and dimension.
- *Oscillation.*  The sum of squares of r active neurons after a step, averaged over all signs of the second layer.
- *Flows.*  The Riccati solution in one dimension, and the invariants of the isotropic slow flow.

The model is that of Zhang et al., arXiv 2603.10397; importing this module imports sympy.
"""

import functools
import itertools

import sympy as sp

STEP, RESIDUAL, SHIFT, SQUARE = sp.symbols("h g p s", real=True)
"""h, g (for SAM the residual at the shifted weights), ``p = rho sign(r)/N`` and ``||x||^2``."""
SEEN = sp.symbols("x_i x_j", real=True)
"""``<x, w_i>`` and ``<x, w_j>``."""
SECOND = sp.symbols("a_i a_j", real=True)
PRODUCT = sp.Symbol("w_ij", real=True)
"""``<w_i, w_j>``."""
AMPLITUDE, TARGET = sp.symbols("q theta", positive=True)
DRIFT, DIMENSION = sp.symbols("v d", positive=True)


def moved(first, second):
    """Second layer and ``D_ij`` after ``w_k <- w_k - h g first_k x``, ``a_k <- a_k - h g second_k``: a step along x.

    ``first`` and ``second`` are pairs of coefficients: for SGD ``a_k`` and ``<x, w_k>``.
    """
    b = -STEP * RESIDUAL
    (f_i, f_j), (s_i, s_j) = first, second
    product = PRODUCT + b * (f_j * SEEN[0] + f_i * SEEN[1]) + b**2 * f_i * f_j * SQUARE
    after = (SECOND[0] + b * s_i, SECOND[1] + b * s_j)
    return after, product - after[0] * after[1]


def imbalance_steps():
    """``D'_ij - D_ij`` of SGD and SAM: a dict of pairs (from the update, formula).

    Gradient descent is SGD with ``e = Sigma (theta* - theta)`` for x and -1 for g.
    """
    start = PRODUCT - SECOND[0] * SECOND[1]
    _, after = moved(SECOND, SEEN)
    sgd = STEP**2 * RESIDUAL**2 * (SQUARE * SECOND[0] * SECOND[1] - SEEN[0] * SEEN[1])
    ahead = [a + SHIFT * x for a, x in zip(SECOND, SEEN)]
    carried = [x + SHIFT * SQUARE * a for a, x in zip(SECOND, SEEN)]
    _, shifted = moved(ahead, carried)
    sam = (-2 * STEP * RESIDUAL * SHIFT * (SEEN[0] * SEEN[1] - SQUARE * SECOND[0] * SECOND[1])
           + STEP**2 * RESIDUAL**2 * (SQUARE * ahead[0] * ahead[1] - carried[0] * carried[1]))
    return {"sgd": (after - start, sgd), "sharpness-aware": (shifted - start, sam)}


def norm_identity():
    """The diagonal: ``||w_i'||^2 - ||w_i||^2`` and ``a_i'^2 - a_i^2 + h^2 DW_i``."""
    (after, _), imbalance = moved(SECOND, SEEN)
    same = {SEEN[1]: SEEN[0], SECOND[1]: SECOND[0]}
    norm = (imbalance + after * moved(SECOND, SEEN)[0][1]).subs(same) - PRODUCT
    change = -RESIDUAL**2 * (SEEN[0] ** 2 - SECOND[0] ** 2 * SQUARE)
    return norm, after**2 - SECOND[0] ** 2 + STEP**2 * change


def second_layer_square(power=2):
    """``(a_i' - a_i)^2`` and ``h^power g^2 <x, w_i>^2``: 2 is right, 0 is printed."""
    (after, _), _ = moved(SECOND, SEEN)
    return (after - SECOND[0]) ** 2, STEP**power * RESIDUAL**2 * SEEN[0] ** 2


@functools.cache
def oscillation_step(active, dimension):
    """``E sum_i (w_i)_k^2`` of the active neurons after one step, k = 0: averaged over signs, and the recursion.

    Parameters
    ----------
    active, dimension : int
        r in 1..4 and d in 1..3: all ``2^r`` sign patterns are written out.

    Returns
    -------
    derived, formula : sympy.Expr
        In ``h, q``, the eigenvalue l1, the weights and the target; Sigma is diagonal.

    Raises
    ------
    ValueError
        For sizes outside the range.
    """
    for name, value, top in (("active", active, 4), ("dimension", dimension, 3)):
        if value not in range(1, top + 1):
            raise ValueError(f"{name} is {value}; it must be an integer in 1..{top}")
    values = sp.symbols(f"l1:{dimension + 1}", positive=True)
    target = sp.symbols(f"theta1:{dimension + 1}", real=True)
    weights = [sp.symbols(f"w{i}_1:{dimension + 1}", real=True) for i in range(active)]
    total = sp.Integer(0)
    for signs in itertools.product((-1, 1), repeat=active):
        output = sum(sign * AMPLITUDE * w[0] for sign, w in zip(signs, weights))
        total += sum((w[0] + STEP * sign * AMPLITUDE * values[0] * (target[0] - output)) ** 2
                     for sign, w in zip(signs, weights))
    size = sum(w[0] ** 2 for w in weights)
    pull = STEP * AMPLITUDE**2 * values[0]
    formula = (1 - 2 * pull + active * pull**2) * size + active * (STEP * AMPLITUDE * values[0] * target[0]) ** 2
    return total / 2**active, formula


def riccati():
    """``z'`` of the closed form in one dimension and the right-hand side ``2 theta z - (P z^2 - Q)/2``.

    Both are rational in ``T = tanh(D t/2)/D``, which has ``T' = (1 - D^2 T^2)/2``, ``D^2 = 4 theta^2 + P Q``.
    """
    plus, minus, reach = sp.symbols("P Q T", positive=True)
    z = (1 + reach * (2 * TARGET + minus)) / (1 + reach * (plus - 2 * TARGET))
    speed = (1 - (4 * TARGET**2 + plus * minus) * reach**2) / 2
    return sp.diff(z, reach) * speed, 2 * TARGET * z - (plus * z**2 - minus) / 2


def isotropic_invariants():
    """What the isotropic slow flow keeps: pairs (derivative along the flow, what it must be).

    ``g alpha - theta^2`` decays at the rate ``(d+1) v``; on ``g alpha = theta^2`` the combination ``(d+1) ln|y - d| -
    ln y``, ``y = g^2/theta^2``, falls at ``2 d v``; for d = 1, ``g - alpha`` decays at ``v`` and ``(g + alpha)^2 - 4
    theta^2`` at ``2 v``.
    """
    g, alpha = sp.symbols("g alpha", positive=True)
    push = DRIFT * (DIMENSION + 1) * TARGET**2 / (g + alpha)
    slope = {g: -DRIFT * g + push, alpha: -DRIFT * DIMENSION * alpha + push}

    def along(expression):
        return sum(sp.diff(expression, each) * slope[each] for each in (g, alpha))

    tight, y = {alpha: TARGET**2 / g}, g**2 / TARGET**2
    implicit = (DIMENSION + 1) * sp.log(y - DIMENSION) - sp.log(y)
    total = (g + alpha) ** 2 - 4 * TARGET**2
    return [(along(g * alpha), -(DIMENSION + 1) * DRIFT * (g * alpha - TARGET**2)),
            (along(implicit).subs(tight), -2 * DIMENSION * DRIFT),
            (along(g - alpha).subs(DIMENSION, 1), -DRIFT * (g - alpha)),
            (along(total).subs(DIMENSION, 1), -2 * DRIFT * total)]
