"""Functional scaling laws: power-law regression, its exact risk, and the laws that predict it."""

from .asymptotics import drop_tail, kernel_tail, noise_mass, plateau, risk_tail, signal_tail, stand_in_coefficients
from .compression import Compression, compress, compress_with_error, gauss_counting
from .continuous import Curve, NoiseProfile, eigen_sde_risk, from_schedule, neumann_iterates, sde_risk, volterra_risk
from .continuous_law import ContinuousLaw, continuous_law
from .functional_law import functional_law, kernel, law_terms, picard, power_kernel, power_signal, signal
from .gradient_noise import noise_bounds, noise_covariance
from .optimal_schedule import OptimalSchedule, compute_optimal, optimal_schedule, schedule_by_descent
from .problem import PowerLawRegression, Spectrum
from .random_features import approximation_error_equivalent, effective_ridge, projected_spectra, projected_spectrum
from .recursion import (
    Stability,
    Trajectory,
    critical_rate,
    eigen_risk,
    exact_risk,
    spectral_radius,
    stability,
    stationary_risk,
)
