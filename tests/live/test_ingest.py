"""Events that come while serving: in at once, in order of time, and in whatever is killed."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from servers import ask, made_app, serving

pytestmark = pytest.mark.slow
NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)
LINES = {"Content-Type": "application/jsonlines"}
SOAK_S = 8


@pytest.fixture(scope="module")
def triage(tmp_path_factory):
    return made_app(tmp_path_factory)


@pytest.fixture(scope="module")
def server(triage, tmp_path_factory):
    """Give a server of order triage with four workers."""
    folder = tmp_path_factory.mktemp("server")
    with serving(triage, triage, folder, "--workers", "4", SCORELINE_ADMIN_TOKEN="secret") as server:
        yield server


def moment(second):
    return (NEW_YEAR + timedelta(seconds=second)).isoformat()


def send(server, sku, *events, batch=None, headers=LINES):
    """Ingest inventory: pieces at a second of 2030."""
    rows = [{"sku_code": sku, "timestamp": moment(second), "inventory": pieces} for second, pieces in events]
    body = "\n".join(json.dumps(row) for row in rows).encode()
    return ask(server.port, "POST", "/ingest/inventory" + (f"?batch={batch}" if batch else ""), body, headers)


def pieces(server, sku, second):
    """Return the inventory that a new order sees at a second of 2030."""
    new = {"order_id": "NEW", "customer_id": "C", "sku_code": sku, "zip_code": "z", "quantity": 1}
    reply = ask(server.port, "POST", "/invocations?explain=values", {**new, "timestamp": moment(second)}, {}).json()
    assert reply["features_from"] == "live"
    return reply["explanation"]["features"]["inventory"]


def test_what_is_acknowledged_every_worker_knows(server):
    for number in range(40):
        sent = send(server, "A", (number, number))
        assert (sent.status, sent.json()["rows"]) == (200, 1)
        assert [pieces(server, "A", 10**6) for _ in range(3)] == [number] * 3
    assert pieces(server, "A", 7) == 7
    assert pieces(server, "A", -1) is None


def test_a_batch_by_its_name_is_kept_once_and_other_rows_under_it_are_a_conflict(server):
    first = send(server, "B", (1, 1), (2, 2), batch="b-1").json()
    again = send(server, "B", (1, 1), (2, 2), batch="b-1").json()
    assert (first["known"], again["known"], again["rows"], again["batch"]) == (0, 2, 2, "b-1")
    refused = send(server, "B", (3, 3), batch="b-1")
    assert (refused.status, refused.json()["type"]) == (409, "urn:scoreline:problem:conflict")
    assert pieces(server, "B", 9) == 2


def test_bad_rows_are_listed_good_ones_kept_and_where_all_are_bad_it_is_an_error(server):
    mixed = ask(
        server.port, "POST", "/ingest/inventory", b"sku_code,timestamp,inventory\nD,2030-01-01,4\nD,never,5\n",
        {"Content-Type": "text/csv"},
    )  # fmt: skip
    assert (mixed.status, mixed.json()["rows"], mixed.json()["rejected"][0]["line"]) == (200, 1, 3)
    assert pieces(server, "D", 0) == 4
    bad = ask(server.port, "POST", "/ingest/inventory", b"{}", LINES)
    assert (bad.status, bad.json()["type"]) == (400, "urn:scoreline:problem:bad-record")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/ingest/inventory", {}, 405),
        ("POST", "/ingest/orders", LINES, 404),
        ("POST", "/ingest/", LINES, 404),
        ("POST", "/ingest/inventory", {"Content-Type": "application/json"}, 415),
        ("POST", "/ingest/inventory?bach=1", LINES, 400),
        ("POST", "/ingest/inventory", {**LINES, "Host": "shop.example"}, 403),
        ("POST", "/ingest/inventory", {**LINES, "Host": "shop.example", "Authorization": "Bearer secret"}, 200),
        ("POST", "/ingest/inventory", {**LINES, "Origin": "http://shop.example"}, 403),
    ],
)
def test_who_may_ingest_and_how(server, method, path, headers, status):
    body = b"" if method == "GET" else json.dumps(
        {"sku_code": "E", "timestamp": moment(0), "inventory": 1}
    ).encode()  # fmt: skip
    assert ask(server.port, method, path, body, headers).status == status


def test_what_can_not_be_ingested_for_is_refused_by_name(server):
    def why(table):
        return ask(server.port, "POST", f"/ingest/{table}", b"", LINES).json()["detail"]

    assert why("orders").startswith("table 'orders' is the spine: its rows go to /invocations")
    assert why("inventroy").endswith("for inventory, payments, zip_codes. Did you mean 'inventory'?")


def test_a_body_that_is_too_large_is_refused_as_everywhere(server):
    refused = ask(server.port, "POST", "/ingest/inventory", b" " * (7 << 20), LINES)
    assert (refused.status, refused.json()["type"]) == (413, "urn:scoreline:problem:too-large")


def test_its_age_is_in_the_status(server, triage):
    told = ask(server.port, "GET", "/generations", b"", {"Authorization": "Bearer secret"}).json()["events"]
    assert told["ingested_since"] > 0
    assert set(told["tables"]) == {"inventory", "payments"}
    assert told["tables"]["inventory"]["age_s"] > 10**7  # events of 2030 say nothing of how old it is
    assert told["tables"]["payments"]["age_s"] > 10**7


class Soak:
    """Events of one sku, one each second of 2030, while orders ask for it and workers are killed."""

    def __init__(self, server):
        self.server, self.until = server, time.monotonic() + SOAK_S
        self.acknowledged, self.asked, self.killed, self.wrong = -1, 0, 0, []

    def ingest(self):
        number = 0
        while time.monotonic() < self.until:
            batch = [(second, second) for second in range(number, number + 5)]
            random.Random(number).shuffle(batch)  # late ones among them
            answered = send(self.server, "SOAK", *batch)
            if answered.status == 200:
                number += 5
                self.acknowledged = number - 1

    def order(self, seed):
        chance = random.Random(seed)
        while time.monotonic() < self.until:
            known = self.acknowledged
            second = chance.randrange(0, known + 10)
            got = pieces(self.server, "SOAK", second)
            self.asked += 1
            if (-1 if got is None else got) > second or (-1 if got is None else got) < min(known, second):
                self.wrong.append((known, second, got))

    def kill(self):
        while time.monotonic() < self.until:
            time.sleep(1)
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                self.server.workers()[0].kill()
                self.killed += 1


def test_no_reply_uses_an_event_of_later_and_none_misses_one_that_was_acknowledged_before(server):
    soak = Soak(server)
    threads = [threading.Thread(target=soak.ingest), threading.Thread(target=soak.kill)]
    threads += [threading.Thread(target=soak.order, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert soak.wrong == []
    assert soak.killed >= 3
    assert (soak.asked > 100, soak.acknowledged > 50) == (True, True)


def test_what_was_ingested_is_there_after_the_whole_server_was_killed(triage, tmp_path):
    with serving(triage, triage, tmp_path / "one", "--workers", "1", SCORELINE_STATE=str(tmp_path / "state")) as first:
        assert send(first, "K", (1, 41)).status == 200
        first.process.kill()
    with serving(triage, triage, tmp_path / "two", "--workers", "1", SCORELINE_STATE=str(tmp_path / "state")) as second:
        assert pieces(second, "K", 9) == 41
