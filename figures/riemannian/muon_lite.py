"""Muon-LITE on a matrix river valley: loss over the learning rate, and gain over the batch size."""

import numpy as np

from ...checks.riemannian import batch_size
from ...checks.riemannian.muon_lite import compared
from ...sims.riemannian import MatrixDescent
from ...theory.riemannian import lite_schedules, modes, second_moment
from ...theory.riemannian.landscapes import MatrixQuadratic
from ...theory.riemannian.muon_lite import MuonLite
from .. import style
from ..figure import Drawing, figure
from .columns import columns

COLUMNS = 8
VARIANTS = {"Muon": {}, "LITE, chi = 2": {"gain": 2.0, "rank": 2},
            "LITE, both": {"gain": 2.0, "flat_damping": 1.0, "rank": 2},
            "chi = 2 everywhere": {"gain": 2.0, "projector": np.eye(COLUMNS)}}
MOMENTUM = 0.9


@figure("muon_lite", topic="riemannian", title="Muon-LITE: loss over learning rate, gain over batch size",
        caption="Matrices 12 x 8 with two sharp columns; a cosine; markers: means over runs, 2 standard errors. Left: "
                "final loss with little noise; chi = 2 in all directions is Muon at half the rate (the line is "
                "Muon's, moved). Right: share of Muon's loss that chi = 2 takes off, both at their best learning "
                "rates (chosen on one half of the runs, judged on the other), for a given number of samples; dashed: "
                "linear gradients and exact Q, Nesterov, where exact second moments give a gain without any batch "
                "size in it (b in units of 64).",
        claims=("riemannian.flat_gain", "riemannian.uniform_gain", "riemannian.batch_gain",
                "riemannian.linear_batch_gain"))
def muon_lite(effort):
    """Four variants; three batch sizes."""
    fig, (rate_axes, batch_axes) = style.new(1, 2, width=10.6, height=4.3)
    rows, factors = [], 2.0 ** np.arange(-2.0, 1.6, 0.5)
    for index, (name, given) in enumerate(VARIANTS.items()):
        chi = given.get("gain", 1.0)
        rates = 0.9 * np.sqrt(2.0) * factors[index % 2:] / chi
        final = _losses(given, rates, 1, 300, 0.1, effort.choose(24, 96))
        mean, error = final.mean(axis=0), final.std(axis=0, ddof=1) / np.sqrt(len(final))
        if name == "Muon":
            rate_axes.plot(rates / 2, mean, color=style.COLORS[3], linestyle=style.DASHES[3], linewidth=1.0)
        rate_axes.errorbar(rates, mean, 2 * error, **style.measurement(index, linestyle="-" if index < 3 else "none",
                                                                       linewidth=0.8), label=name)
        rows += [("final loss", name, *map(float, row)) for row in zip(rates, mean, error)]
    sizes = batch_size.QUICK
    for batch in (1, 4, 16):
        steps, ends = sizes["samples"] // batch, []
        for name in ("LITE, chi = 2", "Muon"):
            chi = VARIANTS[name].get("gain", 1.0)
            rates = sizes["centre"] * np.sqrt(600.0 / steps) * 2.0 ** np.arange(-0.5, 1.1, 0.5) / chi
            ends.append(_losses(VARIANTS[name], rates, batch, steps, batch_size.NOISE,
                                effort.choose({1: 12, 4: 32, 16: 64}, {1: 64, 4: 128, 16: 384})[batch]))
        gain, error = compared(*ends)
        batch_axes.errorbar(batch, 100 * gain, 200 * error, **style.measurement(1),
                            label="Muon-LITE, chi = 2" if batch == 1 else None)
        rows.append(("gain", "Muon-LITE", float(batch), float(gain), float(error)))
    batches = np.array([32, 64, 128, 256])
    linear = [_linear_gain(b) for b in batches]
    batch_axes.plot(batches / 64, 100 * np.array(linear), **style.theory(0, linestyle=style.DASHES[1]),
                    label="linear gradients, exact")
    rows += [("gain", "linear", float(b / 64), gain, np.ma.masked) for b, gain in zip(batches, linear)]
    style.guide(batch_axes, [0.45, 18.0], [0.0, 0.0])
    style.loglog(rate_axes).set(xlabel="peak learning rate", ylabel="final loss", ylim=(1.2, 7.0))
    rate_axes.set_xticks((0.2, 0.5, 1.0, 2.0), ("0.2", "0.5", "1", "2"))
    rate_axes.set_yticks((1.5, 2.0, 3.0, 5.0), ("1.5", "2", "3", "5"))
    rate_axes.minorticks_off()
    batch_axes.set(xlabel="batch size b", ylabel="loss reduced by chi = 2, %", xscale="log")
    batch_axes.set_xticks((1, 4, 16), ("1", "4", "16"))
    batch_axes.minorticks_off()
    rate_axes.legend(loc="upper center", ncols=2)
    batch_axes.legend(loc="upper left")
    return Drawing(fig, columns(("quantity", "method", "rate_or_batch", "value", "standard_error"), rows))


def _losses(given, rates, batch, steps, noise, replicas):
    """Final losses, (replicas, rates)."""
    flat, start = np.arange(COLUMNS) >= 2, batch_size.QUICK["start"]
    landscape = MatrixQuadratic(np.where(flat, 1e-3, np.where(np.arange(COLUMNS) == 0, 50.0, 30.0)))
    made = MatrixDescent(landscape, MuonLite(**given), rates, steps, noise=noise, batch_size=batch,
                         scale=np.tile(np.where(flat, start, 0.5), (12, 1)),
                         schedule=lite_schedules.cosine_rates(steps))
    return made.sample(3, 0, replicas)[:, :, 0, 0]


def _linear_gain(batch):
    """Of chi = 2 with 2^16 samples, the learning rate tuned for either."""
    lam, damping = batch_size.LINEAR, 1.0 / MOMENTUM
    rates = 4.5e-4 * batch * 2.0 ** (np.arange(-12, 5) / 3.0)
    rates = rates[rates < 0.5 * modes.largest_step(MOMENTUM, damping) / lam[0]]
    path = lite_schedules.cosine_rates(2**16 // batch)[:, None, None] * rates[:, None]
    gains = np.where(np.arange(lam.size) >= 4, 2.0, 1.0)
    base, lite = (second_moment.second_moments(path * chi, lam, MOMENTUM, damping, 1.0, 0.0, batch,
                                               np.ones(lam.size))[-1] @ lam for chi in (1.0, gains))
    return float(1.0 - lite.min() / base.min())
