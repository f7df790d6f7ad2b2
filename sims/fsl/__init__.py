"""Functional scaling laws by experiment: mini-batch SGD on power-law regression."""

from .descent import Descent, HeavyTailWarning, random_projection, simulate
from .moments import has_finite_variance, largest_safe_rate

__all__ = ["Descent", "HeavyTailWarning", "has_finite_variance", "largest_safe_rate",
           "random_projection", "simulate"]
