"""What tests of S3 share: a real server, a relay that watches its traffic, and nobody's own AWS settings."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from s3_server import S3Server
from servers import without_aws

from scoreline.tables.fetch import open_source


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch, tmp_path):
    """Take away what this machine knows of AWS."""
    without_aws(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def s3_server():
    """Give the server; one for all tests of a process."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server, set_environment):
    """Give the server, with its settings in our environment."""
    set_environment(s3_server.environment)
    return s3_server


@pytest.fixture
def set_environment(monkeypatch):
    """Give a function that sets environment variables until the end of the test."""
    return lambda variables: [monkeypatch.setenv(name, value) for name, value in variables.items()]


@pytest.fixture
def source():
    """Give a function that opens a source; all are closed at the end."""
    with contextlib.ExitStack() as opened:

        def open_and_close_later(url):
            return opened.enter_context(contextlib.closing(open_source(url, "no folder")))

        yield open_and_close_later


@pytest.fixture
def relay(s3, set_environment):
    """Give a relay to the server; our environment names it as the endpoint."""
    with Relay(s3.port) as relay:
        set_environment({"AWS_ENDPOINT_URL_S3": relay.url})
        yield relay


@pytest.fixture
def answering(set_environment):
    """Give a function that makes the endpoint one that gives always the same answer."""
    with contextlib.ExitStack() as servers:

        def start(status, code, headers=None, more=""):
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message>{more}</Error>".encode()
            server = servers.enter_context(CannedServer(status, body, headers or {}))
            set_environment({"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "eu-west-1"})
            set_environment({"AWS_ENDPOINT_URL_S3": server.url})
            return server

        yield start


class Relay:
    """Passes bytes to a server and back, and watches what comes back.

    Attributes
    ----------
    back : all that came back
    limit : when this many bytes came back on a connection, it is closed; None for never
    """

    def __init__(self, port: int) -> None:
        self.back, self.limit = bytearray(), None
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open, self._threads = [self._listening], []

    @property
    def statuses(self) -> list[int]:
        """The status of each answer."""
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.back)]

    def __enter__(self):
        self._run(self._accept)
        return self

    def __exit__(self, *_):
        for connection in self._open:
            _hang_up(connection)
        for thread in self._threads:
            thread.join(10)

    def _run(self, function, *arguments):
        self._threads.append(threading.Thread(target=function, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                self._run(self._pass, client, server, None)
                self._run(self._pass, server, client, self.back)

    def _pass(self, one, other, seen):
        passed = 0
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if seen is not None:
                    seen += data
                    if self.limit is not None and passed + len(data) > self.limit:
                        other.sendall(data[: self.limit - passed])
                        break
                passed += len(data)
                other.sendall(data)
        _hang_up(one)
        _hang_up(other)


class CannedServer:
    """Gives every request the same answer.

    Attributes
    ----------
    asked : the path of each request
    """

    def __init__(self, status: int, body: bytes, headers: dict[str, str | None]) -> None:
        self.asked = asked = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                asked.append(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _hang_up(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
