"""The headers that SageMaker adds and strips: passed over safely, given back where they may be, never acted upon."""

from __future__ import annotations

import re

from scoreline.doctor.findings import Checks, Failed, Grade
from scoreline.doctor.sample import JSON
from scoreline.doctor.wire import Reply, Site

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_PREFIX, _INJECTED = "X-Amzn-SageMaker", "X-Doctor-Injected"
_ADDED = {
    ATTRIBUTES: "trace=" + "a" * 1018,  # 1,024 characters: the most there can be
    f"{_PREFIX}-Target-Model": "tenant/model-1.tar.gz",
    f"{_PREFIX}-Target-Variant": "AllTraffic",
    f"{_PREFIX}-Target-Container-Hostname": "second",
    f"{_PREFIX}-Inference-Id": "0123456789" * 6,
    f"{_PREFIX}-Inference-Component": "component-1",
    f"{_PREFIX}-Enable-Explanations": "`true`",
    f"{_PREFIX}-Prefix-Aware-Id": "p1",
    f"{_PREFIX}-Some-Future-Header": "v",
    "X-Amzn-RequestId": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
}
_VALID = re.compile(r"[\x20-\x7e]{0,1024}")

CHECKS: Checks[Site] = Checks()


@CHECKS.add(
    "amzn-headers", "H11", Grade.MUST, "headers that SageMaker adds change nothing",
    fix="Pass over every X-Amzn-* header that you do not know, and allow heads of 8 KB and more "
    "(large_client_header_buffers in nginx.conf, --limit-request-field_size in gunicorn).",
    needs=("records",),
)  # fmt: skip
def _amzn_headers(site: Site) -> str:
    plain, added = site.invoke(accept=JSON), site.invoke(headers=_ADDED, accept=JSON)
    if added.status != plain.status:
        raise Failed(f"{added.status} instead of {plain.status}: {added.says}")
    if added.body != plain.body:
        raise Failed("another answer than without them")
    return f"{len(_ADDED)} of them, Custom-Attributes with 1,024 characters"


@CHECKS.add(
    "attributes-echo", "H11", Grade.SHOULD, f"{ATTRIBUTES} is given back",
    fix="Copy the header from the request into the answer: it is the one way to find a request's answer again in "
    "a client's and a server's logs, since SageMaker strips every other header.",
    needs=("records",),
)  # fmt: skip
def _attributes_echo(site: Site) -> str:
    came = site.invoke(headers={ATTRIBUTES: "request-1"}).header(ATTRIBUTES)
    if came != "request-1":
        raise Failed("it is not in the answer" if came is None else f"sent request-1, got {came!r}")
    return "request-1"


@CHECKS.add(
    "attributes-safe", "H11", Grade.MUST, f"what {ATTRIBUTES} holds can't make headers of its own, nor fail a request",
    fix="Give the header back as it came, undecoded, and only where it is visible ASCII of at most 1,024 characters; "
    "drop it otherwise. Decoding %0d%0a lets a client write headers, and so cookies and bodies, into the answer.",
    needs=("records",),
)  # fmt: skip
def _attributes_safe(site: Site) -> str:
    values = [
        f"a%0d%0a{_INJECTED}: 1", f"a\\r\\n{_INJECTED}: 1", f"a\r{_INJECTED}: 1", f"a\n{_INJECTED}: 1", "\xe9\xff",
        "a" * 1025,
    ]  # fmt: skip
    for value in values:
        _must_be_safe(_ask_with(site, value), value)
    return f"{len(values)} odd values"


def _ask_with(site: Site, value: str) -> Reply:
    """Send a value as it is, whatever bytes it holds."""
    body = site.records.one()
    return site.ask_raw(site.head_of(len(body), f"{ATTRIBUTES}: {value}") + body)


def _must_be_safe(reply: Reply, value: str) -> None:
    shown = value[:24].encode("unicode_escape").decode()
    if reply.header(_INJECTED) is not None:
        raise Failed(f"{shown} ...: the answer has a header {_INJECTED}")
    if reply.status >= 500:
        raise Failed(f"{shown} ...: {reply.status} {reply.says}")
    given = reply.header(ATTRIBUTES)
    if given is not None and not _VALID.fullmatch(given):
        raise Failed(f"{shown} ...: given back as {len(given):,} characters that are no valid value")
