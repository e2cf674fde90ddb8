"""The event log: what is acknowledged is there once, for every process, whatever is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from both_stores import NAMES, publications_at
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreline.errors import StoreError, StoreLostError
from scoreline.store.events import EVENTS_FROM, Appended, EventLog, Table, event_log
from scoreline.store.networked_events import NetworkedEvents
from scoreline.store.states import Wanted

STOCK = Table("stock", ("sku", "line"), "at")
ZIPS = Table("zips", ("zip",), None)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
SKUS = st.sampled_from(["", "a", "x" * 600])
TIMED = {"stock": True, "zips": False, "other": True}


SERVERS = (pytest.param("redis", marks=pytest.mark.needs("redis")),
           pytest.param("valkey", marks=pytest.mark.needs("valkey")))  # fmt: skip


@pytest.fixture(params=["file", *SERVERS])
def log(request, tmp_path):
    """Give an empty event log: that of a state folder, and that of a networked store."""
    kind = request.param
    opened = EventLog(tmp_path / "events.lmdb") if kind == "file" else in_server(request, kind)
    yield opened
    opened.close()


def in_server(request, kind):
    """Return the event log in a server, emptied."""
    server = request.getfixturevalue(f"{kind}_server")
    server.empty()
    opened = NetworkedEvents(publications_at(server.urls["tcp"]).link, NAMES)
    opened.prepare()
    return opened


@pytest.fixture
def file_log(tmp_path):
    """Give an empty event log of a state folder."""
    opened = EventLog(tmp_path / "events.lmdb")
    yield opened
    opened.close()


@pytest.fixture
def redis_log(request):
    """Give an empty event log of a networked store."""
    return in_server(request, "redis")


def row(at, pieces, sku="S", line=1):
    return {"sku": sku, "line": line, "at": at, "pieces": pieces}


def pieces(log, *moments, key=("S", 1)):
    """Return the pieces at each moment."""
    found = log.newest([Wanted("stock", key, moment) for moment in moments], TIMED)
    return [None if one is None else one[2]["pieces"] for one in found]


def test_of_rows_out_of_order_the_newest_by_then_counts_and_of_several_at_once_the_last_to_arrive(log):
    log.append(STOCK, [row(5, 1), row(3, 2), row(5, 3)], "a", "", 0)
    assert pieces(log, 2, 3, 4, 5, 9) == [None, 2, 2, 3, 3]
    log.append(STOCK, [row(5, 4), row(1, 5)], "b", "", 0)  # late rows
    assert pieces(log, 0, 1, 3, 5) == [None, 5, 2, 4]
    assert pieces(log, 9, key=("S", 2)) == pieces(log, 9, key=("SS", 1)) == [None]


@pytest.fixture(scope="session", params=["file", pytest.param("redis", marks=pytest.mark.needs("redis"))])
def any_kind(request):
    """Give a function that makes an empty event log."""
    if request.param == "file":
        return lambda factory: EventLog(factory.mktemp("log") / "events.lmdb")
    server = request.getfixturevalue("redis_server")

    def make(_):
        server.empty()
        opened = NetworkedEvents(publications_at(server.urls["unix"]).link, NAMES)
        opened.prepare()
        return opened

    return make


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(-3, 3), st.none() | INTEGERS, SKUS), max_size=8),
        max_size=6,
    )
)  # fmt: skip
def test_it_agrees_with_a_plain_loop(tmp_path_factory, any_kind, batches):
    log = any_kind(tmp_path_factory)
    arrived = []
    for number, batch in enumerate(batches):
        log.append(STOCK, [row(at, value, sku) for at, value, sku in batch], f"b{number}", "", 0)
        arrived += batch
    for sku in ("", "a", "x" * 600):
        for as_of in range(-4, 5):
            by_then = [(at, place, value) for place, (at, value, s) in enumerate(arrived) if s == sku and at <= as_of]
            expected = max(by_then)[2] if by_then else None
            assert pieces(log, as_of, key=(sku, 1)) == [expected]
        mine = [(at, place + 1 + EVENTS_FROM) for place, (at, _, s) in enumerate(arrived) if s == sku]
        assert [one[:2] for one in log.trail("stock", (sku, 1))] == sorted(mine, reverse=True)
    assert log.last == len(arrived)
    log.close()


def test_of_a_table_without_time_the_last_to_arrive_counts_whenever_one_asks(log):
    log.append(ZIPS, [{"zip": "z", "since": 1}], "a", "", 0)
    log.append(ZIPS, [{"zip": "z", "since": 2}], "b", "", 0)
    assert [one[2]["since"] for one in log.newest([Wanted("zips", ("z",), at) for at in (-9, 0, 9)], TIMED)] == [2] * 3


def test_a_batch_that_is_sent_again_changes_nothing_and_other_rows_under_its_name_are_refused(log):
    rows = [row(5, 1), row(6, 2)]
    assert log.append(STOCK, rows, "a", "digest", 0) == Appended(2, False)
    again = log.append(STOCK, rows, "a", "digest", 0)
    assert (again.rows, again.is_known, log.last) == (2, True, 2)
    with pytest.raises(StoreError, match="batch 'a' of table 'stock' is known with other rows"):
        log.append(STOCK, [row(7, 3)], "a", "another", 0)
    log.append(ZIPS, [{"zip": "z", "since": 1}], "a", "another", 0)  # names are each table's own
    assert log.last == 3


def test_a_row_names_the_batch_that_it_came_in(log):
    log.append(STOCK, [row(5, 1)], "a", "", 0)
    log.append(STOCK, [row(6, 2), row(7, 3)], "b", "", 0)
    orders = [one[1] for one in log.trail("stock", ("S", 1))]
    assert [log.origin_of(order) for order in orders] == [
        {"batch": "b", "row": 2}, {"batch": "b", "row": 1}, {"batch": "a", "row": 1},
    ]  # fmt: skip
    assert log.origin_of(EVENTS_FROM + 99) == {"batch": None, "row": None}


def test_rows_come_back_in_the_order_of_arrival_as_far_as_asked(log):
    log.append(STOCK, [row(5, 1), row(3, 2)], "a", "", 0)
    log.append(ZIPS, [{"zip": "z", "since": 1}], "a", "", 0)
    log.append(STOCK, [row(4, 3)], "b", "", 0)
    assert [(order - EVENTS_FROM, values["pieces"]) for order, values in log.rows_of("stock", 9)] == [
        (1, 1),
        (2, 2),
        (4, 3),
    ]
    assert [values["pieces"] for _, values in log.rows_of("stock", 3)] == [1, 2]
    assert list(log.rows_of("other", 9)) == []


def test_the_newest_time_is_kept_whatever_came_late(log):
    assert log.newest_us("stock") is None
    log.append(STOCK, [row(-5, 1)], "a", "", 50)
    assert log.newest_us("stock") == -5
    log.append(STOCK, [row(7, 1), row(9, 2)], "b", "", 50)
    log.append(STOCK, [row(8, 1)], "c", "", 50)
    assert (log.newest_us("stock"), log.newest_us("zips")) == (9, None)


def test_a_row_of_the_future_does_not_make_a_table_new(log):
    log.append(STOCK, [row(7, 1), row(99, 1)], "a", "", 50)
    log.append(STOCK, [row(88, 1)], "b", "", 50)
    assert log.newest_us("stock") == 7


def test_rows_are_dropped_up_to_a_number_and_an_age_and_numbers_are_never_given_twice(file_log):
    log = file_log
    for number, arrived in enumerate((100, 200, 300)):
        log.append(STOCK, [row(number, number), row(number + 10, number)], f"b{number}", "", arrived)
    tables = {"stock": STOCK}
    assert log.drop(5, 250, tables) == 4
    assert (pieces(log, 1), pieces(log, 2, 99)) == ([None], [2, 2])
    assert log.drop(5, 999, tables) == 1
    assert log.drop(99, 999, tables) == 1
    assert (log.last, list(log.rows_of("stock", 99)), pieces(log, 99)) == (6, [], [None])
    log.append(STOCK, [row(1, 7)], "new", "", 0)
    assert (log.last, pieces(log, 1)) == (7, [7])
    assert log.append(STOCK, [row(0, 0), row(10, 0)], "b0", "", 0).is_known  # its name is remembered


@pytest.mark.needs("redis")
def test_in_a_networked_store_whole_batches_are_dropped_and_numbers_are_never_given_twice(redis_log):
    log = redis_log
    for number, arrived in enumerate((100, 200, 300)):
        log.append(STOCK, [row(number, number), row(number + 10, number)], f"b{number}", "", arrived)
    tables = {"stock": STOCK}
    assert log.drop(5, 250, tables) == 4
    assert (pieces(log, 1), pieces(log, 2, 99)) == ([None], [2, 2])
    assert log.drop(5, 999, tables) == 0  # one of its rows is in no generation yet
    assert log.drop(6, 999, tables) == 2
    assert (log.last, list(log.rows_of("stock", 99)), pieces(log, 99)) == (6, [], [None])
    log.append(STOCK, [row(1, 7)], "new", "", 0)
    assert (log.last, pieces(log, 1)) == (7, [7])
    assert log.append(STOCK, [row(0, 0), row(10, 0)], "b0", "", 0).is_known  # its name is remembered


@pytest.mark.needs("redis")
def test_a_large_batch_goes_in_as_one_and_comes_back(redis_log):
    rows = [row(number, number, sku=f"s{number % 7}") for number in range(20_000)]
    assert redis_log.append(STOCK, rows, "a", "", 0).rows == 20_000
    assert [values["pieces"] for _, values in redis_log.rows_of("stock", 99_999)] == list(range(20_000))
    assert pieces(redis_log, 6999, 10**6, key=("s0", 1)) == [6993, 19_999 - 19_999 % 7]


@pytest.mark.needs("redis")
def test_a_log_that_is_gone_is_an_error_and_never_nothing_new(redis, redis_log):
    redis_log.append(STOCK, [row(5, 1)], "a", "", 0)
    redis.empty()
    with pytest.raises(StoreLostError, match="no longer holds what was ingested"):
        pieces(redis_log, 9)


def test_a_process_has_one_log_for_a_folder(tmp_path):
    log = event_log(tmp_path)
    assert event_log(tmp_path / ".") is log
    log.append(STOCK, [row(1, 7)], "a", "", 0)
    log.close()
    assert pieces(log, 1) == [7]
    log.close()


def test_a_file_that_is_none_is_refused_by_name(tmp_path):
    (tmp_path / "events.lmdb").write_bytes(b"sku_code,inventory\n" * 1000)
    with pytest.raises(StoreError, match=r"events\.lmdb: can't be opened as an event log"):
        _ = EventLog(tmp_path / "events.lmdb").last


APPENDER = """
import sys
from pathlib import Path
from scoreline.store.events import EventLog, Table

