r"""Optimizers of matrix parameters: Shampoo, SOAP and Muon, in the interface of :mod:`.optimizers`.

    shampoo    W <- W - eta L^{-1/4} M R^{-1/4}          L, R averages of G G^T, G^T G     (Gupta et al., 1802.09568)
    soap       W <- W - eta U [(U^T M V)/(sqrt V + eps)] V^T    Adam in Shampoo's basis    (Vyas et al., 2409.11321)
    muon       W <- W - eta msign(M + beta G)                                              (Jordan et al., 2024)

M is the average of G (``alpha = 1 - b1``).  Their flows in the "adaptive" scaling (derived):

    Shampoo    W' = -L^{-1/4} M R^{-1/4},    M' = a (G - M),    L' = b (G G^T - L),    R' = b (G^T G - R)
    SOAP       W' = -U [(U^T M V)/(sqrt V + eps)] V^T,    V' = b ((U^T G V)^2 - V),    L, R as Shampoo's
    Muon       W' = -msign(M + beta G),    M' = a (G - M)

SOAP's is smooth while no eigenvalues of L or R cross, Muon's while M keeps its rank.
"""

from .matrix_rules import InEigenbasis, PolarFactor, TwoSided
from .optimizers import Momentum, Optimizer, memory


def shampoo(rate, first=0.9, second=0.99, epsilon=1e-12, one_sided=False, decay=0.0) -> Optimizer:
    """Shampoo with averages in place of sums.

    Parameters
    ----------
    rate : float
        eta > 0.
    first, second : float
        Of the averages M (b1) and L, R (b2), in [0, 1).
    epsilon : float
        Added to L and R; > 0 where the first gradient has not full rank on both sides.
    one_sided : bool
        ``W <- W - eta M R^{-1/2}``.
    decay : float
        Decoupled weight decay.
    """
    return Optimizer("one-sided Shampoo" if one_sided else "Shampoo", rate,
                     Momentum(memory(first, "first"), averaged=True),
                     TwoSided(memory(second, "second"), epsilon, one_sided), decay)


def soap(rate, first=0.95, second=0.95, epsilon=1e-8, decay=0.0) -> Optimizer:
    """SOAP with a new basis at every step and no bias correction; the arguments are those of :func:`shampoo`."""
    return Optimizer("SOAP", rate, Momentum(memory(first, "first"), averaged=True),
                     InEigenbasis(memory(second, "second"), epsilon), decay)


def muon(rate, momentum=0.95, nesterov=True, damping=0.0, stages=None, coefficients=None, form="symmetric",
         decay=0.0) -> Optimizer:
    """Muon.

    Parameters
    ----------
    rate : float
        eta > 0; the factor ``0.2 sqrt(max(m, n))`` or the like that codes put in front belongs to it.
    momentum : float
        ``1 - alpha`` in [0, 1).
    nesterov : bool
        ``beta = alpha/(1-alpha)`` more.
    damping : float
        beta beyond that, in units of the average; M + beta G is what msign is taken of.
    stages, coefficients, form
        See :class:`.matrix_rules.PolarFactor`.
    decay : float
        Decoupled weight decay.
    """
    return Optimizer("Muon", rate, Momentum(memory(momentum, "momentum"), damping, nesterov, averaged=True),
                     PolarFactor(form, stages, coefficients), decay)
