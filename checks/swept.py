"""The simulations and evaluators of theory that a sweep can run, and how their parameters are written.

A schedule is a table such as ``{kind = "wsd", steps = 1000, peak = 0.1, cooldown = 0.2, warmup = 50}``: kind is a
function of :mod:`theorycheck.theory.learning_rates` (or ``array`` with ``rates``), the rest its arguments, and
``warmup`` puts a linear warm-up in front.  A batch size is an integer or a table whose kind is a function of
:mod:`theorycheck.theory.batch_sizes`.  ``times`` is a list of steps, or about how many times to record; without it only
the end is recorded.  Landscapes and optimizers are tables, too: ``{kind = "adam", rate = 0.01}``.
"""

import inspect
import math

import numpy as np

from ..sims import induction_heads as induction_sims
from ..sims import label_noise as label_noise_sims
from ..sims.fsl import Descent, kernels
from ..sims.label_noise import kernels as label_noise_kernels
from ..sims.moe.training import Training
from ..sims.riemannian import Descent as OptimizerDescent
from ..sims.riemannian import MatrixDescent
from ..sims.riemannian import kernels as optimizer_kernels
from ..sims.riemannian.vectors import seconds as optimizer_seconds
from ..theory import batch_sizes, label_noise, learning_rates
from ..theory.arguments import numbers, shown
from ..theory.fsl import PowerLawRegression, exact_risk, functional_law, recursion
from ..theory.induction_heads.population_loss import Task
from ..theory.riemannian import landscapes, matrix_optimizers, optimizers, valleys
from ..theory.riemannian.lite import Lite
from ..theory.riemannian.muon_lite import MuonLite
from .experiment import Simulation, experiment

SCHEDULES = {name: getattr(learning_rates, name) for name in
             ("constant", "linear", "cosine", "exponential", "power", "wsd", "cyclic", "multi_step")}
"""Kinds of learning-rate schedules; ``array`` is one more."""
BATCHES = {name: getattr(batch_sizes, name) for name in ("constant", "linear", "exponential", "stages")}
"""Kinds of batch-size schedules."""
LANDSCAPES = {"quadratic": landscapes.Quadratic, "straight_valley": valleys.StraightValley,
              "curved_valley": valleys.CurvedValley}
"""Kinds of landscapes for vector optimizers."""
OPTIMIZERS = {name: getattr(optimizers, name) for name in
              ("gradient_descent", "heavy_ball", "nesterov", "rmsprop", "adam", "adamw", "nadam", "sign_descent",
               "lion", "sophia")}
"""Kinds of vector optimizers."""
MATRIX_OPTIMIZERS = {"muon_lite": MuonLite, **{name: getattr(matrix_optimizers, name) for name in
                                               ("muon", "shampoo", "soap")}}
"""Kinds of matrix optimizers."""
DRAWS_PER_SECOND = 4e8
"""On one core, roughly; it decides where work is cut and changes no bit."""


@experiment("fsl.descent", replicated=True)
def fsl_descent(source, capacity, width, schedule, noise=1.0, features="gaussian", batch_size=1, times=None):
    """Excess risk of SGD on power-law regression, by Monte Carlo."""
    problem, rates, sizes, steps = _fsl(source, capacity, width, schedule, noise, features, batch_size, times)
    made = Descent(problem, rates, sizes, steps)
    return Simulation(made, (("step", "intrinsic_time"),), made.draws / DRAWS_PER_SECOND, kernels.LANES)


@experiment("fsl.exact_risk")
def fsl_exact_risk(source, capacity, schedule, width=math.inf, noise=1.0, features="gaussian", batch_size=1,
                   times=None):
    """The expectation of the same risk, by the exact recursion."""
    problem, rates, sizes, steps = _fsl(source, capacity, width, schedule, noise, features, batch_size, times)
    return lambda: _trajectory(exact_risk(problem, rates, sizes, steps))


@experiment("fsl.functional_law")
def fsl_functional_law(source, capacity, schedule, width=math.inf, noise=1.0, batch_size=1, times=None, kernel="modes",
                       amplitude="printed", limit="width"):
    """What the functional scaling law predicts for it."""
    problem, rates, sizes, steps = _fsl(source, capacity, width, schedule, noise, "gaussian", batch_size, times)
    return lambda: _trajectory(functional_law(problem, rates, sizes, steps, kernel, amplitude, limit))


