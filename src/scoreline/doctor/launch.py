"""A server that the doctor starts itself, as a platform would: by a command, variables and signals."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scoreline.doctor.findings import Failed, NotChecked
from scoreline.doctor.sample import Sample
from scoreline.doctor.wire import Effort, Site
from scoreline.settings import Settings, variables_of

_FOLDERS = ("app", "data", "model", "results")
_PATIENCE_S = 5.0  # with a server that is not needed any more
_TAIL = 160  # characters of what it printed last


@dataclass(frozen=True)
class Launch:
    """How a server is started, and how long it may take.

    Attributes
    ----------
    command : what `docker run IMAGE serve` would run
    environment : its variables beside ours
    folders : that it reads, the model's first
    start_s, stop_s : until the first 200, and from SIGTERM to the end; SageMaker's own limits
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folders: tuple[Path, ...]
    sample: Sample | None = None
    start_s: float = 240
    stop_s: float = 30
    effort: Effort = field(default_factory=Effort)

    @property
    def model(self) -> Path:
        """The model's folder."""
        return self.folders[0]

    def variables(self, port: int, state: Path, **more: str) -> dict[str, str]:
        """Return the environment of one start: on loopback alone, and with a state folder of its own."""
        given = {"SAGEMAKER_BIND_TO_PORT": str(port), "SCORELINE_HOST": "127.0.0.1", "SCORELINE_STATE": str(state)}
        return {**os.environ, **self.environment, **given, **more}

    @contextlib.contextmanager
    def start(self, *, user: str | None = None, **variables: str) -> Iterator[Running]:
        """Start it; whatever is left of it at the end is killed.

        Parameters
        ----------
        user : to run as, where we are root
        """
        with tempfile.TemporaryDirectory(prefix="scoreline-doctor-") as folder:
            if user is not None:
                shutil.chown(folder, user)
            running = Running(self, Path(folder), user, variables)
            try:
                yield running
            finally:
                running.kill()


def launch_of(settings: Settings, sample: Sample | None = None) -> Launch:
    """Return how `scoreline serve` of an app is started."""
    folders = {name: getattr(settings, name).resolve() for name in _FOLDERS}
    environment = {variables_of(name)[0]: str(folder) for name, folder in folders.items()}
    in_order = tuple(folders[name] for name in ("model", "app", "results", "data"))
    return Launch((sys.executable, "-m", "scoreline", "serve"), environment, in_order, sample)


class Running:
    """One start of a server.

    Attributes
    ----------
    port : the one that it was told to listen on
    """

    def __init__(self, launch: Launch, folder: Path, user: str | None, variables: Mapping[str, str]) -> None:
        self.port = free_port()
        self._launch, self._log, self._seen = launch, folder / "log", dict[int, psutil.Process]()
        environment = launch.variables(self.port, folder / "state", **variables)
        identity = pwd.getpwnam(user) if user is not None else None
        self.started = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                launch.command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder,
                start_new_session=True, user=identity and identity.pw_uid,
                group=identity and identity.pw_gid, extra_groups=identity and [],
            )  # fmt: skip

    @property
    def site(self) -> Site:
        """The server as a client meets it."""
        return Site(f"http://127.0.0.1:{self.port}", self._launch.sample, self._launch.effort)

    @property
    def printed(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """The last line that it printed."""
        lines = [line for line in self.printed.splitlines() if line.strip()]
        return lines[-1][-_TAIL:] if lines else "it printed nothing"

    def wait_until_ready(self, within_s: float | None = None) -> float:
        """Return the seconds to the first 200 of /ping; Failed where it ends before, or takes too long."""
        limit = self._launch.start_s if within_s is None else within_s
        while not self.is_pinged():
            if self.process.poll() is not None:
                raise Failed(f"it ended with exit code {self.process.returncode}: {self.last_words}")
            if time.monotonic() - self.started > limit:
                raise Failed(f"no 200 on port {self.port} within {limit:g} s: {self.last_words}")
            time.sleep(0.02)
        return time.monotonic() - self.started

    def is_pinged(self) -> bool:
        """Whether /ping is 200 now."""
        with contextlib.suppress(Failed):
            return self.site.ask("GET", "/ping", timeout_s=2).status == 200
        return False

    def processes(self) -> list[psutil.Process]:
        """Return the processes that it consists of; remember them for the end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            for process in (first, *first.children(recursive=True)):
                self._seen.setdefault(process.pid, process)
        return [process for process in self._seen.values() if process.is_running()]

    def wait(self, within_s: float) -> int | None:
        """Return its exit code, None where it does not end in time."""
        self.processes()
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End whatever is left of it: it is asked to first, so that it can clean up."""
        self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.wait(min(_PATIENCE_S, self._launch.stop_s))
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def other_user() -> str:
    """Return a user without rights; NotChecked where we are none who could become it."""
    if os.geteuid() != 0:
        raise NotChecked("only root can become another user")
    for name in ("nobody", "www-data"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NotChecked("this system has no user nobody")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
