"""What gunicorn itself has to refuse, said as a problem: it would answer in HTML or plain text.

Nginx turns away most of what is no request. What it lets through and gunicorn does not take, a control character in a
header's value, say, or two Content-Types, never reaches the application, so that nobody else could answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from scoreline.serving.problems import MEDIA_TYPE, Problem

_NO_REQUEST = "expected an HTTP/1.1 request with each header once, its value in visible characters"
_FAILED = "the worker could not carry the request; its log says why"


def refusal(status: int) -> bytes:
    """Return the whole response to what gunicorn refuses with a status of its own.

    As from nginx, whatever can't be read is 400. What gunicorn says of it is left out: it quotes the request.
    """
    failed = status == HTTPStatus.INTERNAL_SERVER_ERROR
    problem = Problem(500, "internal", _FAILED) if failed else Problem(400, "bad-request", _NO_REQUEST)
    body = problem.encode()
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def speak_problems(worker_class: str) -> None:
    """Put our words in the place of gunicorn's, which has no setting for them."""
    if worker_class == "asgi":
        from gunicorn.asgi.protocol import ASGIProtocol

        ASGIProtocol._send_error_response = _refuse_asgi
    else:
        from gunicorn import util

        util.write_error = _refuser_sync(util.write_nonblock)


def _refuse_asgi(protocol: Any, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()) -> None:
    protocol._safe_write(refusal(status))


def _refuser_sync(write: Callable[[Any, bytes], None]) -> Callable[[Any, int, str, str], None]:
    return lambda sock, status, reason, message: write(sock, refusal(status))
