"""Label-noise SGD on two-layer linear networks."""

from .network import (
    LARGEST,
    TwoLayerLinear,
    critical_step,
    flattest_kernel,
    kernel,
    trace_hessian,
)
from .reduction import (
    descent_path,
    descent_transition,
    generator,
    gram,
    label_noise_path,
    neurons,
    rescaled,
    sgd_transition,
    sharpness_aware_transition,
)
