"""Fixtures that several test files share."""

import fake_topic
import pytest
from hypothesis import settings

from theorycheck import checks, figures

# No test depends on time: the first example of a test may compile or import what it needs.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def invented(monkeypatch, tmp_path):
    """The invented topics in place of the real ones, and an empty current folder (returned)."""
    monkeypatch.setattr(checks, "TOPICS", dict(fake_topic.TOPICS))
    for topic in fake_topic.TOPICS:
        monkeypatch.setitem(fake_topic.sys.modules, f"{checks.__name__}.{topic}", fake_topic)
        monkeypatch.setitem(fake_topic.sys.modules, f"{figures.__name__}.{topic}", fake_topic)
    monkeypatch.chdir(tmp_path)
    return tmp_path
