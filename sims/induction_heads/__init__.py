"""Induction heads by experiment: SGD on six scalars and on a whole layer, softmax moments, Markov chains in context."""

from .descent import SECOND_LAYER, Descent, second_stage, simulate
from .emergence import Emergence, simulate_emergence
from .layer import LayerDescent, scalar_start, simulate_layer
from .markov_chains import ChainTraining, Heights, chains, simulate_chains, simulate_heights
from .moments import Moments, simulate_moments

__all__ = ["SECOND_LAYER", "ChainTraining", "Descent", "Emergence", "Heights", "LayerDescent", "Moments", "chains",
           "scalar_start", "second_stage", "simulate", "simulate_chains", "simulate_emergence", "simulate_heights",
           "simulate_layer", "simulate_moments"]
