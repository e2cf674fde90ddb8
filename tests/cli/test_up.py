"""`scoreline up`: everything, one after the other, and nothing left behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from oracle import oracle_rows
from servers import Command, SlowApp, folders, is_listened_on, wait_until, write_sample

pytestmark = pytest.mark.slow
EXECUTABLE = Path(sys.executable).with_name("scoreline")


@pytest.fixture
def up(tmp_path):
    """Give a function that starts `scoreline up`; whatever is left of it is stopped at the end."""
    started = []

    def start(app, *options):
        environment = {"TMPDIR": str(tmp_path)}  # what one that is killed leaves there goes with the test
        started.append(Command([str(EXECUTABLE), "up", *folders(app), *options], tmp_path, environment))
        return started[-1]

    yield start
    for command in started:
        command.stop()


@pytest.fixture
def slow(tmp_path):
    """Give an app over whose orders the server takes its time."""
    slow = SlowApp(tmp_path / "slow")
    write_sample(slow.folder / "data", orders=300)
    slow.take(0.5)
    return slow


def port_of(command):
    ready = re.compile(r"ready on http://127\.0\.0\.1:(\d+)")
    wait_until(lambda: ready.search(command.printed))  # it may answer a moment before it says so
    return int(ready.search(command.printed)[1])


def test_up_decides_every_order_as_the_rules_say_and_leaves_nothing_behind(up, app):
    planted = write_sample(app / "data", orders=300, bad_rows=True)
    command = up(app)
    assert command.wait(120) == 0, command.printed
    assert command.err.read_text().splitlines()[-1] == "serve: stopped"
    assert not is_listened_on(port_of(command))
    assert command.nothing_is_left()
    lines = [json.loads(line) for line in (app / "results/results.json").read_text().splitlines()]
    assert [(line["order_id"], line["recommendation"]) for line in lines] == [
        (row["order_id"], row["recommendation"]) for row in oracle_rows(app / "data")
    ]
    out = command.out.read_text()
    summaries = [line for line in out.splitlines() if not line.startswith(" ")]
    assert summaries[:-1] == ["feature", "train", "inference"]
    assert re.fullmatch(r"up: done in \d+\.\d s, the server is stopped", summaries[-1])
    assert f"300 records scored, 0 errors; {planted['orders']} rows of the file set aside" in out
    assert {line.split(":")[0] for line in command.err.read_text().splitlines()} <= {
        "serve",
        "inference",
        "features",
        "train",
    }


def test_up_serves_from_a_state_of_its_own_unless_one_is_named(up, app, tmp_path):
    write_sample(app / "data", orders=60)
    assert up(app).wait(120) == 0
    assert not (app / "state").exists()  # another server of this app there takes on nothing that is tried here
    assert up(app, "--state", str(tmp_path / "kept")).wait(120) == 0
    assert not (app / "state").exists()
    assert (tmp_path / "kept/generations").is_dir()


def test_up_with_a_port_that_is_taken_is_exit_1_and_says_so(up, app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = up(app, "--port", str(taken.getsockname()[1]))
        assert command.wait(120) == 1
    assert f"scoreline: port {taken_port(command)} is taken by " in command.err.read_text()
    assert command.nothing_is_left()
    assert command.out.read_text() == "", "it is said before any work is done"


def taken_port(command):
    return command.process.args[-1]


def test_ctrl_c_during_up_is_130_and_stops_the_server(up, slow):
    command = up(slow.folder)
    command.wait_until(lambda: slow.begun > 2)
    port = port_of(command)
    command.process.send_signal(signal.SIGINT)
    assert command.wait(30) == 130
    assert command.nothing_is_left()
    assert not is_listened_on(port)
    assert "scoreline: interrupted; what was unfinished is dropped" in command.err.read_text()
    assert not (slow.folder / "results/results.json").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_end_of_up_by_force_stops_the_server_too(up, slow, number, code):
    command = up(slow.folder)
    command.wait_until(lambda: slow.begun > 2)
    port = port_of(command)
    command.process.send_signal(number)
    assert command.wait(30) == code
    assert command.nothing_is_left(30)
    assert not is_listened_on(port)
