r"""Label-noise SGD on two-layer linear networks: the model, when it is stable, and its flattest solution.

Model (Zhang, Zhou, Wang, Han, Huang, Suzuki and Yan, arXiv 2603.10397).  A network ``f(x) = a' W x`` with m
neurons ``w_i`` (rows of W, shape (m, d)) and ``a_i`` learns ``y = <theta*, x>`` from Gaussian inputs ``x ~ N(0,
I_d)``, a fixed set of n or fresh ones.  Every step sees one input and a label with fresh noise, ``y + eps``, ``eps =
+-sigma`` with probability 1/2 each, and moves both layers, from their old values, down the gradient of ``c (f - y -
eps)^2``:

    w_i <- w_i + b a_i x,     a_i <- a_i + b <w_i, x>,     b = -2 c eta (f(x) - y - eps) .

The paper's loss has c = 1/2; here c is ``loss_factor``, and ``2 c eta`` is the *effective step*, the only way in which
c and eta enter.  Start: ``w_ij ~ N(0, s_1^2/d)``, ``a_i ~ N(0, s_2^2/m)`` with scales 1 in the paper.  Inputs and
start are isotropic, so that the target may lie on the first axis, ``theta* = ||theta*|| e_1``.  A network is known by
its state ``K = [[G, theta], [theta', alpha]]``, ``G = W'W``, ``theta = W'a``, ``alpha = ||a||^2`` (:mod:`.reduction`).

Mean-square stability (derived; Feuer and Weinstein, IEEE Trans. ASSP 33, 1985, for the Gaussian case of a fixed
linear model).  To first order in b the error ``delta = theta - theta*`` obeys

    delta <- (I - h M x x') delta + h M x eps

with the function-space kernel ``M = G + alpha I`` and the effective step h.  With z = M^{1/2} x, ``P = E z z'`` and
``R = M^{-1/2} E[delta delta'] M^{-1/2}``,

    R <- R - h A R + h^2 B R + h^2 sigma^2 P,     A R = P R + R P,     B R = E[z z' <z, R z>] .

A and B are symmetric in ``tr R R'``, and both ``B`` and ``A^{-1}`` map positive matrices to positive ones.  So
``I - h A + h^2 B`` contracts if and only if ``h rho(A^{-1} B) < 1``: the *critical step* is one over the largest
eigenvalue of ``A^{-1/2} B A^{-1/2}``.  In the eigenbasis of P, with eigenvalues ``D_j``:

    data       the largest squared singular value, over n, of the matrix with rows z_j^2/sqrt(2 D_j) and, j < k,
               sqrt(2) z_j z_k/sqrt(D_j + D_k), one row per input
    Gaussian   the largest eigenvalue of diag(D_j) + sqrt(D_j D_k)/2; equal D_j = D give h D (d + 2) < 2 .

M moves, on the slow clock ``1/(h sigma)^2``, so this is a statement about a moment of the run.  Label noise makes the
trace of M fall; the end of the run is no flatter than the flattest interpolator, ``W = a theta*'/alpha``.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.sparse import linalg as sparse_linalg

from ..arguments import number, numbers

MAX_DIMENSION = 1024
"""Largest input dimension."""
MAX_WIDTH = 10_000_000
"""Largest number of neurons."""
MAX_SAMPLES = 10_000_000
"""Largest finite training set."""
LARGEST = 1e100
"""Largest step, noise, norm and scale: squares of these stay within the range of float64."""
MAX_ENTRIES = 20_000_000
"""Largest matrix of products of features that is written out."""


@dataclass(frozen=True)
class TwoLayerLinear:
    """A two-layer linear network under label-noise SGD with batch size 1.

    Parameters
    ----------
    dimension : int
        Inputs ``d``, 1..1024.
    width : int
        Neurons ``m``, 1..10^7.
    step : float
        Step size ``eta`` of both layers, in (0, 1e100].
    noise : float
        ``sigma``, in [0, 1e100]; labels carry ``+-sigma``.
    target_norm : float
        ``||theta*||``, in [0, 1e100].
    samples : int or inf
        Size n of the training set, 1..10^7, visited with replacement; ``inf`` (default): a fresh input every step.
    first_scale, second_scale : float
        ``s_1, s_2``, in [0, 1e100], of the initial layers: ``||w_i||`` is about ``s_1`` and ``||a||`` about ``s_2``.
    loss_factor : float
        ``c``, in (0, 1e100], in the loss ``c (f - y)^2``.

    Raises
    ------
    ValueError
        For a parameter outside its range.
    """

    dimension: int
    width: int
    step: float
    noise: float
    target_norm: float
    samples: float = math.inf
    first_scale: float = 1.0
    second_scale: float = 1.0
    loss_factor: float = 0.5

    def __post_init__(self):
        for name, top in (("dimension", MAX_DIMENSION), ("width", MAX_WIDTH), ("samples", MAX_SAMPLES)):
            value = getattr(self, name)
            if name == "samples" and number(value, name) == math.inf:
                object.__setattr__(self, name, math.inf)
                continue
            if not (1 <= number(value, name) <= top and value == int(value)):
                extra = " or inf" if name == "samples" else ""
                raise ValueError(f"{name} is {value}; it must be an integer in 1..{top}{extra}")
            object.__setattr__(self, name, int(value))
        for name in ("step", "loss_factor"):
            if not 0 < number(getattr(self, name), name) <= LARGEST:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in (0, {LARGEST:g}]")
        for name in ("noise", "target_norm", "first_scale", "second_scale"):
            if not 0 <= number(getattr(self, name), name) <= LARGEST:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in [0, {LARGEST:g}]")
        for name in ("step", "loss_factor", "noise", "target_norm", "first_scale", "second_scale"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not self.effective_step > 0:
            raise ValueError(f"2 loss_factor step is {self.effective_step}; it must be > 0")

    @property
    def effective_step(self) -> float:
        """``h = 2 c eta``."""
        return 2.0 * self.loss_factor * self.step

    @property
    def drift(self) -> float:
        """``v = (h sigma)^2``, the rate per step of the slow clock."""
        jump = self.effective_step * self.noise
        return jump * jump

    @property
    def target(self) -> np.ndarray:
        """``theta* = ||theta*|| e_1``, shape (d,)."""
        theta = np.zeros(self.dimension)
        theta[0] = self.target_norm
        return theta

    @property
    def kernel_scale(self) -> float:
        """``kappa``: the expected kernel at the start is ``kappa I``, ``kappa = s_1^2 m/d + s_2^2``."""
        return self.first_scale**2 * self.width / self.dimension + self.second_scale**2

    @property
    def lazy_radius(self) -> float:
        """``1/sqrt(m)``: a neuron is lazy while ``||w_i - w_i(0)||`` is at most this (Definition 1)."""
        return self.width**-0.5


def kernel(state):
    """Function-space kernel ``M = G + alpha I`` (d, d) of a state K: the tangent kernel is ``x'M x~``."""
    return state[:-1, :-1] + state[-1, -1] * np.eye(len(state) - 1)


def trace_hessian(state, covariance=None, loss_factor=0.5):
    """``tr H = 2 c (alpha tr Sigma + tr G Sigma)`` where the loss vanishes; ``Sigma`` (d, d) defaults to I."""
    m = kernel(state)
    return 2.0 * loss_factor * float(np.trace(m) if covariance is None else np.sum(m * covariance))


def flattest_kernel(target, covariance=None):
    """Kernel M (d, d) of the interpolator of smallest ``tr H``, ``W = a theta*'/alpha`` (derived).

    ``alpha^2 = theta*'Sigma theta*/tr Sigma`` and ``M = theta* theta*'/alpha + alpha I``; ``tr H = 4 c sqrt(tr Sigma)
    sqrt(theta*'Sigma theta*)``.  Zero where ``theta*'Sigma theta* = 0``.
    """
    target = np.asarray(target, dtype=np.float64)
    covariance = np.eye(target.size) if covariance is None else np.asarray(covariance, dtype=np.float64)
    square, total = float(target @ covariance @ target), float(np.trace(covariance))
    alpha = math.sqrt(square / total) if square > 0 and total > 0 else 0.0
    if alpha == 0.0:
        return np.zeros_like(covariance)
    return np.outer(target, target) / alpha + alpha * np.eye(target.size)