log = EventLog(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10**6):
    rows = [{"sku": f"{number}", "line": line, "at": line, "pieces": number} for line in range(20)]
    log.append(Table("stock", ("sku", "line"), "at"), rows, f"batch {number}", "", 0)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there_once_and_the_rest_may_be_sent_again(tmp_path):
    path, begin = tmp_path / "events.lmdb", 0
    for _ in range(4):
        command = [sys.executable, "-c", APPENDER, str(path), str(begin)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline())]
            time.sleep(0.2)
            process.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in process.stdout.read().split()]
        log = EventLog(path)
        there = [values["pieces"] for _, values in log.rows_of("stock", log.last)]
        assert len(there) == log.last == 20 * len(set(there))
        assert set(range(acknowledged[-1] + 1)) <= set(there)
        log.close()
        begin = max(0, acknowledged[-1] - 2)  # as a client that is not sure sends again
    assert begin > 4


READER = """
import sys
from pathlib import Path
from scoreline.store.events import EventLog
from scoreline.store.states import Wanted

log = EventLog(Path(sys.argv[1]))
print(log.last, flush=True)
for line in sys.stdin:
    found = log.newest([Wanted("stock", ("S", 1), 99)], {"stock": True})[0]
    print(found and found[2]["pieces"], flush=True)
"""


def test_another_process_sees_a_batch_as_soon_as_it_is_acknowledged(file_log):
    log = file_log
    command = [sys.executable, "-c", READER, str(log.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        for number in range(50):
            log.append(STOCK, [row(number, number)], f"b{number}", "", 0)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{number}\n"
