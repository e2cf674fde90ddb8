"""Busy is not ill: what /ping says of the pool."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest
from servers import wait_until

from scoreline.serving.health import Health, HealthServer
from scoreline.serving.scoreboard import Scoreboard

TIMEOUT_S = 60


class Pool(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Stands for gunicorn: it answers the probe with a status that the test sets, and takes a minute where it is 0."""

    daemon_threads = True

    def __init__(self, path):
        self.status, self.asked = 200, []
        super().__init__(str(path), Probed)


class Probed(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.status:
            self.send_response(self.server.status)
            self.end_headers()

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"


@contextlib.contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that only the test moves, and probes that follow one another at once."""
    clock = SimpleNamespace(now=1000.0)
    stand_in = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("scoreline.serving.scoreboard.time", stand_in)
    monkeypatch.setattr("scoreline.serving.health.time", stand_in)
    monkeypatch.setattr("scoreline.serving.health.PROBE_EVERY_S", 0.005)
    return clock


@pytest.fixture
def board(tmp_path, clock):
    """Give a scoreboard with two workers."""
    board = Scoreboard(tmp_path / "scoreboard")
    board.claim(11)
    board.claim(12)
    return board


@pytest.fixture
def pool(short_path):
    with running(Pool(short_path / "app.sock")) as pool:
        yield pool


@pytest.fixture
def health(short_path, board):
    return Health([short_path / "app.sock"], "/-/golden/secret", board, TIMEOUT_S)


@contextlib.contextmanager
def watching(health):
    """Probe while the block runs."""
    thread = threading.Thread(target=health._watch, args=(health._sockets[0],))
    thread.start()
    try:
        yield
    finally:
        health.stop()
        thread.join()


@pytest.fixture
def answered(health, pool):
    """Give the health of a pool that has just answered golden rows, and is probed no more."""
    with watching(health):
        wait_until(lambda: health.verdict() is None)
    assert set(pool.asked) == {"/-/golden/secret"}
    return health


def test_a_pool_that_has_never_answered_is_not_ready(health):
    assert health.verdict() == "golden rows were not answered within the last 2 s"


def test_a_pool_that_has_never_answered_is_not_ready_even_if_all_are_busy(health, board):
    board.begin(0)
    board.begin(1)
    assert health.verdict() == "golden rows were never answered yet"


def test_a_pool_is_ready_once_all_its_workers_have_come_and_stays_so_while_one_is_replaced(short_path, board, pool):
    health = Health([short_path / "app.sock"], "/-/golden/secret", board, TIMEOUT_S, workers=3)
    with watching(health):
        wait_until(lambda: health._last_good > 0)
        assert health.verdict() == "2 of 3 workers have come"
        slot = board.claim(13)
        assert health.verdict() is None
        board.free(13)
        assert slot == 2
        assert health.verdict() is None


def test_a_pool_that_answers_golden_rows_is_well(answered):
    assert answered.verdict() is None


def test_golden_rows_count_for_two_seconds(answered, clock):
    clock.now += 2
    assert answered.verdict() is None
    clock.now += 0.1
    assert answered.verdict() == "golden rows were not answered within the last 2 s"


def test_while_every_worker_is_in_a_request_golden_rows_may_wait(answered, board, clock):
    board.begin(0)
    board.begin(1)
    clock.now += TIMEOUT_S
    assert answered.verdict() is None


def test_one_idle_worker_that_answers_nothing_is_ill(answered, board, clock):
    board.begin(0)
    clock.now += 2.1
    assert answered.verdict() == "golden rows were not answered within the last 2 s"


def test_a_worker_between_two_requests_is_as_good_as_busy(answered, board, clock):
    board.begin(0)
    board.begin(1)
    clock.now += 10
    board.end(1)
    clock.now += 2
    assert answered.verdict() is None
    clock.now += 0.1
    assert answered.verdict() == "golden rows were not answered within the last 2 s"


def test_a_request_past_its_deadline_is_ill_although_golden_rows_are_answered(answered, board, clock):
    board.begin(1)
    clock.now += TIMEOUT_S + 0.1
    assert answered.verdict() == "worker 12 is past the deadline of its request"


def test_without_a_worker_the_pool_is_ill(answered, board):
    board.free(11)
    board.free(12)
    assert answered.verdict() == "there is no worker"


@pytest.mark.parametrize("status", [500, 503])
def test_wrong_golden_rows_are_ill_until_they_are_right(health, pool, status):
    with watching(health):
        wait_until(lambda: health.verdict() is None)
        pool.status = status
        wait_until(lambda: health.verdict() == "golden rows were answered wrongly")
        pool.status = 200
        wait_until(lambda: health.verdict() is None)


def test_an_app_of_its_own_without_the_probes_route_is_well_while_it_answers(health, pool):
    pool.status = 404
    with watching(health):
        wait_until(lambda: health.verdict() is None)


def test_a_probe_without_an_answer_says_nothing(health, pool):
    pool.status = 0
    with watching(health):
        wait_until(lambda: len(pool.asked) > 3)
        assert health.verdict() == "golden rows were not answered within the last 2 s"


# Its own socket


@pytest.fixture
def store():
    """Give a list of what is wrong with the networked store: nothing."""
    return [""]


@pytest.fixture
def ask_health(short_path, health, store):
    """Give a function that asks the server of /ping."""
    with running(HealthServer(short_path / "health.sock", health, lambda: "4bc238", lambda: store[0])):

        def ask(method, query=""):
            connection = http.client.HTTPConnection("localhost", timeout=5)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(short_path / "health.sock"))
            with contextlib.closing(connection):
                connection.request(method, f"/ping{query}")
                response = connection.getresponse()
                return response.status, dict(response.headers), response.read()

        yield ask


def test_ping_is_200_and_empty_when_the_pool_is_well(ask_health, answered):
    status, headers, body = ask_health("GET")
    assert (status, body, headers["Content-Length"]) == (200, b"", "0")
    assert headers["X-Scoreline-Features"] == "4bc238"  # the feature table that is served
    assert "Content-Type" not in headers


@pytest.mark.parametrize("wrong", ["away", "lost"])
def test_ping_tells_that_the_store_is_away_and_is_503_for_that_only_where_it_is_asked_for_it(
    ask_health, answered, store, wrong
):
    assert ask_health("GET", "?store")[0] == 200
    store[0] = wrong
    status, headers, body = ask_health("GET")
    assert (status, body, headers["X-Scoreline-Store"]) == (200, b"", wrong)
    status, headers, body = ask_health("GET", "?store")
    assert (status, json.loads(body)["type"]) == (503, "urn:scoreline:problem:store-away")
    assert json.loads(body)["detail"] == f"nothing can be looked up: the online store is {wrong}"


def test_ping_is_503_with_the_reason_when_it_is_not(ask_health):
    status, headers, body = ask_health("GET")
    assert (status, headers["Content-Type"]) == (503, "application/problem+json")
    assert b'"detail":"golden rows were not answered within the last 2 s"' in body


def test_a_head_of_ping_has_no_body(ask_health, answered):
    assert ask_health("HEAD")[::2] == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_ping_takes_get_alone(ask_health, method):
    status, headers, body = ask_health(method)
    assert (status, headers["Allow"], headers["Content-Type"]) == (405, "GET", "application/problem+json")
    assert b'"status":405' in body
