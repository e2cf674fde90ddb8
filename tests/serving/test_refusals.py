"""What gunicorn refuses by itself is a problem, as whatever nginx and the application refuse."""

from __future__ import annotations

import http.client
import io
import json

import pytest
from gunicorn import util
from gunicorn.asgi.protocol import ASGIProtocol

from scoreline.serving.refusals import refusal, speak_problems


class Sent:
    """Stands for a socket and for a connection of gunicorn: it keeps what is written."""

    def __init__(self):
        self.bytes = b""

    def setblocking(self, blocking):
        pass

    def gettimeout(self):
        return 0.0

    def sendall(self, sent):
        self.bytes += sent

    _safe_write = sendall

    def makefile(self, mode):
        return io.BytesIO(self.bytes)


def read(sent):
    """Read what was written as a client does."""
    response = http.client.HTTPResponse(sent)
    response.begin()
    return response.status, dict(response.headers), json.loads(response.read())


@pytest.fixture
def gunicorn(monkeypatch):
    """Give gunicorn back its own words afterwards."""
    monkeypatch.setattr(util, "write_error", util.write_error)
    monkeypatch.setattr(ASGIProtocol, "_send_error_response", ASGIProtocol._send_error_response)


@pytest.mark.parametrize("worker_class", ["sync", "asgi"])
@pytest.mark.parametrize(
    ("status", "becomes", "kind"),
    [(400, 400, "bad-request"), (414, 400, "bad-request"), (431, 400, "bad-request"), (501, 400, "bad-request"),
     (500, 500, "internal")],
)  # fmt: skip
def test_whatever_gunicorn_refuses_is_a_problem_that_quotes_nothing(gunicorn, worker_class, status, becomes, kind):
    speak_problems(worker_class)
    sent = Sent()
    if worker_class == "asgi":
        ASGIProtocol._send_error_response(sent, status, "Invalid Header: 'secret'", (("Upgrade", "x"),))
    else:
        util.write_error(sent, status, "Some Reason", "Invalid Header: 'secret'")
    came, headers, body = read(sent)
    assert (came, headers["Content-Type"], headers["Connection"]) == (becomes, "application/problem+json", "close")
    assert (body["type"], body["status"]) == (f"urn:scoreline:problem:{kind}", becomes)
    assert b"secret" not in sent.bytes


def test_the_parts_of_gunicorn_that_are_replaced_are_still_what_it_calls():
    assert callable(util.write_error)
    assert callable(util.write_nonblock)
    assert callable(ASGIProtocol._send_error_response)
    assert callable(ASGIProtocol._safe_write)


def test_a_refusal_names_its_own_length():
    head, _, body = refusal(400).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
