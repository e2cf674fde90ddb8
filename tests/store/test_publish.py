"""Publishing into a real server: whole or not at all, the one before stays as long as it must, no loss goes unseen."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from both_stores import DIGEST, KEEP_S, NAMES, open_networked, publications_at, publish_file, write_file
from redis_server import RedisServer

from scoreline.errors import StoreAwayError, StoreError, StoreLostError
from scoreline.store import layout as layouts
from scoreline.store.layout import read_layout
from scoreline.store.states import StateTable, Wanted

pytestmark = pytest.mark.needs("redis")
OTHER = "e" * 64


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.needs("valkey"))])
def redis(request):
    """Give each kind of server, emptied."""
    server = request.getfixturevalue(f"{request.param}_server")
    server.empty()
    return server


@pytest.fixture
def publications(redis):
    return publications_at(redis.urls["tcp"])


@pytest.fixture
def client(redis):
    with contextlib.closing(redis.client()) as client:
        yield client


@pytest.fixture
def file(tmp_path):
    """Give a file of 3,000 rows."""
    return write_file(tmp_path / "s.lmdb", [[f"O{number}", number] for number in range(3000)])


def ends(client):
    """Return for each generation how many of its keys end of themselves, and how many stay."""
    found = {}
    for key in client.scan_iter("scoreline:{lines}:*:*"):
        digest = key.split(b":")[2][:1].decode()
        counts = found.setdefault(digest, [0, 0])
        counts[client.ttl(key) == -1] += 1
    return found


def test_what_is_published_is_current_stays_and_can_be_read(publications, client, file):
    assert publications.current() is None
    publication = publish_file(publications, file, 3000, columns=("a", "b"), events=7, newest={"stock": 5})
    assert publications.current() == publication
    layout = read_layout(publications.layout_of(DIGEST), "")
    assert (layout.columns, layout.events, layout.newest, layout.row_buckets) == (("a", "b"), 7, {"stock": 5}, 6)
    assert open_networked(publications).get_many([("O0",), ("O2999",)]) == [["O0", 0], ["O2999", 2999]]
    assert ends(client) == {"d": [0, 8]}


def test_the_one_before_ends_later_and_a_server_that_answers_from_it_holds_it_on(publications, client, file, tmp_path):
    publish_file(publications, file, 3000)
    former = open_networked(publications)
    first = publications.current()
    publish_file(publications, write_file(tmp_path / "other.lmdb", [["O0", "new"]]), 1, OTHER)
    assert publications.current().digest == OTHER
    assert publications.current().at > first.at
    assert former.get(("O0",)) == ["O0", 0]  # a server that has not adopted yet
    assert open_networked(publications, OTHER).get(("O0",)) == ["O0", "new"]
    assert ends(client) == {"d": [8, 0], "e": [0, 3]}
    for key in client.scan_iter("*d:*"):
        client.expire(key, KEEP_S // 3)
    publications.keep(DIGEST)
    assert min(client.ttl(key) for key in client.scan_iter("*d:*")) > KEEP_S // 2
    publications.keep(OTHER)
    assert ends(client)["e"] == [0, 3]


def test_the_current_one_is_made_to_stay_should_its_publish_have_ended_too_early(publications, client, file):
    publish_file(publications, file, 3000)
    for renew in (lambda: publications.keep(DIGEST), lambda: publish_file(publications, file, 3000)):
        for key in client.scan_iter("*d:*"):
            client.expire(key, KEEP_S)
        renew()
        assert ends(client) == {"d": [0, 8]}


def test_what_is_current_and_whole_is_not_written_again_and_what_lost_rows_is(publications, client, file):
    first = publish_file(publications, file, 3000)
    assert publish_file(publications, file, 3000) == first
    client.delete(NAMES.of(DIGEST, "r:3"))
    with pytest.raises(StoreLostError, match="no longer holds all rows of dddddddddddd"):
        open_networked(publications).get_many([(f"O{number}",) for number in range(100)])
    assert publish_file(publications, file, 3000).at > first.at
    assert open_networked(publications).get(("O99",)) == ["O99", 99]


def test_rows_that_were_evicted_are_an_error_and_never_missing(publications, client, file):
    publish_file(publications, file, 3000)
    store = open_networked(publications)
    store.look()
    client.delete(NAMES.of(DIGEST, "r:0"))
    with pytest.raises(StoreLostError):
        store.look()
    answers = []
    for number in range(3000, 3100):  # none of these was ever there
        try:
            answers.append(store.get((f"O{number}",)))
        except StoreLostError:
            answers.append("lost")
    assert set(answers) == {None, "lost"}  # those of a bucket that is gone can't be said to be missing


def test_states_that_were_evicted_are_an_error_and_never_missing(publications, client, tmp_path):
    table = StateTable(0, ("stock",), 1, True, {}).describe()
    publish_file(publications, write_file(tmp_path / "s.lmdb", states={"stock": table}), 0)
    store = open_networked(publications)
    assert store.newest([Wanted("stock", ("S",), 9)]) == [None]
    client.delete(NAMES.of(DIGEST, "s:0"))
    with pytest.raises(StoreLostError):
        store.newest([Wanted("stock", ("S",), 9)])


def test_a_generation_that_is_gone_is_told_from_one_without_rows(publications, client, file):
    publish_file(publications, file, 3000)
    store = open_networked(publications)
    client.flushall()
    with pytest.raises(StoreLostError):
        store.get(("never there",))
    with pytest.raises(StoreLostError, match="does not hold dddddddddddd"):
        publications.layout_of(DIGEST)


def test_two_can_not_publish_at_once_and_the_second_is_told_who_does(publications, file):
    with publications.alone(), pytest.raises(StoreError, match=r"pid \d+ is publishing; wait for its end"):
        publish_file(publications, file, 3000)
    assert publish_file(publications, file, 3000).digest == DIGEST


def test_a_publish_that_stood_still_while_another_one_came_counts_for_nothing(publications, client, file, monkeypatch):
    real = type(publications).make_current

    def late(self, layout, mine):
        client.set(NAMES.publishing, "another")
        return real(self, layout, mine)

    monkeypatch.setattr(type(publications), "make_current", late)
    with pytest.raises(StoreError, match="stood still for over 60 s"):
        publish_file(publications, file, 3000)
    assert publications.current() is None
    assert client.get(NAMES.publishing) == b"another"
    assert ends(client) == {"d": [8, 0]}


def test_rows_that_the_server_drops_while_they_are_sent_are_missed_and_nothing_is_published(publications, client, file):
    from scoreline.store.publish import _Writer

    real = _Writer._check

    def dropped(self):
        client.delete(NAMES.of(DIGEST, "r:2"))
        real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Writer, "_check", dropped)
        with pytest.raises(StoreError, match=r"of 3,007 rows are missing after they were sent"):
            publish_file(publications, file, 3000)
    assert publications.current() is None


PUBLISH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from scoreline.store import publish as room
from both_stores import publications_at, publish_file
room.CHUNK_BYTES = 2000
print("begun", flush=True)
publish_file(publications_at(sys.argv[1]), Path(sys.argv[2]), 3000, sys.argv[4])
"""


