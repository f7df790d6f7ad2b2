"""The CUDA sources compiled for this processor, bit by bit against numba; and compiled for GPUs, without spills."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from theorycheck.sims import fsl as sgd
from theorycheck.sims import gpu, label_noise, streams, tree
from theorycheck.sims.arithmetic import fma64
from theorycheck.sims.cuda import SOURCES, host, nvcc, source
from theorycheck.sims.errors import Diverged
from theorycheck.sims.fsl.device import MOST_MODES, MOST_THREADS, shape_of
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.label_noise import TwoLayerLinear

LAWS = {"gaussian": 0, "rademacher": 1, "uniform": 2, "laplace": 3}
SIZES = np.array([1, 3, 2, 1, 5, 4, 1, 1, 2, 7])


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    if host.compiler() is None:
        pytest.skip("there is no C++ compiler: the CUDA sources were NOT tested on the host")
    return tmp_path_factory.mktemp("cuda")


@pytest.fixture
def device(folder):
    return host.HostDevice(folder)


def words_of_every_exponent(per_exponent):
    """Words next to 0 and next to 2^32 at every scale, and the corners of the eighths of a turn."""
    generator = np.random.default_rng(8)
    low = [generator.integers(2**e, 2 ** (e + 1), per_exponent) for e in range(32)]
    low = np.unique(np.concatenate([np.arange(9), *low, 2 ** np.arange(32), 2 ** np.arange(1, 33) - 1]))
    corners = (np.arange(8)[:, None] * 2**29 + np.arange(-3, 4)).ravel() % 2**32
    return np.unique(np.concatenate([low, 2**32 - 1 - low, corners])).astype(np.uint32)


def same_bits(a, b):
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# -- random numbers ----------------------------------------------------------------------------------------------


@njit
def minus_logs(words, out):
    for i in range(words.size):
        out[i] = streams.minus_log(words[i])


@njit
def turns(words, out):
    for i in range(words.size // 2):
        out[2 * i], out[2 * i + 1] = streams.cos_sin_turn(words[2 * i + 1])


@pytest.mark.parametrize("code, transform", [
    (0, streams._normals), (1, streams._rademachers), (2, streams._symmetric), (3, streams._laplaces),
    (4, streams._uniforms), (6, minus_logs), (7, turns)])
def test_transforms_have_the_bits_of_the_cpu(device, code, transform):
    words = words_of_every_exponent(500)
    words = np.random.default_rng(code).permutation(np.concatenate([words, words[::-1]]))[:words.size // 4 * 4]
    got, want = np.empty((2, words.size), np.float32)
    device.launch("streams", "transform", -(-words.size // 1024), 256, np.int32(code), words,
                  np.int64(words.size // 4), got)
    transform(words, want)
    assert same_bits(got, want)


def test_uniforms_of_52_bits(device):
    words = np.random.default_rng(1).integers(0, 2**32, (1000, 2), dtype=np.uint32)
    words[:4] = [[0, 0], [2**32 - 1, 2**32 - 1], [0, 4096], [2**31, 0]]
    got = np.empty(1000)
    device.launch("streams", "uniform64", 8, 128, words, np.int64(1000), got)
    assert same_bits(got, streams._pairs_to_uniforms(words.ravel())) and 0 < got.min() and got.max() < 1


@settings(max_examples=25, deadline=None)
@given(replica=st.integers(0, 2**32 - 4), step=st.integers(0, 2**56 - 1), block=st.integers(0, 2**32 - 6),
       purpose=st.integers(0, 255), seed=st.integers(0, 2**64 - 1))
def test_words_follow_the_layout_of_the_cpu(folder, replica, step, block, purpose, seed):
    key, got = streams.key(seed, "layout"), np.empty((3, 20), np.uint32)
    host.HostDevice(folder).launch(
        "streams", "draw", 1, 32, np.int32(5), np.uint64(key), np.uint32(replica), np.uint64(step), np.uint32(block),
        np.uint32(purpose), np.int64(5), np.int64(3), got)
    assert same_bits(got, streams.words(key, replica + np.arange(3), step, 20, first=4 * block, purpose=purpose))


def test_a_change_of_one_unit_in_the_last_place_would_be_seen(device):
    words, got = words_of_every_exponent(5)[:200], np.empty(200, np.float32)
    device.launch("streams", "transform", 1, 64, np.int32(6), words, np.int64(50), got)
    want = np.empty_like(got)
    minus_logs(words, want)
    want[17] = np.nextafter(want[17], np.float32(9))
    assert not same_bits(got, want)


# -- SGD on power-law regression ---------------------------------------------------------------------------------


def descent(width, sizes=1, features="gaussian", steps=10, **more):
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=width, noise=0.7)
    return sgd.Descent(problem, lr.cosine(steps, 0.07), sizes, features=features, **more)


@njit
def tree_sum(values):
    """The sum of a power of two of values, neighbours first."""
    size = values.size
    while size > 1:
        size //= 2
        for i in range(size):
            values[i] = values[2 * i] + values[2 * i + 1]
    return values[0]


@njit
def tree_path(z, epsilon, rates, sizes, eigenvalues, p, noise, out):
    """One replica, one row of ``out`` per step, blocks of four modes added by a tree; features z (samples, modes)."""
    sums, sample = np.empty(p.size // 4), 0
    for k in range(rates.size + 1):
        for b in range(sums.size):
            sums[b] = 0.0
            for i in range(4 * b, 4 * b + 4):
                sums[b] = fma64(p[i], p[i], sums[b])
        out[k] = tree_sum(sums) * 0.5
        if k == rates.size:
            break
        frozen, scale = p.copy(), rates[k] / sizes[k]
        for _ in range(sizes[k]):
            for b in range(sums.size):
                sums[b] = 0.0
                for i in range(4 * b, 4 * b + 4):
                    sums[b] = fma64(frozen[i], np.float64(z[sample, i]), sums[b])
            step = scale * (tree_sum(sums) - noise * np.float64(epsilon[sample]))
            for i in range(p.size):
                p[i] = fma64(-step * eigenvalues[i], np.float64(z[sample, i]), p[i])
            sample += 1


def tree_paths(experiment, seed, replicas):
    spectrum, key = experiment._spectrum, streams.key(seed, "fsl.sgd")
    size = 4 * 2 ** math.ceil(math.log2(max(1, -(-spectrum.eigenvalues.size // 4))))
    values, start = np.zeros((2, size))
    values[:spectrum.eigenvalues.size] = spectrum.eigenvalues
    start[:spectrum.eigenvalues.size] = -np.sqrt(spectrum.eigenvalues * spectrum.target_squared)
    draw = {"gaussian": streams.normals, "rademacher": streams.rademachers, "uniform": streams.symmetric_uniforms,
            "laplace": streams.laplaces}[experiment.features]
    out, samples = np.empty((len(replicas), experiment.schedule.steps + 1)), experiment.batch_size.sum()
    for row, replica in enumerate(replicas):
        epsilon = streams.normals(key, replica, np.arange(-(-samples // 4)), 4, purpose=1).ravel()
        tree_path(draw(key, replica, np.arange(samples), size), epsilon, experiment.schedule.rates.copy(),
                  experiment.batch_size, values, start.copy(), math.sqrt(spectrum.label_variance), out[row])
    return out[:, experiment.times] + spectrum.approximation_error


@pytest.mark.parametrize("features", LAWS)
@pytest.mark.parametrize("sizes", [1, SIZES])
def test_up_to_four_modes_paths_have_the_bits_of_the_cpu(device, features, sizes):
    experiment = descent(4, sizes, features)
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(3, 2**32 - 40, 37)
    assert same_bits(got, experiment.sample(3, 2**32 - 40, 37))


@pytest.mark.parametrize("width, features, sizes", [
    (1, "gaussian", 1), (7, "laplace", SIZES), (13, "gaussian", SIZES), (64, "uniform", 1), (64, "gaussian", SIZES),
    (300, "rademacher", 1), (1000, "gaussian", 1), (4096, "gaussian", SIZES[:3])])
def test_paths_are_those_of_the_cpu_up_to_the_order_of_the_sums(device, width, features, sizes):
    steps = 10 if width < 1000 else 3
    experiment = descent(width, sizes, features, steps)
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 5, 3)
    assert same_bits(got, tree_paths(experiment, 0, range(5, 8)))
    np.testing.assert_allclose(got, experiment.sample(0, 5, 3), rtol=1e-13)   # sums of up to 1024 terms, 10 steps


@pytest.mark.parametrize("width", [8, 128])
def test_label_noise_goes_on_beyond_one_drawing_of_a_warp(device, width):
    experiment = descent(width, steps=300, times=[100, 200, 300])
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(1, 0, 2)
    assert same_bits(got, tree_paths(experiment, 1, range(2)))


@pytest.mark.parametrize("width, sizes", [(13, SIZES), (64, 1), (1000, 1)])
def test_bits_do_not_depend_on_how_modes_are_dealt_to_threads(folder, width, sizes):
    found, shapes = [], set()
    for processors in (0, 1000):   # with none, every device is full
        device = host.HostDevice(folder)
        device.processors = processors
        experiment = descent(width, sizes, steps=3 if width == 1000 else 10)
        shapes.add(shape_of(width, 5, processors))
        found.append(gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 0, 5))
    assert same_bits(*found) and len(shapes) == 2


@given(modes=st.integers(1, MOST_MODES), replicas=st.integers(1, 10**6), processors=st.integers(1, 200))
def test_every_mode_has_a_thread(modes, replicas, processors):
    blocks, threads = shape_of(modes, replicas, processors)
    assert modes <= 4 * blocks * threads < 2 * (modes + 3) and threads <= MOST_THREADS[blocks]
    assert threads & (threads - 1) == 0


def test_widths_without_a_kernel_are_refused():
    for modes in (0, MOST_MODES + 1):
        with pytest.raises(ValueError, match=f"width is {modes}; on a GPU it must be in 1..4096"):
            shape_of(modes, 10, 1)
    assert descent(MOST_MODES + 1, steps=1).on_gpu() is None
    assert descent(MOST_MODES, steps=1).on_gpu() is not None
    assert descent(8, projection=np.eye(4, 3061), steps=1).on_gpu() is None
    assert descent(8, projection=np.eye(4, 3060), steps=1).on_gpu() is not None


@pytest.mark.parametrize("width, count, sizes", [(1, 1, 1), (5, 9, SIZES), (4, 40, 1), (300, 310, SIZES[:4])])
def test_random_projections_have_the_bits_of_the_cpu(device, width, count, sizes):
    experiment = descent(width, sizes, projection=sgd.random_projection(width, count, 2), steps=4 if width > 9 else 10)
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(1, 2, 6)
    assert same_bits(got, experiment.sample(1, 2, 6))


# -- label-noise SGD ---------------------------------------------------------------------------------------------


def network(dimension, samples=math.inf, width=40, **more):
    model = TwoLayerLinear(dimension, width, more.pop("step", 0.002), 0.3, 1.1, samples=samples, loss_factor=0.7)
    return label_noise.Descent(model, more.pop("steps", 70), times=[0, 1, 7, 33, 70], **more)


@pytest.mark.parametrize("dimension, samples", [(1, math.inf), (3, 7), (8, math.inf), (13, 20), (21, 9), (32, 5)])
def test_the_reduced_recursion_has_the_bits_of_the_cpu(device, dimension, samples):
    experiment = network(dimension, samples)
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(3, 5, 6)
    assert same_bits(got, experiment.sample(3, 5, 6))


@pytest.mark.parametrize("dimension, samples, width", [(3, 7, 40), (21, math.inf, 300), (32, 5, 600)])
def test_the_network_agrees_to_rounding(device, dimension, samples, width):
    experiment = network(dimension, samples, width, method="direct", step=0.001)
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(3, 5, 3)
    want = experiment.sample(3, 5, 3)
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())
    assert same_bits(got[:, 0], want[:, 0])   # at the start: nothing has been summed over threads yet


def test_networks_too_large_for_shared_memory_have_the_same_bits(folder):
    found = []
    for shared in (2**17, 2**14):
        device = host.HostDevice(folder)
        device.shared_bytes = shared
        experiment = network(5, width=100, method="direct")
        found.append(gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 0, 3))
    assert same_bits(*found)


@pytest.mark.parametrize("method", ["reduced", "direct"])
def test_given_inputs_and_starts_are_used(device, method):
    generator = np.random.default_rng(0)
    start = generator.normal(size=(40, 6)) / 6, generator.normal(size=40) / 6
    experiment = network(6, 9, inputs=generator.normal(size=(9, 6)), start=start, method=method)
    got = gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 0, 3)
    np.testing.assert_allclose(got, experiment.sample(0, 0, 3), rtol=1e-11)


def test_a_diverged_replica_is_named_with_its_step(device):
    experiment = network(5, catapult=True, step=0.4)
    with pytest.raises(Diverged) as expected:
        experiment.sample(0, 3, 5)
    with pytest.raises(Diverged) as found:
        gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 3, 5)
    assert (found.value.replica, found.value.step) == (expected.value.replica, expected.value.step)


# -- moments -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 40), count=st.integers(1, 70), columns=st.integers(1, 3), seed=st.integers(0, 9),
       lost=st.sets(st.integers(0, 69), max_size=6))
def test_moments_have_the_bits_of_the_tree(folder, first, count, columns, seed, lost):
    samples = np.random.default_rng(seed).lognormal(size=(count, columns))
    counts = np.ones(count)
    counts[[row for row in lost if row < count]] = 0.0
    got = gpu.moments(host.HostDevice(folder), samples, counts, first)
    assert same_bits(got, tree.moments(samples, first, [first + row for row in lost if row < count]))


# -- sources -----------------------------------------------------------------------------------------------------


def test_a_source_stands_alone():
    for name in SOURCES:
        text = source(name)
        assert "philox" in text and '"streams.cuh"' not in text


@pytest.mark.parametrize("architecture", nvcc.ARCHITECTURES)
def test_kernels_compile_without_spills(architecture, tmp_path):
    if nvcc.compiler() is None:
        pytest.skip("there is no nvcc: registers and spills of the kernels were NOT looked at")
    found = nvcc.kernels(architecture, tmp_path)
    assert {kernel.source for kernel in found} == set(SOURCES) and len(found) > 15
    assert [kernel for kernel in found if kernel.spills or kernel.stack] == []
    threads = {"descend_4": 256, "descend_4_batched": 256, "descend_2_batched": 512, "descend_1": 512}
    assert all(kernel.registers * threads.get(kernel.name, 256) <= 65536 for kernel in found)
