"""Claims: Muon-LITE on a matrix river valley, against Muon with its learning rate tuned again.

``f(W) = sum B_j W_ij^2/2`` with two sharp columns, B = 50 and 30, and flat ones, B = 0.001; starts 0.5 N(0, 1) in the
sharp columns and w_0 N(0, 1) in the flat ones; momentum 0.95, a cosine to a tenth, target rank 2, gradient noise sigma
in every entry.  Quick: 16 x 12, 300 steps, w_0 = 15; full: 24 x 16, 600 steps, w_0 = 30.

A *gain* is 1 - (final loss of LITE)/(final loss of Muon), both at their best learning rates of a grid by factors
sqrt 2.  Rates are chosen on one half of the replicas and judged on the other, then the other way around; both methods
see the same starts and the same noise, and the standard error is that of pairs.  Choosing and judging on the same
replicas would flatter whoever varies more.
"""

from functools import cache

import numpy as np

from ...sims import streams
from ...sims.riemannian import MatrixDescent
from ...theory.riemannian import lite_schedules
from ...theory.riemannian.landscapes import MatrixQuadratic
from ...theory.riemannian.muon_lite import MuonLite
from .. import judges
from ..claim import claim
from .paper import LITE

VARIANTS = {"Muon": {}, "chi=2": {"gain": 2.0}, "chi=4": {"gain": 4.0}, "beta_2=1": {"flat_damping": 1.0},
            "both": {"gain": 2.0, "flat_damping": 1.0}}
SIZES = {"quick": (16, 12, 300, 15.0, 64), "full": (24, 16, 600, 30.0, 256)}
"""Rows, columns, steps, w_0 and replicas."""
LOW, HIGH = 0.1, 0.4
"""Noise levels."""
CENTRE = 1.28
"""Learning rate of the grid's third place, for Muon."""


@claim("flat_gain", topic="riemannian", paper=LITE, where="Muon-LITE", stance="reconstructed",
       statement="little noise, rates tuned: beta_2 = 1 lowers the final loss, chi = 2, 4 and both by 2 % or more")
def flat_gain(effort):
    """sigma = 0.1; beta_2 = 1 alone must lower it at all, the others by at least 2 % (set)."""
    found = {name: gain(name, LOW, effort) for name in ("chi=2", "chi=4", "both", "beta_2=1")}
    return _at_least(found, [0.02, 0.02, 0.02, 0.0])


@flat_gain.control("chi = 2 in all directions, rate tuned")
def _(effort):
    return _at_least({"uniform": gain("uniform", LOW, effort)}, [0.02])


@flat_gain.control("sharp and flat exchanged: chi = 2 on the sharp columns")
def _(effort):
    return _at_least({"sharp": gain("sharp", LOW, effort)}, [0.02])


@claim("noisy_gain", topic="riemannian", paper=LITE, where="Muon-LITE", stance="derived",
       statement="much noise, rates tuned: the gain of chi = 2 vanishes, |gain| <= 0.04")
def noisy_gain(effort):
    """sigma = 0.4 (the margin is set); runs learn: Muon ends below 0.85 of the flat columns' loss at the start."""
    return _vanishing(effort, HIGH)


@noisy_gain.control("little noise, sigma = 0.1")
def _(effort):
    return _vanishing(effort, LOW)


@claim("uniform_gain", topic="riemannian", paper=LITE, where="Muon-LITE", stance="derived",
       statement="chi in all directions is Muon at chi times the learning rate, step by step, weight decay included")
def uniform_gain(effort):
    """chi = 2 and 4 with Q = I; powers of two leave every rounding as it is, so that losses are equal to 1e-12."""
    return _identity(effort, np.eye)


@uniform_gain.control("chi on the flat columns only")
def _(effort):
    return _identity(effort, lambda n: np.diag([0.0, 0.0] + [1.0] * (n - 2)))


@claim("rate_of_gain", topic="riemannian", paper=LITE, where="Muon-LITE", stance="derived",
       statement="little noise: the best learning rate of gain chi is 1/chi of Muon's, within a factor 2")
def rate_of_gain(effort):
    """At eta*/chi the loss is below that at eta*/(2 chi) and 2 eta*/chi, eta* Muon's best; pairs, chi = 2 and 4."""
    return _optimum(effort, lambda chi: 1.0 / chi)


