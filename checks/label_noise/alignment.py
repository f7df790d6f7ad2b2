r"""Claims about noiseless gradient descent from a small start: when neurons align, which of them, and what follows.

Phase II of the paper starts with all ``||w_i||, |a_i| <= sqrt(eta)``.  Experiment: population gradient descent, d = 20,
``m = eta^{-1/2}``, ``||theta*|| = m^{-1/4}`` (the most that the paper allows), Gaussian neurons scaled so that the
largest ``||w_i||`` or ``|a_i|`` is ``sqrt(eta)``; medians over STARTS starts.  The paper's condition ``eta <= C^{-96}``
is out of reach of any computer, so "O" is taken as it can be: over a sweep of eta the ratio to the bound keeps below 1
and does not grow.

Why (derived).  In the flow's time ``h k``, ``w_i,par +- a_i`` grows and shrinks by ``sqrt(z)``, and ``w_i,perp`` stands
still, up to a relative ``sqrt(eta/||theta*||)``, which is what the fluctuating sum ``sum_i a_i w_i,perp`` amounts to
against theta*.  So it takes ``ln(1/eta)/||theta*||`` *in the flow's time*, ``1/eta`` times as many steps; and a neuron
with ``w_par + a`` near 0, of which a wide network has some, never gets there.  (The exact ones: a neuron with ``w_par =
-a`` shrinks, one with ``w_par = a = 0`` stays.)
"""

import math
from functools import cache

import numpy as np
from scipy import stats

from ...sims import streams
from ...theory import label_noise
from ...theory.label_noise import diagnostics, gradient_flow
from .. import judges
from ..claim import claim
from .paper import LABEL_NOISE

DIMENSION, STARTS = 20, 12
GROWTH = 1.3
"""The ratio to ``sqrt(eta) ln(1/eta)`` may grow from the largest eta by this factor: noise of medians over STARTS."""


def _steps(effort):
    return effort.choose((1e-2, 10**-2.5, 1e-3, 10**-3.5), (1e-2, 10**-2.5, 1e-3, 10**-3.5, 1e-4, 10**-4.5))


def _start(eta, replica):
    """Layers of a network at the start of phase II, and ``||theta*||``."""
    width = round(eta**-0.5)
    draws = streams.normals(streams.key(21, "label_noise.alignment"), replica, np.arange(width), DIMENSION + 1)
    first, second = draws[:, :-1] / math.sqrt(DIMENSION), draws[:, -1] / math.sqrt(width)
    first, second = first.astype(np.float64), second.astype(np.float64)
    size = math.sqrt(eta) / max(np.linalg.norm(first, axis=1).max(), np.abs(second).max())
    return size * first, size * second, width**-0.25


@cache
def _unaligned(eta, share, still=False):
    """``1 - cos`` after ``share ln(1/eta)/(eta ||theta*||)`` steps: median and largest over neurons, medians over
    starts.

    The last two are predicted, with ``w_perp`` standing still.  ``still``: neurons perpendicular to theta*, a = 0.
    """
    seen = []
    for replica in range(STARTS):
        first, second, norm = _start(eta, replica)
        if still:
            first[:, 0], second[:] = 0.0, 0.0
        target = np.zeros(DIMENSION)
        target[0] = norm
        count = round(share * math.log(1.0 / eta) / (eta * norm))
        _, maps = label_noise.descent_path(label_noise.gram(first, second), np.eye(DIMENSION), target, eta, [count])
        moved, _ = label_noise.neurons(maps[-1], first, second)
        along = gradient_flow.one_dimension([eta * count], first[:, 0], second, norm)[0][0]
        guess = np.column_stack([along, first[:, 1:]])
        gaps = [1.0 - diagnostics.cosines(each, target) for each in (moved, guess)]
        seen.append([np.median(gaps[0]), gaps[0].max(), np.median(gaps[1]), gaps[1].max()])
    return np.median(seen, axis=0)


def _aligned(effort, share, which, predicted=True, largest=1.0, still=False):
    """Judge ``1 - cos <= largest sqrt(eta) ln(1/eta)``, and no growth of the ratio, over the sweep, for the median (0)
    or the last (1) neuron."""
    steps = np.array(_steps(effort))
    gaps = np.array([_unaligned(eta, eta if share is None else share, still) for eta in steps])
    ratio = gaps[:, which] / (np.sqrt(steps) * np.log(1.0 / steps))
    bound = judges.inequality(ratio, np.minimum(largest, GROWTH * ratio[0]), at={"eta": steps},
                              over="1 - cos over sqrt(eta) ln(1/eta): " + ", ".join(f"{each:.3g}" for each in ratio))
    if not predicted:
        return bound
    tolerance = np.sqrt(steps / np.round(steps**-0.5) ** -0.25)
    off = gaps[:, which] / gaps[:, 2 + which] - 1.0
    return judges.every(bound=bound, prediction=judges.inequality(np.abs(off), tolerance, at={"eta": steps}))


@claim("alignment", topic="label_noise", paper=LABEL_NOISE, where="Lemma 5", stance="amended",
       statement="noiseless GD from Gaussian neurons of size sqrt(eta): after ln(1/eta)/(eta ||theta*||) steps the "
                 "median neuron has cos >= 1 - O(sqrt(eta) ln(1/eta))")
def alignment(effort):
    """And 1 - cos is the one predicted from the one-dimensional closed form, to a relative sqrt(eta/||theta*||)."""
    return _aligned(effort, 1.0, 0)


@alignment.printed("T_2 = ln(1/eta)/||theta*|| steps, without 1/eta (judged for the median neuron)")
def _(effort):
    return _aligned(effort, None, 0, predicted=False)


