"""What goes wrong from outside: kills, full disks, read-only folders, Ctrl-C, replicas that diverge."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import frail_experiment
import numpy as np
import pytest
import sampled_topic
from frail_experiment import EVERY, Frail
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import alive, logged, until

from theorycheck.checks import judges
from theorycheck.checks.claim import Effort, judge
from theorycheck.sims import fsl as sgd
from theorycheck.sims.engine import Diverged, DivergenceWarning, Tree, estimate, moments
from theorycheck.sims.errors import StoreFailed
from theorycheck.sims.store import DamagedWarning
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr

TESTS = Path(__file__).parent


def kept(experiment, replicas=700, seed=3, **options):
    """An estimate that leaves the diverged replicas out, without the warning that says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        return estimate(experiment, replicas=replicas, seed=seed, on_divergence="keep", **options)


@pytest.fixture(scope="module")
def reference():
    return kept(Frail())


@pytest.fixture(scope="module")
def forks():
    with frail_experiment.server() as context:
        yield context


# -- divergence --------------------------------------------------------------------------------------------------

LOST = tuple(range(13, 700, EVERY))


def test_the_others_are_kept_and_the_diverged_ones_named(reference):
    words = r"frail: 8 of 700 replicas diverged .*\(replica 13 diverged at step 13, .*biased"
    with pytest.warns(DivergenceWarning, match=words):
        seen = estimate(Frail(raising=True), replicas=700, seed=3, on_divergence="keep")
    assert seen.diverged == tuple((replica, replica % 50) for replica in LOST)
    assert reference.diverged == tuple((replica, None) for replica in LOST)
    assert reference.replicas == seen.replicas == 692
    left = np.delete(Frail(every=0).sample(3, 0, 700), LOST, axis=0) - 1e9
    for found in (reference, seen):
        assert np.allclose(found.mean - 1e9, left.mean(axis=0), rtol=0, atol=3e-7)       # eps * 1e9 = 2e-7
        assert np.allclose(found.variance, left.var(axis=0, ddof=1), rtol=1e-6)
        assert np.array_equal(found.minimum - 1e9, left.min(axis=0))
        assert np.array_equal(found.maximum - 1e9, left.max(axis=0))
        assert np.allclose(found.stderr**2 * 692, found.variance)
    assert all(getattr(seen, name).tobytes() == getattr(reference, name).tobytes()
               for name in ("mean", "variance", "skewness", "kurtosis"))


@pytest.mark.parametrize("raising", [False, True])
@pytest.mark.parametrize(("chunk", "jobs"), [(1, 1), (7, 1), (256, 1), (700, 1), (64, 2)])
def test_who_computed_what_changes_no_bit_of_the_survivors(reference, raising, chunk, jobs):
    seen = kept(Frail(raising=raising), chunk=chunk, jobs=jobs)
    named = reference if not raising else kept(Frail(raising=True))
    assert seen == named and seen.mean.tobytes() == reference.mean.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 120), st.sets(st.integers(0, 119)), st.sets(st.integers(1, 119), max_size=9),
       st.randoms(use_true_random=False))
def test_any_losses_and_any_cuts_give_the_moments_of_the_survivors(count, lost, cuts, random):
    samples = np.exp(np.random.default_rng(count).normal(size=(count, 2)))
    lost = {replica: None for replica in lost if replica < count}
    left = np.delete(samples, list(lost), axis=0)
    samples[list(lost)] = np.nan
    trees = []
    for edges in ([0, count], [0, *sorted(cut for cut in cuts if cut < count), count]):
        pieces, tree = list(zip(edges[:-1], edges[1:])), Tree()
        random.shuffle(pieces)
        for first, last in pieces:
            mine = {replica: None for replica in lost if first <= replica < last}
            tree.add_range(first, last, moments(samples[first:last], first, mine), mine)
        assert tree.lost == lost
        trees.append(tree.fold(count))
    assert trees[0].tobytes() == trees[1].tobytes()
    if len(left):
        mean, off = left.mean(axis=0), left - left.mean(axis=0)
        sums = [mean, *((off**power).sum(axis=0) for power in (2, 3, 4)), left.min(axis=0), left.max(axis=0)]
        assert np.allclose(trees[0], sums, rtol=1e-11, atol=1e-11 * (np.abs(off)**3).sum())
    else:
        assert (trees[0][:4] == 0).all()


