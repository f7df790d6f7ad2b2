r"""How well heads that attend by position alone fetch the token i places back.

Heads of slopes ``p_h = -log u_h``, ``0 < u_h < 1``, with value weights ``c_h`` bring to position s the sum
``sum_j w_j(s) x_{s-j}``, ``j = 1..s-1``, with

    w_j(s) = sum_h c_h (1 - u_h) u_h^{j-1} / (1 - u_h^{s-1}),      w_j = w_j(infinity) = v_{j-1},
    v_m = sum_h alpha_h u_h^m,      alpha_h = (1 - u_h) c_h .

The error of the lag at s is ``sum_j |w_j(s) - delta_{ji}|``: what it does to bounded tokens at worst.  Derived here,
for the theorem on n-grams of arXiv 2410.11474:

*Folding.*  ``1/(1 - u^{s-1})`` is a geometric series, so ``w_j(s) = sum_{k>=0} w_{j+k(s-1)}``, in which every lag
of the infinite context comes once.  Hence for any weights, and every s > i, the error at s is at most that at
infinity: the normaliser, which depends on s, can only help.

*Weights for H >= i heads.*  Solve ``v_m = delta_{m,i-1}``, m < H (Vandermonde): ``alpha_h`` is the coefficient of
``u^{i-1}`` in the Lagrange polynomial of node h.  What is left, ``v_m`` for m >= H, has one sign (up to sign a Schur
polynomial of a hook), so nothing cancels or adds in the folding, and at *every* s > i the error is, with the elementary
symmetric polynomials e_k,

    E_i = |sum_h c_h - 1| = |sum_{m<i} (-1)^m e_{H-m}(u)| / prod_h (1 - u_h) .

For ``u_h = U h/H`` Stirling's formula and Euler's summation give, with h the entropy in nats,

    E_i ~ sqrt(2 pi H/(1-U)) (H/U)^{i-1} e_{i-1}(1, 1/2, ..., 1/H) e^{-kappa H},       kappa = h(U)/U > 0 .

A value weight with the normaliser of finitely many lags, ``c_h = alpha_h (1 - u_h^T)/(1 - u_h)``, T >= i, subtracts
``v_{m+T}`` from ``v_m`` and at most doubles the error of any ``alpha``.

*H < i heads.*  Let ``P(x) = prod_h (x - u_h)`` and ``x^{m*}`` the power with the largest coefficient in modulus.  The
coefficients of ``x^{i-1-m*} P(x)``, divided by that one, are at most 1 in modulus, that of ``x^{i-1}`` is 1, and their
sum against v vanishes.  By duality the error of lag i at infinity is at least 1: no weights on any nodes beat fetching
nothing.  For the milder criterion ``max_{m<i} |v_m - delta_{m,i-1}|`` the recurrence that P gives v bounds the error
from below by ``prod_h (1 + u_h)^{-1} > 2^{-H}`` for every i > H, with equality of the first two for the best weights if
i = H + 1; 2^{-H} is approached as the nodes come together at 1.

Everything that only adds, multiplies and divides follows the type of its nodes: floats, fractions.Fraction (exact), or
mpmath numbers.  Weights grow like ``U^{-(i-1)}`` and exponentially in H; :func:`rounding` says what float64 makes of
them.
"""

import math
from fractions import Fraction
from numbers import Real

import numpy as np
from scipy.optimize import linprog

from ..arguments import number, numbers, shown
from .attention import whole

LARGEST_CONTEXT = 100_000
"""Largest number of lags kept of an infinite context."""
LARGEST_PROGRAM = 1000
"""Largest number of lags in a linear program."""
SMALLEST_NODE = 1e-300
"""The slope of a smaller one, ``-log u``, is beyond float64 where u is."""


