r"""Dense peers: networks without a gate, for the same functions.

*On the circle.*  A network of one hidden layer, restricted to the unit circle of a plane, is piecewise in the span of
1, cos t, sin t.  Between nodes ``t_j`` that are h apart, the chord neurons

    A_j = relu(cos(t - (t_j + t_{j+1})/2) - cos(h/2)),      B_j = relu(cos(t - t_j) - cos h)

vanish at all nodes, and at all nodes but t_j: ``sum_j f(t_j) B_j / (1 - cos h)`` plus the A_j that correct the middles
is the interpolant at nodes and middles, and its error is ``max|f' + f'''| h^3 / (72 sqrt 3)`` to leading order,
with 2 n neurons and ``h = 2 pi / n``.  The space R^D around enters only through the plane.

*On a cube.*  The interpolant of one chart on the whole cube is the dense peer of the same interpolant on E subcubes.
"""

import math

import numpy as np

from ..arguments import numbers, positive, shown
from .model import DenseNetwork


def chord_network(profile, nodes, frame=None) -> DenseNetwork:
    """The interpolant of a function of the angle at equally spaced nodes and their middles, by chord neurons.

    Parameters
    ----------
    profile : callable
        Angles to values.
    nodes : array_like, shape (n + 1,)
        Increasing, equally spaced, less than pi/2 apart.  If the last is the first one turn later, the network has 2 n
        neurons and approximates on the whole circle; else 2 n + 1, on the arc.
    frame : array_like, shape (D, 2), optional
        Orthonormal columns that span the plane of the circle; R^2 by default.

    Raises
    ------
    ValueError
        For nodes that are not like this, a frame of another shape, or values that are not finite (it names the angle).
    """
    nodes, frame = numbers(nodes, "nodes"), np.eye(2) if frame is None else numbers(frame, "frame")
    steps = np.diff(nodes) if nodes.ndim == 1 and len(nodes) > 1 else np.zeros(1)
    step = (nodes[-1] - nodes[0]) / len(steps) if steps[0] else 0.0
    if not (0 < step < math.pi / 2 and np.abs(steps - step).max() <= 1e-9 * step):
        raise ValueError(f"nodes are {shown(nodes.tolist())}; they must increase by equal steps less than pi/2")
    if frame.ndim != 2 or frame.shape[1] != 2:
        raise ValueError(f"frame has shape {frame.shape}; it must be (D, 2)")
    tops = nodes[:-1] if abs(nodes[-1] - nodes[0] - 2 * math.pi) <= 1e-9 else nodes
    middles = (nodes[1:] + nodes[:-1]) / 2
    height = _finite(profile, tops) / (1 - math.cos(step))
    beside = height + np.roll(height, -1) if len(tops) < len(nodes) else height[1:] + height[:-1]
    rest = _finite(profile, middles) - beside * (math.cos(step / 2) - math.cos(step))
    angles = np.concatenate([tops, middles])
    biases = np.concatenate([np.full(len(tops), -math.cos(step)), np.full(len(middles), -math.cos(step / 2))])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outer = np.concatenate([height, rest / (1 - math.cos(step / 2))])
    return DenseNetwork((directions @ frame.T, outer[None]), (biases, None))


def dense_width(parameters, inputs, outputs=1) -> int:
    """Width of the largest network of one hidden layer with at most so many parameters.

    Raises
    ------
    ValueError
        If not even one neuron fits; it names the least number.
    """
    inputs, outputs, parameters = (positive(inputs, "inputs"), positive(outputs, "outputs"),
                                   positive(parameters, "parameters"))
    width = (parameters - outputs) // (inputs + 1 + outputs)
    if width < 1:
        raise ValueError(f"parameters are {shown(parameters)}; one neuron takes {inputs + 1 + 2 * outputs}")
    return int(width)


def _finite(profile, angles):
    if not callable(profile):
        raise ValueError(f"profile is {shown(profile)}; it must be callable, from angles to values")
    values = numbers(profile(angles), "values of the profile")
    if values.shape != angles.shape:
        raise ValueError(f"profile returns shape {values.shape} for {len(angles)} angles; it must be ({len(angles)},)")
    if not np.isfinite(values).all():
        worst = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"profile is {values[worst]:g} at the angle {angles[worst]:.6g}; it must be finite")
    return values
