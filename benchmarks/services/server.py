"""`scoreline serve` of order triage over folders of its own, so that it can be given another feature table."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from harness.answers import ask
from harness.processes import Command, Processes
from harness.sides import TRIAGE_APP, Body, free_port, scoreline_environment, scoreline_folders

from scoreline.generations.state import StateFolder
from services.editions import Edition
from services.memory import look
from services.reading import read_rows

SINGLE = Body("/invocations", "keys")
REFRESH_S, ADOPT_S = 300, 60  # at most
_STORE = "store.lmdb"


class LiveError(RuntimeError):
    """A server does otherwise than it must, so that no figure would mean anything."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    run : its folders: results, state, and links to data and model
    lists : a file of lists of keys, one a line
    """

    port: int
    processes: Processes
    run: Path
    workers: int
    runtime: str
    lists: Path

    def refresh(self, edition: Edition) -> float:
        """Publish another feature table; return the seconds that `scoreline refresh` took."""
        edition.put(self.run / "results")
        before = self.generation
        seconds = refresh(self.run, self.runtime)
        if self.generation == before:
            raise LiveError(f"a refresh published nothing: still {before}")
        return seconds

    @property
    def generation(self) -> str:
        """Name of what is published."""
        current = StateFolder(self.run / "state", read_only=True).current()
        return "none" if current is None else current.name

    def find_workers(self) -> list[psutil.Process]:
        """Return gunicorn's workers, which are forks of its master; LiveError where some are missing."""
        found = {process.pid: process for process in self.processes.look() if "gunicorn" in process.cmdline()}
        workers = [process for process in found.values() if process.ppid() in found]
        if len(workers) != self.workers:
            raise LiveError(f"expected {self.workers} workers, found {len(workers)}: {self.processes.last_line()}")
        return workers

    def wait_for_workers(self) -> None:
        """Return when all workers are there; LiveError where some do not come."""
        until = time.monotonic() + ADOPT_S
        while True:
            try:
                self.find_workers()
                return
            except LiveError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def wait_until_adopted(self) -> None:
        """Have rows read until every worker has the published store open, and none has another."""
        until = time.monotonic() + ADOPT_S
        while True:
            name = self.generation
            read_rows(self.port, self.lists, connections=2 * self.workers, generation=name, most=4 * self.workers)
            opened = [_stores(worker) for worker in self.find_workers()]
            if all(stores == {f"{name}/{_STORE}"} for stores in opened):
                return
            if time.monotonic() > until:
                raise LiveError(f"not every worker has adopted {name} within {ADOPT_S} s: {opened}")

    def check(self, edition: Edition) -> tuple[int, int]:
        """Ask for the edition's records; return the shortest and longest reply in bytes.

        LiveError where an answer is not the edition's.
        """
        lengths = []
        for key, answer in zip(edition.keys, edition.answers, strict=True):
            body = ask(self.port, SINGLE, json.dumps(key))
            if (given := json.loads(body)) != answer:
                raise LiveError(f"generation {self.generation}: expected {answer}, got {given}")
            lengths.append(len(body))
        return min(lengths), max(lengths)

    def read_all(self) -> int:
        """Have every row read once, by whichever worker; return how many rows that were."""
        return read_rows(self.port, self.lists, connections=2 * self.workers, generation=self.generation)

    def look(self) -> dict[str, Any]:
        """Return what the server holds at this moment."""
        return look(self.processes.look(), self.find_workers()).describe()


@contextlib.contextmanager
def serving(folder: Path, edition: Edition, workers: int, runtime: str) -> Iterator[Server]:
    """Give a server that was just started, not yet ready; end it afterwards. Its first generation is there already."""
    # Beside the tables, so that feature tables can be links to them.
    with tempfile.TemporaryDirectory(prefix="live-", dir=folder) as name:
        run, port = Path(name), free_port()
        for part in ("data", "model"):
            (run / part).symlink_to(folder / part)
        edition.put(run / "results")
        refresh(run, runtime)
        options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
        command = Command([*_scoreline("serve", run), *options], scoreline_environment(runtime), run)
        with Processes([command], run) as processes:
            yield Server(port, processes, run, workers, runtime, folder / "lists.keys")


def refresh(run: Path, runtime: str) -> float:
    """Run `scoreline refresh` over some folders; return the seconds that it took, LiveError where it fails."""
    begin = time.monotonic()
    try:
        done = subprocess.run(
            _scoreline("refresh", run),
            env=scoreline_environment(runtime),
            capture_output=True,
            text=True,
            timeout=REFRESH_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LiveError(f"scoreline refresh did not end within {REFRESH_S} s") from error
    if done.returncode:
        raise LiveError(f"scoreline refresh: {done.stderr.strip()[-300:]}")
    return time.monotonic() - begin


def _scoreline(command: str, run: Path) -> list[str]:
    return [sys.executable, "-m", "scoreline", command, "--app", str(TRIAGE_APP), *scoreline_folders(run)]


def _stores(worker: psutil.Process) -> set[str]:
    """Return the stores that a worker has mapped, each as generation and file; a deleted one says so at its end."""
    maps = Path(f"/proc/{worker.pid}/maps").read_text().splitlines()
    paths = {line.partition("/")[2] for line in maps if _STORE in line}
    return {os.sep.join(path.rsplit(os.sep, 2)[-2:]) for path in paths}
