r"""When the risk of one SGD path has a finite variance.

The mean of the risk obeys a linear recursion that is stable up to the critical rate of ``theory.fsl``.  Its variance
is a fourth moment of the iterate, and multiplicative noise makes that diverge much earlier: one Gaussian mode with
batch size 1 needs ``E(1 - x z^2)^4 < 1``, ``x = eta lambda``, which is ``105 x^3 - 60 x^2 + 18 x - 4 < 0``,
``x < 0.38345``, where the mean is stable up to 2/3.  Beyond it a standard error is meaningless: few paths carry
the mean.

Sufficient condition for all modes and any batch size (derived).  Without label noise one step maps u to ``u - eta g``,
``g = (1/B) sum_b x_b <x_b, u>``, and ``|u'|^2 = |u|^2 - D``, ``D = 2 eta <u, g> - eta^2 |g|^2``.  The fourth moment
contracts for every u, and the noise then only adds a bounded amount, if ``2 |u|^2 E D > E D^2``.  For Gaussian
features, with ``q = u'Hu``, ``a = Hu/sqrt q``, ``alpha = |a|^2``, R chi-square with B degrees of freedom and
``y ~ N(0, C)``, ``C = H - a a'``, independent of R,

    <u, g> = q R/B,      |g|^2 = (q R/B^2) (alpha R + 2 sqrt R <a, y> + |y|^2) ,

so both sides are polynomials in ``alpha`` and ``h = a'Ha`` after dividing by ``q |u|^2``:

    2 (2 - eta (c alpha + tr H/B)) > (eta rho/B^2) {4 c_4 R_2 - 4 (eta/B) c_6 (alpha R_3 + tau R_2)
        + (eta/B)^2 c_8 [alpha^2 R_4 + 2 alpha tau R_3 + 4 (h - alpha^2) R_3
                         + (tau^2 + 2 tr H^2 - 4 h + 2 alpha^2) R_2]} ,

``R_n = E R^n``, ``tau = tr H - alpha``, ``rho = q/|u|^2``, ``c = 1 + (k - 2)/B`` for kurtosis k, and ``c_4 = c_6 = c_8
= 1``.  The worst case has ``rho = alpha`` and ``h = alpha lambda_1`` (Cauchy-Schwarz; the coefficient of h is
positive), and ``alpha`` runs over ``[0, lambda_1]``.  With one mode the condition is exact.  For other independent
symmetric features every term is a sum of non-negative monomials, each at most ``c_4, c_8`` (at least ``c_6``) times
its Gaussian value, where these are the extreme products of the ratios ``E z^4/3``, ``E z^6/15``, ``E z^8/105`` of the
degree in question.

For given u, ``E|u'|^4`` is convex in ``eta`` and starts from ``|u|^4``, so a rate below a safe one is safe too; along a
schedule it is enough to look at the largest rate of every batch size.
"""

import numpy as np

MOMENTS = {
    "gaussian": (3.0, 15.0, 105.0),
    "rademacher": (1.0, 1.0, 1.0),
    "uniform": (9.0 / 5.0, 27.0 / 7.0, 9.0),
    "laplace": (6.0, 90.0, 2520.0),
}
"""Fourth, sixth and eighth moments of the standardised feature laws."""


def has_finite_variance(spectrum, rate, batch_size=1, features="gaussian"):
    """Whether the sufficient condition above holds: the risk of a path then has bounded variance.

    Parameters
    ----------
    spectrum : Spectrum
        Modes of the model.
    rate : float
        Learning rate >= 0.
    batch_size : float
        B >= 1.
    features : str
        A key of :data:`MOMENTS`.

    Returns
    -------
    bool
        Exact for one Gaussian mode; otherwise False may be a false alarm, True never is.
    """
    fourth, sixth, eighth = MOMENTS[features]
    f, s, e = fourth / 3.0, sixth / 15.0, eighth / 105.0
    c4, c6, c8 = max(1.0, f), min(1.0, f, s), max(1.0, f, f * f, s, e)
    size, per_sample = float(batch_size), rate / batch_size
    top = float(spectrum.eigenvalues.max())
    trace, square = spectrum.trace, float(np.sum(spectrum.multiplicity * spectrum.eigenvalues**2))
    r2 = size * (size + 2.0)
    r3 = r2 * (size + 4.0)
    r4 = r3 * (size + 6.0)
    alpha = np.linspace(0.0, top, 513)
    tau, h = trace - alpha, alpha * top
    quartic = (alpha**2 * r4 + 2.0 * alpha * tau * r3 + 4.0 * (h - alpha**2) * r3
               + (tau**2 + 2.0 * square - 4.0 * h + 2.0 * alpha**2) * r2)
    braces = 4.0 * c4 * r2 - 4.0 * per_sample * c6 * (alpha * r3 + tau * r2) + per_sample**2 * c8 * quartic
    drift = 2.0 * (2.0 - rate * ((1.0 + (fourth - 2.0) / size) * alpha + trace / size))
    return bool(np.all(drift > rate * alpha / size**2 * braces))


def largest_safe_rate(spectrum, batch_size=1, features="gaussian"):
    """Largest learning rate for which :func:`has_finite_variance` holds, to a relative 1e-9."""
    low, high = 0.0, 2.0 * batch_size / spectrum.trace
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if has_finite_variance(spectrum, middle, batch_size, features) else (low, middle)
    return low
