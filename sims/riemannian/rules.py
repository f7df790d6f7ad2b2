"""The optimizers of the theory in the terms of the kernel, and what of them cannot be run there."""

import numpy as np

from ...theory.arguments import shown
from ...theory.riemannian.lite import Lite
from ...theory.riemannian.metric_rules import Identity, SecondMoment, SignOfForce, TrustedCurvature
from ...theory.riemannian.optimizers import Optimizer
from ...theory.riemannian.valleys import CurvedValley
from . import kernels

KINDS = {Identity: kernels.PLAIN, SecondMoment: kernels.ADAPTIVE, SignOfForce: kernels.SIGN,
         TrustedCurvature: kernels.CLIPPED}
"""Metric rules that act coordinate by coordinate."""


def rule_of(optimizer) -> kernels.Rule:
    """The kernel's terms of an optimizer, alone or in a ``Lite``.

    Raises
    ------
    ValueError
        For what is no such optimizer, or has a metric that is not diagonal.
    """
    base = base_of(optimizer)
    kind = KINDS.get(type(base.rule))
    if kind is None:
        raise ValueError(f"{base.name} has the metric rule {type(base.rule).__name__}; the simulation is for "
                         f"{', '.join(each.__name__ for each in KINDS)}")
    momentum, rule, lite = base.momentum, base.rule, optimizer is not base
    sharp, more, chi = (optimizer.beta_sharp, optimizer.beta_flat - optimizer.beta_sharp, optimizer.chi) if lite else (
        0.0, 0.0, 1.0)
    return kernels.Rule(kind, float(momentum.theta), bool(momentum.averaged), bool(momentum.correction),
                        float(rule.memory), bool(rule.correction), float(getattr(rule, "epsilon", 0.0)),
                        float(getattr(rule, "clip", 0.0)), float(base.decay), float(momentum.beta + sharp),
                        float(more), float(chi))


def base_of(optimizer) -> Optimizer:
    """The optimizer itself, or the one inside a ``Lite``."""
    base = optimizer.base if isinstance(optimizer, Lite) else optimizer
    if not isinstance(base, Optimizer):
        raise ValueError(f"optimizer is {shown(optimizer)}; it must be one of theory.riemannian.optimizers, or a Lite "
                         "around one")
    return base


def flat_part(optimizer, landscape):
    """Diagonal of the flat projector of a ``Lite``, (d,), and whether it is the tangent of the floor instead.

    Raises
    ------
    ValueError
        For a matrix that is not diagonal, or a function other than the valley's own ``flat``.
    """
    d, projector = landscape.dimension, getattr(optimizer, "projector", None)
    if projector is None:
        return np.zeros(d), False
    if callable(projector):
        if projector != getattr(landscape, "flat", None):
            raise ValueError(f"projector is {shown(projector)}; where it is a function, it must be landscape.flat")
        return np.eye(d)[0], isinstance(landscape, CurvedValley)
    flat = np.diagonal(projector)
    if projector.shape != (d, d) or np.any(projector != np.diag(flat)):
        raise ValueError(f"projector has shape {projector.shape} or is not diagonal; it must be diagonal, ({d}, {d})")
    return np.array(flat), False
