"""Claims about the metric of each optimizer: its published step is ``w <- w - eta F^{-1} (m + beta g)``.

The steps are written out as their papers have them, in their own variables, on a path of several steps; F is an
explicit matrix, which is solved with.  All is derived; the paper's own table of metrics was not at hand.
"""

from functools import cache

import numpy as np
from scipy.linalg import fractional_matrix_power, polar

from ...theory.riemannian import matrix_optimizers as matrices
from ...theory.riemannian import optimizers as vectors
from ...theory.riemannian.landscapes import LogisticRegression, MatrixQuadratic, RippledQuadratic
from ...theory.riemannian.lite import Lite
from ...theory.riemannian.matrix_rules import FORMS, PolarFactor
from ...theory.riemannian.metric_rules import SignOfForce
from .. import judges
from ..claim import claim
from .orders import weakest
from .paper import LITE

TOLERANCE = 1e-12
"""Relative; rounding times the condition of the metrics, which stays below 100."""
STEPS = 12
RIPPLED = RippledQuadratic([0.4, 1.0, 2.5, 6.0], 0.3, [1.0, -0.5, 0.7, 0.2])
POINT = np.array([1.0, -0.8, 1.2, 0.5])
PANEL = MatrixQuadratic(np.array([[0.5, 1.5, 1.0], [2.0, 0.7, 1.2], [1.0, 0.4, 1.7]]))
WEIGHTS = np.array([[1.2, -0.3, 0.4], [0.2, 0.9, -0.5], [-0.4, 0.3, 1.1]])
LOGISTIC = LogisticRegression(np.sin(np.arange(1.0, 41.0)[:, None] * np.sqrt([2.0, 3.0, 5.0, 7.0])),
                              np.tile([1.0, -1.0], 20), 0.05)
ETA, FIRST, SECOND, EPSILON, DECAY, RHO = 0.02, 0.9, 0.95, 1e-3, 0.3, 0.4


def _plain(w, g, kept, k, extra):
    return w - ETA * g, {}


def _polyak(w, g, kept, k, extra):
    new = w - ETA * g + FIRST * (w - kept.get("before", w))
    return new, {"before": w}


def _nesterov(w, g, kept, k, extra):
    """``buf <- b1 buf + g``, ``w <- w - lr (g + b1 buf)``, with the learning rate eta/b1 of this form."""
    buffer = FIRST * kept.get("buffer", 0.0 * g) + g
    return w - ETA / FIRST * (g + FIRST * buffer), {"buffer": buffer}


def _rmsprop(w, g, kept, k, extra):
    v = SECOND * kept.get("v", g * g) + (1 - SECOND) * g * g
    return w - ETA * g / (np.sqrt(v) + EPSILON), {"v": v}


def _adam(w, g, kept, k, extra, decay=0.0):
    m, v = FIRST * kept.get("m", 0.0) + (1 - FIRST) * g, SECOND * kept.get("v", 0.0) + (1 - SECOND) * g**2
    shrunk = w * (1 - ETA * decay)
    return shrunk - ETA * (m / (1 - FIRST**k)) / (np.sqrt(v / (1 - SECOND**k)) + EPSILON), {"m": m, "v": v}


def _adamw(w, g, kept, k, extra):
    return _adam(w, g, kept, k, extra, DECAY)


def _nadam(w, g, kept, k, extra):
    m, v = FIRST * kept.get("m", 0.0) + (1 - FIRST) * g, SECOND * kept.get("v", g * g) + (1 - SECOND) * g**2
    return w - ETA / FIRST * (FIRST * m + (1 - FIRST) * g) / (np.sqrt(v) + EPSILON), {"m": m, "v": v}


def _sign(w, g, kept, k, extra):
    return w - ETA * np.where(g > 0, 1.0, -1.0), {}


def _lion(w, g, kept, k, extra):
    m = kept.get("m", 0.0 * g)
    return w - ETA * np.sign(FIRST * m + (1 - FIRST) * g), {"m": SECOND * m + (1 - SECOND) * g}


def _sophia(w, g, kept, k, extra):
    m, h = FIRST * kept.get("m", 0.0) + (1 - FIRST) * g, SECOND * kept.get("h", extra) + (1 - SECOND) * extra
    return w - ETA * np.clip(m / np.maximum(RHO * h, EPSILON), -1, 1), {"m": m, "h": h}


def _natural(w, g, kept, k, extra):
    return w - ETA * np.linalg.lstsq(extra, g, rcond=None)[0], {}


