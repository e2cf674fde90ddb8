"""Processes that are killed or stopped at a bad moment, and several that want the same at once."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from approval import (
    PROBLEM,
    WHICH_EDITION,
    Load,
    generation_of,
    nowhere,
    number_of,
    read_edition,
    refresh,
    scoreline,
    seen_by_fresh_connections,
    serving_odds,
    starting,
    wait_until_ready,
)
from servers import ping, wait_until

from scoreline.generations.state import StateFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(odds, s3, new_catalogue, tmp_path_factory):
    """Give a server of approval odds, and the catalogue that it serves."""
    catalogue = new_catalogue()
    with serving_odds(odds, s3, tmp_path_factory.mktemp("processes"), catalogue) as server:
        yield server, catalogue


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def builds(server):
    """Whether a generation is being built right now."""
    return any(server.state.glob(".building-*"))


def spin_until(condition):
    """Return as soon as `condition()` holds: within microseconds, not at the next look."""
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until


# When a worker is killed: before the number turns, and right as it does, when workers adopt.
MOMENTS = ["while it is built", "as the number turns", "as the number turns", "after the answer"] * 2


def test_a_worker_killed_at_a_publish_costs_at_most_an_answer_half_sent_and_the_next_one_is_up_to_date(served, pool):
    server, catalogue = served
    state = StateFolder(server.state)
    wait_until(lambda: len(server.workers()) == 4, what="the fourth worker")
    original = {worker.pid for worker in server.workers()}
    first = read_edition(server.post(WHICH_EDITION)) + 1
    with Load(server.port, [WHICH_EDITION], read_edition) as load:
        for edition, moment in enumerate(MOMENTS, first):
            victim = min(server.workers(), key=lambda worker: worker.create_time())
            number = state.number
            catalogue.put(edition)
            answer = pool.submit(refresh, server)
            if moment == "while it is built":
                spin_until(lambda: builds(server))
            elif moment == "as the number turns":
                spin_until(lambda number=number: state.number > number)
            else:
                answer.result()
            victim.kill()
            assert (answer.result().status, number_of(answer.result())) == (200, number + 1)
            seen = seen_by_fresh_connections(server.port, 50)
            assert seen == {(200, generation_of(answer.result()), edition): 50}
            assert len(load.failures) <= edition - first + 1, load.failures  # what the killed ones were about
            wait_until(lambda: len(server.workers()) == 4, what="another worker")
        assert original.isdisjoint(worker.pid for worker in server.workers())  # now all are such as came up later
        seen = seen_by_fresh_connections(server.port, 200)
        assert seen == {(200, generation_of(answer.result()), edition): 200}
    assert len(load.failures) <= len(MOMENTS), load.failures
    assert all("IncompleteRead" in failure for failure in load.failures), load.failures  # others are asked again
    wait_until(lambda: ping(server.port) == 200, what="/ping")


def test_refreshes_asked_for_at_once_are_all_answered_and_one_does_the_work(served, pool):
    server, catalogue = served
    before = server.post(WHICH_EDITION)
    edition = read_edition(before) + 1
    catalogue.put(edition)
    together = threading.Barrier(5)

    def ask(_):
        together.wait()
        return refresh(server)

    answers = list(pool.map(ask, range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert len({answer.json()["generation"] for answer in answers}) == 1
    assert sorted(answer.json()["changed"] for answer in answers) == [False] * 4 + [True]
    assert number_of(answers[0]) == number_of(before) + 1
    assert read_edition(server.post(WHICH_EDITION)) == edition


def builder_of(server):
    """Return the builder's process, None while there is none."""
    try:
        return server.part("serving.builder")
    except (ValueError, psutil.NoSuchProcess):
        return None


def test_it_says_that_it_is_ready_once_the_refresh_route_answers_too(odds, tmp_path):
    slow = tmp_path / "slow"
    slow.mkdir()
    builder_alone = "import sys, time\nif sys.argv[0].endswith('builder.py'):\n    time.sleep(2)\n"
    (slow / "app.py").write_text((odds / "app.py").read_text() + builder_alone)
    made = ("--model-dir", str(odds / "model"), "--data", str(odds / "data"))
    with starting(slow, tmp_path / "server", "--workers", "2", *made) as server:
        wait_until_ready(server)
        assert refresh(server).status == 200


@pytest.mark.parametrize("moment", ["idle", "building"])
def test_a_builder_that_is_killed_is_started_again_and_no_prediction_is_touched(served, pool, moment):
    server, catalogue = served
    before = server.post(WHICH_EDITION)
    edition = read_edition(before) + 1
    catalogue.put(edition)
    builder = builder_of(server)
    with Load(server.port, [WHICH_EDITION], read_edition) as load:
        if moment == "building":
            answer = pool.submit(refresh, server)
            spin_until(lambda: builds(server))
            builder.kill()
            assert (answer.result().status, answer.result().headers["Content-Type"]) == (503, PROBLEM)
            assert generation_of(server.post(WHICH_EDITION)) == generation_of(before)
        else:
            builder.kill()
        server.wait_until(lambda: refresh(server).status == 200)
        assert builder_of(server).pid != builder.pid
        published = server.post(WHICH_EDITION)
        assert (read_edition(published), number_of(published)) == (edition, number_of(before) + 1)
        assert not builds(server)  # what the killed one left is cleared
        assert ping(server.port) == 200
    assert load.failures == []
    assert "the builder ended with exit code -9; it is started again" in server.printed


def test_sigterm_during_a_refresh_answers_it_first_and_leaves_no_process_and_a_whole_state(
    odds, s3, start, catalogue, pool, tmp_path
):
    server = start(catalogue)
    catalogue.put(1)
    answer = pool.submit(refresh, server)
    spin_until(lambda: builds(server))
    server.look()
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert server.nothing_is_left()
    assert (answer.result().status, answer.result().json()["changed"]) == (200, True)
    assert is_whole(odds, server.state, generation_of(answer.result()))
    again = tmp_path / "again"
    again.mkdir()
    shutil.copytree(server.state, again / "state")
    settings = {**s3.environment, **nowhere(), "SCORELINE_DATA_URL": catalogue.url}
    with starting(odds, again, "--workers", "2", **settings) as server:
        wait_until_ready(server)
        restarted = server.post(WHICH_EDITION)
        assert (read_edition(restarted), generation_of(restarted)) == (1, generation_of(answer.result()))


def test_sigterm_during_a_poll_leaves_no_process_and_a_whole_state(odds, start, catalogue):
    server = start(catalogue, SCORELINE_REFRESH_SECONDS="1")
    before = generation_of(server.post(WHICH_EDITION))
    catalogue.put(1)
    spin_until(lambda: builds(server))
    server.look()
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert server.nothing_is_left()
    published = json.loads(scoreline("status", "--app", str(odds), "--state", str(server.state), "--json").stdout)
    assert is_whole(odds, server.state, published["published"])
    assert published["published"].startswith(("1-", "2-"))
    assert before.startswith("1-")


def is_whole(odds, state, generation):
    """Whether a generation is the published one of a state folder, and no server is said to run on it."""
    told = json.loads(scoreline("status", "--app", str(odds), "--state", str(state), "--json").stdout)
    kept = [one["generation"] for one in told["generations"]]
    return (told["published"], told["servers"], kept[0]) == (generation, [], generation)
