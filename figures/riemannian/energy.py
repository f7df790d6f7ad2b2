"""Lyapunov functions: when Adam's energy falls, and what LITE's damping dissipates."""

import numpy as np

from ...theory.riemannian import lyapunov
from ...theory.riemannian.landscapes import Quadratic
from ...theory.riemannian.metrics import euclidean, lite_metric
from ...theory.riemannian.optimizers import adam
from ...theory.riemannian.rishd import MomentumFlow, lite_damping
from .. import style
from ..figure import Drawing, figure
from .columns import columns

BOWL = Quadratic([1.0, 10.0, 0.1])
START = np.array([1.0, -0.7, 2.0])
RATIOS = (0.25, 1.0, 2.0, 5.0)
"""b / (4a)."""


@figure("adam_energy", topic="riemannian", title="Adam's Lyapunov function",
        caption="V = f + sum m^2/(2 a sqrt(v)) on a quadratic with curvatures 1, 10, 0.1, with 1-b1 = a h, 1-b2 = b "
                "h, a = 1. Left: V in time; lines: Adam's flow, markers: Adam at a small h. Right: V' in units of the "
                "kinetic energy (lines: the flow; markers: differences of V along Adam) under its largest value b/2 - "
                "2a (dotted). V falls at all times if b <= 4a; beyond, it rises where a coordinate passes its "
                "minimum.",
        claims=("riemannian.adam_energy", "riemannian.adam_energy_growth"))
