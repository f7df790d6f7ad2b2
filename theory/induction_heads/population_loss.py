r"""The population loss of learning a 4-gram and an induction head at once, in six scalars and in closed form.

Tokens ``x_1, ..., x_L`` are independent, standard normal, in ``R^d``.  The target has two outputs (Wang et al., arXiv
2410.11474, dynamics part; rebuilt from accounts of it, formulas derived),

    f*(X) = ( gamma x_{L-2},  c sum_s softmax_s(y <x_L, x_{s-1}>) x_s ),    gamma = alpha/(1+alpha), c = 1/(1+alpha),

``s = 2, ..., L-1``, that is N = L - 2 keys.  The student has one head in layer 1, ``y_s = w1 sum_j (1-u) u^{j-1}
x_{s-j}``, and two in layer 2: ``a sum_j pi_j y_{L-j}`` with ``pi_j ~ v^{j-1}`` for the first output and
``b sum_s softmax_s(w^2 <x_L, y_s>) x_s`` for the second, where ``u = e^{-p1}`` and ``v = e^{-p}``.  Half the mean
squared error is ``L_G4 + L_IH`` with, for N -> infinity,

    L_G4   = (d/2) [gamma^2 - 2 gamma a w1 R + (a w1)^2 G],       R = (1-u)(1-v),  G = R (1+uv)/((1+u)(1+v)(1-uv)),
    N L_IH = (1/2) [b^2 A(w^4 V) - 2 b c A(w^2 y C) + c^2 A(y^2)],  V = w1^2 (1-u)/(1+u),  C = w1 (1-u),

``A(z) = d (1 - 2z)^{-d/2}``.  The second holds because a value token is independent of its key, so that products of two
different places vanish, because ``E e^{<q+q', k>}/(E e^{<q,k>} E e^{<q',k>}) = e^{<q,q'>}`` for normal k, and because
``A(z) = d E e^{z |x_L|^2}``; the next term is ``e^{3 y^2 x_L^2}/N``, of finite mean for ``y < 1/sqrt(6) = 0.41`` only:
then the error is O(1/N), beyond it falls more slowly.

Both are sums of squares,

    L_G4   = (d/2) [G (a w1 - m)^2 + gamma^2 (1 - (1-u^2)(1-v^2)(1-uv)/(1+uv))],  m = gamma (1+u)(1+v)(1-uv)/(1+uv),
    N L_IH = (1/2) [A(w^4 V) (b - b_*)^2 + c^2 A(y^2) (1 - (1 - r)^{d/2})],             b_* = c A(w^2 y C)/A(w^4 V),
    r = 2 [(w^2 C - y)^2 + (1 - 2 y^2) w^4 w1^2 u^2 (1-u)/(1+u)]/(1 - 2 w^2 y C)^2,

which is how they are computed: without cancellation where they vanish, at u = v = 0, a w1 = gamma, b = c, w^2 w1 = y.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown

PARAMETERS = ("p1", "w1", "p", "a", "b", "w")
"""The six scalars in the order of an array: slope and value of layer 1, slope and value of the 4-gram head, value and
key of the induction head."""
LARGEST_SIMILARITY = 1.0 / math.sqrt(2.0)
LARGEST_PARAMETER = 1e50
"""In size, so that no product of parameters leaves float64."""
NEAREST = 1e-9
"""``1 - 2 w^4 V`` is kept above this inside integrators, whose trial steps may leave the region of finite losses."""


@dataclass(frozen=True)
class Task:
    """What is to be learned: a 4-gram and an induction head with their weights.

    Parameters
    ----------
    weight : float
        ``alpha*`` > 0, of the 4-gram relative to the induction head.
    similarity : float
        ``y = w*^2``, the logit scale of the target's induction head, ``0 < y < 1/sqrt(2)`` (beyond, its output has
        infinite variance as the context grows).
    length : int or inf
        Context length L >= 4; the loss of the induction head is 1/N of a constant, 0 for an infinite context.
    dimension : int
        d >= 1, of a token; losses are sums over coordinates.

    Raises
    ------
    ValueError
        For anything else.
    """

    weight: float = 1.0
    similarity: float = 0.3
    length: float = math.inf
    dimension: int = 1

    def __post_init__(self):
        weight, y = number(self.weight, "weight"), number(self.similarity, "similarity")
        if not 0 < weight < math.inf:
            raise ValueError(f"weight is {shown(self.weight)}; it must be finite and > 0")
        if not 0 < y < LARGEST_SIMILARITY:
            raise ValueError(f"similarity is {shown(self.similarity)}; it must be > 0 and < 1/sqrt(2) = 0.7071")
        length = number(self.length, "length")
        if not (length >= 4 and (length == math.inf or length == int(length))):
            raise ValueError(f"length is {shown(self.length)}; it must be an integer >= 4, or inf")
        checked_dimension(self.dimension)

    @property
    def keys(self) -> float:
        """N = L - 2."""
        return self.length - 2

    @property
    def four_gram(self) -> float:
        """``gamma = alpha/(1 + alpha)``, amplitude of the 4-gram."""
        return self.weight / (1.0 + self.weight)

    @property
    def induction(self) -> float:
        """``c = 1/(1 + alpha)``, amplitude of the induction head."""
        return 1.0 / (1.0 + self.weight)


def checked_dimension(dimension):
    """The dimension of a token, if it is an integer >= 1.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not (number(dimension, "dimension") >= 1 and dimension < math.inf and dimension == int(dimension)):
        raise ValueError(f"dimension is {shown(dimension)}; it must be an integer >= 1")
    return int(dimension)