@experiment("label_noise.descent", replicated=True)
def label_noise_descent(dimension, width, step, noise, target_norm, steps, samples=math.inf, first_scale=1.0,
                        second_scale=1.0, loss_factor=0.5, times=None, method="reduced", neurons=False, catapult=False):
    """Observables of label-noise SGD on a two-layer linear network, by Monte Carlo."""
    model = label_noise.TwoLayerLinear(dimension, width, step, noise, target_norm, samples, first_scale, second_scale,
                                       loss_factor)
    for name, value in (("neurons", neurons), ("catapult", catapult)):
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {shown(value)}; it must be true or false")
    made = label_noise_sims.Descent(model, steps, _recorded(steps, times), method=method, neurons=neurons,
                                    catapult=catapult)
    per_step = model.dimension * (model.dimension + 8.0 if method == "reduced" else 1.0 + model.width)
    return Simulation(made, (("step", "slow_time"), ("observable",)), 5e-10 * per_step * float(made.steps),
                      label_noise_kernels.LANES)


@experiment("label_noise.sharpness_aware", replicated=True)
def label_noise_sharpness_aware(dimension, width, step, radius, target_norm, steps, samples=math.inf, first_scale=1.0,
                                second_scale=1.0, loss_factor=0.5, times=None, neurons=False, catapult=False,
                                collapse=False):
    """The same observables under sharpness-aware minimisation with batch size 1 on clean labels."""
    model = label_noise.TwoLayerLinear(dimension, width, step, 0.0, target_norm, samples, first_scale, second_scale,
                                       loss_factor)
    made = label_noise_sims.SharpnessAware(model, steps, radius, _recorded(steps, times), neurons=neurons,
                                           catapult=catapult, collapse=collapse)
    return _along_steps(made, 1.0)


@experiment("label_noise.batches", replicated=True)
def label_noise_batches(dimension, width, step, noise, target_norm, steps, batch_size, samples=math.inf,
                        first_scale=1.0, second_scale=1.0, loss_factor=0.5, times=None, neurons=False, catapult=False):
    """The same observables under label-noise SGD on batches, or gradient descent (``batch_size = inf``)."""
    model = label_noise.TwoLayerLinear(dimension, width, step, noise, target_norm, samples, first_scale, second_scale,
                                       loss_factor)
    made = label_noise_sims.BatchDescent(model, steps, batch_size, _recorded(steps, times), neurons=neurons,
                                         catapult=catapult)
    return _along_steps(made, model.samples if made.batch_size == math.inf else made.batch_size)


@experiment("label_noise.oscillation", replicated=True)
def label_noise_oscillation(dimension, width, step, target_norm, steps, amplitude=None, samples=math.inf,
                            first_scale=1.0, loss_factor=0.5, times=None, neurons=False, frozen=False):
    """The same observables under a second layer that oscillates by itself, by Monte Carlo."""
    model = label_noise.TwoLayerLinear(dimension, width, step, 0.0, target_norm, samples, first_scale, 1.0, loss_factor)
    made = label_noise_sims.Oscillation(model, steps, amplitude, _recorded(steps, times), neurons=neurons,
                                        frozen=frozen)
    return _along_steps(made, width / model.dimension)


@experiment("induction_heads.descent", replicated=True)
def induction_heads_descent(weight, similarity, length, steps, start, trained=induction_sims.SECOND_LAYER, rate=0.5,
                            batch_size=1500, times=None, logit="quadratic"):
    """Six scalars and two losses along SGD; a number for `start` is the scale of Stage II."""
    made = _induction_descent(weight, similarity, length, steps, start, trained, rate, batch_size, times, logit)
    return Simulation(made, (("step", "time"), ("observable",)), 3e-9 * made.tokens)


@experiment("induction_heads.emergence", replicated=True)
def induction_heads_emergence(weight, similarity, length, steps, start, trained=("b", "w"), rate=0.5, batch_size=1500,
                              logit="quadratic", fraction=0.5):
    """Time at which the induction head emerges along SGD."""
    made = _induction_descent(weight, similarity, length, steps, start, trained, rate, batch_size, None, logit)
    return Simulation(induction_sims.Emergence(made, fraction), (("observable",),), 1e-9 * made.tokens)


@experiment("induction_heads.moments", replicated=True)
def induction_heads_moments(similarity, length, scale, dimension=1, batch_size=256, value="next"):
    """N times the mean products of softmax averages in a context of N keys."""
    made = induction_sims.Moments(Task(1.0, similarity, length, dimension), scale, batch_size, value)
    return Simulation(made, (("observable",),), 3e-9 * batch_size * length * dimension)


