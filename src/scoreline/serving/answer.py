"""The one function that answers requests. It knows no transport: Flask, WSGI and ASGI only carry it."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from scoreline.errors import ScorelineError
from scoreline.predictor import Missing
from scoreline.serving.media import JSON_TYPES, choose_reply, media_type_of
from scoreline.serving.problems import MEDIA_TYPE, Problem
from scoreline.serving.records import Records
from scoreline.serving.service import Service

PROBE_VARIABLE = "SCORELINE_PROBE_PATH"  # a path that only the supervisor knows: golden rows, by a pool worker
_log = logging.getLogger("scoreline.serving")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, headers (Content-Type among them where there is a body), body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(service: Service, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Answer one request.

    Parameters
    ----------
    headers : case-insensitive mapping
        Content-Type and Accept are read.

    Returns
    -------
    Answer
        Never raises: what goes wrong inside is a 500 problem, its kind and place in the log.
    """
    try:
        given = _route(service, method, path, headers, body)
    except Exception as error:  # the last line of defence; a client never sees a traceback
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("failed: %s\n%s", type(error).__name__, where)  # not its message: it may hold values
        given = _problem(Problem(500, "internal", "an unexpected error; the server's log says where"))
    return replace(given, headers={**given.headers, "X-Scoreline-Generation": service.generation})


def _route(service: Service, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    if path == "/invocations":
        if method != "POST":
            return _not_allowed("POST", path)
        return _invoke(service, headers, body)
    if path == "/ping" or path == os.environ.get(PROBE_VARIABLE):
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET", path)
        return _ping(service)
    return _problem(Problem(404, "no-such-route", "expected GET /ping or POST /invocations"))


def _ping(service: Service) -> Answer:
    try:
        service.check_golden()
    except ScorelineError as error:
        return _problem(Problem(503, "not-ready", str(error)))
    return Answer(200)


def _invoke(service: Service, headers: Mapping[str, str], body: bytes) -> Answer:
    reply_type = choose_reply(headers.get("Accept"))
    if reply_type is None:
        return _problem(Problem(406, "not-acceptable", f"expected an Accept with one of {', '.join(JSON_TYPES)}"))
    content_type = media_type_of(headers.get("Content-Type"))
    if content_type not in JSON_TYPES:
        came = "another one" if content_type else "none"
        detail = f"expected Content-Type {' or '.join(JSON_TYPES)}, got {came}"
        return _problem(Problem(415, "unsupported-media-type", detail))
    if len(body) > service.max_body_bytes:
        detail = f"expected at most {service.max_body_bytes} bytes; SCORELINE_MAX_BODY_MB raises the limit"
        return _problem(Problem(413, "too-large", detail))
    decoded = service.schema.decode_json(body)
    if isinstance(decoded, Problem):
        return _problem(decoded)
    if not decoded.records:
        return _problem(Problem(400, "no-records", "expected at least one record, got an empty list"))
    return _as_answer(service, _score(service, decoded), decoded.is_list, reply_type)


def _score(service: Service, decoded: Records) -> list[dict[str, Any] | Problem]:
    """Score the good records; the others keep their problem, in place."""
    scored = iter(service.scorer.score([key for key in decoded.records if not isinstance(key, Problem)]))
    replies: list[dict[str, Any] | Problem] = []
    for index, record in enumerate(decoded.records):
        reply = record if isinstance(record, Problem) else next(scored)
        if isinstance(reply, Missing):
            reply = _not_found(service, reply, index if decoded.is_list else None)
        replies.append(reply)
    return replies


def _not_found(service: Service, missing: Missing, index: int | None) -> Problem:
    spine = service.app.spine.spec
    key = ", ".join(f"{name}={value!r}" for name, value in zip(spine.key, missing.key, strict=True))
    detail = f"no row in table {spine.name} for {key}; keys are compared to the letter"
    return Problem(404, "key-not-found", detail, index=index)


def _as_answer(service: Service, replies: list[dict[str, Any] | Problem], is_list: bool, reply_type: str) -> Answer:
    problems = [reply for reply in replies if isinstance(reply, Problem)]
    if len(problems) == len(replies) and not service.batch:
        all_of_them = {"problems": [problem.describe() for problem in problems]} if is_list else {}
        return _problem(problems[0], all_of_them)
    entries = [reply.describe() if isinstance(reply, Problem) else reply for reply in replies]
    return Answer(200, _encode(entries if is_list else entries[0]), {"Content-Type": reply_type})


def _not_allowed(allowed: str, path: str) -> Answer:
    refused = _problem(Problem(405, "method-not-allowed", f"expected {allowed} {path}"))
    return replace(refused, headers={**refused.headers, "Allow": allowed})


def _problem(problem: Problem, more: Mapping[str, Any] | None = None) -> Answer:
    return Answer(problem.status, problem.encode(more), {"Content-Type": MEDIA_TYPE})
