"""Fixtures that several test files share."""

import fake_topic
import pytest

from theorycheck import checks, figures


@pytest.fixture
def invented(monkeypatch, tmp_path):
    """The invented topics in place of the real ones, and an empty current folder (returned)."""
    monkeypatch.setattr(checks, "TOPICS", dict(fake_topic.TOPICS))
    for topic in fake_topic.TOPICS:
        monkeypatch.setitem(fake_topic.sys.modules, f"{checks.__name__}.{topic}", fake_topic)
        monkeypatch.setitem(fake_topic.sys.modules, f"{figures.__name__}.{topic}", fake_topic)
    monkeypatch.chdir(tmp_path)
    return tmp_path
