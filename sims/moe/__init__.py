"""Mixtures of experts trained by Adam."""
