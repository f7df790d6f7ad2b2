"""A real Dask cluster on loopback: the same bits as here, and what a worker, or the scheduler, takes along."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import fake_topic
import numpy as np
import pytest

from theorycheck.checks import runner
from theorycheck.checks.claim import REGISTRY, Effort, Evidence, claim
from theorycheck.cli.main import exit_code
from theorycheck.sims import cluster, versions
from theorycheck.sims.engine import estimate
from theorycheck.sims.errors import ClusterLost

distributed = pytest.importorskip("distributed", reason="distributed is not installed; nothing of --dask was tested")
pytestmark = pytest.mark.filterwarnings("ignore:Port 8787 is already in use")
CHUNKS = 20


@dataclass(frozen=True)
class Logged:
    """Normal numbers; every call leaves a marker file when it starts and another when it ends, in `folder`."""

    folder: str
    pause: float = 0.0
    deadly: bool = False
    shape = (3,)
    name = "logged"

    def parameters(self):
        return {"law": "normal"}

    def sample(self, seed, first, count):
        self.mark("start", first)
        if self.deadly and first == 40:
            os._exit(1)
        time.sleep(self.pause)
        samples = np.array([np.random.default_rng([seed, r]).normal(1e9, 1.0, 3) for r in range(first, first + count)])
        self.mark("end", first)
        return samples

    def mark(self, what, first):
        if self.folder:
            Path(self.folder, f"{what}.{first}.{os.getpid()}.{time.monotonic_ns()}").touch()

    def marks(self, what):
        """(first, process) of every marker."""
        return [tuple(map(int, path.name.split(".")[1:3])) for path in Path(self.folder).glob(f"{what}.*")]


def run(experiment, jobs=1, **options):
    return estimate(experiment, replicas=8 * CHUNKS, seed=3, chunk=8, jobs=jobs, **options)


@pytest.fixture(autouse=True)
def editable(monkeypatch):
    """Sources may be edited while the tests run; that is seen by a test of its own."""
    packages = {name: value for name, value in versions.versions().items() if name != "sources"}
    monkeypatch.setattr(cluster, "versions", lambda: packages)


@pytest.fixture(scope="module")
def local():
    """Two workers of one thread each, in processes of their own that know this folder's modules."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *([path] if path else [])])
    try:
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
                                      dashboard_address=None, silence_logs=50) as made:
            yield made
    finally:
        os.environ.pop("PYTHONPATH") if path is None else os.environ.__setitem__("PYTHONPATH", path)


