"""One side, once: start, check, warm up, load, measure, check again, end."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.answers import AnswerError, Corpus, Difference, check, wait_until_right
from harness.load import Load, LoadError, Requests, put_load
from harness.processes import Memory, Processes
from harness.sides import Body, Place, Side, free_port
from scoreline.errors import ScorelineError

ONE, MANY = 1, 16  # connections
START_S = 90
WARM_S = 1
SLACK = 0.25  # a reply may be so much shorter or longer than those of the corpus


class SideError(RuntimeError):
    """A side can't be measured; the message says why."""


@dataclass(frozen=True)
class Options:
    """What a run was asked for.

    Attributes
    ----------
    seconds : of each load
    list_connections : for lists of a thousand: two for each worker, so that none waits
    """

    seconds: float
    workers: int
    wrk: str

    @property
    def list_connections(self) -> int:
        return 2 * self.workers


@dataclass(frozen=True)
class Measured:
    """What one side came to in one round.

    Attributes
    ----------
    start_s : from the first command to the first 200 of a real request
    one, many, lists : loads over 1 and 16 connections, and of lists of a thousand records
    cpu_us : CPU time of all its processes for a request, at 16 connections
    list_cpu_us : the same for a record of a list
    """

    start_s: float
    before: Difference
    one: Load
    many: Load
    cpu_us: float
    memory: Memory
    lists: Load | None
    list_cpu_us: float | None
    after: Difference

    def describe(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return dataclasses.asdict(self)


class Positions:
    """Where in each file the next load of a side goes on, so that its keys are distinct until all were sent."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str], int] = {}

    def put(self, side: Side, port: int, requests: Requests, connections: int, options: Options) -> Load:
        """Put load on a side from where its last one ended."""
        return self._put(side, port, requests, connections, options, options.seconds)

    def warm(self, side: Side, port: int, requests: Requests, options: Options) -> None:
        """Let every worker answer for a moment before anything counts."""
        self._put(side, port, requests, MANY, options, WARM_S)

    def _put(
        self, side: Side, port: int, requests: Requests, connections: int, options: Options, seconds: float
    ) -> Load:
        where = (side.name, requests.file.name)
        load = put_load(options.wrk, port, requests, connections, seconds, self._at.get(where, 0))
        self._at[where] = load.position
        return load


def measure(side: Side, place: Place, corpus: Corpus, options: Options, positions: Positions) -> Measured:
    """Measure one side; SideError says why it can't be. Whatever was started is ended."""
    with tempfile.TemporaryDirectory(prefix="scoreline-bench-", dir="/tmp") as folder:
        run = Path(folder)
        run.chmod(0o711)  # nginx's workers, another user when we are root, must reach the socket
        place = dataclasses.replace(place, run=run, port=free_port())
        try:
            with Processes(side.start(place), run) as processes:
                return _measure(side, place, corpus, options, positions, processes)
        except (AnswerError, LoadError, ScorelineError, OSError) as error:
            raise SideError(str(error).replace("\n", " ")) from error


def _measure(
    side: Side, place: Place, corpus: Corpus, options: Options, positions: Positions, processes: Processes
) -> Measured:
    port = place.port
    wait_until_right(port, side, corpus, processes.ended, START_S)
    start_s = time.monotonic() - processes.started_at
    before = check(port, side, corpus)
    single = _requests(side, side.single, place, "records", bounds(before.lengths))
    positions.warm(side, port, single, options)
    one = positions.put(side, port, single, ONE, options)
    cpu_before = processes.cpu_seconds()
    many = positions.put(side, port, single, MANY, options)
    cpu_after = processes.cpu_seconds()
    memory = processes.memory(cpu_before, cpu_after)
    lists, list_cpu_us = None, None
    if side.listed is not None:
        listed = _requests(side, side.listed, place, "lists", (bounds(before.lengths)[0], 10**8))
        lists = positions.put(side, port, listed, options.list_connections, options)
        list_cpu_us = _each(cpu_after, processes.cpu_seconds(), 1_000 * lists.requests)
    after = check(port, side, corpus)
    return Measured(
        start_s, before, one, many, _each(cpu_before, cpu_after, many.requests), memory, lists, list_cpu_us, after
    )


def _requests(side: Side, body: Body, place: Place, stem: str, lengths: tuple[int, int]) -> Requests:
    folder = place.triage if body.form == "keys" else place.model
    return Requests(folder / f"{stem}.{body.form}", body.path, body.content_type, body.before, body.after, lengths)


def bounds(lengths: tuple[int, int]) -> tuple[int, int]:
    """Return the shortest and longest reply that may be right, from those that are."""
    return int(lengths[0] * (1 - SLACK)), int(lengths[1] * (1 + SLACK)) + 1


def _each(before: dict[int, float], after: dict[int, float], count: int) -> float:
    """Return the CPU time in microseconds that each of so many requests took."""
    spent = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
    return spent / max(1, count) * 1e6
