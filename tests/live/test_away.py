"""S3 that is away, comes back, or does not let us in; at start and while serving."""

from __future__ import annotations

import shutil
import time

import psutil
import pytest
from approval import (
    ISSUERS,
    PROBLEM,
    WHICH_EDITION,
    Load,
    ask_afresh,
    generation_of,
    nowhere,
    number_of,
    read_edition,
    refresh,
    scoreline,
    starting,
    wait_until_ready,
)
from s3_server import STRANGER
from servers import ping, wait_until

pytestmark = pytest.mark.slow
AT_HAND = "Going on with the copy at hand."


@pytest.fixture
def filled(odds, s3, catalogue, tmp_path):
    """Give a folder whose `state` holds edition 0 from S3; no server ran."""
    folder = tmp_path / "filled"
    folder.mkdir()
    arguments = ("--app", str(odds), "--state", str(folder / "state"), "--data-url", catalogue.url)
    done = scoreline("refresh", *arguments, **s3.environment)
    assert done.returncode == 0, done.stderr
    return folder


def is_refused(answer, status, kind):
    return (answer.status, answer.headers["Content-Type"], answer.json()["type"]) == (
        status,
        PROBLEM,
        f"urn:scoreline:problem:{kind}",
    )


def test_s3_killed_is_502_and_no_harm_and_polling_goes_on_when_it_is_back(start, s3, catalogue):
    server = start(catalogue, SCORELINE_REFRESH_SECONDS="1")
    catalogue.put(1)
    wait_until(lambda: read_edition(server.post(WHICH_EDITION)) == 1, 30, "the poll")
    served = generation_of(server.post(WHICH_EDITION))
    pings = []
    with Load(server.port, [WHICH_EDITION], read_edition) as load:
        s3.stop()
        try:
            answer = refresh(server)
            assert is_refused(answer, 502, "source-away"), answer
            assert f"{s3.url} can't be reached" in answer.json()["detail"]
            assert generation_of(answer) == served
            server.wait_until(lambda: (pings.append(ping(server.port)), "not refreshed: " in server.printed)[1])
            until = time.monotonic() + 3  # two more polls or three
            while time.monotonic() < until:
                pings.append(ping(server.port))
                time.sleep(0.05)
            assert {generation for generation, _ in load.answers} == {served}
            assert server.printed.count("not refreshed: ") == 1  # each kind of trouble is said once
        finally:
            s3.start()
        catalogue.put(2)
        server.wait_until(lambda: read_edition(ask_afresh(server.port)) == 2)
        server.wait_until(lambda: "the sources can be read again" in server.printed)
        pings.append(ping(server.port))
    assert load.failures == []
    assert set(pings) == {200}
    catalogue.put(3)
    answer = refresh(server)
    assert answer.status == 200, server.printed
    assert read_edition(server.post(WHICH_EDITION)) == 3


def test_an_empty_file_while_polling_is_said_once_and_the_good_one_after_it_is_published(start, catalogue):
    server = start(catalogue, SCORELINE_REFRESH_SECONDS="1")
    catalogue.put_file(ISSUERS, b"")
    catalogue.put(1)
    server.wait_until(lambda: "not refreshed: " in server.printed)
    time.sleep(3)
    assert server.printed.count("not refreshed: ") == 1
    assert "issuer_rules.csv: is empty" in server.printed
    assert (read_edition(server.post(WHICH_EDITION)), ping(server.port)) == (0, 200)
    catalogue.put_file(ISSUERS, catalogue.issuers)
    server.wait_until(lambda: read_edition(server.post(WHICH_EDITION)) == 1)


@pytest.mark.parametrize(
    ("credentials", "why"),
    [
        pytest.param({"AWS_SECRET_ACCESS_KEY": "hush-hush-hush"}, "Check AWS_SECRET_ACCESS_KEY", id="wrong-secret"),
        pytest.param(STRANGER, "access denied. Allow s3:GetObject", id="may-not-read"),
    ],
)
def test_credentials_that_are_refused_are_502_and_are_not_shown(odds, s3, catalogue, filled, credentials, why):
    settings = {**s3.environment, **credentials, "SCORELINE_DATA_URL": catalogue.url, "SCORELINE_ADMIN_TOKEN": "topcat"}
    with starting(odds, filled, "--workers", "2", **settings) as server:
        wait_until_ready(server)
        assert AT_HAND in server.printed
        answer = refresh(server)
        assert is_refused(answer, 502, "source-away"), answer
        assert why in answer.json()["detail"]
        assert read_edition(server.post(WHICH_EDITION)) == 0
        shown = server.printed + repr(answer) + "".join(path.read_text() for path in server.state.glob("*/*.json"))
        for secret in (settings["AWS_SECRET_ACCESS_KEY"], s3.environment["AWS_SECRET_ACCESS_KEY"], "topcat"):
            assert secret not in shown


def test_it_starts_with_the_copy_at_hand_when_s3_is_away_and_says_so(odds, s3, catalogue, filled):
    settings = {**s3.environment, **nowhere(), "SCORELINE_DATA_URL": catalogue.url}
    with starting(odds, filled, "--workers", "2", **settings) as server:
        wait_until_ready(server)
        said = [line for line in server.printed.splitlines() if AT_HAND in line]
        assert [f"{catalogue.url}card_variables.csv" in said[0], f"{catalogue.url}{ISSUERS}" in said[1]] == [True, True]
        assert all("can't be reached" in line for line in said)
        answer = server.post(WHICH_EDITION)
        assert (answer.status, read_edition(answer), number_of(answer)) == (200, 0, 1)
        assert is_refused(refresh(server), 502, "source-away")
    with starting(odds, filled, "--workers", "2", **{**settings, **s3.environment}) as server:  # it is back
        catalogue.put(1)
        wait_until_ready(server)
        assert AT_HAND not in server.printed
        assert read_edition(server.post(WHICH_EDITION)) == 1


def test_without_s3_and_without_a_copy_it_says_so_in_one_line_and_exits_with_1(odds, s3, catalogue, tmp_path):
    settings = {**s3.environment, **nowhere(), "SCORELINE_DATA_URL": catalogue.url}
    with starting(odds, tmp_path / "empty", **settings) as server:
        assert server.wait() == 1
        (line,) = server.printed.splitlines()
        assert line.startswith(f"scoreline: {catalogue.url}card_variables.csv: ")
        assert "can't be reached" in line
        assert "There is no copy of 'card_variables' at hand" in line
        assert server.nothing_is_left()


def test_with_a_folder_as_source_it_serves_and_refreshes_without_any_network(odds, new_catalogue, tmp_path):
    catalogue = new_catalogue()  # for its editions alone
    folder = tmp_path / "tables"
    shutil.copytree(odds / "data", folder)
    (folder / "card_variables.csv").write_bytes(catalogue.edition(0))
    with starting(odds, tmp_path / "server", "--workers", "2", SCORELINE_DATA_URL=str(folder)) as server:
        wait_until_ready(server)
        assert read_edition(server.post(WHICH_EDITION)) == 0
        (folder / "card_variables.csv").write_bytes(catalogue.edition(1))
        assert refresh(server).status == 200
        assert read_edition(server.post(WHICH_EDITION)) == 1
        processes = [process for process in server.look() if process.is_running()]
        assert len(processes) > 5
        assert {kind.laddr.ip for process in processes for kind in connections(process)} <= {"127.0.0.1"}


def connections(process):
    """Return the internet connections of a process that hears from nobody but us."""
    try:
        return process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []
