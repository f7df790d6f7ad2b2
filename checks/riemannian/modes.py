"""Claims about one mode of a quadratic under Algorithm 1: trajectory, flat roots, oscillation, symmetry, noise floor.

The other side of each claim knows nothing of the closed forms: Algorithm 1 itself, run with its buffer; the eigenvalues
of the matrix that takes ``(w_k, m_{k-1}/lambda)`` to ``(w_{k+1}, m_k/lambda)``; roots to 60 digits; Lyapunov's equation
for the covariance of that state.
"""

from functools import cache

import mpmath
import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from ...theory.riemannian import modes
from .. import judges
from ..claim import claim
from .paper import LITE
from .stability import bisected, state_matrix

MOMENTA = np.array([0.0, 0.3, 0.9, 0.95, 0.99, 0.999])
DAMPINGS = np.array([-0.8, -0.25, 0.0, 0.5, 1.0, 1.0 / 0.95, 20.0])
SHARES = np.array([1e-8, 1e-4, 1e-2, 0.1, 0.3, 0.6, 0.9, 0.999, 1.02])
"""Steps as shares of the stability limit; the last one diverges."""
ROUNDING = 1e-10
"""Of the recursion: 200 iterations of 2e-16 each, which the smallest alpha of 1e-3 amplifies up to a thousandfold."""


def _grid(effort):
    """Steps, momenta and dampings, shape (n,): shares of the stability limit, and the two steps with a double root.

    At full effort, where 2000 iterations of what diverges fast would overflow, nothing far beyond the limit.
    """
    theta, beta = MOMENTA[:, None, None], DAMPINGS[None, :, None]
    limit = modes.largest_step(theta, beta)
    double = np.concatenate(np.broadcast_arrays(*modes.oscillation_window(theta, beta)), axis=-1)
    s, theta, beta = np.broadcast_arrays(np.concatenate([limit * SHARES, double], axis=-1), theta, beta)
    kept = s < limit * effort.choose(np.inf, 1.03)
    return s[kept], theta[kept], beta[kept]


def _labels(s, theta, beta):
    return {"s": s, "theta": theta, "beta": beta}


@claim("mode_trajectory", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="w_k solves z^2 - [1+theta-s(1+beta)] z + theta(1-s beta) = 0 with w_1 = w_0 (1 - s(1+beta))")
def mode_trajectory(effort):
    """Closed form against the recursion, stable and not, oscillating and not, and at both double roots."""
    s, theta, beta = _grid(effort)
    return _against_recursion(effort, lambda k: modes.trajectory(k, s, theta, beta))


@mode_trajectory.control("the root of wrong sign: theta (1 + s beta) for the product")
def _(effort):
    s, theta, beta = _grid(effort)
    first = 1 - s * (1 + beta)
    return _against_recursion(effort, lambda k: _two_term(k, s, theta, theta * (1 + s * beta), beta, first))


@mode_trajectory.control("w_1 = w_0 (1 - s): the damping missing from the first step")
def _(effort):
    s, theta, beta = _grid(effort)
    return _against_recursion(effort, lambda k: _two_term(k, s, theta, theta * (1 - s * beta), beta, 1 - s))


@mode_trajectory.control("an averaged buffer, (1-theta) g: s shrinks by alpha and beta grows by it")
def _(effort):
    s, theta, beta = _grid(effort)
    return _against_recursion(effort, lambda k: modes.trajectory(k, s * (1 - theta), theta, beta / (1 - theta)))


@claim("flat_roots", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="a flat mode decays by -log(1+y), y = -2q/(p + sqrt(p^2-4q)), to full precision for any small s")
def flat_roots(effort):
    """Rates against roots to 60 digits, s from 1e-15."""
    s, theta, beta, exact = _exact_rates()
    return judges.equal(modes.decay_rate(s, theta, beta), exact, rtol=1e-13, at=_labels(s, theta, beta))


@flat_roots.control("the roots z of the unshifted polynomial, in double precision")
def _(effort):
    s, theta, beta, exact = _exact_rates()
    root = np.emath.sqrt((1 + theta - s * (1 + beta)) ** 2 - 4 * theta * (1 - s * beta))
    largest = np.maximum(*(np.abs(1 + theta - s * (1 + beta) + sign * root) / 2 for sign in (-1, 1)))
    return judges.equal(-np.log(largest), exact, rtol=1e-13, at=_labels(s, theta, beta))


@claim("oscillation_window", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="a mode oscillates iff s is between [(sqrt(1+alpha beta) -+ sqrt theta)/(1+beta)]^2")
def oscillation_window(effort):
    """Both ends by bisection on the eigenvalues' imaginary parts, from the window's geometric middle outwards."""
    return _window(modes.oscillation_window)


@oscillation_window.control("the window without damping, (1 -+ sqrt theta)^2, at every beta")
def _(effort):
    return _window(lambda theta, beta: modes.oscillation_window(theta, 0.0 * beta))


