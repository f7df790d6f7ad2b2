"""Label-noise SGD on two-layer linear networks."""

from .network import (
    LARGEST,
    TwoLayerLinear,
    critical_step,
    descent_transition,
    flattest_kernel,
    generator,
    gram,
    kernel,
    label_noise_path,
    sgd_transition,
    sharpness_aware_transition,
    trace_hessian,
)
