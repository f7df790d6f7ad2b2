r"""The published losses of Muon and Muon-LITE: lines in the logarithm of the size, equivalents in size and steps.

Data.  Terminal validation loss of LLaMA models on the Pile, read from the vector paths of the two figures of losses in
the official repository of LITE (arXiv 2602.22681) and rounded here to four decimals.  One run per point; nothing is
known of the variation between runs, so no law below has an error bar of its own.

Model.  The figure draws ``loss = a - b log N`` through three sizes N.  Beside it stands the power law
``loss = a N^-b``; each has two parameters, so that the three points leave one degree of freedom.  A gap g between two
losses is worth a factor in size or in steps: the N of the one at which it has the loss of the other,

    exp(g/b) on the line ,       (loss_1/loss_2)^(1/b) under the power law ,

or, between runs of several lengths, by linear interpolation of the loss in the logarithm of the steps.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number, numbers, shown

MILLIONS = (198.0, 436.0, 1208.0)
"""Parameters without embeddings, in millions: the figure's labels of its 0.25B, 0.5B and 1.3B models."""
BY_SIZE = {"Muon": (2.1096, 1.9753, 1.8077), "Muon-LITE": (2.0783, 1.9451, 1.7840)}
"""Terminal validation losses at the three sizes."""
THOUSANDS_OF_STEPS = (10.0, 25.0, 50.0)
BY_STEPS = {"Muon": (2.1096, 2.0411, 2.0052), "Muon-LITE": (2.0783, 2.0055, 1.9655)}
"""Terminal validation losses of the 0.25B model, a run of its own for each length."""
DRAWN = {"Muon": (2.99088, 0.166825), "Muon-LITE": (2.93594, 0.162514)}
"""Intercept a and slope b of the dashed lines of the figure, with N in millions."""
PRECISION = 5e-5
"""Half a unit of the last decimal of a loss."""


@dataclass(frozen=True)
class SizeLaw:
    """A law with two parameters through losses at several sizes.

    Attributes
    ----------
    kind : {"line", "power"}
    intercept, slope : float
        a and b of ``a - b log N`` or ``a N^-b``, N in millions.
    residuals : ndarray, shape (n,)
        Loss minus law.
    """

    kind: str
    intercept: float
    slope: float
    residuals: np.ndarray

    def __call__(self, millions):
        """The loss at a size."""
        N = numbers(millions, "sizes")
        return self.intercept * N**-self.slope if self.kind == "power" else self.intercept - self.slope * np.log(N)

    def equivalent_size(self, own, other):
        """Factor in size that lowers the law's loss from `own` to `other`."""
        own, other = numbers(own, "losses"), numbers(other, "losses")
        return np.power(own / other, 1.0 / self.slope) if self.kind == "power" else np.exp((own - other) / self.slope)


def fit(millions, losses, kind="line"):
    """Least squares in the loss (line) or in its logarithm (power).

    Parameters
    ----------
    millions, losses : array_like, shape (n,), n >= 2
        Positive; sizes distinct.
    kind : {"line", "power"}

    Returns
    -------
    SizeLaw

    Raises
    ------
    ValueError
        For arguments outside their range.
    """
    N, y = numbers(millions, "sizes"), numbers(losses, "losses")
    if N.ndim != 1 or N.shape != y.shape or len(np.unique(N)) < 2 or not ((N > 0) & (y > 0)
                                                                          & np.isfinite(N * y)).all():
        raise ValueError(f"sizes are {shown(millions)} and losses {shown(losses)}; they must be positive, finite and "
                         "of one length, with at least 2 sizes")
    if kind not in ("line", "power"):
        raise ValueError(f"kind is {shown(kind)}; it must be 'line' or 'power'")
    x = np.log(N) - np.log(N).mean()
    value = np.log(y) if kind == "power" else y
    slope = float(x @ value / (x @ x))
    level = float(value.mean() - slope * np.log(N).mean())
    law = SizeLaw(kind, math.exp(level) if kind == "power" else level, -slope, np.empty(0))
    return SizeLaw(kind, law.intercept, law.slope, y - law(N))


def slope_precision(millions, precision=PRECISION):
    """How far the line's slope moves at most if every loss moves by at most `precision`; at least two sizes."""
    N = numbers(millions, "sizes")
    if N.ndim != 1 or len(np.unique(N)) < 2 or not ((N > 0) & np.isfinite(N)).all():
        raise ValueError(f"sizes are {shown(millions)}; they must be at least 2, positive and finite")
    x = np.log(N) - np.log(N).mean()
    return float(number(precision, "precision") * np.abs(x).sum() / (x @ x))


def equivalent_steps(steps, losses, target):
    """Factor in the number of steps that lowers the loss of the first run to a target.

    Parameters
    ----------
    steps, losses : array_like, shape (n,)
        Lengths, increasing, and terminal losses, decreasing; interpolated linearly in the logarithm of the steps.
    target : float
        Between the last loss and the first.

    Raises
    ------
    ValueError
        For a target outside, or curves that are not monotone.
    """
    k, y, wanted = numbers(steps, "steps"), numbers(losses, "losses"), number(target, "target")
    if k.ndim != 1 or k.shape != y.shape or len(k) < 2 or not (k[0] > 0 and (np.diff(k) > 0).all()
                                                               and (np.diff(y) < 0).all()):
        raise ValueError(f"steps are {shown(steps)} and losses {shown(losses)}; they must be positive and increasing, "
                         "and decreasing")
    if not y[-1] <= wanted <= y[0]:
        raise ValueError(f"target is {wanted:g}; it must be in [{y[-1]:g}, {y[0]:g}], the losses of the runs")
    return float(np.exp(np.interp(-wanted, -y, np.log(k))) / k[0])
