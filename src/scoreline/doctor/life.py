"""One whole life of a server, and what is seen of it: start, service, SIGTERM, end."""

from __future__ import annotations

import contextlib
import functools
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from scoreline.doctor.findings import Failed
from scoreline.doctor.launch import Launch, Running
from scoreline.doctor.wire import Reply, Site, answers_expected, read_reply

_BEFORE_THE_REST_S = 0.3  # between SIGTERM and the second half of the request that is under way


@dataclass(frozen=True)
class Start:
    """What is seen of the start.

    Attributes
    ----------
    ready_after_s : until the first 200 of /ping
    first : the answer to a record sent at once after that, None where none is known
    """

    ready_after_s: float
    first: Reply | None


@dataclass(frozen=True)
class End:
    """What is seen of the end.

    Attributes
    ----------
    exit_code : None where it did not end in time
    took_s : from SIGTERM to the end
    in_flight : the answer to the request that was under way, or what came instead
    """

    exit_code: int | None
    took_s: float
    in_flight: Reply | str | None


class Life(contextlib.AbstractContextManager["Life"]):
    """A server that is started when one first asks about it, and ends with `end`."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._stack = contextlib.ExitStack()
        self._before = contents_of(launch.model)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @functools.cached_property
    def running(self) -> Running:
        """The server."""
        return self._stack.enter_context(self.launch.start())

    @functools.cached_property
    def start(self) -> Start:
        """The start; Failed where it does not come up."""
        ready_after_s = self.running.wait_until_ready()
        site = self.running.site
        return Start(ready_after_s, None if site.sample is None else site.invoke())

    @property
    def site(self) -> Site:
        """The server as a client meets it."""
        return self.running.site

    @functools.cached_property
    def end(self) -> End:
        """The end: SIGTERM with a connection that does nothing, and a request half sent."""
        site, code = self.site, self.running.process.poll()
        if code is not None:
            raise Failed(f"it had ended before, with exit code {code}: {self.running.last_words}")
        with contextlib.ExitStack() as stack:
            idle = stack.enter_context(contextlib.closing(site.client()))
            with contextlib.suppress(Failed):
                site.ask_over(idle, "GET", "/ping")
            upload = None if site.sample is None else stack.enter_context(self._half_sent(site))
            self.running.processes()
            asked = time.monotonic()
            self.running.process.send_signal(signal.SIGTERM)
            in_flight = None if upload is None else _answer_to_the_rest(site, upload, asked)
            code = self.running.wait(max(0.0, self.launch.stop_s - (time.monotonic() - asked)))
        return End(code, time.monotonic() - asked, in_flight)

    def _half_sent(self, site: Site) -> socket.socket:
        """Return the connection of a request whose first byte alone was sent."""
        body = site.records.one()
        with answers_expected("a request", time.monotonic()):
            upload = site.connect(self.launch.stop_s)
            upload.sendall(site.head_of(len(body), "Connection: close") + body[:1])
        time.sleep(_BEFORE_THE_REST_S)  # so that it is under way
        return upload

    @property
    def written(self) -> list[str]:
        """Paths in the model folder that are not as they were before the start."""
        after = contents_of(self.launch.model)
        return sorted(name for name in self._before.keys() | after.keys() if self._before.get(name) != after.get(name))

    def listening(self) -> set[tuple[str, int]]:
        """Return the TCP addresses that its processes listen on."""
        found = set()
        for process in self.running.processes():
            with contextlib.suppress(psutil.Error):
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((str(connection.laddr[0]), int(connection.laddr[1])))
        return found


def _answer_to_the_rest(site: Site, upload: socket.socket, asked: float) -> Reply | str:
    """Send the rest of a request; return its answer, or what came instead."""
    time.sleep(_BEFORE_THE_REST_S)
    try:
        with answers_expected("the request under way", asked):
            upload.sendall(site.records.one()[1:])
            return read_reply(upload, asked)
    except Failed as failed:
        return failed.came


def contents_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what a folder holds: path -> size and time of the last change; of a folder without its size."""
    return {
        str(path.relative_to(folder)): (0 if path.is_dir() else path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.exists()
    }
