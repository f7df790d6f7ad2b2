"""Label-noise SGD on two-layer linear networks by experiment."""

from .descent import Descent, periodic, simulate

__all__ = ["Descent", "periodic", "simulate"]
