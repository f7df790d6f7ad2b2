"""Adaptive optimizers as discretised flows on a Riemannian manifold, and LITE."""