@pytest.fixture
def ready(local):
    """The cluster's address once both workers are up (again)."""
    with distributed.Client(local.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    return local.scheduler_address


def test_the_cluster_does_the_work_and_gives_the_same_bits(ready, tmp_path):
    work = Logged(str(tmp_path), pause=0.01)
    with cluster.connected(ready) as jobs:
        found = run(work, jobs)
    assert jobs == 2
    assert found == run(Logged(""))
    assert os.getpid() not in {process for _, process in work.marks("start")}
    assert sorted(first for first, _ in work.marks("end")) == list(range(0, 8 * CHUNKS, 8))


def test_a_killed_worker_costs_its_chunk_only(ready, tmp_path):
    work, store = Logged(str(tmp_path / "marks"), pause=0.1), tmp_path / "store"
    (tmp_path / "marks").mkdir()
    killed = []

    def kill():
        while len(work.marks("end")) < 5:
            time.sleep(0.01)
        # starts are read first: one that is read later would belong to a chunk whose end has not been looked for
        while not (at_work := [mark for mark in work.marks("start") if mark not in set(work.marks("end"))]):
            time.sleep(0.001)   # all of them are between two chunks
        killed.append(at_work[0][1])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with cluster.connected(ready) as jobs:
        found = run(work, jobs, store=store)
    thread.join()
    assert found == run(Logged(""))
    ends, starts = [first for first, _ in work.marks("end")], [first for first, _ in work.marks("start")]
    twice = {first for first in starts if starts.count(first) > 1}
    at_work = {first for first, process in work.marks("start") if process == killed[0]}
    # what it was at; and one more if that one was done and on its way back
    assert 1 <= len(starts) - CHUNKS <= 2 and twice <= at_work
    assert set(ends) == set(range(0, 8 * CHUNKS, 8))
    # the store is the client's and complete: nothing is computed again
    assert run(Logged("/nowhere"), store=store) == found


def test_a_task_that_kills_every_worker_ends_the_run_in_one_line(local, ready, tmp_path):
    with pytest.raises(ClusterLost, match="lost a task .KilledWorker"), cluster.connected(ready) as jobs:
        run(Logged(str(tmp_path), deadly=True), jobs)
    assert len([first for first, _ in Logged(str(tmp_path)).marks("start") if first == 40]) == 4


def test_a_diverged_replica_is_named_as_it_is_here(ready):
    from theorycheck.sims.errors import Diverged
    from theorycheck.sims.fsl import Descent
    from theorycheck.theory import learning_rates
    from theorycheck.theory.fsl import PowerLawRegression

    work = Descent(PowerLawRegression(0.5, 2.0, 8), learning_rates.constant(50, 0.05))
    with cluster.connected(ready) as jobs:
        assert estimate(work, replicas=96, seed=1, chunk=32, jobs=jobs) == estimate(work, replicas=96, seed=1)
        with pytest.raises(Diverged, match="replica 40"):
            estimate(Infinite(), replicas=96, seed=1, chunk=8, jobs=jobs)


@dataclass(frozen=True)
class Infinite:
    """Diverges in replicas 40 and 70."""

    shape = (1,)
    name = "infinite"

    def parameters(self):
        return {}

    def sample(self, seed, first, count):
        replicas = np.arange(first, first + count, dtype=float)
        return np.where(np.isin(replicas, (40, 70)), np.inf, replicas)[:, None]


@claim("spread", topic="spread", paper=fake_topic.GAUSS, where="Art. 20", stance="derived", statement="1e9 = 1e9")
def spread(effort):
    found = estimate(Logged(str(spread_marks)), replicas=64, seed=1, chunk=8, **effort.engine)
    return Evidence(True, found.mean.tolist(), 1e9, 1.0, "equal")


@spread.control("1e9 = 2e9")
def _(effort):
    return fake_topic.verdict(False)


spread_marks = ""


def test_claims_run_here_and_their_chunks_there(ready, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "spread_marks", tmp_path)
    (placed,) = runner.run([REGISTRY["spread.spread"]], Effort(cluster=ready, store=tmp_path / "store"))
    there = {process for _, process in Logged(str(tmp_path)).marks("start")}
    monkeypatch.setattr(sys.modules[__name__], "spread_marks", "")
    (plain,) = runner.run([REGISTRY["spread.spread"]], Effort())
    assert there and os.getpid() not in there
    assert placed.evidence.measured == plain.evidence.measured and placed.verdict == plain.verdict == "HOLDS"
    assert list((tmp_path / "store").rglob("*.moments"))


def test_the_command_line_takes_the_cluster(invented, ready, capsys):
    assert exit_code(["check", "good.two_is_two", "--dask", ready]) == 0
    assert "HOLDS" in capsys.readouterr().out


def test_a_sweep_on_the_cluster_is_the_same_table(ready, tmp_path):
    spec = ('experiment = "fsl.descent"\nreplicas = 33\nseed = 5\n[grid]\nsource = [0.3, 1]\ncapacity = [1.5, 2]\n'
            '[fixed]\nwidth = 12\nschedule = {kind = "cosine", steps = 40, peak = 0.1}\n[output]\npath = "%s"\n')
    for name in ("here.csv", "there.csv"):
        (tmp_path / f"{name}.toml").write_text(spec % name)
    assert exit_code(["sweep", str(tmp_path / "here.csv.toml")]) == 0
    assert exit_code(["sweep", str(tmp_path / "there.csv.toml"), "--dask", ready]) == 0
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert len(list((tmp_path / "there.csv.store").rglob("*.result"))) == 4


@pytest.mark.parametrize(("name", "value"), [("numba", "0.1"), ("sources", "0" * 16), ("python", "3.2")])
def test_workers_with_other_versions_are_refused(ready, monkeypatch, name, value):
    here = {name: value, "theorycheck": versions.versions()["theorycheck"]}
    monkeypatch.setattr(cluster, "versions", lambda: here)
    complaint = rf"Dask worker tcp://\S+ has {name} \w[.\w]* \(here {value}\); it must have the same versions"
    with pytest.raises(ValueError, match=complaint), cluster.connected(ready):
        pass


def test_workers_without_theorycheck_say_so(ready):
    def forget():
        for name in [name for name in sys.modules if name.split(".")[0] == "theorycheck"]:
            del sys.modules[name]
        sys.modules["theorycheck"] = None   # what an import of a missing package looks like

    def remember():
        del sys.modules["theorycheck"]

    forget.__module__ = remember.__module__ = "__main__"   # sent by value
    with distributed.Client(ready, set_as_default=False) as client:
        client.run(forget)
        try:
            with pytest.raises(ValueError, match="lacks this theorycheck"), cluster.connected(ready):
                pass
        finally:
            client.run(remember)


def test_a_scheduler_that_goes_away_ends_the_run(tmp_path):
    start, ready = multiprocessing.get_context("spawn"), tmp_path / "address"
    process = start.Process(target=_serve, args=(str(ready),), daemon=True)
    process.start()
    while not ready.exists():
        assert process.is_alive()
        time.sleep(0.05)
    work = Logged(str(tmp_path / "marks"), pause=0.1)
    (tmp_path / "marks").mkdir()

    def kill():
        while len(work.marks("end")) < 2:
            time.sleep(0.01)
        process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ClusterLost, match="lost a task"), cluster.connected(ready.read_text()) as jobs:
        run(work, jobs, store=tmp_path / "store")
    thread.join()
    assert run(work, store=tmp_path / "store") == run(Logged(""))   # goes on here from what is stored


