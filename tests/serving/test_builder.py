"""The builder of `serve`: operators' routes on its own socket, and the poll."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cards import CARDS, ROUTE, as_csv, change, copy_cards, made_cards, put
from servers import Answered, settings_for, wait_until

from scoreline.app.load import load_app
from scoreline.errors import SourceAwayError, TableError
from scoreline.generations.report import RefreshReport
from scoreline.generations.state import StateFolder
from scoreline.serving.builder import BuilderServer, poll
from scoreline.serving.start import make_builder, open_generation

NEAR = {"X-Scoreline-Peer": "127.0.0.1", "Host": "localhost:8080"}
FAR = {"X-Scoreline-Peer": "203.0.113.9", "Host": "scores.example"}
TOKEN = "open sesame"
WITH_TOKEN = {**FAR, "Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def settings(tmp_path_factory, tmp_path):
    """Give the settings of the app of cards, in folders of its own, with a first generation."""
    folder = copy_cards(made_cards(tmp_path_factory), tmp_path / "app")
    made = settings_for(folder, tmp_path / "state", admin_token=TOKEN)
    open_generation(made, print)
    return made


@pytest.fixture
def state(settings):
    return StateFolder(settings.state)


@pytest.fixture
def builder(settings, state):
    return make_builder(settings, load_app(settings.app), state)


@pytest.fixture
def ask(settings, state, builder, short_path):
    """Give a function that asks the builder as nginx does, over its socket."""
    server = BuilderServer(short_path / "builder.sock", load_app(settings.app), settings, state, builder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(method="GET", path=ROUTE, headers=NEAR, body=b""):
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(short_path / "builder.sock"))
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answered(response.status, dict(response.headers), response.read())

    yield ask
    server.shutdown()
    server.server_close()
    thread.join()


def is_problem(reply, status, kind):
    """See that an answer is a problem of a kind, and return its detail."""
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["type"] == f"urn:scoreline:problem:{kind}"
    assert reply.json()["title"]
    return reply.json()["detail"]


# Refresh


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refresh_publishes_and_tells_what_changed(ask, settings, state, method):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    reply = ask(method)
    tables = {
        "cards": {"rows": 4, "rows_before": 5, "changed": True, "etag": state.source("cards")["etag"]},
        "issuers": {"rows": 3, "changed": False, "etag": state.source("issuers")["etag"]},
    }
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json() == {
        "generation": state.current().name,
        "changed": True,
        "tables": tables,
        "model": {"changed": False},
        "store": {"changed": False},
    }
    assert reply.headers["X-Scoreline-Generation"] == state.current().name
    assert state.number == 2


def test_a_refresh_without_a_change_keeps_the_generation(ask, state):
    name = state.current().name
    for _ in range(3):
        reply = ask()
        assert (reply.json()["generation"], reply.json()["changed"]) == (name, False)
        assert {table["changed"] for table in reply.json()["tables"].values()} == {False}
    assert state.number == 1


def test_a_dry_run_validates_only(ask, settings, state):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    reply = ask(path=f"{ROUTE}?dry_run=1")
    assert reply.json()["dry_run"] is True
    assert reply.json()["changed"] is True
    assert reply.json()["generation"] == state.current().name
    assert state.number == 1
    assert "dry_run" not in ask(path=f"{ROUTE}?dry_run=0").json()
    assert state.number == 2


@pytest.mark.parametrize("query", ["dry_run=2", "dry_run=true", "dry_run=", "dryrun=1", "dry_run=1&url=s3://x/y", "x"])
def test_it_takes_no_other_input(ask, settings, state, query):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    assert "dry_run=1" in is_problem(ask(path=f"{ROUTE}?{query}"), 400, "bad-option")
    assert state.number == 1


def test_a_body_is_passed_over(ask, settings, state):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    assert ask("POST", body=b'{"url": "s3://elsewhere/"}').status == 200
    assert state.current().tables["cards"].source == str(settings.data)


def test_a_bad_file_is_409_with_what_is_wrong(ask, settings, state):
    change(settings.data / "cards.csv", lambda text: text.replace(b"620", b"6200"))
    reply = ask()
    detail = is_problem(reply, 409, "conflict")
    assert "cards.csv: 1 of 5 rows are bad" in detail
    assert "line 4, column 'min_score'" in detail
    assert detail.endswith("The generation published before goes on.")
    assert reply.headers["X-Scoreline-Generation"] == state.current().name
    assert state.number == 1


def test_a_model_that_is_torn_is_409(ask, settings, state):
    (settings.model / "manifest.json").write_text("{}")
    assert "Run `scoreline train` again" in is_problem(ask(), 409, "conflict")
    assert state.number == 1


def test_a_source_that_is_away_is_502(ask, settings, state):
    settings.data.rename(settings.data.with_name("gone"))
    detail = is_problem(ask(), 502, "source-away")
    assert "no such folder" in detail
    assert detail.endswith("The generation published before goes on.")
    settings.data.with_name("gone").rename(settings.data)
    assert ask().status == 200


def test_while_it_is_pinned_a_refresh_is_409_and_says_how_to_go_on(ask, settings, builder, state):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    assert ask().status == 200
    builder.rollback()
    assert "scoreline rollback --unpin" in is_problem(ask(), 409, "conflict")
    assert ask(path=f"{ROUTE}?dry_run=1").json()["changed"] is True
    builder.unpin()
    assert ask().json()["changed"] is True
    assert state.number == 4


def test_a_server_of_another_app_py_holds_it_back(ask, settings, state):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    with state.serving("another app"):
        assert "Restart it" in is_problem(ask(), 409, "conflict")
    assert ask().json()["changed"] is True


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ZeroDivisionError("oh")])
def test_what_nobody_expected_is_500_and_in_the_log(ask, builder, state, monkeypatch, caplog, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(builder, "refresh", fail)
    detail = is_problem(ask(), 500, "internal")
    assert "goes on" in detail
    assert str(error) not in detail
    assert type(error).__name__ in caplog.text
    monkeypatch.undo()
    assert ask().status == 200


def test_of_several_refreshes_at_once_one_does_the_work(ask, settings, state):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: ask(), range(6)))
    assert [reply.status for reply in replies] == [200] * 6
    assert sorted(reply.json()["changed"] for reply in replies) == [False] * 5 + [True]
    assert {reply.json()["generation"] for reply in replies} == {state.current().name}
    assert state.number == 2


# Who may


def test_from_elsewhere_it_takes_the_token(ask, settings, state):
    put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
    for path in (ROUTE, f"{ROUTE}?dry_run=1", "/generations"):
        detail = is_problem(ask(path=path, headers=FAR), 403, "forbidden")
        assert "SCORELINE_ADMIN_TOKEN" in detail
        assert TOKEN not in detail
        assert "X-Scoreline-Generation" not in ask(path=path, headers=FAR).headers
    assert state.number == 1
    assert ask(headers=WITH_TOKEN).json()["changed"] is True


def test_header_names_count_in_any_case(ask):
    near = {name.lower(): value for name, value in NEAR.items()}
    assert ask(headers=near).status == 200
    assert ask(headers={**near, "origin": "https://evil.example"}).status == 403
    assert ask(headers={**near, "SEC-FETCH-SITE": "cross-site"}).status == 403
    assert ask(path="/generations", headers={"authorization": f"Bearer {TOKEN}"}).status == 200


def test_a_refused_peer_learns_nothing_of_options(ask):
    assert ask(path=f"{ROUTE}?what=1", headers=FAR).status == 403


def test_the_generations_are_told_to_who_has_the_token(ask, settings, state):
    assert ask(path="/generations", headers=NEAR).status == 403
    told = ask(path="/generations", headers=WITH_TOKEN)
    assert (told.status, told.headers["Content-Type"]) == (200, "application/json")
    body = told.json()
    assert list(body) == ["published", "pinned", "source", "tables", "events", "generations"]
    assert (body["published"], body["pinned"], body["source"]) == (state.current().name, None, str(settings.data))
    assert [one["generation"] for one in body["generations"]] == [state.current().name]
    assert {name: table["stale"] for name, table in body["tables"].items()} == {"cards": False, "issuers": False}
    assert TOKEN not in told.body.decode()


# Other methods and routes


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", ROUTE, "GET, POST"),
        ("DELETE", f"{ROUTE}?dry_run=1", "GET, POST"),
        ("POST", "/generations", "GET"),
        ("PROPFIND", "/generations", "GET"),
    ],
)
def test_another_method_is_told_the_right_ones(ask, method, path, allowed):
    reply = ask(method, path, WITH_TOKEN)
    assert is_problem(reply, 405, "method-not-allowed") == f"expected {allowed} {path.partition('?')[0]}"
    assert reply.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/ping", "/invocations", f"{ROUTE}/", "/generations/1", f"/x{ROUTE}"])
def test_another_route_is_404(ask, path):
    is_problem(ask(path=path, headers=WITH_TOKEN), 404, "no-such-route")


# The poll


class Scripted:
    """Stands for a builder whose refreshes come to what the test says, one after the other, then stops the poll."""

    def __init__(self, *outcomes):
        self.outcomes, self.modes, self.stop = list(outcomes), [], threading.Event()

    def refresh(self, mode):
        self.modes.append(mode)
        outcome = self.outcomes.pop(0)
        if not self.outcomes:
            self.stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return RefreshReport(outcome, changed=outcome != "same")


def said(caplog, *outcomes):
    """Return what a poll with these outcomes logs."""
    builder = Scripted(*outcomes)
    caplog.clear()
    with caplog.at_level(logging.INFO, "scoreline.builder"):
        poll(lambda: builder.refresh("poll"), 0.001, builder.stop)
    assert builder.outcomes == []
    assert set(builder.modes) == {"poll"}
    return [record.getMessage() for record in caplog.records]


def test_a_poll_leaves_it_to_the_supervisor_to_say_what_was_published(caplog):
    assert said(caplog, "same", "2-abc", "same", "3-def") == []


def test_a_poll_says_what_is_wrong_once_and_when_it_is_right_again(caplog):
    away, bad = SourceAwayError("s3://a/b: away"), TableError("line 3 is bad")
    assert said(caplog, "same", away, away, away, bad, bad, "same", "same", away) == [
        "not refreshed: s3://a/b: away",
        "not refreshed: line 3 is bad",
        "the sources can be read again",
        "not refreshed: s3://a/b: away",
    ]


def test_a_poll_outlives_what_nobody_expected(caplog):
    assert said(caplog, ZeroDivisionError("oh"), "2-abc") == ["not refreshed", "the sources can be read again"]


def test_a_poll_that_is_stopped_ends(settings, builder, state):
    stop = threading.Event()
    thread = threading.Thread(target=poll, args=(lambda: builder.refresh("poll"), 0.01, stop))
    thread.start()
    try:
        put(settings.data / "cards.csv", as_csv(CARDS[:-1]))
        wait_until(lambda: state.number == 2)
        back = builder.rollback()
        put(settings.data / "cards.csv", as_csv(CARDS[:-2]))
        first = Path(state.path / "published").read_bytes()
        seen = state.source("cards")["seen_at"]
        builder.unpin()
        wait_until(lambda: state.source("cards")["seen_at"] > seen)
        assert int.from_bytes(first, "little") == back.number == 3
        wait_until(lambda: state.number == 4)
    finally:
        stop.set()
        thread.join()
    assert json.loads((state.folder_of(4) / "generation.json").read_text())["tables"]["cards"]["rows"] == 3