def spaced_nodes(heads, largest) -> tuple:
    """Equally spaced ``u_h = U h/H``, of the type of U.

    Parameters
    ----------
    heads : int
        H >= 1.
    largest : float or Fraction
        U, 0 < U < 1.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    heads = whole(heads, "heads", 1)
    if not 0 < number(largest, "largest") < 1:
        raise ValueError(f"largest is {shown(largest)}; it must be above 0 and below 1")
    return tuple(largest * h / heads for h in range(1, heads + 1))


def elementary_symmetric(values) -> list:
    """``e_0, ..., e_n`` of n finite values, of their type: the sums of products of k of them."""
    values = _numbered(values)
    sums = [1 + 0 * values[0] if len(values) else 1]
    for value in values:
        longer = [*sums, 0]
        for k in range(1, len(longer)):
            longer[k] = longer[k] + value * sums[k - 1]
        sums = longer
    return sums


def lag_weights(nodes, lag) -> tuple:
    """``alpha_h`` with ``sum_h alpha_h u_h^m = delta_{m,i-1}`` for m < H: no sum that cancels is formed.

    Parameters
    ----------
    nodes : sequence, length H
        Distinct numbers in (0, 1).
    lag : int
        i, 1..H.

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    nodes, lag = _selection(nodes, lag)
    sign = -1 if (len(nodes) - lag) % 2 else 1
    weights = []
    for h, node in enumerate(nodes):
        rest = nodes[:h] + nodes[h + 1:]
        product = 1 + 0 * node
        for other in rest:
            product = product * (node - other)
        if not product:
            raise ValueError(f"nodes are {shown(nodes)}; floats lose their products, they must be fractions or larger")
        weights.append(sign * elementary_symmetric(rest)[len(nodes) - lag] / product)
    return tuple(weights)


def value_weights(nodes, lag) -> tuple:
    """``c_h = alpha_h/(1 - u_h)``, the value weights that go with :func:`lag_weights`, whose parameters it takes."""
    return tuple(weight / (1 - node) for weight, node in zip(lag_weights(nodes, lag), nodes))


def kernel(nodes, values, position=None, lags=None) -> list:
    """Weights ``w_1, w_2, ...`` of the lags.

    Parameters
    ----------
    nodes : sequence, length H
        Numbers in (0, 1).
    values : sequence, length H
        ``c_h``.
    position : int, optional
        s >= 2; without it, the context is infinite.
    lags : int, optional
        How many to give; s - 1 by default, which is the largest number; has to be given without `position`.

    Returns
    -------
    list, length lags

    Raises
    ------
    ValueError
        Out of these ranges.
    """
    nodes, values = _weighted(nodes, values)
    if position is None:
        lags = whole(lags, "lags", 1)
        factors = [value * (1 - node) for value, node in zip(values, nodes)]
    else:
        visible = whole(position, "position", 2) - 1
        lags = visible if lags is None else whole(lags, "lags", 1)
        if lags > visible:
            raise ValueError(f"lags is {lags}; position {position} sees {visible}")
        factors = [value * (1 - node) / (1 - node**visible) for value, node in zip(values, nodes)]
    weights = []
    for _ in range(lags):
        weights.append(sum(factors))
        factors = [factor * node for factor, node in zip(factors, nodes)]
    return weights


def lag_error(nodes, values, lag, position=None):
    """``sum_j |w_j(s) - delta_{ji}|``.

    Parameters
    ----------
    nodes, values : sequences, length H
        ``u_h`` in (0, 1) and ``c_h``.
    lag : int
        i >= 1.
    position : int, optional
        s > i.  Without it the context is infinite: in float64, cut where what follows is below rounding; refused where
        that takes more than 1e5 lags.

    Returns
    -------
    number
        Of the type of the nodes; a float for the infinite context.
    """
    nodes, values = _weighted(nodes, values)
    lag = whole(lag, "lag", 1)
    if position is None:
        node, value = np.array(nodes, dtype=np.float64), np.array(values, dtype=np.float64)
        longest = math.ceil(lag + (math.log(1e-18) / math.log(node.max())))
        if longest > LARGEST_CONTEXT:
            raise ValueError(f"largest node is {shown(float(node.max()))}; without a position it must be at most "
                             f"{1e-18 ** (1 / LARGEST_CONTEXT):.6g}")
        weights = (value * (1 - node)) @ node[:, None] ** np.arange(longest)
        weights[lag - 1] -= 1.0
        return float(np.abs(weights).sum())
    if whole(position, "position", 2) <= lag:
        raise ValueError(f"position is {position}; it must be above the lag, {lag}")
    return sum(abs(weight - (j == lag)) for j, weight in enumerate(kernel(nodes, values, position), 1))


def folded(weights, visible) -> np.ndarray:
    """Weights of an infinite context as a position that sees `visible` lags has them: sums over j + k visible.

    Parameters
    ----------
    weights : array_like, shape (n,)
    visible : int
        s - 1 >= 1.

    Returns
    -------
    ndarray, shape (visible,)
    """
    weights, visible = numbers(weights, "weights"), whole(visible, "visible", 1)
    if weights.ndim != 1:
        raise ValueError(f"weights have shape {weights.shape}; it must be (n,)")
    if not np.isfinite(weights).all():
        raise ValueError(f"weights are {shown(weights)}; they must be finite")
    padded = np.concatenate([weights, np.zeros(-len(weights) % visible)])
    return padded.reshape(-1, visible).sum(axis=0)


