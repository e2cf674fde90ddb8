"""Going back to earlier content while polling goes on."""

from __future__ import annotations

import time

import pytest
from approval import (
    WHICH_EDITION,
    Load,
    generation_of,
    number_of,
    read_edition,
    refresh,
    scoreline,
    seen_by_fresh_connections,
)
from servers import ask

pytestmark = pytest.mark.slow


def test_a_rollback_stays_while_polling_goes_on_until_it_is_unpinned(start, odds, catalogue):
    token = {"Authorization": "Bearer topcat"}
    server = start(catalogue, SCORELINE_REFRESH_SECONDS="1", SCORELINE_ADMIN_TOKEN="topcat")
    command = ("rollback", "--app", str(odds), "--state", str(server.state))
    first = server.post(WHICH_EDITION)
    with Load(server.port, [WHICH_EDITION], read_edition) as load:
        catalogue.put(1)  # what turns out to be a mistake
        server.wait_until(lambda: read_edition(server.post(WHICH_EDITION)) == 1)

        done = scoreline(*command)
        assert (done.returncode, "pinned until: scoreline rollback --unpin" in done.stdout) == (0, True), done.stderr
        back = server.post(WHICH_EDITION)
        assert (read_edition(back), number_of(back)) == (0, number_of(first) + 2)
        assert generation_of(back).split("-")[1] == generation_of(first).split("-")[1]  # the content of before
        catalogue.put(2)
        until = time.monotonic() + 3.5  # three polls
        while time.monotonic() < until:
            assert generation_of(server.post(WHICH_EDITION)) == generation_of(back)
            time.sleep(0.1)
        answer = refresh(server)
        assert (answer.status, "pinned by a rollback" in answer.json()["detail"]) == (409, True)
        told = ask(server.port, "GET", "/generations", headers=token).json()
        assert (told["published"], told["pinned"]) == (generation_of(back), number_of(back))
        assert [kept["why"] for kept in told["generations"]] == [
            f"rollback to {generation_of(first)}",
            "changed: card_variables",
            "the first",
        ]
        assert seen_by_fresh_connections(server.port, 50) == {(200, generation_of(back), 0): 50}

        assert scoreline(*command, "--unpin").returncode == 0
        server.wait_until(lambda: read_edition(server.post(WHICH_EDITION)) == 2)
        assert number_of(server.post(WHICH_EDITION)) == number_of(back) + 1
    assert load.failures == []
