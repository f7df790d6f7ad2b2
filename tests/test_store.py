"""The store: files that are whole or absent, and names that tell results apart."""

import errno
import os
import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from theorycheck.sims.store import DamagedWarning, canonical, identity, open_store, pack, unpack, write


@dataclass(frozen=True)
class Model:
    exponent: float
    rates: tuple = ()


@dataclass(frozen=True)
class Other:
    exponent: float
    rates: tuple = ()


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path, "sgd, one pass", {"exponent": 2.0, "rates": np.arange(3.0)}, (2,), 7)


# names

DISTINCT = [None, True, 1, 1.0, -0.0, 0.0, float(np.nextafter(1.0, 2.0)), float("nan"), float("inf"), 1j, "1", b"1", (),
            {}, "", [1], [1.0], [[1]], [1, 1], {"a": 1}, {"a": 1.0}, {"b": 1}, np.array([1]), np.array([1.0]),
            np.array([[1.0]]), np.array([1.0], np.float32), Model(1.0), Model(2.0), Other(1.0), Model(1.0, (1.0,)),
            "float:0x1p+0", [1, [2]], [[1], 2], ["a,b"], ["a", "b"]]


def test_different_values_have_different_names():
    assert len({canonical(value) for value in DISTINCT}) == len(DISTINCT)


def test_equal_values_have_equal_names():
    assert canonical({"a": 1, "b": (1.5, "x")}) == canonical({"b": [np.float64(1.5), "x"], "a": np.int64(1)})
    big = np.arange(6.0).reshape(2, 3)
    assert canonical(big) == canonical(np.asfortranarray(big)) == canonical(big.astype(">f8"))


@given(st.floats(), st.floats())
def test_floats_are_named_to_the_last_bit(a, b):
    same = np.float64(a).tobytes() == np.float64(b).tobytes() or (a != a and b != b)
    assert (canonical(a) == canonical(b)) == same


@pytest.mark.parametrize("value", [object(), lambda: 0, {1: 2}, np.array(["a"]), {1, 2}, Model])
def test_what_cannot_be_named_is_refused(value):
    with pytest.raises(ValueError, match="a parameter is of type .* it must be") as caught:
        identity("name", {"value": value}, (), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [
    {"name": "sgd"}, {"parameters": {"exponent": 2.0}}, {"parameters": {"exponent": 2, "rates": np.arange(3.0)}},
    {"shape": (3,)}, {"seed": 8}])
def test_whatever_determines_the_samples_is_in_the_identity(change):
    base = {"name": "sgd, one pass", "parameters": {"exponent": 2.0, "rates": np.arange(3.0)}, "shape": (2,), "seed": 7}
    assert identity(**base) != identity(**(base | change))


# files

@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=64)))
def test_content_comes_back_to_the_last_bit(array):
    back, lost, complaint = unpack(pack("abc", 3, 9, array), "abc", 3, 9, array.shape)
    assert complaint == "" and lost == {} and back.tobytes() == array.tobytes() and back.flags.writeable


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data):
    content = pack("abc", 0, 4, np.arange(4.0))
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytes([content[place] ^ data.draw(st.integers(1, 255))])
    array, _, complaint = unpack(content[:place] + changed + content[place + 1:], "abc", 0, 4, (4,))
    assert array is None and complaint


@given(st.data())
def test_no_truncation_or_appendix_goes_unnoticed(data):
    content = pack("abc", 0, 4, np.arange(4.0))
    cut = data.draw(st.integers(0, len(content) - 1))
    for bad in (content[:cut], content + content[cut:]):
        assert unpack(bad, "abc", 0, 4, (4,))[0] is None


@pytest.mark.parametrize("expected", [("xyz", 0, 4, (4,)), ("abc", 1, 4, (4,)), ("abc", 0, 5, (4,)),
                                      ("abc", 0, 4, (2, 2))])
