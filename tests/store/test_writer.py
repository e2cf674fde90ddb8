"""Writing a store: whatever the order of rows and however many runs, the file is the same."""

from __future__ import annotations

import random

import lmdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.errors import StoreError
from scoreline.store import writer
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.encode import encode_row
from scoreline.store.keys import encode_key
from scoreline.store.writer import StoreWriter


def batch_of(rows):
    """Return rows of two texts and a number as a batch."""
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    kinds = (pa.string(), pa.string(), pa.int64())
    return pa.record_batch([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], names=["a", "b", "n"])


def write(path, batches):
    """Write lists of rows as a store, each list as one batch."""
    with StoreWriter(path, 2, {}) as store:
        for rows in batches:
            store.add_batch(batch_of(rows))


def pairs_in(path):
    """Return what a store file holds, but for its meta, in the order of the file."""
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as env, env.begin() as transaction:
        return [pair for pair in transaction.cursor() if pair[0] != b"\xc1meta"]


@pytest.fixture
def in_small_runs(monkeypatch):
    """Let a run be a few rows and a piece of it fewer."""
    monkeypatch.setattr(writer, "_RUN_BYTES", 400)
    monkeypatch.setattr(writer, "_PIECE_BYTES", 100)


KEYS = st.text("01ü", max_size=4) | st.sampled_from(["x" * 30, "x" * 600, "x" * 601])


@pytest.mark.usefixtures("in_small_runs")
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(KEYS, KEYS), unique=True, max_size=60), st.integers(1, 20))
def test_rows_from_many_runs_come_out_as_they_went_in(tmp_path_factory, keys, batch_rows):
    path = tmp_path_factory.mktemp("store") / "s.lmdb"
    rows = [[*key, number] for number, key in enumerate(keys)]
    write(path, (rows[first : first + batch_rows] for first in range(0, len(rows), batch_rows)))
    assert pairs_in(path) == sorted((encode_key(row[:2]), encode_row(row)) for row in rows)
    reader = EmbeddedStore(path)
    assert [reader.get(key) for key in keys] == rows
    reader.close()


@pytest.mark.usefixtures("in_small_runs")
def test_only_the_store_is_left_in_its_folder(tmp_path):
    write(tmp_path / "s.lmdb", ([[f"{number * 7 % 50}", "x" * 50, number]] for number in range(50)))
    assert [path.name for path in tmp_path.iterdir()] == ["s.lmdb"]
    assert len(pairs_in(tmp_path / "s.lmdb")) == 50


def test_pages_are_filled_whatever_the_order_of_rows(tmp_path):
    rows = [[f"O{number:07}", "C1", number] for number in range(20_000)]
    sizes = []
    for order in (rows, random.Random(1).sample(rows, len(rows))):
        path = tmp_path / f"{len(sizes)}.lmdb"
        write(path, (order[first : first + 1000] for first in range(0, len(order), 1000)))
        sizes.append(path.stat().st_size)
    held = sum(len(key) + len(value) for key, value in pairs_in(path))
    assert sizes[0] == sizes[1] < 1.6 * held


@pytest.mark.parametrize("run_bytes", [1, 1 << 20])
@pytest.mark.parametrize("key", ["7", "x" * 600])
def test_a_key_that_comes_twice_is_refused(tmp_path, monkeypatch, run_bytes, key):
    monkeypatch.setattr(writer, "_RUN_BYTES", run_bytes)
    rows = [[key, "a", 0], *([f"O{number}", "a", number] for number in range(10)), [key, "a", 1]]
    with pytest.raises(StoreError, match=r"s\.lmdb: 1 rows have the key of another row"):
        write(tmp_path / "s.lmdb", [[row] for row in rows])


def test_a_store_whose_writer_failed_can_not_be_read(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "s.lmdb", ([[str(10 // left), "a", left]] for left in (2, 1, 0)))
    with pytest.raises(StoreError, match="is store format unknown"):
        EmbeddedStore(tmp_path / "s.lmdb").read_meta()


def test_a_very_large_batch_is_taken_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_BATCH_BYTES", 200)
    rows = [[str(number), "x" * 50, number] for number in range(40)]
    write(tmp_path / "s.lmdb", [rows])
    assert [key for key, _ in pairs_in(tmp_path / "s.lmdb")] == sorted(encode_key(row[:2]) for row in rows)