@experiment("induction_heads.markov_chains", replicated=True)
def induction_heads_markov_chains(states, length, schedule, scale=0.05, batch_size=64, first_layer="learned",
                                  times=None, tests=2000, values="fixed"):
    """A two-layer attention model in training on Markov chains; an integer for `schedule` is its number of steps."""
    if not isinstance(schedule, dict | int):
        raise ValueError(f"schedule is {shown(schedule)}; it must be a table, or an integer number of steps")
    rates = schedule_of(schedule) if isinstance(schedule, dict) else schedule
    made = induction_sims.ChainTraining(states, length, rates, scale, batch_size, first_layer,
                                        _recorded(rates if isinstance(rates, int) else rates.steps, times), tests,
                                        values)
    return Simulation(made, (("step",), ("observable",)), 4e-7 * made.schedule.steps * batch_size * length)


@experiment("moe.training", replicated=True)
def moe_training(task, experts, width, steps, depth=1, dimension=2, gate="softmax", gate_bias=False, state=4, rate=1e-3,
                 batch_size=128, samples=None, times=None):
    """Test error of a mixture of experts along Adam."""
    made = Training(task, experts, width, steps, depth, dimension, gate, gate_bias, state, rate, batch_size, samples,
                    _recorded(steps, times))
    return Simulation(made, (("step",),), 7e-11 * made.work)


@experiment("riemannian.vectors", replicated=True)
def riemannian_vectors(landscape, optimizer, steps, start, chi=1.0, beta_flat=0.0, beta_sharp=0.0, flat=None, noise=0.0,
                       curvature_noise=0.0, batch_size=1, schedule=None, times=None, averaged=False):
    """Losses of a vector optimizer, alone or in a LITE with the exact projector.

    ``landscape`` and ``optimizer`` are tables with a kind; ``flat`` lists the flat coordinates of a quadratic, in a
    valley it is the river; ``schedule`` multiplies the optimizer's rate.
    """
    ground = _called(_kind(LANDSCAPES, _table(landscape, "landscape"), "landscape"), landscape, "landscape")
    base = _called(_kind(OPTIMIZERS, _table(optimizer, "optimizer"), "optimizer"), optimizer, "optimizer")
    lite, valley = (chi, beta_flat, beta_sharp) != (1.0, 0.0, 0.0), hasattr(ground, "flat")
    if flat is not None and (valley or not lite):
        raise ValueError(f"flat is {shown(flat)}; it must be left out " +
                         ("in a valley, where it is the river" if valley else "where chi is 1 and the betas are 0"))
    if lite and not valley and flat in (None, []):
        raise ValueError(f"flat is {shown(flat)}; with chi = {shown(chi)}, beta_flat = {shown(beta_flat)} and "
                         f"beta_sharp = {shown(beta_sharp)} it must list the flat coordinates of the quadratic")
    if lite:
        base = Lite(base, ground.flat if valley else _mask(flat, ground.dimension), chi, beta_flat,
                    beta_sharp)
    factors = None if schedule is None else schedule_of(schedule)
    made = OptimizerDescent(ground, base, steps, start, noise, curvature_noise, batch_size, factors,
                            _recorded(steps, times), averaged)
    return Simulation(made, (("step", "time"), ("observable",)), optimizer_seconds(made), optimizer_kernels.LANES)


@experiment("riemannian.matrices", replicated=True)
def riemannian_matrices(curvatures, optimizer, rates, steps, rows, scale=1.0, noise=0.0, curvature_noise=0.0,
                        batch_size=1, schedule=None, times=None):
    """Losses of a matrix optimizer at one or several learning rates, curvatures by column."""
    made = _called(_kind(MATRIX_OPTIMIZERS, _table(optimizer, "optimizer"), "optimizer"), optimizer, "optimizer",
                   **({} if optimizer["kind"] == "muon_lite" else {"rate": 1.0}))
    ground, factors = landscapes.MatrixQuadratic(curvatures), None if schedule is None else schedule_of(schedule)
    if isinstance(rows, bool) or not isinstance(rows, int) or not 2 <= rows <= 4096:
        raise ValueError(f"rows is {shown(rows)}; it must be an integer in 2..4096")
    spread = np.broadcast_to(numbers(scale, "scales"), (rows, ground.curvatures.shape[-1]))
    made = MatrixDescent(ground, made, rates, steps, spread, noise, curvature_noise, batch_size, factors,
                         times=_recorded(steps, times))
    work = made.rates.size * float(made.times[-1]) * spread.size * min(spread.shape)
    return Simulation(made, (("rate",), ("step",), ("observable",)), 1e-8 * work)