def _serve(ready):
    """A scheduler with one worker, in one process that can be killed."""
    async def serve():
        async with distributed.Scheduler(host="127.0.0.1", port=0, dashboard_address=None) as scheduler, \
                distributed.Worker(scheduler.address, nthreads=1):
            Path(f"{ready}.part").write_text(scheduler.address)
            Path(f"{ready}.part").rename(ready)
            await asyncio.sleep(600)

    asyncio.run(serve())


def test_a_cluster_without_workers_is_refused(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with distributed.LocalCluster(n_workers=0, processes=False, host="127.0.0.1", dashboard_address=None,
                                  protocol="tcp", silence_logs=50) as empty:
        with pytest.raises(ConnectionError, match="has no workers after 0.5 s"), \
                cluster.connected(empty.scheduler_address):
            pass


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://", "tcp://host", "host:8786", "tcp://host:0",
                                     "tcp://host:65536", "tcp://host:eighty", "http://host:8786", "tls://host:8786",
                                     "tcp://a b:1", None])
def test_malformed_addresses_are_refused(address):
    with pytest.raises(ValueError, match=r"Dask address is .*; it must be tcp://host:port"):
        cluster.checked_address(address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://head.example.org:1", "tcp://[::1]:65535"])
def test_addresses_of_schedulers_are_taken(address):
    assert cluster.checked_address(address) == address


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_somebody_else_there_is_one_line_and_code_2(invented, capsys, greeting, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        def greet():
            with contextlib.suppress(OSError):
                while True:
                    visitor = server.accept()[0]
                    visitors.append(visitor)
                    visitor.sendall(greeting)
        visitors = []
        threading.Thread(target=greet, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert exit_code(["check", "good.*", "--dask", address]) == 2
        server.shutdown(socket.SHUT_RDWR)
    for visitor in visitors:
        visitor.close()
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"no Dask scheduler answers at {address}" in line


@pytest.mark.parametrize("command", [["check", "good.*"], ["figure", "good.line"], ["run"]])
def test_nobody_there_is_one_line_and_code_2(invented, capsys, command, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.socket() as taken:   # bound but not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert exit_code([*command, "--dask", address]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"no Dask scheduler answers at {address}" in line


def test_without_distributed_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"distributed is not installed; pip install 'theorycheck\[cluster\]'"), \
            cluster.connected("tcp://127.0.0.1:1"):
        pass


def test_a_lost_cluster_is_one_line_and_code_2(invented, capsys, monkeypatch):
    def lose(claim, effort):
        raise ClusterLost("the Dask cluster lost a task (cancelled)")

    monkeypatch.setattr(runner, "judge", lose)   # no verdict: it says nothing of the claim
    assert exit_code(["check", "good.two_is_two"]) == 2
    printed = capsys.readouterr()
    assert printed.err == "theorycheck: the Dask cluster lost a task (cancelled)\n" and "FAILS" not in printed.out