def adam_energy(effort):
    """Four ratios of the two memories."""
    fig, (energy, growth) = style.new(1, 2, width=10.8, height=4.3)
    h, time, rows = effort.choose(2e-3, 2e-4), 8.0, []
    fine = np.linspace(0.0, time, 801)
    for index, ratio in enumerate(RATIOS):
        flow = lyapunov.AdamFlow(BOWL, 1.0, 4.0 * ratio)
        w, m, v = np.moveaxis(flow.path(START, fine), 1, 0)
        V = flow.energy(fine, w, m, v)
        rise = np.array([float(flow.growth(t, *state)) for t, *state in zip(fine[1:], w[1:], m[1:], v[1:])])
        rise /= flow.kinetic(fine, m, v)[1:]
        states = _adam(h, time, 4.0 * ratio)
        count = round(time / h)
        some = np.unique(np.linspace(count // 60, count - 2, 41 + index).astype(int))
        seen = np.array([float(flow.energy(k * h, *states[k])) for k in some])
        after = np.array([float(flow.energy(k * h, *states[k + 1])) for k in some])
        middle = np.array([float(flow.kinetic(k * h, *0.5 * (states[k] + states[k + 1])[1:])) for k in some])
        label = f"b = {4 * ratio:g} a"
        energy.plot(fine, V, **style.theory(index), label=label)
        energy.plot(some[::2] * h, seen[::2], **style.measurement(index))
        growth.plot(fine[1:], rise, **style.theory(index, linewidth=1.2))
        growth.plot((some + 0.5) * h, (after - seen) / h / middle, **style.measurement(index))
        top = float(lyapunov.adam_growth(1.0, 4.0 * ratio))
        growth.axhline(top, color=style.COLORS[index], linestyle=style.DASHES[2], linewidth=1.0)
        rows += [("flow", ratio, *map(float, row)) for row in zip(fine[1:], V[1:], rise)]
        rows += [("Adam", ratio, *map(float, row)) for row in zip(some * h, seen, (after - seen) / h / middle)]
    growth.axhline(0.0, color=style.COLORS[0], linewidth=0.8)
    energy.set(xlabel="time t = k h", ylabel="V", yscale="log", ylim=(3e-3, 8))
    growth.set(xlabel="time t = k h", ylabel="V' / kinetic energy", xlim=(0, 4.2), ylim=(-12, 9))
    energy.legend(loc="lower left")
    return Drawing(fig, columns(("kind", "b_over_4a", "time", "energy", "growth"), rows))


def _adam(h, time, second):
    """w, m and v of Adam's iterates, shape (steps + 1, 3, d)."""
    method = adam(h, 1.0 - h, 1.0 - second * h, epsilon=0.0, correction=False)
    state, found = method.start(START, BOWL.gradient(START)), []
    for _ in range(round(time / h) + 1):
        found.append(np.stack([state.parameters, state.momentum, state.averages[0]]))
        state = method.step(state, BOWL.gradient(state.parameters))
    return np.array(found)


FLAT = np.diag([1.0, 0.0])
SLOPE = Quadratic([0.05, 4.0])


@figure("dissipation", topic="riemannian", title="What LITE dissipates",
        caption="Energy V = f + p^T F^-1 p/2 of momentum on a quadratic with curvatures 0.05 and 4, friction 1. Left: "
                "V in time; lines: the flow, markers: Algorithm 1 at a small h. Right: what friction in either "
                "direction and Hessian damping in the flat one take until t = 8; bars: integrals of the exact "
                "dissipation, which add up to the loss of energy (markers: that of Algorithm 1).",
        claims=("riemannian.momentum_energy",))
def dissipation(effort):
    """Heavy ball, LITE with chi, with beta_2, with both."""
    fig, (energy, budget) = style.new(1, 2, width=10.8, height=4.1)
    start, time, h, rows = np.array([5.0, 0.4]), 8.0, effort.choose(0.02, 0.005), []
    fine, kinds = np.linspace(0.0, time, 161), ("friction, sharp", "friction, flat", "damping, flat")
    for index, (label, chi, flat) in enumerate((("heavy ball", 1.0, 0.0), ("chi = 4", 4.0, 0.0), ("B_2 = 2", 1.0, 2.0),
                                                ("both", 4.0, 2.0))):
        flow = MomentumFlow(SLOPE, lite_metric(euclidean(2), FLAT, chi), 1.0, lite_damping(FLAT, 0.0, flat))
        V, spent = lyapunov.balance(flow.field, lambda w, p, flow=flow: lyapunov.momentum_energy(flow, w, p),
                                    lambda w, p, flow=flow: _shares(flow, w, p), (start, 0.0 * start), fine)
        path, momenta = flow.iterate(start, h, round(time / h))
        seen = lyapunov.momentum_energy(flow, path[1:], momenta)
        some = np.linspace(4 * index, len(seen) - 1, 14).astype(int)
        energy.plot(fine, V, **style.theory(index), label=label)
        energy.plot(some * h + h, seen[some], **style.measurement(index))
        below = 0.0
        for place, amount in enumerate(spent[-1]):
            budget.bar(index, amount, 0.55, below, color=style.COLORS[(1, 4, 5)[place]], edgecolor="white",
                       hatch=("", "//", "..")[place], label=kinds[place] if index == 0 else None)
            below += amount
            rows.append(("dissipated", f"{label}: {kinds[place]}", time, float(amount)))
        budget.plot(index, V[0] - seen[-1], **style.measurement(0, markersize=7))
        rows += [("flow", label, *map(float, row)) for row in zip(fine, V)]
        rows += [("Algorithm 1", label, *map(float, row)) for row in zip(some * h + h, seen[some])]
        rows.append(("lost by Algorithm 1", label, time, float(V[0] - seen[-1])))
    energy.set(xlabel="time t = k h", ylabel="energy V", yscale="log")
    energy.legend(loc="lower left")
    budget.set_xticks(range(4), ["heavy ball", "chi = 4", "B_2 = 2", "both"])
    budget.set(ylabel="energy dissipated until t = 8", ylim=(0, 1.25 * float(V[0])))
    budget.legend(loc="upper left", ncols=3)
    return Drawing(fig, columns(("kind", "method", "time", "energy"), rows))


def _shares(flow, w, p):
    """Friction along the flat and the sharp direction, and Hessian damping, which is along the flat one only."""
    damping, friction, _ = lyapunov.momentum_dissipation(flow, w, p)
    along = lyapunov.momentum_dissipation(flow, w, FLAT @ p)[1]
    return np.stack([friction - along, along, damping])