def _table(value, name):
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {shown(value)}; it must be a table with a kind")
    return value


def _mask(flat, dimension):
    """The diagonal projector on listed coordinates."""
    wanted = [] if flat is None else list(flat) if isinstance(flat, list | tuple) else [flat]
    for each in wanted:
        if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each < dimension:
            raise ValueError(f"flat is {shown(flat)}; it must list coordinates in 0..{dimension - 1}")
    return np.diag(np.isin(np.arange(dimension), wanted).astype(float))


def _induction_descent(weight, similarity, length, steps, start, trained, rate, batch_size, times, logit):
    begin = start if isinstance(start, list) else induction_sims.second_stage(start)
    trained = tuple(trained) if isinstance(trained, list) else trained
    return induction_sims.Descent(Task(weight, similarity, length), steps, begin, trained, rate, batch_size,
                                  _recorded(steps, times), logit)


def _along_steps(made, inputs):
    """An experiment of one replica at a time, whose step looks at so many inputs."""
    dimension = made.model.dimension
    per_step = dimension * (dimension + 8.0 + (8.0 + 0.5 * inputs if math.isfinite(inputs) else 0.0))
    return Simulation(made, (("step", "slow_time"), ("observable",)), 5e-10 * per_step * float(made.steps))


def schedule_of(value) -> learning_rates.Schedule:
    """The schedule that a table describes.

    Raises
    ------
    ValueError
        If it is no table, of an unknown kind, lacks an argument or has one too many, or one is out of range.
    """
    if not isinstance(value, dict):
        raise ValueError(f"schedule is {shown(value)}; it must be a table such as "
                         '{kind = "wsd", steps = 1000, peak = 0.1}')
    rest = dict(value)
    warmup = rest.pop("warmup", None)
    if value.get("kind") == "array":
        made = _called(lambda rates: learning_rates.from_array(rates), rest, "schedule 'array'")
    else:
        made = _called(_kind(SCHEDULES, value, "schedule", ("array",)), rest, f"schedule {value.get('kind')!r}")
    return made if warmup is None else learning_rates.warmup(made, warmup)


def batch_size_of(value, steps: int):
    """A batch size, or the batch-size schedule of so many steps that a table describes; errors as in schedules."""
    if not isinstance(value, dict):
        return batch_sizes.constant(steps, value)
    return _called(_kind(BATCHES, value, "batch_size"), value, f"batch_size {value.get('kind')!r}", steps=steps)


def _fsl(source, capacity, width, schedule, noise, features, batch_size, times):
    problem = PowerLawRegression(source, capacity, width, noise, features)
    rates = schedule_of(schedule)
    return problem, rates, batch_size_of(batch_size, rates.steps), _recorded(rates.steps, times)


def _recorded(steps, times):
    if times is None:
        return [steps]
    if isinstance(times, int) and not isinstance(times, bool):
        if not 2 <= times <= 100_000:
            raise ValueError(f"times is {times}; a count must be in [2, 100000]; else give a list of steps")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps is {shown(steps)}; it must be an integer >= 1")
        return recursion.recorded_steps(steps, None, times)
    return times


def _trajectory(found):
    return {"step": found.steps.tolist(), "intrinsic_time": found.intrinsic_time.tolist(),
            "excess_risk": found.excess_risk.tolist()}


def _kind(functions, value, name, more=()):
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in functions:
        raise ValueError(f"{name} kind is {shown(kind)}; it must be one of {', '.join([*functions, *more])}")
    return functions[kind]


def _called(function, value, name, **given):
    """Call a function with the entries of a table, `given` ones apart."""
    takes = {key: each for key, each in inspect.signature(function).parameters.items() if key not in given}
    entries = {key: each for key, each in value.items() if key != "kind"}
    for key in entries:
        if key not in takes:
            raise ValueError(f"{name} has {key!r}; it takes {', '.join(takes)}")
    for key, each in takes.items():
        if each.default is each.empty and key not in entries:
            raise ValueError(f"{name} lacks {key!r}; it takes {', '.join(takes)}")
    return function(**given, **entries)
