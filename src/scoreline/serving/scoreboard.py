"""A few bytes of shared memory for each worker: which process it is, and since when it is in a request, or idle."""

from __future__ import annotations

import math
import mmap
import time
from dataclasses import dataclass
from pathlib import Path

from scoreline.settings import MOST_WORKERS

SLOTS = MOST_WORKERS
_SLOT_BYTES = 16  # pid (int64), since when on the monotonic clock (float64; negative: idle since then, 0: always)


@dataclass(frozen=True)
class WorkerState:
    """What the scoreboard says of one worker.

    Attributes
    ----------
    busy_s : for how long it is in its request, None when it is idle
    idle_s : for how long it is idle, None when it is in a request; infinite before its first one
    """

    pid: int
    busy_s: float | None
    idle_s: float | None


class Scoreboard:
    """The scoreboard in a file that supervisor and workers map. Each field is written whole, by one process."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(b"\0" * SLOTS * _SLOT_BYTES)
        with path.open("r+b") as file:
            memory = memoryview(mmap.mmap(file.fileno(), SLOTS * _SLOT_BYTES))
        self._pids, self._since = memory.cast("q"), memory.cast("d")

    def claim(self, pid: int) -> int:
        """Take a free slot for a worker that is about to start; called by the gunicorn master only."""
        slot = next(index for index in range(SLOTS) if self._pids[2 * index] == 0)
        self._since[2 * slot + 1] = 0.0
        self._pids[2 * slot] = pid
        return slot

    def name(self, slot: int, pid: int) -> None:
        """Set the process of a slot."""
        self._pids[2 * slot] = pid

    def free(self, pid: int) -> None:
        """Give back the slot of a worker that is gone."""
        for index in range(SLOTS):
            if self._pids[2 * index] == pid:
                self._pids[2 * index] = 0

    def begin(self, slot: int, since: float | None = None) -> None:
        """Note that the worker of a slot is in a request, since now or another moment of the monotonic clock."""
        self._since[2 * slot + 1] = time.monotonic() if since is None else since

    def end(self, slot: int) -> None:
        """Note that the worker of a slot is idle again."""
        self._since[2 * slot + 1] = -time.monotonic()

    def workers(self) -> list[WorkerState]:
        """Return all workers."""
        now = time.monotonic()
        states = []
        for index in range(SLOTS):
            pid, since = self._pids[2 * index], self._since[2 * index + 1]
            if pid > 0 and since > 0:
                states.append(WorkerState(pid, busy_s=now - since, idle_s=None))
            elif pid > 0:
                states.append(WorkerState(pid, busy_s=None, idle_s=now + since if since else math.inf))
        return states
