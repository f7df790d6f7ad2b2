r"""When sharpness-aware minimisation leaves a solution for the origin.

Batch-1 SAM (:func:`.network.sharpness_aware_transition`) moves neurons by ``I + b B_x + c B_x^2`` with ``c = b rho
sign(r)/N``.  Where the network explains little of the label, ``r`` has the sign of ``-<theta*, x>``, and for neurons
along theta*, in units of h and of ``|r|``, the averages over Gaussian inputs with the weight ``|r| ~ |x_1|`` are

    w' = E|x_1||x_1| a - (rho/N) E|x_1| x_1^2 w       = a - (rho/N) sqrt(8/pi) w,
    a' = E|x_1||x_1| w - (rho/N) E|x_1| ||x||^2 a     = w - (rho/N) (d + 1) sqrt(2/pi) a .

Both directions shrink once the product of the two rates of decay exceeds that of the couplings, ``(4/pi) (d + 1) rho^2
> N^2`` with ``N^2 = ||a||^2 ||x||^2 + x'G x`` the squared norm of the gradient over the residual: the smaller the
network, the stronger the pull, so that the origin attracts whatever has ``N^2 < (4/pi) (d + 1) rho^2``.  SAM also seeks
the flattest interpolator, where ``E N^2 = 2 sqrt(d) ||theta*||`` is smallest among all solutions, and so falls to the
origin for

    rho >= rho_c,     rho_c^2 = (pi/2) sqrt(d) ||theta*||/(d + 1)                                            (derived).

``rho_c ~ ||theta*||^{1/2}`` is exact (scale symmetry, ``h ||theta*||`` held fixed).  The constant is not: it takes N at
its mean and the flow for the path.  For small steps that is right to a fifth at d = 5 and better above, where ``N^2``
is sharp; below, solutions last longer: up to 1.2 rho_c and more at d = 3, 1.3 at d = 2, 1.6 at d = 1.
"""

import math

from ..arguments import number
from .network import MAX_DIMENSION


def collapse_radius(dimension, target_norm):
    """Radius ``rho_c`` from which on batch-1 SAM is drawn into the origin.

    Parameters
    ----------
    dimension : int
        d, 1..1024.
    target_norm : float
        ``||theta*||`` >= 0.

    Returns
    -------
    float
        ``sqrt((pi/2) sqrt(d) ||theta*||/(d + 1))``, good to a fifth for d >= 5, too small by up to 1.8 below; ``inf``
        for a target of 0, which the origin fits.

    Raises
    ------
    ValueError
        For a dimension or a norm out of range.
    """
    if not (1 <= number(dimension, "dimension") <= MAX_DIMENSION and dimension == int(dimension)):
        raise ValueError(f"dimension is {dimension}; it must be an integer in 1..{MAX_DIMENSION}")
    if not 0 <= number(target_norm, "target_norm") < math.inf:
        raise ValueError(f"target_norm is {target_norm}; it must be finite and >= 0")
    if target_norm == 0:
        return math.inf
    return math.sqrt(0.5 * math.pi * math.sqrt(dimension) * target_norm / (dimension + 1))
