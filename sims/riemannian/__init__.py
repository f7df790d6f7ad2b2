"""Adaptive optimizers by experiment: stochastic gradients on quadratics, river valleys and matrices."""