@pytest.mark.slow
def test_a_publish_that_is_killed_leaves_the_one_before_and_what_it_wrote_ends(
    redis, publications, client, file, tmp_path
):
    publish_file(publications, write_file(tmp_path / "old.lmdb", [["O0", "old"]]), 1)
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", PUBLISH, redis.urls["tcp"], str(file), tests, OTHER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        while not client.exists(NAMES.of(OTHER, "r:5")):
            pass
        process.send_signal(signal.SIGKILL)
    assert publications.current().digest == DIGEST
    assert open_networked(publications).get(("O0",)) == ["O0", "old"]
    assert ends(client)["e"][1] == 0  # all of it goes by itself
    with pytest.raises(StoreError, match="is publishing"):
        publish_file(publications, file, 3000, OTHER)
    client.delete(NAMES.publishing)  # a minute later
    publish_file(publications, file, 3000, OTHER)
    assert open_networked(publications, OTHER).get(("O2999",)) == ["O2999", 2999]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "drops rows when it is full.*allkeys-lru"),
        (("--cluster-enabled", "yes"), "is a Redis Cluster, which is not supported"),
    ],
)
def test_a_server_that_would_drop_rows_unseen_is_refused(options, message):
    with RedisServer(*options) as server, pytest.raises(StoreError, match=message):
        publications_at(server.urls["tcp"]).refuse_unfit()


def test_a_server_that_is_set_up_otherwise_than_it_should_be_is_remarked_on():
    with RedisServer("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru", "--appendonly", "no") as server:
        remarks = publications_at(server.urls["tcp"]).refuse_unfit()
    assert [remark.partition(" ")[0] for remark in remarks] == ["maxmemory-policy", "without"]


def test_a_server_that_is_fit_is_not_remarked_on(publications):
    assert publications.refuse_unfit() == []


def test_a_server_that_is_full_refuses_and_says_what_to_do(file):
    with (
        RedisServer("--maxmemory", "1mb") as server,
        pytest.raises(StoreAwayError, match="It is full: raise its maxmemory"),
    ):
        publish_file(publications_at(server.urls["tcp"]), file, 3000)


def test_what_another_version_published_is_refused(publications, file, monkeypatch):
    monkeypatch.setattr(layouts, "FORMAT", 2)
    raw = layouts.Layout(DIGEST, 0, 0, (), 0, {}, None, {}, 2).encode()
    monkeypatch.undo()
    with pytest.raises(
        StoreError, match=r"is format 2; this version reads 1\. Run `scoreline feature --publish` again"
    ):
        read_layout(raw, "here")
    with pytest.raises(StoreError, match="can't be read as one"):
        read_layout(b"\x00", "here")
