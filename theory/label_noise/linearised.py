r"""A network linearised at its start, trained on labels that are resampled at every step: its loss in closed form.

The experiment of Fig. 3 of arXiv 2603.10397 with the model that it leaves out.  Full-batch gradient descent at rate
``eta`` on ``1/(2 N C) ||f - Y||^2``, N samples and C classes, moves the outputs (N C of them) of the linearised network
by its tangent kernel Theta at the start,

    f <- f - A (f - Y_t),      A = eta Theta/(N C) .

``Y_t`` is fresh at every step: every one-hot label is replaced, with probability p, by one drawn uniformly from all C
classes.  Its mean is not the clean label y but the smoothed one, ``y_bar = (1 - p) y + p/C``, and its covariance within
a sample is ``diag(y_bar) - y_bar y_bar'``.  In the eigenbasis of A, eigenvalues ``a_j``, ``r_j = 1 - a_j`` (derived):

    E f_j(t) = y_bar_j + r_j^t (f_j(0) - y_bar_j),     Var f_j(t) = a_j^2 Q_jj (1 - r_j^{2t})/(1 - r_j^2),
    E loss(t) = 1/(2 N C) (||E f(t) - y||^2 + tr Var f(t)) .

Hence the clean loss does not go to zero however lazy the network: it ends at the *floor*
``((1 - 1/C)^2 + (C - 1)/C^2) p^2/(2 C)``, and, for steps that are not small, a little above.
"""

import numpy as np

from ..arguments import number, numbers


def smoothed(labels, classes, probability):
    """Mean label ``y_bar`` (N, C) of labels (N,) in 0..C-1 resampled with a probability in [0, 1]."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or not np.isin(labels, np.arange(classes)).all():
        raise ValueError(f"labels of shape {labels.shape} do not fit; they must be in 0..{classes - 1}, of shape "
                         "(N,)")
    if not 0 <= number(probability, "probability") <= 1:
        raise ValueError(f"probability is {probability}; it must be in [0, 1]")
    return (1.0 - probability) * np.eye(classes)[labels.astype(int)] + probability / classes


def floor(classes, probability):
    """Clean loss, a mean over outputs with the factor 1/2, of a network that outputs the smoothed labels."""
    if not (2 <= number(classes, "classes") < np.inf and classes == int(classes)):
        raise ValueError(f"classes is {classes}; it must be an integer >= 2")
    if not 0 <= number(probability, "probability") <= 1:
        raise ValueError(f"probability is {probability}; it must be in [0, 1]")
    return 0.5 * probability**2 * ((1.0 - 1.0 / classes) ** 2 + (classes - 1.0) / classes**2) / classes


def expected_loss(tangent_kernel, start, labels, rate, probability, steps, mean_shift=True):
    """Expected clean training loss after given numbers of steps, exactly.

    Parameters
    ----------
    tangent_kernel : array_like, shape (N C, N C)
        Theta at the start, rows ordered sample by sample; symmetric and positive semi-definite.
    start : array_like, shape (N, C)
        ``f(0)``.
    labels : array_like of int, shape (N,)
        Clean classes, in 0..C-1.
    rate : float
        ``eta`` > 0, with ``eta ||Theta||/(N C) < 2``.
    probability : float
        p in [0, 1].
    steps : array_like of int
        >= 0.
    mean_shift : bool
        If False, the mean of the noise is taken off: labels ``Y_t - y_bar + y``.

    Returns
    -------
    ndarray, shape of ``steps``

    Raises
    ------
    ValueError
        For shapes that do not fit, parameters out of range, or a rate beyond stability.
    """
    start, steps = numbers(start, "outputs"), numbers(steps, "steps")
    kernel = numbers(tangent_kernel, "entries of the tangent kernel")
    if start.ndim != 2 or kernel.shape != (start.size, start.size):
        raise ValueError(f"outputs {start.shape} and kernel {kernel.shape} must have shapes (N, C) and (N C, N C)")
    if not (np.isfinite(kernel).all() and np.isfinite(start).all()):
        raise ValueError("outputs or tangent kernel have an entry that is not finite; all must be")
    if not (np.isfinite(steps).all() and (steps >= 0).all()):
        raise ValueError("steps have an entry that is negative or not finite; all must be >= 0")
    mean = smoothed(labels, start.shape[1], probability)
    if len(mean) != len(start):
        raise ValueError(f"labels have shape ({len(mean)},); it must be ({len(start)},), one to a row of outputs")
    values, vectors = np.linalg.eigh(kernel)
    if values[0] < -1e-9 * values[-1]:
        raise ValueError(f"tangent kernel has the eigenvalue {values[0]:g}; all must be >= 0")
    a = np.clip(values, 0.0, None) * number(rate, "rate") / start.size
    if not (rate > 0 and a[-1] < 2):
        raise ValueError(f"rate is {rate:g}; it must be in (0, {2 * start.size / max(values[-1], 1e-300):.6g})")
    clean = np.eye(start.shape[1])[np.asarray(labels, dtype=int)]
    goal = mean if mean_shift else clean
    gap, shift = vectors.T @ (start - goal).ravel(), vectors.T @ (goal - clean).ravel()
    spread = np.zeros(start.size)
    for sample, row in enumerate(mean):
        block = vectors[sample * row.size:(sample + 1) * row.size]
        spread += row @ block**2 - (row @ block) ** 2
    r = 1.0 - a
    # 1 - r^2 = a (2 - a), so that modes the kernel does not see drop out.
    noise = a / (2.0 - a) * spread
    out = [np.sum((shift + r**t * gap) ** 2 + noise * (1.0 - r ** (2.0 * t))) for t in steps.ravel().astype(int)]
    return np.reshape(out, steps.shape) / (2.0 * start.size)


