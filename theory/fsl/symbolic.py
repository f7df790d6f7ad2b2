r"""Computer algebra behind the functional scaling laws: identities that hold exactly, derived instead of typed in.

Three derivations, each returned next to the formula the numerical code uses so that the difference can be simplified
to zero:

1. *Moments.*  One step of SGD, ``u' = u - (eta/B) sum_i (x_i.u - noise_i) x_i``, squared, expanded and averaged over
   independent coordinates (odd moments 0, ``E x_j^2 = lambda_j``, ``E x_j^4 = kappa lambda_j^2``).
2. *Exponential decay.*  ``eta(tau) = a exp(-c tau)`` is ``a - c t`` in intrinsic time t, and the noise integral of one
   mode follows.
3. *Balances.*  With ``gamma, M, D, r`` monomials ``x^p (log x)^q`` in the budget x, the conditions of an optimum (equal
   powers *and* equal logarithms of the competing terms) are linear equations for p and q.

Everything here is derived; the model is that of Li et al., arXiv 2509.19189.  Importing this module imports sympy.
"""

import functools

import sympy as sp

SOURCE, CAPACITY = sp.symbols("s beta", positive=True)
ETA, SIGMA, KAPPA, GAMMA = sp.symbols("eta sigma kappa gamma", positive=True)
PEAK, FINAL, STEPS, RATE = sp.symbols("a b K lambda", positive=True)


def moment_symbols(modes):
    """Symbols ``(lambda_1, ...), (u_1, ...)`` of a model with that many modes."""
    return (sp.symbols(f"lambda1:{modes + 1}", positive=True), sp.symbols(f"u1:{modes + 1}", real=True))


@functools.cache
def averaged_square(modes, batch, mode=0):
    """``E[u'_j^2]`` over one batch of ``batch`` samples by expanding the square and averaging every monomial.

    Parameters
    ----------
    modes, batch : int
        In [1, 3]: the expansion grows fast.
    mode : int
        Which j, from 0.

    Returns
    -------
    sympy.Expr
        Polynomial in ``u, lambda, eta, sigma, kappa``.

    Raises
    ------
    ValueError
        For sizes outside the range.
    """
    for name, value in (("modes", modes), ("batch", batch)):
        if value not in (1, 2, 3):
            raise ValueError(f"{name} is {value}; it must be 1, 2 or 3")
    if not 0 <= mode < modes:
        raise ValueError(f"mode is {mode}; it must be in [0, {modes - 1}]")
    values, errors = moment_symbols(modes)
    features = [sp.symbols(f"x{i}_1:{modes + 1}") for i in range(batch)]
    labels = sp.symbols(f"e1:{batch + 1}")
    push = sum((sum(x * u for x, u in zip(features[i], errors)) - labels[i]) * features[i][mode] for i in range(batch))
    variables = [x for row in features for x in row] + list(labels)
    square = sp.Poly(sp.expand((errors[mode] - ETA / batch * push) ** 2), *variables)
    total = sp.Integer(0)
    for powers, coefficient in square.terms():
        factor = coefficient
        for place, power in enumerate(powers):
            variance = values[place % modes] if place < batch * modes else SIGMA**2
            factor *= {0: 1, 2: variance, 4: KAPPA * variance**2}.get(power, 0)
        total += factor
    return sp.expand(total)


def recursion_square(modes, batch, mode=0, kappa=KAPPA):
    """The same from the recursion: ``[1 - 2 eta lambda + c eta^2 lambda^2] u_j^2 + (eta^2/B) lambda S``."""
    values, errors = moment_symbols(modes)
    value = values[mode]
    curvature = 1 + (kappa - 2) / sp.Integer(batch)
    spread = sum(v * u**2 for v, u in zip(values, errors)) + SIGMA**2
    return sp.expand((1 - 2 * ETA * value + curvature * ETA**2 * value**2) * errors[mode] ** 2
                     + ETA**2 / batch * value * spread)


def continuous_limit():
    """Rate of change of a second moment for eta -> 0 at fixed ``gamma = eta/B``, and the SDE's mode equation.

    Returns
    -------
    limit, equation : sympy.Expr
        In ``m`` (the moment), ``S`` (twice the risk), ``lambda``, ``gamma``, ``kappa``.
    """
    moment, spread = sp.symbols("m S", positive=True)
    batch = ETA / GAMMA
    curvature = 1 + (KAPPA - 2) / batch
    step = (-2 * ETA * RATE + curvature * ETA**2 * RATE**2) * moment + ETA**2 / batch * RATE * spread
    return (sp.limit(sp.expand(step / ETA), ETA, 0, "+"),
            -2 * RATE * moment + GAMMA * ((KAPPA - 2) * RATE**2 * moment + RATE * spread))