def critical_step(kernel, inputs=None):
    """Effective step ``h = 2 c eta`` below which the error's second moment is stable, for a kernel held fixed.

    Parameters
    ----------
    kernel : array_like, shape (d, d)
        M, symmetric and positive semi-definite.
    inputs : array_like, shape (n, d), optional
        Training set visited uniformly; default fresh standard Gaussian inputs.

    Returns
    -------
    float
        Exact to rounding (for ``n d^2`` above 2 10^7 to 1e-9); ``inf`` where the kernel or the inputs vanish.

    Raises
    ------
    ValueError
        For shapes that do not fit, entries that are not finite, or a kernel with a negative eigenvalue.
    """
    kernel = numbers(kernel, "entries of the kernel")
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.size == 0:
        raise ValueError(f"kernel has shape {kernel.shape}; it must be (d, d)")
    if not np.isfinite(kernel).all():
        raise ValueError("kernel has an entry that is not finite; all must be")
    values, vectors = np.linalg.eigh(0.5 * (kernel + kernel.T))
    if values[0] < -1e-9 * abs(values[-1]):
        raise ValueError(f"kernel has the eigenvalue {values[0]:g}; all must be >= 0")
    values = np.clip(values, 0.0, None)
    if inputs is None:
        root = np.sqrt(values)
        largest = np.linalg.eigvalsh(np.diag(values) + 0.5 * np.outer(root, root))[-1]
    else:
        largest = _largest_of_data(_inputs(inputs, len(values)) @ (vectors * np.sqrt(values)))
    return math.inf if largest <= 0 else 1.0 / float(largest)


def _largest_of_data(z):
    """Largest eigenvalue of ``A^{-1/2} B A^{-1/2}`` for features z (n, d) visited uniformly."""
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    if values[-1] <= 0:
        return 0.0
    seen = values > 1e-12 * values[-1]
    values, z = values[seen], z @ vectors[:, seen]
    if len(z) * values.size**2 > MAX_ENTRIES:
        return _largest_by_iteration(z, values)
    j, k = np.triu_indices(values.size)
    rows = z[:, j] * z[:, k] * (np.where(j == k, 1.0, math.sqrt(2.0)) / np.sqrt(values[j] + values[k]))
    square = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return linalg.eigvalsh(square, subset_by_index=[len(square) - 1, len(square) - 1])[0] / len(z)


def _largest_by_iteration(z, values):
    """The same without the matrix of all products, for features whose covariance is ``diag(values)``."""
    size, weights = values.size, 1.0 / np.sqrt(values[:, None] + values)

    def apply(flat):
        seen = np.einsum("ij,ij->i", z @ (weights * flat.reshape(size, size)), z) / len(z)
        return (weights * ((z * seen[:, None]).T @ z)).ravel()

    operator = sparse_linalg.LinearOperator((size**2, size**2), matvec=apply, dtype=np.float64)
    return sparse_linalg.eigsh(operator, k=1, which="LA", v0=np.diag(np.sqrt(values)).ravel(), tol=1e-9,
                               return_eigenvectors=False)[0]


def _inputs(inputs, dimension):
    inputs = numbers(inputs, "inputs")
    if inputs.ndim != 2 or inputs.shape[0] < 1 or inputs.shape[1] != dimension:
        raise ValueError(f"inputs have shape {inputs.shape}; it must be (n, {dimension}) with n >= 1")
    if not np.isfinite(inputs).all():
        raise ValueError("inputs have an entry that is not finite; all must be")
    return inputs