def vandermonde_error(nodes, lag):
    """The error ``E_i`` of :func:`value_weights` at every position beyond the lag; parameters as there.

    For floats its relative accuracy is rounding times ``(1 + e_{i-1}/E)``, poor where the largest node is near 1.
    """
    nodes, lag = _selection(nodes, lag)
    sums = elementary_symmetric(nodes)
    total = sum((-1) ** m * sums[len(nodes) - m] for m in range(lag))
    product = 1
    for node in nodes:
        product = product * (1 - node)
    return abs(total) / product


def decay_rate(largest) -> float:
    """``kappa = h(U)/U``, h the entropy in nats: the error on spaced nodes falls by ``e^{-kappa}`` a head.

    Parameters
    ----------
    largest : float
        U, 0 < U < 1.

    Raises
    ------
    ValueError
        Out of this range.
    """
    u = number(largest, "largest")
    if not 0 < u < 1:
        raise ValueError(f"largest is {shown(largest)}; it must be above 0 and below 1")
    return -math.log(u) - (1 - u) * math.log1p(-u) / u


def spaced_error_law(heads, largest, lag) -> float:
    """``sqrt(2 pi H/(1-U)) (H/U)^{i-1} e_{i-1}(1/h) e^{-kappa H}``: the error on spaced nodes over it tends to 1.

    Parameters
    ----------
    heads : int
        H.
    largest : float
        U, 0 < U < 1.
    lag : int
        i, 1..H.
    """
    heads, lag = whole(heads, "heads", 1), whole(lag, "lag", 1)
    if lag > heads:
        raise ValueError(f"lag is {lag}; {heads} heads reach lags up to {heads}")
    rate, u = decay_rate(largest), float(largest)
    harmonic = elementary_symmetric([1 / h for h in range(1, heads + 1)])[lag - 1]
    return math.sqrt(2 * math.pi * heads / (1 - u)) * (heads / u) ** (lag - 1) * harmonic * math.exp(-rate * heads)


def rounding(values) -> float:
    """What rounding can add to a lag error in float64: ``(8 + H/2) 2^-52 sum_h |c_h|``, to first order.

    With slopes ``p = -log u`` in float64 the weight of lag j is off by a few units and by ``p (j - 1)`` of them, which
    the weights average to ``p/(e^p - 1) <= 1``; that, the exponential, the normaliser and the value weight come to less
    than 16 half units, and the sum over heads to H.

    Parameters
    ----------
    values : sequence, length H
        ``c_h``, finite.
    """
    values = _numbered(values)
    return (8 + len(values) / 2) * 2.0**-52 * float(sum(abs(value) for value in values))


def exact_nodes(nodes) -> tuple:
    """Nodes as fractions, which floats are: only then is the alternating sum of :func:`vandermonde_error` safe."""
    return tuple(Fraction(node) if isinstance(node, Real) else node for node in checked_nodes(nodes))


def workable_heads(largest, lags, heads) -> int:
    """Most heads, up to `heads`, on equally spaced nodes for which rounding leaves lags 1..`lags` an error below 1.

    Parameters
    ----------
    largest : float
        U, 0 < U < 1.
    lags : int
        At least 1.
    heads : int
        Where to begin, at least 1.

    Returns
    -------
    int
        0 if there is no such number.
    """
    lags, heads = whole(lags, "lags", 1), whole(heads, "heads", 1)
    for count in range(heads, lags - 1, -1):
        nodes = spaced_nodes(count, float(largest))
        if max(rounding(value_weights(nodes, lag)) for lag in range(1, lags + 1)) < 1:
            return count
    return 0


def largest_coordinate_bound(nodes):
    """Least ``max_{m<=H} |v_m - delta_{m,H}|`` of H heads on these nodes, ``prod_h (1 + u_h)^{-1}``: lag H + 1.

    Parameters
    ----------
    nodes : sequence, length H
        Distinct numbers in (0, 1).
    """
    product = 1
    for node in checked_nodes(nodes):
        product = product * (1 + node)
    return 1 / product