def test_content_of_something_else_is_not_taken(expected):
    array, _, complaint = unpack(pack("abc", 0, 4, np.arange(4.0)), *expected)
    assert array is None and "another" in complaint


def test_save_load_ranges(store):
    assert store.ranges() == [] and store.load(0, 8, (2,)) is None
    store.save(8, 16, np.array([1.0, 2.0]))
    store.save(0, 8, np.array([3.0, 4.0]))
    assert store.ranges() == [(0, 8), (8, 16)]
    assert store.load(8, 16, (2,))[0].tolist() == [1.0, 2.0]


def test_diverged_replicas_come_back_with_the_array(store):
    store.save(8, 16, np.array([1.0, 2.0]), {11: None, 9: 400})
    array, lost = store.load(8, 16, (2,))
    assert array.tolist() == [1.0, 2.0] and lost == {9: 400, 11: None}
    store.save(0, 8, np.zeros(2), {})
    assert store.path(0, 8).read_bytes() == pack(store.identity, 0, 8, np.zeros(2))


def test_opening_twice_finds_the_same_files(tmp_path, store):
    store.save(0, 8, np.zeros(2))
    again = open_store(tmp_path, "sgd, one pass", {"rates": [0.0, 1.0, 2.0], "exponent": 2.0}, (2,), 7)
    assert again.ranges() == []                               # a list is not an array
    again = open_store(tmp_path, "sgd, one pass", {"rates": np.arange(3.0), "exponent": 2.0}, (2,), 7)
    assert again.ranges() == [(0, 8)]


@pytest.mark.parametrize("name", ["../../escape", "", "a/b", "x" * 500, "été\n"])
def test_no_name_leaves_the_root(tmp_path, name):
    made = open_store(tmp_path / "root", name, {}, (), 0)
    assert made.directory.parent == tmp_path / "root" and made.directory.is_dir()


def test_a_damaged_file_is_set_aside_once(store):
    store.save(0, 8, np.zeros(2))
    store.path(0, 8).write_bytes(b"noise")
    with pytest.warns(DamagedWarning, match="truncated"):
        assert store.load(0, 8, (2,)) is None
    assert store.ranges() == [] and store.path(0, 8).with_suffix(".damaged").read_bytes() == b"noise"
    store.save(0, 8, np.ones(2))
    assert store.load(0, 8, (2,))[0].tolist() == [1.0, 1.0]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle):
        events.append("fsync directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "fsync")
        fsync(handle)

    def watched_replace(old, new):
        events.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write(tmp_path / "file", b"content")
    assert events[:2] == ["fsync", "replace"] and len(events) == 3
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only"),
                                               (errno.EIO, "Input/output")])
def test_a_disk_that_fails_leaves_no_file_and_one_line(store, monkeypatch, number, words):
    store.save(0, 8, np.zeros(2))
    before = sorted(os.listdir(store.directory))

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"cannot write the store: {words}") as caught:
        store.save(0, 8, np.ones(2))
    assert "\n" not in str(caught.value) and caught.value.errno == number
    assert sorted(os.listdir(store.directory)) == before
    assert store.load(0, 8, (2,))[0].tolist() == [0.0, 0.0]      # the old content is still whole


def test_an_interrupted_write_leaves_nothing(store, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.save(0, 8, np.ones(2))
    assert os.listdir(store.directory) == ["identity.json"]


def test_a_file_that_cannot_be_read_is_not_taken_for_damaged(store):
    store.path(0, 8).mkdir()
    with pytest.raises(OSError, match="cannot read the store"):
        store.load(0, 8, (2,))


def test_leftovers_of_killed_writers_go_after_a_day(tmp_path, store):
    old, young = (store.directory / f".unfinished-{name}" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    open_store(tmp_path, "sgd, one pass", {"exponent": 2.0, "rates": np.arange(3.0)}, (2,), 7)
    assert not old.exists() and young.exists()