@oscillation_window.control("alpha^2/4, as in continuous time, for the lower end")
def _(effort):
    return _window(lambda theta, beta: ((1 - theta) ** 2 / 4 + 0 * beta, modes.oscillation_window(theta, beta)[1]))


@claim("dual_momentum", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="Hessian damping is a second momentum theta' = 1 - s beta: exchanging the two keeps the roots")
def dual_momentum(effort):
    """Spectra of the iteration with (theta, beta) and with (1 - s beta, (1-theta)/s), to the root of rounding."""
    return _exchanged(lambda s, theta, beta: (1 - s * beta, (1 - theta) / s))


@dual_momentum.control("theta' = 1 - beta, as if the damping had no unit")
def _(effort):
    return _exchanged(lambda s, theta, beta: (1 - np.minimum(beta, 1.0), 1 - theta))


@claim("noise_floor_formula", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="Var = (sigma/lambda)^2 s [T(1+al be) + s th be (1+T be)]/[(al + s th be)(2T - s(1+T be))], T = 1+th")
def noise_floor_formula(effort):
    """Against Lyapunov's equation for the state (w, m); th, al, be are theta, alpha, beta."""
    return _floors(modes.noise_floor)


@noise_floor_formula.control("the limit of small steps, s (1 + alpha beta)/(2 alpha)")
def _(effort):
    return _floors(modes.small_step_floor)


@noise_floor_formula.control("the noise of the gradient before last left out")
def _(effort):
    def shortened(s, theta, beta):
        first, second = 1 + theta - s * (1 + beta), -theta * (1 - s * beta)
        return (1 - second) * (s * (1 + beta)) ** 2 / ((1 + second) * (1 - second - first) * (1 - second + first))
    return _floors(shortened)


@claim("small_step_floor", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="(sigma/lambda)^2 s (1+alpha beta)/(2 alpha) is too large by 1 + c s + O(s^2), c ~ theta beta/alpha")
def small_step_floor(effort):
    """The remainder is of order 2.  Nesterov's at theta = 0.95 and s = 0.1, where c s is not small: 2.41 times."""
    return _small_step(modes.small_step_floor, modes.small_step_error)


@small_step_floor.control("without the factor 1 + alpha beta")
def _(effort):
    return _small_step(lambda s, theta, beta: modes.small_step_floor(s, theta), modes.small_step_error)


@small_step_floor.control("c = theta beta/alpha exactly")
def _(effort):
    return _small_step(modes.small_step_floor, lambda theta, beta: theta * beta / (1 - theta))


@claim("quieter_damping", topic="riemannian", paper=LITE, where="Algorithm 1, quadratics", stance="derived",
       statement="at beta = 0: d Var/d beta < 0 iff theta > 3/5 and s_low < s < s_high, s_low ~ alpha^2/theta")
def quieter_damping(effort):
    """Change of the floor with damping, by differences of Lyapunov's equation, over s: where its sign changes.

    The window's upper end lies below the stability limit; at theta = 0.59 the floor rises at every step.
    """
    theta = 0.59
    s = np.linspace(0.01, 0.99, 99) * modes.largest_step(theta, 0.0)
    return judges.every(window=_quieter(modes.quieter_window), above=_quieter_above(modes.quieter_window),
                        never=judges.inequality(0.0, [_change(each, theta) for each in s], at={"s": s}))


@quieter_damping.control("where the mode begins to oscillate, (1 - sqrt theta)^2")
def _(effort):
    return _quieter(modes.oscillation_window)


@quieter_damping.control("alpha^2/theta exactly")
def _(effort):
    return _quieter(lambda theta: ((1 - theta) ** 2 / theta, 0.0))


@quieter_damping.control("at every stable step from there on")
def _(effort):
    return _quieter_above(lambda theta: (0.0, 0.999 * modes.largest_step(theta, 0.0)))


def _against_recursion(effort, solution):
    s, theta, beta = _grid(effort)
    steps = effort.choose(200, 2000)
    run = modes.recursion(steps, s, theta, beta)
    peak = np.maximum.accumulate(np.abs(run), axis=0)
    with np.errstate(over="ignore", invalid="ignore"):   # wrong theories may overflow
        deviation = np.clip((solution(np.arange(steps + 1)) - run) / peak, -1e100, 1e100)
    return judges.equal(deviation, 0.0, atol=ROUNDING * effort.choose(1, 10), at=_labels(s, theta, beta),
                        over="deviation over the largest |w| so far")


def _two_term(k, s, theta, product, beta, first):
    """Solution of ``w_{k+1} = (1+theta-s(1+beta)) w_k - product w_{k-1}`` from 1 and `first`, by running it."""
    path = np.ones((k.size, *s.shape))
    path[1] = first
    for step in range(1, k.size - 1):
        path[step + 1] = (1 + theta - s * (1 + beta)) * path[step] - product * path[step - 1]
    return path


