"""What every online store owes, embedded and networked: found or missing, never another key's row, as of a moment."""

from __future__ import annotations

import pyarrow as pa
import pytest
from both_stores import open_store, write_file
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.store import embedded, networked, writer
from scoreline.store.states import StateTable, Wanted

KINDS = ("embedded", pytest.param("tcp", marks=pytest.mark.needs("redis")),
         pytest.param("unix", marks=pytest.mark.needs("redis")),
         pytest.param("valkey", marks=pytest.mark.needs("valkey")))  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXTS)
NAMES = st.sampled_from(["", "1", "01", "ü", "x" * 40, "x" * 480, "x" * 490, "x" * 491, "x" * 600, "x" * 601])
MOMENTS = st.sampled_from([-(2**40), -1, 0, 1, 5, 6, 2**40])
ROWS = st.lists(st.tuples(NAMES, st.integers(-1, 1), st.none() | st.floats(allow_nan=False), MOMENTS), max_size=40)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def store_of(kind, tmp_path, request):
    """Give a function that makes a store of some rows."""
    servers = {"tcp": "redis_server", "unix": "redis_server", "valkey": "valkey_server"}
    server = None if kind == "embedded" else request.getfixturevalue(servers[kind])
    opened = []

    def make(rows, width=1, batches=(), **meta):
        path = write_file(tmp_path / f"{len(opened)}.lmdb", rows, width, batches, **meta)
        if server is not None:
            server.empty()
        opened.append(open_store(kind, server, path, len(rows)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_a_row_is_found_by_its_whole_key(store_of):
    store = store_of([["O1", 7, 1.5, None], ["O1", 8, True, "ü"]], width=2)
    assert store.get(("O1", 7)) == ["O1", 7, 1.5, None]
    assert store.get(("O1", 8)) == ["O1", 8, True, "ü"]


@pytest.mark.parametrize(
    "key", [("O2",), ("o1",), (" O1",), ("O1", "O1"), (1,), ("",), ("meta",), ("\0meta",), ("x" * 600,)]
)
def test_a_key_that_is_not_there_gives_nothing(store_of, key):
    assert store_of([["O1", 5]]).get(key) is None


def test_text_and_number_are_two_keys(store_of):
    store = store_of([["3779", "text"], [3779, "number"], ["03779", "zero"]])
    assert [store.get((key,))[1] for key in ("3779", 3779, "03779")] == ["text", "number", "zero"]
    assert store.get(("0003779",)) is None


def test_keys_longer_than_a_store_takes_are_found_too(store_of):
    keys = ["x" * size for size in (505, 508, 509, 511, 512, 5000)]
    store = store_of([[key, len(key)] for key in keys])
    assert [store.get((key,))[1] for key in keys] == [505, 508, 509, 511, 512, 5000]
    assert store.get(("x" * 513,)) is None


def test_many_keys_come_back_in_their_order_those_that_are_missing_and_those_asked_twice_too(store_of):
    store = store_of([[f"O{number}", number] for number in range(2000)])
    keys = [(f"O{number}",) for number in (1999, 5, 2000, 0, 5)]
    assert store.get_many(keys) == [["O1999", 1999], ["O5", 5], None, ["O0", 0], ["O5", 5]]
    assert store.get_many([]) == []


def test_another_keys_row_is_never_given_even_if_their_bytes_collide(store_of, monkeypatch):
    for room in (embedded, networked):
        monkeypatch.setattr(room, "encode_key", lambda key: b"\xa2O1")
    store = store_of([["O1", 5]])
    assert (store.get(("O1",)), store.get(("O2",))) == (["O1", 5], None)


def test_another_long_keys_state_is_never_given_even_if_their_digests_collide(store_of, monkeypatch):
    monkeypatch.setattr(writer, "hash_key", lambda encoded: b"\xc1the same")
    monkeypatch.setattr("scoreline.store.keys.hash_key", lambda encoded: b"\xc1the same")
    store = store_of([], batches=[(batch_of([("x" * 600, 1, 2.5, 5, 1)]), 0, 2)], **meta_of(1))
    [found, other] = store.newest([Wanted("t0", ("x" * 600, 1), 9), Wanted("t0", ("x" * 601, 1), 9)])
    assert (found.values, other) == ([2.5], None)


def test_it_says_what_the_writer_said_and_has_a_first_row(store_of):
    store = store_of([["b", 2], ["a", 1]], plan="abc", columns={"x": {"type": "text"}})
    meta = store.read_meta()
    assert (meta["plan"], meta["columns"], store.first()) == ("abc", {"x": {"type": "text"}}, ["a", 1])
    assert store_of([]).first() is None


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.tuples(TEXTS, st.integers(-3, 3)), st.lists(VALUES), max_size=20))
def test_rows_come_back_as_they_went_in(tmp_path_factory, redis_or_none, rows):
    path = write_file(
        tmp_path_factory.mktemp("s") / "s.lmdb", [[*key, *values] for key, values in rows.items()], width=2
    )
    store = open_new(*redis_or_none, path, len(rows))
    assert dict(zip(rows, [row[2:] for row in store.get_many(list(rows))], strict=True)) == rows
    store.close()


