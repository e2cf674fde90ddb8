"""Health: `/ping`, answered by the supervisor's own process while the pool may be busy.

Busy is not ill. The pool is well when golden rows were answered by it within the last two seconds, or
when every worker is inside a request that is younger than the timeout, or was a moment ago: with more
requests waiting than the pool answers in two seconds, golden rows wait too, while workers go from one
request to the next.
"""

from __future__ import annotations

import http.client
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from scoreline.serving.problems import MEDIA_TYPE, Problem
from scoreline.serving.scoreboard import Scoreboard

GOLDEN_FRESH_S = 2.0
PROBE_EVERY_S = 0.5


class Health:
    """Watches the pool. `verdict` may be called from any thread.

    Parameters
    ----------
    probe_path : path that answers 200 when golden rows were scored right
    timeout_s : a request older than this is past its deadline
    """

    def __init__(self, socket_path: Path, probe_path: str, board: Scoreboard, timeout_s: int) -> None:
        self._socket_path, self._probe_path = socket_path, probe_path
        self._board, self._timeout_s = board, timeout_s
        self._last_good = float("-inf")
        self._wrong: str | None = None
        self._stop = threading.Event()

    def verdict(self) -> str | None:
        """Return None when the pool is well, else what is wrong with it."""
        if self._wrong is not None:
            return self._wrong
        workers = self._board.workers()
        if not workers:
            return "there is no worker"
        late = [worker.pid for worker in workers if worker.busy_s is not None and worker.busy_s > self._timeout_s]
        if late:
            return f"worker {late[0]} is past the deadline of its request"
        if time.monotonic() - self._last_good <= GOLDEN_FRESH_S:
            return None
        if all(worker.idle_s is None or worker.idle_s <= GOLDEN_FRESH_S for worker in workers):
            return None if self._last_good > 0 else "golden rows were never answered yet"
        return "golden rows were not answered within the last 2 s"

    def watch(self) -> None:
        """Probe until `stop`; runs in a thread of the supervisor."""
        while not self._stop.is_set():
            self._probe()
            self._stop.wait(PROBE_EVERY_S)

    def stop(self) -> None:
        """End `watch`."""
        self._stop.set()

    def _probe(self) -> None:
        connection = _UnixConnection(self._socket_path, timeout=self._timeout_s)
        try:
            connection.request("GET", self._probe_path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return  # no answer: freshness and the scoreboard tell
        finally:
            connection.close()
        if status == 200 or status == 404:  # 404: an app's own wsgi.py without our route; it does answer
            self._last_good, self._wrong = time.monotonic(), None
        else:
            self._wrong = "golden rows were answered wrongly"


class HealthServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers `/ping` on a socket of its own: 200 with an empty body, or 503 with the reason."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, path: Path, health: Health) -> None:
        self.health = health
        super().__init__(str(path), _PingHandler)
        path.chmod(0o666)  # nginx's workers run as another user when we are root

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet when a client has gone before its answer; that is its right."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _PingHandler(BaseHTTPRequestHandler):
    server: HealthServer
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        wrong = self.server.health.verdict()
        body = b"" if wrong is None else Problem(503, "not-ready", wrong).encode()
        self.send_response(200 if wrong is None else 503)
        self._finish(body, {"Content-Type": MEDIA_TYPE} if body else {})

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not GET; http.server calls this, and would answer in HTML."""
        self.send_response(405)
        problem = Problem(405, "method-not-allowed", "expected GET /ping")
        self._finish(problem.encode(), {"Content-Type": MEDIA_TYPE, "Allow": "GET"})

    def _finish(self, body: bytes, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: a ping every second is no news."""

    def address_string(self) -> str:
        """Unix sockets have no address."""
        return "unix"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