def checked_task(task):
    """The task, if it is one.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(task, Task):
        raise ValueError(f"task is {shown(task)}; it must be a Task")
    return task


def together(first, second, names):
    """Two arrays of finite numbers whose shapes broadcast.

    Raises
    ------
    ValueError
        For anything else; `names` says what they are, in the plural.
    """
    arrays = numbers(first, names[0]), numbers(second, names[1])
    for values, name in zip(arrays, names):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} hold NaN or infinity; they must be finite")
    try:
        np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
    except ValueError:
        raise ValueError(f"{names[0]} and {names[1]} have shapes {arrays[0].shape} and {arrays[1].shape}; they must "
                         "broadcast") from None
    return arrays


def context_moment(z, dimension=1, order=0):
    """``A(z) = d (1 - 2z)^{-d/2}`` or a derivative of it: N times the mean product of two softmax averages.

    Parameters
    ----------
    z : array_like
        Below 1/2: product of the two logit scales times the covariance of the keys.
    dimension : int
    order : {0, 1, 2}
        Of the derivative.

    Raises
    ------
    ValueError
        If some z is not below 1/2: a variance would be infinite.
    """
    z = numbers(z, "values of z")
    if isinstance(order, bool) or order not in (0, 1, 2):
        raise ValueError(f"order is {shown(order)}; it must be 0, 1 or 2")
    if not (z < 0.5).all():
        raise ValueError(f"z reaches {np.max(z):.6g}; it must be below 1/2, or a variance is infinite")
    return moments(z, checked_dimension(dimension))[order]


def moments(z, dimension):
    """``A, A', A''`` at z, which is kept below 1/2 by :data:`NEAREST`; nothing is checked."""
    rest = np.maximum(1.0 - 2.0 * z, NEAREST)
    zeroth = dimension * rest ** (-0.5 * dimension)
    first = dimension * zeroth / rest
    return zeroth, first, (dimension + 2) * first / rest


def four_gram_loss(task, parameters):
    """``L_G4``.

    Parameters
    ----------
    task : Task
    parameters : array_like, shape (..., 6)
        In the order of :data:`PARAMETERS`; ``p1, p > 0``.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ValueError
        For parameters out of range.
    """
    checked_task(task)
    p1, w1, p, a, _, _ = _checked(parameters)
    u, v = np.exp(-p1), np.exp(-p)
    _, squared = _overlaps(p1, p)
    # near p = 0 the logarithms of hyperbolic tangents, where 1 - u^2 is rounding
    few, less = np.minimum(u, 0.5), np.minimum(v, 0.5)
    small = np.log1p(-few * few) + np.log1p(-less * less) + np.log1p(-few * less) - np.log1p(few * less)
    large = np.log(-np.expm1(-2.0 * p1)) + np.log(-np.expm1(-2.0 * p)) + np.log(np.tanh(0.5 * (p1 + p)))
    missed = -np.expm1(np.where(np.maximum(u, v) < 0.5, small, large))
    off = a * w1 - best_four_gram_value(task, p1, p)
    return 0.5 * task.dimension * (squared * off**2 + task.four_gram**2 * missed)


