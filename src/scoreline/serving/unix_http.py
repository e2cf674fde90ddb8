"""A small HTTP server on a unix socket, for the parts of `serve` that are not the pool."""

from __future__ import annotations

import json
import socketserver
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from scoreline.serving.problems import MEDIA_TYPE, Problem


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves on a socket that nginx's workers, another user when we are root, can reach."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, path: Path, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(str(path), handler)
        path.chmod(0o666)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet when a client has gone before its answer; that is its right."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers in our shape: JSON, or a problem."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    allowed = "GET"
    route = "/ping"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse another method, or what can't be read; http.server calls this, and would answer in HTML."""
        if code not in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED):
            self.answer_problem(Problem(400, "bad-request", "expected a request of at most 100 headers"))
            return
        problem = Problem(405, "method-not-allowed", f"expected {self.allowed} {self.route}")
        self.answer(405, problem.encode(), {"Content-Type": MEDIA_TYPE, "Allow": self.allowed})

    def answer_json(self, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Answer 200 with JSON."""
        body = json.dumps(content, separators=(",", ":")).encode()
        self.answer(200, body, {"Content-Type": "application/json", **(headers or {})})

    def answer_problem(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a problem and its status."""
        self.answer(problem.status, problem.encode(), {"Content-Type": MEDIA_TYPE, **(headers or {})})

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer with a body, or to HEAD without it."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def address_string(self) -> str:
        """Unix sockets have no address."""
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line for each request would drown the others."""