def test_a_store_serves_those_who_stop_and_those_who_go_on(tmp_path, reference):
    with pytest.raises(Diverged, match="replica 13 diverged"):
        estimate(Frail(), replicas=700, seed=3, chunk=10, store=tmp_path)
    assert kept(Frail(str(tmp_path / "log")), chunk=10, store=tmp_path) == reference
    assert min(logged(tmp_path / "log")) == (10, 20)                       # the chunk before the divergence was there
    for _ in range(2):
        with pytest.raises(Diverged, match="replica 13 diverged"):
            estimate(Frail(str(tmp_path / "none")), replicas=700, seed=3, store=tmp_path)
    assert kept(Frail(str(tmp_path / "none")), store=tmp_path) == reference
    assert not (tmp_path / "none").exists()
    assert kept(Frail(str(tmp_path / "more")), 900, store=tmp_path) == kept(Frail(), 900)
    assert min(logged(tmp_path / "more"))[0] == 700
    assert kept(Frail(), 102, store=tmp_path).diverged == ((13, None),)


def test_steps_of_divergence_come_back_from_the_store(tmp_path):
    first = kept(Frail(raising=True), store=tmp_path)
    assert kept(Frail(raising=True), store=tmp_path) == first and first.diverged[1] == (102, 2)


def test_too_few_survivors_are_no_estimate():
    with pytest.raises(Diverged, match="replica 0 diverged"):
        kept(AllBut({3}), 9)
    assert kept(AllBut({3, 5}), 9).replicas == 2
    with pytest.raises(Diverged, match="replica 0 diverged"):
        kept(AllBut(set()), 300)


class AllBut:
    """Only the replicas `left` stay finite."""

    shape, name = (), "all but"

    def __init__(self, left):
        self.left = left

    def parameters(self):
        return {}

    def sample(self, seed, first, count):
        return np.array([float(r) if r in self.left else -np.inf for r in range(first, first + count)])


def test_an_experiment_that_blames_a_replica_of_another_chunk_is_refused():
    class Confused(AllBut):
        def sample(self, seed, first, count):
            raise Diverged(first + count)

    with pytest.raises(ValueError, match="all but: replica 8 diverged among the replicas 0..7"):
        kept(Confused(set()), 30, chunk=8)


def test_moments_that_are_not_numbers_never_enter_a_tree():
    tree, array = Tree(), moments(np.zeros((4, 2)), 0)
    array[0, 1, 1] = np.nan
    with pytest.raises(ValueError, match="replicas 0..3 contain NaN"):
        tree.add_range(0, 4, array)
    assert not tree.nodes


def test_what_to_do_on_divergence_is_one_of_two():
    with pytest.raises(ValueError, match="on_divergence is 'ignore'; it must be 'raise' or 'keep'"):
        estimate(Frail(), replicas=10, seed=0, on_divergence="ignore")


def test_runs_of_sgd_that_diverge_are_named_with_their_step(monkeypatch):
    monkeypatch.setattr("theorycheck.sims.fsl.descent._check_rates", lambda *_: None)
    problem, schedule = fsl.PowerLawRegression(0.5, 2.0, 6), lr.constant(100, 5.0)
    with pytest.warns(DivergenceWarning):
        seen = sgd.simulate(problem, schedule, replicas=300, seed=0, chunk=64, on_divergence="keep")
    assert 0 < len(seen.diverged) < 298 and all(0 < step <= 100 for _, step in seen.diverged)
    assert np.isfinite(seen.mean).all() and seen.replicas == 300 - len(seen.diverged)
    with pytest.raises(Diverged) as caught:
        sgd.simulate(problem, schedule, replicas=300, seed=0)
    assert (caught.value.replica, caught.value.step) == seen.diverged[0]


def test_a_judge_decides_nothing_on_survivors(reference):
    for expected in (reference.mean, reference.mean + 10):
        seen = judges.monte_carlo(reference, expected)
        assert seen.accepted is None and "8 of 700 replicas diverged" in seen.note


# -- kill -9 -----------------------------------------------------------------------------------------------------


