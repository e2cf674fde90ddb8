"""Progress elsewhere than on a terminal: a line now and then, none for what is quick."""

from __future__ import annotations

import pytest

from scoreline import progress
from scoreline.progress import Progress, StatusLine


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set: `clock["now"] = 3.0`."""
    time = {"now": 100.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: time["now"])
    return time


def test_quick_work_says_nothing(clock, capsys):
    with Progress("inference", 100, "records") as done:
        for _ in range(100):
            done.advance()
    assert capsys.readouterr() == ("", "")


def test_long_work_says_how_far_it_is_every_five_seconds(clock, capsys):
    with Progress("inference", 2000, "records") as done:
        for _ in range(20):
            clock["now"] += 1
            done.advance(100)
    assert capsys.readouterr().err.splitlines() == [
        "inference: 100 of 2,000 (5 %) records",
        "inference: 600 of 2,000 (30 %) records",
        "inference: 1,100 of 2,000 (55 %) records",
        "inference: 1,600 of 2,000 (80 %) records",
    ]


def test_work_of_unknown_size_says_what_is_done(clock, capsys):
    with Progress("reading orders.csv", None, "rows") as done:
        clock["now"] += 2
        done.advance(1500)
    assert capsys.readouterr().err == "reading orders.csv: 1,500 rows\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_FIRST_AFTER_S", 0.0)
    with Progress("inference", 10, "records") as done:
        done.advance(5)
    assert "inference" in capsys.readouterr().err


def test_a_state_is_said_when_it_changes_and_each_half_minute(clock, capsys):
    with StatusLine("deploy: cards is") as line:
        for state in ["Creating"] * 8 + ["InService"]:
            line.show(state)
            clock["now"] += 5
    assert capsys.readouterr().err.splitlines() == [
        "deploy: cards is Creating, 0 s",
        "deploy: cards is Creating, 30 s",
        "deploy: cards is InService, 40 s",
    ]


def test_on_a_terminal_a_state_is_one_line_that_changes(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with StatusLine("deploy: cards is") as line:
        line.show("Creating")
        clock["now"] += 5
        line.show("Creating")
    assert capsys.readouterr().err == "\rdeploy: cards is Creating, 0 s\x1b[K\rdeploy: cards is Creating, 5 s\x1b[K\n"
