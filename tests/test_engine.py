"""The engine: moments against exact arithmetic, bits that no way of running changes, and what it refuses."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction

import joblib
import numpy as np
import pytest
import slow_experiment
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_experiment import Slow

from theorycheck.checks.claim import Claim, Effort, Paper, Verdict, judge
from theorycheck.sims.engine import (
    Diverged,
    Tree,
    estimate,
    maximal_nodes,
    moments,
)
from theorycheck.sims.errors import DeviceUnavailable


@dataclass(frozen=True)
class Gaussian:
    """Normal numbers about `centre`, one generator per replica; `calls` records what was asked for."""

    centre: float = 0.0
    shape: tuple = (3,)
    calls: list = field(default_factory=list, compare=False)
    name = "gaussian"

    def parameters(self):
        return {"centre": self.centre}

    def coordinates(self):
        return {"step": np.arange(3)}

    def sample(self, seed, first, count):
        self.calls.append((first, first + count))
        draws = [np.random.default_rng([seed, replica]).normal(self.centre, 1.0, self.shape)
                 for replica in range(first, first + count)]
        return np.array(draws).reshape(count, *self.shape)


@dataclass(frozen=True)
class Bursting:
    """Zeros, but for the replicas in `bad`, which hold `value`; the chunk with replica `slow` takes its time."""

    bad: tuple
    value: float = np.nan
    dtype: type = np.float64
    shape: tuple = (2,)
    slow: int = -1
    name = "bursting"

    def parameters(self):
        return {}

    def sample(self, seed, first, count):
        if first <= self.slow < first + count:
            time.sleep(0.5)
        out = np.zeros((count, 2), self.dtype)
        for replica in self.bad:
            if first <= replica < first + count:
                out[replica - first, 1] = self.value
        return out


@dataclass(frozen=True)
class Raising:
    """Diverges by itself, at a known step."""

    shape: tuple = ()
    name = "raising"

    def parameters(self):
        return {}

    def sample(self, seed, first, count):
        raise Diverged(first + 1, step=17)


@pytest.fixture(scope="module")
def reference():
    return estimate(Gaussian(1e9), replicas=1000, seed=5)


# moments

def exact_moments(column):
    """Mean, unbiased variance, skewness and kurtosis by rational arithmetic."""
    values = [Fraction(float(value)) for value in column]
    mean = sum(values) / len(values)
    second, third, fourth = (sum((value - mean)**k for value in values) / len(values) for k in (2, 3, 4))
    scale = float(second)
    return (float(mean), float(second * len(values) / (len(values) - 1)), float(third) / scale**1.5,
            float(fourth) / scale**2)


@pytest.mark.parametrize("centre", [0.0, 1e9])
def test_moments_agree_with_exact_arithmetic(centre):
    experiment = Gaussian(centre)
    seen = estimate(experiment, replicas=777, seed=2)
    samples = experiment.sample(2, 0, 777)
    for column in range(3):
        mean, variance, skewness, kurtosis = exact_moments(samples[:, column])
        # the rounding of the samples' own magnitude, eps * 1e9 = 2e-7, bounds what differences can keep
        slack = 1e-12 + 2.3e-16 * abs(centre)
        assert seen.mean[column] == pytest.approx(mean, rel=1e-15, abs=1e-14)
        assert seen.variance[column] == pytest.approx(variance, rel=slack)
        assert seen.skewness[column] == pytest.approx(skewness, abs=10 * slack)
        assert seen.kurtosis[column] == pytest.approx(kurtosis, rel=10 * slack)
    assert np.array_equal(seen.minimum, samples.min(axis=0))
    assert np.array_equal(seen.maximum, samples.max(axis=0))
    assert np.allclose(seen.stderr, samples.std(axis=0, ddof=1) / np.sqrt(777), rtol=1e-6)


def test_a_constant_has_no_spread():
    seen = estimate(Bursting(()), replicas=50, seed=0)
    assert (seen.mean == 0).all() and (seen.stderr == 0).all() and np.isnan(seen.kurtosis).all()


def test_scalar_observations_and_coordinates():
    seen = estimate(Gaussian(shape=()), replicas=40, seed=1)
    assert seen.mean.shape == () and seen.replicas == 40 and seen.seed == 1 and seen.name == "gaussian"
    assert np.array_equal(seen.coordinates["step"], np.arange(3))


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_maximal_nodes_tile_the_range(first, count):
    nodes = maximal_nodes(first, first + count)
    reached = first
    for level, index in nodes:
        assert index << level == reached
        reached = (index + 1) << level
    assert reached == first + count
    assert len(nodes) <= 2 * count.bit_length()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.sets(st.integers(1, 199), max_size=12), st.randoms(use_true_random=False))
def test_any_cut_in_any_order_gives_the_same_bits(count, cuts, random):
    samples = np.exp(3 * np.random.default_rng(count).normal(size=(count, 2)))      # magnitudes that do round
    whole = Tree()
    whole.add_range(0, count, moments(samples, 0))
    edges = [0, *sorted(cut for cut in cuts if cut < count), count]
    pieces = list(zip(edges[:-1], edges[1:]))
    random.shuffle(pieces)
    tree = Tree()
    for first, last in pieces:
        tree.add_range(first, last, moments(samples[first:last], first))
    assert tree.fold(count).tobytes() == whole.fold(count).tobytes()
    assert len(tree.nodes) == count.bit_count()        # memory: one node per binary digit of the replicas


# ways of running

@pytest.mark.parametrize("chunk", [1, 7, 32, 100, 5000])
def test_chunks_do_not_change_a_bit(reference, chunk):
    experiment = Gaussian(1e9)
    assert estimate(experiment, replicas=1000, seed=5, chunk=chunk) == reference
    assert max(last - first for first, last in experiment.calls) == min(chunk, 1000)


@pytest.mark.parametrize("chunk", [7, None, 400])
def test_workers_do_not_change_a_bit(reference, chunk):
    assert estimate(Gaussian(1e9), replicas=1000, seed=5, chunk=chunk, jobs=2) == reference


def test_another_backend_does_not_change_a_bit(reference):
    with joblib.parallel_config(backend="threading"):
        assert estimate(Gaussian(1e9), replicas=1000, seed=5, jobs=3) == reference


def test_another_seed_or_number_of_replicas_does(reference):
    assert estimate(Gaussian(1e9), replicas=1000, seed=6) != reference
    assert estimate(Gaussian(1e9), replicas=999, seed=5) != reference


def test_default_chunks_leave_work_for_every_job():
    experiment = Gaussian()
    estimate(experiment, replicas=3000, seed=0)
    assert len(experiment.calls) >= 8


def test_progress_goes_to_stderr_and_only_when_asked(capsys):
    estimate(Gaussian(), replicas=20, seed=0)
    assert capsys.readouterr() == ("", "")
    estimate(Gaussian(), replicas=20, seed=0, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "gaussian" in err and "20/20" in err


# stores

def test_more_and_fewer_replicas_from_one_store(tmp_path, reference):
    for replicas, chunk in ((333, 7), (634, 50), (1000, 41)):
        experiment = Gaussian(1e9)
        seen = estimate(experiment, replicas=replicas, seed=5, chunk=chunk, store=tmp_path)
        done = {333: 0, 634: 333, 1000: 634}[replicas]
        assert sum(last - first for first, last in experiment.calls) == replicas - done
        assert min(first for first, _ in experiment.calls) == done
    assert seen == reference
    assert estimate(Gaussian(1e9), replicas=500, seed=5, store=tmp_path) == estimate(
        Gaussian(1e9), replicas=500, seed=5)


def test_a_finished_run_is_read_back_without_sampling(tmp_path, reference):
    estimate(Gaussian(1e9), replicas=1000, seed=5, store=tmp_path)
    experiment = Gaussian(1e9)
    assert estimate(experiment, replicas=1000, seed=5, store=tmp_path) == reference
    assert experiment.calls == []


def test_other_seeds_and_parameters_do_not_share_a_store(tmp_path):
    first = estimate(Gaussian(1.0), replicas=30, seed=1, store=tmp_path)
    assert estimate(Gaussian(1.0), replicas=30, seed=2, store=tmp_path) != first
    assert estimate(Gaussian(2.0), replicas=30, seed=1, store=tmp_path) != first
    assert len(list(tmp_path.iterdir())) == 3


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))


def swap(path):
    path.write_bytes(sorted(path.parent.glob("*.moments"))[-1].read_bytes())


def foreign(path):
    path.write_bytes(b"step,loss\n" * 100)


@pytest.mark.parametrize("damage", [truncate, empty, flip, swap, foreign])
def test_a_damaged_chunk_is_set_aside_and_computed_again(tmp_path, reference, damage):
    estimate(Gaussian(1e9), replicas=1000, seed=5, chunk=128, store=tmp_path)
    victim = sorted(tmp_path.glob("*/*.moments"))[2]
    damage(victim)
    experiment = Gaussian(1e9)
    with pytest.warns(UserWarning, match="set aside"):
        seen = estimate(experiment, replicas=1000, seed=5, chunk=100, store=tmp_path)
    assert seen == reference
    assert experiment.calls == [(256, 356), (356, 384)]
    assert victim.with_suffix(".damaged").exists()


def test_where_two_runs_cut_differently_the_larger_pieces_are_taken(tmp_path, reference):
    experiment = Gaussian(1e9)
    estimate(experiment, replicas=96, seed=5, chunk=96, store=tmp_path)
    (directory,) = tmp_path.iterdir()
    first = {path.name: path.read_bytes() for path in directory.glob("*.moments")}
    for path in directory.glob("*.moments"):
        path.unlink()
    estimate(experiment, replicas=128, seed=5, chunk=64, store=tmp_path)
    for name, content in first.items():
        (directory / name).write_bytes(content)
    (directory / f"{0:012d}-{64:012d}.moments").unlink()      # 0..95 in one file, 64..127 in the other
    again = Gaussian(1e9)
    assert estimate(again, replicas=128, seed=5, store=tmp_path) == estimate(Gaussian(1e9), replicas=128, seed=5)
    assert again.calls == []


def start(folder, log, jobs, pause):
    """Run the slow experiment in a process, and a session, of its own."""
    return subprocess.Popen([sys.executable, slow_experiment.__file__, str(folder / log), str(folder / "store"),
                             str(jobs), str(pause)], start_new_session=True, stderr=subprocess.PIPE)


def until(condition, seconds=60.0):
    """Wait for a condition; it fails rather than hangs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(session):
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def logged(path):
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_killed_or_interrupted_resumes_to_the_same_bits(tmp_path, jobs, blow):
    process = start(tmp_path, "first.log", jobs, 0.01)
    until(lambda: len(list(tmp_path.glob("store/*/*.moments"))) >= 3)
    process.send_signal(blow)
    error = process.communicate(timeout=30)[1].decode()
    assert process.returncode == -blow
    if blow == signal.SIGINT:
        assert "KeyboardInterrupt" in error and "UserWarning" not in error
    until(lambda: not alive(process.pid))                     # its workers are gone too
    kept = [tuple(map(int, path.stem.split("-"))) for path in tmp_path.glob("store/*/*.moments")]
    assert 3 <= len(kept) < 38

    seen = estimate(Slow(str(tmp_path / "second.log"), 0.0), replicas=300, seed=3, chunk=13, jobs=jobs,
                    store=tmp_path / "store")
    plain = estimate(Slow(str(tmp_path / "third.log"), 0.0), replicas=300, seed=3)
    assert seen == plain
    again = sorted(replica for first, last in logged(tmp_path / "second.log") for replica in range(first, last))
    done = {replica for first, last in kept for replica in range(first, last)}
    assert again == sorted(set(range(300)) - done)            # each missing replica once, no finished one