def _shampoo(w, g, kept, k, extra, sides=2):
    m = FIRST * kept.get("m", 0.0) + (1 - FIRST) * g
    left = SECOND * kept.get("l", g @ g.T) + (1 - SECOND) * g @ g.T
    right = SECOND * kept.get("r", g.T @ g) + (1 - SECOND) * g.T @ g
    lift = EPSILON * np.eye(len(g))
    if sides == 1:
        step = m @ fractional_matrix_power(right + lift, -0.5)
    else:
        step = fractional_matrix_power(left + lift, -0.25) @ m @ fractional_matrix_power(right + lift, -0.25)
    return w - ETA * step, {"m": m, "l": left, "r": right}


def _one_sided(w, g, kept, k, extra):
    return _shampoo(w, g, kept, k, extra, 1)


def _soap(w, g, kept, k, extra):
    m = FIRST * kept.get("m", 0.0) + (1 - FIRST) * g
    left = SECOND * kept.get("l", g @ g.T) + (1 - SECOND) * g @ g.T
    right = SECOND * kept.get("r", g.T @ g) + (1 - SECOND) * g.T @ g
    u, v = (np.linalg.eigh(each)[1] for each in (left, right))
    squares = SECOND * kept.get("v", np.full(g.shape, np.mean(g * g))) + (1 - SECOND) * (u.T @ g @ v) ** 2
    return w - ETA * u @ ((u.T @ m @ v) / (np.sqrt(squares) + EPSILON)) @ v.T, {"m": m, "l": left, "r": right,
                                                                                "v": squares}


def _muon(w, g, kept, k, extra):
    """``buf <- b1 buf + g``, the polar factor of ``g + b1 buf``, by another route than the SVD: Higham's."""
    buffer = FIRST * kept.get("buffer", 0.0 * g) + g
    return w - ETA * polar(g + FIRST * buffer)[0], {"buffer": buffer}


def _diagonal(w):
    return np.diag(RIPPLED.hessian(w))


@cache
def _rows():
    """Name: optimizer, the published step, landscape, start, curvature."""
    plain, panel = (RIPPLED, POINT, None), (PANEL, WEIGHTS, None)
    muon = {f"Muon, {form} form": (matrices.muon(ETA, FIRST, form=form), _muon, *panel) for form in FORMS}
    return {
        "gradient descent": (vectors.gradient_descent(ETA), _plain, *plain),
        "heavy ball": (vectors.heavy_ball(ETA, FIRST), _polyak, *plain),
        "Nesterov": (vectors.nesterov(ETA, FIRST), _nesterov, *plain),
        "RMSProp": (vectors.rmsprop(ETA, SECOND, EPSILON), _rmsprop, *plain),
        "Adam": (vectors.adam(ETA, FIRST, SECOND, EPSILON), _adam, *plain),
        "AdamW": (vectors.adamw(ETA, FIRST, SECOND, EPSILON, DECAY), _adamw, *plain),
        "NAdam": (vectors.nadam(ETA, FIRST, SECOND, EPSILON, correction=False), _nadam, *plain),
        "signSGD": (vectors.sign_descent(ETA), _sign, *plain),
        "Lion": (vectors.lion(ETA, FIRST, SECOND), _lion, *plain),
        "Sophia": (vectors.sophia(ETA, FIRST, SECOND, RHO, EPSILON), _sophia, RIPPLED, POINT, _diagonal),
        "natural gradient": (vectors.natural_gradient(ETA), _natural, LOGISTIC, POINT, LOGISTIC.hessian),
        "Shampoo": (matrices.shampoo(ETA, FIRST, SECOND, EPSILON), _shampoo, *panel),
        "Shampoo, one side": (matrices.shampoo(ETA, FIRST, SECOND, EPSILON, True), _one_sided, *panel),
        "SOAP": (matrices.soap(ETA, FIRST, SECOND, EPSILON), _soap, *panel), **muon}


def _deviation(name, wrong=None):
    """Largest relative distance over the path between the published step and ``eta (F^{-1} (m + beta g) + lambda w)``.

    `wrong` changes the force or the metric: a function of (state, gradient, force, F).
    """
    optimizer, published, landscape, w, curvature = _rows()[name]
    extra = None if curvature is None else curvature(w)
    state, kept, worst = optimizer.start(w, landscape.gradient(w), extra), {}, 0.0
    for k in range(1, STEPS + 1):
        g, extra = landscape.gradient(w), None if curvature is None else curvature(w)
        state = optimizer.accumulate(state, g, extra)
        force, metric = optimizer.force(state, g), optimizer.metric(state, g).as_matrix()
        if wrong is not None:
            force, metric = wrong(optimizer, g, force, metric)
        step = np.linalg.solve(metric, force.ravel()).reshape(w.shape) + optimizer.decay * w
        new, kept = published(w, g, kept, k, extra)
        worst = max(worst, np.abs((w - new) - ETA * step).max() / np.abs(w - new).max())
        w = new
        state = state._replace(parameters=w)
    return worst


