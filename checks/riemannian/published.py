"""Claims about the published losses of Muon and Muon-LITE: what the drawn lines are, and what three points cannot say.

The losses are numbers of the paper's figures, one run each; what is judged is arithmetic on them, with the rounding of
their last decimal as the only error that is known.
"""

import numpy as np

from ...theory.riemannian import published
from .. import judges
from ..claim import claim
from .paper import LITE

NAMES = ("Muon", "Muon-LITE")
WITH_EMBEDDINGS = (250.0, 500.0, 1300.0)
"""Millions of parameters, by the names of the models: not what the figure's axis counts."""
TEN_BILLION = 1e4


def _drawn(losses, sizes=published.MILLIONS, kind="line"):
    """Refitted lines against the drawn ones, to what rounding of the losses to four decimals can do to the fit."""
    parts = {}
    x = np.log(sizes)
    for name in NAMES:
        law = published.fit(sizes, losses(name), kind)
        intercept, slope = published.DRAWN[name]
        error = published.slope_precision(sizes)
        parts[f"{name} slope"] = judges.equal(law.slope, slope, atol=error)
        # The mean of the losses moves by one rounding, the intercept by the slope's error times the mean of log N more.
        parts[f"{name} intercept"] = judges.equal(law.intercept, intercept,
                                                  atol=published.PRECISION + error * float(x.mean()))
    return judges.every(**parts)


@claim("published_lines", topic="riemannian", paper=LITE, where="figure of losses by size", stance="reconstructed",
       statement="loss = 2.99088 - 0.166825 log N (Muon), 2.93594 - 0.162514 log N (Muon-LITE), N in millions")
def published_lines(effort):
    """They are least-squares lines through the three points, N without embeddings, to the rounding of the losses."""
    return _drawn(lambda name: published.BY_SIZE[name])


@published_lines.control("sizes by the names of the models, 0.25B, 0.5B, 1.3B")
def _(effort):
    return _drawn(lambda name: published.BY_SIZE[name], WITH_EMBEDDINGS)


@published_lines.control("each line with the other's losses")
def _(effort):
    return _drawn(lambda name: published.BY_SIZE[NAMES[1 - NAMES.index(name)]])


@published_lines.control("a line in log-log")
def _(effort):
    return _drawn(lambda name: published.BY_SIZE[name], kind="power")


def _on_a_line(name):
    """Losses moved onto the fitted line, to four decimals: a figure that would have shown a law."""
    return np.round(published.fit(published.MILLIONS, published.BY_SIZE[name])(published.MILLIONS), 4)


def _undetermined(losses, separation=10.0):
    """Deviation of points from lines in roundings; which law fits whom best; how far apart the two laws lead."""
    laws = {(name, kind): published.fit(published.MILLIONS, losses(name), kind)
            for name in NAMES for kind in ("line", "power")}
    largest = np.array([np.abs(laws[name, "line"].residuals).max() for name in NAMES])
    squares = {key: float(law.residuals @ law.residuals) for key, law in laws.items()}
    ratio = [squares[name, "power"] / max(squares[name, "line"], 1e-300) for name in NAMES]
    apart = [float(laws[name, "power"](TEN_BILLION) - laws[name, "line"](TEN_BILLION)) for name in NAMES]
    gain = losses("Muon")[-1] - losses("Muon-LITE")[-1]
    return judges.every(
        off_the_line=judges.inequality(separation * published.PRECISION, largest, at={"optimizer": NAMES},
                                       over=f"largest residuals {largest[0]:.4f} and {largest[1]:.4f}"),
        muon=judges.inequality(1.0, ratio[0], over="squares of the power law's residuals over the line's"),
        lite=judges.inequality(ratio[1], 1.0),
        beyond=judges.inequality(float(gain), apart, at={"optimizer": NAMES},
                                 over=f"gain at the largest size against power law minus line at 1e10: {apart[0]:.3f} "
                                      f"and {apart[1]:.3f}"))


@claim("size_law_undetermined", topic="riemannian", paper=LITE, where="figure of losses by size", stance="derived",
       statement="three points do not tell line from power law: each fits one of the optimizers better")
def size_law_undetermined(effort):
    """Points miss their lines by 33 and 63 roundings; at 1e10 parameters the laws differ by twice LITE's gain."""
    return _undetermined(lambda name: np.array(published.BY_SIZE[name]))


@size_law_undetermined.control("losses that do lie on the lines, to four decimals")
def _(effort):
    return _undetermined(_on_a_line)