def decay_in_intrinsic_time():
    """Exponential decay ``eta(tau) = a exp(-c tau)`` over K steps as a function of intrinsic time.

    Returns
    -------
    rate, line : sympy.Expr
        ``eta`` at intrinsic time t after eliminating the step, and the line ``a - c t``.
    length, printed : sympy.Expr
        Intrinsic time of the run, and the printed ``(a - b) K/log(a/b)`` with ``b = a exp(-c K)``.
    """
    tau, t, z, slope = sp.symbols("tau t z c", positive=True)
    eta = PEAK * sp.exp(-slope * tau)
    clock = sp.simplify(sp.integrate(eta.subs(tau, z), (z, 0, tau)))
    step = sp.solve(sp.Eq(clock, t), tau)[0]
    final = PEAK * sp.exp(-slope * STEPS)
    printed = (PEAK - final) * STEPS / sp.expand_log(sp.log(PEAK / final), force=True)
    return sp.simplify(eta.subs(tau, step)), PEAK - slope * t, clock.subs(tau, STEPS), printed


def noise_of_one_mode():
    """``int_0^T lambda^2 exp(-2 lambda (T-z)) (b + c (T-z)) dz`` by integration, and the closed form used in code."""
    length, slope, lag = sp.symbols("T c x", positive=True)
    integral = sp.integrate(sp.expand(RATE**2 * sp.exp(-2 * RATE * lag) * (FINAL + slope * lag)), (lag, 0, length))
    fall = sp.exp(-2 * RATE * length)
    closed = FINAL * RATE * (1 - fall) / 2 + slope * (1 - (1 + 2 * RATE * length) * fall) / 4
    return sp.simplify(integral), closed


def balance(schedule, hard, budget):
    """Exponents (power, log) of the optimal allocation in the budget x, solved from the balances of Sec. 5.

    Parameters
    ----------
    schedule : {"constant", "exponential", "wsd"}
    hard : bool
        Hard regime: the peak rate sits at its cap (gamma ~ 1) and replaces the balance of signal and noise.
    budget : {"data", "compute"}
        x = D, or x = C = M D.

    Returns
    -------
    dict
        ``risk, peak, width, data, signal, noise`` and, for WSD in the hard regime, ``cooldown`` and
        ``least_cooldown``; each a pair of sympy expressions in ``s`` and ``beta``.

    Notes
    -----
    Terms as in :mod:`.allocation`; the best decay fraction r makes the *derivatives* balance,
    ``s r T^{-s} ~ (r D/L)^{1/beta - 1}``, the least one makes the terms balance.  For a data budget the width is the
    least one that keeps the rate.
    """
    if schedule not in ("constant", "exponential", "wsd") or budget not in ("data", "compute"):
        raise ValueError(f"schedule is {schedule!r} and budget {budget!r}; they must be constant, exponential or wsd, "
                         "and data or compute")
    peak, width, data, fraction, least = (sp.Matrix(sp.symbols(f"{n}0 {n}1")) for n in "gmdrq")
    log, forgetting = sp.Matrix([0, 1]), 1 / CAPACITY - 1
    none = sp.zeros(2, 1)
    decay = none if schedule == "constant" else log
    share = fraction if schedule == "wsd" and hard else none
    signal = -SOURCE * (peak + data - (decay if schedule == "exponential" else none))
    noise = peak if schedule == "constant" else peak + forgetting * (share + peak + data - decay)
    equations = [signal + SOURCE * CAPACITY * width,
                 (data if budget == "data" else data + width) - sp.Matrix([1, 0])]
    capped = hard and schedule != "constant"
    equations.append(peak if capped else signal - noise)
    if schedule == "wsd" and hard:
        equations += [signal + fraction - noise, signal - peak - forgetting * (least + peak + data - decay)]
    else:
        equations += [fraction, least]
    unknowns = [*peak, *width, *data, *fraction, *least]
    solved = sp.solve([entry for block in equations for entry in block], unknowns, dict=True)[0]

    def pair(vector):
        return tuple(sp.factor(entry.subs(solved)) for entry in vector)

    found = {"risk": pair(signal), "peak": pair(peak), "width": pair(width), "data": pair(data),
             "signal": pair(signal), "noise": pair(noise)}
    if schedule == "wsd" and hard:
        found |= {"cooldown": pair(fraction), "least_cooldown": pair(least)}
    return found


def evaluate(pair, source, capacity):
    """A pair of symbolic exponents as two floats."""
    at = {SOURCE: sp.nsimplify(source), CAPACITY: sp.nsimplify(capacity)}
    return tuple(float(sp.sympify(entry).subs(at)) for entry in pair)
