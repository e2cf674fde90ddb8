"""From starting `serve` to its first 200: of /ping, and of a real request."""

from __future__ import annotations

import contextlib
import http.client
import time
from concurrent.futures import ThreadPoolExecutor

from services.server import LiveError, Server

START_S = 90  # at most
PAUSE_S = 0.01  # between two questions: asking takes processor time too
JSON = {"Content-Type": "application/json"}


def first_answers(server: Server, key: str) -> dict[str, float]:
    """Ask for both at once, over and over; return the seconds from the command to the first 200 of each."""
    until = time.monotonic() + START_S
    with ThreadPoolExecutor(2) as pool:
        ping = pool.submit(_first_200, server, until, "GET", "/ping")
        answer = pool.submit(_first_200, server, until, "POST", "/invocations", key)
        return {"ping_s": ping.result(), "answer_s": answer.result()}


def _first_200(server: Server, until: float, method: str, path: str, body: str | None = None) -> float:
    while time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):  # nobody listens yet
            if _status(server.port, method, path, body) == 200:
                return time.monotonic() - server.processes.started_at
        if ended := server.processes.ended():
            raise LiveError(ended)
        time.sleep(PAUSE_S)
    raise LiveError(f"no 200 of {path} within {START_S} s: {server.processes.last_line()}")


def _status(port: int, method: str, path: str, body: str | None) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)) as connection:
        connection.request(method, path, body, JSON if body else {})
        response = connection.getresponse()
        response.read()
        return response.status
