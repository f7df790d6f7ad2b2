r"""Vector optimizers on quadratics and river valleys, many replicas side by side: the numba kernel.

LANES replicas run together, one per lane, lane innermost, all states float64; every lane does the same operations in
the same order whatever its neighbours are.

Landscape: curvatures ``c_j``; a valley has slope s > 0 along coordinate 0, whose curvature is then 0, and bends
``A_j, k_j``, so that ``r_j = w_j - A_j sin(k_j w_0)`` (``r_j = w_j`` where it is straight).  The gradient of step k,
with the batch size folded into rho and sigma, is

    q_j = c_j (1 + rho zeta_j) r_j,     g_j = q_j + sigma_j xi_j                              (j > 0, or quadratics)
    g_0 = -s - sum_j q_j A_j k_j cos(k_j w_0) + sigma_0 xi_0                                  (valleys)

Draws of replica r, step k: purpose ADDITIVE, draw j: ``xi_j``; purpose CURVATURE, draw j: ``zeta_j``.

Step k = 1, 2, ...  The buffer takes ``m <- theta m + g``, or as an average ``m <- m + a_k (g - m)``; second moments
``v <- v + b_k (g^2 - v)``, curvature estimates ``h <- h + b_k (c (1 + rho zeta) - h)``, starting at the first of these;
a_k = 1 - theta and b_k = memory, or with bias correction ``a/(1 - (1 - a)^k)``.  Then

    u_1 = D^{-1}(m + beta g) + decay w,     u_2 = u_1 + D^{-1} more g
    u = (I - Q) u_1 + chi Q u_2,            w <- w - eta_k u

with D of the rule at ``m + beta g``, Q diagonal or the projector on the tangent of the valley's floor.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from .. import streams

LANES = 16
"""Replicas per group."""
ADDITIVE, CURVATURE = 0, 1
"""Purposes of the draws."""
PLAIN, ADAPTIVE, SIGN, CLIPPED = range(4)
"""Rules, with force ``p = m + beta g``: D = 1; ``sqrt v + epsilon``; ``|p|``; ``max(clip h, epsilon, |p|)``."""
LARGEST = 1e30
"""A replica the sum of whose moduli exceeds this (or is not a number) has diverged; on a curved floor, see FAR."""
FAR = 1e8
"""On a curved floor: how many times as far as start, slope and noise account for a replica may go; beyond, the tangent
has thrown it off the valley, whose sines keep it from growing any further."""


class Rule(NamedTuple):
    """What :func:`run` does with a gradient; see the module."""

    kind: int
    theta: float
    averaged: bool
    corrected: bool
    memory: float
    memory_corrected: bool
    epsilon: float
    clip: float
    decay: float
    beta: float
    more: float
    chi: float


@njit(cache=True)
def draw(key, replica, step, purpose, out):
    """Write draws 0, 1, ... of (purpose, replica + lane, step) into ``out`` (blocks, 4, LANES), float32."""
    for j in range(out.shape[0]):
        for lane in range(LANES):
            w0, w1, w2, w3 = streams.block(key, replica + np.uint64(lane), step, np.uint64(j), purpose)
            out[j, 0, lane], out[j, 1, lane] = streams.normal_pair(w0, w1)
            out[j, 2, lane], out[j, 3, lane] = streams.normal_pair(w2, w3)


@njit(cache=True)
def residuals(w, amplitude, frequency, r, slope_of_floor):
    """Heights ``r`` over the floor, and ``A_j k_j cos(k_j w_0)``, both (d, LANES)."""
    for j in range(w.shape[0]):
        for lane in range(LANES):
            r[j, lane] = w[j, lane]
            slope_of_floor[j, lane] = 0.0
        if amplitude[j] != 0.0:
            for lane in range(LANES):
                turn = frequency[j] * w[0, lane]
                r[j, lane] -= amplitude[j] * math.sin(turn)
                slope_of_floor[j, lane] = amplitude[j] * frequency[j] * math.cos(turn)


@njit(cache=True)
def gradient(key, replica, k, curvature, slope, sigma, rho, r, bend, draws, hessian, g):
    """The gradient ``g`` of a step and its sampled curvatures ``hessian``, both (d, LANES)."""
    if rho > 0.0:
        draw(key, replica, np.uint64(k), np.uint64(CURVATURE), draws)
    for j in range(curvature.size):
        for lane in range(LANES):
            hessian[j, lane] = curvature[j]
            if rho > 0.0:
                hessian[j, lane] = curvature[j] * (1.0 + rho * np.float64(draws[j >> 2, j & 3, lane]))
        for lane in range(LANES):
            g[j, lane] = hessian[j, lane] * r[j, lane]
    if slope > 0.0:
        for lane in range(LANES):
            g[0, lane] = -slope
        for j in range(1, curvature.size):
            for lane in range(LANES):
                g[0, lane] -= g[j, lane] * bend[j, lane]
    if sigma.max() > 0.0:
        draw(key, replica, np.uint64(k), np.uint64(ADDITIVE), draws)
        for j in range(curvature.size):
            for lane in range(LANES):
                g[j, lane] += sigma[j] * np.float64(draws[j >> 2, j & 3, lane])


@njit(cache=True)
def newest(share, count, corrected):
    """Weight of the newest of ``count`` numbers in their average."""
    return share / -math.expm1(count * math.log1p(-share)) if corrected and share < 1.0 else share


@njit(cache=True)
def buffers(rule, count, g, hessian, m, v):
    """Take a gradient into the buffer m and the second moments (or curvature estimates) v."""
    own, weight = newest(1.0 - rule.theta, count, rule.corrected), newest(rule.memory, count, rule.memory_corrected)
    if count == 1:
        weight = 1.0
    for j in range(g.shape[0]):
        if rule.averaged:
            for lane in range(LANES):
                m[j, lane] += own * (g[j, lane] - m[j, lane])
        else:
            for lane in range(LANES):
                m[j, lane] = rule.theta * m[j, lane] + g[j, lane]
        if rule.kind == ADAPTIVE:
            for lane in range(LANES):
                v[j, lane] += weight * (g[j, lane] * g[j, lane] - v[j, lane])
        elif rule.kind == CLIPPED:
            for lane in range(LANES):
                v[j, lane] += weight * (hessian[j, lane] - v[j, lane])


@njit(cache=True, error_model="numpy")
def direction(rule, g, m, v, w, scale, u):
    """``u_1``, and D on the way (``scale``), both (d, LANES)."""
    for j in range(g.shape[0]):
        for lane in range(LANES):
            u[j, lane] = m[j, lane] + rule.beta * g[j, lane]
        if rule.kind == ADAPTIVE:
            for lane in range(LANES):
                scale[j, lane] = math.sqrt(v[j, lane]) + rule.epsilon
                u[j, lane] /= scale[j, lane]
        elif rule.kind == SIGN:
            for lane in range(LANES):
                scale[j, lane] = abs(u[j, lane])
                u[j, lane] = np.sign(u[j, lane])
        elif rule.kind == CLIPPED:
            for lane in range(LANES):
                trusted = max(rule.clip * v[j, lane], rule.epsilon)
                scale[j, lane] = max(trusted, abs(u[j, lane]))
                u[j, lane] = min(1.0, max(-1.0, u[j, lane] / trusted))
        if rule.decay != 0.0:
            for lane in range(LANES):
                u[j, lane] += rule.decay * w[j, lane]


@njit(cache=True, error_model="numpy")
def project(flat, tangent, bend, u, out):
    """``out = Q u``: Q diagonal with entries ``flat``, or the projector on the tangent ``(1, bend)`` of the floor."""
    if not tangent:
        for j in range(u.shape[0]):
            for lane in range(LANES):
                out[j, lane] = flat[j] * u[j, lane]
        return
    for lane in range(LANES):
        along, square = u[0, lane], 1.0
        for j in range(1, u.shape[0]):
            along += bend[j, lane] * u[j, lane]
            square += bend[j, lane] * bend[j, lane]
        along /= square
        out[0, lane] = along
        for j in range(1, u.shape[0]):
            out[j, lane] = along * bend[j, lane]


@njit(cache=True, error_model="numpy")
def lift(rule, flat, tangent, bend, g, scale, other, along, u):
    """Turn ``u_1`` into ``(I - Q) u_1 + chi Q u_2``."""
    for j in range(g.shape[0]):
        for lane in range(LANES):
            other[j, lane] = (rule.chi - 1.0) * u[j, lane] + rule.chi * rule.more * g[j, lane] / scale[j, lane]
    project(flat, tangent, bend, other, along)
    for j in range(g.shape[0]):
        for lane in range(LANES):
            u[j, lane] += along[j, lane]


@njit(cache=True)
def observe(w, r, curvature, slope, steep, modes, weight, out):
    """Add ``weight`` times the observables of a state to ``out`` (LANES, observables)."""
    for lane in range(LANES):
        sharp, level = 0.0, 0.0
        for j in range(w.shape[0]):
            energy = 0.5 * curvature[j] * r[j, lane] * r[j, lane]
            sharp += steep[j] * energy
            level += (1.0 - steep[j]) * energy
        out[lane, 1] += weight * sharp
        if slope > 0.0:
            out[lane, 0] += weight * (sharp - slope * w[0, lane])
            out[lane, 2] += weight * w[0, lane]
        else:
            out[lane, 0] += weight * (sharp + level)
            out[lane, 2] += weight * level
        if modes:
            d = w.shape[0]
            for j in range(d):
                out[lane, 3 + j] += weight * w[j, lane]
                out[lane, 3 + d + j] += weight * r[j, lane] * r[j, lane]


@njit(cache=True)
def run(key, replica, curvature, slope, amplitude, frequency, sigma, rho, rule, flat, tangent, steep, rates, start,
        times, averaged, modes, largest, out, died):
    """One group of LANES replicas.

    Parameters
    ----------
    key, replica : uint64
        Stream key, first replica of the group.
    curvature, amplitude, frequency, sigma, flat, steep, start : float64 (d,)
        See the module; ``flat`` holds the diagonal of Q, ``steep`` the share of a coordinate's energy that counts as
        sharp, ``start`` is w_0.
    slope, rho : float
    rule : Rule
    tangent : bool
        Q is the projector on the tangent of the floor in place of the diagonal one.
    rates : float64 (K,)
        ``eta_k``.
    times : int64 (T,)
        Increasing numbers of steps, in 0..K, after which to record.
    averaged : bool
        Record means over the numbers of steps since the last record.
    modes : bool
        Record ``w_j`` and ``r_j^2``, too.
    largest : float
        Sum of moduli beyond which a replica has diverged.
    out : float64 (T, LANES, 3 or 3 + 2 d), zeros
        Receives the observables.
    died : int64 (LANES,)
        -1 on entry; receives the step after which a lane had diverged.
    """
    d = curvature.size
    w, m, v, g = np.zeros((d, LANES)), np.zeros((d, LANES)), np.zeros((d, LANES)), np.zeros((d, LANES))
    r, bend, hessian = np.zeros((d, LANES)), np.zeros((d, LANES)), np.zeros((d, LANES))
    u, other, along, scale = np.zeros((d, LANES)), np.zeros((d, LANES)), np.zeros((d, LANES)), np.ones((d, LANES))
    draws = np.zeros(((d + 3) // 4, 4, LANES), dtype=np.float32)
    total = np.zeros(LANES)
    for j in range(d):
        w[j, :] = start[j]
    moment, since = 0, -1
    for k in range(rates.size + 1):
        residuals(w, amplitude, frequency, r, bend)
        if averaged:
            observe(w, r, curvature, slope, steep, modes, 1.0 / (times[moment] - since), out[moment])
        elif times[moment] == k:
            observe(w, r, curvature, slope, steep, modes, 1.0, out[moment])
        if times[moment] == k:
            moment, since = moment + 1, k
        if moment == times.size:
            break
        gradient(key, replica, k, curvature, slope, sigma, rho, r, bend, draws, hessian, g)
        buffers(rule, k + 1, g, hessian, m, v)
        direction(rule, g, m, v, w, scale, u)
        if rule.chi != 1.0 or rule.more != 0.0:
            lift(rule, flat, tangent, bend, g, scale, other, along, u)
        total[:] = 0.0
        for j in range(d):
            for lane in range(LANES):
                w[j, lane] -= rates[k] * u[j, lane]
                total[lane] += abs(w[j, lane])
        for lane in range(LANES):
            if not total[lane] <= largest and died[lane] < 0:
                died[lane] = k + 1
