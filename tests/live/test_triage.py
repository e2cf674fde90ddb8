"""Order triage: features, store and model change while it serves; and the two applications side by side."""

from __future__ import annotations

from collections import Counter

import pytest
from approval import (
    WHICH_EDITION,
    Load,
    ask_afresh,
    generation_of,
    number_of,
    read_edition,
    refresh,
    scoreline,
    starting,
    wait_until_ready,
)
from servers import ask, folders, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def start_triage(stock, tmp_path):
    """Give a function that gives a context with a server of order triage, which is stopped at its end."""
    return lambda **more: starting(stock.app, tmp_path / "triage", "--workers", "2", **more)


def make(stock, *commands, **options):
    """Run commands on order triage, each in a process of its own; return what the last one printed."""
    for command in commands:
        state = {"state": options["state"]} if command == "refresh" else {}
        done = scoreline(command, *folders(stock.app, **state))
        assert done.returncode == 0, done.stderr
    return done.stdout


def seen_of_all_orders(server, stock):
    """Ask for each order over a connection of its own; count (status, generation, edition)."""
    answers = [ask_afresh(server.port, body) for body in stock.bodies]
    return Counter((answer.status, generation_of(answer), stock.read(answer)) for answer in answers)


def test_feature_train_and_refresh_bring_new_data_into_a_running_server(start_triage, stock):
    with start_triage() as server:
        wait_until_ready(server)
        before = ask_afresh(server.port, stock.bodies[0])
        wait_until(lambda: len(server.workers()) == 2)  # it is ready with the first
        started = {process.pid for process in server.look()}
        with Load(server.port, stock.bodies, stock.read, threads=2) as load:
            stock.count(1)
            make(stock, "feature", "train")
            assert generation_of(ask_afresh(server.port, stock.bodies[0])) == generation_of(before)  # not asked yet
            assert make(stock, "refresh", state=server.state).endswith(": model, store\n")
            seen = seen_of_all_orders(server, stock)
        assert load.failures == []
        assert {process.pid for process in server.look()} == started  # no restart
        published = ask_afresh(server.port, stock.bodies[0])
        assert number_of(published) == number_of(before) + 1
        assert set(seen) <= {(200, generation_of(published), 1), (200, generation_of(published), None)}
        assert seen[(200, generation_of(published), 1)] > 100
        old, new = generation_of(before), generation_of(published)
        assert set(load.answers) <= {(old, 0), (old, None), (new, 1), (new, None)}


def test_new_data_come_in_by_the_poll_as_well(start_triage, stock):
    with start_triage(SCORELINE_REFRESH_SECONDS="1") as server:
        wait_until_ready(server)
        order = next(body for body in stock.bodies if stock.read(ask_afresh(server.port, body)) is not None)
        before = stock.read(ask_afresh(server.port, order))
        with Load(server.port, stock.bodies, stock.read, threads=2) as load:
            stock.count(before + 1)
            make(stock, "feature", "train")
            server.wait_until(lambda: stock.read(ask_afresh(server.port, order)) == before + 1)
            model = server.state / "generations"
            trained = (stock.app / "model/manifest.json").read_bytes()
            server.wait_until(lambda: trained in [path.read_bytes() for path in model.glob("*/model/manifest.json")])
            seen = seen_of_all_orders(server, stock)
        assert load.failures == []
        assert {edition for _, _, edition in seen} <= {before + 1, None}


def test_each_of_two_applications_side_by_side_is_refreshed_alone(start_triage, stock, start, catalogue):
    odds = start(catalogue)
    with start_triage() as triage:
        wait_until_ready(triage)
        cards_before, orders_before = odds.post(WHICH_EDITION), ask_afresh(triage.port, stock.bodies[0])
        loads = (Load(odds.port, [WHICH_EDITION], read_edition, 2), Load(triage.port, stock.bodies, stock.read, 2))
        with loads[0], loads[1]:
            catalogue.put(1)
            assert refresh(odds).status == 200
            cards = odds.post(WHICH_EDITION)
            assert (read_edition(cards), number_of(cards)) == (1, number_of(cards_before) + 1)
            assert ask_afresh(triage.port, stock.bodies[0]).body == orders_before.body
            assert generation_of(ask_afresh(triage.port, stock.bodies[0])) == generation_of(orders_before)

            stock.count(7)
            make(stock, "feature", "refresh", state=triage.state)
            assert number_of(ask_afresh(triage.port, stock.bodies[0])) == number_of(orders_before) + 1
            assert generation_of(odds.post(WHICH_EDITION)) == generation_of(cards)
            assert ask(triage.port, "GET", "/updateccdata").status == 404  # a route of the other application
        assert (loads[0].failures, loads[1].failures) == ([], [])