def test_two_processes_share_a_store(tmp_path):
    processes = [start(tmp_path, f"{number}.log", 1, 0.001) for number in range(2)]
    for process in processes:
        assert process.wait(timeout=60) == 0
        process.stderr.close()
    fresh = Slow(str(tmp_path / "fresh.log"), 0.0)
    assert estimate(fresh, replicas=300, seed=3, store=tmp_path / "store") == estimate(
        Slow(str(tmp_path / "plain.log"), 0.0), replicas=300, seed=3)
    assert logged(tmp_path / "fresh.log") == []
    assert not list(tmp_path.glob("store/*/*.damaged")) + list(tmp_path.glob("store/*/.unfinished*"))


# refusals

@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e71])
@pytest.mark.parametrize(("jobs", "chunk"), [(1, None), (1, 3), (2, 16)])
def test_a_sample_that_is_not_finite_is_named_not_averaged(value, jobs, chunk):
    with pytest.raises(Diverged, match="replica 37 diverged") as caught:
        estimate(Bursting((61, 37, 90), value), replicas=100, seed=0, jobs=jobs, chunk=chunk)
    assert (caught.value.replica, caught.value.step) == (37, None)


def test_the_lowest_replica_is_named_even_if_it_comes_last():
    with pytest.raises(Diverged, match="replica 37 diverged"):
        estimate(Bursting((37, 61), slow=37), replicas=100, seed=0, jobs=2, chunk=16)


