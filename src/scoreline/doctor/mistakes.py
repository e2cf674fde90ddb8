"""A client's mistakes: told apart from ours, without a traceback, and never run as code."""

from __future__ import annotations

import io
import json
import pickle
import time
from collections.abc import Iterator
from typing import Any

from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.sample import CSV, JSON, JSON_LINES, NPY
from scoreline.doctor.wire import Reply, Site

_NAP_S = 3  # what a server sleeps that runs what it is sent
_TRACES = (b"Traceback", b'File "/', b"site-packages")
_HTML = (b"<!doctype", b"<html")

CHECKS: Checks[Site] = Checks()

_BAD_BODIES = [
    ("JSON that ends early", JSON, b'{"a": '),
    ("text that is no JSON", JSON, b"{not json"),
    ("an empty object", JSON, b"{}"),
    ("an empty list", JSON, b"[]"),
    ("null", JSON, b"null"),
    ("a number", JSON, b"17"),
    ("20,000 brackets", JSON, b"[" * 20_000),
    ("bytes that are no UTF-8", JSON, b'{"a": "\xff\xfe"}'),
    ("an unknown field alone", JSON, b'{"no_such_field": 1}'),
    ("a torn quote in CSV", CSV, b'"unterminated\n\x00\xff\xfe'),
    ("CSV with far too many columns", CSV, b"1," * 500 + b"1\n"),
    ("JSON Lines that are none", JSON_LINES, b"{not json\n"),
    ("npy that is none", NPY, b"\x93NUMPY\x01\x00\xff\xff"),
    ("npy of a billion rows without them", NPY, b"\x93NUMPY\x01\x00\x56\x00"
     + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 4), }".ljust(85) + b"\n"),
]  # fmt: skip


@CHECKS.add(
    "bad-body", "H12", Grade.MUST, "a body that can't be read is 4xx: the client's mistake, and without a traceback",
    fix="Catch what parsing raises (ValueError, KeyError, RecursionError, UnicodeDecodeError) and answer 400 with what "
    "was expected. SageMaker shows a 5xx as the model's failure, alarms ring, and a traceback shows your code to "
    "clients: no debug mode, and an error handler for Exception that answers without it.",
)  # fmt: skip
def _bad_body(site: Site) -> str:
    for what, media_type, body in _BAD_BODIES:
        reply = site.ask("POST", "/invocations", body, {"Content-Type": media_type})
        _must_be_refused(reply, what)
    return f"{len(_BAD_BODIES)} of them, all 4xx"


@CHECKS.add(
    "empty-body", "H12", Grade.MUST, "an empty body is 204 or 4xx",
    fix="Answer a request without a body with 400 before it is parsed.",
    needs=("bad-body",),
)  # fmt: skip
def _empty_body(site: Site) -> str:
    reply = site.ask("POST", "/invocations", b"", {"Content-Type": JSON})
    if reply.status == 204:
        return "204"
    _must_be_refused(reply, "no body")
    return str(reply.status)


@CHECKS.add(
    "no-html", "H12", Grade.MUST, "no error is an HTML page",
    fix="Replace the error pages: error_page with a JSON body in nginx.conf (404, 413, 502, 503, 504), "
    "@app.errorhandler(HTTPException) in Flask. Clients parse what comes, and HTML is no JSON.",
)  # fmt: skip
def _no_html(site: Site) -> str:
    asked = {
        "GET /no-such-route": site.ask("GET", "/no-such-route"),
        "GET /invocations": site.ask("GET", "/invocations"),
        "a body that is no JSON": site.ask("POST", "/invocations", b"{not json", {"Content-Type": JSON}),
        "an unknown Content-Type": site.ask("POST", "/invocations", b"x", {"Content-Type": "application/x-unheard-of"}),
        "a head that is no request": site.ask_raw(b"GARBAGE\r\n\r\n"),
    }
    for what, reply in asked.items():
        if reply.media_type == "text/html" or reply.body[:100].lstrip().lower().startswith(_HTML):
            raise Failed(f"{what}: {reply.status}, {reply.content_type}: {reply.says}")
    return f"{len(asked)} errors, none of them"


class _Sleeps:
    """Unpickling this sleeps: that is how one sees that a server does it. It does nothing else."""

    def __reduce__(self) -> tuple[Any, ...]:
        return time.sleep, (_NAP_S,)


