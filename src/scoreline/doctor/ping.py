"""`GET /ping`: truthful, empty and quick, whatever else the server has in hand."""

from __future__ import annotations

import contextlib
import threading
import time

from scoreline.doctor.findings import Checks, Failed, Grade
from scoreline.doctor.predictions import how_many
from scoreline.doctor.wire import Reply, Site

PING_S = 2.0  # SageMaker gives each ping so long
_LARGE, _LARGE_S = 2_000, 0.5  # records in a request that keeps a server busy, or fewer where these take longer
_BUSY_THREADS = 8

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "ping", "H3", Grade.MUST, "GET /ping is 200 within 2 s, each time",
    fix="Answer GET /ping with 200 as soon as the model can answer, and at once: it must not score anything that "
    "takes long, and nothing may stand in line before it. While the model is not loaded, answer 503.",
)  # fmt: skip
def _ping(site: Site) -> str:
    slowest = 0.0
    for number in range(1, site.effort.pings + 1):
        slowest = max(slowest, _good_ping(site, f"ping {number} of {site.effort.pings}").took_s)
    return f"{site.effort.pings} times 200, the slowest after {slowest:.3f} s"


@CHECKS.add(
    "ping-empty", "H3", Grade.SHOULD, "the answer to GET /ping has no body",
    fix="Answer GET /ping with the status alone: Response(status=200) in Flask; `return 200;` in nginx.conf. "
    "What a person wants to know belongs into the log.",
    needs=("ping",),
)  # fmt: skip
def _ping_empty(site: Site) -> str:
    reply = site.ask("GET", "/ping", timeout_s=PING_S)
    if reply.body.strip():
        raise Failed(f"{len(reply.body):,} bytes: {reply.says}")
    return "no body"


@CHECKS.add(
    "ping-busy", "H3", Grade.MUST, "GET /ping is 200 within 2 s while every worker is busy",
    fix="Answer /ping from a process or thread that never scores: a `location = /ping` of its own in nginx.conf with "
    "an upstream of its own, instead of the line that requests stand in.",
    needs=("ping", "records"),
)  # fmt: skip
def _ping_busy(site: Site) -> str:
    body = site.records.many(how_many(site, _LARGE_S, _LARGE))
    over, slowest, pings = threading.Event(), 0.0, 0
    until = time.monotonic() + site.effort.busy_s
    threads = [threading.Thread(target=_keep_busy, args=(site, body, over)) for _ in range(_BUSY_THREADS)]
    try:
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            slowest = max(slowest, _good_ping(site, f"beside {_BUSY_THREADS} large requests").took_s)
            pings += 1
            time.sleep(0.05)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return f"{pings} pings beside {_BUSY_THREADS} large requests at once, the slowest after {slowest:.3f} s"


def _keep_busy(site: Site, body: bytes, over: threading.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(Failed):  # how it answers, other checks look at
            site.invoke(body)


def _good_ping(site: Site, when: str) -> Reply:
    """Ask /ping; Failed unless it is 200 in time. It is waited for longer than that, to say how long it took."""
    try:
        reply = site.ask("GET", "/ping", timeout_s=3 * PING_S)
    except Failed as failed:
        raise Failed(f"{when}: {failed.came}") from failed
    if reply.status != 200:
        raise Failed(f"{when}: {reply.status} {reply.says}".rstrip())
    if reply.took_s > PING_S:
        raise Failed(f"{when}: 200, but after {reply.took_s:.1f} s")
    return reply
