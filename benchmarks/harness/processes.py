"""A server's processes: started in a group of their own, watched, measured, and ended whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_S = 10
BUSY_SHARE = 0.05  # of the CPU time of all: a process that took more is a worker
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Command:
    """A command with its environment, and the folder that it runs in.

    Attributes
    ----------
    prepare : run between fork and exec
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True)
class Memory:
    """Memory in MB.

    Attributes
    ----------
    worker : what the median worker has for itself alone (USS)
    whole : all processes of the side, with what they share counted once (PSS)
    """

    worker: float
    whole: float
    workers: int


class Processes:
    """All processes of one side.

    Use it as a context: at its end every process that was started, or was started by one of those, is ended.
    """

    def __init__(self, commands: Sequence[Command], folder: Path) -> None:
        self._commands = commands
        self._logs = [folder / f"log-{number}" for number in range(len(commands))]
        self._started: list[subprocess.Popen[bytes]] = []
        self._seen: dict[int, psutil.Process] = {}
        self.started_at = 0.0

    def __enter__(self) -> Processes:
        self.started_at = time.monotonic()
        try:
            for command, path in zip(self._commands, self._logs, strict=True):
                with path.open("wb") as log:
                    self._started.append(
                        subprocess.Popen(
                            list(command.arguments),
                            env=dict(command.environment),
                            cwd=command.folder,
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                            preexec_fn=_before_exec(command),
                        )
                    )
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def look(self) -> list[psutil.Process]:
        """Return the processes that run; remember them, so that none is forgotten at the end."""
        for started in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                top = psutil.Process(started.pid)
                for process in (top, *top.children(recursive=True)):
                    self._seen.setdefault(process.pid, process)
        return [process for process in self._seen.values() if _runs(process)]

    def ended(self) -> str | None:
        """Say which of the commands has ended, with the last line that it printed; None while all run."""
        for number, started in enumerate(self._started):
            if started.poll() is not None:
                name = Path(self._commands[number].arguments[0]).name
                return f"{name} ended with exit code {started.returncode}: {self.last_line(number)}"
        return None

    def last_line(self, number: int = 0) -> str:
        """Return the last line that a command printed, shortened."""
        lines = self._logs[number].read_text(errors="replace").split("\n")
        worded = (line.strip()[:200] for line in reversed(lines) if any(map(str.isalpha, line)))
        return next(worded, "it printed nothing")

    def wait_for(self, text: str, within_s: float) -> None:
        """Return when the first command printed some text; ChildProcessError where one ends, or it takes longer."""
        until = time.monotonic() + within_s
        while text not in self._logs[0].read_text(errors="replace"):
            if ended := self.ended():
                raise ChildProcessError(ended)
            if time.monotonic() > until:
                raise ChildProcessError(f"not ready within {within_s:.0f} s: {self.last_line()}")
            self.look()
            time.sleep(0.05)

    def cpu_seconds(self) -> dict[int, float]:
        """Return the CPU time that each process has taken so far, by its id."""
        taken = {}
        for process in self.look():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                taken[process.pid] = times.user + times.system
        return taken

    def memory(self, cpu_before: Mapping[int, float], cpu_after: Mapping[int, float]) -> Memory:
        """Measure memory; the workers are those that the CPU time of a load went to, nginx left out."""
        spent = {pid: cpu_after[pid] - cpu_before.get(pid, 0.0) for pid in cpu_after}
        whole, private = 0.0, []
        for process in self.look():
            with contextlib.suppress(psutil.NoSuchProcess):
                info = process.memory_full_info()
                whole += info.pss
                is_busy = spent.get(process.pid, 0.0) > BUSY_SHARE * sum(spent.values())
                if is_busy and "nginx" not in process.name():
                    private.append(info.uss)
        worker = statistics.median(private) if private else 0.0
        return Memory(worker / 1e6, whole / 1e6, len(private))

    def end(self) -> None:
        """End every process, first asking, then by force."""
        self.look()
        for started in self._started:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while time.monotonic() < until and any(started.poll() is None for started in self._started):
            self.look()
            time.sleep(0.02)
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):  # psutil checks that the id is still the same process
                process.kill()
        for started in self._started:
            # The group, for what a process left behind before anybody looked; the leader is not reaped before this.
            if started.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
                started.wait(STOP_S)
        psutil.wait_procs(self._seen.values(), timeout=STOP_S)


def _before_exec(command: Command) -> Callable[[], None]:
    """Return what lets the kernel stop a process when the benchmark is killed with -9, and prepares it."""

    def before() -> None:
        if command.prepare is not None:
            command.prepare()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return before


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
