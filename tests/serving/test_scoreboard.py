"""The scoreboard that workers and supervisor share."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from scoreline.serving.scoreboard import SLOTS, Scoreboard, WorkerState


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that only the test moves."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("scoreline.serving.scoreboard.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def board(tmp_path, clock):
    return Scoreboard(tmp_path / "scoreboard")


def test_there_is_no_worker_at_first(board):
    assert board.workers() == []


def test_a_claimed_slot_is_a_worker_once_it_has_its_process(board):
    slot = board.claim(-1)
    assert board.workers() == []
    board.name(slot, 77)
    assert board.workers() == [WorkerState(77, busy_s=None, idle_s=math.inf)]


def test_each_claim_takes_a_slot_of_its_own(board):
    assert [board.claim(pid) for pid in (11, 12, 13)] == [0, 1, 2]


def test_the_slot_of_a_worker_that_is_gone_is_taken_again(board):
    slots = {pid: board.claim(pid) for pid in (11, 12, 13)}
    board.begin(slots[12])
    board.free(12)
    assert [worker.pid for worker in board.workers()] == [11, 13]
    assert board.claim(14) == slots[12]
    assert board.workers()[1] == WorkerState(14, busy_s=None, idle_s=math.inf)


def test_a_request_counts_from_its_beginning_to_its_end(board, clock):
    slot = board.claim(11)
    board.begin(slot)
    clock.now += 2.5
    assert board.workers() == [WorkerState(11, busy_s=2.5, idle_s=None)]
    board.end(slot)
    clock.now += 0.5
    assert board.workers() == [WorkerState(11, busy_s=None, idle_s=0.5)]


def test_workers_and_supervisor_see_one_board(board, clock, tmp_path):
    supervisors = Scoreboard(tmp_path / "scoreboard")
    slot = board.claim(11)
    board.begin(slot)
    clock.now += 1
    assert supervisors.workers() == [WorkerState(11, busy_s=1.0, idle_s=None)]


def test_there_is_room_for_as_many_workers_as_it_says(board):
    assert [board.claim(pid) for pid in range(1, SLOTS + 1)] == list(range(SLOTS))
    assert len(board.workers()) == SLOTS
