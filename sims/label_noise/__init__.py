"""Label-noise SGD on two-layer linear networks by experiment."""

from .batches import BatchDescent, simulate_batches
from .descent import Descent, periodic, simulate
from .kernels import NEURONS, OBSERVABLES
from .neurons import draws, neurons
from .oscillation import Oscillation, simulate_oscillation
from .sharpness_aware import SharpnessAware, simulate_sharpness_aware

__all__ = ["NEURONS", "OBSERVABLES", "BatchDescent", "Descent", "Oscillation", "SharpnessAware", "draws", "neurons",
           "periodic", "simulate", "simulate_batches", "simulate_oscillation", "simulate_sharpness_aware"]
