"""A server as a client meets it: one request at a time, each over a connection of its own, and raw sockets."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scoreline.doctor.findings import Failed, NotChecked
from scoreline.doctor.sample import Sample
from scoreline.errors import SettingError

ANSWER_S = 60  # SageMaker's own limit of an answer
MOST_BYTES = 64 << 20  # of an answer that is looked at
_SHOWN = 60


@dataclass(frozen=True)
class Effort:
    """How hard a server is tried; the contract's own limits are not among these.

    Attributes
    ----------
    pings, idle, uploads, requests : how many of each
    busy_s : how long it is kept busy
    """

    pings: int = 20
    idle: int = 150
    uploads: int = 24
    requests: int = 20
    busy_s: float = 3.0


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it came.

    Attributes
    ----------
    headers : name in lower case -> its values, in order
    took_s : seconds from the request's first byte to the answer's last
    """

    status: int
    headers: Mapping[str, list[str]]
    body: bytes
    took_s: float = 0.0

    @property
    def content_type(self) -> str:
        """The Content-Type as it was sent, empty where there is none."""
        return self.header("content-type") or ""

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, in lower case."""
        return self.content_type.split(";")[0].strip().lower()

    def header(self, name: str) -> str | None:
        """Return the first value of a header, None where there is none."""
        return next(iter(self.headers.get(name.lower(), [])), None)

    def __str__(self) -> str:
        kind = f", {self.content_type}" if self.body else ""
        return f"{self.status}{kind}, {len(self.body):,} bytes"

    @property
    def says(self) -> str:
        """The first words of the body, on one line."""
        text = " ".join(self.body[:400].decode("utf-8", "replace").split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@dataclass(frozen=True)
class Site:
    """A running server, and what to send it.

    Parameters
    ----------
    url : http:// or https:// with host and port; a path in it stands before every route
    sample : valid records, None where none are known
    """

    url: str
    sample: Sample | None = None
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise SettingError(f"--url {self.url}: expected a server's address, for example http://127.0.0.1:8080")

    @property
    def records(self) -> Sample:
        """The valid records; NotChecked where none are known."""
        if self.sample is None:
            raise NotChecked("no valid record is known; name a file with --record, or an app with --app")
        return self.sample

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Reply:
        """Send one request, wait for the answer; Failed where none comes."""
        with contextlib.closing(self.client(timeout_s)) as client:
            return self.ask_over(client, method, path, body, headers)

    def ask_over(
        self,
        client: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request over a connection; Failed where no answer comes."""
        started = time.monotonic()
        with answers_expected(f"{method} {path}", started):
            client.request(method, self.path(path), body or None, dict(headers or {}))
            return _read(client.getresponse(), started)

    def invoke(self, body: bytes | None = None, headers: Mapping[str, str] | None = None, **more: str) -> Reply:
        """Ask for predictions: of one valid record unless a body is given, in its media type unless one is given."""
        sample = self.records
        named = {"Content-Type": sample.media_type, **(headers or {})}
        named |= {name.replace("_", "-").title(): value for name, value in more.items()}
        return self.ask("POST", "/invocations", sample.one() if body is None else body, named)

    def client(self, timeout_s: float = ANSWER_S) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout_s)

    def connect(self, timeout_s: float = 2.0) -> socket.socket:
        """Return an open socket."""
        parts = urlsplit(self.url)
        is_secure = parts.scheme == "https"
        raw = socket.create_connection((parts.hostname, parts.port or (443 if is_secure else 80)), timeout=timeout_s)
        if not is_secure:
            return raw
        return ssl.create_default_context().wrap_socket(raw, server_hostname=parts.hostname)

    def ask_raw(self, request: bytes, timeout_s: float = 10.0) -> Reply:
        """Send bytes as they are; return the answer, Failed where none comes."""
        started = time.monotonic()
        with answers_expected("the request", started), self.connect(timeout_s) as connection:
            connection.sendall(request)
            return read_reply(connection, started)

    def head_of(self, length: int, *lines: str) -> bytes:
        """Return the head of a request for predictions whose body has so many bytes."""
        first = f"POST {self.path('/invocations')} HTTP/1.1"
        named = ["Host: doctor", f"Content-Type: {self.records.media_type}", f"Content-Length: {length}"]
        return "\r\n".join([first, *named, *lines, "", ""]).encode("latin-1")

    def path(self, route: str) -> str:
        """Return a route behind the path of the address."""
        return urlsplit(self.url).path.rstrip("/") + route


@contextlib.contextmanager
def answers_expected(what: str, started: float) -> Iterator[None]:
    """Turn what goes wrong with a connection into Failed."""
    try:
        yield
    except TimeoutError as error:
        raise Failed(f"{what}: no answer within {time.monotonic() - started:.1f} s") from error
    except ConnectionRefusedError as error:
        raise Failed(f"{what}: the connection is refused") from error
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        raise Failed(f"{what}: the connection ends without a whole answer ({said})") from error


def read_reply(connection: socket.socket, started: float | None = None) -> Reply:
    """Read one answer from a socket."""
    with contextlib.closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        return _read(response, time.monotonic() if started is None else started)


def _read(response: http.client.HTTPResponse, started: float) -> Reply:
    body = response.read(MOST_BYTES)
    headers: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        headers.setdefault(name.lower(), []).append(value)
    return Reply(response.status, headers, body, time.monotonic() - started)