def scaled_induction_loss(task, parameters):
    """``N L_IH``.

    Parameters
    ----------
    task : Task
    parameters : array_like, shape (..., 6)
        In the order of :data:`PARAMETERS`; ``p1, p > 0`` and ``w^4 w1^2 (1-u)/(1+u) < 1/2``.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ValueError
        For parameters out of range.
    """
    checked_task(task)
    p1, w1, _, _, b, w = _checked(parameters)
    c, y, d, u = task.induction, task.similarity, task.dimension, np.exp(-p1)
    covariance, variance = -w1 * np.expm1(-p1), w1**2 * np.tanh(0.5 * p1)
    own, mixed = context_moment(w**4 * variance, d), context_moment(w**2 * y * covariance, d)
    excess = w1**2 * u * u * np.tanh(0.5 * p1)
    apart = (w**2 * covariance - y) ** 2 + (1.0 - 2.0 * y**2) * w**4 * excess
    r = 2.0 * apart / (1.0 - 2.0 * w**2 * y * covariance) ** 2
    missed = -np.expm1(0.5 * d * np.log1p(-np.minimum(r, 1.0)))
    return 0.5 * (own * (b - c * mixed / own) ** 2 + c**2 * context_moment(y**2, d) * missed)


def population_loss(task, parameters):
    """``L_G4 + L_IH``; arguments as for the two."""
    return four_gram_loss(task, parameters) + scaled_induction_loss(task, parameters) / task.keys


def gradient(task, parameters):
    """Gradient of the population loss by the six parameters.

    Parameters
    ----------
    task : Task
    parameters : array_like, shape (..., 6)
        In the order of :data:`PARAMETERS`; ``p1, p > 0``.

    Returns
    -------
    ndarray, shape (..., 6)

    Raises
    ------
    ValueError
        For parameters out of range.
    """
    checked_task(task)
    p1, w1, _, _, _, w = _checked(parameters)
    context_moment(w**4 * w1**2 * np.tanh(0.5 * p1))
    return np.moveaxis(np.stack(slopes(task, *np.moveaxis(np.asarray(parameters, float), -1, 0))), 0, -1)


def slopes(task, p1, w1, p, a, b, w):
    """The six partial derivatives, for integrators: nothing is checked, moments are kept finite."""
    u, v = np.exp(-p1), np.exp(-p)
    one_u, one_v = -np.expm1(-p1), -np.expm1(-p)
    d, gamma, value = task.dimension, task.four_gram, a * w1
    one_uv = -np.expm1(-(p1 + p))
    overlap, squared = one_u * one_v, one_u * (one_v / one_uv) * (1 + u * v) / ((1 + u) * (1 + v))
    by_value = d * (value * squared - gamma * overlap)
    mixed = 2.0 / (one_uv * (1.0 + u * v))
    # derivatives of R and G by u and by v
    squared_u = squared / one_u * (-2.0 / (1.0 + u) + one_u * v * mixed)
    squared_v = squared / one_v * (-2.0 / (1.0 + v) + one_v * u * mixed)
    by_p1 = -u * d * (gamma * value * one_v + 0.5 * value**2 * squared_u)
    by_p = -v * d * (gamma * value * one_u + 0.5 * value**2 * squared_v)

    c, y, x = task.induction, task.similarity, w * w
    covariance, half_tanh = w1 * one_u, one_u / (1.0 + u)
    own, own_slope, _ = moments(x * x * w1**2 * half_tanh, d)
    cross, cross_slope, _ = moments(x * y * covariance, d)
    rate = 1.0 / task.keys
    quadratic, linear = rate * 0.5 * b * b * own_slope, rate * b * c * cross_slope
    by_w1 = quadratic * 2.0 * x * x * w1 * half_tanh - linear * x * y * one_u
    by_p1 = by_p1 - u * (quadratic * x * x * w1**2 * (-2.0 / (1.0 + u) ** 2) + linear * x * y * w1)
    by_w = 2.0 * w * (quadratic * 2.0 * x * w1**2 * half_tanh - linear * y * covariance)
    return by_p1, by_value * a + by_w1, by_p, by_value * w1, rate * (b * own - c * cross), by_w


