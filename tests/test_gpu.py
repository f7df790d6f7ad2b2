"""``device="gpu"``: through the engine on the host's stand-in for a GPU, on a real one where there is one, refused."""

import sys
import warnings

import numpy as np
import pytest

from theorycheck.sims import engine, gpu, label_noise, streams
from theorycheck.sims import fsl as sgd
from theorycheck.sims.cuda import host
from theorycheck.sims.errors import DeviceUnavailable, Diverged, DivergenceWarning
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr
from theorycheck.theory.label_noise import TwoLayerLinear

PROBLEM = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=13, noise=0.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if host.compiler() is None:
        pytest.skip("there is no C++ compiler: device='gpu' was NOT tested on the host")
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture
def pretend(monkeypatch, folder):
    """Put a host device in place of the GPU; returns a function that makes one with so much memory."""
    def device(**memory):
        made = host.HostDevice(folder, **memory)
        monkeypatch.setattr(gpu, "require", lambda: made)
        return made
    device()
    return device


@pytest.fixture(scope="module")
def real():
    try:
        return gpu.require()
    except DeviceUnavailable as error:
        pytest.skip(f"this test did NOT run: {error}")


def run(replicas=70, seed=4, times=None, **arguments):
    return sgd.simulate(PROBLEM, lr.cosine(20, 0.1), 2, replicas=replicas, seed=seed, times=times, **arguments)


def agree(a, b, rounding=1e-12):
    """Equal moments up to rounding, higher ones relative to the spread they are made of."""
    assert (a.replicas, a.seed, a.diverged) == (b.replicas, b.seed, b.diverged)
    slacks = {"mean": 1, "minimum": 1, "maximum": 1, "variance": 10, "skewness": 100, "kurtosis": 100}
    for name, slack in slacks.items():
        left, right = getattr(a, name), getattr(b, name)
        moving = b.variance > 1e-20 * b.mean**2   # before the first step all replicas are the same
        np.testing.assert_allclose(left[moving], right[moving], rtol=slack * rounding, atol=slack * rounding)


# -- through the engine ------------------------------------------------------------------------------------------


def test_estimates_equal_the_cpus_up_to_rounding(pretend):
    a, b = run(device="gpu"), run()
    agree(a, b)
    np.testing.assert_array_equal(a.coordinates["intrinsic_time"], b.coordinates["intrinsic_time"])


def test_bits_do_not_depend_on_chunks(pretend):
    whole = run(device="gpu")
    assert all(run(device="gpu", chunk=chunk) == whole for chunk in (1, 7, 64)) and run(device="gpu", jobs=3) == whole


def test_pieces_fit_into_the_memory(pretend):
    whole, device = run(device="gpu"), pretend(memory=2**15)
    assert run(device="gpu") == whole
    counts = [grid for kernel, grid, block in device.launches if kernel == "count_leaves"]
    assert len(counts) > 1


def test_running_out_of_memory_leads_to_smaller_pieces(pretend):
    whole, device = run(device="gpu"), pretend(memory=2**12, said_free=2**30)
    assert run(device="gpu") == whole
    assert sum(kernel.startswith("descend") for kernel, *_ in device.launches) > 3


def test_too_little_memory_for_one_replica_is_said_in_one_line(pretend):
    pretend(memory=100)
    with pytest.raises(DeviceUnavailable, match="^device is 'gpu' and 100 bytes of its memory are free; a replica"):
        run(device="gpu")


def test_a_store_resumes_and_keeps_devices_apart(pretend, tmp_path):
    whole = run(device="gpu")
    run(replicas=40, device="gpu", store=tmp_path, chunk=16)
    device = pretend()
    assert run(device="gpu", store=tmp_path) == whole
    assert sum(grid for kernel, grid, _ in device.launches if kernel == "count_leaves") <= 2
    assert run(store=tmp_path) == run()


def unstable(**arguments):
    model = TwoLayerLinear(5, 40, 0.05, 0.3, 1.1)
    return label_noise.simulate(model, 60, replicas=40, seed=0, catapult=True, **arguments)


def test_diverged_replicas_are_named_and_left_out(pretend):
    with pytest.warns(DivergenceWarning):
        expected = unstable(on_divergence="keep")
    with pytest.warns(DivergenceWarning):
        found = unstable(on_divergence="keep", device="gpu")
    assert 0 < len(expected.diverged) < 39   # some, not all
    assert found == expected                 # the reduced recursion has the bits of the CPU
    with pytest.raises(Diverged) as error:
        unstable(device="gpu")
    assert (error.value.replica, error.value.step) == expected.diverged[0]


