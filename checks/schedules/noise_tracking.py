"""Claims about batches that track the gradient noise scale, against the best schedule at equal data."""

from functools import cache

import numpy as np

from ...theory.schedules import noise_tracking as theory
from .. import judges
from ..claim import claim
from . import exact_optima as optima
from .paper import LARGE_BATCH

RATE = 0.2
"""Learning rate of every run."""
TASKS = ((1.0, 2.0), (1.0 / 6.0, 3.0))
"""Source and capacity of an easy and of a hard task."""
FULL, ROOTS = ("simple", "noise"), ("sqrt_simple", "sqrt_noise")
"""Rules that follow a noise scale itself, and its square root."""


def sizes(effort):
    """Data D."""
    return effort.choose((4096, 16384), (4096, 16384, 65536))


def optimum(task, data):
    """The best batches >= 1 at a constant rate."""
    return optima.best_batches(*task, float(data), RATE)


@cache
def rule(task, data, name):
    """A rule with its best constant, on the spectrum of the optimum."""
    return theory.tuned(optimum(task, data).spectrum, float(data), RATE, name)


def detuned(task, data, name, factors):
    """Loss over that of the best constant, for the constants ``factors`` times the best."""
    best, spectrum = rule(task, data, name), optimum(task, data).spectrum
    return np.array([theory.tracked(spectrum, float(data), RATE, name, best.scale * factor).loss / best.loss
                     for factor in factors])


@claim("greedy_noise_tracking", topic="schedules", paper=LARGE_BATCH, where="Appendix D, at equal data",
       stance="derived",
       statement="equal D, constant eta, b >= 1: optimum < every tuned c B^p; p = 1/2 ~ constant batch, p = 1 < it")
def greedy_noise_tracking(effort):
    """Exact recursion at a rate of 0.2, an easy and a hard task, constants tuned in hindsight for each D.

    Every rule, the constant batch included, ends at least 1 per cent above the optimum (strictly above: the optimum is
    good to 1e-10).  Square roots of either noise scale end within 10 per cent (set) of the constant batch.  The noise
    scales themselves end at least 5 per cent (set) below it, ``B_simple`` on the hard task close to the optimum; but
    what their constant must know for that is the subject of ``full_noise_scale_threshold``.  The arrays hold the whole
    table: loss over optimum in the order of ``noise_tracking.RULES``, one row per task and D.
    """
    return _judged(effort, ROOTS, FULL)


@greedy_noise_tracking.control("the best batches in the place of the square roots")
def _(effort):
    return _judged(effort, (None,), FULL)


@greedy_noise_tracking.control("batches of 1 all along in the place of the square roots")
def _(effort):
    return _judged(effort, ("ones",), FULL)


@greedy_noise_tracking.control("square roots of the noise scales in the place of the full ones")
def _(effort):
    return _judged(effort, ROOTS, ROOTS)


@greedy_noise_tracking.control("full noise scales in the place of their square roots")
def _(effort):
    return _judged(effort, FULL, FULL)


def table(effort):
    """Loss over that of the optimum, shape (tasks x data, rules)."""
    return np.array([[rule(task, data, name).loss / optimum(task, data).loss for name in theory.RULES]
                     for task in TASKS for data in sizes(effort)])


def _judged(effort, roots, full):
    ratios = table(effort)

    def columns(names):
        found = []
        for name in names:
            if name == "ones":
                found.append([theory.tracked(optimum(task, data).spectrum, float(data), RATE, "constant", 1e-9).loss
                              / optimum(task, data).loss for task in TASKS for data in sizes(effort)])
            else:
                found.append(np.ones(len(ratios)) if name is None else ratios[:, list(theory.RULES).index(name)])
        return np.array(found).T

    constant, place = columns(("constant",)), {"task": np.array([f"s={s:.3g} D={data}" for s, _ in TASKS
                                                                 for data in sizes(effort)])[:, None]}
    seen = judges.every(
        best=judges.inequality(1.01, np.hstack([ratios, columns(roots), columns(full)]), at=place),
        roots=judges.equal(columns(roots) / constant, 1.0, rtol=0.1, at=place),
        full=judges.inequality(columns(full) / constant, 0.95, at=place))
    seen.arrays["table"] = ratios
    return seen


@claim("full_noise_scale_threshold", topic="schedules", paper=LARGE_BATCH, where="Appendix D, at equal data",
       stance="derived",
       statement="b = c B: b = 1 all along iff c <= c_D = min_t 1/B_t; the best c falls to c_D, 1% off it costs > 10%")
def full_noise_scale_threshold(effort):
    """Both noise scales, an easy and a hard task, D from 4096.  ``B_t``: along a run with batches of 1.

    Batches at ``c_D (1 - 1e-9)`` are all 1, and some at ``c_D (1 + 1e-9)`` are larger.  c_D is within 1e-3 (set) of
    the ``c* = 1/B`` of the scale that batches of 1 settle at.  The best ``c/c_D - 1`` is at most 0.05 (set) and falls
    from each D to the next.  At the largest D the worse of 0.99 and 1.01 times the best c ends more than 10 per cent
    above the best; for the constant batch and the square roots it is less than 0.1 per cent.

    So the full rules come near the optimum where c sets when their batches run away, that is, where it encodes the
    horizon; as rules without one they are not usable.
    """
    return _threshold(effort, FULL)


@full_noise_scale_threshold.control("the square roots of the noise scales, which settle wherever c puts them")
def _(effort):
    return _threshold(effort, ROOTS)


@full_noise_scale_threshold.control("the noise scale settled at batches of 2, c* = 1/2 of what it is")
def _(effort):
    return _threshold(effort, FULL, factor=0.5)


@full_noise_scale_threshold.control("the settled scale's c* in the place of c_D")
def _(effort):
    return _threshold(effort, FULL, settled=True)


def _threshold(effort, names, factor=1.0, settled=False):
    data, parts = np.array(sizes(effort)), {}
    for task, kind in zip(TASKS, ("easy", "hard")):
        for name in names:
            spectra = [optimum(task, size).spectrum for size in data]
            limit = factor * np.array([theory.threshold(spectrum, RATE, name) for spectrum in spectra])
            edges = np.array([theory.edge(spectrum, float(size), RATE, name) for spectrum, size in zip(spectra, data)])
            starts = limit if settled else edges
            below, above = (_largest(spectra, data, name, starts * shift) for shift in (1.0 - 1e-9, 1.0 + 1e-9))
            gap = np.array([rule(task, int(size), name).scale for size in data]) / edges - 1.0
            parts[f"{kind} {name}"] = judges.every(
                below=judges.equal(below, 1.0, at={"D": data}),
                above=judges.inequality(1.0 + 1e-12, above, at={"D": data}),
                settled=judges.equal(edges, limit, rtol=1e-3, at={"D": data}),
                tuned=judges.inequality(gap, np.append(0.05, gap[:-1]), at={"D": data}),
                off=judges.inequality(1.1, detuned(task, int(data[-1]), name, (0.99, 1.01)).max()))
    blunt = [detuned(task, int(data[-1]), name, (0.99, 1.01)).max() for task in TASKS for name in ("constant", *ROOTS)]
    return judges.every(**parts, blunt=judges.inequality(np.array(blunt), 1.001))


def _largest(spectra, data, name, scales):
    """Largest batch of each run."""
    return np.array([theory.tracked(spectrum, float(size), RATE, name, scale).batches.max()
                     for spectrum, size, scale in zip(spectra, data, scales)])
