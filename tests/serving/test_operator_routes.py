"""Operators' routes as `serve` has them: through real nginx, to a real builder, with real workers."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import sys

import psutil
import pytest
from cards import CARDS, PERSON, ROUTE, as_csv, change, copy_cards, made_cards, put
from servers import Command, ask, folders, ping, serving, wait_until

pytestmark = pytest.mark.slow
TOKEN = "open-sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Give a server of the app of cards, with folders of its own as `server.app`; all tests of this file share it."""
    folder = copy_cards(made_cards(tmp_path_factory), tmp_path_factory.mktemp("served") / "app")
    run = tmp_path_factory.mktemp("server")
    options = ("--workers", "2", "--host", "0.0.0.0")
    with serving(folder, folder, run, *options, SCORELINE_ADMIN_TOKEN=TOKEN) as server:
        server.app, server.state = folder, run / "state"
        yield server


@pytest.fixture(autouse=True)
def as_before(request):
    """Put the tables back that a test changed, and publish them."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        put(server.app / "data/cards.csv", as_csv(CARDS))
        assert ask(server.port, "GET", ROUTE).status == 200


def refresh(server, method="GET", query="", **headers):
    return ask(server.port, method, f"{ROUTE}{query}", b"", headers)


def rename_card(server, name):
    put(server.app / "data/cards.csv", as_csv([CARDS[0], ["alder", "North", name, *CARDS[1][3:]], *CARDS[2:]]))


def named(reply):
    """Return the name of the first card and the generation of an answer."""
    assert reply.status == 200, reply
    name = next(card["name"] for card in reply.json()["cards"] if card["card_id"] == "alder")
    return name, reply.headers["X-Scoreline-Generation"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_a_refresh_every_request_is_answered_from_the_new_table(server, method):
    rename_card(server, f"New by {method}")
    reply = refresh(server, method)
    assert (reply.status, reply.json()["changed"]) == (200, True)
    found = {named(server.post(PERSON)) for _ in range(60)}
    assert found == {(f"New by {method}", reply.json()["generation"])}
    assert ping(server.port) == 200


def test_an_unchanged_table_keeps_the_generation_and_the_workers(server):
    before = [worker.pid for worker in server.workers()]
    first = refresh(server)
    again = refresh(server)
    assert (again.json()["changed"], again.json()["generation"]) == (False, first.json()["generation"])
    assert [worker.pid for worker in server.workers()] == before


def test_a_bad_file_is_refused_and_the_old_one_goes_on(server):
    before = named(server.post(PERSON))
    change(server.app / "data/cards.csv", lambda text: text[: len(text) // 2])
    reply = refresh(server)
    assert (reply.status, reply.headers["Content-Type"]) == (409, "application/problem+json")
    assert "cards.csv" in reply.json()["detail"]
    assert reply.headers["X-Scoreline-Generation"] == before[1]
    assert {named(server.post(PERSON)) for _ in range(20)} == {before}


def test_problems_of_the_builder_come_through_nginx_as_they_are(server):
    (server.app / "data").rename(server.app / "gone")
    try:
        reply = refresh(server)
    finally:
        (server.app / "gone").rename(server.app / "data")
    assert (reply.status, reply.json()["type"]) == (502, "urn:scoreline:problem:source-away")
    assert refresh(server, query="?dry_run=7").json()["type"] == "urn:scoreline:problem:bad-option"
    put_ = refresh(server, "PUT")
    assert (put_.status, put_.headers["Allow"]) == (405, "GET, POST")


# The peer is what nginx saw

FOREIGN = {
    "X-Scoreline-Peer": "203.0.113.9",
    "x-scoreline-peer": "203.0.113.9",
    "X_Scoreline_Peer": "203.0.113.9",
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_a_client_says_of_its_peer_does_not_reach_the_builder(server, name):
    """It is near, whatever it says: so one that is far is far, whatever it says."""
    assert refresh(server, **{name: FOREIGN[name]}).status == 200


def elsewhere():
    """Return addresses of this machine that are not loopback; a request to one comes from it too."""
    found = [own for each in psutil.net_if_addrs().values() for own in each if own.family == socket.AF_INET]
    return [own.address for own in found if not own.address.startswith("127.")]


def test_a_peer_that_is_not_loopback_needs_the_token_whatever_it_says(server):
    """Where this machine has no other address, the test before is all that there is to see."""
    near = dict.fromkeys(FOREIGN, "127.0.0.1")
    for address in elsewhere():

        def get(headers, address=address):
            with contextlib.closing(http.client.HTTPConnection(address, server.port, timeout=30)) as connection:
                connection.request("GET", ROUTE, headers=headers)
                return connection.getresponse().status

        assert get({}) == 403
        for name, value in near.items():
            assert get({name: value}) == 403
        assert get({**near, "Host": "localhost"}) == 403
        assert get(BEARER) == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="a-name-that-was-made-to-point-here"),
        {"Host": "evil.example:8080"},
        {"Host": "0.0.0.0"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Referer": "http://localhost:1/page"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_a_web_page_could_send_is_refused_and_changes_nothing(server, headers):
    before = named(server.post(PERSON))
    rename_card(server, "Forged")
    reply = refresh(server, **headers)
    assert (reply.status, reply.json()["type"]) == (403, "urn:scoreline:problem:forbidden")
    assert named(server.post(PERSON)) == before


def test_the_own_origin_may(server):
    assert refresh(server, Origin=f"http://127.0.0.1:{server.port}", **{"Sec-Fetch-Site": "same-origin"}).status == 200


# The token


def test_generations_are_told_to_who_has_the_token_alone(server):
    assert ask(server.port, "GET", "/generations").status == 403
    assert ask(server.port, "GET", "/generations", headers={"Authorization": "Bearer wrong"}).status == 403
    told = ask(server.port, "GET", "/generations", headers=BEARER)
    assert told.status == 200
    assert told.json()["published"] == server.post(PERSON).headers["X-Scoreline-Generation"]
    assert told.json()["tables"]["cards"]["age_s"] < 3600


def test_the_token_opens_the_refresh_to_a_foreign_host(server):
    assert refresh(server, Host="scores.example", **BEARER).status == 200
    assert refresh(server, Host="scores.example", Authorization="Bearer wrong").status == 403


@pytest.mark.parametrize(
    "path", ["//generations", "/generations/", "/GENERATIONS", "/%67enerations", "/./generations", "/x/../generations"]
)
def test_no_spelling_of_the_route_tells_anything_without_the_token(server, path):
    reply = ask(server.port, "GET", path)
    assert reply.status in (403, 404)
    assert b"published" not in reply.body


def test_no_worker_knows_the_token(server):
    for process in server.workers():
        assert TOKEN not in "".join(process.environ().values())
        assert TOKEN not in " ".join(process.cmdline())


# The builder's life


def builder_of(server):
    (found,) = [
        child
        for child in psutil.Process(server.process.pid).children()
        if "scoreline.serving.builder" in " ".join(child.cmdline())
    ]
    return found


def test_a_builder_that_is_killed_is_started_again_and_nobody_misses_an_answer(server):
    killed = builder_of(server)
    killed.kill()
    assert {server.post(PERSON).status for _ in range(20)} == {200}
    assert ping(server.port) == 200
    wait_until(lambda: refresh(server).status == 200)
    assert builder_of(server) != killed
    assert "serve: the builder ended with exit code -9; it is started again" in server.printed


def test_while_the_builder_is_away_its_route_is_a_problem(server):
    builder = builder_of(server)
    builder.suspend()
    try:
        (server.run_dir / "builder.sock").rename(server.run_dir / "aside.sock")
        reply = refresh(server)
        assert (reply.status, reply.headers["Content-Type"]) == (503, "application/problem+json")
        assert reply.json()["type"] == "urn:scoreline:problem:no-builder"
        assert server.post(PERSON).status == 200
    finally:
        (server.run_dir / "aside.sock").rename(server.run_dir / "builder.sock")
        builder.resume()


# Beside commands


def command(server, tmp_path, name, *arguments):
    options = folders(server.app, state=server.state)
    ran = Command([sys.executable, "-m", "scoreline", name, *options, *arguments], tmp_path)
    try:
        return ran.wait(), ran.out.read_text(), ran.err.read_text()
    finally:
        ran.stop()


def test_a_new_app_py_is_not_published_while_the_server_runs_the_old_one(server, tmp_path):
    text = (server.app / "app.py").read_text()
    before = server.post(PERSON).headers["X-Scoreline-Generation"]
    try:
        new = text.replace('"for_students": Boolean,', '"for_students": Boolean, "color": Text(optional=True),')
        (server.app / "app.py").write_text(new)
        code, out, err = command(server, tmp_path, "refresh")
    finally:
        (server.app / "app.py").write_text(text)
    assert (code, out) == (1, "")
    assert err == (
        f"scoreline: the server with pid {server.process.pid} runs app.py as it was before; it can't answer from what "
        "the new one makes. Restart it.\n"
    )
    assert server.post(PERSON).headers["X-Scoreline-Generation"] == before


def test_commands_reach_the_running_server(server, tmp_path):
    before = named(server.post(PERSON))
    rename_card(server, "By command")
    code, out, err = command(server, tmp_path, "refresh")
    assert (code, err) == (0, "")
    generation = out.splitlines()[0].removeprefix("refresh: published generation ").removesuffix(": cards")
    assert named(server.post(PERSON)) == ("By command", generation)
    wait_until(lambda: f"serve: published generation {generation} (changed: cards)\n" in server.printed)
    code, out, _ = command(server, tmp_path, "status")
    assert (code, out.splitlines()[0]) == (0, f"generation {generation}; pid {server.process.pid}")
    code, out, _ = command(server, tmp_path, "rollback")
    assert code == 0
    back = named(server.post(PERSON))
    assert back[0] == before[0]
    assert back[1].split("-")[1] == before[1].split("-")[1]
    assert f"published {back[1]} " in out
    assert refresh(server).status == 409
    assert command(server, tmp_path, "rollback", "--unpin")[0] == 0
    assert refresh(server).json()["changed"] is True
    assert named(server.post(PERSON))[0] == "By command"


def test_a_refresh_from_another_source_is_refused_while_the_server_runs(server, tmp_path):
    shutil.copytree(server.app / "data", tmp_path / "other")
    code, out, err = command(server, tmp_path, "refresh", "--data", str(tmp_path / "other"))
    assert (code, out) == (1, "")
    assert err == (
        f"scoreline: the server with pid {server.process.pid} takes reference tables from {server.app / 'data'}, this "
        f"command from {tmp_path / 'other'}. Set SCORELINE_DATA_URL, or --data, as the server has it.\n"
    )


# Polling, and starts of their own


@pytest.fixture
def start(tmp_path_factory, tmp_path):
    """Give a function that starts a server of its own on a copy of the app of cards."""
    folder = copy_cards(made_cards(tmp_path_factory), tmp_path / "app")
    with contextlib.ExitStack() as stack:

        def start_one(**environment):
            environment = {"MODEL_SERVER_WORKERS": "1", **environment}
            server = stack.enter_context(serving(folder, folder, tmp_path / "run", **environment))
            server.app, server.state = folder, tmp_path / "run/state"
            return server

        yield start_one


def test_polling_brings_a_new_table_and_minds_neither_a_bad_one_nor_one_that_is_away(start):
    server = start(SCORELINE_REFRESH_SECONDS="1")
    rename_card(server, "Polled")
    wait_until(lambda: named(server.post(PERSON))[0] == "Polled")
    change(server.app / "data/cards.csv", lambda text: text[: len(text) // 2])
    wait_until(lambda: "serve: not refreshed: reference table 'cards', cards.csv: " in server.printed)
    assert named(server.post(PERSON))[0] == "Polled"
    (server.app / "data").rename(server.app / "gone")
    wait_until(lambda: "no such folder" in server.printed)
    assert ping(server.port) == 200
    (server.app / "gone").rename(server.app / "data")
    rename_card(server, "Back")
    wait_until(lambda: named(server.post(PERSON))[0] == "Back")
    wait_until(lambda: "serve: the sources can be read again" in server.printed)
    assert ping(server.port) == 200
    # with the source away, a second server starts from the copy, and says so
    server.stop()
    (server.app / "data").rename(server.app / "gone")
    again = start()
    assert named(again.post(PERSON))[0] == "Back"
    notes = [line for line in again.printed.splitlines() if "Going on with the copy at hand." in line]
    assert len(notes) == 2
    assert all(note.startswith("serve: ") and "no such folder" in note for note in notes)
    assert "X-Scoreline-Stale" not in again.post(PERSON).headers
    # without a token nobody has it
    assert ask(again.port, "GET", "/generations", headers={"Authorization": "Bearer None"}).status == 403
    assert os.environ.get("SCORELINE_ADMIN_TOKEN") is None


def test_a_state_folder_that_is_removed_ends_the_server_and_says_so(start):
    server = start()
    assert server.post(PERSON).status == 200
    shutil.rmtree(server.state)
    assert server.wait() == 1
    assert server.nothing_is_left()
    last = server.err.read_text().splitlines()[-1]
    assert last == f"scoreline: {server.state}: the state folder was removed while serving. Start again."