def _table(wrong=None, names=None):
    return {name: judges.inequality(_deviation(name, wrong), TOLERANCE) for name in names or _rows()}


@claim("metric_table", topic="riemannian", paper=LITE, where="preconditioner as metric", stance="derived",
       statement="every optimizer's published step is w <- w - eta (F^-1 (m + beta g) + lambda w), F explicit and SPD, "
                 "once its averages start alike")
def metric_table(effort):
    """18 rows, 12 steps each; F is positive definite where Cholesky's factorisation of it succeeds.

    Averages without a correction start here where the gradient had always been the first one: v = g^2 for RMSProp and
    NAdam (published: 0), the mean of g^2 for SOAP; Shampoo averages what is published as a sum; NAdam is without its
    correction, which Dozat shifts by a step.
    """
    for optimizer, _, landscape, w, curvature in _rows().values():
        g, extra = landscape.gradient(w), None if curvature is None else curvature(w)
        np.linalg.cholesky(optimizer.metric(optimizer.accumulate(optimizer.start(w, g, extra), g, extra),
                                            g).as_matrix())
    return judges.every(**_table())


@metric_table.control("the gradient in place of m + beta g, in every row with momentum")
def _(effort):
    return weakest(**_table(lambda optimizer, g, force, metric: (g, metric),
                            [name for name, row in _rows().items() if row[0].momentum.alpha < 1.0]))


@metric_table.control("without beta, in every row that has it")
def _(effort):
    return weakest(**_table(lambda optimizer, g, force, metric: (force - optimizer.momentum.beta * g, metric),
                            [name for name, row in _rows().items() if row[0].momentum.beta]))


@metric_table.control("no metric, F = 1, in every row that has one")
def _(effort):
    return weakest(**_table(lambda optimizer, g, force, metric: (force, np.eye(len(metric))),
                            [name for name in _rows() if name not in ("gradient descent", "heavy ball", "Nesterov")]))


@metric_table.control("F squared, in every row that has one")
def _(effort):
    return weakest(**_table(lambda optimizer, g, force, metric: (force, metric @ metric),
                            [name for name in _rows() if name not in ("gradient descent", "heavy ball", "Nesterov")]))


@cache
def _momentum_and_gradient():
    """A momentum with singular values 2, 1, 0.5 and another gradient."""
    u, v = np.linalg.svd(WEIGHTS)[0], np.linalg.svd(PANEL.curvatures)[2]
    return (u * [2.0, 1.0, 0.5]) @ v, PANEL.gradient(WEIGHTS)


def _forms(matrix):
    m, _ = _momentum_and_gradient()
    return np.stack([PolarFactor(form).metric((), m).solve(matrix) for form in FORMS])


def _apart(found):
    """Smallest relative distance of two of the forms."""
    pairs = [(a, b) for a in range(len(FORMS)) for b in range(a)]
    return min(np.linalg.norm(found[a] - found[b]) / np.linalg.norm(found[a]) for a, b in pairs)


@claim("muon_metric_not_unique", topic="riemannian", paper=LITE, where="preconditioner as metric", stance="derived",
       statement="four metrics have F^-1 M = msign(M), the same step; no two of them agree on the gradient, nor "
                 "F^-1 G with msign(G)")
def muon_metric_not_unique(effort):
    """So Algorithm 1 around Muon is not one method, until its metric is named; 5 % is set as what counts as apart."""
    m, g = _momentum_and_gradient()
    on_gradient = _forms(g)
    sign = np.broadcast_to(polar(g)[0], on_gradient.shape)
    away = np.linalg.norm(on_gradient - sign, axis=(1, 2)) / np.linalg.norm(sign[0])
    return judges.every(same=judges.equal(_forms(m), polar(m)[0], atol=1e-13),
                        apart=judges.inequality(0.05, _apart(on_gradient)),
                        sign=judges.inequality(0.05, away, at={"form": list(FORMS)}))


@muon_metric_not_unique.control("they agree on the gradient too, as Shampoo's and Muon's do on G itself")
def _(effort):
    return judges.equal(_forms(_momentum_and_gradient()[1]), polar(_momentum_and_gradient()[1])[0], atol=1e-13)