@alignment.printed("every neuron (judged at the corrected time, by growth of the ratio alone)")
def _(effort):
    return _aligned(effort, 1.0, 1, predicted=False, largest=math.inf)


@alignment.printed("whatever the start (judged at the corrected time for w_i perpendicular to theta* and a = 0)")
def _(effort):
    """These stay where they are, and so does 1 - cos = 1: the ratio to the bound grows without end."""
    return _aligned(effort, 1.0, 0, predicted=False, largest=math.inf, still=True)


@alignment.control("a quarter of the corrected time")
def _(effort):
    return _aligned(effort, 0.25, 0, predicted=False)


@claim("convergence", topic="label_noise", paper=LABEL_NOISE, where="Lemma 6", stance="amended",
       statement="from aligned neurons of size sqrt(eta), one with w_par + a != 0: after ln(1/eta)/(eta ||theta*||^2) "
                 "steps of noiseless GD ||theta - theta*|| <= eta ln(1/eta), and for n >= 1/eta^2 every ||w_i|| >= "
                 "sqrt(eta) has cos >= 1 - O(eta ln(1/eta))")
def convergence(effort):
    """With room to spare: from the closed form, a share of about ||theta*|| of that time is enough (see the note).

    theta: Gaussian neurons along theta*, d = 1, m = eta^{-1/2}, ||theta*|| = m^{-1/4}.  Cosines: d = 20 and the Sigma
    of ``1/eta^2`` Gaussian inputs, the fewest of the paper's Condition 1; for Sigma = I nothing ever leaves the
    direction of theta*.
    """
    return judges.every(theta=_converged(effort, lambda eta, norm: 1.0), cosines=_kept(effort))


@convergence.printed("from any aligned neurons (judged for w_par = -a, which go to the origin)")
def _(effort):
    return _converged(effort, lambda eta, norm: 1.0, dying=True)


@convergence.control("eta times the time: ln(1/eta)/||theta*||^2 steps")
def _(effort):
    return _converged(effort, lambda eta, norm: eta)


@convergence.control("a tenth of ||theta*|| of the time")
def _(effort):
    return _converged(effort, lambda eta, norm: 0.1 * norm)


@convergence.control("cosines with the Sigma of 200 inputs at every eta")
def _(effort):
    return _kept(effort, lambda eta: 200)


@cache
def _parallel(eta, dying=False):
    """``w_i,par``, ``a_i`` and ``||theta*||`` of aligned neurons, the largest of them ``sqrt(eta)``."""
    first, second, norm = _start(eta, 0)
    along, second = first[:, 0] * math.sqrt(DIMENSION), second * math.sqrt(len(second))
    second = -along if dying else second
    size = math.sqrt(eta) / max(np.abs(along).max(), np.abs(second).max())
    return size * along, size * second, norm


def _covariance(samples):
    """Sigma of that many Gaussian inputs (d = DIMENSION), by Bartlett's decomposition."""
    draws = streams.normals(streams.key(22, "label_noise.alignment"), 0, np.arange(DIMENSION), DIMENSION)
    draws = draws.astype(np.float64)
    root = np.tril(draws, -1)
    degrees = samples - np.arange(DIMENSION)
    root[np.diag_indices(DIMENSION)] = np.sqrt(stats.chi2.isf(stats.norm.sf(np.diag(draws)), degrees))
    return root @ root.T / samples


@cache
def _worst(eta, samples):
    """Largest ``1 - cos`` of a neuron with ``||w_i|| >= sqrt(eta)`` at the end of phase III, from aligned ones."""
    along, second, norm = _parallel(eta)
    first, target = np.zeros((len(along), DIMENSION)), np.zeros(DIMENSION)
    first[:, 0], target[0] = along, norm
    count = round(math.log(1.0 / eta) / (eta * norm**2))
    _, maps = label_noise.descent_path(label_noise.gram(first, second), _covariance(samples), target, eta, [count])
    moved, _ = label_noise.neurons(maps[-1], first, second)
    large = diagnostics.norms(moved) >= math.sqrt(eta)
    return float(np.max(1.0 - diagnostics.cosines(moved, target)[large]))


def _kept(effort, samples=lambda eta: round(eta**-2)):
    steps = np.array(_steps(effort))
    ratio = np.array([_worst(eta, samples(eta)) for eta in steps]) / (steps * np.log(1.0 / steps))
    return judges.inequality(ratio, np.minimum(1.0, GROWTH * ratio[0]), at={"eta": steps},
                             over="1 - cos over eta ln(1/eta): " + ", ".join(f"{each:.2g}" for each in ratio))


def _converged(effort, share, dying=False):
    steps, gaps, needed = np.array(_steps(effort)), [], []
    for eta in steps:
        along, second, norm = _parallel(eta, dying)
        whole = math.log(1.0 / eta) / (eta * norm**2)
        states, _ = label_noise.descent_path(label_noise.gram(along[:, None], second), np.eye(1), [norm], eta,
                                             [round(share(eta, norm) * whole)])
        gaps.append(abs(states[-1][0, 1] - norm))
        times = np.linspace(0.0, 1.0, 2001) * eta * whole
        flow = gradient_flow.one_dimension(times, along, second, norm)
        close = np.abs(np.sum(flow[0] * flow[1], axis=1) - norm) <= eta * math.log(1.0 / eta)
        needed.append(np.argmax(close) / 2000 if close.any() else math.inf)
    shares = ", ".join(f"{each:.2f}" for each in needed)
    return judges.inequality(gaps, steps * np.log(1.0 / steps), at={"eta": steps},
                             over=f"share of the time that the flow needs: {shares}")
