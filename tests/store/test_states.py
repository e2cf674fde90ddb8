"""States: what a key had at a moment, found as a plain loop over all rows finds it."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.store import writer
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.states import StateTable, Wanted
from scoreline.store.writer import StoreWriter

NAMES = st.sampled_from(["", "1", "01", "ü", "x" * 40, "x" * 480, "x" * 490, "x" * 491, "x" * 600, "x" * 601])
MOMENTS = st.sampled_from([-(2**40), -1, 0, 1, 5, 6, 2**40])


def table(number, width=2, is_timed=True):
    """Return how a table of a text and a number as key, and one value, is kept."""
    return StateTable(number, ("stock",), width, is_timed, {"stock.csv": 0})


def batch_of(rows):
    """Return rows (text, number, value, time, order) as a batch."""
    kinds = (pa.string(), pa.int64(), pa.float64(), pa.int64(), pa.int64())
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    return pa.record_batch(arrays, names=list("abcde"))


def write(path, *tables, rows=()):
    """Write a store with rows and with the states of some tables, each a list of batches."""
    meta = {"states": {f"t{n}": table(n).describe() for n in range(len(tables))}}
    with StoreWriter(path, 1, meta) as store:
        for number, batches in enumerate(tables):
            for rows_of in batches:
                store.add_states(batch_of(rows_of), number, 2)
            store.add(rows[number :: len(tables)])
    return store.states_digest


def plain(rows, key, as_of):
    """Find the newest row by going through all."""
    found = [row for row in rows if tuple(row[:2]) == key and row[3] <= as_of]
    return max(found, key=lambda row: (row[3], row[4]), default=None)


ROWS = st.lists(st.tuples(NAMES, st.integers(-1, 1), st.none() | st.floats(allow_nan=False), MOMENTS), max_size=60)


@pytest.fixture(params=["one-run", "small-runs"])
def runs(request, monkeypatch):
    """Let all fit into one run, or let a run be a few rows and a piece of it fewer."""
    if request.param == "small-runs":
        monkeypatch.setattr(writer, "_RUN_BYTES", 400)
        monkeypatch.setattr(writer, "_PIECE_BYTES", 100)


@pytest.mark.usefixtures("runs")
@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.integers(1, 20))
def test_the_newest_row_by_then_is_found_and_of_several_at_once_the_last(tmp_path_factory, first, second, batch_rows):
    path = tmp_path_factory.mktemp("store") / "s.lmdb"
    tables = [[(*row, line) for line, row in enumerate(rows, start=2)] for rows in (first, second)]
    batches = [[rows[at : at + batch_rows] for at in range(0, len(rows), batch_rows)] for rows in tables]
    kept = [[name, 1] for name in ("", "x" * 700, "\uffff")]
    write(path, *batches, rows=kept)
    store = EmbeddedStore(path)
    for number, rows in enumerate(tables):
        for key in {tuple(row[:2]) for row in rows} | {("1", 7), ("other", 0)}:
            for as_of in (-(2**41), -(2**40), -1, 0, 4, 5, 6, 2**41):
                [state] = store.newest([Wanted(f"t{number}", key, as_of)])
                expected = plain(rows, key, as_of)
                assert (state and (list(state.values), state.time_us, state.order)) == (
                    expected and ([expected[2]], *expected[3:])
                )
    assert [store.get((row[0],)) for row in kept] == kept
    assert store.first() in kept
    store.close()


def test_a_row_of_a_table_without_time_is_found_whenever_one_asks(tmp_path):
    with StoreWriter(tmp_path / "s.lmdb", 1, {"states": {"zips": table(0, is_timed=False).describe()}}) as store:
        store.add_states(batch_of([("z", 1, 2.5, 0, 7)]), 0, 2)
    reader = EmbeddedStore(tmp_path / "s.lmdb")
    assert [state.values for state in reader.newest([Wanted("zips", ("z", 1), at) for at in (-(10**15), 0)])] == [
        [2.5], [2.5],
    ]  # fmt: skip
    reader.close()


def test_another_long_keys_row_is_never_given_even_if_their_digests_collide(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "hash_key", lambda encoded: b"\xc1the same")
    monkeypatch.setattr("scoreline.store.keys.hash_key", lambda encoded: b"\xc1the same")
    write(tmp_path / "s.lmdb", [[("x" * 600, 1, 2.5, 5, 1)]])
    store = EmbeddedStore(tmp_path / "s.lmdb")
    [found, other] = store.newest([Wanted("t0", ("x" * 600, 1), 9), Wanted("t0", ("x" * 601, 1), 9)])
    assert (found.values, other) == ([2.5], None)
    store.close()


def test_the_digest_is_that_of_the_content_whatever_the_order_in_which_it_came(tmp_path, monkeypatch):
    rows = [(name, 1, value, 5, 0) for name in ("a", "b", "x" * 600, "y" * 600) for value in (1.0,)]
    digest = write(tmp_path / "a.lmdb", [rows])
    monkeypatch.setattr(writer, "_RUN_BYTES", 100)
    moved = [(*row[:4], line) for line, row in enumerate(rows[::-1], start=90)]
    assert write(tmp_path / "b.lmdb", [moved[:1], moved[1:]]) == digest
    for at, other in ((0, ("a", 1, 2.0, 5, 0)), (1, ("b", 1, None, 5, 0)), (2, ("x" * 600, 1, 1.0, 6, 0))):
        assert write(tmp_path / f"{at}.lmdb", [[*rows[:at], other, *rows[at + 1 :]]]) != digest


def test_an_order_is_the_line_of_the_file_that_it_falls_into():
    kept = StateTable(0, (), 1, True, {"a.csv": 0, "b.csv": 100, "c.csv": 250})
    assert [kept.place_of(order) for order in (2, 100, 101, 250, 251)] == [
        ("a.csv", 2), ("a.csv", 100), ("b.csv", 1), ("b.csv", 150), ("c.csv", 1),
    ]  # fmt: skip