def test_samples_beyond_the_engines_limit_count_as_diverged(pretend):
    class Launcher:
        bytes_each = 0

        def run(self, device, seed, first, count):
            samples = np.arange(first, first + count, dtype=float)[:, None]
            samples[samples == 5], samples[samples == 9], samples[samples == 11] = np.nan, 1e71, -np.inf
            return samples, np.full(count, -1)

    class Experiment:
        name, shape = "beyond", (1,)

        def parameters(self):
            return {}

        def on_gpu(self):
            return Launcher()

    with pytest.warns(DivergenceWarning):
        found = engine.estimate(Experiment(), replicas=20, seed=0, device="gpu", on_divergence="keep", chunk=8)
    assert found.diverged == ((5, None), (9, None), (11, None))
    kept = np.setdiff1d(np.arange(20.0), [5, 9, 11])
    np.testing.assert_allclose([found.mean[0], found.variance[0]], [kept.mean(), kept.var(ddof=1)], rtol=1e-14)


def test_where_there_is_no_kernel_the_cpu_is_used_and_said_so(pretend):
    problem, schedule = fsl.PowerLawRegression(0.5, 2.0, width=5000), lr.constant(5, 0.05)
    with pytest.warns(UserWarning, match="no GPU kernel for these parameters; the CPU is used"):
        found = sgd.simulate(problem, schedule, replicas=40, seed=1, device="gpu", jobs=1)
    assert found == sgd.simulate(problem, schedule, replicas=40, seed=1)


# -- without a GPU -----------------------------------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    pass


class NoCompiler:
    """CuPy with a device and without NVRTC."""

    def RawModule(self, code, options):
        raise RuntimeError("CuPy failed to load libnvrtc.so.13: cannot open shared object file\nsecond line")


def test_kernels_that_cannot_be_compiled_are_said_in_one_line():
    device = object.__new__(gpu.Device)   # its constructor asks a real one for its properties
    device._cupy, device._modules = NoCompiler(), {}
    with pytest.raises(DeviceUnavailable, match="kernels cannot be compiled .*libnvrtc.*use 'cpu'") as error:
        device.launch("streams", "words", 1, 32)
    assert "\n" not in str(error.value)


class NoCuda:
    """CuPy without a device."""

    CUDARuntimeError = CUDARuntimeError

    def __init__(self, count):
        self.cuda = self.runtime = self
        self.count = count

    def getDeviceCount(self):
        if self.count is None:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return self.count


@pytest.mark.parametrize("module, message", [
    (None, "device is 'gpu' and CuPy is not installed"),
    (NoCuda(None), "device is 'gpu' and CUDA finds none \\(cudaErrorNoDevice"),
    (NoCuda(0), "device is 'gpu' and CUDA finds none; use 'cpu'")])
def test_what_is_missing_is_said_in_one_line(monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, "cupy", module)
    gpu.require.cache_clear()
    with pytest.raises(DeviceUnavailable, match=message) as error:
        run(device="gpu")
    assert "\n" not in str(error.value)


# -- on a real GPU -----------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_normals_on_a_gpu_have_the_bits_of_the_cpu(real):
    key, blocks = streams.key(1, "gpu"), 4096
    out = real.empty((8, 4 * blocks), np.float32)
    real.launch("streams", "draw", 8 * blocks // 256, 256, np.int32(0), np.uint64(key), np.uint32(3), np.uint64(2**40),
                np.uint32(0), np.uint32(0), np.int64(blocks), np.int64(8), out)
    want = streams.normals(key, 3 + np.arange(8), 2**40, 4 * blocks)
    assert real.numpy(out).tobytes() == want.tobytes()


@pytest.mark.gpu
@pytest.mark.parametrize("width", [1, 4, 13, 64, 256, 1024, 4096])
@pytest.mark.parametrize("sizes", [1, 3])
def test_sgd_on_a_gpu_is_that_of_the_host(real, folder, width, sizes):
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=width, noise=0.7)
    experiment = sgd.Descent(problem, lr.cosine(6, 0.1), sizes)
    found = [gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 7, 3)
             for device in (real, host.HostDevice(folder))]
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.gpu
def test_random_projections_on_a_gpu_have_the_bits_of_the_cpu(real):
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=64, noise=0.7)
    experiment = sgd.Descent(problem, lr.cosine(20, 0.1), 2, projection=sgd.random_projection(64, 1000, 0))
    got = gpu.OnDevice(experiment, experiment.on_gpu(), real).sample(0, 7, 9)
    assert got.tobytes() == experiment.sample(0, 7, 9).tobytes()


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["reduced", "direct"])
def test_label_noise_on_a_gpu_is_that_of_the_host(real, folder, method):
    experiment = label_noise.Descent(TwoLayerLinear(20, 1000, 0.002, 0.3, 1.1), 50, method=method)
    found = [gpu.OnDevice(experiment, experiment.on_gpu(), device).sample(0, 7, 2)
             for device in (real, host.HostDevice(folder))]
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.gpu
def test_an_estimate_on_a_gpu_equals_the_cpus(real):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(run(replicas=20000, device="gpu"), run(replicas=20000))