def best_four_gram_value(task, p1, p):
    """``m = gamma (1+u)(1+v)(1-uv)/(1+uv)``: the product ``a w1`` that is best for given slopes ``p1, p > 0``.

    Raises
    ------
    ValueError
        For slopes out of range, or what is no task.
    """
    checked_task(task)
    p1, p = together(p1, p, ("slopes p1", "slopes p"))
    for name, slope in (("p1", p1), ("p", p)):
        if not (slope > 0).all():
            raise ValueError(f"{name} is {slope.min():g}; it must be > 0, or the head spreads over an infinite context")
    u, v = np.exp(-p1), np.exp(-p)
    return task.four_gram * (1 + u) * (1 + v) * (-np.expm1(-(p1 + p))) / (1 + u * v)


def unshifted_induction_loss(task, b, w):
    """``N L_IH`` of an induction head whose keys are the tokens ``x_s`` themselves, as if layer 1 did not shift.

    Key and value are then the same token, the head's output has the mean ``b w^2 x_L`` however long the context, and
    in one dimension, with ``x = w^2``,

        N L_IH = (1/2) [b^2 (N x^2 + A(x^2) - x^2 A'(x^2)) - 2 b c (1 - x y) + c^2 A(y^2)]

    up to O(1/N): it grows with w.  Given the query q, a softmax average m of keys that are values is a ratio of means,
    so that to order 1/N its square exceeds ``(x q)^2`` by ``e^{x^2 q^2} (1 + x^2 q^2)`` of the variance, less twice
    ``x q`` times the bias ``x q e^{x^2 q^2}``; with the target's average f it has the covariance 1, and f, whose values
    are the keys of their neighbours, has the bias ``-y q``.

    Parameters
    ----------
    task : Task
        With d = 1 and a finite context.
    b, w : array_like
        ``w^4 < 1/2``.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    b, x = _unshifted(task, b, w)
    c, y = task.induction, task.similarity
    own = task.keys * x**2 + context_moment(x**2) - x**2 * context_moment(x**2, order=1)
    return 0.5 * (b**2 * own - 2.0 * b * c * (1.0 - x * y) + c**2 * context_moment(y**2))


def unshifted_gradient(task, b, w):
    """Gradient of :func:`unshifted_induction_loss` by b and w; arguments as there, a pair of ndarrays."""
    b, x = _unshifted(task, b, w)
    c, y, w = task.induction, task.similarity, np.asarray(w, float)
    zeroth, first, second = (context_moment(x**2, order=order) for order in range(3))
    return (b * (task.keys * x**2 + zeroth - x**2 * first) - c * (1.0 - x * y),
            2.0 * w * (b * b * x * (task.keys - x**2 * second) + b * c * y))


def _unshifted(task, b, w):
    """b, and the logit scale ``w^2``."""
    if checked_task(task).dimension != 1 or not math.isfinite(task.length):
        raise ValueError(f"dimension and length are {task.dimension} and {task.length}; they must be 1 and finite")
    b, w = together(b, w, ("values of b", "values of w"))
    return b, w * w


def _checked(parameters):
    values = numbers(parameters, "parameters")
    if values.ndim < 1 or values.shape[-1] != len(PARAMETERS):
        raise ValueError(f"parameters have shape {values.shape}; it must be (..., 6), in the order "
                         + ", ".join(PARAMETERS))
    if not np.isfinite(values).all():
        raise ValueError("parameters are not all finite; they must be")
    if np.abs(values).max(initial=0.0) > LARGEST_PARAMETER:
        raise ValueError(f"parameters reach {np.abs(values).max():g} in size; they must be at most "
                         f"{LARGEST_PARAMETER:g}")
    columns = np.moveaxis(values, -1, 0)
    for name, slope in (("p1", columns[0]), ("p", columns[2])):
        if not (slope > 0).all():
            raise ValueError(f"{name} is {slope.min():g}; it must be > 0, or the head spreads over an infinite context")
    return columns


def _overlaps(p1, p):
    """``R`` and ``G``: of the student's kernel with the target's lag, and with itself."""
    u, v = np.exp(-p1), np.exp(-p)
    overlap = np.expm1(-p1) * np.expm1(-p)
    return overlap, overlap * (1 + u * v) / ((1 + u) * (1 + v) * (-np.expm1(-(p1 + p))))
