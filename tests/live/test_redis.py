"""Servers on one real Redis, over TCP and a unix socket: killed and brought back under load, hanging, moved on."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter

import pytest
from servers import (
    ask,
    copy_app,
    folders,
    keys_of,
    made_app,
    run,
    serving,
    wait_until,
    write_sample,
)

pytestmark = [pytest.mark.slow, pytest.mark.needs("redis")]
LINES = {"Content-Type": "application/jsonlines"}


@pytest.fixture
def triage(tmp_path_factory):
    return made_app(tmp_path_factory)


@pytest.fixture
def published(triage, redis):
    publish(triage, redis.urls["tcp"])
    return redis


def publish(app, url, *options, data=None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCORELINE_STORE", url)
        arguments = folders(app, **({} if data is None else {"data": data}))
        assert run(["feature", *arguments, *options, "--publish"]) == 0


class Load:
    """Steady requests for keys by some threads.

    Attributes
    ----------
    seen : begin, end and status of each request
    wrong : answers that were 200 with another reply than `expected`, or neither 200 nor 503, or none
    """

    def __init__(self, port, keys, expected):
        self.seen, self.wrong = [], []
        self._port, self._keys, self._expected = port, keys, expected
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def statuses(self, since=0.0, until=float("inf")):
        return Counter(status for begun, ended, status in self.seen if since <= begun and ended <= until)

    def _ask(self, first):
        for turn in itertools.count(first, 4):
            if self._stop.is_set():
                return
            key = self._keys[turn % len(self._keys)]
            begun = time.monotonic()
            try:
                answer = ask(self._port, "POST", "/invocations", key)
                reply = answer.json()
            except Exception as error:
                self.wrong.append(repr(error))
                continue
            self.seen.append((begun, time.monotonic(), answer.status))
            is_right = reply == self._expected[key["order_id"]] if answer.status == 200 else (
                answer.status == 503 and reply["type"] == "urn:scoreline:problem:store-away"
            )  # fmt: skip
            if not is_right:
                self.wrong.append((answer.status, reply))


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_killed_and_brought_back_under_load_errors_are_503_in_that_window_none_after_none_wrong(
    triage, published, tmp_path, way
):
    url = published.urls[way]
    with serving(triage, triage, tmp_path / "server", "--workers", "2", SCORELINE_STORE=url) as server:
        keys = keys_of(triage)
        expected = {reply["order_id"]: reply for reply in server.post(keys).json()}
        with Load(server.port, keys, expected) as load:
            wait_until(lambda: len(load.seen) > 100)
            killed_at = time.monotonic()
            published.kill()
            wait_until(lambda: load.statuses()[503] > 100)
            wait_until(lambda: store_header(server) == "away")
            assert ask(server.port, "GET", "/ping").status == 200  # it answers what needs no store
            assert ask(server.port, "GET", "/ping?store").json()["type"] == "urn:scoreline:problem:store-away"
            published.start()
            wait_until(lambda: ask(server.port, "GET", "/ping?store").status == 200)
            time.sleep(0.3)  # each worker looks ten times a second
            back_at = time.monotonic()
            wait_until(lambda: load.statuses(since=back_at)[200] > 200)
        assert load.wrong == []
        assert set(load.statuses(until=killed_at)) == {200}
        assert set(load.statuses(since=back_at)) == {200}
        assert "lookups are answered 503" in server.printed
        assert "lookups are answered again" in server.printed
        assert set(load.statuses()) == {200, 503}


def test_a_store_that_hangs_is_503_and_holds_up_nobody_who_needs_none_of_it(triage, published, tmp_path):
    inputs = {"order_hour_of_day": 13, "inventory": 5, "payment_status": "OK", "zip_code_available": True,
              "quantity": 1, "payment_method": "CREDIT_CARD"}  # fmt: skip
    environment = {"SCORELINE_STORE": published.urls["tcp"], "SCORELINE_STORE_TIMEOUT_MS": "100"}
    with serving(triage, triage, tmp_path / "server", "--workers", "2", **environment) as server:
        keys = keys_of(triage)
        expected = {reply["order_id"]: reply for reply in server.post(keys).json()}
        with Load(server.port, keys, expected) as load:
            wait_until(lambda: len(load.seen) > 50)
            published.stop_answering()
            try:
                wait_until(lambda: load.statuses()[503] > 200)
                assert [server.post(inputs).status for _ in range(20)] == [200] * 20
            finally:
                published.go_on()
            wait_until(lambda: server.post(keys[0]).status == 200)
        assert load.wrong == []


def test_two_servers_answer_from_the_same_generation_and_take_on_the_next_under_load(tmp_path, redis):
    app = copy_app(tmp_path / "app")
    write_sample(app / "data")
    state = ("--state", str(tmp_path / "built"))
    publish(app, redis.urls["tcp"], *state)
    assert run(["train", *folders(app)]) == 0
    one = {"SCORELINE_STORE": redis.urls["tcp"]}
    two = {"SCORELINE_STORE": f"valkey://127.0.0.1:{redis.port}/0"}
    with (
        serving(app, app, tmp_path / "one", "--workers", "2", **one) as first,
        serving(app, app, tmp_path / "two", "--workers", "2", **two) as second,
    ):
        keys = keys_of(app)
        answers = [server.post(keys) for server in (first, second)]
        assert answers[0].json() == answers[1].json()
        digests = {answer.headers["X-Scoreline-Generation"].partition("-")[2] for answer in answers}
        assert len(digests) == 1

        row = json.dumps({"sku_code": keys[0]["sku_code"], "timestamp": "2030-01-01", "inventory": 0}).encode()
        new = {**keys[0], "order_id": "NEW", "timestamp": "2030-01-05", "quantity": 1, "payment_status": "OK"}
        assert ask(first.port, "POST", "/ingest/inventory?batch=b1", row, LINES).json()["known"] == 0
        assert ask(second.port, "POST", "/ingest/inventory?batch=b1", row, LINES).json()["known"] == 1
        for server in (first, second):
            assert server.post(new).json()["reason"] == {"rule": "no_stock", "inventory": 0}

        expected = {reply["order_id"]: reply for reply in answers[0].json()}
        with Load(first.port, keys[:-1], expected) as load:
            orders = app / "data/orders.csv"
            orders.write_text("\n".join(orders.read_text().splitlines()[:-1]) + "\n")
            publish(app, redis.urls["tcp"], *state)
            for server in (first, second):
                wait_until(lambda server=server: server.post(keys[-1]).status == 404)
        assert load.wrong == []
        assert set(load.statuses()) == {200}
        now = {server.post(keys[0]).headers["X-Scoreline-Generation"].partition("-")[2] for server in (first, second)}
        assert len(now) == 1
        assert now != digests
        for server in (first, second):  # folded in
            assert server.post(new).json()["reason"] == {"rule": "no_stock", "inventory": 0}


def store_header(server):
    return ask(server.port, "GET", "/ping").headers.get("X-Scoreline-Store", "")
