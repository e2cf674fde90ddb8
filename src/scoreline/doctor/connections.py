"""Connections: taken at once, kept, and never in the way of one another."""

from __future__ import annotations

import contextlib
import socket
import time

from scoreline.doctor.findings import Checks, Failed, Grade
from scoreline.doctor.ping import PING_S
from scoreline.doctor.wire import ANSWER_S, Reply, Site, answers_expected, read_reply

ACCEPT_S = 0.25  # SageMaker gives a connection so long
_SOON_S = 5.0  # an answer to one record beside connections that do nothing
_ASKED_TO_GO_ON, _GOES_ON_S = 100, 3.0  # a client that waits for it sends its body by then anyway, or gives up

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "accept", "H4", Grade.MUST, "connections are taken within 250 ms",
    fix="Put nginx in front, or raise the listen backlog (`listen 8080 backlog=2048;`, gunicorn --backlog): a "
    "connection must not wait for a worker to be free.",
)  # fmt: skip
def _accept(site: Site) -> str:
    slowest = 0.0
    for number in range(1, 51):
        started = time.monotonic()
        try:
            site.connect(4 * ACCEPT_S).close()
        except OSError as error:
            raise Failed(f"connection {number} of 50: {error or type(error).__name__}") from error
        slowest = max(slowest, time.monotonic() - started)
        if slowest > ACCEPT_S:
            raise Failed(f"connection {number} of 50 was taken after {1000 * slowest:.0f} ms")
    return f"50 connections, the slowest after {1000 * slowest:.0f} ms"


@CHECKS.add(
    "idle", "H4", Grade.MUST, "connections that do nothing leave room for others",
    fix="Put nginx in front (worker_connections 2048), which holds idle connections without a worker; or take workers "
    "that hold many at once. One thread a connection runs out.",
    needs=("ping", "records"),
)  # fmt: skip
def _idle(site: Site) -> str:
    with contextlib.ExitStack() as stack, answers_expected("an idle connection", time.monotonic()):
        for _ in range(site.effort.idle):
            stack.enter_context(site.connect(4 * ACCEPT_S))
        took_s = _still_answers(site, f"beside {site.effort.idle} idle connections")
    return f"{site.effort.idle} of them open: a record is answered after {took_s:.3f} s"


@CHECKS.add(
    "slow-upload", "H4", Grade.MUST, "clients that send slowly block neither /ping nor others",
    fix="Let nginx take in the whole body before it asks a worker (proxy_request_buffering on; it is the default). "
    "A worker that reads from a slow client is lost for all others.",
    needs=("ping", "records"),
)  # fmt: skip
def _slow_upload(site: Site) -> str:
    body = site.records.many(2)
    with contextlib.ExitStack() as stack, answers_expected("a slow upload", time.monotonic()):
        for _ in range(site.effort.uploads):
            upload = stack.enter_context(site.connect())
            upload.sendall(site.head_of(len(body)) + body[:1])
        time.sleep(0.3)  # so that each has reached whoever reads it
        took_s = _still_answers(site, f"beside {site.effort.uploads} slow uploads")
    return f"{site.effort.uploads} of them under way: a record is answered after {took_s:.3f} s"


@CHECKS.add(
    "keep-alive", "H4", Grade.MUST, "a connection is kept for further requests",
    fix="Answer HTTP/1.1 with a Content-Length, and read a request's body to its end also where it is refused; what "
    "is left unread is taken for the next request. In nginx: keepalive_timeout 75s.",
    needs=("records",),
)  # fmt: skip
def _keep_alive(site: Site) -> str:
    body, headers = site.records.one(), {"Content-Type": site.records.media_type}
    with contextlib.closing(site.client()) as client:
        first: socket.socket | None = None
        for number in range(1, site.effort.requests + 1):
            reply = site.ask_over(client, "POST", "/invocations", body, headers)
            _must_be_200(reply, f"request {number} over one connection")
            first = first or client.sock
            if client.sock is None or client.sock is not first:
                raise Failed(f"closed after request {number}")
    return f"{site.effort.requests} requests over one connection"


@CHECKS.add(
    "chunked", "H4", Grade.MUST, "a body that comes in chunks, without a length, is read",
    fix="Read `Transfer-Encoding: chunked` (nginx does it, and passes a length on); a worker that reads Content-Length "
    "alone sees an empty body.",
    needs=("records",),
)  # fmt: skip
def _chunked(site: Site) -> str:
    body = site.records.one()
    pieces = iter([body[:9], body[9:]])
    headers = {"Content-Type": site.records.media_type}
    with contextlib.closing(site.client()) as client:
        _must_be_200(site.ask_over(client, "POST", "/invocations", pieces, headers), "two chunks")
    return "200"


@CHECKS.add(
    "continue", "H4", Grade.MUST, "`Expect: 100-continue` is answered",
    fix="Answer `HTTP/1.1 100 Continue` before reading the body: nginx does. A client that waits for it sends nothing.",
    needs=("records",),
)  # fmt: skip
def _continue(site: Site) -> str:
    body, started = site.records.one(), time.monotonic()
    with answers_expected("Expect: 100-continue", started), site.connect(_GOES_ON_S) as connection:
        connection.sendall(site.head_of(len(body), "Expect: 100-continue"))
        begun = connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
        connection.settimeout(ANSWER_S)
        connection.sendall(body)
        _must_be_200(read_reply(connection, started), "after 100 Continue")
    is_asked = begun.endswith(str(_ASKED_TO_GO_ON).encode())
    return "100, then 200" if is_asked else "200 at once"


def _still_answers(site: Site, when: str) -> float:
    """Ask /ping and for a record; return how long the record took, Failed where it is too long."""
    try:
        ping = site.ask("GET", "/ping", timeout_s=PING_S)
        reply = site.ask(
            "POST", "/invocations", site.records.one(), {"Content-Type": site.records.media_type}, timeout_s=_SOON_S
        )
    except Failed as failed:
        raise Failed(f"{when}: {failed.came}") from failed
    if ping.status != 200:
        raise Failed(f"{when}: /ping is {ping.status}")
    _must_be_200(reply, when)
    return reply.took_s


def _must_be_200(reply: Reply, when: str) -> None:
    if reply.status != 200:
        raise Failed(f"{when}: {reply.status} {reply.says}")