def test_twenty_kills_at_random_moments_cost_no_bit(tmp_path, forks):
    generator, store, log = random.Random(8), tmp_path / "store", tmp_path / "log"
    replicas, chunk = 20_000, 6                                    # twenty seconds of pauses, of which few are lived
    for kill in range(20):
        before = len(list(store.glob("*/*.moments")))
        process = forks.Process(target=frail_experiment.run, args=(str(log), str(store), 0.001, replicas, chunk))
        process.start()
        if kill % 2:                                                     # so that some of it gets somewhere
            until(lambda: len(list(store.glob("*/*.moments"))) > before)  # noqa: B023 -- called at once
        time.sleep(generator.uniform(0.0, 0.1))
        process.kill()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    there = {replica for path in store.glob("*/*.moments") for replica in range(*map(int, path.stem.split("-")))}
    assert len(there) >= 10 * chunk and not list(store.glob("*/*.damaged"))
    sampled = sum(last - first for first, last in logged(log))
    assert len(there) <= sampled <= len(there) + 20 * chunk              # a kill costs its chunk, no finished one
    assert kept(Frail(), replicas, chunk=512, store=store) == kept(Frail(), replicas, chunk=512)


def test_workers_of_a_run_that_is_killed_go_too(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import fake_topic; fake_topic.command_line()", "run", "slow",
                                "--jobs", "2"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(TESTS)},
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    until(lambda: (tmp_path / "results/claims/slow.wait_0.json").exists())
    process.kill()
    process.wait(30)
    until(lambda: not alive(process.pid), 20)                            # their claims would sleep for a minute
    process.stderr.close()


# -- files -------------------------------------------------------------------------------------------------------


def other_seed(path):
    with tempfile.TemporaryDirectory() as folder:
        kept(Frail(), seed=4, chunk=100, store=folder)
        shutil.copy(next(Path(folder).glob(f"*/{path.name}")), path)


def other_format(path):
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 9'))


def halved(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << 4
    path.write_bytes(content)


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))                         # what some file systems leave after a crash


@pytest.mark.parametrize("damage", [other_seed, other_format, halved, one_bit, zeros])
def test_a_chunk_file_that_is_not_what_was_written_is_set_aside_and_computed_again(tmp_path, reference, damage):
    store = tmp_path / "store"
    kept(Frail(), chunk=100, store=store)
    victim = sorted(store.glob("*/*.moments"))[1]
    damage(victim)
    with pytest.warns(DamagedWarning, match="set aside"):
        seen = kept(Frail(str(tmp_path / "log")), chunk=100, store=store)
    assert seen == reference and logged(tmp_path / "log") == [(100, 200)]
    assert victim.exists() and victim.with_suffix(".damaged").exists()