@settings(max_examples=25, deadline=None)
@given(ROWS, ROWS)
def test_the_newest_row_by_then_is_found_and_of_several_at_once_the_last(
    tmp_path_factory, redis_or_none, first, second
):
    tables = [[(*row, line) for line, row in enumerate(rows, start=2)] for rows in (first, second)]
    kept = [[name, 1] for name in ("", "x" * 700, "\uffff")]
    states = [(batch_of(rows), number, 2) for number, rows in enumerate(tables)]
    path = write_file(tmp_path_factory.mktemp("s") / "s.lmdb", kept, 1, states, **meta_of(2))
    store = open_new(*redis_or_none, path, len(kept))
    for number, rows in enumerate(tables):
        keys = {tuple(row[:2]) for row in rows} | {("1", 7), ("other", 0)}
        asked = [Wanted(f"t{number}", key, at) for key in keys for at in (-(2**41), -(2**40), -1, 0, 4, 5, 6, 2**41)]
        for wanted, state in zip(asked, store.newest(asked), strict=True):
            expected = plain(rows, wanted.key, wanted.as_of_us)
            assert (state and [*state.values, state.time_us, state.order]) == (expected and [*expected[2:]])
        for key in keys:
            mine = sorted([(row[3], row[4], row[2]) for row in rows if tuple(row[:2]) == key], reverse=True)
            trail = store.trail(Wanted(f"t{number}", key, 0))
            assert [(state.time_us, state.order, *state.values) for state in trail] == mine
    assert store.get_many([(row[0],) for row in kept]) == kept
    store.close()


def test_a_row_of_a_table_without_time_is_found_whenever_one_asks(store_of):
    untimed = StateTable(0, ("stock",), 2, False, {}).describe()
    store = store_of([], batches=[(batch_of([("z", 1, 2.5, 0, 7)]), 0, 2)], states={"zips": untimed})
    asked = [Wanted("zips", ("z", 1), at) for at in (-(10**15), 0)]
    assert [state.values for state in store.newest(asked)] == [[2.5], [2.5]]


@pytest.fixture(params=KINDS, scope="session")
def redis_or_none(request):
    """Give a kind of store and the server that it needs."""
    return request.param, None if request.param == "embedded" else request.getfixturevalue("redis_server")


def open_new(kind, server, path, rows):
    """Open a file as a store; in a server nothing is left of the example before."""
    if server is not None:
        server.empty()
    return open_store(kind, server, path, rows)


def meta_of(tables):
    """Return a store's meta with tables of a text and a number as key, and one value."""
    return {"states": {f"t{n}": StateTable(n, ("stock",), 2, True, {"stock.csv": 0}).describe() for n in range(tables)}}


def batch_of(rows):
    """Return rows (text, number, value, time, order) as a batch."""
    kinds = (pa.string(), pa.int64(), pa.float64(), pa.int64(), pa.int64())
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    return pa.record_batch(arrays, names=list("abcde"))


def plain(rows, key, as_of):
    """Find the newest row by going through all."""
    found = [row for row in rows if tuple(row[:2]) == key and row[3] <= as_of]
    return max(found, key=lambda row: (row[3], row[4]), default=None)