@muon_metric_not_unique.control("on the momentum itself no two agree")
def _(effort):
    return judges.inequality(0.05, _apart(_forms(_momentum_and_gradient()[0])))


SMALLEST = 10.0 ** -np.arange(1.0, 7.0)


def _damping_norm(form, step):
    """Norm of the damping's part of the step as the smallest singular value of M tends to 0."""
    m, g = _momentum_and_gradient()
    u, _, vt = np.linalg.svd(m)
    norms = [np.linalg.norm(step(PolarFactor(form), (u * [2.0, 1.0, small]) @ vt, g)) for small in SMALLEST]
    return judges.order(SMALLEST, norms, -1.0, 0.02)


def _sign_damping(solve):
    norms = [np.linalg.norm(solve(np.array([2.0, -1.0, small]), np.array([0.3, 1.0, -0.7]))) for small in SMALLEST]
    return judges.order(SMALLEST, norms, -1.0, 0.02)


@claim("damping_unbounded", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="around Muon |F(M)^-1 G| ~ 1/sigma_min(M) in all four metrics, around a sign |F^-1 g| ~ 1/min|m|: the "
                 "damping term has no bound, unlike M's own")
def damping_unbounded(effort):
    """The entry (k, k) of F^{-1} G in M's singular basis is G_kk/sigma_k whatever the form; msign(G) has no such."""
    return judges.every(
        sign=_sign_damping(lambda m, g: SignOfForce().metric((), m).solve(g)),
        **{form: _damping_norm(form, lambda rule, m, g: rule.metric((), m).solve(g)) for form in FORMS})


@damping_unbounded.control("sign(g) in its place")
def _(effort):
    return _sign_damping(lambda m, g: SignOfForce().solve((), g))


@damping_unbounded.control("msign(G) in its place, as the published code of Muon-LITE has it")
def _(effort):
    return _damping_norm("symmetric", lambda rule, m, g: rule.solve((), g))


@damping_unbounded.control("M in the place of G")
def _(effort):
    return weakest(**{form: _damping_norm(form, lambda rule, m, g: rule.metric((), m).solve(m)) for form in FORMS})


TILT = np.array([0.6, 0.0, 0.8, 0.0])
METRIC = np.diag([1.0, 2.0, 4.0, 0.5]) + 0.2


def _rewrite(nesterov, commuting, damping):
    """Largest relative violation of the one-line form of Algorithm 1, with B on the left or the right of G."""
    theta, chi, flat, sharp = 0.9, 3.0, 1.5, 0.4
    metric = np.eye(4) if commuting else METRIC
    base = vectors.natural_gradient(ETA, theta)
    base = vectors.Optimizer(base.name, ETA, vectors.Momentum(1 - theta, nesterov=nesterov), base.rule)
    own = base.momentum.beta
    q, one = np.outer(TILT, TILT), np.eye(4)
    method = Lite(base, q, chi, flat, sharp)
    gain, inverse = (one - q) + chi * q, np.linalg.inv(metric)
    b = (own + sharp) * (one - q) + (own + flat) * q
    product = {"left": b @ gain @ inverse, "right": gain @ inverse @ b}[damping]
    path, gradients = [POINT], []
    state = method.start(POINT, RIPPLED.gradient(POINT), metric)
    for _ in range(40):
        gradients.append(RIPPLED.gradient(path[-1]))
        state = method.step(state, gradients[-1], metric)
        path.append(state.parameters)
    w, g = np.array(path), np.array(gradients)
    lhs = w[2:] - w[1:-1] - theta * (w[1:-1] - w[:-2])
    rhs = -ETA * (g[1:] @ (gain @ inverse + product).T - theta * g[:-1] @ product.T)
    return judges.inequality(np.abs(lhs - rhs).max() / np.abs(lhs).max(), 1e-12)


@claim("lite_rewrite", topic="riemannian", paper=LITE, where="Algorithm 1", stance="derived",
       statement="w_{k+1} - w_k - theta (w_k - w_{k-1}) = -eta [(I+B) G g_k - theta B G g_{k-1}], "
                 "G = [(I-Q) + chi Q] F^-1, B = (I-Q) b1 + Q b2")
def lite_rewrite(effort):
    """For constant Q and F that need not commute: B stands to the left of G."""
    return judges.every(apart=_rewrite(False, False, "left"), nesterov=_rewrite(True, False, "left"),
                        commuting=_rewrite(False, True, "left"))


@lite_rewrite.control("B to the right of G, with Q and F that do not commute")
def _(effort):
    return _rewrite(False, False, "right")
