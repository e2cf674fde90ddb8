"""The routes, and that errors speak: a status that blames the right side, and a body that a program can read."""

from __future__ import annotations

import json

from scoreline.doctor.findings import Checks, Failed, Grade, NotChecked
from scoreline.doctor.wire import Reply, Site

PROBLEM = "application/problem+json"

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "records", "H5", Grade.MUST, "POST /invocations answers a valid record with 200",
    fix="Serve POST /invocations. Where the record is not one of this server's, name a file with valid ones: "
    "--record FILE.",
)  # fmt: skip
def _records(site: Site) -> str:
    reply = site.invoke()
    if reply.status != 200:
        raise Failed(f"{reply.status} {reply.says} (a record from {site.records.source})")
    return f"200 after {reply.took_s:.3f} s (a record from {site.records.source})"


@CHECKS.add(
    "routes", "H5", Grade.MUST, "what is no route is 404, and a wrong method 404 or 405",
    fix="Answer an unknown path with 404 and GET /invocations with 405 (`Allow: POST`); never serve files below /. "
    "In nginx.conf: `location ~ ^/(ping|invocations)` passes on, `location / { return 404; }` ends the rest.",
)  # fmt: skip
def _routes(site: Site) -> str:
    asked = [
        ("GET", "/no-such-route", (404,)),
        ("GET", "/invocations", (404, 405)),
        ("POST", "/ping", (200, 404, 405)),
        ("GET", "/../../etc/passwd", (400, 404)),
    ]
    came = []
    for method, path, allowed in asked:
        reply = site.ask(method, path)
        came.append(f"{method} {path} {reply.status}")
        if reply.status not in allowed:
            raise Failed(f"{came[-1]}, expected {' or '.join(map(str, allowed))}")
    return ", ".join(came)


@CHECKS.add(
    "problem-json", "H12", Grade.SHOULD, "errors are application/problem+json (RFC 9457)",
    fix="Give errors a JSON body with type, title, status and detail, and the media type application/problem+json; "
    "nginx's own too: error_page 404 405 413 502 503 504 with named locations that return JSON.",
    needs=("routes", "no-html"),
)  # fmt: skip
def _problem_json(site: Site) -> str:
    replies = {"GET /no-such-route": site.ask("GET", "/no-such-route"), "DELETE /ping": site.ask("DELETE", "/ping")}
    if site.sample is not None:
        replies["a body that is no record"] = site.invoke(b"{not json")
        replies["an unknown Content-Type"] = site.invoke(content_type="application/x-unheard-of")
        replies["an unknown Accept"] = site.invoke(accept="image/png")
    errors = {what: reply for what, reply in replies.items() if reply.status >= 400}
    if not errors:
        raise NotChecked("none of what was sent is an error here")
    for what, reply in errors.items():
        _must_be_problem(what, reply)
    return f"{len(errors)} errors, all of them"


def _must_be_problem(what: str, reply: Reply) -> None:
    if reply.media_type != PROBLEM:
        raise Failed(f"{what}: {reply.status}, {reply.content_type or 'no Content-Type'}: {reply.says}")
    try:
        content = json.loads(reply.body)
        status = content["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"{what}: no problem object with a status: {reply.says}") from error
    if status != reply.status:
        raise Failed(f"{what}: the status is {reply.status}, its body says {status}")