@rate_of_gain.control("the best rate of Muon")
def _(effort):
    return _optimum(effort, lambda chi: 1.0)


@claim("gain_schedule", topic="riemannian", paper=LITE, where="muonlite.py", stance="reconstructed",
       statement="chi(t) rises along 1 + (chi-1) p/r to the ratio of cosines and follows it down to 1 at the end")
def gain_schedule(effort):
    """T = 10 000, W = 1000, smallest ratio 0.1, chi = 1.5, 2, 4; the turn is the root of the two laws' difference."""
    return _turns(effort, 0.5)


@gain_schedule.control("a ramp of the whole run after warm-up in place of half of it")
def _(effort):
    return _turns(effort, 1.0)


@claim("units_of_damping", topic="riemannian", paper=LITE, where="muonlite.py", stance="derived",
       statement="|M|/|G| = 1/theta at rest, (1-theta) sqrt((1+1/theta)^2 + theta^2/(1-theta^2)) in pure noise")
def units_of_damping(effort):
    """beta multiplies msign(G) beside msign(M): in units of M it is beta |M|/|G|, 5.7 times less in pure noise.

    At theta = 0.95 the ratio is 0.1835 there; root mean squares over entries, after 400 steps from an empty buffer.
    """
    return _units(effort, lambda theta: (1.0 + 1.0 / theta) ** 2 + theta**2 / (1.0 - theta**2))


@units_of_damping.control("the average alone, without Nesterov's term")
def _(effort):
    return _units(effort, lambda theta: 1.0 / (1.0 - theta**2))


def losses(variant, noise, effort, factors=(-1, 0, 1, 2), batch_size=1):
    """Final losses, (R, L), at the rates CENTRE 2^(f/2 - 1/2)/chi."""
    return _losses(variant, noise, effort.level, tuple(factors), batch_size)


@cache
def _losses(variant, noise, level, factors, batch_size):
    m, n, steps, start, replicas = SIZES[level]
    flat = np.arange(n) >= 2
    given = {"uniform": {"gain": 2.0, "projector": np.eye(n)},
             "sharp": {"gain": 2.0, "projector": np.diag(~flat).astype(float)}}
    optimizer = MuonLite(**(given[variant] if variant in given else {"rank": 2, **VARIANTS[variant]}))
    made = MatrixDescent(MatrixQuadratic(np.where(flat, 1e-3, np.where(np.arange(n) == 0, 50.0, 30.0))), optimizer,
                         rates(variant, factors), steps, scale=np.tile(np.where(flat, start, 0.5), (m, 1)), noise=noise,
                         schedule=lite_schedules.cosine_rates(steps), batch_size=batch_size)
    return made.sample(0, 0, replicas)[:, :, 0, 0]


def rates(variant, factors):
    """The grid of learning rates of a variant."""
    chi = {"sharp": 1.0, "uniform": 2.0}.get(variant) or VARIANTS[variant].get("gain", 1.0)
    return CENTRE * 2.0 ** (np.array(factors) / 2.0 - 0.5) / chi


def compared(lite, muon):
    """Gain and its standard error, from final losses (R, L) of pairs of runs: tuned on one half, judged on the other.

    The two halves of the estimate share no replica in the same role; its error is taken as that of independent halves.
    """
    half, parts = len(muon) // 2, []
    for chosen, judged in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        own, other = (each[judged, np.argmin(each[chosen].mean(axis=0))] for each in (lite, muon))
        ratio = own.mean() / other.mean()
        parts.append((1.0 - ratio, np.std(own - ratio * other, ddof=1) / np.sqrt(own.size) / other.mean()))
    (first, one), (second, two) = parts
    return 0.5 * (first + second), 0.5 * np.hypot(one, two)


def gain(variant, noise, effort):
    """The gain of a variant over Muon at a noise level, and its standard error."""
    return compared(losses(variant, noise, effort), losses("Muon", noise, effort))


def _at_least(found, least):
    values, errors = np.transpose(list(found.values()))
    text = ", ".join(f"{name} {value:.3f} +- {error:.3f}" for name, (value, error) in found.items())
    return judges.inequality(-values, -np.array(least), stderr=errors, at={"of": list(found)}, over=f"gains {text}")