def test_two_processes_with_different_chunks_one_of_them_killed_share_a_store(tmp_path, forks, reference):
    store = tmp_path / "store"
    ways = [(str(tmp_path / "log"), str(store), pause, 700, chunk) for pause, chunk in ((0.01, 7), (0.0005, 12))]
    first, second = (forks.Process(target=frail_experiment.run, args=way) for way in ways)
    first.start()
    second.start()
    until(lambda: len(list(store.glob("*/*.moments"))) > 20)
    first.kill()
    first.join(30)
    second.join(60)
    assert (first.exitcode, second.exitcode) == (-signal.SIGKILL, 0)
    assert kept(Frail(str(tmp_path / "again")), store=store) == reference and not (tmp_path / "again").exists()
    assert not list(store.glob("*/*.damaged"))


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of `size` bytes at `path`; skips the test where none can be mounted."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True,
                          text=True) if shutil.which("mount") else None
    if done is None or done.returncode:
        pytest.skip(f"NOT TESTED: no file system can be mounted here ({done.stderr.strip() if done else 'no mount'})")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_stops_the_run_and_more_room_lets_it_resume(tmp_path, reference):
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        with pytest.raises(StoreFailed, match="cannot write the store: No space left on device") as caught:
            kept(Frail(), chunk=10, store=disk)
        assert "\n" not in str(caught.value)
        there = len(list(disk.glob("*/*.moments")))
        assert 5 < there < 70 and not list(disk.glob("*/.unfinished*"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert kept(Frail(str(tmp_path / "log")), chunk=10, store=disk) == reference
        assert len(logged(tmp_path / "log")) == 70 - there


def limited(size):
    """Let this process write no file longer than `size`: a disk quota, in effect."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_file_that_may_not_grow_stops_the_run_which_resumes(tmp_path, forks, reference):
    store = tmp_path / "store"
    kept(Frail(), 10, chunk=10, store=store)                             # replicas 0..9 are two nodes, 20..29 four
    (first,) = store.glob("*/*.moments")
    process = forks.Process(target=run_limited, args=(str(tmp_path / "err.txt"), str(store), first.stat().st_size))
    process.start()
    process.join(60)
    assert process.exitcode == 3 and "cannot write the store: File too large" in (tmp_path / "err.txt").read_text()
    assert len(list(store.glob("*/*"))) == 2 and not list(store.glob("*/.unfinished*"))
    assert kept(Frail(str(tmp_path / "log")), chunk=10, store=store) == reference
    assert len(logged(tmp_path / "log")) == 69


def run_limited(errors, store, size):
    """Run under a limit; its one line of complaint goes to the file `errors`."""
    with open(errors, "w") as file:
        limited(size)
        try:
            kept(Frail(), chunk=10, store=store)
        except StoreFailed as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            file.write(str(error))
            file.flush()
            os._exit(3)


@contextlib.contextmanager
def read_only(folder):
    """The files below `folder` as somebody sees them who may not write there."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    try:
        if root:                                       # permissions do not bind root; to be somebody else does
            os.seteuid(65534)
        with contextlib.suppress(PermissionError):
            (folder / "probe").write_text("")
            pytest.skip("NOT TESTED: this file system knows no permissions")
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_read_only_store_is_read_and_says_so_when_it_must_be_written(reference):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        kept(Frail(), 640, chunk=64, store=folder / "store")
        expected = kept(Frail(), 640)
        with read_only(folder / "store"):
            seen = kept(Frail("/nowhere/to/be/written"), 640, store=folder / "store")     # nothing is sampled
            with pytest.raises(StoreFailed, match="cannot write the store: Permission denied") as caught:
                kept(Frail(), 700, store=folder / "store")
            with pytest.raises(StoreFailed, match="cannot make the store: Permission denied"):
                kept(Frail(), seed=4, store=folder / "store")
        assert seen == expected and "\n" not in str(caught.value)
        assert kept(Frail(), 700, store=folder / "store") == reference


@pytest.mark.parametrize("place", ["/dev/null/store", "/proc/store", "file"])
def test_a_place_where_no_store_can_be_is_one_line(tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(StoreFailed, match="cannot make the store") as caught:
        kept(Frail(), 20, store=place)
    assert "\n" not in str(caught.value)


# -- the command line --------------------------------------------------------------------------------------------


def typed(forks, folder, arguments, target=None, after=0):
    """What a command line ended with and said, interrupted where `target` says; none of its processes is left."""
    process = forks.Process(target=frail_experiment.command, args=(str(folder), arguments, target, after))
    process.start()
    process.join(120)
    until(lambda: not alive(process.pid), 20)
    return process.exitcode, (folder / "err.txt").read_text(), (folder / "out.txt").read_text()


RUN = ["run", "sampled", "--effort", "full", "--no-figures"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, forks):
    """The record of the sampled claim in a run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, errors, _ = typed(forks, folder, RUN)
    assert code == 0, errors
    return measured(folder)


def measured(folder):
    return json.loads((folder / "results/claims/sampled.sampled.json").read_text())["measured"]


@pytest.mark.parametrize(("target", "after", "jobs"), [
    ("theorycheck.cli.main.import_module", 0, 1),                         # before anything is loaded
    ("theorycheck.checks.load", 0, 1),
    ("frail_experiment.Frail.sample", 0, 1),                              # in the first chunk
    ("frail_experiment.Frail.sample", 4, 1),
    ("theorycheck.sims.store.os.fsync", 5, 1),                            # while a chunk is saved
    ("theorycheck.sims.store.os.replace", 3, 1),
    ("theorycheck.sims.engine.Tree.add_range", 2, 2),                     # with workers at work
    ("theorycheck.sims.engine.Tree.fold", 0, 1),                          # at the merge
    ("theorycheck.cli.run.write_text", 0, 1),                             # when the claim is recorded
    ("theorycheck.cli.run.write", 0, 1),                                  # when the report is written
    ("theorycheck.cli.paper_table.update", 0, 1),                         # at the very end
])
def test_ctrl_c_in_any_phase_of_a_run_loses_nothing(tmp_path, forks, undisturbed, target, after, jobs):
    code, errors, _ = typed(forks, tmp_path, [*RUN, "--jobs", str(jobs)], target, after)
    assert code == 130 and "Traceback" not in errors and errors.endswith("theorycheck: interrupted\n"), errors
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part") or ".unfinished" in path.name]
    saved = {replica for path in tmp_path.glob("results/chunks/*/*.moments")
             for replica in range(*map(int, path.stem.split("-")))}
    (tmp_path / "samples.log").unlink(missing_ok=True)
    code, errors, _ = typed(forks, tmp_path, [*RUN, "--resume"])
    assert code == 0 and measured(tmp_path) == undisturbed, errors
    again = {replica for first, last in logged(tmp_path / "samples.log") for replica in range(first, last)}
    assert not again & saved and again | saved == set(range(60))


def test_ctrl_c_while_kernels_are_compiled(tmp_path):
    code = ("import numba, numba.core.compiler as compiler; from frail_experiment import strike\n"
            f"numba.config.CACHE_DIR = {str(tmp_path)!r}\n"              # empty, for what is imported from here on
            "strike(compiler, 'compile_extra', 1)\n"
            "from theorycheck.cli.main import main; main()")
    process = subprocess.run([sys.executable, "-c", code, "check", "fsl.second_moment_recursion"], cwd=tmp_path,
                             capture_output=True, text=True, start_new_session=True, timeout=120,
                             env={**os.environ, "PYTHONPATH": str(TESTS)})
    assert process.returncode == 130 and process.stderr == "theorycheck: interrupted\n", process.stderr


LOSS = "\n".join(["step,lr,loss", *(f"{100 * k},{0.1 * (1 - k / 40)},{2 + (k + 1)**-0.5}" for k in range(40))]) + "\n"


@pytest.mark.parametrize("target", [
    "theorycheck.sims.loss_curves.read_csv", "theorycheck.checks.fsl.loss_curve_fit.bootstrap",
    "theorycheck.figures.figure.save", "theorycheck.cli.fit.write"])
def test_ctrl_c_in_any_phase_of_a_fit_leaves_no_half_result(tmp_path, forks, target):
    (tmp_path / "run.csv").write_text(LOSS)
    code, errors, _ = typed(forks, tmp_path, ["fit", "run.csv", "--resamples", "2", "--out", "fitted"], target)
    assert code == 130 and errors.endswith("theorycheck: interrupted\n") and "Traceback" not in errors, errors
    assert not list(tmp_path.glob("fitted/*")) + list(tmp_path.glob("fitted/.*"))


SPEC = """experiment = "fsl.exact_risk"
[grid]
source = [0.5, 1.0, 1.5]
[fixed]
capacity = 2
width = 9
schedule = {kind = "linear", steps = 20, peak = 0.1}
[output]
path = "table.csv"
"""


def test_ctrl_c_in_any_phase_of_a_sweep_loses_no_point(tmp_path, forks):
    tables = []
    phases = [(None, 0), ("theorycheck.cli.sweep.read", 0), ("theorycheck.sims.store.os.fsync", 2),
              ("theorycheck.cli.sweep.write", 0)]
    for number, (target, after) in enumerate(phases):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "spec.toml").write_text(SPEC)
        if target:
            code, errors, _ = typed(forks, folder, ["sweep", "spec.toml"], target, after)
            assert code == 130 and errors == "theorycheck: interrupted\n", errors
            assert not (folder / "table.csv").exists()
        code, errors, said = typed(forks, folder, ["sweep", "spec.toml"])
        assert code == 0, errors
        assert target != "theorycheck.cli.sweep.write" or "3 of them from the store" in said
        tables.append((folder / "table.csv").read_bytes())
    assert len(set(tables)) == 1


def test_a_full_disk_ends_a_run_in_one_line_that_blames_no_paper(tmp_path, forks, undisturbed):
    with small_disk(tmp_path / "disk", 32 * 1024) as disk:
        code, errors, _ = typed(forks, tmp_path, [*RUN, "--out", str(disk)])
        assert code == 2 and errors.count("\n") == 1 and "No space left on device" in errors, errors
        assert not list(disk.glob("claims/*"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        code, errors, _ = typed(forks, tmp_path, [*RUN, "--out", str(disk), "--resume"])
        assert code == 0, errors


def test_a_store_that_fails_is_no_verdict_on_a_claim(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed):
        judge(sampled_topic.sampled, Effort(level="full", store=tmp_path / "file"))