def _factors(losses, line, power):
    """Six factors to what the rounding of two losses and of the stated factor itself can change.

    The rounding moves the law's slope, too, by 2e-4 of itself and the factor by less than 5e-5.
    """
    parts = {}
    for kind, stated in (("line", line), ("power", power)):
        law = published.fit(published.MILLIONS, losses["Muon"], kind)
        factors = law.equivalent_size(losses["Muon"], losses["Muon-LITE"])
        relative = 2 * published.PRECISION / (law.slope * (np.array(losses["Muon"]) if kind == "power" else 1.0))
        parts[kind] = judges.equal(factors, stated, atol=5.5e-4 + float((relative * factors).max()),
                                   at={"millions": published.MILLIONS})
    return judges.every(**parts)


@claim("equivalent_size", topic="riemannian", paper=LITE, where="figure of losses by size", stance="derived",
       statement="to Muon, Muon-LITE's losses are worth 1.206, 1.198, 1.153 times the size by its line, 1.191, 1.198, "
                 "1.167 by its power law")
def equivalent_size(effort):
    """One run per size: that other runs would show the same is not known."""
    return _factors(published.BY_SIZE, (1.206, 1.198, 1.153), (1.191, 1.198, 1.167))


@equivalent_size.control("Muon against itself")
def _(effort):
    return _factors({name: published.BY_SIZE["Muon"] for name in NAMES}, (1.206, 1.198, 1.153), (1.191, 1.198, 1.167))


@equivalent_size.control("one factor for every size")
def _(effort):
    return _factors(published.BY_SIZE, (1.198,) * 3, (1.198,) * 3)


@equivalent_size.control("the line's factors by the power law, and the other way round")
def _(effort):
    return _factors(published.BY_SIZE, (1.191, 1.198, 1.167), (1.206, 1.198, 1.153))


def _size_trend(kind, rounds):
    """That the equivalent factor falls from each size to the next, whatever the rounding of the losses."""
    law = published.fit(published.MILLIONS, published.BY_SIZE["Muon"], kind)
    muon, lite = (np.array(published.BY_SIZE[name]) for name in NAMES)
    shift = rounds * published.PRECISION
    # A gap that rounding made as small, or as large, as it can; the slope's own share is the same at every size.
    return judges.inequality(law.equivalent_size(muon[1:] + shift, lite[1:] - shift),
                             law.equivalent_size(muon[:-1] - shift, lite[:-1] + shift),
                             at={"millions": published.MILLIONS[1:]}, over="factor at a size against that before")


@claim("size_gain_falls", topic="riemannian", paper=LITE, where="figure of losses by size", stance="derived",
       statement="by Muon's line the equivalent size factor falls with size, 1.206 > 1.198 > 1.153, beyond rounding")
def size_gain_falls(effort):
    """One run per size: that other runs would show the same is not known."""
    return _size_trend("line", 1.0)


@size_gain_falls.control("by Muon's power law, where the middle size gains most")
def _(effort):
    return _size_trend("power", 1.0)


@size_gain_falls.control("losses known to three units of their fourth decimal only")
def _(effort):
    return _size_trend("line", 6.0)


def _multipliers(own, other, expected):
    """Steps Muon would need, as multiples, with what the rounding of three losses can change."""
    steps = np.array(published.THOUSANDS_OF_STEPS)
    found = [published.equivalent_steps(steps[k:], own[k:], other[k]) for k in (0, 1)]
    slopes = np.diff(own) / np.diff(np.log(steps))
    errors = [2 * published.PRECISION / abs(slope) * factor for slope, factor in zip(slopes, found)]
    return judges.every(**{f"{length:g}k": judges.equal(factor, wanted, atol=error) for length, factor, wanted, error in
                           zip(steps, found, expected, errors)})


@claim("equivalent_steps", topic="riemannian", paper=LITE, where="figure of losses by steps", stance="derived",
       statement="to reach Muon-LITE's loss Muon needs 1.52 times the steps at 10 000, and 1.99 times at 25 000")
def equivalent_steps(effort):
    """Between the lengths that were run, linearly in the logarithm of the steps; the factor 2 is that of the longer."""
    return _multipliers(np.array(published.BY_STEPS["Muon"]), np.array(published.BY_STEPS["Muon-LITE"]), (1.52, 1.988))


@equivalent_steps.control("twice the steps at both lengths")
def _(effort):
    return _multipliers(np.array(published.BY_STEPS["Muon"]), np.array(published.BY_STEPS["Muon-LITE"]), (2.0, 2.0))


@equivalent_steps.control("Muon against itself")
def _(effort):
    return _multipliers(*[np.array(published.BY_STEPS["Muon"])] * 2, (1.52, 1.988))
