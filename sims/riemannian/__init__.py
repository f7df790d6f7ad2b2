"""Adaptive optimizers by experiment: stochastic gradients on quadratics, river valleys and matrices."""

from .matrices import MatrixDescent, simulate_matrices
from .vectors import Descent, simulate

__all__ = ["Descent", "MatrixDescent", "simulate", "simulate_matrices"]