def certificate(nodes, lag) -> list:
    """Proof that H < i heads on these nodes have error at least 1 at lag i.

    Returns
    -------
    list
        ``lambda_0, lambda_1, ...``, at most 1 in modulus, with ``lambda_{i-1} = 1`` and ``sum_m lambda_m u_h^m = 0``
        for every h, so that ``sum_m |v_m - delta_{m,i-1}| >= |sum_m lambda_m (v_m - delta_{m,i-1})| = 1``.

    Raises
    ------
    ValueError
        If there are H >= i nodes: then there is none.
    """
    nodes, lag = checked_nodes(nodes), whole(lag, "lag", 1)
    if len(nodes) >= lag:
        raise ValueError(f"nodes are {len(nodes)} for lag {lag}; with {lag} or more of them the lag is within reach")
    sums = elementary_symmetric(nodes)
    largest = max(range(len(sums)), key=lambda k: sums[k])
    power = len(nodes) - largest          # of x, where P has its largest coefficient
    return [0] * (lag - 1 - power) + [(-1) ** abs(power - m) * sums[len(nodes) - m] / sums[largest]
                                      for m in range(len(nodes) + 1)]


def least_error(nodes, lag, lags, criterion="sum") -> float:
    """The least error of any weights on given nodes, by linear programming: the oracle of the bounds above.

    Parameters
    ----------
    nodes : sequence, length H
        Distinct numbers in (0, 1).
    lag : int
        i.
    lags : int
        T >= i, at most 1000, how many lags count.  A position s sees T = s - 1; of the infinite context it is a lower
        bound.
    criterion : {"sum", "largest"}
        ``sum_{m<T} |v_m - delta_{m,i-1}|`` or the largest of them.

    Raises
    ------
    ValueError
        Out of these ranges.
    RuntimeError
        If the solver gives up.
    """
    nodes = np.array([float(node) for node in checked_nodes(nodes)])
    lag, lags = whole(lag, "lag", 1), whole(lags, "lags", 1)
    if lags < lag:
        raise ValueError(f"lags is {lags}; it must be at least the lag, {lag}")
    if lags > LARGEST_PROGRAM:
        raise ValueError(f"lags is {lags}; it must be at most {LARGEST_PROGRAM}, what a linear program here holds")
    if criterion not in ("sum", "largest"):
        raise ValueError(f"criterion is {shown(criterion)}; it must be 'sum' or 'largest'")
    # An orthonormal basis of the reachable v: powers of nearby nodes are almost parallel.
    basis, _ = np.linalg.qr(nodes ** np.arange(lags)[:, None])
    slack = np.eye(lags) if criterion == "sum" else np.ones((lags, 1))
    target = np.arange(lags) == lag - 1
    free, bounded = basis.shape[1], slack.shape[1]
    found = linprog(np.concatenate([np.zeros(free), np.ones(bounded)]), np.block([[basis, -slack], [-basis, -slack]]),
                    np.concatenate([target, -1.0 * target]), bounds=[(None, None)] * free + [(0, None)] * bounded)
    if found.status != 0:
        raise RuntimeError(f"linear program for {len(nodes)} nodes, lag {lag}: {found.message}")
    return float(found.fun)


def _listed(values, name):
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"{name} are {shown(values)}; they must be a sequence") from None


def _numbered(values):
    values = _listed(values, "values")
    if not all((isinstance(value, Real) or hasattr(value, "ae")) and abs(value) < math.inf for value in values):
        raise ValueError(f"values are {shown(values)}; they must be finite numbers")
    return values


def checked_nodes(nodes) -> tuple:
    """Nodes as a tuple; a ValueError unless they are distinct numbers in (0, 1), at least one."""
    nodes = _listed(nodes, "nodes")
    if not nodes:
        raise ValueError("nodes are none; there must be at least 1 head")
    if not all((isinstance(node, Real) or hasattr(node, "ae")) and 0 < node < 1 for node in nodes):
        raise ValueError(f"nodes are {shown(nodes)}; all must be above 0 and below 1")
    if not min(nodes) >= SMALLEST_NODE:
        raise ValueError(f"nodes go down to {shown(min(nodes))}; they must be at least {SMALLEST_NODE}")
    if len(set(nodes)) < len(nodes):
        raise ValueError(f"nodes are {shown(nodes)}; they must be distinct, or heads are wasted")
    return nodes


def _selection(nodes, lag):
    nodes, lag = checked_nodes(nodes), whole(lag, "lag", 1)
    if lag > len(nodes):
        raise ValueError(f"lag is {lag}; {len(nodes)} heads reach lags up to {len(nodes)}")
    return nodes, lag


def _weighted(nodes, values):
    nodes, values = checked_nodes(nodes), _numbered(values)
    if len(values) != len(nodes):
        raise ValueError(f"values are {len(values)}; there must be one for each of the {len(nodes)} nodes")
    return nodes, values
