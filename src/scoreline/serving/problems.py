"""Problems: errors as clients see them (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    "bad-request": "This is not a request that can be read",
    "bad-body": "The body can't be read",
    "bad-record": "A record does not fit the request schema",
    "bad-column": "A column is missing or unknown",
    "header-line": "This line holds names, not a record",
    "key-not-found": "There is no such record",
    "before-history": "That moment is before what is kept",
    "bad-option": "An option can't be used",
    "forbidden": "This is not for you",
    "conflict": "This is in conflict with what is there",
    "source-away": "The source can't be reached",
    "store-away": "The online store can't be reached",
    "no-records": "There is no record in the body",
    "too-large": "The body is too large",
    "unsupported-media-type": "This media type is not taken",
    "not-acceptable": "No media type that you accept can be given",
    "no-such-route": "There is no such route",
    "method-not-allowed": "This route does not take this method",
    "deadline": "The answer took too long",
    "internal": "The server failed",
    "not-ready": "The server is not ready",
}


@dataclass(frozen=True)
class Problem:
    """One problem, of a request or of one record in it.

    Attributes
    ----------
    status : the HTTP status that it stands for
    kind : the last part of its type, one of a fixed list
    detail : where, what was expected, what kind of thing came, what to do; no values but keys not found
    index : place of the record in a list, from 0
    """

    status: int
    kind: str
    detail: str
    index: int | None = None
    field: str | None = None

    def at(self, index: int) -> Problem:
        """Return the problem as that of a record of a list."""
        return Problem(self.status, self.kind, self.detail, index, self.field)

    def describe(self) -> dict[str, Any]:
        """Return the problem as JSON-able data."""
        problem: dict[str, Any] = {
            "type": f"urn:scoreline:problem:{self.kind}",
            "title": _TITLES[self.kind],
            "status": self.status,
            "detail": self.detail,
        }
        if self.index is not None:
            problem["index"] = self.index
        if self.field is not None:
            problem["field"] = self.field
        return problem

    def encode(self, more: Mapping[str, Any] | None = None) -> bytes:
        """Return the problem as a body of `MEDIA_TYPE`, with `more` members behind its own."""
        return msgspec.json.encode({**self.describe(), **(more or {})})