@CHECKS.add(
    "no-pickle", "P11", Grade.MUST, "a pickle in a body is never loaded",
    fix="Load npy with numpy.load(file, allow_pickle=False), and take no pickle or joblib bodies at all: whoever "
    "can send one runs any code in the container (CWE-502).",
)  # fmt: skip
def _no_pickle(site: Site) -> str:
    content = pickle.dumps(_Sleeps(), protocol=2)
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content
    for media_type, body in ((NPY, npy), ("application/octet-stream", content), ("application/x-pickle", content)):
        replies = [site.ask("POST", "/invocations", body, {"Content-Type": media_type})]
        if replies[0].took_s >= _NAP_S:  # once more: it may only have been slow
            replies.append(site.ask("POST", "/invocations", body, {"Content-Type": media_type}))
        if all(reply.took_s >= _NAP_S for reply in replies):
            raise Failed(f"{media_type}: the code in it was run")
        if replies[-1].status == 200:
            raise Failed(f"{media_type}: taken, 200")
    return "not run as npy, as application/octet-stream and as application/x-pickle"


@CHECKS.add(
    "no-bare-nan", "P13", Grade.MUST, "JSON never holds NaN or Infinity, also where values are missing",
    fix="Write null for a number that is not finite: json.dumps(..., allow_nan=False) finds them, msgspec and orjson "
    "write null by themselves. A client's JSON parser refuses a bare NaN.",
    needs=("records",),
)  # fmt: skip
def _no_bare_nan(site: Site) -> str:
    replies = [("a valid record", site.invoke(accept=JSON)), *_with_gaps(site)]
    strict = 0
    for what, reply in replies:
        if reply.status >= 500:
            raise Failed(f"{what}: {reply.status} {reply.says}")
        if reply.status == 200 and reply.media_type == JSON:
            _must_be_strict(what, reply)
            strict += 1
    if not strict:
        raise NotChecked("no answer is JSON")
    return f"{len(replies)} records, {strict} of them answered"


def _with_gaps(site: Site) -> Iterator[tuple[str, Reply]]:
    """Ask about a valid record with one value missing, for each of its values."""
    if not site.records.records:
        return
    record = site.records.records[0]
    for place in list(record) if isinstance(record, dict) else range(len(record)):
        gapped = dict(record) if isinstance(record, dict) else list(record)
        gapped[place] = None
        yield f"{place} is null", site.invoke(site.records.body_of([gapped]), accept=JSON)


@CHECKS.add(
    "content-type-415", "H12", Grade.MUST, "a Content-Type that is not taken, or none, is 415 (or 400)",
    fix="Compare the media type with the list of those that you take, and answer 415 with that list; a missing one "
    "is not to be guessed.",
    needs=("records",),
)  # fmt: skip
def _content_type_415(site: Site) -> str:
    body, came = site.records.one(), []
    for content_type in ("application/x-unheard-of", "foo", None):
        headers = {} if content_type is None else {"Content-Type": content_type}
        reply = site.ask("POST", "/invocations", body, headers)
        came.append(f"{content_type or 'none'} {reply.status}")
        if reply.status not in (400, 415):
            raise Failed(f"{came[-1]} {reply.says}")
    return ", ".join(came)


@CHECKS.add(
    "accept-406", "H12", Grade.MUST, "an Accept that can't be met is 406",
    fix="Answer 406 with the list of media types that you give, when none of the Accept header's is among them.",
    needs=("records",),
)  # fmt: skip
def _accept_406(site: Site) -> str:
    reply = site.invoke(accept="image/png")
    if reply.status != 406:
        raise Failed(f"image/png: {reply.status}, {reply.content_type}")
    return "image/png: 406"


def strict_json(body: bytes) -> Any:
    """Decode JSON as RFC 8259 has it: ValueError for NaN and Infinity too."""
    return json.load(io.TextIOWrapper(io.BytesIO(body), "utf-8"), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"bare {constant}")


def _must_be_strict(what: str, reply: Reply) -> None:
    try:
        strict_json(reply.body)
    except ValueError as error:
        raise Failed(f"{what}: {error}: {reply.says}") from error


def _must_be_refused(reply: Reply, what: str) -> None:
    if any(trace in reply.body for trace in _TRACES):
        raise Failed(f"{what}: {reply.status} with a traceback: {reply.says}")
    if not 400 <= reply.status < 500:
        raise Failed(f"{what}: {reply.status} {reply.says}")
