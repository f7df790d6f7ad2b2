"""Fixtures that several test files share."""

import os
import signal

# before anything imports numpy: the workers share the cores, and BLAS threads would only fight over them
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# started in the background by a shell, the tests would hand an ignored Ctrl-C down to the programs they interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

import fake_topic  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from theorycheck import checks, figures  # noqa: E402

# the same examples in every run: a suite that fails today and passes tomorrow teaches nothing
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


@pytest.fixture
def invented(monkeypatch, tmp_path):
    """The invented topics in place of the real ones, and an empty current folder (returned)."""
    monkeypatch.setattr(checks, "TOPICS", dict(fake_topic.TOPICS))
    for topic in fake_topic.TOPICS:
        monkeypatch.setitem(fake_topic.sys.modules, f"{checks.__name__}.{topic}", fake_topic)
        monkeypatch.setitem(fake_topic.sys.modules, f"{figures.__name__}.{topic}", fake_topic)
    monkeypatch.chdir(tmp_path)
    return tmp_path
