"""How large a body may be: what SageMaker sends must be taken, and what is too large must be told so."""

from __future__ import annotations

import time

from scoreline.doctor.findings import Checks, Failed, Grade
from scoreline.doctor.sample import CSV
from scoreline.doctor.wire import Reply, Site, answers_expected, read_reply

PAYLOAD = 6_291_456  # bytes of a request's body, by SageMaker's API
_BEYOND = 101 << 20  # no body of a batch transform job has more than 100 MiB
_ANSWER_S = 60
_PIECE = bytes(1 << 20)
_NOT_TAKEN_FIX = (
    "Raise the limit to 6 MiB: SCORELINE_MAX_BODY_MB=6, or in nginx.conf `client_max_body_size 6m;` (its default is "
    "1m, the copied skeleton has 5m), and MAX_CONTENT_LENGTH of Flask."
)

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "body-6-mib", "H6", Grade.MUST, "a body of 6 MiB (6,291,456 bytes) is taken and answered within 60 s",
    fix=_NOT_TAKEN_FIX, needs=("records",),
)  # fmt: skip
def _body_6_mib(site: Site) -> str:
    reply = site.ask("POST", "/invocations", _padded(site), {"Content-Type": site.records.media_type}, _ANSWER_S)
    if reply.status != 200:
        raise Failed(f"{reply.status} {reply.says}")
    return f"200 after {reply.took_s:.1f} s"


def _padded(site: Site) -> bytes:
    """Return a body of exactly the limit: one record with blanks behind it, which mean nothing in JSON."""
    if site.records.media_type != CSV:
        return site.records.one().ljust(PAYLOAD)
    lines = site.records.many(site.records.count)
    body = lines * (PAYLOAD // len(lines) + 1)
    return body[: body.rindex(b"\n", 0, PAYLOAD) + 1]


@CHECKS.add(
    "too-large", "H6", Grade.SHOULD, "a larger body is answered 413, and the connection is not reset",
    fix="Answer 413 and read on until the client has sent all of it (nginx does, with lingering_close on); closing "
    "at once resets the connection, and the client never sees why. Without any limit a single request fills the "
    "memory: set client_max_body_size.",
    needs=("records",),
)  # fmt: skip
def _too_large(site: Site) -> str:
    reply = _send_too_much(site)
    if reply.status != 413:
        raise Failed(f"{_BEYOND >> 20} MiB: {reply.status} {reply.says}")
    return f"{_BEYOND >> 20} MiB: 413"


def _send_too_much(site: Site) -> Reply:
    """Send it as most clients do: the answer is read when all of it is sent."""
    started = time.monotonic()
    with answers_expected(f"{_BEYOND >> 20} MiB", started), site.connect(_ANSWER_S) as connection:
        connection.sendall(site.head_of(_BEYOND))
        for _ in range(_BEYOND // len(_PIECE)):
            connection.sendall(_PIECE)
        return read_reply(connection, started)