def test_what_finished_before_a_divergence_is_kept(tmp_path):
    with pytest.raises(Diverged):
        estimate(Bursting((37,)), replicas=100, seed=0, chunk=10, store=tmp_path)
    assert sorted(path.stem for path in tmp_path.glob("*/*.moments"))[-1] == "000000000020-000000000030"


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_experiment_may_name_the_step(jobs):
    with pytest.raises(Diverged, match="replica 1 diverged at step 17") as caught:
        estimate(Raising(), replicas=64, seed=0, jobs=jobs)
    assert isinstance(caught.value, ArithmeticError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.replica, copy.step) == (1, 17)


@pytest.mark.parametrize(("argument", "value"), [
    ("replicas", 1), ("replicas", 10.0), ("replicas", True), ("seed", -1), ("seed", 2**64), ("chunk", 0),
    ("chunk", "all"), ("jobs", 0), ("jobs", -1), ("device", "tpu")])
def test_bad_arguments_are_refused_in_one_line(argument, value):
    arguments = {"replicas": 10, "seed": 0, argument: value}
    with pytest.raises(ValueError, match=f"{argument} is {value!r}; it must be") as caught:
        estimate(Gaussian(), **arguments)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_there_is_said_to_be_unavailable():
    with pytest.raises(DeviceUnavailable, match="device is 'gpu'"):
        estimate(Gaussian(), replicas=10, seed=0, device="gpu")


def test_a_claim_that_needs_a_missing_gpu_is_not_run():
    def run(effort):
        return estimate(Gaussian(), replicas=10, seed=0, **effort.engine)

    claim = Claim("needs_gpu", "engine", Paper("K", "T", "A", 2000), "here", "x", "derived", run)
    outcome = judge(claim, Effort(device="gpu"))
    assert outcome.verdict is Verdict.NOT_RUN and "'gpu'" in outcome.message


def test_samples_of_the_wrong_shape_or_type_are_refused():
    with pytest.raises(ValueError, match="float32"):
        estimate(Bursting((), dtype=np.float32), replicas=10, seed=0)
    with pytest.raises(ValueError, match=r"must be float64 of shape \(\d+, 3\)"):
        estimate(Bursting((), shape=(3,)), replicas=10, seed=0)


def test_a_store_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot make the store") as caught:
        estimate(Gaussian(), replicas=10, seed=0, store=tmp_path / "file")
    assert "\n" not in str(caught.value)