@cache
def _exact_rates():
    """Small steps with their momenta and dampings, shape (n,), and the rates from 60 digits."""
    found = []
    with mpmath.workdps(60):
        for theta in (0.0, 0.5, 0.9, 0.95, 0.999):
            for beta in (-0.5, 0.0, 1.0, 20.0):
                for s in (1e-15, 1e-12, 1e-9, 1e-7):
                    t, b, x = mpmath.mpf(theta), mpmath.mpf(beta), mpmath.mpf(s)
                    trace, product = 1 + t - x * (1 + b), t * (1 - x * b)
                    largest = (trace + mpmath.sqrt(trace**2 - 4 * product)) / 2
                    found.append((s, theta, beta, float(-mpmath.log(largest))))
    return tuple(np.array(found).T)


def _window(predicted):
    theta, beta = np.meshgrid([0.5, 0.9, 0.95, 0.99], [-0.5, 0.0, 0.5, 1.0, 1.05, 20.0], indexing="ij")
    middle = np.sqrt(np.prod(modes.oscillation_window(theta, beta), axis=0))

    def turning(s):
        return np.abs(np.linalg.eigvals(state_matrix(s, theta, beta)).imag).max(axis=-1) > 0

    low = bisected(lambda s: ~turning(s), 1e-12 * middle, middle)
    high = bisected(turning, middle, 1e3 * middle)
    expected = np.stack(np.broadcast_arrays(*predicted(theta, beta)))
    # Rounding of 1e-16 in eigenvalues near 1 moves the discriminant, of the order of alpha^2 at the ends, as much.
    return judges.equal(np.stack([low, high]), expected, rtol=1e-10,
                        at={"end": np.array(["lower", "upper"])[:, None, None], "theta": theta, "beta": beta})


def _exchanged(partner):
    theta, beta, share = np.meshgrid([0.3, 0.6, 0.9, 0.95], [0.02, 0.3, 1.0, 2.0], [0.01, 0.1, 0.4], indexing="ij")
    s = share / beta
    other, damping = partner(s, theta, beta)
    mine = np.sort_complex(np.linalg.eigvals(state_matrix(s, theta, beta)))
    its = np.sort_complex(np.linalg.eigvals(state_matrix(s, other, damping)))
    return judges.equal(np.abs(its - mine), 0.0, atol=1e-7, at={key: value[..., None] for key, value in
                                                               _labels(s, theta, beta).items()})


def _lyapunov(s, theta, beta):
    """Variance of w from the covariance of (w, m/lambda), sigma = lambda = 1."""
    entry = np.array([-s * (1 + beta), 1.0])
    return solve_discrete_lyapunov(state_matrix(s, theta, beta), np.outer(entry, entry))[0, 0]


@cache
def _lyapunov_grid():
    cases = [(share * float(modes.largest_step(theta, beta)), theta, beta) for theta in (0.0, 0.5, 0.9, 0.95, 0.99)
             for beta in (-0.5, -0.01, 0.0, 0.5, 1.0, 1.0 / 0.95, 20.0) for share in (1e-3, 0.05, 0.3, 0.7, 0.95)]
    return np.array(cases).T, np.array([_lyapunov(*case) for case in cases])


def _floors(formula):
    (s, theta, beta), solved = _lyapunov_grid()
    # Lyapunov's equation loses the digits of 1 - radius, here down to 1e-5.
    return judges.equal(solved, formula(s, theta, beta), rtol=1e-9, at=_labels(s, theta, beta))


def _small_step(formula, coefficient):
    parts = {}
    for theta, beta in ((0.9, 1.0 / 0.9), (0.95, 1.0 / 0.95), (0.95, 5.0), (0.8, -0.3)):
        s = np.geomspace(1e-5, 1e-3, 7) * (1 - theta)
        remainder = formula(s, theta, beta) / modes.noise_floor(s, theta, beta) - 1 - s * coefficient(theta, beta)
        parts[f"theta={theta:g}, beta={beta:.3g}"] = judges.order(s, np.abs(remainder), 2.0, 0.02)
    found = float(formula(0.1, 0.95, 1 / 0.95)) / _lyapunov(0.1, 0.95, 1 / 0.95)
    parts["s=0.1"] = judges.equal(found, 2.4072, atol=5e-5, over="formula over Lyapunov's equation, Nesterov")
    return judges.every(**parts)


def _change(s, theta):
    """``d Var/d beta`` at beta = 0, over s, by differences."""
    return (_lyapunov(s, theta, 1e-4) - _lyapunov(s, theta, -1e-4)) / (2e-4 * s)


def _quieter(window):
    parts = {}
    for theta in (0.8, 0.9, 0.95):
        s = np.geomspace(0.2, 5.0, 400) * (1 - theta) ** 2 / theta
        parts[f"theta={theta:g}"] = judges.sign_change(s, [_change(each, theta) for each in s], float(window(theta)[0]))
    return judges.every(**parts)


def _quieter_above(window):
    parts = {}
    for theta in (0.65, 0.8, 0.9):
        s = np.linspace(0.5, 0.999, 400) * modes.largest_step(theta, 0.0)
        change = [_change(each, theta) for each in s]
        parts[f"theta={theta:g}"] = judges.sign_change(s, change, float(window(theta)[1]))
    return judges.every(**parts)
