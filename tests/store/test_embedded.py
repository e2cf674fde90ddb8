"""The embedded store: found or missing, and never another key's row."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import lmdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.errors import StoreError
from scoreline.store import embedded, writer
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.writer import StoreWriter


@pytest.fixture
def store_of(tmp_path):
    """Give a function that writes rows with keys of some width and opens the store."""
    opened = []

    def make(rows, width=1, **meta):
        path = tmp_path / f"{len(opened)}.lmdb"
        with StoreWriter(path, width, meta) as writer:
            writer.add(rows)
        opened.append(EmbeddedStore(path))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_threads_that_are_the_first_at_once_open_it_once(store_of):
    store, together = store_of([["O1", 5]]), threading.Barrier(8)

    def first(_):
        together.wait()
        return store.get(("O1",))

    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(first, range(8))) == [["O1", 5]] * 8
        store.close()


def test_another_keys_row_is_never_given_even_if_their_bytes_collide(store_of, monkeypatch):
    monkeypatch.setattr(embedded, "encode_key", lambda key: b"\xa2O1")
    store = store_of([["O1", 5]])
    assert store.get(("O1",)) == ["O1", 5]
    assert store.get(("O2",)) is None


def test_another_long_keys_row_is_never_given_even_if_their_digests_collide(store_of, monkeypatch):
    monkeypatch.setattr(writer, "hash_key", lambda encoded: b"\xc1the same")
    monkeypatch.setattr(embedded, "encode_key", lambda key: b"\xc1the same")
    store = store_of([["x" * 600, 5]])
    assert store.get(("x" * 600,)) == ["x" * 600, 5]
    assert store.get(("x" * 601,)) is None


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(-3, 3)),
        st.lists(st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))),
        max_size=20,
    )
)
def test_rows_come_back_as_they_went_in(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("store") / "s.lmdb"
    with StoreWriter(path, 2, {}) as writer:
        writer.add([*key, *values] for key, values in rows.items())
    store = EmbeddedStore(path)
    assert {key: store.get(key)[2:] for key in rows} == rows
    store.close()


def test_what_the_writer_says_of_itself_is_kept(store_of):
    assert store_of([], plan="abc", columns={"x": {"type": "text"}}).read_meta() == {
        "format": 3,
        "plan": "abc",
        "columns": {"x": {"type": "text"}},
    }


def test_a_store_grows_as_far_as_it_must(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_FIRST_MAP_BYTES", 1 << 16)
    path = tmp_path / "grown.lmdb"
    with StoreWriter(path, 1, {}) as store:
        for first in range(0, 3000, 1000):
            store.add([f"key {row}", "x" * 1000] for row in range(first, first + 1000))
    assert path.stat().st_size > 3_000_000
    reader = EmbeddedStore(path)
    assert all(reader.get((f"key {row}",)) for row in range(3000))
    reader.close()


FORK = """
import os, sys
from pathlib import Path
from scoreline.store.embedded import EmbeddedStore

store = EmbeddedStore(Path(sys.argv[1]))
if sys.argv[2] == "opened":
    store.get(("O1",))
if os.fork() == 0:
    print(store.is_open, store.get(("O1",)), store.get(("O2",)), flush=True)
    os._exit(0)
os.wait()
print(store.is_open, store.get(("O1",)), flush=True)
"""


@pytest.mark.parametrize("parent", ["opened", "made"])
def test_a_store_opens_in_a_forked_child_whether_the_parent_had_it_open_or_not(tmp_path, parent):
    with StoreWriter(tmp_path / "s.lmdb", 1, {}) as writer:
        writer.add([["O1", 5]])
    script = [sys.executable, "-c", FORK, tmp_path / "s.lmdb", parent]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    # never by what came through the fork, whose file LMDB shares with the parent
    assert printed.splitlines() == ["False ['O1', 5] None", f"{parent == 'opened'} ['O1', 5]"]


def test_a_store_can_be_read_again_after_it_was_closed(store_of):
    store = store_of([["O1", 5]])
    assert store.get(("O1",))
    store.close()
    store.close()
    assert store.get(("O1",)) == ["O1", 5]


def test_a_store_of_another_format_is_refused(store_of, monkeypatch):
    monkeypatch.setattr(writer, "FORMAT", 4)
    store = store_of([])
    with pytest.raises(StoreError, match=r"0\.lmdb: is store format 4; this version reads 3\. Run `scoreline feature`"):
        store.read_meta()


def test_a_store_of_format_1_and_one_that_was_not_finished_are_refused(tmp_path):
    for name, key in (("1", b"\x00meta"), ("unfinished", b"\xa2O1")):
        path = tmp_path / f"{name}.lmdb"
        with lmdb.open(str(path), subdir=False, lock=False) as env, env.begin(write=True) as transaction:
            transaction.put(key, msgspec.msgpack.encode({"format": 1}))
        with pytest.raises(StoreError, match="is store format unknown; this version reads 3"):
            EmbeddedStore(path).read_meta()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"sku_code,inventory\n" * 1000, id="a-csv-file"),
        pytest.param(bytes(8192), id="zeros"),
    ],
)
def test_a_file_that_is_no_store_is_refused_by_name(tmp_path, content):
    path = tmp_path / "s.lmdb"
    if content is not None:
        path.write_bytes(content)
    for read in (EmbeddedStore(path).read_meta, lambda: EmbeddedStore(path).get(("O1",))):
        with pytest.raises(StoreError, match=r"s\.lmdb: can't be opened as an online store"):
            read()
