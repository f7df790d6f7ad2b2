"""Adaptive optimizers as discretised flows on a Riemannian manifold, and LITE.

Matrices have theirs in :mod:`.matrix_optimizers` and :mod:`.muon_lite`.
"""

from . import damping, flows, modes, projectors, river, speed_up
from .high_resolution import VanishingFlow, convex_flow, high_resolution_flow, low_resolution_flow
from .landscapes import CurvedValley, LogisticRegression, MatrixQuadratic, Quadratic, RippledQuadratic, StraightValley
from .lite import Lite
from .lyapunov import AdamFlow
from .metrics import (
    ConstantMetric,
    GradientMetric,
    HalfPlaneMetric,
    MirrorMetric,
    RotatingMetric,
    ShearMetric,
    euclidean,
    lite_metric,
)
from .optimizers import (
    adam,
    adamw,
    gradient_descent,
    heavy_ball,
    lion,
    nadam,
    natural_gradient,
    nesterov,
    rmsprop,
    sign_descent,
    sophia,
)
from .rishd import InertialFlow, MomentumFlow, lite_damping, overdamped_path
