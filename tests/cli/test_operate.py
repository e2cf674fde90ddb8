"""`scoreline refresh`, `status` and `rollback`, with and without a server."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest
from cards import CARDS, as_csv, change, copy_cards, made_cards, put
from ports import free_port
from servers import KEY, Command, ask, copy_app, folders, ping, serving, wait_until

from scoreline.generations.state import StateFolder


@pytest.fixture
def cards(tmp_path_factory, tmp_path):
    """Give a copy of the app of cards, made, with nothing published."""
    return copy_cards(made_cards(tmp_path_factory), tmp_path / "cards")


@pytest.fixture
def operate(cli, cards, tmp_path):
    """Give a function that runs a command on the app of cards and its state folder."""
    return lambda name, *more: cli(name, *folders(cards, state=tmp_path / "state"), *more)


@pytest.fixture
def state(operate, tmp_path):
    """Give the state folder, with a first generation."""
    assert operate("refresh").code == 0
    return StateFolder(tmp_path / "state")


def test_refresh_publishes_and_says_what(operate, cards, tmp_path):
    ran = operate("refresh")
    name = StateFolder(tmp_path / "state").current().name
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"refresh: published generation {name}: cards, issuers, model",
        "  cards                   5 rows, changed",
        "  issuers                 3 rows, changed",
    ]
    put(cards / "data/cards.csv", as_csv(CARDS[:-1]))
    again = operate("refresh")
    assert (again.code, again.err) == (0, "")
    assert re.fullmatch(r"refresh: published generation 2-\w{6}: cards", again.out.splitlines()[0])
    assert again.out.splitlines()[1:] == [
        "  cards                   4 rows, changed, 5 before",
        "  issuers                 3 rows",
    ]


def test_refresh_without_a_change_says_so_and_exits_0(operate, state):
    ran = operate("refresh")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == f"refresh: nothing changed, generation {state.current().name} goes on"
    assert state.number == 1


def test_a_dry_run_says_what_would_be_published(operate, cards, state):
    put(cards / "data/cards.csv", as_csv(CARDS[:-1]))
    ran = operate("refresh", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == (
        f"refresh: all good, cards would be published; generation {state.current().name} goes on"
    )
    assert state.number == 1


def test_a_dry_run_before_the_first_publish_names_no_generation(operate):
    ran = operate("refresh", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == (
        "refresh: all good, cards, issuers, model would be published; nothing is published yet"
    )


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_bad_file_is_exit_1_and_one_line(operate, cards, state, more):
    change(cards / "data/cards.csv", lambda text: text.replace(b"620", b"6200"))
    ran = operate("refresh", *more)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "scoreline: reference table 'cards', cards.csv: 1 of 5 rows are bad, no bad row is tolerated: line 4, column "
        "'min_score': expected a whole number from 300 to 850, got '6200'\n"
    )
    assert state.number == 1


def test_a_source_that_is_away_is_exit_1_and_one_line(operate, state, tmp_path):
    ran = operate("refresh", "--data-url", tmp_path / "nowhere")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert f"{tmp_path / 'nowhere'}: no such folder" in ran.err


@pytest.mark.parametrize("command", ["refresh", "status", "rollback", "serve"])
def test_a_url_that_is_no_source_is_exit_2(operate, command):
    ran = operate(command, "--data-url", "ftp://host/cards")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "expected s3://bucket/prefix/, file:///folder or a folder's path" in ran.err


@pytest.mark.parametrize("command", ["refresh", "status", "rollback"])
def test_a_state_folder_that_cannot_be_made_is_one_line(cli, cards, tmp_path, command):
    (tmp_path / "file").write_text("in the way")
    ran = cli(command, *folders(cards, state=tmp_path / "file/state"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"scoreline: {tmp_path / 'file/state'}: the state folder can't be written (")


@pytest.mark.parametrize("command", ["refresh", "status", "rollback"])
def test_without_an_app_it_says_how_to_name_one(cli, tmp_path, command):
    ran = cli(command, "--app", tmp_path, "--state", tmp_path / "state")
    assert (ran.code, ran.out) == (1, "")
    assert "no app.py here. Name the app's folder with --app DIR or SCORELINE_APP." in ran.err


def test_the_state_folder_may_come_from_a_variable(cli, cards, tmp_path, monkeypatch):
    monkeypatch.setenv("SCORELINE_STATE", str(tmp_path / "elsewhere"))
    assert cli("refresh", *folders(cards)).code == 0
    assert StateFolder(tmp_path / "elsewhere").number == 1


# status


def test_status_before_the_first_publish(operate, cards):
    ran = operate("status")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "generation none yet; no server runs",
        f"  reference tables from {cards / 'data'}",
        "  cards            never seen, older than the 3,600 s declared",
        "  issuers          never seen",
    ]


def test_status_tells_what_is_published_and_what_there_is_to_go_back_to(operate, cards, state):
    put(cards / "data/cards.csv", as_csv(CARDS[:-1]))
    operate("refresh")
    ran = operate("status")
    first, second = (generation.name for generation in state.generations())
    lines = ran.out.splitlines()
    assert (ran.code, ran.err, lines[0]) == (0, "", f"generation {second}; no server runs")
    assert [re.sub(r"seen \d s ago", "seen a moment ago", line) for line in lines[2:4]] == [
        "  cards            seen a moment ago",
        "  issuers          seen a moment ago",
    ]
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"  {second}     {when}  changed: cards, cards 4 rows, issuers 3 rows", lines[4])
    assert re.fullmatch(rf"  {first}     {when}  the first, cards 5 rows, issuers 3 rows", lines[5])
    assert len(lines) == 6


def test_status_tells_what_went_wrong_last_and_that_a_rollback_holds_on(operate, cards, state):
    put(cards / "data/cards.csv", as_csv(CARDS[:-1]))
    operate("refresh")
    change(cards / "data/cards.csv", lambda text: b"")
    assert operate("refresh").code == 1
    operate("rollback")
    lines = operate("status").out.splitlines()
    assert lines[0] == f"generation {state.current().name}; no server runs"
    assert lines[1] == "  pinned at 3 by a rollback; scoreline rollback --unpin lets new content in"
    assert lines[4].startswith("                   last: ")
    assert "cards.csv" in lines[4]
    assert "rollback to 1-" in lines[6]


def test_status_as_json_is_what_the_route_answers_and_the_servers(operate, cards, state):
    ran = operate("status", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert list(told) == ["published", "pinned", "source", "tables", "events", "generations", "servers"]
    assert (told["published"], told["pinned"], told["servers"]) == (state.current().name, None, [])
    assert told["source"] == str(cards / "data")
    assert told["tables"]["cards"]["stale_after_s"] == 3600
    assert [one["generation"] for one in told["generations"]] == [told["published"]]


def test_status_of_an_app_without_reference_tables_names_none(cli, triage, tmp_path):
    ran = cli("status", *folders(triage, state=tmp_path / "state"))
    assert (ran.code, ran.out, ran.err) == (0, "generation none yet; no server runs\n", "")


# rollback


def test_rollback_goes_back_and_says_how_to_let_go(operate, cards, state):
    first = state.current().name
    put(cards / "data/cards.csv", as_csv(CARDS[:-1]))
    operate("refresh")
    ran = operate("rollback")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"published {state.current().name} (rollback to {first}), pinned until: scoreline rollback --unpin\n"
    )
    held = operate("refresh")
    assert (held.code, held.out) == (1, "")
    assert held.err == (
        "scoreline: generation 3 is pinned by a rollback; nothing new is published until `scoreline rollback --unpin`\n"
    )
    let_go = operate("rollback", "--unpin")
    assert (let_go.code, let_go.err) == (0, "")
    assert let_go.out == "unpinned; the next refresh or poll leaves generation 3\n"
    assert operate("refresh").code == 0
    assert state.current().name.startswith("4-")


def test_rollback_to_a_number_goes_there(operate, cards, state):
    for fee in (1, 2):
        change(cards / "data/cards.csv", lambda text, fee=fee: text + f"c{fee},North,C,{fee},300,false\n".encode())
        operate("refresh")
    ran = operate("rollback", "--to", "1")
    assert ran.code == 0
    assert "(rollback to 1-" in ran.out
    assert state.number == 4


@pytest.mark.parametrize("more", [[], ["--to", "9"]])
def test_rollback_with_nothing_to_go_back_to_is_exit_1_and_names_what_is_kept(operate, state, more):
    ran = operate("rollback", *more)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.endswith(f"to go back to. Kept: {state.current().name}.\n")
    assert (state.number, state.pinned) == (1, None)


def test_unpin_of_what_is_not_pinned_says_so(operate, state):
    ran = operate("rollback", "--unpin")
    assert (ran.code, ran.out, ran.err) == (0, "nothing was pinned\n", "")


# With servers


@pytest.mark.slow
def test_the_nightly_three_lines_reach_every_server_of_the_state_folder(cli, triage, tmp_path):
    """feature, train, refresh: under `serve`, and under gunicorn alone."""
    app, state = copy_app(tmp_path / "app"), tmp_path / "state"
    for name in ("data", "model", "results"):
        shutil.copytree(triage / name, app / name)
    orders = app / "data/orders.csv"
    header, first = orders.read_text().splitlines()[:2]
    row = dict(zip(header.split(","), first.split(","), strict=True))
    key = {name: row[name] for name in KEY}
    new = {**key, "order_id": "O7777777"}
    port = free_port()
    with serving(app, app, tmp_path / "run", "--workers", "2", SCORELINE_STATE=str(state)) as server:
        gunicorn = Command(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "scoreline.serving.wsgi:app"],
            tmp_path,
            {
                "SCORELINE_APP": str(app), "SCORELINE_MODEL_DIR": str(app / "model"),
                "SCORELINE_RESULTS": str(app / "results"), "SCORELINE_STATE": str(state), "HOME": str(tmp_path),
            },
        )  # fmt: skip
        try:
            wait_until(lambda: ping(port) == 200)
            one = f"generation {StateFolder(state).current().name}; pid {server.process.pid}"
            assert cli("status", *folders(app, state=state)).out.splitlines()[0] == one
            for at in (server.port, port):
                assert ask(at, "POST", "/invocations", new).status == 404
            orders.write_text(orders.read_text() + ",".join({**row, "order_id": "O7777777"}.values()) + "\n")
            assert cli("feature", *folders(app)).code == 0
            assert cli("train", *folders(app)).code == 0
            ran = cli("refresh", *folders(app, state=state))
            generation = StateFolder(state).current().name
            assert (ran.code, ran.out) == (0, f"refresh: published generation {generation}: model, store\n")
            for at in (server.port, port):
                for _ in range(20):
                    reply = ask(at, "POST", "/invocations", new)
                    assert (reply.status, reply.json()["order_id"]) == (200, "O7777777")
                    assert reply.headers["X-Scoreline-Generation"] == generation
            assert cli("rollback", *folders(app, state=state)).code == 0
            for at in (server.port, port):
                assert {ask(at, "POST", "/invocations", new).status for _ in range(10)} == {404}
                assert ask(at, "POST", "/invocations", key).status == 200
                assert ping(at) == 200
            assert json.loads(cli("status", *folders(app, state=state), "--json").out)["pinned"] == 3
        finally:
            gunicorn.stop()
    assert "no server runs" in cli("status", *folders(app, state=state)).out
