"""JSON Lines: a record a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from scoreline.serving.codecs.json_body import UNREADABLE, record_in, unreadable
from scoreline.serving.codecs.lines import lines_in
from scoreline.serving.codecs.replies import Replies
from scoreline.serving.kinds import Taken
from scoreline.serving.problems import Problem
from scoreline.serving.records import Records, RequestSchema, several

_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class JsonLinesCodec:
    """A JSON object or list of values a line; a line that is none costs itself alone."""

    types: tuple[str, ...] = (
        "application/jsonlines", "application/x-jsonlines", "application/x-ndjson", "application/jsonl",
        "application/ndjson",
    )  # fmt: skip

    def decode(
        self, schema: RequestSchema, body: bytes, parameters: Mapping[str, str], *, batch: bool
    ) -> Records | Problem:
        """Return one record or problem for each line; outside a batch job blank lines are none."""
        lines = lines_in(body, with_blank=batch)
        return several(_record_on(schema, line) for line in lines if batch or line.strip())

    def encode(self, replies: Replies) -> bytes:
        """Return a line for each reply, and one for each problem."""
        return b"".join([_encode(entry) + b"\n" for entry in replies.described()])


def _record_on(schema: RequestSchema, line: bytes) -> Taken | Problem:
    try:
        taken = schema.decode_typed(line, is_list=False)
        if taken is not None:
            return taken[0]
    except msgspec.ValidationError:
        pass
    except UNREADABLE as error:
        return _bad_line(error, line)
    try:
        return record_in(schema, _any.decode(line))
    except UNREADABLE as error:
        return _bad_line(error, line)


def _bad_line(error: Exception, line: bytes) -> Problem:
    return replace(unreadable(error, "a JSON object or list of values on a line", line), kind="bad-record")