def _vanishing(effort, noise):
    value, error = gain("chi=2", noise, effort)
    m, n, _, start, _ = SIZES[effort.level]
    end, flat = losses("Muon", noise, effort), 0.5e-3 * start**2 * m * (n - 2)
    return judges.every(
        gain=judges.inequality(abs(value), 0.04, stderr=error, over=f"gain {value:.4f} +- {error:.4f}"),
        learns=judges.inequality(end.mean(axis=0).min(), 0.85 * flat))


def _identity(effort, projector):
    m, n = 12, 8
    landscape, parts = MatrixQuadratic(np.array([50.0, 30.0] + [1e-3] * (n - 2))), {}
    for chi in (2.0, 4.0):
        runs = [MatrixDescent(landscape, MuonLite(decay=0.01, **own), np.array([0.1, 0.4]) * factor,
                              effort.choose(100, 600), scale=np.full((m, n), 3.0), noise=0.1, times=[20, 100])
                for own, factor in (({"gain": chi, "projector": projector(n)}, 1.0), ({}, chi))]
        lite, muon = (each.sample(1, 0, 4)[..., 0] for each in runs)
        parts[f"chi={chi:g}"] = judges.equal(lite, muon, rtol=1e-12)
    return judges.every(**parts)


def _optimum(effort, law):
    """Paired differences at three rates; Muon's best is taken from the grid on the first half of the replicas."""
    muon, parts = losses("Muon", LOW, effort), {}
    half = len(muon) // 2
    best = rates("Muon", (-1, 0, 1, 2))[np.argmin(muon[:half].mean(axis=0))]
    for name, chi in (("chi=2", 2.0), ("chi=4", 4.0)):
        centre = 2.0 * np.log2(best * law(chi) / rates(name, (1,))[0]) + 1.0
        at = losses(name, LOW, effort, (centre - 2.0, centre, centre + 2.0))[half:]
        pairs = np.stack([at[:, 1] - at[:, 0], at[:, 1] - at[:, 2]])
        parts[name] = judges.inequality(pairs.mean(axis=1), 0.0, stderr=pairs.std(axis=1, ddof=1) / np.sqrt(len(at)),
                                        at={"against": ["half", "double"]})
    return judges.every(**parts)


def _units(effort, law):
    """Mean squares of the entries of M over those of G, which are independent."""
    parts, size = {}, effort.choose(20_000, 2_000_000)
    for place, theta in enumerate((0.9, 0.95, 0.98)):
        optimizer, buffer, still = MuonLite(theta), np.zeros(size), np.zeros(1)
        key = streams.key(place, "riemannian.units")
        for k in range(400):
            g = streams.normals(key, 0, k, size).astype(float)
            buffer, still = theta * buffer + (1.0 - theta) * g, theta * still + (1.0 - theta)
        squares = optimizer.numerator(buffer, g) ** 2
        sample = judges.Sample(squares.mean(), squares.std(ddof=1) / np.sqrt(size), size, np.sqrt(8.0))
        parts[f"noise, theta={theta}"] = judges.monte_carlo(sample, (1.0 - theta) ** 2 * law(theta), resolution=0.1)
        parts[f"still, theta={theta}"] = judges.equal(optimizer.numerator(still, np.ones(1)), 1.0 / theta,
                                                      rtol=1e-12 + 1.1 * theta**400)
    return judges.every(**parts)


def _turns(effort, ramp):
    from scipy.optimize import brentq

    steps, warmup, least, parts = 10_000, 1000, 0.1, {}
    for chi in (1.5, 2.0, 4.0):
        found = lite_schedules.flat_gain(steps, chi, warmup, ramp=ramp)

        def difference(p, chi=chi):
            wave = 0.5 * (1.0 + np.cos(np.pi * p))
            return (least + (chi - least) * wave) / (least + (1.0 - least) * wave) - 1.0 - 2.0 * (chi - 1.0) * p

        turn = brentq(difference, 0.0, 1.0)
        parts[f"chi={chi:g}"] = judges.every(
            turn=judges.equal((np.argmax(found) - warmup) / (steps - warmup), turn, atol=1.0 / (steps - warmup)),
            top=judges.equal(found.max(), 1.0 + 2.0 * (chi - 1.0) * turn, rtol=4.0 / (steps - warmup)),
            end=judges.equal(found[-1], 1.0, atol=chi * 50.0 / (steps - warmup) ** 2),
            warmup=judges.equal(found[:warmup + 1], 1.0))
    return judges.every(**parts)
