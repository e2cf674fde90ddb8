"""Worker processes that score partitions side by side, no more of them than the CPU plan allows."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from scoreline.errors import ScoringError
from scoreline.scoring.partitions import Partition
from scoreline.scoring.score import PartReport
from scoreline.scoring.worker import Setup, Task, Told
from scoreline.settings import Settings, environment_of, without_settings

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_END_WITHIN_S = 5
_CHUNK_BYTES = 1 << 16


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    task: Task | None = None
    heard: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Done:
    """A partition whose part is built in a file aside."""

    partition: Partition
    built: Path
    report: PartReport


def score_all(
    settings: Settings, setup: Setup, partitions: Sequence[Partition], suffix: str, work: Path, workers: int
) -> Iterator[Done | int]:
    """Score partitions in worker processes; yield each as it is done, and in between how many records were scored.

    However this ends, no process is left behind.

    Parameters
    ----------
    suffix : of the parts' files, without its dot
    work : the folder that parts are built in

    Raises
    ------
    ScoringError
        A partition can't be scored, or a process ended.
    """
    waiting = deque(Task(partition, str(work / f"{partition.name}.{suffix}")) for partition in partitions)
    with _started(settings, setup, min(workers, len(partitions))) as pool, selectors.DefaultSelector() as selector:
        for worker in pool:
            assert worker.process.stdout is not None
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            _give(worker, waiting)
        while any(worker.task for worker in pool):
            for key, _ in selector.select():
                worker = key.data
                for told in _hear(worker):
                    if told.error is not None:
                        raise ScoringError(told.error)
                    if told.report is None:
                        yield told.scored
                        continue
                    assert worker.task is not None
                    yield Done(worker.task.partition, Path(worker.task.out), told.report)
                    _give(worker, waiting)


@contextmanager
def _started(settings: Settings, setup: Setup, count: int) -> Iterator[list[_Worker]]:
    environment = {**without_settings(os.environ), **environment_of(settings), **dict.fromkeys(_ONE_THREAD, "1")}
    command = [sys.executable, "-m", "scoreline.scoring.worker"]
    pool: list[_Worker] = []
    try:
        for _ in range(count):
            # in a session of its own: Ctrl-C is for us, and we end them
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
            )
            pool.append(_Worker(process))
            _say(process, setup)
        yield pool
    finally:
        for worker in pool:
            worker.process.terminate()
        for worker in pool:
            _end(worker.process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _give(worker: _Worker, waiting: deque[Task]) -> None:
    worker.task = waiting.popleft() if waiting else None
    if worker.task is not None:
        _say(worker.process, worker.task)


def _say(process: subprocess.Popen[bytes], message: msgspec.Struct) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(message) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it ended: what it said last, or its exit code, is told as it is read


def _hear(worker: _Worker) -> list[Told]:
    """Return what a worker has told since; ScoringError where it ended with a partition in hand."""
    assert worker.process.stdout is not None
    chunk = os.read(worker.process.stdout.fileno(), _CHUNK_BYTES)
    if not chunk:
        code = worker.process.wait()
        how = f"was ended by signal {-code} (memory?)" if code < 0 else f"ended with exit code {code}"
        name = worker.task.partition.name if worker.task else "nothing"
        raise ScoringError(
            f"a worker process {how} while it scored {name}. Parts that are done are kept: run the command again."
        )
    *lines, worker.heard = (worker.heard + chunk).split(b"\n")
    return [msgspec.json.decode(line, type=Told) for line in lines]
