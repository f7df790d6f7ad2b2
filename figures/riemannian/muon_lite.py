"""Muon-LITE on a matrix river valley: loss over the learning rate, and gain over the batch size."""

import numpy as np

from ...checks.riemannian import batch_size
from ...checks.riemannian import muon_lite as low_noise
from .. import style
from ..figure import Drawing, figure
from .columns import columns

VARIANTS = {"Muon": "Muon", "chi=2": "LITE, chi = 2", "both": "LITE, both", "uniform": "chi = 2 everywhere"}


@figure("muon_lite", topic="riemannian", title="Muon-LITE: loss over learning rate, gain over batch size",
        caption="Matrices with two sharp columns; a cosine; markers: means over runs, 2 standard errors, of the runs "
                "of the claims. Left: final loss with little noise; chi = 2 in all directions is Muon at half the rate "
                "(dash-dotted: Muon's line, moved). Right: share of Muon's loss that chi = 2 takes off, both at their "
                "best learning rates, for a given number of samples; dashed: linear gradients and exact Q, Nesterov, "
                "where exact second moments give a gain without any batch size in it (b in units of 16).",
        claims=("riemannian.flat_gain", "riemannian.uniform_gain", "riemannian.batch_gain",
                "riemannian.linear_batch_gain"))
def muon_lite(effort):
    """Four variants; three batch sizes."""
    fig, (rate_axes, batch_axes) = style.new(1, 2, width=10.6, height=4.3)
    rows = []
    for index, (name, label) in enumerate(VARIANTS.items()):
        rates = low_noise.rates_of(name, low_noise.LOW, effort)
        final = low_noise.losses(name, low_noise.LOW, effort)
        mean, error = final.mean(axis=0), final.std(axis=0, ddof=1) / np.sqrt(len(final))
        if name == "Muon":
            rate_axes.plot(rates / 2, mean, color=style.COLORS[3], linestyle=style.DASHES[3], linewidth=1.0,
                           label="Muon at half the rate")
        rate_axes.errorbar(rates, mean, 2 * error, **style.measurement(index, linestyle="-" if index < 3 else "none",
                                                                       linewidth=0.8), label=label)
        rows += [("final loss", label, *map(float, row)) for row in zip(rates, mean, error, strict=True)]
    for place, (batch, found) in enumerate(zip(batch_size.BATCHES, batch_size.gains(effort), strict=True)):
        batch_axes.errorbar(batch, 100 * found.value, 200 * found.error, **style.measurement(1),
                            label=None if place else "Muon-LITE, chi = 2")
        rows.append(("gain", "Muon-LITE", float(batch), float(found.value), float(found.error)))
    batches, linear, _ = batch_size.linear_gains(effort, batches=(16, 64, 256))
    batch_axes.plot(np.array(batches) / 16, 100 * np.array(linear), **style.theory(0, linestyle=style.DASHES[1]),
                    label="linear gradients, exact")
    rows += [("gain", "linear", float(b / 16), float(each), np.ma.masked) for b, each in
             zip(batches, linear, strict=True)]
    style.guide(batch_axes, [0.8, 20.0], [0.0, 0.0])
    style.loglog(rate_axes).set(xlabel="peak learning rate", ylabel="final loss", ylim=(2.6, 5.5))
    rate_axes.set_xticks((0.4, 0.6, 1.0, 1.5, 2.0), ("0.4", "0.6", "1", "1.5", "2"))
    rate_axes.set_yticks((3.0, 4.0, 5.0), ("3", "4", "5"))
    rate_axes.minorticks_off()
    batch_axes.set(xlabel="batch size b", ylabel="loss reduced by chi = 2, %", xscale="log")
    batch_axes.set_xticks((1, 4, 16), ("1", "4", "16"))
    batch_axes.minorticks_off()
    rate_axes.legend(loc="upper center", ncols=2)
    batch_axes.legend(loc="upper left")
    return Drawing(fig, columns(("quantity", "method", "rate_or_batch", "value", "standard_error"), rows))
